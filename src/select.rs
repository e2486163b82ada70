//! Waiting for whichever of many things comes first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::task::Wake;
use std::time::{Duration, Instant};

use static_assertions::assert_impl_all;

use crate::channel::{Receivable, TypedReceiver};
use crate::connection::{Connection, Listener, REST};
use crate::end::{End, PipeRef};
use crate::error::{Error, ErrorKind, Obstacle, Operation};
use crate::state::{Open, Read};
use crate::sys::{Event, Readiness, WaitLimit, Watched};
use crate::wait::{CancelToken, left, within};
use crate::wire::{Codec, Framing};

/// Waits for whichever comes first: messages of many receivers, whatever their types, clients of listeners, the
/// cancellation of tokens, and deadlines.
///
/// Each source is added with a function that makes an event of what comes: the events are of one type of the program's own,
/// often an enum. The sources take turns, so one that is always ready delays no other by more than one event each, and neither
/// do deadlines. A source that has ended says so by its last event, and is gone. A function that panics costs what came, and
/// its source goes on.
///
/// What a message costs does not grow with the number of sources, where the system names those that are ready: see below.
///
/// In tasks, `tokio::select!` does this.
///
/// ```
/// use std::time::{Duration, Instant};
/// use typed_pipe::{Connection, Error, Listener, Pipe, Select, TypedSender};
///
/// enum Event {
///     Job(Result<u32, Error>),
///     Line(Result<String, Error>),
///     Client(Result<Connection, Error>),
///     Late,
/// }
///
/// let (jobs, lines, door) = (Pipe::temporary()?, Pipe::temporary()?, Listener::temporary()?);
/// let path = lines.path().clone();
///
/// let mut select = Select::new()?;
/// select.add_receiver(jobs.receiver()?, Event::Job)?;
/// select.add_receiver(lines.receiver()?, Event::Line)?;
/// select.add_listener(door, Event::Client)?;
/// select.add_deadline(Instant::now() + Duration::from_secs(60), Event::Late);
///
/// TypedSender::<str>::connect(path)?.send("hello")?;
/// match select.wait()? {
///     Some(Event::Line(line)) => assert_eq!(line?, "hello"),
///     Some(Event::Job(job)) => println!("job {}", job?),
///     Some(Event::Client(client)) => println!("a client: {:?}", client?.peer()?.pid()),
///     Some(Event::Late) => println!("nothing has come for a minute"),
///     None => println!("nothing is left to wait for"),
/// }
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # Platform-specific behavior
///
/// ## Linux and Android
///
/// One descriptor is open for all sources (`epoll`), and one for each token. There is no thread.
///
/// ## Other Unix
///
/// Each wait looks at all sources (`poll`), so its cost grows with their number.
///
/// ## Windows
///
/// Threads that all values of this type share wait for the sources, one for each 63 of them. They end a second after the
/// last source. A receiver reads ahead, up to 64 KiB.
#[doc(alias("epoll", "poll", "IpcReceiverSet", "router", "multiplex"))]
pub struct Select<'a, E> {
    readiness: Readiness,
    sources: HashMap<u64, Entry<'a, E>>,
    deadlines: BTreeMap<(Instant, u64), E>,
    /// The sources that may have something, in turn.
    ready: VecDeque<u64>,
    /// How many turns there are until the system is asked again, for those that are not among them.
    turns: usize,
    /// Whether the last event was that of a deadline: the next one is that of a source, if one has something.
    source_next: bool,
    /// When the sources are tried that the system says nothing of.
    look: Option<Instant>,
    /// The listeners that lacked resources for a client, and until when each rests.
    resting: VecDeque<(Instant, u64)>,
    keys: u64,
}

/// A source of a [`Select`], to remove it.
///
/// ```
/// use typed_pipe::{CancelToken, Select};
///
/// let token = CancelToken::new()?;
/// let mut select = Select::new()?;
/// let key = select.add_token(&token, "cancelled")?;
/// assert!(select.remove(key));
/// assert!(!select.remove(key)); // it is gone already
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SelectKey(u64);

impl<'a, E> Select<'a, E> {
    /// Waits for nothing yet.
    ///
    /// ```
    /// use typed_pipe::Select;
    ///
    /// let mut select = Select::<u32>::new()?;
    /// assert_eq!(select.wait()?, None); // without a source it does not wait
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): the process has too many open files.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            readiness: Readiness::new().map_err(failed)?,
            sources: HashMap::new(),
            deadlines: BTreeMap::new(),
            ready: VecDeque::new(),
            turns: 0,
            source_next: false,
            look: None,
            resting: VecDeque::new(),
            keys: 0,
        })
    }

    /// Adds a receiver: each message is an event, and each error. The last event of a receiver is an error, by which its
    /// loop would end: that of the [end](Error::is_end) of its stream, or one that is not of a message alone.
    ///
    /// ```
    /// use typed_pipe::{Pipe, Select, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut select = Select::new()?;
    /// select.add_receiver(pipe.receiver::<u32>()?, |number| number.ok())?;
    /// TypedSender::<u32>::connect(path)?.send(&7)?;
    /// assert_eq!(select.wait()?, Some(Some(7)));
    /// assert_eq!(select.wait()?, Some(None)); // the writer has left
    /// assert_eq!(select.wait()?, None);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The receiver is dropped.
    ///
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): a receiver over shared memory or another transport, one that awaits
    ///   the [next writer](crate::OnHangup::NextWriter), or on Windows that of a handle which is not overlapped.
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): the system watches no more descriptors.
    pub fn add_receiver<T, P, F, C>(
        &mut self,
        receiver: TypedReceiver<T, End<Read, Open, P>, F, C>,
        event: impl FnMut(Result<T, Error>) -> E + Send + 'a,
    ) -> Result<SelectKey, Error>
    where
        T: Receivable + 'a,
        P: PipeRef + Send + 'a,
        F: Framing + Send + 'a,
        C: Codec + Send + 'a,
    {
        if receiver.get_ref().next_writer() {
            return Err(failed(Obstacle::Unsupported));
        }
        let token = receiver.get_ref().token().cloned();
        self.add_watched(Box::new(Receiving { receiver, event }), token)
    }

    /// Adds a listener: each client is an event.
    ///
    /// ```
    /// use typed_pipe::{Connection, Listener, Select};
    ///
    /// let listener = Listener::temporary()?;
    /// let client = Connection::connect(listener.path())?;
    /// let mut select = Select::new()?;
    /// select.add_listener(listener, |client| client)?;
    /// let server = select.wait()?.unwrap()?;
    /// # drop((client, server));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// A client for which there are no resources is an event with [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted).
    /// It is kept, and tried again after 50 milliseconds.
    ///
    /// # Errors
    ///
    /// As for [`add_receiver`](Self::add_receiver).
    pub fn add_listener(
        &mut self,
        listener: Listener,
        event: impl FnMut(Result<Connection, Error>) -> E + Send + 'a,
    ) -> Result<SelectKey, Error> {
        let token = listener.token().cloned();
        self.add_watched(Box::new(Listening { listener, event, full: None }), token)
    }

    /// Adds a token: its cancellation is one event.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, Select};
    ///
    /// let token = CancelToken::new()?;
    /// let mut select = Select::new()?;
    /// select.add_token(&token, "stop")?;
    /// thread::spawn(move || token.cancel());
    /// assert_eq!(select.wait()?, Some("stop"));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): the process has too many open files.
    pub fn add_token(&mut self, token: &CancelToken, event: E) -> Result<SelectKey, Error>
    where
        E: Send + 'a,
    {
        // With a descriptor of its own, which is here once however often the token is added.
        let token = token.child_token()?;
        self.add(Box::new(Watching { token, event: Some(event) }))
    }

    /// Adds a moment, which is one event once it has come.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use typed_pipe::Select;
    ///
    /// let mut select = Select::new()?;
    /// select.add_deadline(Instant::now() + Duration::from_millis(20), "later");
    /// select.add_deadline(Instant::now(), "now");
    /// assert_eq!(select.wait()?, Some("now"));
    /// assert_eq!(select.wait()?, Some("later"));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("timer", "after"))]
    pub fn add_deadline(&mut self, moment: Instant, event: E) -> SelectKey {
        let key = self.next_key();
        self.deadlines.insert((moment, key), event);
        SelectKey(key)
    }

    /// Removes a source, and drops it; returns whether it was there.
    ///
    /// ```
    /// use typed_pipe::{Pipe, Select};
    ///
    /// let mut select = Select::new()?;
    /// let jobs = select.add_receiver(Pipe::temporary()?.receiver::<u32>()?, |job| job.ok())?;
    /// assert!(select.remove(jobs)); // and with it its end, and the pipe
    /// assert_eq!(select.wait()?, None);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn remove(&mut self, key: SelectKey) -> bool {
        let of_time = |(_, number): &(Instant, u64)| *number == key.0;
        let moment = self.deadlines.keys().copied().find(of_time);
        moment.is_some_and(|moment| self.deadlines.remove(&moment).is_some()) || self.forget(key.0)
    }

    /// Waits for the next event; `None` when no source is left.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Pipe, Select, TypedSender};
    ///
    /// let mut select = Select::new()?;
    /// for room in ["kitchen", "hall"] {
    ///     let pipe = Pipe::temporary()?;
    ///     let path = pipe.path().clone();
    ///     thread::spawn(move || TypedSender::<u32>::connect(path)?.send_all([1, 2, 3]));
    ///     select.add_receiver(pipe.receiver::<u32>()?, move |number| (room, number))?;
    /// }
    /// let mut sum = 0;
    /// while let Some((room, number)) = select.wait()? {
    ///     match number {
    ///         Ok(number) => sum += number,
    ///         Err(end) => println!("the {room} has left: {end}"),
    ///     }
    /// }
    /// assert_eq!(sum, 12);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system does not wait. What befalls a source is an event of that source.
    pub fn wait(&mut self) -> Result<Option<E>, Error> {
        self.wait_until(WaitLimit::Done)
    }

    /// Waits for the next event for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Pipe, Select};
    ///
    /// let mut select = Select::new()?;
    /// select.add_receiver(Pipe::temporary()?.receiver::<u32>()?, |number| number.ok())?;
    /// let error = select.wait_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<E>, Error> {
        self.wait_until(within(timeout))
    }

    fn wait_until(&mut self, until: WaitLimit) -> Result<Option<E>, Error> {
        // Whether the time was over when the system was asked: what it names has its turn, and then it is too late.
        let mut late = false;
        let mut asked = false;
        loop {
            if !self.source_next || (asked && self.turns == 0) {
                if let Some(due) = self.due() {
                    self.source_next = true;
                    return Ok(Some(due));
                }
            }
            if self.turns == 0 {
                if self.sources.is_empty() && self.deadlines.is_empty() {
                    return Ok(None);
                }
                if late {
                    return Err(failed(Obstacle::TimedOut("nothing has come")));
                }
                late = left(until).is_zero();
                asked = true;
                self.ask(until)?;
            }
            self.turns = self.turns.saturating_sub(1);
            let Some(key) = self.ready.pop_front() else { continue };
            // One that was removed may still have its turn.
            let Some(entry) = self.sources.get_mut(&key) else { continue };
            // Its next turn is there before the program's function runs, which may panic.
            self.ready.push_back(key);
            match entry.source.take(&mut self.readiness, key) {
                Taken::Nothing => {
                    entry.queued = false;
                    self.ready.pop_back();
                    // It may be watched for something else now.
                    if self.look.is_none() {
                        let interval = entry.source.watched().look_interval();
                        self.look = interval.map(|interval| Instant::now() + interval);
                    }
                }
                Taken::One(event) => {
                    self.source_next = false;
                    return Ok(Some(event));
                }
                Taken::Last(event) => {
                    self.source_next = false;
                    self.ready.pop_back();
                    self.forget(key);
                    return Ok(Some(event));
                }
                Taken::Rests(event) => {
                    self.source_next = false;
                    self.ready.pop_back();
                    entry.queued = false;
                    if !mem::replace(&mut entry.rests, true) {
                        self.readiness.remove(&entry.source.watched(), key);
                        self.resting.push_back((Instant::now() + REST, key));
                    }
                    return Ok(Some(event));
                }
                Taken::Wakes(other) => {
                    self.ready.pop_back();
                    self.forget(key);
                    self.enqueue(other);
                }
            }
        }
    }

    /// Takes the event of the first deadline that has passed.
    fn due(&mut self) -> Option<E> {
        let first = self.deadlines.first_entry()?;
        (first.key().0 <= Instant::now()).then(|| first.remove())
    }

    /// Asks the system which sources are ready; waits where none is known to be.
    fn ask(&mut self, until: WaitLimit) -> Result<(), Error> {
        let until = match self.deadlines.first_key_value() {
            _ if !self.ready.is_empty() => WaitLimit::Now,
            Some(((moment, _), _)) => sooner_of(until, *moment),
            None => until,
        };
        let rested = self.resting.front().map(|(moment, _)| *moment);
        let until = [self.look, rested].into_iter().flatten().fold(until, sooner_of);
        let awake = self.sources.iter_mut().filter(|(_, entry)| !entry.rests);
        let all = awake.map(|(key, entry)| (*key, entry.source.watched()));
        let asked = self.readiness.wait(until, all).map_err(failed);
        self.look_around();
        for key in asked? {
            self.enqueue(key);
        }
        // What fails here loses nothing of that.
        let ended = self.end_rests();
        self.turns = self.ready.len();
        ended
    }

    /// Lets the listeners go on that have rested.
    fn end_rests(&mut self) -> Result<(), Error> {
        while self.resting.front().is_some_and(|(moment, _)| *moment <= Instant::now()) {
            let Some((_, key)) = self.resting.pop_front() else { break };
            // One that was removed has no rest to end.
            let Some(entry) = self.sources.get_mut(&key) else { continue };
            if let Err(error) = self.readiness.add(&mut entry.source.watched(), key) {
                self.resting.push_back((Instant::now() + REST, key));
                return Err(failed(error));
            }
            entry.rests = false;
            entry.enqueue(key, &mut self.ready);
        }
        Ok(())
    }

    /// Tries now and then what the system does not report, such as that a listener has lost its name.
    fn look_around(&mut self) {
        let now = Instant::now();
        if self.look.is_none_or(|look| look > now) {
            return;
        }
        let mut intervals = Vec::new();
        for (key, entry) in &mut self.sources {
            if let Some(interval) = entry.source.watched().look_interval() {
                intervals.push(interval);
                if !entry.rests {
                    entry.enqueue(*key, &mut self.ready);
                }
            }
        }
        self.look = intervals.into_iter().min().map(|interval| now + interval);
    }

    /// Adds a source whose waits a token may cancel.
    fn add_watched(
        &mut self,
        source: Box<dyn Source<E> + Send + 'a>,
        token: Option<CancelToken>,
    ) -> Result<SelectKey, Error> {
        let key = self.add(source)?;
        if let Some(token) = token {
            let alarm = token
                .child_token()
                .and_then(|token| self.add(Box::new(Alarm { token, of: key.0 })));
            match (alarm, self.sources.get_mut(&key.0)) {
                (Ok(alarm), Some(entry)) => entry.alarm = Some(alarm.0),
                (Err(error), _) => {
                    self.forget(key.0);
                    return Err(error);
                }
                (Ok(_), None) => {}
            }
        }
        // It may hold messages or clients of which the system knows nothing any more.
        self.enqueue(key.0);
        Ok(key)
    }

    fn add(&mut self, mut source: Box<dyn Source<E> + Send + 'a>) -> Result<SelectKey, Error> {
        let key = self.next_key();
        let mut watched = source.watched();
        self.readiness.add(&mut watched, key).map_err(failed)?;
        if let Some(interval) = watched.look_interval() {
            let look = Instant::now() + interval;
            self.look = Some(self.look.map_or(look, |before| before.min(look)));
        }
        self.sources.insert(key, Entry { source, queued: false, rests: false, alarm: None });
        Ok(SelectKey(key))
    }

    fn enqueue(&mut self, key: u64) {
        if let Some(entry) = self.sources.get_mut(&key) {
            entry.enqueue(key, &mut self.ready);
        }
    }

    fn forget(&mut self, key: u64) -> bool {
        let Some(mut entry) = self.sources.remove(&key) else { return false };
        // Not by closing alone: another process may have a copy of the descriptor.
        self.readiness.remove(&entry.source.watched(), key);
        if let Some(alarm) = entry.alarm {
            self.forget(alarm);
        }
        true
    }

    fn next_key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }
}

impl<E> fmt::Debug for Select<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alarms = self.sources.values().filter(|entry| entry.alarm.is_some()).count();
        f.debug_struct("Select")
            .field("sources", &(self.sources.len() - alarms + self.deadlines.len()))
            .finish_non_exhaustive()
    }
}

struct Entry<'a, E> {
    source: Box<dyn Source<E> + Send + 'a>,
    /// Whether its turn will come.
    queued: bool,
    /// Whether it is not watched, as what is there would be there again at once.
    rests: bool,
    /// What watches the token that cancels its waits.
    alarm: Option<u64>,
}

impl<E> Entry<'_, E> {
    /// Gives it a turn, unless it has one.
    fn enqueue(&mut self, key: u64, ready: &mut VecDeque<u64>) {
        if !self.queued {
            self.queued = true;
            ready.push_back(key);
        }
    }
}

enum Taken<E> {
    Nothing,
    One(E),
    /// And there will be no other.
    Last(E),
    /// And the same again, if it were tried at once.
    Rests(E),
    /// Nothing more of this one: another one has something.
    Wakes(u64),
}

trait Source<E> {
    fn watched(&mut self) -> Watched<'_>;
    /// Takes what is there, without a wait.
    fn take(&mut self, readiness: &mut Readiness, key: u64) -> Taken<E>;
}

struct Receiving<R, H> {
    receiver: R,
    event: H,
}

impl<E, T, P, F, C, H> Source<E> for Receiving<TypedReceiver<T, End<Read, Open, P>, F, C>, H>
where
    T: Receivable,
    P: PipeRef,
    F: Framing,
    C: Codec,
    H: FnMut(Result<T, Error>) -> E,
{
    fn watched(&mut self) -> Watched<'_> {
        Watched::End(self.receiver.io_mut().raw_mut())
    }

    fn take(&mut self, readiness: &mut Readiness, key: u64) -> Taken<E> {
        let received = self.receiver.try_recv();
        let followed = readiness.follow(&mut Source::<E>::watched(self), key);
        match received {
            Err(error) if error.kind() == ErrorKind::WouldBlock => match followed {
                Ok(()) => Taken::Nothing,
                Err(error) => Taken::Last((self.event)(Err(failed(error)))),
            },
            Err(error) if is_of_a_message(&error) => Taken::One((self.event)(Err(error))),
            Err(error) => Taken::Last((self.event)(Err(error))),
            value => Taken::One((self.event)(value)),
        }
    }
}

struct Listening<H> {
    listener: Listener,
    event: H,
    /// While as many clients are connected as may be: what a client that leaves sets.
    full: Option<Arc<Place>>,
}

/// Room for one more client of a listener.
struct Place(Event);

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.0.set();
    }
}

impl<H> Listening<H> {
    /// Watches for clients; for room instead, if there is none. Returns whether there is some.
    fn watch_for_clients(&mut self, readiness: &Readiness, key: u64) -> io::Result<bool> {
        // One that is cancelled says so, even while it is full.
        let cancelled = self.listener.token().is_some_and(CancelToken::is_cancelled);
        let full = match self.listener.is_full() && !cancelled {
            false => None,
            true => {
                let place = Arc::new(Place(Event::new()?));
                let waker = Arc::clone(&place).into();
                (!self.listener.has_room_or_wakes(&waker)).then_some(place)
            }
        };
        let has_room = full.is_none();
        if self.full.is_some() || full.is_some() {
            readiness.remove(&Self::watched(self), key);
            self.full = full;
            readiness.add(&mut Self::watched(self), key)?;
        }
        Ok(has_room)
    }

    fn watched(&self) -> Watched<'_> {
        match &self.full {
            Some(place) => Watched::Event(&place.0),
            None => Watched::Server(self.listener.server()),
        }
    }
}

impl<E, H: FnMut(Result<Connection, Error>) -> E> Source<E> for Listening<H> {
    fn watched(&mut self) -> Watched<'_> {
        Self::watched(self)
    }

    fn take(&mut self, readiness: &mut Readiness, key: u64) -> Taken<E> {
        let client = match self.watch_for_clients(readiness, key) {
            Ok(true) => self.listener.try_accept(),
            Ok(false) => return Taken::Nothing,
            Err(error) => Err(failed(error)),
        };
        // A name that was taken again is watched from now on, also where it rests first.
        let client = match client {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                match readiness.follow(&mut Self::watched(self), key) {
                    Ok(()) => return Taken::Nothing,
                    Err(error) => Err(failed(error)),
                }
            }
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => {
                let _ = readiness.follow(&mut Self::watched(self), key);
                Err(error)
            }
            client => client,
        };
        match client {
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => {
                Taken::Rests((self.event)(Err(error)))
            }
            Err(error) => Taken::Last((self.event)(Err(error))),
            client => Taken::One((self.event)(client)),
        }
    }
}

struct Watching<E> {
    token: CancelToken,
    event: Option<E>,
}

impl<E> Source<E> for Watching<E> {
    fn watched(&mut self) -> Watched<'_> {
        Watched::Event(self.token.event())
    }

    fn take(&mut self, _: &mut Readiness, _: u64) -> Taken<E> {
        self.event.take().map_or(Taken::Nothing, Taken::Last)
    }
}

/// The token that cancels the waits of another source.
struct Alarm {
    token: CancelToken,
    of: u64,
}

impl<E> Source<E> for Alarm {
    fn watched(&mut self) -> Watched<'_> {
        Watched::Event(self.token.event())
    }

    fn take(&mut self, _: &mut Readiness, _: u64) -> Taken<E> {
        Taken::Wakes(self.of)
    }
}

/// Whether an error is that of one message, or of one writer, and the receiver goes on.
fn is_of_a_message(error: &Error) -> bool {
    use ErrorKind::{Corrupt, Decode, MessageLost, Mismatch, TooLarge};
    matches!(error.kind(), Corrupt | Decode | MessageLost | Mismatch | TooLarge)
        && !error.is_fatal()
}

/// The end of a wait that ends at this moment at the latest.
fn sooner_of(until: WaitLimit, moment: Instant) -> WaitLimit {
    match until {
        WaitLimit::Deadline(end) => WaitLimit::Deadline(end.min(moment)),
        WaitLimit::Done => WaitLimit::Deadline(moment),
        WaitLimit::Now => WaitLimit::Now,
    }
}

fn failed(cause: impl Into<crate::error::Cause>) -> Error {
    Error::new(Operation::Receive, cause)
}

assert_impl_all!(Select<'_, u8>: Send);
