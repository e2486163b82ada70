//! A build daemon: clients ask for targets and see the progress, and a client that is interrupted cancels its build:
//! `cargo run --features service --example build`
//!
//! It starts three clients of its own, and interrupts the last one. With `-- serve PATH` it builds until it is interrupted itself,
//! for as many clients as you like, in other terminals, to be interrupted with Ctrl-C: `-- PATH TARGET [STEPS]`.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::{Caller, CancelToken, Service, service};

service! {
    trait Builder in builder {
        /// Builds a target in so many steps, and tells each of them.
        fn build(target: String, steps: u32) -> Outcome where yields: Progress;
    }
}

/// What the client sees while it waits.
#[derive(Debug, Serialize, Deserialize)]
pub struct Progress {
    step: u32,
    of: u32,
}

/// How a build ended.
#[derive(Debug, Serialize, Deserialize)]
pub enum Outcome {
    Built,
    Cancelled { after: u32 },
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => demonstrate(),
        ["serve", path] => {
            let service = Service::bind(path)?;
            println!("building at {path}");
            builder::serve(service, &Daemon)?;
            Ok(())
        }
        [path, target] => ask(path, target, 5),
        [path, target, steps] => ask(path, target, steps.parse()?),
        _ => Err("usage: build [serve PATH | PATH TARGET [STEPS]]".into()),
    }
}

/// Builds for three clients, beside each other.
fn demonstrate() -> Result<(), Box<dyn Error>> {
    let token = CancelToken::new()?;
    let service = Service::temporary()?.cancelled_by(&token);
    let path = service.path().clone();
    println!("building at {}", path.as_path().display());
    let serving = thread::spawn(move || builder::serve(service, &Daemon));

    let start = |target: &str, steps: &str| {
        let mut client = Command::new(env::current_exe()?);
        client.arg(&path).args([target, steps]).stdout(Stdio::piped()).spawn()
    };
    let clients = [start("library", "5")?, start("program", "3")?];
    let mut interrupted = start("manual", "1000000")?;
    if let Some(output) = interrupted.stdout.take() {
        let mut first = String::new();
        BufReader::new(output).read_line(&mut first)?;
        print!("{first}");
    }
    interrupted.kill()?; // as Ctrl-C does
    interrupted.wait()?;
    for client in clients {
        print!("{}", String::from_utf8(client.wait_with_output()?.stdout)?);
    }
    token.cancel();
    let summary = serving.join().map_err(|_| "the service panicked")??;
    println!("{} clients, {} lost", summary.clients, summary.lost);
    Ok(())
}

struct Daemon;

impl Builder for Daemon {
    fn build(&self, target: String, steps: u32, caller: Caller<Progress>) -> Outcome {
        for step in 1..=steps {
            thread::sleep(Duration::from_millis(10)); // the work
            let told = caller.send(&Progress { step, of: steps });
            if told.is_err() || caller.is_cancelled() {
                println!("{target}: cancelled");
                return Outcome::Cancelled { after: step };
            }
        }
        Outcome::Built
    }
}

/// Asks for a target, and prints the progress.
fn ask(path: &str, name: &str, steps: u32) -> Result<(), Box<dyn Error>> {
    let client = builder::Client::connect(path)?;
    let mut progress = client.build(name.into(), steps)?;
    for step in &mut progress {
        let Progress { step, of } = step?;
        println!("{name}: {step} of {of}");
    }
    match progress.finish()? {
        Outcome::Built => println!("{name}: built"),
        Outcome::Cancelled { after } => println!("{name}: cancelled after {after} steps"),
    }
    Ok(())
}
