//! Calls of which something goes wrong: at the client, at the service, or between them.

use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use typed_pipe::{
    CancelToken, Client, ClientOptions, ConnectOptions, Connection, Context, ErrorKind, Listener,
    ListenerOptions, PipePath, Service, ShutdownReason,
};

use crate::by_hand::{ByHand, Received, answer, call, frame, recv_from};
use crate::support::{Folder, Waiters, until, watched};

/// A call with a deadline, while another one without waits for a service that never comes.
#[test]
fn a_deadline_holds_while_another_call_connects() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(|number| number).unwrap());
        let mine = CancelToken::new().unwrap();
        let options = ClientOptions::new().connecting(ConnectOptions::new().cancelled_by(&mine));
        let client: Client<u32, u32> = options.connect(&path).unwrap();
        client.call(&1).unwrap();
        serving.join().unwrap();
        client.call(&2).unwrap_err();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| client.call(&3).unwrap_err());
            for number in 0..20 {
                let late = client.call_timeout(&number, Duration::from_millis(20)).unwrap_err();
                assert_eq!((late.kind(), late.is_delivered()), (ErrorKind::TimedOut, false));
            }
            assert!(!waiting.is_finished());
            mine.cancel();
            assert_eq!(waiting.join().unwrap().kind(), ErrorKind::Cancelled);
        });
    });
}

/// A client whose service has ended, and which would rest for ever between two attempts.
fn resting(options: ClientOptions) -> Client<u32, u32> {
    let service = Service::<u32, u32>::temporary().unwrap().shutdown_after(1);
    let path = service.path().clone();
    let serving = thread::spawn(move || service.serve(|number| number).unwrap());
    let options = options.max_attempts(3).backoff(Duration::MAX, Duration::MAX);
    let client: Client<u32, u32> = options.connect(path).unwrap();
    client.call(&1).unwrap();
    serving.join().unwrap();
    client
}

#[test]
fn a_pause_beyond_the_deadline_is_none() {
    watched(|| {
        let client = resting(ClientOptions::new().reply_timeout(Duration::from_secs(50)));
        let failed = client.call(&2).unwrap_err();
        assert!(!failed.is_delivered(), "{failed}");
    });
}

#[test]
fn a_cancel_token_ends_a_pause_between_attempts() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let stopping = ConnectOptions::new().cancelled_by(&token);
        let client = resting(ClientOptions::new().connecting(stopping));
        thread::scope(|scope| {
            let waiters = Waiters::default();
            let call = scope.spawn(waiters.with(|| client.call(&2).unwrap_err()));
            waiters.asleep();
            token.cancel();
            assert_eq!(call.join().unwrap().kind(), ErrorKind::Cancelled);
        });
    });
}

#[test]
fn a_limit_ends_the_service_even_if_nobody_takes_the_last_answer() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let (leave, left) = mpsc::channel();
        let left = Mutex::new(left);
        let serving = thread::spawn(move || {
            service.serve(|number| {
                left.lock().unwrap().recv().unwrap();
                number
            })
        });
        let mut client = ByHand::greet(Connection::connect(&path).unwrap());
        client.send(&call(0, &7_u32));
        drop(client);
        leave.send(()).unwrap();
        let summary = serving.join().unwrap().unwrap();
        assert_eq!((summary.answered, summary.lost), (0, 1));
        assert_eq!(summary.reason, ShutdownReason::RequestLimit);
    });
}

/// A client does not take its answers in time, and goes on after that. The last request was handled, and nothing says
/// that it was not taken.
#[test]
fn what_was_handled_is_never_told_to_be_untaken() {
    watched(|| {
        let timeout = Duration::from_secs(1);
        let token = CancelToken::new().unwrap();
        let service = Service::<(), Vec<u8>>::temporary().unwrap().cancelled_by(&token);
        let service = service.handshake_timeout(timeout);
        let path = service.path().clone();
        let (begun, handled) = mpsc::channel();
        let begun = Mutex::new(begun);
        let serving = thread::spawn(move || {
            service.serve(|()| {
                begun.lock().unwrap().send(()).unwrap();
                vec![7; 1000]
            })
        });
        let mut client = ByHand::greet(Connection::connect(&path).unwrap());
        for number in 0..1000 {
            // It may hang up before that, where a pipe holds less.
            if client.writer.write_all(&call(number, &())).is_err() {
                break;
            }
        }
        // Until there is no room for the next answer, and the timeout is over: then the service hangs up.
        until(|| client.writer.try_write(&[0]).is_err_and(|error| error.is_disconnected()));
        let requests = handled.try_iter().count();
        let mut answers = 0;
        let end = loop {
            match recv_from(&mut client.reader) {
                Ok(Received::Answer { .. }) => answers += 1,
                // The last one may be cut off.
                Ok(Received::End) | Err(_) => break Received::End,
                Ok(other) => break other,
            }
        };
        assert!(answers < requests, "{answers} of {requests}");
        assert_eq!(end, Received::End, "no goodbye");
        token.cancel();
        let summary = serving.join().unwrap().unwrap();
        assert_eq!((summary.answered, summary.lost), (u64::try_from(answers).unwrap(), 1));
    });
}

/// A lease that gives itself back, by a call of its own.
#[test]
fn an_answer_that_nobody_waits_for_may_call_when_it_is_dropped() {
    #[derive(Serialize, Deserialize)]
    struct Lease(u64);

    static CLIENT: OnceLock<Client<u64, Lease>> = OnceLock::new();

    impl Drop for Lease {
        fn drop(&mut self) {
            // The samples for its shape are dropped before there is a client.
            if let (1.., Some(client)) = (self.0, CLIENT.get()) {
                client.call(&0).unwrap();
            }
        }
    }

    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u64, u64>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let (begin, begun) = mpsc::channel();
        let (leave, left) = mpsc::channel();
        let steps = Mutex::new((begin, left));
        let serving = thread::spawn(move || {
            service.serve(|lease: u64| {
                if lease != 0 {
                    let (begin, left) = &*steps.lock().unwrap();
                    begin.send(()).unwrap();
                    left.recv().unwrap();
                }
                lease
            })
        });
        let client = CLIENT.get_or_init(|| Client::connect(path).unwrap());
        let waiting = client.start(&300_u64).unwrap();
        begun.recv().unwrap();
        let late = waiting.wait_timeout(Duration::from_millis(50)).err().unwrap();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        leave.send(()).unwrap();
        assert_eq!(client.call(&0).unwrap().0, 0);
        // The answer that comes now calls when it is dropped.
        leave.send(()).unwrap();
        drop(client.call(&7).unwrap());
        token.cancel();
        assert_eq!(serving.join().unwrap().unwrap().answered, 4);
    });
}

/// A request that takes its time to come in is no silence.
#[test]
fn a_client_that_is_sending_is_not_silent() {
    let slow = |path: PipePath| {
        let mut client = ByHand::greet(Connection::connect(path).unwrap());
        for piece in call(0, &vec![7_u8; 1000]).chunks(100) {
            client.send(piece);
            // The time is what is tested: each piece comes in time, and all of it would not.
            thread::sleep(Duration::from_millis(250));
        }
        assert_eq!(client.recv().answer::<u64>(), (0, 1000));
    };
    let service = || {
        let service = Service::<Vec<u8>, u64>::temporary().unwrap();
        service.client_idle_timeout(Duration::from_secs(2)).shutdown_after(1)
    };
    let length = |bytes: Vec<u8>| u64::try_from(bytes.len()).unwrap();
    watched(move || {
        let threads = service();
        let path = threads.path().clone();
        let serving = thread::spawn(move || threads.serve(length));
        slow(path);
        assert_eq!(serving.join().unwrap().unwrap().answered, 1);
        #[cfg(feature = "tokio")]
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
            let tasks = service().into_tokio().unwrap();
            let path = tasks.path().clone();
            let client = tokio::task::spawn_blocking(move || slow(path));
            let summary = tasks.serve(move |bytes| async move { length(bytes) }).await.unwrap();
            client.await.unwrap();
            assert_eq!(summary.answered, 1);
        });
    });
}

/// No thread waits any more that would write the rest, and the service waits for it.
#[test]
fn the_rest_of_a_request_that_was_given_up_is_sent_though_nothing_waits() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let (given_up, is_given_up) = mpsc::channel();
        let there = thread::spawn(move || {
            let mut hand = ByHand::greet(theirs);
            is_given_up.recv().unwrap();
            let (id, body) = hand.recv().call::<Vec<u8>>();
            assert_eq!(body.len(), 4 << 20);
            assert_eq!(hand.recv(), Received::Cancel { id });
        });
        let client = Client::<Vec<u8>, u64>::over(ours).unwrap();
        let late = client.call_timeout(&vec![7; 4 << 20], Duration::from_millis(100)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        given_up.send(()).unwrap();
        there.join().unwrap();
    });
}

/// The thread that began to write it, as it read for all, has its own answer and waits for nothing more.
#[test]
fn the_rest_of_a_request_is_sent_though_its_client_does_other_things() {
    const LARGE: usize = 15_000;
    watched(|| {
        let listener = ListenerOptions::new().buffer_size(1).temporary().unwrap();
        let options = ConnectOptions::new().buffer_size(1);
        let ours = options.connect(listener.path()).unwrap();
        let theirs = listener.accept().unwrap();
        let (reads, is_reading) = mpsc::channel();
        let (queued, is_queued) = mpsc::channel();
        let (answered, is_answered) = mpsc::channel();
        let there = thread::spawn(move || {
            let mut hand = ByHand::greet(theirs);
            let [first, second, third] = [(); 3].map(|()| hand.recv().call::<Vec<u8>>().0);
            // Only the thread of the third call takes that.
            hand.send(&answer(first, &1_u64));
            reads.send(()).unwrap();
            is_queued.recv().unwrap();
            // It looks what there is to write.
            hand.send(&answer(second, &2_u64));
            let mut begun = [0; 4];
            hand.reader.read_exact(&mut begun).unwrap();
            hand.send(&answer(third, &3_u64));
            is_answered.recv().unwrap();
            let mut rest = vec![0; u32::from_be_bytes(begun).try_into().unwrap()];
            hand.reader.read_exact(&mut rest).unwrap();
            assert!(rest.ends_with(&[7; LARGE]));
        });
        let client = Arc::new(Client::<Vec<u8>, u64>::over(ours).unwrap());
        let started = [(); 2].map(|()| client.start(&vec![7]).unwrap());
        let third = thread::spawn({
            let client = Arc::clone(&client);
            move || client.call(&vec![7]).unwrap()
        });
        is_reading.recv().unwrap();
        until(|| client.counts().in_flight == 2);
        let large = client.start(&vec![7; LARGE]).unwrap();
        queued.send(()).unwrap();
        assert_eq!(third.join().unwrap(), 3);
        answered.send(()).unwrap();
        there.join().unwrap();
        drop((started, large));
    });
}

/// The thread that wrote for both has no more time, and the one that reads waits for the client.
#[test]
fn an_answer_behind_an_item_that_was_given_up_is_sent() {
    #[derive(Serialize, Deserialize)]
    enum Does {
        TakesLong,
        SendsAnItem,
        Answers,
    }

    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let service = Service::<Does, ()>::over(theirs).handshake_timeout(Duration::from_secs(600));
        let service = service.client_idle_timeout(Duration::from_secs(600));
        let (gates, steps): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::channel::<()>()).unzip();
        let steps = steps.into_iter().map(Mutex::new).collect::<Vec<_>>();
        let (tell, told) = mpsc::channel();
        let serving = thread::spawn(move || {
            let gate = |number: usize| steps[number].lock().unwrap().recv().unwrap();
            service.serve_with_context(move |does, context: Context<Vec<u8>>| match does {
                // So others get threads of their own.
                Does::TakesLong => thread::sleep(Duration::from_millis(10)),
                Does::SendsAnItem => {
                    tell.send(()).unwrap();
                    gate(0);
                    let _ = context.send(&vec![7; 4 << 20]);
                    tell.send(()).unwrap();
                    gate(2);
                }
                Does::Answers => {
                    tell.send(()).unwrap();
                    gate(1);
                }
            })
        });
        let mut client = ByHand::greet(ours);
        client.send(&call(0, &Does::TakesLong));
        client.recv();
        // Its caller waits for a second.
        client.send(&frame(&[1, 1, 0, 0xE8, 7], &Does::SendsAnItem));
        client.send(&call(2, &Does::Answers));
        (0..2).for_each(|_| told.recv().unwrap());
        gates[0].send(()).unwrap();
        let mut length = [0; 4];
        client.reader.read_exact(&mut length).unwrap();
        gates[1].send(()).unwrap();
        told.recv().unwrap();
        let rest = u32::from_be_bytes(length).try_into().unwrap();
        client.reader.read_exact(&mut vec![0; rest]).unwrap();
        assert!(matches!(client.recv(), Received::Answer { id: 2, .. }));
        gates[2].send(()).unwrap();
        drop(client);
        serving.join().unwrap().unwrap();
    });
}

/// A value, the code of which panics: what it is tells where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Touchy(pub(crate) u32);

pub(crate) const UNWRITABLE: Touchy = Touchy(1);
pub(crate) const UNREADABLE: Touchy = Touchy(2);
pub(crate) const UNSPEAKABLE: Touchy = Touchy(3);

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(*self, UNWRITABLE);
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Self(u32::deserialize(deserializer)?);
        assert_ne!(value, UNREADABLE);
        Ok(value)
    }
}

impl fmt::Display for Touchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert_ne!(*self, UNSPEAKABLE);
        self.0.fmt(f)
    }
}

#[test]
fn a_panic_of_any_code_of_the_user_ends_no_service() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<Touchy, Touchy>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve(|value| match value {
                UNSPEAKABLE => Err(value),
                Touchy(4) => Ok(UNWRITABLE),
                value => Ok(value),
            })
        });
        let client = Client::<u32, u32>::connect(&path).unwrap();
        let call = |value: Touchy| client.call(&value.0);
        // Each costs its own call alone.
        for panics in [UNSPEAKABLE, UNREADABLE, Touchy(4)] {
            let panicked = call(panics).unwrap_err();
            let about = (panicked.kind(), panicked.is_delivered());
            assert_eq!(about, (ErrorKind::HandlerPanicked, true), "{panics:?}");
        }
        assert_eq!(call(Touchy(0)).unwrap(), 0);
        token.cancel();
        let summary = serving.join().unwrap().unwrap();
        assert_eq!((summary.answered, summary.failed, summary.lost), (1, 3, 0));
    });
}

/// One caller reads for the others, and decodes its own answer alone.
#[test]
fn a_panic_of_one_caller_leaves_no_other_waiting() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let serving = thread::spawn(move || {
            let mut client = ByHand::greet(listener.accept().unwrap());
            let numbers = [(); 2].map(|()| client.recv().call::<u32>().0);
            client.send(&answer(numbers[1], &UNREADABLE.0));
            client.send(&answer(numbers[0], &9_u32));
            client.recv()
        });
        let client = Client::<u32, Touchy>::connect(path).unwrap();
        thread::scope(|scope| {
            let calls = [(); 2].map(|()| scope.spawn(|| client.call(&0)));
            let outcomes = calls.map(thread::ScopedJoinHandle::join);
            let panicked = outcomes.iter().filter(|outcome| outcome.is_err()).count();
            assert_eq!(panicked, 1);
            let [told] = outcomes.into_iter().flatten().collect::<Vec<_>>().try_into().unwrap();
            assert_eq!(told.unwrap(), Touchy(9));
        });
        drop(client);
        serving.join().unwrap();
    });
}

#[test]
fn what_comes_after_the_request_that_ends_a_service_is_not_taken() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve(|number: u32| {
                token.cancel();
                number
            })
        });
        let mut client = ByHand::greet(Connection::connect(&path).unwrap());
        client.send(&[0, 1, 2].map(|number| call(number, &7_u32)).concat());
        // The others may have begun beside it: then they are answered, in any order. What is not answered was not taken.
        let mut answered = Vec::new();
        loop {
            match client.recv() {
                Received::Goodbye => break,
                other => answered.push(other.answer::<u32>().0),
            }
        }
        assert!(answered.contains(&0), "{answered:?}");
        let count = u64::try_from(answered.len()).unwrap();
        assert_eq!(serving.join().unwrap().unwrap().answered, count);
    });
}

/// On Windows a name is there as long as a client is connected.
#[test]
fn a_service_that_ends_gives_up_its_name_before_its_last_answer() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("service");
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::bind(&name).unwrap().cancelled_by(&token);
        let (leave, left) = mpsc::channel();
        let left = Mutex::new(left);
        let serving = thread::spawn(move || {
            service.serve(|number| {
                token.cancel();
                left.lock().unwrap().recv().unwrap();
                number
            })
        });
        let client = Client::<u32, u32>::connect(&name).unwrap();
        thread::scope(|scope| {
            let call = scope.spawn(|| client.call(&5).unwrap());
            until(|| Connection::try_connect(&name).is_err());
            if cfg!(unix) {
                // Its lock goes right behind the name.
                until(|| Service::<u32, u32>::bind(&name).is_ok());
            }
            leave.send(()).unwrap();
            assert_eq!(call.join().unwrap(), 5);
        });
        serving.join().unwrap().unwrap();
    });
}

/// A service that reads no further answers all the same what it has read.
#[test]
fn a_call_that_cannot_be_sent_costs_no_other_its_answer() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let (go_on, told) = mpsc::channel();
        let (taken, wait) = mpsc::channel();
        let serving = thread::spawn(move || {
            let mut client = ByHand::greet(listener.accept().unwrap());
            let numbers = [(); 2].map(|()| client.recv().call::<Vec<u8>>().0);
            taken.send(()).unwrap();
            until(|| client.reader.unread().unwrap() > 0);
            let ByHand { reader, mut writer } = client;
            drop(reader);
            told.recv().unwrap();
            for number in numbers {
                writer.write_all(&answer(number, &7_u32)).unwrap();
            }
        });
        let client = Client::<Vec<u8>, u32>::connect(path).unwrap();
        thread::scope(|scope| {
            let calls = [(); 2].map(|()| scope.spawn(|| client.call(&vec![1]).unwrap()));
            wait.recv().unwrap();
            let large = scope.spawn(|| client.call(&vec![2; 4 << 20]).unwrap_err());
            // On Windows it does not notice before the whole connection is closed.
            if cfg!(unix) {
                until(|| large.is_finished());
            }
            go_on.send(()).unwrap();
            assert_eq!(calls.map(|call| call.join().unwrap()), [7, 7]);
            let unsent = large.join().unwrap();
            assert_eq!((unsent.kind(), unsent.is_delivered()), (ErrorKind::Disconnected, false));
        });
        serving.join().unwrap();
    });
}

/// It was not sent: that is known. And a service that is lost has not ended regularly.
#[test]
fn a_call_whose_turn_did_not_come_is_told_that_the_service_is_lost() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let (leave, left) = mpsc::channel();
        let serving = thread::spawn(move || {
            let _client = ByHand::greet(listener.accept().unwrap());
            left.recv().unwrap();
        });
        let client = Client::<Vec<u8>, u32>::connect(path).unwrap();
        thread::scope(|scope| {
            let waiters = Waiters::default();
            let call = || client.call(&vec![1; 4 << 20]);
            let calls = [call; 4].map(|call| scope.spawn(waiters.with(call)));
            waiters.asleep();
            leave.send(()).unwrap();
            for call in calls {
                let lost = call.join().unwrap().unwrap_err();
                assert_eq!((lost.kind(), lost.is_delivered()), (ErrorKind::Disconnected, false));
            }
        });
        serving.join().unwrap();
    });
}

/// The service sends an answer that its caller has given up, and a request is on its way against it.
#[test]
fn an_answer_that_nobody_waits_for_is_in_the_way_of_no_request() {
    const MUCH: usize = 4 << 20;
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let (taken, wait) = mpsc::channel();
        let serving = thread::spawn(move || {
            let mut client = ByHand::greet(listener.accept().unwrap());
            let late = client.recv().call::<Vec<u8>>().0;
            taken.send(()).unwrap();
            assert_eq!(client.recv(), Received::Cancel { id: late });
            let small = client.recv().call::<Vec<u8>>().0;
            taken.send(()).unwrap();
            until(|| client.reader.unread().unwrap() > 0);
            client.send(&answer(small, &[0_u8; 0].as_slice()));
            client.send(&answer(late, &vec![7_u8; MUCH]));
            let large = client.recv().call::<Vec<u8>>().0;
            client.send(&answer(large, &[0_u8; 0].as_slice()));
        });
        let client = Client::<Vec<u8>, Vec<u8>>::connect(path).unwrap();
        let given_up = client.start(&vec![1]).unwrap();
        wait.recv().unwrap();
        drop(given_up);
        thread::scope(|scope| {
            let small = scope.spawn(|| client.call(&vec![2]).unwrap());
            wait.recv().unwrap();
            let large = scope.spawn(|| client.call(&vec![3; MUCH]).unwrap());
            small.join().unwrap();
            large.join().unwrap();
        });
        serving.join().unwrap();
    });
}
