//! A serializer that writes nothing, and goes beside the shape of the receiver.

use std::any::type_name;

use serde::ser::{self, Serialize};

use super::Style;
use super::compare::{At, field};
use super::difference::Difference;
use super::graph::{Id, Kind, Leaf, Node, may_be, shown};
use super::survey::Stuck;
use super::value_check::{BYTE, Kin, ValueCheck};

/// Stands where a value is to be written.
pub(super) struct Walk<'a> {
    pub(super) check: &'a mut ValueCheck,
    pub(super) pair: usize,
}

/// The parts of something, one after the other.
pub(super) struct Parts<'a> {
    check: &'a mut ValueCheck,
    pair: usize,
    what: What,
    /// The variant that holds them.
    variant: Option<&'static str>,
    next: usize,
    /// The fields that were given, where they have names.
    given: Vec<usize>,
}

#[derive(Clone, Copy)]
enum What {
    /// The reader takes anything.
    Anything,
    Elements(Id),
    Entries(Id, Id),
    Tuple,
    Struct,
}

impl Kin {
    pub(super) fn of<T: Serialize + ?Sized>() -> Self {
        let code: fn(&T, Walk<'static>) -> Result<(), Stuck> = T::serialize;
        #[expect(
            clippy::as_conversions,
            reason = "there is no other way to the address of a function"
        )]
        Self::Type(code as usize, type_name::<T>())
    }
}

impl ValueCheck {
    pub(super) fn look<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Difference> {
        let root = self.begin(Kin::of::<T>());
        let _ = value.serialize(Walk { check: self, pair: root });
        self.end()
    }
}

impl<'a> Walk<'a> {
    fn leaf(self, leaf: Leaf) -> Result<(), Stuck> {
        let pair = self.check.without_option(self.pair, &Node::Leaf(leaf));
        match self.check.node(pair) {
            Node::Leaf(other) if *other == leaf => Ok(()),
            node if node.is_anything() => Ok(()),
            _ => Err(self.check.other(pair, leaf.name())),
        }
    }

    fn bytes(self) -> Result<(), Stuck> {
        let pair = self.check.without_option(self.pair, &Node::Leaf(Leaf::Bytes));
        let fits = match *self.check.node(pair) {
            Node::Leaf(Leaf::Bytes) => true,
            Node::Seq(of) => {
                let of = self.check.node_at(of);
                of.is_anything() || *of == Node::Leaf(Leaf::U8)
            }
            ref node => node.is_anything(),
        };
        if !fits {
            return Err(self.check.other(pair, Leaf::Bytes.name()));
        }
        self.check.seen_whole(pair);
        Ok(())
    }

    fn parts(self, pair: usize, what: What) -> Parts<'a> {
        Parts { check: self.check, pair, what, variant: None, next: 0, given: Vec::new() }
    }

    fn list(&mut self) -> Result<(usize, What), Stuck> {
        let pair = self.check.without_option(self.pair, &Node::Seq(0));
        match *self.check.node(pair) {
            Node::Seq(of) => Ok((pair, What::Elements(of))),
            Node::Leaf(Leaf::Bytes) => Ok((pair, What::Elements(BYTE))),
            ref node if node.is_anything() => Ok((pair, What::Anything)),
            _ => Err(self.check.other(pair, "list")),
        }
    }

    fn tuple(&mut self, len: usize) -> Result<(usize, What), Stuck> {
        let pair = self.check.without_option(self.pair, &Node::Seq(0));
        match *self.check.node(pair) {
            Node::Tuple(ref parts) if parts.len() == len => Ok((pair, What::Tuple)),
            Node::Array(many, of) if usize::try_from(many) == Ok(len) => {
                Ok((pair, What::Elements(of)))
            }
            ref node if node.is_anything() => Ok((pair, What::Anything)),
            _ => Err(self.check.other(pair, &format!("tuple of {len}"))),
        }
    }

    fn map(&mut self) -> Result<(usize, What), Stuck> {
        let pair = self.check.without_option(self.pair, &Node::Seq(0));
        match *self.check.node(pair) {
            Node::Map(key, value) => Ok((pair, What::Entries(key, value))),
            // So a struct is written that has `flatten` in it.
            Node::Struct(_) if self.check.style() == Style::Named => Ok((pair, What::Anything)),
            ref node if node.is_anything() => Ok((pair, What::Anything)),
            _ => Err(self.check.other(pair, "map")),
        }
    }

    fn fields(&mut self, name: &str) -> Result<(usize, What), Stuck> {
        let pair = self.check.without_option(self.pair, &Node::Seq(0));
        match *self.check.node(pair) {
            Node::Struct(_) => Ok((pair, What::Struct)),
            ref node if node.is_anything() => Ok((pair, What::Anything)),
            _ if name.is_empty() => Err(self.check.other(pair, "struct")),
            _ => Err(self.check.other(pair, &format!("struct {name}"))),
        }
    }

    /// What a variant holds: the edge to it, and its node. Nothing, where the reader takes anything.
    fn variant(&mut self, number: u32, name: &str) -> Result<Option<(usize, Id)>, Stuck> {
        self.pair = self.check.without_option(self.pair, &Node::Seq(0));
        let style = self.check.style();
        let (written, read) = match self.check.node(self.pair) {
            Node::Enum(of) => match style {
                Style::Positional => {
                    let at = usize::try_from(number).unwrap_or(usize::MAX);
                    let read = match of.numbered(at) {
                        Some(id) if of.names(at).any(|other| may_be(name, other)) => {
                            return Ok(Some((at, id)));
                        }
                        Some(_) => format!("`{}`", of.called(at)),
                        None => "no such variant".to_owned(),
                    };
                    (format!("variant {number} is `{name}`"), read)
                }
                Style::Named => match of.named(name) {
                    Some(known) => return Ok(Some(known)),
                    None => (format!("variant `{name}`"), "no such variant".to_owned()),
                },
            },
            node if node.is_anything() => return Ok(None),
            _ => {
                let written = format!("enum (variant `{name}`)");
                return Err(self.check.other(self.pair, &written));
            }
        };
        Err(self.check.fault(written, read))
    }

    /// Goes into what a variant holds, where that has no type of its own.
    fn contents(
        mut self,
        number: u32,
        name: &'static str,
        enter: impl for<'b> FnOnce(&'b mut Walk<'_>) -> Result<(usize, What), Stuck>,
    ) -> Result<Parts<'a>, Stuck> {
        let Some((edge, id)) = self.variant(number, name)? else {
            let pair = self.pair;
            return Ok(self.parts(pair, What::Anything));
        };
        self.pair = self.check.along(self.pair, edge, id, Kin::Part(self.pair, edge));
        match enter(&mut self) {
            Ok((pair, what)) => Ok(Parts { variant: Some(name), ..self.parts(pair, what) }),
            Err(error) => {
                self.check.step(At::Variant(name));
                Err(error)
            }
        }
    }
}

impl Parts<'_> {
    fn go<T: Serialize + ?Sized>(
        &mut self,
        edge: usize,
        id: Id,
        at: At<'_>,
        value: &T,
    ) -> Result<(), Stuck> {
        let pair = self.check.along(self.pair, edge, id, Kin::of::<T>());
        let done = value.serialize(Walk { check: &mut *self.check, pair });
        if done.is_err() {
            self.check.step(at);
            self.leave();
        }
        done
    }

    /// Names the variant around what did not fit.
    fn leave(&mut self) {
        if let Some(variant) = self.variant {
            self.check.step(At::Variant(variant));
        }
    }

    /// The edge to the next element, its node, and how it is called.
    fn next(&mut self) -> Option<(usize, Id, At<'static>)> {
        let number = self.next;
        self.next += 1;
        match self.what {
            What::Elements(of) => Some((0, of, At::Element)),
            What::Tuple => match self.check.node(self.pair) {
                Node::Tuple(parts) => parts.get(number).map(|of| (number, *of, At::Part(number))),
                _ => None,
            },
            What::Anything | What::Entries(..) | What::Struct => None,
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stuck> {
        match self.next() {
            Some((edge, id, at)) => self.go(edge, id, at, value),
            None => Ok(()),
        }
    }

    /// The edge to the field of this name, and its node.
    fn edge(&mut self, name: &str) -> Result<Option<(usize, Id)>, Stuck> {
        let number = self.next;
        self.next += 1;
        let style = self.check.style();
        if style == Style::Positional {
            if let Some(id) = self.check.plain_field(self.pair, number, name) {
                return Ok(Some((number, id)));
            }
        }
        let (What::Struct, Node::Struct(of)) = (self.what, self.check.node(self.pair)) else {
            return Ok(None);
        };
        let (written, read) = match style {
            Style::Positional => match of.own().nth(number) {
                Some(own) if of.may_be(own, name) => return Ok(Some((number, own.id))),
                other => {
                    let other = other.map(|of| (of.name.as_ref(), self.check.word(of.id)));
                    (format!("field {number} is `{name}`"), field(number, other))
                }
            },
            Style::Named => match of.read(name).map(|read| read.name.clone()) {
                Some(own) => {
                    let at = of.fields.iter().position(|field| field.name == own);
                    let id = at.and_then(|at| of.fields.get(at)).map(|field| field.id);
                    self.given.extend(at);
                    return Ok(at.zip(id));
                }
                None if !of.closed => return Ok(None),
                None => (format!("field `{name}`"), "no other fields allowed".to_owned()),
            },
        };
        let error = self.check.fault(written, read);
        self.leave();
        Err(error)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Stuck> {
        match self.edge(name)? {
            Some((edge, id)) => self.go(edge, id, At::Field(name), value),
            None => Ok(()),
        }
    }

    fn end_fields(mut self) -> Result<(), Stuck> {
        let (What::Struct, Node::Struct(of)) = (self.what, self.check.node(self.pair)) else {
            return Ok(());
        };
        let (written, read) = match self.check.style() {
            Style::Positional => {
                let has_bytes = |id: Id| {
                    let node = self.check.node_at(id);
                    !node.is_anything() && !matches!(node, Node::Nothing | Node::Leaf(Leaf::Unit))
                };
                let mut more = of.own().enumerate().skip(self.next);
                match more.find(|(_, field)| has_bytes(field.id)) {
                    Some((number, missing)) => {
                        let missing = (missing.name.as_ref(), self.check.word(missing.id));
                        (field(number, None), field(number, Some(missing)))
                    }
                    None => return Ok(()),
                }
            }
            Style::Named => {
                let missing = |(at, read): &(usize, &super::graph::Field)| {
                    read.kind == Kind::Required
                        && !self.given.contains(at)
                        && !self.check.node_at(read.id).is_anything()
                };
                match of.fields.iter().enumerate().find(missing) {
                    Some((_, field)) => {
                        let name = shown(&field.name);
                        (format!("no field `{name}`"), format!("field `{name}`"))
                    }
                    None => return Ok(()),
                }
            }
        };
        let error = self.check.fault(written, read);
        self.leave();
        Err(error)
    }
}

macro_rules! leaves {
    ($($method:ident $type:ty, $leaf:ident;)*) => {$(
        fn $method(self, _: $type) -> Result<(), Stuck> {
            self.leaf(Leaf::$leaf)
        }
    )*};
}

impl<'a> ser::Serializer for Walk<'a> {
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
    }

    fn is_human_readable(&self) -> bool {
        self.check.style() == Style::Named
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Stuck> {
        self.bytes()
    }

    fn serialize_unit(self) -> Result<(), Stuck> {
        self.leaf(Leaf::Unit)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Stuck> {
        self.leaf(Leaf::Unit)
    }

    fn serialize_none(self) -> Result<(), Stuck> {
        match self.check.node(self.pair) {
            Node::Option(_) => Ok(()),
            node if node.is_anything() => Ok(()),
            _ => Err(self.check.other(self.pair, "option")),
        }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stuck> {
        match *self.check.node(self.pair) {
            Node::Option(inner) => {
                let pair = self.pair;
                self.parts(pair, What::Anything).go(0, inner, At::Option, value)
            }
            ref node if node.is_anything() => Ok(()),
            _ => Err(self.check.other(self.pair, "option")),
        }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Stuck> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        mut self,
        _: &'static str,
        number: u32,
        name: &'static str,
    ) -> Result<(), Stuck> {
        let Some((edge, id)) = self.variant(number, name)? else { return Ok(()) };
        let pair = self.check.along(self.pair, edge, id, Kin::Part(self.pair, edge));
        match self.check.node(pair) {
            Node::Nothing => Ok(()),
            node if node.is_anything() => Ok(()),
            _ => {
                let error = self.check.other(pair, "nothing");
                self.check.step(At::Variant(name));
                Err(error)
            }
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        number: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Stuck> {
        let Some((edge, id)) = self.variant(number, name)? else { return Ok(()) };
        let pair = self.pair;
        self.parts(pair, What::Anything).go(edge, id, At::Variant(name), value)
    }

    fn serialize_seq(mut self, _: Option<usize>) -> Result<Parts<'a>, Stuck> {
        let (pair, what) = self.list()?;
        Ok(self.parts(pair, what))
    }

    fn serialize_tuple(mut self, len: usize) -> Result<Parts<'a>, Stuck> {
        let (pair, what) = self.tuple(len)?;
        Ok(self.parts(pair, what))
    }

    fn serialize_tuple_struct(mut self, _: &'static str, len: usize) -> Result<Parts<'a>, Stuck> {
        let (pair, what) = self.tuple(len)?;
        Ok(self.parts(pair, what))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        number: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Parts<'a>, Stuck> {
        self.contents(number, name, |walk| walk.tuple(len))
    }

    fn serialize_map(mut self, _: Option<usize>) -> Result<Parts<'a>, Stuck> {
        let (pair, what) = self.map()?;
        Ok(self.parts(pair, what))
    }

    fn serialize_struct(mut self, name: &'static str, _: usize) -> Result<Parts<'a>, Stuck> {
        let (pair, what) = self.fields(name)?;
        Ok(self.parts(pair, what))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        number: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Stuck> {
        self.contents(number, name, |walk| walk.fields(""))
    }
}

macro_rules! parts {
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

parts! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

impl ser::SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Stuck;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stuck> {
        match self.what {
            What::Entries(of, _) => self.go(0, of, At::Key, key),
            _ => Ok(()),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stuck> {
        match self.what {
            What::Entries(_, of) => self.go(1, of, At::Value, value),
            _ => Ok(()),
        }
    }

    fn end(self) -> Result<(), Stuck> {
        Ok(())
    }
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
                self.end_fields()
            }
        }
    )*};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}
