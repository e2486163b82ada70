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
    use std::path::Path;

    use typed_pipe::{Connection, Listener, Pipe, TypedReceiver, TypedSender, WriteEnd};

    use super::*;
    use crate::peer;
    use crate::support::{Folder, watched};

    /// As `prog here` beside a shell that waits on `./here`.
    #[test]
    fn a_path_leads_to_one_pipe_from_every_folder() {
        watched(|| {
            let folder = Folder::new();
            let mut peer = peer::start("relative-path", folder.name(""));
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
    pub(crate) fn relative_path(folder: &Path) {
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
            peer::start("private-names", folder.name("")).join();
        });
    }

    pub(crate) fn private_names(folder: &Path) {
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
}

#[cfg(unix)]
pub(crate) use unix::{private_names, relative_path};
