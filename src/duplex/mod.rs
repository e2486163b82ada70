//! Two-way pipes: listeners, connections, and the halves of a connection.

mod connection;
mod half;
mod listener;

pub use connection::{ConnectOptions, Connection};
pub use half::{ConnectionHalf, ReadHalf, WriteHalf};
#[cfg(feature = "tokio")]
pub(crate) use listener::REST;
pub use listener::{Clients, Listener, ListenerOptions};
