//! One connection of a client, which calls of several threads share.

use std::collections::HashMap;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{ANSWERED, Answer, DONE, PANICKED, Request};
use crate::channel::{Receivable, Sendable};
use crate::dialog::{ReceivingHalf, SendingHalf, TypedConnection};
use crate::error::{Cause, Error, ErrorKind, Obstacle, Operation};
use crate::path::PipePath;
use crate::sys::Until;
use crate::wait::half::WriteWithin as _;
use crate::wait::{until_changed, within};
use crate::wire::{Codec, Framing};

/// The bytes that are kept of what comes in while a request is sent.
const INCOMING: usize = 16 << 20;

/// How long a caller that sends waits for room before it looks who receives.
const LOOK_AT_READERS: Duration = Duration::from_millis(20);

/// A connection. Each caller sends by itself; one of those that wait for an answer reads for all of them. Where nobody
/// waits for one, who sends and finds no room takes in what comes: a service that sends an answer which nobody wants
/// any more would not read the request else.
#[derive(Debug)]
pub(super) struct Link<Req, Resp, F, C> {
    shared: Mutex<Shared<Req, Resp, F, C>>,
    /// Notified when an answer came, or a half is free again.
    changed: Condvar,
}

#[derive(Debug)]
struct Shared<Req, Resp, F, C> {
    /// `None` while a caller sends.
    sender: Option<SendingHalf<Request<Req>, F, C>>,
    /// `None` while a caller receives, or takes in what comes.
    receiver: Option<ReceivingHalf<Answer<Resp>, F, C>>,
    /// The calls that wait, with the answers that came.
    calls: HashMap<u64, Option<Answer<Resp>>>,
    next: u64,
    /// How many callers wait to receive.
    waiting: usize,
    /// Whether nothing can be sent any more. What was sent before may still be answered.
    shut: bool,
    lost: Option<Lost>,
}

impl<Req, Resp, F, C> Shared<Req, Resp, F, C> {
    fn lose(&mut self, why: Lost) {
        self.shut = true;
        self.lost = Some(why);
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

impl<Req, Resp, F, C> Link<Req, Resp, F, C>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing,
    C: Codec,
{
    pub(super) fn new(connection: TypedConnection<Request<Req>, Answer<Resp>, F, C>) -> Self {
        let (sender, receiver) = connection.split();
        Self {
            shared: Mutex::new(Shared {
                sender: Some(sender),
                receiver: Some(receiver),
                calls: HashMap::new(),
                next: 0,
                waiting: 0,
                shut: false,
                lost: None,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn is_shut(&self) -> bool {
        self.lock().shut
    }

    /// Sends a request, and waits for its answer.
    pub(super) fn call(
        &self,
        wanted: u8,
        request: &Req,
        until: Until,
        path: &PipePath,
    ) -> Result<Option<Resp>, Error> {
        let answer =
            self.send(wanted, request, until).and_then(|number| self.await_answer(number, until));
        let failed = |cause| Err(Error::new(Operation::Call, cause).delivered());
        let called = answer.and_then(|(_, outcome, value, words)| match outcome {
            ANSWERED | DONE => Ok(value),
            PANICKED => failed(Cause::Panicked(words)),
            _ => failed(Cause::Failed(words)),
        });
        called.map_err(|error| error.at(Some(path.shared())))
    }

    /// Sends a request when it is its turn, and tells its number.
    fn send(&self, wanted: u8, request: &Req, until: Until) -> Result<u64, Error> {
        let mut shared = self.lock();
        let sender = loop {
            if shared.shut {
                let gone = io::Error::from(io::ErrorKind::BrokenPipe);
                return Err(match shared.lost {
                    Some(Lost::Finished) => Error::new(Operation::Call, Cause::NeverTaken),
                    _ => Error::new(Operation::Call, gone),
                });
            }
            if let Some(sender) = shared.sender.take() {
                break sender;
            }
            let in_time;
            (shared, in_time) = until_changed(&self.changed, shared, until);
            if !in_time {
                let late = Obstacle::TimedOut("other calls are still being sent");
                return Err(Error::new(Operation::Call, late));
            }
        };
        let number = shared.next;
        shared.next += 1;
        shared.calls.insert(number, None);
        drop(shared);

        // Goes back however this ends, even by a panic of the caller's `Serialize`.
        let mut halves = Halves { link: self, sender: Some(sender), receiver: None };
        let sent = halves.send(&(number, wanted, request), until);
        drop(halves);
        sent.map(|()| number).map_err(|error| {
            let mut shared = self.lock();
            shared.calls.remove(&number);
            if error.is_fatal() {
                shared.shut = true;
                self.changed.notify_all();
            }
            // What is left of it goes with the next call, unless nobody is there to take it.
            if error.is_half_sent() && !error.is_fatal() { error.delivered() } else { error }
        })
    }

    /// Waits until the answer of a call is there: reads it, or lets another caller read.
    fn await_answer(&self, number: u64, until: Until) -> Result<Answer<Resp>, Error> {
        let mut shared = self.lock();
        let ended = loop {
            if let Some(answer) = shared.calls.get_mut(&number).and_then(Option::take) {
                shared.calls.remove(&number);
                return Ok(answer);
            }
            if let Some(lost) = shared.lost {
                break lost.error();
            }
            let Some(receiver) = shared.receiver.take() else {
                let in_time;
                shared.waiting += 1;
                (shared, in_time) = until_changed(&self.changed, shared, until);
                shared.waiting -= 1;
                if in_time {
                    continue;
                }
                break unanswered();
            };
            drop(shared);
            let mut halves = Halves { link: self, sender: None, receiver: Some(receiver) };
            let received = halves.receive(until);
            // At once with what came: whoever reads next must not wait for what is here already.
            shared = self.lock();
            halves.give_back(&mut shared);
            match received {
                Ok(answer) => {
                    // The answer of a call that gave up is of no use to anybody.
                    if let Some(place) = shared.calls.get_mut(&answer.0) {
                        *place = Some(answer);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::TimedOut => break unanswered(),
                    ErrorKind::Stopped => break error.delivered(),
                    kind => {
                        shared.lose(match kind {
                            ErrorKind::Finished => Lost::Finished,
                            ErrorKind::Decode | ErrorKind::Corrupt | ErrorKind::TooLarge => {
                                Lost::Garbled
                            }
                            _ => Lost::Disconnected,
                        });
                    }
                },
            }
            self.changed.notify_all();
        };
        shared.calls.remove(&number);
        drop(shared);
        // Another caller may read now.
        self.changed.notify_all();
        Err(ended)
    }

    /// Gives what is received with to a caller that waits for it, or takes it if nobody does.
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

    fn lock(&self) -> Guard<'_, Req, Resp, F, C> {
        // Whatever a thread that panicked did: it is whole between any two calls.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Guard<'a, Req, Resp, F, C> = MutexGuard<'a, Shared<Req, Resp, F, C>>;

/// The earlier of a deadline and of the end of a time that begins now.
fn sooner(until: Until, time: Duration) -> Until {
    match (until, within(time)) {
        (Until::Deadline(end), Until::Deadline(soon)) => Until::Deadline(end.min(soon)),
        (Until::Now, _) => Until::Now,
        (_, soon) => soon,
    }
}

fn is_over(until: Until) -> bool {
    matches!(until, Until::Deadline(end) if Instant::now() >= end)
}

fn unanswered() -> Error {
    let late = Obstacle::TimedOut("the service has the request, and has not answered yet");
    Error::new(Operation::Call, late).delivered()
}

/// The halves that a caller uses, until this is dropped.
struct Halves<'a, Req, Resp, F, C> {
    link: &'a Link<Req, Resp, F, C>,
    sender: Option<SendingHalf<Request<Req>, F, C>>,
    receiver: Option<ReceivingHalf<Answer<Resp>, F, C>>,
}

impl<Req: Sendable, Resp: Receivable, F: Framing, C: Codec> Halves<'_, Req, Resp, F, C> {
    /// Sends a request. Where nobody else receives, answers that come meanwhile are kept.
    fn send(&mut self, request: &Request<&Req>, until: Until) -> Result<(), Error> {
        let Self { link, sender: Some(sender), receiver } = self else { return Ok(()) };
        sender.send_by(request, |io, bytes| {
            loop {
                let soon = sooner(until, LOOK_AT_READERS);
                let written = match receiver {
                    Some(receiver) => io.write_or_take_in(receiver.io_mut(), INCOMING, bytes, soon),
                    None => io.write_until(bytes, soon),
                };
                match written {
                    Err(error) if error.kind() == io::ErrorKind::TimedOut && !is_over(until) => {}
                    done => return done,
                }
                link.hand_over(receiver);
            }
        })
    }

    fn receive(&mut self, until: Until) -> Result<Answer<Resp>, Error> {
        match &mut self.receiver {
            Some(receiver) => receiver.recv_until(until),
            None => Err(Error::new(Operation::Call, Cause::Unanswered)),
        }
    }
}

impl<Req, Resp, F, C> Halves<'_, Req, Resp, F, C> {
    fn give_back(&mut self, shared: &mut Shared<Req, Resp, F, C>) {
        if let Some(sender) = self.sender.take() {
            shared.sender = Some(sender);
        }
        if let Some(receiver) = self.receiver.take() {
            shared.receiver = Some(receiver);
        }
    }
}

impl<Req, Resp, F, C> Drop for Halves<'_, Req, Resp, F, C> {
    fn drop(&mut self) {
        if self.sender.is_some() || self.receiver.is_some() {
            let link = self.link;
            let mut shared = link.shared.lock().unwrap_or_else(PoisonError::into_inner);
            if self.receiver.is_some() && thread::panicking() {
                // By the caller's `Deserialize`, on an answer that may be another call's: that one has lost it.
                shared.lose(Lost::Garbled);
            }
            self.give_back(&mut shared);
            drop(shared);
            link.changed.notify_all();
        }
    }
}
