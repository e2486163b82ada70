//! What only sockets of Unix have: their names as files, descriptors, forks, and hostile neighbours.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::{SendFlags, send};
use typed_pipe::{
    ConnectOptions, Connection, ErrorKind, IfExists, Listener, ListenerOptions, Pipe, User,
};

use crate::peer;
use crate::support::{Folder, Waiters, keep_private, short, skipped, until, watched};

const SHORT: Duration = Duration::from_millis(50);

/// One byte from a client of the name to its listener.
fn meet(listener: &Listener, name: &Path) {
    let mut client = Connection::connect(name).unwrap();
    client.write_all(b"x").unwrap();
    listener.accept().unwrap().read_exact(&mut [0]).unwrap();
}

/// A path in a folder, of so many bytes.
fn path_of(len: usize, folder: &Path) -> PathBuf {
    let mut path: PathBuf = folder.components().collect();
    loop {
        let left = len - path.as_os_str().len() - 1;
        if left <= 200 {
            return path.join("n".repeat(left));
        }
        path.push("d".repeat(left.min(201) - 1));
        fs::create_dir_all(&path).unwrap();
        keep_private(&path);
    }
}

#[test]
fn b1_paths_of_any_length_work_or_fail_by_name() {
    watched(|| {
        let folder = Folder::of_short_names();
        for len in [100, 103, 104, 107, 108, 200, 1000, 4000] {
            let name = path_of(len, &folder.name(""));
            assert_eq!(name.as_os_str().len(), len);
            match Listener::bind(&name) {
                Ok(listener) => {
                    assert!(name.exists(), "the name of {len} bytes was cut");
                    meet(&listener, &name);
                    drop(listener);
                }
                Err(failed) => {
                    let too_long = len > 103 && cfg!(not(target_os = "linux"));
                    assert!(too_long && failed.kind() == ErrorKind::InvalidName, "{failed}");
                    let failed = Connection::try_connect(&name).unwrap_err();
                    assert_eq!(failed.kind(), ErrorKind::InvalidName, "{failed}");
                }
            }
            assert_eq!(fs::read_dir(name.parent().unwrap()).unwrap().filter(is_file).count(), 0);
        }
    });
}

fn is_file(entry: &std::io::Result<fs::DirEntry>) -> bool {
    !entry.as_ref().unwrap().file_type().unwrap().is_dir()
}

#[cfg(target_os = "linux")]
#[test]
fn b1_the_longest_names_of_files() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name(&"n".repeat(250));
        let listener = Listener::bind(&name).unwrap();
        meet(&listener, &name);
        drop(listener);
        let failed = Listener::bind(folder.name(&"n".repeat(251))).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::InvalidName, "{failed}");
        assert!(folder.entries().is_empty());
    });
}

#[test]
fn b2_what_no_owner_left_behind_is_replaced_where_that_is_wanted() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let bind = |policy| ListenerOptions::new().if_exists(policy).bind(&name);

        // A socket of another program, at which nobody listens any more.
        drop(UnixListener::bind(short(&name)).unwrap());
        await_silence(&name);
        for policy in [IfExists::Fail, IfExists::TakeOver] {
            let failed = bind(policy).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::AlreadyExists, "{failed}");
        }
        assert_eq!(folder.entries(), ["door"]);
        meet(&bind(IfExists::Reuse).unwrap(), &name);
        assert!(folder.entries().is_empty());

        // One at which somebody does.
        let living = UnixListener::bind(short(&name)).unwrap();
        for policy in [IfExists::TakeOver, IfExists::Reuse] {
            let failed = bind(policy).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::InUse, "{failed}");
        }
        drop(living);
        fs::remove_file(&name).unwrap();

        // What a killed owner left.
        let mut peer = peer::start("listen", &name);
        peer.await_step(peer::READY);
        peer.kill();
        assert_eq!(bind(IfExists::Fail).unwrap_err().kind(), ErrorKind::AlreadyExists);
        meet(&bind(IfExists::TakeOver).unwrap(), &name);
        assert!(folder.entries().is_empty());
    });
}

/// Waits until nobody listens: a child that another test is about to start has a copy for a moment.
fn await_silence(name: &Path) {
    while UnixStream::connect(short(name)).is_ok() {}
}

/// Such a path is no address of a socket, and such a name not even in its own folder.
#[cfg(target_os = "linux")]
#[test]
fn b2_what_a_killed_listener_left_at_a_long_path_is_taken_over() {
    watched(|| {
        let folder = Folder::of_short_names();
        let long = folder.name(&"n".repeat(250));
        let names = [108, 109, 200, 1000, 4000].map(|len| path_of(len, &folder.name("")));
        for name in names.iter().chain([&long]) {
            for policy in [IfExists::TakeOver, IfExists::Reuse] {
                let mut peer = peer::start("listen", name);
                peer.await_step(peer::READY);
                let failed = Listener::bind(name).unwrap_err();
                assert_eq!(failed.kind(), ErrorKind::InUse, "{failed}");
                peer.kill();
                let failed = ListenerOptions::new().if_exists(IfExists::Fail).bind(name);
                assert_eq!(failed.unwrap_err().kind(), ErrorKind::AlreadyExists);
                meet(&ListenerOptions::new().if_exists(policy).bind(name).unwrap(), name);
            }
            let files = fs::read_dir(name.parent().unwrap()).unwrap().filter(is_file).count();
            assert_eq!(files, 0, "{}", name.display());
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn b2_listeners_that_are_killed_while_they_take_a_long_name_leave_nothing_for_good() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name(&"n".repeat(250));
        for kill in 0..20 {
            let mut peer = peer::start("listen-and-leave", &name);
            peer.await_step(peer::READY);
            thread::sleep(Duration::from_micros(kill * 150)); // wherever it is then
            peer.kill();
        }
        let listener = Listener::bind(&name).unwrap();
        assert_eq!(folder.entries().len(), 2, "{:?}", folder.entries());
        meet(&listener, &name);
        drop(listener);
        assert!(folder.entries().is_empty(), "{:?}", folder.entries());
    });
}

#[test]
fn b2_of_two_listeners_that_race_for_a_name_one_wins() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("contested");
        let mut peers =
            [peer::start("race-to-listen", &name), peer::start("race-to-listen", &name)];
        for _ in 0..200 {
            peers.iter_mut().for_each(peer::Peer::proceed);
            let came = peers.each_mut().map(|peer| peer.await_any(&[peer::WON, peer::LOST]));
            assert_eq!(came.iter().filter(|&&came| came == peer::WON).count(), 1);
            for (peer, came) in peers.iter_mut().zip(came) {
                if came == peer::WON {
                    meet_stranger(&name);
                    peer.proceed();
                    peer.await_step(peer::READY);
                }
            }
        }
        peers.into_iter().for_each(peer::Peer::join);
        assert!(folder.entries().is_empty());
    });
}

/// A client of a listener of another process, that says nothing.
fn meet_stranger(name: &Path) {
    Connection::try_connect(name).unwrap();
}

#[test]
fn b2_other_files_are_no_sockets() {
    watched(|| {
        let folder = Folder::new();
        let (file, fifo, inner) = (folder.name("file"), folder.name("fifo"), folder.name("folder"));
        fs::write(&file, "precious").unwrap();
        let pipe = Pipe::new(&fifo).unwrap().mkfifo().unwrap();
        fs::create_dir(&inner).unwrap();
        for name in [&file, &inner] {
            let options = ListenerOptions::new().if_exists(IfExists::Reuse);
            let failed = options.bind(name).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotAPipe, "{failed}");
            assert_eq!(Connection::connect(name).unwrap_err().kind(), ErrorKind::NotAPipe);
        }
        assert_eq!(Connection::connect(&fifo).unwrap_err().kind(), ErrorKind::NotAPipe);
        assert_eq!(Listener::bind(&fifo).unwrap_err().kind(), ErrorKind::InUse);
        assert_eq!(fs::read_to_string(file).unwrap(), "precious");
        drop(pipe);
        // And a name to which datagrams are sent.
        let name = folder.name("datagrams");
        let _socket = UnixDatagram::bind(short(&name)).unwrap();
        let failed = Connection::connect(&name).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotAPipe, "{failed}");
        let options = ListenerOptions::new().if_exists(IfExists::Reuse);
        let failed = options.bind(&name).unwrap_err();
        assert!(matches!(failed.kind(), ErrorKind::InUse | ErrorKind::NotAPipe), "{failed}");
    });
}

#[test]
fn b3_the_name_of_another_listener_is_left_alone() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let first = Listener::bind(&name).unwrap();
        fs::remove_file(&name).unwrap();
        assert!(first.is_unlinked());
        let _other = UnixListener::bind(short(&name)).unwrap();
        assert!(first.is_unlinked());
        drop(first);
        assert_eq!(folder.entries(), ["door"]);
    });
}

#[test]
fn b4_the_name_is_never_open_to_more_than_it_shall_be() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let mut seen = 0;
                while !done.load(Ordering::Relaxed) {
                    if let Ok(found) = name.symlink_metadata() {
                        seen |= found.permissions().mode() & 0o777;
                    }
                }
                seen
            });
            for _ in 0..300 {
                drop(Listener::bind(&name).unwrap());
            }
            done.store(true, Ordering::Relaxed);
            let seen = looking.join().unwrap();
            if cfg!(target_os = "linux") {
                assert_eq!(seen & !0o600, 0, "{seen:o}");
            }
        });
        for mode in [0o600, 0o660, 0o666] {
            let listener = ListenerOptions::new().mode(mode).bind(&name).unwrap();
            assert_eq!(name.symlink_metadata().unwrap().permissions().mode() & 0o777, mode);
            drop(listener);
        }
    });
}

#[test]
fn b5_b6_b17_other_users_are_told_apart() {
    watched(|| {
        if !rustix::process::geteuid().is_root() {
            skipped("only root can become another user");
            return;
        }
        let folder = Folder::new();
        fs::set_permissions(folder.name(""), fs::Permissions::from_mode(0o777)).unwrap();
        let name = folder.name("private");
        let options = ListenerOptions::new().trust_any_folder();
        let private = options.bind(&name).unwrap();
        let open = options.mode(0o666).bind(folder.name("open")).unwrap();
        let mut stranger = peer::start("stranger", folder.name(""));

        // It comes in where the mode lets it, and is known to be somebody else.
        let client = open.accept().unwrap();
        let who = client.peer().unwrap();
        assert!(matches!(who.user(), User::Id { uid: 65534, .. }), "{who:?}");
        assert!(!who.is_same_user());
        let failed = client.require_same_user().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
        assert!(failed.to_string().contains("65534"), "{failed}");

        // Its own listener is a trap, also behind a link.
        stranger.await_step(peer::READY);
        let theirs = folder.name("theirs");
        let link = folder.name("link");
        symlink(&theirs, &link).unwrap();
        for name in [&theirs, &link] {
            let failed = Connection::connect(name).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
            ConnectOptions::new().trust_any_owner().connect(name).unwrap();
        }
        let failed = Listener::bind(&theirs).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotTrusted, "{failed}");
        stranger.proceed();
        drop(client);
        stranger.join();
        drop(private);
    });
}

#[test]
fn b6_a_link_is_followed_by_clients_and_never_replaced() {
    watched(|| {
        let folder = Folder::new();
        let (name, link) = (folder.name("door"), folder.name("link"));
        symlink(&name, &link).unwrap();
        let failed = Listener::bind(&link).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotAPipe, "{failed}");
        let listener = Listener::bind(&name).unwrap();
        meet(&listener, &link);
        drop(listener);
        assert_eq!(folder.entries(), ["link"]);
    });
}

#[test]
fn b8_a_child_holds_neither_a_name_nor_a_connection() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let mut client = Connection::connect(&path).unwrap();
        let server = listener.accept().unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(listener);
        let failed = Connection::try_connect(&path).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotFound, "{failed}");
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn b8_a_forked_child_removes_no_name_and_ends_no_direction() {
    watched(|| peer::start("fork-connections", Folder::new().name("door")).join());
}

#[test]
fn b8_a_forked_child_may_finish() {
    watched(|| peer::start("fork-server", Folder::new().name("door")).join());
}

#[test]
fn b10_a_process_without_descriptors_neither_spins_nor_loses_its_clients() {
    watched(|| peer::start("exhausted-listener", Folder::new().name("door")).join());
}

#[cfg(feature = "fanout")]
#[test]
fn b10_a_select_without_descriptors_neither_spins_nor_loses_its_clients() {
    watched(|| peer::start("exhausted-select", Folder::new().name("door")).join());
}

#[cfg(feature = "tokio")]
#[test]
fn b10_clients_of_tasks_without_descriptors_are_kept() {
    let roles = ["exhausted-tasks", "exhausted-service"];
    for role in roles.into_iter().take(1 + usize::from(cfg!(feature = "service"))) {
        watched(move || peer::start(role, Folder::new().name("door")).join());
    }
}

#[cfg(feature = "service")]
#[test]
fn b10_a_client_in_this_process_says_that_it_has_no_descriptors() {
    watched(|| peer::start("exhausted-local-client", Folder::new().name("door")).join());
}

#[test]
fn b18_the_user_of_a_dead_client_is_still_known() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut peer = peer::start("connect", listener.path());
        let client = listener.accept().unwrap();
        peer.await_step(peer::READY);
        let User::Id { uid, gid, .. } = *client.peer().unwrap().user() else { unreachable!() };
        assert_eq!(uid, rustix::process::geteuid().as_raw());
        assert_eq!(gid, rustix::process::getegid().as_raw());
        peer.kill();
        // The number of a process that has ended may be another's: that of the user stays what it was.
        assert!(client.peer().unwrap().is_same_user());
    });
}

#[test]
fn a_pair_needs_no_folder() {
    watched(|| {
        let folder = Folder::new();
        let nowhere = format!("TMPDIR={}", folder.name("nowhere").display());
        let mut peer = peer::start_through(&["env", &nowhere], "pair-up", folder.name(""));
        peer.await_step(peer::READY);
        peer.join();
    });
}

/// What starts a process in a namespace of its own, if that is possible here.
#[cfg(target_os = "linux")]
fn contained(user: &'static str) -> Option<Vec<&'static str>> {
    let ways = [vec!["unshare"], vec!["unshare", "--user", user]];
    let ways = ways.map(|way| [way, vec!["--pid", "--fork"]].concat());
    let runs = |way: &Vec<&str>| {
        let mut command = Command::new(way[0]);
        command.args(&way[1..]).arg("true").output().is_ok_and(|done| done.status.success())
    };
    let way = ways.into_iter().find(runs);
    if way.is_none() {
        skipped("no process can be started in a namespace of its own");
    }
    way
}

#[cfg(target_os = "linux")]
#[test]
fn b8_a_forked_child_with_the_number_of_its_parent_removes_no_name_and_ends_no_direction() {
    watched(|| {
        let Some(way) = contained("--map-root-user") else { return };
        let folder = Folder::new();
        peer::start_through(&way, "fork-in-a-container", folder.name("door")).join();
        assert!(folder.entries().is_empty(), "{:?}", folder.entries());
    });
}

/// The lock of an owner belongs to its forked children as well, as long as they have it.
#[test]
fn b8_a_forked_child_that_drops_its_copies_leaves_the_names_of_its_killed_parent_to_the_next_owner()
{
    watched(|| {
        for role in ["fork-and-drop", "fork-and-keep"] {
            let folder = Folder::new();
            let name = folder.name("name");
            let door = name.with_extension("door");
            let mut peer = peer::start(role, &name);
            peer.await_step(peer::READY);
            let lives = peer.process().stdin.take();
            peer.kill();
            if role == "fork-and-keep" {
                let failed = Pipe::new(&name).unwrap().mkfifo().unwrap_err();
                assert_eq!(failed.kind(), ErrorKind::InUse, "{failed}");
                assert!(failed.to_string().contains("forked"), "{failed}");
                assert_eq!(Listener::bind(&door).unwrap_err().kind(), ErrorKind::InUse);
                drop(lives);
                until(|| {
                    Pipe::new(&name).unwrap().mkfifo().is_ok() && Listener::bind(&door).is_ok()
                });
            } else {
                drop(Pipe::new(&name).unwrap().mkfifo().unwrap());
                drop(Listener::bind(&door).unwrap());
                drop(lives);
            }
            assert!(folder.entries().is_empty());
        }
    });
}

#[cfg(feature = "service")]
#[test]
fn b8_a_forked_child_gives_up_no_call_and_ends_no_service_of_its_parent() {
    watched(|| peer::start("fork-calls", Folder::new().name("door")).join());
}

#[cfg(feature = "tokio")]
#[test]
fn b8_a_forked_child_takes_nothing_from_the_tasks_of_its_parent() {
    watched(|| peer::start("fork-tasks", Folder::new().name("door")).join());
}

/// Another process may have it too, or another part of this one.
#[test]
fn b8_to_close_a_copy_of_a_connection_ends_nothing() {
    watched(|| {
        let (mut one, mut other) = Connection::pair().unwrap();
        let copy = || Connection::try_from(one.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let copies = [(); 5].map(|()| copy());
        let [plain, typed, joined, split, tokio] = copies;
        drop(plain);
        let typing = thread::spawn({
            let mut other = other.as_fd().try_clone_to_owned().map(UnixStream::from).unwrap();
            move || {
                // Both sides of the connection say the same terms, in one write.
                let mut terms = [0; 4096];
                let len = other.read(&mut terms).unwrap();
                other.write_all(&terms[..len]).unwrap();
            }
        });
        drop(typed.into_typed::<str, String>().unwrap());
        typing.join().unwrap();
        let (reader, writer) = joined.split();
        drop(Connection::reunite(reader, writer).unwrap());
        #[cfg(feature = "tokio")]
        {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async { drop(tokio.into_tokio().unwrap()) });
        }
        #[cfg(not(feature = "tokio"))]
        drop(tokio);
        for (from, to) in [(0, 1), (1, 0)] {
            let sides = [&mut one, &mut other];
            sides[from].write_all(b"x").unwrap();
            sides[to].read_exact(&mut [0]).unwrap();
        }
        // What is split is meant to end alone.
        let (reader, writer) = split.split();
        drop(writer);
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
        drop(reader);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn b18_a_process_of_another_container_is_known_by_its_user() {
    watched(|| {
        let Some(way) = contained("--map-current-user") else { return };
        let folder = Folder::new();
        let listener = Listener::bind(folder.name("outside")).unwrap();
        let mut peer = peer::start_through(&way, "unseeing", folder.name(""));
        let client = listener.accept().unwrap();
        peer.await_step(peer::READY);
        let server = Connection::connect(folder.name("inside")).unwrap();
        for connection in [client, server] {
            // From outside, what is inside can be seen.
            let who = connection.peer().unwrap();
            assert!(who.pid().is_some() && who.is_same_user(), "{who:?}");
        }
        peer.join();
    });
}

#[test]
fn b24_a_byte_out_of_band_does_not_hold_up_the_reader() {
    watched(|| {
        for cancelled in [false, true] {
            let listener = Listener::temporary().unwrap();
            let hostile = UnixStream::connect(short(listener.path())).unwrap();
            let mut server = listener.accept().unwrap();
            if cancelled {
                server = server.cancelled_by(&typed_pipe::CancelToken::new().unwrap());
            }
            (&hostile).write_all(b"one").unwrap();
            if send(&hostile, b"!", SendFlags::OOB).is_err() {
                skipped("this system has no such bytes");
                return;
            }
            let mut bytes = Vec::new();
            let mut buf = [0; 16];
            let failed = loop {
                match server.reader().read_timeout(&mut buf, SHORT) {
                    Ok(read) => bytes.extend_from_slice(&buf[..read]),
                    Err(failed) => break failed,
                }
            };
            assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
            (&hostile).write_all(b"two").unwrap();
            drop(hostile);
            server.read_to_end(&mut bytes).unwrap();
            bytes.retain(|&byte| byte != b'!');
            assert_eq!(bytes, b"onetwo");
        }
    });
}

#[test]
fn b24_a_reader_that_waits_uses_no_processor() {
    watched(|| peer::start("idle-reader", Folder::new().name("door")).join());
}

/// As one without tasks does: for what this crate has no name for.
#[cfg(feature = "tokio")]
#[test]
fn what_tasks_wait_for_lends_its_descriptor() {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (one, mut other) = Connection::pair().unwrap();
        let one = runtime.block_on(async { one.into_tokio().unwrap() });
        let (reader, writer) = (one.as_fd().try_clone_to_owned().unwrap(), one.split().1);
        let inode = |fd: &dyn AsFd| rustix::fs::fstat(fd.as_fd()).unwrap().st_ino;
        assert_eq!(inode(&reader), inode(&writer));
        UnixStream::from(reader).write_all(b"plain").unwrap();
        let mut buf = [0; 5];
        other.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"plain");
    });
}

#[test]
fn a_connection_becomes_a_descriptor_and_comes_back() {
    watched(|| {
        let (one, mut other) = Connection::pair().unwrap();
        let fd = one.as_fd().try_clone_to_owned().unwrap();
        drop(fd);
        let mut stream = UnixStream::from(OwnedFd::from(one));
        stream.write_all(b"plain").unwrap();
        let mut buf = [0; 5];
        other.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"plain");

        stream.set_nonblocking(true).unwrap();
        let mut one = Connection::try_from(OwnedFd::from(stream)).unwrap();
        assert!(one.path().is_none());
        let failed = one.reader().read_timeout(&mut buf, SHORT).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        assert_eq!(one.reader().try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        let reading = Waiters::this();
        let answering = thread::spawn(move || {
            reading.asleep();
            other.write_all(b"again").unwrap();
        });
        one.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"again");
        answering.join().unwrap();

        // It is given away as it came.
        let fd = OwnedFd::from(one);
        assert!(fcntl_getfl(&fd).unwrap().contains(OFlags::NONBLOCK));
        let mut stream = UnixStream::from(fd);
        let end = loop {
            match stream.read(&mut buf) {
                // A child that another test starts has a copy of the other side for a moment.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => thread::yield_now(),
                read => break read.unwrap(),
            }
        };
        assert_eq!(end, 0);
    });
}

#[test]
fn a_connection_is_made_of_nothing_else() {
    watched(|| {
        let folder = Folder::new();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        let others: Vec<OwnedFd> = vec![
            fs::File::open("/dev/null").unwrap().into(),
            rustix::pipe::pipe().unwrap().0,
            UnixListener::bind(short(folder.name("listener"))).unwrap().into(),
            UnixDatagram::pair().unwrap().0.into(),
            tcp.into(),
            dialled.into(),
        ];
        for fd in others {
            let inode =
                |fd: &OwnedFd| fs::File::from(fd.try_clone().unwrap()).metadata().unwrap().ino();
            let before = inode(&fd);
            let failed = Connection::try_from(fd).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotAPipe, "{failed}");
            assert_eq!(inode(&failed.into_state()), before);
        }
    });
}
