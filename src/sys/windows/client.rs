//! Opens a pipe as its client.
#![allow(unsafe_code, reason = "opening a pipe has no safe wrapper")]

use std::io;
use std::os::windows::io::{AsHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{ERROR_PIPE_BUSY, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_OVERLAPPED, FILE_READ_ATTRIBUTES, FILE_READ_DATA, FILE_WRITE_ATTRIBUTES,
    FILE_WRITE_DATA, OPEN_EXISTING, READ_CONTROL, SECURITY_IDENTIFICATION, SECURITY_SQOS_PRESENT,
    SYNCHRONIZE,
};

use super::event::pause;
use super::security::ensure_trusted;
use super::system_code;
use crate::error::Obstacle;
use crate::sys::retry::try_until;
use crate::sys::{Wait, Way};

/// Tries to connect until an instance is free, or the wait ends.
pub(super) fn connect(
    name: &[u16],
    ways: &[Way],
    any_owner: bool,
    wait: Wait<'_>,
) -> io::Result<OwnedHandle> {
    let control = if any_owner { 0 } else { READ_CONTROL };
    let needed = ways.iter().fold(control, |rights, way| rights | data(*way));
    // A client of both ways also reads message by message, and checks the owner, if it may.
    let wished = if ways.len() > 1 { READ_CONTROL | FILE_WRITE_ATTRIBUTES } else { 0 };
    try_until(wait, pause, || {
        let handle = match open(name, needed | wished) {
            Err(error) if wished != 0 && error.kind() == io::ErrorKind::PermissionDenied => {
                open(name, needed)?
            }
            opened => opened?,
        };
        if !any_owner {
            ensure_trusted(handle.as_handle())?;
        }
        Ok(handle)
    })
}

/// The access right for this direction. Not GENERIC_WRITE: that includes the right to make instances.
fn data(way: Way) -> u32 {
    match way {
        Way::In => FILE_READ_DATA,
        Way::Out => FILE_WRITE_DATA,
    }
}

fn open(name: &[u16], rights: u32) -> io::Result<OwnedHandle> {
    // SAFETY: the name ends with NUL, and the other pointers may be null.
    let handle = unsafe {
        CreateFileW(
            name.as_ptr(),
            rights | FILE_READ_ATTRIBUTES | SYNCHRONIZE,
            0,
            null(),
            OPEN_EXISTING,
            // The server can identify this user, and cannot act in its name.
            FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION,
            null_mut(),
        )
    };
    if handle != INVALID_HANDLE_VALUE {
        // SAFETY: the handle is valid, and nothing else owns it.
        return Ok(unsafe { OwnedHandle::from_raw_handle(handle) });
    }
    let error = io::Error::last_os_error();
    if system_code(&error) == Some(ERROR_PIPE_BUSY) {
        return Err(Obstacle::Busy.into());
    }
    Err(error)
}
