use std::ops::Range;

use super::shape::{Shape, Style};
use crate::error::FrameError;

/// Marks where one message ends in a stream of bytes and the next begins.
///
/// Any crate may implement this trait: three methods are required, two more name the format and its limit. A framing is
/// a function of the bytes with little state: the [`Encoder`](super::Encoder) and the [`Decoder`](super::Decoder) own
/// the buffers, and no framing does I/O. [A wire of your own](crate::your_own_wire) builds two of them.
///
/// A framing of lines:
///
/// ```
/// use typed_pipe::wire::{Framing, Plain, Scan, Step, Wire};
/// use typed_pipe::{FrameError, TypedReceiver};
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
///     fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
///         // What was searched before is not searched again: one pass, however long the line is.
///         let feed = bytes[scan.from..].iter().position(|&byte| byte == b'\n');
///         Ok(match feed.map(|at| scan.from + at) {
///             Some(end) => Step::Message { payload: 0..end, frame: end + 1 },
///             None => Step::NoEnd { scanned: bytes.len() },
///         })
///     }
/// }
///
/// let bytes: &[u8] = b"123\n4\n";
/// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes, Wire::new(Lines, Plain));
/// assert_eq!((receiver.recv()?, receiver.recv()?), ("123".into(), "4".into()));
/// # Ok::<(), typed_pipe::Error>(())
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
    /// A [handshake](crate::Handshake) tells it to the other side, which sends no larger payload.
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

    /// Finds the first frame in the bytes that have arrived and are not consumed yet.
    ///
    /// `bytes` begins where a frame begins and is never empty. `scan` tells where a search for the end of the frame
    /// begins, and whether the stream has ended.
    ///
    /// A framing with an encoded payload, such as base64, may decode it in place, within the frame that it
    /// returns as a message.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed, Scan, Step};
    ///
    /// let (mut framing, scan) = (LengthPrefixed::default(), Scan::default());
    /// assert_eq!(framing.scan(&mut [0, 0], scan)?, Step::More { total: 4 }); // the header is not there
    /// assert_eq!(framing.scan(&mut [0, 0, 0, 2, 7], scan)?, Step::More { total: 6 }); // as it says
    /// assert_eq!(
    ///     framing.scan(&mut [0, 0, 0, 2, 7, 8, 0], scan)?, // the last byte is another frame's
    ///     Step::Message { payload: 4..6, frame: 6 }
    /// );
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`FrameError`] for bytes that cannot be frames. The place in the stream is lost then: the decoder
    /// does not call `scan` again.
    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError>;

    /// What a framing of this crate does beyond its frames. No other crate needs it, or can name the type.
    #[doc(hidden)]
    #[inline]
    fn built_in(&self) -> Option<&dyn BuiltIn> {
        None
    }

    #[doc(hidden)]
    #[inline]
    fn built_in_mut(&mut self) -> Option<&mut dyn BuiltIn> {
        None
    }
}

/// Where a [scan](Framing::scan) goes on, and whether more bytes can follow.
///
/// ```
/// use typed_pipe::wire::foreign::Lines;
/// use typed_pipe::wire::{Framing, Scan, Step};
///
/// let mut rest = *b"last"; // what `printf last` writes
/// assert_eq!(Lines::default().scan(&mut rest, Scan::default())?, Step::NoEnd { scanned: 4 });
/// let line = Lines::default().scan(&mut rest, Scan::at_end())?;
/// assert_eq!(line, Step::Message { payload: 0..4, frame: 4 });
/// # Ok::<(), typed_pipe::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scan {
    /// What the last scan of this frame returned in its [`Step::NoEnd`], and 0 for a new frame. The bytes before were
    /// searched. It is never more than there are bytes.
    pub from: usize,
    /// Whether the stream has ended.
    ///
    /// A scan of the same bytes came before, and found no frame. A framing whose frames carry their length, or need an
    /// end mark, ignores this: the rest is a truncated message. A message found here that does not decode counts as
    /// truncated as well, unless the codec names another cause.
    pub at_end: bool,
}

impl Scan {
    /// A scan that goes on behind the first `from` bytes.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Framing, Scan, Step};
    ///
    /// let step = Lines::default().scan(&mut b"123\n4".to_owned(), Scan::from(2))?;
    /// assert_eq!(step, Step::Message { payload: 0..3, frame: 4 });
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    #[must_use]
    pub const fn from(from: usize) -> Self {
        Self { from, at_end: false }
    }

    /// A scan of the last bytes of a stream.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed, Scan, Step};
    ///
    /// let step = LengthPrefixed::default().scan(&mut [0, 0, 0, 2, 7], Scan::at_end())?;
    /// assert_eq!(step, Step::More { total: 6 }); // a frame that was cut off stays one
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    #[must_use]
    pub const fn at_end() -> Self {
        Self { from: 0, at_end: true }
    }
}

/// A framing of this crate: beyond its frames, it has goodbyes, large payloads without a copy, many writers.
///
/// [`Framing`] hands it out, and stays small for the framings of other crates. Its first five methods are those of
/// [`Framing`].
pub trait BuiltIn {
    fn name(&self) -> &str;
    fn max_payload(&self) -> u64;
    fn begin(&mut self, out: &mut Vec<u8>);
    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError>;
    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError>;

    /// Names the codec of the messages, and its style.
    fn introduce(&mut self, _codec: &str, _style: Option<Style>) {}

    /// Reads the messages of those writers alone that say what these look like, and fit; returns whether this wire has
    /// several writers, who say it each for itself.
    fn require_shape(&mut self, _ours: &Shape) -> bool {
        false
    }

    /// Sets how many bytes of one write the pipe never mixes with those of another writer.
    fn atomic_write(&mut self, _bytes: usize) {}

    /// Appends the header of a payload of `len` bytes, if header and payload are the whole frame; returns whether
    /// they are. The encoder can then send a large payload without copying it.
    fn header(&mut self, _len: usize, _out: &mut Vec<u8>) -> Result<bool, FrameError> {
        Ok(false)
    }

    /// How long a message is that begins with these bytes, if the rest of it is the payload, of which nothing is to be
    /// checked: it can be read where it lies.
    #[cfg(feature = "shared-memory")]
    fn plain_frame(&self, _header: [u8; 4]) -> Option<usize> {
        None
    }

    /// Appends the goodbye, and returns whether this format has one. It is a frame of its own, without a `finish`.
    fn goodbye(&mut self, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// The number of pending bytes for one write: by default all of them.
    ///
    /// `pending` begins where a frame begins, or a part of one that goes out with a write of its own, and is not
    /// empty. The encoder completes a partial write before it calls this again.
    fn next_write(&self, pending: &[u8]) -> usize {
        pending.len()
    }

    /// Called when the encoder withdraws the frame finished last, of which nothing was written.
    fn withdrawn(&mut self) {}

    /// The message of the last `Step::Assembled`, valid until the next scan.
    fn assembled(&self) -> &[u8] {
        &[]
    }

    /// Whether it keeps what has arrived of one message while another one is given out.
    fn keeps_parts(&self) -> bool {
        false
    }

    /// Abandons one message that has arrived in part when the stream has ended, and returns its loss.
    ///
    /// The decoder calls it until it returns `None`. A frame that has arrived in part at the end of the bytes is not
    /// meant: the decoder has that.
    fn abandon(&mut self) -> Option<FrameError> {
        None
    }

    /// Forgets all that has arrived, as a new stream begins.
    fn reset(&mut self) {}
}

#[diagnostic::do_not_recommend]
impl<B: BuiltIn> Framing for B {
    fn name(&self) -> &str {
        BuiltIn::name(self)
    }

    #[inline]
    fn max_payload(&self) -> u64 {
        BuiltIn::max_payload(self)
    }

    #[inline]
    fn begin(&mut self, out: &mut Vec<u8>) {
        BuiltIn::begin(self, out);
    }

    #[inline]
    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        BuiltIn::finish(self, out, start)
    }

    #[inline]
    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        BuiltIn::scan(self, bytes, scan)
    }

    #[inline]
    fn built_in(&self) -> Option<&dyn BuiltIn> {
        Some(self)
    }

    #[inline]
    fn built_in_mut(&mut self) -> Option<&mut dyn BuiltIn> {
        Some(self)
    }
}

/// The result of [`Framing::scan`].
///
/// ```
/// use typed_pipe::wire::foreign::Lines;
/// use typed_pipe::wire::{Framing, Scan, Step};
///
/// let mut framing = Lines::default().skip_blank();
/// let (mut bytes, mut at, mut words) = (*b"one\n\ntwo\nthr", 0, Vec::new());
/// loop {
///     match framing.scan(&mut bytes[at..], Scan::default())? {
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
        /// The number of bytes already searched: [`Scan::from`] of the next scan.
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
    /// A whole message has arrived in several parts, which a framing of this crate has put together.
    #[doc(hidden)]
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

/// The frame of a payload, appended to other bytes and split off again.
#[cfg(test)]
pub(super) fn framed(framing: &mut impl BuiltIn, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = b"before".to_vec();
    framing.begin(&mut out);
    out.extend_from_slice(payload);
    framing.finish(&mut out, 6)?;
    Ok(out.split_off(6))
}
