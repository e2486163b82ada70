//! Whether a child process has ended, without taking its exit status, for which the program may wait.

use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;

use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};

use crate::sys::Ended;

/// A process that is watched.
#[derive(Clone, Debug)]
pub(crate) struct Process(Arc<Known>);

/// What a process is known by.
#[derive(Debug)]
enum Known {
    /// A descriptor of the process itself, whichever process has its number later.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    File(OwnedFd),
    /// Its number, on other systems, and where there is no descriptor for it.
    Number(Pid),
    /// The number is free.
    Gone,
}

impl Process {
    pub(crate) fn of(child: &Child) -> Self {
        let number = child.id().try_into().ok().and_then(Pid::from_raw);
        Self(Arc::new(number.map_or(Known::Gone, Known::of)))
    }

    /// Whether it has ended, and how. Its parent can still wait for it.
    pub(crate) fn ended(&self) -> io::Result<Option<Ended>> {
        let id = match &*self.0 {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Known::File(file) => WaitId::PidFd(file.as_fd()),
            Known::Number(number) => WaitId::Pid(*number),
            Known::Gone => return Ok(Some(Ended(None))),
        };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match retry_on_intr(|| waitid(id.clone(), options)) {
            Ok(None) => Ok(None),
            Ok(Some(status)) => Ok(Some(Ended(Some(exit_status(&status))))),
            // Its status was taken.
            Err(Errno::CHILD) => Ok(Some(Ended(None))),
            Err(error) => Err(error.into()),
        }
    }
}

impl Known {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn of(number: Pid) -> Self {
        use rustix::process::{PidfdFlags, pidfd_open};
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(file) if is_waited_for(&file) => Self::File(file),
            Err(Errno::SRCH) => Self::Gone,
            // An old system, a filter of system calls, or no room for a descriptor.
            _ => Self::Number(number),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn of(number: Pid) -> Self {
        Self::Number(number)
    }
}

/// Whether the system waits for processes by their descriptors: Linux does so since 5.4.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_waited_for(file: &OwnedFd) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let looked = retry_on_intr(|| waitid(WaitId::PidFd(file.as_fd()), options));
    matches!(looked, Ok(_) | Err(Errno::CHILD))
}

/// The status as `wait` has it.
fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    let signal = status.terminating_signal().unwrap_or(0);
    let dumped = if status.dumped() { 0x80 } else { 0 };
    let code = status.exit_status().unwrap_or(0);
    ExitStatus::from_raw(((code & 0xff) << 8) | signal | dumped)
}
