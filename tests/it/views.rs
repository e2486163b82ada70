//! Messages of bytes that are read where they lie: `recv_view`. Over pipes and sockets, the same is said of a copy.
#![allow(unsafe_code, reason = "what `trusting` lends is compared with the copies")]

use std::path::Path;
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use typed_pipe::state::Blocking;
use typed_pipe::wire::foreign::Lines;
use typed_pipe::wire::{Checked, Framing, LengthPrefixed, MultiWriter, Plain, Wire};
use typed_pipe::{
    Connection, ErrorKind, Handshake, Listener, Pipe, ReadTimeout, SharedMemory, SharedView,
    TransportKind, TypedConnection, TypedReceiver, TypedSender,
};

use crate::bytes::{payload, pour, size};
use crate::peer::{self, READY, await_go, number, step};
use crate::support::watched;

/// More than a ring of 64 KiB has, as much as one of 1 MiB has beside a header, and less.
const RINGS: [usize; 3] = [64 << 10, 1 << 20, 8 << 20];

fn with(ring: usize) -> Handshake {
    Handshake::new().shared_memory(SharedMemory::offered().ring(ring))
}

/// A connection with memory in both directions: what sends bytes, and what receives them.
fn pair(handshake: Handshake) -> (TypedConnection<[u8], ()>, TypedConnection<(), Vec<u8>>) {
    let (one, other) = Connection::pair().unwrap();
    let theirs = handshake.clone();
    let making = thread::spawn(move || theirs.perform(other).unwrap());
    (handshake.perform(one).unwrap(), making.join().unwrap())
}

pub(crate) fn play(role: &str, name: &Path) {
    let connection = Connection::connect(name).unwrap();
    match role {
        // Messages of all sizes, in all ways, through a ring of the size that it is told.
        "view-poured" => {
            let ring = number();
            let mut side = with(ring).perform::<[u8], ()>(connection).unwrap();
            pour(side.sender(), 0..NUMBERS);
            side.finish().unwrap();
        }
        // One message, and then another one, for which there is no room before the first is given back.
        "view-blocked" => {
            let mut side = with(0).perform::<[u8], ()>(connection).unwrap();
            side.sender().send_bytes(payload(0, LARGE)).unwrap();
            if *side.transport() == TransportKind::SharedMemory {
                let at_once = side.sender().set_timeout(Duration::ZERO);
                let full = at_once.send_bytes(payload(1, LARGE)).unwrap_err();
                assert_eq!((full.kind(), full.is_half_sent()), (ErrorKind::WouldBlock, false));
            }
            step(READY);
            side.sender().set_timeout(None).send_bytes(payload(1, LARGE)).unwrap();
            side.finish().unwrap();
        }
        // One message, and another one behind it; then it waits to be killed.
        "view-sent" => {
            let mut side = with(256 << 10).perform::<[u8], ()>(connection).unwrap();
            pour_one(side.sender(), 0, LARGE);
            pour_one(side.sender(), 1, LARGE);
            step(READY);
            await_go();
        }
        // Holds a message, and waits to be killed.
        "view-held" => {
            let mut side = with(0).perform::<(), Vec<u8>>(connection).unwrap();
            let view = side.receiver().recv_view().unwrap();
            step(READY);
            await_go();
            drop(view);
        }
        other => panic!("no role {other}"),
    }
}

/// So many messages are poured.
const NUMBERS: usize = 40;

/// One such message leaves too little room in a ring of 64 KiB for a part of another one.
const LARGE: usize = 60_000;

fn pour_one<E: typed_pipe::WriteTimeout<Mode = Blocking>>(
    sender: &mut TypedSender<[u8], E>,
    number: usize,
    len: usize,
) {
    let mut loan = sender.loan(len).unwrap();
    loan.copy_from_slice(payload(number, len));
    loan.send().unwrap();
}

/// Whether a view has these bytes, in each way in which it gives them.
fn has(view: &SharedView<'_>, wanted: &[u8]) -> bool {
    let mut parts = Vec::new();
    view.for_each_chunk(|bytes| {
        assert!(!bytes.is_empty());
        parts.extend_from_slice(bytes);
    });
    let mut written = Vec::new();
    view.write_to(&mut written).unwrap();
    let mut half = vec![0; wanted.len() / 2];
    assert_eq!(view.copy_to(&mut half), half.len());
    let mut more = vec![9; wanted.len() + 3];
    assert_eq!(view.copy_to(&mut more), wanted.len());
    assert_eq!(more[wanted.len()..], [9; 3]);
    // SAFETY: the other side is this program, which writes to no message that it has sent.
    let in_place = unsafe { view.trusting() };
    (view.len(), view.is_empty()) == (wanted.len(), wanted.is_empty())
        && [&view.copy_to_vec(), &parts, &written, &more[..wanted.len()], in_place]
            .into_iter()
            .all(|bytes| bytes == wanted)
        && half == wanted[..half.len()]
}

/// Receives so many messages as views, and every fifth one in another way.
fn expect_views<R, F>(receiver: &mut TypedReceiver<Vec<u8>, R, F>, numbers: usize)
where
    R: ReadTimeout<Mode = Blocking>,
    F: Framing,
{
    for number in 0..numbers {
        let wanted = payload(number, size(number));
        let same = match number % 5 {
            3 => receiver.recv_bytes().unwrap() == wanted,
            _ => has(&receiver.recv_view().unwrap(), wanted),
        };
        assert!(same, "message {number}, {} bytes", wanted.len());
    }
}

#[test]
fn two_processes_view_messages_of_all_sizes() {
    watched(|| {
        for ring in RINGS {
            let listener = Listener::temporary().unwrap();
            let ring = u32::try_from(ring).unwrap();
            let peer = peer::start_with("view-poured", listener.path(), ring);
            let client = listener.accept().unwrap();
            let mut side = with(0).perform::<(), Vec<u8>>(client).unwrap();
            expect_views(side.receiver(), NUMBERS);
            let end = side.receiver().recv_view().unwrap_err();
            assert_eq!(end.kind(), ErrorKind::Finished);
            peer.join();
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn views_are_what_recv_bytes_returns(
        lens in vec((0..200_000_usize, any::<bool>(), 0..3_u8), 1..20),
    ) {
        let (mut to, mut from) = pair(with(0));
        let sent = lens.clone();
        let sending = thread::spawn(move || {
            for ((len, is_lent, _), number) in sent.into_iter().zip(0..) {
                if is_lent {
                    pour_one(to.sender(), number, len);
                } else {
                    to.sender().send_bytes(payload(number, len)).unwrap();
                }
            }
            to.finish().unwrap();
        });
        for ((len, _, how), number) in lens.into_iter().zip(0..) {
            let wanted = payload(number, len);
            assert!(match how {
                0 => from.receiver().recv_bytes().unwrap() == wanted,
                _ => has(&from.receiver().recv_view().unwrap(), wanted),
            });
        }
        assert!(from.receiver().recv_view().unwrap_err().is_end());
        sending.join().unwrap();
    }
}

#[test]
fn views_of_a_pipe_of_a_socket_and_of_checked_bytes_are_copies() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let pouring =
            thread::spawn(move || pour(&mut TypedSender::connect(path).unwrap(), 0..NUMBERS));
        expect_views(&mut pipe.into_reader().open().unwrap().into_receiver(), NUMBERS);
        pouring.join().unwrap();

        let (mut to, mut from) = pair(Handshake::new());
        let pouring = thread::spawn(move || pour(to.sender(), 0..NUMBERS));
        expect_views(from.receiver(), NUMBERS);
        pouring.join().unwrap();

        let wire = Wire::default().with_framing(Checked::default());
        let (one, other) = Connection::pair().unwrap();
        let pouring = thread::spawn(move || {
            let handshake = with(1 << 20).with_wire(wire);
            let mut side = handshake.perform::<(), Vec<u8>>(other).unwrap();
            for number in 0..NUMBERS {
                let view = side.receiver().recv_view().unwrap();
                assert!(has(&view, payload(number, size(number))));
            }
        });
        let wire = Wire::default().with_framing(Checked::default());
        let mut side = with(1 << 20).with_wire(wire).perform::<[u8], ()>(one).unwrap();
        for number in 0..NUMBERS {
            side.sender().send_bytes(payload(number, size(number))).unwrap();
        }
        pouring.join().unwrap();
    });
}

/// Framings that put a message together, or look for its end, have the view of what they found.
#[test]
fn views_of_other_wires_are_what_their_framing_finds() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let wire = Wire::default().with_framing(MultiWriter::default());
        let theirs = wire.clone();
        let mut receiver =
            pipe.into_reader().open().unwrap().into_receiver_with::<Vec<u8>, _, _>(wire);
        let sending = thread::spawn(move || {
            let end = typed_pipe::WriteEnd::at(path).unwrap().open().unwrap();
            let mut sender = end.into_sender_with::<[u8], _, _>(theirs);
            for len in [3, 100_000] {
                sender.send_bytes(payload(len, len)).unwrap();
            }
        });
        for len in [3, 100_000] {
            assert!(has(&receiver.recv_view().unwrap(), payload(len, len)));
        }
        sending.join().unwrap();

        let (one, other) = Connection::pair().unwrap();
        let making = thread::spawn(move || {
            let wire = Wire::new(Lines::default(), Plain);
            with(0).with_wire(wire).perform::<str, ()>(other).unwrap()
        });
        let wire = Wire::new(Lines::default(), Plain);
        let mut side = with(0).with_wire(wire).perform::<(), String>(one).unwrap();
        let mut lines = making.join().unwrap();
        for line in ["one", "", "two"] {
            lines.send(line).unwrap();
            assert_eq!(side.receiver().recv_view().unwrap().copy_to_vec(), line.as_bytes());
        }
    });
}

#[test]
fn a_writer_waits_until_a_view_is_dropped_and_is_woken_then() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut peer = peer::start("view-blocked", listener.path());
        let mut side = with(0).perform::<(), Vec<u8>>(listener.accept().unwrap()).unwrap();
        let view = side.receiver().recv_view().unwrap();
        peer.await_step(READY);
        assert!(has(&view, payload(0, LARGE)), "nothing was written over it");
        drop(view);
        assert!(has(&side.receiver().recv_view().unwrap(), payload(1, LARGE)));
        assert!(side.receiver().recv_view().unwrap_err().is_end());
        peer.join();
    });
}

/// Elsewhere there is no room for both messages before one is read.
#[cfg(target_os = "linux")]
#[test]
fn a_view_outlives_the_process_that_sent_it() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut peer = peer::start("view-sent", listener.path());
        let mut side = with(0).perform::<(), Vec<u8>>(listener.accept().unwrap()).unwrap();
        let view = side.receiver().recv_view().unwrap();
        peer.await_step(READY);
        peer.kill();
        assert!(has(&view, payload(0, LARGE)));
        drop(view);
        assert!(has(&side.receiver().recv_view().unwrap(), payload(1, LARGE)));
        let end = side.receiver().recv_view().unwrap_err();
        assert_eq!(end.kind(), ErrorKind::Disconnected);
    });
}

#[test]
fn a_process_that_is_killed_while_it_holds_a_view_lets_no_writer_wait() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut peer = peer::start("view-held", listener.path());
        let mut side = with(0).perform::<[u8], ()>(listener.accept().unwrap()).unwrap();
        side.sender().send_bytes(payload(0, LARGE)).unwrap();
        peer.await_step(READY);
        let sending = thread::spawn(move || {
            // A socket has room for some of them.
            (1..1000).find_map(|number| side.sender().send_bytes(payload(number, LARGE)).err())
        });
        peer.kill();
        let error = sending.join().unwrap().unwrap();
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    });
}

#[test]
fn the_limit_of_the_wire_holds_for_views() {
    watched(|| {
        let limited = |limit| Wire::default().with_framing(LengthPrefixed::default().limit(limit));
        let (one, other) = Connection::pair().unwrap();
        // By a handshake each side knows the limit of the other one, and sends no more: these bytes are made by hand.
        let making = thread::spawn(move || {
            let side = with(0).perform::<[u8], ()>(other).unwrap();
            let (sender, receiver) = side.split();
            let mut half = sender.into_inner();
            half.write(&[&[0, 0, 0, 100][..], &[7; 100], &[0, 0, 0, 101], &[8; 101]].concat())
                .unwrap();
            (half, receiver)
        });
        let mut side = with(0).with_wire(limited(100)).perform::<(), Vec<u8>>(one).unwrap();
        assert_eq!(side.receiver().recv_view().unwrap().copy_to_vec(), [7; 100]);
        let error = side.receiver().recv_view().unwrap_err();
        assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::TooLarge, true));
        let error = side.receiver().recv_view().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        drop(making.join().unwrap());
    });
}

#[test]
fn half_a_message_stays_for_the_next_view() {
    watched(|| {
        let (to, mut from) = pair(with(0));
        let (sender, _receiver) = to.split();
        let mut half = sender.into_inner();
        let receiver = from.receiver();
        assert_eq!(receiver.last_message(), None);
        for part in [&[0, 0][..], &[0, 5, b'h'], b"ell"] {
            half.write(part).unwrap();
            let error = receiver.set_timeout(Duration::ZERO).recv_view().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            let short = Duration::from_millis(1);
            let error = receiver.set_timeout(short).recv_view().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        half.write(b"o\0\0\0\x03\x02h").unwrap();
        assert_eq!(receiver.set_timeout(None).recv_view().unwrap().copy_to_vec(), b"hello");
        drop((half, _receiver));
        assert_eq!(receiver.recv_view().unwrap_err().kind(), ErrorKind::Truncated);
    });
}

/// Elsewhere a view has nothing to give back.
#[cfg(target_os = "linux")]
#[test]
fn a_view_that_is_forgotten_is_received_once() {
    watched(|| {
        let (mut to, mut from) = pair(with(0));
        for number in 0..20 {
            to.sender().send_bytes(payload(number, LARGE)).unwrap();
            std::mem::forget(from.receiver().recv_view().unwrap());
            to.sender().send_bytes(payload(number + 1, 100)).unwrap();
            assert!(has(&from.receiver().recv_view().unwrap(), payload(number + 1, 100)));
        }
    });
}

/// What a side took in while it sent is viewed in its order, and so is what comes after.
#[test]
fn what_came_in_during_a_send_is_viewed_first() {
    watched(|| {
        let (one, other) = Connection::pair().unwrap();
        let theirs = thread::spawn(move || {
            let mut side = with(0).perform::<[u8], Vec<u8>>(other).unwrap();
            for number in 0..10 {
                side.send(payload(number, 50_000)).unwrap();
            }
            for number in 0..10 {
                let view = side.receiver().recv_view().unwrap();
                assert!(view.copy_to_vec().ends_with(payload(number, 50_000)));
            }
        });
        let mut side = with(0).perform::<[u8], Vec<u8>>(one).unwrap();
        for number in 0..10 {
            side.send(payload(number, 50_000)).unwrap();
        }
        for number in 0..10 {
            let view = side.receiver().recv_view().unwrap();
            assert!(view.copy_to_vec().ends_with(payload(number, 50_000)));
        }
        theirs.join().unwrap();
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use tokio::runtime::Builder;
    use typed_pipe::CancelToken;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    #[test]
    fn tasks_view_messages_of_all_sizes_of_another_process() {
        watched(|| {
            runtime().block_on(async {
                for ring in RINGS {
                    let listener = Listener::temporary().unwrap();
                    let ring = u32::try_from(ring).unwrap();
                    let peer = peer::start_with("view-poured", listener.path(), ring);
                    let client = listener.accept().unwrap().into_tokio().unwrap();
                    let handshake = with(0).into_tokio();
                    let mut side = handshake.perform::<(), Vec<u8>>(client).await.unwrap();
                    for number in 0..NUMBERS {
                        let wanted = payload(number, size(number));
                        let receiver = side.receiver();
                        assert!(match number % 5 {
                            3 => receiver.recv_bytes().await.unwrap() == wanted,
                            _ => has(&receiver.recv_view().await.unwrap(), wanted),
                        });
                    }
                    let end = side.receiver().recv_view().await.unwrap_err();
                    assert_eq!(end.kind(), ErrorKind::Finished);
                    peer.join();
                }
            });
        });
    }

    /// A view may be held across an await, by a task that moves to another thread; a future that is dropped takes nothing.
    #[test]
    fn a_task_that_holds_a_view_gives_way_to_the_others() {
        watched(|| {
            runtime().block_on(async {
                let (one, other) = Connection::pair().unwrap();
                let (one, other) = (one.into_tokio().unwrap(), other.into_tokio().unwrap());
                let (late, held) =
                    (tokio::sync::oneshot::channel(), tokio::sync::oneshot::channel());
                let let_go = tokio::sync::oneshot::channel();
                let viewing = tokio::spawn(async move {
                    let handshake = with(0).into_tokio();
                    let mut side = handshake.perform::<(), Vec<u8>>(other).await.unwrap();
                    let receiver = side.receiver();
                    receiver.set_timeout(Duration::from_millis(1));
                    assert_eq!(receiver.recv_view().await.unwrap_err().kind(), ErrorKind::TimedOut);
                    late.0.send(()).unwrap();
                    receiver.set_timeout(None);
                    let view = receiver.recv_view().await.unwrap();
                    held.0.send(()).unwrap();
                    let_go.1.await.unwrap();
                    assert!(has(&view, payload(0, LARGE)));
                    drop(view);
                    assert!(has(&receiver.recv_view().await.unwrap(), payload(1, LARGE)));
                    assert!(receiver.recv_view().await.unwrap_err().is_end());
                });
                let handshake = with(0).into_tokio();
                let mut side = handshake.perform::<[u8], ()>(one).await.unwrap();
                late.1.await.unwrap();
                side.sender().send_bytes(payload(0, LARGE)).await.unwrap();
                held.1.await.unwrap();
                let_go.0.send(()).unwrap();
                side.sender().send_bytes(payload(1, LARGE)).await.unwrap();
                side.finish().await.unwrap();
                viewing.await.unwrap();
            });
        });
    }

    #[test]
    fn a_cancelled_view_takes_nothing() {
        watched(|| {
            runtime().block_on(async {
                let token = CancelToken::new().unwrap();
                let (one, other) = Connection::pair().unwrap();
                let one = one.cancelled_by(&token).into_tokio().unwrap();
                let making = thread::spawn(move || with(0).perform::<[u8], ()>(other).unwrap());
                let handshake = with(0).into_tokio();
                let mut side = handshake.perform::<(), Vec<u8>>(one).await.unwrap();
                let mut to = making.join().unwrap();
                to.sender().send_bytes(payload(0, 100)).unwrap();
                token.cancel();
                let error = side.receiver().recv_view().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Cancelled);
            });
        });
    }
}
