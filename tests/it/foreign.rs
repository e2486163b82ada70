//! What other programs speak: bytes that they have made, and Python on the other side.

use std::fmt::Debug;
#[cfg(feature = "foreign")]
use std::fs;
#[cfg(feature = "foreign")]
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use typed_pipe::wire::foreign::Lines;
#[cfg(feature = "foreign")]
use typed_pipe::wire::foreign::Npipes;
use typed_pipe::wire::{Codec, Decoder, Encoder, Framing, Plain, Postcard, Wire};
use typed_pipe::{Error, ErrorKind, FrameError};

#[cfg(feature = "foreign")]
fn vector(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    fs::read(path).unwrap()
}

/// The messages of a list, in order.
#[cfg(feature = "foreign")]
fn listed(name: &str) -> Vec<String> {
    serde_json::from_slice(&vector(name)).unwrap()
}

fn written<F: Framing, C: Codec, T: serde::Serialize>(
    wire: Wire<F, C>,
    values: &[T],
) -> Result<Vec<u8>, Error> {
    let mut encoder = Encoder::new(wire);
    for value in values {
        encoder.stage(value)?;
    }
    Ok(encoder.pending().to_vec())
}

/// What a decoder makes of bytes that come in pieces: values, and errors that are not fatal.
fn read<F: Framing, C: Codec, T: serde::de::DeserializeOwned>(
    decoder: &mut Decoder<F, C>,
    bytes: &[u8],
    piece: usize,
) -> Result<Vec<Result<T, Error>>, Error> {
    let mut values = Vec::new();
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            let spare = decoder.spare();
            let room = spare.len().min(piece.len());
            spare[..room].copy_from_slice(&piece[..room]);
            decoder.filled(room);
            piece = &piece[room..];
        }
        loop {
            match decoder.step() {
                Ok(true) => values.push(decoder.message()),
                Ok(false) => break,
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => values.push(Err(error)),
            }
        }
    }
    Ok(values)
}

fn all<T: Debug>(values: Result<Vec<Result<T, Error>>, Error>) -> Vec<T> {
    values.unwrap().into_iter().map(Result::unwrap).collect()
}

/// Writes and reads the bytes that the original program has written, cut at every place.
#[cfg(feature = "foreign")]
fn speaks_as_the_original<F, T>(framing: F, bytes: &[u8], values: &[T])
where
    F: Framing + Clone,
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let wire = Wire::new(framing, Plain);
    assert_eq!(written(wire.clone(), values).unwrap(), bytes);
    for piece in [1, 2, 3, 7, 4096, bytes.len()] {
        let read: Vec<T> = all(read(&mut Decoder::new(wire.clone()), bytes, piece));
        assert_eq!(read, values);
    }
    for cut in (0..bytes.len()).rev().take(64).chain(0..bytes.len().min(64)) {
        let mut decoder = Decoder::new(wire.clone());
        let (before, after) = bytes.split_at(cut);
        let mut whole: Vec<T> = all(read(&mut decoder, before, bytes.len()));
        whole.extend(all(read(&mut decoder, after, bytes.len())));
        assert_eq!(whole, values, "cut at {cut}");
        assert_eq!(decoder.end().kind(), ErrorKind::Disconnected);
    }
}

/// Values of any kind arrive in pieces of any size, and any bytes are read without a panic.
fn holds_any_bytes<F: Framing + Clone>(
    framing: F,
    payloads: &[Vec<u8>],
    noise: &[u8],
    piece: usize,
) {
    let plain = Wire::new(framing.clone(), Plain);
    if let Ok(bytes) = written(plain.clone(), payloads) {
        let back: Vec<Vec<u8>> = all(read(&mut Decoder::new(plain.clone()), &bytes, piece));
        assert_eq!(back, payloads);
        // One that is cut off is no message.
        if let Some((_, cut)) = bytes.split_last() {
            let mut decoder = Decoder::new(plain.clone());
            let back: Vec<Vec<u8>> = all(read(&mut decoder, cut, piece));
            assert_eq!(back, payloads[..payloads.len() - 1]);
            // Of a message without bytes, nothing but its end is there.
            let end = decoder.end();
            assert!(end.kind() == ErrorKind::Truncated || end.is_end(), "{end}");
        }
    }
    let _ = read::<_, _, Vec<u8>>(&mut Decoder::new(plain.clone()), noise, piece);
    let _ = read::<_, _, String>(&mut Decoder::new(plain), noise, piece);
    let values = Wire::new(framing, Postcard);
    let _ = read::<_, _, (u32, String)>(&mut Decoder::new(values), noise, piece);
}

#[cfg(feature = "foreign")]
#[test]
fn npipes_frames_are_those_of_npipes() {
    let messages = listed("npipes_frames.json");
    let plain = vector("npipes_frames_plain.bin");
    speaks_as_the_original(Npipes::default(), &vector("npipes_frames_crc.bin"), &messages);
    speaks_as_the_original(Npipes::default().without_crc(), &plain, &messages);
    // Who does not look at the CRC takes frames with one, too.
    let wire = Wire::new(Npipes::default().without_crc(), Plain);
    let both: Vec<String> = all(read(&mut Decoder::new(wire), &vector("npipes_frames_crc.bin"), 9));
    assert_eq!(both, messages);
    let wire = Wire::new(Npipes::default(), Plain);
    let error = read::<_, _, String>(&mut Decoder::new(wire), &plain, 9).unwrap_err();
    assert!(matches!(error.frame_error(), Some(FrameError::Checksum { found: 0, .. })), "{error}");
}

#[test]
fn lines_carry_every_codec_whose_output_has_none() {
    let wire = Wire::new(Lines::default(), Plain);
    let bytes = written(wire.clone(), &["one", "", "zwei\rdrei"]).unwrap();
    assert_eq!(bytes, b"one\n\nzwei\rdrei\n");
    let error = written(wire, &["a\nb"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(matches!(error.frame_error(), Some(FrameError::Delimiter { at: 1, byte: b'\n' })));
    let binary = Wire::new(Lines::default(), Postcard);
    assert_eq!(written(binary, &[10_u8]).unwrap_err().kind(), ErrorKind::Encode);
}

#[cfg(feature = "json")]
#[test]
fn lines_of_json() {
    use typed_pipe::wire::Json;

    let wire = Wire::new(Lines::default().limit(30).skip_blank(), Json);
    let values = [("a\nb".to_owned(), 1), ("c\r".to_owned(), 2)];
    let bytes = written(wire.clone(), &values).unwrap();
    assert_eq!(bytes, b"[\"a\\nb\",1]\n[\"c\\r\",2]\n");
    let crlf = b"\r\n[\"a\\nb\",1]\r\n \n[\"c\\r\", 2]\r\n";
    for piece in 1..crlf.len() {
        let back: Vec<(String, i32)> = all(read(&mut Decoder::new(wire.clone()), crlf, piece));
        assert_eq!(back, values);
    }
    let long = format!("[\"{}\",1]\n", "x".repeat(30));
    let error =
        read::<_, _, (String, i32)>(&mut Decoder::new(wire), long.as_bytes(), 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[cfg(feature = "json")]
#[test]
fn the_last_line_of_json_needs_no_feed() {
    use typed_pipe::wire::Json;
    use typed_pipe::{Hangup, TypedReceiver};

    let receiver = |bytes, lines| {
        let wire = Wire::new(lines, Json);
        TypedReceiver::<(u32, String), &[u8], _, _>::with_wire(bytes, wire)
    };
    let mut whole = receiver(b"[1,\"a\"]\n[2,\"b\"]", Lines::default());
    assert_eq!(whole.recv().unwrap(), (1, "a".into()));
    assert_eq!(whole.recv().unwrap(), (2, "b".into()));
    assert!(whole.recv().unwrap_err().is_disconnected());
    assert_eq!(whole.last_hangup(), Some(Hangup::Disconnected));

    // A line that was cut off is told from a whole one, and is not lost without a word.
    let mut cut = receiver(b"[1,\"a\"]\n[2,\"b", Lines::default());
    assert_eq!(cut.recv().unwrap(), (1, "a".into()));
    assert_eq!(cut.recv().unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(cut.last_message(), Some(&b"[2,\"b"[..]));
    assert_eq!(cut.last_hangup(), Some(Hangup::Truncated));
    assert!(cut.recv().unwrap_err().is_disconnected());
    assert_eq!(cut.last_hangup(), Some(Hangup::Truncated));

    let mut strict = receiver(b"[1,\"a\"]\n[2,\"b\"]", Lines::default().require_last_feed());
    assert_eq!(strict.recv().unwrap(), (1, "a".into()));
    assert_eq!(strict.recv().unwrap_err().kind(), ErrorKind::Truncated);

    let mut blank = receiver(b"[1,\"a\"]\n  ", Lines::default().skip_blank());
    assert_eq!(blank.recv().unwrap(), (1, "a".into()));
    assert!(blank.recv().unwrap_err().is_disconnected());
}

/// That its sender ended in the middle of it would be the wrong cause.
#[cfg(feature = "json")]
#[test]
fn a_last_line_that_is_whole_and_does_not_decode_is_not_taken_for_one_that_was_cut_off() {
    use std::error::Error;
    use typed_pipe::wire::foreign::ConcatenatedJson;
    use typed_pipe::wire::{DepthLimit, Json};
    use typed_pipe::{Hangup, TypedReceiver};

    fn last<F: Framing, C: Codec>(
        bytes: &[u8],
        wire: Wire<F, C>,
    ) -> (ErrorKind, Option<Hangup>, bool) {
        let mut receiver = TypedReceiver::<(u32, String), &[u8], _, _>::with_wire(bytes, wire);
        let error = receiver.recv().unwrap_err();
        assert_eq!(receiver.last_message(), Some(bytes));
        let told = error.source().is_some();
        assert!(receiver.recv().unwrap_err().is_disconnected());
        (error.kind(), receiver.last_hangup(), told)
    }
    for whole in [&b"[1]"[..], b"[\"a\",1]", b"{}", b"oops", b"\"one\""] {
        let expected = (ErrorKind::Decode, Some(Hangup::Disconnected), true);
        assert_eq!(last(whole, Wire::new(Lines::default(), Json)), expected, "{whole:?}");
        let limited = Wire::new(Lines::default(), DepthLimit::new(Json));
        assert_eq!(last(whole, limited), expected, "{whole:?}");
    }
    let word = last(b"oops", Wire::new(ConcatenatedJson::default(), Json));
    assert_eq!(word, (ErrorKind::Decode, Some(Hangup::Disconnected), true));
    for cut in [&b"[1"[..], b"[1,\"a", b"[1,\"\xC3", b"[1,\"\\u00", b"[", b"nul", b"-"] {
        let (kind, hangup, _) = last(cut, Wire::new(Lines::default(), Json));
        assert_eq!((kind, hangup), (ErrorKind::Truncated, Some(Hangup::Truncated)), "{cut:?}");
    }
}

/// Whatever the reads after that say.
#[test]
fn a_line_that_a_reset_cuts_off_is_no_last_line() {
    use std::collections::VecDeque;
    use std::io;
    use typed_pipe::{Hangup, TypedReceiver};

    struct Reads(VecDeque<io::Result<&'static [u8]>>);
    impl io::Read for Reads {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let mut bytes = self.0.pop_front().unwrap_or(Ok(&[]))?;
            bytes.read(buf)
        }
    }

    let reads = Reads([Ok(&b"one\ntw"[..]), Err(io::ErrorKind::ConnectionReset.into())].into());
    let wire = Wire::new(Lines::default(), Plain);
    let mut lines = TypedReceiver::<String, _, _, _>::with_wire(reads, wire);
    assert_eq!(lines.recv().unwrap(), "one");
    assert_eq!(lines.recv().unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(lines.last_hangup(), Some(Hangup::Truncated));
    assert_eq!(lines.recv().unwrap_err().kind(), ErrorKind::Disconnected);
}

#[cfg(feature = "json")]
#[test]
fn a_line_that_does_not_decode_can_be_read_back() {
    use typed_pipe::TypedReceiver;
    use typed_pipe::wire::Json;

    let wire = Wire::new(Lines::default(), Json);
    let bytes: &[u8] = b"1\r\nlevel=warn two\r\n\n3\n";
    let mut numbers = TypedReceiver::<u32, _, _, _>::with_wire(bytes, wire);
    assert_eq!(numbers.last_message(), None);
    let mut undecoded = Vec::new();
    let mut sum = 0;
    while let Some(number) = numbers.next() {
        match number {
            Ok(number) => sum += number,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Decode);
                undecoded.push(numbers.last_message().unwrap().to_vec());
            }
        }
    }
    assert_eq!((sum, undecoded), (4, vec![b"level=warn two".to_vec(), b"".to_vec()]));
    assert_eq!(numbers.last_message(), None, "the last receive found none");
}

#[cfg(feature = "foreign")]
#[test]
fn a_line_that_is_not_base64_can_be_read_back() {
    use typed_pipe::TypedReceiver;
    use typed_pipe::wire::foreign::Base64Lines;

    // Longer than what is decoded at once.
    let bad = "SGVsbG8h".repeat(2000) + "*";
    let bytes = format!("SGVsbG8=\n{bad}\nV29ybGQ=\n");
    let wire = Wire::new(Base64Lines::default(), Plain);
    let mut lines = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_bytes(), wire);
    assert_eq!(lines.recv().unwrap(), "Hello");
    let error = lines.recv().unwrap_err();
    assert!(matches!(error.frame_error(), Some(FrameError::Base64 { at: 16_000 })), "{error}");
    assert_eq!(lines.last_message(), Some(format!("{bad}\n").as_bytes()));
    assert_eq!(lines.recv().unwrap(), "World");
}

#[cfg(feature = "json")]
#[test]
fn values_of_json_come_however_they_are_laid_out() {
    use typed_pipe::wire::Json;
    use typed_pipe::wire::foreign::ConcatenatedJson;
    use typed_pipe::{Hangup, TypedReceiver, TypedSender};

    let wire = Wire::new(ConcatenatedJson::default(), Json);
    let mut bytes = b"{\n  \"id\": 3\n}\n{\"id\":4}{\"id\" :5}\n".to_vec();
    let mut sender = TypedSender::with_wire(&mut bytes, wire.clone());
    sender.send(&serde_json::json!({ "id": 6, "text": "}\"\\\n" })).unwrap();
    bytes.extend_from_slice(b"oops {\"id\":7");
    let mut receiver = TypedReceiver::<serde_json::Value, _, _, _>::with_wire(&bytes[..], wire);
    for id in 3..=6 {
        assert_eq!(receiver.recv().unwrap()["id"], id);
    }
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(receiver.last_message(), Some(&b"oops"[..]));
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(receiver.last_hangup(), Some(Hangup::Truncated));
}

#[cfg(feature = "json")]
proptest! {
    #[test]
    fn values_of_json_come_in_any_pieces(
        texts in vec(any::<String>(), 1..6),
        numbers in vec(any::<f64>(), 1..6),
        piece in 1_usize..40,
        pretty: bool,
    ) {
        use typed_pipe::wire::Json;
        use typed_pipe::wire::foreign::ConcatenatedJson;

        let numbers: Vec<_> = numbers.into_iter().filter(|number| number.is_finite()).collect();
        let values: Vec<_> =
            texts.iter().map(|text| serde_json::json!({ text: [text, null, numbers] })).collect();
        let write = if pretty { serde_json::to_vec_pretty } else { serde_json::to_vec };
        let bytes = values.iter().flat_map(|value| write(value).unwrap()).collect::<Vec<_>>();
        let wire = Wire::new(ConcatenatedJson::default(), Json);
        let back: Vec<serde_json::Value> = all(read(&mut Decoder::new(wire), &bytes, piece));
        assert_eq!(back, values);
    }

    /// Any bytes make the same messages in any pieces, and a payload that is taken comes back as it is.
    #[test]
    fn any_bytes_among_values_of_json_are_the_same_in_any_pieces(
        noise in vec(any::<u8>(), 0..200),
        piece in 1_usize..40,
    ) {
        use typed_pipe::wire::foreign::ConcatenatedJson;

        let wire = Wire::new(ConcatenatedJson::default(), Plain);
        let signs = noise.iter().map(|byte| b"{}[]\":,\\ 1\n"[usize::from(*byte) % 11]);
        for bytes in [signs.collect(), noise.clone()] {
            let read = |piece| all::<Vec<u8>>(read(&mut Decoder::new(wire.clone()), &bytes, piece));
            let messages = read(piece);
            assert_eq!(messages, read(bytes.len() + 1));
            for payload in messages.iter().map(Vec::as_slice).chain(bytes.chunks(piece)) {
                if let Ok(sent) = written(wire.clone(), &[payload, b"[1]"]) {
                    let back: Vec<Vec<u8>> = all(self::read(&mut Decoder::new(wire.clone()), &sent, piece));
                    assert_eq!(back, [payload, b"[1]"]);
                }
            }
        }
    }
}

proptest! {
    // Each case is many decoders, with a buffer each.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn d26_any_bytes_on_wires_without_base64(
        payloads in vec(vec(any::<u8>(), 0..60), 1..5),
        noise in vec(any::<u8>(), 0..200),
        piece in 1_usize..40,
    ) {
        holds_any_bytes(Lines::default(), &payloads, &noise, piece);
        #[cfg(feature = "foreign")]
        {
            // What is not ASCII is not sent.
            let ascii: Vec<Vec<u8>> =
                payloads.iter().map(|bytes| bytes.iter().map(|byte| byte & 0x7F).collect()).collect();
            holds_any_bytes(Npipes::default(), &ascii, &noise, piece);
            holds_any_bytes(Npipes::default().without_crc(), &ascii, &noise, piece);
            let small: Vec<u8> = noise.iter().map(|byte| byte % 24).collect();
            holds_any_bytes(Npipes::default().without_crc(), &ascii, &small, piece);
        }
    }
}

#[cfg(feature = "foreign")]
mod base64 {
    use typed_pipe::wire::foreign::{Base64Datagrams, Base64Lines};

    use super::*;

    #[test]
    fn base64_datagrams_are_those_of_xp_named_pipe() {
        let bytes = vector("xp_base64_datagrams.bin");
        let messages: Vec<Vec<u8>> =
            listed("xp_base64_datagrams.json").iter().map(|hex| from_hex(hex)).collect();
        speaks_as_the_original(Base64Datagrams::default(), &bytes, &messages);
    }

    #[test]
    fn base64_lines_are_those_of_pipecom() {
        let messages = listed("pipecom_lines.json");
        speaks_as_the_original(Base64Lines::default(), &vector("pipecom_lines.bin"), &messages);
        let ack = ["ACK".to_owned()];
        speaks_as_the_original(Base64Lines::default(), &vector("pipecom_ack.bin"), &ack);
    }

    #[test]
    fn bad_base64_costs_its_message_alone() {
        let bytes = b"SGVsbG8=\0SGVs*G8=\0\0V29ybGQ=\0";
        for piece in 1..bytes.len() {
            let mut decoder = Decoder::new(Wire::new(Base64Datagrams::default(), Plain));
            let read: Vec<Result<String, Error>> = read(&mut decoder, bytes, piece).unwrap();
            let [Ok(first), Err(error), Ok(empty), Ok(last)] = &read[..] else {
                panic!("{read:?}");
            };
            assert_eq!((&first[..], &empty[..], &last[..]), ("Hello", "", "World"));
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert_eq!(error.frame_error(), Some(&FrameError::Base64 { at: 4 }));
            let text =
                "cannot receive from the other side: the message is not base64: byte 4 is wrong";
            assert!(error.to_string().starts_with(text), "{error}");
        }
    }

    #[test]
    fn values_travel_in_base64_as_well() {
        let wire = Wire::new(Base64Datagrams::default(), Postcard);
        let values = [(7_u32, vec![0_u8, 10, 255]), (0, vec![])];
        let bytes = written(wire.clone(), &values).unwrap();
        let back: Vec<(u32, Vec<u8>)> = all(read(&mut Decoder::new(wire), &bytes, 3));
        assert_eq!(back, values);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn d26_any_bytes_on_wires_of_base64(
            payloads in vec(vec(any::<u8>(), 0..60), 1..5),
            noise in vec(any::<u8>(), 0..200),
            piece in 1_usize..40,
        ) {
            holds_any_bytes(Base64Datagrams::default(), &payloads, &noise, piece);
            holds_any_bytes(Base64Lines::default(), &payloads, &noise, piece);
            // Most of it base64.
            let alphabet = b"ABCDabcd0123+/==\n\0";
            let noise: Vec<u8> =
                noise.iter().map(|byte| alphabet[usize::from(*byte) % alphabet.len()]).collect();
            holds_any_bytes(Base64Datagrams::default().limit(9), &payloads, &noise, piece);
            holds_any_bytes(Base64Lines::default().limit(9), &payloads, &noise, piece);
        }
    }

    fn from_hex(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }
}
