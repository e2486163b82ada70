//! Writing behind whoever asks: what a pipe has no room for yet is written while nobody waits for that.

use std::io;
use std::os::windows::io::AsHandle;

use super::overlapped::{Outcome, Overlapped};

/// What a task is writing to a pipe, which has a buffer for that.
#[derive(Debug, Default)]
pub(super) struct WriteBehind {
    /// How many bytes are being written.
    bytes: usize,
    /// Whether the end is being said, or was.
    is_ending: bool,
}

impl WriteBehind {
    /// Writes from one buffer without waiting. While there is no room, it goes on by itself, and is to be called
    /// again with the same bytes; with others, what is not written by then is given up.
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
        // A call without bytes would be a message without bytes, which some take for the end.
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

    /// Ends what is being written; tells how much of it was.
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
            // Where the thread that began to write has ended, this one begins again.
            if !outcome.is_cancelled() || outcome.bytes > 0 {
                return Ok(outcome);
            }
        }
    }
}
