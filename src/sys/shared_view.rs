//! The view of a received message of bytes.
#![allow(
    unsafe_code,
    reason = "the one unsafe function of the public face gives out memory that a peer may write to"
)]

use std::convert::Infallible;
use std::fmt;
use std::io;

use static_assertions::assert_impl_all;

use super::RingView;

/// A received message of bytes, read where it lies: in memory that the other side may write to.
///
/// [`recv_view`](crate::TypedReceiver::recv_view) receives it. Nothing of it is copied before it is asked for, and each copy
/// is private: whatever the other side writes there meanwhile, no more comes of it than other bytes. So there is no `&[u8]`
/// of it, except by [`trusting`](Self::trusting), where the other side is trusted as this process itself.
///
/// It keeps its place in the ring until it is dropped: with as few as one message in a small ring, the other side cannot
/// send the next one before. It borrows the receiver, so nothing else can be received meanwhile.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use std::thread;
/// use typed_pipe::{Connection, Handshake, SharedMemory};
///
/// let (client, server) = Connection::pair()?;
/// let handshake = Handshake::new().shared_memory(SharedMemory::required().ring(4 << 20));
/// let theirs = handshake.clone();
/// let sending = thread::spawn(move || {
///     let mut camera = theirs.perform::<Vec<u8>, ()>(server)?;
///     let mut frame = camera.sender().loan(1 << 20)?;
///     frame.fill(7); // in the ring itself
///     frame.send()
/// });
///
/// let mut viewer = handshake.perform::<(), Vec<u8>>(client)?;
/// let frame = viewer.receiver().recv_view()?; // and there it stays
/// let mut checksum = 0_u64;
/// frame.for_each_chunk(|bytes| checksum += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>());
/// assert_eq!((frame.len(), checksum), (1 << 20, 7 << 20));
/// # drop(frame);
/// # sending.join().unwrap()?;
/// # }
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// There is no way to borrow the bytes without `unsafe`:
///
/// ```compile_fail,E0614
/// # fn look(view: typed_pipe::SharedView<'_>) -> u8 {
/// let bytes: &[u8] = &*view;
/// # bytes[0]
/// # }
/// ```
#[must_use = "dropping it gives its place to the other side"]
#[doc(alias("zero-copy", "sample", "borrow", "mmap"))]
pub struct SharedView<'a>(Place<'a>);

/// Where the bytes are.
enum Place<'a> {
    /// In memory that the other side may write to.
    #[cfg_attr(
        not(any(target_os = "linux", target_os = "android")),
        allow(dead_code, reason = "there is no such memory")
    )]
    Ring(RingView<'a>),
    /// In the buffer of the receiver.
    Buffer(&'a [u8]),
}

/// So much is copied at once: it stays in the nearest cache.
const CHUNK: usize = 16 << 10;

impl<'a> SharedView<'a> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn in_ring(view: RingView<'a>) -> Self {
        Self(Place::Ring(view))
    }

    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(Place::Buffer(bytes))
    }

    /// The number of bytes.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u8>>();
    /// TypedSender::<[u8]>::connect(path)?.send_bytes(b"hello")?;
    /// assert_eq!(receiver.recv_view()?.len(), 5); // of a pipe, which has no ring, in the buffer of the receiver
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Place::Ring(view) => view.len(),
            Place::Buffer(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u8>>();
    /// TypedSender::<[u8]>::connect(path)?.send_bytes(b"")?;
    /// assert!(receiver.recv_view()?.is_empty()); // a message all the same
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the first bytes into a buffer, as many as it has room for; returns how many.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u8>>();
    /// TypedSender::<[u8]>::connect(path)?.send_bytes(b"RIFF, and much more")?;
    /// let file = receiver.recv_view()?;
    /// let mut kind = [0; 4];
    /// assert_eq!(file.copy_to(&mut kind), 4);
    /// assert_eq!(&kind, b"RIFF"); // the rest need not be copied
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn copy_to(&self, buf: &mut [u8]) -> usize {
        self.copy_at(0, buf)
    }

    /// Copies all bytes into a new vector.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u8>>();
    /// TypedSender::<[u8]>::connect(path)?.send_bytes(b"to be kept")?;
    /// assert_eq!(receiver.recv_view()?.copy_to_vec(), b"to be kept");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    #[doc(alias("to_vec"))]
    pub fn copy_to_vec(&self) -> Vec<u8> {
        match &self.0 {
            Place::Ring(view) => {
                let mut bytes = vec![0; view.len()];
                view.copy_out(0, &mut bytes);
                bytes
            }
            Place::Buffer(bytes) => bytes.to_vec(),
        }
    }

    /// Gives all bytes in order, part by part, each in a private buffer: for checksums, searches and parsers.
    ///
    /// The parts are large, of a size that is not promised; none is empty.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u8>>();
    /// TypedSender::<[u8]>::connect(path)?.send_bytes(&[1; 3000])?;
    /// let mut sum = 0;
    /// receiver.recv_view()?.for_each_chunk(|bytes| sum += bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>());
    /// assert_eq!(sum, 3000);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("chunks", "iter"))]
    pub fn for_each_chunk(&self, mut take: impl FnMut(&[u8])) {
        let Ok(()) = self.each(|bytes| {
            take(bytes);
            Ok::<(), Infallible>(())
        });
    }

    /// Writes all bytes to a file, or to whatever takes bytes.
    ///
    /// Under tokio, this blocks as the writer does.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u8>>();
    /// TypedSender::<[u8]>::connect(path)?.send_bytes(b"a picture")?;
    /// let mut file = tempfile::tempfile()?;
    /// receiver.recv_view()?.write_to(&mut file)?;
    /// assert_eq!(file.metadata()?.len(), 9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the writer. Some of the bytes may be written then.
    pub fn write_to(&self, mut writer: impl io::Write) -> io::Result<()> {
        self.each(|bytes| writer.write_all(bytes))
    }

    /// Borrows the bytes where they lie, without a copy, as if no other process could write to them.
    ///
    /// Reading them in place is worth it for large messages that are looked at once, or only in part. Where that is not
    /// so, [`copy_to`](Self::copy_to) and [`for_each_chunk`](Self::for_each_chunk) cost little more.
    ///
    /// # Safety
    ///
    /// As long as the slice lives, no process may write to the bytes: the behavior of the program is undefined otherwise,
    /// whatever it does with them. A check and a use of the same byte may see two values, so that an index that was
    /// checked is out of bounds, a `match` on it goes nowhere, and a `str` is no UTF-8.
    ///
    /// The other side has a writable view of its ring, and nothing takes that away while the connection lasts. A side that
    /// uses this crate does not write to a place that this side has not given back. So this is sound if the other process
    ///
    /// - runs this crate, unchanged, for its end of the connection;
    /// - has no other code that writes to memory which is not its own: no faulty `unsafe` code, no debugger that does so;
    /// - cannot be taken over: it trusts its own input at most as far as this process would;
    /// - has no forked child that goes on with the connection.
    ///
    /// What [`peer`](crate::TypedConnection::peer) tells, and a limit to the same user, prove none of that: they say who runs
    /// the process, and not what it does. Where the bytes do not lie in a ring, as over a pipe or a socket, they are in
    /// private memory, and nothing can go wrong.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use std::thread;
    /// use typed_pipe::{Connection, Handshake, SharedMemory};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let handshake = Handshake::new().shared_memory(SharedMemory::required());
    /// let theirs = handshake.clone();
    /// let sending = thread::spawn(move || theirs.perform::<str, ()>(server)?.send("hello"));
    ///
    /// let mut side = handshake.perform::<(), String>(client)?;
    /// let view = side.receiver().recv_view()?;
    /// // SAFETY: the other side is the thread above, which writes to no message that it has sent.
    /// let bytes = unsafe { view.trusting() };
    /// assert_eq!(bytes, b"\x05hello");
    /// # sending.join().unwrap()?;
    /// # }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub unsafe fn trusting(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: the caller promises that no process writes to them.
            Place::Ring(view) => unsafe { view.bytes() },
            Place::Buffer(bytes) => bytes,
        }
    }

    /// Copies bytes, from one of them on; returns how many.
    fn copy_at(&self, from: usize, to: &mut [u8]) -> usize {
        match &self.0 {
            Place::Ring(view) => view.copy_out(from, to),
            Place::Buffer(bytes) => {
                let n = bytes.len().saturating_sub(from).min(to.len());
                let (to, bytes) = (to.get_mut(..n), bytes.get(from..from + n));
                if let (Some(to), Some(bytes)) = (to, bytes) {
                    to.copy_from_slice(bytes);
                }
                n
            }
        }
    }

    /// Gives all bytes part by part, until that fails.
    fn each<E>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match &self.0 {
            Place::Ring(view) => {
                let (mut room, mut from) = ([0; CHUNK], 0);
                loop {
                    let n = view.copy_out(from, &mut room);
                    if n == 0 {
                        return Ok(());
                    }
                    take(room.get(..n).unwrap_or_default())?;
                    from += n;
                }
            }
            Place::Buffer(bytes) => bytes.chunks(CHUNK).try_for_each(take),
        }
    }
}

// Several threads may look at the parts of one message.
assert_impl_all!(SharedView<'static>: Send, Sync);

impl fmt::Debug for SharedView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedView").field("len", &self.len()).finish_non_exhaustive()
    }
}
