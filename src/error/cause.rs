//! The reasons inside an [`Error`](super::Error), in words.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::{CodecError, ErrorKind, FrameError, Operation};

/// In what the two sides of a connection do not agree.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Disagreement {
    #[error(
        "{what}: `{}` here, `{}` there; both sides must speak the same",
        ours.escape_debug(),
        theirs.escape_debug()
    )]
    Differs { what: &'static str, ours: String, theirs: String },
    #[error(
        "the other side does not say what it speaks, but sends `{}`; for a program that knows no handshake use `Connection::split`",
        bytes.escape_ascii()
    )]
    Foreign { bytes: Vec<u8> },
    #[error(
        "version {ours} of the handshake here, version {theirs} there; use the same version of this crate"
    )]
    Version { ours: u8, theirs: u8 },
}

/// What stands in the way of a pipe or a handle, and is not an error of the operating system.
///
/// `sys` speaks of it inside an [`io::Error`]; [`Cause`] takes it out again.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(dead_code, reason = "some are of one system alone")]
pub(crate) enum Obstacle {
    #[error("as many clients as may be are connected; wait until one has left with `accept`")]
    AllSeatsTaken,
    #[error(
        "there is something of this name already; remove it, or allow its use with `if_exists`"
    )]
    AlreadyExists,
    #[error(
        "it begins in the middle of what another reader has left; its writers must close it, and open it anew"
    )]
    Astray,
    #[error("its owner serves as many clients as it can now; wait for it with `open`")]
    Busy,
    #[error("both sides send and neither receives; receive what has come in before you send more")]
    Deadlock,
    #[error("{0}; try again when there is room")]
    ResourceExhausted(&'static str),
    #[error("the program that was to open the other side has ended without that ({0})")]
    ChildExited(ExitStatus),
    #[error("another end reads from it; two would take each other's bytes")]
    HasReader,
    #[error("it has a living owner; choose another name, or end that process")]
    InUse,
    #[error("not all of its handles came in: {0}")]
    HandlesLost(&'static str),
    #[error("its name was removed, and nobody can come by it any more; make the pipe again")]
    NameGone,
    #[error("no process listens at it; start the server first, or wait for it with `connect`")]
    NoListener,
    #[error("no runtime of tokio runs here; call it from a task, or within `Runtime::enter`")]
    NoRuntime,
    #[error("nobody reads from it; start the reader first, or wait for it with `open`")]
    NoReader,
    #[error("no handle of number {0} came with the message, or it was taken before")]
    NoHandle(u32),
    #[error("no writer has come to it yet")]
    NoWriter,
    #[error("the reader has not taken all of it yet")]
    NotTaken,
    #[error("it is {0}, not {1}")]
    OtherHandle(&'static str, &'static str),
    #[error("these are the halves of two connections")]
    OtherHalf,
    #[error("it belongs to user {owner} already; choose another name, or a folder of your own")]
    OtherOwner { owner: String },
    #[error("the other side is user {user}, and not the user that this process runs as")]
    OtherUser { user: String },
    #[error(
        "its lock, the name with the ending `.lock`, is {0}; choose another name, or remove that if nobody needs it"
    )]
    NotALock(&'static str),
    #[error("it is {0}, not a pipe")]
    NotAPipe(&'static str),
    #[error(
        "it is {0}, and no process listens at such a thing; a one-way pipe is opened as an `End`"
    )]
    NotASocket(&'static str),
    #[error(
        "the handle was not opened for overlapped operations; only calls that wait as long as it takes will do"
    )]
    NotOverlapped,
    #[error("it belongs to user {owner}; allow that with `trust_any_owner` if it is meant to be")]
    NotTrusted { owner: String },
    #[error("it is a path of {len} bytes; this system allows {limit} for what clients connect to")]
    PathTooLong { len: usize, limit: usize },
    #[error("{len} handles are too many for one message; {limit} may go with one")]
    TooManyHandles { len: usize, limit: usize },
    #[error("the folder `{}` lets anybody replace the pipe; use a private folder", .0.display())]
    UnsafeFolder(PathBuf),
    #[error("its reader has closed its end, or its process ended; what it had not read is gone")]
    ReaderLeft,
    #[error("another pipe has taken the place of this one under its name")]
    Replaced,
    #[error("the deadline passed, and {0}")]
    TimedOut(&'static str),
    #[error("the handle is not open for {0}")]
    WrongDirection(&'static str),
    #[error("it was cancelled")]
    Cancelled,
    #[error("this system has no such thing")]
    Unsupported,
}

impl Obstacle {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::AlreadyExists | Self::NotALock(_) => ErrorKind::AlreadyExists,
            Self::Astray => ErrorKind::Corrupt,
            Self::ChildExited(_) => ErrorKind::ChildExited,
            Self::HasReader | Self::InUse => ErrorKind::InUse,
            Self::NameGone => ErrorKind::NotFound,
            Self::AllSeatsTaken
            | Self::Busy
            | Self::NoListener
            | Self::NoReader
            | Self::NoWriter
            | Self::NotTaken => ErrorKind::WouldBlock,
            Self::Deadlock => ErrorKind::Deadlock,
            Self::ResourceExhausted(_) => ErrorKind::ResourceExhausted,
            Self::HandlesLost(_) => ErrorKind::MessageLost,
            Self::NoHandle(_) | Self::OtherHalf | Self::OtherHandle(..) => ErrorKind::Mismatch,
            Self::NotAPipe(_) | Self::NotASocket(_) | Self::Replaced => ErrorKind::NotAPipe,
            Self::NotTrusted { .. }
            | Self::OtherOwner { .. }
            | Self::OtherUser { .. }
            | Self::UnsafeFolder(_) => ErrorKind::NotTrusted,
            Self::PathTooLong { .. } => ErrorKind::InvalidName,
            Self::ReaderLeft => ErrorKind::Disconnected,
            Self::TooManyHandles { .. } => ErrorKind::TooLarge,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::TimedOut(_) => ErrorKind::TimedOut,
            Self::WrongDirection(_) => ErrorKind::WrongDirection,
            Self::NoRuntime | Self::NotOverlapped | Self::Unsupported => ErrorKind::Unsupported,
        }
    }
}

impl From<Obstacle> for io::Error {
    fn from(obstacle: Obstacle) -> Self {
        Self::other(obstacle)
    }
}

/// Why a path cannot name a pipe.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[allow(dead_code, reason = "some are of one system alone")]
pub(crate) enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name has no last part that a pipe could have")]
    NoFileName,
    #[error("the name has a NUL character in it")]
    Nul,
    #[error(
        "the name has a part `..`, or one of dots and spaces alone, which no pipe name may have"
    )]
    Parent,
    #[error("the name is not one of this machine's pipes; leave the prefix out")]
    Remote,
    #[error("the name is {len} long; this system allows {limit}")]
    TooLong { len: usize, limit: usize },
}

/// The reason inside an [`Error`].
#[derive(Debug, thiserror::Error)]
#[cfg_attr(not(feature = "service"), allow(dead_code, reason = "some are of services"))]
pub(crate) enum Cause {
    #[error(
        "the bytes of the message are no value of the type; both sides must have the same type and codec"
    )]
    Decode(#[source] CodecError),
    #[error("the other side left without a goodbye: it has closed its end, or its process ended")]
    Disconnected,
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    #[error("the codec cannot write this value; nothing of it was sent")]
    Encode(#[source] CodecError),
    #[error("its handler failed: {0}")]
    HandlerFailed(String),
    #[error("the other side said that this was all")]
    Finished,
    #[error(
        "what it answers cannot be read; the service and its clients must have the same types and wire"
    )]
    Garbled,
    #[error("the service ended before it took the request, which was never handled")]
    NeverTaken,
    #[error("its handler panicked: {0}")]
    HandlerPanicked(String),
    #[error(
        "the service was lost before it answered; whether it has handled the request is not known"
    )]
    Unanswered,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Io(&'static str, #[source] io::Error),
    /// One writer's loss: the place in the stream is kept.
    #[error(transparent)]
    Lost(FrameError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
}

impl Cause {
    /// The same in words that fit what was being done.
    pub(super) fn of(self, operation: Operation) -> Self {
        match (operation, self) {
            // A name that is to be made cannot be missing: its folder is.
            (Operation::Allocate | Operation::Listen, Self::Io(_, source))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Self::Io("there is no such folder; make it first", source)
            }
            (_, cause) => cause,
        }
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Decode(_) => ErrorKind::Decode,
            Self::Disconnected => ErrorKind::Disconnected,
            Self::Disagreement(_) => ErrorKind::Mismatch,
            Self::Encode(_) => ErrorKind::Encode,
            Self::HandlerFailed(_) => ErrorKind::HandlerFailed,
            Self::Finished | Self::NeverTaken => ErrorKind::Finished,
            Self::Garbled => ErrorKind::Corrupt,
            Self::HandlerPanicked(_) => ErrorKind::HandlerPanicked,
            Self::Unanswered => ErrorKind::Disconnected,
            Self::Frame(error) | Self::Lost(error) => error.kind(),
            Self::Io(_, source) => match source.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                    ErrorKind::Disconnected
                }
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::OutOfMemory => ErrorKind::ResourceExhausted,
                io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                io::ErrorKind::TimedOut => ErrorKind::TimedOut,
                io::ErrorKind::Unsupported => ErrorKind::Unsupported,
                io::ErrorKind::WouldBlock => ErrorKind::WouldBlock,
                _ => ErrorKind::Io,
            },
            Self::Name(_) => ErrorKind::InvalidName,
            Self::Obstacle(obstacle) => obstacle.kind(),
        }
    }
}

/// What `sys` or any `io::Read` or `io::Write` reports.
impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        if let Some(obstacle) = error.get_ref().and_then(|inner| inner.downcast_ref::<Obstacle>()) {
            return Self::Obstacle(obstacle.clone());
        }
        let advice = match error.kind() {
            io::ErrorKind::BrokenPipe => "the other side has closed its end, or its process ended",
            io::ErrorKind::ConnectionReset => {
                "the other side has left with bytes unread; whether it had said all is not known"
            }
            io::ErrorKind::NotFound => {
                "there is no pipe of this name; its owner must make it first"
            }
            io::ErrorKind::OutOfMemory => "there is no memory for it; try again when there is room",
            io::ErrorKind::PermissionDenied => {
                "this user may not; see the owner and the mode of the pipe and its folder"
            }
            io::ErrorKind::TimedOut => "the deadline passed",
            io::ErrorKind::WouldBlock => "it cannot be done without waiting",
            _ => "the system refused",
        };
        Self::Io(advice, error)
    }
}
