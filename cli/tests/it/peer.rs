//! The programs to which `tpipe` speaks in the tests: this test program itself, in a role.

use std::env;
use std::error::Error;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::wire::{Bincode, Checked, Json, LengthPrefixed, MultiWriter, Wire};
use typed_pipe::{
    Context, Handshake, Listener, Pipe, Service, TypedReceiver, TypedSender, WriteEnd, service,
};

#[derive(Serialize, Deserialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Stop,
    Run { task: String, times: u16 },
}

type Done = Result<(), Box<dyn Error>>;

/// Plays the role that the environment names, if it does.
pub(crate) fn play() {
    let Some(role) = env::var_os("TPIPE_TEST_ROLE") else { return };
    let path = env::var_os("TPIPE_TEST_PATH").unwrap();
    let path = Path::new(&path);
    let done: Done = match role.to_str().unwrap() {
        "quickstart" => quickstart(path),
        "hostile" => hostile(path),
        "many writers" => many_writers(path),
        "json" => json(path),
        "receiver" => receiver(path),
        "listener" => listener(path),
        "checked listener" => checked_listener(path),
        "counter" => serve_counter(path),
        "steps" => serve_steps(path),
        "json service" => serve_json(path),
        "owner" => owner(path),
        "owner of a listener" => owner_of_a_listener(path),
        other => panic!("there is no role {other}"),
    };
    done.unwrap();
}

/// What the child of the example `quickstart` does.
fn quickstart(path: &Path) -> Done {
    let mut sender = TypedSender::<Reading>::connect(path)?;
    sender.send(&Reading { sensor: "kitchen".into(), celsius: 21.5 })?;
    sender.send(&Reading { sensor: "roof".into(), celsius: -3.25 })?;
    sender.finish()?;
    Ok(())
}

fn hostile(path: &Path) -> Done {
    let mut sender = TypedSender::<str>::connect(path)?;
    sender.send("\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}")?;
    sender.finish()?;
    Ok(())
}

fn many_writers(path: &Path) -> Done {
    let wire = Wire::default().with_framing(MultiWriter::default()).with_codec(Json);
    let sending = |sensor: &'static str| {
        let mut sender =
            WriteEnd::at(path)?.open()?.into_sender_with::<Reading, _, _>(wire.clone());
        sender.send(&Reading { sensor: sensor.into(), celsius: 1.0 })?;
        Ok::<_, typed_pipe::Error>(sender)
    };
    let (one, other) = (sending("one")?, sending("other")?);
    one.finish()?;
    other.finish()?;
    Ok(())
}

fn json(path: &Path) -> Done {
    let end = WriteEnd::at(path)?.open()?;
    let mut sender = end.into_sender_with::<Reading, _, _>(Wire::default().with_codec(Json));
    sender.send(&Reading { sensor: "cellar".into(), celsius: 9.0 })?;
    sender.finish()?;
    Ok(())
}

/// Prints what it receives.
fn receiver(path: &Path) -> Done {
    let receiver = Pipe::create(path)?.into_reader().open()?.into_receiver::<Reading>();
    for reading in receiver.require_shape() {
        let Reading { sensor, celsius } = reading?;
        eprintln!("{sensor}: {celsius}");
    }
    Ok(())
}

/// Answers each command, and says what it has got.
fn listener(path: &Path) -> Done {
    let listener = Listener::bind(path)?;
    loop {
        let terms = Handshake::new().sending("report/1").receiving("command/2");
        let Ok(mut client) = terms.perform::<String, Command>(listener.accept()?) else { continue };
        if client.send(&"ready".into()).is_err() {
            continue; // It has only asked.
        }
        while let Ok(command) = client.recv() {
            let _ = client.send(&format!("{command:?}"));
        }
    }
}

fn checked_listener(path: &Path) -> Done {
    let listener = Listener::bind(path)?;
    loop {
        let wire = Wire::new(Checked::default(), Json);
        let terms = Handshake::new().with_wire(wire);
        let Ok(mut client) = terms.perform::<Vec<u8>, Reading>(listener.accept()?) else {
            continue;
        };
        while let Ok(reading) = client.recv() {
            let _ = client.send(&reading.sensor.into_bytes());
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Refused {
    TooMuch { limit: u64 },
}

service! {
    /// A number that grows.
    pub(crate) trait Counter in counter {
        fn add(by: u64) -> Result<u64, Refused>;
        fn reset();
        fn of_two(one: Option<i8>, other: Vec<(char, f32)>) -> String;
    }
}

struct InMemory(Mutex<u64>);

impl Counter for InMemory {
    fn add(&self, by: u64) -> Result<u64, Refused> {
        if by > 100 {
            return Err(Refused::TooMuch { limit: 100 });
        }
        let mut sum = self.0.lock().unwrap();
        *sum += by;
        Ok(*sum)
    }

    fn reset(&self) {
        *self.0.lock().unwrap() = 0;
    }

    fn of_two(&self, one: Option<i8>, other: Vec<(char, f32)>) -> String {
        format!("{one:?} {other:?} \u{1b}[2J")
    }
}

fn serve_counter(path: &Path) -> Done {
    counter::serve(Service::bind(path)?, &InMemory(Mutex::new(0)))?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Target {
    name: String,
    steps: u32,
}

#[derive(Serialize)]
struct Progress<'a> {
    name: &'a str,
    step: u32,
    later: Option<()>,
}

/// What the answers are.
#[derive(Serialize, Deserialize)]
enum Outcome {
    Built,
    Cancelled { after: u32 },
}

/// Sends a step as an item. More than ten take until nobody waits for them.
fn serve_steps(path: &Path) -> Done {
    let wire = Wire::new(LengthPrefixed::default(), Bincode::new());
    let service = Service::<Target, Outcome>::bind(path)?.with_wire(wire);
    service.serve_with_context(|Target { name, steps }, context: Context<Progress<'_>, _>| {
        assert!(name != "panic", "the handler panics \u{1b}[2J");
        for step in 1..=steps.min(10) {
            let _ = context.send(&Progress { name: "a step", step, later: None });
        }
        if steps <= 10 {
            return Ok(Outcome::Built);
        }
        if name == "refuse" {
            return Err("it is refused \u{1b}[2J");
        }
        eprintln!("begun");
        while !context.is_cancelled() {
            thread::sleep(Duration::from_millis(1));
        }
        eprintln!("cancelled");
        Ok(Outcome::Cancelled { after: 10 })
    })?;
    Ok(())
}

fn serve_json(path: &Path) -> Done {
    let wire = Wire::new(Checked::default(), Json);
    let service = Service::<(String, u8), Vec<String>>::bind(path)?.with_wire(wire);
    service.serve(|(text, times)| vec![text; times.into()])?;
    Ok(())
}

/// Owns a pipe and reads from it, until its standard input ends.
fn owner(path: &Path) -> Done {
    let end = Pipe::create(path)?.into_reader().open()?;
    let mut receiver: TypedReceiver<String, _> = end.into_receiver();
    let mut sender = TypedSender::<String>::connect(path)?;
    sender.send(&"first".into())?;
    receiver.recv()?;
    sender.send(&"seven".into())?;
    ready();
    Ok(())
}

fn owner_of_a_listener(path: &Path) -> Done {
    let _listener = Listener::bind(path)?;
    ready();
    Ok(())
}

/// Says that all is there, and waits for the end of the standard input.
fn ready() {
    eprintln!("ready");
    let _ = io::stdin().read(&mut [0]);
}
