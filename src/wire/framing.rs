use std::ops::Range;

use crate::error::FrameError;

/// Where one message ends in a stream of bytes, and the next begins.
///
/// This trait is open. A framing is a pure function of the bytes, with what little state it needs: the
/// [`Encoder`](super::Encoder) and the [`Decoder`](super::Decoder) have the buffers, and no framing
/// does I/O.
///
/// Lines, as many programs speak them:
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
pub trait Framing {
    /// The name of the format: short, in lower case, and the same on both sides.
    ///
    /// The [handshake](crate::HandshakeState) of a connection compares it. A framing that has none agrees with any other
    /// that has none.
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

    /// The most bytes that a payload may have: 2<sup>64</sup> - 1 where nothing limits it.
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

    /// Learns that the other side takes payloads of so many bytes at most.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed};
    ///
    /// let mut framing = LengthPrefixed::default().limit(4096);
    /// framing.lower_max_payload(1024);
    /// assert_eq!(framing.max_payload(), 1024);
    /// framing.lower_max_payload(1 << 20); // it is never raised
    /// assert_eq!(framing.max_payload(), 1024);
    /// ```
    fn lower_max_payload(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// Begins a frame at the end of `out`: writes its header, or leaves room for it.
    ///
    /// The codec appends the payload. Where it fails, the frame is dropped, and the next call is
    /// `begin` again, without a `finish` between them.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, LengthPrefixed};
    ///
    /// let mut out = b"the frames before".to_vec();
    /// LengthPrefixed::default().begin(&mut out);
    /// assert_eq!(out, b"the frames before\0\0\0\0"); // room for a length that is not known yet
    /// ```
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Completes the frame `out[start..]`, which is what `begin` wrote and the payload after it.
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
    /// [`FrameError::TooLarge`] where the payload is larger than this framing can or may carry. The
    /// frame is dropped then.
    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError>;

    /// Appends the header of a payload of `len` bytes, where header and payload are the whole frame, and says
    /// whether that is so.
    ///
    /// It lets large payloads of bytes be sent from where they are. A framing that must see the payload, or writes
    /// something behind it, keeps to what is here: `begin` and `finish` do it then.
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

    /// Looks at all that has arrived and was not taken yet, and finds the first frame in it.
    ///
    /// `bytes` begins where a frame begins and is never empty. `scanned` is what the last scan of this frame gave in
    /// its [`Step::NoEnd`], and 0 for a new frame: a framing that looks for the end of a frame begins there. It is
    /// never more than `bytes.len()`.
    ///
    /// A framing whose payload is written in other characters may decode it in place, within the frame that it then
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
    /// A [`FrameError`] where the bytes cannot be frames. The place in the stream is lost then, and
    /// `scan` is not called again.
    fn scan(&mut self, bytes: &mut [u8], scanned: usize) -> Result<Step, FrameError>;

    /// Looks at what is left when the stream has ended, and says whether that is a frame as it is.
    ///
    /// The last [`scan`](Self::scan) has found no frame in these bytes. A framing whose frames carry their length, or
    /// must be ended, keeps to what is here: what is left is a message that was cut off. A message that is found here
    /// and does not decode is taken for one that was cut off as well, unless the codec tells of another cause.
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

    /// The message that the last [`Step::Assembled`] told of. It stays until the next `scan`.
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

    /// Appends the mark that says "this was all", and says whether this format has one.
    ///
    /// What it appends is a frame of its own. It is not followed by a `finish`.
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

    /// How many of the pending bytes go into one write: all of them, unless the format says more.
    ///
    /// `pending` begins where a frame begins, or a part of one that is written by itself, and is not
    /// empty. What is left of a write that was taken in part is written before this is asked again.
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

    /// Learns that the frame finished last was taken back, with nothing of it written.
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
    /// writer.withdrawn(); // its numbers are given to the next one
    /// assert_eq!(frame(&mut writer)?, first);
    /// assert_ne!(frame(&mut writer)?, first);
    /// # Ok::<(), FrameError>(())
    /// ```
    fn withdrawn(&mut self) {}

    /// Learns the [name](super::Codec::name) of the codec that it carries the messages of.
    ///
    /// The [`Encoder`](super::Encoder) and the [`Decoder`](super::Decoder) tell it when they are made.
    ///
    /// ```
    /// use typed_pipe::FrameError;
    /// use typed_pipe::wire::{Framing, MultiWriter, Step};
    ///
    /// let (mut writer, mut bytes) = (MultiWriter::default(), Vec::new());
    /// writer.introduce("json");
    /// writer.begin(&mut bytes);
    /// bytes.push(b'7');
    /// writer.finish(&mut bytes, 0)?;
    ///
    /// let mut reader = MultiWriter::default();
    /// reader.introduce("postcard");
    /// assert!(matches!(
    ///     reader.scan(&mut bytes, 0)?,
    ///     Step::Lost { error, .. } if matches!(*error, FrameError::Mismatch { .. })
    /// ));
    /// # Ok::<(), FrameError>(())
    /// ```
    fn introduce(&mut self, codec: &str) {
        let _ = codec;
    }

    /// Learns how many bytes one write puts into the pipe without another writer's between them.
    ///
    /// The end of a pipe tells it. Over anything else it is not told.
    ///
    /// ```
    /// use typed_pipe::wire::{Framing, MultiWriter};
    ///
    /// let (mut framing, mut pending) = (MultiWriter::default(), Vec::new());
    /// framing.unmixed(4096);
    /// framing.begin(&mut pending);
    /// pending.extend_from_slice(&[7; 1000]);
    /// framing.finish(&mut pending, 0)?;
    /// assert_eq!(framing.next_write(&pending), pending.len()); // 512 bytes at most, if it is not told
    /// # Ok::<(), typed_pipe::FrameError>(())
    /// ```
    fn unmixed(&mut self, bytes: usize) {
        let _ = bytes;
    }

    /// Gives up one message that has arrived in part, because the stream has ended, and says what is lost.
    ///
    /// It is called until it returns `None`. What has arrived in part at the end of the bytes is not
    /// meant: the [`Decoder`](super::Decoder) has those.
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

    /// Forgets all that has arrived: another stream begins.
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

/// What [`Framing::scan`] found.
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
    /// The frame has not arrived in full, and tells how long it is.
    More {
        /// How many bytes it has in all; where its header has not arrived, how many that has at least.
        ///
        /// It bounds what is read ahead for a large frame, and is never allocated because it was
        /// announced.
        total: usize,
    },
    /// The end of the frame has not arrived, and how long the frame is cannot be known before.
    NoEnd {
        /// How many of the bytes need not be looked at again: the next [`Framing::scan`] is given it.
        scanned: usize,
    },
    /// These bytes are taken, and hold no message.
    Skip {
        /// How many bytes are taken, at least one.
        bytes: usize,
    },
    /// A whole message is there.
    Message {
        /// Where its payload lies in the bytes.
        payload: Range<usize>,
        /// How many bytes the whole frame has, from the first byte on.
        frame: usize,
    },
    /// A whole message is there, whose parts came one by one: it is in [`Framing::assembled`].
    Assembled {
        /// How many bytes are taken, at least one: those of the last part.
        bytes: usize,
    },
    /// A message will never be whole. The place in the stream is kept, and the next one can come.
    Lost {
        /// How many bytes are taken. Where it is 0, the same bytes are looked at again.
        bytes: usize,
        /// What is lost.
        error: Box<FrameError>,
    },
    /// The other side, or the last one of several, says that this was all.
    Goodbye {
        /// How many bytes are taken, at least one.
        bytes: usize,
    },
}

/// The length of a payload in the bytes that it has on the wire, if it is not larger than the limit.
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

/// A limit that is not above what the other side takes.
pub(super) fn lowered(limit: u32, bytes: u64) -> u32 {
    u32::try_from(bytes).map_or(limit, |bytes| bytes.min(limit))
}

/// The frame of a payload, appended to other bytes and cut off again.
#[cfg(test)]
pub(super) fn framed(framing: &mut impl Framing, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = b"before".to_vec();
    framing.begin(&mut out);
    out.extend_from_slice(payload);
    framing.finish(&mut out, 6)?;
    Ok(out.split_off(6))
}
