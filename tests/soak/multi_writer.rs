//! Six writers on one pipe, killed and held up in the middle of their messages.

use std::collections::HashMap;
use std::time::Duration;

use typed_pipe::wire::{MultiWriter, Wire, WriterId};
use typed_pipe::{Error, ErrorKind, OnHangup, Pipe, WriteEnd};

use crate::arrivals::{Arrivals, BATCH};
use crate::content::{Dice, Parcel};
use crate::crowd::Crowd;
use crate::ledger::{Book, Count, NO_MORE, Note};
use crate::process::{Player, Process};
use crate::site::Site;

pub(crate) const LOAD: &str = "multi_writer";
const RECEIVER: u64 = 10;
const WRITERS: std::ops::Range<u64> = 11..17;

pub(crate) fn supervise(site: &Site) {
    let mut receiver = [Process::lasting(site, LOAD, "receiver", RECEIVER..RECEIVER + 1, 12)];
    let writers = WRITERS.map(|writer| writer..writer + 1);
    let mut writers = Crowd::start(site, LOAD, "writer", writers);
    writers.disturb(&mut receiver);
    writers.join();
    site.ledger.set_count(RECEIVER, Count::Gone, NO_MORE);
    receiver.into_iter().for_each(Process::join);
}

pub(crate) fn play(role: &str, player: &mut Player) {
    match role {
        "receiver" => player.counting_descriptors(receive),
        "writer" => write(player).unwrap(),
        other => panic!("no role {other}"),
    }
}

/// A writer that is held up in a message does not lose it: the others are not that fast.
pub(crate) fn wire() -> Wire<MultiWriter> {
    Wire::default().with_framing(MultiWriter::default().protocol("parcels 1"))
}

fn receive(player: &mut Player) {
    let pipe = Pipe::new(player.name(LOAD)).unwrap().mkfifo().unwrap();
    let reader = pipe.into_reader().on_hangup(OnHangup::NextWriter);
    let mut receiver = reader.open().unwrap().into_receiver_with::<Parcel, _, _>(wire());
    let (mut arrivals, mut writers) = (Arrivals::new(WRITERS), Writers::default());
    let book = &player.book;
    loop {
        // What is said to be over was so before this receive.
        let gone = player.gone() == NO_MORE;
        let received = if gone {
            receiver.try_recv()
        } else {
            receiver.recv_timeout(Duration::from_millis(20))
        };
        match received {
            Ok(parcel) => {
                writers.check(&parcel, receiver.last_writer().unwrap());
                arrivals.take(book, &parcel);
            }
            Err(error) => match error.kind() {
                ErrorKind::MessageLost => book.add(Count::Told, 1),
                ErrorKind::WouldBlock => break,
                ErrorKind::TimedOut => {}
                _ => panic!("{error}"),
            },
        }
        if !gone && player.dice.once_in(12) {
            player.dice.rest(1..3);
        }
    }
    arrivals.settle_all(book);
}

/// The number that each writer has in its present life.
#[derive(Default)]
pub(crate) struct Writers(HashMap<u64, (u64, WriterId)>);

impl Writers {
    /// A life has one number.
    pub(crate) fn check(&mut self, parcel: &Parcel, id: WriterId) {
        let known = self.0.entry(parcel.actor).or_insert((parcel.life, id));
        if known.0 != parcel.life {
            assert_ne!(known.1, id, "another sender has the same number");
            *known = (parcel.life, id);
        }
        assert_eq!(known.1, id, "a sender has two numbers");
    }
}

/// The next message: from 10 bytes to 200 KiB, most of them small.
pub(crate) fn next(book: &Book, number: &mut u64, dice: &mut Dice) -> Parcel {
    let len = match dice.from(0..10) {
        0 => dice.size(10..200 << 10),
        1..4 => dice.size(10..10_000),
        _ => dice.size(10..500),
    };
    let parcel = Parcel::new(book.actor, book.life, *number, len);
    *number += 1;
    book.note(Note::Begun, *number);
    parcel
}

fn write(player: &mut Player) -> Result<(), Error> {
    let end = WriteEnd::at(player.name(LOAD))?.open()?;
    let mut sender = end.into_sender_with::<Parcel, _, _>(wire());
    let (book, dice, mut number) = (&player.book, &mut player.dice, 0);
    while !book.ledger().is_over() && !dice.once_in(3000) {
        if dice.once_in(5) {
            for _ in 0..dice.from(1..BATCH) {
                sender.feed(&next(book, &mut number, dice))?;
            }
            sender.flush()?;
        } else {
            sender.send(&next(book, &mut number, dice))?;
        }
        book.note(Note::Done, number);
        book.add(Count::Steps, 1);
    }
    book.note(Note::Ended, 1);
    if dice.once_in(2) {
        drop(sender.finish_into_inner()?);
    }
    Ok(())
}
