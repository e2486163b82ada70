//! Named pipes whose misuse does not compile, and typed channels over them.
//!
//! Processes on one machine exchange serde values through the pipes of the system: FIFOs on Unix, named pipes on
//! Windows; and both ways through Unix domain sockets and named pipes. The states of a pipe and of its ends are types,
//! so the compiler refuses a program that uses them in the wrong order. What can only fail at run time is an [`Error`]
//! with a [kind](ErrorKind).
//!
//! ```
//! use std::thread;
//! use serde::{Deserialize, Serialize};
//! use typed_pipe::{Pipe, TypedSender};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Job {
//!     id: u64,
//!     command: String,
//! }
//!
//! let pipe = Pipe::temporary()?; // or `Pipe::create("/run/app/jobs")?`
//! let path = pipe.path().clone(); // all that the other process needs
//!
//! // The other process, which here is a thread:
//! let sender = thread::spawn(move || {
//!     let mut sender = TypedSender::<Job>::connect(path)?;
//!     sender.send(&Job { id: 1, command: "build".into() })
//! });
//!
//! for job in pipe.receiver::<Job>()? {
//!     let Job { id, command } = job?;
//!     println!("{id}: {command}");
//! }
//! # sender.join().unwrap()?;
//! # Ok::<(), typed_pipe::Error>(())
//! ```
//!
//! # Three steps
//!
//! 1. A [`Pipe`] is a name on this machine. One process makes it, with [`Pipe::create`] or
//!    [`Pipe::temporary`], and owns it; dropping it removes the name. [`PipeOptions`] has the rest.
//! 2. An [`End`] is one side of it in one process: the owner's, from [`Pipe::into_reader`] and its like, or a client's,
//!    from a path with [`End::at`]. It is opened, then bytes go through it, and it is closed. A table there lists the
//!    kinds of ends and what each can do.
//! 3. A [`TypedSender`] or a [`TypedReceiver`] makes an open end a channel of messages of one type.
//!
//! Two-way traffic takes two steps: a [`Listener`] is the name at which clients connect; a [`Connection`] is one side
//! in one process, and becomes a [`TypedConnection`].
//!
//! # The words
//!
//! | word | means |
//! |---|---|
//! | owner, client | the process that makes a name, and one that opens it by its path |
//! | end | one side of a pipe in one process, for bytes; a connection has two halves |
//! | channel | a sender or a receiver of messages of one type |
//! | wire | how messages are bytes: a framing, which marks where one ends, and a codec, which encodes it. [The default](wire) is a length and postcard |
//! | handshake | what both sides of a connection say before the first message: wire, names, shapes |
//! | shape | [what a type looks like](wire::shape) to its codec; two programs compare theirs |
//! | goodbye | the word of a sender that has [finished](TypedSender::finish): without one, it [vanished](Hangup) |
//! | handle | an open file, socket or pipe that goes to another process beside a message |
//! | carrier | [a stream of another kind](Carrier) beneath a connection, such as TCP |
//! | mode | whether operations block their thread, or are awaited under tokio |
//!
//! # Where to go next
//!
//! In this order for a first program: [`Pipe`], [`TypedSender`], [`TypedReceiver`], [`ErrorKind`]; for both ways [`Listener`],
//! [`TypedConnection`], [`Handshake`]. Then by need:
//!
//! | Pipes, one way | see |
//! |---|---|
//! | the picture of all states, and what does not compile | [`Pipe`] |
//! | opening an end, and what it waits for | [`End::open`] |
//! | the end of the stream, and readers that outlive their writers | [`OnHangup`] |
//! | whether the last message arrived, and whether a writer finished or died | [`TypedSender::finish`], [`Hangup`] |
//! | many writers on one pipe | [`wire::MultiWriter`] |
//! | one sender and many readers | `Broadcast`, with the feature `fanout` |
//! | a sender that never blocks, and reconnects | `ReconnectingSender`, with the feature `fanout` |
//! | one value, in one call | [`send`], [`receive`] |
//! | naming the type of a channel, to keep it in a struct | [`TypedReceiver`](TypedReceiver#its-type) |
//! | names, and how two owners of one name are prevented | [`PipePath`], [`IfExists`] |
//!
//! | Both ways, and calls | see |
//! |---|---|
//! | messages both ways | [`Listener`], [`TypedConnection`], and [`Handshake`] to agree on protocol and encoding before the first one |
//! | bytes both ways, and peers that do not use this crate | [`Connection`] |
//! | requests and answers | `Service` and `Client`, and `service!` that makes both of a trait, with the feature `service` |
//! | JSON-RPC, as language servers and debuggers speak it | `Service::json_rpc`, with the features `service` and `json` |
//! | a whole conversation, of which the compiler knows both sides | `session`, with the feature of this name |
//! | the process, user and group of the peer | [`Peer`] |
//! | pipes and listeners for other users | [`Access`], [`ListenerOptions::admit`] |
//! | files, sockets and pipes beside a message | [`WithHandles`], [`Handles`] |
//!
//! | Waiting | see |
//! |---|---|
//! | deadlines | the methods that end in `_timeout`, and those that begin with `try_`, which do not wait |
//! | ending a wait from another thread, as at a Ctrl-C | [`CancelToken`] |
//! | whichever of many things comes first | `Select`, with the feature `fanout` |
//! | tasks of tokio, with the feature `tokio` | `Tokio` |
//!
//! | Large and fast | see |
//! |---|---|
//! | receiving without copying | [`Message`] |
//! | large messages of bytes | [`TypedSender::send_bytes`], [`TypedSender::loan`] |
//! | large values without a copy, messages without the kernel | `SealedBytes`, `SharedMemory`, `SharedView`, with the feature `shared-memory` |
//! | what each choice costs | [`costs`] |
//!
//! | Other programs | see |
//! |---|---|
//! | a child program and its parent, in one call | `process::spawn` and `process::parent`, and `ConnectOptions::spawn` for a plugin that is called, with the feature `process` |
//! | gzip, sort and the like as the peer | [`End::open_with`], [`End::wait_for_peer`] |
//! | lines of text | [`End::into_text`] |
//! | the formats of other programs | [`wire::foreign`] |
//! | the bytes, other framings and codecs, peers that are not trusted | [`wire`] |
//! | pipes that were inherited, the standard streams, systemd's sockets | [`Unnamed`], [`inherited_handles`] |
//! | old and new versions of a type or a program | [`when_types_change`] |
//! | coming from another library or program | [`migrating`] |
//!
//! | When it fails, and where it differs | see |
//! |---|---|
//! | errors | [`ErrorKind`], and [`TransitionError`] for a step that failed |
//! | what differs between systems | [`platforms`] |
//!
//! Differences between systems stand under a heading of their own at each item. The examples in the
//! repository are whole programs of two processes.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `fanout`: many at once: one sender and many readers (`Broadcast`), waiting for many (`Select`), and senders that
//!   reconnect by themselves (`ReconnectingSender`).
//! - `foreign`: the wires of single programs (`Base64Datagrams`, `Base64Lines`, `Npipes`), and the module `pipecom`.
//! - `process`: children that are started with a typed connection to their parent: the module `process`.
//! - `service`: requests and answers. It brings `fanout`.
//! - `session`: protocols as types.
//! - `shared-memory`: memory that both sides see, for large values (`SealedBytes`) and beneath connections
//!   (`SharedMemory`).
//! - `json`: the codec `wire::Json`.
//! - `bincode`: the codec `wire::Bincode`, for peers that speak it.
//! - `tokio`: all of it for tasks, in the mode `Tokio`.
//! - `tracing`: an event for each message that a dropped sender loses, and a span for each call: `call` at a
//!   client, `handle` around the handler of a service, with `id`, `method` (the variant, of a request that is an enum),
//!   `peer` (its process), `outcome` and `duration`.
//! - `full`: all of these.
#![warn(missing_docs)]
#![warn(
    clippy::as_conversions,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::panic_in_result_fn,
    clippy::print_stdout,
    clippy::unwrap_used
)]
#![allow(
    clippy::missing_const_for_thread_local,
    reason = "it asks for what is there, on systems that have no such storage of their own"
)]
#![doc(test(attr(deny(warnings))))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adaptive_read;
#[cfg(feature = "fanout")]
mod backlog;
#[cfg(feature = "fanout")]
mod broadcast;
mod carried;
mod channel;
mod connection;
mod end;
mod error;
#[cfg(feature = "foreign")]
mod foreign_handles;
mod handles;
mod oneshot;
mod os_handles;
mod owner_channels;
mod path;
mod permits;
mod pipe;
#[cfg(feature = "foreign")]
pub mod pipecom;
#[cfg(feature = "process")]
pub mod process;
#[cfg(feature = "fanout")]
mod reconnect;
#[cfg(feature = "shared-memory")]
mod sealed_bytes;
#[cfg(feature = "fanout")]
mod select;
#[cfg(feature = "service")]
mod service;
#[cfg(feature = "session")]
pub mod session;
mod source;
pub mod state;
mod sys;
mod text;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(feature = "tool")]
#[doc(hidden)] // For the program `tpipe` alone.
pub mod tool;
#[cfg(test)]
#[path = "../tests/toy/mod.rs"]
mod toy;
mod typed_connection;
mod wait;
mod watching;
mod whole_streams;
pub mod wire;

#[cfg(feature = "tokio")]
pub use self::tokio::Tokio;
#[cfg(feature = "fanout")]
pub use broadcast::{Broadcast, BroadcastOptions, BroadcastReader, SlowReader};
pub use carried::Carried;
#[doc(hidden)] // The docs of `Carried` list what implements them.
pub use carried::{Carry, Claim};
pub use channel::{
    Anything, Delivery, Described, Hangup, Loan, Message, Receivable, Sendable, TypedReceiver,
    TypedSender, WireOf, WithHandles, same_encoding,
};
#[doc(hidden)]
// `Sendable` and `Receivable` are what generic code asks for, unless its messages have handles.
pub use channel::{Inbound, Outbound, Telling};
#[doc(hidden)] // The docs of `Connection::over` list what implements it.
pub use connection::Transport;
pub use connection::{
    ConnectOptions, Connection, ConnectionHalf, Listener, ListenerOptions, ReadHalf, WriteHalf,
};
#[doc(hidden)] // Generic code may name what it opens; the docs of `End` need no word of it.
pub use end::Reopen;
pub use end::{End, Erased, OnHangup, PipeRef, ReadEnd, Unnamed, WriteEnd};
pub use error::{CodecError, Error, ErrorKind, FrameError, LossReason, Operation, TransitionError};
pub use handles::{FromHandle, Handles};
pub use oneshot::{receive, receive_timeout, send, send_timeout};
pub use os_handles::inherited_handles;
pub use path::PipePath;
pub use pipe::{Pipe, PipeOptions};
#[cfg(feature = "fanout")]
pub use reconnect::{ReconnectCounts, ReconnectOptions, ReconnectingSender, WhenFull};
#[cfg(feature = "shared-memory")]
pub use sealed_bytes::SealedBytes;
#[cfg(feature = "fanout")]
pub use select::{Select, SelectKey};
#[cfg(feature = "service")]
pub use service::{
    CallCounter, CallCounts, Caller, CallerItems, Calls, Client, ClientOptions, Context, Items,
    Pending, Response, Serves, Service, Serving, ShutdownReason, Summary,
};
#[cfg(feature = "service")]
#[doc(hidden)] // The code of `service!` names them.
pub use service::{IsCarried, NotCarried, Only};
pub use source::{ReadTimeout, Ret, Sink, SinkRet, Source, WriteTimeout};
#[cfg(feature = "shared-memory")]
pub use sys::SharedView;
pub use sys::{Access, Carrier, IfExists, Peer, User};
pub use typed_connection::{Handshake, Negotiated, ReceivingHalf, SendingHalf, TypedConnection};
#[cfg(feature = "shared-memory")]
pub use typed_connection::{SharedMemory, TransportKind};
pub use wait::CancelToken;
pub use whole_streams::EndLoan;

#[cfg(doc)]
#[doc = include_str!("../docs/COSTS.md")]
#[doc = ""]
#[doc = include_str!("../docs/speed.svg")]
#[doc(alias("performance", "benchmark", "overhead"))]
pub mod costs {}

#[cfg(all(doc, any(not(doctest), feature = "service")))]
#[doc = include_str!("../docs/MIGRATING.md")]
#[doc(alias("Python", "Node.js", "interprocess", "ipc-channel"))]
pub mod migrating {}

#[cfg(doc)]
#[doc = include_str!("../docs/PLATFORMS.md")]
#[doc(alias("Windows", "macOS", "FreeBSD"))]
pub mod platforms {}

#[cfg(all(doc, feature = "session", any(not(doctest), feature = "tokio")))]
#[doc = include_str!("../docs/PROTOCOLS-AS-TYPES.md")]
pub mod protocols_as_types {}

#[cfg(all(doc, feature = "shared-memory"))]
#[doc = include_str!("../docs/SHARED-MEMORY.md")]
pub mod shared_memory {}

#[cfg(doc)]
#[doc = include_str!("../docs/WHEN-TYPES-CHANGE.md")]
#[doc(alias("upgrade", "evolve", "compatibility", "version"))]
pub mod when_types_change {}

#[cfg(doc)]
#[doc = include_str!("../docs/YOUR-OWN-WIRE.md")]
pub mod your_own_wire {}

/// Tests the programs in the README, where all its features are on.
#[cfg(all(doctest, feature = "service", feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
