//! Whether one graph reads what another one writes.
//!
//! One of the two may be another process's, and say anything: it is followed without recursion, and for so long only.

use std::collections::HashSet;

use super::Style;
use super::difference::Difference;
use super::graph::{Enum, Field, Id, Kind, Leaf, Node, Struct, may_be, node, shown};
use super::words::{root, word};

/// A step from a node to one in it.
#[derive(Clone, Copy, Debug)]
pub(super) enum At<'a> {
    Whole,
    Option,
    Element,
    Key,
    Value,
    Part(usize),
    Field(&'a str),
    Variant(&'a str),
}

impl At<'_> {
    pub(super) fn show(self) -> String {
        match self {
            Self::Whole => String::new(),
            Self::Option => "?".to_owned(),
            Self::Element => "[]".to_owned(),
            Self::Key => "[key]".to_owned(),
            Self::Value => "[value]".to_owned(),
            Self::Part(number) => format!(".{number}"),
            Self::Field(name) => format!(".{}", shown(name)),
            Self::Variant(name) => format!("::{}", shown(name)),
        }
    }
}

/// A place from its steps, the last one first. Of a long one, the beginning is left out.
pub(super) fn place(root: String, mut steps: Vec<String>) -> String {
    const MOST: usize = 24;
    steps.reverse();
    match steps.len().checked_sub(MOST) {
        None | Some(0) => root + &steps.concat(),
        Some(more) => {
            let last = steps.get(more..).unwrap_or_default().concat();
            format!("{root}…{last}")
        }
    }
}

/// Whether JSON may write `null` for it.
pub(super) fn may_be_null(node: &Node) -> bool {
    node.is_anything()
        || matches!(
            node,
            Node::Option(_) | Node::Nothing | Node::Leaf(Leaf::Unit | Leaf::F32 | Leaf::F64)
        )
}

/// Whether the reader takes all that the writer may write for what it is; `of_known`: of a message that is an enum,
/// of the variants that it has as well.
pub(super) fn compare(
    (writer, w): (&[Node], Id),
    (reader, r): (&[Node], Id),
    style: Style,
    of_known: bool,
) -> Result<(), Difference> {
    let mut compare =
        Compare { writer, reader, root: r, style, of_known, links: Vec::new(), todo: Vec::new() };
    compare.all(w)
}

struct Compare<'a> {
    writer: &'a [Node],
    reader: &'a [Node],
    /// The message there.
    root: Id,
    style: Style,
    /// Whether the reader may lack variants of the message.
    of_known: bool,
    /// How each pair was come to: from which other one, and by what step.
    links: Vec<(usize, At<'a>)>,
    todo: Vec<(Id, Id, usize)>,
}

impl<'a> Compare<'a> {
    fn all(&mut self, message: Id) -> Result<(), Difference> {
        let most = 4096 + 8 * (self.writer.len() + self.reader.len());
        let mut seen = HashSet::new();
        self.links.push((0, At::Whole));
        self.todo.push((message, self.root, 0));
        while let Some((w, r, link)) = self.todo.pop() {
            if !seen.insert((w, r)) {
                continue;
            }
            if self.links.len() > most {
                let much = || "more than can be compared".to_owned();
                return Err(self.differ(link, much(), much()));
            }
            let before = self.todo.len();
            self.pair(w, r, link)?;
            // The first of them is looked at first.
            if let Some(new) = self.todo.get_mut(before..) {
                new.reverse();
            }
        }
        Ok(())
    }

    fn pair(&mut self, w: Id, r: Id, link: usize) -> Result<(), Difference> {
        let (writer, reader) = (self.writer, self.reader);
        match (node(writer, w), node(reader, r)) {
            (a, b) if a.is_anything() || b.is_anything() => {}
            (Node::Leaf(a), Node::Leaf(b)) if a == b => {}
            (Node::Nothing, Node::Nothing) => {}
            (Node::Leaf(Leaf::Bytes), Node::Seq(b)) if is_u8(reader, *b) => {}
            (Node::Seq(a), Node::Leaf(Leaf::Bytes)) if is_u8(writer, *a) => {}
            (Node::Option(a), Node::Option(b)) => self.later(link, At::Option, *a, *b),
            (Node::Seq(a), Node::Seq(b)) => self.later(link, At::Element, *a, *b),
            (Node::Array(n, a), Node::Array(m, b)) if n == m => {
                self.later(link, At::Element, *a, *b);
            }
            (Node::Map(a, b), Node::Map(c, d)) => {
                self.later(link, At::Key, *a, *c);
                self.later(link, At::Value, *b, *d);
            }
            (Node::Tuple(a), Node::Tuple(b)) if a.len() == b.len() => {
                for (number, (a, b)) in a.iter().zip(b).enumerate() {
                    self.later(link, At::Part(number), *a, *b);
                }
            }
            (Node::Struct(a), Node::Struct(b)) => match self.style {
                Style::Positional => self.fields_in_order(a, b, link)?,
                Style::Named => self.fields_by_name(a, b, link)?,
            },
            (Node::Enum(a), Node::Enum(b)) => match self.style {
                Style::Positional => self.variants_by_number(a, b, link)?,
                Style::Named => self.variants_by_name(a, b, link)?,
            },
            (a, Node::Option(b)) if self.style == Style::Named && !may_be_null(a) => {
                self.later(link, At::Option, w, *b);
            }
            _ => return Err(self.differ(link, word(writer, w), word(reader, r))),
        }
        Ok(())
    }

    fn later(&mut self, from: usize, at: At<'a>, w: Id, r: Id) {
        self.todo.push((w, r, self.links.len()));
        self.links.push((from, at));
    }

    fn fields_in_order(
        &mut self,
        a: &'a Struct,
        b: &'a Struct,
        link: usize,
    ) -> Result<(), Difference> {
        let (mut written, mut read) = (a.own(), b.own());
        for number in 0.. {
            match (written.next(), read.next()) {
                (None, None) => break,
                (Some(w), Some(r)) if b.may_be(r, &w.name) => {
                    self.later(link, At::Field(&w.name), w.id, r.id);
                }
                (w, r) => {
                    let w = w.map(|field| (field.name.as_ref(), word(self.writer, field.id)));
                    let r = r.map(|field| (field.name.as_ref(), word(self.reader, field.id)));
                    return Err(self.differ(link, field(number, w), field(number, r)));
                }
            }
        }
        Ok(())
    }

    fn fields_by_name(
        &mut self,
        a: &'a Struct,
        b: &'a Struct,
        link: usize,
    ) -> Result<(), Difference> {
        let mut given = HashSet::new();
        for written in a.own() {
            let name = || format!("field `{}`", shown(&written.name));
            match b.read(&written.name) {
                Some(read) if !given.insert(read.name.as_ref()) => {
                    let two = format!("it is another name of `{}`, which is there too", read.name);
                    return Err(self.differ(link, name(), two));
                }
                Some(read) => self.later(link, At::Field(&written.name), written.id, read.id),
                None if b.closed => {
                    return Err(self.differ(link, name(), "no other fields allowed".to_owned()));
                }
                None => {}
            }
        }
        let required = |read: &&Field| {
            read.kind == Kind::Required && !node(self.reader, read.id).is_anything()
        };
        match b.own().filter(required).find(|read| !given.contains(read.name.as_ref())) {
            Some(missing) => {
                let name = shown(&missing.name);
                Err(self.differ(link, format!("no field `{name}`"), format!("field `{name}`")))
            }
            None => Ok(()),
        }
    }

    fn variants_by_number(
        &mut self,
        a: &'a Enum,
        b: &'a Enum,
        link: usize,
    ) -> Result<(), Difference> {
        for number in 0..a.count() {
            let (ours, theirs) = (a.names(number), b.names(number));
            let first = ours.clone().next().unwrap_or_default();
            let written = format!("variant {number} is `{}`", a.called(number));
            let read = match (a.numbered(number), b.numbered(number)) {
                (Some(w), Some(r)) => {
                    let mut theirs = theirs.clone();
                    if theirs.any(|name| ours.clone().any(|other| may_be(name, other))) {
                        self.later(link, At::Variant(first), w, r);
                        continue;
                    }
                    format!("`{}`", b.called(number))
                }
                _ if self.of_known && link == 0 => continue,
                _ => "no such variant".to_owned(),
            };
            return Err(self.differ(link, written, read));
        }
        Ok(())
    }

    fn variants_by_name(
        &mut self,
        a: &'a Enum,
        b: &'a Enum,
        link: usize,
    ) -> Result<(), Difference> {
        // A writer writes one name of each variant.
        let mut spare = a.aliases;
        for (name, w) in &a.variants {
            match b.named(name) {
                Some((_, r)) => self.later(link, At::Variant(name), *w, r),
                None if spare > 0 => spare -= 1,
                None if self.of_known && link == 0 => {}
                None => {
                    let written = format!("variant `{}`", shown(name));
                    return Err(self.differ(link, written, "no such variant".to_owned()));
                }
            }
        }
        Ok(())
    }

    fn differ(&self, link: usize, written: String, read: String) -> Difference {
        let back =
            |link: &usize| self.links.get(*link).map(|(from, _)| *from).filter(|_| *link > 0);
        let steps = std::iter::successors(Some(link), back);
        let steps = steps.filter_map(|link| self.links.get(link).map(|(_, at)| at.show()));
        Difference::new(place(root(self.reader, self.root), steps.collect()), written, read)
    }
}

/// A field in words, by its number.
pub(super) fn field(number: usize, field: Option<(&str, String)>) -> String {
    match field {
        Some((name, what)) => format!("field {number} is `{}` ({what})", shown(name)),
        None => format!("no field {number}"),
    }
}

/// Whether it is a byte, or may be one.
pub(super) fn is_u8(nodes: &[Node], id: Id) -> bool {
    let node = node(nodes, id);
    node.is_anything() || *node == Node::Leaf(Leaf::U8)
}
