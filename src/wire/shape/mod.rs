//! What a type looks like to its codec, so that two processes can tell whether theirs fit.
//!
//! Inside a process the compiler guards the types. Between two processes nothing does: a codec such as
//! [`Postcard`](super::Postcard) writes no names and no types, so `{width, height}` is read as `{height, width}`, and
//! prints 640 for 480 without an error. A [`Shape`] is what the compiler knows, as a value: the fields, the variants and
//! the numbers that a type reads, in their order. It needs no derive of its own, for it asks the type's `Deserialize`.
//!
//! ```
//! use typed_pipe::wire::shape::{Shape, Style};
//!
//! mod old {
//!     use serde::{Deserialize, Serialize};
//!
//!     #[derive(Serialize, Deserialize)]
//!     pub struct Reading {
//!         pub sensor: String,
//!         pub celsius: f32,
//!     }
//! }
//!
//! mod new {
//!     use serde::{Deserialize, Serialize};
//!
//!     #[derive(Serialize, Deserialize)]
//!     pub struct Reading {
//!         pub sensor: String,
//!         pub celsius: f64,
//!     }
//! }
//!
//! let old = Shape::of::<old::Reading>(Style::Positional);
//! let new = Shape::of::<new::Reading>(Style::Positional);
//! assert_ne!(old.fingerprint(), new.fingerprint());
//! let difference = old.read_by(&new).unwrap_err();
//! assert_eq!(
//!     difference.to_sender(),
//!     "what this side sends: `Reading.celsius`: f32 here, f64 there",
//! );
//! ```
//!
//! What fits what is in a table: [when types change](crate::when_types_change).
//!
//! # In the tests of a program
//!
//! - [`Shape::assert_unchanged`] holds a message against a golden value, and says where it changed.
//! - [`round_trips`] shows that a value is read as what it was written as.
//! - [`same_shape`] shows that two types, such as those of two crates, are the same to every codec.
//!
//! # The hello
//!
//! The two sides of a [`TypedConnection`](crate::TypedConnection) compare their shapes in the
//! [handshake](crate::Handshake). On a named pipe, which carries no answer, a writer says at its beginning what it sends, on
//! the [default wire](super::LengthPrefixed) behind the word `0xFFFF_FF03`. All numbers are big-endian.
//!
//! | bytes | meaning |
//! |---|---|
//! | 8 | the [fingerprint](Shape::fingerprint) |
//! | 4 | how many bytes follow, at most 65,536 |
//! | rest | the [description](Shape::description) |
//!
//! # What a shape cannot see
//!
//! A shape is what the type's `Deserialize` asks for, when it is handed samples: short texts, dates, addresses, small
//! numbers. Where it takes none of them, such as a text with a checksum of its own, what comes behind in the same struct is
//! not looked into. What asks the bytes what they are, as `serde_json::Value`, `flatten` and untagged enums do, cannot be
//! looked into either. Both are then "anything", which is never refused; [`Shape::is_complete`] tells. What a type means
//! is not seen at all: metres and feet are both `f64`.
//!
//! `Deserialize` runs with these samples when a shape is first asked for, once for each type in a process, and what it makes
//! is dropped. So it should only read, and a `Drop` that acts, such as one that gives something back, should expect values
//! that no message brought. Where either panics, the sample is not taken.

mod compare;
mod description;
mod difference;
mod graph;
pub(super) mod hello;
#[cfg(feature = "json")]
mod json;
#[cfg(all(feature = "service", feature = "json"))]
mod methods;
#[cfg(feature = "service")]
mod of_value;
mod probe;
mod survey;
mod testing;
mod value_check;
#[cfg(feature = "service")]
mod variant;
mod walk;
mod words;

use std::any::type_name;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use serde::de::DeserializeOwned;

pub(crate) use self::description::{LIMIT as LONGEST_DESCRIPTION, fnv};
pub use self::difference::Difference;
#[cfg(all(feature = "service", feature = "json"))]
pub(crate) use self::methods::{Contents, Data, Fault, Form, Methods, Results};
pub use self::testing::{round_trips, same_shape};
#[cfg_attr(not(feature = "tool"), doc(hidden))]
pub use self::value_check::ValueCheck;
use crate::error::CodecError;
use graph::{Id, Node};

/// How a codec writes, as far as it matters to what fits what.
///
/// A codec says which it is with [`Codec::style`](super::Codec::style).
///
/// ```
/// use typed_pipe::wire::shape::Style;
/// use typed_pipe::wire::{Codec, Plain, Postcard};
///
/// assert_eq!(Postcard.style(), Some(Style::Positional));
/// assert_eq!(Plain.style(), None); // it writes text and bytes alone
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Style {
    /// One thing after the other, without names, and not human-readable: postcard, bincode.
    Positional,
    /// With the names of fields and variants, and human-readable: JSON.
    Named,
}

/// What a type looks like to a codec.
///
/// Two types of the same shape have the same bytes, with the same meaning as far as names tell. A shape is made once for
/// each type, style and process; a clone is a pointer.
///
/// ```
/// use typed_pipe::wire::shape::{Shape, Style};
///
/// let shape = Shape::of::<Vec<Option<u16>>>(Style::Positional);
/// assert_eq!(shape.to_string(), "list of option of u16");
/// ```
#[doc(alias = "schema")]
#[doc(alias = "version")]
#[doc(alias = "compatibility")]
#[derive(Clone)]
pub struct Shape(Arc<Seen>);

struct Seen {
    style: Style,
    /// The smallest graph. The first node is the message.
    nodes: Vec<Node>,
    fingerprint: OnceLock<u64>,
    description: OnceLock<Vec<u8>>,
}

type Known = HashMap<(&'static str, usize, Style), Shape>;

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// The last shapes that other processes have told, each beside its description: of many peers, most tell the same.
static TOLD: Mutex<Vec<(Vec<u8>, Shape)>> = Mutex::new(Vec::new());

/// So many of them are kept, if their descriptions are no longer than that.
const MOST_TOLD: usize = 4;
const LONGEST_TOLD: usize = 4 << 10;

impl Shape {
    /// The shape of a type, as far as its `Deserialize` tells.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// let shape = Shape::of::<BTreeMap<String, u64>>(Style::Named);
    /// assert_eq!(shape.to_string(), "map of text to u64");
    /// ```
    #[must_use]
    pub fn of<T: DeserializeOwned>(style: Style) -> Self {
        let code: fn(Style) -> Vec<Node> = probe::probe::<T>;
        #[expect(
            clippy::as_conversions,
            reason = "there is no other way to the address of a function"
        )]
        Self::known((type_name::<T>(), code as usize, style), code)
    }

    /// Two types in blocks of one function may have the same name, hence the address.
    fn known(key: (&'static str, usize, Style), probe: fn(Style) -> Vec<Node>) -> Self {
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = known().get(&key) {
            return shape.clone();
        }
        let style = key.2;
        let shape = Self::new(style, graph::smallest(&probe(style), false));
        known().entry(key).or_insert(shape).clone()
    }

    /// The shape of a description that is told again and again.
    pub(crate) fn told(bytes: &[u8]) -> Result<Self, CodecError> {
        // In a forked child, another thread may have it for ever.
        let known = || TOLD.try_lock().ok();
        let again = known().and_then(|told| {
            told.iter()
                .find(|(description, _)| description == bytes)
                .map(|(_, shape)| shape.clone())
        });
        if let Some(shape) = again {
            return Ok(shape);
        }
        let shape = Self::from_description(bytes)?;
        if let Some(mut told) = known().filter(|_| bytes.len() <= LONGEST_TOLD) {
            if told.len() >= MOST_TOLD {
                told.remove(0);
            }
            told.push((bytes.to_vec(), shape.clone()));
        }
        Ok(shape)
    }

    fn new(style: Style, nodes: Vec<Node>) -> Self {
        let (fingerprint, description) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Seen { style, nodes, fingerprint, description }))
    }

    fn nodes(&self) -> &[Node] {
        &self.0.nodes
    }

    /// The style of the codec that it is for.
    ///
    /// ```
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// assert_eq!(Shape::of::<u8>(Style::Named).style(), Style::Named);
    /// ```
    #[must_use]
    pub fn style(&self) -> Style {
        self.0.style
    }

    /// A number by which two processes see at once that their types are the same.
    ///
    /// It is the same on every platform, and for every compiler: of the type's definition all counts but the names of types,
    /// which may differ. Equal fingerprints fit; others may, as [`read_by`](Self::read_by) tells.
    ///
    /// ```
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// let shape = Shape::of::<(u32, String)>(Style::Positional);
    /// assert_eq!(shape.fingerprint(), Shape::of::<(u32, Box<str>)>(Style::Positional).fingerprint());
    /// assert_ne!(shape.fingerprint(), Shape::of::<(u64, String)>(Style::Positional).fingerprint());
    /// ```
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        *self.0.fingerprint.get_or_init(|| {
            let nameless = graph::smallest(self.nodes(), true);
            fnv(&description::whole(self.style(), &nameless))
        })
    }

    /// Whether all of the type was looked into, and nothing of it may be anything.
    ///
    /// ```
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// assert!(Shape::of::<Option<std::net::IpAddr>>(Style::Named).is_complete());
    /// assert!(!Shape::of::<Vec<serde_json::Value>>(Style::Named).is_complete()); // it reads anything
    /// ```
    #[must_use]
    #[cfg_attr(not(feature = "tool"), doc(hidden))]
    pub fn is_complete(&self) -> bool {
        !self.nodes().iter().any(Node::is_anything)
    }

    /// Whether all that a writer of this shape may write, a reader of the other one reads as what it is.
    ///
    /// This goes one way: a reader may know more than a writer. What that is depends on the style, and is in a
    /// [table](crate::when_types_change).
    ///
    /// ```
    /// use serde::Deserialize;
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// #[derive(Deserialize)]
    /// enum Command {
    ///     Start,
    ///     Stop,
    /// }
    ///
    /// #[derive(Deserialize)]
    /// enum NewCommand {
    ///     Start,
    ///     Stop,
    ///     Pause,
    /// }
    ///
    /// let old = Shape::of::<Command>(Style::Positional);
    /// let new = Shape::of::<NewCommand>(Style::Positional);
    /// old.read_by(&new)?;
    /// assert_eq!(
    ///     new.read_by(&old).unwrap_err().to_sender(),
    ///     "what this side sends: `Command`: variant 2 is `Pause` here, no such variant there",
    /// );
    /// # let _ = (Command::Start, Command::Stop, NewCommand::Start, NewCommand::Stop, NewCommand::Pause);
    /// # Ok::<(), typed_pipe::wire::shape::Difference>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first [`Difference`] that there is.
    pub fn read_by(&self, reader: &Self) -> Result<(), Difference> {
        if self.style() != reader.style() {
            let style = |shape: &Self| match shape.style() {
                Style::Positional => "one thing after the other".to_owned(),
                Style::Named => "by names".to_owned(),
            };
            let root = words::root(reader.nodes(), 0);
            return Err(Difference::new(root, style(self), style(reader)));
        }
        if Arc::ptr_eq(&self.0, &reader.0) {
            return Ok(());
        }
        compare::compare((self.nodes(), 0), (reader.nodes(), 0), self.style(), false)
    }

    /// Whether a reader reads this message as meant, or this half of a pair of options; of one that is an enum, those of its
    /// variants that the reader knows.
    pub(crate) fn variants_read_by(
        &self,
        half: Option<usize>,
        (reader, reader_half): (&Self, Option<usize>),
    ) -> Result<(), Difference> {
        let at = |shape: &Self, half: Option<usize>| half.map_or(Some(0), |half| shape.half(half));
        match (at(self, half), at(reader, reader_half)) {
            (Some(w), Some(r)) if self.style() == reader.style() => {
                compare::compare((self.nodes(), w), (reader.nodes(), r), self.style(), true)
            }
            // Nothing is known of it.
            _ => Ok(()),
        }
    }

    /// The variants of the message, if it is an enum: the name of each, and in words what it holds.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// #[derive(Deserialize)]
    /// # #[expect(dead_code, reason = "only its shape is asked for")]
    /// enum Command {
    ///     Run { task: String },
    ///     Stop,
    /// }
    ///
    /// let variants = Shape::of::<Command>(Style::Positional).variants().unwrap();
    /// assert_eq!(variants[0], ("Run".to_owned(), "{ task: text }".to_owned()));
    /// assert_eq!(variants[1], ("Stop".to_owned(), String::new()));
    /// ```
    #[must_use]
    #[cfg(feature = "tool")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tool")))]
    pub fn variants(&self) -> Option<Vec<(String, String)>> {
        words::of_variants(self.style(), self.nodes())
    }

    /// What the first half of a pair of options holds: one that calls and is called reads such pairs.
    #[cfg(feature = "tool")]
    pub(crate) fn in_first_half(&self) -> Option<Self> {
        let of = self.half(0)?;
        let mut all = vec![Node::Same(of + 1)];
        all.extend(self.nodes().iter().cloned());
        all.iter_mut().skip(1).for_each(|node| node.change(|id| *id += 1));
        Some(Self::new(self.style(), graph::smallest(&all, false)))
    }

    /// The node of what a half of a pair of options holds.
    fn half(&self, number: usize) -> Option<Id> {
        let nodes = self.nodes();
        let Some(Node::Tuple(halves)) = nodes.first() else { return None };
        match nodes.get(*halves.get(number)?) {
            Some(Node::Option(of)) => Some(*of),
            _ => None,
        }
    }

    /// A pair of options of these two.
    #[cfg(feature = "service")]
    pub(crate) fn of_halves(one: &Self, other: &Self) -> Self {
        let (first, second) = (3, 3 + one.nodes().len());
        let mut all = vec![Node::Tuple(vec![1, 2]), Node::Option(first), Node::Option(second)];
        for (begin, half) in [(first, one), (second, other)] {
            let mut nodes = half.nodes().to_vec();
            nodes.iter_mut().for_each(|node| node.change(|id| *id += begin));
            all.extend(nodes);
        }
        Self::new(one.style(), graph::smallest(&all, false))
    }

    /// The shape as bytes, for another process. They are at most 64 KiB: of a larger type, what is farthest from the message
    /// is left out, and may be anything.
    ///
    /// ```
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// let shape = Shape::of::<Vec<u8>>(Style::Positional);
    /// assert_eq!(shape.description(), [1, 2, 4, 1, 23]); // a list (4) of the next node, which is `u8` (23)
    /// ```
    #[must_use]
    pub fn description(&self) -> &[u8] {
        self.0
            .description
            .get_or_init(|| description::within(description::LIMIT, self.style(), self.nodes()))
    }

    /// Reads the [description](Self::description) that another process has written. It takes any bytes: what they say is
    /// checked, and memory grows with them alone.
    ///
    /// ```
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// let shape = Shape::of::<(u8, Option<String>)>(Style::Positional);
    /// let theirs = Shape::from_description(shape.description())?;
    /// assert_eq!(theirs.fingerprint(), shape.fingerprint());
    /// assert!(Shape::from_description(b"no description").is_err());
    /// # Ok::<(), typed_pipe::CodecError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`CodecError`] where the bytes are no description, or more than 64 KiB.
    pub fn from_description(bytes: &[u8]) -> Result<Self, CodecError> {
        let (style, nodes) = description::read(bytes).map_err(CodecError::format)?;
        Ok(Self::new(style, nodes))
    }
}

/// Whether they are the same, but for the names of types.
impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.style() == other.style()
            && graph::smallest(self.nodes(), true) == graph::smallest(other.nodes(), true)
    }
}

impl Eq for Shape {}

/// In words: what the message is, and each struct and enum of it in a line.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words::all(self.style(), self.nodes()))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shape({:?}, {:016x}: {self})", self.style(), self.fingerprint())
    }
}
