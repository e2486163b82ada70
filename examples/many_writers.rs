//! Many processes write to one pipe; some are killed, and the others lose no message:
//! `cargo run --release --example many_writers -- --writers 8 --messages 100000 --kill`
//!
//! `--pipe-size BYTES` requests another pipe size. The program exits with a failure unless every check passes.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use typed_pipe::wire::{MultiWriter, Wire};
use typed_pipe::{ErrorKind, OnHangup, PipeOptions, WireOf, WriteEnd};

/// The largest text of a message: 1 MiB.
const LARGEST: u64 = 1 << 20;

/// A message: the numbers of the process and of the message, and a text derived from both.
#[derive(Serialize, Deserialize)]
struct Message {
    process: u64,
    number: u64,
    text: String,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", path, process, messages] => {
            write(path, process.parse()?, messages.parse()?)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => supervise(&Options::parse(&arguments)?),
    }
}

struct Options {
    writers: u64,
    messages: u64,
    kill: bool,
    pipe_size: Option<usize>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut options = Self { writers: 8, messages: 10_000, kill: false, pipe_size: None };
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{option} wants a value"));
            match option.as_str() {
                "--writers" => options.writers = value()?.parse::<u64>()?.max(1),
                "--messages" => options.messages = value()?.parse()?,
                "--pipe-size" => options.pipe_size = Some(value()?.parse()?),
                "--kill" => options.kill = true,
                _ => return Err(format!("there is no option {option}").into()),
            }
        }
        Ok(options)
    }
}

/// Each writer tells what its messages look like.
fn wire() -> WireOf<Message, MultiWriter> {
    let framing = MultiWriter::default().protocol("many_writers 1").typed::<Message>();
    Wire::default().with_framing(framing).of()
}

/// A writer: sends its messages, and finishes.
fn write(path: &str, process: u64, messages: u64) -> Result<(), Box<dyn Error>> {
    let end = WriteEnd::at(path)?.open()?;
    let mut sender = wire().sender(end);
    for number in 0..messages {
        sender.send(&Message { process, number, text: text(process, number) })?;
    }
    sender.finish()?;
    Ok(())
}

/// The text of a message, between 1 byte and 1 MiB, small ones more often.
fn text(process: u64, number: u64) -> String {
    let chance = mix(process << 32 | number);
    let power = chance % 21;
    let size = ((1 << power) + (chance >> 8) % (1 << power)).min(LARGEST);
    let alphabet = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let letter = alphabet[usize::try_from(chance >> 40).unwrap_or(0) % alphabet.len()];
    char::from(letter).to_string().repeat(usize::try_from(size).unwrap_or(1))
}

/// Spreads the bits of a number.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

/// The supervisor's record of a writer process.
struct Writer {
    child: Child,
    messages: u64,
    /// The number of messages received, in order.
    received: u64,
    /// The number of messages after which the writer is killed.
    doomed_at: Option<u64>,
    killed: bool,
}

#[derive(Default)]
struct Totals {
    from_survivors: u64,
    from_killed: u64,
    killed: u64,
    cut: u64,
    bytes: u64,
    faults: Vec<String>,
}

fn supervise(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let mut pipe_options = PipeOptions::new();
    if let Some(bytes) = options.pipe_size {
        pipe_options = pipe_options.buffer_size(bytes);
    }
    let reader = pipe_options.temporary()?.into_reader();
    let reader = reader.on_hangup(OnHangup::NextWriter).open()?;
    let path = reader.path().ok_or("a temporary pipe has a path")?.clone();
    if let Ok(bytes) = reader.buffer_size() {
        println!("the pipe holds {bytes} bytes");
    }
    let mut receiver = wire().receiver(reader);

    let start =
        |process: u64, messages: u64, doomed_at: Option<u64>| -> Result<Writer, Box<dyn Error>> {
            let child = Command::new(env::current_exe()?)
                .arg("write")
                .arg(&path)
                .args([process.to_string(), messages.to_string()])
                .spawn()?;
            Ok(Writer { child, messages, received: 0, doomed_at, killed: false })
        };
    let mut writers = HashMap::new();
    for process in 0..options.writers {
        // The messages are divided among the writers, and every second writer is killed on its way.
        let more = u64::from(process < options.messages % options.writers);
        let messages = options.messages / options.writers + more;
        let doomed = options.kill && process % 2 == 0 && messages > 1;
        let doomed_at =
            doomed.then(|| mix(u64::from(std::process::id()) << 32 | process) % messages);
        writers.insert(process, start(process, messages, doomed_at)?);
    }

    let mut next_process = options.writers;
    let mut totals = Totals::default();
    let since = Instant::now();
    while writers.values().any(|writer| !writer.killed && writer.received < writer.messages) {
        let message = match receiver.recv_timeout(Duration::from_secs(30)) {
            Ok(message) => message,
            Err(error) if error.kind() == ErrorKind::MessageLost => {
                totals.cut += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        totals.bytes += u64::try_from(message.text.len())?;
        let Some(writer) = writers.get_mut(&message.process) else {
            totals.faults.push(format!("a message of unknown process {}", message.process));
            continue;
        };
        if message.number != writer.received
            || message.text != text(message.process, message.number)
        {
            totals.faults.push(format!(
                "process {}: message {} where {} was next",
                message.process, message.number, writer.received
            ));
        }
        writer.received += 1;
        if writer.doomed_at.is_some_and(|doomed_at| writer.received > doomed_at) && !writer.killed {
            writer.child.kill()?;
            writer.child.wait()?;
            writer.killed = true;
            // Its successor sends the remaining messages.
            let left = writer.messages - writer.received;
            if left > 0 {
                writers.insert(next_process, start(next_process, left, None)?);
                next_process += 1;
            }
        }
    }
    // The killed writers' bytes in the pipe: their last messages are cut off.
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(message) => match writers.get_mut(&message.process) {
                Some(writer) if writer.killed && message.number == writer.received => {
                    writer.received += 1
                }
                _ => totals.faults.push(format!("process {} sent too much", message.process)),
            },
            Err(error) if error.kind() == ErrorKind::MessageLost => totals.cut += 1,
            Err(error) if error.kind() == ErrorKind::TimedOut => break,
            Err(error) => return Err(error.into()),
        }
    }
    let seconds = since.elapsed().as_secs_f64();
    for (process, mut writer) in writers {
        if writer.killed {
            totals.killed += 1;
            totals.from_killed += writer.received;
            continue;
        }
        totals.from_survivors += writer.received;
        if !writer.child.wait()?.success() {
            totals.faults.push(format!("process {process} failed"));
        }
        if writer.received != writer.messages {
            totals
                .faults
                .push(format!("process {process}: {} of {}", writer.received, writer.messages));
        }
    }
    if totals.cut > totals.killed {
        totals.faults.push(format!("{} messages cut off", totals.cut));
    }
    println!("{next_process} writers, {} of them killed and replaced", totals.killed);
    println!("{} messages of the other writers, in order, none missing", totals.from_survivors);
    println!("{} messages of killed writers, in order", totals.from_killed);
    println!("{} messages cut off by a kill, and reported", totals.cut);
    println!("{:.1} MB in {seconds:.1} s", totals.bytes as f64 / 1e6);
    for fault in &totals.faults {
        println!("FAULT: {fault}");
    }
    Ok(if totals.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
