//! The system's information about the handle of a pipe.
#![allow(unsafe_code, reason = "asking about a handle has no safe wrapper")]

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr::null_mut;

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_ACCESS_INFORMATION, FILE_INFORMATION_CLASS, FILE_MODE_INFORMATION,
    FILE_PIPE_CONNECTED_STATE, FILE_PIPE_LOCAL_INFORMATION, FILE_SYNCHRONOUS_IO_ALERT,
    FILE_SYNCHRONOUS_IO_NONALERT, FileAccessInformation, FileModeInformation,
    FilePipeLocalInformation, NtQueryInformationFile,
};
use windows_sys::Win32::Foundation::ERROR_ACCESS_DENIED;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_READ_DATA, FILE_TYPE_CHAR, FILE_TYPE_DISK, FILE_TYPE_PIPE, FILE_WRITE_DATA, GetFileType,
};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;
use windows_sys::Win32::System::Pipes::{GetNamedPipeInfo, PIPE_SERVER_END, PIPE_TYPE_MESSAGE};

use super::{length, system_code};
use crate::error::Obstacle;
use crate::sys::Way;

/// The properties of a pipe, which do not change.
#[derive(Clone, Copy, Debug)]
pub(super) struct PipeInfo {
    /// Whether this is the side that listened.
    pub(super) listened: bool,
    /// Whether each write is a message. If not, the pipe is another program's: a write without bytes is
    /// nothing in it.
    pub(super) has_messages: bool,
    /// The size of the buffer: the smaller one, if the two directions differ. It is one at least.
    pub(super) quota: usize,
}

impl PipeInfo {
    pub(super) fn of(pipe: &impl AsHandle) -> io::Result<Self> {
        let handle = pipe.as_handle().as_raw_handle();
        let (mut flags, mut outward, mut inward) = (0, 0, 0);
        // SAFETY: the handle is open, and what is asked for goes to places of its type.
        let done = unsafe {
            let (flags, outward, inward) = (&raw mut flags, &raw mut outward, &raw mut inward);
            GetNamedPipeInfo(handle, flags, outward, inward, null_mut())
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            listened: flags & PIPE_SERVER_END != 0,
            has_messages: flags & PIPE_TYPE_MESSAGE != 0,
            quota: usize::try_from(outward.min(inward)).unwrap_or(usize::MAX).max(1),
        })
    }
}

/// The size of the buffer of a pipe.
pub(super) fn quota(pipe: &impl AsHandle) -> io::Result<usize> {
    Ok(PipeInfo::of(pipe)?.quota)
}

/// Whether the other side still has the pipe open.
pub(super) fn is_connected(pipe: &impl AsHandle) -> bool {
    let mut state = FILE_PIPE_LOCAL_INFORMATION::default();
    // SAFETY: the place is of the type of this class.
    let told = unsafe { query(pipe.as_handle(), FilePipeLocalInformation, &mut state) };
    told.is_ok() && state.NamedPipeState == FILE_PIPE_CONNECTED_STATE
}

/// Refuses a handle that is no pipe, or not open in all these directions; returns whether it is not overlapped.
pub(super) fn ensure_pipe(handle: BorrowedHandle<'_>, ways: &[Way]) -> io::Result<bool> {
    // SAFETY: the handle is open.
    let other = match unsafe { GetFileType(handle.as_raw_handle()) } {
        FILE_TYPE_PIPE => None,
        FILE_TYPE_DISK => Some("a file"),
        FILE_TYPE_CHAR => Some("a console or another device"),
        _ => Some("something else"),
    };
    if let Some(other) = other {
        return Err(Obstacle::NotAPipe(other).into());
    }
    if let Err(error) = PipeInfo::of(&handle) {
        return Err(match system_code(&error) {
            Some(ERROR_ACCESS_DENIED) => error,
            // The system reports sockets as pipes.
            _ => Obstacle::NotAPipe(Obstacle::SOCKET).into(),
        });
    }
    let mut access = FILE_ACCESS_INFORMATION::default();
    // SAFETY: the place is of the type of this class.
    unsafe { query(handle, FileAccessInformation, &mut access)? };
    for way in ways {
        let (wanted, name) = match way {
            Way::In => (FILE_READ_DATA, "reading"),
            Way::Out => (FILE_WRITE_DATA, "writing"),
        };
        if access.AccessFlags & wanted == 0 {
            return Err(Obstacle::WrongDirection(name).into());
        }
    }
    let mut mode = FILE_MODE_INFORMATION::default();
    // SAFETY: the place is of the type of this class.
    unsafe { query(handle, FileModeInformation, &mut mode)? };
    Ok(mode.Mode & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT) != 0)
}

/// Refuses all but files and devices.
pub(crate) fn ensure_file(handle: &OwnedHandle) -> io::Result<()> {
    // SAFETY: the handle is open.
    let found = match unsafe { GetFileType(handle.as_raw_handle()) } {
        FILE_TYPE_DISK | FILE_TYPE_CHAR => return Ok(()),
        FILE_TYPE_PIPE => "a pipe or a socket",
        _ => "something else",
    };
    Err(Obstacle::OtherHandle(found, "a file").into())
}

/// Queries the system about a handle.
///
/// # Safety
///
/// `T` is the type that the class returns, and any bits are a valid one.
unsafe fn query<T>(
    handle: BorrowedHandle<'_>,
    class: FILE_INFORMATION_CLASS,
    place: &mut T,
) -> io::Result<()> {
    let mut status = IO_STATUS_BLOCK::default();
    let place: *mut T = place;
    // SAFETY: the handle is open, and the place is as large as is said.
    let code = unsafe {
        NtQueryInformationFile(
            handle.as_raw_handle(),
            &raw mut status,
            place.cast::<c_void>(),
            length(size_of::<T>()),
            class,
        )
    };
    if code < 0 { Err(Obstacle::Unsupported.into()) } else { Ok(()) }
}
