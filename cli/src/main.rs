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

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use failure::Failure;
use screen::Screen;

fn main() -> ExitCode {
    let args = Args::parse();
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
        Err(failure) => {
            screen.complain(&failure.to_string());
            ExitCode::from(failure.code())
        }
    }
}
