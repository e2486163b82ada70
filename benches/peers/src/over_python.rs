//! Python: `multiprocessing.connection` and two packages for named pipes, both sides of each.
//!
//! At their best: nothing in either loop but what carries the message, and as little of that as can be in Python's own
//! code. The connection is of one direction and carries a tuple. The packages carry bytes: a quote is a record of a
//! known size, made and taken apart by `struct`, its texts stay bytes, and what one read gave is cut all at once.

use std::convert::Infallible;
use std::process::{Command, Stdio};

use crate::round::{Done, Round};

/// Whether there is a `python3` that has this module.
pub(crate) fn has(module: &str) -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", &format!("import {module}")]);
    let status = python.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

pub(crate) fn receive(round: &Round) -> Done<f64> {
    measure(round, CONNECTION)
}

/// The file that `NPopen` opens has no buffer: one write a quote.
pub(crate) fn receive_over_namedpipe(round: &Round) -> Done<f64> {
    measure(round, &NAMEDPIPE.replace("BUFFER", "0"))
}

/// The file that `NPopen` opens has a buffer of 64 KiB, where the default has 8 KiB.
pub(crate) fn receive_batches_over_namedpipe(round: &Round) -> Done<f64> {
    measure(round, &NAMEDPIPE.replace("BUFFER", "65536"))
}

/// One `write` of the package a quote: it has no batches.
pub(crate) fn receive_over_xp_named_pipe(round: &Round) -> Done<f64> {
    measure(round, XP_NAMED_PIPE)
}

fn measure(round: &Round, channel: &str) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let seconds = round.time().as_secs_f64().to_string();
    let mut python = Command::new("python3");
    python.args(["-c", &[BEGIN, channel, END].concat(), &seconds]).arg(folder.path().join("pipe"));
    let output = python.stderr(Stdio::inherit()).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The receiver starts its own.
pub(crate) fn send(_: &[String]) -> Done<Infallible> {
    Err("the Python program has its own worker".into())
}

/// What the programs have in common. Then each says how `send` sends for ever, and what `messages` gives.
const BEGIN: &str = r#"
import itertools, multiprocessing, signal, struct, sys, time

seconds, path = float(sys.argv[1]), sys.argv[2]

# A receiver that nobody sends to any more must not outlive its round.
signal.alarm(int(seconds) + 30)

record = struct.Struct("<QQdI?8s8s")

def send_records(write):
    pack, quote = record.pack, (1000000, 1234567, 101.25, 100000, True, b"ABCDEFGH", b"XEXCHNGE")
    while True:
        write(pack(*quote))

def records(read):
    rest = b""
    while True:
        rest += read()
        whole = len(rest) - len(rest) % record.size
        yield from record.iter_unpack(memoryview(rest)[:whole])
        rest = rest[whole:]
"#;

const CONNECTION: &str = r#"
ours, theirs = multiprocessing.Pipe(duplex=False)

def send():
    quote = (1000000, 1234567, 101.25, 100000, True, "ABCDEFGH", b"XEXCHNGE")
    while True:
        theirs.send(quote)

def messages():
    return iter(ours.recv, None)
"#;

const NAMEDPIPE: &str = r#"
from namedpipe import NPopen

pipe = NPopen("w", bufsize=BUFFER, name=path)

def send():
    send_records(pipe.wait().write)

def messages():
    file = open(pipe.path, "rb", buffering=0)
    return records(lambda: file.read(65536))
"#;

const XP_NAMED_PIPE: &str = r#"
from xp_named_pipe import NamedPipe, ReadPipeEnd, WritePipeEnd

pipe = NamedPipe(path).mkfifo()

def send():
    send_records(WritePipeEnd(pipe).open().write)

def messages():
    return records(ReadPipeEnd(pipe).open().read)
"#;

/// Receives quotes from a process that it starts, and prints the messages a second.
const END: &str = r#"
def rate(arriving, seconds):
    count, since = 0, time.perf_counter()
    while True:
        for _ in itertools.islice(arriving, 64):
            pass
        count += 64
        elapsed = time.perf_counter() - since
        if elapsed >= seconds:
            return count / elapsed

worker = multiprocessing.get_context("fork").Process(target=send, daemon=True)
worker.start()
arriving = messages()
rate(arriving, seconds / 5)
print(rate(arriving, seconds))
worker.kill()
"#;
