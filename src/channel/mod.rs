//! Typed messages over the ends of pipes, and over anything else that bytes can be read from or written to.

mod bytes;
mod incoming;
mod message;
mod outgoing;
mod receiver;
mod sender;
mod with_handles;

use static_assertions::assert_impl_all;

use crate::end::{End, Hold};
use crate::state::{Mode, Open, Read, Write};
use crate::sys::ATOMIC_WRITE;
use crate::wire::{Codec, Framing, Wire};

pub use bytes::Loan;
pub use incoming::WritersEnd;
pub use message::{ByteSink, ByteSource, Message, Receivable, Sendable, forms_agree};
pub use receiver::TypedReceiver;
#[cfg(feature = "tokio")]
pub(crate) use receiver::item;
pub use sender::{LastWords, TypedSender};
pub use with_handles::WithHandles;

impl<M: Mode, P: Hold> End<Read, Open<M>, P> {
    /// Makes the end a channel that receives values of one type, on the usual wire.
    ///
    /// The other side must send the same type, on the same wire.
    pub fn into_receiver<T>(self) -> TypedReceiver<T, Self> {
        self.into_receiver_with(Wire::default())
    }

    /// Makes the end a channel that receives values of one type, on a wire of choice.
    pub fn into_receiver_with<T, F: Framing, C: Codec>(
        self,
        wire: Wire<F, C>,
    ) -> TypedReceiver<T, Self, F, C> {
        let path = self.shared_path().cloned();
        let next_writer = self.next_writer();
        TypedReceiver::over(self, wire).named(path).awaiting_next_writer(next_writer)
    }
}

impl<M: Mode, P: Hold> End<Write, Open<M>, P> {
    /// Makes the end a channel that sends values of one type, on the usual wire.
    ///
    /// The other side must receive the same type, on the same wire.
    pub fn into_sender<T: ?Sized>(self) -> TypedSender<T, Self> {
        self.into_sender_with(Wire::default())
    }

    /// Makes the end a channel that sends values of one type, on a wire of choice.
    pub fn into_sender_with<T: ?Sized, F: Framing, C: Codec>(
        self,
        wire: Wire<F, C>,
    ) -> TypedSender<T, Self, F, C> {
        let path = self.shared_path().cloned();
        TypedSender::over(self, wire).unmixed(ATOMIC_WRITE).named(path)
    }
}

// A channel holds no message: it goes to another thread whatever it carries.
assert_impl_all!(TypedSender<std::rc::Rc<u8>>: Send, Sync);
assert_impl_all!(TypedReceiver<std::rc::Rc<u8>>: Send, Sync);
