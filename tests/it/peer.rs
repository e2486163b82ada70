//! The other process: this test program once more, in a role.

use std::env;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use typed_pipe::wire::{Checked, Wire};
use typed_pipe::{ErrorKind, ReadEnd, TypedReceiver, TypedSender, WriteEnd};

use crate::bytes;
use crate::support::started;

const ROLE: &str = "TYPED_PIPE_TEST_ROLE";
const PIPE: &str = "TYPED_PIPE_TEST_PIPE";
const NUMBER: &str = "TYPED_PIPE_TEST_NUMBER";

/// Starts a peer. It is killed when the test is done with it, whatever comes.
pub(crate) fn start(role: &str, pipe: impl AsRef<Path>) -> Peer {
    start_with(role, pipe, 0)
}

/// Starts a peer that is told a number.
pub(crate) fn start_with(role: &str, pipe: impl AsRef<Path>, number: u32) -> Peer {
    run(&mut Command::new(env::current_exe().unwrap()), role, pipe.as_ref(), number)
}

/// Starts a peer that keeps notes in a file.
#[cfg(feature = "fanout")]
pub(crate) fn start_noting(role: &str, pipe: impl AsRef<Path>, notes: &Path) -> Peer {
    let mut command = Command::new(env::current_exe().unwrap());
    run(command.env("TYPED_PIPE_TEST_NOTES", notes), role, pipe.as_ref(), 0)
}

/// Starts a peer through a program that runs what it is told after its own arguments.
#[cfg(unix)]
pub(crate) fn start_through(program: &[&str], role: &str, pipe: impl AsRef<Path>) -> Peer {
    let mut command = Command::new(program[0]);
    run(command.args(&program[1..]).arg(env::current_exe().unwrap()), role, pipe.as_ref(), 0)
}

/// This program in a role, as a command that the test starts itself.
#[cfg(feature = "process")]
pub(crate) fn program(role: &str, pipe: impl AsRef<Path>) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    cast(&mut command, role, pipe.as_ref(), 0).args(PLAY).stdout(Stdio::null());
    command
}

/// The arguments by which this program plays its role.
pub(crate) const PLAY: [&str; 3] = ["--exact", "peer::play", "--nocapture"];

fn run(command: &mut Command, role: &str, pipe: &Path, number: u32) -> Peer {
    let command = cast(command, role, pipe, number).args(PLAY);
    Peer(started(command.stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap())
}

/// Tells this program, which a command may start by others, what it is to do.
pub(crate) fn cast<'a>(
    command: &'a mut Command,
    role: &str,
    pipe: &Path,
    number: u32,
) -> &'a mut Command {
    command.env(ROLE, role).env(PIPE, pipe).env(NUMBER, number.to_string())
}

pub(crate) struct Peer(Child);

impl Peer {
    /// Waits for the peer to end well.
    pub(crate) fn join(mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().unwrap();
        assert!(status.success(), "the peer failed: {status}");
    }

    /// Lets the peer go on to its next step.
    pub(crate) fn proceed(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    }

    /// Waits until the peer says that it has come to a step.
    pub(crate) fn await_step(&mut self, step: u8) {
        self.await_any(&[step]);
    }

    /// Waits until the peer says that it has come to one of some steps: which one.
    pub(crate) fn await_any(&mut self, steps: &[u8]) -> u8 {
        let stdout = self.0.stdout.as_mut().unwrap();
        let mut byte = [0];
        // The test harness of the peer prints lines of its own.
        while !steps.contains(&byte[0]) {
            stdout.read_exact(&mut byte).expect("the peer ended before that step");
        }
        byte[0]
    }

    /// The process itself.
    pub(crate) fn process(&mut self) -> &mut Child {
        &mut self.0
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says to the test that this peer has come to a step: a byte that no test harness prints.
pub(crate) fn step(step: u8) {
    let mut stdout = std::io::stdout();
    stdout.write_all(&[step]).unwrap();
    stdout.flush().unwrap();
}

/// Waits for the test to let this peer go on.
pub(crate) fn await_go() {
    let mut byte = [0];
    let _ = std::io::stdin().read(&mut byte);
}

/// How long the text of "send-once" is, in thirds: more than a pipe holds.
pub(crate) const THIRDS: usize = 60_000;

pub(crate) const READY: u8 = 1;
/// A service that serves, and has not been called yet.
#[cfg(feature = "service")]
pub(crate) const WAITING: u8 = 4;
#[cfg(unix)]
pub(crate) const WON: u8 = 2;
#[cfg(unix)]
pub(crate) const LOST: u8 = 3;

/// Not a test by itself: what the other process does.
#[test]
fn play() {
    let Ok(role) = env::var(ROLE) else { return };
    let pipe = env::var_os(PIPE).unwrap();
    match role.as_str() {
        "count" => {
            let mut sender = TypedSender::<u32>::connect(pipe).unwrap();
            sender.send_all(0..1000).unwrap();
        }
        "echo-lines" => {
            let mut text = String::new();
            ReadEnd::at(pipe).unwrap().open().unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "one\ntwo\n");
        }
        "half-a-message" => {
            // The header announces a hundred bytes, of which three come.
            let mut end = WriteEnd::at(pipe).unwrap().open().unwrap();
            end.write_all(&[0, 0, 0, 100, 1, 2, 3]).unwrap();
            step(READY);
            await_go();
        }
        "receive-one" => {
            let mut receiver = TypedReceiver::<u32>::connect(pipe).unwrap();
            receiver.recv().unwrap();
            step(READY);
            await_go();
        }
        "own" => {
            let pipe = typed_pipe::Pipe::new(pipe).unwrap().mkfifo().unwrap();
            step(READY);
            await_go();
            drop(pipe);
        }
        "flood-over-tcp" => crate::carriers::flood(Path::new(&pipe)),
        #[cfg(feature = "fanout")]
        "collect" => crate::reconnect::collect(Path::new(&pipe)),
        #[cfg(feature = "fanout")]
        "hear-a-broadcast" => crate::broadcast::hear(Path::new(&pipe)),
        "use-what-is-carried" => crate::carried::play(Path::new(&pipe)),
        "open-in-vain" => open_in_vain(&pipe),
        #[cfg(all(feature = "fanout", target_os = "linux"))]
        "select-among-many" => crate::select::among_many(),
        #[cfg(feature = "process")]
        role if role.starts_with("child ") => crate::supervised::play(role, Path::new(&pipe)),
        #[cfg(feature = "service")]
        "serve-and-hang" => crate::service::serve_and_hang(Path::new(&pipe)),
        #[cfg(feature = "service")]
        "call" => crate::service::call(Path::new(&pipe), number()),
        "flood" => {
            let from = u32::try_from(number()).unwrap();
            let wire = Wire::default().with_framing(Checked::default());
            let end = WriteEnd::at(pipe).unwrap().open().unwrap();
            let mut sender = end.into_sender_with::<(u32, u32, String), _, _>(wire);
            for number in 0_u32.. {
                // Some are larger than the pipe.
                let size = if number % 10 == 9 { 100_000 } else { number * 31 % 3000 };
                let letter = char::from(b'a' + number.to_le_bytes()[0] % 26);
                let filling = letter.to_string().repeat(usize::try_from(size).unwrap());
                sender.send(&(from, number, filling)).unwrap();
            }
        }
        #[cfg(unix)]
        "race" => unix::race(&pipe),
        #[cfg(unix)]
        "fork" => unix::fork(&pipe),
        #[cfg(unix)]
        "alarm-storm" => unix::alarm_storm(&pipe),
        #[cfg(unix)]
        "umask" => unix::umask(Path::new(&pipe)),
        #[cfg(unix)]
        "idle-receiver" => unix::idle_receiver(&pipe),
        "send-once" => {
            typed_pipe::send(&pipe, &(1, "one".repeat(THIRDS))).unwrap();
            await_go();
            typed_pipe::send(&pipe, &(2, "two".to_owned())).unwrap();
        }
        #[cfg(feature = "foreign")]
        "pipecom-senders" => {
            let number = env::var(NUMBER).unwrap();
            for round in 0..25 {
                let text = format!("{number}-{round}");
                let answer = typed_pipe::pipecom::send(&pipe, &text).unwrap();
                assert_eq!(answer, format!("answer to {text}"));
            }
        }
        "pour" => {
            let mut sender = TypedSender::<[u8]>::connect(pipe).unwrap();
            bytes::pour(&mut sender, 0..number());
            sender.finish().unwrap();
        }
        "drain" => {
            let mut receiver = TypedReceiver::<Vec<u8>>::connect(pipe).unwrap();
            bytes::expect(&mut receiver, 0..1);
            step(READY);
            bytes::expect(&mut receiver, 1..number());
        }
        #[cfg(all(unix, feature = "tokio"))]
        "idle-task" => unix::idle_task(&pipe),
        "wait" => await_go(),
        "leave" => {
            let end = WriteEnd::at(pipe).unwrap().open().unwrap();
            drop(end);
        }
        other => crate::roles::play(other, Path::new(&pipe)),
    }
}

/// The number that this peer was told.
/// Sets an environment variable of this process, which plays one role alone.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the environment is set before other threads read it")]
pub(crate) fn set_variable(name: &str, value: impl AsRef<OsStr>) {
    // SAFETY: the test harness of this process runs this one test, and no thread reads variables now.
    unsafe { env::set_var(name, value) };
}

pub(crate) fn number() -> usize {
    env::var(NUMBER).unwrap().parse().unwrap()
}

/// A thousand times in vain: no thread and no descriptor is left.
fn open_in_vain(pipe: &OsStr) {
    let before = (count("/proc/self/fd"), count("/proc/self/task"));
    for _ in 0..1000 {
        let end = WriteEnd::at(pipe).unwrap();
        let failed = end.open_timeout(std::time::Duration::from_millis(1)).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut);
    }
    assert_eq!(before, (count("/proc/self/fd"), count("/proc/self/task")));
}

/// How many entries a folder of Linux has.
pub(crate) fn count(folder: &str) -> usize {
    if cfg!(target_os = "linux") { std::fs::read_dir(folder).unwrap().count() } else { 0 }
}

#[cfg(unix)]
pub(crate) mod unix {
    use std::time::{Duration, Instant};

    use rustix::time::{ClockId, clock_gettime};
    use typed_pipe::{OnHangup, Pipe};

    use super::*;

    /// Tries to become the owner of a name, when told to; keeps it until told to go on.
    pub(super) fn race(name: &OsStr) {
        loop {
            if !await_round() {
                return;
            }
            match Pipe::new(name).unwrap().mkfifo() {
                Ok(pipe) => {
                    step(WON);
                    await_go();
                    drop(pipe);
                    step(READY);
                }
                Err(failed) => {
                    assert_eq!(failed.kind(), ErrorKind::InUse, "{failed}");
                    step(LOST);
                }
            }
        }
    }

    pub(crate) fn await_round() -> bool {
        std::io::stdin().read(&mut [0]).unwrap() == 1
    }

    /// A child that was forked off drops what the parent owns.
    #[allow(unsafe_code, reason = "only a fork shows what a forked child does")]
    pub(super) fn fork(name: &OsStr) {
        let pipe = Pipe::new(name).unwrap().mkfifo().unwrap();
        let temporary = Pipe::temporary().unwrap();
        let paths = [pipe.path().clone(), temporary.path().clone()];
        // SAFETY: the child touches nothing that another thread could hold locked, and ends at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop((pipe, temporary));
            // SAFETY: ends this process, and nothing else.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: waits for our own child; a null pointer asks for no status.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        assert!(paths.iter().all(|path| path.as_path().exists()));
        // And the lock is still ours.
        assert_eq!(Pipe::new(name).unwrap().mkfifo().unwrap_err().kind(), ErrorKind::InUse);
        drop((pipe, temporary));
        assert!(!paths.iter().any(|path| path.as_path().exists()));
    }

    /// Sends large messages while a signal comes every millisecond, and interrupts what it can.
    #[allow(unsafe_code, reason = "signals have no safe interface")]
    pub(super) fn alarm_storm(name: &OsStr) {
        extern "C" fn nothing(_: libc::c_int) {}
        let handler: extern "C" fn(libc::c_int) = nothing;
        // SAFETY: all zeros is a valid action: no flags, so that calls are not restarted.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        let millisecond = libc::timeval { tv_sec: 0, tv_usec: 1000 };
        let timer = libc::itimerval { it_interval: millisecond, it_value: millisecond };
        // SAFETY: the action is valid, and its handler does nothing.
        let handled = unsafe { libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) };
        // SAFETY: the timer is a valid one.
        let timed = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
        assert_eq!((handled, timed), (0, 0));
        let mut sender = TypedSender::<str>::connect(name).unwrap();
        for number in 0..20_u8 {
            sender.send(&char::from(b'a' + number).to_string().repeat(1 << 20)).unwrap();
        }
        sender.finish().unwrap();
    }

    /// Makes pipes under several umasks.
    pub(super) fn umask(folder: &Path) {
        use std::os::unix::fs::PermissionsExt;

        use rustix::fs::Mode;
        use typed_pipe::PipeOptions;

        for umask in [0, 0o077, 0o277, 0o777] {
            rustix::process::umask(Mode::from_raw_mode(umask));
            for mode in [0o600, 0o620, 0o666] {
                let name = folder.join("pipe");
                let pipe = PipeOptions::new().mode(mode).at(&name).unwrap().mkfifo().unwrap();
                let is = name.symlink_metadata().unwrap().permissions().mode() & 0o777;
                assert_eq!(is, mode, "umask {umask:o}");
                drop(pipe);
            }
        }
    }

    /// Waits for writers, and for nothing else: a second each time, without using the processor.
    pub(super) fn idle_receiver(name: &OsStr) {
        let pipe = Pipe::new(name).unwrap().mkfifo().unwrap();
        let reader = pipe.into_reader().on_hangup(OnHangup::NextWriter);
        let mut receiver = reader.open().unwrap().into_receiver::<u32>();
        for round in 0..3 {
            let (used, since) = (processor_time(), Instant::now());
            let idle = receiver.recv_timeout(Duration::from_secs(1)).unwrap_err();
            assert_eq!(idle.kind(), ErrorKind::TimedOut);
            let used = processor_time() - used;
            assert!(used < since.elapsed() / 50, "used {used:?} while waiting");
            if round < 2 {
                step(READY);
                assert_eq!(receiver.recv().unwrap(), 7);
            }
        }
    }

    /// The same in a task.
    #[cfg(feature = "tokio")]
    pub(super) fn idle_task(name: &OsStr) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pipe = Pipe::new(name).unwrap().mkfifo().unwrap();
            let reader = pipe.into_reader().on_hangup(OnHangup::NextWriter).into_tokio();
            let mut receiver = reader.open().await.unwrap().into_receiver::<u32>();
            for round in 0..4 {
                let (used, since) = (processor_time(), Instant::now());
                let idle = tokio::time::timeout(Duration::from_secs(1), receiver.recv()).await;
                assert!(idle.is_err());
                let used = processor_time() - used;
                assert!(used < since.elapsed() / 50, "used {used:?} while waiting");
                if round < 3 {
                    step(READY);
                    assert_eq!(receiver.recv().await.unwrap(), 7);
                }
            }
        });
    }

    pub(crate) fn processor_time() -> Duration {
        clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
    }
}
