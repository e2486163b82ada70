//! Wakes a task when an event is set.
//!
//! Threads of this module wait for the events, in place of a callback of the system, which would need an
//! address. A wait that is cancelled does not end at once: Wine may call back even after it has reported that no callback
//! will come (`RtlDeregisterWaitEx` checks whether a callback is pending, and only then keeps the waiting thread from
//! beginning one), and its waiting thread goes on for a moment with the numbers that it began with. If such a handle
//! was closed, another one may have its number by then, and the wait consumes the event of that one. If
//! that is the handle by which Wine waits for a read, which it closes after the wait, the read finds none.
//!
//! Here a thread shares each event that it waits for, so none is closed during a wait. Its wakers are shared as well: a
//! late wake-up only causes one more poll.

use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::System::Threading::INFINITE;

use super::event::{Event, MAX_EVENTS, wait_any};
use crate::sys::start_thread;

/// The most wakeups of one thread: it also waits for an event of its own.
const PLACES: usize = MAX_EVENTS - 1;

/// The milliseconds after which a thread without wakeups ends.
const IDLE: u32 = 1000;

/// How long a thread sleeps after a wait of the system has failed.
const REST: Duration = Duration::from_millis(10);

/// The threads that watch wakeups. This lock comes before theirs.
static WATCHES: Mutex<Vec<Arc<Watch>>> = Mutex::new(Vec::new());

/// Wakes a task whenever an event is set, which it unsets.
pub(super) struct Wakeup {
    post: Arc<Post>,
    watch: Arc<Watch>,
}

impl Wakeup {
    #[cfg(feature = "tokio")]
    pub(super) fn new(event: Arc<Event>) -> io::Result<Self> {
        Self::watching(event, false, Waiter::Nobody)
    }

    /// Wakes this task from the beginning; only once if the event stays set.
    #[cfg(feature = "fanout")]
    pub(super) fn of(waker: Waker, event: Arc<Event>, stays_set: bool) -> io::Result<Self> {
        Self::watching(event, stays_set, Waiter::Task(waker))
    }

    fn watching(event: Arc<Event>, once: bool, waiter: Waiter) -> io::Result<Self> {
        let post = Arc::new(Post { event, once, waiter: Mutex::new(waiter) });
        let watch = Watch::of(&post)?;
        Ok(Self { post, watch })
    }

    /// Wakes this task from now on, and no other.
    #[cfg(feature = "tokio")]
    pub(super) fn wakes(&self, waker: &Waker) {
        let mut waiter = locked(&self.post.waiter);
        if !matches!(&*waiter, Waiter::Task(known) if known.will_wake(waker)) {
            let before = mem::replace(&mut *waiter, Waiter::Task(waker.clone()));
            // A task may end with its waker, and this wakeup with the task.
            drop(waiter);
            drop(before);
        }
    }
}

impl Drop for Wakeup {
    fn drop(&mut self) {
        let waiter = mem::replace(&mut *locked(&self.post.waiter), Waiter::Gone);
        self.watch.changed.set();
        drop(waiter);
    }
}

impl fmt::Debug for Wakeup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakeup").finish_non_exhaustive()
    }
}

/// The state that a wakeup shares with its thread.
struct Post {
    /// Open as long as either of them lives.
    event: Arc<Event>,
    /// Whether it is watched until it was set once.
    once: bool,
    waiter: Mutex<Waiter>,
}

/// The waker of a wakeup.
enum Waiter {
    #[cfg(feature = "tokio")]
    Nobody,
    Task(Waker),
    /// The wakeup was dropped.
    Gone,
}

impl Post {
    /// Wakes the task, after a wait has unset the event; returns whether it is watched further.
    fn ring(&self) -> bool {
        let waker = match &*locked(&self.waiter) {
            #[cfg(feature = "tokio")]
            Waiter::Nobody => None,
            Waiter::Task(waker) => Some(waker.clone()),
            Waiter::Gone => {
                // The event is set again for the thread or task that waits for it now.
                self.event.set();
                return false;
            }
        };
        if let Some(waker) = waker {
            // A waker that panics must affect no other task.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
        !self.once
    }

    fn is_gone(&self) -> bool {
        matches!(*locked(&self.waiter), Waiter::Gone)
    }
}

/// A thread that watches wakeups.
struct Watch {
    /// Set when a wakeup came or went.
    changed: Event,
    roll: Mutex<Roll>,
}

/// The wakeups of a thread.
struct Roll {
    /// Those added since its last round.
    fresh: Vec<Arc<Post>>,
    /// The number of others that it watches.
    watched: usize,
}

impl Watch {
    /// Assigns a thread to this wakeup.
    fn of(post: &Arc<Post>) -> io::Result<Arc<Self>> {
        let mut watches = locked(&WATCHES);
        if let Some(watch) = watches.iter().find(|watch| watch.takes(post)) {
            return Ok(Arc::clone(watch));
        }
        let roll = Roll { fresh: vec![Arc::clone(post)], watched: 0 };
        let watch = Arc::new(Self { changed: Event::automatic()?, roll: Mutex::new(roll) });
        watch.changed.set();
        let its_own = Arc::clone(&watch);
        start_thread("typed-pipe-wakeups", move || its_own.keep())?;
        watches.push(Arc::clone(&watch));
        Ok(watch)
    }

    /// Adds the wakeup, if there is a place for it.
    fn takes(&self, post: &Arc<Post>) -> bool {
        let mut roll = locked(&self.roll);
        let has_place = roll.watched + roll.fresh.len() < PLACES;
        if has_place {
            roll.fresh.push(Arc::clone(post));
            self.changed.set();
        }
        has_place
    }

    /// The loop of the thread, until it has had no wakeup for some time.
    fn keep(&self) {
        // One place is that of the thread's own event. The first that is set is served first, and then moves to the end:
        // so none delays another one for good.
        let mut places: Vec<Option<Arc<Post>>> = vec![None];
        loop {
            let events = places.iter().map(|place| match place {
                Some(post) => &*post.event,
                None => &self.changed,
            });
            let time = if places.len() == 1 { IDLE } else { INFINITE };
            match wait_any(events, time) {
                Ok(Some(place)) => {
                    places.rotate_left(place + 1);
                    match places.last() {
                        Some(Some(post)) if post.ring() => {}
                        Some(Some(_)) => drop(places.pop()),
                        _ => self.look(&mut places),
                    }
                }
                Ok(None) if self.ends() => return,
                Ok(None) => {}
                Err(_) => {
                    // The events are open. If the system fails all the same, each task polls by itself.
                    self.look(&mut places);
                    for post in places.iter().flatten() {
                        post.ring();
                    }
                    thread::sleep(REST);
                }
            }
        }
    }

    /// Takes new wakeups, and drops dead ones: a new one may be dead already, which nothing would report again.
    fn look(&self, places: &mut Vec<Option<Arc<Post>>>) {
        let mut roll = locked(&self.roll);
        places.extend(roll.fresh.drain(..).map(Some));
        places.retain(|place| !place.as_ref().is_some_and(|post| post.is_gone()));
        roll.watched = places.len() - 1;
    }

    /// Whether the thread, which watches none, must end: not if a wakeup has just come.
    fn ends(&self) -> bool {
        let mut watches = locked(&WATCHES);
        let is_idle = locked(&self.roll).fresh.is_empty();
        if is_idle {
            watches.retain(|watch| !std::ptr::eq(&**watch, self));
        }
        is_idle
    }
}

/// The locked data is consistent between any two steps, even after a thread panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[cfg(feature = "tokio")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, mpsc};
    use std::task::Wake;
    use std::time::Instant;

    use super::super::testing::{handles, timely};
    use super::*;

    /// Counts, and tells when.
    struct Count(AtomicUsize, mpsc::Sender<()>);

    impl Count {
        fn new() -> (Arc<Self>, mpsc::Receiver<()>) {
            let (told, heard) = mpsc::channel();
            (Arc::new(Self(AtomicUsize::new(0), told)), heard)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            let _ = self.1.send(());
        }
    }

    fn event() -> Arc<Event> {
        Arc::new(Event::automatic().unwrap())
    }

    const LONG: Duration = Duration::from_secs(20);

    /// The thread that rings is in the midst of it, or about to begin: it finds nothing that was freed.
    #[test]
    fn a_bell_that_is_dropped_while_it_rings_harms_nobody() {
        timely(|| {
            for _ in 0..2 {
                let threads = [(); 2].map(|()| {
                    thread::spawn(|| {
                        for _ in 0..1000 {
                            let (event, meet) = (event(), Barrier::new(2));
                            let (count, _heard) = Count::new();
                            let wakeup = Wakeup::new(Arc::clone(&event)).unwrap();
                            wakeup.wakes(&Arc::clone(&count).into());
                            thread::scope(|scope| {
                                scope.spawn(|| {
                                    meet.wait();
                                    event.set();
                                });
                                meet.wait();
                                drop(wakeup);
                            });
                            assert!(count.0.load(Ordering::SeqCst) <= 1);
                        }
                    })
                });
                for thread in threads {
                    thread.join().unwrap();
                }
            }
        });
    }

    /// A thread that waits for the same event after the task gets what is set for it.
    #[test]
    fn what_is_set_after_a_bell_is_gone_reaches_a_thread() {
        timely(|| {
            for round in 0..3000 {
                let event = event();
                drop(Wakeup::new(Arc::clone(&event)).unwrap());
                event.set();
                assert!(event.wait_for(10_000).unwrap(), "{round}");
            }
        });
    }

    /// The number of an event that was closed is that of another one soon, to which nothing may happen then.
    #[test]
    fn what_is_set_is_not_taken_by_a_bell_of_which_it_has_the_number() {
        timely(|| {
            let threads = [(); 2].map(|()| {
                thread::spawn(|| {
                    for round in 0..2000 {
                        drop(Wakeup::new(event()).unwrap());
                        let other = event();
                        other.set();
                        thread::yield_now();
                        assert!(other.wait_for(0).unwrap(), "{round}");
                    }
                })
            });
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    /// While a thread may wait for it, the number of an event is that of no other handle.
    #[test]
    fn an_event_is_open_as_long_as_it_may_be_waited_for() {
        /// Keeps the thread busy until it is released.
        struct Busy(Barrier, Barrier);
        impl Wake for Busy {
            fn wake(self: Arc<Self>) {
                self.0.wait();
                self.1.wait();
            }
        }
        timely(|| {
            let (busy, brief) = (event(), event());
            let [first, second] = loop {
                let wakeups = [&busy, &brief].map(|event| Wakeup::new(Arc::clone(event)).unwrap());
                if Arc::ptr_eq(&wakeups[0].watch, &wakeups[1].watch) {
                    break wakeups;
                }
            };
            let waker = Arc::new(Busy(Barrier::new(2), Barrier::new(2)));
            first.wakes(&Arc::clone(&waker).into());
            busy.set();
            waker.0.wait();
            let open = Arc::downgrade(&brief);
            drop((second, brief));
            assert!(open.strong_count() > 0, "the thread has not looked yet");
            waker.1.wait();
            let begin = Instant::now();
            while open.strong_count() > 0 {
                assert!(begin.elapsed() < LONG, "it is kept");
                thread::yield_now();
            }
        });
    }

    #[test]
    fn each_of_many_bells_rings() {
        timely(|| {
            let (count, heard) = Count::new();
            let waker = Waker::from(Arc::clone(&count));
            let wakeups: Vec<_> = (0..3 * PLACES)
                .map(|_| {
                    let event = event();
                    let wakeup = Wakeup::new(Arc::clone(&event)).unwrap();
                    wakeup.wakes(&waker);
                    (event, wakeup)
                })
                .collect();
            for _ in 0..3 {
                for (event, _) in &wakeups {
                    event.set();
                }
                for _ in &wakeups {
                    heard.recv_timeout(LONG).unwrap();
                }
            }
        });
    }

    /// One that is always set does not keep those after it from being heard.
    #[test]
    fn no_bell_drowns_another_one() {
        /// Sets its event again whenever it is woken.
        struct Restless(Arc<Event>);
        impl Wake for Restless {
            fn wake(self: Arc<Self>) {
                self.0.set();
            }
        }
        timely(|| {
            let loud: Vec<_> = (0..2)
                .map(|_| {
                    let event = event();
                    let wakeup = Wakeup::new(Arc::clone(&event)).unwrap();
                    wakeup.wakes(&Arc::new(Restless(Arc::clone(&event))).into());
                    event.set();
                    wakeup
                })
                .collect();
            let (count, heard) = Count::new();
            for _ in 0..50 {
                let event = event();
                let wakeup = Wakeup::new(Arc::clone(&event)).unwrap();
                wakeup.wakes(&Arc::clone(&count).into());
                event.set();
                heard.recv_timeout(LONG).unwrap();
            }
            drop(loud);
        });
    }

    #[test]
    fn a_waker_may_panic_or_drop_its_own_bell() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                std::panic::resume_unwind(Box::new("a waker that panics"));
            }
        }
        struct Drops(Mutex<Option<Wakeup>>, mpsc::Sender<()>);
        impl Wake for Drops {
            fn wake(self: Arc<Self>) {
                drop(locked(&self.0).take());
                let _ = self.1.send(());
            }
        }
        timely(|| {
            let panicking = event();
            let wakeup = Wakeup::new(Arc::clone(&panicking)).unwrap();
            wakeup.wakes(&Arc::new(Panics).into());
            panicking.set();
            let (told, heard) = mpsc::channel();
            let dropping = event();
            let drops = Arc::new(Drops(Mutex::new(None), told));
            let other = Wakeup::new(Arc::clone(&dropping)).unwrap();
            other.wakes(&Arc::clone(&drops).into());
            *locked(&drops.0) = Some(other);
            dropping.set();
            heard.recv_timeout(LONG).unwrap();
            // The thread goes on.
            let (count, heard) = Count::new();
            wakeup.wakes(&Arc::clone(&count).into());
            panicking.set();
            heard.recv_timeout(LONG).unwrap();
        });
    }

    #[test]
    fn a_wakeup_that_is_dropped_before_its_thread_looks_takes_no_place() {
        let post =
            |waiter| Arc::new(Post { event: event(), once: false, waiter: Mutex::new(waiter) });
        let fresh = vec![post(Waiter::Gone), post(Waiter::Nobody)];
        let roll = Mutex::new(Roll { fresh, watched: 0 });
        let watch = Watch { changed: Event::automatic().unwrap(), roll };
        let mut places = vec![None];
        watch.look(&mut places);
        assert_eq!((places.len(), locked(&watch.roll).watched), (2, 1));
    }

    #[test]
    fn no_thread_and_no_handle_is_left() {
        let status = super::super::testing::alone("wakeup::tests::nothing_is_left_alone").status();
        assert!(status.unwrap().success());
    }

    #[test]
    #[ignore = "run by the test above"]
    fn nothing_is_left_alone() {
        fn round() {
            let wakeups: Vec<_> = (0..2 * PLACES).map(|_| Wakeup::new(event()).unwrap()).collect();
            assert!(locked(&WATCHES).len() >= 2);
            drop(wakeups);
            let begin = Instant::now();
            while !locked(&WATCHES).is_empty() {
                assert!(begin.elapsed() < LONG, "a thread stays");
                thread::sleep(Duration::from_millis(20));
            }
        }
        round();
        let before = handles();
        for _ in 0..2 {
            round();
        }
        let begin = Instant::now();
        while handles() > before {
            assert!(begin.elapsed() < LONG, "{} and not {before} handles", handles());
            thread::sleep(Duration::from_millis(20));
        }
    }
}
