//! Writes behind: bytes that a pipe has no room for yet are written while no caller waits.

use std::io;
use std::os::windows::io::AsHandle;

use super::overlapped::{Outcome, Overlapped};

/// The pending write of a task to a pipe, which has a buffer for that.
#[derive(Debug, Default)]
pub(super) struct WriteBehind {
    /// The number of bytes in flight.
    bytes: usize,
    /// Whether the farewell is in flight, or was written.
    is_ending: bool,
}

impl WriteBehind {
    /// Writes from one buffer without waiting. While there is no room, the write goes on by itself; call this
    /// again with the same bytes. A call with other bytes abandons what is not written by then.
    pub(super) fn write<H: AsHandle>(
        &mut self,
        pipe: &mut Overlapped<H>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        if self.bytes > 0
            && !pipe.behind().get(..self.bytes).is_some_and(|of| bytes.starts_with(of))
        {
            self.give_up(pipe)?;
        }
        if self.is_ending {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // A call without bytes would be a message without bytes, which some readers take for the end.
        if bytes.is_empty() {
            return Ok(0);
        }
        self.go_on(pipe, bytes)?.moved()
    }

    /// Writes a message without bytes, in the same way.
    pub(super) fn write_nothing<H: AsHandle>(
        &mut self,
        pipe: &mut Overlapped<H>,
    ) -> io::Result<Outcome> {
        if self.bytes > 0 {
            self.give_up(pipe)?;
        }
        self.is_ending = true;
        self.go_on(pipe, &[])
    }

    /// Cancels the write in flight; returns how many of its bytes were written.
    pub(super) fn give_up<H: AsHandle>(&mut self, pipe: &mut Overlapped<H>) -> io::Result<usize> {
        self.bytes = 0;
        self.is_ending = false;
        match pipe.give_up() {
            Some(outcome) if !outcome.is_cancelled() => outcome.moved(),
            Some(outcome) => Ok(outcome.bytes),
            None => Ok(0),
        }
    }

    fn go_on<H: AsHandle>(
        &mut self,
        pipe: &mut Overlapped<H>,
        bytes: &[u8],
    ) -> io::Result<Outcome> {
        loop {
            let over = if pipe.is_in_flight() {
                pipe.poll()
            } else {
                self.bytes = bytes.len().min(pipe.behind().len());
                pipe.write_behind(bytes)
            };
            let outcome = over.ok_or(io::ErrorKind::WouldBlock)?;
            self.bytes = 0;
            // If the thread that began to write has ended, this one begins again.
            if !outcome.is_cancelled() || outcome.bytes > 0 {
                return Ok(outcome);
            }
        }
    }
}
