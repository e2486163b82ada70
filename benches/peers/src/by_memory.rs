//! The ceiling of shared memory: two counts and four places in a file, with nothing between. No message has a header, nothing is
//! checked, and neither side ever sleeps.
#![expect(unsafe_code, reason = "two processes share memory here, and trust each other")]

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::hint::{black_box, spin_loop};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use tempfile::NamedTempFile;

use crate::message::touch;
use crate::round::{Done, Round};

/// Of these, one is free: three payloads may be on their way, as in a ring for four of them with their headers.
const PLACES: u64 = 4;

/// Before the places: each count has lines of its own.
const COUNTS: usize = 4096;

/// Receives payloads, and looks at none of them.
pub(crate) fn receive_unread<const LEN: usize>(round: &Round) -> Done<f64> {
    receive::<LEN>(round, |payload| {
        black_box(payload.len());
    })
}

/// Receives payloads, and looks at each cache line where it lies.
pub(crate) fn receive_in_place<const LEN: usize>(round: &Round) -> Done<f64> {
    receive::<LEN>(round, |payload| {
        black_box(touch(payload));
    })
}

/// Copies each payload out, and looks at each cache line of the copy.
pub(crate) fn receive_copies<const LEN: usize>(round: &Round) -> Done<f64> {
    let mut copy = vec![0; LEN];
    receive::<LEN>(round, |payload| {
        copy.copy_from_slice(payload);
        black_box(touch(&copy));
    })
}

fn receive<const LEN: usize>(round: &Round, mut take: impl FnMut(&[u8])) -> Done<f64> {
    let file = NamedTempFile::new_in("/dev/shm")?;
    file.as_file().set_len(u64::try_from(COUNTS)? + PLACES * u64::try_from(LEN)?)?;
    let memory = Memory::new(file.as_file())?;
    let path = file.path().to_str().ok_or("the folder has a name that is no text")?;
    let mut pace = round.start(16, &[path])?;
    let mut taken = 0;
    while pace.goes_on() {
        while memory.sent().load(Ordering::Acquire) == taken {
            spin_loop();
        }
        // SAFETY: the other side writes to this place again once it is told that this payload is taken.
        take(unsafe { slice::from_raw_parts(memory.place(taken, LEN), LEN) });
        taken += 1;
        memory.taken().store(taken, Ordering::Release);
    }
    Ok(pace.rate())
}

/// Makes payloads of `LEN` bytes in place.
pub(crate) fn send<const LEN: usize>(told: &[String]) -> Done<Infallible> {
    let path = told.first().ok_or("no path")?;
    let memory = Memory::new(&OpenOptions::new().read(true).write(true).open(path)?)?;
    let mut sent = 0;
    for number in (0..=u8::MAX).cycle() {
        while sent - memory.taken().load(Ordering::Acquire) == PLACES - 1 {
            spin_loop();
        }
        // SAFETY: the other side looks at this place again once it is told that this payload is there.
        let payload = unsafe { slice::from_raw_parts_mut(memory.place(sent, LEN), LEN) };
        payload.fill(black_box(number));
        sent += 1;
        memory.sent().store(sent, Ordering::Release);
    }
    unreachable!("it is a cycle")
}

/// The two counts, and the places behind them.
struct Memory(MmapRaw);

impl Memory {
    fn new(file: &File) -> Done<Self> {
        Ok(Self(MmapOptions::new().populate().map_raw(file)?))
    }

    fn sent(&self) -> &AtomicU64 {
        self.count(0)
    }

    fn taken(&self) -> &AtomicU64 {
        self.count(256)
    }

    fn count(&self, place: usize) -> &AtomicU64 {
        assert!(place + 8 <= COUNTS && COUNTS <= self.0.len());
        // SAFETY: it is mapped, aligned, and accessed by atomic operations alone.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().add(place).cast()) }
    }

    /// Where the payload of such a number lies.
    fn place(&self, number: u64, len: usize) -> *mut u8 {
        let begin = COUNTS + usize::try_from(number % PLACES).unwrap_or(0) * len;
        assert!(begin + len <= self.0.len());
        // SAFETY: it is within the mapping.
        unsafe { self.0.as_mut_ptr().add(begin) }
    }
}
