//! What becomes of calls, in numbers, in both modes.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use typed_pipe::{CallCounts, CancelToken, Client, Connection, Context, ErrorKind, Service};

use crate::by_hand::{ByHand, call};
use crate::support::{until, watched};

/// In the order of the fields.
fn numbers(counts: CallCounts) -> [u64; 5] {
    let CallCounts { answered, failed, cancelled, refused, in_flight, .. } = counts;
    [answered, failed, cancelled, refused, in_flight]
}

const SHORT: Duration = Duration::from_millis(20);

#[test]
fn each_call_is_in_one_of_the_numbers_of_both_sides() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::temporary().unwrap().cancelled_by(&token);
        let (path, counter) = (service.path().clone(), service.counter());
        assert_eq!(numbers(counter.counts()), [0; 5]);
        let (begun, is_begun) = mpsc::channel();
        let serving = thread::spawn(move || {
            service.serve_with_context(move |number, context: Context| match number {
                0 => Err("there is nothing before 0"),
                1 => panic!("no"),
                2 => {
                    begun.send(()).unwrap();
                    until(|| context.is_cancelled());
                    Ok(2)
                }
                number => Ok(number - 1),
            })
        });
        let client = Client::<u32, u32>::connect(&path).unwrap();
        client.call(&7).unwrap();
        client.notify(&7).unwrap();
        client.call(&0).unwrap_err();
        client.call(&1).unwrap_err();
        assert_eq!(numbers(client.counts()), [2, 2, 0, 0, 0]);
        assert_eq!(numbers(counter.counts()), [2, 2, 0, 0, 0]);
        let waits = client.start(&2).unwrap();
        is_begun.recv().unwrap();
        assert_eq!(numbers(client.counts()), [2, 2, 0, 0, 1]);
        assert_eq!(numbers(counter.counts()), [2, 2, 0, 0, 1]);
        drop(waits);
        assert_eq!(numbers(client.counts()), [2, 2, 1, 0, 0]);
        let late = client.call_timeout(&2, SHORT).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert_eq!(numbers(client.counts()), [2, 2, 2, 0, 0]);
        until(|| numbers(counter.counts()) == [2, 2, 2, 0, 0]);
        // One that cannot be sent is no call.
        let other = Client::<u32, u32>::connect(&path).unwrap();
        assert_eq!(other.call_ref("7").unwrap_err().kind(), ErrorKind::Mismatch);
        assert_eq!(numbers(other.counts()), [0; 5]);
        token.cancel();
        serving.join().unwrap().unwrap();
        // The service has ended, and none takes its place.
        client.call_timeout(&7, SHORT).unwrap_err();
        assert_eq!(numbers(counter.counts()), [2, 2, 2, 0, 0]);
    });
}

#[test]
fn what_a_service_never_took_is_refused_and_what_it_lost_has_failed() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::over(theirs).in_order().cancelled_by(&token);
        let counter = service.counter();
        let (go, gone) = mpsc::channel();
        let (begun, is_begun) = mpsc::channel();
        let gone = std::sync::Mutex::new(gone);
        let serving = thread::spawn(move || {
            service.serve(move |number| {
                begun.send(()).unwrap();
                gone.lock().unwrap().recv().unwrap();
                number
            })
        });
        let client = Client::<u32, u32>::over(ours).unwrap();
        let [one, two, three] = [1, 2, 3].map(|number| client.start(&number).unwrap());
        // A wait sends what was started.
        let one = thread::spawn(move || one.wait());
        is_begun.recv().unwrap();
        until(|| counter.counts().in_flight == 3);
        token.cancel();
        until(|| counter.counts().refused == 2);
        go.send(()).unwrap();
        assert_eq!(one.join().unwrap().unwrap(), 1);
        for call in [two, three] {
            assert_eq!(call.wait().unwrap_err().kind(), ErrorKind::Finished);
        }
        serving.join().unwrap().unwrap();
        assert_eq!(numbers(client.counts()), [1, 0, 0, 2, 0]);
        assert_eq!(numbers(counter.counts()), [1, 0, 0, 2, 0]);
    });
}

/// They come in one piece, and the service takes one of them.
#[test]
fn what_comes_behind_the_last_request_of_a_service_is_refused() {
    let counted = |serve: fn(Service<u32, u32>)| {
        let (ours, theirs) = Connection::pair().unwrap();
        let service = Service::<u32, u32>::over(theirs).shutdown_after(1);
        let counter = service.counter();
        let serving = thread::spawn(move || serve(service));
        let mut client = ByHand::greet(ours);
        client.send(&[1, 2, 3].map(|id| call(id, &7_u32)).concat());
        serving.join().unwrap();
        assert_eq!(numbers(counter.counts()), [1, 0, 0, 2, 0]);
    };
    watched(move || {
        counted(|service| assert_eq!(service.serve(|number| number).unwrap().answered, 1));
        #[cfg(feature = "tokio")]
        counted(|service| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let service = service.into_tokio().unwrap();
                service.serve(|number| async move { number }).await.unwrap();
            });
        });
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use std::sync::Arc;

    use typed_pipe::wire::Postcard;
    use typed_pipe::{ClientOptions, Tokio};

    use super::*;

    /// What a task waits for.
    async fn comes(so: impl Fn() -> bool) {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await; // between two looks
        }
    }

    #[test]
    fn each_call_of_tasks_is_in_one_of_the_numbers_of_both_sides() {
        let test = async {
            let token = CancelToken::new().unwrap();
            let service = Service::<u32, u32>::temporary().unwrap().cancelled_by(&token);
            let service = service.into_tokio().unwrap();
            let (path, counter) = (service.path().clone(), service.counter());
            let handler = |number, context: Context<(), Postcard, Tokio>| async move {
                match number {
                    0 => Err("there is nothing before 0"),
                    1 => panic!("no"),
                    2 => {
                        comes(|| context.is_cancelled()).await;
                        Ok(2)
                    }
                    number => Ok(number - 1),
                }
            };
            let serving = tokio::spawn(service.serve_with_context(handler));
            let options = ClientOptions::new().into_tokio();
            let client = Arc::new(options.connect::<u32, u32>(path).await.unwrap());
            client.call(&7).await.unwrap();
            client.notify(&7).await.unwrap();
            client.call(&0).await.unwrap_err();
            client.call(&1).await.unwrap_err();
            assert_eq!(numbers(client.counts()), [2, 2, 0, 0, 0]);
            assert_eq!(numbers(counter.counts()), [2, 2, 0, 0, 0]);
            let waits = client.start(&2).await.unwrap();
            comes(|| counter.counts().in_flight == 1).await;
            assert_eq!(numbers(client.counts()), [2, 2, 0, 0, 1]);
            drop(waits);
            let late = client.call_timeout(&2, SHORT).await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
            assert_eq!(numbers(client.counts()), [2, 2, 2, 0, 0]);
            comes(|| numbers(counter.counts()) == [2, 2, 2, 0, 0]).await;
            token.cancel();
            serving.await.unwrap().unwrap();
        };
        watched(|| {
            let runtime = tokio::runtime::Builder::new_current_thread();
            { runtime }.enable_all().build().unwrap().block_on(test);
        });
    }
}
