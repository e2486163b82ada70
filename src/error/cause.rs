//! The reasons inside an [`Error`](super::Error), in words.

use std::io;
use std::path::PathBuf;
#[cfg(feature = "process")]
use std::process::Command;
use std::process::ExitStatus;

use super::{CodecError, ErrorKind, FrameError, Operation};

/// A difference that the handshake of a connection found.
#[derive(Clone, Debug, thiserror::Error)]
#[cfg_attr(not(feature = "session"), allow(dead_code, reason = "some are of sessions"))]
pub(crate) enum Disagreement {
    #[error(
        "{what} differs: `{}` here, `{}` there; set the same on both sides",
        ours.escape_debug(),
        theirs.escape_debug()
    )]
    Differs { what: &'static str, ours: String, theirs: String },
    #[error("what is carried does not fit: {0}; build both sides from the same types")]
    Carried(String),
    #[error(
        "the other side sends `{}` in place of a handshake; for a program without one use `Connection::split`",
        bytes.escape_ascii()
    )]
    Foreign { bytes: Vec<u8> },
    #[error(
        "the other side tells what its messages look like in bytes that say nothing; use the same version of this crate"
    )]
    Garbled,
    #[error(
        "the other side names its protocols in bytes that say nothing; use the same version of this crate"
    )]
    GarbledNames,
    #[error(
        "one side requires that the other one names its protocol, which it does not do; name it there"
    )]
    NoName,
    #[error(
        "the other side does not tell what its messages look like, and that is required here; update the other side, or do not require it here"
    )]
    NoShape,
    /// The words of the other side.
    #[error("the other side refuses the connection: {0}")]
    Refused(String),
    /// The place, in the words for this side.
    #[error(
        "{0}; build both sides from the same types, or change them as the page `when_types_change` says"
    )]
    Shapes(String),
    #[error("the two sides follow different protocols: {0}; build both sides from the same one")]
    Plans(String),
    #[error(
        "calls have version {ours} here and version {theirs} there; use the same version of this crate"
    )]
    #[cfg(feature = "service")]
    Calls { ours: u8, theirs: u8 },
    #[error(
        "the handshake has version {ours} here and version {theirs} there; use the same version of this crate"
    )]
    Version { ours: u8, theirs: u8 },
}

/// A reason of this crate's own, in place of an error of the operating system.
///
/// `sys` returns it inside an [`io::Error`]; [`Cause`] takes it out again.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(dead_code, reason = "some are of one system alone")]
pub(crate) enum Obstacle {
    #[error("as many clients as may be are connected; `accept` waits until one has left")]
    AllSeatsTaken,
    #[error("this name exists already; remove it, or allow its use with `if_exists`")]
    AlreadyExists,
    #[error(
        "this name exists already, and no lock beside it shows that its owner is dead, as after `persist`; remove it, or use it with `IfExists::Reuse`"
    )]
    NothingLeft,
    #[error(
        "its bytes begin in the middle of what another reader left; its writers must close it and open it again"
    )]
    Astray,
    #[error(
        "its owner serves as many clients as it can now; `open` or `connect` waits for its turn"
    )]
    Busy,
    #[error("both sides send and neither receives; receive what came in before you send more")]
    Deadlock,
    #[error("{0}; try again when there is room")]
    ResourceExhausted(&'static str),
    #[error("the child process ended before it {0}{status}", status = after_exit(.0, *.1))]
    ChildExited(&'static str, Option<ExitStatus>),
    #[error(
        "the lock beside it is a file of up to 3 bytes, and this process may write none (`RLIMIT_FSIZE`); raise the limit"
    )]
    FileLimit,
    #[error("another end reads from it; two readers would take each other's bytes")]
    HasReader,
    #[error(
        "it has a living owner; choose another name, or end that process, or the child that it forked and that still has a copy"
    )]
    InUse,
    #[error("not all handles of the message arrived: {0}")]
    HandlesLost(&'static str),
    #[error("its name was removed, so no process can open it any more; make the pipe again")]
    NameGone,
    #[error(
        "as many messages wait for the other side as may; send fewer until it is back, or choose another `WhenFull`"
    )]
    BacklogFull,
    #[error("it was disconnected as a slow reader, for which as many messages wait as may")]
    TooSlow,
    #[error("the link to the other side is lost: {0}")]
    LinkLost(String),
    #[error("no process listens at it; start the server first, or let `connect` wait for it")]
    NoListener,
    #[error("no tokio runtime runs here; call it from a task, or within `Runtime::enter`")]
    NoRuntime,
    #[error("no process reads from it; start the reader first, or let `open` wait for it")]
    NoReader,
    #[error("there is no shared memory for this connection: {0}")]
    NoSharedMemory(String),
    #[error("no handle {0} came with the message, or it was taken before")]
    NoHandle(u32),
    #[error("no writer has opened it yet")]
    NoWriter,
    #[error("the reader has not taken all of it yet")]
    NotTaken,
    #[error("it is {0}, not {1}")]
    OtherHandle(&'static str, &'static str),
    #[error("the other side has broken the memory that both share")]
    BrokenMemory,
    #[error("these are the halves of two connections")]
    OtherHalf,
    #[error("it belongs to user {owner} already; choose another name, or a folder of your own")]
    OtherOwner { owner: String },
    #[error("the other side is user {user}, not the user of this process")]
    OtherUser { user: String },
    #[error(
        "its lock file, the name with the ending `.lock`, is {0}; choose another name, or remove that if it is not needed"
    )]
    NotALock(&'static str),
    #[error(
        "it is {0}, not a pipe{advice}",
        advice = pipe_advice(.0)
    )]
    NotAPipe(&'static str),
    #[error(
        "it is {0}, which cannot be a connection{advice}",
        advice = if *.0 == Obstacle::FIFO { "; a one-way pipe is for a `ReadEnd` or a `WriteEnd`" } else { "" }
    )]
    NotASocket(&'static str),
    #[error(
        "the handle was not opened for overlapped operations (`FILE_FLAG_OVERLAPPED`); use calls without a deadline"
    )]
    NotOverlapped,
    #[error("it belongs to user {owner}; if that is meant to be, allow it with `trust_any_owner`")]
    NotTrusted { owner: String },
    #[error(
        "the path has {len} bytes; this system allows {limit} for a listener; use a shorter one"
    )]
    PathTooLong { len: usize, limit: usize },
    #[error(
        "they have {len} bytes, and {limit} more may be taken from this message; raise `sealed_bytes_limit` if that is meant to be"
    )]
    SealedBytesTooLarge { len: u64, limit: usize },
    #[error("{len} handles are too many for one message; send at most {limit} with each")]
    TooManyHandles { len: usize, limit: usize },
    #[error(
        "{who} may replace the pipe in the folder `{}`; use a private folder, or allow it with `trust_any_folder`",
        folder.display()
    )]
    UnsafeFolder { folder: PathBuf, who: String },
    #[error(
        "the private folder of this user lies in `{}`, which {why}; set `XDG_RUNTIME_DIR` to a folder of this user",
        above.display()
    )]
    NoPrivateFolder { above: PathBuf, why: String, kind: ErrorKind },
    #[error(
        "it has other names too, by hard links, and may be meant for something else; remove those or this one"
    )]
    OtherNames,
    #[error(
        "it is a symbolic link that {who} may have made; open what it leads to, or allow it with `trust_any_owner`"
    )]
    UntrustedLink { who: String },
    #[error("the variable `{0}` of the environment is no number")]
    BadVariable(&'static str),
    #[error("the program `{}` does not start: {reason}", program.display())]
    NotStarted { program: PathBuf, reason: String, kind: ErrorKind },
    #[error("the child has not taken its side of the connection yet")]
    NoChild,
    #[error(
        "no process has started this one with `process::spawn`: there is no variable `TYPED_PIPE_PARENT`"
    )]
    NoParent,
    #[error("it was taken already, by this process or another one; take it once, and pass it on")]
    ParentTaken,
    #[error(
        "what the variable `TYPED_PIPE_PARENT` leads to is gone: it was meant for another process, or a program between closed it"
    )]
    StaleParent,
    #[error("this user is no member of group {0}, and so cannot give it a name")]
    NotInGroup(u32),
    #[error("{0}; choose another `Access` on this system")]
    OtherAccess(&'static str),
    #[error("the security descriptor of `Access::Sddl` is not valid: {0}")]
    BadAccess(String),
    #[error("`/proc` is not mounted here, and {0} needs it; mount it")]
    NoProc(&'static str),
    #[error("the reader closed its end, or its process ended; what it had not read is lost")]
    ReaderLeft,
    #[error(
        "its name leads to something else now, so no process can open it any more; make it again"
    )]
    Replaced,
    #[error("the deadline passed, and {0}")]
    TimedOut(&'static str),
    #[error("the handle is not open for {0}")]
    WrongDirection(&'static str),
    #[error("the cancel token was cancelled")]
    Cancelled,
    #[error("it cannot be carried to another process: {0}")]
    NotCarried(&'static str),
    #[error("handles do not go over a carrier; send the bytes themselves")]
    NoHandlesHere,
    #[cfg_attr(not(feature = "service"), allow(dead_code, reason = "of calls"))]
    #[error(
        "the other side lets no handles in, which its option `with_handles` changes, or they cannot go there"
    )]
    HandlesNotTaken,
    #[error("what carries the connection does not identify the other side")]
    UnknownPeer,
    #[error("this system does not support it")]
    Unsupported,
}

impl Obstacle {
    /// The words for what is no pipe, and has an operation of its own.
    pub(crate) const SOCKET: &str = "a socket";
    /// The same for a file.
    pub(crate) const FILE: &str = "a regular file";
    /// The same for what is no connection.
    pub(crate) const FIFO: &str = "a FIFO";
    /// What a child was to do that was given the path of a pipe as a file to read.
    pub(crate) const STARTED_READING: &str = "opened the other side";

    /// Why a program does not start.
    #[cfg(feature = "process")]
    pub(crate) fn not_started(command: &Command, error: &io::Error) -> io::Error {
        let kind = Cause::from(io::Error::from(error.kind())).kind();
        let program = command.get_program().into();
        Self::NotStarted { program, reason: error.to_string(), kind }.into()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::AlreadyExists | Self::NotALock(_) | Self::NothingLeft => ErrorKind::AlreadyExists,
            Self::Astray | Self::BrokenMemory => ErrorKind::Corrupt,
            Self::ChildExited(..) => ErrorKind::ChildExited,
            Self::HasReader | Self::InUse | Self::ParentTaken => ErrorKind::InUse,
            Self::NameGone | Self::NoParent => ErrorKind::NotFound,
            Self::AllSeatsTaken
            | Self::BacklogFull
            | Self::Busy
            | Self::NoChild
            | Self::NoListener
            | Self::NoReader
            | Self::NoWriter
            | Self::NotTaken => ErrorKind::WouldBlock,
            Self::Deadlock => ErrorKind::Deadlock,
            Self::ResourceExhausted(_) | Self::FileLimit => ErrorKind::ResourceExhausted,
            Self::HandlesLost(_) => ErrorKind::MessageLost,
            Self::NoHandle(_) | Self::OtherHalf | Self::OtherHandle(..) => ErrorKind::Mismatch,
            Self::NotAPipe(_) | Self::NotASocket(_) | Self::Replaced | Self::StaleParent => {
                ErrorKind::NotAPipe
            }
            Self::NotTrusted { .. }
            | Self::OtherOwner { .. }
            | Self::OtherUser { .. }
            | Self::OtherNames
            | Self::UntrustedLink { .. }
            | Self::UnsafeFolder { .. } => ErrorKind::NotTrusted,
            Self::NoPrivateFolder { kind, .. } | Self::NotStarted { kind, .. } => *kind,
            Self::BadAccess(_) | Self::BadVariable(_) => ErrorKind::Io,
            Self::NotInGroup(_) => ErrorKind::PermissionDenied,
            Self::PathTooLong { .. } => ErrorKind::InvalidName,
            Self::LinkLost(_) | Self::ReaderLeft | Self::TooSlow => ErrorKind::Disconnected,
            Self::SealedBytesTooLarge { .. } | Self::TooManyHandles { .. } => ErrorKind::TooLarge,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::TimedOut(_) => ErrorKind::TimedOut,
            Self::WrongDirection(_) => ErrorKind::WrongDirection,
            Self::HandlesNotTaken
            | Self::NoHandlesHere
            | Self::NoProc(_)
            | Self::NotCarried(_)
            | Self::OtherAccess(_)
            | Self::NoRuntime
            | Self::NoSharedMemory(_)
            | Self::NotOverlapped
            | Self::UnknownPeer
            | Self::Unsupported => ErrorKind::Unsupported,
        }
    }
}

/// The words of an error of which the system alone knows the reason; they are followed by it.
const REFUSED: &str = "the system refused";

/// What to do with what is no pipe.
fn pipe_advice(found: &str) -> &'static str {
    match found {
        Obstacle::SOCKET => "; connect to a socket with `Connection`",
        Obstacle::FILE => {
            "; choose another name, or open it with `std::fs::File`, over which channels work as well"
        }
        _ => "",
    }
}

/// What to do about a message that does not decode.
fn decode_advice(error: &CodecError) -> &'static str {
    let CodecError::Format(format) = error else {
        return match error {
            CodecError::NotUtf8 { .. } => {
                "let the sender write UTF-8, or receive bytes in place of text"
            }
            _ => "both sides must use the same type and codec",
        };
    };
    #[cfg(feature = "json")]
    if format.downcast_ref::<serde_json::Error>().is_some_and(|error| !error.is_data()) {
        return "it is no JSON";
    }
    match format.downcast_ref() {
        Some(postcard::Error::WontImplement) => {
            "Postcard does not say what comes, and types with `untagged`, `tag` or `flatten`, or a `Value`, have to know: use `Json` on both sides"
        }
        Some(_) => {
            "both sides must use the same type and codec; with Postcard, no field may be left out by `skip_serializing_if`"
        }
        None => "both sides must use the same type and codec",
    }
}

/// Why a value cannot be written, where the attribute is known that leads there.
fn encode_advice(error: &CodecError) -> &'static str {
    let CodecError::Format(format) = error else { return "" };
    match format.downcast_ref() {
        Some(postcard::Error::SerializeSeqLengthUnknown) => {
            " (`flatten` does not tell it: use `Json` on both sides)"
        }
        _ => "",
    }
}

/// The status of a child that did not do what was awaited, and what to do where it saw nothing wrong.
fn after_exit(awaited: &str, status: Option<ExitStatus>) -> String {
    let Some(status) = status else { return String::new() };
    if status.success() && awaited == Obstacle::STARTED_READING {
        format!(
            " ({status}); one that opens its files without waiting, as gzip does, takes the pipe as its standard input"
        )
    } else {
        format!(" ({status})")
    }
}

impl From<Obstacle> for io::Error {
    fn from(obstacle: Obstacle) -> Self {
        Self::other(obstacle)
    }
}

impl From<NameError> for io::Error {
    fn from(error: NameError) -> Self {
        Self::other(error)
    }
}

/// Why a path cannot name a pipe.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[allow(dead_code, reason = "some are of one system alone")]
pub(crate) enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name has no last part, as `jobs` is in `run/jobs`")]
    NoFileName,
    #[error("the current folder is gone, and a relative path begins there; use an absolute path")]
    NoCurrentFolder,
    #[error("the user of this process is not known, and private names are those of a user")]
    NoUser,
    #[error("a private name is one part, such as `jobs`; a path goes to `PipePath::new`")]
    NotOnePart,
    #[error("the name contains a NUL character")]
    Nul,
    #[error(
        "the name has a part `..`, or one of dots and spaces alone, which no pipe name may have"
    )]
    Parent,
    #[error("the name is not one of this machine's pipes; leave the prefix out")]
    Remote,
    #[error("the name has a length of {len}; this system allows {limit}; use a shorter one")]
    TooLong { len: usize, limit: usize },
}

/// The reason inside an [`Error`].
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    not(all(feature = "service", feature = "session")),
    allow(dead_code, reason = "some are of services, and some of sessions")
)]
pub(crate) enum Cause {
    #[error("the other side left the session before its end, where it was to {0}")]
    Abandoned(String),
    #[error("the message does not decode: {}; {advice}", reason(.0), advice = decode_advice(.0))]
    Decode(#[source] CodecError),
    #[error("the other side left without a goodbye: it closed its end, or its process ended")]
    Disconnected,
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    /// A value of a type that is not known before it is sent, and where it is not what the receiver reads.
    #[error("{0}; nothing of it was sent; build both sides from the same types")]
    Unfit(String),
    #[error(
        "the codec cannot write this value: {}{advice}; nothing of it was sent",
        reason(.0),
        advice = encode_advice(.0)
    )]
    Encode(#[source] CodecError),
    #[error("its handler failed: {0}")]
    HandlerFailed(String),
    #[error("the other side has finished sending")]
    Finished,
    #[error(
        "its answer cannot be read; use the same types and the same wire for the service and its clients"
    )]
    Garbled,
    #[error(
        "its answer cannot be read: {}; use the same types and the same wire for the service and its clients",
        reason(.0)
    )]
    UndecodableAnswer(#[source] CodecError),
    #[error("the service ended before it took the request; the request was not handled")]
    NeverTaken,
    #[error("the other side has no such method: {0}; call a method that it serves")]
    NoSuchMethod(String),
    #[error(
        "the service cannot read the request: {0}; use the same types and the same wire for the service and its clients"
    )]
    UndecodableRequest(String),
    #[error("its handler panicked: {0}")]
    HandlerPanicked(String),
    #[error("the other side panicked, where it was to {0}")]
    PeerPanicked(String),
    #[error("the other side does not keep to the protocol: {0} came")]
    Stray(String),
    #[error(
        "the connection to the service was lost before the answer; the request may have been handled"
    )]
    Unanswered,
    #[error("the call is over: its handler takes no more items; `finish` returns its outcome")]
    CallOver,
    #[error(
        "nothing waits for the answer: the caller has given up, has left, or has only notified"
    )]
    CallerGone,
    #[error("the service shuts down, and waits no longer for the caller of this call")]
    ShutDown,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}{reason}", reason = if *.0 == REFUSED { format!(": {}", .1) } else { String::new() })]
    Io(&'static str, #[source] io::Error),
    /// One writer's loss: the place in the stream is kept.
    #[error(transparent)]
    Lost(FrameError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
}

/// The reason of a codec. It may repeat what the other side has sent: what is long is cut.
fn reason(error: &CodecError) -> String {
    const MOST: usize = 300;
    let mut text = error.to_string();
    if let Some((end, _)) = text.char_indices().nth(MOST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl Cause {
    /// Adapts the words to the operation.
    pub(super) fn of(self, operation: Operation) -> Self {
        match (operation, self) {
            // A name that is to be made cannot be missing: its folder is.
            (Operation::Allocate | Operation::Listen, Self::Io(_, source))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Self::Io("there is no such folder; make it first", source)
            }
            (Operation::Connect, Self::Io(_, source))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Self::Io("no listener has this name; start it first, or let `connect` wait", source)
            }
            (Operation::Agree, Self::Io(_, source)) if source.kind() == io::ErrorKind::TimedOut => {
                Self::Io(
                    "the deadline passed, and the other side has not done its part of the \
                     handshake; it must make its connection a typed one too",
                    source,
                )
            }
            (_, cause) => cause,
        }
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Abandoned(_) => ErrorKind::Abandoned,
            Self::Decode(_) | Self::UndecodableRequest(_) => ErrorKind::Decode,
            Self::NoSuchMethod(_) => ErrorKind::Mismatch,
            Self::Disconnected => ErrorKind::Disconnected,
            Self::Disagreement(Disagreement::Refused(_)) => ErrorKind::Refused,
            Self::Disagreement(_) | Self::Unfit(_) => ErrorKind::Mismatch,
            Self::Encode(_) => ErrorKind::Encode,
            Self::HandlerFailed(_) => ErrorKind::HandlerFailed,
            Self::Finished | Self::NeverTaken => ErrorKind::Finished,
            Self::Garbled | Self::UndecodableAnswer(_) | Self::Stray(_) => ErrorKind::Corrupt,
            Self::HandlerPanicked(_) => ErrorKind::HandlerPanicked,
            Self::PeerPanicked(_) => ErrorKind::PeerPanicked,
            Self::Unanswered | Self::CallOver => ErrorKind::Disconnected,
            Self::CallerGone | Self::ShutDown => ErrorKind::Cancelled,
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
            Self::Name(NameError::NoCurrentFolder) => ErrorKind::NotFound,
            Self::Name(_) => ErrorKind::InvalidName,
            Self::Obstacle(obstacle) => obstacle.kind(),
        }
    }

    /// Whether the channel is of no more use after it.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            // What one of several writers lost is its own loss.
            Self::Lost(_) => false,
            // None can come by the name any more.
            Self::Obstacle(Obstacle::NameGone | Obstacle::Replaced) => true,
            cause => ends_a_channel(cause.kind()),
        }
    }
}

/// Whether nothing more comes of a channel after an error of this kind.
fn ends_a_channel(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Abandoned
            | ErrorKind::Corrupt
            | ErrorKind::Disconnected
            | ErrorKind::Finished
            | ErrorKind::Io
            | ErrorKind::PeerPanicked
            | ErrorKind::Poisoned
            | ErrorKind::Cancelled
            | ErrorKind::TooLarge
    )
}

/// Wraps what `sys` or any `io::Read` or `io::Write` returns.
impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        if let Some(obstacle) = error.get_ref().and_then(|inner| inner.downcast_ref::<Obstacle>()) {
            return Self::Obstacle(obstacle.clone());
        }
        if let Some(name) = error.get_ref().and_then(|inner| inner.downcast_ref::<NameError>()) {
            return Self::Name(*name);
        }
        let advice = match error.kind() {
            io::ErrorKind::BrokenPipe => "the other side closed its end, or its process ended",
            io::ErrorKind::ConnectionReset => {
                "the other side left with bytes unread; whether it had sent all is not known"
            }
            io::ErrorKind::NotADirectory => "a part of the path before its last one is no folder",
            io::ErrorKind::NotFound => {
                "there is no pipe of this name; its owner must make it first"
            }
            io::ErrorKind::OutOfMemory => "there is no memory left; try again later",
            io::ErrorKind::PermissionDenied => {
                "the system denies it; check the owner and the mode of the pipe and its folder"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "the file system is read-only; choose a folder of another one"
            }
            io::ErrorKind::StorageFull => {
                "the file system is full; make room, or choose another one"
            }
            io::ErrorKind::TimedOut => "the deadline passed",
            io::ErrorKind::WouldBlock => "it would have to wait",
            _ => REFUSED,
        };
        Self::Io(advice, error)
    }
}
