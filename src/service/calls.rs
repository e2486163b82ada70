//! The modes in which a client calls.

use std::fmt::{self, Debug};
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use super::agree::Types;
use super::counts::Counters;
use super::failure::{Failure, Lost, undecodable};
use super::framed::encoded;
use super::lifecycle::Summary;
use super::link::{Kind, Link, Listening, Request, State};
use super::options::ClientOptions;
use super::waiting::{Handling, Outcome, Waiter, this_thread};
use crate::channel::{Receivable, Sendable};
use crate::error::{Error, Obstacle, Operation};
use crate::path::PipePath;
use crate::state::{Blocking, Mode};
use crate::sys::WaitLimit;
use crate::wait::{left, until_changed};
use crate::wire::{Codec, Framing};

/// The modes in which a [`Client`](super::Client) calls: both.
///
/// ```
/// # #![allow(dead_code)]
/// use typed_pipe::wire::{LengthPrefixed, Postcard};
/// use typed_pipe::{Calls, Client};
///
/// /// The client of either mode.
/// struct Counter<M: Calls> {
///     client: Client<u32, u32, LengthPrefixed, Postcard, M>,
/// }
/// ```
pub trait Calls: half::Calls {}

impl Calls for Blocking {}

/// The private half of the trait: only this crate implements it.
pub(crate) mod half {
    use super::*;

    pub trait Calls: Mode + 'static {
        /// What keeps a connection.
        type Handle: AsRef<Arc<Link<Self>>> + Clone + Send;

        /// What calls share that wait for a connection.
        type Connecting: Default + Send + Sync;

        /// What serves beside the calls of a connection.
        type Serving: Send;

        /// Where a connection is at work: callers elsewhere have one of their own.
        type Place: PartialEq;

        /// The place of the caller; `None` where any will do.
        fn here() -> Option<Self::Place>;

        fn place(handle: &Self::Handle) -> Self::Place;

        fn handle(link: Link<Self>) -> Self::Handle;

        /// A handle of a connection that what serves over it keeps.
        fn lent(link: Arc<Link<Self>>) -> Self::Handle;

        /// Waits until the serving has ended; `None` if that was its panic, or the end of its runtime.
        fn served(serving: Self::Serving) -> impl Future<Output = Option<Summary>>;

        /// The present connection, or a new one. Calls that look for one at the same time share it.
        fn find<F, C>(
            target: &Target<F, C, Self>,
            until: WaitLimit,
        ) -> impl Future<Output = Result<Self::Handle, Error>>
        where
            Self: super::Calls,
            F: Framing + Clone + Send + 'static,
            C: Codec + Clone + Send + Sync + 'static;

        /// Sends a request, and waits for its answer.
        fn call(
            link: &Arc<Link<Self>>,
            request: &mut Request,
            until: WaitLimit,
        ) -> impl Future<Output = Outcome>;

        /// Sends a notification.
        fn notify(
            link: &Arc<Link<Self>>,
            request: Request,
            until: WaitLimit,
        ) -> impl Future<Output = Outcome>;

        /// Begins a call, when there is a place for it. It may be sent `later`, with the next wait.
        fn enter(
            link: &Arc<Link<Self>>,
            request: &mut Request,
            until: WaitLimit,
            later: bool,
        ) -> impl Future<Output = Result<(u64, Arc<Waiter>), Failure>>;

        /// Writes what was queued.
        fn write(link: &Link<Self>, state: MutexGuard<'_, State>, until: WaitLimit);

        /// Gives up a call. Returns whether a part of its request was sent.
        fn leave(link: &Link<Self>, id: u64, waiter: &Arc<Waiter>) -> bool;

        /// Looks whenever something has come for a call, until there is what it looks for; `None` where the time is over.
        fn news<T>(
            link: &Arc<Link<Self>>,
            waiter: &Arc<Waiter>,
            until: WaitLimit,
            look: impl FnMut(&Waiter) -> Option<T>,
        ) -> impl Future<Output = Option<T>>;

        /// Notes that a handler waits for what is still to be read, once.
        fn listen(link: &Arc<Link<Self>>, listening: &mut Option<Listening<Self>>) {
            listening.get_or_insert_with(|| link.listen());
        }

        /// Looks whenever something has come for a handler; `None` where the time is over.
        fn handler_news<T>(
            handling: &Handling,
            until: WaitLimit,
            look: impl FnMut() -> Option<T>,
        ) -> impl Future<Output = Option<T>>;
    }
}

/// The service that a client calls, and the present connections to it.
pub struct Target<F, C, M: Calls> {
    pub(crate) path: Option<PipePath>,
    pub(crate) options: ClientOptions<F, C, M>,
    link: Source<M>,
    pub(crate) connecting: M::Connecting,
    /// What this side sends and reads.
    pub(crate) types: Types,
    /// What becomes of the calls, over all connections.
    pub(crate) counters: Arc<Counters>,
}

/// Where the connection comes from.
pub(super) enum Source<M: Calls> {
    /// It is made, one for each place, and made anew when it is lost.
    Path(Mutex<Vec<M::Handle>>),
    /// It was given, and is the only one.
    Given(M::Handle),
    /// It is kept by what serves over it.
    Served(Weak<Link<M>>),
}

impl<F, C, M: Calls> Debug for Target<F, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<F, C, M: Calls> Target<F, C, M> {
    pub(super) fn new(
        path: Option<PipePath>,
        options: ClientOptions<F, C, M>,
        link: Source<M>,
        types: Types,
        counters: Arc<Counters>,
    ) -> Self {
        Self { path, options, link, connecting: M::Connecting::default(), types, counters }
    }

    /// The path, for errors.
    pub(super) fn at(&self) -> Option<&Arc<Path>> {
        self.path.as_ref().map(PipePath::shared)
    }

    /// The present connection of this place, unless it is lost and there may be another one.
    pub(crate) fn link(&self) -> Option<M::Handle> {
        match &self.link {
            Source::Path(present) => {
                let here = M::here();
                let is_here =
                    |handle: &M::Handle| here.as_ref().is_none_or(|here| M::place(handle) == *here);
                let present = present.lock().unwrap_or_else(PoisonError::into_inner);
                let usable = |handle: &&M::Handle| is_here(handle) && !handle.as_ref().is_shut();
                present.iter().find(usable).cloned()
            }
            Source::Given(handle) => Some(handle.clone()),
            Source::Served(link) => link.upgrade().map(M::lent),
        }
    }

    /// Where to connect anew.
    pub(crate) fn again(&self) -> Result<&PipePath, Error> {
        match (&self.link, &self.path) {
            (Source::Path(_), Some(path)) => Ok(path),
            _ => Err(Failure::Lost(Lost::Disconnected, false).into_error().at(self.at())),
        }
    }

    /// Goes on with another connection, unless that one is lost by now, and there is one. Those that are lost go, too: their
    /// places may be gone for good. They are for who calls this to drop, under no lock: a framing of the user's goes with them.
    pub(crate) fn go_on_with(&self, handle: M::Handle) -> (M::Handle, Vec<M::Handle>) {
        if let Some(present) = self.link().filter(|_| handle.as_ref().is_shut()) {
            return (present, vec![handle]);
        }
        let Source::Path(present) = &self.link else { return (handle, Vec::new()) };
        let place = M::place(&handle);
        let stays = |other: &M::Handle| M::place(other) != place && !other.as_ref().is_shut();
        let mut present = present.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut stay, gone) = present.drain(..).partition::<Vec<_>, _>(stays);
        stay.push(handle.clone());
        *present = stay;
        (handle, gone)
    }
}

impl<F, C: Codec, M: Calls> Target<F, C, M> {
    /// The bytes of a request. It is the user's code that runs here.
    pub(super) fn encode<Req: Sendable + ?Sized>(
        &self,
        request: &Req,
        link: &Link<M>,
    ) -> Result<Vec<u8>, Error> {
        link.check(request, Kind::Requests).map_err(|error| error.at(self.at()))?;
        encoded(self.options.codec(), request, link.limit())
    }

    /// The answer in its bytes. It is the user's code that runs here.
    pub(super) fn decode<Resp: Receivable>(&self, body: &[u8]) -> Result<Resp, Error> {
        self.options.codec().decode(body).map_err(|error| undecodable(error, self.at()))
    }
}

/// A connection that threads share.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Link<Blocking>>);

impl AsRef<Arc<Link<Blocking>>> for Shared {
    fn as_ref(&self) -> &Arc<Link<Blocking>> {
        &self.0
    }
}

/// Whether a thread connects. The others wait for it.
#[derive(Debug, Default)]
pub struct Turns {
    connecting: Mutex<bool>,
    changed: Condvar,
}

impl Turns {
    /// Waits for the turn to connect; `None` where the time is over.
    fn turn(&self, until: WaitLimit) -> Option<Turn<'_>> {
        let mut connecting = self.connecting.lock().unwrap_or_else(PoisonError::into_inner);
        while *connecting {
            let in_time;
            (connecting, in_time) = until_changed(&self.changed, connecting, until);
            if !in_time {
                return None;
            }
        }
        *connecting = true;
        Some(Turn(self))
    }
}

/// The turn of the thread that connects, until this is dropped: another one may try then.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.connecting.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.changed.notify_all();
    }
}

impl half::Calls for Blocking {
    type Handle = Shared;
    type Connecting = Turns;
    type Serving = thread::JoinHandle<Summary>;
    type Place = ();

    fn here() -> Option<()> {
        Some(())
    }

    fn place(_: &Shared) {}

    fn handle(link: Link<Self>) -> Shared {
        Shared(link.shared())
    }

    fn lent(link: Arc<Link<Self>>) -> Shared {
        Shared(link)
    }

    async fn served(serving: Self::Serving) -> Option<Summary> {
        serving.join().ok()
    }

    async fn find<F, C>(target: &Target<F, C, Self>, until: WaitLimit) -> Result<Shared, Error>
    where
        F: Framing + Clone + Send + 'static,
        C: Codec + Clone + Send + Sync + 'static,
    {
        if let Some(link) = target.link() {
            return Ok(link);
        }
        let path = target.again()?;
        let Some(turn) = target.connecting.turn(until) else {
            return Err(still_connecting(target));
        };
        // The thread before may have connected.
        if let Some(link) = target.link() {
            return Ok(link);
        }
        // No thread waits for this longer than its own deadline. It is large, and no part of what each call moves.
        let link = Box::pin(target.options.link(path.clone(), until, target.types)).await?;
        let link = link.counting_in(&target.counters);
        let (link, gone) = target.go_on_with(Self::handle(link));
        drop(turn);
        drop(gone);
        Ok(link)
    }

    async fn call(link: &Arc<Link<Self>>, request: &mut Request, until: WaitLimit) -> Outcome {
        link.call(request, until)
    }

    async fn notify(link: &Arc<Link<Self>>, request: Request, until: WaitLimit) -> Outcome {
        link.notify(request, until)
    }

    async fn enter(
        link: &Arc<Link<Self>>,
        request: &mut Request,
        until: WaitLimit,
        later: bool,
    ) -> Result<(u64, Arc<Waiter>), Failure> {
        let waiter = link.waiter(request.name.as_deref());
        let id = link.start(&waiter, request, until, later).map_err(|why| waiter.failed(why))?;
        Ok((id, waiter))
    }

    fn write(link: &Link<Self>, state: MutexGuard<'_, State>, until: WaitLimit) {
        link.flush(state, until, None);
    }

    fn leave(link: &Link<Self>, id: u64, waiter: &Arc<Waiter>) -> bool {
        link.give_up(id, waiter)
    }

    async fn news<T>(
        link: &Arc<Link<Self>>,
        waiter: &Arc<Waiter>,
        until: WaitLimit,
        mut look: impl FnMut(&Waiter) -> Option<T>,
    ) -> Option<T> {
        loop {
            if let Some(found) = look(waiter) {
                return Some(found);
            }
            if !link.wait(waiter, until) {
                return None;
            }
        }
    }

    async fn handler_news<T>(
        handling: &Handling,
        until: WaitLimit,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        handling.wake_by(&this_thread());
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            match until {
                WaitLimit::Done => thread::park(),
                until if left(until).is_zero() => return None,
                until => thread::park_timeout(left(until)),
            }
        }
    }
}

/// The error of a call that had to wait too long for its turn to connect.
pub(crate) fn still_connecting<F, C, M: Calls>(target: &Target<F, C, M>) -> Error {
    let late = Obstacle::TimedOut("another call is still connecting");
    Error::new(Operation::Call, late).at(target.at())
}

impl<M: Mode> Debug for Link<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
