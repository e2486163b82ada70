//! Symbolic links to pipes, and pipes that have no other name than a link: `/dev/stdin`, process substitution.
#![cfg_attr(
    not(target_os = "linux"),
    allow(unused_imports, dead_code, reason = "some tests are of Linux alone")
)]

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use typed_pipe::{ErrorKind, OnHangup, Pipe, ReadEnd, TypedReceiver, TypedSender, WriteEnd};

use crate::peer;
use crate::support::{Folder, skipped, watched};

/// What the other process does.
pub(crate) fn play(role: &str, path: &Path) {
    match role {
        "links read" => {
            let mut words = String::new();
            ReadEnd::at(path).unwrap().open().unwrap().read_to_string(&mut words).unwrap();
            assert_eq!(words, "from a program");
        }
        other => panic!("no role {other}"),
    }
}

#[test]
fn a_client_follows_a_link_in_a_folder_of_its_own() {
    watched(|| {
        let folder = Folder::new();
        let (name, link, far) = (folder.name("jobs"), folder.name("link"), folder.name("far"));
        symlink("jobs", &link).unwrap();
        symlink(&link, &far).unwrap();
        // Nothing is there yet: as without a link.
        let failed = WriteEnd::at(&far).unwrap().try_open().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotFound, "{failed}");

        let mut pipe = Pipe::create(&name).unwrap();
        let mut receiver = pipe.open_reader().unwrap().into_receiver::<u32>();
        TypedSender::<u32>::connect(&far).unwrap().send(&7).unwrap();
        assert_eq!(receiver.recv().unwrap(), 7);
        drop(receiver);
        drop(pipe);

        // A reader that goes on with the next owner's pipe, and with no other one meanwhile.
        let pipe = Pipe::create(&name).unwrap();
        let reader = ReadEnd::at(&link).unwrap().on_hangup(OnHangup::NextWriter).open().unwrap();
        let mut receiver = reader.into_receiver::<u32>();
        let mut sender = pipe.sender::<u32>().unwrap();
        sender.send(&1).unwrap();
        assert_eq!(receiver.recv().unwrap(), 1);
        drop(sender);
        let next = Pipe::create(&name).unwrap();
        let sending = std::thread::spawn(move || {
            let mut sender = next.sender::<u32>().unwrap();
            sender.send(&2).unwrap();
            sender
        });
        assert_eq!(receiver.recv().unwrap(), 2);
        drop(sending.join().unwrap());
        assert_eq!(folder.entries(), ["far", "link"]);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_follows_a_link_in_a_folder_of_its_own() {
    watched(|| {
        let folder = Folder::new();
        symlink("jobs", folder.name("link")).unwrap();
        let pipe = Pipe::create(folder.name("jobs")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let reader = ReadEnd::at(folder.name("link")).unwrap().into_tokio().open();
            let mut receiver = reader.await.unwrap().into_receiver::<u32>();
            let writer = pipe.into_writer().into_tokio().open().await.unwrap();
            writer.into_sender::<u32>().send(&7).await.unwrap();
            assert_eq!(receiver.recv().await.unwrap(), 7);
        });
    });
}

#[test]
fn a33_a_link_of_another_user_is_not_followed() {
    if !rustix::process::geteuid().is_root() {
        skipped("only root can give a link away");
        return;
    }
    watched(|| {
        let folder = Folder::new();
        let pipe = Pipe::create(folder.name("jobs")).unwrap();
        let reader = pipe.into_reader().open().unwrap();
        for (place, mode, of_folder, of_link) in [
            ("sticky", 0o1777, 0, 4711),
            ("open", 0o777, 0, 0),
            ("theirs", 0o755, 4711, 0),
            ("given", 0o755, 0, 4711),
        ] {
            let place = folder.name(place);
            fs::create_dir(&place).unwrap();
            let link = place.join("link");
            symlink(folder.name("jobs"), &link).unwrap();
            lchown(&link, Some(of_link), None).unwrap();
            fs::set_permissions(&place, Permissions::from_mode(mode)).unwrap();
            lchown(&place, Some(of_folder), None).unwrap();
            let failed = WriteEnd::at(&link).unwrap().open().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
            assert!(failed.to_string().contains("symbolic link"), "{failed}");
            drop(failed.into_state().trust_any_owner().open().unwrap());
        }
        drop(reader);
    });
}

#[test]
fn links_in_a_circle_are_an_error() {
    watched(|| {
        let folder = Folder::new();
        symlink(folder.name("one"), folder.name("other")).unwrap();
        symlink(folder.name("other"), folder.name("one")).unwrap();
        let failed = ReadEnd::at(folder.name("one")).unwrap().open().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Io, "{failed}");
    });
}

/// By the links to open files of Linux; elsewhere such paths are no links.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_without_a_name_is_opened_by_the_path_of_its_descriptor() {
    watched(|| {
        let folder = Folder::new();
        for place in ["/dev/fd", "/proc/self/fd"] {
            let (from, to) = rustix::pipe::pipe().unwrap();
            let path =
                |fd: &std::os::fd::OwnedFd| PathBuf::from(format!("{place}/{}", fd.as_raw_fd()));
            let (reading, writing) = (path(&from), path(&to));
            let failed = ReadEnd::at(&writing).unwrap().open().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::WrongDirection, "{failed}");
            let failed = WriteEnd::at(&reading).unwrap().open().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::WrongDirection, "{failed}");

            let link = folder.name("link");
            symlink(&reading, &link).unwrap();
            let mut receiver = TypedReceiver::<u32>::connect(&link).unwrap();
            let mut sender = TypedSender::<u32>::connect(&writing).unwrap();
            sender.send(&7).unwrap();
            assert_eq!(receiver.recv().unwrap(), 7);
            // It is no other pipe, and the name is not gone, whatever the reader looks at.
            let wait = std::time::Duration::from_millis(1500);
            assert_eq!(receiver.recv_timeout(wait).unwrap_err().kind(), ErrorKind::TimedOut);
            drop((sender, to));
            assert!(receiver.recv().unwrap_err().is_disconnected());
            fs::remove_file(&link).unwrap();
        }
        let file = File::create(folder.name("file")).unwrap();
        let path = format!("/dev/fd/{}", file.as_raw_fd());
        let failed = WriteEnd::at(path).unwrap().open().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotAPipe, "{failed}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn process_substitution_and_the_standard_input_are_paths_of_pipes() {
    watched(|| {
        let exe = std::env::current_exe().unwrap();
        let play = ["--exact", "peer::play", "--nocapture"];
        let mut child = peer::cast(&mut Command::new(&exe), "links read", "/dev/stdin".as_ref(), 0)
            .args(play)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"from a program").unwrap();
        assert!(child.wait().unwrap().success());

        if !Command::new("bash").args(["-c", "true"]).status().is_ok_and(|status| status.success())
        {
            skipped("there is no bash");
            return;
        }
        let script = r#"env TYPED_PIPE_TEST_PIPE=<(printf 'from a program') "$@""#;
        let mut bash = Command::new("bash");
        let bash = peer::cast(&mut bash, "links read", "".as_ref(), 0);
        let status = bash.args(["-c", script, "bash"]).arg(exe).args(play).status().unwrap();
        assert!(status.success());
    });
}
