//! Calls with items: their deadlines.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use typed_pipe::{
    CancelToken, Client, ClientOptions, Connection, Context, ErrorKind, Listener, PipePath,
    Service, Summary,
};

use crate::by_hand::{ByHand, frame};
use crate::support::{until_it_fails, watched};

const SHORT: Duration = Duration::from_millis(100);

/// A service whose handler stands still once it has sent an item, until nothing waits for it.
fn standing_still() -> (PipePath, CancelToken, thread::JoinHandle<Summary>) {
    let token = CancelToken::new().unwrap();
    let service = Service::<(), ()>::temporary().unwrap().cancelled_by(&token);
    let path = service.path().clone();
    let serving = thread::spawn(move || {
        let handler = |(), context: Context<u32>| {
            let _ = context.send(&1);
            while !context.is_cancelled() {
                thread::park_timeout(Duration::from_millis(1));
            }
        };
        service.serve_with_context(handler).unwrap()
    });
    (path, token, serving)
}

#[test]
fn a_stream_whose_producer_stands_still_times_out_by_name() {
    watched(|| {
        let (path, token, serving) = standing_still();
        let client: Client<(), ()> =
            ClientOptions::new().reply_timeout(SHORT).connect(path).unwrap();
        let mut items = client.stream::<u32>(&()).unwrap();
        let late = items.find_map(Result::err).unwrap();
        assert_eq!((late.kind(), late.is_delivered()), (ErrorKind::TimedOut, true), "{late}");
        assert!(items.recv().is_none(), "the end is told once");
        let late = items.finish().unwrap_err();
        assert_eq!((late.kind(), late.is_delivered()), (ErrorKind::TimedOut, true), "{late}");
        // What finishes at once waits no longer.
        let late = client.stream::<u32>(&()).unwrap().finish().unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        token.cancel();
        serving.join().unwrap();
    });
}

/// A service that leaves when it has got a call.
fn leaving() -> (PipePath, thread::JoinHandle<()>) {
    let listener = Listener::temporary().unwrap();
    let path = listener.path().clone();
    let serving = thread::spawn(move || {
        let mut service = ByHand::greet(listener.accept().unwrap());
        service.recv();
    });
    (path, serving)
}

#[test]
fn an_item_for_a_handler_that_has_ended_is_refused_with_the_reason() {
    watched(|| {
        let service = Service::<(), u32>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let serving =
            thread::spawn(move || service.serve_with_context(|(), _: Context<u32>| 7).unwrap());
        let client = Client::<(), u32>::connect(path).unwrap();
        let mut items = client.stream::<u32>(&()).unwrap();
        let over = until_it_fails(|| items.send(&1_u32));
        assert_eq!(over.kind(), ErrorKind::Disconnected, "{over}");
        assert!(over.to_string().contains("its handler takes no more items"), "{over}");
        assert_eq!(items.finish().unwrap(), 7);
        serving.join().unwrap();

        let (path, serving) = leaving();
        let client = Client::<(), ()>::connect(path).unwrap();
        let mut items = client.stream::<u32>(&()).unwrap();
        serving.join().unwrap();
        let lost = until_it_fails(|| items.send(&1_u32));
        assert_eq!(lost.kind(), ErrorKind::Disconnected, "{lost}");
        assert!(!lost.to_string().contains("handler"), "{lost}");
    });
}

#[test]
fn a_stream_that_is_cut_does_not_end_as_if_all_had_come() {
    watched(|| {
        let (path, serving) = leaving();
        let client = Client::<(), ()>::connect(path).unwrap();
        let mut items = client.stream::<u32>(&()).unwrap();
        let lost = items.recv().unwrap().unwrap_err();
        assert_eq!((lost.kind(), lost.is_delivered()), (ErrorKind::Disconnected, true), "{lost}");
        assert!(items.recv().is_none(), "the end is told once");
        assert_eq!(items.finish().unwrap_err().kind(), ErrorKind::Disconnected);
        serving.join().unwrap();

        let (path, token, serving) = standing_still();
        let stop = CancelToken::new().unwrap();
        let client: Client<(), ()> =
            ClientOptions::new().cancelled_by(&stop).connect(path).unwrap();
        let mut items = client.stream::<u32>(&()).unwrap();
        assert_eq!(items.recv().unwrap().unwrap(), 1);
        stop.cancel();
        assert_eq!(items.recv().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(items.recv().is_none());
        drop((items, client));
        token.cancel();
        serving.join().unwrap();
    });
}

/// Fails or panics behind its first item.
fn failing(panics: bool, context: &Context<u32>) -> Result<(), &'static str> {
    context.send(&1).unwrap();
    if panics { panic!("as it was asked to") } else { Err("no more of it") }
}

#[test]
fn a_stream_whose_handler_fails_does_not_end_as_if_all_had_come() {
    watched(|| {
        let handler = |panics, context: Context<u32>| failing(panics, &context);
        let client: Client<bool, ()> = ClientOptions::new().local_with_context(handler).unwrap();
        for (panics, kind) in
            [(false, ErrorKind::HandlerFailed), (true, ErrorKind::HandlerPanicked)]
        {
            let all: Result<Vec<u32>, _> = client.stream(&panics).unwrap().collect();
            assert_eq!(all.unwrap_err().kind(), kind);
            let mut items = client.stream::<u32>(&panics).unwrap();
            assert_eq!(items.recv().unwrap().unwrap(), 1);
            assert_eq!(items.recv().unwrap().unwrap_err().kind(), kind);
            assert!(items.recv().is_none(), "the end is told once");
            assert_eq!(items.finish().unwrap_err().kind(), kind);
        }
    });
}

/// An upload whose sender is killed is no whole one.
#[test]
fn the_items_of_a_caller_that_leaves_do_not_end_as_if_all_had_come() {
    watched(|| {
        let service = Service::<(), ()>::temporary().unwrap().shutdown_after(3);
        let path = service.path().clone();
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let serving = thread::spawn(move || {
            service.serve_with_context(move |(), context: Context<u8>| {
                context.send(&0).unwrap();
                let mut items = context.items::<u32>();
                let all: Result<Vec<u32>, _> = items.by_ref().collect();
                assert!(items.next().is_none(), "the end is told once");
                tell.lock().unwrap().send(all.map_err(|error| error.kind())).unwrap();
            })
        });
        let client = Client::<(), ()>::connect(&path).unwrap();
        let send = |client: &Client<(), ()>| {
            let mut call = client.stream::<u8>(&()).unwrap();
            call.send(&1_u32).unwrap();
            // What is given up before it is sent, is not sent.
            assert_eq!(call.recv().unwrap().unwrap(), 0);
            call
        };
        drop(send(&client)); // it gives up
        assert_eq!(told.recv().unwrap(), Err(ErrorKind::Cancelled));
        let mut whole = send(&client);
        whole.end();
        drop(whole);
        assert_eq!(told.recv().unwrap(), Ok(vec![1]));
        let call = send(&client);
        drop(client);
        drop(call); // it leaves
        assert_eq!(told.recv().unwrap(), Err(ErrorKind::Cancelled));
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn an_endless_stream_ends_at_the_deadline_of_its_call() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<(), u64>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|(), context: Context<u64>| {
                let mut number = 0;
                while !context.is_cancelled() {
                    number += u64::from(context.send(&number).is_ok());
                }
                number
            })
        });
        let client: Client<(), u64> =
            ClientOptions::new().reply_timeout(SHORT).connect(path).unwrap();
        let mut items = client.stream::<u64>(&()).unwrap();
        let late = items.find_map(Result::err).unwrap();
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        assert!(items.recv().is_none());
        token.cancel();
        serving.join().unwrap().unwrap();
    });
}

/// The writer of the items finds no room, and meets the end of the service before the thread that reads does.
#[test]
fn a_service_that_ends_sends_all_items_of_its_last_call() {
    watched(|| {
        let service = Service::<(), u64>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(|(), context: Context<Vec<u8>>| {
                (0..500).try_for_each(|_| context.send(&vec![7; 10_000])).map(|()| 500)
            })
        });
        let client = Client::<(), u64>::connect(path).unwrap();
        let mut items = client.stream::<Vec<u8>>(&()).unwrap();
        assert_eq!(items.by_ref().map(|item| item.unwrap().len()).sum::<usize>(), 5_000_000);
        assert_eq!(items.finish().unwrap(), 500);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn an_item_that_is_not_consumed_times_out_at_its_sender() {
    watched(|| {
        let (path, token, serving) = standing_still();
        let client: Client<(), ()> =
            ClientOptions::new().reply_timeout(SHORT).connect(path).unwrap();
        let mut items = client.stream::<u32>(&()).unwrap();
        let late = (0..).find_map(|_| items.send(&vec![7_u8; 50_000]).err()).unwrap();
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        assert_eq!(items.send(&1).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(items.finish().unwrap_err().kind(), ErrorKind::TimedOut);
        token.cancel();
        serving.join().unwrap();
    });
}

/// The caller of these gives no credit, sends nothing, and does not say that it gave up.
#[test]
fn a_handler_waits_for_its_caller_no_longer_than_the_caller_for_it() {
    watched(|| {
        let service = Service::<bool, ()>::temporary().unwrap().shutdown_after(2);
        let path = service.path().clone();
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let serving = thread::spawn(move || {
            service.serve_with_context(move |sends, context: Context<Vec<u8>>| {
                let late = if sends {
                    (0..).find_map(|_| context.send(&vec![7; 50_000]).err()).unwrap()
                } else {
                    let late = context.recv::<u8>().unwrap().unwrap_err();
                    assert!(context.recv::<u8>().is_none());
                    late
                };
                tell.lock().unwrap().send((sends, late.kind())).unwrap();
            })
        });
        let mut client = ByHand::greet(Connection::connect(path).unwrap());
        for sends in [false, true] {
            // The deadline is 100 milliseconds.
            client.send(&frame(&[1, u8::from(sends), 0, 100], &sends));
            assert_eq!(told.recv().unwrap(), (sends, ErrorKind::TimedOut));
        }
        drop(client);
        serving.join().unwrap().unwrap();
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use typed_pipe::Tokio;
    use typed_pipe::wire::Postcard;

    use super::*;

    fn in_runtime<F: Future<Output = ()>>(body: impl FnOnce() -> F + Send + 'static) {
        watched(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(body());
        });
    }

    #[test]
    fn streams_of_tasks_time_out_by_name() {
        in_runtime(|| async {
            let (path, token, serving) = standing_still();
            let options = ClientOptions::new().reply_timeout(SHORT).into_tokio();
            let client = options.connect::<(), ()>(path).await.unwrap();
            let mut items = client.stream::<u32>(&()).await.unwrap();
            let late = loop {
                match items.recv().await.unwrap() {
                    Ok(item) => assert_eq!(item, 1),
                    Err(late) => break late,
                }
            };
            assert_eq!((late.kind(), late.is_delivered()), (ErrorKind::TimedOut, true), "{late}");
            assert!(items.recv().await.is_none());
            assert_eq!(items.finish().await.unwrap_err().kind(), ErrorKind::TimedOut);
            let items = client.stream::<u32>(&()).await.unwrap();
            assert_eq!(items.finish().await.unwrap_err().kind(), ErrorKind::TimedOut);
            let mut items = client.stream::<u32>(&()).await.unwrap();
            let late = loop {
                if let Err(late) = items.send(&vec![7_u8; 50_000]).await {
                    break late;
                }
            };
            assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
            token.cancel();
            tokio::task::spawn_blocking(|| serving.join().unwrap()).await.unwrap();
        });
    }

    #[test]
    fn a_stream_of_a_task_that_is_cut_does_not_end_as_if_all_had_come() {
        in_runtime(|| async {
            let (path, serving) = leaving();
            let options = ClientOptions::new().into_tokio();
            let client = options.connect::<(), ()>(path).await.unwrap();
            let mut items = client.stream::<u32>(&()).await.unwrap();
            let lost = items.recv().await.unwrap().unwrap_err();
            assert_eq!(lost.kind(), ErrorKind::Disconnected, "{lost}");
            assert!(items.recv().await.is_none());
            assert_eq!(items.finish().await.unwrap_err().kind(), ErrorKind::Disconnected);
            tokio::task::spawn_blocking(|| serving.join().unwrap()).await.unwrap();
        });
    }

    #[test]
    fn a_stream_of_a_task_whose_handler_fails_does_not_end_as_if_all_had_come() {
        in_runtime(|| async {
            let handler = |panics, context: Context<u32, Postcard, Tokio>| async move {
                context.send(&1).await.unwrap();
                if panics { panic!("as it was asked to") } else { Err::<(), _>("no more of it") }
            };
            let options = ClientOptions::new().into_tokio();
            let client: Client<bool, (), _, _, _> =
                options.local_with_context(handler).await.unwrap();
            for (panics, kind) in
                [(false, ErrorKind::HandlerFailed), (true, ErrorKind::HandlerPanicked)]
            {
                let mut items = client.stream::<u32>(&panics).await.unwrap();
                assert_eq!(items.recv().await.unwrap().unwrap(), 1);
                assert_eq!(items.recv().await.unwrap().unwrap_err().kind(), kind);
                assert!(items.recv().await.is_none(), "the end is told once");
                assert_eq!(items.finish().await.unwrap_err().kind(), kind);
            }
        });
    }

    #[test]
    fn the_items_of_a_task_that_leaves_do_not_end_as_if_all_had_come() {
        in_runtime(|| async {
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let handler = move |(), context: Context<u8, Postcard, Tokio>| {
                let tell = tell.clone();
                async move {
                    context.send(&0).await.unwrap();
                    let mut all = Vec::new();
                    while let Some(item) = context.recv::<u32>().await {
                        all.push(item.map_err(|error| error.kind()));
                    }
                    tell.send(all).unwrap();
                }
            };
            let options = ClientOptions::new().into_tokio();
            let client: Client<(), (), _, _, _> =
                options.local_with_context(handler).await.unwrap();
            for ends in [false, true] {
                let mut call = client.stream::<u8>(&()).await.unwrap();
                call.send(&1_u32).await.unwrap();
                // What is given up before it is sent, is not sent.
                assert_eq!(call.recv().await.unwrap().unwrap(), 0);
                if ends {
                    call.end();
                }
                drop(call);
                let mut want = vec![Ok(1)];
                want.extend((!ends).then_some(Err(ErrorKind::Cancelled)));
                assert_eq!(told.recv().await.unwrap(), want);
            }
        });
    }

    #[test]
    fn a_handler_of_a_task_waits_for_its_caller_no_longer_than_the_caller_for_it() {
        in_runtime(|| async {
            let service = Service::<bool, ()>::temporary().unwrap().shutdown_after(2);
            let path = service.path().clone();
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let handler = move |sends, context: Context<Vec<u8>, Postcard, Tokio>| {
                let tell = tell.clone();
                async move {
                    let late = if sends {
                        loop {
                            if let Err(late) = context.send(&vec![7; 50_000]).await {
                                break late;
                            }
                        }
                    } else {
                        let late = context.recv::<u8>().await.unwrap().unwrap_err();
                        assert!(context.recv::<u8>().await.is_none());
                        late
                    };
                    tell.send((sends, late.kind())).unwrap();
                }
            };
            let service = service.into_tokio().unwrap();
            let serving = tokio::spawn(service.serve_with_context(handler));
            let connecting = move || ByHand::greet(Connection::connect(path).unwrap());
            let mut client = tokio::task::spawn_blocking(connecting).await.unwrap();
            for sends in [false, true] {
                client.send(&frame(&[1, u8::from(sends), 0, 100], &sends));
                assert_eq!(told.recv().await.unwrap(), (sends, ErrorKind::TimedOut));
            }
            drop(client);
            serving.await.unwrap().unwrap();
        });
    }
}
