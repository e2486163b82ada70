//! A shape in words. The names in it may be another process's: what a terminal would act on is escaped, and what is long
//! is cut.

use std::fmt::Write;

use super::Style;
use super::graph::{Enum, Field, Id, Kind, Node, Struct, node, shown};

/// What a message is called in a place of it.
pub(super) fn root(nodes: &[Node], id: Id) -> String {
    match node(nodes, id) {
        Node::Struct(Struct { name, .. }) | Node::Enum(Enum { name, .. }) if !name.is_empty() => {
            shown(name)
        }
        _ => "message".to_owned(),
    }
}

/// A node in one or some words.
pub(super) fn word(nodes: &[Node], id: Id) -> String {
    word_within(nodes, id, 3)
}

fn word_within(nodes: &[Node], id: Id, depth: u8) -> String {
    let inner = |id: &Id| match depth.checked_sub(1) {
        Some(depth) => word_within(nodes, *id, depth),
        None => "…".to_owned(),
    };
    match node(nodes, id) {
        Node::Unseen | Node::Any | Node::Same(_) => "anything".to_owned(),
        Node::Nothing => "nothing".to_owned(),
        Node::Leaf(leaf) => leaf.name().to_owned(),
        Node::Option(of) => format!("option of {}", inner(of)),
        Node::Seq(of) => format!("list of {}", inner(of)),
        Node::Array(len, of) => format!("array of {len} {}", inner(of)),
        Node::Map(key, value) => format!("map of {} to {}", inner(key), inner(value)),
        Node::Tuple(parts) => format!("tuple of {}", parts.len()),
        Node::Struct(of) if of.name.is_empty() => "struct".to_owned(),
        Node::Struct(of) => format!("struct {}", shown(&of.name)),
        Node::Enum(of) if of.name.is_empty() => "enum".to_owned(),
        Node::Enum(of) => format!("enum {}", shown(&of.name)),
    }
}

/// How long a text about a shape may become: a short one may have a struct in each of its variants.
const MOST: usize = 256 << 10;

/// All of a shape: what the message is, and each struct and enum on a line of its own.
pub(super) fn all(style: Style, nodes: &[Node]) -> String {
    let mut text = String::new();
    for (id, node) in nodes.iter().enumerate() {
        let before = text.len();
        match node {
            // What has no name is what a variant holds, and told there.
            Node::Struct(of) if id == 0 || !of.name.is_empty() => {
                let _ = write!(text, "\nstruct {} {{", shown(&of.name));
                fields(nodes, of, &mut text);
                text.push_str(" }");
            }
            Node::Enum(of) => {
                let _ = write!(text, "\nenum {} {{", shown(&of.name));
                variants(nodes, style, of, &mut text);
                text.push_str(" }");
            }
            Node::Tuple(parts) if id == 0 => tuple(nodes, parts, &mut text),
            _ if id == 0 => text.push_str(&word(nodes, 0)),
            _ => {}
        }
        if before == 0 && text.starts_with('\n') {
            text.remove(0);
        }
        if text.len() > MOST {
            text.push('…');
            break;
        }
    }
    text
}

/// Joins words with commas, while there is room.
fn list<T>(all: &[T], begin: &str, text: &mut String, mut each: impl FnMut(&T, &mut String)) {
    for (number, one) in all.iter().enumerate() {
        if text.len() > MOST {
            break;
        }
        text.push_str(if number == 0 { begin } else { ", " });
        each(one, text);
    }
}

fn tuple(nodes: &[Node], parts: &[Id], text: &mut String) {
    text.push('(');
    list(parts, "", text, |part, text| text.push_str(&word(nodes, *part)));
    text.push(')');
}

fn fields(nodes: &[Node], of: &Struct, text: &mut String) {
    list(&of.fields, " ", text, |Field { name, id, kind }, text| {
        text.push_str(&shown(name));
        let _ = match kind {
            Kind::Required => write!(text, ": {}", word(nodes, *id)),
            Kind::Optional => write!(text, "?: {}", word(nodes, *id)),
            Kind::Alias(field) => {
                let name = of.fields.get(*field).map_or("", |field| &field.name);
                write!(text, " = {}", shown(name))
            }
        };
    });
}

fn variants(nodes: &[Node], style: Style, of: &Enum, text: &mut String) {
    list(&numbered(style, of), " ", text, |(number, id), text| {
        match style {
            Style::Named => text.push_str(&shown(of.names(*number).next().unwrap_or_default())),
            Style::Positional => text.push_str(&of.called(*number)),
        }
        contents(nodes, *id, text);
    });
}

/// The variants by their numbers, and what each one holds.
fn numbered(style: Style, of: &Enum) -> Vec<(usize, Id)> {
    let count = if style == Style::Named { of.variants.len() } else { of.count() };
    of.variants.iter().take(count).map(|(_, id)| *id).enumerate().collect()
}

/// What a variant holds, behind its name.
fn contents(nodes: &[Node], id: Id, text: &mut String) {
    match node(nodes, id) {
        Node::Nothing | Node::Unseen => {}
        Node::Struct(of) if of.name.is_empty() => {
            text.push_str(" {");
            fields(nodes, of, text);
            text.push_str(" }");
        }
        Node::Tuple(parts) => tuple(nodes, parts, text),
        _ => {
            let _ = write!(text, "({})", word(nodes, id));
        }
    }
}

/// The variants of the message, if it is an enum: the name of each as it is, and in words what it holds.
#[cfg(feature = "tool")]
pub(super) fn of_variants(style: Style, nodes: &[Node]) -> Option<Vec<(String, String)>> {
    let Node::Enum(of) = node(nodes, 0) else { return None };
    let mut room = MOST;
    let mut all = Vec::new();
    for (number, id) in numbered(style, of) {
        let mut text = String::new();
        if room > 0 {
            contents(nodes, id, &mut text);
        }
        room = room.saturating_sub(text.len());
        let name = of.names(number).next().unwrap_or_default();
        all.push((name.to_owned(), text.trim_start().to_owned()));
    }
    Some(all)
}
