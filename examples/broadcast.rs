//! One process sends prices to any number of others: `cargo run --features fanout --example broadcast`.
//!
//! One of the readers sleeps all the while, and keeps the latest price alone; one is killed; the others get every price.

use std::env;
use std::error::Error;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::{BroadcastOptions, Listener, SlowReader, TypedConnection};

#[derive(Serialize, Deserialize)]
struct Price {
    number: u32,
    cents: u64,
    note: String,
}

const PRICES: u32 = 500;

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1) {
        Some(path) => read(&path, env::args().nth(2).as_deref() == Some("sleepy")),
        None => publish(),
    }
}

fn publish() -> Result<(), Box<dyn Error>> {
    let prices = BroadcastOptions::new(SlowReader::LatestOnly)
        .on_departure(|reader, _| println!("publisher: reader {} has left", reader.number))
        .start::<Price>(Listener::temporary()?)?;
    let path = prices.listener().path().to_string();
    let start = |how: &str| -> Result<Child, Box<dyn Error>> {
        let before = prices.readers().len();
        let mut reader = Command::new(env::current_exe()?);
        let child = reader.arg(&path).arg(how).stdin(Stdio::piped()).spawn()?;
        while prices.readers().len() == before {
            thread::sleep(Duration::from_millis(5)); // until it has connected
        }
        Ok(child)
    };
    let mut readers = vec![start("awake")?, start("sleepy")?, start("awake")?];
    let mut killed = start("awake")?;

    for number in 0..PRICES {
        if number == PRICES / 2 {
            killed.kill()?;
            killed.wait()?;
        }
        let note = "as good as any ".repeat(300);
        prices.send(&Price { number, cents: 100 + u64::from(number), note })?; // which waits for nobody
        thread::sleep(Duration::from_millis(2));
    }
    drop(readers[1].stdin.take()); // which wakes it
    for reader in prices.finish_timeout(Duration::from_secs(30)) {
        let so =
            if reader.dropped == 0 { "got every price" } else { "was slow, and got the latest" };
        println!("publisher: reader {} {so}", reader.number);
    }
    for reader in &mut readers {
        reader.wait()?;
    }
    Ok(())
}

fn read(path: &str, sleepy: bool) -> Result<(), Box<dyn Error>> {
    let prices = TypedConnection::<(), Price>::connect(path)?;
    if sleepy {
        io::stdin().read_to_end(&mut Vec::new())?; // until it is woken
    }
    let mut last = None;
    for price in prices {
        last = Some(price?);
    }
    if let Some(Price { number, cents, .. }) = last {
        println!("reader: price {number} was the last, {cents} cents");
    }
    Ok(())
}
