use std::ops::Range;

use super::shape::Style;
use crate::error::FrameError;

/// Marks where one message ends in a stream of bytes and the next begins.
///
/// Any crate may implement this trait. A framing is a function of the bytes with little state: the
/// [`Encoder`](super::Encoder) and the [`Decoder`](super::Decoder) own the buffers, and no framing
/// does I/O.
///
/// A framing of lines:
///
/// ```
/// use typed_pipe::FrameError;
/// use typed_pipe::wire::{Framing, Step};
///
/// struct Lines;
///
/// impl Framing for Lines {
///     fn begin(&mut self, _out: &mut Vec<u8>) {}
///
///     fn finish(&mut self, out: &mut Vec<u8>, _start: usize) -> Result<(), FrameError> {
///         out.push(b'\n');
///         Ok(())
///     }
///
///     fn scan(&mut self, bytes: &mut [u8], scanned: usize) -> Result<Step, FrameError> {
///         // What was looked at before is not looked at again: one pass, however long the line is.
///         Ok(match bytes[scanned..].iter().position(|&byte| byte == b'\n') {
///             Some(at) => Step::Message { payload: 0..scanned + at, frame: scanned + at + 1 },
///             None => Step::NoEnd { scanned: bytes.len() },
///         })
///     }
/// }
///
/// assert_eq!(Lines.scan(&mut b"12".to_owned(), 0)?, Step::NoEnd { scanned: 2 });
/// assert_eq!(Lines.scan(&mut b"123\n4".to_owned(), 2)?, Step::Message { payload: 0..3, frame: 4 });
/// # Ok::<(), FrameError>(())
/// ```
#[doc(alias("delimiter", "length prefix"))]
pub trait Framing {
    /// The name of the format: short, in lower case, and the same on both sides.
    ///
    /// The [handshake](crate::Handshake) of a connection compares it. Two framings without a name agree.
    ///
    /// ```
    /// use typed_pipe::wire::{Checked, Framing, LengthPrefixed};
    ///
    /// let (ours, theirs) = (Checked::default(), LengthPrefixed::default());
    /// assert_eq!((ours.name(), theirs.name()), ("checked", "length-prefixed")); // no handshake
    /// ```
    fn name(&self) -> &str {
        ""
    }

    /// The largest payload in bytes: 2<sup>64</sup> - 1 without a limit.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed};
    ///
    /// let picture = vec![7; 10 << 20];
    /// let fits = |framing: &LengthPrefixed| picture.len() as u64 <= framing.max_payload();
    /// assert!(!fits(&LengthPrefixed::default())); // 8 MiB
    /// assert!(fits(&LengthPrefixed::default().limit(16 << 20)));
    /// ```
    fn max_payload(&self) -> u64 {
        u64::MAX
    }

    /// Applies the limits of the channel: its codec, the other side's maximum, and the atomic size of the pipe.
    ///
    /// The channel calls it whenever it knows more; a call changes only the values that it sets. A new
    /// [`Encoder`](super::Encoder) or [`Decoder`](super::Decoder) sets the codec, a
    /// [handshake](crate::Handshake) the limit of the other side, and the end of a pipe the size of an atomic write.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed, Limits};
    ///
    /// let mut framing = LengthPrefixed::default().limit(4096);
    /// framing.configure(&Limits::new().max_payload(1024));
    /// assert_eq!(framing.max_payload(), 1024);
    /// framing.configure(&Limits::new().max_payload(1 << 20)); // it is never raised
    /// assert_eq!(framing.max_payload(), 1024);
    /// ```
    ///
    /// Many writers on one pipe name their codec, and write no more at once than the pipe keeps whole:
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, Limits, MultiWriter};
    ///
    /// let (mut framing, mut pending) = (MultiWriter::default(), Vec::new());
    /// framing.configure(&Limits::new().codec("postcard").atomic_write(4096));
    /// framing.begin(&mut pending);
    /// pending.extend_from_slice(&[7; 1000]);
    /// framing.finish(&mut pending, 0)?;
    /// assert_eq!(framing.next_write(&pending), pending.len()); // at most 512 bytes unless set
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    fn configure(&mut self, limits: &Limits<'_>) {
        let _ = limits;
    }

    /// Begins a frame at the end of `out`: writes its header, or leaves room for it.
    ///
    /// The codec appends the payload. If it fails, the encoder drops the frame, and calls `begin` again
    /// without a `finish` between.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed};
    ///
    /// let mut out = b"the frames before".to_vec();
    /// LengthPrefixed::default().begin(&mut out);
    /// assert_eq!(out, b"the frames before\0\0\0\0"); // room for a length that is not known yet
    /// ```
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Completes the frame `out[start..]`, which `begin` began and the codec filled.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed};
    ///
    /// let mut framing = LengthPrefixed::default();
    /// let mut out = b"the frames before".to_vec();
    /// let start = out.len();
    /// framing.begin(&mut out);
    /// out.extend_from_slice(b"payload");
    /// framing.finish(&mut out, start)?;
    /// assert_eq!(out, b"the frames before\0\0\0\x07payload");
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`] for a payload over the limit. The encoder drops the frame then.
    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError>;

    /// Appends the header of a payload of `len` bytes, if header and payload are the whole frame; returns whether
    /// they are.
    ///
    /// The encoder can then send a large payload without copying it. A framing that must see the payload, or
    /// writes a trailer, keeps this default: `begin` and `finish` make its frames.
    ///
    /// ```
    /// use typed_pipe::wire::{Checked, Framing, LengthPrefixed};
    ///
    /// let mut out = Vec::new();
    /// assert!(LengthPrefixed::default().header(1 << 20, &mut out)?);
    /// assert_eq!(out, [0x00, 0x10, 0x00, 0x00]); // the payload can be written from where it is
    /// assert!(!Checked::default().header(1 << 20, &mut out)?); // its checksum comes behind it
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`], as in [`finish`](Self::finish).
    fn header(&mut self, len: usize, out: &mut Vec<u8>) -> Result<bool, FrameError> {
        let _ = (len, out);
        Ok(false)
    }

    /// Finds the first frame in the bytes that have arrived and are not consumed yet.
    ///
    /// `bytes` begins where a frame begins and is never empty. `scanned` is what the last scan of this frame returned
    /// in its [`Step::NoEnd`], and 0 for a new frame: a search for the end of the frame begins there. It is
    /// never more than `bytes.len()`.
    ///
    /// A framing with an encoded payload, such as base64, may decode it in place, within the frame that it
    /// returns as a message.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed, Step};
    ///
    /// let mut framing = LengthPrefixed::default();
    /// assert_eq!(framing.scan(&mut [0, 0], 0)?, Step::More { total: 4 }); // the header is not there
    /// assert_eq!(framing.scan(&mut [0, 0, 0, 2, 7], 0)?, Step::More { total: 6 }); // as it says
    /// assert_eq!(
    ///     framing.scan(&mut [0, 0, 0, 2, 7, 8, 0], 0)?, // the last byte is another frame's
    ///     Step::Message { payload: 4..6, frame: 6 }
    /// );
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`FrameError`] for bytes that cannot be frames. The place in the stream is lost then: the decoder
    /// does not call `scan` again.
    fn scan(&mut self, bytes: &mut [u8], scanned: usize) -> Result<Step, FrameError>;

    /// Decides whether the bytes left at the end of the stream are a frame.
    ///
    /// The last [`scan`](Self::scan) found no frame in these bytes. A framing whose frames carry their length, or
    /// need an end mark, keeps this default: the rest is a truncated message. A message found here that does not
    /// decode counts as truncated as well, unless the codec names another cause.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Framing, LengthPrefixed, Step};
    ///
    /// let mut rest = *b"last";
    /// let line = Lines::default().scan_at_end(&mut rest)?; // what `printf last` writes
    /// assert_eq!(line, Step::Message { payload: 0..4, frame: 4 });
    /// assert_eq!(LengthPrefixed::default().scan_at_end(&mut rest)?, Step::NoEnd { scanned: 0 });
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`FrameError`], as in [`scan`](Self::scan).
    fn scan_at_end(&mut self, bytes: &mut [u8]) -> Result<Step, FrameError> {
        let _ = bytes;
        Ok(Step::NoEnd { scanned: 0 })
    }

    /// The message of the last [`Step::Assembled`], valid until the next `scan`.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, MultiWriter, Step};
    ///
    /// let (mut writer, mut bytes) = (MultiWriter::default(), Vec::new());
    /// writer.begin(&mut bytes);
    /// bytes.extend_from_slice(&[7; 1000]); // more than goes into one part
    /// writer.finish(&mut bytes, 0)?;
    ///
    /// let (mut reader, mut at) = (MultiWriter::default(), 0);
    /// while let Step::Skip { bytes: taken } = reader.scan(&mut bytes[at..], 0)? {
    ///     at += taken;
    /// }
    /// assert_eq!(reader.assembled(), [7; 1000]);
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    fn assembled(&self) -> &[u8] {
        &[]
    }

    /// Appends the goodbye, and returns whether this format has one.
    ///
    /// The goodbye is a frame of its own. No `finish` follows it.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Checked, Framing, Step};
    ///
    /// let (mut framing, mut out) = (Checked::default(), Vec::new());
    /// assert!(framing.goodbye(&mut out));
    /// assert_eq!(framing.scan(&mut out, 0)?, Step::Goodbye { bytes: 8 });
    /// assert!(!Lines::default().goodbye(&mut out)); // it has none
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    fn goodbye(&mut self, out: &mut Vec<u8>) -> bool {
        let _ = out;
        false
    }

    /// The number of pending bytes for one write: by default all of them.
    ///
    /// `pending` begins where a frame begins, or a part of one that goes out with a write of its own, and is not
    /// empty. The encoder completes a partial write before it calls this again.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed, MultiWriter};
    ///
    /// let (mut framing, mut pending) = (MultiWriter::default(), Vec::new());
    /// framing.begin(&mut pending);
    /// pending.extend_from_slice(&[7; 1000]);
    /// framing.finish(&mut pending, 0)?;
    /// assert!(framing.next_write(&pending) <= 512); // as much as no system mixes with others
    ///
    /// let all = LengthPrefixed::default().next_write(&pending);
    /// assert_eq!(all, pending.len());
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    fn next_write(&self, pending: &[u8]) -> usize {
        pending.len()
    }

    /// Called when the encoder withdraws the frame finished last, of which nothing was written.
    ///
    /// ```
    /// use typed_pipe::FrameError;
    /// use typed_pipe::wire::{Framing, MultiWriter};
    ///
    /// fn frame(writer: &mut MultiWriter) -> Result<Vec<u8>, FrameError> {
    ///     let mut out = Vec::new();
    ///     writer.begin(&mut out);
    ///     writer.finish(&mut out, 0)?;
    ///     Ok(out)
    /// }
    ///
    /// let mut writer = MultiWriter::default();
    /// let first = frame(&mut writer)?;
    /// writer.withdrawn(); // the next frame gets its numbers
    /// assert_eq!(frame(&mut writer)?, first);
    /// assert_ne!(frame(&mut writer)?, first);
    /// # Ok::<(), FrameError>(())
    /// ```
    fn withdrawn(&mut self) {}

    /// Abandons one message that has arrived in part when the stream has ended, and returns its loss.
    ///
    /// The decoder calls it until it returns `None`. A frame that has arrived in part at the end of the bytes is not
    /// meant: the [`Decoder`](super::Decoder) has that.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, MultiWriter, Step};
    /// use typed_pipe::{FrameError, LossReason};
    ///
    /// let (mut writer, mut bytes) = (MultiWriter::default(), Vec::new());
    /// writer.begin(&mut bytes);
    /// bytes.extend_from_slice(&[7; 1000]);
    /// writer.finish(&mut bytes, 0)?;
    /// bytes.pop(); // the writer was killed before it wrote all
    ///
    /// let (mut reader, mut at) = (MultiWriter::default(), 0);
    /// while let Step::Skip { bytes: taken } = reader.scan(&mut bytes[at..], 0)? {
    ///     at += taken;
    /// }
    /// assert!(matches!(reader.abandon(), Some(FrameError::Lost { reason: LossReason::Left, .. })));
    /// assert_eq!(reader.abandon(), None);
    /// # Ok::<(), FrameError>(())
    /// ```
    fn abandon(&mut self) -> Option<FrameError> {
        None
    }

    /// Forgets all that has arrived, as a new stream begins.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, MultiWriter, Step};
    ///
    /// let (mut writer, mut bytes) = (MultiWriter::default(), Vec::new());
    /// writer.begin(&mut bytes);
    /// bytes.push(7);
    /// writer.finish(&mut bytes, 0)?;
    ///
    /// let (mut reader, mut at) = (MultiWriter::default(), 0);
    /// while let Step::Skip { bytes: taken } = reader.scan(&mut bytes[at..], 0)? {
    ///     at += taken;
    /// }
    /// assert!(reader.writer().is_some()); // of the message that came
    /// reader.reset();
    /// assert!(reader.writer().is_none());
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    fn reset(&mut self) {}
}

/// The limits of a channel, for its framing: see [`Framing::configure`].
///
/// ```
/// use typed_pipe::wire::Limits;
///
/// let limits = Limits::new().codec("json").max_payload(1 << 20);
/// assert_eq!((limits.codec, limits.max_payload, limits.atomic_write), (Some("json"), Some(1 << 20), None));
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Limits<'a> {
    /// The [name](super::Codec::name) of the codec of the messages.
    pub codec: Option<&'a str>,
    /// The [style](super::Codec::style) of that codec, if it is known.
    pub style: Option<Style>,
    /// The largest payload that the other side accepts, in bytes.
    pub max_payload: Option<u64>,
    /// How many bytes of one write the pipe never mixes with those of another writer; `None` if it is no pipe.
    #[doc(alias = "PIPE_BUF")]
    pub atomic_write: Option<usize>,
}

impl<'a> Limits<'a> {
    /// Creates limits with no value set.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed, Limits};
    ///
    /// let mut framing = LengthPrefixed::default();
    /// framing.configure(&Limits::new());
    /// assert_eq!(framing.max_payload(), 8 << 20); // as before
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name of the codec.
    ///
    /// ```
    /// use typed_pipe::wire::{Codec, Json, Limits};
    ///
    /// assert_eq!(Limits::new().codec(Json.name()).codec, Some("json"));
    /// ```
    #[must_use]
    pub fn codec(mut self, name: &'a str) -> Self {
        self.codec = Some(name);
        self
    }

    /// Sets the style of the codec.
    ///
    /// ```
    /// use typed_pipe::wire::shape::Style;
    /// use typed_pipe::wire::{Codec, Limits, Postcard};
    ///
    /// assert_eq!(Limits::new().style(Postcard.style()).style, Some(Style::Positional));
    /// ```
    #[must_use]
    pub fn style(mut self, style: Option<Style>) -> Self {
        self.style = style;
        self
    }

    /// Sets the largest payload that the other side accepts.
    ///
    /// ```
    /// use typed_pipe::wire::{Checked, Framing, Limits};
    ///
    /// let mut framing = Checked::default();
    /// framing.configure(&Limits::new().max_payload(1000));
    /// assert_eq!(framing.max_payload(), 1000);
    /// ```
    #[must_use]
    pub fn max_payload(mut self, bytes: u64) -> Self {
        self.max_payload = Some(bytes);
        self
    }

    /// Sets how many bytes of one write the pipe never mixes with those of another writer.
    ///
    /// ```
    /// use typed_pipe::wire::Limits;
    ///
    /// assert_eq!(Limits::new().atomic_write(4096).atomic_write, Some(4096)); // `PIPE_BUF` of Linux
    /// ```
    #[must_use]
    pub fn atomic_write(mut self, bytes: usize) -> Self {
        self.atomic_write = Some(bytes);
        self
    }
}

/// The result of [`Framing::scan`].
///
/// ```
/// use typed_pipe::wire::foreign::Lines;
/// use typed_pipe::wire::{Framing, Step};
///
/// let mut framing = Lines::default().skip_blank();
/// let (mut bytes, mut at, mut words) = (*b"one\n\ntwo\nthr", 0, Vec::new());
/// loop {
///     match framing.scan(&mut bytes[at..], 0)? {
///         Step::Message { payload, frame } => {
///             words.push(bytes[at..][payload].to_vec());
///             at += frame;
///         }
///         Step::Skip { bytes: blank } => at += blank,
///         Step::NoEnd { scanned: 3 } => break, // "thr"
///         other => panic!("lines have no {other:?}"),
///     }
/// }
/// assert_eq!(words, [b"one", b"two"]);
/// # Ok::<(), typed_pipe::FrameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The frame has not arrived in full, and its length is known.
    More {
        /// The length of the whole frame in bytes; before its header has arrived, a lower bound.
        ///
        /// It bounds how far the decoder reads ahead. The decoder never allocates memory for a length that is
        /// only announced.
        total: usize,
    },
    /// The end of the frame has not arrived, and its length is not known before.
    NoEnd {
        /// The number of bytes already searched: an argument of the next [`Framing::scan`].
        scanned: usize,
    },
    /// These bytes hold no message.
    Skip {
        /// How many bytes are taken, at least one.
        bytes: usize,
    },
    /// A writer has said what it sends: the payload is a [hello](super::shape#the-hello).
    #[doc(hidden)]
    Hello {
        /// The range of the hello in the bytes.
        payload: Range<usize>,
        /// The length of the whole frame, from the first byte on.
        frame: usize,
    },
    /// A whole message has arrived.
    Message {
        /// The range of its payload in the bytes.
        payload: Range<usize>,
        /// The length of the whole frame, from the first byte on.
        frame: usize,
    },
    /// A whole message has arrived in several parts: it is in [`Framing::assembled`].
    Assembled {
        /// The number of bytes consumed, at least one: those of the last part.
        bytes: usize,
    },
    /// A message is lost. The place in the stream is kept, and the next message can be received.
    Lost {
        /// The number of bytes consumed. If it is 0, the same bytes are scanned again.
        bytes: usize,
        /// What is lost.
        error: Box<FrameError>,
    },
    /// The goodbye of the other side, or of the last one of several writers.
    Goodbye {
        /// How many bytes are taken, at least one.
        bytes: usize,
    },
}

/// The length of a payload as its bytes on the wire, if it is within the limit.
#[inline]
pub(super) fn ensure_within(len: usize, limit: u32) -> Result<u32, FrameError> {
    match u32::try_from(len) {
        Ok(len) if len <= limit => Ok(len),
        _ => Err(FrameError::TooLarge {
            len: u64::try_from(len).unwrap_or(u64::MAX),
            limit: limit.into(),
        }),
    }
}

/// The limit, lowered to what the other side accepts.
pub(super) fn lowered(limit: u32, limits: &Limits<'_>) -> u32 {
    let most = limits.max_payload.and_then(|bytes| u32::try_from(bytes).ok());
    most.map_or(limit, |most| most.min(limit))
}

/// The frame of a payload, appended to other bytes and split off again.
#[cfg(test)]
pub(super) fn framed(framing: &mut impl Framing, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = b"before".to_vec();
    framing.begin(&mut out);
    out.extend_from_slice(payload);
    framing.finish(&mut out, 6)?;
    Ok(out.split_off(6))
}
