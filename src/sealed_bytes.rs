//! Bytes in memory that no process can change any more, as a part of a message.

use std::fmt;
use std::ops::Deref;

use crate::error::{Error, Operation};
use crate::handles::{SHARED_LIMIT, half::FromHandle};
use crate::sys::{Handle, Sealed};

/// Bytes in memory that no process can change any more, passed to another process without a copy.
///
/// A connection carries them as a [handle](crate::Handles) beside a message, whose field is the number of the handle.
/// The receiver sees the very memory that the sender has filled. Any number of processes can have pictures, tables and
/// other large values in this way, keep them and pass them on, and the memory for them is there once. Making memory takes
/// the system longer than copying as many bytes: where one process reads them once, and then the next ones, a
/// [loan](crate::TypedSender::loan) is faster.
///
/// The memory is in no folder, not even in `/dev/shm`: when no process has it any more, nothing is left of it, however
/// these processes have ended. The system seals it: neither its bytes nor its size can change. So a receiver may read
/// the bytes where they are, even if it does not trust the sender.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::{Connection, Handles, SealedBytes, WithHandles};
///
/// #[derive(Serialize, Deserialize)]
/// struct Frame {
///     width: u32,
///     height: u32,
///     pixels: u32, // the number of the handle
/// }
///
/// let (client, server) = Connection::pair()?;
/// let filming = std::thread::spawn(move || {
///     let mut server = server.into_typed::<WithHandles<Frame>, ()>()?;
///     // The pixels are made in place.
///     let pixels = SealedBytes::fill(1920 * 1080, |pixels| pixels.fill(0x7f))?;
///     let mut handles = Handles::new();
///     let frame = Frame { width: 1920, height: 1080, pixels: handles.add(pixels) };
///     server.send_with_handles(&frame, &mut handles)
/// });
///
/// let mut client = client.into_typed::<(), WithHandles<Frame>>()?;
/// let (frame, mut handles) = client.recv_with_handles()?;
/// let pixels: SealedBytes = handles.take(frame.pixels)?;
/// assert_eq!((pixels.len(), pixels[0]), (1920 * 1080, 0x7f));
/// # filming.join().unwrap()?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Bytes from another process
///
/// [`Handles::take`](crate::Handles::take) refuses all that is not sealed: [`Mismatch`](crate::ErrorKind::Mismatch) for
/// a file, a pipe, memory that its sender could still change, or memory with missing parts. The memory is
/// the sender's: taking it costs the receiver addresses, not memory. The bytes taken from one message are limited, see
/// [`Handles::sealed_bytes_limit`](crate::Handles::sealed_bytes_limit); beyond the limit it is
/// [`TooLarge`](crate::ErrorKind::TooLarge). In each case the handle stays where it was, and the next message can be
/// received.
///
/// # Platform-specific behavior
///
/// They exist on Linux and Android. On other systems the type is there, and each function that would make a value is
/// [`Unsupported`](crate::ErrorKind::Unsupported).
///
/// They are a file of `memfd_create` with the seals `F_SEAL_SHRINK`, `F_SEAL_GROW`, `F_SEAL_WRITE` and `F_SEAL_SEAL`,
/// mapped without the right to write. The system counts the memory for the process that has made it.
#[doc(alias("shared memory", "memfd", "IpcSharedMemory", "zero-copy", "mmap"))]
pub struct SealedBytes(Sealed);

impl SealedBytes {
    /// Makes some by a function that writes them, into memory of zeros.
    ///
    /// It is sealed when the function returns.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use typed_pipe::SealedBytes;
    ///
    /// let squares = SealedBytes::fill(16, |bytes| {
    ///     for (number, byte) in (0_u8..).zip(bytes) {
    ///         *byte = number * number;
    ///     }
    /// })?;
    /// assert_eq!(squares[..5], [0, 1, 4, 9, 16]);
    /// # }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): there is no memory of that size, or no descriptor.
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): this system has no such memory.
    pub fn fill(len: usize, fill: impl FnOnce(&mut [u8])) -> Result<Self, Error> {
        Sealed::fill(len, fill).map(Self).map_err(|error| Error::new(Operation::SealBytes, error))
    }

    /// Makes a copy of some bytes, which is faster than [`fill`](Self::fill) with bytes that are there already.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use typed_pipe::SealedBytes;
    ///
    /// let table = SealedBytes::copy_from(b"a large table")?;
    /// assert_eq!(*table, *b"a large table");
    /// # }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`fill`](Self::fill).
    pub fn copy_from(bytes: &[u8]) -> Result<Self, Error> {
        Sealed::copy(bytes).map(Self).map_err(|error| Error::new(Operation::SealBytes, error))
    }

    /// Makes another value of the same memory, to send it to another process as well.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use typed_pipe::{Handles, SealedBytes};
    ///
    /// let table = SealedBytes::copy_from(b"a large table")?;
    /// let mut to_each: Vec<Handles> = Vec::new();
    /// for _ in 0..3 {
    ///     let mut handles = Handles::new();
    ///     handles.add(table.try_clone()?);
    ///     to_each.push(handles);
    /// }
    /// # }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): the process has too many open files.
    pub fn try_clone(&self) -> Result<Self, Error> {
        self.0.try_clone().map(Self).map_err(|error| Error::new(Operation::SealBytes, error))
    }
}

impl Deref for SealedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl AsRef<[u8]> for SealedBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for SealedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedBytes").field("len", &self.len()).finish()
    }
}

/// Converts into the handle of the memory.
impl From<SealedBytes> for Handle {
    fn from(bytes: SealedBytes) -> Self {
        bytes.0.into()
    }
}

/// Takes memory that is sealed, and nothing else.
impl FromHandle for SealedBytes {
    fn from_handle(handle: Handle) -> Result<Self, (Handle, Error)> {
        Self::from_handle_within(handle, &mut { SHARED_LIMIT })
    }

    fn from_handle_within(handle: Handle, limit: &mut usize) -> Result<Self, (Handle, Error)> {
        match Sealed::adopt(handle, *limit) {
            Ok(sealed) => {
                *limit -= sealed.bytes().len();
                Ok(Self(sealed))
            }
            Err((handle, error)) => Err((handle, Error::new(Operation::TakeHandle, error))),
        }
    }
}
