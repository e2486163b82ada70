//! What the tests of this folder share.
#![allow(unsafe_code, reason = "the system is asked what it is")]

use std::ffi::{CStr, c_char, c_void};
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Storage::FileSystem::WriteFile;
use windows_sys::Win32::System::IO::{GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::CreatePipe;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount};

use super::{Node, Raw};
use crate::sys::{Settings, Until, Wait, Way};

pub(super) const PLAIN: Wait<'static> = Wait { until: Until::Done, stop: None };
pub(super) const NOW: Wait<'static> = Wait { until: Until::Now, stop: None };

pub(super) fn within(milliseconds: u64) -> Wait<'static> {
    let end = Instant::now() + Duration::from_millis(milliseconds);
    Wait { until: Until::Deadline(end), stop: None }
}

/// A pipe with a name of its own.
pub(super) fn pipe() -> (PathBuf, Node) {
    Node::temporary(&Settings::default()).unwrap()
}

pub(super) fn writer(path: &Path) -> Raw {
    Raw::open(path, Way::Out, false, within(10_000)).unwrap()
}

pub(super) fn reader(path: &Path) -> Raw {
    Raw::open(path, Way::In, false, within(10_000)).unwrap()
}

/// Reads until `want` bytes are there.
pub(super) fn read_bytes(raw: &mut Raw, want: usize) -> Vec<u8> {
    let mut bytes = vec![0; want];
    let mut got = 0;
    while got < want {
        match raw.read(&mut bytes[got..], within(10_000)).unwrap() {
            0 => break,
            read => got += read,
        }
    }
    bytes.truncate(got);
    bytes
}

/// Fails a test that hangs.
pub(super) fn timely(test: impl FnOnce() + Send + 'static) {
    let (done, end) = mpsc::channel();
    let running = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    if end.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the test hangs");
    }
    if let Err(panic) = running.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Whether this is Wine, which lacks some of what is tested. Says so.
pub(super) fn is_wine(lacking: &str) -> bool {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        safe fn GetModuleHandleA(name: Option<&c_char>) -> *mut c_void;
        fn GetProcAddress(module: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    let (module, name): (&CStr, &CStr) = (c"ntdll.dll", c"wine_get_version");
    // SAFETY: a string that ends with NUL begins at this reference.
    let module = GetModuleHandleA(unsafe { module.as_ptr().as_ref() });
    // SAFETY: the module is always there, and the name ends with NUL.
    let wine = !unsafe { GetProcAddress(module, name.as_ptr()) }.is_null();
    if wine {
        eprintln!("skipped under Wine: {lacking}");
    }
    wine
}

/// How many handles this process has open.
pub(super) fn handles() -> u32 {
    let mut count = 0;
    // SAFETY: it only returns a constant.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the process is this one, and the count goes to a place of its type.
    assert_ne!(unsafe { GetProcessHandleCount(process, &raw mut count) }, 0);
    count
}

/// Writes a message without bytes, as this crate never does.
pub(super) fn write_nothing(raw: &Raw) {
    let handle = raw.as_handle().as_raw_handle();
    let mut place = OVERLAPPED::default();
    let mut bytes = 0;
    let place = &raw mut place;
    // SAFETY: the handle is open, and the place lives until the operation is over, below.
    unsafe { WriteFile(handle, null(), 0, null_mut(), place) };
    // SAFETY: as above.
    assert_ne!(unsafe { GetOverlappedResult(handle, place, &raw mut bytes, 1) }, 0);
}

/// The two handles of a pipe without a name. They are not overlapped.
pub(super) fn anonymous_pipe() -> (OwnedHandle, OwnedHandle) {
    let (mut from, mut to) = (null_mut(), null_mut());
    // SAFETY: the handles go to places of their type; the attributes may be null.
    assert_ne!(unsafe { CreatePipe(&raw mut from, &raw mut to, null(), 0) }, 0);
    // SAFETY: the handle is valid, and nobody else has it.
    let from = unsafe { OwnedHandle::from_raw_handle(from) };
    // SAFETY: as above.
    (from, unsafe { OwnedHandle::from_raw_handle(to) })
}
