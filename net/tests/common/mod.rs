//! What the tests of several programs use.
#![allow(dead_code, reason = "no test program uses all of it")]

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

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

/// A program, killed with its test.
pub struct Program {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it has said on its standard error.
    said: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let (tell, said) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("[{line}]");
                let _ = tell.send(line);
            }
        });
        Self { child, lines: BufReader::new(stdout).lines(), said, seen: Vec::new() }
    }

    /// The next line of its output.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("it says something").expect("its output is text")
    }

    /// What follows a word in its output.
    pub fn says(&mut self, word: &str) -> String {
        loop {
            if let Some((_, said)) = self.line().split_once(word) {
                return said.trim().to_owned();
            }
        }
    }

    /// Waits until it complains of something.
    pub fn complains(&mut self, of: &str) -> String {
        let begin = Instant::now();
        loop {
            if let Some(at) = self.seen.iter().position(|line| line.contains(of)) {
                return self.seen.remove(at);
            }
            let left = SOON.saturating_sub(begin.elapsed());
            match self.said.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("it has not complained of {of:?}, but of {:?}", self.seen),
            }
        }
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
