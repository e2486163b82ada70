//! What another process says of its types: refused, or a shape with which nothing can go wrong.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::{Shape, Style, ValueCheck};
use typed_pipe::wire::{Bincode, Json, Postcard};
use typed_pipe_fuzz::{Tree, Value};

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is asked for")]
struct Ours {
    by_name: HashMap<String, Result<Vec<Option<(u8, Tree)>>, Value>>,
    #[serde(alias = "other", default)]
    list: Vec<u8>,
}

#[derive(Serialize)]
struct Sent<'a> {
    by_name: [(&'a str, Value); 1],
    list: &'a [u8],
}

/// The first two bytes say how many of the next ones are the description; the rest is a message.
fn shapes(data: &[u8]) {
    let [low, high, data @ ..] = data else { return };
    let len = usize::from(u16::from_le_bytes([*low, *high]));
    let (description, message) = data.split_at(data.len().min(len));
    let Ok(theirs) = Shape::from_description(description) else { return };
    let again = Shape::from_description(theirs.description()).expect("what was written is read");
    assert_eq!(theirs.fingerprint(), again.fingerprint());
    for style in [Style::Positional, Style::Named] {
        let ours = Shape::of::<Ours>(style);
        let _ = (ours.read_by(&theirs), theirs.read_by(&ours), theirs.read_by(&again));
    }
    assert!(theirs.to_string().len() < 1 << 20);
    let mut check = ValueCheck::new(&theirs);
    let _ = check.check(&Sent { by_name: [("a", Value::Nothing)], list: message });
    let _ = check.check(&Tree::Branch(Box::new(Tree::Leaf), vec![Tree::Leaf]));
    let _ = check.check(message);
    let _ = theirs.json_schema();
    // What is read by a shape can be written by it, and is then read as the same.
    if let Ok(value) = theirs.decode_json(&Postcard, message) {
        if let Ok(bytes) = theirs.encode_json(&Postcard, &value) {
            let read = theirs.decode_json(&Postcard, &bytes).expect("what was written is read");
            assert_eq!(read, value);
        }
    }
    let _ = theirs.decode_json(&Bincode::new().limit::<{ 1 << 20 }>(), message);
    if let Ok(value) = theirs.decode_json(&Json, message) {
        let _ = theirs.encode_json(&Json, &value);
    }
    if let Ok(value) = serde_json::from_slice(message) {
        let _ = (theirs.encode_json(&Postcard, &value), theirs.encode_json(&Json, &value));
    }
}

fuzz_target!(|data: &[u8]| shapes(data));
