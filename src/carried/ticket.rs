//! What a message says of what it carries.
//!
//! By hand, as `derive` would: the crate and all that builds it do without the derives of serde.

use std::fmt;

use serde::de::{EnumAccess, Error as _, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Debug)]
pub(super) struct Ticket {
    /// The number of its handle.
    pub(super) number: u32,
    pub(super) kind: Kind,
    /// The framing and the codec of a channel.
    pub(super) wire: Option<(String, String)>,
    /// The shape of its messages, if its codec has one.
    pub(super) shape: Option<Vec<u8>>,
    pub(super) path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Handle,
    ReadEnd,
    WriteEnd,
    Receiver,
    Sender,
    Listener,
}

const FIELDS: [&str; 5] = ["number", "kind", "wire", "shape", "path"];

/// The kinds in the order of their numbers, and their names in a message.
const KINDS: [Kind; 6] =
    [Kind::Handle, Kind::ReadEnd, Kind::WriteEnd, Kind::Receiver, Kind::Sender, Kind::Listener];
const VARIANTS: [&str; 6] = ["Handle", "ReadEnd", "WriteEnd", "Receiver", "Sender", "Listener"];

impl Ticket {
    pub(super) fn of(kind: Kind) -> Self {
        Self { number: 0, kind, wire: None, shape: None, path: None }
    }
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Handle => "a handle",
            Self::ReadEnd => "a reading end",
            Self::WriteEnd => "a writing end",
            Self::Receiver => "a receiver",
            Self::Sender => "a sender",
            Self::Listener => "a listener",
        }
    }
}

impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Ticket", FIELDS.len())?;
        fields.serialize_field("number", &self.number)?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("wire", &self.wire)?;
        fields.serialize_field("shape", &self.shape)?;
        fields.serialize_field("path", &self.path)?;
        fields.end()
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of_its_name = KINDS.iter().zip(VARIANTS).zip(0..).find(|((kind, _), _)| *kind == self);
        let Some(((_, name), number)) = of_its_name else {
            unreachable!("a table lists all kinds")
        };
        serializer.serialize_unit_variant("Kind", number, name)
    }
}

impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("Ticket", &FIELDS, Fields)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_enum("Kind", &VARIANTS, Variants)
    }
}

/// Reads the fields of a ticket.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Ticket;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("struct Ticket")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ticket, A::Error> {
        Ok(Ticket {
            number: element(&mut seq, 0)?,
            kind: element(&mut seq, 1)?,
            wire: element(&mut seq, 2)?,
            shape: element(&mut seq, 3)?,
            path: element(&mut seq, 4)?,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ticket, A::Error> {
        let (mut number, mut kind, mut wire, mut shape, mut path) = (None, None, None, None, None);
        while let Some(Index(field)) = map.next_key()? {
            match field {
                Some(0) => value(&mut map, "number", &mut number)?,
                Some(1) => value(&mut map, "kind", &mut kind)?,
                Some(2) => value(&mut map, "wire", &mut wire)?,
                Some(3) => value(&mut map, "shape", &mut shape)?,
                Some(4) => value(&mut map, "path", &mut path)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Ticket {
            number: number.ok_or_else(|| A::Error::missing_field("number"))?,
            kind: kind.ok_or_else(|| A::Error::missing_field("kind"))?,
            wire: wire.flatten(),
            shape: shape.flatten(),
            path: path.flatten(),
        })
    }
}

fn element<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(
    seq: &mut A,
    number: usize,
) -> Result<T, A::Error> {
    seq.next_element()?
        .ok_or_else(|| A::Error::invalid_length(number, &"struct Ticket with 5 elements"))
}

fn value<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    name: &'static str,
    into: &mut Option<T>,
) -> Result<(), A::Error> {
    if into.is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    *into = Some(map.next_value()?);
    Ok(())
}

/// The number of a field, if it has one.
struct Index(Option<usize>);

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(Name(&FIELDS)).map(Self)
    }
}

/// Finds a name in a table, or takes a number in its place.
struct Name(&'static [&'static str]);

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an identifier")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(usize::try_from(number).ok().filter(|number| *number < self.0.len()))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| known.as_bytes() == name))
    }
}

/// Reads a kind.
struct Variants;

/// A kind by its number or its name, before what it holds, which is nothing.
struct Variant(Kind);

impl<'de> Deserialize<'de> for Variant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_identifier(Name(&VARIANTS))?;
        let kind = number.and_then(|number| KINDS.get(number));
        kind.map(|kind| Self(*kind)).ok_or_else(|| D::Error::unknown_variant("another", &VARIANTS))
    }
}

impl<'de> Visitor<'de> for Variants {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("enum Kind")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Kind, A::Error> {
        let (Variant(kind), contents) = data.variant()?;
        contents.unit_variant()?;
        Ok(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::shape::{Shape, Style};
    use crate::wire::{Codec, Postcard};

    mod derived {
        use serde::{Deserialize, Serialize};

        #[derive(Serialize, Deserialize)]
        pub(super) struct Ticket {
            pub(super) number: u32,
            pub(super) kind: Kind,
            pub(super) wire: Option<(String, String)>,
            pub(super) shape: Option<Vec<u8>>,
            pub(super) path: Option<String>,
        }

        #[derive(Clone, Copy, Serialize, Deserialize)]
        pub(super) enum Kind {
            Handle,
            ReadEnd,
            WriteEnd,
            Receiver,
            Sender,
            Listener,
        }
    }

    const DERIVED: [derived::Kind; 6] = [
        derived::Kind::Handle,
        derived::Kind::ReadEnd,
        derived::Kind::WriteEnd,
        derived::Kind::Receiver,
        derived::Kind::Sender,
        derived::Kind::Listener,
    ];

    fn both() -> impl Iterator<Item = (Ticket, derived::Ticket)> {
        KINDS.into_iter().zip(DERIVED).zip(1..).flat_map(|((kind, derived), number)| {
            let wire = Some(("framing".to_owned(), "codec".to_owned()));
            let (shape, path) = (Some(vec![1, 2, 255]), Some("/a/name".to_owned()));
            let full = (
                Ticket {
                    number,
                    kind,
                    wire: wire.clone(),
                    shape: shape.clone(),
                    path: path.clone(),
                },
                derived::Ticket { number, kind: derived, wire, shape, path },
            );
            let (wire, shape, path) = (None, None, None);
            let bare =
                (Ticket::of(kind), derived::Ticket { number: 0, kind: derived, wire, shape, path });
            [full, bare]
        })
    }

    fn encoded(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        Postcard.encode(value, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_ticket_has_the_bytes_that_a_derive_gives_it() {
        for (ticket, derived) in both() {
            let bytes = encoded(&ticket);
            assert_eq!(bytes, encoded(&derived));
            assert_eq!(encoded(&Postcard.decode::<Ticket>(&bytes).unwrap()), bytes);

            let json = serde_json::to_string(&ticket).unwrap();
            assert_eq!(json, serde_json::to_string(&derived).unwrap());
            let back: Ticket = serde_json::from_str(&json).unwrap();
            assert_eq!(encoded(&back), bytes);
        }
    }

    #[test]
    fn a_ticket_has_the_shape_that_a_derive_gives_it() {
        for style in [Style::Positional, Style::Named] {
            let (ours, derived) = (Shape::of::<Ticket>(style), Shape::of::<derived::Ticket>(style));
            assert_eq!(ours.description(), derived.description(), "{ours:?}");
        }
    }

    #[test]
    fn a_ticket_refuses_what_a_derive_refuses() {
        for json in [
            r#"{}"#,
            r#"{"number":1}"#,
            r#"{"kind":"Sender"}"#,
            r#"{"number":1,"kind":"Sender"}"#,
            r#"{"number":1,"kind":"Sender","more":[1]}"#,
            r#"{"number":1,"number":1,"kind":"Sender"}"#,
            r#"{"number":1,"kind":"Sender","path":null,"path":"a"}"#,
            r#"{"number":1,"kind":"Teapot"}"#,
            r#"{"number":1,"kind":{"Sender":1}}"#,
            r#"{"number":1,"kind":{"Sender":null}}"#,
            r#"{"number":-1,"kind":"Sender"}"#,
            r#"[1,"Sender",null,null,null]"#,
            r#"[1,"Sender",null]"#,
            r#"[]"#,
        ] {
            let (ours, derived) = (
                serde_json::from_str::<Ticket>(json).map_err(|error| error.to_string()),
                serde_json::from_str::<derived::Ticket>(json).map_err(|error| error.to_string()),
            );
            match (ours, derived) {
                (Ok(ours), Ok(derived)) => assert_eq!(encoded(&ours), encoded(&derived), "{json}"),
                (ours, derived) => assert_eq!(ours.is_err(), derived.is_err(), "{json}: {ours:?}"),
            }
        }
        for end in 0..encoded(&Ticket::of(Kind::Sender)).len() {
            let bytes = encoded(&Ticket::of(Kind::Sender));
            assert!(Postcard.decode::<Ticket>(&bytes[..end]).is_err());
        }
        assert!(Postcard.decode::<Ticket>(&[0, 6, 0, 0, 0]).is_err());
    }
}
