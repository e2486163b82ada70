//! Makes both halves of a connection.

use std::io;
use std::os::windows::io::OwnedHandle;
use std::path::Path;
use std::sync::Arc;

use super::connection::Connection;
use super::event::Event;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use crate::sys::Wait;

/// The halves of a connection, each with the event of its operations.
pub(super) fn halves(connection: Connection, events: [Event; 2]) -> (Incoming, Outgoing) {
    let connection = Arc::new(connection);
    let [read, written] = events.map(Arc::new);
    (Incoming::new(Arc::clone(&connection), read), Outgoing::new(connection, written))
}

/// Connects to a pipe as its client.
pub(super) fn open(
    path: &Path,
    any_owner: bool,
    wait: Wait<'_>,
) -> io::Result<(Incoming, Outgoing)> {
    let connection = Connection::open(path, any_owner, wait)?;
    Ok(halves(connection, events()?))
}

/// Adopts a handle.
pub(super) fn adopt(handle: OwnedHandle) -> Result<(Incoming, Outgoing), (OwnedHandle, io::Error)> {
    match events() {
        Ok(events) => Ok(halves(Connection::adopt(handle)?, events)),
        Err(error) => Err((handle, error)),
    }
}

/// The events of the operations of the two halves.
pub(super) fn events() -> io::Result<[Event; 2]> {
    Ok([Event::automatic()?, Event::automatic()?])
}
