//! Typed messages both ways: an agreement first, then a sender and a receiver.

mod agreement;
mod connection;

pub use agreement::{Agreement, Inbound, Outbound};
#[cfg(feature = "tokio")]
pub(crate) use agreement::{Patience, Talk, Talked};
pub use connection::{ReceivingHalf, SendingHalf, TypedConnection};
