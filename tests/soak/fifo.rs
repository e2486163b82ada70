//! One sender and one slow receiver on a pipe of one page. The sender is killed, and another one takes its place.

use std::thread;
use std::time::{Duration, Instant};

use typed_pipe::wire::{Checked, Wire};
use typed_pipe::{Error, ErrorKind, OnHangup, PipeOptions, WriteEnd};

use crate::arrivals::{Arrivals, BATCH};
use crate::content::{Dice, Parcel};
use crate::ledger::{Count, NO_MORE, Note};
use crate::process::{Player, Process};
use crate::site::Site;

pub(crate) const LOAD: &str = "fifo";
const RECEIVER: u64 = 0;
const SENDER: u64 = 1;

pub(crate) fn supervise(site: &Site) {
    let mut dice = Dice::new(site.seed);
    let mut receiver = Process::lasting(site, LOAD, "receiver", RECEIVER..RECEIVER + 1, 12);
    for life in 1.. {
        let mut sender = Process::start(site, LOAD, "sender", SENDER..SENDER + 1, life);
        let (begun, time) = (Instant::now(), dice.milliseconds(30..600));
        while begun.elapsed() < time && !site.is_over() && !sender.has_ended() {
            dice.rest(1..20);
        }
        if site.is_over() {
            sender.join();
        } else {
            sender.kill();
        }
        // The next one may come when the receiver has seen the last one go.
        site.ledger.set_count(RECEIVER, Count::Gone, life);
        while site.ledger.count(RECEIVER, Count::Settled) < life {
            receiver.lasts();
            thread::sleep(Duration::from_millis(1));
        }
        if site.is_over() {
            break;
        }
    }
    site.ledger.set_count(RECEIVER, Count::Gone, NO_MORE);
    receiver.join();
}

pub(crate) fn play(role: &str, player: &mut Player) {
    match role {
        "receiver" => player.counting_descriptors(receive),
        "sender" => send(player).unwrap(),
        other => panic!("no role {other}"),
    }
}

fn wire() -> Wire<Checked> {
    Wire::default().with_framing(Checked::default())
}

fn receive(player: &mut Player) {
    let pipe = PipeOptions::new().buffer_size(4096).at(player.name(LOAD)).unwrap();
    let reader = pipe.mkfifo().unwrap().into_reader().on_hangup(OnHangup::NextWriter);
    let mut receiver = reader.open().unwrap().into_receiver_with::<Parcel, _, _>(wire());
    assert_eq!(receiver.get_ref().buffer_size().unwrap(), 4096);
    let mut arrivals = Arrivals::new(SENDER..SENDER + 1);
    let (book, mut settled) = (&*player.book, 0);
    loop {
        let gone = player.gone();
        // What is there when the sender is gone is all that comes of it.
        let drains = gone > settled;
        let received = if drains {
            receiver.try_recv()
        } else {
            receiver.recv_timeout(Duration::from_millis(20))
        };
        match received {
            Ok(parcel) => arrivals.take(book, &parcel),
            Err(error) => match error.kind() {
                // A kill cut off what the sender was at.
                ErrorKind::Truncated => book.add(Count::Told, 1),
                ErrorKind::WouldBlock if gone == NO_MORE => break,
                ErrorKind::WouldBlock => {
                    arrivals.settle_all(book);
                    settled = gone;
                    book.add(Count::Settled, 1);
                }
                ErrorKind::TimedOut => {}
                _ => panic!("{error}"),
            },
        }
        if !drains && player.dice.once_in(40) {
            player.dice.rest(1..5);
        }
    }
}

fn send(player: &mut Player) -> Result<(), Error> {
    let end = WriteEnd::at(player.name(LOAD))?.open()?;
    let mut sender = end.into_sender_with::<Parcel, _, _>(wire());
    let (book, dice) = (&player.book, &mut player.dice);
    let mut number = 0;
    let mut next = |dice: &mut Dice| {
        let len = if dice.once_in(30) { dice.size(0..100_000) } else { dice.size(0..3000) };
        let parcel = Parcel::new(book.actor, book.life, number, len);
        number += 1;
        book.note(Note::Begun, number);
        parcel
    };
    // A life may also come to its own end, with a goodbye or without one.
    while !book.ledger().is_over() && !dice.once_in(2000) {
        let mut last = next(dice);
        if dice.once_in(3) {
            for _ in 0..dice.from(1..BATCH) {
                sender.feed(&last)?;
                last = next(dice);
            }
        }
        sender.send(&last)?;
        book.note(Note::Done, last.number + 1);
        book.add(Count::Steps, 1);
    }
    book.note(Note::Ended, 1);
    if book.ledger().is_over() || dice.once_in(2) {
        sender.finish()?;
    }
    Ok(())
}
