//! The framings by their names: the one place where a name becomes a type.

use clap::ValueEnum as _;
use typed_pipe::wire::foreign::{ConcatenatedJson, Lines};
use typed_pipe::wire::{self, Checked, LengthPrefixed, MultiWriter, Wire};

use crate::args::Framing;
use crate::message::Any;

/// What is done on a wire, whatever its framing.
pub(crate) trait OnWire {
    /// What comes of it.
    type Done;

    /// Does it.
    fn on<F: wire::Framing + Clone + Send + 'static>(self, wire: Wire<F, Any>) -> Self::Done;
}

impl Framing {
    /// Does something on the wire of this framing.
    pub(crate) fn with<W: OnWire>(self, codec: Any, what: W) -> W::Done {
        match self {
            Self::LengthPrefixed => what.on(Wire::new(LengthPrefixed::default(), codec)),
            Self::Checked => what.on(Wire::new(Checked::default(), codec)),
            Self::MultiWriter => what.on(Wire::new(MultiWriter::default(), codec)),
            Self::Lines => what.on(Wire::new(Lines::default(), codec)),
            Self::JsonValues => what.on(Wire::new(ConcatenatedJson::default(), codec)),
        }
    }

    /// The framing of a name that a peer has said.
    pub(crate) fn named(name: &str, codec: Any) -> Option<Self> {
        Self::value_variants().iter().copied().find(|framing| framing.with(codec, IsNamed(name)))
    }
}

/// Whether a framing says this name of itself.
struct IsNamed<'a>(&'a str);

impl OnWire for IsNamed<'_> {
    type Done = bool;

    fn on<F: wire::Framing + Clone + Send + 'static>(self, wire: Wire<F, Any>) -> bool {
        wire.framing().name() == self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Codec;

    #[test]
    fn each_framing_is_found_by_the_name_that_it_says() {
        let codec = Any(Codec::Postcard);
        let named = |name| Framing::named(name, codec);
        assert_eq!(named("length-prefixed"), Some(Framing::LengthPrefixed));
        assert_eq!(named("shared"), Some(Framing::MultiWriter));
        assert_eq!(named("lines"), Some(Framing::Lines));
        assert_eq!(named(""), None);
    }
}
