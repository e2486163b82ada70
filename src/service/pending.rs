//! Calls in flight: one answer, or items and then an answer.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::path::Path;
#[cfg(feature = "tokio")]
use std::pin::pin;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::Duration;

use super::calls::Calls;
use super::failure::{Failure, garbled, undecodable};
use super::framed::ShapeOf;
use super::mux::{Caller, Frame, Id, Room, cost};
use super::waiting::{Outcome, Waiter};
use crate::channel::{Described, Receivable};
use crate::error::{Cause, Error, Obstacle, Operation};
use crate::handles::Handles;
use crate::path::PipePath;
use crate::state::Blocking;
#[cfg(feature = "tokio")]
use crate::state::poll_again_at;
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
        loop {
            let outcome = self.news(until, |waiter| waiter.inbox().outcome.take()).await;
            if let Some(outcome) = outcome {
                self.over = true;
                self.waiter.came_to(Some(self.id), &outcome);
                return outcome;
            }
            self.give_up();
        }
    }

    /// Gives up the call, whose time is over. Its outcome is that, unless another one has come this very moment.
    fn give_up(&mut self) {
        self.over = true;
        let sent = M::leave(self.link.as_ref(), self.id, &self.waiter);
        self.waiter.inbox().outcome.get_or_insert(Err(Failure::TimedOut(sent)));
    }

    fn is_late(&self) -> bool {
        match self.until {
            WaitLimit::Done => false,
            WaitLimit::Deadline(end) => M::now() >= end,
            WaitLimit::Now => true,
        }
    }

    /// Waits for what comes next, until the deadline of the call. Nothing comes after the answer.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            // What has come until now is still given; nothing more is asked for.
            if self.is_late() && !self.over {
                self.give_up();
            }
            let next = self.news(self.until, |waiter| {
                let mut inbox = waiter.inbox();
                let item = inbox.items.pop_front().map(Next::Item);
                item.or_else(|| inbox.outcome.take().map(Next::Answer))
            });
            match next.await {
                Some(Next::Item(body)) => {
                    let link = self.link.as_ref();
                    let mut state = link.lock();
                    state.consumed(self.id, Caller::Sender, cost(&body));
                    M::write(link, state, self.until);
                    return Next::Item(body);
                }
                Some(Next::Answer(outcome)) => {
                    self.over = true;
                    self.waiter.came_to(Some(self.id), &outcome);
                    return Next::Answer(outcome);
                }
                None => self.give_up(),
            }
        }
    }

    /// Tells the handler that no further items come.
    pub(super) fn end(&self) {
        let link = self.link.as_ref();
        let mut state = link.lock();
        if state.lost.is_none() {
            state.outbox.push(Frame::End { id: self.id });
        }
        M::write(link, state, self.until);
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
        if !self.over && !self.link.as_ref().is_forked() {
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
///
/// `Up` is what can be [sent](Self::send): anything, or the one type of a method of [`service!`](crate::service).
#[must_use = "dropping it gives up the call"]
pub struct Items<Item, Resp, C = Postcard, M: Calls = Blocking, Up = AnyItem> {
    call: InFlight<C, M>,
    /// The answer, when it has come.
    answer: Option<Outcome>,
    /// What finds the answer among others, for a method of `service!`.
    found: Option<Found<Resp, C, M>>,
    /// What the handler was told last that the items look like which are sent.
    told: Option<ShapeOf>,
    /// That of the poll of a stream.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "of tasks"))]
    timer: Option<M::Timer>,
    types: PhantomData<fn(Up) -> Item>,
}

/// What finds the answer of one method in the bytes of an answer.
type Found<Resp, C, M> = Box<dyn Fn(&InFlight<C, M>, &[u8]) -> Result<Resp, Error> + Send + Sync>;

/// Items of any type.
#[derive(Debug)]
pub struct AnyItem(());

/// Items of one type.
#[derive(Debug)]
pub struct Only<T>(PhantomData<fn(T)>);

/// What items can be sent.
#[diagnostic::on_unimplemented(
    message = "the items of this call are no `{T}`",
    label = "not what the method takes"
)]
pub trait Takes<T: ?Sized> {}

impl<T: ?Sized> Takes<T> for AnyItem {}
impl<T> Takes<T> for Only<T> {}

/// What comes next of a call.
pub(super) enum Next {
    Item(Vec<u8>),
    Answer(Outcome),
}

impl<Item, Resp, C, M, Up> Items<Item, Resp, C, M, Up>
where
    Item: Receivable,
    Resp: Receivable,
    C: Codec,
    M: Calls,
{
    pub(super) fn new(call: InFlight<C, M>) -> Self {
        Self { call, answer: None, found: None, told: None, timer: None, types: PhantomData }
    }

    /// Of a call whose answer is one of many kinds.
    pub(super) fn of<Answer: Receivable>(
        call: InFlight<C, M>,
        found: impl Fn(Answer) -> Option<Resp> + Send + Sync + 'static,
    ) -> Self
    where
        Resp: 'static,
        C: 'static,
    {
        let found: Found<Resp, C, M> = Box::new(move |call, body| {
            let answer = call.decode::<Answer>(body)?;
            found(answer).ok_or_else(|| garbled(call.at()))
        });
        Self { found: Some(found), ..Self::new(call) }
    }

    /// Waits for the next item, as long as the [options](super::ClientOptions::reply_timeout) of the client allow for the
    /// whole call; `None` after the last one, when the [answer](Self::finish) is there.
    ///
    /// In the mode that blocks, the stream is an iterator as well, and in the mode `Tokio` a `Stream`.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::ErrorKind::Corrupt): the item cannot be decoded; the next one may be.
    /// What ends the call without an answer, once, and then `None`; the items that had come before were returned.
    /// [`finish`](Self::finish) returns the same: [`HandlerFailed`](crate::ErrorKind::HandlerFailed) and
    /// [`HandlerPanicked`](crate::ErrorKind::HandlerPanicked), [`TimedOut`](crate::ErrorKind::TimedOut): the time of the call is
    /// over, and it is given up, [`Disconnected`](crate::ErrorKind::Disconnected) and its like: the connection was lost, and the
    /// others of [`Client::call`](super::Client::call).
    pub fn recv(&mut self) -> M::Ret<impl Future<Output = Option<Result<Item, Error>>>> {
        M::run(self.next_item())
    }

    async fn next_item(&mut self) -> Option<Result<Item, Error>> {
        if self.answer.is_some() {
            return None;
        }
        match self.call.next().await {
            Next::Item(body) => Some(self.call.decode(&body)),
            Next::Answer(outcome) => {
                // A loop over the items ends with the error, and not as if all had come.
                let failure = outcome.as_ref().err().map(Failure::again);
                self.answer = Some(outcome);
                failure.map(|failure| Err(self.call.failed(failure)))
            }
        }
    }

    /// The next one, for a stream.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        let (until, mut timer) = (self.call.until, self.timer.take());
        let next =
            poll_again_at::<M, _>(until, &mut timer, cx, |cx| pin!(self.next_item()).poll(cx));
        if next.is_pending() {
            self.timer = timer;
        }
        next
    }

    /// [Ends](Self::end) the items of this side, drops those of the handler that are left, and waits for the answer.
    ///
    /// # Errors
    ///
    /// Those of [`Client::call`](super::Client::call).
    pub fn finish(mut self) -> M::Ret<impl Future<Output = Result<Resp, Error>>> {
        M::run(async move {
            if self.answer.is_none() && self.call.waiter.inbox().outcome.is_none() {
                // A handler that waits for a further item would never answer.
                self.end();
            }
            while self.next_item().await.is_some() {}
            let lost = || Err(Failure::TimedOut(true));
            let outcome = self.answer.take().unwrap_or_else(lost);
            let body = outcome.map_err(|failure| self.call.failed(failure))?;
            match &self.found {
                Some(found) => found(&self.call, &body),
                None => self.call.decode(&body),
            }
        })
    }

    /// Sends an item to the handler, which [receives](super::Context::recv) it. Waits while the handler has not consumed
    /// enough of those before. What it looks like is told before the first item, and wherever the type is another one than
    /// before: a handler that reads another type gets [`Mismatch`](crate::ErrorKind::Mismatch), and no item of this one.
    ///
    /// Of a type that borrows, the owned one is sent, or what is [`Described`](crate::Described): `str` and slices are.
    ///
    /// # Errors
    ///
    /// [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): it was not sent.
    /// [`TimedOut`](crate::ErrorKind::TimedOut): it was not sent, and the call is given up: its time is over.
    /// [`Disconnected`](crate::ErrorKind::Disconnected): the call is over; [`finish`](Self::finish) tells why.
    pub fn send<T>(&mut self, item: &T) -> M::Ret<impl Future<Output = Result<(), Error>>>
    where
        T: Described + ?Sized,
        Up: Takes<T>,
    {
        let item = self.call.link.as_ref().told_item(&self.call.codec, item, self.told);
        M::run(self.send_item(item, T::shape))
    }

    async fn send_item(
        &mut self,
        item: Result<(bool, Vec<u8>), Error>,
        shape: ShapeOf,
    ) -> Result<(), Error> {
        let (is_told, body) = item?;
        let mut body = Some(body);
        let call = &mut self.call;
        call.link.as_ref().ensure_items()?;
        let (id, until) = (call.id, call.until);
        let sent = match call.is_late() {
            true => None,
            false => {
                let link = call.link.as_ref();
                let sent = call.news(until, |_| {
                    let mut state = link.lock();
                    let bytes = body.as_ref().map_or(0, |body| cost(body));
                    match state.mux.send_item(id, Caller::Sender, bytes) {
                        Room::Taken => {
                            let body = body.take().unwrap_or_default();
                            let (caller, told) = (Caller::Sender, is_told);
                            state.outbox.push(Frame::Item { id, caller, told, body });
                            M::write(link, state, until);
                            Some(true)
                        }
                        Room::None => None,
                        Room::Over => Some(false),
                    }
                });
                sent.await
            }
        };
        match sent {
            Some(true) => {
                if is_told {
                    self.told = Some(shape);
                }
                Ok(())
            }
            Some(false) => match &call.waiter.inbox().outcome {
                Some(Err(Failure::Lost(lost, sent))) => {
                    Err(call.failed(Failure::Lost(*lost, *sent)))
                }
                _ => Err(Error::new(Operation::Send, Cause::CallOver).at(call.at())),
            },
            None => {
                if !call.over {
                    call.give_up();
                }
                let late = Error::new(Operation::Send, Obstacle::TimedOut(UNCONSUMED));
                Err(late.at(call.at()))
            }
        }
    }

    /// Tells the handler that no further items come.
    pub fn end(&mut self) {
        self.call.end();
    }
}

// Nothing in it is pinned.
impl<Item, Resp, C, M: Calls, Up> Unpin for Items<Item, Resp, C, M, Up> {}

/// Why an item was not sent in time.
pub(super) const UNCONSUMED: &str = "the other side has not consumed enough of the items before";

impl<Item, Resp, C, Up> Iterator for Items<Item, Resp, C, Blocking, Up>
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

impl<Item, Resp, C, M: Calls, Up> fmt::Debug for Items<Item, Resp, C, M, Up> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("path", &self.call.path).finish_non_exhaustive()
    }
}
