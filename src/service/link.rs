//! One connection of calls: what both drivers share. No code of the user's but its framing runs under its locks.

use std::collections::VecDeque;
use std::mem;
use std::ptr::fn_addr_eq;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::counts::{Counted, Counters, End};
use super::encoding::Beside;
use super::failure::{Failure, Lost};
use super::framed::{
    Garbled, Incoming, ItemCheck, Outgoing, SMALL, ShapeOf, body_limit, encoded, joined,
    split_told, told, within,
};
use super::lead::{Rung, Told, Turns};
use super::mux::{Call, Caller, Event, Frame, Id, Mux, Reason, cost};
use super::spans::CallSpan;
use super::waiting::{Handling, Outcome, Reply, Waiter, Wakes, no_task};
use crate::channel::{Described, Receivable, Sendable};
use crate::connection::{ReadHalf, WriteHalf};
use crate::error::{Cause, Error, ErrorKind, Obstacle, Operation};
use crate::handles::Handles;
use crate::state::Mode;
use crate::sys::{Handle, Maker, Peer, WaitLimit};
use crate::wire::Codec;
use crate::wire::shape::{Shape, ValueCheck};

/// A connection of calls.
///
/// Where several locks are held, they were taken in this order: the reader, the writer, the state. Who holds the writer
/// takes the reader only as the one that leads.
pub struct Link<M: Mode> {
    state: Mutex<State>,
    /// Whether no call can be sent any more. Set under the lock of the state.
    shut: AtomicBool,
    reader: Mutex<Reader<M>>,
    writer: Mutex<Writer<M>>,
    /// Something may be read again, or begin.
    pub(super) goes_on: Condvar,
    pub(super) rung: Rung,
    /// The most bytes of a payload that the other side takes.
    pub(super) limit: u64,
    pub(super) tally: Arc<Tally>,
    /// What becomes of the calls of this side.
    pub(super) calls: Arc<Counters>,
    /// The longest time for one batch of bytes to be taken, if there is one.
    pub(super) stall_timeout: Option<Duration>,
    /// The longest time in which a frame arrives, if there is one.
    request_timeout: Option<Duration>,
    /// How long handlers may wait for their callers once the service is to end; `None` where none serves.
    shutdown_timeout: Option<Duration>,
    /// Whether the other side may be idle for a limited time.
    limits_idleness: bool,
    peer: Option<Peer>,
    /// Whether handles can go to the other side.
    takes_handles: bool,
    /// Whether the other side gives credit for items, and takes some of a caller.
    has_credit: bool,
    /// What the other side reads, as far as it tells.
    reads: Option<Reads>,
    /// Whether the other side asks what the answers and items look like.
    tells: bool,
    /// Whether both sides say with a call what the items look like that its caller reads.
    compares_items: bool,
    /// Whether the other side says so with each call that has items, if only that nothing is known of them.
    marks_items: bool,
    /// Whether the other side takes what the items of a caller look like.
    takes_shapes: bool,
    /// Whether not all of it was held against what this side writes.
    unchecked: AtomicBool,
    /// How far that is. It is taken while the user's code runs.
    check: Mutex<Option<Box<ValueCheck>>>,
    /// Whether this side handles calls. Then what reads does nothing else: no call of this side does in its place.
    pub(crate) serves: bool,
    /// Whether the other side sent what is no frame, or does not take its answers.
    failed: AtomicBool,
    /// The process whose calls these are: a forked child speaks for none of them.
    maker: Maker,
    /// Itself, once it is shared.
    pub(super) myself: Weak<Self>,
}

/// What the threads and tasks of a connection share.
#[allow(missing_debug_implementations, reason = "it is never shown")]
pub struct State {
    pub(super) mux: Mux<Arc<Waiter>, Arc<Handling>>,
    pub(super) outbox: Outbox,
    /// What came to be handled, in order.
    pub(super) jobs: Backlog,
    /// Those that wait for a place in the mux.
    pub(super) placeless: VecDeque<Arc<Waiter>>,
    pub(super) lost: Option<Lost>,
    /// Whether a thread writes.
    pub(super) writing: bool,
    /// Whether bytes are left of a thread that gave up writing.
    pub(super) unwritten: bool,
    pub(super) turns: Turns<Arc<Waiter>>,
    pub(super) serving: Serving,
    /// How many calls of this side the last read has ended.
    answered: usize,
    /// The room of small requests that were sent, for the answers that come: what the thread that writes would free, the
    /// one that reads would ask for.
    spare: Vec<Vec<u8>>,
    /// The task that reads and writes.
    pub(super) task: Option<Waker>,
    /// Whether it was woken since it looked last at what is queued.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "of tasks"))]
    pub(super) scheduled: bool,
    /// Whether the program has dropped this side.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "of tasks"))]
    pub(super) abandoned: bool,
}

/// How far the requests of the other side are.
#[derive(Debug, Default)]
pub(super) struct Serving {
    /// How many handlers are at work, or have their answer on its way into the outbox.
    pub(super) running: usize,
    /// How many of them wait for what is still to be read: items, or room for some.
    pub(super) listening: usize,
    /// Whether nothing may begin before what runs has ended.
    pub(super) barrier: bool,
    /// Whether no further requests are taken.
    pub(super) ending: bool,
    /// Since when, where handlers wait for their callers for a limited time.
    ending_since: Option<Instant>,
    /// Whether nothing more can be read.
    pub(super) ended: bool,
    /// Whether all was said, and the goodbye.
    pub(super) over: bool,
    /// Whether the other side takes nothing any more.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "of tasks"))]
    pub(super) deaf: bool,
    /// Whether a thread waits until there is room for what it would read.
    pub(super) full: bool,
    /// When the last handler has ended, where the other side may be idle for a limited time.
    pub(super) handled: Option<Instant>,
}

/// A request of the other side.
#[derive(Debug)]
pub struct Job {
    /// What it is answered by; none for a notification.
    pub(crate) call: Option<(Id, Arc<Handling>)>,
    /// When the caller waits no longer.
    pub(crate) deadline: Option<Instant>,
    pub(crate) body: Vec<u8>,
    /// It, in the numbers of the service.
    counted: Counted,
}

/// What of a connection begins beside what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// A notification is handled alone, calls beside each other.
    #[default]
    Notifications,
    /// One thing at a time.
    All,
    /// All beside each other.
    Nothing,
}

impl Order {
    fn is_alone(self, job: &Job) -> bool {
        match self {
            Self::Notifications => job.call.is_none(),
            Self::All => true,
            Self::Nothing => false,
        }
    }
}

/// The requests of the other side that have not begun.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    jobs: VecDeque<Job>,
    bytes: usize,
}

impl Backlog {
    fn push(&mut self, job: Job) {
        self.bytes += job.size();
        self.jobs.push_back(job);
    }

    fn front(&self) -> Option<&Job> {
        self.jobs.front()
    }

    fn pop(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front()?;
        self.bytes -= job.size();
        Some(job)
    }

    fn remove(&mut self, is_it: impl Fn(&Job) -> bool) -> Option<Job> {
        let job = self.jobs.remove(self.jobs.iter().position(is_it)?)?;
        self.bytes -= job.size();
        Some(job)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

impl Job {
    /// It is taken: its handler begins.
    pub(super) fn begin(&self) {
        self.counted.begin();
    }

    /// What it has come to, with this outcome of its handler.
    pub(crate) fn end(&self, outcome: &Reply) -> End {
        let call = self.call.as_ref();
        let is_cancelled = call.is_some_and(|(_, handling)| handling.is_cancelled());
        if is_cancelled { End::Cancelled } else { End::of_reply(outcome) }
    }

    /// What it takes, about.
    fn size(&self) -> usize {
        self.body.len() + 128
    }
}

/// Nothing further is read while so many bytes of requests wait to begin.
const MOST_WAITING: usize = 1 << 20;

/// The same while something waits for what comes behind them: so many may wait, and then the other side is given up.
const MOST_KEPT: usize = 64 << 20;

/// The frames that are to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Queued>,
    bytes: usize,
    /// How many of them are the last ones of calls of the other side.
    answers: usize,
}

/// A frame that is to be sent.
#[derive(Debug)]
struct Queued {
    frame: Frame<Vec<u8>>,
    /// What goes beside it.
    handles: Vec<Handle>,
    /// What waits until it is written.
    waiter: Option<Arc<Waiter>>,
}

impl Outbox {
    pub(super) fn push(&mut self, frame: Frame<Vec<u8>>) {
        self.push_with(frame, Vec::new());
    }

    /// Queues a frame with handles beside it.
    pub(super) fn push_with(&mut self, frame: Frame<Vec<u8>>, handles: Vec<Handle>) {
        self.bytes += size(&frame);
        self.answers += usize::from(is_answer(&frame));
        self.frames.push_back(Queued { frame, handles, waiter: None });
    }

    /// Queues a frame, and tells the waiter when it is written.
    pub(super) fn push_and_tell(&mut self, frame: Frame<Vec<u8>>, waiter: &Arc<Waiter>) {
        self.bytes += size(&frame);
        let waiter = Some(Arc::clone(waiter));
        self.frames.push_back(Queued { frame, handles: Vec::new(), waiter });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether there are last frames of calls of the other side.
    pub(super) fn has_answers(&self) -> bool {
        self.answers > 0
    }

    /// Whether it is to be written before more is queued.
    pub(super) fn is_much(&self) -> bool {
        self.frames.len() >= EAGER || self.bytes > EAGER_BYTES
    }

    /// How many bytes wait, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes frames for one write.
    fn take(&mut self, batch: &mut Vec<Queued>) {
        let mut bytes = 0;
        while bytes < BATCH {
            // Handles go with the first byte of a write.
            let goes_first = |queued: &Queued| !queued.handles.is_empty();
            if !batch.is_empty() && self.frames.front().is_some_and(goes_first) {
                break;
            }
            let Some(queued) = self.frames.pop_front() else { break };
            bytes += size(&queued.frame);
            self.answers -= usize::from(is_answer(&queued.frame));
            batch.push(queued);
        }
        self.bytes -= bytes;
        if self.frames.is_empty() && self.frames.capacity() > 64 {
            self.frames = VecDeque::new();
        }
    }

    /// Takes back the request of a call, if nothing of it is sent.
    pub(super) fn take_back(&mut self, id: Id) -> bool {
        let place = self.frames.iter().rposition(|queued| is_call(&queued.frame, id));
        match place.and_then(|place| self.frames.remove(place)) {
            Some(queued) => {
                self.bytes -= size(&queued.frame);
                true
            }
            None => false,
        }
    }

    fn has(&self, id: Id) -> bool {
        self.frames.iter().any(|queued| is_call(&queued.frame, id))
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn is_call(frame: &Frame<Vec<u8>>, id: Id) -> bool {
    matches!(frame, Frame::Call(call) if call.id == id)
}

fn is_answer(frame: &Frame<Vec<u8>>) -> bool {
    matches!(frame, Frame::Answer { .. } | Frame::Error { .. })
}

/// What a frame takes, about.
fn size(frame: &Frame<Vec<u8>>) -> usize {
    let body = match frame {
        Frame::Call(Call { body, .. })
        | Frame::Notify { body, .. }
        | Frame::Answer { body, .. }
        | Frame::Error { text: body, .. }
        | Frame::Item { body, .. }
        | Frame::Reply(body) => body.len(),
        Frame::End { .. } | Frame::Credit { .. } | Frame::Cancel { .. } | Frame::Closing => 0,
    };
    body + 16
}

/// The bytes that come in.
pub(crate) struct Reader<M: Mode> {
    pub(super) half: ReadHalf<M>,
    pub(super) incoming: Box<dyn Incoming>,
    /// Since when the first part of a frame is here, and not the last one; only where its time is limited.
    part_since: Option<Instant>,
    /// Whether much came with the last read of a thread.
    pub(super) wide: bool,
}

impl<M: Mode> Reader<M> {
    /// This side did not read meanwhile.
    pub(super) fn forgive(&mut self) {
        if self.part_since.is_some() {
            self.part_since = Some(M::now());
        }
    }
}

/// The bytes that go out.
pub(crate) struct Writer<M: Mode> {
    pub(super) half: WriteHalf<M>,
    pub(super) outgoing: Box<dyn Outgoing>,
    batch: Vec<Queued>,
    /// The calls of the items among what is staged.
    items: Vec<(Id, Caller)>,
    /// The small requests among what was staged, whose room is spare.
    pub(super) sent: Vec<Vec<u8>>,
    /// Since when what is staged waits to be written.
    pub(super) since: Instant,
    /// How many bytes were staged, and how many of them were written.
    staged: u64,
    written: u64,
    /// What is to be known of when it is written.
    going: VecDeque<(u64, Going)>,
}

impl<M: Mode> Writer<M> {
    /// Tells the other side at once that nothing more comes. Where there is no room for that, it learns it when this side is
    /// dropped.
    fn hang_up(&mut self) {
        self.half.forget_token();
        let _ = self.half.poll_finish_until(&mut no_task(), WaitLimit::Now);
    }
}

/// What is on its way, up to some byte.
#[derive(Debug)]
enum Going {
    Call(Id),
    Notification(Arc<Waiter>),
    /// An item that takes its room until it is written: nobody gives credit for it.
    Item(Id, i64),
    Answered,
    Failed,
}

/// How many requests of the other side were answered, and how many of them in vain.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// What becomes of each of them.
    pub(super) counters: Arc<Counters>,
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Tally {
    fn count(&self, answered: bool) {
        let count = if answered { &self.answered } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is queued waits for more up to so many frames: then the other side begins with them, and both are at work.
pub(super) const EAGER: usize = 32;

/// The same in bytes.
const EAGER_BYTES: usize = 16 << 10;

/// The bytes of one write, about.
const BATCH: usize = 64 << 10;

/// A new handler begins only while no more bytes of answers wait to be sent.
const MOST_ANSWERS: usize = 1 << 20;

/// What a connection is made of.
pub(crate) struct Parts<M: Mode> {
    pub(crate) reader: ReadHalf<M>,
    pub(crate) incoming: Box<dyn Incoming>,
    pub(crate) writer: WriteHalf<M>,
    pub(crate) outgoing: Box<dyn Outgoing>,
    pub(crate) limit: u64,
    pub(crate) most_mine: usize,
    pub(crate) most_theirs: usize,
    /// Who is on the other side, if the system tells.
    pub(crate) peer: Option<Peer>,
    /// Whether handles can go to the other side.
    pub(crate) takes_handles: bool,
    /// Whether the other side gives credit for items, and takes some of a caller.
    pub(crate) has_credit: bool,
    /// What the other side reads, as far as it tells.
    pub(crate) reads: Option<Reads>,
    /// Whether the other side asks what the answers and items look like.
    pub(crate) tells: bool,
    /// Whether both sides say with a call what the items look like that its caller reads.
    pub(crate) compares_items: bool,
    /// Whether the other side says so with each call that has items, if only that nothing is known of them.
    pub(crate) marks_items: bool,
    /// Whether the other side takes what the items of a caller look like.
    pub(crate) takes_shapes: bool,
}

/// What the other side reads.
#[derive(Clone)]
pub(crate) struct Reads {
    pub(crate) shape: Shape,
    pub(crate) of: Kind,
}

/// The values that a side reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It handles calls.
    Requests,
    /// It calls.
    Answers,
    /// It does both: it tells the shape of a pair, of which each value is one half.
    Both,
}

impl<M: Mode> Link<M> {
    /// A connection whose side calls, and handles nothing.
    pub(crate) fn calling(parts: Parts<M>) -> Self {
        Self::new(parts, false, Arc::default(), None, None)
    }

    /// A connection whose side handles requests as well.
    pub(crate) fn serving(
        parts: Parts<M>,
        tally: Arc<Tally>,
        stall_timeout: Duration,
        request_timeout: Duration,
        shutdown_timeout: Duration,
        limits_idleness: bool,
    ) -> Self {
        let link = Self::new(parts, true, tally, Some(stall_timeout), Some(request_timeout));
        Self { shutdown_timeout: Some(shutdown_timeout), limits_idleness, ..link }
    }

    fn new(
        parts: Parts<M>,
        serves: bool,
        tally: Arc<Tally>,
        stall_timeout: Option<Duration>,
        request_timeout: Option<Duration>,
    ) -> Self {
        let Parts {
            reader,
            incoming,
            writer,
            outgoing,
            limit,
            most_mine,
            most_theirs,
            peer,
            takes_handles,
            has_credit,
            reads,
            tells,
            compares_items,
            marks_items,
            takes_shapes,
        } = parts;
        let mut mux = Mux::new(most_mine, most_theirs);
        if !has_credit {
            mux.without_credit();
        }
        Self {
            state: Mutex::new(State {
                mux,
                outbox: Outbox::default(),
                jobs: Backlog::default(),
                placeless: VecDeque::new(),
                lost: None,
                writing: false,
                unwritten: false,
                turns: Turns::default(),
                serving: Serving::default(),
                answered: 0,
                spare: Vec::new(),
                task: None,
                scheduled: false,
                abandoned: false,
            }),
            shut: AtomicBool::new(false),
            reader: Mutex::new(Reader { half: reader, incoming, part_since: None, wide: false }),
            writer: Mutex::new(Writer {
                half: writer,
                outgoing,
                batch: Vec::new(),
                items: Vec::new(),
                sent: Vec::new(),
                since: M::now(),
                staged: 0,
                written: 0,
                going: VecDeque::new(),
            }),
            goes_on: Condvar::new(),
            rung: Rung::default(),
            limit,
            tally,
            calls: Arc::default(),
            stall_timeout,
            request_timeout,
            shutdown_timeout: None,
            limits_idleness: false,
            peer,
            takes_handles,
            has_credit,
            tells,
            compares_items,
            marks_items,
            takes_shapes,
            unchecked: AtomicBool::new(reads.is_some()),
            check: Mutex::default(),
            reads,
            serves,
            failed: AtomicBool::new(false),
            maker: Maker::this(),
            myself: Weak::new(),
        }
    }

    /// The same, for all that call and serve over it.
    pub(crate) fn shared(self) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self { myself: Weak::clone(myself), ..self })
    }

    /// Whether this is the copy of a forked child, whose parent goes on with the connection.
    pub(crate) fn is_forked(&self) -> bool {
        !self.maker.is_this()
    }

    /// Holds a value, a request or an answer, against what the other side reads, until all of that was seen.
    pub(super) fn check(&self, value: &(impl Serialize + ?Sized), kind: Kind) -> Result<(), Error> {
        let Some(Reads { shape, of }) = &self.reads else { return Ok(()) };
        if *of != Kind::Both && *of != kind {
            return Ok(());
        }
        if !self.unchecked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let slot = || self.check.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = slot().take();
        let mut check = taken.unwrap_or_else(|| Box::new(ValueCheck::new(shape)));
        // The user's code runs here, and may call again: other values are held against a check of their own.
        let checked = checked(&mut check, *of, value, kind);
        if check.is_done() {
            self.unchecked.store(false, Ordering::Relaxed);
        }
        *slot() = Some(check);
        checked
    }

    /// The same for a request of another type than those before, whatever was seen of them.
    pub(super) fn check_other(&self, request: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        match &self.reads {
            Some(Reads { shape, of }) if *of != Kind::Answers => {
                checked(&mut ValueCheck::new(shape), *of, request, Kind::Requests)
            }
            _ => Ok(()),
        }
    }

    /// The name of the method of a request of this side, where its span is listened to.
    pub(super) fn method(&self, codec: &impl Codec, body: &[u8]) -> Option<String> {
        if !CallSpan::is_listened_to() {
            return None;
        }
        let Reads { shape, of } = self.reads.as_ref()?;
        shape.variant_in(codec, body, *of == Kind::Both)
    }

    /// Puts what items of this type look like before the body of a call that reads them. Returns the number of its method.
    pub(super) fn tell_items<T: Receivable, C: Codec>(&self, codec: &C, body: &mut Vec<u8>) -> u64 {
        if !self.compares_items {
            return 0;
        }
        let shape = codec.style().map(Shape::of::<T>);
        let told = shape.map(|shape| within(joined(shape.description(), body), self.limit));
        // Where the codec does not know it, or there is no room for it, nothing is compared.
        *body = told.and_then(Result::ok).unwrap_or_else(|| joined(&[], body));
        WITH_ITEMS
    }

    /// An item of a caller: its bytes, behind what it looks like where the one before looked like something else. Returns
    /// whether it is. It is the user's code that runs here.
    pub(super) fn told_item<T: Described + ?Sized>(
        &self,
        codec: &impl Codec,
        item: &T,
        told: Option<ShapeOf>,
    ) -> Result<(bool, Vec<u8>), Error> {
        let body = encoded(codec, item, self.limit)?;
        let shape: ShapeOf = T::shape;
        let is_told = told.is_some_and(|told| fn_addr_eq(told, shape));
        let Some(style) = codec.style().filter(|_| self.takes_shapes && !is_told) else {
            return Ok((false, body));
        };
        let whole = within(joined(shape(style).description(), &body), self.limit);
        match (whole, told) {
            (Ok(whole), _) => Ok((true, whole)),
            // There is no room for it: nothing is compared.
            (Err(_), None) => Ok((false, body)),
            (Err(_), Some(_)) => within(joined(&[], &body), self.limit).map(|whole| (true, whole)),
        }
    }

    /// Fails where a caller sends no items.
    pub(super) fn ensure_items(&self) -> Result<(), Error> {
        if self.has_credit {
            return Ok(());
        }
        Err(Error::new(Operation::Send, Obstacle::Unsupported))
    }

    /// Lets the thread go on that reads no more for now, if there is one: else it would be a call of the system for nothing.
    fn let_read(&self, state: &State) {
        if state.serving.full {
            self.goes_on.notify_all();
        }
    }

    /// Notes that a handler waits for what is still to be read.
    pub(crate) fn listen(self: &Arc<Self>) -> Listening<M> {
        let mut state = self.lock();
        state.serving.listening += 1;
        self.let_read(&state);
        drop(state);
        Listening(Arc::clone(self))
    }

    /// The handles that go to the other side, if they can.
    pub(super) fn passed(&self, handles: &mut Handles) -> Result<Vec<Handle>, Error> {
        if !handles.is_empty() && !self.takes_handles {
            return Err(Error::new(Operation::Send, Obstacle::HandlesNotTaken));
        }
        handles.drain()
    }

    /// What an answer or an item may take.
    pub(super) fn room(&self) -> Room<'_> {
        Room { limit: self.limit, tells: self.tells, items: None }
    }

    /// Counts the calls of this side there.
    pub(crate) fn counting_in(mut self, counters: &Arc<Counters>) -> Self {
        self.calls = Arc::clone(counters);
        self
    }

    /// What waits for a call of this side.
    pub(crate) fn waiter(&self, method: Option<&str>) -> Arc<Waiter> {
        Waiter::new(&self.calls, CallSpan::made(method, self.peer()))
    }

    /// Who is on the other side, if the system tells.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// The most bytes of a payload that the other side takes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_reader(&self) -> MutexGuard<'_, Reader<M>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_lock_reader(&self) -> Option<MutexGuard<'_, Reader<M>>> {
        free(&self.reader)
    }

    pub(super) fn lock_writer(&self) -> MutexGuard<'_, Writer<M>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "of tasks"))]
    pub(super) fn try_lock_writer(&self) -> Option<MutexGuard<'_, Writer<M>>> {
        free(&self.writer)
    }

    /// Whether the other side sent what is no frame, or does not take its answers.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether the next call needs another connection. Each call asks, so it takes no lock.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    /// From here on no call is sent.
    pub(super) fn shut(&self, _: &mut State) {
        self.shut.store(true, Ordering::Release);
    }

    /// Fails a call that cannot be sent any more.
    pub(super) fn ensure_open(&self, state: &State) -> Result<(), Failure> {
        match state.lost {
            Some(lost) => Err(Failure::Lost(lost, false)),
            None if self.is_shut() => Err(Failure::Lost(Lost::Disconnected, false)),
            None => Ok(()),
        }
    }

    /// The goodbye is next: nothing reads the answer of a call of this side that would begin now.
    pub(super) fn part(&self, state: &mut State) {
        state.serving.over = true;
        self.shut(state);
    }

    /// How long the rest of a frame may still take, if a part of it is here.
    pub(super) fn time_of_part(&self, reader: &Reader<M>) -> Option<Duration> {
        let (since, limit) = (reader.part_since?, self.request_timeout?);
        Some(limit.saturating_sub(M::now().saturating_duration_since(since)))
    }

    /// The other side sends so slowly that it is given up.
    pub(super) fn note_too_slow(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Hands what has come to what waits for it.
    pub(super) fn dispatch(&self, reader: &mut Reader<M>) -> Result<(), Lost> {
        let Reader { half, incoming, part_since, .. } = reader;
        let mut begun = *part_since;
        let mut wakes = Wakes::default();
        let mut guard = self.lock();
        let state = &mut *guard;
        state.answered = 0;
        let dispatched = loop {
            match incoming.next() {
                Ok(Some((frame, beside))) => {
                    begun = None;
                    let handles = taken(half, &beside);
                    // A call has its place until its answer has left: who reads none of them may begin no further ones.
                    if matches!(frame, Frame::Call(_)) && !state.mux.has_room(state.outbox.answers)
                    {
                        break Err(Lost::Garbled);
                    }
                    if state.jobs.bytes > MOST_KEPT {
                        break Err(Lost::Flooded);
                    }
                    match state.mux.receive(frame) {
                        // It does not take what it is told.
                        Ok(Event::Reply(_)) if state.outbox.bytes() > MOST_ANSWERS => {
                            break Err(Lost::Garbled);
                        }
                        Ok(event) => self.take(state, event, handles, &mut wakes),
                        Err(_) => break Err(Lost::Garbled),
                    }
                }
                Ok(None) => break Ok(()),
                Err(Garbled) => break Err(Lost::Garbled),
            }
        };
        drop(guard);
        *part_since = match self.request_timeout {
            Some(_) if incoming.has_part() => begun.or_else(|| Some(M::now())),
            _ => None,
        };
        wakes.wake();
        dispatched
    }

    fn take(
        &self,
        state: &mut State,
        event: Event<&[u8], Arc<Waiter>, Arc<Handling>>,
        handles: Vec<Handle>,
        wakes: &mut Wakes,
    ) {
        match event {
            Event::Call(call) => self.take_call(state, call, handles),
            Event::Notify { body, .. } if self.serves => {
                let counted = Counted::came(&self.tally.counters);
                state.jobs.push(Job { call: None, deadline: None, body: body.to_vec(), counted });
            }
            Event::Done { waiter, outcome } => {
                state.answered += 1;
                let outcome = match outcome {
                    Ok(body) => Ok(state.in_spare_room(body)),
                    Err((reason, text)) => {
                        let text = String::from_utf8_lossy(text).into_owned();
                        Err(Failure::Answered(reason, text))
                    }
                };
                self.tell(state, &waiter, wakes, |inbox| {
                    inbox.outcome = Some(outcome);
                    inbox.handles = handles;
                });
                self.free_place(state, wakes);
            }
            Event::Item { waiter, body } => {
                self.tell(state, &waiter, wakes, |inbox| inbox.items.push_back(body.to_vec()));
            }
            Event::MaySend { waiter } => {
                self.tell(state, &waiter, wakes, |_| ());
            }
            Event::RequestItem { handler, told, body } => {
                wakes.add(handler.put(|inbox| inbox.push_item(told, body)));
            }
            Event::RequestEnd { handler } => wakes.add(handler.put(|inbox| inbox.ended = true)),
            Event::HandlerMaySend { handler } => wakes.add(handler.put(|_| ())),
            Event::Cancelled { handler } => {
                self.cancel_queued(state, &handler);
                wakes.cancel(handler);
            }
            Event::Closing => self.shut(state),
            Event::Reply(message) => state.outbox.push(Frame::Reply(message.to_vec())),
            // One of these has made room for another call.
            Event::Stale => self.free_place(state, wakes),
            Event::Notify { .. } => {}
        }
    }

    fn take_call(&self, state: &mut State, call: Call<&[u8]>, handles: Vec<Handle>) {
        let Call { id, method, deadline, body } = call;
        if !self.serves {
            let text = b"this side of the connection answers no calls".to_vec();
            self.answer(state, id, Err((Reason::NoSuchMethod, text)), Vec::new());
            return;
        }
        let tells_items = self.compares_items && method == WITH_ITEMS;
        let told = if tells_items { split_told(body) } else { Some((&[][..], body)) };
        let Some((items, body)) = told else {
            let text = b"what its items look like cannot be read".to_vec();
            self.answer(state, id, Err((Reason::Undecodable, text)), Vec::new());
            return;
        };
        let handling = Arc::new(Handling::with(handles, ItemCheck::new(items)));
        // A handler that waits for the items of a caller which has none would wait for ever.
        handling.inbox().ended = !self.has_credit || (self.marks_items && !tells_items);
        state.mux.handled_by(id, Arc::clone(&handling));
        let within = Some(deadline).filter(|millis| *millis > 0).map(Duration::from_millis);
        let deadline = within.and_then(|within| M::now().checked_add(within));
        let call = Some((id, handling));
        let counted = Counted::came(&self.tally.counters);
        state.jobs.push(Job { call, deadline, body: body.to_vec(), counted });
    }

    /// A call that was cancelled before its handler began is answered without one.
    fn cancel_queued(&self, state: &mut State, handling: &Arc<Handling>) {
        let is_it = |job: &Job| job.call.as_ref().is_some_and(|(_, of)| Arc::ptr_eq(of, handling));
        let Some(job) = state.jobs.remove(is_it) else { return };
        job.counted.end(End::Cancelled);
        if let Some((id, _)) = job.call {
            self.answer(state, id, Err((Reason::Cancelled, Vec::new())), Vec::new());
        }
    }

    /// Queues the last frame of a call of the other side.
    pub(super) fn answer(
        &self,
        state: &mut State,
        id: Id,
        outcome: Result<Vec<u8>, (Reason, Vec<u8>)>,
        handles: Vec<Handle>,
    ) {
        if !state.mux.answered(id) || state.lost.is_some() {
            return;
        }
        match outcome {
            Ok(body) => state.outbox.push_with(Frame::Answer { id, body }, handles),
            Err((reason, text)) => state.outbox.push(Frame::Error { id, reason, text }),
        }
    }

    /// Puts something in the inbox of a call of this side.
    fn tell(
        &self,
        state: &mut State,
        waiter: &Arc<Waiter>,
        wakes: &mut Wakes,
        change: impl FnOnce(&mut super::waiting::Inbox),
    ) {
        let waker = waiter.put(change);
        match state.turns.tell(waiter, &self.rung) {
            Told::Asleep(spot) => wakes.unpark(spot),
            Told::Awake => wakes.add(waker),
            Told::Again => {}
        }
    }

    /// Lets the next one try to enter.
    pub(super) fn free_place(&self, state: &mut State, wakes: &mut Wakes) {
        if let Some(next) = state.placeless.pop_front() {
            self.tell(state, &next, wakes, |_| ());
        }
    }

    /// A handler has ended.
    pub(super) fn finish_job(
        &self,
        state: &mut State,
        job: &Job,
        outcome: Result<Vec<u8>, (Reason, Vec<u8>)>,
    ) {
        state.serving.running -= 1;
        state.serving.barrier = false;
        if self.limits_idleness {
            state.serving.handled = Some(M::now());
        }
        self.let_read(state);
        let end = job.end(&outcome);
        let is_cancelled = end == End::Cancelled;
        job.counted.end(end);
        match &job.call {
            // Nothing waits for it: it need not be sent.
            Some((id, _)) if is_cancelled && !state.serving.ended && state.lost.is_none() => {
                self.tally.count(outcome.is_ok());
                self.answer(state, *id, Err((Reason::Cancelled, Vec::new())), Vec::new());
            }
            Some((id, handling)) => {
                let handles = handling.inbox().take_given();
                self.answer(state, *id, outcome, handles);
            }
            None => self.tally.count(outcome.is_ok()),
        }
    }

    /// Takes the next frames, and makes bytes of them. `false` where there are none.
    pub(super) fn stage(&self, writer: &mut Writer<M>) -> bool {
        let mut state = self.lock();
        state.spare_room_of(&mut writer.sent);
        if state.lost.is_some() {
            // What is queued goes nowhere: `lose` tells those that wait for it.
            return false;
        }
        state.outbox.take(&mut writer.batch);
        drop(state);
        writer.items.clear();
        writer.items.extend(writer.batch.iter().filter_map(|queued| match queued.frame {
            Frame::Item { id, caller, .. } => Some((id, caller)),
            _ => None,
        }));
        if writer.batch.is_empty() {
            return false;
        }
        writer.since = M::now();
        let mut batch = mem::take(&mut writer.batch);
        batch.drain(..).for_each(|queued| self.stage_one(writer, queued));
        writer.batch = batch;
        true
    }

    /// Whether an item among what is staged has a consumer still, which may take its time.
    pub(super) fn has_consumer(&self, writer: &Writer<M>) -> bool {
        if writer.items.is_empty() {
            return false;
        }
        let mut state = self.lock();
        let waits = |(id, caller): &(Id, Caller)| match caller {
            Caller::Sender => state.mux.is_awaited(*id),
            Caller::Receiver => state.mux.handler(*id).is_some_and(|it| !it.is_over()),
        };
        writer.items.iter().any(waits)
    }

    /// Whether something waits here for the other side to take what is staged or queued, for as long as its own deadline
    /// allows: then the other side may be full, and may take its time.
    pub(super) fn is_waited_for(&self, writer: &Writer<M>) -> bool {
        // One that waits no longer has dropped its share.
        let waits = |waiter: &Arc<Waiter>| Arc::strong_count(waiter) > 1;
        let mut guard = self.lock();
        let State { mux, outbox, serving, .. } = &mut *guard;
        if serving.ending {
            return false;
        }
        let mut going = writer.going.iter();
        let staged = going.any(|(_, going)| match going {
            Going::Call(id) => mux.is_awaited(*id),
            Going::Notification(waiter) => waits(waiter),
            Going::Item(..) | Going::Answered | Going::Failed => false,
        });
        staged || outbox.frames.iter().any(|queued| queued.waiter.as_ref().is_some_and(waits))
    }

    fn stage_one(&self, writer: &mut Writer<M>, queued: Queued) {
        let Queued { frame: whole, handles, waiter } = queued;
        let (frame, waiter) = (&whole, &waiter);
        let before = writer.outgoing.staged();
        let mut beside = Beside::default();
        if !handles.is_empty() {
            beside.count = u8::try_from(handles.len()).unwrap_or(u8::MAX);
            beside.numbers = writer.half.raw_mut().pass(handles);
        }
        if let Err(error) = writer.outgoing.stage(frame, &beside) {
            drop(writer.half.raw_mut().take_back());
            match frame {
                Frame::Call(call) => self.fail(call.id, Failure::Unsent(error)),
                Frame::Answer { id, .. } => {
                    let text = format!("its answer cannot be sent: {error}").into_bytes();
                    let frame = Frame::Error { id: *id, reason: Reason::Failed, text };
                    self.stage_one(writer, Queued { frame, handles: Vec::new(), waiter: None });
                }
                // Its text is too long: what fits of it.
                Frame::Error { id, reason, text } if !text.is_empty() => {
                    let most = usize::try_from(body_limit(self.limit)).unwrap_or(usize::MAX);
                    let text = text.get(..most.min(text.len() / 2)).unwrap_or_default().to_vec();
                    let frame = Frame::Error { id: *id, reason: *reason, text };
                    self.stage_one(writer, Queued { frame, handles: Vec::new(), waiter: None });
                }
                _ => {
                    let waiter = waiter.iter().map(Arc::clone);
                    self.tell_all(waiter, || Err(Failure::unsent(&error)));
                }
            }
            return;
        }
        let bytes = writer.outgoing.staged() - before;
        writer.staged += u64::try_from(bytes).unwrap_or(u64::MAX);
        let going = match (frame, waiter) {
            (_, Some(waiter)) => Going::Notification(Arc::clone(waiter)),
            (Frame::Call(call), _) => Going::Call(call.id),
            (Frame::Answer { .. }, _) => Going::Answered,
            (Frame::Item { id, body, .. }, _) if !self.has_credit => Going::Item(*id, cost(body)),
            (Frame::Error { reason: Reason::Cancelled | Reason::NoSuchMethod, .. }, _) => return,
            (Frame::Error { .. }, _) => Going::Failed,
            _ => return,
        };
        writer.going.push_back((writer.staged, going));
        match whole {
            Frame::Call(call) if call.body.capacity() <= SMALL => writer.sent.push(call.body),
            _ => {}
        }
    }

    /// Notes that bytes were written.
    pub(super) fn written(&self, writer: &mut Writer<M>, bytes: usize) {
        writer.outgoing.advance(bytes);
        writer.written += u64::try_from(bytes).unwrap_or(u64::MAX);
        while writer.going.front().is_some_and(|(end, _)| *end <= writer.written) {
            match writer.going.pop_front() {
                Some((_, Going::Notification(waiter))) => {
                    self.tell_all([waiter], || Ok(Vec::new()));
                }
                Some((_, Going::Item(id, cost))) => self.give_room(id, cost),
                Some((_, Going::Answered)) => self.tally.count(true),
                Some((_, Going::Failed)) => self.tally.count(false),
                Some((_, Going::Call(_))) | None => {}
            }
        }
    }

    /// An item was written for which the other side gives no credit.
    fn give_room(&self, id: Id, cost: i64) {
        let mut wakes = Wakes::default();
        let bytes = u64::try_from(cost).unwrap_or_default();
        let credit = Frame::<&[u8]>::Credit { id, caller: Caller::Sender, bytes };
        if let Ok(Event::HandlerMaySend { handler }) = self.lock().mux.receive(credit) {
            wakes.add(handler.put(|_| ()));
        }
        wakes.wake();
    }

    /// Ends what waits without a place.
    fn tell_all(
        &self,
        waiters: impl IntoIterator<Item = Arc<Waiter>>,
        outcome: impl Fn() -> Outcome,
    ) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        for waiter in waiters {
            self.tell(&mut state, &waiter, &mut wakes, |inbox| inbox.outcome = Some(outcome()));
        }
        drop(state);
        wakes.wake();
    }

    /// Ends one call of this side.
    fn fail(&self, id: Id, failure: Failure) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        if let Some(waiter) = state.mux.forget(id) {
            self.tell(&mut state, &waiter, &mut wakes, |inbox| inbox.outcome = Some(Err(failure)));
        }
        self.free_place(&mut state, &mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Nothing more can be written: calls that are not wholly sent will have no answer. Others may.
    pub(super) fn cannot_write(&self, writer: &mut Writer<M>, lost: Lost) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        self.shut(&mut state);
        state.serving.deaf = true;
        let mut notifications = Vec::new();
        let mut calls = Vec::new();
        let mut unanswered = false;
        for (_, going) in writer.going.drain(..) {
            match going {
                Going::Call(id) => calls.push(id),
                Going::Notification(waiter) => notifications.push(waiter),
                Going::Answered | Going::Failed => unanswered = true,
                Going::Item(..) => {}
            }
        }
        for queued in mem::take(&mut state.outbox).frames {
            match queued.frame {
                Frame::Call(call) => calls.push(call.id),
                Frame::Answer { .. } | Frame::Error { .. } => unanswered = true,
                _ => notifications.extend(queued.waiter),
            }
        }
        if unanswered {
            self.failed.store(true, Ordering::Relaxed);
        }
        let waiters = calls.into_iter().filter_map(|id| state.mux.forget(id));
        for waiter in waiters.collect::<Vec<_>>().into_iter().chain(notifications) {
            self.tell(&mut state, &waiter, &mut wakes, |inbox| {
                inbox.outcome = Some(Err(Failure::Lost(lost, false)));
            });
        }
        state.placeless.drain(..).collect::<Vec<_>>().iter().for_each(|waiter| {
            self.tell(&mut state, waiter, &mut wakes, |_| ());
        });
        drop(state);
        wakes.wake();
    }

    /// Nothing comes any more. Tells all that wait; those whose request was not wholly sent, that it was not.
    pub(super) fn lose(&self, lost: Lost, writer: &mut Writer<M>) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        self.shut(&mut state);
        let lost = *state.lost.get_or_insert(lost);
        if matches!(lost, Lost::Flooded | Lost::Garbled) {
            self.failed.store(true, Ordering::Relaxed);
        }
        let (waiters, handlers) = state.mux.lose();
        let is_going = |id| {
            writer.going.iter().any(|(_, going)| matches!(going, Going::Call(of) if *of == id))
        };
        let going = writer.going.iter().filter_map(|(_, going)| match going {
            Going::Notification(waiter) => Some(Arc::clone(waiter)),
            _ => None,
        });
        let queued = state.outbox.frames.iter().filter_map(|queued| queued.waiter.clone());
        for waiter in going.chain(queued).collect::<Vec<_>>() {
            self.tell(&mut state, &waiter, &mut wakes, |inbox| {
                inbox.outcome = Some(Err(Failure::Lost(lost, false)));
            });
        }
        for (id, waiter) in waiters {
            let sent = !is_going(id) && !state.outbox.has(id);
            self.tell(&mut state, &waiter, &mut wakes, |inbox| {
                inbox.outcome.get_or_insert(Err(Failure::Lost(lost, sent)));
            });
        }
        handlers.into_iter().for_each(|handler| wakes.cancel(handler));
        state.outbox.clear();
        state.jobs.clear();
        state.placeless.drain(..).collect::<Vec<_>>().iter().for_each(|waiter| {
            self.tell(&mut state, waiter, &mut wakes, |_| ());
        });
        wakes.add(state.task.take());
        drop(state);
        if lost == Lost::Cancelled {
            writer.hang_up();
        }
        wakes.wake();
    }

    /// Ends the calls of this side: no answers come any more, or nothing reads them. What the other side asked for is still
    /// answered.
    pub(super) fn end_calls(&self, lost: Lost) {
        let mut wakes = Wakes::default();
        let mut guard = self.lock();
        let state = &mut *guard;
        self.shut(state);
        for (id, waiter) in state.mux.lose_mine() {
            let sent = !state.outbox.take_back(id);
            self.tell(state, &waiter, &mut wakes, |inbox| {
                inbox.outcome.get_or_insert(Err(Failure::Lost(lost, sent)));
            });
        }
        while !state.placeless.is_empty() {
            self.free_place(state, &mut wakes);
        }
        drop(guard);
        wakes.wake();
    }

    /// How long the handlers may still wait for their callers, from when the service is to end. They are told when it is over.
    pub(super) fn left_for_callers(&self) -> Option<Duration> {
        let limit = self.shutdown_timeout?;
        let mut state = self.lock();
        if !state.serving.ending {
            return None;
        }
        let since = *state.serving.ending_since.get_or_insert_with(M::now);
        let left = limit.saturating_sub(M::now().saturating_duration_since(since));
        if !left.is_zero() {
            return Some(left);
        }
        let handlers: Vec<_> = state.mux.handlers().filter(|it| !it.is_over()).collect();
        drop(state);
        handlers.iter().for_each(|handler| handler.hurry());
        None
    }

    /// The caller has left: those that handle its calls are told.
    pub(super) fn cancel_handlers(&self) {
        let mut wakes = Wakes::default();
        self.lock().mux.handlers().for_each(|handler| wakes.cancel(handler));
        wakes.wake();
    }
}

/// What an answer or an item may take, and whether the other side asks what it looks like.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    limit: u64,
    tells: bool,
    /// What an item must look like.
    items: Option<&'a ItemCheck>,
}

impl<'a> Room<'a> {
    /// The same for an item of a call.
    pub(super) fn for_items(self, items: &'a ItemCheck) -> Self {
        Self { items: Some(items), ..self }
    }

    /// The bytes of an answer or an item, for a side that has its type or asks what it looks like. It is the user's code
    /// that runs here.
    pub(super) fn body<T: Sendable + ?Sized>(
        self,
        codec: &impl Codec,
        value: &T,
    ) -> Result<Vec<u8>, Error> {
        self.items.map_or(Ok(()), |items| items.check(value))?;
        let body = encoded(codec, value, self.limit)?;
        if self.tells { told(codec, value, &body, self.limit) } else { Ok(body) }
    }
}

/// A handler that waits for what is still to be read.
#[allow(missing_debug_implementations, reason = "it is never shown")]
pub struct Listening<M: Mode>(Arc<Link<M>>);

impl<M: Mode> Drop for Listening<M> {
    fn drop(&mut self) {
        self.0.lock().serving.listening -= 1;
    }
}

impl State {
    /// Whether the next request may begin: nothing that must end before it runs, and not too many answers wait to leave.
    pub(super) fn may_begin(&self, order: Order) -> bool {
        let Some(next) = self.jobs.front() else { return false };
        let alone = order.is_alone(next);
        // A notification has no answer: where both sides send much, it must not wait for the other side to read.
        let has_room = next.call.is_none() || self.outbox.bytes() <= MOST_ANSWERS;
        !self.serving.barrier && has_room && (!alone || self.serving.running == 0)
    }

    /// The next request, in order, if it may begin.
    pub(super) fn next_job(&mut self, order: Order) -> Option<Job> {
        let job = if self.may_begin(order) { self.jobs.pop()? } else { return None };
        self.serving.running += 1;
        self.serving.barrier = order.is_alone(&job);
        Some(job)
    }

    /// Nothing more is taken, of what has come either.
    pub(super) fn take_no_more(&mut self) {
        self.serving.running -= 1;
        self.serving.barrier = false;
        self.jobs.clear();
    }

    /// Whether nothing further is to be read before requests that have come begin. Not while something waits for what may
    /// come behind them.
    pub(super) fn is_full(&self) -> bool {
        let waits = self.serving.listening > 0 || self.mux.in_flight().0 > 0;
        self.jobs.bytes > MOST_WAITING && !waits && !self.serving.ending
    }

    /// Whether something is going on, so that the other side is not idle.
    pub(super) fn is_active(&self) -> bool {
        let calls = self.mux.in_flight().0;
        self.serving.running > 0 || !self.jobs.is_empty() || self.has_output() || calls > 0
    }

    /// The end of a handler is a sign of the other side: it waited for that.
    pub(super) fn note_handled(&self, last: &mut Instant) {
        *last = self.serving.handled.map_or(*last, |handled| handled.max(*last));
    }

    /// Whether nothing is to be done before something comes.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_over = self.serving.ending || self.lost.is_some();
        !is_over && !self.writing && !self.is_active() && self.mux.in_flight() == (0, 0)
    }

    /// Whether no other call was queued just now, and none is about to be: those that were answered together call again
    /// together.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "of tasks"))]
    pub(super) fn calls_alone(&self) -> bool {
        self.mux.in_flight().0 <= 1 && self.answered <= 1
    }

    /// Whether there is something to write.
    pub(super) fn has_output(&self) -> bool {
        self.unwritten || !self.outbox.is_empty()
    }

    /// Keeps the room of requests that were sent, one for each answer that is still to come.
    pub(super) fn spare_room_of(&mut self, sent: &mut Vec<Vec<u8>>) {
        self.spare.append(sent);
        self.spare.truncate(self.mux.in_flight().0);
    }

    /// These bytes in such room, where there is some and it is enough.
    fn in_spare_room(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self.spare.pop() {
            Some(mut room) if bytes.len() <= room.capacity() => {
                room.clear();
                room.extend_from_slice(bytes);
                room
            }
            _ => bytes.to_vec(),
        }
    }

    /// Queues the request of a call; `None` if all places are taken.
    pub(super) fn enter(&mut self, waiter: &Arc<Waiter>, request: &mut Request) -> Option<Id> {
        let id = self.mux.call(Arc::clone(waiter))?;
        let Request { method, deadline, body, handles, .. } = request;
        let (body, handles) = (mem::take(body), mem::take(handles));
        let (method, deadline) = (*method, *deadline);
        self.outbox.push_with(Frame::Call(Call { id, method, deadline, body }), handles);
        Some(id)
    }

    /// Gives up a call. Returns whether a part of its request was sent.
    pub(super) fn give_up(&mut self, id: Id) -> bool {
        if self.outbox.take_back(id) {
            self.mux.forget(id);
            return false;
        }
        if self.mux.cancel(id) {
            self.outbox.push(Frame::Cancel { id });
        }
        true
    }

    /// Gives back to the producer what was consumed of the items of a call of this side.
    pub(super) fn consumed(&mut self, id: Id, caller: Caller, cost: i64) {
        if let Some(bytes) = self.mux.consume(id, caller, cost) {
            self.outbox.push(Frame::Credit { id, caller, bytes });
        }
    }
}

/// The method of a call whose body is behind what the items look like that its caller reads. All others are 0.
const WITH_ITEMS: u64 = 1;

/// A request that is to be sent.
#[derive(Debug)]
pub struct Request {
    pub(crate) method: u64,
    /// The name of the method, for its span.
    pub(crate) name: Option<String>,
    /// The milliseconds that the caller waits; 0 for as long as it takes.
    pub(crate) deadline: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) handles: Vec<Handle>,
}

/// Holds a value against what a side reads that reads such values. It is the user's code that runs here.
fn checked(
    check: &mut ValueCheck,
    of: Kind,
    value: &(impl Serialize + ?Sized),
    kind: Kind,
) -> Result<(), Error> {
    let checked = match (of, kind) {
        (Kind::Both, Kind::Requests) => check.check(&(Some(value), None::<()>)),
        (Kind::Both, _) => check.check(&(None::<()>, Some(value))),
        _ => check.check(value),
    };
    checked.map_err(|at| Error::new(Operation::Encode, Cause::Unfit(at.to_sender())))
}

/// The handles that came beside a frame. Those that were lost are missed where they are taken.
fn taken<M: Mode>(half: &mut ReadHalf<M>, beside: &Beside) -> Vec<Handle> {
    if beside.is_empty() {
        return Vec::new();
    }
    half.raw_mut().take_passed(beside.count.into(), &beside.numbers).unwrap_or_default()
}

/// What a lock guards, unless another thread has it.
fn free<T>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match lock.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// What the error of a read or a write means to the connection.
pub(super) fn lost_by(error: std::io::Error) -> Lost {
    let code = error.raw_os_error();
    match Error::new(Operation::Receive, error).kind() {
        ErrorKind::Cancelled => Lost::Cancelled,
        ErrorKind::Disconnected => Lost::Disconnected,
        _ => code.map_or(Lost::Disconnected, Lost::Refused),
    }
}

/// What the error of a read means to it. A peer that has left may have said all before.
pub(super) fn lost_reading(error: std::io::Error, incoming: &mut dyn Incoming) -> Lost {
    match lost_by(error) {
        Lost::Disconnected | Lost::Refused(_) => lost_at_end(incoming),
        lost => lost,
    }
}

/// What the end of the stream means to it.
pub(super) fn lost_at_end(incoming: &mut dyn Incoming) -> Lost {
    match incoming.end() {
        ErrorKind::Finished => Lost::Finished,
        _ => Lost::Disconnected,
    }
}
