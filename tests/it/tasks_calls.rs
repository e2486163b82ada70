//! Calls under tokio of which something goes wrong: at the client, at the service, or between them.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{Barrier, mpsc, oneshot};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;
use typed_pipe::wire::{LengthPrefixed, Postcard};
use typed_pipe::{
    CancelToken, Client, ClientOptions, ConnectOptions, Connection, Described, Error, ErrorKind,
    Listener, ListenerOptions, PipePath, Receivable, Service, ShutdownReason, Tokio,
};

use crate::by_hand::tasks::ByHand;
use crate::by_hand::{Received, answer, call};
use crate::calls::{Touchy, UNREADABLE, UNSPEAKABLE, UNWRITABLE};
use crate::support::{Folder, settled, until_it_has_noticed, watched};

type Caller<Req, Resp> = Client<Req, Resp, LengthPrefixed, Postcard, Tokio>;

fn in_runtime<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    watched(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(test()));
}

async fn caller<Req: Described, Resp: Receivable>(path: &PipePath) -> Arc<Caller<Req, Resp>> {
    Arc::new(ClientOptions::new().into_tokio().connect(path).await.unwrap())
}

fn calling<Req, Resp>(
    client: &Arc<Caller<Req, Resp>>,
    request: Req,
) -> JoinHandle<Result<Resp, Error>>
where
    Req: Described + Send + Sync + 'static,
    Resp: Receivable + Send + 'static,
{
    let client = Arc::clone(client);
    tokio::spawn(async move { client.call(&request).await })
}

/// A client whose service has ended.
async fn bereft(options: ClientOptions) -> Arc<Caller<u32, u32>> {
    let service = Service::<u32, u32>::temporary().unwrap().shutdown_after(1);
    let path = service.path().clone();
    let serving = tokio::spawn(service.into_tokio().unwrap().serve(|number| async move { number }));
    let client = options.into_tokio().connect(path).await.unwrap();
    client.call(&1).await.unwrap();
    assert_eq!(serving.await.unwrap().unwrap().reason, ShutdownReason::RequestLimit);
    Arc::new(client)
}

#[test]
fn a_deadline_holds_while_another_task_connects() {
    in_runtime(|| async {
        let mine = CancelToken::new().unwrap();
        let options = ClientOptions::new().connecting(ConnectOptions::new().cancelled_by(&mine));
        let client = bereft(options).await;
        until_it_has_noticed(&client, &2).await;
        let waiting = calling(&client, 3);
        for number in 0..20 {
            let late = client.call_timeout(&number, Duration::from_millis(20)).await.unwrap_err();
            assert_eq!((late.kind(), late.is_delivered()), (ErrorKind::TimedOut, false));
        }
        assert!(!waiting.is_finished());
        mine.cancel();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

/// Where there is one place, a second connection of the same client would wait for the first to go.
#[test]
fn tasks_that_connect_anew_share_one_connection() {
    in_runtime(|| async {
        let folder = Folder::new();
        let name = folder.name("service");
        let one_client = || {
            let listener = ListenerOptions::new().max_clients(1).bind(&name).unwrap();
            Service::<u32, u32>::new(listener)
        };
        let service = one_client().shutdown_after(1).into_tokio().unwrap();
        let path = service.path().clone();
        let serving = tokio::spawn(service.serve(|number| async move { number }));
        let client = caller::<u32, u32>(&path).await;
        client.call(&1).await.unwrap();
        serving.await.unwrap().unwrap();
        until_it_has_noticed(&client, &2).await;
        let calls = [(); 8].map(|()| calling(&client, 7));
        yield_now().await;
        let service = one_client().shutdown_after(8).into_tokio().unwrap();
        let serving = tokio::spawn(service.serve(|number| async move { number }));
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), 7);
        }
        assert_eq!(serving.await.unwrap().unwrap().clients, 1);
    });
}

#[test]
fn a_cancel_token_ends_a_pause_between_the_attempts_of_a_task() {
    in_runtime(|| async {
        let mine = CancelToken::new().unwrap();
        let options = ClientOptions::new()
            .connecting(ConnectOptions::new().cancelled_by(&mine))
            .max_attempts(3)
            .reply_timeout(Duration::from_secs(1 << 20))
            .backoff(Duration::from_secs(1 << 10), Duration::MAX);
        let client = bereft(options).await;
        let resting = calling(&client, 2);
        settled().await;
        assert!(!resting.is_finished());
        mine.cancel();
        assert_eq!(resting.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn a_panic_of_any_code_of_the_user_ends_no_service_of_tasks() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let service = Service::<Touchy, Touchy>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let service = service.into_tokio().unwrap();
        let serving = tokio::spawn(service.serve(|value| async move {
            match value {
                UNSPEAKABLE => Err(value),
                Touchy(4) => Ok(UNWRITABLE),
                value => Ok(value),
            }
        }));
        let client = caller::<u32, u32>(&path).await;
        // Each costs its own call alone.
        for panics in [UNSPEAKABLE, UNREADABLE, Touchy(4)] {
            let panicked = client.call(&panics.0).await.unwrap_err();
            let about = (panicked.kind(), panicked.is_delivered());
            assert_eq!(about, (ErrorKind::HandlerPanicked, true), "{panics:?}");
        }
        assert_eq!(client.call(&0).await.unwrap(), 0);
        token.cancel();
        let summary = serving.await.unwrap().unwrap();
        assert_eq!((summary.answered, summary.failed, summary.lost), (1, 3, 0));
    });
}

/// Each call decodes its own answer alone.
#[test]
fn a_panic_of_one_task_leaves_no_other_waiting() {
    in_runtime(|| async {
        let listener = Listener::temporary().unwrap().into_tokio().unwrap();
        let path = listener.path().clone();
        let serving = tokio::spawn(async move {
            let mut client = ByHand::greet(listener.accept().await.unwrap()).await;
            let numbers = [client.recv().await, client.recv().await].map(|got| got.call::<u32>().0);
            client.send(&answer(numbers[1], &UNREADABLE.0)).await;
            client.send(&answer(numbers[0], &9_u32)).await;
            client.recv().await;
        });
        let client = caller::<u32, Touchy>(&path).await;
        let mut told = Vec::new();
        for call in [(); 2].map(|()| calling(&client, 0)) {
            match call.await {
                Err(panicked) => assert!(panicked.is_panic()),
                Ok(called) => told.push(called.unwrap()),
            }
        }
        assert_eq!(told, [Touchy(9)]);
        drop(client);
        serving.await.unwrap();
    });
}

#[test]
fn what_comes_after_the_request_that_ends_a_service_of_tasks_is_not_taken() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let serving = tokio::spawn(service.into_tokio().unwrap().serve(move |number| {
            token.cancel();
            async move { number }
        }));
        let client = ConnectOptions::new().into_tokio().connect(&path).await.unwrap();
        let mut client = ByHand::greet(client).await;
        client.send(&[0, 1, 2].map(|number| call(number, &7_u32)).concat()).await;
        assert_eq!(client.recv().await.answer::<u32>().0, 0);
        assert_eq!(client.recv().await, Received::Goodbye);
        assert_eq!(serving.await.unwrap().unwrap().answered, 1);
    });
}

/// On Windows a name is there as long as a client is connected.
#[test]
fn a_service_of_tasks_that_ends_gives_up_its_name_before_its_last_answer() {
    in_runtime(|| async {
        let folder = Folder::new();
        let name = folder.name("service");
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::bind(&name).unwrap().cancelled_by(&token);
        let left = Arc::new(Barrier::new(2));
        let leave = Arc::clone(&left);
        let serving = tokio::spawn(service.into_tokio().unwrap().serve(move |number| {
            token.cancel();
            let left = Arc::clone(&left);
            async move {
                left.wait().await;
                number
            }
        }));
        let client = caller::<u32, u32>(&PipePath::new(&name).unwrap()).await;
        let call = calling(&client, 5);
        while Connection::try_connect(&name).is_ok() {
            yield_now().await;
        }
        if cfg!(unix) {
            drop(Service::<u32, u32>::bind(&name).unwrap());
        }
        leave.wait().await;
        assert_eq!(call.await.unwrap().unwrap(), 5);
        serving.await.unwrap().unwrap();
    });
}

/// It was not sent: that is known. And a service that is lost has not ended regularly.
#[test]
fn a_task_whose_turn_did_not_come_is_told_that_the_service_is_lost() {
    in_runtime(|| async {
        let listener = Listener::temporary().unwrap().into_tokio().unwrap();
        let path = listener.path().clone();
        let (leave, left) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let _client = ByHand::greet(listener.accept().await.unwrap()).await;
            left.await.unwrap();
        });
        let client = caller::<Vec<u8>, u32>(&path).await;
        let calls = [(); 4].map(|()| calling(&client, vec![1; 4 << 20]));
        settled().await;
        leave.send(()).unwrap();
        for call in calls {
            let lost = call.await.unwrap().unwrap_err();
            assert_eq!((lost.kind(), lost.is_delivered()), (ErrorKind::Disconnected, false));
        }
        serving.await.unwrap();
    });
}

/// A client in a `static` is one of all runtimes of a program.
#[test]
fn runtimes_that_stand_still_or_end_hold_up_no_call_of_another_one() {
    const SOON: Duration = Duration::from_secs(20);
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    watched(move || {
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(|number| number + 1));
        let (first, second) = (runtime(), runtime());
        let client = first.block_on(caller::<u32, u32>(&path));
        assert_eq!(first.block_on(client.call(&1)).unwrap(), 2);
        // The first one stands still.
        let called = second.block_on(async { timeout(SOON, client.call(&2)).await });
        assert_eq!(called.unwrap().unwrap(), 3);
        drop(first);
        // Another one begins to connect, and stands still.
        let third = runtime();
        let mut connecting = Box::pin(client.call(&3));
        third.block_on(poll_fn(|cx| {
            assert!(connecting.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }));
        drop(second);
        let fourth = runtime();
        let called = fourth.block_on(async { timeout(SOON, client.call(&4)).await });
        assert_eq!(called.unwrap().unwrap(), 5);
        assert_eq!(third.block_on(connecting).unwrap(), 4);
        // They come and go while others call.
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..50 {
                        let answer =
                            runtime().block_on(async { timeout(SOON, client.call(&number)).await });
                        assert_eq!(answer.unwrap().unwrap(), number + 1);
                    }
                });
            }
        });
        // Each had a connection, and none is left of those that have ended.
        token.cancel();
        assert_eq!(serving.join().unwrap().unwrap().clients, 4 + 200);
        // Without any, there is none.
        drop((third, fourth));
        let waker = std::task::Waker::noop();
        let mut call = Box::pin(client.call(&5));
        let Poll::Ready(Err(error)) = call.as_mut().poll(&mut Context::from_waker(waker)) else {
            panic!("it has neither connected nor failed");
        };
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    });
}

/// The service sends an answer that its caller has given up, and a request is on its way against it.
#[test]
fn an_answer_that_nobody_waits_for_is_in_the_way_of_no_task() {
    const MUCH: usize = 4 << 20;
    in_runtime(|| async {
        let listener = Listener::temporary().unwrap().into_tokio().unwrap();
        let path = listener.path().clone();
        let ((begin, begun), (has_it, has)) = (oneshot::channel(), oneshot::channel());
        let serving = tokio::spawn(async move {
            let mut client = ByHand::greet(listener.accept().await.unwrap()).await;
            let late = client.recv().await.call::<Vec<u8>>().0;
            has_it.send(()).unwrap();
            assert_eq!(client.recv().await, Received::Cancel { id: late });
            let small = client.recv().await.call::<Vec<u8>>().0;
            begun.await.unwrap();
            client.send(&answer(small, &[0_u8; 0].as_slice())).await;
            client.send(&answer(late, &vec![7_u8; MUCH])).await;
            let large = client.recv().await.call::<Vec<u8>>().0;
            client.send(&answer(large, &[0_u8; 0].as_slice())).await;
        });
        let client = caller::<Vec<u8>, Vec<u8>>(&path).await;
        let given_up = client.start(&vec![1]).await.unwrap();
        has.await.unwrap();
        drop(given_up);
        let small = calling(&client, vec![2]);
        settled().await;
        let large = calling(&client, vec![3; MUCH]);
        settled().await;
        begin.send(()).unwrap();
        small.await.unwrap().unwrap();
        large.await.unwrap().unwrap();
        serving.await.unwrap();
    });
}

/// A client that does not take its answers is given up without a goodbye: what it asked was handled.
#[test]
fn what_tasks_handled_is_never_told_to_be_untaken() {
    in_runtime(|| async {
        let patience = Duration::from_millis(500);
        let token = CancelToken::new().unwrap();
        let service = Service::<(), Vec<u8>>::temporary().unwrap();
        let service = service.cancelled_by(&token).handshake_timeout(patience);
        let path = service.path().clone();
        let (handled, mut requests) = mpsc::unbounded_channel();
        let serving = tokio::spawn(service.into_tokio().unwrap().serve(move |()| {
            handled.send(()).unwrap();
            async { vec![7; 1000] }
        }));
        let client = ConnectOptions::new().into_tokio().connect(&path).await.unwrap();
        let mut client = ByHand::greet(client).await;
        let requests_of_one_write: Vec<_> =
            (0..1000).flat_map(|number| call(number, &())).collect();
        client.send(&requests_of_one_write).await;
        // Until there is no room for the next answer, and no patience any more.
        let mut taken = 0;
        while let Ok(Some(())) = timeout(patience / 2, requests.recv()).await {
            taken += 1;
        }
        while !client.writer.try_write(&[0]).is_err_and(|error| error.is_disconnected()) {
            yield_now().await;
        }
        // Those that were handled after a pause of the whole process.
        while requests.try_recv().is_ok() {
            taken += 1;
        }
        let mut answers = 0;
        while let Ok(Received::Answer { .. }) = client.try_recv().await {
            answers += 1;
        }
        assert!(answers < taken, "{answers} of {taken}");
        token.cancel();
        let summary = serving.await.unwrap().unwrap();
        assert_eq!((summary.answered, summary.lost), (answers, 1));
    });
}

/// One task reads for the others, on several threads: none waits for an answer that is here already.
#[test]
fn an_answer_that_another_task_has_read_is_there_at_once() {
    let test = async {
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let service = service.into_tokio().unwrap();
        let serving = tokio::spawn(service.serve(|number| async move { number }));
        let client = caller::<u32, u32>(&path).await;
        let calls = [1, 2, 3].map(|task| {
            let client = Arc::clone(&client);
            tokio::spawn(async move {
                for _ in 0..2000 {
                    assert_eq!(client.call(&task).await.unwrap(), task);
                }
            })
        });
        for call in calls {
            call.await.unwrap();
        }
        token.cancel();
        assert_eq!(serving.await.unwrap().unwrap().answered, 6000);
    };
    watched(|| {
        Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap().block_on(test)
    });
}
