//! Shared memory beneath a typed connection: offered in the handshake, and taken if both sides can.

use std::fmt;
use std::future::poll_fn;
use std::io;

use super::handshake_parts::Tag;
use super::handshake_state::HandshakeState;
use crate::connection::{ReadHalf, WriteHalf};
use crate::error::{Cause, Error, Obstacle, Operation};
use crate::state::{Mode, woken_at};
use crate::sys::{GREETING, Handle, Offer, WaitLimit};

/// Shared memory for the messages of a connection, as one side of a [`Handshake`](crate::Handshake) offers it.
///
/// Where both sides offer it, each makes memory for what it sends, with a ring of bytes, and the messages no longer go
/// through the kernel: small ones are several times faster, and large ones are copied once less. The types stay the
/// same, and so does what they promise. What a side has sent outlives it, handles keep their place between the messages,
/// and the death of the other side is noticed.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use std::thread;
/// use typed_pipe::{Connection, Handshake, SharedMemory, TransportKind};
///
/// let (client, server) = Connection::pair()?;
/// let handshake = Handshake::new().shared_memory(SharedMemory::offered());
/// let theirs = handshake.clone();
/// let serving = thread::spawn(move || theirs.perform::<u64, String>(server)?.recv());
///
/// let mut client = handshake.perform::<str, u64>(client)?;
/// assert_eq!(*client.transport(), TransportKind::SharedMemory);
/// client.send("hello")?;
/// assert_eq!(serving.join().unwrap()?, "hello");
/// # }
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # A peer that is not trusted
///
/// A side can only read the memory of the other one. It is sealed, so it neither shrinks nor gets other writers, and all
/// of it is there: no access can end the process. Each byte is copied before anything looks at it, and each position is
/// checked. So a hostile peer can send wrong bytes, as through a socket, and nothing worse; memory that it breaks is
/// [`Corrupt`](crate::ErrorKind::Corrupt). That holds for [views](crate::SharedView) too, but for what their one unsafe
/// function lends. The page [`shared_memory`](crate::shared_memory) has the layout, byte by byte.
///
/// # Platform-specific behavior
///
/// It exists on Linux, from 5.1 on. Elsewhere, and wherever a side cannot make it, send it or take it, the socket or pipe
/// stays in use, and [`transport`](crate::TypedConnection::transport) has the reason: no memory, addresses or descriptors
/// are left, a sandbox forbids a call, or a socket lets no handles through.
///
/// The connection itself stays open beside the memory. It has three descriptors on each side, in place of one. As an
/// [`OwnedFd`](std::os::fd::OwnedFd), it is the socket, which carries no messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a handshake offers it with `shared_memory`"]
#[doc(alias("shm", "memfd", "mmap", "zero-copy", "ring buffer"))]
pub struct SharedMemory {
    /// `None` for a small one that grows.
    ring: Option<usize>,
    required: bool,
}

impl SharedMemory {
    /// Offers shared memory. If the other side does not, or one of the two has none, the connection goes on without.
    ///
    /// The ring has 64 KiB, and 1 MiB from the first message on that is larger than half of it. An example is at
    /// [`SharedMemory`].
    pub fn offered() -> Self {
        Self { ring: None, required: false }
    }

    /// Requires shared memory: without, the handshake fails.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind, Handshake, SharedMemory};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<u64, String>()); // which offers none
    /// let handshake = Handshake::new().shared_memory(SharedMemory::required());
    /// let error = handshake.perform::<str, u64>(client).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Unsupported);
    /// # drop(serving);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn required() -> Self {
        Self { ring: None, required: true }
    }

    /// Sets the size of the ring for what this side sends, in bytes: rounded up to a power of two, from 64 KiB to 1 GiB. It
    /// stays as it is.
    ///
    /// A message that is larger goes through it part by part. One that is [lent](crate::TypedSender::loan) is made in
    /// the ring itself if it fits.
    ///
    /// ```
    /// use typed_pipe::{Handshake, SharedMemory};
    ///
    /// let frames = Handshake::new().shared_memory(SharedMemory::offered().ring(8 << 20));
    /// # drop(frames);
    /// ```
    pub fn ring(mut self, bytes: usize) -> Self {
        self.ring = Some(bytes);
        self
    }

    /// The bytes by which the handshake says that it can be had; `None` where it cannot.
    pub(super) fn part() -> Option<Vec<u8>> {
        Offer::PART.map(<[u8]>::to_vec)
    }

    /// Whether the handshake must fail: without the other side, too.
    pub(super) fn ensure_possible(&self) -> Result<(), Error> {
        match Offer::PART {
            None => self.without("this system has none").map(drop),
            Some(_) => Ok(()),
        }
    }

    /// After the terms were exchanged: passes memory to the other side and takes its own, if both offer some.
    pub(super) async fn exchange<M: Mode>(
        &self,
        state: &HandshakeState,
        reader: &mut ReadHalf<M>,
        writer: &mut WriteHalf<M>,
        until: WaitLimit,
    ) -> Result<TransportKind, Error> {
        let Some(ours) = Offer::PART else { return self.without("this system has none") };
        if !reader.raw().carries_handles() {
            return self.without("the other side is not on this machine");
        }
        match state.theirs(Tag::Memory) {
            None => return self.without("the other side offers none"),
            Some(theirs) if theirs != ours => {
                return self.without("the other side has it in another layout");
            }
            Some(_) => {}
        }
        let talk = self.pass_and_take(reader, writer, until);
        match woken_at::<M, _>(until, talk).await {
            Ok(Ok(())) => Ok(TransportKind::SharedMemory),
            Ok(Err(why)) => self.without(&why),
            Err(error) => Err(reader.failed(Operation::Agree, error)),
        }
    }

    /// `Ok(Err(why))` if there is no shared memory, which both sides know then.
    async fn pass_and_take<M: Mode>(
        &self,
        reader: &mut ReadHalf<M>,
        writer: &mut WriteHalf<M>,
        until: WaitLimit,
    ) -> io::Result<Result<(), String>> {
        let (offer, greeting) = match Offer::new(self.ring) {
            Ok((offer, handles)) => {
                let greeting = offer.greeting();
                writer.raw_mut().pass(handles);
                (Ok(offer), greeting)
            }
            Err(error) => (Err(error), Offer::none()),
        };
        let offer = match write_all(writer, &greeting, until).await {
            Ok(()) => offer,
            Err(error) => {
                // Nothing of it has gone if the handles have not: where the system lets none through, the socket goes on.
                if writer.raw_mut().take_back().is_empty() {
                    return Err(error);
                }
                write_all(writer, &Offer::none(), until).await?;
                Err(error)
            }
        };
        let mut theirs = [0; GREETING];
        read_all(reader, &mut theirs, until).await?;
        let count = Offer::handles_of(&theirs);
        let numbers: &[u64] = if count > 0 { &[0] } else { &[] };
        let handles: io::Result<Vec<Handle>> = reader.raw_mut().take_passed(count, numbers);
        let taken = offer.and_then(|offer| offer.take(&theirs, handles?)).and_then(|taken| {
            prepare::<M>(reader, writer, taken.lines().map(Some)).map(|()| taken)
        });
        write_all(writer, &[u8::from(taken.is_ok())], until).await?;
        let mut is_taken = [0];
        read_all(reader, &mut is_taken, until).await?;
        let why = match taken {
            Err(error) => in_words(error),
            Ok(_) if is_taken != [1] => "the other side could not take it".to_owned(),
            Ok(taken) => {
                taken.install(reader.raw_mut(), writer.raw_mut());
                // They are woken by other descriptors now.
                M::renew(reader.io_mut())?;
                M::renew(writer.io_mut())?;
                return Ok(Ok(()));
            }
        };
        prepare::<M>(reader, writer, [None, None])?;
        Ok(Err(why))
    }

    /// Goes on without, unless it is required.
    pub(crate) fn without(&self, why: &str) -> Result<TransportKind, Error> {
        if self.required {
            return Err(Error::new(Operation::Agree, Obstacle::NoSharedMemory(why.to_owned())));
        }
        Ok(TransportKind::Socket { reason: Some(why.to_owned()) })
    }
}

/// How the messages of a connection go to the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportKind {
    /// Through the system: a socket on Unix, a named pipe on Windows.
    #[non_exhaustive]
    Socket {
        /// Why not through shared memory, if this side offered some.
        reason: Option<String>,
    },
    /// Through shared memory.
    SharedMemory,
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { reason: None } => f.write_str("socket"),
            Self::Socket { reason: Some(reason) } => {
                write!(f, "socket, and no shared memory: {reason}")
            }
            Self::SharedMemory => f.write_str("shared memory"),
        }
    }
}

/// The reason of an error, without the words around it.
fn in_words(error: io::Error) -> String {
    match Cause::from(error) {
        Cause::Obstacle(Obstacle::NoSharedMemory(why)) => why,
        Cause::Io(_, error) => error.to_string(),
        cause => cause.to_string(),
    }
}

/// Makes the mode ready for what wakes the halves of a connection.
fn prepare<M: Mode>(
    reader: &mut ReadHalf<M>,
    writer: &mut WriteHalf<M>,
    [of_reader, of_writer]: [Option<&Handle>; 2],
) -> io::Result<()> {
    M::prepare(reader.io_mut(), of_reader)?;
    M::prepare(writer.io_mut(), of_writer)
}

async fn write_all<M: Mode>(
    writer: &mut WriteHalf<M>,
    mut bytes: &[u8],
    until: WaitLimit,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = poll_fn(|cx| writer.poll_write_until(cx, bytes, until)).await?;
        bytes = bytes.get(n..).unwrap_or_default();
    }
    Ok(())
}

async fn read_all<M: Mode>(
    reader: &mut ReadHalf<M>,
    mut room: &mut [u8],
    until: WaitLimit,
) -> io::Result<()> {
    while !room.is_empty() {
        let n = poll_fn(|cx| reader.poll_read_until(cx, room, until)).await?;
        if n == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        room = room.get_mut(n..).unwrap_or_default();
    }
    Ok(())
}
