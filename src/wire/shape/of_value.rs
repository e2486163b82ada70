//! The shape of one value, for whom its type can only be written.

use serde::ser::{self, Serialize};

use super::graph::{self, Enum, Field, Id, Kind, Leaf, Node, Struct};
use super::survey::Stuck;
use super::{Shape, Style};

impl Shape {
    /// What a codec of this style writes of this value: enough to read it, and all that is known of its type. Where parts
    /// of it differ that should be alike, the first counts.
    pub(crate) fn of_value<T: Serialize + ?Sized>(value: &T, style: Style) -> Self {
        let mut seen = Seen { nodes: vec![Node::Unseen, Node::Unseen], style };
        // It is the user's code that may fail. What it has written until then is seen.
        let _ = value.serialize(Here { seen: &mut seen, id: 0 });
        Self::new(style, graph::smallest(&seen.nodes, false))
    }
}

/// The graph so far.
struct Seen {
    nodes: Vec<Node>,
    style: Style,
}

/// Where parts go that belong to nothing. Nothing leads there.
const NOWHERE: Id = 1;

/// A variant behind so many others is not described.
const MOST_VARIANTS: usize = 1024;

impl Seen {
    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The node there, which is this one if there was none.
    fn at(&mut self, id: Id, first: impl FnOnce(&mut Self) -> Node) -> Option<&mut Node> {
        if let Some(Node::Unseen) = self.nodes.get(id) {
            let node = first(self);
            if let Some(there) = self.nodes.get_mut(id) {
                *there = node;
            }
        }
        self.nodes.get_mut(id)
    }

    fn option(&mut self, id: Id) -> Id {
        match self.at(id, |seen| Node::Option(seen.add(Node::Unseen))) {
            Some(Node::Option(of)) => *of,
            _ => NOWHERE,
        }
    }

    /// What the variant of this number holds.
    fn variant(&mut self, id: Id, of: &'static str, number: u32, name: &'static str) -> Id {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if number > MOST_VARIANTS {
            return NOWHERE;
        }
        let first =
            |_: &mut Self| Node::Enum(Enum { name: of.into(), aliases: 0, variants: Vec::new() });
        let known = match self.at(id, first) {
            Some(Node::Enum(of)) => of.variants.len(),
            _ => return NOWHERE,
        };
        let others: Vec<Id> = (known..=number).map(|_| self.add(Node::Unseen)).collect();
        let Some(Node::Enum(of)) = self.nodes.get_mut(id) else { return NOWHERE };
        of.variants.extend(others.into_iter().map(|id| ("".into(), id)));
        let Some((called, holds)) = of.variants.get_mut(number) else { return NOWHERE };
        *called = name.into();
        *holds
    }
}

/// Stands where a value is to be written.
struct Here<'a> {
    seen: &'a mut Seen,
    id: Id,
}

impl<'a> Here<'a> {
    fn leaf(self, leaf: Leaf) -> Result<(), Stuck> {
        self.seen.at(self.id, |_| Node::Leaf(leaf));
        Ok(())
    }

    fn parts(self) -> Parts<'a> {
        Parts { seen: self.seen, id: self.id, next: 0 }
    }

    fn tuple(self, len: usize) -> Parts<'a> {
        self.seen
            .at(self.id, |seen| Node::Tuple((0..len).map(|_| seen.add(Node::Unseen)).collect()));
        self.parts()
    }

    fn fields(self, name: &'static str) -> Parts<'a> {
        let none = Struct { name: name.into(), closed: false, fields: Vec::new() };
        self.seen.at(self.id, |_| Node::Struct(none));
        self.parts()
    }

    fn variant(self, of: &'static str, number: u32, name: &'static str) -> Self {
        let id = self.seen.variant(self.id, of, number, name);
        Self { seen: self.seen, id }
    }
}

/// The parts of something, one after the other.
struct Parts<'a> {
    seen: &'a mut Seen,
    id: Id,
    next: usize,
}

impl Parts<'_> {
    fn go<T: Serialize + ?Sized>(&mut self, id: Option<Id>, value: &T) -> Result<(), Stuck> {
        value.serialize(Here { seen: &mut *self.seen, id: id.unwrap_or(NOWHERE) })
    }

    fn node(&self) -> Option<&Node> {
        self.seen.nodes.get(self.id)
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stuck> {
        let id = match self.node() {
            Some(Node::Seq(of)) => Some(*of),
            Some(Node::Tuple(parts)) => parts.get(self.next).copied(),
            _ => None,
        };
        self.next += 1;
        self.go(id, value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Stuck> {
        let known = match self.node() {
            Some(Node::Struct(of)) => of.fields.iter().find(|field| field.name == name),
            _ => return self.go(None, value),
        };
        let id = match known.map(|field| field.id) {
            Some(id) => id,
            None => {
                let id = self.seen.add(Node::Unseen);
                if let Some(Node::Struct(of)) = self.seen.nodes.get_mut(self.id) {
                    of.fields.push(Field { name: name.into(), id, kind: Kind::Required });
                }
                id
            }
        };
        self.go(Some(id), value)
    }

    fn entry<T: Serialize + ?Sized>(&mut self, is_key: bool, value: &T) -> Result<(), Stuck> {
        let id = match self.node() {
            Some(Node::Map(key, of)) => Some(if is_key { *key } else { *of }),
            _ => None,
        };
        self.go(id, value)
    }
}

macro_rules! leaves {
    ($($method:ident $type:ty, $leaf:ident;)*) => {$(
        fn $method(self, _: $type) -> Result<(), Stuck> {
            self.leaf(Leaf::$leaf)
        }
    )*};
}

impl<'a> ser::Serializer for Here<'a> {
    type Ok = ();
    type Error = Stuck;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    leaves! {
        serialize_bool bool, Bool;
        serialize_i8 i8, I8;
        serialize_i16 i16, I16;
        serialize_i32 i32, I32;
        serialize_i64 i64, I64;
        serialize_i128 i128, I128;
        serialize_u8 u8, U8;
        serialize_u16 u16, U16;
        serialize_u32 u32, U32;
        serialize_u64 u64, U64;
        serialize_u128 u128, U128;
        serialize_f32 f32, F32;
        serialize_f64 f64, F64;
        serialize_char char, Char;
        serialize_str &str, Text;
        serialize_bytes &[u8], Bytes;
    }

    fn serialize_none(self) -> Result<(), Stuck> {
        self.seen.option(self.id);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stuck> {
        let id = self.seen.option(self.id);
        value.serialize(Here { seen: self.seen, id })
    }

    fn serialize_unit(self) -> Result<(), Stuck> {
        self.leaf(Leaf::Unit)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Stuck> {
        self.leaf(Leaf::Unit)
    }

    fn serialize_unit_variant(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
    ) -> Result<(), Stuck> {
        let here = self.variant(of, number, name);
        here.seen.at(here.id, |_| Node::Nothing);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Stuck> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Stuck> {
        value.serialize(self.variant(of, number, name))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Stuck> {
        self.seen.at(self.id, |seen| Node::Seq(seen.add(Node::Unseen)));
        Ok(self.parts())
    }

    fn serialize_tuple(self, len: usize) -> Result<Parts<'a>, Stuck> {
        Ok(self.tuple(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Parts<'a>, Stuck> {
        Ok(self.tuple(len))
    }

    fn serialize_tuple_variant(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Parts<'a>, Stuck> {
        Ok(self.variant(of, number, name).tuple(len))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Stuck> {
        self.seen.at(self.id, |seen| Node::Map(seen.add(Node::Unseen), seen.add(Node::Unseen)));
        Ok(self.parts())
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts<'a>, Stuck> {
        Ok(self.fields(name))
    }

    fn serialize_struct_variant(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Stuck> {
        // It has no name of its own, as in the shape of a type.
        Ok(self.variant(of, number, name).fields(""))
    }

    fn is_human_readable(&self) -> bool {
        self.seen.style == Style::Named
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident;)*) => {$(
        impl ser::$trait for Parts<'_> {
            type Ok = ();
            type Error = Stuck;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stuck> {
                self.element(value)
            }

            fn end(self) -> Result<(), Stuck> {
                Ok(())
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! fields {
    ($($trait:ident;)*) => {$(
        impl ser::$trait for Parts<'_> {
            type Ok = ();
            type Error = Stuck;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Stuck> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Stuck> {
                Ok(())
            }
        }
    )*};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Stuck;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stuck> {
        self.entry(true, key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stuck> {
        self.entry(false, value)
    }

    fn end(self) -> Result<(), Stuck> {
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "json")]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::{Codec, Postcard};

    #[derive(Serialize)]
    enum Outcome {
        #[expect(dead_code, reason = "a variant before the others")]
        Never(u8),
        Built,
        Cancelled {
            after: u32,
        },
        Moved(i8, f32),
        At(Option<&'static str>),
    }

    #[derive(Serialize)]
    struct Tree {
        name: char,
        below: Vec<Self>,
    }

    /// What a reader without the type reads of it.
    fn read<T: Serialize>(value: &T) -> Value {
        let mut bytes = Vec::new();
        Postcard.encode(value, &mut bytes).unwrap();
        let shape = Shape::of_value(value, Style::Positional);
        // As it arrives at another process.
        let shape = Shape::from_description(shape.description()).unwrap();
        shape.decode_json(&Postcard, &bytes).unwrap()
    }

    #[test]
    fn a_value_is_read_by_its_own_shape() {
        let outcomes = [
            Outcome::Built,
            Outcome::Cancelled { after: 7 },
            Outcome::Moved(-1, 0.5),
            Outcome::At(None),
            Outcome::At(Some("here")),
        ];
        let known = json!([
            "Built", {"Cancelled": {"after": 7}}, {"Moved": [-1, 0.5]}, {"At": null}, {"At": "here"},
        ]);
        assert_eq!(read(&outcomes.each_ref()[..].to_vec()), known);
        for (outcome, known) in outcomes.iter().zip(known.as_array().unwrap()) {
            assert_eq!(read(outcome), *known);
        }
        let map = BTreeMap::from([("a", Vec::new()), ("b", vec![(true, ())])]);
        assert_eq!(read(&map), json!({"a": [], "b": [[true, null]]}));
        let map = BTreeMap::from([((1, 2), u128::MAX)]);
        assert_eq!(read(&map), json!([[[1, 2], u128::MAX.to_string()]]));
        let leaf = || Tree { name: 'l', below: Vec::new() };
        let tree = Tree { name: 'r', below: vec![leaf(), Tree { name: 'm', below: vec![leaf()] }] };
        assert_eq!(
            read(&tree),
            json!({"name": "r", "below": [
                {"name": "l", "below": []},
                {"name": "m", "below": [{"name": "l", "below": []}]},
            ]})
        );
    }

    #[test]
    fn a_variant_far_behind_makes_no_long_list() {
        struct Far;

        impl Serialize for Far {
            fn serialize<S: ser::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_unit_variant("Far", u32::MAX, "Away")
            }
        }

        let shape = Shape::of_value(&Far, Style::Positional);
        assert!(!shape.is_complete());
        assert!(shape.description().len() < 10);
    }
}
