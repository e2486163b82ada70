//! Whom the crate trusts, with real files of other users. The table is in `src/sys/unix/trust.rs`.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use typed_pipe::{
    ConnectOptions, Connection, ErrorKind, IfExists, Listener, ListenerOptions, Pipe, PipeOptions,
    ReadEnd, WriteEnd,
};

use crate::peer;
use crate::roles::become_nobody;
use crate::support::{Folder, skipped, watched};

const NOBODY: u32 = 65534;
const STRANGER: u32 = 4711;

/// What the other process does, as another user.
pub(crate) fn play(role: &str, folder: &Path) {
    become_nobody();
    match role {
        "trust folders" => folders_of_others(folder),
        "trust pipes" => pipes_of_others(folder),
        "trust full listeners" => full_listeners_of_others(folder),
        other => panic!("no role {other}"),
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped("only root can become another user");
    }
    root
}

/// A folder in one that every user may enter.
fn folder_of(folder: &Folder, name: &str, user: u32, mode: u32) {
    let path = folder.name(name);
    fs::create_dir(&path).unwrap();
    chown(&path, Some(user), None).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn refused(name: &Path, who: &str) {
    let pipe = Pipe::new(name).unwrap().mkfifo().unwrap_err().into_parts().1;
    for error in [pipe, Listener::bind(name).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::NotTrusted, "{error}");
        assert!(error.to_string().contains(who), "{error}");
    }
    assert_eq!(fs::read_dir(name.parent().unwrap()).unwrap().count(), 0, "something was made");
}

#[track_caller]
fn accepted(name: &Path) {
    drop(Pipe::create(name).unwrap());
    drop(Listener::bind(name).unwrap());
}

#[test]
fn a36_no_name_is_made_in_the_folder_of_another_user() {
    watched(|| {
        if !is_root() {
            return;
        }
        let folder = Folder::new();
        fs::set_permissions(folder.name(""), Permissions::from_mode(0o755)).unwrap();
        for (name, user, mode) in [
            ("theirs", STRANGER, 0o777),
            ("sticky", STRANGER, 0o1777),
            ("tmp", 0, 0o1777),
            ("own", NOBODY, 0o700),
            ("group", NOBODY, 0o770),
        ] {
            folder_of(&folder, name, user, mode);
        }
        // As root, which may write anywhere.
        for (name, who) in [("theirs", "any user"), ("sticky", "4711"), ("own", "65534")] {
            refused(&folder.name(name).join("jobs"), who);
        }
        accepted(&folder.name("tmp").join("jobs"));
        let trusting = folder.name("own").join("jobs");
        drop(PipeOptions::new().trust_any_folder().at(&trusting).unwrap().mkfifo().unwrap());
        drop(ListenerOptions::new().trust_any_folder().bind(&trusting).unwrap());
        peer::start("trust folders", folder.name("")).join();
    });
}

fn folders_of_others(folder: &Path) {
    refused(&folder.join("theirs/jobs"), "any user");
    refused(&folder.join("sticky/jobs"), "4711");
    for name in ["tmp/jobs", "own/jobs", "group/jobs"] {
        accepted(&folder.join(name));
    }
}

#[test]
fn a33_of_whom_a_client_opens_a_pipe() {
    watched(|| {
        if !is_root() {
            return;
        }
        let folder = Folder::new();
        fs::set_permissions(folder.name(""), Permissions::from_mode(0o1777)).unwrap();
        let options = PipeOptions::new().mode(0o666);
        let pipes = ["root", "theirs", "linked"].map(|name| {
            let path = folder.name(name);
            let pipe = options.at(&path).unwrap().mkfifo().unwrap();
            pipe.into_reader().open().unwrap()
        });
        chown(folder.name("theirs"), Some(STRANGER), None).unwrap();
        fs::hard_link(folder.name("linked"), folder.name("trap")).unwrap();
        peer::start("trust pipes", folder.name("")).join();
        drop(pipes);
        // Its owner knows it by more than its name.
        let pipe = options.at(folder.name("linked")).unwrap().mkfifo().unwrap();
        fs::hard_link(folder.name("linked"), folder.name("another")).unwrap();
        drop(pipe.into_reader().open().unwrap());
    });
}

fn pipes_of_others(folder: &Path) {
    drop(WriteEnd::at(folder.join("root")).unwrap().open().unwrap());
    for (name, word) in [("theirs", "4711"), ("trap", "hard link"), ("linked", "hard link")] {
        let failed = WriteEnd::at(folder.join(name)).unwrap().open().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
        assert!(failed.to_string().contains(word), "{failed}");
        drop(failed.into_state().trust_any_owner().open().unwrap());
    }
}

#[test]
fn b5_the_full_listener_of_a_stranger_is_none_to_wait_at() {
    watched(|| {
        if !is_root() {
            return;
        }
        let folder = Folder::new();
        fs::set_permissions(folder.name(""), Permissions::from_mode(0o755)).unwrap();
        folder_of(&folder, "shared", 0, 0o1777);
        folder_of(&folder, "private", 0, 0o755);
        let listeners = ["shared/ours", "shared/theirs", "private/theirs"].map(|name| {
            let options = ListenerOptions::new().mode(0o666).backlog(1);
            let listener = options.bind(folder.name(name)).unwrap();
            let mut clients = Vec::new();
            while let Ok(client) = Connection::try_connect(listener.path()) {
                clients.push(client);
            }
            (listener, clients)
        });
        for name in ["shared/theirs", "private/theirs"] {
            chown(folder.name(name), Some(STRANGER), None).unwrap();
        }
        peer::start("trust full listeners", folder.name("")).join();
        drop(listeners);
    });
}

fn full_listeners_of_others(folder: &Path) {
    let failed = Connection::connect(folder.join("shared/theirs")).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
    assert!(failed.to_string().contains("4711"), "{failed}");
    let anyone = ConnectOptions::new().trust_any_owner();
    let wait = Duration::from_millis(20);
    for failed in [
        anyone.connect_timeout(folder.join("shared/theirs"), wait).unwrap_err(),
        Connection::connect_timeout(folder.join("shared/ours"), wait).unwrap_err(),
        // A service manager gives the name to a user, and listens itself.
        Connection::connect_timeout(folder.join("private/theirs"), wait).unwrap_err(),
    ] {
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
    }
}

/// Of a file of this user that has another name: its content would be changed, and its name removed.
#[test]
fn a_lock_that_is_a_hard_link_is_left_alone() {
    let folder = Folder::new();
    File::create(folder.name("precious")).unwrap();
    fs::hard_link(folder.name("precious"), folder.name("jobs.lock")).unwrap();
    fs::set_permissions(folder.name("precious"), Permissions::from_mode(0o644)).unwrap();
    let name = folder.name("jobs");
    let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap_err().into_parts().1;
    for error in [pipe, Listener::bind(&name).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        assert!(error.to_string().contains("hard link"), "{error}");
    }
    let precious = fs::metadata(folder.name("precious")).unwrap();
    assert_eq!((precious.len(), precious.mode() & 0o777), (0, 0o644));
    assert_eq!(folder.entries(), ["jobs.lock", "precious"]);
}

/// Its other name may be meant for something else, whose mode it would change.
#[test]
fn a_pipe_with_two_names_is_not_taken() {
    let folder = Folder::new();
    let name = folder.name("jobs");
    Pipe::create(&name).unwrap().persist();
    fs::hard_link(&name, folder.name("precious")).unwrap();
    let options = PipeOptions::new().if_exists(IfExists::Reuse).mode(0o666);
    let failed = options.at(&name).unwrap().mkfifo().unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
    assert_eq!(fs::metadata(&name).unwrap().mode() & 0o777, 0o600);
    // In a folder of this user, clients may open it by either name.
    drop(ReadEnd::at(&name).unwrap().open().unwrap());
    fs::remove_file(folder.name("precious")).unwrap();
    drop(failed.into_state().mkfifo().unwrap());
    assert!(folder.entries().is_empty());
}
