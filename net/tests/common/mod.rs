//! What the tests of several programs use.
#![allow(dead_code, reason = "no test program uses all of it")]

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use typed_pipe::{Connection, Delivery, ErrorKind, TypedConnection};
use typed_pipe_net::{Key, Net, NetOptions, Offer};

/// How long a test may last that hangs.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(120);

/// How long something may take that happens soon.
pub const SOON: Duration = Duration::from_secs(60);

/// Runs a test, which may not hang.
pub fn watched<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    watched_for(TEST_TIMEOUT, test)
}

pub fn watched_for<T: Send + 'static>(
    limit: Duration,
    test: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (tell, told) = mpsc::channel();
    let test = thread::spawn(move || {
        let done = test();
        let _ = tell.send(());
        done
    });
    if told.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("it hangs");
    }
    test.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < SOON, "{what}: not in time");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A machine that works slowly is not taken for one that has gone.
pub fn options() -> NetOptions {
    NetOptions::new().idle(Duration::from_secs(15)).timeout(SOON)
}

pub fn listening(key: &Key) -> Net {
    options().open(key).unwrap().listening("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// Two machines, of which one offers `jobs` to the other.
pub struct Two {
    pub here: Net,
    pub there: Net,
    pub offer: Offer,
}

impl Two {
    pub fn new() -> Self {
        let key = Key::generate();
        let here = listening(&Key::generate());
        let offer = here.offer("jobs", &[key.public()]).unwrap();
        Self { here, there: options().open(&key).unwrap(), offer }
    }

    /// A connection: the side that accepted it, and the side that connected.
    pub fn connected(&self) -> (Connection, Connection) {
        let there = self.there.connect(self.offer.address()).unwrap();
        (self.offer.accept_timeout(SOON).unwrap(), there)
    }
}

/// A program, killed with its test.
pub struct Program {
    pub child: Child,
    said: Said,
    complained: Said,
}

/// The lines of an output, which is read as it comes.
struct Said {
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
    /// So many of them were asked for.
    taken: usize,
}

impl Said {
    fn new(output: impl Read + Send + 'static, shown: bool) -> Self {
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if shown {
                    eprintln!("[{line}]");
                }
                let _ = tell.send(line);
            }
        });
        Self { lines, seen: Vec::new(), taken: 0 }
    }

    /// Waits for the next line with a word.
    fn next(&mut self, word: &str) -> String {
        let begin = Instant::now();
        loop {
            while let Some(line) = self.seen.get(self.taken) {
                self.taken += 1;
                if line.contains(word) {
                    return line.clone();
                }
            }
            let left = SOON.saturating_sub(begin.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(why) => panic!("it has not said {word:?} ({why}), but {:?}", self.seen),
            }
        }
    }
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = Said::new(child.stdout.take().expect("it is piped"), false);
        let complained = Said::new(child.stderr.take().expect("it is piped"), true);
        Self { child, said, complained }
    }

    /// The next line of its output.
    pub fn line(&mut self) -> String {
        self.said.next("")
    }

    /// What follows a word in the next line of its output that has it.
    pub fn says(&mut self, word: &str) -> String {
        let line = self.said.next(word);
        line.split_once(word).map(|(_, rest)| rest.trim().to_owned()).unwrap_or_default()
    }

    /// What follows a word in all lines until now.
    pub fn all(&mut self, word: &str) -> Vec<String> {
        self.said.seen.extend(self.said.lines.try_iter());
        let after = |line: &String| Some(line.split_once(word)?.1.trim().to_owned());
        self.said.seen.iter().filter_map(after).collect()
    }

    /// Waits until it complains of something.
    pub fn complains(&mut self, of: &str) -> String {
        self.complained.next(of)
    }

    /// The most memory that it has had, in KiB.
    pub fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("the system tells")
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is ours");
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.expect("there is `kill`").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program once more, in a role: the test of that name plays it.
pub fn role_of_this(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "role", "--nocapture"]).env("TYPED_PIPE_NET_ROLE", role);
    command
}

/// A private folder of one test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("there is room"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    socket.local_addr().expect("it has an address").port()
}

pub type Typed = TypedConnection<str, String>;

/// Texts of all sizes come back, and both sides finish.
pub fn echo(mut here: Typed, there: Typed) {
    let echo = thread::spawn(move || {
        let (mut sender, receiver) = there.split();
        for text in receiver {
            sender.send(&text.unwrap()).unwrap();
        }
        sender.finish().unwrap()
    });
    for len in [0, 1, 100_000, 3_000_000] {
        let text = "x".repeat(len);
        here.send(&text).unwrap();
        assert_eq!(here.recv().unwrap(), text);
    }
    let mut rest = here.finish().unwrap();
    assert_eq!(rest.recv().unwrap_err().kind(), ErrorKind::Finished);
    drop(rest);
    assert_eq!(echo.join().unwrap(), Delivery::Drained);
}

/// `finish` waits until the other program has taken all: what carries it has long read it.
pub fn finishes_truly(mut from: Typed, mut to: Typed) {
    from.send("one").unwrap();
    let (mut sender, rest) = from.split();
    let failed = sender.finish_timeout(Duration::from_millis(700)).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::TimedOut);
    sender = failed.into_state();
    let reading = thread::spawn(move || {
        assert_eq!(to.recv().unwrap(), "one");
        assert_eq!(to.recv().unwrap_err().kind(), ErrorKind::Finished);
        to
    });
    assert_eq!(sender.finish().unwrap(), Delivery::Drained);
    drop((reading.join().unwrap(), rest));
}
