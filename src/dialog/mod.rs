//! Typed messages both ways: an agreement first, then a sender and a receiver.

mod agreement;
mod connection;
mod halves;
mod handshake;
mod message;

pub use agreement::Agreement;
#[cfg(all(feature = "service", feature = "tokio"))]
pub(crate) use agreement::shake_hands;
pub use connection::TypedConnection;
pub use halves::{ReceivingHalf, SendingHalf};
#[cfg(all(feature = "service", feature = "tokio"))]
pub(crate) use handshake::HandshakeDone;
pub use message::{Inbound, Outbound};
