//! The memory of a ring: a file of which one process writes, and others only read.
//!
//! First come the words, on a page of their own, and then the ring. The ring is mapped twice in a row, so that any part of
//! it lies in one piece. Behind it there may be a larger one, which has no memory until it is [used](Ours::grow).
#![allow(unsafe_code, reason = "memory is mapped, and read while another process writes to it")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

use rustix::fs::{SealFlags, fcntl_add_seals, fcntl_get_seals, fstat};
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use rustix::param::page_size;

use super::atomic::AtomicU32;
use super::{file, layout};
use crate::error::Obstacle;

/// Memory that this process alone writes to.
#[derive(Debug)]
pub(super) struct Ours(Mapping);

impl Ours {
    /// Makes memory for a ring, which no other process will ever be able to write to, and its file, for the peer. It grows to
    /// a ring of so many bytes, or not, if that is 0.
    pub(super) fn create(ring: usize, grown: usize) -> io::Result<(Self, OwnedFd)> {
        let file = file::create_with(control() + ring, grown)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let mapping = Mapping::new(file.as_fd(), ring, grown, access)?;
        if grown > 0 {
            // Whether this system can make memory accessible in this way.
            mapping.populate(0, control(), Advice::LinuxPopulateWrite)?;
        }
        match fcntl_add_seals(&file, SEALS.union(SealFlags::SEAL)) {
            Err(Errno::INVAL) => Err(refused("this kernel lacks a seal (Linux 5.1 has it)")),
            sealed => Ok(sealed.map(|()| (Self(mapping), file))?),
        }
    }

    #[inline(always)]
    pub(super) fn word(&self, place: usize) -> &AtomicU32 {
        self.0.word(place)
    }

    /// The ring that is used first.
    pub(super) fn first(&self) -> Part {
        self.0.first
    }

    /// Whether there is a part to grow to.
    pub(super) fn can_grow(&self) -> bool {
        self.0.large.is_some()
    }

    /// Makes the memory of the large part: all of it, or an error.
    pub(super) fn grow(&self) -> io::Result<Part> {
        self.0.grow(Advice::LinuxPopulateWrite)
    }

    /// Asks the processor for the lines in which a small message from a position of the ring on will lie, to write to them.
    /// Where it has none of them alone, that takes time.
    #[inline(always)]
    pub(super) fn claim(&self, part: Part, position: u32) {
        let (first, _) = self.0.at(part, position);
        claim(first);
    }

    /// The bytes from a position of the ring on, at most as many as it has.
    ///
    /// # Safety
    ///
    /// Nothing may write to these bytes in this process meanwhile.
    #[inline(always)]
    pub(super) unsafe fn bytes(&self, part: Part, position: u32, len: usize) -> &[u8] {
        let (first, size) = self.0.at(part, position);
        // SAFETY: `at` is within the first of the two views, so `size` bytes from there on are mapped, readable and
        // writable, and were zeros at first. Nothing writes to them in this process, as the caller promises. Other
        // processes have no writable view, and get none: the file was sealed before it was passed on.
        unsafe { slice::from_raw_parts(first, len.min(size)) }
    }

    /// The same, to be written to.
    ///
    /// # Safety
    ///
    /// Nothing else may look at these bytes or write to them in this process meanwhile.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the caller has the exclusive right to them")]
    pub(super) unsafe fn bytes_mut(&self, part: Part, position: u32, len: usize) -> &mut [u8] {
        let (first, size) = self.0.at(part, position);
        // SAFETY: as in `bytes`; they are borrowed nowhere else, as the caller promises, and no byte is in them twice, as
        // they are no longer than the ring.
        unsafe { slice::from_raw_parts_mut(first, len.min(size)) }
    }
}

/// Memory that another process writes to at any time, and this one cannot.
#[derive(Debug)]
pub(super) struct Theirs(Mapping);

impl Theirs {
    /// Maps what came from the peer, once it is proved that it keeps its size and has all of its pages, but for those of the
    /// ring that it grows to.
    pub(super) fn adopt(file: &OwnedFd, ring: usize, grown: usize) -> io::Result<Self> {
        let is_valid = |size: usize| {
            size.is_power_of_two() && (layout::SMALLEST..=layout::LARGEST).contains(&size)
        };
        if !is_valid(ring) || (grown > 0 && (!is_valid(grown) || grown <= ring)) {
            return Err(refused("the other side's ring has no valid size"));
        }
        let seals = fcntl_get_seals(file).map_err(|_| refused("what it sent is no memory"))?;
        if !seals.contains(SEALS) {
            return Err(refused("the other side's memory is not sealed"));
        }
        let stat = fstat(file)?;
        let first = u64::try_from(control() + ring).unwrap_or(u64::MAX);
        let whole = first.saturating_add(u64::try_from(grown).unwrap_or(u64::MAX));
        if u64::try_from(stat.st_size) != Ok(whole) || file::allocated(&stat) < first {
            return Err(refused("the other side's memory has another size"));
        }
        let mapping = Mapping::new(file.as_fd(), ring, grown, ProtFlags::READ)?;
        if grown > 0 {
            // The pages that are there may be others than these.
            mapping.populate(0, control() + 2 * ring, Advice::LinuxPopulateRead)?;
        }
        Ok(Self(mapping))
    }

    #[inline(always)]
    pub(super) fn word(&self, place: usize) -> &AtomicU32 {
        self.0.word(place)
    }

    /// The ring that is used first.
    pub(super) fn first(&self) -> Part {
        self.0.first
    }

    /// Whether there is a part that the other side may grow to.
    pub(super) fn can_grow(&self) -> bool {
        self.0.large.is_some()
    }

    /// Makes the large part accessible, which the other side uses now. Pages of it that it has left out are made, and stay:
    /// no access can fail later.
    pub(super) fn grow(&self) -> io::Result<Part> {
        self.0.grow(Advice::LinuxPopulateRead)
    }

    /// Copies bytes out, from a position of the ring on. They may be torn, where the other side writes meanwhile.
    #[inline(always)]
    pub(super) fn copy_out(&self, part: Part, position: u32, to: &mut [u8]) {
        let (first, size) = self.0.at(part, position);
        let len = to.len().min(size);
        // SAFETY: `len` bytes from `at` on are mapped and readable, as there are `size` of them; `to` has `len` bytes,
        // and is not part of the mapping, which no reference of this process lies in.
        unsafe { copy_shared(first, to.as_mut_ptr(), len) };
    }
}

impl Theirs {
    /// The bytes from a position of the ring on, at most as many as it has.
    ///
    /// # Safety
    ///
    /// No process may write to these bytes meanwhile.
    pub(super) unsafe fn bytes(&self, part: Part, position: u32, len: usize) -> &[u8] {
        let (first, size) = self.0.at(part, position);
        // SAFETY: `at` is within the first of the two views, so `size` bytes from there on are mapped and readable, and
        // were zeros at first; they stay mapped as long as `self`. Nothing writes to them, as the caller promises.
        unsafe { slice::from_raw_parts(first, len.min(size)) }
    }
}

/// With these no page is taken away, and no process but the one that has made the file gets a writable view of it.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE);

/// So many bytes are made accessible at once; of more, each page when it is used.
const AT_ONCE: usize = 8 << 20;

/// The pages of the words.
fn control() -> usize {
    layout::END.next_multiple_of(page_size())
}

fn refused(why: &'static str) -> io::Error {
    Obstacle::NoSharedMemory(why.to_owned()).into()
}

/// A ring of a memory, mapped twice in a row. What gives one out has made it accessible.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// How far behind the base it begins.
    begin: usize,
    /// A power of two.
    size: usize,
}

impl Part {
    #[inline(always)]
    pub(super) fn size(self) -> usize {
        self.size
    }
}

/// The words, and each ring twice in a row.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    len: usize,
    first: Part,
    /// What it grows to, if it does.
    large: Option<Part>,
}

// SAFETY: the addresses belong to the whole process, and this value owns them. What can be reached through a shared
// reference are atomic words, copies, and what the caller of an unsafe function answers for.
unsafe impl Send for Mapping {}

// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: BorrowedFd<'_>, ring: usize, grown: usize, access: ProtFlags) -> io::Result<Self> {
        let control = control();
        let len = control + 2 * ring + 2 * grown;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel is free to choose the place, so no memory in use is replaced.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), flags) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let first = Part { begin: control, size: ring };
        let large = (grown > 0).then_some(Part { begin: control + 2 * ring, size: grown });
        let mapping = Self { base, len, first, large };
        mapping.map(0, control + ring, file, 0, access, ring <= AT_ONCE)?;
        mapping.map(control + ring, ring, file, control, access, ring <= AT_ONCE)?;
        if let Some(Part { begin, .. }) = large {
            for begin in [begin, begin + grown] {
                mapping.map(begin, grown, file, control + ring, access, false)?;
            }
        }
        // What a core dump has of it says nothing. It is there all the same where the advice is not taken.
        // SAFETY: the pages are those just mapped; this process sees them as before.
        let _ = unsafe { madvise(mapping.base.as_ptr().cast(), len, Advice::LinuxDontDump) };
        Ok(mapping)
    }

    /// Maps bytes of the file from an offset on.
    fn map(
        &self,
        place: usize,
        len: usize,
        file: BorrowedFd<'_>,
        offset: usize,
        access: ProtFlags,
        at_once: bool,
    ) -> io::Result<()> {
        debug_assert!(place + len <= self.len);
        // SAFETY: the place is within the addresses that `new` has taken.
        let place = unsafe { self.base.add(place) };
        let mut flags = MapFlags::SHARED | MapFlags::FIXED;
        // What the other side has made large is not to cost this one time.
        flags.set(MapFlags::POPULATE, at_once);
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        // SAFETY: these `len` addresses are a part of those, which nothing uses yet.
        unsafe { mmap(place.as_ptr().cast(), len, access, flags, file, offset) }?;
        Ok(())
    }

    fn grow(&self, advice: Advice) -> io::Result<Part> {
        let large = self.large.ok_or(io::ErrorKind::Unsupported)?;
        self.populate(large.begin, 2 * large.size, advice)?;
        Ok(large)
    }

    /// Makes memory accessible: no access to it fails from then on.
    fn populate(&self, begin: usize, len: usize, advice: Advice) -> io::Result<()> {
        debug_assert!(begin + len <= self.len);
        // SAFETY: the place is within the mapping.
        let place = unsafe { self.base.add(begin) };
        // SAFETY: these `len` bytes are mapped, and the advice changes none of them.
        let populated = retry_on_intr(|| unsafe { madvise(place.as_ptr().cast(), len, advice) });
        populated.map_err(file::told)
    }

    #[inline(always)]
    fn word(&self, place: usize) -> &AtomicU32 {
        debug_assert!(place < layout::END && place % 4 == 0);
        // SAFETY: the place is on the first pages, by the constants of the layout, and aligned.
        let word = unsafe { self.base.add(place) };
        // SAFETY: it is mapped as long as `self`, and initialized: the file began with zeros. All accesses of this
        // process are atomic; of memory that it only reads, `Theirs` gives words to load from, for which no right to
        // write is needed.
        unsafe { word.cast::<AtomicU32>().as_ref() }
    }

    /// Where the byte of a position is, in the first view of a ring, and how many bytes are there: none, if that ring is one
    /// of another memory.
    #[inline(always)]
    fn at(&self, part: Part, position: u32) -> (*mut u8, usize) {
        let Part { begin, size } = part;
        if begin + 2 * size > self.len {
            return (self.base.as_ptr(), 0);
        }
        let place = usize::try_from(position).unwrap_or(0) & (size - 1);
        // SAFETY: it is within the mapping, as `place` is less than `size`, a power of two.
        (unsafe { self.base.add(begin + place) }.as_ptr(), size)
    }
}

#[cfg(test)]
impl Mapping {
    /// From now on there is no memory for the large part: its pages are behind the end of a file.
    fn without_large(&self) {
        let (Part { begin, size }, empty) = (self.large.unwrap(), file::create(0).unwrap());
        self.map(begin, 2 * size, empty.as_fd(), 0, ProtFlags::READ, false).unwrap();
    }
}

#[cfg(test)]
impl Ours {
    pub(super) fn without_large(&self) {
        self.0.without_large();
    }
}

#[cfg(test)]
impl Theirs {
    pub(super) fn without_large(&self) {
        self.0.without_large();
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is what `new` has mapped, and no reference into it is left.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Asks for the line of an address and for the next one, to write to them: a hint, which changes no byte.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn claim(place: *const u8) {
    if !*CLAIMS {
        return;
    }
    // SAFETY: the processor has this instruction, which reads and writes nothing, and does not fail, whatever the address.
    unsafe {
        std::arch::asm!(
            "prefetchw [{place}]",
            "prefetchw [{place} + 64]",
            place = in(reg) place,
            options(nostack, preserves_flags, readonly),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn claim(_: *const u8) {}

/// Whether the processor has an instruction that asks for a line to write to. It is asked once: in a virtual machine, that
/// takes many microseconds.
#[cfg(target_arch = "x86_64")]
static CLAIMS: LazyLock<bool> = LazyLock::new(|| {
    #[allow(unused_unsafe, reason = "it is safe in newer compilers")]
    // SAFETY: each processor of this architecture can be asked, and has this leaf, which tells of the architecture itself.
    let features = unsafe { std::arch::x86_64::__cpuid(0x8000_0001) };
    features.ecx & 1 << 8 != 0
});

/// From so many bytes on, one instruction is faster than a loop over words.
#[cfg(target_arch = "x86_64")]
const LARGE: usize = 512;

/// Copies out of memory that another process may be writing to: by accesses of which the compiler assumes nothing, so
/// that whatever comes is bytes, and no more than that.
///
/// # Safety
///
/// `len` bytes must be readable at `from`, and writable at `to`.
#[inline(always)]
unsafe fn copy_shared(from: *const u8, to: *mut u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    if len >= LARGE {
        // SAFETY: the instruction reads `len` bytes at `from` and writes them at `to`, as the caller allows; the
        // direction flag is clear wherever Rust runs.
        unsafe {
            std::arch::asm!(
                "rep movsb",
                inout("rcx") len => _, inout("rsi") from => _, inout("rdi") to => _,
                options(nostack, preserves_flags),
            );
        }
        return;
    }
    let (words, rest) = (len / 8, len / 8 * 8);
    let (from_words, to_words) = (from.cast::<Word>(), to.cast::<Word>());
    for word in 0..words {
        // SAFETY: these eight bytes are within `len`.
        let from = unsafe { from_words.add(word) };
        // SAFETY: as above.
        let to = unsafe { to_words.add(word) };
        // SAFETY: they are readable, and a word of this type may lie anywhere.
        let bytes = unsafe { from.read_volatile() };
        // SAFETY: they are writable.
        unsafe { to.write(bytes) };
    }
    for place in rest..len {
        // SAFETY: the byte is within `len`.
        let from = unsafe { from.add(place) };
        // SAFETY: as above.
        let to = unsafe { to.add(place) };
        // SAFETY: it is readable.
        let byte = unsafe { from.read_volatile() };
        // SAFETY: it is writable.
        unsafe { to.write(byte) };
    }
}

/// Eight bytes that are read at once, without alignment.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Word(u64);
