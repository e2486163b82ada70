//! What the targets have in common: every wire by its number, and bytes that arrive in pieces.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use typed_pipe::wire::foreign::{
    Base64Datagrams, Base64Lines, ConcatenatedJson, ContentLength, Lines, Npipes,
};
use typed_pipe::wire::{
    Bincode, Checked, Codec, Decoder, DepthLimit, Framing, Json, LengthPrefixed, MultiWriter,
    Plain, Postcard, Wire,
};

/// Something that is done on any wire.
pub trait OnWire {
    fn run<F: Framing + Clone, C: Codec + Clone>(self, wire: Wire<F, C>);
}

/// Does it on the wire of this number: each framing with each codec has some.
pub fn on_wire(number: u8, limit: u32, it: impl OnWire) {
    if number >= 248 {
        return on_codec(number - 248, ContentLength::default().limit(limit), it);
    }
    if number >= 240 {
        return on_codec(number - 240, ConcatenatedJson::default().limit(limit), it);
    }
    match number % 10 {
        0 => on_codec(number / 10, LengthPrefixed::default().limit(limit), it),
        1 => on_codec(number / 10, Checked::default().limit(limit), it),
        2 => on_codec(number / 10, Npipes::default().limit(limit), it),
        3 => on_codec(number / 10, Npipes::default().without_crc().limit(limit), it),
        4 => on_codec(number / 10, Lines::default().limit(limit), it),
        5 => {
            let strict = Lines::default().skip_blank().require_last_feed().limit(limit);
            on_codec(number / 10, strict, it)
        }
        6 => on_codec(number / 10, Base64Lines::default().limit(limit), it),
        7 => on_codec(number / 10, Base64Datagrams::default().limit(limit), it),
        8 => on_codec(number / 10, MultiWriter::default().limit(limit), it),
        _ => {
            let small = MultiWriter::default().limit(limit).total_limit(600).stall_limit(2000);
            on_codec(number / 10, small, it);
        }
    }
}

fn on_codec<F: Framing + Clone>(number: u8, framing: F, it: impl OnWire) {
    match number % 6 {
        0 => it.run(Wire::new(framing, Postcard)),
        1 => it.run(Wire::new(framing, DepthLimit::new(Postcard).levels::<20>())),
        2 => it.run(Wire::new(framing, Bincode::new().limit::<{ 1 << 20 }>())),
        3 => it.run(Wire::new(framing, DepthLimit::new(Bincode::new()).levels::<20>())),
        4 => it.run(Wire::new(framing, Json)),
        _ => it.run(Wire::new(framing, Plain)),
    }
}

/// A value with something of everything that serde knows.
#[derive(arbitrary::Arbitrary, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Nothing,
    Number(u64, i32, bool),
    Text(String),
    Bytes(Vec<u8>),
    Fields { name: Option<String>, letter: char, long: Vec<(u16, i8)>, wide: i128 },
}

/// A value that may go deep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Tree {
    Leaf,
    Branch(Box<Tree>, Vec<Tree>),
}

/// Lets bytes arrive, all of them.
pub fn arrive<F, C>(decoder: &mut Decoder<F, C>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let spare = decoder.spare();
        let n = spare.len().min(bytes.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        decoder.filled(n);
        bytes = &bytes[n..];
    }
}

/// What a decoder made of one step, in words.
pub fn in_words<T: Debug>(value: Result<T, typed_pipe::Error>) -> String {
    match value {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}
