//! The protocol of PipeCom, messages with acknowledgements: a listener, and senders.
//!
//! [PipeCom](https://github.com/Falaventho/pipecom) on POSIX systems has two pipes, `NAME` and `NAME_ack`. A sender
//! writes one line to `NAME` and closes it; then it reads the answer, one line, from `NAME_ack`. The lines are those
//! of [`Base64Lines`]. The [`Listener`] and [`send`] here do the same, so that either works with PipeCom as its peer.
//!
//! ```
//! use std::thread;
//! use typed_pipe::pipecom::{self, Listener};
//!
//! # let folder = tempfile::tempdir()?;
//! # let name = folder.path().join("orders");
//! # #[cfg(windows)]
//! # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
//! let mut listener = Listener::new(&name)?; // "/run/app/orders"
//! let sender = thread::spawn(move || pipecom::send(name, "tea, please"));
//!
//! assert_eq!(listener.recv()?, "tea, please");
//! listener.acknowledge()?;
//! assert_eq!(sender.join().unwrap()?, pipecom::ACK);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//!
//! Messages and answers have no numbers: if a sender dies before it is answered, the next sender fetches its answer,
//! unless the next one uses this crate and comes after the answer. On Linux, concurrent senders of this crate take
//! turns; on other systems, and among senders of PipeCom itself, two may take each other's answers. On Linux, the listener
//! writes an answer only when the last one was fetched, so that as many senders get an [`ACK`] as there were messages.
//!
//! PipeCom's senders share one pipe: a line of more than 4096 bytes (on Linux: a text of more than 3069) may be torn by
//! that of another sender. Both are lost then, and the receive fails with [`Corrupt`](ErrorKind::Corrupt) or takes one wrong text: let one
//! sender at a time send long texts, or use connections in place of PipeCom.
//!
//! PipeCom's senders accept only the answer [`ACK`]. Its listener does not answer an empty text.
//!
//! # Its errors
//!
//! | PipeCom | here |
//! |---|---|
//! | an invalid name | [`InvalidName`](ErrorKind::InvalidName) |
//! | the connection failed: there is no listener | [`NotFound`](ErrorKind::NotFound) or [`WouldBlock`](ErrorKind::WouldBlock) from a call that does not wait, and [`TimedOut`](ErrorKind::TimedOut) with the reason from one that does |
//! | the connection failed: it is not a pipe, it belongs to another user, or it has a listener already | [`NotAPipe`](ErrorKind::NotAPipe), [`NotTrusted`](ErrorKind::NotTrusted), [`AlreadyExists`](ErrorKind::AlreadyExists), [`InUse`](ErrorKind::InUse) |
//! | the connection failed: it broke | [`Disconnected`](ErrorKind::Disconnected), and [`Truncated`](ErrorKind::Truncated) in the middle of a line |
//! | permission denied | [`PermissionDenied`](ErrorKind::PermissionDenied) |
//! | timeout | [`TimedOut`](ErrorKind::TimedOut) |
//! | – (bad bytes) | [`Corrupt`](ErrorKind::Corrupt): no base64; [`Decode`](ErrorKind::Decode): no UTF-8 |
//!
//! [`Error::operation`] is the step that failed, and [`Error::path`] the pipe: `NAME` or `NAME_ack`. A [`send`] that
//! fails with [`Operation::Receive`] has delivered its message and got no answer. With any other operation, it has not
//! delivered it.
//!
//! # Platform-specific behavior
//!
//! ## Windows
//!
//! The two pipes are named pipes of these names, for programs of this crate on both sides: PipeCom itself does
//! something else there. An answer to a sender that has connected for it and left is
//! [`Disconnected`](ErrorKind::Disconnected); the next answer goes to the next sender.

use std::ffi::OsString;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::channel::{TypedReceiver, TypedSender};
use crate::end::{End, OnHangup, ReadEnd, Unnamed, WriteEnd};
use crate::error::{Error, ErrorKind, Obstacle, Operation};
use crate::path::PipePath;
use crate::pipe::{Pipe, PipeOptions};
use crate::state::{Allocated, Blocking, Closed, Direction, Open, Runtime as _};
use crate::sys::{IfExists, WaitLimit};
use crate::wait::{CancelToken, left, within};
use crate::wire::foreign::Base64Lines;
use crate::wire::{Plain, Wire};

/// The answer of PipeCom's listener to each message.
pub const ACK: &str = "ACK";

/// The message that ends PipeCom's listener, by default.
pub const DIE: &str = "PIPECOM_DIE";

/// Sends a text to a listener, and waits for its answer: [`ACK`], or a text of its own.
///
/// It waits until there is a listener. A listener that dies before its answer gives
/// [`Disconnected`](ErrorKind::Disconnected), except on its first message, and except PipeCom's own: use
/// [`send_timeout`] against that.
///
/// ```
/// use std::thread;
/// use typed_pipe::pipecom::{self, Listener};
///
/// # let folder = tempfile::tempdir()?;
/// # let name = folder.path().join("orders");
/// # #[cfg(windows)]
/// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
/// let mut listener = Listener::new(&name)?; // the other process
/// let sender = thread::spawn(move || pipecom::send(name, "tea, please"));
///
/// assert_eq!(listener.recv()?, "tea, please");
/// listener.answer("there is none")?;
/// assert_ne!(sender.join().unwrap()?, pipecom::ACK);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`WriteEnd::at`](crate::End::at), [`End::open`](crate::End::open) and
/// [`TypedReceiver::recv`], with the path of the pipe that failed.
pub fn send(name: impl AsRef<Path>, text: &str) -> Result<String, Error> {
    SendOptions::new().send(name, text)
}

/// Sends a text as [`send`], and waits for at most `timeout` for the listener and its answer together.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::{ErrorKind, Operation, pipecom};
///
/// # let folder = tempfile::tempdir()?;
/// # let name = folder.path().join("orders");
/// # #[cfg(windows)]
/// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
/// let late = pipecom::send_timeout(name, "tea, please", Duration::from_millis(10)); // no listener
/// let error = late.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::TimedOut);
/// assert_ne!(error.operation(), Operation::Receive); // not delivered
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`send`], and [`TimedOut`](ErrorKind::TimedOut).
pub fn send_timeout(
    name: impl AsRef<Path>,
    text: &str,
    timeout: Duration,
) -> Result<String, Error> {
    SendOptions::new().timeout(timeout).send(name, text)
}

/// The options of a sender.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::ErrorKind;
/// use typed_pipe::pipecom::SendOptions;
///
/// # let folder = tempfile::tempdir()?;
/// # let name = folder.path().join("orders");
/// # #[cfg(windows)]
/// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
/// let options = SendOptions::new().timeout(Duration::from_millis(10)).max_attempts(3);
/// let error = options.send(name, "tea, please").unwrap_err(); // there is no listener, three times
/// assert_eq!(error.kind(), ErrorKind::TimedOut);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SendOptions {
    any_owner: bool,
    lines: Base64Lines,
    attempts: u32,
    timeout: Duration,
    token: Option<CancelToken>,
}

impl SendOptions {
    /// One attempt, which takes as long as it takes, at a listener of this user or root.
    pub fn new() -> Self {
        Self {
            any_owner: false,
            lines: Base64Lines::default(),
            attempts: 1,
            timeout: Duration::MAX,
            token: None,
        }
    }

    /// Also sends to a listener of another user.
    #[must_use]
    pub fn trust_any_owner(mut self) -> Self {
        self.any_owner = true;
        self
    }

    /// Sets the largest text and the largest answer, in bytes; 8 MiB unless set.
    #[must_use]
    pub fn limit(mut self, bytes: u32) -> Self {
        self.lines = self.lines.limit(bytes);
        self
    }

    /// Sets how often the text is sent until it is answered; once unless set.
    ///
    /// An attempt that fails for want of a listener, of time or of an answer is followed by the next one. A text whose answer
    /// is lost may be received twice.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets the timeout of each attempt; none unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Lets a token cancel the sending: see [`CancelToken`].
    #[must_use]
    pub fn cancelled_by(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Sends a text to a listener, and waits for its answer: see [`send`](fn@send).
    ///
    /// # Errors
    ///
    /// Those of [`send`](fn@send) and [`send_timeout`], the last one of several attempts; and
    /// [`Cancelled`](ErrorKind::Cancelled).
    pub fn send(&self, name: impl AsRef<Path>, text: &str) -> Result<String, Error> {
        let name = PipePath::new(name)?;
        let mut left = self.attempts;
        loop {
            left -= 1;
            match self.attempt(&name, text, within(self.timeout)) {
                Err(error) if left > 0 && may_pass(&error) => {}
                done => return done,
            }
        }
    }

    fn attempt(&self, name: &PipePath, text: &str, until: WaitLimit) -> Result<String, Error> {
        let wire = || Wire::new(self.lines.clone(), Plain);
        // The answers first. While this sender has them open, no other sender of this crate has, nor sends: so the next
        // answer is to this message. PipeCom's own listener may still be closing the previous answer: that is not the end
        // of this one.
        let end = ReadEnd::from(acknowledging(name)?).on_hangup(OnHangup::NextWriter);
        let mut end = self.set(end);
        let mut answers = loop {
            let failed = match end.open_until(until) {
                Ok(open) => break open,
                Err(failed) => failed,
            };
            if failed.kind() != ErrorKind::InUse {
                return Err(failed.into());
            }
            if self.token.as_ref().is_some_and(CancelToken::is_cancelled) {
                return Err(Error::from(failed).because(Obstacle::Cancelled));
            }
            if left(until).is_zero() {
                let late = Obstacle::TimedOut("another sender still waits for its answer");
                return Err(Error::from(failed).because(late));
            }
            thread::sleep(left(until).min(PAUSE));
            end = failed.into_state();
        };
        // An answer that another sender has not fetched is none to this message, which is not sent yet.
        let forgotten = answers.raw_mut().forget_left_over();
        forgotten.map_err(|error| answers.failed(Operation::OpenReader, error))?;
        let end = self.set(WriteEnd::from(name.clone())).open_until(until)?;
        end.into_sender_with::<str, _, _>(wire()).send_until(text, until)?;
        answers.into_receiver_with(wire()).recv_until(until)
    }

    fn set<D: Direction>(&self, end: End<D, Closed>) -> End<D, Closed> {
        let end = if self.any_owner { end.trust_any_owner() } else { end };
        match &self.token {
            Some(token) => end.cancelled_by(token),
            None => end,
        }
    }
}

impl Default for SendOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether another attempt may do better.
fn may_pass(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Disconnected
            | ErrorKind::NotFound
            | ErrorKind::TimedOut
            | ErrorKind::Truncated
            | ErrorKind::WouldBlock
    )
}

/// A listener for senders of PipeCom and for [`send`].
///
/// It makes both pipes, and removes them when it is dropped. Receive a message, then answer it: its sender, of either
/// program, waits for that.
///
/// ```
/// use std::thread;
/// use typed_pipe::pipecom::{self, Listener};
///
/// # let folder = tempfile::tempdir()?;
/// # let name = folder.path().join("orders");
/// # #[cfg(windows)]
/// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
/// let mut listener = Listener::new(&name)?; // "/run/app/orders"
/// let sender = thread::spawn(move || {
///     for text in ["tea", "cake", pipecom::DIE] {
///         assert_eq!(pipecom::send(&name, text)?, pipecom::ACK);
///     }
///     Ok::<(), typed_pipe::Error>(())
/// });
///
/// let mut orders = Vec::new();
/// loop {
///     let text = listener.recv()?;
///     listener.acknowledge()?;
///     if text == pipecom::DIE {
///         break;
///     }
///     orders.push(text);
/// }
/// assert_eq!(orders, ["tea", "cake"]);
/// sender.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    path: PipePath,
    messages: TypedReceiver<String, ReadEnd<Open, Pipe<Allocated>>, Base64Lines, Plain>,
    answers: Pipe<Allocated>,
    /// The end of the last answer, open until the next one.
    ///
    /// A sender that opens the pipe for its answer just before this is closed would read an end of the stream. And the
    /// reader during a write may be the previous sender, about to leave: as long as this end is open, unread bytes stay
    /// in the pipe.
    last: Option<WriteEnd<Open, Unnamed>>,
    token: Option<CancelToken>,
    ack_timeout: Duration,
    idle_timeout: Duration,
    most: u64,
}

/// The time that a sender has to fetch its answer, unless set.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

impl Listener {
    /// Makes the pipes `NAME` and `NAME_ack`, or uses those that a sender of PipeCom has made.
    ///
    /// ```
    /// use typed_pipe::pipecom::Listener;
    /// use typed_pipe::{ErrorKind, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("orders");
    /// # #[cfg(windows)]
    /// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
    /// let listener = Listener::new(&name)?; // "/run/app/orders", and "/run/app/orders_ack"
    /// drop(listener); // which removes both
    /// let gone = WriteEnd::at(name)?.try_open().unwrap_err();
    /// assert_eq!(gone.kind(), ErrorKind::NotFound);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Pipe::new`], [`Pipe::mkfifo`] and [`End::open`](crate::End::open).
    pub fn new(name: impl AsRef<Path>) -> Result<Self, Error> {
        Self::with_options(name, PipeOptions::new().if_exists(IfExists::Reuse))
    }

    /// Makes the pipes `NAME` and `NAME_ack` with options, such as those for senders of other users.
    ///
    /// ```
    /// use typed_pipe::pipecom::Listener;
    /// use typed_pipe::{IfExists, PipeOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("orders");
    /// # #[cfg(windows)]
    /// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
    /// let options = PipeOptions::new().if_exists(IfExists::Reuse).mode(0o660); // for this user's group too
    /// let listener = Listener::with_options(&name, options)?;
    /// # drop(listener);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn with_options(name: impl AsRef<Path>, options: PipeOptions) -> Result<Self, Error> {
        let messages = options.at(name)?;
        // A reader may read several answers with one end.
        let answers = options.in_one_stream().at(acknowledging(messages.path())?)?;
        // The answers' pipe first: a sender that finds the pipe for messages may open the other at once.
        let answers = answers.mkfifo()?;
        let path = messages.path().clone();
        let end = messages.mkfifo()?.into_reader().on_hangup(OnHangup::NextWriter);
        Ok(Self {
            path,
            messages: end.open()?.into_receiver_with(wire()),
            answers,
            last: None,
            token: None,
            ack_timeout: ACK_TIMEOUT,
            idle_timeout: Duration::MAX,
            most: u64::MAX,
        })
    }

    /// Lets a token cancel every wait of the listener, and end [`serve`](Self::serve).
    #[must_use]
    pub fn cancelled_by(mut self, token: &CancelToken) -> Self {
        self.messages = self.messages.into_inner().cancelled_by(token).into_receiver_with(wire());
        self.token = Some(token.clone());
        self
    }

    /// Sets how long [`acknowledge`](Self::acknowledge) and [`answer`](Self::answer) wait for a sender that does not fetch its
    /// answer; 10 seconds unless set.
    #[must_use]
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    /// Lets [`serve`](Self::serve) end when no message has come for this time.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Lets [`serve`](Self::serve) end after so many messages.
    #[must_use]
    #[doc(alias("max_messages"))]
    pub fn shutdown_after(mut self, messages: u64) -> Self {
        self.most = messages;
        self
    }

    /// Receives messages, gives each to the handler, and acknowledges it when the handler is done.
    ///
    /// It ends when the handler breaks, when the [token](Self::cancelled_by) is cancelled, after the
    /// [idle timeout](Self::idle_timeout), or after [so many messages](Self::shutdown_after).
    ///
    /// The handler also gets the errors after which it goes on: of a broken line, and of a sender that has not fetched its
    /// acknowledgement in time.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use std::thread;
    /// use typed_pipe::pipecom::{self, Listener};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("orders");
    /// # #[cfg(windows)]
    /// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
    /// let mut listener = Listener::new(&name)?.shutdown_after(100);
    /// let sender = thread::spawn(move || {
    ///     for text in ["tea", "cake", pipecom::DIE] {
    ///         assert_eq!(pipecom::send(&name, text)?, pipecom::ACK);
    ///     }
    ///     Ok::<(), typed_pipe::Error>(())
    /// });
    ///
    /// let mut orders = Vec::new();
    /// listener.serve(|order| match order {
    ///     Ok(text) if text == pipecom::DIE => ControlFlow::Break(()),
    ///     Ok(text) => {
    ///         orders.push(text);
    ///         ControlFlow::Continue(())
    ///     }
    ///     Err(error) => {
    ///         eprintln!("{error}");
    ///         ControlFlow::Continue(())
    ///     }
    /// })?;
    /// assert_eq!(orders, ["tea", "cake"]);
    /// sender.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv) that are [fatal](Error::is_fatal), but for the cancellation.
    #[doc(alias("listen", "callback"))]
    pub fn serve(
        &mut self,
        mut handler: impl FnMut(Result<String, Error>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut left = self.most;
        while left > 0 {
            let received = self.recv_timeout(self.idle_timeout);
            let is_message = received.is_ok();
            match received {
                Err(error)
                    if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::TimedOut) =>
                {
                    return Ok(());
                }
                Err(error) if error.is_fatal() => return Err(error),
                received => {
                    let flow = handler(received);
                    let answered = if is_message { self.acknowledge() } else { Ok(()) };
                    if flow.is_break() {
                        return Ok(());
                    }
                    match answered {
                        Ok(()) => {}
                        Err(error) if error.kind() == ErrorKind::Cancelled => return Ok(()),
                        Err(error) => {
                            if handler(Err(error)).is_break() {
                                return Ok(());
                            }
                        }
                    }
                }
            }
            left -= u64::from(is_message);
        }
        Ok(())
    }

    /// Receives the next message, waiting until it is there.
    ///
    /// ```
    /// use typed_pipe::pipecom::Listener;
    /// use typed_pipe::{ErrorKind, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("orders");
    /// # #[cfg(windows)]
    /// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
    /// let mut listener = Listener::new(&name)?;
    /// let mut sender = WriteEnd::at(name)?.open()?; // a sender that writes its own lines
    /// sender.write(b"tea!\n")?; // no base64
    /// sender.write(b"dGVh\n")?;
    /// assert_eq!(listener.recv().unwrap_err().kind(), ErrorKind::Corrupt);
    /// assert_eq!(listener.recv()?, "tea");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TypedReceiver::recv`]. After a message that is [`Corrupt`](ErrorKind::Corrupt), no UTF-8
    /// ([`Decode`](ErrorKind::Decode)) or [`Truncated`](ErrorKind::Truncated) the next one can be received; the sender
    /// of the broken one waits for an answer as others do.
    pub fn recv(&mut self) -> Result<String, Error> {
        self.messages.recv()
    }

    /// Receives the next message, waiting for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::ErrorKind;
    /// use typed_pipe::pipecom::Listener;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("orders");
    /// # #[cfg(windows)]
    /// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
    /// let mut listener = Listener::new(name)?;
    /// let late = listener.recv_timeout(Duration::from_millis(10)); // no sender
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<String, Error> {
        self.messages.recv_timeout(timeout)
    }

    /// Answers the last received message with [`ACK`], waiting until its sender comes for that.
    ///
    /// A sender that has died or given up never does: then it fails after the [timeout](Self::ack_timeout).
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::pipecom::{self, Listener};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("orders");
    /// # #[cfg(windows)]
    /// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
    /// let mut listener = Listener::new(&name)?;
    /// let sender = thread::spawn(move || pipecom::send(name, "tea, please"));
    /// listener.recv()?; // the sender waits for this:
    /// listener.acknowledge()?;
    /// assert_eq!(sender.join().unwrap()?, "ACK");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`answer`](Self::answer).
    pub fn acknowledge(&mut self) -> Result<(), Error> {
        self.answer(ACK)
    }

    /// Answers the last received message with a text, waiting until its sender comes for that.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::pipecom::{self, Listener};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("orders");
    /// # #[cfg(windows)]
    /// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
    /// let mut listener = Listener::new(&name)?;
    /// let sender = thread::spawn(move || pipecom::send(name, "how long is this?"));
    /// let text = listener.recv()?;
    /// listener.answer(&text.len().to_string())?; // for `send` of this crate: PipeCom accepts only `ACK`
    /// assert_eq!(sender.join().unwrap()?, "17");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::open`](crate::End::open) and [`TypedSender::send`](crate::TypedSender::send); and
    /// [`TimedOut`](ErrorKind::TimedOut) after the [timeout](Self::ack_timeout).
    pub fn answer(&mut self, text: &str) -> Result<(), Error> {
        self.answer_timeout(text, self.ack_timeout)
    }

    /// Answers the last received message with a text, waiting for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::pipecom::{self, Listener};
    /// use typed_pipe::{ErrorKind, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("orders");
    /// # #[cfg(windows)]
    /// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
    /// let mut listener = Listener::new(&name)?;
    /// let mut sender = WriteEnd::at(name)?.open()?;
    /// sender.write(b"dGVh\n")?;
    /// drop(sender); // it never fetches its answer
    /// assert_eq!(listener.recv()?, "tea");
    /// let late = listener.answer_timeout(pipecom::ACK, Duration::from_millis(10));
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`answer`](Self::answer), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn answer_timeout(&mut self, text: &str, timeout: Duration) -> Result<(), Error> {
        let until = within(timeout);
        loop {
            self.wait_for_last(until)?;
            let mut sender = self.answering(until)?;
            match sender.send_until(text, until) {
                Ok(()) => {
                    self.last = Some(sender.into_inner());
                    return Ok(());
                }
                // The sender before this one had its answer, and closed the pipe only now.
                Err(error) if error.kind() == ErrorKind::Disconnected && !error.is_half_sent() => {}
                Err(error) => {
                    if error.is_half_sent() {
                        // Its sender reads the end of the stream, not the next answer as the rest of this one.
                        self.last = None;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Opens the pipe for answers, when a sender has come for one.
    fn answering(&mut self, until: WaitLimit) -> Result<Answering, Error> {
        let mut end = self.answers.writer();
        if let Some(token) = &self.token {
            end = end.cancelled_by(token);
        }
        let end = end.open_until(until).map_err(Error::from)?;
        let mut end = WriteEnd::unnamed(end.into_io());
        if let Some(token) = &self.token {
            end = end.cancelled_by(token);
        }
        let sender = end.into_sender_with::<str, _, _>(wire());
        Ok(sender.named(Some(self.answers.path().shared().clone())))
    }

    /// Waits until the last answer is fetched: a sender that reads two answers at once keeps both.
    fn wait_for_last(&mut self, until: WaitLimit) -> Result<(), Error> {
        let Some(last) = &self.last else { return Ok(()) };
        match Blocking::run(last.wait_until_taken(until)) {
            Ok(_) => Ok(()),
            // Its sender has left without it. The pipe forgets it when this is closed.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.last = None;
                Ok(())
            }
            Err(error) => {
                Err(Error::new(Operation::Send, error).at(Some(self.answers.path().shared())))
            }
        }
    }

    /// The path of the pipe for messages, the name that senders need.
    ///
    /// ```
    /// use typed_pipe::PipePath;
    /// use typed_pipe::pipecom::Listener;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("orders");
    /// # #[cfg(windows)]
    /// # let name = name.strip_prefix(std::env::temp_dir())?.to_owned();
    /// let listener = Listener::new(&name)?;
    /// assert_eq!(listener.path(), &PipePath::new(name)?); // not that of the answers
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self) -> &PipePath {
        &self.path
    }
}

/// What an answer is sent by.
type Answering = TypedSender<str, WriteEnd<Open, Unnamed>, Base64Lines, Plain>;

/// The wire of both sides.
fn wire() -> Wire<Base64Lines, Plain> {
    Wire::new(Base64Lines::default(), Plain)
}

/// The name of the pipe for answers.
fn acknowledging(name: &PipePath) -> Result<PipePath, Error> {
    let mut answers = OsString::from(name.as_path());
    answers.push("_ack");
    PipePath::new(answers)
}

/// The interval of checks whether another sender has got its answer.
const PAUSE: Duration = Duration::from_millis(5);
