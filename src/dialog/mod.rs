//! Typed messages both ways: an agreement first, then a sender and a receiver.

mod agreement;
mod connection;
mod handshake;
mod message;

pub use agreement::Agreement;
pub use connection::{ReceivingHalf, SendingHalf, TypedConnection};
pub use message::{Inbound, Outbound};
