//! One value, in one call.

use std::path::Path;
use std::time::Duration;

use crate::channel::{Delivery, Described, Receivable};
use crate::end::{OnHangup, WriteEnd};
use crate::error::{Error, Operation};
use crate::pipe::Pipe;
use crate::state::complete;
use crate::wait::within;

/// Sends one value to the pipe at a path, as a client, and finishes the stream.
///
/// It waits until there is such a pipe and a process reads from it, and on Linux until that process has taken the
/// value. The peer calls [`receive`], or has any [`TypedReceiver`](crate::TypedReceiver) of the type on the default
/// wire. For more than one value, or another wire, keep a [`TypedSender`](crate::TypedSender): it opens the pipe once.
///
/// ```
/// use std::thread;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("answer");
/// let other = path.clone(); // "/run/app/answer", to both processes
/// let sender = thread::spawn(move || typed_pipe::send(other, &(7, "seven".to_owned())));
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
    let until = within(timeout);
    let end = WriteEnd::at(path)?.open_until(until)?;
    let mut sender = end.into_sender();
    sender.send_until(value, until)?;
    // The goodbye follows only once the value is taken: a receiver of one value leaves with it, and a goodbye left
    // behind would hide whether the value was taken.
    let end = sender.into_inner();
    let taken = complete(end.wait_until_taken(until));
    let taken = taken.map_err(|error| end.failed(Operation::Finish, error))?;
    let sender = end.into_sender::<T>();
    if taken {
        // Whether the reader takes the goodbye too does not matter.
        let _ = sender.try_finish();
        return Ok(Delivery::Drained);
    }
    match sender.finish_until(until) {
        Err(failed) if failed.error().is_disconnected() => Ok(Delivery::Sent),
        finished => Ok(finished?),
    }
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
    let until = within(timeout);
    let end = Pipe::new(path)?.mkfifo()?.into_reader().on_hangup(OnHangup::NextWriter);
    end.open_until(until)?.into_receiver().recv_until(until)
}
