//! What many machines send, as one receiver.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::{self, Thread};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, SelectAll, Stream as _};
use tokio::time::timeout;
use typed_pipe::wire::{LengthPrefixed, Postcard};
use typed_pipe::{Error, ErrorKind, Receivable, Tokio, TypedConnection};

use crate::carrier::Stream;
use crate::key::PublicKey;
use crate::net::{Inner, for_tasks};
use crate::offer::{Offer, unless_over};

/// One word of one of many machines.
#[derive(Debug)]
pub struct Collected<T> {
    /// The machine, by the key that it has proved.
    pub from: PublicKey,
    /// Its message; or how its connection ended, as the last word of that: [`Finished`](ErrorKind::Finished) if it said
    /// goodbye.
    pub message: Result<T, Error>,
}

/// What many machines send, as one receiver: from [`Offer::collect`].
///
/// Each machine connects, and sends over a typed connection; each may have several. Their messages come in the order of
/// each connection, and in turns where several have some. A connection is read only while the program receives, as by a
/// receiver of its own: a program that stops receiving holds up all of its senders, and their `finish`.
///
/// ```
/// use std::thread;
/// use typed_pipe::{ErrorKind, TypedConnection};
/// use typed_pipe_net::{Key, Net};
///
/// let keys = [Key::generate(), Key::generate()];
/// let net = Net::open(&Key::generate())?.listening("127.0.0.1:0".parse()?)?;
/// let offer = net.offer("measured", &keys.each_ref().map(Key::public))?;
/// let address = offer.address().to_owned();
/// let senders = keys.map(|key| {
///     let address = address.clone();
///     thread::spawn(move || {
///         let net = Net::open(&key).unwrap(); // each on its own machine
///         let mut sender: TypedConnection<u32, ()> = net.connect(&address).unwrap().into_typed().unwrap();
///         sender.send(&21).unwrap();
///         sender.finish().unwrap();
///     })
/// });
///
/// let (mut sum, mut ended) = (0, 0);
/// for collected in offer.collect::<u32>() {
///     match collected?.message {
///         Ok(number) => sum += number,
///         Err(end) => {
///             assert_eq!(end.kind(), ErrorKind::Finished);
///             ended += 1;
///         }
///     }
///     if ended == 2 {
///         break;
///     }
/// }
/// assert_eq!(sum, 42);
/// # senders.map(|sender| sender.join().unwrap());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Collector<T> {
    offer: Offer,
    /// In turns, those that have yet to agree on the type among them.
    senders: SelectAll<BoxStream<'static, Collected<T>>>,
    /// The next one.
    coming: Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>,
}

type Typed<T> = TypedConnection<(), T, LengthPrefixed, Postcard, Tokio>;

impl<T> fmt::Debug for Collector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("offer", &self.offer).finish_non_exhaustive()
    }
}

impl<T: Receivable + Send + 'static> Collector<T> {
    pub(crate) fn new(offer: Offer) -> Self {
        Self { senders: SelectAll::new(), coming: Box::pin(offer.next_within(None)), offer }
    }

    /// What it collects: its address, and who is let in.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Receives the next word of any machine, and waits until there is one.
    ///
    /// # Errors
    ///
    /// Those of [`Offer::accept`]. That of one machine is in [`Collected::message`].
    pub fn recv(&mut self) -> io::Result<Collected<T>> {
        let inner = Arc::clone(self.offer.inner());
        wait_for(&inner, self.recv_async())
    }

    /// As [`recv`](Self::recv), for so long at most.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut), too.
    pub fn recv_timeout(&mut self, limit: Duration) -> io::Result<Collected<T>> {
        let inner = Arc::clone(self.offer.inner());
        let receiving = async { timeout(limit, self.recv_async()).await };
        wait_for(&inner, receiving).unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "nobody has sent anything in time"))
        })
    }

    /// As [`recv`](Self::recv), for tasks. It may be dropped at any time: nothing is lost.
    ///
    /// # Errors
    ///
    /// As those of `recv`.
    pub async fn recv_async(&mut self) -> io::Result<Collected<T>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Collected<T>>> {
        let mut over = None;
        while let Poll::Ready(next) = self.coming.as_mut().poll(cx) {
            self.coming = Box::pin(self.offer.next_within(None));
            let stream = match next {
                Ok(stream) => stream,
                // Those that it ended have their last words first.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    over = Some(error);
                    break;
                }
                Err(error) => return Poll::Ready(Err(error)),
            };
            self.senders.push(words(stream));
        }
        match (ready!(Pin::new(&mut self.senders).poll_next(cx)), over) {
            (Some(collected), _) => Poll::Ready(Ok(collected)),
            // No sender is left.
            (None, Some(end)) => Poll::Ready(Err(end)),
            // The next sender wakes this.
            (None, None) => Poll::Pending,
        }
    }
}

/// Ends when the [`Net`](crate::Net) is closed, or its token is cancelled.
impl<T: Receivable + Send + 'static> Iterator for Collector<T> {
    type Item = io::Result<Collected<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        unless_over(self.recv())
    }
}

/// As the iterator, for tasks.
impl<T: Receivable + Send + 'static> stream::Stream for Collector<T> {
    type Item = io::Result<Collected<T>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx).map(unless_over)
    }
}

async fn agree<T: Receivable>(stream: Stream) -> Result<Typed<T>, Error> {
    for_tasks(stream)?.into_typed().await
}

/// A machine that sends.
enum Sender<T: Receivable> {
    Coming(Stream),
    Agreed(Box<Typed<T>>),
}

/// What one machine says, up to its last word.
fn words<T: Receivable + Send + 'static>(stream: Stream) -> BoxStream<'static, Collected<T>> {
    let from = stream.machine();
    Box::pin(stream::unfold(Some(Sender::Coming(stream)), move |sender| async move {
        let agreed = match sender? {
            Sender::Coming(stream) => agree(stream).await.map(Box::new),
            Sender::Agreed(connection) => Ok(connection),
        };
        let mut connection = match agreed {
            Ok(connection) => connection,
            Err(error) => return Some((Collected { from, message: Err(error) }, None)),
        };
        let message = connection.recv().await;
        let is_last = message
            .as_ref()
            .is_err_and(|error| error.is_fatal() || error.kind() == ErrorKind::Finished);
        let next = (!is_last).then_some(Sender::Agreed(connection));
        Some((Collected { from, message }, next))
    }))
}

/// Polls something of the runtime in this thread, whatever it is.
fn wait_for<T>(inner: &Inner, work: impl Future<Output = T>) -> T {
    let _in = inner.busy.runtime().enter();
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let (mut work, mut cx) = (pin!(work), Context::from_waker(&waker));
    loop {
        match work.as_mut().poll(&mut cx) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
