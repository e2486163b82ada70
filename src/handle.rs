//! Ends as handles of the system, and handles as ends.

use crate::end::{End, Unnamed};
use crate::error::{Error, Operation, TransitionError};
use crate::state::{Direction, Open};
use crate::sys::{Handle, Raw};

/// An open end of a handle that came from elsewhere: an inherited pipe, or one of the standard streams.
///
/// Nobody else may use the same open pipe: an end remembers the flags that it has set.
///
/// # Errors
///
/// In each the handle is given back.
///
/// - [`NotAPipe`](crate::ErrorKind::NotAPipe): it is something else.
/// - [`WrongDirection`](crate::ErrorKind::WrongDirection): it is not open for this direction alone.
///
/// # Platform-specific behavior
///
/// ## Windows
///
/// A handle that is open for both directions will do. One that was not opened with
/// `FILE_FLAG_OVERLAPPED`, such as most standard streams, reads and writes as long as it takes; with a
/// deadline or a [`Stop`](crate::Stop), or without waiting, it is
/// [`Unsupported`](crate::ErrorKind::Unsupported).
impl<D: Direction> TryFrom<Handle> for End<D, Open, Unnamed> {
    type Error = TransitionError<Handle>;

    fn try_from(handle: Handle) -> Result<Self, TransitionError<Handle>> {
        match Raw::adopt(handle, D::WAY) {
            Ok(io) => Ok(Self::unnamed(io)),
            Err((handle, error)) => {
                Err(TransitionError::new(handle, Error::new(Operation::Adopt, error)))
            }
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use crate::end::{End, Hold};
    use crate::state::{Direction, Open};

    impl<D: Direction, P: Hold> AsFd for End<D, Open, P> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.io().as_fd()
        }
    }

    /// Gives the descriptor away, in blocking mode, as descriptors are expected to be.
    ///
    /// What the end holds of its pipe is dropped: the name of an owner's pipe goes.
    impl<D: Direction, P: Hold> From<End<D, Open, P>> for OwnedFd {
        fn from(end: End<D, Open, P>) -> Self {
            end.into_parts().0.into_handle()
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};

    use crate::end::{End, Unnamed};
    use crate::path::PipePath;
    use crate::state::{Direction, Open};

    /// The handle of a client's end. An owner's end for reading is many handles, and so has none.
    impl<D: Direction> AsHandle for End<D, Open, PipePath> {
        fn as_handle(&self) -> BorrowedHandle<'_> {
            self.io().as_handle()
        }
    }

    impl<D: Direction> AsHandle for End<D, Open, Unnamed> {
        fn as_handle(&self) -> BorrowedHandle<'_> {
            self.io().as_handle()
        }
    }

    /// Gives the handle away. It is overlapped: not every program can read from it or write to it.
    impl<D: Direction> From<End<D, Open, PipePath>> for OwnedHandle {
        fn from(end: End<D, Open, PipePath>) -> Self {
            end.into_parts().0.into_handle()
        }
    }

    /// Gives the handle away, as it came.
    impl<D: Direction> From<End<D, Open, Unnamed>> for OwnedHandle {
        fn from(end: End<D, Open, Unnamed>) -> Self {
            end.into_parts().0.into_handle()
        }
    }
}
