//! A child process as the other side: its end is noticed, whatever is waited for.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use typed_pipe::{Connection, ErrorKind, Handshake, Listener, Pipe};

use crate::peer;
use crate::support::{Folder, started, watched};

const SHORT: Duration = Duration::from_millis(50);

/// A process that has ended, or is about to end, and does nothing else.
fn dead() -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "no-such-test"]).stdout(Stdio::null());
    started(&mut command).unwrap()
}

#[test]
fn a_child_that_dies_before_it_connects_is_not_waited_for() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut child = dead();
        let error = listener.accept_with(&child).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChildExited, "{error}");
        assert!(error.to_string().contains("ended before it connected (exit"), "{error}");
        // Its status is still there for whom it belongs to, and is known no longer afterwards.
        assert!(child.wait().unwrap().success());
        let error = listener.accept_with(&child).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChildExited, "{error}");
        // One that lives is waited for.
        let mut peer = peer::start("wait", "nothing");
        let error = listener.accept_with_timeout(peer.process(), SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        peer.proceed();
        peer.join();
    });
}

#[test]
fn a_child_that_connects_and_dies_is_accepted_all_the_same() {
    watched(|| {
        let folder = Folder::new();
        let listener = Listener::bind(folder.name("door")).unwrap();
        let mut peer = peer::start("greet-and-leave", listener.path());
        if cfg!(unix) {
            // It needs nobody for that.
            peer.process().wait().unwrap();
        }
        let mut client = listener.accept_with(peer.process()).unwrap();
        let mut words = String::new();
        client.read_to_string(&mut words).unwrap();
        assert_eq!(words, "hello");
    });
}

#[test]
fn two_ends_watch_one_child() {
    watched(|| {
        let pipes = [(); 2].map(|()| Pipe::temporary().unwrap().into_writer());
        let (mut reader, child) =
            (Pipe::temporary().unwrap().into_reader().open().unwrap(), dead());
        let listener = Listener::temporary().unwrap();
        thread::scope(|scope| {
            let opening =
                pipes.map(|end| scope.spawn(|| end.open_with(&child).unwrap_err().kind()));
            let waiting = scope.spawn(|| reader.wait_for_peer(&child).unwrap_err().kind());
            let accepting = scope.spawn(|| listener.accept_with(&child).unwrap_err().kind());
            for watching in opening.into_iter().chain([waiting, accepting]) {
                assert_eq!(watching.join().unwrap(), ErrorKind::ChildExited);
            }
        });
        assert!({ child }.wait().unwrap().success());
    });
}

/// The two sides of a connection, the second of which something keeps open that is not the child.
fn kept_open() -> (Connection, Connection) {
    Connection::pair().unwrap()
}

#[test]
fn a_handshake_ends_with_the_child_that_is_to_answer() {
    watched(|| {
        let (ours, kept) = kept_open();
        let mut child = dead();
        let handshake = Handshake::new().timeout(Duration::MAX).watching(&child);
        let error = handshake.perform::<str, String>(ours).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChildExited, "{error}");
        assert!(error.to_string().contains("did its part of the handshake"), "{error}");
        child.wait().unwrap();

        // What it did before its end counts.
        let (ours, mut theirs) = kept_open();
        let mut hello = [0; 1000];
        let mut first = kept;
        let bytes = first.reader().read(&mut hello).unwrap();
        theirs.write_all(&hello[..bytes]).unwrap();
        handshake.perform::<str, String>(ours).unwrap();
    });
}

#[cfg(unix)]
#[test]
fn a_command_that_lives_on_hides_no_dead_child_from_a_handshake() {
    use std::os::fd::OwnedFd;
    watched(|| {
        let (ours, theirs) = kept_open();
        let mut command = Command::new("false");
        command.stdin(OwnedFd::from(theirs));
        let mut child = command.spawn().unwrap();
        let handshake = Handshake::new().timeout(Duration::MAX).watching(&child);
        let error = handshake.perform::<str, String>(ours).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChildExited, "{error}");
        assert_eq!(child.wait().unwrap().code(), Some(1));
        drop(command);
    });
}

/// No status is left of it: the system takes it, or another part of the program does.
#[cfg(unix)]
#[test]
fn a_child_whose_status_another_one_took_has_ended() {
    use rustix::process::{Pid, WaitOptions, waitpid};
    watched(|| {
        let (listener, child) = (Listener::temporary().unwrap(), dead());
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        waitpid(pid, WaitOptions::empty()).unwrap();
        let error = listener.accept_with(&child).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChildExited, "{error}");
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use super::*;

    #[test]
    fn tasks_notice_a_dead_child_whatever_they_wait_for() {
        watched(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let child = dead();
                let writer = Pipe::temporary().unwrap().into_writer().into_tokio();
                let opening = tokio::spawn(writer.open_with(&child)); // which borrows nothing
                let reader = Pipe::temporary().unwrap().into_reader().into_tokio();
                let mut reader = reader.open().await.unwrap();
                let listener = Listener::temporary().unwrap().into_tokio().unwrap();
                let (ours, _kept) = Connection::pair().unwrap();
                let ours = ours.into_tokio().unwrap();
                let handshake = Handshake::new().into_tokio().timeout(Duration::MAX);
                let shaking = handshake.watching(&child).perform::<str, String>(ours);
                let (opened, waited, accepted, shaken) = tokio::join!(
                    opening,
                    reader.wait_for_peer(&child),
                    listener.accept_with(&child),
                    shaking
                );
                assert_eq!(opened.unwrap().unwrap_err().kind(), ErrorKind::ChildExited);
                assert_eq!(waited.unwrap_err().kind(), ErrorKind::ChildExited);
                assert_eq!(accepted.unwrap_err().kind(), ErrorKind::ChildExited);
                assert_eq!(shaken.unwrap_err().kind(), ErrorKind::ChildExited);
                assert!({ child }.wait().unwrap().success());
            });
        });
    }

    #[test]
    fn tasks_wait_for_a_child_that_comes() {
        watched(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let folder = Folder::new();
                let pipe = Pipe::new(folder.name("lines")).unwrap().mkfifo().unwrap();
                let mut peer = peer::start("half-a-message", pipe.path());
                let mut end = pipe.into_reader().into_tokio().open().await.unwrap();
                end.wait_for_peer(peer.process()).await.unwrap();
                end.wait_for_peer_timeout(peer.process(), Duration::ZERO).await.unwrap();
                let mut bytes = [0; 7];
                assert!(end.read(&mut bytes).await.unwrap() > 0);

                let pipe = Pipe::temporary().unwrap();
                let mut peer = peer::start("echo-lines", pipe.path());
                let opening = pipe.into_writer().into_tokio().open_with(peer.process());
                let mut end = opening.await.unwrap();
                end.write(b"one\ntwo\n").await.unwrap();
                drop(end);
                peer.join();

                let listener = Listener::bind(folder.name("door")).unwrap().into_tokio().unwrap();
                let mut peer = peer::start("greet-and-leave", listener.path());
                let mut client = listener.accept_with(peer.process()).await.unwrap();
                assert_eq!(client.reader().read(&mut [0; 8]).await.unwrap(), 5);
                let mut idle = peer::start("wait", "nothing");
                let late = listener.accept_with_timeout(idle.process(), SHORT).await.unwrap_err();
                assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
            });
        });
    }
}
