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
///     fn scan(&mut self, bytes: &mut [u8]) -> Result<Step, FrameError> {
///         Ok(match bytes.iter().position(|&byte| byte == b'\n') {
///             Some(end) => Step::Message { payload: 0..end, frame: end + 1 },
///             None => Step::More { total: bytes.len() + 1 },
///         })
///     }
/// }
///
/// assert_eq!(Lines.scan(&mut b"7\n8".to_owned())?, Step::Message { payload: 0..1, frame: 2 });
/// # Ok::<(), FrameError>(())
/// ```
pub trait Framing {
    /// The name of the format: short, in lower case, and the same on both sides.
    ///
    /// The [agreement](crate::Agreement) of a connection compares it. A framing that has none agrees with any other
    /// that has none.
    fn name(&self) -> &str {
        ""
    }

    /// The most bytes that a payload may have: 2<sup>64</sup> - 1 where nothing limits it.
    fn max_payload(&self) -> u64 {
        u64::MAX
    }

    /// Learns that the other side takes payloads of so many bytes at most.
    fn lower_max_payload(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// Begins a frame at the end of `out`: writes its header, or leaves room for it.
    ///
    /// The codec appends the payload. Where it fails, the frame is dropped, and the next call is
    /// `begin` again, without a `finish` between them.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Completes the frame `out[start..]`, which is what `begin` wrote and the payload after it.
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
    /// # Errors
    ///
    /// [`FrameError::TooLarge`], as in [`finish`](Self::finish).
    fn header(&mut self, len: usize, out: &mut Vec<u8>) -> Result<bool, FrameError> {
        let _ = (len, out);
        Ok(false)
    }

    /// Looks at all that has arrived and was not taken yet, and finds the first frame in it.
    ///
    /// `bytes` begins where a frame begins and is never empty. A framing whose payload is written in
    /// other characters may decode it in place, within the frame that it then returns as a message.
    ///
    /// # Errors
    ///
    /// A [`FrameError`] where the bytes cannot be frames. The place in the stream is lost then, and
    /// `scan` is not called again.
    fn scan(&mut self, bytes: &mut [u8]) -> Result<Step, FrameError>;

    /// The message that the last [`Step::Assembled`] told of. It stays until the next `scan`.
    fn assembled(&self) -> &[u8] {
        &[]
    }

    /// Appends the mark that says "this was all", and says whether this format has one.
    ///
    /// What it appends is a frame of its own. It is not followed by a `finish`.
    fn goodbye(&mut self, out: &mut Vec<u8>) -> bool {
        let _ = out;
        false
    }

    /// How many of the pending bytes go into one write: all of them, unless the format says more.
    ///
    /// `pending` begins where a frame begins, or a part of one that is written by itself, and is not
    /// empty. What is left of a write that was taken in part is written before this is asked again.
    fn next_write(&self, pending: &[u8]) -> usize {
        pending.len()
    }

    /// Learns that the frame finished last was taken back, with nothing of it written.
    fn taken_back(&mut self) {}

    /// Learns the [name](super::Codec::name) of the codec that it carries the messages of.
    ///
    /// The [`Encoder`](super::Encoder) and the [`Decoder`](super::Decoder) tell it when they are made.
    fn introduce(&mut self, codec: &str) {
        let _ = codec;
    }

    /// Learns how many bytes one write puts into the pipe without another writer's between them.
    ///
    /// The end of a pipe tells it. Over anything else it is not told.
    fn unmixed(&mut self, bytes: usize) {
        let _ = bytes;
    }

    /// Gives up one message that has arrived in part, because the stream has ended, and says what is lost.
    ///
    /// It is called until it returns `None`. What has arrived in part at the end of the bytes is not
    /// meant: the [`Decoder`](super::Decoder) has those.
    fn give_up(&mut self) -> Option<FrameError> {
        None
    }

    /// Forgets all that has arrived: another stream begins.
    fn reset(&mut self) {}
}

/// What [`Framing::scan`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The frame has not arrived in full.
    More {
        /// How many bytes it has in all; where that is not known yet, at least how many.
        ///
        /// It bounds what is read ahead for a large frame, and is never allocated because it was
        /// announced.
        total: usize,
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
pub(super) fn expect_within(len: usize, limit: u32) -> Result<u32, FrameError> {
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
