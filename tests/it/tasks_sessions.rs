//! Conversations that keep to a protocol, in tasks.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::thread;
use std::time::Duration;

use tokio::task::{self, yield_now};
use typed_pipe::session::{Dual, Ends, Protocol, Receives, Sends, Session};
use typed_pipe::{CancelToken, Connection, Error, ErrorKind, Listener, Tokio};

use crate::peer::{self, READY};
use crate::sessions::{
    Buy, Decision, Item, Price, Receipt, SAID, Sell, buy, decision, listened, seller_of_bytes,
};
use crate::support::{Folder, pending, watched};
use crate::tasks_both_ways::{dropped_after, in_runtime, pair};

async fn buy_in_a_task(
    mut session: Session<Buy, Tokio>,
    most: u64,
) -> Result<(Option<u64>, typed_pipe::session::Done), Error> {
    for count in [100, 10, 1] {
        let (price, next) =
            session.send(&Item { name: "lamp".into(), count }).await?.recv().await?;
        if price.0 < most {
            let next = next.choose(decision::Order).send(&"here".into()).await?;
            let (receipt, next) = next.recv().await?;
            return Ok((Some(receipt.number), next.end().await?));
        }
        session = next.choose(decision::Another);
    }
    let (_, next) = session.send(&Item { name: "lamp".into(), count: 0 }).await?.recv().await?;
    Ok((None, next.choose(decision::Leave).end().await?))
}

async fn sell(
    mut session: Session<Sell, Tokio>,
) -> Result<(u32, typed_pipe::session::Done), Error> {
    let mut quotes = 0;
    loop {
        let (item, next) = session.recv().await?;
        quotes += 1;
        match next.send(&Price(u64::from(item.count) * 7)).await?.offer().await? {
            Decision::Order(next) => {
                let (_, next) = next.recv().await?;
                let done = next.send(&Receipt { number: 4711 }).await?.end().await?;
                return Ok((quotes, done));
            }
            Decision::Another(next) => session = next,
            Decision::Leave(next) => return Ok((quotes, next.end().await?)),
        }
    }
}

#[test]
fn tasks_and_threads_talk_to_each_other() {
    in_runtime(|| async {
        for (most, receipt, quotes) in [(50, Some(4711), 3), (0, None, 4)] {
            let (client, server) = listened();
            let buying =
                thread::spawn(move || client.converse::<Buy, _>(|session| buy(session, most)));
            let sold = server.into_tokio().unwrap().converse::<Sell, _>(sell).await.unwrap();
            assert_eq!((buying.join().unwrap().unwrap(), sold), (receipt, quotes));
        }
        let (client, server) = pair().await;
        let bought = client.converse::<Buy, _>(|session| buy_in_a_task(session, 50));
        let (bought, sold) = tokio::join!(bought, server.converse::<Sell, _>(sell));
        assert_eq!((bought.unwrap(), sold.unwrap()), (Some(4711), 3));
    });
}

#[cfg(all(target_os = "linux", feature = "shared-memory"))]
#[test]
fn tasks_and_threads_talk_over_shared_memory() {
    use typed_pipe::{Handshake, SharedMemory};

    let shared = || Handshake::new().shared_memory(SharedMemory::required());
    in_runtime(move || async move {
        let (client, server) = listened();
        let buying = thread::spawn(move || buy(shared().session(client).unwrap(), 50).unwrap().0);
        let selling = shared().into_tokio().session(server.into_tokio().unwrap()).await.unwrap();
        assert_eq!(sell(selling).await.unwrap().0, 3);
        assert_eq!(buying.join().unwrap(), Some(4711));
    });
}

#[test]
fn tasks_speak_the_bytes_of_threads() {
    in_runtime(|| async {
        let (client, server) = Connection::pair().unwrap();
        let selling = seller_of_bytes(server);
        let session = client.into_tokio().unwrap().into_session().await.unwrap();
        let (receipt, _) = buy_in_a_task(session, 50).await.unwrap();
        assert_eq!(receipt, Some(9));
        let said = task::spawn_blocking(|| selling.join().unwrap()).await.unwrap();
        assert_eq!(said.escape_ascii().to_string(), SAID.escape_ascii().to_string());
    });
}

/// Waits by futures that are dropped, after more and more looks.
async fn ready<P: Protocol>(session: &mut Session<P, Tokio>, drops: &Cell<usize>, seed: &mut u64) {
    loop {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let looks = usize::try_from(*seed >> 62).unwrap() + 1;
        match dropped_after(looks, session.ready()).await {
            Some(ready) => return ready.unwrap(),
            None => drops.set(drops.get() + 1),
        }
        yield_now().await;
    }
}

/// A step after `ready` is done at the first look.
async fn at_once<T>(step: impl Future<Output = T>) -> T {
    dropped_after(1, step).await.expect("a step that is ready does not wait")
}

#[test]
fn futures_dropped_at_random_lose_no_session() {
    type Bulk = Sends<Vec<u8>, Receives<Vec<u8>, Buy>>;
    in_runtime(|| async {
        let drops = Cell::new(0);
        for round in 1..=10_u64 {
            let (client, server) = pair().await;
            let large = vec![7; 300_000];
            let one = async {
                let mut seed = round;
                let session = client.into_session::<Bulk>().await.unwrap();
                let mut session = session.feed(&large).unwrap();
                ready(&mut session, &drops, &mut seed).await;
                let (bytes, mut session) = at_once(session.recv()).await.unwrap();
                assert!(bytes == large);
                for count in [100, 10] {
                    let mut next = session.feed(&Item { name: "lamp".into(), count }).unwrap();
                    ready(&mut next, &drops, &mut seed).await;
                    let (_, next) = at_once(next.recv()).await.unwrap();
                    session = next.choose(decision::Another);
                }
                let mut next = session.feed(&Item { name: "lamp".into(), count: 1 }).unwrap();
                ready(&mut next, &drops, &mut seed).await;
                let (_, next) = at_once(next.recv()).await.unwrap();
                let mut next = next.choose(decision::Order).feed(&"here".into()).unwrap();
                ready(&mut next, &drops, &mut seed).await;
                let (receipt, mut next) = at_once(next.recv()).await.unwrap();
                ready(&mut next, &drops, &mut seed).await;
                at_once(next.end()).await.unwrap();
                receipt.number
            };
            let other = async {
                let mut seed = !round;
                let mut session = server.into_session::<Dual<Bulk>>().await.unwrap();
                ready(&mut session, &drops, &mut seed).await;
                let (bytes, session) = at_once(session.recv()).await.unwrap();
                let mut session = session.feed(&bytes).unwrap();
                let mut quotes = 0;
                loop {
                    ready(&mut session, &drops, &mut seed).await;
                    let (item, next) = at_once(session.recv()).await.unwrap();
                    quotes += item.count;
                    let mut next = next.feed(&Price(1)).unwrap();
                    ready(&mut next, &drops, &mut seed).await;
                    match at_once(next.offer()).await.unwrap() {
                        Decision::Another(next) => session = next,
                        Decision::Order(mut next) => {
                            ready(&mut next, &drops, &mut seed).await;
                            let (_, next) = at_once(next.recv()).await.unwrap();
                            let mut next = next.feed(&Receipt { number: 3 }).unwrap();
                            ready(&mut next, &drops, &mut seed).await;
                            at_once(next.end()).await.unwrap();
                            return quotes;
                        }
                        Decision::Leave(_) => panic!("it orders"),
                    }
                }
            };
            assert_eq!(tokio::join!(one, other), (3, 111));
        }
        assert!(drops.get() > 50, "{} drops", drops.get());
    });
}

type TwoNumbers = Sends<u32, Sends<u32, Ends>>;

#[test]
fn a_task_that_drops_its_session_or_panics_tells_the_other_side() {
    in_runtime(|| async {
        for (panics, kind) in [(false, ErrorKind::Abandoned), (true, ErrorKind::PeerPanicked)] {
            let (client, server) = pair().await;
            let leaving = task::spawn(async move {
                let session = server.into_session::<TwoNumbers>().await.unwrap();
                let session = session.send(&1).await.unwrap();
                if panics {
                    std::panic::resume_unwind(Box::new("not said aloud"));
                }
                drop(AssertUnwindSafe(session));
            });
            let session = client.into_session::<Dual<TwoNumbers>>().await.unwrap();
            let (_, session) = session.recv().await.unwrap();
            let error = session.recv().await.unwrap_err();
            assert_eq!((error.kind(), error.error().step()), (kind, Some("receive `u32`")));
            assert!(error.to_string().ends_with("where it was to send `u32`"), "{error}");
            assert_eq!(leaving.await.is_err(), panics);
        }
    });
}

#[test]
fn a_task_that_sends_reads_the_last_words_of_a_side_that_left() {
    in_runtime(|| async {
        let (client, server) = pair().await;
        let leaving = async {
            let session = server.into_session::<Dual<TwoNumbers>>().await.unwrap();
            drop(session.recv().await.unwrap());
        };
        let sending =
            async { client.into_session::<TwoNumbers>().await.unwrap().send(&1).await.unwrap() };
        let (session, ()) = tokio::join!(sending, leaving);
        let error = session.send(&2).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Abandoned, "{error}");
        assert!(error.to_string().ends_with("where it was to receive `u32`"), "{error}");
    });
}

/// The future of a step owns the session, as its docs say.
#[test]
fn a_dropped_step_drops_the_session_and_tells_the_other_side() {
    in_runtime(|| async {
        let (client, server) = pair().await;
        let (client, server) = tokio::join!(
            client.into_session::<Dual<TwoNumbers>>(),
            server.into_session::<TwoNumbers>()
        );
        let (client, server) = (client.unwrap(), server.unwrap());
        assert!(dropped_after(3, client.recv()).await.is_none());
        let error = server.send(&1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Abandoned, "{error}");
    });
}

#[test]
fn a_process_that_is_killed_is_named_in_a_task_too() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = Folder::new();
        let name = folder.name("door");
        let listener = Listener::bind(&name).unwrap();
        let mut peer = peer::start("session-hang-in-the-middle", &name);
        let connection = listener.accept().unwrap();
        let session = runtime.block_on(async {
            let connection = connection.into_tokio().unwrap();
            let session = connection.into_session::<Dual<TwoNumbers>>().await.unwrap();
            session.recv().await.unwrap().1
        });
        peer.await_step(READY);
        peer.kill();
        let error = runtime.block_on(async { session.recv().await.unwrap_err() });
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
        assert_eq!(error.error().step(), Some("receive `u32`"));
    });
}

#[test]
fn a_step_of_a_task_that_takes_too_long_can_be_taken_again() {
    in_runtime(|| async {
        let (client, server) = pair().await;
        let (client, server) = tokio::join!(
            client.into_session::<Receives<Vec<u8>, Ends>>(),
            server.into_session::<Sends<Vec<u8>, Ends>>()
        );
        let short = Duration::from_millis(10);
        let failed = client.unwrap().step_timeout(short).recv().await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        let large = vec![7; 4 << 20];
        let late = server.unwrap().step_timeout(short).send(&large).await.unwrap_err();
        assert!(late.kind() == ErrorKind::TimedOut && late.error().is_half_sent());
        let long = Duration::from_secs(60);
        let sending = async {
            let session = late.into_state().step_timeout(long).send(&vec![8]).await.unwrap();
            session.end().await.unwrap();
        };
        let receiving = async {
            let (bytes, session) = failed.into_state().step_timeout(long).recv().await.unwrap();
            session.end().await.unwrap();
            bytes
        };
        let (bytes, ()) = tokio::join!(receiving, sending);
        assert!(bytes == large);
    });
}

#[test]
fn a_cancelled_task_gives_the_session_back_and_the_other_side_hears_of_the_drop() {
    in_runtime(|| async {
        let token = CancelToken::new().unwrap();
        let (client, server) = listened();
        let client = client.cancelled_by(&token).into_tokio().unwrap();
        let (client, server) = tokio::join!(
            client.into_session::<Dual<TwoNumbers>>(),
            server.into_tokio().unwrap().into_session::<TwoNumbers>()
        );
        let session = client.unwrap();
        let waiting = pending(async move { session.recv().await.unwrap_err() }).await;
        token.cancel();
        let failed = waiting.await.unwrap();
        assert_eq!(failed.kind(), ErrorKind::Cancelled, "{failed}");
        drop(failed.into_state());
        let error = server.unwrap().send(&1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Abandoned, "{error}");
    });
}

#[test]
fn a_session_goes_to_another_task() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    watched(move || {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let receiving = task::spawn(async move {
                let session = server.into_session::<Dual<TwoNumbers>>().await.unwrap();
                let (one, session) = session.recv().await.unwrap();
                task::spawn(async move { one + session.recv().await.unwrap().0 }).await.unwrap()
            });
            let session = client.into_session::<TwoNumbers>().await.unwrap();
            let session = session.send(&1).await.unwrap();
            task::spawn(
                async move { session.send(&2).await.unwrap().end().await.map(drop).unwrap() },
            )
            .await
            .unwrap();
            assert_eq!(receiving.await.unwrap(), 3);
        });
    });
}
