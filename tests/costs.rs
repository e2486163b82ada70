//! What a message costs in the steady state. A program of its own, for the sake of its allocator.
#![cfg(unix)]
#![allow(unsafe_code, reason = "only an allocator can count what is allocated")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use serde::{Deserialize, Serialize};
use typed_pipe::{Message, Pipe, TypedReceiver, TypedSender};

/// The system's allocator, which counts for each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: what holds for this call holds for that one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Serialize, Deserialize)]
struct Quote {
    number: u64,
    price: f64,
    symbol: String,
}

#[derive(Serialize, Deserialize)]
struct QuoteRef<'a> {
    number: u64,
    price: f64,
    symbol: &'a str,
}

impl Message for Quote {
    type Ref<'a> = QuoteRef<'a>;
}

/// How many allocations a thousand rounds cost, when the first ones have made all the room there is to make.
fn count(mut round: impl FnMut()) -> u64 {
    (0..100).for_each(|_| round());
    let before = ALLOCATIONS.get();
    (0..1000).for_each(|_| round());
    ALLOCATIONS.get() - before
}

/// Both ends of a pipe, in this thread.
fn both() -> (TypedSender<Quote>, TypedReceiver<Quote, impl std::io::Read>) {
    let pipe = Pipe::temporary().unwrap();
    let path = pipe.path().clone();
    let receiver = pipe.into_reader().open().unwrap().into_receiver();
    (TypedSender::connect(path).unwrap(), receiver)
}

#[test]
fn the_counter_counts() {
    assert_eq!(count(|| drop(std::hint::black_box(Box::new(1)))), 1000);
}

#[test]
fn a_message_that_is_sent_and_received_borrowed_allocates_nothing() {
    let (mut sender, mut receiver) = both();
    let quote = Quote { number: 1, price: 2.0, symbol: "ABCDEFGH".into() };
    let one = count(|| {
        sender.send(&quote).unwrap();
        assert_eq!(receiver.recv_ref().unwrap().symbol, "ABCDEFGH");
    });
    assert_eq!(one, 0);
    let batched = count(|| {
        (0..100).for_each(|_| sender.feed(&quote).unwrap());
        sender.flush().unwrap();
        (0..100).for_each(|_| assert_eq!(receiver.recv_ref().unwrap().number, 1));
    });
    assert_eq!(batched, 0);
}

#[test]
fn a_message_of_bytes_allocates_nothing() {
    let (mut sender, mut receiver) = both();
    for len in [10, 20_000, 50_000] {
        let bytes = vec![7; len];
        let sent = count(|| {
            sender.send_bytes(&bytes).unwrap();
            assert_eq!(receiver.recv_bytes().unwrap(), bytes);
        });
        let lent = count(|| {
            let mut loan = sender.loan(len).unwrap();
            loan.fill(7);
            loan.send().unwrap();
            assert_eq!(receiver.recv_bytes().unwrap(), bytes);
        });
        assert_eq!((sent, lent), (0, 0), "{len} bytes");
    }
}

/// How many writes this thread has asked the system for.
#[cfg(target_os = "linux")]
fn writes() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("syscw: "));
    line.unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_send_is_one_write_and_so_is_a_batch() {
    let (mut sender, receiver) = both();
    let draining = std::thread::spawn(move || receiver.map(Result::unwrap).count());
    let quote = Quote { number: 1, price: 2.0, symbol: "ABCDEFGH".into() };
    let before = writes();
    (0..1000).for_each(|_| sender.send(&quote).unwrap());
    assert_eq!(writes() - before, 1000);

    // A frame has 22 bytes: about 3000 of them fill a pipe of 64 KiB.
    let before = writes();
    (0..30_000).for_each(|_| sender.feed(&quote).unwrap());
    sender.flush().unwrap();
    assert_eq!(writes() - before, (30_000_u64 * 22).div_ceil(64 * 1024));
    drop(sender);
    assert_eq!(draining.join().unwrap(), 31_000);
}

#[cfg(feature = "session")]
#[test]
fn a_step_of_a_session_allocates_nothing() {
    use typed_pipe::session::{Chooses, Dual, Ends, Receives, Sends};
    use typed_pipe::{Connection, choice};

    type Pings = Chooses<Ping>;
    choice! {
        enum Ping in ping {
            More => Sends<u64, Receives<u64, Pings>>,
            Enough => Ends,
        }
    }
    let (one, other) = Connection::pair().unwrap();
    let other = std::thread::spawn(|| other.into_session::<Dual<Pings>>().unwrap());
    let mut one = Some(one.into_session::<Pings>().unwrap());
    let mut other = Some(other.join().unwrap());
    let allocations = count(|| {
        let asking = one.take().unwrap().choose(ping::More).send(&7).unwrap();
        let Ping::More(answering) = other.take().unwrap().offer().unwrap() else { return };
        let (number, answering) = answering.recv().unwrap();
        other = Some(answering.send(&(number + 1)).unwrap());
        let (number, next) = asking.recv().unwrap();
        assert_eq!(number, 8);
        one = Some(next);
    });
    assert_eq!(allocations, 0);
    let _ = ping::Enough;
}
