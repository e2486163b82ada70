//! The program.

mod allowed;
mod args;
mod offer;
mod reach;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use typed_pipe_net::{Key, Net, NetOptions};

use args::{Args, Command, Link};

/// How long it waits before it tries again what may work later.
const PAUSE: Duration = Duration::from_secs(1);

/// How long it waits at its end for what is on its way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Command::Key(how) => key(&how.file),
        Command::Offer(how) => run(offer::run(how)),
        Command::Reach(how) => run(reach::run(how)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Makes the key of this machine if there is none, and shows what the others know it by.
fn key(file: &Path) -> io::Result<()> {
    println!("{}", Key::open(file)?.public());
    Ok(())
}

fn run(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}

/// One line on the standard error, which the journal of the system takes.
fn tell(what: &str) {
    eprintln!("tpipe-net: {what}");
}

fn open(link: &Link) -> io::Result<Net> {
    let options = NetOptions::new().idle(link.idle).timeout(link.timeout);
    options.open(&Key::open(&link.key)?)
}

/// Listens, as soon as the address is there: a machine that starts may get it later.
async fn listening(link: &Link, at: SocketAddr) -> io::Result<Net> {
    let mut told = false;
    loop {
        match open(link)?.listening(at) {
            Err(error) if is_for_now(&error) => {
                if !told {
                    tell(&format!("{error}; it tries again"));
                }
                told = true;
                sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse)
}

/// Waits for the word to end, of a terminal or of a supervisor. It is heard from now on.
fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

/// Waits for what is on its way.
async fn close(net: Net) -> io::Result<()> {
    let closing = tokio::task::spawn_blocking(move || net.close(CLOSE_TIMEOUT));
    match closing.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        // Connections end with this program: that it carries some is not its failure, and each has been told of it.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
            tell(&error.to_string());
            Ok(())
        }
        done => done,
    }
}
