mod exact;

use serde::{Deserialize, Serialize};
use serde_json::Deserializer;

use self::exact::Exact;

use super::Codec;
use super::codec::all_taken;
use super::shape::Style;
use crate::error::CodecError;

/// JSON, one value a message, for peers and people that read text.
///
/// Every finite number and every text arrives unchanged. A value that JSON cannot write or would confuse with another is
/// not sent: NaN and the infinities, `Some` of a value that is itself `null` (`Some(None)`, `Some(())`), and maps whose
/// keys are neither texts nor numbers.
///
/// A text with an escape in it cannot be borrowed from the message. So
/// [`recv_ref`](crate::TypedReceiver::recv_ref) does not compile with this codec. If the type does not ask for an integer
/// (`serde_json::Value`, `untagged`, `flatten`), one of more than 64 bits becomes a floating-point number.
///
/// ```compile_fail,E0277
/// # use typed_pipe::{Error, TypedReceiver, wire::{Json, LengthPrefixed}};
/// fn first(lines: &mut TypedReceiver<String, &[u8], LengthPrefixed, Json>) -> Result<&str, Error> {
///     lines.recv_ref() // `"plain"` would work, and `"two\nlines"` would not
/// }
/// ```
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
        serde_json::to_writer(out, &Exact::new(value)).map_err(CodecError::format)
    }

    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
        // A stream of values, because it knows where the first one ends.
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
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use proptest::prelude::{any, proptest};
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::wire::DepthLimit;

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

    fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
        let mut out = Vec::new();
        Json.encode(value, &mut out).unwrap();
        assert_eq!(&Json.decode::<T>(&out).unwrap(), value);
        assert_eq!(&DepthLimit::new(Json).decode::<T>(&out).unwrap(), value);
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Loose {
        Whole(i64),
        Number(f64),
        Fields { number: f32, rest: Option<Vec<f64>> },
    }

    proptest! {
        #[test]
        fn every_number_comes_back(bits in any::<u64>(), wide in any::<u128>(), unit in 0.0..1.0) {
            for number in [f64::from_bits(bits), unit].into_iter().filter(|number| number.is_finite()) {
                comes_back(&number);
                comes_back(&Some(vec![(number, -number)]));
                comes_back(&Loose::Fields { number: 0.5, rest: Some(vec![number]) });
            }
            for half in [bits, bits >> 32] {
                let number = f32::from_bits(u32::try_from(half & 0xFFFF_FFFF).unwrap());
                if number.is_finite() {
                    comes_back(&number);
                }
            }
            let signed = i64::from_ne_bytes(bits.to_ne_bytes());
            let wide_signed = i128::from_ne_bytes(wide.to_ne_bytes());
            comes_back(&(bits, signed, wide, wide_signed));
            comes_back(&BTreeMap::from([(bits, signed)]));
            comes_back(&BTreeMap::from([(wide_signed, wide)]));
        }
    }

    #[test]
    fn the_ends_of_the_numbers_come_back() {
        comes_back(&(u64::MAX, i64::MIN, u128::MAX, i128::MIN));
        comes_back(&(f64::MAX, f64::MIN_POSITIVE, 5e-324_f64, f64::EPSILON));
        comes_back(&(f32::MAX, f32::MIN_POSITIVE, 1e-45_f32, 0.1_f32 + 0.2));
        let mut out = Vec::new();
        Json.encode(&-0.0_f64, &mut out).unwrap();
        assert!(Json.decode::<f64>(&out).unwrap().is_sign_negative());
        comes_back(&Loose::Whole(i64::MIN));
        comes_back(&Loose::Number(1e300));
    }

    #[test]
    fn what_would_arrive_as_something_else_is_not_sent() {
        #[derive(Serialize)]
        struct Unit;
        #[derive(Serialize)]
        struct Newtype<T>(T);
        #[derive(Serialize)]
        struct Fields<T> {
            field: T,
        }

        fn refused(value: &impl Serialize) -> String {
            Json.encode(value, &mut Vec::new()).unwrap_err().to_string()
        }
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(refused(&number), "JSON has no NaN and no infinity");
            refused(&Some(number));
            refused(&vec![(1, Fields { field: number })]);
            refused(&BTreeMap::from([("key", Newtype(number))]));
        }
        refused(&f32::NAN);
        assert!(refused(&Some(None::<u8>)).contains("would arrive as `None`"));
        refused(&Some(()));
        refused(&Some(Unit));
        refused(&Some(Newtype(None::<u8>)));
        refused(&Some(Some(())));
        refused(&Fields { field: Some(Newtype(())) });
        refused(&Some(serde_json::Value::Null));
    }

    #[test]
    fn what_is_null_alone_comes_back() {
        comes_back(&());
        comes_back(&None::<u8>);
        comes_back(&vec![None, Some(Some(7))]);
        comes_back(&Some(vec![None::<u8>]));
        comes_back(&Some((None::<u8>, ())));
        comes_back(&BTreeMap::from([(true, None::<u8>)]));
        comes_back(&BTreeMap::from([('"', "\\\"\n\u{0}\u{FFFF}".to_owned())]));
        comes_back(&serde_json::json!({ "a": [null, { "b": null }] }));
    }

    #[test]
    fn what_json_cannot_write_is_an_error() {
        let by_pair = BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(Json.encode(&by_pair, &mut Vec::new()), Err(CodecError::Format(_))));
    }
}
