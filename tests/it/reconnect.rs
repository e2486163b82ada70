//! A sender that reconnects by itself.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use typed_pipe::wire::foreign::Lines;
use typed_pipe::wire::{Framing, LengthPrefixed, Plain, Scan, Step, Wire};
use typed_pipe::{
    CancelToken, ConnectOptions, Connection, ErrorKind, FrameError, Handshake, IfExists, Listener,
    ListenerOptions, ReconnectCounts, ReconnectOptions, ReconnectingSender, TypedConnection,
    WhenFull,
};

use crate::peer;
use crate::support::{Folder, patience, until, watched, watched_for};

type Entry = (u32, u32);
const LONG: Duration = Duration::from_secs(50);

/// A listener of a name that a killed process may have left behind, or still hold for a moment.
fn listen(name: &Path) -> Listener {
    let options = ListenerOptions::new().if_exists(IfExists::Reuse);
    let mut listener = None;
    until(|| {
        listener = options.bind(name).ok();
        listener.is_some()
    });
    listener.unwrap()
}

fn accept<T: for<'de> serde::Deserialize<'de>>(listener: &Listener) -> TypedConnection<u64, T> {
    listener.accept().unwrap().into_typed().unwrap()
}

/// A collector in a process of its own: it notes what it gets, and then confirms it.
pub(crate) fn collect(name: &Path) {
    let notes = std::env::var_os("TYPED_PIPE_TEST_NOTES").unwrap();
    let notes = OpenOptions::new().append(true).create(true).open(notes).unwrap();
    // Not every system appends as one step, as Wine does not: of two notes at once, one would be written over the other.
    let notes = Arc::new(Mutex::new(notes));
    let listener = listen(name);
    peer::step(peer::READY);
    for client in listener.incoming() {
        let notes = Arc::clone(&notes);
        thread::spawn(move || {
            let mut entries = client.unwrap().into_typed::<u64, Entry>().unwrap();
            let mut count = 0;
            while let Ok((writer, number)) = entries.recv() {
                let note = u64::from(writer) << 32 | u64::from(number);
                notes.lock().unwrap().write_all(&note.to_be_bytes()).unwrap(); // in one piece
                count += 1;
                if entries.send(&count).is_err() {
                    return;
                }
            }
        });
    }
}

/// What each writer's entries became, by the notes.
fn noted(notes: &Path) -> BTreeMap<u32, Vec<u32>> {
    let bytes = fs::read(notes).unwrap_or_default();
    let mut noted: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for note in bytes.chunks_exact(8) {
        let (writer, number) = note.split_at(4);
        let number_of = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        noted.entry(number_of(writer)).or_default().push(number_of(number));
    }
    noted
}

fn sum(counts: &ReconnectCounts) -> u64 {
    counts.waiting + counts.unconfirmed + counts.confirmed + counts.uncertain + counts.dropped
}

#[test]
fn twenty_writers_account_for_everything_while_the_collector_is_killed_ten_times() {
    const WRITERS: u32 = 20;
    watched_for(Duration::from_secs(240), || {
        let folder = Folder::new();
        let name = folder.name("log");
        let notes = tempfile::NamedTempFile::new().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let slowest = Arc::new(Mutex::new(Duration::ZERO));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (name, over, slowest) = (name.clone(), Arc::clone(&over), Arc::clone(&slowest));
                thread::spawn(move || {
                    let options = ReconnectOptions::new(WhenFull::DropOldest).backlog(200);
                    let log = options.connect::<Entry>(name).unwrap();
                    let mut number = 0;
                    while !over.load(Ordering::Relaxed) {
                        // A thousand in a second.
                        thread::sleep(Duration::from_millis(10));
                        let before = Instant::now();
                        for _ in 0..10 {
                            log.send(&(writer, number)).unwrap();
                            number += 1;
                        }
                        let mut slowest = slowest.lock().unwrap();
                        *slowest = before.elapsed().max(*slowest);
                    }
                    (number, log.finish_timeout(LONG))
                })
            })
            .collect();
        for kill in 0..=10 {
            let before = fs::metadata(&notes).unwrap().len();
            let mut collector = peer::start_noting("collect", &name, notes.path());
            collector.await_step(peer::READY);
            until(|| fs::metadata(&notes).unwrap().len() >= before + 8 * 1000);
            if kill < 10 {
                collector.kill();
            } else {
                over.store(true, Ordering::Relaxed);
                let counts: Vec<_> = writers.into_iter().map(|it| it.join().unwrap()).collect();
                collector.kill();
                check(&counts, &noted(notes.path()));
                break;
            }
        }
        // Far less than a restart takes; the machine may be busy.
        let slowest = *slowest.lock().unwrap();
        assert!(slowest < Duration::from_secs(5) * patience(), "{slowest:?}");
    });
}

fn check(counts: &[(u32, ReconnectCounts)], noted: &BTreeMap<u32, Vec<u32>>) {
    let mut dropped = 0;
    for (writer, (sent, counts)) in (0..).zip(counts) {
        assert_eq!(counts.accepted, u64::from(*sent));
        assert_eq!(sum(counts), counts.accepted, "{counts:?}");
        assert_eq!((counts.waiting, counts.unconfirmed), (0, 0), "{counts:?}");
        assert!(counts.connections > 1, "{counts:?}");
        let numbers = &noted[&writer];
        assert!(numbers.windows(2).all(|two| two[0] < two[1]), "in order, and none twice");
        let received = u64::try_from(numbers.len()).unwrap();
        assert!(received >= counts.confirmed, "{received} of {counts:?}");
        assert!(received <= counts.confirmed + counts.uncertain, "{received} of {counts:?}");
        dropped += counts.dropped + counts.uncertain;
    }
    println!(
        "{dropped} of {} lost or uncertain",
        counts.iter().map(|(sent, _)| u64::from(*sent)).sum::<u64>()
    );
}

#[test]
fn a_sender_tells_when_the_other_side_is_there_and_when_it_is_gone() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("log");
        let (told, changes) = channel();
        let log = ReconnectOptions::new(WhenFull::DropOldest)
            .on_change(move |connected| told.send(connected).unwrap_or_default())
            .connect::<u32>(&name)
            .unwrap();
        for _ in 0..3 {
            let listener = listen(&name);
            let mut collector = accept::<u32>(&listener);
            assert!(changes.recv().unwrap());
            assert!(log.counts().connected);
            log.send(&7).unwrap();
            assert_eq!(collector.recv().unwrap(), 7);
            collector.send(&1).unwrap();
            until(|| log.counts().unconfirmed == 0);
            drop((collector, listener));
            assert!(!changes.recv().unwrap());
            assert!(!log.counts().connected);
        }
        let counts = log.counts();
        assert_eq!((counts.confirmed, counts.connections), (3, 3));
    });
}

#[test]
fn what_was_half_sent_goes_to_the_next_collector_as_a_whole() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("log");
        let log = ReconnectingSender::<[u8]>::connect(&name, WhenFull::DropOldest).unwrap();
        let large = vec![7; 5 << 20];
        let listener = listen(&name);
        log.send(&large).unwrap();
        log.send(b"next").unwrap();
        let first = accept::<Vec<u8>>(&listener);
        until(|| log.counts().waiting == 2); // the first of them in part
        drop(first);
        let mut second = accept::<Vec<u8>>(&listener);
        assert_eq!(second.recv().unwrap(), large);
        assert_eq!(second.recv().unwrap(), b"next");
        second.send(&2).unwrap();
        let end = thread::spawn(move || second.recv().unwrap_err().kind());
        let counts = log.finish_timeout(LONG);
        assert_eq!((counts.confirmed, counts.uncertain, counts.dropped), (2, 0, 0));
        assert_eq!(end.join().unwrap(), ErrorKind::Finished, "it says goodbye");
    });
}

#[test]
fn a_collector_that_takes_nothing_makes_nobody_wait_and_nothing_grow() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        for full in [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Refuse] {
            let options = ReconnectOptions::new(full).backlog(10);
            let log = options.connect::<Vec<u8>>(listener.path()).unwrap();
            let collector = accept::<Vec<u8>>(&listener);
            let mut refused = 0;
            for _ in 0..1000 {
                match log.send(&vec![7; 10_000]) {
                    Ok(()) => {}
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        refused += 1;
                    }
                }
            }
            let counts = log.counts();
            assert_eq!(sum(&counts), counts.accepted);
            assert_eq!(counts.accepted + refused, 1000);
            assert!(counts.waiting <= 11, "{counts:?}");
            assert!(counts.dropped + refused > 0, "{counts:?}");
            let counts = log.finish_timeout(Duration::from_millis(10));
            assert_eq!((counts.waiting, counts.unconfirmed), (0, 0));
            assert_eq!(counts.dropped + counts.uncertain, counts.accepted);
            drop(collector);
        }
    });
}

/// They were taken in unread until there was no room for more, and then the connection was given up.
#[test]
fn what_is_confirmed_is_heard_while_there_is_always_more_to_send() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let options = ReconnectOptions::new(WhenFull::DropOldest).backlog(3000);
        let log = options.connect::<[u8]>(listener.path()).unwrap();
        // All at once, before there is anybody to send it to.
        for _ in 0..3000 {
            log.send(&[7; 1000]).unwrap();
        }
        let mut collector = accept::<Vec<u8>>(&listener);
        for count in 1..=1000 {
            collector.recv().unwrap();
            collector.send(&count).unwrap();
        }
        // Now there is no room to send more.
        until(|| log.counts().confirmed > 500);
        let counts = log.counts();
        assert!(counts.waiting > 1000, "{counts:?}");
        drop(collector);
    });
}

/// They waited for all of their time, if that was any.
#[test]
fn nothing_waits_for_a_sender_that_a_token_has_ended() {
    watched(|| {
        let folder = Folder::new();
        let token = CancelToken::new().unwrap();
        let log = ReconnectOptions::new(WhenFull::Refuse)
            .backlog(1)
            .connecting(ConnectOptions::new().cancelled_by(&token))
            .connect::<u32>(folder.name("log"))
            .unwrap();
        log.send(&1).unwrap();
        let waiting = thread::scope(|scope| {
            let waiting = scope.spawn(|| log.send_timeout(&2, Duration::MAX));
            token.cancel();
            waiting.join().unwrap()
        });
        assert_eq!(waiting.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(log.send(&3).unwrap_err().kind(), ErrorKind::WouldBlock);
        let counts = log.finish_timeout(Duration::MAX);
        assert_eq!((counts.accepted, counts.dropped), (1, 1));
    });
}

#[test]
fn a_collector_that_confirms_what_it_never_got_is_not_believed() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let log =
            ReconnectingSender::<u32>::connect(listener.path(), WhenFull::DropOldest).unwrap();
        let mut collector = accept::<u32>(&listener);
        collector.send(&u64::MAX).unwrap();
        log.send(&7).unwrap();
        assert_eq!(collector.recv().unwrap(), 7);
        drop(collector);
        until(|| !log.counts().connected);
        let counts = log.counts();
        assert_eq!(sum(&counts), 1);
        assert!(counts.confirmed <= 1, "{counts:?}");
    });
}

#[test]
fn a_collector_of_another_protocol_is_asked_again_until_one_fits() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("log");
        let log = ReconnectOptions::new(WhenFull::DropOldest)
            .handshake(Handshake::new().sending("log/2"))
            .connect::<u32>(&name)
            .unwrap();
        log.send(&7).unwrap();
        let listener = listen(&name);
        let with = |version: &str, client: Connection| {
            Handshake::new().receiving(version).perform::<u64, u32>(client)
        };
        let old = with("log/1", listener.accept().unwrap());
        assert_eq!(old.unwrap_err().kind(), ErrorKind::Mismatch);
        let mut new = with("log/2", listener.accept().unwrap()).unwrap();
        assert_eq!(new.recv().unwrap(), 7);
        new.send(&1).unwrap();
        until(|| log.counts().confirmed == 1);
        assert_eq!(log.counts().connections, 1);
    });
}

#[test]
fn a_function_that_panics_when_it_is_told_of_a_change_stops_no_sender() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("log");
        let (told, changes) = channel();
        let log = ReconnectOptions::new(WhenFull::DropOldest)
            .on_change(move |connected| {
                told.send(connected).unwrap_or_default();
                panic!("a fault of the program")
            })
            .connect::<u32>(&name)
            .unwrap();
        for number in 0..3 {
            let listener = listen(&name);
            let mut collector = accept::<u32>(&listener);
            assert!(changes.recv().unwrap());
            log.send(&number).unwrap();
            assert_eq!(collector.recv().unwrap(), number);
            collector.send(&1).unwrap();
            until(|| log.counts().unconfirmed == 0);
            drop((collector, listener));
            assert!(!changes.recv().unwrap());
        }
        assert_eq!(log.finish_timeout(LONG).confirmed, 3);
    });
}

/// A value at which a framing panics.
pub(crate) const PANICS: u32 = 77;

/// A framing with a fault.
#[derive(Clone, Default)]
pub(crate) struct PanicsAt(LengthPrefixed);

impl Framing for PanicsAt {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.0.begin(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        assert_ne!(out[start + 4..], [77], "a fault of the program");
        self.0.finish(out, start)
    }

    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        self.0.scan(bytes, scan)
    }
}

#[test]
fn a_framing_that_panics_costs_the_message_that_it_wrote() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("log");
        let wire = Wire::default().with_framing(PanicsAt::default());
        let log = ReconnectOptions::new(WhenFull::DropOldest)
            .handshake(Handshake::new().with_wire(wire.clone()))
            .connect::<u32>(&name)
            .unwrap();
        let listener = listen(&name);
        let next = || {
            let handshake = Handshake::new().with_wire(wire.clone());
            handshake.perform::<u64, u32>(listener.accept().unwrap()).unwrap()
        };
        let mut collector = next();
        log.send(&1).unwrap();
        assert_eq!(collector.recv().unwrap(), 1);
        log.send(&PANICS).unwrap();
        log.send(&3).unwrap();
        assert!(collector.recv().unwrap_err().is_disconnected());
        let mut collector = next();
        assert_eq!(collector.recv().unwrap(), 3);
        collector.send(&1).unwrap();
        until(|| log.counts().confirmed == 1);
        let counts = log.counts();
        assert_eq!((counts.accepted, counts.uncertain, counts.dropped), (3, 1, 1), "{counts:?}");
    });
}

/// A framing with a fault: once, it panics in a handshake.
#[derive(Clone)]
struct PanicsOnce(LengthPrefixed, Arc<AtomicBool>);

impl Framing for PanicsOnce {
    fn name(&self) -> &str {
        assert!(!self.1.swap(false, Ordering::Relaxed), "a fault of the program");
        "panics-once"
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        self.0.begin(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        self.0.finish(out, start)
    }

    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        self.0.scan(bytes, scan)
    }
}

/// The thread that sends was gone.
#[test]
fn a_framing_that_panics_in_the_handshake_stops_no_sender() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let with = |panics| {
            let framing = PanicsOnce(LengthPrefixed::default(), Arc::new(AtomicBool::new(panics)));
            Handshake::new().with_wire(Wire::default().with_framing(framing))
        };
        let log = ReconnectOptions::new(WhenFull::DropOldest)
            .handshake(with(true))
            .connect::<u32>(listener.path())
            .unwrap();
        log.send(&7).unwrap();
        let mut collector = loop {
            let collector = with(false).perform::<u64, u32>(listener.accept().unwrap());
            if let Ok(collector) = collector {
                break collector;
            }
        };
        assert_eq!(collector.recv().unwrap(), 7);
    });
}

/// It was queued, and each connection was given up for it: nothing behind it was ever sent.
#[test]
fn what_the_framing_cannot_carry_is_refused_and_stops_no_sender() {
    watched(|| {
        let lines = || Handshake::new().with_wire(Wire::new(Lines::default(), Plain));
        let listener = Listener::temporary().unwrap();
        let log = ReconnectOptions::new(WhenFull::DropOldest)
            .handshake(lines())
            .connect::<str>(listener.path())
            .unwrap();
        assert_eq!(log.send("two\nlines").unwrap_err().kind(), ErrorKind::Encode);
        log.send("one line").unwrap();
        let mut collector = lines().perform::<String, String>(listener.accept().unwrap()).unwrap();
        assert_eq!(collector.recv().unwrap(), "one line");
        assert_eq!(log.counts().accepted, 1);
    });
}
