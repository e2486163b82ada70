//! A program starts itself again and receives what its child sends: `cargo run --example quickstart`

use std::{env, error::Error, process::Command};

use serde::{Deserialize, Serialize};
use typed_pipe::{Pipe, TypedSender};

#[derive(Serialize, Deserialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(path) = env::args_os().nth(1) {
        // The child has a path: enough to open an end, but not to make or remove the pipe.
        let mut sender = TypedSender::<Reading>::connect(path)?;
        sender.send(&Reading { sensor: "kitchen".into(), celsius: 21.5 })?;
        sender.send(&Reading { sensor: "roof".into(), celsius: -3.25 })?;
        sender.finish()?; // the receiver distinguishes this from a crash
        return Ok(());
    }
    // The parent owns the pipe: its name is removed when the last of it is dropped.
    let pipe = Pipe::temporary()?; // or `Pipe::create("/run/app/readings")?`
    let mut child = Command::new(env::current_exe()?).arg(pipe.path()).spawn()?;
    let mut end = pipe.into_reader().open()?;
    end.wait_for_peer(&child)?; // an error if the child dies first
    for reading in end.into_receiver::<Reading>() {
        let Reading { sensor, celsius } = reading?;
        println!("{sensor}: {celsius} °C");
    }
    if child.wait()?.success() { Ok(()) } else { Err("the child failed".into()) }
}
