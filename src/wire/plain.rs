use std::fmt;
use std::str;

use serde::de::value::SeqDeserializer;
use serde::de::{self, Visitor};
use serde::ser::{self, Impossible};
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};

use super::{BorrowingCodec, Codec};
use crate::error::CodecError;

/// Text and bytes as they are, with nothing around them.
///
/// It is for peers without serde: lines of text, and messages of bytes. It carries strings as UTF-8, and sequences of
/// `u8`; a message is always one whole value. A newtype around one of these works as well. All other types are
/// refused.
///
/// Text that is not UTF-8 is [`CodecError::NotUtf8`]. A `Vec<u8>` accepts any bytes.
///
/// ```
/// use typed_pipe::CodecError;
/// use typed_pipe::wire::{Codec, Plain};
///
/// let mut out = Vec::new();
/// Plain.encode("text ", &mut out)?;
/// Plain.encode(&vec![0x62_u8, 0x79], &mut out)?;
/// assert_eq!(out, b"text by");
/// assert_eq!(Plain.decode::<&str>(&out)?, "text by");
/// assert_eq!(Plain.decode::<Vec<u8>>(&[0xFF])?, [0xFF]);
/// assert!(matches!(Plain.decode::<String>(b"a\xFF"), Err(CodecError::NotUtf8 { valid: 1 })));
/// # Ok::<(), CodecError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for a format, without parameters")]
pub struct Plain;

impl Codec for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    fn encode<T: Serialize + ?Sized>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        value.serialize(PlainSerializer { out, element: false }).map_err(|Refused(error)| error)
    }

    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
        T::deserialize(Whole(bytes)).map_err(|Refused(error)| error)
    }
}

impl BorrowingCodec for Plain {}

/// The error of this codec, with the traits that serde requires.
#[derive(Debug)]
struct Refused(CodecError);

impl Refused {
    fn other() -> Self {
        Self(CodecError::format("the type is neither text nor bytes, and nothing else is plain"))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(CodecError::format(message.to_string()))
    }
}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(CodecError::format(message.to_string()))
    }
}

/// The end of a vector: one text, or bytes one by one.
struct PlainSerializer<'a> {
    out: &'a mut Vec<u8>,
    /// Whether this is an element of a sequence.
    element: bool,
}

impl PlainSerializer<'_> {
    fn append(self, bytes: &[u8]) -> Result<(), Refused> {
        if self.element {
            return Err(Refused::other());
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn append_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(PlainSerializer { out: self.out, element: true })
    }
}

impl Serializer for PlainSerializer<'_> {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Impossible<(), Refused>;
    type SerializeTupleVariant = Impossible<(), Refused>;
    type SerializeMap = Impossible<(), Refused>;
    type SerializeStruct = Impossible<(), Refused>;
    type SerializeStructVariant = Impossible<(), Refused>;

    fn serialize_str(self, text: &str) -> Result<(), Refused> {
        self.append(text.as_bytes())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Refused> {
        self.append(bytes)
    }

    fn serialize_u8(self, byte: u8) -> Result<(), Refused> {
        if !self.element {
            return Err(Refused::other());
        }
        self.out.push(byte);
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Refused> {
        if self.element { Err(Refused::other()) } else { Ok(self) }
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Refused> {
        self.serialize_seq(None)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        value.serialize(self)
    }

    fn serialize_bool(self, _: bool) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_i8(self, _: i8) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_i16(self, _: i16) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_i32(self, _: i32) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_i64(self, _: i64) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_u16(self, _: u16) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_u32(self, _: u32) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_u64(self, _: u64) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_f32(self, _: f32) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_f64(self, _: f64) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_char(self, _: char) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_none(self) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_unit(self) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Refused> {
        Err(Refused::other())
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Refused> {
        Err(Refused::other())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Refused> {
        Err(Refused::other())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Refused> {
        Err(Refused::other())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Refused> {
        Err(Refused::other())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Refused> {
        Err(Refused::other())
    }
}

impl ser::SerializeSeq for PlainSerializer<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.append_element(value)
    }

    fn end(self) -> Result<(), Refused> {
        Ok(())
    }
}

impl ser::SerializeTuple for PlainSerializer<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.append_element(value)
    }

    fn end(self) -> Result<(), Refused> {
        Ok(())
    }
}

/// All bytes of a message.
struct Whole<'de>(&'de [u8]);

impl<'de> Whole<'de> {
    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let text = str::from_utf8(self.0)
            .map_err(|error| Refused(CodecError::NotUtf8 { valid: error.valid_up_to() }))?;
        visitor.visit_borrowed_str(text)
    }

    fn sequence<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let mut bytes = SeqDeserializer::<_, Refused>::new(self.0.iter().copied());
        let value = visitor.visit_seq(&mut bytes)?;
        bytes.end()?;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Whole<'de> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused::other())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.text(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_borrowed_bytes(self.0)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_borrowed_bytes(self.0)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.sequence(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refused> {
        self.sequence(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char option unit unit_struct tuple_struct map
        struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Name(String);

    fn encoded<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
        let mut out = b"before".to_vec();
        Plain.encode(value, &mut out)?;
        Ok(out.split_off(6))
    }

    #[test]
    fn text_is_its_utf8() {
        assert_eq!(encoded("héllo").unwrap(), "héllo".as_bytes());
        assert_eq!(encoded(&Name("n".into())).unwrap(), b"n");
        assert_eq!(encoded("").unwrap(), b"");
        assert_eq!(Plain.decode::<String>("héllo".as_bytes()).unwrap(), "héllo");
        assert_eq!(Plain.decode::<&str>(b"").unwrap(), "");
        assert_eq!(Plain.decode::<Name>(b"n").unwrap(), Name("n".into()));
    }

    #[test]
    fn bytes_are_themselves() {
        assert_eq!(encoded(&vec![0_u8, 255]).unwrap(), [0, 255]);
        assert_eq!(encoded(&[1_u8, 2][..]).unwrap(), [1, 2]);
        assert_eq!(encoded(&[1_u8, 2]).unwrap(), [1, 2]);
        assert_eq!(Plain.decode::<Vec<u8>>(&[0, 255]).unwrap(), [0, 255]);
        assert_eq!(Plain.decode::<&[u8]>(&[0, 255]).unwrap(), [0, 255]);
        assert_eq!(Plain.decode::<[u8; 2]>(&[0, 255]).unwrap(), [0, 255]);
        assert!(matches!(Plain.decode::<[u8; 2]>(&[1]), Err(CodecError::Format(_))));
        let left_over = Plain.decode::<[u8; 2]>(&[1, 2, 3]);
        assert!(matches!(left_over, Err(CodecError::Format(_))), "{left_over:?}");
    }

    #[test]
    fn text_that_is_not_utf8_is_told_by_name() {
        let bad = Plain.decode::<String>(b"ab\xFFc");
        assert!(matches!(bad, Err(CodecError::NotUtf8 { valid: 2 })));
        assert_eq!(bad.unwrap_err().to_string(), "the text is not UTF-8 from byte 2 on");
    }

    #[test]
    fn nothing_else_is_plain() {
        assert!(matches!(encoded(&7_u8), Err(CodecError::Format(_))));
        assert!(matches!(encoded(&(1_u8, "two")), Err(CodecError::Format(_))));
        assert!(matches!(encoded(&["one", "two"]), Err(CodecError::Format(_))));
        assert!(matches!(encoded(&[[1_u8]]), Err(CodecError::Format(_))));
        assert!(matches!(encoded(&vec![7_u16]), Err(CodecError::Format(_))));
        assert!(matches!(encoded(&Some("text")), Err(CodecError::Format(_))));
        assert!(matches!(encoded(&()), Err(CodecError::Format(_))));
        assert!(matches!(Plain.decode::<u32>(b"7"), Err(CodecError::Format(_))));
        assert!(matches!(Plain.decode::<Option<String>>(b"7"), Err(CodecError::Format(_))));
        assert!(matches!(Plain.decode::<Vec<String>>(b"7"), Err(CodecError::Format(_))));
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_come_back(bytes in vec(any::<u8>(), 0..300)) {
            assert_eq!(encoded(&bytes).unwrap(), bytes);
            assert_eq!(Plain.decode::<Vec<u8>>(&bytes).unwrap(), bytes);
            assert_eq!(Plain.decode::<&str>(&bytes).ok(), str::from_utf8(&bytes).ok());
        }
    }
}
