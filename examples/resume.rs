//! A transfer that goes on where it was cut off: `cargo run --features session --example resume`
//!
//! The receiver starts three senders, each a process of its own: it kills the first one in the middle, the second one
//! stops sending and runs into a deadline, and the third one sends the rest. With `-- receive PATH COPY` and
//! `-- send PATH FILE` they are two programs.

use std::env;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use typed_pipe::session::{Chooses, Dual, Ends, Receives, Sends, Session};
use typed_pipe::{Connection, Listener, choice};

#[derive(Serialize, Deserialize)]
struct Offered {
    bytes: u64,
}

/// What the receiver has already.
#[derive(Serialize, Deserialize)]
struct Have {
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Sum([u8; 32]);

/// What a sender says and hears.
type Upload = Sends<Offered, Receives<Have, Chooses<Part>>>;

choice! {
    enum Part in part {
        Chunk => Sends<ByteBuf, Chooses<Part>>,
        Whole => Sends<Sum, Receives<bool, Ends>>,
    }
}

type Done = Result<(), Box<dyn Error>>;

const CHUNK: usize = 64 * 1024;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        [] => all(),
        ["send", path, file] => send(path, file, u64::MAX),
        ["stall", path, file] => send(path, file, 2 << 20),
        ["receive", path, copy] => Listener::bind(path)
            .map_err(Into::into)
            .map(|listener| while !tell(receive(&listener, copy.as_ref(), |_| ())) {}),
        _ => Err("usage: resume [receive PATH COPY | send PATH FILE]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("resume: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all() -> Done {
    let folder = tempfile::tempdir()?;
    let (file, copy) = (folder.path().join("file"), folder.path().join("copy"));
    fs::write(&file, (0..8_u32 << 18).flat_map(u32::to_le_bytes).collect::<Vec<_>>())?;
    let listener = Listener::temporary()?;
    let start = |role: &str| -> std::io::Result<Child> {
        let mut sender = Command::new(env::current_exe()?);
        sender.arg(role).arg(listener.path().as_path()).arg(&file).spawn()
    };

    let mut sender = start("send")?;
    tell(receive(&listener, &copy, |bytes| {
        if bytes > 2 << 20 {
            let _ = sender.kill();
        }
    }));
    sender.wait()?;

    let mut sender = start("stall")?;
    tell(receive(&listener, &copy, |_| ()));
    sender.kill()?;
    sender.wait()?;

    let mut sender = start("send")?;
    let whole = tell(receive(&listener, &copy, |_| ()));
    sender.wait()?;
    if !whole || fs::read(&file)? != fs::read(&copy)? {
        return Err("the copy is not the file".into());
    }
    Ok(())
}

/// Says how a transfer has ended: whether all is there.
fn tell(received: Result<bool, Box<dyn Error>>) -> bool {
    match &received {
        Ok(true) => println!("receiver: the file is whole"),
        Ok(false) => println!("receiver: the copy is damaged, and begins anew"),
        // It names the step in which this side was.
        Err(error) => println!("receiver: {error}"),
    }
    matches!(received, Ok(true))
}

/// The side of the receiver, which keeps what it has.
fn receive(
    listener: &Listener,
    path: &Path,
    mut at: impl FnMut(u64),
) -> Result<bool, Box<dyn Error>> {
    let session: Session<Dual<Upload>> = listener.accept()?.into_session()?;
    let mut copy = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut bytes = copy.metadata()?.len();
    let (offered, session) = session.step_timeout(Duration::from_secs(3)).recv()?;
    println!("receiver: has {bytes} of {} bytes", offered.bytes);
    let mut session = session.send(&Have { bytes })?;
    let (Sum(sum), session) = loop {
        match session.offer()? {
            Part::Chunk(next) => {
                let chunk;
                (chunk, session) = next.recv()?;
                copy.write_all(&chunk)?;
                bytes += u64::try_from(chunk.len())?;
                at(bytes);
            }
            Part::Whole(next) => break next.recv()?,
        }
    };
    let whole = sum_of(&mut copy)? == sum;
    if !whole {
        copy.set_len(0)?;
    }
    session.send(&whole)?.end()?;
    Ok(whole)
}

/// The side of the sender, which stops for good after some bytes.
fn send(path: &str, file: &str, stop_after: u64) -> Done {
    let mut file = File::open(file)?;
    let sum = sum_of(&mut file)?;
    let session: Session<Upload> = Connection::connect(path)?.into_session()?;
    let (have, mut session) = session.send(&Offered { bytes: file.metadata()?.len() })?.recv()?;
    file.seek(SeekFrom::Start(have.bytes))?;
    let mut sent = 0;
    loop {
        let mut chunk = Vec::new();
        Read::by_ref(&mut file).take(CHUNK.try_into()?).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            break;
        }
        sent += u64::try_from(chunk.len())?;
        // The choice and the chunk leave in one write.
        session = session.choose(part::Chunk).send(&ByteBuf::from(chunk))?;
        if sent >= stop_after {
            thread::sleep(Duration::from_secs(60)); // until it is killed
        }
    }
    let (_, session) = session.choose(part::Whole).send(&Sum(sum))?.recv()?;
    session.end()?;
    Ok(())
}

fn sum_of(file: &mut File) -> std::io::Result<[u8; 32]> {
    let mut sum = Sha256::new();
    file.rewind()?;
    std::io::copy(file, &mut sum)?;
    Ok(sum.finalize().into())
}
