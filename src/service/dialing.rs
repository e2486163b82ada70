//! Connecting anew, in tasks.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Error;
use crate::state::Mode;
use crate::typed_connection::HandshakeDone;

/// What connects. It knows no type of the caller's: a client can be shared whatever these are.
pub(crate) type Dial<M> = Pin<Box<dyn Future<Output = Result<HandshakeDone<M>, Error>> + Send>>;

/// The calls that wait for a connection. One of them has begun to connect, and whichever is polled goes on with that.
pub(crate) struct Dialing<M: Mode> {
    /// What connects, and the call that has begun it.
    dial: Option<(u64, Dial<M>)>,
    /// The calls, each with the error of what it has begun.
    calls: BTreeMap<u64, Option<Error>>,
    next: u64,
}

impl<M: Mode> Default for Dialing<M> {
    fn default() -> Self {
        Self { dial: None, calls: BTreeMap::new(), next: 0 }
    }
}

impl<M: Mode> Dialing<M> {
    pub(crate) fn enter(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.calls.insert(number, None);
        number
    }

    /// Leaves, with what this call has begun.
    pub(crate) fn leave(&mut self, number: u64) -> Option<Dial<M>> {
        self.calls.remove(&number);
        if !self.is_begun_by(number) {
            return None;
        }
        self.dial.take().map(|(_, dial)| dial)
    }

    pub(crate) fn is_begun_by(&self, number: u64) -> bool {
        self.dial.as_ref().is_some_and(|(by, _)| *by == number)
    }

    /// Whether nothing connects.
    pub(crate) fn is_idle(&self) -> bool {
        self.dial.is_none()
    }

    /// Goes on with what connects, and begins to where nobody has. What it comes to is told with the call that had begun.
    pub(crate) fn poll(
        &mut self,
        number: u64,
        begin: impl FnOnce() -> Dial<M>,
        cx: &mut Context<'_>,
    ) -> Poll<(u64, Result<HandshakeDone<M>, Error>)> {
        // Where it panics it is gone, and the next call begins anew.
        let (by, mut dial) = self.dial.take().unwrap_or_else(|| (number, begin()));
        match dial.as_mut().poll(cx) {
            Poll::Ready(talked) => Poll::Ready((by, talked)),
            Poll::Pending => {
                self.dial = Some((by, dial));
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
