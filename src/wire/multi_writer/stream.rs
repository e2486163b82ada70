//! The sending side: one writer's messages, cut into fragments.

use super::Introduction;
use super::fragment::{FragmentKind, HEADER, TOTAL, seal};
use crate::error::FrameError;
use crate::wire::framing::ensure_within;

/// The stream of one writer.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Chosen with the first message, so that no two streams share it.
    writer: Option<u64>,
    place: Position,
    /// The place before the message that was finished last.
    before: Position,
}

/// A place in a stream, between two messages.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    /// The number of the next fragment.
    sequence: u32,
    /// How many messages go before the writer introduces itself again.
    until_hello: u8,
}

impl Stream {
    /// The stream of a given writer.
    #[cfg(test)]
    pub(super) fn of(writer: u64) -> Self {
        Self { writer: Some(writer), ..Self::default() }
    }

    /// Reserves room for the headers of a message in one fragment, as most are.
    pub(super) fn begin(&self, introduction: &Introduction, out: &mut Vec<u8>) {
        if self.place.until_hello == 0 {
            out.extend_from_slice(&[0; HEADER]);
            introduction.write(out);
        }
        out.extend_from_slice(&[0; HEADER]);
    }

    /// Cuts `out[start..]` into fragments of at most `most` bytes.
    pub(super) fn finish(
        &mut self,
        introduction: &Introduction,
        limit: u32,
        most: usize,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), FrameError> {
        let greets = self.place.until_hello == 0;
        let message = if greets { start + HEADER + introduction.len() } else { start };
        let len = out.len().checked_sub(message + HEADER).ok_or(FrameError::OutOfBounds)?;
        let total = ensure_within(len, limit)?;
        let writer = self.writer()?;
        let mut place = self.place;
        if greets {
            place.until_hello = HELLO_EVERY;
            seal_at(out, start, message, FragmentKind::Hello, writer, place.next())?;
        }
        place.until_hello -= 1;
        cut(out, message, total, most, writer, &mut place)?;
        (self.before, self.place) = (self.place, place);
        Ok(())
    }

    /// Withdraws the message that was finished last.
    pub(super) fn take_back(&mut self) {
        self.place = self.before;
    }

    /// Appends the goodbye. A message after it begins with an introduction.
    pub(super) fn goodbye(&mut self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let writer = self.writer()?;
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        seal_at(out, start, start + HEADER, FragmentKind::Goodbye, writer, self.place.next())?;
        self.place.until_hello = 0;
        self.before = self.place;
        Ok(())
    }

    fn writer(&mut self) -> Result<u64, FrameError> {
        match self.writer {
            Some(writer) => Ok(writer),
            None => {
                let writer = getrandom::u64().map_err(|_| FrameError::NoIdentity)?;
                Ok(*self.writer.insert(writer))
            }
        }
    }
}

impl Position {
    /// The number of a fragment.
    fn next(&mut self) -> u32 {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        sequence
    }
}

/// Cuts the message of `total` bytes that lies behind the room for a header at `start`.
fn cut(
    out: &mut Vec<u8>,
    start: usize,
    total: u32,
    most: usize,
    writer: u64,
    place: &mut Position,
) -> Result<(), FrameError> {
    let end = out.len();
    if end - start <= most {
        return seal_at(out, start, end, FragmentKind::Whole, writer, place.next());
    }
    let first = most - HEADER - TOTAL;
    let rest = end - start - HEADER - first;
    let parts = rest.div_ceil(most - HEADER);
    out.resize(end + TOTAL + parts * HEADER, 0);

    // From the last part to the first, so that none is overwritten before it has moved.
    let mut from = end;
    for part in (0..=parts).rev() {
        let fragment = start + part * most;
        let payload = fragment + if part == 0 { HEADER + TOTAL } else { HEADER };
        let len = (out.len() - payload).min(fragment + most - payload);
        out.copy_within(from - len..from, payload);
        from -= len;
    }
    for part in 0..=parts {
        let fragment = start + part * most;
        let end = out.len().min(fragment + most);
        let kind = match part {
            0 => FragmentKind::First { total },
            _ if part == parts => FragmentKind::Last,
            _ => FragmentKind::Middle,
        };
        seal_at(out, fragment, end, kind, writer, place.next())?;
    }
    Ok(())
}

fn seal_at(
    out: &mut [u8],
    start: usize,
    end: usize,
    kind: FragmentKind,
    writer: u64,
    sequence: u32,
) -> Result<(), FrameError> {
    let fragment = out.get_mut(start..end).ok_or(FrameError::OutOfBounds)?;
    seal(fragment, kind, writer, sequence)
}

/// A writer introduces itself again with one of so many messages. So a receiver that missed the introduction, because
/// another one read it or because too many writers came between, does not miss the writer for good.
pub(super) const HELLO_EVERY: u8 = 64;
