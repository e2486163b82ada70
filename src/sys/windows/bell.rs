//! A task that is woken when an event is set.
#![allow(unsafe_code, reason = "registering a wait has no safe wrapper")]

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{
    INFINITE, RegisterWaitForSingleObject, UnregisterWaitEx, WT_EXECUTEDEFAULT,
};

use super::event::Event;

/// The task to wake.
type Sleeper = Mutex<Option<Waker>>;

/// Wakes a task whenever an event is set, which it unsets.
pub(super) struct Bell {
    wait: HANDLE,
    /// The wait has one more owner's share of it.
    sleeper: Arc<Sleeper>,
    /// Stays open as long as it is waited for.
    _event: Arc<Event>,
}

// SAFETY: the wait belongs to no thread, and ends once, when this is dropped.
unsafe impl Send for Bell {}
// SAFETY: a shared reference does nothing with the wait.
unsafe impl Sync for Bell {}

impl Bell {
    pub(super) fn new(event: Arc<Event>) -> io::Result<Self> {
        let sleeper = Arc::<Sleeper>::default();
        let share = Arc::into_raw(Arc::clone(&sleeper));
        let mut wait = null_mut();
        // SAFETY: the event is open until the wait is unregistered, and the share is kept as long.
        let done = unsafe {
            RegisterWaitForSingleObject(
                &raw mut wait,
                event.as_raw(),
                Some(ring),
                share.cast(),
                INFINITE,
                WT_EXECUTEDEFAULT,
            )
        };
        if done == 0 {
            let error = io::Error::last_os_error();
            // SAFETY: there is no wait that has the share.
            drop(unsafe { Arc::from_raw(share) });
            return Err(error);
        }
        Ok(Self { wait, sleeper, _event: event })
    }

    /// Wakes this task from now on, and no other.
    pub(super) fn wakes(&self, waker: &Waker) {
        let mut sleeper = self.sleeper.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *sleeper {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // SAFETY: the wait is registered, and this happens once. Without an event it does not block.
        let idle = unsafe { UnregisterWaitEx(self.wait, null_mut()) };
        if idle != 0 {
            // SAFETY: the wait is over and nobody is in `ring`, so the share is ours.
            drop(unsafe { Arc::from_raw(Arc::as_ptr(&self.sleeper)) });
        }
        // Else somebody is in `ring` at this moment. Better to lose a few bytes than to hang: that may
        // be this very thread.
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

/// What the system calls, in a thread of its own.
unsafe extern "system" fn ring(share: *mut c_void, _: bool) {
    let sleeper: *const Sleeper = share.cast_const().cast();
    // SAFETY: it is the share of the wait, which is given up only when nobody is here.
    let sleeper = unsafe { &*sleeper };
    let waker = sleeper.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(waker) = waker {
        waker.wake();
    }
}
