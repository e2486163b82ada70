//! Nothing is borrowed from a codec that does not say that its texts lie in the message as they are.

use serde::{Deserialize, Serialize};
use typed_pipe::wire::{Codec, Wire};
use typed_pipe::{CodecError, TypedReceiver};

/// Texts with escapes in them, as in JSON.
struct Escaping;

impl Codec for Escaping {
    fn name(&self) -> &str {
        "escaping"
    }

    fn encode<T: Serialize + ?Sized>(&self, _: &T, _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode<'de, T: Deserialize<'de>>(&self, _: &'de [u8]) -> Result<T, CodecError> {
        Err(CodecError::format("it is an example"))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wire = Wire::default().with_codec(Escaping);
    let mut lines = TypedReceiver::<String, _, _, _>::with_wire(std::io::stdin(), wire);
    println!("{}", lines.recv()?);
    println!("{}", lines.recv_ref()?);
    Ok(())
}
