//! The same under tokio: a service and a receiver in tasks, and tasks that call and send, give up, and are killed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use typed_pipe::wire::{LengthPrefixed, Postcard};
use typed_pipe::{
    CancelToken, Client, ClientOptions, Error, ErrorKind, OnHangup, Pipe, Service, Tokio, WriteEnd,
};

use crate::arrivals::{Arrivals, BATCH};
use crate::calls::{self, Ask, Wish};
use crate::content::{Dice, Parcel};
use crate::crowd::Crowd;
use crate::ledger::{Book, Count, NO_MORE, Note};
use crate::multi_writer::{self, Writers};
use crate::process::{Player, Process};
use crate::site::Site;
use crate::tally::{Handled, Tally};

pub(crate) const LOAD: &str = "tasks";
const HOST: u64 = 40;
/// The tasks of a process that lasts: those below a number call, the others send.
const STEADY: std::ops::Range<u64> = 41..47;
const STEADY_SENDERS: u64 = 44;
/// And those of one that is killed.
const MORTAL: std::ops::Range<u64> = 47..50;
const MORTAL_SENDERS: u64 = 49;

pub(crate) fn supervise(site: &Site) {
    let host = Process::lasting(site, LOAD, "host", HOST..HOST + 1, 64);
    let steady = Process::lasting(site, LOAD, "guests", STEADY, 48);
    Crowd::start(site, LOAD, "guests", [MORTAL]).disturb_with(host, steady);
}

pub(crate) fn play(role: &str, player: &mut Player) {
    match role {
        "host" => counting_descriptors(player, |player| runtime().block_on(host(player))),
        "guests" => counting_descriptors(player, |player| runtime().block_on(guests(player))),
        other => panic!("no role {other}"),
    }
}

fn counting_descriptors(player: &mut Player, play: impl FnOnce(&mut Player)) {
    // The first runtime of a process opens two for signals, which stay.
    drop(runtime());
    player.counting_descriptors(play);
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn service_name(player: &Player) -> PathBuf {
    player.name("tasks-calls")
}

async fn host(player: &mut Player) {
    let token = CancelToken::new().unwrap();
    let service = Service::<Ask, Parcel>::bind(service_name(player)).unwrap().cancelled_by(&token);
    let service = service.into_tokio().unwrap();
    let counter = service.counter();
    let (book, handled) = (Arc::clone(&player.book), Arc::new(Handled::default()));
    let serving = tokio::spawn(service.serve(move |ask| {
        let (book, handled) = (Arc::clone(&book), Arc::clone(&handled));
        async move {
            calls::take(&book, &handled, &ask);
            if let Wish::Late(milliseconds) = ask.wish {
                sleep(Duration::from_millis(milliseconds)).await;
            }
            calls::answer(&ask)
        }
    }));
    receive(player).await;
    token.cancel();
    let summary = serving.await.unwrap().unwrap();
    let callers = (STEADY.start..STEADY_SENDERS).chain(MORTAL.start..MORTAL_SENDERS);
    calls::close(&player.book, callers, summary, counter.counts());
}

async fn receive(player: &mut Player) {
    let pipe = Pipe::new(player.name(LOAD)).unwrap().mkfifo().unwrap();
    let reader = pipe.into_reader().on_hangup(OnHangup::NextWriter).into_tokio();
    let reader = reader.open().await.unwrap();
    let mut receiver = reader.into_receiver_with::<Parcel, _, _>(multi_writer::wire());
    let senders = (STEADY_SENDERS..STEADY.end).chain(MORTAL_SENDERS..MORTAL.end);
    let (mut arrivals, mut writers) = (Arrivals::new(senders), Writers::default());
    let book = &*player.book;
    let mut silence = 0;
    while silence < SILENCE {
        let gone = player.gone() == NO_MORE;
        // The future is dropped where nothing comes, and loses nothing.
        match timeout(Duration::from_millis(20), receiver.recv()).await {
            Ok(Ok(parcel)) => {
                writers.check(&parcel, receiver.last_writer().unwrap());
                arrivals.take(book, &parcel);
                silence = 0;
            }
            Ok(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::MessageLost, "{error}");
                book.add(Count::Told, 1);
            }
            // A busy machine may be late with what is there.
            Err(_) if gone && arrivals.are_complete(book) => break,
            Err(_) if gone => silence += 1,
            Err(_) => {}
        }
        if !gone && player.dice.once_in(12) {
            sleep(player.dice.milliseconds(1..3)).await;
        }
    }
    arrivals.settle_all(book);
}

/// So often nothing comes, before what has not come is missing.
const SILENCE: u32 = 1000;

async fn guests(player: &mut Player) {
    let senders = if player.book.actor == STEADY.start { STEADY_SENDERS } else { MORTAL_SENDERS };
    let all = if player.book.actor == STEADY.start { STEADY } else { MORTAL };
    let mut tasks = JoinSet::new();
    for actor in all {
        let (book, dice) = (player.book_of(actor), player.dice.another());
        if actor < senders {
            let name = service_name(player);
            tasks.spawn(async move { call(&name, &book, dice).await });
        } else {
            let name = player.name(LOAD);
            tasks.spawn(async move { send(&name, &book, dice).await });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
}

type Caller = Client<Ask, Parcel, LengthPrefixed, Postcard, Tokio>;

async fn call(name: &Path, book: &Book, mut dice: Dice) -> Result<(), Error> {
    let options = ClientOptions::new().into_tokio();
    let connect = || options.connect::<Ask, Parcel>(name);
    let mut client = connect().await?;
    let mut tally = Tally::new(book);
    while !book.ledger().is_over() {
        // After an answer no other call is on its way.
        if call_once(&client, &mut tally, &mut dice).await && dice.once_in(100) {
            client = connect().await?;
        }
    }
    tally.end();
    Ok(())
}

/// One call, which is too late or dropped now and then. Whether it was answered.
async fn call_once(client: &Caller, tally: &mut Tally<'_>, dice: &mut Dice) -> bool {
    let patience = dice.milliseconds(0..20);
    match dice.from(0..40) {
        0 => {
            let ask = calls::next(tally, dice, Wish::Late(15));
            let outcome = client.call_timeout(&ask, patience).await;
            calls::note(tally, &ask, outcome)
        }
        1 => {
            let ask = calls::next(tally, dice, Wish::Late(15));
            // A call whose future is dropped may have been handled.
            let Ok(outcome) = timeout(patience, client.call(&ask)).await else {
                tally.unsure(1);
                return false;
            };
            calls::note(tally, &ask, outcome)
        }
        _ => {
            let wish = calls::wish(dice);
            let ask = calls::next(tally, dice, wish);
            let outcome = client.call(&ask).await;
            calls::note(tally, &ask, outcome)
        }
    }
}

async fn send(name: &Path, book: &Book, mut dice: Dice) -> Result<(), Error> {
    let end = WriteEnd::at(name)?.into_tokio().open().await?;
    let mut sender = end.into_sender_with::<Parcel, _, _>(multi_writer::wire());
    let (mut number, mut sent) = (0, 0);
    while !book.ledger().is_over() {
        let parcel = multi_writer::next(book, &mut number, &mut dice);
        match dice.from(0..10) {
            0 => sender.feed(&parcel).await?,
            // The future is dropped: the message stays in the sender, and goes first next time.
            1..3 => match timeout(dice.milliseconds(0..3), sender.send(&parcel)).await {
                Ok(done) => {
                    done?;
                    sent = number;
                }
                Err(_) => book.add(Count::GivenUp, 1),
            },
            _ => {
                sender.send(&parcel).await?;
                sent = number;
            }
        }
        if number - sent >= BATCH - 1 {
            sender.flush().await?;
            sent = number;
        }
        book.note(Note::Done, sent);
        book.add(Count::Steps, 1);
    }
    sender.flush().await?;
    book.note(Note::Done, number);
    book.note(Note::Ended, 1);
    Ok(())
}
