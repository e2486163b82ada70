//! The laws that the compiler holds: each program in `ui-tests/fail` breaks one, and does not compile;
//! and with the feature `session` each one in `ui-tests/session`.

use std::process::Command;

use skipped::skipped;

#[path = "it/skipped.rs"]
mod skipped;

/// The compiler whose words are kept in the `.stderr` files.
const PINNED: &str = "rustc 1.95.0 ";

#[test]
fn the_compiler_holds_the_laws() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = match Command::new(rustc).arg("--version").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => error.to_string(),
    };
    if cfg!(windows) || !version.starts_with(PINNED) {
        // The laws themselves are also in the docs, as programs that do not compile.
        skipped(format_args!("the words of {PINNED}are kept, and this is {}", version.trim()));
        return;
    }
    if cfg!(feature = "tokio") {
        skipped("with the feature tokio, the compiler lists the ends of tasks too");
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.pass("ui-tests/pass/*.rs");
    cases.compile_fail("ui-tests/fail/*.rs");
    if cfg!(feature = "session") {
        cases.compile_fail("ui-tests/session/*.rs");
    }
}
