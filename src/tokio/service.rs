//! Answering requests.

use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Tokio;
use crate::channel::{Receivable, Sendable};
use crate::connection::Listener;
use crate::error::{Error, ErrorKind, TransitionError};
use crate::service::{Response, Serves, Service, Summary, accept, caught, serve};
use crate::wire::{Codec, Framing};

impl<Req, Resp, F, C> Service<Req, Resp, F, C>
where
    Req: Receivable,
    Resp: Sendable,
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

impl<Req, Resp, F, C, H, A> Serves<Req, Resp, F, C, H, A> for Tokio
where
    Req: Receivable + Send + 'static,
    Resp: Sendable + Send + Sync + 'static,
    F: Framing + Clone + Send + Sync + 'static,
    C: Codec + Clone + Send + Sync + 'static,
    H: Fn(Req) -> A + Send + Sync + 'static,
    A: Future<Output: Response<Resp>> + Send,
{
    async fn serve(service: Service<Req, Resp, F, C, Self>, handler: H) -> Result<Summary, Error> {
        let (listener, handshake, lifecycle) = service.open()?;
        let (lifecycle, handler) = (Arc::new(lifecycle), Arc::new(handler));
        let mut clients = JoinSet::new();
        let ended = loop {
            let client = match accept(&lifecycle, &listener).await {
                Ok(Some(client)) => client,
                Ok(None) => break Ok(()),
                Err(error) if error.kind() == ErrorKind::ResourceExhausted => continue,
                Err(error) => break Err(error),
            };
            // Forgets finished tasks.
            while clients.try_join_next().is_some() {}
            let (handshake, lifecycle, handler) =
                (handshake.clone(), Arc::clone(&lifecycle), Arc::clone(&handler));
            clients.spawn(async move {
                // A panic of the caller's code, such as its `Deserialize`, disconnects this client alone.
                let served = caught(async {
                    serve(&lifecycle, client?, handshake, |request| {
                        let answer = handler(request);
                        async move { answer.await.into_result() }
                    })
                    .await
                })
                .await;
                if !matches!(served, Ok(Ok(()))) {
                    lifecycle.disconnect();
                }
            });
        };
        lifecycle.closing().cancel();
        // The name is removed when the service begins to end, not only after the last answer.
        drop(listener);
        while clients.join_next().await.is_some() {}
        ended.map(|()| lifecycle.summary())
    }
}
