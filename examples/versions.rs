//! An old and a new version of one program: `cargo run --example versions`
//!
//! The new one listens, and starts the old one three times: with a type that does not fit, with one to which only a variant
//! was added, and with a name of the protocol for each version.

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode};

use typed_pipe::{Connection, Handshake, Listener, TypedConnection};

/// What was built a year ago.
mod old {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Reading {
        pub(crate) sensor: String,
        pub(crate) celsius: f32,
    }

    #[derive(Serialize, Deserialize)]
    pub(crate) enum Order {
        Set { rate: u32 },
        Stop,
    }
}

/// What is built today.
mod new {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Reading {
        pub(crate) sensor: String,
        pub(crate) celsius: f64,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) enum Order {
        Set { rate: u32 },
        Stop,
        Pause,
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        [] => new_program(),
        ["old", scene, path] => old_program(scene, path),
        _ => Err("usage: versions [old mismatch|orders|named PATH]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("versions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn new_program() -> Result<(), Box<dyn Error>> {
    let listener = Listener::temporary()?;

    println!("a type that does not fit:");
    beside_the_old(&listener, "mismatch", |client| {
        match client.into_typed::<(), new::Reading>() {
            Err(error) => println!("  new: {error}"),
            Ok(_) => return Err("the two types fit".into()),
        }
        Ok(())
    })?;

    println!("a variant more at the end:");
    beside_the_old(&listener, "orders", |client| {
        for order in client.into_typed::<(), new::Order>()? {
            match order? {
                new::Order::Set { rate } => println!("  new: set the rate to {rate}"),
                new::Order::Stop | new::Order::Pause => println!("  new: stand still"),
            }
        }
        Ok(())
    })?;

    println!("a name for each version:");
    beside_the_old(&listener, "named", |client| {
        let handshake = Handshake::new().protocols(["weather/2", "weather/1"]).require_protocol();
        let agreed = handshake.negotiate(client)?;
        println!("  new: we speak {}", agreed.protocol().unwrap_or_default());
        let reading = match agreed.protocol() {
            Some("weather/1") => {
                let old::Reading { sensor, celsius } = agreed.perform::<(), _>()?.recv()?;
                new::Reading { sensor, celsius: celsius.into() }
            }
            _ => agreed.perform::<(), new::Reading>()?.recv()?,
        };
        println!("  new: {} °C in the {}", reading.celsius, reading.sensor);
        Ok(())
    })
}

/// Starts the old program, and serves it.
fn beside_the_old(
    listener: &Listener,
    scene: &str,
    serve: impl FnOnce(Connection) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    let mut child = command.args(["old", scene]).arg(listener.path()).spawn()?;
    serve(listener.accept_with(&child)?)?;
    if child.wait()?.success() { Ok(()) } else { Err("the old program failed".into()) }
}

fn old_program(scene: &str, path: &str) -> Result<(), Box<dyn Error>> {
    match scene {
        "mismatch" => match TypedConnection::<old::Reading, ()>::connect(path) {
            Err(error) => println!("  old: {error}"),
            Ok(_) => return Err("the two types fit".into()),
        },
        "orders" => {
            let mut server = TypedConnection::<old::Order, ()>::connect(path)?;
            server.send(&old::Order::Set { rate: 7 })?;
            server.send(&old::Order::Stop)?;
            server.finish()?;
        }
        "named" => {
            let handshake = Handshake::new().protocols(["weather/1"]);
            let mut server = handshake.perform::<_, ()>(Connection::connect(path)?)?;
            server.send(&old::Reading { sensor: "kitchen".into(), celsius: 21.5 })?;
        }
        other => return Err(format!("no scene {other}").into()),
    }
    Ok(())
}
