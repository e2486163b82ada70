//! Channels, ends, connections and files as fields of messages.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::thread;

use serde::{Deserialize, Serialize};
use typed_pipe::state::Open;
use typed_pipe::wire::{Checked, Codec, MultiWriter, Postcard, Wire};
use typed_pipe::{
    Carried, Connection, ErrorKind, Handles, Listener, Pipe, ReadEnd, TypedConnection,
    TypedReceiver, TypedSender, Unnamed, WithHandles, WriteEnd,
};

use crate::peer::{self, Peer};
use crate::support::{Folder, watched};

/// A pipe with a client that sends, and the owner's receiver.
fn channel<T: serde::de::DeserializeOwned + Serialize>()
-> (TypedSender<T>, TypedReceiver<T, ReadEnd<Open, Pipe<typed_pipe::state::Allocated>>>) {
    let pipe = Pipe::temporary().unwrap();
    let path = pipe.path().clone();
    let receiver = pipe.into_reader().open().unwrap().into_receiver();
    (TypedSender::connect(path).unwrap(), receiver)
}

#[derive(Debug, Serialize, Deserialize)]
struct All {
    sender: Carried<TypedSender<u32>>,
    receiver: Carried<TypedReceiver<String>>,
    writer: Carried<WriteEnd>,
    reader: Carried<ReadEnd>,
    connection: Carried<Connection>,
    file: Carried<File>,
}

/// Does with all of them what they are for.
fn use_all(all: All, handles: &mut Handles) {
    handles.claim(all.sender).unwrap().send(&7).unwrap();
    assert_eq!(handles.claim(all.receiver).unwrap().recv().unwrap(), "for you");
    handles.claim(all.writer).unwrap().send_bytes(b"bytes").unwrap();
    let mut buf = [0; 4];
    handles.claim(all.reader).unwrap().read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"news");
    let connection = handles.claim(all.connection).unwrap();
    connection.into_typed::<String, ()>().unwrap().send(&"by a connection".into()).unwrap();
    let mut words = String::new();
    handles.claim(all.file).unwrap().read_to_string(&mut words).unwrap();
    assert_eq!(words, "in a file");
}

/// Carries all of them to who uses them.
fn carry_all(send: impl FnOnce(All, Handles)) {
    let (sender, mut numbers) = channel::<u32>();
    let texts = Pipe::temporary().unwrap();
    let receiver: TypedReceiver<String> =
        ReadEnd::at(texts.path()).unwrap().open().unwrap().into_receiver();
    let mut texts = texts.into_writer().open().unwrap().into_sender();
    let bytes = Pipe::temporary().unwrap();
    let bytes_path = bytes.path().clone();
    let mut bytes = bytes.into_reader().open().unwrap();
    let writer = WriteEnd::at(bytes_path).unwrap().open().unwrap();
    let news = Pipe::temporary().unwrap();
    let reader = ReadEnd::at(news.path()).unwrap().open().unwrap();
    let mut news = news.into_writer().open().unwrap();
    let (one, other) = Connection::pair().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"in a file").unwrap();
    file.rewind().unwrap();

    texts.send("for you").unwrap();
    news.send_bytes(b"news").unwrap();
    let mut handles = Handles::new();
    let all = All {
        sender: handles.carry(sender).unwrap(),
        receiver: handles.carry(receiver).unwrap(),
        writer: handles.carry(writer).unwrap(),
        reader: handles.carry(reader).unwrap(),
        connection: handles.carry(one).unwrap(),
        file: handles.carry(file).unwrap(),
    };
    send(all, handles);
    assert_eq!(numbers.recv().unwrap(), 7);
    let mut buf = [0; 5];
    bytes.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"bytes");
    let mut connection = other.into_typed::<(), String>().unwrap();
    assert_eq!(connection.recv().unwrap(), "by a connection");
}

type Sends = TypedConnection<WithHandles<All>, ()>;
type Receives = TypedConnection<(), WithHandles<All>>;

#[test]
fn everything_that_is_carried_works_where_it_arrives() {
    watched(|| {
        let (one, other) = Connection::pair().unwrap();
        let using = thread::spawn(move || {
            let mut other: Receives = other.into_typed().unwrap();
            let (all, mut handles) = other.recv_with_handles().unwrap();
            use_all(all, &mut handles);
        });
        carry_all(|all, mut handles| {
            let mut one: Sends = one.into_typed().unwrap();
            one.send_with_handles(&all, &mut handles).unwrap();
        });
        using.join().unwrap();
    });
}

#[test]
fn everything_that_is_carried_works_in_another_process() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let listener = Listener::bind(&name).unwrap();
        let peer: Peer = peer::start("use-what-is-carried", &name);
        carry_all(|all, mut handles| {
            let mut client: Sends = listener.accept().unwrap().into_typed().unwrap();
            client.send_with_handles(&all, &mut handles).unwrap();
            client.recv().unwrap(); // on Windows, the handles are this process's until then
        });
        peer.join();
    });
}

pub(crate) fn play(name: &Path) {
    let mut client: Receives = TypedConnection::connect(name).unwrap();
    let (all, mut handles) = client.recv_with_handles().unwrap();
    client.send(&()).unwrap();
    use_all(all, &mut handles);
}

/// Two processes accept the clients of one listener, here one process twice.
#[cfg(unix)]
#[test]
fn a_listener_that_arrives_accepts_beside_the_first_one() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let mut handles = Handles::new();
        let mut another = || {
            let carried = handles.carry(&listener).unwrap();
            handles.claim(carried).unwrap()
        };
        let (other, unlinked, last) = (another(), another(), another());
        assert_eq!(other.path(), &path);
        for listener in [&listener, &other, &listener] {
            let mut client = Connection::connect(&path).unwrap();
            client.writer().write(b"hello").unwrap();
            assert_eq!(listener.accept().unwrap().reader().read(&mut [0; 8]).unwrap(), 5);
        }
        drop(other);
        unlinked.unlink().unwrap();
        assert!(!listener.is_unlinked(), "the name is that of the first one");
        let client = Connection::connect(&path).unwrap();
        drop(listener);
        assert!(last.is_unlinked());
        // A client that has connected is served, and a wait for more is told that none can come.
        drop(last.accept().unwrap());
        drop(client);
        assert_eq!(last.accept().unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[cfg(windows)]
#[test]
fn a_listener_stays() {
    let listener = Listener::temporary().unwrap();
    let failed = Handles::new().carry(&listener).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_channel_arrives_with_its_path() {
    watched(|| {
        let (sender, _receiver) = channel::<u32>();
        let path = sender.get_ref().path().unwrap().clone();
        let mut handles = Handles::new();
        let carried = handles.carry(sender).unwrap();
        let sender = handles.claim(carried).unwrap();
        assert_eq!(sender.get_ref().path(), Some(&path));
        // So it can be closed, and opened again.
        sender.into_inner().close().open().unwrap();
    });
}

#[test]
fn a_channel_without_a_path_arrives_without_one() {
    watched(|| {
        type Handle = <TypedSender<u32> as Unnaming>::Handle;
        let (sender, mut receiver) = channel::<u32>();
        let handle = Handle::from(sender.into_inner());
        let end = WriteEnd::<Open, Unnamed>::try_from(handle).unwrap();
        let mut handles = Handles::new();
        let carried = handles.carry(end.into_sender::<u32>()).unwrap();
        handles.claim(carried).unwrap().send(&7).unwrap();
        assert_eq!(receiver.recv().unwrap(), 7);
    });
}

/// The handle of the system.
trait Unnaming {
    type Handle;
}
impl<T> Unnaming for T {
    #[cfg(unix)]
    type Handle = std::os::fd::OwnedFd;
    #[cfg(windows)]
    type Handle = std::os::windows::io::OwnedHandle;
}

/// What a message says, as another type of what is carried reads it.
fn as_another<T, U>(carried: &Carried<T>) -> Carried<U> {
    let mut bytes = Vec::new();
    Postcard.encode(carried, &mut bytes).unwrap();
    Postcard.decode(&bytes).unwrap()
}

#[derive(Serialize, Deserialize)]
struct Reading {
    celsius: f32,
}

mod later {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    pub(super) struct Reading {
        celsius: f64,
    }
}

#[test]
fn messages_that_do_not_fit_are_refused_and_the_handle_stays() {
    watched(|| {
        let (sender, mut receiver) = channel::<Reading>();
        let mut handles = Handles::new();
        let carried = handles.carry(sender).unwrap();
        let wrong = as_another::<_, TypedSender<later::Reading>>(&carried);
        let error = handles.claim(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("celsius`: f64 here, f32 there"), "{error}");
        handles.claim(carried).unwrap().send(&Reading { celsius: 21.5 }).unwrap();
        assert!(receiver.recv().unwrap().celsius > 21.0);
    });
}

/// A codec without names reads nothing of a new variant, where it is read; and where it is written, it may be missing.
#[test]
fn what_fits_depends_on_who_sends() {
    #[derive(Serialize, Deserialize)]
    enum Old {
        One,
    }
    #[derive(Serialize, Deserialize)]
    enum New {
        One,
        Two,
    }
    let _ = (Old::One, New::One, New::Two);
    watched(|| {
        let mut handles = Handles::new();
        let (sender, _receiver) = channel::<New>();
        let carried = handles.carry(sender).unwrap();
        handles.claim(as_another::<_, TypedSender<Old>>(&carried)).unwrap();
        let (sender, _receiver) = channel::<Old>();
        let carried = handles.carry(sender).unwrap();
        let error = handles.claim(as_another::<_, TypedSender<New>>(&carried)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);

        let pipe = Pipe::temporary().unwrap();
        let receiver = || -> TypedReceiver<Old> {
            ReadEnd::at(pipe.path()).unwrap().open().unwrap().into_receiver()
        };
        let carried = handles.carry(receiver()).unwrap();
        handles.claim(as_another::<_, TypedReceiver<New>>(&carried)).unwrap();
    });
}

#[test]
fn another_wire_or_kind_is_refused() {
    watched(|| {
        let mut handles = Handles::new();
        let (sender, _receiver) = channel::<u32>();
        let carried = handles.carry(sender).unwrap();
        type OfChecked = TypedSender<u32, WriteEnd, Checked>;
        let errors = [
            handles.claim(as_another::<_, OfChecked>(&carried)).unwrap_err(),
            handles.claim(as_another::<_, TypedReceiver<u32>>(&carried)).unwrap_err(),
            handles.claim(as_another::<_, WriteEnd>(&carried)).unwrap_err(),
            handles.claim(as_another::<_, File>(&carried)).unwrap_err(),
            handles.claim(as_another::<_, Connection>(&carried)).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        }
        handles.claim(as_another::<_, TypedSender<u32>>(&carried)).unwrap();
        let again = handles.claim(carried).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Mismatch, "{again}");
    });
}

/// A peer may say anything of the handles that it sends.
#[test]
fn lies_about_handles_are_named_errors() {
    type Said<'a> = (u32, u32, Option<(&'a str, &'a str)>, Option<Vec<u8>>, Option<&'a str>);
    fn said<T>(said: Said<'_>) -> Carried<T> {
        let mut bytes = Vec::new();
        Postcard.encode(&said, &mut bytes).unwrap();
        Postcard.decode(&bytes).unwrap()
    }
    const WIRE: Option<(&str, &str)> = Some(("length-prefixed", "postcard"));
    const SENDER: u32 = 4;
    const LISTENER: u32 = 5;
    watched(|| {
        let mut handles = Handles::new();
        handles.add(tempfile::tempfile().unwrap());
        let mut claim =
            |words: Said<'_>| handles.claim(said::<TypedSender<u32>>(words)).unwrap_err().kind();
        let path = Some("/here");
        assert_eq!(claim((0, SENDER, WIRE, None, path)), ErrorKind::NotAPipe);
        assert_eq!(claim((9, SENDER, WIRE, None, path)), ErrorKind::Mismatch);
        assert_eq!(claim((u32::MAX, SENDER, WIRE, None, path)), ErrorKind::Mismatch);
        assert_eq!(claim((0, SENDER, WIRE, None, None)), ErrorKind::Mismatch);
        assert_eq!(claim((0, SENDER, WIRE, None, Some(""))), ErrorKind::InvalidName);
        assert_eq!(claim((0, SENDER, None, None, path)), ErrorKind::Mismatch);
        assert_eq!(claim((0, SENDER, Some(("", "")), None, path)), ErrorKind::Mismatch);
        assert_eq!(claim((0, SENDER, WIRE, Some(vec![0xff; 100]), path)), ErrorKind::Mismatch);
        assert_eq!(claim((0, SENDER, WIRE, Some(Vec::new()), path)), ErrorKind::Mismatch);
        // What listens is no file.
        let listener = said::<Listener>((0, LISTENER, None, None, path));
        assert!(handles.claim(listener).is_err());
        // After all that, the handle is still there.
        assert!(handles.take::<File>(0).is_ok());

        // An end of the other direction.
        let pipe = Pipe::temporary().unwrap();
        handles.add(ReadEnd::at(pipe.path()).unwrap().open().unwrap());
        let carried = said::<TypedSender<u32>>((1, SENDER, WIRE, None, path));
        assert_eq!(handles.claim(carried).unwrap_err().kind(), ErrorKind::WrongDirection);
    });
}

#[test]
fn what_holds_bytes_is_not_carried_and_comes_back() {
    watched(|| {
        let mut handles = Handles::new();
        let (mut sender, mut receiver) = channel::<u32>();
        sender.feed(&7).unwrap();
        let failed = handles.carry(sender).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unsupported);
        let mut sender = failed.into_state();
        sender.flush().unwrap();
        assert_eq!(receiver.recv().unwrap(), 7);

        let pipe = Pipe::temporary().unwrap();
        let mut client: TypedReceiver<u32> =
            ReadEnd::at(pipe.path()).unwrap().open().unwrap().into_receiver();
        let mut owner = pipe.into_writer().open().unwrap().into_sender::<u32>();
        owner.send_all([1, 2]).unwrap();
        assert_eq!(client.recv().unwrap(), 1);
        let failed = handles.carry(client).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unsupported);
        let mut client = failed.into_state();
        assert_eq!(client.recv().unwrap(), 2);
        // Nothing is left in it now.
        let carried = handles.carry(client).unwrap();
        owner.send(&3).unwrap();
        assert_eq!(handles.claim(carried).unwrap().recv().unwrap(), 3);
    });
}

#[test]
fn a_receiver_of_many_writers_is_carried_before_it_begins_alone() {
    watched(|| {
        let mut handles = Handles::new();
        let pipe = Pipe::temporary().unwrap();
        let wire = || Wire::default().with_framing(MultiWriter::default()).of::<u32>();
        let client = wire().receiver(ReadEnd::at(pipe.path()).unwrap().open().unwrap());
        let mut owner = wire().sender(pipe.into_writer().open().unwrap());
        let carried = handles.carry(client).unwrap();
        let mut client = handles.claim(carried).unwrap();
        owner.send(&1).unwrap();
        assert_eq!(client.recv().unwrap(), 1);
        // It knows its writer by now.
        assert_eq!(handles.carry(client).unwrap_err().kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn a_connection_over_a_carrier_is_not_carried() {
    watched(|| {
        let (one, mut other) = crate::carriers::over_memory();
        let failed = Handles::new().carry(one).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unsupported);
        failed.into_state().writer().write(b"hello").unwrap();
        assert_eq!(other.reader().read(&mut [0; 8]).unwrap(), 5);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_carry_and_claim() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (one, other) = Connection::pair().unwrap();
            let (one, other) = (one.into_tokio().unwrap(), other.into_tokio().unwrap());
            let (one, other) = tokio::join!(
                one.into_typed::<WithHandles<Carried<TypedSender<u32>>>, ()>(),
                other.into_typed::<(), WithHandles<Carried<TypedSender<u32>>>>(),
            );
            let (mut one, mut other) = (one.unwrap(), other.unwrap());
            let (sender, receiver) = channel::<u32>();
            let mut handles = Handles::new();
            let carried = handles.carry(sender).unwrap();
            one.send_with_handles(&carried, &mut handles).await.unwrap();
            let (carried, mut handles) = other.recv_with_handles().await.unwrap();
            let sender = handles.claim(carried).unwrap().into_inner().into_tokio().unwrap();
            sender.into_sender::<u32>().send(&7).await.unwrap();
            let receiver = receiver.into_inner().into_tokio().unwrap();
            assert_eq!(receiver.into_receiver::<u32>().recv().await.unwrap(), 7);
        });
    });
}
