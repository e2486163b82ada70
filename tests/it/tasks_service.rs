//! Handshakes, services and clients under tokio.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_bytes::ByteBuf;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use typed_pipe::wire::{LengthPrefixed, Postcard};
use typed_pipe::{
    CancelToken, Client, ClientOptions, ConnectOptions, Connection, Error, ErrorKind, Handshake,
    Listener, ListenerOptions, PipePath, Service, ShutdownReason, Summary, Tokio, TypedConnection,
};

use crate::support::{Folder, settled, until_it_has_noticed, watched, watched_for};

fn in_runtime<T, F>(test: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    watched(|| runtime().block_on(test()))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

type Caller = Client<u64, u64, LengthPrefixed, Postcard, Tokio>;

async fn caller(path: &PipePath) -> Caller {
    ClientOptions::new().into_tokio().connect(path).await.unwrap()
}

/// Doubles what it is asked, fails for 13, and panics for 14.
fn serving(service: Service<u64, u64>) -> JoinHandle<Result<Summary, Error>> {
    let service = service.into_tokio().unwrap();
    tokio::spawn(service.serve(|number| async move {
        tokio::task::yield_now().await;
        match number {
            13 => Err("it is unlucky"),
            14 => panic!("out of luck"),
            _ => Ok(number * 2),
        }
    }))
}

fn service() -> (Service<u64, u64>, PipePath, CancelToken) {
    let token = CancelToken::new().unwrap();
    let service = Service::temporary().unwrap().cancelled_by(&token);
    let path = service.path().clone();
    (service, path, token)
}

#[test]
fn tasks_and_threads_agree() {
    in_runtime(|| async {
        let listener = Listener::temporary().unwrap().into_tokio().unwrap();
        let path = listener.path().clone();
        let client = thread::spawn(move || {
            let mut server = TypedConnection::<String, u64>::connect(path).unwrap();
            server.send(&"hello".into()).unwrap();
            let answer = server.recv().unwrap();
            let mut rest = server.finish().unwrap();
            assert_eq!(rest.recv().unwrap_err().kind(), ErrorKind::Finished);
            answer
        });
        let served = listener.accept().await.unwrap();
        let (mut sender, mut receiver) = served.into_typed::<u64, String>().await.unwrap().split();
        assert_eq!(receiver.recv().await.unwrap(), "hello");
        sender.send(&5).await.unwrap();
        assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Finished);
        sender.finish().await.unwrap();
        assert_eq!(client.join().unwrap(), 5);
    });
}

/// Both sides send ten MiB, each by a task that sends and another that receives.
#[test]
fn d18_both_send_much() {
    in_runtime(|| async {
        let (one, other) = Connection::pair().unwrap();
        let sides = [one, other].map(|connection| {
            tokio::spawn(async move {
                let connection = connection.into_tokio().unwrap();
                let (mut sender, mut receiver) =
                    connection.into_typed::<ByteBuf, ByteBuf>().await.unwrap().split();
                let sending = tokio::spawn(async move {
                    for _ in 0..10 {
                        sender.send(&ByteBuf::from(vec![7; 1 << 20])).await.unwrap();
                    }
                    sender.finish().await.unwrap();
                });
                for _ in 0..10 {
                    assert_eq!(receiver.recv().await.unwrap().len(), 1 << 20);
                }
                assert!(receiver.recv().await.unwrap_err().is_end());
                sending.await.unwrap();
            })
        });
        for side in sides {
            side.await.unwrap();
        }
    });
}

#[test]
fn d7_what_differs_is_told_to_both() {
    in_runtime(|| async {
        let (one, other) = Connection::pair().unwrap();
        let blocking = thread::spawn(move || {
            Handshake::new().sending("event/1").perform::<u32, u32>(one).unwrap_err()
        });
        let handshake = Handshake::new().receiving("event/2").into_tokio();
        let made = handshake.perform::<u32, u32>(other.into_tokio().unwrap());
        for error in [made.await.unwrap_err(), blocking.join().unwrap()] {
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            assert!(error.to_string().contains("event/1"), "{error}");
        }
        // One that says nothing is waited for as long as was said, and one that has left is not.
        let (one, silent) = Connection::pair().unwrap();
        let handshake = Handshake::new().timeout(Duration::from_millis(30)).into_tokio();
        let made = handshake.perform::<u32, u32>(one.into_tokio().unwrap());
        assert_eq!(made.await.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(silent);
        let (one, gone) = Connection::pair().unwrap();
        drop(gone);
        let made = one.into_tokio().unwrap().into_typed::<u32, u32>();
        assert_eq!(made.await.unwrap_err().kind(), ErrorKind::Disconnected);
    });
}

#[test]
fn threads_call_a_service_of_tasks() {
    in_runtime(|| async {
        let (service, path, token) = service();
        let serving = serving(service);
        let calling = thread::spawn(move || {
            let client = Client::<u64, u64>::connect(&path).unwrap();
            assert_eq!(client.call(&21).unwrap(), 42);
            let failed = client.call(&13).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::HandlerFailed);
            assert!(failed.to_string().contains("it is unlucky"), "{failed}");
            let panicked = client.call(&14).unwrap_err();
            assert_eq!(panicked.kind(), ErrorKind::HandlerPanicked);
            assert!(panicked.to_string().contains("out of luck"), "{panicked}");
            client.notify(&1).unwrap();
            client.call(&1).unwrap(); // handled after it
            token.cancel();
        });
        let summary = serving.await.unwrap().unwrap();
        calling.join().unwrap();
        assert_eq!((summary.answered, summary.failed, summary.lost), (3, 2, 0));
        assert_eq!((summary.clients, summary.reason), (1, ShutdownReason::Cancelled));
    });
}

#[test]
fn tasks_call_a_service_of_threads() {
    in_runtime(|| async {
        let (service, path, token) = service();
        let serving = thread::spawn(move || service.serve(|number| number * 2));
        let client = caller(&path).await;
        let (one, other) = tokio::join!(client.call(&1), client.call(&2));
        assert_eq!((one.unwrap(), other.unwrap()), (2, 4));
        client.notify(&3).await.unwrap();
        client.call(&4).await.unwrap(); // handled after it
        token.cancel();
        assert_eq!(serving.join().unwrap().unwrap().answered, 4);
        until_it_has_noticed(&client, &4).await;
    });
}

/// Many calls are in flight on one connection, and each gets its own answer.
#[test]
fn each_task_gets_its_own_answer() {
    watched(|| {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (service, path, token) = service();
            let serving = serving(service);
            let client = Arc::new(caller(&path).await);
            let mut calls = JoinSet::new();
            for task in 0..50 {
                let client = Arc::clone(&client);
                calls.spawn(async move {
                    for i in 0..40 {
                        let number = 1000 + task * 100 + i;
                        assert_eq!(client.call(&number).await.unwrap(), number * 2);
                    }
                });
            }
            while let Some(done) = calls.join_next().await {
                done.unwrap();
            }
            token.cancel();
            let summary = serving.await.unwrap().unwrap();
            assert_eq!((summary.clients, summary.answered), (1, 2000));
        });
    });
}

/// Calls that are dropped at any time lose no answer of another one, and mix up none.
#[test]
fn d19_calls_are_dropped() {
    watched_for(Duration::from_secs(120), || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (service, path, token) = service();
            let serving = serving(service);
            let client = Arc::new(caller(&path).await);
            let dropped = Arc::new(AtomicU64::new(0));
            let mut calls = JoinSet::new();
            for task in 0..8 {
                let (client, dropped) = (Arc::clone(&client), Arc::clone(&dropped));
                calls.spawn(async move {
                    for i in 0..500_u64 {
                        let number = 1_000_000 + task * 1000 + i;
                        let call = client.call(&number);
                        if task % 2 == 0 {
                            assert_eq!(call.await.unwrap(), number * 2);
                        } else {
                            let time = Duration::from_micros(number * 7919 % 300);
                            match timeout(time, call).await {
                                Ok(answer) => assert_eq!(answer.unwrap(), number * 2),
                                Err(_) => {
                                    dropped.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                        }
                    }
                });
            }
            while let Some(done) = calls.join_next().await {
                done.unwrap();
            }
            assert!(dropped.load(Ordering::Relaxed) > 0);
            assert_eq!(client.call(&4).await.unwrap(), 8);
            token.cancel();
            serving.await.unwrap().unwrap();
        });
    });
}

/// Requests and answers that are larger than a pipe, of a call beside one that was dropped.
#[test]
fn d18_large_calls_do_not_hold_each_other_up() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let service = Service::<ByteBuf, ByteBuf>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let service = service.into_tokio().unwrap();
        let serving = tokio::spawn(service.serve(|bytes: ByteBuf| async move { bytes }));
        let client = ClientOptions::new().into_tokio();
        let client = client.connect::<ByteBuf, ByteBuf>(&path).await.unwrap();
        for size in [1 << 20, 3 << 20] {
            let first = ByteBuf::from(vec![1; size]);
            assert!(crate::tasks::poll_some(client.call(&first), 1).await.is_none());
            // The answer of the call that was dropped comes while this one is sent.
            let second = ByteBuf::from(vec![2; 2 << 20]);
            assert_eq!(client.call(&second).await.unwrap(), second);
        }
        token.cancel();
        assert_eq!(serving.await.unwrap().unwrap().lost, 0);
    });
}

#[test]
fn a_call_has_its_deadline() {
    in_runtime(|| async {
        let (service, path, token) = service();
        let service = service.into_tokio().unwrap();
        let [begun, leave] = [(); 2].map(|()| Arc::new(Notify::new()));
        let steps = [&begun, &leave].map(Arc::clone);
        let serving = tokio::spawn(service.serve(move |number: u64| {
            let [begin, left] = steps.clone();
            async move {
                if number == 200 {
                    begin.notify_one();
                    left.notified().await;
                }
                number
            }
        }));
        let client = caller(&path).await;
        let waiting = client.start(&200_u64).await.unwrap();
        begun.notified().await;
        let late = waiting.wait_timeout(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(late.is_delivered());
        leave.notify_one();
        assert_eq!(client.call(&1).await.unwrap(), 1);
        token.cancel();
        assert_eq!(serving.await.unwrap().unwrap().answered, 2);
    });
}

/// What was taken is answered after the stop, and what was not is told to be never handled.
#[test]
fn a_cancel_token_lets_what_was_taken_be_answered() {
    in_runtime(|| async {
        let (service, path, token) = service();
        let service = service.into_tokio().unwrap();
        let of_handler = token.clone();
        let serving = tokio::spawn(service.serve(move |number| {
            let token = of_handler.clone();
            async move {
                token.cancel();
                settled().await; // the other call has been sent
                number
            }
        }));
        let client = caller(&path).await;
        let later = async {
            while !token.is_cancelled() {
                tokio::task::yield_now().await;
            }
            client.call(&2).await
        };
        let (one, other) = tokio::join!(client.call(&1), later);
        assert_eq!(one.unwrap(), 1);
        let error = other.unwrap_err();
        assert!(!error.is_delivered(), "{error}");
        let summary = serving.await.unwrap().unwrap();
        assert_eq!((summary.answered, summary.reason), (1, ShutdownReason::Cancelled));
    });
}

#[test]
fn a_service_of_tasks_has_its_limits() {
    in_runtime(|| async {
        let service = Service::temporary().unwrap().shutdown_after(3);
        let path = service.path().clone();
        let limited = serving(service);
        let client = caller(&path).await;
        for number in 0..3 {
            client.call(&number).await.unwrap();
        }
        assert_eq!(limited.await.unwrap().unwrap().reason, ShutdownReason::RequestLimit);

        let service = Service::temporary().unwrap().idle_timeout(Duration::from_secs(2));
        let path = service.path().clone();
        let idle = serving(service);
        let client = caller(&path).await;
        client.call(&1).await.unwrap();
        let summary = idle.await.unwrap().unwrap();
        assert_eq!((summary.answered, summary.reason), (1, ShutdownReason::Idle));
    });
}

/// One that is silent gives its seat to another one, and gets a new one when it calls again.
#[test]
fn a_client_that_is_silent_is_let_go_by_its_task() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let listener = ListenerOptions::new().max_clients(1).temporary().unwrap();
        let service = Service::new(listener).cancelled_by(&token);
        let service = service.client_idle_timeout(Duration::from_millis(50));
        let path = service.path().clone();
        let serving = serving(service);
        let options = || ClientOptions::new().max_attempts(20).into_tokio();
        let first: Caller = options().connect(&path).await.unwrap();
        assert_eq!(first.call(&1).await.unwrap(), 2);
        let second: Caller = options().connect(&path).await.unwrap();
        assert_eq!(second.call(&2).await.unwrap(), 4);
        assert_eq!(first.call(&3).await.unwrap(), 6);
        token.cancel();
        assert_eq!(serving.await.unwrap().unwrap().lost, 0);
    });
}

/// One that says nothing, one that sends garbage and one that leaves cost the others nothing.
#[test]
fn one_bad_client_costs_only_itself() {
    in_runtime(|| async {
        let (service, path, token) = service();
        let serving = serving(service.handshake_timeout(Duration::from_secs(3)));
        let silent = ConnectOptions::new().into_tokio().connect(&path).await.unwrap();
        let garbage = ConnectOptions::new().into_tokio().connect(&path).await.unwrap();
        let (_, mut writer) = garbage.split();
        writer.write(&[0; 100]).await.unwrap();
        drop(Connection::connect(&path).unwrap());
        let client = caller(&path).await;
        assert_eq!(client.call(&2).await.unwrap(), 4);
        // One that is given up reads the end.
        let (mut rest, _writer) = silent.split();
        while rest.read(&mut [0; 256]).await.is_ok_and(|bytes| bytes > 0) {}
        assert_eq!(client.call(&3).await.unwrap(), 6);
        token.cancel();
        let summary = serving.await.unwrap().unwrap();
        assert_eq!((summary.clients, summary.lost), (4, 3));
    });
}

/// A client goes on with the next service at the same name.
#[test]
fn a_client_of_tasks_connects_anew() {
    in_runtime(|| async {
        let folder = Folder::new();
        let name = folder.name("service");
        let begin = || Service::bind(&name).unwrap().shutdown_after(1);
        let first = serving(begin());
        let options = ClientOptions::new().max_attempts(50).into_tokio();
        let client = options.connect::<u64, u64>(&name).await.unwrap();
        assert_eq!(client.call(&1).await.unwrap(), 2);
        first.await.unwrap().unwrap();
        let later = async {
            settled().await; // the call has found nobody
            serving(begin()).await.unwrap().unwrap()
        };
        let (answer, _) = tokio::join!(client.call(&2), later);
        assert_eq!(answer.unwrap(), 4);
    });
}

/// A service whose future is dropped ends with all its tasks.
#[test]
fn d22_a_service_that_is_dropped_is_gone() {
    in_runtime(|| async {
        let (service, path, _stop) = service();
        let serving = serving(service);
        let client = caller(&path).await;
        assert_eq!(client.call(&1).await.unwrap(), 2);
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        let error = client.call_timeout(&2, Duration::from_millis(10)).await.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Disconnected | ErrorKind::NotFound | ErrorKind::TimedOut
            ),
            "{error}"
        );
    });
}

#[test]
fn futures_of_calls_can_be_sent() {
    fn sendable<T: Send>(_: &T) {}
    in_runtime(|| async {
        let (service, path, token) = service();
        let serving = serving(service);
        let client = caller(&path).await;
        let call = client.call(&1);
        sendable(&call);
        call.await.unwrap();
        token.cancel();
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn the_token_of_a_listener_ends_its_service() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let listener = ListenerOptions::new().cancelled_by(&token).temporary().unwrap();
        let service = Service::<u64, u64>::new(listener);
        let path = service.path().clone();
        let serving = serving(service);
        assert_eq!(caller(&path).await.call(&1).await.unwrap(), 2);
        token.cancel();
        assert_eq!(serving.await.unwrap().unwrap().reason, ShutdownReason::Cancelled);
    });
}
