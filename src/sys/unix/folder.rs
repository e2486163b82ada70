//! Folders: made for this user alone, and opened.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, chmodat, mkdirat, openat, unlinkat};
use rustix::io::retry_on_intr;

/// Opens a folder, to which a link may lead.
pub(super) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))?)
}

/// Makes a folder in another one for this user alone, whatever the umask.
pub(super) fn make_folder(above: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    retry_on_intr(|| mkdirat(above, name, Mode::RWXU))?;
    retry_on_intr(|| chmodat(above, name, Mode::RWXU, AtFlags::empty())).inspect_err(|_| {
        let _ = unlinkat(above, name, AtFlags::REMOVEDIR);
    })
}
