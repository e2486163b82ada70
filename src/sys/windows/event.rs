//! Events, and waits for them.
#![allow(unsafe_code, reason = "the calls for events have no safe wrapper")]

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{HANDLE, WAIT_FAILED, WAIT_OBJECT_0, WAIT_TIMEOUT};
#[cfg(feature = "fanout")]
use windows_sys::Win32::System::Threading::ResetEvent;
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, SetEvent, WaitForMultipleObjects, WaitForSingleObject,
};

use super::resource_errors;
use crate::error::Obstacle;
use crate::sys::{Wait, WaitLimit};

/// An event of the system: one thread sets it, another waits for it.
#[derive(Debug)]
pub struct Event(OwnedHandle);

impl Event {
    /// The event of a cancel token: it stays set.
    pub(crate) fn new() -> io::Result<Self> {
        Self::create(true)
    }

    /// The event of an operation's end: the wait that it ends unsets it.
    pub(crate) fn automatic() -> io::Result<Self> {
        Self::create(false)
    }

    fn create(manual_reset: bool) -> io::Result<Self> {
        // SAFETY: both pointers may be null: no attributes, hence not inheritable, and no name.
        let event = unsafe { CreateEventW(null(), manual_reset.into(), 0, null()) };
        if event.is_null() {
            return Err(resource_errors::told(io::Error::last_os_error()));
        }
        // SAFETY: the handle is valid, and nothing else owns it.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(event) }))
    }

    pub(crate) fn set(&self) {
        // SAFETY: the handle is open as long as `self` lives. It fails for no open event.
        unsafe { SetEvent(self.as_raw()) };
    }

    /// Unsets the event of a token.
    #[cfg(feature = "fanout")]
    pub(crate) fn unset(&self) {
        // SAFETY: the handle is open as long as `self` lives. It fails for no open event.
        unsafe { ResetEvent(self.as_raw()) };
    }

    /// Another handle of the same event.
    #[cfg(feature = "fanout")]
    pub(super) fn share(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self).map_err(resource_errors::told)
    }

    /// The handle, which is open as long as `self` lives.
    pub(super) fn as_raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }

    /// Waits until it is set, or the wait ends. A cancelled token and a passed deadline win.
    pub(crate) fn wait(&self, wait: Wait<'_>) -> io::Result<()> {
        loop {
            let time = remaining(wait.until)?;
            match wait.token {
                Some(token) => match wait_any([token, self], time)? {
                    Some(0) => return Err(Obstacle::Cancelled.into()),
                    Some(_) => return Ok(()),
                    None => {}
                },
                None if self.wait_for(time)? => return Ok(()),
                None => {}
            }
        }
    }

    /// Waits for so many milliseconds at most; returns whether it is set.
    pub(super) fn wait_for(&self, time: u32) -> io::Result<bool> {
        // SAFETY: the handle is open as long as `self` lives.
        match unsafe { WaitForSingleObject(self.as_raw(), time) } {
            WAIT_FAILED => Err(io::Error::last_os_error()),
            WAIT_TIMEOUT => Ok(false),
            _ => Ok(true),
        }
    }
}

impl AsHandle for Event {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

impl From<Event> for OwnedHandle {
    fn from(event: Event) -> Self {
        event.0
    }
}

/// The most events of one wait.
pub(super) const MAX_EVENTS: usize = 64;

/// Waits for any of the events; returns which. The first that is set wins.
#[expect(single_use_lifetimes, reason = "the oldest Rust cannot leave it out here")]
pub(super) fn wait_any<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    time: u32,
) -> io::Result<Option<usize>> {
    let (mut handles, mut count) = ([null_mut(); MAX_EVENTS], 0);
    for (place, event) in handles.iter_mut().zip(events) {
        *place = event.as_raw();
        count += 1;
    }
    // SAFETY: so many places of the array have a handle, each of which is open as long as its event is borrowed.
    match unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, time) } {
        WAIT_FAILED => Err(io::Error::last_os_error()),
        WAIT_TIMEOUT => Ok(None),
        event => Ok(usize::try_from(event - WAIT_OBJECT_0).ok()),
    }
}

/// Fails if the token is cancelled, even if the operation is possible at once.
pub(crate) fn ensure_not_cancelled(wait: Wait<'_>) -> io::Result<()> {
    match wait.token {
        Some(token) if token.wait_for(0)? => Err(Obstacle::Cancelled.into()),
        _ => Ok(()),
    }
}

/// The milliseconds of a single wait; an error if no time is left.
pub(super) fn remaining(until: WaitLimit) -> io::Result<u32> {
    match until {
        WaitLimit::Done => Ok(INFINITE),
        WaitLimit::Now => Err(io::ErrorKind::WouldBlock.into()),
        WaitLimit::Deadline(end) => {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // Rounded up, or the last millisecond would be a busy loop.
            let left = left.as_nanos().div_ceil(1_000_000);
            Ok(u32::try_from(left).unwrap_or(INFINITE).min(INFINITE - 1))
        }
    }
}

/// Sleeps before another attempt; ends early if the wait itself ends.
pub(crate) fn pause(time: Duration, wait: Wait<'_>) -> io::Result<()> {
    let left = remaining(wait.until)?;
    let time = u32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(left).min(left);
    match wait.token {
        Some(token) if token.wait_for(time)? => Err(Obstacle::Cancelled.into()),
        Some(_) => Ok(()),
        None => {
            std::thread::sleep(Duration::from_millis(time.into()));
            Ok(())
        }
    }
}
