use super::shape::Style;
use super::{Framing, Scan, Step};
use crate::error::FrameError;

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

    /// Sets how many bytes of one write the pipe never mixes with those of another writer.
    fn atomic_write(&mut self, _bytes: usize) {}

    /// Appends the header of a payload of `len` bytes, if header and payload are the whole frame; returns whether
    /// they are. The encoder can then send a large payload without copying it.
    fn header(&mut self, _len: usize, _out: &mut Vec<u8>) -> Result<bool, FrameError> {
        Ok(false)
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
