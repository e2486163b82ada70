//! Many writers on one pipe.

mod assembly;
mod fragment;
mod introduction;
mod stream;

use std::fmt;

use serde::de::DeserializeOwned;

use assembly::{Assembly, Rules};
use fragment::{Fragment, HEADER};
use introduction::Introduction;
use stream::Stream;

use super::framing::BuiltIn;
use super::shape::{Shape, Style};
use super::{Scan, Step};
use crate::error::FrameError;

/// A framing for any number of writers on one FIFO, with messages of any size.
///
/// The system keeps a small write whole (`PIPE_BUF`: 4096 bytes on Linux, 512 or more elsewhere), and
/// mixes larger ones with those of other writers. So the sender cuts each message into fragments that the system keeps
/// whole, and the receiver assembles the messages of each writer. The messages of one writer arrive in the order in
/// which it sent them, between those of others.
///
/// ```no_run
/// use typed_pipe::wire::{MultiWriter, Wire};
/// use typed_pipe::{OnHangup, Pipe, WireOf, WriteEnd};
///
/// /// The wire of all of them, defined once. `typed`: each writer says what its messages look like.
/// fn jobs() -> WireOf<String, MultiWriter> {
///     Wire::default().with_framing(MultiWriter::default().protocol("jobs 1").typed::<String>()).of()
/// }
///
/// // One process, which goes on when no writer is left for a while:
/// let end = Pipe::create("/run/app/jobs")?.into_reader().on_hangup(OnHangup::NextWriter).open()?;
/// let mut receiver = jobs().receiver(end);
/// let (writer, job) = receiver.recv_from()?;
///
/// // Each of many others:
/// jobs().sender(WriteEnd::at("/run/app/jobs")?.open()?).send(&"build".into())?;
/// # let _ = (writer, job);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # A reader that restarts
///
/// An `Ok` of `send` says that the system has the message, not that the reader has it. If the reader is killed or closes its
/// end, what it had not read is lost: the next `send` is [`Disconnected`](crate::ErrorKind::Disconnected), the writer opens a
/// new end and sends that message again. A new reader that finds bytes of before is [`Corrupt`](crate::ErrorKind::Corrupt)
/// until the writers have closed their ends, and it opens the pipe again: it begins in the middle of a fragment, and cannot
/// tell where the next one begins. A message may hold bytes that look like a fragment, with its checksum, as a recording of
/// such a pipe does. Nor could it tell how much is lost: only the reader before knew the numbers.
///
/// Where every message counts, as in a log or a queue of jobs, use a connection: `ReconnectingSender` counts what was
/// confirmed, and a call may be made again (`Client::call_idempotent`).
///
/// # What one writer can do to the others
///
/// Nothing, as long as all writers use this crate. A writer that is killed in the middle of a message
/// loses that message. The receiver returns an error of the kind [`MessageLost`](crate::ErrorKind::MessageLost) once for
/// each lost message, and goes on. A message is lost when
///
/// - its writer begins another one, introduces itself again, or finishes;
/// - a part of it does not arrive, for example if another process reads from the pipe too;
/// - all writers have left: the receiver reports the loss before the end;
/// - it stalls while other writers send [much](Self::stall_limit);
/// - the unfinished messages together need [more room](Self::total_limit) than they may take: the one that has
///   stalled longest goes first;
/// - its beginning or the introduction of its writer did not arrive, for example if the receiver came late. Writers
///   introduce themselves with every 64th message.
///
/// A message over the [limit](Self::limit) is lost alone, with
/// [`TooLarge`](crate::ErrorKind::TooLarge). A writer that introduces itself with another codec, or with another
/// [name of its messages](Self::protocol), is reported once, with [`Mismatch`](crate::ErrorKind::Mismatch), and its
/// messages are skipped until it introduces itself otherwise. None of these errors is [fatal](crate::Error::is_fatal).
///
/// A wrong checksum is [`Corrupt`](crate::ErrorKind::Corrupt), which is fatal: another program has written to
/// the pipe.
///
/// A receiver remembers the last 4096 writers. Their numbers are random and prove nothing: a process that may
/// write to the pipe can use any number.
///
/// A clone has the same settings, and is another writer. A forked process is not another writer: it must not go on
/// with a sender of its parent.
#[doc(alias("mpsc", "many writers", "multiple writers", "interleaved", "atomic write"))]
pub struct MultiWriter {
    rules: Rules,
    atomic_write: usize,
    /// What the messages look like, if the writers are to say that.
    shape: Option<fn(Style) -> Shape>,
    stream: Stream,
    assembly: Assembly,
}

/// The identity of a writer on a [`MultiWriter`] wire: a random number, another one for each sender.
///
/// ```
/// use std::collections::HashMap;
/// use typed_pipe::wire::{MultiWriter, Wire, WriterId};
/// use typed_pipe::{TypedReceiver, TypedSender};
///
/// let wire = Wire::default().with_framing(MultiWriter::default());
/// let mut bytes = Vec::new(); // in the place of a pipe
/// for numbers in [[1, 2], [10, 20]] {
///     TypedSender::<u32, _, _, _>::with_wire(&mut bytes, wire.clone()).send_all(numbers)?;
/// }
///
/// let mut receiver = TypedReceiver::<u32, _, _, _>::with_wire(bytes.as_slice(), wire);
/// let mut sums = HashMap::<WriterId, u32>::new();
/// while let Ok((writer, number)) = receiver.recv_from() {
///     *sums.entry(writer).or_default() += number;
/// }
/// let mut sums: Vec<u32> = sums.into_values().collect();
/// sums.sort();
/// assert_eq!(sums, [3, 30]); // of two writers
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriterId(u64);

impl MultiWriter {
    /// Sets the largest message, in bytes, that is sent or received. It is 8 MiB unless set.
    ///
    /// ```
    /// use typed_pipe::wire::{MultiWriter, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver, TypedSender};
    ///
    /// let wire = Wire::default().with_framing(MultiWriter::default());
    /// let mut bytes = Vec::new();
    /// TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire).send_all(["a text", "a"])?;
    ///
    /// let wire = Wire::default().with_framing(MultiWriter::default().limit(4));
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), wire);
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::TooLarge);
    /// assert_eq!(receiver.recv()?, "a"); // that one alone is lost
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn limit(mut self, bytes: u32) -> Self {
        self.rules.limit = bytes;
        self
    }

    /// Sets how many bytes the unfinished messages of a receiver may take. It is 64 MiB unless set.
    ///
    /// ```
    /// use typed_pipe::wire::{MultiWriter, Wire};
    /// use typed_pipe::{FrameError, LossReason, TypedReceiver, TypedSender};
    ///
    /// let wire = Wire::default().with_framing(MultiWriter::default().total_limit(1000));
    /// let mut bytes = Vec::new();
    /// TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire.clone()).send(&"long".repeat(1000))?;
    ///
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), wire);
    /// let error = receiver.recv().unwrap_err(); // in parts, it needs four times as much
    /// assert!(matches!(error.frame_error(), Some(FrameError::Lost { reason: LossReason::NoRoom, .. })));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn total_limit(mut self, bytes: usize) -> Self {
        self.rules.total_limit = bytes;
        self
    }

    /// Sets after how many bytes of other writers a stalled message is lost. It is 64 MiB unless set.
    ///
    /// The limit is one of bytes, not of time: as long as no process writes, nothing needs the room.
    ///
    /// ```
    /// use typed_pipe::wire::{Encoder, MultiWriter, Wire};
    /// use typed_pipe::{FrameError, LossReason, TypedReceiver, TypedSender};
    ///
    /// let wire = Wire::default().with_framing(MultiWriter::default().stall_limit(100));
    /// let mut killed = Encoder::new(wire.clone());
    /// killed.stage("a text".repeat(1000).as_str())?;
    /// let mut bytes = Vec::new();
    /// for _ in 0..2 {
    ///     bytes.extend_from_slice(killed.pending()); // two writes, and never the rest
    ///     killed.advance(killed.pending().len());
    /// }
    /// TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire.clone()).send_all(["others"; 10])?;
    ///
    /// let mut errors = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), wire)
    ///     .filter_map(|message| message.err());
    /// let error = errors.next().ok_or("the message is lost")?; // a hundred bytes later
    /// assert!(matches!(error.frame_error(), Some(FrameError::Lost { reason: LossReason::Idle, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn stall_limit(mut self, bytes: u64) -> Self {
        self.rules.stall_limit = bytes;
        self
    }

    /// Sets the name and version of the messages, such as `"jobs 1"`.
    ///
    /// A receiver refuses writers with another name. If one side sets none, any name is accepted. A name is cut
    /// to 120 bytes.
    ///
    /// ```
    /// use typed_pipe::wire::{MultiWriter, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver, TypedSender};
    ///
    /// let wire = |name| Wire::default().with_framing(MultiWriter::default().protocol(name));
    /// let mut bytes = Vec::new();
    /// TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire("jobs 1")).send("build")?;
    /// TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire("jobs 2")).send("test")?;
    ///
    /// let (bytes, wire) = (bytes.as_slice(), wire("jobs 2"));
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes, wire);
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Mismatch); // of the first writer
    /// assert_eq!(receiver.recv()?, "test");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.rules.introduction.message = Introduction::name(&name.into());
        self
    }

    /// Fixes the type of the messages: each writer says what they look like, and a receiver skips those of a writer whose
    /// type does not [fit](super::shape). Writers that do not say it are taken at their word, unless the receiver
    /// [requires it](crate::TypedReceiver::require_shape).
    ///
    /// ```
    /// use typed_pipe::wire::{MultiWriter, Wire};
    /// use typed_pipe::{ErrorKind, Pipe, WireOf, WriteEnd};
    ///
    /// /// The wire of a program whose messages are `u32`, and that of one with another idea of them.
    /// fn reports() -> WireOf<u32, MultiWriter> {
    ///     Wire::default().with_framing(MultiWriter::default().typed::<u32>()).of()
    /// }
    /// fn other_reports() -> WireOf<i32, MultiWriter> {
    ///     Wire::default().with_framing(MultiWriter::default().typed::<i32>()).of()
    /// }
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = reports().receiver(pipe.into_reader().open()?);
    /// other_reports().sender(WriteEnd::at(&path)?.open()?).send(&-7)?;
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Mismatch);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn typed<T: DeserializeOwned>(mut self) -> Self {
        self.shape = Some(Shape::of::<T>);
        self
    }

    /// The writer of the last message; `None` before the first.
    ///
    /// ```
    /// use typed_pipe::wire::{Decoder, Encoder, MultiWriter, Wire};
    ///
    /// let wire = Wire::default().with_framing(MultiWriter::default());
    /// let mut encoder = Encoder::new(wire.clone());
    /// encoder.stage("build")?;
    ///
    /// let mut decoder = Decoder::new(wire);
    /// assert_eq!(decoder.wire().framing().writer(), None);
    /// let arrived = encoder.pending();
    /// decoder.spare()[..arrived.len()].copy_from_slice(arrived);
    /// decoder.filled(arrived.len());
    /// assert!(decoder.step()?);
    /// assert!(decoder.wire().framing().writer().is_some()); // a receiver has `recv_from` for this
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn writer(&self) -> Option<WriterId> {
        self.assembly.current()
    }
}

impl Default for MultiWriter {
    fn default() -> Self {
        Self {
            rules: Rules {
                limit: 8 << 20,
                total_limit: 64 << 20,
                stall_limit: 64 << 20,
                introduction: Introduction {
                    room: LEAST_ATOMIC_WRITE - HEADER,
                    ..Introduction::default()
                },
            },
            atomic_write: LEAST_ATOMIC_WRITE,
            shape: None,
            stream: Stream::default(),
            assembly: Assembly::default(),
        }
    }
}

impl Clone for MultiWriter {
    fn clone(&self) -> Self {
        let Self { atomic_write, shape, .. } = *self;
        Self { rules: self.rules.clone(), atomic_write, shape, ..Self::default() }
    }
}

impl fmt::Debug for MultiWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiWriter").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl BuiltIn for MultiWriter {
    fn keeps_parts(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        "shared"
    }

    fn max_payload(&self) -> u64 {
        self.rules.limit.into()
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        self.stream.begin(&self.rules.introduction, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        let Rules { introduction, limit, .. } = &self.rules;
        self.stream.finish(introduction, *limit, self.atomic_write, out, start)
    }

    fn scan(&mut self, bytes: &mut [u8], _: Scan) -> Result<Step, FrameError> {
        let Some(len) = Fragment::announced(bytes)? else {
            return Ok(Step::More { total: HEADER });
        };
        let Some(bytes) = bytes.get_mut(..len) else {
            return Ok(Step::More { total: len });
        };
        let fragment = Fragment::parse(bytes)?;
        let payload = bytes.get(fragment.payload.clone()).unwrap_or_default();
        Ok(self.assembly.take(&self.rules, fragment, payload))
    }

    fn introduce(&mut self, codec: &str, style: Option<Style>) {
        self.rules.introduction.codec = Introduction::name(codec);
        if let (Some(shape), Some(style)) = (self.shape, style) {
            self.rules.introduction.shape = Some(shape(style));
        }
    }

    fn require_shape(&mut self, ours: &Shape) -> bool {
        let introduction = &mut self.rules.introduction;
        (introduction.shape, introduction.strict) = (Some(ours.clone()), true);
        true
    }

    fn atomic_write(&mut self, bytes: usize) {
        self.atomic_write = bytes.clamp(LEAST_ATOMIC_WRITE, usize::from(u16::MAX));
        self.rules.introduction.room = self.atomic_write - HEADER;
    }

    fn withdrawn(&mut self) {
        self.stream.take_back();
    }

    fn goodbye(&mut self, out: &mut Vec<u8>) -> bool {
        self.stream.goodbye(out).is_ok()
    }

    fn next_write(&self, pending: &[u8]) -> usize {
        let mut end = 0;
        while let Some(Ok(Some(len))) = pending.get(end..).map(Fragment::announced) {
            if end > 0 && end + len > self.atomic_write {
                break;
            }
            end += len;
        }
        end
    }

    fn assembled(&self) -> &[u8] {
        self.assembly.whole()
    }

    fn abandon(&mut self) -> Option<FrameError> {
        self.assembly.abandon()
    }

    fn reset(&mut self) {
        self.assembly = Assembly::default();
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriterId({self})")
    }
}

/// The size of a write that every POSIX system keeps whole.
const LEAST_ATOMIC_WRITE: usize = 512;

#[cfg(test)]
mod tests;
