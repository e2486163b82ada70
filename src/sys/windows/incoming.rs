//! The reading half of a connection.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;

use super::connection::Connection;
use super::event::{Event, ensure_not_cancelled, remaining};
use super::handle_transfer::Source;
use super::overlapped::{Outcome, Overlapped};
use super::read_ahead::AHEAD;
use super::stream::MAX_TRANSFER;
#[cfg(any(feature = "fanout", feature = "tokio"))]
use crate::error::Obstacle;
use crate::sys::Wait;

/// The reading half of a connection.
#[derive(Debug)]
pub(super) struct Incoming {
    pipe: Overlapped<Arc<Connection>>,
    /// The bytes that came in while this process wrote. They are read first.
    backlog: VecDeque<u8>,
    /// Whether the other side has ended the direction, or has left.
    has_ended: bool,
    /// Whether it left with bytes unread here, which is no end of the stream.
    was_reset: bool,
    /// The source of handles, once they are accepted.
    source: Option<Source>,
    /// Whether tasks read from it: they cannot wait for an operation that is not in flight.
    reads_ahead: bool,
}

impl Incoming {
    /// The end of each read sets `event`.
    pub(super) fn new(connection: Arc<Connection>, event: Arc<Event>) -> Self {
        let pipe = Overlapped::new(connection, event, 0);
        let backlog = VecDeque::new();
        Self { pipe, backlog, has_ended: false, was_reset: false, source: None, reads_ahead: false }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        self.pipe.handle()
    }

    pub(super) fn into_connection(self) -> Arc<Connection> {
        self.pipe.into_handle()
    }

    pub(super) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.has_ended && self.backlog.is_empty() {
            return self.end();
        }
        self.connection().ensure_able(wait)?;
        self.connection().repeat_farewell();
        ensure_not_cancelled(wait)?;
        if !self.backlog.is_empty() {
            return self.read_backlog(buf);
        }
        if self.reads_ahead {
            return self.read_what_is_ahead(buf, wait);
        }
        let most = buf.len().min(MAX_TRANSFER);
        let Some(buf) = buf.get_mut(..most) else { return Ok(0) };
        while !self.has_ended {
            let outcome = self.pipe.read(buf, wait)?;
            if !self.is_end(outcome)? {
                if outcome.bytes > 0 {
                    return Ok(outcome.bytes);
                }
                // Nothing came of a pipe without messages. A peer that sends that again and again cannot
                // delay us beyond the deadline.
                remaining(wait.until)?;
                ensure_not_cancelled(wait)?;
            }
        }
        self.end()
    }

    /// The end of the stream, which a reset is not.
    fn end(&self) -> io::Result<usize> {
        if self.was_reset { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(0) }
    }

    /// Whether it may have read bytes that were not taken.
    pub(super) fn holds_bytes(&self) -> bool {
        self.reads_ahead || !self.backlog.is_empty()
    }

    /// Takes the oldest bytes that are kept here.
    fn read_backlog(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.backlog.read(buf)?;
        if self.backlog.is_empty() {
            // The memory goes back: most of the time nothing is taken in.
            self.backlog = VecDeque::new();
        }
        Ok(bytes)
    }

    /// Leaves a read in flight, where nothing has come.
    fn read_what_is_ahead(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        while !self.has_ended {
            match self.ahead() {
                // The thread that began to read has ended.
                Some(outcome) if outcome.is_cancelled() && outcome.bytes == 0 => {}
                Some(outcome) => {
                    self.keep(outcome)?;
                    if !self.backlog.is_empty() {
                        return self.read_backlog(buf);
                    }
                    remaining(wait.until)?;
                }
                None => self.pipe.event().wait(wait)?,
            }
        }
        self.end()
    }

    /// What the read ahead has come to, if it is over. One is in flight after this, or is over now.
    fn ahead(&mut self) -> Option<Outcome> {
        if self.pipe.is_in_flight() { self.pipe.poll() } else { self.pipe.read_ahead(AHEAD) }
    }

    /// Keeps what was read ahead, or its end.
    fn keep(&mut self, outcome: Outcome) -> io::Result<()> {
        if !self.is_end(outcome)? {
            self.backlog.extend(self.pipe.buffer().get(..outcome.bytes).unwrap_or_default());
        }
        Ok(())
    }

    /// The number of bytes that can be read without waiting.
    pub(super) fn unread(&self) -> io::Result<usize> {
        if self.has_ended {
            return Ok(self.backlog.len());
        }
        match self.connection().unread() {
            Ok(bytes) => Ok(self.backlog.len() + bytes),
            // The next read reports the end.
            Err(error) if Outcome::of(&error).is_some_and(Outcome::is_end) => {
                Ok(self.backlog.len())
            }
            Err(error) => Err(error),
        }
    }

    /// How many bytes have been taken in and not read yet; `None` when no more will come.
    pub(super) fn taken_in(&self) -> Option<usize> {
        (!self.has_ended).then_some(self.backlog.len())
    }

    /// Keeps what was read ahead for it, or its end, for later reads.
    pub(super) fn take_in(&mut self, outcome: Outcome, ahead: &[u8]) -> io::Result<()> {
        if !self.is_end(outcome)? {
            self.backlog.extend(ahead.get(..outcome.bytes).unwrap_or_default());
        }
        Ok(())
    }

    /// Accepts handles from now on.
    pub(super) fn allow_handles(&mut self) {
        if self.source.is_none() {
            self.source = Some(Source::of(self.connection()));
        }
    }

    /// Takes the handles with these numbers from the other side: all of them, or none.
    pub(super) fn take_passed(
        &self,
        count: usize,
        numbers: &[u64],
    ) -> io::Result<Vec<OwnedHandle>> {
        Source::take_passed(self.source.as_ref(), count, numbers)
    }

    /// Prepares for a wait beside others; returns the event that is set when it should be tried again.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn attend(&mut self) -> io::Result<Arc<Event>> {
        if !self.connection().is_overlapped() {
            return Err(Obstacle::NotOverlapped.into());
        }
        self.pipe.give_buffer(AHEAD);
        self.reads_ahead = true;
        Ok(Arc::clone(self.pipe.event()))
    }

    /// Whether a read found the end: the message without bytes, or that the other side has left.
    fn is_end(&mut self, outcome: Outcome) -> io::Result<bool> {
        if !outcome.is_end() {
            let bytes = outcome.moved()?;
            if bytes > 0 || !self.connection().info().has_messages {
                return Ok(false);
            }
        }
        self.has_ended = true;
        self.was_reset |= outcome.is_reset();
        Ok(true)
    }
}

#[cfg(feature = "tokio")]
impl Incoming {
    /// Keeps incoming bytes, up to a limit, for later reads; returns how many, which is 0 at the end.
    pub(super) fn take_in_now(&mut self, limit: usize) -> io::Result<usize> {
        let before = self.backlog.len();
        while !self.has_ended {
            if before > limit {
                return Err(Obstacle::Deadlock.into());
            }
            match self.ahead() {
                // The thread that began to read has ended.
                Some(outcome) if outcome.is_cancelled() && outcome.bytes == 0 => {}
                Some(outcome) => {
                    self.keep(outcome)?;
                    if self.backlog.len() > before {
                        return Ok(self.backlog.len() - before);
                    }
                }
                None => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
        Ok(0)
    }

    /// Ends the wait of tasks. The bytes that were read ahead are kept for later reads.
    pub(super) fn leave(&mut self) {
        if let Some(outcome) = self.pipe.give_up() {
            // Most of the time it was cancelled. Any other error comes with the next read, too.
            let _ = self.keep(outcome);
        }
        self.pipe.give_buffer(0);
        self.reads_ahead = false;
    }
}
