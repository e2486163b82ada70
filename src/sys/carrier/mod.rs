//! Connections over what carries their bytes elsewhere: the trait, and the two halves over it.
//!
//! A carrier never blocks: it wakes what waits for it. A thread waits for an event that its waker sets, beside its
//! cancel token and its deadline; a task is woken itself.

mod threads;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread;

pub(crate) use threads::Threads;

use super::{Event, Maker, Peer, Wait, WaitLimit, ensure_not_cancelled};
use crate::error::Obstacle;

/// The bytes that are taken in at once.
const PIECE: usize = 64 * 1024;

/// A transport of bytes in both directions, for [`Connection::over`](crate::Connection::over).
///
/// A carrier serves both modes: its operations never block, and wake the [`Context`] of their last poll once they can go
/// on. Of each direction there is one operation at a time: reading has one waker, and writing, finishing and
/// `poll_taken` share another one. The calls are serialized, so a carrier needs no lock.
///
/// This one is a pipe in memory, for tests:
///
/// ```
/// use std::collections::VecDeque;
/// use std::io;
/// use std::sync::{Arc, Mutex};
/// use std::task::{Context, Poll, Waker};
/// use typed_pipe::{Carrier, Connection, ErrorKind};
///
/// #[derive(Default)]
/// struct Way {
///     bytes: VecDeque<u8>,
///     finished: bool,
///     closed: bool,
///     wakers: Vec<Waker>,
/// }
///
/// struct Memory {
///     from: Arc<Mutex<Way>>,
///     to: Arc<Mutex<Way>>,
/// }
///
/// impl Memory {
///     fn pair() -> (Self, Self) {
///         let (one, other) = (Arc::<Mutex<Way>>::default(), Arc::<Mutex<Way>>::default());
///         (Self { from: one.clone(), to: other.clone() }, Self { from: other, to: one })
///     }
/// }
///
/// impl Carrier for Memory {
///     fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
///         let mut way = self.from.lock().unwrap();
///         if way.bytes.is_empty() && !way.finished {
///             way.wakers.push(cx.waker().clone());
///             return Poll::Pending;
///         }
///         way.wakers.drain(..).for_each(Waker::wake);
///         Poll::Ready(io::Read::read(&mut way.bytes, buf))
///     }
///
///     fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
///         let mut way = self.to.lock().unwrap();
///         if way.closed {
///             return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
///         }
///         let room = bytes.len().min(1000 - way.bytes.len());
///         if room == 0 {
///             way.wakers.push(cx.waker().clone());
///             return Poll::Pending;
///         }
///         way.bytes.extend(&bytes[..room]);
///         way.wakers.drain(..).for_each(Waker::wake);
///         Poll::Ready(Ok(room))
///     }
///
///     fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
///         let mut way = self.to.lock().unwrap();
///         way.finished = true;
///         way.wakers.drain(..).for_each(Waker::wake);
///         Poll::Ready(Ok(()))
///     }
///
///     fn stop_reading(&mut self) {
///         let mut way = self.from.lock().unwrap();
///         way.closed = true;
///         way.wakers.drain(..).for_each(Waker::wake);
///     }
/// }
///
/// let (one, other) = Memory::pair();
/// let (one, other) = (Connection::over(one)?, Connection::over(other)?);
/// let other = std::thread::spawn(move || other.into_typed::<u32, String>());
/// let mut one = one.into_typed::<String, u32>()?;
/// let mut other = other.join().unwrap()?;
/// one.send(&"hello".into())?;
/// assert_eq!(other.recv()?, "hello");
/// drop(one);
/// assert_eq!(other.recv().unwrap_err().kind(), ErrorKind::Disconnected);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # What a carrier over a network must do
///
/// - **Back-pressure.** While the other side does not read, writing is pending at some bounded number of bytes.
/// - **Order.** The bytes of a direction arrive in order, each once, or the connection fails.
/// - **Three ends, told apart.** `Ok(0)` from reading is said by the other side, by its finish or when it dropped its
///   half, and only after every byte before it. A link that was lost, a process that died, and bytes of this side that
///   the other one left unread are [`ConnectionReset`](io::ErrorKind::ConnectionReset). A write that nobody reads any
///   more is [`BrokenPipe`](io::ErrorKind::BrokenPipe). Every timeout of the transport's own is a lost link: this crate
///   never takes it for a deadline of the program.
/// - **Half-close.** After finishing, reading goes on.
/// - **What was taken.** Finishing says that the transport has everything. Only a transport whose other side *confirms*
///   that its reader took all, up to the end, may answer `true` to [`poll_taken`](Self::poll_taken): an acknowledgement
///   by the other machine's system is no such word.
/// - **Who is there.** [`peer`](Self::peer) names what the transport has authenticated, such as the key of a machine; a
///   mere address does not authenticate.
/// - **Dropping** the carrier ends both directions; what was written still goes, as far as that takes no waiting.
/// - Its reactor or its runtime runs elsewhere: threads that wait poll nothing. No call may block.
///
/// Handles never go over a carrier: a handshake of messages that carry them is refused.
pub trait Carrier: Send + 'static {
    /// Reads some bytes; 0 is the end of the direction. The buffer is never empty.
    ///
    /// # Errors
    ///
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) where the direction has no proper end; any other is the
    /// transport's own.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some bytes, as many as there is room for. While it is pending, it has taken none.
    ///
    /// # Errors
    ///
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) where the other side does not read any more; any other is the
    /// transport's own.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Ends the writing direction: the other side reads the end after what was written. It is ready once the transport
    /// has all of it. It is not called again once it has succeeded.
    ///
    /// # Errors
    ///
    /// As those of [`poll_write`](Self::poll_write): something that was written did not go.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the reading direction: the other side's writes fail from now on, if the transport can tell it.
    fn stop_reading(&mut self);

    /// After finishing: waits until the reader of the other side has taken everything. `false`, where the transport
    /// cannot know, is the default.
    ///
    /// # Errors
    ///
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe): the other side left without taking it.
    fn poll_taken(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        Poll::Ready(Ok(false))
    }

    /// Identifies the other side: see [`Peer::remote`].
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported), by default: the transport does not identify it.
    fn peer(&self) -> io::Result<Peer> {
        Err(Obstacle::UnknownPeer.into())
    }
}

/// The carrier of both halves.
struct Shared {
    carrier: Mutex<Carried>,
    /// The process in which a drop acts: not a forked child.
    maker: Maker,
}

struct Carried {
    carrier: Box<dyn Carrier>,
    writing: Writing,
}

/// The state of the writing direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Open,
    /// Nothing more is written, whether the wait for the end succeeds or not.
    Finishing,
    Finished,
}

impl Carried {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.writing != Writing::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            match ready!(self.carrier.poll_write(cx, bytes)) {
                Ok(written) if written > bytes.len() => {
                    return Poll::Ready(Err(breach("it wrote more than there is")));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written.map_err(not_written)),
            }
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writing != Writing::Finished {
            self.writing = Writing::Finishing;
            ready!(self.carrier.poll_finish(cx)).map_err(not_written)?;
            self.writing = Writing::Finished;
        }
        Poll::Ready(Ok(()))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Carried> {
        self.carrier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is a forked child, in which the carrier is not touched: its threads are those of the parent.
    fn is_forked(&self) -> bool {
        !self.maker.is_this()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").finish_non_exhaustive()
    }
}

/// The event for which a thread waits, and the waker that sets it.
#[derive(Debug)]
struct Waits {
    event: Arc<Event>,
    waker: Waker,
}

/// A carrier may keep its waker for ever, but not the event.
struct SetsEvent(Weak<Event>);

impl Wake for SetsEvent {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(event) = self.0.upgrade() {
            event.set();
        }
    }
}

impl Waits {
    fn new() -> io::Result<Self> {
        let event = Arc::new(Event::automatic()?);
        let waker = Arc::new(SetsEvent(Arc::downgrade(&event))).into();
        Ok(Self { event, waker })
    }

    /// Polls until it is ready, or the wait ends.
    fn block<T>(
        &self,
        wait: Wait<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        ensure_not_cancelled(wait)?;
        let mut cx = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(done) = poll(&mut cx) {
                return done;
            }
            if matches!(wait.until, WaitLimit::Now) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.event.wait(wait)?;
        }
    }
}

/// Both halves of a connection over a carrier, which starts last.
pub(crate) fn halves<C: Carrier>(
    start: impl FnOnce() -> io::Result<C>,
) -> io::Result<(CarrierReader, CarrierWriter)> {
    let (reading, writing) = (Waits::new()?, Waits::new()?);
    let carrier = Mutex::new(Carried { carrier: Box::new(start()?), writing: Writing::Open });
    let shared = Arc::new(Shared { carrier, maker: Maker::this() });
    let reader = CarrierReader {
        shared: Arc::clone(&shared),
        waits: reading,
        backlog: VecDeque::new(),
        piece: Vec::new(),
        end: None,
    };
    Ok((reader, CarrierWriter { shared, waits: writing }))
}

/// How the reading direction has ended.
#[derive(Clone, Debug)]
enum End {
    Said,
    /// With what lost the link, if that is known.
    Reset(Option<String>),
}

impl End {
    fn result(&self) -> io::Result<usize> {
        match self {
            Self::Said => Ok(0),
            Self::Reset(None) => Err(io::ErrorKind::ConnectionReset.into()),
            Self::Reset(Some(why)) => {
                let lost = Obstacle::LinkLost(why.clone());
                Err(io::Error::new(io::ErrorKind::ConnectionReset, lost))
            }
        }
    }
}

/// The reading half of a connection over a carrier.
#[derive(Debug)]
pub(crate) struct CarrierReader {
    shared: Arc<Shared>,
    waits: Waits,
    /// What was taken in while there was no room to write.
    backlog: VecDeque<u8>,
    /// Where that comes in, once something was looked for.
    piece: Vec<u8>,
    end: Option<End>,
}

impl CarrierReader {
    pub(super) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        if self.is_at_hand(buf) {
            if !self.backlog.is_empty() {
                ensure_not_cancelled(wait)?;
            }
            return self.at_hand(buf);
        }
        let Self { shared, waits, end, .. } = self;
        waits.block(wait, |cx| poll_receive(shared, end, cx, buf))
    }

    /// As [`read`](Self::read), for a task.
    #[cfg(feature = "tokio")]
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_at_hand(buf) {
            return Poll::Ready(self.at_hand(buf));
        }
        with_budget(cx, |cx| poll_receive(&self.shared, &mut self.end, cx, buf))
    }

    /// Whether a read needs nothing of the carrier.
    fn is_at_hand(&self, buf: &[u8]) -> bool {
        buf.is_empty() || !self.backlog.is_empty() || self.end.is_some()
    }

    fn at_hand(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.backlog.is_empty() {
            return self.end.as_ref().filter(|_| !buf.is_empty()).map_or(Ok(0), End::result);
        }
        let bytes = self.backlog.read(buf)?;
        if self.backlog.is_empty() {
            self.backlog = VecDeque::new();
        }
        Ok(bytes)
    }

    /// Keeps what comes in, up to a limit, for later reads, until nothing is there.
    fn poll_take_in(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.end.is_none() {
            self.piece.resize(PIECE, 0);
            match ready!(poll_receive(&self.shared, &mut self.end, cx, &mut self.piece)) {
                Ok(bytes) => {
                    let full = self.backlog.len() >= limit;
                    self.backlog.extend(self.piece.get(..bytes).unwrap_or_default());
                    if full && bytes > 0 {
                        return Poll::Ready(Obstacle::Deadlock.into());
                    }
                }
                // The next read reports it, after the bytes that were kept.
                Err(_) if self.end.is_some() => {}
                Err(error) => return Poll::Ready(error),
            }
        }
        Poll::Pending
    }

    /// As above, for a task.
    #[cfg(feature = "tokio")]
    pub(super) fn poll_take_in_as_task(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Error> {
        with_budget(cx, |cx| self.poll_take_in(limit, cx))
    }

    pub(super) fn peer(&self) -> io::Result<Peer> {
        self.shared.lock().carrier.peer()
    }

    /// The event that a wait of this half ends with.
    pub(super) fn event(&self) -> &Arc<Event> {
        &self.waits.event
    }

    /// Gives the event away, in place of a handle of the connection, which ends.
    pub(super) fn into_event(self) -> Event {
        let mut event = Arc::clone(&self.waits.event);
        drop(self);
        loop {
            match Arc::try_unwrap(event) {
                Ok(event) => return event,
                // A waker that is being used has it for a moment more.
                Err(shared) => event = shared,
            }
            thread::yield_now();
        }
    }
}

/// Reads from the carrier itself. The end of the direction stays.
fn poll_receive(
    shared: &Shared,
    ended: &mut Option<End>,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    let read = loop {
        match ready!(shared.lock().carrier.poll_read(cx, buf)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read,
        }
    };
    let end = match read {
        Ok(0) => End::Said,
        Ok(bytes) if bytes > buf.len() => {
            return Poll::Ready(Err(breach("it read more than there is room for")));
        }
        Ok(bytes) => return Poll::Ready(Ok(bytes)),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionReset => End::Reset(None),
            kind if loses_link(kind) => End::Reset(Some(error.to_string())),
            io::ErrorKind::WouldBlock => return Poll::Ready(Err(breach(NO_WOULD_BLOCK))),
            _ => return Poll::Ready(Err(error)),
        },
    };
    Poll::Ready(ended.insert(end).result())
}

impl Drop for CarrierReader {
    fn drop(&mut self) {
        if self.shared.is_forked() {
            mem::forget(Arc::clone(&self.shared));
        } else if Arc::strong_count(&self.shared) > 1 {
            self.shared.lock().carrier.stop_reading();
        }
    }
}

/// The writing half of a connection over a carrier.
#[derive(Debug)]
pub(crate) struct CarrierWriter {
    shared: Arc<Shared>,
    waits: Waits,
}

impl CarrierWriter {
    pub(super) fn write(&self, bytes: &[u8], wait: Wait<'_>) -> io::Result<usize> {
        self.waits.block(wait, |cx| self.shared.lock().poll_write(cx, bytes))
    }

    /// As [`write`](Self::write), for a task.
    #[cfg(feature = "tokio")]
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        with_budget(cx, |cx| self.shared.lock().poll_write(cx, bytes))
    }

    /// Writes, and while there is no room keeps what comes in.
    pub(super) fn write_or_take_in(
        &self,
        incoming: &mut CarrierReader,
        limit: usize,
        bytes: &[u8],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        self.waits.block(wait, |cx| {
            let written = self.shared.lock().poll_write(cx, bytes);
            match written {
                Poll::Pending => incoming.poll_take_in(limit, cx).map(Err),
                written => written,
            }
        })
    }

    pub(super) fn finish(&self, wait: Wait<'_>) -> io::Result<()> {
        self.waits.block(wait, |cx| self.shared.lock().poll_finish(cx))
    }

    /// As [`finish`](Self::finish), for a task.
    #[cfg(feature = "tokio")]
    pub(super) fn poll_finish(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_budget(cx, |cx| self.shared.lock().poll_finish(cx))
    }

    /// Finishes, and waits until the other side has taken all. A carrier knows that at the end at the earliest.
    pub(super) fn wait_until_taken(&self, wait: Wait<'_>) -> io::Result<bool> {
        let taken = self.waits.block(wait, |cx| {
            let mut carried = self.shared.lock();
            ready!(carried.poll_finish(cx))?;
            carried.carrier.poll_taken(cx).map_err(not_written)
        });
        match taken {
            // A task asks again later.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(Obstacle::NotTaken.into())
            }
            taken => taken,
        }
    }

    pub(super) fn is_half_of(&self, reader: &CarrierReader) -> bool {
        Arc::ptr_eq(&self.shared, &reader.shared)
    }

    pub(super) fn peer(&self) -> io::Result<Peer> {
        self.shared.lock().carrier.peer()
    }

    /// The event that a wait of this half ends with.
    pub(super) fn event(&self) -> &Arc<Event> {
        &self.waits.event
    }
}

impl Drop for CarrierWriter {
    fn drop(&mut self) {
        if self.shared.is_forked() {
            mem::forget(Arc::clone(&self.shared));
        } else {
            // As far as that takes no waiting. Nothing is left to report an error to.
            let _ = self.shared.lock().poll_finish(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// Whether an error of a transport means that the other side cannot be reached any more. None of them is a deadline of
/// the program.
pub(super) fn loses_link(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut
            | io::ErrorKind::UnexpectedEof
    )
}

/// The error of a write that failed.
pub(super) fn not_written(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => error,
        io::ErrorKind::ConnectionReset => io::ErrorKind::BrokenPipe.into(),
        io::ErrorKind::WouldBlock => breach(NO_WOULD_BLOCK),
        kind if loses_link(kind) => {
            io::Error::new(io::ErrorKind::BrokenPipe, Obstacle::LinkLost(error.to_string()))
        }
        _ => error,
    }
}

const NO_WOULD_BLOCK: &str = "it returns an error `WouldBlock` in place of `Poll::Pending`";

/// The error of a carrier that does not keep to its trait.
fn breach(what: &'static str) -> io::Error {
    io::Error::other(format!("the carrier is at fault: {what}"))
}

/// Lets other tasks of the runtime have their turn.
#[cfg(feature = "tokio")]
fn with_budget<T>(cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    let turn = ready!(tokio::task::coop::poll_proceed(cx));
    let done = ready!(poll(cx));
    turn.made_progress();
    Poll::Ready(done)
}
