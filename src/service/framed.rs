//! The two directions of a connection of calls: frames to bytes, and bytes to frames. Behind these traits stands no type of
//! the user's, so that all below is compiled once.

use std::ptr::fn_addr_eq;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::encoding::{Beside, Encoding, Malformed};
use super::mux::Frame;
use crate::channel::Sendable;
use crate::error::{Cause, Disagreement, Error, ErrorKind, Operation};
use crate::wire::shape::{Difference, Shape, Style, ValueCheck};
use crate::wire::{Codec, Decoder, Encoder, Framing};

/// Frames that leave.
pub(crate) trait Outgoing: Send {
    /// Adds a frame to the bytes to write. An error leaves nothing of it.
    fn stage(&mut self, frame: &Frame<Vec<u8>>, beside: &Beside) -> Result<(), Error>;

    /// Says that this was all.
    fn stage_goodbye(&mut self);

    /// The bytes of the next write.
    fn pending(&self) -> &[u8];

    /// All bytes that are not written.
    fn staged(&self) -> usize;

    /// So many bytes were written.
    fn advance(&mut self, bytes: usize);
}

/// Frames that arrive.
pub(crate) trait Incoming: Send {
    /// Takes bytes that have arrived.
    fn feed(&mut self, bytes: &[u8]);

    /// Takes so many bytes in this buffer, and the buffer with them where it keeps none, until it rests.
    fn borrow(&mut self, buffer: &mut Vec<u8>, len: usize);

    /// The next whole frame.
    fn next(&mut self) -> Result<Option<(Frame<&[u8]>, Beside)>, Garbled>;

    /// Whether a part of a frame has arrived.
    fn has_part(&self) -> bool;

    /// How the stream ended.
    fn end(&mut self) -> ErrorKind;

    /// Gives back what it has borrowed, and frees its own memory where no bytes are kept.
    fn rest(&mut self, buffer: &mut Vec<u8>);
}

/// Bytes that are no frame: the rest of the stream means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

impl From<Malformed> for Garbled {
    fn from(_: Malformed) -> Self {
        Self
    }
}

/// One direction: its framing, and the encoding of its frames.
pub(crate) struct Framed<W, E> {
    wire: W,
    encoding: E,
}

impl<W, E> Framed<W, E> {
    pub(crate) fn new(wire: W, encoding: E) -> Self {
        Self { wire, encoding }
    }
}

impl<F, C, E> Outgoing for Framed<Encoder<F, C>, E>
where
    F: Framing + Send,
    C: Codec + Send,
    E: Encoding + Send,
{
    fn stage(&mut self, frame: &Frame<Vec<u8>>, beside: &Beside) -> Result<(), Error> {
        let Self { wire, encoding } = self;
        if !encoding.says(frame) {
            return Ok(());
        }
        wire.stage_with(|_, out| encoding.write(frame, beside, out))
    }

    fn stage_goodbye(&mut self) {
        self.wire.stage_goodbye();
    }

    fn pending(&self) -> &[u8] {
        self.wire.pending()
    }

    fn staged(&self) -> usize {
        self.wire.staged()
    }

    fn advance(&mut self, bytes: usize) {
        self.wire.advance(bytes);
    }
}

impl<F, C, E> Incoming for Framed<Decoder<F, C>, E>
where
    F: Framing + Send,
    C: Codec + Send,
    E: Encoding + Send,
{
    fn feed(&mut self, bytes: &[u8]) {
        self.wire.feed(bytes);
    }

    fn borrow(&mut self, buffer: &mut Vec<u8>, len: usize) {
        self.wire.borrow(buffer, len);
    }

    fn next(&mut self) -> Result<Option<(Frame<&[u8]>, Beside)>, Garbled> {
        if !self.wire.step().map_err(|_| Garbled)? {
            return Ok(None);
        }
        let bytes = self.wire.bytes().map_err(|_| Garbled)?;
        Ok(Some(self.encoding.read(bytes)?))
    }

    fn has_part(&self) -> bool {
        !self.wire.buffered().is_empty()
    }

    fn end(&mut self) -> ErrorKind {
        self.wire.end().kind()
    }

    fn rest(&mut self, buffer: &mut Vec<u8>) {
        self.wire.rest(buffer);
    }
}

/// The bytes of a value, if they are no more than the other side takes. It is the user's code that runs here.
pub(super) fn encoded<T: Sendable + ?Sized>(
    codec: &impl Codec,
    value: &T,
    limit: u64,
) -> Result<Vec<u8>, Error> {
    let mut body = Vec::with_capacity(SMALL);
    let encoded = codec.encode(value, &mut body);
    encoded.map_err(|error| Error::new(Operation::Encode, Cause::Encode(error)))?;
    within(body, limit)
}

/// A body of bytes behind what the value looks like, for a side that does not have its type. The description is empty where the codec's bytes describe themselves, and where
/// both together are more than the other side takes. It is the user's code that runs here.
pub(super) fn told<T: Sendable + ?Sized>(
    codec: &impl Codec,
    value: &T,
    body: &[u8],
    limit: u64,
) -> Result<Vec<u8>, Error> {
    let describe = |style| Shape::of_value(value, style).description().to_vec();
    let positional = codec.style().filter(|style| *style == Style::Positional);
    let whole = joined(&positional.map(describe).unwrap_or_default(), body);
    within(whole, limit).or_else(|_| within(joined(&[], body), limit))
}

/// What the items look like that a caller reads, and how far those of its handler were held against it.
#[derive(Debug, Default)]
pub(super) struct ItemCheck {
    description: Box<[u8]>,
    /// Whether not all of it was seen.
    unchecked: AtomicBool,
    /// How far that is. It is taken while the user's code runs.
    check: Mutex<Option<Box<ValueCheck>>>,
}

impl ItemCheck {
    /// It is empty where the caller does not tell.
    pub(super) fn new(description: &[u8]) -> Self {
        let unchecked = AtomicBool::new(!description.is_empty());
        Self { description: description.into(), unchecked, check: Mutex::default() }
    }

    /// Holds an item against it, until all of it was seen. It is the user's code that runs here.
    pub(super) fn check<T: Sendable + ?Sized>(&self, item: &T) -> Result<(), Error> {
        if !self.unchecked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let slot = || self.check.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = slot().take();
        let begun = || Shape::from_description(&self.description).map(|it| ValueCheck::new(&it));
        let Some(mut check) = taken.or_else(|| begun().ok().map(Box::new)) else {
            // A description that says nothing is nothing to compare with.
            self.unchecked.store(false, Ordering::Relaxed);
            return Ok(());
        };
        let checked = check.check(item);
        self.unchecked.store(!check.is_done(), Ordering::Relaxed);
        *slot() = Some(check);
        checked.map_err(|at| Error::new(Operation::Send, Cause::Unfit(at.to_sender())))
    }
}

/// What a type looks like to a codec of a style.
pub(crate) type ShapeOf = fn(Style) -> Shape;

/// What the items of a caller look like, as it has told, and whether the type that was read last reads them.
#[derive(Debug, Default)]
pub(super) struct ToldItems {
    description: Box<[u8]>,
    verdict: Mutex<Option<(ShapeOf, Result<(), Difference>)>>,
}

impl ToldItems {
    pub(super) fn new(description: &[u8]) -> Self {
        Self { description: description.into(), verdict: Mutex::default() }
    }

    /// Fails where a type does not read these items. It is the user's code that runs here.
    pub(super) fn ensure_read_by(&self, style: Style, reads: ShapeOf) -> Result<(), Error> {
        let slot = || self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        let known = slot().as_ref().filter(|(of, _)| fn_addr_eq(*of, reads)).map(|it| it.1.clone());
        let verdict = known.unwrap_or_else(|| {
            // A description that says nothing is nothing to compare with.
            let written = Shape::from_description(&self.description);
            let verdict = written.map_or(Ok(()), |written| written.read_by(&reads(style)));
            *slot() = Some((reads, verdict.clone()));
            verdict
        });
        verdict.map_err(|at| Error::new(Operation::Receive, Disagreement::Shapes(at.to_receiver())))
    }
}

/// A body behind a description: four bytes with the length of it, big-endian, it, and the body.
pub(super) fn joined(description: &[u8], body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(description.len()).unwrap_or(0);
    [&len.to_be_bytes(), description, body].concat()
}

/// What [`joined`] has joined.
pub(super) fn split_told(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

/// What [`told`] has told, and the body.
#[cfg(feature = "tool")]
pub(super) fn untold(bytes: &[u8]) -> Result<(Option<Shape>, &[u8]), Malformed> {
    match split_told(bytes).ok_or(Malformed)? {
        ([], body) => Ok((None, body)),
        (description, body) => {
            let shape = Shape::from_description(description).map_err(|_| Malformed)?;
            Ok((Some(shape), body))
        }
    }
}

/// A body, if it is no more than the other side takes.
pub(super) fn within(body: Vec<u8>, limit: u64) -> Result<Vec<u8>, Error> {
    let (len, limit) = (u64::try_from(body.len()).unwrap_or(u64::MAX), body_limit(limit));
    if len <= limit {
        return Ok(body);
    }
    let cause = Cause::from(crate::error::FrameError::TooLarge { len, limit });
    Err(Error::new(Operation::Encode, cause))
}

/// The most bytes of a body, of the most of a frame.
pub(super) fn body_limit(frame: u64) -> u64 {
    frame.saturating_sub(HEAD)
}

/// The most bytes of a frame beside its body.
const HEAD: u64 = 32;

/// The first room of a body: most are no longer. It is more than a codec fills with zeros before it writes: else the compiler
/// asks the allocator for zeros, which takes longer.
pub(super) const SMALL: usize = 72;
