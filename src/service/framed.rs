//! The two directions of a connection of calls: frames to bytes, and bytes to frames. Behind these traits stands no type of
//! the user's, so that all below is compiled once.

use super::encoding::{Beside, Encoding, Malformed};
use super::mux::Frame;
use crate::channel::Sendable;
use crate::error::{Cause, Error, ErrorKind, Operation};
use crate::wire::shape::{Shape, Style};
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

    /// The next whole frame.
    fn next(&mut self) -> Result<Option<(Frame<&[u8]>, Beside)>, Garbled>;

    /// Whether a part of a frame has arrived.
    fn has_part(&self) -> bool;

    /// How the stream ended.
    fn end(&mut self) -> ErrorKind;

    /// Frees the memory, where no bytes are kept.
    fn rest(&mut self);
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

    fn rest(&mut self) {
        self.wire.rest();
    }
}

/// The bytes of a value, if they are no more than the other side takes. It is the user's code that runs here.
pub(super) fn encoded<T: Sendable + ?Sized>(
    codec: &impl Codec,
    value: &T,
    limit: u64,
) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let encoded = codec.encode(value, &mut body);
    encoded.map_err(|error| Error::new(Operation::Encode, Cause::Encode(error)))?;
    within(body, limit)
}

/// A body of bytes behind what the value looks like, for a side that does not have its type: four bytes with the length of
/// the description, big-endian, and the description. It is empty where the codec's bytes describe themselves, and where
/// both together are more than the other side takes. It is the user's code that runs here.
pub(super) fn told<T: Sendable + ?Sized>(
    codec: &impl Codec,
    value: &T,
    body: &[u8],
    limit: u64,
) -> Result<Vec<u8>, Error> {
    let describe = |style| Shape::of_value(value, style).description().to_vec();
    let positional = codec.style().filter(|style| *style == Style::Positional);
    let joined = |description: &[u8]| {
        let len = u32::try_from(description.len()).unwrap_or(0);
        [&len.to_be_bytes(), description, body].concat()
    };
    let whole = joined(&positional.map(describe).unwrap_or_default());
    within(whole, limit).or_else(|_| within(joined(&[]), limit))
}

/// What [`told`] has told, and the body.
#[cfg(feature = "tool")]
pub(super) fn untold(bytes: &[u8]) -> Result<(Option<Shape>, &[u8]), Malformed> {
    let (len, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| Malformed)?;
    match rest.split_at_checked(len).ok_or(Malformed)? {
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
