//! How two sides of a connection come to have shared memory: each makes its own, and takes that of the other.

use std::io;
use std::os::fd::OwnedFd;

use super::layout::{GROWN_SIZE, LARGEST, SMALLEST, VERSION};
use super::line::Line;
use super::memory::{Ours, Theirs};
use super::ring::{RingReader, RingWriter, halves};
use crate::error::Obstacle;
use crate::sys::unix::Raw;

/// The bytes that go to the other side, with the handles.
pub(crate) const GREETING: usize = 8;

/// What this side offers: the memory of the ring that it writes to, and the line beside it.
#[derive(Debug)]
pub(crate) struct Offer {
    ours: Ours,
    line: Line,
}

/// The halves that come of it, when both sides have taken what the other one offers.
#[derive(Debug)]
pub(crate) struct Taken(RingReader, RingWriter);

impl Offer {
    /// The bytes by which a handshake says that shared memory can be had.
    pub(crate) const PART: Option<&'static [u8]> = Some(&[VERSION]);

    /// Makes memory, and the handles for the other side: with a ring of at least so many bytes, or with a small one that grows
    /// where the system lets it.
    pub(crate) fn new(ring: Option<usize>) -> io::Result<(Self, Vec<OwnedFd>)> {
        let (ours, file) = match ring {
            Some(ring) => Ours::create(ring.clamp(SMALLEST, LARGEST).next_power_of_two(), 0)?,
            None => Ours::create(SMALLEST, GROWN_SIZE).or_else(|_| Ours::create(SMALLEST, 0))?,
        };
        let [line, theirs] = Line::pair()?;
        Ok((Self { ours, line }, vec![file, theirs.into_fd()]))
    }

    /// What the other side is to know beside the handles.
    pub(crate) fn greeting(&self) -> [u8; GREETING] {
        let ring = self.ours.first().size();
        let [a, b, c, d] = u32::try_from(ring).unwrap_or(0).to_be_bytes();
        [VERSION, 1, u8::from(self.ours.can_grow()), 0, a, b, c, d]
    }

    /// What a side says that has nothing to offer.
    pub(crate) fn none() -> [u8; GREETING] {
        [VERSION, 0, 0, 0, 0, 0, 0, 0]
    }

    /// How many handles come with a greeting.
    pub(crate) fn handles_of(greeting: &[u8; GREETING]) -> usize {
        if *greeting == Self::none() { 0 } else { 2 }
    }

    /// Takes what the other side offers, if nothing about it can do harm.
    pub(crate) fn take(
        self,
        greeting: &[u8; GREETING],
        handles: Vec<OwnedFd>,
    ) -> io::Result<Taken> {
        let [VERSION, 1, grows @ (0 | 1), 0, ring @ ..] = *greeting else {
            let why = if *greeting == Self::none() {
                "the other side could make none"
            } else {
                "the other side has it in another layout"
            };
            return Err(Obstacle::NoSharedMemory(why.to_owned()).into());
        };
        let Ok([file, line]) = <[OwnedFd; 2]>::try_from(handles) else {
            return Err(
                Obstacle::NoSharedMemory("the other side sent other handles".to_owned()).into()
            );
        };
        let ring = usize::try_from(u32::from_be_bytes(ring)).unwrap_or(0);
        let grown = if grows == 1 { GROWN_SIZE } else { 0 };
        let (theirs, line) = (Theirs::adopt(&file, ring, grown)?, Line::adopt(line)?);
        let (reader, writer) = halves(self.ours, theirs, line, self.line);
        Ok(Taken(reader, writer))
    }
}

impl Taken {
    #[cfg(test)]
    pub(super) fn into_halves(self) -> (RingReader, RingWriter) {
        (self.0, self.1)
    }

    /// What wakes each of the two halves.
    pub(crate) fn lines(&self) -> [&OwnedFd; 2] {
        [self.0.line(), self.1.line()]
    }

    /// From now on, the bytes of the two halves go through the memory.
    pub(crate) fn install(self, reader: &mut Raw, writer: &mut Raw) {
        reader.read_from(self.0);
        writer.write_to(self.1);
    }
}
