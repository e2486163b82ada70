//! Takes files of the crate as they are, and makes mutants of them, each with one fault.

use std::path::Path;
use std::{env, fs};

/// A file of the crate.
struct Source {
    name: &'static str,
    path: &'static str,
    /// What the model has in place of what the system gives.
    stand_ins: &'static [(&'static str, &'static str)],
    /// The name of a mutant, and what it has in place of what.
    mutants: &'static [(&'static str, &'static str, &'static str)],
}

const SOURCES: [Source; 5] = [
    Source {
        name: "protocol",
        path: "../src/sys/unix/shared_memory/protocol.rs",
        stand_ins: &[],
        mutants: &[
            ("publisher_without_fence", "bool {\n    fence(Ordering::SeqCst);", "bool {"),
            (
                "waiter_without_fence",
                "sleeps.store(sleep, Ordering::Relaxed);\n    fence(Ordering::SeqCst);",
                "sleeps.store(sleep, Ordering::Relaxed);",
            ),
            ("load_without_fence", "    fence(Ordering::Acquire);\n    seen", "    seen"),
            (
                "relaxed_publication",
                "count.store(new, Ordering::Release)",
                "count.store(new, Ordering::Relaxed)",
            ),
            ("sleep_that_is_not_said", ".wrapping_add(1) | 1", ".wrapping_add(2) & !1"),
            ("wakes_once_for_all", "sleep == *woken", "*woken != 0"),
            (
                "grown_before_the_switch",
                "    switch.store(position, Ordering::Relaxed);\n    publish(grown, 1);",
                "    publish(grown, 1);\n    switch.store(position, Ordering::Relaxed);",
            ),
            ("grown_relaxed", "publish(grown, 1)", "grown.store(1, Ordering::Relaxed)"),
            (
                "switch_without_fence",
                "    fence(Ordering::Acquire);\n    Some(switch",
                "    Some(switch",
            ),
        ],
    },
    Source {
        name: "lead",
        path: "../src/service/lead.rs",
        stand_ins: &[],
        mutants: &[
            (
                "lead_set_outside_the_lock",
                "    heir.waiter.signals().set(LEAD);\n    drop(state);\n",
                "    drop(state);\n    heir.waiter.signals().set(LEAD);\n",
            ),
            ("lead_that_is_kept", "        state.turns().leading = false;\n", ""),
            (
                "lead_that_no_other_inherits",
                "    hand_on(link, link.lock());\n    heard(",
                "    link.lock().turns().leading = false;\n    heard(",
            ),
            (
                "leaves_with_the_lead",
                "if state.turns().leave(waiter) {",
                "if { state.turns().leave(waiter); false } {",
            ),
            (
                "leaves_and_keeps_its_place",
                "        self.unpark(waiter);\n        waiter.signals().take(LEAD) != 0",
                "        waiter.signals().take(LEAD) != 0",
            ),
            ("leaves_without_writing", "is_last || told & LOOK != 0", "is_last"),
            (
                "sleeps_without_looking",
                "    if waiter.signals().has_news() {\n        return None;\n    }\n    if state.is_lost",
                "    if state.is_lost",
            ),
            (
                "looks_twice",
                "if told & (NEWS | LOOK) != 0",
                "if signals.told.load(Ordering::SeqCst) & (NEWS | LOOK) != 0",
            ),
            (
                "looks_before_it_counts_the_wakes",
                "spot.lot.park(spot.number, wakes, until)",
                "spot.lot.park(spot.number, spot.lot.wakes(), until)",
            ),
            ("two_at_a_spot", "        self.taken += 1;\n", ""),
            (
                "told_and_still_an_heir",
                "self.parked.remove(at).map(|parked| parked.spot)",
                "self.parked.get(at).map(|parked| parked.spot.clone())",
            ),
            (
                "returns_without_hearing",
                "news.unwrap_or_else(|| wait(link, waiter, until))",
                "news.unwrap_or(true)",
            ),
            ("is_never_counted_off", "set(NEWS | COUNTED)", "set(NEWS)"),
            ("the_last_does_not_write", "is_last || told & LOOK != 0", "told & LOOK != 0"),
            (
                "what_is_queued_waits_for_ever",
                "rung().is_empty() && state.has_output()",
                "rung().is_empty() && false",
            ),
            (
                "who_reads_last_leaves_it_unwritten",
                "        if may_write(link, &state) {\n            link.write_queued(state, L::now(), None);\n        }\n",
                "",
            ),
        ],
    },
    Source {
        name: "busy",
        path: "../src/service/busy.rs",
        stand_ins: &[],
        mutants: &[
            (
                "ends_the_handler_of_another",
                "self.since.compare_exchange(begun, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok()",
                "self.since.swap(0, Ordering::SeqCst) == begun",
            ),
            (
                "both_read_on",
                "self.since.compare_exchange(begun, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok()",
                "self.since() == Some(begun) && { self.since.store(0, Ordering::SeqCst); true }",
            ),
            (
                "begins_before_it_is_seen",
                "self.since.store(now, Ordering::SeqCst);\n        !self.watched.swap(true, Ordering::SeqCst)",
                "let add = !self.watched.swap(true, Ordering::SeqCst);\n        self.since.store(now, Ordering::SeqCst);\n        add",
            ),
            (
                "let_go_without_a_second_look",
                "self.since().is_none() || self.watched.swap(true, Ordering::SeqCst)",
                "true",
            ),
            (
                "let_go_by_a_store",
                "self.watched.swap(false, Ordering::SeqCst)",
                "self.watched.store(false, Ordering::SeqCst)",
            ),
        ],
    },
    Source {
        name: "watch",
        path: "../src/service/watch.rs",
        stand_ins: &[
            (
                "use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};\nuse std::thread;\n",
                "use loom::sync::{Condvar, Mutex, MutexGuard};\nuse std::sync::{Arc, PoisonError};\nuse super::thread;\n",
            ),
            // It lets go soon, as what comes after that is what matters.
            ("const STILL: u32 = 20;", "const STILL: u32 = 1;"),
        ],
        mutants: &[
            (
                "added_while_the_watch_sleeps",
                "push((watched, 0));\n        self.changed.notify_one();",
                "push((watched, 0));",
            ),
            (
                "closed_while_the_watch_sleeps",
                "state.watched.clear();\n        self.changed.notify_one();",
                "state.watched.clear();",
            ),
        ],
    },
    Source {
        name: "pool",
        path: "../src/service/pool.rs",
        stand_ins: &[(
            "use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};\nuse std::thread::{Builder, Scope};\n",
            "use loom::sync::{Condvar, Mutex, MutexGuard};\nuse std::sync::{Arc, PoisonError};\nuse super::thread::{Builder, Scope};\n",
        )],
        mutants: &[
            (
                "one_thread_for_two_tasks",
                "            queue.idle -= 1;\n            queue.called += 1;\n",
                "            queue.called += 1;\n",
            ),
            ("no_thread_is_called", "            self.work.notify_one();\n", ""),
        ],
    },
];

fn main() {
    for source in SOURCES {
        make(&source);
    }
}

fn make(source: &Source) {
    let Source { name, path, stand_ins, mutants } = source;
    println!("cargo::rerun-if-changed={path}");
    let text = fs::read_to_string(path).expect("the file is not where it was");
    let text = text.split("#[cfg(test)]\nmod tests {").next().expect("there is a first part");
    // What is included in a module may have no docs of a file.
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("//!"))
        .map(|line| format!("{line}\n"))
        .collect();
    let replaced = |text: &str, of: &str, from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{path}, {of}: the file has changed");
        text.replace(from, to)
    };
    let text = stand_ins.iter().fold(text, |text, (from, to)| replaced(&text, from, from, to));
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    let write = |mutant: &str, text: &str| {
        fs::write(Path::new(&out).join(format!("{name}_{mutant}.rs")), text)
            .expect("it can be written");
    };
    write("as_it_is", &text);
    for (mutant, from, to) in *mutants {
        write(mutant, &replaced(&text, mutant, from, to));
    }
}
