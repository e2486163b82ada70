//! What the tests have in common: a watchdog, names, and eyes on the file system.

#[path = "skipped.rs"]
mod skipped;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, abort};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use skipped::skipped;

/// Runs a test that may hang, and ends the process if it does.
pub(crate) fn watched<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    watched_for(Duration::from_secs(60), test)
}

/// Runs a test that takes its time, and ends the process if it takes more: `TYPED_PIPE_TEST_PATIENCE` times as much
/// where that is set, for runs under tools that make everything slow.
pub(crate) fn watched_for<T: Send + 'static>(
    limit: Duration,
    test: impl FnOnce() -> T + Send + 'static,
) -> T {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let (done, wait) = channel();
    let runner = thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            let result = test();
            let _ = done.send(());
            result
        })
        .unwrap();
    if wait.recv_timeout(limit * patience()) == Err(RecvTimeoutError::Timeout) {
        // Not `eprintln`, whose words the harness would keep to itself.
        let _ = writeln!(io::stderr(), "{name} hangs");
        abort();
    }
    runner.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How many times as much time a test may take, where the machine is busy or a tool makes it slow.
pub(crate) fn patience() -> u32 {
    std::env::var("TYPED_PIPE_TEST_PATIENCE").map_or(1, |times| times.parse().unwrap())
}

/// Waits until something is so that nobody says, and fails where it never is.
#[track_caller]
pub(crate) fn until(so: impl FnMut() -> bool) {
    assert!(comes_true(Duration::from_secs(50), so), "what is waited for does not come");
}

/// Whether something that nobody says is so in time.
pub(crate) fn comes_true(time: Duration, mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time * patience();
    while !so() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(1)); // between two looks
    }
    true
}

/// Does something until it fails, and returns the error.
///
/// What a test has closed stays open for a moment in a child that a test beside it starts, until that child is another
/// program.
pub(crate) fn until_it_fails<T, E>(mut attempt: impl FnMut() -> Result<T, E>) -> E {
    loop {
        if let Err(error) = attempt() {
            return error;
        }
    }
}

/// Starts a program, twice more at most where Wine fails to.
///
/// On a busy machine a start in some thousands ends there in an internal error; those of the standard library alone too.
pub(crate) fn started(command: &mut Command) -> io::Result<Child> {
    const ERROR_INTERNAL_ERROR: i32 = 1359;
    let fails = |error: &io::Error| error.raw_os_error() == Some(ERROR_INTERNAL_ERROR);
    for _ in 0..2 {
        let started = command.spawn();
        if !(cfg!(windows) && started.as_ref().is_err_and(fails)) {
            return started;
        }
    }
    command.spawn()
}

/// Calls until a client has noticed that its service has left, and connects anew: under Wine that takes a while, in which
/// calls still go there.
#[cfg(all(feature = "service", feature = "tokio"))]
pub(crate) async fn until_it_has_noticed<T>(
    client: &typed_pipe::Client<
        T,
        T,
        typed_pipe::wire::LengthPrefixed,
        typed_pipe::wire::Postcard,
        typed_pipe::Tokio,
    >,
    request: &T,
) where
    T: typed_pipe::Sendable + typed_pipe::Receivable + std::fmt::Debug,
{
    let time = Duration::from_millis(200);
    let connects = |late: typed_pipe::Error| late.to_string().contains("still connecting");
    while !connects(client.call_timeout(request, time).await.unwrap_err()) {}
}

/// Threads of this process of which one can see that they wait.
///
/// Linux tells of each thread whether it sleeps. Elsewhere, threads that have begun get a moment to come to their wait.
#[derive(Clone, Default)]
pub(crate) struct Waiters(Arc<Mutex<Vec<Arc<OnceLock<PathBuf>>>>>);

impl Waiters {
    /// The thread that calls this.
    pub(crate) fn this() -> Self {
        let waiters = Self::default();
        waiters.with(|| ())();
        waiters
    }

    /// What a thread is to do that is one of these.
    pub(crate) fn with<T, F: FnOnce() -> T>(&self, work: F) -> impl FnOnce() -> T + use<T, F> {
        let thread = Arc::new(OnceLock::new());
        self.0.lock().unwrap().push(Arc::clone(&thread));
        move || {
            // No other system has this link.
            thread.set(std::fs::read_link("/proc/thread-self").unwrap_or_default()).unwrap();
            work()
        }
    }

    /// Waits until each of them has begun, and sleeps or has ended.
    #[track_caller]
    pub(crate) fn asleep(&self) {
        let threads = self.0.lock().unwrap().clone();
        until(|| threads.iter().all(|thread| thread.get().is_some_and(|thread| sleeps(thread))));
        if !cfg!(target_os = "linux") {
            thread::sleep(Duration::from_millis(20)); // the moment
        }
    }

    /// Waits until each of them has been at work for so long, from now on.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn work_for(&self, time: Duration) {
        let threads = self.0.lock().unwrap().clone();
        for thread in threads.iter().map(|thread| thread.get().unwrap()) {
            let before = worked(thread);
            let works = || worked(thread) >= before + time;
            assert!(comes_true(Duration::from_secs(10), works), "it does not work");
        }
    }
}

/// How much time a thread has had on processors, by the clock of the system, which is a coarse one.
#[cfg(target_os = "linux")]
fn worked(thread: &Path) -> Duration {
    let about = std::fs::read_to_string(Path::new("/proc").join(thread).join("stat")).unwrap();
    let fields: Vec<&str> = about.rsplit(')').next().unwrap().split_whitespace().collect();
    // Behind the name, these are the twelfth and the thirteenth, in hundredths of a second.
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// Whether a thread sleeps in the system, as far as that tells.
fn sleeps(thread: &Path) -> bool {
    // Wine shows the files of Linux, which are not those of its threads.
    if !cfg!(target_os = "linux") {
        return true;
    }
    let about = std::fs::read_to_string(Path::new("/proc").join(thread).join("stat"));
    // Behind the name of the thread, which may be anything, stands what it does.
    about.map_or(true, |about| about.rsplit(')').next().unwrap().starts_with(" S"))
}

/// Waits until no other task of this runtime goes on, or for a second. It has one thread, which sleeps while none can.
///
/// A timer of a millisecond wakes that thread up to three times; tasks that are at work wake it far more often.
#[cfg(feature = "tokio")]
pub(crate) async fn settled() {
    let runtime = tokio::runtime::Handle::current();
    assert_eq!(runtime.runtime_flavor(), tokio::runtime::RuntimeFlavor::CurrentThread);
    let sleeps = || runtime.metrics().worker_park_count(0);
    for _ in 0..500 {
        let before = sleeps();
        tokio::time::sleep(Duration::from_millis(1)).await; // between two looks
        if (1..=3).contains(&(sleeps() - before)) {
            return;
        }
    }
}

/// Starts a task, and waits until it does: it has been polled, and is not done.
#[cfg(feature = "tokio")]
pub(crate) async fn pending<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (polled, begun) = tokio::sync::oneshot::channel::<()>();
    let (mut future, mut polled) = (Box::pin(future), Some(polled));
    let task = tokio::spawn(std::future::poll_fn(move |cx| {
        let poll = future.as_mut().poll(cx);
        drop(polled.take());
        poll
    }));
    let _ = begun.await;
    assert!(!task.is_finished());
    task
}

/// Whether this is Wine, which takes a second owner of a name for the first. What is not tested there is noted.
pub(crate) fn wine_lets_a_name_have_two_owners() -> bool {
    let is_wine = cfg!(windows) && Path::new(r"C:\windows\system32\winecfg.exe").exists();
    if is_wine {
        skipped("Wine lets a name have two owners");
    }
    is_wine
}

/// The path of a socket as other programs can take it: an address has no more than 108 bytes, whatever the folder for
/// temporary files is. It leads there as long as this process lives.
pub(crate) fn short(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    #[cfg(target_os = "linux")]
    if path.as_os_str().len() >= 108 {
        use std::os::fd::IntoRawFd;
        let folder = std::fs::File::open(path.parent().unwrap()).unwrap().into_raw_fd();
        let place = format!("/proc/{}/fd/{folder}", std::process::id());
        return Path::new(&place).join(path.file_name().unwrap());
    }
    path.to_owned()
}

/// Lets no other user write to a file or a folder that was made just now, whatever the umask.
#[cfg(unix)]
pub(crate) fn keep_private(path: impl AsRef<Path>) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o755;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A private place for the names of one test. On Windows, where pipes lie in no folder, it makes the
/// names unique.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self::inside(&std::env::temp_dir())
    }

    /// One whose names others can bind a socket to, whatever the folder for temporary files is.
    #[cfg(unix)]
    pub(crate) fn of_short_names() -> Self {
        let place = std::env::temp_dir();
        Self::inside(if place.as_os_str().len() > 60 { Path::new("/tmp") } else { &place })
    }

    fn inside(place: &Path) -> Self {
        #[cfg_attr(windows, allow(unused_mut, reason = "there a folder has no mode"))]
        let mut folder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Whatever the umask: a folder that others may write to is refused.
            folder.permissions(std::fs::Permissions::from_mode(0o700));
        }
        Self(folder.tempdir_in(place).unwrap())
    }

    pub(crate) fn name(&self, name: &str) -> PathBuf {
        if cfg!(windows) {
            let unique = self.0.path().file_name().unwrap();
            return PathBuf::from(format!("typed-pipe-test-{}-{name}", unique.to_str().unwrap()));
        }
        self.0.path().join(name)
    }

    /// What is in the folder: on Windows, never anything.
    pub(crate) fn entries(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}
