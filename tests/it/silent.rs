//! Clients of a service of threads that say nothing for a while: they share a thread.

use std::path::Path;
use std::thread;
use std::time::Duration;

use typed_pipe::{CancelToken, Client, ErrorKind, Service};

use crate::peer::{self, Peer};
use crate::support::{Folder, until, watched};

/// So many threads are left where each client had one: of the test, and of a service without work.
const FEW: usize = 8;
const CLIENTS: u32 = 30;

/// More than may have a thread for long.
const MANY: usize = 480;

/// How it is cancelled.
const HERE: u32 = 0;
const IN_A_FORKED_CHILD: u32 = 1;
/// As the first, and its handlers take long enough to get threads of their own.
const HERE_AFTER_LONG_HANDLERS: u32 = 2;

/// Serves until the test says so.
pub(crate) fn echo_until_told(name: &Path, by: usize) {
    let token = CancelToken::new().unwrap();
    let service = Service::<u32, u32>::bind(name).unwrap().cancelled_by(&token);
    let told = thread::spawn(move || {
        peer::await_go();
        if by == IN_A_FORKED_CHILD as usize {
            cancel_in_a_forked_child(&token);
        } else {
            token.cancel();
        }
    });
    let takes = if by == HERE_AFTER_LONG_HANDLERS as usize { 100 } else { 0 };
    let handler = move |number| {
        thread::sleep(Duration::from_micros(takes));
        number
    };
    let summary = service.serve(handler).unwrap();
    assert!(summary.clients >= CLIENTS.into(), "{summary:?}");
    assert_eq!(summary.lost, 0);
    told.join().unwrap();
}

#[allow(unsafe_code, reason = "only a fork shows what a forked child does")]
fn cancel_in_a_forked_child(token: &CancelToken) {
    // SAFETY: the child takes the lock of a token that no other thread uses by now, and ends at once.
    let child = unsafe { libc::fork() };
    if child == 0 {
        token.cancel();
        // SAFETY: ends this process, and nothing else.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: waits for our own child; a null pointer asks for no status.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}

/// A service in a process of its own, and its clients, once they share a thread.
fn silent(path: &Path, cancelled: u32) -> (Peer, Vec<Client<u32, u32>>) {
    let service = peer::start_with("echo-until-told", path, cancelled);
    let client = |number| {
        let client = Client::<u32, u32>::connect(path).unwrap();
        assert_eq!(client.call(&number).unwrap(), number);
        client
    };
    let clients = (0..CLIENTS).map(client).collect();
    let threads = || peer::count(&format!("/proc/{}/task", service.id()));
    until(|| threads() <= FEW);
    (service, clients)
}

#[test]
fn silent_clients_share_a_thread_and_are_heard_and_missed_as_before() {
    watched(|| {
        let folder = Folder::of_short_names();
        let path = folder.name("echo");
        let (mut service, mut clients) = silent(path.as_ref(), HERE);
        let open = || peer::count(&format!("/proc/{}/fd", service.id()));
        let before = open();
        // Some leave without a word.
        let gone = clients.split_off(20).len();
        until(|| open() == before - gone);
        // All at once, and each more than once.
        thread::scope(|scope| {
            for (number, client) in (0..).zip(&clients) {
                scope.spawn(move || {
                    for number in number..number + 3 {
                        assert_eq!(client.call(&number).unwrap(), number);
                    }
                });
            }
        });
        service.proceed();
        service.join();
        for client in &clients {
            assert_ne!(client.call(&1).unwrap_err().kind(), ErrorKind::TimedOut);
        }
    });
}

/// Calls once by each of many clients.
pub(crate) fn call_once_each(name: &Path) {
    let client = |_| Client::<u32, u32>::connect(name).unwrap();
    let clients: Vec<_> = (0..MANY).map(client).collect();
    for client in &clients {
        assert_eq!(client.call(&1).unwrap(), 1);
    }
    peer::step(peer::READY);
    peer::await_go();
}

/// A thread waits a while for the next call of its client. Where there are many, it does not wait for long.
fn few_of_many_keep_a_thread(cancelled: u32) {
    watched(move || {
        let folder = Folder::of_short_names();
        let path = folder.name("echo");
        let mut service = peer::start_with("echo-until-told", &path, cancelled);
        // All connections at once would be in the way of tests that count descriptors.
        let threads = || peer::count(&format!("/proc/{}/task", service.id()));
        // On a busy machine, threads are late to notice that their time is over.
        loop {
            let mut callers = peer::start("call-once-each", &path);
            callers.await_step(peer::READY);
            let waiting = threads();
            callers.proceed();
            callers.join();
            if waiting < MANY * 2 / 3 {
                break;
            }
            eprintln!("{waiting} threads for {MANY} clients");
            until(|| threads() <= FEW);
        }
        service.proceed();
        service.join();
    });
}

#[test]
fn of_many_clients_that_call_now_and_then_few_keep_a_thread() {
    few_of_many_keep_a_thread(HERE);
}

#[test]
fn of_many_clients_whose_handlers_have_ended_few_keep_a_thread() {
    few_of_many_keep_a_thread(HERE_AFTER_LONG_HANDLERS);
}

fn all_learn_of_the_end(cancelled: u32) {
    watched(move || {
        let folder = Folder::of_short_names();
        let path = folder.name("echo");
        let (mut service, clients) = silent(path.as_ref(), cancelled);
        service.proceed();
        service.join();
        for client in &clients {
            let error = client.call(&1).unwrap_err();
            assert!(!error.is_delivered(), "{error}");
        }
    });
}

#[test]
fn silent_clients_learn_that_their_service_has_ended() {
    all_learn_of_the_end(HERE);
}

#[test]
fn silent_clients_learn_of_an_end_that_a_forked_child_brought_about() {
    all_learn_of_the_end(IN_A_FORKED_CHILD);
}
