//! Conversations that keep to a protocol: both sides in threads, or in two processes.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::session::{Chooses, Done, Dual, Ends, Offers, Protocol, Receives, Sends, Session};
use typed_pipe::{
    CancelToken, Connection, Error, ErrorKind, Handshake, Listener, TypedConnection, choice,
};

use crate::peer::{self, READY, await_go, step};
use crate::support::{Folder, Waiters, watched};

#[derive(Serialize, Deserialize, Debug, Clone)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) count: u32,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy)]
pub(crate) struct Price(pub(crate) u64);

#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Receipt {
    pub(crate) number: u64,
}

pub(crate) type Buy = Sends<Item, Receives<Price, Chooses<Decision>>>;
pub(crate) type Sell = Dual<Buy>;

choice! {
    /// What the buyer makes of the price.
    pub(crate) enum Decision in decision {
        Order => Sends<String, Receives<Receipt, Ends>>,
        /// Asks for another item.
        Another => Buy,
        Leave => Ends,
    }
}

/// Looks at cheaper and cheaper lamps.
pub(crate) fn buy(mut session: Session<Buy>, most: u64) -> Result<(Option<u64>, Done), Error> {
    for count in [100, 10, 1] {
        let (price, next) = session.send(&Item { name: "lamp".into(), count })?.recv()?;
        if price.0 < most {
            let (receipt, next) = next.choose(decision::Order).send(&"here".into())?.recv()?;
            return Ok((Some(receipt.number), next.end()?));
        }
        session = next.choose(decision::Another);
    }
    let (_, next) = session.send(&Item { name: "lamp".into(), count: 0 })?.recv()?;
    Ok((None, next.choose(decision::Leave).end()?))
}

fn sell(mut session: Session<Sell>) -> Result<(u32, Done), Error> {
    let mut quotes = 0;
    loop {
        let (item, next) = session.recv()?;
        quotes += 1;
        match next.send(&Price(u64::from(item.count) * 7))?.offer()? {
            Decision::Order(next) => {
                let (_, next) = next.recv()?;
                return Ok((quotes, next.send(&Receipt { number: 4711 })?.end()?));
            }
            Decision::Another(next) => session = next,
            Decision::Leave(next) => return Ok((quotes, next.end()?)),
        }
    }
}

/// Two connected sides, each in a thread of its own.
fn both<P: Protocol, A: Send + 'static, B: Send + 'static>(
    one: impl FnOnce(Session<P>) -> A + Send + 'static,
    other: impl FnOnce(Session<Dual<P>>) -> B + Send + 'static,
) -> (A, B) {
    watched(|| {
        let (client, server) = listened();
        let serving = thread::spawn(move || other(server.into_session().unwrap()));
        let one = one(client.into_session().unwrap());
        (one, serving.join().unwrap())
    })
}

/// A client and a server that accepted it.
pub(crate) fn listened() -> (Connection, Connection) {
    let listener = Listener::temporary().unwrap();
    let client = Connection::connect(listener.path()).unwrap();
    (client, listener.accept().unwrap())
}

#[test]
fn a_conversation_takes_one_of_its_ways_to_the_end() {
    for (most, receipt, quotes) in [(50, Some(4711), 3), (1000, Some(4711), 1), (0, None, 4)] {
        let (bought, sold) =
            both(move |session| buy(session, most).unwrap().0, |session| sell(session).unwrap().0);
        assert_eq!((bought, sold), (receipt, quotes));
    }
}

#[test]
fn a_closure_leads_a_protocol_to_its_end() {
    watched(|| {
        let (client, server) = listened();
        let selling = thread::spawn(move || server.converse::<Sell, _>(sell));
        let bought = client.converse::<Buy, _>(|session| {
            let (price, next) = session.send(&Item { name: "lamp".into(), count: 1 })?.recv()?;
            if price.0 > 10 {
                return Err(next
                    .step_timeout(Duration::ZERO)
                    .choose(decision::Leave)
                    .end()
                    .unwrap_err()
                    .into());
            }
            let (receipt, next) = next.choose(decision::Order).send(&"here".into())?.recv()?;
            Ok((receipt.number, next.end()?))
        });
        assert_eq!((bought.unwrap(), selling.join().unwrap().unwrap()), (4711, 1));
    });
}

#[test]
fn the_dual_of_the_dual_is_the_protocol() {
    fn same<T>(_: fn(T), _: fn(T)) {}
    same::<Dual<Dual<Buy>>>(|_| (), |_: Buy| ());
    same::<Dual<Sell>>(|_| (), |_: Buy| ());
    fn for_all<P: Protocol>(session: Session<P>) -> Session<Dual<Dual<P>>> {
        session
    }
    let _ = for_all::<Buy>;
}

#[test]
fn a_session_is_a_pointer_and_goes_to_another_thread() {
    assert_eq!(size_of::<Session<Buy>>(), size_of::<usize>());
    assert!(size_of::<Decision>() <= 2 * size_of::<usize>());
    let ((), sum) = both::<Sends<u32, Sends<u32, Ends>>, _, _>(
        |session| {
            let session = session.send(&1).unwrap();
            thread::spawn(move || session.send(&2).unwrap().end().unwrap())
                .join()
                .map(drop)
                .unwrap();
        },
        |session| {
            let (one, session) = session.recv().unwrap();
            thread::spawn(move || {
                let (other, session) = session.recv().unwrap();
                session.end().unwrap();
                one + other
            })
            .join()
            .unwrap()
        },
    );
    assert_eq!(sum, 3);
}

// --- what fits -------------------------------------------------------------------------------------------------------

mod older {
    use super::{Item, Price, Receipt};
    use serde::{Deserialize, Serialize};
    use typed_pipe::choice;
    use typed_pipe::session::{Chooses, Ends, Receives, Sends};

    /// An item is another one.
    pub(super) mod item {
        use super::{
            Chooses, Deserialize, Ends, Price, Receipt, Receives, Sends, Serialize, choice,
        };

        #[derive(Serialize, Deserialize)]
        pub(crate) struct Item {
            pub(crate) name: String,
            pub(crate) count: u64,
        }

        pub(crate) type Buy = Sends<Item, Receives<Price, Chooses<Decision>>>;
        choice! {
            pub(crate) enum Decision in decision {
                Order => Sends<String, Receives<Receipt, Ends>>,
                Another => Buy,
                Leave => Ends,
            }
        }
    }

    pub(super) type Buy<C> = Sends<Item, Receives<Price, Chooses<C>>>;

    choice! {
        /// Nobody leaves.
        pub(crate) enum Shorter in shorter {
            Order => Sends<String, Receives<Receipt, Ends>>,
            Another => Buy<Shorter>,
        }
    }

    choice! {
        pub(crate) enum Renamed in renamed {
            Order => Sends<String, Receives<Receipt, Ends>>,
            Other => Buy<Renamed>,
            Leave => Ends,
        }
    }

    choice! {
        /// There is no receipt.
        pub(crate) enum Earlier in earlier {
            Order => Sends<String, Ends>,
            Another => Buy<Earlier>,
            Leave => Ends,
        }
    }
}

/// The words of each side; `None` for one that begins.
fn begin<P: Protocol, Q: Protocol>() -> (Option<String>, Option<String>) {
    fn words<P: Protocol>(begun: Result<Session<P>, Error>) -> Option<String> {
        let error = begun.err()?;
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        Some(error.to_string())
    }
    watched(|| {
        let (client, server) = listened();
        let serving = thread::spawn(move || {
            let begun = server.into_session::<Q>();
            // The other side hears of its own mistake first.
            (begun.as_ref().err().map(ToString::to_string), begun)
        });
        let ours = client.into_session::<P>();
        let theirs = serving.join().unwrap().1;
        (words(ours), words(theirs))
    })
}

#[track_caller]
fn assert_differ<P: Protocol, Q: Protocol>(ours: &str, theirs: &str) {
    let (one, other) = begin::<P, Q>();
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one.contains(&format!("different protocols: {ours}; build both")), "{one}");
    assert!(other.contains(&format!("different protocols: {theirs}; build both")), "{other}");
}

#[test]
fn two_sides_begin_only_if_every_path_fits() {
    assert_eq!(begin::<Buy, Sell>(), (None, None));
    assert_differ::<Buy, Buy>(
        "at the beginning, this side sends `Item`, and the other one sends `Item`",
        "at the beginning, this side sends `Item`, and the other one sends `Item`",
    );
    assert_differ::<older::item::Buy, Sell>(
        "at the beginning, what this side sends: `Item.count`: u64 here, u32 there",
        "at the beginning, what this side receives: `Item.count`: u32 here, u64 there",
    );
    assert_differ::<older::Buy<older::Earlier>, Sell>(
        "after `Item`, `Price`, `Earlier::Order`, `String`, this side ends, and the other one sends `Receipt`",
        "after `Item`, `Price`, `Decision::Order`, `String`, this side sends `Receipt`, and the other one ends",
    );
    assert_differ::<older::Buy<older::Renamed>, Sell>(
        "after `Item`, `Price`, branch 1 is `Renamed::Other` for this side, which chooses, and `Another` for the other one",
        "after `Item`, `Price`, branch 1 is `Decision::Other` for the other side, which chooses, and `Another` for this one",
    );
}

#[test]
fn a_side_that_offers_may_know_more_branches() {
    assert_eq!(begin::<older::Buy<older::Shorter>, Sell>(), (None, None));
    assert_differ::<Buy, Dual<older::Buy<older::Shorter>>>(
        "after `Item`, `Price`, the other side does not offer `Decision::Leave`",
        "after `Item`, `Price`, this side does not offer `Shorter::Leave`",
    );
}

#[test]
fn what_is_known_by_other_names_is_the_same_protocol() {
    mod renamed {
        use super::{Price, Receipt};
        use serde::{Deserialize, Serialize};
        use typed_pipe::choice;
        use typed_pipe::session::{Chooses, Ends, Receives, Sends};

        #[derive(Serialize, Deserialize)]
        pub(super) struct Ware {
            name: String,
            count: u32,
        }
        pub(super) type Buy = Sends<Ware, Receives<Price, Chooses<Verdict>>>;
        choice! {
            pub(super) enum Verdict in verdict {
                Order => Sends<Box<str>, Receives<Receipt, Ends>>,
                Another => Buy,
                Leave => Ends,
            }
        }
    }
    assert_eq!(begin::<renamed::Buy, Sell>(), (None, None));
}

#[test]
fn a_side_without_a_session_is_a_mismatch_on_both() {
    watched(|| {
        let (client, server) = listened();
        let plain = thread::spawn(move || server.into_typed::<u32, u32>().unwrap_err());
        let error = client.into_session::<Receives<u32, Ends>>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains("`session` here, `postcard` there"), "{error}");
        assert_eq!(plain.join().unwrap().kind(), ErrorKind::Mismatch);

        let (mut client, server) = listened();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let error = server.into_session::<Ends>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    });
}

/// A plan that does not fit at once into the buffers of a connection.
#[test]
fn large_plans_are_exchanged_without_a_deadlock() {
    struct Long<const N: usize>;

    impl<const N: usize> Serialize for Long<N> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_unit()
        }
    }

    // Many names, and so a long description.
    impl<'de, const N: usize> Deserialize<'de> for Long<N> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor<const N: usize>;
            impl<'de, const N: usize> serde::de::Visitor<'de> for Visitor<N> {
                type Value = Long<N>;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("units")
                }

                fn visit_seq<A: serde::de::SeqAccess<'de>>(
                    self,
                    mut all: A,
                ) -> Result<Long<N>, A::Error> {
                    while all.next_element::<u8>()?.is_some() {}
                    Ok(Long)
                }
            }
            let name = |number: usize| -> &'static str {
                format!("field-{N}-{number}-{}", "x".repeat(100)).leak()
            };
            let names: &'static [&'static str] = (0..300).map(name).collect::<Vec<_>>().leak();
            deserializer.deserialize_struct("Long", names, Visitor)
        }
    }

    type Many<Next> = Sends<
        Long<0>,
        Sends<
            Long<1>,
            Sends<
                Long<2>,
                Sends<
                    Long<3>,
                    Sends<
                        Long<4>,
                        Sends<
                            Long<5>,
                            Sends<Long<6>, Sends<Long<7>, Sends<Long<8>, Sends<Long<9>, Next>>>>,
                        >,
                    >,
                >,
            >,
        >,
    >;
    let (one, other) = begin::<Many<Ends>, Dual<Many<Sends<u8, Ends>>>>();
    assert!(one.unwrap().contains("this side ends, and the other one receives `u8`; build"));
    assert!(other.unwrap().contains("this side receives `u8`, and the other one ends; build"));
}

// --- who leaves ------------------------------------------------------------------------------------------------------

type TwoNumbers = Sends<u32, Sends<u32, Ends>>;

#[test]
fn a_side_that_drops_its_session_is_told_with_the_step() {
    let (error, ()) = both::<Dual<TwoNumbers>, _, _>(
        |session| Error::from(session.recv().unwrap().1.recv().unwrap_err()),
        |session| drop(session.send(&1).unwrap()),
    );
    assert_eq!((error.kind(), error.step()), (ErrorKind::Abandoned, Some("receive `u32`")));
    let words = error.to_string();
    let want = ", where this side was to receive `u32`: the other side left the session before its end, where it was to send `u32`";
    assert!(words.ends_with(want), "{words}");
    assert!(error.is_fatal());
}

#[test]
fn a_side_that_sends_reads_the_last_words_of_one_that_left() {
    watched(|| {
        let (client, server) = listened();
        let leaving = thread::spawn(move || {
            let (_, session) = server.into_session::<Dual<TwoNumbers>>().unwrap().recv().unwrap();
            drop(session);
        });
        let session = client.into_session::<TwoNumbers>().unwrap().send(&1).unwrap();
        leaving.join().unwrap();
        let error = session.send(&2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Abandoned, "{error}");
        assert_eq!(error.error().step(), Some("send `u32`"));
        assert!(error.to_string().ends_with("where it was to receive `u32`"), "{error}");
        // And it is no better later.
        assert!(error.into_state().send(&2).unwrap_err().error().is_fatal());
    });
}

#[test]
fn a_panic_in_the_middle_is_told_apart_from_a_drop() {
    let (error, ()) = both::<Dual<TwoNumbers>, _, _>(
        |session| Error::from(session.recv().unwrap().1.recv().unwrap_err()),
        |session| {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _session = session.send(&1).unwrap();
                std::panic::resume_unwind(Box::new("not said aloud"));
            }));
            panicked.unwrap_err();
        },
    );
    assert_eq!(error.kind(), ErrorKind::PeerPanicked);
    let words = error.to_string();
    assert!(words.ends_with("the other side panicked, where it was to send `u32`"), "{words}");
}

/// What the other process does.
pub(crate) fn play(role: &str, name: &Path) {
    let connection = Connection::connect(name).unwrap();
    match role {
        "session-hang-in-the-middle" => {
            let session = connection.into_session::<TwoNumbers>().unwrap().send(&1).unwrap();
            step(READY);
            await_go();
            drop(session);
        }
        "session-half-a-value" => {
            type Values = Sends<Vec<u8>, Ends>;
            let session = connection.into_session::<Values>().unwrap();
            let session = session.step_timeout(Duration::from_millis(100));
            let failed = session.send(&vec![7; 4 << 20]).unwrap_err();
            assert!(failed.error().is_half_sent());
            step(READY);
            await_go();
            drop(failed);
        }
        "session-buy" => {
            let (receipt, Done { .. }) = buy(connection.into_session().unwrap(), 50).unwrap();
            assert_eq!(receipt, Some(4711));
        }
        #[cfg(unix)]
        "session-fork" => fork(connection),
        other => panic!("no role {other}"),
    }
}

#[test]
fn a_process_that_is_killed_in_the_middle_is_named_with_the_step() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let listener = Listener::bind(&name).unwrap();
        let mut peer = peer::start("session-hang-in-the-middle", &name);
        let session = listener.accept().unwrap().into_session::<Dual<TwoNumbers>>().unwrap();
        let (_, session) = session.recv().unwrap();
        peer.await_step(READY);
        peer.kill();
        let error = session.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
        assert_eq!(error.error().step(), Some("receive `u32`"));
        assert!(error.to_string().contains("where this side was to receive `u32`"), "{error}");

        // In the middle of a value:
        let mut peer = peer::start("session-half-a-value", &name);
        let session = listener.accept().unwrap().into_session::<Receives<Vec<u8>, Ends>>().unwrap();
        peer.await_step(READY);
        peer.kill();
        let error = session.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        assert_eq!(error.error().step(), Some("receive `Vec<u8>`"));

        // And the next one is served.
        let peer = peer::start("session-buy", &name);
        assert_eq!(listener.accept().unwrap().converse::<Sell, _>(sell).unwrap(), 3);
        peer.join();
    });
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "only a fork shows what a forked child does")]
fn fork(connection: Connection) {
    let session = connection.into_session::<TwoNumbers>().unwrap().send(&1).unwrap();
    // SAFETY: the child touches nothing that another thread could hold locked, and ends at once.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(session);
        // SAFETY: ends this process, and nothing else.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: waits for our own child; a null pointer asks for no status.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    session.send(&2).unwrap().end().unwrap();
}

#[cfg(unix)]
#[test]
fn a_forked_child_ends_no_session() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let listener = Listener::bind(&name).unwrap();
        let peer = peer::start("session-fork", &name);
        let session = listener.accept().unwrap().into_session::<Dual<TwoNumbers>>().unwrap();
        let (one, session) = session.recv().unwrap();
        let (other, session) = session.recv().unwrap();
        session.end().unwrap();
        peer.join();
        assert_eq!((one, other), (1, 2));
    });
}

#[test]
fn a_session_dropped_at_its_end_says_nothing() {
    let (left, ()) = both::<Receives<u32, Ends>, _, _>(
        |session| {
            let (number, session) = session.recv().unwrap();
            drop(session);
            number
        },
        |session| drop(session.feed(&7).unwrap()), // what was fed is still sent
    );
    assert_eq!(left, 7);
}

// --- deadlines and cancels -------------------------------------------------------------------------------------------

#[test]
fn a_step_that_takes_too_long_can_be_taken_again() {
    watched(|| {
        let (client, server) = listened();
        let serving = thread::spawn(move || server.into_session::<Sends<u32, Ends>>().unwrap());
        let session = client.into_session::<Receives<u32, Ends>>().unwrap();
        let other = serving.join().unwrap();
        let failed = session.step_timeout(Duration::from_millis(10)).recv().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        assert_eq!(failed.error().step(), Some("receive `u32`"));
        let mut session = failed.into_state();
        assert_eq!(session.ready().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(session.try_ready().unwrap_err().kind(), ErrorKind::WouldBlock);
        other.send(&7).unwrap().end().unwrap();
        let (number, session) = session.step_timeout(Duration::from_secs(60)).recv().unwrap();
        session.end().unwrap();
        assert_eq!(number, 7);
    });
}

type Bytes = Sends<Vec<u8>, Sends<Vec<u8>, Ends>>;

#[test]
fn a_value_that_is_half_sent_is_sent_once() {
    watched(|| {
        let (client, server) = listened();
        let serving = thread::spawn(move || server.into_session::<Dual<Bytes>>().unwrap());
        let session = client.into_session::<Bytes>().unwrap();
        let other = serving.join().unwrap();
        let large = vec![7; 4 << 20];
        let mut failed = session.step_timeout(Duration::from_millis(10)).send(&large).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut);
        assert!(failed.error().is_half_sent());
        // It stays the same value, whatever the next tries are given.
        failed = failed.into_state().send(&vec![8]).unwrap_err();
        assert!(failed.error().is_half_sent());
        let receiving = thread::spawn(move || {
            let (one, other) = other.recv().unwrap();
            let (two, other) = other.recv().unwrap();
            other.end().unwrap();
            (one, two)
        });
        let session = failed.into_state().step_timeout(Duration::from_secs(60));
        session.send(&vec![9]).unwrap().send(&vec![10]).unwrap().end().unwrap();
        let (one, two) = receiving.join().unwrap();
        assert!(one == large && two == [10]);
    });
}

#[test]
fn a_value_of_which_nothing_is_sent_is_withdrawn() {
    watched(|| {
        let (client, server) = listened();
        let serving = thread::spawn(move || server.into_session::<Dual<Bytes>>().unwrap());
        let session = client.into_session::<Bytes>().unwrap();
        let other = serving.join().unwrap();
        // The first one fills the connection, and waits; nothing of the second one is sent.
        let large = vec![7; 4 << 20];
        let session = session.feed(&large).unwrap().step_timeout(Duration::from_millis(10));
        let failed = session.send(&vec![8]).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut);
        assert!(!failed.error().is_half_sent());
        let receiving = thread::spawn(move || {
            let (one, other) = other.recv().unwrap();
            let (two, other) = other.recv().unwrap();
            other.end().unwrap();
            (one, two)
        });
        let session = failed.into_state().step_timeout(Duration::from_secs(60));
        session.send(&vec![9]).unwrap().end().unwrap();
        let (one, two) = receiving.join().unwrap();
        assert!(one == large && two == [9]);
    });
}

#[test]
fn a_cancelled_step_gives_the_session_back_and_the_other_side_hears_of_the_drop() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let (client, server) = listened();
        let serving = thread::spawn(move || {
            let session = server.into_session::<Dual<TwoNumbers>>().unwrap();
            Error::from(session.recv().unwrap().1.recv().unwrap_err())
        });
        let session = client.cancelled_by(&token).into_session::<TwoNumbers>().unwrap();
        let session = session.send(&1).unwrap();
        token.cancel();
        let failed = session.send(&2).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Cancelled, "{failed}");
        let mut session = failed.into_state();
        assert_eq!(session.ready().map(drop).err().map(|error| error.kind()), None); // nothing to wait for
        drop(session);
        assert_eq!(serving.join().unwrap().kind(), ErrorKind::Abandoned);
    });
}

#[test]
fn a_wait_for_the_other_side_is_cancelled() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let (client, server) = listened();
        let serving = thread::spawn(move || server.into_session::<TwoNumbers>().unwrap());
        let session = client.cancelled_by(&token).into_session::<Dual<TwoNumbers>>().unwrap();
        let other = serving.join().unwrap();
        let waiters = Waiters::default();
        let waiting = thread::spawn(waiters.with(move || session.recv().unwrap_err()));
        waiters.asleep();
        token.cancel();
        assert_eq!(waiting.join().unwrap().kind(), ErrorKind::Cancelled);
        drop(other);
    });
}

#[test]
fn a_side_that_begins_no_session_is_not_waited_for_longer_than_said() {
    watched(|| {
        let (client, server) = listened();
        let handshake = Handshake::new().timeout(Duration::from_millis(10));
        assert_eq!(handshake.session::<Buy>(client).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(server);
        let (client, server) = listened();
        drop(server);
        assert_eq!(client.into_session::<Buy>().unwrap_err().kind(), ErrorKind::Disconnected);
    });
}

#[test]
fn a_value_that_cannot_be_written_costs_nothing() {
    let (len, ()) = both::<Receives<Vec<u8>, Ends>, _, _>(
        |session| {
            let (bytes, session) = session.recv().unwrap();
            session.end().unwrap();
            bytes.len()
        },
        |session| {
            let failed = session.send(&vec![7; 9 << 20]).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::TooLarge);
            assert_eq!(failed.error().step(), Some("send `Vec<u8>`"));
            let failed = failed.into_state().feed(&vec![7; 9 << 20]).unwrap_err();
            failed.into_state().send(&vec![7; 3]).unwrap().end().unwrap();
        },
    );
    assert_eq!(len, 3);
}

// --- many at once ----------------------------------------------------------------------------------------------------

/// A thread that looks after many sessions keeps each of them at its place.
enum Client {
    Asks(Session<Sell>),
    Decides(Session<Offers<Decision, typed_pipe::session::Flipped>>),
    Pays(Session<Receives<String, Sends<Receipt, Ends>>>),
    Gone(Option<u64>),
}

impl Client {
    /// Goes as far as it can without waiting.
    fn go_on(mut self) -> Result<Self, Error> {
        let ready = match &mut self {
            Self::Asks(session) => session.try_ready(),
            Self::Decides(session) => session.try_ready(),
            Self::Pays(session) => session.try_ready(),
            Self::Gone(_) => return Ok(self),
        };
        match ready {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(self),
            ready => ready?,
        }
        Ok(match self {
            Self::Asks(session) => {
                let (item, session) = session.recv()?;
                Self::Decides(session.send(&Price(u64::from(item.count) * 7))?)
            }
            Self::Decides(session) => match session.offer()? {
                Decision::Order(session) => Self::Pays(session),
                Decision::Another(session) => Self::Asks(session),
                Decision::Leave(session) => {
                    session.end()?;
                    Self::Gone(None)
                }
            },
            Self::Pays(session) => {
                let (_, session) = session.recv()?;
                session.send(&Receipt { number: 1 })?.end()?;
                Self::Gone(Some(1))
            }
            Self::Gone(receipt) => Self::Gone(receipt),
        })
    }
}

#[test]
fn a_thread_looks_after_many_sessions_in_a_struct() {
    watched(|| {
        let mut clients = Vec::new();
        let mut buying = Vec::new();
        for most in [0, 50, 1000, 50] {
            let (client, server) = listened();
            buying.push(thread::spawn(move || {
                client.converse::<Buy, _>(|session| buy(session, most))
            }));
            clients.push(Client::Asks(server.into_session().unwrap()));
        }
        while clients.iter().any(|client| !matches!(client, Client::Gone(_))) {
            clients = clients.into_iter().map(|client| client.go_on().unwrap()).collect();
            thread::yield_now();
        }
        let sold: Vec<_> = clients
            .iter()
            .map(|client| if let Client::Gone(receipt) = client { *receipt } else { None })
            .collect();
        let bought: Vec<_> = buying.into_iter().map(|one| one.join().unwrap().unwrap()).collect();
        assert_eq!(sold, bought);
        assert_eq!(sold, [None, Some(1), Some(1), Some(1)]);
    });
}

// --- hostile peers ---------------------------------------------------------------------------------------------------

/// The first bytes of a side that follows a protocol, with which a hostile one begins too.
pub(crate) fn beginning<P: Protocol>() -> Vec<u8> {
    let (client, mut server) = Connection::pair().unwrap();
    let begun = thread::spawn(move || client.into_session::<P>().map(drop));
    // The handshake comes first; what answers it is the handshake of a session as well.
    let mut bytes = vec![0; 12];
    server.read_exact(&mut bytes).unwrap();
    let len = usize::from(u16::from_be_bytes([bytes[10], bytes[11]]));
    bytes.resize(12 + len, 0);
    server.read_exact(&mut bytes[12..]).unwrap();
    server.write_all(&bytes).unwrap();
    let mut plan = [0; 13];
    server.read_exact(&mut plan).unwrap();
    bytes.extend_from_slice(&plan);
    drop(server); // ends that thread, which waits for the plan of this side
    let _ = begun.join().unwrap();
    bytes
}

fn framed(payload: &[u8]) -> Vec<u8> {
    [&u32::try_from(payload.len()).unwrap().to_be_bytes(), payload].concat()
}

/// A session with one that says these bytes after a true beginning.
fn hearing<P: Protocol>(beginning: &[u8], said: &[u8]) -> Result<Session<P>, Error> {
    let (client, mut server) = Connection::pair().unwrap();
    let bytes = [beginning, said].concat();
    let writing = thread::spawn(move || {
        let _ = server.write_all(&bytes);
        server.finish() // and reads on
    });
    let begun = client.into_session::<P>();
    let _ = writing.join().unwrap();
    begun
}

#[test]
fn frames_that_the_protocol_does_not_have_are_named() {
    type Wait = Receives<u32, Offers<Decision>>;
    watched(|| {
        let begun = beginning::<Dual<Wait>>();
        for (said, kind, words) in [
            (framed(&[]), ErrorKind::Corrupt, "no frame of a session came"),
            (framed(&[1, 0]), ErrorKind::Corrupt, "a choice came"),
            (framed(&[3, 0]), ErrorKind::Corrupt, "a plan came"),
            (framed(&[200, 0]), ErrorKind::Corrupt, "no frame of a session came"),
            (framed(&[0]), ErrorKind::Decode, "does not decode"),
            (framed(&[0, 7, 7]), ErrorKind::Decode, "does not decode"),
            (framed(b"\x02\x00\x1b[31mred"), ErrorKind::Abandoned, "was to \\u{1b}[31mred"),
            (framed(&[&[2, 0][..], &[0xFF; 5000]].concat()), ErrorKind::Abandoned, "\u{FFFD}"),
            (framed(&[2]), ErrorKind::Corrupt, "no frame of a session came"),
            (vec![0, 0, 0, 9, 0], ErrorKind::Truncated, "in the middle of it"),
            (vec![0xFF; 8], ErrorKind::Corrupt, "header"),
        ] {
            let failed = hearing::<Wait>(&begun, &said).unwrap().recv().unwrap_err();
            assert_eq!(failed.kind(), kind, "{said:?}: {failed}");
            let text = failed.to_string();
            assert!(text.contains(words) && text.len() < 1500, "{said:?}: {text}");
            // It goes no further, and does not wait.
            let again = failed.into_state().recv().unwrap_err();
            assert!(again.error().is_fatal() || again.kind() == ErrorKind::Truncated, "{again}");
        }
        // A branch that is none:
        let said = [framed(&[0, 7]), framed(&[1, 3])].concat();
        let (_, session) = hearing::<Wait>(&begun, &said).unwrap().recv().unwrap();
        let failed = session.offer().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Corrupt);
        assert!(
            failed.to_string().contains("branch 3 of `Decision`, which has 3 came"),
            "{failed}"
        );
        assert_eq!(failed.into_state().offer().unwrap_err().kind(), ErrorKind::Poisoned);
    });
}

#[test]
fn plans_of_a_hostile_side_are_refused() {
    watched(|| {
        let mut begun = beginning::<Dual<Buy>>();
        let last = begun.len() - 1;
        begun[last] ^= 1; // another plan
        let step = |kind: u8, next: u8| vec![kind, 0, 0, 1, 0, next];
        let plan = |steps: &[Vec<u8>]| {
            [&[3, u8::try_from(steps.len()).unwrap()], steps.concat().as_slice(), &[0]].concat()
        };
        for said in [
            vec![],
            framed(&[]),
            framed(&[0, 0]),
            framed(&[3]),
            framed(&[3, 0, 0]),
            framed(&[3, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
            framed(&plan(&[step(0, 0)])), // a shape that is not there
            framed(&plan(&[step(2, 9)])), // a step that is not there
            framed(&plan(&[step(9, 0)])), // no step
            framed(&plan(&[step(3, 0)])), // an offer that offers itself
            framed(&[&[3][..], &[0; 2 << 20]].concat()),
            vec![0xFF; 100],
        ] {
            let error = hearing::<Buy>(&begun, &said).unwrap_err();
            let known = matches!(
                error.kind(),
                ErrorKind::Corrupt
                    | ErrorKind::Mismatch
                    | ErrorKind::Disconnected
                    | ErrorKind::Finished
            );
            assert!(known, "{said:?}: {error}");
        }
    });
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 200, ..Default::default() })]

    #[test]
    fn whatever_bytes_come_a_session_ends_with_an_error(
        said in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        framing in proptest::bool::ANY,
        cut in 0_usize..100,
    ) {
        watched(move || whatever(&said, framing, cut));
    }
}

/// Plays a side that hears these bytes, in frames or raw, after a true beginning of which some is cut off.
fn whatever(said: &[u8], framing: bool, cut: usize) {
    static BEGUN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let begun = BEGUN.get_or_init(beginning::<Sell>);
    let begun =
        if cut < 50 { begun.as_slice() } else { &begun[..begun.len().saturating_sub(cut - 50)] };
    let said = if framing { said.chunks(9).flat_map(framed).collect() } else { said.to_vec() };
    let Ok(session) = hearing::<Buy>(begun, &said) else { return };
    let _ = buy(session, 50);
}

// --- the bytes -------------------------------------------------------------------------------------------------------

/// What a buyer says to a seller who always answers the same, without the handshake.
pub(crate) fn seller_of_bytes(mut server: Connection) -> thread::JoinHandle<Vec<u8>> {
    let begun = beginning::<Sell>();
    thread::spawn(move || {
        server.write_all(&begun).unwrap();
        for price in [700, 70, 7] {
            server.write_all(&framed(&postcard(price))).unwrap();
        }
        server.write_all(&framed(&[0, 9])).unwrap();
        let mut all = Vec::new();
        let _ = server.read_to_end(&mut all);
        all.split_off(begun.len())
    })
}

/// A value frame of a small number.
fn postcard(number: u32) -> Vec<u8> {
    match number {
        0..128 => vec![0, number.to_le_bytes()[0]],
        _ => vec![0, number.to_le_bytes()[0] | 0x80, (number >> 7).to_le_bytes()[0]],
    }
}

/// What the buyer of [`buy`] says there.
pub(crate) const SAID: &[u8] = b"\x00\x00\x00\x07\x00\x04lamp\x64\
    \x00\x00\x00\x02\x01\x01\x00\x00\x00\x07\x00\x04lamp\x0a\
    \x00\x00\x00\x02\x01\x01\x00\x00\x00\x07\x00\x04lamp\x01\
    \x00\x00\x00\x02\x01\x00\x00\x00\x00\x06\x00\x04here";

#[test]
fn golden_bytes_of_steps() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let selling = seller_of_bytes(server);
        let (receipt, _) = buy(client.into_session().unwrap(), 50).unwrap();
        assert_eq!(receipt, Some(9));
        assert_eq!(
            selling.join().unwrap().escape_ascii().to_string(),
            SAID.escape_ascii().to_string()
        );
    });
}

/// A choice leaves in one write with the value after it: the other side never has the one alone.
#[test]
fn a_choice_goes_with_the_next_value() {
    watched(|| {
        let (client, server) = listened();
        let serving =
            thread::spawn(move || server.into_session::<Dual<Chooses<Decision>>>().unwrap());
        let session = client.into_session::<Chooses<Decision>>().unwrap();
        let mut other = serving.join().unwrap();
        let session = session.choose(decision::Another);
        assert_eq!(other.try_ready().unwrap_err().kind(), ErrorKind::WouldBlock);
        let session = session.send(&Item { name: "lamp".into(), count: 1 }).unwrap();
        other.ready().unwrap();
        let Decision::Another(mut other) = other.offer().unwrap() else { panic!("another branch") };
        other.try_ready().unwrap();
        drop((session, other));
    });
}

#[test]
fn sessions_go_over_other_transports() {
    use crate::carriers::{Memory, tcp};

    watched(|| {
        let (one, other) = tcp();
        let (client, server) = (Connection::over(one).unwrap(), Connection::over(other).unwrap());
        let selling = thread::spawn(move || server.converse::<Sell, _>(sell));
        let bought = client.converse::<Buy, _>(|session| buy(session, 50)).unwrap();
        assert_eq!((bought, selling.join().unwrap().unwrap()), (Some(4711), 3));

        let (one, other) = Memory::pair();
        let (client, server) = (Connection::over(one).unwrap(), Connection::over(other).unwrap());
        let leaving = thread::spawn(move || {
            drop(server.into_session::<TwoNumbers>().unwrap().send(&1).unwrap());
        });
        let (_, session) = client.into_session::<Dual<TwoNumbers>>().unwrap().recv().unwrap();
        assert_eq!(session.recv().unwrap_err().kind(), ErrorKind::Abandoned);
        leaving.join().unwrap();
    });
}

/// The memory is required: without it, the sessions would not begin.
#[cfg(all(target_os = "linux", feature = "shared-memory"))]
#[test]
fn sessions_go_over_shared_memory() {
    let shared = || Handshake::new().shared_memory(typed_pipe::SharedMemory::required());
    watched(move || {
        let (client, server) = listened();
        let selling = thread::spawn(move || sell(shared().session(server).unwrap()).unwrap().0);
        let bought = buy(shared().session(client).unwrap(), 50).unwrap().0;
        assert_eq!((bought, selling.join().unwrap()), (Some(4711), 3));

        let (client, server) = listened();
        let leaving = thread::spawn(move || {
            drop(shared().session::<TwoNumbers>(server).unwrap().send(&1).unwrap());
        });
        let session = shared().session::<Dual<TwoNumbers>>(client).unwrap();
        let (_, session) = session.recv().unwrap();
        assert_eq!(session.recv().unwrap_err().kind(), ErrorKind::Abandoned);
        leaving.join().unwrap();
    });
}

/// A plain connection is left as it was.
#[test]
fn a_typed_connection_beside_a_session_works() {
    watched(|| {
        let (client, server) = listened();
        let serving = thread::spawn(move || server.into_typed::<u32, u32>().unwrap().send(&7));
        let mut client: TypedConnection<u32, u32> = client.into_typed().unwrap();
        assert_eq!(client.recv().unwrap(), 7);
        serving.join().unwrap().unwrap();
    });
}
