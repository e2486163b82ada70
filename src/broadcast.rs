//! One sender, and many readers.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use static_assertions::assert_impl_all;

use crate::backlog::{Backlog, Wakeup, contained, encoded, unencoded};
use crate::channel::{Outbound, Sendable};
use crate::connection::{Connection, Listener};
use crate::error::{Error, ErrorKind, FrameError, Obstacle, Operation};
use crate::sys::{Maker, WaitLimit, start_thread};
use crate::typed_connection::{Handshake, TypedConnection};
use crate::wait::{CANCEL_CHECK, CancelToken, left, sooner, until_changed, within};
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire};

/// Sends each value to every reader that is connected, and lets readers come and go.
///
/// A reader is a [`TypedConnection`](crate::TypedConnection) that receives `T` and sends nothing, `()`. It gets, in
/// their order, the values sent after its `connect` has returned, if asked for with
/// [the latest one](BroadcastOptions::keep_latest) before them, and may leave at any time. A value is encoded once for all of
/// them. What happens to a reader that is too slow is a matter of the [policy](SlowReader); whatever it is, a reader
/// that is stopped or killed takes nothing from the others, memory stays bounded, and each reader's losses are counted.
///
/// [`send`](Self::send) writes to no reader: a thread for each one does. So with every policy but
/// [`Wait`](SlowReader::Wait) it never waits, and may be called from a task.
///
/// Dropping it lets all readers go at once, without what waits for them: [`finish_timeout`](Self::finish_timeout)
/// sends that first. The name goes with it.
///
/// ```
/// use std::time::Duration;
/// use typed_pipe::{Broadcast, Listener, SlowReader, TypedConnection};
///
/// let news = Broadcast::<str>::new(Listener::temporary()?, SlowReader::DropOldest)?;
/// let path = news.listener().path().clone(); // all that a reader needs
///
/// let mut one = TypedConnection::<(), String>::connect(&path)?;
/// let mut other = TypedConnection::<(), String>::connect(&path)?;
/// news.send("it works")?;
/// assert_eq!((one.recv()?, other.recv()?), ("it works".into(), "it works".into()));
///
/// for reader in news.finish_timeout(Duration::from_secs(10)) {
///     assert_eq!((reader.sent, reader.dropped), (1, 0));
/// }
/// assert!(one.recv().unwrap_err().is_end());
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// A reader that wants a plain receiver says that it sends nothing, with [`TypedConnection::finish`], and keeps the
/// [half](crate::ReceivingHalf) that it gets back. That such a reader has left is noticed at the next message; that any
/// other has, at once.
#[must_use = "dropping it lets all readers go"]
#[doc(alias("publish", "subscribe", "pubsub", "fanout", "multicast"))]
pub struct Broadcast<T: ?Sized, F = LengthPrefixed, C = Postcard> {
    shared: Arc<Shared>,
    wire: Wire<F, C>,
    listener: Arc<Listener>,
    /// The listener's own token, which also ends waits for slow readers.
    token: Option<CancelToken>,
    message: PhantomData<fn(&T)>,
}

impl<T: Outbound + ?Sized + 'static> Broadcast<T> {
    /// Lets readers connect at a listener, on the default wire.
    ///
    /// ```
    /// use typed_pipe::{Broadcast, Listener, SlowReader};
    ///
    /// let ticks = Broadcast::<u64>::new(Listener::temporary()?, SlowReader::LatestOnly)?;
    /// ticks.send(&1)?; // to nobody
    /// assert!(ticks.readers().is_empty());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`BroadcastOptions::start`].
    pub fn new(listener: Listener, slow: SlowReader) -> Result<Self, Error> {
        BroadcastOptions::new(slow).start(listener)
    }
}

impl<T: Sendable + ?Sized, F: Framing + Clone, C: Codec + Clone> Broadcast<T, F, C> {
    /// Sends a value to every reader; with the policy [`Wait`](SlowReader::Wait), waits until each has room for it.
    ///
    /// ```
    /// use typed_pipe::{Broadcast, ErrorKind, Listener, SlowReader};
    ///
    /// let news = Broadcast::<str>::new(Listener::temporary()?, SlowReader::DropOldest)?;
    /// news.send("hello")?;
    /// let error = news.send(&"hello".repeat(10_000_000)).unwrap_err(); // more than the wire allows
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// After each but the last, no reader gets the value.
    ///
    /// - [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): the wire cannot write the
    ///   value, as lines a text with a line feed, or it is larger than the limit of the wire.
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): the token of the listener was cancelled during the wait.
    /// - [`NotFound`](crate::ErrorKind::NotFound), [`NotAPipe`](crate::ErrorKind::NotAPipe): the listener has lost its
    ///   name: see [`Listener::accept`]. The connected readers get the value and all that follow; no further reader can
    ///   connect. It is said once.
    pub fn send(&self, value: &T) -> Result<(), Error> {
        self.send_until(value, WaitLimit::Done)
    }

    /// Sends a value to every reader; with the policy [`Wait`](SlowReader::Wait), waits for at most `timeout` until
    /// each has room for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Broadcast, ErrorKind, Listener, SlowReader, TypedConnection};
    ///
    /// let news = Broadcast::<[u8]>::new(Listener::temporary()?, SlowReader::Wait)?;
    /// let stopped = TypedConnection::<(), Vec<u8>>::connect(news.listener().path())?; // does not receive
    /// let error = loop {
    ///     if let Err(error) = news.send_timeout(&[7; 100_000], Duration::from_millis(10)) {
    ///         break error;
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # drop(stopped);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`TimedOut`](crate::ErrorKind::TimedOut): a reader had no room in time. None
    /// gets the value, so it may be sent again.
    pub fn send_timeout(&self, value: &T, timeout: Duration) -> Result<(), Error> {
        self.send_until(value, within(timeout))
    }

    /// Sends raw bytes to every reader, without the codec, and else as [`send`](Self::send). A reader takes them with
    /// [`recv_bytes`](crate::TypedReceiver::recv_bytes) or [`recv_view`](crate::TypedReceiver::recv_view).
    ///
    /// All readers share one copy. A `[u8]` that goes through the codec is written byte by byte.
    ///
    /// ```
    /// use typed_pipe::{Broadcast, Listener, SlowReader, TypedConnection};
    ///
    /// let screen = Broadcast::<[u8]>::new(Listener::temporary()?, SlowReader::DropOldest)?;
    /// let mut viewer = TypedConnection::<(), Vec<u8>>::connect(screen.listener().path())?;
    /// screen.send_bytes(&[7; 1 << 20])?; // a frame
    /// assert_eq!(viewer.receiver().recv_bytes()?.len(), 1 << 20);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        let payload = unencoded(&self.wire, bytes).map_err(|error| self.at_its_path(error))?;
        self.send_payload(payload, WaitLimit::Done)
    }

    fn send_until(&self, value: &T, until: WaitLimit) -> Result<(), Error> {
        let payload = encoded(&self.wire, value).map_err(|error| self.at_its_path(error))?;
        self.send_payload(payload, until)
    }

    fn send_payload(&self, payload: Arc<[u8]>, until: WaitLimit) -> Result<(), Error> {
        let mut state = self.shared.lock();
        if self.shared.slow == SlowReader::Wait {
            while state.readers.values().any(|reader| reader.backlog.is_full()) {
                if self.token.as_ref().is_some_and(CancelToken::is_cancelled) {
                    return Err(self.failed(Obstacle::Cancelled));
                }
                if left(until).is_zero() {
                    return Err(self.failed(Obstacle::TimedOut("a reader has no room")));
                }
                let until = match self.token {
                    Some(_) => sooner(until, CANCEL_CHECK),
                    None => until,
                };
                state = until_changed(&self.shared.changed, state, until).0;
            }
        }
        for reader in state.readers.values_mut() {
            reader.take(&payload, self.shared.slow);
        }
        if self.shared.keeps_latest {
            state.latest = Some(payload);
        }
        state.lost.take().map_or(Ok(()), Err)
    }
}

impl<T: ?Sized, F, C> Broadcast<T, F, C> {
    /// The readers that are connected, each with its counts.
    ///
    /// ```
    /// use typed_pipe::{Broadcast, Listener, SlowReader, TypedConnection};
    ///
    /// let news = Broadcast::<u32>::new(Listener::temporary()?, SlowReader::DropOldest)?;
    /// let mut reader = TypedConnection::<(), u32>::connect(news.listener().path())?;
    /// news.send(&7)?;
    /// reader.recv()?;
    /// for reader in news.readers() {
    ///     println!("{:?} has lost {}", reader.pid, reader.dropped);
    /// }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn readers(&self) -> Vec<BroadcastReader> {
        self.shared.lock().readers.values().map(Reader::report).collect()
    }

    /// The listener: its path, and whether its name is still there.
    ///
    /// ```
    /// use typed_pipe::{Broadcast, Listener, SlowReader};
    ///
    /// let news = Broadcast::<u32>::new(Listener::temporary()?, SlowReader::DropOldest)?;
    /// println!("readers connect at {}", news.listener().path());
    /// assert!(!news.listener().is_unlinked()); // once it is, no further reader comes
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Sends to each reader what waits for it, says that this was all, and waits for at most `timeout` until all
    /// readers have taken it. No further reader comes.
    ///
    /// It returns the counts of the readers that were connected. A reader that was too slow is let go, and what it did
    /// not get is among its [dropped](BroadcastReader::dropped) messages.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Broadcast, ErrorKind, Listener, SlowReader, TypedConnection};
    ///
    /// let news = Broadcast::<u32>::new(Listener::temporary()?, SlowReader::DropOldest)?;
    /// let mut reader = TypedConnection::<(), u32>::connect(news.listener().path())?;
    /// news.send(&7)?;
    /// let reading = std::thread::spawn(move || (reader.recv(), reader.recv()));
    /// let readers = news.finish_timeout(Duration::from_secs(10));
    /// assert!(readers[0].finished);
    /// let (value, end) = reading.join().unwrap();
    /// assert_eq!(value?, 7);
    /// assert_eq!(end.unwrap_err().kind(), ErrorKind::Finished);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn finish_timeout(self, timeout: Duration) -> Vec<BroadcastReader> {
        let until = within(timeout);
        self.shared.no_more_readers.cancel();
        let mut state = self.shared.lock();
        state.finishing = Some(until);
        for reader in state.readers.values() {
            reader.wakeup.wake();
        }
        while !state.readers.is_empty() && !left(until).is_zero() {
            state = until_changed(&self.shared.changed, state, until).0;
        }
        // Who is still there gets no more.
        for reader in state.readers.values_mut() {
            reader.stop.cancel();
            reader.backlog.clear();
        }
        let mut readers: Vec<_> = state.readers.values().map(Reader::report).collect();
        readers.append(&mut state.finished);
        readers.sort_by_key(|reader| reader.number);
        readers
    }

    fn failed(&self, cause: Obstacle) -> Error {
        self.at_its_path(Error::new(Operation::Send, cause))
    }

    fn at_its_path(&self, error: Error) -> Error {
        error.at(Some(self.listener.path().shared()))
    }
}

impl<T: ?Sized, F, C> Drop for Broadcast<T, F, C> {
    fn drop(&mut self) {
        // Its threads are those of the process that made it, not of a forked child.
        if !self.shared.maker.is_this() {
            return;
        }
        self.shared.no_more_readers.cancel();
        let mut state = self.shared.lock();
        state.over = true;
        for reader in state.readers.values() {
            reader.stop.cancel();
            reader.wakeup.wake();
        }
    }
}

impl<T: ?Sized, F, C> fmt::Debug for Broadcast<T, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("path", self.listener.path())
            .field("slow", &self.shared.slow)
            .finish_non_exhaustive()
    }
}

/// What happens to a reader of a [`Broadcast`] for which as many messages wait as [may](BroadcastOptions::backlog).
///
/// The system holds some more for each reader, as much as fits into a socket or a pipe.
///
/// ```
/// use typed_pipe::{Broadcast, Listener, SlowReader, TypedConnection};
///
/// let prices = Broadcast::<u64>::new(Listener::temporary()?, SlowReader::LatestOnly)?;
/// let reader = TypedConnection::<(), u64>::connect(prices.listener().path())?; // which does not receive
/// for price in 0..100_000 {
///     prices.send(&price)?; // without a wait
/// }
/// # drop(reader);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("backpressure", "overflow", "lagging"))]
pub enum SlowReader {
    /// The sender waits for it, and all other readers with it.
    Wait,
    /// It loses the oldest message that waits for it.
    DropOldest,
    /// Only the latest message waits for it: what is older is dropped.
    LatestOnly,
    /// It is disconnected, and loses what waits for it. It may connect again.
    Disconnect,
}

/// Options of a [`Broadcast`].
///
/// ```
/// use typed_pipe::{BroadcastOptions, Handshake, Listener, SlowReader};
///
/// let news = BroadcastOptions::new(SlowReader::Disconnect)
///     .backlog(1000)
///     .handshake(Handshake::new().sending("news/1"))
///     .on_departure(|reader, why| eprintln!("{:?} has left: {why}", reader.pid))
///     .start::<str>(Listener::temporary()?)?;
/// news.send("hello")?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a broadcast is made with `start`"]
pub struct BroadcastOptions<F = LengthPrefixed, C = Postcard> {
    slow: SlowReader,
    backlog: usize,
    keeps_latest: bool,
    handshake: Handshake<F, C>,
    departure: Option<Departure>,
}

impl BroadcastOptions {
    /// The default options: 64 messages may wait for each reader, and the default handshake.
    ///
    /// ```
    /// use typed_pipe::{BroadcastOptions, Listener, SlowReader};
    ///
    /// let options = BroadcastOptions::new(SlowReader::DropOldest);
    /// let news = options.clone().start::<str>(Listener::temporary()?)?;
    /// let prices = options.start::<u64>(Listener::temporary()?)?;
    /// # drop((news, prices));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn new(slow: SlowReader) -> Self {
        let handshake = Handshake::new();
        Self { slow, backlog: 64, keeps_latest: false, handshake, departure: None }
    }
}

impl<F, C> BroadcastOptions<F, C> {
    /// Sets how many messages may wait for each reader; 64 unless set, and one at least, or two with
    /// [`keep_latest`](Self::keep_latest). With [`LatestOnly`](SlowReader::LatestOnly) it is always one.
    ///
    /// All readers share a message that waits for several of them.
    ///
    /// ```
    /// use typed_pipe::{BroadcastOptions, Listener, SlowReader};
    ///
    /// let news = BroadcastOptions::new(SlowReader::DropOldest).backlog(10_000).start::<str>(Listener::temporary()?)?;
    /// # drop(news);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("capacity", "high water mark"))]
    pub fn backlog(mut self, messages: usize) -> Self {
        self.backlog = messages;
        self
    }

    /// Gives each new reader the latest value first, if there is one: for settings, a state, a price. Unless it is set, a
    /// reader gets only what is sent once it has connected.
    ///
    /// ```
    /// use typed_pipe::{BroadcastOptions, Listener, SlowReader, TypedConnection};
    ///
    /// let settings = BroadcastOptions::new(SlowReader::LatestOnly)
    ///     .keep_latest()
    ///     .start::<str>(Listener::temporary()?)?;
    /// settings.send("level = info")?;
    /// settings.send("level = debug")?; // to nobody
    /// let mut late = TypedConnection::<(), String>::connect(settings.listener().path())?;
    /// assert_eq!(late.recv()?, "level = debug");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("retain", "watch", "late joiner", "last value", "replay"))]
    pub fn keep_latest(mut self) -> Self {
        self.keeps_latest = true;
        self
    }

    /// Sets the handshake: the wire, the name of the protocol, and the time that a reader has for it.
    ///
    /// ```
    /// use typed_pipe::{BroadcastOptions, ErrorKind, Handshake, Listener, SlowReader};
    ///
    /// let news = BroadcastOptions::new(SlowReader::DropOldest)
    ///     .handshake(Handshake::new().sending("news/2"))
    ///     .start::<str>(Listener::temporary()?)?;
    /// let old = Handshake::new().receiving("news/1");
    /// let connection = typed_pipe::Connection::connect(news.listener().path())?;
    /// assert_eq!(old.perform::<(), String>(connection).unwrap_err().kind(), ErrorKind::Mismatch);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn handshake<G, D>(self, handshake: Handshake<G, D>) -> BroadcastOptions<G, D> {
        let Self { slow, backlog, keeps_latest, departure, .. } = self;
        BroadcastOptions { slow, backlog, keeps_latest, handshake, departure }
    }

    /// Sets a function to be called when a reader is gone, with its last counts and the reason. A thread of its own calls it.
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use typed_pipe::{BroadcastOptions, Listener, SlowReader, TypedConnection};
    ///
    /// let (gone, left) = channel();
    /// let news = BroadcastOptions::new(SlowReader::DropOldest)
    ///     .on_departure(move |reader, _| drop(gone.send(reader)))
    ///     .start::<str>(Listener::temporary()?)?;
    /// drop(TypedConnection::<(), String>::connect(news.listener().path())?);
    /// assert_eq!(left.recv().unwrap().sent, 0);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn on_departure(
        mut self,
        told: impl Fn(BroadcastReader, &Error) + Send + Sync + 'static,
    ) -> Self {
        self.departure = Some(Departure(Arc::new(told)));
        self
    }
}

impl<F, C> BroadcastOptions<F, C>
where
    F: Framing + Clone + Send + Sync + 'static,
    C: Codec + Clone + Send + Sync + 'static,
{
    /// Lets readers connect at a listener, each of which [may be refused](crate::ListenerOptions::admit).
    ///
    /// The [token of the listener](crate::ListenerOptions::cancelled_by) ends the coming of readers, and waits for slow
    /// ones.
    ///
    /// ```
    /// use typed_pipe::{BroadcastOptions, ListenerOptions, SlowReader};
    ///
    /// let listener = ListenerOptions::new().max_clients(100).temporary()?;
    /// let news = BroadcastOptions::new(SlowReader::DropOldest).start::<str>(listener)?;
    /// # drop(news);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): the process has too many open files, or threads.
    pub fn start<T: Outbound + ?Sized + 'static>(
        self,
        listener: Listener,
    ) -> Result<Broadcast<T, F, C>, Error> {
        let token = listener.token().cloned();
        let no_more_readers = match &token {
            Some(token) => token.child_token()?,
            None => CancelToken::new()?,
        };
        let listener = Arc::new(listener.with_token(&no_more_readers));
        let shared = Arc::new(Shared {
            slow: self.slow,
            backlog: match self.slow {
                SlowReader::LatestOnly => 1,
                // The latest message of before is not to be in the way of the next one.
                _ => self.backlog.max(if self.keeps_latest { 2 } else { 1 }),
            },
            keeps_latest: self.keeps_latest,
            departure: self.departure,
            no_more_readers,
            state: Mutex::default(),
            changed: Condvar::new(),
            maker: Maker::this(),
        });
        let wire = self.handshake.wire().clone();
        let accepting = {
            let (shared, listener) = (Arc::clone(&shared), Arc::clone(&listener));
            let handshake = self.handshake;
            move || accept_readers::<T, F, C>(&shared, &listener, &handshake)
        };
        let spawned = start_thread("typed-pipe broadcast", accepting);
        spawned.map_err(|error| {
            Error::new(Operation::Listen, error).at(Some(listener.path().shared()))
        })?;
        Ok(Broadcast { shared, wire, listener, token, message: PhantomData })
    }
}

/// A reader of a [`Broadcast`], and what became of its messages.
///
/// Each message sent since it connected, and the latest one before if it is [kept](BroadcastOptions::keep_latest), is
/// [sent](Self::sent), [queued](Self::queued), or [dropped](Self::dropped); one more may be on its way to the system.
///
/// ```
/// use typed_pipe::{Broadcast, Listener, SlowReader};
///
/// let news = Broadcast::<u32>::new(Listener::temporary()?, SlowReader::DropOldest)?;
/// let lost: u64 = news.readers().iter().map(|reader| reader.dropped).sum();
/// assert_eq!(lost, 0);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastReader {
    /// Its number, in the order in which readers came.
    pub number: u64,
    /// Its process, if the system tells.
    pub pid: Option<u32>,
    /// How many messages the system has taken for it.
    pub sent: u64,
    /// How many messages it lost.
    pub dropped: u64,
    /// How many messages wait for it.
    pub queued: usize,
    /// Whether it has got everything up to [the end](Broadcast::finish_timeout), and this is known.
    pub finished: bool,
}

/// What the threads share.
struct Shared {
    slow: SlowReader,
    backlog: usize,
    keeps_latest: bool,
    departure: Option<Departure>,
    no_more_readers: CancelToken,
    state: Mutex<State>,
    /// Notified when a reader has room, or is gone.
    changed: Condvar,
    maker: Maker,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message of a reader.
    fn next_of(&self, number: u64) -> Next {
        let mut state = self.lock();
        if state.over {
            return Next::Over;
        }
        let finishing = state.finishing;
        let Some(reader) = state.readers.get_mut(&number) else { return Next::Over };
        // Its thread may have been asleep, which the token does not end.
        if reader.disconnected {
            return Next::Over;
        }
        let was_full = reader.backlog.is_full();
        let message = reader.backlog.pop();
        if was_full {
            self.changed.notify_all();
        }
        match (message, finishing) {
            (Some(message), _) => Next::Message(message),
            (None, Some(until)) => Next::End(until),
            (None, None) => Next::Nothing,
        }
    }

    /// Counts a message of a reader.
    fn count(&self, number: u64, sent: bool) {
        if let Some(reader) = self.lock().readers.get_mut(&number) {
            if sent {
                reader.sent += 1;
            } else {
                reader.backlog.count_dropped();
            }
        }
    }

    /// Forgets a reader, and tells of it.
    fn remove(&self, number: u64, ended: Result<(), Error>) {
        let mut state = self.lock();
        let Some(mut reader) = state.readers.remove(&number) else { return };
        reader.backlog.clear();
        let report = BroadcastReader { finished: ended.is_ok(), ..reader.report() };
        if state.finishing.is_some() {
            state.finished.push(report.clone());
        }
        drop(state);
        self.changed.notify_all();
        if let (Err(why), Some(Departure(told))) = (ended, &self.departure) {
            let slow = reader.disconnected;
            let why = if slow { Error::new(Operation::Send, Obstacle::TooSlow) } else { why };
            told(report, &why);
        }
    }
}

#[derive(Default)]
struct State {
    readers: BTreeMap<u64, Reader>,
    numbers: u64,
    /// The latest message, where it is kept for readers to come.
    latest: Option<Arc<[u8]>>,
    /// Until when the readers may take the rest.
    finishing: Option<WaitLimit>,
    /// The last counts of readers that have gone since.
    finished: Vec<BroadcastReader>,
    /// Whether the broadcast was dropped.
    over: bool,
    /// Why no further reader can connect, until the sender is told.
    lost: Option<Error>,
}

/// What is known of a reader.
struct Reader {
    number: u64,
    pid: Option<u32>,
    backlog: Backlog,
    sent: u64,
    /// Whether it was too slow.
    disconnected: bool,
    /// Wakes its thread.
    wakeup: Wakeup,
    /// Ends everything that its thread waits for.
    stop: CancelToken,
}

impl Reader {
    fn take(&mut self, payload: &Arc<[u8]>, slow: SlowReader) {
        if slow == SlowReader::Disconnect && (self.disconnected || self.backlog.is_full()) {
            self.disconnected = true;
            self.backlog.clear();
            self.backlog.count_dropped();
            self.stop.cancel();
        } else {
            // A thread that is at work looks for more before it waits.
            let sleeps = self.backlog.len() == 0;
            self.backlog.push(Arc::clone(payload));
            if !sleeps {
                return;
            }
        }
        self.wakeup.wake();
    }

    fn report(&self) -> BroadcastReader {
        BroadcastReader {
            number: self.number,
            pid: self.pid,
            sent: self.sent,
            dropped: self.backlog.dropped(),
            queued: self.backlog.len(),
            finished: false,
        }
    }
}

enum Next {
    Message(Arc<[u8]>),
    Nothing,
    /// All is sent, and nothing more will come.
    End(WaitLimit),
    Over,
}

/// What is called when a reader is gone.
#[derive(Clone)]
struct Departure(Arc<dyn Fn(BroadcastReader, &Error) + Send + Sync>);

impl fmt::Debug for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Departure")
    }
}

/// Accepts readers, until the listener is cancelled or its name is gone.
fn accept_readers<T, F, C>(shared: &Arc<Shared>, listener: &Listener, handshake: &Handshake<F, C>)
where
    T: Outbound + ?Sized + 'static,
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
{
    loop {
        // The rule of the listener may panic, and what is cloned: that costs a client.
        let Some(accepted) = contained(|| listener.accept()) else { continue };
        match accepted {
            // Without room for a thread or a descriptor, the reader is turned away.
            Ok(connection) => {
                contained(|| begin::<T, F, C>(shared, connection, handshake.clone()));
            }
            Err(error) => match error.kind() {
                ErrorKind::Cancelled => return,
                ErrorKind::NotFound | ErrorKind::NotAPipe => {
                    shared.lock().lost = Some(error);
                    return;
                }
                ErrorKind::ResourceExhausted => {} // the listener has rested
                _ => thread::sleep(CANCEL_CHECK),
            },
        }
    }
}

/// Lets a thread serve a reader, which gets all messages from now on: it cannot be connected before the handshake.
fn begin<T, F, C>(
    shared: &Arc<Shared>,
    connection: Connection,
    handshake: Handshake<F, C>,
) -> Result<(), Error>
where
    T: Outbound + ?Sized + 'static,
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
{
    let (wakeup, stop) = (Wakeup::new()?, CancelToken::new()?);
    let connection = connection.cancelled_by(&stop);
    let pid = connection.peer().ok().and_then(|peer| peer.pid());
    let mut state = shared.lock();
    if state.over || state.finishing.is_some() {
        return Ok(());
    }
    let number = state.numbers;
    state.numbers += 1;
    let mut backlog = Backlog::new(shared.backlog);
    if let Some(latest) = &state.latest {
        backlog.push(Arc::clone(latest));
    }
    let reader =
        Reader { number, pid, backlog, sent: 0, disconnected: false, wakeup: wakeup.clone(), stop };
    state.readers.insert(number, reader);
    drop(state);
    let serving = {
        let shared = Arc::clone(shared);
        move || {
            let served = contained(|| {
                handshake
                    .perform::<T, ()>(connection)
                    .and_then(|connection| serve(&shared, number, &wakeup, connection))
            });
            // The program's framing has panicked: what would come next means nothing.
            let panicked = || Err(Error::new(Operation::Send, FrameError::Poisoned));
            shared.remove(number, served.unwrap_or_else(panicked));
        }
    };
    let spawned = start_thread("typed-pipe reader", serving);
    spawned.map(drop).map_err(|error| {
        shared.lock().readers.remove(&number);
        shared.changed.notify_all();
        Error::new(Operation::Accept, error)
    })
}

/// Sends a reader its messages, until it leaves or there are no more.
fn serve<T: ?Sized, F: Framing, C: Codec>(
    shared: &Shared,
    number: u64,
    wakeup: &Wakeup,
    mut connection: TypedConnection<T, (), F, C>,
) -> Result<(), Error> {
    connection.receiver().io_mut().cancel_by(wakeup.token());
    let mut listens = true;
    loop {
        loop {
            match shared.next_of(number) {
                Next::Message(message) => {
                    let sent = connection.send_encoded(&message);
                    shared.count(number, sent.is_ok());
                    match sent {
                        // What this reader does not take, others may.
                        Err(error) if error.kind() != ErrorKind::TooLarge => return Err(error),
                        _ => {}
                    }
                }
                Next::Nothing => break,
                Next::End(until) => {
                    let (sender, receiver) = connection.split();
                    let finished = sender.finish_timeout(left(until)).map(drop);
                    drop(receiver);
                    return finished.map_err(Error::from);
                }
                Next::Over => return Err(Error::new(Operation::Send, Obstacle::Cancelled)),
            }
        }
        // A reader sends nothing: what ends this is the wakeup, or its departure. One that finishes its direction stays.
        let heard = if listens { connection.recv() } else { wakeup.wait() };
        match heard {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Cancelled => {}
            Err(error) if error.kind() == ErrorKind::Finished => listens = false,
            Err(error) => return Err(error),
        }
        wakeup.clear();
    }
}

assert_impl_all!(Broadcast<std::rc::Rc<u8>>: Send, Sync);
