//! Calls of which something goes wrong: at the client, at the service, or between them.

use std::fmt;
use std::io::Write;
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use typed_pipe::wire::{Encoder, Wire};
use typed_pipe::{
    CancelToken, Client, ClientOptions, ConnectOptions, Connection, ErrorKind, Listener, PipePath,
    Service, ShutdownReason, TypedConnection,
};

use crate::support::{Folder, Waiters, until, watched};

/// What goes over a connection to a service, for sides that do what no `Client` and no `Service` does.
pub(crate) type Request<T> = (u64, u8, T);
pub(crate) type Answer<T> = (u64, u8, Option<T>, String);

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
        let mut client = TypedConnection::<Request<u32>, Answer<u32>>::connect(&path).unwrap();
        client.send(&(0, 0, 7)).unwrap();
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
        let patience = Duration::from_millis(300);
        let token = CancelToken::new().unwrap();
        let service = Service::<(), Vec<u8>>::temporary().unwrap().cancelled_by(&token);
        let service = service.handshake_timeout(patience);
        let path = service.path().clone();
        let (begun, handled) = mpsc::channel();
        let begun = Mutex::new(begun);
        let serving = thread::spawn(move || {
            service.serve(|()| {
                begun.lock().unwrap().send(()).unwrap();
                vec![7; 1000]
            })
        });
        let mut client = TypedConnection::<Request<()>, Answer<Vec<u8>>>::connect(&path).unwrap();
        client.sender().send_all((0..1000).map(|number| (number, 0, ()))).unwrap();
        // Until there is no room for the next answer, and no patience any more: then the service hangs up.
        until(|| {
            client.sender().try_send(&(1000, 0, ())).is_err_and(|error| error.is_disconnected())
        });
        let requests = handled.try_iter().count();
        let answers = client.by_ref().map_while(Result::ok).count();
        let end = client.recv().unwrap_err();
        assert!(answers < requests && requests < 1000, "{answers} of {requests}");
        assert_eq!(end.kind(), ErrorKind::Disconnected);
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
            if self.0 != 0 {
                CLIENT.get().unwrap().notify(&0).unwrap();
            }
        }
    }

    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u64, u64>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let (leave, left) = mpsc::channel();
        let left = Mutex::new(left);
        let serving = thread::spawn(move || {
            service.serve(|lease| {
                if lease != 0 {
                    left.lock().unwrap().recv().unwrap();
                }
                lease
            })
        });
        let client = CLIENT.get_or_init(|| Client::connect(path).unwrap());
        let late = client.call_timeout(&300, Duration::from_millis(50)).err().unwrap();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        leave.send(()).unwrap();
        // Its answer comes to this one, for which there is no use.
        assert_eq!(client.call(&0).unwrap().0, 0);
        token.cancel();
        assert_eq!(serving.join().unwrap().unwrap().answered, 3);
    });
}

/// A request that takes its time to come in is no silence.
#[test]
fn a_client_that_is_sending_is_not_silent() {
    let slow = |path: PipePath| {
        let client = TypedConnection::<Request<Vec<u8>>, Answer<u64>>::connect(path).unwrap();
        let (sender, mut receiver) = client.split();
        let mut encoder = Encoder::new(Wire::default());
        encoder.stage(&(0_u64, 0_u8, vec![7_u8; 1000])).unwrap();
        let mut half = sender.into_inner();
        for piece in encoder.pending().chunks(100) {
            half.write_all(piece).unwrap();
            // The time is what is tested: each piece comes in time, and all of it would not.
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(receiver.recv().unwrap().2, Some(1000));
    };
    let service = || {
        let service = Service::<Vec<u8>, u64>::temporary().unwrap();
        service.client_idle_timeout(Duration::from_millis(600)).shutdown_after(1)
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
        let call = |value: Touchy| Client::<u32, u32>::connect(&path).unwrap().call(&value.0);
        assert_eq!(call(UNSPEAKABLE).unwrap_err().kind(), ErrorKind::HandlerPanicked);
        for lost in [UNREADABLE, Touchy(4)] {
            let lost = call(lost).unwrap_err();
            assert_eq!((lost.kind(), lost.is_delivered()), (ErrorKind::Disconnected, true));
        }
        assert_eq!(call(Touchy(0)).unwrap(), 0);
        token.cancel();
        let summary = serving.join().unwrap().unwrap();
        assert_eq!((summary.answered, summary.failed, summary.lost), (1, 1, 2));
    });
}

/// One caller reads for the others. When it panics with the answer of another, that one is told.
#[test]
fn a_panic_of_one_caller_leaves_no_other_waiting() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let serving = thread::spawn(move || {
            let client = listener.accept().unwrap();
            let mut client = client.into_typed::<Answer<u32>, Request<u32>>().unwrap();
            let numbers = [client.recv().unwrap().0, client.recv().unwrap().0];
            client.send(&(numbers[1], 0, Some(UNREADABLE.0), String::new())).unwrap();
            let _ = client.recv();
        });
        let client = Client::<u32, Touchy>::connect(path).unwrap();
        thread::scope(|scope| {
            let calls = [(); 2].map(|()| scope.spawn(|| client.call(&0)));
            let outcomes = calls.map(thread::ScopedJoinHandle::join);
            let panicked = outcomes.iter().filter(|outcome| outcome.is_err()).count();
            assert_eq!(panicked, 1);
            let [told] = outcomes.into_iter().flatten().collect::<Vec<_>>().try_into().unwrap();
            assert_eq!(told.unwrap_err().kind(), ErrorKind::Corrupt);
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
            service.serve(|number| {
                token.cancel();
                number
            })
        });
        let mut client = TypedConnection::<Request<u32>, Answer<u32>>::connect(&path).unwrap();
        client.sender().send_all((0..3).map(|number| (number, 0, 7))).unwrap();
        assert_eq!(client.recv().unwrap().0, 0);
        assert_eq!(client.recv().unwrap_err().kind(), ErrorKind::Finished);
        assert_eq!(serving.join().unwrap().unwrap().answered, 1);
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
                drop(Service::<u32, u32>::bind(&name).unwrap());
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
        let (answer, told) = mpsc::channel();
        let (taken, wait) = mpsc::channel();
        let serving = thread::spawn(move || {
            let client = listener.accept().unwrap().into_typed::<Answer<u32>, Request<Vec<u8>>>();
            let (mut sender, mut receiver) = client.unwrap().split();
            let numbers = [receiver.recv().unwrap().0, receiver.recv().unwrap().0];
            taken.send(()).unwrap();
            until(|| receiver.get_ref().unread().unwrap() > 0);
            drop(receiver);
            told.recv().unwrap();
            for number in numbers {
                sender.send(&(number, 0, Some(7), String::new())).unwrap();
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
            answer.send(()).unwrap();
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
            let client = listener.accept().unwrap();
            let _client = client.into_typed::<Answer<u32>, Request<Vec<u8>>>().unwrap();
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
            let client = listener.accept().unwrap();
            let client = client.into_typed::<Answer<Vec<u8>>, Request<Vec<u8>>>().unwrap();
            let (mut sender, mut receiver) = client.split();
            let numbers = [receiver.recv().unwrap().0, receiver.recv().unwrap().0];
            taken.send(()).unwrap();
            until(|| receiver.get_ref().unread().unwrap() > 0);
            sender.send(&(numbers[1], 0, Some(vec![]), String::new())).unwrap();
            sender.send(&(numbers[0], 0, Some(vec![7; MUCH]), String::new())).unwrap();
            let large = receiver.recv().unwrap().0;
            sender.send(&(large, 0, Some(vec![]), String::new())).unwrap();
        });
        let client = Client::<Vec<u8>, Vec<u8>>::connect(path).unwrap();
        client.call_timeout(&vec![1], Duration::from_millis(10)).unwrap_err();
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
