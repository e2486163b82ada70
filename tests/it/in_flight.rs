//! Many calls of one connection: beside each other, in order, given up, and with items.

use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize, Serializer};
use typed_pipe::wire::shape::Style;
use typed_pipe::wire::{Codec, Framing, LengthPrefixed, Postcard, Scan, Step, Wire};
use typed_pipe::{
    CancelToken, Client, ClientOptions, CodecError, Connection, Context, ErrorKind, FrameError,
    Listener, ListenerOptions, Peer, PipePath, Service, ShutdownReason, Summary,
};

use crate::by_hand::{ByHand, Received, answer, call, framed};
#[cfg(target_os = "linux")]
use crate::peer::{self, LOST, READY};
#[cfg(target_os = "linux")]
use crate::support::skipped;
use crate::support::{until, watched, watched_for};

const SECOND: Duration = Duration::from_secs(1);

/// Serves until the token is cancelled.
fn serving<Req, Resp>(
    handler: impl Fn(Req) -> Resp + Send + Sync + 'static,
) -> (PipePath, CancelToken, thread::JoinHandle<Summary>)
where
    Req: serde::de::DeserializeOwned + 'static,
    Resp: Serialize + serde::de::DeserializeOwned + 'static,
{
    let token = CancelToken::new().unwrap();
    let service = Service::<Req, Resp>::temporary().unwrap().cancelled_by(&token);
    let path = service.path().clone();
    (path, token, thread::spawn(move || service.serve(handler).unwrap()))
}

#[test]
fn a_request_that_cannot_be_decoded_ends_itself_alone() {
    watched(|| {
        let (path, token, serving) = serving(|text: String| text.len());
        let mut client = ByHand::greet(Connection::connect(&path).unwrap());
        client.send(&framed(&[1, 0, 0, 0, 0xFF, 0xFF]));
        client.send(&call(1, "four"));
        // They are handled beside each other, and may be answered in any order.
        let mut received = [client.recv(), client.recv()];
        received.sort_by_key(|received| !matches!(received, Received::Error { .. }));
        let [failed, answered] = received;
        assert!(matches!(failed, Received::Error { id: 0, reason: 3, .. }), "{failed:?}");
        assert_eq!(answered.answer::<usize>(), (1, 4));
        drop(client);
        token.cancel();
        assert_eq!(serving.join().unwrap().lost, 0);
    });
}

/// What an earlier edition knows.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Few {
    One,
}

/// What a later one does.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum More {
    One,
    Two,
}

/// A service and its client know what each of them reads: what the other one does not know is never sent.
#[test]
fn a_request_or_an_answer_that_came_later_is_refused_where_it_is_made() {
    watched(|| {
        let (path, token, serving) = serving(|word: Few| word);
        let later = Client::<More, Few>::connect(&path).unwrap();
        for _ in 0..2 {
            let unfit = later.call(&More::Two).unwrap_err();
            let told = (unfit.kind(), unfit.is_delivered());
            assert_eq!(told, (ErrorKind::Mismatch, false), "{unfit}");
            assert_eq!(later.call(&More::One).unwrap(), Few::One);
        }
        token.cancel();
        assert_eq!(serving.join().unwrap().lost, 0);

        let (path, token, serving) = self::serving(|word: More| word);
        let earlier = Client::<More, Few>::connect(&path).unwrap();
        let unfit = earlier.call(&More::Two).unwrap_err();
        assert_eq!((unfit.kind(), unfit.is_delivered()), (ErrorKind::HandlerFailed, true));
        assert!(unfit.to_string().contains("its answer cannot be sent"), "{unfit}");
        assert_eq!(earlier.call(&More::One).unwrap(), Few::One);
        token.cancel();
        assert_eq!(serving.join().unwrap().lost, 0);
    });
}

#[test]
fn types_that_do_not_fit_are_refused_at_connect() {
    watched(|| {
        // One after the other: who comes in knows that the service has given up those before.
        let listener = ListenerOptions::new().max_clients(1).temporary().unwrap();
        let token = CancelToken::new().unwrap();
        let service = Service::<String, usize>::new(listener).cancelled_by(&token);
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(|text| text.len()).unwrap());
        let other = Client::<u8, usize>::connect(&path).unwrap_err();
        assert!(other.to_string().contains("what this side sends: `message`: u8 here, text there"));
        let other = Client::<String, Vec<u8>>::connect(&path).unwrap_err();
        assert_eq!(other.kind(), ErrorKind::Mismatch, "{other}");
        assert!(other.to_string().contains("what this side receives: `message`"), "{other}");
        // Text is text, whoever owns it.
        let same = Client::<Box<str>, usize>::connect(&path).unwrap();
        assert_eq!(same.call(&"four".into()).unwrap(), 4);
        token.cancel();
        assert_eq!(serving.join().unwrap().lost, 2);
    });
}

/// What is borrowed is written as what is owned, and held against what the service reads.
#[test]
fn a_request_may_be_borrowed_and_is_compared_all_the_same() {
    #[derive(Serialize)]
    struct Borrowed<'a>(&'a str, &'a [&'a str]);

    watched(|| {
        let (path, token, serving) =
            serving(|(text, words): (String, Vec<String>)| words.contains(&text));
        let client = Client::<(String, Vec<String>), bool>::connect(&path).unwrap();
        let words = ["one", "two"];
        assert!(client.call_ref(&Borrowed("two", &words)).unwrap());
        assert!(!client.call_ref(&("three", words.as_slice())).unwrap());
        let unfit = client.call_ref(&("two", 2)).unwrap_err();
        assert_eq!((unfit.kind(), unfit.is_delivered()), (ErrorKind::Mismatch, false), "{unfit}");
        assert!(!client.call(&("three".into(), vec!["one".into()])).unwrap());
        token.cancel();
        assert_eq!(serving.join().unwrap().lost, 0);
    });
}

#[test]
fn an_answer_that_cannot_be_decoded_ends_its_own_call_alone() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let serving = thread::spawn(move || {
            let mut client = ByHand::greet(listener.accept().unwrap());
            let calls = [(); 2].map(|()| client.recv().call::<u32>());
            for (id, request) in calls {
                let answer = if request == 1 { answer(id, &[7_u8; 9]) } else { answer(id, "yes") };
                client.send(&answer);
            }
            let (id, _) = client.recv().call::<u32>();
            client.send(&answer(id, "once more"));
        });
        let client = Client::<u32, String>::connect(path).unwrap();
        let calls = [1, 2].map(|number| client.start(&number).unwrap());
        let [bad, good] = calls.map(|call| call.wait_timeout(30 * SECOND));
        let bad = bad.unwrap_err();
        assert_eq!((bad.kind(), bad.is_delivered()), (ErrorKind::Corrupt, true), "{bad}");
        assert_eq!(good.unwrap(), "yes");
        assert_eq!(client.call(&3).unwrap(), "once more");
        serving.join().unwrap();
    });
}

#[test]
fn ten_thousand_notifications_are_handled_in_order() {
    watched(|| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let (path, token, serving) = serving(move |number: u32| noted.lock().unwrap().push(number));
        let client = Client::<u32, ()>::connect(&path).unwrap();
        for number in 0..10_000 {
            client.notify(&number).unwrap();
        }
        client.call(&10_000).unwrap();
        assert!(seen.lock().unwrap().iter().copied().eq(0..=10_000));
        token.cancel();
        assert_eq!(serving.join().unwrap().answered, 10_001);
    });
}

/// Handlers run beside each other: one may wait for what another one does.
#[test]
fn a_call_may_wait_for_another_one_of_its_client() {
    watched(|| {
        let (send, recv) = mpsc::channel::<u32>();
        let channel = (Mutex::new(send), Mutex::new(recv));
        let (path, token, serving) = serving(move |waits: bool| {
            if waits {
                channel.1.lock().unwrap().recv().unwrap()
            } else {
                channel.0.lock().unwrap().send(7).unwrap();
                0
            }
        });
        let client = Client::<bool, u32>::connect(&path).unwrap();
        let first = client.start(&true).unwrap();
        assert_eq!(client.call(&false).unwrap(), 0);
        assert_eq!(first.wait().unwrap(), 7);
        token.cancel();
        serving.join().unwrap();
    });
}

/// Many calls that are begun and not waited for: both sides are at work, long before the first wait.
#[test]
fn many_calls_are_sent_before_the_last_of_them_is_begun() {
    watched(|| {
        let (send, begun) = mpsc::channel::<u32>();
        let send = Mutex::new(send);
        let (path, token, serving) = serving(move |number: u32| {
            send.lock().unwrap().send(number).unwrap();
            number
        });
        let client = Client::<u32, u32>::connect(&path).unwrap();
        let calls: Vec<_> = (0..40).map(|number| client.start(&number).unwrap()).collect();
        // Nothing waits for an answer yet.
        assert!(begun.iter().any(|number| number == 10));
        for (number, call) in (0..).zip(calls) {
            assert_eq!(call.wait().unwrap(), number);
        }
        token.cancel();
        serving.join().unwrap();
    });
}

#[test]
fn a_serialize_may_call_the_same_client() {
    static CLIENT: OnceLock<Client<Nested, u32>> = OnceLock::new();

    #[derive(Deserialize)]
    struct Nested(u32);
    impl Serialize for Nested {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = if self.0 == 0 { 0 } else { CLIENT.get().unwrap().call(&Self(0)).unwrap() };
            serializer.serialize_u32(self.0 + inner)
        }
    }

    watched(|| {
        let (path, token, serving) = serving(|number: u32| number + 1);
        let client = CLIENT.get_or_init(|| Client::connect(path).unwrap());
        assert_eq!(client.call(&Nested(5)).unwrap(), 7);
        token.cancel();
        serving.join().unwrap();
    });
}

/// There are more than the service takes at once.
#[test]
fn one_thread_has_thousands_of_calls_in_flight() {
    watched(|| {
        let (path, token, serving) = serving(|number: u32| number * 2);
        let client = Client::<u32, u32>::connect(&path).unwrap();
        let calls: Vec<_> = (0..3000).map(|number| client.start(&number).unwrap()).collect();
        for (number, call) in (0..).zip(calls) {
            assert_eq!(call.wait().unwrap(), number * 2);
        }
        token.cancel();
        assert_eq!(serving.join().unwrap().answered, 3000);
    });
}

#[test]
fn large_answers_that_were_given_up_are_in_the_way_of_no_large_request() {
    watched(|| {
        let (path, token, serving) =
            serving(|text: String| if text.len() < 10 { "x".repeat(4 << 20) } else { text });
        let client = Client::<String, String>::connect(&path).unwrap();
        let (short, large) = ("short".to_owned(), "y".repeat(4 << 20));
        for _ in 0..5 {
            drop(client.start(&short).unwrap());
            let late = client.call_timeout(&short, Duration::from_millis(1));
            assert!(late.is_ok() || late.is_err_and(|error| error.kind() == ErrorKind::TimedOut));
        }
        assert!(client.call(&large).unwrap() == large);
        drop(client);
        token.cancel();
        serving.join().unwrap();
    });
}

#[test]
fn a_panic_whose_value_panics_again_costs_its_call_alone() {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            panic!("again");
        }
    }

    watched(|| {
        let (path, token, serving) = serving(|panics: bool| {
            if panics {
                std::panic::panic_any(Again);
            }
        });
        let client = Client::<bool, ()>::connect(&path).unwrap();
        assert_eq!(client.call(&true).unwrap_err().kind(), ErrorKind::HandlerPanicked);
        client.call(&false).unwrap();
        token.cancel();
        serving.join().unwrap();
    });
}

#[test]
fn a_handler_learns_who_calls_for_how_long_and_when_nobody_waits_any_more() {
    watched(|| {
        let service = Service::<bool, bool>::temporary().unwrap().shutdown_after(3);
        let path = service.path().clone();
        let (told, learned) = mpsc::channel();
        let told = Mutex::new(told);
        let serving = thread::spawn(move || {
            service.serve_with_context(|waits, context: Context| {
                // It is at work from here on.
                context.send(&()).unwrap();
                assert!(context.peer().is_some_and(Peer::is_same_user));
                if waits {
                    let left =
                        context.deadline().unwrap().saturating_duration_since(Instant::now());
                    assert!(left < 30 * SECOND);
                    let token = context.cancel_token().unwrap();
                    // It waits for what never comes, until the token is cancelled.
                    let idle = Listener::temporary().unwrap();
                    let idle = ListenerOptions::new()
                        .cancelled_by(token)
                        .bind(idle.path().as_path().with_extension("2"));
                    let ended = idle.unwrap().accept().unwrap_err();
                    assert_eq!(ended.kind(), ErrorKind::Cancelled);
                    assert!(context.is_cancelled());
                    told.lock().unwrap().send(()).unwrap();
                }
                context.deadline().is_none()
            })
        });
        let client = Client::<bool, bool>::connect(&path).unwrap();
        assert!(client.call(&false).unwrap(), "no deadline");
        // Its handler must begin before the deadline.
        let late = client.call_timeout(&true, 2 * SECOND).unwrap_err();
        assert_eq!((late.kind(), late.is_delivered()), (ErrorKind::TimedOut, true));
        learned.recv().unwrap();
        // A caller that leaves is one that waits no more.
        let options = ClientOptions::new().reply_timeout(29 * SECOND);
        let leaving: Client<bool, bool> = options.connect(&path).unwrap();
        let mut call = leaving.stream::<()>(&true).unwrap();
        call.next().unwrap().unwrap();
        drop((call, leaving));
        learned.recv().unwrap();
        drop(client);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn items_wait_for_their_consumer_and_end_with_it() {
    watched(|| {
        let service = Service::<usize, usize>::temporary().unwrap().shutdown_after(2);
        let path = service.path().clone();
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let serving = thread::spawn(move || {
            service.serve_with_context(|count, context: Context<Vec<u8>>| {
                for number in 0..count {
                    if let Err(error) = context.send(&vec![7; 50_000]) {
                        assert_eq!(error.kind(), ErrorKind::Cancelled);
                        assert!(error.to_string().contains("the caller has given up"), "{error}");
                        return number;
                    }
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                count
            })
        });
        let client = Client::<usize, usize>::connect(&path).unwrap();
        let mut items = client.stream::<Vec<u8>>(&100).unwrap();
        assert_eq!(items.next().unwrap().unwrap().len(), 50_000);
        // The time is what is tested: little is sent without a consumer.
        thread::sleep(Duration::from_millis(50));
        assert!(sent.load(Ordering::SeqCst) <= 8, "{sent:?}");
        assert_eq!(items.by_ref().map(|item| item.unwrap().len()).sum::<usize>(), 4_950_000);
        assert_eq!(items.finish().unwrap(), 100);
        let mut dropped = client.stream::<Vec<u8>>(&usize::MAX).unwrap();
        assert!(dropped.next().unwrap().is_ok());
        drop(dropped);
        serving.join().unwrap().unwrap();
    });
}

/// Nobody reads for a client that waits for nothing: an item that finds no room holds its handler up no longer than any
/// side that takes nothing.
#[test]
fn a_producer_of_large_items_ends_without_its_consumer() {
    watched(|| {
        let service = Service::<(), ()>::temporary().unwrap().shutdown_after(1);
        let service = service.handshake_timeout(Duration::from_millis(500));
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(
                |(), context: Context<Vec<u8>>| {
                    while context.send(&vec![7_u8; 4 << 20]).is_ok() {}
                },
            )
        });
        let client = Client::<(), ()>::connect(&path).unwrap();
        let mut items = client.stream::<Vec<u8>>(&()).unwrap();
        assert_eq!(items.next().unwrap().unwrap().len(), 4 << 20);
        drop(items);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn items_go_both_ways_in_one_call() {
    watched(|| {
        let service = Service::<(), u64>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|(), context: Context<u64>| {
                let mut count = 0;
                while let Some(number) = context.recv::<u64>() {
                    context.send(&(number? * 2))?;
                    count += 1;
                }
                Ok::<_, typed_pipe::Error>(count)
            })
        });
        let client = Client::<(), u64>::connect(&path).unwrap();
        let mut call = client.stream::<u64>(&()).unwrap();
        for number in 0..1000 {
            call.send(&number).unwrap();
            assert_eq!(call.next().unwrap().unwrap(), number * 2);
        }
        call.end();
        assert!(call.next().is_none());
        assert_eq!(call.finish().unwrap(), 1000);
        serving.join().unwrap().unwrap();
    });
}

/// Without a deadline, both sides would wait for ever.
#[test]
fn a_call_without_items_has_none_for_its_handler() {
    watched(|| {
        let service = Service::<(), u64>::temporary().unwrap().shutdown_after(4);
        let path = service.path().clone();
        let (told, sums) = mpsc::channel();
        let serving = thread::spawn(move || {
            service.serve_with_context(move |(), context: Context<u64>| {
                let sum = context.items::<u64>().sum::<Result<u64, typed_pipe::Error>>();
                told.send(*sum.as_ref().unwrap()).unwrap();
                sum
            })
        });
        let client = Client::<(), u64>::connect(&path).unwrap();
        assert_eq!(client.call(&()).unwrap(), 0);
        assert_eq!(client.start(&()).unwrap().wait().unwrap(), 0);
        client.notify(&()).unwrap();
        let mut call = client.stream::<u64>(&()).unwrap();
        call.send(&7_u64).unwrap();
        assert_eq!(call.finish().unwrap(), 7);
        let mut all: Vec<_> = sums.iter().take(4).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 0, 0, 7]);
        serving.join().unwrap().unwrap();
    });
}

/// A codec of the program's own, of which one build says how its messages look, and another one does not.
#[derive(Clone)]
struct OwnCodec(Option<Style>);

impl Codec for OwnCodec {
    fn name(&self) -> &str {
        "own"
    }

    fn encode<T: Serialize + ?Sized>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        Postcard.encode(value, out)
    }

    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
        Postcard.decode(bytes)
    }

    fn style(&self) -> Option<Style> {
        self.0
    }
}

/// The items were not seen, or the call was not understood.
#[test]
fn a_call_has_its_items_whichever_side_knows_how_they_look() {
    watched(|| {
        let known = Postcard.style();
        for (ours, theirs) in [(known, None), (None, known), (None, None), (known, known)] {
            let wire = |style| Wire::default().with_codec(OwnCodec(style));
            let service = Service::<(), u64>::temporary().unwrap().with_wire(wire(theirs));
            let service = service.shutdown_after(2);
            let path = service.path().clone();
            let serving = thread::spawn(move || {
                service.serve_with_context(|(), context: Context<u64, OwnCodec>| {
                    context.send(&1)?; // it has begun
                    context.items::<u64>().sum::<Result<u64, typed_pipe::Error>>()
                })
            });
            let options = ClientOptions::new().with_wire(wire(ours));
            let client = options.connect::<(), u64>(&path).unwrap();
            let mut call = client.stream::<u64>(&()).unwrap();
            assert_eq!(call.recv().unwrap().unwrap(), 1, "{ours:?}, {theirs:?}");
            for number in [3_u64, 4] {
                call.send(&number).unwrap();
            }
            assert_eq!(call.finish().unwrap(), 7, "{ours:?}, {theirs:?}");
            assert_eq!(client.call(&()).unwrap(), 0, "it has none: {ours:?}, {theirs:?}");
            serving.join().unwrap().unwrap();
        }
    });
}

#[test]
fn to_finish_a_call_ends_its_items() {
    watched(|| {
        let service = Service::<(), u64>::temporary().unwrap().shutdown_after(2);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|(), context: Context<u64>| {
                context.send(&0)?;
                context.items::<u64>().sum::<Result<u64, typed_pipe::Error>>()
            })
        });
        let client = Client::<(), u64>::connect(&path).unwrap();
        let mut call = client.stream::<u64>(&()).unwrap();
        call.send(&1_u64).unwrap();
        call.send(&2_u64).unwrap();
        assert_eq!(call.finish().unwrap(), 3);
        assert_eq!(client.stream::<u64>(&()).unwrap().finish().unwrap(), 0);
        serving.join().unwrap().unwrap();
    });
}

/// From this number on, a handler waits at a gate. Others are below it.
const HELD: u64 = 1 << 40;

/// How many calls are given up while others are checked.
fn cancels(unless_set: usize) -> usize {
    std::env::var("TYPED_PIPE_TEST_CANCELS").map_or(unless_set, |count| count.parse().unwrap())
}

fn time_for_cancels() -> Duration {
    SECOND * (180 + u32::try_from(cancels(0) / 100).unwrap())
}

/// What happens next, at random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 33
    }
}

/// Calls and streams are cancelled and dropped at random while others are checked: nothing is crossed, answered twice or
/// leaked.
#[test]
fn calls_that_are_given_up_at_random_cross_no_other() {
    watched_for(time_for_cancels(), || {
        let gate = Arc::new(RwLock::new(()));
        let closed = Arc::clone(&gate);
        let token = CancelToken::new().unwrap();
        let service = Service::<u64, u64>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(move |number, context: Context<u64>| {
                if number >= HELD {
                    drop(closed.read().unwrap());
                } else if number % 3 == 0 {
                    // The caller waits for no items, or for these.
                    let _ = (0..number % 7).try_for_each(|item| context.send(&(number + item)));
                }
                number + 1
            })
        });
        let client = Client::<u64, u64>::connect(&path).unwrap();
        let share = cancels(6000) / 4;
        thread::scope(|scope| {
            for thread in 0..4 {
                let client = &client;
                scope.spawn(move || {
                    let mut dice = Dice(thread + 1);
                    let (mut number, mut given_up) = (thread, 0);
                    while given_up < share {
                        // Each thread has numbers of its own: an answer of another one is seen.
                        number += 4;
                        match dice.roll() % 6 {
                            0 => {
                                drop(client.start(&number).unwrap());
                                given_up += 1;
                            }
                            1 => {
                                let time = Duration::from_micros(dice.roll() % 50);
                                match client.call_timeout(&number, time) {
                                    Ok(answer) => assert_eq!(answer, number + 1),
                                    Err(error) => {
                                        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                                        given_up += 1;
                                    }
                                }
                            }
                            2 => {
                                let calls = [4, 8, 12].map(|more| client.start(&(number + more)));
                                let [one, two, _three] = calls.map(Result::unwrap);
                                assert_eq!(two.wait().unwrap(), number + 9);
                                assert_eq!(one.wait().unwrap(), number + 5);
                                number += 12;
                                given_up += 1;
                            }
                            3 => {
                                let mut items = client.stream::<u64>(&number).unwrap();
                                let first = items.next().map(Result::unwrap);
                                let some = number % 3 == 0 && number % 7 > 0;
                                assert_eq!(first, some.then_some(number));
                                given_up += usize::from(first.is_some());
                            }
                            4 => {
                                let mut items = client.stream::<u64>(&number).unwrap();
                                let came = items.by_ref().map(Result::unwrap).collect::<Vec<_>>();
                                let some = if number % 3 == 0 { number % 7 } else { 0 };
                                assert!(came.into_iter().eq(number..number + some));
                                assert_eq!(items.finish().unwrap(), number + 1);
                            }
                            _ => assert_eq!(client.call(&number).unwrap(), number + 1),
                        }
                    }
                });
            }
        });
        // All places are free again: as many calls as there are places, of which none is answered before the last began.
        let closed = gate.write().unwrap();
        let calls = (HELD..HELD + 1024).map(|number| client.start(&number).unwrap());
        let calls: Vec<_> = calls.collect();
        drop(closed);
        for (number, call) in (HELD..).zip(calls) {
            assert_eq!(call.wait_timeout(30 * SECOND).unwrap(), number + 1);
        }
        token.cancel();
        assert_eq!(serving.join().unwrap().unwrap().lost, 0);
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use std::future::Future;
    use std::sync::atomic::AtomicBool;
    use std::task::Poll;

    use tokio::runtime::Builder;
    use typed_pipe::Tokio;
    use typed_pipe::wire::Postcard;

    use super::*;

    fn in_runtime<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
        watched(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(test()));
    }

    #[test]
    fn many_calls_of_a_task_are_sent_before_the_last_of_them_is_begun() {
        let (send, begun) = mpsc::channel::<u32>();
        let send = Mutex::new(send);
        let (path, token, serving) = serving(move |number: u32| {
            send.lock().unwrap().send(number).unwrap();
            number
        });
        in_runtime(move || async move {
            let client = ClientOptions::new().into_tokio();
            let client = client.connect::<u32, u32>(&path).await.unwrap();
            let numbers: Vec<u32> = (0..40).collect();
            let mut calls: Vec<_> =
                numbers.iter().map(|number| Box::pin(client.call(number))).collect();
            std::future::poll_fn(|cx| {
                for call in &mut calls {
                    assert!(call.as_mut().poll(cx).is_pending());
                }
                Poll::Ready(())
            })
            .await;
            // This thread has not let the task of the connection run yet.
            assert!(begun.iter().any(|number| number == 10));
            for (number, call) in (0..).zip(calls) {
                assert_eq!(call.await.unwrap(), number);
            }
            token.cancel();
            serving.join().unwrap();
        });
    }

    #[test]
    fn a_service_of_tasks_answers_some_calls_before_it_begins_the_last() {
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let (send, bound) = mpsc::channel();
        let serving = thread::spawn(move || {
            in_runtime(move || async move {
                let service = Service::<u32, u32>::temporary().unwrap().shutdown_after(60);
                send.send(service.path().clone()).unwrap();
                let released = Arc::new(released);
                let serving = service.into_tokio().unwrap().serve(move |number| {
                    let released = Arc::clone(&released);
                    async move {
                        if number == 40 {
                            // It has the only thread.
                            released.lock().unwrap().recv().unwrap();
                        }
                        number
                    }
                });
                assert_eq!(serving.await.unwrap().answered, 60);
            });
        });
        watched(move || {
            let mut client = ByHand::greet(Connection::connect(bound.recv().unwrap()).unwrap());
            let calls: Vec<u8> =
                (0..60).flat_map(|id| call(id, &u32::try_from(id).unwrap())).collect();
            client.send(&calls);
            assert_eq!(client.recv().answer::<u32>(), (0, 0));
            release.send(()).unwrap();
            for id in 1..60_u64 {
                assert_eq!(client.recv().answer::<u32>().0, id);
            }
        });
        serving.join().unwrap();
    }

    #[test]
    fn calls_of_tasks_begin_one_by_one_or_all_at_once_as_the_service_says() {
        in_runtime(|| async {
            let service = Service::<u32, u32>::temporary().unwrap().in_order().shutdown_after(200);
            let path = service.path().clone();
            let running = Arc::new(AtomicUsize::new(0));
            let serving = tokio::spawn(service.into_tokio().unwrap().serve(move |number| {
                let running = Arc::clone(&running);
                async move {
                    assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    number
                }
            }));
            let options = ClientOptions::new().into_tokio();
            let client = options.connect::<u32, u32>(path).await.unwrap();
            let mut calls = Vec::new();
            for number in 0..200 {
                calls.push(client.start(&number).await.unwrap());
            }
            for (number, call) in (0..).zip(calls) {
                assert_eq!(call.wait().await.unwrap(), number);
            }
            serving.await.unwrap().unwrap();

            // Three notifications wait for each other, and a call for them.
            let service = Service::<u32, ()>::temporary().unwrap().unordered().shutdown_after(4);
            let path = service.path().clone();
            let meet = Arc::new(tokio::sync::Barrier::new(4));
            let serving = tokio::spawn(service.into_tokio().unwrap().serve(move |_| {
                let meet = Arc::clone(&meet);
                async move {
                    meet.wait().await;
                }
            }));
            let client = options.connect::<u32, ()>(path).await.unwrap();
            for number in 0..3 {
                client.notify(&number).await.unwrap();
            }
            client.call(&3).await.unwrap();
            serving.await.unwrap().unwrap();
        });
    }

    #[test]
    fn ten_thousand_notifications_of_a_task_are_handled_in_order() {
        in_runtime(|| async {
            let service = Service::<u32, ()>::temporary().unwrap().shutdown_after(10_001);
            let path = service.path().clone();
            let seen = Arc::new(Mutex::new(Vec::new()));
            let noted = Arc::clone(&seen);
            let serving = tokio::spawn(service.into_tokio().unwrap().serve(move |number| {
                let noted = Arc::clone(&noted);
                async move {
                    if number % 100 == 0 {
                        tokio::task::yield_now().await;
                    }
                    noted.lock().unwrap().push(number);
                }
            }));
            let client = ClientOptions::new().into_tokio().connect::<u32, ()>(path).await.unwrap();
            for number in 0..10_000 {
                client.notify(&number).await.unwrap();
            }
            client.call(&10_000).await.unwrap();
            assert!(seen.lock().unwrap().iter().copied().eq(0..=10_000));
            serving.await.unwrap().unwrap();
        });
    }

    #[test]
    fn a_task_calls_with_what_it_borrows() {
        in_runtime(|| async {
            let service = Service::<String, usize>::temporary().unwrap().shutdown_after(1);
            let path = service.path().clone();
            let service = service.into_tokio().unwrap();
            let serving = tokio::spawn(service.serve(|text| async move { text.len() }));
            let options = ClientOptions::new().into_tokio();
            let client = options.connect::<String, usize>(path).await.unwrap();
            assert_eq!(client.call_ref(&[0_u8; 3]).await.unwrap_err().kind(), ErrorKind::Mismatch);
            assert_eq!(client.call_ref("four").await.unwrap(), 4);
            serving.await.unwrap().unwrap();
        });
    }

    #[test]
    fn items_of_a_task_wait_for_their_consumer_and_end_with_it() {
        in_runtime(|| async {
            let service = Service::<usize, usize>::temporary().unwrap().shutdown_after(2);
            let path = service.path().clone();
            let sent = Arc::new(AtomicUsize::new(0));
            let cancelled = Arc::new(AtomicBool::new(false));
            let (counted, noted) = (Arc::clone(&sent), Arc::clone(&cancelled));
            let handler = move |count, context: Context<Vec<u8>, Postcard, Tokio>| {
                let (counted, noted) = (Arc::clone(&counted), Arc::clone(&noted));
                async move {
                    for number in 0..count {
                        if context.send(&vec![7; 50_000]).await.is_err() {
                            noted.store(context.is_cancelled(), Ordering::SeqCst);
                            return number;
                        }
                        counted.fetch_add(1, Ordering::SeqCst);
                    }
                    count
                }
            };
            let service = service.into_tokio().unwrap();
            let serving = tokio::spawn(service.serve_with_context(handler));
            let options = ClientOptions::new().into_tokio();
            let client = options.connect::<usize, usize>(path).await.unwrap();
            let mut items = client.stream::<Vec<u8>>(&100).await.unwrap();
            while sent.load(Ordering::SeqCst) < 6 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await; // nothing more is sent without a consumer
            assert_eq!(sent.load(Ordering::SeqCst), 6);
            let mut bytes = 0;
            while let Some(item) = items.recv().await {
                bytes += item.unwrap().len();
            }
            assert_eq!(bytes, 5_000_000);
            assert_eq!(items.finish().await.unwrap(), 100);
            let mut dropped = client.stream::<Vec<u8>>(&usize::MAX).await.unwrap();
            assert!(dropped.recv().await.unwrap().is_ok());
            drop(dropped);
            serving.await.unwrap().unwrap();
            assert!(cancelled.load(Ordering::SeqCst));
        });
    }

    /// The tasks of one thread: each future is dropped unpolled, half done, or when it is done.
    #[test]
    fn calls_of_tasks_that_are_dropped_at_random_cross_no_other() {
        /// Polls it so often, if it is not done before.
        async fn polled<T>(times: u64, future: impl Future<Output = T>) -> Option<T> {
            let mut future = std::pin::pin!(future);
            for _ in 0..times {
                let poll = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)));
                if let Poll::Ready(done) = poll.await {
                    return Some(done);
                }
                tokio::task::yield_now().await;
            }
            None
        }

        let test = || async {
            let gate = Arc::new(tokio::sync::Semaphore::new(0));
            let closed = Arc::clone(&gate);
            let token = CancelToken::new().unwrap();
            let service = Service::<u64, u64>::temporary().unwrap().cancelled_by(&token);
            let path = service.path().clone();
            let service = service.into_tokio().unwrap();
            let handler = move |number: u64, context: Context<u64, Postcard, Tokio>| {
                let closed = Arc::clone(&closed);
                async move {
                    if number >= HELD {
                        let _ = closed.acquire().await;
                    } else if number % 3 == 0 {
                        for item in 0..number % 7 {
                            let _ = context.send(&(number + item)).await;
                        }
                    } else if number % 5 == 0 {
                        tokio::task::yield_now().await;
                    }
                    number + 1
                }
            };
            let serving = tokio::spawn(service.serve_with_context(handler));
            let client = ClientOptions::new().into_tokio().connect::<u64, u64>(path).await.unwrap();
            let client = Arc::new(client);
            let share = cancels(6000) / 4;
            let mut callers = tokio::task::JoinSet::new();
            for task in 0..4 {
                let client = Arc::clone(&client);
                callers.spawn(async move {
                    let mut dice = Dice(task + 1);
                    let (mut number, mut given_up) = (task, 0);
                    while given_up < share {
                        number += 4;
                        match dice.roll() % 5 {
                            0 => {
                                let times = dice.roll() % 4;
                                let call = polled(times, client.call(&number)).await;
                                given_up += usize::from(call.is_none());
                                assert!(call.is_none_or(|call| call.unwrap() == number + 1));
                            }
                            1 => {
                                drop(client.start(&number).await.unwrap());
                                given_up += 1;
                            }
                            2 => {
                                let mut items = client.stream::<u64>(&number).await.unwrap();
                                let some = number % 3 == 0 && number % 7 > 0;
                                let first = polled(dice.roll() % 4, items.recv()).await;
                                let first = first.map(|first| first.map(Result::unwrap));
                                given_up += usize::from(first != Some(None));
                                assert!(first.is_none_or(|it| it == some.then_some(number)));
                            }
                            3 => {
                                let mut items = client.stream::<u64>(&number).await.unwrap();
                                let some = if number % 3 == 0 { number % 7 } else { 0 };
                                for item in number..number + some {
                                    assert_eq!(items.recv().await.unwrap().unwrap(), item);
                                }
                                assert!(items.recv().await.is_none());
                                assert_eq!(items.finish().await.unwrap(), number + 1);
                            }
                            _ => {
                                let other = number + 4;
                                let calls = tokio::join!(client.call(&number), client.call(&other));
                                let answers = (calls.0.unwrap(), calls.1.unwrap());
                                assert_eq!(answers, (number + 1, number + 5));
                                number = other;
                            }
                        }
                    }
                });
            }
            while let Some(done) = callers.join_next().await {
                done.unwrap();
            }
            // All places are free again.
            let mut calls = Vec::new();
            for number in HELD..HELD + 1024 {
                calls.push(client.start(&number).await.unwrap());
            }
            gate.close();
            for (number, call) in (HELD..).zip(calls) {
                assert_eq!(call.wait_timeout(30 * SECOND).await.unwrap(), number + 1);
            }
            token.cancel();
            assert_eq!(serving.await.unwrap().unwrap().lost, 0);
        };
        watched_for(time_for_cancels(), move || {
            Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
        });
    }
}

/// The first handler runs until the second one has begun, and the second one until the third one has.
#[test]
fn a_handler_that_ends_while_the_next_one_lasts_leaves_the_reading_alone() {
    watched(|| {
        let service = Service::<usize, usize>::temporary().unwrap().shutdown_after(3);
        let path = service.path().clone();
        let meet = [(); 2].map(|()| std::sync::Barrier::new(2));
        let serving = thread::spawn(move || {
            service.serve(move |number| {
                let before = number.checked_sub(1).and_then(|before| meet.get(before));
                before.into_iter().chain(meet.get(number)).for_each(|meet| {
                    meet.wait();
                });
                number
            })
        });
        let client = Client::<usize, usize>::connect(path).unwrap();
        let calls: Vec<_> = (0..3).map(|number| client.start(&number).unwrap()).collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.wait().unwrap(), number);
        }
        serving.join().unwrap().unwrap();
    });
}

/// Sends notifications of 64 KiB while they are taken: how many were.
fn flood(client: &Client<Vec<u8>, u64>) -> u64 {
    let body = vec![7; 64 << 10];
    let mut sent = 0;
    loop {
        match client.notify_timeout(&body, Duration::from_millis(200)) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                return sent;
            }
        }
        assert!(sent < 1000, "nothing holds it back");
    }
}

#[test]
fn notifications_that_cannot_begin_wait_at_their_sender() {
    watched(|| {
        let (go_on, goes_on) = mpsc::channel::<()>();
        let (goes_on, handled) = (Mutex::new(goes_on), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&handled);
        let (path, token, serving) = serving(move |_: Vec<u8>| {
            let _ = goes_on.lock().unwrap().recv();
            u64::try_from(counted.fetch_add(1, Ordering::SeqCst)).unwrap()
        });
        let client = Client::<Vec<u8>, u64>::connect(&path).unwrap();
        let sent = flood(&client);
        assert!(sent < 200, "{sent}");
        drop(go_on);
        // The one that was half sent goes first, and is handled.
        let before = client.call(&vec![]).unwrap();
        assert!(before == sent || before == sent + 1, "{before} of {sent}");
        token.cancel();
        serving.join().unwrap();
    });
}

#[cfg(feature = "tokio")]
#[test]
fn notifications_that_cannot_begin_wait_at_the_sender_of_a_service_of_tasks() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (path, path_is) = mpsc::channel();
        let go_on = Arc::new(tokio::sync::Semaphore::new(0));
        let goes_on = Arc::clone(&go_on);
        let serving = thread::spawn(move || {
            runtime.block_on(async {
                let service = Service::<Vec<u8>, u64>::temporary().unwrap().into_tokio().unwrap();
                path.send(service.path().clone()).unwrap();
                let handled = Arc::new(AtomicUsize::new(0));
                let handler = move |_| {
                    let (goes_on, handled) = (Arc::clone(&goes_on), Arc::clone(&handled));
                    async move {
                        let _ = goes_on.acquire().await;
                        u64::try_from(handled.fetch_add(1, Ordering::SeqCst)).unwrap()
                    }
                };
                service.client_idle_timeout(SECOND * 60).serve(handler).await
            })
        });
        let client = Client::<Vec<u8>, u64>::connect(path_is.recv().unwrap()).unwrap();
        let sent = flood(&client);
        assert!(sent < 200, "{sent}");
        go_on.close();
        let before = client.call(&vec![]).unwrap();
        assert!(before == sent || before == sent + 1, "{before} of {sent}");
        drop(serving);
    });
}

/// The handler waits for an item, and the notifications wait for the handler.
#[test]
fn items_behind_more_notifications_than_may_wait_arrive() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<Vec<u8>, u64>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|body, context: Context| match body.len() {
                0 => context.recv::<u64>().unwrap(),
                _ => Ok(0),
            })
        });
        let client = Client::<Vec<u8>, u64>::connect(&path).unwrap();
        let mut call = client.stream::<()>(&vec![]).unwrap();
        for _ in 0..100 {
            client.notify(&vec![7; 64 << 10]).unwrap();
        }
        call.send(&42_u64).unwrap();
        assert_eq!(call.finish().unwrap(), 42);
        token.cancel();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn calls_begin_one_by_one_or_all_at_once_as_the_service_says() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap().in_order().shutdown_after(200);
        let path = service.path().clone();
        let running = AtomicUsize::new(0);
        let serving = thread::spawn(move || {
            service.serve(|number| {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                number
            })
        });
        let client = Client::<u32, u32>::connect(path).unwrap();
        let calls: Vec<_> = (0..200).map(|number| client.start(&number).unwrap()).collect();
        for (number, call) in (0..).zip(calls) {
            assert_eq!(call.wait().unwrap(), number);
        }
        serving.join().unwrap().unwrap();

        // Three notifications wait for each other, and a call for them.
        let service = Service::<u32, ()>::temporary().unwrap().unordered().shutdown_after(4);
        let path = service.path().clone();
        let meet = std::sync::Barrier::new(4);
        let serving = thread::spawn(move || {
            service.serve(|_| {
                meet.wait();
            })
        });
        let client = Client::<u32, ()>::connect(path).unwrap();
        (0..3).for_each(|number| client.notify(&number).unwrap());
        client.call(&3).unwrap();
        serving.join().unwrap().unwrap();
    });
}

/// More threads than sleep in one place, each with answers of its own; some of their calls end by their deadlines.
#[test]
fn many_threads_get_each_its_own_answer_or_its_deadline() {
    watched(|| {
        let (path, token, serving) = serving(|number: u32| {
            if number % 50 == 49 {
                thread::sleep(Duration::from_millis(5));
            }
            number
        });
        let client = Client::<u32, u32>::connect(&path).unwrap();
        thread::scope(|scope| {
            for thread in 0..300 {
                let client = &client;
                scope.spawn(move || {
                    for call in 0..20 {
                        let number = thread * 20 + call;
                        if call % 7 != 6 {
                            assert_eq!(client.call(&number).unwrap(), number);
                            continue;
                        }
                        match client.call_timeout(&number, Duration::from_millis(1)) {
                            Ok(answer) => assert_eq!(answer, number),
                            Err(late) => assert_eq!(late.kind(), ErrorKind::TimedOut),
                        }
                    }
                });
            }
        });
        token.cancel();
        assert_eq!(serving.join().unwrap().lost, 0);
    });
}

/// Threads that sleep side by side: a deadline wakes one of them, an answer another one, and the end of the service the
/// rest.
#[test]
fn those_that_sleep_are_woken_by_their_own_deadline_answer_or_loss() {
    watched(|| {
        const THREADS: u32 = 100;

        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let client = thread::spawn(move || Client::<u32, u32>::connect(path).unwrap());
        let mut service = ByHand::greet(listener.accept().unwrap());
        let client = client.join().unwrap();
        let (tell, ended) = mpsc::channel();
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (client, tell) = (&client, tell.clone());
                scope.spawn(move || {
                    let outcome = match number % 4 {
                        0 => client.call_timeout(&number, Duration::from_millis(50)),
                        _ => client.call(&number),
                    };
                    tell.send((number, outcome)).unwrap();
                });
            }
            // Not each of those that wait no longer was sent.
            let mut calls = Vec::new();
            while calls.len() < 75 {
                if let call @ Received::Call { .. } = service.recv() {
                    calls.push(call.call::<u32>());
                    calls.retain(|(_, number)| number % 4 != 0);
                }
            }
            for _ in 0..THREADS / 4 {
                let (number, late) = ended.recv().unwrap();
                assert_eq!((number % 4, late.unwrap_err().kind()), (0, ErrorKind::TimedOut));
            }
            let answered = calls.iter().filter(|(_, number)| number % 4 == 1);
            let answers: Vec<_> = answered.map(|(id, number)| answer(*id, &(number + 1))).collect();
            service.send(&answers.concat());
            for _ in answers {
                let (number, answer) = ended.recv().unwrap();
                assert_eq!((number % 4, answer.unwrap()), (1, number + 1));
            }
            assert!(ended.try_recv().is_err(), "another one has ended");
            drop(service);
            for _ in 0..THREADS / 2 {
                let (number, lost) = ended.recv().unwrap();
                assert!(number % 4 > 1);
                assert_eq!(lost.unwrap_err().kind(), ErrorKind::Disconnected);
            }
        });
    });
}

/// A framing with a fault, which a message brings to light.
#[derive(Clone, Default)]
struct PanicsAtFault(LengthPrefixed);

impl Framing for PanicsAtFault {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        self.0.begin(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        assert!(!out[start..].ends_with(b"fault"), "a fault of the program");
        self.0.finish(out, start)
    }

    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        let step = self.0.scan(bytes, scan)?;
        if let Step::Message { payload, .. } = &step {
            assert_ne!(bytes[payload.clone()], *b"fault", "a fault of the program");
        }
        Ok(step)
    }
}

/// They were told of their answers, and not woken.
#[test]
fn a_framing_that_panics_leaves_no_other_asleep_whose_answer_came_before() {
    watched(|| {
        const THREADS: usize = 20;

        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let serving = thread::spawn(move || {
            let mut service = ByHand::greet(listener.accept().unwrap());
            let calls = [(); THREADS].map(|()| service.recv().call::<u32>());
            let answers = calls.map(|(id, number)| answer(id, &number));
            service.send(&[answers.concat(), framed(b"fault")].concat());
            service
        });
        let wire = Wire::default().with_framing(PanicsAtFault::default());
        let options = ClientOptions::new().with_wire(wire);
        let client = options.connect::<u32, u32>(path).unwrap();
        let client = &client;
        let outcomes = thread::scope(|scope| {
            let calls = (0..20).map(|number| scope.spawn(move || (number, client.call(&number))));
            let calls: Vec<_> = calls.collect();
            calls.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        // The one that read for all.
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
        for (number, answer) in outcomes.into_iter().flatten() {
            assert_eq!(answer.unwrap(), number);
        }
        drop(serving.join().unwrap());
    });
}

/// No other thread wrote after it.
#[test]
fn a_framing_that_panics_where_it_writes_holds_up_no_other_call() {
    watched(|| {
        let service = Service::<String, usize>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(|word| word.len()).unwrap());
        let wire = Wire::default().with_framing(PanicsAtFault::default());
        let options = ClientOptions::new().with_wire(wire);
        let client = options.connect::<String, usize>(path).unwrap();
        thread::scope(|scope| {
            let faulty = scope.spawn(|| client.call(&"fault".into()));
            assert!(faulty.join().is_err());
        });
        assert_eq!(client.call(&"well".into()).unwrap(), 4);
        serving.join().unwrap();
    });
}

/// The service never ended, and used a processor up meanwhile.
#[test]
fn a_framing_that_panics_where_a_handler_writes_holds_up_no_service() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let wire = Wire::default().with_framing(PanicsAtFault::default());
        let service = Service::<String, ()>::temporary().unwrap().with_wire(wire);
        let service = service.cancelled_by(&token);
        let path = service.path().clone();
        let (told, panicked) = mpsc::channel();
        let serving = thread::spawn(move || {
            let echo = |word, context: Context<String>| {
                let sent = catch_unwind(AssertUnwindSafe(|| context.send(&word)));
                told.send(sent.is_err()).unwrap();
            };
            service.serve_with_context(echo).unwrap()
        });
        let client = Client::<String, ()>::connect(path).unwrap();
        let call = client.stream::<String>(&"fault".into()).unwrap();
        assert!(panicked.recv().unwrap());
        token.cancel();
        assert!(call.finish().is_err());
        assert_eq!(serving.join().unwrap().reason, ShutdownReason::Cancelled);
    });
}

/// As under a sandbox, or where another system stands in for Linux.
#[cfg(target_os = "linux")]
#[test]
fn threads_neither_spin_nor_hang_where_the_system_lets_none_sleep_by_a_bit() {
    if cfg!(not(target_pointer_width = "64")) {
        return skipped(format_args!("the system has other calls for that there"));
    }
    watched(|| {
        let mut peer = peer::start("refused-sleep", "");
        if peer.await_any(&[READY, LOST]) == LOST {
            return skipped(format_args!("this system lets no process refuse its own calls"));
        }
        peer.join();
    });
}

/// A caller that takes no items, one that sends none, and one that reads nothing at all: each would hold up the end of its
/// service for ever.
fn no_caller_holds_up(serve: impl FnOnce(Service<bool, u64>) -> thread::JoinHandle<Summary>) {
    let token = CancelToken::new().unwrap();
    let service = Service::temporary().unwrap().cancelled_by(&token);
    let service = service.shutdown_timeout(SECOND / 10).handshake_timeout(SECOND * 3);
    let path = service.path().clone();
    let serving = serve(service);
    let client = Client::<bool, u64>::connect(&path).unwrap();
    let [mut takes_none, mut sends_none] =
        [true, false].map(|sends| client.stream::<Vec<u8>>(&sends).unwrap());
    let mut deaf = ByHand::greet(Connection::connect(&path).unwrap());
    deaf.send(&call(0, &true));
    // They have begun.
    assert!(matches!(deaf.recv(), Received::Other(_)));
    for call in [&mut takes_none, &mut sends_none] {
        assert!(call.recv().unwrap().unwrap().is_empty());
    }
    // And it has a part of an item for which there is no room, however slow the machine is.
    until(|| deaf.reader.unread().unwrap() > 0);
    // Reads for both of its connection.
    let waiting = thread::spawn(move || (sends_none.recv().unwrap(), sends_none.finish()));
    token.cancel();
    let summary = serving.join().unwrap();
    assert_eq!((summary.failed, summary.reason), (2, ShutdownReason::Cancelled));
    let (last, sum) = waiting.join().unwrap();
    for outcome in [last.map(|_| 0), sum, takes_none.finish()] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HandlerFailed, "{error}");
        assert!(error.to_string().contains("the service shuts down"), "{error}");
    }
}

/// Nothing more is read of a client that has sent so much, and its service ends all the same.
fn no_backlog_hides_the_end(
    serve: impl FnOnce(Service<Vec<u8>, ()>) -> thread::JoinHandle<Summary>,
) {
    let token = CancelToken::new().unwrap();
    let service = Service::temporary().unwrap().cancelled_by(&token).in_order();
    let service = service.shutdown_timeout(SECOND / 10);
    let path = service.path().clone();
    let serving = serve(service);
    let mut client = ByHand::greet(Connection::connect(&path).unwrap());
    client.send(&call(0, &Vec::<u8>::new()));
    assert!(matches!(client.recv(), Received::Other(_)), "it has begun");
    (1..=11).for_each(|id| client.send(&call(id, &vec![7_u8; 100_000])));
    // All of it is read, and after that nothing.
    until(|| matches!(client.writer.unsent(), Ok(0) | Err(_)));
    token.cancel();
    assert!(matches!(client.recv(), Received::Answer { id: 0, .. }));
    assert_eq!(client.recv(), Received::Goodbye);
    let summary = serving.join().unwrap();
    assert_eq!((summary.answered, summary.reason), (1, ShutdownReason::Cancelled));
}

#[test]
fn no_backlog_hides_the_end_of_a_service() {
    watched(|| {
        no_backlog_hides_the_end(|service| {
            let handler = |_: Vec<u8>, context: Context<()>| {
                context.send(&())?;
                while !context.is_cancelled() {
                    thread::park_timeout(SECOND / 100);
                }
                Ok::<_, typed_pipe::Error>(())
            };
            thread::spawn(move || service.serve_with_context(handler).unwrap())
        });
    });
}

#[cfg(feature = "tokio")]
#[test]
fn no_backlog_hides_the_end_of_a_service_of_tasks() {
    use typed_pipe::Tokio;

    watched(|| {
        no_backlog_hides_the_end(|service| {
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let handler = |_: Vec<u8>, context: Context<(), Postcard, Tokio>| async move {
                        context.send(&()).await?;
                        context.cancel_token()?.cancelled().await;
                        Ok::<_, typed_pipe::Error>(())
                    };
                    service.into_tokio().unwrap().serve_with_context(handler).await.unwrap()
                })
            })
        });
    });
}

/// It takes an answer and nothing of the item behind it, both of which the thread writes that reads for its connection.
#[test]
fn no_caller_holds_up_the_thread_that_writes_for_it_and_reads() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u8, String>::temporary().unwrap().cancelled_by(&token);
        let service = service.shutdown_timeout(SECOND / 10).handshake_timeout(SECOND * 3);
        let path = service.path().clone();
        let ((go, gate), (sent, told)) = (mpsc::channel(), mpsc::channel());
        let gate = Mutex::new(gate);
        // More than the system keeps on its way, and answered so fast that no other thread reads meanwhile.
        let large = "x".repeat(400_000);
        let serving = thread::spawn(move || {
            service.serve_with_context(move |what: u8, context: Context<String>| {
                if what == 0 {
                    context.send(&String::new())?; // it has begun
                    gate.lock().unwrap().recv().unwrap();
                    context.send(&large)?;
                    sent.send(()).unwrap();
                    context.items::<u64>().sum::<Result<u64, _>>()?;
                }
                let large = if what == 1 { large.as_str() } else { "" };
                Ok::<_, typed_pipe::Error>(large.to_owned())
            })
        });
        let mut caller = ByHand::greet(Connection::connect(&path).unwrap());
        // Fast ones are handled by the thread that reads.
        for id in 2..50 {
            caller.send(&call(id, &2_u8));
            caller.recv();
        }
        caller.send(&call(0, &0_u8));
        assert!(matches!(caller.recv(), Received::Other(_)));
        caller.send(&call(1, &1_u8));
        // A part of the answer is here, and the rest waits for this side.
        let mut length = [0; 4];
        caller.reader.read_exact(&mut length).unwrap();
        go.send(()).unwrap();
        told.recv().unwrap();
        let rest = u32::from_be_bytes(length).try_into().unwrap();
        caller.reader.read_exact(&mut vec![0; rest]).unwrap();
        token.cancel();
        assert_eq!(serving.join().unwrap().unwrap().reason, ShutdownReason::Cancelled);
    });
}

#[test]
fn no_caller_holds_up_a_service_that_shuts_down() {
    watched(|| {
        no_caller_holds_up(|service| {
            let handler = |sends, context: Context<Vec<u8>>| {
                context.send(&Vec::new())?;
                if sends {
                    loop {
                        context.send(&vec![7; 1 << 20])?;
                    }
                }
                context.items::<u64>().sum::<Result<u64, typed_pipe::Error>>()
            };
            thread::spawn(move || service.serve_with_context(handler).unwrap())
        });
    });
}

#[cfg(feature = "tokio")]
#[test]
fn no_caller_holds_up_a_service_of_tasks_that_shuts_down() {
    use typed_pipe::Tokio;

    async fn handle(
        sends: bool,
        context: Context<Vec<u8>, Postcard, Tokio>,
    ) -> Result<u64, typed_pipe::Error> {
        context.send(&Vec::new()).await?;
        if sends {
            loop {
                context.send(&vec![7; 1 << 20]).await?;
            }
        }
        let mut sum = 0;
        while let Some(number) = context.recv::<u64>().await {
            sum += number?;
        }
        Ok(sum)
    }

    watched(|| {
        no_caller_holds_up(|service| {
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let service = service.into_tokio().unwrap();
                    service.serve_with_context(handle).await.unwrap()
                })
            })
        });
    });
}
