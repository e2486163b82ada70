//! What the system can refuse: each call of each scenario is made to fail, in each way that it can.
//!
//! This test program is started once more. Its thread is held at its system calls (`tracer.rs`), and one call of each
//! run is made to fail (`table.rs`). A run (`scenarios.rs`) fails in a way that is named, or not at all; what it was
//! given back goes on; no descriptor, thread or name is left; and the next run goes well.

mod scenarios;
mod table;
mod tracer;

use std::any::Any;
use std::arch::asm;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, fs, io, thread};

use libc::c_long;
use rustix::fs::Mode;
use rustix::process::{Pid, Signal, kill_process, umask};
use tempfile::TempDir;

use scenarios::{ALL, Run};
use tracer::{Call, Fault, Held, Tracer};

use crate::support::{comes_true, skipped, watched_for};

const FOLDER: &str = "TYPED_PIPE_TEST_FAULTS";

/// Which scenario is next? None, if the answer is negative.
const ASK: c_long = 0;
/// From here on calls may fail.
const BEGIN: c_long = 1;
/// From here on they may not.
const END: c_long = 2;
/// What became of the run.
const TELL: c_long = 3;

#[test]
fn every_call_of_the_system_may_fail() {
    watched_for(Duration::from_secs(600), || {
        if let Err(error) = Traced::start() {
            return skipped(format_args!("this system lets no process be traced: {error}"));
        }
        let only = env::var("TYPED_PIPE_TEST_SCENARIO").ok();
        let scenarios = ALL.iter().map(|(name, _)| *name).enumerate();
        let scenarios = scenarios.filter(|(_, name)| only.as_ref().is_none_or(|only| only == name));
        let scenarios = Mutex::new(scenarios);
        let (mut table, mut wrong, mut left_alone) = (String::new(), Vec::new(), BTreeSet::new());
        thread::scope(|scope| {
            let trials = [(); TRIALS].map(|()| scope.spawn(|| Trial::run_all(&scenarios)));
            for trial in trials {
                let trial = trial.join().unwrap();
                table += &trial.table;
                wrong.extend(trial.wrong);
                left_alone.extend(trial.left_alone);
            }
        });
        println!("| scenario | call | places | faults | errors | not reached |\n{table}");
        println!("calls that were left alone, by number: {left_alone:?}");
        assert!(wrong.is_empty(), "{} faults did harm:\n{}", wrong.len(), wrong.join("\n"));
    });
}

/// So many processes are tried at the same time: each waits much, for its tracer and in its scenarios.
const TRIALS: usize = 4;

/// The process that is tried with the tracer that holds it, and what was seen.
struct Trial {
    process: Traced,
    /// Calls that the table does not know.
    left_alone: BTreeSet<c_long>,
    table: String,
    wrong: Vec<String>,
}

/// A process that is held at the calls of one of its threads.
struct Traced {
    process: Child,
    tracer: Tracer,
    /// How often it was held.
    progress: Arc<AtomicU64>,
    _folder: TempDir,
}

/// What was tried at the calls of one name in one scenario.
#[derive(Default)]
struct Tried {
    sites: usize,
    faults: usize,
    errors: usize,
    missed: usize,
}

impl Trial {
    /// Tries those scenarios that no other trial has taken.
    fn run_all(scenarios: &Mutex<impl Iterator<Item = (usize, &'static str)>>) -> Self {
        let mut trial = Self {
            process: Traced::start().unwrap(),
            left_alone: BTreeSet::new(),
            table: String::new(),
            wrong: Vec::new(),
        };
        loop {
            let next = scenarios.lock().unwrap().next();
            let Some((number, name)) = next else { return trial };
            trial.try_all(number, name);
            println!("tried: {name}");
        }
    }

    /// Makes each call of a scenario fail in each way.
    fn try_all(&mut self, scenario: usize, name: &str) {
        // The first run of a process makes some calls that no later one makes.
        self.run(scenario, None);
        let (calls, told) = self.run(scenario, None);
        if told != "well" {
            return self.wrong.push(format!("{name}, with no fault: {told}"));
        }
        let mut tried: BTreeMap<&str, Tried> = BTreeMap::new();
        for (at, (call, bytes)) in calls.iter().enumerate() {
            let Some((called, codes)) = table::faults(call.number) else {
                self.left_alone.insert(call.number);
                continue;
            };
            if call.allocates || (IN_HANDSHAKE.contains(&name) && !table::makes_memory(call.number))
            {
                continue;
            }
            if call.number == libc::SYS_write && (name.ends_with("tasks") || WAKES.contains(&name))
            {
                // The runtime wakes itself by that, and panics where it cannot; other threads are woken by it.
                continue;
            }
            let tried = tried.entry(called).or_default();
            tried.sites += 1;
            for fault in faults_at(*call, *bytes, codes) {
                // Which of the calls of this number it is: where threads wait, their order changes.
                let nth =
                    calls[..at].iter().filter(|(other, _)| other.number == call.number).count();
                let (faulted, told) = self.run(scenario, Some((nth, call.number, fault)));
                let reached =
                    faulted.iter().filter(|(other, _)| other.number == call.number).count();
                if reached <= nth && told != HANGS {
                    // It went another way this time.
                    tried.missed += 1;
                    continue;
                }
                tried.faults += 1;
                tried.errors += usize::from(told != "well");
                if let Some(why) = judge(name, *call, fault, &told) {
                    let fault = in_words(fault);
                    self.wrong.push(format!("{name}, call {at} ({called}), {fault}: {why}"));
                }
            }
        }
        for (called, Tried { sites, faults, errors, missed }) in tried {
            let row = format!("| {name} | {called} | {sites} | {faults} | {errors} | {missed} |");
            writeln!(self.table, "{row}").unwrap();
        }
    }

    /// One run: the calls that may fail, up to the one that does, and what became of it.
    fn run(
        &mut self,
        scenario: usize,
        fault: Option<(usize, c_long, Fault)>,
    ) -> (Vec<(Call, Option<u64>)>, String) {
        let (mut calls, mut counts, mut has_failed) = (Vec::new(), false, false);
        loop {
            // Where no call is to fail, the process is held at its marks alone.
            let Some(held) = self.process.next(counts) else {
                self.process = Traced::start().unwrap();
                return (calls, HANGS.into());
            };
            let tracer = &self.process.tracer;
            let call = tracer.call().unwrap();
            match held {
                Held::Exit => {}
                Held::Mark => {
                    let [what, place, length] = call.arguments;
                    let what = c_long::try_from(what).unwrap();
                    let answer = if what == ASK { i64::try_from(scenario).unwrap() } else { 0 };
                    tracer.answer(answer).unwrap();
                    match what {
                        BEGIN => counts = !has_failed,
                        END => counts = false,
                        TELL => return (calls, tracer.text(place, length).unwrap()),
                        _ => {}
                    }
                }
                Held::Entry => {
                    let of_this = |(other, _): &&(Call, _)| other.number == call.number;
                    let nth = calls.iter().filter(of_this).count();
                    calls.push((call, tracer.bytes(call).unwrap()));
                    match fault {
                        Some((place, number, fault)) if place == nth && number == call.number => {
                            tracer.fail(fault).unwrap();
                            (counts, has_failed) = (false, true);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

impl Traced {
    fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut process = Command::new(env::current_exe()?)
            .args(["--exact", "faults::play", "--nocapture"])
            .env(FOLDER, folder.path())
            .env("TMPDIR", folder.path().join("temporary"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.as_mut().unwrap();
        let mut byte = [0];
        while byte[0] != crate::peer::READY {
            stdout.read_exact(&mut byte)?;
        }
        let thread = fs::read_to_string(folder.path().join("thread"))?.parse().unwrap();
        let seized = Tracer::seize(thread);
        if seized.is_err() {
            process.kill()?;
            process.wait()?;
        }
        let tracer = seized?;
        process.stdin.as_mut().unwrap().write_all(b"x")?;
        let progress = Arc::new(AtomicU64::new(0));
        watch(&process, &progress);
        Ok(Self { process, tracer, progress, _folder: folder })
    }

    /// Lets it run up to its next mark, or also to the next call and out of it; `None` where it hung, and was ended.
    fn next(&self, at_calls: bool) -> Option<Held> {
        let held = if at_calls { self.tracer.next() } else { self.tracer.next_mark() }.ok();
        self.progress.fetch_add(1, Ordering::Relaxed);
        held
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.process.kill();
        self.tracer.bury();
        let _ = self.process.wait();
    }
}

/// Ends a process that comes to no further call, until nobody holds it any more.
fn watch(process: &Child, progress: &Arc<AtomicU64>) {
    let process = Pid::from_child(process);
    let progress = Arc::downgrade(progress);
    thread::spawn(move || {
        let mut before = u64::MAX;
        while let Some(progress) = progress.upgrade() {
            let now = progress.load(Ordering::Relaxed);
            if now == before {
                let _ = kill_process(process, Signal::KILL);
                return;
            }
            before = now;
            drop(progress);
            thread::sleep(PATIENCE); // which is what ends the process
        }
    });
}

/// Of these, what the messages do is tried elsewhere.
const IN_HANDSHAKE: [&str; 2] = ["required shared memory", "shared memory in tasks"];

/// Their threads are woken by what has always room.
const WAKES: [&str; 2] = ["a broadcast", "a sender that reconnects"];

/// So long a process may take from where it is held to where it is held again: more than all waits of a scenario.
const PATIENCE: Duration = Duration::from_secs(30);

/// The faults of one call.
fn faults_at(call: Call, bytes: Option<u64>, codes: &[libc::c_int]) -> Vec<Fault> {
    let code = |code: &libc::c_int| {
        if table::is_done_first(call.number) { Fault::After(*code) } else { Fault::Instead(*code) }
    };
    let mut faults: Vec<Fault> = codes.iter().map(code).collect();
    // What is read may come in any pieces too; of large buffers, small pieces are enough.
    let lengths = 1..bytes.unwrap_or(0).min(MOST_LENGTHS);
    faults.extend(lengths.map(Fault::Short));
    faults
}

/// What became of a run that came to no end.
const HANGS: &str = "it hangs";

/// So many lengths of a part are tried.
const MOST_LENGTHS: u64 = 40;

/// What is wrong with the outcome of a run; `None` if nothing is.
fn judge(scenario: &str, call: Call, fault: Fault, told: &str) -> Option<String> {
    if told == "well" {
        return None;
    }
    let (error, harm) = told.split_once('|').unwrap_or((told, ""));
    let kind = error.split(':').next().unwrap_or_default();
    let known = match fault {
        _ if scenario == "required shared memory" && table::makes_memory(call.number) => {
            ["well", "Unsupported"].as_slice()
        }
        // Without memory, the messages go through the socket.
        _ if scenario.starts_with("shared memory") && table::makes_memory(call.number) => &["well"],
        Fault::Instead(_) if matches!(call.number, libc::SYS_clone | libc::SYS_clone3) => {
            &["well", "ResourceExhausted"]
        }
        Fault::Instead(libc::EAGAIN) => &["well", "InUse", "WouldBlock", "TimedOut", "Io"],
        // `fcntl` makes no descriptor here.
        Fault::Instead(libc::EMFILE | libc::ENFILE) if call.number != libc::SYS_fcntl => {
            &["well", "ResourceExhausted"]
        }
        // Who may not connect is told that somebody listens.
        Fault::Instead(libc::EPERM | libc::EACCES) => &["well", "InUse", "PermissionDenied"],
        Fault::Instead(libc::ENOSYS) => &["well", "Unsupported", "Io"],
        // A client that cannot read gives the connection up: the next call makes another.
        _ if scenario == "call a service" => &["well", "Disconnected", "ResourceExhausted", "Io"],
        _ => &["well", "ResourceExhausted", "Io"],
    };
    // These are no reason to fail.
    let none = matches!(fault, Fault::Instead(libc::EINTR) | Fault::After(_) | Fault::Short(_));
    let left =
        harm.starts_with("names") && !harm.contains("next try") && table::takes_away(call.number);
    (!known.contains(&kind) || none || !(harm.is_empty() || left)).then(|| told.to_owned())
}

fn in_words(fault: Fault) -> String {
    match fault {
        Fault::Instead(code) => table::name_of(code).to_owned(),
        Fault::After(code) => format!("{} after it was done", table::name_of(code)),
        Fault::Short(bytes) => format!("{bytes} bytes of it"),
    }
}

/// Not a test by itself: the process whose calls fail.
#[test]
fn play() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let names = folder.join("names");
    let temporary = folder.join("temporary");
    // What it makes is private, whatever the umask of the run.
    umask(Mode::RWXG | Mode::RWXO);
    for folder in [&names, &temporary] {
        fs::create_dir(folder).unwrap();
    }
    let thread = fs::read_link("/proc/thread-self").unwrap();
    fs::write(folder.join("thread"), thread.file_name().unwrap().as_encoded_bytes()).unwrap();
    std::panic::set_hook(Box::new(|_| {}));
    crate::peer::step(crate::peer::READY);
    crate::peer::await_go();
    let first = Open::count();
    while let Ok(scenario) = usize::try_from(mark(ASK, &[])) {
        let before = Open::settled(&first);
        let mut told = once(&names, scenario, true);
        let mut left = Open::settled(&before).since(&before);
        let files = [entries(&names), entries(&temporary)].concat();
        if !files.is_empty() {
            left.push_str(&format!("names {files:?} are left "));
        }
        let again = once(&names, scenario, false);
        if again != "well" {
            left.push_str(&format!("; the next try: {again}"));
        }
        if !left.is_empty() {
            told = format!("{told}|{left}");
        }
        for folder in [&names, &temporary] {
            fs::remove_dir_all(folder).unwrap();
            fs::create_dir(folder).unwrap();
        }
        mark(TELL, told.as_bytes());
    }
}

/// Plays a scenario once: what became of it.
fn once(names: &Path, scenario: usize, faulty: bool) -> String {
    let mut run = Run { folder: names.to_owned(), failed: None };
    FAULTY.set(faulty);
    quietly(|| ());
    let played = catch_unwind(AssertUnwindSafe(|| ALL[scenario].1(&mut run)));
    mark(END, &[]);
    match (played, run.failed) {
        (Ok(()), None) => "well".into(),
        (Ok(()), Some(error)) => format!("{:?}: {error}", error.kind()),
        (Err(panic), failed) => format!("panicked: {}; before: {failed:?}", words(&*panic)),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// What a process has.
struct Open {
    descriptors: usize,
    threads: usize,
}

impl Open {
    fn count() -> Self {
        use crate::peer::count;
        // In this order: a thread that is gone has closed what it had.
        let threads = count("/proc/self/task");
        Self { descriptors: count("/proc/self/fd"), threads }
    }

    /// What it has when the threads that were joined are gone, which takes the system a moment.
    fn settled(before: &Self) -> Self {
        let mut now = Self::count();
        comes_true(Duration::from_secs(10), || {
            now = Self::count();
            now.threads <= before.threads
        });
        now
    }

    fn since(&self, before: &Self) -> String {
        let mut left = String::new();
        if self.descriptors != before.descriptors {
            left += &format!("{} descriptors, before {} ", self.descriptors, before.descriptors);
        }
        if self.threads != before.threads {
            left += &format!("{} threads, before {} ", self.threads, before.threads);
        }
        left
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Does what is no part of the scenario: none of its calls fails.
pub(super) fn quietly<T>(act: impl FnOnce() -> T) -> T {
    mark(END, &[]);
    let done = act();
    if FAULTY.get() {
        mark(BEGIN, &[]);
    }
    done
}

thread_local! {
    /// Whether calls may fail in this run.
    static FAULTY: Cell<bool> = const { Cell::new(false) };
}

/// Tells the tracer something by a trap: its answer.
#[allow(unsafe_code, reason = "a trap is no function of any library")]
fn mark(what: c_long, words: &[u8]) -> c_long {
    let answer: c_long;
    // SAFETY: the trap changes nothing but `rax`, by the tracer, which reads the words, which live over it.
    unsafe {
        asm!("int3", inlateout("rax") 0_i64 => answer, in("rdi") what, in("rsi") words.as_ptr(), in("rdx") words.len(), options(nostack));
    }
    answer
}
