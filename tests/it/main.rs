//! What the crate promises, as its users see it.

mod channels;
mod dialog;
mod duplex;
mod ends;
mod handles;
mod hostile;
mod lifecycle;
mod node;
mod peer;
mod processes;
mod roles;
mod shared;
#[cfg(unix)]
mod sockets;
mod support;
mod waiting;
