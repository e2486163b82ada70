//! One message, between its bytes and JSON.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use typed_pipe::CodecError;
use typed_pipe::wire::shape::{Shape, Style};
use typed_pipe::wire::{self, Bincode, Json, Postcard};

use crate::args::Codec;
use crate::failure::Failure;

static BINCODE: Bincode = Bincode::new();

/// A codec by its name. What is text or bytes goes by the bytes of a message, past the codec.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Any(pub(crate) Codec);

impl wire::Codec for Any {
    fn name(&self) -> &str {
        match self.0 {
            Codec::Postcard => Postcard.name(),
            Codec::Bincode => BINCODE.name(),
            Codec::Json => Json.name(),
            Codec::Text => "plain",
            // Whatever the writer calls it.
            Codec::Bytes => "",
        }
    }

    fn style(&self) -> Option<Style> {
        match self.0 {
            Codec::Postcard => Postcard.style(),
            Codec::Bincode => BINCODE.style(),
            Codec::Json => Json.style(),
            Codec::Text | Codec::Bytes => None,
        }
    }

    fn encode<T: Serialize + ?Sized>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        match self.0 {
            Codec::Bincode => BINCODE.encode(value, out),
            Codec::Json => Json.encode(value, out),
            _ => Postcard.encode(value, out),
        }
    }

    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
        match self.0 {
            Codec::Bincode => BINCODE.decode(bytes),
            Codec::Json => Json.decode(bytes),
            _ => Postcard.decode(bytes),
        }
    }
}

impl Any {
    /// The codec of a name that a peer has said.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Codec::Postcard, Codec::Bincode, Codec::Json, Codec::Text]
            .map(Self)
            .into_iter()
            .find(|codec| wire::Codec::name(codec) == name)
    }

    /// The JSON of a message.
    pub(crate) fn read(self, shape: Option<&Shape>, bytes: &[u8]) -> Result<Value, String> {
        match (self.0, shape) {
            (Codec::Text, _) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(text.into()),
                Err(_) => Err("it is no UTF-8: try `--codec bytes`".to_owned()),
            },
            (Codec::Bytes, _) => Ok(hex(bytes).into()),
            (Codec::Json, _) => {
                wire::Codec::decode(&Json, bytes).map_err(|error| error.to_string())
            }
            (_, Some(shape)) => shape.decode_json(&self, bytes).map_err(|error| error.to_string()),
            (_, None) => Err(UNTOLD.to_owned()),
        }
    }

    /// The bytes of a message.
    pub(crate) fn write(self, shape: Option<&Shape>, value: &Value) -> Result<Vec<u8>, String> {
        match (self.0, shape, value) {
            (Codec::Text, _, Value::String(text)) => Ok(text.as_bytes().to_vec()),
            (Codec::Text, ..) => Err("a string is expected".to_owned()),
            (Codec::Bytes, _, Value::String(digits)) => unhex(digits),
            (Codec::Bytes, ..) => Err("a string of hexadecimal digits is expected".to_owned()),
            (_, Some(shape), _) => {
                shape.encode_json(&self, value).map_err(|error| error.to_string())
            }
            (Codec::Json, None, _) => Ok(value.to_string().into_bytes()),
            (_, None, _) => Err(UNTOLD.to_owned()),
        }
    }
}

/// What to do if nothing is known of the messages.
pub(crate) const UNTOLD: &str =
    "what the messages look like is not told: give `--shape FILE`, or another `--codec`";

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    let wrong = || "these are no hexadecimal digits of whole bytes".to_owned();
    let digit =
        |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(wrong)
}

/// The shape in a file.
pub(crate) fn load(path: Option<&Path>) -> Result<Option<Shape>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let bytes = fs::read(path).map_err(Failure::file(path))?;
    match Shape::from_description(&bytes) {
        Ok(shape) => Ok(Some(shape)),
        Err(_) => Err(Failure::Words(format!("{}: no file of `--save-shape`", path.display()))),
    }
}

pub(crate) fn save(shape: &Shape, path: &Path) -> Result<(), Failure> {
    fs::write(path, shape.description()).map_err(Failure::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_digits_and_back() {
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
        assert_eq!(unhex("00fF10").unwrap(), [0, 255, 16]);
        for wrong in ["0", "0g", "é", "+1"] {
            unhex(wrong).unwrap_err();
        }
    }
}
