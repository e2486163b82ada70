//! Listeners that mean harm, written in Python: every command ends in time, and prints no control character of theirs.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use super::{Folder, Other, complaints, out, run, until_there};

fn listener(mode: &str, path: &Path) -> Other {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/hostile.py");
    let listener =
        Other(Command::new("python3").arg(program).args([mode]).arg(path).spawn().unwrap());
    until_there(path);
    listener
}

/// Whether a terminal would do something else with it than show it. What is printed has been changed by the program, so
/// this says it in its own words.
fn is_quiet(text: &str) -> bool {
    let acts = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    !text.contains(acts)
}

#[track_caller]
fn is_harmless(mode: &str, args: &[&str], output: &Output) {
    assert!(is_quiet(out(output)), "{mode}, {args:?}: {:?}", out(output));
    assert!(is_quiet(complaints(output)), "{mode}, {args:?}: {:?}", complaints(output));
    assert!(output.status.code().is_some_and(|code| code < 10), "{mode}, {args:?}: {output:?}");
}

/// The codes of `ask`, and of `call x`.
fn codes(mode: &str) -> [i32; 2] {
    codes_within(mode, ["20"; 2], "20")
}

/// The same, with the seconds that each of them waits for what is said, and `call` for the answer.
fn codes_within(mode: &str, [timeout, of_call]: [&str; 2], deadline: &str) -> [i32; 2] {
    let folder = Folder::new();
    let path = folder.name("hostile");
    let _listener = listener(mode, &path);
    let mut codes = [0; 2];
    let asked: [&[&str]; 3] = [
        &["ask", "--timeout", timeout],
        &["--json", "ask", "--timeout", timeout],
        &["ask", "--json-schema", "--timeout", timeout],
    ];
    for args in asked {
        let output = run(args, &path, "");
        is_harmless(mode, args, &output);
        codes[0] = output.status.code().unwrap();
    }
    // The path stands before the words.
    let name = path.to_str().unwrap();
    let args = ["call", "--timeout", of_call, "--deadline", deadline, name];
    let output = run(&args, Path::new("x"), "");
    is_harmless(mode, &args, &output);
    codes[1] = output.status.code().unwrap();
    for args in
        [&["listen", "--count", "2", "--timeout", timeout][..], &["send", "--timeout", timeout]]
    {
        is_harmless(mode, args, &run(args, &path, "\"x\"\n"));
    }
    for args in ["who", "clean"] {
        is_harmless(mode, &[args], &run(&[args], &path, ""));
    }
    assert!(path.exists());
    codes
}

#[test]
fn one_that_does_not_say_its_terms_is_left_in_time() {
    for mode in ["silent", "half", "slow", "undescribed"] {
        assert_eq!(codes_within(mode, ["0.3"; 2], "20"), [1, 7], "{mode}");
    }
}

#[test]
fn one_that_says_nothing_is_said_to_make_no_handshake() {
    let folder = Folder::new();
    let path = folder.name("hostile");
    let _listener = listener("silent", &path);
    for args in [["ask", "--timeout", "0.3"], ["listen", "--timeout", "0.3"]] {
        let output = run(&args, &path, "");
        let said = complaints(&output);
        assert!(said.contains("has not done its part of the handshake"), "{args:?}: {said}");
    }
}

#[test]
fn one_that_speaks_a_session_is_said_to() {
    let folder = Folder::new();
    let path = folder.name("hostile");
    let _listener = listener("session", &path);
    let asked = run(&["ask"], &path, "");
    assert!(out(&asked).contains("\nspeaks    a session"), "{asked:?}");
    let asked = run(&["--json", "ask"], &path, "");
    assert!(out(&asked).contains(r#""speaks":"session""#), "{asked:?}");
    let listened = run(&["listen"], &path, "");
    assert!(complaints(&listened).contains("it speaks a session"), "{listened:?}");
}

#[test]
fn one_that_says_something_else_is_no_listener_and_no_service() {
    assert_eq!(codes("foreign"), [1, 7]);
    assert_eq!(codes("refused"), [1, 7]);
    assert_eq!(codes_within("wire", ["0.5", "20"], "20"), [1, 1]);
    assert_eq!(codes("messages"), [0, 7]);
}

#[test]
fn names_and_words_of_a_service_are_no_controls() {
    assert_eq!(codes("names"), [0, 3]);
    assert_eq!(codes("error"), [0, 5]);
    assert_eq!(codes("panic"), [0, 5]);
    assert_eq!(codes("no method"), [0, 6]);
    assert_eq!(codes("undecodable"), [0, 6]);
}

#[test]
fn answers_that_do_not_tell_what_they_are_are_shown_as_digits_or_refused() {
    assert_eq!(codes("untold"), [0, 3]);
    for mode in ["strange", "cut", "no shape"] {
        assert_eq!(codes(mode), [0, 1], "{mode}");
    }
}

#[test]
fn shapes_that_are_huge_or_hold_themselves_take_no_time() {
    for mode in ["huge", "option", "list", "struct", "tuple", "map", "array"] {
        let begun = Instant::now();
        let [ask, call] = codes(mode);
        assert!(ask == 0 && call == 6, "{mode}: {ask}, {call}");
        assert!(begun.elapsed().as_secs() < 60 * u64::from(super::patience()), "{mode}");
    }
}

#[test]
fn a_call_without_an_end_ends_at_its_deadline() {
    assert_eq!(codes_within("never", ["20"; 2], "0.5"), [0, 8]);
    assert_eq!(codes_within("flood", ["20"; 2], "0.5"), [0, 8]);
}
