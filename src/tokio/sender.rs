//! Sending values.

use std::borrow::Borrow;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use super::Tokio;
use crate::channel::{Sendable, TypedSender};
use crate::end::{End, PipeRef};
use crate::error::Error;
use crate::source::{self, half};
use crate::state::{Open, Write};
use crate::sys::WaitLimit;
use crate::wire::{Codec, Framing};

#[diagnostic::do_not_recommend]
impl<P: PipeRef> source::Sink for End<Write, Open<Tokio>, P> {
    type Mode = Tokio;
}

#[diagnostic::do_not_recommend]
impl<P: PipeRef> half::Sink for End<Write, Open<Tokio>, P> {
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_until(cx, bytes, WaitLimit::Done)
    }
}

impl<P: PipeRef> half::WriteTimeout for End<Write, Open<Tokio>, P> {
    fn poll_write_within(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        self.poll_write_until(cx, bytes, until)
    }

    fn poll_half_close(&mut self, cx: &mut Context<'_>, until: WaitLimit) -> Poll<io::Result<()>> {
        self.poll_finish_until(cx, until)
    }

    async fn taken(&mut self, until: WaitLimit) -> io::Result<bool> {
        self.wait_until_taken(until).await
    }
}

fn write<P: PipeRef>(
    end: &mut End<Write, Open<Tokio>, P>,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    end.poll_write_until(cx, bytes, WaitLimit::Done)
}

/// Takes values as [`feed`](TypedSender::feed) does. Closing it sends the goodbye and half-closes a connection, without
/// waiting until the reader has taken that: [`finish`](TypedSender::finish) waits. Dropping it closes a one-way pipe.
impl<T, V, P, F, C> Sink<V> for TypedSender<T, End<Write, Open<Tokio>, P>, F, C>
where
    T: Sendable + ?Sized,
    V: Borrow<T>,
    P: PipeRef,
    F: Framing,
    C: Codec,
{
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().poll_write_batch_by(cx, write)
    }

    fn start_send(self: Pin<&mut Self>, value: V) -> Result<(), Error> {
        self.get_mut().parts().1.stage(value.borrow())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().poll_write_out_by(cx, write)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let sender = self.get_mut();
        sender.parts().1.stage_goodbye();
        ready!(sender.poll_write_out_by(cx, write))?;
        let (end, outgoing) = sender.parts();
        let half_closed = ready!(end.poll_finish_until(cx, WaitLimit::Done));
        Poll::Ready(outgoing.delivery(false, half_closed).map(drop))
    }
}
