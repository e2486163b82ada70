use std::collections::{BTreeMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::{any, proptest};

use super::fragment::{FragmentKind, HEADER, TOTAL, seal};
use super::*;
use crate::error::{Error, ErrorKind, LossReason, Operation};
use crate::wire::{Codec, Decoder, Encoder, Postcard, Wire};

type Writer = Encoder<MultiWriter, Postcard>;
type Reader = Decoder<MultiWriter, Postcard>;

fn wire(shared: MultiWriter) -> Wire<MultiWriter> {
    Wire::default().with_framing(shared)
}

fn writer() -> Writer {
    Encoder::new(wire(MultiWriter::default()))
}

fn reader(shared: MultiWriter) -> Reader {
    Decoder::new(wire(shared))
}

/// All that is staged, write by write. Each is of whole fragments, and not too long.
fn writes<C: Codec>(encoder: &mut Encoder<MultiWriter, C>) -> Vec<Vec<u8>> {
    let mut writes = Vec::new();
    while encoder.staged() > 0 {
        let write = encoder.pending().to_vec();
        assert!(!write.is_empty() && write.len() <= encoder.wire().framing().atomic_write);
        assert_eq!(fragments(&write).concat(), write);
        encoder.advance(write.len());
        writes.push(write);
    }
    writes
}

/// The bytes, fragment by fragment.
fn fragments(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut fragments = Vec::new();
    while !bytes.is_empty() {
        let (fragment, rest) = bytes.split_at(Fragment::announced(bytes).unwrap().unwrap());
        fragments.push(fragment.to_vec());
        bytes = rest;
    }
    fragments
}

/// The fragments of these messages, all of one writer.
fn sent(encoder: &mut Writer, messages: &[&[u8]]) -> Vec<Vec<u8>> {
    messages.iter().for_each(|message| encoder.stage(message).unwrap());
    fragments(&writes(encoder).concat())
}

/// `bytes` bytes as a message.
fn long(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect()
}

fn arrive(decoder: &mut Reader, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let spare = decoder.spare();
        let n = spare.len().min(bytes.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        decoder.filled(n);
        bytes = &bytes[n..];
    }
}

#[derive(Debug, PartialEq)]
enum Event {
    Message(Vec<u8>),
    Error(ErrorKind),
    Lost(LossReason),
}

use Event::{Lost, Message};

fn told(error: &Error) -> Event {
    assert_eq!(error.operation(), Operation::Receive);
    let text = error.to_string();
    if error.kind() != ErrorKind::MessageLost {
        return Event::Error(error.kind());
    }
    assert!(!error.is_fatal());
    let losses = [
        LossReason::Abandoned,
        LossReason::Gap,
        LossReason::Idle,
        LossReason::Left,
        LossReason::NoBeginning,
        LossReason::NoRoom,
        LossReason::Unknown,
        LossReason::Uneven,
    ];
    Lost(*losses.iter().find(|loss| text.ends_with(&loss.to_string())).expect(&text))
}

/// What a receiver makes of these bytes.
fn received(decoder: &mut Reader, bytes: &[u8]) -> Vec<Event> {
    arrive(decoder, bytes);
    let mut events = Vec::new();
    loop {
        match decoder.step() {
            Ok(true) => events.push(Message(decoder.message().unwrap())),
            Ok(false) => return events,
            Err(error) => {
                events.push(told(&error));
                if error.is_fatal() {
                    return events;
                }
            }
        }
    }
}

/// What it makes of the end.
fn ended(decoder: &mut Reader) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = told(&decoder.end());
        let last = !matches!(event, Lost(_));
        events.push(event);
        if last {
            return events;
        }
    }
}

/// A fragment as no writer of this crate might make it.
fn forged(kind: FragmentKind, writer: u64, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let room = if matches!(kind, FragmentKind::First { .. }) { HEADER + TOTAL } else { HEADER };
    let mut bytes = vec![0; room];
    bytes.extend_from_slice(payload);
    seal(&mut bytes, kind, writer, sequence).unwrap();
    bytes
}

fn hello(writer: u64, codec: &str, message: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    Introduction { codec: codec.into(), message: message.into(), ..Introduction::default() }
        .write(&mut payload);
    forged(FragmentKind::Hello, writer, 0, &payload)
}

const ENDED: Event = Event::Error(ErrorKind::Disconnected);
const FINISHED: Event = Event::Error(ErrorKind::Finished);

#[test]
fn golden_bytes() {
    let mut shared = MultiWriter::default().protocol("jobs");
    shared.introduce("postcard", None);
    shared.stream = Stream::of(0x0123_4567_89AB_CDEF);
    let mut out = b"before".to_vec();
    shared.begin(&mut out);
    out.extend_from_slice(b"\x07\x02hi");
    shared.finish(&mut out, 6).unwrap();
    shared.goodbye(&mut out);
    let hex: String = out[6..].iter().map(|byte| format!("{byte:02x}")).collect();
    let hello =
        "0022d1040123456789abcdef00000000".to_owned() + "8c4b010b" + "08706f737463617264046a6f6273";
    let message = "0018d1030123456789abcdef00000001".to_owned() + "7a56391b" + "07026869";
    let goodbye = "0014d1080123456789abcdef00000002".to_owned() + "7a8eee39";
    assert_eq!(hex, hello + &message + &goodbye);
}

#[test]
#[cfg_attr(miri, ignore = "it takes hours there")]
fn messages_of_every_size_arrive() {
    for atomic_write in [512, 4096, 65535] {
        let most = atomic_write - HEADER;
        let around = |size: usize| [size - 3, size - 2, size - 1, size, size + 1];
        let sizes = [0, 1, 1 << 20].into_iter();
        let sizes = sizes.chain(around(most)).chain(around(2 * most)).chain(around(atomic_write));
        for size in sizes.chain(around(2 * most - TOTAL)) {
            let mut encoder = writer();
            encoder.atomic_write(atomic_write);
            let value = long(size);
            encoder.stage(&value).unwrap();
            encoder.stage("after").unwrap();
            let writes = writes(&mut encoder);
            assert!(size < 1 << 20 || writes.len() <= size.div_ceil(most) + 2);
            let mut decoder = reader(MultiWriter::default());
            let events = received(&mut decoder, &writes.concat());
            assert!(events == [Message(value), Message(b"after".to_vec())]);
            assert_eq!(ended(&mut decoder), [ENDED]);
        }
    }
}

#[test]
fn the_payload_is_cut_at_the_edge() {
    let most = 512 - HEADER;
    for (payload, fragments_of_it) in
        [(most, 1), (most + 1, 2), (2 * most - TOTAL, 2), (2 * most - TOTAL + 1, 3)]
    {
        let mut shared = MultiWriter::default();
        let mut out = Vec::new();
        shared.begin(&mut out);
        out.extend_from_slice(&long(payload));
        shared.finish(&mut out, 0).unwrap();
        let all = fragments(&out);
        assert_eq!(all.len(), 1 + fragments_of_it, "with the introduction");
        let (last, full) = all[1..].split_last().unwrap();
        assert!(full.iter().all(|fragment| fragment.len() == 512));
        assert!(last.len() <= 512);
    }
}

#[test]
fn small_messages_share_a_write() {
    let mut encoder = writer();
    for _ in 0..100 {
        encoder.stage("small").unwrap();
    }
    let writes = writes(&mut encoder);
    assert_eq!(writes.len(), (100_usize * 26).div_ceil(512 / 26 * 26));
    assert_eq!(received(&mut reader(MultiWriter::default()), &writes.concat()).len(), 100);
}

#[test]
fn a_write_that_was_taken_in_part_goes_on_where_it_was() {
    let mut encoder = writer();
    encoder.stage(&long(2000)).unwrap();
    let mut bytes = Vec::new();
    let (mut left, mut more) = (0, false);
    while encoder.staged() > 0 {
        let pending = encoder.pending();
        assert!(left == 0 || pending.len() == left);
        let n = pending.len().min(100);
        bytes.extend_from_slice(&pending[..n]);
        left = pending.len() - n;
        encoder.advance(n);
        if !more && bytes.len() > 300 {
            encoder.stage("more").unwrap();
            more = true;
        }
    }
    let events = received(&mut reader(MultiWriter::default()), &bytes);
    assert!(events == [Message(long(2000)), Message(b"more".to_vec())]);
}

#[test]
fn a_message_is_withdrawn_while_nothing_of_it_went_out() {
    let mut encoder = writer();
    encoder.stage("with its introduction").unwrap();
    assert!(encoder.withdraw());
    assert_eq!(encoder.staged(), 0);

    encoder.stage("one").unwrap();
    encoder.stage(&long(2000)).unwrap();
    assert!(encoder.withdraw());
    encoder.stage("two").unwrap();
    let mut bytes = writes(&mut encoder).concat();

    encoder.stage(&long(2000)).unwrap();
    bytes.extend_from_slice(encoder.pending());
    encoder.advance(512);
    assert!(!encoder.withdraw(), "a part is out");
    encoder.stage("three").unwrap();
    assert!(encoder.withdraw());
    bytes.extend(writes(&mut encoder).concat());
    encoder.stage("four").unwrap();
    bytes.extend(writes(&mut encoder).concat());

    let events = received(&mut reader(MultiWriter::default()), &bytes);
    let expected = [b"one".to_vec(), b"two".to_vec(), long(2000), b"four".to_vec()];
    assert_eq!(events, expected.map(Message));
}

#[test]
fn a_value_that_fails_leaves_no_trace() {
    let mut encoder = Encoder::new(wire(MultiWriter::default().limit(100)));
    let error = encoder.stage(&long(100)).unwrap_err();
    assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::TooLarge, false));
    encoder.stage("one").unwrap();
    assert_eq!(encoder.stage(&long(100)).unwrap_err().kind(), ErrorKind::TooLarge);
    encoder.stage("two").unwrap();
    let events = received(&mut reader(MultiWriter::default()), &writes(&mut encoder).concat());
    assert_eq!(events, [Message(b"one".to_vec()), Message(b"two".to_vec())]);
}

#[test]
fn each_encoder_is_a_writer_of_its_own() {
    let mut first = writer();
    let bytes = sent(&mut first, &[b"one"]).concat();
    let mut second = Encoder::new(first.wire().clone());
    let bytes =
        [bytes, sent(&mut second, &[b"two"]).concat(), sent(&mut first, &[b"one"]).concat()];

    let mut decoder = reader(MultiWriter::default());
    assert_eq!(decoder.wire().framing().writer(), None);
    arrive(&mut decoder, &bytes.concat());
    let mut writers = Vec::new();
    while decoder.step().unwrap() {
        writers.extend(decoder.wire().framing().writer());
    }
    assert_eq!(writers[0], writers[2]);
    assert_eq!(writers.iter().collect::<HashSet<_>>().len(), 2);
    assert_eq!(writers[0].to_string().len(), 16);
    assert_eq!(format!("{:?}", writers[0]), format!("WriterId({})", writers[0]));
}

#[test]
fn a_message_in_place_borrows_from_the_buffer() {
    let mut decoder = reader(MultiWriter::default());
    let bytes = sent(&mut writer(), &[b"short", &long(600)]).concat();
    arrive(&mut decoder, &bytes);
    assert!(decoder.step().unwrap());
    assert_eq!(decoder.message_ref::<&[u8]>().unwrap(), b"short");
    assert!(decoder.wire().framing().assembled().is_empty(), "no copy was made");
    assert!(decoder.step().unwrap());
    assert_eq!(decoder.message_ref::<&[u8]>().unwrap(), long(600));
    assert_eq!(decoder.message::<Vec<u8>>().unwrap(), long(600), "it can be read again");
}

#[test]
fn a_message_that_is_cut_off_is_told_before_the_end() {
    let mut decoder = reader(MultiWriter::default());
    for _ in 0..3 {
        let half = sent(&mut writer(), &[&long(2000)]);
        assert_eq!(received(&mut decoder, &half[..3].concat()), []);
    }
    let mut events = ended(&mut decoder);
    assert_eq!(events.pop(), Some(ENDED));
    assert_eq!(events, [Lost(LossReason::Left), Lost(LossReason::Left), Lost(LossReason::Left)]);
    assert_eq!(ended(&mut decoder), [ENDED]);
}

#[test]
fn a_new_stream_begins_with_nothing() {
    let mut encoder = writer();
    let half = sent(&mut encoder, &[&long(2000)]);
    let mut decoder = reader(MultiWriter::default());
    received(&mut decoder, &half[..3].concat());
    decoder.reset();
    assert_eq!(ended(&mut decoder), [ENDED]);
    assert_eq!(received(&mut decoder, &half[3..].concat()), [Lost(LossReason::NoBeginning)]);
}

#[test]
fn a_part_that_does_not_come_loses_its_message() {
    let messages = [b"before".to_vec(), long(2000), b"after".to_vec()];
    let all = sent(&mut writer(), &messages.each_ref().map(Vec::as_slice));
    assert_eq!(all.len(), 1 + 1 + 5 + 1);
    for missing in 1..all.len() {
        let mut some = all.clone();
        some.remove(missing);
        let mut decoder = reader(MultiWriter::default());
        let events = received(&mut decoder, &some.concat());
        let [before, long, after] = messages.clone().map(Message);
        match missing {
            1 => assert_eq!(events, [Lost(LossReason::Gap), long, after]),
            7 => assert_eq!(events, [before, long]),
            _ => assert_eq!(events, [before, Lost(LossReason::Gap), after], "{missing}"),
        }
        assert_eq!(ended(&mut decoder), [ENDED]);
    }
}

#[test]
fn a_message_with_many_gaps_is_told_of_once() {
    let all = sent(&mut writer(), &[&long(5000), b"after"]);
    let some: Vec<_> = (0..).zip(&all).filter(|(at, _)| ![3, 5, 6, 8].contains(at)).collect();
    let bytes: Vec<u8> = some.into_iter().flat_map(|(_, part)| part.clone()).collect();
    let events = received(&mut reader(MultiWriter::default()), &bytes);
    assert_eq!(events, [Lost(LossReason::Gap), Message(b"after".to_vec())]);
}

#[test]
fn whole_messages_that_do_not_come_are_missed() {
    let mut all = sent(&mut writer(), &[b"x".as_slice(); 70]);
    // The last ones before the second introduction.
    all.drain(60..65);
    assert_eq!(all[60][3], 4);
    let events = received(&mut reader(MultiWriter::default()), &all.concat());
    assert_eq!(events.len(), 70 - 5 + 1);
    assert_eq!(events[59], Lost(LossReason::Gap));
}

#[test]
fn a_second_introduction_gives_a_message_up() {
    let (first, middle) = (FragmentKind::First { total: 9 }, b"123");
    for (begins, loss) in [
        (forged(FragmentKind::Whole, 7, 3, b"\x02hi"), LossReason::Abandoned),
        (forged(first, 7, 3, b""), LossReason::Abandoned),
        (forged(FragmentKind::Goodbye, 7, 3, b""), LossReason::Abandoned),
        (hello(7, "postcard", ""), LossReason::Abandoned),
    ] {
        let mut decoder = reader(MultiWriter::default());
        let bytes = [
            hello(7, "postcard", ""),
            forged(first, 7, 1, middle),
            forged(FragmentKind::Middle, 7, 2, middle),
        ];
        assert_eq!(received(&mut decoder, &bytes.concat()), []);
        assert_eq!(received(&mut decoder, &begins)[0], Lost(loss));
    }
}

#[test]
fn a_receiver_that_comes_late_misses_what_it_has_not_seen_begin() {
    let mut encoder = writer();
    let all = sent(&mut encoder, &[&long(2000), b"two", &long(2000)]);
    let mut decoder = reader(MultiWriter::default());
    let events = received(&mut decoder, &all[3..].concat());
    // The tail of the first, then two messages of a writer without an introduction.
    assert_eq!(
        events,
        [Lost(LossReason::NoBeginning), Lost(LossReason::Unknown), Lost(LossReason::Unknown)]
    );
    assert_eq!(ended(&mut decoder), [ENDED]);

    // It introduces itself again before long.
    let rest = vec![b"x".as_slice(); 100];
    let events = received(&mut decoder, &sent(&mut encoder, &rest).concat());
    assert_eq!(events.len(), 100);
    assert_eq!(events.iter().filter(|event| matches!(event, Message(_))).count(), 100 - (64 - 3));
    assert_eq!(events[99], Message(b"x".to_vec()));
}

#[test]
fn a_message_over_the_limit_is_lost_alone() {
    let mut decoder = reader(MultiWriter::default().limit(1000));
    let (mut one, mut two) = (writer(), writer());
    two.atomic_write(4096);
    let mut events = Vec::new();
    for message in [long(990), long(1500), long(10)] {
        for part in sent(&mut one, &[&message]) {
            events.extend(received(&mut decoder, &part));
        }
        events.extend(received(&mut decoder, &sent(&mut two, &[b"other"]).concat()));
    }
    // One that is too large in a single fragment.
    events.extend(received(&mut decoder, &sent(&mut two, &[&long(1000), b"other"]).concat()));
    let other = || Message(b"other".to_vec());
    let large = || Event::Error(ErrorKind::TooLarge);
    let expected = [
        Message(long(990)),
        other(),
        large(),
        other(),
        Message(long(10)),
        other(),
        large(),
        other(),
    ];
    assert_eq!(events, expected);
    assert_eq!(ended(&mut decoder), [ENDED]);
}

#[test]
fn a_writer_that_speaks_something_else_is_skipped_and_told_of_once() {
    let mut jobs = Encoder::new(wire(MultiWriter::default().protocol("jobs")));
    let mut news = Encoder::new(wire(MultiWriter::default().protocol("news")));
    let mut any_name = writer();
    let mut decoder = reader(MultiWriter::default().protocol("jobs"));
    let mismatch = || Event::Error(ErrorKind::Mismatch);
    let mut events = Vec::new();
    for round in 0..200 {
        let text = long(round * 10);
        for encoder in [&mut jobs, &mut news, &mut any_name] {
            events.extend(received(&mut decoder, &sent(encoder, &[&text]).concat()));
        }
    }
    assert_eq!(events.iter().filter(|event| **event == mismatch()).count(), 1);
    assert_eq!(events.iter().filter(|event| matches!(event, Message(_))).count(), 400);
    assert_eq!(ended(&mut decoder), [ENDED]);

    // Another codec, which says something else later.
    let mut decoder = reader(MultiWriter::default().protocol("jobs"));
    arrive(&mut decoder, &hello(7, "json", "jobs"));
    let error = decoder.step().unwrap_err();
    assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::Mismatch, false));
    let text = error.to_string();
    for part in ["0000000000000007", "\"json\" with messages \"jobs\"", "\"postcard\" with"] {
        assert!(text.contains(part), "{text}");
    }
    let skipped = [
        forged(FragmentKind::Whole, 7, 1, b"[1]"),
        forged(FragmentKind::First { total: 9 }, 7, 5, b""),
    ];
    assert_eq!(received(&mut decoder, &skipped.concat()), []);
    let better = [hello(7, "postcard", ""), forged(FragmentKind::Whole, 7, 1, b"\x02hi")].concat();
    assert_eq!(received(&mut decoder, &better), [Message(b"hi".to_vec())]);
    let unreadable = forged(FragmentKind::Hello, 8, 0, b"\xFFshort");
    assert_eq!(received(&mut decoder, &unreadable), [mismatch()]);
}

#[test]
fn damage_is_fatal() {
    let all = sent(&mut writer(), &[b"one", b"two"]).concat();
    for damage in [2, 5, 16, 25, all.len() - 1] {
        let mut bytes = all.clone();
        bytes[damage] ^= 0x40;
        let mut decoder = reader(MultiWriter::default());
        let events = received(&mut decoder, &bytes);
        assert_eq!(events.last(), Some(&Event::Error(ErrorKind::Corrupt)), "{damage}");
        assert_eq!(decoder.step().unwrap_err().kind(), ErrorKind::Poisoned);
    }
    for header in [b"\0\x13\xD1\x03".as_slice(), b"\0\x14\xD1\xFF", b"\0\0\0\x02hi"] {
        let mut decoder = reader(MultiWriter::default());
        assert_eq!(received(&mut decoder, header), [Event::Error(ErrorKind::Corrupt)]);
    }
}

#[test]
fn parts_that_are_not_as_long_as_announced_lose_their_message() {
    let first = FragmentKind::First { total: 9 };
    let introduced = |parts: &[Vec<u8>]| [vec![hello(7, "", "")], parts.to_vec()].concat().concat();
    for parts in [
        introduced(&[forged(first, 7, 1, b"1234567890")]),
        introduced(&[forged(first, 7, 1, b"12"), forged(FragmentKind::Last, 7, 2, b"34")]),
        introduced(&[forged(first, 7, 1, b"12"), forged(FragmentKind::Last, 7, 2, b"34567890")]),
        introduced(&[forged(first, 7, 1, b"12"), forged(FragmentKind::Middle, 7, 2, b"34567890")]),
    ] {
        let mut decoder = reader(MultiWriter::default());
        assert_eq!(received(&mut decoder, &parts), [Lost(LossReason::Uneven)]);
        assert_eq!(decoder.wire().framing().assembly.held(), 0);
        assert_eq!(ended(&mut decoder), [ENDED]);
    }
    let mut decoder = reader(MultiWriter::default());
    let late = introduced(&[
        forged(FragmentKind::Last, 7, 1, b"12"),
        forged(FragmentKind::Whole, 7, 2, b"\x02hi"),
    ]);
    assert_eq!(
        received(&mut decoder, &late),
        [Lost(LossReason::NoBeginning), Message(b"hi".to_vec())]
    );
    let empty = introduced(&[
        forged(FragmentKind::First { total: 1 }, 7, 1, b""),
        forged(FragmentKind::Middle, 7, 2, b""),
        forged(FragmentKind::Last, 7, 3, b"\0"),
    ]);
    assert_eq!(received(&mut decoder, &empty), [Message(Vec::new())]);
}

#[test]
fn the_last_goodbye_finishes() {
    let (mut one, mut two, mut three) = (writer(), writer(), writer());
    let mut decoder = reader(MultiWriter::default());
    let goodbye = |encoder: &mut Writer| {
        assert!(encoder.stage_goodbye());
        writes(encoder).concat()
    };
    // One that has sent nothing.
    assert_eq!(received(&mut decoder, &goodbye(&mut three)), []);
    assert!(decoder.is_finished());
    assert_eq!(ended(&mut decoder), [FINISHED]);

    received(&mut decoder, &sent(&mut one, &[b"one"]).concat());
    assert!(!decoder.is_finished());
    received(&mut decoder, &sent(&mut two, &[b"two"]).concat());
    received(&mut decoder, &goodbye(&mut one));
    assert!(!decoder.is_finished(), "the other one has not finished");
    received(&mut decoder, &goodbye(&mut two));
    assert!(decoder.is_finished());
    assert_eq!(ended(&mut decoder), [FINISHED]);

    // Whatever comes then, it is not the end any more.
    assert_eq!(received(&mut decoder, &hello(7, "json", "")).len(), 1);
    assert!(!decoder.is_finished());
    received(&mut decoder, &forged(FragmentKind::Goodbye, 7, 1, b""));
    assert!(decoder.is_finished());

    // After a goodbye it may begin again, with an introduction.
    let again = sent(&mut one, &[b"again"]);
    assert_eq!(received(&mut decoder, &again[0]), []);
    assert!(!decoder.is_finished());
    assert_eq!(received(&mut decoder, &again[1..].concat()), [Message(b"again".to_vec())]);
    received(&mut decoder, &goodbye(&mut one));
    assert!(decoder.is_finished());
    decoder.reset();
    assert_eq!(ended(&mut decoder), [ENDED]);
}

#[test]
fn a_message_that_does_not_go_on_is_given_up_after_a_while() {
    let mut decoder = reader(MultiWriter::default().stall_limit(10_000));
    let (mut idle, mut busy) = (writer(), writer());
    let parts = sent(&mut idle, &[&long(2000), b"next"]);
    assert_eq!(received(&mut decoder, &parts[..3].concat()), []);
    let mut passed = 0;
    let mut events = Vec::new();
    while events.is_empty() {
        let bytes = sent(&mut busy, &[&long(300)]).concat();
        events = received(&mut decoder, &bytes);
        assert_eq!(events.pop(), Some(Message(long(300))));
        passed += bytes.len();
    }
    assert_eq!(events, [Lost(LossReason::Idle)]);
    assert!((10_000..11_000).contains(&passed), "{passed}");
    assert_eq!(decoder.wire().framing().assembly.held(), 0);
    // What comes of it later is skipped, and the next one is taken.
    assert_eq!(received(&mut decoder, &parts[3..].concat()), [Message(b"next".to_vec())]);
}

#[test]
fn a_message_that_goes_on_slowly_is_not_given_up() {
    let mut decoder = reader(MultiWriter::default().stall_limit(10_000));
    let (mut slow, mut busy) = (writer(), writer());
    let mut events = Vec::new();
    for part in sent(&mut slow, &[&long(20_000)]) {
        let bytes = sent(&mut busy, &[long(300).as_slice(); 20]).concat();
        assert_eq!(received(&mut decoder, &bytes).len(), 20);
        events.extend(received(&mut decoder, &part));
    }
    assert_eq!(events, [Message(long(20_000))]);
}

#[test]
fn no_limit_is_so_small_that_a_writer_alone_is_idle() {
    let mut decoder = reader(MultiWriter::default().stall_limit(0));
    let parts = sent(&mut writer(), &[&long(20_000)]).concat();
    assert_eq!(received(&mut decoder, &parts), [Message(long(20_000))]);
}

#[test]
fn the_longest_idle_message_makes_room() {
    let mut decoder = reader(MultiWriter::default().total_limit(10_000));
    let mut writers: Vec<_> = (0..4).map(|_| writer()).collect();
    let parts: Vec<_> = writers.iter_mut().map(|writer| sent(writer, &[&long(4000)])).collect();
    let mut events = Vec::new();
    let longest = parts.iter().map(Vec::len).max().unwrap();
    for at in 0..longest - 2 {
        for parts in &parts {
            events.extend(received(&mut decoder, &parts[at]));
            assert!(decoder.wire().framing().assembly.held() <= 10_000);
        }
    }
    assert!(events.iter().all(|event| *event == Lost(LossReason::NoRoom)), "{events:?}");
    assert!((1..4).contains(&events.len()), "{events:?}");
    let lost = events.len();
    let mut events = Vec::new();
    for parts in &parts {
        events.extend(received(&mut decoder, &parts[longest - 2..].concat()));
    }
    assert_eq!(events.len(), 4 - lost);
    assert!(events.iter().all(|event| *event == Message(long(4000))));
    assert_eq!(decoder.wire().framing().assembly.held(), 0);

    // It is the one that was idle, and not the one that came first.
    let mut decoder = reader(MultiWriter::default().total_limit(6000));
    let (first, second) =
        (sent(&mut writer(), &[&long(3000)]), sent(&mut writer(), &[&long(3000)]));
    received(&mut decoder, &[&first[..2], &second[..3], &first[2..5]].concat().concat());
    // An unknown writer displaces no other.
    let unknown = forged(FragmentKind::First { total: 6000 }, 7, 1, &[7; 5000]);
    assert_eq!(received(&mut decoder, &unknown), [Lost(LossReason::Unknown)]);
    assert_eq!(received(&mut decoder, &unknown), [Lost(LossReason::Unknown)]);
    let third =
        [hello(8, "", ""), forged(FragmentKind::First { total: 4000 }, 8, 1, &[7; 2500])].concat();
    assert_eq!(received(&mut decoder, &third), [Lost(LossReason::NoRoom)]);
    assert_eq!(received(&mut decoder, &second[3..].concat()), []);
    assert_eq!(received(&mut decoder, &first[5..].concat()), [Message(long(3000))]);

    // One that is larger than all may be.
    let mut decoder = reader(MultiWriter::default().total_limit(1000));
    let bytes = sent(&mut writer(), &[&long(2000), b"small"]).concat();
    assert_eq!(
        received(&mut decoder, &bytes),
        [Lost(LossReason::NoRoom), Message(b"small".to_vec())]
    );
}

#[test]
#[cfg_attr(miri, ignore = "it takes hours there")]
fn d2_memory_grows_with_what_arrived_and_is_given_back() {
    let mut decoder = reader(MultiWriter::default());
    // A hundred writers announce all that they may, and send next to nothing.
    let mut bytes = Vec::new();
    for writer in 0..100 {
        bytes.extend(hello(writer, "postcard", ""));
        bytes.extend(forged(FragmentKind::First { total: 8 << 20 }, writer, 1, &[7; 100]));
    }
    assert_eq!(received(&mut decoder, &bytes), []);
    assert!(decoder.wire().framing().assembly.held() <= 100 * 100);

    let mut decoder = reader(MultiWriter::default());
    let mut arrived = 0;
    for part in sent(&mut writer(), &[&long(1 << 20)]) {
        arrived += part.len();
        received(&mut decoder, &part);
        assert!(decoder.wire().framing().assembly.held() <= 2 * arrived);
    }
    assert_eq!(decoder.wire().framing().assembled().len(), (1 << 20) + 3);
    received(&mut decoder, &sent(&mut writer(), &[b"small"]).concat());
    assert_eq!(decoder.wire().framing().assembled().len(), 0);
    assert_eq!(decoder.wire().framing().assembly.held(), 0);
}

#[test]
fn so_many_writers_are_remembered_and_no_more() {
    let mut decoder = reader(MultiWriter::default());
    let mut first = writer();
    let parts = sent(&mut first, &[&long(2000), b"later"]);
    assert_eq!(received(&mut decoder, &parts[..3].concat()), []);
    let mut events = Vec::new();
    for writer in 0..10_000 {
        let bytes =
            [hello(writer, "postcard", ""), forged(FragmentKind::Whole, writer, 1, b"\x02hi")];
        events.extend(received(&mut decoder, &bytes.concat()));
        assert!(decoder.wire().framing().assembly.known() <= 4096);
    }
    assert_eq!(events.iter().filter(|event| **event == Lost(LossReason::NoRoom)).count(), 1);
    assert_eq!(events.len(), 10_001);
    // It is not known any more, and introduces itself in time.
    let rest = received(&mut decoder, &parts[3..].concat());
    assert_eq!(rest, [Lost(LossReason::NoBeginning), Lost(LossReason::Unknown)]);
    let events = received(&mut decoder, &sent(&mut first, &[b"x".as_slice(); 64]).concat());
    assert_eq!(events.last(), Some(&Message(b"x".to_vec())));
}

#[test]
fn debug_names_no_contents() {
    let mut decoder = reader(MultiWriter::default());
    received(&mut decoder, &sent(&mut writer(), &[&long(2000)])[..3].concat());
    assert!(format!("{:?}", decoder.wire().framing()).len() < 200);
}

proptest! {
    /// However the fragments of some writers are mixed, and wherever some of them are cut off.
    #[test]
    fn every_whole_message_arrives_and_every_cut_one_is_told_once(
        messages in vec(vec(0..5000_usize, 0..6), 1..6),
        cuts in vec(any::<u16>(), 6),
        order in vec(any::<u8>(), 1..200),
        piece in 1..3000_usize,
    ) {
        let mut streams = Vec::new();
        let mut expected: Vec<Vec<Vec<u8>>> = Vec::new();
        let mut lost = 0;
        for (number, (sizes, cut)) in messages.iter().zip(&cuts).enumerate() {
            let mut encoder = writer();
            let mut parts = Vec::new();
            let mut ends = Vec::new();
            let values: Vec<_> = sizes
                .iter()
                .enumerate()
                .map(|(at, size)| [&[number.to_le_bytes()[0], at.to_le_bytes()[0]], &long(*size)[..]].concat())
                .collect();
            for value in &values {
                let of_it = sent(&mut encoder, &[value]);
                let begins = parts.len() + of_it.iter().filter(|part| part[3] & 4 != 0).count();
                parts.extend(of_it);
                ends.push((begins, parts.len()));
            }
            // Every second one is cut.
            if number % 2 == 1 {
                parts.truncate(usize::from(*cut) % (parts.len() + 1));
            }
            let whole = ends.iter().filter(|(_, end)| *end <= parts.len()).count();
            lost += usize::from(ends.iter().any(|(begin, end)| *begin < parts.len() && parts.len() < *end));
            expected.push(values[..whole].to_vec());
            parts.reverse();
            streams.push(parts);
        }

        let mut bytes = Vec::new();
        let mut order = order.iter().cycle();
        while streams.iter().any(|parts| !parts.is_empty()) {
            let at = usize::from(*order.next().unwrap());
            let left: Vec<_> = (0..streams.len()).filter(|at| !streams[*at].is_empty()).collect();
            bytes.extend(streams[left[at % left.len()]].pop().unwrap());
        }

        let mut decoder = reader(MultiWriter::default());
        let mut got: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
        let mut writers = BTreeMap::new();
        for piece in bytes.chunks(piece) {
            arrive(&mut decoder, piece);
            while decoder.step().unwrap() {
                let value: Vec<u8> = decoder.message().unwrap();
                let writer = decoder.wire().framing().writer().unwrap();
                assert_eq!(*writers.entry(value[0]).or_insert(writer), writer);
                got.entry(value[0]).or_default().push(value);
            }
        }
        for (number, expected) in (0..).zip(expected) {
            assert!(got.remove(&number).unwrap_or_default() == expected);
        }
        assert!(got.is_empty());
        let mut events = ended(&mut decoder);
        assert_eq!(events.pop(), Some(ENDED));
        assert!(events.iter().all(|event| *event == Lost(LossReason::Left)));
        assert_eq!(events.len(), lost);
        assert_eq!(decoder.wire().framing().assembly.held(), 0);
    }

    #[test]
    fn d26_any_fragments_are_read_without_a_panic(
        parts in vec((0..6_u8, 0..3_u64, 0..4_u32, any::<u32>(), vec(any::<u8>(), 0..40)), 0..60),
        small in any::<bool>(),
    ) {
        let shared = MultiWriter::default();
        let shared = if small { shared.total_limit(60).limit(50).stall_limit(300) } else { shared };
        let mut decoder = reader(shared);
        let mut tells = 0;
        for (kind, writer, sequence, total, payload) in &parts {
            let kind = match kind {
                0 => FragmentKind::Hello,
                1 => FragmentKind::Goodbye,
                2 => FragmentKind::Whole,
                3 => FragmentKind::First { total: if small { total % 60 } else { *total } },
                4 => FragmentKind::Middle,
                _ => FragmentKind::Last,
            };
            arrive(&mut decoder, &forged(kind, *writer, *sequence, payload));
            loop {
                match decoder.step() {
                    Ok(true) => drop(decoder.message_ref::<Vec<&str>>()),
                    Ok(false) => break,
                    Err(error) => {
                        assert!(!error.is_fatal(), "{error}");
                        tells += 1;
                        assert!(tells <= 3 * parts.len() + 3);
                    }
                }
            }
            let held = decoder.wire().framing().assembly.held();
            assert!(held <= if small { 60 } else { 2 * 40 * parts.len() });
        }
        ended(&mut decoder);
        assert_eq!(decoder.wire().framing().assembly.held(), 0);
    }

    #[test]
    fn d26_any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        received(&mut reader(MultiWriter::default()), &bytes);
    }
}
