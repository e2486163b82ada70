//! Sessions at a terminal, run and held against what they printed: the files in `tests/golden`, and a page of the docs.
//!
//! A line that begins with `$ ` is a command, and what follows is what it printed; a session of its own begins with each
//! file, and in a page with each block. `&` starts a program, `fg` waits for the oldest one and prints what it said. With
//! `TPIPE_WRITE_GOLDEN=1` the files are written anew: look at the difference.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Folder, Other, patience, until, until_there};

/// What stands for the folder of a session.
const SHOWN_FOLDER: &str = "/run/app";

/// A session, with the programs that it has started.
struct Session {
    folder: Folder,
    started: VecDeque<(Other, PathBuf)>,
    /// How the last command ended.
    code: i32,
    number: usize,
}

impl Session {
    fn new() -> Self {
        // `cargo test --test it` alone does not build them.
        assert!(programs().join("examples/tasks").exists(), "run `cargo build --examples` before");
        let folder = Folder::new();
        for program in fs::read_dir(tests().join("programs")).unwrap() {
            let program = program.unwrap();
            fs::copy(program.path(), folder.name(program.file_name().to_str().unwrap())).unwrap();
        }
        // A role of this test program: `role NAME PATH`.
        let test = std::env::current_exe().unwrap();
        let role = format!(
            "TPIPE_TEST_ROLE=\"$1\" TPIPE_TEST_PATH=\"$2\" \\\nexec '{}' plays_the_other_side --exact --nocapture > /dev/null\n",
            test.display()
        );
        fs::write(folder.name("role.sh"), role).unwrap();
        Self { folder, started: VecDeque::new(), code: 0, number: 0 }
    }

    fn shell(&self, line: &str) -> Command {
        let path = [programs(), programs().join("examples")];
        let others = std::env::var_os("PATH").unwrap();
        let path = path.into_iter().chain(std::env::split_paths(&others));
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(&self.folder.0).stdin(Stdio::null());
        shell.env("PATH", std::env::join_paths(path).unwrap()).env("NO_COLOR", "1");
        shell
    }

    /// Runs a line; returns what it printed.
    fn run(&mut self, line: &str) -> String {
        self.number += 1;
        let into = self.folder.0.path().join(format!("said-{}", self.number));
        let said = File::create(&into).unwrap();
        let shell = |line: &str| {
            let mut shell = self.shell(line);
            shell.stdout(said.try_clone().unwrap()).stderr(said.try_clone().unwrap());
            Other(shell.spawn().unwrap())
        };
        match line {
            "echo $?" => return format!("{}\n", self.code),
            "fg" => {
                let (program, into) = self.started.pop_front().unwrap();
                self.code = ended(program, line);
                return fs::read_to_string(into).unwrap();
            }
            _ => {}
        }
        if let Some(program) = line.strip_suffix(" &") {
            let program = shell(&format!("exec {program}"));
            // Its last word is the name that it makes.
            let name = line.trim_end_matches(" &").split(' ').next_back().unwrap();
            until_there(&self.folder.name(name));
            until_it_listens(&self.folder.name(name));
            self.started.push_back((program, into));
            return String::new();
        }
        self.code = ended(shell(line), line);
        fs::read_to_string(into).unwrap()
    }

    /// The same words in each run: the folder, the numbers of processes and users.
    fn settled(&self, said: &str) -> String {
        let real = fs::canonicalize(self.folder.0.path()).unwrap();
        settled(&said.replace(real.to_str().unwrap(), SHOWN_FOLDER))
    }
}

/// The name of a socket is there before somebody listens at it, and who connects between is refused.
fn until_it_listens(path: &Path) {
    use std::os::unix::fs::FileTypeExt;
    if !cfg!(target_os = "linux") || !fs::metadata(path).is_ok_and(|it| it.file_type().is_socket())
    {
        return;
    }
    let path = fs::canonicalize(path).unwrap();
    // One that is too long for an address is bound by the descriptor of its folder.
    let bound = match path.to_str().unwrap() {
        short if short.len() < 108 => short,
        long => &long[long.rfind('/').unwrap()..],
    };
    let listens = || {
        let sockets = fs::read_to_string("/proc/net/unix").unwrap();
        let mut here = sockets.lines().filter(|line| line.ends_with(bound)).peekable();
        // One that came by another name listened before.
        here.peek().is_none() || here.any(|line| line.contains(" 00010000 "))
    };
    until(listens, || format!("nobody listens at {}", path.display()));
}

fn settled(said: &str) -> String {
    let mut settled = String::new();
    let mut in_table = false;
    for line in said.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if in_table && !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit()) {
            let rest = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
            let _ = writeln!(settled, "4711     {rest}");
            continue;
        }
        in_table = first == "PROCESS";
        let line = match line.split_once(", of user ") {
            Some((rights, _)) => format!("{rights}, of user 1000"),
            // A client that has left may still be counted.
            None if first == "clients" => "clients   0".to_owned(),
            None => match line.split_once("process ") {
                Some((before, of)) if of.starts_with(|c: char| c.is_ascii_digit()) => {
                    let of = of.trim_start_matches(|c: char| c.is_ascii_digit());
                    format!("{before}process 4711{of}")
                }
                _ => line.to_owned(),
            },
        };
        let _ = writeln!(settled, "{line}");
    }
    settled
}

/// The exit code of a program; a minute is too long.
fn ended(mut program: Other, line: &str) -> i32 {
    let end = Instant::now() + Duration::from_secs(60) * patience();
    loop {
        if let Some(status) = program.0.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        assert!(Instant::now() < end, "`{line}` hangs");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Where `tpipe` is, with the examples in a folder beside it.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_tpipe")).parent().unwrap().to_owned()
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Runs the commands of a session; returns it as it was.
fn played(session: &str) -> String {
    let mut running = Session::new();
    let mut all = String::new();
    for line in session.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let said = running.run(line);
        let _ = write!(all, "$ {line}\n{}", running.settled(&said));
    }
    all
}

fn holds(path: &Path, expected: &str, played: &str) {
    if std::env::var_os("TPIPE_WRITE_GOLDEN").is_some() {
        fs::write(path, played).unwrap();
    } else {
        assert_eq!(played, expected, "{}", path.display());
    }
}

fn golden(name: &str) {
    let path = tests().join("golden").join(name).with_extension("txt");
    let expected = fs::read_to_string(&path).unwrap();
    holds(&path, &expected, &played(&expected));
}

#[test]
fn the_pipe_of_the_example_quickstart() {
    golden("quickstart");
}

#[test]
fn a_pipe_of_many_writers() {
    golden("many_writers");
}

#[test]
fn a_sender_in_python() {
    golden("python");
}

#[test]
fn services_are_called() {
    golden("calls");
}

#[cfg(target_os = "linux")]
#[test]
fn the_service_of_the_example_tasks() {
    golden("tasks");
}

#[test]
fn the_host_of_the_example_plugins() {
    golden("plugins");
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_dead_owner_left() {
    golden("left");
}

/// Plays the sessions of a page, but not those that install something.
#[cfg(target_os = "linux")]
fn page(path: &str) {
    const BEGIN: &str = "```console\n";
    let path = tests().join(path);
    let page = fs::read_to_string(&path).unwrap();
    let mut anew = String::new();
    let mut rest = page.as_str();
    while let Some((words, block)) = rest.split_once(BEGIN) {
        let (session, after) = block.split_once("```").unwrap();
        let played = match session.starts_with("$ cargo ") {
            true => session.to_owned(),
            false => played(session),
        };
        let _ = write!(anew, "{words}{BEGIN}{played}```");
        rest = after;
    }
    anew.push_str(rest);
    holds(&path, &page, &anew);
}

#[cfg(target_os = "linux")]
#[test]
fn the_page_about_debugging() {
    page("../../docs/DEBUGGING.md");
}

#[cfg(target_os = "linux")]
#[test]
fn the_readme() {
    page("../README.md");
}
