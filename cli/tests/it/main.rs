//! `tpipe` against programs of typed-pipe, and one of Python: what it prints, and its exit codes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod golden;
mod hostile;
mod peer;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The role of the other process.
#[test]
fn plays_the_other_side() {
    peer::play();
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn name(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A process that is killed when the test is done with it.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Other {
    /// Starts this test program in a role.
    fn start(role: &str, path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["plays_the_other_side", "--exact", "--nocapture"]);
        command.env("TPIPE_TEST_ROLE", role).env("TPIPE_TEST_PATH", path);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// The next line that it says.
    fn says(&mut self) -> String {
        let mut line = String::new();
        let mut byte = [0];
        let said = self.0.stderr.as_mut().unwrap();
        while std::io::Read::read(said, &mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0].into());
        }
        line
    }
}

fn tpipe(args: &[&str], path: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tpipe"));
    command.args(args).arg(path).env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end; a minute is too long.
fn run(args: &[&str], path: &Path, input: &str) -> Output {
    let mut child = tpipe(args, path).stdin(Stdio::piped()).spawn().unwrap();
    match child.stdin.take().unwrap().write_all(input.as_bytes()) {
        // It may have ended without reading it.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    let id = child.id();
    let (done, wait) = channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = wait.recv_timeout(Duration::from_secs(60) * patience()) else {
        let _ = Command::new("kill").arg(id.to_string()).status();
        panic!("tpipe {args:?} hangs");
    };
    output.unwrap()
}

fn patience() -> u32 {
    std::env::var("TYPED_PIPE_TEST_PATIENCE").map_or(1, |times| times.parse().unwrap())
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn complaints(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[track_caller]
fn is(output: &Output, code: i32, expected: &str) {
    let said = (output.status.code(), out(output));
    assert_eq!(said, (Some(code), expected), "{}", complaints(output));
}

fn until_there(path: &Path) {
    until(|| path.exists(), || format!("{} does not come", path.display()));
}

fn until(so: impl Fn() -> bool, complaint: impl Fn() -> String) {
    let end = Instant::now() + Duration::from_secs(50) * patience();
    while !so() {
        assert!(Instant::now() < end, "{}", complaint());
        thread::sleep(Duration::from_millis(1)); // between two looks
    }
}

#[test]
fn messages_of_a_pipe_are_json_by_the_shape_that_their_writer_tells() {
    let folder = Folder::new();
    let path = folder.name("readings");
    let _writer = Other::start("quickstart", &path);
    let expected =
        "{\"sensor\":\"kitchen\",\"celsius\":21.5}\n{\"sensor\":\"roof\",\"celsius\":-3.25}\n";
    is(&run(&["listen", "--create"], &path, ""), 0, expected);
    assert!(!path.exists());
}

#[test]
fn hostile_bytes_are_no_control_characters() {
    let folder = Folder::new();
    let path = folder.name("hostile");
    let _writer = Other::start("hostile", &path);
    let expected = "\"\\u001b[2J\\u001b]0;owned\\u0007\\u009b2J\\u202e\"\n";
    is(&run(&["listen", "--create"], &path, ""), 0, expected);
    let output = run(&["who", "--more"], &folder.name("\u{1b}[2J"), "");
    assert_eq!(output.status.code(), Some(2));
    let output = run(&["who", "other"], &folder.name("\u{1b}[2J"), "");
    assert_eq!(output.status.code(), Some(2));
    assert!(complaints(&output).contains("\\u{1b}[2J"), "{}", complaints(&output));
    let output = run(&["who"], &folder.name("\u{1b}[2J"), "");
    assert_eq!(output.status.code(), Some(4));
    assert!(out(&output).contains("/\\u{1b}[2J: nothing\n"), "{}", out(&output));
    assert!(!output.stdout.contains(&0x1b));
}

#[test]
fn many_writers_and_json_on_the_default_wire_are_read_by_their_names() {
    let folder = Folder::new();
    let path = folder.name("many");
    let _writers = Other::start("many writers", &path);
    let output =
        run(&["listen", "--create", "--wire", "multi-writer", "--codec", "json"], &path, "");
    is(
        &output,
        0,
        "{\"sensor\":\"one\",\"celsius\":1.0}\n{\"sensor\":\"other\",\"celsius\":1.0}\n",
    );
    let path = folder.name("json");
    let _writer = Other::start("json", &path);
    let output = run(&["listen", "--create", "--codec", "json"], &path, "");
    is(&output, 0, "{\"sensor\":\"cellar\",\"celsius\":9.0}\n");
}

#[test]
fn lines_of_a_program_in_python_are_strings() {
    let folder = Folder::new();
    let path = folder.name("lines");
    let script = "import os, sys, time\n\
        while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n\
        with open(sys.argv[1], 'w') as pipe: pipe.write('one\\ntwo \\x1b[2J\\n')";
    let _writer = Other(Command::new("python3").args(["-c", script]).arg(&path).spawn().unwrap());
    let output = run(&["listen", "--create", "--wire", "lines"], &path, "");
    is(&output, 0, "\"one\"\n\"two \\u001b[2J\"\n");
}

#[test]
fn what_is_not_told_is_said_and_not_lost() {
    let folder = Folder::new();
    let path = folder.name("untold");
    let script = "import os, sys, time\n\
        while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n\
        with open(sys.argv[1], 'wb') as pipe: pipe.write(b'\\0\\0\\0\\2\\1\\xff')";
    let _writer = Other(Command::new("python3").args(["-c", script]).arg(&path).spawn().unwrap());
    let output = run(&["listen", "--create"], &path, "");
    is(&output, 3, "");
    assert!(complaints(&output).contains("not told"), "{}", complaints(&output));
    assert!(complaints(&output).contains("the message is 01ff"), "{}", complaints(&output));
}

#[test]
fn a_pipe_takes_messages_by_a_shape_that_was_saved() {
    let folder = Folder::new();
    let (path, shape) = (folder.name("from"), folder.name("shape"));
    let shape = shape.to_str().unwrap();
    let writer = Other::start("quickstart", &path);
    assert!(run(&["listen", "--create", "--save-shape", shape], &path, "").status.success());
    drop(writer);

    let path = folder.name("to");
    let mut reader = Other::start("receiver", &path);
    until_there(&path);
    let input = "{\"sensor\":\"attic\",\"celsius\":30}\n{\"sensor\":\"attic\"}\n\nno json\n";
    let output = run(&["send", "--shape", shape], &path, input);
    is(&output, 3, "");
    assert_eq!(reader.says(), "attic: 30");
    assert!(complaints(&output).contains("line 2 is not sent: "), "{}", complaints(&output));
    assert!(complaints(&output).contains("line 4 is not sent: "), "{}", complaints(&output));
    assert!(reader.0.wait().unwrap().success());
}

#[test]
fn without_a_shape_no_writer_comes_to_a_pipe() {
    let folder = Folder::new();
    let path = folder.name("to");
    let _reader = Other::start("receiver", &path);
    until_there(&path);
    let output = run(&["send"], &path, "1\n");
    is(&output, 1, "");
    assert!(complaints(&output).contains("--shape FILE"), "{}", complaints(&output));
}

#[test]
fn a_listener_is_asked_listened_to_and_spoken_to() {
    let folder = Folder::new();
    let path = folder.name("commands");
    let _listener = Other::start("listener", &path);
    until_there(&path);
    let output = run(&["ask"], &path, "");
    let told = "wire      length-prefixed, postcard\n";
    assert!(out(&output).starts_with(told), "{} {}", out(&output), complaints(&output));
    assert!(out(&output).contains("receives  command/2: "), "{}", out(&output));
    assert!(out(&output).contains("sends     report/1: text\n"), "{}", out(&output));
    let schema = run(&["ask", "--json-schema"], &path, "");
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["sends"]["type"], "string");

    is(&run(&["listen", "--count", "1"], &path, ""), 0, "\"ready\"\n");
    let output = run(&["send"], &path, "{\"Run\":{\"task\":\"x\",\"times\":2}}\n\"Stop\"\n");
    is(&output, 0, "\"ready\"\n\"Run { task: \\\"x\\\", times: 2 }\"\n\"Stop\"\n");
    let output = run(&["send"], &path, "{\"Run\":{\"task\":\"x\",\"times\":-2}}\n");
    is(&output, 3, "\"ready\"\n");
    assert!(complaints(&output).contains("times"), "{}", complaints(&output));
}

#[test]
fn a_listener_on_another_wire_is_spoken_to_on_that() {
    let folder = Folder::new();
    let path = folder.name("checked");
    let _listener = Other::start("checked listener", &path);
    until_there(&path);
    let output = run(&["--json", "ask"], &path, "");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((told["framing"].as_str(), told["codec"].as_str()), (Some("checked"), Some("json")));
    let output = run(&["send"], &path, "{\"sensor\":\"a\",\"celsius\":1}\n");
    is(&output, 0, "[97]\n");
}

#[cfg(target_os = "linux")]
#[test]
fn who_shows_the_owner_and_what_waits_and_clean_removes_what_it_left() {
    let folder = Folder::new();
    let path = folder.name("jobs");
    let mut owner = Other::start("owner", &path);
    assert_eq!(owner.says(), "ready");
    for _ in 0..2 {
        // Twice: to look has changed nothing.
        let output = run(&["--json", "who"], &path, "");
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((found["kind"].as_str(), found["lock"].as_str()), (Some("pipe"), Some("held")));
        assert_eq!(found["processes"][0]["process"], owner.0.id());
        assert_eq!(found["processes"][0]["does"], serde_json::json!(["owns", "reads", "writes"]));
        assert_eq!((found["waiting"].as_u64(), found["mode"].as_str()), (Some(10), Some("0600")));
    }
    let output = run(&["clean"], &path, "");
    assert_eq!(output.status.code(), Some(4), "{}", out(&output));
    assert!(path.exists());

    drop(owner); // It is killed.
    assert!(path.exists());
    let output = run(&["who"], &path, "");
    assert!(out(&output).contains("left behind"), "{}", out(&output));
    let removed = format!("{}: what a dead owner left is removed\n", path.display());
    is(&run(&["clean"], &path, ""), 0, &removed);
    assert_eq!(folder.0.path().read_dir().unwrap().count(), 0);
    let nothing = format!("{}: no dead owner has left anything\n", path.display());
    is(&run(&["clean"], &path, ""), 0, &nothing);
}

#[cfg(target_os = "linux")]
#[test]
fn who_shows_who_listens_and_clean_removes_a_dead_listener() {
    let folder = Folder::new();
    let path = folder.name("door");
    let mut owner = Other::start("owner of a listener", &path);
    assert_eq!(owner.says(), "ready");
    let output = run(&["--json", "who"], &path, "");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((found["kind"].as_str(), found["clients"].as_u64()), (Some("listener"), Some(0)));
    assert_eq!(found["processes"][0]["does"], serde_json::json!(["owns", "listens"]));
    drop(owner);
    assert_eq!(run(&["clean"], &path, "").status.code(), Some(0));
    assert_eq!(folder.0.path().read_dir().unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn clean_leaves_what_no_owner_of_the_crate_made() {
    let folder = Folder::new();
    let path = folder.name("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(run(&["clean"], &path, "").status.code(), Some(0));
    assert!(path.exists());
}

#[test]
fn a_wrong_command_line_and_a_name_that_is_not_there_have_their_codes() {
    let folder = Folder::new();
    let path = folder.name("nobody");
    assert_eq!(run(&["listen", "--count", "many"], &path, "").status.code(), Some(2));
    assert_eq!(run(&["ask", "--timeout", "0.01"], &path, "").status.code(), Some(1));
    assert_eq!(
        run(&["send", "--codec", "text", "--timeout", "0.01"], &path, "").status.code(),
        Some(1)
    );
}

#[test]
fn a_reader_of_the_output_that_has_enough_ends_it() {
    let folder = Folder::new();
    let path = folder.name("readings");
    let _writer = Other::start("quickstart", &path);
    let mut listening = tpipe(&["listen", "--create"], &path).spawn().unwrap();
    let mut lines = BufReader::new(listening.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    drop(lines);
    assert!(listening.wait().unwrap().success());
}

#[test]
fn ctrl_c_ends_listening_and_leaves_no_pipe() {
    let folder = Folder::new();
    let path = folder.name("readings");
    for name in ["-INT", "-TERM"] {
        let mut listening = Other(tpipe(&["listen", "--create", "--stay"], &path).spawn().unwrap());
        until_there(&path);
        // It has heard, so it handles signals.
        let mut sent = Other::start("quickstart", &path);
        assert!(sent.0.wait().unwrap().success());
        let mut said = [0; 1];
        std::io::Read::read_exact(listening.0.stdout.as_mut().unwrap(), &mut said).unwrap();
        let signal = [name, &listening.0.id().to_string()];
        assert!(Command::new("kill").args(signal).status().unwrap().success());
        assert_eq!(listening.0.wait().unwrap().code(), Some(130));
        assert_eq!(folder.0.path().read_dir().unwrap().count(), 0);
    }
}

#[test]
fn ctrl_c_gives_up_a_call_and_its_handler_is_told() {
    let folder = Folder::new();
    let path = folder.name("steps");
    let mut service = Other::start("steps", &path);
    until_there(&path);
    let mut command = tpipe(&["call"], &path);
    let mut call = Other(command.arg("{\"name\": \"a\", \"steps\": 11}").spawn().unwrap());
    assert_eq!(service.says(), "begun");
    let interrupt = ["-INT", &call.0.id().to_string()];
    assert!(Command::new("kill").args(interrupt).status().unwrap().success());
    assert_eq!(service.says(), "cancelled");
    assert!(!call.0.wait().unwrap().success());
}
