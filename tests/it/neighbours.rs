//! Pipes that other processes have as well, by the same open file description: they are not changed under them.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fcntl_getfl, open};
use rustix::io::ioctl_fionbio;
use typed_pipe::state::Open;
use typed_pipe::{
    Connection, ErrorKind, Handles, Pipe, ReadEnd, TypedConnection, Unnamed, WithHandles, WriteEnd,
};

use crate::peer;
use crate::support::{Waiters, watched};

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(30);

/// How a process of ours uses a pipe, and how it leaves it.
const MODES: &[&str] = if cfg!(feature = "tokio") { &["threads", "tasks"] } else { &["threads"] };
const LEAVES: [&str; 4] = ["dropping", "giving", "killed", "refused"];

type Reader = ReadEnd<Open, Unnamed>;
type Writer = WriteEnd<Open, Unnamed>;

/// Both ends of a pipe, which wait: one with a name, and one without.
fn pipes() -> [(OwnedFd, OwnedFd); 2] {
    let pipe = Pipe::temporary().unwrap();
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |access| open(pipe.path().as_path(), access | flags, Mode::empty()).unwrap();
    let (read, write) = (open(OFlags::RDONLY), open(OFlags::WRONLY));
    ioctl_fionbio(&read, false).unwrap();
    ioctl_fionbio(&write, false).unwrap();
    [(read, write), nameless()]
}

fn nameless() -> (OwnedFd, OwnedFd) {
    let (read, write) = rustix::pipe::pipe().unwrap();
    for fd in [&read, &write] {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC).unwrap();
    }
    (read, write)
}

/// The same open file description once more.
fn copy(fd: impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().unwrap()
}

fn waits(fd: impl AsFd) -> bool {
    !fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

/// A process that is killed when the test is done with it.
struct Shell(Child);

impl Shell {
    /// Runs a script in which `$ours` is this program, in a role with a descriptor.
    fn run(script: &str, role: &str, fd: u32, set: impl FnOnce(&mut Command)) -> Self {
        let script = script.replace("$ours", "\"$0\" --exact peer::play --nocapture >&2");
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(env::current_exe().unwrap()).stderr(Stdio::null());
        peer::cast(&mut command, role, Path::new(&fd.to_string()), 0);
        set(&mut command);
        Self(command.spawn().unwrap())
    }

    fn join(mut self) {
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `( ours; cat ) < fifo`
#[test]
fn who_reads_after_us_finds_the_pipe_as_it_was() {
    watched(|| {
        for mode in MODES {
            for leave in LEAVES {
                for (read, write) in pipes() {
                    let role = format!("neighbours reads {mode} {leave}");
                    // It is told by the status how our process ended.
                    let script = "$ours; echo $?; exec cat";
                    let mut shell = Shell::run(script, &role, 0, |command| {
                        command.stdin(copy(&read)).stdout(Stdio::piped());
                    });
                    let mut write = std::fs::File::from(write);
                    write.write_all(b"first\n").unwrap();
                    let mut said = BufReader::new(shell.0.stdout.take().unwrap());
                    let mut line = || {
                        let mut line = String::new();
                        said.read_line(&mut line).unwrap();
                        line
                    };
                    let status = if leave == "killed" { "137\n" } else { "0\n" };
                    assert_eq!(line(), status, "{role}");
                    assert!(waits(&read), "{role}");
                    for words in ["and\n", "the\n", "rest\n"] {
                        write.write_all(words.as_bytes()).unwrap();
                        assert_eq!(line(), words, "{role}");
                    }
                    drop(write);
                    assert_eq!(line(), "");
                    shell.join();
                }
            }
        }
    });
}

/// `( ours; seq 1000000 ) | …`
#[test]
fn who_writes_after_us_finds_the_pipe_as_it_was() {
    watched(|| {
        for mode in MODES {
            for leave in LEAVES {
                for (read, write) in pipes() {
                    let role = format!("neighbours writes {mode} {leave}");
                    let script = "exec 4>&0\n3>&1 $ours; echo $? >&4; exec 4>&-; exec seq 100000";
                    let (told, tell) = nameless();
                    let shell = Shell::run(script, &role, 3, |command| {
                        command.stdin(tell).stdout(copy(&write));
                    });
                    let mut status = String::new();
                    // The shell keeps its own copy of that descriptor as its input until `seq` is there.
                    BufReader::new(std::fs::File::from(told)).read_line(&mut status).unwrap();
                    assert_eq!(status, if leave == "killed" { "137\n" } else { "0\n" }, "{role}");
                    assert!(waits(&write), "{role}");
                    drop(write);
                    let mut text = String::new();
                    std::fs::File::from(read).read_to_string(&mut text).unwrap();
                    let (ours, theirs): (Vec<&str>, Vec<&str>) =
                        text.lines().partition(|line| *line == "ours");
                    assert!(ours.len() > 1000, "{role}");
                    assert_eq!((theirs.len(), theirs.last()), (100_000, Some(&"100000")), "{role}");
                    shell.join();
                }
            }
        }
    });
}

/// Whether an operation with a deadline ended at that.
fn expect_late<T: std::fmt::Debug>(act: impl FnOnce() -> Result<T, typed_pipe::Error>) {
    let since = Instant::now();
    assert_eq!(act().unwrap_err().kind(), ErrorKind::TimedOut);
    let took = since.elapsed();
    assert!(took >= SHORT && took < LONG, "{took:?}");
}

fn fill(end: &mut Writer) {
    while end.try_write(&[7; 4096]).is_ok() {}
}

#[test]
fn a_deadline_holds_when_others_clear_the_flag_meanwhile() {
    watched(|| {
        for (read, write) in pipes() {
            let (theirs, theirs_too) = (copy(&read), copy(&write));
            let mut reader = Reader::try_from(read).unwrap();
            let mut writer = Writer::try_from(write).unwrap();
            for nonblocking in [true, false, true, false] {
                expect_late(|| reader.read_timeout(&mut [0; 8], SHORT));
                ioctl_fionbio(&theirs, nonblocking).unwrap();
                expect_late(|| reader.read_timeout(&mut [0; 8], SHORT));
                assert_eq!(waits(&theirs), !nonblocking);
                let error = reader.try_read(&mut [0; 8]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                fill(&mut writer);
                ioctl_fionbio(&theirs_too, nonblocking).unwrap();
                expect_late(|| writer.write_timeout(&[7; 4096], SHORT));
                expect_late(|| writer.write_timeout(&[7; 100_000], SHORT));
                assert_eq!(waits(&theirs_too), !nonblocking);
                while reader.try_read(&mut [0; 65_536]).is_ok() {}
            }
        }
    });
}

#[test]
fn an_end_waits_when_others_want_that_nobody_waits() {
    watched(|| {
        for (read, write) in pipes() {
            ioctl_fionbio(&read, true).unwrap();
            ioctl_fionbio(&write, true).unwrap();
            let mut reader = Reader::try_from(copy(&read)).unwrap();
            let mut writer = Writer::try_from(copy(&write)).unwrap();
            let (reading, waiters) = (Waiters::this(), Waiters::default());
            let writing = thread::spawn(waiters.with(move || {
                reading.asleep();
                writer.write_all(&[7; 1 << 20]).unwrap();
                writer
            }));
            let mut buf = vec![0; 1 << 20];
            reader.read_exact(&mut buf[..1]).unwrap();
            waiters.asleep();
            reader.read_exact(&mut buf[1..]).unwrap();
            let writer = writing.join().unwrap();
            // What is given away is as it came.
            for fd in [OwnedFd::from(reader), OwnedFd::from(writer)] {
                assert!(!waits(fd));
            }
        }
    });
}

#[test]
fn a_connection_that_others_have_as_well_is_not_changed() {
    watched(|| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = OwnedFd::from(ours);
        for nonblocking in [true, false, true] {
            ioctl_fionbio(&ours, nonblocking).unwrap();
            let mut connection = Connection::try_from(copy(&ours)).unwrap();
            expect_late(|| connection.reader().read_timeout(&mut [0; 8], SHORT));
            ioctl_fionbio(&ours, !nonblocking).unwrap();
            expect_late(|| connection.reader().read_timeout(&mut [0; 8], SHORT));
            ioctl_fionbio(&ours, nonblocking).unwrap();
            let reading = Waiters::this();
            let answering = thread::spawn(move || {
                reading.asleep();
                theirs.write_all(b"late").unwrap();
                let mut much = vec![0; 1 << 20];
                theirs.read_exact(&mut much).unwrap();
                theirs
            });
            connection.read_exact(&mut [0; 4]).unwrap();
            connection.write_all(&[7; 1 << 20]).unwrap();
            theirs = answering.join().unwrap();
            while connection.writer().try_write(&[7; 4096]).is_ok() {}
            expect_late(|| connection.writer().write_timeout(&[7; 100_000], SHORT));
            assert_eq!(waits(&ours), !nonblocking);
            let fd = OwnedFd::from(connection);
            assert_eq!(waits(&fd), !nonblocking);
            theirs.set_nonblocking(true).unwrap();
            while theirs.read(&mut [0; 65_536]).is_ok() {}
            theirs.set_nonblocking(false).unwrap();
        }
    });
}

/// Another process sets and clears the flag, over and over.
#[test]
fn a_flag_that_another_process_sets_and_clears_holds_up_nobody() {
    watched(|| {
        for (read, write) in pipes() {
            let shells = [&read, &write].map(|fd| {
                let mut shell =
                    Shell::run("exec $ours", "neighbours toggles threads -", 0, |command| {
                        command.stdin(copy(fd)).stderr(Stdio::piped());
                    });
                let mut stderr = BufReader::new(shell.0.stderr.take().unwrap());
                stderr.read_until(peer::READY, &mut Vec::new()).unwrap();
                shell
            });
            let mut reader = Reader::try_from(copy(&read)).unwrap();
            let mut writer = Writer::try_from(copy(&write)).unwrap();
            for _ in 0..20 {
                expect_late(|| reader.read_timeout(&mut [0; 8], SHORT));
                fill(&mut writer);
                expect_late(|| writer.write_timeout(&[7; 4096], SHORT));
                while reader.try_read(&mut [0; 65_536]).is_ok() {}
            }
            let reading = Waiters::this();
            let writing = thread::spawn(move || {
                for number in 0..50_u8 {
                    reading.asleep();
                    writer.write_all(&vec![number; 100_000]).unwrap();
                }
            });
            for number in 0..50 {
                let mut buf = vec![0; 100_000];
                reader.read_exact(&mut buf).unwrap();
                assert!(buf.iter().all(|byte| *byte == number));
            }
            writing.join().unwrap();
            drop(shells);
        }
    });
}

#[test]
fn an_end_that_waits_by_itself_uses_no_processor() {
    watched(|| {
        for (read, write) in pipes() {
            ioctl_fionbio(&read, true).unwrap();
            let mut shell = Shell::run("exec $ours", "neighbours idles threads -", 0, |command| {
                command.stdin(copy(&read)).stderr(Stdio::piped());
            });
            // Kept until the end: the harness of the child says something there.
            let mut stderr = BufReader::new(shell.0.stderr.take().unwrap());
            stderr.read_until(peer::READY, &mut Vec::new()).unwrap();
            // The time is what is tested: it tells what it used of it.
            thread::sleep(Duration::from_secs(1));
            rustix::io::write(&write, b"x").unwrap();
            shell.join();
        }
    });
}

/// An end that was opened by its path is nobody else's until its descriptor is passed on.
#[test]
fn a_child_that_is_given_the_descriptor_of_an_end_finds_it_waiting() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().open().unwrap();
        assert_eq!(reader.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut writer = WriteEnd::from(path).open().unwrap();
        let fds = [copy(&reader), copy(&writer)];
        assert!(fds.iter().all(waits));
        let mut cat = Command::new("cat");
        cat.stdin(copy(&reader)).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // `Command` keeps what it is given, and with it a reader.
        let mut cat = Shell(cat.spawn().unwrap());
        let mut said = BufReader::new(cat.0.stdout.take().unwrap());
        for _ in 0..3 {
            // Ours are used meanwhile, and change nothing.
            while writer.try_write(b"one\n").is_err() {}
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            assert_eq!(line, "one\n");
            expect_late(|| reader.read_timeout(&mut [0; 8], SHORT));
            assert!(fds.iter().all(waits));
        }
        drop((fds, writer));
        assert_eq!(said.read_line(&mut String::new()).unwrap(), 0);
        drop(said);
        cat.join();
    });
}

#[test]
fn an_end_that_arrives_beside_a_message_is_left_as_it_is() {
    watched(|| {
        for nonblocking in [false, true] {
            for (read, write) in pipes() {
                ioctl_fionbio(&read, nonblocking).unwrap();
                ioctl_fionbio(&write, nonblocking).unwrap();
                let (client, server) = Connection::pair().unwrap();
                let agreeing = thread::spawn(move || server.into_typed().unwrap());
                let mut giver: TypedConnection<WithHandles<()>, ()> = client.into_typed().unwrap();
                let mut taker: TypedConnection<(), WithHandles<()>> = agreeing.join().unwrap();
                let mut handles = Handles::new();
                handles.add(copy(&read));
                handles.add(copy(&write));
                giver.send_with_handles(&(), &mut handles).unwrap();
                let ((), mut handles) = taker.recv_with_handles().unwrap();
                let mut reader: Reader = handles.take(0).unwrap();
                let mut writer: Writer = handles.take(1).unwrap();
                expect_late(|| reader.read_timeout(&mut [0; 8], SHORT));
                fill(&mut writer);
                expect_late(|| writer.write_timeout(&[7; 4096], SHORT));
                for fd in [&read, &write] {
                    assert_eq!(waits(fd), !nonblocking);
                }
                let given = OwnedFd::from(reader);
                drop(writer);
                for fd in [&read, &write, &given] {
                    assert_eq!(waits(fd), !nonblocking);
                }
            }
        }
    });
}

/// The output and the input of a child are pipes that it may share with its own children.
#[test]
fn the_streams_of_a_child_are_read_and_written_with_deadlines() {
    watched(|| {
        let mut cat = Command::new("cat");
        let mut cat = Shell(cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let (stdin, stdout) = (cat.0.stdin.take().unwrap(), cat.0.stdout.take().unwrap());
        let mut sender = Writer::try_from(OwnedFd::from(stdin)).unwrap().into_sender::<u32>();
        let end = Reader::try_from(OwnedFd::from(stdout)).unwrap();
        let fd = copy(&end);
        let mut receiver = end.into_receiver::<u32>();
        for number in 0..3 {
            expect_late(|| receiver.recv_timeout(SHORT));
            sender.send_timeout(&number, LONG).unwrap();
            assert_eq!(receiver.recv_timeout(LONG).unwrap(), number);
            assert!(waits(&fd));
        }
        sender.finish().unwrap();
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
        cat.join();
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use tokio::time::timeout;

    use super::*;

    fn in_runtime<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    /// A task would hold up its whole runtime.
    #[test]
    fn a_task_is_not_held_up_when_others_clear_the_flag() {
        watched(|| {
            for (read, write) in pipes() {
                let theirs = [copy(&read), copy(&write)];
                in_runtime(async {
                    let reader = Reader::try_from(read).unwrap();
                    let writer = Writer::try_from(write).unwrap();
                    let mut reader = reader.into_tokio().unwrap();
                    let mut writer = writer.into_tokio().unwrap();
                    for nonblocking in [false, true, false] {
                        assert!(timeout(SHORT, reader.read(&mut [0; 8])).await.is_err());
                        theirs.iter().for_each(|fd| ioctl_fionbio(fd, nonblocking).unwrap());
                        assert!(timeout(SHORT, reader.read(&mut [0; 8])).await.is_err());
                        let filling = async {
                            loop {
                                writer.write(&[7; 4096]).await.unwrap();
                            }
                        };
                        assert!(timeout(SHORT, filling).await.is_err());
                        theirs.iter().for_each(|fd| ioctl_fionbio(fd, !nonblocking).unwrap());
                        assert!(timeout(SHORT, writer.write(&[7; 4096])).await.is_err());
                        // It is woken when there is room.
                        let reading = async {
                            let mut bytes = 0;
                            while bytes < 340_000 {
                                bytes += reader.read(&mut [0; 65_536]).await.unwrap();
                            }
                        };
                        let writing = async {
                            let mut bytes = 0;
                            while bytes < 300_000 {
                                bytes += writer.write(&[7; 50_000]).await.unwrap();
                            }
                        };
                        timeout(LONG, async { tokio::join!(reading, writing) }).await.unwrap();
                        theirs.iter().for_each(|fd| assert_eq!(waits(fd), nonblocking));
                    }
                    // The end of the writers is seen as well.
                    drop((writer, theirs));
                    while reader.read(&mut [0; 65_536]).await.unwrap() > 0 {}
                });
            }
        });
    }
}

/// What the processes do that have a pipe together with others.
pub(crate) mod roles {
    use super::*;

    /// The role says what is done, by whom, and how the pipe is left; the place of the path is the descriptor's.
    pub(crate) fn play(role: &str, fd: &Path) {
        let mut words = role.split(' ').skip(1);
        let mut word = || words.next().unwrap();
        let (act, tasks, leave) = (word(), word() == "tasks", word());
        let fd = inherited(fd.to_str().unwrap().parse().unwrap());
        match act {
            "reads" if tasks => task_reads(fd, leave),
            "reads" => reads(fd, leave),
            "writes" if tasks => task_writes(fd, leave),
            "writes" => writes(fd, leave),
            "toggles" => toggles(&fd),
            "idles" => idles(fd),
            other => panic!("no role {other}"),
        }
    }

    #[allow(unsafe_code, reason = "only the number of an inherited descriptor is known")]
    fn inherited(number: i32) -> OwnedFd {
        // SAFETY: the shell has opened it for this process, and nothing here closes it.
        copy(unsafe { BorrowedFd::borrow_raw(number) })
    }

    fn reads(fd: OwnedFd, leave: &str) {
        let mut end = Reader::try_from(fd).unwrap();
        let mut line = [0; 6];
        assert_eq!(end.read_timeout(&mut line, LONG).unwrap(), 6);
        assert_eq!(&line, b"first\n");
        expect_late(|| end.read_timeout(&mut line, SHORT));
        assert_eq!(end.try_read(&mut line).unwrap_err().kind(), ErrorKind::WouldBlock);
        match leave {
            "dropping" => drop(end),
            "giving" => drop(OwnedFd::from(end)),
            "refused" => drop(Writer::try_from(OwnedFd::from(end)).unwrap_err().into_state()),
            _ => killed(),
        }
    }

    fn writes(fd: OwnedFd, leave: &str) {
        let mut end = Writer::try_from(fd).unwrap();
        while end.try_write(b"ours\n").is_ok() {}
        expect_late(|| end.write_timeout(b"ours\n", SHORT));
        match leave {
            "dropping" => drop(end),
            "giving" => drop(OwnedFd::from(end)),
            "refused" => drop(Reader::try_from(OwnedFd::from(end)).unwrap_err().into_state()),
            _ => killed(),
        }
    }

    #[cfg(feature = "tokio")]
    fn task_reads(fd: OwnedFd, leave: &str) {
        let runtime = runtime();
        let end = runtime.block_on(async {
            let mut end = Reader::try_from(fd).unwrap().into_tokio().unwrap();
            let mut line = [0; 6];
            assert_eq!(end.read(&mut line).await.unwrap(), 6);
            assert!(tokio::time::timeout(SHORT, end.read(&mut line)).await.is_err());
            if leave == "killed" {
                killed();
            }
            end
        });
        // The runtime ends before the end does.
        drop(runtime);
        match leave {
            "dropping" => drop(end),
            "giving" => drop(OwnedFd::from(end.into_blocking())),
            _ => drop(end.into_blocking().into_tokio().unwrap_err()),
        }
    }

    #[cfg(feature = "tokio")]
    fn task_writes(fd: OwnedFd, leave: &str) {
        let runtime = runtime();
        let end = runtime.block_on(async {
            let mut end = Writer::try_from(fd).unwrap().into_tokio().unwrap();
            let filling = async {
                loop {
                    assert_eq!(end.write(b"ours\n").await.unwrap(), 5);
                }
            };
            assert!(tokio::time::timeout(SHORT * 10, filling).await.is_err());
            if leave == "killed" {
                killed();
            }
            end
        });
        drop(runtime);
        match leave {
            "dropping" => drop(end),
            "giving" => drop(OwnedFd::from(end.into_blocking())),
            _ => drop(end.into_blocking().into_tokio().unwrap_err()),
        }
    }

    #[cfg(feature = "tokio")]
    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[cfg(not(feature = "tokio"))]
    use self::{reads as task_reads, writes as task_writes};

    fn killed() {
        use rustix::process::{Signal, getpid, kill_process};
        kill_process(getpid(), Signal::KILL).unwrap();
    }

    fn toggles(fd: &OwnedFd) {
        for round in 0_u64.. {
            ioctl_fionbio(fd, round % 2 == 0).unwrap();
            if round == 10 {
                std::io::stderr().write_all(&[peer::READY]).unwrap();
            }
            if round % 100 == 0 {
                thread::yield_now();
            }
        }
    }

    fn idles(fd: OwnedFd) {
        let mut end = Reader::try_from(fd).unwrap();
        std::io::stderr().write_all(&[peer::READY]).unwrap();
        let (used, since) = (peer::unix::processor_time(), Instant::now());
        assert_eq!(end.read(&mut [0]).unwrap(), 1);
        let used = peer::unix::processor_time() - used;
        assert!(used < since.elapsed() / 10, "used {used:?} while waiting");
    }
}
