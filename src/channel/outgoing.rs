//! Encoding of outgoing messages, in every mode.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Cause, Error, ErrorKind, Obstacle, Operation};
use crate::wire::shape::{Shape, Style, ValueCheck};
use crate::wire::{Codec, Encoder, Framing, Header, Wire};

/// The size of a batch: as many bytes as a pipe usually holds.
const BATCH: usize = 64 * 1024;

/// The encoder of a sender, and the path of its pipe. Its drop reports the bytes lost with it.
///
/// A driver writes the [pending](Self::pending) bytes and [notes](Self::note) the result, until none are left.
pub(crate) struct Outgoing<F, C> {
    encoder: Encoder<F, C>,
    path: Option<Arc<Path>>,
    /// Whether the goodbye is staged last.
    goodbye: bool,
    /// Whether the reader has left in the middle of the last message, none of which may reach the next reader.
    torn: bool,
    /// What the receiver has announced, as far as it has.
    reads: Option<Shape>,
    /// Holds values whose type is not known before against that.
    check: Option<Box<ValueCheck>>,
}

impl<F, C> Outgoing<F, C> {
    /// Notes what the receiver has announced.
    pub(super) fn note_reader(&mut self, reads: Option<Shape>) {
        self.reads = reads;
    }

    /// Lets errors name the path.
    pub(super) fn name(&mut self, path: Option<Arc<Path>>) {
        self.path = path;
    }

    /// The number of bytes staged and not written.
    pub(crate) fn staged(&self) -> usize {
        self.encoder.staged()
    }

    /// Makes the error of an operation of this sender.
    #[cold]
    pub(crate) fn failed(&mut self, operation: Operation, error: io::Error) -> Error {
        if left_by_reader(&error) {
            self.torn = true;
            self.encoder.cut();
        }
        if error.kind() == io::ErrorKind::BrokenPipe || left_by_reader(&error) {
            self.encoder.greet_again();
        }
        Error::new(operation, error).at(self.path.as_ref())
    }
}

impl<F: Framing, C: Codec> Outgoing<F, C> {
    /// An error that names the path.
    #[cold]
    #[inline(never)]
    fn located(&self, error: Error) -> Error {
        error.at(self.path.as_ref())
    }

    pub(super) fn new(wire: Wire<F, C>) -> Self {
        Self {
            encoder: Encoder::new(wire),
            path: None,
            goodbye: false,
            torn: false,
            reads: None,
            check: None,
        }
    }

    /// Says before the first message what the messages look like.
    pub(super) fn greet(&mut self, shape: fn(Style) -> Shape) {
        self.encoder.greet(shape);
    }

    /// Stages the hello, before bytes that are written without being staged.
    pub(super) fn stage_hello(&mut self) {
        self.encoder.stage_hello();
    }

    /// Stages a value of another type than the messages, if it writes what the receiver reads: what it has announced, or
    /// else what the type of the messages looks like.
    pub(crate) fn stage_as(
        &mut self,
        value: &(impl Serialize + ?Sized),
        messages: fn(Style) -> Option<Shape>,
    ) -> Result<(), Error> {
        if self.check.is_none() {
            let style = self.encoder.wire().codec().style();
            let reads = self.reads.clone().or_else(|| style.and_then(messages));
            self.check = reads.map(|reads| Box::new(ValueCheck::new(&reads)));
        }
        if let Some(check) = &mut self.check {
            check.check(value).map_err(|at| {
                let unfit = Cause::Unfit(at.to_sender());
                Error::new(Operation::Encode, unfit).at(self.path.as_ref())
            })?;
        }
        self.stage(value)
    }

    /// Passes the wire the number of bytes that one write puts into the pipe unmixed.
    pub(super) fn atomic_write(&mut self, bytes: usize) {
        self.encoder.atomic_write(bytes);
    }

    /// Lowers the limit of a payload to what the peer accepts.
    pub(super) fn lower_limit(&mut self, bytes: u64) {
        self.encoder.lower_limit(bytes);
    }

    /// Encodes a value behind the staged bytes.
    pub(crate) fn stage(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.goodbye = false;
        self.encoder.stage(value).map_err(|error| self.located(error))
    }

    /// Stages a message of raw bytes.
    pub(crate) fn stage_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.goodbye = false;
        self.encoder.stage_bytes(bytes).map_err(|error| self.located(error))
    }

    /// The header of a payload of `len` bytes, where header and payload are the whole frame.
    pub(super) fn header(&mut self, len: usize) -> Result<Option<Header>, Error> {
        (self.goodbye, self.torn) = (false, false);
        self.encoder.header(len).map_err(|error| self.located(error))
    }

    /// Stages the first part of a frame as it is.
    pub(super) fn stage_first_part(&mut self, part: &[u8]) {
        self.torn = false;
        self.encoder.stage_first_part(part);
    }

    /// Stages a part of a frame that follows another.
    pub(super) fn stage_next_part(&mut self, part: &[u8]) {
        if !self.torn {
            self.encoder.stage_next_part(part);
        }
    }

    /// Makes room behind the staged bytes for a message of `len` bytes, to be filled in place.
    pub(super) fn lend(&mut self, len: usize) -> Result<(), Error> {
        self.encoder.lend(len).map_err(|error| self.located(error))
    }

    /// The last bytes of that room.
    pub(super) fn lent(&self, len: usize) -> &[u8] {
        self.encoder.lent(len)
    }

    pub(super) fn lent_mut(&mut self, len: usize) -> &mut [u8] {
        self.encoder.lent_mut(len)
    }

    /// Stages the message that was filled in place.
    pub(super) fn stage_lent(&mut self) -> Result<(), Error> {
        self.goodbye = false;
        self.encoder.stage_lent().map_err(|error| self.located(error))
    }

    /// Stages the goodbye, unless it is staged last already.
    pub(crate) fn stage_goodbye(&mut self) {
        if !self.goodbye {
            self.goodbye = self.encoder.stage_goodbye();
        }
    }

    /// The bytes of the next single write; `None` when all is written.
    pub(crate) fn pending(&self) -> Option<&[u8]> {
        if self.staged() == 0 { None } else { Some(self.encoder.pending()) }
    }

    /// The bytes of the next write, if enough are staged.
    ///
    /// A message that would exceed what a pipe usually holds goes with the next batch: a writer that has filled the
    /// pipe would wait for its reader to write the short rest.
    pub(crate) fn batch(&self) -> Option<&[u8]> {
        match self.staged() {
            0..BATCH => None,
            BATCH => Some(self.encoder.pending()),
            _ => Some(self.encoder.pending_but_last()),
        }
    }

    /// Notes the result of a write of the pending bytes.
    pub(crate) fn note(&mut self, written: io::Result<usize>) -> Result<(), Error> {
        match written {
            Ok(bytes @ 1..) => {
                self.encoder.advance(bytes);
                Ok(())
            }
            Ok(0) => self.not_written(io::ErrorKind::WriteZero.into()),
            Err(error) => self.not_written(error),
        }
    }

    /// The result of a write that has written nothing.
    #[cold]
    fn not_written(&mut self, error: io::Error) -> Result<(), Error> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            _ => Err(self.failed(Operation::Send, error)),
        }
    }

    /// The delivery report at the end, if the peer can see the end: by the goodbye, or by the end of the direction.
    pub(crate) fn delivery(
        &mut self,
        taken: bool,
        half_closed: io::Result<()>,
    ) -> Result<Delivery, Error> {
        match half_closed.map_err(|error| self.failed(Operation::Finish, error)) {
            Err(error) if !self.goodbye || error.kind() != ErrorKind::Unsupported => Err(error),
            _ if taken => Ok(Delivery::Drained),
            _ => Ok(Delivery::Sent),
        }
    }

    /// Withdraws the last message if none of it is written; marks the error as half sent otherwise.
    pub(crate) fn withdraw(&mut self, error: Error) -> Error {
        let half_sent = !self.encoder.withdraw();
        error.half_sent(half_sent)
    }
}

/// Whether the reader of an owner has left, so that the next one begins anew.
fn left_by_reader(error: &io::Error) -> bool {
    let obstacle = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(obstacle, Some(Obstacle::ReaderLeft))
}

impl<F, C> Drop for Outgoing<F, C> {
    fn drop(&mut self) {
        let bytes = self.staged();
        if bytes > 0 {
            tell_of_loss(bytes, self.path.as_deref());
        }
    }
}

/// The delivery report of [`finish`](crate::TypedSender::finish), where there is an example.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Delivery, Pipe, TypedSender};
///
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let receiver = pipe.into_reader().open()?.into_receiver::<u32>();
/// let receiving = thread::spawn(move || receiver.count());
/// let mut sender = TypedSender::<u32>::connect(path)?;
/// sender.send(&7)?;
/// match sender.finish()? {
///     Delivery::Drained => println!("it is in the hands of the reader"),
///     Delivery::Sent => println!("it is in those of the system, and may be in the pipe still"),
///     _ => {}
/// }
/// assert_eq!(receiving.join().unwrap(), 1);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("ack", "acknowledgement"))]
pub enum Delivery {
    /// The reader has taken all messages out of the pipe.
    Drained,
    /// The kernel holds all messages. This system reports no more.
    Sent,
}

#[cfg(feature = "tracing")]
fn tell_of_loss(bytes: usize, path: Option<&Path>) {
    let path = path.map(Path::display).map(tracing::field::display);
    tracing::warn!(bytes, path, "a sender was dropped with bytes that it had not sent");
}

#[cfg(not(feature = "tracing"))]
fn tell_of_loss(_: usize, _: Option<&Path>) {}
