//! Laws 1 to 5, 7 and 8: the lives of pipes and their ends.

use std::io::{Read, Write};
use std::thread;

use typed_pipe::{
    ErrorKind, IfExists, Pipe, PipeOptions, ReadEnd, TypedReceiver, TypedSender, WriteEnd,
};

use crate::peer;
use crate::support::{Folder, watched, wine_lets_a_name_have_two_owners};

#[test]
fn the_whole_life() {
    watched(|| {
        let folder = Folder::new();
        let pipe = Pipe::new(folder.name("life")).unwrap();
        for round in 0..3_u8 {
            let allocated = pipe_again(&folder).mkfifo().unwrap();
            let path = allocated.path().clone();
            let client = thread::spawn(move || {
                let mut end = WriteEnd::at(path).unwrap().open().unwrap();
                end.write_all(&[round; 10]).unwrap();
                // Closed and opened again: a client may come back.
                drop(end.close());
            });
            let mut end = allocated.into_reader().open().unwrap();
            let mut bytes = Vec::new();
            end.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, [round; 10]);
            client.join().unwrap();
            drop(end.close().into_pipe().unlink().unwrap());
        }
        assert!(folder.entries().is_empty());
        drop(pipe);
    });
}

fn pipe_again(folder: &Folder) -> Pipe<typed_pipe::state::Deallocated> {
    Pipe::new(folder.name("life")).unwrap()
}

#[test]
fn an_end_can_be_opened_again_and_again() {
    watched(|| {
        let folder = Folder::new();
        let mut end = Pipe::new(folder.name("again")).unwrap().mkfifo().unwrap().into_reader();
        for round in 0..5_u8 {
            let path = end.path().unwrap().clone();
            // Before the client: the reader of the last round may be open still, in a process that another test starts.
            let mut open = end.open().unwrap();
            let client = thread::spawn(move || {
                WriteEnd::at(path).unwrap().open().unwrap().write_all(&[round]).unwrap();
            });
            let mut bytes = Vec::new();
            open.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, [round]);
            client.join().unwrap();
            end = open.close();
        }
    });
}

#[test]
fn a_scoped_end_leaves_the_pipe_with_its_owner() {
    watched(|| {
        let folder = Folder::new();
        let mut pipe = Pipe::new(folder.name("scoped")).unwrap().mkfifo().unwrap();
        let path = pipe.path().clone();
        let client = thread::spawn(move || {
            let mut text = String::new();
            ReadEnd::at(path).unwrap().open().unwrap().read_to_string(&mut text).unwrap();
            text
        });
        pipe.open_writer().unwrap().write_all(b"news").unwrap();
        assert_eq!(client.join().unwrap(), "news");
        pipe.unlink().unwrap();
        assert!(folder.entries().is_empty());
    });
}

#[test]
fn dropping_the_pipe_or_its_end_removes_the_name() {
    let folder = Folder::new();
    let pipe = Pipe::new(folder.name("dropped")).unwrap().mkfifo().unwrap();
    drop(pipe);
    assert!(folder.entries().is_empty());
    let end = Pipe::new(folder.name("dropped")).unwrap().mkfifo().unwrap().into_reader();
    let open = end.open().unwrap();
    drop(open);
    assert!(folder.entries().is_empty());
}

#[test]
fn a_temporary_pipe_leaves_nothing() {
    let pipe = Pipe::temporary().unwrap();
    let other = Pipe::temporary().unwrap();
    assert_ne!(pipe.path(), other.path());
    let path = pipe.path().as_path().to_owned();
    if cfg!(unix) {
        assert!(path.exists());
    }
    drop(pipe);
    if cfg!(unix) {
        assert!(!path.exists());
        assert!(!path.parent().unwrap().exists(), "the folder goes with the pipe");
    }
}

/// From a path to a channel in two calls; the channel holds the pipe.
#[test]
fn a_created_pipe_is_a_channel_at_once() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("jobs");
        let mut receiver = Pipe::create(&name).unwrap().receiver::<String>().unwrap();
        let client = thread::spawn(move || {
            TypedSender::<str>::connect(name).unwrap().send("tea").unwrap();
        });
        assert_eq!(receiver.recv().unwrap(), "tea");
        client.join().unwrap();
        drop(receiver);
        let error = Pipe::create("").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
        assert!(folder.entries().is_empty());

        let name = folder.name("news");
        let there = name.clone();
        let client = thread::spawn(move || TypedReceiver::<u32>::connect(there).unwrap().recv());
        let mut sender = Pipe::create(name).unwrap().sender::<u32>().unwrap();
        sender.send(&7).unwrap();
        assert_eq!(client.join().unwrap().unwrap(), 7);
        drop(sender);
        assert!(folder.entries().is_empty());
    });
}

#[cfg(unix)]
#[test]
fn a_pipe_that_becomes_no_receiver_is_given_back() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let other = ReadEnd::at(pipe.path()).unwrap().open().unwrap();
        let failed = pipe.receiver::<u32>().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::InUse, "{failed}");
        drop(other);
        let pipe = failed.into_state();
        assert!(pipe.path().as_path().exists());
        drop(pipe.receiver::<u32>().unwrap());
    });
}

#[test]
fn a_failed_transition_hands_the_state_back() {
    if wine_lets_a_name_have_two_owners() {
        return;
    }
    let folder = Folder::new();
    let name = folder.name("taken");
    let owner = Pipe::new(&name).unwrap().mkfifo().unwrap();
    let failed = Pipe::new(&name).unwrap().mkfifo().unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::InUse, "{failed}");
    let second = failed.into_state();
    drop(owner);
    let second = second.mkfifo().unwrap();

    let failed = WriteEnd::at(folder.name("nothing")).unwrap().try_open().unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::NotFound, "{failed}");
    let (end, error) = failed.into_parts();
    assert!(error.to_string().contains("nothing"), "{error}");
    assert!(end.path().unwrap().as_path().to_str().unwrap().ends_with("nothing"));
    drop(second);
}

#[test]
fn question_mark_works_on_failed_transitions() {
    fn typed(folder: &Folder) -> Result<(), typed_pipe::Error> {
        WriteEnd::at(folder.name("none"))?.try_open()?;
        Ok(())
    }
    fn io(folder: &Folder) -> std::io::Result<()> {
        WriteEnd::at(folder.name("none"))?.try_open()?;
        Ok(())
    }
    let folder = Folder::new();
    assert_eq!(typed(&folder).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(io(&folder).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn an_owner_in_another_process_keeps_the_name() {
    if wine_lets_a_name_have_two_owners() {
        return;
    }
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("owned");
        let mut owner = peer::start("own", &name);
        owner.await_step(peer::READY);
        let failed = Pipe::new(&name).unwrap().mkfifo().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::InUse, "{failed}");
        owner.proceed();
        owner.join();
        drop(failed.into_state().mkfifo().unwrap());
    });
}

#[test]
fn what_a_killed_owner_left_is_taken_over() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("stale");
        let mut owner = peer::start("own", &name);
        owner.await_step(peer::READY);
        owner.kill();
        let refused = PipeOptions::new().if_exists(IfExists::Fail).at(&name).unwrap().mkfifo();
        if cfg!(unix) {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists);
        } else {
            drop(refused); // nothing stays there
        }
        drop(Pipe::new(&name).unwrap().mkfifo().unwrap());
        assert!(folder.entries().is_empty());
    });
}

#[test]
fn a_persistent_pipe_stays_without_an_owner() {
    let folder = Folder::new();
    let name = folder.name("stays");
    let path = Pipe::new(&name).unwrap().mkfifo().unwrap().persist();
    if cfg!(unix) {
        assert_eq!(folder.entries(), ["stays"]);
        assert_eq!(path.as_path(), name);
        let failed = Pipe::new(&name).unwrap().mkfifo().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::AlreadyExists, "{failed}");
    }
    let reuse = PipeOptions::new().if_exists(IfExists::Reuse).at(&name).unwrap();
    drop(reuse.mkfifo().unwrap());
    assert!(folder.entries().is_empty());
}

#[test]
fn debug_of_an_error_has_its_text() {
    let folder = Folder::new();
    let failed = WriteEnd::at(folder.name("none")).unwrap().try_open().unwrap_err();
    let shown = format!("{failed:?}");
    assert!(shown.contains("its owner must make it first"), "{shown}");
    assert!(shown.contains("NotFound"), "{shown}");
}

#[test]
fn debug_names_the_states() {
    let folder = Folder::new();
    let pipe = Pipe::new(folder.name("shown")).unwrap();
    assert!(format!("{pipe:?}").starts_with("Pipe<Deallocated>("));
    let pipe = pipe.mkfifo().unwrap();
    assert!(format!("{pipe:?}").starts_with("Pipe<Allocated>("));
    let end = pipe.into_reader();
    assert!(format!("{end:?}").starts_with("End<Read, Closed>("));
    assert!(format!("{:?}", end.open().unwrap()).starts_with("End<Read, Open>("));
}

#[cfg(unix)]
mod unix {
    use std::fs::{self, File};
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn mode(path: &std::path::Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// Makes a FIFO as any other program would.
    fn mkfifo(name: &std::path::Path) {
        assert!(std::process::Command::new("mkfifo").arg(name).status().unwrap().success());
    }

    #[test]
    fn a37_the_mode_is_what_was_asked_for() {
        let folder = Folder::new();
        let name = folder.name("mode");
        let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
        assert!(fs::symlink_metadata(&name).unwrap().file_type().is_fifo());
        assert_eq!(mode(&name), 0o600);
        drop(pipe);
        // The usual umask would take the bit for the group away.
        for wanted in [0o620, 0o666, 0o600, 0o400] {
            let pipe = PipeOptions::new().mode(wanted).at(&name).unwrap().mkfifo().unwrap();
            assert_eq!(mode(&name), wanted);
            drop(pipe);
        }
    }

    #[test]
    fn a33_other_files_are_no_pipes() {
        let folder = Folder::new();
        let real = Pipe::new(folder.name("real")).unwrap().mkfifo().unwrap();
        File::create(folder.name("file")).unwrap();
        fs::create_dir(folder.name("folder")).unwrap();
        symlink(folder.name("real"), folder.name("link")).unwrap();
        symlink(folder.name("nowhere"), folder.name("dangling")).unwrap();
        symlink(folder.name("file"), folder.name("to-file")).unwrap();
        let socket = UnixListener::bind(crate::support::short(folder.name("socket"))).unwrap();
        for (name, what) in [
            ("file", "a regular file"),
            ("folder", "a folder"),
            ("to-file", "a regular file"),
            ("socket", "a socket"),
        ] {
            // With a deadline far away: such names fail at once.
            let path = folder.name(name);
            let hour = std::time::Duration::from_secs(3600);
            let read = ReadEnd::at(&path).unwrap().open_timeout(hour).unwrap_err();
            let write = WriteEnd::at(&path).unwrap().open_timeout(hour).unwrap_err();
            for error in [read.error(), write.error()] {
                assert_eq!(error.kind(), ErrorKind::NotAPipe, "{error}");
                assert!(error.to_string().contains(what), "{error}");
            }
        }
        // An owner replaces none of them, and follows no link.
        for (name, what) in [
            ("file", "a regular file"),
            ("folder", "a folder"),
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("to-file", "a symbolic link"),
            ("socket", "a socket"),
        ] {
            let error = Pipe::create(folder.name(name)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotAPipe, "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
        drop((real, socket));
    }

    #[test]
    fn what_cannot_be_made_for_want_of_a_folder_says_so() {
        let folder = Folder::new();
        let name = std::path::Path::new(&folder.name("none")).join("jobs");
        let made = Pipe::new(&name).unwrap().mkfifo().unwrap_err().into_parts().1;
        for error in [made, typed_pipe::Listener::bind(&name).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("there is no such folder"), "{error}");
        }
        // What is to be opened has no name: that is for its owner.
        let failed = WriteEnd::at(&name).unwrap().try_open().unwrap_err();
        assert!(failed.to_string().contains("no pipe of this name"), "{failed}");
    }

    #[test]
    fn a32_opening_creates_nothing() {
        let folder = Folder::new();
        let failed = WriteEnd::at(folder.name("absent")).unwrap().try_open().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotFound);
        assert!(folder.entries().is_empty());
    }

    #[test]
    fn a36_a_folder_for_everybody_is_refused() {
        let folder = Folder::new();
        let open = folder.name("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let failed = Pipe::new(open.join("pipe")).unwrap().mkfifo().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
        let trusting = PipeOptions::new().trust_any_folder().at(open.join("pipe")).unwrap();
        drop(trusting.mkfifo().unwrap());
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        drop(Pipe::new(open.join("pipe")).unwrap().mkfifo().unwrap());
    }

    #[test]
    fn a41_the_name_of_another_pipe_is_left_alone() {
        let folder = Folder::new();
        let name = folder.name("replaced");
        let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
        assert!(!pipe.is_unlinked());
        fs::remove_file(&name).unwrap();
        assert!(pipe.is_unlinked());
        mkfifo(&name);
        let successor = fs::symlink_metadata(&name).unwrap().ino();
        assert!(pipe.is_unlinked());
        drop(pipe);
        assert_eq!(fs::symlink_metadata(&name).unwrap().ino(), successor);
    }

    #[test]
    fn a41_an_open_end_tells_whether_its_pipe_was_replaced() {
        let folder = Folder::new();
        let name = folder.name("replaced");
        let mut pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
        assert!(!pipe.open_reader().unwrap().is_unlinked());
        let receiver = pipe.into_reader().open().unwrap().into_receiver::<u8>();
        assert!(!receiver.get_ref().is_unlinked());
        fs::remove_file(&name).unwrap();
        assert!(receiver.get_ref().is_unlinked());
    }

    #[test]
    fn a41_an_owner_whose_lock_was_removed_takes_nothing_from_its_successor() {
        let folder = Folder::new();
        let name = folder.name("cleaned");
        let first = Pipe::new(&name).unwrap().mkfifo().unwrap();
        fs::remove_file(name.with_extension("lock")).unwrap();
        let reuse = PipeOptions::new().if_exists(IfExists::Reuse);
        let second = reuse.at(&name).unwrap().mkfifo().unwrap();
        drop(first);
        assert!(!second.is_unlinked());
        let third = Pipe::new(&name).unwrap().mkfifo();
        assert_eq!(third.unwrap_err().kind(), ErrorKind::InUse);
        drop(second);
        assert!(folder.entries().is_empty());
    }

    #[test]
    fn a41_an_end_of_a_replaced_pipe_does_not_open() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("replaced");
            let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
            fs::rename(&name, folder.name("away")).unwrap();
            let failed = pipe.into_reader().open().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotFound, "{failed}");
            mkfifo(&name);
            let failed = failed.into_state().open().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotAPipe, "{failed}");
        });
    }

    #[test]
    fn a_pipe_of_the_program_mkfifo_is_used_where_that_is_allowed() {
        let folder = Folder::new();
        let name = folder.name("foreign");
        mkfifo(&name);
        let failed = Pipe::new(&name).unwrap().mkfifo().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::AlreadyExists, "{failed}");
        assert_eq!(folder.entries(), ["foreign"]);
        let reuse = PipeOptions::new().if_exists(IfExists::Reuse).at(&name).unwrap();
        drop(reuse.mkfifo().unwrap());
        assert!(folder.entries().is_empty());
    }

    /// As it is where two owners race for a name: one has made the lock file, and the other one is the first to lock it.
    #[test]
    fn an_empty_lock_file_tells_of_no_owner() {
        let folder = Folder::new();
        let name = folder.name("foreign");
        mkfifo(&name);
        let theirs = fs::symlink_metadata(&name).unwrap().ino();
        File::create(name.with_extension("lock")).unwrap();
        let failed = Pipe::new(&name).unwrap().mkfifo().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::AlreadyExists, "{failed}");
        assert_eq!(fs::symlink_metadata(&name).unwrap().ino(), theirs);
        assert_eq!(
            folder.entries(),
            ["foreign", "foreign.lock"],
            "whose file that is nobody knows"
        );
    }

    #[test]
    fn what_is_no_lock_of_this_user_is_left_alone() {
        let folder = Folder::new();
        let (name, lock) = (folder.name("jobs"), folder.name("jobs.lock"));
        mkfifo(&name);
        // Those that are as long as a lock of this crate, too.
        for theirs in ["pid 1234\n", "7", "7\n", "42\n"] {
            fs::write(&lock, theirs).unwrap();
            crate::support::keep_private(&lock);
            let pipe = || Pipe::new(&name).unwrap().mkfifo().unwrap_err().into_parts().1;
            let listener = || typed_pipe::Listener::bind(&name).unwrap_err();
            for make in [&pipe as &dyn Fn() -> typed_pipe::Error, &listener] {
                let mut failed = make();
                // A child that another test starts has a copy of the file for a moment, and the lock of the last maker.
                while failed.kind() == ErrorKind::InUse {
                    failed = make();
                }
                assert_eq!(failed.kind(), ErrorKind::AlreadyExists, "{failed}");
                assert!(failed.to_string().contains("of another program"), "{failed}");
            }
            assert_eq!(fs::read_to_string(&lock).unwrap(), theirs);
        }
        fs::remove_file(&name).unwrap();
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        let failed = Pipe::new(&name).unwrap().mkfifo().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::AlreadyExists, "{failed}");
        assert!(failed.to_string().contains("`.lock`, is a folder"), "{failed}");
        fs::remove_dir(&lock).unwrap();
        if !rustix::process::geteuid().is_root() {
            crate::support::skipped("only root can give a file away");
            return;
        }
        File::create(&lock).unwrap();
        chown(&lock, Some(65534), None).unwrap();
        let failed = Pipe::new(&name).unwrap().mkfifo().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
        assert!(failed.to_string().contains("65534"), "{failed}");
        assert_eq!(folder.entries(), ["jobs.lock"]);
    }

    #[test]
    fn unlinking_a_name_that_is_gone_is_done() {
        let folder = Folder::new();
        let name = folder.name("gone");
        let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
        fs::remove_file(&name).unwrap();
        drop(pipe.unlink().unwrap());
    }

    #[test]
    fn unlinking_what_may_not_be_removed_hands_the_pipe_back() {
        if rustix::process::geteuid().is_root() {
            crate::support::skipped("root may remove everything");
            return;
        }
        let folder = Folder::new();
        let closed = folder.name("closed");
        fs::create_dir(&closed).unwrap();
        let pipe = Pipe::new(closed.join("pipe")).unwrap().mkfifo().unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
        let failed = pipe.unlink().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::PermissionDenied, "{failed}");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        drop(failed.into_state().unlink().unwrap());
    }
}
