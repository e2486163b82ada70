//! How many instructions a step of a session takes, beside a message of a typed connection; and a message of a sender that
//! has said what its messages look like, beside one that says nothing; and a message with all that is done to read it. And
//! how long it takes to connect.
//!
//! It needs valgrind, and a release build:
//! `cargo test --release --features session --test step_costs -- --ignored --nocapture`
#![cfg(all(feature = "session", target_os = "linux"))]

use std::process;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde::{Deserialize, Serialize};
use typed_pipe::session::{Dual, Ends, Protocol, Receives, Sends, Session};
use typed_pipe::wire::{Plain, Wire};
use typed_pipe::{
    Anything, Connection, Handshake, Pipe, TypedConnection, TypedReceiver, TypedSender, WriteEnd,
};

const ROLE: &str = "TYPED_PIPE_TEST_ROLE";

/// So many messages go to the other side, each of which is received before the next one is sent.
const MESSAGES: u32 = 64;

/// A protocol whose messages go one way.
trait Chain: Protocol {
    fn follow(one: Session<Self>, other: Session<Dual<Self>>);
}

impl<N: Chain> Chain for Sends<u64, N> {
    fn follow(one: Session<Self>, other: Session<Receives<u64, N::Dual>>) {
        let one = one.send(&7).unwrap();
        let (number, other) = other.recv().unwrap();
        assert_eq!(number, 7);
        N::follow(one, other);
    }
}

impl Chain for Ends {
    fn follow(one: Session<Self>, other: Session<Self>) {
        std::mem::forget((one, other)); // the end is not measured
    }
}

type Four<N> = Sends<u64, Sends<u64, Sends<u64, Sends<u64, N>>>>;
type Sixteen<N> = Four<Four<Four<Four<N>>>>;
type All = Sixteen<Sixteen<Sixteen<Sixteen<Ends>>>>;

#[inline(never)]
fn measured_session(one: Session<All>, other: Session<Dual<All>>) {
    All::follow(one, other);
}

#[inline(never)]
fn measured_connection(mut one: TypedConnection<u64, ()>, mut other: TypedConnection<(), u64>) {
    for _ in 0..MESSAGES {
        one.send(&7).unwrap();
        assert_eq!(other.recv().unwrap(), 7);
    }
    std::mem::forget((one, other));
}

#[inline(never)]
fn measured_message(mut sender: TypedSender<u64>, mut recv: impl FnMut() -> u64) {
    for _ in 0..MESSAGES {
        sender.send(&7).unwrap();
        assert_eq!(recv(), 7);
    }
    std::mem::forget(sender);
}

/// Over a named pipe, whose sender has said what its messages look like, or says nothing.
fn play_on_a_pipe(tells: bool) {
    let pipe = Pipe::temporary().unwrap();
    let path = pipe.path().clone();
    let (reader, writer) = (pipe.into_reader().open().unwrap(), WriteEnd::at(path).unwrap());
    let writer = writer.open().unwrap();
    let (mut sender, mut receiver) = match tells {
        true => (writer.into_sender(), reader.into_receiver()),
        false => {
            (writer.into_sender_with(Wire::default()), reader.into_receiver_with(Wire::default()))
        }
    };
    sender.send(&7).unwrap();
    receiver.recv().unwrap();
    measured_message(sender, || receiver.recv().unwrap());
}

#[derive(Serialize, Deserialize)]
struct Quote {
    id: u64,
    bid: f64,
    ask: f64,
    size: u32,
}

const QUOTE: Quote = Quote { id: 7, bid: 1.5, ask: 2.5, size: 7 };

#[inline(never)]
fn measured_sends(sender: &mut TypedSender<Quote>, receiver: &mut TypedReceiver<Quote>) {
    for _ in 0..MESSAGES {
        sender.send(&QUOTE).unwrap();
        assert_eq!(receiver.recv().unwrap().id, 7);
    }
}

#[inline(never)]
fn measured_feeds(sender: &mut TypedSender<Quote>, receiver: &mut TypedReceiver<Quote>) {
    for _ in 0..MESSAGES {
        sender.feed(&QUOTE).unwrap();
    }
    sender.flush().unwrap();
    for _ in 0..MESSAGES {
        assert_eq!(receiver.recv().unwrap().id, 7);
    }
}

fn play_over_fifo(measured: fn(&mut TypedSender<Quote>, &mut TypedReceiver<Quote>)) {
    let pipe = Pipe::temporary().unwrap();
    let path = pipe.path().clone();
    let receiving = thread::spawn(|| TypedReceiver::connect(path).unwrap());
    let mut sender = TypedSender::connect(pipe.path()).unwrap();
    let mut receiver = receiving.join().unwrap();
    // The buffers have the size that they need afterwards.
    sender.send(&QUOTE).unwrap();
    receiver.recv().unwrap();
    measured(&mut sender, &mut receiver);
}

/// Not a test by itself: what is measured.
#[test]
fn play() {
    let Ok(role) = env::var(ROLE) else { return };
    if role.starts_with("pipe") {
        return play_on_a_pipe(role == "pipe that tells");
    }
    match role.as_str() {
        "send" => return play_over_fifo(measured_sends),
        "feed" => return play_over_fifo(measured_feeds),
        _ => {}
    }
    let (one, other) = Connection::pair().unwrap();
    if role == "session" {
        let other = thread::spawn(|| other.into_session().unwrap());
        let one = one.into_session().unwrap();
        measured_session(one, other.join().unwrap());
    } else {
        let other = thread::spawn(|| other.into_typed().unwrap());
        let mut one = one.into_typed().unwrap();
        let mut other = other.join().unwrap();
        // The session has its buffers when it has begun.
        one.send(&7).unwrap();
        other.recv().unwrap();
        measured_connection(one, other);
    }
}

#[test]
#[ignore = "it measures"]
fn a_message_over_a_fifo_costs() {
    let [sent, fed] = ["send", "feed"].map(instructions);
    println!("a message sent over a FIFO and received: {sent} instructions; fed: {fed}");
}

#[test]
#[ignore = "it measures"]
fn a_step_costs_within_five_percent_of_a_message() {
    let [connection, session] = ["connection", "session"].map(instructions);
    println!("a message sent and received: {connection} instructions; in a session: {session}");
    assert!(session * 100 <= connection * 105, "{session} are more than 5 % above {connection}");
}

#[test]
#[ignore = "it measures"]
fn a_message_costs_no_more_where_it_was_said_what_it_looks_like() {
    let [plain, tells] = ["pipe", "pipe that tells"].map(instructions);
    println!("a message sent and received: {plain} instructions; after a hello: {tells}");
    assert!(tells * 100 <= plain * 102, "{tells} are more than 2 % above {plain}");
}

#[derive(Serialize, Deserialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

#[derive(Serialize, Deserialize)]
enum Command {
    Start,
    Set { rate: u32, tag: Option<String> },
    Many(Vec<Reading>),
    Stop(u8, u8),
}

/// Each side of a connection performs its handshake; one of them is in a thread that is there already.
fn connect<A, B>(
    rounds: u32,
    one: impl Fn(Connection) -> A,
    other: impl Fn(Connection) -> B + Send,
) -> Duration {
    let (pass, passed) = channel::<Connection>();
    thread::scope(|scope| {
        scope.spawn(move || passed.into_iter().for_each(|side| drop(other(side))));
        let round = || {
            let (here, there) = Connection::pair().unwrap();
            let begun = Instant::now();
            pass.send(there).unwrap();
            let made = one(here);
            let took = begun.elapsed();
            drop(made);
            took
        };
        let best = (0..rounds).map(|_| round()).min().unwrap();
        drop(pass);
        best
    })
}

#[derive(Serialize, Deserialize)]
enum Later {
    Start,
    Set { rate: u32, tag: Option<String> },
    Many(Vec<Reading>),
    Stop(u8, u8),
    Pause,
}

/// `Plain` is a codec of no style: nothing is told of the messages.
#[test]
#[ignore = "it only prints figures"]
fn what_it_costs_to_connect() {
    let plain = || Handshake::new().with_wire(Wire::default().with_codec(Plain));
    for _ in 0..3 {
        let nothing = connect(
            4000,
            |side| plain().perform::<String, String>(side).unwrap(),
            |side| plain().perform::<String, String>(side).unwrap(),
        );
        let same = connect(
            4000,
            |side| side.into_typed::<Command, Reading>().unwrap(),
            |side| side.into_typed::<Reading, Command>().unwrap(),
        );
        let newer = connect(
            4000,
            |side| side.into_typed::<Command, Reading>().unwrap(),
            |side| side.into_typed::<Reading, Later>().unwrap(),
        );
        let anything = connect(
            4000,
            |side| side.into_typed::<Anything, Reading>().unwrap(),
            |side| side.into_typed::<Reading, Command>().unwrap(),
        );
        println!("| {nothing:?} | {same:?} | {newer:?} | {anything:?} |");
    }
}

/// The instructions in user mode for each message.
fn instructions(role: &str) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let status = process::Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*measured_*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().unwrap())
        .args(["--exact", "play", "--test-threads=1"])
        .env(ROLE, role)
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let out = fs::read_to_string(out).unwrap();
    let summary = out.lines().find_map(|line| line.strip_prefix("summary: ")).unwrap();
    summary.trim().parse::<u64>().unwrap() / u64::from(MESSAGES)
}
