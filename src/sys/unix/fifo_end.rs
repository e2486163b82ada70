//! An open end of a FIFO.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(any(feature = "fanout", feature = "tokio"))]
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::fs::{CWD, OFlags, Stat, fcntl_getfl, fstat, stat};
use rustix::io::{Errno, read, readv, retry_on_intr};

use super::description::Description;
use super::fifo::Opened;
use super::file::{ensure_fifo, is_same, lost};
use super::lending::Lending;
use super::links::{self, Target, follow};
use super::owned_name::{Place, has_owner};
use super::wait::{LOOK_AT_NAME, is_timeout, pause, ready, ready_or_time};
use super::{fifo, reader_mark, signal};
use crate::error::Obstacle;
use crate::sys::retry::try_until;
use crate::sys::{Wait, Way, obstacle};

/// The interval at which a task checks whether the writers have left, on systems where nothing wakes it.
#[cfg(any(feature = "fanout", feature = "tokio"))]
const LOOK_AT_WRITERS: Duration = Duration::from_millis(20);

/// An open end.
#[derive(Debug)]
pub(super) struct FifoEnd {
    pipe: Description,
    /// The descriptor that holds the claim to be the only reader, once `pipe` was opened again.
    claim: Option<Description>,
    writers: Writers,
    /// The number of bytes that another reader left.
    left_over: usize,
    /// Whether they, or the rest of them, would be read as if a message began there.
    astray: bool,
    /// The path of a client's end, by which it finds a FIFO that replaced this one.
    origin: Option<Origin>,
    /// The name of an owner's end, by which its writers come.
    place: Option<Place>,
    /// How an owner's end takes its lost name again.
    again: Option<Again>,
    /// When the name was looked at, as long as no writer has come.
    looked: Option<Instant>,
    /// Whether the name was missing then. Another FIFO may be about to take it.
    missed: bool,
    /// Whether this is another FIFO than a moment ago.
    #[cfg_attr(
        not(any(feature = "fanout", feature = "tokio")),
        allow(dead_code, reason = "registered nowhere")
    )]
    switched: bool,
    /// Where an owner's end reports that it was closed before the other side had left.
    cut: Option<Arc<AtomicBool>>,
    /// Whether something was written.
    wrote: bool,
    /// The mark of the reader that has got a part of what was to be written. The next reader is not to get the rest.
    part_to: Option<i64>,
    /// The mark of the reader that got the last bytes that were given, if it has one; nothing before the first, and after
    /// a reader has left.
    given_to: Option<Option<i64>>,
    lending: Lending,
}

/// Takes a lost name again with a new FIFO, and opens that; `None` if the name is not to be had.
pub(super) struct Again(Box<dyn Fn() -> io::Result<Option<FifoEnd>> + Send + Sync>);

impl Again {
    pub(super) fn new(
        take: impl Fn() -> io::Result<Option<FifoEnd>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(take))
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again").finish_non_exhaustive()
    }
}

/// How a client's reading end was opened.
#[derive(Debug)]
struct Origin {
    path: PathBuf,
    any_owner: bool,
}

/// The state of the writers, for a reading end.
///
/// A FIFO that no writer has opened yet reads as if it had ended: only `poll` can tell the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writers {
    Awaited,
    /// None came, and the end that macOS reports once without any is over.
    AwaitedStill,
    Seen,
    Gone,
}

impl FifoEnd {
    fn new(pipe: Description, way: Way) -> Self {
        if way == Way::Out {
            signal::quiet(pipe.as_fd());
        }
        Self {
            pipe,
            claim: None,
            writers: Writers::Awaited,
            left_over: 0,
            astray: false,
            origin: None,
            place: None,
            again: None,
            looked: None,
            missed: false,
            switched: false,
            cut: None,
            wrote: false,
            part_to: None,
            given_to: None,
            lending: Lending::default(),
        }
    }

    pub(super) fn open(path: &Path, way: Way, any_owner: bool, wait: Wait<'_>) -> io::Result<Self> {
        let mut name = None;
        let open = || {
            let (opened, found) = fifo::open_at(path, way, any_owner)?;
            name = found;
            Ok(opened)
        };
        let mut end = Self::wait_to_open(way, wait, open)?;
        if way == Way::In {
            // A FIFO of another program may hold bytes for its first reader.
            end.astray = end.left_over > 0 && name.is_some_and(|name| has_owner(&name));
            end.origin = Some(Origin { path: path.to_owned(), any_owner });
        }
        Ok(end)
    }

    /// Tries to open until there is what must be there, or the wait ends.
    pub(super) fn wait_to_open(
        way: Way,
        wait: Wait<'_>,
        mut attempt: impl FnMut() -> io::Result<Opened>,
    ) -> io::Result<Self> {
        let (fd, left_over) = try_until(wait, pause, || {
            let opened = attempt()?;
            if way == Way::Out {
                return Ok((opened.fd, 0));
            }
            // First: while another reader takes them, bytes are not left over.
            fifo::claim_reading(opened.fd.as_fd())?;
            let left_over = opened.left_over()?;
            Ok((opened.fd, left_over))
        })?;
        let mut end = Self::new(Description::opened(fd, way), way);
        end.left_over = left_over;
        Ok(end)
    }

    /// Lets the owner of this end know whether closing it cuts a stream.
    pub(super) fn tell_of_cut(&mut self, cut: &Arc<AtomicBool>) {
        self.cut = Some(Arc::clone(cut));
    }

    /// Lets the end of an owner notice that no writer comes by its name any more.
    pub(super) fn keep_looking_at(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Lets the end of an owner take its lost name again.
    pub(super) fn takes_again(&mut self, again: Option<Again>) {
        self.again = again;
    }

    /// Whether it has another descriptor than before.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn take_switched(&mut self) -> bool {
        mem::take(&mut self.switched)
    }

    /// Drops the bytes that another reader left in the FIFO.
    pub(super) fn forget_left_over(&mut self) -> io::Result<()> {
        let mut buf = [0; 4096];
        while self.left_over > 0 {
            let most = self.left_over.min(buf.len());
            match retry_on_intr(|| read(self.pipe.as_fd(), buf.get_mut(..most).unwrap_or_default()))
            {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(bytes) => self.left_over -= bytes,
                Err(error) => return Err(error.into()),
            }
        }
        (self.left_over, self.astray) = (0, false);
        Ok(())
    }

    pub(super) fn adopt(fd: OwnedFd, way: Way) -> Result<Self, (OwnedFd, io::Error)> {
        let both = match is_both_ways(&fd, way) {
            Ok(both) => both,
            Err(error) => return Err((fd, error)),
        };
        if both {
            // Open for one way alone, it does not hide that the other side has left.
            if let Ok(Some(one)) = fifo::reopen(fd.as_fd(), way) {
                return Ok(Self::new(Description::opened(one, way), way));
            }
        }
        Ok(Self::new(Description::adopted(fd, way), way))
    }

    /// Gives the descriptor away: unchanged if it was adopted, else blocking, as callers expect.
    pub(super) fn into_handle(mut self) -> Option<OwnedFd> {
        let fd = self.pipe.give();
        if let Some(claim) = self.claim.take() {
            // The claim goes with the descriptor.
            drop(claim);
            let _ = fifo::claim_reading(fd.as_fd());
        }
        drop(self);
        Arc::into_inner(fd)
    }

    /// The descriptor, for a caller that may pass it on.
    pub(super) fn show(&self) -> BorrowedFd<'_> {
        self.pipe.show()
    }

    pub(super) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.read_with(wait, |fd| read(fd, &mut *buf))
    }

    pub(super) fn read_vectored(
        &mut self,
        bufs: &mut [IoSliceMut<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        // The system takes only so many buffers, and reading nothing into none of them is no end.
        let Some(first) = bufs.iter().position(|buf| !buf.is_empty()) else { return Ok(0) };
        let bufs = bufs.get_mut(first..).unwrap_or_default();
        self.read_with(wait, |fd| readv(fd, &mut *bufs))
    }

    pub(super) fn write(&mut self, buf: &[u8], wait: Wait<'_>) -> io::Result<usize> {
        self.put(buf.len(), wait, |fd| signal::write_quietly(fd, &[IoSlice::new(buf)]))
    }

    pub(super) fn write_vectored(
        &mut self,
        bufs: &[IoSlice<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.put(len, wait, |fd| signal::write_quietly(fd, bufs))
    }

    /// Takes up to `len` bytes that a socket has by now, by their pages, once there is room; 0 if it has none, or none that
    /// can be taken so.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn take_from(
        &mut self,
        socket: BorrowedFd<'_>,
        len: usize,
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        use rustix::pipe::{SpliceFlags, splice};
        /// Stands for nothing, as no `splice` returns it.
        const NOTHING: Errno = Errno::INPROGRESS;
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let taken = self.put(len, wait, |pipe| {
            match signal::masked(len, || splice(socket, None, pipe, None, len, flags)) {
                Ok(0) | Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => Err(NOTHING),
                // It does not say which of both would have to wait.
                Err(Errno::AGAIN) if ready(socket, PollFlags::IN, Wait::NOW).is_err() => {
                    Err(NOTHING)
                }
                taken => taken,
            }
        });
        match taken {
            Err(error) if Errno::from_io_error(&error) == Some(NOTHING) => Ok(0),
            taken => taken,
        }
    }

    pub(super) fn lend(&mut self, before: usize, len: usize) -> bool {
        self.lending.lend(self.pipe.as_fd(), before, len)
    }

    pub(super) fn lent(&self) -> &[u8] {
        self.lending.lent()
    }

    pub(super) fn lent_mut(&mut self) -> &mut [u8] {
        self.lending.lent_mut()
    }

    pub(super) fn give(&mut self, wait: Wait<'_>) -> io::Result<usize> {
        let mut lending = mem::take(&mut self.lending);
        let len = lending.lent().len();
        let reader = reader_mark::get(self.pipe.as_fd());
        let to_new = self.given_to != Some(reader);
        let given = self.put(len, wait, |fd| lending.give(fd, wait.is_plain(), to_new));
        if given.is_ok() {
            self.given_to = Some(reader);
        }
        self.lending = lending;
        given
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn buffer_size(&self) -> io::Result<usize> {
        Ok(rustix::pipe::fcntl_getpipe_size(&self.pipe)?)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn buffer_size(&self) -> io::Result<usize> {
        Err(Obstacle::Unsupported.into())
    }

    /// Asks for a buffer of this size. The system may give another one, or refuse.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn ask_for_buffer(&self, bytes: usize) {
        let mut bytes = bytes;
        // Above the limit for users the system refuses, instead of setting the largest size it allows.
        while rustix::pipe::fcntl_setpipe_size(&self.pipe, bytes) == Err(Errno::PERM)
            && bytes > 4096
        {
            bytes /= 2;
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn ask_for_buffer(&self, _: usize) {}

    /// Waits until the readers have taken all that was written; `Ok(false)` if the system does not report it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn wait_until_taken(&self, wait: Wait<'_>) -> io::Result<bool> {
        try_until(wait, pause, || {
            if rustix::io::ioctl_fionread(&self.pipe)? == 0 {
                return Ok(true);
            }
            // An empty interest asks for nothing but the news that no reader is left.
            match ready(self.pipe.as_fd(), PollFlags::empty(), Wait::NOW) {
                // It may have taken the rest just before it left.
                Ok(()) if rustix::io::ioctl_fionread(&self.pipe)? == 0 => Ok(true),
                Ok(()) => Err(Errno::PIPE.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Err(Obstacle::NotTaken.into())
                }
                Err(error) => Err(error),
            }
        })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn wait_until_taken(&self, _: Wait<'_>) -> io::Result<bool> {
        Ok(false)
    }

    /// Waits until a writer has come. Apple's systems do not show a writer that has written nothing yet.
    pub(super) fn wait_for_writer(&mut self, wait: Wait<'_>) -> io::Result<()> {
        let found = self.try_to_find_writer(wait);
        let failed = found.as_ref().err().and_then(obstacle);
        if matches!(failed, Some(Obstacle::NoWriter | Obstacle::TimedOut(_))) {
            self.look_if_due()?;
        }
        found
    }

    fn try_to_find_writer(&self, wait: Wait<'_>) -> io::Result<()> {
        try_until(wait, pause, || {
            if self.writers != Writers::Awaited || fifo::has_writer(self.pipe.as_fd()) == Some(true)
            {
                return Ok(());
            }
            if cfg!(target_vendor = "apple") {
                // Without any writer, `select` may report an end all the same.
                let bytes = rustix::io::ioctl_fionread(&self.pipe)?;
                return if bytes > 0 { Ok(()) } else { Err(Obstacle::NoWriter.into()) };
            }
            match ready(self.pipe.as_fd(), PollFlags::IN, Wait::NOW) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Err(Obstacle::NoWriter.into())
                }
                done => done,
            }
        })
    }

    /// After the last writer left: the next read waits for the next writer.
    pub(super) fn renew(&mut self) -> io::Result<()> {
        if self.follow()? {
            return Ok(());
        }
        if let Some(fd) = self.reopen()? {
            // The claim is held all the time: another reader may be waiting for it.
            let before = mem::replace(&mut self.pipe, Description::opened(fd, Way::In));
            self.claim.get_or_insert(before);
        }
        self.writers = Writers::Awaited;
        Ok(())
    }

    /// Opens the reading end of this very FIFO again, if that is to be done.
    fn reopen(&self) -> io::Result<Option<OwnedFd>> {
        let target;
        let name = match (&self.place, &self.origin) {
            (Some(place), _) => Some(place.parts()),
            (None, Some(Origin { path, any_owner })) => {
                if let Ok(Target::Name(found)) = follow(path, Way::In, *any_owner) {
                    target = found;
                    Some((CWD, target.as_os_str()))
                } else {
                    None
                }
            }
            (None, None) => None,
        };
        fifo::reopen_at(self.pipe.as_fd(), Way::In, name)
    }

    /// Switches to the FIFO that replaced this one under its name, if one did; returns whether it did.
    fn follow(&mut self) -> io::Result<bool> {
        let Some(Origin { path, any_owner }) = &self.origin else { return Ok(false) };
        let Ok(there) = links::status(path, Way::In, *any_owner) else { return Ok(false) };
        let here = fstat(&self.pipe)?;
        if is_same(&there, &here) {
            return Ok(false);
        }
        let followed = Self::open(path, Way::In, *any_owner, Wait::NOW);
        match followed {
            Ok(end) => {
                *self = end;
                self.switched = true;
                Ok(true)
            }
            // It is gone again, or is no FIFO to switch to.
            Err(_) => Ok(false),
        }
    }

    /// How long a reader may wait before it [looks](Self::look) by itself; `None` if it is always woken.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn look_interval(&self) -> Option<Duration> {
        match self.writers {
            // Only `select` reports the end of the writers there, and no task can wait for that.
            _ if cfg!(target_vendor = "apple") => Some(LOOK_AT_WRITERS),
            Writers::Awaited | Writers::AwaitedStill => Some(LOOK_AT_NAME),
            Writers::Seen | Writers::Gone => None,
        }
    }

    /// Checks what no wake-up reports to a reader.
    #[cfg(feature = "tokio")]
    pub(super) fn look(&mut self) -> io::Result<()> {
        match self.writers {
            Writers::Awaited | Writers::AwaitedStill => self.ensure_name(),
            Writers::Seen | Writers::Gone => Ok(()),
        }
    }

    fn read_with(
        &mut self,
        wait: Wait<'_>,
        mut read: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        if self.astray {
            return Err(Obstacle::Astray.into());
        }
        loop {
            match self.writers {
                Writers::Gone => return Ok(0),
                Writers::Seen => {}
                Writers::Awaited | Writers::AwaitedStill => {
                    self.await_writer(wait)?;
                }
            }
            match self.pipe.attempt(PollFlags::IN, wait, &mut read) {
                Ok(0) => self.note_end()?,
                Ok(bytes) => {
                    self.writers = Writers::Seen;
                    return Ok(bytes);
                }
                Err(error) => return Err(self.not_read(error)),
            }
        }
    }

    /// Notes that there was nothing to read: the writers have left, unless there was none and one may still come.
    #[cold]
    fn note_end(&mut self) -> io::Result<()> {
        if cfg!(target_vendor = "apple") && self.writers == Writers::Awaited {
            self.writers = Writers::AwaitedStill;
        // If this FIFO was replaced, its next owner did so, and wakes those that wait for a writer.
        } else if self.writers != Writers::Awaited || !self.follow()? {
            self.writers = Writers::Gone;
        }
        Ok(())
    }

    /// The error of a read that failed.
    #[cold]
    fn not_read(&mut self, error: io::Error) -> io::Error {
        let looked = if is_timeout(&error) { self.look_if_due() } else { Ok(()) };
        looked.err().unwrap_or(error)
    }

    /// Waits for bytes or for the end of the writers, as long as a writer can come.
    #[cold]
    fn await_writer(&mut self, wait: Wait<'_>) -> io::Result<()> {
        loop {
            match ready_or_time(self.pipe.as_fd(), PollFlags::IN, LOOK_AT_NAME, wait) {
                Ok(true) => return Ok(()),
                Ok(false) => self.ensure_name()?,
                Err(error) if is_timeout(&error) => {
                    self.look_if_due()?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks at the name after a wait in vain, however short: many of them are one long wait.
    fn look_if_due(&mut self) -> io::Result<()> {
        if !matches!(self.writers, Writers::Awaited | Writers::AwaitedStill) {
            return Ok(());
        }
        match self.looked {
            Some(looked) if looked.elapsed() >= LOOK_AT_NAME => self.ensure_name(),
            Some(_) => Ok(()),
            None => {
                self.looked = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Fails if there is no writer, and none can come by the name any more. If the name leads to another FIFO, a client
    /// switches to that.
    fn ensure_name(&mut self) -> io::Result<()> {
        self.looked = Some(Instant::now());
        let here = fstat(&self.pipe)?;
        let gone = match self.named() {
            Some(there) => lost(&there, |there| is_same(there, &here)),
            None => (here.st_nlink == 0).then_some(Obstacle::NameGone),
        };
        let missed = mem::replace(&mut self.missed, matches!(gone, Some(Obstacle::NameGone)));
        let Some(gone) = gone else { return Ok(()) };
        if fifo::has_writer(self.pipe.as_fd()) != Some(false) {
            return Ok(());
        }
        // What the last writer has left is read first.
        if rustix::io::ioctl_fionread(&self.pipe)? > 0 || self.follow()? {
            return Ok(());
        }
        // It may have been taken again already, and could not be opened then.
        let ours = self.place.as_ref().is_some_and(Place::is_there);
        if (ours || matches!(gone, Obstacle::NameGone)) && self.take_name_again()? {
            return Ok(());
        }
        // For a client, the next owner may be about to make it.
        if self.origin.is_some() && matches!(gone, Obstacle::NameGone) && !missed {
            return Ok(());
        }
        Err(gone.into())
    }

    /// Goes on with a new FIFO under the lost name, if its owner wants that; returns whether it does.
    fn take_name_again(&mut self) -> io::Result<bool> {
        let Some(again) = self.again.take() else { return Ok(false) };
        let taken = (again.0)();
        if let Ok(Some(mut end)) = taken {
            (end.again, end.switched) = (Some(again), true);
            *self = end;
            return Ok(true);
        }
        self.again = Some(again);
        taken.map(|_| false)
    }

    /// What its name leads to, if it has one.
    fn named(&self) -> Option<io::Result<Stat>> {
        match (&self.place, &self.origin) {
            (Some(place), _) => Some(place.look()),
            (None, Some(origin)) => Some(retry_on_intr(|| stat(&origin.path)).map_err(Into::into)),
            (None, None) => None,
        }
    }

    /// Writes in some way.
    fn put(
        &mut self,
        len: usize,
        wait: Wait<'_>,
        write: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        let written = match &self.cut {
            Some(_) => self.put_as_owner(len, wait, write),
            None => self.pipe.attempt(PollFlags::OUT, wait, write),
        };
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            self.given_to = None;
        }
        written
    }

    /// Writes, and notes which reader has got a part.
    fn put_as_owner(
        &mut self,
        len: usize,
        wait: Wait<'_>,
        write: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        let first = self.part_to.take();
        // Without any reader, the write reports that.
        let now = first.and_then(|_| reader_mark::get(self.pipe.as_fd()));
        if now.is_some() && now != first {
            return Err(reader_left());
        }
        match self.pipe.attempt(PollFlags::OUT, wait, write) {
            Ok(written) => {
                self.wrote = true;
                if written < len {
                    self.part_to = first.or_else(|| reader_mark::get(self.pipe.as_fd()));
                }
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.forget_unread();
                Err(reader_left())
            }
            Err(error) => {
                self.part_to = first;
                Err(error)
            }
        }
    }

    /// Drops the unread bytes of a reader that left, so that the next one does not begin with them. Only an owner does
    /// that, which is alone on its side.
    fn forget_unread(&self) {
        let Ok(bytes @ 1..) = rustix::io::ioctl_fionread(&self.pipe) else { return };
        // A reader that comes meanwhile finds them, or none. This one claims nothing: a reader that was refused has had
        // the FIFO open for a moment, and would take what was written in that moment for left over when it tries again.
        let Ok(Some(fd)) = self.reopen() else { return };
        let mut end = Self::new(Description::opened(fd, Way::In), Way::In);
        end.left_over = usize::try_from(bytes).unwrap_or(usize::MAX);
        let _ = end.forget_left_over();
    }
}

impl Drop for FifoEnd {
    fn drop(&mut self) {
        let Some(cut) = &self.cut else { return };
        // What it has not read from is whole, and what is left of those that have gone goes with this end.
        let begun = self.wrote || self.writers == Writers::Seen;
        if begun && !fifo::is_left_alone(self.pipe.as_fd()) {
            cut.store(true, Ordering::Relaxed);
        }
    }
}

impl AsFd for FifoEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The error of an owner whose reader has left, whether or not another one has come.
#[cold]
fn reader_left() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, Obstacle::ReaderLeft)
}

/// Whether a pipe is open both ways. Refuses what is not a pipe, or not open this way.
fn is_both_ways(fd: &OwnedFd, way: Way) -> io::Result<bool> {
    ensure_fifo(&fstat(fd)?)?;
    let (access, wanted) = match way {
        Way::In => (OFlags::RDONLY, "reading"),
        Way::Out => (OFlags::WRONLY, "writing"),
    };
    match fcntl_getfl(fd)? & OFlags::RWMODE {
        OFlags::RDWR => Ok(true),
        open if open == access => Ok(false),
        _ => Err(Obstacle::WrongDirection(wanted).into()),
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use rustix::fs::{Mode, open};

    use super::*;

    const NOW: Wait<'static> = Wait::NOW;

    /// Gives so many bytes, of which there is room for some.
    fn give(writer: &mut FifoEnd, len: usize) -> io::Result<usize> {
        if !writer.lend(0, len) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        writer.lent_mut().fill(7);
        let mut given = writer.give(NOW)?;
        while given < len {
            given += writer.give(NOW)?;
        }
        Ok(given)
    }

    /// Its writer may be quick: what it gives to a reader that is about to open is not left over from another one.
    #[test]
    fn what_is_given_to_a_new_reader_is_not_left_over() {
        const LEN: usize = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let made = open(folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        fifo::make(made.as_fd(), "fifo".as_ref(), Mode::RWXU).unwrap();
        let reader = || fifo::open_at(&path, Way::In, false).unwrap().0;
        let first = reader();
        fifo::claim_reading(first.fd.as_fd()).unwrap();
        let mut writer = FifoEnd::open(&path, Way::Out, false, NOW).unwrap();
        give(&mut writer, LEN).unwrap();
        assert_eq!(read(&first.fd, &mut [0; LEN]), Ok(LEN));
        // The next one comes before the writer has noticed anything, and the third one after that.
        drop(first);
        let second = reader();
        give(&mut writer, LEN).unwrap();
        assert_eq!(second.left_over().unwrap(), 0);
        assert_eq!(read(&second.fd, &mut [0; LEN]), Ok(LEN));
        drop(second);
        assert_eq!(give(&mut writer, LEN).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let third = reader();
        give(&mut writer, LEN).unwrap();
        assert_eq!(third.left_over().unwrap(), 0);
        // And what this one does not read is.
        drop(third);
        assert_eq!(reader().left_over().unwrap(), LEN);
    }

    #[test]
    fn what_the_last_writer_left_is_read_although_the_name_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let made = open(folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        fifo::make(made.as_fd(), "fifo".as_ref(), Mode::RWXU).unwrap();
        let mut reader = FifoEnd::open(&path, Way::In, false, NOW).unwrap();
        let mut writer = FifoEnd::open(&path, Way::Out, false, NOW).unwrap();
        assert_eq!(writer.write(b"last", NOW).unwrap(), 4);
        drop(writer);
        std::fs::remove_file(&path).unwrap();
        // A client is patient once.
        for _ in 0..2 {
            reader.ensure_name().unwrap();
        }
        assert_eq!(reader.read(&mut [0; 8], NOW).unwrap(), 4);
        reader.ensure_name().unwrap_err();
    }

    #[test]
    fn a_reader_goes_on_by_a_name_that_its_owner_has_taken_again_before() {
        use super::super::{Node, Raw};
        use crate::sys::{IfExists, Settings, WaitLimit};
        let settings = Settings { if_exists: IfExists::TakeAgain, ..Settings::default() };
        let (path, mut node) = Node::temporary(&settings).unwrap();
        let mut reader = node.open(Way::In, NOW).unwrap();
        std::fs::remove_file(&path).unwrap();
        // There is no reader yet of what it puts there.
        node.open(Way::Out, NOW).unwrap_err();
        assert!(path.exists());
        let plain = Wait { until: WaitLimit::Done, token: None };
        let writing = std::thread::spawn(move || {
            let mut writer = Raw::open(&path, Way::Out, false, plain).unwrap();
            writer.write(b"news", plain).unwrap()
        });
        assert_eq!(reader.read(&mut [0; 8], plain).unwrap(), 4);
        assert_eq!(writing.join().unwrap(), 4);
    }
}
