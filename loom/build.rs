//! Takes the protocol of shared memory from the crate, as it is, and makes mutants of it, each with one fault.

use std::path::Path;
use std::{env, fs};

const SOURCE: &str = "../src/sys/unix/shared_memory/protocol.rs";

/// The name of a mutant, and what it has in place of what.
const MUTANTS: [(&str, &str, &str); 6] = [
    (
        "publisher_without_fence",
        "bool {\n    fence(Ordering::SeqCst);",
        "bool {",
    ),
    (
        "waiter_without_fence",
        "sleeps.store(sleep, Ordering::Relaxed);\n    fence(Ordering::SeqCst);",
        "sleeps.store(sleep, Ordering::Relaxed);",
    ),
    ("load_without_fence", "    fence(Ordering::Acquire);\n", ""),
    (
        "relaxed_publication",
        "count.store(new, Ordering::Release)",
        "count.store(new, Ordering::Relaxed)",
    ),
    ("sleep_that_is_not_said", ".wrapping_add(1) | 1", ".wrapping_add(2) & !1"),
    ("wakes_once_for_all", "sleep == *woken", "*woken != 0"),
];

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    let source = fs::read_to_string(SOURCE).expect("the protocol is not where it was");
    // What is included in a module may have no docs of a file.
    let source: String =
        source.lines().filter(|line| !line.starts_with("//!")).map(|line| format!("{line}\n")).collect();
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    let write = |name: &str, text: &str| {
        fs::write(Path::new(&out).join(format!("{name}.rs")), text).expect("it can be written");
    };
    write("as_it_is", &source);
    for (name, from, to) in MUTANTS {
        assert_eq!(source.matches(from).count(), 1, "{name}: the protocol has changed");
        write(name, &source.replace(from, to));
    }
}
