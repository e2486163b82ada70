//! `tpipe-net`: carries the local paths of programs that nobody changes to another machine.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[path = "../tool/mod.rs"]
mod tool;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    tool::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!(
        "tpipe-net: it carries local paths on Linux alone; on this system let the programs use `typed_pipe_net`"
    );
    ExitCode::FAILURE
}
