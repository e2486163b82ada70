//! One connection of a client, which calls of several threads share.

use std::collections::BTreeMap;
use std::io;
#[cfg(feature = "tokio")]
use std::sync::Arc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use super::given::Given;
#[cfg(feature = "tokio")]
use super::tasks::Tasks;
use super::{ANSWERED, Answer, DONE, PANICKED, Request};
use crate::channel::{Receivable, Sendable};
use crate::connection::WriteHalf;
use crate::error::{Cause, Error, ErrorKind, Obstacle, Operation};
use crate::path::PipePath;
use crate::state::{Blocking, Mode, complete_by};
use crate::sys::WaitLimit;
use crate::typed_connection::{ReceivingHalf, SendingHalf};
use crate::wait::{left, sooner, until_changed};
use crate::wire::{Codec, Framing};

/// The bytes that are kept of what comes in while a request is sent.
const INCOMING: usize = 16 << 20;

/// How long a thread that sends waits for room before it looks who receives.
const LOOK_AT_READERS: Duration = Duration::from_millis(20);

/// A connection. Each thread sends by itself; one of those that wait for an answer reads for all of them. With no
/// reader waiting, a blocked sender drains incoming bytes, to avoid a deadlock: a service that sends an abandoned
/// answer would not read the request otherwise.
///
/// Tasks take nothing away: whichever is polled sends and receives for all of them, in place.
#[derive(Debug)]
pub(crate) struct Link<Req, Resp, F, C, M: Mode = Blocking> {
    shared: Mutex<LinkState<Req, Resp, F, C, M>>,
    /// Notified when an answer came, or a half is free again.
    changed: Condvar,
    /// The tasks of calls.
    #[cfg(feature = "tokio")]
    tasks: Arc<Tasks>,
}

#[derive(Debug)]
pub(crate) struct LinkState<Req, Resp, F, C, M: Mode> {
    /// `None` while a thread sends.
    pub(crate) sender: Option<SendingHalf<Request<Req>, F, C, M>>,
    /// `None` while a thread receives, or takes in what comes.
    pub(crate) receiver: Option<ReceivingHalf<Answer<Resp>, F, C, M>>,
    /// The calls that have begun, and what each has come to.
    calls: BTreeMap<u64, Option<Result<Answer<Resp>, Error>>>,
    next: u64,
    /// How many threads wait to receive.
    waiting: usize,
    /// The call whose request tasks are sending.
    #[cfg(feature = "tokio")]
    pub(crate) sending: Option<u64>,
    /// Whether a task waits until that one is sent.
    #[cfg(feature = "tokio")]
    pub(crate) turn_awaited: bool,
    /// Whether nothing can be sent any more. What was sent before may still be answered.
    shut: bool,
    lost: Option<Lost>,
}

impl<Req, Resp, F, C, M: Mode> LinkState<Req, Resp, F, C, M> {
    /// Takes a place for a call.
    pub(crate) fn enter(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.calls.insert(number, None);
        number
    }

    /// Nobody waits for the answer any more. One that has come is not to be dropped under the lock: that may call again.
    pub(crate) fn leave(&mut self, number: u64) -> Option<Result<Answer<Resp>, Error>> {
        self.calls.remove(&number).flatten()
    }

    /// Fails where no call can begin.
    pub(crate) fn ensure_open(&self) -> Result<(), Error> {
        if !self.shut {
            return Ok(());
        }
        let gone = io::Error::from(io::ErrorKind::BrokenPipe);
        Err(match self.lost {
            Some(Lost::Finished) => Error::new(Operation::Call, Cause::NeverTaken),
            _ => Error::new(Operation::Call, gone),
        })
    }

    fn disconnect(&mut self, why: Lost) {
        self.shut = true;
        self.lost = Some(why);
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// The answer of a call, or why there will be none.
    pub(crate) fn look(&mut self, number: u64) -> Option<Result<Answer<Resp>, Error>> {
        let found = self.calls.get_mut(&number).and_then(Option::take);
        found.or_else(|| self.lost.map(|lost| Err(lost.error())))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn is_settled(&self, number: u64) -> bool {
        self.calls.get(&number).is_some_and(Option::is_some)
    }

    /// Notes what a call has come to. That of one that gave up is of no use to anybody, and is given back.
    pub(crate) fn settle(
        &mut self,
        number: u64,
        outcome: Result<Answer<Resp>, Error>,
    ) -> Option<Result<Answer<Resp>, Error>> {
        match self.calls.get_mut(&number) {
            Some(place) => place.replace(outcome),
            None => Some(outcome),
        }
    }

    /// Notes what was received. An answer that nobody waits for is given back, not to be dropped under the lock, and so is an
    /// error that ends this caller's wait alone.
    pub(crate) fn note(
        &mut self,
        received: Result<Answer<Resp>, Error>,
    ) -> Result<Option<Answer<Resp>>, Error> {
        match received {
            Ok(answer) => self.settle(answer.0, Ok(answer)).transpose(),
            Err(error) => match error.kind() {
                ErrorKind::TimedOut => Err(unanswered()),
                ErrorKind::Cancelled => Err(error.delivered()),
                kind => {
                    self.disconnect(match kind {
                        ErrorKind::Finished => Lost::Finished,
                        ErrorKind::Decode | ErrorKind::Corrupt | ErrorKind::TooLarge => {
                            Lost::Garbled
                        }
                        _ => Lost::Disconnected,
                    });
                    Ok(None)
                }
            },
        }
    }

    /// Notes why a request was not sent. Where nothing can be sent any more, answers may still have come.
    pub(crate) fn sending_failed(&mut self, error: Error) -> Error {
        self.shut |= error.is_fatal();
        // What is left of it goes with the next call, unless nobody is there to take it.
        if error.is_half_sent() && !error.is_fatal() { error.delivered() } else { error }
    }

    /// Reads an answer with the caller's own code. If that panics, on an answer that may be another call's, that one has
    /// lost it.
    #[cfg(feature = "tokio")]
    pub(crate) fn reading<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = (self.shut, self.lost);
        self.disconnect(Lost::Garbled);
        let done = read(self);
        (self.shut, self.lost) = before;
        done
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
            shared: Mutex::new(LinkState {
                sender: Some(sender),
                receiver: Some(receiver),
                calls: BTreeMap::new(),
                next: 0,
                waiting: 0,
                #[cfg(feature = "tokio")]
                sending: None,
                #[cfg(feature = "tokio")]
                turn_awaited: false,
                shut: false,
                lost: None,
            }),
            changed: Condvar::new(),
            #[cfg(feature = "tokio")]
            tasks: Arc::default(),
        }
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.lock().shut
    }
}

impl<Req, Resp, F, C, M: Mode> Link<Req, Resp, F, C, M> {
    pub(crate) fn lock(&self) -> Guard<'_, Req, Resp, F, C, M> {
        // Whatever a thread that panicked did: it is whole between any two calls.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn tasks(&self) -> &Arc<Tasks> {
        &self.tasks
    }
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
        until: WaitLimit,
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
        until: WaitLimit,
    ) -> Result<Call<'_, Req, Resp, F, C>, Error> {
        let mut shared = self.lock();
        let (call, mut halves) = loop {
            shared.ensure_open()?;
            if let Some(sender) = shared.sender.take() {
                // It goes back however this ends, even by a panic of the caller's `Serialize`.
                break (shared.enter(), Halves::new(self, Some(sender), None));
            }
            let in_time;
            (shared, in_time) = until_changed(&self.changed, shared, until);
            if !in_time {
                return Err(not_sent());
            }
        };
        drop(shared);
        let call = Call { link: self, number: call };
        let sent = halves.send(&(call.number, wanted, request), until);
        drop(halves);
        sent.map(|()| call).map_err(|error| {
            let error = self.lock().sending_failed(error);
            self.changed.notify_all();
            error
        })
    }

    /// Waits until the answer of a call is there: reads it, or lets another caller read.
    fn await_answer(&self, number: u64, until: WaitLimit) -> Result<Answer<Resp>, Error> {
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
            let mut halves = Halves::new(self, None, Some(receiver));
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

type Guard<'a, Req, Resp, F, C, M = Blocking> = MutexGuard<'a, LinkState<Req, Resp, F, C, M>>;

/// What an answer means to its caller.
pub(crate) fn outcome<Resp>(
    (_, outcome, Given(value), words): Answer<Resp>,
) -> Result<Option<Resp>, Error> {
    let failed = |cause| Err(Error::new(Operation::Call, cause).delivered());
    match outcome {
        ANSWERED | DONE => Ok(value),
        PANICKED => failed(Cause::HandlerPanicked(words)),
        _ => failed(Cause::HandlerFailed(words)),
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

/// A call of a thread. However it ends, nobody waits for its answer once this is dropped.
struct Call<'a, Req, Resp, F, C> {
    link: &'a Link<Req, Resp, F, C>,
    number: u64,
}

impl<Req, Resp, F, C> Drop for Call<'_, Req, Resp, F, C> {
    fn drop(&mut self) {
        let left = self.link.lock().leave(self.number);
        drop(left);
        // It may have been the one that was to read next.
        self.link.changed.notify_all();
    }
}

/// The halves that a thread uses, until this is dropped.
struct Halves<'a, Req, Resp, F, C> {
    link: &'a Link<Req, Resp, F, C>,
    sender: Option<SendingHalf<Request<Req>, F, C>>,
    receiver: Option<ReceivingHalf<Answer<Resp>, F, C>>,
    /// Whether an answer is being read: what ends that but a return is a panic.
    reading: bool,
}

impl<'a, Req, Resp, F, C> Halves<'a, Req, Resp, F, C> {
    fn new(
        link: &'a Link<Req, Resp, F, C>,
        sender: Option<SendingHalf<Request<Req>, F, C>>,
        receiver: Option<ReceivingHalf<Answer<Resp>, F, C>>,
    ) -> Self {
        Self { link, sender, receiver, reading: false }
    }

    /// Gives the halves back at once with what was received: the next reader must not wait for what is here already.
    fn received(mut self, received: Result<Answer<Resp>, Error>) -> Result<(), Error> {
        let mut shared = self.link.lock();
        self.give_back(&mut shared);
        let noted = shared.note(received);
        drop(shared);
        self.link.changed.notify_all();
        noted.map(drop)
    }

    fn give_back(&mut self, shared: &mut LinkState<Req, Resp, F, C, Blocking>) {
        if let Some(sender) = self.sender.take() {
            shared.sender = Some(sender);
        }
        if let Some(receiver) = self.receiver.take() {
            shared.receiver = Some(receiver);
        }
    }
}

impl<Req: Sendable, Resp: Receivable, F: Framing, C: Codec> Halves<'_, Req, Resp, F, C> {
    /// Sends a request. Where nobody else receives, answers that come meanwhile are kept.
    fn send(&mut self, request: &Request<&Req>, until: WaitLimit) -> Result<(), Error> {
        let Self { link, sender: Some(sender), receiver, .. } = self else { return Ok(()) };
        sender.parts().1.stage(request)?;
        let mut write = |io: &mut WriteHalf, cx: &mut Context<'_>, bytes: &[u8]| loop {
            let soon = sooner(until, LOOK_AT_READERS);
            let written = match receiver {
                Some(receiver) => {
                    io.poll_write_or_take_in(receiver.io_mut(), INCOMING, cx, bytes, soon)
                }
                None => io.poll_write_until(cx, bytes, soon),
            };
            match written {
                Poll::Ready(Err(error))
                    if error.kind() == io::ErrorKind::TimedOut && !left(until).is_zero() => {}
                done => return done,
            }
            link.hand_over(receiver);
        };
        complete_by(|cx| sender.poll_write_or_withdraw_by(cx, &mut write))
    }

    fn receive(&mut self, until: WaitLimit) -> Result<Answer<Resp>, Error> {
        let Some(receiver) = &mut self.receiver else {
            return Err(Error::new(Operation::Call, Cause::Unanswered));
        };
        self.reading = true;
        let received = receiver.recv_until(until);
        self.reading = false;
        received
    }
}

impl<Req, Resp, F, C> Drop for Halves<'_, Req, Resp, F, C> {
    fn drop(&mut self) {
        if self.sender.is_some() || self.receiver.is_some() {
            let mut shared = self.link.lock();
            if self.reading {
                // By the caller's `Deserialize`, on an answer that may be another call's: that one has lost it.
                shared.disconnect(Lost::Garbled);
            }
            self.give_back(&mut shared);
            drop(shared);
            self.link.changed.notify_all();
        }
    }
}
