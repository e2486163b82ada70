//! Any bytes, on every wire, in any pieces: no panic, nothing without an end, and the pieces make no difference.
#![no_main]

use libfuzzer_sys::fuzz_target;
use typed_pipe::ErrorKind;
use typed_pipe::wire::{Codec, Decoder, Encoder, Framing, Wire};
use typed_pipe_fuzz::{OnWire, Tree, Value, arrive, in_words, on_wire};

/// The first byte chooses the wire, the second the limit and whether the rest is put into frames first, so that the
/// codecs see it, and the third the pieces.
fn decode(data: &[u8]) {
    let [number, how, piece, bytes @ ..] = data else { return };
    let limit = if how & 2 == 0 { 8 << 20 } else { u32::from(*how) };
    let piece = usize::from(*piece) % 64 + 1;
    on_wire(*number, limit, Bytes { framed: how & 1 == 1, piece, bytes });
}

struct Bytes<'a> {
    framed: bool,
    piece: usize,
    bytes: &'a [u8],
}

impl OnWire for Bytes<'_> {
    fn run<F: Framing + Clone, C: Codec + Clone>(self, wire: Wire<F, C>) {
        let framed;
        let bytes = if self.framed {
            framed = frames(&wire, self.bytes, self.piece);
            &framed
        } else {
            self.bytes
        };
        let at_once = events(wire.clone(), bytes, bytes.len().max(1));
        assert_eq!(events(wire.clone(), bytes, self.piece), at_once);
        assert_eq!(events(wire, bytes, 1), at_once);
    }
}

/// Puts the bytes into frames as they are, as no codec would.
fn frames<F: Framing + Clone, C: Codec + Clone>(
    wire: &Wire<F, C>,
    bytes: &[u8],
    piece: usize,
) -> Vec<u8> {
    let mut encoder = Encoder::new(wire.clone());
    for payload in bytes.chunks(piece * 8) {
        let _ = encoder.stage_bytes(payload); // what the framing refuses is not sent
    }
    let mut out = Vec::new();
    while encoder.staged() > 0 {
        out.extend_from_slice(encoder.pending());
        encoder.advance(usize::MAX);
    }
    out
}

/// All that a decoder tells of the bytes.
fn events<F: Framing, C: Codec>(wire: Wire<F, C>, bytes: &[u8], piece: usize) -> Vec<String> {
    let limited = wire.codec().name() != "plain";
    let mut decoder = Decoder::new(wire);
    let mut events = Vec::new();
    'all: for piece in bytes.chunks(piece) {
        arrive(&mut decoder, piece);
        loop {
            match decoder.step() {
                Ok(true) => events.push(message(&mut decoder, limited)),
                Ok(false) => break,
                Err(error) => {
                    events.push(format!("{:?}", error.kind()));
                    if error.is_fatal() {
                        assert_eq!(decoder.step().unwrap_err().kind(), ErrorKind::Poisoned);
                        assert_eq!(decoder.end().kind(), ErrorKind::Poisoned);
                        break 'all;
                    }
                }
            }
            assert!(events.len() <= 3 * bytes.len() + 3, "it goes on for ever");
        }
    }
    events.push(format!("finished: {}", decoder.is_finished()));
    match decoder.step_at_end() {
        Ok(true) => {
            events.push(message(&mut decoder, limited));
            assert!(!decoder.step_at_end().unwrap(), "it was the last");
        }
        Ok(false) => {}
        Err(error) => events.push(format!("{:?}", error.kind())),
    }
    loop {
        let end = decoder.end();
        events.push(format!("{:?}", end.kind()));
        if end.kind() != ErrorKind::MessageLost {
            return events;
        }
        assert!(events.len() <= 3 * bytes.len() + 3, "the end goes on for ever");
    }
}

fn message<F: Framing, C: Codec>(decoder: &mut Decoder<F, C>, limited: bool) -> String {
    let mut words = in_words(decoder.message::<Value>());
    words += &in_words(decoder.message::<String>());
    words += &in_words(decoder.message::<(u64, Option<Vec<i16>>)>());
    words += &in_words(decoder.message::<Vec<u8>>());
    if limited {
        let borrowed = decoder.bytes().map(|bytes| decoder.wire().codec().decode::<Vec<&str>>(bytes).ok());
        words += &in_words(borrowed);
        // A tree of a few levels holds in the limits that all wires here have.
        words += &in_words(decoder.message::<Option<Box<(u8, Option<Box<u8>>)>>>());
    }
    words
}

fuzz_target!(|data: &[u8]| {
    decode(data);
    deep(data);
});

/// A type without an end, behind the codec that sees to it that there is one.
fn deep(data: &[u8]) {
    use typed_pipe::wire::{Bincode, DepthLimit, Json, Postcard};
    let _ = DepthLimit::new(Postcard).decode::<Tree>(data);
    let _ = DepthLimit::new(Bincode::new()).decode::<Tree>(data);
    let _ = Json.decode::<Tree>(data);
    let _ = DepthLimit::new(Json).decode::<Tree>(data);
}
