//! What can be asked of the program.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Sees into named pipes, and speaks to programs that use typed-pipe without their types.
#[derive(Debug, Parser)]
#[command(name = "tpipe", version, about, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Prints JSON, for other programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  it failed; the reason is on the standard error
  2  the command line is wrong
  3  done, but not all of it: some messages could not be shown or sent, or the peer does not tell
  4  `who`: nothing has the name; `clean`: somebody holds it
  5  `call`: the service answered with an error
  6  `call`: it has no such method, or other arguments: nothing is done
  7  `call`: no service is there: nothing is sent
  8  `call`: the answer did not come in time
130  Ctrl-C ended it";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Listen(Listen),
    Send(Send),
    Ask(Ask),
    Call(Call),
    Who(Who),
    Clean(Clean),
}

/// Prints the messages of a pipe or of a listener, one line of JSON for each.
///
/// It TAKES the messages of a pipe: no other reader gets them. So it is refused while a reader of typed-pipe is there. At a
/// listener it is one more client.
#[derive(Debug, clap::Args)]
pub(crate) struct Listen {
    /// The pipe or listener.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) wire: Wire,
    /// Makes the pipe, and removes it at the end, also after Ctrl-C. Without this, it waits until the pipe is there.
    #[arg(long)]
    pub(crate) create: bool,
    /// Waits for the next writer when the last one has left.
    #[arg(long)]
    pub(crate) stay: bool,
    /// Ends after so many messages.
    #[arg(long, value_name = "MESSAGES")]
    pub(crate) count: Option<u64>,
    /// Ends when nothing has come for so long.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Writes the shape of the first message to a file, for `--shape`.
    #[arg(long, value_name = "FILE")]
    pub(crate) save_shape: Option<PathBuf>,
}

/// Sends each line of JSON from the standard input as a message.
///
/// A listener tells what it reads. What it sends is printed, one line of JSON for each message. The reader of a pipe tells
/// nothing: give `--shape`, or `--codec json` or `text` if that is what it reads.
#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    /// The pipe or listener.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) wire: Wire,
    /// How long it waits for the other side to be there.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub(crate) timeout: Duration,
    /// How long it waits for answers of a listener after the last one.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1")]
    pub(crate) linger: Duration,
}

/// Tells what a listener speaks: its wire, and what its messages look like; of a service, its methods.
///
/// The names of its protocols are shown as well.
/// It connects, and leaves after the handshake. A program that accepts one client has had it then.
#[derive(Debug, clap::Args)]
pub(crate) struct Ask {
    /// The listener.
    pub(crate) path: PathBuf,
    /// Prints what the messages look like as JSON Schema.
    #[arg(long)]
    pub(crate) json_schema: bool,
    /// How long it waits for the listener, and then for what it says.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub(crate) timeout: Duration,
    /// Writes the shape of what the listener reads to a file, for `--shape`.
    #[arg(long, value_name = "FILE")]
    pub(crate) save_shape: Option<PathBuf>,
}

/// Calls a service, and prints what comes of it, each item and the answer on a line of JSON.
///
/// The request is an argument of JSON. Where the requests are an enum, as those of `service!` are, it may be given as the
/// name of a method and its arguments. Ctrl-C gives up the call, and its handler is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Call {
    /// The service.
    pub(crate) path: PathBuf,
    /// The name of a method: `ask` shows all. It may be left out, and REQUEST is all of the request then.
    #[arg(value_name = "METHOD")]
    pub(crate) first: String,
    /// The arguments of the method; `-` for those on the standard input.
    #[arg(value_name = "REQUEST")]
    pub(crate) second: Option<String>,
    /// Gives up the call when the answer has not come after so long.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) deadline: Option<Duration>,
    /// How long it waits for the service to be there, and then for what it says.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub(crate) timeout: Duration,
}

/// Shows who owns, reads and writes a pipe or a listener, and what waits. It changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Who {
    /// The pipe or listener.
    pub(crate) path: PathBuf,
}

/// Removes what dead owners left behind: nothing else, and nothing that a process has open.
#[derive(Debug, clap::Args)]
pub(crate) struct Clean {
    /// The pipes and listeners.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

/// How the messages are written. A listener says it by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Wire {
    /// How the messages of a pipe follow each other.
    #[arg(long = "wire", value_enum, default_value_t)]
    pub(crate) framing: Framing,
    /// How a message is written. Unless given, `text` for lines, `json` for JSON values, and else `postcard`.
    #[arg(long, value_enum)]
    pub(crate) codec: Option<Codec>,
    /// What the messages look like: a file of `--save-shape`.
    #[arg(long, value_name = "FILE")]
    pub(crate) shape: Option<PathBuf>,
    /// The name is that of a listener. Only needed on Windows, and before it is there.
    #[arg(long)]
    pub(crate) listener: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// The default wire of typed-pipe: 4 bytes of length, big-endian, and the message.
    #[default]
    LengthPrefixed,
    /// The same with a checksum.
    Checked,
    /// The wire of many writers.
    MultiWriter,
    /// Lines of text.
    Lines,
    /// JSON values, one behind the other.
    JsonValues,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    /// By the shape that the writer tells, or that `--shape` gives.
    Postcard,
    /// By the shape that `--shape` gives.
    Bincode,
    /// JSON.
    Json,
    /// UTF-8, as a string of JSON.
    Text,
    /// Any bytes, as a string of hexadecimal digits.
    Bytes,
}

impl Wire {
    pub(crate) fn codec(&self) -> Codec {
        self.codec.unwrap_or(match self.framing {
            Framing::Lines => Codec::Text,
            Framing::JsonValues => Codec::Json,
            _ => Codec::Postcard,
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
