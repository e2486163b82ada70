//! Sends a file to another process, piece by piece, and compares the received file with the original.
//!
//! ```sh
//! cargo run --release --example transfer -- FILE [COPY]
//! ```
//!
//! The sender makes the pipe and starts this program again as the receiver, which writes COPY if it is
//! given. If one of the two is killed, the other one ends at once with an error that names the cause.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use typed_pipe::state::{Allocated, Open};
use typed_pipe::{ErrorKind, Message, Pipe, ReadEnd, WriteEnd};

/// A message: the beginning, any number of chunks, and the end, without which the transfer is incomplete.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "B: AsRef<[u8]>"))]
enum Part<B> {
    /// The size is for display only: files may grow while they are read.
    Begin {
        name: String,
        size: u64,
    },
    Chunk(#[serde(serialize_with = "in_one_piece")] B),
    End {
        sha256: [u8; 32],
    },
}

/// Chunks are sent from the buffer of the file, and received from that of the channel.
impl Message for Part<Vec<u8>> {
    type Ref<'a> = Part<&'a [u8]>;
}

/// serde treats a slice as a sequence of numbers, and would write them one by one.
fn in_one_piece<B: AsRef<[u8]>, S: Serializer>(chunk: &B, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(chunk.as_ref())
}

const CHUNK: usize = 256 << 10;

/// The time that the two wait for each other at the start.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// The argument that makes this program the receiver, in place of FILE.
const RECEIVE: &str = "--receive";

type Done = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let done = match (args.next(), args.next(), args.next()) {
        (Some(flag), Some(path), copy) if flag == RECEIVE => {
            receive(&path, copy).map_err(|error| format!("receiver: {error}").into())
        }
        (Some(file), copy, None) => {
            send(Path::new(&file), copy).map_err(|error| format!("sender: {error}").into())
        }
        _ => Err::<(), Box<dyn Error>>("usage: transfer FILE [COPY]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn send(file: &Path, copy: Option<OsString>) -> Done {
    let mut input = File::open(file)?;
    let size = input.metadata()?.len();
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();

    let pipe = Pipe::temporary()?;
    let mut receiver = Command::new(env::current_exe()?);
    let mut receiver = receiver.arg(RECEIVE).arg(pipe.path()).args(copy).spawn()?;
    let end = open(pipe, &mut receiver)?;
    #[cfg(unix)]
    let end = without_a_name(end)?;

    let mut sender = end.into_sender::<Part<Vec<u8>>>();
    sender.send_timeout(&Part::Begin { name, size }, START_TIMEOUT)?;
    let bar = progress(size);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let chunk = match input.read(&mut buffer)? {
            0 => break,
            bytes => &buffer[..bytes],
        };
        hash.update(chunk);
        sender.send_ref(&Part::Chunk(chunk))?;
        bar.inc(chunk.len() as u64);
    }
    sender.send(&Part::End { sha256: hash.finalize().into() })?;
    drop(sender);
    bar.finish_and_clear();

    // A one-way pipe carries no answer. The exit status of the receiver confirms the transfer.
    let status = receiver.wait()?;
    if !status.success() {
        return Err(format!("the receiver failed: {status}").into());
    }
    Ok(())
}

/// Opens the writing end, unless the receiver dies before it has opened its own.
fn open(
    pipe: Pipe<Allocated>,
    receiver: &mut Child,
) -> Result<WriteEnd<Open, Pipe<Allocated>>, Box<dyn Error>> {
    let mut end = pipe.into_writer();
    loop {
        match end.open_timeout(Duration::from_millis(100)) {
            Ok(open) => return Ok(open),
            Err(failed) if failed.kind() == ErrorKind::TimedOut => end = failed.into_state(),
            Err(failed) => return Err(failed.into()),
        }
        if let Some(status) = receiver.try_wait()? {
            return Err(format!("the receiver failed before it began: {status}").into());
        }
    }
}

/// Removes the name of a pipe whose two ends are open, and leaves them connected.
///
/// An owner that is killed with `kill -9` cannot remove anything. From here on there is nothing to remove. Only if
/// killed in the milliseconds before, it leaves a folder `typed-pipe-…` with an empty pipe among the temporary files.
/// On Windows pipes are no files, and none is ever left.
#[cfg(unix)]
fn without_a_name(
    end: WriteEnd<Open, Pipe<Allocated>>,
) -> Result<WriteEnd<Open, typed_pipe::Unnamed>, typed_pipe::Error> {
    Ok(std::os::fd::OwnedFd::from(end).try_into()?)
}

fn receive(path: &OsString, copy: Option<OsString>) -> Done {
    let mut output: Box<dyn Write> = match copy {
        Some(copy) => Box::new(File::create(copy)?),
        None => Box::new(io::sink()),
    };
    let end = ReadEnd::at(path)?.open_timeout(START_TIMEOUT)?;
    let mut receiver = end.into_receiver::<Part<Vec<u8>>>();
    let Part::Begin { name, .. } = receiver.recv_timeout(START_TIMEOUT)? else {
        return Err("the first message is not a beginning".into());
    };
    let mut hash = Sha256::new();
    let mut size = 0;
    loop {
        match receiver.recv_ref()? {
            Part::Chunk(chunk) => {
                hash.update(chunk);
                output.write_all(chunk)?;
                size += chunk.len();
            }
            Part::End { sha256 } => {
                let arrived: [u8; 32] = hash.finalize().into();
                if arrived != sha256 {
                    return Err(format!("{name} has arrived damaged").into());
                }
                println!("{name}: {size} bytes arrived, SHA-256 {}", hexadecimal(&arrived));
                return Ok(());
            }
            Part::Begin { .. } => return Err("a second beginning".into()),
        }
    }
}

/// A progress bar on a terminal; elsewhere nothing is drawn.
fn progress(size: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
