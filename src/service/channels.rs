//! What a service asks of the channels of a client, in whatever mode.

use std::future::poll_fn;

use crate::channel::{Receivable, Sendable, TypedReceiver, TypedSender};
use crate::connection::{ReadHalf, WriteHalf};
use crate::error::Error;
use crate::state::{Mode, woken_at};
use crate::sys::WaitLimit;
use crate::wire::{Codec, Framing};

impl<T, M: Mode, F: Framing, C: Codec> TypedReceiver<T, ReadHalf<M>, F, C> {
    /// Receives the next value.
    pub(super) async fn receiving(&mut self, until: WaitLimit) -> Result<T, Error>
    where
        T: Receivable,
    {
        woken_at::<M, _>(until, poll_fn(|cx| self.poll_fill_in_mode(cx, until))).await?;
        self.found()
    }
}

impl<T: ?Sized, M: Mode, F: Framing, C: Codec> TypedSender<T, WriteHalf<M>, F, C> {
    /// Sends a value.
    pub(super) async fn sending_in_mode(&mut self, value: &T, until: WaitLimit) -> Result<(), Error>
    where
        T: Sendable,
    {
        self.parts().1.stage(value)?;
        let write = poll_fn(|cx| {
            self.poll_write_or_withdraw_by(cx, |half, cx, bytes| {
                half.poll_write_until(cx, bytes, until)
            })
        });
        woken_at::<M, _>(until, write).await
    }

    /// Says that this was all, and ends the direction.
    pub(super) async fn finish_in_place(&mut self, until: WaitLimit) -> Result<(), Error> {
        self.parts().1.stage_goodbye();
        let write = poll_fn(|cx| {
            self.poll_write_out_by(cx, |half, cx, bytes| half.poll_write_until(cx, bytes, until))
        });
        woken_at::<M, _>(until, write).await?;
        self.parts().0.finish_in_place(until).await
    }
}
