//! Errors of a message or of its bytes.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};

use super::ErrorKind;
use super::shown::Shown;

/// Why a codec could not encode or decode a value.
///
/// ```
/// use std::error::Error;
/// use typed_pipe::{CodecError, TypedReceiver};
///
/// let bytes = b"\0\0\0\x02\x01\x01"; // a message of two bytes, of which a `bool` takes one
/// let error = TypedReceiver::<bool, _>::new(&bytes[..]).recv().unwrap_err();
/// let source = error.source().and_then(|source| source.downcast_ref());
/// assert!(matches!(source, Some(CodecError::Trailing { bytes: 1 })));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CodecError {
    /// The error of the codec's own library.
    Format(Box<dyn StdError + Send + Sync>),
    /// The text is not valid UTF-8.
    NotUtf8 {
        /// The number of valid bytes before the first bad one.
        valid: usize,
    },
    /// The message has bytes after its value.
    Trailing {
        /// The number of bytes left over.
        bytes: usize,
    },
    /// The value is nested deeper than the limit.
    TooDeep {
        /// The deepest nesting that is allowed.
        limit: usize,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Its library may repeat what the other side has sent.
            Self::Format(error) => write!(Shown(f), "{error}"),
            Self::NotUtf8 { valid } => write!(f, "the text is not UTF-8 from byte {valid} on"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes are left over after the value"),
            Self::TooDeep { limit } => {
                write!(f, "the value is nested more than {limit} levels deep")
            }
        }
    }
}

impl StdError for CodecError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // It stands for the error of the library.
            Self::Format(error) => error.source(),
            _ => None,
        }
    }
}

impl CodecError {
    /// Wraps the error of the codec's own library.
    ///
    /// ```
    /// use typed_pipe::CodecError;
    ///
    /// /// A part of a codec whose numbers are text.
    /// fn number(text: &str) -> Result<u32, CodecError> {
    ///     text.parse().map_err(CodecError::format)
    /// }
    ///
    /// assert!(matches!(number("seven"), Err(CodecError::Format(_))));
    /// ```
    #[cold]
    pub fn format(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Format(error.into())
    }
}

/// Why bytes are not frames, or why a message is lost.
///
/// As an error of [`Framing::scan`](crate::wire::Framing::scan), it means that the place in the stream is lost:
/// nothing more can be read from the stream. In a [`Step::Lost`](crate::wire::Step::Lost), it concerns one message.
///
/// ```
/// use typed_pipe::wire::{Checked, Wire};
/// use typed_pipe::{FrameError, TypedReceiver, TypedSender};
///
/// let wire = Wire::default().with_framing(Checked::default());
/// let mut bytes = Vec::new();
/// TypedSender::with_wire(&mut bytes, wire.clone()).send("hello")?;
/// if let Some(last) = bytes.last_mut() {
///     *last ^= 1; // as on a bad disk
/// }
///
/// let error = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), wire).recv().unwrap_err();
/// assert!(matches!(error.frame_error(), Some(FrameError::Checksum { .. })));
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The message is not valid base64. Only this message is lost.
    #[error("the message is not base64: byte {at} is wrong, or the byte before the end is missing")]
    Base64 {
        /// The index of the first wrong byte, or the length of the message where bytes are missing.
        at: usize,
    },
    /// The checksum in the frame does not match its bytes.
    #[error(
        "the checksum is {found:#010x}, and that of the bytes {computed:#010x}: {}",
        if *found == 0 { "0 may mean that the sender leaves it out, which `without_crc` allows" }
        else { "they are damaged, or of several writers mixed" }
    )]
    Checksum {
        /// The checksum in the frame.
        found: u32,
        /// The checksum of the bytes that arrived.
        computed: u32,
    },
    /// The payload contains a byte that the framing does not carry: it would end the message, or count as a part of its
    /// end, or the other program refuses it. Nothing was sent.
    #[error(
        "byte {at} of the payload is {byte:#04x}, which {}; use a codec that does not write it",
        if byte.is_ascii() { "would end the message or be dropped with its end" }
        else { "is not ASCII, and this format carries ASCII alone" }
    )]
    Delimiter {
        /// The index of that byte in the payload.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// The header is unknown to this framing.
    #[error(
        "the header {word:#010x} is unknown here: the sender uses another wire format, or a newer one"
    )]
    Header {
        /// The header.
        word: u32,
    },
    /// A message of one of several writers is lost: the rest of it will not come.
    #[error("a message of writer {writer:016x} is lost, {got} bytes into it: {reason}")]
    Lost {
        /// The writer.
        writer: u64,
        /// The number of bytes of the message that had arrived.
        got: usize,
        /// Why it is lost.
        reason: LossReason,
    },
    /// One of several writers uses another codec or other messages than this receiver.
    #[error(
        "writer {writer:016x} sends {theirs}{}; its messages are skipped; start it with the codec and the types of this reader",
        expected(.ours)
    )]
    Mismatch {
        /// The writer.
        writer: u64,
        /// The codec and the name of the messages of the writer.
        theirs: Box<str>,
        /// Those of this receiver; empty if the others say it all.
        ours: Box<str>,
    },
    /// This framing cannot find the end of the payload. Nothing of it was sent.
    #[error(
        "the end of the payload cannot be found in it; use a codec that writes what this framing carries"
    )]
    NoEnd,
    /// The system gave no random number for the identity of a writer.
    #[error("the system gave no random number, which a writer of several needs as its identity")]
    NoIdentity,
    /// A framing outside of this crate broke its contract: it claimed bytes that are not there.
    #[error("the framing claims bytes that are not there")]
    OutOfBounds,
    /// An earlier error lost the place in the stream.
    #[error("an earlier error lost the place in the stream; close this channel and open a new one")]
    Poisoned,
    /// The message is larger than the limit.
    #[error(
        "a message of {len} bytes is larger than the limit of {limit}; raise the limit on both sides, or send it in parts{}",
        if_text(*.len)
    )]
    TooLarge {
        /// The length of the message in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The stream ended inside a frame.
    #[error(
        "the stream ended inside a message, {got} bytes after its beginning: the sender ended in the middle of it"
    )]
    Truncated {
        /// The number of bytes of the frame that had arrived.
        got: usize,
    },
}

/// The words for a length that is the beginning of a text, as a shell or a program without this crate sends it.
fn if_text(len: u64) -> String {
    let text = u32::try_from(len).map(u32::to_be_bytes);
    let text = text.as_ref().ok().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.filter(|text| !text.chars().any(char::is_control));
    text.map_or_else(String::new, |text| {
        format!("; if this length is a text that begins with `{text}`, receive it by `into_text`")
    })
}

/// Why a message of one of several writers is lost.
///
/// ```
/// use typed_pipe::wire::{MultiWriter, Wire};
/// use typed_pipe::{FrameError, LossReason, Pipe, WriteEnd};
///
/// let wire = Wire::default().with_framing(MultiWriter::default());
/// let pipe = Pipe::temporary()?;
/// let client = WriteEnd::at(pipe.path())?;
/// let mut receiver = pipe.into_reader().open()?.into_receiver_with::<String, _, _>(wire.clone());
///
/// let mut sender = client.open()?.into_sender_with::<str, _, _>(wire);
/// let large = "a".repeat(2 << 20);
/// assert!(sender.try_send(&large).unwrap_err().is_half_sent());
/// drop(sender);
/// let error = receiver.recv().unwrap_err();
/// assert!(matches!(error.frame_error(), Some(FrameError::Lost { reason: LossReason::Left, .. })));
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LossReason {
    /// Its writer began another message, introduced itself again, or finished.
    #[error("its writer gave it up")]
    Abandoned,
    /// A part of the message did not arrive.
    #[error("a part of it did not arrive")]
    Gap,
    /// The message stalled while other writers sent much.
    #[error("it stalled while other writers sent much")]
    Idle,
    /// All writers left, its own among them.
    #[error("its writer left in the middle of it")]
    Left,
    /// The beginning of the message did not arrive.
    #[error("its beginning did not arrive")]
    NoBeginning,
    /// Other messages needed its room, or it needs more than the limit for all unfinished messages.
    #[error("there was no room for it among the unfinished messages")]
    NoRoom,
    /// Its writer has not introduced itself to this receiver.
    #[error("its writer has not introduced itself to this receiver yet")]
    Unknown,
    /// The parts of the message do not add up to the announced length.
    #[error("its parts do not add up to the length that it announced")]
    Uneven,
}

fn expected(ours: &str) -> String {
    match ours {
        "" => String::new(),
        ours => format!(", and {ours} was expected"),
    }
}

impl FrameError {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Base64 { .. }
            | Self::Checksum { .. }
            | Self::Header { .. }
            | Self::OutOfBounds => ErrorKind::Corrupt,
            Self::Delimiter { .. } | Self::NoEnd => ErrorKind::Encode,
            Self::Lost { .. } => ErrorKind::MessageLost,
            Self::Mismatch { .. } => ErrorKind::Mismatch,
            Self::NoIdentity => ErrorKind::Io,
            Self::Poisoned => ErrorKind::Poisoned,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Truncated { .. } => ErrorKind::Truncated,
        }
    }
}
