//! Two broadcasts, one that drops what is too old and one that waits, and readers that come, go, and are held up and killed.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use typed_pipe::{
    Broadcast, BroadcastOptions, BroadcastReader, ErrorKind, Listener, SlowReader, TypedConnection,
};

use crate::content::{Dice, Parcel};
use crate::crowd::Crowd;
use crate::ledger::{Book, Count, Ledger, NO_MORE, Note};
use crate::process::{Player, Process, abort_on_panic};
use crate::site::Site;

pub(crate) const LOAD: &str = "broadcast";
/// Two threads of a process, with a broadcast each: the even one drops, the odd one waits.
const SENDERS: Range<u64> = 90..92;
/// Two threads of a process that lasts. The number of a reader tells which broadcast it hears, as those of senders do.
const STEADY: Range<u64> = 92..94;
const READERS: Range<u64> = 92..98;

pub(crate) fn supervise(site: &Site) {
    let senders = Process::lasting(site, LOAD, "sender", SENDERS, 64);
    let steady = Process::lasting(site, LOAD, "reader", STEADY, 16);
    let mut lasting = [senders, steady];
    let readers = (STEADY.end..READERS.end).map(|reader| reader..reader + 1);
    let mut readers = Crowd::start(site, LOAD, "reader", readers);
    readers.disturb(&mut lasting);
    readers.join();
    let [senders, steady] = lasting;
    // On a busy machine they may come late, but not after the end.
    let hears = |reader| site.ledger.count(reader, Count::Messages) > 0;
    while !site.has_failed() && !STEADY.into_iter().all(hears) {
        thread::sleep(Duration::from_millis(10));
    }
    site.ledger.set_count(SENDERS.start, Count::Gone, NO_MORE);
    senders.join();
    steady.join();
}

pub(crate) fn play(role: &str, player: &mut Player) {
    match role {
        "sender" => {
            abort_on_panic();
            player.counting_descriptors(|player| player.in_threads(SENDERS, send));
        }
        "reader" if player.book.actor == STEADY.start => player.counting_descriptors(|player| {
            player.in_threads(STEADY, |player, book, dice| {
                read(&book, &player.name(name_of(book.actor)), dice, true);
            });
        }),
        "reader" => {
            let (dice, name) = (player.dice.another(), player.name(name_of(player.book.actor)));
            read(&player.book, &name, dice, false);
        }
        other => panic!("no role {other}"),
    }
}

fn waits(actor: u64) -> bool {
    actor % 2 == 1
}

fn name_of(actor: u64) -> &'static str {
    if waits(actor) { "broadcast-waiting" } else { "broadcast-dropping" }
}

fn send(player: &Player, book: Book, mut dice: Dice) {
    let slow = if waits(book.actor) { SlowReader::Wait } else { SlowReader::DropOldest };
    let book = Arc::new(book);
    let noted = Arc::clone(&book);
    let broadcast: Broadcast<Parcel> = BroadcastOptions::new(slow)
        .backlog(20)
        .on_departure(move |reader, why| {
            let ways = [ErrorKind::Disconnected, ErrorKind::Truncated, ErrorKind::Io];
            assert!(ways.contains(&why.kind()), "{reader:?}: {why}");
            check(&noted, &reader);
            noted.add(Count::Connections, 1);
        })
        .start(Listener::bind(player.name(name_of(book.actor))).unwrap())
        .unwrap();
    let mut number = 0;
    // The first one is told for both.
    while player.gone() != NO_MORE {
        let len = if dice.once_in(30) { dice.size(0..100_000) } else { dice.size(0..3000) };
        let parcel = Parcel::new(book.actor, 1, number, len);
        match broadcast.send_timeout(&parcel, Duration::from_millis(20)) {
            Ok(()) => {
                number += 1;
                book.note(Note::Done, number);
            }
            Err(error) => {
                assert_eq!(
                    (slow, error.kind()),
                    (SlowReader::Wait, ErrorKind::TimedOut),
                    "{error}"
                );
                book.add(Count::GivenUp, 1);
            }
        }
        book.add(Count::Steps, 1);
        if dice.once_in(30) {
            dice.rest(0..5);
        }
    }
    let readers = broadcast.finish_timeout(Duration::from_secs(30));
    // One that has left by itself may be among them.
    for reader in readers.iter().filter(|reader| reader.finished) {
        // Its process has got all, which it may not have looked at yet.
        let (actor, life) = who(&book, reader.pid.unwrap());
        while book.ledger().note(actor, life, Note::Ended) == 0 {
            thread::sleep(Duration::from_millis(10));
        }
        let (received, begun, first) = check(&book, reader);
        let all = reader.sent + reader.dropped;
        assert_eq!((received, reader.queued), (reader.sent, 0), "{reader:?}");
        assert!(number - first <= all && all <= number - begun, "{reader:?}, of {number}");
    }
    let finished = readers.iter().filter(|reader| reader.finished).count();
    assert!(finished >= 1, "{readers:?}");
}

/// Holds the counts of a reader against what it has noted: how many it has received, how many had been sent before it
/// connected, and the number of its first one.
fn check(book: &Book, reader: &BroadcastReader) -> (u64, u64, u64) {
    let (actor, life) = who(book, reader.pid.unwrap());
    let noted = |note| book.ledger().note(actor, life, note);
    let [received, begun, first, last] =
        [Note::Handled, Note::Begun, Note::First, Note::Last].map(noted);
    let told = format!("{reader:?}, {actor} in its life {life}: {received} from {first} to {last}");
    assert!(received <= reader.sent, "{told}");
    // It may have been killed between these notes.
    let missing = if received == 0 { 0 } else { (last + 1).saturating_sub(first + received) };
    assert!(missing <= if waits(actor) { 0 } else { reader.dropped }, "{told}");
    (received, begun, first)
}

/// The reader of this process, and its life: the last one, since the number of a process comes again.
fn who(book: &Book, process: u32) -> (u64, u64) {
    let ledger: &Ledger = book.ledger();
    let hears = READERS.filter(|reader| waits(*reader) == waits(book.actor));
    let lives = hears.flat_map(|reader| {
        let last = ledger.count(reader, Count::Life);
        (last.saturating_sub(20)..=last).map(move |life| (reader, life))
    });
    let noted = |(reader, life): (u64, u64), note| ledger.note(reader, life, note);
    lives
        .filter(|life| noted(*life, Note::Process) == u64::from(process))
        .max_by_key(|life| noted(*life, Note::Begun))
        .unwrap_or_else(|| panic!("process {process} is no reader of {}", book.actor))
}

/// Reads until it is killed, or has enough; one that lasts, until all is said.
fn read(book: &Book, name: &Path, mut dice: Dice, lasts: bool) {
    let sender = if waits(book.actor) { SENDERS.start + 1 } else { SENDERS.start };
    book.note(Note::Begun, book.ledger().note(sender, 1, Note::Done));
    book.note(Note::Process, std::process::id().into());
    let mut news = TypedConnection::<(), Parcel>::connect(name).unwrap();
    let (mut received, mut next) = (0, 0);
    while lasts || !(book.ledger().is_over() || dice.once_in(5000)) {
        let parcel = match news.recv() {
            Ok(parcel) => parcel,
            Err(end) => {
                assert!(lasts && end.kind() == ErrorKind::Finished, "{end}");
                break;
            }
        };
        let Parcel { actor, number, .. } = parcel;
        assert_eq!(actor, sender, "the news of another one");
        assert!(parcel.is_whole(), "message {number} of {sender} is damaged");
        let is_next = received == 0 || number == next || !waits(actor) && number > next;
        assert!(is_next, "message {number} of {sender} comes where {next} is the next");
        if received == 0 {
            book.note(Note::First, number);
        }
        (received, next) = (received + 1, number + 1);
        book.note(Note::Handled, received);
        book.note(Note::Last, number);
        book.add(Count::Messages, 1);
        book.add(Count::Bytes, parcel.len());
        if dice.once_in(300) {
            dice.rest(1..10);
        }
    }
    book.note(Note::Ended, 1);
}
