//! Two sides of a ring in all orders that the memory model allows: with the very file of the crate that says how they sleep
//! and wake each other, and with mutants of it, each of which must fail.

macro_rules! model {
    ($name:ident) => {
        mod $name {
            use loom::cell::UnsafeCell;
            use loom::sync::atomic::AtomicU32;
            use loom::sync::{Arc, Condvar, Mutex};
            use loom::thread;

            /// What the file of the crate finds above it.
            use loom::sync::atomic;

            #[allow(dead_code, reason = "some models use less of it")]
            mod protocol {
                include!(concat!(env!("OUT_DIR"), "/protocol_", stringify!($name), ".rs"));
            }
            use super::{Fault, Plan};
            use protocol::{
                acquire, get_up, lie_down, must_wake, publish, publish_switch, switched,
            };

            /// A line: a wakeup that comes before the sleep is kept.
            #[derive(Default)]
            struct Line(Mutex<bool>, Condvar);

            impl Line {
                fn wake(&self) {
                    *self.0.lock().unwrap() = true;
                    self.1.notify_one();
                }

                fn sleep(&self) {
                    let mut woken = self.0.lock().unwrap();
                    while !*woken {
                        woken = self.1.wait(woken).unwrap();
                    }
                    *woken = false;
                }
            }

            struct Ring {
                head: AtomicU32,
                tail: AtomicU32,
                closed: AtomicU32,
                reader_sleeps: AtomicU32,
                writer_sleeps: AtomicU32,
                to_reader: Line,
                to_writer: Line,
                grown: AtomicU32,
                switch: AtomicU32,
                /// A part with room for one message, and one for two.
                first: UnsafeCell<u32>,
                large: [UnsafeCell<u32>; 2],
            }

            impl Ring {
                fn new() -> Arc<Self> {
                    Arc::new(Self {
                        head: AtomicU32::new(0),
                        tail: AtomicU32::new(0),
                        closed: AtomicU32::new(0),
                        reader_sleeps: AtomicU32::new(0),
                        writer_sleeps: AtomicU32::new(0),
                        to_reader: Line::default(),
                        to_writer: Line::default(),
                        grown: AtomicU32::new(0),
                        switch: AtomicU32::new(0),
                        first: UnsafeCell::new(0),
                        large: [UnsafeCell::new(0), UnsafeCell::new(0)],
                    })
                }

                fn slot(&self, is_large: bool, position: u32) -> &UnsafeCell<u32> {
                    if is_large { &self.large[position as usize % 2] } else { &self.first }
                }
            }

            /// As `Parker::wait`, without spinning.
            fn wait(sleeps: &AtomicU32, has_news: impl Fn() -> bool, line: &Line, looks: bool) {
                lie_down(sleeps);
                if !looks || !has_news() {
                    line.sleep();
                }
                get_up(sleeps);
            }

            /// As `RingWriter`, and then it closes.
            fn write(ring: &Ring, plan: Plan) {
                let (mut is_large, mut woken) = (false, 0);
                for number in 0..plan.messages {
                    let grows = plan.grows_at == Some(number);
                    is_large |= grows;
                    let tell = || publish_switch(&ring.grown, &ring.switch, number);
                    if grows && plan.fault != Fault::TellsHeadFirst {
                        tell();
                    }
                    loop {
                        let tail = acquire(&ring.tail);
                        if number - tail < 1 + u32::from(is_large) {
                            break;
                        }
                        let has_news = || acquire(&ring.tail) != tail;
                        wait(&ring.writer_sleeps, has_news, &ring.to_writer, plan.looks());
                    }
                    let slot = ring.slot(is_large, number);
                    slot.with_mut(|slot| unsafe { *slot = number + 7 });
                    publish(&ring.head, number + 1);
                    if grows && plan.fault == Fault::TellsHeadFirst {
                        tell();
                    }
                    if must_wake(&ring.reader_sleeps, &mut woken) {
                        ring.to_reader.wake();
                    }
                }
                ring.closed.fetch_or(1, atomic::Ordering::Release);
                if must_wake(&ring.reader_sleeps, &mut woken) {
                    ring.to_reader.wake();
                }
            }

            /// As `RingReader`: what is there, up to the switch.
            fn look(ring: &Ring, plan: Plan, tail: u32, is_large: &mut bool) -> u32 {
                let told = || switched(&ring.grown, &ring.switch);
                let follows = plan.grows_at.is_some() && !*is_large;
                let too_early = if plan.fault == Fault::LooksForGrownFirst { told() } else { None };
                let head = acquire(&ring.head);
                if !follows {
                    return head;
                }
                let told = if plan.fault == Fault::LooksForGrownFirst { too_early } else { told() };
                let Some(switch) = told else { return head };
                let before = switch.wrapping_sub(tail);
                assert!(before <= 1, "a switch that cannot be");
                *is_large = before == 0;
                if before > 0 && head - tail > before { switch } else { head }
            }

            /// A ring with room for one message, or for two once it has grown, and some messages: both sides have to sleep.
            fn run(plan: Plan) {
                let ring = Ring::new();
                let writing = ring.clone();
                let writer = thread::spawn(move || write(&writing, plan));
                let (mut tail, mut woken, mut is_large) = (0, 0, false);
                loop {
                    let head = look(&ring, plan, tail, &mut is_large);
                    if head == tail {
                        // What was put in before the end is there, where the end is seen.
                        if acquire(&ring.closed) != 0 {
                            if look(&ring, plan, tail, &mut is_large) == tail {
                                break;
                            }
                            continue;
                        }
                        let has_news = || acquire(&ring.head) != head || acquire(&ring.closed) != 0;
                        wait(&ring.reader_sleeps, has_news, &ring.to_reader, plan.looks());
                        continue;
                    }
                    let seen = ring.slot(is_large, tail).with(|slot| unsafe { *slot });
                    assert_eq!(seen, tail + 7, "torn, or of the wrong part");
                    tail += 1;
                    publish(&ring.tail, tail);
                    if must_wake(&ring.writer_sleeps, &mut woken) {
                        ring.to_writer.wake();
                    }
                }
                assert_eq!(tail, plan.messages, "some are lost");
                writer.join().unwrap();
            }

            #[allow(dead_code, reason = "mutants are tried with one model")]
            pub(super) fn exhaustively(plan: Plan) {
                loom::model(move || run(plan));
            }

            #[allow(dead_code, reason = "mutants are tried with one model")]
            pub(super) fn within(preemptions: usize, plan: Plan) {
                crate::within(preemptions, move || run(plan));
            }
        }
    };
}

/// What goes through a ring, and what a mutant does that is not one of the file.
#[derive(Clone, Copy)]
struct Plan {
    messages: u32,
    /// The first one that lies in the large part.
    grows_at: Option<u32>,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// A waiter does not look once more.
    NoLook,
    /// The writer tells the head before it tells that it has grown.
    TellsHeadFirst,
    /// The reader looks whether the writer has grown before it looks at the head.
    LooksForGrownFirst,
}

impl Plan {
    fn looks(self) -> bool {
        self.fault != Fault::NoLook
    }
}

const fn small(messages: u32) -> Plan {
    Plan { messages, grows_at: None, fault: Fault::None }
}

const fn grows(messages: u32, at: u32) -> Plan {
    Plan { messages, grows_at: Some(at), fault: Fault::None }
}

const fn with(fault: Fault, plan: Plan) -> Plan {
    Plan { fault, ..plan }
}

model!(as_it_is);
model!(publisher_without_fence);
model!(waiter_without_fence);
model!(load_without_fence);
model!(relaxed_publication);
model!(sleep_that_is_not_said);
model!(wakes_once_for_all);
model!(grown_before_the_switch);
model!(grown_relaxed);
model!(switch_without_fence);

#[test]
fn neither_side_sleeps_for_good_and_nothing_is_torn_or_lost() {
    as_it_is::exhaustively(small(1));
}

#[test]
fn nor_with_several_messages() {
    as_it_is::within(4, small(2));
    as_it_is::within(3, small(3));
}

#[test]
fn each_message_is_read_in_the_part_that_it_lies_in() {
    as_it_is::exhaustively(grows(1, 0));
    as_it_is::within(3, grows(2, 1));
    as_it_is::within(2, grows(3, 1));
    as_it_is::within(2, grows(3, 2));
}

/// Each of them is tried in a process of its own.
pub(crate) const MUTANTS: &[(&str, fn())] = &[
    ("as_it_is", || as_it_is::within(3, small(2))),
    ("publisher_without_fence", || publisher_without_fence::within(3, small(2))),
    ("waiter_without_fence", || waiter_without_fence::within(3, small(2))),
    ("load_without_fence", || load_without_fence::within(3, small(2))),
    ("relaxed_publication", || relaxed_publication::within(3, small(2))),
    ("sleep_that_is_not_said", || sleep_that_is_not_said::within(3, small(2))),
    ("wakes_once_for_all", || wakes_once_for_all::within(3, small(2))),
    ("waiter_that_does_not_look", || as_it_is::within(3, with(Fault::NoLook, small(2)))),
    ("grown_before_the_switch", || grown_before_the_switch::within(3, grows(2, 1))),
    ("grown_relaxed", || grown_relaxed::within(3, grows(2, 1))),
    ("switch_without_fence", || switch_without_fence::within(3, grows(2, 1))),
    ("head_before_grown", || as_it_is::within(3, with(Fault::TellsHeadFirst, grows(2, 1)))),
    ("looks_for_grown_first", || {
        as_it_is::within(3, with(Fault::LooksForGrownFirst, grows(2, 1)));
    }),
];
