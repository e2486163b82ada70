//! What the two sides of a connection of calls agree upon.

use super::encoding::Binary;
use super::framed::Framed;
use super::link::{Kind, Parts, Reads};
use crate::connection::Connection;
use crate::error::{Disagreement, Error, Operation};
use crate::state::{Blocking, Mode};
use crate::typed_connection::{Handshake, Tag, shake_hands};
use crate::wire::shape::{Shape, Style};
use crate::wire::{Codec, Framing, Wire};

/// The version of the frames of calls.
const VERSION: u8 = 1;

/// How many calls of the other side this one takes at once.
const CALLS_AT_ONCE: u16 = 1024;

/// The handshake of a connection of calls.
pub(super) fn handshake<F, C>(
    wire: Wire<F, C>,
    reads: Kind,
    lets_handles_in: bool,
) -> Handshake<F, C, Blocking>
where
    F: Framing + Clone,
    C: Codec + Clone,
{
    let [high, low] = CALLS_AT_ONCE.to_be_bytes();
    Handshake::new().with_wire(wire).with_part(
        Tag::Calls,
        vec![VERSION, high, low, to_byte(reads) | if lets_handles_in { HANDLES } else { 0 }],
    )
}

/// The bit of a side that lets handles in.
const HANDLES: u8 = 4;

fn to_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Requests => 1,
        Kind::Answers => 2,
        Kind::Both => 3,
    }
}

/// What a side reads; `None` for one that says nothing that is known.
fn from_byte(byte: u8) -> Option<Kind> {
    match byte & !HANDLES {
        1 => Some(Kind::Requests),
        2 => Some(Kind::Answers),
        3 => Some(Kind::Both),
        _ => None,
    }
}

/// Performs the handshake of a side that reads such values.
pub(crate) async fn agreed<F, C, M>(
    handshake: Handshake<F, C, M>,
    mut connection: Connection<M>,
    reads: fn(Style) -> Shape,
    lets_handles_in: bool,
) -> Result<Parts<M>, Error>
where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
    M: Mode,
{
    if lets_handles_in {
        connection.reader().raw_mut().allow_handles();
    }
    let until = handshake.time_limit().until::<M>();
    let (state, reader, writer) =
        shake_hands(connection, handshake.begin_reading(reads), until).await?;
    let (encoder, decoder, limit, reads) =
        handshake.conclude_bytes(&state).map_err(|error| error.at(reader.shared_path()))?;
    let theirs = state.theirs(Tag::Calls).unwrap_or_default();
    let (permits, kind, takes_handles) = match theirs.as_slice() {
        [VERSION, high, low, rest @ ..] => {
            let kind = rest.first().and_then(|kind| from_byte(*kind));
            let handles = rest.first().is_some_and(|kind| kind & HANDLES != 0);
            (u16::from_be_bytes([*high, *low]), kind, handles)
        }
        theirs => {
            let theirs = theirs.first().copied().unwrap_or_default();
            let what = Disagreement::Calls { ours: VERSION, theirs };
            return Err(Error::new(Operation::Agree, what).at(reader.shared_path()));
        }
    };
    let peer = writer.peer().ok();
    let reads = reads.zip(kind).map(|(shape, of)| Reads { shape, of });
    Ok(Parts {
        peer,
        takes_handles: takes_handles && writer.raw().carries_handles(),
        reads,
        reader,
        incoming: Box::new(Framed::new(decoder, Binary)),
        writer,
        outgoing: Box::new(Framed::new(encoder, Binary)),
        limit,
        most_mine: usize::from(permits),
        most_theirs: usize::from(CALLS_AT_ONCE),
    })
}

/// The identifiers of what a client and a service of this name send.
pub(super) fn identifiers(name: &str) -> (String, String) {
    if name.is_empty() {
        return Default::default();
    }
    (format!("calls of {name}"), format!("answers of {name}"))
}

/// The identifier of what each side sends, where both call and both serve.
pub(super) fn of_both(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("calls and answers of {name}") }
}
