use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::shape::Style;
use super::{BorrowingCodec, Codec};
use crate::error::CodecError;

/// A codec that refuses values nested more than `DEPTH` levels deep.
///
/// Postcard and bincode follow a nested value as deep as the bytes say. With a recursive type
/// (`enum List { End, Next(Box<List>) }`), a message of some kilobytes can overflow the stack,
/// which ends the process and cannot be caught. Wrap the codec in this type if the peer is not
/// trusted.
///
/// Each sequence, tuple, struct, map, `Some`, newtype and enum variant with fields is a level. A value that holds no
/// other value is none.
///
/// Encoding is not limited: the value is the caller's own.
///
/// ```
/// use typed_pipe::CodecError;
/// use typed_pipe::wire::{Codec, DepthLimit, Postcard};
///
/// let codec = DepthLimit::new(Postcard).levels::<3>(); // 128 levels if not set
/// assert_eq!(codec.decode::<Vec<Vec<Vec<u8>>>>(&[1, 1, 1, 7])?, [[[7]]]);
/// let four = codec.decode::<Vec<Vec<Vec<Vec<u8>>>>>(&[1, 1, 1, 1, 7]);
/// assert!(matches!(four, Err(CodecError::TooDeep { limit: 3 })));
/// # Ok::<(), CodecError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DepthLimit<C, const DEPTH: usize = 128> {
    codec: C,
}

impl<C> DepthLimit<C> {
    /// Limits `codec` to 128 levels.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use typed_pipe::CodecError;
    /// use typed_pipe::wire::{Codec, DepthLimit, Postcard};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// enum List {
    ///     End,
    ///     Next(Box<List>),
    /// }
    ///
    /// let codec = DepthLimit::new(Postcard);
    /// assert!(matches!(codec.decode(&[1, 1, 0]), Ok(List::Next(_))));
    /// let deep = codec.decode::<List>(&[1; 1 << 20]); // it would overflow the stack
    /// assert!(matches!(deep, Err(CodecError::TooDeep { limit: 128 })));
    /// ```
    #[must_use]
    pub const fn new(codec: C) -> Self {
        Self { codec }
    }
}

impl<C, const DEPTH: usize> DepthLimit<C, DEPTH> {
    /// Sets the number of levels.
    ///
    /// ```
    /// use typed_pipe::wire::{Codec, DepthLimit, Postcard};
    ///
    /// let flat = DepthLimit::new(Postcard).levels::<1>();
    /// assert_eq!(flat.decode::<(u8, Option<u8>)>(&[7, 0])?, (7, None));
    /// assert!(flat.decode::<(u8, Option<u8>)>(&[7, 1, 8]).is_err()); // `Some` is a level, in a tuple
    /// # Ok::<(), typed_pipe::CodecError>(())
    /// ```
    #[must_use]
    pub fn levels<const LEVELS: usize>(self) -> DepthLimit<C, LEVELS> {
        DepthLimit { codec: self.codec }
    }

    /// The inner codec.
    ///
    /// ```
    /// use typed_pipe::wire::{Codec, DepthLimit, Postcard};
    ///
    /// let limited = DepthLimit::new(Postcard).levels::<1>();
    /// assert!(limited.decode::<Vec<Vec<u8>>>(&[1, 1, 7]).is_err());
    /// assert_eq!(limited.codec().decode::<Vec<Vec<u8>>>(&[1, 1, 7])?, [[7]]); // bytes of our own
    /// # Ok::<(), typed_pipe::CodecError>(())
    /// ```
    #[must_use]
    pub fn codec(&self) -> &C {
        &self.codec
    }
}

impl<C: Codec, const DEPTH: usize> Codec for DepthLimit<C, DEPTH> {
    fn name(&self) -> &str {
        self.codec.name()
    }

    fn style(&self) -> Option<Style> {
        self.codec.style()
    }

    fn encode<T: Serialize + ?Sized>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        self.codec.encode(value, out)
    }

    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
        REFUSED.set(false);
        match self.codec.decode(bytes) {
            Ok(Limited::<T, DEPTH>(value)) => Ok(value),
            Err(_) if REFUSED.replace(false) => Err(CodecError::TooDeep { limit: DEPTH }),
            Err(error) => Err(error),
        }
    }
}

impl<C: BorrowingCodec, const DEPTH: usize> BorrowingCodec for DepthLimit<C, DEPTH> {}

thread_local! {
    /// Whether a level was refused. A `Deserialize` can report that only by the codec's own error, which would lose
    /// it, so it bypasses the codec.
    #[allow(clippy::missing_const_for_thread_local, reason = "it is; not seen on some systems")]
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// A value to read with at most `DEPTH` levels.
struct Limited<T, const DEPTH: usize>(T);

impl<'de, T: Deserialize<'de>, const DEPTH: usize> Deserialize<'de> for Limited<T, DEPTH> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(Nested { inner: deserializer, left: DEPTH }).map(Self)
    }
}

/// Wraps a party of serde's to a deserialization, with `left` levels to go.
struct Nested<X> {
    inner: X,
    left: usize,
}

impl<X> Nested<X> {
    /// The same limit around another party.
    fn around<Y>(&self, inner: Y) -> Nested<Y> {
        Nested { inner, left: self.left }
    }

    /// One level deeper.
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { inner: self.inner, left }),
            None => {
                REFUSED.set(true);
                Err(E::custom("the value is nested too deep"))
            }
        }
    }
}

/// Forwards to the inner deserializer, and keeps the limit around the visitor.
macro_rules! deserialize {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.around(visitor);
            self.inner.$method($($name,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Nested<D> {
    type Error = D::Error;

    deserialize! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Forwards a value that holds no other one to the inner visitor.
macro_rules! visit {
    ($($method:ident($type:ty);)*) => {$(
        fn $method<E: de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Nested<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool(bool);
        visit_i8(i8);
        visit_i16(i16);
        visit_i32(i32);
        visit_i64(i64);
        visit_i128(i128);
        visit_u8(u8);
        visit_u16(u16);
        visit_u32(u32);
        visit_u64(u64);
        visit_u128(u128);
        visit_f32(f32);
        visit_f64(f64);
        visit_char(char);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let level = self.deeper()?;
        let inner = level.around(inner);
        level.inner.visit_some(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let level = self.deeper()?;
        let inner = level.around(inner);
        level.inner.visit_newtype_struct(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        let level = self.deeper()?;
        let elements = level.around(elements);
        level.inner.visit_seq(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let level = self.deeper()?;
        let entries = level.around(entries);
        level.inner.visit_map(entries)
    }

    // The level of an enum is that of its fields.
    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        let variant = self.around(variant);
        self.inner.visit_enum(variant)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nested<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let inner = self.around(inner);
        self.inner.deserialize(inner)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Nested<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.around(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Nested<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.around(seed);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.around(seed);
        self.inner.next_value_seed(seed)
    }

    fn next_entry_seed<K: DeserializeSeed<'de>, S: DeserializeSeed<'de>>(
        &mut self,
        key: K,
        value: S,
    ) -> Result<Option<(K::Value, S::Value)>, A::Error> {
        let (key, value) = (self.around(key), self.around(value));
        self.inner.next_entry_seed(key, value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Nested<A> {
    type Error = A::Error;
    type Variant = Nested<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let Self { inner, left } = self;
        let (name, fields) = inner.variant_seed(Nested { inner: seed, left })?;
        Ok((name, Nested { inner: fields, left }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Nested<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let level = self.deeper()?;
        let seed = level.around(seed);
        level.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.around(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.around(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;

    use super::*;
    use crate::wire::Postcard;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Tree {
        Leaf,
        Newtype(Box<Self>),
        Tuple(u8, Box<Self>),
        Struct { next: Box<Self> },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Chain {
        next: Option<Box<Self>>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(Vec<Self>);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Map {
        of: BTreeMap<u8, Self>,
    }

    /// `depth` levels of `level` around `leaf`.
    fn nested<T>(depth: usize, leaf: T, level: impl Fn(T) -> T) -> T {
        (0..depth).fold(leaf, |value, _| level(value))
    }

    /// Expects that 12 levels are the most that pass.
    fn twelve<T: Serialize + DeserializeOwned + PartialEq + Debug>(levels: impl Fn(usize) -> T) {
        fn check<C: Codec, T: Serialize + DeserializeOwned + PartialEq + Debug>(
            codec: C,
            levels: impl Fn(usize) -> T,
        ) {
            let codec = DepthLimit::new(codec).levels::<12>();
            let mut out = Vec::new();
            codec.encode(&levels(12), &mut out).unwrap();
            assert_eq!(codec.decode::<T>(&out).unwrap(), levels(12));
            out.clear();
            codec.encode(&levels(13), &mut out).unwrap();
            assert!(matches!(codec.decode::<T>(&out), Err(CodecError::TooDeep { limit: 12 })));
        }
        check(Postcard, &levels);
        #[cfg(feature = "bincode")]
        check(crate::wire::Bincode::new(), &levels);
        #[cfg(feature = "json")]
        check(crate::wire::Json, &levels);
    }

    #[test]
    fn variants_with_fields_are_levels() {
        twelve(|n| nested(n, Tree::Leaf, |tree| Tree::Newtype(tree.into())));
        twelve(|n| nested(n, Tree::Leaf, |tree| Tree::Tuple(7, tree.into())));
        twelve(|n| nested(n, Tree::Leaf, |tree| Tree::Struct { next: tree.into() }));
    }

    #[test]
    fn structs_and_some_are_levels() {
        // Two for each link, and one for the last.
        let chain =
            |links| nested(links, Chain { next: None }, |next| Chain { next: Some(next.into()) });
        let codec = DepthLimit::new(Postcard).levels::<13>();
        let bytes = |links| postcard::to_allocvec(&chain(links)).unwrap();
        assert_eq!(codec.decode::<Chain>(&bytes(6)).unwrap(), chain(6));
        assert!(matches!(codec.decode::<Chain>(&bytes(7)), Err(CodecError::TooDeep { .. })));
    }

    #[test]
    fn newtypes_sequences_and_maps_are_levels() {
        fn check<T: Serialize + DeserializeOwned>(level: fn(T) -> T, leaf: fn() -> T) {
            let codec = DepthLimit::new(Postcard).levels::<12>();
            let bytes = |n| postcard::to_allocvec(&nested(n, leaf(), level)).unwrap();
            assert!(codec.decode::<T>(&bytes(5)).is_ok());
            assert!(matches!(codec.decode::<T>(&bytes(6)), Err(CodecError::TooDeep { .. })));
        }
        check(|inner| Wrapped(vec![inner]), || Wrapped(vec![]));
        check(|inner| Map { of: [(1, inner)].into() }, || Map { of: BTreeMap::new() });
    }

    #[test]
    fn tuples_are_levels() {
        let codec = DepthLimit::new(Postcard).levels::<2>();
        assert!(codec.decode::<((u8,), (u8,))>(&[1, 2]).is_ok());
        assert!(matches!(
            codec.decode::<((u8,), ((u8,),))>(&[1, 2]),
            Err(CodecError::TooDeep { limit: 2 })
        ));
    }

    #[test]
    fn no_levels_are_enough_for_a_value_without_parts() {
        let codec = DepthLimit::new(Postcard).levels::<0>();
        assert_eq!(codec.decode::<&str>(b"\x02hi").unwrap(), "hi");
        assert_eq!(codec.decode::<Tree>(&[0]).unwrap(), Tree::Leaf);
        assert_eq!(codec.decode::<Option<u8>>(&[0]).unwrap(), None);
        assert!(matches!(codec.decode::<Option<u8>>(&[1, 1]), Err(CodecError::TooDeep { .. })));
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes hours there")]
    fn d5_a_hostile_depth_is_refused() {
        let hostile = vec![1; 1_000_000];
        let found = DepthLimit::new(Postcard).decode::<Tree>(&hostile);
        assert!(matches!(found, Err(CodecError::TooDeep { limit: 128 })));
        let found = DepthLimit::new(Postcard).decode::<Chain>(&hostile);
        assert!(matches!(found, Err(CodecError::TooDeep { limit: 128 })));
        let found = DepthLimit::new(Postcard).decode::<Wrapped>(&hostile);
        assert!(matches!(found, Err(CodecError::TooDeep { limit: 128 })));
        #[cfg(feature = "bincode")]
        {
            let found = DepthLimit::new(crate::wire::Bincode::new()).decode::<Tree>(&hostile);
            assert!(matches!(found, Err(CodecError::TooDeep { limit: 128 })));
        }
    }

    #[test]
    fn a_refusal_is_not_remembered() {
        let codec = DepthLimit::new(Postcard).levels::<1>();
        assert!(matches!(codec.decode::<Tree>(&[1, 1, 0]), Err(CodecError::TooDeep { .. })));
        assert!(matches!(codec.decode::<Tree>(&[9]), Err(CodecError::Format(_))));
        assert!(matches!(codec.decode::<u8>(&[9, 9]), Err(CodecError::Trailing { bytes: 1 })));
    }

    /// Reads a tree, and does not mind if there is none.
    struct Forgiving;

    impl<'de> Deserialize<'de> for Forgiving {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let _ = Tree::deserialize(deserializer);
            Ok(Self)
        }
    }

    /// Reads another message that is too deep, does not mind, and fails.
    #[derive(Debug)]
    struct Failing;

    impl<'de> Deserialize<'de> for Failing {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            let _ = DepthLimit::new(Postcard).levels::<0>().decode::<Tree>(&[1, 0]);
            Err(de::Error::custom("it fails"))
        }
    }

    #[test]
    fn a_refusal_that_was_swallowed_is_not_taken_for_another_error() {
        let codec = DepthLimit::new(Postcard).levels::<0>();
        assert!(codec.decode::<Forgiving>(&[1]).is_ok());
        assert!(matches!(codec.decode::<Tree>(&[9]), Err(CodecError::Format(_))));
        assert!(matches!(codec.decode::<Failing>(&[]), Err(CodecError::Format(_))));
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(u8, String);

    /// A value of each kind in serde's data model.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Everything<'a> {
        bool: bool,
        signed: (i8, i16, i32, i64, i128),
        unsigned: (u8, u16, u32, u64, u128),
        floats: (f32, f64),
        char: char,
        borrowed: &'a str,
        owned: String,
        #[serde(borrow)]
        bytes: Bytes<'a>,
        none: Option<u8>,
        some: Option<Box<u8>>,
        unit: (),
        unit_struct: Unit,
        newtype: Wrapped,
        seq: Vec<Pair>,
        array: [u8; 3],
        map: BTreeMap<String, u8>,
        variants: Vec<Tree>,
    }

    /// Bytes as serde's own kind, written and read without a copy.
    #[derive(Debug, PartialEq)]
    struct Bytes<'a>(&'a [u8]);

    impl Serialize for Bytes<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Deserialize::deserialize(deserializer).map(Self)
        }
    }

    fn everything() -> Everything<'static> {
        Everything {
            bool: true,
            signed: (i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN),
            unsigned: (u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX),
            floats: (0.5, -1e300),
            char: 'ß',
            borrowed: "borrowed",
            owned: "owned".into(),
            bytes: Bytes(b"bytes"),
            none: None,
            some: Some(7.into()),
            unit: (),
            unit_struct: Unit,
            newtype: Wrapped(vec![Wrapped(vec![])]),
            seq: vec![Pair(1, "one".into()), Pair(2, "two".into())],
            array: [1, 2, 3],
            map: [("one".into(), 1), ("two".into(), 2)].into(),
            variants: vec![
                Tree::Leaf,
                Tree::Newtype(Tree::Leaf.into()),
                Tree::Tuple(7, Tree::Leaf.into()),
                Tree::Struct { next: Tree::Leaf.into() },
            ],
        }
    }

    #[test]
    fn every_kind_of_value_passes() {
        fn check<C: Codec>(codec: C) {
            let codec = DepthLimit::new(codec).levels::<5>();
            let mut out = Vec::new();
            codec.encode(&everything(), &mut out).unwrap();
            assert_eq!(codec.decode::<Everything<'_>>(&out).unwrap(), everything());
        }
        check(Postcard);
        #[cfg(feature = "bincode")]
        check(crate::wire::Bincode::new());
    }

    #[cfg(feature = "json")]
    #[test]
    fn formats_that_describe_themselves_pass() {
        use serde::de::IgnoredAny;
        use serde_json::{Value, json};

        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        enum Tagged {
            Named { name: String, age: Option<u8> },
        }

        let codec = DepthLimit::new(crate::wire::Json).levels::<4>();
        let bytes = br#"{"a": [1, -2, 1.5, "x\n", null, true, {"b": {}}]}"#;
        let value: Value = codec.decode(bytes).unwrap();
        assert_eq!(value, json!({"a": [1, -2, 1.5, "x\n", null, true, {"b": {}}]}));
        codec.decode::<IgnoredAny>(bytes).unwrap();

        let tagged: Tagged = codec.decode(br#"{"kind": "Named", "age": 7, "name": "n"}"#).unwrap();
        assert_eq!(tagged, Tagged::Named { name: "n".into(), age: Some(7) });

        let deep = codec.decode::<Value>(b"[[[[[]]]]]");
        assert!(matches!(deep, Err(CodecError::TooDeep { limit: 4 })));
        // An address is a text only where people are to read it.
        let address: std::net::Ipv4Addr = codec.decode(br#""127.0.0.1""#).unwrap();
        assert_eq!(address, std::net::Ipv4Addr::LOCALHOST);
    }
}
