//! Shapes: whether two types fit, found out without a second process.

mod attributes;
mod costs;
#[cfg(feature = "json")]
mod dynamic;
mod hostile;
mod matrix;
mod page;
mod random;
mod types;
mod values;
mod words;

use serde::de::DeserializeOwned;
use typed_pipe::wire::shape::{Shape, Style};

/// Where a reader of `R` would misread what a writer of `W` writes, in the words of the writer.
fn parts<W: DeserializeOwned, R: DeserializeOwned>(style: Style) -> Option<String> {
    let differs = Shape::of::<W>(style).read_by(&Shape::of::<R>(style));
    let words = differs.err()?.to_sender();
    Some(words.strip_prefix("what this side sends: ").unwrap().to_owned())
}

fn positional<W: DeserializeOwned, R: DeserializeOwned>() -> Option<String> {
    parts::<W, R>(Style::Positional)
}

fn named<W: DeserializeOwned, R: DeserializeOwned>() -> Option<String> {
    parts::<W, R>(Style::Named)
}
