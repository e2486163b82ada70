//! What each process has done so far, in a file: it is there after a kill.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What is counted for each actor. An actor is a process, or a thread or a task of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Whatever is a step forward and is counted nowhere else.
    Steps,
    Messages,
    Bytes,
    Connections,
    Handles,
    /// Calls that were answered, also with the error that was asked for.
    Calls,
    /// Calls that were given up: their time had passed, or their future was dropped.
    GivenUp,
    /// Messages and calls that a kill took.
    Taken,
    /// Errors that told a receiver of a message that a kill took.
    Told,
    /// The life that the actor is in, from 1 on.
    Life,
    /// Up to which life all has come.
    Settled,
    /// Up to which life all is over, said to a process by the supervisor; `NO_MORE` for all.
    Gone,
    DescriptorsBefore,
    DescriptorsAfter,
}

/// What is noted for each life of an actor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Note {
    /// So many messages or calls were begun.
    Begun,
    /// So many of them were sent or answered for sure.
    Done,
    /// So many of them were never delivered, and that is known.
    Undelivered,
    /// So many calls were given up, and may have been handled.
    Unsure,
    /// So many of them the other side has had.
    Handled,
    /// So many of those are over there too; 1 where the other side knows that all is.
    Over,
    /// 1 where the life came to its own end.
    Ended,
    /// The bytes of the items that a caller has sent in its present call, and that its handler has.
    Up,
    Down,
    /// The numbers of the first one and of the last one that the other side has had.
    First,
    Last,
    /// The process of this life.
    Process,
}

/// For [`Count::Gone`]: nothing comes any more.
pub(crate) const NO_MORE: u64 = u64::MAX;

const ACTORS: u64 = 100;
const COUNTS: u64 = 16;
const NOTES: u64 = 12;

pub(crate) struct Ledger(File);

impl Ledger {
    pub(crate) fn create(path: &Path) -> Self {
        Self(File::options().read(true).write(true).create_new(true).open(path).unwrap())
    }

    pub(crate) fn open(path: &Path) -> Self {
        Self(File::options().read(true).write(true).open(path).unwrap())
    }

    /// Whether all shall come to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.get(0) > 0
    }

    pub(crate) fn end(&self) {
        self.set(0, 1);
    }

    pub(crate) fn count(&self, actor: u64, count: Count) -> u64 {
        self.get(count_at(actor, count as u64))
    }

    pub(crate) fn set_count(&self, actor: u64, count: Count, value: u64) {
        self.set(count_at(actor, count as u64), value);
    }

    /// All counts of an actor: as long as it goes forward, they change.
    pub(crate) fn page(&self, actor: u64) -> [u64; COUNTS as usize] {
        let mut page = [0; COUNTS as usize];
        for (count, value) in (0..).zip(&mut page) {
            *value = self.get(count_at(actor, count));
        }
        page
    }

    pub(crate) fn note(&self, actor: u64, life: u64, note: Note) -> u64 {
        self.get(note_at(actor, life, note))
    }

    pub(crate) fn set_note(&self, actor: u64, life: u64, note: Note, value: u64) {
        self.set(note_at(actor, life, note), value);
    }

    fn get(&self, place: u64) -> u64 {
        let mut value = [0; 8];
        // What nobody has written is 0, also beyond the end of the file.
        let read = self.0.read_at(&mut value, place * 8).unwrap();
        assert!(read == 8 || read == 0);
        u64::from_ne_bytes(value)
    }

    fn set(&self, place: u64, value: u64) {
        self.0.write_all_at(&value.to_ne_bytes(), place * 8).unwrap();
    }
}

fn count_at(actor: u64, count: u64) -> u64 {
    assert!(actor < ACTORS && count < COUNTS);
    1 + actor * COUNTS + count
}

fn note_at(actor: u64, life: u64, note: Note) -> u64 {
    assert!(actor < ACTORS);
    1 + ACTORS * COUNTS + (life * ACTORS + actor) * NOTES + note as u64
}

/// One actor's part of the ledger, which it alone writes to.
pub(crate) struct Book {
    ledger: Arc<Ledger>,
    pub(crate) actor: u64,
    pub(crate) life: u64,
    /// What was counted by this life, and by those before.
    page: Mutex<[u64; COUNTS as usize]>,
}

impl Book {
    pub(crate) fn open(ledger: &Arc<Ledger>, actor: u64, life: u64) -> Self {
        ledger.set_count(actor, Count::Life, life);
        let page = Mutex::new(ledger.page(actor));
        Self { ledger: Arc::clone(ledger), actor, life, page }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn add(&self, count: Count, more: u64) {
        let mut page = self.page.lock().unwrap();
        let value = &mut page[count as usize];
        *value += more;
        self.ledger.set_count(self.actor, count, *value);
    }

    pub(crate) fn note(&self, note: Note, value: u64) {
        self.ledger.set_note(self.actor, self.life, note, value);
    }
}
