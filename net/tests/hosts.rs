//! Two hosts with a network between them that fails: two namespaces of the network, each with programs of its own.
//!
//! Where the system lets this user make no namespaces, each test says so and is skipped. `TYPED_PIPE_NET_BYTES` is how
//! much the transfer transfers.
#![cfg(all(feature = "tool", target_os = "linux"))]

mod common;

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::{Folder, Program, SOON, until, watched_for};
use sha2::{Digest, Sha256};
use typed_pipe::{Connection, Delivery, Handshake, Listener, TypedConnection};
use typed_pipe_net::{Key, Net, NetOptions};

/// How long one test may last.
const TEST_TIMEOUT: Duration = Duration::from_secs(300);

/// After so many seconds a link is lost: more than 3 by far, and less than 15.
const IDLE: &str = "8";

const PORT: u16 = 7000;
const THERE: &str = "10.77.0.1";
const HERE: &str = "10.77.0.2";

/// One after the other: each has deadlines of its own.
static TURN: Mutex<()> = Mutex::new(());
static HOSTS: AtomicU32 = AtomicU32::new(0);

/// Two hosts, `there` and `here`, with one cable.
struct Hosts {
    names: [String; 2],
    folder: Folder,
    _turn: MutexGuard<'static, ()>,
}

fn ip(args: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(args).output().map_err(|error| error.to_string())?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim()))
}

impl Hosts {
    /// `None`, and a word on the standard error, where this user cannot make any.
    fn new() -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let number = HOSTS.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("tpn{}-{number}{side}", std::process::id());
        let names = [name("a"), name("b")];
        let hosts = Self { names, folder: Folder::new(), _turn: turn };
        match hosts.connect() {
            Ok(()) => Some(hosts),
            Err(why) => {
                // Not captured, as that of `eprintln` is.
                let _ = writeln!(io::stderr(), "skipped: no two hosts can be had: {why}");
                None
            }
        }
    }

    fn connect(&self) -> Result<(), String> {
        let [a, b] = &self.names;
        ip(&["netns", "add", a])?;
        ip(&["netns", "add", b])?;
        ip(&[
            "link", "add", "eth0", "netns", a, "type", "veth", "peer", "name", "eth0", "netns", b,
        ])?;
        for (host, at) in [(a, THERE), (b, HERE)] {
            ip(&["-n", host, "addr", "add", &format!("{at}/24"), "dev", "eth0"])?;
            ip(&["-n", host, "link", "set", "lo", "up"])?;
            ip(&["-n", host, "link", "set", "eth0", "up"])?;
        }
        Ok(())
    }

    /// Pulls the cable, or puts it back.
    fn cable(&self, state: &str) {
        ip(&["-n", &self.names[0], "link", "set", "eth0", state]).unwrap();
    }

    /// Loses every tenth packet of each direction, at random.
    fn lose_packets(&self) -> Result<(), String> {
        for host in &self.names {
            let tc = |args: &str| {
                let done = Command::new("ip")
                    .args(["netns", "exec", host, "tc"])
                    .args(args.split(' '))
                    .output()
                    .map_err(|error| error.to_string())?;
                let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                if done.status.success() { Ok(()) } else { Err(why) }
            };
            if tc("qdisc add dev eth0 root netem loss 10%").is_ok() {
                continue;
            }
            // Without that module: a program of four instructions drops one of ten, by a random number.
            let dropping = "4,32 0 0 4294963256,53 0 1 429496730,6 0 0 0,6 0 0 2";
            tc("qdisc add dev eth0 clsact")?;
            let filter =
                ["filter", "add", "dev", "eth0", "ingress", "bpf", "da", "bytecode", dropping];
            let added =
                Command::new("ip").args(["netns", "exec", host, "tc"]).args(filter).output();
            let added = added.map_err(|error| error.to_string())?;
            if !added.status.success() {
                return Err(String::from_utf8_lossy(&added.stderr).trim().to_owned());
            }
        }
        Ok(())
    }

    fn on(&self, host: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[host], program]);
        command
    }

    /// A role of this program on a host.
    fn role(&self, host: usize, role: &str, settings: &[(&str, &str)]) -> Program {
        let program = env::current_exe().unwrap();
        let mut command = self.on(host, program.to_str().unwrap());
        command.args(["--exact", "role", "--nocapture"]).env("TYPED_PIPE_NET_ROLE", role);
        Program::start(command.envs(settings.iter().copied()))
    }

    fn tool(&self, host: usize) -> Command {
        self.on(host, env!("CARGO_BIN_EXE_tpipe-net"))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path(name).display().to_string()
    }

    fn key(&self, name: &str) -> String {
        Key::open(self.path(name)).unwrap().public().to_string()
    }

    fn address(&self, name: &str) -> String {
        format!("{name}@{}/{THERE}:{PORT}", self.key("there.key"))
    }

    fn offering(&self) -> Program {
        let mut command = self.tool(0);
        command.args(["offer", "jobs", &self.path("there"), "--key", &self.path("there.key")]);
        command.args(["--allow", &self.key("here.key"), "--listen", &format!("{THERE}:{PORT}")]);
        let mut offer = Program::start(command.args(["--hold", "60", "--idle", IDLE]));
        assert_eq!(offer.line(), self.address("jobs"));
        offer
    }

    fn reaching(&self) -> Program {
        let mut command = self.tool(1);
        command.args(["reach", &self.address("jobs"), &self.path("here")]);
        command.args(["--key", &self.path("here.key"), "--hold", "60", "--timeout", "5"]);
        command.args(["--idle", IDLE]);
        let mut reach = Program::start(&mut command);
        reach.line();
        reach
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "del", name]);
        }
    }
}

/// How the programs of both hosts reach each other: by the library, or by paths that `tpipe-net` carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Net,
    Paths,
}

/// Two hosts with a program that takes and, by paths, what carries it.
struct Setup {
    hosts: Hosts,
    by: By,
    taker: Program,
    carriers: Vec<Program>,
    givers: u32,
}

impl Setup {
    fn new(by: By) -> Option<Self> {
        let hosts = Hosts::new()?;
        let taker = Self::taker(&hosts, by);
        let carriers = match by {
            By::Net => Vec::new(),
            By::Paths => vec![hosts.offering(), hosts.reaching()],
        };
        Some(Self { hosts, by, taker, carriers, givers: 0 })
    }

    fn taker(hosts: &Hosts, by: By) -> Program {
        let (key, allow) = (hosts.path("there.key"), hosts.key("here.key"));
        let at = match by {
            By::Net => format!("{THERE}:{PORT}"),
            By::Paths => hosts.path("there"),
        };
        let mut taker = hosts.role(0, "take", &[("KEY", &key), ("ALLOW", &allow), ("AT", &at)]);
        taker.says("READY");
        taker
    }

    /// A program that gives so many messages, one each so many microseconds.
    fn give(&mut self, count: u64, pace: u64) -> Giver {
        self.give_with(count, pace, &[])
    }

    fn give_with(&mut self, count: u64, pace: u64, more: &[(&str, &str)]) -> Giver {
        self.givers += 1;
        let id = self.givers.to_string();
        let at = match self.by {
            By::Net => self.hosts.address("jobs"),
            By::Paths => self.hosts.path("here"),
        };
        let (key, count, pace) = (self.hosts.path("here.key"), count.to_string(), pace.to_string());
        let mut settings =
            vec![("KEY", &*key), ("AT", &at), ("ID", &id), ("COUNT", &count), ("PACE", &pace)];
        settings.extend(more);
        let program = self.hosts.role(1, "give", &settings);
        Giver { id, program }
    }

    /// The messages of a giver that were taken: each once, in order.
    fn taken(&mut self, giver: &Giver) -> u64 {
        let prefix = format!("{} ", giver.id);
        let took = self.taker.all("TOOK ");
        let numbers: Vec<u64> =
            took.iter().filter_map(|line| line.strip_prefix(&prefix)?.parse().ok()).collect();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
        numbers.len() as u64
    }

    /// All of it arrives, and is confirmed.
    fn is_delivered(&mut self, giver: &mut Giver, count: u64) {
        assert_eq!(giver.program.says("FINISHED "), "Drained");
        assert_eq!(giver.program.says("SENT "), count.to_string());
        giver.program.says("OVER");
        assert_eq!(giver.confirmed(), count);
        self.ended(giver, "Finished");
        assert_eq!(self.taken(giver), count);
    }

    /// How it ended for the taker.
    fn ended(&mut self, giver: &Giver, kind: &str) {
        assert_eq!(self.taker.says(&format!("END {} ", giver.id)), kind);
    }

    /// It ended for the taker by a name that is no finish: within a message, or between two.
    fn was_cut_off(&mut self, giver: &Giver) {
        let kind = self.taker.says(&format!("END {} ", giver.id));
        assert!(["Disconnected", "Truncated"].contains(&&*kind), "{kind}");
    }

    /// It ends by a name, and nothing is said to be taken that was not.
    fn is_cut(&mut self, giver: &mut Giver) {
        let ended = giver.program.says("FINISHED ");
        assert_eq!(ended, "Disconnected");
        giver.program.says("OVER");
        let confirmed = giver.confirmed();
        until("what was confirmed was taken", || self.taken(giver) >= confirmed);
        assert!(confirmed > 0, "nothing came before");
    }

    /// Another one is served as if nothing had been.
    fn goes_on(&mut self) {
        let mut giver = self.give(20, 0);
        self.is_delivered(&mut giver, 20);
    }
}

struct Giver {
    id: String,
    program: Program,
}

impl Giver {
    fn confirmed(&mut self) -> u64 {
        let all = self.program.all("CONFIRMED ");
        all.last().map_or(0, |last| last.parse::<u64>().unwrap() + 1)
    }

    /// Waits until so many are confirmed.
    fn until(&mut self, confirmed: u64) {
        until("messages are confirmed", || self.confirmed() >= confirmed);
    }
}

/// A message: its number, and some bytes.
type Given = (u64, u64, Vec<u8>);

/// What the programs do: no test by itself.
#[test]
fn role() {
    let Ok(role) = env::var("TYPED_PIPE_NET_ROLE") else { return };
    match role.as_str() {
        "take" => take(),
        "give" => give(),
        "try" => try_all(),
        "drink" => drink(),
        "pour" => pour(),
        "many" => many(),
        other => panic!("there is no role {other}"),
    }
}

fn setting(name: &str) -> String {
    env::var(name).unwrap()
}

fn net() -> Net {
    let idle = Duration::from_secs(IDLE.parse().unwrap());
    NetOptions::new().idle(idle).timeout(SOON).open(&Key::open(setting("KEY")).unwrap()).unwrap()
}

/// Takes what is given, says so, and only then confirms it.
fn take() {
    let at = setting("AT");
    if let Ok(at) = at.parse() {
        let net = net().listening(at).unwrap();
        let offer = net.offer("jobs", &[setting("ALLOW").parse().unwrap()]).unwrap();
        println!("\nREADY");
        for connection in offer.incoming() {
            thread::spawn(|| take_one(connection.unwrap()));
        }
    } else {
        let listener = Listener::bind(at).unwrap();
        println!("\nREADY");
        for connection in listener.incoming() {
            thread::spawn(|| take_one(connection.unwrap()));
        }
    }
}

fn take_one(connection: Connection) {
    let handshake = Handshake::new().timeout(SOON);
    let mut typed: TypedConnection<u64, Given> = match handshake.perform(connection) {
        Ok(typed) => typed,
        Err(error) => return println!("NO HANDSHAKE {:?}", error.kind()),
    };
    let mut giver = 0;
    let end = loop {
        match typed.recv() {
            Ok((id, number, body)) => {
                giver = id;
                if let [seconds] = body[..] {
                    thread::sleep(Duration::from_secs(seconds.into()));
                }
                println!("TOOK {id} {number}");
                // Whoever does not hear it does not count it.
                let _ = typed.send(&number);
            }
            Err(error) => break error.kind(),
        }
    };
    println!("END {giver} {end:?}");
}

/// Gives, and says what was confirmed.
fn give() {
    let at = setting("AT");
    let (id, count, pace) = (
        setting("ID").parse().unwrap(),
        setting("COUNT").parse::<u64>().unwrap(),
        Duration::from_micros(setting("PACE").parse().unwrap()),
    );
    let net = at.contains('@').then(net);
    let connection = match &net {
        Some(net) => net.connect(&at).unwrap(),
        None => Connection::connect(&at).unwrap(),
    };
    let handshake = Handshake::new().timeout(SOON);
    let typed: TypedConnection<Given, u64> = handshake.perform(connection).unwrap();
    let (mut sender, mut receiver) = typed.split();
    thread::scope(|threads| {
        threads.spawn(move || {
            let mut sent = 0;
            // A body of one byte asks the other side to stop reading for so many seconds.
            let stall = env::var("STALL").ok().and_then(|seconds| seconds.parse().ok());
            let body = |sent| match stall {
                Some(seconds) if sent == 100 => vec![seconds],
                _ => vec![7; 100],
            };
            while sent < count && sender.send(&(id, sent, body(sent))).is_ok() {
                sent += 1;
                thread::sleep(pace);
            }
            match sender.finish() {
                Ok(delivery) => println!("FINISHED {delivery:?}"),
                Err(failed) => println!("FINISHED {:?}", failed.kind()),
            }
            println!("SENT {sent}");
        });
        // Up to the last word, whatever the sender does.
        while let Ok(number) = receiver.recv() {
            println!("CONFIRMED {number}");
        }
    });
    println!("OVER");
    if let Some(net) = net {
        let _ = net.close(Duration::from_secs(1));
    }
}

/// Tries to connect to each address, and says what comes of it.
fn try_all() {
    let net = NetOptions::new().timeout(Duration::from_secs(4));
    let net = net.open(&Key::open(setting("KEY")).unwrap()).unwrap();
    for at in setting("AT").split(' ') {
        match net.connect(at) {
            Ok(_) => println!("\nTRIED Ok"),
            Err(error) => {
                eprintln!("{at}: {error}");
                println!("\nTRIED {:?}", error.kind());
            }
        }
    }
}

/// Takes bytes up to their end, and answers with their sum.
fn drink() {
    let listener = UnixListener::bind(setting("AT")).unwrap();
    println!("\nREADY");
    let mut stream = listener.accept().unwrap().0;
    let (mut sum, mut buf) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match stream.read(&mut buf).unwrap() {
            0 => break,
            len => sum.update(&buf[..len]),
        }
    }
    stream.write_all(&sum.finalize()).unwrap();
}

/// Gives bytes, and compares their sum.
fn pour() {
    let mut left: usize = setting("BYTES").parse().unwrap();
    let mut stream = UnixStream::connect(setting("AT")).unwrap();
    let (mut sum, mut state) = (Sha256::new(), 0x9e37_79b9_7f4a_7c15_u64);
    let mut buf = vec![0; 64 << 10];
    while left > 0 {
        for word in buf.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let piece = &buf[..left.min(buf.len())];
        sum.update(piece);
        stream.write_all(piece).unwrap();
        left -= piece.len();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut theirs = Vec::new();
    stream.read_to_end(&mut theirs).unwrap();
    println!("\nSUM {}", if theirs == sum.finalize().as_slice() { "same" } else { "differs" });
}

/// So many clients at once, each with a few messages.
fn many() {
    let (at, count) = (setting("AT"), setting("COUNT").parse::<u64>().unwrap());
    let clients: Vec<_> = (0..count)
        .map(|_| Connection::connect(&at).unwrap().into_typed::<Given, u64>().unwrap())
        .collect();
    println!("\nALL HERE");
    thread::scope(|threads| {
        for (id, mut client) in (1..).zip(clients) {
            threads.spawn(move || {
                for number in 0..10 {
                    client.send(&(id, number, vec![7; 100])).unwrap();
                    assert_eq!(client.recv().unwrap(), number);
                }
                let (sender, rest) = client.split();
                assert_eq!(sender.finish().unwrap(), Delivery::Drained);
                drop(rest);
            });
        }
    });
    println!("ALL DONE");
}

/// Runs a test on each way.
fn on_each(test: impl Fn(&mut Setup) + Send + 'static) {
    watched_for(TEST_TIMEOUT, move || {
        for by in [By::Net, By::Paths] {
            let Some(mut setup) = Setup::new(by) else { return };
            test(&mut setup);
        }
    });
}

/// Long enough for many messages on both sides of what happens.
const PACE: u64 = 5_000;
const ENDLESS: u64 = u64::MAX;

#[test]
fn a_link_that_is_cut_for_three_seconds_loses_nothing() {
    on_each(|setup| {
        let mut giver = setup.give(1000, PACE);
        giver.until(50);
        setup.hosts.cable("down");
        thread::sleep(Duration::from_secs(3));
        setup.hosts.cable("up");
        setup.is_delivered(&mut giver, 1000);
    });
}

#[test]
fn a_link_that_is_cut_for_fifteen_seconds_is_told_on_both_sides() {
    on_each(|setup| {
        let mut giver = setup.give(ENDLESS, PACE);
        giver.until(50);
        setup.hosts.cable("down");
        let begin = Instant::now();
        setup.is_cut(&mut giver);
        setup.was_cut_off(&giver);
        thread::sleep(Duration::from_secs(15).saturating_sub(begin.elapsed()));
        setup.hosts.cable("up");
        setup.goes_on();
    });
}

#[test]
fn a_network_that_loses_every_tenth_packet_loses_no_message() {
    on_each(|setup| {
        if let Err(why) = setup.hosts.lose_packets() {
            let _ = writeln!(io::stderr(), "skipped: no packets can be lost here: {why}");
            return;
        }
        let mut giver = setup.give(1000, 1000);
        setup.is_delivered(&mut giver, 1000);
    });
}

#[test]
fn a_reader_that_is_stopped_for_eight_seconds_loses_nothing() {
    on_each(|setup| {
        let mut giver = setup.give_with(2000, 1000, &[("STALL", "8")]);
        let begin = Instant::now();
        setup.is_delivered(&mut giver, 2000);
        assert!(begin.elapsed() > Duration::from_secs(8));
    });
}

/// The whole process, as by a debugger: its machine goes on only where another process carries its paths.
#[test]
fn a_process_that_is_stopped_is_waited_for_or_told() {
    on_each(|setup| {
        let mut giver = setup.give(2000, 1000);
        giver.until(50);
        setup.taker.signal("-STOP");
        match setup.by {
            By::Paths => {
                thread::sleep(Duration::from_secs(8));
                setup.taker.signal("-CONT");
                setup.is_delivered(&mut giver, 2000);
            }
            By::Net => {
                giver.program.says("FINISHED Disconnected");
                setup.taker.signal("-CONT");
                setup.was_cut_off(&giver);
                assert!(giver.confirmed() <= setup.taken(&giver));
                setup.goes_on();
            }
        }
    });
}

#[test]
fn a_program_that_gives_is_killed() {
    on_each(|setup| {
        let mut giver = setup.give(ENDLESS, PACE);
        giver.until(50);
        giver.program.kill();
        setup.was_cut_off(&giver);
        let (confirmed, taken) = (giver.confirmed(), setup.taken(&giver));
        assert!(confirmed <= taken, "{confirmed} confirmed, {taken} taken");
        setup.goes_on();
    });
}

#[test]
fn a_program_that_takes_is_killed() {
    on_each(|setup| {
        let mut giver = setup.give(ENDLESS, PACE);
        giver.until(50);
        setup.taker.kill();
        setup.is_cut(&mut giver);
        setup.taker = Setup::taker(&setup.hosts, setup.by);
        setup.goes_on();
    });
}

#[test]
fn what_carries_the_paths_is_killed() {
    watched_for(TEST_TIMEOUT, || {
        let Some(mut setup) = Setup::new(By::Paths) else { return };
        for side in [0, 1] {
            let mut giver = setup.give(ENDLESS, PACE);
            giver.until(50);
            setup.carriers[side].kill();
            setup.is_cut(&mut giver);
            setup.was_cut_off(&giver);
            setup.carriers[side] =
                if side == 0 { setup.hosts.offering() } else { setup.hosts.reaching() };
            setup.goes_on();
        }
    });
}

#[test]
fn who_does_not_get_in_is_told_why() {
    watched_for(TEST_TIMEOUT, || {
        let Some(setup) = Setup::new(By::Net) else { return };
        let hosts = &setup.hosts;
        let other = Key::generate().public();
        let tried = |key: &str, at: &str| {
            let mut trying = hosts.role(1, "try", &[("KEY", &hosts.path(key)), ("AT", at)]);
            at.split(' ').map(|_| trying.says("TRIED ")).collect::<Vec<_>>()
        };
        let wrong_key = format!("jobs@{other}/{THERE}:{PORT}");
        let nobody = format!("jobs@{other}/10.77.0.9:{PORT}");
        let all = [hosts.address("jobs"), hosts.address("other"), wrong_key, nobody].join(" ");
        assert_eq!(tried("here.key", &all), ["Ok", "NotFound", "ConnectionRefused", "TimedOut"],);
        assert_eq!(tried("stranger.key", &hosts.address("jobs")), ["PermissionDenied"]);
    });
}

#[test]
fn a_key_that_is_revoked_ends_its_connections_on_both_hosts() {
    watched_for(TEST_TIMEOUT, || {
        let Some(hosts) = Hosts::new() else { return };
        let taker = Setup::taker(&hosts, By::Paths);
        let allowed = hosts.path("allowed");
        std::fs::write(&allowed, hosts.key("here.key")).unwrap();
        let mut command = hosts.tool(0);
        command.args(["offer", "jobs", &hosts.path("there"), "--key", &hosts.path("there.key")]);
        command.args(["--allow-file", &allowed, "--listen", &format!("{THERE}:{PORT}")]);
        command.args(["--idle", IDLE]);
        let mut offer = Program::start(&mut command);
        offer.line();
        let carriers = vec![offer, hosts.reaching()];
        let mut setup = Setup { hosts, by: By::Paths, taker, carriers, givers: 0 };
        let mut giver = setup.give(ENDLESS, PACE);
        giver.until(50);
        std::fs::write(&allowed, "").unwrap();
        setup.is_cut(&mut giver);
        setup.was_cut_off(&giver);
        let hosts = &setup.hosts;
        let settings = [("KEY", &*hosts.path("here.key")), ("AT", &*hosts.address("jobs"))];
        assert_eq!(hosts.role(1, "try", &settings).says("TRIED "), "PermissionDenied");
    });
}

#[test]
fn a_hundred_and_twenty_clients_are_served_at_once() {
    watched_for(TEST_TIMEOUT, || {
        let Some(mut setup) = Setup::new(By::Paths) else { return };
        let settings = [("AT", &*setup.hosts.path("here")), ("COUNT", "120")];
        let mut clients = setup.hosts.role(1, "many", &settings);
        clients.says("ALL DONE");
        for id in 1..=120 {
            until("each has ended", || setup.taker.all("END ").contains(&format!("{id} Finished")));
        }
        let mut took = BTreeMap::new();
        for line in setup.taker.all("TOOK ") {
            *took.entry(line.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
        }
        assert!(took.len() == 120 && took.values().all(|count| *count == 10), "{took:?}");
    });
}

#[test]
fn a_long_transfer_arrives_as_it_was_sent() {
    let bytes = env::var("TYPED_PIPE_NET_BYTES").unwrap_or_else(|_| (32 << 20).to_string());
    watched_for(TEST_TIMEOUT * 10, move || {
        let Some(hosts) = Hosts::new() else { return };
        let mut drinking = hosts.role(0, "drink", &[("AT", &hosts.path("there"))]);
        drinking.says("READY");
        let _carriers = [hosts.offering(), hosts.reaching()];
        let begin = Instant::now();
        let settings = [("AT", &*hosts.path("here")), ("BYTES", &bytes)];
        let mut pouring = hosts.role(1, "pour", &settings);
        // As long as that takes.
        while pouring.all("SUM ").is_empty() {
            assert!(pouring.child.try_wait().unwrap().is_none_or(|it| it.success()));
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(pouring.says("SUM "), "same");
        println!("{bytes} bytes in {:?}", begin.elapsed());
    });
}
