//! Connections that come and go, with a file beside each message; half of them go through shared memory.

use std::fs::File;
use std::io::{Read, Seek, Write};

use typed_pipe::{Connection, Error, ErrorKind, Handles, TypedConnection, WithHandles};

use crate::content::{fill, is, seed};
use crate::crowd::Crowd;
use crate::door::{handshake, serve_each};
use crate::ledger::{Book, Count};
use crate::process::{Player, Process};
use crate::site::Site;
use crate::tally::{Handled, Tally, settle};

pub(crate) const LOAD: &str = "handles";
const SERVER: u64 = 20;
const STEADY: u64 = 21;
const CLIENTS: std::ops::Range<u64> = 21..24;

/// So many clients may be connected at once, and send so many messages in a row.
const MOST_CLIENTS: usize = 8;
const MOST_MESSAGES: u64 = 8;

/// Who sends, in which life, which one it is, how large the file is, and whether an answer is awaited.
type Told = (u64, u64, u64, usize, bool);

type ToServer = TypedConnection<WithHandles<Told>, u64>;

pub(crate) fn supervise(site: &Site) {
    // A connection each, which has four descriptors where memory is made for it, and the files that came with messages.
    let most = 12 + MOST_CLIENTS as u64 * (5 + MOST_MESSAGES);
    let server = Process::lasting(site, LOAD, "server", SERVER..SERVER + 1, most);
    let steady = Process::lasting(site, LOAD, "client", STEADY..STEADY + 1, 24);
    let clients = (STEADY + 1..CLIENTS.end).map(|client| client..client + 1);
    Crowd::start(site, LOAD, "client", clients).disturb_with(server, steady);
}

pub(crate) fn play(role: &str, player: &mut Player) {
    match role {
        "server" => player.counting_descriptors(serve),
        "client" => player.counting_descriptors(|player| send(player).unwrap()),
        other => panic!("no role {other}"),
    }
}

fn serve(player: &mut Player) {
    let (book, handled) = (&*player.book, Handled::default());
    serve_each(player, LOAD, MOST_CLIENTS, |client| serve_client(book, &handled, client));
    settle(book, CLIENTS);
}

/// Serves a client until it leaves, in whatever way.
fn serve_client(book: &Book, handled: &Handled, client: Connection) {
    let left = |error: &Error| {
        let kind = error.kind();
        let ways = [ErrorKind::Disconnected, ErrorKind::Finished, ErrorKind::Truncated];
        assert!(ways.contains(&kind), "{error}");
    };
    let mut client = match handshake(true).perform::<u64, WithHandles<Told>>(client) {
        Ok(client) => client,
        Err(error) => return left(&error),
    };
    let mut content = Vec::new();
    loop {
        let (told, mut handles) = match client.recv_with_handles() {
            Ok(received) => received,
            Err(error) => return left(&error),
        };
        let (actor, life, number, size, answered) = told;
        assert_eq!(handles.len(), 1);
        content.clear();
        handles.take::<File>(0).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content.len(), size, "the file of message {number} of {actor}");
        assert!(is(seed(actor, life, number), &content), "another file came, or other bytes");
        // What a connection brings after its client has left may be read after what the next one brings.
        handled.note(book, (actor, life), number, false);
        book.add(Count::Messages, 1);
        book.add(Count::Handles, 1);
        book.add(Count::Bytes, size.try_into().unwrap());
        if answered {
            if let Err(error) = client.send(&number) {
                return left(&error);
            }
        }
    }
}

fn send(player: &mut Player) -> Result<(), Error> {
    let (name, book, dice) = (player.name(LOAD), &*player.book, &mut player.dice);
    let mut tally = Tally::new(book);
    let lasts = book.actor == STEADY;
    let mut content = Vec::new();
    while !book.ledger().is_over() && (lasts || !dice.once_in(500)) {
        let connection = Connection::connect(&name)?;
        let mut server: ToServer = handshake(dice.once_in(2)).perform(connection)?;
        let messages = dice.from(0..MOST_MESSAGES);
        let way = dice.from(0..3);
        let mut numbers = Vec::new();
        for _ in 0..messages {
            content.resize(dice.size(0..20_000), 0);
            let number = tally.begin();
            fill(seed(book.actor, book.life, number), &mut content);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&content).unwrap();
            file.rewind().unwrap();
            let mut handles = Handles::new();
            handles.add(file);
            let told = (book.actor, book.life, number, content.len(), way != LEAVE);
            server.send_with_handles(&told, &mut handles)?;
            if way == ASK {
                assert_eq!(server.recv()?, number);
                tally.confirm(1);
            }
            numbers.push(number);
        }
        match way {
            // What was sent is in the hands of the system, and this side has left nothing unread.
            LEAVE => {
                drop(server);
                tally.confirm(messages);
            }
            FINISH => {
                let mut answers = server.finish()?;
                for number in numbers {
                    assert_eq!(answers.recv()?, number);
                }
                assert!(answers.recv().unwrap_err().is_end());
                tally.confirm(messages);
            }
            _ => {}
        }
        book.add(Count::Steps, 1);
        dice.rest(0..3);
    }
    tally.end();
    Ok(())
}

/// Each message is answered before the next one is sent.
const ASK: u64 = 0;
/// All are answered, after the last one was sent.
const FINISH: u64 = 1;
/// None is answered: the client is gone.
const LEAVE: u64 = 2;
