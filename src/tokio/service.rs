//! Answering requests.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Tokio;
use crate::channel::{Receivable, Sendable};
use crate::dialog::{Agreement, ReceivingHalf, SendingHalf};
use crate::duplex::{Connection, Listener};
use crate::error::{Error, ErrorKind, Obstacle, Operation, TransitionError};
use crate::service::{Answer, Desk, Request, Service, Summary, instead};
use crate::wire::{Codec, Framing};

impl<Req, Resp, F, C> Service<Req, Resp, F, C>
where
    Req: Receivable,
    Resp: Sendable,
    F: Framing + Clone + Send,
    C: Codec + Clone + Send,
{
    /// Lets tasks of [tokio](Tokio) serve.
    ///
    /// ```
    /// use typed_pipe::{Client, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let service = Service::<u32, u32>::temporary()?.message_limit(1).into_tokio()?;
    /// let path = service.path().clone();
    /// let client = std::thread::spawn(move || Client::<u32, u32>::connect(path)?.call(&42));
    ///
    /// service.serve(|number| async move { number + 1 }).await?; // until the limit is reached
    /// assert_eq!(client.join().unwrap()?, 43); // clients may block their threads
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Listener::into_tokio`]. In each the service is given back.
    ///
    /// # Panics
    ///
    /// Where the runtime has no driver for I/O.
    pub fn into_tokio(self) -> Result<Service<Req, Resp, F, C, Tokio>, TransitionError<Self>> {
        self.with_listener(Listener::into_tokio)
    }
}

impl<Req, Resp, F, C> Service<Req, Resp, F, C, Tokio>
where
    Req: Receivable + Send + 'static,
    Resp: Sendable + Send + Sync + 'static,
    F: Framing + Clone + Send + Sync + 'static,
    C: Codec + Clone + Send + Sync + 'static,
{
    /// Answers requests, until the service ends.
    ///
    /// Each client is served in a task of its own, one request after the other. A handler that panics ends that request
    /// alone.
    ///
    /// Where the future is dropped, the service ends at once: the tasks of its clients go with it, and what they
    /// were handling. A [stop](Self::stopped_by) lets them answer what they have taken.
    ///
    /// ```
    /// use typed_pipe::{ClientOptions, Service, Stop};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let stop = Stop::new()?;
    /// let service = Service::<String, usize>::temporary()?.stopped_by(&stop).into_tokio()?;
    /// let path = service.path().clone();
    /// let serving = tokio::spawn(service.serve(|word| async move { word.len() }));
    ///
    /// let client = ClientOptions::new().into_tokio().connect::<String, usize>(path).await?;
    /// let (one, other) = ("one".into(), "another".into());
    /// let (one, other) = tokio::join!(client.call(&one), client.call(&other));
    /// assert_eq!((one?, other?), (3, 7));
    ///
    /// stop.stop();
    /// assert_eq!(serving.await.unwrap()?.answered, 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a service that blocks.
    ///
    /// # Panics
    ///
    /// Where the runtime has no driver for time.
    pub async fn serve<H, A>(self, handler: H) -> Result<Summary, Error>
    where
        H: Fn(Req) -> A + Send + Sync + 'static,
        A: Future<Output = Resp> + Send,
    {
        let handler = Arc::new(handler);
        self.try_serve(move |request| {
            let handler = Arc::clone(&handler);
            async move { Ok::<_, Infallible>(handler(request).await) }
        })
        .await
    }

    /// Answers requests with a handler that may fail, until the service ends.
    ///
    /// The words of the handler's error go to the caller, in an error of the kind
    /// [`Failed`](crate::ErrorKind::Failed). Where the future is dropped, see [`serve`](Self::serve).
    ///
    /// ```
    /// use typed_pipe::{ClientOptions, ErrorKind, Service, Stop};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let stop = Stop::new()?;
    /// let service = Service::<String, u32>::temporary()?.stopped_by(&stop).into_tokio()?;
    /// let path = service.path().clone();
    /// let serving = tokio::spawn(service.try_serve(|word| async move { word.parse::<u32>() }));
    ///
    /// let client = ClientOptions::new().into_tokio().connect::<String, u32>(path).await?;
    /// assert_eq!(client.call(&"42".into()).await?, 42);
    /// let error = client.call(&"many".into()).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Failed);
    /// assert!(error.to_string().contains("invalid digit found in string"));
    /// # stop.stop();
    /// # assert_eq!(serving.await.unwrap()?.failed, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a service that blocks.
    ///
    /// # Panics
    ///
    /// As [`serve`](Self::serve).
    pub async fn try_serve<H, A, E>(self, handler: H) -> Result<Summary, Error>
    where
        H: Fn(Req) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Resp, E>> + Send,
        E: fmt::Display + Send,
    {
        let (listener, agreement, desk) = self.open()?;
        let (mut listener, desk, handler) =
            (listener.heeding_stop(), Arc::new(desk), Arc::new(handler));
        let mut clients = JoinSet::new();
        let ended = loop {
            let client = match accept(&desk, &mut listener).await {
                Ok(Some(client)) => client,
                Ok(None) => break Ok(()),
                Err(error) if error.kind() == ErrorKind::Exhausted => continue,
                Err(error) => break Err(error),
            };
            // What is over is let go of.
            while clients.try_join_next().is_some() {}
            let (agreement, desk, handler) =
                (agreement.clone(), Arc::clone(&desk), Arc::clone(&handler));
            clients.spawn(async move {
                // A panic of the caller's code, such as its `Deserialize`, costs this client alone.
                let served =
                    caught(async { serve(&desk, client?, agreement, &*handler).await }).await;
                if !matches!(served, Ok(Ok(()))) {
                    desk.lose();
                }
            });
        };
        desk.closing().stop();
        // The name goes when the service is to end, and not only when the last answer is sent.
        drop(listener);
        while clients.join_next().await.is_some() {}
        ended.map(|()| desk.summary())
    }
}

/// The next client, or why it is not served; `None` when the service is to end.
async fn accept(
    desk: &Desk,
    listener: &mut Listener<Tokio>,
) -> Result<Option<Result<Connection<Tokio>, Error>>, Error> {
    loop {
        let accepted = match desk.left() {
            None => listener.accept_any().await,
            Some(Duration::ZERO) => return Ok(None),
            Some(left) => match timeout(left, listener.accept_any()).await {
                Ok(accepted) => accepted,
                Err(_) => continue,
            },
        };
        let registered = match accepted.map(|client| desk.expect(client)) {
            Ok(Ok(client)) => listener.register(client).await.map(Ok),
            Ok(Err(refused)) => Ok(Err(refused)),
            Err(error) => Err(error),
        };
        return match registered {
            Ok(client) => {
                desk.let_in();
                Ok(Some(client))
            }
            Err(error) if error.kind() == ErrorKind::Stopped => Ok(None),
            Err(error) => Err(error),
        };
    }
}

/// Serves one client, until it leaves or the service ends.
async fn serve<Req, Resp, F, C, H, A, E>(
    desk: &Desk,
    client: Connection<Tokio>,
    agreement: Agreement<F, C>,
    handler: &H,
) -> Result<(), Error>
where
    Req: Receivable,
    Resp: Sendable,
    F: Framing + Clone,
    C: Codec + Clone,
    H: Fn(Req) -> A,
    A: Future<Output = Result<Resp, E>>,
    E: fmt::Display,
{
    let agreed = client.into_channels_with::<Answer<Resp>, Request<Req>, _, _>(agreement).await;
    let (mut sender, mut receiver) = match agreed {
        Err(error) if error.kind() == ErrorKind::Stopped => return Ok(()),
        agreed => agreed?,
    };
    answer(desk, &mut sender, &mut receiver, handler).await?;
    // Whoever waits for an answer learns that its request was not taken. After an error that may not be true.
    let _ = timeout(desk.patience(), sender.finish_sending()).await;
    Ok(())
}

async fn answer<Req, Resp, F, C, H, A, E>(
    desk: &Desk,
    sender: &mut SendingHalf<Answer<Resp>, F, C, Tokio>,
    receiver: &mut ReceivingHalf<Request<Req>, F, C, Tokio>,
    handler: &H,
) -> Result<(), Error>
where
    Req: Receivable,
    Resp: Sendable,
    F: Framing,
    C: Codec,
    H: Fn(Req) -> A,
    A: Future<Output = Result<Resp, E>>,
    E: fmt::Display,
{
    while !desk.is_closing() {
        let received = match desk.client_idle_limit() {
            Some(limit) => receive_within(receiver, limit).await,
            None => receiver.recv().await,
        };
        let Some((ticket, request)) = desk.take(received)? else { break };
        let handle = async { handler(request).await.map_err(|error| error.to_string()) };
        let mut answer = desk.handled(&ticket, caught(handle).await);
        let mut sent = in_time(desk, sender.send(&answer)).await;
        if let Some(failure) = instead(&answer, &sent) {
            answer = failure;
            sent = in_time(desk, sender.send(&answer)).await;
        }
        sent?;
        desk.answered(&answer);
    }
    Ok(())
}

/// The next request, unless nothing comes for so long, be it a part of one.
async fn receive_within<T: Receivable, F: Framing, C: Codec>(
    receiver: &mut ReceivingHalf<T, F, C, Tokio>,
    limit: Duration,
) -> Result<T, Error> {
    let mut here = receiver.parts().1.unread();
    loop {
        let received = timeout(limit, receiver.recv()).await;
        let before = mem::replace(&mut here, receiver.parts().1.unread());
        match received {
            Ok(received) => return received,
            Err(_) if here > before => {}
            Err(_) => {
                let late = Obstacle::TimedOut("the client asks for nothing");
                return Err(Error::new(Operation::Receive, late));
            }
        }
    }
}

/// Gives up a client that does not take its answer.
async fn in_time(
    desk: &Desk,
    sending: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let late =
        || Error::new(Operation::Send, Obstacle::TimedOut("the client does not take its answer"));
    timeout(desk.patience(), sending).await.unwrap_or_else(|_| Err(late()))
}

/// What a future comes to, or what its panic says.
async fn caught<T>(future: impl Future<Output = T>) -> thread::Result<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
