//! What is wrong with a message, or with the bytes of it.

use std::error::Error as StdError;

use super::ErrorKind;

/// Why a codec could not write a value, or read one.
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
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// What the codec's own library says.
    #[error(transparent)]
    Format(Box<dyn StdError + Send + Sync>),
    /// What should be text is not UTF-8.
    #[error("the text is not UTF-8 from byte {valid} on")]
    NotUtf8 {
        /// How many bytes at its beginning are.
        valid: usize,
    },
    /// A whole value was read, and bytes of the message are left over.
    #[error("{bytes} bytes are left over after the value")]
    Trailing {
        /// How many bytes are left over.
        bytes: usize,
    },
    /// The value is nested deeper than the receiver allows.
    #[error("the value is nested more than {limit} levels deep")]
    TooDeep {
        /// The deepest nesting that is allowed.
        limit: usize,
    },
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

/// Why bytes are not frames, or a message is lost.
///
/// As an error of [`Framing::scan`](crate::wire::Framing::scan), it says that the place in the stream is lost, and
/// that nothing more can be read from it. In a [`Step::Lost`](crate::wire::Step::Lost), it is about one message.
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
    /// What should be base64 is not. It costs this message alone.
    #[error(
        "the message is not base64: byte {at} of it is wrong, or the last one before that is missing"
    )]
    Base64 {
        /// The place of the first byte in the message that is wrong, or its length where something is missing.
        at: usize,
    },
    /// The checksum in the frame is not that of its bytes.
    #[error(
        "the checksum is {found:#010x} where {computed:#010x} was computed: the bytes are damaged, or several writers were mixed"
    )]
    Checksum {
        /// The checksum in the frame.
        found: u32,
        /// The checksum of what arrived.
        computed: u32,
    },
    /// The payload has a byte that would end the message, or be taken for a part of its end. Nothing of it
    /// was sent.
    #[error(
        "byte {at} of the payload is {byte:#04x}, which would end the message or be dropped with its end; use a codec that does not write it"
    )]
    Delimiter {
        /// The place of that byte in the payload.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// A header is not one that this framing knows.
    #[error(
        "the header {word:#010x} means nothing here: the sender uses another wire format, or a newer one"
    )]
    Header {
        /// The header.
        word: u32,
    },
    /// A message of one of several writers will never be whole.
    #[error("a message of writer {writer:016x} is lost, {got} bytes into it: {reason}")]
    Lost {
        /// The writer.
        writer: u64,
        /// How many bytes of the message had arrived.
        got: usize,
        /// What happened to it.
        reason: LossReason,
    },
    /// One of several writers speaks something else than this receiver.
    #[error(
        "writer {writer:016x} speaks {theirs}, and {ours} was expected; its messages are skipped"
    )]
    Mismatch {
        /// The writer.
        writer: u64,
        /// The codec and the messages of the writer.
        theirs: Box<str>,
        /// Those of this receiver.
        ours: Box<str>,
    },
    /// The payload has no end that this framing could find. Nothing of it was sent.
    #[error(
        "the end of the payload cannot be found in it; use a codec that writes what this framing carries"
    )]
    NoEnd,
    /// The system gave no random number for a writer to be told from the others by.
    #[error("the system gave no random number to tell this writer from the others by")]
    NoIdentity,
    /// A framing of the caller's own broke its contract: it claimed bytes that are not there.
    #[error("the framing claims bytes that are not there")]
    OutOfBounds,
    /// An earlier error lost the place in the stream.
    #[error("an earlier error lost the place in the stream; close this channel and open a new one")]
    Poisoned,
    /// The message is larger than the limit.
    #[error(
        "a message of {len} bytes is larger than the limit of {limit}; raise the limit on both sides, or send it in parts"
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
        /// How many bytes of the frame had arrived.
        got: usize,
    },
}

/// What happens to a message of one of several writers that will never be whole.
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
    /// Its writer began another one, introduced itself again, or said that this was all.
    #[error("its writer gave it up")]
    Abandoned,
    /// A part of it did not come.
    #[error("a part of it did not come")]
    Gap,
    /// It did not go on while much of other writers came.
    #[error("it did not go on while much of other writers came")]
    Idle,
    /// Its writer, and all others, left.
    #[error("its writer left in the middle of it")]
    Left,
    /// Its beginning did not come.
    #[error("its beginning did not come")]
    NoBeginning,
    /// Others needed its room, or it needs more than there is for all unfinished messages.
    #[error("there was no room for it among the unfinished messages")]
    NoRoom,
    /// Its writer has not introduced itself to this receiver.
    #[error("its writer has not introduced itself to this receiver yet")]
    Unknown,
    /// Its parts are not as long as its beginning said.
    #[error("its parts are not as long as it said")]
    Uneven,
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
