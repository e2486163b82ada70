//! Calls in flight: one answer, or items and then an answer.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::calls::Calls;
use super::failure::{Failure, undecodable};
use super::framed::encoded;
use super::mux::{Caller, Frame, Id, Room, cost};
use super::waiting::{Outcome, Waiter};
use crate::channel::{Receivable, Sendable};
use crate::error::Error;
use crate::handles::Handles;
use crate::path::PipePath;
use crate::state::Blocking;
use crate::sys::WaitLimit;
use crate::wire::{Codec, Postcard};

/// A call that was sent: its answer is still to come.
///
/// A thread or a task can have many in flight: see [`Client::start`](super::Client::start). Dropping it gives up the call,
/// and tells the service.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Client, Service};
///
/// let service = Service::<u64, u64>::temporary()?.shutdown_after(100);
/// let path = service.path().clone();
/// let serving = thread::spawn(move || service.serve(|number| number * number));
///
/// let client = Client::<u64, u64>::connect(path)?;
/// let pending = (0..100).map(|number| client.start(&number)).collect::<Result<Vec<_>, _>>()?;
/// let mut sum = 0;
/// for call in pending {
///     sum += call.wait()?;
/// }
/// assert_eq!(sum, 328_350);
/// # serving.join().unwrap()?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[must_use = "dropping it gives up the call"]
pub struct Pending<Resp, C = Postcard, M: Calls = Blocking> {
    call: InFlight<C, M>,
    answer: PhantomData<fn() -> Resp>,
}

/// A call in flight, without its types.
pub(super) struct InFlight<C, M: Calls> {
    link: M::Handle,
    id: Id,
    waiter: Arc<Waiter>,
    codec: C,
    path: Option<PipePath>,
    until: WaitLimit,
    /// Whether there is nothing more to give up.
    over: bool,
}

impl<C, M: Calls> InFlight<C, M> {
    pub(super) fn new(
        link: M::Handle,
        (id, waiter): (Id, Arc<Waiter>),
        codec: C,
        path: Option<PipePath>,
        until: WaitLimit,
    ) -> Self {
        Self { link, id, waiter, codec, path, until, over: false }
    }

    fn at(&self) -> Option<&Arc<Path>> {
        self.path.as_ref().map(PipePath::shared)
    }

    pub(super) fn failed(&self, failure: Failure) -> Error {
        failure.into_error().at(self.at())
    }

    /// Waits for something in the inbox.
    async fn news<T>(
        &self,
        until: WaitLimit,
        mut look: impl FnMut(&Waiter) -> Option<T>,
    ) -> Option<T> {
        M::news(self.link.as_ref(), &self.waiter, until, |waiter| look(waiter)).await
    }

    /// Waits for the answer.
    async fn outcome(&mut self, until: WaitLimit) -> Outcome {
        let outcome = self.news(until, |waiter| waiter.inbox().outcome.take()).await;
        self.over = true;
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => {
                let sent = M::leave(self.link.as_ref(), self.id, &self.waiter);
                // It may have come this very moment.
                let outcome = self.waiter.inbox().outcome.take();
                outcome.unwrap_or(Err(Failure::TimedOut(sent)))
            }
        };
        self.waiter.came_to(Some(self.id), &outcome);
        outcome
    }

    /// Waits for what comes next; `None` where the time is over. Nothing comes after the answer.
    pub(super) async fn next(&mut self, until: WaitLimit) -> Option<Next> {
        let next = self.news(until, |waiter| {
            let mut inbox = waiter.inbox();
            let item = inbox.items.pop_front().map(Next::Item);
            item.or_else(|| inbox.outcome.take().map(Next::Answer))
        });
        let next = next.await;
        match &next {
            Some(Next::Item(body)) => {
                let link = self.link.as_ref();
                let mut state = link.lock();
                state.consumed(self.id, Caller::Sender, cost(body));
                M::write(link, state, WaitLimit::Done);
            }
            Some(Next::Answer(outcome)) => {
                self.over = true;
                self.waiter.came_to(Some(self.id), outcome);
            }
            None => {}
        }
        next
    }

    /// Tells the handler that no further items come.
    pub(super) fn end(&self) {
        let link = self.link.as_ref();
        let mut state = link.lock();
        if state.lost.is_none() {
            state.outbox.push(Frame::End { id: self.id });
        }
        M::write(link, state, WaitLimit::Done);
    }
}

impl<C: Codec, M: Calls> InFlight<C, M> {
    async fn answer<Resp: Receivable>(&mut self, until: WaitLimit) -> Result<Resp, Error> {
        let body = self.outcome(until).await.map_err(|failure| self.failed(failure))?;
        self.decode(&body)
    }

    /// Waits for the answer, and for what is beside it.
    pub(super) async fn answer_with_handles<Resp: Receivable>(
        mut self,
    ) -> Result<(Resp, Handles), Error> {
        let answer = self.answer(self.until).await?;
        let handles = mem::take(&mut self.waiter.inbox().handles);
        Ok((answer, handles.into()))
    }

    /// The value in its bytes. It is the user's code that runs here.
    fn decode<T: Receivable>(&self, body: &[u8]) -> Result<T, Error> {
        self.codec.decode(body).map_err(|error| undecodable(error, self.at()))
    }
}

impl<C, M: Calls> Drop for InFlight<C, M> {
    fn drop(&mut self) {
        if !self.over {
            M::leave(self.link.as_ref(), self.id, &self.waiter);
        }
    }
}

impl<Resp, C, M> Pending<Resp, C, M>
where
    Resp: Receivable,
    C: Codec,
    M: Calls,
{
    pub(super) fn new(call: InFlight<C, M>) -> Self {
        Self { call, answer: PhantomData }
    }

    /// Waits for the answer, as long as the [options](super::ClientOptions::reply_timeout) of the client allow.
    ///
    /// An example is at [`Pending`].
    ///
    /// # Errors
    ///
    /// Those of [`Client::call`](super::Client::call).
    pub fn wait(mut self) -> M::Ret<impl Future<Output = Result<Resp, Error>>> {
        M::run(async move { self.call.answer(self.call.until).await })
    }

    /// Waits for the answer for at most `timeout`, and then gives up the call.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Client, Service};
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let client = Client::<u32, u32>::connect(path)?;
    /// let call = client.start(&1)?;
    /// assert_eq!(call.wait_timeout(Duration::from_secs(10))?, 2);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Client::call_timeout`](super::Client::call_timeout).
    pub fn wait_timeout(
        mut self,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<Resp, Error>>> {
        let until = M::within(timeout);
        M::run(async move { self.call.answer(until).await })
    }
}

impl<Resp, C, M: Calls> fmt::Debug for Pending<Resp, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("path", &self.call.path).finish_non_exhaustive()
    }
}

/// The items of a call, one by one, and its answer at the end: see [`Client::stream`](super::Client::stream).
///
/// What is not consumed yet takes at most 256 KiB and one item: then the handler waits. Dropping the stream gives up the
/// call, and the handler learns it.
#[must_use = "dropping it gives up the call"]
pub struct Items<Item, Resp, C = Postcard, M: Calls = Blocking> {
    call: InFlight<C, M>,
    /// The answer, when it has come.
    answer: Option<Outcome>,
    types: PhantomData<fn() -> (Item, Resp)>,
}

/// What comes next of a call.
pub(super) enum Next {
    Item(Vec<u8>),
    Answer(Outcome),
}

impl<Item, Resp, C, M> Items<Item, Resp, C, M>
where
    Item: Receivable,
    Resp: Receivable,
    C: Codec,
    M: Calls,
{
    pub(super) fn new(call: InFlight<C, M>) -> Self {
        Self { call, answer: None, types: PhantomData }
    }

    /// Waits for the next item; `None` after the last one, when the [answer](Self::finish) is there.
    ///
    /// In the mode that blocks, the stream is an iterator as well.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::ErrorKind::Corrupt): the item cannot be decoded; the next one may be. What ends the call is told by
    /// [`finish`](Self::finish).
    pub fn recv(&mut self) -> M::Ret<impl Future<Output = Option<Result<Item, Error>>>> {
        M::run(self.next_item())
    }

    async fn next_item(&mut self) -> Option<Result<Item, Error>> {
        if self.answer.is_some() {
            return None;
        }
        match self.call.next(WaitLimit::Done).await {
            Some(Next::Item(body)) => Some(self.call.decode(&body)),
            Some(Next::Answer(outcome)) => {
                self.answer = Some(outcome);
                None
            }
            None => None,
        }
    }

    /// Drops the items that are left, and waits for the answer.
    ///
    /// # Errors
    ///
    /// Those of [`Client::call`](super::Client::call).
    pub fn finish(mut self) -> M::Ret<impl Future<Output = Result<Resp, Error>>> {
        M::run(async move {
            while self.next_item().await.is_some() {}
            let lost = || Err(Failure::TimedOut(true));
            let outcome = self.answer.take().unwrap_or_else(lost);
            let body = outcome.map_err(|failure| self.call.failed(failure))?;
            self.call.decode(&body)
        })
    }

    /// Sends an item to the handler, which [receives](super::Context::recv) it. Waits while the handler has not consumed
    /// enough of those before. What it looks like is not compared.
    ///
    /// # Errors
    ///
    /// [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): it was not sent.
    /// [`Disconnected`](crate::ErrorKind::Disconnected): the call is over; [`finish`](Self::finish) tells why.
    pub fn send<Up: Sendable + ?Sized>(
        &mut self,
        item: &Up,
    ) -> M::Ret<impl Future<Output = Result<(), Error>>> {
        let body = encoded(&self.call.codec, item, self.call.link.as_ref().limit());
        M::run(self.send_item(body))
    }

    async fn send_item(&self, body: Result<Vec<u8>, Error>) -> Result<(), Error> {
        let mut body = Some(body?);
        let link = self.call.link.as_ref();
        link.ensure_items()?;
        let id = self.call.id;
        let sent = self.call.news(WaitLimit::Done, |_| {
            let mut state = link.lock();
            let bytes = body.as_ref().map_or(0, |body| cost(body));
            match state.mux.send_item(id, Caller::Sender, bytes) {
                Room::Taken => {
                    let body = body.take().unwrap_or_default();
                    state.outbox.push(Frame::Item { id, caller: Caller::Sender, body });
                    M::write(link, state, WaitLimit::Done);
                    Some(true)
                }
                Room::None => None,
                Room::Over => Some(false),
            }
        });
        if sent.await == Some(true) {
            return Ok(());
        }
        Err(self.call.failed(Failure::Lost(super::failure::Lost::Disconnected, false)))
    }

    /// Tells the handler that no further items come.
    pub fn end(&mut self) {
        self.call.end();
    }
}

impl<Item, Resp, C> Iterator for Items<Item, Resp, C>
where
    Item: Receivable,
    Resp: Receivable,
    C: Codec,
{
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.recv()
    }
}

impl<Item, Resp, C, M: Calls> fmt::Debug for Items<Item, Resp, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("path", &self.call.path).finish_non_exhaustive()
    }
}
