use serde::{Deserialize, Serialize};
use serde_json::Deserializer;

use super::Codec;
use super::codec::all_taken;
use super::shape::Style;
use crate::error::CodecError;

/// JSON, one value a message, for peers and people that read text.
///
/// JSON has no NaN and no infinity (they are written as `null`), and the keys of its maps are strings.
///
/// ```
/// use typed_pipe::wire::{Encoder, Json, Wire};
///
/// let mut encoder = Encoder::new(Wire::default().with_codec(Json));
/// encoder.stage(&(7_u32, "hi"))?;
/// assert_eq!(encoder.pending(), b"\0\0\0\x08[7,\"hi\"]");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for a format, without parameters")]
pub struct Json;

impl Codec for Json {
    fn name(&self) -> &str {
        "json"
    }

    fn style(&self) -> Option<Style> {
        Some(Style::Named)
    }

    fn encode<T: Serialize + ?Sized>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        serde_json::to_writer(out, value).map_err(CodecError::format)
    }

    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
        // A stream of values, because it tells where the first one ends.
        let mut values = Deserializer::from_slice(bytes).into_iter();
        let value = match values.next() {
            Some(value) => value.map_err(CodecError::format)?,
            None => return Err(CodecError::format("there is no value in the message")),
        };
        let rest = bytes.get(values.byte_offset()..).unwrap_or_default();
        all_taken(rest.trim_ascii())?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_one_value() {
        let mut out = b"before".to_vec();
        Json.encode(&("a", 1), &mut out).unwrap();
        assert_eq!(out, b"before[\"a\",1]");
    }

    #[test]
    fn reads_one_value_and_the_space_around_it() {
        assert_eq!(Json.decode::<Vec<u8>>(b" [1, 2]\r\n").unwrap(), [1, 2]);
        assert_eq!(Json.decode::<u8>(b" 7 ").unwrap(), 7);
        assert_eq!(Json.decode::<&str>(b"\"hi\"").unwrap(), "hi");
        Json.decode::<()>(b"null").unwrap();
    }

    #[test]
    fn d6_bytes_left_over_are_refused() {
        let second = Json.decode::<Vec<u8>>(b"[1] [2] ");
        assert!(matches!(second, Err(CodecError::Trailing { bytes: 3 })));
        assert!(matches!(Json.decode::<u8>(b"7 x"), Err(CodecError::Trailing { bytes: 1 })));
        assert!(Json.decode::<u8>(b"7x").is_err());
    }

    #[test]
    fn nothing_is_no_value() {
        assert!(matches!(Json.decode::<u8>(b""), Err(CodecError::Format(_))));
        assert!(matches!(Json.decode::<()>(b" "), Err(CodecError::Format(_))));
    }

    #[test]
    fn what_json_cannot_write_is_an_error() {
        let by_pair = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(Json.encode(&by_pair, &mut Vec::new()), Err(CodecError::Format(_))));
    }
}
