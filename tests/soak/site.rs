//! What the supervisor knows: the processes that are there, how long it goes on, and what was done to them.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::gauge::Gauge;
use crate::ledger::Ledger;
use crate::process::names;

pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) seed: u64,
    failed: AtomicBool,
    present: Mutex<BTreeMap<u64, Present>>,
    done: Mutex<BTreeMap<&'static str, Done>>,
    pub(crate) gauge: Mutex<Gauge>,
}

/// A process that is there.
#[derive(Clone)]
pub(crate) struct Present {
    pub(crate) what: String,
    pub(crate) id: u32,
    pub(crate) actors: Range<u64>,
    /// How many descriptors it may have, if it lasts as long as the soak.
    pub(crate) lasts: Option<u64>,
}

/// What was done to the processes of a load.
#[derive(Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) started: u64,
    pub(crate) kills: u64,
    pub(crate) tokens: u64,
}

impl Site {
    pub(crate) fn new(folder: &Path, seed: u64) -> Self {
        let site = Self {
            folder: folder.to_owned(),
            ledger: Arc::new(Ledger::create(&folder.join("ledger"))),
            seed,
            failed: AtomicBool::new(false),
            present: Mutex::default(),
            done: Mutex::default(),
            gauge: Mutex::default(),
        };
        fs::create_dir(names(folder)).unwrap();
        fs::create_dir(site.temporary()).unwrap();
        site
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.folder.join("temporary")
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ledger.is_over()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Runs a load. Where it fails, the others come to their end too.
    pub(crate) fn run(&self, load: fn(&Self)) {
        struct Failing<'a>(&'a Site);
        impl Drop for Failing<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    self.0.failed.store(true, Ordering::Relaxed);
                }
            }
        }
        let _failing = Failing(self);
        load(self);
    }

    pub(crate) fn count(&self, load: &'static str, count: impl FnOnce(&mut Done)) {
        count(lock(&self.done).entry(load).or_default());
    }

    pub(crate) fn done(&self, load: &'static str) -> Done {
        lock(&self.done).get(load).copied().unwrap_or_default()
    }

    pub(crate) fn enter(&self, present: Present) {
        lock(&self.present).insert(present.actors.start, present);
    }

    pub(crate) fn leave(&self, actor: u64, id: u32) {
        let mut present = lock(&self.present);
        // Its place may be taken by now.
        if present.get(&actor).is_some_and(|process| process.id == id) {
            present.remove(&actor);
        }
    }

    pub(crate) fn present(&self) -> Vec<Present> {
        lock(&self.present).values().cloned().collect()
    }

    /// The names that are left in the folders.
    pub(crate) fn names_left(&self) -> Vec<PathBuf> {
        let folders = [names(&self.folder), self.temporary()];
        let entries = folders.into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
