//! What is known of a type between two passes over it, and what goes on in one.
//!
//! Nothing here is generic: the compiler makes it once, and not once for each type of a program.

mod enums;
mod looking;
mod structs;
mod stuck;

use std::collections::{HashMap, HashSet};

pub(super) use self::stuck::Stuck;
use super::Style;
use super::description::fnv;
use super::graph::{Id, Leaf, Node, node, resolved};
use enums::Tried;
use structs::Asked;
use stuck::Refusal;

/// Where a value is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) slot: Id,
    /// Whether any value will do, and a short one is best.
    pub(super) minimal: bool,
    /// Which sample the places around this one ask for.
    pub(super) shift: usize,
    pub(super) depth: usize,
    pub(super) role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Value,
    /// What a variant holds. It is known by its variant alone: `derive` gives the visitors of all variants one name.
    Contents,
    /// A key of what may be a map, or a struct that hides its fields, as `flatten` does.
    Key {
        map: Id,
        number: usize,
    },
}

/// By what something made of parts is known again, which is how recursion ends.
///
/// The name alone would not do, for types in two blocks of one function share it. Code that is there twice only makes a
/// node twice, and the smallest graph has one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) visitor: &'static str,
    pub(super) code: usize,
}

/// What is given where anything is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample {
    Nothing,
    Bool,
    Number,
    Float,
    Text(&'static str),
    Seq,
    Map,
}

/// Something made of parts that was entered.
#[derive(Debug)]
pub(super) struct Step {
    id: Id,
    /// How many things were entered before it.
    outer: usize,
    /// What each part is asked for by.
    place: Place,
    plan: Plan,
    slots: Vec<Id>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    InOrder,
    /// By their names, and one that nobody has before them.
    ByName {
        stranger: bool,
    },
    /// Only what is known to be required, to see whether that is all.
    WhatIsRequired,
    Variant {
        number: usize,
        by_name: bool,
    },
}

/// What was entered and not left.
#[derive(Clone, Copy, Debug)]
struct Entered {
    id: Id,
    variant: Option<usize>,
    read: usize,
    /// The part that was asked for last.
    part: Id,
}

/// A place for what is asked for and says nothing of the type.
const SCRATCH: Id = 1;

#[rustfmt::skip]
const TEXTS: [&str; 28] = [
    "", "a", "0", "1.0.0", "2020-01-01T00:00:00Z", "2020-01-01", "00:00:00", "2020-01-01T00:00:00",
    "2020-01-01 00:00:00.0 +00:00:00", "+00:00", "127.0.0.1", "127.0.0.1:80", "::1", "[::1]:80",
    "00000000-0000-0000-0000-000000000000", "http://a/", "a@b.c", "en", "{}", "#000000", "P1D", "10.0.0.0/8",
    "true", "/", "UTC", "AAAA", "Mon", "Jan",
];
const NUMBERS: [u8; 5] = [1, 0, 2, 16, 100];
const LENGTHS: [usize; 9] = [0, 16, 4, 6, 8, 12, 20, 32, 64];
/// How many samples a place is given, of any kind.
const SAMPLES: usize = TEXTS.len() + 2;
/// How deep values are nested at most, so that a type that has none without end does not overflow the stack.
const DEPTH: usize = 200;

/// An element of a table that begins anew at its end.
fn sample<T: Copy + Default>(table: &[T], which: usize) -> T {
    table.iter().cycle().nth(which % table.len().max(1)).copied().unwrap_or_default()
}

#[derive(Debug)]
pub(super) struct Survey {
    nodes: Vec<Node>,
    pub(super) style: Style,
    keys: HashMap<(Key, u64), Id>,
    /// What a node was made for, but for the code.
    labels: HashMap<Id, (&'static str, u64)>,
    enums: HashMap<Id, (usize, bool, Vec<Tried>)>,
    structs: HashMap<Id, Asked>,
    /// Fields of which maps turned out to have need, and texts that places turned out to know.
    wanted: HashMap<Id, Vec<(&'static str, Id)>>,
    known: HashMap<Id, &'static [&'static str]>,
    /// Which sample a place gets next.
    samples: HashMap<Id, usize>,
    given_up: HashSet<Id>,
    /// There is nothing left to look into at these, and at what is in them.
    settled: HashSet<Id>,
    // Of one pass:
    entered: Vec<Entered>,
    blame: Option<Id>,
    progress: bool,
    noted: bool,
}

impl Survey {
    pub(super) fn new(style: Style) -> Self {
        Self {
            nodes: vec![Node::Unseen, Node::Any],
            style,
            keys: HashMap::new(),
            labels: HashMap::new(),
            enums: HashMap::new(),
            structs: HashMap::new(),
            wanted: HashMap::new(),
            known: HashMap::new(),
            samples: HashMap::new(),
            given_up: HashSet::new(),
            settled: HashSet::new(),
            entered: Vec::new(),
            blame: None,
            progress: false,
            noted: false,
        }
    }

    pub(super) fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    /// Where the whole value is asked for.
    pub(super) fn begin(&mut self) -> Place {
        self.entered.clear();
        self.blame = None;
        self.progress = false;
        self.noted = false;
        Place { slot: 0, minimal: false, shift: 0, depth: 0, role: Role::Value }
    }

    /// Whether another pass may see more.
    pub(super) fn goes_on(&mut self, made: bool) -> bool {
        if self.noted {
            return true;
        }
        match self.blame {
            // A type that goes on after an error is asked again too.
            Some(place) => self.learn(place) && (!made || self.pending(0, None)),
            None if made => self.progress && self.pending(0, None),
            None => self.learn(0),
        }
    }

    fn push(&mut self, node: Node) -> Id {
        self.progress = true;
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn slot(&mut self) -> Id {
        self.push(Node::Unseen)
    }

    fn slots(&mut self, count: usize) -> Vec<Id> {
        (0..count).map(|_| self.slot()).collect()
    }

    fn set(&mut self, id: Id, node: Node) {
        if let Some(at) = self.nodes.get_mut(id) {
            self.progress |= *at != node;
            *at = node;
        }
    }

    fn at(&self, id: Id) -> Id {
        resolved(&self.nodes, id)
    }

    fn node(&self, id: Id) -> &Node {
        node(&self.nodes, id)
    }

    /// Notes what a place is; what is one thing now and was another thing then may be anything.
    fn note(&mut self, slot: Id, what: Node) {
        let known = self.node(self.at(slot));
        if *known == Node::Unseen {
            self.set(slot, what);
        } else if *known != what {
            self.set(slot, Node::Any);
        }
    }

    pub(super) fn blame(&mut self, slot: Id) {
        self.blame.get_or_insert(slot);
    }

    /// Whether a value, or a part of it, is refused because it lies too deep.
    pub(super) fn too_deep(place: &Place) -> bool {
        place.depth > DEPTH
    }

    fn which(&self, place: &Place) -> usize {
        place.shift + self.samples.get(&place.slot).copied().unwrap_or_default()
    }

    pub(super) fn leaf(&mut self, place: &Place, leaf: Leaf) -> usize {
        self.note(place.slot, Node::Leaf(leaf));
        self.which(place)
    }

    pub(super) fn number(&mut self, place: &Place, leaf: Leaf) -> u8 {
        sample(&NUMBERS, self.leaf(place, leaf))
    }

    pub(super) fn text(&mut self, place: &Place) -> &'static str {
        if let Role::Key { map, number } = place.role {
            if let Some((name, _)) = self.wanted.get(&map).and_then(|wanted| wanted.get(number)) {
                return name;
            }
        }
        let which = self.leaf(place, Leaf::Text);
        match self.known.get(&place.slot) {
            Some(known) => sample(known, which),
            None => sample(&TEXTS, which),
        }
    }

    /// The text where the name of a field is asked for, and not any key: what has such names is a struct. Codecs without
    /// names cannot read it at all.
    pub(super) fn identifier(&mut self, place: &Place) -> &'static str {
        let around = match place.role {
            Role::Key { map, .. } => Some(map),
            _ if self.style == Style::Named => None,
            _ => Some(self.entered.last().map_or(place.slot, |on| on.id)),
        };
        if let Some(around) = around {
            self.set(around, Node::Any);
        }
        self.text(place)
    }

    pub(super) fn bytes(&mut self, place: &Place) -> usize {
        sample(&LENGTHS, self.leaf(place, Leaf::Bytes))
    }

    pub(super) fn nothing(&mut self, place: &Place) {
        self.note(place.slot, Node::Nothing);
    }

    pub(super) fn any(&mut self, place: &Place) -> Sample {
        self.set(place.slot, Node::Any);
        match place.role {
            Role::Key { .. } => return Sample::Text(self.text(place)),
            // What wants fields is a map.
            _ if self.wanted.contains_key(&place.slot) => return Sample::Map,
            _ => {}
        }
        let which = self.which(place);
        match which % 7 {
            0 => Sample::Nothing,
            1 => Sample::Number,
            2 => Sample::Text(sample(&TEXTS, which / 7)),
            3 => Sample::Seq,
            4 => Sample::Map,
            5 => Sample::Float,
            _ => Sample::Bool,
        }
    }

    /// Learns from an error at a leaf, or at what may be anything.
    pub(super) fn refused(&mut self, place: &Place, error: &mut Stuck) {
        match error.0 {
            Refusal::UnknownVariant(known) if !known.is_empty() => {
                self.noted |= self.known.insert(place.slot, known).is_none();
            }
            Refusal::Missing(name) if *self.node(place.slot) == Node::Any => {
                self.want(place.slot, name);
            }
            _ => {}
        }
        self.close(&mut error.0);
        self.blame(place.slot);
    }

    /// An error says nothing of what is farther out.
    fn close(&self, refusal: &mut Refusal) {
        *refusal = if self.noted { Refusal::Noted } else { Refusal::Other };
    }

    fn want(&mut self, map: Id, name: &'static str) {
        let wanted = self.wanted.entry(map).or_default();
        if map != SCRATCH && !wanted.iter().any(|(other, _)| *other == name) {
            wanted.push((name, self.nodes.len()));
            self.nodes.push(Node::Unseen);
            self.noted = true;
        }
    }

    /// Goes into something made of parts: its node, and whether only a short value of it is wanted.
    fn enter(
        &mut self,
        place: &Place,
        key: Key,
        what: &str,
        make: impl FnOnce(&mut Self) -> Node,
    ) -> Step {
        let label = fnv(what.as_bytes());
        let at = self.at(place.slot);
        let id = if place.role == Role::Contents {
            if *self.node(at) == Node::Unseen {
                let made = make(self);
                self.set(at, made);
            }
            at
        } else if self.labels.get(&at) == Some(&(key.visitor, label)) {
            at
        } else {
            let known = self.keys.get(&(key, label)).copied();
            let id = known.unwrap_or_else(|| {
                let made = make(self);
                let id = self.push(made);
                self.keys.insert((key, label), id);
                self.labels.insert(id, (key.visitor, label));
                id
            });
            match self.node(at) {
                Node::Unseen => self.set(at, Node::Same(id)),
                _ => self.set(place.slot, Node::Any),
            }
            id
        };
        let minimal = place.minimal || self.is_entered(id) || !self.pending(id, None);
        let shift = self.which(place);
        let outer = self.entered.len();
        self.entered.push(Entered { id, variant: None, read: 0, part: SCRATCH });
        Step {
            id,
            outer,
            place: Place { slot: 0, minimal, shift, depth: place.depth + 1, role: Role::Value },
            plan: Plan::InOrder,
            slots: Vec::new(),
        }
    }

    /// Leaves what gave a value.
    pub(super) fn left(&mut self, step: &Step) {
        self.entered.truncate(step.outer);
    }

    pub(super) fn enter_option(&mut self, place: &Place, key: Key) -> (Step, Option<Place>) {
        let step = self.enter(place, key, "option", |survey| Node::Option(survey.slot()));
        let inner = match self.node(step.id) {
            Node::Option(inner) => *inner,
            _ => SCRATCH,
        };
        let skip = step.place.minimal || self.given_up.contains(&inner);
        let inner = (!skip).then_some(Place { slot: inner, ..step.place });
        (step, inner)
    }

    pub(super) fn enter_seq(&mut self, place: &Place, key: Key) -> (Step, usize) {
        let mut step = self.enter(place, key, "list", |survey| Node::Seq(survey.slot()));
        let inner = match self.node(step.id) {
            Node::Seq(inner) => *inner,
            _ => SCRATCH,
        };
        let skip = step.place.minimal || self.given_up.contains(&inner);
        step.slots = vec![inner];
        let lengths = if skip { [0, 1, 2] } else { [1, 0, 2] };
        let count = sample(&lengths, step.place.shift);
        (step, count)
    }

    pub(super) fn enter_map(&mut self, place: &Place, key: Key) -> (Step, usize) {
        let mut step =
            self.enter(place, key, "map", |survey| Node::Map(survey.slot(), survey.slot()));
        let (key, value) = match self.node(step.id) {
            Node::Map(key, value) => (*key, *value),
            _ => (SCRATCH, SCRATCH),
        };
        let skip =
            step.place.minimal || self.given_up.contains(&key) || self.given_up.contains(&value);
        step.slots = vec![key, value];
        let count = match self.wanted.get(&step.id) {
            Some(wanted) => wanted.len(),
            None => usize::from(!skip),
        };
        (step, count)
    }

    pub(super) fn left_map<T>(&mut self, step: &Step, made: &mut Result<T, Stuck>) {
        match made {
            Ok(_) => self.left(step),
            Err(Stuck(refusal)) => {
                if let (Refusal::Missing(name), Node::Any) = (&refusal, self.node(step.id)) {
                    self.want(step.id, name);
                }
                self.close(refusal);
            }
        }
    }

    /// What was asked for as anything is given as a map.
    pub(super) fn enter_any_map(&self, place: &Place) -> (Step, usize) {
        let count = self.wanted.get(&place.slot).map_or(0, Vec::len);
        let outer = self.entered.len();
        let inner = Place { slot: SCRATCH, depth: place.depth + 1, role: Role::Value, ..*place };
        (
            Step { id: place.slot, outer, place: inner, plan: Plan::InOrder, slots: Vec::new() },
            count,
        )
    }

    pub(super) fn enter_tuple(&mut self, place: &Place, key: Key, len: usize) -> Step {
        let what = format!("tuple {len}");
        let mut step = self.enter(place, key, &what, |survey| match u32::try_from(len) {
            Ok(many) if len > 64 => Node::Array(many, survey.slot()),
            _ => Node::Tuple(survey.slots(len)),
        });
        step.slots = match self.node(step.id) {
            Node::Tuple(slots) if slots.len() == len => slots.clone(),
            Node::Array(_, slot) => vec![*slot],
            _ => Vec::new(),
        };
        step
    }

    /// The place of a part, and notes that it was asked for.
    pub(super) fn part(&mut self, step: &Step, number: usize) -> Place {
        let slot = step.slots.get(number).or_else(|| step.slots.last()).copied().unwrap_or(SCRATCH);
        if let Some(entered) = self.entered.get_mut(step.outer) {
            entered.read = number + 1;
            entered.part = slot;
        }
        Place { slot, ..step.place }
    }

    /// The place of a key of a map.
    pub(super) fn key(&mut self, step: &Step, number: usize) -> Place {
        let role = Role::Key { map: step.id, number };
        Place { role, ..self.part(step, 0) }
    }

    /// The place of a value of a map: each that is wanted by its name has a place of its own.
    pub(super) fn value(&mut self, step: &Step, number: usize) -> Place {
        match self.wanted.get(&step.id) {
            Some(wanted) => {
                let slot = wanted.get(number).map_or(SCRATCH, |(_, slot)| *slot);
                Place { slot, ..step.place }
            }
            None => self.part(step, 1),
        }
    }
}
