use std::fmt;
use std::mem;
use std::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::framing::BuiltIn;
use super::shape::hello::{self, Refusal};
use super::shape::{Shape, Style};
use super::slack::{ROOM, Slack, give_back};
use super::{BorrowingCodec, Codec, Framing, LengthPrefixed, Postcard, Scan, Step, Wire};
use crate::error::{Cause, CodecError, Disagreement, Error, FrameError, Operation};

/// Decodes values from the bytes that arrive.
///
/// It does no I/O: read into [`spare`](Self::spare), report how much was [`filled`](Self::filled),
/// [`step`](Self::step) to the next whole message, and decode its value with
/// [`message`](Self::message). The bytes may arrive in pieces of any size.
///
/// Its memory grows with the bytes that have arrived, never with an announced length.
///
/// ```
/// use std::io::Read;
/// use typed_pipe::Error;
/// use typed_pipe::wire::{Decoder, Wire};
///
/// /// The whole of a blocking receiver.
/// fn receive(decoder: &mut Decoder, input: &mut impl Read) -> Result<String, Error> {
///     while !decoder.step()? {
///         match input.read(decoder.spare()) {
///             Ok(0) | Err(_) => return Err(decoder.end()),
///             Ok(n) => decoder.filled(n),
///         }
///     }
///     decoder.message()
/// }
///
/// let mut decoder = Decoder::new(Wire::default());
/// let mut input: &[u8] = b"\0\0\0\x03\x02hi\0\0\0\x01\0";
/// assert_eq!(receive(&mut decoder, &mut input)?, "hi");
/// assert_eq!(receive(&mut decoder, &mut input)?, "");
/// assert!(receive(&mut decoder, &mut input).is_err_and(|error| error.is_disconnected()));
/// # Ok::<(), Error>(())
/// ```
#[doc(alias("mock", "sans-io"))]
pub struct Decoder<F = LengthPrefixed, C = Postcard> {
    wire: Wire<F, C>,
    /// Its length is the capacity; only `start..end` has meaning.
    buffer: Vec<u8>,
    /// Where the current frame begins, or the next one while there is none. `start + current.len() <= end`.
    start: usize,
    /// Where the arrived bytes end. `end <= buffer.len()`.
    end: usize,
    current: Current,
    /// The announced minimum length of the unfinished frame at `start`; 0 if unknown. A hint: it bounds how far the
    /// buffer grows, and never makes it grow.
    total: usize,
    /// The last length of a frame that the framing announced, believed or not.
    announced: usize,
    /// How many bytes of the unfinished frame the framing has searched already.
    scanned: usize,
    health: Health,
    standing: Standing,
    /// What the writer tells of its messages; `None` if it is not asked for.
    told: Option<Box<Told>>,
    slack: Slack,
    /// Whether the buffer is borrowed.
    #[cfg(feature = "service")]
    borrowed: bool,
}

/// The current message.
#[derive(Clone, Debug)]
enum Current {
    None,
    /// So many bytes at `start`, at least one. Where the payload lies in them stays right when the buffer moves.
    Frame {
        len: usize,
        payload: Range<usize>,
    },
    /// As a frame; only the end of the stream has completed it.
    Rest {
        len: usize,
        payload: Range<usize>,
    },
    /// It is in the framing. Its last part has so many bytes at `start`, at least one.
    Assembled {
        len: usize,
    },
}

impl Current {
    /// How many bytes it has at `start`.
    #[inline]
    const fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Frame { len, .. } | Self::Rest { len, .. } | Self::Assembled { len } => *len,
        }
    }
}

/// What is known of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Sound,
    /// A goodbye was the last frame.
    Finished,
    /// The place in the stream is lost.
    Poisoned,
}

/// Whether the messages that arrive are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// They are.
    Read,
    /// The writer must say first what it sends.
    Awaited,
    /// The writer sends something else, or does not say what. Its messages are skipped.
    Refused,
}

/// What a writer tells of its messages.
#[derive(Default)]
struct Told {
    /// What the messages look like here; `None` if what a writer tells is not compared.
    ours: Option<(fn(Style) -> Shape, Style)>,
    /// What the present writer has told.
    theirs: Option<Shape>,
    /// Whether it must tell.
    required: bool,
}

impl<F, C> Decoder<F, C> {
    /// The wire of this decoder.
    ///
    /// ```
    /// use typed_pipe::wire::{Codec, Decoder, Wire};
    ///
    /// let decoder = Decoder::new(Wire::default());
    /// assert_eq!(decoder.wire().codec().name(), "postcard");
    /// ```
    #[must_use]
    pub fn wire(&self) -> &Wire<F, C> {
        &self.wire
    }

    /// The room for the next bytes: never empty, and normally 64 KiB.
    ///
    /// The current message stays valid.
    ///
    /// ```
    /// use std::io::Read;
    /// use typed_pipe::wire::{Decoder, Wire};
    ///
    /// let mut input: &[u8] = b"\0\0\0\x03\x02hi";
    /// let mut decoder = Decoder::new(Wire::default());
    /// let n = input.read(decoder.spare())?; // as much as there is, at once
    /// decoder.filled(n);
    /// assert!(decoder.step()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn spare(&mut self) -> &mut [u8] {
        if self.start == self.end && self.buffer.len() == ROOM {
            // It keeps nothing: this is what the whole of `make_room` would do.
            (self.start, self.end, self.slack) = (0, 0, Slack::default());
            return &mut self.buffer;
        }
        self.make_room()
    }

    fn make_room(&mut self) -> &mut [u8] {
        let held = self.end - self.start;
        let wanted = self.wanted();
        // Of a long frame without an end in sight it is known only that it needs much.
        let counts = self.scanned < ROOM || held > self.buffer.len() / 4;
        let too_large = counts && self.slack.note(held.max(self.total), self.buffer.len());
        // A few bytes move to the front early, into the free room before them: later it would be many.
        let is_far = self.start >= ROOM && held <= self.start / 4;
        if too_large || is_far || self.is_short_of(wanted - held) {
            // Moves the bytes of a frame once at most: from here on it begins at 0.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, held);
        }
        if too_large {
            self.buffer.truncate(wanted);
            give_back(&mut self.buffer, wanted);
        }
        if self.is_short_of(wanted - held) {
            self.buffer.reserve_exact(wanted - self.buffer.len());
            self.buffer.resize(wanted, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Notes that `n` bytes arrived at the front of [`spare`](Self::spare).
    ///
    /// ```
    /// use typed_pipe::wire::{Decoder, Wire};
    ///
    /// let mut decoder = Decoder::new(Wire::default());
    /// for byte in *b"\0\0\0\x01\x07" {
    ///     assert!(!decoder.step()?);
    ///     decoder.spare()[0] = byte;
    ///     decoder.filled(1); // the rest of the room means nothing
    /// }
    /// assert!(decoder.step()?);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn filled(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.buffer.len());
    }

    /// The bytes that have arrived behind the current message, or behind the last one if there is none.
    ///
    /// ```
    /// use typed_pipe::wire::{Decoder, Wire};
    ///
    /// let mut decoder = Decoder::new(Wire::default());
    /// decoder.spare()[..7].copy_from_slice(b"\0\0\0\x01\x07\0\0");
    /// decoder.filled(7);
    /// assert!(decoder.step()?);
    /// assert_eq!(decoder.buffered(), [0, 0]); // the beginning of the next message
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        self.buffer.get(self.start + self.current.len()..self.end).unwrap_or_default()
    }

    /// Whether something has arrived that was not given out, as far as it knows.
    pub(crate) fn has_begun(&self) -> bool
    where
        F: Framing,
    {
        let keeps_parts = self.wire.framing.built_in().is_some_and(BuiltIn::keeps_parts);
        !self.buffered().is_empty() || (keeps_parts && !self.buffer.is_empty())
    }

    /// Whether the last frame was a goodbye: the other side, or the last one of several writers, has finished.
    ///
    /// ```
    /// use typed_pipe::wire::{Decoder, Encoder, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::default());
    /// encoder.stage(&7)?;
    /// encoder.stage_goodbye();
    ///
    /// let mut decoder = Decoder::new(Wire::default());
    /// let arrived = encoder.pending();
    /// decoder.spare()[..arrived.len()].copy_from_slice(arrived);
    /// decoder.filled(arrived.len());
    /// assert!(decoder.step()? && !decoder.is_finished()); // the message
    /// assert!(!decoder.step()? && decoder.is_finished()); // and what came behind it
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.health == Health::Finished
    }

    /// Notes what the writer has told before.
    pub(crate) fn told(&mut self, theirs: Option<Shape>) {
        if theirs.is_some() {
            self.told.get_or_insert_default().theirs = theirs;
        }
    }

    /// What the present writer has told of its messages.
    pub(crate) fn peer_shape(&self) -> Option<&Shape> {
        self.told.as_ref()?.theirs.as_ref()
    }

    /// How many bytes the message that has begun still lacks, or its header; `None` if that is not known.
    #[cfg(feature = "shared-memory")]
    pub(crate) fn missing(&self) -> Option<usize> {
        self.total.checked_sub(self.end - self.start).filter(|missing| *missing > 0)
    }

    /// Whether there is a current message.
    #[inline]
    pub(crate) fn has_message(&self) -> bool {
        !matches!(self.current, Current::None)
    }

    /// Takes bytes that were read elsewhere, when there is no message to take. It needs no more memory than what is kept.
    #[cfg(feature = "service")]
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let held = self.end - self.start;
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, held);
        }
        self.buffer.truncate(held);
        self.buffer.extend_from_slice(bytes);
        self.end = self.buffer.len();
    }

    /// The same of the first bytes of a buffer, which it borrows until [`rest`](Self::rest) if it keeps nothing.
    #[cfg(feature = "service")]
    pub(crate) fn borrow(&mut self, buffer: &mut Vec<u8>, len: usize) {
        if self.start < self.end {
            return self.feed(buffer.get(..len).unwrap_or_default());
        }
        self.buffer = mem::take(buffer);
        (self.start, self.end, self.borrowed) = (0, len.min(self.buffer.len()), true);
    }

    /// Gives back the buffer that it has borrowed, and frees its own if it keeps nothing. There is no message to take.
    #[cfg(feature = "service")]
    pub(crate) fn rest(&mut self, lender: &mut Vec<u8>) {
        if self.start < self.end && !self.borrowed {
            return;
        }
        let kept = self.buffer.get(self.start..self.end).unwrap_or_default().to_vec();
        (self.start, self.end) = (0, kept.len());
        let buffer = mem::replace(&mut self.buffer, kept);
        if mem::take(&mut self.borrowed) {
            *lender = buffer;
        }
    }

    /// Whether the room is less than half of what it should be. So it grows by a third at least, and
    /// small pieces do not move or allocate each time.
    fn is_short_of(&self, room: usize) -> bool {
        self.buffer.len() - self.end < room.div_ceil(2)
    }

    /// The target size of the buffer from `start` on: more than it holds.
    fn wanted(&self) -> usize {
        let current = self.current.len();
        let arrived = self.end - self.start - current;
        let most = arrived.saturating_mul(2).max(ROOM);
        current + if self.total > arrived { most.min(self.total.max(ROOM)) } else { most }
    }
}

impl<F: Framing, C: Codec> Decoder<F, C> {
    /// A decoder without any bytes.
    ///
    /// ```
    /// use typed_pipe::wire::{Checked, Decoder, Plain, Wire};
    ///
    /// let mut decoder: Decoder<Checked, Plain> = Decoder::new(Wire::new(Checked::default(), Plain));
    /// assert!(!decoder.step()?); // read first
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn new(mut wire: Wire<F, C>) -> Self {
        if let Some(framing) = wire.framing.built_in_mut() {
            framing.introduce(wire.codec.name(), wire.codec.style());
            // The framing may be a clone of one that has seen bytes.
            framing.reset();
        }
        Self {
            wire,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            current: Current::None,
            total: 0,
            announced: 0,
            scanned: 0,
            health: Health::Sound,
            standing: Standing::Read,
            told: None,
            slack: Slack::default(),
            #[cfg(feature = "service")]
            borrowed: false,
        }
    }

    /// The error for a receiver whose stream has ended here.
    ///
    /// Between two messages, the regular end, it is [`Finished`](crate::ErrorKind::Finished) after a goodbye,
    /// and [`Disconnected`](crate::ErrorKind::Disconnected) without one. Inside a message it is
    /// [`Truncated`](crate::ErrorKind::Truncated), and after an error that lost the place in the stream
    /// [`Poisoned`](crate::ErrorKind::Poisoned). Step past all whole messages first, and past
    /// [the last one without an end](Self::step_at_end).
    ///
    /// On a multi-writer wire it is [`MessageLost`](crate::ErrorKind::MessageLost) first, once for each unfinished message:
    /// call this again after such an error.
    ///
    /// ```
    /// use typed_pipe::ErrorKind;
    /// use typed_pipe::wire::{Decoder, Wire};
    ///
    /// let mut decoder = Decoder::new(Wire::default());
    /// assert_eq!(decoder.end().kind(), ErrorKind::Disconnected);
    /// decoder.spare()[..5].copy_from_slice(b"\0\0\0\x09\x01"); // one byte of nine
    /// decoder.filled(5);
    /// assert!(!decoder.step()?);
    /// assert_eq!(decoder.end().kind(), ErrorKind::Truncated);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn end(&mut self) -> Error {
        let cause = match self.buffered().len() {
            _ if self.health == Health::Poisoned => FrameError::Poisoned.into(),
            arrived => match self.wire.framing.built_in_mut().and_then(BuiltIn::abandon) {
                Some(lost) => Cause::Lost(lost),
                None if arrived > 0 => FrameError::Truncated { got: arrived }.into(),
                None if self.health == Health::Finished => Cause::Finished,
                None => Cause::Disconnected,
            },
        };
        Error::new(Operation::Receive, cause)
    }

    /// Forgets all bytes and errors, for a new stream that begins here.
    ///
    /// Call it when the last writer of a FIFO has left and the receiver waits for the next one.
    ///
    /// ```
    /// use typed_pipe::ErrorKind;
    /// use typed_pipe::wire::{Decoder, Wire};
    ///
    /// let mut decoder = Decoder::new(Wire::default());
    /// decoder.spare()[..4].copy_from_slice(&[0xFF; 4]);
    /// decoder.filled(4);
    /// assert_eq!(decoder.step().unwrap_err().kind(), ErrorKind::Corrupt);
    /// assert_eq!(decoder.step().unwrap_err().kind(), ErrorKind::Poisoned); // from here on
    /// decoder.reset();
    /// assert!(!decoder.step()?); // as new
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn reset(&mut self) {
        (self.start, self.end, self.current) = (0, 0, Current::None);
        (self.total, self.announced, self.scanned) = (0, 0, 0);
        self.health = Health::Sound;
        if let Some(framing) = self.wire.framing.built_in_mut() {
            framing.reset();
        }
        self.standing = Standing::Read;
        if let Some(told) = &mut self.told {
            told.theirs = None;
            if told.required {
                self.standing = Standing::Awaited;
            }
        }
    }

    /// Whether a message that begins now may be taken where it lies, past this decoder.
    #[cfg(feature = "shared-memory")]
    pub(crate) fn may_be_passed(&self) -> bool {
        let has_nothing = self.start == self.end && !self.has_message();
        has_nothing && self.health != Health::Poisoned && self.standing == Standing::Read
    }

    /// How long a message is that begins with these bytes, if it may lie anywhere.
    #[cfg(feature = "shared-memory")]
    pub(crate) fn plain_frame(&self, header: [u8; 4]) -> Option<usize> {
        self.wire.framing.built_in()?.plain_frame(header)
    }

    /// Notes that a message went past this decoder.
    #[cfg(feature = "shared-memory")]
    pub(crate) fn passed(&mut self) {
        self.health = Health::Sound;
    }

    /// Compares what a writer tells with what the messages look like here.
    pub(crate) fn expect(&mut self, ours: fn(Style) -> Shape) {
        let style = self.wire.codec.style();
        self.told.get_or_insert_default().ours = style.map(|style| (ours, style));
    }

    /// Reads the messages only of writers that tell what they send.
    pub(crate) fn require_shape(&mut self) {
        let told = self.told.get_or_insert_default();
        if let Some((ours, style)) = told.ours {
            let framing = self.wire.framing.built_in_mut();
            if framing.is_some_and(|framing| framing.require_shape(&ours(style))) {
                return;
            }
        }
        told.required = true;
        if self.standing == Standing::Read && self.peer_shape().is_none() {
            self.standing = Standing::Awaited;
        }
    }

    /// Goes to the next whole message, and returns whether there is one.
    ///
    /// If not, more bytes must arrive.
    ///
    /// ```
    /// use typed_pipe::wire::{Decoder, Wire};
    ///
    /// let mut decoder = Decoder::new(Wire::default());
    /// decoder.spare()[..12].copy_from_slice(b"\0\0\0\x01\x07\0\0\0\x01\x08\0\0");
    /// decoder.filled(12);
    /// let mut numbers = Vec::<u8>::new();
    /// while decoder.step()? {
    ///     numbers.push(decoder.message()?);
    /// }
    /// assert_eq!(numbers, [7, 8]); // and of a third message, the beginning
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::ErrorKind::Corrupt) and [`TooLarge`](crate::ErrorKind::TooLarge) if the
    /// bytes are no frames of this wire. The place in the stream is lost: every later call
    /// fails with [`Poisoned`](crate::ErrorKind::Poisoned).
    ///
    /// On a multi-writer wire also [`MessageLost`](crate::ErrorKind::MessageLost),
    /// [`Mismatch`](crate::ErrorKind::Mismatch), and `TooLarge`, of one message or one writer: the decoder
    /// stays usable, and such errors are not [fatal](Error::is_fatal).
    #[inline]
    pub fn step(&mut self) -> Result<bool, Error> {
        self.go_on(false)
    }

    /// Goes to the next whole message after the end of the stream, and returns whether there is one.
    ///
    /// It is [`step`](Self::step), and then the last message that only the end of the stream completes, such as a
    /// last line without a line feed: see [`Lines`](super::foreign::Lines). If such a message does not decode,
    /// it was cut off, unless the codec names another cause: the error of [`message`](Self::message) is
    /// [`Truncated`](crate::ErrorKind::Truncated) then.
    /// After the last message, [`end`](Self::end) returns the error of the end.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Decoder, Plain, Wire};
    ///
    /// let mut decoder = Decoder::new(Wire::new(Lines::default(), Plain));
    /// decoder.spare()[..8].copy_from_slice(b"one\nlast");
    /// decoder.filled(8); // and nothing more can be read
    /// let mut lines = Vec::new();
    /// while decoder.step_at_end()? {
    ///     lines.push(decoder.message::<String>()?);
    /// }
    /// assert_eq!(lines, ["one", "last"]);
    /// assert!(decoder.end().is_disconnected());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step).
    pub fn step_at_end(&mut self) -> Result<bool, Error> {
        if self.step()? {
            return Ok(true);
        }
        self.go_on(true)
    }

    #[inline]
    fn go_on(&mut self, at_end: bool) -> Result<bool, Error> {
        self.skip_frame();
        if self.health == Health::Poisoned || self.standing != Standing::Read {
            self.go_past(at_end)?;
            return Ok(self.has_message());
        }
        self.look(at_end)
    }

    /// The error of a step.
    #[cold]
    fn failed(&mut self, cause: Cause) -> Error {
        if matches!(cause, Cause::Frame(_)) {
            self.health = Health::Poisoned;
        }
        Error::new(Operation::Receive, cause)
    }

    /// Decodes the current message, which the last [`step`](Self::step) found.
    ///
    /// Another call decodes the same message again.
    ///
    /// ```
    /// use typed_pipe::ErrorKind;
    /// use typed_pipe::wire::{Decoder, Wire};
    ///
    /// let mut decoder = Decoder::new(Wire::default());
    /// decoder.spare()[..7].copy_from_slice(b"\0\0\0\x03\x02hi");
    /// decoder.filled(7);
    /// assert!(decoder.step()?);
    /// assert_eq!(decoder.message::<bool>().unwrap_err().kind(), ErrorKind::Decode);
    /// assert_eq!(decoder.message::<String>()?, "hi"); // the same message
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Decode`](crate::ErrorKind::Decode) if the bytes of the message are no `T`, or if there
    /// is no current message. The decoder stays usable for the next message.
    #[inline(always)]
    pub fn message<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let payload = self.bytes()?;
        self.wire.codec.decode(payload).map_err(|error| self.undecodable(error))
    }

    /// Decodes the current message as a value that may borrow from this decoder.
    ///
    /// ```
    /// use typed_pipe::wire::{Decoder, Wire};
    ///
    /// let mut decoder = Decoder::new(Wire::default());
    /// decoder.spare()[..7].copy_from_slice(b"\0\0\0\x03\x02hi");
    /// decoder.filled(7);
    /// assert!(decoder.step()?);
    /// assert_eq!(decoder.message_ref::<&str>()?, "hi");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`message`](Self::message).
    #[inline(always)]
    pub fn message_ref<'de, T: Deserialize<'de>>(&'de mut self) -> Result<T, Error>
    where
        C: BorrowingCodec,
    {
        let payload = self.bytes()?;
        self.wire.codec.decode(payload).map_err(|error| self.undecodable(error))
    }

    /// The payload of the current message, such as [`Encoder::stage_bytes`](super::Encoder::stage_bytes) sends.
    ///
    /// ```
    /// use typed_pipe::wire::{Decoder, Wire};
    ///
    /// let mut decoder = Decoder::new(Wire::default());
    /// assert!(decoder.bytes().is_err()); // not stepped to a message
    /// decoder.spare()[..6].copy_from_slice(b"\0\0\0\x02\xFF\xFE");
    /// decoder.filled(6);
    /// assert!(decoder.step()?);
    /// assert_eq!(decoder.bytes()?, [0xFF, 0xFE]); // whether the codec can read them or not
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Decode`](crate::ErrorKind::Decode) if there is no current message.
    #[inline]
    pub fn bytes(&self) -> Result<&[u8], Error> {
        if self.has_message() { Ok(self.payload()) } else { Err(nothing_there()) }
    }

    /// The error for a current message that does not decode.
    #[cold]
    pub(crate) fn undecodable(&self, error: CodecError) -> Error {
        match self.current {
            Current::Rest { len, .. } if may_be_cut_off(&error) => {
                Error::new(Operation::Receive, FrameError::Truncated { got: len })
            }
            _ => undecodable(error),
        }
    }

    /// The payload of the current message; nothing, if there is none.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        if let Current::Frame { payload, .. } | Current::Rest { payload, .. } = &self.current {
            let at = self.start + payload.start..self.start + payload.end;
            if let Some(payload) = self.buffer.get(at) {
                return payload;
            }
        }
        self.assembled()
    }

    /// The payload of a message that is in the framing.
    #[cold]
    fn assembled(&self) -> &[u8] {
        match self.current {
            Current::Assembled { .. } => {
                self.wire.framing.built_in().map_or(&[], BuiltIn::assembled)
            }
            _ => &[],
        }
    }

    /// Goes on to the next writer whose messages are read.
    #[cold]
    fn go_past(&mut self, at_end: bool) -> Result<(), Error> {
        loop {
            if self.health == Health::Poisoned {
                return Err(self.failed(FrameError::Poisoned.into()));
            }
            let found = self.look(at_end)?;
            match self.standing {
                // Its hello was before the message.
                Standing::Read => return Ok(()),
                _ if !found => return Ok(()),
                Standing::Awaited => {
                    self.skip_frame();
                    self.standing = Standing::Refused;
                    return Err(self.failed(Disagreement::NoShape.into()));
                }
                Standing::Refused => self.skip_frame(),
            }
        }
    }

    #[inline]
    fn skip_frame(&mut self) {
        self.start += self.current.len();
        self.current = Current::None;
    }

    /// Notes the hello of a writer.
    fn greeted(&mut self, hello: Range<usize>) -> Result<(), Cause> {
        let Some(told) = &mut self.told else { return Ok(()) };
        let Some((shape, style)) = told.ours else { return Ok(()) };
        let at = self.start + hello.start..self.start + hello.end;
        let read = hello::read(self.buffer.get(at).unwrap_or_default(), &shape(style));
        (told.theirs, self.standing) = match &read {
            Ok(theirs) => (Some(theirs.clone()), Standing::Read),
            Err(_) => (None, Standing::Refused),
        };
        match read {
            Ok(_) => Ok(()),
            Err(Refusal::Differs(place)) => Err(Disagreement::Shapes(place).into()),
            Err(Refusal::Garbled) => Err(Disagreement::Garbled.into()),
        }
    }

    /// Looks for the next message in the bytes that have arrived.
    #[inline]
    fn look(&mut self, at_end: bool) -> Result<bool, Error> {
        self.total = 0;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            return Ok(false);
        }
        match self.scan(at_end) {
            Ok(Step::Message { payload, frame }) => {
                if !self.has(&payload, frame) {
                    return Err(self.failed(FrameError::OutOfBounds.into()));
                }
                self.take(payload, frame, at_end);
                Ok(true)
            }
            step => {
                self.look_on(step, at_end)?;
                Ok(self.has_message())
            }
        }
    }

    /// Scans the bytes that have arrived.
    #[inline]
    fn scan(&mut self, at_end: bool) -> Result<Step, FrameError> {
        let Some(bytes) = self.buffer.get_mut(self.start..self.end) else {
            return Err(FrameError::OutOfBounds);
        };
        let from = mem::take(&mut self.scanned).min(bytes.len());
        self.wire.framing.scan(bytes, Scan { from, at_end })
    }

    /// Whether a frame has arrived, and the payload is in it.
    #[inline]
    fn has(&self, payload: &Range<usize>, frame: usize) -> bool {
        payload.start <= payload.end && payload.end <= frame && self.has_bytes(frame)
    }

    #[inline]
    fn has_bytes(&self, bytes: usize) -> bool {
        (1..=self.end - self.start).contains(&bytes)
    }

    /// Makes a frame the current message.
    #[inline]
    fn take(&mut self, payload: Range<usize>, len: usize, at_end: bool) {
        self.current =
            if at_end { Current::Rest { len, payload } } else { Current::Frame { len, payload } };
        self.health = Health::Sound;
    }

    /// Goes on looking, after a step that is no message in one piece.
    #[cold]
    fn look_on(&mut self, mut step: Result<Step, FrameError>, at_end: bool) -> Result<(), Error> {
        loop {
            match step.map_err(Cause::from).and_then(|step| self.note(step, at_end)) {
                Ok(true) if self.start < self.end => step = self.scan(at_end),
                Ok(true) => {
                    (self.start, self.end) = (0, 0);
                    return Ok(());
                }
                Ok(false) => return Ok(()),
                Err(cause) => return Err(self.failed(cause)),
            }
        }
    }

    /// Notes a step; returns whether to go on.
    fn note(&mut self, step: Step, at_end: bool) -> Result<bool, Cause> {
        match step {
            Step::More { total } => {
                // A framing that announces another length each time is guessing: its hints do not shrink the
                // reads to single bytes.
                let guessed = mem::replace(&mut self.announced, total) != total;
                self.total = if guessed && self.end - self.start > ROOM { 0 } else { total };
                return Ok(false);
            }
            Step::NoEnd { scanned } => {
                self.scanned = scanned;
                return Ok(false);
            }
            Step::Skip { bytes } if self.has_bytes(bytes) => {
                self.start += bytes;
                self.health = Health::Sound;
            }
            Step::Hello { payload, frame } if self.has(&payload, frame) => {
                let greeted = self.greeted(payload);
                self.start += frame;
                self.health = Health::Sound;
                greeted?;
            }
            Step::Goodbye { bytes } if self.has_bytes(bytes) => {
                self.start += bytes;
                self.health = Health::Finished;
            }
            Step::Message { payload, frame } if self.has(&payload, frame) => {
                self.take(payload, frame, at_end);
                return Ok(false);
            }
            Step::Assembled { bytes }
                if self.has_bytes(bytes) && self.wire.framing.built_in().is_some() =>
            {
                self.current = Current::Assembled { len: bytes };
                self.health = Health::Sound;
                return Ok(false);
            }
            Step::Lost { bytes, error } if bytes <= self.end - self.start => {
                if bytes > 0 && matches!(*error, FrameError::Base64 { .. }) {
                    // A whole line, though the codec cannot decode it.
                    self.current = Current::Frame { len: bytes, payload: 0..bytes };
                } else {
                    self.start += bytes;
                }
                if bytes > 0 {
                    self.health = Health::Sound;
                }
                return Err(Cause::Lost(*error));
            }
            _ => return Err(FrameError::OutOfBounds.into()),
        }
        Ok(true)
    }
}

// Out of line: inlined, each of the layers above would drop and move these errors on the path without errors.

#[cold]
fn undecodable(error: CodecError) -> Error {
    Error::new(Operation::Receive, Cause::Decode(error))
}

/// Whether it can be for want of bytes that something does not decode: where the codec tells of another cause, more
/// of them would not help.
fn may_be_cut_off(error: &CodecError) -> bool {
    match error {
        #[cfg(feature = "json")]
        CodecError::Format(cause) => {
            let json = cause.downcast_ref::<serde_json::Error>();
            json.is_none_or(serde_json::Error::is_eof)
        }
        CodecError::Trailing { .. } | CodecError::TooDeep { .. } => false,
        _ => true,
    }
}

#[cold]
fn nothing_there() -> Error {
    undecodable(CodecError::format("no whole message has arrived"))
}

impl<F, C> fmt::Debug for Decoder<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("buffered", &self.buffered().len())
            .field("message", &self.has_message())
            .field("health", &self.health)
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};
    use serde::Serialize;

    use super::*;
    use crate::error::ErrorKind;
    use crate::wire::foreign::Lines;
    use crate::wire::{Checked, DepthLimit, Encoder, Plain};

    type Value = (u64, String, Option<Vec<i16>>);

    fn decoder() -> Decoder {
        Decoder::new(Wire::default())
    }

    fn frames<F: Framing, C: Codec, T: Serialize>(wire: Wire<F, C>, values: &[T]) -> Vec<u8> {
        let mut encoder = Encoder::new(wire);
        values.iter().for_each(|value| encoder.stage(value).unwrap());
        encoder.pending().to_vec()
    }

    /// Lets `bytes` arrive, all of them.
    fn arrive<F, C>(decoder: &mut Decoder<F, C>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = decoder.spare();
            let n = spare.len().min(bytes.len());
            spare[..n].copy_from_slice(&bytes[..n]);
            decoder.filled(n);
            bytes = &bytes[n..];
        }
    }

    fn step_kind<F: Framing, C: Codec>(decoder: &mut Decoder<F, C>) -> ErrorKind {
        let error = decoder.step().unwrap_err();
        assert_eq!(error.operation(), Operation::Receive);
        error.kind()
    }

    /// Sends `values` in pieces as long as `pieces` says, and expects the same values.
    fn any_split<F, C>(wire: Wire<F, C>, values: &[Value], pieces: &[usize])
    where
        F: Framing + Clone,
        C: Codec + Clone,
    {
        let bytes = frames(wire.clone(), values);
        let mut bytes = &bytes[..];
        let mut decoder = Decoder::new(wire);
        let mut received: Vec<Value> = Vec::new();
        let mut pieces = pieces.iter().cycle();
        while !bytes.is_empty() {
            let piece = (*pieces.next().unwrap()).min(bytes.len());
            arrive(&mut decoder, &bytes[..piece]);
            bytes = &bytes[piece..];
            while decoder.step().unwrap() {
                received.push(decoder.message().unwrap());
            }
        }
        assert_eq!(received, values);
        assert_eq!(decoder.end().kind(), ErrorKind::Disconnected);
    }

    /// Lets any bytes arrive: nothing may panic, and an error of the framing stays.
    fn any_bytes<F: Framing, C: Codec>(wire: Wire<F, C>, bytes: &[u8], piece: usize) {
        let mut decoder = Decoder::new(wire);
        for piece in bytes.chunks(piece) {
            arrive(&mut decoder, piece);
            loop {
                match decoder.step() {
                    Ok(true) => {
                        let _ = decoder.message::<Value>();
                        let _ = decoder.message::<Vec<String>>();
                    }
                    Ok(false) => break,
                    Err(_) => {
                        assert_eq!(step_kind(&mut decoder), ErrorKind::Poisoned);
                        assert_eq!(decoder.end().kind(), ErrorKind::Poisoned);
                        break;
                    }
                }
            }
        }
    }

    /// Calls `$test` with each framing and each codec.
    macro_rules! on_every_wire {
        ($test:ident, $($argument:expr),*) => {
            for checked in [false, true] {
                macro_rules! with_codec {
                    ($codec:expr) => {
                        if checked {
                            $test(Wire::new(Checked::default(), $codec), $($argument),*);
                        } else {
                            $test(Wire::new(LengthPrefixed::default(), $codec), $($argument),*);
                        }
                    };
                }
                with_codec!(Postcard);
                with_codec!(DepthLimit::new(Postcard));
                #[cfg(feature = "bincode")]
                with_codec!(crate::wire::Bincode::new());
                #[cfg(feature = "json")]
                with_codec!(crate::wire::Json);
            }
        };
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_messages(
            values in vec(any::<Value>(), 0..8),
            pieces in vec(1..200_usize, 1..5),
        ) {
            on_every_wire!(any_split, &values, &pieces);
        }

        #[test]
        fn d26_any_bytes_are_read_without_a_panic(
            bytes in vec(any::<u8>(), 0..200),
            piece in 1..50_usize,
        ) {
            on_every_wire!(any_bytes, &bytes, piece);
        }

        /// Random bytes are rarely frames, so this frames them.
        #[test]
        fn d26_any_bytes_in_a_frame_are_read_without_a_panic(payload in vec(any::<u8>(), 0..200)) {
            let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
            frame.extend_from_slice(&payload);
            frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
            on_every_wire!(any_bytes, &frame, 1000);
        }
    }

    #[test]
    fn d11_every_cut_is_told_apart_from_the_regular_end() {
        fn cuts<F: Framing + Clone, C: Codec + Clone>(wire: Wire<F, C>) {
            let first = frames(wire.clone(), &["one"]);
            let bytes = frames(wire.clone(), &["one", "two"]);
            for cut in 0..=bytes.len() {
                let mut decoder = Decoder::new(wire.clone());
                arrive(&mut decoder, &bytes[..cut]);
                while decoder.step().unwrap() {
                    decoder.message::<String>().unwrap();
                }
                let end = decoder.end();
                if cut % first.len() == 0 {
                    assert_eq!(end.kind(), ErrorKind::Disconnected);
                } else {
                    assert_eq!(end.kind(), ErrorKind::Truncated);
                    let got = format!("{} bytes after", cut % first.len());
                    assert!(end.to_string().contains(&got), "{end}");
                }
            }
        }
        on_every_wire!(cuts,);
    }

    #[test]
    fn d10_a_message_without_bytes_is_a_message() {
        let mut decoder = decoder();
        arrive(&mut decoder, &[0; 12]);
        for _ in 0..3 {
            assert!(decoder.step().unwrap());
            decoder.message::<()>().unwrap();
        }
        assert!(!decoder.step().unwrap());
        assert!(decoder.end().is_disconnected());
    }

    #[test]
    fn a_message_can_be_read_again_and_borrowed() {
        let mut decoder = decoder();
        arrive(&mut decoder, b"\0\0\0\x03\x02hi\0\0\0\x01\0");
        assert!(decoder.step().unwrap());
        assert_eq!(decoder.message_ref::<&str>().unwrap(), "hi");
        assert_eq!(decoder.message::<String>().unwrap(), "hi");
        assert_eq!(decoder.buffered(), b"\0\0\0\x01\0");
        assert!(decoder.step().unwrap());
        assert_eq!(decoder.message_ref::<&str>().unwrap(), "");
        assert_eq!(decoder.buffered(), b"");
    }

    #[test]
    fn a_message_outlives_the_room_for_the_next_ones() {
        let mut decoder = decoder();
        arrive(&mut decoder, b"\0\0\0\x01\0\0\0\0\x03\x02hi");
        assert!(decoder.step().unwrap());
        assert!(decoder.step().unwrap());
        for _ in 0..5 {
            arrive(&mut decoder, &[0; 100_000]);
            assert_eq!(decoder.message_ref::<&str>().unwrap(), "hi");
        }
    }

    #[test]
    fn without_a_step_there_is_no_message() {
        let mut decoder = decoder();
        assert_eq!(decoder.message::<()>().unwrap_err().kind(), ErrorKind::Decode);
        arrive(&mut decoder, &[0; 4]);
        assert_eq!(decoder.message::<()>().unwrap_err().kind(), ErrorKind::Decode);
        assert!(decoder.step().unwrap());
        assert!(!decoder.step().unwrap());
        assert_eq!(decoder.message::<()>().unwrap_err().kind(), ErrorKind::Decode);
    }

    #[test]
    fn d12_a_decode_error_leaves_the_decoder_usable() {
        let mut decoder = decoder();
        arrive(&mut decoder, &frames(Wire::default(), &[(7_u8, 1_u8), (2, 2)]));
        assert!(decoder.step().unwrap());
        let error = decoder.message::<u8>().unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Decode, Operation::Receive));
        assert!(!error.is_fatal());
        assert_eq!(decoder.message::<(bool, u8)>().unwrap_err().kind(), ErrorKind::Decode);
        assert_eq!(decoder.message::<(u8, u8)>().unwrap(), (7, 1));
        assert!(decoder.step().unwrap());
        assert_eq!(decoder.message::<(u8, u8)>().unwrap(), (2, 2));
    }

    #[test]
    fn d12_a_framing_error_poisons() {
        let mut decoder = Decoder::new(Wire::default().with_framing(Checked::default()));
        let mut bytes = frames(decoder.wire().clone(), &["one", "two", "three"]);
        bytes[16] ^= 1;
        arrive(&mut decoder, &bytes);
        assert!(decoder.step().unwrap());
        assert_eq!(decoder.message_ref::<&str>().unwrap(), "one");
        assert_eq!(step_kind(&mut decoder), ErrorKind::Corrupt);
        assert_eq!(step_kind(&mut decoder), ErrorKind::Poisoned);
        arrive(&mut decoder, &[0; 8]);
        assert_eq!(step_kind(&mut decoder), ErrorKind::Poisoned);
        assert_eq!(decoder.message_ref::<&str>().unwrap_err().kind(), ErrorKind::Decode);
        assert!(decoder.end().is_fatal());
    }

    #[test]
    fn d1_a_length_without_its_bytes_takes_no_memory() {
        let mut decoder = decoder();
        arrive(&mut decoder, &[0xFF; 5]);
        assert_eq!(step_kind(&mut decoder), ErrorKind::Corrupt);

        let mut decoder = Decoder::new(Wire::default());
        arrive(&mut decoder, b"\0\x80\0\0\x01");
        assert!(!decoder.step().unwrap());
        assert!(!decoder.spare().is_empty());
        assert!(decoder.buffer.capacity() <= ROOM);
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes hours there")]
    fn d2_memory_is_at_most_double_of_what_arrived() {
        let bytes = frames(Wire::default(), &[vec![7_u8; 3 << 20]]);
        let mut decoder = decoder();
        let (mut grown, mut capacity) = (0, 0);
        for piece in bytes.chunks(1000) {
            assert!(!decoder.step().unwrap());
            arrive(&mut decoder, piece);
            let arrived = decoder.end - decoder.start;
            assert!(decoder.buffer.capacity() <= (2 * arrived).max(ROOM));
            grown += u32::from(decoder.buffer.capacity() != capacity);
            capacity = decoder.buffer.capacity();
        }
        assert!(decoder.step().unwrap());
        assert_eq!(decoder.buffer.capacity(), bytes.len(), "the need of the frame caps it");
        assert!(grown < 20, "{grown}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes hours there")]
    fn one_big_message_does_not_hold_its_memory() {
        let mut decoder = decoder();
        arrive(&mut decoder, &frames(Wire::default(), &[vec![7_u8; 3 << 20]]));
        assert!(decoder.step().unwrap());
        arrive(&mut decoder, &[0; 4]);
        let capacity = decoder.buffer.capacity();
        assert_eq!(capacity, 4 << 20, "the current message needs no more");
        assert!(decoder.step().unwrap());
        for _ in 0..20 {
            arrive(&mut decoder, &[0; 4]);
            assert!(decoder.step().unwrap());
        }
        assert!(decoder.buffer.capacity() <= 2 * ROOM);
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes hours there")]
    fn the_steady_state_allocates_nothing() {
        let mut decoder = decoder();
        let big = frames(Wire::default(), &[vec![7_u8; 1 << 20], vec![]]);
        let mut seen = None;
        for _ in 0..20 {
            for piece in big.chunks(50_000) {
                arrive(&mut decoder, piece);
                while decoder.step().unwrap() {}
            }
            let now = (decoder.buffer.as_ptr(), decoder.buffer.capacity());
            assert_eq!(*seen.get_or_insert(now), now);
        }
    }

    #[cfg(feature = "service")]
    #[test]
    fn a_borrowed_buffer_goes_back_and_what_is_left_of_it_stays() {
        let mut decoder = decoder();
        let mut lender = vec![0; 100];
        let place = lender.as_ptr();
        let mut lend = |decoder: &mut Decoder, bytes: &[u8]| {
            lender[..bytes.len()].copy_from_slice(bytes);
            decoder.borrow(&mut lender, bytes.len());
            let mut messages = Vec::new();
            while decoder.step().unwrap() {
                messages.push(decoder.message::<String>().unwrap());
            }
            decoder.rest(&mut lender);
            assert_eq!((lender.as_ptr(), lender.len()), (place, 100));
            messages
        };
        assert_eq!(lend(&mut decoder, b"\0\0\0\x03\x02hi\0\0\0\x03"), ["hi"]);
        assert_eq!(decoder.buffered(), b"\0\0\0\x03");
        assert_eq!(lend(&mut decoder, b"\x02h"), [""; 0]);
        assert_eq!(lend(&mut decoder, b"o\0\0\0\x01\0"), ["ho", ""]);
        assert!(decoder.buffer.is_empty(), "it keeps no memory");
    }

    #[cfg(feature = "service")]
    #[test]
    fn a_buffer_that_is_borrowed_may_end_anywhere_in_a_message() {
        let stream = b"\0\0\0\x03\x02hi\0\0\0\x01\0\0\0\0\x04\x03abc";
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut decoder = decoder();
                let (mut lender, mut messages) = (vec![0; 100], Vec::new());
                for piece in [&stream[..first], &stream[first..second], &stream[second..]] {
                    // What another connection of the thread has read is no part of it.
                    lender.fill(0xFF);
                    lender[..piece.len()].copy_from_slice(piece);
                    decoder.borrow(&mut lender, piece.len());
                    while decoder.step().unwrap() {
                        messages.push(decoder.message::<String>().unwrap());
                    }
                    decoder.rest(&mut lender);
                    assert_eq!(lender.len(), 100);
                }
                assert_eq!(messages, ["hi", "", "abc"], "cut at {first} and {second}");
                assert!(decoder.buffer.is_empty(), "it keeps no memory");
            }
        }
    }

    #[test]
    fn there_is_always_room() {
        let mut decoder = decoder();
        for _ in 0..10 {
            let all = decoder.spare().len();
            assert!(all >= ROOM / 2, "{all}");
            decoder.spare().fill(0);
            decoder.filled(all);
        }
        decoder.filled(usize::MAX);
        assert_eq!(decoder.end, decoder.buffer.len());
    }

    #[test]
    fn a_new_stream_can_begin_after_any_end() {
        let mut decoder = decoder();
        for broken in [&b"\0\0\0\x03\x02h"[..], &[0xFF; 9], b"\0\0\0\x01\0", b""] {
            arrive(&mut decoder, broken);
            let _ = decoder.step();
            decoder.reset();
            assert!(decoder.end().is_disconnected());
            assert_eq!(decoder.message_ref::<&str>().unwrap_err().kind(), ErrorKind::Decode);
            arrive(&mut decoder, b"\0\0\0\x03\x02hi");
            assert!(decoder.step().unwrap());
            assert_eq!(decoder.message_ref::<&str>().unwrap(), "hi");
        }
    }

    /// A framing with prepared answers.
    struct Told(Step);

    impl Framing for Told {
        fn begin(&mut self, _: &mut Vec<u8>) {}
        fn finish(&mut self, _: &mut Vec<u8>, _: usize) -> Result<(), FrameError> {
            Ok(())
        }
        fn scan(&mut self, _: &mut [u8], _: Scan) -> Result<Step, FrameError> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn a_framing_that_claims_too_much_is_refused() {
        #[expect(clippy::reversed_empty_ranges, reason = "the very mistake that is tested")]
        let backwards = Step::Message { payload: 3..2, frame: 4 };
        for told in [
            backwards,
            Step::Message { payload: 0..0, frame: 0 },
            Step::Message { payload: 0..4, frame: 9 },
            Step::Message { payload: 0..5, frame: 4 },
            Step::Skip { bytes: 0 },
            Step::Skip { bytes: 9 },
            Step::Goodbye { bytes: 0 },
            Step::Goodbye { bytes: 9 },
            Step::Assembled { bytes: 0 },
            Step::Assembled { bytes: 9 },
            Step::Assembled { bytes: 8 }, // nowhere, of a framing of another crate
            Step::Lost { bytes: 9, error: Box::new(FrameError::Poisoned) },
        ] {
            let mut decoder = Decoder::new(Wire::default().with_framing(Told(told)));
            arrive(&mut decoder, &[0; 8]);
            assert_eq!(step_kind(&mut decoder), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn more_than_a_framing_needs_does_no_harm() {
        for total in [0, 3, usize::MAX] {
            let wire = Wire::default().with_framing(Told(Step::More { total }));
            let mut decoder = Decoder::new(wire);
            for n in 0..300 {
                assert!(!decoder.step().unwrap());
                arrive(&mut decoder, &vec![0; n * 10]);
            }
            assert!(decoder.buffer.capacity() <= 2 * decoder.end);
        }
    }

    #[test]
    fn skipped_bytes_are_no_message() {
        let mut decoder = Decoder::new(Wire::default().with_framing(Told(Step::Skip { bytes: 2 })));
        arrive(&mut decoder, &[0; 8]);
        assert!(!decoder.step().unwrap());
        assert!(decoder.end().is_disconnected());
    }

    #[test]
    fn a_goodbye_finishes_until_something_comes() {
        fn goodbye<F: Framing + Clone, C: Codec + Clone>(wire: Wire<F, C>) {
            let mut encoder = Encoder::new(wire.clone());
            encoder.stage("one").unwrap();
            assert!(encoder.stage_goodbye());
            let bytes = encoder.pending().to_vec();
            let mut decoder = Decoder::new(wire);
            for byte in &bytes {
                assert!(!decoder.is_finished());
                arrive(&mut decoder, &[*byte]);
                while decoder.step().unwrap() {
                    assert_eq!(decoder.message::<String>().unwrap(), "one");
                }
            }
            assert!(decoder.is_finished());
            for _ in 0..2 {
                let end = decoder.end();
                assert_eq!(end.kind(), ErrorKind::Finished);
                assert!(end.is_end() && end.is_fatal() && !end.is_disconnected());
            }
            arrive(&mut decoder, &bytes[..5]);
            assert!(!decoder.step().unwrap());
            assert_eq!(decoder.end().kind(), ErrorKind::Truncated);
            arrive(&mut decoder, &bytes[5..]);
            assert!(decoder.step().unwrap());
            assert!(!decoder.is_finished());
            assert!(!decoder.step().unwrap());
            assert!(decoder.is_finished());
            decoder.reset();
            assert!(!decoder.is_finished() && decoder.end().is_disconnected());
        }
        on_every_wire!(goodbye,);
    }

    #[test]
    fn a_clone_of_a_wire_has_seen_nothing() {
        let mut decoder = Decoder::new(Wire::new(Lines::default(), Plain));
        arrive(&mut decoder, b"half a line");
        assert!(!decoder.step().unwrap());
        let mut other = Decoder::new(decoder.wire().clone());
        arrive(&mut other, b"one\ntwo\nthree\n");
        assert!(other.step().unwrap());
        assert_eq!(other.message_ref::<&str>().unwrap(), "one");
    }

    #[test]
    fn debug_names_no_contents() {
        fn is_short(value: impl Debug) {
            assert!(format!("{value:?}").len() < 100);
        }
        let mut decoder = decoder();
        arrive(&mut decoder, &[0; 1000]);
        is_short(decoder);
    }
}
