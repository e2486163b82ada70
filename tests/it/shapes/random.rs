//! Values that nobody thought of.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::{Shape, Style, ValueCheck, round_trips};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Expr {
    Nothing,
    Number(i64),
    Pair(Box<Self>, Box<Self>),
    Call { name: String, arguments: Vec<Self> },
    Table(BTreeMap<String, Option<Self>>),
    Wide(Vec<(u8, char, bool, u128, ())>),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
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

    #[cfg(feature = "json")]
    #[test]
    fn json_by_a_shape_is_what_serde_json_writes(value in expr()) {
        use typed_pipe::wire::{Codec, Json, Postcard};
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
