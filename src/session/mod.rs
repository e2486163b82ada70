//! Protocols as types: a whole conversation over a connection, which the compiler keeps both sides to.
//!
//! A protocol is a type, made of [`Sends`], [`Receives`], [`Chooses`], [`Offers`] and [`Ends`]. That of the other side is its
//! [`Dual`], which the compiler makes. A [`Session`] stands at one place of its protocol: it has the operations of this
//! place and no other ones, and each of them returns the session at the next place. So no step is left out, taken twice or
//! taken out of order, and no two sides wait for each other.
//!
//! ```
//! use std::thread;
//!
//! use serde::{Deserialize, Serialize};
//! use typed_pipe::session::{Dual, Ends, Offers, Receives, Sends, Session};
//! use typed_pipe::{Connection, Error, choice};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Password(String);
//!
//! #[derive(Serialize, Deserialize)]
//! struct Token(u64);
//!
//! /// The client's side.
//! type Login = Sends<Password, Offers<Verdict>>;
//!
//! choice! {
//!     enum Verdict in verdict {
//!         Welcome => Receives<Token, Ends>,
//!         Again => Login,
//!         Locked => Ends,
//!     }
//! }
//!
//! fn client(mut session: Session<Login>, passwords: [&str; 3]) -> Result<Option<u64>, Error> {
//!     for password in passwords {
//!         match session.send(&Password(password.into()))?.offer()? {
//!             Verdict::Welcome(next) => {
//!                 let (Token(token), next) = next.recv()?;
//!                 next.end()?;
//!                 return Ok(Some(token));
//!             }
//!             Verdict::Again(next) => session = next,
//!             Verdict::Locked(next) => {
//!                 next.end()?;
//!                 return Ok(None);
//!             }
//!         }
//!     }
//!     Ok(None) // the session is dropped: the server learns where this client has left
//! }
//!
//! fn server(session: Session<Dual<Login>>) -> Result<(), Error> {
//!     let (Password(password), session) = session.recv()?;
//!     match password.as_str() {
//!         "secret" => session.choose(verdict::Welcome).send(&Token(7))?.end()?,
//!         _ => session.choose(verdict::Locked).end()?,
//!     };
//!     Ok(())
//! }
//!
//! let (one, other) = Connection::pair()?;
//! let serving = thread::spawn(move || server(other.into_session()?));
//! assert_eq!(client(one.into_session()?, ["secret", "", ""])?, Some(7));
//! serving.join().unwrap()?;
//! # Ok::<(), Error>(())
//! ```
//!
//! [Protocols as types](crate::protocols_as_types) leads from a login to a transfer that can be resumed.
//!
//! # Two processes
//!
//! At the beginning both sides tell the fingerprint of their protocol, with the [shapes](crate::wire::shape) of all
//! messages. If the one is the dual of the other, that is all. If not, they exchange their whole plans and compare each
//! path: a side that offers may know more branches than the other one chooses, appended, and a message may change as
//! [types may](crate::when_types_change). Anything else is a [`Mismatch`](crate::ErrorKind::Mismatch) on both sides, with
//! the place.
//!
//! # The bytes
//!
//! After the [handshake](crate::Handshake#the-bytes), whose codec is `session`, each step is a message of
//! [`LengthPrefixed`](crate::wire::LengthPrefixed) whose first byte is its kind:
//!
//! | first byte | then |
//! |---|---|
//! | 0 | a value, in [postcard](crate::wire::Postcard) |
//! | 1 | the number of a branch, as a varint |
//! | 2 | 0 where the session was dropped, 1 in a panic; then the step in which that was, as text: nothing follows |
//! | 3 | at the beginning: the fingerprint, in 8 bytes, big-endian; and after two that do not fit, the plan |
//!
//! A plan is a list of steps and a list of shapes, in postcard. A step is its kind (0 send, 1 receive, 2 choose, 3 offer, 4
//! end), the name of the message or the choice, the number of the shape, and a list of branches with the number of the
//! step that comes next; that of a message has one branch, without a name. A shape is the bytes of its
//! [description](crate::wire::shape::Shape::description), or none where it may be anything.

mod choice;
mod compare;
mod converse;
mod line;
mod plan;
mod protocol;
mod steps;

pub use converse::Conversation;
#[doc(hidden)] // for `choice!`
pub use line::Line;
#[doc(hidden)]
pub use plan::Planning;
#[doc(hidden)]
pub use protocol::step_of;
pub use protocol::{
    Branch, Choice, Chooses, Dual, Ends, Flipped, Offers, Protocol, Receives, Same, Sends,
    SessionMessage, Side,
};
pub use steps::{Done, Session};
