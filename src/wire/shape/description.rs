//! A shape as bytes: what one process says to another of its types.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | the style: 1 positional, 2 named |
//! | number | how many nodes follow; the first one is the message |
//! | each | a node: its tag, then what the tag asks for |
//!
//! A number is written in groups of 7 bits, the lowest first, with the high bit set on all but the last byte, and a text
//! is its length as a number and its UTF-8.
//!
//! | tag | node | then |
//! |---|---|---|
//! | 0 | nobody knows | |
//! | 1 | what describes itself | |
//! | 2 | the contents of a variant that has none | |
//! | 3, 4 | option, list | the node in it |
//! | 5 | map | the nodes of key and value |
//! | 6 | tuple | how many, and each node |
//! | 7 | array | how many, and the node |
//! | 8, 9 | struct, and one that refuses unknown fields | name; how many fields, and of each the name, the node, and 0 required, 1 optional, or 2 and more: another name of the field of this place, counted from 2 |
//! | 10 | enum | name; how many names are second ones; how many variants, and of each the name and the node |
//! | 16 to 32 | `()` `bool` `i8` `i16` `i32` `i64` `i128` `u8` `u16` `u32` `u64` `u128` `f32` `f64` `char` text bytes | |

use super::Style;
use super::graph::{Enum, Field, Id, Kind, Leaf, Name, Node, Struct};

/// The longest description.
pub(crate) const LIMIT: usize = 64 << 10;

const FIRST_LEAF: u8 = 16;

/// Describes a graph, all of it.
pub(super) fn whole(style: Style, nodes: &[Node]) -> Vec<u8> {
    let mut out = begin(style, nodes.len());
    nodes.iter().for_each(|node| write(node, &|id| id, &mut out));
    out
}

/// Describes a graph in as many bytes as are allowed: what is farthest from the message is left out, and may then be
/// anything.
pub(super) fn within(limit: usize, style: Style, nodes: &[Node]) -> Vec<u8> {
    let all = whole(style, nodes);
    if all.len() <= limit {
        return all;
    }
    let mut room = limit.saturating_sub(16);
    let mut kept = 0;
    for node in nodes {
        let mut one = Vec::new();
        write(node, &|id| id, &mut one);
        let Some(left) = room.checked_sub(one.len()) else { break };
        room = left;
        kept += 1;
    }
    let mut out = begin(style, kept + 1);
    nodes.iter().take(kept).for_each(|node| write(node, &|id| id.min(kept), &mut out));
    write(&Node::Unseen, &|id| id, &mut out);
    out
}

fn begin(style: Style, nodes: usize) -> Vec<u8> {
    let mut out = vec![match style {
        Style::Positional => 1,
        Style::Named => 2,
    }];
    number(nodes, &mut out);
    out
}

fn write(node: &Node, id: &impl Fn(Id) -> Id, out: &mut Vec<u8>) {
    match node {
        Node::Unseen | Node::Same(_) => out.push(0),
        Node::Any => out.push(1),
        Node::Nothing => out.push(2),
        Node::Option(of) => {
            out.push(3);
            number(id(*of), out);
        }
        Node::Seq(of) => {
            out.push(4);
            number(id(*of), out);
        }
        Node::Map(key, value) => {
            out.push(5);
            number(id(*key), out);
            number(id(*value), out);
        }
        Node::Tuple(parts) => {
            out.push(6);
            number(parts.len(), out);
            parts.iter().for_each(|part| number(id(*part), out));
        }
        Node::Array(len, of) => {
            out.push(7);
            number((*len).try_into().unwrap_or(usize::MAX), out);
            number(id(*of), out);
        }
        Node::Struct(of) => {
            out.push(if of.closed { 9 } else { 8 });
            text(&of.name, out);
            number(of.fields.len(), out);
            for field in &of.fields {
                text(&field.name, out);
                number(id(field.id), out);
                number(
                    match field.kind {
                        Kind::Required => 0,
                        Kind::Optional => 1,
                        Kind::Alias(of) => of + 2,
                    },
                    out,
                );
            }
        }
        Node::Enum(of) => {
            out.push(10);
            text(&of.name, out);
            number(of.aliases, out);
            number(of.variants.len(), out);
            for (name, holds) in &of.variants {
                text(name, out);
                number(id(*holds), out);
            }
        }
        Node::Leaf(leaf) => {
            let place = Leaf::ALL.iter().position(|other| other == leaf).unwrap_or_default();
            out.push(FIRST_LEAF + u8::try_from(place).unwrap_or_default());
        }
    }
}

fn number(mut rest: usize, out: &mut Vec<u8>) {
    while let (low, true) = (rest & 0x7F, rest > 0x7F) {
        out.extend(u8::try_from(low | 0x80));
        rest >>= 7;
    }
    out.extend(u8::try_from(rest));
}

fn text(text: &str, out: &mut Vec<u8>) {
    number(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// Reads a description that another process has written. Nothing in it then leads outside, and it takes no more memory
/// than some times its bytes.
pub(super) fn read(bytes: &[u8]) -> Result<(Style, Vec<Node>), &'static str> {
    if bytes.len() > LIMIT {
        return Err("the description of a type is longer than 64 KiB");
    }
    parse(&mut Rest(bytes)).ok_or("the bytes do not describe a type")
}

fn parse(rest: &mut Rest<'_>) -> Option<(Style, Vec<Node>)> {
    let style = match rest.byte()? {
        1 => Style::Positional,
        2 => Style::Named,
        _ => return None,
    };
    let count = rest.count()?;
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(rest.node(count)?);
    }
    (rest.0.is_empty() && count > 0).then_some((style, nodes))
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            let bits = u32::from(byte & 0x7F);
            number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
            if byte < 0x80 {
                return usize::try_from(number).ok();
            }
        }
        None
    }

    /// A number of things that have at least one byte each.
    fn count(&mut self) -> Option<usize> {
        self.number().filter(|count| *count <= self.0.len())
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.number()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn name(&mut self) -> Option<Name> {
        self.text().map(|text| Name::Owned(text.to_owned()))
    }

    fn id(&mut self, nodes: usize) -> Option<Id> {
        self.number().filter(|id| *id < nodes)
    }

    fn node(&mut self, nodes: usize) -> Option<Node> {
        let tag = self.byte()?;
        Some(match tag {
            0 => Node::Unseen,
            1 => Node::Any,
            2 => Node::Nothing,
            3 => Node::Option(self.id(nodes)?),
            4 => Node::Seq(self.id(nodes)?),
            5 => Node::Map(self.id(nodes)?, self.id(nodes)?),
            6 => {
                let count = self.count()?;
                let parts = (0..count).map(|_| self.id(nodes));
                Node::Tuple(parts.collect::<Option<_>>()?)
            }
            7 => Node::Array(self.number()?.try_into().ok()?, self.id(nodes)?),
            8 | 9 => {
                let name = self.name()?;
                let count = self.count()?;
                let fields: Vec<Field> =
                    (0..count).map(|_| self.field(nodes, count)).collect::<Option<_>>()?;
                let leads = |field: &Field| match field.kind {
                    Kind::Alias(of) => {
                        fields.get(of).is_some_and(|of| !matches!(of.kind, Kind::Alias(_)))
                    }
                    Kind::Required | Kind::Optional => true,
                };
                if !fields.iter().all(leads) {
                    return None;
                }
                Node::Struct(Struct { name, closed: tag == 9, fields })
            }
            10 => {
                let name = self.name()?;
                let aliases = self.number()?;
                let count = self.count()?;
                let variants = (0..count).map(|_| Some((self.name()?, self.id(nodes)?)));
                let variants: Vec<_> = variants.collect::<Option<_>>()?;
                if aliases > variants.len() {
                    return None;
                }
                Node::Enum(Enum { name, aliases, variants })
            }
            _ => {
                let place = usize::from(tag.checked_sub(FIRST_LEAF)?);
                Node::Leaf(*Leaf::ALL.get(place)?)
            }
        })
    }

    fn field(&mut self, nodes: usize, fields: usize) -> Option<Field> {
        let (name, id) = (self.name()?, self.id(nodes)?);
        let kind = match self.number()? {
            0 => Kind::Required,
            1 => Kind::Optional,
            of => Kind::Alias(of.checked_sub(2).filter(|of| *of < fields)?),
        };
        Some(Field { name, id, kind })
    }
}

/// 64 bits of FNV-1a.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_of_each() -> Vec<Node> {
        let field = |name: &'static str, kind| Field { name: name.into(), id: 1, kind };
        let mut nodes = vec![
            Node::Tuple((0..11).collect()),
            Node::Unseen,
            Node::Any,
            Node::Nothing,
            Node::Option(5),
            Node::Seq(6),
            Node::Map(7, 8),
            Node::Array(u32::MAX, 9),
            Node::Struct(Struct {
                name: "Struct".into(),
                closed: true,
                fields: vec![
                    field("a", Kind::Alias(1)),
                    field("b", Kind::Optional),
                    field("c", Kind::Required),
                ],
            }),
            Node::Enum(Enum {
                name: "Enum".into(),
                aliases: 1,
                variants: vec![("A".into(), 140), ("ß".into(), 3)],
            }),
        ];
        nodes.extend(std::iter::repeat_n(Node::Seq(0), 130));
        nodes.extend(Leaf::ALL.map(Node::Leaf));
        nodes
    }

    #[test]
    fn reads_what_it_wrote() {
        for style in [Style::Positional, Style::Named] {
            let bytes = whole(style, &some_of_each());
            assert_eq!(read(&bytes), Ok((style, some_of_each())));
        }
    }

    #[test]
    fn no_byte_may_be_missing_or_left_over() {
        let bytes = whole(Style::Named, &some_of_each());
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{end}");
        }
        assert!(read(&[bytes.as_slice(), b"\0"].concat()).is_err());
    }

    #[test]
    fn every_change_of_a_byte_is_refused_or_leads_nowhere_outside() {
        let bytes = whole(Style::Named, &some_of_each());
        for at in 0..bytes.len() {
            for to in (0..40).chain([63, 64, 127, 128, 200, 255]) {
                let mut bytes = bytes.clone();
                bytes[at] = to;
                if let Ok((style, nodes)) = read(&bytes) {
                    let within = |node: &Node| node.parts().iter().all(|id| *id < nodes.len());
                    assert!(nodes.iter().all(within));
                    assert_eq!(read(&whole(style, &nodes)), Ok((style, nodes)));
                }
            }
        }
    }

    #[test]
    fn counts_ask_for_no_memory() {
        assert!(read(b"\x01\xff\xff\xff\xff\x0f").is_err());
        assert!(read(b"\x01\x01\x06\xff\xff\xff\xff\x0f").is_err());
        assert!(read(b"\x01\x01\x06\xff\xff\xff\xff\x7f").is_err());
        assert!(read(&vec![0; LIMIT + 1]).is_err());
    }

    #[test]
    fn a_long_description_leaves_out_what_is_far() {
        let names: Vec<Name> = (0..100).map(|n| format!("field_{n}").into()).collect();
        let at = |id: Id| Struct {
            name: format!("Struct{id}").into(),
            closed: false,
            fields: names
                .iter()
                .map(|name| Field { name: name.clone(), id: (id + 1) % 100, kind: Kind::Required })
                .collect(),
        };
        let nodes: Vec<Node> = (0..100).map(|id| Node::Struct(at(id))).collect();
        let all = whole(Style::Positional, &nodes);
        assert!(all.len() > LIMIT);
        let some = within(LIMIT, Style::Positional, &nodes);
        assert!(some.len() <= LIMIT && some.len() > LIMIT - 3000, "{}", some.len());
        let (_, kept) = read(&some).unwrap();
        assert_eq!(kept[..kept.len() - 2], nodes[..kept.len() - 2]);
        assert_eq!(kept.last(), Some(&Node::Unseen));
        assert_eq!(read(&within(20, Style::Named, &nodes)), Ok((Style::Named, vec![Node::Unseen])));
        assert_eq!(within(all.len(), Style::Positional, &nodes), all);
    }

    #[test]
    fn the_hash_is_that_of_others() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
