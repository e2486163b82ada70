//! What the two sides of a connection of calls agree upon.

use super::encoding::Binary;
use super::framed::Framed;
use super::link::Parts;
use crate::connection::Connection;
use crate::error::{Disagreement, Error, Operation};
use crate::state::{Blocking, Mode};
use crate::sys::WaitLimit;
use crate::typed_connection::{Handshake, HandshakeDone, Tag, shake_hands};
use crate::wire::shape::{Shape, Style};
use crate::wire::{Codec, Framing, Wire};

/// The version of the frames of calls.
const VERSION: u8 = 1;

/// How many calls of the other side this one takes at once.
const CALLS_AT_ONCE: u16 = 1024;

/// The handshake of a connection of calls.
pub(super) fn handshake<F, C>(wire: Wire<F, C>) -> Handshake<F, C, Blocking>
where
    F: Framing + Clone,
    C: Codec + Clone,
{
    let [high, low] = CALLS_AT_ONCE.to_be_bytes();
    Handshake::new().with_wire(wire).with_part(Tag::Calls, vec![VERSION, high, low])
}

/// Performs the handshake of a side that reads such values.
pub(crate) async fn agreed<F, C, M>(
    handshake: Handshake<F, C, M>,
    connection: Connection<M>,
    reads: fn(Style) -> Shape,
) -> Result<Parts<M>, Error>
where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
    M: Mode,
{
    let until = handshake.time_limit().until::<M>();
    let (handshake, done) = shaken(handshake, connection, reads, until).await?;
    let (state, reader, writer) = done;
    let (encoder, decoder, limit, reads) =
        handshake.conclude_bytes(&state).map_err(|error| error.at(reader.shared_path()))?;
    let theirs = state.theirs(Tag::Calls).unwrap_or_default();
    let permits = match theirs.as_slice() {
        [VERSION, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        theirs => {
            let theirs = theirs.first().copied().unwrap_or_default();
            let what = Disagreement::Calls { ours: VERSION, theirs };
            return Err(Error::new(Operation::Agree, what).at(reader.shared_path()));
        }
    };
    let peer = writer.peer().ok();
    Ok(Parts {
        peer,
        reads,
        reader,
        incoming: Box::new(Framed::new(decoder, Binary)),
        writer,
        outgoing: Box::new(Framed::new(encoder, Binary)),
        limit,
        most_mine: permits,
        most_theirs: usize::from(CALLS_AT_ONCE),
    })
}

/// Exchanges the terms, and goes on through shared memory if both sides offer it.
#[cfg(feature = "shared-memory")]
async fn shaken<F: Framing + Clone, C: Codec + Clone, M: Mode>(
    mut handshake: Handshake<F, C, M>,
    mut connection: Connection<M>,
    reads: fn(Style) -> Shape,
    until: WaitLimit,
) -> Result<(Handshake<F, C, M>, HandshakeDone<M>), Error> {
    handshake.offer_memory(&mut connection)?;
    let mut done = shake_hands(connection, handshake.begin_reading(reads), until).await?;
    handshake.share_memory(&mut done, false, until).await?;
    Ok((handshake, done))
}

/// Exchanges the terms.
#[cfg(not(feature = "shared-memory"))]
async fn shaken<F: Framing + Clone, C: Codec + Clone, M: Mode>(
    handshake: Handshake<F, C, M>,
    connection: Connection<M>,
    reads: fn(Style) -> Shape,
    until: WaitLimit,
) -> Result<(Handshake<F, C, M>, HandshakeDone<M>), Error> {
    let done = shake_hands(connection, handshake.begin_reading(reads), until).await?;
    Ok((handshake, done))
}

/// The identifiers of what a client and a service of this name send.
pub(super) fn identifiers(name: &str) -> (String, String) {
    if name.is_empty() {
        return Default::default();
    }
    (format!("calls of {name}"), format!("answers of {name}"))
}
