//! The examples of two-way pipes do what they say, also when their processes are killed.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use support::{Folder, watched};

#[path = "it/support.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod support;

#[test]
fn a_chat_goes_on_when_a_client_is_killed_and_ends_with_its_server() {
    let chat = build("chat");
    watched(move || {
        let folder = Folder::new();
        let room = folder.name("room");
        let mut server = open_room(&chat, &room);
        let mut ada = Program::start(&chat, &["join"], &room, &["ada"]);
        assert_eq!(ada.line(), "* ada has come");
        let mut bob = Program::start(&chat, &["join"], &room, &["bob"]);
        for guest in [&mut ada, &mut bob] {
            assert_eq!(guest.line(), "* bob has come");
        }
        ada.say("hello");
        bob.say("good morning");
        for guest in [&mut ada, &mut bob] {
            let mut lines = [guest.line(), guest.line()];
            lines.sort();
            assert_eq!(lines, ["ada: hello", "bob: good morning"]);
        }

        bob.kill();
        assert_eq!(ada.line(), "* bob has left: its process ended");
        let mut cyd = Program::start(&chat, &["join"], &room, &["cyd"]);
        assert_eq!(ada.line(), "* cyd has come");
        assert_eq!(cyd.line(), "* cyd has come");
        // The end of what is typed is a goodbye.
        drop(cyd.child.stdin.take());
        assert_eq!(ada.line(), "* cyd has left: said goodbye");
        assert!(cyd.child.wait().unwrap().success());

        server.kill();
        assert!(ada.lines.next().is_none());
        assert!(!ada.child.wait().unwrap().success());

        // Nothing stands in the way of the next one.
        drop(open_room(&chat, &room));
    });
}

/// The server of a chat, once clients may join.
fn open_room(chat: &Path, room: &Path) -> Program {
    let mut server = Program::start(chat, &["serve"], room, &[]);
    assert!(server.line().starts_with("the room is open"));
    server
}

/// Each of them would have held up the room for a second.
#[test]
fn clients_that_do_not_read_hold_up_nobody_in_a_chat() {
    use serde::{Deserialize, Serialize};
    use std::time::{Duration, Instant};
    use typed_pipe::{Connection, Handshake};

    #[derive(Serialize, Deserialize)]
    enum Say {
        Hello { name: String },
        Line(String),
    }

    #[derive(Serialize, Deserialize)]
    enum Told {
        Joined { name: String },
        Left { name: String, how: String },
        Line { name: String, line: String },
    }

    let chat = build("chat");
    watched(move || {
        let folder = Folder::new();
        let room = folder.name("room");
        let mut server = open_room(&chat, &room);
        let mut ada = Program::start(&chat, &["join"], &room, &["ada"]);
        assert_eq!(ada.line(), "* ada has come");
        let mute = (0..8).map(|number| {
            let handshake = Handshake::new().sending("chat-say/1").receiving("chat-told/1");
            let connection = Connection::connect(&room).unwrap();
            let mut guest = handshake.perform::<Say, Told>(connection).unwrap();
            guest.send(&Say::Hello { name: format!("mute {number}") }).unwrap();
            assert_eq!(ada.line(), format!("* mute {number} has come"));
            guest
        });
        let mute: Vec<_> = mute.collect();
        // The server shows what is said.
        let (child, shown) = (&mut server.child, &mut server.lines);
        std::thread::scope(|scope| {
            scope.spawn(move || while shown.next().is_some() {});
            let begun = Instant::now();
            let long = "x".repeat(20_000);
            for _ in 0..60 {
                ada.say(&long);
                assert_eq!(ada.line().len(), "ada: ".len() + long.len());
            }
            assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
            child.kill().unwrap();
        });
        drop(mute);
    });
}

#[test]
fn an_old_and_a_new_version_refuse_each_other_go_on_or_speak_the_older_one() {
    let versions = build("versions");
    watched(move || {
        let said = run(&versions);
        let lines: Vec<&str> = said.lines().collect();
        let (mut refused, mut rest) = (lines[1..3].to_vec(), lines[3..].to_vec());
        // The two processes print when they like.
        refused.sort_unstable();
        assert!(refused[0].contains("new: ") && refused[1].contains("old: "), "{said}");
        let place =
            |side: &str, here: &str| format!("`Reading.celsius`: {side} here, {here} there");
        assert!(refused[0].contains(&place("f64", "f32")), "{said}");
        assert!(refused[1].contains(&place("f32", "f64")), "{said}");
        rest.insert(0, lines[0]);
        let want = [
            "a type that does not fit:",
            "a variant more at the end:",
            "  new: set the rate to 7",
            "  new: stand still",
            "a name for each version:",
            "  new: we speak weather/1",
            "  new: 21.5 °C in the kitchen",
        ];
        assert_eq!(rest, want);
    });
}

#[test]
fn what_is_handed_over_is_used() {
    let handover = build("handover");
    watched(move || {
        let said = run(&handover);
        let served = if cfg!(unix) { 1 } else { 0 };
        let mut want =
            format!("server: the client has read \"welcome\" and served {served} over TCP\n");
        if cfg!(unix) {
            want.push_str("server: a guest on that port was told \"welcome\"\n");
        }
        assert_eq!(said, want);
    });
}

#[test]
fn a_server_that_hands_over_tells_of_a_client_that_leaves() {
    let handover = build("handover");
    watched(move || {
        let folder = Folder::new();
        let name = folder.name("handover");
        let mut server = Program::start(&handover, &["serve"], &name, &[]);
        // Before it has said what it speaks.
        let client = typed_pipe::Connection::connect(&name).unwrap();
        drop(client);
        assert!(server.lines.next().is_none());
        assert!(!server.child.wait().unwrap().success());
        assert!(folder.entries().is_empty());
    });
}

#[test]
fn a_login_admits_locks_out_and_names_the_step_in_which_a_client_gave_up() {
    let login = build("login");
    watched(move || {
        let said = run(&login);
        let of_server: Vec<_> = said.lines().filter(|line| line.starts_with("server: ")).collect();
        let [admitted, locked, left] = of_server[..] else { panic!("{said}") };
        assert_eq!(admitted, "server: ada is logged in");
        assert_eq!(locked, "server: the account is locked");
        let want = "where this side was to receive `Credentials`: the other side left the session before its end, where it was to send `Credentials`";
        assert!(left.ends_with(want), "{left}");
        for line in ["client: ada is wrong, 1 tries are left", "client: welcome, with token 4711"] {
            assert!(said.contains(line), "{said}");
        }
    });
}

#[test]
fn a_transfer_goes_on_after_a_kill_and_after_a_deadline() {
    let resume = build("resume");
    watched(move || {
        let said = run(&resume);
        let lines: Vec<_> = said.lines().collect();
        let [first, killed, second, late, third, whole] = lines[..] else { panic!("{said}") };
        let has = |line: &str| -> u64 { line.split(' ').nth(2).unwrap().parse().unwrap() };
        assert!(has(first) < has(second) && has(second) < has(third), "{said}");
        assert!(killed.contains("where this side was to "), "{said}");
        assert!(killed.contains("its process ended") || killed.contains("in the middle"), "{said}");
        assert!(late.contains("where this side was to learn which `Part` is chosen"), "{said}");
        assert!(late.contains("the deadline passed"), "{said}");
        assert_eq!(whole, "receiver: the file is whole");
    });
}

#[test]
fn a_broadcast_reaches_all_readers_but_the_killed_one() {
    let broadcast = build("broadcast");
    watched(move || {
        let said = run(&broadcast);
        assert!(said.contains("publisher: reader 3 has left"), "{said}");
        assert!(said.contains("publisher: reader 1 was slow, and got the latest"), "{said}");
        assert_eq!(said.matches("reader: price 499 was the last, 599 cents").count(), 3, "{said}");
    });
}

#[test]
fn a_supervisor_outlives_its_children() {
    let supervisor = build("supervisor");
    watched(move || {
        let said = run(&supervisor);
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 3, "{said}");
        let killed = "worker: said that 12 times 12 is 144; then it was killed: disconnected";
        assert_eq!(lines[0], killed);
        assert_eq!(lines[1], "silent: had no answer in time, and was killed by the host");
        assert!(
            lines[2].starts_with("flooding: sent 1000 answers and more; without a host"),
            "{said}"
        );
        assert!(lines[2].ends_with(": 0"), "{said}");
    });
}

#[test]
fn a_host_and_its_plugins_call_each_other_and_a_crash_or_an_old_one_costs_itself() {
    let plugins = build("plugins");
    watched(move || {
        let said = run(&plugins);
        for line in [
            "host: HELLO!",
            "host: olleh",
            "host: shout says: I change \"hello\"",
            "host: mirror says: I change \"after the crash\"",
            "host: hsarc eht retfa",
            "host: niaga",
        ] {
            assert!(said.lines().any(|said| said == line), "{line}: {said}");
        }
        for begin in [
            "host: mirror has crashed with ",
            "host: old is refused: ",
            "old: the host refuses me: ",
        ] {
            let line = said.lines().find(|said| said.starts_with(begin)).expect(begin);
            assert!(begin.contains("crashed") || line.contains("plugins/1"), "{line}");
        }
    });
}

#[test]
fn a_helper_hands_over_a_file_and_keeps_another() {
    let helper = build("helper");
    watched(move || {
        let said = run(&helper);
        for line in [
            "client: notes says \"remember the milk\"",
            "client: \"secret\" is not for you",
            "helper: 2 answers",
        ] {
            assert!(said.lines().any(|said| said == line), "{line}: {said}");
        }
        assert!(!said.contains("nobody knows"), "{said}");
    });
}

#[test]
fn builds_of_several_clients_go_on_when_one_is_interrupted() {
    let build_daemon = build("build");
    watched(move || {
        let said = run(&build_daemon);
        for line in [
            "library: 1 of 5",
            "library: 5 of 5",
            "library: built",
            "program: 3 of 3",
            "program: built",
            "manual: 1 of 1000000",
            "manual: cancelled",
        ] {
            assert!(said.lines().any(|said| said == line), "{line}: {said}");
        }
        assert!(!said.contains("manual: built"), "{said}");
        assert!(said.contains("\n3 clients, "), "{said}");
    });
}

#[test]
fn a_build_ends_with_its_client_and_the_daemon_goes_on_for_the_others() {
    let build_daemon = build("build");
    watched(move || {
        let folder = Folder::new();
        let path = folder.name("build");
        let mut daemon = Program::start(&build_daemon, &["serve"], &path, &[]);
        assert!(daemon.line().starts_with("building at "));
        let mut endless = Program::start(&build_daemon, &[], &path, &["manual", "1000000"]);
        assert_eq!(endless.line(), "manual: 1 of 1000000");
        let mut library = Program::start(&build_daemon, &[], &path, &["library", "2"]);
        assert_eq!(library.line(), "library: 1 of 2");
        endless.kill(); // as Ctrl-C does
        assert_eq!(daemon.line(), "manual: cancelled");
        assert_eq!([library.line(), library.line()], ["library: 2 of 2", "library: built"]);
        let mut later = Program::start(&build_daemon, &[], &path, &["program", "1"]);
        assert_eq!(later.line(), "program: 1 of 1");
    });
}

/// Builds an example: where it is.
fn build(example: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--message-format",
            "json",
            "--features",
            "fanout,process,service,session",
        ])
        .args(["--example", example])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_example = message["target"]["name"] == example;
        Some(message["executable"].as_str().filter(|_| is_example)?.into())
    };
    String::from_utf8_lossy(&output.stdout).lines().find_map(executable).unwrap()
}

/// Runs a program that needs nothing from outside to its end: what it prints.
fn run(program: &Path) -> String {
    let output = Command::new(program).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// A program that is talked to. It is killed when the test is done with it, whatever comes.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(program: &Path, before: &[&str], path: &Path, after: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(before)
            .arg(path)
            .args(after)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the program ended").unwrap()
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
