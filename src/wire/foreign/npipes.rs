use super::LIMIT;
use crate::error::FrameError;
use crate::wire::framing::BuiltIn;
use crate::wire::framing::ensure_within;
use crate::wire::{Scan, Step};

/// The frames of npipes: two lengths, the payload, and its CRC-32.
///
/// npipes sends the CRC or leaves it out, and both sides must do the same. This framing sends it, unless set
/// [`without_crc`](Self::without_crc). npipes itself accepts only ASCII text: send it with
/// [`Plain`](crate::wire::Plain). Other bytes are not sent: the error is [`Encode`](crate::ErrorKind::Encode).
///
/// ```
/// use typed_pipe::wire::foreign::Npipes;
/// use typed_pipe::wire::{Encoder, Plain, Wire};
///
/// let mut encoder = Encoder::new(Wire::new(Npipes::default().without_crc(), Plain));
/// encoder.stage("hi")?;
/// assert_eq!(encoder.pending(), b"\0\0\0\x0A\0\0\0\x02hi\0\0\0\0");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Npipes {
    limit: u32,
    crc: bool,
}

impl Npipes {
    /// Sets the largest payload, in bytes, that is sent or received; 8 MiB unless set.
    ///
    /// A limit above `0xFFFF_FFF7`, the largest length there is, means just that length.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Npipes;
    /// use typed_pipe::wire::{Plain, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver};
    ///
    /// let wire = Wire::new(Npipes::default().limit(4), Plain);
    /// let header: &[u8] = b"\0\0\0\x0D\0\0\0\x05"; // five bytes, and eight around them
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(header, wire);
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::TooLarge); // the five are not waited for
    /// ```
    #[must_use]
    pub fn limit(mut self, bytes: u32) -> Self {
        self.limit = bytes.min(MAX_LENGTH);
        self
    }

    /// Writes 0 in place of the CRC, and ignores the one that arrives.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Npipes;
    /// use typed_pipe::wire::{Plain, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver};
    ///
    /// let receive = |framing: Npipes| {
    ///     let bytes = b"\0\0\0\x0A\0\0\0\x02hi\0\0\0\0"; // 0 in the place of the CRC
    ///     TypedReceiver::<String, _, _, _>::with_wire(&bytes[..], Wire::new(framing, Plain)).recv()
    /// };
    /// assert_eq!(receive(Npipes::default()).unwrap_err().kind(), ErrorKind::Corrupt);
    /// assert_eq!(receive(Npipes::default().without_crc())?, "hi");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn without_crc(mut self) -> Self {
        self.crc = false;
        self
    }

    fn checksum(&self, payload: &[u8]) -> u32 {
        if self.crc { crc32fast::hash(payload) } else { 0 }
    }
}

impl Default for Npipes {
    fn default() -> Self {
        Self { limit: LIMIT, crc: true }
    }
}

impl BuiltIn for Npipes {
    fn name(&self) -> &str {
        "npipes"
    }

    fn max_payload(&self) -> u64 {
        self.limit.into()
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; HEADER]);
    }

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        let Some((header, payload)) =
            out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut::<HEADER>)
        else {
            return Err(FrameError::OutOfBounds);
        };
        let length = ensure_within(payload.len(), self.limit)?;
        // npipes reads no other text, and says nothing about what it drops.
        if let Some((at, &byte)) = payload.iter().enumerate().find(|(_, byte)| !byte.is_ascii()) {
            return Err(FrameError::Delimiter { at, byte });
        }
        let lengths = (u64::from(length.saturating_add(AROUND)) << 32) | u64::from(length);
        *header = lengths.to_be_bytes();
        let checksum = self.checksum(payload);
        out.extend_from_slice(&checksum.to_be_bytes());
        Ok(())
    }

    fn scan(&mut self, bytes: &mut [u8], _: Scan) -> Result<Step, FrameError> {
        let Some(total) = word(bytes, 0) else {
            return Ok(Step::More { total: HEADER });
        };
        // Checked before the rest has arrived: the receiver would wait for a wrong length.
        let Some(length) = total.checked_sub(AROUND) else {
            return Err(FrameError::Header { word: total });
        };
        let payload = usize::try_from(length).unwrap_or(usize::MAX);
        ensure_within(payload, self.limit)?;
        match word(bytes, WORD) {
            None => return Ok(Step::More { total: HEADER }),
            Some(word) if word != length => return Err(FrameError::Header { word }),
            Some(_) => {}
        }
        let end = HEADER.saturating_add(payload);
        let frame = end.saturating_add(WORD);
        let (Some(payload), Some(found)) = (bytes.get(HEADER..end), word(bytes, end)) else {
            return Ok(Step::More { total: frame });
        };
        if self.crc {
            let computed = self.checksum(payload);
            if found != computed {
                return Err(FrameError::Checksum { found, computed });
            }
        }
        Ok(Step::Message { payload: HEADER..end, frame })
    }
}

/// The number at a place, if it has arrived.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// The bytes of a number.
const WORD: usize = size_of::<u32>();

/// The bytes of both lengths.
const HEADER: usize = 2 * WORD;

/// What the first length counts beside the payload: the second one, and the CRC.
const AROUND: u32 = 8;

/// The largest length of a payload.
const MAX_LENGTH: u32 = u32::MAX - AROUND;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::framing::framed;

    #[test]
    fn lengths_are_checked_before_the_payload_comes() {
        let mut npipes = Npipes::default().limit(3);
        assert!(framed(&mut npipes, b"abc").is_ok());
        assert!(matches!(framed(&mut npipes, b"abcd"), Err(FrameError::TooLarge { len: 4, .. })));
        let mut scan = |bytes: &[u8]| npipes.scan(&mut bytes.to_vec(), Scan::default());
        assert_eq!(scan(&[0, 0, 0, 11]), Ok(Step::More { total: 8 }));
        assert_eq!(scan(&[0, 0, 0, 12]), Err(FrameError::TooLarge { len: 4, limit: 3 }));
        assert_eq!(scan(&[0, 0, 0, 7]), Err(FrameError::Header { word: 7 }));
        assert_eq!(scan(&[0, 0, 0, 11, 0, 0, 0, 2]), Err(FrameError::Header { word: 2 }));
        assert_eq!(scan(&[0, 0, 0, 11, 0, 0, 0, 3]), Ok(Step::More { total: 15 }));
        let all = Npipes::default().limit(u32::MAX).scan(&mut [0xFF; 4], Scan::default());
        assert!(matches!(all, Ok(Step::More { total: 8 })));
    }

    #[test]
    fn the_checksum_is_looked_at_unless_it_is_left_out() {
        let mut frame = framed(&mut Npipes::default(), b"Hello").unwrap();
        frame[8] ^= 1;
        let damaged = Npipes::default().scan(&mut frame, Scan::default());
        assert!(matches!(damaged, Err(FrameError::Checksum { found: 0xF7D1_8982, .. })));
        let step = Npipes::default().without_crc().scan(&mut frame, Scan::default()).unwrap();
        assert_eq!(step, Step::Message { payload: 8..13, frame: 17 });
        let mut without = framed(&mut Npipes::default().without_crc(), b"Hello").unwrap();
        let missing = Npipes::default().scan(&mut without, Scan::default());
        assert!(matches!(missing, Err(FrameError::Checksum { found: 0, .. })));
    }

    #[test]
    fn text_that_npipes_does_not_read_is_not_sent() {
        let refused = framed(&mut Npipes::default(), "héllo".as_bytes()).unwrap_err();
        assert_eq!(refused, FrameError::Delimiter { at: 1, byte: 0xC3 });
        assert!(refused.to_string().contains("is not ASCII"), "{refused}");
    }

    #[test]
    fn a_checksum_of_0_hints_at_a_sender_that_leaves_it_out() {
        let mut without = framed(&mut Npipes::default().without_crc(), b"Hello").unwrap();
        let error = Npipes::default().scan(&mut without, Scan::default()).unwrap_err();
        assert!(error.to_string().contains("`without_crc`"), "{error}");
        let damaged = FrameError::Checksum { found: 7, computed: 8 };
        assert!(!damaged.to_string().contains("`without_crc`"), "{damaged}");
    }

    #[test]
    fn a_frame_without_its_header_is_refused() {
        for start in [0, 9] {
            let finished = Npipes::default().finish(&mut vec![0; 7], start);
            assert_eq!(finished, Err(FrameError::OutOfBounds));
        }
    }
}
