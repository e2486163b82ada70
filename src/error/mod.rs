//! The errors of this crate.
//!
//! There is one error type, [`Error`]. Its text names the operation, the path, the cause and the remedy;
//! programs decide by [`Error::kind`]. A failed transition between two states of a pipe or an end gives
//! a [`TransitionError`], which hands the old state back.

mod cause;
mod message;
mod shown;
mod transition;

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;
use std::sync::Arc;

#[allow(unused_imports, reason = "some are of one system alone")]
pub(crate) use cause::{Cause, Disagreement, NameError, Obstacle};
pub use message::{CodecError, FrameError, LossReason};
use shown::Shown;
pub use transition::TransitionError;

/// A failed operation on a pipe, an end or a channel.
///
/// Its text names the operation, the path where there is one, the reason, and what to do. An error of the operating system
/// beneath it is the [`source`](StdError::source), whose text is repeated only where nothing
/// else tells the reason. The text of a codec's error is: it alone
/// tells what is wrong with a message.
///
/// | question | answer |
/// |---|---|
/// | What kind of failure is it? | [`kind`](Self::kind) |
/// | What was attempted, and on which pipe? | [`operation`](Self::operation), [`path`](Self::path) |
/// | Has the stream ended between two messages? | [`is_end`](Self::is_end), [`is_disconnected`](Self::is_disconnected) |
/// | Is the channel of no more use? | [`is_fatal`](Self::is_fatal) |
/// | Is a part of the message sent already? | [`is_half_sent`](Self::is_half_sent) |
/// | In which step of a session was it? | [`step`](Self::step) |
/// | May the service have handled the request? | [`is_delivered`](Self::is_delivered) |
/// | What is wrong with the bytes or the value? | [`frame_error`](Self::frame_error), [`codec_error`](Self::codec_error) |
/// | Where is the pipe or end whose transition failed? | in the [`TransitionError`]: [`into_state`](TransitionError::into_state) |
///
/// ```
/// use typed_pipe::{ErrorKind, WriteEnd};
///
/// let missing = std::env::temp_dir().join("no-such-pipe");
/// let error = WriteEnd::at(missing)?.try_open().unwrap_err();
/// assert_eq!(error.error().kind(), ErrorKind::NotFound);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
pub struct Error(Box<Report>);

/// The content of an [`Error`], behind a pointer, so that results stay small.
struct Report {
    operation: Operation,
    half_sent: bool,
    survived: bool,
    delivered: bool,
    path: Option<Arc<Path>>,
    /// What this side of a session was to do.
    step: Option<Box<str>>,
    cause: Cause,
}

impl Error {
    pub(crate) fn new(operation: Operation, cause: impl Into<Cause>) -> Self {
        let cause = cause.into().of(operation);
        Self(Box::new(Report {
            operation,
            half_sent: false,
            survived: false,
            delivered: false,
            path: None,
            step: None,
            cause,
        }))
    }

    /// Sets the path of the operation.
    #[cold]
    pub(crate) fn at(mut self, path: Option<&Arc<Path>>) -> Self {
        self.0.path = path.cloned();
        self
    }

    /// Replaces the reason.
    pub(crate) fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = cause.into();
        self
    }

    /// Marks whether a part of the message is in the pipe already.
    pub(crate) fn half_sent(mut self, half_sent: bool) -> Self {
        self.0.half_sent = half_sent;
        self
    }

    /// Whether the system reported the end of the stream as an error, as it does for a reset.
    pub(crate) fn is_cut_off(&self) -> bool {
        matches!(self.0.cause, Cause::Io(..)) && self.kind() == ErrorKind::Disconnected
    }

    /// Marks whether the receiver goes on with the next writer.
    pub(crate) fn survived(mut self, survived: bool) -> Self {
        self.0.survived = survived;
        self
    }

    #[cfg(feature = "service")]
    /// Marks that the service may have handled the request.
    pub(crate) fn delivered(mut self) -> Self {
        self.0.delivered = true;
        self
    }

    #[cfg(feature = "session")]
    /// Sets what this side of a session was to do.
    pub(crate) fn in_step(mut self, step: String) -> Self {
        self.0.step = Some(step.into_boxed_str());
        self
    }

    /// The kind of the failure, for programs to decide by.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe};
    ///
    /// let mut receiver = Pipe::temporary()?.into_reader().open()?.into_receiver::<u32>();
    /// match receiver.try_recv() {
    ///     Ok(number) => println!("{number}"),
    ///     Err(error) if error.kind() == ErrorKind::WouldBlock => println!("nothing yet"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.cause.kind()
    }

    /// The operation that failed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::Operation;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("answer");
    /// // It opens, sends, and waits until the reader has taken all. Which of these took too long?
    /// let error = typed_pipe::send_timeout(name, &7, Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.operation(), Operation::OpenWriter); // nothing was sent
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// The path of the pipe, if it has one; of a temporary one that cannot be made, its folder.
    ///
    /// ```
    /// use typed_pipe::{PipePath, TypedReceiver, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let path = PipePath::new(name)?;
    /// let failed = WriteEnd::at(&path)?.try_open().unwrap_err(); // there is no such pipe
    /// assert_eq!(failed.error().path(), Some(path.as_path()));
    ///
    /// let error = TypedReceiver::<u32, _>::new(&b""[..]).recv().unwrap_err(); // of bytes in memory
    /// assert_eq!(error.path(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// What this side of a session was to do, in words such as "receive `Token`"; `None` outside of sessions.
    ///
    /// ```
    /// use typed_pipe::TypedReceiver;
    ///
    /// let error = TypedReceiver::<u32, _>::new(&b""[..]).recv().unwrap_err();
    /// assert_eq!(error.step(), None); // this is no session
    /// ```
    pub fn step(&self) -> Option<&str> {
        self.0.step.as_deref()
    }

    /// The [`FrameError`], where bad bytes or a lost message of one of several writers are the reason.
    ///
    /// ```
    /// use typed_pipe::{FrameError, TypedReceiver};
    ///
    /// let cut = b"\0\0\0\x09\x01"; // a header that announces nine bytes, and one of them
    /// let error = TypedReceiver::<String, _>::new(&cut[..]).recv().unwrap_err();
    /// assert!(matches!(error.frame_error(), Some(FrameError::Truncated { got: 5 })));
    /// ```
    pub fn frame_error(&self) -> Option<&FrameError> {
        match &self.0.cause {
            Cause::Frame(error) | Cause::Lost(error) => Some(error),
            _ => None,
        }
    }

    /// The [`CodecError`], where a value that cannot be encoded or decoded is the reason.
    ///
    /// ```
    /// use typed_pipe::{CodecError, TypedReceiver};
    ///
    /// let long = b"\0\0\0\x03\x07\x01\x01"; // three bytes, where one is the whole value
    /// let error = TypedReceiver::<u8, _>::new(&long[..]).recv().unwrap_err();
    /// assert!(matches!(error.codec_error(), Some(CodecError::Trailing { bytes: 2 })));
    /// ```
    pub fn codec_error(&self) -> Option<&CodecError> {
        match &self.0.cause {
            Cause::Decode(error) | Cause::Encode(error) | Cause::UndecodableAnswer(error) => {
                Some(error)
            }
            _ => None,
        }
    }

    /// Whether the other side left without a goodbye: it closed its end, or its process ended, between two
    /// messages.
    ///
    /// For a receiver this is a regular end of the stream: see [`is_end`](Self::is_end).
    ///
    /// ```
    /// use typed_pipe::{TypedReceiver, TypedSender};
    ///
    /// let mut bytes = Vec::new(); // or a pipe
    /// TypedSender::new(&mut bytes).send(&7_u32)?; // and the sender is dropped
    /// let mut receiver = TypedReceiver::<u32, _>::new(bytes.as_slice());
    /// assert_eq!(receiver.recv()?, 7);
    /// assert!(receiver.recv().unwrap_err().is_disconnected()); // was there more to come?
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn is_disconnected(&self) -> bool {
        self.kind() == ErrorKind::Disconnected
    }

    /// Whether the stream ended between two messages, with a goodbye ([`Finished`](ErrorKind::Finished)) or
    /// without one ([`Disconnected`](ErrorKind::Disconnected)).
    ///
    /// ```
    /// use typed_pipe::{TypedReceiver, TypedSender};
    ///
    /// let bytes = TypedSender::<u32, _>::new(Vec::new()).finish_into_inner()?;
    /// let end = TypedReceiver::<u32, _>::new(bytes.as_slice()).recv().unwrap_err();
    /// assert!(end.is_end() && !end.is_disconnected());
    ///
    /// let cut = b"\0\0\0\x09"; // a header that announces nine bytes, and none of them
    /// let error = TypedReceiver::<u32, _>::new(&cut[..]).recv().unwrap_err();
    /// assert!(!error.is_end()); // the sender left in the middle of a message
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn is_end(&self) -> bool {
        matches!(self.kind(), ErrorKind::Disconnected | ErrorKind::Finished)
    }

    /// Whether a part of the message is in the pipe already, although the send did not complete in time.
    ///
    /// If so, the sender keeps the rest, and writes it before anything else with its next send or flush: do not
    /// send the message again. If not, nothing of the message was sent and nothing is kept. An example is at
    /// [`TypedSender::send_timeout`](crate::TypedSender::send_timeout).
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<String>();
    /// let mut sender = TypedSender::<str>::connect(path)?;
    /// let large = "a".repeat(2 << 20);
    /// let error = sender.try_send(&large).unwrap_err(); // there is no room for all of it
    ///
    /// let receiving = thread::spawn(move || receiver.recv());
    /// if error.is_half_sent() {
    ///     sender.flush()?; // the rest of it
    /// } else {
    ///     sender.send(&large)?;
    /// }
    /// assert_eq!(receiving.join().unwrap()?, large); // once
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn is_half_sent(&self) -> bool {
        self.0.half_sent
    }

    /// Whether the service may have handled the request of a failed call: see `Client`.
    ///
    /// If not, the service never got the request, so a second call cannot handle it twice.
    ///
    /// ```
    /// # #[cfg(feature = "service")] {
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number.checked_sub(1).ok_or("too small")));
    ///
    /// let client = Client::<u32, u32>::connect(path)?;
    /// assert!(client.call(&0).unwrap_err().is_delivered()); // the handler refused it
    /// serving.join().unwrap()?;
    /// let error = client.call_timeout(&7, Duration::from_millis(10)).unwrap_err();
    /// assert!(!error.is_delivered()); // the service has ended: another one may get the request
    /// # }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn is_delivered(&self) -> bool {
        self.0.delivered
    }

    /// Whether the channel is of no more use.
    ///
    /// It is where the other side has left, the place in the stream is lost, a
    /// [`CancelToken`](crate::CancelToken) was cancelled, the name is gone or leads to something else, so that no process can connect any more, or
    /// the system refuses for a [reason](ErrorKind::Io) that may last.
    ///
    /// After any other error the next message can still be sent or received. A receiver that waits for the
    /// [next writer](crate::OnHangup::NextWriter) never loses its place for good: it skips what the present
    /// writers still send, and begins anew with the next one.
    ///
    /// ```
    /// use typed_pipe::TypedReceiver;
    ///
    /// let bytes = [
    ///     &b"\0\0\0\x01\x02"[..], // the number 2, which is no `bool`
    ///     b"\0\0\0\x01\x01",      // `true`
    ///     b"\xf0\0\0\0",          // a header that announces 4 GB
    /// ]
    /// .concat();
    /// let mut receiver = TypedReceiver::<bool, _>::new(bytes.as_slice());
    /// assert!(!receiver.recv().unwrap_err().is_fatal()); // it costs this message alone
    /// assert_eq!(receiver.recv()?, true);
    /// assert!(receiver.recv().unwrap_err().is_fatal()); // where the next one begins is not known
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn is_fatal(&self) -> bool {
        // A value that was not encoded is not sent, and a receiver of next writers begins anew with the next one.
        !self.0.survived && self.0.operation != Operation::Encode && self.0.cause.is_fatal()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Texts of the other side are in it.
        let mut f = Shown(f);
        write!(f, "cannot {}", self.0.operation)?;
        match &self.0.path {
            Some(path) => write!(f, " `{}`", path.display())?,
            None => f.write_str(self.0.operation.object())?,
        }
        if let Some(step) = &self.0.step {
            write!(f, ", where this side was to {step}")?;
        }
        write!(f, ": {}", self.0.cause)?;
        if self.0.half_sent && !self.is_fatal() {
            f.write_str(" (a part of the message is sent; the rest goes first next time)")?;
        }
        Ok(())
    }
}

/// Contains the whole text: a `main` that returns the error shows this.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("text", &self.to_string())
            .field("source", &self.source())
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.source()
    }
}

/// Keeps the kind, and the [`Error`] itself as the payload.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.kind(), &error.0.cause) {
            (_, Cause::Io(_, source)) => source.kind(),
            (ErrorKind::AlreadyExists, _) => io::ErrorKind::AlreadyExists,
            (ErrorKind::Deadlock, _) => io::ErrorKind::Deadlock,
            (
                ErrorKind::Abandoned
                | ErrorKind::ChildExited
                | ErrorKind::Disconnected
                | ErrorKind::Finished
                | ErrorKind::PeerPanicked,
                _,
            ) => io::ErrorKind::BrokenPipe,
            (ErrorKind::InUse, _) => io::ErrorKind::ResourceBusy,
            (ErrorKind::InvalidName | ErrorKind::WrongDirection, _) => io::ErrorKind::InvalidInput,
            (ErrorKind::NotFound, _) => io::ErrorKind::NotFound,
            (ErrorKind::WouldBlock, _) => io::ErrorKind::WouldBlock,
            (ErrorKind::NotTrusted | ErrorKind::PermissionDenied, _) => {
                io::ErrorKind::PermissionDenied
            }
            (ErrorKind::TimedOut, _) => io::ErrorKind::TimedOut,
            (ErrorKind::Truncated, _) => io::ErrorKind::UnexpectedEof,
            (
                ErrorKind::Corrupt
                | ErrorKind::Decode
                | ErrorKind::Encode
                | ErrorKind::MessageLost
                | ErrorKind::Mismatch
                | ErrorKind::Poisoned
                | ErrorKind::TooLarge,
                _,
            ) => io::ErrorKind::InvalidData,
            (ErrorKind::Refused, _) => io::ErrorKind::ConnectionRefused,
            (ErrorKind::Unsupported, _) => io::ErrorKind::Unsupported,
            // Not `Interrupted`, which is tried again.
            (
                ErrorKind::ResourceExhausted
                | ErrorKind::HandlerFailed
                | ErrorKind::Io
                | ErrorKind::NotAPipe
                | ErrorKind::HandlerPanicked
                | ErrorKind::Cancelled,
                _,
            ) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// The kind of an [`Error`].
///
/// An example of a program that decides by it is at [`TypedReceiver::recv`](crate::TypedReceiver::recv).
///
/// ```
/// use typed_pipe::{Error, ErrorKind, WriteEnd};
///
/// /// What the program exits with: some callers try it again.
/// fn code(error: &Error) -> u8 {
///     match error.kind() {
///         ErrorKind::NotFound | ErrorKind::WouldBlock | ErrorKind::TimedOut => 75,
///         ErrorKind::NotTrusted | ErrorKind::PermissionDenied => 77,
///         _ => 1, // kinds may be added
///     }
/// }
///
/// # let folder = tempfile::tempdir()?;
/// # let name = folder.path().join("jobs");
/// let failed = WriteEnd::at(name)?.try_open().unwrap_err(); // there is no such pipe
/// assert_eq!(code(failed.error()), 75);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The other side of a session dropped it before its end. The text has the step in which it was.
    Abandoned,
    /// The name is taken by something that no owner of this crate left behind.
    AlreadyExists,
    /// Both sides of a connection send and neither receives, and the buffer for incoming bytes is full.
    #[doc(alias("EDEADLK"))]
    Deadlock,
    /// The bytes are damaged: a checksum differs, or a header is invalid. Fatal, unless the end of the message is
    /// known all the same, as that of one that is not base64.
    Corrupt,
    /// A whole message arrived, and its bytes are not a value of the type, or the codec cannot read such a type: see
    /// [`Postcard`](crate::wire::Postcard). The next message can be received.
    Decode,
    /// The other side left between two messages, without a goodbye. This error takes the place of a `SIGPIPE`, which is
    /// never raised.
    #[doc(alias("EPIPE", "BrokenPipe", "SIGPIPE", "crash", "died", "killed"))]
    Disconnected,
    /// This codec or this framing cannot carry the value. Nothing of it was sent; the next one can be.
    Encode,
    /// The process or the system has no descriptors or no memory left at this moment.
    #[doc(alias("EMFILE", "ENFILE"))]
    ResourceExhausted,
    /// The child process ended before it opened the other side, connected, or performed the handshake.
    ChildExited,
    /// The handler of a service returned an error, whose text is part of this one's.
    HandlerFailed,
    /// The other side finished sending, and left.
    Finished,
    /// The pipe has a living owner, or another reader.
    #[doc(alias("EADDRINUSE"))]
    InUse,
    /// The name is empty, too long, or has a part that no pipe name may have.
    InvalidName,
    /// Anything else that the operating system reports: see the source.
    Io,
    /// A message of one of several writers is lost. Messages of other writers are not affected.
    MessageLost,
    /// The two sides differ: in the handshake of a connection; in what one of several writers sends, whose messages are
    /// skipped while those of others are not affected; or in the kind of a handle that came with a message.
    Mismatch,
    /// The name or the handle is not that of a pipe, or no longer that of the same one.
    NotAPipe,
    /// There is no pipe of this name; or where one is to be made, no folder for it.
    #[doc(alias("ENOENT"))]
    NotFound,
    /// The operation would have to wait.
    #[doc(alias("EAGAIN"))]
    WouldBlock,
    /// The pipe, its folder or the peer belongs to another user, or other users may replace what is in the folder.
    NotTrusted,
    /// The handler of a service panicked; its message is part of the text.
    HandlerPanicked,
    /// The other side of a session panicked before its end. The text has the step in which it was.
    PeerPanicked,
    /// The system denies the operation to this user.
    #[doc(alias("EACCES"))]
    PermissionDenied,
    /// An earlier fatal error lost the place in the stream.
    Poisoned,
    /// The other side [refuses](crate::Handshake::refuse) the connection. Its words are in the text.
    Refused,
    /// A [`CancelToken`](crate::CancelToken) ended the wait.
    #[doc(alias("ECANCELED"))]
    Cancelled,
    /// The deadline passed.
    #[doc(alias("timeout"))]
    TimedOut,
    /// A message is larger than the limit. On a multi-writer wire, only that message is lost.
    TooLarge,
    /// The stream ended inside a message, whose beginning is dropped.
    Truncated,
    /// The system or the transport does not support the operation.
    Unsupported,
    /// The handle is open in the other direction.
    WrongDirection,
}

/// A few words, for logs and counters. The text of the [`Error`] has the details.
impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Abandoned => "abandoned",
            Self::AlreadyExists => "already exists",
            Self::Deadlock => "deadlock",
            Self::Corrupt => "corrupt",
            Self::Decode => "cannot be decoded",
            Self::Disconnected => "disconnected",
            Self::Encode => "cannot be encoded",
            Self::ResourceExhausted => "out of descriptors or memory",
            Self::ChildExited => "child exited",
            Self::HandlerFailed => "handler failed",
            Self::Finished => "finished",
            Self::InUse => "in use",
            Self::InvalidName => "invalid name",
            Self::Io => "input or output failed",
            Self::MessageLost => "message lost",
            Self::Mismatch => "does not match",
            Self::NotAPipe => "not a pipe",
            Self::NotFound => "not found",
            Self::WouldBlock => "would block",
            Self::NotTrusted => "not trusted",
            Self::HandlerPanicked => "handler panicked",
            Self::PeerPanicked => "other side panicked",
            Self::PermissionDenied => "permission denied",
            Self::Poisoned => "poisoned",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed out",
            Self::TooLarge => "too large",
            Self::Truncated => "truncated",
            Self::Unsupported => "not supported",
            Self::WrongDirection => "open in the other direction",
        })
    }
}

/// The operation of an [`Error`].
///
/// ```
/// use typed_pipe::{Operation, PipePath};
///
/// let error = PipePath::new("").unwrap_err();
/// assert_eq!(error.operation(), Operation::Name);
/// assert_eq!(Operation::Name.to_string(), "name a pipe"); // as it stands in the text of the error
/// assert!(error.to_string().starts_with("cannot name a pipe"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Giving a name to a pipe.
    Name,
    /// `mkfifo`: making the pipe.
    Allocate,
    /// `unlink`: removing the name.
    Deallocate,
    /// Opening the reading end.
    OpenReader,
    /// Opening the writing end.
    OpenWriter,
    /// Waiting for the writer of an end that is open for reading.
    AwaitWriter,
    /// Creating a [`CancelToken`](crate::CancelToken).
    CreateCancelToken,
    /// Making an end of a handle that came from elsewhere.
    Adopt,
    /// Registering an open end with the tokio runtime.
    Register,
    /// Reading the size of the pipe's buffer.
    MeasureBuffer,
    /// Encoding a value.
    Encode,
    /// Writing bytes to the pipe.
    Send,
    /// Finishing: sending the goodbye, and ending the direction.
    Finish,
    /// Receiving a message.
    Receive,
    /// Connecting to a listener.
    Connect,
    /// Listening at a name.
    Listen,
    /// Accepting a client.
    Accept,
    /// Identifying the peer.
    AskPeer,
    /// Performing the handshake.
    Agree,
    /// Taking a handle that came with a message.
    TakeHandle,
    /// Making sealed bytes.
    SealBytes,
    /// Calling a service.
    Call,
    /// Starting a child program with a connection to it.
    #[cfg(feature = "process")]
    Spawn,
    /// Taking the connection to the parent.
    #[cfg(feature = "process")]
    TakeParent,
}

impl Operation {
    /// The object of the operation, for an error without a path.
    fn object(self) -> &'static str {
        match self {
            Self::Name
            | Self::Allocate
            | Self::Deallocate
            | Self::CreateCancelToken
            | Self::Adopt
            | Self::SealBytes
            | Self::TakeHandle => "",
            #[cfg(feature = "process")]
            Self::Spawn | Self::TakeParent => "",
            Self::OpenReader
            | Self::OpenWriter
            | Self::Register
            | Self::AwaitWriter
            | Self::MeasureBuffer => " a pipe",
            Self::Accept | Self::Connect | Self::Listen => " a name",
            Self::Agree
            | Self::AskPeer
            | Self::Call
            | Self::Encode
            | Self::Finish
            | Self::Receive
            | Self::Send => " the other side",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name a pipe",
            Self::Allocate => "make the pipe",
            Self::Deallocate => "remove the pipe",
            Self::OpenReader => "open for reading",
            Self::OpenWriter => "open for writing",
            Self::AwaitWriter => "wait for a writer of",
            Self::CreateCancelToken => "create a cancel token",
            Self::Adopt => "use the handle",
            Self::Register => "use under tokio",
            Self::MeasureBuffer => "read the buffer size of",
            Self::Encode => "encode a message for",
            Self::Send => "send to",
            Self::Finish => "finish sending to",
            Self::Receive => "receive from",
            Self::Connect => "connect to",
            Self::Listen => "listen at",
            Self::Accept => "accept a client at",
            Self::AskPeer => "identify the peer of",
            Self::Agree => "perform the handshake with",
            Self::Call => "call the service at",
            Self::SealBytes => "make sealed bytes",
            Self::TakeHandle => "use a handle that came with the message",
            #[cfg(feature = "process")]
            Self::Spawn => "start a child",
            #[cfg(feature = "process")]
            Self::TakeParent => "take the connection to the parent",
        })
    }
}
