//! Handles beside a message.

use std::fs::File;

use crate::error::{Error, Obstacle, Operation};
use crate::sys::{self, Handle};

/// The handles that go, or came, beside a message.
///
/// Handles have numbers, from 0 on in the order in which they were [added](Self::add), by which the message can refer
/// to them. [`take`](Self::take) checks that a handle is of the expected type. Dropping this closes the handles not
/// taken.
///
/// ```
/// use std::fs::File;
/// use std::io::Read;
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::{Connection, Handles, WithHandles};
///
/// #[derive(Serialize, Deserialize)]
/// struct Opened {
///     name: String,
///     file: u32, // the number of its handle
/// }
///
/// # use std::io::{Seek, Write};
/// # let mut log = tempfile::tempfile()?;
/// # log.write_all(b"started")?;
/// # log.rewind()?;
/// let (client, server) = Connection::pair()?;
/// let serving = std::thread::spawn(move || {
///     let mut server = server.into_typed::<WithHandles<Opened>, ()>()?;
///     let mut handles = Handles::new();
///     let file = handles.add(log);
///     server.send_with_handles(&Opened { name: "log".into(), file }, &mut handles)
/// });
///
/// let mut client = client.into_typed::<(), WithHandles<Opened>>()?;
/// let (opened, mut handles) = client.recv_with_handles()?;
/// let mut words = String::new();
/// handles.take::<File>(opened.file)?.read_to_string(&mut words)?;
/// assert_eq!(words, "started");
/// # serving.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias("SCM_RIGHTS", "fd", "file descriptor", "pass file", "sendfd"))]
pub struct Handles {
    handles: Vec<Option<Handle>>,
    /// How many bytes of shared memory may still be taken.
    shared: usize,
}

impl Handles {
    /// The most handles of one message.
    pub const MAX: usize = sys::MAX_HANDLES;

    /// Makes an empty set of handles.
    ///
    /// ```
    /// use typed_pipe::{Connection, Handles, WithHandles};
    ///
    /// let (one, _other) = Connection::pair()?;
    /// let (_, writer) = one.split();
    /// let mut sender = writer.into_sender::<WithHandles<u32>>();
    /// sender.send_with_handles(&7, &mut Handles::new())?; // handles are optional
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn new() -> Self {
        Vec::new().into()
    }

    /// Adds a handle, and returns its number.
    ///
    /// Files, and the ends and connections of this crate, can be added, and on Unix everything that converts into an
    /// `OwnedFd`, such as the sockets of the standard library.
    ///
    /// ```
    /// use std::fs::File;
    /// use typed_pipe::{Connection, Handles};
    ///
    /// let (connection, _) = Connection::pair()?;
    /// let mut handles = Handles::new();
    /// # let (log, file) = (tempfile::tempfile()?, tempfile::tempfile()?);
    /// let log: u32 = handles.add(log); // a `File`; the number goes into the message
    /// assert_eq!((log, handles.add(connection)), (0, 1));
    /// let log: File = handles.take(log)?; // the receiving process does this
    /// # drop((log, file));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, handle: impl Into<Handle>) -> u32 {
        let number = u32::try_from(self.handles.len()).unwrap_or(u32::MAX);
        self.handles.push(Some(handle.into()));
        number
    }

    /// Takes the handle of a number, if it is of the expected type.
    ///
    /// The peer has chosen the type of a handle: this checks that it is a file, or the end of a pipe.
    ///
    /// ```
    /// use std::fs::File;
    /// use typed_pipe::{Connection, ErrorKind, Handles};
    ///
    /// let mut handles = Handles::new();
    /// let number = handles.add(tempfile::tempfile()?);
    /// let error = handles.take::<Connection>(number).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotAPipe);
    ///
    /// let file: File = handles.take(number)?; // still there
    /// assert_eq!(handles.take::<File>(number).unwrap_err().kind(), ErrorKind::Mismatch); // taken before
    /// # drop(file);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// After each, the handle stays in place.
    ///
    /// - [`Mismatch`](crate::ErrorKind::Mismatch): there is no handle of this number, it was taken before, or it is of
    ///   another type.
    /// - Those of the conversion, for ends and connections: [`NotAPipe`](crate::ErrorKind::NotAPipe),
    ///   [`WrongDirection`](crate::ErrorKind::WrongDirection).
    pub fn take<T: FromHandle>(&mut self, number: u32) -> Result<T, Error> {
        self.take_by(number, T::from_handle_within)
    }

    /// Takes a handle that is converted in some way, with the limit of shared memory.
    pub(crate) fn take_by<T>(
        &mut self,
        number: u32,
        convert: impl FnOnce(Handle, &mut usize) -> Result<T, (Handle, Error)>,
    ) -> Result<T, Error> {
        let place = usize::try_from(number).ok().and_then(|number| self.handles.get_mut(number));
        let missing = || Error::new(Operation::TakeHandle, Obstacle::NoHandle(number));
        let place = place.ok_or_else(missing)?;
        let handle = place.take().ok_or_else(missing)?;
        convert(handle, &mut self.shared).map_err(|(handle, error)| {
            *place = Some(handle);
            error
        })
    }

    /// The number of handles, taken ones included.
    ///
    /// ```
    /// use std::fs::File;
    /// use typed_pipe::Handles;
    ///
    /// let mut handles = Handles::new();
    /// for file in [tempfile::tempfile()?, tempfile::tempfile()?] {
    ///     handles.add(file);
    /// }
    /// handles.take::<File>(0)?;
    /// assert_eq!(handles.len(), 2);
    /// assert!(handles.len() <= Handles::MAX); // the limit of a message
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Whether no handle was ever added.
    ///
    /// ```
    /// use std::fs::File;
    /// use typed_pipe::Handles;
    ///
    /// let mut handles = Handles::new();
    /// assert!(handles.is_empty());
    /// let number = handles.add(tempfile::tempfile()?);
    /// handles.take::<File>(number)?;
    /// assert!(!handles.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Sets the limit on the bytes of all [`SealedBytes`](crate::SealedBytes) that are still to be taken.
    ///
    /// Without this call it is 1 GiB for a message.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use typed_pipe::{ErrorKind, Handles, SealedBytes};
    ///
    /// # let mut handles = Handles::new(); // or from `recv_with_handles`
    /// # handles.add(SealedBytes::fill(5 << 20, |_| {})?);
    /// handles.sealed_bytes_limit(4 << 20); // a frame has 4 MiB at most
    /// let error = handles.take::<SealedBytes>(0).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// # }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[cfg(feature = "shared-memory")]
    pub fn sealed_bytes_limit(&mut self, limit: usize) {
        self.shared = limit;
    }

    /// Removes the remaining handles, to pass them on.
    pub(crate) fn drain(&mut self) -> Result<Vec<Handle>, Error> {
        let len = self.handles.len();
        if len > Self::MAX {
            let many = Obstacle::TooManyHandles { len, limit: Self::MAX };
            return Err(Error::new(Operation::Send, many));
        }
        if let Some(taken) = self.handles.iter().position(Option::is_none) {
            let number = u32::try_from(taken).unwrap_or(u32::MAX);
            return Err(Error::new(Operation::Send, Obstacle::NoHandle(number)));
        }
        Ok(self.handles.drain(..).flatten().collect())
    }
}

impl From<Vec<Handle>> for Handles {
    fn from(handles: Vec<Handle>) -> Self {
        Self { handles: handles.into_iter().map(Some).collect(), shared: SHARED_LIMIT }
    }
}

impl Default for Handles {
    fn default() -> Self {
        Self::new()
    }
}

/// So many bytes of shared memory may be taken from one message, unless another limit is set.
pub(crate) const SHARED_LIMIT: usize = 1 << 30;

/// A type that a received handle can be taken as.
///
/// These are the plain handle of the system, files, `SealedBytes`, the ends of pipes
/// ([`Unnamed`](crate::Unnamed)), connections, and on Unix the sockets of the standard library. A handle of another kind is refused. This trait is sealed.
///
/// ```
/// use std::fs::File;
/// use typed_pipe::{Error, FromHandle, Handles};
///
/// /// All handles of a message, each of one type.
/// fn take_all<T: FromHandle>(handles: &mut Handles) -> Result<Vec<T>, Error> {
///     (0..).take(handles.len()).map(|number| handles.take(number)).collect()
/// }
///
/// let mut handles = Handles::new();
/// handles.add(tempfile::tempfile()?);
/// handles.add(tempfile::tempfile()?);
/// let files: Vec<File> = take_all(&mut handles)?;
/// assert_eq!(files.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "no received handle can be taken as `{Self}`",
    note = "take it as the plain handle of the system, and convert that"
)]
pub trait FromHandle: half::FromHandle {}

#[diagnostic::do_not_recommend]
impl<T: half::FromHandle> FromHandle for T {}

/// The private half of the trait.
pub(crate) mod half {
    use crate::error::Error;
    use crate::sys::Handle;

    pub trait FromHandle: Sized {
        /// Converts the handle, or gives it back if it is of another type.
        fn from_handle(handle: Handle) -> Result<Self, (Handle, Error)>;

        /// As `from_handle`, of what has no more shared memory than the limit, which is lowered by that.
        fn from_handle_within(handle: Handle, _limit: &mut usize) -> Result<Self, (Handle, Error)> {
            Self::from_handle(handle)
        }

        /// Why it cannot be [carried](super::Handles::carry) to another process.
        fn stays(&self) -> Option<&'static str> {
            None
        }
    }
}

impl half::FromHandle for Handle {
    fn from_handle(handle: Handle) -> Result<Self, (Handle, Error)> {
        Ok(handle)
    }
}

/// A file or a device.
impl half::FromHandle for File {
    fn from_handle(handle: Handle) -> Result<Self, (Handle, Error)> {
        match sys::ensure_file(&handle) {
            Ok(()) => Ok(handle.into()),
            Err(error) => Err((handle, Error::new(Operation::TakeHandle, error))),
        }
    }
}
