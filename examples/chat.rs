//! A chat room: every client reads the lines of every other one.
//!
//! ```sh
//! cargo run --example chat -- serve /tmp/room
//! cargo run --example chat -- join /tmp/room ada      # in other terminals
//! ```
//!
//! Kill any client: the others get a notice.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::{Connection, ErrorKind, Handshake, Listener, SendingHalf};

/// A message from a client.
#[derive(Serialize, Deserialize)]
enum Say {
    Hello { name: String },
    Line(String),
}

/// A message to every client.
#[derive(Clone, Serialize, Deserialize)]
enum Told {
    Joined { name: String },
    Left { name: String, how: String },
    Line { name: String, line: String },
}

/// A client that leaves has this time to read what was said before.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["serve", path] => serve(path),
        ["join", path, name] => join(path, name),
        _ => Err("usage: chat serve PATH | chat join PATH NAME".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The clients in the room, by their number.
#[derive(Default)]
struct Room(Mutex<HashMap<u64, SendingHalf<Told>>>);

impl Room {
    fn tell(&self, told: &Told) {
        println!("{told}");
        // No client waits for another one here: a client that is gone, or has left so much unread that there is no room, loses its own place.
        self.guests().retain(|_, guest| guest.try_send(told).is_ok());
    }

    fn guests(&self) -> MutexGuard<'_, HashMap<u64, SendingHalf<Told>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(path: &str) -> Result<(), Box<dyn Error>> {
    let listener = Listener::bind(path)?;
    println!("the room is open: cargo run --example chat -- join {path} NAME");
    let room = Room::default();
    thread::scope(|scope| {
        for (number, client) in (0..).zip(listener.incoming()) {
            match client {
                // One thread a client, so that no client blocks another.
                Ok(client) => {
                    let room = &room;
                    scope.spawn(move || {
                        if let Err(error) = entertain(client, number, room) {
                            eprintln!("a client: {error}");
                        }
                    });
                }
                Err(error) => eprintln!("{error}"),
            }
        }
    });
    Ok(())
}

/// Lets one client into the room, and passes on its lines until it leaves.
fn entertain(client: Connection, number: u64, room: &Room) -> Result<(), typed_pipe::Error> {
    client.require_same_user()?;
    let handshake = Handshake::new().sending("chat-told/1").receiving("chat-say/1");
    let (sender, mut receiver) = handshake.perform::<Told, Say>(client)?.split();
    let Say::Hello { name } = receiver.recv()? else { return Ok(()) };
    room.guests().insert(number, sender);
    room.tell(&Told::Joined { name: name.clone() });
    let end = loop {
        match receiver.recv() {
            Ok(Say::Line(line)) => room.tell(&Told::Line { name: name.clone(), line }),
            Ok(Say::Hello { .. }) => {}
            Err(end) => break end,
        }
    };
    let guest = room.guests().remove(&number);
    let how = match end.kind() {
        ErrorKind::Finished => "said goodbye".to_owned(),
        _ => "its process ended".to_owned(),
    };
    room.tell(&Told::Left { name, how });
    if let Some(guest) = guest {
        // The message shows the client that the room is still open.
        let _ = guest.finish_timeout(LEAVE_TIMEOUT);
    }
    Ok(())
}

fn join(path: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let server = Connection::connect_timeout(path, Duration::from_secs(5))?;
    let handshake = Handshake::new().sending("chat-say/1").receiving("chat-told/1");
    let mut server = handshake.perform::<Say, Told>(server)?;
    server.send(&Say::Hello { name: name.into() })?;

    let (mut sender, mut receiver) = server.split();
    thread::spawn(move || -> io::Result<()> {
        for line in io::stdin().lines() {
            sender.send(&Say::Line(line?))?;
        }
        sender.finish()?; // so the others can tell leaving from a crash
        Ok(())
    });
    loop {
        match receiver.recv() {
            Ok(told) => println!("{told}"),
            Err(end) if end.kind() == ErrorKind::Finished => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { name } => write!(f, "* {name} has come"),
            Self::Left { name, how } => write!(f, "* {name} has left: {how}"),
            Self::Line { name, line } => write!(f, "{name}: {line}"),
        }
    }
}
