//! A program starts itself again, and receives what its child sends: `cargo run --example quickstart`

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::{ErrorKind, Pipe, TypedSender};

#[derive(Serialize, Deserialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(path) => child(path),
    }
}

/// Owns the pipe: makes it, reads from it, and removes it by dropping it, whatever happens.
fn parent() -> Result<(), Box<dyn Error>> {
    let pipe = Pipe::temporary()?;
    let mut child = Command::new(env::current_exe()?).arg(pipe.path()).spawn()?;
    let mut receiver = pipe.into_reader().open()?.into_receiver::<Reading>();
    loop {
        // Asked before the wait: what a child has sent before its end is in the pipe by then.
        let running = child.try_wait()?.is_none();
        match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok(Reading { sensor, celsius }) => println!("{sensor}: {celsius} °C"),
            Err(error) if error.kind() == ErrorKind::Finished => break,
            Err(error) if error.kind() == ErrorKind::TimedOut && running => {}
            Err(error) => return Err(error.into()),
        }
    }
    if child.wait()?.success() { Ok(()) } else { Err("the child failed".into()) }
}

/// Knows a path and no more: it can open an end, but never make or remove the pipe.
fn child(path: OsString) -> Result<(), Box<dyn Error>> {
    let mut sender = TypedSender::<Reading>::connect(path)?;
    for (sensor, celsius) in [("kitchen", 21.5), ("cellar", 12.0), ("roof", -3.25)] {
        sender.send(&Reading { sensor: sensor.into(), celsius })?;
    }
    sender.finish()?; // by which the parent knows that this was all
    Ok(())
}
