//! Values beside the shape that their receiver announced.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::compare::{At, may_be_null, place};
use super::difference::Difference;
use super::graph::{Id, Kind, Leaf, Node, node};
use super::words::{root, word};
use super::{Shape, Style};

/// Checks each value that is sent against the shape that its receiver announced, until there is nothing new to see.
///
/// It is for senders whose type only has [`Serialize`]: `str`, slices, structs that borrow. Once every option, list and
/// variant that the receiver knows was seen with contents, at each place where a type of the sender has them, a check of
/// this type costs nothing. A value of another type is looked at from the beginning, and so is the next one of the first
/// type: who sends two by turns pays for each.
///
/// A type that writes other things for other values (an untagged enum, a `dyn` value) may be seen in one form, and
/// write the next one unchecked. Bytes that a codec would refuse anyway are not its concern.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::wire::shape::{Shape, Style, ValueCheck};
///
/// #[derive(Debug, Deserialize)]
/// # #[expect(dead_code, reason = "only its shape is asked for")]
/// struct Reading {
///     sensor: String,
///     celsius: f64,
/// }
///
/// #[derive(Serialize)]
/// struct ReadingRef<'a> {
///     sensor: &'a str,
///     celsius: f32,
/// }
///
/// let mut check = ValueCheck::new(&Shape::of::<Reading>(Style::Positional));
/// let difference = check.check(&ReadingRef { sensor: "kitchen", celsius: 21.5 }).unwrap_err();
/// assert_eq!(
///     difference.to_sender(),
///     "what this side sends: `Reading.celsius`: f32 here, f64 there",
/// );
/// ```
#[doc(alias = "validate")]
pub struct ValueCheck {
    reader: Shape,
    /// The type of the values so far. Of another one, nothing was seen.
    of: Option<Kin>,
    /// What was seen: a type of the sender at a node of the receiver. The first is the message.
    pairs: Vec<Pair>,
    found: HashMap<(Kin, Id), usize>,
    /// How many edges of them were not seen yet.
    open: usize,
    /// A type of the sender is not the same each time, or a value did not fit: all values are looked at.
    always: bool,
    fault: Option<(String, String)>,
    steps: Vec<String>,
}

struct Pair {
    node: Id,
    edges: Vec<Edge>,
    /// Whether it is a struct whose fields have one name each.
    plain: bool,
}

#[derive(Clone, Copy)]
enum Edge {
    Open,
    Seen,
    To(usize, Kin),
}

/// What tells a type of the sender from others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kin {
    Type(usize, &'static str),
    /// A part that has no type of its own, of a pair.
    Part(usize, usize),
}

impl Kin {
    /// Whether it is the one that was at this edge before. Types of one code are one here, whatever their names.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Type(code, _), Self::Type(same, _)) => code == same,
            (one, other) => one == other,
        }
    }
}

impl ValueCheck {
    /// A check against what the receiver announced.
    #[must_use]
    pub fn new(reader: &Shape) -> Self {
        Self {
            reader: reader.clone(),
            of: None,
            pairs: Vec::new(),
            found: HashMap::new(),
            open: 1,
            always: false,
            fault: None,
            steps: Vec::new(),
        }
    }

    /// Checks one value.
    ///
    /// # Errors
    ///
    /// The first [`Difference`] between what the value writes and what the receiver reads. Nothing of it should be sent.
    #[inline]
    pub fn check<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Difference> {
        let kin = Kin::of::<T>();
        if !self.of.is_some_and(|of| of.is(&kin)) {
            *self = Self { of: Some(kin), ..Self::new(&self.reader) };
        } else if self.is_done() {
            return Ok(());
        }
        self.look(value)
    }

    /// Whether all was seen, and a check of the same type is nothing any more.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open == 0 && !self.always
    }

    pub(super) fn begin(&mut self, kin: Kin) -> usize {
        if self.pairs.is_empty() {
            self.open = 0;
        }
        self.pair(kin, 0)
    }

    pub(super) fn end(&mut self) -> Result<(), Difference> {
        let steps = std::mem::take(&mut self.steps);
        match self.fault.take() {
            None => Ok(()),
            Some((written, read)) => {
                self.always = true;
                let root = root(self.reader.nodes(), 0);
                Err(Difference::new(place(root, steps), written, read))
            }
        }
    }

    /// The pair of a type and a node.
    fn pair(&mut self, kin: Kin, id: Id) -> usize {
        if let Some(known) = self.found.get(&(kin, id)) {
            return *known;
        }
        let edges = match self.node_at(id) {
            Node::Option(_) | Node::Seq(_) | Node::Array(..) | Node::Leaf(Leaf::Bytes) => 1,
            Node::Map(..) => 2,
            Node::Tuple(parts) => parts.len(),
            Node::Struct(of) => of.fields.len(),
            Node::Enum(of) => of.variants.len(),
            _ => 0,
        };
        // What has no edge that leads on is not waited for.
        let alias = |number: usize| match self.node_at(id) {
            Node::Struct(of) => {
                of.fields.get(number).is_some_and(|field| matches!(field.kind, Kind::Alias(_)))
            }
            Node::Enum(of) => self.style() == Style::Positional && number >= of.count(),
            _ => false,
        };
        let edges: Vec<Edge> =
            (0..edges).map(|number| if alias(number) { Edge::Seen } else { Edge::Open }).collect();
        self.open += edges.iter().filter(|edge| matches!(edge, Edge::Open)).count();
        if let Kin::Type(_, name) = kin {
            self.always |= name.contains("dyn ");
        }
        let plain = match self.node_at(id) {
            Node::Struct(of) => of.own().count() == of.fields.len(),
            _ => false,
        };
        self.pairs.push(Pair { node: id, edges, plain });
        self.found.insert((kin, id), self.pairs.len() - 1);
        self.pairs.len() - 1
    }

    /// Goes along an edge of a pair, to a node.
    pub(super) fn along(&mut self, pair: usize, edge: usize, id: Id, kin: Kin) -> usize {
        let known = self.pairs.get(pair).and_then(|pair| pair.edges.get(edge)).copied();
        match known {
            Some(Edge::To(to, same)) if same.is(&kin) => return to,
            Some(Edge::To(..)) => self.always = true,
            _ => {}
        }
        let to = self.pair(kin, id);
        self.mark(pair, edge, Edge::To(to, kin));
        to
    }

    fn mark(&mut self, pair: usize, edge: usize, seen: Edge) {
        if let Some(at) = self.pairs.get_mut(pair).and_then(|pair| pair.edges.get_mut(edge)) {
            if let Edge::Open = std::mem::replace(at, seen) {
                self.open = self.open.saturating_sub(1);
            }
        }
    }

    /// Bytes that are there as a whole: there is nothing to see in them.
    pub(super) fn seen_whole(&mut self, pair: usize) {
        let edge = self.pairs.get(pair).and_then(|pair| pair.edges.first()).copied();
        if let Some(Edge::Open) = edge {
            self.mark(pair, 0, Edge::Seen);
        }
    }

    pub(super) fn style(&self) -> Style {
        self.reader.style()
    }

    /// The field of this number, where it has this name and no field has two.
    pub(super) fn plain_field(&self, pair: usize, number: usize, name: &str) -> Option<Id> {
        let plain = self.pairs.get(pair).filter(|pair| pair.plain)?;
        let Node::Struct(of) = self.node_at(plain.node) else { return None };
        of.fields.get(number).filter(|field| field.name == name).map(|field| field.id)
    }

    /// The node of a pair.
    pub(super) fn at(&self, pair: usize) -> Id {
        self.pairs.get(pair).map_or(Id::MAX, |pair| pair.node)
    }

    pub(super) fn node_at(&self, id: Id) -> &Node {
        match id {
            BYTE => &Node::Leaf(Leaf::U8),
            id => node(self.reader.nodes(), id),
        }
    }

    pub(super) fn node(&self, pair: usize) -> &Node {
        self.node_at(self.at(pair))
    }

    /// What JSON writes into an option is what it would write without one, if that is no `null`.
    pub(super) fn without_option(&mut self, pair: usize, written: &Node) -> usize {
        let mut pair = pair;
        // Another process may describe an option of itself.
        for _ in 0..OPTIONS {
            let Node::Option(inner) = *self.node(pair) else { break };
            if self.style() != Style::Named || may_be_null(written) {
                break;
            }
            pair = self.along(pair, 0, inner, Kin::Part(pair, 0));
        }
        pair
    }

    #[cold]
    pub(super) fn fault(&mut self, written: String, read: String) -> super::survey::Stuck {
        self.fault = Some((written, read));
        super::survey::Stuck::new()
    }

    #[cold]
    pub(super) fn other(&mut self, pair: usize, written: &str) -> super::survey::Stuck {
        let read = match self.at(pair) {
            BYTE => Leaf::U8.name().to_owned(),
            id => word(self.reader.nodes(), id),
        };
        self.fault(written.to_owned(), read)
    }

    #[cold]
    pub(super) fn step(&mut self, at: At<'_>) {
        self.steps.push(at.show());
    }

    pub(super) fn word(&self, id: Id) -> String {
        word(self.reader.nodes(), id)
    }
}

/// How many options may lie in each other where none is written.
const OPTIONS: usize = 16;

/// The node of a byte, where the shape has bytes as a whole.
pub(super) const BYTE: Id = Id::MAX - 1;

impl fmt::Debug for ValueCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueCheck").field("done", &self.is_done()).finish_non_exhaustive()
    }
}
