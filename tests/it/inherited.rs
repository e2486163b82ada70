//! Sockets and pipes that others opened, and the size of buffers of open ends.

use typed_pipe::{Connection, ErrorKind, Pipe, WriteEnd, inherited_handles};

use crate::support::watched;

#[test]
fn a_process_without_a_supervisor_inherits_nothing() {
    assert!(inherited_handles().unwrap().is_empty());
}

#[test]
fn the_size_of_the_buffer_of_an_open_end_is_a_wish() {
    watched(|| {
        let (mut one, _other) = Connection::pair().unwrap();
        let pipe = Pipe::temporary().unwrap();
        let client = WriteEnd::at(pipe.path()).unwrap();
        let owner = pipe.into_reader().open().unwrap();
        let client = client.open().unwrap();
        let sizes = |wish| {
            [
                one.writer().set_buffer_size(wish),
                one.reader().set_buffer_size(wish),
                owner.set_buffer_size(wish),
                client.set_buffer_size(wish),
            ]
        };
        let mut sizes = [4096, 1 << 17].map(sizes);
        for end in 0..4 {
            let [small, large] = &mut sizes;
            match (&small[end], &large[end]) {
                (Ok(small), Ok(large)) if cfg!(target_os = "linux") => {
                    assert!(*small < 1 << 17 && *large >= 1 << 17, "{end}: {small} {large}");
                }
                (Ok(small), Ok(large)) => assert!(small <= large, "{end}: {small} {large}"),
                (one, other) => {
                    for error in [one, other].map(|size| size.as_ref().unwrap_err()) {
                        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                    }
                }
            }
        }
    });
}

#[cfg(unix)]
mod unix {
    use std::fs::{File, OpenOptions};
    use std::io::{Read, Write};
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use rustix::fs::{OFlags, fcntl_getfl};
    use typed_pipe::state::Open;
    use typed_pipe::{Listener, ListenerOptions, ReadEnd, Unnamed};

    use super::*;
    use crate::peer;
    use crate::support::{Folder, skipped};

    const MOMENT: Duration = Duration::from_millis(20);

    /// A socket as others make it, which waits.
    fn socket(folder: &Folder) -> UnixListener {
        UnixListener::bind(folder.name("door")).unwrap()
    }

    fn waits(fd: impl AsFd) -> bool {
        !fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
    }

    #[test]
    fn a_listening_socket_of_others_is_a_listener() {
        watched(|| {
            let folder = Folder::of_short_names();
            let socket = socket(&folder);
            let copy = socket.try_clone().unwrap();
            let options = ListenerOptions::new().max_clients(2).admit(|peer| peer.is_same_user());
            let listener = options.adopt(socket.into()).unwrap();
            assert_eq!(listener.path().as_path(), folder.name("door"));
            assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(listener.accept_timeout(MOMENT).unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(waits(&copy), "its flags changed");
            let mut client = Connection::connect(listener.path()).unwrap();
            let mut server = listener.accept().unwrap();
            assert!(waits(&copy), "its flags changed");
            server.writer().write(b"hello").unwrap();
            assert_eq!(client.reader().read(&mut [0; 8]).unwrap(), 5);
            assert_eq!(listener.clients(), 1);
            assert!(!listener.is_unlinked());
            assert_eq!(listener.as_fd().as_raw_fd() > 2, waits(&listener));

            // The name, and the socket, belong to others.
            listener.unlink().unwrap();
            assert!(folder.name("door").exists());
            drop(Connection::connect(folder.name("door")).unwrap());
            drop((copy, client, server));
        });
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_listening_socket_of_others_is_a_listener_of_tasks() {
        watched(|| {
            let folder = Folder::of_short_names();
            let socket = socket(&folder);
            let copy = socket.try_clone().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = Listener::try_from(OwnedFd::from(socket)).unwrap();
                let listener = listener.into_tokio().unwrap();
                let error = listener.accept_timeout(MOMENT).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                let _client = Connection::connect(listener.path()).unwrap();
                drop(listener.accept().await.unwrap());
                assert!(waits(&copy), "its flags changed");
                assert!(listener.as_fd().as_raw_fd() > 2);
            });
        });
    }

    #[cfg(feature = "service")]
    #[test]
    fn a_service_answers_at_a_socket_and_over_a_connection_of_others() {
        use typed_pipe::{Client, Service};

        watched(|| {
            let folder = Folder::of_short_names();
            let listener = Listener::try_from(OwnedFd::from(socket(&folder))).unwrap();
            let service = Service::<u32, u32>::new(listener).shutdown_after(1);
            let serving = std::thread::spawn(move || service.serve(|number| number + 1));
            let client = Client::<u32, u32>::connect(folder.name("door")).unwrap();
            assert_eq!(client.call(&1).unwrap(), 2);
            assert_eq!(serving.join().unwrap().unwrap().answered, 1);
            assert!(folder.name("door").exists(), "the name belongs to others");

            let (ours, theirs) = UnixStream::pair().unwrap();
            let [ours, theirs] =
                [ours, theirs].map(|end| Connection::try_from(OwnedFd::from(end)).unwrap());
            let service = Service::<u32, u32>::over(theirs);
            let serving = std::thread::spawn(move || service.serve(|number| number + 1));
            let client = Client::<u32, u32>::over(ours).unwrap();
            assert_eq!(client.call(&2).unwrap(), 3);
            drop(client);
            assert_eq!(serving.join().unwrap().unwrap().answered, 1);
        });
    }

    #[cfg(all(feature = "service", feature = "tokio"))]
    #[test]
    fn a_service_of_tasks_answers_at_a_socket_and_over_a_connection_of_others() {
        use typed_pipe::{ClientOptions, Service};

        watched(|| {
            let folder = Folder::of_short_names();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let add = |number| async move { number + 1 };
                let options = ClientOptions::new().into_tokio();
                let listener = Listener::try_from(OwnedFd::from(socket(&folder))).unwrap();
                let service = Service::<u32, u32>::new(listener).shutdown_after(1);
                let serving = tokio::spawn(service.into_tokio().unwrap().serve(add));
                let client = options.connect::<u32, u32>(folder.name("door")).await.unwrap();
                assert_eq!(client.call(&1).await.unwrap(), 2);
                assert_eq!(serving.await.unwrap().unwrap().answered, 1);

                let (ours, theirs) = UnixStream::pair().unwrap();
                let [ours, theirs] =
                    [ours, theirs].map(|end| Connection::try_from(OwnedFd::from(end)).unwrap());
                let service = Service::<u32, u32>::over(theirs).into_tokio().unwrap();
                let serving = tokio::spawn(service.serve(add));
                let client = options.over::<u32, u32>(ours).await.unwrap();
                assert_eq!(client.call(&2).await.unwrap(), 3);
                drop(client);
                assert_eq!(serving.await.unwrap().unwrap().answered, 1);
            });
        });
    }

    #[test]
    fn what_is_no_listening_socket_is_given_back() {
        let folder = Folder::of_short_names();
        let (one, _other) = UnixStream::pair().unwrap();
        let internet = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let file = File::create(folder.name("file")).unwrap();
        let bound = std::os::unix::net::UnixDatagram::bind(folder.name("datagrams")).unwrap();
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            let name = format!("typed-pipe-test-{}", std::process::id());
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
            let socket = UnixListener::bind_addr(&address).unwrap();
            let failed = Listener::try_from(OwnedFd::from(socket)).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::Mismatch, "{failed}");
        }
        let all: [OwnedFd; 4] = [one.into(), internet.into(), file.into(), bound.into()];
        for fd in all {
            let number = fd.as_raw_fd();
            let failed = Listener::try_from(fd).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::Mismatch, "{failed}");
            assert_eq!(failed.into_state().as_raw_fd(), number);
        }
    }

    /// As a unit of systemd with `ListenStream` and `ListenFIFO`.
    #[allow(unsafe_code, reason = "descriptors get their numbers between fork and exec")]
    #[test]
    fn a_service_is_started_with_its_socket_and_its_pipe() {
        watched(|| {
            let folder = Folder::of_short_names();
            let socket = socket(&folder);
            let jobs = folder.name("jobs");
            assert!(Command::new("mkfifo").arg(&jobs).status().unwrap().success());
            let pipe = OpenOptions::new().read(true).write(true).open(&jobs);
            let Ok(pipe) = pipe else {
                skipped("this system opens no FIFO both ways");
                return;
            };
            let handed = [socket.as_raw_fd(), pipe.as_raw_fd()];
            let mut command = Command::new("sh");
            command.args(["-c", "LISTEN_PID=$$ exec \"$@\"", "sh"]);
            command.arg(std::env::current_exe().unwrap());
            command.args(["--exact", "peer::play", "--nocapture"]);
            command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "door:jobs");
            peer::cast(&mut command, "inherited service", folder.name("").as_ref(), 0);
            let hand_over = move || {
                // SAFETY: it makes a descriptor that nothing else has.
                let copies = handed.map(|fd| unsafe { libc::fcntl(fd, libc::F_DUPFD, 100) });
                for (fd, number) in copies.into_iter().zip(3..) {
                    // SAFETY: it runs in the child, where nothing uses these numbers.
                    if unsafe { libc::dup2(fd, number) } < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                    // SAFETY: it was made above.
                    unsafe { libc::close(fd) };
                }
                Ok(())
            };
            // SAFETY: between fork and exec it copies descriptors alone.
            unsafe { command.pre_exec(hand_over) };
            let mut service = command.spawn().unwrap();
            drop((socket, pipe));
            let mut client = Connection::connect(folder.name("door")).unwrap();
            client.write_all(b"ask").unwrap();
            WriteEnd::at(&jobs).unwrap().open().unwrap().write_all(b"job").unwrap();
            let mut answer = String::new();
            client.finish().unwrap().read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "asked for a job");
            assert!(service.wait().unwrap().success());
            assert_eq!(folder.entries(), ["door", "jobs"]);
        });
    }

    /// What the other process does.
    pub(crate) fn play(role: &str, folder: &Path) {
        assert_eq!(role, "inherited service");
        let mut handles = inherited_handles().unwrap();
        assert_eq!(handles.len(), 2);
        let (name, jobs) = handles.pop().unwrap();
        assert_eq!(name, "jobs");
        let (name, door) = handles.pop().unwrap();
        assert_eq!(name, "door");
        let listener = Listener::try_from(door).unwrap();
        assert_eq!(listener.path().as_path(), folder.join("door"));
        let mut jobs = ReadEnd::<Open, Unnamed>::try_from(jobs).unwrap();
        let mut client = listener.accept().unwrap();
        let (mut asked, mut job) = ([0; 3], [0; 3]);
        client.read_exact(&mut asked).unwrap();
        jobs.read_exact(&mut job).unwrap();
        assert_eq!((&asked, &job), (b"ask", b"job"));
        client.write_all(b"asked for a job").unwrap();
        client.finish().unwrap().read_to_end(&mut Vec::new()).unwrap();

        // What the variables promise and is not there.
        peer::set_variable("LISTEN_FDS", "400");
        assert_eq!(inherited_handles().unwrap_err().kind(), ErrorKind::Io);
        peer::set_variable("LISTEN_FDS", "two");
        let error = inherited_handles().unwrap_err();
        assert!(error.to_string().contains("LISTEN_FDS"), "{error}");
        peer::set_variable("LISTEN_PID", "1");
        assert!(inherited_handles().unwrap().is_empty());
    }

    /// As `exec 3<>jobs` in a shell.
    #[cfg(target_os = "linux")]
    #[test]
    fn a14_a_descriptor_for_both_ways_is_an_end_of_either_direction() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("jobs");
            assert!(Command::new("mkfifo").arg(&name).status().unwrap().success());
            let both =
                || OwnedFd::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
            // It reads, and sees that the last writer has left.
            let mut reader = ReadEnd::<Open, Unnamed>::try_from(both()).unwrap();
            let mut writer = WriteEnd::at(&name).unwrap().open().unwrap();
            writer.write_all(b"job").unwrap();
            drop(writer);
            let mut words = String::new();
            reader.read_to_string(&mut words).unwrap();
            assert_eq!(words, "job");
            drop(reader);
            // It writes, and sees that the last reader has left.
            let mut writer = WriteEnd::<Open, Unnamed>::try_from(both()).unwrap();
            let mut reader = ReadEnd::at(&name).unwrap().open().unwrap();
            writer.write_all(b"job").unwrap();
            reader.read_exact(&mut [0; 3]).unwrap();
            drop(reader);
            let error = crate::support::until_it_fails(|| writer.write(b"job"));
            assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
        });
    }
}

#[cfg(unix)]
pub(crate) use unix::play;
