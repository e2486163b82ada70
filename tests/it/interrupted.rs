//! Clients that a token cancels, as at a Ctrl-C.

use std::sync::mpsc;
use std::thread;

use typed_pipe::{CancelToken, ClientOptions, Context, ErrorKind, Service};

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
            (first, client.call(&2).unwrap_err())
        });
        begins.recv().unwrap();
        token.cancel();
        let (first, second) = calling.join().unwrap();
        assert_eq!((first.kind(), second.kind()), (ErrorKind::Cancelled, ErrorKind::Cancelled));
        serving.join().unwrap().unwrap();
    });
}
