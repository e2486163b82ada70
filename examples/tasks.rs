//! A task queue: a client process submits tasks, a service runs them, and their outcomes go to another pipe:
//! `cargo run --features service --example tasks`
//!
//! The service ends after ten tasks, after five seconds without one, or at a request to shut down. With `-- serve PATH` it
//! serves there, starts no client of its own, and waits a minute for one.

use std::env;
use std::error::Error;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::{CancelToken, Client, ErrorKind, Pipe, Service, TypedSender};

#[derive(Debug, Serialize, Deserialize)]
enum Task {
    ProcessData { values: Vec<f64> },
    GenerateReport { title: String, rows: u32 },
    SendEmail { to: String },
    ShutDown,
}

/// The outcome of a task.
#[derive(Debug, Serialize, Deserialize)]
enum Outcome {
    Mean(f64),
    Pages(u32),
    Sent(String),
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve(None),
        ["serve", path] => serve(Some(path)),
        ["hand-in", path] => hand_in(path),
        _ => Err("usage: tasks [serve PATH]".into()),
    }
}

/// Runs the tasks of all clients, and sends the outcomes to a pipe.
fn serve(at: Option<&str>) -> Result<(), Box<dyn Error>> {
    let token = CancelToken::new()?;
    let (service, seconds) = match at {
        Some(path) => (Service::<Task, ()>::bind(path)?, 60),
        None => (Service::temporary()?, 5),
    };
    let service = service
        .protocol("tasks/1")
        .shutdown_after(10)
        .idle_timeout(Duration::from_secs(seconds))
        .cancelled_by(&token);

    let outcomes = Pipe::temporary()?;
    let path = outcomes.path().clone();
    let listening = thread::spawn(move || -> Result<(), typed_pipe::Error> {
        for outcome in outcomes.into_reader().open()?.into_receiver::<Outcome>() {
            println!("outcome: {:?}", outcome?);
        }
        Ok(())
    });

    let start = || Command::new(env::current_exe()?).arg("hand-in").arg(service.path()).spawn();
    let client = if at.is_none() { Some(start()?) } else { None };
    let sender = Mutex::new(TypedSender::<Outcome>::connect(path)?);
    let summary = service.serve(|task| -> Result<(), Box<dyn Error>> {
        let outcome = match task {
            Task::ProcessData { values } if values.is_empty() => return Err("no values".into()),
            Task::ProcessData { values } => {
                Outcome::Mean(values.iter().sum::<f64>() / values.len() as f64)
            }
            Task::GenerateReport { rows, .. } => Outcome::Pages(rows.div_ceil(40)),
            Task::SendEmail { to } => Outcome::Sent(to),
            Task::ShutDown => {
                token.cancel();
                return Ok(());
            }
        };
        sender.lock().unwrap_or_else(PoisonError::into_inner).send(&outcome)?;
        Ok(())
    })?;

    drop(sender); // the end of the outcomes
    listening.join().map_err(|_| "the listening thread panicked")??;
    let client = client.map(|mut client| client.wait()).transpose()?;
    println!(
        "{} clients, {} tasks done, {} failed; the service ended: {:?}",
        summary.clients, summary.answered, summary.failed, summary.reason,
    );
    if client.is_none_or(|client| client.success()) {
        Ok(())
    } else {
        Err("the client failed".into())
    }
}

/// Submits tasks, one of which fails.
fn hand_in(path: &str) -> Result<(), Box<dyn Error>> {
    let options = typed_pipe::ClientOptions::new().protocol("tasks/1").max_attempts(3);
    let client: Client<Task, ()> = options.connect_timeout(path, Duration::from_secs(5))?;
    for task in [
        Task::ProcessData { values: vec![1.0, 2.0, 6.0] },
        Task::GenerateReport { title: "the year".into(), rows: 365 },
        Task::SendEmail { to: "all@example.org".into() },
        Task::ProcessData { values: vec![] },
        Task::ShutDown,
    ] {
        match client.notify(&task) {
            Ok(()) => println!("done: {task:?}"),
            Err(error) if error.kind() == ErrorKind::HandlerFailed => {
                println!("failed: {task:?}: {error}")
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
