//! What cannot be tested here, counted, and listed when the test program ends.

use std::fmt::Display;
use std::io::Write;
use std::process::abort;
use std::sync::Mutex;
use std::thread;

static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes that the test of this thread, or a part of it, cannot run here.
pub(crate) fn skipped(reason: impl Display) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let mut skipped = SKIPPED.lock().unwrap();
    if skipped.is_empty() && atexit(list) != 0 {
        abort();
    }
    skipped.push(format!("{test}: {reason}"));
}

/// Not by `eprintln`, whose words the harness would keep to itself.
extern "C" fn list() {
    if let Ok(mut skipped) = SKIPPED.lock() {
        skipped.sort();
        let lines = skipped.iter().map(|line| format!("    {line}\n")).collect::<String>();
        let _ = write!(std::io::stderr(), "\nskipped here: {}\n{lines}\n", skipped.len());
    }
}

// SAFETY: the standard says so of `atexit`, which any thread may call, and which keeps no more than this function.
#[allow(unsafe_code, reason = "only the C library calls something when a process ends")]
unsafe extern "C" {
    /// The C library calls it when the process ends, after all tests.
    safe fn atexit(last: extern "C" fn()) -> std::ffi::c_int;
}
