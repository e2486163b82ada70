//! Threads of this crate's own.

use std::io;
use std::thread::{Builder, JoinHandle};

use crate::error::Obstacle;

/// Starts a thread. The code of the system says that it would have to wait, whatever is missing.
pub(crate) fn start_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let no_room = |_| Obstacle::ResourceExhausted("the system starts no more threads").into();
    Builder::new().name(name.into()).spawn(work).map_err(no_room)
}
