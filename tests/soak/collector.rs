//! Senders that reconnect, and a collector of them all, which is killed, is away for a while, and comes back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use typed_pipe::{
    Connection, Error, ErrorKind, Handshake, IfExists, ListenerOptions, ReconnectCounts,
    ReconnectOptions, Select, SendingHalf, WhenFull,
};

use crate::content::{Dice, Parcel};
use crate::ledger::{Book, Count, NO_MORE, Note};
use crate::process::{Player, Process};
use crate::site::Site;
use crate::tally::{Tally, settle};

pub(crate) const LOAD: &str = "collector";
const COLLECTOR: u64 = 80;
/// The threads of a process, each with a sender after the other: each sender is a life.
const WRITERS: std::ops::Range<u64> = 81..85;

const LONG: Duration = Duration::from_secs(30);
/// So often the pulse of the process comes at most while a value is queued: a patience is three of them. The collector is
/// away for longer now and then.
const HELD_UP: u64 = 300;
const PULSE: Duration = Duration::from_millis(10);

/// The pulse of this process, which stops while the process is held up: by its supervisor, or by the machine.
static PULSES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn supervise(site: &Site) {
    let mut dice = Dice::new(site.seed ^ COLLECTOR);
    let mut writers = Process::lasting(site, LOAD, "writers", WRITERS, 48);
    for life in 1.. {
        let mut collector = Process::start(site, LOAD, "collector", COLLECTOR..COLLECTOR + 1, life);
        let until = Instant::now() + dice.milliseconds(100..6000);
        while Instant::now() < until && !site.is_over() {
            dice.rest(1..50);
            writers.lasts();
            collector.lasts();
            match dice.from(0..40) {
                0 => collector.suspend(dice.milliseconds(1..150)),
                1 => writers.suspend(dice.milliseconds(1..150)),
                _ => {}
            }
        }
        if site.is_over() {
            writers.join();
            site.ledger.set_count(COLLECTOR, Count::Gone, NO_MORE);
            return collector.join();
        }
        collector.kill();
        drop(collector);
        let away = if dice.once_in(30) { 6000..10_000 } else { 0..300 };
        let until = Instant::now() + dice.milliseconds(away);
        while Instant::now() < until && !site.is_over() {
            dice.rest(1..20);
        }
    }
}

pub(crate) fn play(role: &str, player: &mut Player) {
    match role {
        "collector" => collect(player),
        "writers" => player.counting_descriptors(|player| {
            // It ends with the process.
            thread::spawn(|| {
                loop {
                    thread::sleep(PULSE);
                    PULSES.fetch_add(1, Ordering::Relaxed);
                }
            });
            player.in_threads(WRITERS, |player, book, dice| write(player, book.actor, dice));
        }),
        other => panic!("no role {other}"),
    }
}

enum Event {
    Client(Result<Connection, Error>),
    Parcel(u64, Result<Parcel, Error>),
}

/// A sender that is connected, and how many of its values have come, and are confirmed.
struct Client {
    confirms: SendingHalf<u64>,
    /// The last one of them.
    last: Option<(u64, u64)>,
    came: u64,
    confirmed: u64,
}

impl Client {
    /// It may be gone.
    fn confirm(&mut self) {
        if self.confirmed < self.came && self.confirms.send(&self.came).is_ok() {
            self.confirmed = self.came;
        }
    }
}

fn collect(player: &mut Player) {
    // The last one was killed.
    let listener = ListenerOptions::new().if_exists(IfExists::Reuse);
    let listener = listener.bind(player.name(LOAD)).unwrap();
    let mut select = Select::new().unwrap();
    select.add_listener(listener, Event::Client).unwrap();
    let mut clients = HashMap::new();
    for number in 0.. {
        match select.wait_timeout(Duration::from_millis(20)) {
            Ok(Some(Event::Client(client))) => {
                let handshake = Handshake::new().timeout(LONG);
                // A sender may give up before it is served.
                let Ok(client) = handshake.perform::<u64, Parcel>(client.unwrap()) else {
                    continue;
                };
                let (confirms, receiver) = client.split();
                select.add_receiver(receiver, move |parcel| Event::Parcel(number, parcel)).unwrap();
                clients.insert(number, Client { confirms, last: None, came: 0, confirmed: 0 });
                player.book.add(Count::Connections, 1);
            }
            Ok(Some(Event::Parcel(from, Ok(parcel)))) => {
                take(&player.book, &parcel);
                let client = clients.get_mut(&from).unwrap();
                client.last = Some((parcel.actor, parcel.life));
                client.came += 1;
                if player.dice.once_in(4) {
                    client.confirm();
                }
            }
            Ok(Some(Event::Parcel(from, Err(end)))) => {
                let ways = [ErrorKind::Finished, ErrorKind::Disconnected, ErrorKind::Truncated];
                assert!(ways.contains(&end.kind()), "{end}");
                let mut client = clients.remove(&from).unwrap();
                client.confirm();
                let is_over = client.confirmed == client.came && end.kind() == ErrorKind::Finished;
                if let Some((actor, life)) = client.last.filter(|_| is_over) {
                    player.book.ledger().set_note(actor, life, Note::Over, 1);
                }
            }
            Ok(None) => panic!("the listener is gone"),
            Err(late) => {
                assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
                if player.gone() == NO_MORE && clients.is_empty() {
                    break;
                }
                clients.values_mut().for_each(Client::confirm);
            }
        }
        if player.dice.once_in(500) {
            player.dice.rest(1..10);
        }
    }
    settle(&player.book, WRITERS);
}

/// Notes a value before it is confirmed. Those of a sender come in order, over all collectors.
fn take(book: &Book, parcel: &Parcel) {
    let Parcel { actor, life, number, .. } = *parcel;
    let noted = |note| book.ledger().note(actor, life, note);
    let (last, handled) = (noted(Note::Last), noted(Note::Handled));
    assert!(last < number, "value {number} of {actor} in its life {life} comes after {last}");
    assert!(parcel.is_whole(), "value {number} of {actor} in its life {life} is damaged");
    book.ledger().set_note(actor, life, Note::Last, number);
    book.ledger().set_note(actor, life, Note::Handled, handled + 1);
    book.add(Count::Messages, 1);
    book.add(Count::Bytes, parcel.len());
}

fn write(player: &Player, actor: u64, mut dice: Dice) {
    let name = player.name(LOAD);
    for life in 1.. {
        let book = player.book_in(actor, life);
        let full = [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Refuse][dice.size(0..3)];
        let options = ReconnectOptions::new(full).backlog(dice.size(1..100));
        let log = options.connect::<Parcel>(&name).unwrap();
        let (mut tally, mut accepted) = (Tally::new(&book), 0);
        while !book.ledger().is_over() && !dice.once_in(500) {
            for _ in 0..dice.from(1..40) {
                let len =
                    if dice.once_in(100) { dice.size(0..100_000) } else { dice.size(0..1000) };
                let parcel = Parcel::new(actor, life, tally.begin(), len);
                let patience = dice.once_in(20).then(|| dice.milliseconds(0..30));
                let begun = PULSES.load(Ordering::Relaxed);
                let queued = match patience {
                    Some(patience) => log.send_timeout(&parcel, patience),
                    None => log.send(&parcel),
                };
                let pulses = PULSES.load(Ordering::Relaxed) - begun;
                assert!(pulses < HELD_UP, "{pulses} pulses for {patience:?}");
                match queued {
                    Ok(()) => accepted += 1,
                    Err(error) => {
                        let late = patience.map_or(ErrorKind::WouldBlock, |_| ErrorKind::TimedOut);
                        assert_eq!((full, error.kind()), (WhenFull::Refuse, late), "{error}");
                        tally.undelivered(1);
                    }
                }
                book.add(Count::Steps, 1);
            }
            add_up(&log.counts(), accepted);
            dice.rest(0..6);
        }
        let patience = if dice.once_in(4) { dice.milliseconds(0..50) } else { LONG };
        let before = log.counts();
        let counts = log.finish_timeout(patience);
        // Of a connection that comes to its end in time, all has come.
        let same = before.connected && before.connections == counts.connections;
        if same && patience == LONG && book.ledger().note(actor, life, Note::Over) > 0 {
            assert_eq!(before.uncertain, counts.uncertain, "{before:?}, {counts:?}");
        }
        add_up(&counts, accepted);
        assert_eq!((counts.waiting, counts.unconfirmed), (0, 0), "{counts:?}");
        tally.confirm(counts.confirmed);
        tally.undelivered(counts.dropped);
        tally.unsure(counts.uncertain);
        tally.end();
        if book.ledger().is_over() {
            break;
        }
    }
}

/// What was accepted is in exactly one of the others.
fn add_up(counts: &ReconnectCounts, accepted: u64) {
    let ReconnectCounts { waiting, unconfirmed, confirmed, uncertain, dropped, .. } = counts;
    let sum = waiting + unconfirmed + confirmed + uncertain + dropped;
    assert_eq!((counts.accepted, sum), (accepted, accepted), "{counts:?}");
}
