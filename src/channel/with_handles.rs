//! Messages with handles beside them.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use super::described::{Described, Inbound, Telling, half};
use super::message::{Receivable, Sendable};
use super::receiver::TypedReceiver;
use super::sender::TypedSender;
use crate::connection::{ReadHalf, WriteHalf};
use crate::error::{Error, Obstacle, Operation};
use crate::handles::Handles;
use crate::state::{Mode, woken_at};
use crate::sys::WaitLimit;
use crate::wire::shape::{Shape, Style};
use crate::wire::{Codec, Framing};

/// A message of type `T` that may carry handles: used in place of the type of the messages.
///
/// Files, sockets, ends and connections go to the other process as [`Handles`]. A connection carries them, in the
/// directions whose messages are `WithHandles`: [`send_with_handles`](TypedSender::send_with_handles) and
/// [`recv_with_handles`](TypedReceiver::recv_with_handles) exist for those alone. A side that expects no handles lets
/// none in; without a [`Handshake`](crate::Handshake), it expects them from its first `recv_with_handles` on.
///
/// ```
/// use std::fs::File;
/// use std::thread;
/// use typed_pipe::{Connection, Handles, WithHandles};
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || {
///     // It sends plain strings, and receives messages that may carry handles.
///     server.into_typed::<String, WithHandles<String>>()?.recv_with_handles()
/// });
/// let mut client = client.into_typed::<WithHandles<String>, String>()?;
/// let mut handles = Handles::new();
/// handles.add(tempfile::tempfile()?);
/// client.send_with_handles(&"a file".into(), &mut handles)?;
///
/// let (what, mut handles) = serving.join().unwrap()?;
/// let file: File = handles.take(0)?;
/// # assert_eq!((what.as_str(), file.metadata()?.len()), ("a file", 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A one-way pipe carries no handles:
///
/// ```compile_fail,E0599
/// use typed_pipe::{Handles, TypedSender, WithHandles};
///
/// let mut sender = TypedSender::<WithHandles<String>>::connect("/run/app/jobs")?;
/// sender.send_with_handles(&"look".into(), &mut Handles::new())?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # The bytes
///
/// The payload of such a message is the encoding of a tuple of three: the number of handles (`u8`), the numbers by
/// which the system finds them (a sequence of `u64`), and the value.
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// The handles go beside the first byte of the message (`SCM_RIGHTS`), and are closed on exec where they arrive. Sent
/// handles can be received even if the sender has ended.
///
/// ## Windows
///
/// The receiver duplicates each handle out of the process of the sender. It needs the right to do so
/// (`PROCESS_DUP_HANDLE`: a process of the same user, and not more privileged), and the sender must be alive until the
/// message is received. Without a handshake on it, the connection must also be open when the receiver first looks for
/// such a message. Sockets cannot be sent.
#[doc(alias("SCM_RIGHTS", "fd passing", "DuplicateHandle"))]
pub struct WithHandles<T> {
    message: PhantomData<fn(&T) -> T>,
}

#[diagnostic::do_not_recommend]
impl<T: Described> Telling for WithHandles<T> {}

#[diagnostic::do_not_recommend]
impl<T: Described> half::Telling for WithHandles<T> {
    const WITH_HANDLES: bool = true;

    fn told(style: Style) -> Shape {
        T::shape(style)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Receivable> Inbound for WithHandles<T> {}

#[diagnostic::do_not_recommend]
impl<T: Receivable> half::Inbound for WithHandles<T> {
    const WITH_HANDLES: bool = true;

    fn read(style: Style) -> Shape {
        Shape::of::<T>(style)
    }
}

impl<T> fmt::Debug for WithHandles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithHandles")
    }
}

impl<T: Sendable, F: Framing, C: Codec, M: Mode> TypedSender<WithHandles<T>, WriteHalf<M>, F, C> {
    /// Sends a value with handles beside it.
    ///
    /// This process closes its copies once they are sent. At most [`Handles::MAX`] go with one message.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let receiving =
    ///     thread::spawn(move || server.into_typed::<(), WithHandles<String>>()?.recv_with_handles());
    /// let (mut sender, _) = client.into_typed::<WithHandles<String>, ()>()?.split();
    ///
    /// let mut handles = Handles::new();
    /// handles.add(tempfile::tempfile()?);
    /// sender.send_with_handles(&"a file".into(), &mut handles)?;
    /// assert!(handles.is_empty()); // all sent
    /// assert_eq!(receiving.join().unwrap()?.1.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// In the mode `Tokio`, if the future is dropped, either none of the value was sent and its handles are still in
    /// `handles`, or the value and its handles are kept in the sender, and go before anything else.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`TooLarge`](crate::ErrorKind::TooLarge): there are too many handles. Unless
    /// the message is [half sent](Error::is_half_sent), the handles are still in `handles`.
    #[doc(alias("SCM_RIGHTS", "sendmsg", "sendfd", "pass file"))]
    pub fn send_with_handles(
        &mut self,
        value: &T,
        handles: &mut Handles,
    ) -> M::Ret<impl Future<Output = Result<(), Error>>> {
        let until = self.limit::<M>();
        M::run(self.sending_with(value, handles, until))
    }

    async fn sending_with(
        &mut self,
        value: &T,
        handles: &mut Handles,
        until: WaitLimit,
    ) -> Result<(), Error> {
        self.sending_with_by(value, handles, until, |io, cx, bytes| {
            io.poll_write_until(cx, bytes, until)
        })
        .await
    }

    pub(crate) async fn sending_with_by(
        &mut self,
        value: &T,
        handles: &mut Handles,
        until: WaitLimit,
        mut write: impl FnMut(&mut WriteHalf<M>, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Result<(), Error> {
        // Messages that were fed go first: the handles go with the next byte that is written.
        let fed = poll_fn(|cx| self.poll_write_out_by(cx, &mut write));
        woken_at::<M, _>(until, fed).await?;
        self.stage_with(value, handles)?;
        let sent = poll_fn(|cx| self.poll_write_or_withdraw_by(cx, &mut write));
        let sent = woken_at::<M, _>(until, sent).await;
        self.take_back_unsent(sent, handles)
    }

    /// Stages a value, whose handles go with the next byte that is written. Bytes staged before must be written
    /// already.
    fn stage_with(&mut self, value: &T, handles: &mut Handles) -> Result<(), Error> {
        let (end, outgoing) = self.parts();
        if !handles.is_empty() && !end.raw().carries_handles() {
            return Err(end.failed(Operation::Send, Obstacle::NoHandlesHere.into()));
        }
        let passed = handles.drain()?;
        // Drops the handles of a value whose `Serialize` panicked.
        drop(end.raw_mut().take_back());
        let count = u8::try_from(passed.len()).unwrap_or(u8::MAX);
        let numbers = end.raw_mut().pass(passed);
        let staged = outgoing.stage(&(count, numbers.as_slice(), value));
        self.take_back_unsent(staged, handles)
    }

    /// Gives back the unsent handles after a failure.
    fn take_back_unsent(
        &mut self,
        sent: Result<(), Error>,
        handles: &mut Handles,
    ) -> Result<(), Error> {
        if sent.is_err() {
            let back = self.parts().0.raw_mut().take_back();
            if !back.is_empty() {
                *handles = back.into();
            }
        }
        sent
    }
}

impl<T: Receivable, F: Framing, C: Codec, M: Mode>
    TypedReceiver<WithHandles<T>, ReadHalf<M>, F, C>
{
    /// Receives the next value with the handles beside it, waiting until it is there.
    ///
    /// ```
    /// use std::fs::File;
    /// use std::thread;
    /// use typed_pipe::{Connection, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let mut handles = Handles::new();
    /// handles.add(tempfile::tempfile()?);
    /// let sending = thread::spawn(move || {
    ///     server.into_typed::<WithHandles<u32>, ()>()?.send_with_handles(&7, &mut handles)
    /// });
    ///
    /// let (_, mut receiver) = client.into_typed::<(), WithHandles<u32>>()?.split();
    /// let (number, mut handles) = receiver.recv_with_handles()?;
    /// assert_eq!((number, handles.len()), (7, 1));
    /// let file: File = handles.take(0)?; // an error if it is no file
    /// # drop(file);
    /// # sending.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv), and [`MessageLost`](crate::ErrorKind::MessageLost): not all handles could be
    /// received, because this process has too many open files, or no right to them. That message is lost; the next one
    /// can be received.
    #[doc(alias("SCM_RIGHTS", "recvmsg", "recvfd"))]
    pub fn recv_with_handles(
        &mut self,
    ) -> M::Ret<impl Future<Output = Result<(T, Handles), Error>>> {
        // A handshake has done that before. Without one, the first receive with handles does.
        self.io_mut().raw_mut().allow_handles();
        let until = self.limit::<M>();
        let fill = |this: &mut &mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            this.poll_fill_in_mode(cx, until)
        };
        M::wait(Ok(()), until, self, fill, Self::message_with)
    }

    /// Decodes the message that was found, with the handles beside it.
    fn message_with(&mut self, filled: Result<(), Error>) -> Result<(T, Handles), Error> {
        filled?;
        let (end, incoming) = self.parts();
        let (count, numbers, value): (u8, Vec<u64>, T) = incoming.message()?;
        match end.raw_mut().take_passed(count.into(), &numbers) {
            Ok(handles) => Ok((value, handles.into())),
            Err(error) => Err(end.failed(Operation::Receive, error)),
        }
    }
}
