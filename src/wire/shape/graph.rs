//! The graph of a shape, and its smallest form.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

/// A node by its place in the graph.
pub(super) type Id = usize;

pub(super) type Name = Cow<'static, str>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// Nothing is known of it, so it may be anything.
    Unseen,
    /// What asks the bytes what they are, or reads one thing now and another thing then.
    Any,
    /// What a variant without contents holds.
    Nothing,
    Leaf(Leaf),
    Option(Id),
    Seq(Id),
    Map(Id, Id),
    Tuple(Vec<Id>),
    /// A long tuple of one type.
    Array(u32, Id),
    Struct(Struct),
    Enum(Enum),
    /// The same as another node. Only while a type is probed.
    Same(Id),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Leaf {
    Unit,
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Text,
    Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Struct {
    pub(super) name: Name,
    /// Whether it refuses a field that it does not know.
    pub(super) closed: bool,
    pub(super) fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Field {
    /// Empty where nobody knows which of several names it is.
    pub(super) name: Name,
    pub(super) id: Id,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Required,
    /// A reader does without it.
    Optional,
    /// Another name for the field in this place.
    Alias(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Enum {
    pub(super) name: Name,
    /// How many of the names are second ones for a variant; nobody knows which.
    pub(super) aliases: usize,
    pub(super) variants: Vec<(Name, Id)>,
}

impl Leaf {
    pub(super) const ALL: [Self; 17] = [
        Self::Unit,
        Self::Bool,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::I128,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::U128,
        Self::F32,
        Self::F64,
        Self::Char,
        Self::Text,
        Self::Bytes,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unit => "()",
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::I128 => "i128",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::U128 => "u128",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }
}

impl Struct {
    /// The field that a name means to a reader.
    pub(super) fn read(&self, name: &str) -> Option<&Field> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        match field.kind {
            Kind::Alias(of) => self.fields.get(of),
            Kind::Required | Kind::Optional => Some(field),
        }
    }

    /// Whether a name, which may be unknown, may be that of a field.
    pub(super) fn may_be(&self, field: &Field, name: &str) -> bool {
        name.is_empty()
            || field.name.is_empty()
            || self.read(name).is_some_and(|read| read.name == field.name)
    }

    /// The fields without their second names.
    pub(super) fn own(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| !matches!(field.kind, Kind::Alias(_)))
    }
}

impl Enum {
    /// How many variants there are, by their numbers.
    pub(super) fn count(&self) -> usize {
        self.variants.len().saturating_sub(self.aliases)
    }

    /// All names that the variant of this number may have.
    pub(super) fn names(&self, number: usize) -> impl Iterator<Item = &str> + Clone {
        let window = self.variants.iter().skip(number).take(self.aliases + 1);
        window.map(|(name, _)| name.as_ref())
    }

    /// The names of the variant of this number, in words.
    pub(super) fn called(&self, number: usize) -> String {
        let names: Vec<String> = self.names(number).take(4).map(shown).collect();
        names.join(" or ")
    }

    /// What the variant of this number holds.
    pub(super) fn numbered(&self, number: usize) -> Option<Id> {
        self.variants.iter().take(self.count()).nth(number).map(|(_, id)| *id)
    }

    /// What the variant of this name holds, and its place among all of them.
    pub(super) fn named(&self, name: &str) -> Option<(usize, Id)> {
        let at = self.variants.iter().position(|(other, _)| other == name)?;
        self.variants.get(at).map(|(_, id)| (at, *id))
    }
}

/// A name, as it may be shown.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 64;
    let mut shown: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether two names, of which one may be unknown, may be the same.
pub(super) fn may_be(one: &str, other: &str) -> bool {
    one == other || one.is_empty() || other.is_empty()
}

impl Node {
    /// Whether all fits it, for want of knowledge.
    pub(super) fn is_anything(&self) -> bool {
        matches!(self, Self::Unseen | Self::Any | Self::Same(_))
    }

    /// The nodes in it, in their order.
    pub(super) fn parts(&self) -> Vec<Id> {
        match self {
            Self::Unseen | Self::Any | Self::Nothing | Self::Leaf(_) => Vec::new(),
            Self::Option(id) | Self::Seq(id) | Self::Array(_, id) | Self::Same(id) => vec![*id],
            Self::Map(key, value) => vec![*key, *value],
            Self::Tuple(parts) => parts.clone(),
            Self::Struct(of) => of.fields.iter().map(|field| field.id).collect(),
            Self::Enum(of) => of.variants.iter().map(|(_, id)| *id).collect(),
        }
    }

    /// Changes the nodes in it.
    pub(super) fn change(&mut self, mut change: impl FnMut(&mut Id)) {
        match self {
            Self::Unseen | Self::Any | Self::Nothing | Self::Leaf(_) => {}
            Self::Option(id) | Self::Seq(id) | Self::Array(_, id) | Self::Same(id) => change(id),
            Self::Map(key, value) => {
                change(key);
                change(value);
            }
            Self::Tuple(parts) => parts.iter_mut().for_each(change),
            Self::Struct(of) => of.fields.iter_mut().for_each(|field| change(&mut field.id)),
            Self::Enum(of) => of.variants.iter_mut().for_each(|(_, id)| change(id)),
        }
    }

    /// All of it but the nodes in it.
    fn label(&self, nameless: bool) -> Self {
        let mut label = self.clone();
        label.change(|id| *id = 0);
        if nameless {
            if let Self::Struct(Struct { name, .. }) | Self::Enum(Enum { name, .. }) = &mut label {
                *name = Name::Borrowed("");
            }
        }
        label
    }
}

/// The node of this number. A graph has no others, and what were none could be anything.
pub(super) fn node(nodes: &[Node], id: Id) -> &Node {
    nodes.get(id).unwrap_or(&Node::Unseen)
}

/// How far two nodes may be alike, and then differ.
const ROUNDS: usize = 256;

/// The smallest graph that says the same, in the order in which its nodes are come by: what cannot be told apart is one
/// node. So it does not matter how a recursive type was unrolled, nor into how many copies a compiler made its code.
pub(super) fn smallest(nodes: &[Node], nameless: bool) -> Vec<Node> {
    let mut nodes = in_order(nodes);
    let mut classes = numbered(nodes.iter().map(|node| node.label(nameless)));
    let mut count = 0;
    for round in 0.. {
        // Only another process describes such a thing, and then it may stay as it is.
        if round == ROUNDS {
            return nodes;
        }
        let known = classes.iter().max().map_or(0, |most| most + 1);
        if known == count {
            break;
        }
        count = known;
        let class = |id: &Id| classes.get(*id).copied().unwrap_or_default();
        let keys = nodes
            .iter()
            .enumerate()
            .map(|(id, node)| (class(&id), node.parts().iter().map(class).collect::<Vec<usize>>()));
        classes = numbered(keys);
    }
    let mut first = HashMap::new();
    for (id, class) in classes.iter().enumerate() {
        first.entry(*class).or_insert(id);
    }
    let chosen = |id: &Id| classes.get(*id).and_then(|class| first.get(class)).copied();
    for node in &mut nodes {
        node.change(|id| *id = chosen(id).unwrap_or(*id));
        if nameless {
            if let Node::Struct(Struct { name, .. }) | Node::Enum(Enum { name, .. }) = node {
                *name = Name::Borrowed("");
            }
        }
    }
    in_order(&nodes)
}

/// Numbers what is the same alike.
fn numbered<T: Eq + std::hash::Hash>(all: impl Iterator<Item = T>) -> Vec<usize> {
    let mut numbers = HashMap::new();
    let number = |one| {
        let next = numbers.len();
        *numbers.entry(one).or_insert(next)
    };
    all.map(number).collect()
}

/// Each node that is reached, once, the nearest first.
fn in_order(nodes: &[Node]) -> Vec<Node> {
    let mut numbers = HashMap::new();
    let mut order: Vec<Node> = Vec::new();
    let mut next = VecDeque::new();
    let mut number = |id: Id, next: &mut VecDeque<Id>| {
        let id = resolved(nodes, id);
        let new = numbers.len();
        *numbers.entry(id).or_insert_with(|| {
            next.push_back(id);
            new
        })
    };
    number(0, &mut next);
    while let Some(id) = next.pop_front() {
        let mut node = match node(nodes, id) {
            Node::Same(_) => Node::Unseen,
            node => node.clone(),
        };
        node.change(|id| *id = number(*id, &mut next));
        order.push(node);
    }
    order
}

/// Where a chain of nodes that are the same ends. What is nothing but itself has no values.
pub(super) fn resolved(nodes: &[Node], mut id: Id) -> Id {
    for _ in 0..nodes.len() {
        match node(nodes, id) {
            Node::Same(to) => id = *to,
            _ => break,
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &'static str, id: Id) -> Field {
        Field { name: name.into(), id, kind: Kind::Required }
    }

    fn tree(name: &'static str, next: Id) -> Node {
        let fields = vec![field("next", next)];
        Node::Struct(Struct { name: name.into(), closed: false, fields })
    }

    #[test]
    fn a_recursive_type_is_the_same_however_it_was_unrolled() {
        let once = [tree("Tree", 1), Node::Option(0)];
        let twice =
            [tree("Tree", 1), Node::Option(2), tree("Tree", 3), Node::Same(4), Node::Option(0)];
        assert_eq!(smallest(&once, false), once);
        assert_eq!(smallest(&twice, false), once);
    }

    #[test]
    fn names_of_types_may_count_or_not() {
        let twice = [tree("A", 1), Node::Option(2), tree("B", 3), Node::Option(0)];
        assert_eq!(smallest(&twice, false).len(), 4);
        assert_eq!(smallest(&twice, true).len(), 2);
    }

    #[test]
    fn what_is_nothing_but_itself_has_an_end() {
        assert_eq!(smallest(&[Node::Same(1), Node::Same(0)], false), [Node::Unseen]);
        assert_eq!(smallest(&[Node::Same(7)], false), [Node::Unseen]);
        assert_eq!(smallest(&[], false), [Node::Unseen]);
    }
}
