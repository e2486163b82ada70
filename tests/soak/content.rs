//! What is sent, which tells of itself, and chance.

use std::ops::Range;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A message of an actor. Its bytes follow from who sent it, and which one it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Parcel {
    pub(crate) actor: u64,
    pub(crate) life: u64,
    pub(crate) number: u64,
    filling: Vec<u8>,
}

impl Parcel {
    pub(crate) fn new(actor: u64, life: u64, number: u64, len: usize) -> Self {
        let mut filling = vec![0; len];
        fill(seed(actor, life, number), &mut filling);
        Self { actor, life, number, filling }
    }

    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.filling.len()).unwrap()
    }

    /// Whether each byte is what it was.
    pub(crate) fn is_whole(&self) -> bool {
        is(seed(self.actor, self.life, self.number), &self.filling)
    }
}

/// From which the bytes of a message follow.
pub(crate) fn seed(actor: u64, life: u64, number: u64) -> u64 {
    actor * 7919 + life * 104_729 + number
}

/// A prime: the bytes of two pages or of two messages are never the same by their place alone.
const PERIOD: usize = 262_139;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..PERIOD).map(|_| next()).collect()
});

/// Fills with the bytes of a seed.
pub(crate) fn fill(seed: u64, mut room: &mut [u8]) {
    let mut from = start(seed);
    while !room.is_empty() {
        let len = room.len().min(PERIOD - from);
        let (piece, rest) = room.split_at_mut(len);
        piece.copy_from_slice(&BYTES[from..from + len]);
        (room, from) = (rest, 0);
    }
}

/// Whether these are the bytes of a seed.
pub(crate) fn is(seed: u64, mut bytes: &[u8]) -> bool {
    let mut from = start(seed);
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(bytes.len().min(PERIOD - from));
        if *piece != BYTES[from..from + piece.len()] {
            return false;
        }
        (bytes, from) = (rest, 0);
    }
    true
}

fn start(seed: u64) -> usize {
    usize::try_from(seed.wrapping_mul(4099) % PERIOD as u64).unwrap()
}

/// Chance that comes again with the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        // Seeds that are near each other must not begin alike.
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            dice.next();
        }
        dice
    }

    /// Others, which go on by themselves.
    pub(crate) fn another(&mut self) -> Self {
        Self::new(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn from(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub(crate) fn size(&mut self, range: Range<usize>) -> usize {
        usize::try_from(self.from(range.start as u64..range.end as u64)).unwrap()
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.from(0..times) == 0
    }

    pub(crate) fn milliseconds(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.from(range))
    }

    /// Rests for a while.
    pub(crate) fn rest(&mut self, milliseconds: Range<u64>) {
        thread::sleep(self.milliseconds(milliseconds));
    }
}
