//! Laws 6, 9, 10 and 11: typed messages.

use std::io::{self, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::wire::{Checked, LengthPrefixed, Wire};
use typed_pipe::{
    CancelToken, CodecError, Delivery, ErrorKind, Hangup, Message, OnHangup, Pipe, PipePath,
    TypedReceiver, TypedSender, WriteEnd,
};

use crate::support::{until, watched};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Job {
    id: u64,
    command: String,
    payload: Vec<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct JobRef<'a> {
    id: u64,
    command: &'a str,
    payload: &'a [u8],
}

impl Message for Job {
    type Ref<'a> = JobRef<'a>;
}

fn job(id: u64) -> Job {
    let size = usize::try_from(id * 37 % 5000).unwrap();
    Job { id, command: format!("run {id}"), payload: vec![id.to_le_bytes()[0]; size] }
}

/// Both ends of one pipe, on two threads.
fn over_a_pipe<T: Send + 'static>(
    send: impl FnOnce(WriteEnd) -> T + Send + 'static,
    receive: impl FnOnce(
        typed_pipe::ReadEnd<typed_pipe::state::Open, Pipe<typed_pipe::state::Allocated>>,
    ),
) -> T {
    let end = Pipe::temporary().unwrap().into_reader();
    let path = end.path().unwrap().clone();
    let sender = thread::spawn(move || send(WriteEnd::at(path).unwrap().open().unwrap()));
    receive(end.open().unwrap());
    sender.join().unwrap()
}

#[test]
fn values_arrive_as_they_were_sent() {
    watched(|| {
        over_a_pipe(
            |end| {
                let mut sender = end.into_sender::<Job>();
                for id in 0..500 {
                    sender.send(&job(id)).unwrap();
                }
                sender.send_all((500..1000).map(job)).unwrap();
                for id in 1000..1500 {
                    sender.feed(&job(id)).unwrap();
                }
                sender.flush().unwrap();
                assert_eq!(sender.pending(), 0);
            },
            |end| {
                let mut receiver = end.into_receiver::<Job>();
                for id in 0..10 {
                    assert_eq!(receiver.recv().unwrap(), job(id));
                }
                for (id, received) in (10..).zip(receiver.by_ref()) {
                    assert_eq!(received.unwrap(), job(id));
                    if id == 1499 {
                        break;
                    }
                }
                assert!(receiver.next().is_none());
                assert!(receiver.recv().unwrap_err().is_disconnected());
            },
        );
    });
}

#[test]
fn borrowed_messages_have_the_same_bytes() {
    watched(|| {
        over_a_pipe(
            |end| {
                let mut sender = end.into_sender::<Job>();
                for id in 0..100 {
                    let Job { id, command, payload } = job(id);
                    sender.send_ref(&JobRef { id, command: &command, payload: &payload }).unwrap();
                    sender.send(&Job { id, command, payload }).unwrap();
                }
            },
            |end| {
                let mut receiver = end.into_receiver::<Job>();
                for id in 0..100 {
                    assert_eq!(receiver.recv().unwrap(), job(id));
                    let Job { id, command, payload } = job(id);
                    let expected = JobRef { id, command: &command, payload: &payload };
                    assert_eq!(receiver.recv_ref().unwrap(), expected);
                }
            },
        );
    });
}

#[test]
fn d10_messages_without_bytes_arrive_too() {
    watched(|| {
        over_a_pipe(
            |end| end.into_sender::<()>().send_all([(); 100]).unwrap(),
            |end| assert_eq!(end.into_receiver::<()>().count(), 100),
        );
    });
}

#[test]
fn messages_larger_than_the_pipe_arrive() {
    watched(|| {
        let large = vec![0xA5_u8; 3 << 20];
        let sent = large.clone();
        over_a_pipe(
            move |end| end.into_sender::<Vec<u8>>().send(&sent).unwrap(),
            |end| assert_eq!(end.into_receiver::<Vec<u8>>().recv().unwrap(), large),
        );
    });
}

#[test]
fn unsized_values_can_be_sent() {
    let mut bytes = Vec::new();
    TypedSender::<str, _>::new(&mut bytes).send("text").unwrap();
    TypedSender::<[u8], _>::new(&mut bytes).send(b"text").unwrap();
    let received: Result<Vec<String>, _> = TypedReceiver::new(bytes.as_slice()).collect();
    assert_eq!(received.unwrap(), ["text", "text"]);
}

#[test]
fn channels_work_over_a_child_a_socket_and_a_file() {
    watched(|| {
        if cfg!(unix) {
            let mut child =
                Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut to = TypedSender::new(child.stdin.take().unwrap());
            let mut from = TypedReceiver::<Job, _>::new(child.stdout.take().unwrap());
            to.send(&job(1)).unwrap();
            assert_eq!(from.recv().unwrap(), job(1));
            drop(to.into_inner());
            assert!(from.next().is_none());
            child.wait().unwrap();
        }

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut to = TypedSender::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        to.send_all((0..10).map(job)).unwrap();
        drop(to);
        let from = TypedReceiver::<Job, _>::new(listener.accept().unwrap().0);
        assert!(from.map(Result::unwrap).eq((0..10).map(job)));

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobs");
        let mut to = TypedSender::new(std::fs::File::create(&file).unwrap());
        to.send_all((0..10).map(job)).unwrap();
        let from = TypedReceiver::<Job, _>::new(std::fs::File::open(&file).unwrap());
        assert!(from.map(Result::unwrap).eq((0..10).map(job)));
    });
}

#[test]
fn a_value_that_does_not_decode_is_lost_alone() {
    let mut bytes = Vec::new();
    let mut sender = TypedSender::<str, _>::new(&mut bytes);
    sender.send("good").unwrap();
    sender.get_ref();
    drop(sender);
    // A whole frame, whose bytes are no text.
    bytes.extend([0, 0, 0, 2, 1, 0xFF]);
    // And one with a byte too many.
    bytes.extend([0, 0, 0, 3, 1, b'a', b'b']);
    TypedSender::<str, _>::new(&mut bytes).send("good again").unwrap();
    let mut receiver = TypedReceiver::<String, _>::new(bytes.as_slice());
    assert_eq!(receiver.recv().unwrap(), "good");
    for want in ["", "1 bytes are left over"] {
        let error = receiver.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(!error.is_fatal());
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(want), "{source}");
        assert!(error.to_string().contains(&source), "{error} lacks {source}");
    }
    assert_eq!(receiver.recv().unwrap(), "good again");
}

#[test]
fn a_path_in_a_message_is_checked() {
    let mut bytes = Vec::new();
    let mut sender = TypedSender::<str, _>::new(&mut bytes);
    for name in ["jobs", "", "no\0name"] {
        sender.send(name).unwrap();
    }
    drop(sender);
    let mut receiver = TypedReceiver::<PipePath, _>::new(bytes.as_slice());
    assert_eq!(receiver.recv().unwrap(), "jobs".parse().unwrap());
    for _ in 0..2 {
        let error = receiver.recv().unwrap_err();
        assert!(matches!(error.codec_error(), Some(CodecError::Format(_))), "{error:?}");
        assert_eq!(error.kind().to_string(), "cannot be decoded");
    }
}

#[test]
fn d12_a_header_that_is_none_poisons_the_receiver() {
    let mut bytes = Vec::new();
    TypedSender::<str, _>::new(&mut bytes).send("good").unwrap();
    bytes.extend([0xFF; 20]);
    let mut receiver = TypedReceiver::<String, _>::new(bytes.as_slice());
    assert_eq!(receiver.recv().unwrap(), "good");
    let error = receiver.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.is_fatal());
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Poisoned);
    assert!(receiver.next().is_none(), "an iterator ends after a fatal error");
}

#[test]
fn what_the_system_refuses_for_good_is_fatal_and_a_shortage_is_not() {
    struct Refuses(io::ErrorKind);
    impl io::Read for Refuses {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
    }
    let refused = |kind| TypedReceiver::<String, _>::new(Refuses(kind)).recv().unwrap_err();
    let lasting = refused(io::ErrorKind::Other);
    assert_eq!((lasting.kind(), lasting.is_fatal()), (ErrorKind::Io, true), "{lasting}");
    let mut lasting = TypedReceiver::<String, _>::new(Refuses(io::ErrorKind::Other));
    assert_eq!(lasting.by_ref().count(), 1, "an iterator tells of it once");
    assert_eq!(lasting.recv().unwrap_err().kind(), ErrorKind::Io, "who asks is told");
    let short = refused(io::ErrorKind::OutOfMemory);
    assert_eq!((short.kind(), short.is_fatal()), (ErrorKind::ResourceExhausted, false), "{short}");
    let short = TypedReceiver::<String, _>::new(Refuses(io::ErrorKind::OutOfMemory));
    assert_eq!(short.take(5).count(), 5, "it may pass");
}

#[test]
fn d1_limits_hold_on_both_sides() {
    let mut bytes = Vec::new();
    let small = Wire::default().with_framing(LengthPrefixed::default().limit(10));
    let mut sender = TypedSender::<str, _, _, _>::with_wire(&mut bytes, small.clone());
    let error = sender.send("longer than ten").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(!error.is_fatal() && !error.is_half_sent());
    sender.send("short").unwrap();
    drop(sender);
    TypedSender::<str, _>::new(&mut bytes).send("longer than ten").unwrap();
    let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), small);
    assert_eq!(receiver.recv().unwrap(), "short");
    let error = receiver.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(error.is_fatal());
}

#[test]
fn d11_every_cut_is_told_from_a_clean_end() {
    let mut bytes = Vec::new();
    TypedSender::<Job, _>::new(&mut bytes).send_all([job(3)]).unwrap();
    for cut in 0..=bytes.len() {
        let mut receiver = TypedReceiver::<Job, _>::new(&bytes[..cut]);
        let want = match cut {
            0 => ErrorKind::Disconnected,
            _ if cut == bytes.len() => {
                receiver.recv().unwrap();
                ErrorKind::Disconnected
            }
            _ => ErrorKind::Truncated,
        };
        assert_eq!(receiver.recv().unwrap_err().kind(), want, "cut at {cut}");
    }
}

#[test]
fn a_checked_wire_finds_every_damage() {
    let wire = Wire::default().with_framing(Checked::default());
    let mut bytes = Vec::new();
    let mut sender = TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire.clone());
    sender.send("precious").unwrap();
    drop(sender);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let mut receiver =
            TypedReceiver::<String, _, _, _>::with_wire(damaged.as_slice(), wire.clone());
        let error = receiver.recv().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::TooLarge | ErrorKind::Truncated),
            "bit {bit}: {error}"
        );
    }
}

#[test]
fn d9_a_value_that_does_not_encode_leaves_the_channel_usable() {
    struct Moody(bool);
    impl Serialize for Moody {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 { serializer.serialize_u8(7) } else { Err(serde::ser::Error::custom("no")) }
        }
    }
    let mut bytes = Vec::new();
    let mut sender = TypedSender::new(&mut bytes);
    sender.feed(&Moody(true)).unwrap();
    let error = sender.send(&Moody(false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    sender.send(&Moody(true)).unwrap();
    drop(sender);
    let received: Result<Vec<u8>, _> = TypedReceiver::new(bytes.as_slice()).collect();
    assert_eq!(received.unwrap(), [7, 7]);
}

#[test]
fn a_full_pipe_withdraws_or_keeps_what_is_half_sent() {
    watched(|| {
        let (filled, drain) = channel();
        over_a_pipe(
            move |end| {
                let mut sender = end.into_sender::<Vec<u8>>();
                let mut sent = 0_u32;
                let mut half_sent = 0;
                // 10 kB do not fit into the last gap: they go in halves.
                let mut halted = false;
                while sent < 200 {
                    match sender.try_send(&vec![sent.to_le_bytes()[0]; 10_000]) {
                        Ok(()) => sent += 1,
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                            if !halted {
                                filled.send(()).unwrap();
                                halted = true;
                            }
                            if error.is_half_sent() {
                                half_sent += 1;
                                sent += 1;
                                while sender.set_timeout(Duration::from_millis(1)).flush().is_err()
                                {
                                }
                            } else {
                                assert_eq!(sender.pending(), 0, "nothing of it is kept");
                            }
                        }
                    }
                }
                half_sent
            },
            |end| {
                drain.recv().unwrap();
                let receiver = end.into_receiver::<Vec<u8>>();
                let mut count = 0;
                for (index, received) in (0_u32..).zip(receiver) {
                    assert_eq!(received.unwrap(), vec![index.to_le_bytes()[0]; 10_000]);
                    count += 1;
                }
                assert_eq!(count, 200, "each once, none twice");
            },
        );
    });
}

#[test]
fn what_could_not_be_fed_can_be_fed_again() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let token = CancelToken::new().unwrap();
        let client = thread::spawn(move || {
            let end = WriteEnd::from(path).cancelled_by(&token).open().unwrap();
            let mut sender = end.into_sender::<Vec<u8>>();
            sender.feed(&vec![1; 9]).unwrap();
            let fed = sender.pending();
            token.cancel();
            let error = sender.feed(&vec![2; 100_000]).unwrap_err();
            assert_eq!((error.kind(), error.is_half_sent()), (ErrorKind::Cancelled, false));
            assert_eq!(sender.pending(), fed, "what was fed before stays, and nothing else");
        });
        let end = pipe.into_reader().open().unwrap();
        client.join().unwrap();
        drop(end);
    });
}

#[test]
fn a_receive_that_ran_out_of_time_loses_nothing() {
    watched(|| {
        let (go, wait) = channel::<()>();
        over_a_pipe(
            move |mut end| {
                let mut bytes = Vec::new();
                TypedSender::<Job, _>::new(&mut bytes).send(&job(9)).unwrap();
                let (head, tail) = bytes.split_at(20);
                end.write_all(head).unwrap();
                wait.recv().unwrap();
                end.write_all(tail).unwrap();
            },
            |end| {
                let mut receiver = end.into_receiver::<Job>();
                let error = receiver.recv_timeout(Duration::from_millis(50)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
                go.send(()).unwrap();
                assert_eq!(receiver.recv_timeout(Duration::MAX).unwrap(), job(9));
            },
        );
    });
}

#[test]
fn a_cancelled_receiver_can_be_told_from_the_rest() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let mut pipe = Pipe::temporary().unwrap();
        let end = pipe.reader().cancelled_by(&token).open().unwrap();
        let mut receiver = end.into_receiver::<Job>();
        thread::scope(|scope| {
            scope.spawn(|| token.cancel());
            let error = receiver.recv().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        });
    });
}

#[test]
fn a22_a_writer_that_dies_in_a_message_does_not_spoil_the_next_writers() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.reader().on_hangup(OnHangup::NextWriter);
        let mut receiver = reader.open().unwrap().into_receiver::<String>();
        for round in 0..10 {
            let path = path.clone();
            let writer = thread::spawn(move || {
                let mut end = WriteEnd::at(path).unwrap().open().unwrap();
                if round % 2 == 0 {
                    end.write_all(&[0, 0, 0, 9, 8, b'x']).unwrap();
                } else {
                    end.into_sender::<str>().send("whole").unwrap();
                }
            });
            if round % 2 == 0 {
                let error = receiver.recv().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
                assert!(!error.is_fatal());
            } else {
                assert_eq!(receiver.recv().unwrap(), "whole");
            }
            writer.join().unwrap();
        }
    });
}

#[test]
fn errors_name_the_path_and_do_not_repeat_their_source() {
    let error = TypedReceiver::<Job>::connect("").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidName);
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let writer = thread::spawn({
            let path = path.clone();
            move || WriteEnd::at(path).unwrap().open().unwrap().write_all(&[0, 0, 0, 1, 9]).unwrap()
        });
        let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<Job>();
        let error = receiver.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert_eq!(error.path(), Some(path.as_path()));
        assert!(error.to_string().contains(path.as_path().to_str().unwrap()), "{error}");
        writer.join().unwrap();
    });
}

#[test]
fn cursors_and_slices_are_sources_and_sinks() {
    let mut cursor = Cursor::new(Vec::new());
    TypedSender::new(&mut cursor).send(&5_u8).unwrap();
    cursor.set_position(0);
    assert_eq!(TypedReceiver::<u8, _>::new(cursor).recv().unwrap(), 5);
}

#[test]
fn the_last_words_tell_a_finished_writer_from_one_that_vanished() {
    watched(|| {
        for finish in [true, false] {
            over_a_pipe(
                move |end| {
                    let mut sender = end.into_sender::<u32>();
                    sender.feed(&7).unwrap();
                    if finish {
                        let words = sender.finish().unwrap();
                        let known = cfg!(target_os = "linux");
                        assert_eq!(words, if known { Delivery::Drained } else { Delivery::Sent });
                    } else {
                        sender.flush().unwrap();
                    }
                },
                |end| {
                    let mut receiver = end.into_receiver::<u32>();
                    assert_eq!(receiver.last_hangup(), None);
                    assert_eq!(receiver.recv().unwrap(), 7);
                    for _ in 0..2 {
                        let error = receiver.recv().unwrap_err();
                        assert!(error.is_end());
                        assert_eq!(error.kind() == ErrorKind::Finished, finish, "{error}");
                    }
                    let want = if finish { Hangup::Finished } else { Hangup::Disconnected };
                    assert_eq!(receiver.last_hangup(), Some(want));
                    assert!(receiver.next().is_none());
                },
            );
        }
    });
}

#[test]
fn a_receiver_of_many_writers_in_turn_knows_how_each_left() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.reader().on_hangup(OnHangup::NextWriter);
        let mut receiver = reader.open().unwrap().into_receiver::<u8>();
        let nobody = receiver.try_recv().unwrap_err();
        assert_eq!((nobody.kind(), receiver.last_hangup()), (ErrorKind::WouldBlock, None));
        for end in [Hangup::Finished, Hangup::Disconnected, Hangup::Truncated] {
            let path = path.clone();
            let writer = thread::spawn(move || {
                let mut sender = WriteEnd::at(path).unwrap().open().unwrap().into_sender::<u8>();
                sender.send(&1).unwrap();
                match end {
                    Hangup::Finished => drop(sender.try_finish()),
                    Hangup::Disconnected => drop(sender),
                    _ => sender.into_inner().write_all(&[0, 0, 0, 9, 1]).unwrap(),
                }
            });
            assert_eq!(receiver.recv().unwrap(), 1);
            writer.join().unwrap();
            let mut told = None;
            until(|| {
                told = Some(receiver.try_recv().unwrap_err().kind());
                receiver.last_hangup() == Some(end)
            });
            let cut = end == Hangup::Truncated;
            assert_eq!(told, Some(if cut { ErrorKind::Truncated } else { ErrorKind::WouldBlock }));
        }
    });
}

#[test]
fn to_finish_is_to_wait_for_a_slow_reader_and_not_for_a_dead_one() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.open_reader().unwrap();
        let mut sender = WriteEnd::at(path).unwrap().open().unwrap().into_sender::<u32>();
        sender.feed(&7).unwrap();
        let tried = sender.finish_timeout(Duration::from_millis(50));
        if cfg!(target_os = "linux") {
            let failed = tried.unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
            let failed = failed.into_state().try_finish().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::WouldBlock, "{failed}");
            drop(reader);
            let failed = failed.into_state().finish().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::Disconnected, "{failed}");
        } else {
            assert_eq!(tried.unwrap(), Delivery::Sent);
        }
    });
}

#[test]
fn a_goodbye_that_was_tried_twice_is_said_once() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut receiver = pipe.open_reader().unwrap().into_receiver::<u32>();
        let mut sender = WriteEnd::at(path).unwrap().open().unwrap().into_sender::<u32>();
        sender.send(&7).unwrap();
        let mut again = sender.try_finish();
        if let Err(failed) = again {
            // It may go on after all, and say goodbye anew.
            let mut sender = failed.into_state();
            sender.send(&8).unwrap();
            again = sender.try_finish();
        }
        assert_eq!(receiver.recv().unwrap(), 7);
        if let Err(failed) = again {
            assert_eq!(receiver.recv().unwrap(), 8);
            // The goodbye is in the pipe, and is read with what comes next.
            assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(failed.into_state().finish().unwrap(), Delivery::Drained);
        }
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
    });
}

#[cfg(feature = "tracing")]
#[test]
fn what_a_dropped_sender_loses_is_told() {
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};

    /// Keeps the fields of the events.
    struct Log(Arc<Mutex<Vec<String>>>);
    impl Visit for Log {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.lock().unwrap().push(format!("{field}={value:?}"));
        }
    }
    impl tracing::Subscriber for Log {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut Self(self.0.clone()));
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    let log = Arc::new(Mutex::new(Vec::new()));
    tracing::subscriber::with_default(Log(log.clone()), || {
        let mut bytes = Vec::new();
        let mut sender = TypedSender::<u8, _>::new(&mut bytes);
        sender.send(&1).unwrap();
        sender.feed(&2).unwrap();
    });
    let log = log.lock().unwrap();
    assert!(log.iter().any(|entry| entry == "bytes=5"), "{log:?}");
}
