//! Ends and channels under tokio: the same promises, in tasks.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::timeout;
use typed_pipe::state::{Allocated, Closed, Open};
use typed_pipe::wire::{Checked, Codec, Framing, LengthPrefixed, MultiWriter, Postcard, Wire};
use typed_pipe::{
    CancelToken, Connection, Delivery, ErrorKind, Hangup, OnHangup, Pipe, ReadEnd, Tokio,
    TypedReceiver, TypedSender, WriteEnd,
};

use crate::peer;
use crate::support::{Folder, pending, until_it_fails, watched, watched_for};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    id: u64,
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
}

/// Now and then one that is larger than a pipe.
fn job(id: u64) -> Job {
    let size = if id % 100 == 99 { 150_000 } else { id * 37 % 1000 };
    Job { id, payload: vec![id.to_le_bytes()[0]; usize::try_from(size).unwrap()] }
}

/// Runs a test in a runtime of one thread, and ends the process if it hangs.
fn in_runtime<T, F>(test: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    watched(|| runtime().block_on(test()))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn reader(path: impl AsRef<std::path::Path>) -> ReadEnd<Closed<Tokio>> {
    ReadEnd::at(path).unwrap().into_tokio()
}

fn writer(path: impl AsRef<std::path::Path>) -> WriteEnd<Closed<Tokio>> {
    WriteEnd::at(path).unwrap().into_tokio()
}

/// An end to read from, and where to write to it.
async fn pipe() -> (ReadEnd<Open<Tokio>, Pipe<Allocated>>, typed_pipe::PipePath) {
    let pipe = Pipe::temporary().unwrap();
    let path = pipe.path().clone();
    (pipe.into_reader().into_tokio().open().await.unwrap(), path)
}

async fn send_jobs<F: Framing, C: Codec>(path: impl AsRef<std::path::Path>, wire: Wire<F, C>) {
    let mut sender = writer(path).open().await.unwrap().into_sender_with::<Job, _, _>(wire);
    for id in 0..100 {
        sender.send(&job(id)).await.unwrap();
    }
    sender.send_all((100..200).map(job)).await.unwrap();
    for id in 200..300 {
        sender.feed(&job(id)).await.unwrap();
    }
    sender.finish().await.unwrap();
}

fn receive_jobs<F: Framing, C: Codec>(
    receiver: &mut TypedReceiver<Job, ReadEnd<Open, Pipe<Allocated>>, F, C>,
) {
    for id in 0..300 {
        assert_eq!(receiver.recv().unwrap(), job(id));
    }
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
}

/// Each side once in a thread that blocks, and once in a task.
fn both_ways<F, C>(wire: Wire<F, C>)
where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
{
    watched(move || {
        let end = Pipe::temporary().unwrap().into_reader();
        let path = end.path().unwrap().clone();
        let theirs = wire.clone();
        let task = thread::spawn(move || runtime().block_on(send_jobs(path, theirs)));
        receive_jobs(&mut end.open().unwrap().into_receiver_with(wire.clone()));
        task.join().unwrap();

        let end = Pipe::temporary().unwrap().into_reader();
        let path = end.path().unwrap().clone();
        let theirs = wire.clone();
        let blocking = thread::spawn(move || {
            let end = WriteEnd::at(path).unwrap().open().unwrap();
            let mut sender = end.into_sender_with::<Job, _, _>(theirs);
            sender.send_all((0..150).map(job)).unwrap();
            (150..300).for_each(|id| sender.send(&job(id)).unwrap());
            sender.finish().unwrap();
        });
        runtime().block_on(async move {
            let end = end.into_tokio().open().await.unwrap();
            let mut receiver = end.into_receiver_with::<Job, _, _>(wire);
            for id in 0..300 {
                assert_eq!(receiver.recv().await.unwrap(), job(id));
            }
            assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Finished);
            assert_eq!(receiver.last_hangup(), Some(Hangup::Finished));
        });
        blocking.join().unwrap();
    });
}

#[test]
fn tasks_and_threads_speak_the_same_length_prefixed_wire() {
    both_ways(Wire::<LengthPrefixed, Postcard>::default());
}

#[test]
fn tasks_and_threads_speak_the_same_checked_wire() {
    both_ways(Wire::default().with_framing(Checked::default()));
}

#[test]
fn tasks_and_threads_speak_the_same_multi_writer_wire() {
    both_ways(Wire::default().with_framing(MultiWriter::default().protocol("tasks 1")));
}

#[test]
fn a_task_receives_from_another_process() {
    in_runtime(|| async {
        let (end, path) = pipe().await;
        let peer = peer::start("count", &path);
        let mut receiver = end.into_receiver::<u32>();
        for number in 0..1000 {
            assert_eq!(receiver.recv().await.unwrap(), number);
        }
        assert!(receiver.recv().await.unwrap_err().is_disconnected());
        peer.join();
    });
}

#[test]
fn a_task_sends_bytes_to_another_process() {
    in_runtime(|| async {
        let folder = Folder::new();
        let pipe = Pipe::new(folder.name("lines")).unwrap().mkfifo().unwrap();
        let peer = peer::start("echo-lines", pipe.path());
        let mut end = pipe.into_writer().into_tokio().open().await.unwrap();
        end.write_all(b"one\n").await.unwrap();
        end.write_all(b"two\n").await.unwrap();
        end.flush().await.unwrap();
        end.shutdown().await.unwrap();
        let end = end.into_blocking();
        let pipe = end.close().into_pipe();
        peer.join();
        drop(pipe);
    });
}

/// A small generator, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Polls a future up to so many times, and drops it if it is not ready then.
pub(crate) async fn poll_some<F: Future>(future: F, mut polls: u64) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[test]
fn d19_d20_a_hundred_thousand_futures_are_dropped_and_no_message_is_lost_or_torn() {
    // Each takes far longer under Wine.
    let to_drop = if cfg!(windows) { 5000 } else { 100_000 };
    watched_for(Duration::from_secs(600), move || {
        runtime().block_on(drop_futures(to_drop));
        // Several threads look at the same end in turn, and the system is asked by another one.
        Runtime::new().unwrap().block_on(drop_futures(to_drop / 5));
    });
}

/// Sends and receives checked messages, and drops so many of the futures at random.
async fn drop_futures(to_drop: u64) {
    let (end, path) = pipe().await;
    let wire = Wire::default().with_framing(Checked::default());
    let dropped = Arc::new(AtomicU64::new(0));
    let (mine, theirs) = (Arc::clone(&dropped), wire.clone());
    let sending = tokio::spawn(async move {
        let end = writer(path).open().await.unwrap();
        let mut sender = end.into_sender_with::<Job, _, _>(theirs);
        let mut dice = Dice(0x1234_5678_9ABC_DEF1);
        let mut sent = 0;
        while mine.load(Ordering::Relaxed) < to_drop {
            let message = job(sent);
            let future = sender.send(&message);
            sent += 1;
            match poll_some(future, dice.roll(3)).await {
                Some(done) => done.unwrap(),
                None => {
                    mine.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            }
            // So that not all of it is waiting in the end.
            while sender.pending() > 500_000 {
                match poll_some(sender.flush(), dice.roll(3)).await {
                    Some(done) => done.unwrap(),
                    None => {
                        mine.fetch_add(1, Ordering::Relaxed);
                        yield_now().await;
                    }
                }
            }
        }
        let flushed = loop {
            match poll_some(sender.flush(), dice.roll(4)).await {
                Some(flushed) => break flushed,
                None => yield_now().await,
            }
        };
        flushed.unwrap();
        sender.finish().await.unwrap();
        sent
    });
    let mut receiver = end.into_receiver_with::<Job, _, _>(wire);
    let mut dice = Dice(0xFEDC_BA98_7654_3211);
    let mut received = 0;
    loop {
        match poll_some(receiver.recv(), dice.roll(3)).await {
            Some(Ok(message)) => {
                assert_eq!(message, job(received));
                received += 1;
            }
            Some(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Finished, "{error}");
                break;
            }
            None => {
                dropped.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        }
    }
    assert_eq!(sending.await.unwrap(), received);
    assert!(dropped.load(Ordering::Relaxed) >= to_drop && received > 100, "{received}");
}

#[test]
fn d22_a_runtime_with_a_pending_open_ends() {
    // With a thread for it that blocks, this would hang.
    watched(|| {
        let missing = Folder::new().name("missing");
        for runtime in [runtime(), Runtime::new().unwrap()] {
            let missing = missing.clone();
            let writer = Pipe::temporary().unwrap().into_writer();
            runtime.block_on(async move {
                let opening = pending(writer.into_tokio().open()).await;
                let reading = pending(reader(missing).open()).await;
                assert!(!opening.is_finished() && !reading.is_finished());
            });
            drop(runtime);
        }
    });
}

/// Long enough to see that something waits.
const TRY: Duration = Duration::from_millis(50);

#[test]
fn a_runtime_with_a_pending_receive_ends_and_the_end_tells_so() {
    watched(|| {
        let runtime = runtime();
        let mut receiver = runtime.block_on(async {
            let (end, _) = pipe().await;
            let mut receiver = end.into_receiver::<u32>();
            assert!(poll_some(receiver.recv(), 1).await.is_none());
            receiver
        });
        drop(runtime);
        let again = self::runtime();
        let received = again.block_on(async { timeout(TRY, receiver.recv()).await });
        if cfg!(unix) {
            assert_eq!(received.unwrap().unwrap_err().kind(), ErrorKind::Io);
        }
    });
}

#[cfg(unix)]
#[test]
fn a5_a_task_that_waits_for_three_writers_in_turn_uses_no_processor() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("idle");
        let mut receiver = peer::start("idle-task", &name);
        for _ in 0..3 {
            receiver.await_step(peer::READY);
            WriteEnd::at(&name).unwrap().open().unwrap().into_sender::<u32>().send(&7).unwrap();
        }
        receiver.join();
    });
}

#[test]
fn a_task_outlives_three_writers_in_turn() {
    in_runtime(|| async {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.reader().on_hangup(OnHangup::NextWriter).into_tokio();
        let mut receiver = end.open().await.unwrap().into_receiver::<u32>();
        for round in 0..3 {
            let mut sender = writer(&path).open().await.unwrap().into_sender::<u32>();
            sender.send(&round).await.unwrap();
            assert_eq!(receiver.recv().await.unwrap(), round);
            let leaving = async {
                if round == 1 {
                    sender.finish().await.unwrap();
                } else {
                    drop(sender);
                }
            };
            let end = if round == 1 { Hangup::Finished } else { Hangup::Disconnected };
            let noticing = async {
                while receiver.last_hangup() != Some(end) {
                    assert!(timeout(TRY, receiver.recv()).await.is_err());
                }
            };
            tokio::join!(leaving, noticing);
        }
    });
}

/// The runtime remembers for ever that the other side had left. Nobody may be woken for that without rest.
#[test]
fn a5_the_next_side_that_says_nothing_lets_a_task_sleep() {
    in_runtime(|| async {
        let (end, path) = pipe().await;
        let mut receiver = end.into_receiver::<u32>();
        let mut first = writer(&path).open().await.unwrap().into_sender::<u32>();
        first.send(&1).await.unwrap();
        assert_eq!(receiver.recv().await.unwrap(), 1);
        assert!(poll_some(receiver.recv(), 1).await.is_none());
        drop(first);
        // The runtime learns of it, and the receiver does not.
        yield_now().await;
        let mut second = WriteEnd::at(&path).unwrap().open().unwrap().into_sender::<u32>();
        let mut polls = 0;
        let mut receiving = pin!(receiver.recv());
        let counted = poll_fn(|cx| {
            polls += 1;
            receiving.as_mut().poll(cx)
        });
        assert!(timeout(Duration::from_millis(200), counted).await.is_err());
        let most = if cfg!(target_vendor = "apple") { 30 } else { 5 };
        assert!(polls <= most, "polled {polls} times");
        second.send(&2).unwrap();
        assert_eq!(receiving.await.unwrap(), 2);
    });
}

#[cfg(unix)]
#[test]
fn a5_the_next_reader_that_takes_nothing_lets_a_task_sleep() {
    in_runtime(|| async {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let first = ReadEnd::at(&path).unwrap().open().unwrap();
        let mut end = pipe.into_writer().into_tokio().open().await.unwrap();
        while timeout(TRY, end.write(&[0; 4096])).await.is_ok() {}
        drop(first);
        yield_now().await; // the runtime learns of it
        let mut second = ReadEnd::at(&path).unwrap().open().unwrap();
        while second.try_read(&mut [0; 65536]).is_ok() {}
        // Full again, with the memory of the reader that left.
        let mut polls = 0;
        let filling = async { while end.write(&[0; 4096]).await.is_ok() {} };
        let mut filling = pin!(filling);
        let counted = poll_fn(|cx| {
            polls += 1;
            filling.as_mut().poll(cx)
        });
        assert!(timeout(Duration::from_millis(200), counted).await.is_err());
        assert!(polls <= 10, "polled {polls} times");
    });
}

#[test]
fn a_cancel_token_wakes_tasks() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.into_reader().cancelled_by(&token).into_tokio().open().await.unwrap();
        let receiving = pending(async move { end.into_receiver::<u32>().recv().await }).await;

        let full = Pipe::temporary().unwrap();
        let idle = reader(full.path()).open().await;
        let idle = if cfg!(unix) { idle.ok() } else { None };
        let opening = pending(writer(Folder::new().name("none")).cancelled_by(&token).open()).await;
        assert!(!receiving.is_finished() && !opening.is_finished());
        token.cancel();
        assert_eq!(receiving.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(opening.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        // From now on, too.
        let late = writer(path).cancelled_by(&token).open().await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Cancelled);
        drop(idle);
    });
}

#[test]
fn a_cancel_token_ends_a_stream() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let pipe = Pipe::temporary().unwrap();
        let end = pipe.into_reader().cancelled_by(&token).into_tokio().open().await.unwrap();
        let mut receiver = end.into_receiver::<u32>();
        token.cancel();
        assert!(receiver.recv().await.unwrap_err().is_fatal());
        assert!(poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx)).await.is_none());
    });
}

#[test]
fn a_token_of_a_connection_is_that_of_both_halves() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let (ours, _theirs) = Connection::pair().unwrap();
        let (mut reader, mut writer) = ours.into_tokio().unwrap().cancelled_by(&token).split();
        let reading = pending(async move { reader.read(&mut [0; 8]).await }).await;
        token.cancel();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(writer.write(b"late").await.unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn a_cancelled_send_is_withdrawn_or_kept() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let (end, path) = pipe().await;
        let sender = writer(path).cancelled_by(&token).open().await.unwrap();
        let mut sender = sender.into_sender::<[u8]>();
        let big = vec![7; 1_000_000];
        assert!(timeout(TRY, sender.send(&big)).await.is_err());
        token.cancel();
        let failed = sender.flush().await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Cancelled);
        let failed = sender.send(&[1]).await.unwrap_err();
        assert_eq!((failed.kind(), failed.is_half_sent()), (ErrorKind::Cancelled, false));
        drop(end);
    });
}

/// The last message, which it had taken before, was withdrawn.
#[test]
fn a_sink_that_fails_keeps_what_it_has_taken() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let (end, path) = pipe().await;
        let sender = writer(path).cancelled_by(&token).open().await.unwrap();
        let mut sender = sender.into_sender::<str>();
        let ready = async |sender: &mut TypedSender<str, _>| {
            poll_fn(|cx| Sink::<&str>::poll_ready(Pin::new(sender), cx)).await
        };
        let text = "7".repeat(1000);
        while let Ok(is_ready) = timeout(TRY, ready(&mut sender)).await {
            is_ready.unwrap();
            Sink::<&str>::start_send(Pin::new(&mut sender), &text).unwrap();
        }
        token.cancel();
        let taken = sender.pending();
        assert_eq!(ready(&mut sender).await.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(sender.pending(), taken);
        drop(end);
    });
}

#[test]
fn a_stream_and_a_sink() {
    in_runtime(|| async {
        let (end, path) = pipe().await;
        let sending = tokio::spawn(async move {
            let mut sender = writer(path).open().await.unwrap().into_sender::<str>();
            for number in 0..5000 {
                let text = format!("{number} is a number");
                poll_fn(|cx| Sink::<String>::poll_ready(Pin::new(&mut sender), cx)).await.unwrap();
                Sink::<String>::start_send(Pin::new(&mut sender), text).unwrap();
            }
            poll_fn(|cx| Sink::<String>::poll_flush(Pin::new(&mut sender), cx)).await.unwrap();
            poll_fn(|cx| Sink::<String>::poll_close(Pin::new(&mut sender), cx)).await.unwrap();
            sender
        });
        let mut receiver = end.into_receiver::<String>();
        let mut number = 0;
        while let Some(text) = poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx)).await {
            assert_eq!(text.unwrap(), format!("{number} is a number"));
            number += 1;
            if number == 5000 {
                break;
            }
        }
        drop(sending.await.unwrap());
        assert!(poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx)).await.is_none());
        assert_eq!(receiver.last_hangup(), Some(Hangup::Finished));
    });
}

#[test]
fn borrowed_messages_come_to_tasks_too() {
    in_runtime(|| async {
        let (end, path) = pipe().await;
        let sending = tokio::spawn(async move {
            let mut sender = writer(path).open().await.unwrap().into_sender::<String>();
            sender.send_ref(&"one").await.unwrap();
            sender.send(&"two".to_owned()).await.unwrap();
            sender
        });
        let mut receiver = end.into_receiver::<String>();
        assert_eq!(receiver.recv_ref().await.unwrap(), "one");
        assert_eq!(receiver.recv_ref().await.unwrap(), "two");
        drop(sending.await.unwrap());
    });
}

#[test]
fn lines_come_to_tasks_too_and_the_last_one_needs_no_feed() {
    in_runtime(|| async {
        let (end, path) = pipe().await;
        let writing = thread::spawn(move || {
            let mut end = WriteEnd::at(path).unwrap().open().unwrap();
            end.write_all(b"one\nt\xFFo\nlast").unwrap();
        });
        let mut lines = end.into_text();
        assert_eq!(lines.recv().await.unwrap(), "one");
        assert_eq!(lines.recv().await.unwrap_err().kind(), ErrorKind::Decode);
        assert_eq!(lines.last_message(), Some(&b"t\xFFo"[..]));
        let last = poll_fn(|cx| Pin::new(&mut lines).poll_next(cx)).await;
        assert_eq!(last.unwrap().unwrap(), "last");
        assert!(poll_fn(|cx| Pin::new(&mut lines).poll_next(cx)).await.is_none());
        assert_eq!(lines.last_hangup(), Some(Hangup::Disconnected));
        writing.join().unwrap();
    });
}

#[cfg(feature = "json")]
#[test]
fn half_a_line_of_json_is_truncated_for_tasks_too() {
    use typed_pipe::wire::Json;
    use typed_pipe::wire::foreign::Lines;

    in_runtime(|| async {
        let (end, path) = pipe().await;
        let writing = thread::spawn(move || {
            let mut end = WriteEnd::at(path).unwrap().open().unwrap();
            end.write_all(b"[1]\n[2").unwrap();
        });
        let wire = Wire::new(Lines::default(), Json);
        let mut lines = end.into_receiver_with::<[u8; 1], _, _>(wire);
        assert_eq!(lines.recv().await.unwrap(), [1]);
        assert_eq!(lines.recv().await.unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(lines.last_message(), Some(&b"[2"[..]));
        assert_eq!(lines.last_hangup(), Some(Hangup::Truncated));
        assert!(lines.recv().await.unwrap_err().is_disconnected());
        writing.join().unwrap();
    });
}

#[test]
fn writers_are_told_apart_by_tasks_too() {
    in_runtime(|| async {
        let wire = Wire::default().with_framing(MultiWriter::default());
        let (end, path) = pipe().await;
        let mut receiver = end.into_receiver_with::<u32, _, _>(wire.clone());
        let mut senders = Vec::new();
        for _ in 0..3 {
            let end = writer(&path).open().await.unwrap();
            senders.push(end.into_sender_with::<u32, _, _>(wire.clone()));
        }
        let mut writers = Vec::new();
        for (number, sender) in (0..).zip(&mut senders) {
            sender.send(&number).await.unwrap();
            let (writer, value) = receiver.recv_from().await.unwrap();
            assert_eq!(value, number);
            assert!(!writers.contains(&writer));
            writers.push(writer);
        }
    });
}

#[test]
fn the_mode_of_an_open_end_can_be_changed_and_nothing_is_lost() {
    in_runtime(|| async {
        let (end, path) = pipe().await;
        let mut their = WriteEnd::at(path).unwrap().open().unwrap();
        let mut end = end.into_blocking();
        for round in 0..20_u8 {
            their.write_all(&[round; 3]).unwrap();
            let mut tokio = end.into_tokio().unwrap();
            let mut bytes = [0; 1];
            tokio.read_exact(&mut bytes).await.unwrap();
            assert_eq!(bytes, [round]);
            end = tokio.into_blocking();
            let mut bytes = [0; 2];
            end.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, [round; 2]);
        }
        let tokio = end.into_tokio().unwrap();
        drop(their);
        let mut end = tokio.into_blocking();
        assert_eq!(end.read(&mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn a_client_that_reads_in_a_task_outlives_three_writers_in_turn() {
    in_runtime(|| async {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let client = reader(path).on_hangup(OnHangup::NextWriter);
        let (seen, go_on) = channel();
        let writing = thread::spawn(move || {
            for round in 0..3_u32 {
                let mut sender = pipe.open_writer().unwrap().into_sender::<u32>();
                sender.send_all((0..1000).map(|number| round * 1000 + number)).unwrap();
                // Before the next one comes, the client takes all, and learns that this one left. Nobody reads the
                // goodbye of the last one.
                if round < 2 {
                    sender.finish().unwrap();
                    go_on.recv().unwrap();
                }
            }
        });
        let mut receiver = client.open().await.unwrap().into_receiver::<u32>();
        for number in 0..1500 {
            if number == 1000 {
                while receiver.last_hangup().is_none() {
                    assert!(poll_some(receiver.recv(), 1).await.is_none());
                    yield_now().await;
                }
                seen.send(()).unwrap();
            }
            assert_eq!(receiver.recv().await.unwrap(), number);
        }
        // In between, a thread goes on, and then a task again, with what was received and not taken.
        let mut bytes = Vec::new();
        bytes.extend_from_slice(receiver.buffered());
        let mut end = receiver.into_inner().into_blocking();
        while bytes.len() < 5 {
            let mut more = [0; 1];
            end.read_exact(&mut more).unwrap();
            bytes.extend_from_slice(&more);
        }
        let mut end = end.into_tokio().unwrap();
        let mut read = 1;
        while read > 0 {
            let mut more = [0; 1000];
            read = end.read(&mut more).await.unwrap();
            bytes.extend_from_slice(&more[..read]);
        }
        seen.send(()).unwrap();
        let mut rest = TypedReceiver::<u32, _>::new(bytes.as_slice());
        for number in 1500..2000 {
            assert_eq!(rest.recv().unwrap(), number);
        }
        let mut receiver = end.into_receiver::<u32>();
        for number in 2000..3000 {
            assert_eq!(receiver.recv().await.unwrap(), number);
        }
        // The last one waits until its goodbye is taken.
        while !writing.is_finished() {
            assert!(timeout(TRY, receiver.recv()).await.is_err());
        }
        writing.join().unwrap();
    });
}

#[test]
fn d20_a_write_that_was_dropped_is_written_whole_or_not_at_all() {
    in_runtime(|| async {
        let (mut end, path) = pipe().await;
        let mut their = writer(path).open().await.unwrap();
        let mut before = 0;
        while let Ok(written) = timeout(TRY, their.write(&[1; 4096])).await {
            before += written.unwrap();
        }
        let writing = tokio::spawn(async move {
            let mut after = 0;
            while after < 10_000 {
                after += their.write(&vec![2; 10_000 - after]).await.unwrap();
            }
        });
        let mut bytes = Vec::new();
        end.read_to_end(&mut bytes).await.unwrap();
        writing.await.unwrap();
        let ones = bytes.iter().take_while(|byte| **byte == 1).count();
        assert!(ones == before || cfg!(windows) && ones == before + 4096, "{before}, then {ones}");
        assert_eq!(bytes[ones..], [2; 10_000]);
    });
}

#[test]
fn without_a_runtime_the_end_is_given_back() {
    watched(|| {
        let end = Pipe::temporary().unwrap().into_reader().open().unwrap();
        let failed = end.into_tokio().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unsupported, "{failed}");
        let closed = failed.into_state().close().into_tokio();
        let failed = closed.try_open().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unsupported, "{failed}");
        drop(failed.into_state().into_blocking().open().unwrap());
    });
}

#[test]
fn a_task_that_opens_in_time_or_not() {
    in_runtime(|| async {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        if cfg!(unix) {
            let failed = writer(&path).try_open().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::WouldBlock);
            let closed = failed.into_state();
            let failed = closed.open_timeout(Duration::from_millis(30)).await.unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        }
        let opening = tokio::spawn(writer(&path).open());
        yield_now().await;
        let end = pipe.into_reader().into_tokio().open().await.unwrap();
        opening.await.unwrap().unwrap();
        let pipe = end.close().into_pipe();
        // It is closed, and can be opened again.
        let mut again = pipe.into_reader().into_tokio();
        let again = loop {
            match again.try_open() {
                Ok(end) => break end,
                // A child that another test starts has a copy of its end for a moment, and the lock with it.
                Err(failed) if failed.kind() == ErrorKind::InUse => again = failed.into_state(),
                Err(failed) => panic!("{failed}"),
            }
        };
        drop(again);
        let failed = reader(&path).open_timeout(Duration::from_millis(30)).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_second_reader_is_refused_to_a_task_too() {
    in_runtime(|| async {
        let (_end, path) = pipe().await;
        assert_eq!(reader(&path).open().await.unwrap_err().kind(), ErrorKind::InUse);
    });
}

#[cfg(unix)]
#[test]
fn a_task_learns_that_nobody_can_come_any_more() {
    in_runtime(|| async {
        let folder = Folder::new();
        let name = folder.name("gone");
        let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
        let mut receiver = reader(&name).open().await.unwrap().into_receiver::<u32>();
        pipe.unlink().unwrap();
        assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::NotFound);
        let mut next = async || poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx)).await;
        assert!(next().await.unwrap().unwrap_err().is_fatal());
        assert!(next().await.is_none(), "a stream ends as well");
    });
}

#[test]
fn a_dropped_open_leaves_a_borrowed_pipe_as_it_was() {
    in_runtime(|| async {
        let mut pipe = Pipe::temporary().unwrap();
        for _ in 0..10 {
            assert!(poll_some(pipe.writer().into_tokio().open(), 1).await.is_none());
        }
        let path = pipe.path().clone();
        let reading = thread::spawn(move || {
            let mut text = String::new();
            ReadEnd::at(path).unwrap().open().unwrap().read_to_string(&mut text).unwrap();
            text
        });
        let mut end = pipe.writer().into_tokio().open().await.unwrap();
        end.write_all(b"at last").await.unwrap();
        drop(end);
        assert_eq!(reading.join().unwrap(), "at last");
    });
}

#[test]
fn bytes_of_any_number_pass_through_tasks() {
    in_runtime(|| async {
        let (mut end, path) = pipe().await;
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let theirs = bytes.clone();
        let writing = tokio::spawn(async move {
            let mut end = writer(path).open().await.unwrap();
            end.write_all(&theirs).await.unwrap();
        });
        let mut got = Vec::new();
        end.read_to_end(&mut got).await.unwrap();
        assert!(got == bytes);
        writing.await.unwrap();
    });
}

#[test]
fn to_finish_in_a_task_is_to_wait_for_a_slow_reader_and_not_for_a_dead_one() {
    in_runtime(|| async {
        let (end, path) = pipe().await;
        let mut receiver = end.into_receiver::<u32>();
        let mut sender = writer(&path).open().await.unwrap().into_sender::<u32>();
        sender.send(&1).await.unwrap();
        let linux = cfg!(target_os = "linux");
        let mut finishing = tokio::spawn(sender.finish());
        if linux {
            assert!(timeout(Duration::from_millis(30), &mut finishing).await.is_err());
        }
        assert_eq!(receiver.recv().await.unwrap(), 1);
        let words = finishing.await.unwrap().unwrap();
        assert_eq!(words == Delivery::Drained, linux);
        assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Finished);

        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.reader().into_tokio().open().await.unwrap();
        let mut sender = writer(&path).open().await.unwrap().into_sender::<u32>();
        sender.feed(&2).await.unwrap();
        drop(end);
        if cfg!(unix) {
            until_it_fails(|| writer(&path).try_open()); // nobody reads
        } else {
            drop(pipe); // another reader might come
        }
        let failed = sender.finish().await.unwrap_err();
        assert!(failed.error().is_disconnected(), "{failed}");
        assert_eq!(failed.into_state().pending(), 19 + 9, "hello, message and goodbye");
    });
}

// What is awaited can be awaited in any task.
#[test]
fn futures_can_be_sent() {
    fn sendable<T: Send>(_: &T) {}
    fn check(
        receiver: &mut TypedReceiver<Job, ReadEnd<Open<Tokio>>>,
        mut sender: TypedSender<Job, WriteEnd<Open<Tokio>>>,
    ) {
        sendable(&receiver.recv());
        sendable(&sender.send(&job(1)));
        sendable(&sender.feed(&job(1)));
        sendable(&sender.send_all([job(1)]));
        sendable(&sender.flush());
        sendable(&sender.send_timeout(&job(1), Duration::ZERO));
        sendable(&receiver.recv_timeout(Duration::ZERO));
        sendable(&sender.finish());
    }
    let _ = check;
}

/// A waker may run anything, such as the task itself.
#[test]
fn a_cancel_token_holds_no_lock_while_it_wakes() {
    struct AsksForAChild(CancelToken);
    impl Wake for AsksForAChild {
        fn wake(self: Arc<Self>) {
            assert!(self.0.child_token().unwrap().is_cancelled());
        }
    }
    in_runtime(|| async {
        let all = CancelToken::new().unwrap();
        let end =
            Pipe::temporary().unwrap().into_reader().cancelled_by(&all.child_token().unwrap());
        let mut end = end.into_tokio().open().await.unwrap();
        let waker = Waker::from(Arc::new(AsksForAChild(all.clone())));
        let mut buf = [0; 8];
        let mut reading = pin!(end.read(&mut buf));
        assert!(reading.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        all.cancel();
        assert_eq!(reading.await.unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

#[cfg(unix)] // On Windows there are as many readers as the owner has clients.
#[test]
fn a18_a_second_reader_is_refused_however_short_it_waits() {
    in_runtime(|| async {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let _first = pipe.into_reader().into_tokio().open().await.unwrap();
        for milliseconds in [0, 1, 1000] {
            let waiting = reader(&path).open_timeout(Duration::from_millis(milliseconds));
            assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::InUse);
        }
    });
}

#[test]
fn a_task_waits_for_a_cancel_token_and_may_stop_waiting() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let mut dropped = Box::pin(token.cancelled());
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(dropped);

        let (one, other) = (token.clone(), token.child_token().unwrap());
        let one = tokio::spawn(async move { one.cancelled().await });
        let other = tokio::spawn(async move { other.cancelled().await });
        yield_now().await;
        token.cancel();
        one.await.unwrap();
        other.await.unwrap();
        token.cancelled().await; // and from now on at once
    });
}
