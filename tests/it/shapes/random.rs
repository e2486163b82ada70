//! Values that nobody thought of.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::{Shape, Style, ValueCheck, round_trips};
use typed_pipe::wire::{Codec, Postcard};

use super::matrix::is_part;

macro_rules! exprs {
    ($($(#[$attribute:meta])* $name:ident $variants:tt)*) => {$(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        $(#[$attribute])*
        enum $name $variants
    )*};
}

exprs! {
    Expr {
        Nothing,
        Number(i64),
        Pair(Box<Self>, Box<Self>),
        Call { name: String, arguments: Vec<Self> },
        Table(BTreeMap<String, Option<Self>>),
        Wide(Vec<(u8, char, bool, u128, ())>),
        Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    }
    /// It reads every `Expr`.
    Longer {
        Nothing,
        Number(i64),
        Pair(Box<Self>, Box<Self>),
        Call { name: String, arguments: Vec<Self> },
        Table(BTreeMap<String, Option<Self>>),
        Wide(Vec<(u8, char, bool, u128, ())>),
        Bytes(Vec<u8>),
        Last { of: Box<Expr> },
    }
    /// With names, it reads every `Expr`.
    Other {
        First,
        Bytes(Vec<u8>),
        Number(Option<i64>),
        Nothing,
        Call { #[serde(default)] more: u8, #[serde(alias = "arguments")] parts: Vec<Self>, name: String },
        Wide(Vec<(u8, char, bool, u128, ())>),
        Table(BTreeMap<String, Option<Self>>),
        Pair(Box<Self>, Box<Self>),
    }
    Unsigned {
        Nothing,
        Number(u64),
        Pair(Box<Self>, Box<Self>),
        Call { name: String, arguments: Vec<Self> },
        Table(BTreeMap<String, Self>),
        Wide(Vec<(u8, char, bool, u128)>),
        Bytes(String),
    }
    Turned {
        Nothing,
        Number(i64),
        Pair((Box<Self>, Box<Self>)),
        Call { arguments: Vec<Self>, name: String },
        Table(Vec<(String, Option<Self>)>),
        Wide(Vec<(i8, char, bool, u128, ())>),
    }
    Fewer {
        Nothing,
        Number(i64),
        Pair(Box<Self>, Box<Self>),
        Table(BTreeMap<String, Option<Self>>),
        #[serde(alias = "Call")]
        Calls { name: String },
    }
}

/// Where a value fits what a type reads, that type reads the same; and where all do, each one does.
fn is_never_misread<R: Serialize + DeserializeOwned>(
    value: &Expr,
    style: Style,
    all_fit: bool,
) -> Result<(), TestCaseError> {
    let reader = Shape::of::<R>(style);
    prop_assert_eq!(Shape::of::<Expr>(style).read_by(&reader).is_ok(), all_fit);
    let fits = ValueCheck::new(&reader).check(value).is_ok();
    prop_assert!(fits || !all_fit);
    if !fits {
        return Ok(());
    }
    let mut bytes = Vec::new();
    if style == Style::Named {
        bytes = serde_json::to_vec(value).unwrap();
        let read: R = serde_json::from_slice(&bytes).unwrap();
        let read = serde_json::to_vec(&read).unwrap();
        let [read, written]: [serde_json::Value; 2] =
            [read, bytes].map(|bytes| serde_json::from_slice(&bytes).unwrap());
        prop_assert!(is_part(&read, &written), "{} {}", read, written);
        return Ok(());
    }
    Postcard.encode(value, &mut bytes).unwrap();
    let read: R = Postcard.decode(&bytes).unwrap();
    let mut again = Vec::new();
    Postcard.encode(&read, &mut again).unwrap();
    prop_assert_eq!(again, bytes);
    Ok(())
}

fn expr() -> impl Strategy<Value = Expr> {
    let wide = prop::collection::vec(
        (any::<u8>(), any::<char>(), any::<bool>(), any::<u128>(), Just(())),
        0..4,
    );
    let leaf = prop_oneof![
        Just(Expr::Nothing),
        any::<i64>().prop_map(Expr::Number),
        wide.prop_map(Expr::Wide),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Expr::Bytes),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Expr::Pair(a.into(), b.into())),
            (".{0,9}", prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(name, arguments)| Expr::Call { name, arguments }),
            prop::collection::btree_map(".{0,9}", prop::option::of(inner), 0..4)
                .prop_map(Expr::Table),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]

    #[test]
    fn a_value_fits_its_type(value in expr()) {
        round_trips(&value).unwrap();
        for style in [Style::Positional, Style::Named] {
            ValueCheck::new(&Shape::of::<Expr>(style)).check(&value).unwrap();
        }
    }

    #[test]
    fn a_value_that_fits_another_type_is_read_as_the_same(value in expr()) {
        let (positional, named) = (Style::Positional, Style::Named);
        for style in [positional, named] {
            is_never_misread::<Longer>(&value, style, true)?;
            is_never_misread::<Unsigned>(&value, style, false)?;
            is_never_misread::<Turned>(&value, style, false)?;
            is_never_misread::<Fewer>(&value, style, false)?;
        }
        is_never_misread::<Other>(&value, positional, false)?;
        is_never_misread::<Other>(&value, named, true)?;
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_by_a_shape_is_what_serde_json_writes(value in expr()) {
        use typed_pipe::wire::Json;
        let mut bytes = Vec::new();
        Postcard.encode(&value, &mut bytes).unwrap();
        let shape = Shape::of::<Expr>(Style::Positional);
        let json = shape.decode_json(&Postcard, &bytes).unwrap();
        prop_assert_eq!(shape.encode_json(&Postcard, &json).unwrap(), bytes);
        let named = Shape::of::<Expr>(Style::Named);
        let bytes = named.encode_json(&Json, &json);
        // Numbers that are too large for JSON are texts, and those of `Value` end there.
        if let (Ok(bytes), Ok(plain)) = (bytes, serde_json::to_value(&value)) {
            prop_assert_eq!(&plain, &json);
            prop_assert_eq!(Json.decode::<Expr>(&bytes).unwrap(), value);
        }
    }

    #[test]
    fn any_bytes_are_a_description_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(shape) = Shape::from_description(&bytes) {
            prop_assert_eq!(Shape::from_description(shape.description()).unwrap(), shape);
        }
    }

    #[test]
    fn nodes_in_any_order_are_a_description_or_refused(
        style in 1_u8..3,
        nodes in prop::collection::vec((0_u8..33, prop::collection::vec(0_u8..9, 0..7)), 1..9),
    ) {
        let mut bytes = vec![style, u8::try_from(nodes.len()).unwrap()];
        for (tag, more) in &nodes {
            bytes.push(*tag);
            bytes.extend(more);
        }
        if let Ok(shape) = Shape::from_description(&bytes) {
            let own = Shape::of::<Expr>(shape.style());
            let _ = (shape.read_by(&own), own.read_by(&shape), shape.to_string());
            prop_assert!(shape.read_by(&Shape::from_description(&bytes).unwrap()).is_ok());
            let _ = ValueCheck::new(&shape).check(&Expr::Nothing);
        }
    }
}
