//! Two-way pipes: listeners, connections, and the halves of a connection.

mod half;
mod listener;
mod over;
mod stream;

pub use half::{ConnectionHalf, ReadHalf, WriteHalf};
#[cfg(any(feature = "fanout", feature = "tokio"))]
pub(crate) use listener::REST;
pub use listener::{Listener, ListenerOptions};
pub use over::Transport;
pub use stream::{ConnectOptions, Connection};
