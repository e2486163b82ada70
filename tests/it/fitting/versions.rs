//! Several names of protocols, and what becomes of a connection whose two sides share none.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use typed_pipe::{Connection, Error, ErrorKind, Handshake, Listener, Negotiated, TransitionError};

use super::connections::{FIRST_EDITION, both};
use super::types::{HERE_F64, new, old};
use crate::peer;
use crate::support::watched;

type Failed = TransitionError<Option<Connection>>;

fn named(names: &[&str]) -> Handshake {
    Handshake::new().protocols(names.iter().copied())
}

fn name(agreed: &Negotiated) -> String {
    agreed.protocol().unwrap().to_owned()
}

#[test]
fn both_sides_learn_the_same_name() {
    watched(|| {
        for (ours, theirs, want) in [
            (&["chat/2", "chat/1"][..], &["chat/2", "chat/1"][..], "chat/2"),
            (&["chat/3", "chat/2", "chat/1"], &["chat/1", "chat/0"], "chat/1"),
            (&["a", "b"], &["b", "a"], "b"),
        ] {
            let side = |names| {
                move |side| {
                    let agreed = named(names).negotiate(side).unwrap();
                    let name = name(&agreed);
                    (name, agreed.perform::<u32, u32>().unwrap())
                }
            };
            let ((one, mut sender), (other, mut receiver)) = both(side(ours), side(theirs));
            assert_eq!((one.as_str(), other.as_str()), (want, want));
            sender.send(&7).unwrap();
            assert_eq!(receiver.recv().unwrap(), 7);
        }
    });
}

#[test]
fn a_new_program_speaks_the_older_version_with_an_old_process() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        for (role, want) in [("fitting version 1", "reading/1"), ("fitting version 2", "reading/2")]
        {
            let other = peer::start(role, listener.path());
            let client = listener.accept().unwrap();
            let agreed = named(&["reading/2", "reading/1"]).negotiate(client).unwrap();
            assert_eq!(agreed.protocol(), Some(want));
            if want == "reading/1" {
                let mut old = agreed.perform::<u8, old::Reading>().unwrap();
                assert_eq!(old.recv().unwrap(), old::reading());
                assert!(old.receiver().peer_shape().is_some());
                old.send(&1).unwrap();
            } else {
                let mut new = agreed.perform::<u8, new::Reading>().unwrap();
                assert_eq!(new.recv().unwrap(), new::reading());
                new.send(&1).unwrap();
            }
            other.join();
        }
    });
}

#[test]
fn a_name_is_not_all_that_must_fit() {
    watched(|| {
        let differ = |failed: Failed| {
            assert_eq!(failed.kind(), ErrorKind::Mismatch);
            assert!(failed.state().is_some());
            failed.to_string()
        };
        let agreed = |side| named(&["reading"]).negotiate(side).unwrap();
        let (one, other) = both(
            |side| differ(agreed(side).perform::<u8, new::Reading>().unwrap_err()),
            |side| differ(agreed(side).perform::<old::Reading, u8>().unwrap_err()),
        );
        assert!(one.contains(HERE_F64), "{one}");
        assert!(other.contains("f32 here, f64 there"), "{other}");
    });
}

#[test]
fn after_a_difference_both_sides_begin_again_on_the_same_connection() {
    watched(|| {
        let try_both = |first: &'static [&'static str]| {
            move |side| {
                let failed = named(first).negotiate(side).unwrap_err();
                assert_eq!(failed.kind(), ErrorKind::Mismatch);
                let side = failed.into_state().expect("nothing else is on its way");
                let failed = named(&["count"]).negotiate(side).unwrap().perform::<u32, u64>();
                let side = failed.unwrap_err().into_state().unwrap();
                side.into_typed::<u32, u32>().unwrap()
            }
        };
        let (mut one, mut other) = both(try_both(&["chat/2"]), try_both(&["chat/1"]));
        one.send(&7).unwrap();
        assert_eq!(other.recv().unwrap(), 7);
    });
}

#[test]
fn a_connection_on_which_bytes_may_be_on_their_way_is_not_given_back() {
    watched(|| {
        // A program without a handshake.
        let (failed, _) = both(
            |side| named(&["a"]).negotiate(side).unwrap_err(),
            |mut side| {
                side.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
                side
            },
        );
        assert!(failed.state().is_none(), "{failed}");
        // One that says nothing.
        let (silent, ours) = Connection::pair().unwrap();
        let short = named(&["a"]).timeout(Duration::from_millis(1));
        let failed = short.negotiate(ours).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut);
        assert!(failed.state().is_none());
        drop(silent);
        // One that has left.
        let (gone, ours) = Connection::pair().unwrap();
        drop(gone);
        let failed = named(&["a"]).negotiate(ours).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Disconnected);
        assert!(failed.state().is_none());
        // One of the first edition, which finds no difference and goes on.
        let (failed, _) = both(
            |side| named(&["a"]).require_protocol().negotiate(side).unwrap_err(),
            |mut side| {
                side.write_all(FIRST_EDITION).unwrap();
                side
            },
        );
        assert_eq!(failed.kind(), ErrorKind::Mismatch);
        assert!(failed.to_string().contains("names its protocol"), "{failed}");
        assert!(failed.state().is_none());
    });
}

#[test]
fn a_side_without_names_is_let_in_unless_one_is_required() {
    watched(|| {
        let (agreed, mut other) = both(
            |side| {
                let agreed = named(&["a"]).negotiate(side).unwrap();
                (agreed.protocol().map(String::from), agreed.perform::<u32, u32>().unwrap())
            },
            |side| side.into_typed::<u32, u32>().unwrap(),
        );
        let (name, mut one) = agreed;
        assert_eq!(name, None);
        one.send(&7).unwrap();
        assert_eq!(other.recv().unwrap(), 7);
        let (one, other) = both(
            |side| named(&["a"]).require_protocol().negotiate(side).unwrap_err().into(),
            |side| side.into_typed::<u32, u32>().unwrap_err(),
        );
        for error in [one, other] as [Error; 2] {
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        }
    });
}

#[test]
fn the_one_identifier_of_an_older_program_counts_as_its_name() {
    watched(|| {
        for older in [
            Handshake::new().sending("chat/1").receiving("chat/1"),
            Handshake::new().sending("chat/1"),
            Handshake::new().receiving("chat/1"),
        ] {
            let (name, _) = both(
                |side| {
                    let agreed = named(&["chat/2", "chat/1"]).negotiate(side).unwrap();
                    let name = name(&agreed);
                    agreed.perform::<u8, u8>().unwrap();
                    name
                },
                |side| older.perform::<u8, u8>(side).unwrap(),
            );
            assert_eq!(name, "chat/1");
        }
        // With one for each direction, there is no one name.
        let older = Handshake::new().sending("event/1").receiving("command/1");
        let (name, _) = both(
            |side| {
                let agreed = named(&["chat/1"]).negotiate(side).unwrap();
                let name = agreed.protocol().map(String::from);
                agreed.perform::<u8, u8>().unwrap();
                name
            },
            |side| older.perform::<u8, u8>(side).unwrap(),
        );
        assert_eq!(name, None);
    });
}

const WORDS: &str = "the \"blue\" room is full";

#[test]
fn another_process_reads_why_it_is_refused() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        for role in ["fitting is refused", "fitting is refused by name"] {
            let other = peer::start(role, listener.path());
            Handshake::new().refuse(listener.accept().unwrap(), "the room is full").unwrap();
            other.join();
        }
    });
}

/// What the other process does.
pub(super) fn is_refused(failed: impl Into<Error>) {
    let error = failed.into();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("refuses the connection: the room is full"), "{error}");
}

#[test]
fn words_of_any_length_refuse() {
    watched(|| {
        for words in [String::new(), WORDS.into(), "é".repeat(3000), "\n\0".repeat(40_000)] {
            let (error, refused) = both(
                |side| side.into_typed::<u32, u32>().unwrap_err(),
                |side| Handshake::new().refuse(side, &words),
            );
            refused.unwrap();
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(!error.to_string().contains(['\n', '\0']), "{error}");
            assert_eq!(error.to_string().ends_with(": it gives no reason"), words.is_empty());
        }
    });
}

#[test]
fn a_side_of_the_first_edition_reads_the_words_as_well() {
    watched(|| {
        let (refused, told) = both(
            |side| Handshake::new().refuse(side, WORDS),
            |mut side| {
                side.write_all(FIRST_EDITION).unwrap();
                let mut told = Vec::new();
                side.read_to_end(&mut told).unwrap();
                told
            },
        );
        refused.unwrap();
        // Behind its head and the number: a framing that this side has not, which it names.
        let framing = format!("refused: {WORDS}");
        assert_eq!(told[12 + 8 + 1..][..framing.len()], *framing.as_bytes());
        assert_eq!(usize::from(told[12 + 8]), framing.len());
    });
}

#[test]
fn a_client_that_is_turned_away_does_not_block_the_next() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let short = Handshake::new().timeout(Duration::from_millis(1));
        assert_eq!(short.refuse(server, "no").unwrap_err().kind(), ErrorKind::TimedOut);
        // It reads the words all the same.
        let late = thread::spawn(move || client.into_typed::<u8, u8>().unwrap_err());
        let kind = late.join().unwrap().kind();
        assert!(matches!(kind, ErrorKind::Refused | ErrorKind::Disconnected), "{kind}");
    });
}

#[cfg(feature = "tokio")]
mod tasks {
    use typed_pipe::Tokio;

    use super::*;
    use crate::tasks_both_ways::{in_runtime, pair};

    fn named(
        names: &[&str],
    ) -> Handshake<typed_pipe::wire::LengthPrefixed, typed_pipe::wire::Postcard, Tokio> {
        super::named(names).into_tokio()
    }

    #[test]
    fn tasks_agree_on_a_name_and_begin_again_after_a_difference() {
        in_runtime(|| async {
            let (one, other) = pair().await;
            let side = |side, first: &'static str| async move {
                let failed = named(&[first]).negotiate(side).await.unwrap_err();
                let side = failed.into_state().unwrap();
                let agreed = named(&["chat/1"]).negotiate(side).await.unwrap();
                assert_eq!(agreed.protocol(), Some("chat/1"));
                agreed.perform::<u32, u32>().await.unwrap()
            };
            let (mut one, mut other) = tokio::join!(side(one, "chat/2"), side(other, "chat/3"));
            one.send(&7).await.unwrap();
            assert_eq!(other.recv().await.unwrap(), 7);
        });
    }

    #[test]
    fn a_task_reads_why_it_is_refused() {
        in_runtime(|| async {
            let (one, other) = pair().await;
            let refusing = named(&[]);
            let (refused, error) = tokio::join!(
                refusing.refuse(one, "the room is full"),
                named(&["a"]).negotiate(other)
            );
            refused.unwrap();
            is_refused(error.unwrap_err());
        });
    }
}
