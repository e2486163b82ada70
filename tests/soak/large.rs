//! Large messages of bytes, whose pages are given to the pipe, and a reader that is held up.

use std::time::Duration;

use typed_pipe::{Delivery, Error, ErrorKind, Pipe, TypedSender};

use crate::content::{Dice, fill, is};
use crate::ledger::{Count, Note};
use crate::process::{Player, Process};
use crate::site::Site;

pub(crate) const LOAD: &str = "large";
const RECEIVER: u64 = 50;
const SENDER: u64 = 51;

pub(crate) fn supervise(site: &Site) {
    let mut dice = Dice::new(site.seed);
    let mut receiver = Process::lasting(site, LOAD, "receiver", RECEIVER..RECEIVER + 1, 12);
    let mut sender = Process::lasting(site, LOAD, "sender", SENDER..SENDER + 1, 12);
    while !site.is_over() {
        dice.rest(50..400);
        receiver.lasts();
        sender.lasts();
        receiver.suspend(dice.milliseconds(1..300));
    }
    sender.join();
    receiver.join();
    let sent = site.ledger.note(SENDER, 1, Note::Done);
    assert_eq!(site.ledger.count(RECEIVER, Count::Messages), sent, "large messages");
}

pub(crate) fn play(role: &str, player: &mut Player) {
    match role {
        "receiver" => player.counting_descriptors(receive),
        "sender" => player.counting_descriptors(|player| send(player).unwrap()),
        other => panic!("no role {other}"),
    }
}

/// The size of a message, from 16 KiB to 3 MiB, which both sides know.
fn size(number: u64) -> usize {
    let mut dice = Dice::new(number);
    let most = if dice.once_in(4) { 3 << 20 } else { 200 << 10 };
    dice.size(16 << 10..most)
}

fn receive(player: &mut Player) {
    let pipe = Pipe::new(player.name(LOAD)).unwrap().mkfifo().unwrap();
    let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<Vec<u8>>();
    for number in 0.. {
        match receiver.recv_bytes() {
            Ok(bytes) => {
                assert_eq!(bytes.len(), size(number), "message {number}");
                assert!(is(number, bytes), "message {number} is damaged");
                player.book.add(Count::Messages, 1);
                player.book.add(Count::Bytes, bytes.len().try_into().unwrap());
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Finished, "{error}");
                break;
            }
        }
        if player.dice.once_in(2) {
            player.dice.rest(1..4);
        }
    }
}

fn send(player: &mut Player) -> Result<(), Error> {
    let mut sender = TypedSender::<[u8]>::connect(player.name(LOAD))?;
    let (book, dice) = (&player.book, &mut player.dice);
    let mut room = Vec::new();
    let mut number = 0;
    while !book.ledger().is_over() {
        let patience = dice.milliseconds(1..20);
        sender.set_timeout(dice.once_in(4).then_some(patience));
        let sent = if dice.once_in(2) {
            let mut loan = sender.loan(size(number))?;
            fill(number, &mut loan);
            loan.send()
        } else {
            room.resize(size(number), 0);
            fill(number, &mut room);
            sender.send_bytes(&room)
        };
        book.add(Count::Steps, 1);
        match sent {
            Ok(()) => number += 1,
            // The rest of it goes first next time, or none of it has gone.
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                book.add(Count::GivenUp, 1);
                number += u64::from(error.is_half_sent());
            }
            Err(error) => return Err(error),
        }
    }
    book.note(Note::Done, number);
    let last_words = sender.finish_timeout(Duration::from_secs(600))?;
    assert_eq!(last_words, Delivery::Drained);
    Ok(())
}
