//! Services between machines: calls, streams both ways and cancel, by threads and by tasks, as on one machine.

mod common;

use std::sync::mpsc;
use std::thread;

use common::{SOON, Two, watched};
use serde::{Deserialize, Serialize};
use typed_pipe::{
    CancelToken, Client, ClientOptions, Context, Error, ErrorKind, Service, ShutdownReason, Tokio,
};

#[derive(Serialize, Deserialize)]
enum Ask {
    Add(u64, u64),
    /// Items from the handler.
    Count(u64),
    /// Items to the handler.
    Sum,
    /// Never answered.
    Wait,
}

/// What became of a handler that waits.
type Told = mpsc::Sender<bool>;

fn handle(ask: Ask, context: &Context<u64>, told: &Told) -> Result<u64, Error> {
    match ask {
        Ask::Add(one, other) => Ok(one + other),
        Ask::Count(to) => (0..to).try_for_each(|number| context.send(&number)).map(|()| to),
        Ask::Sum => {
            let mut sum = 0;
            while let Some(number) = context.recv::<u64>() {
                sum += number?;
            }
            Ok(sum)
        }
        Ask::Wait => {
            // Until nothing waits for it any more.
            while context.send(&0).is_ok() {}
            let _ = told.send(context.is_cancelled());
            Ok(0)
        }
    }
}

#[test]
fn threads_call_a_service_of_another_machine() {
    watched(|| {
        let two = Two::new();
        let (serving, calling) = two.connected();
        let (tell, told) = mpsc::channel();
        let serving = thread::spawn(move || {
            Service::<Ask, u64>::over(serving)
                .serve_with_context(move |ask, context: Context<u64>| handle(ask, &context, &tell))
        });
        let client = Client::<Ask, u64>::over(calling).unwrap();
        thread::scope(|threads| {
            for one in 0..4 {
                let client = &client;
                threads.spawn(move || {
                    for other in 0..100 {
                        assert_eq!(client.call(&Ask::Add(one, other)).unwrap(), one + other);
                    }
                });
            }
        });
        let mut items = client.stream::<u64>(&Ask::Count(1000)).unwrap();
        let counted: Vec<u64> = items.by_ref().map(Result::unwrap).collect();
        assert!(counted.into_iter().eq(0..1000));
        assert_eq!(items.finish().unwrap(), 1000);
        let mut items = client.stream::<u64>(&Ask::Sum).unwrap();
        (1..=1000_u64).for_each(|number| items.send(&number).unwrap());
        items.end();
        assert_eq!(items.finish().unwrap(), 500_500);
        // A caller that leaves.
        let mut items = client.stream::<u64>(&Ask::Wait).unwrap();
        assert_eq!(items.recv().unwrap().unwrap(), 0);
        drop(items);
        assert!(told.recv_timeout(SOON).unwrap());
        assert_eq!(client.call(&Ask::Add(1, 2)).unwrap(), 3);
        drop(client);
        assert_eq!(serving.join().unwrap().unwrap().reason, ShutdownReason::ClientLeft);
    });
}

#[test]
fn tasks_call_a_service_of_another_machine() {
    watched(|| {
        let two = Two::new();
        let (serving, calling) = two.connected();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let service = Service::<Ask, u64>::over(serving).into_tokio().unwrap();
            let serving =
                service.serve_with_context(|ask, context: Context<u64, _, Tokio>| async move {
                    match ask {
                        Ask::Add(one, other) => Ok(one + other),
                        Ask::Count(to) => {
                            for number in 0..to {
                                context.send(&number).await?;
                            }
                            Ok(to)
                        }
                        Ask::Sum => {
                            let mut sum = 0;
                            while let Some(number) = context.recv::<u64>().await {
                                sum += number?;
                            }
                            Ok(sum)
                        }
                        Ask::Wait => {
                            while context.send(&0).await.is_ok() {}
                            Ok::<_, Error>(0)
                        }
                    }
                });
            let calling = async {
                let options = ClientOptions::new().into_tokio();
                let client = options.over::<Ask, u64>(calling).await.unwrap();
                let (one, other) = (Ask::Add(1, 2), Ask::Add(3, 4));
                let (one, other) = tokio::join!(client.call(&one), client.call(&other));
                assert_eq!((one.unwrap(), other.unwrap()), (3, 7));
                let mut items = client.stream::<u64>(&Ask::Count(1000)).await.unwrap();
                let mut next = 0;
                while let Some(number) = items.recv().await {
                    assert_eq!(number.unwrap(), next);
                    next += 1;
                }
                assert_eq!(items.finish().await.unwrap(), 1000);
                let mut items = client.stream::<u64>(&Ask::Sum).await.unwrap();
                for number in 1..=1000_u64 {
                    items.send(&number).await.unwrap();
                }
                items.end();
                assert_eq!(items.finish().await.unwrap(), 500_500);
                let mut items = client.stream::<u64>(&Ask::Wait).await.unwrap();
                assert_eq!(items.recv().await.unwrap().unwrap(), 0);
                drop(items);
                assert_eq!(client.call(&Ask::Add(1, 2)).await.unwrap(), 3);
            };
            let (served, ()) = tokio::join!(serving, calling);
            assert_eq!(served.unwrap().reason, ShutdownReason::ClientLeft);
        });
    });
}

#[test]
fn a_call_ends_with_the_link() {
    watched(|| {
        let two = Two::new();
        let (serving, calling) = two.connected();
        let token = CancelToken::new().unwrap();
        let (tell, told) = mpsc::channel();
        let service = Service::<Ask, u64>::over(serving).cancelled_by(&token);
        let serving = thread::spawn(move || {
            service
                .serve_with_context(move |ask, context: Context<u64>| handle(ask, &context, &tell))
        });
        let client = Client::<Ask, u64>::over(calling).unwrap();
        assert_eq!(client.call(&Ask::Add(1, 2)).unwrap(), 3);
        let mut items = client.stream::<u64>(&Ask::Wait).unwrap();
        assert_eq!(items.recv().unwrap().unwrap(), 0);
        // The key of this machine is not let in any more.
        two.offer.set_allowed(&[]);
        assert!(told.recv_timeout(SOON).unwrap());
        assert_eq!(items.finish().unwrap_err().kind(), ErrorKind::Disconnected);
        assert_eq!(client.call(&Ask::Add(1, 2)).unwrap_err().kind(), ErrorKind::Disconnected);
        drop(serving.join().unwrap());
    });
}
