//! Loans of a FIFO's end: pages that the caller fills in place, and that the pipe then gets.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::arena::Arena;
use super::signal;

/// The loan of an end: one block at a time.
#[derive(Debug, Default)]
pub(super) struct Lending {
    arena: Option<Arena>,
    /// Whether the kernel takes no pages for this pipe.
    refused: bool,
}

impl Lending {
    /// Lends pages, if the kernel takes them and there are some that no reader has still to read.
    pub(super) fn lend(&mut self, fd: BorrowedFd<'_>, before: usize, len: usize) -> bool {
        !self.refused && Arena::lend(&mut self.arena, fd, before, len)
    }

    pub(super) fn lent(&self) -> &[u8] {
        self.arena.as_ref().map_or(&[], Arena::rest)
    }

    pub(super) fn lent_mut(&mut self) -> &mut [u8] {
        self.arena.as_mut().map_or(&mut [], Arena::rest_mut)
    }

    /// Puts lent bytes into the pipe, as a write would; returns how many. To a reader that is new, the first of them are
    /// written: a write sets the time by which that reader tells them from those of another one, and `vmsplice` does not.
    pub(super) fn give(
        &mut self,
        fd: BorrowedFd<'_>,
        wait: bool,
        to_new: bool,
    ) -> rustix::io::Result<usize> {
        /// Leaves the rest at a page, if it begins at one.
        const FIRST: usize = 4096;
        let Some(arena) = &mut self.arena else { return Ok(0) };
        if !to_new && !self.refused {
            match signal::masked(arena.rest().len(), || arena.give(fd, wait)) {
                // The bytes are there all the same: they are copied.
                Err(error) if is_refusal(error) => self.refused = true,
                done => return done,
            }
        }
        let piece = arena.rest();
        let piece = piece.get(..FIRST).filter(|_| to_new).unwrap_or(piece);
        let written = signal::write_quietly(fd, &[IoSlice::new(piece)])?;
        arena.advance(written);
        Ok(written)
    }
}

/// Whether the kernel lacks the call, forbids it, or does not support it for this file.
fn is_refusal(error: Errno) -> bool {
    matches!(
        error,
        Errno::INVAL | Errno::PERM | Errno::ACCESS | Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOMEM
    )
}
