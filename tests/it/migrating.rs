//! The rows of `docs/MIGRATING.md`, run against the originals where they are there, and counted as skipped elsewhere.
#![cfg_attr(windows, allow(unused_imports, dead_code, reason = "some tests are of Unix"))]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use typed_pipe::{Connection, ErrorKind, Handshake, Listener, ListenerOptions, Pipe};

#[cfg(unix)]
use crate::support::short;
use crate::support::{Folder, skipped, watched};

const PAGE: &str = include_str!("../../docs/MIGRATING.md");

/// How the rows of a section are run: by tests against the original, or not, since it is not there.
enum Run {
    /// For every row, the tests that run it.
    By(&'static [&'static str]),
    /// The original is no program that this machine may have.
    Skipped(&'static str),
}

/// The sections of the page, and how many rows each has: a new row needs a test first.
const SECTIONS: [(&str, usize, Run); 10] = [
    (
        "From namedpipe",
        7,
        Run::By(&[
            "feeding_a_program_through_namedpipe_and_through_the_crate_gives_the_same",
            "a_program_that_opens_its_output_last_is_waited_for",
            "a_program_that_never_opens_its_pipe_ends_the_wait",
        ]),
    ),
    ("From xp-named-pipe", 7, Run::Skipped("xp-named-pipe is in no registry of packages")),
    ("From npipes", 4, Run::Skipped("npipes runs on Windows with pywin32 alone")),
    (
        "From PipeCom",
        7,
        Run::By(&[
            "a_listener_hears_senders_like_those_of_pipecom",
            "messages_reach_a_listener_like_that_of_pipecom",
            "calls_in_place_of_pipecom_end_when_nobody_is_there",
        ]),
    ),
    (
        "From pyuv, libuv and Node.js",
        10,
        Run::By(&[
            "a_client_of_libuv_is_served",
            "a_server_of_libuv_is_spoken_to",
            "connecting_to_nobody_fails_in_libuv_as_try_connect_does",
            "typed_messages_to_libuv_end_in_time",
            "the_write_queue_of_libuv_is_what_is_pending",
            "an_inherited_descriptor_of_libuv_is_a_connection",
            "a_backlog_and_a_mode_are_those_of_the_name",
        ]),
    ),
    (
        "From interprocess",
        11,
        Run::Skipped("interprocess is a crate, and no dependency of the tests"),
    ),
    (
        "From ipc-channel",
        11,
        Run::Skipped("ipc-channel is a crate, and no dependency of the tests"),
    ),
    (
        "From std's Unix sockets",
        8,
        Run::By(&["sockets_and_lines_of_std_speak_to_those_of_the_crate"]),
    ),
    (
        "From std's child processes",
        5,
        Run::By(&["a_child_that_answers_lines_of_json_is_asked_by_std_and_by_the_crate"]),
    ),
    (
        "From tokio's sockets and pipes",
        10,
        Run::By(&["sockets_and_pipes_of_tokio_speak_to_those_of_the_crate"]),
    ),
];

/// The left cells of the tables of the page, by their section.
fn rows() -> BTreeMap<&'static str, Vec<&'static str>> {
    let sections = PAGE.split("\n## ").skip(1).map(|section| {
        let (title, body) = section.split_once('\n').unwrap();
        let rows = body.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
        (title, rows.filter(|&row| row != "there").collect())
    });
    sections.collect()
}

#[test]
fn every_row_of_the_page_is_run_or_counted() {
    let rows = rows();
    let titles: Vec<_> = SECTIONS.iter().map(|(title, ..)| *title).collect();
    assert!(rows.keys().all(|title| titles.contains(title)), "{:?}", rows.keys());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let tests: String = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    for (title, count, run) in SECTIONS {
        let rows = &rows[title];
        assert_eq!(rows.len(), count, "{title}: {rows:#?}");
        match run {
            Run::By(names) => {
                for name in names {
                    assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
                }
            }
            Run::Skipped(why) => {
                for row in rows {
                    skipped(format_args!("{title}, {row}: {why}"));
                }
            }
        }
    }
}

/// The originals of these sections are not there: what stands in for them is run here, by the names of the page.
#[test]
fn every_call_in_place_of_another_crate_is_made_here() {
    let here = include_str!("migrating.rs");
    for title in ["From interprocess", "From ipc-channel"] {
        let (_, section) = PAGE.split_once(&format!("## {title}\n")).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let prose = section.split("```").step_by(2).flat_map(str::lines);
        for line in prose {
            // The left cell is of the original.
            let ours = line.strip_prefix("| ").and_then(|row| row.split_once(" | "));
            let ours = ours.map_or(line, |(_, ours)| ours);
            for code in ours.split('`').skip(1).step_by(2) {
                for (at, _) in code.match_indices('(') {
                    let name = code[..at].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
                    let name = name.unwrap_or_default();
                    let called = [".", "::"].map(|before| format!("{before}{name}("));
                    assert!(
                        name.is_empty() || called.iter().any(|call| here.contains(call)),
                        "{title}: `{name}` of `{code}` is called by no test here"
                    );
                }
            }
        }
    }
}

/// What the page says in place of interprocess.
#[test]
fn listeners_and_streams_in_place_of_interprocess() {
    watched(|| {
        let folder = Folder::new();
        let path = folder.name("door");
        let listener = Listener::bind(&path).unwrap();
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut client = Connection::try_connect(&path).unwrap();
        let mut server = listener.incoming().next().unwrap().unwrap();
        server.peer().unwrap();
        server.require_same_user().unwrap();

        let short = Duration::from_millis(1);
        let late = client.reader().read_timeout(&mut [0; 4], short).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        let none = client.reader().try_read(&mut [0; 4]).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::WouldBlock, "{none}");
        assert_eq!(server.writer().write_timeout(b"1", PATIENCE).unwrap(), 1);
        assert_eq!(server.writer().try_write(b"2").unwrap(), 1);
        let (reader, writer) = client.split();
        let mut client = Connection::reunite(reader, writer).unwrap();
        client.read_exact(&mut [0; 2]).unwrap();
        let mut reader = client.finish().unwrap();
        assert_eq!(server.read(&mut [0; 4]).unwrap(), 0);
        server.write_all(b"3").unwrap();
        drop(server);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"3");
    });
}

#[cfg(unix)]
#[test]
fn rights_in_place_of_those_of_interprocess() {
    use std::os::unix::fs::PermissionsExt;
    use typed_pipe::{Access, PipeOptions};

    let folder = Folder::new();
    let mode = |name| fs::metadata(name).unwrap().permissions().mode() & 0o777;
    let pipe = PipeOptions::new().mode(0o640).at(folder.name("fifo")).unwrap().mkfifo().unwrap();
    let listener = ListenerOptions::new().mode(0o620).bind(folder.name("door")).unwrap();
    assert_eq!((mode(pipe.path().as_path()), mode(listener.path().as_path())), (0o640, 0o620));
    let all = ListenerOptions::new().access(Access::LocalUsers).bind(folder.name("all")).unwrap();
    assert_eq!(mode(all.path().as_path()), 0o666);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn tasks_in_place_of_those_of_interprocess() {
    use typed_pipe::ConnectOptions;

    let listener = Listener::temporary().unwrap().into_tokio().unwrap();
    let connecting = ConnectOptions::new().into_tokio();
    let (client, server) = tokio::join!(connecting.connect(listener.path()), listener.accept());
    client.unwrap().writer().send_bytes(b"hello").await.unwrap();
    assert_eq!(server.unwrap().reader().read(&mut [0; 8]).await.unwrap(), 5);
}

/// What the page says in place of ipc-channel, but for its example and `Select`, which have tests of their own.
#[test]
fn channels_in_place_of_those_of_ipc_channel() {
    use typed_pipe::{Carried, Handles, TypedConnection, TypedSender, WithHandles};

    type Answers = WithHandles<Carried<TypedSender<u32>>>;

    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut receiver = pipe.receiver::<Vec<u8>>().unwrap();
        let mut sender = TypedSender::<Vec<u8>>::connect(path).unwrap();
        assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        let late = receiver.recv_timeout(Duration::from_millis(1)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        sender.set_timeout(PATIENCE);
        sender.try_send(&vec![1]).unwrap();
        sender.send(&vec![2]).unwrap();
        assert_eq!((receiver.recv().unwrap(), receiver.recv().unwrap()), (vec![1], vec![2]));
        drop(sender);
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Disconnected);

        let server = Listener::temporary().unwrap();
        let path = server.path().clone();
        let client = thread::spawn(move || {
            let mut client = TypedConnection::<Answers, ()>::connect(path).unwrap();
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let mut receiver = pipe.receiver::<u32>().unwrap();
            let mut handles = Handles::new();
            let sender = handles.carry(TypedSender::<u32>::connect(path).unwrap()).unwrap();
            client.send_with_handles(&sender, &mut handles).unwrap();
            assert_eq!(receiver.recv().unwrap(), 7);
            client.finish().map(drop).unwrap();
        });
        let mut server = server.accept().unwrap().into_typed::<(), Answers>().unwrap();
        let (answers, mut handles) = server.recv_with_handles().unwrap();
        handles.claim(answers).unwrap().send(&7).unwrap();
        assert_eq!(server.recv_with_handles().unwrap_err().kind(), ErrorKind::Finished);
        client.join().unwrap();
    });
}

/// More than any of these calls takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program, or [`None`] where it is not there.
fn start(command: &mut Command) -> Option<Killed> {
    match command.spawn() {
        Ok(child) => Some(Killed(child)),
        Err(error) => {
            skipped(format_args!("{:?}: {error}", command.get_program()));
            None
        }
    }
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
mod namedpipe {
    use std::thread;

    use super::*;

    const WORDS: &str = "Turing\nHopper\nLovelace\n";
    const SORTED: &[u8] = b"Hopper\nLovelace\nTuring\n";

    /// What a user of namedpipe writes; a status of 77 says that it is not installed.
    const ORIGINAL: &str = "
import subprocess, sys, threading
try:
    from namedpipe import NPopen
except ImportError:
    sys.exit(77)
with NPopen('wt') as there, NPopen('rb') as back:
    sort = subprocess.Popen(['sort', '-o', back.path, there.path])
    def feed():
        with there.wait() as stream:
            stream.write(sys.argv[1])
    feeding = threading.Thread(target=feed)
    feeding.start()
    sys.stdout.buffer.write(back.wait().read())
    feeding.join()
    sys.exit(sort.wait())
";

    /// The rows of the table, in the order of the page.
    fn through_the_crate(program: &mut Command) -> Vec<u8> {
        let (there, back) = (Pipe::temporary().unwrap(), Pipe::temporary().unwrap());
        let mut child = program.arg(back.path()).arg(there.path()).spawn().unwrap();
        let mut back = back.into_reader().open().unwrap();
        let mut there = there.into_writer().open_with(&child).unwrap();
        let feeding = thread::spawn(move || there.write_all(WORDS.as_bytes()));
        back.wait_for_peer(&child).unwrap();
        let mut got = Vec::new();
        back.read_to_end(&mut got).unwrap();
        feeding.join().unwrap().unwrap();
        assert!(child.wait().unwrap().success());
        got
    }

    #[test]
    fn feeding_a_program_through_namedpipe_and_through_the_crate_gives_the_same() {
        watched(|| {
            assert_eq!(through_the_crate(Command::new("sort").arg("-o")), SORTED);
            let mut python = Command::new("python3");
            python.args(["-c", ORIGINAL, WORDS]).stdout(Stdio::piped());
            let Some(mut python) = start(&mut python) else { return };
            let mut got = Vec::new();
            python.0.stdout.take().unwrap().read_to_end(&mut got).unwrap();
            match python.0.wait().unwrap().code() {
                Some(77) => skipped("the Python package namedpipe is not installed"),
                code => assert_eq!((code, got), (Some(0), SORTED.to_vec())),
            }
        });
    }

    /// As ffmpeg may: the end of its input comes before it opens its output.
    #[test]
    fn a_program_that_opens_its_output_last_is_waited_for() {
        watched(|| {
            for script in ["w=$(sort \"$2\"); echo \"$w\" > \"$1\"", "exec > \"$1\"; sort \"$2\""] {
                assert_eq!(
                    through_the_crate(Command::new("sh").args(["-c", script, "sh"])),
                    SORTED
                );
            }
        });
    }

    #[test]
    fn a_program_that_never_opens_its_pipe_ends_the_wait() {
        watched(|| {
            let (there, back) = (Pipe::temporary().unwrap(), Pipe::temporary().unwrap());
            let mut child = Command::new("true").spawn().unwrap();
            let mut back = back.into_reader().open().unwrap();
            let failed = there.into_writer().open_with(&child).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::ChildExited);
            let error = back.wait_for_peer(&child).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ChildExited);
            assert!(child.wait().unwrap().success());
        });
    }
}

#[cfg(feature = "service")]
#[test]
fn calls_in_place_of_pipecom_end_when_nobody_is_there() {
    use typed_pipe::ClientOptions;

    watched(|| {
        let folder = Folder::new();
        let options = ClientOptions::new().reply_timeout(Duration::from_secs(1)).max_attempts(2);
        let time = Duration::from_millis(50);
        let made = options.connect_timeout::<String, ()>(folder.name("orders"), time);
        assert_eq!(made.map(drop).unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

/// A program of Node.js, which has libuv in it.
#[cfg(unix)]
fn node(script: &str, path: &Path) -> Option<Killed> {
    start(Command::new("node").args(["-e", script]).arg(short(path)).stdout(Stdio::piped()))
}

#[cfg(unix)]
fn output(mut program: Killed) -> String {
    let mut text = String::new();
    program.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(program.0.wait().unwrap().success(), "{text}");
    text
}

#[cfg(unix)]
#[test]
fn connecting_to_nobody_fails_in_libuv_as_try_connect_does() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let error = Connection::try_connect(&name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = Connection::connect_timeout(&name, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let script =
            "require('net').connect(process.argv[1]).on('error', (e) => console.log(e.code))";
        let Some(program) = node(script, &name) else { return };
        assert_eq!(output(program).trim(), "ENOENT");
    });
}

/// A server that is silent, and one that greets: neither knows the handshake.
#[cfg(unix)]
#[test]
fn typed_messages_to_libuv_end_in_time() {
    watched(|| {
        let cases =
            [("", ErrorKind::TimedOut), ("s.write('hello, and welcome');", ErrorKind::Mismatch)];
        for (greeting, want) in cases {
            let folder = Folder::new();
            let name = folder.name("door");
            let script = format!(
                "require('net').createServer((s) => {{ {greeting} s.on('error', () => 0) }}).listen(process.argv[1])"
            );
            let Some(_server) = node(&script, &name) else { return };
            let connection = Connection::connect(&name).unwrap();
            let time =
                Duration::from_millis(if want == ErrorKind::Mismatch { 50_000 } else { 200 });
            let shaken = Handshake::new().timeout(time).perform::<u32, u32>(connection);
            assert_eq!(shaken.map(drop).unwrap_err().kind(), want);
        }
    });
}

/// `writableLength` of Node.js is the `write_queue_size` of libuv: 0 once the system has the bytes, read or not.
#[cfg(unix)]
#[test]
fn the_write_queue_of_libuv_is_what_is_pending() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let script = "
const client = require('net').connect(process.argv[1], () => {
  client.cork();
  client.write('hello');
  console.log(client.writableLength);
  client.uncork();
  client.write('!', () => { console.log(client.writableLength); client.destroy(); });
});
";
        // The crate: five bytes that are not flushed, then none, although nobody has read them.
        let (ours, theirs) = Connection::pair().unwrap();
        let (_reader, writer) = ours.split();
        let mut sender = writer.into_sender::<[u8; 5]>();
        sender.feed(b"hello").unwrap();
        assert_eq!(sender.pending(), 9, "the message and its length");
        sender.flush().unwrap();
        assert_eq!(sender.pending(), 0);
        if let Ok(unsent) = sender.get_ref().unsent() {
            assert_ne!(unsent, 0, "this counts what the peer has not read");
        }
        drop(theirs);
        let Some(program) = node(script, listener.path().as_path()) else { return };
        let client = listener.accept().unwrap(); // and reads nothing
        assert_eq!(output(program).split_whitespace().collect::<Vec<_>>(), ["5", "0"]);
        drop(client);
    });
}

#[cfg(unix)]
#[test]
fn an_inherited_descriptor_of_libuv_is_a_connection() {
    use std::os::fd::OwnedFd;

    watched(|| {
        let (mut ours, theirs) = Connection::pair().unwrap();
        let script = "
const side = new (require('net').Socket)({ fd: 0, readable: true, writable: true });
side.on('data', (data) => side.end(data.toString().toUpperCase()));
";
        let mut command = Command::new("node");
        command.args(["-e", script]).stdin(OwnedFd::from(theirs));
        let Some(_program) = start(&mut command) else { return };
        drop(command);
        ours.write_all(b"hello").unwrap();
        assert!(ours.writer().buffer_size().unwrap() > 0);
        assert_eq!(ours.writer().try_write(b"").unwrap(), 0);
        let mut answer = [0; 5];
        ours.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HELLO");
    });
}

#[cfg(unix)]
#[test]
fn a_backlog_and_a_mode_are_those_of_the_name() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let name = folder.name("door");
    let _listener = ListenerOptions::new().backlog(7).mode(0o660).bind(&name).unwrap();
    assert_eq!(fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o660);
}

#[cfg(all(unix, feature = "tokio"))]
#[test]
fn sockets_and_pipes_of_tokio_speak_to_those_of_the_crate() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::unix::pipe;
    use tokio::net::{UnixListener, UnixStream};
    use typed_pipe::{ConnectOptions, OnHangup, ReadEnd, WriteEnd};

    async fn greet(mut side: impl AsyncReadExt + AsyncWriteExt + Unpin) {
        side.write_all(b"hello").await.unwrap();
        let mut word = [0; 5];
        side.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"hello");
    }

    async fn talk() {
        let folder = Folder::new();
        // A listener of tokio, and a client of the crate.
        let name = folder.name("theirs");
        let theirs = UnixListener::bind(short(&name)).unwrap();
        let client = ConnectOptions::new().into_tokio().connect(&name).await.unwrap();
        let (server, _) = theirs.accept().await.unwrap();
        assert_eq!(
            client.peer().unwrap().pid(),
            server.peer_cred().unwrap().pid().map(|pid| pid.unsigned_abs())
        );
        tokio::join!(greet(client), greet(server));

        // The other way round.
        let ours = Listener::bind(folder.name("ours")).unwrap().into_tokio().unwrap();
        let client = UnixStream::connect(short(ours.path())).await.unwrap();
        let server = ours.accept().await.unwrap();
        tokio::join!(greet(client), greet(server));

        // Both pairs, and their halves.
        let (one, other) = UnixStream::pair().unwrap();
        tokio::join!(greet(one), greet(other));
        let (one, other) = Connection::pair().unwrap();
        let (mut reader, _writer) = one.into_tokio().unwrap().split();
        let (_other_reader, mut writer) = other.into_tokio().unwrap().split();
        writer.write_all(b"half").await.unwrap();
        let mut half = [0; 4];
        reader.read_exact(&mut half).await.unwrap();

        // FIFOs: a sender of tokio finds no reader, and that of the crate waits for one.
        let pipe = Pipe::new(folder.name("jobs")).unwrap().mkfifo().unwrap();
        assert!(pipe::OpenOptions::new().open_sender(pipe.path()).is_err());
        let sending = WriteEnd::at(pipe.path()).unwrap().into_tokio().open();
        let mut receiver = pipe::OpenOptions::new().open_receiver(pipe.path()).unwrap();
        let mut sender = sending.await.unwrap();
        sender.write_all(b"job 1").await.unwrap();
        let mut job = [0; 5];
        receiver.read_exact(&mut job).await.unwrap();
        drop((sender, receiver));
        let reader = ReadEnd::at(pipe.path()).unwrap().into_tokio().on_hangup(OnHangup::NextWriter);
        let mut reader = reader.open().await.unwrap();
        for word in [b"job 2", b"job 3"] {
            let mut sender = pipe::OpenOptions::new().open_sender(pipe.path()).unwrap();
            sender.write_all(word).await.unwrap();
            drop(sender);
            reader.read_exact(&mut job).await.unwrap();
            assert_eq!(&job, word, "the next writer's");
        }

        // The bytes of `LengthDelimitedCodec`.
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let ours =
            Connection::try_from(std::os::fd::OwnedFd::from(ours.into_std().unwrap())).unwrap();
        let (_reader, writer) = ours.into_tokio().unwrap().split();
        writer.into_sender::<u8>().send(&7).await.unwrap();
        let mut frame = [0; 5];
        theirs.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame, [0, 0, 0, 1, 7]);
    }

    watched(|| {
        let begun = std::time::Instant::now();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(talk());
        assert!(begun.elapsed() < Duration::from_secs(50));
    });
}

#[cfg(all(unix, feature = "json"))]
#[test]
fn sockets_and_lines_of_std_speak_to_those_of_the_crate() {
    use std::io::{BufRead, BufReader};
    use std::net::Shutdown;
    use std::os::unix::net::{UnixListener, UnixStream};

    use typed_pipe::wire::foreign::Lines;
    use typed_pipe::wire::{Json, Wire};
    use typed_pipe::{IfExists, WireOf};

    fn lines<T: ?Sized>() -> WireOf<T, Lines, Json> {
        Wire::new(Lines::default(), Json).of()
    }

    fn old_client(mut stream: UnixStream) {
        let answers = BufReader::new(stream.try_clone().unwrap());
        for word in ["hello", "you"] {
            serde_json::to_writer(&stream, word).unwrap();
            stream.write_all(b"\n").unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let answers: Vec<usize> =
            answers.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert_eq!(answers, [5, 3]);
    }

    fn old_server(mut stream: UnixStream) {
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let word: String = serde_json::from_str(&line.unwrap()).unwrap();
            serde_json::to_writer(&stream, &word.len()).unwrap();
            stream.write_all(b"\n").unwrap();
        }
    }

    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let old = UnixListener::bind(&name).unwrap();
        let serving = thread::spawn(move || old_server(old.accept().unwrap().0)); // leaves its name
        let (reader, writer) = Connection::try_connect(&name).unwrap().split();
        let (mut words, mut answers) =
            (lines::<str>().sender(writer), lines::<usize>().receiver(reader));
        words.send("hello").unwrap();
        assert_eq!(answers.recv_timeout(Duration::from_secs(50)).unwrap(), 5);
        words.finish().unwrap();
        assert!(answers.recv().unwrap_err().is_end());
        serving.join().unwrap();

        let listener = ListenerOptions::new().if_exists(IfExists::Reuse).bind(&name).unwrap();
        let client = UnixStream::connect(&name).unwrap();
        let asking = thread::spawn(move || old_client(client));
        let (reader, writer) = listener.incoming().next().unwrap().unwrap().split();
        let mut answers = lines::<usize>().sender(writer);
        for word in lines::<String>().receiver(reader) {
            answers.send(&word.unwrap().len()).unwrap();
        }
        drop(answers);
        asking.join().unwrap();
    });
}

/// One child after the other: by std alone, by a connection over its streams, and by ends of its descriptors.
#[cfg(all(unix, feature = "json"))]
#[test]
fn a_child_that_answers_lines_of_json_is_asked_by_std_and_by_the_crate() {
    use std::io::{BufRead, BufReader};
    use std::os::fd::OwnedFd;
    use std::process::{ChildStdin, ChildStdout};

    use typed_pipe::state::{Open, Read, Write};
    use typed_pipe::wire::foreign::Lines;
    use typed_pipe::wire::{Json, Wire};
    use typed_pipe::{End, PipeRef, ReadEnd, Unnamed, WriteEnd};

    const CHILD: &str = "\
import json, sys
for line in sys.stdin:
    print(json.dumps(len(json.loads(line))), flush=True)
";

    fn started() -> Option<(Killed, ChildStdout, ChildStdin)> {
        let mut python = Command::new("python3");
        python.args(["-c", CHILD]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = start(&mut python)?;
        let streams = python.0.stdout.take().zip(python.0.stdin.take());
        streams.map(|(stdout, stdin)| (python, stdout, stdin))
    }

    fn asks<P: PipeRef, Q: PipeRef>(reader: End<Read, Open, P>, writer: End<Write, Open, Q>) {
        let lines = Wire::new(Lines::default(), Json);
        let mut words = lines.clone().of::<str>().sender(writer);
        let mut answers = lines.of::<usize>().receiver(reader);
        words.send("hello").unwrap();
        assert_eq!(answers.recv_timeout(PATIENCE).unwrap(), 5);
        let late = answers.recv_timeout(Duration::from_millis(10)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        words.send("you").unwrap();
        drop(words);
        let rest: Vec<usize> = answers.by_ref().map(Result::unwrap).collect();
        assert_eq!(rest, [3]);
        assert!(answers.recv().unwrap_err().is_disconnected());
    }

    watched(|| {
        let Some((mut child, stdout, mut stdin)) = started() else { return };
        for word in ["hello", "you"] {
            writeln!(stdin, "{}", serde_json::to_string(word).unwrap()).unwrap();
        }
        drop(stdin);
        let answers = BufReader::new(stdout).lines();
        let answers: Vec<usize> =
            answers.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert_eq!(answers, [5, 3]);
        assert!(child.0.wait().unwrap().success());

        let (mut child, stdout, stdin) = started().unwrap();
        let (reader, writer) = Connection::over((stdout, stdin)).unwrap().split();
        asks(reader, writer);
        assert!(child.0.wait().unwrap().success());

        let (mut child, stdout, stdin) = started().unwrap();
        let reader = ReadEnd::<Open, Unnamed>::try_from(OwnedFd::from(stdout)).unwrap();
        let writer = WriteEnd::<Open, Unnamed>::try_from(OwnedFd::from(stdin)).unwrap();
        asks(reader, writer);
        assert!(child.0.wait().unwrap().success());
    });
}
