//! What the README says is so.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");

#[test]
fn its_first_program_is_the_quickstart() {
    let program = block("rust,no_run");
    assert_eq!(program, include_str!("../examples/quickstart.rs"));
}

#[test]
fn the_quickstart_prints_what_it_shows() {
    let (command, shown) = block("console").split_once('\n').unwrap();
    let arguments = command.strip_prefix("$ cargo ").unwrap().split(' ');
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), shown);
}

#[cfg(all(unix, feature = "tokio"))]
#[test]
fn ctrl_c_ends_the_telemetry_and_no_reading_is_missing() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    use rustix::process::{Pid, Signal, kill_process};

    // Cargo becomes the program.
    let mut collector = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--features", "tokio", "--example", "telemetry"])
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(collector.stdout.take().unwrap());
    let mut told = String::new();
    output.read_line(&mut told).unwrap();
    assert_eq!(told, "3 sensors, until Ctrl-C\n");
    kill_process(Pid::from_child(&collector), Signal::INT).unwrap();
    output.read_to_string(&mut told).unwrap();
    assert!(collector.wait().unwrap().success(), "{told}");
    assert!(told.ends_with("readings, none is missing\n"), "{told}");
}

/// Without its feature that program is none, so it is compiled where the docs have it.
#[test]
fn its_program_for_tasks_is_that_of_the_docs() {
    let docs = include_str!("../src/tokio/mod.rs").lines();
    let mut docs = docs.filter_map(|line| line.strip_prefix("///")).map(|line| {
        let line = line.trim();
        line.strip_prefix("# ").unwrap_or(line)
    });
    for line in block("rust,ignore").lines().map(str::trim) {
        assert!(docs.any(|other| other == line), "the docs do not have: {line}");
    }
}

#[test]
fn its_message_of_the_compiler_is_the_real_one() {
    let real = include_str!("../ui-tests/fail/open_before_allocate.stderr");
    let (_, shown) = README.split_once("```text\nerror").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    for line in shown.lines() {
        assert!(real.contains(line), "the compiler does not say: {line}");
    }
}

#[test]
fn the_tests_that_it_names_exist() {
    let refused = root().join("ui-tests/fail");
    let tests = tests();
    let mut named = 0;
    let (_, section) = README.split_once("## What you can rely on").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter_map(|row| row.strip_suffix("` |")?.rsplit_once(" | `"));
    for name in rows.flat_map(|(_, names)| names.split("` `")) {
        let refused = refused.join(name).with_extension("rs").exists();
        assert!(refused || tests.contains(&format!("fn {name}(")), "there is no test {name}");
        named += 1;
    }
    assert!(named > 40, "the table of what is shown by which test has changed its form");
}

#[test]
fn the_tests_of_the_list_of_what_goes_wrong_exist() {
    let tests = tests();
    let list = include_str!("README.md").lines();
    let list = list.filter(|line| line.starts_with("| A") || line.starts_with("| B"));
    let names = list.flat_map(|row| row.split('`').skip(1).step_by(2));
    let names: Vec<&str> = names.filter(|name| name.matches('_').count() > 3).collect();
    assert!(names.len() > 70, "the list has changed its form");
    for name in names {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

/// They were measured once, and stand in the docs.
#[test]
fn its_ratios_are_those_of_the_docs() {
    let (_, section) = README.split_once("## How fast it is").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let costs = include_str!("../docs/COSTS.md");
    let mut compared = 0;
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, row) = row.split_once('`').unwrap();
        let told = row.trim_end_matches(" |").rsplit_once("| ").unwrap().1;
        let digits = told.split_once('.').map_or(0, |(_, digits)| digits.len());
        let (_, measured) = costs.split_once(&format!("| `{name}` | ")).unwrap();
        let measured: f64 = measured.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(told, format!("{measured:.digits$}"), "{name}");
        compared += 1;
    }
    assert!(compared > 5, "the table has changed its form");
}

/// What the first block of this kind has in it.
fn block(kind: &str) -> &'static str {
    let (_, after) = README.split_once(&format!("```{kind}\n")).unwrap();
    after.split_once("```").unwrap().0
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sources in which all tests are.
fn tests() -> String {
    let mut sources = String::new();
    for folder in ["src", "tests"] {
        read_sources(&root().join(folder), &mut sources);
    }
    sources
}

fn read_sources(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension() == Some(OsStr::new("rs")) {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
