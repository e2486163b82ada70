//! Protocols as types between machines, by threads and by tasks, as on one machine.

mod common;

use std::thread;

use common::{Two, watched};
use typed_pipe::ErrorKind;
use typed_pipe::session::{Dual, Ends, Receives, Sends, Session};

/// What a caller says and hears.
type Double = Sends<u64, Receives<u64, Ends>>;

#[test]
fn threads_follow_a_protocol_between_machines() {
    watched(|| {
        let two = Two::new();
        let (answering, asking) = two.connected();
        let answering = thread::spawn(move || {
            let session: Session<Dual<Double>> = answering.into_session().unwrap();
            let (number, session) = session.recv().unwrap();
            session.send(&(number * 2)).unwrap().end().unwrap();
        });
        let session: Session<Double> = asking.into_session().unwrap();
        let (doubled, session) = session.send(&21).unwrap().recv().unwrap();
        session.end().unwrap();
        assert_eq!(doubled, 42);
        answering.join().unwrap();
    });
}

#[test]
fn tasks_follow_a_protocol_between_machines() {
    watched(|| {
        let two = Two::new();
        let (answering, asking) = two.connected();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let answering = async move {
                let answering = answering.into_tokio().unwrap();
                let session: Session<Dual<Double>, _> = answering.into_session().await.unwrap();
                let (number, session) = session.recv().await.unwrap();
                session.send(&(number * 2)).await.unwrap().end().await.unwrap();
            };
            let asking = async move {
                let asking = asking.into_tokio().unwrap();
                let session: Session<Double, _> = asking.into_session().await.unwrap();
                let (doubled, session) = session.send(&21).await.unwrap().recv().await.unwrap();
                session.end().await.unwrap();
                assert_eq!(doubled, 42);
            };
            tokio::join!(answering, asking);
        });
    });
}

#[test]
fn a_side_that_leaves_in_the_middle_is_named_with_the_step() {
    watched(|| {
        let two = Two::new();
        let (answering, asking) = two.connected();
        let answering = thread::spawn(move || {
            let session: Session<Dual<Double>> = answering.into_session().unwrap();
            drop(session.recv().unwrap());
        });
        let session: Session<Double> = asking.into_session().unwrap();
        let error = session.send(&21).unwrap().recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Abandoned, "{error}");
        answering.join().unwrap();
    });
}
