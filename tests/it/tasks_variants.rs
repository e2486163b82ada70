//! What tasks have as threads do: tries, deadlines, bytes, text, typed connections, and several that accept.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;
use serde_bytes::ByteBuf;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;
use typed_pipe::state::{Allocated, Open};
use typed_pipe::{
    CancelToken, ConnectOptions, Connection, Described, ErrorKind, Handles, Listener,
    ListenerOptions, Pipe, ReadEnd, Receivable, Tokio, TypedConnection, TypedReceiver, TypedSender,
    WithHandles, WriteEnd,
};

use crate::support::watched;
use crate::tasks::poll_some;
use crate::tasks_both_ways::dropped_after;

const SHORT: Duration = Duration::from_millis(30);

type Receiver<T> = TypedReceiver<T, ReadEnd<Open<Tokio>, Pipe<Allocated>>>;
type Sender<T> = TypedSender<T, WriteEnd<Open<Tokio>>>;
type Typed<Out, In> =
    TypedConnection<Out, In, typed_pipe::wire::LengthPrefixed, typed_pipe::wire::Postcard, Tokio>;

fn in_runtime<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    watched(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(test()));
}

async fn channel<T: Described + Receivable>() -> (Sender<T>, Receiver<T>) {
    let pipe = Pipe::temporary().unwrap();
    let path = pipe.path().clone();
    let receiver = pipe.into_reader().into_tokio().open().await.unwrap().into_receiver();
    let sender = WriteEnd::at(path).unwrap().into_tokio().open().await.unwrap().into_sender();
    (sender, receiver)
}

async fn typed<Out, In>() -> (Typed<Out, In>, Typed<In, Out>)
where
    Out: typed_pipe::Sendable + Receivable,
    In: typed_pipe::Sendable + Receivable,
{
    let (one, other) = Connection::pair().unwrap();
    let (one, other) = (one.into_tokio().unwrap(), other.into_tokio().unwrap());
    let (one, other) = tokio::join!(one.into_typed::<Out, In>(), other.into_typed::<In, Out>());
    (one.unwrap(), other.unwrap())
}

/// The runtime may not know yet of what has come this very moment.
#[test]
fn a_try_to_receive_misses_nothing_that_was_sent() {
    in_runtime(|| async {
        let (mut sender, mut receiver) = channel::<u32>().await;
        for number in 0..1000 {
            sender.send(&number).await.unwrap();
            assert_eq!(receiver.try_recv().unwrap(), number);
        }
        assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        let (mut one, mut other) = typed::<u32, u32>().await;
        for number in 0..1000 {
            one.send(&number).await.unwrap();
            assert_eq!(other.receiver().try_recv().unwrap(), number);
        }
    });
}

#[test]
fn a_try_to_send_finds_the_room_that_was_made() {
    in_runtime(|| async {
        let (mut sender, mut receiver) = channel::<Vec<u8>>().await;
        let message = vec![7; 1000];
        let mut waiting = 0;
        while sender.try_send(&message).is_ok() {
            waiting += 1;
        }
        assert!(waiting > 1);
        while receiver.try_recv().is_ok() {}
        sender.set_timeout(None).flush().await.unwrap();
        for _ in 0..100 {
            while receiver.try_recv().is_ok() {}
            sender.try_send(&message).unwrap();
        }
    });
}

#[test]
fn tries_and_deadlines_of_tasks() {
    in_runtime(|| async {
        let (mut sender, mut receiver) = channel::<Vec<u8>>().await;
        let begun = Instant::now();
        assert_eq!(receiver.recv_timeout(SHORT).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= SHORT);
        assert_eq!(
            receiver.set_timeout(Duration::ZERO).recv_ref().await.unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(
            receiver.set_timeout(Duration::ZERO).recv_bytes().await.unwrap_err().kind(),
            ErrorKind::WouldBlock
        );

        let large = vec![7; 1 << 20];
        let late = sender.send_timeout(&large, SHORT).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(late.is_half_sent(), "{late}");
        assert_eq!(
            sender.set_timeout(Duration::ZERO).flush().await.unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(
            sender.set_timeout(SHORT).flush().await.unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        let failed = sender.try_finish().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::WouldBlock);
        let failed = failed.into_state().finish_timeout(SHORT).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut);
        let mut sender = failed.into_state();
        sender.set_timeout(None);
        receiver.set_timeout(None);
        let receiving = async {
            assert_eq!(receiver.recv().await.unwrap(), large);
            assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Finished);
        };
        tokio::join!(receiving, async { sender.finish().await.unwrap() });
    });
}

#[test]
fn an_end_of_tasks_is_tried_and_timed() {
    in_runtime(|| async {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = pipe.into_reader().into_tokio().open().await.unwrap();
        let mut writer = WriteEnd::at(path).unwrap().into_tokio().try_open().unwrap();
        let mut buf = [0; 8];
        assert_eq!(reader.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        let late = reader.read_timeout(&mut buf, SHORT).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert_eq!(writer.try_write(b"hello").unwrap(), 5);
        assert_eq!(reader.try_read(&mut buf).unwrap(), 5);
        while writer.try_write(&[7; 1000]).is_ok() {}
        let late = writer.write_timeout(&[7; 1000], SHORT).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn bytes_and_lent_room_go_through_tasks() {
    in_runtime(|| async {
        let (mut sender, mut receiver) = channel::<String>().await;
        let picture: Vec<u8> = (0..100_000_u32).map(|byte| byte as u8).collect();
        let sending = async {
            sender.send(&"a picture follows".into()).await.unwrap();
            sender.send_bytes(&picture).await.unwrap();
            let mut loan = sender.loan(picture.len()).unwrap();
            loan.copy_from_slice(&picture);
            loan.send().await.unwrap();
        };
        let receiving = async {
            assert_eq!(receiver.recv_ref().await.unwrap(), "a picture follows");
            assert_eq!(receiver.recv_bytes().await.unwrap(), picture);
            assert_eq!(receiver.set_timeout(SHORT * 100).recv_bytes().await.unwrap(), picture);
        };
        tokio::join!(sending, receiving);
    });
}

/// Neither holds the caller's bytes, and what is left of them stays in the sender.
#[test]
fn a_future_that_sends_bytes_may_be_dropped() {
    in_runtime(|| async {
        let (mut sender, mut receiver) = channel::<()>().await;
        let sending = {
            let picture = vec![7; 1 << 20];
            sender.send_bytes(&picture) // which is gone when it is awaited
        };
        assert!(dropped_after(2, sending).await.is_none());
        let (flushed, received) = tokio::join!(sender.flush(), receiver.recv_bytes());
        flushed.unwrap();
        assert_eq!(received.unwrap(), vec![7; 1 << 20]);
    });
}

#[test]
fn a_finish_that_is_dropped_is_a_sender_that_is_dropped() {
    in_runtime(|| async {
        let (mut sender, mut receiver) = channel::<u32>().await;
        sender.send(&7).await.unwrap();
        // On Linux it waits until that is taken.
        let finished = dropped_after(2, sender.finish()).await;
        assert_eq!(finished.is_none(), cfg!(target_os = "linux"));
        assert_eq!(receiver.recv().await.unwrap(), 7);
        assert!(receiver.recv().await.unwrap_err().is_end());

        let (one, other) = Connection::pair().unwrap();
        let (one, other) = (one.into_tokio().unwrap(), other.into_tokio().unwrap());
        drop(one.finish()); // not polled once
        let mut other = other;
        assert_eq!(other.reader().read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn d18_both_sides_of_tasks_may_send_ten_megabytes_first() {
    async fn exchange(mut side: Typed<ByteBuf, ByteBuf>) {
        for number in 0..10 {
            side.send(&ByteBuf::from(vec![number; 1 << 20])).await.unwrap();
        }
        side.flush().await.unwrap();
        for number in 0..10 {
            assert_eq!(side.recv().await.unwrap(), vec![number; 1 << 20]);
        }
    }
    in_runtime(|| async {
        let (one, other) = typed().await;
        tokio::join!(exchange(one), exchange(other));
    });
}

#[test]
fn a_task_that_is_to_keep_too_much_is_told_so() {
    in_runtime(|| async {
        let (one, mut other) = typed::<Vec<u8>, Vec<u8>>().await;
        let mut one = one.recv_buffer_limit(1000);
        while other.sender().try_send(&vec![7; 1000]).is_ok() {}
        let error = loop {
            if let Err(error) = one.send(&vec![8; 1000]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Deadlock);
        // What was taken in is read first, in pieces, and nothing is lost.
        let mut half = other;
        let flushing = tokio::spawn(async move {
            half.flush().await.unwrap();
            half
        });
        while !flushing.is_finished() {
            if let Ok(received) = timeout(SHORT, one.recv()).await {
                assert_eq!(received.unwrap(), vec![7; 1000]);
            }
        }
        drop(flushing.await.unwrap());
        while let Ok(received) = one.recv().await {
            assert_eq!(received, vec![7; 1000]);
        }
    });
}

#[test]
fn a_typed_connection_of_tasks_ends_as_one_of_threads() {
    in_runtime(|| async {
        let (mut one, mut other) = typed::<String, u64>().await;
        one.sender().feed(&"one".into()).await.unwrap();
        one.sender().feed(&"three".into()).await.unwrap();
        let mut answers = one.finish().await.unwrap();
        let mut lengths = Vec::new();
        while let Some(word) = poll_fn(|cx| Pin::new(&mut other).poll_next(cx)).await {
            lengths.push(word.unwrap().len() as u64);
        }
        other.sender().send_all(&lengths).await.unwrap();
        drop(other);
        assert_eq!((answers.recv().await.unwrap(), answers.recv().await.unwrap()), (3, 5));
        assert!(answers.recv().await.unwrap_err().is_end());
    });
}

#[test]
fn handles_are_tried_and_timed_by_tasks() {
    in_runtime(|| async {
        let (one, other) = Connection::pair().unwrap();
        let (one, other) = (one.into_tokio().unwrap(), other.into_tokio().unwrap());
        let (one, other) = tokio::join!(
            one.into_typed::<WithHandles<String>, ()>(),
            other.into_typed::<(), WithHandles<String>>(),
        );
        let (mut one, mut other) = (one.unwrap(), other.unwrap());
        let kind = other
            .receiver()
            .set_timeout(Duration::ZERO)
            .recv_with_handles()
            .await
            .unwrap_err()
            .kind();
        assert_eq!(kind, ErrorKind::WouldBlock);
        let late = other.receiver().set_timeout(SHORT).recv_with_handles().await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let mut handles = Handles::new();
        handles.add(tempfile::tempfile().unwrap());
        one.sender()
            .set_timeout(Duration::ZERO)
            .send_with_handles(&"a file".into(), &mut handles)
            .await
            .unwrap();
        let (words, came) =
            other.receiver().set_timeout(Duration::ZERO).recv_with_handles().await.unwrap();
        assert_eq!((words.as_str(), came.len()), ("a file", 1));

        let large = "x".repeat(10_000);
        while one
            .sender()
            .set_timeout(Duration::ZERO)
            .send_with_handles(&large, &mut Handles::new())
            .await
            .is_ok()
        {}
        handles.add(tempfile::tempfile().unwrap());
        let late = one
            .sender()
            .set_timeout(SHORT)
            .send_with_handles(&large, &mut handles)
            .await
            .unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
    });
}

/// Eight tasks accept at once, some of their futures are dropped, and each client is served once.
#[test]
fn several_tasks_accept_at_once() {
    const CLIENTS: u8 = 60;
    watched(|| {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let token = CancelToken::new().unwrap();
            let options = ListenerOptions::new().max_clients(5).cancelled_by(&token);
            let listener = options.temporary().unwrap();
            let path = listener.path().clone();
            let listener = Arc::new(listener.into_tokio().unwrap());
            let connecting = thread::spawn(move || {
                for number in 0..CLIENTS {
                    let mut client = Connection::connect(&path).unwrap();
                    client.writer().write(&[number]).unwrap();
                    assert_eq!(client.reader().read(&mut [0]).unwrap(), 1);
                }
            });
            let (told, mut served) = tokio::sync::mpsc::unbounded_channel();
            let mut tasks = JoinSet::new();
            for task in 0..8 {
                let (listener, told) = (Arc::clone(&listener), told.clone());
                tasks.spawn(async move {
                    loop {
                        let accepted = match task % 3 {
                            0 => Some(listener.accept_timeout(SHORT).await),
                            1 => poll_some(listener.accept(), 3).await,
                            _ => Some(listener.try_accept()),
                        };
                        match accepted {
                            Some(Ok(mut client)) => {
                                let mut number = [0];
                                client.reader().read(&mut number).await.unwrap();
                                client.writer().write(&number).await.unwrap();
                                told.send(number[0]).unwrap();
                            }
                            Some(Err(error)) if error.kind() == ErrorKind::Cancelled => break,
                            Some(Err(error)) => {
                                let late = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
                                assert!(late.contains(&error.kind()), "{error}");
                                yield_now().await;
                            }
                            None => yield_now().await,
                        }
                    }
                });
            }
            let mut numbers = Vec::new();
            while numbers.len() < CLIENTS.into() {
                numbers.push(served.recv().await.unwrap());
            }
            token.cancel();
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap();
            }
            numbers.sort_unstable();
            assert!(numbers.iter().copied().eq(0..CLIENTS));
            connecting.join().unwrap();
        });
    });
}

#[test]
fn a_task_that_waits_for_its_turn_to_accept_keeps_its_deadline() {
    in_runtime(|| async {
        let listener = Listener::temporary().unwrap().into_tokio().unwrap();
        let mut first = pin!(listener.accept());
        assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await.is_pending());
        let late = listener.accept_timeout(SHORT).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let client = Connection::connect(listener.path()).unwrap();
        first.await.unwrap();
        drop(client);
    });
}

#[test]
fn a_listener_of_tasks_is_a_stream() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let listener =
            ListenerOptions::new().cancelled_by(&token).max_clients(1).temporary().unwrap();
        let path = listener.path().clone();
        let mut listener = listener.into_tokio().unwrap();
        let connecting = thread::spawn(move || {
            for _ in 0..3 {
                let mut client = Connection::connect(&path).unwrap();
                assert_eq!(client.reader().read(&mut [0]).unwrap(), 1);
            }
            token.cancel();
        });
        let mut clients = 0;
        while let Some(client) = poll_fn(|cx| Pin::new(&mut listener).poll_next(cx)).await {
            client.unwrap().writer().write(b"x").await.unwrap();
            clients += 1;
        }
        assert_eq!(clients, 3);
        connecting.join().unwrap();
    });
}

#[test]
fn lines_come_to_tasks_whole() {
    in_runtime(|| async {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut lines = pipe.into_reader().into_tokio().open().await.unwrap().into_text();
        let mut writer = WriteEnd::at(path).unwrap().into_tokio().open().await.unwrap();
        writer.write(b"one\nthe last").await.unwrap(); // which has no end
        drop(writer);
        assert_eq!(lines.recv().await.unwrap(), "one");
        assert_eq!(lines.recv_timeout(SHORT * 100).await.unwrap(), "the last");
        assert!(lines.recv().await.unwrap_err().is_end());
    });
}

#[test]
fn a_task_connects_in_time_or_not() {
    in_runtime(|| async {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        drop(listener);
        let options = ConnectOptions::new().into_tokio();
        assert_eq!(options.try_connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let late = options.connect_timeout(&path, SHORT).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
    });
}
