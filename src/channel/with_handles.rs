//! Messages with handles beside them.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use super::message::{Receivable, Sendable};
use super::receiver::TypedReceiver;
use super::sender::TypedSender;
use crate::duplex::{ReadHalf, WriteHalf};
use crate::error::{Error, Operation};
use crate::handles::Handles;
use crate::sys::Until;
use crate::wait::half::{ReadWithin as _, WriteWithin as _};
use crate::wait::within;
use crate::wire::{Codec, Framing};

/// In place of the type of messages: each is a `T`, and may have handles beside it.
///
/// Files, sockets, ends and connections go to the other process as [`Handles`]. A connection carries them, in the
/// directions whose messages are `WithHandles`: [`send_with`](TypedSender::send_with) and
/// [`recv_with`](TypedReceiver::recv_with) are there for those alone. A side that expects none lets none in; one that has
/// made no [`Agreement`](crate::Agreement) expects them from its first `recv_with` on.
///
/// ```
/// use std::fs::File;
/// use std::thread;
/// use typed_pipe::{Connection, Handles, WithHandles};
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || {
///     // It sends plain strings, and what it receives may have handles beside it.
///     server.into_typed::<String, WithHandles<String>>()?.recv_with()
/// });
/// let mut client = client.into_typed::<WithHandles<String>, String>()?;
/// let mut handles = Handles::new();
/// handles.add(tempfile::tempfile()?);
/// client.send_with(&"a file".into(), &mut handles)?;
///
/// let (what, mut handles) = serving.join().unwrap()?;
/// let file: File = handles.take(0)?;
/// # assert_eq!((what.as_str(), file.metadata()?.len()), ("a file", 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A one-way pipe cannot carry any:
///
/// ```compile_fail,E0599
/// use typed_pipe::{Handles, TypedSender, WithHandles};
///
/// let mut sender = TypedSender::<WithHandles<String>>::connect("/run/app/jobs")?;
/// sender.send_with(&"look".into(), &mut Handles::new())?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # The bytes
///
/// The payload of such a message is what the codec writes for a tuple of three: the number of handles (`u8`), the
/// numbers that the system needs to find them (a sequence of `u64`), and the value.
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// The handles go beside the first byte of the message (`SCM_RIGHTS`), and are closed on exec where they arrive. What
/// was sent can be received even if the sender has ended.
///
/// ## Windows
///
/// The receiver duplicates each handle out of the process of the sender, which must be one that it may do that with
/// (`PROCESS_DUP_HANDLE`: one of the same user, and not more privileged), and must be alive until the message
/// is received. Without an agreement on it, the connection must also be open when the receiver first looks for such a
/// message. Sockets cannot go this way.
pub struct WithHandles<T> {
    message: PhantomData<fn(&T) -> T>,
}

impl<T> fmt::Debug for WithHandles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithHandles")
    }
}

impl<T: Sendable, F: Framing, C: Codec> TypedSender<WithHandles<T>, WriteHalf, F, C> {
    /// Sends a value with handles beside it.
    ///
    /// This process closes its own when they have gone. At most [`Handles::MOST`] may go with one message.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let receiving =
    ///     thread::spawn(move || server.into_typed::<(), WithHandles<String>>()?.recv_with());
    /// let (mut sender, _) = client.into_typed::<WithHandles<String>, ()>()?.split();
    ///
    /// let mut handles = Handles::new();
    /// handles.add(tempfile::tempfile()?);
    /// sender.send_with(&"a file".into(), &mut handles)?;
    /// assert!(handles.is_empty()); // they have gone
    /// assert_eq!(receiving.join().unwrap()?.1.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`TooLarge`](crate::ErrorKind::TooLarge): there are too many handles. Unless
    /// [`is_half_sent`](Error::is_half_sent) says that the message is on its way, the handles are still there.
    pub fn send_with(&mut self, value: &T, handles: &mut Handles) -> Result<(), Error> {
        self.send_with_by(value, handles, |io, bytes| io.write_until(bytes, Until::Done))
    }

    /// Sends a value with handles beside it, if there is room for all of it.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), WithHandles<String>>());
    /// let (mut sender, _) = client.into_typed::<WithHandles<String>, ()>()?.split();
    /// let server = agreeing.join().unwrap()?; // which does not receive
    ///
    /// let large = "x".repeat(10_000);
    /// while sender.try_send_with(&large, &mut Handles::new()).is_ok() {} // until there is no room
    /// let mut handles = Handles::new();
    /// handles.add(tempfile::tempfile()?);
    /// let error = sender.try_send_with(&large, &mut handles).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotReady);
    /// assert_eq!(handles.len(), 1); // still there
    /// # drop(server);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send_with`](Self::send_with), and [`NotReady`](crate::ErrorKind::NotReady).
    pub fn try_send_with(&mut self, value: &T, handles: &mut Handles) -> Result<(), Error> {
        self.send_with_by(value, handles, |io, bytes| io.write_until(bytes, Until::Now))
    }

    /// Sends a value with handles beside it, waiting for some time at most.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<(), WithHandles<String>>());
    /// let (mut sender, _) = client.into_typed::<WithHandles<String>, ()>()?.split();
    /// let server = agreeing.join().unwrap()?; // which does not receive
    ///
    /// let (large, mut none) = ("x".repeat(10_000), Handles::new());
    /// let error = loop {
    ///     if let Err(error) = sender.send_with_timeout(&large, &mut none, Duration::from_millis(10)) {
    ///         break error;
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send_with`](Self::send_with), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn send_with_timeout(
        &mut self,
        value: &T,
        handles: &mut Handles,
        timeout: Duration,
    ) -> Result<(), Error> {
        let until = within(timeout);
        self.send_with_by(value, handles, |io, bytes| io.write_until(bytes, until))
    }

    pub(crate) fn send_with_by(
        &mut self,
        value: &T,
        handles: &mut Handles,
        mut write: impl FnMut(&mut WriteHalf, &[u8]) -> io::Result<usize>,
    ) -> Result<(), Error> {
        // What was fed goes first: the handles go with the next byte that is written.
        self.write_out(&mut write)?;
        let passed = handles.drain()?;
        // Those of a value whose `Serialize` panicked go nowhere.
        drop(self.io_mut().io_mut().take_back());
        let count = u8::try_from(passed.len()).unwrap_or(u8::MAX);
        let numbers = self.io_mut().io_mut().pass(passed);
        let sent = self.send_by(&(count, numbers.as_slice(), value), write);
        if sent.is_err() {
            let back = self.io_mut().io_mut().take_back();
            if !back.is_empty() {
                *handles = back.into();
            }
        }
        sent
    }
}

impl<T: Receivable, F: Framing, C: Codec> TypedReceiver<WithHandles<T>, ReadHalf, F, C> {
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
    ///     server.into_typed::<WithHandles<u32>, ()>()?.send_with(&7, &mut handles)
    /// });
    ///
    /// let (_, mut receiver) = client.into_typed::<(), WithHandles<u32>>()?.split();
    /// let (number, mut handles) = receiver.recv_with()?;
    /// assert_eq!((number, handles.len()), (7, 1));
    /// let file: File = handles.take(0)?; // it is what is expected, or else an error
    /// # drop(file);
    /// # sending.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv), and [`Lost`](crate::ErrorKind::Lost): not all of the handles came in, because this
    /// process has too many open files, or has no right to them. That message is lost, the next one can be received.
    pub fn recv_with(&mut self) -> Result<(T, Handles), Error> {
        self.recv_with_by(Until::Done)
    }

    /// Receives the next value with the handles beside it, if it is there.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind, Handles, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<WithHandles<u32>, ()>());
    /// let (_, mut receiver) = client.into_typed::<(), WithHandles<u32>>()?.split();
    /// let mut server = agreeing.join().unwrap()?;
    ///
    /// assert_eq!(receiver.try_recv_with().unwrap_err().kind(), ErrorKind::NotReady);
    /// server.send_with(&7, &mut Handles::new())?; // handles may be there, and need not
    /// let (number, handles) = receiver.try_recv_with()?;
    /// assert!(number == 7 && handles.is_empty());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv_with`](Self::recv_with), and [`NotReady`](crate::ErrorKind::NotReady).
    pub fn try_recv_with(&mut self) -> Result<(T, Handles), Error> {
        self.recv_with_by(Until::Now)
    }

    /// Receives the next value with the handles beside it, waiting for some time at most.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind, WithHandles};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let agreeing = thread::spawn(move || server.into_typed::<WithHandles<u32>, ()>());
    /// let (_, mut receiver) = client.into_typed::<(), WithHandles<u32>>()?.split();
    /// let server = agreeing.join().unwrap()?; // which sends nothing
    /// let error = receiver.recv_with_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv_with`](Self::recv_with), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn recv_with_timeout(&mut self, timeout: Duration) -> Result<(T, Handles), Error> {
        self.recv_with_by(within(timeout))
    }

    fn recv_with_by(&mut self, until: Until) -> Result<(T, Handles), Error> {
        // An agreement has done that before. Without one, the first look for handles does.
        self.io_mut().io_mut().let_in();
        self.fill(|io, buf| io.read_until(buf, until))?;
        let (count, numbers, value): (u8, Vec<u64>, T) = self.message()?;
        let came = self.io_mut().io_mut().take_passed(count.into(), &numbers);
        match came {
            Ok(handles) => Ok((value, handles.into())),
            Err(error) => Err(self.get_ref().failed(Operation::Receive, error)),
        }
    }
}
