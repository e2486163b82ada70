//! One call, over a connection that other tasks share.

use std::mem;
use std::task::{Context, Poll};

use super::Tokio;
use crate::channel::{Receivable, Sendable};
use crate::error::{Error, Obstacle, Operation};
use crate::service::{Answer, Link, LinkState, Tasks, not_sent, unanswered};
use crate::sys::WaitLimit;
use crate::typed_connection::SendingHalf;
use crate::wire::{Codec, Framing};

/// A call. Dropping it abandons its answer, and blocks no other call.
pub(super) struct Call<'a, Req, Resp, F, C>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing,
    C: Codec,
{
    link: &'a Link<Req, Resp, F, C, Tokio>,
    number: u64,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The request of another call is being sent.
    Waiting,
    /// The request is staged; the next call that is polled sends it.
    Sending,
    Sent,
}

impl<'a, Req, Resp, F, C> Call<'a, Req, Resp, F, C>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing,
    C: Codec,
{
    pub(super) fn new(link: &'a Link<Req, Resp, F, C, Tokio>) -> Self {
        let number = link.lock().enter();
        Self { link, number, progress: Progress::Waiting }
    }

    /// Sends the request in its turn, and waits for its answer. It also sends and receives for other calls, whose
    /// futures may not be polled.
    pub(super) fn poll(
        &mut self,
        wanted: u8,
        request: &Req,
        cx: &Context<'_>,
    ) -> Poll<Result<Answer<Resp>, Error>> {
        let polled = self.poll_in_place(wanted, request, cx);
        self.link.tasks().wake_noted();
        polled
    }

    fn poll_in_place(
        &mut self,
        wanted: u8,
        request: &Req,
        cx: &Context<'_>,
    ) -> Poll<Result<Answer<Resp>, Error>> {
        let (tasks, number) = (self.link.tasks(), self.number);
        // First of all: later events then wake the task.
        tasks.enter(number, cx);
        let waker = tasks.waker();
        let cx = &mut Context::from_waker(&waker);
        let mut shared = self.link.lock();
        if self.progress == Progress::Sent {
            if let Some(found) = shared.look(number) {
                return Poll::Ready(found);
            }
        }
        loop {
            shared.send(tasks, cx);
            if self.progress != Progress::Waiting {
                break;
            }
            shared.ensure_open()?;
            if shared.sending.is_some() {
                shared.turn_awaited = true;
                break;
            }
            shared.stage(number, wanted, request)?;
            self.progress = Progress::Sending;
        }
        let received = shared.receive(number, tasks, cx);
        if self.progress == Progress::Sending && shared.sending != Some(number) {
            self.progress = Progress::Sent;
        }
        if self.progress == Progress::Sent {
            if let Some(found) = shared.look(number) {
                return Poll::Ready(found);
            }
            received?;
        }
        Poll::Pending
    }

    /// The result of a call whose time is over.
    pub(super) fn give_up(self) -> Result<Answer<Resp>, Error> {
        let mut shared = self.link.lock();
        if self.progress == Progress::Waiting {
            return Err(not_sent());
        }
        if shared.sending == Some(self.number) {
            let late = Obstacle::TimedOut("the service takes no request");
            return Err(shared.take_back(self.link.tasks(), Error::new(Operation::Send, late)));
        }
        // Another call may have received its answer this very moment.
        shared.look(self.number).unwrap_or_else(|| Err(unanswered()))
    }
}

impl<Req, Resp, F, C> Drop for Call<'_, Req, Resp, F, C>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing,
    C: Codec,
{
    fn drop(&mut self) {
        let tasks = self.link.tasks();
        tasks.leave(self.number);
        let mut shared = self.link.lock();
        let left = shared.leave(self.number);
        if shared.sending == Some(self.number) {
            let _ = shared.take_back(tasks, not_sent());
        }
        // This call may have panicked with the answer of another.
        if shared.is_lost() {
            tasks.note_all();
        }
        drop(shared);
        drop(left);
        tasks.wake_noted();
    }
}

/// The steps of a connection that need no waiting, for all calls.
impl<Req, Resp, F, C> LinkState<Req, Resp, F, C, Tokio>
where
    Req: Sendable,
    Resp: Receivable,
    F: Framing,
    C: Codec,
{
    fn stage(&mut self, number: u64, wanted: u8, request: &Req) -> Result<(), Error> {
        if let Some(sender) = &mut self.sender {
            sender.parts().1.stage(&(number, wanted, request))?;
            self.sending = Some(number);
        }
        Ok(())
    }

    /// Sends the staged bytes: the rest of an abandoned request, then a request.
    fn send(&mut self, tasks: &Tasks, cx: &mut Context<'_>) {
        let Some(sender) = &mut self.sender else { return };
        let Poll::Ready(sent) = sender.poll_write_out_by(cx, |end, cx, bytes| {
            end.poll_write_until(cx, bytes, WaitLimit::Done)
        }) else {
            return;
        };
        let sent = sent.map_err(|error| sender.parts().1.withdraw(error));
        let failed = sent.map_err(|error| self.sending_failed(error)).err();
        if let Some(number) = self.sending.take() {
            if let Some(error) = failed {
                self.settle(number, Err(error));
                tasks.note_one(number);
            }
            self.next_may_send(tasks);
        }
    }

    /// Withdraws the staged bytes that are not sent.
    fn take_back(&mut self, tasks: &Tasks, error: Error) -> Error {
        self.sending = None;
        self.next_may_send(tasks);
        match &mut self.sender {
            Some(sender) => {
                let error = sender.take_back(error);
                self.sending_failed(error)
            }
            None => error,
        }
    }

    fn next_may_send(&mut self, tasks: &Tasks) {
        if mem::take(&mut self.turn_awaited) {
            tasks.note_all();
        }
    }

    /// Receives answers, up to that of this call. The rest, or this call, has woken the other waiting calls. An error
    /// is this call's own.
    fn receive(&mut self, number: u64, tasks: &Tasks, cx: &mut Context<'_>) -> Result<(), Error> {
        while !self.is_lost() && !self.is_settled(number) {
            let Some(receiver) = &mut self.receiver else { break };
            let Poll::Ready(filled) = receiver.poll_fill_in_mode(cx, WaitLimit::Done) else {
                break;
            };
            let received = filled.and_then(|()| self.reading(Self::decode));
            let answered = received.as_ref().ok().map(|answer| answer.0);
            self.note(received)?;
            if let Some(other) = answered.filter(|answered| *answered != number) {
                tasks.note_one(other);
            }
            if self.is_lost() {
                tasks.note_all();
            }
        }
        Ok(())
    }

    fn decode(&mut self) -> Result<Answer<Resp>, Error> {
        match &mut self.receiver {
            Some(receiver) => receiver.parts().1.message(),
            None => Err(unanswered()),
        }
    }
}

impl<T: ?Sized, F: Framing, C: Codec> SendingHalf<T, F, C, Tokio> {
    /// Withdraws the last message, unless a part of it is sent; marks the error as half sent then.
    fn take_back(&mut self, error: Error) -> Error {
        let (half, outgoing) = self.parts();
        // A write that is no longer awaited must not happen later.
        if let Ok(written @ 1..) = half.io_mut().polled.give_up_write() {
            let _ = outgoing.note(Ok(written));
        }
        outgoing.withdraw(error)
    }
}
