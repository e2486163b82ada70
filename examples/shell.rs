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
use typed_pipe::wire::foreign::Lines;
use typed_pipe::wire::{Json, Wire};
use typed_pipe::{ErrorKind, OnHangup, Pipe};

/// `{"id":1}` or `{"quit":true}`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Id(u64),
    Quit(bool),
}

/// The limit of a line, in bytes. A longer one is reported, and with it what else its writer says.
const LONGEST: u32 = 64 << 10;

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
    let lines = Lines::default().skip_blank().limit(LONGEST);
    let mut orders = end.into_receiver_with::<Order, _, _>(Wire::new(lines, Json));
    loop {
        match orders.recv_timeout(idle) {
            Ok(Order::Id(id)) => println!("order {id}"),
            Ok(Order::Quit(quit)) if quit => return Ok(()),
            Ok(Order::Quit(_)) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                println!("no order for {idle:?}");
                return Ok(());
            }
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => eprintln!("not an order: {error}"),
        }
    }
}
