//! Ends, channels, connections and services for tasks of tokio. Tasks and threads share everything between two waits:
//! only the waits are here.

mod carrier;
#[cfg(feature = "service")]
mod client;
mod connection;
mod end;
mod listener;
mod receiver;
mod runtime;
mod sender;
#[cfg(feature = "service")]
mod service;
#[cfg(feature = "session")]
mod session;
mod typed_connection;

/// The mode in which an operation that must wait lets other tasks run, on the runtime of tokio.
///
/// The ends and channels, listeners, connections, services and clients are the same types, with this mode in
/// their state or parameters, and their methods have the same names. Most are to be awaited. The bytes are the same
/// too: it does not matter whether the other process blocks its threads.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::{Pipe, WriteEnd};
///
/// #[derive(Serialize, Deserialize)]
/// struct Reading {
///     sensor: u32,
///     celsius: f32,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), typed_pipe::Error> {
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
///
/// // The other process, which here is a task:
/// let sensor = tokio::spawn(async move {
///     let end = WriteEnd::at(path)?.into_tokio().open().await?;
///     let mut sender = end.into_sender::<Reading>();
///     sender.send(&Reading { sensor: 1, celsius: 20.5 }).await
/// });
///
/// let end = pipe.into_reader().into_tokio().open().await?;
/// let mut receiver = end.into_receiver::<Reading>();
/// let Reading { sensor: number, celsius } = receiver.recv().await?;
/// println!("{number}: {celsius} °C");
/// # sensor.await.unwrap()?;
/// # Ok(())
/// # }
/// ```
///
/// A [receiver](crate::TypedReceiver) is a [`Stream`](futures_core::Stream), a [sender](crate::TypedSender) is a
/// [`Sink`](futures_sink::Sink), and an [end](crate::End) is an [`AsyncRead`](tokio::io::AsyncRead) or an
/// [`AsyncWrite`](tokio::io::AsyncWrite). `into_tokio` and `into_blocking` change the mode of an end that is open.
///
/// # Both ways
///
/// [`Listener`](crate::Listener), [`Connection`](crate::Connection) and [`Service`](crate::Service) get the mode by
/// `into_tokio`; [`ConnectOptions`](crate::ConnectOptions) and [`ClientOptions`](crate::ClientOptions) do before they
/// connect. A connection is an [`AsyncRead`](tokio::io::AsyncRead) and an [`AsyncWrite`](tokio::io::AsyncWrite), or
/// becomes one of typed messages by [`into_typed`](crate::Connection::into_typed).
///
/// ```
/// use typed_pipe::{ConnectOptions, Listener};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), typed_pipe::Error> {
/// let listener = Listener::temporary()?.into_tokio()?;
/// let path = listener.path().clone();
///
/// // The other process, which here is a task:
/// let client = tokio::spawn(async move {
///     let connection = ConnectOptions::new().into_tokio().connect(path).await?;
///     let (mut sender, mut receiver) = connection.into_typed::<String, usize>().await?.split();
///     sender.send(&"how long is this?".into()).await?;
///     receiver.recv().await
/// });
///
/// let connection = listener.accept().await?;
/// let (mut sender, mut receiver) = connection.into_typed::<usize, String>().await?.split();
/// let question = receiver.recv().await?;
/// sender.send(&question.len()).await?;
/// assert_eq!(client.await.unwrap()?, 17);
/// # Ok(())
/// # }
/// ```
///
/// # A future may be dropped
///
/// Dropping a future of a channel, at any time, loses no message and tears none. The part of a message that has arrived
/// stays in the receiver, and the unsent rest of one in the sender: the next call goes on with it. So each future may
/// stand in `tokio::select!` and in `tokio::time::timeout`.
///
/// The future that [opens](crate::End::open) an end owns it: dropping the future drops the end, and the pipe that it
/// holds. Against that, use an end that borrows its pipe, from [`Pipe::reader`](crate::Pipe::reader) or
/// [`writer`](crate::Pipe::writer), or `open_timeout`, which gives back the closed end.
///
/// A future that [finishes](crate::TypedSender::finish) a sender or a connection owns it as well, and drops it when
/// dropped: flush before, or use `finish_timeout`, which gives it back.
///
/// A dropped future of [`accept`](crate::Listener::accept) loses no client, and one of a
/// [`call`](crate::Client::call) no answer of another call. A call whose future is kept and not polled, as after a
/// `tokio::select!` of `&mut call`, blocks no other.
/// # Timeouts and cancellation
///
/// A wait ends by the same means as in threads: [`recv_timeout`](crate::TypedReceiver::recv_timeout) and the like, by
/// tokio's clock, and the [`CancelToken`](crate::CancelToken) of the end. [`try_recv`](crate::TypedReceiver::try_recv)
/// and the like do not wait, and are no futures. Use `tokio::time::timeout` and `tokio::select!` for everything else.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::{ErrorKind, Pipe, TypedSender};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), typed_pipe::Error> {
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let mut receiver = pipe.into_reader().into_tokio().open().await?.into_receiver::<u32>();
/// let mut sender = TypedSender::<u32>::connect(path)?; // the other process
/// let late = receiver.recv_timeout(Duration::from_millis(10)).await.unwrap_err(); // nothing comes
/// assert_eq!(late.kind(), ErrorKind::TimedOut);
/// sender.send(&7)?;
/// assert_eq!(receiver.try_recv()?, 7); // without waiting
/// # Ok(())
/// # }
/// ```
///
/// # Differences from the mode that blocks
///
/// [`open_with`](crate::End::open_with), [`wait_for_peer`](crate::End::wait_for_peer) and
/// [`accept_with`](crate::Listener::accept_with) watch a child of `std::process`. For a `tokio::process::Child`, use
/// `tokio::select!` of `open`, `accept` or the first read, and of the `wait` of the child.
///
/// [`send_bytes`](crate::TypedSender::send_bytes) and [`loan`](crate::TypedSender::loan) copy the bytes into the sender,
/// since a dropped future must not keep the caller's bytes.
///
/// # Mixing modes does not compile
///
/// An end of one mode has no methods of the other: no operation blocks a thread of the runtime by mistake.
///
/// ```compile_fail,E0271
/// # use typed_pipe::{ReadEnd, Tokio, TypedReceiver, state::Open};
/// fn all(receiver: TypedReceiver<u32, ReadEnd<Open<Tokio>>>) {
///     for number in receiver {} // an iterator would block
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use typed_pipe::{ReadEnd, Tokio, TypedReceiver, state::Open};
/// # use std::time::Duration;
/// fn one(receiver: &mut TypedReceiver<u32, ReadEnd<Open<Tokio>>>) -> Result<u32, typed_pipe::Error> {
///     receiver.recv_timeout(Duration::from_secs(1)) // a future, which must be awaited
/// }
/// ```
///
/// # The runtime
///
/// An end belongs to the runtime in which it was opened, or got its mode. That runtime must have its drivers for I/O
/// and for time, as from `Runtime::new`, `#[tokio::main]` and
/// [`Builder::enable_all`](tokio::runtime::Builder::enable_all); if one of them is missing, tokio panics. No operation
/// runs on its threads for blocking work: dropping the runtime during a wait returns at once.
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// The runtime polls a copy of each end's descriptor. An end that waits to open retries every 1 to 20 milliseconds; one
/// that waits for its first writer checks once a second whether its pipe still has a name. One that waits to write to a
/// connection checks every 20 milliseconds whether the peer still reads.
///
/// ## macOS
///
/// The runtime gets no event when the last writer hangs up. A waiting reader checks for that every 20 milliseconds.
///
/// ## Windows
///
/// Threads of this crate wake the tasks: one for every 63 ends, halves and listeners, which ends a second after the last
/// of them. An end that a task has read from reads ahead, up to 64 KiB: threads that use the end later get these bytes,
/// but a program that gets its handle does not. A task writes in pieces no longer than the pipe's buffer: pieces of
/// longer messages of several writers can mix, unless the wire is [`MultiWriter`](crate::wire::MultiWriter). An end
/// that waits to read from a connection checks every 50 milliseconds whether the peer is gone.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[doc(alias("async", "await", "future"))]
pub enum Tokio {}
