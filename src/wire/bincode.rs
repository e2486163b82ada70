use bincode::config;
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::{Deserialize, Serialize};

use super::codec::all_taken;
use super::shape::Style;
use super::{BorrowingCodec, Codec};
use crate::error::CodecError;

/// [Bincode 2](https://docs.rs/bincode/2.0.1) in its standard configuration, for peers that speak it.
///
/// **bincode is not maintained.** Its authors ended development in December 2025
/// ([RUSTSEC-2025-0141](https://rustsec.org/advisories/RUSTSEC-2025-0141)), and audit tools report
/// every version of it. Version 3.0.0 is a tombstone that does not compile. 2.0.1 is the last that
/// works, so it is pinned, and this codec is opt-in. For new programs use [`Postcard`](super::Postcard).
///
/// A message may claim at most `LIMIT` bytes; without a limit, nine bytes could ask for 2^46 bytes
/// of memory. bincode counts in the sizes of Rust's types: a `u64` claims eight bytes even if it is
/// encoded in one. The default of 64 MiB is thus enough for every frame of 8 MiB, except for a long
/// run of 128-bit numbers.
///
/// ```
/// use typed_pipe::wire::{Bincode, Encoder, Wire};
///
/// let mut encoder = Encoder::new(Wire::default().with_codec(Bincode::new()));
/// encoder.stage(&(7_u32, "hi"))?;
/// assert_eq!(encoder.pending(), b"\0\0\0\x04\x07\x02hi");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "bincode")))]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Bincode<const LIMIT: usize = { 64 << 20 }>;

impl Bincode {
    /// The codec, with a limit of 64 MiB.
    ///
    /// ```
    /// use typed_pipe::wire::{Bincode, Codec};
    ///
    /// let mut payload = Vec::new();
    /// Bincode::new().encode(&300_u16, &mut payload)?;
    /// assert_eq!(payload, [251, 44, 1]); // as bincode writes it: postcard has two bytes for that
    /// # Ok::<(), typed_pipe::CodecError>(())
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<const LIMIT: usize> Bincode<LIMIT> {
    /// The codec, with another limit: `Bincode::new().limit::<4096>()`.
    ///
    /// ```
    /// use typed_pipe::wire::{Bincode, Codec};
    ///
    /// let small: Bincode<4> = Bincode::new().limit();
    /// assert_eq!(small.decode::<u32>(&[7])?, 7);
    /// assert!(small.decode::<u64>(&[7]).is_err()); // in one byte too, it claims eight
    /// # Ok::<(), typed_pipe::CodecError>(())
    /// ```
    #[must_use]
    pub const fn limit<const BYTES: usize>(self) -> Bincode<BYTES> {
        Bincode
    }
}

impl<const LIMIT: usize> Codec for Bincode<LIMIT> {
    fn name(&self) -> &str {
        "bincode"
    }

    fn style(&self) -> Option<Style> {
        Some(Style::Positional)
    }

    fn encode<T: Serialize + ?Sized>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let config = config::standard().with_limit::<LIMIT>();
        bincode::serde::encode_into_writer(value, BincodeWriter(out), config)
            .map_err(CodecError::format)
    }

    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
        let config = config::standard().with_limit::<LIMIT>();
        let (value, taken) =
            bincode::serde::borrow_decode_from_slice(bytes, config).map_err(CodecError::format)?;
        all_taken(bytes.get(taken..).unwrap_or_default())?;
        Ok(value)
    }
}

impl<const LIMIT: usize> BorrowingCodec for Bincode<LIMIT> {}

/// The end of a vector.
struct BincodeWriter<'a>(&'a mut Vec<u8>);

impl Writer for BincodeWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
        let mut out = vec![0xAA];
        Bincode::new().encode(value, &mut out).unwrap();
        assert_eq!(out.remove(0), 0xAA);
        out
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(encoded(&()), b"");
        assert_eq!(encoded(&(7_u32, "hi")), b"\x07\x02hi");
        assert_eq!(encoded(&(300_u16, -1_i32, true)), [251, 0x2C, 0x01, 0x01, 0x01]);
    }

    #[test]
    fn reads_what_it_wrote() {
        let value = (u64::MAX, vec![Some("a".to_owned()), None], [0.5_f64; 3], i128::MIN, 'ß');
        let bytes = encoded(&value);
        assert_eq!(
            Bincode::new()
                .decode::<(u64, Vec<Option<String>>, [f64; 3], i128, char)>(&bytes)
                .unwrap(),
            value
        );
        assert_eq!(Bincode::new().decode::<&str>(b"\x02hi").unwrap(), "hi");
    }

    #[test]
    fn d6_bytes_left_over_are_refused() {
        let trailing = Bincode::new().decode::<u8>(&[7, 1, 2, 3]);
        assert!(matches!(trailing, Err(CodecError::Trailing { bytes: 3 })));
    }

    #[test]
    fn d1_nine_bytes_cannot_ask_for_2_46_bytes() {
        let mut hostile = vec![253];
        hostile.extend_from_slice(&(1_u64 << 46).to_le_bytes());
        assert!(matches!(Bincode::new().decode::<String>(&hostile), Err(CodecError::Format(_))));
        assert!(matches!(Bincode::new().decode::<Vec<u8>>(&hostile), Err(CodecError::Format(_))));
    }

    #[test]
    fn the_limit_can_be_set() {
        let small = Bincode::new().limit::<8>();
        // The length claims eight bytes itself.
        assert!(matches!(small.decode::<String>(b"\x02hi"), Err(CodecError::Format(_))));
        assert!(small.decode::<u64>(&[7]).is_ok());
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes hours there")]
    fn a_frame_of_8_mib_of_small_numbers_is_within_the_limit() {
        let value = vec![7_u64; (8 << 20) - 9];
        assert_eq!(Bincode::new().decode::<Vec<u64>>(&encoded(&value)).unwrap(), value);
    }
}
