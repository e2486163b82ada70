//! Protocols of several steps with a choice and a loop, left and killed at any of them.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use typed_pipe::session::{Chooses, Done, Dual, Ends, Receives, Sends, Session};
use typed_pipe::{Connection, Error, ErrorKind, TransitionError, choice};

use crate::content::{Dice, Parcel};
use crate::crowd::Crowd;
use crate::door::{handshake, serve_each};
use crate::ledger::{Book, Count};
use crate::process::{Player, Process};
use crate::site::Site;
use crate::tally::{Handled, Tally, settle};

pub(crate) const LOAD: &str = "sessions";
const HOST: u64 = 70;
/// Guests of one process, which lasts. An odd one buys, an even one sells.
const STEADY: Range<u64> = 71..73;
const GUESTS: Range<u64> = 71..77;
const MOST_CLIENTS: usize = 12;

/// Where the host sells to those that buy, and where it buys.
const SHOP: &str = "sessions-shop";
const MARKET: &str = "sessions-market";

type Buy = Sends<Parcel, Receives<Parcel, Chooses<Verdict>>>;
type Sell = Dual<Buy>;

choice! {
    pub(crate) enum Verdict in verdict {
        Again => Buy,
        /// With how many parcels came.
        Pay => Sends<u64, Receives<Parcel, Ends>>,
        Leave => Ends,
    }
}

pub(crate) fn supervise(site: &Site) {
    // A connection has four descriptors where memory is made for it.
    let most = 16 + 2 * MOST_CLIENTS as u64 * 5;
    let host = Process::lasting(site, LOAD, "host", HOST..HOST + 1, most);
    let steady = Process::lasting(site, LOAD, "guest", STEADY, 24);
    let guests = (STEADY.end..GUESTS.end).map(|guest| guest..guest + 1);
    Crowd::start(site, LOAD, "guest", guests).disturb_with(host, steady);
}

pub(crate) fn play(role: &str, player: &mut Player) {
    match role {
        "host" => player.counting_descriptors(host),
        "guest" if player.book.actor == STEADY.start => player.counting_descriptors(|player| {
            player.in_threads(STEADY, |player, book, dice| {
                visit(&player.name(name_of(book.actor)), &book, dice, true);
            });
        }),
        "guest" => {
            let dice = player.dice.another();
            visit(&player.name(name_of(player.book.actor)), &player.book, dice, false);
        }
        other => panic!("no role {other}"),
    }
}

/// What one side of a session has sent and taken: no parcel of another session, each in its turn.
struct Talk<'a> {
    book: &'a Book,
    dice: Dice,
    /// The number of the session, by which its parcels are known.
    session: u64,
    sent: u64,
    /// Whose parcels come; the first one tells.
    other: Option<(u64, u64, u64)>,
    taken: u64,
}

/// How a side comes to the end of a session without an error.
enum Left {
    Done(Done),
    /// It drops the session in the middle of it.
    Early,
}

impl<'a> Talk<'a> {
    fn new(book: &'a Book, dice: Dice, session: u64) -> Self {
        Self { book, dice, session, sent: 0, other: None, taken: 0 }
    }

    fn next(&mut self) -> Parcel {
        let len = if self.dice.once_in(20) {
            self.dice.size(0..300_000)
        } else {
            self.dice.size(0..2000)
        };
        let number = self.session << 20 | self.sent;
        self.sent += 1;
        Parcel::new(self.book.actor, self.book.life, number, len)
    }

    fn take(&mut self, parcel: &Parcel) {
        let came = (parcel.actor, parcel.life, parcel.number >> 20);
        let other = *self.other.get_or_insert(came);
        assert_eq!((came, parcel.number & 0xF_FFFF), (other, self.taken), "another parcel");
        assert!(parcel.is_whole(), "parcel {} of {other:?} is damaged", self.taken);
        self.taken += 1;
        self.book.add(Count::Messages, 1);
        self.book.add(Count::Bytes, parcel.len());
    }

    /// Takes a step, and takes it again where it was too late. Rests before it now and then.
    fn step<S, T>(
        &mut self,
        mut session: S,
        mut step: impl FnMut(S) -> Result<T, TransitionError<S>>,
    ) -> Result<T, Error> {
        if self.dice.once_in(40) {
            self.dice.rest(0..20);
        }
        loop {
            match step(session) {
                Err(late) if late.kind() == ErrorKind::TimedOut => {
                    assert!(late.error().step().is_some(), "{late}");
                    self.book.add(Count::GivenUp, 1);
                    session = late.into_state();
                }
                stepped => return Ok(stepped?),
            }
        }
    }

    fn leaves(&mut self) -> bool {
        self.dice.once_in(60)
    }
}

fn buy(mut session: Session<Buy>, talk: &mut Talk<'_>) -> Result<Left, Error> {
    loop {
        let parcel = talk.next();
        let next = talk.step(session, |session| session.send(&parcel))?;
        if talk.leaves() {
            return Ok(Left::Early);
        }
        let (parcel, next) = talk.step(next, Session::recv)?;
        talk.take(&parcel);
        match talk.dice.from(0..6) {
            0..4 => session = next.choose(verdict::Again),
            4 => {
                let (next, taken) = (next.choose(verdict::Pay), talk.taken);
                let next = talk.step(next, |session| session.send(&taken))?;
                let (receipt, next) = talk.step(next, Session::recv)?;
                talk.take(&receipt);
                return talk.step(next, Session::end).map(Left::Done);
            }
            _ => return talk.step(next.choose(verdict::Leave), Session::end).map(Left::Done),
        }
        if talk.leaves() {
            return Ok(Left::Early);
        }
    }
}

fn sell(mut session: Session<Sell>, talk: &mut Talk<'_>) -> Result<Left, Error> {
    loop {
        let (parcel, next) = talk.step(session, Session::recv)?;
        talk.take(&parcel);
        if talk.leaves() {
            return Ok(Left::Early);
        }
        let parcel = talk.next();
        let next = talk.step(next, |session| session.send(&parcel))?;
        match talk.step(next, Session::offer)? {
            Verdict::Again(next) => session = next,
            Verdict::Pay(next) => {
                let (taken, next) = talk.step(next, Session::recv)?;
                assert_eq!(taken, talk.sent, "it has not taken what was sent");
                if talk.leaves() {
                    return Ok(Left::Early);
                }
                let receipt = talk.next();
                let next = talk.step(next, |session| session.send(&receipt))?;
                return talk.step(next, Session::end).map(Left::Done);
            }
            Verdict::Leave(next) => return talk.step(next, Session::end).map(Left::Done),
        }
    }
}

/// The other side has left or was killed: the error tells at which step of this one.
fn check(error: &Error) {
    let kind = error.kind();
    let ways = [ErrorKind::Abandoned, ErrorKind::Disconnected, ErrorKind::Truncated];
    assert!(ways.contains(&kind), "{error}");
    let step = error.step().unwrap_or_else(|| panic!("no step: {error}"));
    assert!(kind == ErrorKind::Abandoned || error.to_string().contains(step), "{error}");
}

fn host(player: &mut Player) {
    let (sessions, handled) = (AtomicU64::new(0), Handled::default());
    let (seed, player) = (player.dice.from(0..u64::MAX), &*player);
    let meet = |client: Connection, buys: bool| {
        let number = sessions.fetch_add(1, Ordering::Relaxed);
        let mut talk = Talk::new(&player.book, Dice::new(seed ^ number), number);
        let handshake = handshake(true);
        // Its guest may be killed before they have begun.
        let left = if buys {
            let Ok(session) = handshake.session(client) else { return };
            buy(session, &mut talk)
        } else {
            let Ok(session) = handshake.session(client) else { return };
            sell(session, &mut talk)
        };
        player.book.add(Count::Steps, 1);
        match left {
            Ok(Left::Done(_)) => {
                let (actor, life, number) = talk.other.unwrap();
                let once = handled.note(&player.book, (actor, life), number, true);
                assert!(once, "session {number} of {actor} in its life {life} ends once more");
            }
            Ok(Left::Early) => {}
            Err(error) => {
                check(&error);
                player.book.add(Count::Told, 1);
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| serve_each(player, SHOP, MOST_CLIENTS, |client| meet(client, false)));
        scope.spawn(|| serve_each(player, MARKET, MOST_CLIENTS, |client| meet(client, true)));
    });
    settle(&player.book, GUESTS);
}

fn buys(guest: u64) -> bool {
    guest % 2 == 1
}

fn name_of(guest: u64) -> &'static str {
    if buys(guest) { SHOP } else { MARKET }
}

/// One session after the other. One that is left early, by either side, comes to no end for the host.
fn visit(name: &Path, book: &Book, mut dice: Dice, lasts: bool) {
    let mut tally = Tally::new(book);
    while !book.ledger().is_over() && (lasts || !dice.once_in(1000)) {
        let client = Connection::connect(name).unwrap();
        let handshake = handshake(dice.once_in(2));
        let most = if dice.once_in(4) { 10 } else { 100_000 };
        let patience = dice.milliseconds(1..most);
        let mut talk = Talk::new(book, dice.another(), tally.begin());
        let left = if buys(book.actor) {
            let session = handshake.session(client).unwrap();
            buy(session.step_timeout(patience), &mut talk)
        } else {
            let session = handshake.session(client).unwrap();
            sell(session.step_timeout(patience), &mut talk)
        };
        assert!(talk.other.is_none_or(|(actor, ..)| actor == HOST), "{:?}", talk.other);
        match left {
            Ok(Left::Done(_)) => {
                tally.confirm(1);
                book.add(Count::Calls, 1);
            }
            Ok(Left::Early) => tally.undelivered(1),
            Err(error) => {
                check(&error);
                tally.undelivered(1);
                book.add(Count::Told, 1);
            }
        }
    }
    tally.end();
}
