//! Bare bytes by the whole: sent, lent, and forwarded from end to end.

use std::io::Read;
use std::thread;
use std::time::Duration;

use typed_pipe::{CancelToken, Connection, ErrorKind, OnHangup, Operation, Pipe, WriteEnd};

use crate::support::{Waiters, watched};

const LENGTHS: [usize; 6] = [0, 1, 4096, 16 << 10, 100_000, 3_000_000];

/// Bytes that are of this turn, and of no other.
fn bytes_of(turn: u8, len: usize) -> Vec<u8> {
    (0..len).map(|place| turn.wrapping_add(u8::try_from(place % 251).unwrap())).collect()
}

#[test]
fn bytes_arrive_as_they_were_sent() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().open().unwrap();
        let writing = thread::spawn(move || {
            let mut writer = WriteEnd::at(path).unwrap().open().unwrap();
            for (turn, len) in (0..).zip(LENGTHS) {
                writer.send_bytes(&bytes_of(turn, len)).unwrap();
                let mut loan = writer.loan(len);
                assert_eq!(loan.len(), len);
                loan.copy_from_slice(&bytes_of(turn + 100, len));
                loan.send().unwrap();
                drop(writer.loan(len)); // which sends nothing
            }
        });
        for (turn, len) in (0..).zip(LENGTHS) {
            for turn in [turn, turn + 100] {
                let mut buf = vec![0; len];
                reader.read_exact(&mut buf).unwrap();
                assert!(buf == bytes_of(turn, len), "{len} bytes");
            }
        }
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        writing.join().unwrap();
    });
}

#[test]
fn bytes_go_both_ways_over_a_connection() {
    watched(|| {
        let (mut one, mut other) = Connection::pair().unwrap();
        let sending = thread::spawn(move || one.writer().send_bytes(&bytes_of(7, 3_000_000)));
        let mut all = Vec::new();
        other.read_to_end(&mut all).unwrap();
        assert!(all == bytes_of(7, 3_000_000));
        sending.join().unwrap().unwrap();
    });
}

#[test]
fn a_reader_that_leaves_in_the_middle_is_told() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().open().unwrap();
        let reading = thread::spawn(move || reader.read_exact(&mut [0; 1000]).unwrap());
        let mut writer = WriteEnd::at(path).unwrap().open().unwrap();
        let error = writer.send_bytes(&bytes_of(7, 30_000_000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        assert!(error.is_half_sent());
        let error = writer.loan(100_000).send().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        assert!(!error.is_half_sent());
        reading.join().unwrap();
    });
}

#[test]
fn forward_brings_all_and_counts_it() {
    watched(|| {
        let (from, to) = (Pipe::temporary().unwrap(), Pipe::temporary().unwrap());
        let (from_path, to_path) = (from.path().clone(), to.path().clone());
        let mut first = from.into_reader().open().unwrap();
        let mut last = to.into_reader().open().unwrap();
        let writing = thread::spawn(move || {
            WriteEnd::at(from_path).unwrap().open().unwrap().send_bytes(&bytes_of(7, 3_000_000))
        });
        let forwarding = thread::spawn(move || {
            let mut to = WriteEnd::at(to_path).unwrap().open().unwrap();
            first.forward(&mut to).unwrap()
        });
        let mut all = Vec::new();
        last.read_to_end(&mut all).unwrap();
        assert!(all == bytes_of(7, 3_000_000));
        assert_eq!(forwarding.join().unwrap(), 3_000_000);
        writing.join().unwrap().unwrap();
    });
}

/// A writer fills its pages again once the pipe is empty: they must not lie in the next one by then.
#[test]
fn forward_hands_on_no_pages_that_are_filled_again() {
    watched(|| {
        const TURNS: u8 = 50;
        const LEN: usize = 20_000;
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().open().unwrap();
        let (one, mut other) = Connection::pair().unwrap();
        let forwarding = thread::spawn(move || reader.forward(&mut one.split().1).unwrap());
        let mut writer = WriteEnd::at(path).unwrap().open().unwrap();
        // It is all in the connection before the first byte is read, as far as there is room.
        let writing = thread::spawn(move || {
            for turn in 0..TURNS {
                let mut loan = writer.loan(LEN);
                loan.copy_from_slice(&bytes_of(turn, LEN));
                loan.send().unwrap();
            }
        });
        for turn in 0..TURNS {
            let mut buf = vec![0; LEN];
            other.read_exact(&mut buf).unwrap();
            assert!(buf == bytes_of(turn, LEN), "turn {turn}");
        }
        writing.join().unwrap();
        assert_eq!(forwarding.join().unwrap(), u64::from(TURNS) * 20_000);
    });
}

/// A connection with all that it takes in it, of which the sender has finished; how much that is.
#[cfg(target_os = "linux")]
fn full_connection() -> (Connection, Connection, usize) {
    let (mut one, other) = Connection::pair().unwrap();
    let mut len = 0;
    for turn in 0.. {
        match one.writer().try_write(&bytes_of(turn, 4096)) {
            Ok(4096) => len += 4096,
            _ => break,
        }
        assert!(turn < 250);
    }
    assert!(len > 2 * 65536, "there is room for {len} bytes");
    (one, other, len)
}

/// How many bytes this thread has written by calls that copy.
#[cfg(target_os = "linux")]
fn copied() -> Option<usize> {
    let counts = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok())
}

#[cfg(target_os = "linux")]
#[test]
fn forward_moves_what_a_connection_holds_into_a_pipe() {
    watched(|| {
        let (one, other, len) = full_connection();
        drop(one);
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().open().unwrap();
        let forwarding = thread::spawn(move || {
            let mut to = WriteEnd::at(path).unwrap().open().unwrap();
            let before = copied();
            assert!(other.split().0.forward(&mut to).unwrap() >= u64::try_from(len).unwrap());
            copied().zip(before).map(|(now, before)| now - before)
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        for (turn, bytes) in (0..).zip(all[..len].chunks(4096)) {
            assert!(bytes == bytes_of(turn, 4096), "piece {turn}");
        }
        match forwarding.join().unwrap() {
            Some(copied) => assert!(copied <= 65536, "{copied} of {len} bytes were copied"),
            None => crate::support::skipped("the system does not count what a thread writes"),
        }
    });
}

/// It is no end of the stream, whichever call finds it.
#[cfg(target_os = "linux")]
#[test]
fn forward_tells_of_a_reset_after_all_that_came_before() {
    watched(|| {
        let (one, mut other, len) = full_connection();
        other.writer().write(b"unread").unwrap();
        drop(one);
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().open().unwrap();
        let forwarding = thread::spawn(move || {
            let mut to = WriteEnd::at(path).unwrap().open().unwrap();
            let mut from = other.split().0;
            [(); 2].map(|()| from.forward(&mut to).unwrap_err())
        });
        let mut all = Vec::new();
        assert!(reader.read_to_end(&mut all).unwrap() >= len);
        for error in forwarding.join().unwrap() {
            let told = (error.kind(), error.operation());
            assert_eq!(told, (ErrorKind::Disconnected, Operation::Receive), "{error}");
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn forward_into_a_full_pipe_ends_with_its_token_or_its_reader() {
    watched(|| {
        for by_token in [true, false] {
            let (_one, other, _) = full_connection();
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let reader = pipe.into_reader().open().unwrap();
            let token = CancelToken::new().unwrap();
            let mut to = WriteEnd::at(path).unwrap().cancelled_by(&token).open().unwrap();
            let waiters = Waiters::default();
            let forwarding =
                thread::spawn(waiters.with(move || other.split().0.forward(&mut to).unwrap_err()));
            waiters.asleep();
            let kind = if by_token {
                token.cancel();
                ErrorKind::Cancelled
            } else {
                drop(reader);
                ErrorKind::Disconnected
            };
            let error = forwarding.join().unwrap();
            assert_eq!((error.kind(), error.operation()), (kind, Operation::Send), "{error}");
        }
    });
}

#[test]
fn forward_says_which_end_failed() {
    watched(|| {
        let (from, mut source) = Connection::pair().unwrap();
        let (to, sink) = Connection::pair().unwrap();
        let (mut from, mut to) = (from.split().0, to.split().1);
        drop(sink.split()); // shuts it down, whoever has a copy
        source.writer().write(b"hello").unwrap();
        let error = from.forward(&mut to).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Disconnected, Operation::Send));
    });
}

#[test]
fn a_token_of_either_end_ends_a_forward() {
    watched(|| {
        for of_source in [true, false] {
            let token = CancelToken::new().unwrap();
            let ((from, mut source), (to, sink)) =
                (Connection::pair().unwrap(), Connection::pair().unwrap());
            let (from, to) = if of_source {
                (from.cancelled_by(&token), to)
            } else {
                (from, to.cancelled_by(&token))
            };
            let (mut from, mut to) = (from.split().0, to.split().1);
            let waiters = Waiters::default();
            let forwarding =
                thread::spawn(waiters.with(move || from.forward(&mut to).unwrap_err().kind()));
            if !of_source {
                // Until nothing more goes.
                let filling = thread::spawn(
                    waiters.with(move || while source.writer().write(&[7; 10_000]).is_ok() {}),
                );
                waiters.asleep();
                token.cancel();
                assert_eq!(forwarding.join().unwrap(), ErrorKind::Cancelled);
                filling.join().unwrap();
            } else {
                waiters.asleep();
                token.cancel();
                assert_eq!(forwarding.join().unwrap(), ErrorKind::Cancelled);
                drop(source);
            }
            drop(sink);
        }
    });
}

#[test]
fn forward_returns_at_each_hang_up() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().on_hangup(OnHangup::NextWriter).open().unwrap();
        let (one, mut other) = Connection::pair().unwrap();
        let mut to = one.split().1;
        for words in ["one", "two"] {
            let path = path.clone();
            let writing = thread::spawn(move || {
                WriteEnd::at(path).unwrap().open().unwrap().send_bytes(words.as_bytes()).unwrap();
            });
            assert_eq!(reader.forward(&mut to).unwrap(), 3);
            let mut buf = [0; 3];
            other.read_exact(&mut buf).unwrap();
            assert_eq!(buf, words.as_bytes());
            writing.join().unwrap();
        }
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_send_lend_and_forward() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let mut reader = pipe.into_reader().into_tokio().open().await.unwrap();
            let (one, other) = Connection::pair().unwrap();
            let mut to = one.into_tokio().unwrap().split().1;
            let forwarding = tokio::spawn(async move { reader.forward(&mut to).await.unwrap() });
            let writing = tokio::spawn(async move {
                let mut writer = WriteEnd::at(path).unwrap().into_tokio().open().await.unwrap();
                writer.send_bytes(&bytes_of(7, 1_000_000)).await.unwrap();
                let mut loan = writer.loan(100_000);
                loan.copy_from_slice(&bytes_of(8, 100_000));
                loan.send().await.unwrap();
            });
            let mut all = Vec::new();
            let mut other = other.into_tokio().unwrap();
            tokio::io::AsyncReadExt::read_to_end(&mut other, &mut all).await.unwrap();
            assert!(all == [bytes_of(7, 1_000_000), bytes_of(8, 100_000)].concat());
            writing.await.unwrap();
            assert_eq!(forwarding.await.unwrap(), 1_100_000);
        });
    });
}

/// Whole programs: `seq` into a FIFO, from there through `gzip`, through another FIFO, and through `gzip -d`.
#[cfg(unix)]
mod programs {
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use typed_pipe::state::Open;
    use typed_pipe::{ReadEnd, Unnamed};

    use super::*;
    use crate::programs::Program;

    type Output = ReadEnd<Open, Unnamed>;
    type Input = WriteEnd<Open, Unnamed>;

    fn gzip(options: &[&str]) -> Option<(Program, Input, Output)> {
        let mut gzip = Command::new("gzip");
        gzip.args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = Program::start(&mut gzip)?;
        let (stdin, stdout) = program.pipes();
        let input = Input::try_from(OwnedFd::from(stdin)).unwrap();
        let output = Output::try_from(OwnedFd::from(stdout)).unwrap();
        Some((program, input, output))
    }

    #[test]
    fn a_pipeline_of_gzip_and_its_inverse_changes_nothing() {
        watched(|| {
            let Some((packing, mut to_pack, mut packed)) = gzip(&["-c"]) else { return };
            let Some((unpacking, mut to_unpack, mut unpacked)) = gzip(&["-dc"]) else { return };
            let (from, between) = (Pipe::temporary().unwrap(), Pipe::temporary().unwrap());
            let between_path = between.path().clone();
            let mut seq = Command::new("sh");
            seq.args(["-c", "seq 1 300000 > \"$1\"", "sh"]).arg(from.path());
            let seq = Program::start(&mut seq).unwrap();

            let mut first = from.into_reader().open().unwrap();
            let mut middle = between.into_reader().open().unwrap();
            let threads = [
                thread::spawn(move || first.forward(&mut to_pack).unwrap()),
                thread::spawn(move || {
                    let mut to = WriteEnd::at(between_path).unwrap().open().unwrap();
                    packed.forward(&mut to).unwrap()
                }),
                thread::spawn(move || middle.forward(&mut to_unpack).unwrap()),
            ];
            let mut text = String::new();
            unpacked.read_to_string(&mut text).unwrap();
            assert!((1..=300_000).map(|line| line.to_string()).eq(text.lines()));
            let [whole, small, same] = threads.map(|thread| thread.join().unwrap());
            assert_eq!(whole, u64::try_from(text.len()).unwrap());
            assert!(small < whole && small == same);
            for program in [seq, packing, unpacking] {
                program.join();
            }
        });
    }

    #[test]
    fn large_bytes_go_into_a_program() {
        watched(|| {
            let Some((packing, mut to_pack, packed)) = gzip(&["-c"]) else { return };
            let Some((unpacking, mut to_unpack, mut unpacked)) = gzip(&["-dc"]) else { return };
            let sending = thread::spawn(move || {
                to_pack.send_bytes(&bytes_of(1, 3_000_000)).unwrap();
                let mut loan = to_pack.loan(1_000_000);
                loan.copy_from_slice(&bytes_of(2, 1_000_000));
                loan.send().unwrap();
            });
            let mut packed = packed;
            let between = thread::spawn(move || packed.forward(&mut to_unpack).unwrap());
            let mut all = Vec::new();
            unpacked.read_to_end(&mut all).unwrap();
            assert!(all == [bytes_of(1, 3_000_000), bytes_of(2, 1_000_000)].concat());
            sending.join().unwrap();
            assert!(between.join().unwrap() > 0);
            packing.join();
            unpacking.join();
        });
    }

    #[test]
    fn a_program_that_has_enough_ends_the_pipeline() {
        watched(|| {
            let mut head = Command::new("head");
            head.args(["-c", "10"]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let Some(mut head) = Program::start(&mut head) else { return };
            let (stdin, mut stdout) = head.pipes();
            let mut to = Input::try_from(OwnedFd::from(stdin)).unwrap();
            let (one, mut other) = Connection::pair().unwrap();
            let endless =
                thread::spawn(move || while other.writer().send_bytes(b"yes\n").is_ok() {});
            let mut from = one.split().0;
            let error = from.forward(&mut to).unwrap_err();
            assert_eq!(
                (error.kind(), error.operation()),
                (ErrorKind::Disconnected, Operation::Send)
            );
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            assert_eq!(text, "yes\nyes\nye");
            drop(from);
            endless.join().unwrap();
            head.join();
        });
    }
}

#[test]
fn a_deadline_ends_the_sending_of_bytes_and_all_of_them_come_in_time() {
    const SOON: Duration = Duration::from_millis(30);
    const LATE: Duration = Duration::from_secs(300);

    watched(|| {
        // Into a FIFO, whose pages are moved on Linux, and over a connection.
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().open().unwrap();
        let mut writer = WriteEnd::at(path).unwrap().open().unwrap();
        let (mut one, mut other) = Connection::pair().unwrap();
        let bytes = bytes_of(7, 10_000_000);
        for error in [
            writer.send_bytes_timeout(&bytes, SOON).unwrap_err(),
            one.writer().send_bytes_timeout(&bytes, SOON).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.operation()), (ErrorKind::TimedOut, Operation::Send));
            assert!(error.is_half_sent());
        }
        drop(writer);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert!(rest.len() < bytes.len() && bytes.starts_with(&rest));

        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            other.read_to_end(&mut all).unwrap();
            all
        });
        one.writer().send_bytes_timeout(&bytes, LATE).unwrap();
        drop(one);
        assert!(reading.join().unwrap().ends_with(&bytes));
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_deadline_ends_the_sending_of_bytes_of_a_task() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (one, other) = Connection::pair().unwrap();
            let mut writer = one.into_tokio().unwrap().split().1;
            let bytes = bytes_of(7, 10_000_000);
            let sent = writer.send_bytes_timeout(&bytes, Duration::from_millis(30));
            let error = sent.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.is_half_sent());
            drop(other);
        });
    });
}
