//! The mode of a handle of a pipe: whether it waits, and whether a read ends with a message.
//!
//! All copies of the handle share it, also those of other processes. So an adopted handle gets its mode back.
#![allow(unsafe_code, reason = "modes of handles have no safe wrapper")]

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::System::Pipes::{
    GetNamedPipeHandleStateW, PIPE_NOWAIT, PIPE_READMODE_BYTE, PIPE_READMODE_MESSAGE,
    SetNamedPipeHandleState,
};

/// The former mode of a handle, restored when this is dropped.
#[derive(Debug)]
pub(super) struct Before {
    /// A copy, which has the same mode.
    handle: OwnedHandle,
    mode: u32,
}

impl Before {
    /// Lets an adopted handle wait, and end its reads with messages or not; `None` if it does so already, or
    /// if its mode may not be set.
    pub(super) fn change(
        handle: BorrowedHandle<'_>,
        by_messages: Option<bool>,
    ) -> io::Result<Option<Self>> {
        let Some(mode) = get(handle) else { return Ok(None) };
        let wanted = match by_messages {
            Some(by_messages) => read_mode(by_messages),
            None => mode & PIPE_READMODE_MESSAGE,
        };
        if mode == wanted {
            return Ok(None);
        }
        let before = Self { handle: handle.try_clone_to_owned()?, mode };
        set(handle, wanted);
        Ok(Some(before))
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        set(self.handle.as_handle(), self.mode);
    }
}

/// Whether a read of a handle ends with the message. It waits, as far as it must.
pub(super) fn read_by_messages(handle: BorrowedHandle<'_>, by_messages: bool) {
    set(handle, read_mode(by_messages));
}

fn read_mode(by_messages: bool) -> u32 {
    if by_messages { PIPE_READMODE_MESSAGE } else { PIPE_READMODE_BYTE }
}

fn get(handle: BorrowedHandle<'_>) -> Option<u32> {
    let mut mode = 0;
    // SAFETY: the handle is open while borrowed, and what is asked for goes to a place of its type.
    let told = unsafe {
        let (handle, mode) = (handle.as_raw_handle(), &raw mut mode);
        GetNamedPipeHandleStateW(handle, mode, null_mut(), null_mut(), null_mut(), null_mut(), 0)
    };
    (told != 0).then_some(mode & (PIPE_NOWAIT | PIPE_READMODE_MESSAGE))
}

/// As a best effort: not every handle lets its mode be set.
fn set(handle: BorrowedHandle<'_>, mode: u32) {
    // SAFETY: the handle is open while borrowed, and the mode lives over the call.
    unsafe { SetNamedPipeHandleState(handle.as_raw_handle(), &raw const mode, null(), null()) };
}

#[cfg(test)]
mod tests {
    use super::super::Raw;
    use super::super::testing::{byte_pipe, client, read_bytes, server, timely, within, write_all};
    use super::*;
    use crate::sys::Way;

    const MODES: [u32; 2] = [PIPE_READMODE_BYTE, PIPE_NOWAIT];

    /// What is dropped and what is given away has the mode that it came with.
    #[test]
    fn a25_the_mode_of_a_handle_from_elsewhere_is_put_back() {
        timely(|| {
            for mode in MODES {
                let (ours, theirs) = byte_pipe(true);
                set(ours.as_handle(), mode);
                for way in [Way::In, Way::Out] {
                    for given in [false, true] {
                        let end = Raw::adopt(ours.try_clone().unwrap(), way).unwrap();
                        assert_eq!(get(ours.as_handle()), Some(PIPE_READMODE_BYTE));
                        if given {
                            drop(end.into_handle());
                        } else {
                            drop(end);
                        }
                        assert_eq!(get(ours.as_handle()), Some(mode), "{way:?} {given}");
                    }
                }
                drop(theirs);
            }
        });
    }

    #[test]
    fn a25_a_handle_of_which_another_wants_no_waiting_waits() {
        timely(|| {
            let (ours, theirs) = byte_pipe(true);
            set(ours.as_handle(), PIPE_NOWAIT);
            let mut reader = Raw::adopt(ours, Way::In).unwrap();
            let mut writer = Raw::adopt(theirs, Way::Out).unwrap();
            let late = reader.read(&mut [0; 8], within(20)).unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            write_all(&mut writer, b"late", within(10_000));
            assert_eq!(read_bytes(&mut reader, 4), b"late");
        });
    }

    /// A connection reads by messages, which others that have the handle do not expect afterwards.
    #[test]
    fn a25_the_mode_of_a_connection_from_elsewhere_is_put_back() {
        timely(|| {
            let (path, server) = server();
            let (from, to) = client(&path);
            let _accepted = server.accept(within(10_000)).unwrap();
            let theirs = from.into_both(to).unwrap();
            for mode in [PIPE_READMODE_BYTE, PIPE_READMODE_MESSAGE, PIPE_NOWAIT] {
                set(theirs.as_handle(), mode);
                for given in [false, true] {
                    let (from, to) = Raw::adopt_both(theirs.try_clone().unwrap()).unwrap();
                    assert_eq!(get(theirs.as_handle()), Some(PIPE_READMODE_MESSAGE));
                    if given {
                        drop(from.into_both(to));
                    } else {
                        drop((from, to));
                    }
                    assert_eq!(get(theirs.as_handle()), Some(mode), "{mode} {given}");
                }
            }
        });
    }
}
