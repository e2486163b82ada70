//! What the tests of this folder share.
#![allow(unsafe_code, reason = "the system is asked what it is")]

use std::ffi::{CStr, c_char, c_void};
use std::fs::OpenOptions;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::ptr::{null, null_mut};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_OVERLAPPED, PIPE_ACCESS_DUPLEX, WriteFile,
};
use windows_sys::Win32::System::IO::{GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, CreatePipe, DisconnectNamedPipe, PIPE_TYPE_BYTE, PIPE_WAIT,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount};

use super::name::temporary;
use super::{Event, Node, Raw, Server, wide};
use crate::sys::{Settings, Wait, WaitLimit, Way};

#[path = "../../../tests/it/skipped.rs"]
mod skipped;

pub(super) const PLAIN: Wait<'static> = Wait { until: WaitLimit::Done, token: None };
pub(super) const NOW: Wait<'static> = Wait { until: WaitLimit::Now, token: None };

pub(super) fn within(milliseconds: u64) -> Wait<'static> {
    let end = Instant::now() + Duration::from_millis(milliseconds);
    Wait { until: WaitLimit::Deadline(end), token: None }
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

/// A server with a name of its own.
pub(super) fn server() -> (PathBuf, Server) {
    Server::temporary(&Settings::default()).unwrap()
}

/// What a client has: the half to read from, and the one to write to.
pub(super) fn client(path: &Path) -> (Raw, Raw) {
    Raw::connect(path, false, within(10_000)).unwrap()
}

/// Both sides of a connection, that of the server first.
pub(super) fn connection() -> ((Raw, Raw), (Raw, Raw)) {
    connection_with(&Settings::default())
}

pub(super) fn connection_with(settings: &Settings) -> ((Raw, Raw), (Raw, Raw)) {
    let (path, server) = Server::temporary(settings).unwrap();
    let client = client(&path);
    (server.accept(within(10_000)).unwrap(), client)
}

/// Reads until the end.
pub(super) fn read_all(raw: &mut Raw) -> Vec<u8> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 70_000]);
    loop {
        match raw.read(&mut buf, within(20_000)).unwrap() {
            0 => return all,
            read => all.extend_from_slice(&buf[..read]),
        }
    }
}

/// Writes all of it.
pub(super) fn write_all(raw: &mut Raw, mut bytes: &[u8], wait: Wait<'_>) {
    while !bytes.is_empty() {
        let written = raw.write(bytes, wait).unwrap();
        bytes = &bytes[written..];
    }
}

/// Writes until there is no room, and returns how much went.
pub(super) fn fill(raw: &mut Raw) -> usize {
    let mut went = 0;
    for size in [1000, 1] {
        loop {
            match raw.write(&vec![7; size], NOW) {
                Ok(written) => went += written,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                    break;
                }
            }
        }
    }
    went
}

/// This program, to run an ignored test of it in a process of its own.
pub(super) fn alone(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", &format!("sys::windows::{test}")]);
    command.stdout(Stdio::null());
    command
}

/// Runs an ignored test as the other process, which finds the path by `peer_path`.
pub(super) fn peer(test: &str, path: &Path) -> OtherProcess {
    OtherProcess(alone(test).env("TYPED_PIPE_PEER", path).spawn().unwrap())
}

/// A process that does not outlive the test.
pub(super) struct OtherProcess(Child);

impl OtherProcess {
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(super) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(super) fn ensure_success(mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        // It fails where the process has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the other process connects.
pub(super) fn peer_path() -> PathBuf {
    std::env::var_os("TYPED_PIPE_PEER").unwrap().into()
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

/// Fails a test that hangs: one that takes more than a minute, times `TYPED_PIPE_TEST_PATIENCE` where that is set.
pub(super) fn timely(test: impl FnOnce() + Send + 'static) {
    let times = std::env::var("TYPED_PIPE_TEST_PATIENCE").map_or(1, |times| times.parse().unwrap());
    let (done, end) = mpsc::channel();
    let running = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    if end.recv_timeout(Duration::from_secs(60) * times) == Err(mpsc::RecvTimeoutError::Timeout) {
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
        skipped::skipped(format_args!("under Wine, {lacking}"));
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
    // With an event of its own: the handle is set by the end of other operations, too.
    let event = Event::automatic().unwrap();
    let mut place = OVERLAPPED { hEvent: event.as_raw(), ..OVERLAPPED::default() };
    let mut bytes = 0;
    let place = &raw mut place;
    // SAFETY: the handle and the event are open, and the place lives until the operation is over, below.
    unsafe { WriteFile(handle, null(), 0, null_mut(), place) };
    // SAFETY: as above.
    assert_ne!(unsafe { GetOverlappedResult(handle, place, &raw mut bytes, 1) }, 0);
}

/// Lets the server of a pipe disconnect it, as this crate never does.
pub(super) fn disconnect(server: &impl AsHandle) {
    // SAFETY: the handle is open.
    assert_ne!(unsafe { DisconnectNamedPipe(server.as_handle().as_raw_handle()) }, 0);
}

/// The two handles of a pipe without a name. They are not overlapped.
pub(super) fn anonymous_pipe() -> (OwnedHandle, OwnedHandle) {
    let (mut from, mut to) = (null_mut(), null_mut());
    // SAFETY: the handles go to places of their type; the attributes may be null.
    assert_ne!(unsafe { CreatePipe(&raw mut from, &raw mut to, null(), 0) }, 0);
    // SAFETY: the handle is valid, and nothing else owns it.
    let from = unsafe { OwnedHandle::from_raw_handle(from) };
    // SAFETY: as above.
    (from, unsafe { OwnedHandle::from_raw_handle(to) })
}

/// The two handles of a pipe of both ways that has no messages, such as other programs make.
pub(super) fn byte_pipe(overlapped: bool) -> (OwnedHandle, OwnedHandle) {
    let path = temporary().unwrap();
    let name = wide(path.as_os_str());
    let flags = if overlapped { FILE_FLAG_OVERLAPPED } else { 0 };
    // SAFETY: the name ends with NUL, and the attributes may be null.
    let server = unsafe {
        let mode = PIPE_TYPE_BYTE | PIPE_WAIT;
        CreateNamedPipeW(name.as_ptr(), PIPE_ACCESS_DUPLEX | flags, mode, 1, 4096, 4096, 0, null())
    };
    assert_ne!(server, INVALID_HANDLE_VALUE);
    // SAFETY: the handle is valid, and nothing else owns it.
    let server = unsafe { OwnedHandle::from_raw_handle(server) };
    let client = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&path).unwrap();
    (server, client.into())
}

/// By this `.ci/run` sees that a test program does not pass that crashes, nor one that exits with 0 before its result.
#[test]
fn a_program_that_does_not_come_to_its_end() {
    match std::env::var("TYPED_PIPE_TEST_END").as_deref() {
        Ok("abort") => std::process::abort(),
        Ok("exit") => std::process::exit(0),
        _ => {}
    }
}
