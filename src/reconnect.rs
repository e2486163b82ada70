//! A sender that reconnects by itself, and never blocks.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use static_assertions::assert_impl_all;

use crate::backlog::{Backlog, Wakeup, contained, encoded};
use crate::channel::{Outbound, Sendable};
use crate::connection::ConnectOptions;
use crate::error::{Error, ErrorKind, Obstacle, Operation};
use crate::path::PipePath;
use crate::sys::{Maker, WaitLimit, pause, start_thread};
use crate::typed_connection::{Handshake, ReceivingHalf, TypedConnection};
use crate::wait::{CancelToken, left, until_changed, waiting, within};
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire};

/// Sends values to a process that may be away, such as a collector of logs: it never blocks, and connects again by itself.
///
/// [`send`](Self::send) puts a value into a queue of [bounded length](ReconnectOptions::backlog); a thread sends it,
/// once there is someone to send it to. What happens while the queue is full is a matter of the
/// [policy](WhenFull). Every value is accounted for in the [counts](Self::counts). Since nothing waits, it serves threads
/// and tasks alike, and any number of them may share it.
///
/// The other side is a [`TypedConnection`](crate::TypedConnection) that receives `T`, and sends back, as `u64`, how
/// many values of this connection it has dealt with so far: after each one, or now and then. What it has not confirmed
/// when it is killed counts as [uncertain](ReconnectCounts::uncertain): it may have been dealt with, or be lost in a
/// buffer. It is not sent again, so nothing is received twice.
///
/// ```
/// use std::thread;
/// use std::time::Duration;
/// use typed_pipe::{Listener, ReconnectingSender, WhenFull};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("log");
/// let log = ReconnectingSender::<str>::connect(&path, WhenFull::DropOldest)?; // nobody listens yet
/// log.send("started")?;
///
/// let listener = Listener::bind(&path)?;
/// let collecting = thread::spawn(move || -> Result<Vec<String>, typed_pipe::Error> {
///     let mut lines = listener.accept()?.into_typed::<u64, String>()?;
///     let mut all = Vec::new();
///     while let Ok(line) = lines.recv() {
///         all.push(line);
///         lines.send(&(all.len() as u64))?; // up to here
///     }
///     Ok(all)
/// });
///
/// let counts = log.finish_timeout(Duration::from_secs(10));
/// assert_eq!((counts.confirmed, counts.dropped, counts.uncertain), (1, 0, 0));
/// assert_eq!(collecting.join().unwrap()?, ["started"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropping it gives up what was not sent: [`finish_timeout`](Self::finish_timeout) sends it first.
#[must_use = "dropping it gives up what was not sent"]
#[doc(alias("reconnect", "retry", "datagram", "log", "lossy"))]
pub struct ReconnectingSender<T: ?Sized, F = LengthPrefixed, C = Postcard> {
    shared: Arc<Shared>,
    wire: Wire<F, C>,
    path: PipePath,
    message: PhantomData<fn(&T)>,
}

impl<T: Outbound + ?Sized + 'static> ReconnectingSender<T> {
    /// Sends to the listener at a path, on the default wire. It does not wait for it.
    ///
    /// ```
    /// use typed_pipe::{ReconnectingSender, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let log = ReconnectingSender::<str>::connect(path, WhenFull::DropOldest)?;
    /// assert!(!log.counts().connected); // there is no listener
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`ReconnectOptions::connect`].
    pub fn connect(path: impl AsRef<Path>, full: WhenFull) -> Result<Self, Error> {
        ReconnectOptions::new(full).connect(path)
    }
}

impl<T: Sendable + ?Sized, F: Framing + Clone, C: Codec + Clone> ReconnectingSender<T, F, C> {
    /// Queues a value, without a wait.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, ReconnectOptions, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let log = ReconnectOptions::new(WhenFull::Refuse).backlog(1).connect::<str>(path)?;
    /// log.send("one")?;
    /// assert_eq!(log.send("two").unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// After each, the value is not queued, and not counted.
    ///
    /// - [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): the wire cannot write the
    ///   value, as lines a text with a line feed, or it is larger than the limit of the wire.
    /// - [`WouldBlock`](crate::ErrorKind::WouldBlock): the queue is full, and the policy is
    ///   [`Refuse`](WhenFull::Refuse).
    pub fn send(&self, value: &T) -> Result<(), Error> {
        self.queue(value, WaitLimit::Now)
    }

    /// Queues a value; while the queue is full, waits for at most `timeout`, and then does as [`send`](Self::send).
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, ReconnectOptions, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let log = ReconnectOptions::new(WhenFull::Refuse).backlog(1).connect::<str>(path)?;
    /// log.send("one")?;
    /// let error = log.send_timeout("two", Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// It blocks its thread, and with it all tasks of the thread.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), with [`TimedOut`](crate::ErrorKind::TimedOut) in place of `WouldBlock`, or
    /// [`Cancelled`](crate::ErrorKind::Cancelled) once the token of [connecting](ReconnectOptions::connecting) is.
    pub fn send_timeout(&self, value: &T, timeout: Duration) -> Result<(), Error> {
        self.queue(value, within(timeout))
    }

    fn queue(&self, value: &T, until: WaitLimit) -> Result<(), Error> {
        let path = Some(self.path.shared());
        let payload = encoded(&self.wire, value).map_err(|error| error.at(path))?;
        let mut state = self.shared.lock();
        while state.backlog.is_full() && !state.ended && !left(until).is_zero() {
            state = until_changed(&self.shared.changed, state, until).0;
        }
        if state.backlog.is_full() {
            match self.shared.full {
                WhenFull::DropOldest => {}
                WhenFull::DropNewest => {
                    state.queued += 1;
                    state.backlog.count_dropped();
                    return Ok(());
                }
                WhenFull::Refuse => {
                    let why = match until {
                        WaitLimit::Now => Obstacle::BacklogFull,
                        _ if state.ended => Obstacle::Cancelled,
                        _ => Obstacle::TimedOut("as many messages wait for the other side as may"),
                    };
                    return Err(Error::new(Operation::Send, why).at(path));
                }
            }
        }
        state.queued += 1;
        // A thread that is at work looks for more before it waits.
        let sleeps = state.backlog.len() == 0 && state.in_flight.is_none();
        state.backlog.push(payload);
        drop(state);
        if sleeps {
            self.shared.wakeup.wake();
        }
        Ok(())
    }
}

impl<T: ?Sized, F, C> ReconnectingSender<T, F, C> {
    /// What became of the values so far.
    ///
    /// ```
    /// use typed_pipe::{ReconnectOptions, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let log = ReconnectOptions::new(WhenFull::DropNewest).backlog(2).connect::<u32>(path)?;
    /// for number in 0..5 {
    ///     log.send(&number)?;
    /// }
    /// let counts = log.counts();
    /// assert_eq!((counts.accepted, counts.waiting, counts.dropped), (5, 2, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn counts(&self) -> ReconnectCounts {
        self.shared.lock().counts()
    }

    /// The path of the listener.
    ///
    /// ```
    /// use typed_pipe::{ReconnectingSender, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let log = ReconnectingSender::<str>::connect(path, WhenFull::DropOldest)?;
    /// println!("the log goes to {}", log.path());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self) -> &PipePath {
        &self.path
    }

    /// Sends what is queued, and waits for at most `timeout` until the other side has confirmed it or left. The counts
    /// are final: what was not sent in time is [dropped](ReconnectCounts::dropped).
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ReconnectingSender, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let log = ReconnectingSender::<str>::connect(path, WhenFull::DropOldest)?;
    /// log.send("is anybody there?")?;
    /// let counts = log.finish_timeout(Duration::from_millis(10));
    /// assert_eq!((counts.confirmed, counts.dropped), (0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// It blocks its thread, and with it all tasks of the thread. It waits for nothing once the token of
    /// [connecting](ReconnectOptions::connecting) has ended the sending.
    pub fn finish_timeout(self, timeout: Duration) -> ReconnectCounts {
        let until = within(timeout);
        let mut state = self.shared.lock();
        state.finishing = Some(until);
        self.shared.wakeup.wake();
        while !state.is_finished() && !state.ended && !left(until).is_zero() {
            state = until_changed(&self.shared.changed, state, until).0;
        }
        state.abandon();
        state.counts()
    }
}

impl<T: ?Sized, F, C> Drop for ReconnectingSender<T, F, C> {
    fn drop(&mut self) {
        // Its thread is one of the process that made it, not of a forked child.
        if self.shared.maker.is_this() {
            self.shared.lock().abandon();
            self.shared.stop.cancel();
            self.shared.wakeup.wake();
        }
    }
}

impl<T: ?Sized, F, C> fmt::Debug for ReconnectingSender<T, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingSender")
            .field("path", &self.path)
            .field("full", &self.shared.full)
            .finish_non_exhaustive()
    }
}

/// What happens to a value for which the queue of a [`ReconnectingSender`] has no room.
///
/// ```
/// use typed_pipe::{ReconnectOptions, WhenFull};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("log");
/// let log = ReconnectOptions::new(WhenFull::DropOldest).backlog(10).connect::<u32>(path)?;
/// for number in 0..1_000 {
///     log.send(&number)?; // the last ten are kept until someone listens
/// }
/// assert_eq!(log.counts().dropped, 990);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("backpressure", "overflow"))]
pub enum WhenFull {
    /// It is not queued: the caller gets an error.
    Refuse,
    /// The oldest value of the queue is dropped for it.
    DropOldest,
    /// It is dropped itself.
    DropNewest,
}

/// What became of the values of a [`ReconnectingSender`].
///
/// Every accepted value is in exactly one of the other numbers: `accepted` is the sum of `waiting`, `unconfirmed`,
/// `confirmed`, `uncertain` and `dropped`.
///
/// ```
/// use typed_pipe::{ReconnectingSender, WhenFull};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("log");
/// let log = ReconnectingSender::<str>::connect(path, WhenFull::DropOldest)?;
/// log.send("hello")?;
/// let counts = log.counts();
/// assert_eq!((counts.accepted, counts.waiting), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReconnectCounts {
    /// The values for which `send` returned `Ok`.
    pub accepted: u64,
    /// Those that wait to be sent.
    pub waiting: u64,
    /// Those sent over the present connection, and not confirmed yet.
    pub unconfirmed: u64,
    /// Those that the other side has confirmed.
    pub confirmed: u64,
    /// Those sent over a connection that was lost, and not confirmed: the other side may have dealt with them or not.
    pub uncertain: u64,
    /// Those that were never sent as a whole.
    pub dropped: u64,
    /// How many connections were made.
    pub connections: u64,
    /// Whether there is one now.
    pub connected: bool,
}

/// Options of a [`ReconnectingSender`].
///
/// ```
/// use typed_pipe::{Handshake, ReconnectOptions, WhenFull};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("log");
/// let log = ReconnectOptions::new(WhenFull::DropOldest)
///     .backlog(10_000)
///     .handshake(Handshake::new().sending("log/1"))
///     .on_change(|connected| eprintln!("the collector is {}", if connected { "here" } else { "away" }))
///     .connect::<str>(path)?;
/// log.send("started")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a sender is made with `connect`"]
pub struct ReconnectOptions<F = LengthPrefixed, C = Postcard> {
    full: WhenFull,
    backlog: usize,
    handshake: Handshake<F, C>,
    connecting: ConnectOptions,
    change: Option<Change>,
}

impl ReconnectOptions {
    /// The default options: a queue of 1024 values, and the default handshake.
    ///
    /// ```
    /// use typed_pipe::{ReconnectOptions, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let log = ReconnectOptions::new(WhenFull::Refuse).connect::<str>(path)?;
    /// # drop(log);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(full: WhenFull) -> Self {
        Self {
            full,
            backlog: 1024,
            handshake: Handshake::new(),
            connecting: ConnectOptions::new(),
            change: None,
        }
    }
}

impl<F, C> ReconnectOptions<F, C> {
    /// Sets how many values the queue holds; 1024 unless set, and one at least. One more may be on its way.
    ///
    /// ```
    /// use typed_pipe::{ReconnectOptions, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let log = ReconnectOptions::new(WhenFull::DropOldest).backlog(100_000).connect::<str>(path)?;
    /// # drop(log);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("capacity", "high water mark"))]
    pub fn backlog(mut self, values: usize) -> Self {
        self.backlog = values;
        self
    }

    /// Sets the handshake: the wire, the name of the protocol, and the time that the other side has for it.
    ///
    /// ```
    /// use typed_pipe::{Handshake, ReconnectOptions, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let handshake = Handshake::new().sending("log/1");
    /// let log = ReconnectOptions::new(WhenFull::DropOldest).handshake(handshake).connect::<str>(path)?;
    /// # drop(log);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handshake<G, D>(self, handshake: Handshake<G, D>) -> ReconnectOptions<G, D> {
        let Self { full, backlog, connecting, change, .. } = self;
        ReconnectOptions { full, backlog, handshake, connecting, change }
    }

    /// Sets the options of connecting. A token in them ends the connecting, and so the sending: what is queued then
    /// waits until the sender is dropped.
    ///
    /// ```
    /// use typed_pipe::{ConnectOptions, ReconnectOptions, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let other_user = ConnectOptions::new().trust_any_owner();
    /// let log = ReconnectOptions::new(WhenFull::DropOldest).connecting(other_user).connect::<str>(path)?;
    /// # drop(log);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connecting(mut self, options: ConnectOptions) -> Self {
        self.connecting = options;
        self
    }

    /// Sets what is called when the other side is there, with `true`, and when it is gone, with `false`. The thread
    /// that sends calls it, and sends nothing meanwhile.
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use typed_pipe::{Listener, ReconnectOptions, WhenFull};
    ///
    /// let listener = Listener::temporary()?;
    /// let (told, changes) = channel();
    /// let log = ReconnectOptions::new(WhenFull::DropOldest)
    ///     .on_change(move |connected| told.send(connected).unwrap_or_default())
    ///     .connect::<str>(listener.path())?;
    /// let collector = listener.accept()?.into_typed::<u64, String>()?;
    /// assert_eq!(changes.recv(), Ok(true));
    /// drop(collector);
    /// assert_eq!(changes.recv(), Ok(false));
    /// # drop(log);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn on_change(mut self, told: impl Fn(bool) + Send + Sync + 'static) -> Self {
        self.change = Some(Change(Arc::new(told)));
        self
    }
}

impl<F, C> ReconnectOptions<F, C>
where
    F: Framing + Clone + Send + Sync + 'static,
    C: Codec + Clone + Send + Sync + 'static,
{
    /// Makes a sender to the listener at a path. It does not wait for it, and goes on trying whatever refuses it.
    ///
    /// ```
    /// use typed_pipe::{ReconnectOptions, WhenFull};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let log = ReconnectOptions::new(WhenFull::DropOldest).connect::<str>(path)?;
    /// log.send("nobody listens yet")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`InvalidName`](crate::ErrorKind::InvalidName): see [`PipePath`].
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): the process has too many open files, or threads.
    pub fn connect<T: Outbound + ?Sized + 'static>(
        self,
        path: impl AsRef<Path>,
    ) -> Result<ReconnectingSender<T, F, C>, Error> {
        let path = PipePath::new(path)?;
        let stop = match self.connecting.token() {
            Some(token) => token.child_token()?,
            None => CancelToken::new()?,
        };
        let state = State {
            backlog: Backlog::new(self.backlog),
            queued: 0,
            in_flight: None,
            present: None,
            confirmed: 0,
            uncertain: 0,
            connections: 0,
            finishing: None,
            said_goodbye: false,
            over: false,
            ended: false,
        };
        let shared = Arc::new(Shared {
            full: self.full,
            change: self.change,
            state: Mutex::new(state),
            changed: Condvar::new(),
            wakeup: Wakeup::new()?,
            stop: stop.clone(),
            maker: Maker::this(),
        });
        let wire = self.handshake.wire().clone();
        let sending = {
            let (shared, path) = (Arc::clone(&shared), path.clone());
            let (handshake, connecting) = (self.handshake, self.connecting.cancelled_by(&stop));
            move || {
                keep_sending::<T, F, C>(&shared, &path, &handshake, &connecting);
                shared.lock().ended = true;
                shared.changed.notify_all();
            }
        };
        let spawned = start_thread("typed-pipe sender", sending);
        spawned.map_err(|error| Error::new(Operation::Connect, error).at(Some(path.shared())))?;
        Ok(ReconnectingSender { shared, wire, path, message: PhantomData })
    }
}

/// What a sender shares with its thread.
struct Shared {
    full: WhenFull,
    change: Option<Change>,
    state: Mutex<State>,
    /// Notified when there is room, and when all is done.
    changed: Condvar,
    /// Wakes the thread.
    wakeup: Wakeup,
    /// Ends everything that the thread waits for.
    stop: CancelToken,
    maker: Maker,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, connected: bool) {
        if let Some(Change(told)) = &self.change {
            // One that panics is told of the next change as well.
            contained(|| told(connected));
        }
    }
}

struct State {
    backlog: Backlog,
    /// How many values were accepted.
    queued: u64,
    /// The message that is being sent. It is kept if that fails, since none of it, or only a part, has gone out.
    in_flight: Option<Arc<[u8]>>,
    present: Option<Present>,
    /// Of connections that are gone.
    confirmed: u64,
    uncertain: u64,
    connections: u64,
    finishing: Option<WaitLimit>,
    said_goodbye: bool,
    /// Whether the counts are final.
    over: bool,
    /// Whether the thread has ended, so that nothing more is sent.
    ended: bool,
}

/// What went over the present connection.
#[derive(Clone, Copy, Default)]
struct Present {
    sent: u64,
    confirmed: u64,
}

impl State {
    fn counts(&self) -> ReconnectCounts {
        let Present { sent, confirmed } = self.present.unwrap_or_default();
        let waiting = self.backlog.len() + usize::from(self.in_flight.is_some());
        ReconnectCounts {
            accepted: self.queued,
            waiting: waiting.try_into().unwrap_or(u64::MAX),
            unconfirmed: sent - confirmed,
            confirmed: self.confirmed + confirmed,
            uncertain: self.uncertain,
            dropped: self.backlog.dropped(),
            connections: self.connections,
            connected: self.present.is_some(),
        }
    }

    /// The next message to send.
    fn next(&mut self) -> Option<Arc<[u8]>> {
        if self.over {
            return None;
        }
        if self.in_flight.is_none() {
            self.in_flight = self.backlog.pop();
        }
        self.in_flight.clone()
    }

    /// Until when the other side may confirm the rest, if nothing more comes.
    fn says_goodbye(&self) -> Option<WaitLimit> {
        self.finishing.filter(|_| self.backlog.len() == 0 && self.in_flight.is_none())
    }

    /// Whether nothing is left to do.
    fn is_done(&self) -> bool {
        let counts = self.counts();
        counts.waiting == 0 && counts.unconfirmed == 0
    }

    /// Whether the other side, if it is there, knows that this was all.
    fn is_finished(&self) -> bool {
        self.is_done() && (self.said_goodbye || self.present.is_none())
    }

    /// Notes that the connection is lost.
    fn lose(&mut self) {
        let Present { sent, confirmed } = self.present.take().unwrap_or_default();
        self.confirmed += confirmed;
        self.uncertain += sent - confirmed;
    }

    /// Makes the counts final.
    fn abandon(&mut self) {
        self.over = true;
        self.lose();
        self.backlog.clear();
        if self.in_flight.take().is_some() {
            self.backlog.count_dropped();
        }
    }
}

/// What is called when the other side comes or goes.
#[derive(Clone)]
struct Change(Arc<dyn Fn(bool) + Send + Sync>);

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Change")
    }
}

/// Connects, sends, and connects again.
fn keep_sending<T, F, C>(
    shared: &Shared,
    path: &PipePath,
    handshake: &Handshake<F, C>,
    connecting: &ConnectOptions,
) where
    T: Outbound + ?Sized,
    F: Framing + Clone,
    C: Codec + Clone,
{
    let mut rest = SHORTEST_REST;
    while !shared.stop.is_cancelled() {
        // The program's framing and codec may panic there, too.
        let connected = contained(|| {
            connecting.connect(path).and_then(|connection| {
                handshake.perform::<T, u64>(connection.cancelled_by(&shared.stop))
            })
        });
        if let Some(Ok(connection)) = connected {
            {
                let mut state = shared.lock();
                if state.over {
                    return;
                }
                state.present = Some(Present::default());
                state.connections += 1;
            }
            shared.tell(true);
            // The program's framing may panic: the message goes nowhere, and those after it do.
            let confirmed = contained(|| send_over(shared, connection)).unwrap_or_else(|| {
                let mut state = shared.lock();
                if state.in_flight.take().is_some() {
                    state.backlog.count_dropped();
                }
                0
            });
            {
                let mut state = shared.lock();
                state.lose();
                shared.changed.notify_all();
            }
            shared.tell(false);
            let state = shared.lock();
            if state.finishing.is_some() && state.is_done() {
                return;
            }
            drop(state);
            // One that comes and goes and never confirms anything is no better than none.
            if confirmed > 0 {
                rest = SHORTEST_REST;
                continue;
            }
        }
        // It is away, or refuses this one: nothing is gained by asking again at once.
        let rested = pause(rest, waiting(WaitLimit::Done, Some(&shared.stop)));
        if rested.is_err() {
            return;
        }
        rest = (rest * 2).min(LONGEST_REST);
    }
}

/// Sends over a connection while it lasts; returns how many messages were confirmed.
fn send_over<T: ?Sized, F: Framing, C: Codec>(
    shared: &Shared,
    mut connection: TypedConnection<T, u64, F, C>,
) -> u64 {
    connection.receiver().io_mut().cancel_by(shared.wakeup.token());
    let mut lost = false;
    let mut in_a_row = 0;
    loop {
        let next = if lost { None } else { shared.lock().next() };
        match next {
            Some(message) => {
                let sent = connection.send_encoded(&message);
                let mut state = shared.lock();
                let State { present: Some(present), in_flight, backlog, over: false, .. } =
                    &mut *state
                else {
                    return 0;
                };
                match sent {
                    Ok(()) => {
                        present.sent += 1;
                        *in_flight = None;
                    }
                    // The other side takes no message of this size.
                    Err(error) if error.kind() == ErrorKind::TooLarge => {
                        *in_flight = None;
                        backlog.count_dropped();
                    }
                    // It goes over the next connection. What was confirmed before is read first.
                    Err(_) => lost = true,
                }
                shared.changed.notify_all();
                drop(state);
                in_a_row += 1;
                // Where there is always more to send, what is confirmed would be taken in until there is no room for it.
                if in_a_row >= IN_A_ROW && !lost {
                    in_a_row = 0;
                    if let Err(confirmed) = hear_what_is_here(shared, connection.receiver()) {
                        return confirmed;
                    }
                }
            }
            None => {
                in_a_row = 0;
                let finishing = shared.lock().says_goodbye();
                if let Some(until) = finishing.filter(|_| !lost) {
                    // It says that this was all, and hears what is confirmed up to the end.
                    let Ok(mut receiver) = connection.finish_timeout(left(until)) else { return 0 };
                    shared.lock().said_goodbye = true;
                    shared.changed.notify_all();
                    loop {
                        if let Err(confirmed) = hear(shared, receiver.recv()) {
                            return confirmed;
                        }
                    }
                }
                let receiver = connection.receiver();
                let heard = if lost { receiver.try_recv() } else { receiver.recv() };
                if let Err(confirmed) = hear(shared, heard) {
                    return confirmed;
                }
            }
        }
    }
}

/// Notes what is confirmed by now. There is at most one confirmation of each message, if the other side is honest.
fn hear_what_is_here<F: Framing, C: Codec>(
    shared: &Shared,
    receiver: &mut ReceivingHalf<u64, F, C>,
) -> Result<(), u64> {
    for _ in 0..2 * IN_A_ROW {
        match receiver.try_recv() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            heard => hear(shared, heard)?,
        }
    }
    Ok(())
}

/// Notes a confirmation, or the wakeup; fails with how many messages are confirmed when the other side is gone.
fn hear(shared: &Shared, heard: Result<u64, Error>) -> Result<(), u64> {
    let mut state = shared.lock();
    let State { present: Some(present), over: false, .. } = &mut *state else { return Err(0) };
    match heard {
        Ok(confirmed) => {
            // No more than was sent, whatever it says.
            present.confirmed = confirmed.clamp(present.confirmed, present.sent);
            shared.changed.notify_all();
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::Cancelled => {
            shared.wakeup.clear();
            Ok(())
        }
        Err(_) => Err(present.confirmed),
    }
}

/// How many messages are sent before a look at what is confirmed, while there is always a next one.
const IN_A_ROW: u32 = 64;

const SHORTEST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_secs(1);

assert_impl_all!(ReconnectingSender<std::rc::Rc<u8>>: Send, Sync);
