//! The threads of one client in all orders: with the very file of the crate that says which of them reads and which one
//! writes, and with mutants of it.

macro_rules! model {
    ($name:ident) => {
        mod $name {
            use std::sync::Arc as Shares;
            use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

            use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
            use loom::thread;

            /// What the file of the crate finds above it.
            use loom::sync::atomic;

            #[allow(dead_code, reason = "some models use less of it")]
            #[allow(unused_mut, unused_variables, reason = "mutants do")]
            mod lead {
                include!(concat!(env!("OUT_DIR"), "/lead_", stringify!($name), ".rs"));
            }
            use lead::{
                Follower, Led, ParkingLot, ParkingSpot, Rung, Shared, Signals, Told, Turns, wait,
                wait_from,
            };

            use crate::lead::{CALLS, LAST, Last, Scenario, Waits};

            struct Waiter {
                signals: Signals,
                answered: Mutex<bool>,
            }

            /// As threads sleep on a word of the kernel, each with a bit of its own.
            #[derive(Default)]
            struct Room {
                wakes: atomic::AtomicU32,
                asleep: Mutex<u32>,
                woken: Condvar,
            }

            impl ParkingLot for Room {
                type Until = Waits;

                const COUNT: u32 = 2;

                fn wakes(&self) -> u32 {
                    self.wakes.load(atomic::Ordering::SeqCst)
                }

                fn park(&self, spot: u32, wakes: u32, _: Waits) {
                    let mut asleep = self.asleep.lock().unwrap();
                    if self.wakes() != wakes {
                        return;
                    }
                    assert!(*asleep & 1 << spot == 0, "two threads sleep at one spot");
                    *asleep |= 1 << spot;
                    while *asleep & 1 << spot != 0 {
                        asleep = self.woken.wait(asleep).unwrap();
                    }
                }

                fn unpark(&self, spots: u32) {
                    self.wakes.fetch_add(1, atomic::Ordering::SeqCst);
                    *self.asleep.lock().unwrap() &= !spots;
                    self.woken.notify_all();
                }
            }

            impl Follower for Arc<Waiter> {
                type Lot = Room;

                fn signals(&self) -> &Signals {
                    &self.signals
                }
            }

            #[derive(Default)]
            struct State {
                turns: Turns<Arc<Waiter>>,
                calls: [Option<Arc<Waiter>>; CALLS],
                out: Vec<usize>,
                writing: bool,
            }

            impl Shared for State {
                type Waiter = Arc<Waiter>;

                fn turns(&mut self) -> &mut Turns<Arc<Waiter>> {
                    &mut self.turns
                }

                fn is_lost(&self) -> bool {
                    false
                }

                fn is_writing(&self) -> bool {
                    self.writing
                }

                fn has_output(&self) -> bool {
                    !self.out.is_empty()
                }
            }

            struct Link {
                state: Mutex<State>,
                rung: Rung,
                /// What the service has answered, at once.
                wire: Mutex<Vec<usize>>,
                arrived: Condvar,
                is_read: AtomicBool,
                of: Scenario,
            }

            struct Reader<'a>(&'a AtomicBool);

            impl Drop for Reader<'_> {
                fn drop(&mut self) {
                    self.0.store(false, Relaxed);
                }
            }

            impl Link {
                fn tell(&self, calls: &[usize]) {
                    let mut woken: Vec<ParkingSpot<Room>> = Vec::new();
                    let mut state = self.lock();
                    for call in calls {
                        if let Some(waiter) = state.calls[*call].take() {
                            *waiter.answered.lock().unwrap() = true;
                            if let Told::Asleep(spot) = state.turns.tell(&waiter, &self.rung) {
                                woken.push(spot);
                            }
                        }
                    }
                    drop(state);
                    while let Some(ParkingSpot { lot, number }) = woken.pop() {
                        let mut bits = 1 << number;
                        woken.retain(|other| {
                            let is_beside = Shares::ptr_eq(&other.lot, &lot);
                            bits |= u32::from(is_beside) << other.number;
                            !is_beside
                        });
                        lot.unpark(bits);
                    }
                }
            }

            impl Led for Link {
                type State = State;
                type Guard<'a> = MutexGuard<'a, State>;
                type Reader<'a> = Reader<'a>;
                type Lost = ();
                type Until = Waits;

                fn lock(&self) -> MutexGuard<'_, State> {
                    self.state.lock().unwrap()
                }

                fn rung(&self) -> &Rung {
                    &self.rung
                }

                fn has_reader(&self) -> bool {
                    false
                }

                fn lock_reader(&self) -> Reader<'_> {
                    assert!(!self.is_read.swap(true, Relaxed), "two threads read");
                    Reader(&self.is_read)
                }

                fn read(&self, _: &mut Reader<'_>, until: Waits) -> Result<bool, ()> {
                    let mut wire = self.wire.lock().unwrap();
                    while wire.is_empty() {
                        match until {
                            Waits::NotAtAll => return Ok(false),
                            Waits::Soon if self.of.last == Last::Notifies => {
                                drop(wire);
                                thread::yield_now();
                                return Ok(false);
                            }
                            // No look of a reader mends what the others leave undone.
                            Waits::Soon | Waits::ForEver => {}
                        }
                        wire = self.arrived.wait(wire).unwrap();
                    }
                    let came = std::mem::take(&mut *wire);
                    drop(wire);
                    self.tell(&came);
                    Ok(true)
                }

                fn write_queued(
                    &self,
                    mut state: MutexGuard<'_, State>,
                    _: Waits,
                    _: Option<&mut Reader<'_>>,
                ) {
                    if state.writing || state.out.is_empty() {
                        return;
                    }
                    state.writing = true;
                    drop(state);
                    let mut rounds = 0;
                    loop {
                        rounds += 1;
                        let mut state = self.lock();
                        let empty = state.out.is_empty();
                        if empty || (rounds > self.of.rounds && state.turns.let_another_write()) {
                            state.writing = false;
                            return;
                        }
                        let mut sent = std::mem::take(&mut state.out);
                        drop(state);
                        if self.of.last == Last::Notifies && sent.contains(&LAST) {
                            sent.retain(|call| *call != LAST);
                            self.tell(&[LAST]);
                        }
                        self.wire.lock().unwrap().extend(sent);
                        self.arrived.notify_one();
                    }
                }

                fn end(&self, (): ()) {
                    unreachable!("nothing is lost");
                }

                fn end_by_panic(&self) {}

                fn is_over(until: Waits) -> bool {
                    until == Waits::NotAtAll
                }

                fn now() -> Waits {
                    Waits::NotAtAll
                }

                fn soon(until: Waits) -> Waits {
                    if until == Waits::ForEver { Waits::Soon } else { until }
                }
            }

            /// As `start` and `answer_of`. Returns whether it was answered.
            fn call(link: &Link, call: usize, until: Waits) -> bool {
                let waiter =
                    Arc::new(Waiter { signals: Signals::default(), answered: Mutex::new(false) });
                let again = call == LAST && link.of.last == Last::AsksTwice;
                if again && !ask(link, call, &waiter, until) {
                    return false;
                }
                ask(link, call, &waiter, until)
            }

            fn ask(link: &Link, call: usize, waiter: &Arc<Waiter>, until: Waits) -> bool {
                *waiter.answered.lock().unwrap() = false;
                let mut state = link.lock();
                state.calls[call] = Some(waiter.clone());
                state.out.push(call);
                let later = call == LAST && link.of.last == Last::CallsLater;
                let mut news = if later {
                    drop(state);
                    wait(link, waiter, until)
                } else if link.rung.is_empty() {
                    link.write_queued(state, until, None);
                    wait(link, waiter, until)
                } else {
                    wait_from(link, state, waiter, until)
                };
                while news {
                    if *waiter.answered.lock().unwrap() {
                        return true;
                    }
                    news = wait(link, waiter, until);
                }
                link.lock().calls[call] = None;
                false
            }

            fn run(of: Scenario) {
                let link = Arc::new(Link {
                    state: Mutex::default(),
                    rung: Rung::default(),
                    wire: Mutex::default(),
                    arrived: Condvar::new(),
                    is_read: AtomicBool::new(false),
                    of,
                });
                let threads: Vec<_> = (1..CALLS)
                    .zip(of.others)
                    .map(|(number, until)| {
                        let link = link.clone();
                        thread::spawn(move || {
                            let answered = call(&link, number, until);
                            assert!(answered || until != Waits::ForEver);
                        })
                    })
                    .collect();
                assert!(call(&link, 0, Waits::ForEver));
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                let state = link.lock();
                assert!(!state.turns.leading, "the lead was lost");
                assert!(link.rung.is_empty(), "a thread was not counted off");
                assert!(state.out.is_empty(), "something was not written");
            }

            pub(super) fn holds(of: Scenario) {
                crate::within(of.preemptions, move || run(of));
            }
        }
    };
}

/// How long a thread of the model waits.
#[derive(Clone, Copy, PartialEq)]
enum Waits {
    ForEver,
    /// It looks again after a moment: the thread that writes may tell the one that reads.
    Soon,
    /// It leaves as soon as it would sleep.
    NotAtAll,
}
use Waits::{ForEver, NotAtAll};

const CALLS: usize = 3;
const LAST: usize = CALLS - 1;

/// What the threads do.
#[derive(Clone, Copy)]
struct Scenario {
    preemptions: usize,
    /// After so many writes another thread goes on.
    rounds: usize,
    /// How long the others wait; the first one waits for ever.
    others: [Waits; CALLS - 1],
    last: Last,
}

/// What the last one does.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Calls,
    /// Its request goes with what it or another thread writes next.
    CallsLater,
    /// It waits until its bytes are written, and not for an answer.
    Notifies,
    /// It waits twice, as for an item and for the answer.
    AsksTwice,
}

const ALL_STAY: Scenario =
    Scenario { preemptions: 2, rounds: 8, others: [ForEver, ForEver], last: Last::Calls };
const ONE_LEAVES: Scenario = Scenario { preemptions: 3, others: [NotAtAll, ForEver], ..ALL_STAY };
const ANOTHER_WRITES_ON: Scenario = Scenario { preemptions: 2, rounds: 1, ..ONE_LEAVES };
const ONE_NOTIFIES: Scenario = Scenario { last: Last::Notifies, ..ALL_STAY };
const ONE_CALLS_LATER: Scenario = Scenario { last: Last::CallsLater, ..ALL_STAY };
const ONE_CALLS_LATER_AND_LEAVES: Scenario =
    Scenario { others: [ForEver, NotAtAll], ..ONE_CALLS_LATER };
const ONE_ASKS_TWICE: Scenario = Scenario { last: Last::AsksTwice, ..ALL_STAY };

model!(as_it_is);
model!(lead_set_outside_the_lock);
model!(lead_that_is_kept);
model!(lead_that_no_other_inherits);
model!(leaves_with_the_lead);
model!(leaves_and_keeps_its_place);
model!(leaves_without_writing);
model!(sleeps_without_looking);
model!(looks_twice);
model!(looks_before_it_counts_the_wakes);
model!(two_at_a_spot);
model!(told_and_still_an_heir);
model!(returns_without_hearing);
model!(is_never_counted_off);
model!(the_last_does_not_write);
model!(what_is_queued_waits_for_ever);
model!(who_reads_last_leaves_it_unwritten);

#[test]
fn some_thread_reads_and_some_thread_writes_while_any_waits() {
    as_it_is::holds(ALL_STAY);
}

#[test]
fn also_where_one_leaves() {
    as_it_is::holds(ONE_LEAVES);
}

#[test]
fn also_where_another_thread_goes_on_writing() {
    as_it_is::holds(ANOTHER_WRITES_ON);
}

#[test]
fn also_where_who_writes_tells_one() {
    as_it_is::holds(ONE_NOTIFIES);
}

#[test]
fn also_where_one_leaves_the_writing_to_others() {
    as_it_is::holds(ONE_CALLS_LATER);
}

#[test]
fn also_where_that_one_does_not_wait_for_them() {
    as_it_is::holds(ONE_CALLS_LATER_AND_LEAVES);
}

#[test]
fn also_where_one_waits_again() {
    as_it_is::holds(ONE_ASKS_TWICE);
}

/// Each of them is tried in a process of its own.
pub(crate) const MUTANTS: &[(&str, fn())] = &[
    ("as_it_is", || as_it_is::holds(ONE_LEAVES)),
    ("lead_set_outside_the_lock", || lead_set_outside_the_lock::holds(ONE_LEAVES)),
    ("lead_that_is_kept", || lead_that_is_kept::holds(ONE_LEAVES)),
    ("lead_that_no_other_inherits", || lead_that_no_other_inherits::holds(ONE_LEAVES)),
    ("leaves_with_the_lead", || leaves_with_the_lead::holds(ONE_LEAVES)),
    ("leaves_and_keeps_its_place", || leaves_and_keeps_its_place::holds(ONE_LEAVES)),
    ("leaves_without_writing", || leaves_without_writing::holds(ANOTHER_WRITES_ON)),
    ("sleeps_without_looking", || sleeps_without_looking::holds(ONE_LEAVES)),
    ("looks_twice", || looks_twice::holds(Scenario { preemptions: 3, ..ONE_NOTIFIES })),
    ("looks_before_it_counts_the_wakes", || looks_before_it_counts_the_wakes::holds(ONE_LEAVES)),
    ("two_at_a_spot", || two_at_a_spot::holds(ALL_STAY)),
    ("told_and_still_an_heir", || told_and_still_an_heir::holds(ONE_LEAVES)),
    ("returns_without_hearing", || returns_without_hearing::holds(ONE_LEAVES)),
    ("is_never_counted_off", || is_never_counted_off::holds(ONE_LEAVES)),
    ("the_last_does_not_write", || the_last_does_not_write::holds(ONE_LEAVES)),
    ("what_is_queued_waits_for_ever", || what_is_queued_waits_for_ever::holds(ONE_CALLS_LATER)),
    ("who_reads_last_leaves_it_unwritten", || {
        who_reads_last_leaves_it_unwritten::holds(ONE_CALLS_LATER_AND_LEAVES);
    }),
];
