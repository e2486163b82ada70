//! Receiving values.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Tokio;
use crate::channel::{Receivable, TypedReceiver};
use crate::end::{End, PipeRef};
use crate::error::Error;
use crate::source::{Source, half};
use crate::state::{Open, Read};
use crate::sys::WaitLimit;
use crate::wire::{Codec, Framing};

#[diagnostic::do_not_recommend]
impl<P: PipeRef> Source for End<Read, Open<Tokio>, P> {
    type Mode = Tokio;
}

#[diagnostic::do_not_recommend]
impl<P: PipeRef> half::Source for End<Read, Open<Tokio>, P> {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read_until(cx, buf, WaitLimit::Done)
    }
}

impl<P: PipeRef> half::ReadTimeout for End<Read, Open<Tokio>, P> {
    fn poll_read_within(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        self.poll_read_until(cx, buf, until)
    }

    #[cfg(feature = "shared-memory")]
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        measure: &crate::sys::Measure<'_>,
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        self.poll_frame_until(cx, measure, until)
    }

    #[cfg(feature = "shared-memory")]
    fn raw_end(&mut self) -> &mut crate::sys::Raw {
        self.raw_mut()
    }
}

/// Ends when the last writer has hung up between two messages, with a goodbye or without one, when a
/// [`CancelToken`](crate::CancelToken) cancels the wait, or after a fatal error. A reset that the system reports is an
/// error, even between two messages.
impl<T, P, F, C> Stream for TypedReceiver<T, End<Read, Open<Tokio>, P>, F, C>
where
    T: Receivable,
    P: PipeRef,
    F: Framing,
    C: Codec,
{
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let receiver = self.get_mut();
        if receiver.parts().1.has_failed() {
            return Poll::Ready(None);
        }
        let filled = ready!(receiver.poll_fill_in_mode(cx, WaitLimit::Done));
        let incoming = receiver.parts().1;
        let received = match filled {
            Ok(()) => incoming.message(),
            Err(error) => Err(error),
        };
        Poll::Ready(incoming.item(received))
    }
}
