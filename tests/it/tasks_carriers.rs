//! Connections over other transports, for tasks.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use typed_pipe::{
    CancelToken, ClientOptions, Connection, Delivery, ErrorKind, Service, Tokio, TypedConnection,
};

use crate::carriers::{Memory, over_memory, over_tcp};
use crate::support::{pending, watched};

type Pair = (Connection<Tokio>, Connection<Tokio>);

fn over_duplex() -> (Connection, Connection) {
    let (one, other) = tokio::io::duplex(1000);
    let over = |stream| {
        let (reader, writer) = tokio::io::split(stream);
        Connection::over(Tokio::carrier(reader, writer)).unwrap()
    };
    (over(one), over(other))
}

/// Runs a test over each transport.
fn over_each<F: Future<Output = ()>>(test: impl Fn(Pair) -> F + Send + 'static) {
    watched(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for pair in [over_tcp, over_memory, over_duplex] {
                let (one, other) = pair();
                test((one.into_tokio().unwrap(), other.into_tokio().unwrap())).await;
            }
        });
    });
}

type Typed = TypedConnection<
    String,
    String,
    typed_pipe::wire::LengthPrefixed,
    typed_pipe::wire::Postcard,
    Tokio,
>;

async fn typed((one, other): Pair) -> (Typed, Typed) {
    let (one, other) = tokio::join!(one.into_typed(), other.into_typed());
    (one.unwrap(), other.unwrap())
}

#[test]
fn a_typed_connection_works_over_each_transport() {
    over_each(|pair| async {
        let (mut one, other) = typed(pair).await;
        let echo = tokio::spawn(async move {
            let (mut sender, mut receiver) = other.split();
            while let Ok(text) = receiver.recv().await {
                sender.send(&text).await.unwrap();
            }
        });
        for len in [0, 1, 10, 100_000, 1_000_000] {
            let text = "x".repeat(len);
            one.send(&text).await.unwrap();
            assert_eq!(one.recv().await.unwrap(), text);
        }
        let mut rest = one.finish().await.unwrap();
        assert_eq!(rest.recv().await.unwrap_err().kind(), ErrorKind::Disconnected);
        echo.await.unwrap();
    });
}

#[test]
fn both_sides_may_send_much_before_they_receive() {
    over_each(|pair| async {
        let (mut one, mut other) = typed(pair).await;
        let text = "x".repeat(300_000);
        let exchange = async |side: &mut Typed| {
            side.send(&text).await.unwrap();
            assert_eq!(side.recv().await.unwrap(), text);
        };
        tokio::join!(exchange(&mut one), exchange(&mut other));
    });
}

#[test]
fn a_stopped_reader_makes_the_sender_wait_as_long_as_it_is_told() {
    over_each(|pair| async {
        let (one, mut other) = typed(pair).await;
        let (mut sender, rest) = one.split();
        let text = "x".repeat(100_000);
        let mut sent = 0;
        let late = loop {
            match sender.send_timeout(&text, Duration::from_millis(20)).await {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 1000, "there is no back-pressure");
        };
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let reading = tokio::spawn(async move {
            let mut all = 0;
            while let Ok(text) = other.recv().await {
                all += text.len();
            }
            all
        });
        assert_eq!(sender.finish().await.unwrap(), Delivery::Sent);
        assert!(reading.await.unwrap() >= sent * text.len());
        drop(rest);
    });
}

#[test]
fn a_token_ends_a_wait() {
    over_each(|(one, other)| async move {
        let token = CancelToken::new().unwrap();
        let one = one.into_blocking().cancelled_by(&token).into_tokio().unwrap();
        let (mut reader, _writer) = one.split();
        let waiting = pending(async move { reader.read(&mut [0; 8]).await.unwrap_err().kind() });
        let waiting = waiting.await;
        token.cancel();
        assert_eq!(waiting.await.unwrap(), ErrorKind::Cancelled);
        drop(other);
    });
}

#[test]
fn a_dropped_future_has_read_and_written_nothing() {
    over_each(|(mut one, mut other)| async move {
        let timeout = Duration::from_millis(10);
        assert!(tokio::time::timeout(timeout, one.reader().read(&mut [0; 8])).await.is_err());
        let mut written = 0;
        while let Ok(bytes) = tokio::time::timeout(timeout, other.writer().write(&[7; 1000])).await
        {
            written += bytes.unwrap();
        }
        let other = other.finish();
        let mut read = 0;
        let mut buf = vec![0; 1 << 16];
        let (_rest, ()) = tokio::join!(other, async {
            loop {
                match one.reader().read(&mut buf).await.unwrap() {
                    0 => break,
                    bytes => read += bytes,
                }
            }
        });
        assert_eq!(read, written);
    });
}

#[test]
fn finish_says_as_much_as_the_carrier_knows() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for (taken, want) in [
                (Some(Ok(true)), Ok(Delivery::Drained)),
                (Some(Err(io::ErrorKind::BrokenPipe.into())), Err(ErrorKind::Disconnected)),
                (None, Err(ErrorKind::TimedOut)),
            ] {
                let (one, _other) = Memory::pair();
                let to = Arc::clone(&one.to);
                let (_, writer) = Connection::over(one).unwrap().into_tokio().unwrap().split();
                let mut sender = writer.into_sender::<u32>();
                sender.send(&7).await.unwrap();
                to.lock().unwrap().taken = taken;
                let finished = sender.finish_timeout(Duration::from_millis(50)).await;
                assert_eq!(finished.map_err(|failed| failed.kind()), want);
            }
        });
    });
}

/// A thread waits for what a runtime on other threads drives.
#[test]
fn threads_wait_for_a_stream_of_tokio() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let connect = || {
            let (one, other) = crate::carriers::tcp();
            let [one, other] = [one, other].map(|stream| {
                stream.set_nonblocking(true).unwrap();
                let _inside = runtime.enter();
                let (reader, writer) =
                    tokio::net::TcpStream::from_std(stream).unwrap().into_split();
                Connection::over(Tokio::carrier(reader, writer)).unwrap()
            });
            (one, other)
        };
        let (one, other) = connect();
        let other = std::thread::spawn(move || {
            let mut other = other.into_typed::<String, String>().unwrap();
            let text = other.recv().unwrap();
            other.send(&text).unwrap();
        });
        let mut one = one.into_typed::<String, String>().unwrap();
        let text = "x".repeat(1_000_000);
        one.send(&text).unwrap();
        assert_eq!(one.recv().unwrap(), text);
        other.join().unwrap();
    });
}

/// A stream that takes nothing until it is opened, and then all.
struct Gated(DuplexStream, Arc<Gate>);

#[derive(Default)]
struct Gate {
    open: AtomicBool,
    waits: Mutex<Option<Waker>>,
}

impl Gate {
    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.waits.lock().unwrap().take().into_iter().for_each(Waker::wake);
    }

    fn is_waited_for(&self) -> bool {
        self.waits.lock().unwrap().is_some()
    }
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        *self.1.waits.lock().unwrap() = Some(cx.waker().clone());
        if !self.1.open.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What a flush had left over went with the next write alone, for which a side that waits for an answer has no reason.
#[test]
fn what_a_flush_has_left_over_goes_while_its_answer_is_waited_for() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let over = |stream| {
            let (reader, writer) = tokio::io::split(stream);
            let writer = tokio::io::BufWriter::new(writer);
            Connection::over(Tokio::carrier(reader, writer)).unwrap()
        };
        runtime.block_on(async {
            let (one, other) = tokio::io::duplex(100);
            let pair = (over(one).into_tokio().unwrap(), over(other).into_tokio().unwrap());
            let (mut one, mut other) = typed(pair).await;
            let answering = tokio::spawn(async move {
                let text = other.recv().await.unwrap();
                other.send(&text).await.unwrap();
                other.recv().await.unwrap_err().is_end()
            });
            let text = "7".repeat(5000);
            one.send(&text).await.unwrap();
            assert_eq!(one.recv().await.unwrap(), text);
            drop(one);
            assert!(answering.await.unwrap());
        });
        let (one, other) = tokio::io::duplex(100);
        let (one, other) = (over(one), over(other));
        let answering = std::thread::spawn(move || {
            let mut other = other.into_typed::<String, String>().unwrap();
            let text = other.recv().unwrap();
            other.send(&text).unwrap();
            other.recv().unwrap_err().is_end()
        });
        let mut one = one.into_typed::<String, String>().unwrap();
        let text = "7".repeat(5000);
        one.send(&text).unwrap();
        assert_eq!(one.recv().unwrap(), text);
        drop(one);
        assert!(answering.join().unwrap());
    });
}

#[test]
fn requests_that_waited_for_room_begin_when_all_answers_have_left_at_once() {
    const CALLS: usize = 30;
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = tokio::io::duplex(64 << 20);
            let gate = Arc::new(Gate::default());
            gate.open();
            let (reader, writer) = tokio::io::split(Gated(theirs, Arc::clone(&gate)));
            let theirs = Connection::over(Tokio::carrier(reader, writer)).unwrap();
            let (reader, writer) = tokio::io::split(ours);
            let ours = Connection::over(Tokio::carrier(reader, writer)).unwrap();
            let service = Service::<u8, Vec<u8>>::over(theirs).into_tokio().unwrap();
            let serving = tokio::spawn(service.serve(|byte| async move { vec![byte; 64 << 10] }));
            let client = ClientOptions::new().into_tokio().over::<u8, Vec<u8>>(ours).await.unwrap();
            let client = Arc::new(client);
            assert_eq!(client.call(&7).await.unwrap().len(), 64 << 10);

            gate.open.store(false, Ordering::SeqCst);
            gate.waits.lock().unwrap().take();
            let calls = (0..CALLS).map(|_| {
                let client = Arc::clone(&client);
                tokio::spawn(async move { client.call(&7).await.map(|answer| answer.len()) })
            });
            let calls: Vec<_> = calls.collect();
            while !gate.is_waited_for() {
                tokio::task::yield_now().await;
            }
            // The service has begun as many as there is room for.
            tokio::task::yield_now().await;
            gate.open();
            for call in calls {
                assert_eq!(call.await.unwrap().unwrap(), 64 << 10);
            }
            drop(client);
            let summary = serving.await.unwrap().unwrap();
            assert_eq!(summary.answered, 1 + u64::try_from(CALLS).unwrap());
        });
    });
}

#[test]
fn a_caller_that_has_said_its_end_has_a_large_answer_and_a_goodbye() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (up, mut relayed) = tokio::io::duplex(1000);
            let (mut relay, arriving) = tokio::io::duplex(1000);
            // Less than an answer: some of it waits.
            let (down, answers) = tokio::io::duplex(1000);
            let ours = Connection::over(Tokio::carrier(answers, up)).unwrap();
            let theirs = Connection::over(Tokio::carrier(arriving, down)).unwrap();
            let (begins, begun) = tokio::sync::oneshot::channel();
            // It ends what the service reads, while the caller waits.
            let relaying = tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy(&mut relayed, &mut relay) => {}
                    _ = begun => {}
                }
                drop(relay);
                relayed
            });
            let begins = Mutex::new(Some(begins));
            let service = Service::<u32, Vec<u8>>::over(theirs).into_tokio().unwrap();
            let serving = tokio::spawn(service.serve(move |len: u32| {
                begins
                    .lock()
                    .unwrap()
                    .take()
                    .into_iter()
                    .for_each(|begins| begins.send(()).unwrap());
                async move {
                    // The end is read first.
                    for _ in 0..20 {
                        tokio::task::yield_now().await;
                    }
                    vec![7_u8; len.try_into().unwrap()]
                }
            }));
            let client =
                ClientOptions::new().into_tokio().over::<u32, Vec<u8>>(ours).await.unwrap();
            assert_eq!(client.call(&100_000).await.unwrap().len(), 100_000);
            let relayed = relaying.await.unwrap();
            // The service has said goodbye: whatever comes later was never taken, and may be asked again.
            let error = client.call(&1).await.unwrap_err();
            assert_eq!((error.kind(), error.is_delivered()), (ErrorKind::Finished, false));
            drop(client);
            drop(relayed);
            assert_eq!(serving.await.unwrap().unwrap().answered, 1);
        });
    });
}
