//! The name of the variant with which bytes begin, without its contents.

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, EnumAccess, Visitor};

use super::Shape;
use super::graph::Node;
use crate::wire::Codec;

/// Which variant of an enum it is.
enum Found {
    Number(u64),
    Name(String),
}

thread_local! {
    /// What was found: the reading ends there, with an error.
    static FOUND: RefCell<Option<Found>> = const { RefCell::new(None) };
}

impl Shape {
    /// The name of the variant that a value of this enum is, or one of the enum in the first option of this pair; `None` for
    /// what is no enum, and for bytes that say nothing.
    pub(crate) fn variant_in(
        &self,
        codec: &impl Codec,
        body: &[u8],
        of_pair: bool,
    ) -> Option<String> {
        let nodes = self.nodes();
        let mut at = nodes.first()?;
        if of_pair {
            let Node::Tuple(ids) = at else { return None };
            let Some(Node::Option(id)) = nodes.get(*ids.first()?) else { return None };
            at = nodes.get(*id)?;
        }
        let Node::Enum(of) = at else { return None };
        FOUND.take();
        let _ = codec.decode::<Which>(body);
        match FOUND.take()? {
            // A second name of a variant takes a number too.
            Found::Number(_) if of.aliases > 0 => None,
            Found::Number(number) => {
                let (name, _) = of.variants.get(usize::try_from(number).ok()?)?;
                Some(name.to_string())
            }
            Found::Name(name) => of.variants.iter().any(|(of, _)| **of == *name).then_some(name),
        }
    }
}

/// Reads the variant, and nothing behind it.
struct Which;

impl<'de> Deserialize<'de> for Which {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_enum("", &[], Variant)
    }
}

struct Variant;

impl<'de> Visitor<'de> for Variant {
    type Value = Which;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an enum")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<Which, A::Error> {
        variant.variant::<Named>()?;
        Err(de::Error::custom("nothing more is asked for"))
    }
}

struct Named;

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(Self)
    }
}

impl Visitor<'_> for Named {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a variant")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self, E> {
        FOUND.set(Some(Found::Number(number)));
        Ok(self)
    }

    fn visit_str<E>(self, name: &str) -> Result<Self, E> {
        FOUND.set(Some(Found::Name(name.to_owned())));
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;
    use crate::wire::Postcard;
    use crate::wire::shape::Style;

    #[derive(Serialize, Deserialize)]
    enum Call {
        #[serde(rename = "first")]
        One,
        Two {
            of: Vec<u8>,
        },
    }

    fn named(codec: &impl Codec, call: &Call) -> Option<String> {
        let mut bytes = Vec::new();
        codec.encode(call, &mut bytes).unwrap();
        Shape::of::<Call>(codec.style().unwrap()).variant_in(codec, &bytes, false)
    }

    #[test]
    fn the_variant_of_bytes_is_named_whatever_it_holds() {
        assert_eq!(named(&Postcard, &Call::One).unwrap(), "first");
        assert_eq!(named(&Postcard, &Call::Two { of: vec![7] }).unwrap(), "Two");
        #[cfg(feature = "json")]
        {
            assert_eq!(named(&crate::wire::Json, &Call::One).unwrap(), "first");
            assert_eq!(named(&crate::wire::Json, &Call::Two { of: vec![7] }).unwrap(), "Two");
        }
        let pair = Shape::of::<(Option<Call>, Option<u8>)>(Style::Positional);
        assert_eq!(pair.variant_in(&Postcard, &[1, 0], true).unwrap(), "Two");
        assert_eq!(pair.variant_in(&Postcard, &[1, 0], false), None);
    }

    #[test]
    fn what_is_no_variant_has_no_name() {
        let number = Shape::of::<u32>(Style::Positional);
        assert_eq!(number.variant_in(&Postcard, &[1], false), None);
        let shape = Shape::of::<Call>(Style::Positional);
        for bytes in [&[][..], &[2], &[0xFF; 20]] {
            assert_eq!(shape.variant_in(&Postcard, bytes, false), None);
        }
    }
}
