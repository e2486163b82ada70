//! `Service`: answers the requests of any number of clients.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{ANSWER, ANSWERED, Answer, DONE, FAILED, PANICKED, Request, identifiers};
use crate::channel::{Receivable, Sendable};
use crate::dialog::{Agreement, ReceivingHalf, SendingHalf};
use crate::duplex::{Connection, Listener};
use crate::error::{Error, ErrorKind};
use crate::path::PipePath;
use crate::wait::{Stop, within};
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire};

/// Answers the requests of any number of clients.
///
/// Each client is served in a thread of its own, which agrees with it, and then takes its requests one after the other.
/// What one client does costs only itself: one that says nothing, sends garbage, does not take its answers, or
/// dies. A handler that fails or panics ends that request, with an error that names it at the
/// [caller](super::Client), and never the service; a message of its own whose reading or writing panics costs that
/// client its connection.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Client, Service, Stop};
///
/// let stop = Stop::new()?;
/// let service = Service::<String, usize>::temporary()?.stopped_by(&stop);
/// let path = service.path().clone(); // or `Service::bind("/run/app/lengths")?`
/// let serving = thread::spawn(move || service.serve(|word| word.len()));
///
/// let client = Client::<String, usize>::connect(path)?;
/// assert_eq!(client.call(&"hello".into())?, 5);
///
/// stop.stop();
/// assert_eq!(serving.join().unwrap()?.answered, 1);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # The end
///
/// A service ends when its [stop](Self::stopped_by) is set, when no request came [for some time](Self::idle_limit), or
/// after [so many](Self::message_limit). It then gives up its name, answers the requests that its handlers have begun
/// with, and says goodbye to each client: any other request was never handled, and its caller is told just that. To
/// end it by a request, let the handler set the stop.
///
/// Answers may go elsewhere than to the caller: a handler can send them to any channel of its own, and clients
/// [notify](super::Client::notify) such a service.
pub struct Service<Req, Resp, F = LengthPrefixed, C = Postcard> {
    listener: Listener,
    wire: Wire<F, C>,
    name: String,
    stop: Option<Stop>,
    rules: Rules,
    messages: PhantomData<fn(Req) -> Resp>,
}

/// What ends a service, or the patience with a client.
#[derive(Clone, Copy, Debug)]
struct Rules {
    idle_limit: Option<Duration>,
    message_limit: u64,
    same_user: bool,
    patience: Duration,
}

impl<Req: Receivable, Resp: Sendable> Service<Req, Resp> {
    /// A service at a name on this machine, of which it becomes the owner.
    ///
    /// # Errors
    ///
    /// Those of [`Listener::bind`].
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Listener::bind(path)?))
    }

    /// A service at a name that nobody can guess.
    ///
    /// # Errors
    ///
    /// Those of [`Listener::temporary`].
    pub fn temporary() -> Result<Self, Error> {
        Ok(Self::new(Listener::temporary()?))
    }

    /// A service at a listener with options, such as the largest number of clients: see [`ListenerOptions`](crate::ListenerOptions).
    pub fn new(listener: Listener) -> Self {
        Self {
            listener,
            wire: Wire::default(),
            name: String::new(),
            stop: None,
            rules: Rules {
                idle_limit: None,
                message_limit: u64::MAX,
                same_user: false,
                patience: Duration::from_secs(10),
            },
            messages: PhantomData,
        }
    }
}

impl<Req, Resp, F, C> Service<Req, Resp, F, C>
where
    Req: Receivable,
    Resp: Sendable,
    F: Framing + Clone + Send,
    C: Codec + Clone + Send,
{
    /// Speaks another wire. Clients must speak the same.
    #[must_use]
    pub fn with_wire<G, D>(self, wire: Wire<G, D>) -> Service<Req, Resp, G, D> {
        Service {
            listener: self.listener,
            wire,
            name: self.name,
            stop: self.stop,
            rules: self.rules,
            messages: PhantomData,
        }
    }

    /// Sets the name of what is spoken, with a version, such as `"tasks/1"`. A client that has set another is refused.
    #[must_use]
    pub fn speaking(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Lets a token end the service.
    #[must_use]
    pub fn stopped_by(mut self, stop: &Stop) -> Self {
        self.stop = Some(stop.clone());
        self
    }

    /// Ends the service when no request came for so long, and none is being handled.
    #[must_use]
    pub fn idle_limit(mut self, time: Duration) -> Self {
        self.rules.idle_limit = Some(time);
        self
    }

    /// Ends the service after so many requests.
    #[must_use]
    pub fn message_limit(mut self, requests: u64) -> Self {
        self.rules.message_limit = requests;
        self
    }

    /// Serves no other user than the one that this process runs as.
    #[must_use]
    pub fn require_same_user(mut self) -> Self {
        self.rules.same_user = true;
        self
    }

    /// Sets how long a client may take to agree, and to take an answer, before it is given up; 10 seconds unless set.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.rules.patience = time;
        self
    }

    /// The path at which clients connect.
    pub fn path(&self) -> &PipePath {
        self.listener.path()
    }

    /// Answers requests, until the service ends.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system lets in no further client. All requests that were taken are answered.
    pub fn serve(self, handler: impl Fn(Req) -> Resp + Sync) -> Result<Summary, Error> {
        self.try_serve(|request| Ok::<_, Infallible>(handler(request)))
    }

    /// Answers requests with a handler that may fail, until the service ends.
    ///
    /// The words of the handler's error go to the caller, in an error of the kind
    /// [`Failed`](crate::ErrorKind::Failed).
    ///
    /// # Errors
    ///
    /// Those of [`serve`](Self::serve).
    pub fn try_serve<E: fmt::Display>(
        self,
        handler: impl Fn(Req) -> Result<Resp, E> + Sync,
    ) -> Result<Summary, Error> {
        let closing = match &self.stop {
            Some(stop) => stop.child()?,
            None => Stop::new()?,
        };
        let Self { listener, wire, name, rules, .. } = self;
        let listener = listener.stopping(&closing);
        let desk = Desk { rules, closing, counts: Counts::default(), activity: Mutex::default() };
        desk.note(Instant::now(), 0);
        let (calls, answers) = identifiers(&name);
        let agreement = Agreement::new()
            .with_wire(wire)
            .sending(answers)
            .receiving(calls)
            .within(rules.patience);
        let ended = thread::scope(|scope| {
            // The name goes when the service is to end, and not only when the last answer is sent.
            let listener = listener;
            loop {
                let client = match desk.accept(&listener) {
                    Ok(Some(client)) => client,
                    Ok(None) => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Exhausted => continue,
                    Err(error) => {
                        desk.closing.stop();
                        return Err(error);
                    }
                };
                let (desk, handler, agreement) = (&desk, &handler, agreement.clone());
                let serving = thread::Builder::new().name("typed-pipe client".into()).spawn_scoped(
                    scope,
                    move || {
                        // A panic of the caller's code, such as its `Deserialize`, costs this client alone.
                        let serve = || desk.serve(client, agreement, handler);
                        if !matches!(catch_unwind(AssertUnwindSafe(serve)), Ok(Ok(()))) {
                            desk.counts.lost.fetch_add(1, Ordering::Relaxed);
                        }
                    },
                );
                if serving.is_err() {
                    desk.counts.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        ended.map(|()| desk.summary(self.stop.as_ref()))
    }
}

impl<Req, Resp, F, C> fmt::Debug for Service<Req, Resp, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// What a service has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Clients that were let in.
    pub clients: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests whose handler failed or panicked, or whose answer could not be written.
    pub failed: u64,
    /// Clients that were given up: they did not agree, sent garbage, or did not take an answer. Their last request is
    /// counted nowhere else.
    pub lost: u64,
    /// What ended the service.
    pub ending: Ending,
}

/// What ended a [`Service`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// Its [stop](Service::stopped_by) was set.
    Stopped,
    /// No request came [for some time](Service::idle_limit).
    Idle,
    /// [So many requests](Service::message_limit) came.
    MessageLimit,
}

/// What the threads of a service share.
struct Desk {
    rules: Rules,
    /// Set when the service is to end, whatever for.
    closing: Stop,
    counts: Counts,
    activity: Mutex<Activity>,
}

#[derive(Default)]
struct Counts {
    clients: AtomicU64,
    taken: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
}

/// When something was done last, and how many handlers are at work.
#[derive(Default)]
struct Activity {
    last: Option<Instant>,
    busy: usize,
}

impl Desk {
    fn note(&self, now: Instant, begun: isize) {
        let mut activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        activity.last = Some(now);
        activity.busy = activity.busy.saturating_add_signed(begun);
    }

    /// How long nothing may come before the service ends for that; zero when it is to end now.
    fn left(&self, limit: Duration) -> Duration {
        let activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        match activity.last {
            Some(last) if activity.busy == 0 => limit.saturating_sub(last.elapsed()),
            _ => limit,
        }
    }

    /// The next client; `None` when the service is to end.
    fn accept(&self, listener: &Listener) -> Result<Option<Connection>, Error> {
        loop {
            let accepted = match self.rules.idle_limit {
                None => listener.accept(),
                Some(limit) => match self.left(limit) {
                    Duration::ZERO => {
                        self.closing.stop();
                        return Ok(None);
                    }
                    left => listener.accept_timeout(left),
                },
            };
            return match accepted {
                Ok(client) => {
                    self.counts.clients.fetch_add(1, Ordering::Relaxed);
                    Ok(Some(client))
                }
                Err(error) if error.kind() == ErrorKind::TimedOut => continue,
                Err(error) if error.kind() == ErrorKind::Stopped => Ok(None),
                Err(error) => Err(error),
            };
        }
    }

    /// Serves one client, until it leaves or the service ends.
    fn serve<Req, Resp, E, F, C>(
        &self,
        client: Connection,
        agreement: Agreement<F, C>,
        handler: &(impl Fn(Req) -> Result<Resp, E> + Sync),
    ) -> Result<(), Error>
    where
        Req: Receivable,
        Resp: Sendable,
        E: fmt::Display,
        F: Framing + Clone,
        C: Codec + Clone,
    {
        if self.rules.same_user {
            client.require_same_user()?;
        }
        // What was taken is answered even after the stop: only reading is ended by it.
        let client = client.reading_stopped_by(&self.closing);
        let agreed = agreement.make::<Answer<Resp>, Request<Req>>(client);
        let (mut sender, mut receiver) = match agreed {
            Err(error) if error.kind() == ErrorKind::Stopped => return Ok(()),
            agreed => agreed?.split(),
        };
        self.answer(&mut sender, &mut receiver, handler)?;
        // Whoever waits for an answer learns that its request was not taken. After an error that may not be true.
        let _ = sender.finish_sending(within(self.rules.patience));
        Ok(())
    }

    fn answer<Req, Resp, E, F, C>(
        &self,
        sender: &mut SendingHalf<Answer<Resp>, F, C>,
        receiver: &mut ReceivingHalf<Request<Req>, F, C>,
        handler: &(impl Fn(Req) -> Result<Resp, E> + Sync),
    ) -> Result<(), Error>
    where
        Req: Receivable,
        Resp: Sendable,
        E: fmt::Display,
        F: Framing,
        C: Codec,
    {
        loop {
            // What has come in and was not begun is not taken either.
            if self.closing.is_stopped() {
                return Ok(());
            }
            let (number, wanted, request) = match receiver.recv() {
                Ok(request) => request,
                Err(error) if error.is_end() || error.kind() == ErrorKind::Stopped => return Ok(()),
                Err(error) => return Err(error),
            };
            let taken = self.counts.taken.fetch_add(1, Ordering::Relaxed) + 1;
            if taken >= self.rules.message_limit {
                self.closing.stop();
            }
            if taken > self.rules.message_limit {
                return Ok(());
            }
            self.note(Instant::now(), 1);
            let handle = || handler(request).map_err(|error| error.to_string());
            let handled = catch_unwind(AssertUnwindSafe(handle));
            self.note(Instant::now(), -1);
            let answer = match handled {
                Ok(Ok(answer)) if wanted == ANSWER => {
                    (number, ANSWERED, Some(answer), String::new())
                }
                Ok(Ok(_)) => (number, DONE, None, String::new()),
                Ok(Err(words)) => (number, FAILED, None, words),
                Err(panic) => (number, PANICKED, None, words(panic.as_ref()).to_owned()),
            };
            let count = match self.send(sender, &answer)? {
                ANSWERED | DONE => &self.counts.answered,
                _ => &self.counts.failed,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends an answer, and tells how it went. One that cannot be written is told as a failure.
    fn send<Resp: Sendable, F: Framing, C: Codec>(
        &self,
        sender: &mut SendingHalf<Answer<Resp>, F, C>,
        answer: &Answer<Resp>,
    ) -> Result<u8, Error> {
        match sender.send_timeout(answer, self.rules.patience) {
            Err(error) if !error.is_fatal() && is_about_value(&error) => {
                let words = format!("its answer cannot be sent: {error}");
                sender.send_timeout(&(answer.0, FAILED, None, words), self.rules.patience)?;
                Ok(FAILED)
            }
            sent => sent.map(|()| answer.1),
        }
    }

    fn summary(&self, stop: Option<&Stop>) -> Summary {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let ending = if stop.is_some_and(Stop::is_stopped) {
            Ending::Stopped
        } else if count(&self.counts.taken) >= self.rules.message_limit {
            Ending::MessageLimit
        } else {
            Ending::Idle
        };
        Summary {
            clients: count(&self.counts.clients),
            answered: count(&self.counts.answered),
            failed: count(&self.counts.failed),
            lost: count(&self.counts.lost),
            ending,
        }
    }
}

/// Whether an error is about the value that was to be sent: nothing of it was.
fn is_about_value(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Encode | ErrorKind::TooLarge)
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(words), _) => words,
        (_, Some(words)) => words,
        _ => "no reason is given",
    }
}
