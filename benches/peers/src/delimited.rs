//! Long texts on wires whose messages end with a byte, and on the one whose messages begin with their length.

use std::convert::Infallible;
use std::hint::black_box;

use typed_pipe::wire::foreign::{Base64Datagrams, Base64Lines, Lines};
use typed_pipe::wire::{Framing, LengthPrefixed, Plain, Scan, Step, Wire};
use typed_pipe::{FrameError, Pipe, WriteEnd};

use crate::round::{Done, Round};

/// A wire that carries a text.
pub(crate) trait Texts {
    type Framing: Framing;

    fn framing() -> Self::Framing;
}

impl Texts for LengthPrefixed {
    type Framing = Self;

    fn framing() -> Self {
        Self::default().limit(LIMIT)
    }
}

impl Texts for Lines {
    type Framing = Self;

    fn framing() -> Self {
        Self::default().limit(LIMIT)
    }
}

impl Texts for Base64Lines {
    type Framing = Self;

    fn framing() -> Self {
        Self::default().limit(LIMIT)
    }
}

impl Texts for Base64Datagrams {
    type Framing = Self;

    fn framing() -> Self {
        Self::default().limit(LIMIT)
    }
}

/// A framing as the documentation of `Framing` shows one, for messages that end with a semicolon.
pub(crate) struct OfOnesOwn;

impl Framing for OfOnesOwn {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>, _: usize) -> Result<(), FrameError> {
        out.push(b';');
        Ok(())
    }

    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        Ok(match bytes[scan.from..].iter().position(|&byte| byte == b';') {
            Some(at) => Step::Message { payload: 0..scan.from + at, frame: scan.from + at + 1 },
            None => Step::NoEnd { scanned: bytes.len() },
        })
    }
}

impl Texts for OfOnesOwn {
    type Framing = Self;

    fn framing() -> Self {
        Self
    }
}

/// Receives texts.
pub(crate) fn receive<T: Texts>(round: &Round) -> Done<f64> {
    let pipe = Pipe::temporary()?;
    let mut pace = round.start(1, &[&pipe.path().to_string()])?;
    let wire = Wire::new(T::framing(), Plain);
    let mut receiver = pipe.into_reader().open()?.into_receiver_with::<String, _, _>(wire);
    while pace.goes_on() {
        black_box(receiver.recv()?);
    }
    Ok(pace.rate())
}

/// Receives texts with `into_text`, which takes 8 MiB at most.
pub(crate) fn receive_text(round: &Round) -> Done<f64> {
    let pipe = Pipe::temporary()?;
    let mut pace = round.start(1, &[&pipe.path().to_string()])?;
    let mut receiver = pipe.into_reader().open()?.into_text();
    while pace.goes_on() {
        black_box(receiver.recv()?);
    }
    Ok(pace.rate())
}

/// Sends a text of `LEN` bytes, one `send` each.
pub(crate) fn send<T: Texts, const LEN: usize>(told: &[String]) -> Done<Infallible> {
    let end = WriteEnd::at(told.first().ok_or("no path")?)?.open()?;
    let mut sender = end.into_sender_with::<str, _, _>(Wire::new(T::framing(), Plain));
    let text = "All work and no play. ".repeat(LEN / 22 + 1);
    let text = &text[..LEN];
    loop {
        sender.send(black_box(text))?;
    }
}

/// More than any text here.
const LIMIT: u32 = 64 << 20;
