//! Base64 payloads, encoded and decoded in place.

use std::ops::Range;

use base64::engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD};
use base64::{DecodeError, DecodeSliceError, EncodeSliceError, Engine};

use super::delimited::find;
use crate::error::FrameError;
use crate::wire::Step;
use crate::wire::framing::ensure_within;

/// Messages in base64, each with a byte outside of the alphabet as its end.
#[derive(Clone, Debug)]
pub(super) struct Base64 {
    limit: u32,
    end: u8,
}

impl Base64 {
    pub(super) fn ended_by(end: u8) -> Self {
        Self { limit: super::LIMIT, end }
    }

    pub(super) fn limit(mut self, bytes: u32) -> Self {
        self.limit = bytes;
        self
    }

    pub(super) fn max_payload(&self) -> u64 {
        self.limit.into()
    }

    /// Completes the frame of the payload `out[start..]`.
    pub(super) fn finish(&self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        let payload = out.get(start..).ok_or(FrameError::OutOfBounds)?;
        ensure_within(payload.len(), self.limit)?;
        encode(out, start)?;
        out.push(self.end);
        Ok(())
    }

    /// Finds the first frame, and decodes it in place.
    pub(super) fn scan(&self, bytes: &mut [u8], from: usize) -> Result<Step, FrameError> {
        let end = find(bytes, self.end, from);
        ensure_within(least_decoded_len(end.unwrap_or(bytes.len())), self.limit)?;
        let Some(end) = end else {
            return Ok(Step::NoEnd { scanned: bytes.len() });
        };
        let frame = end.saturating_add(1);
        let decoded = bytes.get_mut(..end).map_or(Err(FrameError::OutOfBounds), decode);
        let payload: Range<usize> = match decoded {
            Ok(len) => 0..len,
            Err(error) => return Ok(Step::Lost { bytes: frame, error: Box::new(error) }),
        };
        ensure_within(payload.end, self.limit)?;
        Ok(Step::Message { payload, frame })
    }
}

/// Encodes `out[start..]` in place.
fn encode(out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
    let payload = out.len().saturating_sub(start);
    out.resize(start.saturating_add(encoded_len(payload)), 0);
    encode_in_place(out.get_mut(start..).unwrap_or_default(), payload)
}

/// Encodes the first `payload` bytes, which fills the room. It goes from the end to the beginning, so that it overwrites
/// nothing that it has still to read.
fn encode_in_place(room: &mut [u8], payload: usize) -> Result<(), FrameError> {
    let mut encoded = [0; ENCODED];
    for piece in (0..payload.div_ceil(DECODED)).rev() {
        let from = piece * DECODED;
        let bytes = room.get(from..payload.min(from + DECODED)).unwrap_or_default();
        let len = encode_piece(bytes, &mut encoded).map_err(|_| FrameError::OutOfBounds)?;
        let to = piece * ENCODED;
        let (Some(to), Some(from)) = (room.get_mut(to..to + len), encoded.get(..len)) else {
            return Err(FrameError::OutOfBounds);
        };
        to.copy_from_slice(from);
    }
    Ok(())
}

/// Decodes base64 in place; returns the number of bytes. If it fails, all bytes are as before.
fn decode(bytes: &mut [u8]) -> Result<usize, FrameError> {
    let mut decoded = [0; DECODED];
    let mut done = 0;
    for from in (0..bytes.len()).step_by(ENCODED) {
        let to = bytes.len().min(from + ENCODED);
        let piece = bytes.get(from..to).unwrap_or_default();
        // Padding ends the message, and stands nowhere else.
        let last = to == bytes.len();
        let engine = if last { STANDARD } else { STANDARD_NO_PAD };
        let len = match decode_piece(&engine, piece, &mut decoded) {
            Ok(len) => len,
            Err(error) => {
                let at = from + wrong(&error, piece, last);
                encode_in_place(bytes.get_mut(..from).unwrap_or_default(), done)?;
                return Err(FrameError::Base64 { at });
            }
        };
        let (Some(to), Some(from)) = (bytes.get_mut(done..done + len), decoded.get(..len)) else {
            return Err(FrameError::OutOfBounds);
        };
        to.copy_from_slice(from);
        done += len;
    }
    Ok(done)
}

/// Encodes a piece as the engine does, in two thirds of the time.
fn encode_piece(piece: &[u8], encoded: &mut [u8]) -> Result<usize, EncodeSliceError> {
    let whole = piece.len() / 6 * 6;
    let (piece, rest) = piece.split_at(whole);
    let (to, end) = encoded.split_at_mut(whole / 3 * 4);
    for (from, to) in piece.chunks_exact(6).zip(to.chunks_exact_mut(8)) {
        let &[a, b, c, d, e, f] = from else { continue };
        let letters = letters(a, b, c) << 32 | letters(d, e, f);
        to.copy_from_slice(&letters.to_be_bytes());
    }
    STANDARD.encode_slice(rest, end).map(|len| to.len() + len)
}

/// Decodes a piece as the engine does, in two thirds of the time.
fn decode_piece(
    engine: &GeneralPurpose,
    piece: &[u8],
    decoded: &mut [u8],
) -> Result<usize, DecodeSliceError> {
    // The last letters may be padding.
    let whole = piece.len().saturating_sub(1) / 8 * 8;
    let (from, rest) = piece.split_at(whole);
    let (to, end) = decoded.split_at_mut(whole / 4 * 3);
    let mut seen = 0;
    for (from, to) in from.chunks_exact(8).zip(to.chunks_exact_mut(6)) {
        let &[a, b, c, d, e, f, g, h] = from else { continue };
        let (high, low) = (bits([a, b, c, d]), bits([e, f, g, h]));
        seen |= high | low;
        let [_, _, bytes @ ..] = (u64::from(high) << 24 | u64::from(low)).to_be_bytes();
        to.copy_from_slice(&bytes);
    }
    if seen & NO_LETTER == 0 {
        if let Ok(len) = engine.decode_slice(rest, end) {
            return Ok(to.len() + len);
        }
    }
    // A byte is wrong: the engine's error names it.
    engine.decode_slice(piece, decoded)
}

/// The four letters of three bytes.
#[inline]
fn letters(a: u8, b: u8, c: u8) -> u64 {
    let (a, b, c) = (usize::from(a), usize::from(b), usize::from(c));
    let two = |bits: usize| LETTERS.get(bits).map_or(0, |two| u64::from(*two));
    two(a << 4 | b >> 4) << 16 | two((b & 0xF) << 8 | c)
}

/// The bits of four letters, and [`NO_LETTER`] where one of them is none.
#[inline]
fn bits([a, b, c, d]: [u8; 4]) -> u32 {
    let [first, second, third, fourth] = &VALUES;
    let of = |values: &[u32; 256], letter| values.get(usize::from(letter)).copied();
    let of = |values, letter| of(values, letter).unwrap_or(NO_LETTER);
    of(first, a) | of(second, b) | of(third, c) | of(fourth, d)
}

/// The two letters of twelve bits.
#[expect(clippy::indexing_slicing, reason = "the compiler makes it, and checks each place")]
static LETTERS: [u16; 1 << 12] = {
    let mut letters = [0; 1 << 12];
    let mut bits = 0;
    while bits < letters.len() {
        letters[bits] = u16::from_be_bytes([ALPHABET[bits >> 6], ALPHABET[bits & 63]]);
        bits += 1;
    }
    letters
};

/// The bits of each letter, in each of four places of 24 bits.
#[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "the compiler makes it")]
static VALUES: [[u32; 1 << 8]; 4] = {
    let mut values = [[NO_LETTER; 1 << 8]; 4];
    let mut value = 0;
    while value < ALPHABET.len() {
        let letter = ALPHABET[value] as usize;
        let mut place = 0;
        while place < values.len() {
            values[place][letter] = (value as u32) << (18 - 6 * place);
            place += 1;
        }
        value += 1;
    }
    values
};

const NO_LETTER: u32 = 1 << 31;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Where the first wrong byte is.
fn wrong(error: &DecodeSliceError, piece: &[u8], last: bool) -> usize {
    match error {
        DecodeSliceError::DecodeError(
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol { offset: at, .. },
        ) => *at,
        // Padding too early, or none where it should be.
        _ => piece.iter().position(|&byte| byte == b'=').filter(|_| !last).unwrap_or(piece.len()),
    }
}

/// The length of these bytes as base64.
fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3).saturating_mul(4)
}

/// The minimum length of a message of which so much base64 has arrived.
fn least_decoded_len(encoded: usize) -> usize {
    match encoded.div_ceil(4) {
        0 => 0,
        groups => (groups - 1) * 3 + 1,
    }
}

/// The bytes that are encoded at once.
const DECODED: usize = 3 << 10;

/// The bytes that are decoded at once: as many.
const ENCODED: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    fn coded(payload: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        out.extend_from_slice(payload);
        encode(&mut out, 6).unwrap();
        out.split_off(6)
    }

    fn bad(text: &str) -> usize {
        match decode(&mut text.as_bytes().to_vec()) {
            Err(FrameError::Base64 { at }) => at,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_place_of_what_is_wrong_is_told() {
        assert_eq!(bad("YQ="), 3);
        assert_eq!(bad("YQ"), 2);
        assert_eq!(bad("Y"), 1);
        assert_eq!(bad("YWJ*"), 3);
        assert_eq!(bad("YQ==YQ=="), 2);
        assert_eq!(bad("YR=="), 1, "bits that would be lost");
        assert_eq!(bad("YW-_"), 2, "the other alphabet");
        assert_eq!(bad(" YWJj"), 0);
        let mut long = "YWJj".repeat(3000);
        long.replace_range(4094..4096, "==");
        assert_eq!(bad(&long), 4094, "padding is for the end alone");
        assert_eq!(bad(&("YWJj".repeat(3000) + "*")), 12000);
    }

    #[test]
    fn the_limit_is_that_of_the_payload() {
        let base64 = Base64::ended_by(b'\n').limit(4);
        let mut out = b"abcd".to_vec();
        base64.finish(&mut out, 0).unwrap();
        let step = base64.scan(&mut out, 0).unwrap();
        assert_eq!(step, Step::Message { payload: 0..4, frame: 9 });
        let large = base64.finish(&mut b"abcde".to_vec(), 0);
        assert_eq!(large, Err(FrameError::TooLarge { len: 5, limit: 4 }));
        let five = Base64::ended_by(b'\n').limit(4).scan(&mut b"YWJjZGU=\n".to_owned(), 0);
        assert_eq!(five, Err(FrameError::TooLarge { len: 5, limit: 4 }));
        let more = Base64::ended_by(b'\n').limit(4).scan(&mut b"YWJjZGVmZw".to_owned(), 0);
        assert_eq!(more, Err(FrameError::TooLarge { len: 7, limit: 4 }));
        let more = Base64::ended_by(b'\n').limit(3).scan(&mut b"YWJjZ".to_owned(), 0);
        assert_eq!(more, Err(FrameError::TooLarge { len: 4, limit: 3 }));
        let three = Base64::ended_by(b'\n').limit(3).scan(&mut b"YWJj".to_owned(), 0);
        assert_eq!(three, Ok(Step::NoEnd { scanned: 4 }));
    }

    proptest! {
        #[test]
        fn pieces_make_what_the_whole_makes(payload in vec(any::<u8>(), 0..10_000)) {
            let mut whole = vec![0; encoded_len(payload.len())];
            STANDARD.encode_slice(&payload, &mut whole).unwrap();
            let mut ours = coded(&payload);
            assert_eq!(ours, whole);
            let len = decode(&mut ours).unwrap();
            assert_eq!(&ours[..len], payload);
        }

        #[test]
        fn no_bytes_make_a_panic(mut bytes in vec(any::<u8>(), 0..10_000)) {
            let _ = decode(&mut bytes);
        }

        #[test]
        fn what_is_not_base64_is_left_as_it_was(
            payload in vec(any::<u8>(), 0..10_000),
            at in any::<usize>(),
        ) {
            let mut bytes = coded(&payload);
            bytes.insert(at % (bytes.len() + 1), b'*');
            let before = bytes.clone();
            decode(&mut bytes).unwrap_err();
            assert_eq!(bytes, before);
        }
    }
}
