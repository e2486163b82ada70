//! The other side closes with bytes of this one unread: the system tells of a reset, which is no end of the stream.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use typed_pipe::wire::foreign::Lines;
use typed_pipe::wire::{Plain, Wire};
use typed_pipe::{
    Connection, ErrorKind, Handshake, Hangup, Listener, TypedConnection, TypedReceiver, TypedSender,
};

use crate::node::node;
use crate::peer;
use crate::support::{Folder, short, until_it_fails, watched};

/// The two sides of a connection, of which the other one is the standard library's.
fn with_std() -> (Connection, UnixStream) {
    let folder = Folder::new();
    let name = folder.name("door");
    let listener = UnixListener::bind(short(&name)).unwrap();
    let client = Connection::connect(&name).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Answers with these words, and leaves with the question unread.
fn answer_and_reset(mut server: UnixStream, words: &[u8]) {
    server.write_all(words).unwrap();
}

/// A read tells of a reset, and so does each that follows.
pub(crate) fn expect_reset(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) {
    for _ in 0..3 {
        let error = read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }
    assert_eq!(read(&mut []).unwrap(), 0);
}

#[test]
fn b12_a_side_that_leaves_with_bytes_unread_has_said_no_end() {
    watched(|| {
        let (mut client, mut server) = Connection::pair().unwrap();
        client.write_all(b"never read").unwrap();
        server.write_all(b"the last words").unwrap();
        drop(server);
        let mut words = [0; 14];
        client.read_exact(&mut words).unwrap();
        assert_eq!(&words, b"the last words");
        expect_reset(|buf| client.read(buf));
        let failed = client.reader().read(&mut [0; 8]).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Disconnected, "{failed}");
        assert!(failed.to_string().contains("unread"), "{failed}");
        let failed = client.writer().write(b"more").unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Disconnected, "{failed}");
    });
}

#[test]
fn b12_half_an_answer_is_no_whole_one() {
    watched(|| {
        let (mut client, server) = with_std();
        client.write_all(b"GET /").unwrap();
        answer_and_reset(server, b"half");
        let mut answer = Vec::new();
        let error = client.read_to_end(&mut answer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        assert_eq!(answer, b"half");
        expect_reset(|buf| client.read(buf));
    });
}

/// A write is told of the reset in place of the read: the bytes before it are read all the same, and then the reset.
#[test]
fn b12_a_reset_that_a_write_was_told_of_is_told_to_reads_too() {
    watched(|| {
        let (mut client, server) = with_std();
        client.write_all(b"GET /").unwrap();
        answer_and_reset(server, b"half");
        let failed = until_it_fails(|| client.writer().write(b"more"));
        assert_eq!(failed.kind(), ErrorKind::Disconnected, "{failed}");
        let (mut reader, writer) = client.split();
        drop(writer);
        let mut buf = [0; 8];
        assert_eq!(reader.read(&mut buf).unwrap(), 4);
        assert_eq!(&buf[..4], b"half");
        expect_reset(|buf| Read::read(&mut reader, buf));
    });
}

/// So is one that the wait for the reader of the last message was told of.
#[test]
fn b12_a_reset_that_finish_was_told_of_is_told_to_reads_too() {
    watched(|| {
        let (client, server) = with_std();
        let (mut reader, writer) = client.split();
        let mut sender = writer.into_sender::<u32>();
        sender.send(&1).unwrap();
        answer_and_reset(server, b"half");
        let failed = sender.finish().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Disconnected, "{failed}");
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 4);
        expect_reset(|buf| Read::read(&mut reader, buf));
    });
}

/// A side that has read all and closes, as most programs do, ends its stream.
#[test]
fn a_side_that_has_read_all_and_closes_ends_its_stream() {
    watched(|| {
        let (mut client, mut server) = with_std();
        client.write_all(b"GET /").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        server.write_all(b"all").unwrap();
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"all");
    });
}

#[test]
fn a_process_that_is_killed_with_bytes_unread_has_said_no_end() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut peer = peer::start("connect", listener.path());
        let mut client = listener.accept().unwrap();
        peer.await_step(peer::READY);
        client.write_all(b"never read").unwrap();
        peer.kill();
        expect_reset(|buf| client.read(buf));
    });
}

/// Lines that were received until the reset, and what that was told as.
fn lines_before_reset(words: &[u8]) -> (Vec<String>, ErrorKind, Option<Hangup>) {
    let (mut client, server) = with_std();
    client.write_all(b"GET /").unwrap();
    answer_and_reset(server, words);
    let mut lines =
        client.split().0.into_receiver_with::<String, _, _>(Wire::new(Lines::default(), Plain));
    let (mut all, mut kinds) = (Vec::new(), Vec::new());
    for line in lines.by_ref() {
        match line {
            Ok(line) => all.push(line),
            Err(error) => kinds.push(error.kind()),
        }
    }
    let [kind] = kinds[..] else { panic!("{kinds:?}") };
    assert!(lines.next().is_none());
    (all, kind, lines.last_hangup())
}

#[test]
fn b12_lines_that_a_reset_cuts_off_end_in_an_error() {
    watched(|| {
        let (lines, kind, end) = lines_before_reset(b"one\ntwo\n");
        assert_eq!(lines, ["one", "two"]);
        assert_eq!((kind, end), (ErrorKind::Disconnected, Some(Hangup::Disconnected)));
        let (lines, kind, end) = lines_before_reset(b"one\ntw");
        assert_eq!(lines, ["one"]);
        assert_eq!((kind, end), (ErrorKind::Truncated, Some(Hangup::Truncated)));
    });
}

/// The comfort that ends a last line is for streams that have ended.
#[test]
fn b12_a_line_of_text_that_a_reset_cuts_off_is_no_line() {
    watched(|| {
        let (mut client, server) = with_std();
        client.write_all(b"GET /").unwrap();
        answer_and_reset(server, b"one\ntw");
        let mut lines = client.split().0.into_text();
        assert_eq!(lines.recv().unwrap(), "one");
        assert_eq!(lines.recv().unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(lines.last_hangup(), Some(Hangup::Truncated));
        assert_eq!(lines.recv().unwrap_err().kind(), ErrorKind::Disconnected);
    });
}

/// Whoever has said goodbye has said all; what it left unread is told to who sent it.
#[test]
fn b12_a_goodbye_before_a_reset_is_a_goodbye() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let (reader, writer) = client.split();
        let mut questions = writer.into_sender::<u32>();
        questions.send(&1).unwrap();
        let (unread, writer) = server.split();
        let mut answers = writer.into_sender::<u32>();
        answers.send(&2).unwrap();
        drop((answers.finish_into_inner().unwrap(), unread));
        let mut receiver = reader.into_receiver::<u32>();
        assert_eq!(receiver.recv().unwrap(), 2);
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
        assert_eq!(receiver.last_hangup(), Some(Hangup::Finished));
        assert!(receiver.next().is_none());
        assert_eq!(questions.finish().unwrap_err().kind(), ErrorKind::Disconnected);
    });
}

#[test]
fn b12_a_typed_connection_tells_of_a_reset_after_what_came_before_it() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let agreeing = thread::spawn(|| server.into_typed::<u32, u32>().unwrap());
        let mut client: TypedConnection<u32, u32> = client.into_typed().unwrap();
        let mut server = agreeing.join().unwrap();
        client.send(&1).unwrap();
        server.sender().send_all([2, 3]).unwrap();
        drop(server);
        // This one is told first, and takes in what has come.
        let failed = until_it_fails(|| client.send(&4));
        assert_eq!(failed.kind(), ErrorKind::Disconnected, "{failed}");
        assert_eq!((client.recv().unwrap(), client.recv().unwrap()), (2, 3));
        let error = client.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
        assert!(client.next().is_none());
        assert_eq!(client.split().1.last_hangup(), Some(Hangup::Disconnected));
    });
}

/// What a program of another kind says before it leaves names it still.
#[test]
fn b12_a_stranger_that_leaves_in_the_middle_of_a_handshake_is_named() {
    watched(|| {
        let (client, mut server) = with_std();
        let stranger = thread::spawn(move || {
            // Whatever this side says is left unread.
            server.write_all(b"no").unwrap();
            while rustix::io::ioctl_fionread(&server).unwrap() == 0 {
                thread::yield_now();
            }
        });
        let error = Handshake::new().perform::<u32, u32>(client).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        stranger.join().unwrap();
    });
}

/// Any reader may tell of its end by an error.
#[test]
fn a_reader_of_another_kind_that_is_cut_off_ends_in_an_error() {
    struct CutOff(&'static [u8], io::ErrorKind);
    impl Read for CutOff {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buf)? {
                0 => Err(self.1.into()),
                bytes => Ok(bytes),
            }
        }
    }
    for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe] {
        let mut bytes = Vec::new();
        TypedSender::new(&mut bytes).send(&7_u8).unwrap();
        let bytes: &'static [u8] = bytes.leak();
        let mut receiver = TypedReceiver::<u8, _>::new(CutOff(bytes, kind));
        assert_eq!(receiver.next().unwrap().unwrap(), 7);
        assert_eq!(receiver.next().unwrap().unwrap_err().kind(), ErrorKind::Disconnected);
        assert_eq!(receiver.last_hangup(), Some(Hangup::Disconnected));
        assert!(receiver.next().is_none());
        let mut receiver = TypedReceiver::<u8, _>::new(CutOff(&bytes[..3], kind));
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(receiver.last_hangup(), Some(Hangup::Truncated));
    }
}

/// libuv closes with the request unread.
#[test]
fn b12_half_an_answer_of_libuv_is_no_whole_one() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("node");
        let Some(mut server) = node("reset.js", &name, &[]) else { return };
        let mut client = Connection::connect(&name).unwrap();
        client.write_all(b"GET /").unwrap();
        std::fs::write(folder.name("node.asked"), "").unwrap(); // it must not look for itself
        let mut answer = Vec::new();
        let error = client.read_to_end(&mut answer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        assert_eq!(answer, b"half");
        assert!(server.wait().unwrap().success());
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use std::future::poll_fn;
    use std::pin::pin;

    use futures_core::Stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tasks_both_ways::{in_runtime, pair};

    #[test]
    fn b12_a_reset_is_told_to_tasks_after_what_came_before_it() {
        in_runtime(|| async {
            for writes_first in [false, true] {
                let (mut client, mut server) = pair().await;
                client.write_all(b"never read").await.unwrap();
                server.write_all(b"one\ntw").await.unwrap();
                drop(server);
                if writes_first {
                    // See `until_it_fails`.
                    let failed = loop {
                        if let Err(error) = client.writer().write(b"more").await {
                            break error;
                        }
                    };
                    assert!(failed.is_disconnected(), "{failed}");
                }
                let mut buf = [0; 4];
                client.read_exact(&mut buf[..2]).await.unwrap();
                assert_eq!(&buf[..2], b"on");
                let wire = Wire::new(Lines::default(), Plain);
                let mut lines = client.split().0.into_receiver_with::<String, _, _>(wire);
                assert_eq!(lines.recv().await.unwrap(), "e");
                assert_eq!(lines.recv().await.unwrap_err().kind(), ErrorKind::Truncated);
                assert_eq!(lines.last_hangup(), Some(Hangup::Truncated));
                let next = poll_fn(|cx| Stream::poll_next(pin!(&mut lines), cx)).await;
                assert!(next.is_none(), "it is told once");
                let mut reader = lines.into_inner();
                for _ in 0..3 {
                    let error = AsyncReadExt::read(&mut reader, &mut [0; 8]).await.unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                }
            }
        });
    }
}
