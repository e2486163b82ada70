//! The interface to the operating system.
//!
//! # The items of a back end
//!
//! Both back ends have these items with these signatures. They return [`io::Result`]; a reason of this crate's own
//! is an [`Obstacle`](crate::error::Obstacle) inside it. A wait that ends at its deadline is
//! [`io::ErrorKind::TimedOut`], one that must not wait at all [`io::ErrorKind::WouldBlock`], a cancelled
//! one [`Obstacle::Cancelled`](crate::error::Obstacle). Reads, writes and accepts check the cancel token first: a
//! cancelled token wins over an operation that is possible at once. The end of a stream that was read stays the end all
//! the same.
//!
//! - `fn resolve(name: &Path) -> Result<PathBuf, NameError>`: the rules of names; touches no file.
//!   `fn private(name: &Path) -> Result<PathBuf, NameError>`: a name of one part in a place of this user.
//!   `fn temporary_folder() -> Option<Arc<Path>>`: the folder of temporary names, for errors.
//! - `struct Event`: set by a cancel token or a waker, and so until it is unset. `new`, `set`, `unset`; `automatic`, whose
//!   `wait` unsets it.
//! - `struct Maker`: the process that made something, told from a forked child. `this`, `is_this`.
//! - `fn ensure_not_cancelled(Wait) -> io::Result<()>`
//! - `struct Node`: an allocated name, and whatever keeps it. Dropping it removes the name if it is
//!   still its own, never in a forked child, and reports no error.
//!   - `create(&Path, &Settings) -> io::Result<Node>`, `temporary(&Settings) -> io::Result<(PathBuf, Node)>`
//!   - `open(&mut self, Way, Wait) -> io::Result<Raw>`: the owner's end, of this very pipe.
//!   - `remove(&mut self) -> io::Result<()>`: a name that is gone or no longer ours is `Ok`.
//!   - `persist(self)`: leaves the name where it is.
//!   - `is_unlinked(&self) -> bool`: whether the name is gone or leads elsewhere.
//! - `struct Raw`: an open end.
//!   - `open(&Path, Way, any_owner: bool, Wait) -> io::Result<Raw>`: a client's end. A writing end
//!     waits for the pipe to be there and to have a reader; a reading end waits for the pipe alone.
//!   - `adopt(Handle, Way) -> Result<Raw, (Handle, io::Error)>`, `into_handle(self) -> Option<Handle>`:
//!     `None` for a half, and on Windows for the reading end of an owner. It is an `AsFd` or an `AsHandle` as well. Other
//!     processes may share an adopted handle, so its flags stay as they were. On Unix alone, `show(&self) -> BorrowedFd`:
//!     for callers that may pass it on.
//!   - `read`, `read_vectored`, `write`, `write_vectored`, each with a [`Wait`]. The first read of an
//!     end waits for the first writer. `Ok(0)` from a read means that the last writer left, and stays. If the system
//!     reports that the other side left with bytes unread, or with bytes of its own undelivered, that is no end: after the
//!     bytes that arrived, each read is [`io::ErrorKind::ConnectionReset`]. No write raises a signal, whatever the program
//!     has set.
//!     A write of an owner without a reader is [`Obstacle::ReaderLeft`](crate::error::Obstacle), of the kind
//!     [`io::ErrorKind::BrokenPipe`]: nothing of what was written before reaches the next reader.
//!   - `wait_for_writer(&mut self, Wait) -> io::Result<()>`: until a writer has opened it, also one that writes
//!     nothing, or that has left again. Consumes no bytes.
//!   - `renew(&mut self) -> io::Result<()>`: after such an end or reset, the next read waits for the next writer.
//!   - `forget_left_over(&mut self) -> io::Result<()>`: drops the bytes from before a client's reading end was opened.
//!     Without this call, such an end of a pipe of this crate fails to read if there were any: it would begin in the
//!     middle of what another reader read.
//!   - `wait_until_taken(&self, Wait) -> io::Result<bool>`: until the readers have taken all that was written;
//!     `Ok(false)` if the system does not report that.
//!   - `lend(&mut self, before: usize, len: usize, Wait) -> bool`: lends room for `before + len` bytes, in place of what was
//!     lent, if it will be given to the system without copying. `lent(&self) -> &[u8]`, `lent_mut(&mut self) ->
//!     &mut [u8]`: what was not given yet; `lent_mut` is empty when a part was given. `give(&mut self, Wait) ->
//!     io::Result<usize>` puts it into the pipe, as a `write` of `lent` would. A back end may lend nothing.
//!   - `buffer_size(&self) -> io::Result<usize>`
//!   - With the feature `shared-memory`: `shares_memory(&self) -> bool`: whether its bytes come through memory that the other
//!     side writes to. `frame(&mut self, &Measure, Wait) -> io::Result<usize>`: waits until a whole message lies there;
//!     returns its length, or 0 where it must be read. `view(&mut self, frame: usize) -> SharedView`: takes that message.
//!   - `move_to(&mut self, to: &mut Raw, len: usize, Wait) -> io::Result<usize>`: moves bytes that are here to another end
//!     without copying them, once that has room; 0 if there are none, or they must be copied. Errors are those of a write.
//! - `struct Server`: an allocated name at which clients connect. Dropping it is as dropping a `Node`.
//!   - `bind(&Path, &Settings) -> io::Result<Server>`, `temporary(&Settings) -> io::Result<(PathBuf, Server)>`
//!   - `accept(&self, Wait) -> io::Result<(Raw, Raw)>`: the next client, as the two halves of a connection.
//!     Several threads may call it. If the process has no room for the client, it is
//!     [`Obstacle::ResourceExhausted`](crate::error::Obstacle), and the client stays: the next call finds it again.
//!   - `remove(&mut self) -> io::Result<()>`, `is_unlinked(&self) -> bool`
//!   - `stays(&self) -> Option<&'static str>`, `share(&self) -> io::Result<Handle>`, `shared(&Path, Handle) ->
//!     Result<Server, (Handle, io::Error)>`: another process listens at the same name, which it does not own. Not
//!     everywhere: `stays` says why.
//! - `Raw` is also one half of a connection: what is read from it, or what is written to it.
//!   - `connect(&Path, any_owner: bool, Wait) -> io::Result<(Raw, Raw)>`: the reading half and the writing
//!     one. It waits for a server.
//!   - `pair() -> io::Result<[(Raw, Raw); 2]>`: in the same way, the two sides of a connection without a name.
//!   - `adopt_both(Handle) -> Result<(Raw, Raw), (Handle, io::Error)>`
//!   - `set_apart(&self, bool)`, of a writing half: whether the halves have two owners. Until then, dropping both ends no
//!     direction of a socket that others have as well.
//!   - `is_half_of(&self, other: &Raw) -> bool`, `into_both(Raw, Raw) -> Option<Handle>` of two halves of
//!     one connection
//!   - `finish(&mut self, Wait) -> io::Result<()>`: the other side reads the end, once it has read what was
//!     written. Dropping a half does the same as far as that takes no waiting. Of what is no half, nothing.
//!   - `write_or_take_in(&mut self, incoming: &mut Raw, limit: usize, &[u8], Wait) -> io::Result<usize>`, of two halves
//!     of one connection: writes, and while there is no room, keeps up to `limit` bytes of what comes in, for later
//!     reads. More than that is [`Obstacle::Deadlock`](crate::error::Obstacle).
//!   - `over(impl Carrier) -> io::Result<(Raw, Raw)>`, `over_tcp(TcpStream) -> io::Result<(Raw, Raw)>`: both halves of a
//!     connection over something else. Its handle is an event of this process, except where a TCP stream has one.
//!     `over_started(impl FnOnce() -> io::Result<impl Carrier>)`: the same, over one that begins its work last.
//!   - `holds_bytes(&self) -> bool`: whether it has bytes that its handle does not give any more.
//!   - `carries_handles(&self) -> bool`: whether handles may go beside its bytes.
//!   - `ask_for_buffer(&self, usize)`: of this size, as far as the system does that.
//!   - `peer(&self) -> io::Result<Peer>`, `unread(&self) -> io::Result<usize>` of a reading half,
//!     `unsent(&self) -> io::Result<usize>` of a writing one
//!   - `allow_handles(&mut self)`: from now on a reading half lets handles in; before, none comes in.
//!   - `accept_handles(&mut self, most: usize) -> io::Result<()>`, with the feature `foreign`: the same, for handles of other
//!     programs, of which at most so many are kept. `next_handles(&mut self) -> io::Result<Option<Vec<Handle>>>`: those
//!     of the next write. `passes_handles(&self) -> bool`, of a writing half: whether they go beside the bytes themselves.
//!   - `pass(&mut self, Vec<Handle>) -> Vec<u64>`: they go with the first byte of the next write of a writing half, in
//!     place of any that have not gone; [`MAX_HANDLES`] at most. The numbers go to the other side in
//!     band; there may be none.
//!   - `take_back(&mut self) -> Vec<Handle>`: those that have not gone yet.
//!   - `take_passed(&mut self, count: usize, &[u64]) -> io::Result<Vec<Handle>>`: the handles that came to a reading
//!     half with the message that announced `count` handles of these numbers.
//! - `struct PolledServer`, with the feature `tokio`: wakes the task that waits for a client.
//!   - `new(&Server, &tokio::runtime::Handle) -> io::Result<PolledServer>`
//!   - `poll_accept(&mut self, &Server, &mut Context) -> Poll<io::Result<(Raw, Raw)>>`, of that server: as `accept`.
//! - `fn inherited() -> io::Result<Vec<(String, Handle)>>`: copies of the handles that a supervisor opened for this process,
//!   with their names.
//! - `type Handle`: `OwnedFd` or `OwnedHandle`. `fn ensure_file(&Handle) -> io::Result<()>`: whether it is a file with
//!   positions. On Unix alone, `fn ensure_socket_of(&Handle, Socket) -> io::Result<()>`: whether it is a socket of this
//!   kind.
//! - `struct Polled`, with the feature `tokio`: an open end that wakes a task instead of blocking a thread.
//!   - `new(Raw, Way, tokio::runtime::Handle) -> Result<Polled, (Raw, io::Error)>`, `into_raw(self) -> Raw`,
//!     `raw(&self) -> &Raw`, `raw_mut(&mut self) -> &mut Raw`, which is not to be read from or written to
//!   - `poll_read(&mut self, &mut Context, &mut [u8]) -> Poll<io::Result<usize>>`, and in the same way
//!     `poll_write`: as `read` and `write`. What is pending is done when it is polled again with the same bytes.
//!   - `poll_frame(&mut self, &mut Context, &Measure) -> Poll<io::Result<usize>>`, with the feature `shared-memory`: as `frame`
//!   - `poll_take_in(&mut self, limit: usize, &mut Context) -> Poll<io::Error>`, of a reading half: keeps incoming bytes
//!     for later reads, as `write_or_take_in` does, until that fails.
//!   - `read_now`, `write_now`: as `read` and `write` that do not wait.
//!   - `poll_finish(&mut self, &mut Context) -> Poll<io::Result<()>>` as `finish`; of what is no
//!     half of a connection, nothing
//!   - `give_up_write(&mut self) -> io::Result<usize>`: abandons a pending write; returns how many of its bytes were
//!     written.
//!   - `renew(&mut self) -> io::Result<()>`
//!   - `prepare(&mut self, Option<&Handle>) -> io::Result<()>`, with the feature `shared-memory`: after the next `renew`,
//!     the end is woken by that
//! - `struct Readiness`, with the feature `fanout`: which of many are ready.
//!   - `const KEEPS_ALL: bool`, with the feature `service`: whether a wait for many costs no more and takes no further thread,
//!     and reports what was there before.
//!   - `new() -> io::Result<Readiness>`, `add(&self, &mut Watched, key: u64) -> io::Result<()>`, also during a wait,
//!     `remove(&self, &Watched, key: u64)`: before it is dropped.
//!   - `wait(&mut self, WaitLimit, impl Iterator<Item = (u64, Watched)>) -> io::Result<Vec<u64>>`: the keys of some on which
//!     something has happened; none after the limit, or before it now and then. It is given all that were added. What
//!     happened before one was added, or before it was last tried, may not be reported.
//!   - `follow(&self, &mut Watched, key: u64) -> io::Result<()>`: after it was tried and had nothing.
//!   - `Watched::look_interval(&self) -> Option<Duration>`: how often it is to be tried unasked.
//! - `struct ParkingLot`, with the feature `service`: where threads sleep, so that some of them, and no other, are woken at once.
//!   - `const COUNT: u32`, `wakes(&self) -> u32`, `park(&self, spot: u32, wakes: u32, WaitLimit)`, `unpark(&self, spots: u32)`
//! - `struct Sealed`, with the feature `shared-memory`: bytes in memory that no process can change any more.
//!   - `fill(len: usize, FnOnce(&mut [u8])) -> io::Result<Sealed>`, `copy(&[u8]) -> io::Result<Sealed>`, `try_clone(&self) -> io::Result<Sealed>`, `Into<Handle>`
//!   - `adopt(Handle, limit: usize) -> Result<Sealed, (Handle, io::Error)>`: of another process, if it is all of that
//!   - `bytes(&self) -> &[u8]`
//! - `struct Process`, cloned cheaply: a child process that is watched, whether or not anything waits for it.
//!   - `of(&Child) -> Process`, `ended(&self) -> io::Result<Option<Ended>>`
//! - `struct ChildConnection`, with the feature `process`: a connection that a child program takes.
//!   - `spawn(&mut Command) -> io::Result<(Child, ChildConnection)>`: starts it. The command is as before, but for
//!     [`PARENT`].
//!   - `accept(&mut self, Wait) -> io::Result<(Raw, Raw)>`: the side of the parent, once.
//! - `fn from_parent() -> io::Result<(Raw, Raw)>`, with the feature `process`: that of the child.
//! - `struct Offer`, with the feature `shared-memory`: memory for the bytes of a connection, made for the other side.
//!   - `const PART: Option<&[u8]>`: says in a handshake that there can be some; `None` where there cannot.
//!   - `new(ring: usize) -> io::Result<(Offer, Vec<Handle>)>`, `greeting(&self) -> [u8; GREETING]`: goes to the other side
//!     with the handles; `none() -> [u8; GREETING]` alone, where none could be made.
//!   - `handles_of(&[u8; GREETING]) -> usize`: how many come with one
//!   - `take(self, &[u8; GREETING], Vec<Handle>) -> io::Result<Taken>`: what came from the other side;
//!     `Taken::lines(&self) -> [&Handle; 2]`: what wakes the reader and the writer of it, for `Polled::prepare`;
//!     `Taken::install(self, reader: &mut Raw, writer: &mut Raw)`: from then on the bytes go through it.
//! - `fn sleeps() -> Option<usize>`: how often this thread has waited in the kernel; `None` if the system does not
//!   report it.
//! - `fn pause(Duration, Wait) -> io::Result<()>`: sleeps; ends early with the wait.
//! - `const ATOMIC_WRITE: usize`: so many bytes of one write are never mixed with those of other writers.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::Instant;

use crate::error::Obstacle;

mod carrier;
#[cfg(feature = "tool")]
pub(crate) mod found;
// Where it is not needed, it is tested all the same.
#[cfg(all(feature = "service", any(test, not(any(target_os = "linux", target_os = "android")))))]
mod no_parking_lot;
#[cfg(all(feature = "shared-memory", not(any(target_os = "linux", target_os = "android"))))]
mod no_shared_memory;
mod retry;
#[cfg(feature = "shared-memory")]
mod shared_view;
mod spinner;
mod thread;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{
    ATOMIC_WRITE, Event, Handle, Maker, Node, Process, Raw, Server, ensure_file,
    ensure_not_cancelled, inherited, pause, private, resolve, sleeps, temporary_folder,
};
#[cfg(all(unix, feature = "process"))]
pub(crate) use unix::{ChildConnection, from_parent};
#[cfg(all(unix, feature = "tokio"))]
pub(crate) use unix::{Polled, PolledServer};
#[cfg(all(unix, feature = "tool"))]
pub(crate) use unix::{clean, look};
#[cfg(all(windows, feature = "fanout"))]
pub(crate) use windows::Readiness;
#[cfg(windows)]
pub(crate) use windows::{
    ATOMIC_WRITE, Event, Handle, Maker, Node, Process, Raw, Server, ensure_file,
    ensure_not_cancelled, inherited, pause, private, resolve, sleeps, temporary_folder,
};
#[cfg(all(windows, feature = "process"))]
pub(crate) use windows::{ChildConnection, from_parent};
#[cfg(all(windows, feature = "tokio"))]
pub(crate) use windows::{Polled, PolledServer};
#[cfg(all(windows, feature = "tool"))]
pub(crate) use windows::{clean, look};

pub use carrier::Carrier;
pub(crate) use carrier::Threads;
#[cfg(all(feature = "service", not(any(target_os = "linux", target_os = "android"))))]
pub(crate) use no_parking_lot::ParkingLot;
#[cfg(all(feature = "shared-memory", not(any(target_os = "linux", target_os = "android"))))]
pub(crate) use no_shared_memory::{GREETING, Offer, RingView, Sealed};
#[cfg(all(feature = "service", any(target_os = "linux", target_os = "android")))]
pub(crate) use unix::ParkingLot;
#[cfg(all(unix, feature = "fanout"))]
pub(crate) use unix::Readiness;
#[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
pub(crate) use unix::{GREETING, Offer, RingView, Sealed};

#[cfg(feature = "shared-memory")]
pub use shared_view::SharedView;
pub(crate) use spinner::Spinner;
pub(crate) use thread::start_thread;
#[cfg(unix)]
pub(crate) use unix::{Socket, ensure_socket_of};

#[cfg(any(test, feature = "tokio"))]
pub(crate) use retry::Pauses;
#[cfg(any(windows, feature = "tokio"))]
pub(crate) use retry::end_of_wait;

/// The first bytes of a message in shared memory.
#[cfg(feature = "shared-memory")]
pub(crate) type FrameHeader = [u8; 4];

/// How long a message is with its header, which begins it; `None` if its payload is not all that is behind that.
#[cfg(feature = "shared-memory")]
pub(crate) type Measure<'a> = dyn Fn(FrameHeader) -> Option<usize> + 'a;

/// The most handles of one message. Linux takes no more with one write (`SCM_MAX_FD`).
pub(crate) const MAX_HANDLES: usize = 253;

/// From so many bytes on, giving pages to the system is cheaper than copying.
pub(crate) const LARGE: usize = 16 << 10;

/// The variable by which a child program finds the connection to its parent.
#[cfg(feature = "process")]
const PARENT: &str = "TYPED_PIPE_PARENT";

/// A name that cannot be guessed: 128 random bits as hexadecimal digits.
pub(crate) fn random_name() -> io::Result<String> {
    let (high, low) = (random()?, random()?);
    Ok(format!("{high:016x}{low:016x}"))
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

/// The reason of this crate's own inside an error, if there is one.
fn obstacle(error: &io::Error) -> Option<&Obstacle> {
    error.get_ref()?.downcast_ref()
}

/// What is watched beside many others.
#[cfg(feature = "fanout")]
#[derive(Debug)]
pub(crate) enum Watched<'a> {
    /// A reading end.
    End(&'a mut Raw),
    Server(&'a Server),
    Event(&'a Event),
}

/// The direction of the bytes of an end, seen from its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

/// How long an operation may wait, and what may end the wait.
#[derive(Clone, Copy, Debug)]
pub struct Wait<'a> {
    pub(crate) until: WaitLimit,
    pub(crate) token: Option<&'a Event>,
}

impl Wait<'_> {
    /// No wait at all.
    #[cfg(any(unix, feature = "tokio"))]
    pub(crate) const NOW: Wait<'static> = Wait { until: WaitLimit::Now, token: None };

    /// Whether only the operation itself can end the wait, so that a plain blocking call is enough.
    pub(crate) fn is_plain(self) -> bool {
        matches!(self.until, WaitLimit::Done) && self.token.is_none()
    }
}

/// The time at which a wait ends.
#[derive(Clone, Copy, Debug)]
pub enum WaitLimit {
    /// When the operation is done.
    Done,
    /// At this time at the latest.
    Deadline(Instant),
    /// At once: the operation fails instead of waiting.
    Now,
}

/// A child process has ended, with this status if it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended(pub(crate) Option<ExitStatus>);

/// The process and the user on the other side of a connection, from the system.
///
/// The peer is the process that connected, or that listened, at that time. It may have handed its side on
/// since, or have ended, so that another process has its number now: decide by the user, never by the
/// process. An example is at [`Connection::peer`](crate::Connection::peer).
///
/// ```
/// use typed_pipe::{Connection, Peer};
///
/// /// A line for the log.
/// fn line(peer: &Peer) -> String {
///     match peer.pid() {
///         Some(pid) => format!("user {}, process {pid}", peer.user()),
///         None => format!("user {}", peer.user()),
///     }
/// }
///
/// let (one, _other) = Connection::pair()?;
/// assert!(line(&one.peer()?).starts_with("user "));
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    pub(crate) pid: Option<u32>,
    pub(crate) user: User,
    pub(crate) same_user: bool,
}

/// A user of this machine, or what a carrier knows of another one.
///
/// ```
/// use typed_pipe::{Connection, User};
///
/// let (one, _other) = Connection::pair()?;
/// match one.peer()?.user() {
///     User::Id { uid, gid, .. } => println!("user {uid} of group {gid}"),
///     User::Sid(sid) => println!("user {sid}"), // on Windows, `S-1-5-…`
///     other => println!("user {other}"),
/// }
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum User {
    /// On Unix.
    #[non_exhaustive]
    Id {
        /// The user ID.
        uid: u32,
        /// The effective group ID.
        gid: u32,
    },
    /// On Windows.
    Sid(
        /// The security identifier, as `S-1-5-…`.
        String,
    ),
    /// No user of this machine: the other side of a [`Carrier`](crate::Carrier).
    Remote(
        /// The name by which the carrier knows it, such as an address or the key of a machine.
        String,
    ),
}

impl Peer {
    /// The other side of a [`Carrier`](crate::Carrier), by a name that the carrier vouches for, such as the key of a
    /// machine. It has no process, and is never the same user.
    ///
    /// ```
    /// use typed_pipe::{Peer, User};
    ///
    /// let peer = Peer::remote("key 5f0c…");
    /// assert!(matches!(peer.user(), User::Remote(name) if name.starts_with("key")));
    /// assert!(!peer.is_same_user());
    /// ```
    pub fn remote(name: impl Into<String>) -> Self {
        Self { pid: None, user: User::Remote(name.into()), same_user: false }
    }

    /// The process ID, if the system reports it. Use it for logs alone.
    ///
    /// On Linux it is `None` for a process that this one cannot see, such as one outside of its container; its user is
    /// known all the same.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (one, _other) = Connection::pair()?; // with this process on both sides
    /// if let Some(pid) = one.peer()?.pid() {
    ///     assert_eq!(pid, std::process::id());
    /// }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The user of the process.
    ///
    /// ```
    /// use typed_pipe::{Connection, User};
    ///
    /// /// Whether a list from the settings, such as `["1000", "S-1-5-18"]`, contains the user.
    /// fn may(user: &User, list: &[&str]) -> bool {
    ///     list.contains(&user.to_string().as_str())
    /// }
    ///
    /// let (one, _other) = Connection::pair()?;
    /// assert!(!may(one.peer()?.user(), &["nobody"]));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Whether the peer runs as the same user as this process.
    ///
    /// ```
    /// use typed_pipe::{Connection, Error};
    ///
    /// /// Only this user may write; others may look.
    /// fn may_write(client: &Connection) -> Result<bool, Error> {
    ///     Ok(client.peer()?.is_same_user())
    /// }
    ///
    /// let (one, _other) = Connection::pair()?;
    /// assert!(may_write(&one)?);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_same_user(&self) -> bool {
        self.same_user
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id { uid, .. } => uid.fmt(f),
            Self::Sid(name) | Self::Remote(name) => name.fmt(f),
        }
    }
}

/// Decides whether a new pipe may take a name that exists already.
///
/// Set it with [`PipeOptions::if_exists`](crate::PipeOptions::if_exists); an example is at
/// [`Pipe::persist`](crate::Pipe::persist).
///
/// ```
/// # #[cfg(unix)] {
/// use typed_pipe::{ErrorKind, IfExists, Pipe, PipeOptions};
///
/// # let folder = tempfile::tempdir()?;
/// # let name = folder.path().join("jobs");
/// let path = Pipe::new(name)?.mkfifo()?.persist(); // a pipe as `mkfifo` makes it, without a lock beside it
/// for policy in [IfExists::Fail, IfExists::TakeOver] {
///     let failed = PipeOptions::new().if_exists(policy).at(&path)?.mkfifo().unwrap_err();
///     assert_eq!(failed.kind(), ErrorKind::AlreadyExists);
/// }
/// let pipe = PipeOptions::new().if_exists(IfExists::Reuse).at(&path)?.mkfifo()?;
/// drop(pipe);
/// assert!(!path.as_path().exists());
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Platform-specific behavior
///
/// ## Windows
///
/// It has no effect: no name outlives its owner, no owner loses it, and a name with an owner is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("stale", "orphan", "left over", "overwrite", "reclaim"))]
pub enum IfExists {
    /// Fail, whatever has the name.
    Fail,
    /// Take over what a dead owner left behind, and fail otherwise.
    ///
    /// An owner holds a lock beside the pipe as long as it lives. A pipe with such a lock that no process
    /// holds was left by an owner that was killed.
    ///
    /// A child that the owner forked has a copy of the lock, and keeps it when the owner is killed, until it becomes another
    /// program, ends, or drops its copy of the pipe or the listener. To drop a copy in a forked child changes nothing for
    /// the owner: do it first thing in a child that lives on.
    ///
    /// A new pipe of the same name replaces the old one at once: processes that have the old one open get
    /// [`Disconnected`](crate::ErrorKind::Disconnected), and connect again. A message that the old owner had not
    /// received is lost, although [`send`](crate::TypedSender::send) was `Ok`: that means only that the
    /// system has the message. For messages that must arrive, send an answer back, or
    /// [finish](crate::TypedSender::finish).
    #[default]
    TakeOver,
    /// As [`TakeOver`](Self::TakeOver), and take the name again whenever it is lost: removed, or moved away.
    ///
    /// A reading end, a listener or a service looks at its name while nothing comes, which takes up to two seconds, and makes
    /// a new pipe or socket there. Processes that still have the old one open are served first. What another process has
    /// put under the name stays, and so does a folder that is gone: then the owner gets the error that it would get without
    /// this.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use std::fs;
    /// use typed_pipe::{Connection, IfExists, ListenerOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let listener = ListenerOptions::new().if_exists(IfExists::TakeAgain).bind(&name)?;
    /// fs::remove_file(&name)?; // as a program may that tidies the folder up
    /// let client = std::thread::spawn(move || Connection::connect(name)); // which waits for the name
    /// listener.accept()?;
    /// # client.join().unwrap()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    TakeAgain,
    /// Use an existing pipe of this user, such as one made by the program `mkfifo`.
    ///
    /// The new owner removes the name at the end, like one that it made.
    ///
    /// A pipe that an owner of this crate made and left behind is replaced all the same. A pipe that another program made
    /// stays the same pipe, because other processes may have it open. The bytes in it when the owner opens its reading end
    /// were for another reader, and are dropped. But a writer may be in the middle of a message, and goes on: on a
    /// [`MultiWriter`](crate::wire::MultiWriter) wire each of its messages is
    /// [`MessageLost`](crate::ErrorKind::MessageLost) until it introduces itself again, and on any other wire the receiver
    /// cannot detect it. If that can happen, let the writers open the pipe again.
    Reuse,
}

/// Decides which users may open a new pipe, or connect to a new listener.
///
/// Set it with [`PipeOptions::access`](crate::PipeOptions::access) or
/// [`ListenerOptions::access`](crate::ListenerOptions::access). It holds from the moment in which the name can be found. Root,
/// and the system itself on Windows, may do everything.
///
/// A client checks its side too: it refuses the pipe of another user than its own and root, unless its end is made with
/// [`trust_any_owner`](crate::End::trust_any_owner). On Unix, the users need access to the folder of the name as well.
///
/// ```
/// use typed_pipe::{Access, Connection, ListenerOptions};
///
/// // Every user of this machine may connect, and the program decides who stays.
/// let options = ListenerOptions::new().access(Access::LocalUsers).admit(|peer| peer.is_same_user());
/// let listener = options.temporary()?;
/// let client = Connection::connect(listener.path())?;
/// let server = listener.accept()?; // of the same user
/// # drop((client, server));
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("permissions", "mode", "chmod", "acl", "security descriptor"))]
pub enum Access {
    /// The user of this process.
    #[default]
    Owner,
    /// The user of this process and the members of the group with this ID, to which the name is given.
    ///
    /// On Unix alone; on Windows it is [`Unsupported`](crate::ErrorKind::Unsupported).
    Group(u32),
    /// All users of this machine. On Windows, a client of another machine is refused whatever the access.
    LocalUsers,
    /// The users of a security descriptor, as text in SDDL, such as `D:P(A;;FA;;;SY)(A;;0x12019b;;;BU)`.
    ///
    /// The user of this process must have full access. `0x12019b` is reading and writing, without the right to make
    /// instances of the pipe, which `FW` and `GW` have.
    ///
    /// On Windows alone; on Unix it is [`Unsupported`](crate::ErrorKind::Unsupported).
    Sddl(String),
}

/// The settings for a new name.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) access: Access,
    /// The permission bits of the name, whatever the umask, in place of those of `access`. No effect on Windows.
    pub(crate) mode: Option<u32>,
    pub(crate) if_exists: IfExists,
    /// Whether the pipe may lie in a folder in which other users could replace it.
    pub(crate) any_folder: bool,
    /// The wanted size of the buffer in bytes, as a best effort.
    pub(crate) buffer_size: Option<usize>,
    /// How many clients may wait to be accepted.
    pub(crate) backlog: u16,
    /// Whether the writing ends of the owner, one after the other, write to the same readers. No effect on
    /// Windows.
    #[cfg_attr(windows, allow(dead_code, reason = "each client has a stream of its own there"))]
    pub(crate) one_stream: bool,
}

#[cfg(unix)]
impl Settings {
    /// The permission bits of the name.
    pub(crate) fn mode(&self) -> u32 {
        self.mode.unwrap_or(match self.access {
            Access::Owner | Access::Sddl(_) => 0o600,
            Access::Group(_) => 0o660,
            Access::LocalUsers => 0o666,
        })
    }

    /// Whether other users may use the name.
    pub(crate) fn lets_others_in(&self) -> bool {
        self.mode() & 0o077 != 0
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access: Access::default(),
            mode: None,
            if_exists: IfExists::default(),
            any_folder: false,
            buffer_size: None,
            backlog: 128,
            one_stream: false,
        }
    }
}

#[cfg(all(test, feature = "service"))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// Each thread wakes for its own bit, which it is told before, and at its deadline.
    fn each_is_woken_at_its_spot(
        count: u32,
        wakes: impl Fn() -> u32 + Sync,
        park: impl Fn(u32, u32, WaitLimit) + Sync,
        unpark: impl Fn(u32),
    ) {
        let (told, woken) = (AtomicU32::new(0), AtomicU32::new(0));
        let even = 0x5555_5555;
        thread::scope(|scope| {
            for spot in 0..count {
                let (wakes, park, told, woken) = (&wakes, &park, &told, &woken);
                scope.spawn(move || {
                    loop {
                        let wakes = wakes();
                        if told.load(Ordering::SeqCst) & 1 << spot != 0 {
                            break;
                        }
                        park(spot, wakes, WaitLimit::Done);
                    }
                    woken.fetch_or(1 << spot, Ordering::SeqCst);
                });
            }
            for bits in [even, !even] {
                told.fetch_or(bits, Ordering::SeqCst);
                unpark(bits);
                while woken.load(Ordering::SeqCst) & bits != bits {
                    thread::yield_now();
                }
                assert_eq!(woken.load(Ordering::SeqCst), told.load(Ordering::SeqCst));
            }
        });
        let end = Instant::now() + Duration::from_millis(5);
        while Instant::now() < end {
            park(7, wakes(), WaitLimit::Deadline(end));
        }
        // Others were woken since.
        let before = wakes();
        unpark(1);
        park(0, before, WaitLimit::Done);
        park(0, wakes(), WaitLimit::Now);
    }

    #[test]
    fn many_that_sleep_are_woken_by_one_call() {
        let lot = ParkingLot::default();
        each_is_woken_at_its_spot(
            ParkingLot::COUNT,
            || lot.wakes(),
            |spot, wakes, until| lot.park(spot, wakes, until),
            |bits| lot.unpark(bits),
        );
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn many_that_sleep_are_woken_also_one_by_one() {
        let lot = no_parking_lot::ParkingLot::default();
        each_is_woken_at_its_spot(
            no_parking_lot::ParkingLot::COUNT,
            || lot.wakes(),
            |spot, wakes, until| lot.park(spot, wakes, until),
            |bits| lot.unpark(bits),
        );
    }
}
