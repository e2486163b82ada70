//! Requests and answers: services that answer, and clients that call.
//!
//! The frames are those of [`encoding`]; [`mux`] says what they mean, and a driver reads and writes them: [`threads`] and
//! [`serving`] for threads, one in `tokio` for tasks.

mod agree;
mod attempts;
mod both_ways;
mod busy;
mod calls;
mod client;
mod context;
mod counts;
mod definition;
mod encoding;
mod failure;
mod feed;
mod framed;
#[cfg(feature = "json")]
mod json_rpc;
mod lead;
mod lifecycle;
mod link;
mod meeting;
mod mux;
mod options;
mod panics;
mod pending;
mod pool;
mod server;
mod serving;
mod silent;
mod spans;
#[cfg(feature = "tokio")]
mod tasks;
mod threads;
#[cfg(feature = "tool")]
mod untyped;
mod waiting;
mod watch;

/// As `loom/` puts its own in the place of it.
use std::sync::atomic;

pub use both_ways::Serving;
pub use calls::Calls;
pub use client::Client;
pub use context::{Caller, CallerItems, Context};
pub use counts::{CallCounter, CallCounts};
#[doc(hidden)]
pub use definition::{IsCarried, NotCarried};
pub use lifecycle::{ShutdownReason, Summary};
pub use options::ClientOptions;
pub use pending::{Items, Only, Pending};
pub use server::{Response, Serves, Service};
#[cfg(feature = "tool")]
pub use untyped::{AskedService, Came, UntypedCall, UntypedClient};

#[cfg(feature = "tokio")]
mod for_tasks {
    pub(crate) use super::agree::Types;
    pub(crate) use super::calls::{Target, half::Calls as CallsHalf, still_connecting};
    pub(crate) use super::context::ReadsItems;
    pub(crate) use super::failure::Failure;
    pub(crate) use super::lifecycle::Lifecycle;
    pub(crate) use super::link::{Job, Kind, Link, Listening, Request, State as LinkState};
    pub(crate) use super::panics::{contain, panicked};
    pub(crate) use super::server::{Clients, Handles, Opened, answered, decoded, span_of};
    pub(crate) use super::spans::CallSpan;
    pub(crate) use super::tasks::{Drive, Serve, Start};
    pub(crate) use super::waiting::{Handling, Outcome, Reply, Waiter};
}
#[cfg(feature = "tokio")]
pub(crate) use for_tasks::*;
