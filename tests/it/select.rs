//! Waiting for whichever of many things comes first.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use typed_pipe::{
    CancelToken, Connection, End, Error, ErrorKind, Listener, ListenerOptions, OnHangup, Pipe,
    ReadEnd, ReceivingHalf, Select, SendingHalf, TypedSender,
};

use crate::peer;
use crate::support::{Folder, until_it_fails, watched};

fn channel() -> (SendingHalf<u32>, ReceivingHalf<u32>) {
    let (one, other) = Connection::pair().unwrap();
    let ((_, writer), (reader, _)) = (one.split(), other.split());
    (writer.into_sender(), reader.into_receiver())
}

/// A program of ipc-channel: a router over many receivers, each with what is done with its messages.
#[test]
fn a_router_serves_many_receivers_of_different_types() {
    watched(|| {
        let mut select = Select::new().unwrap();
        let mut peers = Vec::new();
        let folder = Folder::new();
        for name in ["one", "other"] {
            let pipe = Pipe::create(folder.name(name)).unwrap();
            peers.push(peer::start("count", folder.name(name)));
            let receiver = pipe.receiver::<u32>().unwrap();
            select
                .add_receiver(receiver, move |number| number.map(|it| format!("{name} {it}")))
                .unwrap();
        }
        let words = Pipe::create(folder.name("words")).unwrap();
        let path = words.path().clone();
        select.add_receiver(words.receiver::<String>().unwrap(), |word| word).unwrap();
        let sending =
            thread::spawn(move || TypedSender::<str>::connect(path)?.send_all(["a", "b"]));

        let (mut all, mut ends) = (Vec::new(), 0);
        while let Some(routed) = select.wait().unwrap() {
            match routed {
                Ok(text) => all.push(text),
                Err(end) => {
                    assert!(end.is_end(), "{end}");
                    ends += 1;
                }
            }
        }
        assert_eq!(ends, 3);
        for name in ["one", "other"] {
            let of_it = all.iter().filter_map(|text| text.strip_prefix(&format!("{name} ")));
            assert!(of_it.eq((0..1000).map(|it| it.to_string()).collect::<Vec<_>>().iter()));
        }
        assert_eq!(all.iter().filter(|text| text.len() == 1).count(), 2);
        sending.join().unwrap().unwrap();
        peers.into_iter().for_each(peer::Peer::join);
    });
}

/// A program of ipc-channel: select with a timeout.
#[test]
fn a_wait_that_is_too_long_ends_and_loses_nothing() {
    watched(|| {
        let (mut sender, receiver) = channel();
        let mut select = Select::new().unwrap();
        select.add_receiver(receiver, Result::ok).unwrap();
        for number in 0..3 {
            let late = select.wait_timeout(Duration::from_millis(5)).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
            assert_eq!(
                select.wait_timeout(Duration::ZERO).unwrap_err().kind(),
                ErrorKind::TimedOut
            );
            sender.send(&number).unwrap();
            assert_eq!(select.wait_timeout(Duration::from_secs(50)).unwrap(), Some(Some(number)));
        }
    });
}

#[test]
fn a_busy_source_delays_no_other() {
    watched(|| {
        let mut select = Select::new().unwrap();
        let (mut busy, receiver) = channel();
        select.add_receiver(receiver, |_| "busy").unwrap();
        busy.send_all(0..1000).unwrap(); // all of it is read at once
        assert_eq!(select.wait().unwrap(), Some("busy"));
        let (mut other, receiver) = channel();
        select.add_receiver(receiver, |_| "other").unwrap();
        other.send(&1).unwrap();
        let listener = Listener::temporary().unwrap();
        let client = Connection::connect(listener.path()).unwrap();
        select.add_listener(listener, |_| "client").unwrap();
        let token = CancelToken::new().unwrap();
        token.cancel();
        select.add_token(&token, "cancelled").unwrap();
        select.add_deadline(Instant::now(), "late");
        let mut count = BTreeMap::new();
        // On Windows threads of the system tell what is set, and the busy one goes on until they run.
        let most = if cfg!(windows) { 900 } else { 12 };
        for round in 0..most {
            if round >= 12 && count.len() == 5 {
                break;
            }
            *count.entry(select.wait().unwrap().unwrap()).or_insert(0) += 1;
        }
        for what in ["other", "client", "cancelled", "late"] {
            assert_eq!(count.get(what), Some(&1), "{what} of {count:?}");
        }
        drop(client);
    });
}

#[test]
fn sources_come_and_go_while_it_is_used() {
    watched(|| {
        let mut select = Select::new().unwrap();
        let token = CancelToken::new().unwrap();
        let stop = select.add_token(&token, 0).unwrap();
        let again = select.add_token(&token, 1).unwrap(); // the same token
        let late = select.add_deadline(Instant::now() + Duration::from_secs(3600), 2);
        assert!(select.remove(late) && !select.remove(late));
        for number in 3..300 {
            let (mut sender, receiver) = channel();
            sender.send_all([number; 3]).unwrap();
            let key = select.add_receiver(receiver, |number| number.unwrap_or_default()).unwrap();
            assert_eq!(select.wait().unwrap(), Some(number));
            assert!(select.remove(key), "with two messages of it unread");
            let error = until_it_fails(|| sender.send(&number));
            assert_eq!(error.kind(), ErrorKind::Disconnected);
        }
        assert!(select.remove(stop));
        token.cancel();
        assert_eq!(select.wait().unwrap(), Some(1));
        assert!(!select.remove(again), "it was its last event");
        assert_eq!(select.wait().unwrap(), None);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_message_costs_no_more_among_a_thousand_receivers_than_among_ten() {
    watched(|| peer::start("select-among-many", "").join());
}

/// In a process of its own, whose processor time is that of this alone, and which may have many files open.
#[cfg(target_os = "linux")]
pub(crate) fn among_many() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limits = getrlimit(Resource::Nofile);
    limits.current = limits.maximum;
    setrlimit(Resource::Nofile, limits).unwrap();
    if limits.maximum.is_some_and(|most| most < 2500) {
        return crate::support::skipped("this process may not have so many files open");
    }
    let mut groups = [10, 1000].map(|count| {
        let mut select = Select::new().unwrap();
        let senders = (0..count).map(|_| {
            let (sender, receiver) = channel();
            select.add_receiver(receiver, |number| number.unwrap()).unwrap();
            sender
        });
        (senders.collect::<Vec<_>>(), select)
    });
    let mut least = [Duration::MAX; 2];
    for round in 0..5 {
        for ((senders, select), least) in groups.iter_mut().zip(&mut least) {
            let before = peer::unix::processor_time();
            for number in 0..2000_u32 {
                // Neighbours in no order that a cache knows.
                let place = usize::try_from(number).unwrap() * 619 % senders.len();
                senders[place].send(&number).unwrap();
                assert_eq!(select.wait().unwrap(), Some(number), "round {round}");
            }
            *least = peer::unix::processor_time().saturating_sub(before).min(*least);
        }
    }
    let [few, many] = least;
    // What looks at each receiver for each message takes a hundred times as long; a busy machine does not.
    assert!(many < few * 10, "{many:?} among a thousand, {few:?} among ten");
}

/// Between two waits, another thread may have it, as a pool may move it.
#[test]
fn it_goes_from_thread_to_thread() {
    watched(|| {
        let mut select = Select::new().unwrap();
        let (mut sender, receiver) = channel();
        select.add_receiver(receiver, |it: Result<u32, Error>| it.ok()).unwrap();
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let receiver = pipe.receiver::<u32>().unwrap();
        select.add_receiver(receiver, |it| it.ok().map(|it| it + 1000)).unwrap();
        let mut owner_sender = TypedSender::<u32>::connect(path).unwrap();
        for number in 0..20 {
            select = thread::spawn(move || {
                // The thread that began to read ends before anything has come.
                let late = select.wait_timeout(Duration::ZERO).unwrap_err();
                assert_eq!(late.kind(), ErrorKind::TimedOut);
                select
            })
            .join()
            .unwrap();
            sender.send(&number).unwrap();
            assert_eq!(select.wait().unwrap(), Some(Some(number)));
            owner_sender.send(&number).unwrap();
            assert_eq!(select.wait().unwrap(), Some(Some(number + 1000)));
        }
        drop((sender, owner_sender));
        assert_eq!(select.wait().unwrap(), Some(None));
        assert_eq!(select.wait().unwrap(), Some(None));
        assert_eq!(select.wait().unwrap(), None);
    });
}

/// What has happened before, and between two waits: nothing wakes it for that again.
#[test]
fn what_was_there_before_it_was_added_is_an_event() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let early = [(); 3].map(|()| Connection::connect(listener.path()).unwrap());
        // With a wait that has consumed the news of it.
        drop(listener.accept().unwrap());
        let (mut sender, mut receiver) = channel();
        sender.send_all(0..3).unwrap();
        assert_eq!(receiver.recv().unwrap(), 0);
        let token = CancelToken::new().unwrap();
        token.cancel();
        let mut select = Select::new().unwrap();
        select.add_listener(listener, |client| client.map(|_| "client").unwrap()).unwrap();
        select.add_receiver(receiver, |it| it.map(|_| "number").unwrap()).unwrap();
        select.add_token(&token, "cancelled").unwrap();
        let mut count = BTreeMap::new();
        for _ in 0..5 {
            let what = select.wait_timeout(Duration::from_secs(50)).unwrap().unwrap();
            *count.entry(what).or_insert(0) += 1;
        }
        assert_eq!(count, BTreeMap::from([("cancelled", 1), ("client", 2), ("number", 2)]));
        let late = select.wait_timeout(Duration::from_millis(5)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        drop(early);
    });
}

/// The other side neither writes nor says farewell: it is killed.
#[test]
fn a_killed_process_ends_its_receiver() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let child = peer::start("connect", listener.path().as_path());
        let (reader, _writer) = listener.accept().unwrap().split();
        let mut select = Select::new().unwrap();
        select.add_receiver(reader.into_receiver::<u32>(), |it| it.unwrap_err().kind()).unwrap();
        let late = select.wait_timeout(Duration::from_millis(5)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        child.kill();
        assert_eq!(select.wait().unwrap(), Some(ErrorKind::Disconnected));
    });
}

/// The token of an end or of a listener, which nothing else reports.
#[test]
fn the_token_of_a_source_ends_its_wait() {
    watched(|| {
        let tokens = [(); 3].map(|()| CancelToken::new().unwrap());
        let (_sender, receiver) = channel();
        let half = receiver.into_inner().cancelled_by(&tokens[0]);
        let door = ListenerOptions::new().cancelled_by(&tokens[1]).temporary().unwrap();
        let end = Pipe::temporary().unwrap().into_reader().cancelled_by(&tokens[2]).open().unwrap();
        let mut select = Select::new().unwrap();
        let kind = |it: Result<u32, Error>| it.unwrap_err().kind();
        select.add_receiver(half.into_receiver(), move |it| (0, kind(it))).unwrap();
        select.add_listener(door, |client| (1, client.unwrap_err().kind())).unwrap();
        let last = select.add_receiver(end.into_receiver(), move |it| (2, kind(it))).unwrap();
        assert_eq!(format!("{select:?}"), "Select { sources: 3, .. }");
        for (number, token) in (0..2).zip(&tokens) {
            let late = select.wait_timeout(Duration::from_millis(5)).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
            let token = token.clone();
            let cancelling = thread::spawn(move || token.cancel());
            assert_eq!(select.wait().unwrap(), Some((number, ErrorKind::Cancelled)));
            cancelling.join().unwrap();
        }
        assert!(select.remove(last));
        tokens[2].cancel();
        assert_eq!(select.wait().unwrap(), None, "with the source, its token is gone");
    });
}

/// A client waits that is not let in yet: the wait neither spins nor outlasts its time, and the place is told.
#[test]
fn a_listener_with_as_many_clients_as_may_be_waits_until_one_leaves() {
    watched(|| {
        let listener = ListenerOptions::new().max_clients(1).temporary().unwrap();
        let path = listener.path().clone();
        let mut select = Select::new().unwrap();
        select.add_listener(listener, Result::unwrap).unwrap();
        let clients = [(); 3].map(|()| Connection::connect(&path).unwrap());
        let mut served = select.wait().unwrap().unwrap();
        for _ in 0..2 {
            let late = select.wait_timeout(Duration::from_millis(5)).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
            let leaving = thread::spawn(move || drop(served));
            served = select.wait_timeout(Duration::from_secs(50)).unwrap().unwrap();
            leaving.join().unwrap();
        }
        drop(served);
        let late = select.wait_timeout(Duration::from_millis(5)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        drop(clients);
        let _next = Connection::connect(&path).unwrap();
        drop(select.wait().unwrap().unwrap());
    });
}

#[test]
fn a_listener_with_as_many_clients_as_may_be_is_cancelled_like_any_other() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let options = ListenerOptions::new().max_clients(1).cancelled_by(&token);
        let listener = options.temporary().unwrap();
        let _client = Connection::connect(listener.path()).unwrap();
        let mut select = Select::new().unwrap();
        select.add_listener(listener, |client| client).unwrap();
        let _served = select.wait().unwrap().unwrap().unwrap();
        let late = select.wait_timeout(Duration::from_millis(5)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        token.cancel();
        let error = select.wait().unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert!(select.wait().unwrap().is_none());
    });
}

/// While it is full, its name is not looked at.
#[cfg(unix)]
#[test]
fn a_listener_that_was_full_says_that_it_has_lost_its_name() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let door = ListenerOptions::new().max_clients(1).bind(&name).unwrap();
        let client = Connection::connect(&name).unwrap();
        let mut select = Select::new().unwrap();
        select.add_listener(door, |client| client).unwrap();
        let served = select.wait().unwrap().unwrap().unwrap();
        // For longer than from one look to the next.
        let late = select.wait_timeout(Duration::from_millis(1200)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        drop((served, client));
        std::fs::remove_file(name).unwrap();
        let error = select.wait().unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    });
}

/// The processes that would come cannot, and no news comes of that.
#[cfg(unix)]
#[test]
fn a_source_that_has_lost_its_name_says_so() {
    watched(|| {
        let folder = Folder::new();
        let door = Listener::bind(folder.name("door")).unwrap();
        let jobs = Pipe::new(folder.name("jobs")).unwrap().mkfifo().unwrap();
        let mut select = Select::new().unwrap();
        select.add_listener(door, |client| ("door", client.unwrap_err().kind())).unwrap();
        let jobs = jobs.receiver::<u32>().unwrap();
        select.add_receiver(jobs, |it| ("jobs", it.unwrap_err().kind())).unwrap();
        for name in ["door", "jobs"] {
            std::fs::remove_file(folder.name(name)).unwrap();
        }
        let mut lost = [select.wait().unwrap().unwrap(), select.wait().unwrap().unwrap()];
        lost.sort_by_key(|(name, _)| *name);
        assert_eq!(lost, [("door", ErrorKind::NotFound), ("jobs", ErrorKind::NotFound)]);
        assert_eq!(select.wait().unwrap(), None);
    });
}

#[test]
fn hundreds_of_receivers_are_served_in_turn() {
    watched(|| {
        const CHANNELS: u32 = 200;
        let mut select = Select::new().unwrap();
        let mut senders = Vec::new();
        for number in 0..CHANNELS {
            let (sender, receiver) = channel();
            senders.push(sender);
            select.add_receiver(receiver, move |it: Result<u32, Error>| (number, it.ok())).unwrap();
        }
        let sending = thread::spawn(move || {
            for round in 0..10 {
                for sender in &mut senders {
                    sender.send(&round).unwrap();
                }
            }
            senders
        });
        let mut next = vec![0; usize::try_from(CHANNELS).unwrap()];
        for _ in 0..CHANNELS * 10 {
            let (channel, round) = select.wait().unwrap().unwrap();
            let next = &mut next[usize::try_from(channel).unwrap()];
            assert_eq!(round, Some(*next));
            *next += 1;
        }
        drop(sending.join().unwrap());
        for _ in 0..CHANNELS {
            assert_eq!(select.wait().unwrap().unwrap().1, None, "its end");
        }
        assert!(select.wait().unwrap().is_none());
    });
}

#[test]
fn a_message_that_does_not_decode_is_no_end() {
    watched(|| {
        let (mut sender, receiver) = channel();
        let mut select = Select::new().unwrap();
        select.add_receiver(receiver, |it| it.map_err(|error| error.kind())).unwrap();
        sender.send_bytes(&[0xFF; 20]).unwrap();
        sender.send(&7).unwrap();
        drop(sender);
        assert_eq!(select.wait().unwrap(), Some(Err(ErrorKind::Decode)));
        assert_eq!(select.wait().unwrap(), Some(Ok(7)));
        assert_eq!(select.wait().unwrap(), Some(Err(ErrorKind::Disconnected)));
        assert_eq!(select.wait().unwrap(), None);
    });
}

#[test]
fn what_cannot_be_watched_is_refused() {
    watched(|| {
        let mut select = Select::new().unwrap();
        let pipe = Pipe::temporary().unwrap();
        let end = ReadEnd::at(pipe.path()).unwrap().on_hangup(OnHangup::NextWriter);
        let receiver = end.open().map(End::into_receiver::<u32>).unwrap();
        let refused = select.add_receiver(receiver, Result::ok).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        let (one, _other) = Connection::over((std::io::empty(), std::io::sink())).unwrap().split();
        let refused = select.add_receiver(one.into_receiver::<u32>(), Result::ok).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        assert_eq!(select.wait().unwrap(), None);
    });
}

#[test]
fn a_function_that_panics_costs_what_came_and_its_source_goes_on() {
    watched(|| {
        let (mut sender, receiver) = channel();
        let door = Listener::temporary().unwrap();
        let path = door.path().clone();
        let mut clients = 0;
        let mut select = Select::new().unwrap();
        let function = |number: Result<u32, Error>| match number.unwrap() {
            2 => panic!("a fault of the program"),
            number => number,
        };
        select.add_receiver(receiver, function).unwrap();
        let client = |client: Result<Connection, Error>| {
            drop(client.unwrap());
            clients += 1;
            assert!(clients != 1, "a fault of the program");
            99
        };
        // What comes of one wait; `None` is a panic.
        let wait = |select: &mut Select<'_, u32>| {
            let waits = || select.wait_timeout(Duration::from_secs(50)).unwrap().unwrap();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(waits)).ok()
        };
        // All of them are in the buffer of the receiver, of which the system knows nothing.
        for number in 1..=4 {
            sender.send(&number).unwrap();
        }
        let come = [(); 4].map(|()| wait(&mut select));
        assert_eq!(come, [Some(1), None, Some(3), Some(4)]);
        select.add_listener(door, client).unwrap();
        let _both = [(); 2].map(|()| Connection::connect(&path).unwrap());
        let come = [(); 2].map(|()| wait(&mut select));
        assert_eq!(come, [None, Some(99)]);
    });
}

#[test]
fn deadlines_that_have_passed_delay_no_source_by_more_than_one_event_each() {
    watched(|| {
        let (mut sender, receiver) = channel();
        let token = CancelToken::new().unwrap();
        let mut select = Select::new().unwrap();
        select.add_receiver(receiver, |number| number.ok()).unwrap();
        select.add_token(&token, Some(99)).unwrap();
        for number in 0..4 {
            sender.send(&number).unwrap();
        }
        token.cancel();
        let mut come = Vec::new();
        // Each event of a deadline brings about the next one.
        while come.iter().flatten().count() < 5 {
            select.add_deadline(Instant::now(), None);
            come.push(select.wait().unwrap().unwrap());
        }
        let mut numbers: Vec<_> = come.iter().copied().flatten().collect();
        assert!(numbers.contains(&99), "{come:?}");
        numbers.retain(|number| *number != 99);
        assert_eq!(numbers, [0, 1, 2, 3], "{come:?}");
        // And no source delays a deadline by more.
        assert!(come.windows(2).all(|two| two.contains(&None)), "{come:?}");
        // Without anything else, they come one after the other, also where nothing may be waited for.
        for _ in 0..5 {
            select.add_deadline(Instant::now(), None);
            assert_eq!(select.wait_timeout(Duration::ZERO).unwrap(), Some(None));
        }
    });
}
