use postcard::{Deserializer, de_flavors, ser_flavors};
use serde::{Deserialize, Serialize};

use super::shape::Style;
use crate::error::CodecError;

/// Encodes a value as bytes, and decodes it.
///
/// Any crate may implement this trait: a format with serde support becomes a codec in a few lines. Framings are made in
/// [a wire of your own](crate::your_own_wire).
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::CodecError;
/// use typed_pipe::wire::{Codec, Encoder, Wire};
///
/// struct PrettyJson;
///
/// impl Codec for PrettyJson {
///     fn name(&self) -> &str {
///         "json"
///     }
///
///     fn encode<T: Serialize + ?Sized>(&self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
///         serde_json::to_writer_pretty(out, value).map_err(CodecError::format)
///     }
///
///     fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
///         serde_json::from_slice(bytes).map_err(CodecError::format)
///     }
/// }
///
/// let mut encoder = Encoder::new(Wire::default().with_codec(PrettyJson));
/// encoder.stage(&[1, 2])?;
/// assert_eq!(encoder.pending(), b"\0\0\0\x0c[\n  1,\n  2\n]");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
pub trait Codec {
    /// The name of the format: short, in lower case, and the same on both sides.
    ///
    /// A handshake compares it, and so does a framing that introduces its writers, such as
    /// [`MultiWriter`](super::MultiWriter).
    ///
    /// ```
    /// use typed_pipe::wire::{Codec, DepthLimit, Plain, Postcard};
    ///
    /// assert_eq!((Postcard.name(), Plain.name()), ("postcard", "plain"));
    /// assert_eq!(DepthLimit::new(Postcard).name(), Postcard.name()); // it writes the same bytes
    /// ```
    fn name(&self) -> &str;

    /// Appends the bytes of `value` to `out`, and does not change what is in `out`.
    ///
    /// ```
    /// use typed_pipe::wire::{Codec, Postcard};
    ///
    /// let mut out = b"what is there".to_vec();
    /// Postcard.encode("hi", &mut out)?;
    /// assert_eq!(out, b"what is there\x02hi");
    /// # Ok::<(), typed_pipe::CodecError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`CodecError`] if the format cannot write the value. The caller drops what was appended.
    fn encode<T: Serialize + ?Sized>(&self, value: &T, out: &mut Vec<u8>)
    -> Result<(), CodecError>;

    /// Decodes one value, which takes all of `bytes`.
    ///
    /// ```
    /// use typed_pipe::CodecError;
    /// use typed_pipe::wire::{Codec, Postcard};
    ///
    /// let word: &str = Postcard.decode(b"\x02hi")?; // borrowed from the bytes
    /// assert_eq!(word, "hi");
    /// let more = Postcard.decode::<&str>(b"\x02hi there");
    /// assert!(matches!(more, Err(CodecError::Trailing { bytes: 6 })));
    /// # Ok::<(), CodecError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CodecError::Trailing`] if bytes are left over; another [`CodecError`] if the bytes are
    /// no value of the type.
    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError>;

    /// The style of the codec, which decides what types [fit](super::shape) each other.
    ///
    /// [`None`], the default, is an unknown style: the types of the two sides are not compared.
    ///
    /// ```
    /// use typed_pipe::wire::shape::Style;
    /// use typed_pipe::wire::{Codec, DepthLimit, Postcard};
    ///
    /// assert_eq!(DepthLimit::new(Postcard).style(), Some(Style::Positional));
    /// ```
    fn style(&self) -> Option<Style> {
        None
    }
}

/// A codec whose values can borrow texts and bytes from the message.
///
/// [`recv_ref`](crate::TypedReceiver::recv_ref) requires it. A codec with escapes, such as `Json`, can lend a text or
/// not, depending on its characters: receive owned values from it.
///
/// A codec of your own may implement this trait if its [`decode`](Codec::decode) passes every string and every run of
/// bytes to serde as borrowed (`visit_borrowed_str`, `visit_borrowed_bytes`):
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::wire::{BorrowingCodec, Codec, Postcard, Wire};
/// use typed_pipe::{CodecError, TypedReceiver};
///
/// /// Postcard after a byte that tells the version.
/// struct Versioned;
///
/// impl Codec for Versioned {
///     fn name(&self) -> &str {
///         "versioned"
///     }
///
///     fn encode<T: Serialize + ?Sized>(&self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
///         out.push(1);
///         Postcard.encode(value, out)
///     }
///
///     fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
///         match bytes {
///             [1, bytes @ ..] => Postcard.decode(bytes),
///             _ => Err(CodecError::format("another version")),
///         }
///     }
/// }
///
/// impl BorrowingCodec for Versioned {}
///
/// let wire = Wire::default().with_codec(Versioned);
/// let bytes: &[u8] = b"\0\0\0\x04\x01\x02hi";
/// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes, wire);
/// assert_eq!(receiver.recv_ref()?, "hi");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "nothing can be borrowed from a message in the codec `{Self}`",
    label = "texts in it may have escapes, which must be copied",
    note = "receive an owned value, with `recv` in place of `recv_ref`",
    note = "if `{Self}` is your own and borrows every text and all bytes, add `impl BorrowingCodec for {Self} {{}}`"
)]
pub trait BorrowingCodec: Codec {}

/// [Postcard](https://postcard.jamesmunns.com/wire-format): small and fast, the default.
///
/// The bytes do not describe themselves, so both sides must have the same type. Types that need names or lookahead
/// do not work: `skip_serializing_if`, `flatten`, `untagged` and tagged enums, sequences of unknown length,
/// `serde_json::Value`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::{ErrorKind, TypedReceiver, TypedSender};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// #[serde(untagged)]
/// enum Value {
///     Number(u32),
///     Word(String),
/// }
///
/// let mut bytes = Vec::new();
/// TypedSender::new(&mut bytes).send(&Value::Number(7))?; // it is written,
/// let mut receiver = TypedReceiver::<Value, _>::new(bytes.as_slice());
/// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Decode); // and cannot be read: take `Json`
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for a format, without parameters")]
pub struct Postcard;

impl Codec for Postcard {
    fn name(&self) -> &str {
        "postcard"
    }

    fn style(&self) -> Option<Style> {
        Some(Style::Positional)
    }

    fn encode<T: Serialize + ?Sized>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        postcard::serialize_with_flavor(value, PostcardFlavor::to(out)).map_err(CodecError::format)
    }

    #[inline(always)]
    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
        let mut deserializer = Deserializer::from_flavor(Arrived(bytes));
        let value = T::deserialize(&mut deserializer).map_err(CodecError::format)?;
        all_taken(deserializer.finalize().map_err(CodecError::format)?)?;
        Ok(value)
    }
}

impl BorrowingCodec for Postcard {}

/// Refuses bytes that are left over.
#[inline]
pub(super) fn all_taken(rest: &[u8]) -> Result<(), CodecError> {
    match rest.len() {
        0 => Ok(()),
        bytes => Err(CodecError::Trailing { bytes }),
    }
}

/// The end of a vector. Postcard's own flavours take the vector by value, or its bytes one by one.
struct PostcardFlavor<'a> {
    out: &'a mut Vec<u8>,
    /// The index of the next byte; from there on are zeros, to be overwritten.
    end: usize,
}

impl<'a> PostcardFlavor<'a> {
    #[inline]
    fn to(out: &'a mut Vec<u8>) -> Self {
        let end = out.len();
        out.extend_from_slice(&[0; Self::ROOM]);
        Self { out, end }
    }

    /// Makes room for so many bytes and some more.
    #[cold]
    fn grow(&mut self, bytes: usize) -> &mut [u8] {
        self.out.resize(self.end + bytes + Self::ROOM, 0);
        self.out.get_mut(self.end..self.end + bytes).unwrap_or_default()
    }

    /// As much as most messages need.
    const ROOM: usize = 64;

    /// What is copied in a loop. Most pieces are numbers, that were put together byte by byte just before: a wide copy
    /// of them waits for the processor's stores, and a call to copy them takes longer than the rest.
    const SHORT: usize = 16;
}

impl ser_flavors::Flavor for PostcardFlavor<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        let end = self.end + bytes.len();
        let room = match self.out.get_mut(self.end..end) {
            Some(room) => room,
            None => self.grow(bytes.len()),
        };
        if bytes.len() <= Self::SHORT {
            room.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
        } else {
            room.copy_from_slice(bytes);
        }
        self.end = end;
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        if self.end >= self.out.len() {
            self.grow(1);
        }
        if let Some(to) = self.out.get_mut(self.end) {
            *to = byte;
            self.end += 1;
        }
        Ok(())
    }

    #[inline]
    fn finalize(self) -> postcard::Result<()> {
        self.out.truncate(self.end);
        Ok(())
    }
}

/// The bytes of a message that are not read yet. Postcard's own flavour of this is not always inlined, which doubles
/// the time that a message of many small fields takes.
struct Arrived<'de>(&'de [u8]);

impl<'de> de_flavors::Flavor<'de> for Arrived<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    #[inline]
    fn pop(&mut self) -> postcard::Result<u8> {
        let (first, rest) =
            self.0.split_first().ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.0 = rest;
        Ok(*first)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }

    #[inline]
    fn try_take_n(&mut self, bytes: usize) -> postcard::Result<&'de [u8]> {
        let split = self.0.split_at_checked(bytes);
        let (taken, rest) = split.ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn finalize(self) -> postcard::Result<&'de [u8]> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serializer;

    use super::*;

    fn encoded<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
        let mut out = vec![0xAA];
        Postcard.encode(value, &mut out).unwrap();
        assert_eq!(out.remove(0), 0xAA);
        out
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(encoded(&()), b"");
        assert_eq!(encoded(&(7_u32, "hi")), b"\x07\x02hi");
        assert_eq!(encoded(&(300_u16, -1_i32, true)), [0xAC, 0x02, 0x01, 0x01]);
        assert_eq!(encoded("text"), b"\x04text");
        assert_eq!(encoded(&1.0_f32), [0, 0, 0x80, 0x3F]);
        assert_eq!(encoded(&Some(-2_i64)), [1, 3]);
        assert_eq!(encoded(&BTreeMap::from([(1_u8, 'a')])), [1, 1, 1, b'a']);
        assert_eq!(encoded(&u128::MAX).len(), 19);
    }

    #[test]
    fn writes_what_postcard_itself_writes() {
        let value =
            (u64::MAX, vec![Some("a"), None], [0.5_f64; 3], i128::MIN, 'ß', Ok::<u8, ()>(3));
        assert_eq!(encoded(&value), postcard::to_allocvec(&value).unwrap());
    }

    #[test]
    fn d6_bytes_left_over_are_refused() {
        assert_eq!(Postcard.decode::<u8>(&[7]).unwrap(), 7);
        let trailing = Postcard.decode::<u8>(&[7, 1, 2, 3]);
        assert!(matches!(trailing, Err(CodecError::Trailing { bytes: 3 })));
    }

    #[test]
    fn too_few_bytes_and_wrong_ones_are_refused() {
        assert!(matches!(Postcard.decode::<(u8, u8)>(&[7]), Err(CodecError::Format(_))));
        assert!(matches!(Postcard.decode::<bool>(&[2]), Err(CodecError::Format(_))));
        assert!(matches!(Postcard.decode::<&str>(&[1, 0xFF]), Err(CodecError::Format(_))));
    }

    #[test]
    fn d1_a_hostile_length_inside_a_message_asks_for_no_memory() {
        let length = encoded(&(1_u64 << 62));
        assert!(matches!(Postcard.decode::<Vec<u64>>(&length), Err(CodecError::Format(_))));
        assert!(matches!(Postcard.decode::<String>(&length), Err(CodecError::Format(_))));
        assert!(matches!(
            Postcard.decode::<BTreeMap<u64, u64>>(&length),
            Err(CodecError::Format(_))
        ));
    }

    #[test]
    fn d9_what_has_no_length_cannot_be_written() {
        struct Endless;

        impl Serialize for Endless {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq((0..3).filter(|n| n % 2 == 0))
            }
        }

        assert!(matches!(Postcard.encode(&Endless, &mut vec![]), Err(CodecError::Format(_))));
    }
}
