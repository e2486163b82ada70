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
            use protocol::{acquire, get_up, lie_down, must_wake, publish};

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
                slot: UnsafeCell<u32>,
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
                        slot: UnsafeCell::new(0),
                    })
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

            /// A ring with room for one message, and some messages: both sides have to sleep. Then the writer closes.
            fn run(messages: u32, looks: bool) {
                let ring = Ring::new();
                let writing = ring.clone();
                let writer = thread::spawn(move || {
                    let (ring, mut woken) = (writing, 0);
                    for number in 0..messages {
                        loop {
                            let tail = acquire(&ring.tail);
                            if number == tail {
                                break;
                            }
                            let has_news = || acquire(&ring.tail) != tail;
                            wait(&ring.writer_sleeps, has_news, &ring.to_writer, looks);
                        }
                        ring.slot.with_mut(|slot| unsafe { *slot = number + 7 });
                        publish(&ring.head, number + 1);
                        if must_wake(&ring.reader_sleeps, &mut woken) {
                            ring.to_reader.wake();
                        }
                    }
                    ring.closed.fetch_or(1, atomic::Ordering::Release);
                    if must_wake(&ring.reader_sleeps, &mut woken) {
                        ring.to_reader.wake();
                    }
                });
                let (mut tail, mut woken) = (0, 0);
                loop {
                    let head = acquire(&ring.head);
                    if head == tail {
                        // What was put in before the end is there, where the end is seen.
                        if acquire(&ring.closed) != 0 {
                            if acquire(&ring.head) == tail {
                                break;
                            }
                            continue;
                        }
                        let has_news = || acquire(&ring.head) != head || acquire(&ring.closed) != 0;
                        wait(&ring.reader_sleeps, has_news, &ring.to_reader, looks);
                        continue;
                    }
                    assert_eq!(ring.slot.with(|slot| unsafe { *slot }), tail + 7, "torn");
                    tail += 1;
                    publish(&ring.tail, tail);
                    if must_wake(&ring.writer_sleeps, &mut woken) {
                        ring.to_writer.wake();
                    }
                }
                assert_eq!(tail, messages, "some are lost");
                writer.join().unwrap();
            }

            #[allow(dead_code, reason = "mutants are tried with one model")]
            pub(super) fn exhaustively(messages: u32) {
                loom::model(move || run(messages, true));
            }

            #[allow(dead_code, reason = "mutants are tried with one model")]
            pub(super) fn within(messages: u32, preemptions: usize, looks: bool) {
                crate::within(preemptions, move || run(messages, looks));
            }
        }
    };
}

model!(as_it_is);
model!(publisher_without_fence);
model!(waiter_without_fence);
model!(load_without_fence);
model!(relaxed_publication);
model!(sleep_that_is_not_said);
model!(wakes_once_for_all);

#[test]
fn neither_side_sleeps_for_good_and_nothing_is_torn_or_lost() {
    as_it_is::exhaustively(1);
}

#[test]
fn nor_with_several_messages() {
    as_it_is::within(2, 4, true);
    as_it_is::within(3, 3, true);
}

/// Each of them is tried in a process of its own. In the last one, a waiter does not look once more.
pub(crate) const MUTANTS: &[(&str, fn())] = &[
    ("as_it_is", || as_it_is::within(2, 3, true)),
    ("publisher_without_fence", || publisher_without_fence::within(2, 3, true)),
    ("waiter_without_fence", || waiter_without_fence::within(2, 3, true)),
    ("load_without_fence", || load_without_fence::within(2, 3, true)),
    ("relaxed_publication", || relaxed_publication::within(2, 3, true)),
    ("sleep_that_is_not_said", || sleep_that_is_not_said::within(2, 3, true)),
    ("wakes_once_for_all", || wakes_once_for_all::within(2, 3, true)),
    ("waiter_that_does_not_look", || as_it_is::within(2, 3, false)),
];
