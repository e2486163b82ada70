//! Payloads in base64, written and read in their place.

use std::ops::Range;

use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use base64::{DecodeError, DecodeSliceError, Engine};

use super::delimited::find;
use crate::error::FrameError;
use crate::wire::Step;
use crate::wire::framing::{expect_within, lowered};

/// Messages in base64, each ended by a byte that is not in the alphabet.
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

    pub(super) fn lower_max_payload(&mut self, bytes: u64) {
        self.limit = lowered(self.limit, bytes);
    }

    /// Completes the frame of the payload `out[start..]`.
    pub(super) fn finish(&self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        let payload = out.get(start..).ok_or(FrameError::OutOfBounds)?;
        expect_within(payload.len(), self.limit)?;
        encode(out, start)?;
        out.push(self.end);
        Ok(())
    }

    /// Finds the first frame, and decodes it in its place.
    pub(super) fn scan(&self, bytes: &mut [u8], scanned: usize) -> Result<Step, FrameError> {
        let end = find(bytes, self.end, scanned);
        expect_within(least_decoded_len(end.unwrap_or(bytes.len())), self.limit)?;
        let Some(end) = end else {
            return Ok(Step::NoEnd { scanned: bytes.len() });
        };
        let frame = end.saturating_add(1);
        let decoded = bytes.get_mut(..end).map_or(Err(FrameError::OutOfBounds), decode);
        let payload: Range<usize> = match decoded {
            Ok(len) => 0..len,
            Err(error) => return Ok(Step::Lost { bytes: frame, error: Box::new(error) }),
        };
        expect_within(payload.end, self.limit)?;
        Ok(Step::Message { payload, frame })
    }
}

/// Makes `out[start..]` base64. From the end to the beginning: so nothing is written over that is still to be
/// read.
fn encode(out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
    let payload = out.len().saturating_sub(start);
    out.resize(start.saturating_add(encoded_len(payload)), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let mut encoded = [0; ENCODED];
    for piece in (0..payload.div_ceil(DECODED)).rev() {
        let from = piece * DECODED;
        let bytes = room.get(from..payload.min(from + DECODED)).unwrap_or_default();
        let len =
            STANDARD.encode_slice(bytes, &mut encoded).map_err(|_| FrameError::OutOfBounds)?;
        let to = piece * ENCODED;
        let (Some(to), Some(from)) = (room.get_mut(to..to + len), encoded.get(..len)) else {
            return Err(FrameError::OutOfBounds);
        };
        to.copy_from_slice(from);
    }
    Ok(())
}

/// Decodes base64 in its place; tells how many bytes it is then.
fn decode(bytes: &mut [u8]) -> Result<usize, FrameError> {
    let mut decoded = [0; DECODED];
    let mut done = 0;
    for from in (0..bytes.len()).step_by(ENCODED) {
        let to = bytes.len().min(from + ENCODED);
        let piece = bytes.get(from..to).unwrap_or_default();
        // Padding ends the message, and stands nowhere else.
        let last = to == bytes.len();
        let read = if last {
            STANDARD.decode_slice(piece, &mut decoded)
        } else {
            STANDARD_NO_PAD.decode_slice(piece, &mut decoded)
        };
        let len =
            read.map_err(|error| FrameError::Base64 { at: from + wrong(&error, piece, last) })?;
        let (Some(to), Some(from)) = (bytes.get_mut(done..done + len), decoded.get(..len)) else {
            return Err(FrameError::OutOfBounds);
        };
        to.copy_from_slice(from);
        done += len;
    }
    Ok(done)
}

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

/// How many bytes of base64 these are.
fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3).saturating_mul(4)
}

/// How many bytes a message has at least, of which so much base64 has come.
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
    }
}
