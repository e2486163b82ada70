//! Typed messages both ways: an agreement first, then a sender and a receiver.

mod agreement;
mod connection;
mod handshake;
mod message;

pub use agreement::Agreement;
#[cfg(feature = "tokio")]
pub(crate) use agreement::Patience;
pub use connection::{ReceivingHalf, SendingHalf, TypedConnection};
#[cfg(feature = "tokio")]
pub(crate) use handshake::{Handshake, HandshakeDone};
pub use message::{Inbound, Outbound};
