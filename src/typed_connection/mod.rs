//! Typed messages both ways: a handshake first, then a sender and a receiver.

mod connection;
mod halves;
mod handshake;
mod handshake_names;
mod handshake_parts;
mod handshake_shapes;
mod handshake_state;
mod negotiated;
#[cfg(feature = "tool")]
mod question;
#[cfg(feature = "shared-memory")]
mod shared_memory;

pub use connection::TypedConnection;
pub use halves::{ReceivingHalf, SendingHalf};
pub use handshake::Handshake;
#[cfg(feature = "service")]
pub(crate) use handshake::{MemoryOffered, answer, listen, talk};
#[allow(unused_imports, reason = "some features say more than others")]
pub(crate) use handshake_parts::{Parts, Tag};
#[cfg(feature = "service")]
pub(crate) use handshake_shapes::Roles;
#[cfg(feature = "service")]
pub(crate) use handshake_state::{HandshakeDone, HandshakeState};
pub use negotiated::Negotiated;
#[cfg(feature = "tool")]
pub use question::{Answer, Question, Said, Told};
#[cfg(feature = "shared-memory")]
pub use shared_memory::{SharedMemory, TransportKind};
