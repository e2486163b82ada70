//! A channel's tests, under the toy runtime.

use std::marker::PhantomData;
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use super::{Toy, block_on, look_at};
use crate::state::{Closed, Open};
use crate::wire::{MultiWriter, Wire};
use crate::{
    CancelToken, Connection, Delivery, Described, Error, ErrorKind, Listener, OnHangup, Pipe,
    ReadEnd, Receivable, TypedConnection, TypedReceiver, TypedSender, WriteEnd,
};

type Reader = ReadEnd<Open<Toy>, Pipe<crate::state::Allocated>>;

const SHORT: Duration = Duration::from_millis(20);

fn closed<D, S, P: crate::PipeRef>(end: crate::End<D, S, P>) -> crate::End<D, Closed<Toy>, P> {
    end.with_state(Closed { mode: PhantomData })
}

async fn ends() -> (Reader, WriteEnd<Open<Toy>>) {
    let pipe = Pipe::temporary().unwrap();
    let path = pipe.path().clone();
    let reader = closed(pipe.into_reader()).open().await.unwrap();
    let writer = closed(WriteEnd::at(path).unwrap()).open().await.unwrap();
    (reader, writer)
}

async fn channel<T: Described + Receivable>()
-> (TypedSender<T, WriteEnd<Open<Toy>>>, TypedReceiver<T, Reader>) {
    let (reader, writer) = ends().await;
    (writer.into_sender(), reader.into_receiver())
}

#[test]
fn messages_go_through_in_order() {
    block_on(async {
        let (mut sender, mut receiver) = channel::<String>().await;
        sender.send(&"one".into()).await.unwrap();
        sender.feed(&"two".into()).await.unwrap();
        sender.flush().await.unwrap();
        sender.send_all(["three".to_owned()]).await.unwrap();
        sender.send_ref(&"four").await.unwrap();
        for word in ["one", "two", "three", "four"] {
            assert_eq!(receiver.recv_ref().await.unwrap(), word);
        }
        sender.send_bytes(&[7; 30_000]).await.unwrap();
        assert_eq!(receiver.recv_bytes().await.unwrap(), [7; 30_000]);
        let mut loan = sender.loan(4).unwrap();
        loan.fill(9);
        loan.send().await.unwrap();
        assert_eq!(receiver.recv_bytes().await.unwrap(), [9; 4]);
        #[cfg(feature = "shared-memory")]
        {
            sender.send_bytes(&[5; 100]).await.unwrap();
            assert_eq!(receiver.recv_view().await.unwrap().copy_to_vec(), [5; 100]);
        }
        drop(sender);
        assert!(receiver.recv().await.unwrap_err().is_end());
    });
}

#[test]
fn tries_and_deadlines_are_kept() {
    block_on(async {
        let (mut sender, mut receiver) = channel::<Vec<u8>>().await;
        assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(receiver.recv_timeout(SHORT).await.unwrap_err().kind(), ErrorKind::TimedOut);
        let large = vec![7; 1 << 20];
        let late = sender.send_timeout(&large, SHORT).await.unwrap_err();
        assert!(late.kind() == ErrorKind::TimedOut && late.is_half_sent());
        assert_eq!(
            sender.set_timeout(Duration::ZERO).flush().await.unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(
            sender.set_timeout(SHORT).flush().await.unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        let late = sender.finish_timeout(SHORT).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let receiving = thread::spawn(move || {
            block_on(async move {
                let received = receiver.recv().await.unwrap();
                assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Finished);
                received
            })
        });
        let mut sender = late.into_state();
        sender.set_timeout(None);
        let last_words = sender.finish().await.unwrap();
        assert_eq!(receiving.join().unwrap(), large);
        if cfg!(target_os = "linux") {
            assert_eq!(last_words, Delivery::Drained);
        }
    });
}

#[test]
fn a_future_that_is_dropped_loses_nothing() {
    block_on(async {
        let (mut sender, mut receiver) = channel::<Vec<u8>>().await;
        {
            let waiting = pin!(receiver.recv());
            assert!(look_at(waiting).is_pending());
        }
        let large = vec![7; 1 << 20];
        {
            let sending = pin!(sender.send(&large));
            assert!(look_at(sending).is_pending());
        }
        assert!(sender.pending() > 0);
        let (mut flushing, mut receiving) = (pin!(sender.flush()), pin!(receiver.recv()));
        let received = loop {
            let _ = look_at(flushing.as_mut());
            if let Poll::Ready(received) = look_at(receiving.as_mut()) {
                break received;
            }
        };
        assert_eq!(received.unwrap(), large);
    });
}

#[test]
fn a_cancel_token_ends_what_waits() {
    block_on(async {
        let token = CancelToken::new().unwrap();
        let pipe = Pipe::temporary().unwrap();
        let end = closed(pipe.into_reader().cancelled_by(&token)).open().await.unwrap();
        let mut receiver = end.into_receiver::<u32>();
        let mut waiting = pin!(receiver.recv());
        assert!(look_at(waiting.as_mut()).is_pending());
        token.cancel();
        assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn the_next_writer_is_waited_for_and_writers_are_told_apart() {
    block_on(async {
        let wire = || Wire::default().with_framing(MultiWriter::default());
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.into_reader().on_hangup(OnHangup::NextWriter);
        let end = closed(end).open().await.unwrap();
        let mut receiver = end.into_receiver_with::<u32, _, _>(wire());
        let mut writers = Vec::new();
        for number in 0..3 {
            let end = closed(WriteEnd::at(&path).unwrap()).open().await.unwrap();
            let mut sender = end.into_sender_with::<u32, _, _>(wire());
            sender.send(&number).await.unwrap();
            drop(sender);
            let (writer, received) = receiver.recv_from().await.unwrap();
            assert_eq!(received, number);
            assert!(!writers.contains(&writer));
            writers.push(writer);
            assert_eq!(receiver.recv_timeout(SHORT).await.unwrap_err().kind(), ErrorKind::TimedOut);
        }
    });
}

#[test]
fn it_waits_until_there_is_a_pipe() {
    block_on(async {
        let path = Pipe::temporary().unwrap().path().clone(); // it is gone by now
        let end = closed(WriteEnd::at(path).unwrap());
        let end = end.try_open().unwrap_err().into_state();
        let late = end.open_timeout(SHORT).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn both_sides_of_a_connection_may_send_much_first() {
    async fn exchange(connection: Connection<Toy>) -> Result<usize, Error> {
        let mut side: TypedConnection<_, Vec<u8>, _, _, Toy> =
            connection.into_typed::<[u8], Vec<u8>>().await?;
        side.send(&vec![7; 4 << 20]).await?;
        Ok(side.recv().await?.len())
    }
    let (one, other) = Connection::pair().unwrap();
    let (one, other) = (one.into_mode().unwrap(), other.into_mode().unwrap());
    let exchanging = thread::spawn(|| block_on(exchange(other)));
    assert_eq!(block_on(exchange(one)).unwrap(), 4 << 20);
    assert_eq!(exchanging.join().unwrap().unwrap(), 4 << 20);
}

#[test]
fn clients_are_accepted() {
    block_on(async {
        let listener: Listener<Toy> = Listener::temporary().unwrap().waiting_by(());
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(listener.accept_timeout(SHORT).await.unwrap_err().kind(), ErrorKind::TimedOut);
        let mut client = Connection::connect(listener.path()).unwrap();
        let mut accepted = listener.accept().await.unwrap();
        client.writer().write(b"hello").unwrap();
        let mut words = [0; 8];
        assert_eq!(accepted.reader().read(&mut words).await.unwrap(), 5);
        let mut rest = accepted.finish().await.unwrap();
        assert_eq!(client.reader().read(&mut words).unwrap(), 0);
        drop(client);
        assert_eq!(rest.read(&mut words).await.unwrap(), 0);
    });
}
