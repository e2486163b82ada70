//! Calling a service: a task of its own reads and writes for each connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{timeout, timeout_at};

use super::Tokio;
use crate::channel::Receivable;
use crate::error::{Error, ErrorKind, Obstacle, Operation};
use crate::service::{
    CallerItems, Calls, CallsHalf, ClientOptions, Drive, Failure, Handling, Items, Link, LinkState,
    Listening, Outcome, ReadsItems, Request, Summary, Target, Waiter, still_connecting,
};
use crate::state::Runtime as _;
use crate::sys::WaitLimit;
use crate::wire::{Codec, Framing};

impl<F: Framing + Clone, C: Codec + Clone> ClientOptions<F, C> {
    /// Switches to the mode [`Tokio`], for tasks that call.
    ///
    /// ```
    /// use typed_pipe::{CancelToken, ClientOptions, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let token = CancelToken::new()?;
    /// let service = Service::<u32, u32>::temporary()?.cancelled_by(&token).into_tokio()?;
    /// let path = service.path().clone();
    /// let serving = tokio::spawn(service.serve(|number| async move { number + 1 }));
    ///
    /// let options = ClientOptions::new().max_attempts(3).into_tokio(); // before it connects
    /// let client = options.connect::<u32, u32>(path).await?;
    /// assert_eq!(client.call(&42).await?, 43);
    /// # token.cancel();
    /// # serving.await.unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_tokio(self) -> ClientOptions<F, C, Tokio> {
        self.in_mode()
    }
}

impl<F: Framing + Clone, C: Codec + Clone> ClientOptions<F, C, Tokio> {
    /// Switches to the mode that blocks, for threads that call.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::wire::{LengthPrefixed, Postcard};
    /// use typed_pipe::{ClientOptions, Service, Tokio};
    ///
    /// struct Config {
    ///     calling: ClientOptions<LengthPrefixed, Postcard, Tokio>,
    /// }
    ///
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || service.serve(|number| number + 1));
    ///
    /// let config = Config { calling: ClientOptions::new().max_attempts(3).into_tokio() };
    /// let client = config.calling.into_blocking().connect::<u32, u32>(path)?; // not awaited
    /// assert_eq!(client.call(&42)?, 43);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_blocking(self) -> ClientOptions<F, C> {
        self.in_mode()
    }
}

impl Calls for Tokio {}

/// Yields the items of a call, as [`recv`](Items::recv) does, until the answer has come, which
/// [`finish`](Items::finish) returns.
///
/// ```
/// use std::future::poll_fn;
/// use std::pin::Pin;
/// use futures_core::Stream;
/// use typed_pipe::wire::{LengthPrefixed, Postcard};
/// use typed_pipe::{Client, ClientOptions, Context, Error, Tokio};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let count = |to: u32, context: Context<u32, Postcard, Tokio>| async move {
///     for number in 0..to {
///         context.send(&number).await?;
///     }
///     Ok::<_, Error>(())
/// };
/// let options = ClientOptions::new().into_tokio();
/// let client: Client<u32, (), LengthPrefixed, Postcard, Tokio> =
///     options.local_with_context(count).await?;
/// let mut numbers = client.stream::<u32>(&3).await?;
/// let mut sum = 0;
/// // `next` of the crate `futures` or `tokio-stream` does this:
/// while let Some(number) = poll_fn(|cx| Pin::new(&mut numbers).poll_next(cx)).await {
///     sum += number?;
/// }
/// numbers.finish().await?;
/// assert_eq!(sum, 3);
/// # Ok(())
/// # }
/// ```
impl<Item, Resp, C, Up> Stream for Items<Item, Resp, C, Tokio, Up>
where
    Item: Receivable,
    Resp: Receivable,
    C: Codec,
{
    type Item = Result<Item, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx)
    }
}

/// Yields the items of a caller, as [`recv`](crate::Context::recv) does.
impl<T, Item, C: ReadsItems<T>> Stream for CallerItems<'_, T, Item, C, Tokio> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx)
    }
}

/// A connection that tasks share.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Keeper>);

/// When it is dropped, the task that reads and writes ends, unless that serves the other side as well.
#[derive(Debug)]
struct Keeper {
    link: Arc<Link<Tokio>>,
    /// The runtime of that task.
    runtime: Option<Id>,
}

impl AsRef<Arc<Link<Tokio>>> for Shared {
    fn as_ref(&self) -> &Arc<Link<Tokio>> {
        &self.0.link
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if !self.link.serves && !self.link.is_forked() {
            self.link.abandon();
        }
    }
}

/// The attempts to connect that are going on, one for each runtime, for all calls there that wait for it.
#[derive(Debug, Default)]
pub struct Connecting(Mutex<Vec<Weak<Attempt>>>);

/// A task that connects. It ends when no call waits for it.
#[derive(Debug)]
struct Attempt {
    result: Arc<Pending>,
    task: AbortHandle,
    runtime: Id,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the attempt comes to. One of the calls takes it.
#[derive(Debug, Default)]
struct Pending {
    connected: Mutex<Option<Result<Shared, Error>>>,
    over: AtomicBool,
    changed: Notify,
}

/// Says that the attempt is over, even if its runtime has ended: then there is none for another one.
struct Attempting(Arc<Pending>);

impl Drop for Attempting {
    fn drop(&mut self) {
        let ended = || Err(Error::new(Operation::Connect, Obstacle::NoRuntime));
        self.0.lock().get_or_insert_with(ended);
        self.0.over.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}

impl Connecting {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Attempt>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The attempt of this runtime, or a new one where there is no connection either: one that is there, or that a task has
    /// yet to take, may have the only place for a client.
    fn join<C>(
        &self,
        runtime: &Handle,
        present: impl FnOnce() -> Option<Shared>,
        connect: impl FnOnce() -> C,
    ) -> Result<Arc<Attempt>, Shared>
    where
        C: Future<Output = Result<Shared, Error>> + Send + 'static,
    {
        let mut current = self.lock();
        if let Some(link) = present() {
            return Err(link);
        }
        let mut going_on: Vec<_> = current.iter().filter_map(Weak::upgrade).collect();
        going_on.retain(|attempt| !attempt.result.is_over() || attempt.result.is_connected());
        let here = runtime.id();
        let attempt = match going_on.iter().find(|attempt| attempt.runtime == here) {
            Some(attempt) => Arc::clone(attempt),
            None => {
                let (result, connecting) = (Arc::<Pending>::default(), connect());
                let attempting = Attempting(Arc::clone(&result));
                let task = runtime.spawn(async move {
                    let connected = connecting.await;
                    *attempting.0.lock() = Some(connected);
                });
                let task = task.abort_handle();
                let attempt = Arc::new(Attempt { result, task, runtime: here });
                going_on.push(Arc::clone(&attempt));
                attempt
            }
        };
        *current = going_on.iter().map(Arc::downgrade).collect();
        drop(current);
        Ok(attempt)
    }

    /// What an attempt came to, for the first that asks. A connection is there for all before another one can be made.
    fn take(
        &self,
        attempt: &Attempt,
        go_on_with: impl FnOnce(Shared) -> (Shared, Vec<Shared>),
    ) -> Option<Result<Shared, Error>> {
        let current = self.lock();
        let connected = attempt.result.lock().take();
        let connected = connected.map(|connected| connected.map(go_on_with));
        drop(current);
        connected.map(|connected| connected.map(|(link, _gone)| link))
    }
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Option<Result<Shared, Error>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether there is a connection that no call has taken, and that is not lost meanwhile.
    fn is_connected(&self) -> bool {
        matches!(&*self.lock(), Some(Ok(link)) if !link.as_ref().is_shut())
    }

    async fn ended(&self) {
        let mut changed = pin!(self.changed.notified());
        changed.as_mut().enable();
        if !self.is_over() {
            changed.await;
        }
    }
}

impl CallsHalf for Tokio {
    type Handle = Shared;
    type Connecting = Connecting;
    type Serving = JoinHandle<Summary>;
    type Place = Option<Id>;

    /// A runtime that has ended, or that stands still, makes no call of another one wait or fail.
    fn here() -> Option<Self::Place> {
        Handle::try_current().ok().map(|runtime| Some(runtime.id()))
    }

    fn place(handle: &Shared) -> Self::Place {
        handle.0.runtime
    }

    fn handle(link: Link<Self>) -> Shared {
        let link = Arc::new(link);
        let mut drive = Drive::new(&link);
        let runtime = Handle::current();
        runtime.spawn(poll_fn(move |cx| drive.poll(cx)));
        Shared(Arc::new(Keeper { link, runtime: Some(runtime.id()) }))
    }

    fn lent(link: Arc<Link<Self>>) -> Shared {
        Shared(Arc::new(Keeper { link, runtime: None }))
    }

    async fn served(serving: Self::Serving) -> Option<Summary> {
        serving.await.ok()
    }

    async fn find<F, C>(target: &Target<F, C, Self>, until: WaitLimit) -> Result<Shared, Error>
    where
        F: Framing + Clone + Send + 'static,
        C: Codec + Clone + Send + Sync + 'static,
    {
        loop {
            if let Some(link) = target.link() {
                return Ok(link);
            }
            let path = target.again()?;
            let Ok(runtime) = Handle::try_current() else {
                return Err(
                    Error::new(Operation::Connect, Obstacle::NoRuntime).at(Some(path.shared()))
                );
            };
            let connect = || {
                let (options, path) = (target.options.clone(), path.clone());
                let (types, counters) = (target.types, Arc::clone(&target.counters));
                async move {
                    let link = options.link(path, WaitLimit::Done, types).await?;
                    Ok(Self::handle(link.counting_in(&counters)))
                }
            };
            let attempt = match target.connecting.join(&runtime, || target.link(), connect) {
                Ok(attempt) => attempt,
                Err(link) => return Ok(link),
            };
            if before(until, attempt.result.ended()).await.is_none() {
                return Err(still_connecting(target));
            }
            let connected = target.connecting.take(&attempt, |link| target.go_on_with(link));
            let link = match connected {
                Some(Ok(link)) => Some(link),
                // That was the time of one handshake, and not of this call.
                Some(Err(error)) if error.kind() == ErrorKind::TimedOut && is_limited(until) => {
                    None
                }
                Some(Err(error)) => return Err(error.at(Some(path.shared()))),
                // Another call has taken it.
                None => None,
            };
            // A task that was not polled meanwhile learns only now that the time of its call is over: nothing is sent of it.
            if matches!(until, WaitLimit::Deadline(end) if Self::now() >= end) {
                return Err(still_connecting(target));
            }
            if let Some(link) = link {
                return Ok(link);
            }
        }
    }

    async fn call(link: &Arc<Link<Self>>, request: &mut Request, until: WaitLimit) -> Outcome {
        let waiter = link.waiter(request.name.as_deref());
        let mut begun = Begun { link, waiter, id: None, over: false };
        let outcome = before(until, begun.outcome(request)).await;
        let outcome = outcome.unwrap_or_else(|| begun.abandon());
        begun.waiter.came_to(begun.id, &outcome);
        outcome
    }

    async fn notify(link: &Arc<Link<Self>>, request: Request, until: WaitLimit) -> Outcome {
        let waiter = link.waiter(request.name.as_deref());
        let waiter = Notifying(waiter);
        let Notifying(waiter) = &waiter;
        let sent = match link.send_notification(request.method, request.body, waiter) {
            Ok(()) => before(until, poll_fn(|cx| waiter.poll_outcome(cx))).await,
            Err(failure) => Some(Err(failure)),
        };
        let sent = sent.unwrap_or(Err(Failure::TimedOut(true)));
        waiter.came_to(None, &sent);
        sent
    }

    async fn enter(
        link: &Arc<Link<Self>>,
        request: &mut Request,
        until: WaitLimit,
        _: bool,
    ) -> Result<(u64, Arc<Waiter>), Failure> {
        let waiter = link.waiter(request.name.as_deref());
        let mut begun = Begun { link, waiter, id: None, over: false };
        match before(until, begun.enter(request)).await {
            Some(entered) => {
                begun.over = true;
                let id = entered.map_err(|failure| begun.waiter.failed(failure))?;
                Ok((id, Arc::clone(&begun.waiter)))
            }
            None => Err(Failure::TimedOut(false)),
        }
    }

    fn write(link: &Link<Self>, state: MutexGuard<'_, LinkState>, _: WaitLimit) {
        link.schedule_output(state);
    }

    fn leave(link: &Link<Self>, id: u64, waiter: &Arc<Waiter>) -> bool {
        link.leave(Some(id), waiter)
    }

    async fn news<T>(
        _: &Arc<Link<Self>>,
        waiter: &Arc<Waiter>,
        until: WaitLimit,
        mut look: impl FnMut(&Waiter) -> Option<T>,
    ) -> Option<T> {
        let found = poll_fn(|cx| {
            waiter.listen(cx.waker());
            look(waiter).map_or(Poll::Pending, Poll::Ready)
        });
        before(until, found).await
    }

    fn listen(link: &Arc<Link<Self>>, listening: &mut Option<Listening<Self>>) {
        if listening.is_none() {
            *listening = Some(link.listen());
            link.schedule(link.lock());
        }
    }

    async fn handler_news<T>(
        handling: &Handling,
        until: WaitLimit,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let found = poll_fn(|cx| {
            handling.wake_by(cx.waker());
            look().map_or(Poll::Pending, Poll::Ready)
        });
        before(until, found).await
    }
}

/// A call that was begun. When it is dropped, it is given up.
struct Begun<'a> {
    link: &'a Link<Tokio>,
    waiter: Arc<Waiter>,
    id: Option<u64>,
    over: bool,
}

impl Begun<'_> {
    async fn outcome(&mut self, request: &mut Request) -> Outcome {
        self.enter(request).await?;
        let outcome = poll_fn(|cx| self.waiter.poll_outcome(cx)).await;
        self.over = true;
        outcome
    }

    async fn enter(&mut self, request: &mut Request) -> Result<u64, Failure> {
        let Self { link, waiter, id, over } = self;
        let entered = poll_fn(|cx| link.poll_enter(waiter, request, cx)).await;
        match entered {
            Ok(entered) => *id = Some(entered),
            Err(_) => *over = true,
        }
        entered
    }

    /// The outcome of a call whose time is over.
    fn abandon(&mut self) -> Outcome {
        self.over = true;
        let sent = self.link.leave(self.id, &self.waiter);
        // It may have come this very moment.
        let outcome = self.waiter.take_outcome();
        outcome.unwrap_or(Err(Failure::TimedOut(sent)))
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.over && !self.link.is_forked() {
            self.link.leave(self.id, &self.waiter);
        }
    }
}

/// A notification that is being sent. When this is dropped, it may still be sent, and nothing waits for it.
struct Notifying(Arc<Waiter>);

impl Drop for Notifying {
    fn drop(&mut self) {
        self.0.give_up(None);
    }
}

fn is_limited(until: WaitLimit) -> bool {
    !matches!(until, WaitLimit::Done)
}

/// The output of a future, unless the deadline comes first.
async fn before<T>(until: WaitLimit, future: impl Future<Output = T>) -> Option<T> {
    match until {
        WaitLimit::Done => Some(future.await),
        WaitLimit::Deadline(end) => timeout_at(end.into(), future).await.ok(),
        WaitLimit::Now => timeout(Duration::ZERO, future).await.ok(),
    }
}
