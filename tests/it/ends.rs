//! Ends as byte streams: reading, writing, waiting, and handles.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use typed_pipe::{CancelToken, ErrorKind, OnHangup, Pipe, PipeOptions, ReadEnd, WriteEnd};

use crate::peer;
use crate::support::{Folder, skipped, until_it_fails, watched};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_client_reads_what_the_owner_writes() {
    watched(|| {
        let folder = Folder::new();
        let mut pipe = Pipe::new(folder.name("lines")).unwrap().mkfifo().unwrap();
        let peer = peer::start("echo-lines", pipe.path());
        let mut end = pipe.open_writer().unwrap();
        end.write_all(b"one\n").unwrap();
        end.write_all(b"two\n").unwrap();
        drop(end);
        peer.join();
    });
}

#[test]
fn a_process_is_waited_for_until_it_opens_the_other_side() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let mut peer = peer::start("half-a-message", pipe.path());
        let mut end = pipe.into_reader().open().unwrap();
        end.wait_for_peer(peer.process()).unwrap();
        end.wait_for_peer_timeout(peer.process(), Duration::ZERO).unwrap();
        let mut bytes = [0; 7];
        end.read_exact(&mut bytes).unwrap();
        peer.join();
        assert_eq!(end.read(&mut bytes).unwrap(), 0);

        let pipe = Pipe::temporary().unwrap();
        let mut peer = peer::start("echo-lines", pipe.path());
        let mut end = pipe.into_writer().open_with(peer.process()).unwrap();
        end.write_all(b"one\ntwo\n").unwrap();
        drop(end);
        peer.join();
    });
}

#[test]
fn a_process_that_ends_without_opening_is_not_waited_for() {
    watched(|| {
        let mut end = Pipe::temporary().unwrap().into_reader().open().unwrap();
        let closed = Pipe::temporary().unwrap().into_writer();
        let mut peer = peer::start("wait", "nothing");
        let error = end.wait_for_peer_timeout(peer.process(), SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        let failed = closed.open_with_timeout(peer.process(), SHORT).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        let closed = failed.into_state();
        peer.proceed(); // to its end
        assert_eq!(end.wait_for_peer(peer.process()).unwrap_err().kind(), ErrorKind::ChildExited);
        assert_eq!(closed.open_with(peer.process()).unwrap_err().kind(), ErrorKind::ChildExited);
        peer.join();
    });
}

#[test]
fn vectored_reads_and_writes() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let client = thread::spawn(move || {
            let mut end = WriteEnd::at(path).unwrap().open().unwrap();
            let parts = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"tail")];
            io_write_vectored(&mut end, &parts)
        });
        let mut end = pipe.into_reader().open().unwrap();
        let (mut first, mut second) = ([0; 3], [0; 5]);
        let mut got = 0;
        while got < 8 {
            let read = if got == 0 {
                let mut parts = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
                Read::read_vectored(&mut end, &mut parts).unwrap()
            } else if got < 3 {
                Read::read(&mut end, &mut first[got..]).unwrap()
            } else {
                Read::read(&mut end, &mut second[got - 3..]).unwrap()
            };
            assert_ne!(read, 0);
            got += read;
        }
        assert_eq!((&first, &second), (b"hea", b"dtail"));
        assert_eq!(client.join().unwrap(), 8);
    });
}

#[test]
fn empty_buffers_are_not_the_end() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let client = thread::spawn(move || {
            let mut end = WriteEnd::at(path).unwrap().open().unwrap();
            end.write(b"x").unwrap();
        });
        let mut end = pipe.into_reader().open().unwrap();
        let mut last = [0; 1];
        // More than the system looks at in one call.
        let mut parts: Vec<_> = (0..2000).map(|_| IoSliceMut::new(&mut [])).collect();
        parts.push(IoSliceMut::new(&mut last));
        assert_eq!(Read::read_vectored(&mut end, &mut parts).unwrap(), 1);
        assert_eq!(&last, b"x");
        client.join().unwrap();
    });
}

fn io_write_vectored(end: &mut impl Write, parts: &[IoSlice<'_>]) -> usize {
    let mut written = end.write_vectored(parts).unwrap();
    let whole: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
    while written < whole.len() {
        written += end.write(&whole[written..]).unwrap();
    }
    written
}

#[test]
fn a3_a_reader_without_a_writer_is_not_at_the_end() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let mut end = pipe.open_reader().unwrap();
        let mut buf = [0; 8];
        assert_eq!(end.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(end.read_timeout(&mut buf, SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
        let zero = end.read_timeout(&mut buf, Duration::ZERO).unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a12_the_end_of_the_last_writer_is_the_end_of_the_stream() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut end = pipe.open_reader().unwrap();
        let mut client = WriteEnd::at(path).unwrap().open().unwrap();
        client.write_all(b"last").unwrap();
        // A child that lives on must not hold the writing end open.
        let child = peer::start("wait", "");
        drop(client);
        let mut text = String::new();
        end.read_to_string(&mut text).unwrap();
        assert_eq!(text, "last");
        // And the end stays.
        assert_eq!(end.read(&mut [0; 8]).unwrap(), 0);
        child.join();
    });
}

#[test]
fn a_writer_that_leaves_silently_is_the_end_of_the_stream() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut end = pipe.open_reader().unwrap();
        let peer = peer::start("leave", path);
        assert_eq!(end.read(&mut [0; 8]).unwrap(), 0);
        peer.join();
    });
}

#[test]
fn a5_a_reader_that_waits_for_the_next_writer_reads_all_of_them() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.reader().on_hangup(OnHangup::NextWriter);
        let mut end = reader.open().unwrap();
        for round in 0..20_u8 {
            let path = path.clone();
            let client = thread::spawn(move || {
                WriteEnd::at(path).unwrap().open().unwrap().write_all(&[round; 3]).unwrap();
            });
            let mut bytes = Vec::new();
            end.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, [round; 3]);
            client.join().unwrap();
        }
        assert_eq!(end.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a2_a_writer_without_a_reader_is_told_so() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        if cfg!(windows) {
            skipped("the owner of a pipe always listens on Windows");
            return;
        }
        let end = WriteEnd::at(pipe.path()).unwrap();
        let failed = end.try_open().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::WouldBlock, "{failed}");
        let failed = failed.into_state().open_timeout(SHORT).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        let failed = failed.into_state().open_timeout(Duration::ZERO).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
    });
}

#[test]
fn a_clients_end_opens_three_ways() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("absent");
        let end = || ReadEnd::at(&name).unwrap();
        assert_eq!(end().try_open().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(end().open_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
        let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
        let receiver = end().try_open().unwrap().into_receiver::<u8>();
        pipe.into_writer().open().unwrap().into_sender::<u8>().send(&7).unwrap();
        assert_eq!(receiver.take(1).map(Result::unwrap).collect::<Vec<_>>(), [7]);
    });
}

#[test]
fn a2_it_does_not_matter_who_starts_first() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("late");
        let client = {
            let name = name.clone();
            thread::spawn(move || {
                // `Duration::MAX` is as long as it takes.
                let end = WriteEnd::at(name).unwrap().open_timeout(Duration::MAX).unwrap();
                let mut end = end;
                end.write_all(b"at last").unwrap();
            })
        };
        thread::yield_now();
        let mut text = String::new();
        let mut end = Pipe::new(name).unwrap().mkfifo().unwrap().into_reader().open().unwrap();
        end.read_to_string(&mut text).unwrap();
        assert_eq!(text, "at last");
        client.join().unwrap();
    });
}

#[test]
fn a16_a_writer_learns_that_the_reader_is_gone() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let (opened, both_open) = channel();
        let client = thread::spawn(move || {
            let end = ReadEnd::at(path).unwrap().open().unwrap();
            both_open.recv().unwrap();
            drop(end);
        });
        let mut end = pipe.open_writer().unwrap();
        opened.send(()).unwrap();
        client.join().unwrap();
        let error = until_it_fails(|| end.write(b"anybody?"));
        assert!(error.is_disconnected(), "{error}");
        let error = Write::write(&mut end, b"anybody?").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a24_a_full_pipe_does_not_hold_a_writer_beyond_its_deadline() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.open_reader().unwrap();
        let mut end = WriteEnd::at(path).unwrap().open().unwrap();
        let mut full = 0;
        let error = loop {
            match end.try_write(&[7; 1000]) {
                Ok(bytes) => full += bytes,
                Err(error) => break error,
            }
            assert!(full < 1 << 26, "no pipe is so large");
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let before = Instant::now();
        let error = end.write_timeout(&[7; 1000], SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(before.elapsed() >= SHORT);
        // What was written is all there is.
        drop(end);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), full);
    });
}

#[test]
fn a_cancel_token_ends_what_waits_and_leaves_the_end_as_it_was() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut end = pipe.reader().cancelled_by(&token).open().unwrap();
        let stopper = {
            let token = token.clone();
            thread::spawn(move || token.cancel())
        };
        let error = end.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        stopper.join().unwrap();
        assert!(token.is_cancelled());
        // It stays stopped, and the end can be closed, and opened without the token.
        assert_eq!(end.read_timeout(&mut [0; 8], LONG).unwrap_err().kind(), ErrorKind::Cancelled);
        let failed = WriteEnd::at(path).unwrap().cancelled_by(&token);
        drop(end.close());
        drop(failed);
        let error = match pipe.reader().cancelled_by(&token).open() {
            Ok(mut end) => end.read(&mut [0; 1]).unwrap_err(),
            // A child that another test is about to start has a copy of the closed end for a moment, and it waits.
            Err(failed) => failed.into(),
        };
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn a6_a_cancel_token_ends_an_open_that_waits() {
    watched(|| {
        let folder = Folder::new();
        let token = CancelToken::new().unwrap();
        let end = WriteEnd::at(folder.name("never")).unwrap().cancelled_by(&token);
        let waiting = thread::spawn(move || end.open().unwrap_err());
        token.cancel();
        assert_eq!(waiting.join().unwrap().kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn a27_flush_is_nothing_to_wait_for() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.open_reader().unwrap();
        let mut end = WriteEnd::at(path).unwrap().open().unwrap();
        end.flush().unwrap();
        assert_eq!(end.write(&[]).unwrap(), 0);
        drop(reader);
    });
}

#[test]
fn a29_the_size_of_the_buffer_is_a_wish() {
    watched(|| {
        for wish in [1, 4096, 100_000, 1 << 21] {
            let mut pipe = PipeOptions::new().buffer_size(wish).temporary().unwrap();
            let end = pipe.open_reader().unwrap();
            match end.buffer_size() {
                Ok(size) => assert!(size > 0, "asked for {wish}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
            }
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a29_linux_rounds_the_size_up_and_has_a_limit_for_users() {
    let mut pipe = PipeOptions::new().buffer_size(1).temporary().unwrap();
    assert_eq!(pipe.open_reader().unwrap().buffer_size().unwrap(), 4096);
    let mut pipe = PipeOptions::new().buffer_size(100_000).temporary().unwrap();
    assert_eq!(pipe.open_reader().unwrap().buffer_size().unwrap(), 131_072);
}

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, OwnedFd};
    use std::process::{Command, Stdio};

    use typed_pipe::Unnamed;
    use typed_pipe::state::Open;

    use super::*;

    #[test]
    fn handles_of_pipes_are_ends() {
        watched(|| {
            let mut child =
                Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let stdin = OwnedFd::from(child.stdin.take().unwrap());
            let stdout = OwnedFd::from(child.stdout.take().unwrap());
            let mut to: WriteEnd<Open, Unnamed> = stdin.try_into().unwrap();
            let mut from: ReadEnd<Open, Unnamed> = stdout.try_into().unwrap();
            assert!(to.path().is_none());
            to.write_all(b"through cat").unwrap();
            drop(to.close());
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            assert_eq!(text, "through cat");
            child.wait().unwrap();
        });
    }

    #[test]
    fn other_handles_are_refused_and_given_back() {
        let file = OwnedFd::from(std::fs::File::open("/").unwrap());
        let failed = ReadEnd::<Open, Unnamed>::try_from(file).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotAPipe, "{failed}");
        drop(std::fs::File::from(failed.into_state()));

        let mut pipe = Pipe::temporary().unwrap();
        let end = pipe.open_reader().unwrap();
        let fd = end.as_fd().try_clone_to_owned().unwrap();
        let failed = WriteEnd::<Open, Unnamed>::try_from(fd).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::WrongDirection, "{failed}");
        drop(ReadEnd::<Open, Unnamed>::try_from(failed.into_state()).unwrap());
    }

    #[test]
    fn a_descriptor_that_is_given_away_keeps_other_readers_out() {
        watched(|| {
            let pipe = Pipe::temporary().unwrap();
            for renewed in [false, true] {
                let reader = ReadEnd::from(pipe.path().clone());
                let mut end = reader.on_hangup(OnHangup::NextWriter).open().unwrap();
                if renewed {
                    drop(WriteEnd::from(pipe.path().clone()).open().unwrap());
                    assert_eq!(end.read(&mut [0; 1]).unwrap(), 0, "the writer has left");
                }
                let _fd = OwnedFd::from(end);
                let other = ReadEnd::from(pipe.path().clone()).try_open();
                assert_eq!(other.unwrap_err().kind(), ErrorKind::InUse, "{renewed}");
            }
        });
    }

    #[test]
    fn a25_a_descriptor_that_is_given_away_is_blocking() {
        let pipe = Pipe::temporary().unwrap();
        let mut end = pipe.into_reader().open().unwrap();
        end.try_read(&mut [0; 1]).unwrap_err(); // switches to nonblocking
        let fd = OwnedFd::from(end);
        let flags = rustix::fs::fcntl_getfl(&fd).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    }
}
