//! Two sides over one memory, honest and not.
#![allow(unsafe_code, reason = "a hostile side writes to its own memory")]

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fstat, ftruncate,
    memfd_create,
};

use super::layout::{
    CLOSED, GROWN, GROWN_SIZE, HEAD, LARGEST, PROCESSOR, READER_SLEEPS, READS_NO_MORE, SMALLEST,
    SWITCH, TAIL, VERSION, WRITER_SLEEPS, WRITES_NO_MORE,
};
use super::line::Line;
use super::memory::{Ours, Theirs};
use super::offer::Offer;
use super::ring::{RingReader, RingView, RingWriter, SPIN, SPIN_UNTIL_UP};
use crate::sys::{Event, FrameHeader, Wait, WaitLimit};

const DONE: Wait<'static> = Wait { until: WaitLimit::Done, token: None };

type Side = (RingReader, RingWriter);

/// Two sides that have taken what the other one offers.
pub(in crate::sys::unix) fn sides(ring: usize) -> [Side; 2] {
    sides_with(Some(ring))
}

/// The same with rings that grow, or not.
fn sides_with(ring: Option<usize>) -> [Side; 2] {
    let [(one, to_other), (other, to_one)] = [(), ()].map(|()| Offer::new(ring).unwrap());
    let (ones, others) = (one.greeting(), other.greeting());
    let one = one.take(&others, to_one).unwrap();
    [one, other.take(&ones, to_other).unwrap()].map(super::offer::Taken::into_halves)
}

/// An honest side, and the memory and the lines of one that is played by the test.
struct Played {
    honest: Side,
    ours: Ours,
    theirs: Theirs,
    /// The end at the honest side's reader, and that at its writer.
    lines: [Line; 2],
}

fn played() -> Played {
    played_with(Some(SMALLEST))
}

/// The same with rings that grow, or not.
fn played_with(ring: Option<usize>) -> Played {
    let (honest, handles) = Offer::new(ring).unwrap();
    let [file, to_writer] = <[OwnedFd; 2]>::try_from(handles).unwrap();
    let grown = if ring.is_none() { GROWN_SIZE } else { 0 };
    let theirs = Theirs::adopt(&file, SMALLEST, grown).unwrap();
    let (ours, file) = Ours::create(SMALLEST, grown).unwrap();
    let [to_reader, line] = Line::pair().unwrap();
    let greeting = honest.greeting();
    let honest = honest.take(&greeting, vec![file, line.into_fd()]).unwrap().into_halves();
    Played { honest, ours, theirs, lines: [to_reader, Line::adopt(to_writer).unwrap()] }
}

fn within(time: Duration) -> Wait<'static> {
    Wait { until: WaitLimit::Deadline(Instant::now() + time), token: None }
}

fn write_all(writer: &mut RingWriter, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let n = writer.write(&[IoSlice::new(bytes)], DONE).unwrap();
        bytes = &bytes[n..];
    }
}

fn read_exact(reader: &mut RingReader, mut room: &mut [u8]) {
    while !room.is_empty() {
        let n = reader.read(room, DONE).unwrap();
        assert!(n > 0, "it ends too early");
        room = &mut room[n..];
    }
}

/// Bytes of which each place has its own.
fn pattern(len: usize, seed: u32) -> Vec<u8> {
    (0_u32..)
        .map(|place| (place.wrapping_mul(2_654_435_761) ^ seed).to_le_bytes()[3])
        .take(len)
        .collect()
}

#[test]
fn bytes_of_all_lengths_go_through_in_order() {
    let [(_, mut to), (mut from, _)] = sides(SMALLEST);
    let lengths = [1, 7, 8, 9, 511, 512, 513, 4095, 4097, 65_535, 65_536, 65_537, 300_000];
    let writing = thread::spawn(move || {
        for round in 0..5 {
            for len in lengths {
                write_all(&mut to, &pattern(len, round));
            }
        }
        assert!(to.wait_until_taken(DONE).unwrap());
    });
    for round in 0..5 {
        for len in lengths {
            let mut buf = vec![0; len];
            read_exact(&mut from, &mut buf);
            assert!(buf == pattern(len, round), "{len} bytes of round {round}");
        }
    }
    drop(from);
    writing.join().unwrap();
}

#[test]
fn positions_wrap_around() {
    // More than 4 GiB would take long: the positions begin near the end.
    let [(_, mut to), (mut from, _)] = sides(SMALLEST);
    to.begin_at(u32::MAX - 100);
    from.begin_at(u32::MAX - 100);
    for round in 0..10 {
        write_all(&mut to, &pattern(77, round));
        assert_eq!((to.unsent(), from.unread()), (77, 77));
        let mut buf = [0; 77];
        read_exact(&mut from, &mut buf);
        assert!(buf[..] == pattern(77, round));
        assert!(to.wait_until_taken(Wait::NOW).unwrap());
    }
}

#[test]
fn neither_side_sleeps_for_good() {
    // A ring that is full and empty again and again, and a round trip for each: both halves of both sides sleep.
    let [(mut one_from, mut one_to), (mut other_from, mut other_to)] = sides(SMALLEST);
    let rounds = if cfg!(debug_assertions) { 20_000_u32 } else { 1_000_000 };
    let echo = thread::spawn(move || {
        let mut buf = [0; 4];
        for _ in 0..rounds {
            read_exact(&mut other_from, &mut buf);
            write_all(&mut other_to, &buf);
        }
    });
    let mut buf = [0; 4];
    for round in 0..rounds {
        write_all(&mut one_to, &round.to_le_bytes());
        read_exact(&mut one_from, &mut buf);
        assert_eq!(u32::from_le_bytes(buf), round);
    }
    echo.join().unwrap();
    let [(_, mut to), (mut from, _)] = sides(SMALLEST);
    let pouring = thread::spawn(move || {
        for round in 0..rounds {
            write_all(&mut to, &pattern(usize::try_from(round % 5000).unwrap(), round));
        }
    });
    for round in 0..rounds {
        let mut buf = vec![0; usize::try_from(round % 5000).unwrap()];
        read_exact(&mut from, &mut buf);
        assert!(buf == pattern(buf.len(), round));
    }
    pouring.join().unwrap();
}

#[test]
fn a_side_that_was_woken_is_given_time_to_get_up() {
    let [(mut reader, mut writer), (mut their_reader, _their_writer)] = sides(SMALLEST);
    assert_eq!(reader.time_to_spin(), SPIN);
    assert!(!their_reader.prepare_wait());
    assert_eq!(reader.time_to_spin(), SPIN, "it sleeps, and was asked nothing");
    write_all(&mut writer, &[7]);
    assert_eq!(reader.time_to_spin(), SPIN_UNTIL_UP);
    their_reader.end_wait();
    assert_eq!(reader.time_to_spin(), SPIN);
    assert!(their_reader.prepare_wait(), "what was sent is there");
    assert_eq!(reader.time_to_spin(), SPIN, "it lay down by itself meanwhile");
}

#[test]
fn a_side_that_got_up_is_waited_for_awake_once_more() {
    let [(mut reader, _writer), (mut their_reader, _their_writer)] = sides(SMALLEST);
    while reader.tries() {}
    reader.time_to_spin();
    assert!(!reader.tries(), "the other side never slept");
    for _ in 0..3 {
        their_reader.prepare_wait();
        reader.time_to_spin();
        assert!(!reader.tries(), "it sleeps");
        their_reader.end_wait();
        reader.time_to_spin();
        assert!(reader.tries());
        reader.time_to_spin();
        assert!(!reader.tries(), "once is enough");
    }
}

/// Where a task looks again, it must not sleep although there is something.
#[cfg(feature = "tokio")]
#[test]
fn a_task_looks_again_before_it_sleeps_while_that_pays() {
    let [(mut reader, mut writer), (mut their_reader, mut their_writer)] = sides(SMALLEST);
    write_all(&mut their_writer, &[7]);
    assert!(reader.look_again());
    read_exact(&mut reader, &mut [0]);
    while reader.tries() {}
    write_all(&mut their_writer, &[7]);
    assert!(!reader.look_again(), "it brought nothing for a while");
    assert!(reader.prepare_wait(), "what is there is found all the same");
    reader.end_wait();

    write_all(&mut writer, &[7; SMALLEST]);
    assert!(!writer.look_again());
    read_exact(&mut their_reader, &mut [0; SMALLEST]);
    assert!(writer.look_again());

    // One that has given up tries again once the reader has got up.
    write_all(&mut writer, &[7; SMALLEST]);
    for _ in 0..10 {
        assert!(!writer.look_again());
    }
    assert!(their_reader.prepare_wait());
    their_reader.end_wait();
    read_exact(&mut their_reader, &mut [0; SMALLEST]);
    assert!(writer.look_again());
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_does_not_look_where_the_other_side_has_its_processor() {
    let Played { honest: (mut reader, _writer), ours, .. } = played();
    // It runs on one of them now, and may move to another.
    ours.word(HEAD).store(1, Ordering::SeqCst);
    let looks = (1..=1000).filter(|_| {
        let here = crate::sys::unix::machine::processor().unwrap();
        ours.word(PROCESSOR).store(here + 1, Ordering::SeqCst);
        reader.look_again()
    });
    assert!(looks.count() < 100);
}

#[test]
fn the_end_comes_after_what_was_written() {
    for finishes in [false, true] {
        let [(_, mut to), (mut from, _)] = sides(SMALLEST);
        write_all(&mut to, b"the last words");
        if finishes {
            to.finish();
        } else {
            drop(to);
        }
        let mut buf = [0; 14];
        read_exact(&mut from, &mut buf);
        assert_eq!(&buf, b"the last words");
        assert_eq!(from.read(&mut buf, DONE).unwrap(), 0);
        assert_eq!(from.read(&mut buf, Wait::NOW).unwrap(), 0);
    }
}

#[test]
fn an_end_wakes_who_sleeps() {
    let [(_, to), (mut from, _)] = sides(SMALLEST);
    let reading = thread::spawn(move || from.read(&mut [0; 8], DONE).unwrap());
    thread::sleep(Duration::from_millis(20));
    drop(to);
    assert_eq!(reading.join().unwrap(), 0);

    let [(_, mut to), (from, _)] = sides(SMALLEST);
    let writing = thread::spawn(move || {
        loop {
            if let Err(error) = to.write(&[IoSlice::new(&[7; 5000])], DONE) {
                return error.kind();
            }
        }
    });
    thread::sleep(Duration::from_millis(20));
    drop(from);
    assert_eq!(writing.join().unwrap(), io::ErrorKind::BrokenPipe);
}

#[test]
fn what_is_written_without_a_reader_is_an_error_at_once() {
    let [(_, mut to), (from, _)] = sides(SMALLEST);
    write_all(&mut to, &[1; 10]);
    drop(from);
    let failed = to.write(&[IoSlice::new(&[2; 10])], DONE).unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::BrokenPipe);
    let failed = to.wait_until_taken(DONE).unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn waits_end_in_time_or_by_a_token() {
    let [(mut from, mut to), other] = sides(SMALLEST);
    let mut buf = [0; 8];
    let short = Duration::from_millis(10);
    let kind = |result: io::Result<usize>| result.unwrap_err().kind();
    assert_eq!(kind(from.read(&mut buf, Wait::NOW)), io::ErrorKind::WouldBlock);
    assert_eq!(kind(from.read(&mut buf, within(short))), io::ErrorKind::TimedOut);
    while to.write(&[IoSlice::new(&[7; 5000])], Wait::NOW).is_ok() {}
    let piece = [IoSlice::new(&[7; 5000])];
    assert_eq!(kind(to.write(&piece, within(short))), io::ErrorKind::TimedOut);
    assert!(to.wait_until_taken(Wait::NOW).unwrap_err().to_string().contains("not taken"));
    assert_eq!(to.wait_until_taken(within(short)).unwrap_err().kind(), io::ErrorKind::TimedOut);
    let token = Event::new().unwrap();
    let canceled = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(short);
            token.set();
        });
        from.read(&mut buf, Wait { until: WaitLimit::Done, token: Some(&token) })
    });
    assert!(canceled.unwrap_err().to_string().contains("cancelled"));
    drop(other);
}

/// No wait sleeps, as there is always something new, and it is never enough.
#[test]
fn a_side_that_does_a_little_without_end_outlasts_neither_a_deadline_nor_a_token() {
    let [(mut from, _), (_, to)] = sides(1 << 20);
    let to = std::cell::RefCell::new(to);
    to.borrow_mut().write(&[IoSlice::new(&[0; 4])], DONE).unwrap();
    let a_byte_more = |_| {
        to.borrow_mut().write(&[IoSlice::new(&[7])], DONE).unwrap();
        Some(1 << 19)
    };
    let short = Duration::from_millis(1);
    let late = from.frame(&a_byte_more, within(short)).unwrap_err();
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    let (token, bytes) = (Event::new().unwrap(), std::cell::Cell::new(0));
    let then_cancels = |header| {
        bytes.set(bytes.get() + 1);
        if bytes.get() == 100 {
            token.set();
        }
        a_byte_more(header)
    };
    let wait = Wait { until: WaitLimit::Done, token: Some(&token) };
    assert!(from.frame(&then_cancels, wait).unwrap_err().to_string().contains("cancelled"));
    assert_eq!(bytes.get(), 100);
}

#[test]
fn what_is_lent_is_sent_as_it_lies() {
    let [(_, mut to), (mut from, _)] = sides(256 << 10);
    assert!(!to.lend(8, 256 << 10, DONE), "there is not so much");
    for round in 0..20 {
        let len = 100_000;
        assert!(to.lend(4, len, DONE));
        to.lent_mut()[..4].copy_from_slice(&[0xaa; 4]);
        to.lent_mut()[4..].copy_from_slice(&pattern(len, round));
        assert_eq!(to.give(DONE).unwrap(), len + 4);
        let mut buf = vec![0; len + 4];
        read_exact(&mut from, &mut buf);
        assert!(buf[4..] == pattern(len, round));
        // A loan that is dropped sends nothing.
        assert!(to.lend(4, 10, DONE));
        to.lent_mut().fill(0xbb);
    }
    assert_eq!(from.unread(), 0);
    // Where there is no room, nothing is lent, or a thread waits for some.
    write_all(&mut to, &[1; 200_000]);
    assert!(!to.lend(4, 100_000, Wait::NOW));
    assert!(!to.lend(4, 100_000, within(Duration::from_millis(10))));
    let reading = thread::spawn(move || {
        read_exact(&mut from, &mut [0; 200_000]);
        from // it stays until the loan was made
    });
    assert!(to.lend(4, 100_000, DONE));
    drop(reading.join().unwrap());
}

/// Each word of a hostile side, and each lie: it may be told, and nothing but an error or wrong bytes comes of it.
#[test]
fn lies_in_every_word_do_no_harm() {
    let lies = [0, 1, 2, 3, 100, 0xffff, 0x1_0000, 0x1_0001, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let words = [HEAD, TAIL, READER_SLEEPS, WRITER_SLEEPS, CLOSED, PROCESSOR];
    for (word, first, second) in words
        .into_iter()
        .flat_map(|word| lies.map(|lie| (word, lie)))
        .flat_map(|(word, first)| lies.map(|second| (word, first, second)))
    {
        let Played { honest: (mut reader, mut writer), ours, theirs, lines } = played();
        for lie in [first, second] {
            ours.word(word).store(lie, Ordering::SeqCst);
            let short = within(Duration::from_micros(200));
            match reader.frame(&measure, short) {
                Ok(0) => {}
                Ok(frame) => {
                    assert!((4..=SMALLEST).contains(&frame), "{word} is {lie}: {frame} bytes");
                    assert_eq!(viewed(&reader.view(frame)).len(), frame - 4);
                }
                Err(error) => expect_of_a_lie(&error),
            }
            let mut buf = vec![0; 100_000];
            let short = within(Duration::from_micros(200));
            match reader.read(&mut buf, short) {
                Ok(n) => assert!(n <= SMALLEST, "{word} is {lie}: {n} bytes"),
                Err(error) => expect_of_a_lie(&error),
            }
            let piece = pattern(40_000, lie);
            for _ in 0..3 {
                let short = within(Duration::from_micros(200));
                match writer.write(&[IoSlice::new(&piece)], short) {
                    Ok(n) => assert!(n <= piece.len()),
                    Err(error) => expect_of_a_lie(&error),
                }
            }
            if writer.lend(4, 1000, Wait::NOW) {
                writer.lent_mut().fill(1);
                let _ = writer.give(Wait::NOW);
            }
            assert!(writer.unsent() <= SMALLEST && reader.unread() <= SMALLEST);
            let _ = writer.wait_until_taken(within(Duration::from_micros(200)));
            let _ = (reader.prepare_wait(), writer.prepare_wait());
            reader.end_wait();
            writer.end_wait();
        }
        drop((theirs, lines));
    }
}

fn expect_of_a_lie(error: &io::Error) {
    let known = matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::BrokenPipe | io::ErrorKind::WouldBlock
    );
    assert!(known || error.to_string().contains("broken the memory"), "{error}");
}

#[test]
fn a_position_that_cannot_be_is_an_error() {
    for lie in [0x1_0001, 0x7fff_ffff, u32::MAX] {
        let Played { honest: (mut reader, mut writer), ours, .. } = played();
        ours.word(HEAD).store(lie, Ordering::SeqCst);
        let error = reader.read(&mut [0; 8], DONE).unwrap_err();
        assert!(error.to_string().contains("broken the memory"), "{error}");
        // It has taken more than there was.
        write_all(&mut writer, &[7; 100]);
        ours.word(TAIL).store(lie, Ordering::SeqCst);
        let error = loop {
            if let Err(error) = writer.write(&[IoSlice::new(&[7; SMALLEST])], DONE) {
                break error;
            }
        };
        assert!(error.to_string().contains("broken the memory"), "{error}");
    }
    // It takes back what it had put in.
    let Played { honest: (mut reader, _writer), ours, .. } = played();
    ours.word(HEAD).store(200, Ordering::SeqCst);
    assert_eq!(reader.read(&mut [0; 8], DONE).unwrap(), 8);
    ours.word(HEAD).store(100, Ordering::SeqCst);
    let error = reader.frame(&|_| Some(SMALLEST), DONE).unwrap_err();
    assert!(error.to_string().contains("broken the memory"), "{error}");
    // It takes back what it had taken.
    let Played { honest: (_reader, mut writer), ours, .. } = played();
    write_all(&mut writer, &[7; 60_000]);
    ours.word(TAIL).store(50_000, Ordering::SeqCst);
    write_all(&mut writer, &[7; 40_000]);
    ours.word(TAIL).store(40_000, Ordering::SeqCst);
    let error = writer.write(&[IoSlice::new(&[7; 60_000])], DONE).unwrap_err();
    assert!(error.to_string().contains("broken the memory"), "{error}");
}

/// A side that changes all of its memory at random while the other one reads and writes, for so many seconds as
/// `TYPED_PIPE_TEST_HOSTILE` says.
#[test]
fn memory_that_changes_meanwhile_does_no_harm() {
    let seconds = std::env::var("TYPED_PIPE_TEST_HOSTILE").map_or(1, |told| told.parse().unwrap());
    for ring in [Some(SMALLEST), None] {
        change_memory_for(Duration::from_millis(seconds * 500), ring);
    }
}

fn change_memory_for(time: Duration, ring: Option<usize>) {
    let Played { honest: (mut reader, mut writer), ours, theirs, lines } = played_with(ring);
    let end = Instant::now() + time;
    thread::scope(|scope| {
        scope.spawn(|| {
            let [a, b, c, d, ..] = RandomState::new().hash_one(0).to_le_bytes();
            let mut random = u32::from_le_bytes([a, b, c, d]) | 1;
            while Instant::now() < end {
                // SAFETY: nothing else in this test looks at these bytes.
                unsafe { ours.bytes_mut(ours.first(), random, 3000) }.fill(random.to_le_bytes()[0]);
                for _ in 0..100 {
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    let words =
                        [HEAD, TAIL, READER_SLEEPS, WRITER_SLEEPS, PROCESSOR, GROWN, SWITCH];
                    let word = words[usize::try_from(random).unwrap() % words.len()];
                    let near = ours.word(word).load(Ordering::Relaxed).wrapping_add(random >> 20);
                    ours.word(word).store(near, Ordering::Relaxed);
                }
                lines.iter().for_each(Line::wake);
            }
        });
        let mut buf = vec![0; 70_000];
        while Instant::now() < end {
            match reader.frame(&measure, within(Duration::from_micros(50))) {
                Ok(0) => {}
                Ok(frame) => assert_eq!(viewed(&reader.view(frame)).len(), frame - 4),
                Err(error) => expect_of_a_lie(&error),
            }
            if let Err(error) = reader.read(&mut buf, within(Duration::from_micros(50))) {
                expect_of_a_lie(&error);
            }
            let piece = [IoSlice::new(&buf)];
            if let Err(error) = writer.write(&piece, within(Duration::from_micros(50))) {
                expect_of_a_lie(&error);
            }
        }
    });
    drop(theirs);
}

#[test]
fn a_side_that_closes_its_line_is_gone() {
    let Played { honest: (mut reader, mut writer), ours, lines, .. } = played();
    // As a process that is killed: its words stay as they were.
    ours.word(HEAD).store(3, Ordering::SeqCst);
    drop(lines);
    let mut buf = [0; 8];
    assert_eq!(reader.read(&mut buf, DONE).unwrap(), 3);
    assert_eq!(reader.read(&mut buf, DONE).unwrap(), 0);
    let failed = loop {
        if let Err(error) = writer.write(&[IoSlice::new(&[7; 5000])], DONE) {
            break error;
        }
    };
    assert_eq!(failed.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(writer.wait_until_taken(DONE).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn what_was_said_to_be_closed_stays_closed() {
    let Played { honest: (mut reader, mut writer), ours, .. } = played();
    ours.word(CLOSED).store(WRITES_NO_MORE | READS_NO_MORE, Ordering::SeqCst);
    assert_eq!(reader.read(&mut [0; 8], DONE).unwrap(), 0);
    let failed = writer.write(&[IoSlice::new(&[7])], DONE).unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::BrokenPipe);
}

/// The length of a message behind four bytes that tell that of its payload.
fn measure(header: FrameHeader) -> Option<usize> {
    Some(usize::try_from(u32::from_be_bytes(header)).unwrap().saturating_add(4))
}

/// Puts in a message as it was lent, if there is room for that.
fn lent(to: &mut RingWriter, frame: &[u8]) -> bool {
    let is_lent = to.lend(0, frame.len(), DONE);
    if is_lent {
        to.lent_mut().copy_from_slice(frame);
        assert_eq!(to.give(DONE).unwrap(), frame.len());
    }
    is_lent
}

/// The payload of a message of such a length.
fn read_payload(from: &mut RingReader, len: usize) -> Vec<u8> {
    let mut frame = vec![0; len + 4];
    read_exact(from, &mut frame);
    frame.split_off(4)
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let header = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&header, payload].concat()
}

fn viewed(view: &RingView<'_>) -> Vec<u8> {
    let mut bytes = vec![0; view.len() + 10];
    let n = view.copy_out(0, &mut bytes);
    bytes.truncate(n);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Each is put in at once, or part by part, at any place of the ring and of the count of its bytes.
    #[test]
    fn a_view_has_the_bytes_that_a_read_would_give(
        begin in any::<u32>(),
        lens in vec((0..40_000_usize, any::<bool>(), any::<bool>()), 1..12),
    ) {
        let [(_, mut to), (mut from, _)] = sides(SMALLEST);
        to.begin_at(begin);
        from.begin_at(begin);
        let sent = lens.clone();
        let writing = thread::spawn(move || {
            for ((len, at_once, _), seed) in sent.into_iter().zip(0..) {
                let frame = framed(&pattern(len, seed));
                if !(at_once && lent(&mut to, &frame)) {
                    write_all(&mut to, &frame);
                }
            }
        });
        for ((len, _, is_viewed), seed) in lens.into_iter().zip(0..) {
            let wanted = pattern(len, seed);
            if is_viewed {
                assert_eq!(from.frame(&measure, DONE).unwrap(), len + 4);
                let view = from.view(len + 4);
                assert!(viewed(&view) == wanted);
                // SAFETY: the writer is the thread above, which writes to no place that was not given back.
                assert!(unsafe { view.bytes() } == wanted);
                let (half, mut rest) = (len / 2, vec![0; len - len / 2]);
                assert_eq!(view.copy_out(half, &mut rest), rest.len());
                assert!(rest == wanted[half..]);
                assert_eq!(view.copy_out(len, &mut [0; 8]), 0);
                assert_eq!(view.copy_out(usize::MAX, &mut [0; 8]), 0);
            } else {
                assert!(read_payload(&mut from, len) == wanted);
            }
        }
        assert_eq!(from.read(&mut [0; 8], DONE).unwrap(), 0);
        writing.join().unwrap();
    }
}

#[test]
fn the_place_of_a_view_is_given_back_when_it_is_dropped_or_at_the_next_read() {
    let [(_, mut to), (mut from, _)] = sides(SMALLEST);
    let frame = framed(&[7; 60_000]);
    let refused = |to: &mut RingWriter| {
        to.look().unwrap();
        to.write(&[IoSlice::new(&[8; 30_000])], Wait::NOW).unwrap_err().kind()
    };
    for is_forgotten in [false, true] {
        write_all(&mut to, &frame);
        assert_eq!(from.frame(&measure, DONE).unwrap(), frame.len());
        let view = from.view(frame.len());
        assert_eq!(refused(&mut to), io::ErrorKind::WouldBlock);
        assert!(to.unsent() > 60_000);
        assert_eq!(viewed(&view), [7; 60_000]);
        if is_forgotten {
            std::mem::forget(view);
            assert_eq!(refused(&mut to), io::ErrorKind::WouldBlock);
            assert_eq!(from.unread(), 0, "it is not received twice");
            let nothing = from.frame(&measure, within(Duration::from_millis(1))).unwrap_err();
            assert_eq!(nothing.kind(), io::ErrorKind::TimedOut);
        } else {
            drop(view);
        }
        assert_eq!(to.unsent(), 0);
        assert!(to.wait_until_taken(Wait::NOW).unwrap());
    }
}

#[test]
fn a_writer_that_sleeps_is_woken_when_a_view_is_dropped() {
    let [(_, mut to), (mut from, _)] = sides(SMALLEST);
    let frame = framed(&[7; 60_000]);
    write_all(&mut to, &frame);
    assert_eq!(from.frame(&measure, DONE).unwrap(), frame.len());
    let view = from.view(frame.len());
    let writing = thread::spawn(move || write_all(&mut to, &frame));
    while !view.is_waited_for() {
        thread::yield_now();
    }
    drop(view);
    writing.join().unwrap();
    assert_eq!(from.frame(&measure, DONE).unwrap(), 60_004);
}

/// Whatever the end of the stream leaves of a message is read, and not waited for.
#[test]
fn half_a_message_is_kept_for_a_read() {
    for leaves in [false, true] {
        let [(_, mut to), (mut from, _)] = sides(SMALLEST);
        let frame = framed(&[7; 5000]);
        for part in [&frame[..2], &frame[2..1000]] {
            write_all(&mut to, part);
            for wait in [Wait::NOW, within(Duration::from_millis(1))] {
                let kind = from.frame(&measure, wait).unwrap_err().kind();
                assert!([io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&kind));
            }
        }
        if leaves {
            drop(to);
            assert_eq!(from.frame(&measure, DONE).unwrap(), 0);
            read_exact(&mut from, &mut [0; 1000]);
            assert_eq!(from.read(&mut [0; 8], DONE).unwrap(), 0);
        } else {
            write_all(&mut to, &frame[1000..]);
            assert_eq!(from.frame(&measure, DONE).unwrap(), frame.len());
        }
    }
}

#[test]
fn what_is_no_message_that_can_lie_there_is_read() {
    let [(_, mut to), (mut from, _)] = sides(SMALLEST);
    let too_long = u32::try_from(SMALLEST - 3).unwrap().to_be_bytes();
    write_all(&mut to, &too_long);
    assert_eq!(from.frame(&measure, DONE).unwrap(), 0, "the ring cannot have so much");
    assert_eq!(from.frame(&|_| None, DONE).unwrap(), 0);
    read_exact(&mut from, &mut [0; 4]);
    write_all(&mut to, &framed(&[]));
    assert_eq!(from.frame(&measure, DONE).unwrap(), 4);
    assert_eq!(from.view(4).len(), 0);
}

/// Whether the large ring of the side at the other end of this one has memory.
fn has_grown(file: &OwnedFd) -> bool {
    fstat(file).unwrap().st_blocks * 512 > i64::try_from(GROWN_SIZE).unwrap()
}

#[test]
fn a_ring_grows_at_the_first_large_message_and_takes_no_memory_before() {
    let (one, mut to_other) = Offer::new(None).unwrap();
    let (other, to_one) = Offer::new(None).unwrap();
    let (ones, others) = (one.greeting(), other.greeting());
    let file = to_other[0].try_clone().unwrap();
    let (_, mut to) = one.take(&others, to_one).unwrap().into_halves();
    let (mut from, _) = other.take(&ones, std::mem::take(&mut to_other)).unwrap().into_halves();
    let half = SMALLEST / 2;
    for round in 0..20 {
        write_all(&mut to, &pattern(half, round));
        let mut buf = vec![0; half];
        read_exact(&mut from, &mut buf);
        assert!(buf == pattern(half, round));
    }
    assert!(!has_grown(&file));
    assert_eq!(to.size(), SMALLEST);
    // What was put in before comes first.
    write_all(&mut to, &pattern(half, 77));
    write_all(&mut to, &pattern(GROWN_SIZE - half, 78));
    assert!(has_grown(&file));
    assert_eq!((to.size(), from.size()), (GROWN_SIZE, SMALLEST));
    assert_eq!((to.unsent(), from.unread()), (GROWN_SIZE, GROWN_SIZE));
    let mut buf = vec![0; GROWN_SIZE];
    read_exact(&mut from, &mut buf);
    assert!(buf[..half] == pattern(half, 77));
    assert!(buf[half..] == pattern(GROWN_SIZE - half, 78));
    assert_eq!(from.size(), GROWN_SIZE);
    assert!(to.wait_until_taken(Wait::NOW).unwrap());
}

/// The reader has not followed when the next large message comes.
#[test]
fn a_ring_grows_once() {
    let [(_, mut to), (mut from, _)] = sides_with(None);
    write_all(&mut to, &pattern(600_000, 1));
    let second = pattern(600_000, 2);
    let written = to.write(&[IoSlice::new(&second)], Wait::NOW).unwrap();
    assert_eq!(written, GROWN_SIZE - 600_000);
    let mut buf = vec![0; GROWN_SIZE];
    read_exact(&mut from, &mut buf);
    assert!(buf[..600_000] == pattern(600_000, 1));
    assert!(buf[600_000..] == second[..written]);
}

#[test]
fn a_message_on_both_sides_of_the_switch_is_read_and_not_viewed() {
    let [(_, mut to), (mut from, _)] = sides_with(None);
    let frame = framed(&pattern(100_000, 1));
    for before in [2, 4, 10] {
        let [(_, mut to), (mut from, _)] = sides_with(None);
        write_all(&mut to, &frame[..before]);
        write_all(&mut to, &frame[before..]);
        assert_eq!(from.frame(&measure, Wait::NOW).unwrap(), 0);
        let mut buf = vec![0; frame.len()];
        read_exact(&mut from, &mut buf);
        assert!(buf == frame);
    }
    write_all(&mut to, &frame);
    assert_eq!(from.frame(&measure, Wait::NOW).unwrap(), frame.len());
}

/// Where the system has no memory for it.
#[test]
fn a_ring_that_cannot_grow_goes_on_as_it_is() {
    let [(_, mut to), (mut from, _)] = sides_with(None);
    to.without_large();
    assert!(!to.lend(0, GROWN_SIZE, DONE));
    let writing = thread::spawn(move || {
        for seed in 0..5 {
            write_all(&mut to, &pattern(300_000, seed));
        }
        to
    });
    for seed in 0..5 {
        let mut buf = vec![0; 300_000];
        read_exact(&mut from, &mut buf);
        assert!(buf == pattern(300_000, seed));
    }
    assert_eq!((writing.join().unwrap().size(), from.size()), (SMALLEST, SMALLEST));
}

#[test]
fn a_reader_without_memory_for_the_pages_that_were_left_out_says_so() {
    let [(_, mut to), (mut from, _)] = sides_with(None);
    from.without_large();
    write_all(&mut to, b"before");
    write_all(&mut to, &[7; 100_000]);
    let mut buf = [0; 100];
    assert_eq!(from.read(&mut buf, DONE).unwrap(), 6);
    for _ in 0..2 {
        let error = from.read(&mut buf, DONE).unwrap_err();
        assert!(error.to_string().contains("no memory"), "{error}");
        assert!(from.frame(&measure, DONE).is_err());
    }
    assert_eq!(from.unread(), 100_000);
}

/// Either one that has said it, or one that was killed in between.
#[test]
fn the_end_comes_after_what_was_written_on_both_sides_of_the_switch() {
    for closes in [false, true] {
        for after in [0, 100_000] {
            let Played { honest: (mut reader, _writer), ours, theirs: _theirs, lines } =
                played_with(None);
            let large = ours.grow().unwrap();
            for (part, place) in [(ours.first(), 0), (large, 50), (large, 100_040)] {
                // SAFETY: nothing else in this test looks at these bytes.
                unsafe { ours.bytes_mut(part, place, 50) }.fill(7);
            }
            ours.word(SWITCH).store(50, Ordering::SeqCst);
            ours.word(HEAD).store(50, Ordering::SeqCst);
            ours.word(GROWN).store(1, Ordering::SeqCst);
            ours.word(HEAD).store(50 + after, Ordering::SeqCst);
            if closes {
                ours.word(CLOSED).store(WRITES_NO_MORE, Ordering::SeqCst);
            }
            drop(lines);
            let mut buf = [0; 200_000];
            assert_eq!(reader.read(&mut buf, DONE).unwrap(), 50);
            assert_eq!(buf[..51], [[7; 50].as_slice(), &[0]].concat());
            let rest = usize::try_from(after).unwrap();
            assert_eq!(reader.read(&mut buf, DONE).unwrap(), rest);
            assert_eq!(reader.read(&mut buf, DONE).unwrap(), 0);
            assert_eq!((buf[0], buf[rest.saturating_sub(1)]), (7, 7));
        }
    }
}

#[test]
fn a_loan_that_needs_it_lets_the_ring_grow() {
    let [(_, mut to), (mut from, _)] = sides_with(None);
    assert!(!to.lend(0, GROWN_SIZE + 1, DONE), "that is more than it ever has");
    let [(_, mut to_small), _other] = sides(SMALLEST);
    assert!(!to_small.lend(0, SMALLEST + 1, DONE), "this one stays as it is");
    let frame = framed(&pattern(500_000, 1));
    assert!(to.lend(0, frame.len(), DONE));
    to.lent_mut().copy_from_slice(&frame);
    assert_eq!(to.give(DONE).unwrap(), frame.len());
    assert_eq!(from.frame(&measure, DONE).unwrap(), frame.len());
    assert!(viewed(&from.view(frame.len())) == pattern(500_000, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    /// However they are put in and taken, and wherever the ring grows.
    #[test]
    fn messages_come_whole_and_in_order_out_of_a_ring_that_grows(
        begin in any::<u32>(),
        lens in vec((0..3_usize, 0..40_000_usize, any::<bool>(), any::<bool>()), 1..16),
    ) {
        let [(_, mut to), (mut from, _)] = sides_with(None);
        to.begin_at(begin);
        from.begin_at(begin);
        let lens: Vec<_> = lens.into_iter().map(|(kind, len, at_once, is_viewed)| {
            // Most are small at first, and some larger than any ring.
            ([len / 4, len, len * 30][kind], at_once, is_viewed)
        }).collect();
        let sent = lens.clone();
        let writing = thread::spawn(move || {
            for ((len, at_once, _), seed) in sent.into_iter().zip(0..) {
                let frame = framed(&pattern(len, seed));
                if !(at_once && lent(&mut to, &frame)) {
                    write_all(&mut to, &frame[..4]);
                    write_all(&mut to, &frame[4..]);
                }
            }
        });
        for ((len, _, is_viewed), seed) in lens.into_iter().zip(0..) {
            let wanted = pattern(len, seed);
            if is_viewed && from.frame(&measure, DONE).unwrap() > 0 {
                assert!(viewed(&from.view(len + 4)) == wanted);
            } else {
                assert!(read_payload(&mut from, len) == wanted);
            }
        }
        assert_eq!(from.read(&mut [0; 8], DONE).unwrap(), 0);
        writing.join().unwrap();
    }
}

/// A side that grows without being honest about it.
#[test]
fn lies_about_growing_do_no_harm() {
    let lie = |head: u32, switch: u32| {
        let Played { honest: (mut reader, _writer), ours, theirs: _theirs, lines: _lines } =
            played_with(None);
        ours.word(SWITCH).store(switch, Ordering::SeqCst);
        ours.word(GROWN).store(1, Ordering::SeqCst);
        ours.word(HEAD).store(head, Ordering::SeqCst);
        let mut buf = vec![7; GROWN_SIZE];
        let read = reader.read(&mut buf, within(Duration::from_millis(1)));
        // It goes on with other lies as well.
        ours.word(SWITCH).store(switch.wrapping_add(5), Ordering::SeqCst);
        ours.word(GROWN).store(0, Ordering::SeqCst);
        if let Err(error) = reader.read(&mut [0; 100], within(Duration::from_millis(1))) {
            expect_of_a_lie(&error);
        }
        read
    };
    // Without memory: the pages are there all the same, and this process has not paid for more than these.
    assert_eq!(lie(1 << 20, 0).unwrap(), 1 << 20);
    assert_eq!(lie(100, 50).unwrap(), 50);
    assert_eq!(lie(100, 60_000).unwrap(), 100);
    let broken = [(100, u32::MAX), (100, 70_000), ((1 << 20) + 1, 0), (u32::MAX, 50)];
    for (head, switch) in broken {
        match lie(head, switch) {
            Ok(read) => assert_eq!((head, read), (u32::MAX, 50), "up to there it can be"),
            Err(error) => assert!(error.to_string().contains("broken the memory"), "{error}"),
        }
    }
}

/// The side that has sent a message writes to it while it is viewed: other bytes are seen, and never more than there are.
#[test]
fn bytes_that_change_under_a_view_are_other_bytes() {
    let Played { honest: (mut reader, _writer), ours, .. } = played();
    let is_over = AtomicBool::new(false);
    let frame = framed(&[1; 50_000]);
    // SAFETY: nothing looks at these bytes yet.
    unsafe { ours.bytes_mut(ours.first(), 0, frame.len()) }.copy_from_slice(&frame);
    ours.word(HEAD).store(u32::try_from(frame.len()).unwrap(), Ordering::SeqCst);
    assert_eq!(reader.frame(&measure, DONE).unwrap(), frame.len());
    let view = reader.view(frame.len());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut with = 0_u8;
            while !is_over.load(Ordering::Relaxed) {
                with = with.wrapping_add(1);
                // SAFETY: in this process only this thread borrows them; the header changes too.
                unsafe { ours.bytes_mut(ours.first(), 0, 60_000) }.fill(with);
                ours.word(HEAD).store(u32::from(with), Ordering::Relaxed);
            }
        });
        let mut seen = BTreeSet::new();
        while seen.len() < 5 {
            let bytes = viewed(&view);
            assert_eq!(bytes.len(), 50_000);
            seen.extend(bytes);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    drop(view);
}

/// What the other side may send in place of its memory.
#[test]
fn memory_that_could_do_harm_is_not_taken() {
    let refused =
        |file: OwnedFd, ring: usize| Theirs::adopt(&file, ring, 0).unwrap_err().to_string();
    let memory = |len: usize, seals: SealFlags| {
        let file = memfd_create(c"test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&file, u64::try_from(len).unwrap()).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        file
    };
    let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE;
    let whole = rustix::param::page_size() + SMALLEST;
    for missing in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::FUTURE_WRITE] {
        let why = refused(memory(whole, all.difference(missing)), SMALLEST);
        assert!(why.contains("not sealed"), "{why}");
    }
    for len in [0, SMALLEST, whole - 1, whole + 1, 2 * whole] {
        let why = refused(memory(len, all), SMALLEST);
        assert!(why.contains("another size"), "{why}");
    }
    // Of the right size, and without its pages.
    assert!(refused(memory(whole, all), SMALLEST).contains("another size"));
    let (_ours, file) = Ours::create(SMALLEST, 0).unwrap();
    let why = Theirs::adopt(&file, SMALLEST, GROWN_SIZE).unwrap_err().to_string();
    assert!(why.contains("another size"), "{why}");
    for grown in [1, SMALLEST, 3 * SMALLEST, 2 * LARGEST] {
        let why = Theirs::adopt(&file, SMALLEST, grown).unwrap_err().to_string();
        assert!(why.contains("no valid size"), "{why}");
    }
    // As many pages as it must have, and other ones: those that are missing are made at once.
    let file = memory(whole + GROWN_SIZE, SealFlags::empty());
    let behind = u64::try_from(whole).unwrap();
    fallocate(&file, FallocateFlags::empty(), behind, behind).unwrap();
    fcntl_add_seals(&file, all).unwrap();
    let before = fstat(&file).unwrap().st_blocks;
    Theirs::adopt(&file, SMALLEST, GROWN_SIZE).unwrap();
    let made = (fstat(&file).unwrap().st_blocks - before) * 512;
    assert!(made >= i64::try_from(whole).unwrap(), "{made}");
    for ring in [0, 1, SMALLEST - 1, SMALLEST + 4096, 3 * SMALLEST, 2 * LARGEST, usize::MAX] {
        let (_ours, file) = Ours::create(SMALLEST, 0).unwrap();
        assert!(refused(file, ring).contains("no valid size"), "{ring}");
    }
    let file = tempfile::tempfile().unwrap();
    file.set_len(u64::try_from(whole).unwrap()).unwrap();
    let why = refused(file.into(), SMALLEST);
    assert!(why.contains("no memory") || why.contains("not sealed"), "{why}");
    let (pipe, _end) = rustix::pipe::pipe().unwrap();
    assert!(refused(pipe, SMALLEST).contains("no memory"));
}

#[test]
fn greetings_that_cannot_be_are_refused() {
    let offer = || Offer::new(Some(SMALLEST)).unwrap();
    let greeting = offer().0.greeting();
    for place in 0..greeting.len() {
        for value in [0, 1, 2, 7, 0x80, 0xff] {
            let mut other = greeting;
            other[place] = value;
            if other == greeting {
                continue;
            }
            let (_theirs, handles) = offer();
            let refused = offer().0.take(&other, handles).unwrap_err();
            assert!(refused.to_string().contains("no shared memory"), "{refused}");
        }
    }
    for count in [0, 1, 3] {
        let handles = (0..count).map(|_| tempfile::tempfile().unwrap().into()).collect();
        assert!(offer().0.take(&greeting, handles).is_err());
    }
    // The line must be a socket of this machine.
    let (_theirs, mut handles) = offer();
    handles[1] = tempfile::tempfile().unwrap().into();
    assert!(offer().0.take(&greeting, handles).is_err());
    assert_eq!(Offer::none()[0], VERSION);
}

#[test]
fn nobody_else_can_write_to_the_memory() {
    let (_ours, file) = Ours::create(SMALLEST, 0).unwrap();
    let file = std::fs::File::from(file);
    use std::os::unix::fs::FileExt;
    assert!(file.write_at(&[1], 0).is_err());
    assert!(file.set_len(0).is_err());
    assert!(file.set_len(1 << 30).is_err());
    assert!(fcntl_add_seals(file.as_fd(), SealFlags::WRITE).is_err(), "the seals are open");
}

/// What the default costs, for both sides together. `TYPED_PIPE_TEST_PATIENCE` times as much is enough where that is set.
#[test]
fn a_small_ring_is_made_in_little_time() {
    let factor = std::env::var("TYPED_PIPE_TEST_PATIENCE").map_or(1, |told| told.parse().unwrap());
    let enough = Duration::from_micros(800) * factor;
    let mut lowest = Duration::MAX;
    // On a busy machine, the first ones that nothing interrupts.
    for _ in 0..500 {
        let since = Instant::now();
        let made = sides(SMALLEST);
        lowest = lowest.min(since.elapsed());
        drop(made);
        if lowest < enough / 4 {
            break;
        }
    }
    assert!(lowest < enough, "{lowest:?}");
}
