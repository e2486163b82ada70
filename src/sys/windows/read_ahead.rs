//! Reads ahead: takes bytes out of a pipe before a caller asks for them.

use std::ops::Range;

use super::overlapped::{Outcome, Overlapped};

/// The number of bytes to read ahead.
pub(super) const AHEAD: usize = 65536;

/// The read-ahead state of one pipe, with a read always in flight.
///
/// The pipe has a buffer for that, and the end of each read sets its event.
#[derive(Debug)]
pub(super) struct ReadAhead {
    /// The bytes that were read ahead and not taken yet.
    left: Range<usize>,
    /// Whether the message goes on after that.
    has_more: bool,
    over: Option<Outcome>,
}

/// The result of polling a pipe.
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
                // The rest of a message is there at once, unless its writer cancelled it.
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
                    // It stays so for the next poll.
                    self.over = Some(outcome);
                    Progress::End(outcome)
                }
            };
        }
    }

    /// Takes as many bytes as fit; reads on when none are left.
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
