//! Handles beside messages.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::panic;
use std::thread;
use std::time::Duration;

use typed_pipe::{Connection, ErrorKind, Handles, Listener, TypedConnection, WithHandles};

use crate::peer;
use crate::support::watched;

const SHORT: Duration = Duration::from_millis(50);

/// A file with these words, to be read from the beginning.
fn file(words: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(words.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

fn words(mut from: impl Read) -> String {
    let mut words = String::new();
    from.read_to_string(&mut words).unwrap();
    words
}

type Giver<T = String> = TypedConnection<WithHandles<T>, T>;
type Taker<T = String> = TypedConnection<T, WithHandles<T>>;

/// One side that gives handles, and one that takes them.
fn giver_and_taker<T>() -> (Giver<T>, Taker<T>)
where
    T: serde::Serialize + serde::de::DeserializeOwned + 'static,
{
    let (client, server) = Connection::pair().unwrap();
    let agreeing = thread::spawn(move || server.into_typed().unwrap());
    (client.into_typed().unwrap(), agreeing.join().unwrap())
}

#[test]
fn files_reach_another_process() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let peer = peer::start("read-files", listener.path());
        let client = listener.accept().unwrap();
        let mut client = client.into_typed::<WithHandles<Vec<(u32, String)>>, u32>().unwrap();
        for count in [0, 1, 7] {
            let mut handles = Handles::new();
            let mut told = Vec::new();
            for number in 0..count {
                let words = format!("file {number} of {count}");
                told.push((handles.add(file(&words)), words));
            }
            // Their numbers may be told in any order.
            told.reverse();
            client.send_with_handles(&told, &mut handles).unwrap();
            assert!(handles.is_empty());
            assert_eq!(client.recv().unwrap(), count);
        }
        client.finish().unwrap();
        peer.join();
    });
}

#[test]
fn a_handle_is_taken_once_and_by_its_number() {
    watched(|| {
        let (mut giver, mut taker) = giver_and_taker::<String>();
        let mut handles = Handles::new();
        assert_eq!([handles.add(file("first")), handles.add(file("second"))], [0, 1]);
        giver.send_with_handles(&"two".into(), &mut handles).unwrap();
        let (_, mut handles) = taker.recv_with_handles().unwrap();
        assert_eq!(handles.len(), 2);
        assert_eq!(words(handles.take::<File>(1).unwrap()), "second");
        for number in [1, 2, u32::MAX] {
            let error = handles.take::<File>(number).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        }
        assert_eq!(words(handles.take::<File>(0).unwrap()), "first");
        // What was taken cannot be sent on, and nothing of the rest is.
        handles.add(file("third"));
        let error = giver.send_with_handles(&"two".into(), &mut handles).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert_eq!(words(handles.take::<File>(2).unwrap()), "third");
    });
}

#[test]
fn b19_too_many_handles_are_refused_before_anything_is_sent() {
    watched(|| {
        let (mut giver, mut taker) = giver_and_taker::<String>();
        let log = file("log");
        let mut handles = Handles::new();
        for _ in 0..=Handles::MAX {
            handles.add(log.try_clone().unwrap());
        }
        let error = giver.send_with_handles(&"too many".into(), &mut handles).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(!error.is_half_sent());
        assert_eq!(handles.len(), Handles::MAX + 1);
        assert_eq!(
            taker.receiver().set_timeout(Duration::ZERO).recv_with_handles().unwrap_err().kind(),
            ErrorKind::WouldBlock
        );

        let mut handles = Handles::new();
        for _ in 0..Handles::MAX {
            handles.add(log.try_clone().unwrap());
        }
        giver.send_with_handles(&"as many as may be".into(), &mut handles).unwrap();
        let (_, mut handles) = taker.recv_with_handles().unwrap();
        assert_eq!(handles.len(), Handles::MAX);
        assert_eq!(words(handles.take::<File>(252).unwrap()), "log");
    });
}

#[test]
fn handles_that_could_not_be_sent_stay() {
    watched(|| {
        let (mut giver, mut taker) = giver_and_taker::<String>();
        let large = "x".repeat(20_000);
        let mut sent = 0;
        let (error, mut handles) = loop {
            let mut handles = Handles::new();
            handles.add(file("kept"));
            match giver.sender().set_timeout(Duration::ZERO).send_with_handles(&large, &mut handles)
            {
                Ok(()) => sent += 1,
                Err(error) => break (error, handles),
            }
            // However many handles the system lets wait.
            assert!(sent < 10_000, "it is never full");
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
        if error.is_half_sent() {
            assert!(handles.is_empty());
            sent += 1;
            handles.add(file("kept"));
        }
        assert_eq!(words(handles.take::<File>(0).unwrap()), "kept");
        giver.sender().set_timeout(None);
        let taking = thread::spawn(move || {
            for _ in 0..sent {
                let (_, mut handles) = taker.recv_with_handles().unwrap();
                assert_eq!(words(handles.take::<File>(0).unwrap()), "kept");
            }
            taker.recv_with_handles().unwrap_err().kind()
        });
        giver.finish().unwrap();
        assert_eq!(taking.join().unwrap(), ErrorKind::Finished);
    });
}

/// It has the shape of a `u8`, and refuses most of them.
#[derive(serde::Deserialize)]
#[serde(try_from = "u8")]
struct Truth(bool);

impl TryFrom<u8> for Truth {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, &'static str> {
        match number {
            0 | 1 => Ok(Self(number == 1)),
            _ => Err("it is neither true nor false"),
        }
    }
}

#[test]
fn a_message_that_does_not_decode_keeps_its_handles_to_itself() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let agreeing =
            thread::spawn(move || server.into_typed::<u8, WithHandles<Truth>>().unwrap());
        let mut giver = client.into_typed::<WithHandles<u8>, u8>().unwrap();
        let mut taker = agreeing.join().unwrap();
        for round in 0..2000_u32 {
            let no_bool = round % 3 == 0;
            let mut handles = Handles::new();
            // Some have none at all, and some more than one.
            for number in 0..round % 4 {
                handles.add(file(&format!("{round}:{number}")));
            }
            giver.send_with_handles(&if no_bool { 2 } else { 1 }, &mut handles).unwrap();
            match taker.recv_with_handles() {
                Ok((Truth(true), mut handles)) => {
                    assert!(!no_bool);
                    assert_eq!(handles.len(), round as usize % 4);
                    for number in 0..round % 4 {
                        let file = handles.take::<File>(number).unwrap();
                        assert_eq!(words(file), format!("{round}:{number}"));
                    }
                }
                Ok((Truth(false), _)) => panic!("another value came"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
                    assert!(no_bool);
                }
            }
        }
    });
}

#[test]
fn handles_come_with_their_messages_when_both_sides_send_first() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let sides = [(client, "client"), (server, "server")].map(|(side, name)| {
            thread::spawn(move || {
                let mut side =
                    side.into_typed::<WithHandles<String>, WithHandles<String>>().unwrap();
                let large = "x".repeat(100_000);
                for number in 0..40 {
                    let mut handles = Handles::new();
                    handles.add(file(&format!("{name} {number}")));
                    side.send_with_handles(&large, &mut handles).unwrap();
                }
                let other = if name == "client" { "server" } else { "client" };
                for number in 0..40 {
                    let (_, mut handles) = side.recv_with_handles().unwrap();
                    let file = handles.take::<File>(0).unwrap();
                    assert_eq!(words(file), format!("{other} {number}"));
                }
                // Or one would leave before the other has its handles, which on Windows it must not.
                let mut receiver = side.finish().unwrap();
                assert_eq!(receiver.recv_with_handles().unwrap_err().kind(), ErrorKind::Finished);
            })
        });
        sides.into_iter().for_each(|side| side.join().unwrap());
    });
}

#[test]
fn deadlines_of_messages_with_handles() {
    watched(|| {
        let (mut giver, mut taker) = giver_and_taker::<String>();
        assert_eq!(
            taker.receiver().set_timeout(SHORT).recv_with_handles().unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        assert_eq!(
            taker.receiver().set_timeout(Duration::ZERO).recv_with_handles().unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let mut handles = Handles::new();
        handles.add(file("in time"));
        giver
            .sender()
            .set_timeout(Duration::from_secs(30))
            .send_with_handles(&"now".into(), &mut handles)
            .unwrap();
        let (message, mut handles) =
            taker.receiver().set_timeout(Duration::from_secs(30)).recv_with_handles().unwrap();
        assert_eq!(message, "now");
        assert_eq!(words(handles.take::<File>(0).unwrap()), "in time");
    });
}

#[test]
fn a_value_that_does_not_encode_leaves_its_handles() {
    #[derive(serde::Deserialize)]
    #[serde(from = "u8")]
    struct Never;
    impl From<u8> for Never {
        fn from(_: u8) -> Self {
            Self
        }
    }
    impl serde::Serialize for Never {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let agreeing = thread::spawn(move || server.into_typed::<u8, WithHandles<u8>>().unwrap());
        let mut giver = client.into_typed::<WithHandles<Never>, u8>().unwrap();
        let _taker = agreeing.join().unwrap();
        let mut handles = Handles::new();
        handles.add(file("kept"));
        let error = giver.send_with_handles(&Never, &mut handles).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode, "{error}");
        assert_eq!(words(handles.take::<File>(0).unwrap()), "kept");
    });
}

#[test]
fn handles_of_a_value_that_panics_do_not_go_with_the_next_one() {
    #[derive(serde::Deserialize)]
    #[serde(from = "u8")]
    struct Panics(bool);
    impl From<u8> for Panics {
        fn from(_: u8) -> Self {
            Self(false)
        }
    }
    impl serde::Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            assert!(!self.0, "it does as it is asked");
            serializer.serialize_u8(7)
        }
    }
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let agreeing = thread::spawn(move || server.into_typed::<u8, WithHandles<u8>>().unwrap());
        let mut giver = client.into_typed::<WithHandles<Panics>, u8>().unwrap();
        let mut taker = agreeing.join().unwrap();
        let (log, mut handles) = (file("log"), Handles::new());
        handles.add(file("of the one that panicked"));
        let panicked = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            giver.send_with_handles(&Panics(true), &mut handles)
        }));
        panicked.unwrap_err();
        let mut handles = Handles::new();
        for _ in 0..Handles::MAX {
            handles.add(log.try_clone().unwrap());
        }
        giver.send_with_handles(&Panics(false), &mut handles).unwrap();
        let (seven, mut handles) = taker.recv_with_handles().unwrap();
        assert_eq!((seven, handles.len()), (7, Handles::MAX));
        assert_eq!(words(handles.take::<File>(0).unwrap()), "log");
    });
}

#[cfg(unix)]
pub(crate) use unix::flood;

#[cfg(unix)]
mod unix {
    use std::mem::MaybeUninit;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use rustix::cmsg_space;
    use rustix::net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, send, sendmsg,
    };
    use typed_pipe::state::{Open, Read as Reading, Write as Writing};
    use typed_pipe::{End, FromHandle, Pipe, Unnamed, WriteEnd};

    use super::*;
    use crate::support::{Folder, short};

    type Reader = End<Reading, Open, Unnamed>;
    type Writer = End<Writing, Open, Unnamed>;

    /// Sends bytes with descriptors beside them, without a word of them and without waiting.
    fn slip(to: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> rustix::io::Result<usize> {
        let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
        let mut beside = SendAncillaryBuffer::new(&mut room);
        assert!(beside.push(SendAncillaryMessage::ScmRights(fds)));
        sendmsg(to, &[std::io::IoSlice::new(bytes)], &mut beside, SendFlags::DONTWAIT)
    }

    /// A client that sends as many descriptors as it can, and no word.
    pub(crate) fn flood(path: impl AsRef<std::path::Path>) -> Connection {
        let socket = UnixStream::connect(short(path)).unwrap();
        let null = File::open("/dev/null").unwrap();
        for _ in 0..100 {
            if slip(&socket, b"x", &[null.as_fd(); 253]).is_err() {
                break;
            }
        }
        Connection::try_from(OwnedFd::from(socket)).unwrap()
    }

    /// Takes the only handle of the next message.
    fn next<T: FromHandle>(taker: &mut Taker) -> T {
        taker.recv_with_handles().unwrap().1.take(0).unwrap()
    }

    #[test]
    fn b23_every_kind_of_handle_is_used_by_who_receives_it() {
        watched(|| {
            let folder = Folder::new();
            let (mut giver, mut taker) = giver_and_taker::<String>();
            let mut give = |handle: OwnedFd| {
                let mut handles = Handles::new();
                handles.add(handle);
                giver.send_with_handles(&String::new(), &mut handles).unwrap();
            };

            give(file("a file").into());
            assert_eq!(words(next::<File>(&mut taker)), "a file");

            // Both ends of a FIFO.
            let pipe = Pipe::new(folder.name("fifo")).unwrap().mkfifo().unwrap();
            let path = pipe.path().clone();
            let reader = pipe.into_reader().open().unwrap();
            let writer = WriteEnd::from(path).open().unwrap();
            give(writer.into());
            give(reader.into());
            let mut writer = next::<Writer>(&mut taker);
            let mut reader = next::<Reader>(&mut taker);
            writer.write_all(b"through a fifo").unwrap();
            drop(writer);
            assert_eq!(words(&mut reader), "through a fifo");

            // A connection, in the middle of its life.
            let (mut one, mut other) = Connection::pair().unwrap();
            other.write_all(b"before ").unwrap();
            one.write_all(b"hello").unwrap();
            give(one.into());
            let mut one = next::<Connection>(&mut taker);
            other.read_exact(&mut [0; 5]).unwrap();
            other.write_all(b"and after").unwrap();
            drop(other);
            assert_eq!(words(&mut one), "before and after");

            // Sockets.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            give(listener.into());
            let dialled = TcpStream::connect(address).unwrap();
            give(dialled.into());
            let listener = next::<TcpListener>(&mut taker);
            let mut dialled = next::<TcpStream>(&mut taker);
            dialled.write_all(b"over tcp").unwrap();
            drop(dialled);
            assert_eq!(words(listener.accept().unwrap().0), "over tcp");

            let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
            let address = datagrams.local_addr().unwrap();
            give(datagrams.into());
            assert_eq!(next::<UdpSocket>(&mut taker).local_addr().unwrap(), address);

            let listener = UnixListener::bind(short(folder.name("other"))).unwrap();
            give(listener.into());
            let dialled = UnixStream::connect(short(folder.name("other"))).unwrap();
            give(dialled.into());
            let listener = next::<UnixListener>(&mut taker);
            let dialled = next::<UnixStream>(&mut taker);
            (&dialled).write_all(b"over unix").unwrap();
            drop(dialled);
            assert_eq!(words(listener.accept().unwrap().0), "over unix");

            let (one, other) = UnixDatagram::pair().unwrap();
            give(one.into());
            next::<UnixDatagram>(&mut taker).send(b"datagram").unwrap();
            assert_eq!(other.recv(&mut [0; 16]).unwrap(), 8);
        });
    }

    #[test]
    fn b23_a_handle_of_another_kind_is_refused_and_stays() {
        fn refused<T: FromHandle>(handles: &mut Handles, number: u32) -> ErrorKind {
            let error = handles.take::<T>(number).map(drop).unwrap_err();
            assert!(!error.to_string().is_empty());
            error.kind()
        }
        watched(|| {
            let folder = Folder::new();
            let (mut giver, mut taker) = giver_and_taker::<String>();
            let mut handles = Handles::new();
            let file = handles.add(file("a file"));
            let pipe = Pipe::new(folder.name("fifo")).unwrap().mkfifo().unwrap();
            let fifo = handles.add(pipe.into_reader().open().unwrap());
            let tcp_listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let dialled = TcpStream::connect(tcp_listener.local_addr().unwrap()).unwrap();
            let (tcp_listener, tcp) = (handles.add(tcp_listener), handles.add(dialled));
            let unix_listener = UnixListener::bind(short(folder.name("socket"))).unwrap();
            let unix_listener = handles.add(unix_listener);
            let unix = handles.add(UnixStream::pair().unwrap().0);
            let datagrams = handles.add(UnixDatagram::pair().unwrap().0);
            let inner = handles.add(File::open(folder.name("")).unwrap());
            giver.send_with_handles(&String::new(), &mut handles).unwrap();

            let (_, mut handles) = taker.recv_with_handles().unwrap();
            for number in [fifo, tcp_listener, tcp, unix_listener, unix, datagrams, inner] {
                assert_eq!(refused::<File>(&mut handles, number), ErrorKind::Mismatch);
            }
            for number in [file, fifo, tcp, unix_listener, unix, datagrams, inner] {
                assert_eq!(refused::<TcpListener>(&mut handles, number), ErrorKind::Mismatch);
            }
            for number in [file, fifo, tcp_listener, unix_listener, unix, datagrams, inner] {
                assert_eq!(refused::<TcpStream>(&mut handles, number), ErrorKind::Mismatch);
            }
            for number in [file, fifo, tcp_listener, tcp, unix, datagrams, inner] {
                assert_eq!(refused::<UnixListener>(&mut handles, number), ErrorKind::Mismatch);
            }
            for number in [file, fifo, tcp_listener, tcp, unix_listener, datagrams, inner] {
                assert_eq!(refused::<UnixStream>(&mut handles, number), ErrorKind::Mismatch);
                assert_eq!(refused::<Connection>(&mut handles, number), ErrorKind::NotAPipe);
            }
            for number in [file, tcp_listener, tcp, unix_listener, unix, datagrams, inner] {
                assert_eq!(refused::<Reader>(&mut handles, number), ErrorKind::NotAPipe);
            }
            assert_eq!(refused::<Writer>(&mut handles, fifo), ErrorKind::WrongDirection);

            // And all are still there.
            assert_eq!(words(handles.take::<File>(file).unwrap()), "a file");
            handles.take::<Reader>(fifo).unwrap();
            handles.take::<TcpListener>(tcp_listener).unwrap();
            handles.take::<TcpStream>(tcp).unwrap();
            handles.take::<UnixListener>(unix_listener).unwrap();
            handles.take::<Connection>(unix).unwrap();
            handles.take::<UnixDatagram>(datagrams).unwrap();
            handles.take::<OwnedFd>(inner).unwrap();
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn b23_a_name_without_access_is_no_file() {
        use rustix::fs::{CWD, Mode, OFlags, openat};

        watched(|| {
            let (mut giver, mut taker) = giver_and_taker::<String>();
            let mut handles = Handles::new();
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            handles.add(openat(CWD, "/etc/passwd", flags, Mode::empty()).unwrap());
            giver.send_with_handles(&String::new(), &mut handles).unwrap();
            let (_, mut handles) = taker.recv_with_handles().unwrap();
            assert_eq!(handles.take::<File>(0).unwrap_err().kind(), ErrorKind::Mismatch);
        });
    }

    #[test]
    fn b20_what_arrives_is_closed_on_exec() {
        use rustix::io::{FdFlags, fcntl_getfd};

        watched(|| {
            let (mut giver, mut taker) = giver_and_taker::<String>();
            let mut handles = Handles::new();
            for _ in 0..3 {
                handles.add(file(""));
            }
            giver.send_with_handles(&String::new(), &mut handles).unwrap();
            let (_, mut handles) = taker.recv_with_handles().unwrap();
            for number in 0..3 {
                let fd = handles.take::<OwnedFd>(number).unwrap();
                assert!(fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
            }
        });
    }

    #[test]
    fn b19_a_message_that_tells_of_other_handles_than_came_is_lost_alone() {
        watched(|| {
            let (giver, mut taker) = giver_and_taker::<String>();
            let (sender, _receiver) = giver.split();
            let hostile = sender.into_inner();
            let file = file("a file");
            // The bytes of a message: how many handles, their numbers, and an empty string.
            let send = |told: &[u8], handles: usize| {
                let message = [&[0, 0, 0, u8::try_from(told.len()).unwrap()], told].concat();
                match handles {
                    0 => send(&hostile, &message, SendFlags::empty()).unwrap(),
                    _ => slip(&hostile, &message, &vec![file.as_fd(); handles]).unwrap(),
                };
            };
            let mut came = 0;
            for (told, handles) in [
                (&[1, 1, 0, 0][..], 2), // more came
                (&[3, 1, 1, 0], 2),     // fewer came
                (&[1, 1, 2, 0], 0),     // none came
                (&[1, 1, 99, 0], 1),    // a number that is still to come
                (&[1, 1, 0, 0], 1),     // one that is over
                (&[2, 2, 4, 4, 0], 1),  // two numbers
                (&[0, 1, 5, 0], 1),     // a number and no handle
                (&[255, 1, 6, 0], 1),   // more than there may be
            ] {
                send(told, handles);
                came += u8::from(handles > 0);
                let lost = taker.recv_with_handles().unwrap_err();
                assert_eq!(lost.kind(), ErrorKind::MessageLost, "{told:?}: {lost}");
                assert!(!lost.is_fatal());
                // The next one is as it should be.
                send(&[1, 1, came, 0], 1);
                came += 1;
                let (_, mut handles) = taker.recv_with_handles().unwrap();
                assert_eq!(handles.len(), 1);
                handles.take::<File>(0).unwrap();
            }
        });
    }

    #[test]
    fn b19_handles_that_find_no_room_are_lost_with_their_message_alone() {
        watched(|| peer::start("exhausted-receiver", Folder::new().name("door")).join());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn b19_more_handles_than_may_be_on_their_way_are_told_to_their_sender() {
        watched(|| peer::start("exhausted-sender", Folder::new().name("door")).join());
    }

    #[test]
    fn b22_who_expects_no_handles_lets_none_in() {
        watched(|| peer::start("lets-nothing-in", Folder::new().name("door")).join());
    }

    #[test]
    fn b22_handles_that_no_message_tells_of_do_not_pile_up() {
        watched(|| peer::start("hoard-nothing", Folder::new().name("door")).join());
    }

    #[test]
    fn b21_handles_come_with_the_first_byte_of_their_message() {
        watched(|| {
            let (mut giver, mut taker) = giver_and_taker::<String>();
            // Three messages at once, of which the one in the middle has a handle.
            for number in 0..3 {
                let mut handles = Handles::new();
                if number == 1 {
                    handles.add(file("of the second"));
                }
                giver.send_with_handles(&number.to_string(), &mut handles).unwrap();
            }
            for number in 0..3 {
                let (message, mut handles) = taker.recv_with_handles().unwrap();
                assert_eq!(message, number.to_string());
                assert_eq!(handles.len(), usize::from(number == 1));
                if number == 1 {
                    assert_eq!(words(handles.take::<File>(0).unwrap()), "of the second");
                }
            }
        });
    }

    #[test]
    fn what_a_sender_sent_before_it_left_arrives_with_its_handles() {
        watched(|| {
            let (mut giver, mut taker) = giver_and_taker::<String>();
            let mut handles = Handles::new();
            handles.add(file("left behind"));
            giver.send_with_handles(&"bye".into(), &mut handles).unwrap();
            drop(giver);
            let (_, mut handles) = taker.recv_with_handles().unwrap();
            assert_eq!(words(handles.take::<File>(0).unwrap()), "left behind");
            assert!(taker.recv_with_handles().unwrap_err().is_disconnected());
        });
    }

    #[test]
    fn a_connection_that_was_passed_on_passes_handles_itself() {
        watched(|| {
            let (mut giver, mut taker) = giver_and_taker::<String>();
            let (one, other) = Connection::pair().unwrap();
            let mut handles = Handles::new();
            handles.add(one);
            giver.send_with_handles(&String::new(), &mut handles).unwrap();
            let one = next::<Connection>(&mut taker);
            let agreeing = thread::spawn(move || {
                let mut one = one.into_typed::<String, WithHandles<String>>().unwrap();
                words(next::<File>(&mut one))
            });
            let mut other = other.into_typed::<WithHandles<String>, String>().unwrap();
            let mut handles = Handles::new();
            handles.add(file("over two connections"));
            other.send_with_handles(&String::new(), &mut handles).unwrap();
            assert_eq!(agreeing.join().unwrap(), "over two connections");
        });
    }

    #[test]
    fn a_descriptor_that_is_given_away_is_one_like_any_other() {
        watched(|| {
            let (one, other) = Connection::pair().unwrap();
            let (one, other) = (OwnedFd::from(one), OwnedFd::from(other));
            slip(&one, b"x", &[file("to anybody").as_fd()]).unwrap();
            let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
            let mut beside = RecvAncillaryBuffer::new(&mut room);
            let (mut buf, flags) = ([0], RecvFlags::empty());
            recvmsg(&other, &mut [std::io::IoSliceMut::new(&mut buf)], &mut beside, flags).unwrap();
            let came: Vec<OwnedFd> = beside
                .drain()
                .flat_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
                    _ => Vec::new(),
                })
                .collect();
            assert_eq!(words(File::from(came.into_iter().next().unwrap())), "to anybody");
        });
    }

    #[test]
    fn handles_go_without_a_handshake_too() {
        watched(|| {
            let (client, server) = Connection::pair().unwrap();
            let (_reader, writer) = client.split();
            let (reader, _writer) = server.split();
            let mut receiver = reader.into_receiver::<WithHandles<String>>();
            // From the first time that it looks for them.
            assert_eq!(
                receiver.set_timeout(Duration::ZERO).recv_with_handles().unwrap_err().kind(),
                ErrorKind::WouldBlock
            );
            let mut sender = writer.into_sender::<WithHandles<String>>();
            let mut handles = Handles::new();
            handles.add(file("unagreed"));
            sender.send_with_handles(&String::new(), &mut handles).unwrap();
            let (_, mut handles) = receiver.recv_with_handles().unwrap();
            assert_eq!(words(handles.take::<File>(0).unwrap()), "unagreed");
        });
    }

    /// What the roles of other processes need.
    pub(crate) mod roles {
        use super::*;
        use crate::peer::count;

        /// Clients send descriptors to one that expects none.
        pub(crate) fn lets_nothing_in(name: &std::path::Path) {
            let listener = Listener::bind(name).unwrap();
            let name = short(name);
            for round in 0..20 {
                let before = count("/proc/self/fd");
                let client = UnixStream::connect(&name).unwrap();
                let server = (round % 2 == 0).then(|| listener.accept().unwrap());
                let null = File::open("/dev/null").unwrap();
                let let_in = slip(&client, b"x", &[null.as_fd(); 100]);
                drop(null);
                let mut server = server.unwrap_or_else(|| listener.accept().unwrap());
                if let_in.is_err() {
                    (&client).write_all(b"x").unwrap();
                }
                server.read_exact(&mut [0]).unwrap();
                // The two of the connection alone.
                if cfg!(target_os = "linux") {
                    assert_eq!(count("/proc/self/fd"), before + 2);
                }
                drop((client, server));
                assert_eq!(count("/proc/self/fd"), before);
            }
        }

        /// A client sends descriptors of which no message tells, to one that expects handles.
        pub(crate) fn hoard_nothing(name: &std::path::Path) {
            let listener = Listener::bind(name).unwrap();
            let client = Connection::connect(name).unwrap();
            let server = listener.accept().unwrap();
            let agreeing = thread::spawn(move || server.into_typed().unwrap());
            let giver: Giver = client.into_typed().unwrap();
            let mut taker: Taker = agreeing.join().unwrap();

            let (sender, _receiver) = giver.split();
            let hostile = sender.into_inner();
            let null = File::open("/dev/null").unwrap();
            let before = count("/proc/self/fd");
            // One message of 3000 bytes, with descriptors beside each of them.
            let mut message = vec![0, 0, 0x0B, 0xB8];
            message.resize(4 + 3000, 0);
            // No handles, no numbers, and a string.
            message[4..8].copy_from_slice(&[0, 0, 0xB4, 0x17]);
            for byte in message {
                slip(&hostile, &[byte], &[null.as_fd(); 100]).unwrap();
                if let Err(error) = taker.receiver().set_timeout(Duration::ZERO).recv_with_handles()
                {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                }
                let open = count("/proc/self/fd");
                assert!(open <= before + 2 * Handles::MAX, "{open} are open");
            }
            drop((hostile, taker, null));
        }
    }
}

#[cfg(unix)]
pub(crate) use unix::roles;
