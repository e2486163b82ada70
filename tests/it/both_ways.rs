//! Calls in both ways over one connection: hosts and their plugins.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use typed_pipe::{
    CancelToken, Client, Connection, Context, Error, ErrorKind, Service, Serving, ShutdownReason,
    service,
};

use crate::by_hand::{ByHand, Received, call};
use crate::support::{until, watched};

type Numbers = Client<u64, u64>;
type Texts = Client<String, String>;

/// A side that adds 1, and one that asks it back for each number.
fn sides() -> ((Numbers, Serving), (Numbers, Serving)) {
    let (ours, theirs) = Connection::pair().unwrap();
    let plugin = thread::spawn(move || {
        let service = Service::<u64, u64>::over(theirs);
        service.both_ways(|host: Numbers| move |n| host.call(&n).map(|n| n * 2)).unwrap()
    });
    let host = Service::<u64, u64>::over(ours).both_ways(|_: Numbers| |n| n + 1).unwrap();
    (host, plugin.join().unwrap())
}

#[test]
fn handlers_that_call_back_while_they_are_called_get_their_answers() {
    watched(|| {
        let ((plugin, host), (_, serving)) = sides();
        for number in 0..400 {
            assert_eq!(plugin.call(&number).unwrap(), (number + 1) * 2);
        }
        thread::scope(|scope| {
            for thread in 0..8 {
                let plugin = &plugin;
                scope.spawn(move || {
                    for number in thread * 1000..thread * 1000 + 100 {
                        assert_eq!(plugin.call(&number).unwrap(), (number + 1) * 2);
                    }
                });
            }
        });
        let many: Vec<_> = (0..500).map(|number| plugin.start(&number).unwrap()).collect();
        for (number, call) in (0..).zip(many) {
            assert_eq!(call.wait().unwrap(), (number + 1) * 2);
        }
        drop(host);
        let summary = serving.wait().unwrap();
        assert_eq!((summary.answered, summary.failed), (400 + 800 + 500, 0));
        assert_eq!(summary.reason, ShutdownReason::ClientLeft);
    });
}

/// The depth is that of the calls which wait for each other.
#[test]
fn calls_go_to_and_fro_as_deep_as_there_are_threads() {
    fn down(other: &Numbers, depth: u64) -> Result<u64, Error> {
        if depth == 0 { Ok(0) } else { Ok(other.call(&(depth - 1))? + 1) }
    }
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let other = thread::spawn(move || {
            let service = Service::<u64, u64>::over(theirs);
            service.both_ways(|other: Numbers| move |depth| down(&other, depth)).unwrap()
        });
        let service = Service::<u64, u64>::over(ours);
        let (there, _serving) =
            service.both_ways(|other: Numbers| move |depth| down(&other, depth)).unwrap();
        let _other = other.join().unwrap();
        assert_eq!(there.call(&100).unwrap(), 100);
    });
}

#[test]
fn both_sides_send_much_more_than_there_is_room_for_at_once() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let echo = |connection| {
            let service = Service::<String, String>::over(connection);
            service.both_ways(|_: Texts| |text| text).unwrap()
        };
        let other = thread::spawn(move || echo(theirs));
        let (here, there) = (echo(ours), other.join().unwrap());
        let begin = Barrier::new(8);
        thread::scope(|scope| {
            for (client, size) in
                [(&here.0, 20_000), (&there.0, 20_000), (&here.0, 3 << 20), (&there.0, 3 << 20)]
            {
                for _ in 0..2 {
                    let begin = &begin;
                    scope.spawn(move || {
                        let text = "x".repeat(size);
                        begin.wait();
                        for _ in 0..5 {
                            assert_eq!(client.call(&text).unwrap(), text);
                        }
                    });
                }
            }
        });
    });
}

#[test]
fn calls_in_flight_end_when_the_other_side_leaves() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let (begun, has_begun) = channel();
        let other = thread::spawn(move || {
            let service = Service::<u64, u64>::over(theirs);
            service
                .both_ways_with_context(|_: Numbers| {
                    move |_, context: Context| {
                        begun.send(()).unwrap();
                        until(|| context.is_cancelled());
                        0
                    }
                })
                .unwrap()
        });
        let service = Service::<u64, u64>::over(ours);
        let (client, serving) = service.both_ways(|_: Numbers| |n| n).unwrap();
        let (_, other) = other.join().unwrap();
        let call = client.start(&1).unwrap();
        has_begun.recv().unwrap();
        // Its end is that of the calls which it made, and it takes nothing that is still to be answered with it.
        drop(serving);
        assert_eq!(call.wait().unwrap_err().kind(), ErrorKind::Cancelled);
        let summary = other.wait().unwrap();
        assert_eq!(summary.reason, ShutdownReason::ClientLeft);
        let error = client.call(&1).unwrap_err();
        assert!(!error.is_delivered(), "{error}");
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    });
}

#[test]
fn a_token_ends_it_after_what_was_taken_is_answered() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let token = CancelToken::new().unwrap();
        let (begun, has_begun) = channel();
        let (go_on, goes_on) = channel::<()>();
        let goes_on = Mutex::new(goes_on);
        let cancelled = token.clone();
        let other = thread::spawn(move || {
            let service = Service::<u64, u64>::over(theirs).cancelled_by(&cancelled);
            let make = |back: Numbers| {
                move |n| {
                    begun.send(()).unwrap();
                    goes_on.lock().unwrap().recv().unwrap();
                    // It still gets answers.
                    back.call(&n)
                }
            };
            service.both_ways(make).unwrap()
        });
        let service = Service::<u64, u64>::over(ours);
        let (client, serving) = service.both_ways(|_: Numbers| |n| n + 1).unwrap();
        let (_, other) = other.join().unwrap();
        let call = client.start(&1).unwrap();
        has_begun.recv().unwrap();
        token.cancel();
        go_on.send(()).unwrap();
        assert_eq!(call.wait().unwrap(), 2);
        let summary = other.wait().unwrap();
        assert_eq!((summary.answered, summary.reason), (1, ShutdownReason::Cancelled));
        assert_eq!(serving.wait().unwrap().answered, 1);
    });
}

#[test]
fn a_panic_of_either_side_costs_one_call() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let checked = |other: Numbers| {
            move |n: u64| {
                assert!(n != 3, "three");
                if n > 10 {
                    other.call(&(n - 10)).map_err(|error| error.to_string())
                } else {
                    Ok(n)
                }
            }
        };
        let there =
            thread::spawn(move || Service::<u64, u64>::over(theirs).both_ways(checked).unwrap());
        let (client, _serving) = Service::<u64, u64>::over(ours).both_ways(checked).unwrap();
        let (_back, _there) = there.join().unwrap();
        assert_eq!(client.call(&3).unwrap_err().kind(), ErrorKind::HandlerPanicked);
        let error = client.call(&13).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HandlerFailed);
        assert!(error.to_string().contains("three"), "{error}");
        assert_eq!(client.call(&14).unwrap(), 4);
    });
}

/// What an earlier edition knows.
#[derive(Serialize, Deserialize, Debug)]
enum Few {
    One,
}

/// What a later one does.
#[derive(Serialize, Deserialize, Debug)]
enum More {
    One,
    Two,
}

#[test]
fn what_does_not_fit_is_told_in_either_way() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let there = thread::spawn(move || {
            let service = Service::<Few, Few>::over(theirs);
            service.both_ways(|_: Client<Few, Few>| |few| few).unwrap()
        });
        let service = Service::<More, More>::over(ours);
        let made = service.both_ways(|_: Client<More, More>| |_| More::Two).unwrap();
        let (later, _serving) = made;
        let (back, _there) = there.join().unwrap();
        let error = later.call(&More::Two).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains("Two"), "{error}");
        let error = back.call(&Few::One).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HandlerFailed, "{error}");
        assert!(error.to_string().contains("its answer cannot be sent"), "{error}");
    });
}

#[test]
fn another_name_of_the_protocol_is_told_on_both_sides() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let old = thread::spawn(move || {
            let service = Service::<u64, u64>::over(theirs).protocol("plugins/1");
            service.both_ways(|_: Numbers| |n| n).unwrap_err()
        });
        let service = Service::<u64, u64>::over(ours).protocol("plugins/2");
        let error = service.both_ways(|_: Numbers| |n| n).unwrap_err();
        for error in [error, old.join().unwrap()] {
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            let text = error.to_string();
            assert!(text.contains("plugins/1") && text.contains("plugins/2"), "{text}");
        }
    });
}

#[test]
fn a_side_that_only_calls_and_one_that_only_serves_fit_one_that_does_both() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let calling = thread::spawn(move || {
            let client = Numbers::over(theirs).unwrap();
            client.call(&1).unwrap()
        });
        let service = Service::<u64, u64>::over(ours);
        let (client, serving) = service.both_ways(|_: Numbers| |n| n + 1).unwrap();
        assert_eq!(calling.join().unwrap(), 2);
        serving.wait().unwrap();
        assert_eq!(client.call(&1).unwrap_err().kind(), ErrorKind::Disconnected);

        let (ours, theirs) = Connection::pair().unwrap();
        let serving = thread::spawn(move || Service::<u64, u64>::over(theirs).serve(|n| n + 1));
        let service = Service::<u64, u64>::over(ours);
        let (client, kept) = service.both_ways(|_: Numbers| |n| n).unwrap();
        assert_eq!(client.call(&1).unwrap(), 2);
        drop(kept);
        assert_eq!(serving.join().unwrap().unwrap().reason, ShutdownReason::ClientLeft);
    });
}

/// Nothing but a call tells the one side that the other calls nobody.
#[test]
fn a_side_that_only_calls_answers_calls_with_an_error() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let (done, wait) = channel::<()>();
        let calling = thread::spawn(move || {
            let client = Numbers::over(theirs).unwrap();
            let answer = client.call(&1).unwrap();
            wait.recv().unwrap();
            answer
        });
        let service = Service::<u64, u64>::over(ours);
        let make = |back: Numbers| {
            move |n| {
                let error = back.call(&n).unwrap_err();
                assert!(error.to_string().contains("answers no calls"), "{error}");
                n
            }
        };
        let (_client, _serving) = service.both_ways(make).unwrap();
        done.send(()).unwrap();
        assert_eq!(calling.join().unwrap(), 1);
    });
}

#[test]
fn what_is_notified_and_streamed_goes_both_ways_too() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let sum = Arc::new(AtomicU64::new(0));
        let adds = Arc::clone(&sum);
        let there = thread::spawn(move || {
            let service = Service::<u64, u64>::over(theirs);
            let make = |host: Numbers| {
                move |steps, context: Context<u64>| {
                    for step in 0..steps {
                        host.notify(&step)?;
                        context.send(&step)?;
                    }
                    Ok::<_, Error>(steps)
                }
            };
            service.both_ways_with_context(make).unwrap()
        });
        let service = Service::<u64, u64>::over(ours);
        let (client, _serving) =
            service.both_ways(|_: Numbers| move |n| adds.fetch_add(n, Ordering::Relaxed)).unwrap();
        let (_back, _there) = there.join().unwrap();
        let items = client.stream::<u64>(&2000).unwrap();
        assert_eq!(items.map(Result::unwrap).sum::<u64>(), 1_999_000);
        until(|| sum.load(Ordering::Relaxed) == 1_999_000);
    });
}

#[test]
fn a_deadline_ends_a_call_whose_callback_waits() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let there = thread::spawn(move || {
            let service = Service::<u64, u64>::over(theirs);
            service.both_ways(|host: Numbers| move |n| host.call(&n)).unwrap()
        });
        let (go_on, goes_on) = channel::<()>();
        let goes_on = Mutex::new(goes_on);
        let service = Service::<u64, u64>::over(ours);
        let make = |_: Numbers| {
            move |n| {
                let _ = goes_on.lock().unwrap().recv();
                n
            }
        };
        let (client, _serving) = service.both_ways(make).unwrap();
        let (_back, _there) = there.join().unwrap();
        let late = client.call_timeout(&1, Duration::from_millis(20)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        drop(go_on);
        assert_eq!(client.call(&2).unwrap(), 2);
    });
}

service! {
    trait Host in host {
        fn log(line: String) -> u64;
    }
}

service! {
    trait Plugin in plugin {
        fn greet(name: String) -> String;
    }
}

struct Lines(AtomicU64);

impl Host for Lines {
    fn log(&self, line: String) -> u64 {
        assert!(!line.is_empty());
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

struct Greeter(host::Client);

impl Plugin for Greeter {
    fn greet(&self, name: String) -> String {
        let number = self.0.log(format!("greeted {name}")).unwrap();
        format!("hello {name}, number {number}")
    }
}

#[test]
fn traits_are_served_and_called_over_one_connection() {
    watched(|| {
        let service = Service::temporary().unwrap();
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            let connection = Connection::connect(path).unwrap();
            let made =
                plugin::both_ways(Service::over(connection), |host| Greeter(host::Client(host)));
            let (_host, serving) = made.unwrap();
            serving.wait().unwrap()
        });
        let (plugin, kept) = host::both_ways(service, |_| Lines(AtomicU64::new(0))).unwrap();
        let plugin = plugin::Client(plugin);
        for number in 0..100 {
            assert_eq!(plugin.greet("ada".into()).unwrap(), format!("hello ada, number {number}"));
        }
        drop(kept);
        assert_eq!(serving.join().unwrap().answered, 100);
    });
}

#[test]
fn a_client_in_this_process_calls_what_is_tested() {
    watched(|| {
        let client = host::local(Lines(AtomicU64::new(5))).unwrap();
        assert_eq!(client.log("a line".into()).unwrap(), 5);
        let error = client.log(String::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HandlerPanicked);
        assert_eq!(client.log("another".into()).unwrap(), 6);
        let plain = Client::<u32, u32>::local(|n: u32| n.checked_sub(1).ok_or("nothing")).unwrap();
        assert_eq!(plain.call(&1).unwrap(), 0);
        assert_eq!(plain.call(&0).unwrap_err().kind(), ErrorKind::HandlerFailed);
        assert!(plain.path().is_none());
    });
}

#[test]
fn a_refused_client_reads_why() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u64, u64>::temporary().unwrap().cancelled_by(&token);
        let (first, path) = (AtomicU64::new(0), service.path().clone());
        let service = service.admit(move |peer| {
            assert!(peer.is_same_user());
            let is_first = first.fetch_add(1, Ordering::Relaxed) == 0;
            if is_first { Err("not the first one".into()) } else { Ok(()) }
        });
        let serving = thread::spawn(move || service.serve(|n| n + 1));
        let refused = Numbers::connect(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(refused.to_string().contains("not the first one"), "{refused}");
        assert_eq!(Numbers::connect(&path).unwrap().call(&1).unwrap(), 2);
        token.cancel();
        let summary = serving.join().unwrap().unwrap();
        assert_eq!((summary.clients, summary.lost), (2, 1));
    });
}

#[test]
fn a_silent_client_of_a_service_over_its_connection_is_let_go() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let serving = thread::spawn(move || {
            let service = Service::<u64, u64>::over(theirs);
            service.idle_timeout(Duration::from_millis(10)).serve(|n| n)
        });
        let client = Numbers::over(ours).unwrap();
        assert_eq!(serving.join().unwrap().unwrap().reason, ShutdownReason::Idle);
        let error = client.call(&1).unwrap_err();
        assert!(!error.is_delivered(), "{error}");
    });
}

/// A call is given up when half of its request is written: the rest is sent as soon as there is room, by the thread that
/// reads, which has read something since the write began.
#[test]
fn the_rest_of_a_request_that_was_given_up_is_sent_by_the_thread_that_reads() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let (given_up, is_given_up) = channel();
        let there = thread::spawn(move || {
            let mut hand = ByHand::greet(theirs);
            let mut length = [0; 4];
            hand.reader.read_exact(&mut length).unwrap();
            hand.send(&call(0, &1_u64));
            is_given_up.recv().unwrap();
            let began = Instant::now();
            let mut rest = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
            hand.reader.read_exact(&mut rest).unwrap();
            assert!(rest.len() > 2 << 20);
            loop {
                match hand.recv() {
                    Received::Answer { id: 0, .. } => return began.elapsed(),
                    other => assert!(matches!(other, Received::Cancel { .. }), "{other:?}"),
                }
            }
        });
        let service = Service::<u64, u64>::over(ours).client_idle_timeout(Duration::from_secs(60));
        let (client, _serving) = service.both_ways(|_: Client<Vec<u8>, u64>| |n| n + 1).unwrap();
        let late = client.call_timeout(&vec![7; 2 << 20], Duration::from_secs(1)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        given_up.send(()).unwrap();
        let took = there.join().unwrap();
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}

/// The thread that writes it all has no more time, and the goodbye waits for that thread.
#[test]
fn an_answer_behind_a_request_that_was_given_up_is_sent_before_the_goodbye() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let token = CancelToken::new().unwrap();
        let service = Service::<u64, u64>::over(ours).cancelled_by(&token);
        let ((begin, begun), (go, gate)) = (channel(), channel::<()>());
        let gate = Mutex::new(gate);
        let ((client, serving), mut hand) = thread::scope(|scope| {
            let hand = scope.spawn(|| ByHand::greet(theirs));
            let made = service.both_ways(|_: Client<Vec<u8>, u64>| {
                move |n| {
                    begin.send(()).unwrap();
                    gate.lock().unwrap().recv().unwrap();
                    n + 1
                }
            });
            (made.unwrap(), hand.join().unwrap())
        });
        hand.send(&call(0, &1_u64));
        begun.recv().unwrap();
        let (given_up, is_given_up) = channel();
        let calling = thread::spawn(move || {
            let late = client.call_timeout(&vec![7; 4 << 20], Duration::from_secs(1)).unwrap_err();
            given_up.send(()).unwrap();
            late
        });
        // It is being written.
        let mut length = [0; 4];
        hand.reader.read_exact(&mut length).unwrap();
        token.cancel();
        go.send(()).unwrap();
        is_given_up.recv().unwrap();
        let mut rest = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        hand.reader.read_exact(&mut rest).unwrap();
        let answered = loop {
            match hand.recv() {
                Received::Answer { id, .. } => break Some(id),
                Received::Goodbye => break None,
                _ => {}
            }
        };
        assert_eq!(answered, Some(0));
        drop(hand);
        calling.join().unwrap();
        serving.wait().unwrap();
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use typed_pipe::wire::{LengthPrefixed, Postcard};
    use typed_pipe::{ClientOptions, Tokio};

    use super::*;

    type Numbers = Client<u64, u64, LengthPrefixed, Postcard, Tokio>;
    type Texts = Client<String, String, LengthPrefixed, Postcard, Tokio>;

    fn run<T: Send + 'static>(test: impl Future<Output = T> + Send + 'static) {
        watched(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread();
            { runtime }.worker_threads(2).enable_all().build().unwrap().block_on(test);
        });
    }

    fn over(connection: Connection) -> Service<u64, u64, LengthPrefixed, Postcard, Tokio> {
        Service::over(connection).into_tokio().unwrap()
    }

    #[test]
    fn handlers_that_call_back_while_they_are_called_get_their_answers() {
        run(async {
            let (ours, theirs) = Connection::pair().unwrap();
            let plugin = tokio::spawn(async {
                let made = over(theirs).both_ways(|host: Numbers| {
                    let host = Arc::new(host);
                    move |n| {
                        let host = Arc::clone(&host);
                        async move { host.call(&n).await.map(|n| n * 2) }
                    }
                });
                made.await.unwrap()
            });
            let made = over(ours).both_ways(|_: Numbers| |n| async move { n + 1 });
            let (client, host) = made.await.unwrap();
            let (_, serving) = plugin.await.unwrap();
            for number in 0..400 {
                assert_eq!(client.call(&number).await.unwrap(), (number + 1) * 2);
            }
            let client = Arc::new(client);
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..800 {
                let client = Arc::clone(&client);
                tasks.spawn(async move {
                    assert_eq!(client.call(&number).await.unwrap(), (number + 1) * 2);
                });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
            drop(host);
            let summary = serving.wait().await.unwrap();
            assert_eq!((summary.answered, summary.failed), (1200, 0));
            assert_eq!(summary.reason, ShutdownReason::ClientLeft);
            let error = client.call(&1).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Disconnected);
        });
    }

    #[test]
    fn both_sides_send_much_more_than_there_is_room_for_at_once() {
        run(async {
            let (ours, theirs) = Connection::pair().unwrap();
            let echo = |connection| async {
                let service = Service::<String, String>::over(connection).into_tokio().unwrap();
                service.both_ways(|_: Texts| |text| async { text }).await.unwrap()
            };
            let (here, there) = tokio::join!(echo(ours), echo(theirs));
            let (small, large) = ("x".repeat(20_000), "x".repeat(3 << 20));
            for _ in 0..5 {
                let all = tokio::join!(
                    here.0.call(&small),
                    there.0.call(&small),
                    here.0.call(&large),
                    there.0.call(&large),
                    here.0.call(&large),
                    there.0.call(&large),
                );
                assert!(all.0.unwrap() == small && all.1.unwrap() == small);
                assert!(all.2.unwrap() == large && all.3.unwrap() == large);
                assert!(all.4.unwrap() == large && all.5.unwrap() == large);
            }
        });
    }

    #[test]
    fn a_token_ends_it_and_its_own_calls_with_it() {
        run(async {
            let (ours, theirs) = Connection::pair().unwrap();
            let there = tokio::spawn(async {
                let made = over(theirs).both_ways_with_context(|_: Numbers| {
                    |n, context: Context<(), Postcard, Tokio>| async move {
                        // Until the caller has left.
                        context.cancel_token().unwrap().cancelled().await;
                        n
                    }
                });
                made.await.unwrap()
            });
            let made = over(ours).both_ways(|_: Numbers| |n| async move { n });
            let (client, serving) = made.await.unwrap();
            let (_, there) = there.await.unwrap();
            let call = client.start(&1).await.unwrap();
            drop(serving);
            assert_eq!(call.wait().await.unwrap_err().kind(), ErrorKind::Cancelled);
            let summary = there.wait().await.unwrap();
            assert_eq!(summary.reason, ShutdownReason::ClientLeft);
        });
    }

    #[test]
    fn a_client_in_this_process_calls_what_is_tested() {
        run(async {
            let options = ClientOptions::new().into_tokio();
            let client = options.local::<u64, u64, _, _>(|n| async move { n + 1 }).await.unwrap();
            assert_eq!(client.call(&1).await.unwrap(), 2);
            let (ours, theirs) = Connection::pair().unwrap();
            let serving = tokio::spawn(over(theirs).serve(|n| async move { n + 1 }));
            let client: Numbers = options.over(ours).await.unwrap();
            assert_eq!(client.call(&2).await.unwrap(), 3);
            drop(client);
            assert_eq!(serving.await.unwrap().unwrap().reason, ShutdownReason::ClientLeft);
        });
    }

    #[test]
    fn traits_are_served_and_called_over_one_connection_by_tasks() {
        struct Lines;
        impl host::Tasks for Lines {
            async fn log(&self, line: String) -> u64 {
                u64::try_from(line.len()).unwrap()
            }
        }
        struct Greeter(host::Client<LengthPrefixed, Postcard, Tokio>);
        impl plugin::Tasks for Greeter {
            async fn greet(&self, name: String) -> String {
                let number = self.0.log(name.clone()).await.unwrap();
                format!("hello {name}, number {number}")
            }
        }
        run(async {
            let (ours, theirs) = Connection::pair().unwrap();
            let there = tokio::spawn(async {
                let service = Service::over(theirs).into_tokio().unwrap();
                plugin::both_ways_tasks(service, |host| Greeter(host::Client(host))).await.unwrap()
            });
            let service = Service::over(ours).into_tokio().unwrap();
            let (plugin, _kept) = host::both_ways_tasks(service, |_| Lines).await.unwrap();
            let plugin = plugin::Client(plugin);
            let _there = there.await.unwrap();
            assert_eq!(plugin.greet("ada".into()).await.unwrap(), "hello ada, number 3");
        });
    }
}
