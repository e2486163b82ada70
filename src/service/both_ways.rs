//! Calls in both ways over one connection: what a host and its plugins need.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;

use super::agree::Types;
use super::calls::Calls;
use super::client::Client;
use super::context::Context;
use super::failure::{Failure, Lost};
use super::lifecycle::Summary;
use super::link::Kind;
use super::server::{Plain, Serves, Service, WithContext};
use crate::channel::{Described, Receivable};
#[cfg(doc)]
use crate::connection::Listener;
use crate::error::Error;
use crate::state::Blocking;
use crate::sys::Maker;
use crate::wait::CancelToken;
use crate::wire::{Codec, Framing};

impl<Req, Resp, F, C, M> Service<Req, Resp, F, C, M>
where
    Req: Receivable,
    Resp: Described,
    F: Framing + Clone + Send,
    C: Codec + Clone + Send,
    M: Calls,
{
    /// Serves one client, and calls it over the same connection, as it does on its side: for a host and its plugins. At a
    /// listener, it waits for the first client, and lets in no other one.
    ///
    /// `make` gets a client that calls the other side, and returns the handler, which may call back while it handles a
    /// call. The handler runs in threads or tasks of its own, from now on, so neither side waits until the other one
    /// serves. What is returned is another such client, and the [serving](Serving), which ends when the other side has left.
    /// To end the connection from this side, drop the serving: clients that are dropped alone leave it open, and the other
    /// side waits on.
    ///
    /// If one side names its [protocol](Self::protocol), the other one must give the same name.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Client, Connection, Error, Service};
    ///
    /// let (ours, theirs) = Connection::pair()?; // or of a listener at the one side, `Connection::connect` at the other
    /// let plugin = thread::spawn(move || -> Result<_, Error> {
    ///     let service = Service::<String, String>::over(theirs);
    ///     let (_host, serving) = service.both_ways(|host: Client<u32, String>| {
    ///         move |greeting| Ok::<_, Error>(greeting + &host.call(&7)?) // it calls back
    ///     })?;
    ///     serving.wait() // until the host has left
    /// });
    ///
    /// let service = Service::<u32, String>::over(ours);
    /// let (plugin_client, serving) = service.both_ways(|_: Client<String, String>| {
    ///     |number| format!("number {number}")
    /// })?;
    /// assert_eq!(plugin_client.call(&"hello, ".into())?, "hello, number 7");
    /// drop(serving); // the connection ends
    /// assert_eq!(plugin.join().unwrap()?.answered, 1);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Listener::accept`], and those of [`Client::connect`] once it is connected.
    #[doc(alias("bidirectional", "duplex", "plugin", "callback", "peer"))]
    pub fn both_ways<TheirReq, TheirResp, H, A>(
        self,
        make: impl FnOnce(Client<TheirReq, TheirResp, F, C, M>) -> H,
    ) -> M::Ret<impl Future<Output = Result<BothWays<TheirReq, TheirResp, F, C, M>, Error>>>
    where
        TheirReq: Described,
        TheirResp: Receivable,
        H: Fn(Req) -> A + Send + Sync + 'static,
        F: 'static,
        C: Sync + 'static,
        Req: 'static,
        Resp: 'static,
        M: Serves<Req, Resp, F, C, Plain<H>>,
    {
        M::run(self.in_both_ways(|client| Plain(make(client))))
    }

    /// As [`both_ways`](Self::both_ways), with a handler that is told of its call, as that of
    /// [`serve_with_context`](Self::serve_with_context).
    ///
    /// # Errors
    ///
    /// Those of [`both_ways`](Self::both_ways).
    pub fn both_ways_with_context<TheirReq, TheirResp, Item, H, A>(
        self,
        make: impl FnOnce(Client<TheirReq, TheirResp, F, C, M>) -> H,
    ) -> M::Ret<impl Future<Output = Result<BothWays<TheirReq, TheirResp, F, C, M>, Error>>>
    where
        TheirReq: Described,
        TheirResp: Receivable,
        H: Fn(Req, Context<Item, C, M>) -> A + Send + Sync + 'static,
        F: 'static,
        C: Sync + 'static,
        Req: 'static,
        Resp: 'static,
        Item: 'static,
        M: Serves<Req, Resp, F, C, WithContext<H, Item>>,
    {
        M::run(self.in_both_ways(|client| WithContext(make(client), PhantomData)))
    }

    async fn in_both_ways<TheirReq, TheirResp, H>(
        self,
        make: impl FnOnce(Client<TheirReq, TheirResp, F, C, M>) -> H,
    ) -> Result<BothWays<TheirReq, TheirResp, F, C, M>, Error>
    where
        TheirReq: Described,
        TheirResp: Receivable,
        H: Send + Sync + 'static,
        F: 'static,
        C: Sync + 'static,
        Req: 'static,
        Resp: 'static,
        M: Serves<Req, Resp, F, C, H>,
    {
        let (clients, meeting, wire, lifecycle) = self.open(Kind::Both)?;
        let Some(client) = clients.next(&lifecycle).await? else {
            return Err(Failure::Lost(Lost::Cancelled, false).into_error());
        };
        drop(clients);
        let client = client?;
        let path = client.path().cloned();
        let types = Types::of_both::<Req, Resp, TheirReq, TheirResp>();
        let link = meeting.meet(client, types, &lifecycle).await?.shared();
        let closing = lifecycle.closing().clone();
        let calling = || Client::served(&link, path.clone(), wire.clone());
        let handler = make(calling());
        let client = calling();
        let codec = wire.codec().clone();
        let serving = M::serve_beside(link, codec, lifecycle, handler)?;
        Ok((client, Serving { closing, maker: Maker::this(), serving: Some(serving) }))
    }
}

/// What calls the other side, and what serves it.
type BothWays<Req, Resp, F, C, M> = (Client<Req, Resp, F, C, M>, Serving<M>);

/// What serves the other side of a connection that goes [both ways](Service::both_ways), in threads or tasks of its own.
///
/// Dropping it ends it, as the [token](Service::cancelled_by) of the service does: what was taken is answered, then the
/// connection ends.
///
/// An example is at [`Service::both_ways`].
#[must_use = "dropping it ends the connection"]
pub struct Serving<M: Calls = Blocking> {
    closing: CancelToken,
    /// The process that serves: its token is that of a forked child as well.
    maker: Maker,
    serving: Option<M::Serving>,
}

impl<M: Calls> Serving<M> {
    /// Waits until the other side has left, or the token of the service is cancelled.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::ErrorKind::Disconnected): the runtime of its tasks has ended.
    pub fn wait(mut self) -> M::Ret<impl Future<Output = Result<Summary, Error>>> {
        M::run(async move {
            let summary = match self.take_handle() {
                Some(serving) => M::served(serving).await,
                None => None,
            };
            summary.ok_or_else(|| Failure::Lost(Lost::Disconnected, false).into_error())
        })
    }

    /// The handle of what serves, in its process. A forked child does not have that thread: where its stack was, there is
    /// nothing by now, or the stack of another one.
    fn take_handle(&mut self) -> Option<M::Serving> {
        let serving = self.serving.take();
        if self.maker.is_this() {
            return serving;
        }
        mem::forget(serving);
        None
    }
}

impl<M: Calls> Drop for Serving<M> {
    fn drop(&mut self) {
        if self.maker.is_this() {
            self.closing.cancel();
        }
        self.take_handle();
    }
}

impl<M: Calls> fmt::Debug for Serving<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}
