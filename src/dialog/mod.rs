//! Typed messages both ways: an agreement first, then a sender and a receiver.

mod agreement;
mod connection;

pub use agreement::{Agreement, Inbound, Outbound};
pub use connection::{ReceivingHalf, SendingHalf, TypedConnection};
