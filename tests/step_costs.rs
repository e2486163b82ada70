//! How many instructions a step of a session takes, beside a message of a typed connection.
//!
//! It needs valgrind, and a release build:
//! `cargo test --release --features session --test step_costs -- --ignored --nocapture`
#![cfg(all(feature = "session", target_os = "linux"))]

use std::process::Command;
use std::{env, fs, thread};

use typed_pipe::session::{Dual, Ends, Protocol, Receives, Sends, Session};
use typed_pipe::{Connection, TypedConnection};

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

/// Not a test by itself: what is measured.
#[test]
fn play() {
    let Ok(role) = env::var(ROLE) else { return };
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
fn a_step_costs_within_five_percent_of_a_message() {
    let [connection, session] = ["connection", "session"].map(instructions);
    println!("a message sent and received: {connection} instructions; in a session: {session}");
    assert!(session * 100 <= connection * 105, "{session} are more than 5 % above {connection}");
}

/// The instructions in user mode for each message.
fn instructions(role: &str) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let status = Command::new("valgrind")
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
