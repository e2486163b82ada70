//! Two processes, one of which may be killed.

use typed_pipe::{ErrorKind, OnHangup, Pipe};

use crate::peer;
use crate::support::{Folder, watched};

#[test]
fn a_process_receives_what_another_sends() {
    watched(|| {
        let folder = Folder::new();
        let pipe = Pipe::new(folder.name("numbers")).unwrap().mkfifo().unwrap();
        let peer = peer::start("count", pipe.path());
        let receiver = pipe.into_reader().open().unwrap().into_receiver::<u32>();
        assert!(receiver.map(Result::unwrap).eq(0..1000));
        peer.join();
        assert!(folder.entries().is_empty());
    });
}

#[test]
fn a22_a_writer_killed_in_a_message_is_told_from_one_that_ended() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let mut peer = peer::start("half-a-message", pipe.path());
        let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<String>();
        peer.await_step(peer::READY);
        peer.kill();
        let error = receiver.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        assert!(receiver.recv().unwrap_err().is_disconnected());
    });
}

#[test]
fn a13_a_receiver_outlives_a_killed_writer() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.reader().on_hangup(OnHangup::NextWriter);
        let mut receiver = reader.open().unwrap().into_receiver::<u32>();
        let mut killed = peer::start("half-a-message", &path);
        killed.await_step(peer::READY);
        killed.kill();
        let error = receiver.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        let peer = peer::start("count", &path);
        assert!(receiver.by_ref().take(1000).map(Result::unwrap).eq(0..1000));
        peer.join();
    });
}

#[test]
fn a_sender_learns_that_the_receiver_was_killed() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let mut peer = peer::start("receive-one", pipe.path());
        let mut sender = pipe.into_writer().open().unwrap().into_sender::<u32>();
        sender.send(&1).unwrap();
        peer.await_step(peer::READY);
        peer.kill();
        let error = loop {
            // On some systems the first write after the death still finds room.
            if let Err(error) = sender.send(&2) {
                break error;
            }
        };
        assert!(error.is_disconnected(), "{error}");
    });
}
