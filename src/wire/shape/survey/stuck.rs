//! The error of a pass. Of some errors of serde, what they say is of use.

use std::fmt;

use serde::de::{self, Unexpected};
use serde::ser;

/// Why a pass came to no value.
#[derive(Debug)]
pub(in crate::wire::shape) struct Stuck(pub(super) Refusal);

#[derive(Debug)]
pub(super) enum Refusal {
    Other,
    Missing(&'static str),
    Duplicate(&'static str),
    UnknownField,
    UnknownVariant(&'static [&'static str]),
    NoMap,
    /// The survey has learned from it already.
    Noted,
}

impl Stuck {
    pub(in crate::wire::shape) const fn new() -> Self {
        Self(Refusal::Other)
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the type takes none of the samples")
    }
}

impl std::error::Error for Stuck {}

impl de::Error for Stuck {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new()
    }

    fn invalid_type(found: Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Self(if found == Unexpected::Map { Refusal::NoMap } else { Refusal::Other })
    }

    fn missing_field(field: &'static str) -> Self {
        Self(Refusal::Missing(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self(Refusal::Duplicate(field))
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self(Refusal::UnknownField)
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self(Refusal::UnknownVariant(known))
    }
}

impl ser::Error for Stuck {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new()
    }
}
