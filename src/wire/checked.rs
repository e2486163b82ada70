use super::framing::BuiltIn;
use super::length_prefixed::{Announced, HEADER, HELLO};
use super::{LengthPrefixed, Scan, Step};
use crate::error::FrameError;

/// [`LengthPrefixed`] with a checksum after the payload.
///
/// The checksum is the CRC-32 of zlib, Ethernet and PNG (CRC-32/ISO-HDLC) of header and payload, as a
/// `u32` big-endian. The length counts the payload alone. The goodbye is its word and the checksum of that.
///
/// A pipe does not damage bytes. The checksum finds misuse of a pipe: mixed frames of several writers, a writer
/// killed in the middle of a frame while another one goes on, a program that writes to the wrong pipe. It is no
/// authentication: any process that can write to the pipe can compute it.
///
/// ```
/// use typed_pipe::wire::{Checked, Encoder, Wire};
///
/// let mut encoder = Encoder::new(Wire::default().with_framing(Checked::default()));
/// encoder.stage(&())?;
/// assert_eq!(encoder.pending(), [0, 0, 0, 0, 0x21, 0x44, 0xDF, 0x1C]);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[doc(alias("crc32", "checksum"))]
pub struct Checked {
    prefix: LengthPrefixed,
}

impl Checked {
    /// Sets the largest payload, in bytes, that is sent or received.
    ///
    /// A limit above `0xFFFF_FEFF`, the largest length there is, means just that length.
    ///
    /// ```
    /// use typed_pipe::ErrorKind;
    /// use typed_pipe::wire::{Checked, Encoder, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::default().with_framing(Checked::default().limit(3)));
    /// encoder.stage("hi")?; // a payload of three bytes: neither header nor checksum are counted
    /// assert_eq!(encoder.stage("hello").unwrap_err().kind(), ErrorKind::TooLarge);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn limit(self, bytes: u32) -> Self {
        Self { prefix: self.prefix.limit(bytes) }
    }
}

impl BuiltIn for Checked {
    fn name(&self) -> &str {
        "checked"
    }

    fn max_payload(&self) -> u64 {
        self.prefix.max_payload()
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        LengthPrefixed::begin(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        self.prefix.finish(out.get_mut(start..))?;
        append_checksum(out, start);
        Ok(())
    }

    fn scan(&mut self, bytes: &mut [u8], _: Scan) -> Result<Step, FrameError> {
        let (covered, goodbye) = match self.prefix.announced(bytes)? {
            Some(Announced::Message { covered }) => (covered, false),
            Some(Announced::Goodbye) => (HEADER, true),
            Some(Announced::Hello) => return Err(FrameError::Header { word: HELLO }),
            None => return Ok(Step::More { total: HEADER }),
        };
        let Some((covered_bytes, found)) = bytes
            .split_at_checked(covered)
            .and_then(|(covered, rest)| Some((covered, rest.first_chunk()?)))
        else {
            return Ok(Step::More { total: covered.saturating_add(CHECKSUM) });
        };
        let (found, computed) = (u32::from_be_bytes(*found), crc32fast::hash(covered_bytes));
        if found != computed {
            return Err(FrameError::Checksum { found, computed });
        }
        let frame = covered + CHECKSUM;
        Ok(if goodbye {
            Step::Goodbye { bytes: frame }
        } else {
            Step::Message { payload: HEADER..covered, frame }
        })
    }

    fn goodbye(&mut self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        LengthPrefixed::goodbye(out);
        append_checksum(out, start);
        true
    }
}

/// Appends the checksum of `out[start..]`.
fn append_checksum(out: &mut Vec<u8>, start: usize) {
    let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_be_bytes());
}

/// The bytes of the checksum.
const CHECKSUM: usize = size_of::<u32>();

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::super::framing::framed;
    use super::*;

    #[test]
    fn golden_bytes() {
        let frame = framed(&mut Checked::default(), b"\x07\x02hi").unwrap();
        assert_eq!(frame, b"\0\0\0\x04\x07\x02hi\x97\xBB\xAD\x2D");
    }

    #[test]
    fn the_goodbye_has_a_checksum() {
        let mut out = b"before".to_vec();
        assert!(Checked::default().goodbye(&mut out));
        let mut goodbye = out.split_off(6);
        assert_eq!(goodbye.len(), 8);
        for cut in 4..8 {
            let step = Checked::default().scan(&mut goodbye[..cut], Scan::default()).unwrap();
            assert_eq!(step, Step::More { total: 8 });
        }
        assert_eq!(
            Checked::default().scan(&mut goodbye, Scan::default()).unwrap(),
            Step::Goodbye { bytes: 8 }
        );
        goodbye[7] ^= 1;
        let damaged = Checked::default().scan(&mut goodbye, Scan::default());
        assert!(matches!(damaged, Err(FrameError::Checksum { .. })));
    }

    #[test]
    fn the_checksum_is_the_common_one() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn every_cut_waits_for_the_rest() {
        let mut frame = framed(&mut Checked::default(), b"payload").unwrap();
        for cut in 1..frame.len() {
            let total = if cut < 4 { 4 } else { frame.len() };
            let step = Checked::default().scan(&mut frame[..cut], Scan::default()).unwrap();
            assert_eq!(step, Step::More { total });
        }
        let step = Checked::default().scan(&mut frame, Scan::default()).unwrap();
        assert_eq!(step, Step::Message { payload: 4..11, frame: 15 });
    }

    #[test]
    fn the_limit_is_that_of_the_payload() {
        let mut framing = Checked::default().limit(3);
        assert!(framed(&mut framing, b"abc").is_ok());
        assert!(matches!(
            framed(&mut framing, b"abcd"),
            Err(FrameError::TooLarge { len: 4, limit: 3 })
        ));
        assert!(matches!(
            framing.scan(&mut [0, 0, 0, 4], Scan::default()),
            Err(FrameError::TooLarge { .. })
        ));
        assert!(matches!(
            framing.scan(&mut [0xFF; 4], Scan::default()),
            Err(FrameError::Header { .. })
        ));
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_found(payload in vec(any::<u8>(), 0..40), next in vec(any::<u8>(), 0..40)) {
            let frame = framed(&mut Checked::default(), &payload).unwrap();
            let next = framed(&mut Checked::default(), &next).unwrap();
            for bit in 0..frame.len() * 8 {
                let mut damaged = frame.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                damaged.extend_from_slice(&next);
                // A damaged length may ask for more than there is: a message it never is.
                let step = Checked::default().scan(&mut damaged, Scan::default());
                assert!(matches!(step, Ok(Step::More { .. }) | Err(_)), "{bit} {step:?}");
            }
        }
    }
}
