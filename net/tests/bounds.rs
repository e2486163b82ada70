//! What a connection costs, and whom it contacts: each in processes of their own.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{Folder, Program, SOON, role_of_this, watched};
use typed_pipe::{ErrorKind, TypedConnection};
use typed_pipe_net::{Key, Net, NetOptions};

/// The most memory of a process, in KiB.
const MOST: u64 = 64 << 10;

/// So many connections are stopped at once.
const STOPPED: usize = 4;

type Typed = TypedConnection<str, String>;

/// A machine that works slowly is not taken for one that has gone.
fn open(key: &Key) -> Net {
    NetOptions::new().idle(Duration::from_secs(15)).timeout(SOON).open(key).unwrap()
}

/// What another process does: no test by itself.
#[test]
fn role() {
    let Ok(role) = env::var("TYPED_PIPE_NET_ROLE") else { return };
    match role.as_str() {
        "stopped" => stopped(),
        "flood" => flood(),
        "talk" => talk(),
        other => panic!("there is no role {other}"),
    }
}

/// Accepts, and reads nothing.
fn stopped() {
    let net = open(&Key::generate());
    let net = net.listening("127.0.0.1:0".parse().unwrap()).unwrap();
    let key = env::var("KEY").unwrap().parse().unwrap();
    let offer = net.offer("jobs", &[key]).unwrap();
    println!("\nADDRESS {}", offer.address());
    let all: Vec<Typed> =
        offer.incoming().map(|connection| connection.unwrap().into_typed().unwrap()).collect();
    drop(all);
}

/// Sends until nothing goes any more.
fn flood() {
    let (net, at) =
        (Net::open(&Key::open(env::var("KEY").unwrap()).unwrap()).unwrap(), env::var("AT"));
    let at = at.unwrap();
    let connect = |_| net.connect(&at).unwrap().into_typed::<str, String>().unwrap().split();
    let mut all: Vec<_> = (0..STOPPED).map(connect).collect();
    let text = "x".repeat(100_000);
    for (sender, _) in &mut all {
        let error = loop {
            if let Err(error) = sender.send_timeout(&text, Duration::from_secs(2)) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    println!("\nBLOCKED");
    let _ = io::stdin().read(&mut [0; 1]);
}

#[test]
fn a_stopped_reader_keeps_both_processes_small() {
    watched(|| {
        let folder = Folder::new();
        let key = folder.path("key");
        let public = Key::open(&key).unwrap().public().to_string();
        let mut stopped = Program::start(role_of_this("stopped").env("KEY", public));
        let at = stopped.says("ADDRESS ");
        let mut flood = Program::start(role_of_this("flood").env("KEY", &key).env("AT", at));
        flood.says("BLOCKED");
        for program in [&stopped, &flood] {
            let peak = program.peak();
            println!("{peak} KiB");
            assert!(peak < MOST, "{peak} KiB");
        }
    });
}

#[cfg(feature = "tool")]
#[test]
fn a_stopped_program_keeps_what_carries_its_path_small() {
    use std::os::unix::net::{UnixListener, UnixStream};
    watched(|| {
        let folder = Folder::new();
        let (there, here) = (folder.path("there"), folder.path("here"));
        let (key, other) = (folder.path("here.key"), folder.path("there.key"));
        let public = Key::open(&key).unwrap().public().to_string();
        let tool = || Command::new(env!("CARGO_BIN_EXE_tpipe-net"));
        let mut command = tool();
        command.arg("offer").arg("jobs").arg(&there).arg("--key").arg(other);
        command.args(["--idle", "15", "--timeout", "60"]);
        let mut offer =
            Program::start(command.args(["--listen", "127.0.0.1:0"]).args(["--allow", &public]));
        let mut command = tool();
        command.args(["reach", &offer.line()]).arg(&here).arg("--key").arg(key);
        command.args(["--idle", "15", "--timeout", "60"]);
        let mut reach = Program::start(&mut command);
        reach.line();
        let listener = UnixListener::bind(there).unwrap();
        let all: Vec<_> = (0..STOPPED)
            .map(|_| {
                let mut writer = UnixStream::connect(&here).unwrap();
                let reader = listener.accept().unwrap().0;
                writer.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
                let mut sent = 0;
                while let Ok(bytes) = writer.write(&[7; 100_000]) {
                    sent += bytes;
                }
                (writer, reader, sent)
            })
            .collect();
        for program in [&offer, &reach] {
            let peak = program.peak();
            println!("{peak} KiB");
            assert!(peak < MOST, "{peak} KiB");
        }
        // And nothing of it is lost.
        for (writer, mut reader, sent) in all {
            drop(writer);
            reader.set_read_timeout(Some(SOON)).unwrap();
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read.len(), sent);
        }
    });
}

/// One machine offers, and another one connects: to it, and to where nobody answers.
fn talk() {
    let key = Key::generate();
    let net = open(&Key::generate());
    let net = net.listening("127.0.0.1:0".parse().unwrap()).unwrap();
    let offer = net.offer("jobs", &[key.public()]).unwrap();
    let there = open(&key);
    let connected = there.connect(offer.address()).unwrap();
    let echo = thread::spawn(move || {
        let mut typed: Typed = offer.accept().unwrap().into_typed().unwrap();
        let text = typed.recv().unwrap();
        typed.send(&text).unwrap();
    });
    let mut typed: Typed = connected.into_typed().unwrap();
    typed.send("hello").unwrap();
    assert_eq!(typed.recv().unwrap(), "hello");
    echo.join().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = format!("jobs@{}/{}", Key::generate().public(), silent.local_addr().unwrap());
    let there = NetOptions::new().timeout(Duration::from_millis(500)).open(&key).unwrap();
    there.connect(&at).unwrap_err();
    println!("\nTALKED");
}

#[test]
fn no_address_is_contacted_but_those_that_are_asked_for() {
    watched(|| {
        let folder = Folder::new();
        let seen = folder.path("calls");
        let role = role_of_this("talk");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o"]);
        command.arg(&seen).arg(role.get_program()).args(role.get_args());
        command.env("TYPED_PIPE_NET_ROLE", "talk").stdin(Stdio::null());
        let talked = match command.output() {
            Ok(done) if done.status.success() => done,
            other => {
                let _ = writeln!(io::stderr(), "skipped: `strace` does not run here: {other:?}");
                return;
            }
        };
        assert!(String::from_utf8_lossy(&talked.stdout).contains("TALKED"));
        let (mut sent, mut asked) = (BTreeSet::new(), BTreeSet::new());
        for line in fs::read_to_string(seen).unwrap().lines() {
            let to = addresses(line);
            if line.contains(" connect(") { asked.extend(to) } else { sent.extend(to) }
        }
        assert_eq!(sent.iter().map(String::as_str).collect::<Vec<_>>(), ["127.0.0.1"]);
        // A route is asked for by connecting a socket of UDP, which sends nothing.
        asked.remove("10.254.254.254");
        assert_eq!(asked.iter().map(String::as_str).collect::<Vec<_>>(), ["127.0.0.1"]);
    });
}

/// The addresses of the internet in the words of `strace`.
fn addresses(line: &str) -> Vec<String> {
    let after = |start: &str, end: char| {
        line.split(start)
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(end)?.0.to_owned()))
            .collect::<Vec<_>>()
    };
    [after("sin_addr=inet_addr(\"", '"'), after("inet_pton(AF_INET6, \"", '"')].concat()
}
