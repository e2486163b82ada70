//! Reading ahead of whoever asks: what a pipe has is taken before it is wanted.

use std::ops::Range;

use super::overlapped::{Outcome, Overlapped};

/// The bytes that are read ahead.
pub(super) const AHEAD: usize = 65536;

/// What was read ahead of one pipe, of which is always being read.
///
/// The pipe has a buffer for that, and whatever there is to look at sets its event.
#[derive(Debug)]
pub(super) struct ReadAhead {
    /// What was read ahead and not taken yet.
    left: Range<usize>,
    /// Whether the message goes on after that.
    has_more: bool,
    over: Option<Outcome>,
}

/// What a look at a pipe found.
pub(super) enum Progress {
    Bytes,
    Empty,
    Nothing,
    End(Outcome),
}

impl ReadAhead {
    pub(super) fn new(pipe: &mut Overlapped) -> Self {
        let mut ahead = Self { left: 0..0, has_more: false, over: None };
        ahead.read(pipe);
        ahead
    }

    pub(super) fn look(&mut self, pipe: &mut Overlapped) -> Progress {
        if !self.left.is_empty() {
            return Progress::Bytes;
        }
        loop {
            let Some(outcome) = self.over.take().or_else(|| pipe.poll()) else {
                // The rest of a message is there at once, unless its writer took it back.
                self.has_more = false;
                return Progress::Nothing;
            };
            self.has_more = outcome.has_more();
            return match outcome.moved() {
                Ok(0) => {
                    self.read(pipe);
                    Progress::Empty
                }
                Ok(bytes) => {
                    self.left = 0..bytes;
                    Progress::Bytes
                }
                // The thread that began to read has ended. To begin anew unsets the event, which another
                // pipe may have set.
                Err(_) if outcome.is_cancelled() => {
                    self.read(pipe);
                    pipe.event().set();
                    continue;
                }
                Err(_) => {
                    // It stays so for whoever looks again.
                    self.over = Some(outcome);
                    Progress::End(outcome)
                }
            };
        }
    }

    /// Takes what there is and fits; reads on when nothing is left.
    pub(super) fn take(&mut self, pipe: &mut Overlapped, buf: &mut [u8]) -> usize {
        let ahead = pipe.buffer().get(self.left.clone()).unwrap_or_default();
        let bytes = ahead.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..bytes), ahead.get(..bytes)) {
            to.copy_from_slice(from);
        }
        self.left.start += bytes;
        if self.left.is_empty() {
            self.read(pipe);
        }
        bytes
    }

    pub(super) fn is_between_messages(&self) -> bool {
        self.left.is_empty() && !self.has_more
    }

    fn read(&mut self, pipe: &mut Overlapped) {
        self.over = pipe.read_ahead(AHEAD);
        if self.over.is_some() {
            // The system may not have set it where the operation never began.
            pipe.event().set();
        }
    }
}
