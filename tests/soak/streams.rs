//! Calls with items in both ways, which their callers give up, miss the deadline of, or are killed in.

use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::{CancelToken, Client, ClientOptions, Context, Error, ErrorKind, Items, Service};

use crate::calls::close;
use crate::content::{Dice, Parcel};
use crate::crowd::Crowd;
use crate::ledger::{Book, Count, Ledger, NO_MORE, Note};
use crate::process::{Player, Process, abort_on_panic};
use crate::site::Site;
use crate::tally::{Handled, Tally};

pub(crate) const LOAD: &str = "streams";
const SERVICE: u64 = 60;
/// The threads of a client that lasts, which share a connection.
const STEADY: std::ops::Range<u64> = 61..64;
const CLIENTS: std::ops::Range<u64> = 61..67;

/// The bytes of items that may be on their way in one direction of one call. The last one may go beyond.
const WINDOW: u64 = 256 << 10;
const LARGEST: usize = 60_000;
/// So many items a caller sends ahead of what it takes: far less than a window of them.
const AHEAD: u64 = 3;

/// A request: who makes it, how many items the handler sends of its own, and whether it then sends one for each that it
/// takes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Talk {
    caller: (u64, u64),
    call: u64,
    first: u64,
    echoes: bool,
}

/// The handler ends when it is told, and not before.
const ENDLESS: u64 = u64::MAX;

/// The answer of a handler that was told to end.
const CUT: u64 = u64::MAX;

pub(crate) fn supervise(site: &Site) {
    let service = Process::lasting(site, LOAD, "service", SERVICE..SERVICE + 1, 32);
    let steady = Process::lasting(site, LOAD, "client", STEADY, 12);
    let clients = (STEADY.end..CLIENTS.end).map(|client| client..client + 1);
    Crowd::start(site, LOAD, "client", clients).disturb_with(service, steady);
}

pub(crate) fn play(role: &str, player: &mut Player) {
    match role {
        "service" => player.counting_descriptors(serve),
        "client" if player.book.actor == STEADY.start => player.counting_descriptors(talk_steadily),
        "client" => talk_in_danger(player),
        other => panic!("no role {other}"),
    }
}

/// The items of one direction of a call: its producer makes the next one, its consumer takes it.
struct Way<'a> {
    ledger: &'a Ledger,
    talk: Talk,
    sent: Note,
    items: u64,
    bytes: u64,
}

impl<'a> Way<'a> {
    fn new(ledger: &'a Ledger, talk: Talk, sent: Note) -> Self {
        Self { ledger, talk, sent, items: 0, bytes: 0 }
    }

    /// No two items have the same number, whatever their call and their direction.
    fn number(&self) -> u64 {
        self.talk.call << 32 | self.items << 1 | u64::from(matches!(self.sent, Note::Down))
    }

    fn next(&self, len: usize) -> Parcel {
        let (actor, life) = self.talk.caller;
        Parcel::new(actor, life, self.number(), len)
    }

    /// Notes for the consumer how many bytes are sent in this call.
    fn note(&mut self, parcel: &Parcel) {
        let (actor, life) = self.talk.caller;
        self.items += 1;
        self.bytes += parcel.len();
        self.ledger.set_note(actor, life, self.sent, self.talk.call << 32 | self.bytes);
    }

    /// Takes the next item: the right one, whole, and its producer is not ahead of this by more than the window.
    fn take(&mut self, book: &Book, parcel: &Parcel) {
        let (actor, life) = self.talk.caller;
        let came = (parcel.actor, parcel.life, parcel.number);
        assert_eq!(came, (actor, life, self.number()), "an item of {:?}", self.talk);
        assert!(parcel.is_whole(), "item {} of {:?} is damaged", self.items, self.talk);
        self.items += 1;
        self.bytes += parcel.len();
        let noted = self.ledger.note(actor, life, self.sent);
        // A handler that is not told yet that it was given up may note what it sends beside the next one.
        if noted >> 32 == self.talk.call {
            let ahead = (noted & u64::from(u32::MAX)).saturating_sub(self.bytes);
            let most = WINDOW + LARGEST as u64;
            assert!(ahead <= most, "{ahead} bytes are ahead of {:?} at {}", self.talk, self.items);
        }
        book.add(Count::Messages, 1);
        book.add(Count::Bytes, parcel.len());
    }
}

fn serve(player: &mut Player) {
    abort_on_panic();
    let token = CancelToken::new().unwrap();
    let service = Service::<Talk, u64>::bind(player.name(LOAD)).unwrap().cancelled_by(&token);
    let (player, handled, counter) = (&*player, Handled::default(), service.counter());
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            service
                .serve_with_context(|talk, context| answer(&player.book, &handled, talk, &context))
        });
        // Those of callers that are gone end because they are told.
        while player.gone() != NO_MORE || counter.counts().in_flight > 0 {
            assert!(!serving.is_finished(), "the service ended: {:?}", serving.join());
            thread::sleep(Duration::from_millis(20));
        }
        token.cancel();
        let summary = serving.join().unwrap().unwrap();
        close(&player.book, CLIENTS, summary, counter.counts());
    });
}

/// Sends items of its own, and then takes what comes. The answer is how many came.
fn answer(book: &Book, handled: &Handled, talk: Talk, context: &Context<Parcel>) -> u64 {
    assert!(handled.note(book, talk.caller, talk.call, true), "{talk:?} comes once more");
    book.add(Count::Steps, 1);
    let mut up = Way::new(book.ledger(), talk, Note::Up);
    let mut down = Way::new(book.ledger(), talk, Note::Down);
    let mut dice = Dice::new(talk.call);
    let mut send = |dice: &mut Dice| {
        let parcel = down.next(dice.size(0..LARGEST));
        context.send(&parcel).inspect(|()| down.note(&parcel))
    };
    let mut go_on = || -> Result<(), Error> {
        (0..talk.first).try_for_each(|_| send(&mut dice))?;
        while let Some(parcel) = context.recv::<Parcel>() {
            up.take(book, &parcel?);
            if talk.echoes {
                send(&mut dice)?;
            } else if dice.once_in(30) {
                dice.rest(1..10);
            }
        }
        Ok(())
    };
    let ended = go_on();
    if let Err(error) = &ended {
        let told = [ErrorKind::Cancelled, ErrorKind::TimedOut];
        assert!(told.contains(&error.kind()), "{talk:?}: {error}");
    }
    // Its caller has left or given up, or its time is over.
    let is_cut = ended.is_err() || context.is_cancelled();
    book.add(Count::Told, u64::from(is_cut));
    handled.over(book.ledger(), talk.caller);
    if is_cut { CUT } else { up.items }
}

type Caller = Client<Talk, u64>;

/// One call; whether it came to its end, and was not given up.
fn talk(client: &Caller, tally: &mut Tally<'_>, dice: &mut Dice) -> bool {
    let book = tally.book;
    let first = match dice.from(0..8) {
        0 => ENDLESS,
        1..4 => dice.from(1..50),
        _ => 1,
    };
    let talk = Talk {
        caller: (book.actor, book.life),
        call: tally.begin(),
        first,
        echoes: dice.once_in(2),
    };
    let items = if dice.once_in(10) { dice.from(0..100) } else { dice.from(0..8) };
    let outcome = client.stream(&talk).and_then(|call| converse(book, dice, talk, items, call));
    book.add(Count::Steps, 1);
    match outcome {
        Ok(true) => {
            tally.confirm(1);
            book.add(Count::Calls, 1);
            return true;
        }
        Ok(false) => tally.unsure(1),
        Err(error) if error.kind() == ErrorKind::TimedOut => tally.unsure(1),
        Err(error) => panic!("{talk:?}: {error}"),
    }
    false
}

/// Takes what the handler sends, and sends items of its own. Whether it is not given up.
fn converse(
    book: &Book,
    dice: &mut Dice,
    talk: Talk,
    items: u64,
    mut call: Items<Parcel, u64>,
) -> Result<bool, Error> {
    let mut up = Way::new(book.ledger(), talk, Note::Up);
    let mut down = Way::new(book.ledger(), talk, Note::Down);
    // Whether its handler goes on: where the time is over, it may be told so earlier than its caller.
    let mut send = |call: &mut Items<Parcel, u64>, dice: &mut Dice| {
        let parcel = up.next(dice.size(0..LARGEST));
        match call.send(&parcel) {
            Err(error) if error.kind() == ErrorKind::Disconnected => Ok(false),
            sent => sent.map(|()| up.note(&parcel)).map(|()| true),
        }
    };
    let (echoes, mut sent) = (if talk.echoes { items } else { 0 }, 0);
    let all = talk.first.saturating_add(echoes);
    let gives_up_at = if talk.first == ENDLESS || dice.once_in(8) { dice.from(0..40) } else { all };
    while down.items < all.min(gives_up_at) {
        // It is held up now and then, and its producer with it.
        if dice.once_in(100) {
            dice.rest(1..10);
        }
        while sent < echoes && talk.first + sent < down.items + AHEAD {
            if !send(&mut call, dice)? {
                return unfinished(call);
            }
            sent += 1;
        }
        match call.next() {
            Some(parcel) => down.take(book, &parcel?),
            None => break,
        }
    }
    if gives_up_at < all {
        return Ok(false);
    }
    for _ in sent..items {
        if !send(&mut call, dice)? {
            return unfinished(call);
        }
    }
    if dice.once_in(8) {
        return Ok(false);
    }
    call.end();
    match call.next() {
        None => {}
        Some(Err(error)) => return Err(error),
        Some(Ok(parcel)) => panic!("one item too many of {talk:?}: {}", parcel.number),
    }
    let answer = call.finish()?;
    if answer == CUT {
        return Ok(false);
    }
    assert_eq!((answer, down.items), (items, all), "{talk:?}");
    Ok(true)
}

/// A call whose handler has ended before its caller. If the connection is lost, that is an error.
fn unfinished(call: Items<Parcel, u64>) -> Result<bool, Error> {
    call.finish().map(|_| false)
}

/// Threads that share a connection.
fn talk_steadily(player: &mut Player) {
    let client = Caller::connect(player.name(LOAD)).unwrap();
    player.in_threads(STEADY, |_, book, mut dice| {
        let mut tally = Tally::new(&book);
        while !book.ledger().is_over() {
            talk(&client, &mut tally, &mut dice);
        }
        tally.end();
        // The handlers of what was given up are told while the client is still there.
        let noted = |note| book.ledger().note(book.actor, book.life, note);
        while noted(Note::Over) < noted(Note::Handled) {
            thread::sleep(Duration::from_millis(10));
        }
    });
}

/// Calls until it is killed, or has enough, and connects anew now and then, with a deadline for its calls or without.
fn talk_in_danger(player: &mut Player) {
    let (name, dice) = (player.name(LOAD), &mut player.dice);
    let connect = |dice: &mut Dice| -> Caller {
        // Some of its calls are late, or none.
        let most = if dice.once_in(3) { 300 } else { 1_000_000 };
        let options = ClientOptions::new().reply_timeout(dice.milliseconds(1..most));
        options.connect(&name).unwrap()
    };
    let mut tally = Tally::new(&player.book);
    let mut client = connect(dice);
    while !tally.book.ledger().is_over() && !dice.once_in(2000) {
        if talk(&client, &mut tally, dice) && dice.once_in(20) {
            client = connect(dice);
        }
    }
    tally.end();
}
