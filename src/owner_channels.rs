//! Channels of an owner, straight from its pipe.

use crate::channel::{Inbound, Telling, TypedReceiver, TypedSender};
use crate::end::{ReadEnd, WriteEnd};
use crate::error::TransitionError;
use crate::pipe::Pipe;
use crate::state::{Allocated, Open};

impl Pipe<Allocated> {
    /// Turns the pipe into a receiver: [`into_reader`](Self::into_reader), `open` and `into_receiver` in one step.
    ///
    /// The receiver holds the pipe. Its first message waits for a sender; another wire, a child process to watch and the
    /// mode of tasks are set on the end in between.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?; // or `Pipe::create(path)?`
    /// let path = pipe.path().clone();
    /// let mut jobs = pipe.receiver::<u32>()?;
    /// TypedSender::<u32>::connect(path)?.send(&7)?; // in the other process
    /// assert_eq!(jobs.recv()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::open`](crate::End::open). Each gives back the pipe.
    pub fn receiver<T: Inbound>(
        self,
    ) -> Result<TypedReceiver<T, ReadEnd<Open, Self>>, TransitionError<Self>> {
        match self.into_reader().open() {
            Ok(end) => Ok(end.into_receiver()),
            Err(failed) => Err(failed.map(|end| end.into_pipe())),
        }
    }

    /// Turns the pipe into a sender, and waits for a reader: [`into_writer`](Self::into_writer), `open` and `into_sender` in
    /// one step.
    ///
    /// The sender holds the pipe; see [`receiver`](Self::receiver).
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Pipe, TypedReceiver};
    ///
    /// let pipe = Pipe::temporary()?; // or `Pipe::create(path)?`
    /// let path = pipe.path().clone();
    /// let client = thread::spawn(move || TypedReceiver::<u32>::connect(path)?.recv()); // another process
    /// pipe.sender::<u32>()?.send(&7)?;
    /// assert_eq!(client.join().unwrap()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::open`](crate::End::open). Each gives back the pipe.
    pub fn sender<T: Telling + ?Sized>(
        self,
    ) -> Result<TypedSender<T, WriteEnd<Open, Self>>, TransitionError<Self>> {
        match self.into_writer().open() {
            Ok(end) => Ok(end.into_sender()),
            Err(failed) => Err(failed.map(|end| end.into_pipe())),
        }
    }
}
