//! What a handler is told of its call.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
#[cfg(feature = "tokio")]
use std::pin::pin;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{self, Poll};
use std::time::Instant;

use super::calls::Calls;
use super::framed::ShapeOf;
use super::link::{Job, Link, Listening, Room};
use super::mux::{Caller as Side, Frame, Id, Room as Credit, cost};
use super::pending::UNCONSUMED;
use super::waiting::{CallerItem, Handling};
use crate::channel::{Receivable, Sendable};
use crate::error::{Cause, CodecError, Error, Obstacle, Operation};
use crate::handles::Handles;
use crate::state::Blocking;
#[cfg(feature = "tokio")]
use crate::state::poll_again_at;
use crate::sys::{Peer, WaitLimit};
use crate::wait::CancelToken;
use crate::wire::shape::{Shape, Style};
use crate::wire::{Codec, Postcard};

/// What a handler is told of its call: who calls, how long it waits, whether it still does; and the way back for items before
/// the answer.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Client, Context, Service};
///
/// let service = Service::<u32, String>::temporary()?.shutdown_after(1);
/// let path = service.path().clone();
/// let serving = thread::spawn(move || {
///     service.serve_with_context(|steps, context: Context<u32>| {
///         for step in 0..steps {
///             context.send(&step)?; // progress
///         }
///         Ok::<_, typed_pipe::Error>("done".to_owned())
///     })
/// });
///
/// let client = Client::<u32, String>::connect(path)?;
/// let mut progress = client.stream::<u32>(&3)?;
/// assert_eq!(progress.by_ref().collect::<Result<Vec<_>, _>>()?, [0, 1, 2]);
/// assert_eq!(progress.finish()?, "done");
/// # serving.join().unwrap()?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
pub struct Context<Item = (), C = Postcard, M: Calls = Blocking> {
    link: Arc<Link<M>>,
    id: Option<Id>,
    handling: Arc<Handling>,
    deadline: Option<Instant>,
    codec: C,
    items: PhantomData<fn(&Item)>,
}

/// The caller of a method of [`service!`](crate::service) that says so behind `where`: the [`Context`] of its call, whose items
/// are those of the method in both ways, whatever the wire.
///
/// `Yields` is what the method sends, and `Takes` what it receives; either is `()` where it does not. `M` is the mode: a method of
/// `Tasks` has a `Caller<Yields, Takes, Tokio>`.
///
/// ```
/// use typed_pipe::{Caller, service};
///
/// service! {
///     pub trait Words in words {
///         /// Counts the words that come, and sends each of them back.
///         fn count() -> u64 where takes: String, yields: String;
///     }
/// }
///
/// struct Counting;
/// impl Words for Counting {
///     fn count(&self, caller: Caller<String, String>) -> u64 {
///         let mut words = 0;
///         while let Some(Ok(word)) = caller.recv() {
///             words += 1;
///             if caller.send(&word).is_err() {
///                 break; // it waits no longer
///             }
///         }
///         words
///     }
/// }
///
/// # fn main() -> Result<(), typed_pipe::Error> {
/// let client = words::local(Counting)?;
/// let mut call = client.count()?;
/// call.send(&"one".to_owned())?;
/// assert_eq!(call.recv().unwrap()?, "one");
/// call.end();
/// assert_eq!(call.finish()?, 1);
/// # Ok(())
/// # }
/// ```
pub type Caller<Yields = (), Takes = (), M = Blocking> =
    Context<Yields, AnyCodec<Yields, Takes>, M>;

/// The codec of the items of one method, whatever it is.
pub struct AnyCodec<Yields, Takes> {
    write: Arc<dyn Fn(&Yields, Room<'_>) -> Result<Vec<u8>, Error> + Send + Sync>,
    read: Arc<dyn Fn(&[u8]) -> Result<Takes, CodecError> + Send + Sync>,
    style: Option<Style>,
}

impl<Yields, Takes> fmt::Debug for AnyCodec<Yields, Takes> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyCodec").finish_non_exhaustive()
    }
}

/// What writes items.
#[diagnostic::on_unimplemented(
    message = "the items of this call are no `{T}`",
    label = "not what the method sends"
)]
pub trait WritesItems<T: ?Sized> {
    /// The bytes of an item.
    #[doc(hidden)]
    fn write(&self, item: &T, room: Room<'_>) -> Result<Vec<u8>, Error>;
}

/// What reads items.
#[diagnostic::on_unimplemented(
    message = "the items of this call are no `{T}`",
    label = "not what the method receives"
)]
pub trait ReadsItems<T> {
    /// The item in its bytes.
    #[doc(hidden)]
    fn read(&self, body: &[u8]) -> Result<T, CodecError>;

    /// How what is read looks, if that can be compared.
    #[doc(hidden)]
    fn reads(&self) -> Option<(Style, ShapeOf)>;
}

impl<C: Codec, T: Sendable + ?Sized> WritesItems<T> for C {
    fn write(&self, item: &T, room: Room<'_>) -> Result<Vec<u8>, Error> {
        room.body(self, item)
    }
}

impl<C: Codec, T: Receivable> ReadsItems<T> for C {
    fn read(&self, body: &[u8]) -> Result<T, CodecError> {
        self.decode(body)
    }

    fn reads(&self) -> Option<(Style, ShapeOf)> {
        Some((self.style()?, Shape::of::<T>))
    }
}

impl<Yields, Takes> WritesItems<Yields> for AnyCodec<Yields, Takes> {
    fn write(&self, item: &Yields, room: Room<'_>) -> Result<Vec<u8>, Error> {
        (self.write)(item, room)
    }
}

impl<Yields, Takes: Receivable> ReadsItems<Takes> for AnyCodec<Yields, Takes> {
    fn read(&self, body: &[u8]) -> Result<Takes, CodecError> {
        (self.read)(body)
    }

    fn reads(&self) -> Option<(Style, ShapeOf)> {
        Some((self.style?, Shape::of::<Takes>))
    }
}

impl<C: Codec + Clone + Send + Sync + 'static, M: Calls> Context<(), C, M> {
    /// The same, for a method of `service!`.
    #[doc(hidden)]
    pub fn into_caller<Yields, Takes>(self) -> Caller<Yields, Takes, M>
    where
        Yields: Sendable + 'static,
        Takes: Receivable + 'static,
    {
        let Self { link, id, handling, deadline, codec, .. } = self;
        let (style, writing, reading) = (codec.style(), codec.clone(), codec);
        let codec = AnyCodec {
            style,
            write: Arc::new(move |item: &Yields, room: Room<'_>| room.body(&writing, item)),
            read: Arc::new(move |body: &[u8]| reading.decode(body)),
        };
        Context { link, id, handling, deadline, codec, items: PhantomData }
    }
}

impl<Item, C, M: Calls> Context<Item, C, M> {
    pub(crate) fn new(link: &Arc<Link<M>>, job: &Job, codec: C) -> Self {
        let (id, handling) = match &job.call {
            Some((id, handling)) => (Some(*id), Arc::clone(handling)),
            None => (None, Arc::default()),
        };
        let deadline = job.deadline;
        Self { link: Arc::clone(link), id, handling, deadline, codec, items: PhantomData }
    }

    /// The process and the user that call; `None` if the system does not tell.
    ///
    /// ```
    /// # #![allow(dead_code)]
    /// use typed_pipe::{Context, Peer};
    ///
    /// /// Only the user of the service may do it.
    /// fn may(context: &Context) -> bool {
    ///     context.peer().is_some_and(Peer::is_same_user)
    /// }
    /// ```
    pub fn peer(&self) -> Option<&Peer> {
        self.link.peer()
    }

    /// When the caller waits no longer, if it has said.
    ///
    /// ```
    /// # #![allow(dead_code)]
    /// use std::time::{Duration, Instant};
    /// use typed_pipe::Context;
    ///
    /// /// How long an attempt may take.
    /// fn time_left(context: &Context) -> Duration {
    ///     let left = context.deadline().map(|end| end.saturating_duration_since(Instant::now()));
    ///     left.unwrap_or(Duration::from_secs(60))
    /// }
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether nothing waits for the answer any more: the caller gave up, or has left. Also once a service that shuts down
    /// [waits no longer](super::Service::shutdown_timeout); the answer is sent then.
    ///
    /// While more than a megabyte of requests of this caller waits for a handler to end, [in order](super::Service::in_order) for
    /// instance, nothing further is read, and it is not known that the caller gave up or has left.
    ///
    /// ```
    /// # #![allow(dead_code)]
    /// use typed_pipe::Context;
    ///
    /// fn search(context: &Context) -> Option<u64> {
    ///     (0..).take_while(|_| !context.is_cancelled()).find(|number| number * number == 144)
    /// }
    /// ```
    #[doc(alias("abort"))]
    pub fn is_cancelled(&self) -> bool {
        self.handling.is_over()
    }

    /// A token that is cancelled when the call [is](Self::is_cancelled), for the waits of the handler.
    ///
    /// ```
    /// # #![allow(dead_code)]
    /// use typed_pipe::{ConnectOptions, Connection, Context, Error};
    ///
    /// fn forward(context: &Context, path: &str) -> Result<Connection, Error> {
    ///     ConnectOptions::new().cancelled_by(context.cancel_token()?).connect(path)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): there are no descriptors left for it.
    pub fn cancel_token(&self) -> Result<&CancelToken, Error> {
        self.handling.token()
    }

    /// The handles beside the request, of a service that [lets them in](super::Service::with_handles). They are there once.
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::Read;
    /// use std::thread;
    /// use typed_pipe::{Carried, Client, Context, Handles, Service};
    ///
    /// let service = Service::<Carried<File>, usize>::temporary()?.with_handles().shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || {
    ///     service.serve_with_context(|file, context: Context| {
    ///         let mut words = String::new();
    ///         context.take_handles().claim(file)?.read_to_string(&mut words)?;
    ///         Ok::<_, std::io::Error>(words.len())
    ///     })
    /// });
    ///
    /// let client = Client::<Carried<File>, usize>::connect(path)?;
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("notes");
    /// # std::fs::write(&name, "a note")?;
    /// let mut handles = Handles::new();
    /// let file = handles.carry(File::open(name)?)?;
    /// let (length, _) = client.call_with_handles(&file, &mut handles)?;
    /// assert_eq!(length, 6);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("SCM_RIGHTS", "file descriptor"))]
    pub fn take_handles(&self) -> Handles {
        mem::take(&mut self.handling.inbox().handles).into()
    }

    /// Sends handles beside the answer, to a caller that [lets them in](super::ClientOptions::with_handles).
    ///
    /// An example is at [`Client::call_with_handles`](super::Client::call_with_handles).
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported): the caller lets none in, or the connection is over a carrier.
    /// [`TooLarge`](crate::ErrorKind::TooLarge): there are too many.
    pub fn give_handles(&self, mut handles: Handles) -> Result<(), Error> {
        self.handling.inbox().given = self.link.passed(&mut handles)?;
        Ok(())
    }

    /// Sends an item before the answer, to a caller that [takes them](super::Client::stream). Waits while the caller has not
    /// consumed enough of those before.
    ///
    /// An example is at [`Context`].
    ///
    /// # Errors
    ///
    /// [`Mismatch`](crate::ErrorKind::Mismatch): the caller reads items of another type; it was not sent.
    /// [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): it was not sent.
    /// [`Cancelled`](crate::ErrorKind::Cancelled): nothing waits for it any more, or the service shuts down and
    /// [waits no longer](super::Service::shutdown_timeout).
    /// [`TimedOut`](crate::ErrorKind::TimedOut): the [deadline](Self::deadline) passed before there was room for it.
    #[doc(alias("progress", "yield"))]
    pub fn send(&self, item: &Item) -> M::Ret<impl Future<Output = Result<(), Error>>>
    where
        C: WritesItems<Item>,
    {
        let room = self.link.room().for_items(&self.handling.items);
        M::run(self.send_item(self.codec.write(item, room)))
    }

    async fn send_item(&self, body: Result<Vec<u8>, Error>) -> Result<(), Error> {
        let mut body = Some(body?);
        let Some(id) = self.id else { return Err(gone()) };
        let mut listening = None;
        let until = self.until();
        let sent = M::handler_news(&self.handling, until, || {
            if self.is_cancelled() {
                return Some(false);
            }
            let mut state = self.link.lock();
            let bytes = body.as_ref().map_or(0, |body| cost(body));
            match state.mux.send_item(id, Side::Receiver, bytes) {
                Credit::Taken => {
                    let body = body.take().unwrap_or_default();
                    let caller = Side::Receiver;
                    state.outbox.push(Frame::Item { id, caller, told: false, body });
                    M::write(&self.link, state, until);
                    Some(true)
                }
                Credit::None => {
                    drop(state);
                    M::listen(&self.link, &mut listening);
                    None
                }
                Credit::Over => Some(false),
            }
        });
        match sent.await {
            Some(true) => Ok(()),
            Some(false) if self.handling.is_hurried() => {
                Err(Error::new(Operation::Send, Cause::ShutDown))
            }
            Some(false) => Err(gone()),
            None => Err(Error::new(Operation::Send, Obstacle::TimedOut(UNCONSUMED))),
        }
    }

    /// Nothing waits for the answer after the deadline of the caller.
    fn until(&self) -> WaitLimit {
        self.deadline.map_or(WaitLimit::Done, WaitLimit::Deadline)
    }

    /// Waits for the next item that the caller [sends](super::Items::send); `None` after the last one, when the caller has
    /// [ended](super::Items::end) them, and at once for a call that is no [stream](super::Client::stream), which has none. What the caller says that its items look like is compared with `T`, and no item of another type is read as one.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Context, Service};
    ///
    /// let service = Service::<(), u64>::temporary()?.shutdown_after(1);
    /// let path = service.path().clone();
    /// let serving = thread::spawn(move || {
    ///     service.serve_with_context(|(), context: Context| {
    ///         let mut sum = 0;
    ///         while let Some(number) = context.recv::<u64>() {
    ///             sum += number?;
    ///         }
    ///         Ok::<_, typed_pipe::Error>(sum)
    ///     })
    /// });
    ///
    /// let client = Client::<(), u64>::connect(path)?;
    /// let mut call = client.stream::<()>(&())?;
    /// for number in 1..=4_u64 {
    ///     call.send(&number)?;
    /// }
    /// call.end();
    /// assert_eq!(call.finish()?, 10);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Mismatch`](crate::ErrorKind::Mismatch): the caller sends items of another type; the next one may be of this type.
    /// [`Decode`](crate::ErrorKind::Decode): the item cannot be decoded; the next one may be.
    /// [`Cancelled`](crate::ErrorKind::Cancelled), once, and then `None`: the caller has given up or has left before it has ended
    /// its items, or the service shuts down, and [waits no longer](super::Service::shutdown_timeout) for what the caller might
    /// still send. In the same way [`TimedOut`](crate::ErrorKind::TimedOut): the [deadline](Self::deadline) has passed.
    pub fn recv<T>(&self) -> M::Ret<impl Future<Output = Option<Result<T, Error>>>>
    where
        C: ReadsItems<T>,
    {
        M::run(async { self.recv_item(&mut None).await })
    }

    /// The items that the caller [sends](super::Items::send), until the last one: an iterator, and in the mode `Tokio` a stream.
    /// Each is what [`recv`](Self::recv) returns.
    ///
    /// ```
    /// use typed_pipe::{Client, ClientOptions, Context, Error};
    ///
    /// let sum = |(), context: Context| context.items::<u64>().sum::<Result<u64, Error>>();
    /// let client: Client<(), u64> = ClientOptions::new().local_with_context(sum)?;
    /// let mut call = client.stream::<()>(&())?;
    /// call.send(&1_u64)?;
    /// call.send(&2_u64)?;
    /// call.end();
    /// assert_eq!(call.finish()?, 3);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn items<T>(&self) -> CallerItems<'_, T, Item, C, M>
    where
        C: ReadsItems<T>,
    {
        CallerItems { context: self, listening: None, timer: None, types: PhantomData }
    }

    async fn recv_item<T>(&self, listening: &mut Option<Listening<M>>) -> Option<Result<T, Error>>
    where
        C: ReadsItems<T>,
    {
        let id = self.id?;
        let until = self.until();
        let item = M::handler_news(&self.handling, until, || {
            let mut inbox = self.handling.inbox();
            if self.handling.is_hurried() && !(inbox.ended && inbox.items.is_empty()) {
                // It is not all that the caller sends: the handler is told so.
                inbox.items.clear();
                inbox.ended = true;
                return Some(Err(Cause::ShutDown));
            }
            match inbox.items.pop_front() {
                Some(item) => Some(Ok(Some(item))),
                None if inbox.ended => Some(Ok(None)),
                None if self.handling.is_cancelled() => {
                    // Nor is this all.
                    inbox.ended = true;
                    Some(Err(Cause::CallerGone))
                }
                None => {
                    drop(inbox);
                    M::listen(&self.link, listening);
                    None
                }
            }
        });
        let item = item.await;
        *listening = None;
        let Some(item) = item else {
            self.handling.inbox().ended = true;
            let late = Obstacle::TimedOut("the deadline of the caller has passed");
            return Some(Err(Error::new(Operation::Receive, late)));
        };
        let item = match item {
            Ok(item) => item?,
            Err(cause) => return Some(Err(Error::new(Operation::Receive, cause))),
        };
        let mut state = self.link.lock();
        state.consumed(id, Side::Receiver, item.cost);
        M::write(&self.link, state, until);
        Some(self.read_item(&item))
    }

    /// The value of an item. It is the user's code that runs here.
    fn read_item<T>(&self, item: &CallerItem) -> Result<T, Error>
    where
        C: ReadsItems<T>,
    {
        if let (Some(told), Some((style, reads))) = (&item.told, self.codec.reads()) {
            told.ensure_read_by(style, reads)?;
        }
        let decoded = self.codec.read(&item.body);
        decoded.map_err(|error| Error::new(Operation::Receive, Cause::Decode(error)))
    }
}

/// The items that a caller sends: see [`Context::items`].
#[must_use = "it reads nothing by itself"]
pub struct CallerItems<'a, T, Item, C = Postcard, M: Calls = Blocking> {
    context: &'a Context<Item, C, M>,
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "of tasks"))]
    listening: Option<Listening<M>>,
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "of tasks"))]
    timer: Option<M::Timer>,
    types: PhantomData<fn() -> T>,
}

impl<T, Item, C: ReadsItems<T>> Iterator for CallerItems<'_, T, Item, C> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.context.recv()
    }
}

#[cfg(feature = "tokio")]
impl<T, Item, C: ReadsItems<T>, M: Calls> CallerItems<'_, T, Item, C, M> {
    /// The next one.
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<T, Error>>> {
        let Self { context, listening, timer, .. } = self;
        let next = poll_again_at::<M, _>(context.until(), timer, cx, |cx| {
            pin!(context.recv_item(listening)).poll(cx)
        });
        if next.is_ready() {
            *timer = None;
        }
        next
    }
}

// Nothing in it is pinned.
impl<T, Item, C, M: Calls> Unpin for CallerItems<'_, T, Item, C, M> {}

impl<T, Item, C, M: Calls> fmt::Debug for CallerItems<'_, T, Item, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerItems").field("context", self.context).finish_non_exhaustive()
    }
}

/// The error of an item that nothing waits for.
fn gone() -> Error {
    Error::new(Operation::Send, Cause::CallerGone)
}

impl<Item, C, M: Calls> fmt::Debug for Context<Item, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("id", &self.id).finish_non_exhaustive()
    }
}
