//! Waits for a descriptor, a deadline, or a cancel token.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::Obstacle;
use crate::sys::{Wait, WaitLimit};

pub(crate) use event::Event;

/// What a cancel token sets, or a waker: a descriptor that becomes readable, and stays so until it is unset.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod event {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    use super::super::resource_errors;

    #[derive(Debug)]
    pub(crate) struct Event(OwnedFd);

    impl Event {
        pub(crate) fn new() -> io::Result<Self> {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            let made = eventfd(0, flags).map_err(io::Error::from);
            made.map(Self).map_err(resource_errors::told)
        }

        pub(crate) fn set(&self) {
            // It can fail only where the counter is full, which is as readable as it gets.
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }

        pub(crate) fn unset(&self) {
            // It can fail only where it is not set.
            let _ = rustix::io::read(&self.0, &mut [0; 8]);
        }
    }

    impl From<Event> for OwnedFd {
        fn from(event: Event) -> Self {
            event.0
        }
    }

    impl AsFd for Event {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

/// What a cancel token sets, or a waker: a descriptor that becomes readable, and stays so until it is unset.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod event {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::os::unix::net::UnixStream;

    use super::super::resource_errors;

    #[derive(Debug)]
    pub(crate) struct Event {
        readable: UnixStream,
        writable: UnixStream,
    }

    impl Event {
        pub(crate) fn new() -> io::Result<Self> {
            let (readable, writable) = UnixStream::pair().map_err(resource_errors::told)?;
            writable.set_nonblocking(true)?;
            readable.set_nonblocking(true)?;
            Ok(Self { readable, writable })
        }

        pub(crate) fn set(&self) {
            // It can fail only where the buffer is full, which is as readable as it gets.
            let _ = (&self.writable).write(&[1]);
        }

        pub(crate) fn unset(&self) {
            // It ends where nothing is left to read.
            while matches!((&self.readable).read(&mut [0; 64]), Ok(1..)) {}
        }
    }

    impl From<Event> for OwnedFd {
        fn from(event: Event) -> Self {
            event.readable.into()
        }
    }

    impl AsFd for Event {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.readable.as_fd()
        }
    }
}

impl Event {
    /// An event that the wait for it unsets.
    pub(crate) fn automatic() -> io::Result<Self> {
        Self::new()
    }

    /// Waits until it is set, and unsets it. A cancelled token wins.
    pub(crate) fn wait(&self, wait: Wait<'_>) -> io::Result<()> {
        ready(self.as_fd(), PollFlags::IN, wait)?;
        self.unset();
        Ok(())
    }
}

/// Performs one repeatable operation, and waits until it is possible.
#[inline]
pub(super) fn until_done<T>(
    fd: BorrowedFd<'_>,
    asked: PollFlags,
    wait: Wait<'_>,
    mut operation: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
) -> io::Result<T> {
    if wait.token.is_some() {
        check_token(fd, asked, wait)?;
    }
    loop {
        match operation(fd) {
            Ok(done) => return Ok(done),
            Err(error) => wait_after(error, fd, asked, wait)?,
        }
    }
}

/// Reads or accepts once on a socket, of which a wait always tells when that is possible: with a token, one wait for both
/// is the check, too.
#[inline]
pub(super) fn until_received<T>(
    fd: BorrowedFd<'_>,
    wait: Wait<'_>,
    mut operation: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
) -> io::Result<T> {
    if wait.token.is_none() || matches!(wait.until, WaitLimit::Now) {
        return until_done(fd, PollFlags::IN, wait, operation);
    }
    loop {
        ready(fd, PollFlags::IN, wait)?;
        match operation(fd) {
            Ok(done) => return Ok(done),
            // Another thread or process was faster.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Checks the token before an operation that is possible at once, or a busy stream would never be cancelled.
#[cold]
fn check_token(fd: BorrowedFd<'_>, asked: PollFlags, wait: Wait<'_>) -> io::Result<()> {
    match ready(fd, asked, Wait { until: WaitLimit::Now, ..wait }) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        done => done,
    }
}

/// Waits until an operation that failed so is possible.
#[cold]
fn wait_after(
    error: Errno,
    fd: BorrowedFd<'_>,
    asked: PollFlags,
    wait: Wait<'_>,
) -> io::Result<()> {
    match error {
        Errno::INTR => Ok(()),
        Errno::AGAIN if matches!(wait.until, WaitLimit::Now) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Errno::AGAIN => ready(fd, asked, wait),
        error => Err(error.into()),
    }
}

/// Fails if the token is cancelled, even if the operation is possible at once.
pub(crate) fn ensure_not_cancelled(wait: Wait<'_>) -> io::Result<()> {
    let Some(token) = wait.token else { return Ok(()) };
    match ready(token.as_fd(), PollFlags::IN, Wait::NOW) {
        Ok(()) => Err(Obstacle::Cancelled.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until `fd` is ready for the events, or hung up. A cancelled token wins.
pub(super) fn ready(fd: BorrowedFd<'_>, asked: PollFlags, wait: Wait<'_>) -> io::Result<()> {
    let token = wait.token.map(AsFd::as_fd);
    loop {
        let time = remaining(wait.until)?;
        match wait_once(fd, asked, token, time.as_ref()) {
            Ok((_, true)) => return Err(Obstacle::Cancelled.into()),
            Ok((true, false)) => return Ok(()),
            Ok((false, false)) if is_over(wait.until) => return Err(out_of_time(wait.until)),
            Ok((false, false)) => {}
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits as [`ready`] does, until it is time to check whether that is still of use; returns whether it is ready.
pub(super) fn ready_or_time(
    fd: BorrowedFd<'_>,
    asked: PollFlags,
    time: Duration,
    wait: Wait<'_>,
) -> io::Result<bool> {
    let (part, is_all) = part_of(wait, time);
    match ready(fd, asked, part) {
        Err(error) if !is_all && is_timeout(&error) => Ok(false),
        done => done.map(|()| true),
    }
}

/// Waits until one of several descriptors is ready for its events or hung up, or for this time. A cancelled token wins.
pub(super) fn any_ready(
    fds: &[(BorrowedFd<'_>, PollFlags)],
    time: Duration,
    wait: Wait<'_>,
) -> io::Result<()> {
    if matches!(wait.until, WaitLimit::Now) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let left = match wait.until {
        WaitLimit::Deadline(end) => time.min(end.saturating_duration_since(Instant::now())),
        _ => time,
    };
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let token = wait.token.map(|token| (token.as_fd(), PollFlags::IN));
    let all = fds.iter().copied().chain(token);
    let mut polled: Vec<_> = all.map(|(fd, asked)| PollFd::from_borrowed_fd(fd, asked)).collect();
    match poll(&mut polled, Timespec::try_from(left).ok().as_ref()) {
        Ok(_) | Err(Errno::INTR) => ensure_not_cancelled(wait),
        Err(error) => Err(error.into()),
    }
}

/// The part of a wait after which it is time to look at something, and whether that is all of it.
pub(super) fn part_of(wait: Wait<'_>, time: Duration) -> (Wait<'_>, bool) {
    if matches!(wait.until, WaitLimit::Now) {
        return (wait, true);
    }
    let look = Instant::now() + time;
    match wait.until {
        WaitLimit::Deadline(end) if end <= look => (wait, true),
        WaitLimit::Now | WaitLimit::Done | WaitLimit::Deadline(_) => {
            (Wait { until: WaitLimit::Deadline(look), ..wait }, false)
        }
    }
}

/// Whether a wait ended with nothing.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// Waits once; returns whether the descriptor is ready, and whether the token is cancelled.
fn wait_once(
    fd: BorrowedFd<'_>,
    asked: PollFlags,
    token: Option<BorrowedFd<'_>>,
    time: Option<&Timespec>,
) -> rustix::io::Result<(bool, bool)> {
    #[cfg(target_vendor = "apple")]
    if asked == PollFlags::IN {
        return super::apple::select_readable(fd, token, time);
    }
    let fd = PollFd::from_borrowed_fd(fd, asked);
    let Some(token) = token else {
        let mut fds = [fd];
        return Ok((poll(&mut fds, time)? > 0, false));
    };
    let mut fds = [fd, PollFd::from_borrowed_fd(token, PollFlags::IN)];
    poll(&mut fds, time)?;
    let [fd, token] = fds.map(|entry| !entry.revents().is_empty());
    Ok((fd, token))
}

/// Sleeps before another attempt; ends early if the wait itself ends.
pub(crate) fn pause(time: Duration, wait: Wait<'_>) -> io::Result<()> {
    let now = Instant::now();
    let (time, last) = match wait.until {
        WaitLimit::Now => return Err(io::ErrorKind::WouldBlock.into()),
        WaitLimit::Deadline(end) => {
            let left = end.saturating_duration_since(now);
            (time.min(left), left.is_zero())
        }
        WaitLimit::Done => (time, false),
    };
    if last {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let Some(token) = wait.token else {
        std::thread::sleep(time);
        return Ok(());
    };
    let until = now.checked_add(time).map_or(WaitLimit::Done, WaitLimit::Deadline);
    match ready(token.as_fd(), PollFlags::IN, Wait { until, token: None }) {
        Ok(()) => Err(Obstacle::Cancelled.into()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
        Err(error) => Err(error),
    }
}

/// The interval at which what waits for a process to come checks whether one still can, by its name.
pub(super) const LOOK_AT_NAME: Duration = Duration::from_secs(1);

/// The longest single wait: macOS refuses one of more than 24 days.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The timeout for `poll`; `None` is for ever.
fn remaining(until: WaitLimit) -> io::Result<Option<Timespec>> {
    let left = match until {
        WaitLimit::Done => return Ok(None),
        WaitLimit::Now => Duration::ZERO,
        WaitLimit::Deadline(end) => end.saturating_duration_since(Instant::now()),
    };
    Timespec::try_from(left.min(LONGEST)).map(Some).map_err(io::Error::other)
}

/// The timeout in whole milliseconds, as every kernel takes them, and never too early.
#[cfg(feature = "fanout")]
pub(super) fn whole_milliseconds(until: WaitLimit) -> io::Result<Option<Timespec>> {
    let Some(left) = remaining(until)? else { return Ok(None) };
    let left = Duration::try_from(left).map_err(io::Error::other)?;
    let whole = u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Timespec::try_from(Duration::from_millis(whole)).map(Some).map_err(io::Error::other)
}

fn is_over(until: WaitLimit) -> bool {
    match until {
        WaitLimit::Now => true,
        WaitLimit::Done => false,
        WaitLimit::Deadline(end) => Instant::now() >= end,
    }
}

/// The error of a wait that is over.
pub(super) fn out_of_time(until: WaitLimit) -> io::Error {
    match until {
        WaitLimit::Now => io::ErrorKind::WouldBlock.into(),
        WaitLimit::Done | WaitLimit::Deadline(_) => io::ErrorKind::TimedOut.into(),
    }
}
