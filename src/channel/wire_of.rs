//! Channels made by their wire.

use std::marker::PhantomData;

use super::receiver::TypedReceiver;
use super::sender::TypedSender;
use crate::end::{End, PipeRef};
use crate::state::{Mode, Open, Read, Write};
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire};

/// A wire for messages of one type, which makes their channels: see [`Wire::of`].
///
/// ```
/// use typed_pipe::WireOf;
/// use typed_pipe::wire::{LengthPrefixed, Wire};
///
/// /// The wire of both programs, defined once.
/// fn jobs() -> WireOf<String> {
///     Wire::default().with_framing(LengthPrefixed::default().limit(1000)).of()
/// }
/// # let _ = jobs();
/// ```
#[derive(Debug)]
#[must_use = "a wire does nothing by itself"]
pub struct WireOf<T: ?Sized, F = LengthPrefixed, C = Postcard> {
    wire: Wire<F, C>,
    message: PhantomData<fn(&T)>,
}

impl<F, C> Wire<F, C> {
    /// Fixes the type of the messages: the result makes their channels.
    ///
    /// ```
    /// use typed_pipe::wire::{Checked, Wire};
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// let jobs = Wire::default().with_framing(Checked::default()).of::<String>();
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = jobs.receiver(pipe.into_reader().open()?);
    /// let mut sender = jobs.sender(WriteEnd::at(path)?.open()?); // the other process
    /// sender.send(&"look".into())?;
    /// assert_eq!(receiver.recv()?, "look");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn of<T: ?Sized>(self) -> WireOf<T, F, C> {
        WireOf { wire: self, message: PhantomData }
    }
}

impl<T: ?Sized, F: Framing + Clone, C: Codec + Clone> WireOf<T, F, C> {
    /// Turns an end into a receiving channel, as [`End::into_receiver_with`].
    ///
    /// ```
    /// use typed_pipe::wire::{MultiWriter, Wire};
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// let reports = Wire::default().with_framing(MultiWriter::default()).of::<u32>(); // for many writers
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = reports.receiver(pipe.into_reader().open()?);
    /// for number in [3, 4] {
    ///     reports.sender(WriteEnd::at(&path)?.open()?).send(&number)?;
    /// }
    /// assert_eq!(receiver.recv()? + receiver.recv()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn receiver<M: Mode, P: PipeRef>(
        &self,
        end: End<Read, Open<M>, P>,
    ) -> TypedReceiver<T, End<Read, Open<M>, P>, F, C>
    where
        T: Sized,
    {
        end.into_receiver_with(self.wire.clone())
    }

    /// Turns an end into a sending channel, as [`End::into_sender_with`].
    ///
    /// ```
    /// use typed_pipe::Connection;
    /// use typed_pipe::wire::Wire;
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::Plain;
    ///
    /// let lines = Wire::new(Lines::default(), Plain).of::<str>();
    /// let (one, mut other) = Connection::pair()?;
    /// lines.sender(one.split().1).send("hello")?;
    /// let mut buf = [0; 8];
    /// let read = other.reader().read(&mut buf)?;
    /// assert_eq!(&buf[..read], b"hello\n");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn sender<M: Mode, P: PipeRef>(
        &self,
        end: End<Write, Open<M>, P>,
    ) -> TypedSender<T, End<Write, Open<M>, P>, F, C> {
        end.into_sender_with(self.wire.clone())
    }
}
