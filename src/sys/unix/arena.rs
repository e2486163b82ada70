//! Gives pages to a pipe, instead of copying into it.
//!
//! `vmsplice` puts pages of this process into a pipe: a reader copies from them, and until then any
//! change to them changes what it reads. So the pages are this module's own, never those of a caller, and
//! a given page is written to again only when it is proved that a reader has taken its bytes.
//!
//! # The proof
//!
//! The bytes of a pipe are taken in the order in which they were put into it. The running count is the number
//! of bytes that this arena has given; `FIONREAD` returns how many bytes lie in the pipe. Take a block whose last
//! byte was given when the count stood at `end`. If that byte still lies in the pipe, then so does all that
//! was given after it, which makes `1 + (count - end)` bytes at least. So if `FIONREAD` returns
//! `count - end` bytes or fewer, the whole block has been taken. The kernel takes the same lock to
//! answer as a reader holds while it copies: a byte that it does not count any more has been copied.
//!
//! Bytes of other writers in the same pipe, and bytes that this process writes to it in the usual way, make
//! `FIONREAD` larger, and never smaller: a read block may then count as unread, but never the other way
//! round. A forked child has a copy of the count, and pages of its own as soon as either of the two writes.
//!
//! A pipe whose ends were all closed forgets its bytes; but this arena belongs to an end that is open. When
//! that end is closed, the pages are unmapped. Those that lie in the pipe stay there, the kernel's alone,
//! until they are read or the pipe goes.
#![allow(unsafe_code, reason = "mappings, and giving their pages away, have no safe wrapper")]

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use rustix::param::page_size;
use rustix::pipe::{IoSliceRaw, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, vmsplice};

/// A ring of pages. Blocks of them are lent, filled, given to the pipe, and lent again when they were read.
#[derive(Debug)]
pub(super) struct Arena {
    pages: Mapping,
    /// The capacity of the pipe when this arena was made.
    pipe: usize,
    /// Where the next block may begin: at a page.
    next: usize,
    /// The bytes of the lent block that were not given yet.
    lent: Range<usize>,
    /// Whether none of that block was given: only then may it be written to.
    untouched: bool,
    /// The blocks that may lie in the pipe, the oldest first.
    given: VecDeque<Given>,
    /// How many bytes were given, in all.
    count: u64,
    /// How often in a row far smaller blocks were lent than this arena is made for. Below `IDLE_ROUNDS`.
    idle: u8,
}

/// A block that may lie in the pipe.
#[derive(Debug)]
struct Given {
    /// Where it begins: at a page.
    start: usize,
    /// What the count was when its last byte had been given.
    end: u64,
}

impl Arena {
    /// Lends a block of `before + len` bytes, in which the byte at `before` begins a page.
    ///
    /// Returns false if there is no room: the bytes in the pipe are not read yet, or there is no memory.
    pub(super) fn lend(
        arena: &mut Option<Self>,
        fd: BorrowedFd<'_>,
        before: usize,
        len: usize,
    ) -> bool {
        if arena.as_mut().is_some_and(|arena| arena.is_idle(before, len)) {
            *arena = None;
        }
        if arena.as_mut().is_some_and(|arena| arena.take(fd, before, len)) {
            return true;
        }
        let Ok(pipe) = widened(fd) else { return false };
        if arena.as_ref().is_some_and(|arena| arena.suffices(pipe, before, len)) {
            return false;
        }
        // The pages of the old one in the pipe stay there, and are never touched again.
        *arena = Self::new(pipe, before, len);
        arena.as_mut().is_some_and(|arena| arena.take(fd, before, len))
    }

    fn new(pipe: usize, before: usize, len: usize) -> Option<Self> {
        let pages = Mapping::new(wanted(pipe, before, len)?)?;
        Some(Self {
            pages,
            pipe,
            next: 0,
            lent: 0..0,
            untouched: false,
            given: VecDeque::new(),
            count: 0,
            idle: 0,
        })
    }

    /// Whether this one will have room for such a block when more is read.
    fn suffices(&self, pipe: usize, before: usize, len: usize) -> bool {
        let wanted = wanted(pipe, before, len);
        pipe <= self.pipe && wanted.is_none_or(|wanted| wanted <= self.pages.len)
    }

    /// Whether to free the memory of one large block.
    fn is_idle(&mut self, before: usize, len: usize) -> bool {
        let wanted = wanted(self.pipe, before, len).unwrap_or(usize::MAX);
        self.idle = if wanted < self.pages.len / 4 { self.idle + 1 } else { 0 };
        self.idle >= IDLE_ROUNDS
    }

    fn take(&mut self, fd: BorrowedFd<'_>, before: usize, len: usize) -> bool {
        self.lent = 0..0;
        let Some(block) = block(before, len) else { return false };
        let start = self.free(block).or_else(|| {
            self.reclaim(fd);
            self.free(block)
        });
        let Some(start) = start else { return false };
        // The bytes before fill the end of a page: `before` of them lie in front of one.
        let first = start + before.next_multiple_of(page_size()) - before;
        self.lent = first..first + before + len;
        self.next = start;
        self.untouched = true;
        true
    }

    /// Where there are so many bytes in a row of which none lies in the pipe.
    fn free(&self, block: usize) -> Option<usize> {
        let (next, end) = (self.next, self.pages.len);
        match self.given.front() {
            None => (block <= end).then_some(0),
            // What may be in the pipe lies between the oldest block and the next one,
            Some(oldest) if oldest.start < next => {
                if block <= end - next {
                    Some(next)
                } else {
                    (block <= oldest.start).then_some(0)
                }
            }
            // or around the end of the ring.
            Some(oldest) => (block <= oldest.start - next).then_some(next),
        }
    }

    /// Forgets the blocks that were read: see the proof above.
    fn reclaim(&mut self, fd: BorrowedFd<'_>) {
        let Ok(unread) = rustix::io::ioctl_fionread(fd) else { return };
        while self.given.front().is_some_and(|block| unread <= self.count - block.end) {
            self.given.pop_front();
        }
    }

    /// The lent bytes that were not given yet.
    pub(super) fn rest(&self) -> &[u8] {
        self.pages.bytes(self.lent.clone())
    }

    /// The lent bytes, mutable; empty once a part of them was given.
    pub(super) fn rest_mut(&mut self) -> &mut [u8] {
        let range = if self.untouched { self.lent.clone() } else { 0..0 };
        self.pages.bytes_mut(range)
    }

    /// Notes that `n` bytes were written to the pipe in another way.
    ///
    /// They were copied; that the page counts as given is on the safe side.
    pub(super) fn advance(&mut self, n: usize) {
        let n = n.min(self.lent.len());
        if n == 0 {
            return;
        }
        self.count = self.count.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        match self.given.back_mut() {
            Some(block) if !self.untouched => block.end = self.count,
            _ => self.given.push_back(Given { start: self.next, end: self.count }),
        }
        self.untouched = false;
        self.lent.start += n;
        self.next = self.lent.start.next_multiple_of(page_size());
    }

    /// Gives lent pages to the pipe, as many as it has room for; returns the number of bytes.
    ///
    /// Without room for a page, it waits, or fails with `AGAIN`.
    pub(super) fn give(&mut self, fd: BorrowedFd<'_>, wait: bool) -> rustix::io::Result<usize> {
        let flags = if wait { SpliceFlags::empty() } else { SpliceFlags::NONBLOCK };
        let bytes = [IoSliceRaw::from_slice(self.rest())];
        // SAFETY: the pipe is one that this process writes to, so the kernel only reads the bytes. It may read
        // them long after this call; they lie in pages of `self.pages`, which are written to through
        // `rest_mut` alone, and that gives out no byte that was given before `take` has seen it read, by the
        // proof at the head of this file. Nor does another mapping take the place of the pages while they lie
        // in the pipe: the kernel holds the pages themselves, not their addresses.
        let given = unsafe { vmsplice(fd, &bytes, flags) }?;
        self.advance(given);
        Ok(given)
    }
}

/// Enlarges a pipe of the default size, if the system allows it; returns its capacity in bytes.
///
/// Pages go through it so fast that with 16 of them both sides do little but wake each other; many more do not stay
/// in the processor's cache. Another size was set on purpose, and stays.
fn widened(fd: BorrowedFd<'_>) -> rustix::io::Result<usize> {
    let pipe = fcntl_getpipe_size(fd)?;
    if pipe != 16 * page_size() {
        return Ok(pipe);
    }
    fcntl_setpipe_size(fd, 8 * pipe).or(Ok(pipe))
}

/// How many bytes an arena has: those that fill the pipe, and two blocks, or three where they are small; so
/// there is room again whenever all that was given has found its place in the pipe.
fn wanted(pipe: usize, before: usize, len: usize) -> Option<usize> {
    let block = block(before, len)?;
    let blocks = if block / 2 < pipe { 3 } else { 2 };
    block.checked_mul(blocks)?.checked_add(pipe)?.checked_next_multiple_of(unit())
}

/// The bytes of whole pages for `before` bytes at the end of some, and `len` bytes from the beginning of others.
fn block(before: usize, len: usize) -> Option<usize> {
    let page = page_size();
    before.checked_next_multiple_of(page)?.checked_add(len.checked_next_multiple_of(page)?)
}

const IDLE_ROUNDS: u8 = 8;

/// The unit of an arena: huge pages, of which the kernel gives and takes back the parts faster than small pages,
/// where these are not larger than those of x86-64.
fn unit() -> usize {
    if page_size() * 512 == HUGE { HUGE } else { page_size() }
}

const HUGE: usize = 2 << 20;

/// Whole pages of memory that nothing else uses.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: it is memory that this value owns, as a `Box<[u8]>` does; it is reached through references to the
// value alone.
unsafe impl Send for Mapping {}

// SAFETY: as above; nothing is written through a shared reference.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(len: usize) -> Option<Self> {
        let (access, kind) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: the kernel is free to choose the place, so no memory in use is replaced.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, access, kind) }.ok()?;
        if unit() == HUGE {
            // A kernel that has none to spare, or does not do that, gives small ones.
            // SAFETY: this advice changes nothing that can be read from the pages, which are those just mapped.
            let _ = unsafe { madvise(base, len, Advice::LinuxHugepage) };
        }
        Some(Self { base: NonNull::new(base.cast())?, len })
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        let Range { start, end } = self.within(range);
        // SAFETY: `start` is in the mapping, or at its end.
        let first = unsafe { self.base.add(start) };
        // SAFETY: the range lies in the mapping, whose bytes are initialized (the kernel made them zeros) and
        // live as long as `self`, and nothing is written to them while `self` is borrowed.
        unsafe { slice::from_raw_parts(first.as_ptr(), end - start) }
    }

    fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        let Range { start, end } = self.within(range);
        // SAFETY: `start` is in the mapping, or at its end.
        let first = unsafe { self.base.add(start) };
        // SAFETY: as in `bytes`; and `self` is borrowed for this slice alone.
        unsafe { slice::from_raw_parts_mut(first.as_ptr(), end - start) }
    }

    /// The part of a range that lies in the mapping.
    fn within(&self, Range { start, end }: Range<usize>) -> Range<usize> {
        let end = end.min(self.len);
        start.min(end)..end
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, of which no reference is left. It is not made again:
        // what the kernel still holds of it belongs to the pipe.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}
