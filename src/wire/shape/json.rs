//! Messages of a type that this program does not have, by their shape.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{self, SerializeMap, SerializeSeq, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::compare::At;
use super::graph::{Enum, Field, Id, Kind, Leaf, Node, Struct, shown};
use super::words::{root, word};
use super::{Shape, Style};
use crate::error::CodecError;
use crate::wire::Codec;

/// How deep a value may be nested.
const DEPTH: usize = 128;

impl Shape {
    /// Reads a message of a type that this program does not have, by its shape, as JSON.
    ///
    /// The value is the one that `serde_json` would write of the message, with these exceptions: numbers that are too large
    /// for JSON are texts, and maps whose keys are no texts, numbers or names are lists of pairs. What is human-readable in JSON
    /// alone, such as a UUID, is what the codec wrote.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::json;
    /// use typed_pipe::wire::shape::{Shape, Style};
    /// use typed_pipe::wire::{Codec, Postcard};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Reading {
    ///     sensor: String,
    ///     celsius: f32,
    /// }
    ///
    /// let shape = Shape::of::<Reading>(Style::Positional); // or one that came `from_description`
    /// let mut bytes = Vec::new();
    /// Postcard.encode(&Reading { sensor: "kitchen".into(), celsius: 21.5 }, &mut bytes)?;
    /// let value = shape.decode_json(&Postcard, &bytes)?;
    /// assert_eq!(value, json!({"sensor": "kitchen", "celsius": 21.5}));
    /// assert_eq!(shape.encode_json(&Postcard, &value)?, bytes);
    /// # Ok::<(), typed_pipe::CodecError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`CodecError`] where the bytes are no such message, where the codec has another [style](super::Style) than the
    /// shape, and where the shape could not look into what comes next. A value is at most 128 levels deep, and has
    /// no more parts than some for each byte.
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    #[doc(alias = "dynamic")]
    pub fn decode_json<C: Codec>(&self, codec: &C, bytes: &[u8]) -> Result<Value, CodecError> {
        self.is_for(codec)?;
        if self.style() == Style::Named {
            return codec.decode(bytes);
        }
        let room = bytes.len().saturating_mul(4).saturating_add(1 << 16);
        let before = READING.replace(Some(Reading { shape: self.clone(), room, fault: None }));
        let read = codec.decode::<Root>(bytes);
        let reading = READING.replace(before);
        match (read, reading.and_then(|reading| reading.fault)) {
            (Ok(Root(value)), _) => Ok(value),
            (Err(_), Some(fault)) => Err(CodecError::format(fault)),
            (Err(error), None) => Err(error),
        }
    }

    /// Writes a message of a type that this program does not have, by its shape, from JSON. It is the way back of
    /// [`decode_json`](Self::decode_json), where an example is.
    ///
    /// # Errors
    ///
    /// A [`CodecError`] that names the place where the value is no such message, or that the codec has another
    /// [style](super::Style) than the shape.
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    pub fn encode_json<C: Codec>(&self, codec: &C, value: &Value) -> Result<Vec<u8>, CodecError> {
        self.is_for(codec)?;
        let mut steps = Vec::new();
        if let Err(found) = self.takes(0, value, 0, &mut steps) {
            steps.push(root(self.nodes(), 0));
            steps.reverse();
            return Err(CodecError::format(format!("`{}`: {found}", steps.concat())));
        }
        let mut bytes = Vec::new();
        match self.style() {
            Style::Named => codec.encode(value, &mut bytes)?,
            Style::Positional => codec.encode(&Part { shape: self, id: 0, value }, &mut bytes)?,
        }
        Ok(bytes)
    }

    fn is_for<C: Codec>(&self, codec: &C) -> Result<(), CodecError> {
        match codec.style() == Some(self.style()) {
            true => Ok(()),
            false => {
                let text = format!("the codec `{}` has another style than the shape", codec.name());
                Err(CodecError::format(text))
            }
        }
    }

    fn node(&self, id: Id) -> &Node {
        super::graph::node(self.nodes(), id)
    }

    fn word(&self, id: Id) -> String {
        word(self.nodes(), id)
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// From bytes

/// By what the value is read that is being read now.
struct Reading {
    shape: Shape,
    /// How many values there may still be: there are types whose values have no bytes.
    room: usize,
    fault: Option<String>,
}

thread_local! {
    /// A codec reads what is `Deserialize`, which nothing can be handed to.
    #[allow(clippy::missing_const_for_thread_local, reason = "it is; not seen on some systems")]
    static READING: Cell<Option<Reading>> = const { Cell::new(None) };
}

struct Root(Value);

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(mut reading) = READING.take() else {
            return Err(de::Error::custom("it is read without its shape"));
        };
        let shape = reading.shape.clone();
        let value = Here { shape: &shape, reading: &mut reading, id: 0, depth: 0 }
            .deserialize(deserializer);
        READING.set(Some(reading));
        value.map(Self)
    }
}

/// Stands where a node is read.
struct Here<'a> {
    shape: &'a Shape,
    reading: &'a mut Reading,
    id: Id,
    depth: usize,
}

impl<'a> Here<'a> {
    fn inner(&mut self, id: Id) -> Here<'_> {
        Here { shape: self.shape, reading: &mut *self.reading, id, depth: self.depth + 1 }
    }

    #[cold]
    fn fault<E: de::Error>(&mut self, words: String) -> E {
        let error = E::custom(&words);
        self.reading.fault = Some(words);
        error
    }

    fn node(&self) -> &'a Node {
        self.shape.node(self.id)
    }
}

impl<'de> DeserializeSeed<'de> for Here<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(mut self, from: D) -> Result<Value, D::Error> {
        if self.depth > DEPTH {
            return Err(self.fault(CodecError::TooDeep { limit: DEPTH }.to_string()));
        }
        match self.reading.room.checked_sub(1) {
            Some(left) => self.reading.room = left,
            None => return Err(self.fault("the message has more values than bytes".to_owned())),
        }
        match self.node() {
            Node::Unseen | Node::Any | Node::Same(_) => {
                Err(self.fault("the shape could not look into what comes here".to_owned()))
            }
            Node::Nothing => Ok(Value::Null),
            Node::Leaf(leaf) => match leaf {
                Leaf::Unit => from.deserialize_unit(self),
                Leaf::Bool => from.deserialize_bool(self),
                Leaf::I8 => from.deserialize_i8(self),
                Leaf::I16 => from.deserialize_i16(self),
                Leaf::I32 => from.deserialize_i32(self),
                Leaf::I64 => from.deserialize_i64(self),
                Leaf::I128 => from.deserialize_i128(self),
                Leaf::U8 => from.deserialize_u8(self),
                Leaf::U16 => from.deserialize_u16(self),
                Leaf::U32 => from.deserialize_u32(self),
                Leaf::U64 => from.deserialize_u64(self),
                Leaf::U128 => from.deserialize_u128(self),
                Leaf::F32 => from.deserialize_f32(self),
                Leaf::F64 => from.deserialize_f64(self),
                Leaf::Char => from.deserialize_char(self),
                Leaf::Text => from.deserialize_str(self),
                Leaf::Bytes => from.deserialize_bytes(self),
            },
            Node::Option(_) => from.deserialize_option(self),
            Node::Seq(_) => from.deserialize_seq(self),
            Node::Map(..) => from.deserialize_map(self),
            Node::Tuple(parts) => from.deserialize_tuple(parts.len(), self),
            Node::Array(len, _) => {
                from.deserialize_tuple(usize::try_from(*len).unwrap_or(usize::MAX), self)
            }
            Node::Struct(of) => from.deserialize_tuple(of.own().count(), self),
            Node::Enum(_) => from.deserialize_enum("", &[], self),
        }
    }
}

macro_rules! visit_numbers {
    ($($method:ident $type:ty;)*) => {$(
        fn $method<E: de::Error>(self, number: $type) -> Result<Value, E> {
            Ok(number.into())
        }
    )*};
}

impl<'de> Visitor<'de> for Here<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shape.word(self.id))
    }

    visit_numbers! {
        visit_i8 i8;
        visit_i16 i16;
        visit_i32 i32;
        visit_i64 i64;
        visit_u8 u8;
        visit_u16 u16;
        visit_u32 u32;
        visit_u64 u64;
        visit_f32 f32;
        visit_f64 f64;
        visit_bool bool;
        visit_str &str;
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from))
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Value, E> {
        Ok(u64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(bytes.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(mut self, from: D) -> Result<Value, D::Error> {
        let Node::Option(of) = self.node() else { return Err(de::Error::custom("no option")) };
        self.inner(*of).deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut all: A) -> Result<Value, A::Error> {
        let short = || de::Error::custom("there are too few parts");
        match self.node() {
            Node::Struct(of) => {
                let mut object = Map::new();
                for field in of.own() {
                    let value = all.next_element_seed(self.inner(field.id))?;
                    object.insert(field.name.clone().into_owned(), value.ok_or_else(short)?);
                }
                Ok(Value::Object(object))
            }
            Node::Tuple(parts) => {
                let mut list = Vec::new();
                for part in parts {
                    let value = all.next_element_seed(self.inner(*part))?;
                    list.push(value.ok_or_else(short)?);
                }
                Ok(Value::Array(list))
            }
            Node::Seq(of) | Node::Array(_, of) => {
                let mut list = Vec::new();
                while let Some(value) = all.next_element_seed(self.inner(*of))? {
                    list.push(value);
                }
                Ok(Value::Array(list))
            }
            _ => Err(de::Error::custom("no parts")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut all: A) -> Result<Value, A::Error> {
        let Node::Map(key, value) = self.node() else { return Err(de::Error::custom("no map")) };
        let mut pairs = Vec::new();
        while let Some(name) = all.next_key_seed(self.inner(*key))? {
            pairs.push((name, all.next_value_seed(self.inner(*value))?));
        }
        let name = |key: &Value| match key {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(is) => Some(is.to_string()),
            _ => None,
        };
        let names: Option<Vec<String>> = pairs.iter().map(|(key, _)| name(key)).collect();
        Ok(match names {
            Some(names) if is_name(self.shape, *key) => {
                names.into_iter().zip(pairs).map(|(name, (_, value))| (name, value)).collect()
            }
            _ => pairs.into_iter().map(|(key, value)| Value::Array(vec![key, value])).collect(),
        })
    }

    fn visit_enum<A: EnumAccess<'de>>(mut self, from: A) -> Result<Value, A::Error> {
        let Node::Enum(of) = self.node() else { return Err(de::Error::custom("no enum")) };
        let (number, contents) = from.variant::<u32>()?;
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        let Some((id, name)) = of.numbered(at).zip(of.names(at).next()) else {
            return Err(self.fault(format!("there is no variant {number}")));
        };
        if *self.shape.node(id) == Node::Nothing {
            contents.unit_variant()?;
            return Ok(name.into());
        }
        let value = contents.newtype_variant_seed(self.inner(id))?;
        Ok(Value::Object(Map::from_iter([(name.to_owned(), value)])))
    }
}

/// Whether JSON writes it as the name in an object.
fn is_name(shape: &Shape, id: Id) -> bool {
    match shape.node(id) {
        Node::Leaf(leaf) => !matches!(leaf, Leaf::Unit | Leaf::Bytes | Leaf::F32 | Leaf::F64),
        Node::Enum(of) => of.variants.iter().all(|(_, id)| *shape.node(*id) == Node::Nothing),
        _ => false,
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// To bytes

impl Shape {
    /// What a value lacks to be one of this node. The steps to the place are pushed on the way back.
    fn takes(
        &self,
        id: Id,
        value: &Value,
        depth: usize,
        steps: &mut Vec<String>,
    ) -> Result<(), String> {
        if depth > DEPTH {
            return Err(CodecError::TooDeep { limit: DEPTH }.to_string());
        }
        let mut inner = |id: Id, value: &Value, at: At<'_>| {
            self.takes(id, value, depth + 1, steps).inspect_err(|_| steps.push(at.show()))
        };
        let wrong = || Err(self.expected(id, value));
        match (self.node(id), value) {
            (Node::Unseen | Node::Any | Node::Same(_), _) => match self.style() {
                Style::Named => Ok(()),
                Style::Positional => {
                    Err("the shape could not look into what comes here".to_owned())
                }
            },
            (Node::Nothing, Value::Null) => Ok(()),
            (Node::Leaf(leaf), value) if takes_leaf(*leaf, value) => Ok(()),
            (Node::Option(_), Value::Null) => Ok(()),
            (Node::Option(of), value) => inner(*of, value, At::Option),
            (Node::Seq(of), Value::Array(all)) => {
                all.iter().try_for_each(|value| inner(*of, value, At::Element))
            }
            (Node::Array(len, of), Value::Array(all)) if usize::try_from(*len) == Ok(all.len()) => {
                all.iter().try_for_each(|value| inner(*of, value, At::Element))
            }
            (Node::Tuple(parts), Value::Array(all)) if parts.len() == all.len() => {
                let mut parts = parts.iter().zip(all).enumerate();
                parts.try_for_each(|(number, (id, value))| inner(*id, value, At::Part(number)))
            }
            (Node::Map(key, of), Value::Object(all)) if is_name(self, *key) => {
                all.iter().try_for_each(|(name, value)| {
                    inner(*key, &self.key(*key, name), At::Key)?;
                    inner(*of, value, At::Value)
                })
            }
            (Node::Map(key, of), Value::Array(all)) if !is_name(self, *key) => {
                all.iter().try_for_each(|pair| match pair.as_array().map(Vec::as_slice) {
                    Some([name, value]) => {
                        inner(*key, name, At::Key)?;
                        inner(*of, value, At::Value)
                    }
                    _ => Err("pairs of key and value are expected".to_owned()),
                })
            }
            (Node::Struct(of), Value::Object(all)) => {
                let strange = |name: &&String| of.read(name).is_none();
                if self.style() == Style::Positional || of.closed {
                    if let Some(name) = all.keys().find(strange) {
                        return Err(format!("there is no field `{}`", shown(name)));
                    }
                }
                given(of, all).try_for_each(|(field, value)| match value {
                    Some(value) => inner(field.id, value, At::Field(&field.name)),
                    None if self.may_lack(field) => Ok(()),
                    None => Err(format!("field `{}` is missing", shown(&field.name))),
                })
            }
            (Node::Enum(of), value) => match self.held_by_variant(of, value)? {
                Some((name, id, value)) => inner(id, value, At::Variant(name)),
                None if named(value).is_some() => Ok(()),
                None => wrong(),
            },
            _ => wrong(),
        }
    }

    /// The variant that a value names, and what it holds; `None` where it holds nothing, or the value names none.
    fn held_by_variant<'a>(
        &self,
        of: &Enum,
        value: &'a Value,
    ) -> Result<Option<(&'a str, Id, &'a Value)>, String> {
        let Some((name, _)) = named(value) else { return Ok(None) };
        let Some((_, id, contents)) = variant(self.style(), of, value) else {
            return Err(format!("there is no variant `{}`", shown(name)));
        };
        match (self.node(id), contents) {
            (Node::Nothing, None) => Ok(None),
            (node, Some(value)) if *node != Node::Nothing => Ok(Some((name, id, value))),
            _ => Err(format!("variant `{}` holds {}", shown(name), self.word(id))),
        }
    }

    fn expected(&self, id: Id, value: &Value) -> String {
        format!("{} is expected, and there is {}", self.word(id), kind(value))
    }

    /// A key of a map, which is a text in JSON.
    fn key(&self, id: Id, name: &str) -> Value {
        let number = || name.parse().ok().map(Value::Number);
        match self.node(id) {
            Node::Leaf(Leaf::Text | Leaf::Char | Leaf::I128 | Leaf::U128) => name.into(),
            Node::Leaf(Leaf::Bool) => name.parse().map_or_else(|_| name.into(), Value::Bool),
            Node::Leaf(_) => number().unwrap_or_else(|| name.into()),
            _ => name.into(),
        }
    }

    fn may_lack(&self, field: &Field) -> bool {
        match self.style() {
            Style::Named => field.kind == Kind::Optional,
            Style::Positional => matches!(self.node(field.id), Node::Option(_)),
        }
    }
}

/// The fields, each with its value under any of its names.
fn given<'a>(
    of: &'a Struct,
    all: &'a Map<String, Value>,
) -> impl Iterator<Item = (&'a Field, Option<&'a Value>)> {
    let has_aliases = of.own().count() < of.fields.len();
    let own = of.fields.iter().enumerate();
    own.filter(|(_, field)| !matches!(field.kind, Kind::Alias(_))).map(move |(at, field)| {
        let second = || of.fields.iter().filter(|other| other.kind == Kind::Alias(at));
        let second = || second().find_map(|other| all.get(other.name.as_ref()));
        let value = all.get(field.name.as_ref());
        (field, if has_aliases { value.or_else(second) } else { value })
    })
}

/// The name of a variant, and what it holds.
fn named(value: &Value) -> Option<(&str, Option<&Value>)> {
    match value {
        Value::String(name) => Some((name, None)),
        Value::Object(one) if one.len() == 1 => {
            one.iter().next().map(|(name, value)| (name.as_str(), Some(value)))
        }
        _ => None,
    }
}

/// The number of a variant, the node of what it holds, and that.
fn variant<'a>(
    style: Style,
    of: &Enum,
    value: &'a Value,
) -> Option<(usize, Id, Option<&'a Value>)> {
    let (name, contents) = named(value)?;
    // Where some names are second ones, the first variant that may have the name is it.
    let mut numbers = 0..of.count();
    let number = numbers.find(|number| of.names(*number).any(|other| other == name));
    let (number, id) = match style {
        Style::Named => of.named(name)?,
        Style::Positional => {
            number.and_then(|number| of.numbered(number).map(|id| (number, id)))?
        }
    };
    Some((number, id, contents))
}

fn takes_leaf(leaf: Leaf, value: &Value) -> bool {
    let signed = |fits: fn(i64) -> bool| value.as_i64().is_some_and(fits);
    let unsigned = |fits: fn(u64) -> bool| value.as_u64().is_some_and(fits);
    match leaf {
        Leaf::Unit => value.is_null(),
        Leaf::Bool => value.is_boolean(),
        Leaf::I8 => signed(|number| i8::try_from(number).is_ok()),
        Leaf::I16 => signed(|number| i16::try_from(number).is_ok()),
        Leaf::I32 => signed(|number| i32::try_from(number).is_ok()),
        Leaf::I64 => signed(|_| true),
        Leaf::U8 => unsigned(|number| u8::try_from(number).is_ok()),
        Leaf::U16 => unsigned(|number| u16::try_from(number).is_ok()),
        Leaf::U32 => unsigned(|number| u32::try_from(number).is_ok()),
        Leaf::U64 => unsigned(|_| true),
        Leaf::I128 => wide::<i128>(value).is_some(),
        Leaf::U128 => wide::<u128>(value).is_some(),
        // JSON has no NaN, and writes `null` for it.
        Leaf::F32 | Leaf::F64 => value.is_number() || value.is_null(),
        Leaf::Char => value.as_str().is_some_and(|text| text.chars().count() == 1),
        Leaf::Text => value.is_string(),
        Leaf::Bytes => bytes(value).is_some(),
    }
}

/// A number that may be too large for JSON, and is a text then.
fn wide<T: std::str::FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
    value.as_array()?.iter().map(byte).collect()
}

/// What a value is, in words; of a number which one, as it may be the wrong one of the right kind.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a bool".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A value that is written as a node, which it was found to be.
struct Part<'a> {
    shape: &'a Shape,
    id: Id,
    value: &'a Value,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { shape, id, value } = *self;
        fn part<'a>(shape: &'a Shape, id: &Id, value: &'a Value) -> Part<'a> {
            Part { shape, id: *id, value }
        }
        let none = || ser::Error::custom("the value is none of this shape");
        match (shape.node(id), value) {
            (Node::Leaf(leaf), value) => write_leaf(*leaf, value, to),
            (Node::Option(_), Value::Null) => to.serialize_none(),
            (Node::Option(of), value) => to.serialize_some(&part(shape, of, value)),
            (Node::Seq(of), Value::Array(all)) => {
                let mut list = to.serialize_seq(Some(all.len()))?;
                all.iter().try_for_each(|value| list.serialize_element(&part(shape, of, value)))?;
                list.end()
            }
            (Node::Array(_, of), Value::Array(all)) => {
                let mut tuple = to.serialize_tuple(all.len())?;
                all.iter()
                    .try_for_each(|value| tuple.serialize_element(&part(shape, of, value)))?;
                tuple.end()
            }
            (Node::Tuple(parts), Value::Array(all)) => {
                let mut tuple = to.serialize_tuple(all.len())?;
                let mut parts = parts.iter().zip(all);
                parts
                    .try_for_each(|(of, value)| tuple.serialize_element(&part(shape, of, value)))?;
                tuple.end()
            }
            (Node::Map(key, of), Value::Object(all)) => {
                let mut map = to.serialize_map(Some(all.len()))?;
                for (name, value) in all {
                    map.serialize_entry(
                        &part(shape, key, &shape.key(*key, name)),
                        &part(shape, of, value),
                    )?;
                }
                map.end()
            }
            (Node::Map(key, of), Value::Array(all)) => {
                let mut map = to.serialize_map(Some(all.len()))?;
                for pair in all {
                    if let Some([name, value]) = pair.as_array().map(Vec::as_slice) {
                        map.serialize_entry(&part(shape, key, name), &part(shape, of, value))?;
                    }
                }
                map.end()
            }
            (Node::Struct(of), Value::Object(all)) => {
                let mut tuple = to.serialize_tuple(of.own().count())?;
                for (field, value) in given(of, all) {
                    tuple.serialize_element(&part(
                        shape,
                        &field.id,
                        value.unwrap_or(&Value::Null),
                    ))?;
                }
                tuple.end()
            }
            (Node::Enum(of), value) => {
                let (number, id, contents) = variant(shape.style(), of, value).ok_or_else(none)?;
                let number = u32::try_from(number).map_err(ser::Error::custom)?;
                match contents {
                    None => to.serialize_unit_variant("", number, ""),
                    Some(value) => {
                        to.serialize_newtype_variant("", number, "", &part(shape, &id, value))
                    }
                }
            }
            _ => Err(none()),
        }
    }
}

fn write_leaf<S: Serializer>(leaf: Leaf, value: &Value, to: S) -> Result<S::Ok, S::Error> {
    let none = || ser::Error::custom("the value is none of this shape");
    fn small<T: TryFrom<i128>>(value: &Value) -> Option<T> {
        wide::<i128>(value).and_then(|number| T::try_from(number).ok())
    }
    let text = || value.as_str().ok_or_else(none);
    let float = || value.as_f64().unwrap_or(f64::NAN);
    match leaf {
        Leaf::Unit => to.serialize_unit(),
        Leaf::Bool => to.serialize_bool(value.as_bool().ok_or_else(none)?),
        Leaf::I8 => to.serialize_i8(small(value).ok_or_else(none)?),
        Leaf::I16 => to.serialize_i16(small(value).ok_or_else(none)?),
        Leaf::I32 => to.serialize_i32(small(value).ok_or_else(none)?),
        Leaf::I64 => to.serialize_i64(small(value).ok_or_else(none)?),
        Leaf::I128 => to.serialize_i128(wide(value).ok_or_else(none)?),
        Leaf::U8 => to.serialize_u8(small(value).ok_or_else(none)?),
        Leaf::U16 => to.serialize_u16(small(value).ok_or_else(none)?),
        Leaf::U32 => to.serialize_u32(small(value).ok_or_else(none)?),
        Leaf::U64 => to.serialize_u64(small(value).ok_or_else(none)?),
        Leaf::U128 => to.serialize_u128(wide(value).ok_or_else(none)?),
        #[expect(clippy::as_conversions, reason = "the nearest one is what is meant")]
        Leaf::F32 => to.serialize_f32(float() as f32),
        Leaf::F64 => to.serialize_f64(float()),
        Leaf::Char => to.serialize_char(text()?.chars().next().ok_or_else(none)?),
        Leaf::Text => to.serialize_str(text()?),
        Leaf::Bytes => to.serialize_bytes(&bytes(value).ok_or_else(none)?),
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// JSON Schema

impl Shape {
    /// The JSON Schema (draft 2020-12) of the messages, as JSON has them, and as [`decode_json`](Self::decode_json) gives
    /// them.
    ///
    /// ```
    /// use serde_json::json;
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// assert_eq!(
    ///     Shape::of::<Vec<String>>(Style::Named).json_schema(),
    ///     json!({
    ///         "$schema": "https://json-schema.org/draft/2020-12/schema",
    ///         "type": "array",
    ///         "items": {"type": "string"},
    ///     }),
    /// );
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    #[must_use]
    pub fn json_schema(&self) -> Value {
        let mut uses = vec![0_u32; self.nodes().len()];
        let parts = self.nodes().iter().flat_map(Node::parts);
        parts
            .chain([0])
            .for_each(|id| uses.iter_mut().skip(id).take(1).for_each(|uses| *uses += 1));
        let mut schema = Schema { shape: self, uses, names: Vec::new() };
        let mut whole = Map::new();
        whole.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        if let Value::Object(own) = schema.of(0, 0) {
            whole.extend(own);
        }
        let mut definitions = Map::new();
        let mut next = 0;
        while let Some((id, name)) = schema.names.get(next).cloned() {
            let definition = schema.definition(id, 0);
            definitions.insert(name, definition);
            next += 1;
        }
        if !definitions.is_empty() {
            whole.insert("$defs".into(), Value::Object(definitions));
        }
        Value::Object(whole)
    }
}

struct Schema<'a> {
    shape: &'a Shape,
    /// How often each node is in another one.
    uses: Vec<u32>,
    /// What has a definition of its own: what is used more than once, and so what goes round in a circle.
    names: Vec<(Id, String)>,
}

impl Schema<'_> {
    /// How deep definitions are nested in each other: a long chain is cut into pieces.
    const DEEP: usize = 16;

    fn of(&mut self, id: Id, depth: usize) -> Value {
        let node = self.shape.node(id);
        let often = self.uses.get(id).is_some_and(|uses| *uses > 1);
        if node.parts().is_empty() || (!often && depth < Self::DEEP) {
            return self.definition(id, depth);
        }
        let known = self.names.iter().find(|(other, _)| *other == id).map(|(_, name)| name.clone());
        let name = known.unwrap_or_else(|| {
            let own = match node {
                Node::Struct(Struct { name, .. }) | Node::Enum(Enum { name, .. }) => shown(name),
                _ => String::new(),
            };
            let plain = own.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
            let taken = self.names.iter().any(|(_, name)| *name == own);
            let name = match own.is_empty() || !plain || taken {
                true => format!("node{id}"),
                false => own,
            };
            self.names.push((id, name.clone()));
            name
        });
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    fn definition(&mut self, id: Id, depth: usize) -> Value {
        let depth = depth + 1;
        match self.shape.node(id) {
            Node::Unseen | Node::Any | Node::Same(_) => json!({}),
            Node::Nothing => json!({ "type": "null" }),
            Node::Leaf(leaf) => of_leaf(*leaf),
            Node::Option(of) => json!({ "anyOf": [self.of(*of, depth), { "type": "null" }] }),
            Node::Seq(of) => json!({ "type": "array", "items": self.of(*of, depth) }),
            Node::Array(len, of) => json!({
                "type": "array", "items": self.of(*of, depth), "minItems": len, "maxItems": len,
            }),
            Node::Tuple(parts) => {
                let items: Vec<Value> = parts.iter().map(|part| self.of(*part, depth)).collect();
                json!({
                    "type": "array", "prefixItems": items, "items": false,
                    "minItems": parts.len(), "maxItems": parts.len(),
                })
            }
            Node::Map(key, of) if is_name(self.shape, *key) => {
                json!({ "type": "object", "additionalProperties": self.of(*of, depth) })
            }
            Node::Map(key, of) => {
                let items = [self.of(*key, depth), self.of(*of, depth)];
                let pair = json!({
                    "type": "array", "prefixItems": items, "items": false,
                    "minItems": 2, "maxItems": 2,
                });
                json!({ "type": "array", "items": pair })
            }
            Node::Struct(of) => self.of_struct(of, depth),
            Node::Enum(of) => self.of_enum(of, depth),
        }
    }

    fn of_struct(&mut self, of: &Struct, depth: usize) -> Value {
        let mut properties = Map::new();
        for field in &of.fields {
            properties.insert(field.name.clone().into_owned(), self.of(field.id, depth));
        }
        let required = of.own().filter(|field| !self.shape.may_lack(field));
        let required: Vec<&str> = required.map(|field| field.name.as_ref()).collect();
        let mut object = Map::new();
        object.insert("type".into(), "object".into());
        object.insert("properties".into(), Value::Object(properties));
        // Where a field has several names, any of them will do.
        if of.own().count() == of.fields.len() {
            object.insert("required".into(), required.into());
        }
        if of.closed || self.shape.style() == Style::Positional {
            object.insert("additionalProperties".into(), false.into());
        }
        Value::Object(object)
    }

    fn of_enum(&mut self, of: &Enum, depth: usize) -> Value {
        let mut names = Vec::new();
        let mut all = Vec::new();
        for (name, id) in &of.variants {
            if *self.shape.node(*id) == Node::Nothing {
                names.push(name.as_ref());
                continue;
            }
            all.push(json!({
                "type": "object", "properties": { name.as_ref(): self.of(*id, depth) },
                "required": [name], "additionalProperties": false,
            }));
        }
        if all.is_empty() {
            return json!({ "enum": names });
        }
        if !names.is_empty() {
            all.insert(0, json!({ "enum": names }));
        }
        json!({ "oneOf": all })
    }
}

fn of_leaf(leaf: Leaf) -> Value {
    let whole =
        |least: Value, most: Value| json!({ "type": "integer", "minimum": least, "maximum": most });
    match leaf {
        Leaf::Unit => json!({ "type": "null" }),
        Leaf::Bool => json!({ "type": "boolean" }),
        Leaf::I8 => whole(i8::MIN.into(), i8::MAX.into()),
        Leaf::I16 => whole(i16::MIN.into(), i16::MAX.into()),
        Leaf::I32 => whole(i32::MIN.into(), i32::MAX.into()),
        Leaf::I64 => whole(i64::MIN.into(), i64::MAX.into()),
        Leaf::U8 => whole(0.into(), u8::MAX.into()),
        Leaf::U16 => whole(0.into(), u16::MAX.into()),
        Leaf::U32 => whole(0.into(), u32::MAX.into()),
        Leaf::U64 => whole(0.into(), u64::MAX.into()),
        // What is too large for JSON's numbers is a text.
        Leaf::I128 | Leaf::U128 => json!({ "type": ["integer", "string"] }),
        // JSON has no NaN, and writes `null` for it.
        Leaf::F32 | Leaf::F64 => json!({ "type": ["number", "null"] }),
        Leaf::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Leaf::Text => json!({ "type": "string" }),
        Leaf::Bytes => {
            json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 255 } })
        }
    }
}
