//! Requests and answers: services that answer, and clients that call.
//!
//! The messages, in the codec of the wire: a request is a tuple of its number (`u64`), the wanted answer (`u8`: 0 the
//! value, 1 only a confirmation) and the value; an answer is a tuple of the number of its request (`u64`), its outcome
//! (`u8`: 0 answered, 1 done, 2 failed, 3 panicked), the value if there is one (a sequence of none or one), and the
//! message of a failure (a string). Numbers are never used twice on a connection.

mod attempts;
mod channels;
mod client;
#[cfg(feature = "tokio")]
mod connecting;
#[allow(dead_code, reason = "the drivers follow")]
mod encoding;
mod given;
mod lifecycle;
mod link;
#[allow(dead_code, reason = "the drivers follow")]
mod mux;
mod options;
mod server;
#[cfg(feature = "tokio")]
mod tasks;

use crate::error::{Cause, Error, Operation};
use crate::path::PipePath;

pub use client::Client;
#[cfg(feature = "tokio")]
pub(crate) use client::SharedLink;
#[cfg(feature = "tokio")]
pub(crate) use connecting::ConnectFuture;
use given::Given;
pub use lifecycle::{ShutdownReason, Summary};
#[cfg(feature = "tokio")]
pub(crate) use link::{Link, LinkState, not_sent, outcome, unanswered};
pub use options::ClientOptions;
pub use server::{Response, Serves, Service};
#[cfg(feature = "tokio")]
pub(crate) use server::{accept, caught, serve};
#[cfg(feature = "tokio")]
pub(crate) use tasks::Tasks;

/// What a request wants.
pub(crate) const ANSWER: u8 = 0;
pub(crate) const DONE_ALONE: u8 = 1;

/// How a request went.
const ANSWERED: u8 = 0;
const DONE: u8 = 1;
const FAILED: u8 = 2;
const PANICKED: u8 = 3;

/// The number, what is wanted, and the value.
pub(crate) type Request<T> = (u64, u8, T);

/// The number, how it went, the value, and words.
pub(crate) type Answer<T> = (u64, u8, Given<T>, String);

/// The error of a service that has done what was asked, and has not answered.
pub(crate) fn no_answer(path: &PipePath) -> Error {
    Error::new(Operation::Call, Cause::Garbled).delivered().at(Some(path.shared()))
}

/// The identifiers of what a client and a service of this name send.
fn identifiers(name: &str) -> (String, String) {
    if name.is_empty() {
        return Default::default();
    }
    (format!("calls of {name}"), format!("answers of {name}"))
}
