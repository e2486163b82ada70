//! The crate inside of a program whose `main` is C's: SIGPIPE is deadly there.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use skipped::skipped;

#[path = "it/skipped.rs"]
mod skipped;

#[test]
fn a23_a_reader_that_is_gone_does_not_kill_the_host() {
    if !Command::new("cc").arg("--version").output().is_ok_and(|cc| cc.status.success()) {
        skipped("there is no C compiler");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("host");
    let library = build_library(&folder);
    let program = folder.join("main");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host/main.c");
    let mut cc = Command::new("cc");
    cc.arg(source).arg("-o").arg(&program);
    if cfg!(target_os = "linux") {
        cc.arg("-ldl");
    }
    assert!(cc.status().unwrap().success());
    let status = Command::new(program).arg(library).status().unwrap();
    assert!(status.success(), "the host ended with {status}");
}

/// Builds the library for C, in a package of its own.
fn build_library(folder: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(folder).unwrap();
    let manifest = format!(
        "[package]\nname = \"host\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [lib]\npath = {:?}\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\ntyped-pipe = {{ path = {root:?} }}\n\n[workspace]\n",
        root.join("tests/host/lib.rs"),
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // The same versions as here, which are there already.
    let _ = fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"));
    let status = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--target-dir"])
        .arg(folder.join("target"))
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(status.success());
    let (start, end) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    folder.join(format!("target/debug/{start}host{end}"))
}
