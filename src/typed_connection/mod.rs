//! Typed messages both ways: a handshake first, then a sender and a receiver.

mod connection;
mod halves;
mod handshake;
mod handshake_names;
mod handshake_parts;
mod handshake_shapes;
mod handshake_state;
mod negotiated;
#[cfg(feature = "shared-memory")]
mod shared_memory;

pub use connection::TypedConnection;
pub use halves::{ReceivingHalf, SendingHalf};
pub use handshake::Handshake;
#[cfg(feature = "service")]
pub(crate) use handshake::shake_hands;
#[allow(unused_imports, reason = "some features say more than others")]
pub(crate) use handshake_parts::Tag;
pub use negotiated::Negotiated;
#[cfg(feature = "shared-memory")]
pub use shared_memory::{SharedMemory, TransportKind};
