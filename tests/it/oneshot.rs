//! One value in one call.

use std::thread;
use std::time::Duration;

use typed_pipe::wire::{Checked, Wire};
use typed_pipe::{
    Delivery, ErrorKind, Operation, Pipe, TypedSender, WriteEnd, receive, receive_timeout, send,
    send_timeout,
};

use crate::peer;
use crate::support::{Folder, watched};

const SHORT: Duration = Duration::from_millis(60);

#[test]
fn one_value_goes_to_another_process_in_one_call() {
    watched(|| {
        let folder = Folder::new();
        let (first, second) = (folder.name("answer"), folder.name("answer"));
        let mut peer = peer::start("send-once", &first);
        let (number, text) = receive::<(i32, String)>(&first).unwrap();
        assert_eq!((number, text.len()), (1, 3 * peer::THIRDS));
        assert!(folder.entries().is_empty(), "the pipe is removed");
        peer.proceed();
        let value = loop {
            // On Windows the name lives as long as the sender before has it open.
            match receive::<(i32, String)>(&second) {
                Err(error) if error.kind() == ErrorKind::InUse && cfg!(windows) => {}
                received => break received.unwrap(),
            }
        };
        assert_eq!(value, (2, "two".into()));
        assert!(folder.entries().is_empty());
        peer.join();
    });
}

#[test]
fn a_receiver_of_one_value_leaves_and_its_sender_knows_that_it_was_taken() {
    watched(|| {
        for size in [0, 100, 300_000] {
            for _ in 0..20 {
                let folder = Folder::new();
                let name = folder.name("answer");
                let path = name.clone();
                let sender = thread::spawn(move || send(path, &"x".repeat(size)));
                assert_eq!(receive::<String>(name).unwrap().len(), size);
                let words = sender.join().unwrap().unwrap();
                let known = if cfg!(target_os = "linux") { Delivery::Drained } else { words };
                assert_eq!(words, known);
            }
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_sender_of_one_value_knows_that_it_was_not_taken() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.into_reader().open().unwrap();
        let sender = thread::spawn(move || send(path, "lost"));
        let mut fd = [rustix::event::PollFd::new(&end, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fd, None).unwrap();
        drop(end);
        assert!(sender.join().unwrap().unwrap_err().is_disconnected());
    });
}

#[test]
fn calls_for_one_value_work_with_channels_for_many() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let sender = thread::spawn(move || send(path, &7_u32));
        let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<u32>();
        assert_eq!(receiver.recv().unwrap(), 7);
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
        sender.join().unwrap().unwrap();

        // One that leaves without a word is passed over; one that stays is not waited for.
        let folder = Folder::new();
        let name = folder.name("answer");
        let path = name.clone();
        let sender = thread::spawn(move || {
            drop(WriteEnd::at(&path).unwrap().open().unwrap());
            let mut sender = TypedSender::<u32>::connect(path).unwrap();
            sender.send(&8).unwrap();
            sender
        });
        assert_eq!(receive::<u32>(name).unwrap(), 8);
        drop(sender.join().unwrap());
    });
}

#[test]
fn the_time_of_one_call_is_for_the_whole() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("answer");
        let error = send_timeout(&name, "x", SHORT).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::TimedOut, Operation::OpenWriter));
        let error = receive_timeout::<String>(&name, SHORT).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::TimedOut, Operation::Receive));
        assert!(folder.entries().is_empty());

        let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
        let end = pipe.into_reader().open().unwrap();
        // There is a reader, and it takes nothing.
        let sent = send_timeout(&name, &"x".repeat(1 << 20), SHORT).unwrap_err();
        assert_eq!((sent.kind(), sent.operation()), (ErrorKind::TimedOut, Operation::Send));
        drop(end);
    });
}

#[test]
fn a_checked_value_is_no_plain_one() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let sender = thread::spawn(move || send(path, &[1_u8; 32]));
        let wire = Wire::default().with_framing(Checked::default());
        let mut receiver = wire.of::<[u8; 32]>().receiver(pipe.into_reader().open().unwrap());
        let error = receiver.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let _ = sender.join().unwrap();
    });
}
