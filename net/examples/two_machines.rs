//! Two programs on two machines, with the loopback address between them: one offers `sums`, the other one asks.
//!
//! `cargo run --manifest-path net/Cargo.toml --example two_machines` runs both. On two machines they would be two
//! programs, and each would be told the public key of the other one once, by hand.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, io};

use serde::{Deserialize, Serialize};
use typed_pipe::{Delivery, TypedConnection};
use typed_pipe_net::{Key, Net};

#[derive(Debug, Serialize, Deserialize)]
struct Ask {
    numbers: Vec<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sum(u64);

const WAIT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1).as_deref() {
        Some("ask") => ask(),
        _ => answer(),
    }
}

/// The machine that others reach.
fn answer() -> Result<(), Box<dyn Error>> {
    let key = Key::generate(); // a program that stays has `Key::open(path)`
    let net = Net::open(&key)?.listening("127.0.0.1:0".parse()?)?;

    let mut other = Command::new(env::current_exe()?)
        .arg("ask")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(other.stdout.take().ok_or("no output")?).lines();
    let its_key = lines.next().ok_or("it has not told its key")??.parse()?;

    let offer = net.offer("sums", &[its_key])?; // this one machine, and no other
    writeln!(other.stdin.take().ok_or("no input")?, "{}", offer.address())?;

    let connection = offer.accept_timeout(WAIT)?;
    println!("connected: {:?}", connection.peer()?.user());
    let mut typed: TypedConnection<Sum, Ask> = connection.into_typed()?;
    while let Some(asked) = typed.next() {
        typed.send(&Sum(asked?.numbers.iter().sum()))?;
    }
    drop(typed);

    for line in lines {
        println!("the other machine: {}", line?);
    }
    net.close(WAIT)?;
    if !other.wait()?.success() {
        return Err("the other machine failed".into());
    }
    println!("done");
    Ok(())
}

/// The machine that connects. Nobody can connect to it.
fn ask() -> Result<(), Box<dyn Error>> {
    let net = Net::open(&Key::generate())?;
    println!("{}", net.key());
    let mut address = String::new();
    io::stdin().read_line(&mut address)?;

    let connection = net.connect(address.trim())?; // on one machine: Connection::connect(path)?
    let mut typed: TypedConnection<Ask, Sum> = connection.into_typed()?;
    for last in [10, 100, 1000] {
        typed.send(&Ask { numbers: (1..=last).collect() })?;
        println!("1 + … + {last} = {}", typed.recv()?.0);
    }
    let (sender, rest) = typed.split();
    // The program over there has taken everything, and not just its machine.
    assert_eq!(sender.finish()?, Delivery::Drained);
    drop(rest);
    net.close(WAIT)?;
    Ok(())
}
