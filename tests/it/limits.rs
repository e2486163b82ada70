//! The limits of a service: how slowly a request may come, how long a client may ask for nothing, and how many requests are
//! taken at once. Each by threads and by tasks.

use std::io::Write;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
#[cfg(feature = "tokio")]
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use typed_pipe::{
    CancelToken, Client, Connection, ErrorKind, ListenerOptions, PipePath, Service, ShutdownReason,
    Summary,
};

#[cfg(feature = "tokio")]
use crate::by_hand::recv_from;
use crate::by_hand::{ByHand, call, framed};
use crate::support::{patience, watched};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);

/// A service of numbers, in one of the modes.
type Serve = fn(Service<u32, u32>) -> JoinHandle<Summary>;

/// Tests services of both modes.
pub(crate) fn in_each_mode(test: fn(Serve)) {
    watched(move || test(|service| thread::spawn(|| service.serve(|n| n + 1).unwrap())));
    #[cfg(feature = "tokio")]
    watched(move || {
        test(|service| {
            thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let service = service.into_tokio().unwrap();
                    service.serve(|n| async move { n + 1 }).await.unwrap()
                })
            })
        });
    });
}

/// A client that sends the same bytes again and again, until the service ends the connection.
fn dripping(path: &PipePath, head: &[u8], bytes: &'static [u8]) -> JoinHandle<()> {
    let mut client = ByHand::greet(Connection::connect(path).unwrap());
    client.send(head);
    thread::spawn(move || {
        while client.writer.write_all(bytes).is_ok() {
            thread::park_timeout(Duration::from_millis(5));
        }
    })
}

#[test]
fn requests_that_come_too_slowly_hold_no_seat() {
    in_each_mode(|serve| {
        let token = CancelToken::new().unwrap();
        let listener = ListenerOptions::new().max_clients(5).temporary().unwrap();
        let service = Service::new(listener).cancelled_by(&token).request_timeout(SHORT);
        let path = service.path().clone();
        let serving = serve(service);
        // The first frame of each has a megabyte.
        let head = [0, 16, 0, 0, 1];
        let slow: Vec<_> = (0..5).map(|_| dripping(&path, &head, &[0])).collect();
        let client = Client::<u32, u32>::connect_timeout(&path, LONG).unwrap();
        assert_eq!(client.call_timeout(&1, LONG).unwrap(), 2);
        slow.into_iter().for_each(|slow| slow.join().unwrap());
        // That one has no part of a request on its way, however long it waits.
        assert_eq!(client.call_timeout(&2, LONG).unwrap(), 3);
        token.cancel();
        let summary = serving.join().unwrap();
        assert_eq!((summary.answered, summary.lost), (2, 5));
    });
}

#[test]
fn a_part_of_a_request_and_no_more_ends_its_connection() {
    in_each_mode(|serve| {
        let (ours, theirs) = Connection::pair().unwrap();
        let serving = serve(Service::over(theirs).request_timeout(SHORT));
        let mut client = ByHand::greet(ours);
        client.send(&[0, 0]);
        assert!(client.reader.read(&mut [0]).map_or(true, |read| read == 0));
        let summary = serving.join().unwrap();
        assert_eq!((summary.lost, summary.reason), (1, ShutdownReason::ClientLeft));
    });
}

/// A handler that blocks its thread keeps the task from reading, which is not the fault of the client.
#[cfg(feature = "tokio")]
#[test]
fn the_time_of_a_handler_is_not_that_of_a_request_on_its_way() {
    const LIMIT: Duration = Duration::from_secs(2);

    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let service = Service::<String, usize>::over(theirs).request_timeout(LIMIT);
        let service = service.shutdown_after(2);
        let (begin, begun) = mpsc::channel();
        let (go, gone) = mpsc::channel();
        let gone = Arc::new(Mutex::new(gone));
        let serving = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let handler = move |text: String| {
                    let (begin, gone) = (begin.clone(), Arc::clone(&gone));
                    async move {
                        begin.send(()).unwrap();
                        gone.lock().unwrap().recv().unwrap();
                        text.len()
                    }
                };
                service.into_tokio().unwrap().serve(handler).await.unwrap()
            })
        });
        let mut client = ByHand::greet(ours);
        // More than there is room for.
        let second = call(2, &"x".repeat(1 << 20));
        let (head, rest) = second.split_at(5);
        client.send(&[&call(1, "one"), head].concat());
        begun.recv().unwrap();
        let ByHand { mut writer, mut reader } = client;
        let rest = rest.to_vec();
        let sending = thread::spawn(move || {
            writer.write_all(&rest).unwrap();
            writer
        });
        thread::sleep(LIMIT + SHORT); // the time is what is tested
        go.send(()).unwrap();
        go.send(()).unwrap();
        for answer in [(1, 3), (2, 1 << 20)] {
            assert_eq!(recv_from(&mut reader).unwrap().answer::<usize>(), answer);
        }
        let summary = serving.join().unwrap();
        assert_eq!((summary.answered, summary.lost), (2, 0));
        drop(sending.join().unwrap());
    });
}

/// Each answer is taken in time, and so are all of them, however long there is something left to send.
#[cfg(feature = "tokio")]
#[test]
fn a_slow_reader_of_many_answers_is_not_one_that_takes_none() {
    const CALLS: u64 = 40;

    watched(|| {
        let stall = Duration::from_secs(2) * patience();
        let (ours, theirs) = Connection::pair().unwrap();
        let service = Service::<usize, String>::over(theirs).handshake_timeout(stall);
        let service = service.shutdown_after(CALLS);
        let serving = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let handler = |size| async move { "x".repeat(size) };
                service.into_tokio().unwrap().serve(handler).await.unwrap()
            })
        });
        let mut client = ByHand::greet(ours);
        // Each is more than there is room for.
        let size = 600_000_usize;
        client.send(&(0..CALLS).map(|id| call(id, &size)).collect::<Vec<_>>().concat());
        for id in 0..CALLS {
            thread::sleep(2 * stall / u32::try_from(CALLS).unwrap()); // the time is what is tested
            let (of, text) = client.recv().answer::<String>();
            assert_eq!((of, text.len()), (id, size));
        }
        let summary = serving.join().unwrap();
        assert_eq!((summary.answered, summary.lost), (CALLS, 0));
    });
}

/// What it sends has a meaning, but asks for nothing.
#[test]
fn a_client_that_asks_for_nothing_is_idle_whatever_it_sends() {
    in_each_mode(|serve| {
        let token = CancelToken::new().unwrap();
        let service = Service::temporary().unwrap().cancelled_by(&token);
        let service = service.client_idle_timeout(SHORT);
        let path = service.path().clone();
        let serving = serve(service);
        // Credit for a call that is not there.
        assert_eq!(framed(&[6, 0, 1]), [0, 0, 0, 3, 6, 0, 1]);
        dripping(&path, &[], &[0, 0, 0, 3, 6, 0, 1]).join().unwrap();
        token.cancel();
        serving.join().unwrap();
    });
}

/// It waited for the answer, and is idle from there on.
#[test]
fn a_client_is_idle_since_its_last_answer() {
    let limit = || Duration::from_secs(2) * patience();
    let works = move || limit() * 7 / 8;
    let test = move |serve: &dyn Fn(Service<(), ()>) -> JoinHandle<Summary>| {
        let (ours, theirs) = Connection::pair().unwrap();
        let serving = serve(Service::over(theirs).client_idle_timeout(limit()));
        let client = Client::<(), ()>::over(ours).unwrap();
        client.call(&()).unwrap();
        thread::sleep(limit() / 2); // the time is what is tested
        client.call(&()).unwrap();
        assert_eq!(serving.join().unwrap().reason, ShutdownReason::Idle);
    };
    watched(move || {
        test(&|service| {
            thread::spawn(move || service.serve(move |()| thread::sleep(works())).unwrap())
        });
    });
    #[cfg(feature = "tokio")]
    watched(move || {
        test(&|service| {
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let service = service.into_tokio().unwrap();
                    service.serve(move |()| tokio::time::sleep(works())).await.unwrap()
                })
            })
        });
    });
}

/// Each waits for a second one at work, and no third one may be there.
#[test]
fn no_more_requests_of_a_client_are_at_work_than_the_service_takes() {
    watched(|| {
        let service = Service::<(), ()>::temporary().unwrap().max_requests(2).shutdown_after(40);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            let (pair, at_work) = (Barrier::new(2), AtomicUsize::new(0));
            service.serve(|()| {
                assert!(at_work.fetch_add(1, Ordering::SeqCst) < 2);
                pair.wait();
                at_work.fetch_sub(1, Ordering::SeqCst);
            })
        });
        let client = Client::<(), ()>::connect(path).unwrap();
        let calls: Vec<_> = (0..40).map(|_| client.start(&()).unwrap()).collect();
        calls.into_iter().for_each(|call| call.wait().unwrap());
        assert_eq!(serving.join().unwrap().unwrap().answered, 40);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn no_more_requests_of_a_client_are_at_work_than_a_service_of_tasks_takes() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let service = Service::<(), ()>::temporary().unwrap().max_requests(2);
            let service = service.shutdown_after(40).into_tokio().unwrap();
            let path = service.path().clone();
            let shared = Arc::new((tokio::sync::Barrier::new(2), AtomicUsize::new(0)));
            let serving = tokio::spawn(service.serve(move |()| {
                let shared = Arc::clone(&shared);
                async move {
                    let (pair, at_work) = &*shared;
                    assert!(at_work.fetch_add(1, Ordering::SeqCst) < 2);
                    pair.wait().await;
                    at_work.fetch_sub(1, Ordering::SeqCst);
                }
            }));
            let options = typed_pipe::ClientOptions::new().into_tokio();
            let client = Arc::new(options.connect::<(), ()>(path).await.unwrap());
            let calls = (0..40).map(|_| {
                let client = Arc::clone(&client);
                tokio::spawn(async move { client.call(&()).await })
            });
            for call in calls.collect::<Vec<_>>() {
                call.await.unwrap().unwrap();
            }
            assert_eq!(serving.await.unwrap().unwrap().answered, 40);
        });
    });
}

/// The bytes of calls with these numbers, each of which is cancelled at once.
fn given_up(ids: std::ops::Range<u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for id in ids {
        // The number takes three bytes, whatever it is.
        let [low, mid, high, _] = id.to_le_bytes().map(u16::from);
        let id = u32::from(low | mid << 8) | u32::from(high) << 16;
        let id = [id & 0x7F | 0x80, id >> 7 & 0x7F | 0x80, id >> 14 & 0x7F];
        let id = id.map(|byte| u8::try_from(byte).unwrap());
        bytes.extend(framed(&[&[1][..], &id, &[0, 0, 7]].concat()));
        bytes.extend(framed(&[&[7][..], &id].concat()));
    }
    bytes
}

/// Sends calls that are given up at once and reads no answer, until it is given up itself.
fn floods(client: &mut ByHand) -> bool {
    (0..200)
        .any(|part| client.writer.write_all(&given_up(part * 2000..part * 2000 + 2000)).is_err())
}

#[test]
fn a_client_that_reads_no_refusals_may_begin_no_more_calls_than_may_be_at_once() {
    in_each_mode(|serve| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let serving = serve(service);
        let mut client = ByHand::greet(Connection::connect(&path).unwrap());
        assert!(floods(&mut client), "all of it was taken, and is kept");
        // The others are served.
        let client = Client::<u32, u32>::connect(&path).unwrap();
        assert_eq!(client.call(&1).unwrap(), 2);
        token.cancel();
        serving.join().unwrap();
    });
}

#[test]
fn a_service_that_calls_its_client_and_reads_no_refusals_is_given_up() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let flooding = thread::spawn(move || floods(&mut ByHand::greet(theirs)));
        let client = Client::<u32, u32>::over(ours).unwrap();
        let error = client.call(&1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        drop(client);
        assert!(flooding.join().unwrap());
    });
    #[cfg(feature = "tokio")]
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let flooding = thread::spawn(move || floods(&mut ByHand::greet(theirs)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let options = typed_pipe::ClientOptions::new().into_tokio();
            let client = options.over::<u32, u32>(ours).await.unwrap();
            let error = client.call(&1).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        });
        assert!(flooding.join().unwrap());
    });
}

/// A service that takes a call, and then cancels a call of its own without end. No read has to wait.
struct Cancels(std::io::Cursor<Vec<u8>>);

impl Cancels {
    fn new() -> Self {
        Self(std::io::Cursor::new(crate::by_hand::greeting()))
    }
}

impl typed_pipe::Carrier for Cancels {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<std::io::Result<usize>> {
        let bytes = std::io::Read::read(&mut self.0, buf)?;
        if bytes == 0 {
            self.0 = std::io::Cursor::new(framed(&[7, 0]).repeat(1000));
            return Poll::Ready(std::io::Read::read(&mut self.0, buf));
        }
        Poll::Ready(Ok(bytes))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn stop_reading(&mut self) {}
}

/// The thread that read for all looked at its time where nothing had come.
#[test]
fn what_a_service_says_without_end_does_not_outlast_the_deadline_of_a_call() {
    let time = Duration::from_millis(50);
    watched(move || {
        let client = Client::<u32, u32>::over(Connection::over(Cancels::new()).unwrap()).unwrap();
        let error = client.call_timeout(&1, time).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    });
    #[cfg(feature = "tokio")]
    watched(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let options = typed_pipe::ClientOptions::new().into_tokio();
            let connection = Connection::over(Cancels::new()).unwrap();
            let client = options.over::<u32, u32>(connection).await.unwrap();
            let error = client.call_timeout(&1, time).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        });
    });
}

/// Says when a handler is over, in whatever way.
struct Tells(mpsc::Sender<()>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// Sends notifications behind a call whose handler waits for an item, until the service gives this client up.
fn notifies_without_end(path: &PipePath, is_over: &mpsc::Receiver<()>) {
    let mut client = ByHand::greet(Connection::connect(path).unwrap());
    let notification = framed(&[&[9, 0][..], &[7; 1 << 20]].concat());
    client.send(&call(0, &7_u32));
    assert!(
        (0..200).any(|_| client.writer.write_all(&notification).is_err()),
        "all of it was taken, and is kept"
    );
    is_over.recv().unwrap();
    // The others are served.
    let client = Client::<u32, u32>::connect(path).unwrap();
    assert_eq!(client.call(&1).unwrap(), 2);
}

#[test]
fn a_client_that_sends_notifications_without_end_to_a_handler_that_waits_is_given_up() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::temporary().unwrap().cancelled_by(&token);
        let (path, (told, is_over)) = (service.path().clone(), mpsc::channel());
        let serving = thread::spawn(move || {
            service.serve_with_context(move |number, context: typed_pipe::Context| {
                if number == 7 {
                    let _tells = Tells(told.clone());
                    assert!(context.recv::<u32>().is_none_or(|item| item.is_err()));
                }
                number + 1
            })
        });
        notifies_without_end(&path, &is_over);
        token.cancel();
        assert_eq!(serving.join().unwrap().unwrap().lost, 1);
    });
    #[cfg(feature = "tokio")]
    watched(|| {
        type Context = typed_pipe::Context<(), typed_pipe::wire::Postcard, typed_pipe::Tokio>;

        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::temporary().unwrap().cancelled_by(&token);
        let (path, (told, is_over)) = (service.path().clone(), mpsc::channel());
        let serving = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let handler = move |number: u32, context: Context| {
                    let told = told.clone();
                    async move {
                        if number == 7 {
                            let _tells = Tells(told);
                            let item = context.recv::<u32>().await;
                            assert!(item.is_none_or(|item| item.is_err()));
                        }
                        number + 1
                    }
                };
                let service = service.into_tokio().unwrap();
                service.serve_with_context(handler).await.unwrap()
            })
        });
        notifies_without_end(&path, &is_over);
        token.cancel();
        assert_eq!(serving.join().unwrap().lost, 1);
    });
}
