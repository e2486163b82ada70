//! One connection of a client, which calls of several threads share.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::Duration;

use super::{ANSWERED, Answer, DONE, PANICKED, Request};
use crate::channel::{Receivable, Sendable};
use crate::dialog::{ReceivingHalf, SendingHalf};
use crate::error::{Cause, Error, ErrorKind, Obstacle, Operation};
use crate::path::PipePath;
use crate::state::{Blocking, Mode};
use crate::sys::Until;
use crate::wait::half::WriteWithin as _;
use crate::wait::{left, sooner, until_changed};
use crate::wire::{Codec, Framing};

/// The bytes that are kept of what comes in while a request is sent.
const INCOMING: usize = 16 << 20;

/// How long a thread that sends waits for room before it looks who receives.
const LOOK_AT_READERS: Duration = Duration::from_millis(20);

/// A connection. Each caller sends by itself; one of those that wait for an answer reads for all of them. Where nobody
/// waits for one, who sends and finds no room takes in what comes: a service that sends an answer which nobody wants
/// any more would not read the request else.
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
    /// `None` while a caller receives, or takes in what comes.
    receiver: Option<ReceivingHalf<Answer<Resp>, F, C, M>>,
    /// The calls that wait.
    calls: BTreeMap<u64, Place<Resp>>,
    next: u64,
    /// How many threads wait to receive.
    waiting: usize,
    /// Whether nothing can be sent any more. What was sent before may still be answered.
    shut: bool,
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
    fn lose(&mut self, why: Lost) {
        self.shut = true;
        self.lost = Some(why);
    }

    /// The answer of a call, or why there will be none.
    fn look(&mut self, number: u64) -> Option<Result<Answer<Resp>, Error>> {
        if let Some(answer) = self.calls.get_mut(&number).and_then(|place| place.answer.take()) {
            return Some(Ok(answer));
        }
        self.lost.map(|lost| Err(lost.error()))
    }

    /// Notes what was received. An error that ends this caller's wait alone is given back.
    fn note(&mut self, received: Result<Answer<Resp>, Error>) -> Result<(), Error> {
        match received {
            Ok(answer) => {
                // The answer of a call that gave up is of no use to anybody.
                if let Some(place) = self.calls.get_mut(&answer.0) {
                    place.answer = Some(answer);
                    place.task.take().into_iter().for_each(Waker::wake);
                }
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::TimedOut => Err(unanswered()),
                ErrorKind::Stopped => Err(error.delivered()),
                kind => {
                    self.lose(match kind {
                        ErrorKind::Finished => Lost::Finished,
                        ErrorKind::Decode | ErrorKind::Corrupt | ErrorKind::TooLarge => {
                            Lost::Garbled
                        }
                        _ => Lost::Disconnected,
                    });
                    Ok(())
                }
            },
        }
    }

    /// Wakes the tasks that may go on.
    fn wake(&mut self) {
        if self.sender.is_some() || self.shut {
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

/// Why no answer comes any more.
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
                waiting: 0,
                shut: false,
                lost: None,
                senders: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.lock().shut
    }

    /// Begins a call if it is its turn to send.
    fn begin(&self, shared: &mut Shared<Req, Resp, F, C, M>) -> Begun<'_, Req, Resp, F, C, M> {
        if shared.shut {
            let gone = io::Error::from(io::ErrorKind::BrokenPipe);
            return Err(match shared.lost {
                Some(Lost::Finished) => Error::new(Operation::Call, Cause::NeverTaken),
                _ => Error::new(Operation::Call, gone),
            });
        }
        let Some(sender) = shared.sender.take() else { return Ok(None) };
        let number = shared.next;
        shared.next += 1;
        shared.calls.insert(number, Place { answer: None, task: None });
        // It goes back however this ends, even by a panic of the caller's `Serialize`.
        Ok(Some(Halves::new(self, number, Some(sender), None)))
    }

    /// Notes what sending a request has come to, once the halves are back. Where nothing can be sent any more, answers
    /// may still have come.
    pub(crate) fn sent(&self, sent: Result<(), Error>) -> Result<(), Error> {
        sent.map_err(|error| {
            if error.is_fatal() {
                let mut shared = self.lock();
                shared.shut = true;
                shared.wake();
                self.changed.notify_all();
            }
            // What is left of it goes with the next call, unless nobody is there to take it.
            if error.is_half_sent() && !error.is_fatal() { error.delivered() } else { error }
        })
    }
}

impl<Req, Resp, F, C, M: Mode> Link<Req, Resp, F, C, M> {
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
            return Poll::Ready(Ok(Turn::Read(Halves::new(self, number, None, Some(receiver)))));
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
        let sent = self.send(wanted, request, until);
        let answer = sent.and_then(|call| self.await_answer(call.number, until));
        answer.and_then(outcome).map_err(|error| error.at(Some(path.shared())))
    }

    /// Sends a request when it is its turn.
    fn send(
        &self,
        wanted: u8,
        request: &Req,
        until: Until,
    ) -> Result<Call<'_, Req, Resp, F, C>, Error> {
        let mut shared = self.lock();
        let mut halves = loop {
            if let Some(begun) = self.begin(&mut shared)? {
                break begun;
            }
            let in_time;
            (shared, in_time) = until_changed(&self.changed, shared, until);
            if !in_time {
                return Err(not_sent());
            }
        };
        drop(shared);
        let call = Call::new(self, halves.number);
        let sent = halves.send(&(call.number, wanted, request), until);
        drop(halves);
        self.sent(sent).map(|()| call)
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
                shared.waiting += 1;
                (shared, in_time) = until_changed(&self.changed, shared, until);
                shared.waiting -= 1;
                if in_time {
                    continue;
                }
                return Err(unanswered());
            };
            drop(shared);
            let mut halves = Halves::new(self, number, None, Some(receiver));
            let received = halves.receive(until);
            halves.received(received)?;
            shared = self.lock();
        }
    }

    /// Gives what is received with to a thread that waits for it, or takes it if nobody does.
    fn hand_over(&self, receiver: &mut Option<ReceivingHalf<Answer<Resp>, F, C>>) {
        let mut shared = self.lock();
        match (shared.waiting, receiver.take()) {
            (0, mine) => *receiver = mine.or_else(|| shared.receiver.take()),
            (_, Some(mine)) => {
                shared.receiver = Some(mine);
                self.changed.notify_all();
            }
            (_, None) => {}
        }
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

/// A call that has begun. However it ends, nobody waits for its answer once this is dropped.
pub(crate) struct Call<'a, Req, Resp, F, C, M: Mode = Blocking> {
    link: &'a Link<Req, Resp, F, C, M>,
    number: u64,
}

impl<'a, Req, Resp, F, C, M: Mode> Call<'a, Req, Resp, F, C, M> {
    pub(crate) fn new(link: &'a Link<Req, Resp, F, C, M>, number: u64) -> Self {
        Self { link, number }
    }
}

impl<Req, Resp, F, C, M: Mode> Drop for Call<'_, Req, Resp, F, C, M> {
    fn drop(&mut self) {
        let mut shared = self.link.lock();
        shared.calls.remove(&self.number);
        // It may have been the one that was to read next.
        shared.wake();
        drop(shared);
        self.link.changed.notify_all();
    }
}

/// The halves that a caller uses, until this is dropped.
pub(crate) struct Halves<'a, Req, Resp, F, C, M: Mode = Blocking> {
    link: &'a Link<Req, Resp, F, C, M>,
    pub(crate) number: u64,
    pub(crate) sender: Option<SendingHalf<Request<Req>, F, C, M>>,
    receiver: Option<ReceivingHalf<Answer<Resp>, F, C, M>>,
    /// Whether an answer is being read: what ends that but a return is a panic.
    reading: bool,
}

impl<'a, Req, Resp, F, C, M: Mode> Halves<'a, Req, Resp, F, C, M> {
    fn new(
        link: &'a Link<Req, Resp, F, C, M>,
        number: u64,
        sender: Option<SendingHalf<Request<Req>, F, C, M>>,
        receiver: Option<ReceivingHalf<Answer<Resp>, F, C, M>>,
    ) -> Self {
        Self { link, number, sender, receiver, reading: false }
    }

    /// Reads with what receives, if it is here.
    pub(crate) fn read<T>(
        &mut self,
        read: impl FnOnce(&mut ReceivingHalf<Answer<Resp>, F, C, M>) -> T,
    ) -> Option<T> {
        let receiver = self.receiver.as_mut()?;
        self.reading = true;
        let done = read(receiver);
        self.reading = false;
        Some(done)
    }

    /// Gives the halves back at once with what was received: whoever reads next must not wait for what is here already.
    pub(crate) fn received(mut self, received: Result<Answer<Resp>, Error>) -> Result<(), Error> {
        let mut shared = self.link.lock();
        self.give_back(&mut shared);
        let noted = shared.note(received);
        shared.wake();
        drop(shared);
        self.link.changed.notify_all();
        noted
    }

    fn give_back(&mut self, shared: &mut Shared<Req, Resp, F, C, M>) {
        if let Some(sender) = self.sender.take() {
            shared.sender = Some(sender);
        }
        if let Some(receiver) = self.receiver.take() {
            shared.receiver = Some(receiver);
        }
    }
}

#[cfg(feature = "tokio")]
impl<Req, Resp, F, C, M: Mode> Halves<'_, Req, Resp, F, C, M> {
    /// Receives beside sending where nobody does, or wakes the task when that may be so.
    pub(crate) fn poll_take_over(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.receiver.is_some() {
            return Poll::Ready(());
        }
        let mut shared = self.link.lock();
        self.receiver = shared.receiver.take();
        if self.receiver.is_some() {
            return Poll::Ready(());
        }
        if let Some(place) = shared.calls.get_mut(&self.number) {
            place.task = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Hands out what was received, and keeps the halves.
    pub(crate) fn hand_out(&self, received: Result<Answer<Resp>, Error>) {
        let mut shared = self.link.lock();
        // An error that is this caller's own comes again when it has sent.
        let _ = shared.note(received);
        shared.wake();
    }
}

impl<Req: Sendable, Resp: Receivable, F: Framing, C: Codec> Halves<'_, Req, Resp, F, C> {
    /// Sends a request. Where nobody else receives, answers that come meanwhile are kept.
    fn send(&mut self, request: &Request<&Req>, until: Until) -> Result<(), Error> {
        let Self { link, sender: Some(sender), receiver, .. } = self else { return Ok(()) };
        sender.send_by(request, |io, bytes| {
            loop {
                let soon = sooner(until, LOOK_AT_READERS);
                let written = match receiver {
                    Some(receiver) => io.write_or_take_in(receiver.io_mut(), INCOMING, bytes, soon),
                    None => io.write_until(bytes, soon),
                };
                match written {
                    Err(error)
                        if error.kind() == io::ErrorKind::TimedOut && !left(until).is_zero() => {}
                    done => return done,
                }
                link.hand_over(receiver);
            }
        })
    }

    fn receive(&mut self, until: Until) -> Result<Answer<Resp>, Error> {
        let received = self.read(|receiver| receiver.recv_until(until));
        received.unwrap_or_else(|| Err(Error::new(Operation::Call, Cause::Unanswered)))
    }
}

impl<Req, Resp, F, C, M: Mode> Drop for Halves<'_, Req, Resp, F, C, M> {
    fn drop(&mut self) {
        if self.sender.is_some() || self.receiver.is_some() {
            let mut shared = self.link.lock();
            if self.reading {
                // By the caller's `Deserialize`, on an answer that may be another call's: that one has lost it.
                shared.lose(Lost::Garbled);
            }
            self.give_back(&mut shared);
            shared.wake();
            drop(shared);
            self.link.changed.notify_all();
        }
    }
}
