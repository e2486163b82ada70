//! A deserializer that writes down what it is asked for, and answers with samples.
//!
//! What is generic here is made by the compiler for each type that a program sends, so it only hands on.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};

use super::Style;
use super::graph::{Leaf, Node};
use super::survey::{Key, Place, Role, Sample, Step, Stuck, Survey};

/// How often a type is asked at most.
const PASSES: usize = 1 << 16;

/// The graph of what a type reads, as far as it lets itself be looked into.
pub(super) fn probe<T: DeserializeOwned>(style: Style) -> Vec<Node> {
    ask(style, &mut |probe| T::deserialize(probe).is_ok())
}

fn ask(style: Style, read: &mut dyn FnMut(Probe<'_>) -> bool) -> Vec<Node> {
    let mut survey = Survey::new(style);
    for _ in 0..PASSES {
        let place = survey.begin();
        // A type that panics on a sample is a type that does not take it.
        let made = catch_unwind(AssertUnwindSafe(|| read(Probe { survey: &mut survey, place })));
        if !survey.goes_on(made.unwrap_or(false)) {
            break;
        }
    }
    survey.into_nodes()
}

/// Stands where a value is to be read.
struct Probe<'a> {
    survey: &'a mut Survey,
    place: Place,
}

impl Probe<'_> {
    /// Hands on what a leaf gave.
    fn given<T>(self, mut given: Result<T, Stuck>) -> Result<T, Stuck> {
        if let Err(error) = &mut given {
            self.survey.refused(&self.place, error);
        }
        given
    }

    fn too_deep(&self) -> Result<(), Stuck> {
        if Survey::too_deep(&self.place) { Err(Stuck::new()) } else { Ok(()) }
    }
}

fn key<'de, V: Visitor<'de>>() -> Key {
    let code: fn(V, Parts<'static>) -> Result<V::Value, Stuck> = V::visit_seq;
    #[expect(clippy::as_conversions, reason = "there is no other way to the address of a function")]
    let code = code as usize;
    Key { visitor: type_name::<V>(), code }
}

/// The parts of something, one after the other.
struct Parts<'a> {
    survey: &'a mut Survey,
    step: &'a Step,
    next: usize,
    count: usize,
}

impl<'a> Parts<'a> {
    fn new(survey: &'a mut Survey, step: &'a Step, count: usize) -> Self {
        Self { survey, step, next: 0, count }
    }

    fn next(&mut self) -> Option<usize> {
        let number = self.next;
        self.next = (number < self.count).then_some(number + 1)?;
        Some(number)
    }

    fn give<'de, S: DeserializeSeed<'de>>(
        &mut self,
        place: Place,
        seed: S,
    ) -> Result<S::Value, Stuck> {
        let given = seed.deserialize(Probe { survey: &mut *self.survey, place });
        if given.is_err() {
            self.survey.blame(place.slot);
        }
        given
    }
}

impl<'de> de::SeqAccess<'de> for Parts<'_> {
    type Error = Stuck;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stuck> {
        let Some(number) = self.next() else { return Ok(None) };
        let place = self.survey.part(self.step, number);
        self.give(place, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count - self.next)
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_> {
    type Error = Stuck;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stuck> {
        let Some(number) = self.next() else { return Ok(None) };
        let place = self.survey.key(self.step, number);
        self.give(place, seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stuck> {
        let place = self.survey.value(self.step, self.next.saturating_sub(1));
        self.give(place, seed)
    }
}

/// The fields of a struct, by their names.
struct Fields<'a> {
    parts: Parts<'a>,
    value: Option<Place>,
}

impl<'de> de::MapAccess<'de> for Fields<'_> {
    type Error = Stuck;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stuck> {
        let Some(number) = self.parts.next() else { return Ok(None) };
        let (name, place) = self.parts.survey.field(self.parts.step, number);
        self.value = Some(place);
        let name: de::value::StrDeserializer<'_, Stuck> = name.as_ref().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stuck> {
        let place = self.value.take().ok_or_else(Stuck::new)?;
        self.parts.give(place, seed)
    }
}

struct Variant<'a> {
    survey: &'a mut Survey,
    step: &'a Step,
}

impl<'a> Variant<'a> {
    fn contents(self, role: Role) -> Probe<'a> {
        let place = self.survey.contents(self.step, role);
        Probe { survey: self.survey, place }
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = Stuck;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Stuck> {
        let found = match self.survey.variant(self.step) {
            (_, Some(name)) => {
                let name: de::value::StrDeserializer<'_, Stuck> = name.as_ref().into_deserializer();
                seed.deserialize(name)
            }
            (number, None) => {
                let number: de::value::U32Deserializer<Stuck> = number.into_deserializer();
                seed.deserialize(number)
            }
        };
        match found {
            Ok(variant) => {
                self.survey.found_variant(self.step);
                Ok((variant, self))
            }
            Err(_) => Err(self.survey.no_variant(self.step)),
        }
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Stuck;

    fn unit_variant(self) -> Result<(), Stuck> {
        let contents = self.contents(Role::Contents);
        contents.survey.nothing(&contents.place);
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Stuck> {
        seed.deserialize(self.contents(Role::Value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, v: V) -> Result<V::Value, Stuck> {
        de::Deserializer::deserialize_tuple(self.contents(Role::Contents), len, v)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        v: V,
    ) -> Result<V::Value, Stuck> {
        de::Deserializer::deserialize_struct(self.contents(Role::Contents), "", fields, v)
    }
}

/// Gives a number, of which the samples fit any type.
macro_rules! numbers {
    ($($method:ident $visit:ident $leaf:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
            let number = self.survey.number(&self.place, Leaf::$leaf);
            self.given(v.$visit(number.into()))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Probe<'_> {
    type Error = Stuck;

    numbers! {
        deserialize_i16 visit_i16 I16;
        deserialize_i32 visit_i32 I32;
        deserialize_i64 visit_i64 I64;
        deserialize_i128 visit_i128 I128;
        deserialize_u8 visit_u8 U8;
        deserialize_u16 visit_u16 U16;
        deserialize_u32 visit_u32 U32;
        deserialize_u64 visit_u64 U64;
        deserialize_u128 visit_u128 U128;
        deserialize_f32 visit_f32 F32;
        deserialize_f64 visit_f64 F64;
    }

    fn is_human_readable(&self) -> bool {
        self.survey.style == Style::Named
    }

    fn deserialize_i8<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        let number = self.survey.number(&self.place, Leaf::I8);
        self.given(v.visit_i8(i8::try_from(number).unwrap_or_default()))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        let which = self.survey.leaf(&self.place, Leaf::Bool);
        self.given(v.visit_bool(which % 2 == 1))
    }

    fn deserialize_char<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        self.survey.leaf(&self.place, Leaf::Char);
        self.given(v.visit_char('a'))
    }

    fn deserialize_str<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        let text = self.survey.text(&self.place);
        self.given(v.visit_str(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        self.deserialize_str(v)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        self.deserialize_byte_buf(v)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        let len = self.survey.bytes(&self.place);
        self.given(v.visit_byte_buf(vec![0; len]))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        self.survey.leaf(&self.place, Leaf::Unit);
        self.given(v.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        v: V,
    ) -> Result<V::Value, Stuck> {
        self.deserialize_unit(v)
    }

    fn deserialize_option<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        self.too_deep()?;
        let (step, inner) = self.survey.enter_option(&self.place, key::<V>());
        let given = match inner {
            Some(place) => v.visit_some(Probe { survey: &mut *self.survey, place }),
            None => v.visit_none(),
        };
        match (&given, inner) {
            (Ok(_), _) => self.survey.left(&step),
            (Err(_), Some(place)) => self.survey.blame(place.slot),
            (Err(_), None) => {}
        }
        given
    }

    /// It has the bytes of what is in it.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        v: V,
    ) -> Result<V::Value, Stuck> {
        self.too_deep()?;
        self.place.depth += 1;
        v.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        self.too_deep()?;
        let (step, count) = self.survey.enter_seq(&self.place, key::<V>());
        let given = v.visit_seq(Parts::new(&mut *self.survey, &step, count));
        if given.is_ok() {
            self.survey.left(&step);
        }
        given
    }

    fn deserialize_map<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        self.too_deep()?;
        let (step, count) = self.survey.enter_map(&self.place, key::<V>());
        let mut given = v.visit_map(Parts::new(&mut *self.survey, &step, count));
        self.survey.left_map(&step, &mut given);
        given
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, v: V) -> Result<V::Value, Stuck> {
        self.too_deep()?;
        let step = self.survey.enter_tuple(&self.place, key::<V>(), len);
        let given = v.visit_seq(Parts::new(&mut *self.survey, &step, len));
        if given.is_ok() {
            self.survey.left(&step);
        }
        given
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        v: V,
    ) -> Result<V::Value, Stuck> {
        self.deserialize_tuple(len, v)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        v: V,
    ) -> Result<V::Value, Stuck> {
        self.too_deep()?;
        let step = self.survey.enter_struct(&self.place, key::<V>(), name, fields);
        let parts = Parts::new(&mut *self.survey, &step, Survey::count(&step));
        let mut given = match Survey::is_by_name(&step) {
            true => v.visit_map(Fields { parts, value: None }),
            false => v.visit_seq(parts),
        };
        self.survey.left_struct(&step, &mut given);
        given
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        v: V,
    ) -> Result<V::Value, Stuck> {
        self.too_deep()?;
        let step = self.survey.enter_enum(&self.place, key::<V>(), name, variants);
        let step = step.ok_or_else(Stuck::new)?;
        let given = v.visit_enum(Variant { survey: &mut *self.survey, step: &step });
        self.survey.left_enum(&step, &given);
        given
    }

    fn deserialize_any<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        let given = match self.survey.any(&self.place) {
            Sample::Nothing => v.visit_unit(),
            Sample::Bool => v.visit_bool(true),
            Sample::Number => v.visit_u64(1),
            Sample::Float => v.visit_f64(1.0),
            Sample::Text(text) => v.visit_str(text),
            Sample::Seq => {
                let (step, _) = self.survey.enter_any_map(&self.place);
                v.visit_seq(Parts::new(&mut *self.survey, &step, 0))
            }
            Sample::Map => {
                let (step, count) = self.survey.enter_any_map(&self.place);
                v.visit_map(Parts::new(&mut *self.survey, &step, count))
            }
        };
        self.given(given)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        let text = self.survey.identifier(&self.place);
        self.given(v.visit_str(text))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Stuck> {
        self.deserialize_any(v)
    }
}
