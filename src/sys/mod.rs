//! The one place that knows the operating system.
//!
//! # What a back end has
//!
//! Both back ends have these items with these signatures. They return [`io::Result`]; what is no error
//! of the system is an [`Obstacle`](crate::error::Obstacle) inside it. A wait that ends at its deadline is
//! [`io::ErrorKind::TimedOut`], one that must not wait at all [`io::ErrorKind::WouldBlock`], a stopped
//! one [`Obstacle::Stopped`](crate::error::Obstacle).
//!
//! - `fn resolve(name: &Path) -> Result<PathBuf, NameError>`: the rules of names; touches no file.
//! - `struct Event`: what a stop token sets, once and for good. `new`, `set`.
//! - `struct Node`: an allocated name, and whatever keeps it. Dropping it removes the name if it is
//!   still its own, never in a forked child, and tells no error.
//!   - `create(&Path, &Settings) -> io::Result<Node>`, `temporary(&Settings) -> io::Result<(PathBuf, Node)>`
//!   - `open(&mut self, Way, Wait) -> io::Result<Raw>`: the owner's end, of this very pipe.
//!   - `remove(&mut self) -> io::Result<()>`: a name that is gone or no longer ours is done.
//!   - `persist(self)`: leaves the name where it is.
//!   - `is_orphaned(&self) -> bool`: whether the name is gone or leads elsewhere.
//! - `struct Raw`: an open end.
//!   - `open(&Path, Way, any_owner: bool, Wait) -> io::Result<Raw>`: a client's end. A writing end
//!     waits for the pipe to be there and to have a reader; a reading end waits for the pipe alone.
//!   - `adopt(Handle, Way) -> Result<Raw, (Handle, io::Error)>`, `into_handle(self) -> Handle`
//!   - `read`, `read_vectored`, `write`, `write_vectored`, each with a [`Wait`]. The first read of an
//!     end waits for the first writer. `Ok(0)` from a read means that the last writer left, and stays.
//!   - `renew(&mut self) -> io::Result<()>`: after such an `Ok(0)`, the next read waits for the next writer.
//!   - `wait_until_taken(&self, Wait) -> io::Result<bool>`: until the readers have taken all that was written;
//!     `Ok(false)` where the system does not tell.
//!   - `buffer_size(&self) -> io::Result<usize>`
//! - `struct Polled`, with the feature `tokio`: an open end that wakes a task instead of blocking a thread.
//!   - `new(Raw, Way, tokio::runtime::Handle) -> Result<Polled, (Raw, io::Error)>`, `into_raw(self) -> Raw`,
//!     `raw(&self) -> &Raw`
//!   - `poll_read(&mut self, &mut Context, &mut [u8]) -> Poll<io::Result<usize>>`, and in the same way
//!     `poll_write`: as `read` and `write`. What is pending is done when it is polled again with the same bytes.
//!   - `give_up_write(&mut self) -> io::Result<usize>`: nothing that was pending is written after this; tells how
//!     much of it was.
//!   - `renew(&mut self) -> io::Result<()>`
//! - `type Handle`: `OwnedFd` or `OwnedHandle`.
//! - `const ATOMIC_WRITE: usize`: so many bytes of one write are never mixed with those of other writers.

use std::io;
use std::time::{Duration, Instant};

use crate::error::Obstacle;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(all(unix, feature = "tokio"))]
pub(crate) use unix::Polled;
#[cfg(unix)]
pub(crate) use unix::{ATOMIC_WRITE, Event, Handle, Node, Raw, resolve};
#[cfg(all(windows, feature = "tokio"))]
pub(crate) use windows::Polled;
#[cfg(windows)]
pub(crate) use windows::{ATOMIC_WRITE, Event, Handle, Node, Raw, resolve};

/// A name that nobody can guess: 128 random bits as hexadecimal digits.
pub(crate) fn random_name() -> io::Result<String> {
    let (high, low) = (random()?, random()?);
    Ok(format!("{high:016x}{low:016x}"))
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

/// The pauses between two tries grow from the first of these to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// The pauses between one try and the next.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    /// How often another reader may be found.
    claims: u32,
}

impl Pauses {
    pub(crate) fn new() -> Self {
        Self { next: PAUSES.0, claims: 4 }
    }

    /// How long to wait before the next try; `None` where the failure is not that the other side is not there yet.
    pub(crate) fn after(&mut self, failure: &io::Error) -> Option<Duration> {
        if matches!(obstacle(failure), Some(Obstacle::HasReader)) {
            // A process that is being forked off holds what this one had open, until it becomes another program.
            self.claims = self.claims.checked_sub(1)?;
        } else if !may_come(failure) {
            return None;
        }
        let time = self.next;
        self.next = (time * 2).min(PAUSES.1);
        Some(time)
    }
}

/// Tries something until there is what must be there, or the wait ends.
///
/// The system's own way to wait for that could not be ended, or would wait for ever on a pipe that has
/// lost its name meanwhile.
fn try_until<T>(
    wait: Wait<'_>,
    pause: impl Fn(Duration, Wait<'_>) -> io::Result<()>,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut pauses = Pauses::new();
    loop {
        let missing = match attempt() {
            Err(error) => error,
            done => return done,
        };
        let Some(time) = pauses.after(&missing) else { return Err(missing) };
        pause(time, wait).map_err(|ended| end_of_wait(ended, missing))?;
    }
}

/// Whether a failure to open only means that the other side is not there yet.
fn may_come(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || matches!(obstacle(error), Some(Obstacle::Busy | Obstacle::NoReader | Obstacle::NotTaken))
}

/// Says what was waited for, where a wait ended in vain.
pub(crate) fn end_of_wait(ended: io::Error, missing: io::Error) -> io::Error {
    match (ended.kind(), obstacle(&missing)) {
        (io::ErrorKind::WouldBlock, _) => missing,
        (io::ErrorKind::TimedOut, Some(Obstacle::Busy)) => {
            Obstacle::TimedOut("its owner still serves as many clients as it can").into()
        }
        (io::ErrorKind::TimedOut, Some(Obstacle::NotTaken)) => {
            Obstacle::TimedOut("the reader has not taken all of it yet").into()
        }
        (io::ErrorKind::TimedOut, Some(_)) => {
            Obstacle::TimedOut("still no process reads from it").into()
        }
        (io::ErrorKind::TimedOut, None) => {
            Obstacle::TimedOut("there is still no pipe of this name").into()
        }
        _ => ended,
    }
}

fn obstacle(error: &io::Error) -> Option<&Obstacle> {
    error.get_ref()?.downcast_ref()
}

/// Which way the bytes of an end go, seen from its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

/// How long an operation may wait, and what may end the wait.
#[derive(Clone, Copy, Debug)]
pub struct Wait<'a> {
    pub(crate) until: Until,
    pub(crate) stop: Option<&'a Event>,
}

impl Wait<'_> {
    /// Whether nothing but the operation itself can end the wait: a plain blocking call will do.
    pub(crate) fn is_plain(self) -> bool {
        matches!(self.until, Until::Done) && self.stop.is_none()
    }
}

/// The time at which a wait ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// When it is done, whenever that is.
    Done,
    /// At this time at the latest.
    Deadline(Instant),
    /// At once: what would wait is not done.
    Now,
}

/// What to do where the name of a pipe to be made exists already.
///
/// # Platform-specific behavior
///
/// ## Windows
///
/// Without a meaning: no name outlives its owner, and one that has an owner is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IfExists {
    /// Fail, whatever it is.
    Fail,
    /// Take over what a dead owner left behind, and fail otherwise.
    ///
    /// An owner holds a lock beside the pipe as long as it lives. A pipe with such a lock that nobody
    /// holds was left by an owner that was killed.
    #[default]
    TakeOver,
    /// Use any pipe of this user that is there, such as one made by the program `mkfifo`.
    ///
    /// The new owner removes the name at the end like one of its own making.
    Reuse,
}

/// How a name is to be allocated.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The permission bits of the name, whatever the umask. Without a meaning on Windows.
    pub(crate) mode: u32,
    pub(crate) if_exists: IfExists,
    /// Whether the pipe may lie in a folder in which anybody could replace it.
    pub(crate) any_folder: bool,
    /// The wanted size of the buffer in bytes, as a best effort.
    pub(crate) buffer_size: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mode: 0o600, if_exists: IfExists::default(), any_folder: false, buffer_size: None }
    }
}
