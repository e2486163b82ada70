//! Feeds a program through one pipe, and takes its output from another. Neither touches the disk.
//!
//! ```sh
//! echo hello | cargo run --example subprocess -- gzip -c | gzip -d
//! seq 100000 | cargo run --example subprocess -- sha256sum
//! seq 9 | cargo run --example subprocess -- sort -r -o {out} {in}     # by their paths
//! seq 9 | cargo run --example subprocess -- false {out} {in}          # opens nothing: an error, and no hang
//! ```
//!
//! `{in}` and `{out}` in the arguments become the paths of the pipes. A pipe that is not named so becomes the standard
//! input or output of the program, by a shell.

use std::error::Error;
use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command, ExitCode};
use std::time::Duration;
use std::{env, thread};

use typed_pipe::state::Allocated;
use typed_pipe::{Pipe, PipePath};

/// The time a running program has to open a pipe.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("subprocess: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.is_empty() {
        return Err("usage: subprocess PROGRAM [ARGUMENT | {in} | {out}]...".into());
    }
    let (input, output) = (Pipe::temporary()?, Pipe::temporary()?);
    let mut child = start(&arguments, input.path(), output.path())?;
    let done = exchange(&child, input, output);
    if done.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    done?;
    if status.success() { Ok(()) } else { Err(format!("the program failed: {status}").into()) }
}

fn start(arguments: &[String], input: &PipePath, output: &PipePath) -> io::Result<Child> {
    let mut redirections = String::new();
    for (name, redirection) in [("{in}", " < \"$INPUT\""), ("{out}", " > \"$OUTPUT\"")] {
        if !arguments.iter().any(|argument| argument == name) {
            redirections += redirection;
        }
    }
    let program = arguments.iter().map(|argument| match argument.as_str() {
        "{in}" => input.as_ref(),
        "{out}" => output.as_ref(),
        other => OsStr::new(other),
    });
    let mut words = program.collect::<Vec<_>>().into_iter();
    let mut command = if redirections.is_empty() {
        Command::new(words.next().unwrap_or_default())
    } else {
        let mut shell = Command::new("sh");
        shell.env("INPUT", input).env("OUTPUT", output);
        shell.args(["-c", &format!("exec \"$@\"{redirections}"), "sh"]);
        shell
    };
    command.args(words).spawn()
}

fn exchange(
    child: &Child,
    input: Pipe<Allocated>,
    output: Pipe<Allocated>,
) -> Result<(), Box<dyn Error>> {
    // The reader first: opening it does not wait, and many programs open their output before their input.
    let mut output = output.into_reader().open()?;
    let mut input = input.into_writer().open_with_timeout(child, OPEN_TIMEOUT)?;
    thread::scope(|scope| {
        let feeding = scope.spawn(move || io::copy(&mut io::stdin().lock(), &mut input));
        output.wait_for_peer_timeout(child, OPEN_TIMEOUT)?;
        io::copy(&mut output, &mut io::stdout().lock())?;
        match feeding.join() {
            // A program may stop reading early.
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    })
}
