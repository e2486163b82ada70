//! Listeners and connections under tokio.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::pin::pin;
use std::thread;
use std::time::Duration;

use futures_sink::Sink;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::timeout;
use typed_pipe::state::Blocking;
use typed_pipe::wire::foreign::Lines;
use typed_pipe::wire::{Plain, Wire};
use typed_pipe::{
    CancelToken, ConnectOptions, Connection, Delivery, ErrorKind, Listener, ListenerOptions, Pipe,
    PipePath, Tokio, WriteEnd,
};

use crate::support::{Folder, pending, watched};

/// Runs a test in a runtime of one thread, and ends the process if it hangs.
pub(crate) fn in_runtime<T, F>(test: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    watched(|| runtime().block_on(test()))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn listener() -> (Listener<Tokio>, PipePath) {
    let listener = Listener::temporary().unwrap().into_tokio().unwrap();
    let path = listener.path().clone();
    (listener, path)
}

fn connecting() -> ConnectOptions<Tokio> {
    ConnectOptions::new().into_tokio()
}

pub(crate) async fn pair() -> (Connection<Tokio>, Connection<Tokio>) {
    let (listener, path) = listener();
    let client = connecting().connect(path).await.unwrap();
    (client, listener.accept().await.unwrap())
}

/// A future that is dropped after so many looks at it, unless it is done before.
pub(crate) async fn dropped_after<T>(looks: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..looks {
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return Some(done);
        }
        yield_now().await;
    }
    None
}

#[test]
fn a_blocking_client_and_a_listener_of_tasks() {
    in_runtime(|| async {
        let (listener, path) = listener();
        let client = thread::spawn(move || {
            let mut connection = Connection::connect(path).unwrap();
            connection.write_all(&vec![7; 300_000]).unwrap();
            let mut answer = Vec::new();
            connection.finish().unwrap().read_to_end(&mut answer).unwrap();
            answer
        });
        let mut connection = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        connection.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, vec![7; 300_000]);
        connection.write_all(&vec![8; 300_000]).await.unwrap();
        connection.shutdown().await.unwrap();
        assert_eq!(client.join().unwrap(), vec![8; 300_000]);
    });
}

#[test]
fn a_client_of_tasks_and_a_blocking_listener() {
    in_runtime(|| async {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let server = thread::spawn(move || {
            let mut connection = listener.accept().unwrap();
            let mut asked = Vec::new();
            connection.read_to_end(&mut asked).unwrap();
            connection.write_all(&asked).unwrap();
        });
        let mut connection = connecting().connect(path).await.unwrap();
        connection.write_all(&vec![7; 300_000]).await.unwrap();
        let mut answers = connection.finish().await.unwrap();
        let mut answer = Vec::new();
        answers.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, vec![7; 300_000]);
        server.join().unwrap();
    });
}

/// Both directions go on at the same time, and each ends alone.
#[test]
fn c25_each_direction_ends_alone() {
    in_runtime(|| async {
        let (one, other) = pair().await;
        let tasks = [one, other].map(|connection| {
            tokio::spawn(async move {
                let (mut reader, mut writer) = connection.split();
                let writing = tokio::spawn(async move {
                    writer.write_all(&vec![9; 2_000_000]).await.unwrap();
                    writer.finish().await.unwrap();
                });
                let mut all = Vec::new();
                reader.read_to_end(&mut all).await.unwrap();
                writing.await.unwrap();
                all.len()
            })
        });
        for task in tasks {
            assert_eq!(task.await.unwrap(), 2_000_000);
        }
    });
}

#[test]
fn c25_what_is_finished_cannot_be_written_to() {
    in_runtime(|| async {
        let (mut one, mut other) = pair().await;
        one.write_all(b"last words").await.unwrap();
        one.shutdown().await.unwrap();
        one.shutdown().await.unwrap();
        assert_eq!(one.write(b"x").await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        let mut words = String::new();
        other.read_to_string(&mut words).await.unwrap();
        assert_eq!(words, "last words");
        other.write_all(b"an answer").await.unwrap();
        drop(other);
        words.clear();
        one.read_to_string(&mut words).await.unwrap();
        assert_eq!(words, "an answer");
    });
}

/// What was begun in one mode goes on in the other: no byte is lost, however often it changes.
#[test]
fn a_connection_changes_its_mode() {
    in_runtime(|| async {
        let (one, other) = Connection::pair().unwrap();
        let sent: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
        let want = sent.clone();
        let sending = thread::spawn(move || {
            let mut one = one;
            for piece in sent.chunks(1000) {
                one.write_all(piece).unwrap();
            }
            drop(one.finish().unwrap());
        });
        let (mut got, mut other): (Vec<u8>, Connection<Blocking>) = (Vec::new(), other);
        loop {
            let mut buf = [0; 700];
            let mut tasks = other.into_tokio().unwrap();
            // It reads ahead, on a system on which tasks do.
            let early = timeout(Duration::from_micros(50), tasks.read(&mut buf)).await;
            other = tasks.into_blocking();
            match early {
                Ok(read) => got.extend_from_slice(&buf[..read.unwrap()]),
                Err(_) => match other.reader().read(&mut buf).unwrap() {
                    0 => break,
                    read => got.extend_from_slice(&buf[..read]),
                },
            }
            if got.len() == want.len() {
                break;
            }
        }
        sending.join().unwrap();
        assert!(got == want, "{} of {} bytes", got.len(), want.len());
    });
}

#[test]
fn c14_a_task_connects_before_there_is_a_listener() {
    in_runtime(|| async {
        let folder = Folder::new();
        let path = folder.name("door");
        let error = connecting().try_connect(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let early = connecting().connect_timeout(&path, Duration::from_millis(30)).await;
        assert_eq!(early.unwrap_err().kind(), ErrorKind::TimedOut);
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { connecting().connect(path).await.map(drop) }
        });
        yield_now().await;
        let listener = Listener::bind(&path).unwrap().into_tokio().unwrap();
        listener.accept().await.unwrap();
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn permits_are_waited_for_without_a_thread() {
    in_runtime(|| async {
        let listener = ListenerOptions::new().max_clients(1).temporary().unwrap();
        let path = listener.path().clone();
        let listener = listener.into_tokio().unwrap();
        let _first = connecting().connect(&path).await.unwrap();
        let _second = connecting().connect(&path).await.unwrap();
        let served = listener.accept().await.unwrap();
        let early = timeout(Duration::from_millis(30), listener.accept()).await;
        assert!(early.is_err(), "there is one seat");
        assert_eq!(listener.clients(), 1);
        let accepting = tokio::spawn(async move { listener.accept().await.map(drop) });
        yield_now().await;
        drop(served);
        accepting.await.unwrap().unwrap();
    });
}

#[test]
fn a_cancel_token_ends_what_tasks_wait_for() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let listener = ListenerOptions::new().cancelled_by(&token).temporary().unwrap();
        let path = listener.path().clone();
        let listener = listener.into_tokio().unwrap();
        let options = ConnectOptions::new().cancelled_by(&token).into_tokio();
        let mut client = options.connect(&path).await.unwrap();
        let _server = listener.accept().await.unwrap();
        let accepting = pending(async move { listener.accept().await.map(drop) }).await;
        let reading = pending(async move { client.reader().read(&mut [0; 8]).await }).await;
        let path = path.as_path().with_file_name("nobody");
        let connecting = pending(async move { options.connect(path).await.map(drop) }).await;
        token.cancel();
        assert_eq!(accepting.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(connecting.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

/// Dropped again and again, `accept` loses no client, and no future of a connection loses a byte.
#[test]
fn d19_futures_of_connections_are_dropped() {
    const CLIENTS: u8 = 100;
    in_runtime(|| async {
        let (listener, path) = listener();
        let clients = thread::spawn(move || {
            for i in 0..CLIENTS {
                let mut connection = Connection::connect(&path).unwrap();
                connection.write_all(&[i; 3]).unwrap();
                let mut echo = Vec::new();
                connection.finish().unwrap().read_to_end(&mut echo).unwrap();
                assert_eq!(echo, [i; 3]);
            }
        });
        for i in 0..CLIENTS {
            let mut looks = 0;
            let mut client = loop {
                looks = (looks + 1) % 3;
                match dropped_after(looks, listener.accept()).await {
                    Some(client) => break client.unwrap(),
                    None => yield_now().await,
                }
            };
            let mut got = Vec::new();
            loop {
                let mut buf = [0; 2];
                looks = (looks + 1) % 3;
                match dropped_after(looks, client.reader().read(&mut buf)).await {
                    Some(Ok(0)) => break,
                    Some(read) => got.extend_from_slice(&buf[..read.unwrap()]),
                    None => yield_now().await,
                }
            }
            assert_eq!(got, [i; 3]);
            client.write_all(&got).await.unwrap();
        }
        clients.join().unwrap();
    });
}

/// A future of `connect` that is dropped leaves nothing behind that another one would trip over.
#[test]
fn d19_futures_of_connect_are_dropped() {
    in_runtime(|| async {
        let listener = ListenerOptions::new().backlog(1).temporary().unwrap();
        let path = listener.path().clone();
        let listener = listener.into_tokio().unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let mut client = listener.accept().await.unwrap();
                let mut word = [0; 4];
                if client.read_exact(&mut word).await.is_ok() {
                    return word;
                }
            }
        });
        for looks in 0..50 {
            drop(dropped_after(looks % 3, connecting().connect(&path)).await);
        }
        let mut client = connecting().connect(&path).await.unwrap();
        client.write_all(b"here").await.unwrap();
        assert_eq!(&serving.await.unwrap(), b"here");
    });
}

#[test]
fn d22_a_runtime_with_a_pending_accept_and_connect_ends() {
    watched(|| {
        let runtime = runtime();
        runtime.block_on(async {
            let (listener, path) = listener();
            let nobody = path.as_path().with_file_name("nobody");
            pending(async move { listener.accept().await.map(drop) }).await;
            pending(async move { connecting().connect(nobody).await.map(drop) }).await;
        });
        drop(runtime);
    });
}

#[test]
fn without_a_runtime_the_state_comes_back() {
    let failed = Listener::temporary().unwrap().into_tokio().unwrap_err();
    assert_eq!(failed.error().kind(), ErrorKind::Unsupported);
    let (listener, _) = failed.into_parts();
    let mut client = Connection::connect(listener.path()).unwrap();
    let (server, error) = listener.accept().unwrap().into_tokio().unwrap_err().into_parts();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let mut server = server;
    client.write_all(b"x").unwrap();
    assert_eq!(server.reader().read(&mut [0; 8]).unwrap(), 1);
}

#[cfg(unix)] // On Windows the other side does not notice.
#[test]
fn b11_a_reading_half_that_is_dropped_is_noticed_by_a_task_that_waits_to_write() {
    in_runtime(|| async {
        let (client, server) = pair().await;
        let (reader, writer) = client.split();
        let (_incoming, mut outgoing) = server.split();
        while dropped_after(1, outgoing.write(&[7; 100_000])).await.is_some() {}
        let writing = tokio::spawn(async move {
            loop {
                if let Err(error) = outgoing.write(b"more").await {
                    break error.kind();
                }
            }
        });
        // It is polled now. A large write finds no room where small ones still do; then they wait, too.
        yield_now().await;
        assert!(!writing.is_finished());
        drop(reader);
        assert_eq!(writing.await.unwrap(), ErrorKind::Disconnected);
        drop(writer);
    });
}

/// The wire has no goodbye: only the end of the direction says that this was all.
#[test]
fn c25_a_sender_of_tasks_that_finishes_ends_its_direction() {
    in_runtime(|| async {
        for by_closing in [false, true] {
            let (client, server) = pair().await;
            let (reader, writer) = client.split();
            let wire = Wire::new(Lines::default(), Plain);
            let mut sender = writer.into_sender_with::<str, _, _>(wire.clone());
            let mut receiver = reader.into_receiver_with::<String, _, _>(wire);
            sender.feed("that is all").await.unwrap();
            let asking = async {
                if by_closing {
                    poll_fn(|cx| Sink::<&str>::poll_close(pin!(&mut sender), cx)).await.unwrap();
                    assert!(sender.send("more").await.unwrap_err().is_disconnected());
                } else {
                    let words = sender.finish().await.unwrap();
                    assert_eq!(words == Delivery::Drained, cfg!(target_os = "linux"));
                }
                receiver.recv().await.unwrap()
            };
            let answering = async {
                let mut server = server;
                let mut heard = String::new();
                server.read_to_string(&mut heard).await.unwrap();
                server.write_all(b"I have heard it\n").await.unwrap();
                heard
            };
            let (answer, heard) = tokio::join!(asking, answering);
            assert_eq!(heard, "that is all\n");
            assert_eq!(answer, "I have heard it");
        }
    });
}

/// The end is closed with the sender, which its reader learns of without a goodbye.
#[test]
fn a_sender_of_tasks_that_finishes_closes_a_one_way_pipe() {
    in_runtime(|| async {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().into_tokio().open().await.unwrap();
        let end = WriteEnd::at(path).unwrap().into_tokio().open().await.unwrap();
        let mut sender = end.into_sender_with::<str, _, _>(Wire::new(Lines::default(), Plain));
        sender.send("that is all").await.unwrap();
        let mut heard = String::new();
        let (words, read) = tokio::join!(sender.finish(), reader.read_to_string(&mut heard));
        words.unwrap();
        read.unwrap();
        assert_eq!(heard, "that is all\n");
    });
}

/// It has a token for what it receives, and none for what it sends.
#[test]
fn a_daemon_of_tasks_that_is_cancelled_still_says_goodbye() {
    in_runtime(|| async {
        let (stop, last) = (CancelToken::new().unwrap(), CancelToken::new().unwrap());
        for early in [true, false] {
            let (client, daemon) = Connection::pair().unwrap();
            let client = client.into_tokio().unwrap();
            let (reader, writer) = match early {
                true => {
                    let (reader, writer) = daemon.split();
                    let reader = reader.cancelled_by(&stop);
                    Connection::reunite(reader, writer).unwrap().into_tokio().unwrap().split()
                }
                // In place of a token that was cancelled.
                false => {
                    let (reader, writer) = daemon.cancelled_by(&stop).into_tokio().unwrap().split();
                    let mut sender = writer.into_sender::<str>();
                    assert_eq!(sender.send("lost").await.unwrap_err().kind(), ErrorKind::Cancelled);
                    (reader, sender.into_inner().cancelled_by(&last))
                }
            };
            let mut requests = reader.into_receiver::<String>();
            let (received, ()) = tokio::join!(requests.recv(), async { stop.cancel() });
            assert_eq!(received.unwrap_err().kind(), ErrorKind::Cancelled);
            let mut sender = writer.into_sender::<str>();
            let mut receiver = client.split().0.into_receiver::<String>();
            let bye = async {
                sender.send("goodbye").await.unwrap();
                sender.finish().await.unwrap();
            };
            let hear = async {
                assert_eq!(receiver.recv().await.unwrap(), "goodbye");
                assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Finished);
            };
            tokio::join!(bye, hear);
        }
    });
}
