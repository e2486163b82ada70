//! Decoding of incoming bytes, in every mode.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::error::{CodecError, Error, ErrorKind, Operation};
use crate::wire::shape::{Shape, Style};
use crate::wire::{Codec, Decoder, Framing, MultiWriter, Wire, WriterId};

/// The decoder of a receiver, and its place in the stream.
///
/// A driver reads into [`room`](Self::room) and [notes](Self::note) the result, until there is a whole message.
pub(crate) struct Incoming<F, C> {
    decoder: Decoder<F, C>,
    path: Option<Arc<Path>>,
    next_writer: bool,
    /// Whether the peer ends each message, so that a rest at the end of the stream is no message.
    ends_required: bool,
    stage: Stage,
    last_hangup: Option<Hangup>,
    /// How the stream was cut off, until that is reported.
    cut_off: Option<io::Error>,
    /// Whether an iterator has returned an error after which nothing comes.
    failed: bool,
}

/// The most bytes of one read.
const MAX_READ: usize = 64 * 1024;

/// The place of a receiver in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Reading,
    /// All writers have hung up, and the receiver reports that; `noted`: whether the hang-up is recorded.
    Ending {
        noted: bool,
    },
    /// The hang-up is fully reported. Further bytes come after the end.
    Ended,
    /// The place in the stream is lost. The next writer begins a new stream, once the current ones have hung up.
    Skipping,
}

/// How the writers of a pipe ended: see [`TypedReceiver::last_hangup`](crate::TypedReceiver::last_hangup).
///
/// ```
/// use typed_pipe::{Hangup, TypedReceiver, TypedSender};
///
/// let end_of = |bytes: &[u8]| {
///     let mut receiver = TypedReceiver::<u8, _>::new(bytes); // in place of a pipe whose writers have hung up
///     receiver.by_ref().for_each(drop);
///     receiver.last_hangup()
/// };
/// let mut sender = TypedSender::<u8, _>::new(Vec::new());
/// sender.send(&7)?;
/// assert_eq!(end_of(sender.get_ref()), Some(Hangup::Disconnected));
/// assert_eq!(end_of(&sender.get_ref()[..3]), Some(Hangup::Truncated));
/// assert_eq!(end_of(&sender.finish_into_inner()?), Some(Hangup::Finished));
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("EOF", "disconnect", "crash", "died", "killed"))]
pub enum Hangup {
    /// The last writer has finished. A receive at the end fails with
    /// [`ErrorKind::Finished`](crate::ErrorKind::Finished).
    Finished,
    /// The last writer hung up between two messages, without a goodbye. A receive at the end fails with
    /// [`ErrorKind::Disconnected`](crate::ErrorKind::Disconnected).
    Disconnected,
    /// A writer hung up in the middle of a message, which is lost. A receive fails with
    /// [`ErrorKind::Truncated`](crate::ErrorKind::Truncated), or on a wire of many writers
    /// [`MessageLost`](crate::ErrorKind::MessageLost).
    Truncated,
}

impl<F, C> Incoming<F, C> {
    /// Lets errors name the path.
    pub(super) fn name(&mut self, path: Option<Arc<Path>>) {
        self.path = path;
    }

    /// Sets whether the hang-up of the last writer is a pause before the next one.
    pub(super) fn await_next_writer(&mut self, next_writer: bool) {
        self.next_writer = next_writer;
    }

    /// Treats a rest at the end of the stream as a truncated message, for every framing.
    pub(super) fn require_ends(&mut self) {
        self.ends_required = true;
    }

    pub(super) fn peer_shape(&self) -> Option<&Shape> {
        self.decoder.peer_shape()
    }

    pub(super) fn told_by_peer(&mut self, theirs: Option<Shape>) {
        self.decoder.told(theirs);
    }

    pub(super) fn last_hangup(&self) -> Option<Hangup> {
        self.last_hangup
    }

    /// The bytes read that belong to no received message.
    pub(super) fn buffered(&self) -> &[u8] {
        self.decoder.buffered()
    }

    /// The room for the next read.
    ///
    /// A read of a whole wide pipe would let the writer sleep until there is nothing left to read.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let room = self.decoder.spare();
        let most = room.len().min(MAX_READ);
        room.get_mut(..most).unwrap_or_default()
    }
}

impl<F: Framing, C: Codec> Incoming<F, C> {
    pub(super) fn new(wire: Wire<F, C>) -> Self {
        Self {
            decoder: Decoder::new(wire),
            path: None,
            next_writer: false,
            ends_required: false,
            stage: Stage::Reading,
            last_hangup: None,
            cut_off: None,
            failed: false,
        }
    }

    /// Whether the next message may be taken where it lies, as nothing of it has been read.
    #[cfg(feature = "shared-memory")]
    pub(super) fn may_be_passed(&self) -> bool {
        self.stage == Stage::Reading && self.decoder.may_be_passed()
    }

    /// Whether messages of this wire lie there as they are.
    #[cfg(feature = "shared-memory")]
    pub(super) fn has_plain_frames(&self) -> bool {
        self.plain_frame([0; 4]).is_some()
    }

    /// How long a message is that begins with these bytes, if it may be taken where it lies.
    #[cfg(feature = "shared-memory")]
    pub(super) fn plain_frame(&self, header: [u8; 4]) -> Option<usize> {
        self.decoder.plain_frame(header)
    }

    /// Notes that a message was taken where it lies.
    #[cfg(feature = "shared-memory")]
    pub(super) fn passed(&mut self) {
        self.decoder.passed();
    }

    /// The room for the rest of one message, or of its header, where that is known: what is behind it stays where it lies.
    #[cfg(feature = "shared-memory")]
    pub(super) fn room_for_one(&mut self, header: usize) -> &mut [u8] {
        let most = if self.may_be_passed() {
            header
        } else {
            self.decoder.missing().unwrap_or(usize::MAX)
        };
        let room = self.room();
        let most = most.min(room.len());
        room.get_mut(..most).unwrap_or_default()
    }

    pub(super) fn expect(&mut self, ours: fn(Style) -> Shape) {
        self.decoder.expect(ours);
    }

    pub(super) fn require_shape(&mut self) {
        self.decoder.require_shape();
    }

    /// Advances to the next whole message; returns `false` if it needs more bytes.
    #[inline]
    pub(crate) fn step(&mut self) -> Result<bool, Error> {
        if self.stage == Stage::Reading || self.step_elsewhere()? {
            return self.decoder.step().map_err(|error| self.lost_place(error));
        }
        Ok(self.decoder.has_message())
    }

    /// Advances where the stream has ended, or the place in it is lost; returns whether it goes on.
    #[cold]
    fn step_elsewhere(&mut self) -> Result<bool, Error> {
        if let Stage::Ending { noted } = self.stage {
            if self.step_at_end()? {
                return Ok(false);
            }
            self.tell_end(noted)?;
        }
        Ok(self.stage != Stage::Skipping)
    }

    /// The error of a step. Where a next writer may come, it loses the place for the present ones only.
    #[cold]
    fn lost_place(&mut self, error: Error) -> Error {
        let survives = self.next_writer && error.is_fatal();
        if survives {
            self.stage = Stage::Skipping;
        }
        error.survived(survives).at(self.path.as_ref())
    }

    /// Notes the result of a read into the [room](Self::room).
    #[inline]
    pub(crate) fn note(&mut self, read: io::Result<usize>) -> Result<(), Error> {
        match read {
            Ok(0) => self.all_have_left(),
            Ok(_) if self.stage == Stage::Skipping => {}
            Ok(bytes) => {
                self.decoder.filled(bytes);
                self.stage = Stage::Reading;
            }
            Err(error) => return self.not_read(error),
        }
        Ok(())
    }

    /// Notes that a read has failed.
    #[cold]
    fn not_read(&mut self, error: io::Error) -> Result<(), Error> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            // A hang-up as well; the bytes before it decide which. It is reported once.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                self.cut_off = Some(error).filter(|_| self.stage != Stage::Ended);
                self.all_have_left();
                Ok(())
            }
            _ => Err(Error::new(Operation::Receive, error).at(self.path.as_ref())),
        }
    }

    /// Decodes the message that was found, owned or borrowed from the buffer: borrowed only from a
    /// [`BorrowingCodec`](crate::wire::BorrowingCodec).
    ///
    /// From here down to the codec, and up to `recv`, each call would move the value once more, right after it was
    /// written: that waits for the processor's stores, and takes a sixth of the time of a small message.
    #[inline(always)]
    pub(crate) fn message<'de, M: Deserialize<'de>>(&'de mut self) -> Result<M, Error> {
        let Self { decoder, path, stage, last_hangup, .. } = self;
        let decoder = &*decoder;
        let decoded = decoder.wire().codec().decode(decoder.payload());
        decoded.map_err(|error| undecodable(error, decoder, path, stage, last_hangup))
    }

    /// Maps the result of a receive to an iterator item. A result that every later receive would repeat ends the
    /// iterator.
    #[inline]
    pub(crate) fn item<T>(&mut self, received: Result<T, Error>) -> Option<Result<T, Error>> {
        match received {
            Ok(value) => Some(Ok(value)),
            Err(error) => self.failed_item(error).map(Err),
        }
    }

    /// The item of a receive that has failed, unless it ends the iterator.
    #[cold]
    fn failed_item(&mut self, error: Error) -> Option<Error> {
        let ended = error.is_end() && !error.is_cut_off();
        if ended || matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Cancelled) {
            return None;
        }
        self.failed = error.is_fatal();
        Some(error)
    }

    /// Whether something has arrived that was not given out.
    pub(super) fn has_begun(&self) -> bool {
        self.decoder.has_begun()
    }

    /// Whether the iterator or stream has ended.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The bytes of the message that was found.
    pub(crate) fn bytes(&self) -> Result<&[u8], Error> {
        self.decoder.bytes().map_err(|error| error.at(self.path.as_ref()))
    }

    /// Advances to the next message of writers that have hung up. The last one may have no end of its own.
    #[cold]
    fn step_at_end(&mut self) -> Result<bool, Error> {
        if self.ends_required || self.cut_off.is_some() {
            return Ok(false);
        }
        self.decoder.step_at_end().map_err(|error| error.at(self.path.as_ref()))
    }

    #[cold]
    fn all_have_left(&mut self) {
        self.stage = match self.stage {
            Stage::Skipping => {
                // The last bytes of the writers were not decoded.
                self.last_hangup = Some(Hangup::Truncated);
                self.cut_off = None;
                self.decoder.reset();
                Stage::Reading
            }
            Stage::Reading => Stage::Ending { noted: false },
            Stage::Ending { .. } | Stage::Ended => Stage::Ending { noted: true },
        };
    }

    /// Reports one result of the hang-up of the writers. `Ok` where that is a pause before the next one.
    fn tell_end(&mut self, noted: bool) -> Result<(), Error> {
        let end = self.decoder.end();
        if !noted {
            self.last_hangup = Some(match end.kind() {
                ErrorKind::Finished => Hangup::Finished,
                ErrorKind::Disconnected => Hangup::Disconnected,
                _ => Hangup::Truncated,
            });
        }
        let cut_off = end.kind() == ErrorKind::Disconnected && self.cut_off.is_some();
        let action = eof(end.kind(), cut_off, self.next_writer);
        self.stage = action.stage;
        if action.forgets {
            self.decoder.reset();
        }
        // It is told with the last of the reports.
        let whole = !matches!(self.stage, Stage::Ending { .. });
        let end = match self.cut_off.take_if(|_| whole) {
            Some(error) if cut_off => {
                Error::new(Operation::Receive, error).survived(self.next_writer)
            }
            _ => end,
        };
        if action.reports { Err(end.at(self.path.as_ref())) } else { Ok(()) }
    }
}

/// What a receiver does about the end of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Action {
    /// Where it is then.
    stage: Stage,
    /// Whether it forgets the bytes that it has.
    forgets: bool,
    /// Whether a receive fails.
    reports: bool,
}

/// The action at an end of this kind, which the decoder tells; `cut_off`: whether the peer left with a failure of the
/// system between two messages; `next_writer`: whether it awaits one.
const fn eof(end: ErrorKind, cut_off: bool, next_writer: bool) -> Action {
    let regular = matches!(end, ErrorKind::Disconnected | ErrorKind::Finished);
    match end {
        // There may be more.
        ErrorKind::MessageLost => {
            Action { stage: Stage::Ending { noted: true }, forgets: false, reports: true }
        }
        _ if next_writer => {
            Action { stage: Stage::Reading, forgets: true, reports: !regular || cut_off }
        }
        _ => Action { stage: Stage::Ended, forgets: !regular, reports: true },
    }
}

/// The error of a message that does not decode. At the end of the stream, that amounts to a hang-up in its middle.
#[cold]
fn undecodable<F: Framing, C: Codec>(
    error: CodecError,
    decoder: &Decoder<F, C>,
    path: &Option<Arc<Path>>,
    stage: &mut Stage,
    last_hangup: &mut Option<Hangup>,
) -> Error {
    let error = decoder.undecodable(error);
    if error.kind() == ErrorKind::Truncated {
        *last_hangup = Some(Hangup::Truncated);
        *stage = Stage::Ending { noted: true };
    }
    error.at(path.as_ref())
}

impl<C: Codec> Incoming<MultiWriter, C> {
    /// The writer of the last received message.
    pub(super) fn last_writer(&self) -> Option<WriterId> {
        self.decoder.wire().framing().writer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_stream_is_a_pause_only_where_a_next_writer_may_come() {
        let then = |stage, forgets, reports| Action { stage, forgets, reports };
        for (end, forgets) in [
            (ErrorKind::Disconnected, false),
            (ErrorKind::Finished, false),
            (ErrorKind::Truncated, true),
            (ErrorKind::Poisoned, true),
        ] {
            assert_eq!(eof(end, false, false), then(Stage::Ended, forgets, true), "{end:?}");
            assert_eq!(eof(end, false, true), then(Stage::Reading, true, forgets), "{end:?}");
        }
        let cut_off = eof(ErrorKind::Disconnected, true, true);
        assert_eq!(cut_off, then(Stage::Reading, true, true));
        for next_writer in [false, true] {
            let one = eof(ErrorKind::MessageLost, false, next_writer);
            assert_eq!(one, then(Stage::Ending { noted: true }, false, true), "there may be more");
        }
    }
}
