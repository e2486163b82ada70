//! A service whose connections the program gives, one after the other.

use std::io::Write;
use std::iter;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use typed_pipe::{CancelToken, Client, Connection, ErrorKind, Service, ShutdownReason};

use crate::limits::in_each_mode;
use crate::support::{until, watched};

const LONG: Duration = Duration::from_secs(50);

/// Gives a connection, and returns the other side of it.
fn give(to: &Sender<Connection>) -> Connection {
    let (ours, theirs) = Connection::pair().unwrap();
    to.send(theirs).unwrap();
    ours
}

#[test]
fn it_serves_all_that_come_and_ends_with_the_last_one() {
    in_each_mode(|serve| {
        let (to, connections) = mpsc::channel();
        // One is there before it serves.
        let first = give(&to);
        let serving = serve(Service::over_all(connections));
        let first = Client::<u32, u32>::over(first).unwrap();
        assert_eq!(first.call(&1).unwrap(), 2);
        for number in 0..20 {
            let client = Client::<u32, u32>::over(give(&to)).unwrap();
            assert_eq!(client.call(&number).unwrap(), number + 1);
        }
        drop(to);
        // It is served on.
        assert_eq!(first.call(&7).unwrap(), 8);
        drop(first);
        let summary = serving.join().unwrap();
        assert_eq!((summary.clients, summary.answered, summary.lost), (21, 22, 0));
        assert_eq!(summary.reason, ShutdownReason::ClientLeft);
    });
}

#[test]
fn a_bad_one_costs_itself_alone() {
    in_each_mode(|serve| {
        let (to, connections) = mpsc::channel();
        let serving = serve(Service::over_all(connections));
        let mut bad = give(&to);
        bad.write_all(&[0xFF; 64]).unwrap();
        let client = Client::<u32, u32>::over(give(&to)).unwrap();
        assert_eq!(client.call(&1).unwrap(), 2);
        drop((bad, client, to));
        let summary = serving.join().unwrap();
        assert_eq!((summary.clients, summary.lost), (2, 1));
    });
}

#[test]
fn its_token_ends_it_while_it_waits_for_a_connection() {
    in_each_mode(|serve| {
        let (to, connections) = mpsc::channel();
        let token = CancelToken::new().unwrap();
        let serving = serve(Service::over_all(connections).cancelled_by(&token));
        let client = Client::<u32, u32>::over(give(&to)).unwrap();
        assert_eq!(client.call(&1).unwrap(), 2);
        token.cancel();
        assert_eq!(serving.join().unwrap().reason, ShutdownReason::Cancelled);
        let error = client.call(&1).unwrap_err();
        assert!(!error.is_delivered(), "{error}");
        // What still comes is not left to wait, and what makes it is dropped.
        let late = Client::<u32, u32>::over(give(&to)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Disconnected, "{late}");
        until(|| {
            let (_, theirs) = Connection::pair().unwrap();
            to.send(theirs).is_err()
        });
    });
}

#[test]
fn its_limits_hold_for_all_of_them() {
    in_each_mode(|serve| {
        // There are always more.
        let (to, others) = mpsc::channel();
        let made = iter::from_fn(move || {
            let (ours, theirs) = Connection::pair().unwrap();
            to.send(ours).ok()?;
            Some(theirs)
        });
        let serving = serve(Service::over_all(made).shutdown_after(3));
        for number in 0..3 {
            let client = Client::<u32, u32>::over(others.recv().unwrap()).unwrap();
            assert_eq!(client.call(&number).unwrap(), number + 1);
        }
        let summary = serving.join().unwrap();
        assert_eq!((summary.answered, summary.reason), (3, ShutdownReason::RequestLimit));
    });
    in_each_mode(|serve| {
        let (to, connections) = mpsc::channel();
        let service = Service::over_all(connections).idle_timeout(Duration::from_secs(2));
        let serving = serve(service.handshake_timeout(LONG));
        let client = Client::<u32, u32>::over(give(&to)).unwrap();
        assert_eq!(client.call(&1).unwrap(), 2);
        drop(to);
        assert_eq!(serving.join().unwrap().reason, ShutdownReason::Idle);
        client.call(&1).unwrap_err();
    });
}

#[test]
fn none_is_no_client() {
    in_each_mode(|serve| {
        let summary = serve(Service::over_all(None)).join().unwrap();
        assert_eq!((summary.clients, summary.reason), (0, ShutdownReason::ClientLeft));
    });
}

#[test]
fn what_panics_in_place_of_a_connection_ends_it_with_its_clients() {
    in_each_mode(|serve| {
        let (ours, theirs) = Connection::pair().unwrap();
        let mut connection = Some(theirs);
        let made = iter::from_fn(move || Some(connection.take().expect("as the test wants it")));
        let serving = serve(Service::over_all(made));
        let client = Client::<u32, u32>::over(ours).unwrap();
        assert_eq!(client.call(&1).unwrap(), 2);
        drop(client);
        assert_eq!(serving.join().unwrap().clients, 1);
    });
}

#[test]
fn both_ways_an_idle_client_is_none_that_has_left() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let other = thread::spawn(move || {
            let service = Service::<u32, u32>::over(ours);
            let (_client, serving) = service.both_ways(|_: Client<u32, u32>| |n| n).unwrap();
            serving.wait().unwrap();
        });
        let service = Service::<u32, u32>::over_all([theirs]);
        let service = service.client_idle_timeout(Duration::from_millis(50));
        let (_client, serving) = service.both_ways(|_: Client<u32, u32>| |n| n + 1).unwrap();
        assert_eq!(serving.wait().unwrap().reason, ShutdownReason::Idle);
        other.join().unwrap();
    });
}
