//! The halves of a connection.

use std::sync::Arc;
use std::time::Duration;

use super::seats::Seat;
use crate::end::{self, End, Hold};
use crate::error::{Error, Operation, TransitionError};
use crate::path::PipePath;
use crate::state::{Blocking, Mode, Open, Read, Write};
use crate::sys::{Peer, Until};
use crate::wait::within;

/// The half of a connection that is read from.
pub type ReadHalf<M = Blocking> = End<Read, Open<M>, Half>;

/// The half of a connection that is written to.
pub type WriteHalf<M = Blocking> = End<Write, Open<M>, Half>;

/// In place of a pipe: the end is one half of a [`Connection`](crate::Connection).
///
/// It can be closed, and not be opened again. Dropping or closing one half ends its direction alone: after the
/// writing half, the other side reads the end of the stream, and can go on sending.
///
/// # Platform-specific behavior
///
/// ## Windows
///
/// The end of one direction is a message without bytes, since the system has nothing for it. Where the pipe is full
/// when the writing half is dropped, the other side learns of it when it has read some;
/// [`finish`](End::finish) waits for that. A reading half that is dropped alone is not noticed by the other side.
#[derive(Clone, Debug)]
pub struct Half {
    pub(super) path: Option<PipePath>,
    pub(super) _seat: Option<Arc<Seat>>,
}

impl Hold for Half {}
impl end::half::Hold for Half {
    fn path(&self) -> Option<&PipePath> {
        self.path.as_ref()
    }
}

impl End<Write, Open, Half> {
    /// Says that this was all, and closes the half: the other side reads the end of the stream.
    ///
    /// # Errors
    ///
    /// In each the half is given back.
    ///
    /// - [`Stopped`](crate::ErrorKind::Stopped): see [`Connection::stopped_by`](crate::Connection::stopped_by).
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): the pipe is one of another program, of a type that has no
    ///   such thing. Windows alone.
    pub fn finish(self) -> Result<(), TransitionError<Self>> {
        self.finish_until(Until::Done)
    }

    /// Says that this was all, if that takes no waiting.
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), and [`NotReady`](crate::ErrorKind::NotReady): the pipe is full. Windows alone.
    pub fn try_finish(self) -> Result<(), TransitionError<Self>> {
        self.finish_until(Until::Now)
    }

    /// Says that this was all, and waits for some time at most for room to say so.
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), and [`TimedOut`](crate::ErrorKind::TimedOut). Windows alone.
    pub fn finish_timeout(self, timeout: Duration) -> Result<(), TransitionError<Self>> {
        self.finish_until(within(timeout))
    }

    pub(super) fn finish_until(mut self, until: Until) -> Result<(), TransitionError<Self>> {
        match self.wait_with(until, |io, wait| io.finish(wait)) {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = self.failed(Operation::Finish, error);
                Err(TransitionError::new(self, error))
            }
        }
    }
}

impl<M: Mode> End<Write, Open<M>, Half> {
    /// The bytes that the other side has not read yet, as the system counts them.
    ///
    /// It is 0 when all was read; else the system may add what it needs itself to keep them.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the system does not tell.
    pub fn unsent(&self) -> Result<usize, Error> {
        self.raw().unsent().map_err(|error| self.failed(Operation::MeasureBuffer, error))
    }

    /// Who is on the other side, as [`Connection::peer`](crate::Connection::peer).
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system does not tell.
    pub fn peer(&self) -> Result<Peer, Error> {
        self.raw().peer().map_err(|error| self.failed(Operation::AskPeer, error))
    }
}

impl<M: Mode> End<Read, Open<M>, Half> {
    /// The bytes that have come in and were not read yet.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the other side is gone.
    pub fn unread(&self) -> Result<usize, Error> {
        self.raw().unread().map_err(|error| self.failed(Operation::MeasureBuffer, error))
    }

    /// Who is on the other side, as [`Connection::peer`](crate::Connection::peer).
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system does not tell.
    pub fn peer(&self) -> Result<Peer, Error> {
        self.raw().peer().map_err(|error| self.failed(Operation::AskPeer, error))
    }
}
