//! A host with children that misbehave: `cargo run --features process --example supervisor`.
//!
//! One is killed, one never answers, and one floods the host. The host hears of each, and its calls end in time.

use std::env;
use std::error::Error;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::{ErrorKind, TypedConnection, process};

#[derive(Serialize, Deserialize)]
struct Task {
    number: u64,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    number: u64,
    square: u64,
}

/// How long a child may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// How many answers the host takes from a child that sends without end.
const ENOUGH: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1).as_deref() {
        None => supervise(),
        Some("silent") => silent(),
        Some("flood") => flood(),
        Some(_) => work(),
    }
}

/// A child with its connection.
type Worker = (TypedConnection<Task, Answer>, Child);

fn start(how: &str) -> Result<Worker, Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    Ok(process::spawn(command.arg(how))?)
}

fn supervise() -> Result<(), Box<dyn Error>> {
    let (worker, silent, flooding) = (start("work")?, start("silent")?, start("flood")?);
    let killed = thread::spawn(move || lose(worker).unwrap_or_else(|error| error.to_string()));
    let late = thread::spawn(move || give_up(silent).unwrap_or_else(|error| error.to_string()));
    let flooded = thread::spawn(move || stop(flooding).unwrap_or_else(|error| error.to_string()));
    for (child, host) in [("worker", killed), ("silent", late), ("flooding", flooded)] {
        println!("{child}: {}", host.join().map_err(|_| "a thread of the host panicked")?);
    }
    Ok(())
}

/// A child that is killed while the host waits for it.
fn lose((mut worker, mut child): Worker) -> Result<String, Box<dyn Error>> {
    worker.send(&Task { number: 12 })?;
    let Answer { number, square } = worker.recv()?;
    child.kill()?; // as the system may do when memory is short
    let Err(error) = worker.recv() else { return Err("it answered what it was not asked".into()) };
    child.wait()?;
    Ok(format!(
        "said that {number} times {number} is {square}; then it was killed: {}",
        error.kind()
    ))
}

/// A child that does not answer in time.
fn give_up((mut worker, mut child): Worker) -> Result<String, Box<dyn Error>> {
    worker.send(&Task { number: 12 })?;
    match worker.receiver().recv_timeout(ANSWER_TIMEOUT) {
        Err(error) if error.kind() == ErrorKind::TimedOut => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("it answered".into()),
    }
    child.kill()?;
    child.wait()?;
    Ok("had no answer in time, and was killed by the host".into())
}

/// A child that sends more than the host wants. What the host does not take waits in the child.
fn stop((mut worker, mut child): Worker) -> Result<String, Box<dyn Error>> {
    for expected in 0..ENOUGH {
        let Answer { number, .. } = worker.recv()?;
        if number != expected {
            return Err(format!("answer {number} in place of {expected}").into());
        }
    }
    drop(worker); // its next send fails, and so it ends by itself
    let status = child.wait()?;
    Ok(format!("sent {ENOUGH} answers and more; without a host it ended, {status}"))
}

fn work() -> Result<(), Box<dyn Error>> {
    let mut host = process::parent::<Answer, Task>()?;
    while let Ok(Task { number }) = host.recv() {
        host.send(&Answer { number, square: number * number })?;
    }
    Ok(())
}

/// It takes each task, and answers none.
fn silent() -> Result<(), Box<dyn Error>> {
    let mut host = process::parent::<Answer, Task>()?;
    while host.recv().is_ok() {}
    Ok(())
}

fn flood() -> Result<(), Box<dyn Error>> {
    let mut host = process::parent::<Answer, Task>()?;
    for number in 0.. {
        match host.send(&Answer { number, square: 0 }) {
            Err(error) if error.kind() == ErrorKind::Disconnected => break,
            sent => sent?,
        }
    }
    Ok(())
}
