//! Calls of which something goes wrong: at the client, at the service, or between them.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use typed_pipe::{
    Client, ClientOptions, ConnectOptions, Ending, ErrorKind, Service, Stop, TypedConnection,
};

use crate::support::watched;

/// What goes over a connection to a service, for sides that do what no `Client` and no `Service` does.
type Request<T> = (u64, u8, T);
type Answer<T> = (u64, u8, Option<T>, String);

/// A call with a deadline, while another one without waits for a service that never comes.
#[test]
fn a_deadline_holds_while_another_call_connects() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap().message_limit(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(|number| number).unwrap());
        let mine = Stop::new().unwrap();
        let options = ClientOptions::new().connecting(ConnectOptions::new().stopped_by(&mine));
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
            mine.stop();
            assert_eq!(waiting.join().unwrap().kind(), ErrorKind::Stopped);
        });
    });
}

/// A client whose service has ended, and which would rest for ever between two attempts.
fn resting(options: ClientOptions) -> Client<u32, u32> {
    let service = Service::<u32, u32>::temporary().unwrap().message_limit(1);
    let path = service.path().clone();
    let serving = thread::spawn(move || service.serve(|number| number).unwrap());
    let options = options.attempts(3).back_off(Duration::MAX, Duration::MAX);
    let client: Client<u32, u32> = options.connect(path).unwrap();
    client.call(&1).unwrap();
    serving.join().unwrap();
    client
}

#[test]
fn a_pause_beyond_the_deadline_is_none() {
    watched(|| {
        let client = resting(ClientOptions::new().timeout(Duration::from_secs(50)));
        let failed = client.call(&2).unwrap_err();
        assert!(!failed.is_delivered(), "{failed}");
    });
}

#[test]
fn a_stop_ends_a_pause_between_attempts() {
    watched(|| {
        let stop = Stop::new().unwrap();
        let stopping = ConnectOptions::new().stopped_by(&stop);
        let client = resting(ClientOptions::new().connecting(stopping));
        thread::scope(|scope| {
            let call = scope.spawn(|| client.call(&2).unwrap_err());
            thread::sleep(Duration::from_millis(50));
            stop.stop();
            assert_eq!(call.join().unwrap().kind(), ErrorKind::Stopped);
        });
    });
}

#[test]
fn a_limit_ends_the_service_even_if_nobody_takes_the_last_answer() {
    watched(|| {
        let service = Service::<u32, u32>::temporary().unwrap().message_limit(1);
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
        assert_eq!(summary.ending, Ending::MessageLimit);
    });
}

/// A client does not take its answers in time, and goes on after that. The last request was handled, and nothing says
/// that it was not taken.
#[test]
fn what_was_handled_is_never_told_to_be_untaken() {
    watched(|| {
        let patience = Duration::from_millis(300);
        let stop = Stop::new().unwrap();
        let service = Service::<(), Vec<u8>>::temporary().unwrap().stopped_by(&stop);
        let service = service.patience(patience);
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
        client.send_all((0..1000).map(|number| (number, 0, ()))).unwrap();
        // Until there is no room for the next answer, and no patience any more.
        let mut requests = 0;
        while handled.recv_timeout(patience / 2).is_ok() {
            requests += 1;
        }
        thread::sleep(patience);
        let answers = client.by_ref().map_while(Result::ok).count();
        let end = client.recv().unwrap_err();
        assert!(answers < requests && requests < 1000, "{answers} of {requests}");
        assert_eq!(end.kind(), ErrorKind::Disconnected);
        stop.stop();
        let summary = serving.join().unwrap().unwrap();
        assert_eq!((summary.answered, summary.lost), (u64::try_from(answers).unwrap(), 1));
    });
}
