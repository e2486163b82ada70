use std::fmt;

use serde::Serialize;

use super::length_prefixed::{HELLO, hello};
use super::shape::{Shape, Style};
use super::slack::{ROOM, Slack, give_back};
use super::{Codec, Framing, LengthPrefixed, Postcard, Wire};
use crate::error::{Cause, CodecError, Error, FrameError, Operation};

/// Encodes values as frames, and keeps the bytes that are not written yet.
///
/// It does no I/O: stage a value, write [`pending`](Self::pending), and [`advance`](Self::advance) by what was
/// written, until nothing is [`staged`](Self::staged).
///
/// ```
/// use std::io::Write;
/// use typed_pipe::wire::{Encoder, Wire};
///
/// let mut out = Vec::new();
/// let mut encoder = Encoder::new(Wire::default());
/// encoder.stage("hi")?;
/// while encoder.staged() > 0 {
///     let written = out.write(encoder.pending())?;
///     encoder.advance(written);
/// }
/// assert_eq!(out, b"\0\0\0\x03\x02hi");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("mock", "sans-io"))]
pub struct Encoder<F = LengthPrefixed, C = Postcard> {
    wire: Wire<F, C>,
    /// The largest payload that the other side accepts.
    limit: u64,
    /// Whole frames; behind `committed`, what a `Serialize` left that panicked.
    buffer: Vec<u8>,
    /// How many bytes were advanced over. `sent <= committed`, and both are 0 when they are equal.
    sent: usize,
    last: LastFrame,
    /// Where the whole frames end. `committed <= buffer.len()`.
    committed: usize,
    /// Where the frame begins that is in the making, behind its hello. `committed <= frame <= payload`.
    frame: usize,
    /// Where its payload begins.
    payload: usize,
    /// How much is left of a write that was taken in part. `sent + rest <= committed`.
    rest: usize,
    /// Whether what is left may begin in the middle of a frame.
    begun: bool,
    greeting: Greeting,
    /// What the messages look like, if that is said before the first of them.
    hello: Option<(fn(Style) -> Shape, Style)>,
    slack: Slack,
}

/// Where the hello is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeting {
    /// None is due.
    Done,
    /// It is due before the next frame.
    Due,
    /// It is before the frame that was begun.
    Begun,
    /// It is in the frame that was staged last.
    Staged,
}

/// The frame that was staged last.
#[derive(Clone, Copy, Debug)]
enum LastFrame {
    /// Nothing of it was advanced over; it begins here. `sent <= at < committed`.
    Whole { at: usize },
    /// A part of it was, or there is none, or it is a goodbye: nothing can be taken back.
    Begun,
}

impl<F, C> Encoder<F, C> {
    /// The wire of this encoder.
    pub(crate) fn wire(&self) -> &Wire<F, C> {
        &self.wire
    }

    /// The number of bytes that are staged and not written.
    ///
    /// ```
    /// use typed_pipe::wire::{Encoder, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::default());
    /// encoder.stage("hi")?;
    /// encoder.stage("ho")?;
    /// assert_eq!(encoder.staged(), 14);
    /// encoder.advance(10); // of the second message, four bytes are left
    /// assert_eq!(encoder.staged(), 4);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn staged(&self) -> usize {
        self.committed - self.sent
    }

    /// Drops the rest of a partial write, which means nothing to a new reader.
    ///
    /// The last message stays, if nothing of it is written.
    pub(crate) fn cut(&mut self) {
        if self.begun {
            self.sent = match self.last {
                LastFrame::Whole { at } => at,
                LastFrame::Begun => self.committed,
            };
            (self.rest, self.begun) = (0, false);
            self.clear_uncommitted();
        }
    }

    /// Says to a new reader what the messages look like, between two frames: before what is left, or before the last
    /// message where that may begin in the middle of one.
    pub(crate) fn greet_again(&mut self) {
        let Some((shape, style)) = self.hello else { return };
        self.clear_uncommitted();
        let at = match self.last {
            _ if !self.begun => self.sent,
            LastFrame::Whole { at } => at,
            LastFrame::Begun => self.committed,
        };
        let staged = self.buffer.get(at..).unwrap_or_default();
        if staged.is_empty() {
            self.greeting = Greeting::Due;
        } else if !staged.starts_with(&HELLO.to_be_bytes()) {
            let mut bytes = Vec::new();
            hello(&shape(style), &mut bytes);
            let len = bytes.len();
            self.buffer.splice(at..at, bytes);
            self.committed += len;
            self.greeting = Greeting::Done;
            match &mut self.last {
                LastFrame::Whole { at: last } if *last == at => self.greeting = Greeting::Staged,
                LastFrame::Whole { at: last } => *last += len,
                LastFrame::Begun => {}
            }
        }
    }

    /// Drops the bytes behind `committed`, and all bytes if everything staged was sent.
    fn clear_uncommitted(&mut self) {
        if self.sent == self.committed {
            (self.sent, self.last, self.committed) = (0, LastFrame::Begun, 0);
        }
        self.buffer.truncate(self.committed);
    }

    /// Makes the buffer end with what is staged.
    fn make_ready(&mut self) {
        self.buffer.truncate(self.committed);
        if self.sent >= ROOM {
            self.compact();
        }
    }

    /// Drops the sent bytes, once they are most of the buffer: each byte moves at most once.
    #[cold]
    fn compact(&mut self) {
        if self.sent >= self.committed - self.sent {
            self.buffer.drain(..self.sent.min(self.buffer.len()));
            self.committed -= self.sent;
            if let LastFrame::Whole { at } = &mut self.last {
                *at -= self.sent;
            }
            self.sent = 0;
        }
    }
}

impl<F: Framing, C: Codec> Encoder<F, C> {
    /// An encoder with nothing pending.
    ///
    /// ```
    /// use typed_pipe::wire::{Encoder, LengthPrefixed, Plain, Wire};
    ///
    /// let encoder: Encoder<LengthPrefixed, Plain> = Encoder::new(Wire::default().with_codec(Plain));
    /// assert!(encoder.pending().is_empty());
    /// ```
    #[must_use]
    pub fn new(mut wire: Wire<F, C>) -> Self {
        if let Some(framing) = wire.framing.built_in_mut() {
            framing.introduce(wire.codec.name(), wire.codec.style());
        }
        Self {
            wire,
            limit: u64::MAX,
            buffer: Vec::new(),
            sent: 0,
            last: LastFrame::Begun,
            committed: 0,
            frame: 0,
            payload: 0,
            rest: 0,
            begun: false,
            greeting: Greeting::Done,
            hello: None,
            slack: Slack::default(),
        }
    }

    /// Sets how many bytes of one write the system never mixes with those of other writers.
    ///
    /// For a FIFO that is the `PIPE_BUF` of the system. [`MultiWriter`](super::MultiWriter) uses it.
    ///
    /// ```
    /// use typed_pipe::wire::{Encoder, MultiWriter, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::default().with_framing(MultiWriter::default()));
    /// encoder.atomic_write(4096); // over a FIFO of Linux
    /// encoder.stage_bytes(&[7; 10_000])?;
    /// let mut longest = 0;
    /// while encoder.staged() > 0 {
    ///     let write = encoder.pending().len();
    ///     encoder.advance(write);
    ///     longest = longest.max(write);
    /// }
    /// assert_eq!(longest, 4096); // 512 if it is not told
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn atomic_write(&mut self, bytes: usize) {
        if let Some(framing) = self.wire.framing.built_in_mut() {
            framing.atomic_write(bytes);
        }
    }

    /// Lowers the limit of a payload to what the other side accepts.
    pub(crate) fn lower_limit(&mut self, bytes: u64) {
        self.limit = self.limit.min(bytes);
    }

    /// Says before the first frame what the messages look like.
    pub(crate) fn greet(&mut self, shape: fn(Style) -> Shape) {
        self.hello = self.wire.codec.style().map(|style| (shape, style));
        self.greeting = if self.hello.is_some() { Greeting::Due } else { Greeting::Done };
    }

    /// Stages the hello if it is due, for a frame that is written without being staged.
    pub(crate) fn stage_hello(&mut self) {
        if self.greeting != Greeting::Done {
            self.make_ready();
            self.append_hello();
            if self.greeting == Greeting::Begun {
                (self.committed, self.last) = (self.buffer.len(), LastFrame::Begun);
            }
            self.greeting = Greeting::Done;
        }
    }

    /// Puts the hello into the frame that begins, if it is due.
    #[cold]
    fn append_hello(&mut self) {
        if let (Greeting::Due | Greeting::Begun, Some((shape, style))) = (self.greeting, self.hello)
        {
            hello(&shape(style), &mut self.buffer);
            self.greeting = Greeting::Begun;
        }
    }

    /// The bytes for the next single write.
    ///
    /// They are all that is staged, unless the framing wants smaller writes, and never empty while
    /// something is staged.
    ///
    /// ```
    /// use typed_pipe::wire::{Encoder, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::default());
    /// encoder.stage(&7_u8)?;
    /// encoder.stage(&8_u8)?;
    /// assert_eq!(encoder.pending(), b"\0\0\0\x01\x07\0\0\0\x01\x08"); // both by one write
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn pending(&self) -> &[u8] {
        let staged = self.buffer.get(self.sent..self.committed).unwrap_or_default();
        let next = match self.rest {
            0 if staged.is_empty() => 0,
            0 => self.next_write(staged),
            rest => rest,
        };
        staged.get(..next).unwrap_or(staged)
    }

    #[inline]
    fn next_write(&self, staged: &[u8]) -> usize {
        self.wire
            .framing
            .built_in()
            .map_or(staged.len(), |framing| framing.next_write(staged).max(1))
    }

    /// Tells the framing that its last frame is withdrawn.
    fn frame_withdrawn(&mut self) {
        if let Some(framing) = self.wire.framing.built_in_mut() {
            framing.withdrawn();
        }
    }

    /// The bytes for the next single write, without the message staged last if it can wait.
    pub(crate) fn pending_but_last(&self) -> &[u8] {
        let pending = self.pending();
        match self.last {
            LastFrame::Whole { at } if at > self.sent => {
                pending.get(..at - self.sent).unwrap_or(pending)
            }
            LastFrame::Whole { .. } | LastFrame::Begun => pending,
        }
    }

    /// Notes that the first `n` bytes of [`pending`](Self::pending) were written.
    ///
    /// ```
    /// use typed_pipe::wire::{Encoder, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::default());
    /// encoder.stage("hi")?;
    /// encoder.advance(6); // the pipe took no more
    /// assert_eq!(encoder.pending(), b"i");
    /// encoder.advance(1);
    /// assert_eq!(encoder.pending(), b"");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[inline]
    pub fn advance(&mut self, n: usize) {
        let pending = self.pending().len();
        if (1..=n).contains(&pending) && pending == self.staged() {
            self.all_sent();
        } else {
            self.advance_in_part(n.min(pending), pending);
        }
    }

    /// Notes that everything staged was written.
    fn all_sent(&mut self) {
        let needed = self.committed;
        (self.rest, self.begun) = (0, false);
        (self.sent, self.last, self.committed) = (0, LastFrame::Begun, 0);
        self.buffer.clear();
        if self.slack.note(needed, self.buffer.capacity()) {
            give_back(&mut self.buffer, ROOM);
        }
    }

    /// Notes that `n` of the `pending` bytes were written, and that others are left.
    fn advance_in_part(&mut self, n: usize, pending: usize) {
        self.sent += n;
        if n > 0 {
            (self.rest, self.begun) = (pending - n, true);
        }
        match self.last {
            LastFrame::Whole { at } if self.sent > at => self.last = LastFrame::Begun,
            LastFrame::Whole { at } if self.sent == at => {
                // The rest begins with a frame, and can go with others.
                (self.rest, self.begun) = (0, false);
            }
            LastFrame::Whole { .. } | LastFrame::Begun => {}
        }
    }

    /// Withdraws the message staged last, and returns whether it could.
    ///
    /// It can until [`advance`](Self::advance) has passed the first byte of that message. Only the last message can be
    /// withdrawn: a second call does nothing.
    ///
    /// ```
    /// use typed_pipe::wire::{Encoder, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::default());
    /// encoder.stage("first")?;
    /// encoder.stage("last")?;
    /// assert!(encoder.withdraw());
    /// encoder.advance(1); // of the first
    /// assert!(!encoder.withdraw());
    /// assert_eq!(encoder.pending(), b"\0\0\x06\x05first");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn withdraw(&mut self) -> bool {
        let LastFrame::Whole { at } = self.last else { return false };
        self.frame_withdrawn();
        if self.greeting == Greeting::Staged {
            self.greeting = Greeting::Due;
        }
        (self.committed, self.last) = (at, LastFrame::Begun);
        self.rest = self.rest.min(self.staged());
        self.clear_uncommitted();
        true
    }

    /// Encodes `value`, and appends its frame to the pending bytes.
    ///
    /// ```
    /// use typed_pipe::ErrorKind;
    /// use typed_pipe::wire::{Encoder, Plain, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::default().with_codec(Plain));
    /// encoder.stage("text")?;
    /// let error = encoder.stage(&7_u32).unwrap_err(); // numbers are not plain
    /// assert_eq!(error.kind(), ErrorKind::Encode);
    /// assert_eq!(encoder.pending(), b"\0\0\0\x04text"); // as before
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Encode`](crate::ErrorKind::Encode) if the codec cannot write the value, and
    /// [`TooLarge`](crate::ErrorKind::TooLarge) if its message is larger than the limit. Nothing
    /// was staged then, the pending bytes are as before, and the next value can be staged. The same holds
    /// after a panic in the value's `Serialize`.
    pub fn stage<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.stage_with(|codec, out| codec.encode(value, out))
    }

    /// Appends a frame with these bytes as its payload, without the codec.
    ///
    /// The other side reads them with [`Decoder::bytes`](super::Decoder::bytes).
    ///
    /// ```
    /// use typed_pipe::wire::{Encoder, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::default());
    /// encoder.stage_bytes(b"hi")?;
    /// assert_eq!(encoder.pending(), b"\0\0\0\x02hi"); // `stage("hi")` has `Postcard`'s length before the text
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TooLarge`](crate::ErrorKind::TooLarge). Nothing was staged then.
    pub fn stage_bytes(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.stage_with(|_, out| {
            out.extend_from_slice(payload);
            Ok(())
        })
    }

    pub(crate) fn stage_with(
        &mut self,
        encode: impl FnOnce(&C, &mut Vec<u8>) -> Result<(), CodecError>,
    ) -> Result<(), Error> {
        self.begin();
        let encoded = encode(&self.wire.codec, &mut self.buffer).map_err(Cause::Encode);
        self.finish(encoded)
    }

    /// Begins a frame behind the staged bytes. Without a `finish`, it is dropped.
    fn begin(&mut self) {
        self.make_ready();
        if self.greeting != Greeting::Done {
            self.append_hello();
        }
        self.frame = self.buffer.len();
        self.wire.framing.begin(&mut self.buffer);
        self.payload = self.buffer.len();
    }

    /// Completes the frame, and stages it.
    fn finish(&mut self, encoded: Result<(), Cause>) -> Result<(), Error> {
        match encoded.and_then(|()| self.complete()) {
            Ok(()) => {
                self.commit(self.committed);
                Ok(())
            }
            Err(cause) => Err(self.dropped(cause)),
        }
    }

    /// Drops the frame in the making, and returns the error.
    #[cold]
    fn dropped(&mut self, cause: Cause) -> Error {
        self.clear_uncommitted();
        give_back(&mut self.buffer, ROOM);
        Error::new(Operation::Encode, cause)
    }

    /// Stages all bytes in the buffer, whose last frame begins at `at`.
    fn commit(&mut self, at: usize) {
        self.committed = self.buffer.len();
        if self.greeting != Greeting::Done {
            self.commit_greeting();
        }
        // A frame without bytes cannot be withdrawn.
        self.last = if at < self.committed { LastFrame::Whole { at } } else { LastFrame::Begun };
    }

    #[cold]
    fn commit_greeting(&mut self) {
        self.greeting = match self.greeting {
            Greeting::Begun => Greeting::Staged,
            _ => Greeting::Done,
        };
    }

    fn complete(&mut self) -> Result<(), Cause> {
        if self.limit < u64::MAX {
            ensure_within(self.buffer.len().saturating_sub(self.payload), self.limit)?;
        }
        let start = self.frame;
        self.wire.framing.finish(&mut self.buffer, start)?;
        if self.buffer.len() < start {
            // A codec or framing outside of this crate has removed bytes of other frames.
            self.frame_withdrawn();
            return Err(FrameError::OutOfBounds.into());
        }
        Ok(())
    }

    /// Makes room behind the staged bytes for a message of `len` bytes. No other message may be staged before it.
    pub(crate) fn lend(&mut self, len: usize) -> Result<(), Error> {
        ensure_within(len, self.limit.min(self.wire.framing.max_payload()))
            .map_err(|error| Error::new(Operation::Encode, error))?;
        self.begin();
        if let Err(error) = self.buffer.try_reserve(len) {
            return self.finish(Err(Cause::Encode(CodecError::format(error))));
        }
        self.buffer.resize(self.buffer.len() + len, 0);
        Ok(())
    }

    /// The reserved room: `len` bytes at the end.
    pub(crate) fn lent(&self, len: usize) -> &[u8] {
        let start = self.buffer.len().saturating_sub(len).max(self.committed);
        self.buffer.get(start..).unwrap_or_default()
    }

    /// The reserved room, mutable.
    pub(crate) fn lent_mut(&mut self, len: usize) -> &mut [u8] {
        let start = self.buffer.len().saturating_sub(len).max(self.committed);
        self.buffer.get_mut(start..).unwrap_or_default()
    }

    /// Stages the message in the reserved room.
    pub(crate) fn stage_lent(&mut self) -> Result<(), Error> {
        self.finish(Ok(()))
    }

    /// The header of a payload of `len` bytes, if header and payload are the whole frame. It is not staged.
    pub(crate) fn header(&mut self, len: usize) -> Result<Option<Header>, Error> {
        self.clear_uncommitted();
        let whole =
            ensure_within(len, self.limit).and_then(|()| match self.wire.framing.built_in_mut() {
                Some(framing) => framing.header(len, &mut self.buffer),
                None => Ok(false),
            });
        let header = self.buffer.get(self.committed..).and_then(Header::of);
        self.clear_uncommitted();
        match whole {
            Ok(whole) => Ok(header.filter(|_| whole)),
            Err(error) => Err(Error::new(Operation::Encode, error)),
        }
    }

    /// Appends the first part of a frame as it is.
    ///
    /// All parts of a frame can be withdrawn together until a byte of it is written.
    pub(crate) fn stage_first_part(&mut self, part: &[u8]) {
        self.make_ready();
        self.buffer.extend_from_slice(part);
        self.commit(self.committed);
    }

    /// Appends a further part of the frame whose first part was staged or written before.
    pub(crate) fn stage_next_part(&mut self, part: &[u8]) {
        self.make_ready();
        self.buffer.extend_from_slice(part);
        self.committed = self.buffer.len();
        self.begun |= matches!(self.last, LastFrame::Begun);
    }

    /// Appends the goodbye, and returns whether the wire has one.
    ///
    /// A goodbye cannot be withdrawn. Messages may still be staged after it.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Encoder, Plain, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::default());
    /// assert!(encoder.stage_goodbye());
    /// assert_eq!(encoder.pending(), [0xFF, 0xFF, 0xFF, 0x01]);
    ///
    /// let mut encoder = Encoder::new(Wire::new(Lines::default(), Plain));
    /// assert!(!encoder.stage_goodbye()); // no line says it
    /// assert_eq!(encoder.staged(), 0);
    /// ```
    pub fn stage_goodbye(&mut self) -> bool {
        self.make_ready();
        let framing = self.wire.framing.built_in_mut();
        let has_one = framing.is_some_and(|framing| framing.goodbye(&mut self.buffer));
        if has_one && self.buffer.len() > self.committed {
            self.committed = self.buffer.len();
            self.last = LastFrame::Begun;
        }
        self.clear_uncommitted();
        has_one
    }
}

#[inline]
fn ensure_within(len: usize, limit: u64) -> Result<(), FrameError> {
    match u64::try_from(len).unwrap_or(u64::MAX) {
        len if len > limit => Err(FrameError::TooLarge { len, limit }),
        _ => Ok(()),
    }
}

impl<F, C> fmt::Debug for Encoder<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("staged", &self.staged()).finish_non_exhaustive()
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    bytes: [u8; Self::MAX_PREFIX],
    len: usize,
}

impl Header {
    /// The headers of this crate are shorter. With a longer one, the payload is copied into the frame.
    const MAX_PREFIX: usize = 16;

    fn of(header: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_PREFIX];
        bytes.get_mut(..header.len())?.copy_from_slice(header);
        Some(Self { bytes, len: header.len() })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};
    use serde::ser::{Error as _, SerializeTuple};
    use serde::{Serialize, Serializer};

    use super::*;
    use crate::error::ErrorKind;
    use crate::wire::framing::BuiltIn;
    use crate::wire::{Checked, Scan, Step};

    /// Writes a little, and then fails.
    struct Failing;

    impl Serialize for Failing {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_tuple(2)?.serialize_element("left behind")?;
            Err(S::Error::custom("it fails"))
        }
    }

    /// Writes a little, and then panics.
    struct Panicking;

    impl Serialize for Panicking {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_tuple(2)?.serialize_element("left behind")?;
            resume_unwind(Box::new("it panics"))
        }
    }

    fn encoder() -> Encoder {
        Encoder::new(Wire::default())
    }

    #[test]
    fn stages_frame_behind_frame() {
        let mut encoder = encoder();
        assert_eq!(encoder.pending(), b"");
        encoder.stage(&()).unwrap();
        encoder.stage("hi").unwrap();
        assert_eq!(encoder.pending(), b"\0\0\0\0\0\0\0\x03\x02hi");
        encoder.advance(5);
        assert_eq!(encoder.pending(), b"\0\0\x03\x02hi");
        encoder.advance(usize::MAX);
        assert_eq!(encoder.pending(), b"");
    }

    #[test]
    fn d9_d24_a_serialize_that_fails_or_panics_leaves_nothing_behind() {
        let mut encoder = Encoder::new(Wire::default().with_framing(Checked::default()));
        encoder.stage("one").unwrap();
        let one = encoder.pending().to_vec();

        let error = encoder.stage(&Failing).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Encode, Operation::Encode));
        assert_eq!(encoder.pending(), one);

        let panicked = catch_unwind(AssertUnwindSafe(|| encoder.stage(&Panicking)));
        assert!(panicked.is_err());
        assert_eq!(encoder.pending(), one);

        encoder.stage("one").unwrap();
        assert_eq!(encoder.pending(), [one.clone(), one.clone()].concat());

        assert!(catch_unwind(AssertUnwindSafe(|| encoder.stage(&Panicking))).is_err());
        encoder.advance(2 * one.len());
        encoder.stage("one").unwrap();
        assert_eq!(encoder.pending(), one);
    }

    #[test]
    fn a_message_that_is_too_large_is_not_staged() {
        let mut encoder =
            Encoder::new(Wire::default().with_framing(LengthPrefixed::default().limit(4)));
        encoder.stage("abc").unwrap();
        let error = encoder.stage("abcd").unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::TooLarge, Operation::Encode));
        assert!(!error.is_fatal());
        encoder.stage("ABC").unwrap();
        assert_eq!(encoder.pending(), b"\0\0\0\x04\x03abc\0\0\0\x04\x03ABC");
    }

    #[test]
    fn withdraws_the_last_message_until_it_is_begun() {
        let mut encoder = encoder();
        assert!(!encoder.withdraw(), "nothing was staged");

        encoder.stage("a").unwrap();
        assert!(encoder.withdraw());
        assert_eq!(encoder.pending(), b"");
        assert!(!encoder.withdraw());

        encoder.stage("a").unwrap();
        encoder.stage("b").unwrap();
        encoder.advance(3);
        assert!(encoder.withdraw(), "the first one is begun, the second is not");
        assert_eq!(encoder.pending(), b"\x02\x01a");
        assert!(!encoder.withdraw(), "only the last one");

        encoder.stage("b").unwrap();
        encoder.advance(3);
        assert!(encoder.withdraw(), "the first one is written to its end");
        assert_eq!(encoder.pending(), b"");

        encoder.stage("c").unwrap();
        encoder.advance(1);
        assert!(!encoder.withdraw(), "it is begun");
        encoder.advance(5);
        assert!(!encoder.withdraw(), "it is written");

        encoder.stage("d").unwrap();
        encoder.stage(&Failing).unwrap_err();
        assert!(encoder.withdraw(), "a value that failed is no message");
        assert_eq!(encoder.pending(), b"");
    }

    #[test]
    fn the_last_message_may_wait_for_others() {
        let mut encoder = encoder();
        assert_eq!(encoder.pending_but_last(), b"");
        encoder.stage("a").unwrap();
        assert_eq!(encoder.pending_but_last(), b"\0\0\0\x02\x01a", "there is no other");
        encoder.stage("b").unwrap();
        assert_eq!(encoder.pending_but_last(), b"\0\0\0\x02\x01a");
        encoder.advance(6);
        encoder.stage("c").unwrap();
        assert_eq!(encoder.pending(), b"\0\0\0\x02\x01b\0\0\0\x02\x01c", "in one write");
        assert!(encoder.withdraw());
        encoder.advance(1);
        assert_eq!(encoder.pending_but_last(), b"\0\0\x02\x01b", "it is begun");
        encoder.advance(5);
        assert_eq!(encoder.staged(), 0);
    }

    #[test]
    fn parts_of_a_frame_are_withdrawn_together_until_they_are_begun() {
        let mut encoder = encoder();
        encoder.stage("a").unwrap();
        encoder.stage_first_part(b"head");
        encoder.stage_next_part(b"piece");
        assert!(encoder.withdraw());
        assert_eq!(encoder.pending(), b"\0\0\0\x02\x01a");
        encoder.stage_first_part(b"head");
        encoder.stage_next_part(b"piece");
        encoder.advance(7);
        encoder.stage_next_part(b"more");
        assert!(!encoder.withdraw());
        while encoder.staged() > 0 {
            encoder.advance(usize::MAX);
        }
        encoder.stage_next_part(b"rest");
        assert!(!encoder.withdraw(), "its frame is begun");
        assert_eq!(encoder.pending(), b"rest");
    }

    /// The hello of an encoder that says it.
    fn greeting() -> (Encoder, Vec<u8>) {
        let mut encoder = encoder();
        encoder.greet(Shape::of::<String>);
        let mut bytes = Vec::new();
        hello(&Shape::of::<String>(Style::Positional), &mut bytes);
        (encoder, bytes)
    }

    #[test]
    fn a_hello_is_said_again_between_two_frames() {
        let (mut encoder, hello) = greeting();
        encoder.stage("a").unwrap();
        let a = b"\0\0\0\x02\x01a";
        assert_eq!(encoder.pending(), [&hello[..], a].concat());
        encoder.greet_again();
        assert_eq!(encoder.pending(), [&hello[..], a].concat(), "it is there already");
        encoder.advance(usize::MAX);

        // Before a message that has not begun; and it goes with that message.
        encoder.stage("a").unwrap();
        encoder.greet_again();
        assert_eq!(encoder.pending(), [&hello[..], a].concat());
        assert!(encoder.withdraw());
        assert_eq!(encoder.pending(), b"");
        encoder.stage("a").unwrap();
        assert_eq!(encoder.pending(), [&hello[..], a].concat());
        encoder.advance(usize::MAX);

        // Before all that has not begun.
        encoder.stage("a").unwrap();
        encoder.stage("a").unwrap();
        encoder.greet_again();
        assert_eq!(encoder.pending(), [&hello[..], a, a].concat());
        assert!(encoder.withdraw());
        assert_eq!(encoder.pending(), [&hello[..], a].concat());
        encoder.advance(usize::MAX);

        // With the next message, where the only one has begun.
        encoder.stage("a").unwrap();
        encoder.advance(3);
        encoder.greet_again();
        assert_eq!(encoder.pending(), &a[3..], "nothing gets into a message");
        encoder.stage("a").unwrap();
        assert_eq!(encoder.pending(), [&a[3..]].concat());
        encoder.advance(usize::MAX);
        assert_eq!(encoder.pending(), [&hello[..], a].concat());
        encoder.advance(usize::MAX);

        // Before the last one, where one before it has begun.
        encoder.stage("a").unwrap();
        encoder.stage("a").unwrap();
        encoder.advance(3);
        encoder.greet_again();
        assert_eq!(encoder.staged(), 3 + hello.len() + 6);
        assert!(encoder.withdraw());
        assert_eq!(encoder.pending(), &a[3..]);
        encoder.stage("a").unwrap();
        let mut all = Vec::new();
        while encoder.staged() > 0 {
            all.extend_from_slice(encoder.pending());
            encoder.advance(usize::MAX);
        }
        assert_eq!(all, [&a[3..], &hello[..], a].concat());

        // What is cut off a frame leaves a place between two.
        encoder.stage("a").unwrap();
        encoder.advance(3);
        encoder.cut();
        encoder.greet_again();
        assert_eq!(encoder.staged(), 0);
        encoder.stage("a").unwrap();
        assert_eq!(encoder.pending(), [&hello[..], a].concat());
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes hours there")]
    fn one_big_message_does_not_hold_its_memory() {
        let mut encoder = encoder();
        encoder.stage(&vec![7_u8; 4 << 20]).unwrap();
        encoder.advance(usize::MAX);
        for _ in 0..20 {
            encoder.stage("small").unwrap();
            encoder.advance(usize::MAX);
        }
        assert!(encoder.buffer.capacity() <= ROOM);
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes hours there")]
    fn a_message_that_is_not_staged_holds_no_memory() {
        let mut encoder = encoder();
        encoder.stage(&vec![7_u8; 9 << 20]).unwrap_err();
        assert!(encoder.buffer.capacity() <= ROOM);
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes hours there")]
    fn a_steady_flow_of_big_messages_keeps_its_memory() {
        let mut encoder = encoder();
        let big = vec![7_u8; 1 << 20];
        encoder.stage(&big).unwrap();
        encoder.advance(usize::MAX);
        let (capacity, place) = (encoder.buffer.capacity(), encoder.buffer.as_ptr());
        for _ in 0..20 {
            for _ in 0..4 {
                encoder.stage("small").unwrap();
                encoder.advance(usize::MAX);
            }
            encoder.stage(&big).unwrap();
            encoder.advance(usize::MAX);
        }
        assert_eq!((encoder.buffer.capacity(), encoder.buffer.as_ptr()), (capacity, place));
    }

    #[test]
    fn what_was_sent_does_not_pile_up() {
        let mut encoder = encoder();
        encoder.stage([7_u8; 1000].as_slice()).unwrap();
        for _ in 0..10_000 {
            encoder.stage([7_u8; 1000].as_slice()).unwrap();
            encoder.advance(1006);
        }
        assert_eq!(encoder.staged(), 1006);
        assert!(encoder.buffer.capacity() <= 4 * ROOM);
    }

    #[test]
    fn a_goodbye_is_staged_like_a_message_and_not_withdrawn() {
        let mut encoder = encoder();
        encoder.stage("a").unwrap();
        assert!(encoder.stage_goodbye());
        assert!(!encoder.withdraw());
        encoder.stage("b").unwrap();
        assert!(encoder.withdraw());
        assert_eq!(encoder.pending(), b"\0\0\0\x02\x01a\xFF\xFF\xFF\x01");
        encoder.advance(usize::MAX);
        assert!(encoder.stage_goodbye());
        assert_eq!(encoder.pending(), [0xFF, 0xFF, 0xFF, 1]);

        let mut foreign = Encoder::new(Wire::default().with_framing(Twos));
        assert!(!foreign.stage_goodbye());
        assert_eq!(foreign.staged(), 0);
    }

    /// No frames, and writes of two bytes.
    struct Twos;

    impl BuiltIn for Twos {
        fn name(&self) -> &str {
            ""
        }

        fn max_payload(&self) -> u64 {
            u64::MAX
        }

        fn begin(&mut self, _: &mut Vec<u8>) {}

        fn finish(&mut self, _: &mut Vec<u8>, _: usize) -> Result<(), FrameError> {
            Ok(())
        }

        fn scan(&mut self, _: &mut [u8], _: Scan) -> Result<Step, FrameError> {
            Ok(Step::More { total: 1 })
        }

        fn next_write(&self, pending: &[u8]) -> usize {
            assert!(!pending.is_empty());
            2
        }
    }

    #[test]
    fn what_is_left_of_a_write_is_a_write() {
        let mut encoder = Encoder::new(Wire::default().with_framing(Twos));
        encoder.stage("abcd").unwrap();
        assert_eq!(encoder.pending(), b"\x04a");
        encoder.advance(0);
        assert_eq!(encoder.pending(), b"\x04a");
        encoder.advance(1);
        assert_eq!(encoder.pending(), b"a");
        encoder.advance(0);
        encoder.stage("").unwrap();
        assert_eq!((encoder.pending(), encoder.staged()), (&b"a"[..], 5));
        encoder.advance(usize::MAX);
        assert_eq!(encoder.pending(), b"bc");
        encoder.advance(2);
        assert_eq!(encoder.pending(), b"d\0");
        encoder.advance(1);
        assert!(encoder.withdraw(), "a rest is no more than there is");
        assert_eq!((encoder.pending(), encoder.staged()), (&b""[..], 0));
        encoder.stage("xy").unwrap();
        assert_eq!(encoder.pending(), b"\x02x");
    }

    proptest! {
        /// However stages, advances and withdrawals are mixed, the bytes are those of a simple model.
        #[test]
        fn is_a_queue_of_bytes(steps in vec((0..4_u8, any::<u16>()), 0..60)) {
            let mut encoder = encoder();
            let mut model: Vec<u8> = Vec::new();
            let mut last = None;
            for (step, n) in steps {
                let n = usize::from(n);
                match step {
                    0 => {
                        let payload = vec![1_u8; n];
                        encoder.stage(&payload).unwrap();
                        let mut frame = postcard::to_allocvec(&payload).unwrap();
                        frame.splice(..0, u32::try_from(frame.len()).unwrap().to_be_bytes());
                        last = Some(model.len());
                        model.extend_from_slice(&frame);
                    }
                    1 => {
                        let n = n.min(encoder.pending().len());
                        encoder.advance(n);
                        model.drain(..n);
                        last = last.and_then(|at: usize| at.checked_sub(n));
                        last = last.filter(|_| !model.is_empty());
                    }
                    2 => {
                        assert_eq!(encoder.withdraw(), last.is_some());
                        model.truncate(last.take().unwrap_or(model.len()));
                    }
                    _ => assert_eq!(encoder.stage(&Failing).unwrap_err().kind(), ErrorKind::Encode),
                }
                assert_eq!(encoder.staged(), model.len());
                assert!(model.starts_with(encoder.pending()));
                assert_eq!(encoder.pending().is_empty(), model.is_empty());
            }
        }
    }
}
