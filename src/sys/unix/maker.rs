//! Whether this is still the process that made something, or a forked child with a copy of it.
//!
//! The number of a process does not tell: the child of the first process of a container may be the first process of
//! another one. So on Linux a page of memory that the kernel clears in each forked child keeps the generation of a
//! process among its ancestors.

use std::process;

/// The process that made something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Maker {
    process: u32,
    generation: u64,
}

impl Maker {
    pub(crate) fn this() -> Self {
        let generation = mark::generation();
        // No other process has the same generation, if it has one.
        let process = if generation == 0 { process::id() } else { 0 };
        Self { process, generation }
    }

    /// Whether it is this process.
    pub(crate) fn is_this(self) -> bool {
        self == Self::this()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod mark {
    #![allow(
        unsafe_code,
        reason = "a page that forked children do not inherit has no safe wrapper"
    )]

    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    /// The word at the start of the page, [`REFUSED`] if there is none, and null before it is asked for.
    static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

    /// Stands for a page where the kernel clears none: there the number of the process must do.
    static REFUSED: AtomicU64 = AtomicU64::new(0);

    /// The generation of the last process among the ancestors and this one. A child has a copy.
    static LAST: AtomicU64 = AtomicU64::new(0);

    /// The length of the page, which the kernel rounds up.
    const LEN: usize = 4096;

    /// The generation of this process, which none of its ancestors and descendants has.
    pub(super) fn generation() -> u64 {
        let word = word();
        match word.load(Ordering::Relaxed) {
            _ if ptr::eq(word, &raw const REFUSED) => 0,
            0 => {
                let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
                // Another thread may be first.
                let stored = word.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
                stored.map_or_else(|first| first, |_| next)
            }
            known => known,
        }
    }

    fn word() -> &'static AtomicU64 {
        let mut word = WORD.load(Ordering::Acquire);
        if word.is_null() {
            let made = make();
            word = made.unwrap_or_else(|| (&raw const REFUSED).cast_mut());
            let first = ptr::null_mut();
            // No lock, which a forked child might find taken for ever.
            if let Err(other) =
                WORD.compare_exchange(first, word, Ordering::AcqRel, Ordering::Acquire)
            {
                if let Some(made) = made {
                    // SAFETY: `make` has just mapped it, and no other thread has got it.
                    let _ = unsafe { munmap(made.cast(), LEN) };
                }
                word = other;
            }
        }
        // SAFETY: it points to `REFUSED`, or to the start of a page of zeros or of a generation, which is aligned, valid for
        // an `AtomicU64` and never unmapped once it is in `WORD`; it is accessed as an atomic alone.
        unsafe { &*word }
    }

    /// Maps the page, if the kernel clears it in forked children.
    fn make() -> Option<*mut AtomicU64> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses an address at which nothing is mapped.
        let page =
            unsafe { mmap_anonymous(ptr::null_mut(), LEN, access, MapFlags::PRIVATE) }.ok()?;
        // SAFETY: the page was mapped above; the advice changes nothing in this process.
        if unsafe { madvise(page, LEN, Advice::LinuxWipeOnFork) }.is_err() {
            // SAFETY: as above, and nothing refers to it.
            let _ = unsafe { munmap(page, LEN) };
            return None;
        }
        Some(page.cast())
    }
}

/// The other systems have no numbers of processes that depend on who asks.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod mark {
    pub(super) fn generation() -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_made_what_it_made() {
        let maker = Maker::this();
        assert!(maker.is_this());
        let threads = [(); 4].map(|()| std::thread::spawn(Maker::this));
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == maker));
        if cfg!(target_os = "linux") {
            assert!(maker.generation > 0);
        }
        // A child of the same number.
        assert!(!Maker { generation: maker.generation + 1, ..maker }.is_this());
    }
}
