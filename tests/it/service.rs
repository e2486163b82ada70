//! Requests and answers.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize, Serializer};
use serde_bytes::ByteBuf;
use typed_pipe::wire::{Checked, LengthPrefixed, Wire};
use typed_pipe::{
    CancelToken, Client, ClientOptions, ConnectOptions, Connection, ErrorKind, Handshake, Listener,
    ListenerOptions, PipePath, Service, ShutdownReason, Summary, TypedConnection,
};

use crate::by_hand::{ByHand, call as call_by_hand};
use crate::peer;
use crate::support::{
    Folder, Waiters, until, watched, watched_for, wine_lets_a_name_have_two_owners,
};

/// Starts a service in a thread; it ends when the token is set.
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
    let serving = thread::spawn(move || service.serve(handler).unwrap());
    (path, token, serving)
}

/// A client that was answered, and does nothing, has one descriptor in the process of its service, which may open a few
/// for all of them.
#[cfg(target_os = "linux")]
fn an_idle_client_takes_one_descriptor_of(role: &'static str, for_all: usize) {
    watched(move || {
        let folder = Folder::of_short_names();
        let path = folder.name("echo");
        let service = peer::start(role, &path);
        let idle = || {
            let client = Client::<u32, u32>::connect(&path).unwrap();
            assert_eq!(client.call(&7).unwrap(), 7);
            client
        };
        let open = || peer::count(&format!("/proc/{}/fd", service.id()));
        let first = (idle(), open());
        let clients = [(); 20].map(|()| idle());
        let more = open() - first.1;
        assert!((clients.len()..=clients.len() + for_all).contains(&more), "{more}");
        drop((clients, first));
        service.kill();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_client_takes_one_descriptor_of_a_service_of_threads() {
    // The thread that waits for silent clients has two.
    an_idle_client_takes_one_descriptor_of("echo", 2);
}

#[cfg(all(target_os = "linux", feature = "tokio"))]
#[test]
fn an_idle_client_takes_one_descriptor_of_a_service_of_tasks() {
    an_idle_client_takes_one_descriptor_of("echo-in-tasks", 0);
}

#[test]
fn threads_share_a_connection_and_get_their_own_answers() {
    watched(|| {
        let (path, token, serving) = serving(|number: u64| number * 2);
        let client = Client::<u64, u64>::connect(&path).unwrap();
        thread::scope(|scope| {
            for thread in 0..8 {
                let client = &client;
                scope.spawn(move || {
                    for i in 0..500 {
                        let number = thread * 1_000_000 + i;
                        assert_eq!(client.call(&number).unwrap(), number * 2);
                    }
                });
            }
        });
        token.cancel();
        let summary = serving.join().unwrap();
        assert_eq!((summary.clients, summary.answered, summary.failed), (1, 4000, 0));
        assert_eq!(summary.reason, ShutdownReason::Cancelled);
    });
}

#[cfg(feature = "json")]
#[test]
fn an_answer_that_is_null_in_json_is_an_answer() {
    use typed_pipe::wire::Json;

    watched(|| {
        let wire = || Wire::new(LengthPrefixed::default(), Json);
        let unit = Service::<u32, ()>::temporary().unwrap().with_wire(wire()).shutdown_after(2);
        let path = unit.path().clone();
        let serving = thread::spawn(move || unit.serve(drop).unwrap());
        let client = ClientOptions::new().with_wire(wire()).connect(&path).unwrap();
        let client: Client<u32, (), _, _> = client;
        client.call(&1).unwrap();
        client.call(&2).unwrap();
        assert_eq!(serving.join().unwrap().failed, 0);

        let maybe = Service::<u32, Option<f64>>::temporary().unwrap();
        let maybe = maybe.with_wire(wire()).shutdown_after(3);
        let path = maybe.path().clone();
        let quotient =
            |of: u32| (of != 0).then(|| 1.0 / f64::from(of) / if of == 9 { 0.0 } else { 1.0 });
        let serving = thread::spawn(move || maybe.serve(quotient).unwrap());
        let client: Client<u32, Option<f64>, _, _> =
            ClientOptions::new().with_wire(wire()).connect(&path).unwrap();
        assert_eq!(client.call(&0).unwrap(), None);
        assert_eq!(client.call(&3).unwrap(), Some(1.0 / 3.0));
        // An infinity is no number of JSON: it is told, and arrives as nothing else.
        let error = client.call(&9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HandlerFailed, "{error}");
        assert!(error.to_string().contains("the codec cannot write this value"), "{error}");
        assert_eq!(serving.join().unwrap().failed, 1);
    });
}

#[test]
fn a_handler_that_fails_or_panics_ends_its_request_alone() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap().shutdown_after(3);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve(|number| match number {
                0 => Err("there is no zero"),
                1 => panic!("one is too much"),
                number => Ok(number),
            })
        });
        let client = Client::<u32, u32>::connect(&path).unwrap();
        let failed = client.call(&0).unwrap_err();
        assert_eq!((failed.kind(), failed.is_delivered()), (ErrorKind::HandlerFailed, true));
        assert!(failed.to_string().ends_with("its handler failed: there is no zero"), "{failed}");
        let panicked = client.call(&1).unwrap_err();
        assert_eq!(panicked.kind(), ErrorKind::HandlerPanicked);
        assert!(panicked.to_string().ends_with("one is too much"), "{panicked}");
        assert_eq!(client.call(&7).unwrap(), 7);
        let summary = serving.join().unwrap().unwrap();
        assert_eq!((summary.answered, summary.failed, summary.lost), (1, 2, 0));
        assert_eq!(summary.reason, ShutdownReason::RequestLimit);
    });
}

#[test]
fn what_is_called_after_a_notification_finds_it_handled() {
    watched(|| {
        let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
        let noted = std::sync::Arc::clone(&seen);
        let (path, token, serving) = serving(move |word: String| {
            if word == "slow" {
                thread::sleep(Duration::from_millis(20)); // long enough for a thread of its own
            }
            noted.lock().unwrap().push(word);
        });
        let client = Client::<String, ()>::connect(&path).unwrap();
        client.notify(&"slow".into()).unwrap();
        client.notify_timeout(&"two".into(), Duration::from_secs(30)).unwrap();
        client.call(&"three".into()).unwrap();
        assert_eq!(*seen.lock().unwrap(), ["slow", "two", "three"]);
        token.cancel();
        assert_eq!(serving.join().unwrap().answered, 3);
    });
}

#[test]
fn what_timed_out_is_mixed_up_with_nothing() {
    watched(|| {
        let (begin, begun) = mpsc::channel();
        let (leave, left) = mpsc::channel();
        let steps = Mutex::new((begin, left));
        let (path, token, serving) = serving(move |number: u64| {
            if number == 200 {
                let (begin, left) = &*steps.lock().unwrap();
                begin.send(()).unwrap();
                left.recv().unwrap();
            }
            number
        });
        let client = Client::<u64, u64>::connect(&path).unwrap();
        let waiting = client.start(&200_u64).unwrap();
        begun.recv().unwrap();
        let late = waiting.wait_timeout(Duration::from_millis(20)).unwrap_err();
        assert_eq!((late.kind(), late.is_delivered()), (ErrorKind::TimedOut, true));
        leave.send(()).unwrap();
        for number in [0, 1, 2] {
            assert_eq!(client.call(&number).unwrap(), number);
        }
        token.cancel();
        assert_eq!(serving.join().unwrap().answered, 4);
    });
}

/// A service that goes away while it handles a request: told at once, and apart from what it never took.
#[test]
fn a_lost_service_is_told_at_once_and_what_it_never_got_is_told_apart() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("service");
        let mut peer = peer::start("serve-and-hang", &name);
        let client = Client::<u32, u32>::connect(&name).unwrap();
        assert_eq!(client.call(&1).unwrap(), 1);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| client.call(&0).unwrap_err());
            peer.await_step(peer::READY); // the handler has the request, and hangs
            peer.kill();
            let lost = waiting.join().unwrap();
            assert_eq!((lost.kind(), lost.is_delivered()), (ErrorKind::Disconnected, true));
        });
        // There is no service now: the call cannot have been delivered.
        let gone = client.call_timeout(&1, Duration::from_millis(50)).unwrap_err();
        assert!(!gone.is_delivered(), "{gone}");
        assert_eq!(gone.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_client_connects_anew_to_the_next_service() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("service");
        let serve = || {
            let service = Service::<u32, u32>::bind(&name).unwrap().shutdown_after(1);
            thread::spawn(move || service.serve(|number| number + 1).unwrap())
        };
        let first = serve();
        let options = ClientOptions::new().max_attempts(1000);
        let pauses = (Duration::from_millis(1), Duration::from_millis(5));
        let client = options.backoff(pauses.0, pauses.1).connect::<u32, u32>(&name).unwrap();
        assert_eq!(client.call(&1).unwrap(), 2);
        first.join().unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| client.call(&2).unwrap());
            let second = serve();
            assert_eq!(waiting.join().unwrap(), 3);
            assert_eq!(second.join().unwrap().answered, 1);
        });
    });
}

#[test]
fn what_a_service_never_took_is_told_to_be_so() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let (leave, left) = mpsc::channel();
        let left = Mutex::new(left);
        let serving = thread::spawn(move || {
            service.serve(|number: u32| {
                left.lock().unwrap().recv().unwrap();
                number
            })
        });
        let client = &Client::<u32, u32>::connect(&path).unwrap();
        let outcomes: Vec<_> = thread::scope(|scope| {
            let waiters = Waiters::default();
            let calls = [0_u32, 1, 2, 3].map(|number| waiters.with(move || client.call(&number)));
            let calls = calls.map(|call| scope.spawn(call));
            until(|| client.counts().in_flight == 4);
            waiters.asleep(); // all have sent their request
            leave.send(()).unwrap();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        for error in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::Finished, "{error}");
            assert!(!error.is_delivered(), "{error}");
        }
        assert_eq!(serving.join().unwrap().unwrap().answered, 1);
    });
}

#[test]
fn a_service_that_nobody_calls_ends() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap();
        let service = service.idle_timeout(Duration::from_secs(2));
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(|number: u32| number));
        let client = Client::<u32, u32>::connect(&path).unwrap();
        let since = Instant::now();
        client.call(&1_u32).unwrap();
        let summary = serving.join().unwrap().unwrap();
        assert!(since.elapsed() > Duration::from_secs(1));
        assert_eq!((summary.answered, summary.reason), (1, ShutdownReason::Idle));
    });
}

#[test]
fn a_handler_at_work_is_not_idle() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap();
        let service = service.idle_timeout(Duration::from_secs(2));
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve(|number: u32| {
                thread::sleep(Duration::from_secs(3)); // longer than it may be idle
                number
            })
        });
        let client = Client::<u32, u32>::connect(&path).unwrap();
        assert_eq!(client.call(&7).unwrap(), 7);
        assert_eq!(serving.join().unwrap().unwrap().answered, 1);
    });
}

/// One that is silent gives its seat to another one, and gets a new one when it calls again.
#[test]
fn a_client_that_is_silent_is_let_go() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let listener = ListenerOptions::new().max_clients(1).temporary().unwrap();
        let service = Service::<u64, u64>::new(listener).cancelled_by(&token);
        let service = service.client_idle_timeout(Duration::from_millis(50));
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve(|millis| {
                // However long that takes: who waits for an answer is not silent.
                thread::sleep(Duration::from_millis(millis));
                millis
            })
        });
        let connect = || ClientOptions::new().max_attempts(20).connect::<u64, u64>(&path).unwrap();
        let first = connect();
        assert_eq!(first.call(&200).unwrap(), 200);
        let second = connect();
        assert_eq!(second.call(&0).unwrap(), 0);
        assert_eq!(first.call(&1).unwrap(), 1);
        let third = Client::<u64, u64>::connect(&path).unwrap();
        let error = loop {
            match third.call(&2) {
                // The time is what is tested: it is longer than a client may be silent.
                Ok(_) => thread::sleep(Duration::from_millis(100)),
                Err(error) => break error,
            }
        };
        assert!(!error.is_delivered(), "{error}");
        token.cancel();
        let summary = serving.join().unwrap().unwrap();
        assert_eq!(summary.lost, 0, "to be silent is no fault");
    });
}

/// Stopped in the middle of a request: it is answered all the same.
#[test]
fn a_cancel_token_answers_what_was_taken() {
    watched(|| {
        let (taken, wait) = mpsc::channel();
        let (leave, left) = mpsc::channel();
        let steps = Mutex::new((taken, left));
        let (path, token, serving) = serving(move |number: u32| {
            let (taken, left) = &*steps.lock().unwrap();
            taken.send(()).unwrap();
            left.recv().unwrap();
            number
        });
        let client = Client::<u32, u32>::connect(&path).unwrap();
        thread::scope(|scope| {
            let call = scope.spawn(|| client.call(&5).unwrap());
            wait.recv().unwrap();
            token.cancel();
            // It is stopped when its name is gone.
            until(|| Connection::try_connect(&path).is_err());
            leave.send(()).unwrap();
            assert_eq!(call.join().unwrap(), 5);
        });
        assert_eq!(serving.join().unwrap().answered, 1);
    });
}

/// Clients that say nothing, say garbage, leave, or take no answers: none of them is in the way of another one.
#[test]
fn bad_clients_cost_themselves_alone() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, Vec<u8>>::temporary().unwrap().cancelled_by(&token);
        let service = service.handshake_timeout(Duration::from_secs(2));
        let path = service.path().clone();
        let serving =
            thread::spawn(move || service.serve(|bytes| vec![7; usize::try_from(bytes).unwrap()]));

        let silent = Connection::connect(&path).unwrap();
        let mut garbled = Connection::connect(&path).unwrap();
        garbled.writer().write(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        drop(Connection::connect(&path).unwrap());
        // Asks for much, and takes nothing of it.
        let mut greedy = ByHand::greet(Connection::connect(&path).unwrap());
        for number in 0..10 {
            greedy.send(&call_by_hand(number, &(4_u32 << 20)));
        }
        // What is no handshake of calls is refused.
        let typed = TypedConnection::<u32, u32>::connect(&path);
        assert_eq!(typed.unwrap_err().kind(), ErrorKind::Mismatch);
        let other = Handshake::new().sending("calls of another").receiving("answers of another");
        let other = other.perform::<u32, u32>(Connection::connect(&path).unwrap());
        drop(other);

        let client = Client::<u32, Vec<u8>>::connect(&path).unwrap();
        for size in 0..100 {
            assert_eq!(client.call(&size).unwrap().len(), usize::try_from(size).unwrap());
        }
        // One that is given up reads the end.
        let mut rest = silent;
        let mut buf = [0; 256];
        while rest.reader().read(&mut buf).is_ok_and(|bytes| bytes > 0) {}
        token.cancel();
        let summary = serving.join().unwrap().unwrap();
        assert_eq!(summary.answered - u64::from(summary.answered > 100), 100, "{summary:?}");
        assert!(summary.lost >= 3, "{summary:?}");
        drop(greedy);
    });
}

/// A client whose bytes, and those of its service, go on where a test lets them.
pub(crate) struct Relayed {
    near: Connection,
    far: Connection,
    client: thread::JoinHandle<Client<Later, u32>>,
}

/// What a service reads.
#[derive(Serialize, Deserialize)]
enum Earlier {
    One,
}

/// What its clients send: of this, both sides say what it looks like.
#[derive(Serialize, Deserialize, Debug)]
enum Later {
    One,
    Two,
}

impl Relayed {
    /// One that is told all that its service says before it says what its messages look like.
    pub(crate) fn told(path: &PipePath) -> Self {
        let (near, client) = Connection::pair().unwrap();
        let client = thread::spawn(move || Client::over(client).unwrap());
        let mut this = Self { near, far: Connection::connect(path).unwrap(), client };
        let head = this.say(12);
        this.say(usize::from(u16::from_be_bytes([head[10], head[11]])));
        this.hear_something();
        this
    }

    /// Lets so many bytes of the client through.
    fn say(&mut self, bytes: usize) -> Vec<u8> {
        let mut said = vec![0; bytes];
        self.near.reader().read_exact(&mut said).unwrap();
        self.far.writer().write_all(&said).unwrap();
        said
    }

    /// Lets through what the service says next.
    fn hear_something(&mut self) {
        let mut heard = [0; 4096];
        let bytes = self.far.reader().read(&mut heard).unwrap();
        assert!(bytes > 0, "the service has gone");
        self.near.writer().write_all(&heard[..bytes]).unwrap();
    }
}

#[test]
fn clients_that_have_said_half_wait_alone() {
    watched(|| {
        let (path, token, serving) = serving(|Earlier::One| 2_u32);
        let ask = |client: &Client<Later, u32>| {
            assert_eq!(client.call(&Later::One).unwrap(), 2);
            assert_eq!(client.call(&Later::Two).unwrap_err().kind(), ErrorKind::Mismatch);
        };
        // However many there are that say no more.
        let silent: Vec<_> = (0..3).map(|_| Relayed::told(&path)).collect();
        let mut slow = Relayed::told(&path);
        let mut garbled = Relayed::told(&path);
        let clients: Vec<_> = (0..10).map(|_| Client::connect(&path).unwrap()).collect();
        clients.iter().for_each(ask);
        slow.say(3);
        clients.iter().for_each(ask);
        slow.say(1);
        let one = Client::connect(&path).unwrap();
        // A description that is too long ends a client at once.
        garbled.far.writer().write_all(&[0xFF; 4]).unwrap();
        while garbled.far.reader().read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {}
        ask(&one);
        // The rest goes on by itself.
        let Relayed { near, far, client } = slow;
        let ((mut from_client, mut to_client), (mut from_service, mut to_service)) =
            (near.split(), far.split());
        thread::spawn(move || io::copy(&mut from_client, &mut to_service));
        thread::spawn(move || io::copy(&mut from_service, &mut to_client));
        ask(&client.join().unwrap());
        clients.iter().for_each(ask);
        token.cancel();
        let summary = serving.join().unwrap();
        assert_eq!((summary.clients, summary.lost), (16, 1), "{summary:?}");
        drop(silent);
    });
}

#[test]
fn names_of_what_is_spoken_must_agree() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::temporary().unwrap();
        let service = service.protocol("tasks/1").require_same_user().cancelled_by(&token);
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(|number| number));
        let other = ClientOptions::new().protocol("tasks/2").connect::<u32, u32>(&path);
        let error = other.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("tasks/1"), "{error}");
        let same = ClientOptions::new().protocol("tasks/1").connect::<u32, u32>(&path).unwrap();
        assert_eq!(same.call(&3).unwrap(), 3);
        token.cancel();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn another_wire_and_so_many_clients() {
    watched(|| {
        let wire = || Wire::default().with_framing(Checked::default());
        let token = CancelToken::new().unwrap();
        let listener = ListenerOptions::new().max_clients(2).temporary().unwrap();
        let service =
            Service::<String, String>::new(listener).with_wire(wire()).cancelled_by(&token);
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(|word| word.to_uppercase()));
        let connect = || ClientOptions::new().with_wire(wire()).connect(&path).unwrap();
        let one: Client<String, String, _, _> = connect();
        let two: Client<String, String, _, _> = connect();
        assert_eq!(one.call(&"one".into()).unwrap(), "ONE");
        let third = ClientOptions::new().with_wire(wire());
        let third = third.connect_timeout::<String, String>(&path, Duration::from_millis(100));
        assert_eq!(third.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(two);
        let third: Client<String, String, _, _> = connect();
        assert_eq!(third.call(&"three".into()).unwrap(), "THREE");
        token.cancel();
        serving.join().unwrap().unwrap();
    });
}

/// A value that cannot be written is an error at the caller, and costs nobody the connection.
#[test]
fn what_cannot_be_written_is_told() {
    #[derive(Deserialize)]
    struct Fickle(bool);
    impl Serialize for Fickle {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 {
                return Err(serde::ser::Error::custom("not today"));
            }
            serializer.serialize_bool(self.0)
        }
    }
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<bool, Fickle>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(Fickle));
        let client = Client::<Fickle, bool>::connect(&path).unwrap();
        let unsent = client.call(&Fickle(true)).unwrap_err();
        assert_eq!((unsent.kind(), unsent.is_delivered()), (ErrorKind::Encode, false));
        assert!(!client.call(&Fickle(false)).unwrap());
        let plain = Client::<bool, bool>::connect(&path).unwrap();
        let unanswered = plain.call(&true).unwrap_err();
        assert_eq!(
            (unanswered.kind(), unanswered.is_delivered()),
            (ErrorKind::HandlerFailed, true)
        );
        assert!(unanswered.to_string().contains("its answer cannot be sent"), "{unanswered}");
        assert!(!plain.call(&false).unwrap());
        token.cancel();
        serving.join().unwrap().unwrap();
    });
}

/// Large requests and answers from several threads at once, which fill the pipe both ways.
#[test]
fn large_requests_and_answers_do_not_hold_each_other_up() {
    watched(|| {
        let (path, token, serving) = serving(|bytes: ByteBuf| bytes);
        let client = Client::<ByteBuf, ByteBuf>::connect(&path).unwrap();
        thread::scope(|scope| {
            for thread in 0..4_u8 {
                let client = &client;
                scope.spawn(move || {
                    for _ in 0..4 {
                        let bytes = ByteBuf::from(vec![thread; 3 << 20]);
                        assert!(client.call(&bytes).unwrap() == bytes);
                    }
                });
            }
        });
        token.cancel();
        assert_eq!(serving.join().unwrap().answered, 16);
    });
}

#[test]
fn a_cancel_token_ends_a_call_that_waits() {
    watched(|| {
        let hold = std::sync::Arc::new(CancelToken::new().unwrap());
        let held = std::sync::Arc::clone(&hold);
        let (path, token, serving) = serving(move |_: u32| {
            until(|| held.is_cancelled());
        });
        let mine = CancelToken::new().unwrap();
        let options = ClientOptions::new().connecting(ConnectOptions::new().cancelled_by(&mine));
        let client: Client<u32, ()> = options.connect(&path).unwrap();
        thread::scope(|scope| {
            let call = scope.spawn(|| client.call(&1).unwrap_err());
            mine.cancel();
            assert_eq!(call.join().unwrap().kind(), ErrorKind::Cancelled);
        });
        hold.cancel();
        token.cancel();
        serving.join().unwrap();
    });
}

/// What a caller of the soak sends, and gets back changed: the number of its process, and of the call.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    pub(crate) process: u32,
    pub(crate) number: u64,
}

/// Eight processes call one service, and some are killed: each call gets its own answer, and none is handled twice.
#[test]
fn soak_of_calls_from_processes_some_of_which_are_killed() {
    soak(4_000, Duration::from_millis(150));
}

/// `cargo test --release --test it -- --ignored --exact service::the_whole_soak`
#[test]
#[ignore = "takes its time"]
fn the_whole_soak() {
    soak(1_500_000, Duration::from_secs(1));
}

fn soak(calls: u64, pause: Duration) {
    const PROCESSES: u32 = 8;
    watched_for(Duration::from_secs(1200), move || {
        let token = CancelToken::new().unwrap();
        let service = Service::<Ticket, Ticket>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let (handled, seen) = (AtomicU64::new(0), Mutex::new(HashSet::new()));
        thread::scope(|scope| {
            let serving = scope.spawn(|| {
                service.serve(|ticket| {
                    assert!(seen.lock().unwrap().insert(ticket), "{ticket:?} came twice");
                    handled.fetch_add(1, Ordering::Relaxed);
                    Ticket { number: ticket.number + 1, ..ticket }
                })
            });
            let mut process = 0;
            let mut start = || {
                process += 1;
                peer::start_with("call", &path, process)
            };
            let mut peers: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
            let mut oldest = 1;
            while handled.load(Ordering::Relaxed) < calls {
                thread::sleep(pause); // the load is what is tested, and this its pace
                // A process may take longer to start than the pause is.
                let first = Ticket { process: oldest, number: 0 };
                until(|| seen.lock().unwrap().contains(&first));
                oldest += 1;
                // Killed in the middle of whatever it does, and another one takes its place.
                peers.remove(0).kill();
                peers.push(start());
            }
            // Those that are left have had the right answers: they say so by ending well.
            for peer in peers {
                peer.join();
            }
            token.cancel();
            let summary = serving.join().unwrap().unwrap();
            assert_eq!(summary.failed, 0, "{summary:?}");
            eprintln!(
                "{} calls handled, {process} processes, {summary:?}",
                seen.lock().unwrap().len()
            );
        });
    });
}

#[test]
fn a_service_of_a_dead_owner_is_taken_over() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("service");
        let mut peer = peer::start("serve-and-hang", &name);
        peer.await_step(peer::WAITING);
        if !wine_lets_a_name_have_two_owners() {
            assert_eq!(Listener::bind(&name).unwrap_err().kind(), ErrorKind::InUse);
        }
        peer.kill();
        let service = Service::<u32, u32>::bind(&name).unwrap().shutdown_after(1);
        let serving = thread::spawn(move || service.serve(|number| number));
        assert_eq!(Client::<u32, u32>::connect(&name).unwrap().call(&1).unwrap(), 1);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn the_token_of_a_listener_ends_its_service() {
    watched(|| {
        let (token, other) = (CancelToken::new().unwrap(), CancelToken::new().unwrap());
        for also in [None, Some(&other)] {
            let listener = ListenerOptions::new().cancelled_by(&token).temporary().unwrap();
            let mut service = Service::<u32, u32>::new(listener);
            if let Some(other) = also {
                service = service.cancelled_by(other);
            }
            let path = service.path().clone();
            let serving = thread::spawn(move || service.serve(|number| number));
            if !token.is_cancelled() {
                assert_eq!(Client::<u32, u32>::connect(path).unwrap().call(&1).unwrap(), 1);
                token.cancel();
            }
            assert_eq!(serving.join().unwrap().unwrap().reason, ShutdownReason::Cancelled);
        }
    });
}

/// A service that never answers what is 0.
pub(crate) fn serve_and_hang(path: &Path) {
    let service = Service::<u32, u32>::bind(path).unwrap();
    peer::step(peer::WAITING);
    let served = service.serve(|number| {
        if number == 0 {
            peer::step(peer::READY);
            peer::await_go();
        }
        number
    });
    served.unwrap();
}

/// Calls, until the test has heard enough.
pub(crate) fn call(path: &Path, process: usize) {
    let process = u32::try_from(process).unwrap();
    let client = Client::<Ticket, Ticket>::connect(path).unwrap();
    let cancelled = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            peer::await_go();
            cancelled.store(true, Ordering::Relaxed);
        });
        for number in (0..).step_by(2) {
            let answer = client.call(&Ticket { process, number }).unwrap();
            assert_eq!(answer, Ticket { process, number: number + 1 });
            if cancelled.load(Ordering::Relaxed) {
                break;
            }
        }
    });
}

/// Less of the text comes than there is, and the call does not wait for the rest.
#[test]
fn a_text_that_is_larger_than_the_other_side_takes_is_cut() {
    watched(|| {
        let wire = || Wire::default().with_framing(LengthPrefixed::default().limit(64));
        let service = Service::<u32, u32>::temporary().unwrap().with_wire(wire());
        let service = service.shutdown_after(2);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve(|number| match number {
                0 => Err("no".repeat(500)),
                _ => panic!("{}", "no".repeat(500)),
            })
        });
        let client = ClientOptions::new().with_wire(wire());
        let client = client.connect::<u32, u32>(&path).unwrap();
        for (number, kind) in [(0, ErrorKind::HandlerFailed), (1, ErrorKind::HandlerPanicked)] {
            let error = client.call(&number).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains("nonono"), "{error}");
        }
        assert_eq!(serving.join().unwrap().unwrap().failed, 2);
    });
}
