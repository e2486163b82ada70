//! Whether a child process has ended.
#![allow(unsafe_code, reason = "system calls have no safe way here")]

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, OwnedHandle};
use std::os::windows::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;

use windows_sys::Win32::Foundation::{WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{GetExitCodeProcess, WaitForSingleObject};

use crate::sys::Ended;

/// A process that is watched; the reason, where its handle could not be copied.
#[derive(Clone, Debug)]
pub(crate) struct Process(Arc<io::Result<OwnedHandle>>);

impl Process {
    pub(crate) fn of(child: &Child) -> Self {
        Self(Arc::new(child.as_handle().try_clone_to_owned()))
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&self) -> io::Result<Option<Ended>> {
        let handle = match &*self.0 {
            Ok(handle) => handle.as_raw_handle(),
            Err(error) => {
                return Err(error
                    .raw_os_error()
                    .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error));
            }
        };
        // SAFETY: the handle is open as long as this is borrowed.
        match unsafe { WaitForSingleObject(handle, 0) } {
            WAIT_TIMEOUT => return Ok(None),
            WAIT_OBJECT_0 => {}
            _ => return Err(io::Error::last_os_error()),
        }
        let mut code = 0;
        // SAFETY: as above; there is room for the code.
        if unsafe { GetExitCodeProcess(handle, &raw mut code) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Some(Ended(Some(ExitStatus::from_raw(code)))))
    }
}
