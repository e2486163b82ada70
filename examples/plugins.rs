//! A host and its plugins, which are processes of their own. Each calls the other over one connection:
//! `cargo run --features service --example plugins`
//!
//! The host asks its plugins to change a text, and they ask it for settings while they do. They tell what happens, one of
//! them crashes and is started again, and one of an older version is refused. With `-- host PATH` it is the host of
//! all plugins that come there, one after the other.

use std::error::Error;
use std::process::{Child, Command, exit};
use std::{env, thread};

use typed_pipe::{Client, Connection, ErrorKind, Listener, Service, Serving, service};

service! {
    /// What a plugin does for its host.
    pub trait Plugin in plugin {
        /// Changes a text.
        fn change(text: String) -> String;
    }
}

service! {
    /// What a host does for its plugins.
    pub trait Host in host {
        /// A setting of the user's.
        fn setting(name: String) -> Option<String>;
        /// Something has happened.
        fn happened(what: String) where notify;
    }
}

/// The version of both.
const VERSION: &str = "plugins/2";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(),
        ["host", path] => host_anyone(path),
        [path, name, version] => plug_in(path, name, version),
        _ => Err("usage: plugins [host PATH]".into()),
    }
}

/// What the host offers to a plugin.
struct Offer {
    plugin: String,
}

impl Host for Offer {
    fn setting(&self, name: String) -> Option<String> {
        (name == "mark").then(|| "!".into())
    }

    fn happened(&self, what: String) {
        println!("host: {} says: {what}", self.plugin);
    }
}

/// A plugin that runs.
struct Running {
    process: Child,
    calls: plugin::Client,
    serving: Serving,
}

impl Running {
    /// Starts a plugin, and agrees with it.
    fn start(listener: &Listener, name: &str, version: &str) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(env::current_exe()?);
        let process = command.arg(listener.path()).args([name, version]).spawn()?;
        // It may end before it has come.
        let connection = listener.accept_with(&process)?;
        let service = Service::over(connection).protocol(VERSION);
        let (calls, serving) = host::both_ways(service, |_| Offer { plugin: name.into() })?;
        Ok(Self { process, calls: plugin::Client(calls), serving })
    }

    /// Ends it: it ends itself when its host has left.
    fn stop(mut self) -> Result<(), Box<dyn Error>> {
        drop(self.serving);
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("a plugin ended with {status}").into()) }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let listener = Listener::temporary()?;
    let shout = Running::start(&listener, "shout", VERSION)?;
    let mut mirror = Running::start(&listener, "mirror", VERSION)?;
    if let Err(refused) = Running::start(&listener, "old", "plugins/1") {
        println!("host: old is refused: {refused}");
    }

    // Both at once.
    let (loud, mirrored) = thread::scope(|scope| {
        let loud = scope.spawn(|| shout.calls.change("hello".into()));
        let mirrored = mirror.calls.change("hello".into());
        (loud.join(), mirrored)
    });
    println!("host: {}", loud.map_err(|_| "a thread panicked")??);
    println!("host: {}", mirrored?);

    for text in ["crash", "again"] {
        let mut answer = mirror.calls.change(text.into());
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Disconnected) {
            println!("host: mirror has crashed with {}", mirror.process.wait()?);
            mirror = Running::start(&listener, "mirror", VERSION)?;
            answer = mirror.calls.change(format!("after the {text}"));
        }
        println!("host: {}", answer?);
    }
    shout.stop()?;
    mirror.stop()
}

/// Offers the same to all plugins that come, until it is ended itself.
fn host_anyone(path: &str) -> Result<(), Box<dyn Error>> {
    let listener = Listener::bind(path)?;
    loop {
        let service = Service::over(listener.accept()?).protocol(VERSION);
        let made = host::both_ways(service, |_: Client<plugin::Call, plugin::Answer>| Offer {
            plugin: "a plugin".into(),
        });
        match made {
            Ok((_plugin, serving)) => {
                serving.wait()?;
            }
            Err(error) => println!("host: one is refused: {error}"),
        }
    }
}

/// What a plugin does.
struct Changes {
    name: String,
    host: host::Client,
}

impl Plugin for Changes {
    fn change(&self, text: String) -> String {
        if text == "crash" {
            exit(3);
        }
        let told = self.host.happened(format!("I change {text:?}"));
        let mark = self.host.setting("mark".into());
        match (told, mark) {
            (Ok(()), Ok(mark)) if self.name == "shout" => {
                text.to_uppercase() + &mark.unwrap_or_default()
            }
            (Ok(()), Ok(_)) => text.chars().rev().collect(),
            (Err(error), _) | (_, Err(error)) => format!("the host is gone: {error}"),
        }
    }
}

fn plug_in(path: &str, name: &str, version: &str) -> Result<(), Box<dyn Error>> {
    let service = Service::over(Connection::connect(path)?).protocol(version);
    let made =
        plugin::both_ways(service, |host| Changes { name: name.into(), host: host::Client(host) });
    match made {
        Ok((_host, serving)) => {
            serving.wait()?; // until the host has left
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::Mismatch => {
            println!("{name}: the host refuses me: {error}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
