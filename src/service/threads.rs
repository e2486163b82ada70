//! The driver of threads: one of those that wait reads for all, and each is woken alone. [`lead`](super::lead) says which.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::failure::{Failure, Lost};
use super::framed::Incoming;
use super::lead::{self, Leading, Led, Rung, Shared, Turns, hand_on, heard};
use super::link::{Link, Reader, Request, State, Writer, lost_at_end, lost_by, lost_reading};
use super::mux::{Frame, Id};
use super::waiting::{Outcome, READ_SIZE, Waiter, Wakes, no_task, read_buffer, rest};
use crate::error::Obstacle;
use crate::state::{Blocking, complete};
use crate::sys::{WaitLimit, start_thread};
use crate::wait::{left, sooner, within};

/// How long a thread waits for room before it looks whether another one still reads.
const LOOK_AT_READERS: Duration = Duration::from_millis(20);

/// The most that is taken in before it is handed on, while there is no room to write.
const TAKE_IN: usize = 1 << 20;

/// So much is read at once by a thread that waits. Where as much comes, more is read at once.
const NARROW: usize = 1 << 10;

/// After so many writes another thread that waits goes on writing.
const ROUNDS: usize = 8;

impl Link<Blocking> {
    /// Sends a request, and waits for its answer.
    pub(crate) fn call(&self, request: &mut Request, until: WaitLimit) -> Outcome {
        let waiter = self.waiter(request.name.as_deref());
        let begun = self.begin(&waiter, request, until, false).map_err(|why| waiter.failed(why))?;
        let (id, state) = begun;
        let outcome = self.answer_of(id, state, &waiter, until);
        waiter.came_to(Some(id), &outcome);
        outcome
    }

    /// Sends a notification, and waits until it is written.
    pub(crate) fn notify(&self, request: Request, until: WaitLimit) -> Outcome {
        let waiter = self.waiter(request.name.as_deref());
        let Request { method, body, .. } = request;
        let mut state = self.lock();
        if let Err(failure) = self.ensure_open(&state) {
            drop(state);
            return Err(waiter.failed(failure));
        }
        state.outbox.push_and_tell(Frame::Notify { method, body }, &waiter);
        self.flush(state, until, None);
        while self.wait(&waiter, until) {
            let outcome = waiter.inbox().outcome.take();
            if let Some(outcome) = outcome {
                waiter.came_to(None, &outcome);
                return outcome;
            }
        }
        Err(waiter.failed(Failure::TimedOut(true)))
    }

    /// Begins a call. It is sent at once, or `later`: with the next wait.
    pub(super) fn start(
        &self,
        waiter: &Arc<Waiter>,
        request: &mut Request,
        until: WaitLimit,
        later: bool,
    ) -> Result<Id, Failure> {
        self.begin(waiter, request, until, later).map(|(id, _)| id)
    }

    /// The same, with the lock where the request is left to others: the wait can go on under it.
    fn begin(
        &self,
        waiter: &Arc<Waiter>,
        request: &mut Request,
        until: WaitLimit,
        later: bool,
    ) -> Result<(Id, Option<MutexGuard<'_, State>>), Failure> {
        loop {
            let mut state = self.lock();
            self.ensure_open(&state)?;
            if let Some(id) = state.enter(waiter, request) {
                // Alone, it is not worth waiting for others.
                let later = later && state.mux.in_flight().0 > 1;
                let now = !later && self.rung.is_empty();
                if now || state.outbox.is_much() {
                    self.flush(state, until, None);
                    return Ok((id, None));
                }
                return Ok((id, Some(state)));
            }
            state.placeless.push_back(Arc::clone(waiter));
            drop(state);
            if !self.wait(waiter, until) {
                self.leave_queue(waiter);
                return Err(Failure::TimedOut(false));
            }
        }
    }

    /// Leaves the queue for a place, and lets the next one have it that was told of one too late.
    fn leave_queue(&self, waiter: &Arc<Waiter>) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        let before = state.placeless.len();
        state.placeless.retain(|other| !Arc::ptr_eq(other, waiter));
        if state.placeless.len() == before {
            self.free_place(&mut state, &mut wakes);
        }
        drop(state);
        wakes.wake();
        heard(self, waiter, WaitLimit::Now);
        waiter.give_up(None);
    }

    /// Waits for the answer of a call, from under the lock on if it is still held.
    fn answer_of(
        &self,
        id: Id,
        state: Option<MutexGuard<'_, State>>,
        waiter: &Arc<Waiter>,
        until: WaitLimit,
    ) -> Outcome {
        let mut news = match state {
            Some(state) => lead::wait_from(self, state, waiter, until),
            None => self.wait(waiter, until),
        };
        while news {
            if let Some(outcome) = waiter.inbox().outcome.take() {
                return outcome;
            }
            news = self.wait(waiter, until);
        }
        let sent = self.give_up(id, waiter);
        // It may have come this very moment.
        let outcome = waiter.inbox().outcome.take();
        outcome.unwrap_or(Err(Failure::TimedOut(sent)))
    }

    /// Leaves a call. Returns whether a part of its request was sent.
    pub(super) fn give_up(&self, id: Id, waiter: &Arc<Waiter>) -> bool {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        let sent = state.give_up(id);
        if !sent {
            self.free_place(&mut state, &mut wakes);
        }
        self.flush(state, WaitLimit::Now, None);
        wakes.wake();
        // After it has left its place: nothing is told to it from here on.
        heard(self, waiter, WaitLimit::Now);
        waiter.give_up(Some(id));
        if sent {
            self.take_in();
        }
        sent
    }

    /// Reads what is here, unless a thread reads. A producer may wait for room that nobody would make otherwise.
    fn take_in(&self) {
        let mut state = self.lock();
        if self.serves || state.lost.is_some() || !state.turns.take() {
            return;
        }
        drop(state);
        let leading = Leading(self);
        let reader = self.try_lock_reader();
        let read = reader.map_or(Ok(()), |mut reader| self.read_arrived(&mut reader));
        leading.ends_well();
        match read {
            Ok(()) => hand_on(self, self.lock()),
            Err(lost) => self.disconnect(lost),
        }
    }

    /// Waits for news, and reads for all if no thread does. `false` where the time is over.
    pub(super) fn wait(&self, waiter: &Arc<Waiter>, until: WaitLimit) -> bool {
        lead::wait(self, waiter, until)
    }

    /// Ends the connection for all. What is being written ends first: whether a request was sent is known then.
    pub(super) fn disconnect(&self, lost: Lost) {
        let mut state = self.lock();
        self.shut(&mut state);
        state.lost.get_or_insert(lost);
        drop(state);
        self.lose(lost, &mut self.lock_writer());
        self.lock().turns.leading = false;
    }

    /// One read, and all that is whole after it. `false` where there was no time.
    pub(super) fn read(
        &self,
        reader: &mut Reader<Blocking>,
        until: WaitLimit,
    ) -> Result<bool, Lost> {
        let Reader { half, incoming, wide, .. } = reader;
        let incoming = incoming.as_mut();
        let mut read = |incoming: &mut dyn Incoming, buf: &mut [u8], until| {
            let Poll::Ready(read) = half.poll_read_until(&mut no_task(), buf, until) else {
                return Ok(None);
            };
            match read {
                Ok(0) => Err(lost_at_end(incoming)),
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if is_late(&error) => Ok(None),
                Err(error) => Err(lost_reading(error, incoming)),
            }
        };
        let mut bytes = None;
        if *wide {
            bytes = read_buffer(|buf| {
                let bytes = read(incoming, buf, WaitLimit::Now)?;
                bytes.iter().for_each(|bytes| incoming.borrow(buf, *bytes));
                Ok(bytes)
            })?;
        }
        // A thread that waits keeps little memory: a service has one for each client.
        if bytes.is_none() {
            let mut buf = [0; NARROW];
            bytes = read(incoming, &mut buf, until)?;
            bytes.iter().for_each(|bytes| incoming.feed(buf.get(..*bytes).unwrap_or_default()));
        }
        *wide = bytes.is_some_and(|bytes| bytes >= NARROW);
        if bytes.is_none() {
            return Ok(false);
        }
        self.dispatch(reader)?;
        rest(reader.incoming.as_mut());
        Ok(true)
    }

    /// Reads what has arrived. Not for ever: the other side may send without end.
    fn read_arrived(&self, reader: &mut Reader<Blocking>) -> Result<(), Lost> {
        for _ in 0..2 * TAKE_IN / READ_SIZE {
            if !self.read(reader, WaitLimit::Now)? {
                break;
            }
        }
        Ok(())
    }

    /// Waits a moment where too much has come that cannot begin yet. Returns whether that was so.
    pub(super) fn wait_while_full(&self) -> bool {
        let mut state = self.lock();
        let full = state.is_full();
        if full {
            state.serving.full = true;
            let waited = self.goes_on.wait_timeout(state, LOOK_AT_READERS);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.serving.full = false;
        }
        full
    }

    /// Writes what is queued, unless a thread does: that one writes this as well.
    pub(super) fn flush(
        &self,
        mut state: MutexGuard<'_, State>,
        until: WaitLimit,
        reader: Option<&mut Reader<Blocking>>,
    ) {
        if state.writing || !state.has_output() || state.lost.is_some() {
            return;
        }
        state.writing = true;
        drop(state);
        let comes_back = reader.is_some();
        if self.write_in_turn(until, reader) {
            let mut state = self.lock();
            state.writing = false;
            if !state.turns.let_another_write() && !comes_back {
                self.leave_the_rest(state);
            }
        }
    }

    /// The bytes that were begun are to be written to their end, and what others have queued behind them: the other side
    /// waits for that, and here nothing may wait any more that would write it.
    fn leave_the_rest(&self, mut state: MutexGuard<'_, State>) {
        let link = Weak::clone(&self.myself);
        state.writing = true;
        drop(state);
        // It keeps no connection for long that the program has dropped.
        let write = move || {
            let goes_on = |link: Arc<Self>| link.write_in_turn(within(LOOK_AT_READERS), None);
            while link.upgrade().is_some_and(goes_on) {}
        };
        if start_thread("typed-pipe writer", write).is_err() {
            self.lock().writing = false;
        }
    }

    /// Writes what is queued. Where the time is over, it returns `true`: then it is still the turn of this thread.
    fn write_in_turn(&self, until: WaitLimit, reader: Option<&mut Reader<Blocking>>) -> bool {
        // Code of the user's, such as its framing, may panic: then no other thread would write any more.
        let writing = Leading(self);
        let is_late = self.write_all(until, reader);
        writing.ends_well();
        is_late
    }

    fn write_all(&self, until: WaitLimit, mut reader: Option<&mut Reader<Blocking>>) -> bool {
        let mut writer = self.lock_writer();
        let mut rounds = 0;
        let mut limit = self.batch_limit(&writer, until);
        loop {
            if writer.outgoing.pending().is_empty() {
                rounds += 1;
                let mut state = self.lock();
                state.spare_room_of(&mut writer.sent);
                let empty = state.outbox.is_empty() || state.lost.is_some();
                if empty || (rounds > ROUNDS && state.turns.let_another_write()) {
                    (state.writing, state.unwritten) = (false, false);
                    return false;
                }
                drop(state);
                self.stage(&mut writer);
                limit = self.batch_limit(&writer, until);
                continue;
            }
            // Its handlers are told by who reads; while that thread writes, by it.
            self.left_for_callers();
            let mut now = limit;
            if self.has_consumer(&writer) {
                // It may take its time; without it, the time begins.
                writer.since = Instant::now();
                (now, limit) = (until, self.batch_limit(&writer, until));
            }
            match self.write(&mut writer, now, reader.as_deref_mut()) {
                Ok(()) if matches!(until, WaitLimit::Done) && self.lock().is_full() => {
                    // What makes room here must begin first, and may be up to this very thread.
                    let mut state = self.lock();
                    (state.writing, state.unwritten) = (false, true);
                    return false;
                }
                Ok(()) => {}
                Err(error)
                    if is_late(&error)
                        && left(until) > Duration::ZERO
                        && self.is_waited_for(&writer) =>
                {
                    writer.since = Instant::now();
                    limit = self.batch_limit(&writer, until);
                }
                Err(error) if is_late(&error) && left(until) > Duration::ZERO => {
                    // The other side takes nothing for too long.
                    let mut state = self.lock();
                    (state.writing, state.unwritten) = (false, false);
                    drop(state);
                    self.cannot_write(&mut writer, Lost::Disconnected);
                    self.lose(Lost::Disconnected, &mut writer);
                    return false;
                }
                Err(error) if is_late(&error) => {
                    self.lock().unwritten = true;
                    return true;
                }
                Err(error) => {
                    let mut state = self.lock();
                    (state.writing, state.unwritten) = (false, false);
                    drop(state);
                    match lost_by(error) {
                        Lost::Cancelled => self.lose(Lost::Cancelled, &mut writer),
                        lost => self.cannot_write(&mut writer, lost),
                    }
                    return false;
                }
            }
        }
    }

    /// The deadline of one batch of bytes.
    fn batch_limit(&self, writer: &Writer<Blocking>, until: WaitLimit) -> WaitLimit {
        match (self.stall_timeout, until) {
            (_, WaitLimit::Now) | (None, _) => until,
            (Some(stall_timeout), until) => {
                sooner(until, stall_timeout.saturating_sub(writer.since.elapsed()))
            }
        }
    }

    /// One write. While there is no room, something must read: another thread, or this one.
    fn write(
        &self,
        writer: &mut Writer<Blocking>,
        until: WaitLimit,
        reader: Option<&mut Reader<Blocking>>,
    ) -> io::Result<()> {
        match self
            .write_by(writer, |half, cx, bytes| half.poll_write_until(cx, bytes, WaitLimit::Now))
        {
            Err(error) if is_late(&error) => {}
            written => return written,
        }
        if left(until).is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let soon = sooner(until, LOOK_AT_READERS);
        let written = match reader {
            Some(reader) => self.write_and_read(writer, reader, soon),
            None => {
                let mut state = self.lock();
                if state.lost.is_some() {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                // Nothing further is taken in then, nor while another one reads.
                let leads = !state.is_full() && state.turns.take();
                drop(state);
                // A thread that is about to read has it already.
                let reader = if leads { self.try_lock_reader() } else { None };
                let written = match reader {
                    Some(mut reader) => self.write_and_read(writer, &mut reader, soon),
                    None => self
                        .write_by(writer, |half, cx, bytes| half.poll_write_until(cx, bytes, soon)),
                };
                if leads {
                    hand_on(self, self.lock());
                }
                written
            }
        };
        match written {
            Err(error) if is_late(&error) && !left(until).is_zero() => Ok(()),
            written => written,
        }
    }

    /// Writes, and hands on what comes in meanwhile.
    fn write_and_read(
        &self,
        writer: &mut Writer<Blocking>,
        reader: &mut Reader<Blocking>,
        until: WaitLimit,
    ) -> io::Result<()> {
        let half = &mut reader.half;
        let written = self.write_by(writer, |writing, cx, bytes| {
            writing.poll_write_or_take_in(half, TAKE_IN, cx, bytes, until)
        });
        let cancelled = |error: &io::Error| self.serves && is_cancelled(error);
        match self.read_arrived(reader) {
            Ok(()) if !written.as_ref().is_err_and(cancelled) => {}
            // The service is to end: nothing more is taken, and what was taken is still answered.
            Ok(()) | Err(Lost::Cancelled) if self.serves => {
                self.close_reading(reader);
                return Ok(());
            }
            Ok(()) => {}
            Err(lost) => {
                self.lose(lost, writer);
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        written.or_else(|error| if is_deadlock(&error) { Ok(()) } else { Err(error) })
    }

    /// The service is to end: requests that have not begun are not taken, and the reading goes on for those that have.
    pub(super) fn close_reading(&self, reader: &mut Reader<Blocking>) {
        let mut state = self.lock();
        state.jobs.clear();
        state.serving.ending = true;
        drop(state);
        reader.half.forget_token();
    }

    /// Writes all that is staged.
    pub(super) fn write_out(
        &self,
        writer: &mut Writer<Blocking>,
        until: WaitLimit,
    ) -> io::Result<()> {
        while !writer.outgoing.pending().is_empty() {
            self.write_by(writer, |half, cx, bytes| half.poll_write_until(cx, bytes, until))?;
        }
        complete(writer.half.finish_in_place(until)).map_err(io::Error::from)
    }

    fn write_by(
        &self,
        writer: &mut Writer<Blocking>,
        write: impl FnOnce(
            &mut crate::connection::WriteHalf,
            &mut Context<'_>,
            &[u8],
        ) -> Poll<io::Result<usize>>,
    ) -> io::Result<()> {
        let Writer { half, outgoing, .. } = writer;
        match write(half, &mut no_task(), outgoing.pending()) {
            Poll::Ready(Ok(bytes)) => {
                self.written(writer, bytes);
                Ok(())
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Led for Link<Blocking> {
    type State = State;
    type Guard<'a> = MutexGuard<'a, State>;
    type Reader<'a> = MutexGuard<'a, Reader<Blocking>>;
    type Lost = Lost;
    type Until = WaitLimit;

    fn lock(&self) -> MutexGuard<'_, State> {
        Self::lock(self)
    }

    fn rung(&self) -> &Rung {
        &self.rung
    }

    fn has_reader(&self) -> bool {
        self.serves
    }

    fn lock_reader(&self) -> MutexGuard<'_, Reader<Blocking>> {
        Self::lock_reader(self)
    }

    fn read(
        &self,
        reader: &mut MutexGuard<'_, Reader<Blocking>>,
        until: WaitLimit,
    ) -> Result<bool, Lost> {
        Self::read(self, reader, until)
    }

    fn write_queued(
        &self,
        state: MutexGuard<'_, State>,
        until: WaitLimit,
        reader: Option<&mut MutexGuard<'_, Reader<Blocking>>>,
    ) {
        self.flush(state, until, reader.map(|reader| &mut **reader));
    }

    fn end(&self, lost: Lost) {
        self.disconnect(lost);
    }

    fn end_by_panic(&self) {
        self.disconnect(Lost::Garbled);
    }

    fn is_over(until: WaitLimit) -> bool {
        left(until).is_zero()
    }

    fn now() -> WaitLimit {
        WaitLimit::Now
    }

    fn soon(until: WaitLimit) -> WaitLimit {
        sooner(until, LOOK_AT_READERS)
    }
}

impl Shared for State {
    type Waiter = Arc<Waiter>;

    fn turns(&mut self) -> &mut Turns<Arc<Waiter>> {
        &mut self.turns
    }

    fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    fn is_writing(&self) -> bool {
        self.writing
    }

    fn has_output(&self) -> bool {
        Self::has_output(self)
    }
}

/// Whether there is no room to write, and none to take in what comes meanwhile.
fn is_deadlock(error: &io::Error) -> bool {
    let obstacle = error.get_ref().and_then(|inner| inner.downcast_ref::<Obstacle>());
    matches!(obstacle, Some(Obstacle::Deadlock))
}

/// Whether a cancel token ended it.
fn is_cancelled(error: &io::Error) -> bool {
    let obstacle = error.get_ref().and_then(|inner| inner.downcast_ref::<Obstacle>());
    matches!(obstacle, Some(Obstacle::Cancelled))
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
        || error.kind() == io::ErrorKind::Interrupted
}
