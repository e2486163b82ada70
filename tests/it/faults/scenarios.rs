//! What is done while a system call fails. Each goes on after a failure, with what was given back.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
#[cfg(feature = "service")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
#[cfg(feature = "fanout")]
use std::time::Instant;

use rustix::fs::{CWD, FileType, Mode, mknodat};
#[cfg(feature = "fanout")]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
#[cfg(feature = "tokio")]
use typed_pipe::ConnectOptions;
#[cfg(feature = "fanout")]
use typed_pipe::{
    Broadcast, IfExists, ListenerOptions, ReconnectingSender, Select, SlowReader, WhenFull,
};
use typed_pipe::{
    CancelToken, Connection, Error, ErrorKind, Handles, Handshake, Listener, OnHangup, Pipe,
    TransitionError, TypedConnection, WithHandles, WriteEnd,
};
#[cfg(feature = "service")]
use typed_pipe::{Client, Service};
#[cfg(feature = "shared-memory")]
use typed_pipe::{SealedBytes, SharedMemory, TransportKind};

use super::quietly;

/// So long a wait may take that is not to end in vain.
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(5);

/// One run: the place for names, and what has failed.
pub(super) struct Run {
    pub(super) folder: PathBuf,
    pub(super) failed: Option<Error>,
}

impl Run {
    fn name(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn note(&mut self, error: Error) {
        assert!(self.failed.is_none(), "it fails twice: {error}");
        self.failed = Some(error);
    }

    /// After a name was not made, there is none that was not there before.
    fn expect_names(&self, before: &[String]) {
        let now = quietly(|| self.names());
        assert!(now.iter().all(|name| before.contains(name)), "{now:?} are left of it");
    }

    fn names(&self) -> Vec<String> {
        let entries = [&self.folder, &env::temp_dir()].map(|folder| fs::read_dir(folder).unwrap());
        let names = entries.into_iter().flatten();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Makes something that has a name. Where it fails, nothing of it is left.
    fn make<T>(&mut self, mut make: impl FnMut() -> Result<T, Error>) -> T {
        let before = quietly(|| self.names());
        match make() {
            Ok(made) => made,
            Err(error) => {
                self.note(error);
                self.expect_names(&before);
                make().unwrap_or_else(|error| panic!("not the second time either: {error}"))
            }
        }
    }

    /// Makes a transition. Where it fails, it can be made from the state that was given back.
    fn go<S, T>(&mut self, state: S, transition: impl Fn(S) -> Result<T, TransitionError<S>>) -> T {
        match transition(state) {
            Ok(next) => next,
            Err(failed) => {
                let (state, error) = failed.into_parts();
                self.note(error);
                transition(state).unwrap_or_else(|failed| panic!("not from it either: {failed}"))
            }
        }
    }

    /// Does something. Where it fails, it can be done again.
    fn again<T>(&mut self, mut act: impl FnMut() -> Result<T, Error>) -> T {
        match act() {
            Ok(done) => done,
            Err(error) => {
                self.note(error);
                act().unwrap_or_else(|error| panic!("not the second time either: {error}"))
            }
        }
    }

    /// Writes all of it.
    fn write(&mut self, bytes: &[u8], mut write: impl FnMut(&[u8]) -> Result<usize, Error>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = self.again(|| write(rest));
            rest = &rest[written..];
        }
    }

    /// Reads all of it.
    fn read(&mut self, bytes: &[u8], mut read: impl FnMut(&mut [u8]) -> Result<usize, Error>) {
        let mut come = Vec::new();
        let mut buf = [0; 100];
        while come.len() < bytes.len() {
            let count = self.again(|| read(&mut buf));
            assert!(count > 0, "an end that is none");
            come.extend_from_slice(&buf[..count]);
        }
        assert_eq!(come, bytes);
    }

    /// Sends a message: what is half sent goes on, and is not sent again.
    fn send(&mut self, mut send: impl FnMut(bool) -> Result<(), Error>) {
        if let Err(error) = send(false) {
            let half = error.is_half_sent();
            self.note(error);
            send(half).unwrap_or_else(|error| panic!("not the second time either: {error}"));
        }
    }

    /// Does something that fails in the way that is expected, or in another way first.
    fn expect(&mut self, kind: ErrorKind, mut act: impl FnMut() -> Result<(), Error>) {
        for _ in 0..2 {
            let error = act().expect_err("it cannot be done");
            if error.kind() == kind {
                return;
            }
            self.note(error);
        }
        panic!("not what was expected, twice");
    }
}

type Scenario = fn(&mut Run);

pub(super) const ALL: &[(&str, Scenario)] = &[
    ("make and unlink", make_and_unlink),
    ("take over a pipe", take_over_a_pipe),
    ("a temporary pipe", temporary),
    ("open, write, read, close", ends),
    ("typed messages", messages),
    ("large messages of bytes", bytes),
    ("the next writer", next_writer),
    ("watch a child", child),
    ("deadlines and stops", deadlines),
    ("bind, connect, accept", bind_connect_accept),
    ("bind a long name", bind_a_long_name),
    ("take over a listener", take_over_a_listener),
    ("a pair of connections", pair),
    ("the handshake", handshake),
    ("both ways at once", both_ways),
    ("send handles", send_handles),
    ("receive handles", receive_handles),
    #[cfg(feature = "shared-memory")]
    ("sealed bytes", sealed_bytes),
    #[cfg(feature = "shared-memory")]
    ("shared memory", shared_memory),
    #[cfg(feature = "shared-memory")]
    ("required shared memory", required_shared_memory),
    #[cfg(all(feature = "shared-memory", feature = "tokio"))]
    ("shared memory in tasks", shared_memory_in_tasks),
    #[cfg(feature = "fanout")]
    ("many at once", many_at_once),
    #[cfg(feature = "fanout")]
    ("one that rests", one_that_rests),
    ("a pair of a reader and a writer", reader_and_writer),
    #[cfg(feature = "fanout")]
    ("a broadcast", broadcast),
    #[cfg(feature = "fanout")]
    ("a sender that reconnects", reconnecting),
    #[cfg(feature = "service")]
    ("call a service", call),
    #[cfg(feature = "service")]
    ("serve", serve),
    #[cfg(feature = "tokio")]
    ("tasks", tasks),
    #[cfg(all(feature = "service", feature = "tokio"))]
    ("serve in tasks", serve_in_tasks),
];

fn make_and_unlink(run: &mut Run) {
    let before = quietly(|| run.names());
    let pipe = match Pipe::new(run.name("pipe")).unwrap().mkfifo() {
        Ok(pipe) => pipe,
        Err(failed) => {
            let (pipe, error) = failed.into_parts();
            run.note(error);
            run.expect_names(&before);
            pipe.mkfifo().unwrap_or_else(|failed| panic!("not from it either: {failed}"))
        }
    };
    assert!(!pipe.is_unlinked());
    drop(run.go(pipe, Pipe::unlink));
}

fn take_over_a_pipe(run: &mut Run) {
    quietly(|| {
        mknodat(CWD, run.name("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::write(run.name("pipe.lock"), [0]).unwrap();
    });
    let before = quietly(|| run.names());
    let pipe = match Pipe::new(run.name("pipe")).unwrap().mkfifo() {
        Ok(pipe) => pipe,
        Err(failed) => {
            let (pipe, error) = failed.into_parts();
            run.note(error);
            run.expect_names(&before);
            pipe.mkfifo().unwrap_or_else(|failed| panic!("not from it either: {failed}"))
        }
    };
    drop(run.go(pipe, Pipe::unlink));
}

fn temporary(run: &mut Run) {
    let pipe = run.make(Pipe::temporary);
    drop(pipe);
}

fn ends(run: &mut Run) {
    let pipe = quietly(|| Pipe::new(run.name("pipe")).unwrap().mkfifo().unwrap());
    let path = pipe.path().clone();
    let mut reader = pipe.into_reader();
    for _ in 0..2 {
        let mut open = run.go(reader, |end| end.open());
        let writer = WriteEnd::from(path.clone());
        let mut writer = run.go(writer, |writer| writer.open_timeout(LONG));
        run.write(b"how are you?", |bytes| writer.write(bytes));
        run.read(b"how are you?", |buf| open.read(buf));
        run.write(b"well", |bytes| writer.write_timeout(bytes, LONG));
        run.read(b"well", |buf| open.read_timeout(buf, LONG));
        run.again(|| open.buffer_size());
        writer.close();
        let left = run.again(|| open.read(&mut [0; 10]));
        assert_eq!(left, 0);
        reader = open.close();
    }
    drop(run.go(reader.into_pipe(), Pipe::unlink));
}

fn messages(run: &mut Run) {
    let mut pipe = quietly(|| Pipe::new(run.name("pipe")).unwrap().mkfifo().unwrap());
    let path = pipe.path().clone();
    let mut receiver = quietly(|| pipe.open_reader().unwrap().into_receiver::<String>());
    let mut sender = quietly(|| WriteEnd::from(path).open().unwrap().into_sender::<String>());
    let text = "a message".to_owned();
    run.send(|half| if half { sender.flush() } else { sender.send(&text) });
    assert_eq!(run.again(|| receiver.recv()), text);
    run.send(|half| {
        if half { sender.set_timeout(LONG).flush() } else { sender.send_timeout(&text, LONG) }
    });
    assert_eq!(run.again(|| receiver.recv_timeout(LONG)), text);
    for _ in 0..3 {
        sender.feed(&text).unwrap();
    }
    run.again(|| sender.flush());
    for _ in 0..3 {
        assert_eq!(run.again(|| receiver.recv()), text);
    }
    // The goodbye is to be read before it can be known that it was.
    loop {
        match sender.try_finish() {
            Ok(_) => break,
            Err(failed) => {
                let (given_back, error) = failed.into_parts();
                sender = given_back;
                if error.kind() != ErrorKind::WouldBlock {
                    run.note(error);
                }
                match receiver.try_recv() {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => run.note(error),
                    Ok(other) => panic!("{other} was not sent"),
                }
            }
        }
    }
    run.expect(ErrorKind::Finished, || receiver.recv().map(drop));
}

/// Large enough for their pages to be given to the pipe.
fn bytes(run: &mut Run) {
    let mut pipe = quietly(|| Pipe::new(run.name("pipe")).unwrap().mkfifo().unwrap());
    let path = pipe.path().clone();
    let mut receiver = quietly(|| pipe.open_reader().unwrap().into_receiver::<Vec<u8>>());
    let mut sender = quietly(|| WriteEnd::from(path).open().unwrap().into_sender::<Vec<u8>>());
    let picture = vec![7; 20_000];
    thread::scope(|scope| {
        let reading = quietly(|| {
            scope.spawn(|| {
                for _ in 0..2 {
                    assert!(receiver.recv_bytes().unwrap() == picture);
                }
            })
        });
        run.send(|half| if half { sender.flush() } else { sender.send_bytes(&picture) });
        run.send(|half| {
            if half {
                return sender.flush();
            }
            let mut loan = sender.loan(20_000)?;
            loan.copy_from_slice(&picture);
            loan.send()
        });
        quietly(|| reading.join().unwrap());
    });
}

fn child(run: &mut Run) {
    let mut pipe = quietly(|| Pipe::new(run.name("pipe")).unwrap().mkfifo().unwrap());
    let path = pipe.path().clone();
    let listener = quietly(|| Listener::bind(run.name("door")).unwrap());
    let mut child = quietly(|| Command::new("sleep").arg("60").spawn().unwrap());
    let mut reader = quietly(|| pipe.open_reader().unwrap());
    // Where the system says so, there is one that says nothing.
    if let Err(error) = reader.wait_for_peer_timeout(&child, SHORT) {
        if error.kind() != ErrorKind::TimedOut {
            run.note(error);
        }
    }
    let mut writer = quietly(|| WriteEnd::from(path).open().unwrap());
    run.again(|| reader.wait_for_peer_timeout(&child, SHORT * 20));
    run.expect(ErrorKind::TimedOut, || listener.accept_with_timeout(&child, SHORT).map(drop));
    quietly(|| {
        child.kill().unwrap();
        child.wait().unwrap();
    });
    run.expect(ErrorKind::ChildExited, || listener.accept_with(&child).map(drop));
    run.write(b"said", |bytes| writer.write(bytes));
}

fn next_writer(run: &mut Run) {
    let mut pipe = quietly(|| Pipe::new(run.name("pipe")).unwrap().mkfifo().unwrap());
    let path = pipe.path().clone();
    let reader = pipe.reader().on_hangup(OnHangup::NextWriter);
    let mut receiver = quietly(|| reader.open().unwrap().into_receiver::<u8>());
    for number in 0..3 {
        quietly(|| {
            let end = WriteEnd::from(path.clone()).open().unwrap();
            end.into_sender().send(&number).unwrap();
        });
        assert_eq!(run.again(|| receiver.recv_timeout(LONG)), number);
        run.expect(ErrorKind::WouldBlock, || receiver.try_recv().map(drop));
    }
    // A writer that is there and says nothing.
    let writer = quietly(|| WriteEnd::from(path.clone()).open().unwrap());
    run.expect(ErrorKind::TimedOut, || receiver.recv_timeout(SHORT).map(drop));
    drop(writer);
}

fn deadlines(run: &mut Run) {
    let token = run.again(CancelToken::new);
    let mut pipe = quietly(|| Pipe::new(run.name("pipe")).unwrap().mkfifo().unwrap());
    let path = pipe.path().clone();
    let client = WriteEnd::from(path).open_timeout(SHORT);
    let error = Error::from(client.expect_err("nobody reads"));
    if error.kind() != ErrorKind::TimedOut {
        run.note(error);
    }
    let mut open = run.go(pipe.reader().cancelled_by(&token), |end| end.open());
    run.expect(ErrorKind::TimedOut, || open.read_timeout(&mut [0], SHORT).map(drop));
    run.expect(ErrorKind::TimedOut, || open.read_timeout(&mut [0], SHORT).map(drop));
    run.expect(ErrorKind::WouldBlock, || open.try_read(&mut [0]).map(drop));
    // What it writes to has always room, and takes all or nothing.
    quietly(|| token.cancel());
    run.expect(ErrorKind::Cancelled, || open.read(&mut [0]).map(drop));
}

fn bind_connect_accept(run: &mut Run) {
    let name = run.name("door");
    let listener = run.make(|| Listener::bind(&name));
    talk_through(run, listener);
}

fn bind_a_long_name(run: &mut Run) {
    let name = run.name(&"long".repeat(40));
    let listener = run.make(|| Listener::bind(&name));
    talk_through(run, listener);
}

fn take_over_a_listener(run: &mut Run) {
    let name = run.name("door");
    quietly(|| {
        // However long the path of the temporary folder is.
        let folder = File::open(name.parent().unwrap()).unwrap();
        let short = format!("/proc/self/fd/{}/door", folder.as_raw_fd());
        drop(UnixListener::bind(short).unwrap());
        fs::write(run.name("door.lock"), [0]).unwrap();
    });
    let listener = run.make(|| Listener::bind(&name));
    talk_through(run, listener);
}

fn talk_through(run: &mut Run, listener: Listener) {
    let mut client = run.again(|| Connection::connect_timeout(listener.path(), LONG));
    let mut server = run.again(|| listener.accept_timeout(LONG));
    if run.failed.is_some() && matches!(quietly(|| server.reader().try_read(&mut [0])), Ok(0)) {
        // It was connected, and given up when what came then failed.
        server = quietly(|| listener.accept_timeout(LONG).unwrap());
    }
    run.write(b"how are you?", |bytes| client.writer().write(bytes));
    run.read(b"how are you?", |buf| server.reader().read(buf));
    drop((client, server));
    let client = run.again(|| Connection::try_connect(listener.path()));
    let server = run.again(|| listener.try_accept());
    drop((server, client));
    run.go(listener, Listener::unlink);
}

fn pair(run: &mut Run) {
    let (mut one, mut other) = run.make(Connection::pair);
    run.write(b"how are you?", |bytes| one.writer().write(bytes));
    run.read(b"how are you?", |buf| other.reader().read(buf));
    run.write(b"well", |bytes| other.writer().write_timeout(bytes, LONG));
    assert_eq!(run.again(|| one.reader().unread()), 4);
    assert!(run.again(|| other.writer().unsent()) > 0);
    run.read(b"well", |buf| one.reader().read_timeout(buf, LONG));
    run.again(|| one.peer().map(drop));
    run.again(|| one.require_same_user());
    run.again(|| one.reader().buffer_size().map(drop));
    let reader = run.go(one, |connection| connection.finish());
    let left = run.again(|| other.reader().read(&mut [0; 10]));
    assert_eq!(left, 0);
    let (half, writer) = other.split();
    let other = Connection::reunite(half, writer).unwrap();
    drop((reader, other));
}

/// What a side of the first edition says that has no handles.
const TERMS: &[u8] = b"\xff\xff\xff\x02tpip\x01\x00\x00\x23\x00\x00\x00\x00\x00\x80\x00\x00\
    \x0flength-prefixed\x08postcard\x00\x00";

/// How much this edition says.
const SAID: usize = 47 + 3 + 17;

fn handshake(run: &mut Run) {
    let (one, mut other) = quietly(|| Connection::pair().unwrap());
    quietly(|| other.write_all(TERMS).unwrap());
    let made = Handshake::new().timeout(LONG).perform::<String, String>(one);
    let mut one: TypedConnection<String, String> = match made {
        Ok(made) => made,
        Err(error) => return run.note(error),
    };
    quietly(|| other.write_all(b"\0\0\0\x03\x02hi").unwrap());
    assert_eq!(run.again(|| one.recv()), "hi");
    let text = "how are you?".to_owned();
    run.send(|half| if half { one.sender().flush() } else { one.send(&text) });
    quietly(|| {
        let mut told = [0; SAID + 17];
        other.read_exact(&mut told).unwrap();
        assert_eq!(told[12..47], TERMS[12..]);
        assert_eq!(told[47..50], [1, 0, 17], "the part that tells of its messages");
        assert_eq!(told[SAID..], *b"\0\0\0\x0d\x0chow are you?");
    });
}

/// A connection that is full takes in what comes while it waits.
fn both_ways(run: &mut Run) {
    let (one, mut other) = quietly(|| Connection::pair().unwrap());
    quietly(|| other.write_all(TERMS).unwrap());
    let made = quietly(|| Handshake::new().perform::<Vec<u8>, String>(one));
    let mut one: TypedConnection<Vec<u8>, String> = made.unwrap();
    quietly(|| other.write_all(b"\0\0\0\x03\x02hi").unwrap());
    let long = vec![7; 3000];
    // Until nothing more goes in.
    let mut sent = 0;
    let last = loop {
        match quietly(|| one.sender().try_send(&long)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(last.kind(), ErrorKind::WouldBlock);
    run.expect(ErrorKind::TimedOut, || {
        one.sender()
            .set_timeout(SHORT)
            .flush()
            .and_then(|()| one.sender().send_timeout(&long, SHORT))
    });
    quietly(|| {
        let mut buf = vec![0; SAID + 3006 * (sent - 1)];
        other.read_exact(&mut buf).unwrap();
    });
    run.again(|| one.sender().set_timeout(LONG).flush());
    assert_eq!(run.again(|| one.receiver().recv_timeout(LONG)), "hi");
}

fn send_handles(run: &mut Run) {
    let file = run.name("file");
    let (one, other) = quietly(|| {
        fs::write(&file, "the words").unwrap();
        Connection::pair().unwrap()
    });
    let helper = quietly(|| {
        thread::spawn(move || {
            let mut side: TypedConnection<u8, WithHandles<u32>> =
                Handshake::new().timeout(LONG).perform(other)?;
            let (number, mut handles) = side.recv_with_handles()?;
            let mut text = String::new();
            let mut file = handles.take::<File>(number)?;
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "the words");
            side.send(&1)
        })
    });
    let made = Handshake::new().timeout(LONG).perform::<WithHandles<u32>, u8>(one);
    let sent = match made {
        Err(error) => {
            run.note(error);
            false
        }
        Ok(mut side) => {
            let mut handles = Handles::new();
            let number = handles.add(quietly(|| File::open(&file).unwrap()));
            run.send(|half| {
                if half {
                    side.sender().flush()
                } else {
                    side.send_with_handles(&number, &mut handles)
                }
            });
            assert_eq!(run.again(|| side.recv()), 1);
            true
        }
    };
    let heard = quietly(|| helper.join().unwrap());
    assert!(heard.is_ok() || !sent, "{heard:?}");
    quietly(|| fs::remove_file(file).unwrap());
}

fn receive_handles(run: &mut Run) {
    let file = run.name("file");
    let (one, other) = quietly(|| {
        fs::write(&file, "the words").unwrap();
        Connection::pair().unwrap()
    });
    let helper = quietly(|| {
        let file = File::open(&file).unwrap();
        thread::spawn(move || {
            let mut side: TypedConnection<WithHandles<u32>, u8> =
                Handshake::new().timeout(LONG).perform(other)?;
            let mut handles = Handles::new();
            let number = handles.add(file);
            side.send_with_handles(&number, &mut handles)?;
            side.recv().map(drop)
        })
    });
    let made = Handshake::new().timeout(LONG).perform::<u8, WithHandles<u32>>(one);
    let made = made.map_err(|error| run.note(error));
    if let Ok(mut side) = made {
        let (number, mut handles) = run.again(|| side.recv_with_handles());
        let mut file = run.again(|| handles.take::<File>(number));
        quietly(|| {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "the words");
        });
        run.send(|half| if half { side.sender().flush() } else { side.send(&1) });
    }
    let _ = quietly(|| helper.join().unwrap());
    quietly(|| fs::remove_file(file).unwrap());
}

#[cfg(feature = "shared-memory")]
fn sealed_bytes(run: &mut Run) {
    let bytes = run.again(|| SealedBytes::copy_from(&[7; 5000]));
    let again = run.again(|| bytes.try_clone());
    let mut handles = Handles::new();
    let number = handles.add(again);
    drop(bytes);
    let taken = run.again(|| handles.take::<SealedBytes>(number));
    assert_eq!(taken[..], [7; 5000]);
}

/// Without memory, the messages go through the socket: a call that fails is no reason for a failure.
#[cfg(feature = "shared-memory")]
fn shared_memory(run: &mut Run) {
    let (one, other) = quietly(|| Connection::pair().unwrap());
    let helper = quietly(|| thread::spawn(move || echo_in_memory(other)));
    match with_memory(SharedMemory::offered()).perform::<u32, String>(one) {
        Err(error) => run.note(error),
        Ok(mut side) => {
            expect_told(side.transport());
            for number in 0..3 {
                run.send(|half| if half { side.sender().flush() } else { side.send(&number) });
                assert_eq!(run.again(|| side.recv()), number.to_string());
            }
        }
    }
    let _ = quietly(|| helper.join().unwrap());
}

/// With memory or not at all, and the other side, which can do without it, is told nothing wrong.
#[cfg(feature = "shared-memory")]
fn required_shared_memory(run: &mut Run) {
    let (one, other) = quietly(|| Connection::pair().unwrap());
    let helper = quietly(|| thread::spawn(move || echo_in_memory(other)));
    match with_memory(SharedMemory::required()).perform::<u32, String>(one) {
        Err(error) => run.note(error),
        Ok(mut side) => {
            assert_eq!(*side.transport(), TransportKind::SharedMemory);
            run.send(|half| if half { side.sender().flush() } else { side.send(&7) });
            assert_eq!(run.again(|| side.recv()), "7");
        }
    }
    let _ = quietly(|| helper.join().unwrap());
}

#[cfg(all(feature = "shared-memory", feature = "tokio"))]
fn shared_memory_in_tasks(run: &mut Run) {
    let runtime = runtime();
    let (one, other) = quietly(|| Connection::pair().unwrap());
    let helper = quietly(|| thread::spawn(move || echo_in_memory(other)));
    let one = quietly(|| {
        let _inside = runtime.enter();
        one.into_tokio().unwrap()
    });
    let handshake = with_memory(SharedMemory::offered()).into_tokio();
    match runtime.block_on(handshake.perform::<u32, String>(one)) {
        Err(error) => run.note(error),
        Ok(mut side) => {
            expect_told(side.transport());
            for number in 0..3 {
                run.send(|half| {
                    runtime.block_on(async {
                        if half { side.sender().flush().await } else { side.send(&number).await }
                    })
                });
                assert_eq!(run.again(|| runtime.block_on(side.recv())), number.to_string());
            }
        }
    }
    let _ = quietly(|| helper.join().unwrap());
    quietly(|| drop(runtime));
}

/// What comes of one of many.
#[cfg(feature = "fanout")]
#[allow(clippy::large_enum_variant, reason = "there are four of them")]
enum Come {
    Number(Result<u32, Error>),
    Client(Result<Connection, Error>),
    Token,
    Late,
}

#[cfg(feature = "fanout")]
fn many_at_once(run: &mut Run) {
    let mut select = run.again(Select::new);
    let mut sender = None;
    run.again(|| {
        let receiver = quietly(|| {
            let (one, other) = Connection::pair().unwrap();
            sender = Some(one.split().1.into_sender::<u32>());
            other.split().0.into_receiver::<u32>()
        });
        select.add_receiver(receiver, Come::Number).map(drop)
    });
    let name = run.name("door");
    run.again(|| {
        let door = quietly(|| Listener::bind(&name).unwrap());
        select.add_listener(door, Come::Client).map(drop)
    });
    let token = quietly(|| CancelToken::new().unwrap());
    run.again(|| select.add_token(&token, Come::Token).map(drop));
    select.add_deadline(Instant::now(), Come::Late);
    quietly(|| {
        sender.as_mut().unwrap().send(&7).unwrap();
        token.cancel();
    });
    let mut client = Some(quietly(|| Connection::connect(&name).unwrap()));
    let (mut numbers, mut clients, mut others) = (0, 0, 0);
    while numbers + clients + others < 4 {
        match run.again(|| select.wait_timeout(LONG)).expect("its sources are not gone") {
            Come::Number(Ok(number)) => numbers += number / 7,
            Come::Client(Ok(_)) => clients += 1,
            Come::Token | Come::Late => others += 1,
            Come::Number(Err(error)) => {
                run.note(error);
                numbers += 1;
            }
            // It was not accepted, or was accepted and given up.
            Come::Client(Err(error)) if error.kind() == ErrorKind::ResourceExhausted => {
                run.note(error);
                client = Some(quietly(|| Connection::connect(&name).unwrap()));
            }
            // The listener is gone with it.
            Come::Client(Err(error)) => {
                run.note(error);
                clients += 1;
            }
        }
    }
    drop((client, select));
}

/// A listener that takes its lost name again, and then lacks a descriptor for a client.
#[cfg(feature = "fanout")]
fn one_that_rests(run: &mut Run) {
    let name = run.name("door");
    let mut select = quietly(|| {
        let mut select = Select::new().unwrap();
        let listener = ListenerOptions::new().if_exists(IfExists::TakeAgain).bind(&name).unwrap();
        select.add_listener(listener, |client| client).unwrap();
        fs::remove_file(&name).unwrap();
        select
    });
    let (mut client, mut few) = (None, None);
    for is_lacking in [false, true] {
        if is_lacking {
            client = quietly(|| Some(Connection::connect(&name).unwrap()));
            few = quietly(|| Some(Few::descriptors()));
        }
        let mut is_accepted = false;
        loop {
            client = client.or_else(|| quietly(|| Connection::try_connect(&name).ok()));
            match select.wait_timeout(SHORT) {
                Ok(None) => panic!("the listener is gone"),
                Ok(Some(Ok(_))) => is_accepted = true,
                Ok(Some(Err(error))) if error.kind() == ErrorKind::ResourceExhausted => {
                    match few.take() {
                        Some(few) => quietly(|| drop(few)),
                        None => run.note(error),
                    }
                }
                // It is gone with that.
                Ok(Some(Err(error))) => return run.note(error),
                // It looked for another one.
                Err(error) if error.kind() == ErrorKind::TimedOut && is_accepted => break,
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(error) => run.note(error),
            }
        }
        client = None;
    }
}

/// While it is there, this process gets no further descriptor.
#[cfg(feature = "fanout")]
struct Few(Rlimit);

#[cfg(feature = "fanout")]
impl Few {
    fn descriptors() -> Self {
        let before = getrlimit(Resource::Nofile);
        let next = File::open("/dev/null").unwrap().as_raw_fd();
        let current = u64::try_from(next).ok();
        setrlimit(Resource::Nofile, Rlimit { current, ..before }).unwrap();
        Self(before)
    }
}

#[cfg(feature = "fanout")]
impl Drop for Few {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.0).unwrap();
    }
}

/// A thread for each: where one cannot start, none is left.
fn reader_and_writer(run: &mut Run) {
    let (mut ours, theirs) = quietly(|| std::os::unix::net::UnixStream::pair().unwrap());
    let mut one = run.again(|| {
        let (reader, writer) =
            quietly(|| (theirs.try_clone().unwrap(), theirs.try_clone().unwrap()));
        Connection::over((reader, writer))
    });
    run.write(b"how are you?", |bytes| one.writer().write_timeout(bytes, LONG));
    quietly(|| {
        let mut said = [0; 12];
        ours.read_exact(&mut said).unwrap();
        assert_eq!(said, *b"how are you?");
        ours.write_all(b"well").unwrap();
    });
    run.read(b"well", |buf| one.reader().read_timeout(buf, LONG));
    quietly(|| {
        drop(ours);
        drop(one);
        drop(theirs);
    });
}

#[cfg(feature = "fanout")]
fn broadcast(run: &mut Run) {
    let name = run.name("news");
    let news = run.again(|| {
        let listener = quietly(|| Listener::bind(&name).unwrap());
        Broadcast::<u32>::new(listener, SlowReader::Wait)
    });
    let helper = quietly(|| {
        let mut reader = TypedConnection::<(), u32>::connect(&name).unwrap();
        // It is a reader by now.
        while news.readers().is_empty() {
            thread::yield_now();
        }
        thread::spawn(move || reader.by_ref().map(|it| it.unwrap()).collect::<Vec<_>>())
    });
    for number in 0..3 {
        run.again(|| news.send_timeout(&number, LONG));
    }
    let readers = news.finish_timeout(LONG);
    assert_eq!(quietly(|| helper.join().unwrap()), [0, 1, 2]);
    assert_eq!((readers.len(), readers[0].dropped), (1, 0));
}

#[cfg(feature = "fanout")]
fn reconnecting(run: &mut Run) {
    let name = run.name("log");
    let listener = quietly(|| Listener::bind(&name).unwrap());
    let helper = quietly(|| {
        thread::spawn(move || {
            let mut entries = listener.accept().unwrap().into_typed::<u64, u32>().unwrap();
            for count in 1..4 {
                assert_eq!(entries.recv().unwrap(), count);
                entries.send(&count.into()).unwrap();
            }
            // It goes after the sender, which is to hear all.
            assert!(entries.recv().unwrap_err().is_end());
        })
    });
    let log = run.again(|| ReconnectingSender::<u32>::connect(&name, WhenFull::Refuse));
    for number in 1..4 {
        run.again(|| log.send(&number));
    }
    let counts = log.finish_timeout(LONG);
    assert_eq!((counts.accepted, counts.confirmed), (3, 3), "{counts:?}");
    quietly(|| helper.join().unwrap());
}

#[cfg(feature = "shared-memory")]
fn with_memory(memory: SharedMemory) -> Handshake {
    Handshake::new().timeout(LONG).shared_memory(memory)
}

/// The other side, which goes on with or without memory.
#[cfg(feature = "shared-memory")]
fn echo_in_memory(connection: Connection) -> Result<(), Error> {
    let mut side: TypedConnection<String, u32> =
        with_memory(SharedMemory::offered()).perform(connection)?;
    expect_told(side.transport());
    while let Ok(number) = side.recv() {
        side.send(&number.to_string())?;
    }
    Ok(())
}

/// Where messages do not go through memory, the reason is told.
#[cfg(feature = "shared-memory")]
fn expect_told(transport: &TransportKind) {
    if let TransportKind::Socket { reason, .. } = transport {
        assert!(reason.as_ref().is_some_and(|why| !why.is_empty()), "{transport}");
    }
}

#[cfg(feature = "service")]
fn call(run: &mut Run) {
    let name = run.name("service");
    let token = quietly(|| CancelToken::new().unwrap());
    let helper = quietly(|| {
        let service = Service::<u32, u32>::bind(&name).unwrap().cancelled_by(&token);
        thread::spawn(move || service.serve(|number| number + 1))
    });
    let client = run.again(|| Client::<u32, u32>::connect_timeout(&name, LONG));
    assert_eq!(run.again(|| client.call(&1)), 2);
    assert_eq!(run.again(|| client.call_timeout(&3, LONG)), 4);
    run.again(|| client.notify(&5));
    drop(client);
    quietly(|| {
        token.cancel();
        helper.join().unwrap().unwrap();
    });
}

#[cfg(feature = "service")]
fn serve(run: &mut Run) {
    static OVER: AtomicBool = AtomicBool::new(false);
    OVER.store(false, Ordering::Relaxed);
    let name = run.name("service");
    let service = run.again(|| Service::<u32, u32>::bind(&name)).shutdown_after(1);
    let helper = quietly(|| {
        thread::spawn(move || {
            while !OVER.load(Ordering::Relaxed) {
                let client = Client::<u32, u32>::connect_timeout(&name, SHORT * 10);
                if let Ok(answer) = client.and_then(|client| client.call(&1)) {
                    assert_eq!(answer, 2);
                    return true;
                }
            }
            false
        })
    });
    let served = service.serve(|number| number + 1);
    OVER.store(true, Ordering::Relaxed);
    let answered = quietly(|| helper.join().unwrap());
    match served {
        Ok(_) => assert!(answered),
        Err(error) => run.note(error),
    }
}

#[cfg(feature = "tokio")]
fn runtime() -> tokio::runtime::Runtime {
    quietly(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap())
}

#[cfg(feature = "tokio")]
fn tasks(run: &mut Run) {
    let runtime = runtime();
    let listener = quietly(|| Listener::bind(run.name("door")).unwrap());
    let path = listener.path().clone();
    let listener = run.go(listener, |listener| {
        let _inside = runtime.enter();
        listener.into_tokio()
    });
    let connect =
        || runtime.block_on(ConnectOptions::new().into_tokio().connect_timeout(&path, LONG));
    let mut client = run.again(connect);
    let mut server = run.again(|| runtime.block_on(listener.accept_timeout(LONG)));
    if run.failed.is_some() && matches!(quietly(|| server.reader().try_read(&mut [0])), Ok(0)) {
        // It was connected, and given up when what came then failed.
        server = quietly(|| runtime.block_on(listener.accept_timeout(LONG)).unwrap());
    }
    run.write(b"how are you?", |bytes| runtime.block_on(client.writer().write(bytes)));
    run.read(b"how are you?", |buf| runtime.block_on(server.reader().read(buf)));
    drop((client, server));
    // A reader that waits for the next writer registers itself anew.
    let mut pipe = quietly(|| Pipe::new(run.name("pipe")).unwrap().mkfifo().unwrap());
    let path = pipe.path().clone();
    let reader = pipe.reader().on_hangup(OnHangup::NextWriter).into_tokio();
    let mut end = run.go(reader, |reader| runtime.block_on(reader.open()));
    for _ in 0..2 {
        quietly(|| WriteEnd::from(path.clone()).open().unwrap().write_all(b"word").unwrap());
        run.read(b"word", |buf| runtime.block_on(end.read(buf)));
        assert_eq!(run.again(|| runtime.block_on(end.read(&mut [0; 8]))), 0);
    }
    drop(end);
    drop(pipe);
    quietly(|| drop((listener, runtime)));
}

#[cfg(all(feature = "service", feature = "tokio"))]
fn serve_in_tasks(run: &mut Run) {
    static OVER: AtomicBool = AtomicBool::new(false);
    OVER.store(false, Ordering::Relaxed);
    let runtime = runtime();
    let name = run.name("service");
    let service = quietly(|| Service::<u32, u32>::bind(&name).unwrap()).shutdown_after(1);
    let service = run.go(service, |service| {
        let _inside = runtime.enter();
        service.into_tokio()
    });
    let helper = quietly(|| {
        thread::spawn(move || {
            while !OVER.load(Ordering::Relaxed) {
                let client = Client::<u32, u32>::connect_timeout(&name, SHORT * 10);
                // A runtime is told once of what has come: where a read says that nothing is there, the request waits.
                let answer = client.and_then(|client| client.call_timeout(&1, SHORT * 10));
                if let Ok(answer) = answer {
                    assert_eq!(answer, 2);
                    return true;
                }
            }
            false
        })
    });
    let served = runtime.block_on(service.serve(|number| async move { number + 1 }));
    OVER.store(true, Ordering::Relaxed);
    // The answer may be lost with its client.
    quietly(|| helper.join().unwrap());
    if let Err(error) = served {
        assert_ne!(
            error.operation(),
            typed_pipe::Operation::Register,
            "one client ends the service: {error}"
        );
        run.note(error);
    }
    quietly(|| drop(runtime));
}
