//! One sender, and many readers.
#![cfg_attr(windows, allow(unused_imports, dead_code, reason = "some tests are of Unix"))]

use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use typed_pipe::wire::foreign::Lines;
use typed_pipe::wire::{Plain, Wire};
use typed_pipe::{
    Broadcast, BroadcastOptions, CancelToken, Connection, ErrorKind, Handshake, Hangup, Listener,
    ListenerOptions, SlowReader, TypedConnection,
};

use crate::peer;
use crate::support::{Folder, until, until_it_fails, watched};

type News = (u32, String);

#[cfg(unix)]
type Departed = (typed_pipe::BroadcastReader, ErrorKind);

/// Enough that a few of them fill a socket.
const FILLING: usize = 10_000;
const MESSAGES: u32 = 200;
const LONG: Duration = Duration::from_secs(50);

fn news(number: u32) -> News {
    (number, "7".repeat(FILLING))
}

/// A reader in a process of its own: it notes how many messages it got, and which was the last.
pub(crate) fn hear(path: &Path) {
    let connection = TypedConnection::<(), News>::connect(path).unwrap();
    peer::step(peer::READY);
    let mut numbers: Vec<u32> = Vec::new();
    for news in connection {
        let Ok((number, _)) = news else { break };
        assert!(numbers.last().is_none_or(|last| *last < number), "in order");
        numbers.push(number);
    }
    let notes = format!("{} {}", numbers.len(), numbers.last().map_or(0, |last| *last));
    fs::write(path.with_extension("notes"), notes).unwrap();
}

#[cfg(unix)]
fn signal(peer: &peer::Peer, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(peer.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Forty-eight readers, one that is stopped, and one that is killed. Returns what is known of the stopped one, and what it
/// noted.
#[cfg(unix)]
fn broadcast_to_fifty(slow: SlowReader) -> (typed_pipe::BroadcastReader, u64, u32) {
    use rustix::process::Signal;

    let folder = Folder::new();
    let path = folder.name("news");
    let (departed, departures) = channel();
    let broadcast = BroadcastOptions::new(slow)
        .backlog(if slow == SlowReader::Wait { 1000 } else { 20 })
        .on_departure(move |reader, why| drop(departed.send((reader, why.kind()))))
        .start::<News>(Listener::bind(&path).unwrap())
        .unwrap();
    let readers: Vec<_> = (0..48)
        .map(|_| {
            let path = path.clone();
            let (ready, is_ready) = channel();
            let reading = thread::spawn(move || {
                let mut connection = TypedConnection::<(), News>::connect(path).unwrap();
                ready.send(()).unwrap();
                // The others have room: this one paces the sender.
                let mut numbers = Vec::new();
                for news in connection.by_ref() {
                    numbers.push(news.unwrap().0);
                }
                assert_eq!(connection.receiver().last_hangup(), Some(Hangup::Finished));
                numbers
            });
            is_ready.recv().unwrap();
            reading
        })
        .collect();
    let mut stopped = peer::start("hear-a-broadcast", &path);
    let mut killed = peer::start("hear-a-broadcast", &path);
    stopped.await_step(peer::READY);
    killed.await_step(peer::READY);
    signal(&stopped, Signal::STOP);
    let (stopped_pid, killed_pid) = (stopped.id(), killed.id());
    let mut killed = Some(killed);
    let mut gone = Vec::new();
    let mut departure_of = |pid| loop {
        let found = gone.iter().position(|(reader, _): &Departed| reader.pid == Some(pid));
        match found {
            Some(place) => break gone.swap_remove(place),
            None => gone.push(departures.recv().expect("readers that are gone are told of")),
        }
    };
    for number in 0..MESSAGES {
        if number == MESSAGES / 2 {
            killed.take().unwrap().kill();
            let (gone, why) = departure_of(killed_pid);
            assert!(gone.sent <= u64::from(number), "{gone:?}");
            assert!(matches!(why, ErrorKind::Disconnected | ErrorKind::Io), "{why}");
        }
        broadcast.send(&news(number)).unwrap();
        // All but the stopped one get everything: they are not slow.
        until(|| {
            let readers = broadcast.readers();
            let few = if slow == SlowReader::LatestOnly { 0 } else { 10 };
            readers.iter().all(|reader| reader.pid == Some(stopped_pid) || reader.queued <= few)
        });
    }
    let of_the_stopped = broadcast.readers().into_iter().find(|it| it.pid == Some(stopped_pid));
    let of_the_stopped = of_the_stopped.unwrap_or_else(|| {
        let (reader, why) = departure_of(stopped_pid);
        assert_eq!(why, ErrorKind::Disconnected);
        reader
    });
    signal(&stopped, Signal::CONT);
    let counts = broadcast.finish_timeout(LONG);
    stopped.join();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), (0..MESSAGES).collect::<Vec<_>>());
    }
    let finished = counts.iter().filter(|reader| reader.finished && reader.dropped == 0).count();
    assert!(finished >= 48, "{finished}");
    let notes = fs::read_to_string(path.with_extension("notes")).unwrap();
    let (count, last) = notes.split_once(' ').unwrap();
    (of_the_stopped, count.parse().unwrap(), last.parse().unwrap())
}

#[cfg(unix)]
#[test]
fn a_stopped_reader_loses_the_oldest_and_the_others_nothing() {
    watched(|| {
        let (stopped, got, last) = broadcast_to_fifty(SlowReader::DropOldest);
        assert_eq!(stopped.queued, 20);
        assert!(stopped.dropped > 0);
        // What was on its way when it was stopped counts as neither.
        assert_eq!(got + stopped.dropped, u64::from(MESSAGES));
        assert_eq!(last, MESSAGES - 1);
    });
}

#[cfg(unix)]
#[test]
fn a_stopped_reader_keeps_the_latest_alone() {
    watched(|| {
        let (stopped, got, last) = broadcast_to_fifty(SlowReader::LatestOnly);
        assert_eq!(stopped.queued, 1);
        assert_eq!(got + stopped.dropped, u64::from(MESSAGES));
        assert_eq!(last, MESSAGES - 1);
    });
}

#[cfg(unix)]
#[test]
fn a_stopped_reader_is_disconnected() {
    watched(|| {
        let (stopped, got, last) = broadcast_to_fifty(SlowReader::Disconnect);
        assert_eq!((stopped.queued, stopped.finished), (0, false));
        assert_eq!(stopped.sent, got);
        assert_eq!(u64::from(last), got.saturating_sub(1), "the first ones, and nothing torn");
    });
}

#[cfg(unix)]
#[test]
fn a_stopped_reader_that_is_waited_for_loses_nothing() {
    watched(|| {
        let (stopped, got, last) = broadcast_to_fifty(SlowReader::Wait);
        assert_eq!((stopped.dropped, got, last), (0, u64::from(MESSAGES), MESSAGES - 1));
    });
}

/// Its thread, which slept, found nothing to send, and slept again: the reader was kept, and got nothing any more.
#[test]
fn a_reader_whose_queue_is_full_before_its_thread_wakes_is_disconnected_too() {
    watched(|| {
        let (told, departures) = channel();
        let broadcast = BroadcastOptions::new(SlowReader::Disconnect)
            .backlog(1)
            .on_departure(move |reader, why| told.send((reader, why.kind())).unwrap())
            .start::<u32>(Listener::temporary().unwrap())
            .unwrap();
        for _ in 0..20 {
            let mut reader =
                TypedConnection::<(), u32>::connect(broadcast.listener().path()).unwrap();
            // Sooner or later two of them come before the thread wakes.
            until(|| {
                broadcast.send(&1).unwrap();
                broadcast.send(&2).unwrap();
                broadcast.readers().iter().all(|reader| reader.dropped > 0)
            });
            let (departed, why) = departures.recv().unwrap();
            assert!(departed.dropped > 0, "{departed:?}");
            assert_eq!(why, ErrorKind::Disconnected);
            let got = until_it_fails(|| reader.recv());
            assert!(got.is_disconnected(), "{got}");
        }
    });
}

#[test]
fn a_reader_gets_what_is_sent_after_it_has_connected() {
    watched(|| {
        let broadcast =
            Broadcast::<u32>::new(Listener::temporary().unwrap(), SlowReader::DropOldest).unwrap();
        for number in 0..50 {
            let mut reader =
                TypedConnection::<(), u32>::connect(broadcast.listener().path()).unwrap();
            broadcast.send(&number).unwrap();
            assert_eq!(reader.recv().unwrap(), number);
        }
        until(|| broadcast.readers().is_empty()); // without another message
    });
}

#[test]
fn a_reader_may_keep_a_plain_receiver() {
    watched(|| {
        let broadcast =
            Broadcast::<u32>::new(Listener::temporary().unwrap(), SlowReader::DropOldest).unwrap();
        let connection = TypedConnection::<(), u32>::connect(broadcast.listener().path()).unwrap();
        let mut receiver = connection.finish().unwrap();
        for number in 0..10 {
            broadcast.send(&number).unwrap();
            assert_eq!(receiver.recv().unwrap(), number);
        }
        drop(receiver);
        until(|| {
            broadcast.send(&7).unwrap();
            broadcast.readers().is_empty()
        });
    });
}

#[test]
fn a_wait_for_a_slow_reader_has_a_deadline_and_ends_with_the_token() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let listener = ListenerOptions::new().cancelled_by(&token).temporary().unwrap();
        let options = BroadcastOptions::new(SlowReader::Wait).backlog(2);
        let broadcast = options.start::<News>(listener).unwrap();
        let mut slow = TypedConnection::<(), News>::connect(broadcast.listener().path()).unwrap();
        let mut sent = 0;
        let error = loop {
            match broadcast.send_timeout(&news(sent), Duration::from_millis(50)) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.path(), Some(broadcast.listener().path().as_path()));
        let waiting = thread::scope(|scope| {
            // The system may have taken more of them meanwhile.
            let waiting = scope
                .spawn(|| until_it_fails(|| broadcast.send(&news(sent)).inspect(|()| sent += 1)));
            token.cancel();
            waiting.join().unwrap()
        });
        assert_eq!(waiting.kind(), ErrorKind::Cancelled);
        // None of the two was sent.
        let reading =
            thread::spawn(move || slow.by_ref().map(|news| news.unwrap().0).collect::<Vec<_>>());
        let counts = broadcast.finish_timeout(LONG);
        assert_eq!((counts.len(), counts[0].dropped), (1, 0));
        assert_eq!(reading.join().unwrap(), (0..sent).collect::<Vec<_>>());
    });
}

#[test]
fn a_client_that_says_nothing_delays_no_reader() {
    watched(|| {
        let broadcast =
            Broadcast::<u32>::new(Listener::temporary().unwrap(), SlowReader::DropOldest).unwrap();
        let silent = Connection::connect(broadcast.listener().path()).unwrap();
        let mut reader = TypedConnection::<(), u32>::connect(broadcast.listener().path()).unwrap();
        broadcast.send(&7).unwrap();
        assert_eq!(reader.recv().unwrap(), 7);
        drop(silent);
    });
}

#[test]
fn a_reader_of_another_type_or_that_talks_costs_only_itself() {
    watched(|| {
        let broadcast =
            Broadcast::<u32>::new(Listener::temporary().unwrap(), SlowReader::DropOldest).unwrap();
        let path = broadcast.listener().path();
        let mut good = TypedConnection::<(), u32>::connect(path).unwrap();
        if let Ok(mut talks) = TypedConnection::<String, u32>::connect(path) {
            let _ = talks.send(&"hello".into());
        }
        broadcast.send(&7).unwrap();
        assert_eq!(good.recv().unwrap(), 7);
    });
}

#[test]
fn a_dropped_broadcast_lets_its_readers_go_and_removes_its_name() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("news");
        let broadcast =
            Broadcast::<u32>::new(Listener::bind(&name).unwrap(), SlowReader::DropOldest).unwrap();
        let mut reader = TypedConnection::<(), u32>::connect(&name).unwrap();
        let mut halved = TypedConnection::<(), u32>::connect(&name).unwrap().finish().unwrap();
        drop(broadcast);
        assert_eq!(reader.recv().unwrap_err().kind(), ErrorKind::Disconnected);
        assert_eq!(halved.recv().unwrap_err().kind(), ErrorKind::Disconnected);
        drop((reader, halved)); // on Windows, a name lives as long as its connections
        until(|| Connection::try_connect(&name).is_err_and(|it| it.kind() == ErrorKind::NotFound));
    });
}

/// One that would be waited for, for ever.
#[test]
fn a_framing_that_panics_costs_its_reader_and_holds_up_nobody() {
    use crate::reconnect::{PANICS, PanicsAt};

    watched(|| {
        let (told, departures) = channel();
        let wire = Wire::default().with_framing(PanicsAt::default());
        let handshake = Handshake::new().with_wire(wire.clone());
        let options = BroadcastOptions::new(SlowReader::Wait).backlog(1).handshake(handshake);
        let options = options.on_departure(move |reader, why| {
            told.send((reader.number, why.kind())).unwrap();
            panic!("a fault of the program")
        });
        let broadcast = options.start::<u32>(Listener::temporary().unwrap()).unwrap();
        let connect = || {
            let handshake = Handshake::new().with_wire(wire.clone());
            let connection = Connection::connect(broadcast.listener().path()).unwrap();
            handshake.perform::<(), u32>(connection).unwrap()
        };
        for number in 0..3 {
            let mut reader = connect();
            until(|| broadcast.readers().len() == 1);
            broadcast.send(&1).unwrap();
            assert_eq!(reader.recv().unwrap(), 1);
            broadcast.send(&PANICS).unwrap();
            assert!(reader.recv().unwrap_err().is_disconnected());
            assert_eq!(departures.recv().unwrap(), (number, ErrorKind::Poisoned));
            // There is nobody to wait for.
            for _ in 0..5 {
                broadcast.send_timeout(&1, LONG).unwrap();
            }
        }
    });
}

/// No further reader was let in.
#[test]
fn a_rule_that_panics_costs_its_client_alone() {
    watched(|| {
        let clients = std::sync::atomic::AtomicU32::new(0);
        let options = ListenerOptions::new().admit(move |_| {
            let earlier = clients.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert_ne!(earlier, 0, "a fault of the program");
            true
        });
        let listener = options.temporary().unwrap();
        let broadcast = Broadcast::<u32>::new(listener, SlowReader::DropOldest).unwrap();
        let path = broadcast.listener().path();
        let refused = TypedConnection::<(), u32>::connect(path).unwrap_err();
        assert!(refused.is_disconnected(), "{refused}");
        let mut reader = TypedConnection::<(), u32>::connect(path).unwrap();
        broadcast.send(&7).unwrap();
        assert_eq!(reader.recv().unwrap(), 7);
    });
}

#[test]
fn a_reader_that_comes_late_gets_the_latest_value_first_if_it_is_kept() {
    watched(|| {
        let settings = BroadcastOptions::new(SlowReader::DropOldest)
            .keep_latest()
            .start::<u32>(Listener::temporary().unwrap())
            .unwrap();
        let join = || TypedConnection::<(), u32>::connect(settings.listener().path()).unwrap();
        let mut early = join();
        for number in [1, 2] {
            settings.send(&number).unwrap();
        }
        let mut late = join();
        settings.send(&3).unwrap();
        assert_eq!([1, 2, 3].map(|_| early.recv().unwrap()), [1, 2, 3]);
        assert_eq!([2, 3].map(|_| late.recv().unwrap()), [2, 3]);
    });
}

/// It filled a queue of one, and was dropped for the next one.
#[test]
fn the_latest_value_is_not_in_the_way_of_the_next_one() {
    watched(|| {
        let settings = BroadcastOptions::new(SlowReader::DropOldest)
            .backlog(1)
            .keep_latest()
            .start::<u32>(Listener::temporary().unwrap())
            .unwrap();
        settings.send(&1).unwrap();
        // Before its handshake it takes nothing.
        let late = Connection::connect(settings.listener().path()).unwrap();
        until(|| settings.readers().len() == 1);
        settings.send(&2).unwrap();
        let [reader] = &settings.readers()[..] else { panic!("there is one") };
        assert_eq!((reader.queued, reader.dropped), (2, 0));
        let mut late = Handshake::new().perform::<(), u32>(late).unwrap();
        assert_eq!([1, 2].map(|_| late.recv().unwrap()), [1, 2]);
    });
}

#[test]
fn raw_bytes_go_to_every_reader_as_they_are() {
    watched(|| {
        let screen =
            Broadcast::<[u8]>::new(Listener::temporary().unwrap(), SlowReader::Wait).unwrap();
        let join = || {
            let connection = TypedConnection::<(), Vec<u8>>::connect(screen.listener().path());
            connection.unwrap()
        };
        let mut viewers = [join(), join()];
        screen.send_bytes(b"\xff\xff").unwrap();
        for viewer in &mut viewers {
            assert_eq!(viewer.receiver().recv_bytes().unwrap(), b"\xff\xff");
        }
        let too_large = screen.send_bytes(&vec![0; 9 << 20]).unwrap_err();
        assert_eq!(too_large.kind(), ErrorKind::TooLarge);
    });
}

/// It was queued for all readers, and disconnected each of them.
#[test]
fn what_the_framing_cannot_carry_is_refused_and_costs_no_reader() {
    watched(|| {
        let lines = || Handshake::new().with_wire(Wire::new(Lines::default(), Plain));
        let news = BroadcastOptions::new(SlowReader::DropOldest)
            .handshake(lines())
            .start::<str>(Listener::temporary().unwrap())
            .unwrap();
        let connection = Connection::connect(news.listener().path()).unwrap();
        let mut reader = lines().perform::<(), String>(connection).unwrap();
        assert_eq!(news.send("two\nlines").unwrap_err().kind(), ErrorKind::Encode);
        assert_eq!(news.send_bytes(b"two\nlines").unwrap_err().kind(), ErrorKind::Encode);
        news.send("one line").unwrap();
        assert_eq!(reader.recv().unwrap(), "one line");
    });
}
