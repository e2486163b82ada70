//! One value, in one call.

use std::path::Path;
use std::time::Duration;

use crate::channel::{Delivery, Described, Receivable, Sendable, TypedReceiver, TypedSender};
use crate::end::{OnHangup, ReadEnd, WriteEnd};
use crate::error::{Error, Operation};
use crate::pipe::Pipe;
use crate::state::{Allocated, Open, complete};

use crate::wait::within;
use crate::wire::{Checked, Framing, Postcard, Wire};

/// Sends one value to the pipe at a path, as a client, and finishes the stream.
///
/// It waits until there is such a pipe and a process reads from it, and on Linux until that process has taken the
/// value. The peer calls [`receive`], or has any [`TypedReceiver`](crate::TypedReceiver) of the type on the default
/// wire. For more than one value, keep a [`TypedSender`](crate::TypedSender): it opens the pipe once.
///
/// ```
/// use std::thread;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("answer");
/// let other = path.clone(); // "/run/app/answer", to both processes
/// let sender = thread::spawn(move || typed_pipe::send(other, &(7, "seven")));
///
/// let answer: (i32, String) = typed_pipe::receive(path)?;
/// assert_eq!(answer, (7, "seven".into()));
/// # sender.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// - [`Disconnected`](crate::ErrorKind::Disconnected): the reader left before it had taken all.
/// - [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): nothing was sent.
/// - Those of [`WriteEnd::at`](crate::End::at) and [`End::open`](crate::End::open).
#[doc(alias("oneshot"))]
pub fn send<T: Described + ?Sized>(path: impl AsRef<Path>, value: &T) -> Result<Delivery, Error> {
    send_timeout(path, value, Duration::MAX)
}

/// Sends one value as [`send`], and waits for at most `timeout`.
///
/// The timeout covers the whole: opening, sending, and the reader taking the value.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::ErrorKind;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("answer");
/// let error = typed_pipe::send_timeout(path, &7, Duration::from_millis(10)).unwrap_err(); // no process receives
/// assert_eq!(error.kind(), ErrorKind::TimedOut);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`send`], and [`TimedOut`](crate::ErrorKind::TimedOut). A `TimedOut` of the operation
/// [`Finish`](crate::Operation::Finish) means: the value is sent, but not taken yet.
pub fn send_timeout<T: Described + ?Sized>(
    path: impl AsRef<Path>,
    value: &T,
    timeout: Duration,
) -> Result<Delivery, Error> {
    send_by(path.as_ref(), value, timeout, WriteEnd::into_sender)
}

/// Sends one value as [`send`], with a CRC-32: the peer calls [`receive_checked`], or has a receiver on a
/// [`Checked`] wire.
///
/// ```
/// use typed_pipe::Pipe;
/// use typed_pipe::wire::{Checked, Wire};
///
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let sender = std::thread::spawn(move || typed_pipe::send_checked(path, "hello"));
///
/// let wire = Wire::default().with_framing(Checked::default());
/// let mut receiver = pipe.into_reader().open()?.into_receiver_with::<String, _, _>(wire);
/// assert_eq!(receiver.recv()?, "hello");
/// # sender.join().unwrap()?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`send`].
pub fn send_checked<T: Sendable + ?Sized>(
    path: impl AsRef<Path>,
    value: &T,
) -> Result<Delivery, Error> {
    send_checked_timeout(path, value, Duration::MAX)
}

/// Sends one value as [`send_checked`], and waits for at most `timeout`.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::{ErrorKind, Operation};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("answer");
/// let error = typed_pipe::send_checked_timeout(path, &7, Duration::from_millis(10)).unwrap_err();
/// assert_eq!((error.kind(), error.operation()), (ErrorKind::TimedOut, Operation::OpenWriter));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`send_timeout`].
pub fn send_checked_timeout<T: Sendable + ?Sized>(
    path: impl AsRef<Path>,
    value: &T,
    timeout: Duration,
) -> Result<Delivery, Error> {
    let wire = Wire::new(Checked::default(), Postcard);
    send_by(path.as_ref(), value, timeout, |end| end.into_sender_with(wire.clone()))
}

/// Makes the pipe at a path, receives one value, and removes the pipe.
///
/// It waits for a writer, as long as it takes; a writer that leaves without a message is skipped. The peer calls
/// [`send`], or has any [`TypedSender`](crate::TypedSender) of the type on the default wire.
///
/// It is for one value from one sender: values of other senders at the same time are lost with the pipe. On Linux their
/// [`send`] fails, unless this call read their value together with the first. For more than one value, keep a
/// [`TypedReceiver`](crate::TypedReceiver). An example is at [`send`].
///
/// ```
/// use std::thread;
/// use typed_pipe::TypedSender;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("status");
/// let other = path.clone(); // "/run/app/status", to both processes
/// let sender = thread::spawn(move || TypedSender::<str>::connect(other)?.send("ready"));
///
/// let status: String = typed_pipe::receive(&path)?;
/// assert_eq!(status, "ready");
/// # sender.join().unwrap()?;
/// assert!(!path.exists()); // the pipe is gone again
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// - [`Decode`](crate::ErrorKind::Decode), [`TooLarge`](crate::ErrorKind::TooLarge),
///   [`Corrupt`](crate::ErrorKind::Corrupt): the bytes are no such value.
/// - [`Truncated`](crate::ErrorKind::Truncated): the sender ended in the middle of it.
/// - Those of [`Pipe::new`], [`Pipe::mkfifo`] and [`End::open`](crate::End::open).
#[doc(alias("oneshot", "recv"))]
pub fn receive<T: Receivable>(path: impl AsRef<Path>) -> Result<T, Error> {
    receive_timeout(path, Duration::MAX)
}

/// Receives one value as [`receive`], and waits for at most `timeout`.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::ErrorKind;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("answer");
/// let error = typed_pipe::receive_timeout::<u32>(path, Duration::from_millis(10)).unwrap_err(); // no process sends
/// assert_eq!(error.kind(), ErrorKind::TimedOut);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`receive`], and [`TimedOut`](crate::ErrorKind::TimedOut).
pub fn receive_timeout<T: Receivable>(
    path: impl AsRef<Path>,
    timeout: Duration,
) -> Result<T, Error> {
    receive_by(path.as_ref(), timeout, Owned::into_receiver)
}

/// Receives one value as [`receive`], with a CRC-32: the peer calls [`send_checked`], or has a sender on a
/// [`Checked`] wire.
///
/// ```
/// use std::thread;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("answer");
/// let other = path.clone();
/// let sender = thread::spawn(move || typed_pipe::send_checked(other, &[1, 1, 2, 3][..]));
///
/// let numbers: Vec<i32> = typed_pipe::receive_checked(path)?;
/// assert_eq!(numbers, [1, 1, 2, 3]);
/// # sender.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`receive`].
pub fn receive_checked<T: Receivable>(path: impl AsRef<Path>) -> Result<T, Error> {
    receive_checked_timeout(path, Duration::MAX)
}

/// Receives one value as [`receive_checked`], and waits for at most `timeout`.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::{ErrorKind, Operation};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("answer");
/// let error = typed_pipe::receive_checked_timeout::<u32>(path, Duration::from_millis(10)).unwrap_err();
/// assert_eq!((error.kind(), error.operation()), (ErrorKind::TimedOut, Operation::Receive));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`receive_timeout`].
pub fn receive_checked_timeout<T: Receivable>(
    path: impl AsRef<Path>,
    timeout: Duration,
) -> Result<T, Error> {
    let wire = Wire::new(Checked::default(), Postcard);
    receive_by(path.as_ref(), timeout, |end| end.into_receiver_with(wire))
}

fn send_by<T: Sendable + ?Sized, F: Framing>(
    path: &Path,
    value: &T,
    timeout: Duration,
    sender: impl Fn(WriteEnd) -> TypedSender<T, WriteEnd, F>,
) -> Result<Delivery, Error> {
    let until = within(timeout);
    let mut first = sender(WriteEnd::at(path)?.open_until(until)?);
    first.send_until(value, until)?;
    // The goodbye follows only once the value is taken: a receiver of one value leaves with it, and a goodbye left
    // behind would hide whether the value was taken.
    let end = first.into_inner();
    let taken = complete(end.wait_until_taken(until));
    let taken = taken.map_err(|error| end.failed(Operation::Finish, error))?;
    let last = sender(end);
    if taken {
        // Whether the reader takes the goodbye too does not matter.
        let _ = last.try_finish();
        return Ok(Delivery::Drained);
    }
    match last.finish_until(until) {
        Err(failed) if failed.error().is_disconnected() => Ok(Delivery::Sent),
        finished => Ok(finished?),
    }
}

fn receive_by<T: Receivable, F: Framing>(
    path: &Path,
    timeout: Duration,
    receiver: impl FnOnce(Owned) -> TypedReceiver<T, Owned, F>,
) -> Result<T, Error> {
    let until = within(timeout);
    let end = Pipe::new(path)?.mkfifo()?.into_reader().on_hangup(OnHangup::NextWriter);
    receiver(end.open_until(until)?).recv_until(until)
}

/// The reading end of a pipe that is made for one value.
type Owned = ReadEnd<Open, Pipe<Allocated>>;
