//! Memory of a file, seen by this process.
#![allow(unsafe_code, reason = "memory is mapped")]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// The whole of a file that this process has made, and that no other process has been given yet: to be written to.
#[derive(Debug)]
pub(super) struct Writable(Mapping);

impl Writable {
    pub(super) fn new(file: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        let mapping = Mapping::new(file, len, ProtFlags::READ | ProtFlags::WRITE, flags)?;
        if len > 0 {
            // A child forked off meanwhile would keep its view, and with it the file from being sealed. Where the advice
            // is not taken, sealing waits.
            // SAFETY: the pages are those just mapped; this process sees them as before.
            let _ = unsafe { madvise(mapping.base.as_ptr().cast(), len, Advice::LinuxDontFork) };
        }
        Ok(Self(mapping))
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping has `len` readable and writable bytes, all initialized, since the file began with zeros.
        // The slice borrows `self`, the only way to them in this process: no other mapping of the file is made while a
        // `Writable` exists. No other process was given the file.
        unsafe { slice::from_raw_parts_mut(self.0.base.as_ptr(), self.0.len) }
    }
}

/// The whole of a file that cannot change.
#[derive(Debug)]
pub(super) struct Frozen(Mapping);

impl Frozen {
    /// # Safety
    ///
    /// The file must have at least `len` bytes and be sealed against writing and shrinking.
    pub(super) unsafe fn new(file: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        // Private, as before 6.7 Linux lets no process map such a file shared. Nothing is written, so nothing is copied.
        Ok(Self(Mapping::new(file, len, ProtFlags::READ, MapFlags::PRIVATE)?))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has `len` readable bytes. By the contract of `new` no process can change them, this one
        // included: sealed against writing, the file has no writable view, and gets none.
        unsafe { slice::from_raw_parts(self.0.base.as_ptr(), self.0.len) }
    }
}

/// Addresses of this process, which are given back when it is dropped.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the addresses belong to the whole process, and this value owns them as a `Box<[u8]>` does.
unsafe impl Send for Mapping {}

// SAFETY: as above; what is written is written through a `&mut Writable`.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(
        file: BorrowedFd<'_>,
        len: usize,
        access: ProtFlags,
        flags: MapFlags,
    ) -> io::Result<Self> {
        if len == 0 {
            return Ok(Self { base: NonNull::dangling(), len });
        }
        // SAFETY: the kernel is free to choose the place, so no memory in use is replaced.
        let base = unsafe { mmap(ptr::null_mut(), len, access, flags, file, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: this is what `new` has mapped, and no reference into it is left.
            let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
        }
    }
}
