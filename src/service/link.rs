//! One connection of a client, which calls of several threads share.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{ANSWERED, Answer, DONE, PANICKED, Request};
use crate::channel::{Receivable, Sendable};
use crate::dialog::{ReceivingHalf, SendingHalf};
use crate::error::{Cause, Error, ErrorKind, Obstacle, Operation};
use crate::path::PipePath;
use crate::state::{Blocking, Mode};
use crate::sys::Until;
use crate::wait::half::WriteWithin as _;
use crate::wire::{Codec, Framing};

/// The bytes that are kept of what comes in while a request is sent.
const INCOMING: usize = 16 << 20;

/// A connection. Each caller sends by itself; one of those that wait for an answer reads for all of them.
#[derive(Debug)]
pub(crate) struct Link<Req, Resp, F, C, M: Mode = Blocking> {
    shared: Mutex<Shared<Req, Resp, F, C, M>>,
    /// Notified when an answer came, or a half is free again.
    changed: Condvar,
}

#[derive(Debug)]
struct Shared<Req, Resp, F, C, M: Mode> {
    /// `None` while a caller sends.
    sender: Option<SendingHalf<Request<Req>, F, C, M>>,
    /// `None` while a caller receives.
    receiver: Option<ReceivingHalf<Answer<Resp>, F, C, M>>,
    /// The calls that wait.
    calls: BTreeMap<u64, Place<Resp>>,
    next: u64,
    lost: Option<Lost>,
    /// The tasks that wait for the sender.
    senders: Vec<Waker>,
}

/// Where one call waits.
#[derive(Debug)]
struct Place<Resp> {
    answer: Option<Answer<Resp>>,
    /// The task of the call.
    task: Option<Waker>,
}

impl<Req, Resp, F, C, M: Mode> Shared<Req, Resp, F, C, M> {
    /// The answer of a call, or why there will be none.
    fn look(&mut self, number: u64) -> Option<Result<Answer<Resp>, Error>> {
        if let Some(answer) = self.calls.get_mut(&number).and_then(|place| place.answer.take()) {
            return Some(Ok(answer));
        }
        self.lost.map(|lost| Err(lost.error()))
    }

    /// Wakes the tasks that may go on.
    fn wake(&mut self) {
        if self.sender.is_some() || self.lost.is_some() {
            self.senders.drain(..).for_each(Waker::wake);
        }
        let (free, lost) = (self.receiver.is_some(), self.lost.is_some());
        let mut waiting = self.calls.values_mut();
        if lost {
            waiting.filter_map(|place| place.task.take()).for_each(Waker::wake);
        } else if free {
            // One will do: it reads for all of them.
            let reader = waiting.find(|place| place.answer.is_none() && place.task.is_some());
            reader.and_then(|place| place.task.take()).into_iter().for_each(Waker::wake);
        }
    }
}

/// Why nothing can be called any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// The service said goodbye: what it had not answered, it had not taken.
    Finished,
    Disconnected,
    /// What came in cannot be read.
    Garbled,
}

impl Lost {
    /// The error of a call that waits for its answer.
    fn error(self) -> Error {
        match self {
            Self::Finished => Error::new(Operation::Call, Cause::NeverTaken),
            Self::Disconnected => Error::new(Operation::Call, Cause::Unanswered).delivered(),
            Self::Garbled => Error::new(Operation::Call, Cause::Garbled).delivered(),
        }
    }
}

impl<Req, Resp, F, C, M> Link<Req, Resp, F, C, M>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing,
    C: Codec,
    M: Mode,
{
    pub(crate) fn new(
        sender: SendingHalf<Request<Req>, F, C, M>,
        receiver: ReceivingHalf<Answer<Resp>, F, C, M>,
    ) -> Self {
        Self {
            shared: Mutex::new(Shared {
                sender: Some(sender),
                receiver: Some(receiver),
                calls: BTreeMap::new(),
                next: 0,
                lost: None,
                senders: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lock().lost.is_some()
    }

    /// Begins a call if it is its turn to send, with the halves that it needs for that.
    fn begin(&self, shared: &mut Shared<Req, Resp, F, C, M>) -> Begun<'_, Req, Resp, F, C, M> {
        if shared.lost.is_some() {
            return Err(Error::new(Operation::Call, Cause::NeverTaken));
        }
        let Some(sender) = shared.sender.take() else { return Ok(None) };
        let number = shared.next;
        shared.next += 1;
        shared.calls.insert(number, Place { answer: None, task: None });
        let receiver = shared.receiver.take();
        // They go back however this ends, even by a panic of the caller's `Serialize`.
        Ok(Some(Halves { link: self, number, sender: Some(sender), receiver }))
    }

    /// Notes what sending a request has come to, once the halves are back.
    pub(crate) fn sent(&self, number: u64, sent: Result<(), Error>) -> Result<(), Error> {
        sent.map_err(|error| {
            let mut shared = self.lock();
            shared.calls.remove(&number);
            if error.is_fatal() {
                shared.lost.get_or_insert(Lost::Disconnected);
                shared.wake();
                self.changed.notify_all();
            }
            // What is left of it goes with the next call, unless nobody is there to take it.
            if error.is_half_sent() && !error.is_fatal() { error.delivered() } else { error }
        })
    }

    /// Notes what was received. An error ends this caller's wait alone.
    pub(crate) fn received(&self, received: Result<Answer<Resp>, Error>) -> Result<(), Error> {
        let mut shared = self.lock();
        match received {
            Ok(answer) => {
                // The answer of a call that gave up is of no use to anybody.
                if let Some(place) = shared.calls.get_mut(&answer.0) {
                    place.answer = Some(answer);
                    place.task.take().into_iter().for_each(Waker::wake);
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::TimedOut => return Err(unanswered()),
                ErrorKind::Stopped => return Err(error.delivered()),
                kind => {
                    shared.lost = Some(match kind {
                        ErrorKind::Finished => Lost::Finished,
                        ErrorKind::Decode | ErrorKind::Corrupt | ErrorKind::TooLarge => {
                            Lost::Garbled
                        }
                        _ => Lost::Disconnected,
                    });
                    shared.wake();
                }
            },
        }
        drop(shared);
        self.changed.notify_all();
        Ok(())
    }

    /// Nobody waits for the answer of a call any more.
    pub(crate) fn forget(&self, number: u64) {
        let mut shared = self.lock();
        shared.calls.remove(&number);
        // It may have been the one that was to read next.
        shared.wake();
    }

    fn lock(&self) -> Guard<'_, Req, Resp, F, C, M> {
        // Whatever a thread that panicked did: it is whole between any two calls.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "tokio")]
impl<Req, Resp, F, C, M> Link<Req, Resp, F, C, M>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing,
    C: Codec,
    M: Mode,
{
    /// Begins a call when it is its turn to send.
    pub(crate) fn poll_begin(&self, cx: &Context<'_>) -> PollBegun<'_, Req, Resp, F, C, M> {
        let mut shared = self.lock();
        if let Some(begun) = self.begin(&mut shared)? {
            return Poll::Ready(Ok(begun));
        }
        if !shared.senders.iter().any(|known| known.will_wake(cx.waker())) {
            shared.senders.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The answer of a call, or the turn to read for all.
    pub(crate) fn poll_turn(
        &self,
        number: u64,
        cx: &Context<'_>,
    ) -> PollTurn<'_, Req, Resp, F, C, M> {
        let mut shared = self.lock();
        if let Some(found) = shared.look(number) {
            return Poll::Ready(found.map(Turn::Over));
        }
        if let Some(receiver) = shared.receiver.take() {
            let halves = Halves { link: self, number, sender: None, receiver: Some(receiver) };
            return Poll::Ready(Ok(Turn::Read(halves)));
        }
        if let Some(place) = shared.calls.get_mut(&number) {
            place.task = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// What a call does next that has sent its request.
#[cfg(feature = "tokio")]
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(crate) enum Turn<'a, Req, Resp, F, C, M: Mode> {
    Over(Answer<Resp>),
    Read(Halves<'a, Req, Resp, F, C, M>),
}

impl<Req, Resp, F, C> Link<Req, Resp, F, C>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing,
    C: Codec,
{
    /// Sends a request, and waits for its answer.
    pub(super) fn call(
        &self,
        wanted: u8,
        request: &Req,
        until: Until,
        path: &PipePath,
    ) -> Result<Option<Resp>, Error> {
        let answer = self.send(wanted, request, until).and_then(|number| {
            let answer = self.await_answer(number, until);
            self.forget(number);
            answer
        });
        answer.and_then(outcome).map_err(|error| error.at(Some(path.shared())))
    }

    /// Sends a request when it is its turn, and tells its number.
    fn send(&self, wanted: u8, request: &Req, until: Until) -> Result<u64, Error> {
        let mut shared = self.lock();
        let mut halves = loop {
            if let Some(begun) = self.begin(&mut shared)? {
                break begun;
            }
            let in_time;
            (shared, in_time) = self.wait(shared, until);
            if !in_time {
                return Err(not_sent());
            }
        };
        drop(shared);
        let number = halves.number;
        let sent = halves.send(&(number, wanted, request), until);
        drop(halves);
        self.sent(number, sent).map(|()| number)
    }

    /// Waits until the answer of a call is there: reads it, or lets another caller read.
    fn await_answer(&self, number: u64, until: Until) -> Result<Answer<Resp>, Error> {
        let mut shared = self.lock();
        loop {
            if let Some(found) = shared.look(number) {
                return found;
            }
            let Some(receiver) = shared.receiver.take() else {
                let in_time;
                (shared, in_time) = self.wait(shared, until);
                if in_time {
                    continue;
                }
                return Err(unanswered());
            };
            drop(shared);
            let mut halves = Halves { link: self, number, sender: None, receiver: Some(receiver) };
            let received = halves.receive(until);
            drop(halves);
            self.received(received)?;
            shared = self.lock();
        }
    }

    /// Waits until something has changed, and tells whether that was in time.
    fn wait<'a>(
        &self,
        shared: Guard<'a, Req, Resp, F, C>,
        until: Until,
    ) -> (Guard<'a, Req, Resp, F, C>, bool) {
        let left = match until {
            Until::Done => {
                return (self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner), true);
            }
            Until::Now => Duration::ZERO,
            Until::Deadline(end) => end.saturating_duration_since(Instant::now()),
        };
        if left.is_zero() {
            return (shared, false);
        }
        let waited = self.changed.wait_timeout(shared, left);
        (waited.unwrap_or_else(PoisonError::into_inner).0, true)
    }
}

type Begun<'a, Req, Resp, F, C, M> = Result<Option<Halves<'a, Req, Resp, F, C, M>>, Error>;
#[cfg(feature = "tokio")]
type PollBegun<'a, Req, Resp, F, C, M> = Poll<Result<Halves<'a, Req, Resp, F, C, M>, Error>>;
#[cfg(feature = "tokio")]
type PollTurn<'a, Req, Resp, F, C, M> = Poll<Result<Turn<'a, Req, Resp, F, C, M>, Error>>;
type Guard<'a, Req, Resp, F, C, M = Blocking> = MutexGuard<'a, Shared<Req, Resp, F, C, M>>;

/// What an answer means to its caller.
pub(crate) fn outcome<Resp>(
    (_, outcome, value, words): Answer<Resp>,
) -> Result<Option<Resp>, Error> {
    let failed = |cause| Err(Error::new(Operation::Call, cause).delivered());
    match outcome {
        ANSWERED | DONE => Ok(value),
        PANICKED => failed(Cause::Panicked(words)),
        _ => failed(Cause::Failed(words)),
    }
}

/// The error of a call that could not be sent in time.
pub(crate) fn not_sent() -> Error {
    let late = Obstacle::TimedOut("other calls are still being sent");
    Error::new(Operation::Call, late)
}

/// The error of a call whose answer has not come in time.
pub(crate) fn unanswered() -> Error {
    let late = Obstacle::TimedOut("the service has the request, and has not answered yet");
    Error::new(Operation::Call, late).delivered()
}

/// The halves that a caller uses, until this is dropped.
pub(crate) struct Halves<'a, Req, Resp, F, C, M: Mode = Blocking> {
    link: &'a Link<Req, Resp, F, C, M>,
    pub(crate) number: u64,
    pub(crate) sender: Option<SendingHalf<Request<Req>, F, C, M>>,
    pub(crate) receiver: Option<ReceivingHalf<Answer<Resp>, F, C, M>>,
}

impl<Req: Sendable, Resp: Receivable, F: Framing, C: Codec> Halves<'_, Req, Resp, F, C> {
    /// Sends a request. Where nobody else receives, answers that come meanwhile are kept.
    fn send(&mut self, request: &Request<&Req>, until: Until) -> Result<(), Error> {
        let Some(sender) = &mut self.sender else { return Ok(()) };
        let mut receiver = self.receiver.as_mut();
        sender.send_by(request, |io, bytes| match &mut receiver {
            Some(receiver) => io.write_or_take_in(receiver.io_mut(), INCOMING, bytes, until),
            None => io.write_until(bytes, until),
        })
    }

    fn receive(&mut self, until: Until) -> Result<Answer<Resp>, Error> {
        match &mut self.receiver {
            Some(receiver) => receiver.recv_until(until),
            None => Err(Error::new(Operation::Call, Cause::Unanswered)),
        }
    }
}

impl<Req, Resp, F, C, M: Mode> Drop for Halves<'_, Req, Resp, F, C, M> {
    fn drop(&mut self) {
        let mut shared = self.link.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = self.sender.take() {
            shared.sender = Some(sender);
        }
        if let Some(receiver) = self.receiver.take() {
            shared.receiver = Some(receiver);
        }
        shared.wake();
        drop(shared);
        self.link.changed.notify_all();
    }
}
