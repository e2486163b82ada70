//! Calls under tokio whose futures are alive, and which nobody polls: they are in nobody's way.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;
use typed_pipe::wire::{LengthPrefixed, Postcard};
use typed_pipe::{
    Client, ClientOptions, ErrorKind, Listener, ListenerOptions, PipePath, Receivable, Sendable,
    Service, Tokio,
};

use crate::by_hand::tasks::ByHand;
use crate::by_hand::{Received, answer};
use crate::support::{Folder, until_it_has_noticed, watched};

type Caller<Req, Resp> = Client<Req, Resp, LengthPrefixed, Postcard, Tokio>;

/// More than a pipe holds.
const MUCH: usize = 4 << 20;

fn in_runtime<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    watched(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(test()));
}

/// Polls a future once: it is not done by that, and stays as it is.
async fn begin<F: Future>(mut future: Pin<&mut F>) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// A client, and a service that does what a test says.
async fn with_service<Req, Resp, S>(
    serve: impl FnOnce(ByHand) -> S + Send + 'static,
) -> (Arc<Caller<Req, Resp>>, JoinHandle<()>)
where
    Req: Sendable + Receivable + Send + 'static,
    Resp: Sendable + Receivable + Send + 'static,
    S: Future<Output = ()> + Send,
{
    let listener = Listener::temporary().unwrap().into_tokio().unwrap();
    let path = listener.path().clone();
    let serving = tokio::spawn(async move {
        serve(ByHand::greet(listener.accept().await.unwrap()).await).await;
    });
    (Arc::new(ClientOptions::new().into_tokio().connect(path).await.unwrap()), serving)
}

/// The answer to a request: twice as much.
fn double((number, request): (u64, u32)) -> Vec<u8> {
    answer(number, &(request * 2))
}

/// Answers a request with its first byte.
async fn answer_first(client: &mut ByHand) {
    let (number, request) = client.recv().await.call::<Vec<u8>>();
    client.send(&answer(number, &request[0])).await;
}

#[test]
fn a_call_beside_another_in_one_task_gets_its_answer() {
    in_runtime(|| async {
        let (client, serving) = with_service::<u32, u32, _>(|mut client| async move {
            let first = client.recv().await.call();
            let second = client.recv().await.call();
            client.send(&double(second)).await;
            client.send(&double(first)).await;
        })
        .await;
        let mut slow = pin!(client.call(&1));
        tokio::select! {
            biased;
            _ = &mut slow => unreachable!("the second is answered first"),
            () = async {} => assert_eq!(client.call(&2).await.unwrap(), 4),
        }
        assert_eq!(slow.await.unwrap(), 2);
        serving.await.unwrap();
    });
}

/// The call that would be the next to read is not polled either.
#[test]
fn calls_that_nobody_polls_hold_up_no_other_task() {
    in_runtime(|| async {
        let (client, serving) = with_service::<u32, u32, _>(|mut client| async move {
            let mut requests = Vec::new();
            for _ in 0..4 {
                requests.push(client.recv().await);
            }
            while let Some(request) = requests.pop() {
                if let Received::Call { .. } = request {
                    client.send(&double(request.call())).await;
                }
            }
        })
        .await;
        let client = &client;
        let mut dropped = Box::pin(client.call(&1));
        let (mut second, mut third) = (pin!(client.call(&2)), pin!(client.call(&3)));
        begin(dropped.as_mut()).await;
        begin(second.as_mut()).await;
        begin(third.as_mut()).await;
        let shared = Arc::clone(client);
        let other = tokio::spawn(async move { shared.call(&4).await.unwrap() });
        yield_now().await;
        drop(dropped);
        assert_eq!(other.await.unwrap(), 8);
        assert_eq!((third.await.unwrap(), second.await.unwrap()), (6, 4));
        serving.await.unwrap();
    });
}

#[test]
fn a_request_half_sent_is_sent_on_by_others() {
    in_runtime(|| async {
        let (client, serving) = with_service::<Vec<u8>, u8, _>(|mut client| async move {
            for _ in 0..3 {
                answer_first(&mut client).await;
            }
        })
        .await;
        let large = vec![7; MUCH];
        let mut large = pin!(client.call(&large));
        begin(large.as_mut()).await;
        let shared = Arc::clone(&client);
        let other = tokio::spawn(async move { shared.call(&vec![1]).await.unwrap() });
        assert_eq!(client.call(&vec![2]).await.unwrap(), 2);
        assert_eq!(other.await.unwrap(), 1);
        assert_eq!(large.await.unwrap(), 7);
        serving.await.unwrap();
    });
}

/// What is left of a request goes first, though nobody waits for its answer; one of which nothing has left never goes.
#[test]
fn a_dropped_call_takes_back_what_was_not_begun_to_be_sent() {
    in_runtime(|| async {
        let (client, serving) = with_service::<Vec<u8>, u8, _>(|mut client| async move {
            let (large, request) = client.recv().await.call::<Vec<u8>>();
            assert_eq!(request.len(), MUCH);
            assert_eq!(client.recv().await, Received::Cancel { id: large });
            answer_first(&mut client).await;
        })
        .await;
        let large = vec![7; MUCH];
        for request in [&large, &vec![8; 10]] {
            let mut dropped = Box::pin(client.call(request));
            begin(dropped.as_mut()).await;
        }
        assert_eq!(client.call(&vec![9]).await.unwrap(), 9);
        serving.await.unwrap();
    });
}

#[test]
fn a_late_call_tells_whether_a_part_of_it_is_sent() {
    in_runtime(|| async {
        let (read, to_read) = oneshot::channel();
        let serve = |mut client: ByHand| async move {
            to_read.await.unwrap();
            answer_first(&mut client).await;
            assert!(matches!(client.recv().await, Received::Cancel { .. }));
            answer_first(&mut client).await;
        };
        let (client, serving) = with_service::<Vec<u8>, u8, _>(serve).await;
        let time = Duration::from_millis(10);
        let large = vec![7; MUCH];
        for delivered in [true, false] {
            let late = client.call_timeout(&large, time).await.unwrap_err();
            assert_eq!((late.kind(), late.is_delivered()), (ErrorKind::TimedOut, delivered));
        }
        let call = pin!(client.call(&large));
        read.send(()).unwrap();
        assert_eq!(call.await.unwrap(), 7);
        serving.await.unwrap();
    });
}

/// A client whose service is gone, and the path of that.
async fn bereft(name: &Path) -> Caller<u32, u32> {
    let serving = serve(name, 1);
    let path = PipePath::new(name).unwrap();
    let client: Caller<u32, u32> = ClientOptions::new().into_tokio().connect(path).await.unwrap();
    client.call(&0).await.unwrap();
    serving.await.unwrap();
    until_it_has_noticed(&client, &0).await;
    client
}

/// Lets one client in at a time: nobody may take a place that is of no use to others.
fn serve(name: &Path, requests: u64) -> JoinHandle<()> {
    let listener = ListenerOptions::new().max_clients(1).bind(name).unwrap();
    let service = Service::<u32, u32>::new(listener).shutdown_after(requests).into_tokio().unwrap();
    tokio::spawn(async move {
        service.serve(|number| async move { number * 2 }).await.unwrap();
    })
}

/// The call that began it is not polled any more, from the beginning on or when it is made.
#[test]
fn others_go_on_with_a_connection_that_was_begun() {
    in_runtime(|| async {
        let folder = Folder::new();
        for (name, polls) in [("begun", 0), ("made", 3_000)] {
            let name = folder.name(name);
            let client = bereft(&name).await;
            let mut first = pin!(client.call(&1));
            begin(first.as_mut()).await;
            let serving = serve(&name, 2);
            for _ in 0..polls {
                yield_now().await; // until it is made, which nothing tells
            }
            assert_eq!(client.call(&2).await.unwrap(), 4);
            assert_eq!(first.await.unwrap(), 2);
            serving.await.unwrap();
        }
    });
}

/// It was lost before any call has taken it. On other systems, that is noticed some time later.
#[cfg(unix)]
#[test]
fn others_connect_anew_where_a_connection_that_is_made_is_lost() {
    in_runtime(|| async {
        let folder = Folder::new();
        let name = folder.name("service");
        let client = bereft(&name).await;
        let mut first = pin!(client.call(&1));
        begin(first.as_mut()).await;
        let listener = Listener::bind(&name).unwrap().into_tokio().unwrap();
        drop(ByHand::greet(listener.accept().await.unwrap()).await);
        drop(listener);
        for _ in 0..3_000 {
            yield_now().await; // until it is lost, which nothing tells
        }
        let serving = serve(&name, 3);
        assert_eq!(client.call(&2).await.unwrap(), 4);
        // The call that began it goes on with the new one as well, and leaves it to others.
        assert_eq!(first.await.unwrap(), 2);
        assert_eq!(client.call(&3).await.unwrap(), 6);
        serving.await.unwrap();
    });
}

/// A thread may still wait there for what another one has ended.
#[test]
fn a_call_in_a_runtime_that_has_ended_is_an_error() {
    watched(|| {
        let folder = Folder::new();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(bereft(&folder.name("service")));
        let ended = runtime.handle().clone();
        drop(runtime);
        let error = ended.block_on(client.call(&1)).unwrap_err();
        assert!(error.to_string().contains("no tokio runtime runs"), "{error}");
    });
}

#[test]
fn a_connection_that_was_begun_goes_with_its_call_alone() {
    in_runtime(|| async {
        let folder = Folder::new();
        let name = folder.name("service");
        let client = bereft(&name).await;
        let mut dropped = Box::pin(client.call(&1));
        let mut waiting = pin!(client.call(&2));
        begin(dropped.as_mut()).await;
        begin(waiting.as_mut()).await;
        drop(dropped);
        let serving = serve(&name, 1);
        assert_eq!(waiting.await.unwrap(), 4);
        serving.await.unwrap();
    });
}

/// It tells so when it is asked, and others have begun anew meanwhile.
#[test]
fn a_connection_whose_time_is_over_is_its_own_calls_error() {
    in_runtime(|| async {
        let folder = Folder::new();
        let name = folder.name("service");
        let client = bereft(&name).await;
        let time = Duration::from_millis(10);
        let mut first = pin!(client.call_timeout(&1, time));
        begin(first.as_mut()).await;
        let mut second = pin!(client.call(&2));
        begin(second.as_mut()).await;
        tokio::select! {
            _ = &mut second => unreachable!("there is no service"),
            () = sleep(time * 3) => {} // that of the first call is over
        }
        let serving = serve(&name, 2);
        assert_eq!(second.await.unwrap(), 4);
        // It is not sent, though it could be by now.
        let late = first.await.unwrap_err();
        assert_eq!((late.kind(), late.is_delivered()), (ErrorKind::TimedOut, false));
        assert_eq!(client.call(&3).await.unwrap(), 6);
        serving.await.unwrap();
    });
}

/// A waker may be the last that keeps its task: to wake it drops the task, with a call of the same client.
#[test]
fn to_wake_a_task_that_is_gone_may_drop_its_call() {
    struct Task {
        future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
        /// To where it goes when it is woken: its executor.
        queue: SyncSender<Arc<Self>>,
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            let queue = self.queue.clone();
            // Where there is no executor any more, this is the end of the task.
            let _ = queue.send(self);
        }
    }

    in_runtime(|| async {
        let (client, serving) = with_service::<Vec<u8>, u64, _>(|client| async {
            let _client = client; // which stays open
            std::future::pending().await
        })
        .await;
        let sending = Arc::clone(&client);
        let much = vec![1; MUCH];
        let mut half_sent = Box::pin(async move { sending.call(&much).await });
        begin(half_sent.as_mut()).await;

        let (queue, executor) = sync_channel(1);
        let waiting = Arc::clone(&client);
        let future = Box::pin(async move { drop(waiting.call(&vec![2]).await) });
        let task = Arc::new(Task { future: Mutex::new(Some(future)), queue });
        let waker = Waker::from(Arc::clone(&task));
        let polled = task
            .future
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .as_mut()
            .poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending(), "it has no answer");
        drop((waker, task, executor));
        drop(half_sent); // gives the turn to the next one, which is gone
        serving.abort();
    });
}
