//! A service, and clients that call it, some of which are killed in a call.

use std::panic::resume_unwind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::{CallCounts, CancelToken, Client, Error, ErrorKind, Service, Summary};

use crate::content::{Dice, Parcel};
use crate::crowd::Crowd;
use crate::ledger::{Book, Count, NO_MORE};
use crate::process::{Player, Process};
use crate::site::Site;
use crate::tally::{Handled, Tally, settle};

pub(crate) const LOAD: &str = "calls";
const SERVICE: u64 = 30;
/// The threads of a client that lasts, which share a connection.
const STEADY: std::ops::Range<u64> = 31..34;
const CLIENTS: std::ops::Range<u64> = 31..37;

/// A request, which says what shall become of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) parcel: Parcel,
    pub(crate) wish: Wish,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Wish {
    /// An answer of so many bytes.
    Answer(usize),
    /// An answer that is late by so many milliseconds.
    Late(u64),
    Failure,
    Panic,
}

pub(crate) fn supervise(site: &Site) {
    let service = Process::lasting(site, LOAD, "service", SERVICE..SERVICE + 1, 32);
    let steady = Process::lasting(site, LOAD, "client", STEADY, 12);
    let clients = (STEADY.end..CLIENTS.end).map(|client| client..client + 1);
    Crowd::start(site, LOAD, "client", clients).disturb_with(service, steady);
}

pub(crate) fn play(role: &str, player: &mut Player) {
    match role {
        "service" => player.counting_descriptors(serve),
        "client" if player.book.actor == STEADY.start => player.counting_descriptors(call_steadily),
        "client" => call_in_danger(player),
        other => panic!("no role {other}"),
    }
}

fn serve(player: &mut Player) {
    let token = CancelToken::new().unwrap();
    let service = Service::<Ask, Parcel>::bind(player.name(LOAD)).unwrap().cancelled_by(&token);
    let (player, handled, counter) = (&*player, Handled::default(), service.counter());
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            service.serve(|ask| {
                take(&player.book, &handled, &ask);
                if let Wish::Late(milliseconds) = ask.wish {
                    thread::sleep(Duration::from_millis(milliseconds));
                }
                answer(&ask)
            })
        });
        while player.gone() != NO_MORE {
            assert!(!serving.is_finished(), "the service ended: {:?}", serving.join());
            thread::sleep(Duration::from_millis(20));
        }
        token.cancel();
        let summary = serving.join().unwrap().unwrap();
        close(&player.book, CLIENTS, summary, counter.counts());
    });
}

/// Notes a request. Where something is wrong with it, the process ends: a service would go on.
pub(crate) fn take(book: &Book, handled: &Handled, ask: &Ask) {
    let Parcel { actor, life, number, .. } = ask.parcel;
    if !ask.parcel.is_whole() || !handled.note(book, (actor, life), number, true) {
        eprintln!("call {number} of {actor} in its life {life} is damaged, or comes once more");
        std::process::abort();
    }
    book.add(Count::Steps, 1);
    book.add(Count::Bytes, ask.parcel.len());
}

/// The answer of a service.
pub(crate) fn answer(ask: &Ask) -> Result<Parcel, &'static str> {
    let Parcel { actor, life, number, .. } = ask.parcel;
    match ask.wish {
        Wish::Answer(len) => Ok(Parcel::new(actor, life, number, len)),
        Wish::Late(_) => Ok(Parcel::new(actor, life, number, 1)),
        Wish::Failure => Err("as it was wished"),
        // Without a word in the log.
        Wish::Panic => resume_unwind(Box::new("as it was wished")),
    }
}

/// All clients are gone.
pub(crate) fn close(
    book: &Book,
    callers: impl IntoIterator<Item = u64>,
    summary: Summary,
    counts: CallCounts,
) {
    let handled = settle(book, callers);
    // The summary leaves out the calls of the clients that were lost: one in flight, and those that it had given up.
    let told = summary.answered + summary.failed;
    let begun = counts.answered + counts.failed + counts.cancelled;
    assert!(told <= handled && handled <= begun, "{handled} handled, {summary:?}, {counts:?}");
    assert_eq!(counts.in_flight, 0, "{counts:?}");
    book.add(Count::Connections, summary.clients);
}

/// What is called, most of it small.
pub(crate) fn next(tally: &mut Tally<'_>, dice: &mut Dice, wish: Wish) -> Ask {
    let len = if dice.once_in(30) { dice.size(0..100_000) } else { dice.size(0..1000) };
    let Book { actor, life, .. } = *tally.book;
    Ask { parcel: Parcel::new(actor, life, tally.begin(), len), wish }
}

pub(crate) fn wish(dice: &mut Dice) -> Wish {
    match dice.from(0..40) {
        0 => Wish::Answer(dice.size(0..100_000)),
        1 => Wish::Failure,
        2 => Wish::Panic,
        _ => Wish::Answer(dice.size(0..1000)),
    }
}

/// Holds an outcome against what was wished. Whether it was an answer.
pub(crate) fn note(tally: &mut Tally<'_>, ask: &Ask, outcome: Result<Parcel, Error>) -> bool {
    let Parcel { actor, life, number, .. } = ask.parcel;
    match (outcome, ask.wish) {
        (Ok(answer), Wish::Answer(_) | Wish::Late(_)) => {
            let from = (answer.actor, answer.life, answer.number);
            assert_eq!(from, (actor, life, number), "the answer of another call");
            let len = if let Wish::Answer(len) = ask.wish { len } else { 1 };
            assert!(answer.is_whole() && answer.len() == len as u64, "a damaged answer");
        }
        (Err(error), Wish::Failure) if error.kind() == ErrorKind::HandlerFailed => {
            assert!(error.is_delivered() && error.to_string().ends_with("as it was wished"));
        }
        (Err(error), Wish::Panic) if error.kind() == ErrorKind::HandlerPanicked => {
            assert!(error.is_delivered() && error.to_string().ends_with("as it was wished"));
        }
        (Err(error), Wish::Late(_)) if error.kind() == ErrorKind::TimedOut => {
            if error.is_delivered() {
                tally.unsure(1)
            } else {
                tally.undelivered(1)
            }
            return false;
        }
        (outcome, wish) => panic!("{wish:?}: {outcome:?}"),
    }
    tally.confirm(1);
    tally.book.add(Count::Calls, 1);
    true
}

/// One call, with a deadline that it misses now and then. Whether it was answered.
fn call(client: &Client<Ask, Parcel>, tally: &mut Tally<'_>, dice: &mut Dice) -> bool {
    if dice.once_in(50) {
        let ask = next(tally, dice, Wish::Late(15));
        let outcome = client.call_timeout(&ask, dice.milliseconds(0..20));
        return note(tally, &ask, outcome);
    }
    let wish = wish(dice);
    let ask = next(tally, dice, wish);
    let outcome = client.call(&ask);
    note(tally, &ask, outcome)
}

fn connect(name: &Path) -> Client<Ask, Parcel> {
    Client::connect(name).unwrap()
}

/// Threads that share a connection.
fn call_steadily(player: &mut Player) {
    let client = connect(&player.name(LOAD));
    player.in_threads(STEADY, |_, book, mut dice| {
        let mut tally = Tally::new(&book);
        while !book.ledger().is_over() {
            call(&client, &mut tally, &mut dice);
        }
        tally.end();
    });
}

/// Calls until it is killed, or has enough, and connects anew now and then.
fn call_in_danger(player: &mut Player) {
    let (name, dice) = (player.name(LOAD), &mut player.dice);
    let mut tally = Tally::new(&player.book);
    let mut client = connect(&name);
    while !tally.book.ledger().is_over() && !dice.once_in(5000) {
        // After an answer no other call is on its way.
        if call(&client, &mut tally, dice) && dice.once_in(100) {
            client = connect(&name);
        }
    }
    tally.end();
}
