//! The processes of the soak: this test program once more, in a role.

use std::env;
use std::fs;
use std::ops::Range;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, abort};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

use crate::content::Dice;
use crate::ledger::{Book, Count, Ledger};
use crate::site::{Present, Site};

const ROLE: &str = "TYPED_PIPE_SOAK_ROLE";
const FOLDER: &str = "TYPED_PIPE_SOAK_FOLDER";
const ACTOR: &str = "TYPED_PIPE_SOAK_ACTOR";
const LIFE: &str = "TYPED_PIPE_SOAK_LIFE";
const SEED: &str = "TYPED_PIPE_SOAK_ROLE_SEED";
const PARENT: &str = "TYPED_PIPE_SOAK_PARENT";

/// A process that plays a role. It is killed when nobody holds it any more.
pub(crate) struct Process<'a> {
    site: &'a Site,
    load: &'static str,
    child: Child,
    what: String,
    actors: Range<u64>,
}

impl<'a> Process<'a> {
    /// Starts a process that lasts as long as the soak, and may have so many descriptors.
    pub(crate) fn lasting(
        site: &'a Site,
        load: &'static str,
        role: &str,
        actors: Range<u64>,
        most_descriptors: u64,
    ) -> Self {
        Self::spawn(site, load, role, actors, 1, Some(most_descriptors))
    }

    /// Starts a life of some actors.
    pub(crate) fn start(
        site: &'a Site,
        load: &'static str,
        role: &str,
        actors: Range<u64>,
        life: u64,
    ) -> Self {
        Self::spawn(site, load, role, actors, life, None)
    }

    fn spawn(
        site: &'a Site,
        load: &'static str,
        role: &str,
        actors: Range<u64>,
        life: u64,
        lasts: Option<u64>,
    ) -> Self {
        let role = format!("{load} {role}");
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "play", "--nocapture"])
            .env(ROLE, &role)
            .env(FOLDER, &site.folder)
            .env(ACTOR, actors.start.to_string())
            .env(LIFE, life.to_string())
            .env(SEED, (site.seed ^ (actors.start << 40) ^ (life << 20)).to_string())
            .env(PARENT, std::process::id().to_string())
            .env("TMPDIR", site.temporary())
            // Of many arenas, those of threads that have ended keep a part of their memory, and another part each time.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let id = child.id();
        site.enter(Present { what: role.clone(), id, actors: actors.clone(), lasts });
        site.count(load, |done| done.started += 1);
        Self { site, load, child, what: role, actors }
    }

    /// The first of its actors, by which it is told things.
    pub(crate) fn actor(&self) -> u64 {
        self.actors.start
    }

    /// Kills it, in the middle of whatever it does, unless it has come to its end by now.
    pub(crate) fn kill(&mut self) {
        if !self.has_ended() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            self.site.count(self.load, |done| done.kills += 1);
        }
    }

    /// Holds it up for a while, unless it has come to its end by now.
    pub(crate) fn suspend(&mut self, time: Duration) {
        if self.has_ended() {
            return;
        }
        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::STOP).unwrap();
        thread::sleep(time);
        kill_process(id, Signal::CONT).unwrap();
        self.site.count(self.load, |done| done.tokens += 1);
    }

    /// Whether it has come to its own end, which must be a good one.
    pub(crate) fn has_ended(&mut self) -> bool {
        let Some(status) = self.child.try_wait().unwrap() else { return false };
        assert!(status.success(), "{} failed: {status}", self.what);
        true
    }

    /// It must go on until all shall end.
    pub(crate) fn lasts(&mut self) {
        assert!(!self.has_ended() || self.site.is_over(), "{} ended too early", self.what);
    }

    /// Waits for its own end.
    pub(crate) fn join(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{} failed: {status}", self.what);
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.site.leave(self.actors.start, self.child.id());
    }
}

/// What a process knows of itself.
pub(crate) struct Player {
    pub(crate) role: String,
    pub(crate) book: Arc<Book>,
    pub(crate) dice: Dice,
    ledger: Arc<Ledger>,
    folder: PathBuf,
}

impl Player {
    /// This process, if it plays a role. It ends with its supervisor, whatever ends that.
    pub(crate) fn new() -> Option<Self> {
        let role = env::var(ROLE).ok()?;
        let number = |name| env::var(name).unwrap().parse::<u64>().unwrap();
        set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
        let parent = getppid().map(|id| id.as_raw_nonzero().get().to_string());
        assert_eq!(parent, env::var(PARENT).ok(), "the supervisor is gone");
        let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
        let ledger = Arc::new(Ledger::open(&folder.join("ledger")));
        let book = Arc::new(Book::open(&ledger, number(ACTOR), number(LIFE)));
        Some(Self { role, book, dice: Dice::new(number(SEED)), ledger, folder })
    }

    pub(crate) fn name(&self, name: &str) -> PathBuf {
        names(&self.folder).join(name)
    }

    /// The book of another actor of this process.
    pub(crate) fn book_of(&self, actor: u64) -> Book {
        self.book_in(actor, self.book.life)
    }

    /// That of an actor whose lives are not those of its process.
    pub(crate) fn book_in(&self, actor: u64, life: u64) -> Book {
        Book::open(&self.ledger, actor, life)
    }

    /// Plays each of these actors of this process in a thread of its own.
    pub(crate) fn in_threads(
        &mut self,
        actors: Range<u64>,
        play: impl Fn(&Self, Book, Dice) + Sync,
    ) {
        let actors: Vec<_> = actors.map(|actor| (actor, self.dice.another())).collect();
        let (player, play) = (&*self, &play);
        thread::scope(|scope| {
            for (actor, dice) in actors {
                scope.spawn(move || play(player, player.book_of(actor), dice));
            }
        });
    }

    /// Up to which life the supervisor says that all is over.
    pub(crate) fn gone(&self) -> u64 {
        self.ledger.count(self.book.actor, Count::Gone)
    }

    /// Plays, and notes how many descriptors there are before that, and after.
    pub(crate) fn counting_descriptors(&mut self, play: impl FnOnce(&mut Self)) {
        let before = descriptors("self");
        self.book.add(Count::DescriptorsBefore, before);
        play(self);
        // The thread of a sender that reconnects may end a little later than the sender.
        let begun = Instant::now();
        while descriptors("self") > before && begun.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(10));
        }
        self.book.add(Count::DescriptorsAfter, descriptors("self"));
    }
}

/// Ends the process at the first panic, in whatever thread: the crate's own go on after one.
pub(crate) fn abort_on_panic() {
    let told = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        told(panic);
        abort();
    }));
}

/// Ends a process that is there, before the supervisor ends in the middle of everything.
pub(crate) fn end(process: &Present) {
    if let Some(id) = process.id.try_into().ok().and_then(Pid::from_raw) {
        let _ = kill_process(id, Signal::KILL);
    }
}

/// How many descriptors a process has. To look takes one, in the process that looks.
pub(crate) fn descriptors(process: &str) -> u64 {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).map(Iterator::count);
    entries.unwrap_or(0).try_into().unwrap()
}

/// Where the names of all pipes are, and nothing else.
pub(crate) fn names(folder: &Path) -> PathBuf {
    folder.join("names")
}
