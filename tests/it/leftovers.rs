//! The folders of temporary names whose owners were killed: the next temporary name removes them, and nothing else.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use crate::peer::{self, Peer, READY};
use crate::support::{Folder, watched};

/// A process with a temporary pipe and a temporary listener in a folder.
fn owner(folder: &Folder) -> Peer {
    start(folder, "temporary")
}

fn start(folder: &Folder, role: &str) -> Peer {
    let place = format!("TMPDIR={}", folder.name("").display());
    let mut peer = peer::start_through(&["env", &place], role, "none");
    peer.await_step(READY);
    peer
}

/// The name of a folder as those of temporary names are.
fn named(folder: &Folder, digit: &str) -> PathBuf {
    folder.name(&format!("typed-pipe-{}", digit.repeat(32)))
}

/// What an owner leaves that is killed.
fn left(folder: &Path) -> bool {
    fs::DirBuilder::new().mode(0o700).create(folder).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fs::write(folder.join("pipe.lock"), "").unwrap();
    fs::set_permissions(folder.join("pipe.lock"), fs::Permissions::from_mode(0o600)).is_ok()
}

#[test]
fn what_ended_owners_of_temporary_names_left_is_swept() {
    watched(|| {
        let folder = Folder::new();
        let mut killed = owner(&folder);
        let of_killed = folder.entries();
        let lives = owner(&folder);
        let before = folder.entries();
        assert_eq!((of_killed.len(), before.len()), (2, 4));
        // By a signal that a process may ask for, and mostly does not.
        let pid = rustix::process::Pid::from_child(killed.process());
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(killed.process().wait().unwrap().signal(), Some(15));
        assert_eq!(folder.entries(), before, "it could not remove them");

        // A sweep that has taken too long leaves the rest to the next one.
        let mut next = vec![owner(&folder)];
        while folder.entries().iter().any(|name| of_killed.contains(name)) {
            next.push(owner(&folder));
        }
        let now = folder.entries();
        assert_eq!(now.len(), 2 + 2 * next.len(), "{now:?}");
        assert_eq!(now.iter().filter(|name| before.contains(name)).count(), 2, "one lives");
        lives.join();
        next.into_iter().for_each(Peer::join);
        assert!(folder.entries().is_empty());
    });
}

#[test]
fn nothing_else_is_swept() {
    watched(|| {
        let folder = Folder::new();
        // What is kept on purpose has no lock, and what others put there has a file more.
        start(&folder, "persistent").join();
        assert_eq!(folder.entries().len(), 1);
        assert!(left(&named(&folder, "a")));
        fs::write(named(&folder, "a").join("precious"), "").unwrap();
        // Another program's file in place of the FIFO.
        assert!(left(&named(&folder, "b")));
        fs::remove_file(named(&folder, "b").join("pipe")).unwrap();
        fs::write(named(&folder, "b").join("pipe"), "precious").unwrap();
        // A link, a name that is not such a one, and a folder that others may write to.
        let elsewhere = Folder::new();
        assert!(left(&elsewhere.name("real")));
        symlink(elsewhere.name("real"), named(&folder, "c")).unwrap();
        assert!(left(&folder.name("typed-pipe-1000")));
        assert!(left(&named(&folder, "d")));
        fs::set_permissions(named(&folder, "d"), fs::Permissions::from_mode(0o777)).unwrap();
        if rustix::process::geteuid().is_root() {
            assert!(left(&named(&folder, "e")));
            chown(named(&folder, "e"), Some(65534), None).unwrap();
        }
        let before = folder.entries();
        owner(&folder).join();
        assert_eq!(folder.entries(), before);
        assert!(named(&folder, "a").join("precious").exists());
        assert_eq!(fs::read_to_string(named(&folder, "b").join("pipe")).unwrap(), "precious");
        assert!(elsewhere.name("real").join("pipe").exists());
        assert!(named(&folder, "d").join("pipe").exists());
    });
}

#[test]
fn a_sweep_takes_a_bounded_time_and_the_next_ones_go_on() {
    watched(|| {
        let folder = Folder::new();
        for number in 0..300 {
            assert!(left(&folder.name(&format!("typed-pipe-{number:032x}"))));
        }
        let one = owner(&folder);
        let once = folder.entries().len();
        assert!(once > 200, "{once} are left by two sweeps");
        drop(one);
        // Until nothing is left.
        let many = start(&folder, "temporary-and-again");
        many.join();
        assert!(folder.entries().is_empty());
    });
}
