//! interprocess: a local socket, which carries bytes; frames and codec are hand-written, as for the raw FIFO.

use std::convert::Infallible;
use std::hint::black_box;

use interprocess::local_socket::prelude::*;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Stream};

use crate::by_hand::{self, Frames};
use crate::round::{Done, Round};

/// Receives quotes: each read takes all that is in the socket.
pub(crate) fn receive(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let name = path.as_path().to_fs_name::<GenericFilePath>()?;
    let listener = ListenerOptions::new().name(name).create_sync()?;
    let mut pace = round.start(256, &[path.to_str().ok_or("the path is no text")?])?;
    let mut frames = Frames::small(listener.accept()?);
    while pace.goes_on() {
        black_box(frames.next_quote()?);
    }
    Ok(pace.rate())
}

/// One write a quote, encoded into an array on the stack.
pub(crate) fn send(told: &[String]) -> Done<Infallible> {
    let path = told.first().ok_or("no path")?.as_str();
    by_hand::send_quotes(Stream::connect(path.to_fs_name::<GenericFilePath>()?)?)
}
