//! Paths and names: where they lead, also from another folder, and with the variables of another user.

use typed_pipe::{ErrorKind, PipePath};

#[test]
fn a_private_name_is_asked_for_by_name() {
    let private = PipePath::private("jobs").unwrap();
    assert!(private.as_path().is_absolute(), "{private}");
    assert_ne!(private, PipePath::new("jobs").unwrap());
    assert_eq!(PipePath::new(&private).unwrap(), private, "it is a path like any other");
    for name in ["", "a/b", "../jobs", "/run/jobs"] {
        let error = PipePath::private(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
    }
}

#[test]
fn a_path_of_one_part_is_that_of_the_current_folder() {
    let path = PipePath::new("here").unwrap();
    #[cfg(unix)]
    assert_eq!(path.as_path(), std::env::current_dir().unwrap().join("here"));
    #[cfg(windows)]
    assert_eq!(path.as_path(), std::path::Path::new(r"\\.\pipe\here"));
    assert_eq!(path, PipePath::new("./here").unwrap());
}

#[cfg(unix)]
mod unix {
    use std::env;
    use std::fs;
    use std::path::{Path, PathBuf};

    use typed_pipe::{Connection, Error, Listener, Pipe, TypedReceiver, TypedSender, WriteEnd};

    use super::*;
    use crate::peer;
    use crate::support::{Folder, keep_private, skipped, watched};

    /// What the other process does.
    pub(crate) fn play(role: &str, folder: &Path) {
        match role {
            "names relative" => relative_path(folder),
            "names private" => private_names(folder),
            "names temporary" => temporary_names(folder),
            "names of others" => in_folders_of_others(folder),
            "names without proc" => without_proc(folder),
            other => panic!("no role {other}"),
        }
    }

    /// As `prog here` beside a shell that waits on `./here`.
    #[test]
    fn a_path_leads_to_one_pipe_from_every_folder() {
        watched(|| {
            let folder = Folder::new();
            let mut peer = peer::start("names relative", folder.name(""));
            peer.await_step(peer::READY);
            let mut receiver = TypedReceiver::<u32>::connect(folder.name("here")).unwrap();
            assert_eq!(receiver.recv().unwrap(), 7);
            drop(Connection::connect(folder.name("door")).unwrap());
            peer.proceed();
            peer.join();
            assert_eq!(folder.entries(), ["elsewhere"]);
        });
    }

    /// In a folder, it makes a pipe and a listener, and goes to another folder.
    fn relative_path(folder: &Path) {
        env::set_current_dir(folder).unwrap();
        let pipe = Pipe::new("here").unwrap().mkfifo().unwrap();
        let listener = Listener::bind("door").unwrap();
        fs::create_dir("elsewhere").unwrap();
        env::set_current_dir("elsewhere").unwrap();
        assert!(folder.join("here").exists() && folder.join("door").exists());
        assert_eq!(pipe.path().as_path(), folder.join("here"));
        peer::step(peer::READY);
        let mut sender = pipe.into_writer().open().unwrap().into_sender::<u32>();
        sender.send(&7).unwrap();
        drop(listener.accept().unwrap());
        peer::await_go();
        drop((sender, listener));
        assert!(!folder.join("here").exists());

        // A folder that is gone has no path.
        fs::create_dir("gone").unwrap();
        env::set_current_dir("gone").unwrap();
        fs::remove_dir("../gone").unwrap();
        let error = PipePath::new("here").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("absolute"), "{error}");
    }

    #[test]
    fn a36_private_names_lie_in_a_private_folder_of_the_user() {
        watched(|| {
            let folder = Folder::new();
            peer::start("names private", folder.name("")).join();
        });
    }

    fn private_names(folder: &Path) {
        use std::os::unix::fs::PermissionsExt;

        peer::set_variable("XDG_RUNTIME_DIR", folder);
        let path = PipePath::private("jobs").unwrap();
        let parent = folder.join("typed-pipe");
        assert_eq!(path.as_path(), parent.join("jobs"));
        assert!(!parent.exists(), "a path touches no file");
        let mut pipe = Pipe::new(&path).unwrap().mkfifo().unwrap();
        let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&parent), 0o700);
        let mut receiver = pipe.open_reader().unwrap().into_receiver::<u32>();
        TypedSender::<u32>::connect(PipePath::private("jobs").unwrap()).unwrap().send(&7).unwrap();
        assert_eq!(receiver.recv().unwrap(), 7);
        drop(receiver);
        drop(pipe);
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o750)).unwrap();
        let failed = Pipe::new(&path).unwrap().mkfifo().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
        let failed = Listener::bind(&path).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
        let failed = WriteEnd::at(&path).unwrap().try_open().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotFound, "{failed}");
    }

    #[test]
    fn a_temporary_name_is_absolute_whatever_the_variable_says() {
        watched(|| {
            let folder = Folder::new();
            peer::start("names temporary", folder.name("")).join();
            assert_eq!(folder.entries(), ["file", "work"]);
        });
    }

    fn temporary_names(folder: &Path) {
        type Made = (PathBuf, Box<dyn Send>);
        fn pipe() -> Result<Made, Error> {
            Pipe::temporary().map(|pipe| (pipe.path().as_path().to_owned(), Box::new(pipe) as _))
        }
        fn listener() -> Result<Made, Error> {
            Listener::temporary()
                .map(|made| (made.path().as_path().to_owned(), Box::new(made) as _))
        }
        env::set_current_dir(folder).unwrap();
        fs::create_dir("work").unwrap();
        keep_private("work");
        fs::File::create("file").unwrap();
        for make in [pipe, listener] {
            peer::set_variable("TMPDIR", "work");
            let (path, made) = make().unwrap();
            assert!(path.starts_with(folder.join("work")), "{path:?}");
            env::set_current_dir("/").unwrap();
            assert!(path.exists());
            drop(made);
            assert_eq!(fs::read_dir(folder.join("work")).unwrap().count(), 0, "its folder stays");
            env::set_current_dir(folder).unwrap();

            peer::set_variable("TMPDIR", "");
            let (path, made) = make().unwrap();
            assert!(path.starts_with("/tmp"), "{path:?}");
            drop(made);
            assert!(!path.parent().unwrap().exists());

            for (missing, kind) in [("none", ErrorKind::NotFound), ("file", ErrorKind::Io)] {
                peer::set_variable("TMPDIR", missing);
                let error = make().err().unwrap();
                assert_eq!(error.kind(), kind, "{error}");
                let there = folder.join(missing);
                assert!(error.to_string().contains(there.to_str().unwrap()), "{error}");
            }
        }
    }

    /// As with `sudo -E`.
    #[test]
    fn nothing_is_made_in_the_folder_of_another_user() {
        watched(|| {
            if !rustix::process::geteuid().is_root() {
                skipped("only root can make a folder of another user");
                return;
            }
            let folder = Folder::new();
            fs::create_dir(folder.name("theirs")).unwrap();
            keep_private(folder.name("theirs"));
            std::os::unix::fs::chown(folder.name("theirs"), Some(65534), None).unwrap();
            peer::start("names of others", folder.name("")).join();
        });
    }

    fn in_folders_of_others(folder: &Path) {
        let theirs = folder.join("theirs");
        let is_empty = || fs::read_dir(&theirs).unwrap().next().is_none();
        for (variable, folder, kind) in [
            ("XDG_RUNTIME_DIR", "theirs", ErrorKind::NotTrusted),
            ("XDG_RUNTIME_DIR", "none", ErrorKind::NotFound),
            ("TMPDIR", "theirs", ErrorKind::NotTrusted),
        ]
        .map(|(variable, name, kind)| (variable, folder.join(name), kind))
        {
            for other in ["XDG_RUNTIME_DIR", "TMPDIR"] {
                peer::set_variable(other, "");
            }
            peer::set_variable(variable, &folder);
            let path = PipePath::private("jobs").unwrap();
            assert!(path.as_path().starts_with(&folder), "{path}");
            let pipe = Pipe::create(&path).unwrap_err();
            for error in [pipe, Listener::bind(&path).unwrap_err()] {
                assert_eq!(error.kind(), kind, "{error}");
                let words = error.to_string();
                assert!(words.contains("XDG_RUNTIME_DIR"), "{words}");
                assert!(words.contains(folder.to_str().unwrap()), "{words}");
            }
            if variable == "TMPDIR" {
                let error = Pipe::temporary().unwrap_err();
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.to_string().contains("65534"), "{error}");
                assert_eq!(Listener::temporary().unwrap_err().kind(), kind);
            }
            assert!(is_empty(), "something was made there");
        }
    }

    /// As in a plain `chroot`.
    #[cfg(target_os = "linux")]
    #[test]
    fn without_proc_things_work_or_the_reason_is_named() {
        const WAY: [&str; 6] =
            ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"];
        watched(|| {
            let mut command = std::process::Command::new(WAY[0]);
            if !command.args(&WAY[1..]).arg("true").status().is_ok_and(|status| status.success()) {
                skipped("no process can be started without /proc");
                return;
            }
            let folder = Folder::of_short_names();
            peer::start_through(&WAY, "names without proc", folder.name("")).join();
            assert!(folder.entries().is_empty(), "{:?}", folder.entries());
        });
    }

    fn without_proc(folder: &Path) {
        use std::os::unix::fs::PermissionsExt;

        use rustix::fs::Mode;
        use typed_pipe::{ListenerOptions, OnHangup, PipeOptions, ReadEnd};

        let name = folder.join("jobs");
        // A mode other than that of the umask.
        let before = rustix::process::umask(Mode::from_raw_mode(0o077));
        let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
        let pipe = PipeOptions::new().mode(0o660).at(&name).unwrap().mkfifo().unwrap();
        let listener = ListenerOptions::new().mode(0o666).bind(folder.join("door")).unwrap();
        assert_eq!((mode(&name), mode(listener.path().as_path())), (0o660, 0o666));
        drop(Connection::connect(listener.path()).unwrap());
        drop(listener);
        rustix::process::umask(before);

        // A reader of the owner for one writer after the other, and one of a client.
        let mut receivers =
            vec![pipe.into_reader().on_hangup(OnHangup::NextWriter).open().unwrap().erase()];
        let owner = Pipe::temporary().unwrap();
        let client = ReadEnd::at(owner.path()).unwrap().on_hangup(OnHangup::NextWriter);
        receivers.push(client.open().unwrap().erase());
        for receiver in receivers {
            let path = receiver.path().unwrap().clone();
            let mut receiver = receiver.into_receiver::<u32>();
            for number in 0..3 {
                TypedSender::<u32>::connect(&path).unwrap().send(&number).unwrap();
                assert_eq!(receiver.recv().unwrap(), number);
                let wait = std::time::Duration::from_millis(20);
                let error = receiver.recv_timeout(wait).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            }
        }
        drop(owner);

        // The path of a socket that is too long for an address.
        let long = folder.join("x".repeat(150));
        let error = Listener::bind(&long).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("/proc"), "{error}");
        fs::File::create(&long).unwrap();
        let error = Connection::connect(&long).unwrap_err();
        assert!(error.to_string().contains("/proc"), "{error}");
        fs::remove_file(&long).unwrap();
    }
}

#[cfg(unix)]
pub(crate) use unix::play;
