//! `tpipe`: sees into named pipes, and speaks to programs that use typed-pipe without their types.
#![warn(missing_docs)]

mod args;
mod ask;
mod call;
mod clean;
mod failure;
mod framing;
mod incoming;
mod listen;
mod message;
mod peer;
mod screen;
mod send;
mod who;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use failure::Failure;
use screen::Screen;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let screen = Screen::new(args.json);
    let done = match &args.command {
        Command::Listen(how) => listen::run(how, &screen),
        Command::Send(how) => send::run(how, &screen),
        Command::Ask(how) => ask::run(how, &screen),
        Command::Call(how) => call::run(how, &screen),
        Command::Who(how) => who::run(how, &screen),
        Command::Clean(how) => clean::run(how, &screen),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        // The reader has enough, as `head` does.
        Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        // Who has ended it knows.
        Err(failure) if failure.code() == failure::INTERRUPTED => {
            ExitCode::from(failure::INTERRUPTED)
        }
        Err(failure) => {
            screen.complain(&failure.to_string());
            ExitCode::from(failure.code())
        }
    }
}

/// Prints help, or what is wrong with the command line. A name in it may have come from a folder of others.
fn usage(error: &clap::Error) -> ExitCode {
    for line in error.render().to_string().lines() {
        let line = screen::shown(line);
        // If nobody reads it, there is nobody else to tell.
        let _ = match error.use_stderr() {
            true => writeln!(io::stderr(), "{line}"),
            false => writeln!(io::stdout(), "{line}"),
        };
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::WRONG_LINE))
}
