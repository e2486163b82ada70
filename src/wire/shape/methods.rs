//! The variants of an enum as methods.

use std::collections::HashMap;

use super::Shape;
use super::graph::{Field, Id, Kind, Leaf, Node, Struct};

/// What the methods take, by their names.
pub(crate) type Methods = HashMap<String, Contents>;

/// The methods whose answer is a `Result`, and what its error is.
pub(crate) type Results = HashMap<String, Fault>;

/// The error of a `Result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Text,
    /// It has a `code` and a `message`, perhaps `data`, and nothing else.
    Coded(Data),
    Other,
}

/// What there is where no `data` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Nothing,
    Null,
    /// No such error.
    Missing,
}

/// The contents of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Nothing,
    /// Fields with names.
    Fields,
    Tuple,
    /// One value.
    One(Form),
    /// One field, called `params`, with such a value.
    Params(Form),
}

/// What a value is in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Neither an object nor a list.
    Plain,
    Object,
    ObjectOrNone,
    /// A list, or whatever.
    Other,
}

impl Shape {
    /// The variants of this enum, or of the one in the first option of this pair.
    pub(crate) fn methods(&self) -> Methods {
        let nodes = self.nodes();
        let mut at = 0;
        // One that holds itself ends, too.
        for _ in 0..nodes.len() {
            at = match nodes.get(at) {
                Some(Node::Tuple(ids)) => ids.first().copied().unwrap_or(nodes.len()),
                Some(Node::Option(id)) => *id,
                Some(Node::Enum(of)) => {
                    let contents = |id: &Id| contents(nodes, *id);
                    let variants = of.variants.iter();
                    return variants.map(|(name, id)| (name.to_string(), contents(id))).collect();
                }
                _ => break,
            };
        }
        Methods::new()
    }

    /// Of the variants of this enum, or of the one in the second option of this pair, those that hold a `Result`.
    pub(crate) fn results(&self, of_pair: bool) -> Results {
        let nodes = self.nodes();
        let answers = match nodes.first() {
            Some(Node::Tuple(ids)) if of_pair => match ids.get(1).and_then(|id| nodes.get(*id)) {
                Some(Node::Option(id)) => nodes.get(*id),
                _ => None,
            },
            first => first.filter(|_| !of_pair),
        };
        let Some(Node::Enum(answers)) = answers else { return Results::new() };
        let variants = answers.variants.iter();
        variants.filter_map(|(name, id)| Some((name.to_string(), fault(nodes, *id)?))).collect()
    }
}

/// The error of a `Result`; `None` for what is none.
fn fault(nodes: &[Node], id: Id) -> Option<Fault> {
    let Some(Node::Enum(of)) = nodes.get(id) else { return None };
    let [(ok, value), (err, error)] = of.variants.as_slice() else { return None };
    // A variant without contents is a text in JSON.
    let is_empty = |id: &Id| matches!(nodes.get(*id), Some(Node::Nothing));
    if (&**ok, &**err) != ("Ok", "Err") || is_empty(value) || is_empty(error) {
        return None;
    }
    Some(match nodes.get(*error) {
        Some(Node::Leaf(Leaf::Text)) => Fault::Text,
        Some(Node::Struct(of)) => data(nodes, of).map_or(Fault::Other, Fault::Coded),
        _ => Fault::Other,
    })
}

/// What stands for the `data` of an error with a code; `None` for what is none, or has more.
fn data(nodes: &[Node], error: &Struct) -> Option<Data> {
    let leaf = |name| match nodes.get(error.read(name)?.id) {
        Some(Node::Leaf(leaf)) => Some(*leaf),
        _ => None,
    };
    // Whatever it is, it has to fit into the code of JSON-RPC.
    let code = matches!(
        leaf("code")?,
        Leaf::I8 | Leaf::I16 | Leaf::I32 | Leaf::I64 | Leaf::U8 | Leaf::U16 | Leaf::U32
    );
    let mut fields = error.fields.iter().filter(|field| !matches!(field.kind, Kind::Alias(_)));
    let known = fields.all(|field| matches!(&*field.name, "code" | "message" | "data"));
    if !code || leaf("message")? != Leaf::Text || !known {
        return None;
    }
    Some(match error.read("data") {
        Some(Field { kind: Kind::Required, id, .. }) => match nodes.get(*id) {
            Some(Node::Any | Node::Leaf(Leaf::Unit)) => Data::Null,
            _ => Data::Missing,
        },
        _ => Data::Nothing,
    })
}

fn contents(nodes: &[Node], id: Id) -> Contents {
    match nodes.get(id) {
        Some(Node::Nothing) => Contents::Nothing,
        Some(Node::Tuple(_) | Node::Array(..)) => Contents::Tuple,
        Some(Node::Struct(of)) => {
            let fields = || of.fields.iter().filter(|field| !matches!(field.kind, Kind::Alias(_)));
            match fields().next() {
                Some(field) if field.name == "params" && fields().count() == 1 => {
                    Contents::Params(form(nodes, field.id))
                }
                _ => Contents::Fields,
            }
        }
        _ => Contents::One(form(nodes, id)),
    }
}

fn form(nodes: &[Node], mut id: Id) -> Form {
    let mut object = Form::Object;
    for _ in 0..nodes.len() {
        match nodes.get(id) {
            Some(Node::Option(of)) => (id, object) = (*of, Form::ObjectOrNone),
            // JSON has no bytes: they are a list of numbers.
            Some(Node::Leaf(leaf)) if *leaf != Leaf::Bytes => return Form::Plain,
            Some(Node::Struct(_) | Node::Map(..) | Node::Enum(_)) => return object,
            _ => break,
        }
    }
    Form::Other
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::wire::shape::Style;

    #[derive(Serialize, Deserialize)]
    struct Point {
        x: u8,
        y: u8,
    }

    #[derive(Serialize, Deserialize)]
    enum Call {
        Reset,
        Empty {},
        Add {
            by: u64,
            times: u8,
        },
        Move(Point),
        #[serde(rename = "point/open")]
        Open {
            params: Point,
        },
        Number {
            params: Option<u64>,
        },
        Pair(u8, String),
        One(String),
        Many(Vec<u8>),
        Maybe(Option<Point>),
        Bytes(serde_bytes::ByteBuf),
    }

    /// It holds no enum, however far one looks.
    #[derive(Serialize, Deserialize)]
    struct Nest(Option<Box<Self>>);

    #[derive(Serialize, Deserialize)]
    struct Coded {
        code: i32,
        message: String,
        data: Option<Point>,
    }

    /// An error, with the code and the data of some types.
    #[derive(Serialize, Deserialize)]
    struct Of<C, D> {
        code: C,
        message: String,
        data: D,
    }

    #[derive(Serialize, Deserialize)]
    struct Longer {
        code: i32,
        message: String,
        path: String,
    }

    #[derive(Serialize, Deserialize)]
    enum Verdict {
        Ok,
        Err,
    }

    #[derive(Serialize, Deserialize)]
    enum Answer {
        Reset(Result<(), String>),
        #[serde(rename = "point/open")]
        Open(Result<Point, Coded>),
        Move(Result<u8, Point>),
        Any(Result<u8, Of<i64, serde_json::Value>>),
        Needed(Result<u8, Of<u32, Point>>),
        Word(Result<u8, Of<String, ()>>),
        Wide(Result<u8, Of<u64, ()>>),
        Longer(Result<u8, Longer>),
        Verdict(Verdict),
        Nested(Option<Result<u8, String>>),
        Plain(u8),
        Nothing,
    }

    #[test]
    fn answers_that_are_results_are_told_apart() {
        let named = [
            ("Reset", Fault::Text),
            ("point/open", Fault::Coded(Data::Nothing)),
            ("Move", Fault::Other),
            ("Any", Fault::Coded(Data::Null)),
            ("Needed", Fault::Coded(Data::Missing)),
            ("Word", Fault::Other),
            ("Wide", Fault::Other),
            ("Longer", Fault::Other),
        ];
        let want: Results = named.map(|(name, fault)| (name.to_owned(), fault)).into();
        let both = Shape::of::<(Option<Call>, Option<Answer>)>(Style::Named);
        assert_eq!(Shape::of::<Answer>(Style::Named).results(false), want);
        assert_eq!(both.results(true), want);
        for (shape, of_pair) in [(both, false), (Shape::of::<Answer>(Style::Named), true)] {
            assert_eq!(shape.results(of_pair), Results::new());
        }
        assert_eq!(Shape::of::<Result<u8, String>>(Style::Named).results(false), Results::new());
    }

    #[test]
    fn variants_are_methods() {
        let named = [
            ("Reset", Contents::Nothing),
            ("Empty", Contents::Fields),
            ("Add", Contents::Fields),
            ("Move", Contents::Fields),
            ("point/open", Contents::Params(Form::Object)),
            ("Number", Contents::Params(Form::Plain)),
            ("Pair", Contents::Tuple),
            ("One", Contents::One(Form::Plain)),
            ("Many", Contents::One(Form::Other)),
            ("Maybe", Contents::One(Form::ObjectOrNone)),
            ("Bytes", Contents::One(Form::Other)),
        ];
        let want: Methods = named.map(|(name, contents)| (name.to_owned(), contents)).into();
        assert_eq!(Shape::of::<Call>(Style::Named).methods(), want);
        assert_eq!(Shape::of::<(Option<Call>, Option<u8>)>(Style::Named).methods(), want);
        assert_eq!(Shape::of::<u8>(Style::Named).methods(), Methods::new());
        assert_eq!(Shape::of::<(Option<Nest>, u8)>(Style::Named).methods(), Methods::new());
    }
}
