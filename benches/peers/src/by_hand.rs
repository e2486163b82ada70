//! The frames of typed-pipe's default wire, as one would write them by hand for one's own program.
//!
//! A frame is the length, a big-endian `u32`, and the payload. Nothing is checked that the loop does not
//! need, nothing is allocated, and what has arrived is used where it lies.

use std::hint::black_box;
use std::io::{self, IoSlice, Read, Write};

use crate::message::Quote;
use crate::round::Done;

/// What is collected before it is written, and what is asked of one read.
pub(crate) const BATCH: usize = 64 << 10;

const HEADER: usize = 4;

/// More than the frame of any quote that is sent here.
const MOST: usize = 64;

/// Writes the frame of a quote to the front of `room`, and tells how long it is.
#[inline]
pub(crate) fn frame(quote: &Quote, room: &mut [u8]) -> Done<usize> {
    let (header, room) = room.split_first_chunk_mut().ok_or("no room")?;
    let len = postcard::to_slice(quote, room)?.len();
    *header = u32::try_from(len)?.to_be_bytes();
    Ok(HEADER + len)
}

/// One write for each quote.
pub(crate) fn send_quotes(mut out: impl Write) -> Done<std::convert::Infallible> {
    let quote = Quote::sample();
    let mut room = [0; MOST];
    loop {
        let len = frame(black_box(&quote), &mut room)?;
        out.write_all(&room[..len])?;
    }
}

/// One write for as many quotes as a pipe holds.
pub(crate) fn batch_quotes(mut out: impl Write) -> Done<std::convert::Infallible> {
    let quote = Quote::sample();
    let mut batch = vec![0; BATCH];
    let mut len = 0;
    loop {
        if batch.len() - len < MOST {
            out.write_all(&batch[..len])?;
            len = 0;
        }
        len += frame(black_box(&quote), &mut batch[len..])?;
    }
}

/// One write for each payload and its header, without copying the payload to its header first.
pub(crate) fn send_payloads(mut out: impl Write, payload: &[u8]) -> Done<std::convert::Infallible> {
    loop {
        send_payload(&mut out, black_box(payload))?;
    }
}

/// The same, with each payload made anew in the same memory.
pub(crate) fn make_payloads(mut out: impl Write, len: usize) -> Done<std::convert::Infallible> {
    let mut payload = vec![0; len];
    for number in (0..=u8::MAX).cycle() {
        payload.fill(black_box(number));
        send_payload(&mut out, &payload)?;
    }
    unreachable!("it is a cycle")
}

fn send_payload(mut out: impl Write, payload: &[u8]) -> Done<()> {
    let header = u32::try_from(payload.len())?.to_be_bytes();
    let written = out.write_vectored(&[IoSlice::new(&header), IoSlice::new(payload)])?;
    let rest = written.checked_sub(HEADER).and_then(|written| payload.get(written..));
    Ok(out.write_all(rest.ok_or("a header was written in part")?)?)
}

/// Reads frames in pieces as large as they come.
pub(crate) struct Frames<R> {
    io: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    usual: usize,
}

impl<R: Read> Frames<R> {
    /// Small frames: a read takes as many as a pipe holds.
    pub(crate) fn small(io: R) -> Self {
        Self::new(io, BATCH)
    }

    /// Frames with payloads of `len` bytes: a read takes the rest of a frame and the header of the next one, so
    /// that no header needs a read of its own and no payload is moved.
    pub(crate) fn large(io: R, len: usize) -> Self {
        Self::new(io, HEADER + len)
    }

    fn new(io: R, usual: usize) -> Self {
        Self { io, buffer: vec![0; usual + HEADER], start: 0, end: 0, usual }
    }

    /// The next payload.
    #[inline]
    pub(crate) fn next(&mut self) -> Done<&[u8]> {
        loop {
            let arrived = &self.buffer[self.start..self.end];
            let mut total = HEADER;
            if let Some(header) = arrived.first_chunk() {
                total += usize::try_from(u32::from_be_bytes(*header))?;
                if arrived.len() >= total {
                    let frame = self.start..self.start + total;
                    self.start = frame.end;
                    return Ok(&self.buffer[frame][HEADER..]);
                }
            }
            self.read(total)?;
        }
    }

    fn read(&mut self, total: usize) -> Done {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let wanted = total.max(self.usual) + HEADER;
        let room = self.buffer.get_mut(self.end..wanted).ok_or("an unusual frame")?;
        match self.io.read(room)? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            bytes => {
                self.end += bytes;
                Ok(())
            }
        }
    }

    /// The next quote.
    #[inline]
    pub(crate) fn next_quote(&mut self) -> Done<Quote> {
        Ok(postcard::from_bytes(self.next()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_pipe_sends_these_frames() {
        let mut room = [0; MOST];
        let len = frame(&Quote::sample(), &mut room).unwrap();
        let mut bytes = Vec::new();
        typed_pipe::TypedSender::new(&mut bytes).send(&Quote::sample()).unwrap();
        assert_eq!(bytes, room[..len]);
    }

    #[test]
    fn frames_are_found_however_they_come() {
        let mut bytes = Vec::new();
        for len in [3_u8, 0, 5, 5, 1] {
            bytes.extend([0, 0, 0, len]);
            bytes.extend((0..len).map(|_| len));
        }
        let mut frames = Frames::large(bytes.as_slice(), 5);
        for len in [3_u8, 0, 5, 5, 1] {
            assert_eq!(frames.next().unwrap(), vec![len; len.into()]);
        }
        assert!(frames.next().is_err());
    }
}
