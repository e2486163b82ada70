//! What calls of other libraries fall over, each in both modes: values that a codec refuses, depth, callers that call while
//! they call, and both sides full.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use typed_pipe::wire::{DepthLimit, LengthPrefixed, Postcard, Wire};
use typed_pipe::{
    Client, ClientOptions, Connection, Context, Error, ErrorKind, Service, Serving, Summary,
};

use crate::by_hand::{ByHand, call, framed};
use crate::support::watched;

/// More than any test takes: the watchdog ends it before.
const LONG: Duration = Duration::from_secs(600);

/// A value as deep as there are links in it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
enum Chain {
    End,
    Link(Box<Self>),
}

impl Chain {
    fn new(links: u8) -> Self {
        (0..links).fold(Self::End, |chain, _| Self::Link(Box::new(chain)))
    }

    fn links(&self) -> u8 {
        match self {
            Self::End => 0,
            Self::Link(rest) => rest.links() + 1,
        }
    }
}

/// The deepest values that both sides read.
const DEEPEST: u8 = 8;

fn shallow() -> Wire<LengthPrefixed, DepthLimit<Postcard, { DEEPEST as usize }>> {
    Wire::default().with_codec(DepthLimit::new(Postcard).levels())
}

/// Whether a call or an item failed for its depth alone, in so many words.
#[track_caller]
fn is_too_deep<T: std::fmt::Debug>(failed: Result<T, Error>, kind: ErrorKind, delivered: bool) {
    let error = failed.unwrap_err();
    assert_eq!((error.kind(), error.is_delivered()), (kind, delivered), "{error}");
    assert!(error.to_string().contains("nested more than 8 levels deep"), "{error}");
}

/// The limit is that of the user's value: what a call puts around it counts nothing.
#[test]
fn a_value_that_is_too_deep_ends_its_own_call_alone() {
    watched(|| {
        let service = Service::<Chain, Chain>::temporary().unwrap().with_wire(shallow());
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.shutdown_after(5).serve(|chain| match chain.links() {
                0 => Chain::new(DEEPEST + 1),
                _ => chain,
            })
        });
        let options = ClientOptions::new().with_wire(shallow());
        let client: Client<Chain, Chain, _, _> = options.connect(path).unwrap();
        let (deepest, deeper) = (Chain::new(DEEPEST), Chain::new(DEEPEST + 1));
        is_too_deep(client.call(&deeper), ErrorKind::Decode, false);
        assert_eq!(client.call(&deepest).unwrap(), deepest);
        is_too_deep(client.call(&Chain::End), ErrorKind::Corrupt, true);
        let [request, answer] = [&deeper, &Chain::End].map(|it| client.start(it).unwrap());
        is_too_deep(answer.wait(), ErrorKind::Corrupt, true);
        is_too_deep(request.wait(), ErrorKind::Decode, false);
        drop(client);
        let summary = serving.join().unwrap().unwrap();
        assert_eq!((summary.answered, summary.failed, summary.lost), (3, 2, 0));
    });
}

#[test]
fn an_item_that_is_too_deep_is_lost_alone() {
    watched(|| {
        let service = Service::<u8, u8>::temporary().unwrap().with_wire(shallow());
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.shutdown_after(1).serve_with_context(|links, context: Context<Chain, _>| {
                context.send(&Chain::new(links + 1))?;
                context.send(&Chain::new(links))?;
                is_too_deep(context.recv::<Chain>().unwrap(), ErrorKind::Decode, false);
                let chain = context.recv::<Chain>().unwrap()?;
                Ok::<_, Error>(chain.links())
            })
        });
        let options = ClientOptions::new().with_wire(shallow());
        let client: Client<u8, u8, _, _> = options.connect(path).unwrap();
        let mut call = client.stream::<Chain>(&DEEPEST).unwrap();
        is_too_deep(call.next().unwrap(), ErrorKind::Corrupt, true);
        assert_eq!(call.next().unwrap().unwrap().links(), DEEPEST);
        call.send(&Chain::new(DEEPEST + 1)).unwrap();
        call.send(&Chain::new(DEEPEST)).unwrap();
        assert_eq!(call.finish().unwrap(), DEEPEST);
        assert_eq!(serving.join().unwrap().unwrap().answered, 1);
    });
}

/// JSON has a limit of its own.
#[cfg(feature = "json")]
#[test]
fn json_that_is_too_deep_ends_its_own_call_alone() {
    watched(|| {
        let wire = || Wire::default().with_codec(typed_pipe::wire::Json);
        let service = Service::<Chain, Chain>::temporary().unwrap().with_wire(wire());
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.shutdown_after(3).serve(|chain| match chain.links() {
                0 => Chain::new(200),
                _ => chain,
            })
        });
        let options = ClientOptions::new().with_wire(wire());
        let client: Client<Chain, Chain, _, _> = options.connect(path).unwrap();
        for (links, kind) in [(200, ErrorKind::Decode), (0, ErrorKind::Corrupt)] {
            let error = client.call(&Chain::new(links)).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains("recursion limit"), "{error}");
        }
        assert_eq!(client.call(&Chain::new(60)).unwrap().links(), 60);
        drop(client);
        assert_eq!(serving.join().unwrap().unwrap().lost, 0);
    });
}

/// An item that is nothing is one, and what is no number of JSON is none.
#[cfg(feature = "json")]
#[test]
fn items_and_requests_that_are_nothing_in_json_arrive_and_those_that_are_no_number_do_not() {
    watched(|| {
        let wire = || Wire::default().with_codec(typed_pipe::wire::Json);
        let service = Service::<Option<f64>, ()>::temporary().unwrap().with_wire(wire());
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.shutdown_after(2).serve_with_context(|request, context: Context<_, _>| {
                context.send(&request)?;
                let unsent = context.send(&Some(f64::NAN)).unwrap_err();
                assert_eq!(unsent.kind(), ErrorKind::Encode, "{unsent}");
                assert_eq!(context.recv::<Option<()>>().unwrap()?, None);
                assert_eq!(context.recv::<()>().unwrap()?, ());
                assert!(context.recv::<()>().is_none());
                Ok::<_, Error>(())
            })
        });
        let options = ClientOptions::new().with_wire(wire());
        let client: Client<Option<f64>, (), _, _> = options.connect(path).unwrap();
        let unsent = client.call(&Some(f64::NAN)).unwrap_err();
        assert_eq!((unsent.kind(), unsent.is_delivered()), (ErrorKind::Encode, false), "{unsent}");
        for request in [None, Some(0.5)] {
            let mut call = client.stream::<Option<f64>>(&request).unwrap();
            assert_eq!(call.next().unwrap().unwrap(), request);
            let unsent = call.send(&f64::INFINITY).unwrap_err();
            assert_eq!(unsent.kind(), ErrorKind::Encode, "{unsent}");
            call.send(&None::<()>).unwrap();
            call.send(&()).unwrap();
            call.end();
            assert!(call.next().is_none());
            call.finish().unwrap();
        }
        assert_eq!(serving.join().unwrap().unwrap().answered, 2);
    });
}

/// What handlers wait at.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.lock().unwrap();
        drop(self.1.wait_while(open, |open| !*open).unwrap_or_else(PoisonError::into_inner));
    }
}

const MUCH: usize = 64 << 10;

/// How long is waited for room that does not come.
const SHORT: Duration = Duration::from_millis(200);

/// A side that takes nothing for so long is given up, unless something waits for it with a deadline of its own.
const STALL: Duration = Duration::from_secs(4);

/// Each of them is more than a socket has room for.
const MORE: u64 = 30;

/// Each side sends until the other one takes nothing more: that is an error when its time is over, and not before. What waits
/// for longer goes on when there is room.
#[test]
fn both_sides_are_full_and_only_the_end_of_the_time_is_an_error() {
    type Full = (Client<String, u64>, Serving);

    fn side(connection: Connection, gate: &Arc<Gate>) -> Full {
        let (gate, handled) = (Arc::clone(gate), Mutex::new(0));
        let service = Service::<String, u64>::over(connection).in_order();
        let made = service.handshake_timeout(STALL).both_ways(|_| {
            move |_| {
                gate.pass();
                let mut handled = handled.lock().unwrap();
                *handled += 1;
                *handled
            }
        });
        made.unwrap()
    }

    /// How many were taken, and perhaps one of which a part was.
    fn fill(client: &Client<String, u64>) -> u64 {
        for sent in 0..1000 {
            let begun = Instant::now();
            let Err(late) = client.notify_timeout(&"x".repeat(MUCH), SHORT) else { continue };
            assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
            assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
            return sent;
        }
        panic!("nothing holds it back");
    }

    watched(|| {
        let gate = Arc::<Gate>::default();
        let (ours, theirs) = Connection::pair().unwrap();
        let there = Arc::clone(&gate);
        let other = thread::spawn(move || side(theirs, &there));
        let (here, there) = (side(ours, &gate), other.join().unwrap());
        let (full, is_full) = mpsc::channel();
        thread::scope(|scope| {
            let calls = [&here.0, &there.0].map(|client| {
                let full = full.clone();
                scope.spawn(move || {
                    let sent = fill(client);
                    full.send(()).unwrap();
                    for _ in 0..MORE {
                        client.notify_timeout(&"x".repeat(MUCH), LONG).unwrap();
                    }
                    (sent + MORE, client.call_timeout(&"x".repeat(MUCH), LONG).unwrap())
                })
            });
            is_full.iter().take(2).for_each(drop);
            thread::sleep(STALL + SHORT); // the time is what is tested
            gate.open();
            for call in calls {
                let (sent, handled) = call.join().unwrap();
                assert!((sent + 1..=sent + 2).contains(&handled), "{handled} of {sent}");
            }
        });
        drop(there);
        let summary: Summary = here.1.wait().unwrap();
        assert_eq!((summary.failed, summary.lost), (0, 0));
    });
}

/// What a handler sends, and what its callers read: the first variant is the same.
mod progress {
    use super::*;

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    pub(super) enum Sent {
        Step(u32),
        Done(u32),
    }

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    pub(super) enum Read {
        Step(u32),
        Done(String),
    }
}
use progress::{Read, Sent};

/// The words of a handler whose item its caller does not read as it is meant.
#[track_caller]
fn is_refused<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HandlerFailed, "{error}");
    assert!(error.to_string().contains("Done"), "{error}");
    assert!(error.to_string().contains("u32 here, text there"), "{error}");
}

#[test]
fn an_item_of_another_type_is_refused_where_it_is_made() {
    watched(|| {
        let service = Service::<u32, ()>::temporary().unwrap().shutdown_after(4);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|steps, context: Context<Sent>| {
                (0..steps).try_for_each(|step| context.send(&Sent::Step(step)))?;
                fits_or_not(context.send(&Sent::Done(7)))
            })
        });
        let client = Client::<u32, ()>::connect(path).unwrap();
        for _ in 0..2 {
            let mut unfit = client.stream::<Read>(&2).unwrap();
            assert_eq!(unfit.recv().unwrap().unwrap(), Read::Step(0));
            assert_eq!(unfit.recv().unwrap().unwrap(), Read::Step(1));
            is_refused(unfit.recv().unwrap());
            is_refused(unfit.finish());
            let mut fit = client.stream::<Sent>(&1).unwrap();
            let came = fit.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
            assert_eq!(came, [Sent::Step(0), Sent::Done(7)]);
            fit.finish().unwrap();
        }
        serving.join().unwrap().unwrap();
    });
}

/// What a handler is told of an item that fits or not.
#[track_caller]
fn fits_or_not(sent: Result<(), Error>) -> Result<(), Error> {
    sent.inspect_err(|error| assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}"))
}

/// An item that is not read, and what of it is told.
#[track_caller]
fn is_unread<T: std::fmt::Debug>(came: Option<Result<T, Error>>, place: &str, words: &str) {
    let error = came.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    for words in [place, words] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// Items of several types in one call, each read as what it is, and never as another type whose bytes are alike.
#[test]
fn an_item_of_a_caller_is_read_as_no_other_type() {
    watched(|| {
        let service = Service::<(), ()>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|(), context: Context| {
                is_unread(context.recv::<Read>(), "Done", "text here, u32 there");
                assert_eq!(context.recv::<Sent>().unwrap()?, Sent::Step(1));
                is_unread(context.recv::<Read>(), "Done", "text here, u32 there");
                is_unread(context.recv::<u64>(), "message", "u64 here, text there");
                assert_eq!(context.recv::<String>().unwrap()?, "a text");
                is_unread(context.recv::<i64>(), "message", "i64 here, u64 there");
                assert_eq!(context.items().collect::<Result<Vec<u64>, _>>()?, [6, 7]);
                Ok::<_, Error>(())
            })
        });
        let client = Client::<(), ()>::connect(path).unwrap();
        let mut call = client.stream::<()>(&()).unwrap();
        (0..3).for_each(|step| call.send(&Sent::Step(step)).unwrap());
        call.send("no number").unwrap();
        call.send(&"a text".to_owned()).unwrap();
        (5..8_u64).for_each(|number| call.send(&number).unwrap());
        call.end();
        call.finish().unwrap();
        serving.join().unwrap().unwrap();
    });
}

/// A caller that tells nothing is believed, and so is one that says nothing in many bytes.
#[test]
fn items_of_a_caller_that_tells_nothing_are_read_as_they_come() {
    watched(|| {
        let service = Service::<(), ()>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|(), context: Context| {
                assert_eq!(context.recv::<u8>().unwrap()?, 7);
                let garbled = context.recv::<u8>().unwrap().unwrap_err();
                assert_eq!(garbled.kind(), ErrorKind::Decode);
                assert_eq!(context.recv::<u8>().unwrap()?, 8);
                Ok::<_, Error>(())
            })
        });
        let mut client = ByHand::greet(Connection::connect(path).unwrap());
        client.send(&call(0, &()));
        client.send(&framed(&[4, 0, 7]));
        // Items behind descriptions: of more bytes than there are, and of two that describe nothing.
        client.send(&framed(&[10, 0, 0xFF, 0xFF, 0xFF, 0xFF, 9]));
        client.send(&framed(&[10, 0, 0, 0, 0, 2, b'n', b'o', 8]));
        client.recv().answer::<()>();
        serving.join().unwrap().unwrap();
    });
}

#[cfg(feature = "json")]
#[test]
fn an_item_of_a_caller_is_compared_by_names_in_json() {
    #[derive(Serialize, Deserialize)]
    struct Newer {
        id: u8,
        more: bool,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Older {
        id: u8,
    }

    watched(|| {
        let wire = || Wire::default().with_codec(typed_pipe::wire::Json);
        let service = Service::<(), ()>::temporary().unwrap().with_wire(wire()).shutdown_after(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|(), context: Context<(), _>| {
                assert_eq!(context.recv::<Older>().unwrap()?.id, 1);
                is_unread(context.recv::<(u8, bool)>(), "message", "Newer");
                Ok::<_, Error>(())
            })
        });
        let options = ClientOptions::new().with_wire(wire());
        let client: Client<(), (), _, _> = options.connect(path).unwrap();
        let mut call = client.stream::<()>(&()).unwrap();
        (1..3).for_each(|id| call.send(&Newer { id, more: true }).unwrap());
        call.finish().unwrap();
        serving.join().unwrap().unwrap();
    });
}

type Noted = (Client<String, u64>, Serving);

/// No handler waits for anything: what both sides have still to send is in the way of nothing that comes.
#[test]
fn both_sides_notify_much_more_than_there_is_room_for_at_once() {
    fn side(connection: Connection) -> Noted {
        let handled = AtomicU64::new(0);
        let service = Service::<String, u64>::over(connection);
        let made = service.both_ways(|_| move |_| handled.fetch_add(1, Ordering::SeqCst));
        made.unwrap()
    }

    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let other = thread::spawn(move || side(theirs));
        let (here, there) = (side(ours), other.join().unwrap());
        let begin = Barrier::new(40);
        thread::scope(|scope| {
            for client in [&here.0, &there.0] {
                for _ in 0..20 {
                    scope.spawn(|| {
                        begin.wait();
                        for _ in 0..3 {
                            client.notify_timeout(&"x".repeat(MUCH), LONG).unwrap();
                        }
                    });
                }
            }
        });
        for client in [&here.0, &there.0] {
            assert_eq!(client.call_timeout(&String::new(), LONG).unwrap(), 60);
        }
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use std::future::{Future, poll_fn};
    use std::pin::Pin;
    use std::sync::OnceLock;

    use futures_core::Stream;
    use serde::Serializer;
    use tokio::runtime::{Builder, Handle};
    use tokio::sync::{Semaphore, watch};
    use tokio::task::{JoinHandle, JoinSet, block_in_place};
    use typed_pipe::wire::Codec;
    use typed_pipe::{CancelToken, Described, Listener, PipePath, Receivable, Tokio};

    use super::*;
    use crate::by_hand::tasks::ByHand;
    use crate::by_hand::{Received, answer};
    use crate::support::pending;

    type Caller<Req, Resp, C = Postcard> = Client<Req, Resp, LengthPrefixed, C, Tokio>;

    fn in_runtime<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
        watched(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(test()));
    }

    /// Where code that is no task may wait for one.
    fn in_threads(test: impl Future<Output = ()> + Send + 'static) {
        watched(|| {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(async { tokio::spawn(test).await.unwrap() });
        });
    }

    async fn caller<Req: Described, Resp: Receivable>(path: &PipePath) -> Caller<Req, Resp> {
        ClientOptions::new().into_tokio().connect(path).await.unwrap()
    }

    /// Serves until the token is cancelled.
    fn serving<Req, Resp, A>(
        handler: impl Fn(Req) -> A + Send + Sync + 'static,
    ) -> (PipePath, CancelToken, JoinHandle<Result<Summary, Error>>)
    where
        Req: Receivable + Send + 'static,
        Resp: Described + Send + Sync + 'static,
        A: Future<Output = Resp> + Send + 'static,
    {
        let token = CancelToken::new().unwrap();
        let service = Service::<Req, Resp>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        (path, token, tokio::spawn(service.into_tokio().unwrap().serve(handler)))
    }

    #[test]
    fn a_request_that_cannot_be_decoded_ends_itself_alone() {
        in_runtime(|| async {
            let (path, token, serving) = serving(|text: String| async move { text.len() });
            let connecting = typed_pipe::ConnectOptions::new().into_tokio();
            let mut client = ByHand::greet(connecting.connect(&path).await.unwrap()).await;
            client.send(&framed(&[1, 0, 0, 0, 0xFF, 0xFF])).await;
            client.send(&call(1, "four")).await;
            let failed = client.recv().await;
            assert!(matches!(failed, Received::Error { id: 0, reason: 3, .. }), "{failed:?}");
            assert_eq!(client.recv().await.answer::<usize>(), (1, 4));
            drop(client);
            token.cancel();
            assert_eq!(serving.await.unwrap().unwrap().lost, 0);
        });
    }

    #[test]
    fn an_answer_that_cannot_be_decoded_ends_its_own_call_alone() {
        in_runtime(|| async {
            let listener = Listener::temporary().unwrap().into_tokio().unwrap();
            let path = listener.path().clone();
            let serving = tokio::spawn(async move {
                let mut client = ByHand::greet(listener.accept().await.unwrap()).await;
                for _ in 0..2 {
                    let (id, request) = client.recv().await.call::<u32>();
                    let bad = answer(id, &[7_u8; 9]);
                    client.send(&if request == 1 { bad } else { answer(id, "yes") }).await;
                }
                let (id, _) = client.recv().await.call::<u32>();
                client.send(&answer(id, "once more")).await;
            });
            let client = caller::<u32, String>(&path).await;
            let (bad, good) = tokio::join!(client.call(&1), client.call(&2));
            let bad = bad.unwrap_err();
            assert_eq!((bad.kind(), bad.is_delivered()), (ErrorKind::Corrupt, true), "{bad}");
            assert!(bad.codec_error().is_some(), "{bad:?}");
            assert_eq!(good.unwrap(), "yes");
            assert_eq!(client.call(&3).await.unwrap(), "once more");
            serving.await.unwrap();
        });
    }

    #[test]
    fn a_value_that_is_too_deep_ends_its_own_call_alone() {
        in_runtime(|| async {
            let service = Service::<Chain, Chain>::temporary().unwrap().with_wire(shallow());
            let service = service.shutdown_after(5).into_tokio().unwrap();
            let path = service.path().clone();
            let serving = tokio::spawn(service.serve(|chain| async move {
                match chain.links() {
                    0 => Chain::new(DEEPEST + 1),
                    _ => chain,
                }
            }));
            let options = ClientOptions::new().with_wire(shallow()).into_tokio();
            let client: Caller<Chain, Chain, _> = options.connect(path).await.unwrap();
            let (deepest, deeper) = (Chain::new(DEEPEST), Chain::new(DEEPEST + 1));
            is_too_deep(client.call(&deeper).await, ErrorKind::Decode, false);
            assert_eq!(client.call(&deepest).await.unwrap(), deepest);
            is_too_deep(client.call(&Chain::End).await, ErrorKind::Corrupt, true);
            let (request, answer) = tokio::join!(client.call(&deeper), client.call(&Chain::End));
            is_too_deep(answer, ErrorKind::Corrupt, true);
            is_too_deep(request, ErrorKind::Decode, false);
            drop(client);
            let summary = serving.await.unwrap().unwrap();
            assert_eq!((summary.answered, summary.failed, summary.lost), (3, 2, 0));
        });
    }

    #[test]
    fn an_item_that_is_too_deep_is_lost_alone() {
        in_runtime(|| async {
            let service = Service::<u8, u8>::temporary().unwrap().with_wire(shallow());
            let service = service.shutdown_after(1).into_tokio().unwrap();
            let path = service.path().clone();
            let handler = |links, context: Context<Chain, _, Tokio>| async move {
                context.send(&Chain::new(links + 1)).await?;
                context.send(&Chain::new(links)).await?;
                is_too_deep(context.recv::<Chain>().await.unwrap(), ErrorKind::Decode, false);
                let chain = context.recv::<Chain>().await.unwrap()?;
                Ok::<_, Error>(chain.links())
            };
            let serving = tokio::spawn(service.serve_with_context(handler));
            let options = ClientOptions::new().with_wire(shallow()).into_tokio();
            let client: Caller<u8, u8, _> = options.connect(path).await.unwrap();
            let mut call = client.stream::<Chain>(&DEEPEST).await.unwrap();
            is_too_deep(call.recv().await.unwrap(), ErrorKind::Corrupt, true);
            assert_eq!(call.recv().await.unwrap().unwrap().links(), DEEPEST);
            call.send(&Chain::new(DEEPEST + 1)).await.unwrap();
            call.send(&Chain::new(DEEPEST)).await.unwrap();
            assert_eq!(call.finish().await.unwrap(), DEEPEST);
            assert_eq!(serving.await.unwrap().unwrap().answered, 1);
        });
    }

    #[test]
    fn an_item_of_another_type_is_refused_where_it_is_made() {
        in_runtime(|| async {
            let service = Service::<u32, ()>::temporary().unwrap().shutdown_after(2);
            let service = service.into_tokio().unwrap();
            let path = service.path().clone();
            let handler = |steps, context: Context<Sent, Postcard, Tokio>| async move {
                for step in 0..steps {
                    context.send(&Sent::Step(step)).await?;
                }
                fits_or_not(context.send(&Sent::Done(7)).await)
            };
            let serving = tokio::spawn(service.serve_with_context(handler));
            let client = caller::<u32, ()>(&path).await;
            let mut unfit = client.stream::<Read>(&1).await.unwrap();
            assert_eq!(unfit.recv().await.unwrap().unwrap(), Read::Step(0));
            is_refused(unfit.recv().await.unwrap());
            is_refused(unfit.finish().await);
            let mut fit = client.stream::<Sent>(&0).await.unwrap();
            assert_eq!(fit.recv().await.unwrap().unwrap(), Sent::Done(7));
            fit.finish().await.unwrap();
            serving.await.unwrap().unwrap();
        });
    }

    #[test]
    fn an_item_of_a_caller_is_read_as_no_other_type() {
        in_runtime(|| async {
            let service = Service::<(), ()>::temporary().unwrap().shutdown_after(1);
            let service = service.into_tokio().unwrap();
            let path = service.path().clone();
            let handler = |(), context: Context<(), Postcard, Tokio>| async move {
                is_unread(context.recv::<Read>().await, "Done", "text here, u32 there");
                assert_eq!(context.recv::<Sent>().await.unwrap()?, Sent::Step(1));
                is_unread(context.recv::<Read>().await, "Done", "text here, u32 there");
                is_unread(context.recv::<u64>().await, "message", "u64 here, text there");
                assert_eq!(context.recv::<String>().await.unwrap()?, "a text");
                is_unread(context.recv::<i64>().await, "message", "i64 here, u64 there");
                assert_eq!(all(&mut context.items::<u64>()).await?, [6, 7]);
                Ok::<_, Error>(())
            };
            let serving = tokio::spawn(service.serve_with_context(handler));
            let client = caller::<(), ()>(&path).await;
            let mut call = client.stream::<()>(&()).await.unwrap();
            for step in 0..3 {
                call.send(&Sent::Step(step)).await.unwrap();
            }
            call.send("no number").await.unwrap();
            call.send(&"a text".to_owned()).await.unwrap();
            for number in 5..8_u64 {
                call.send(&number).await.unwrap();
            }
            call.end();
            call.finish().await.unwrap();
            serving.await.unwrap().unwrap();
        });
    }

    /// All that a stream yields.
    async fn all<T, S>(stream: &mut S) -> Result<Vec<T>, Error>
    where
        S: Stream<Item = Result<T, Error>> + Unpin,
    {
        let mut all = Vec::new();
        while let Some(item) = poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await {
            all.push(item?);
        }
        Ok(all)
    }

    /// With nothing to read for a while, in both directions: each poll of a stream is woken again.
    #[test]
    fn both_sides_of_a_call_read_its_items_as_streams() {
        in_runtime(|| async {
            let service = Service::<(), usize>::temporary().unwrap().shutdown_after(1);
            let service = service.into_tokio().unwrap();
            let path = service.path().clone();
            let handler = |(), context: Context<u64, Postcard, Tokio>| async move {
                let mut came = 0;
                let mut numbers = context.items::<u64>();
                while let Some(number) = poll_fn(|cx| Pin::new(&mut numbers).poll_next(cx)).await {
                    context.send(&(number? * 2)).await?;
                    came += 1;
                }
                Ok::<_, Error>(came)
            };
            let serving = tokio::spawn(service.serve_with_context(handler));
            let client = caller::<(), usize>(&path).await;
            let mut call = client.stream::<u64>(&()).await.unwrap();
            for number in 0..100_u64 {
                call.send(&number).await.unwrap();
                let doubled = poll_fn(|cx| Pin::new(&mut call).poll_next(cx)).await;
                assert_eq!(doubled.unwrap().unwrap(), number * 2);
            }
            call.end();
            assert!(all(&mut call).await.unwrap().is_empty());
            assert_eq!(call.finish().await.unwrap(), 100);
            serving.await.unwrap().unwrap();
        });
    }

    /// A poll that nothing else wakes is woken by the deadline.
    #[test]
    fn a_stream_of_items_ends_at_the_deadline_of_its_call() {
        in_runtime(|| async {
            let token = CancelToken::new().unwrap();
            let service = Service::<(), ()>::temporary().unwrap().cancelled_by(&token);
            let service = service.into_tokio().unwrap();
            let path = service.path().clone();
            let handler = |(), context: Context<u8, Postcard, Tokio>| async move {
                // Until its caller has given up.
                assert!(context.recv::<u8>().await.is_none_or(|late| late.is_err()));
            };
            let serving = tokio::spawn(service.serve_with_context(handler));
            let options = ClientOptions::new().reply_timeout(Duration::from_millis(300));
            let client: Caller<(), ()> = options.into_tokio().connect(&path).await.unwrap();
            let mut call = client.stream::<u8>(&()).await.unwrap();
            let late = poll_fn(|cx| Pin::new(&mut call).poll_next(cx)).await;
            assert_eq!(late.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(poll_fn(|cx| Pin::new(&mut call).poll_next(cx)).await.is_none());
            token.cancel();
            serving.await.unwrap().unwrap();
        });
    }

    #[test]
    fn a_stream_of_the_items_of_a_caller_ends_at_its_deadline() {
        in_runtime(|| async {
            let service = Service::<(), bool>::temporary().unwrap().shutdown_after(1);
            let service = service.into_tokio().unwrap();
            let path = service.path().clone();
            let handler = |(), context: Context<(), Postcard, Tokio>| async move {
                let mut items = context.items::<u8>();
                let late = poll_fn(|cx| Pin::new(&mut items).poll_next(cx)).await;
                assert_eq!(late.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
                poll_fn(|cx| Pin::new(&mut items).poll_next(cx)).await.is_none()
            };
            let serving = tokio::spawn(service.serve_with_context(handler));
            let connecting = typed_pipe::ConnectOptions::new().into_tokio();
            let mut client = ByHand::greet(connecting.connect(&path).await.unwrap()).await;
            // It waits for 50 ms, and says nothing when they are over.
            client.send(&framed(&[1, 0, 0, 50])).await;
            assert_eq!(client.recv().await.answer::<bool>(), (0, true));
            serving.await.unwrap().unwrap();
        });
    }

    #[cfg(feature = "json")]
    #[test]
    fn what_is_nothing_in_json_arrives_and_what_is_no_number_does_not() {
        in_runtime(|| async {
            let wire = || Wire::default().with_codec(typed_pipe::wire::Json);
            let service = Service::<Option<f64>, Option<f64>>::temporary().unwrap();
            let service = service.with_wire(wire()).shutdown_after(3).into_tokio().unwrap();
            let path = service.path().clone();
            let handler = |request: Option<f64>, context: Context<(), _, Tokio>| async move {
                context.send(&()).await?;
                assert_eq!(context.recv::<Option<()>>().await.unwrap()?, None);
                assert!(context.recv::<()>().await.is_none());
                Ok::<_, Error>(request.map(|number| 1.0 / number))
            };
            let serving = tokio::spawn(service.serve_with_context(handler));
            let options = ClientOptions::new().with_wire(wire()).into_tokio();
            let client: Caller<Option<f64>, Option<f64>, _> = options.connect(path).await.unwrap();
            let unsent = client.call(&Some(f64::NAN)).await.unwrap_err();
            let about = (unsent.kind(), unsent.is_delivered());
            assert_eq!(about, (ErrorKind::Encode, false), "{unsent}");
            for request in [None, Some(2.0), Some(0.0)] {
                let mut call = client.stream::<()>(&request).await.unwrap();
                call.recv().await.unwrap().unwrap();
                let unsent = call.send(&f64::INFINITY).await.unwrap_err();
                assert_eq!(unsent.kind(), ErrorKind::Encode, "{unsent}");
                call.send(&None::<()>).await.unwrap();
                call.end();
                let last = call.recv().await;
                assert_eq!(last.is_some_and(|last| last.is_err()), request == Some(0.0));
                let answer = call.finish().await;
                match request {
                    // An infinity is no number of JSON: it is told, and arrives as nothing else.
                    Some(0.0) => {
                        assert_eq!(answer.unwrap_err().kind(), ErrorKind::HandlerFailed);
                    }
                    _ => assert_eq!(answer.unwrap(), request.map(|_| 0.5)),
                }
            }
            let summary = serving.await.unwrap().unwrap();
            assert_eq!((summary.answered, summary.failed), (2, 1));
        });
    }

    #[test]
    fn a_call_may_wait_for_another_one_of_its_client() {
        in_runtime(|| async {
            let (say, said) = watch::channel(0_u32);
            let say = Arc::new(say);
            let (path, token, serving) = serving(move |waits: bool| {
                let (say, mut said) = (Arc::clone(&say), said.clone());
                async move {
                    if waits {
                        *said.wait_for(|said| *said > 0).await.unwrap()
                    } else {
                        say.send_replace(7);
                        0
                    }
                }
            });
            let client = Arc::new(caller::<bool, u32>(&path).await);
            let waiting = Arc::clone(&client);
            let first = pending(async move { waiting.call(&true).await.unwrap() }).await;
            assert_eq!(client.call(&false).await.unwrap(), 0);
            assert_eq!(first.await.unwrap(), 7);
            token.cancel();
            serving.await.unwrap().unwrap();
        });
    }

    #[test]
    fn a_serialize_may_call_the_same_client() {
        static CLIENT: OnceLock<Caller<Nested, u32>> = OnceLock::new();

        #[derive(serde::Deserialize)]
        struct Nested(u32);
        impl Serialize for Nested {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let call = || Handle::current().block_on(CLIENT.get().unwrap().call(&Self(0)));
                let inner = if self.0 == 0 { 0 } else { block_in_place(call).unwrap() };
                serializer.serialize_u32(self.0 + inner)
            }
        }

        in_threads(async {
            let (path, token, serving) = serving(|number: u32| async move { number + 1 });
            let client = caller(&path).await;
            let client = CLIENT.get_or_init(|| client);
            assert_eq!(client.call(&Nested(5)).await.unwrap(), 7);
            token.cancel();
            serving.await.unwrap().unwrap();
        });
    }

    /// A lease that gives itself back, by a call of its own.
    #[test]
    fn an_answer_may_call_when_it_is_dropped() {
        #[derive(Serialize, Deserialize)]
        struct Lease(u64);

        static CLIENT: OnceLock<Caller<u64, Lease>> = OnceLock::new();

        impl Drop for Lease {
            fn drop(&mut self) {
                // The samples for its shape are dropped before there is a client.
                if let (1.., Some(client)) = (self.0, CLIENT.get()) {
                    let back = || Handle::current().block_on(client.call(&0));
                    assert_eq!(block_in_place(back).unwrap().0, 0);
                }
            }
        }

        in_threads(async {
            let (let_go, held) = watch::channel(false);
            let (path, token, serving) = serving(move |lease: u64| {
                let mut held = held.clone();
                async move {
                    if lease == 300 {
                        held.wait_for(|go| *go).await.unwrap();
                    }
                    lease
                }
            });
            let client = caller(&path).await;
            let client = CLIENT.get_or_init(|| client);
            let late = client.call_timeout(&300, Duration::from_millis(50)).await.err().unwrap();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
            // Its answer comes when nothing waits for it any more.
            let_go.send(true).unwrap();
            assert_eq!(client.call(&0).await.unwrap().0, 0);
            drop(client.call(&7).await.unwrap());
            token.cancel();
            assert_eq!(serving.await.unwrap().unwrap().failed, 0);
        });
    }

    #[test]
    fn large_answers_that_were_given_up_are_in_the_way_of_no_large_request() {
        in_runtime(|| async {
            let (path, token, serving) = serving(|text: String| async move {
                if text.len() < 10 { "x".repeat(4 << 20) } else { text }
            });
            let client = caller::<String, String>(&path).await;
            let (short, large) = ("short".to_owned(), "y".repeat(4 << 20));
            for _ in 0..5 {
                drop(client.start(&short).await.unwrap());
                let late = client.call_timeout(&short, Duration::from_millis(1)).await;
                if let Err(late) = late {
                    assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
                }
            }
            assert!(client.call(&large).await.unwrap() == large);
            token.cancel();
            serving.await.unwrap().unwrap();
        });
    }

    /// How many were taken, and perhaps one of which a part was.
    async fn fill<C: Codec + Clone + Send + Sync + 'static>(
        client: &Caller<String, u64, C>,
    ) -> u64 {
        for sent in 0..1000 {
            let begun = Instant::now();
            let sending = client.notify_timeout(&"x".repeat(MUCH), SHORT).await;
            let Err(late) = sending else { continue };
            assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
            assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
            return sent;
        }
        panic!("nothing holds it back");
    }

    #[test]
    fn both_sides_are_full_and_only_the_end_of_the_time_is_an_error() {
        async fn side(
            connection: Connection,
            gate: watch::Receiver<bool>,
        ) -> (Caller<String, u64>, Serving<Tokio>) {
            let handled = Arc::new(Mutex::new(0));
            let service = Service::<String, u64>::over(connection).in_order();
            let made = service.handshake_timeout(STALL).into_tokio().unwrap().both_ways(|_| {
                move |_| {
                    let (mut gate, handled) = (gate.clone(), Arc::clone(&handled));
                    async move {
                        gate.wait_for(|open| *open).await.unwrap();
                        let mut handled = handled.lock().unwrap();
                        *handled += 1;
                        *handled
                    }
                }
            });
            made.await.unwrap()
        }

        in_runtime(|| async {
            let (gate, closed) = watch::channel(false);
            let (ours, theirs) = Connection::pair().unwrap();
            let (here, there) = tokio::join!(side(ours, closed.clone()), side(theirs, closed));
            let full = Semaphore::new(0);
            let call = async |client: &Caller<String, u64>| {
                let sent = fill(client).await;
                full.add_permits(1);
                for _ in 0..MORE {
                    client.notify_timeout(&"x".repeat(MUCH), LONG).await.unwrap();
                }
                (sent + MORE, client.call_timeout(&"x".repeat(MUCH), LONG).await.unwrap())
            };
            let open = async {
                let _ = full.acquire_many(2).await.unwrap();
                tokio::time::sleep(STALL + SHORT).await; // the time is what is tested
                gate.send(true).unwrap();
            };
            let (one, other, ()) = tokio::join!(call(&here.0), call(&there.0), open);
            for (sent, handled) in [one, other] {
                assert!((sent + 1..=sent + 2).contains(&handled), "{handled} of {sent}");
            }
            drop(there);
            let summary = here.1.wait().await.unwrap();
            assert_eq!((summary.failed, summary.lost), (0, 0));
        });
    }

    #[test]
    fn both_sides_notify_much_more_than_there_is_room_for_at_once() {
        async fn side(connection: Connection) -> (Arc<Caller<String, u64>>, Serving<Tokio>) {
            let handled = Arc::new(AtomicU64::new(0));
            let service = Service::<String, u64>::over(connection).into_tokio().unwrap();
            let made = service.both_ways(|_| {
                move |_| {
                    let handled = Arc::clone(&handled);
                    async move { handled.fetch_add(1, Ordering::SeqCst) }
                }
            });
            let (client, serving) = made.await.unwrap();
            (Arc::new(client), serving)
        }

        in_runtime(|| async {
            let (ours, theirs) = Connection::pair().unwrap();
            let (here, there) = tokio::join!(side(ours), side(theirs));
            let mut sending = JoinSet::new();
            for client in [&here.0, &there.0] {
                for _ in 0..60 {
                    let client = Arc::clone(client);
                    sending.spawn(async move {
                        client.notify_timeout(&"x".repeat(MUCH), LONG).await.unwrap();
                    });
                }
            }
            sending.join_all().await;
            for client in [&here.0, &there.0] {
                assert_eq!(client.call_timeout(&String::new(), LONG).await.unwrap(), 60);
            }
        });
    }
}
