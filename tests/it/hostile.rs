//! What others do to a pipe: readers and writers that die, mix, stand still, or are somebody else.

use std::io::{self, Write};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use typed_pipe::state::Open;
use typed_pipe::wire::{Checked, Wire};
use typed_pipe::{
    Carrier, Connection, ErrorKind, Hangup, OnHangup, Pipe, PipeOptions, ReadEnd, TypedReceiver,
    TypedSender, WriteEnd,
};

use crate::support::watched;

const SHORT: Duration = Duration::from_millis(50);

fn checked() -> Wire<Checked> {
    Wire::default().with_framing(Checked::default())
}

#[test]
fn a4_a_writer_that_says_nothing_is_waited_for() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut receiver = pipe.open_reader().unwrap().into_receiver::<u8>();
        let mut sender = WriteEnd::at(path).unwrap().open().unwrap().into_sender::<u8>();
        assert_eq!(receiver.recv_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        sender.send(&1).unwrap();
        assert_eq!(receiver.recv().unwrap(), 1);
    });
}

#[test]
fn a17_two_writers_on_a_wire_for_one_give_no_wrong_value() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.open_reader().unwrap();
        let mut receiver = end.into_receiver_with::<String, _, _>(checked());
        let mut message = Vec::new();
        let mut sender = TypedSender::<str, _, _, _>::with_wire(&mut message, checked());
        sender.send(&"x".repeat(2000)).unwrap();
        drop(sender);

        // One dies in the middle of a message; the other goes on.
        let writers = thread::spawn(move || {
            let mut dying = WriteEnd::from(path.clone()).open().unwrap();
            let other = WriteEnd::from(path).open().unwrap();
            let mut other = other.into_sender_with::<str, _, _>(checked());
            other.send("before").unwrap();
            dying.write_all(&message[..1000]).unwrap();
            drop(dying);
            // Enough to fill what the dead one had announced.
            while other.send("after").is_ok() {}
        });
        let mut received = Vec::new();
        let error = loop {
            match receiver.recv() {
                Ok(text) => received.push(text),
                Err(error) => break error,
            }
        };
        drop(receiver);
        writers.join().unwrap();
        if cfg!(unix) {
            assert_eq!(received, ["before"]);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        } else {
            // There each writer has a stream of its own, but for the reader they are one.
            assert!(received.iter().all(|text| text == "before" || text == "after"));
        }
    });
}

#[cfg(unix)]
#[test]
fn a15_a_reader_that_comes_in_the_middle_of_a_message_gets_no_wrong_value() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut first = pipe.open_reader().unwrap();
        let end = WriteEnd::from(path.clone()).open().unwrap();
        let mut sender = end.into_sender_with::<str, _, _>(checked());
        sender.send("taken in halves by two readers").unwrap();
        sender.send("whole").unwrap();
        first.read(&mut [0; 20]).unwrap();
        drop(first);
        // What is unread stays, as long as the writer is there.
        let end = ReadEnd::from(path).open().unwrap();
        let mut second = end.into_receiver_with::<String, _, _>(checked());
        let error = second.recv().unwrap_err();
        assert!(error.is_fatal(), "{error}");
    });
}

#[test]
fn a17_a_receiver_that_lost_its_place_begins_anew_with_the_next_writer() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.reader().on_hangup(OnHangup::NextWriter);
        let mut receiver = reader.open().unwrap().into_receiver_with::<String, _, _>(checked());
        for _ in 0..3 {
            let path = path.clone();
            let writer = thread::spawn(move || {
                let mut end = WriteEnd::from(path).open().unwrap();
                end.write_all(&[0xFF; 100_000]).unwrap();
            });
            let error = receiver.recv().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(!error.is_fatal());
            // The rest of that writer is skipped.
            loop {
                let has_left = writer.is_finished();
                let error = receiver.recv_timeout(SHORT).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                if has_left {
                    break;
                }
            }
            writer.join().unwrap();
        }
        let writer = thread::spawn(move || {
            let end = WriteEnd::from(path).open().unwrap();
            end.into_sender_with::<str, _, _>(checked()).send("whole").unwrap();
        });
        assert_eq!(receiver.next().unwrap().unwrap(), "whole");
        writer.join().unwrap();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a9_a_reader_whose_pipe_is_gone_does_not_wait_for_ever() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = ReadEnd::from(path.clone()).open().unwrap();
        let mut silent = WriteEnd::from(path).open().unwrap();
        drop(pipe);
        // As long as there is a writer, its words may come.
        let mut receiver = end.into_receiver::<u8>();
        let waiting = thread::spawn(move || (receiver.recv().unwrap(), receiver));
        // The time is what is tested: now and then the reader looks whether its pipe is gone.
        thread::sleep(Duration::from_millis(1500));
        assert!(!waiting.is_finished());
        silent.write_all(&[0, 0, 0, 1, 7]).unwrap();
        let (value, receiver) = waiting.join().unwrap();
        assert_eq!(value, 7);
        drop(receiver);

        let pipe = Pipe::temporary().unwrap();
        let mut end = ReadEnd::from(pipe.path().clone()).open().unwrap();
        drop(pipe);
        let error = end.read(&mut [0; 1]).unwrap_err();
        assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::NotFound, true), "{error}");
        assert_eq!(end.into_receiver::<u8>().count(), 1, "a loop over messages ends as well");
    });
}

#[test]
fn a28_a_thread_that_writes_before_it_reads_is_told_that_nobody_takes_it() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut receiver = pipe.open_reader().unwrap().into_receiver::<String>();
        let mut sender = WriteEnd::from(path).open().unwrap().into_sender::<str>();
        let large = "x".repeat(1 << 20);
        let error = sender.send_timeout(&large, SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        // It goes on where it stood.
        let sender = thread::spawn(move || {
            if error.is_half_sent() {
                sender.flush().unwrap();
            } else {
                sender.send(&large).unwrap();
            }
        });
        assert_eq!(receiver.recv().unwrap().len(), 1 << 20);
        sender.join().unwrap();
    });
}

#[test]
fn a30_the_smallest_pipe_carries_everything() {
    watched(|| {
        let mut pipe = PipeOptions::new().buffer_size(1).temporary().unwrap();
        let path = pipe.path().clone();
        let mut receiver = pipe.open_reader().unwrap().into_receiver::<String>();
        let sender = thread::spawn(move || {
            let mut sender = WriteEnd::from(path).open().unwrap().into_sender::<str>();
            for size in [0, 1, 4091, 4092, 4093, 65_536, 1 << 20] {
                sender.send(&"y".repeat(size)).unwrap();
            }
        });
        for size in [0, 1, 4091, 4092, 4093, 65_536, 1 << 20] {
            assert_eq!(receiver.recv().unwrap(), "y".repeat(size));
        }
        sender.join().unwrap();
    });
}

#[test]
fn d27_a_message_in_slow_drops_does_not_outlast_the_deadline() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut receiver = pipe.open_reader().unwrap().into_receiver::<String>();
        let (done, wait) = std::sync::mpsc::channel();
        let dripping = thread::spawn(move || {
            let mut end = WriteEnd::from(path).open().unwrap();
            let mut bytes = Vec::new();
            TypedSender::<str, _>::new(&mut bytes).send(&"z".repeat(100)).unwrap();
            for byte in &bytes[..100] {
                end.write_all(&[*byte]).unwrap();
                if wait.recv_timeout(Duration::from_millis(5)).is_ok() {
                    break;
                }
            }
            // Holds the pipe open until the receiver has given up.
            let _ = wait.recv();
        });
        let error = receiver.recv_timeout(Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        done.send(()).unwrap();
        drop(done);
        dripping.join().unwrap();
    });
}

/// Goodbyes without end: no read has to wait, and none brings a message.
struct Goodbyes;

impl Carrier for Goodbyes {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        buf.chunks_exact_mut(4).for_each(|word| word.copy_from_slice(&[0xFF, 0xFF, 0xFF, 1]));
        Poll::Ready(Ok(buf.len() / 4 * 4))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn stop_reading(&mut self) {}
}

#[test]
fn what_is_skipped_without_end_does_not_outlast_the_deadline() {
    watched(|| {
        let (reader, _writer) = Connection::over(Goodbyes).unwrap().split();
        let mut receiver = reader.into_receiver::<u32>();
        assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(receiver.recv_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
        receiver.set_timeout(SHORT);
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::TimedOut);
        #[cfg(feature = "shared-memory")]
        assert_eq!(receiver.recv_view().unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn what_is_skipped_without_end_does_not_outlast_the_deadline_of_a_task() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (reader, _writer) =
                Connection::over(Goodbyes).unwrap().into_tokio().unwrap().split();
            let mut receiver = reader.into_receiver::<u32>();
            assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
            let late = receiver.recv_timeout(SHORT).await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
            receiver.set_timeout(SHORT);
            assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::TimedOut);
        });
    });
}

#[test]
fn a_receiver_of_next_writers_is_not_ended_by_a_goodbye() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.reader().on_hangup(OnHangup::NextWriter);
        let mut receiver = reader.open().unwrap().into_receiver::<u8>();
        for round in 0..5 {
            let path = path.clone();
            let sender = thread::spawn(move || {
                let mut sender = WriteEnd::from(path).open().unwrap().into_sender::<u8>();
                sender.send(&round).unwrap();
                sender.finish().unwrap();
            });
            assert_eq!(receiver.recv().unwrap(), round);
            // Takes the goodbye out of the pipe, for which the sender waits.
            while !sender.is_finished() {
                let error = receiver.recv_timeout(SHORT).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            }
            sender.join().unwrap();
        }
    });
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::chown;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;

    use typed_pipe::state::Allocated;
    use typed_pipe::{ConnectOptions, Connection};

    use super::*;
    use crate::peer;
    use crate::support::{Folder, short, skipped, until_it_fails};

    #[test]
    fn a21_signals_do_not_tear_messages() {
        watched(|| {
            let pipe = Pipe::temporary().unwrap();
            let peer = peer::start("alarm-storm", pipe.path());
            let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<String>();
            for number in 0..20_u8 {
                let expected = char::from(b'a' + number).to_string().repeat(1 << 20);
                assert_eq!(receiver.recv().unwrap(), expected);
            }
            assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
            peer.join();
        });
    }

    #[test]
    fn a33_a_pipe_of_somebody_else_is_not_trusted() {
        if !rustix::process::geteuid().is_root() {
            skipped("only root can give a pipe away");
            return;
        }
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("theirs");
            let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
            chown(&name, Some(65534), None).unwrap();
            let failed = ReadEnd::at(&name).unwrap().open().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
            assert!(failed.to_string().contains("65534"), "{failed}");
            drop(failed.into_state().trust_any_owner().open().unwrap());
            drop(pipe);
        });
    }

    /// A FIFO and a socket of another user, at which no process reads or listens.
    fn names_of_a_stranger() -> (Folder, Pipe<Allocated>, [PathBuf; 2]) {
        let folder = Folder::new();
        let names = ["theirs", "door"].map(|name| folder.name(name));
        let pipe = Pipe::new(&names[0]).unwrap().mkfifo().unwrap();
        let door = short(&names[1]);
        drop(UnixListener::bind(&door).unwrap());
        until_it_fails(|| UnixStream::connect(&door)); // nobody listens
        for name in &names {
            chown(name, Some(65534), None).unwrap();
        }
        (folder, pipe, names)
    }

    #[test]
    fn a33_nothing_is_waited_for_at_the_name_of_a_stranger() {
        if !rustix::process::geteuid().is_root() {
            skipped("only root can give a pipe away");
            return;
        }
        watched(|| {
            let long = Duration::from_secs(50);
            let (_folder, _pipe, [name, door]) = names_of_a_stranger();
            let failed = WriteEnd::at(&name).unwrap().open_timeout(long).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
            let trusting = failed.into_state().trust_any_owner();
            assert_eq!(trusting.try_open().unwrap_err().kind(), ErrorKind::WouldBlock);
            let failed = Connection::connect_timeout(&door, long).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
            let trusting = ConnectOptions::new().trust_any_owner();
            let failed = trusting.connect_timeout(&door, SHORT).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        });
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a33_no_task_waits_at_the_name_of_a_stranger() {
        if !rustix::process::geteuid().is_root() {
            skipped("only root can give a pipe away");
            return;
        }
        watched(|| {
            let long = Duration::from_secs(50);
            let (_folder, _pipe, [name, door]) = names_of_a_stranger();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let opening = WriteEnd::at(&name).unwrap().into_tokio().open_timeout(long);
                assert_eq!(opening.await.unwrap_err().kind(), ErrorKind::NotTrusted);
                let options = ConnectOptions::new().into_tokio();
                let connecting = options.connect_timeout(&door, long);
                assert_eq!(connecting.await.unwrap_err().kind(), ErrorKind::NotTrusted);
            });
        });
    }

    #[test]
    fn a34_looking_at_a_pipe_makes_nobody_a_reader() {
        let folder = Folder::new();
        let name = folder.name("looked-at");
        let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
        for _ in 0..100 {
            assert!(!pipe.is_unlinked());
            assert_eq!(Pipe::new(&name).unwrap().mkfifo().unwrap_err().kind(), ErrorKind::InUse);
            let failed = WriteEnd::at(&name).unwrap().try_open().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::WouldBlock, "{failed}");
        }
    }

    #[test]
    fn a37_the_umask_has_no_part_in_the_mode() {
        watched(|| peer::start("umask", Folder::new().name("")).join());
    }

    #[test]
    fn a42_who_is_connected_stays_so_when_the_name_goes() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("removed");
            let mut pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
            let mut receiver = pipe.open_reader().unwrap().into_receiver::<u8>();
            let mut sender = WriteEnd::at(&name).unwrap().open().unwrap().into_sender::<u8>();
            std::fs::remove_file(&name).unwrap();
            sender.send(&1).unwrap();
            assert_eq!(receiver.recv().unwrap(), 1);
            let failed = WriteEnd::at(&name).unwrap().try_open().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotFound, "{failed}");
            drop(receiver);
            assert!(pipe.is_unlinked());
        });
    }
}

#[test]
fn the_end_of_writers_whose_bytes_were_skipped_is_noted() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.reader().on_hangup(OnHangup::NextWriter);
        let mut receiver = reader.open().unwrap().into_receiver_with::<String, _, _>(checked());
        let nothing_comes = |receiver: &mut TypedReceiver<String, ReadEnd<Open, _>, _>| {
            assert_eq!(receiver.recv_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
        };

        let end = WriteEnd::from(path.clone()).open().unwrap();
        let mut sender = end.into_sender_with::<str, _, _>(checked());
        sender.send("whole").unwrap();
        sender.finish_into_inner().unwrap().close();
        assert_eq!(receiver.recv().unwrap(), "whole");
        while receiver.last_hangup().is_none() {
            nothing_comes(&mut receiver);
        }
        assert_eq!(receiver.last_hangup(), Some(Hangup::Finished));

        let mut end = WriteEnd::from(path).open().unwrap();
        end.write_all(&[0xFF; 100]).unwrap();
        end.close();
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Corrupt);
        while receiver.last_hangup() == Some(Hangup::Finished) {
            nothing_comes(&mut receiver);
        }
        assert_eq!(receiver.last_hangup(), Some(Hangup::Truncated));
    });
}
