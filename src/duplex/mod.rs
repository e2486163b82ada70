//! Two-way pipes: listeners, connections, and the halves of a connection.

mod connection;
mod half;
mod listener;
mod seats;

pub use connection::{ConnectOptions, Connection};
pub use half::{Half, ReadHalf, WriteHalf};
pub use listener::{Clients, Listener, ListenerOptions};

#[cfg(feature = "tokio")]
pub(crate) use seats::Seat;
