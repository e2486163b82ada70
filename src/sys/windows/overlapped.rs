//! Overlapped operations, which go on beside the thread that began them.
//!
//! While one is in flight, the system writes to places whose addresses it was given. So everything it
//! may touch outlives it here, however the operation ends: by itself, or cancelled.
//!
//! # The proof
//!
//! The system writes the result of an operation as its last access to our memory; the bytes are
//! in place by then. After that it sets the event, to which it holds a reference of its own, independent of the number.
//! So the memory of an operation is free once the result can be read in its place (`poll`), and not before:
//!
//! - A call with the caller's buffer waits for that point (`finish`), also when the wait
//!   ended first, or the thread unwinds. A cancellation is a request, and no end.
//! - Any other operation has a place and a buffer of its own, which are freed once the result was read. If it cannot be
//!   read in time, they are never freed (`Drop`). A value that is forgotten frees nothing either.
//! - The handle is closed after that, or by its former owner, to which `into_handle` returns it; a share of it keeps
//!   it open. Closing it ends operations in flight, and frees nothing.
//! - The number of the event is used only by those that share the event, so no other handle has it meanwhile.
#![allow(unsafe_code, reason = "overlapped operations have no safe wrapper")]

use std::fmt;
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_IO_INCOMPLETE, ERROR_IO_PENDING, ERROR_MORE_DATA, ERROR_NO_DATA,
    ERROR_OPERATION_ABORTED, ERROR_PIPE_NOT_CONNECTED, ERROR_SUCCESS, GetLastError, HANDLE,
};
use windows_sys::Win32::Storage::FileSystem::{ReadFile, WriteFile};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::ConnectNamedPipe;
use windows_sys::core::BOOL;

use super::event::Event;
use super::{length, system_code, system_error};
use crate::sys::Wait;

/// The milliseconds that a dropped operation may take to end. It takes none on a sound system.
const GRACE: u32 = 1000;

/// The result of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The code of the system.
    pub(super) code: u32,
    pub(super) bytes: usize,
}

impl Outcome {
    /// The result of an operation that moves no bytes.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        Some(Self { code: system_code(error)?, bytes: 0 })
    }

    /// Whether the other side has closed its end.
    pub(super) fn is_end(self) -> bool {
        matches!(self.code, ERROR_BROKEN_PIPE | ERROR_NO_DATA | ERROR_PIPE_NOT_CONNECTED)
    }

    /// Whether the server has disconnected the pipe, which drops the bytes that this side had not read.
    pub(super) fn is_reset(self) -> bool {
        self.code == ERROR_PIPE_NOT_CONNECTED
    }

    /// Whether it was cancelled: by us, or because the thread that began it has ended.
    pub(super) fn is_cancelled(self) -> bool {
        self.code == ERROR_OPERATION_ABORTED
    }

    /// Whether the message has more bytes than the buffer.
    pub(super) fn has_more(self) -> bool {
        self.code == ERROR_MORE_DATA
    }

    /// The bytes that were moved, or the error of the system.
    pub(super) fn moved(self) -> io::Result<usize> {
        match self.code {
            ERROR_SUCCESS | ERROR_MORE_DATA => Ok(self.bytes),
            // A write that was cancelled in its middle.
            ERROR_OPERATION_ABORTED if self.bytes > 0 => Ok(self.bytes),
            _ if self.is_end() => Err(io::ErrorKind::BrokenPipe.into()),
            code => Err(system_error(code)),
        }
    }
}

/// A handle, or a share of one, with one operation at a time.
#[derive(Debug)]
pub(super) struct Overlapped<H = OwnedHandle> {
    // In this order: what is in flight ends before the handle is closed.
    operation: Operation,
    handle: H,
}

impl<H: AsHandle> Overlapped<H> {
    /// The end of each operation sets `event`. Bytes read ahead go to a buffer of `ahead` bytes.
    pub(super) fn new(handle: H, event: Arc<Event>, ahead: usize) -> Self {
        Self { operation: Operation::new(event, ahead), handle }
    }

    pub(super) fn handle(&self) -> &H {
        &self.handle
    }

    /// The event that the end of each operation sets.
    pub(super) fn event(&self) -> &Arc<Event> {
        &self.operation.event
    }

    /// Gives the handle away, or the share of it. What is in flight is cancelled.
    pub(super) fn into_handle(self) -> H {
        self.handle
    }

    /// Begins to wait for a client of this instance.
    pub(super) fn connect(&mut self) -> Option<Outcome> {
        let handle = self.raw();
        // SAFETY: the handle is open, and the place lives until the operation is over.
        let call = |place| unsafe { ConnectNamedPipe(handle, place) };
        // SAFETY: the operation touches the place alone, and the handle is closed after it.
        unsafe { self.operation.begin(handle, call) }
    }

    /// Gives it a buffer of its own. What was in flight ends.
    pub(super) fn give_buffer(&mut self, bytes: usize) {
        self.operation = Operation::new(Arc::clone(self.event()), bytes);
    }

    /// Begins to read so many bytes at most into the buffer of its own.
    pub(super) fn read_ahead(&mut self, most: usize) -> Option<Outcome> {
        let handle = self.raw();
        let buffer = self.operation.buffer();
        let (start, len) = (buffer.cast(), length(buffer.len().min(most)));
        // SAFETY: the handle is open; place and buffer live until the operation is over, and nothing reads
        // the buffer before.
        let call = |place| unsafe { ReadFile(handle, start, len, null_mut(), place) };
        // SAFETY: the buffer lives as long as the place, and the handle is closed after the operation.
        unsafe { self.operation.begin(handle, call) }
    }

    /// The result of the operation in flight, if it has ended.
    pub(super) fn poll(&mut self) -> Option<Outcome> {
        self.operation.poll()
    }

    /// Cancels the operation in flight, if there is one, and returns its result.
    pub(super) fn give_up(&mut self) -> Option<Outcome> {
        self.operation.in_flight?;
        self.operation.cancel();
        Some(self.operation.settle())
    }

    /// The bytes read ahead, while no operation is in flight.
    pub(super) fn buffer(&self) -> &[u8] {
        if self.operation.in_flight.is_some() {
            return &[];
        }
        // SAFETY: the place lives as long as the operation, and nothing writes to its buffer: that would
        // take an operation in flight, hence `&mut self`.
        unsafe { &*self.operation.buffer().cast_const() }
    }

    /// Reads into a buffer of the caller. It is over when this returns.
    pub(super) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<Outcome> {
        let handle = self.raw();
        let (start, len) = (buf.as_mut_ptr(), length(buf.len()));
        // SAFETY: the handle is open; place and buffer live until the operation is over.
        let call = |place| unsafe { ReadFile(handle, start, len, null_mut(), place) };
        // SAFETY: `finish` returns when the operation is over, within the borrow of `buf`; the handle is
        // closed after that.
        let begun = unsafe { self.operation.begin(handle, call) };
        self.operation.finish(begun, wait, || Ok(()))
    }

    /// Writes from a buffer of the caller. It is over when this returns.
    pub(super) fn write(&mut self, buf: &[u8], wait: Wait<'_>) -> io::Result<Outcome> {
        self.write_while(buf, wait, || Ok(()))
    }

    /// Writes as `write`, and runs a function before each wait for the event. Its error ends the wait.
    pub(super) fn write_while(
        &mut self,
        buf: &[u8],
        wait: Wait<'_>,
        meanwhile: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Outcome> {
        let handle = self.raw();
        let (start, len) = (buf.as_ptr(), length(buf.len()));
        // SAFETY: the handle is open; place and buffer live until the operation is over.
        let call = |place| unsafe { WriteFile(handle, start, len, null_mut(), place) };
        // SAFETY: `finish` returns when the operation is over, within the borrow of `buf`; the handle is
        // closed after that.
        let begun = unsafe { self.operation.begin(handle, call) };
        self.operation.finish(begun, wait, meanwhile)
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.operation.in_flight.is_some()
    }

    fn raw(&self) -> HANDLE {
        self.handle.as_handle().as_raw_handle()
    }
}

#[cfg(feature = "tokio")]
impl<H: AsHandle> Overlapped<H> {
    /// Begins to write from the buffer of its own, to which as many of the bytes go as there is room for.
    pub(super) fn write_behind(&mut self, bytes: &[u8]) -> Option<Outcome> {
        self.give_up();
        let handle = self.raw();
        // SAFETY: nothing is in flight, so the buffer is ours alone.
        let buffer = unsafe { &mut *self.operation.buffer() };
        let len = bytes.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        let (start, len) = (buffer.as_ptr(), length(len));
        // SAFETY: the handle is open; place and buffer live until the operation is over.
        let call = |place| unsafe { WriteFile(handle, start, len, null_mut(), place) };
        // SAFETY: the buffer lives as long as the place, and the handle is closed after the operation.
        unsafe { self.operation.begin(handle, call) }
    }

    /// What is being written from the buffer of its own begins with this.
    pub(super) fn behind(&self) -> &[u8] {
        // SAFETY: the place lives as long as the operation. The system only reads what it writes out, and
        // we change it only when nothing is in flight, with `&mut self`.
        unsafe { &*self.operation.buffer().cast_const() }
    }
}

impl<H: AsHandle> AsHandle for Overlapped<H> {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

/// What the system writes to while an operation is in flight. It is reached by pointers alone.
struct OperationState {
    overlapped: OVERLAPPED,
    buffer: Box<[u8]>,
    /// The event lives as long as what sets it.
    _event: Arc<Event>,
}

/// A place for one operation after the other, and the handle of the one in flight.
pub(super) struct Operation {
    place: NonNull<OperationState>,
    event: Arc<Event>,
    in_flight: Option<HANDLE>,
}

// SAFETY: an operation may be waited for and cancelled by any thread: nothing here belongs to one.
unsafe impl Send for Operation {}
// SAFETY: a shared reference only reads, and only while the system does not write.
unsafe impl Sync for Operation {}

impl Operation {
    pub(super) fn new(event: Arc<Event>, buffer: usize) -> Self {
        let place = Box::new(OperationState {
            overlapped: OVERLAPPED::default(),
            buffer: vec![0; buffer].into(),
            _event: Arc::clone(&event),
        });
        Self { place: NonNull::from(Box::leak(place)), event, in_flight: None }
    }

    /// Begins an operation with the given call. Returns its result, if it ended at once.
    ///
    /// # Safety
    ///
    /// The call begins one operation on `handle` with the place that it is given, and reports as the
    /// system does. The handle stays open, and whatever else the operation touches lives, until the
    /// operation is over or this is dropped.
    pub(super) unsafe fn begin(
        &mut self,
        handle: HANDLE,
        call: impl FnOnce(*mut OVERLAPPED) -> BOOL,
    ) -> Option<Outcome> {
        if self.in_flight.is_some() {
            // One at a time: the last one is cancelled.
            self.cancel();
            self.settle();
        }
        let fresh = OVERLAPPED { hEvent: self.event.as_raw(), ..OVERLAPPED::default() };
        // SAFETY: nothing is in flight, so the place is ours alone.
        unsafe { self.overlapped().write(fresh) };
        if call(self.overlapped()) == 0 {
            // SAFETY: it only reads a value of this thread.
            match unsafe { GetLastError() } {
                ERROR_IO_PENDING => {
                    self.in_flight = Some(handle);
                    return None;
                }
                ERROR_MORE_DATA => {}
                code => return Some(Outcome { code, bytes: 0 }),
            }
        }
        self.in_flight = Some(handle);
        self.poll()
    }

    /// Waits until the operation is over, and runs a function before each wait for the event. If the wait
    /// ends first, the operation is cancelled; if the operation was faster, its result counts.
    fn finish(
        &mut self,
        begun: Option<Outcome>,
        wait: Wait<'_>,
        mut meanwhile: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Outcome> {
        if let Some(outcome) = begun {
            return Ok(outcome);
        }
        // Should the other work panic, the operation is over before the caller has its buffer back.
        let unfinished = Unfinished(self);
        loop {
            let ready = meanwhile();
            if let Some(outcome) = unfinished.0.poll() {
                return Ok(outcome);
            }
            if let Err(ended) = ready.and_then(|()| unfinished.0.event.wait(wait)) {
                unfinished.0.cancel();
                let outcome = unfinished.0.settle();
                let in_vain = outcome.is_cancelled() && outcome.bytes == 0;
                return if in_vain { Err(ended) } else { Ok(outcome) };
            }
        }
    }

    /// The result of the operation in flight, as the system wrote it; `None` while it has not ended.
    pub(super) fn poll(&mut self) -> Option<Outcome> {
        let handle = self.in_flight?;
        let mut bytes = 0;
        // SAFETY: the operation was begun with this handle and this place, and both are still there.
        let done = unsafe { GetOverlappedResult(handle, self.overlapped(), &raw mut bytes, 0) };
        let code = if done != 0 {
            ERROR_SUCCESS
        } else {
            // SAFETY: it only reads a value of this thread.
            unsafe { GetLastError() }
        };
        if code == ERROR_IO_INCOMPLETE {
            return None;
        }
        self.in_flight = None;
        Some(Outcome { code, bytes: usize::try_from(bytes).unwrap_or(usize::MAX) })
    }

    fn cancel(&self) {
        if let Some(handle) = self.in_flight {
            // SAFETY: the handle is open as long as the operation is in flight. It fails where the
            // operation is over already.
            unsafe { CancelIoEx(handle, self.overlapped()) };
        }
    }

    /// Waits for the end of an operation that was cancelled.
    fn settle(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.poll() {
                return outcome;
            }
            // The next poll finds the result as well, if the wait fails, or another thread consumes the event.
            let _ = self.event.wait_for(1);
        }
    }

    fn overlapped(&self) -> *mut OVERLAPPED {
        // SAFETY: the place lives as long as `self`; this is an address, no access.
        unsafe { &raw mut (*self.place.as_ptr()).overlapped }
    }

    fn buffer(&self) -> *mut [u8] {
        // SAFETY: the place lives as long as `self`, and nothing replaces the box in it.
        let buffer = unsafe { &raw mut (*self.place.as_ptr()).buffer };
        // SAFETY: as above; what the system may be writing is behind the box, not in it.
        unsafe { &raw mut **buffer }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.cancel();
        for _ in 0..GRACE {
            if self.in_flight.is_none() || self.poll().is_some() {
                break;
            }
            let _ = self.event.wait_for(1);
        }
        if self.in_flight.is_some() {
            // A leak is better than a hang, or than memory that the system writes to after it is freed.
            return;
        }
        // SAFETY: the place came from a box, and nothing that is in flight knows its address.
        drop(unsafe { Box::from_raw(self.place.as_ptr()) });
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

/// An operation that ends with the call that waits for it.
struct Unfinished<'a>(&'a mut Operation);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.0.in_flight.is_some() {
            self.0.cancel();
            self.0.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::Foundation::{
        ERROR_ACCESS_DENIED, ERROR_BAD_PIPE, ERROR_FILE_NOT_FOUND, ERROR_PIPE_BUSY,
        ERROR_PIPE_CONNECTED, ERROR_SEM_TIMEOUT,
    };

    use super::*;

    #[test]
    fn c15_codes_of_the_system() {
        let outcome = |code, bytes| Outcome { code, bytes };
        for (code, kind) in [
            (ERROR_ACCESS_DENIED, Some(io::ErrorKind::PermissionDenied)),
            (ERROR_BROKEN_PIPE, Some(io::ErrorKind::BrokenPipe)),
            (ERROR_FILE_NOT_FOUND, Some(io::ErrorKind::NotFound)),
            (ERROR_NO_DATA, Some(io::ErrorKind::BrokenPipe)),
            (ERROR_PIPE_NOT_CONNECTED, Some(io::ErrorKind::BrokenPipe)),
            (ERROR_SEM_TIMEOUT, Some(io::ErrorKind::TimedOut)),
            // These have no kind of their own.
            (ERROR_BAD_PIPE, None),
            (ERROR_OPERATION_ABORTED, None),
            (ERROR_PIPE_BUSY, None),
            (ERROR_PIPE_CONNECTED, None),
        ] {
            let error = outcome(code, 0).moved().unwrap_err();
            match kind {
                Some(kind) => assert_eq!(error.kind(), kind, "{code}"),
                None => assert_eq!(system_code(&error), Some(code)),
            }
        }
        assert_eq!(outcome(ERROR_SUCCESS, 3).moved().unwrap(), 3);
        assert_eq!(outcome(ERROR_MORE_DATA, 3).moved().unwrap(), 3);
        assert_eq!(outcome(ERROR_OPERATION_ABORTED, 3).moved().unwrap(), 3);
        assert!(outcome(ERROR_MORE_DATA, 3).has_more());
    }
}
