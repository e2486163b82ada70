//! Python: `multiprocessing.connection`, both sides of it.
//!
//! At its best: a pipe of one direction, a tuple instead of an object, and nothing else in either loop.

use std::convert::Infallible;
use std::process::{Command, Stdio};

use crate::round::{Done, Round};

/// Receives quotes from a process that it starts, and prints the messages a second.
const PROGRAM: &str = r#"
import multiprocessing, sys, time

def send(pipe):
    quote = (1000000, 1234567, 101.25, 100000, True, "ABCDEFGH", b"XEXCHNGE")
    while True:
        pipe.send(quote)

def rate(pipe, seconds):
    count, since = 0, time.perf_counter()
    while True:
        for _ in range(64):
            pipe.recv()
        count += 64
        elapsed = time.perf_counter() - since
        if elapsed >= seconds:
            return count / elapsed

seconds = float(sys.argv[1])
ours, theirs = multiprocessing.Pipe(duplex=False)
worker = multiprocessing.get_context("fork").Process(target=send, args=(theirs,), daemon=True)
worker.start()
rate(ours, seconds / 5)
print(rate(ours, seconds))
worker.kill()
"#;

pub(crate) fn is_present() -> bool {
    let mut version = Command::new("python3");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

pub(crate) fn receive(round: &Round) -> Done<f64> {
    let seconds = round.time().as_secs_f64().to_string();
    let mut python = Command::new("python3");
    let output = python.args(["-c", PROGRAM, &seconds]).stderr(Stdio::inherit()).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The receiver starts its own.
pub(crate) fn send(_: &[String]) -> Done<Infallible> {
    Err("the Python program has its own worker".into())
}
