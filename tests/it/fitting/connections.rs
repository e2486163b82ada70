//! At connect.

use std::io::{Read, Write};
use std::thread;

use serde::Serialize;
use typed_pipe::wire::Wire;
use typed_pipe::{
    Anything, Connection, Error, ErrorKind, Handles, Handshake, Listener, WithHandles,
};

use super::types::{HERE_F32, HERE_F64, new, old};
use crate::peer;
use crate::support::watched;

/// What both sides of a handshake come to.
pub(super) fn both<A: Send, B: Send>(
    one: impl FnOnce(Connection) -> A,
    other: impl FnOnce(Connection) -> B + Send,
) -> (A, B) {
    let (client, server) = Connection::pair().unwrap();
    thread::scope(|scope| {
        let other = scope.spawn(move || other(server));
        (one(client), other.join().unwrap())
    })
}

fn refused<T>(made: Result<T, Error>) -> String {
    let Err(error) = made else { panic!("they do not fit") };
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    error.to_string()
}

#[test]
fn both_sides_say_where_their_types_differ() {
    watched(|| {
        let (sends, receives) = both(
            |side| refused(side.into_typed::<old::Reading, u8>()),
            |side| refused(side.into_typed::<u8, new::Reading>()),
        );
        assert!(sends.contains(HERE_F32), "{sends}");
        assert!(receives.contains(HERE_F64), "{receives}");
    });
}

#[test]
fn two_processes_say_where_their_types_differ() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let other = peer::start("fitting old at connect", listener.path());
        let words = refused(listener.accept().unwrap().into_typed::<u8, new::Reading>());
        assert!(words.contains(HERE_F64), "{words}");
        other.join();
    });
}

#[test]
fn the_other_direction_is_compared_too() {
    watched(|| {
        let (one, other) = both(
            |side| refused(side.into_typed::<u8, Vec<u32>>()),
            |side| refused(side.into_typed::<Vec<i32>, u8>()),
        );
        assert!(one.contains("what this side receives: `message[]`: u32 here, i32 there"), "{one}");
        assert!(
            other.contains("what this side sends: `message[]`: i32 here, u32 there"),
            "{other}"
        );
    });
}

#[test]
fn two_processes_go_on_where_the_receiver_only_knows_more() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let other = peer::start("fitting old sends commands", listener.path());
        let client = listener.accept().unwrap();
        let mut client = client.into_typed::<u8, new::Command>().unwrap();
        assert_eq!(client.recv().unwrap(), new::Command::Set { rate: 7 });
        let theirs = client.receiver().peer_shape().unwrap().to_string();
        assert!(!theirs.contains("Pause"), "{theirs}");
        client.send(&1).unwrap();
        other.join();
    });
}

#[test]
fn a_sender_that_knows_more_is_refused() {
    watched(|| {
        let (one, other) = both(
            |side| refused(side.into_typed::<new::Command, u8>()),
            |side| refused(side.into_typed::<u8, old::Command>()),
        );
        assert!(
            one.contains("`Command`: variant 2 is `Pause` here, no such variant there"),
            "{one}"
        );
        assert!(other.contains("what this side receives: `Command`"), "{other}");
    });
}

#[test]
fn what_carries_handles_is_compared_as_well() {
    watched(|| {
        let (one, other) = both(
            |side| refused(side.into_typed::<WithHandles<u16>, u8>()),
            |side| refused(side.into_typed::<u8, WithHandles<u32>>()),
        );
        assert!(one.contains("u16 here, u32 there"), "{one}");
        assert!(other.contains("u32 here, u16 there"), "{other}");
        let (mut one, mut other) = both(
            |side| side.into_typed::<WithHandles<u16>, u8>().unwrap(),
            |side| side.into_typed::<u8, WithHandles<u16>>().unwrap(),
        );
        one.send_with_handles(&7, &mut Handles::new()).unwrap();
        assert_eq!(other.recv_with_handles().unwrap().0, 7);
    });
}

#[derive(Serialize)]
struct Borrowed<'a> {
    sensor: &'a str,
    celsius: f64,
}

#[derive(Serialize)]
struct BorrowedOld<'a> {
    sensor: &'a str,
    celsius: f32,
}

#[test]
fn a_value_of_a_type_that_serde_can_only_write_is_compared_before_its_first_byte() {
    watched(|| {
        let (mut one, mut other) = both(
            |side| side.into_typed::<Anything, u8>().unwrap(),
            |side| side.into_typed::<u8, new::Reading>().unwrap(),
        );
        let wrong = BorrowedOld { sensor: "kitchen", celsius: 21.5 };
        let error = one.send_as(&wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(!error.is_fatal() && !error.is_half_sent());
        assert!(error.to_string().contains(HERE_F32), "{error}");
        assert_eq!(one.sender().pending(), 0);
        assert_eq!(one.sender().send_as(&wrong).unwrap_err().kind(), ErrorKind::Mismatch);
        one.send_as(&Borrowed { sensor: "kitchen", celsius: 21.5 }).unwrap();
        one.sender().send_as(&Borrowed { sensor: "kitchen", celsius: 21.5 }).unwrap();
        assert_eq!(other.recv().unwrap(), new::reading());
        assert_eq!(other.recv().unwrap(), new::reading());
        assert!(other.receiver().peer_shape().is_none(), "it is not known before");
    });
}

#[test]
fn a_value_is_sent_as_another_type_only_if_it_looks_the_same() {
    watched(|| {
        let (mut one, mut other) = both(
            |side| side.into_typed::<new::Reading, u8>().unwrap(),
            |side| side.into_typed::<u8, new::Reading>().unwrap(),
        );
        let error = one.send_as(&BorrowedOld { sensor: "kitchen", celsius: 21.5 }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        one.send_as(&Borrowed { sensor: "kitchen", celsius: 21.5 }).unwrap();
        assert_eq!(other.recv().unwrap(), new::reading());
    });
}

/// What a side of the first edition says, which has no parts.
pub(super) const FIRST_EDITION: &[u8] =
    b"\xff\xff\xff\x02tpip\x01\x00\x00\x23\x00\x00\x00\x00\x00\x80\x00\x00\
    \x0flength-prefixed\x08postcard\x00\x00";

#[test]
fn a_peer_of_the_first_edition_connects_and_is_told_apart() {
    watched(|| {
        let (made, told) = both(
            |side| side.into_typed::<u8, new::Reading>().unwrap(),
            |mut side| {
                side.write_all(FIRST_EDITION).unwrap();
                // It reads a head, and as many bytes as that says.
                let mut head = [0; 12];
                side.read_exact(&mut head).unwrap();
                let mut body = vec![0; usize::from(u16::from_be_bytes([head[10], head[11]]))];
                side.read_exact(&mut body).unwrap();
                side.write_all(b"\0\0\0\x10\x07kitchen\0\0\0\0\0\x80\x35\x40").unwrap();
                (side, body)
            },
        );
        let mut made = made;
        assert_eq!(made.recv().unwrap(), new::reading());
        assert!(made.receiver().peer_shape().is_none());
        let (mut side, body) = told;
        assert_eq!(body[..35], FIRST_EDITION[12..], "what the first edition knows, and then more");
        // No second round, which it would take for messages.
        made.send(&7).unwrap();
        let mut frame = [0; 5];
        side.read_exact(&mut frame).unwrap();
        assert_eq!(frame, *b"\0\0\0\x01\x07");
    });
}

#[test]
fn a_side_may_require_that_its_peer_tells_what_it_sends() {
    watched(|| {
        let strict = || Handshake::new().require_shape();
        let (words, _peer) = both(
            |side| refused(strict().perform::<u8, u8>(side)),
            |mut side| {
                side.write_all(FIRST_EDITION).unwrap();
                side
            },
        );
        assert!(words.contains("required here"), "{words}");
        let (one, other) = both(
            |side| strict().perform::<u8, u8>(side).map(drop),
            |side| side.into_typed::<u8, u8>().map(drop),
        );
        one.and(other).unwrap();
    });
}

#[cfg(feature = "json")]
#[test]
fn a_codec_with_names_is_compared_by_its_rules() {
    use serde::Deserialize;
    use typed_pipe::TypedConnection;

    #[derive(Debug, Serialize, Deserialize)]
    struct Small {
        name: String,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Large {
        #[serde(default)]
        size: u32,
        name: String,
    }
    watched(|| {
        let json =
            || Handshake::new().with_wire(Wire::default().with_codec(typed_pipe::wire::Json));
        let (mut one, mut other): (TypedConnection<Small, Large, _, _>, _) = both(
            |side| json().perform(side).unwrap(),
            |side| json().perform::<Large, Large>(side).unwrap(),
        );
        one.send(&Small { name: "a".into() }).unwrap();
        let large = other.recv().unwrap();
        assert_eq!((large.size, &*large.name), (0, "a"));
        other.send(&large).unwrap();
        assert_eq!(one.recv().unwrap().name, "a");
    });
}

#[test]
fn a_codec_of_unknown_style_tells_nothing() {
    watched(|| {
        let plain =
            || Handshake::new().with_wire(Wire::default().with_codec(typed_pipe::wire::Plain));
        let (mut one, mut other) = both(
            |side| plain().perform::<str, String>(side).unwrap(),
            |side| plain().perform::<str, Vec<u8>>(side).unwrap(),
        );
        one.send("text").unwrap();
        assert_eq!(other.recv().unwrap(), b"text");
        assert!(other.receiver().peer_shape().is_none());
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_say_where_their_types_differ() {
    use tokio::runtime::Builder;

    watched(|| {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let (one, other) = Connection::pair().unwrap();
            let (one, other) = (one.into_tokio().unwrap(), other.into_tokio().unwrap());
            let (one, other) = tokio::join!(
                one.into_typed::<old::Reading, u8>(),
                other.into_typed::<u8, new::Reading>(),
            );
            let (one, other) = (refused(one), refused(other));
            assert!(one.contains(HERE_F32), "{one}");
            assert!(other.contains(HERE_F64), "{other}");

            let (one, other) = Connection::pair().unwrap();
            let (one, other) = (one.into_tokio().unwrap(), other.into_tokio().unwrap());
            let (one, other) = tokio::join!(
                one.into_typed::<Anything, u8>(),
                other.into_typed::<u8, new::Reading>(),
            );
            let (mut one, mut other) = (one.unwrap(), other.unwrap());
            let wrong = BorrowedOld { sensor: "kitchen", celsius: 21.5 };
            assert_eq!(one.send_as(&wrong).await.unwrap_err().kind(), ErrorKind::Mismatch);
            one.send_as(&Borrowed { sensor: "kitchen", celsius: 21.5 }).await.unwrap();
            assert_eq!(other.recv().await.unwrap(), new::reading());
        });
    });
}
