//! What can be asked of the program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use typed_pipe_net::PublicKey;

/// Carries the local sockets of programs that know nothing of networks to another machine.
///
/// One machine offers the path at which a program listens; another one reaches it at a path of its own. Both have keys,
/// and nobody else gets in.
#[derive(Debug, Parser)]
#[command(name = "tpipe-net", version, about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Key(KeyFile),
    Offer(Offer),
    Reach(Reach),
}

/// Shows what the others know this machine by. Makes its key, if there is none.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyFile {
    /// The file of the key: of its owner alone.
    pub(crate) file: PathBuf,
}

/// Lets other machines connect to what listens at a path of this one.
///
/// It prints the address at which they reach it. It connects to the path for each of them, as soon as a program listens
/// there.
#[derive(Debug, clap::Args)]
pub(crate) struct Offer {
    /// What the others call it.
    pub(crate) name: String,
    /// The socket at which the program listens.
    pub(crate) path: PathBuf,
    /// Where this machine is reached: an address of it, and a port.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: SocketAddr,
    /// The key of a machine that is let in. Without one, nobody is.
    #[arg(long, value_name = "KEY")]
    pub(crate) allow: Vec<PublicKey>,
    /// A file of such keys, one a line; `#` begins a remark. A change of it counts within two seconds: who is not in it
    /// any more is disconnected.
    #[arg(long, value_name = "FILE")]
    pub(crate) allow_file: Option<PathBuf>,
    /// How long a machine waits for the program to listen at the path.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub(crate) hold: Duration,
    #[command(flatten)]
    pub(crate) link: Link,
}

/// Listens at a path of this machine, and carries who connects there to what another one offers.
#[derive(Debug, clap::Args)]
pub(crate) struct Reach {
    /// What is reached: NAME@KEY/HOST:PORT, as the offer of the other machine shows it.
    pub(crate) address: String,
    /// The path at which it is reached here.
    pub(crate) path: PathBuf,
    /// How long a program that connects is held while the other machine is not reached, before it is disconnected.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "20")]
    pub(crate) hold: Duration,
    #[command(flatten)]
    pub(crate) link: Link,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Link {
    /// The file of the key of this machine, which is made if there is none.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// After how long without a sign of the other machine its link is lost: 0.1 to 15.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub(crate) idle: Duration,
    /// How long one attempt to connect to the other machine may take.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub(crate) timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
