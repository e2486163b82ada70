//! The two halves of a connection over shared memory: they read and write bytes, as those of a socket do.
//!
//! The positions of both sides count all bytes that ever went through, and wrap around at 2³². A ring has at most 2³⁰, so
//! the difference of two positions is unambiguous. What the other side writes into its words is not believed: a position
//! that cannot be is an error, and all that a lie can bring about is wrong bytes, or a wait.
#![allow(
    unsafe_code,
    reason = "only the one writer of a ring touches its bytes, which is seen here"
)]

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::atomic::{AtomicU32, Ordering, fence};
use super::layout::{
    CLOSED, GROWN, GROWN_SIZE, HEAD, PROCESSOR, READER_SLEEPS, READS_NO_MORE, SWITCH, TAIL,
    WRITER_SLEEPS, WRITES_NO_MORE,
};
use super::line::{Line, Woken};
use super::memory::{Ours, Part, Theirs};
use super::protocol::{acquire, get_up, lie_down, must_wake, publish, publish_switch, switched};
use crate::error::Obstacle;
use crate::sys::unix::machine::processor;
use crate::sys::unix::maker::Maker;
use crate::sys::unix::wait::{ensure_not_cancelled, out_of_time};
use crate::sys::{FrameHeader, Measure, Spinner, Wait, WaitLimit};

/// How long a side looks again and again before it sleeps.
pub(super) const SPIN: Duration = Duration::from_micros(10);

/// The same where the other side was just woken, which takes it longer than that. If each of two sides went to sleep before
/// the other one is up, they would never find each other awake again.
pub(super) const SPIN_UNTIL_UP: Duration = Duration::from_micros(100);

/// So often it looks between two looks at the clock.
const LOOKS: u32 = 32;

/// The most that is copied before the reader is told of it: it can begin while the rest is copied.
const PIECE: usize = 64 << 10;

/// The memory of both sides, as one of them sees it.
#[derive(Debug)]
struct Both {
    ours: Ours,
    theirs: Theirs,
    /// The process that this side belongs to: a forked child ends nothing.
    maker: Maker,
    /// The last sleep of the other side's reader that this side woke it from.
    roused: AtomicU32,
}

/// Both halves, each with its line.
pub(super) fn halves(ours: Ours, theirs: Theirs, in_line: Line, out_line: Line) -> Halves {
    let both = Arc::new(Both { ours, theirs, maker: Maker::this(), roused: AtomicU32::new(0) });
    let parker = |line, sleeps, on| Parker {
        both: Arc::clone(&both),
        line,
        sleeps,
        on,
        spinner: Spinner::default(),
        met: 0,
        processor: u32::MAX,
        is_gone: false,
    };
    let (reader_grows, writer_grows) = (both.theirs.can_grow(), both.ours.can_grow());
    let (reader_part, writer_part) = (both.theirs.first(), both.ours.first());
    let reader = RingReader {
        parker: parker(in_line, READER_SLEEPS, HEAD),
        head: 0,
        tail: 0,
        told: 0,
        woken: 0,
        part: reader_part,
        grows: reader_grows,
        is_split: false,
    };
    let writer = RingWriter {
        parker: parker(out_line, WRITER_SLEEPS, TAIL),
        head: 0,
        tail: 0,
        lent: 0,
        woken: 0,
        part: writer_part,
        grows: writer_grows,
    };
    (reader, writer)
}

type Halves = (RingReader, RingWriter);

/// The waits of one half.
#[derive(Debug)]
struct Parker {
    both: Arc<Both>,
    line: Line,
    /// The word of this side that says that this half sleeps.
    sleeps: usize,
    /// The count of the other side that it waits for.
    on: usize,
    spinner: Spinner,
    /// What the other side's reader said when it was last seen awake.
    met: u32,
    processor: u32,
    /// Whether the other side's half is known to be gone.
    is_gone: bool,
}

impl Parker {
    /// Whether the other side has done something since this count was seen, or will do nothing any more.
    fn has_news(&self, seen: u32) -> bool {
        let theirs = &self.both.theirs;
        acquire(theirs.word(self.on)) != seen || self.is_gone || self.is_closed()
    }

    /// Whether the other side has said that it does no more.
    #[inline(always)]
    fn is_closed(&self) -> bool {
        let closed = acquire(self.both.theirs.word(CLOSED));
        let by_its_half = if self.on == HEAD { WRITES_NO_MORE } else { READS_NO_MORE };
        closed & by_its_half != 0
    }

    /// Waits until there is news, at first awake.
    #[inline(never)]
    fn wait(&mut self, seen: u32, wait: Wait<'_>) -> io::Result<()> {
        let time = time_left(wait.until)?.min(self.time_to_spin());
        if !self.spin(seen, time) {
            self.is_gone |= self.sleep(seen, wait)? == Woken::Gone;
        }
        Ok(())
    }

    /// Looks again and again for so long, if that pays; returns whether there is news.
    #[inline(always)]
    fn spin(&mut self, seen: u32, time: Duration) -> bool {
        let count = self.both.theirs.word(self.on);
        let is_there =
            self.spinner.spin(time, SPIN, LOOKS, || count.load(Ordering::Relaxed) != seen);
        if is_there && self.on == HEAD {
            self.claim_next();
        }
        is_there
    }

    /// Lets the processor fetch the lines that the next message of this side goes to, while what has come is decoded and
    /// answered: the other side has copies of them, of what it has read there. It most likely has read that before it sent
    /// something: to take a line away earlier would cost both sides more.
    #[inline(always)]
    fn claim_next(&self) {
        let ours = &self.both.ours;
        ours.claim(ours.first(), ours.word(HEAD).load(Ordering::Relaxed));
    }

    /// The same for a task, whose thread has others: only one that waits for room tries again where the other side's reader
    /// has got up. That of a client which asks now and then does so for each answer, and the next question is far away.
    #[cfg(feature = "tokio")]
    #[inline(never)]
    fn look_again(&mut self, seen: u32) -> bool {
        let time = if self.on == TAIL {
            self.time_to_spin().min(SPIN)
        } else if shares_the_processor(&self.both, &mut self.processor) {
            Duration::ZERO
        } else {
            SPIN
        };
        self.spin(seen, time)
    }

    /// How long it may pay to look again and again.
    fn time_to_spin(&mut self) -> Duration {
        if shares_the_processor(&self.both, &mut self.processor) {
            return Duration::ZERO;
        }
        let sleep = self.both.theirs.word(READER_SLEEPS).load(Ordering::Relaxed);
        if sleep & 1 == 0 {
            // It is up, and may be looking, too. One more try is enough for each time that it got up.
            if sleep != self.met {
                self.met = sleep;
                self.spinner.try_again();
            }
            return SPIN;
        }
        if sleep == self.both.roused.load(Ordering::Relaxed) { SPIN_UNTIL_UP } else { SPIN }
    }

    /// Sleeps until there may be news.
    fn sleep(&self, seen: u32, wait: Wait<'_>) -> io::Result<Woken> {
        let woken = if self.prepare(seen) { Ok(Woken::Look) } else { self.line.sleep(wait) };
        get_up(self.both.ours.word(self.sleeps));
        woken
    }

    /// Says that this half sleeps; returns whether there is news already.
    fn prepare(&self, seen: u32) -> bool {
        lie_down(self.both.ours.word(self.sleeps));
        self.has_news(seen)
    }

    /// Says that it is awake.
    fn end(&mut self) {
        get_up(self.both.ours.word(self.sleeps));
        self.is_gone |= self.line.drain() == Woken::Gone;
    }

    /// Wakes the half of the other side that waits for the count which was just published, if it sleeps.
    #[inline(always)]
    fn wake(&self, woken: &mut u32) {
        let its_half = if self.on == HEAD { WRITER_SLEEPS } else { READER_SLEEPS };
        if must_wake(self.both.theirs.word(its_half), woken) {
            if its_half == READER_SLEEPS {
                self.both.roused.store(*woken, Ordering::Relaxed);
            }
            self.line.wake();
        }
    }

    /// Says that this half does no more.
    fn close(&self, woken: &mut u32) {
        let no_more = if self.on == HEAD { READS_NO_MORE } else { WRITES_NO_MORE };
        self.both.ours.word(CLOSED).fetch_or(no_more, Ordering::Release);
        self.wake(woken);
    }

    fn is_of_this_process(&self) -> bool {
        self.both.maker.is_this()
    }
}

/// The time that is left of a wait; its error where there is none. The other side may have news again and again, none of
/// which is enough.
fn time_left(until: WaitLimit) -> io::Result<Duration> {
    let left = match until {
        WaitLimit::Done => Duration::MAX,
        WaitLimit::Now => Duration::ZERO,
        WaitLimit::Deadline(end) => end.saturating_duration_since(Instant::now()),
    };
    if left.is_zero() { Err(out_of_time(until)) } else { Ok(left) }
}

/// Whether the other side was on this processor when it last waited: then it cannot run while this one spins.
fn shares_the_processor(both: &Both, last: &mut u32) -> bool {
    let Some(here) = processor() else { return false };
    let here = here.wrapping_add(1);
    if here != *last {
        *last = here;
        both.ours.word(PROCESSOR).store(here, Ordering::Relaxed);
    }
    both.theirs.word(PROCESSOR).load(Ordering::Relaxed) == here
}

/// The half that is read from.
#[derive(Debug)]
pub(in crate::sys::unix) struct RingReader {
    parker: Parker,
    /// How much the writer had put in when it was last looked at, and how much was taken.
    head: u32,
    tail: u32,
    /// How much the writer knows to be taken.
    told: u32,
    /// The last sleep of the writer that it was woken from.
    woken: u32,
    /// Where the next byte lies.
    part: Part,
    /// Whether the writer may go on in another part.
    grows: bool,
    /// Whether it has, and what comes before that was not all taken: what is there ends with it for now.
    is_split: bool,
}

impl RingReader {
    /// How long it would look again and again now.
    #[cfg(test)]
    pub(super) fn time_to_spin(&mut self) -> Duration {
        self.parker.time_to_spin()
    }

    /// Whether it looks again and again at all, the way things have gone.
    #[cfg(test)]
    pub(super) fn tries(&mut self) -> bool {
        let mut tried = false;
        self.parker.spinner.spin(Duration::from_nanos(1), SPIN, 1, || {
            tried = true;
            false
        });
        tried
    }

    /// From now on there is no memory for the large part of the other side.
    #[cfg(test)]
    pub(super) fn without_large(&self) {
        self.parker.both.theirs.without_large();
    }

    #[cfg(test)]
    pub(super) fn begin_at(&mut self, position: u32) {
        (self.head, self.tail, self.told) = (position, position, position);
        publish(self.parker.both.ours.word(TAIL), position);
    }

    /// Reads what is there; 0 at the end.
    #[inline]
    pub(in crate::sys::unix) fn read(
        &mut self,
        buf: &mut [u8],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        ensure_not_cancelled(wait)?;
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let here = self.available()?;
            if here > 0 {
                let n = here.min(buf.len());
                let to = buf.get_mut(..n).unwrap_or_default();
                self.parker.both.theirs.copy_out(self.part, self.tail, to);
                self.take(n);
                return Ok(n);
            }
            if self.has_ended()? {
                return Ok(0);
            }
            self.tell();
            self.parker.wait(self.head, wait)?;
        }
    }

    /// How many bytes are there.
    #[inline(always)]
    pub(in crate::sys::unix) fn available(&mut self) -> io::Result<usize> {
        if self.head == self.tail { self.look() } else { Ok(self.seen()) }
    }

    /// How many bytes were there when it was last looked.
    #[inline(always)]
    fn seen(&self) -> usize {
        usize::try_from(self.head.wrapping_sub(self.tail)).unwrap_or(usize::MAX)
    }

    /// Looks how many bytes are there: no fewer than before, and no more than the ring has.
    #[inline(always)]
    fn look(&mut self) -> io::Result<usize> {
        let mut head = acquire(self.parker.both.theirs.word(HEAD));
        if self.grows {
            head = self.before_switch(head)?;
        }
        let here = usize::try_from(head.wrapping_sub(self.tail)).unwrap_or(usize::MAX);
        if here < self.seen() || here > self.size() {
            return Err(Obstacle::BrokenMemory.into());
        }
        self.head = head;
        Ok(here)
    }

    /// Follows the writer to the large part, once all before it is taken. What was put in there is not seen before.
    #[inline(always)]
    fn before_switch(&mut self, head: u32) -> io::Result<u32> {
        let theirs = &self.parker.both.theirs;
        match switched(theirs.word(GROWN), theirs.word(SWITCH)) {
            Some(switch) => self.follow(head, switch),
            None => Ok(head),
        }
    }

    #[cold]
    fn follow(&mut self, head: u32, switch: u32) -> io::Result<u32> {
        let before = usize::try_from(switch.wrapping_sub(self.tail)).unwrap_or(usize::MAX);
        if before > self.size() {
            return Err(Obstacle::BrokenMemory.into());
        }
        let here = usize::try_from(head.wrapping_sub(self.tail)).unwrap_or(usize::MAX);
        if before == 0 {
            self.part = self.parker.both.theirs.grow()?;
            (self.grows, self.is_split) = (false, false);
            return Ok(head);
        }
        self.is_split = here > before;
        Ok(if self.is_split { switch } else { head })
    }

    /// Waits until a whole message is there, and tells how many bytes it has with its header; 0 where it must be read: it is
    /// no plain message, the ring cannot have all of it in one piece, or the rest of it will not come.
    pub(in crate::sys::unix) fn frame(
        &mut self,
        measure: &Measure<'_>,
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        ensure_not_cancelled(wait)?;
        loop {
            let here = self.look()?;
            let mut header = FrameHeader::default();
            if here >= header.len() {
                self.parker.both.theirs.copy_out(self.part, self.tail, &mut header);
                match measure(header).filter(|frame| *frame <= self.size()) {
                    None => return Ok(0),
                    Some(frame) if frame <= here => return Ok(frame),
                    // It may come by a byte at a time.
                    Some(_) => ensure_not_cancelled(wait)?,
                }
            }
            if self.is_split {
                return Ok(0);
            }
            if self.parker.is_gone || self.parker.is_closed() {
                // What was put in before the end is there now.
                fence(Ordering::Acquire);
                if self.look()? == here {
                    return Ok(0);
                }
                continue;
            }
            self.tell();
            self.parker.wait(self.head, wait)?;
        }
    }

    /// Takes a message that is there, whose place the writer gets back when the view is dropped, or at the next read.
    pub(in crate::sys::unix) fn view(&mut self, frame: usize) -> RingView<'_> {
        let payload = frame.min(self.seen()).saturating_sub(size_of::<FrameHeader>());
        let header = u32::try_from(size_of::<FrameHeader>()).unwrap_or(0);
        let first = self.tail.wrapping_add(header);
        self.tail = first.wrapping_add(u32::try_from(payload).unwrap_or(0));
        RingView { reader: self, first, len: payload }
    }

    /// Whether nothing is there, and nothing will come.
    fn has_ended(&mut self) -> io::Result<bool> {
        let ended = self.parker.is_gone || self.parker.is_closed();
        // What was put in before the end is there now.
        fence(Ordering::Acquire);
        Ok(ended && self.available()? == 0)
    }

    #[inline(always)]
    fn take(&mut self, bytes: usize) {
        self.tail = self.tail.wrapping_add(u32::try_from(bytes).unwrap_or(0));
        let untold = usize::try_from(self.tail.wrapping_sub(self.told)).unwrap_or(0);
        if self.tail == self.head || untold >= self.size() / 8 {
            self.tell();
        }
    }

    /// Tells the writer how much was taken.
    #[inline(always)]
    fn tell(&mut self) {
        if self.told != self.tail {
            self.told = self.tail;
            publish(self.parker.both.ours.word(TAIL), self.tail);
            self.parker.wake(&mut self.woken);
        }
    }

    /// Looks again for a moment, if that pays, before a task sleeps; returns whether there is something.
    #[cfg(feature = "tokio")]
    pub(in crate::sys::unix) fn look_again(&mut self) -> bool {
        self.tell();
        self.parker.look_again(self.head)
    }

    /// Says that a task sleeps until the line is readable; returns whether there is something already.
    pub(in crate::sys::unix) fn prepare_wait(&mut self) -> bool {
        self.tell();
        self.parker.prepare(self.head)
    }

    /// After the line was readable, or there was something.
    pub(in crate::sys::unix) fn end_wait(&mut self) {
        self.parker.end();
    }

    /// The bytes that are there and were not read.
    pub(in crate::sys::unix) fn unread(&self) -> usize {
        let head = acquire(self.parker.both.theirs.word(HEAD));
        let here = usize::try_from(head.wrapping_sub(self.tail)).unwrap_or(usize::MAX);
        // While it grows, there may be more than the first part has.
        let most = if self.grows { GROWN_SIZE } else { self.size() };
        here.min(most)
    }

    #[inline(always)]
    pub(in crate::sys::unix) fn size(&self) -> usize {
        self.part.size()
    }
}

/// A message in the ring, whose place the writer does not have yet.
#[derive(Debug)]
pub(crate) struct RingView<'a> {
    reader: &'a mut RingReader,
    /// The position of its first byte.
    first: u32,
    /// So many bytes from there on are before the tail of the reader, and not told yet.
    len: usize,
}

impl RingView<'_> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes out, from one of them on, at most as many as there are; returns how many.
    pub(crate) fn copy_out(&self, from: usize, to: &mut [u8]) -> usize {
        let n = self.len.saturating_sub(from).min(to.len());
        let first = self.first.wrapping_add(u32::try_from(from).unwrap_or(0));
        let to = to.get_mut(..n).unwrap_or_default();
        self.reader.parker.both.theirs.copy_out(self.reader.part, first, to);
        n
    }

    /// Whether the writer sleeps until there is room.
    #[cfg(test)]
    pub(super) fn is_waited_for(&self) -> bool {
        self.reader.parker.both.theirs.word(WRITER_SLEEPS).load(Ordering::Relaxed) & 1 != 0
    }

    /// The bytes themselves.
    ///
    /// # Safety
    ///
    /// The other side must not write to them meanwhile.
    pub(crate) unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: the caller promises it.
        unsafe { self.reader.parker.both.theirs.bytes(self.reader.part, self.first, self.len) }
    }
}

impl Drop for RingView<'_> {
    fn drop(&mut self) {
        // A forked child takes nothing from its parent.
        if self.reader.parker.is_of_this_process() {
            self.reader.take(0);
        }
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        if self.parker.is_of_this_process() {
            self.parker.close(&mut self.woken);
        }
    }
}

impl RingReader {
    pub(super) fn line(&self) -> &OwnedFd {
        self.parker.line.fd()
    }
}

impl AsFd for RingReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.parker.line.as_fd()
    }
}

/// The half that is written to.
#[derive(Debug)]
pub(in crate::sys::unix) struct RingWriter {
    parker: Parker,
    /// How much was put in, and how much of it the reader had taken when it was last looked at.
    head: u32,
    tail: u32,
    /// How many bytes from the head on are lent.
    lent: usize,
    /// The last sleep of the reader that it was woken from.
    woken: u32,
    /// Where the next byte goes.
    part: Part,
    /// Whether it may be another part, once that is worth its memory.
    grows: bool,
}

impl RingWriter {
    /// From now on there is no memory for the large part of this side.
    #[cfg(test)]
    pub(super) fn without_large(&self) {
        self.parker.both.ours.without_large();
    }

    #[cfg(test)]
    pub(super) fn begin_at(&mut self, position: u32) {
        (self.head, self.tail) = (position, position);
        publish(self.parker.both.ours.word(HEAD), position);
    }

    /// Writes as much as there is room for, and waits for some.
    #[inline]
    pub(in crate::sys::unix) fn write(
        &mut self,
        bufs: &[IoSlice<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        self.lent = 0;
        let all: usize = bufs.iter().map(|buf| buf.len()).sum();
        self.grow_for(all);
        // What the ring holds is put in as one, unless that means to let the reader wait; what is larger, in large pieces.
        self.wait_for_room(all.min(self.size() / 4).min(PIECE), wait)?;
        Ok(self.write_all_here(bufs, all))
    }

    /// Goes on in the large part from the first large message on: one that fills more than half of the ring leaves no room for
    /// the next, and the two sides would take turns.
    #[inline(always)]
    fn grow_for(&mut self, bytes: usize) {
        if self.grows && bytes > self.size() / 2 {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        self.grows = false;
        let ours = &self.parker.both.ours;
        // Where there is no memory for it, the ring stays as it is.
        if let Ok(part) = ours.grow() {
            publish_switch(ours.word(GROWN), ours.word(SWITCH), self.head);
            self.part = part;
        }
    }

    /// Writes as much as there is known to be room for, which may be a part of a small message.
    pub(in crate::sys::unix) fn write_here(&mut self, bufs: &[IoSlice<'_>]) -> usize {
        self.lent = 0;
        self.write_all_here(bufs, bufs.iter().map(|buf| buf.len()).sum())
    }

    #[inline(always)]
    fn write_all_here(&mut self, bufs: &[IoSlice<'_>], all: usize) -> usize {
        let mut written = 0;
        for buf in bufs {
            for piece in buf.chunks(PIECE) {
                let n = piece.len().min(self.room());
                let (piece, _) = piece.split_at(n);
                // SAFETY: this is the one writer of the ring, and what it has lent is borrowed from it; the halves of a
                // connection are made once, and neither is cloned.
                let to = unsafe { self.parker.both.ours.bytes_mut(self.part, self.head, n) };
                to.copy_from_slice(piece);
                self.put(n, written + n == all);
                written += n;
                if self.room() == 0 {
                    self.put(0, true);
                    return written;
                }
            }
        }
        written
    }

    /// Waits until there is room for so many bytes. Without a reader there never is.
    #[inline(always)]
    pub(in crate::sys::unix) fn wait_for_room(
        &mut self,
        bytes: usize,
        wait: Wait<'_>,
    ) -> io::Result<()> {
        loop {
            ensure_not_cancelled(wait)?;
            if self.parker.is_gone || self.parker.is_closed() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if self.room() >= bytes {
                return Ok(());
            }
            self.look()?;
            if self.room() >= bytes {
                return Ok(());
            }
            self.parker.wait(self.tail, wait)?;
        }
    }

    #[inline(always)]
    fn room(&self) -> usize {
        self.size() - self.untaken()
    }

    /// The bytes that the reader has not taken, as far as is known.
    #[inline(always)]
    fn untaken(&self) -> usize {
        usize::try_from(self.head.wrapping_sub(self.tail)).unwrap_or(0)
    }

    /// Looks how much the reader has taken: it lies between what it had taken before and what was put in.
    pub(in crate::sys::unix) fn look(&mut self) -> io::Result<()> {
        let tail = acquire(self.parker.both.theirs.word(TAIL));
        if self.head.wrapping_sub(tail) > self.head.wrapping_sub(self.tail) {
            return Err(Obstacle::BrokenMemory.into());
        }
        self.tail = tail;
        Ok(())
    }

    /// Puts in what lies at the head, and says so.
    #[inline(always)]
    fn put(&mut self, bytes: usize, wakes: bool) {
        self.head = self.head.wrapping_add(u32::try_from(bytes).unwrap_or(0));
        publish(self.parker.both.ours.word(HEAD), self.head);
        if wakes || bytes >= PIECE {
            self.parker.wake(&mut self.woken);
        }
    }

    /// Lends room in the ring, if it can have so much, once there is so much.
    pub(in crate::sys::unix) fn lend(&mut self, before: usize, len: usize, wait: Wait<'_>) -> bool {
        self.lent = 0;
        let all = before.saturating_add(len);
        self.grow_for(all);
        if all > self.size() || self.wait_for_room(all, wait).is_err() {
            return false;
        }
        self.lent = all;
        true
    }

    pub(in crate::sys::unix) fn lent(&self) -> &[u8] {
        // SAFETY: this is the one writer of the ring, and is borrowed for as long as the bytes.
        unsafe { self.parker.both.ours.bytes(self.part, self.head, self.lent) }
    }

    pub(in crate::sys::unix) fn lent_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `lent`, and it is borrowed for these bytes alone.
        unsafe { self.parker.both.ours.bytes_mut(self.part, self.head, self.lent) }
    }

    /// Puts in what was lent.
    pub(in crate::sys::unix) fn give(&mut self, wait: Wait<'_>) -> io::Result<usize> {
        ensure_not_cancelled(wait)?;
        if self.parker.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let bytes = std::mem::take(&mut self.lent);
        self.put(bytes, true);
        Ok(bytes)
    }

    /// Waits until the reader has taken all.
    pub(in crate::sys::unix) fn wait_until_taken(&self, wait: Wait<'_>) -> io::Result<bool> {
        let theirs = &self.parker.both.theirs;
        loop {
            ensure_not_cancelled(wait)?;
            let was_gone = self.parker.is_closed() || self.parker.is_gone;
            let tail = acquire(theirs.word(TAIL));
            if tail == self.head {
                return Ok(true);
            }
            if was_gone {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if matches!(wait.until, WaitLimit::Now) {
                return Err(Obstacle::NotTaken.into());
            }
            time_left(wait.until)?;
            if self.parker.sleep(tail, wait)? == Woken::Gone {
                let all = acquire(theirs.word(TAIL)) == self.head;
                return if all { Ok(true) } else { Err(io::ErrorKind::BrokenPipe.into()) };
            }
        }
    }

    /// The bytes that the reader has not taken.
    pub(in crate::sys::unix) fn unsent(&self) -> usize {
        let tail = acquire(self.parker.both.theirs.word(TAIL));
        let untaken = usize::try_from(self.head.wrapping_sub(tail)).unwrap_or(usize::MAX);
        untaken.min(self.size())
    }

    /// The other side reads the end, once it has read what was put in.
    pub(in crate::sys::unix) fn finish(&mut self) {
        self.parker.close(&mut self.woken);
    }

    /// Looks again for a moment, if that pays, before a task sleeps; returns whether there is more room.
    #[cfg(feature = "tokio")]
    pub(in crate::sys::unix) fn look_again(&mut self) -> bool {
        self.parker.look_again(self.tail)
    }

    /// Says that a task sleeps until the line is readable; returns whether there is room already.
    #[allow(clippy::needless_pass_by_ref_mut, reason = "who waits has the half alone")]
    pub(in crate::sys::unix) fn prepare_wait(&mut self) -> bool {
        self.parker.prepare(self.tail)
    }

    /// After the line was readable, or there was room.
    pub(in crate::sys::unix) fn end_wait(&mut self) {
        self.parker.end();
    }

    #[inline(always)]
    pub(in crate::sys::unix) fn size(&self) -> usize {
        self.part.size()
    }
}

impl Drop for RingWriter {
    fn drop(&mut self) {
        if self.parker.is_of_this_process() {
            self.parker.close(&mut self.woken);
        }
    }
}

impl RingWriter {
    pub(super) fn line(&self) -> &OwnedFd {
        self.parker.line.fd()
    }
}

impl AsFd for RingWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.parker.line.as_fd()
    }
}
