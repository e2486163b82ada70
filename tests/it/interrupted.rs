//! Clients that a token cancels, as at a Ctrl-C.

use std::sync::mpsc;
use std::thread;

use typed_pipe::{CancelToken, ClientOptions, Context, ErrorKind, Service};
#[cfg(feature = "tokio")]
use typed_pipe::{Tokio, wire::Postcard};

use crate::support::watched;

#[test]
fn a_token_of_a_client_cancels_its_call_and_its_handler_is_told() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<u32, u32>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let (begun, begins) = mpsc::channel();
        let serving = thread::spawn(move || {
            service.serve_with_context(move |number, context: Context| {
                begun.send(()).unwrap();
                while !context.is_cancelled() {
                    thread::yield_now();
                }
                number
            })
        });
        let client = ClientOptions::new().cancelled_by(&token).connect::<u32, u32>(path).unwrap();
        let calling = thread::spawn(move || {
            let first = client.call(&1).unwrap_err();
            (first, client.call(&2).unwrap_err(), client)
        });
        begins.recv().unwrap();
        token.cancel();
        let (first, second, client) = calling.join().unwrap();
        assert_eq!((first.kind(), second.kind()), (ErrorKind::Cancelled, ErrorKind::Cancelled));
        // By the token alone: the client is still there.
        serving.join().unwrap().unwrap();
        drop(client);
    });
}

#[test]
fn a_token_of_a_client_ends_its_items_and_their_handler_is_told() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let service = Service::<(), ()>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            service.serve_with_context(move |(), context: Context<u32>| {
                // Until nothing takes them any more.
                while context.send(&7_u32).is_ok() {}
                assert!(context.is_cancelled());
                let left = context.recv::<u8>().unwrap().unwrap_err();
                assert_eq!(left.kind(), ErrorKind::Cancelled, "{left}");
            })
        });
        let client = ClientOptions::new().cancelled_by(&token).connect::<(), ()>(path).unwrap();
        let mut items = client.stream::<u32>(&()).unwrap();
        assert_eq!(items.recv().unwrap().unwrap(), 7);
        token.cancel();
        let last = items.by_ref().find_map(Result::err);
        assert!(last.is_none_or(|error| error.kind() == ErrorKind::Cancelled));
        serving.join().unwrap().unwrap();
        assert_eq!(items.finish().unwrap_err().kind(), ErrorKind::Cancelled);
        drop(client);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_token_of_a_client_of_tasks_cancels_its_call_and_its_handler_is_told() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let token = CancelToken::new().unwrap();
            let service = Service::<u32, u32>::temporary().unwrap().shutdown_after(1);
            let service = service.into_tokio().unwrap();
            let path = service.path().clone();
            let (begun, mut begins) = tokio::sync::mpsc::channel(1);
            let handler = move |number, context: Context<(), Postcard, Tokio>| {
                let begun = begun.clone();
                async move {
                    begun.send(()).await.unwrap();
                    context.cancel_token().unwrap().cancelled().await;
                    assert!(context.is_cancelled());
                    number
                }
            };
            let serving = tokio::spawn(service.serve_with_context(handler));
            let options = ClientOptions::new().cancelled_by(&token).into_tokio();
            let client = options.connect::<u32, u32>(path).await.unwrap();
            let cancelling = async {
                begins.recv().await.unwrap();
                token.cancel();
            };
            let (first, ()) = tokio::join!(client.call(&1), cancelling);
            let second = client.call(&2).await;
            let kinds = [first, second].map(|call| call.unwrap_err().kind());
            assert_eq!(kinds, [ErrorKind::Cancelled; 2]);
            serving.await.unwrap().unwrap();
            drop(client);
        });
    });
}
