//! The connection under a session, and its frames.

use std::fmt;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Cause, CodecError, Error, ErrorKind, FrameError, Operation};
use crate::state::{Mode, complete_by};
use crate::sys::{Maker, WaitLimit};
use crate::typed_connection::{ReceivingHalf, SendingHalf};
use crate::wire::{Codec, LengthPrefixed, Postcard, short_text};

/// The connection under a session.
pub struct Line<M: Mode> {
    sender: SendingHalf<(), LengthPrefixed, Steps, M>,
    receiver: ReceivingHalf<(), LengthPrefixed, Steps, M>,
    step_timeout: Option<Duration>,
    /// What this side is to do next; `None` where the other side need not learn that it leaves.
    here: Option<fn() -> String>,
    /// Whether a part of the value of this step is sent, and the rest is staged.
    begun: bool,
    /// Whether the next frame has arrived.
    found: bool,
    /// Whether what came was not what the protocol has.
    astray: bool,
    /// The process that speaks: not a forked child.
    maker: Maker,
}

/// The codec of the values in sessions: postcard behind the kind of the frame. It has a name of its own, so that no other
/// messages are taken for steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps;

impl Codec for Steps {
    fn name(&self) -> &str {
        "session"
    }

    #[inline]
    fn encode<T: Serialize + ?Sized>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        out.push(VALUE);
        Postcard.encode(value, out)
    }

    /// The kind of the frame is looked at before.
    #[inline(always)]
    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
        Postcard.decode(bytes.get(1..).unwrap_or_default())
    }
}

/// The first byte of each frame.
pub(super) const VALUE: u8 = 0;
pub(super) const BRANCH: u8 = 1;
const LEFT: u8 = 2;
pub(super) const PLAN: u8 = 3;

/// The second byte of a frame that says that a side has left.
const DROPPED: u8 = 0;
const PANICKED: u8 = 1;

/// The most bytes that are kept of what comes while a plan is sent.
const MAX_TAKEN_IN: usize = 2 << 20;

impl<M: Mode> Line<M> {
    pub(super) fn new(
        sender: SendingHalf<(), LengthPrefixed, Steps, M>,
        receiver: ReceivingHalf<(), LengthPrefixed, Steps, M>,
    ) -> Self {
        Self {
            sender,
            receiver,
            step_timeout: None,
            here: None,
            begun: false,
            found: false,
            astray: false,
            maker: Maker::this(),
        }
    }

    pub(super) fn is_at(&mut self, here: Option<fn() -> String>) {
        self.here = here;
    }

    pub(super) fn set_step_timeout(&mut self, timeout: Duration) {
        self.step_timeout = Some(timeout);
    }

    /// The deadline of a step that begins now.
    #[inline]
    pub(super) fn until(&self) -> WaitLimit {
        self.step_timeout.map_or(WaitLimit::Done, M::within)
    }

    /// Stages the value of this step, unless a part of it is sent already.
    #[inline]
    pub(super) fn stage_value<T: Serialize>(&mut self, value: &T) -> Result<(), Error> {
        if self.begun {
            return Ok(());
        }
        self.sender.parts().1.stage(value)
    }

    pub(super) fn stage_branch(&mut self, index: u32) -> Result<(), Error> {
        // A varint of at most five bytes.
        let (mut frame, mut len, mut rest) = ([BRANCH, 0, 0, 0, 0, 0], 1, index);
        for (byte, at) in frame.iter_mut().skip(1).zip(2..) {
            let [low, ..] = rest.to_le_bytes();
            (len, rest) = (at, rest >> 7);
            *byte = if rest > 0 { low | 0x80 } else { low & 0x7F };
            if rest == 0 {
                break;
            }
        }
        self.sender.parts().1.stage_bytes(frame.get(..len).unwrap_or_default())
    }

    pub(super) fn stage_plan(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sender.parts().1.stage_bytes(&[&[PLAN], bytes].concat())
    }

    /// The value of this step is on its way: the next step has another one.
    #[inline]
    pub(super) fn value_is_said(&mut self) {
        self.begun = false;
    }

    /// Withdraws the value of this step if none of it is sent.
    pub(super) fn withdraw(&mut self, error: Error) -> Error {
        let error = self.sender.parts().1.withdraw(error);
        self.begun = error.is_half_sent();
        error
    }

    /// Writes what is staged.
    #[inline]
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        until: WaitLimit,
    ) -> Poll<Result<(), Error>> {
        let sent = ready!(
            self.sender
                .poll_write_out_by(cx, |io, cx, bytes| io.poll_write_until(cx, bytes, until))
        );
        Poll::Ready(sent.map_err(|error| self.last_words(error)))
    }

    /// Writes what is staged, and waits for the next frame.
    #[inline]
    pub(super) fn poll_hear(
        &mut self,
        cx: &mut Context<'_>,
        until: WaitLimit,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_flush(cx, until))?;
        if self.astray {
            return Poll::Ready(Err(Error::new(Operation::Receive, FrameError::Poisoned)));
        }
        if !self.found {
            ready!(self.receiver.poll_fill_in_mode(cx, until))?;
            self.found = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes a plan, and takes in the other one, for which there may be no room in between.
    pub(super) fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        until: WaitLimit,
    ) -> Poll<Result<(), Error>> {
        let Self { sender, receiver, .. } = self;
        ready!(sender.poll_write_out_by(cx, |io, cx, bytes| {
            io.poll_write_or_take_in(receiver.io_mut(), MAX_TAKEN_IN, cx, bytes, until)
        }))?;
        self.poll_hear(cx, until)
    }

    /// The value in the frame that has arrived.
    #[inline]
    pub(super) fn take<T: for<'de> Deserialize<'de>>(&mut self, kind: u8) -> Result<T, Error> {
        self.found = false;
        let taken = match expect(self.receiver.parts().1.bytes()?, kind) {
            Ok(_) => self.receiver.parts().1.message(),
            Err(cause) => Err(self.failed(Operation::Receive, cause)),
        };
        self.astray = taken.is_err();
        taken
    }

    /// The bytes in the frame that has arrived.
    pub(super) fn take_plan(&mut self) -> Result<Vec<u8>, Error> {
        self.found = false;
        match expect(self.receiver.parts().1.bytes()?, PLAN) {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(cause) => Err(self.failed(Operation::Agree, cause)),
        }
    }

    /// The error of a step to which something came that the protocol does not have there.
    pub(super) fn stray(&mut self, what: String) -> Error {
        self.astray = true;
        self.failed(Operation::Receive, Cause::Stray(what))
    }

    pub(super) fn failed(&self, operation: Operation, cause: Cause) -> Error {
        Error::new(operation, cause).at(self.receiver.get_ref().shared_path())
    }

    /// A side that has left may have said so before it closed its end.
    #[cold]
    fn last_words(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::Disconnected || self.found {
            return error;
        }
        let filled = complete_by(|cx| self.receiver.poll_fill_in_mode(cx, WaitLimit::Now));
        if filled.is_err() {
            return error;
        }
        match self.receiver.parts().1.bytes().map(|frame| expect(frame, VALUE)) {
            Ok(Err(cause @ (Cause::Abandoned(_) | Cause::PeerPanicked(_)))) => {
                self.astray = true;
                self.failed(error.operation(), cause)
            }
            _ => error,
        }
    }

    /// Says that this side leaves before the end, if there is room for it.
    fn say_left(&mut self, here: String) {
        let why = if thread::panicking() { PANICKED } else { DROPPED };
        let words = [&[LEFT, why], short_text::cut(&here, u8::MAX).as_bytes()].concat();
        let _ = self.sender.parts().1.stage_bytes(&words);
    }
}

/// What a frame says, if it is of the kind that the protocol has here.
#[inline]
fn expect(frame: &[u8], kind: u8) -> Result<&[u8], Cause> {
    match frame.split_first() {
        Some((first, rest)) if *first == kind => Ok(rest),
        _ => Err(other(frame)),
    }
}

#[cold]
fn other(frame: &[u8]) -> Cause {
    let there = |words: &[u8]| short_text::cut(&String::from_utf8_lossy(words), u8::MAX).to_owned();
    match frame {
        [LEFT, PANICKED, words @ ..] => Cause::PeerPanicked(there(words)),
        [LEFT, _, words @ ..] => Cause::Abandoned(there(words)),
        [VALUE, ..] => Cause::Stray("a value".into()),
        [BRANCH, ..] => Cause::Stray("a choice".into()),
        [PLAN, ..] => Cause::Stray("a plan".into()),
        _ => Cause::Stray("no frame of a session".into()),
    }
}

/// Never waits.
impl<M: Mode> Drop for Line<M> {
    fn drop(&mut self) {
        if !self.maker.is_this() {
            return;
        }
        if let Some(here) = self.here {
            self.say_left(here());
        }
        let (io, outgoing) = self.sender.parts();
        while let Some(bytes) = outgoing.pending() {
            match M::write_now(io.io_mut(), bytes) {
                Ok(written) if written > 0 && outgoing.note(Ok(written)).is_ok() => {}
                _ => break,
            }
        }
    }
}

impl<M: Mode> fmt::Debug for Line<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("io", &self.receiver).finish_non_exhaustive()
    }
}
