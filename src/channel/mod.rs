//! Typed channels over the ends of pipes, and over any other reader or writer of bytes.

mod bytes;
mod described;
mod incoming;
mod message;
mod outgoing;
mod receiver;
mod sender;
#[cfg(feature = "shared-memory")]
mod view;
mod wire_of;
mod with_handles;

use static_assertions::assert_impl_all;

use crate::end::{End, PipeRef};
use crate::state::{Mode, Open, Read, Write};
use crate::sys::ATOMIC_WRITE;
use crate::wire::{Codec, Framing, Wire};

pub use bytes::Loan;
pub use described::{Anything, Described, Inbound, Outbound, Telling};
pub use incoming::Hangup;
pub use message::{Message, Receivable, Sendable, same_encoding};
pub use outgoing::Delivery;
pub(crate) use receiver::Found;
pub use receiver::TypedReceiver;
pub use sender::TypedSender;
pub use wire_of::WireOf;
pub use with_handles::WithHandles;

impl<M: Mode, P: PipeRef> End<Read, Open<M>, P> {
    /// Turns the end into a channel that receives values of one type, on the default wire.
    ///
    /// The other side must send the same type, on the same wire.
    ///
    /// ```
    /// use typed_pipe::{CancelToken, Pipe};
    ///
    /// let token = CancelToken::new()?;
    /// let end = Pipe::temporary()?.into_reader().cancelled_by(&token).open()?; // the token of an end
    /// let receiver = end.into_receiver::<u32>();
    /// token.cancel();
    /// assert_eq!(receiver.count(), 0); // also cancels the channel: its loop ends
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_receiver<T: Inbound>(self) -> TypedReceiver<T, Self> {
        self.into_receiver_with(Wire::default()).expecting(T::read)
    }

    /// Turns the end into a channel that receives values of one type, on a wire of choice.
    ///
    /// ```
    /// use typed_pipe::wire::{LengthPrefixed, Wire};
    /// use typed_pipe::{ErrorKind, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let wire = Wire::default().with_framing(LengthPrefixed::default().limit(100)); // messages of at most 100 bytes
    /// let mut receiver = pipe.into_reader().open()?.into_receiver_with::<String, _, _>(wire);
    /// TypedSender::<str>::connect(path)?.send(&"long ".repeat(100))?;
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::TooLarge);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_receiver_with<T, F: Framing, C: Codec>(
        self,
        wire: Wire<F, C>,
    ) -> TypedReceiver<T, Self, F, C> {
        let path = self.shared_path().cloned();
        let next_writer = self.next_writer();
        TypedReceiver::over(self, wire).named(path).awaiting_next_writer(next_writer)
    }
}

impl<M: Mode, P: PipeRef> End<Write, Open<M>, P> {
    /// Turns the end into a channel that sends values of one type, on the default wire.
    ///
    /// The other side must receive the same type, on the same wire.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?;
    /// let mut sender = WriteEnd::at(&path)?.open()?.into_sender::<str>();
    /// sender.send("hello")?;
    /// assert_eq!(reader.into_receiver::<String>().recv()?, "hello"); // and is dropped
    /// let error = sender.send("are you there?").unwrap_err();
    /// assert_eq!(error.path(), Some(path.as_path())); // errors name the path
    /// # assert_eq!(error.kind(), ErrorKind::Disconnected);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_sender<T: Telling + ?Sized>(self) -> TypedSender<T, Self> {
        let greets = self.is_named();
        let sender = self.into_sender_with(Wire::default());
        if greets { sender.greeting(T::told) } else { sender }
    }

    /// Turns the end into a channel that sends values of one type, on a wire of choice.
    ///
    /// ```
    /// use typed_pipe::wire::{MultiWriter, Wire};
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let wire = Wire::default().with_framing(MultiWriter::default()); // for many writers
    /// let reader = pipe.into_reader().open()?;
    /// let mut one = WriteEnd::at(&path)?.open()?.into_sender_with::<u32, _, _>(wire.clone());
    /// let mut other = WriteEnd::at(&path)?.open()?.into_sender_with::<u32, _, _>(wire.clone());
    /// one.send(&1)?;
    /// other.send(&2)?;
    ///
    /// let mut receiver = reader.into_receiver_with::<u32, _, _>(wire);
    /// assert_eq!(receiver.recv()? + receiver.recv()?, 3);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_sender_with<T: ?Sized, F: Framing, C: Codec>(
        self,
        wire: Wire<F, C>,
    ) -> TypedSender<T, Self, F, C> {
        let path = self.shared_path().cloned();
        TypedSender::over(self, wire).atomic_write(ATOMIC_WRITE).named(path)
    }
}

// A channel holds no message: it can move to another thread whatever its type of message.
assert_impl_all!(TypedSender<std::rc::Rc<u8>>: Send, Sync);
assert_impl_all!(TypedReceiver<std::rc::Rc<u8>>: Send, Sync);
