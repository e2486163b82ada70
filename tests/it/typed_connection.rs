//! Typed messages both ways, and the handshake before the first one.

use std::io::{Read, Write};
use std::iter::repeat;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use serde_bytes::ByteBuf;
use typed_pipe::wire::{Checked, Framing, LengthPrefixed, Scan, Step, Wire};
use typed_pipe::{
    CancelToken, Connection, Delivery, Error, ErrorKind, FrameError, Handles, Handshake, Listener,
    ListenerOptions, TypedConnection, WithHandles,
};

use crate::peer;
use crate::support::{Folder, Waiters, watched};

const SHORT: Duration = Duration::from_millis(50);

/// Two sides that have agreed.
fn typed<Out, In>() -> (TypedConnection<Out, In>, TypedConnection<In, Out>)
where
    Out: serde::Serialize + serde::de::DeserializeOwned + 'static,
    In: serde::Serialize + serde::de::DeserializeOwned + 'static,
{
    let (client, server) = Connection::pair().unwrap();
    let agreeing = thread::spawn(move || server.into_typed::<In, Out>().unwrap());
    (client.into_typed().unwrap(), agreeing.join().unwrap())
}

/// What both sides say of it: that on the left first.
fn disagree<A: Send + 'static, B>(
    left: impl FnOnce(Connection) -> Result<A, Error> + Send + 'static,
    right: impl FnOnce(Connection) -> Result<B, Error>,
) -> [Error; 2] {
    let (client, server) = Connection::pair().unwrap();
    let agreeing = thread::spawn(move || left(server).err().unwrap());
    let right = right(client).err().unwrap();
    [agreeing.join().unwrap(), right]
}

/// What this crate says first, with 4 zeros in place of the rest.
const HEAD: &[u8; 12] = b"\xff\xff\xff\x02tpip\x01\x00\x00\x04";

#[test]
fn two_processes_talk() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let peer = peer::start("count-up", listener.path());
        let mut client = listener.accept().unwrap().into_typed::<u64, u64>().unwrap();
        let mut number = 0;
        for _ in 0..1000 {
            client.send(&number).unwrap();
            number = client.recv().unwrap();
        }
        assert_eq!(number, 1000);
        client.sender().send_all(0..100).unwrap();
        let mut receiver = client.finish().unwrap();
        assert!(receiver.by_ref().map(Result::unwrap).eq(1..101));
        peer.join();
    });
}

#[test]
fn d18_both_sides_may_send_ten_megabytes_first() {
    watched(|| {
        let (one, other) = typed::<ByteBuf, ByteBuf>();
        let sides = [(one, 1), (other, 2)].map(|(mut side, seed): (_, u8)| {
            thread::spawn(move || {
                for number in 0..10 {
                    side.send(&ByteBuf::from(vec![seed ^ number; 1 << 20])).unwrap();
                }
                for number in 0..10 {
                    assert!(side.recv().unwrap() == vec![(3 - seed) ^ number; 1 << 20]);
                }
                let mut receiver = side.finish().unwrap();
                assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
            })
        });
        sides.into_iter().for_each(|side| side.join().unwrap());
    });
}

#[test]
fn d18_who_never_receives_is_told_so_and_can_go_on() {
    watched(|| {
        let (one, other) = typed::<Vec<u8>, Vec<u8>>();
        let (mut one, mut other) =
            (one.recv_buffer_limit(1 << 20), other.recv_buffer_limit(1 << 20));
        const PIECES: u8 = 60;
        let sending = thread::spawn(move || {
            let congested = send_pieces(&mut other, PIECES);
            // Whatever it was told, the rest comes after what it has received.
            receive_pieces(&mut other, congested.1);
            (congested, other)
        });
        let congested = send_pieces(&mut one, PIECES);
        receive_pieces(&mut one, congested.1);
        let (others, mut other) = sending.join().unwrap();
        assert!(congested.0 || others.0, "nobody was told");
        // The connection is as good as before.
        one.send(&b"after".to_vec()).unwrap();
        assert_eq!(other.recv().unwrap(), b"after");
        other.send(&b"all".to_vec()).unwrap();
        assert_eq!(one.recv().unwrap(), b"all");
    });
}

/// Sends so many pieces of 100 kB, until it is told that nobody receives: whether it was, and how many it has
/// received to make room.
fn send_pieces(side: &mut TypedConnection<Vec<u8>, Vec<u8>>, pieces: u8) -> (bool, u8) {
    let (mut congested, mut received) = (false, 0);
    for number in 0..pieces {
        let mut half_sent = false;
        while let Err(error) = match half_sent {
            true => side.flush(),
            false => side.send(&vec![number; 100_000]),
        } {
            assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
            assert!(!error.is_fatal());
            congested = true;
            assert_eq!(side.recv().unwrap(), vec![received; 100_000]);
            received += 1;
            half_sent |= error.is_half_sent();
        }
    }
    (congested, received)
}

fn receive_pieces(side: &mut TypedConnection<Vec<u8>, Vec<u8>>, from: u8) {
    for number in from..60 {
        assert_eq!(side.recv().unwrap(), vec![number; 100_000]);
    }
}

#[test]
fn d7_sides_that_speak_different_wires_say_so() {
    watched(|| {
        let checked = || Wire::default().with_framing(Checked::default());
        let errors = disagree(
            move |side| Handshake::new().with_wire(checked()).perform::<u32, u32>(side),
            |side| side.into_typed::<u32, u32>(),
        );
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            let words = error.to_string();
            assert!(words.contains("the framing") && words.contains("checked"), "{words}");
            assert!(words.contains("length-prefixed"), "{words}");
        }
    });
}

#[cfg(feature = "json")]
#[test]
fn d7_sides_that_speak_different_codecs_say_so() {
    use typed_pipe::wire::Json;

    watched(|| {
        let json = Wire::new(LengthPrefixed::default(), Json);
        let errors = disagree(
            move |side| Handshake::new().with_wire(json).perform::<u32, u32>(side),
            |side| side.into_typed::<u32, u32>(),
        );
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            let words = error.to_string();
            assert!(words.contains("the codec") && words.contains("postcard"), "{words}");
        }
    });
}

#[test]
fn d7_sides_whose_messages_have_other_names_say_so() {
    watched(|| {
        let errors = disagree(
            |side| Handshake::new().sending("event/1").receiving("job/1").perform::<u8, u8>(side),
            |side| Handshake::new().sending("job/1").receiving("event/2").perform::<u8, u8>(side),
        );
        let [left, right] = errors.map(|error| {
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            error.to_string()
        });
        for words in [&left, &right] {
            assert!(words.contains("event/1") && words.contains("event/2"), "{words}");
        }
        assert!(left.contains("what this side sends"), "{left}");
        assert!(right.contains("what this side receives"), "{right}");
    });
}

#[test]
fn d7_a_side_without_a_name_for_its_messages_takes_any() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let agreeing = thread::spawn(move || server.into_typed::<u8, u8>().unwrap());
        let handshake = Handshake::new().sending("job/1").receiving("event/1");
        let mut client = handshake.perform::<u8, u8>(client).unwrap();
        client.send(&1).unwrap();
        assert_eq!(agreeing.join().unwrap().recv().unwrap(), 1);
    });
}

#[test]
fn d7_handles_that_one_side_does_not_expect_are_told_before_the_first_message() {
    watched(|| {
        let errors = disagree(
            |side| side.into_typed::<WithHandles<u32>, u32>(),
            |side| side.into_typed::<u32, u32>(),
        );
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            let words = error.to_string();
            assert!(words.contains("with handles") && words.contains("without"), "{words}");
        }
    });
}

#[test]
fn d7_a_later_version_is_told() {
    watched(|| {
        let mut later = *HEAD;
        later[8] = 2;
        let error = answer_with(&later);
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        let words = error.to_string();
        assert!(words.contains("version 1") && words.contains("version 2"), "{words}");
    });
}

/// Four bytes of length, the lowest first, with the limit of its side.
#[derive(Clone)]
struct LittleEndian(u64);

impl Framing for LittleEndian {
    fn max_payload(&self) -> u64 {
        self.0
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; 4]);
    }

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        let length = u32::try_from(out.len() - start - 4).unwrap();
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    fn scan(&mut self, bytes: &mut [u8], _: Scan) -> Result<Step, FrameError> {
        let Some(length) = bytes.first_chunk() else { return Ok(Step::More { total: 4 }) };
        let frame = 4 + usize::try_from(u32::from_le_bytes(*length)).unwrap();
        if bytes.len() < frame {
            return Ok(Step::More { total: frame });
        }
        Ok(Step::Message { payload: 4..frame, frame })
    }
}

#[test]
fn the_smaller_limit_holds_for_a_framing_of_ones_own() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let wire = |limit| Wire::default().with_framing(LittleEndian(limit));
        let agreeing = thread::spawn(move || {
            Handshake::new().with_wire(wire(10)).perform::<String, String>(server).unwrap()
        });
        let large = Handshake::new().with_wire(wire(1000)).perform::<String, String>(client);
        let (mut large, mut small) = (large.unwrap(), agreeing.join().unwrap());
        large.send(&"x".repeat(9)).unwrap();
        let error = large.send(&"x".repeat(10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        let error = large.sender().loan(11).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        large.send(&"after".into()).unwrap();
        assert_eq!(small.recv().unwrap(), "x".repeat(9));
        assert_eq!(small.recv().unwrap(), "after");
    });
}

#[test]
fn the_smaller_limit_of_the_two_sides_holds() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let small = Wire::default().with_framing(LengthPrefixed::default().limit(1000));
        let agreeing = thread::spawn(move || {
            Handshake::new().with_wire(small).perform::<Vec<u8>, Vec<u8>>(server).unwrap()
        });
        let mut client = client.into_typed::<Vec<u8>, Vec<u8>>().unwrap();
        let mut server = agreeing.join().unwrap();
        let error = client.send(&vec![0; 2000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(!error.is_fatal());
        client.send(&vec![7; 900]).unwrap();
        assert_eq!(server.recv().unwrap(), [7; 900]);
    });
}

/// What a side says to another one that sends these bytes and leaves.
fn answer_with(bytes: &[u8]) -> Error {
    let (client, mut hostile) = Connection::pair().unwrap();
    hostile.write_all(bytes).unwrap();
    let hostile = hostile.finish();
    let error = client.into_typed::<u32, u32>().unwrap_err();
    drop(hostile);
    error
}

#[test]
fn d7_a_program_that_knows_no_handshake_is_told_so() {
    watched(|| {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"{}\n", b"\0\0\0\x01\x07", b"x"] {
            let error = answer_with(bytes);
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
            assert!(error.to_string().contains("Connection::split"), "{error}");
        }
    });
}

#[test]
fn d11_a_side_that_leaves_before_it_has_agreed_is_gone() {
    watched(|| {
        let whole = [&HEAD[..], &[0; 4]].concat();
        for cut in 0..whole.len() {
            let error = answer_with(&whole[..cut]);
            assert_eq!(error.kind(), ErrorKind::Disconnected, "{cut}: {error}");
        }
        // All of it, and nonsense.
        assert_eq!(answer_with(&whole).kind(), ErrorKind::Mismatch);
    });
}

#[test]
fn what_the_other_side_says_is_told_in_letters_that_can_be_seen() {
    watched(|| {
        let errors = disagree(
            |side| Handshake::new().sending("a\n\x1b[31mroot: ok").perform::<u8, u8>(side),
            |side| Handshake::new().receiving("b").perform::<u8, u8>(side),
        );
        for error in errors {
            let words = error.to_string();
            assert!(!words.contains(char::is_control), "{words:?}");
        }
    });
}

#[test]
fn d27_a_side_that_says_nothing_or_little_by_little_is_given_up_in_time() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let silent = Connection::connect(listener.path()).unwrap();
        let served = listener.accept().unwrap();
        let error = Handshake::new().timeout(SHORT).perform::<u8, u8>(served).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("not done its part of the handshake"), "{error}");

        let slow = Connection::connect(listener.path()).unwrap();
        let served = listener.accept().unwrap();
        let dripping = thread::spawn(move || {
            let (_reader, mut writer) = slow.split();
            // A first part that is never whole.
            for byte in HEAD[..10].iter().chain(&[0xFF; 2]).chain(repeat(&0)) {
                if writer.write(&[*byte]).is_err() {
                    return;
                }
                // The time is what is tested: each byte comes in time, and all of them would not.
                thread::sleep(Duration::from_millis(20));
            }
        });
        let handshake = Handshake::new().timeout(Duration::from_millis(100));
        let error = handshake.perform::<u8, u8>(served).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        dripping.join().unwrap();
        drop(silent);
    });
}

#[test]
fn bad_clients_cost_only_themselves() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let listener = ListenerOptions::new().cancelled_by(&token).temporary().unwrap();
        let path = listener.path().clone();
        let connect = || Connection::connect(&path).unwrap();
        thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let mut serving = Vec::new();
                for client in listener.incoming() {
                    let client = client.unwrap();
                    serving.push(thread::spawn(move || {
                        let handshake = Handshake::new().timeout(Duration::from_secs(120));
                        let mut client = handshake.perform::<u32, u32>(client)?;
                        while let Ok(number) = client.recv() {
                            client.send(&(number + 1))?;
                        }
                        Ok::<(), Error>(())
                    }));
                }
                serving
            });
            let mut bad = Vec::new();
            for number in 0..200_u32 {
                match number % 10 {
                    0 => bad.push(connect()),
                    1 => {
                        let mut garbage = connect();
                        garbage.write_all(&[0xAB; 1000]).unwrap();
                        bad.push(garbage);
                    }
                    2 => drop(connect()),
                    3 => {
                        let mut half = connect();
                        half.write_all(&HEAD[..7]).unwrap();
                        drop(half);
                    }
                    #[cfg(unix)]
                    4 => bad.push(crate::handles::flood(&path)),
                    _ => {}
                }
                let mut good =
                    TypedConnection::<u32, u32>::connect_timeout(&path, Duration::from_secs(30))
                        .unwrap();
                good.send(&number).unwrap();
                assert_eq!(good.recv().unwrap(), number + 1);
            }
            drop(bad);
            token.cancel();
            let served = serving.join().unwrap().into_iter().map(|thread| thread.join().unwrap());
            let (good, failed): (Vec<_>, Vec<_>) = served.partition(Result::is_ok);
            assert_eq!(good.len(), 200);
            for error in failed.into_iter().map(Result::unwrap_err) {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::Disconnected | ErrorKind::Mismatch), "{error}");
            }
        });
    });
}

/// Over a pipe a last line needs no feed. Here the other side ends its lines, and what has no end was cut off.
#[test]
fn half_a_line_of_a_side_that_is_gone_is_no_line() {
    use typed_pipe::wire::Plain;
    use typed_pipe::wire::foreign::Lines;

    watched(|| {
        let wire = || Wire::new(Lines::default(), Plain);
        let (client, server) = Connection::pair().unwrap();
        let (stuck, is_stuck) = channel();
        let serving = thread::spawn(move || {
            let mut server =
                Handshake::new().with_wire(wire()).perform::<str, String>(server).unwrap();
            assert_eq!(server.recv().unwrap(), "whole");
            is_stuck.recv().unwrap();
            assert_eq!(server.recv().unwrap_err().kind(), ErrorKind::Truncated);
        });
        let mut client = Handshake::new().with_wire(wire()).perform::<str, String>(client).unwrap();
        client.send("whole").unwrap();
        let error = loop {
            if let Err(error) = client.sender().try_send(&"x".repeat(8 << 20)) {
                break error;
            }
        };
        assert!(error.is_half_sent(), "{error}");
        stuck.send(()).unwrap();
        drop(client);
        serving.join().unwrap();
    });
}

#[test]
fn d11_a_side_killed_in_a_message_is_told_from_one_that_ended() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut peer = peer::start("half-a-message-both-ways", listener.path());
        let mut client = listener.accept().unwrap().into_typed::<u64, String>().unwrap();
        assert_eq!(client.recv().unwrap(), "whole");
        peer.await_step(peer::READY);
        peer.kill();
        let error = client.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        assert!(client.recv().unwrap_err().is_disconnected());
        let error = loop {
            if let Err(error) = client.send(&1) {
                break error;
            }
        };
        assert!(error.is_disconnected(), "{error}");
    });
}

#[test]
fn a_killed_server_is_noticed_by_its_client() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let mut peer = peer::start("listen", &name);
        peer.await_step(peer::READY);
        let (mut reader, writer) = Connection::connect(&name).unwrap().split();
        reader.read_exact(&mut [0]).unwrap();
        let waiting = thread::spawn(move || reader.into_receiver::<u32>().recv().unwrap_err());
        peer.kill();
        assert!(waiting.join().unwrap().is_disconnected());
        assert!(writer.into_sender::<u32>().send(&1).unwrap_err().is_disconnected());
    });
}

#[test]
fn a_side_that_has_finished_can_be_answered() {
    watched(|| {
        let (client, mut server) = typed::<String, u64>();
        let mut client = client;
        client.sender().feed(&"one".into()).unwrap();
        client.sender().feed(&"three".into()).unwrap();
        let mut answers = client.finish().unwrap();
        let words: Vec<_> = server.by_ref().map(Result::unwrap).collect();
        assert_eq!(words, ["one", "three"]);
        assert_eq!(server.recv().unwrap_err().kind(), ErrorKind::Finished);
        server.sender().send_all(words.iter().map(|word| word.len() as u64)).unwrap();
        drop(server);
        assert_eq!([answers.recv().unwrap(), answers.recv().unwrap()], [3, 5]);
        assert!(answers.recv().unwrap_err().is_disconnected());
    });
}

/// A server that shuts down: what its client sends meanwhile fails, or is dropped, and the goodbye is there.
#[test]
fn a_send_to_a_side_that_has_finished_is_followed_by_its_goodbye() {
    watched(|| {
        for keeps_receiving in [false, true] {
            let (mut client, server) = typed::<u32, u32>();
            client.send(&1).unwrap(); // and it is not received
            let mut rest = Some(server.finish().unwrap());
            if !keeps_receiving {
                rest = None;
            }
            let sent = client.send(&2);
            assert_eq!(sent.is_ok(), keeps_receiving);
            assert!(sent.err().is_none_or(|error| error.is_disconnected()));
            assert_eq!(client.recv().unwrap_err().kind(), ErrorKind::Finished);
            drop(client);
            let dropped = rest.map_or(0, |rest| rest.map(Result::unwrap).count());
            assert_eq!(dropped, if keeps_receiving { 2 } else { 0 });
        }
    });
}

#[test]
fn deadlines_and_tries_of_typed_connections() {
    watched(|| {
        let (mut client, mut server) = typed::<Vec<u8>, u32>();
        assert_eq!(client.receiver().try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(client.receiver().recv_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
        let message = vec![7; 50_000];
        let mut sent = 0;
        let error = loop {
            match client.sender().try_send(&message) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
        sent += u32::from(error.is_half_sent());
        let error = match client.sender().set_timeout(SHORT).flush() {
            // Nothing of the last one was sent.
            Ok(()) => client.sender().send_timeout(&message, SHORT).unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        sent += u32::from(error.is_half_sent());
        let receiving = thread::spawn(move || {
            let received = server.by_ref().map(|message| assert_eq!(message.unwrap(), [7; 50_000]));
            let received = received.count();
            server.send(&7).unwrap();
            received
        });
        client.sender().set_timeout(None);
        let mut answers = client.finish().unwrap();
        assert_eq!(receiving.join().unwrap(), sent as usize);
        assert_eq!(answers.recv().unwrap(), 7);
    });
}

#[test]
fn a_cancel_token_ends_a_handshake_and_a_conversation() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let (silent, _other) = Connection::pair().unwrap();
        let silent = silent.cancelled_by(&token);
        let (client, server) = Connection::pair().unwrap();
        let agreeing = thread::spawn(move || server.into_typed::<u32, u32>().unwrap());
        let mut talking = client.cancelled_by(&token).into_typed::<u32, u32>().unwrap();
        let _server = agreeing.join().unwrap();
        let waiters = Waiters::default();
        let agreeing = waiters.with(move || silent.into_typed::<u32, u32>().unwrap_err().kind());
        let receiving = waiters.with(move || talking.recv().unwrap_err().kind());
        let waiting = [thread::spawn(agreeing), thread::spawn(receiving)];
        waiters.asleep();
        token.cancel();
        assert_eq!(waiting.map(|waiting| waiting.join().unwrap()), [ErrorKind::Cancelled; 2]);
    });
}

#[test]
fn to_finish_claims_no_more_than_is_known() {
    watched(|| {
        // All is received.
        let (client, server) = Connection::pair().unwrap();
        let mut sender = client.split().1.into_sender::<u32>();
        sender.send(&1).unwrap();
        let receiving = thread::spawn(move || {
            let mut receiver = server.split().0.into_receiver::<u32>();
            assert_eq!(receiver.recv().unwrap(), 1);
            assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
        });
        let words = sender.finish().unwrap();
        assert!(words == Delivery::Sent || cfg!(any(windows, target_os = "linux")));
        receiving.join().unwrap();

        // Nothing is, and the other side leaves.
        let (client, server) = Connection::pair().unwrap();
        let (_reader, writer) = client.split();
        let mut sender = writer.into_sender::<u32>();
        sender.send(&1).unwrap();
        if let Err(failed) = sender.try_send(&2) {
            panic!("{failed}");
        }
        let finishing = Waiters::this();
        let leaving = thread::spawn(move || {
            finishing.asleep();
            drop(server);
        });
        match sender.finish() {
            Ok(words) => assert_eq!(words, Delivery::Sent),
            Err(failed) => assert_eq!(failed.kind(), ErrorKind::Disconnected, "{failed}"),
        }
        leaving.join().unwrap();
    });
}

#[cfg(unix)] // On Windows the other side does not notice that a reading half is gone.
#[test]
fn to_finish_does_not_wait_for_a_reader_that_is_gone_while_its_writer_stays() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let (_reader, writer) = client.split();
        let mut sender = writer.into_sender::<u32>();
        sender.send(&1).unwrap();
        let (reader, writer) = server.split();
        let finishing = Waiters::this();
        let leaving = thread::spawn(move || {
            finishing.asleep();
            drop(reader);
        });
        match sender.finish() {
            Ok(words) => assert_eq!(words, Delivery::Sent),
            Err(failed) => assert_eq!(failed.kind(), ErrorKind::Disconnected, "{failed}"),
        }
        leaving.join().unwrap();
        drop(writer);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn d26_any_handshake_is_read_without_a_panic(
        begun in 0..=12_usize,
        flags: u8,
        len in prop_oneof![0..200_u16, any::<u16>()],
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut head = *HEAD;
        head[9] = flags;
        head[10..].copy_from_slice(&len.to_be_bytes());
        let kind = answer_with(&[&head[..begun], &bytes[..]].concat()).kind();
        let told = matches!(kind, ErrorKind::Mismatch | ErrorKind::Disconnected);
        prop_assert!(told, "{kind:?}");
    }
}

#[cfg(unix)] // On Windows the other side does not notice.
#[test]
fn b11_a_reading_half_that_is_dropped_is_noticed_by_whoever_waits_to_send() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let agreeing = thread::spawn(move || client.into_typed::<String, String>().unwrap());
        let mut server = server.into_typed::<String, String>().unwrap();
        let (_sender, receiver) = agreeing.join().unwrap().split();
        while server.sender().try_send(&"news".repeat(1000)).is_ok() {}
        let waiters = Waiters::default();
        let waiting = thread::spawn(waiters.with(move || server.send(&"more".into()).unwrap_err()));
        waiters.asleep();
        drop(receiver);
        assert_eq!(waiting.join().unwrap().kind(), ErrorKind::Disconnected);
    });
}

#[cfg(feature = "foreign")]
#[test]
fn what_another_side_cannot_take_is_refused_on_foreign_wires_too() {
    use typed_pipe::wire::foreign::{Base64Datagrams, Base64Lines, Lines, Npipes};
    use typed_pipe::wire::{Framing, Plain};

    fn refused<F: Framing + Clone + Send + 'static>(small: F, large: F) {
        let (client, server) = Connection::pair().unwrap();
        let handshake = |framing| Handshake::new().with_wire(Wire::new(framing, Plain));
        let agreed = handshake(small);
        let serving = thread::spawn(move || agreed.perform::<String, String>(server).unwrap());
        let mut client = handshake(large).perform::<String, String>(client).unwrap();
        let mut server = serving.join().unwrap();
        let error = client.send(&"x".repeat(101)).unwrap_err();
        assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::TooLarge, false));
        client.send(&"x".repeat(100)).unwrap();
        assert_eq!(server.recv().unwrap().len(), 100);
    }

    watched(|| {
        refused(Lines::default().limit(100), Lines::default());
        refused(Npipes::default().limit(100), Npipes::default());
        refused(Base64Lines::default().limit(100), Base64Lines::default());
        refused(Base64Datagrams::default().limit(100), Base64Datagrams::default());
    });
}

/// With the handles of both directions, the goodbyes, and the name of the type that does not fit.
#[test]
fn both_sides_of_a_pair_are_ready_in_one_thread() {
    watched(|| {
        let (mut one, mut other) = TypedConnection::<String, u64>::pair().unwrap();
        for number in 0..100 {
            one.send(&"x".repeat(number)).unwrap();
            let word = other.recv().unwrap();
            other.send(&(word.len() as u64)).unwrap();
            assert_eq!(one.recv().unwrap(), number as u64);
        }
        let mut answers = one.finish().unwrap();
        assert_eq!(other.recv().unwrap_err().kind(), ErrorKind::Finished);
        drop(other);
        assert!(answers.recv().unwrap_err().is_end());

        type Files = WithHandles<String>;
        let (mut one, mut other) = TypedConnection::<Files, Files>::pair().unwrap();
        for _ in 0..2 {
            let mut handles = Handles::new();
            handles.add(tempfile::tempfile().unwrap());
            one.send_with_handles(&"a file".into(), &mut handles).unwrap();
            let (name, mut handles) = other.recv_with_handles().unwrap();
            handles.take::<std::fs::File>(0).unwrap();
            assert_eq!(name, "a file");
            std::mem::swap(&mut one, &mut other);
        }
    });
}
