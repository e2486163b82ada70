//! Errors of a process or a system without room for another descriptor.

use std::io;

use rustix::io::Errno;

use crate::error::Obstacle;

/// Names that reason, if it is the one.
pub(super) fn told(error: io::Error) -> io::Error {
    let what = match Errno::from_io_error(&error) {
        Some(Errno::MFILE) => "this process has too many open files",
        Some(Errno::NFILE) => "this machine has too many open files",
        Some(Errno::TOOMANYREFS) => "too many handles of this user are on their way",
        Some(Errno::NOBUFS | Errno::NOMEM) => "this machine has no memory for it",
        _ => return error,
    };
    Obstacle::ResourceExhausted(what).into()
}
