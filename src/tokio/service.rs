//! Answering requests.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::{JoinError, JoinSet};

use super::Tokio;
use crate::channel::{Described, Receivable};
use crate::connection::Listener;
use crate::error::{Error, ErrorKind, TransitionError};
use crate::service::{
    CallSpan, Clients, Drive, Handles, Job, Kind, Lifecycle, Link, Opened, Reply, Response, Serve,
    Serves, Service, Start, Summary, Types, answered, contain, decoded, panicked, span_of,
};
use crate::wire::{Codec, Framing};

impl<Req, Resp, F, C> Service<Req, Resp, F, C>
where
    Req: Receivable,
    Resp: Described,
    F: Framing + Clone + Send,
    C: Codec + Clone + Send,
{
    /// Switches the service to the mode [`Tokio`], for tasks.
    ///
    /// ```
    /// use typed_pipe::{Client, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), typed_pipe::Error> {
    /// let service = Service::<u32, u32>::temporary()?.shutdown_after(1).into_tokio()?;
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
    /// Those of [`Listener::into_tokio`]. Each gives back the service.
    ///
    /// # Panics
    ///
    /// If the runtime has no driver for I/O.
    pub fn into_tokio(self) -> Result<Service<Req, Resp, F, C, Tokio>, TransitionError<Self>> {
        self.with_listener(Listener::into_tokio)
    }
}

impl<Req, Resp, F, C, H> Serves<Req, Resp, F, C, H> for Tokio
where
    Req: Receivable + Send + 'static,
    Resp: Described + Send + Sync + 'static,
    F: Framing + Clone + Send + Sync + 'static,
    C: Codec + Clone + Send + Sync + 'static,
    H: Handles<Req, C, Self> + Send + Sync + 'static,
    H::Answer: Future<Output: Response<Resp>> + Send + 'static,
{
    async fn serve(service: Service<Req, Resp, F, C, Self>, handler: H) -> Result<Summary, Error> {
        serve_opened::<Req, Resp, _, _, _>(service.open(Kind::Requests)?, handler).await
    }

    fn serve_beside(
        link: Arc<Link<Self>>,
        codec: C,
        lifecycle: Lifecycle,
        handler: H,
    ) -> Result<Self::Serving, Error> {
        let lifecycle = Arc::new(lifecycle);
        let starter = Starter::<_, _, fn(Req) -> Resp>::new(&Arc::new(handler), &codec, &lifecycle);
        Ok(tokio::spawn(async move {
            drive(&lifecycle, &link, starter).await;
            lifecycle.summary()
        }))
    }

    fn detach(service: Service<Req, Resp, F, C, Self>, handler: H) -> Result<(), Error> {
        // What it lacks is said here, and not by a side that has left.
        let opened = service.open(Kind::Requests)?;
        tokio::spawn(serve_opened::<Req, Resp, _, _, _>(opened, handler));
        Ok(())
    }
}

/// Serves each client in a task of its own.
async fn serve_opened<Req, Resp, F, C, H>(
    opened: Opened<F, C, Tokio>,
    handler: H,
) -> Result<Summary, Error>
where
    Req: Receivable + Send + 'static,
    Resp: Described + Send + Sync + 'static,
    F: Framing + Clone + Send + Sync + 'static,
    C: Codec + Clone + Send + Sync + 'static,
    H: Handles<Req, C, Tokio> + Send + Sync + 'static,
    H::Answer: Future<Output: Response<Resp>> + Send + 'static,
{
    let (listening, meeting, wire, lifecycle) = opened;
    let (wire, lifecycle, handler) = (Arc::new(wire), Arc::new(lifecycle), Arc::new(handler));
    // Code of the user's, such as that which copies its wire, may panic.
    let count_panic = |ended: Result<(), JoinError>| {
        if ended.is_err() {
            lifecycle.count_lost();
        }
    };
    let mut clients = JoinSet::new();
    let types = Types::of_service::<Req, Resp>();
    let ended = loop {
        let client = match listening.next(&lifecycle).await {
            Ok(Some(client)) => client,
            Ok(None) => break Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => continue,
            Err(error) => break Err(error),
        };
        // Forgets finished tasks.
        while let Some(ended) = clients.try_join_next() {
            count_panic(ended);
        }
        let Some(met) = meeting.begin(client, types) else {
            lifecycle.count_lost();
            continue;
        };
        let (wire, handler) = (Arc::clone(&wire), Arc::clone(&handler));
        let lifecycle = Arc::clone(&lifecycle);
        clients.spawn(async move {
            // Its memory is free when it is over: the task lasts as long as the client.
            match Box::pin(met.meet(types, &lifecycle)).await {
                Ok(link) => {
                    let starter =
                        Starter::<_, _, fn(Req) -> Resp>::new(&handler, wire.codec(), &lifecycle);
                    drive(&lifecycle, &Arc::new(link), starter).await;
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => {}
                Err(_) => lifecycle.count_lost(),
            }
        });
    };
    if matches!(listening, Clients::Listener(_)) {
        lifecycle.closing().cancel();
    }
    // The name is removed when the service begins to end, not only after the last answer.
    drop(listening);
    while let Some(ended) = clients.join_next().await {
        count_panic(ended);
    }
    ended.map(|()| lifecycle.summary())
}

/// Serves a client until it has left, is silent for too long, or the service is to end.
async fn drive(lifecycle: &Lifecycle, link: &Arc<Link<Tokio>>, start: impl Start<Tokio> + 'static) {
    let serve = Serve {
        start: Box::new(start),
        order: lifecycle.order(),
        idle_timeout: lifecycle.client_idle_timeout(),
    };
    let mut drive = Drive::serving(link, serve);
    poll_fn(|cx| drive.poll(cx)).await;
    if drive.has_failed() {
        lifecycle.count_lost();
    }
}

/// Starts the handlers of one client.
struct Starter<H, C, T> {
    handler: Arc<H>,
    codec: C,
    lifecycle: Arc<Lifecycle>,
    /// Those that were not done at once. They end with the client.
    tasks: JoinSet<()>,
    messages: PhantomData<T>,
}

impl<H, C: Clone, T> Starter<H, C, T> {
    fn new(handler: &Arc<H>, codec: &C, lifecycle: &Arc<Lifecycle>) -> Self {
        Self {
            handler: Arc::clone(handler),
            codec: codec.clone(),
            lifecycle: Arc::clone(lifecycle),
            tasks: JoinSet::new(),
            messages: PhantomData,
        }
    }
}

impl<Req, Resp, C, H> Start<Tokio> for Starter<H, C, fn(Req) -> Resp>
where
    Req: Receivable + Send + 'static,
    Resp: Described + Send + Sync + 'static,
    C: Codec + Clone + Send + Sync + 'static,
    H: Handles<Req, C, Tokio> + Send + Sync + 'static,
    H::Answer: Future<Output: Response<Resp>> + Send + 'static,
{
    fn start(&mut self, link: &Arc<Link<Tokio>>, job: Job, cx: &mut Context<'_>) {
        let (handler, codec) = (Arc::clone(&self.handler), self.codec.clone());
        let (lifecycle, shared) = (Arc::clone(&self.lifecycle), Arc::clone(link));
        let mut handling = Box::pin(async move {
            let link = shared;
            // A panic of the caller's code, such as its `Deserialize`, ends this call alone.
            let mut span = span_of::<Req, _>(&codec, &link, &job);
            let reply = caught(&span, async {
                let request = decoded::<Req>(&codec, &job.body)?;
                let handled = handler.run(request, &link, &job, &codec).await.into_result();
                answered(&codec, handled, &link)
            });
            let reply = reply.await;
            span.end(job.end(&reply));
            lifecycle.done();
            (job, reply)
        });
        // One that is done at once needs no task.
        match handling.as_mut().poll(cx) {
            Poll::Ready((job, reply)) => link.reply(&job, reply, true),
            Poll::Pending => {
                while self.tasks.try_join_next().is_some() {}
                let link = Arc::clone(link);
                self.tasks.spawn(async move {
                    let (job, reply) = handling.await;
                    link.reply(&job, reply, false);
                });
            }
        }
    }

    fn take(&mut self) -> bool {
        self.lifecycle.take()
    }

    fn is_closing(&self) -> bool {
        self.lifecycle.is_closing()
    }

    fn note_idle(&mut self) {
        self.lifecycle.note_idle();
    }
}

/// What the user's code comes to, or its panic.
async fn caught(span: &CallSpan, future: impl Future<Output = Reply>) -> Reply {
    let mut future = pin!(Some(future));
    poll_fn(|cx| {
        let Some(running) = future.as_mut().as_pin_mut() else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| span.within(|| running.poll(cx))));
        let reply = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(reply)) => reply,
            Err(panic) => panicked(panic),
        };
        // What is left of it is the user's too.
        contain(|| span.within(|| future.set(None)));
        Poll::Ready(reply)
    })
    .await
}
