//! Programs that know nothing of this, between two machines, each of which is a `tpipe-net`.
#![cfg(all(feature = "tool", target_os = "linux"))]

mod common;

use std::fs;
use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{Folder, Program, SOON, Typed, echo, finishes_truly, free_port, until, watched};
use typed_pipe::{
    Client, Connection, ErrorKind, Handles, Handshake, Listener, Service, SharedMemory,
    TransportKind, WithHandles,
};
use typed_pipe_net::{Key, NetOptions};

/// A machine that works slowly is not taken for one that has gone.
const SLOW: [&str; 4] = ["--idle", "15", "--timeout", "60"];

fn tool() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tpipe-net"))
}

fn key(folder: &Folder, name: &str) -> String {
    let shown = tool().arg("key").arg(folder.path(name)).output().unwrap();
    assert!(shown.status.success());
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}

/// Writes the file of those who are let in, which nobody sees half-written.
fn let_in(folder: &Folder, keys: &str) {
    fs::write(folder.path("new"), keys).unwrap();
    fs::rename(folder.path("new"), folder.path("allowed")).unwrap();
}

/// Two machines: what listens at `there` is reached at `here`.
struct Two {
    folder: Folder,
    port: u16,
    offer: Program,
    reach: Program,
}

impl Two {
    fn new() -> Self {
        Self::with(&["--hold", "60"])
    }

    fn with(reach: &[&str]) -> Self {
        let (folder, port) = (Folder::new(), free_port());
        let mut offer = offering(&folder, port, &[&key(&folder, "here.key")]);
        let reach = reaching(&folder, &offer.line(), reach);
        Self { folder, port, offer, reach }
    }

    fn here(&self) -> PathBuf {
        self.folder.path("here")
    }

    fn there(&self) -> PathBuf {
        self.folder.path("there")
    }

    /// A program on each side: the one that connects, and the one that accepts.
    fn plain(&self) -> (UnixStream, UnixStream) {
        let listener = UnixListener::bind(self.there()).unwrap();
        let here = UnixStream::connect(self.here()).unwrap();
        let there = listener.accept().unwrap().0;
        fs::remove_file(self.there()).unwrap();
        for stream in [&here, &there] {
            stream.set_read_timeout(Some(SOON)).unwrap();
            stream.set_write_timeout(Some(SOON)).unwrap();
        }
        (here, there)
    }

    fn connections(&self) -> (Connection, Connection) {
        let listener = Listener::bind(self.there()).unwrap();
        let here = Connection::connect(self.here()).unwrap();
        (here, listener.accept_timeout(SOON).unwrap())
    }

    fn typed(&self) -> (Typed, Typed) {
        let (here, there) = self.connections();
        typed(here, there)
    }
}

/// Both sides agree, however slow they are.
fn typed(here: Connection, there: Connection) -> (Typed, Typed) {
    let agree = || Handshake::new().timeout(SOON);
    let there = thread::spawn(move || agree().perform(there).unwrap());
    (agree().perform(here).unwrap(), there.join().unwrap())
}

fn offering(folder: &Folder, port: u16, allow: &[&str]) -> Program {
    let mut command = tool();
    command.arg("offer").arg("jobs").arg(folder.path("there")).arg("--key");
    command.arg(folder.path("there.key")).args(SLOW).args(["--hold", "60"]);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    for key in allow {
        command.args(["--allow", key]);
    }
    Program::start(&mut command)
}

fn reaching(folder: &Folder, address: &str, more: &[&str]) -> Program {
    let mut command = tool();
    command.arg("reach").arg(address).arg(folder.path("here")).arg("--key");
    command.arg(folder.path("here.key"));
    command.args(if more.contains(&"--idle") { &[][..] } else { &SLOW[..] }).args(more);
    let mut reach = Program::start(&mut command);
    reach.line();
    reach
}

#[test]
fn bytes_and_the_end_of_each_direction_are_carried() {
    watched(|| {
        let two = Two::new();
        let (mut here, mut there) = two.plain();
        for len in [1, 2, 100_000, 3_000_000] {
            let sent: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let (mut writer, copy) = (here.try_clone().unwrap(), sent.clone());
            let writing = thread::spawn(move || writer.write_all(&copy).unwrap());
            let mut read = vec![0; len];
            there.read_exact(&mut read).unwrap();
            writing.join().unwrap();
            assert!(read == sent);
            there.write_all(&read[..1]).unwrap();
            here.read_exact(&mut [0; 1]).unwrap();
        }
        here.write_all(b"last").unwrap();
        here.shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        there.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "last");
        // The other direction goes on.
        there.write_all(b"words").unwrap();
        drop(there);
        let mut rest = String::new();
        here.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "words");
    });
}

#[test]
fn a_typed_connection_is_unchanged() {
    watched(|| {
        let two = Two::new();
        let (here, there) = two.typed();
        echo(here, there);
    });
}

#[test]
fn finish_waits_until_the_program_of_the_other_machine_has_taken_all() {
    watched(|| {
        let two = Two::new();
        for from_here in [true, false] {
            let (here, there) = two.typed();
            if from_here { finishes_truly(here, there) } else { finishes_truly(there, here) }
        }
    });
}

#[test]
fn finish_fails_if_the_program_of_the_other_machine_leaves_something_unread() {
    watched(|| {
        let two = Two::new();
        let (here, there) = two.typed();
        let (mut sender, _rest) = here.split();
        sender.send("one").unwrap();
        let failed = sender.finish_timeout(Duration::from_millis(300)).unwrap_err();
        let sender = failed.into_state();
        drop(there);
        assert_eq!(sender.finish().unwrap_err().kind(), ErrorKind::Disconnected);
    });
}

#[test]
fn who_leaves_bytes_unread_is_told_from_who_ends() {
    watched(|| {
        let two = Two::new();
        for unread in [true, false] {
            let (mut here, mut there) = two.plain();
            there.write_all(b"hello").unwrap();
            here.read_exact(&mut [0; 4]).unwrap();
            if !unread {
                here.read_exact(&mut [0; 1]).unwrap();
            }
            here.write_all(b"last words").unwrap();
            drop(here);
            let mut words = Vec::new();
            let end = there.read_to_end(&mut words);
            assert_eq!(words, b"last words");
            let kind = end.err().map(|error| error.kind());
            assert_eq!(kind, unread.then_some(IoErrorKind::ConnectionReset));
        }
    });
}

#[test]
fn a_writer_is_told_that_nobody_reads_any_more() {
    watched(|| {
        let two = Two::new();
        let (mut here, there) = two.plain();
        drop(there);
        let begin = Instant::now();
        let error = loop {
            match here.write_all(&[7; 100]) {
                Ok(()) => assert!(begin.elapsed() < SOON, "it goes on for ever"),
                Err(error) => break error,
            }
            thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(error.kind(), IoErrorKind::BrokenPipe);
    });
}

#[test]
fn a_stopped_reader_holds_up_its_own_writer_and_no_other() {
    watched(|| {
        let two = Two::new();
        let (mut here, mut there) = two.plain();
        here.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let (piece, mut sent) = ([7; 100_000], 0);
        while let Ok(bytes) = here.write(&piece) {
            sent += bytes;
            assert!(sent < 100_000_000, "there is no back-pressure");
        }
        let (mut other, mut other_there) = two.plain();
        other.write_all(b"beside").unwrap();
        other_there.read_exact(&mut [0; 6]).unwrap();
        here.shutdown(Shutdown::Write).unwrap();
        let mut read = Vec::new();
        there.read_to_end(&mut read).unwrap();
        assert!(read.len() == sent && read.iter().all(|byte| *byte == 7));
    });
}

#[test]
fn a_service_is_called_from_another_machine() {
    watched(|| {
        let two = Two::new();
        let service = Service::<u64, u64>::bind(two.there()).unwrap();
        let _serving = thread::spawn(move || service.serve(|number| number + 1));
        let client = Client::<u64, u64>::connect(two.here()).unwrap();
        thread::scope(|threads| {
            for first in 0..4_u64 {
                let client = &client;
                threads.spawn(move || {
                    for number in 0..100 {
                        assert_eq!(client.call(&(first * number)).unwrap(), first * number + 1);
                    }
                });
            }
        });
    });
}

#[test]
fn handles_are_not_lost_silently() {
    watched(|| {
        let mut two = Two::new();
        let (here, there) = two.connections();
        let there = thread::spawn(move || there.into_typed::<(), WithHandles<u32>>());
        let here = here.into_typed::<WithHandles<u32>, ()>();
        let mut there = there.join().unwrap().unwrap();
        let mut handles = Handles::new();
        handles.add(tempfile::tempfile().unwrap());
        // Each of both sockets could pass them: only what is in between cannot. A newer system says so itself.
        if here.unwrap().send_with_handles(&7, &mut handles).is_ok() {
            assert!(there.recv_with_handles().is_err());
            two.reach.complains("handles");
        }
    });
}

#[test]
fn shared_memory_between_two_machines_is_left_out_or_refused_where_it_is_required() {
    watched(|| {
        let two = Two::new();
        let made = |memory: SharedMemory| {
            let (here, there) = two.connections();
            let handshake = move || Handshake::new().shared_memory(memory);
            let there = thread::spawn(move || handshake().perform::<str, String>(there));
            (handshake().perform::<str, String>(here), there.join().unwrap())
        };
        let refused =
            [ErrorKind::Unsupported, ErrorKind::PermissionDenied, ErrorKind::Disconnected];
        match made(SharedMemory::offered()) {
            (Ok(mut here), Ok(mut there)) => {
                assert!(matches!(here.transport(), TransportKind::Socket { reason: Some(_), .. }));
                here.send("through the net").unwrap();
                assert_eq!(there.recv().unwrap(), "through the net");
            }
            // Where the system lets handles through, what is in between ends such a connection.
            (here, there) => {
                let error = here.err().or(there.err()).unwrap();
                assert!(refused.contains(&error.kind()), "{error}");
            }
        }
        let (here, there) = made(SharedMemory::required());
        for error in [here.unwrap_err(), there.unwrap_err()] {
            assert!(refused.contains(&error.kind()), "{error}");
        }
    });
}

#[test]
fn a_killed_machine_is_told_and_may_come_back() {
    watched(|| {
        let mut two = Two::with(&["--hold", "60", "--idle", "5", "--timeout", "5"]);
        let (here, there) = two.typed();
        two.offer.kill();
        drop(there);
        let (mut sender, mut receiver) = here.split();
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Disconnected);
        let sent = sender.send("lost");
        assert!(sent.is_err() || sender.finish().is_err());

        // Who comes now is held until the machine is there again.
        let path = two.here();
        let held = thread::spawn(move || {
            let held = Connection::connect(path).unwrap();
            let mut held: Typed = Handshake::new().timeout(SOON).perform(held).unwrap();
            held.send("held").unwrap();
            held.recv().unwrap()
        });
        let listener = Listener::bind(two.there()).unwrap();
        two.offer = offering(&two.folder, two.port, &[&key(&two.folder, "here.key")]);
        let there = listener.accept_timeout(SOON).unwrap();
        let mut there: Typed = Handshake::new().timeout(SOON).perform(there).unwrap();
        assert_eq!(there.recv().unwrap(), "held");
        there.send("seen").unwrap();
        assert_eq!(held.join().unwrap(), "seen");
    });
}

#[test]
fn a_program_is_disconnected_when_the_other_machine_does_not_come() {
    watched(|| {
        let folder = Folder::new();
        // Held, so that no other test has the port.
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = silent.local_addr().unwrap();
        let nobody = format!("jobs@{}/{at}", key(&folder, "there.key"));
        let mut reach =
            reaching(&folder, &nobody, &["--hold", "1", "--idle", "5", "--timeout", "2"]);
        let here = Connection::connect(folder.path("here")).unwrap();
        let error = here.into_typed::<(), ()>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
        reach.complains("nobody with this key answers");
    });
}

#[test]
fn a_program_that_does_not_listen_yet_is_waited_for() {
    watched(|| {
        let two = Two::new();
        let mut here = UnixStream::connect(two.here()).unwrap();
        here.write_all(b"early").unwrap();
        let listener = UnixListener::bind(two.there()).unwrap();
        let mut there = listener.accept().unwrap().0;
        there.read_exact(&mut [0; 5]).unwrap();
    });
}

#[test]
fn another_key_and_a_name_that_is_not_offered_are_refused() {
    watched(|| {
        let (folder, port) = (Folder::new(), free_port());
        let mut offer = offering(&folder, port, &[&key(&folder, "some.key")]);
        let address = offer.line();
        // A key that nobody has let in.
        let mut reach = reaching(&folder, &address, &[]);
        let refused = |folder: &Folder| {
            let here = Connection::connect(folder.path("here")).unwrap();
            let error = here.into_typed::<(), ()>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
        };
        refused(&folder);
        reach.complains("offers nothing to the key of this one");
        drop(reach);
        fs::rename(folder.path("some.key"), folder.path("here.key")).unwrap();
        let mut reach = reaching(&folder, &address.replace("jobs@", "other@"), &[]);
        refused(&folder);
        reach.complains("`other` is not offered there");
    });
}

#[test]
fn a_key_that_leaves_the_file_ends_its_connections() {
    watched(|| {
        let (folder, port) = (Folder::new(), free_port());
        let (mine, other) = (key(&folder, "here.key"), key(&folder, "other.key"));
        fs::write(folder.path("allowed"), format!("# who is let in\n{mine} # me\n")).unwrap();
        let mut command = tool();
        command.arg("offer").arg("jobs").arg(folder.path("there")).arg("--key");
        command.arg(folder.path("there.key")).args(["--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--allow-file").arg(folder.path("allowed")).args(SLOW);
        let mut offer = Program::start(&mut command);
        let reach = reaching(&folder, &offer.line(), &["--hold", "60"]);
        let two = Two { folder, port, offer, reach };
        let (mut here, mut there) = two.typed();
        here.send("before").unwrap();
        assert_eq!(there.recv().unwrap(), "before");
        // Rotated: the new one first.
        let_in(&two.folder, &format!("{mine}\n{other}\n"));
        here.send("still").unwrap();
        assert_eq!(there.recv().unwrap(), "still");
        let_in(&two.folder, &format!("{other}\n"));
        for side in [&mut here, &mut there] {
            assert_eq!(side.recv().unwrap_err().kind(), ErrorKind::Disconnected);
        }
    });
}

#[test]
fn a_file_of_keys_that_is_not_whole_changes_nothing() {
    watched(|| {
        let (folder, port) = (Folder::new(), free_port());
        let mine = key(&folder, "here.key");
        fs::write(folder.path("allowed"), &mine).unwrap();
        let mut command = tool();
        command.arg("offer").arg("jobs").arg(folder.path("there")).arg("--key");
        command.arg(folder.path("there.key")).args(["--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--allow-file").arg(folder.path("allowed")).args(SLOW);
        let mut offer = Program::start(&mut command);
        let reach = reaching(&folder, &offer.line(), &["--hold", "60"]);
        let mut two = Two { folder, port, offer, reach };
        let_in(&two.folder, &mine[..20]);
        two.offer.complains("the keys stay as they were");
        drop(two.typed());
    });
}

#[test]
fn a_program_that_is_told_to_end_removes_its_path() {
    watched(|| {
        let mut two = Two::new();
        for program in [&mut two.reach, &mut two.offer] {
            program.signal("-TERM");
            assert!(program.child.wait().unwrap().success());
        }
        until("its path is gone", || !two.here().exists());
    });
}

#[test]
fn wrong_words_are_told_at_once() {
    let folder = Folder::new();
    let key = folder.path("key").display().to_string();
    let here = folder.path("here").display().to_string();
    for (args, why) in [
        (vec!["reach", "jobs", &here, "--key", &key], "there is no `@`"),
        (vec!["offer", "jobs", &here, "--key", &key], "--listen"),
        (vec!["offer", "a b", &here, "--key", &key, "--listen", "127.0.0.1:0"], "spaces"),
        (vec!["offer", "jobs", &here, "--key", &key, "--listen", "0.0.0.0:0"], "unspecified"),
        (
            vec![
                "offer",
                "jobs",
                &here,
                "--key",
                &key,
                "--listen",
                "127.0.0.1:0",
                "--allow",
                "5f0c",
            ],
            "64",
        ),
        (vec!["key", "/absent/key"], "/absent/key"),
    ] {
        let done = tool().args(args).output().unwrap();
        assert!(!done.status.success());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_program_without_the_library_reaches_one_with_it() {
    watched(|| {
        let folder = Folder::new();
        let allowed = key(&folder, "here.key").parse().unwrap();
        let net = NetOptions::new().idle(Duration::from_secs(15)).open(&Key::generate()).unwrap();
        let net = net.listening("127.0.0.1:0".parse().unwrap()).unwrap();
        let offer = net.offer("jobs", &[allowed]).unwrap();
        let _reach = reaching(&folder, offer.address(), &[]);
        for from_here in [true, false] {
            let here = Connection::connect(folder.path("here")).unwrap();
            let there = offer.accept_timeout(SOON).unwrap();
            let (here, there) = typed(here, there);
            if from_here { finishes_truly(here, there) } else { finishes_truly(there, here) }
        }
    });
}

#[test]
fn a_program_with_the_library_reaches_one_without_it() {
    watched(|| {
        let (folder, port, mine) = (Folder::new(), free_port(), Key::generate());
        let mut offer = offering(&folder, port, &[&mine.public().to_string()]);
        let net =
            NetOptions::new().idle(Duration::from_secs(15)).timeout(SOON).open(&mine).unwrap();
        let at = offer.line();
        let listener = Listener::bind(folder.path("there")).unwrap();
        for from_here in [true, false] {
            let here = net.connect(&at).unwrap();
            let there = listener.accept_timeout(SOON).unwrap();
            let (here, there) = typed(here, there);
            if from_here { finishes_truly(here, there) } else { finishes_truly(there, here) }
        }
    });
}
