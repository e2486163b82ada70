//! Children that are started with a typed connection to their parent.

use std::env;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use typed_pipe::{
    CancelToken, ConnectOptions, Connection, ErrorKind, Handshake, Listener, TypedConnection,
    process,
};

use crate::peer;
use crate::support::{started, until, watched};

const PARENT: &str = "TYPED_PIPE_PARENT";

const SHORT: Duration = Duration::from_millis(50);

/// What a child says, and what it is told.
type ToChild = TypedConnection<String, String>;

/// Starts this program as a child in a role.
fn start(role: &str) -> (ToChild, Child) {
    process::spawn(&mut peer::program(role, "")).unwrap()
}

/// Ends a child that is not to end by itself.
fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The variables of a command that tell of a connection.
fn told(command: &Command) -> Vec<&std::ffi::OsStr> {
    command.get_envs().filter(|(name, _)| *name == PARENT).filter_map(|(_, value)| value).collect()
}

#[test]
fn a_child_and_its_parent_talk_until_one_of_them_ends() {
    watched(|| {
        let mut command = peer::program("child echo", "");
        for round in 0..2 {
            let (mut worker, mut child) = process::spawn::<String, String>(&mut command).unwrap();
            worker.send(&format!("round {round}")).unwrap();
            assert_eq!(worker.recv().unwrap(), format!("round {round}!"));
            assert!(told(&command).is_empty(), "the next child would find what is not for it");
            drop(worker);
            assert!(child.wait().unwrap().success());
        }
        // A child that nothing was prepared for finds nothing.
        let mut command = peer::program("child orphan", "");
        assert!(command.status().unwrap().success());
    });
}

#[test]
fn two_commands_at_once_have_children_of_their_own() {
    watched(|| {
        let (mut one, first) = start("child echo");
        let (mut two, second) = start("child echo");
        one.send(&"one".into()).unwrap();
        two.send(&"two".into()).unwrap();
        assert_eq!((one.recv().unwrap(), two.recv().unwrap()), ("one!".into(), "two!".into()));
        for mut child in [(one, first), (two, second)].map(|(side, child)| (drop(side), child).1) {
            assert!(child.wait().unwrap().success());
        }
    });
}

#[cfg(feature = "service")]
#[test]
fn a_host_and_the_plugin_that_it_starts_call_each_other() {
    use typed_pipe::{Client, Service};

    watched(|| {
        let mut command = peer::program("child plugin", "");
        let (plugin, mut child) = ConnectOptions::new().spawn(&mut command).unwrap();
        assert!(told(&command).is_empty());
        let host = Service::<u32, String>::over(plugin);
        let (plugin, serving) = host
            .both_ways(|_: Client<String, String>| |number| format!("number {number}"))
            .unwrap();
        assert_eq!(plugin.call(&"hello, ".into()).unwrap(), "hello, number 7");

        child.kill().unwrap();
        child.wait().unwrap();
        let error = plugin.call(&"hello, ".into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        assert!(error.to_string().starts_with("cannot call the service"), "{error}");
        serving.wait().unwrap();
    });
}

#[test]
fn a_connection_to_a_child_is_one_of_bytes() {
    watched(|| {
        let options = ConnectOptions::new().buffer_size(1 << 16);
        let (mut worker, mut child) =
            options.spawn(&mut peer::program("child echo-bytes", "")).unwrap();
        worker.writer().write_all(b"bytes").unwrap();
        let mut back = [0; 5];
        worker.reader().read_exact(&mut back).unwrap();
        assert_eq!(&back, b"bytes");
        drop(worker);
        assert!(child.wait().unwrap().success());

        let error = options.spawn(&mut Command::new("/no/program")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    });
}

#[test]
fn a_child_that_never_takes_its_side_ends_the_first_wait() {
    watched(|| {
        let mut command = peer::program("child leave", "");
        match ConnectOptions::new().spawn(&mut command) {
            Ok((mut worker, mut child)) if cfg!(unix) => {
                assert_eq!(worker.reader().read(&mut [0]).unwrap(), 0);
                assert_eq!(child.wait().unwrap().code(), Some(7));
            }
            other => assert_eq!(other.unwrap_err().kind(), ErrorKind::ChildExited),
        }
    });
}

#[test]
fn a_token_ends_the_waits_for_a_child() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let token = CancelToken::new().unwrap();
        let options = ConnectOptions::new().cancelled_by(&token);
        let mut command = peer::program("child silent", listener.path());
        let waiting = thread::spawn(move || {
            let (mut worker, child) = options.spawn(&mut command)?;
            let read = worker.reader().read(&mut [0]);
            end(child);
            read
        });
        let mut child = listener.accept().unwrap(); // it never takes its side
        token.cancel();
        let error = waiting.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert_eq!(child.reader().read(&mut [0]).unwrap(), 0); // it is dead
    });
}

#[test]
fn a_child_that_dies_before_its_handshake_is_not_waited_for() {
    watched(|| {
        let terms = Handshake::new().timeout(Duration::MAX);
        let command = &mut peer::program("child leave", "");
        let error = terms.spawn::<String, String>(command).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChildExited, "{error}");
        assert!(error.to_string().contains("the child process ended"), "{error}");
        assert!(error.to_string().contains('7'), "no status: {error}");
    });
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let error = process::spawn::<u32, u32>(&mut Command::new("./no-such-program")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().starts_with("cannot start a child: the program `./no-such-program`"));
}

#[test]
fn a_child_that_never_answers_is_killed_at_the_deadline() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let command = &mut peer::program("child silent", listener.path());
        let terms = Handshake::new().timeout(SHORT);
        let error = terms.spawn::<String, String>(command).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        // It connects and waits for ever, or was killed before that.
        if let Ok(mut client) = listener.accept_timeout(SHORT) {
            assert_eq!(client.reader().read(&mut [0]).unwrap(), 0);
        }
    });
}

#[test]
fn other_types_are_an_error_on_both_sides() {
    watched(|| {
        let command = &mut peer::program("child of-other-types", "");
        let error = process::spawn::<u64, Vec<u8>>(command).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    });
}

#[test]
fn the_death_of_a_child_ends_each_wait() {
    watched(|| {
        let (worker, child) = start("child stand-still");
        let (mut sender, mut receiver) = worker.split();
        let receiving = thread::spawn(move || receiver.recv().unwrap_err());
        let sending = thread::spawn(move || {
            let much = "x".repeat(100_000);
            loop {
                if let Err(error) = sender.send(&much) {
                    return error; // it never reads
                }
            }
        });
        end(child);
        for waiting in [receiving, sending] {
            let error = waiting.join().unwrap();
            assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
        }
    });
}

#[test]
fn the_death_of_a_parent_ends_each_wait() {
    // It comes after the child took the connection, or before that.
    let late = if cfg!(unix) { "Disconnected" } else { "NotAPipe" };
    for (role, kind) in [("child heir", "Disconnected"), ("child late-heir", late)] {
        watched(move || {
            let listener = Listener::temporary().unwrap();
            let parent = peer::start(&format!("child parent of {role}"), listener.path());
            let child = listener.accept().unwrap();
            let mut child = child.into_typed::<(), String>().unwrap();
            assert_eq!(child.recv().unwrap(), "waits");
            parent.kill();
            child.send(&()).unwrap();
            assert_eq!(child.recv().unwrap(), kind, "{role}");
        });
    }
}

#[test]
fn a_grandchild_holds_no_connection_open() {
    // It is started before the child takes the connection, or after that.
    for (role, kind) in [("child early-grandchild", "InUse"), ("child late-grandchild", "NotFound")]
    {
        watched(move || {
            let listener = Listener::temporary().unwrap();
            let command = &mut peer::program(role, listener.path());
            let (mut worker, child) = process::spawn::<String, String>(command).unwrap();
            assert_eq!(worker.recv().unwrap(), "taken");
            let grandchild = listener.accept().unwrap();
            let mut grandchild = grandchild.into_typed::<(), String>().unwrap();
            assert_eq!(grandchild.recv().unwrap(), kind, "{role}");
            end(child);
            assert_eq!(worker.recv().unwrap_err().kind(), ErrorKind::Disconnected, "{role}");
            // It lives on.
            assert_eq!(grandchild.receiver().try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        });
    }
}

#[test]
fn what_leads_to_no_parent_has_its_name() {
    watched(|| {
        let name = |told: &str| {
            let mut command = peer::program("child of-nobody", "");
            let output = command.env(PARENT, told).stdout(Stdio::piped()).output().unwrap();
            assert!(output.status.success(), "{told}: {output:?}");
        };
        // No number, none that is open, one of another file, a name that is none.
        for told in ["", "x", "3", "-1:1", "1000000:1", "0:1", "1:12", "99999999999999:1"] {
            name(told);
        }
        let gone = Listener::temporary().unwrap().path().clone();
        name(gone.as_path().to_str().unwrap());
    });
}

/// Whichever threads start programs at the same moment.
#[test]
fn children_that_start_at_once_inherit_nothing_of_each_other() {
    watched(|| {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..8 {
                        let (mut worker, mut child) = start("child count");
                        let sockets = worker.recv().unwrap();
                        assert_eq!(sockets, if cfg!(target_os = "linux") { "1 0" } else { "0 0" });
                        drop(worker);
                        assert!(child.wait().unwrap().success());
                    }
                });
            }
        });
    });
}

#[cfg(target_os = "linux")]
#[test]
fn children_that_fail_leave_nothing_behind() {
    watched(|| peer::start("child spawn-in-vain", "").join());
}

#[cfg(unix)]
#[test]
fn a_shell_in_between_hands_the_connection_on() {
    watched(|| {
        let mut command = Command::new("sh");
        command.args(["-c", "\"$0\" \"$@\"; sleep 60"]).arg(env::current_exe().unwrap());
        peer::cast(&mut command, "child echo", Path::new(""), 0).args(peer::PLAY);
        let (mut worker, child) =
            process::spawn::<String, String>(command.stdout(Stdio::null())).unwrap();
        worker.send(&"through".into()).unwrap();
        assert_eq!(worker.recv().unwrap(), "through!");
        worker.send(&"leave".into()).unwrap();
        // The shell lives on, and holds nothing open.
        assert_eq!(worker.recv().unwrap_err().kind(), ErrorKind::Disconnected);
        end(child);
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    pub(super) fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn tasks_have_children() {
        watched(|| {
            runtime().block_on(async {
                let terms = Handshake::new().into_tokio();
                let mut command = peer::program("child echo-in-a-task", "");
                let spawning = terms.spawn::<String, String>(&mut command);
                let (mut worker, mut child) = spawning.await.unwrap();
                worker.send(&"task".into()).await.unwrap();
                assert_eq!(worker.recv().await.unwrap(), "task!");
                assert_eq!(child.try_wait().unwrap(), None);
                end(child);
                assert_eq!(worker.recv().await.unwrap_err().kind(), ErrorKind::Disconnected);

                let mut command = peer::program("child leave", "");
                let terms = terms.timeout(Duration::MAX);
                let error = terms.spawn::<String, String>(&mut command).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ChildExited, "{error}");
            });
        });
    }

    #[test]
    fn tasks_have_children_by_a_connection_of_bytes() {
        watched(|| {
            runtime().block_on(async {
                let options = ConnectOptions::new().into_tokio();
                let mut command = peer::program("child echo-bytes", "");
                let (mut worker, mut child) = options.spawn(&mut command).await.unwrap();
                worker.writer().write_all(b"bytes").await.unwrap();
                let mut back = [0; 5];
                worker.reader().read_exact(&mut back).await.unwrap();
                assert_eq!(&back, b"bytes");
                drop(worker);
                assert!(child.wait().unwrap().success());
            });
        });
    }

    #[test]
    fn a_future_that_is_dropped_kills_its_child() {
        watched(|| {
            runtime().block_on(async {
                let listener = Listener::temporary().unwrap().into_tokio().unwrap();
                let mut command = peer::program("child silent", listener.path());
                let terms = Handshake::new().into_tokio().timeout(Duration::MAX);
                let mut client = tokio::select! {
                    spawned = terms.spawn::<String, String>(&mut command) => {
                        panic!("the child says nothing: {:?}", spawned.map(drop))
                    }
                    client = listener.accept() => client.unwrap(),
                };
                assert_eq!(client.reader().read(&mut [0]).await.unwrap(), 0);
            });
        });
    }
}

/// What the child does.
pub(crate) fn play(role: &str, name: &Path) {
    let take = || process::parent::<String, String>().unwrap();
    let (_, role) = role.split_once(' ').unwrap();
    match role {
        "echo" => {
            let mut parent = take();
            assert_eq!(kind_of_another(), ErrorKind::InUse);
            while let Ok(word) = parent.recv() {
                if word == "leave" {
                    return;
                }
                parent.send(&format!("{word}!")).unwrap();
            }
        }
        "echo-bytes" => {
            let mut parent = ConnectOptions::new().parent().unwrap();
            let error = ConnectOptions::new().parent().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InUse);
            let mut bytes = [0; 5];
            while parent.reader().read_exact(&mut bytes).is_ok() {
                parent.writer().write_all(&bytes).unwrap();
            }
        }
        #[cfg(feature = "service")]
        "plugin" => {
            use typed_pipe::{Client, Error, Service};

            let parent = ConnectOptions::new().parent().unwrap();
            let (_, serving) = Service::<String, String>::over(parent)
                .both_ways(|host: Client<u32, String>| {
                    move |greeting| Ok::<_, Error>(greeting + &host.call(&7)?)
                })
                .unwrap();
            serving.wait().unwrap();
        }
        #[cfg(feature = "tokio")]
        "echo-in-a-task" => tasks::runtime().block_on(async {
            let parent = Handshake::new().into_tokio().parent::<String, String>();
            let mut parent = parent.await.unwrap();
            while let Ok(word) = parent.recv().await {
                parent.send(&format!("{word}!")).await.unwrap();
            }
        }),
        "orphan" => assert_eq!(kind_of_another(), ErrorKind::NotFound),
        "of-nobody" => {
            assert_eq!(kind_of_another(), ErrorKind::NotAPipe);
            println!("the standard output is still open");
        }
        "of-other-types" => assert_eq!(kind_of_another(), ErrorKind::Mismatch),
        "leave" => std::process::exit(7),
        "silent" => {
            let _ = Connection::connect(name).unwrap().reader().read(&mut [0]);
        }
        "stand-still" => {
            let _parent = take();
            loop {
                thread::park();
            }
        }
        "count" => {
            let before = sockets();
            let mut parent = take();
            // The connection itself, in place of what led to it.
            let after = sockets() - before;
            parent.send(&format!("{before} {after}")).unwrap();
            let _ = parent.recv();
        }
        "heir" | "late-heir" => {
            let parent = (role == "heir").then(take);
            let mut test = TypedConnection::<String, ()>::connect(name).unwrap();
            test.send(&"waits".into()).unwrap();
            let waited = parent.map(|mut parent| parent.recv().unwrap_err().kind());
            test.recv().unwrap(); // its parent is dead
            let kind = waited.unwrap_or_else(kind_of_another);
            test.send(&format!("{kind:?}")).unwrap();
        }
        "early-grandchild" => {
            let mut grandchild = start_grandchild(name, Stdio::piped());
            let mut parent = take();
            grandchild.stdin.take(); // from now on it may ask
            parent.send(&"taken".into()).unwrap();
            grandchild.wait().unwrap();
        }
        "late-grandchild" => {
            let mut parent = take();
            assert_eq!(env::var_os(PARENT), None);
            let mut grandchild = start_grandchild(name, Stdio::null());
            parent.send(&"taken".into()).unwrap();
            grandchild.wait().unwrap();
        }
        "grandchild" => {
            peer::await_go();
            let kind = format!("{:?}", kind_of_another());
            let mut parent = TypedConnection::<String, ()>::connect(name).unwrap();
            parent.send(&kind).unwrap();
            let _ = parent.recv(); // until the test has seen enough
        }
        "spawn-in-vain" => {
            let left = || (peer::count("/proc/self/fd"), peer::count("/proc/self/task"));
            let mut command = Command::new("false");
            let before = left();
            for _ in 0..50 {
                let error = process::spawn::<u32, u32>(&mut command).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ChildExited, "{error}");
                process::spawn::<u32, u32>(&mut Command::new("/no/program")).unwrap_err();
            }
            until(|| left() == before);
            let children = || std::fs::read_to_string("/proc/thread-self/children").unwrap();
            until(|| children().is_empty());
        }
        other => {
            let child = other.strip_prefix("parent of ").expect("a role");
            let _child = process::spawn::<String, String>(&mut peer::program(child, name));
            loop {
                thread::park();
            }
        }
    }
}

/// Why there is no further connection to a parent.
fn kind_of_another() -> ErrorKind {
    let error = process::parent::<String, String>().unwrap_err();
    assert!(error.to_string().starts_with("cannot "), "{error}");
    error.kind()
}

fn start_grandchild(name: &Path, stdin: Stdio) -> Child {
    started(peer::program("child grandchild", name).stdin(stdin)).unwrap()
}

/// How many sockets this process has, beside the standard streams.
fn sockets() -> usize {
    if !cfg!(target_os = "linux") {
        return 0;
    }
    let open = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let is_socket = |path: &std::path::PathBuf| {
        let number = path.file_name().unwrap().to_str().unwrap().parse::<u32>().unwrap();
        let file = std::fs::read_link(path).unwrap_or_default();
        number > 2 && file.to_string_lossy().starts_with("socket:")
    };
    open.filter(is_socket).count()
}
