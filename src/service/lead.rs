//! Which thread reads for all that wait, and which one writes what all have queued: who sleeps, and who is woken. It does no
//! I/O and knows no time, so that `loom/` runs this very file in all orders.
//!
//! A thread that waits while no other one reads, reads. All others sleep. The reading is handed on under the lock, to the
//! thread that went to sleep last, so that none waits without a reader. A thread that queues something writes it, unless
//! another one writes already, or was woken and is about to: that one writes for both.

use std::collections::VecDeque;
use std::mem;
use std::ops::DerefMut;
use std::sync::Arc;

use super::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// There is something in the inbox.
const NEWS: u32 = 1;
/// It is this thread's turn to read.
const LEAD: u32 = 2;
/// It is one of those that were told of news and have not run since.
const COUNTED: u32 = 4;
/// There is something to write, and no thread writes.
const LOOK: u32 = 8;

/// What a thread that waits was told. Set under the lock of the connection.
#[derive(Debug, Default)]
pub(super) struct Signals {
    told: AtomicU32,
    /// Its last place among those that sleep. Read and changed under the lock of the connection alone.
    place: AtomicU64,
}

impl Signals {
    pub(super) fn has_news(&self) -> bool {
        self.told.load(Ordering::SeqCst) & NEWS != 0
    }

    /// What was told before counts no more: the inbox is about to be looked into.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "of tasks"))]
    pub(super) fn forget(&self) {
        self.told.store(0, Ordering::SeqCst);
    }

    fn set(&self, signal: u32) -> u32 {
        self.told.fetch_or(signal, Ordering::SeqCst)
    }

    fn take(&self, signals: u32) -> u32 {
        self.told.fetch_and(!signals, Ordering::SeqCst) & signals
    }
}

/// The threads that were told of news and have not run since. The last of them writes what all of them queue.
#[derive(Debug, Default)]
pub(super) struct Rung(AtomicUsize);

impl Rung {
    /// Whether no thread is about to write what is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

/// A thread that waits.
pub(super) trait Follower: Clone {
    type Lot: ParkingLot;

    fn signals(&self) -> &Signals;
}

/// Where some threads sleep, so that several of them, and no other, are woken at once.
pub(super) trait ParkingLot: Default {
    /// How long a thread sleeps.
    type Until;

    /// How many spots there are.
    const COUNT: u32;

    /// How often some were woken.
    fn wakes(&self) -> u32;

    /// Sleeps at a spot until it is woken there, or without a reason; not at all if others were woken since.
    fn park(&self, spot: u32, wakes: u32, until: Self::Until);

    /// Wakes those whose bits are set.
    fn unpark(&self, spots: u32);
}

/// One of its spots. A thread sleeps there once.
#[derive(Debug)]
pub(super) struct ParkingSpot<L> {
    pub(super) lot: Arc<L>,
    pub(super) number: u32,
}

impl<L: ParkingLot> ParkingSpot<L> {
    /// Lets the thread look at its signals.
    fn unpark(self) {
        self.lot.unpark(1 << self.number);
    }
}

impl<L> Clone for ParkingSpot<L> {
    fn clone(&self) -> Self {
        Self { lot: Arc::clone(&self.lot), number: self.number }
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns<W: Follower> {
    /// Whether a thread reads.
    pub(super) leading: bool,
    /// The threads that wait and do nothing, the newest last. Who takes one from here wakes it.
    parked: VecDeque<Parked<W>>,
    last_parked: u64,
    /// Those that go to sleep one after the other lie together, as their answers come together.
    lot: Arc<W::Lot>,
    /// How many of them are taken.
    taken: u32,
}

/// A thread that waits and does nothing.
#[derive(Debug)]
struct Parked<W: Follower> {
    place: u64,
    waiter: W,
    spot: ParkingSpot<W::Lot>,
}

/// What was noted for one that waits.
pub(super) enum Told<L> {
    /// News for a thread that sleeps there, to be woken under no lock.
    Asleep(ParkingSpot<L>),
    /// News for one that does not, the first that it has not heard of.
    Awake,
    /// It was told before.
    Again,
}

impl<W: Follower> Default for Turns<W> {
    fn default() -> Self {
        Self {
            leading: false,
            parked: VecDeque::new(),
            last_parked: 0,
            lot: Arc::default(),
            taken: 0,
        }
    }
}

impl<W: Follower> Turns<W> {
    /// Whether it is the turn of this thread to read, as no other one does.
    pub(super) fn take(&mut self) -> bool {
        !mem::replace(&mut self.leading, true)
    }

    /// Notes news for one that waits. A thread that sleeps is counted: it wakes, and runs none of the user's code before it
    /// has heard.
    pub(super) fn tell(&mut self, waiter: &W, rung: &Rung) -> Told<W::Lot> {
        if let Some(spot) = self.unpark(waiter) {
            rung.0.fetch_add(1, Ordering::SeqCst);
            waiter.signals().set(NEWS | COUNTED);
            return Told::Asleep(spot);
        }
        if waiter.signals().set(NEWS) & NEWS == 0 { Told::Awake } else { Told::Again }
    }

    /// Lets a thread that sleeps write what is left. `false` if none sleeps.
    pub(super) fn let_another_write(&mut self) -> bool {
        let Some(next) = self.heir() else { return false };
        next.waiter.signals().set(LOOK);
        next.spot.unpark();
        true
    }

    /// Notes that a thread waits and does nothing. Returns where it sleeps.
    fn park(&mut self, waiter: &W) -> ParkingSpot<W::Lot> {
        self.last_parked += 1;
        waiter.signals().place.store(self.last_parked, Ordering::Relaxed);
        if self.taken == W::Lot::COUNT {
            (self.lot, self.taken) = (Arc::default(), 0);
        }
        let spot = ParkingSpot { lot: Arc::clone(&self.lot), number: self.taken };
        self.taken += 1;
        let (place, waiter) = (self.last_parked, waiter.clone());
        self.parked.push_back(Parked { place, waiter, spot: spot.clone() });
        spot
    }

    /// Takes one from among those that wait and do nothing, if it is there. Returns where it sleeps.
    fn unpark(&mut self, waiter: &W) -> Option<ParkingSpot<W::Lot>> {
        let place = waiter.signals().place.load(Ordering::Relaxed);
        // Who waits longest is told first, for the most part: to take it from there moves little.
        let at = self.parked.binary_search_by_key(&place, |parked| parked.place).ok()?;
        self.parked.remove(at).map(|parked| parked.spot)
    }

    /// It waits no longer. Returns whether it was to read.
    fn leave(&mut self, waiter: &W) -> bool {
        self.unpark(waiter);
        waiter.signals().take(LEAD) != 0
    }

    /// The one of them that went to sleep last: its answer comes last, so it will read longest.
    fn heir(&mut self) -> Option<Parked<W>> {
        self.parked.pop_back()
    }
}

/// What the threads of a connection share under its lock.
pub(super) trait Shared {
    type Waiter: Follower;

    fn turns(&mut self) -> &mut Turns<Self::Waiter>;

    /// Whether nothing comes any more, and all were told.
    fn is_lost(&self) -> bool;

    /// Whether a thread writes.
    fn is_writing(&self) -> bool;

    /// Whether there is something to write.
    fn has_output(&self) -> bool;
}

/// A connection at which threads wait.
pub(super) trait Led: Sized {
    type State: Shared<Waiter: Follower<Lot: ParkingLot<Until = Self::Until>>>;
    type Guard<'a>: DerefMut<Target = Self::State>
    where
        Self: 'a;
    /// What comes in, for the thread that reads.
    type Reader<'a>
    where
        Self: 'a;
    type Lost;
    /// How long a thread waits.
    type Until: Copy;

    fn lock(&self) -> Self::Guard<'_>;

    fn rung(&self) -> &Rung;

    /// Whether none of the threads that wait reads, as there is one that does nothing else.
    fn has_reader(&self) -> bool;

    fn lock_reader(&self) -> Self::Reader<'_>;

    /// Reads, and tells those for which something came. `false` where there was no time.
    fn read(&self, reader: &mut Self::Reader<'_>, until: Self::Until) -> Result<bool, Self::Lost>;

    /// Writes what is queued, unless a thread does: that one writes this as well.
    fn write_queued(
        &self,
        state: Self::Guard<'_>,
        until: Self::Until,
        reader: Option<&mut Self::Reader<'_>>,
    );

    /// Ends the connection for all.
    fn end(&self, lost: Self::Lost);

    /// Ends it after a panic.
    fn end_by_panic(&self);

    /// Whether no time is left.
    fn is_over(until: Self::Until) -> bool;

    /// No time at all.
    fn now() -> Self::Until;

    /// At most until it is time to look whether another thread left something behind.
    fn soon(until: Self::Until) -> Self::Until;
}

type WaiterOf<L> = <<L as Led>::State as Shared>::Waiter;
type LotOf<L> = <WaiterOf<L> as Follower>::Lot;

/// Waits for news, and reads for all if no thread does. `false` where the time is over.
pub(super) fn wait<L: Led>(link: &L, waiter: &WaiterOf<L>, until: L::Until) -> bool {
    loop {
        if heard(link, waiter, until) {
            // It cannot be its turn to read as well: who has news is not among those that may inherit.
            return true;
        }
        if let Some(news) = wait_once(link, link.lock(), waiter, until) {
            return news;
        }
    }
}

/// The same, beginning under the lock: what this thread has just queued goes with what another one writes.
pub(super) fn wait_from<L: Led>(
    link: &L,
    state: L::Guard<'_>,
    waiter: &WaiterOf<L>,
    until: L::Until,
) -> bool {
    let news = wait_once(link, state, waiter, until);
    news.unwrap_or_else(|| wait(link, waiter, until))
}

/// Does what is next for a thread that waits. `None` to look again.
fn wait_once<L: Led>(
    link: &L,
    mut state: L::Guard<'_>,
    waiter: &WaiterOf<L>,
    until: L::Until,
) -> Option<bool> {
    if waiter.signals().has_news() {
        return None;
    }
    if state.is_lost() {
        return Some(true);
    }
    if may_write(link, &state) && !L::is_over(until) {
        link.write_queued(state, until, None);
        return None;
    }
    if !link.has_reader() && state.turns().take() {
        drop(state);
        return Some(lead(link, waiter, until));
    }
    let spot = state.turns().park(waiter);
    drop(state);
    sleep(link, waiter, &spot, until)
}

/// Takes note of news. The last of those that were told writes what the others have queued, and so does one that is told of
/// just that: also where it has no time left, as no other one will.
pub(super) fn heard<L: Led>(link: &L, waiter: &WaiterOf<L>, until: L::Until) -> bool {
    let told = waiter.signals().take(NEWS | COUNTED | LOOK);
    let is_last = told & COUNTED != 0 && link.rung().0.fetch_sub(1, Ordering::SeqCst) == 1;
    if is_last || told & LOOK != 0 {
        link.write_queued(link.lock(), until, None);
    }
    told & NEWS != 0
}

/// Whether there is something to write that no other thread writes, or is about to.
fn may_write<L: Led>(link: &L, state: &L::State) -> bool {
    !state.is_writing() && link.rung().is_empty() && state.has_output()
}

/// Sleeps until something is told. `None` to look again.
fn sleep<L: Led>(
    link: &L,
    waiter: &WaiterOf<L>,
    spot: &ParkingSpot<LotOf<L>>,
    until: L::Until,
) -> Option<bool> {
    let signals = waiter.signals();
    loop {
        // Before the look: what is told after it wakes this thread, or keeps it awake.
        let wakes = spot.lot.wakes();
        // One look: between two of them, both could come.
        let told = signals.told.load(Ordering::SeqCst);
        if told & LEAD != 0 {
            signals.take(LEAD);
            return Some(lead(link, waiter, until));
        }
        if told & (NEWS | LOOK) != 0 {
            return None;
        }
        if L::is_over(until) {
            let mut state = link.lock();
            if state.turns().leave(waiter) {
                hand_on(link, state);
            } else {
                drop(state);
            }
            return Some(heard(link, waiter, L::now()));
        }
        spot.lot.park(spot.number, wakes, until);
    }
}

/// Reads for all until there is news for this thread; then another one reads.
fn lead<L: Led>(link: &L, waiter: &WaiterOf<L>, until: L::Until) -> bool {
    let leading = Leading(link);
    let mut reader = link.lock_reader();
    let mut reads = 0_u32;
    let lost = loop {
        let state = link.lock();
        if waiter.signals().has_news() || state.is_lost() {
            break None;
        }
        // Where there is always something for others, no read waits.
        if reads == READS_BY_TIME {
            if L::is_over(until) {
                break None;
            }
            reads = 0;
        }
        let mut soon = until;
        if state.is_writing() || state.has_output() {
            // Another one writes, and may leave something behind.
            soon = L::soon(until);
        }
        if may_write(link, &state) {
            link.write_queued(state, soon, Some(&mut reader));
            if waiter.signals().has_news() {
                break None;
            }
        } else {
            drop(state);
        }
        match link.read(&mut reader, soon) {
            Ok(true) => reads += 1,
            Ok(false) if L::is_over(until) => break None,
            Ok(false) => {}
            Err(lost) => break Some(lost),
        }
    };
    drop(reader);
    leading.ends_well();
    if let Some(lost) = lost {
        link.end(lost);
        return true;
    }
    hand_on(link, link.lock());
    heard(link, waiter, until)
}

/// After so many reads, a thread that reads for all looks whether its own time is over.
const READS_BY_TIME: u32 = 16;

/// Under the lock: either a thread reads after this, or none waits. Where another one does nothing else, it is that one.
/// What this thread was late to write goes on as well, though none waits.
pub(super) fn hand_on<L: Led>(link: &L, mut state: L::Guard<'_>) {
    let heir = if link.has_reader() { None } else { state.turns().heir() };
    let Some(heir) = heir else {
        state.turns().leading = false;
        if may_write(link, &state) {
            link.write_queued(state, L::now(), None);
        }
        return;
    };
    // Under the lock: one that gives up at this moment sees it, and hands it on.
    heir.waiter.signals().set(LEAD);
    drop(state);
    heir.spot.unpark();
}

/// A thread that reads, or writes. Dropped by a panic, of a framing of the user's for instance, it leaves no thread waiting.
pub(super) struct Leading<'a, L: Led>(pub(super) &'a L);

impl<L: Led> Leading<'_, L> {
    pub(super) fn ends_well(self) {
        mem::forget(self);
    }
}

impl<L: Led> Drop for Leading<'_, L> {
    fn drop(&mut self) {
        self.0.end_by_panic();
    }
}
