//! The driver of tasks: one task a connection reads and writes, and wakes each call alone.

use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use super::failure::{Failure, Lost};
use super::link::{
    EAGER, Job, Link, Order, Reader, Request, State, Writer, lost_at_end, lost_by, lost_reading,
};
use super::mux::{Frame, Id};
use super::waiting::{Reply, Waiter, Wakes, no_task, read_buffer, rest, store};
use crate::state::Mode;
use crate::sys::WaitLimit;

/// So often in a row a task reads and writes before others have their turn.
const ROUNDS: usize = 16;

impl<M: Mode> Link<M> {
    /// Sends a request when there is a place for it.
    pub(crate) fn poll_enter(
        &self,
        waiter: &Arc<Waiter>,
        request: &mut Request,
        cx: &Context<'_>,
    ) -> Poll<Result<Id, Failure>> {
        waiter.listen(cx.waker());
        let mut state = self.lock();
        self.ensure_open(&state)?;
        if let Some(id) = state.enter(waiter, request) {
            self.send(state);
            return Poll::Ready(Ok(id));
        }
        state.placeless.retain(|other| !Arc::ptr_eq(other, waiter));
        state.placeless.push_back(Arc::clone(waiter));
        Poll::Pending
    }

    /// Sends a notification. The waiter is told when it is written.
    pub(crate) fn send_notification(
        &self,
        method: u64,
        body: Vec<u8>,
        waiter: &Arc<Waiter>,
    ) -> Result<(), Failure> {
        let mut state = self.lock();
        self.ensure_open(&state)?;
        state.outbox.push_and_tell(Frame::Notify { method, body }, waiter);
        self.send(state);
        Ok(())
    }

    /// Leaves a call. Returns whether a part of its request was sent.
    pub(crate) fn leave(&self, id: Option<Id>, waiter: &Arc<Waiter>) -> bool {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        let sent = match id {
            Some(id) => state.give_up(id),
            None => {
                let before = state.placeless.len();
                state.placeless.retain(|other| !Arc::ptr_eq(other, waiter));
                // It may have been told of a place too late.
                state.placeless.len() == before
            }
        };
        if !sent || id.is_none() {
            self.free_place(&mut state, &mut wakes);
        }
        self.schedule(state);
        wakes.wake();
        waiter.give_up(id);
        sent && id.is_some()
    }

    /// As [`send`](Self::send), for what is no call.
    pub(crate) fn schedule_output(&self, state: MutexGuard<'_, State>) {
        if state.has_output() {
            self.schedule(state);
        }
    }

    /// Writes what was queued: alone, the caller writes itself; where others call as well, the task writes for all at once,
    /// unless so much is queued that the other side may as well begin.
    fn send(&self, state: MutexGuard<'_, State>) {
        let alone = !state.scheduled && state.calls_alone();
        if !alone && !state.outbox.is_much() {
            return self.schedule(state);
        }
        drop(state);
        // Where another one writes, it is no use to wait for it.
        let writer = if alone { Some(self.lock_writer()) } else { self.try_lock_writer() };
        let flushed = writer.is_some_and(|mut writer| {
            let flushed = self.poll_flush(&mut writer, &mut no_task(), WaitLimit::Now);
            matches!(flushed, Poll::Ready(Ok(())))
        });
        if flushed && !self.serves {
            return;
        }
        let state = self.lock();
        // Answers may have left with it, and requests have waited for that.
        if !flushed || !state.jobs.is_empty() {
            self.schedule(state);
        }
    }

    /// Wakes the task, once for all that is queued before it runs.
    pub(crate) fn schedule(&self, mut state: MutexGuard<'_, State>) {
        if mem::replace(&mut state.scheduled, true) {
            return;
        }
        let task = state.task.clone();
        drop(state);
        task.into_iter().for_each(Waker::wake);
    }

    /// The program has dropped its side: the task ends.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.scheduled = false;
        self.schedule(state);
    }

    /// Writes what is queued, as far as there is room.
    fn poll_flush(
        &self,
        writer: &mut Writer<M>,
        cx: &mut Context<'_>,
        until: WaitLimit,
    ) -> Poll<io::Result<()>> {
        loop {
            if writer.outgoing.pending().is_empty() {
                if !self.stage(writer) {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let bytes = writer.outgoing.pending();
            match ready!(writer.half.poll_write_until(cx, bytes, until)) {
                Ok(bytes) => self.written(writer, bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// One read, and all that is whole after it.
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let mut reader = self.lock_reader();
        let reader = &mut *reader;
        let Reader { half, incoming, .. } = reader;
        let incoming = incoming.as_mut();
        let read =
            read_buffer(|buf| match ready!(half.poll_read_until(cx, buf, WaitLimit::Done)) {
                Ok(0) => Poll::Ready(Err(lost_at_end(incoming))),
                Ok(bytes) => {
                    incoming.borrow(buf, bytes);
                    Poll::Ready(Ok(()))
                }
                Err(error) => Poll::Ready(Err(lost_reading(error, incoming))),
            });
        ready!(read)?;
        self.dispatch(reader)?;
        rest(reader.incoming.as_mut());
        Poll::Ready(Ok(()))
    }

    /// Ends the connection for all.
    fn end(&self, lost: Lost) {
        self.lose(lost, &mut self.lock_writer());
    }

    /// A handler has ended. Where that was in the task of the connection, it writes next, and need not be woken for that.
    pub(crate) fn reply(&self, job: &Job, reply: Reply, in_place: bool) {
        let mut state = self.lock();
        self.finish_job(&mut state, job, reply);
        if !in_place {
            self.schedule(state);
        }
    }
}

/// What handles the requests of one client of a service of tasks.
pub(crate) trait Start<M: Mode>: Send {
    /// Begins to handle a request.
    fn start(&mut self, link: &Arc<Link<M>>, job: Job, cx: &mut Context<'_>);

    /// Whether a further request may be taken.
    fn take(&mut self) -> bool;

    /// Whether none is taken any more. Where that begins, the task is woken, as one that reads.
    fn is_closing(&self) -> bool;

    /// Nothing came for too long.
    fn note_idle(&mut self);
}

/// What a service says of its clients.
pub(crate) struct Serve<M: Mode> {
    pub(crate) start: Box<dyn Start<M>>,
    pub(crate) order: Order,
    pub(crate) idle_timeout: Option<Duration>,
}

/// The task that reads and writes for a connection.
pub(crate) struct Drive<M: Mode> {
    link: Arc<Link<M>>,
    serve: Option<Serve<M>>,
    /// Since when nothing came, and nothing was to be done.
    last: Instant,
    /// Since when what is to be written waits.
    stuck: Option<Instant>,
    timer: Option<M::Timer>,
}

impl<M: Mode> Drive<M> {
    pub(crate) fn new(link: &Arc<Link<M>>) -> Self {
        Self { link: Arc::clone(link), serve: None, last: M::now(), stuck: None, timer: None }
    }

    pub(crate) fn serving(link: &Arc<Link<M>>, serve: Serve<M>) -> Self {
        let mut drive = Self::new(link);
        drive.serve = Some(serve);
        drive
    }

    /// Whether the client sent what is no frame, or did not take its answers.
    pub(crate) fn has_failed(&self) -> bool {
        self.link.has_failed()
    }

    /// Goes on as far as it can.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.note_poll(cx);
        for _ in 0..ROUNDS {
            let mut read = self.read(cx);
            let was_full = self.link.lock().is_full();
            while self.start_jobs(cx) {
                // Handlers have run here, and nothing was read meanwhile.
                self.link.lock_reader().forgive();
                self.write(cx);
            }
            self.write(cx);
            if self.has_room_again(was_full) {
                read = Poll::Ready(());
            }
            if self.is_over() {
                return Poll::Ready(());
            }
            if read.is_pending() {
                if self.say_goodbye(cx).is_ready() {
                    // Nothing reads the answers of calls of this side any more.
                    self.link.end_calls(Lost::Cancelled);
                    return Poll::Ready(());
                }
                return self.wait(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whatever is queued from here on wakes the task once more.
    fn note_poll(&self, cx: &Context<'_>) {
        let mut state = self.link.lock();
        store(&mut state.task, cx.waker());
        state.scheduled = false;
    }

    /// Whether what was not read may be read now, or what waited for answers to leave may begin: nothing else wakes the task
    /// for that.
    fn has_room_again(&self, was_full: bool) -> bool {
        let state = self.link.lock();
        let may_begin = self.serve.as_ref().is_some_and(|serve| state.may_begin(serve.order));
        may_begin || was_full && !state.is_full()
    }

    fn is_over(&self) -> bool {
        let state = self.link.lock();
        state.lost.is_some() || state.abandoned
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let state = self.link.lock();
        if state.serving.ended {
            return Poll::Pending;
        }
        let is_full = state.is_full();
        drop(state);
        let read = if is_full {
            self.link.lock_reader().forgive();
            if !self.serve.as_ref().is_some_and(|serve| serve.start.is_closing()) {
                return Poll::Pending;
            }
            Err(Lost::Cancelled)
        } else {
            ready!(self.link.poll_read(cx))
        };
        let lost = match read {
            Ok(()) => {
                let has_part = self.part_left().is_some();
                if has_part || self.link.lock().is_active() {
                    self.last = M::now();
                }
                return Poll::Ready(());
            }
            Err(lost) => lost,
        };
        match (&self.serve, lost) {
            // Nothing more is taken. What was taken is answered.
            (Some(_), Lost::Cancelled) => {
                let mut state = self.link.lock();
                state.jobs.clear();
                state.serving.ending = true;
                drop(state);
                self.link.lock_reader().half.forget_token();
            }
            // It may still take answers.
            (Some(_), Lost::Disconnected | Lost::Finished | Lost::Refused(_)) => {
                let mut state = self.link.lock();
                (state.serving.ending, state.serving.ended) = (true, true);
                drop(state);
                self.link.cancel_handlers();
                self.link.end_calls(lost);
            }
            _ => self.link.end(lost),
        }
        Poll::Ready(())
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        let mut writer = self.link.lock_writer();
        let flushed = self.link.poll_flush(&mut writer, cx, WaitLimit::Done);
        drop(writer);
        match flushed {
            Poll::Ready(written) => {
                self.stuck = None;
                match written.map_err(lost_by) {
                    Ok(()) => {}
                    Err(Lost::Cancelled) => self.link.end(Lost::Cancelled),
                    Err(lost) => self.link.cannot_write(&mut self.link.lock_writer(), lost),
                }
            }
            Poll::Pending => {
                let writer = self.link.lock_writer();
                if self.link.has_consumer(&writer) {
                    self.stuck = None;
                    return;
                }
                // Each batch has its own time: a client that takes one after the other is slow, not stuck.
                let since = self.stuck.map_or_else(M::now, |since| since.max(writer.since));
                self.stuck = Some(since);
                drop(writer);
                let too_long =
                    |stall_timeout| M::now().saturating_duration_since(since) >= stall_timeout;
                if self.link.stall_timeout.is_some_and(too_long) {
                    if self.link.is_waited_for(&self.link.lock_writer()) {
                        self.stuck = Some(M::now());
                        return;
                    }
                    self.link.cannot_write(&mut self.link.lock_writer(), Lost::Disconnected);
                    self.link.end(Lost::Disconnected);
                }
            }
        }
    }

    /// Begins some of what may begin. Returns whether that was anything.
    fn start_jobs(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(serve) = &mut self.serve else { return false };
        for begun in 0..EAGER {
            let mut state = self.link.lock();
            let Some(job) = state.next_job(serve.order) else { return begun > 0 };
            if !serve.start.take() {
                state.take_no_more();
                return begun > 0;
            }
            drop(state);
            job.begin();
            serve.start.start(&self.link, job, cx);
        }
        true
    }

    /// How long the rest of a frame may still take, if a part of it is here.
    fn part_left(&self) -> Option<Duration> {
        self.link.time_of_part(&self.link.lock_reader())
    }

    /// A caller that waits for an answer learns that its request was not taken. After an error that may not be true.
    fn say_goodbye(&self, cx: &mut Context<'_>) -> Poll<()> {
        let state = self.link.lock();
        let serving = &state.serving;
        if serving.deaf && serving.ending && serving.running == 0 {
            // The client takes nothing any more, not even a goodbye.
            return Poll::Ready(());
        }
        if !serving.ending || serving.running > 0 || !state.jobs.is_empty() || state.has_output() {
            return Poll::Pending;
        }
        let said = state.serving.over;
        drop(state);
        let mut writer = self.link.lock_writer();
        if !said {
            if !writer.outgoing.pending().is_empty() {
                return Poll::Pending;
            }
            let mut state = self.link.lock();
            if state.has_output() {
                // A call of this side has begun meanwhile, and wakes the task.
                return Poll::Pending;
            }
            self.link.part(&mut state);
            drop(state);
            writer.outgoing.stage_goodbye();
        }
        if ready!(self.link.poll_flush(&mut writer, cx, WaitLimit::Done)).is_err() {
            return Poll::Ready(());
        }
        writer.half.poll_finish_until(cx, WaitLimit::Done).map(drop)
    }

    /// Waits for what comes next, or until the time of something is over.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = M::now();
            let idle_timeout = self.serve.as_ref().and_then(|serve| serve.idle_timeout);
            let mut soon = None;
            if let Some(limit) = idle_timeout {
                let mut state = self.link.lock();
                state.note_handled(&mut self.last);
                if state.is_active() || self.stuck.is_some() {
                    self.last = now;
                }
                let left = limit.saturating_sub(now.saturating_duration_since(self.last));
                if left.is_zero() && !state.serving.ending {
                    state.serving.ending = true;
                    if let Some(serve) = &mut self.serve {
                        serve.start.note_idle();
                    }
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                soon = Some(left.max(Duration::from_millis(1)));
            }
            if let Some(left) = self.link.left_for_callers() {
                soon = Some(soon.map_or(left, |soon| soon.min(left)));
            }
            if let (Some(since), Some(stall_timeout)) = (self.stuck, self.link.stall_timeout) {
                let left = stall_timeout.saturating_sub(now.saturating_duration_since(since));
                if left.is_zero() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                soon = Some(soon.map_or(left, |soon| soon.min(left)));
            }
            // Nothing more of it was here just now.
            if let Some(left) = self.part_left() {
                if left.is_zero() {
                    self.link.note_too_slow();
                    self.link.end(Lost::Disconnected);
                    return Poll::Ready(());
                }
                soon = Some(soon.map_or(left, |soon| soon.min(left)));
            }
            self.timer = soon.and_then(|soon| M::timer(M::within(soon)));
            let Some(timer) = &mut self.timer else { return Poll::Pending };
            ready!(Pin::new(timer).poll(cx));
        }
    }
}

impl<M: Mode> Drop for Drive<M> {
    fn drop(&mut self) {
        // The runtime may have ended, or the program has dropped its side.
        self.link.end(Lost::Disconnected);
    }
}
