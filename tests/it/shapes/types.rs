//! Types of every kind, with some values of each, as rows of a table.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::{Shape, Style, ValueCheck};
use typed_pipe::wire::{Codec, Postcard};

/// A type, and what can be done with it without knowing it.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) shape: fn(Style) -> Shape,
    /// The bytes of its values.
    pub(super) written: fn(Style) -> Vec<Vec<u8>>,
    /// What bytes are when they were read as this type, and written again.
    pub(super) read: fn(Style, &[u8]) -> Option<Vec<u8>>,
    /// Which of its values fit the shape of a reader.
    pub(super) fit: fn(&Shape) -> Vec<bool>,
}

pub(super) trait Samples: Serialize + DeserializeOwned {
    fn samples() -> Vec<Self>;
}

fn encode<T: Serialize>(style: Style, value: &T) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    match style {
        Style::Positional => Postcard.encode(value, &mut bytes).ok()?,
        _ => bytes = serde_json::to_vec(value).ok()?,
    }
    Some(bytes)
}

fn row<T: Samples>(name: &'static str) -> Row {
    Row {
        name,
        shape: Shape::of::<T>,
        // With `flatten`, there are values that postcard does not write.
        written: |style| T::samples().iter().filter_map(|value| encode(style, value)).collect(),
        read: |style, bytes| {
            let value: T = match style {
                Style::Positional => Postcard.decode(bytes).ok()?,
                _ => serde_json::from_slice(bytes).ok()?,
            };
            encode(style, &value)
        },
        fit: |reader| {
            let fits = |value: &T| ValueCheck::new(reader).check(value).is_ok();
            T::samples().iter().map(fits).collect()
        },
    }
}

macro_rules! shapes {
    ($($(#[$attribute:meta])* $kind:ident $name:ident $body:tt)*) => {$(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        $(#[$attribute])*
        pub(super) $kind $name $body
    )*};
}

shapes! {
    struct Xy { x: f64, y: f64 }
    struct Yx { y: f64, x: f64 }
    struct Xyz { x: f64, y: f64, z: Option<u8> }
    struct Size { width: u32, height: u32 }
    struct Turned { height: u32, width: u32 }
    struct Small { a: u32, b: u32, c: u8 }
    struct Other { a: i32, b: u64, c: bool }
    struct Empty {}
    enum Three { A, B(u32), C { s: String } }
    enum Four { A, B(u32), C { s: String }, D }
    enum Swapped { B(u32), A, C { s: String } }
    enum Units { A, B, C }
    enum Same { A, B(u32), C { t: String } }
    enum Inner { A, B((u8, u8)), C(()) }
    enum Outer { A, B(u8, u8), C }
    struct Tree { v: u8, l: Option<Box<Self>>, r: Vec<Self> }
    struct Bush { v: u8, l: Option<Box<Self>>, r: Vec<Tree> }
    #[serde(transparent)]
    struct Clear { inner: u64 }
    #[serde(deny_unknown_fields)]
    struct Strict { x: f64 }
    struct Loose { x: f64 }
    struct Defaults { x: f64, #[serde(default)] y: f64, #[serde(default)] w: u8 }
    struct Skips { #[serde(skip)] cache: u64, x: f64 }
    struct Renamed { #[serde(rename = "x")] left: f64, #[serde(rename = "y")] up: f64 }
    struct Aliased { #[serde(alias = "left", alias = "z")] x: f64, #[serde(alias = "a")] y: f64 }
    struct Left { left: f64, y: f64 }
    enum AliasedUnits { #[serde(alias = "Eins")] A, B, #[serde(alias = "Three", alias = "Drei")] C }
    struct Stamp {
        #[serde(with = "chrono::serde::ts_seconds")]
        at: chrono::DateTime<chrono::Utc>,
    }
    struct Plain { at: i64 }
    #[serde(tag = "t", content = "c")]
    enum Adjacent { Number(u8), Text(String), None }
    #[serde(tag = "t", content = "c")]
    enum Choice { Number(u8), Text(String) }
    #[serde(into = "String", try_from = "String")]
    struct Even { text: String }
    #[serde(rename_all = "kebab-case", rename_all_fields = "camelCase")]
    enum Cased { TheFirst, TheSecond { its_field: u8 } }
    struct Written { #[serde(skip_serializing_if = "Option::is_none", default)] x: Option<f64>, y: f64 }
    struct Ping { n: u8, pong: Option<Box<Pong>> }
    struct Pong { n: u8, ping: Vec<Ping> }
    #[serde(tag = "t")]
    enum Internal { Number { n: u8 }, None }
    #[serde(untagged)]
    enum Untagged { Number(u8), Text(String) }
    struct Flat { x: f64, #[serde(flatten)] rest: Rest }
    struct Rest { y: f64 }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Page<T> {
    items: Vec<T>,
    next: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct New(u32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Nest(Vec<Self>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Void {}

impl From<Even> for String {
    fn from(even: Even) -> Self {
        even.text
    }
}

impl TryFrom<String> for Even {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "2020-01-01" { Ok(Self { text }) } else { Err("another one".to_owned()) }
    }
}

/// An array that is longer than serde's own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Long<const N: usize>([u8; N]);

impl<const N: usize> Serialize for Long<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(N)?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

impl<'de, const N: usize> Deserialize<'de> for Long<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const N: usize>;

        impl<'de, const N: usize> serde::de::Visitor<'de> for Visitor<N> {
            type Value = Long<N>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut all: A,
            ) -> Result<Long<N>, A::Error> {
                let mut bytes = [0; N];
                for byte in &mut bytes {
                    *byte = all.next_element()?.ok_or_else(|| serde::de::Error::custom("short"))?;
                }
                Ok(Long(bytes))
            }
        }

        deserializer.deserialize_tuple(N, Visitor)
    }
}

fn tree(v: u8) -> Tree {
    Tree { v, l: None, r: vec![] }
}

macro_rules! rows {
    ($($type:ty => [$($value:expr),*];)*) => {
        $(impl Samples for $type {
            fn samples() -> Vec<Self> {
                vec![$($value),*]
            }
        })*

        pub(super) fn rows() -> Vec<Row> {
            vec![$(row::<$type>(stringify!($type))),*]
        }
    };
}

rows! {
    u8 => [0, 1, 7, 255];
    u16 => [0, 1, 300, 65535];
    u32 => [0, 1, 300, u32::MAX];
    u64 => [0, 1, u64::MAX];
    i8 => [0, -1, 127];
    i16 => [0, -1, 300];
    i32 => [0, -1, 1, i32::MIN];
    i64 => [0, -1, i64::MAX];
    i128 => [0, -1, i128::MAX];
    u128 => [0, 1, u128::MAX];
    std::num::NonZeroU32 => [std::num::NonZeroU32::MIN, std::num::NonZeroU32::MAX];
    f32 => [0.0, 1.5];
    f64 => [0.0, 1.5];
    bool => [false, true];
    char => ['a', 'ß'];
    () => [()];
    Unit => [Unit];
    Empty => [Empty {}];
    String => [String::new(), "a".into(), "hello".into()];
    Cow<'static, str> => ["".into(), "a".into()];
    PathBuf => ["".into(), "/a".into()];
    Vec<u8> => [vec![], vec![1], vec![1, 2, 3]];
    Vec<u16> => [vec![], vec![1, 300]];
    Vec<String> => [vec![], vec!["a".into(), "b".into()]];
    serde_bytes::ByteBuf => [serde_bytes::ByteBuf::from(vec![1, 2])];
    BTreeSet<char> => [BTreeSet::from(['a', 'b'])];
    Option<u8> => [None, Some(1)];
    Option<u32> => [None, Some(300)];
    Option<Option<u8>> => [None, Some(Some(1))];
    Option<f64> => [None, Some(1.5)];
    (u8,) => [(1,)];
    (u8, u8) => [(1, 2)];
    (u32, u32) => [(0, 1)];
    [u8; 2] => [[1, 2]];
    [u8; 4] => [[1, 2, 3, 4]];
    Long<70> => [Long([1; 70])];
    Long<100> => [Long([1; 100])];
    Vec<(u8, u8)> => [vec![], vec![(1, 2)]];
    BTreeMap<u8, u8> => [BTreeMap::new(), BTreeMap::from([(1, 2)])];
    BTreeMap<String, u8> => [BTreeMap::new(), BTreeMap::from([("a".into(), 2)])];
    BTreeMap<String, f64> => [BTreeMap::from([("x".into(), 2.0), ("y".into(), 3.0)])];
    Result<u8, String> => [Ok(1), Err("e".into())];
    Duration => [Duration::from_millis(1500)];
    SystemTime => [SystemTime::UNIX_EPOCH + Duration::from_millis(1500)];
    std::ops::Range<u32> => [1..3];
    std::net::SocketAddr => [([127, 0, 0, 1], 80).into()];
    std::net::IpAddr => [std::net::IpAddr::from([127, 0, 0, 1])];
    uuid::Uuid => [uuid::Uuid::nil()];
    url::Url => ["http://example.org/".parse().unwrap()];
    chrono::DateTime<chrono::Utc> => [chrono::DateTime::from_timestamp(1_000_000_000, 0).unwrap()];
    chrono::NaiveDate => [chrono::NaiveDate::from_ymd_opt(2024, 2, 29).unwrap()];
    chrono::NaiveDateTime => [chrono::NaiveDateTime::default()];
    indexmap::IndexSet<u16> => [indexmap::IndexSet::from([1, 300])];
    indexmap::IndexMap<String, u8> => [indexmap::IndexMap::from([("a".into(), 2)])];
    Xy => [Xy { x: 1.0, y: 2.0 }];
    Yx => [Yx { x: 1.0, y: 2.0 }];
    Xyz => [Xyz { x: 1.0, y: 2.0, z: None }, Xyz { x: 1.0, y: 2.0, z: Some(3) }];
    Size => [Size { width: 640, height: 480 }];
    Turned => [Turned { width: 640, height: 480 }];
    Small => [Small { a: 7, b: 1, c: 1 }];
    Other => [Other { a: -4, b: 1, c: true }];
    New => [New(5)];
    Clear => [Clear { inner: 5 }];
    Strict => [Strict { x: 1.0 }];
    Loose => [Loose { x: 1.0 }];
    Defaults => [Defaults { x: 1.0, y: 2.0, w: 3 }];
    Skips => [Skips { cache: 0, x: 1.0 }];
    Renamed => [Renamed { left: 1.0, up: 2.0 }];
    Aliased => [Aliased { x: 1.0, y: 2.0 }];
    Left => [Left { left: 1.0, y: 2.0 }];
    Stamp => [Stamp { at: chrono::DateTime::from_timestamp(1_000_000_000, 0).unwrap() }];
    Plain => [Plain { at: 5 }];
    Even => [Even { text: "2020-01-01".into() }];
    Three => [Three::A, Three::B(1), Three::C { s: "x".into() }];
    Four => [Four::A, Four::B(1), Four::C { s: "x".into() }, Four::D];
    Swapped => [Swapped::A, Swapped::B(1), Swapped::C { s: "x".into() }];
    Units => [Units::A, Units::B, Units::C];
    AliasedUnits => [AliasedUnits::A, AliasedUnits::B, AliasedUnits::C];
    Same => [Same::A, Same::B(1), Same::C { t: "x".into() }];
    Inner => [Inner::A, Inner::B((1, 2)), Inner::C(())];
    Outer => [Outer::A, Outer::B(1, 2), Outer::C];
    Adjacent => [Adjacent::Number(1), Adjacent::Text("a".into())];
    Choice => [Choice::Number(1), Choice::Text("a".into())];
    Cased => [Cased::TheFirst, Cased::TheSecond { its_field: 1 }];
    Written => [Written { x: Some(1.0), y: 2.0 }];
    Ping => [Ping { n: 1, pong: Some(Box::new(Pong { n: 2, ping: vec![Ping { n: 3, pong: None }] })) }];
    Pong => [Pong { n: 2, ping: vec![Ping { n: 3, pong: None }] }];
    Internal => [Internal::Number { n: 1 }, Internal::None];
    Untagged => [Untagged::Number(1), Untagged::Text("a".into())];
    Flat => [Flat { x: 1.0, rest: Rest { y: 2.0 } }];
    Void => [];
    Option<Void> => [None];
    Tree => [tree(1), Tree { v: 1, l: Some(Box::new(tree(2))), r: vec![tree(3)] }];
    Bush => [Bush { v: 1, l: None, r: vec![tree(3)] }];
    Nest => [Nest(vec![]), Nest(vec![Nest(vec![]), Nest(vec![Nest(vec![])])])];
    Page<u8> => [Page { items: vec![1, 2], next: None }];
    Page<Xy> => [Page { items: vec![Xy { x: 1.0, y: 2.0 }], next: Some(2) }];
    Vec<Xy> => [vec![Xy { x: 1.0, y: 2.0 }; 2]];
}
