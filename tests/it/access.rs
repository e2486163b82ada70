//! Which users may use a name, and which clients a listener lets in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use typed_pipe::{
    Access, Connection, ErrorKind, Listener, ListenerOptions, Peer, PipeOptions, TypedSender,
};

use crate::support::{Folder, watched};

/// A rule that turns every second client away, beginning with the first one.
fn every_second() -> impl Fn(&Peer) -> bool + Send + Sync + 'static {
    let clients = AtomicU32::new(0);
    move |peer| {
        assert!(peer.is_same_user());
        clients.fetch_add(1, Ordering::Relaxed) % 2 == 1
    }
}

/// Connects four clients, and returns those that were let in.
fn meet(listener: &Listener) -> usize {
    let mut clients = [(); 4].map(|()| Connection::connect(listener.path()).unwrap());
    let servers = [(); 2].map(|()| listener.accept_timeout(Duration::from_secs(30)).unwrap());
    assert_eq!(listener.clients(), 2);
    for mut server in servers {
        server.writer().write(b"x").unwrap();
        drop(server.finish().unwrap());
    }
    let mut met = 0;
    for client in &mut clients {
        met += client.reader().read(&mut [0; 8]).unwrap_or(0);
    }
    assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    met
}

#[test]
fn a_listener_turns_away_whom_its_rule_does_not_admit() {
    watched(|| {
        let options = ListenerOptions::new().admit(every_second());
        assert_eq!(meet(&options.max_clients(2).temporary().unwrap()), 2);
    });
}

/// A listener whose rule refuses each client, and which has the next one before that.
#[cfg(unix)]
fn never_without_a_client(folder: &Folder) -> Listener {
    let name = folder.name("door");
    let next = name.clone();
    let options = ListenerOptions::new().admit(move |_| {
        drop(Connection::connect(&next).unwrap());
        false
    });
    let listener = options.bind(&name).unwrap();
    drop(Connection::connect(&name).unwrap());
    listener
}

/// No wait noticed that the time was over, as there was none.
#[cfg(unix)]
#[test]
fn clients_that_are_refused_without_end_do_not_outlast_the_deadline() {
    watched(|| {
        let folder = Folder::new();
        let listener = never_without_a_client(&folder);
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let late = listener.accept_timeout(Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
    });
}

#[cfg(all(unix, feature = "tokio"))]
#[test]
fn clients_that_are_refused_without_end_do_not_outlast_the_deadline_of_a_task() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = Folder::new();
            let listener = never_without_a_client(&folder).into_tokio().unwrap();
            assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
            let late = listener.accept_timeout(Duration::from_millis(50)).await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
        });
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_listener_of_tasks_turns_away_whom_its_rule_does_not_admit() {
    use std::future::poll_fn;
    use std::pin::Pin;

    use futures_core::Stream;

    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = ListenerOptions::new().admit(every_second());
            let mut listener = options.temporary().unwrap().into_tokio().unwrap();
            let clients = [(); 4].map(|()| Connection::connect(listener.path()).unwrap());
            let first = listener.accept().await.unwrap();
            let second =
                poll_fn(|cx| Pin::new(&mut listener).poll_next(cx)).await.unwrap().unwrap();
            assert_eq!(listener.clients(), 2);
            assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
            drop((clients, first, second));
        });
    });
}

#[cfg(feature = "service")]
#[test]
fn a_service_serves_whom_the_rule_of_its_listener_admits() {
    use typed_pipe::{CancelToken, Client, ClientOptions, Service};

    watched(|| {
        let token = CancelToken::new().unwrap();
        let admitted = Arc::new(AtomicU32::new(0));
        let rule = Arc::clone(&admitted);
        let listener = ListenerOptions::new().admit(move |_| rule.load(Ordering::Relaxed) > 0);
        let service = Service::<u32, u32>::new(listener.temporary().unwrap()).cancelled_by(&token);
        let path = service.path().clone();
        let serving = std::thread::spawn(move || service.serve(|number| number + 1));
        let options = ClientOptions::new().max_attempts(1);
        let refused = options.connect::<u32, u32>(&path).and_then(|client| client.call(&1));
        assert!(refused.as_ref().unwrap_err().is_disconnected(), "{refused:?}");
        admitted.store(1, Ordering::Relaxed);
        assert_eq!(Client::<u32, u32>::connect(&path).unwrap().call(&1).unwrap(), 2);
        token.cancel();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn access_of_another_system_is_refused_by_name() {
    let folder = Folder::new();
    let (elsewhere, word) = if cfg!(windows) {
        (Access::Group(100), "Group")
    } else {
        (Access::Sddl("D:P(A;;FA;;;WD)".into()), "Sddl")
    };
    let pipe = PipeOptions::new().access(elsewhere.clone());
    let listener = ListenerOptions::new().access(elsewhere);
    for error in [
        pipe.temporary().unwrap_err(),
        pipe.at(folder.name("jobs")).unwrap().mkfifo().unwrap_err().into_parts().1,
        listener.temporary().unwrap_err(),
        listener.bind(folder.name("door")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(folder.entries().is_empty());
}

/// Whatever the access, its own user may use it, also by every further instance that Windows makes.
#[test]
fn what_is_open_to_all_users_is_open_to_this_one() {
    watched(|| {
        let listener = ListenerOptions::new().access(Access::LocalUsers).backlog(1);
        let listener = listener.temporary().unwrap();
        for _ in 0..3 {
            let client = Connection::connect(listener.path()).unwrap();
            let server = listener.accept().unwrap();
            assert!(server.peer().unwrap().is_same_user());
            drop((client, server));
        }
        let mut pipe = PipeOptions::new().access(Access::LocalUsers).temporary().unwrap();
        let path = pipe.path().clone();
        for number in 0..3 {
            let mut receiver = pipe.open_reader().unwrap().into_receiver::<u32>();
            TypedSender::<u32>::connect(&path).unwrap().send(&number).unwrap();
            assert_eq!(receiver.recv().unwrap(), number);
        }
    });
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::thread;

    use typed_pipe::{ConnectOptions, Pipe, User, WriteEnd};

    use super::*;
    use crate::peer;
    use crate::roles::become_nobody;
    use crate::support::skipped;

    const NOBODY: u32 = 65534;

    #[test]
    fn a37_a_name_has_all_its_rights_before_it_is_found() {
        watched(|| {
            let folder = Folder::new();
            peer::start("access umask", folder.name("")).join();
            assert!(folder.entries().is_empty());
        });
    }

    /// Under a umask that takes the rights of others away.
    fn rights_under_a_umask(folder: &Path) {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let names = ["jobs", "door"].map(|name| folder.join(name));
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(AtomicUsize::new(0));
        let watchers = names.clone().map(|name| {
            let (done, seen) = (Arc::clone(&done), Arc::clone(&seen));
            thread::spawn(move || {
                let mut sees = false;
                while !done.load(Ordering::Relaxed) {
                    if let Ok(found) = fs::symlink_metadata(&name) {
                        assert_eq!(found.mode() & 0o777, 0o666, "{name:?}");
                        if !sees {
                            seen.fetch_add(1, Ordering::Relaxed);
                        }
                        sees = true;
                    }
                }
            })
        });
        let seen = || seen.load(Ordering::Relaxed);
        let mut rounds = 0..300;
        // On a busy machine, it takes longer until both are seen.
        while rounds.next().is_some() || seen() < watchers.len() {
            let pipe = PipeOptions::new().access(Access::LocalUsers);
            let listener = ListenerOptions::new().access(Access::LocalUsers);
            let pipe = pipe.at(&names[0]).unwrap().mkfifo().unwrap();
            let listener = listener.bind(&names[1]).unwrap();
            // It listens by then.
            drop(Connection::try_connect(&names[1]).unwrap());
            drop((pipe, listener));
        }
        done.store(true, Ordering::Relaxed);
        for watcher in watchers {
            watcher.join().unwrap();
        }
    }

    /// What the other process does.
    pub(crate) fn play(role: &str, folder: &Path) {
        match role {
            "access umask" => rights_under_a_umask(folder),
            "access nobody" => use_what_is_allowed(folder),
            other => panic!("no role {other}"),
        }
    }

    #[test]
    fn b5_who_comes_in_by_which_access() {
        watched(|| {
            if !rustix::process::geteuid().is_root() {
                skipped("only root can become another user");
                return;
            }
            let folder = Folder::new();
            fs::set_permissions(folder.name(""), fs::Permissions::from_mode(0o755)).unwrap();
            fs::create_dir(folder.name("own")).unwrap();
            crate::support::keep_private(folder.name("own"));
            std::os::unix::fs::chown(folder.name("own"), Some(NOBODY), None).unwrap();
            let all = [
                ("owner", Access::Owner),
                ("other-group", Access::Group(4711)),
                ("group", Access::Group(NOBODY)),
                ("all", Access::LocalUsers),
            ];
            let kept = all.map(|(name, access)| {
                let pipe = PipeOptions::new().access(access.clone());
                let pipe = pipe.at(folder.name(&format!("{name}.pipe"))).unwrap().mkfifo().unwrap();
                let listener = ListenerOptions::new()
                    .access(access)
                    .admit(|peer| matches!(peer.user(), User::Id { uid: NOBODY, .. }));
                let listener = listener.bind(folder.name(&format!("{name}.door"))).unwrap();
                (pipe.into_reader().open().unwrap(), listener)
            });
            let rights = |name| {
                let found = fs::symlink_metadata(folder.name(name)).unwrap();
                (found.mode() & 0o777, found.gid())
            };
            assert_eq!(rights("other-group.pipe"), (0o660, 4711));
            assert_eq!(rights("other-group.door"), (0o660, 4711));

            let mut nobody = peer::start("access nobody", folder.name(""));
            // Of this user, who is none of those that are let in.
            drop(Connection::connect(folder.name("all.door")).unwrap());
            nobody.await_step(peer::READY);
            for (_, listener) in &kept[2..] {
                let client = listener.accept_timeout(Duration::from_secs(30)).unwrap();
                let peer = client.peer().unwrap();
                assert!(matches!(peer.user(), User::Id { uid: NOBODY, .. }), "{peer:?}");
                assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
            }
            nobody.proceed();
            nobody.join();
        });
    }

    fn use_what_is_allowed(folder: &Path) {
        become_nobody();
        for name in ["owner", "other-group"] {
            let failed = WriteEnd::at(folder.join(format!("{name}.pipe"))).unwrap().open();
            assert_eq!(failed.unwrap_err().kind(), ErrorKind::PermissionDenied);
            let failed = Connection::connect(folder.join(format!("{name}.door"))).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::PermissionDenied, "{failed}");
        }
        let kept = ["group", "all"].map(|name| {
            let end = WriteEnd::at(folder.join(format!("{name}.pipe"))).unwrap().open().unwrap();
            let door = folder.join(format!("{name}.door"));
            (end, ConnectOptions::new().connect(door).unwrap())
        });
        // A name is given to a group by its members alone.
        let own = folder.join("own");
        let pipe = PipeOptions::new().access(Access::Group(0)).at(own.join("jobs")).unwrap();
        let failed = pipe.mkfifo().unwrap_err().into_parts().1;
        let listener = ListenerOptions::new().access(Access::Group(0));
        for error in [failed, listener.bind(own.join("door")).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            assert!(error.to_string().contains("group 0"), "{error}");
        }
        assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
        drop(Pipe::create(own.join("jobs")).unwrap());
        peer::step(peer::READY);
        peer::await_go();
        drop(kept);
    }
}

#[cfg(unix)]
pub(crate) use unix::play;
