//! What waits for an answer, and what a handler shares with its connection: threads and tasks alike.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
#[cfg(feature = "tokio")]
use std::task::Poll;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};

use super::counts::{Counted, Counters, End};
use super::failure::Failure;
use super::framed::{Incoming, ItemCheck, ToldItems, split_told};
use super::lead::{Follower, ParkingSpot, Signals};
use super::mux::{Id, Reason, cost};
use super::spans::CallSpan;
use crate::sys::{Handle, ParkingLot, WaitLimit};
use crate::wait::CancelToken;

/// The end of a call of this side.
pub(crate) type Outcome = Result<Vec<u8>, Failure>;

/// What a handler comes to: the answer, or the reason and the text of its failure.
pub(crate) type Reply = Result<Vec<u8>, (Reason, Vec<u8>)>;

/// A thread or a task that waits for one call.
#[derive(Debug)]
pub struct Waiter {
    /// The call, in the numbers of its side.
    counted: Counted,
    /// Its span, where it has one, until it is over for who waits. Taken and dropped under no lock.
    span: Option<Mutex<Option<CallSpan>>>,
    pub(super) signals: Signals,
    inbox: Mutex<Inbox>,
}

/// What has come for a call.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) outcome: Option<Outcome>,
    pub(super) items: VecDeque<Vec<u8>>,
    /// What came beside the answer.
    pub(super) handles: Vec<Handle>,
    /// What wakes a task when something comes.
    waker: Option<Waker>,
}

/// Sets a waker; one that would wake the same is not cloned.
pub(super) fn store(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(slot) => slot.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

impl Waiter {
    pub(super) fn new(counters: &Arc<Counters>, span: Option<CallSpan>) -> Arc<Self> {
        Arc::new(Self {
            counted: Counted::made(counters),
            span: span.map(|span| Mutex::new(Some(span))),
            signals: Signals::default(),
            inbox: Mutex::default(),
        })
    }

    /// Nothing waits for the call any more. To be called under no lock.
    pub(crate) fn give_up(&self, id: Option<Id>) {
        let mut end = End::Cancelled;
        if !self.counted.end(end) {
            // Its outcome has come this very moment, or was not asked for.
            end = self.inbox().outcome.as_ref().map_or(end, End::of_outcome);
        }
        self.is_over(id, end);
    }

    /// What waited has its outcome. To be called under no lock.
    pub(crate) fn came_to(&self, id: Option<Id>, outcome: &Outcome) {
        let end = End::of_outcome(outcome);
        self.counted.end(end);
        self.is_over(id, end);
    }

    /// The call was not begun. To be called under no lock.
    pub(crate) fn failed(&self, failure: Failure) -> Failure {
        let end = End::of_failure(&failure);
        self.counted.end(end);
        self.is_over(None, end);
        failure
    }

    fn is_over(&self, id: Option<Id>, end: End) {
        let Some(slot) = &self.span else { return };
        let span = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut span) = span {
            span.id(id);
            span.end(end);
        }
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what a task is woken by, before it looks into the inbox.
    #[cfg(feature = "tokio")]
    pub(crate) fn listen(&self, waker: &Waker) {
        self.signals.forget();
        store(&mut self.inbox().waker, waker);
    }

    /// Puts something in the inbox. What it returns is to be woken, under no lock.
    pub(super) fn put(&self, change: impl FnOnce(&mut Inbox)) -> Option<Waker> {
        let mut inbox = self.inbox();
        change(&mut inbox);
        if let Some(outcome) = &inbox.outcome {
            self.counted.end(End::of_outcome(outcome));
        }
        inbox.waker.clone()
    }

    /// The end of the call.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_outcome(&self, cx: &Context<'_>) -> Poll<Outcome> {
        self.listen(cx.waker());
        self.take_outcome().map_or(Poll::Pending, Poll::Ready)
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn take_outcome(&self) -> Option<Outcome> {
        self.inbox().outcome.take()
    }
}

impl Follower for Arc<Waiter> {
    type Lot = ParkingLot;

    fn signals(&self) -> &Signals {
        &self.signals
    }
}

impl super::lead::ParkingLot for ParkingLot {
    const COUNT: u32 = Self::COUNT;
    type Until = WaitLimit;

    fn wakes(&self) -> u32 {
        self.wakes()
    }

    fn park(&self, spot: u32, wakes: u32, until: WaitLimit) {
        self.park(spot, wakes, until);
    }

    fn unpark(&self, spots: u32) {
        self.unpark(spots);
    }
}

/// What a handler shares with its connection.
#[derive(Debug, Default)]
pub struct Handling {
    cancelled: AtomicBool,
    /// Whether the service waits no longer for what the caller is to do.
    hurried: AtomicBool,
    token: OnceLock<CancelToken>,
    /// What the items look like that the caller reads.
    pub(super) items: ItemCheck,
    state: Mutex<HandlerInbox>,
}

/// What has come for a handler.
#[derive(Debug, Default)]
pub(super) struct HandlerInbox {
    pub(super) items: VecDeque<CallerItem>,
    /// What the next ones look like, if the caller tells.
    told: Option<Arc<ToldItems>>,
    pub(super) ended: bool,
    /// What came beside the request, and what goes beside the answer.
    pub(super) handles: Vec<Handle>,
    pub(super) given: Vec<Handle>,
    waker: Option<Waker>,
}

/// An item of a caller.
#[derive(Debug)]
pub(super) struct CallerItem {
    pub(super) body: Vec<u8>,
    /// What it takes of the window.
    pub(super) cost: i64,
    pub(super) told: Option<Arc<ToldItems>>,
}

impl HandlerInbox {
    /// An item has come; what it looks like may be before its body.
    pub(super) fn push_item(&mut self, is_told: bool, bytes: &[u8]) {
        if self.ended {
            // The handler was told that there are no more: its time is over, or the service shuts down.
            return;
        }
        let mut body = bytes;
        if is_told {
            // What is no description says nothing.
            let (description, behind) = split_told(bytes).unwrap_or((&[], bytes));
            self.told = Some(Arc::new(ToldItems::new(description)));
            body = behind;
        }
        let (body, cost, told) = (body.to_vec(), cost(bytes), self.told.clone());
        self.items.push_back(CallerItem { body, cost, told });
    }

    pub(super) fn take_given(&mut self) -> Vec<Handle> {
        mem::take(&mut self.given)
    }
}

impl Handling {
    pub(super) fn with(handles: Vec<Handle>, items: ItemCheck) -> Self {
        let handling = Self { items, ..Self::default() };
        handling.inbox().handles = handles;
        handling
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, HandlerInbox> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, change: impl FnOnce(&mut HandlerInbox)) -> Option<Waker> {
        let mut inbox = self.inbox();
        change(&mut inbox);
        inbox.waker.clone()
    }

    /// What to wake when something comes.
    pub(crate) fn wake_by(&self, waker: &Waker) {
        store(&mut self.inbox().waker, waker);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Whether the caller waits, and its handler waits for nothing of it any more.
    pub(super) fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Acquire) && !self.is_cancelled()
    }

    /// Whether one side waits for the other no longer.
    pub(super) fn is_over(&self) -> bool {
        self.is_cancelled() || self.hurried.load(Ordering::Acquire)
    }

    /// The caller waits no longer. To be called under no lock.
    fn cancel(&self) {
        self.end_by(&self.cancelled);
    }

    /// The service is to end, and its handler waits no longer for the caller, who waits on. To be called under no lock.
    pub(super) fn hurry(&self) {
        self.end_by(&self.hurried);
    }

    fn end_by(&self, why: &AtomicBool) {
        why.store(true, Ordering::Release);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
        let waker = self.put(|_| ());
        waker.into_iter().for_each(Waker::wake);
    }

    /// A token that is cancelled with the call, or hurried. It takes a descriptor, so it is made where it is asked for.
    pub(super) fn token(&self) -> Result<&CancelToken, crate::error::Error> {
        if let Some(token) = self.token.get() {
            return Ok(token);
        }
        let token = CancelToken::new()?;
        let token = self.token.get_or_init(|| token);
        // It may have been cancelled before there was a token.
        if self.is_over() {
            token.cancel();
        }
        Ok(token)
    }
}

/// How much is read at once.
pub(super) const READ_SIZE: usize = 64 << 10;

thread_local! {
    /// What comes in is read into the memory of the thread: connections that are idle have none.
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads into the memory of this thread.
pub(super) fn read_buffer<T>(read: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    READ.with_borrow_mut(|buf| {
        buf.resize(READ_SIZE, 0);
        read(buf)
    })
}

/// What has come was handed on.
pub(super) fn rest(incoming: &mut dyn Incoming) {
    READ.with_borrow_mut(|buf| incoming.rest(buf));
}

/// Frees that memory: nothing has come for long.
pub(super) fn forget_read_buffer() {
    READ.with_borrow_mut(|buf| *buf = Vec::new());
}

/// Wakes a thread.
struct Unparker(Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static WAKER: Waker = Waker::from(Arc::new(Unparker(thread::current())));
}

/// What wakes this thread.
pub(super) fn this_thread() -> Waker {
    WAKER.with(Waker::clone)
}

/// What is to be woken when no lock is held.
#[derive(Default)]
pub(super) struct Wakes {
    wakers: Vec<Waker>,
    /// Threads that sleep: the bits of their spots, woken by one call for each lot.
    parked: Vec<(Arc<ParkingLot>, u32)>,
    cancelled: Vec<Arc<Handling>>,
}

impl Wakes {
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }

    pub(super) fn unpark(&mut self, spot: ParkingSpot<ParkingLot>) {
        let ParkingSpot { lot, number } = spot;
        let mut known = self.parked.iter_mut().rev();
        match known.find(|(known, _)| Arc::ptr_eq(known, &lot)) {
            Some((_, numbers)) => *numbers |= 1 << number,
            None => self.parked.push((lot, 1 << number)),
        }
    }

    pub(super) fn cancel(&mut self, handling: Arc<Handling>) {
        self.cancelled.push(handling);
    }

    /// Wakes them. That may run code of an executor, so it holds no lock.
    pub(super) fn wake(&mut self) {
        for (lot, numbers) in mem::take(&mut self.parked) {
            lot.unpark(numbers);
        }
        for waker in mem::take(&mut self.wakers) {
            waker.wake();
        }
        for handling in mem::take(&mut self.cancelled) {
            handling.cancel();
        }
    }
}

impl Drop for Wakes {
    /// A panic, of a framing of the user's for instance, leaves none of them asleep.
    fn drop(&mut self) {
        self.wake();
    }
}

/// The context of a poll that no task makes.
pub(super) fn no_task() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_item_comes_after_the_last_one() {
        let mut inbox = HandlerInbox::default();
        inbox.push_item(false, b"one");
        inbox.ended = true;
        inbox.push_item(false, b"late");
        let items: Vec<_> = inbox.items.iter().map(|item| item.body.as_slice()).collect();
        assert_eq!(items, [b"one"]);
    }
}
