//! Connecting anew, in tasks.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Error;
use crate::state::Mode;
use crate::typed_connection::HandshakeDone;

/// What connects. It knows no type of the caller's: a client can be shared whatever these are.
pub(crate) type ConnectFuture<M> =
    Pin<Box<dyn Future<Output = Result<HandshakeDone<M>, Error>> + Send>>;

/// The calls that wait for a connection. One of them has begun to connect, and whichever is polled goes on with that.
pub(crate) struct Connecting<M: Mode> {
    /// What connects, and the call that has begun it.
    connect_future: Option<(u64, ConnectFuture<M>)>,
    /// The calls, each with the error of what it has begun.
    calls: BTreeMap<u64, Option<Error>>,
    next: u64,
}

impl<M: Mode> Default for Connecting<M> {
    fn default() -> Self {
        Self { connect_future: None, calls: BTreeMap::new(), next: 0 }
    }
}

impl<M: Mode> Connecting<M> {
    pub(crate) fn enter(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.calls.insert(number, None);
        number
    }

    /// Leaves, with what this call has begun.
    pub(crate) fn leave(&mut self, number: u64) -> Option<ConnectFuture<M>> {
        self.calls.remove(&number);
        if !self.is_begun_by(number) {
            return None;
        }
        self.connect_future.take().map(|(_, connect_future)| connect_future)
    }

    pub(crate) fn is_begun_by(&self, number: u64) -> bool {
        self.connect_future.as_ref().is_some_and(|(by, _)| *by == number)
    }

    /// Whether nothing connects.
    pub(crate) fn is_idle(&self) -> bool {
        self.connect_future.is_none()
    }

    /// Goes on with what connects, and begins to where nobody has. What it comes to is told with the call that had begun.
    pub(crate) fn poll(
        &mut self,
        number: u64,
        begin: impl FnOnce() -> ConnectFuture<M>,
        cx: &mut Context<'_>,
    ) -> Poll<(u64, Result<HandshakeDone<M>, Error>)> {
        // Where it panics it is gone, and the next call begins anew.
        let (by, mut connect_future) =
            self.connect_future.take().unwrap_or_else(|| (number, begin()));
        match connect_future.as_mut().poll(cx) {
            Poll::Ready(talked) => Poll::Ready((by, talked)),
            Poll::Pending => {
                self.connect_future = Some((by, connect_future));
                Poll::Pending
            }
        }
    }

    /// Keeps the error of what a call has begun until that one asks.
    pub(crate) fn fail(&mut self, number: u64, error: Error) {
        if let Some(place) = self.calls.get_mut(&number) {
            *place = Some(error);
        }
    }

    pub(crate) fn failure(&mut self, number: u64) -> Option<Error> {
        self.calls.get_mut(&number).and_then(Option::take)
    }
}
