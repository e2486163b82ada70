//! Receives lines of JSON from a shell, one writer after the other.
//!
//! ```sh
//! cargo run --features json --example shell -- /tmp/orders 60     # ends after 60 idle seconds
//! echo '{"id":1}' > /tmp/orders                                   # in another terminal
//! ```

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use typed_pipe::wire::{Framing, Json, Scan, Step, Wire};
use typed_pipe::{ErrorKind, FrameError, OnHangup, Pipe};

/// `{"id":1}` or `{"quit":true}`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Id(u64),
    Quit(bool),
}

/// A message ends where its line ends.
struct Lines;

/// The limit of a line. A longer line is cut: its pieces are no orders, and are reported as errors.
const LONGEST: usize = 64 << 10;

impl Framing for Lines {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>, _: usize) -> Result<(), FrameError> {
        out.push(b'\n');
        Ok(())
    }

    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        let feed = bytes[scan.from..].iter().position(|&byte| byte == b'\n');
        Ok(match feed.map(|at| scan.from + at) {
            Some(end) if bytes[..end].trim_ascii().is_empty() => Step::Skip { bytes: end + 1 },
            Some(end) => Step::Message { payload: 0..end, frame: end + 1 },
            None if bytes.len() >= LONGEST => {
                Step::Message { payload: 0..bytes.len(), frame: bytes.len() }
            }
            None => Step::NoEnd { scanned: bytes.len() },
        })
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shell: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let path = args.next().ok_or("usage: shell PATH [SECONDS]")?;
    let idle = match args.next() {
        Some(seconds) => Duration::from_secs(seconds.parse()?),
        None => Duration::MAX,
    };

    let mut pipe = Pipe::new(path)?.mkfifo()?;
    println!("type in another terminal:");
    println!("    echo '{{\"id\":1}}' > {}", pipe.path());
    println!("    echo '{{\"quit\":true}}' > {}", pipe.path());

    // Each `echo` opens the pipe and closes it again: that is a pause, not the end.
    let end = pipe.reader().on_hangup(OnHangup::NextWriter).open();
    let end = end.map_err(typed_pipe::Error::from)?;
    let mut orders = end.into_receiver_with::<Order, _, _>(Wire::new(Lines, Json));
    loop {
        match orders.recv_timeout(idle) {
            Ok(Order::Id(id)) => println!("order {id}"),
            Ok(Order::Quit(quit)) if quit => return Ok(()),
            Ok(Order::Quit(_)) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                println!("no order for {idle:?}");
                return Ok(());
            }
            Err(error) if matches!(error.kind(), ErrorKind::Decode | ErrorKind::Truncated) => {
                eprintln!("not an order: {}", error.source().unwrap_or(&error));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
