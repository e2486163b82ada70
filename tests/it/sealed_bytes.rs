//! Bytes in memory that no process can change any more.

#[cfg(not(target_os = "linux"))]
#[test]
fn systems_without_sealed_bytes_say_so() {
    use typed_pipe::{ErrorKind, Handles, SealedBytes};

    let error = SealedBytes::fill(10, |_| panic!("there is nothing to fill")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let mut handles = Handles::new();
    handles.add(tempfile::tempfile().unwrap());
    let error = handles.take::<SealedBytes>(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    handles.take::<std::fs::File>(0).unwrap();
}

#[cfg(target_os = "linux")]
pub(crate) mod linux {
    use std::fs::{self, File};
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::FileExt;
    use std::os::unix::net::UnixStream;
    use std::panic;
    use std::path::Path;
    use std::thread;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
    use typed_pipe::{
        Connection, ErrorKind, Handles, Listener, SealedBytes, TypedConnection, WithHandles,
    };

    use crate::peer::{self, READY, await_go, count, step};
    use crate::support::watched;

    /// A number, and the number of the handle.
    type Frame = WithHandles<(u64, u32)>;

    const FRAME: usize = 2 << 20;
    const ROUNDS: u64 = 300;

    pub(crate) fn play(role: &str, name: &Path) {
        match role {
            "give-frames" => give_frames(name),
            "take-frames" => take_frames(name),
            "give-what-is-not-sealed" => give_what_is_not_sealed(name),
            "change-what-is-sealed" => change_what_is_sealed(name),
            other => panic!("no role {other}"),
        }
    }

    /// The content of a frame, which another one does not have.
    fn picture(number: u64) -> impl Iterator<Item = u8> {
        (0..FRAME as u64 / 8).flat_map(move |place| (place * 31 + number).to_le_bytes())
    }

    fn frame(number: u64) -> SealedBytes {
        SealedBytes::fill(FRAME, |bytes| {
            for (byte, of) in bytes.iter_mut().zip(picture(number)) {
                *byte = of;
            }
        })
        .unwrap()
    }

    fn send(sender: &mut TypedConnection<Frame, ()>, number: u64, bytes: impl Into<OwnedFd>) {
        let mut handles = Handles::new();
        let place = handles.add(bytes.into());
        sender.send_with_handles(&(number, place), &mut handles).unwrap();
    }

    fn give_frames(name: &Path) {
        let mut connection = TypedConnection::<Frame, ()>::connect(name).unwrap();
        for number in 0..3 {
            send(&mut connection, number, frame(number));
        }
        step(READY);
        await_go();
    }

    /// Takes many, and has no more descriptors and no more memory mapped than before.
    fn take_frames(name: &Path) {
        let mut connection = TypedConnection::<(), Frame>::connect(name).unwrap();
        let mapped = || {
            let maps = fs::read_to_string("/proc/self/maps").unwrap();
            maps.lines().filter(|line| line.contains("memfd:")).count()
        };
        let mut before = None;
        for number in 0..ROUNDS {
            let ((told, place), mut handles) = connection.recv_with_handles().unwrap();
            let bytes: SealedBytes = handles.take(place).unwrap();
            assert_eq!((told, bytes.len()), (number, FRAME));
            assert_eq!(bytes[..8], number.to_le_bytes());
            assert_eq!(mapped(), 1);
            drop((bytes, handles));
            assert_eq!(mapped(), 0);
            let open = count("/proc/self/fd");
            assert_eq!(*before.get_or_insert(open), open);
        }
    }

    fn memory(len: u64) -> File {
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
        let file = File::from(memfd_create("test", flags).unwrap());
        ftruncate(&file, len).unwrap();
        file
    }

    const ALL: SealFlags =
        SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

    /// What a hostile process may send in place of sealed bytes.
    fn not_sealed() -> Vec<(&'static str, OwnedFd)> {
        let mut bad = Vec::new();
        let filled = |seals| {
            let file = memory(0);
            (&file).write_all(&[7; 10_000]).unwrap();
            fcntl_add_seals(&file, seals).unwrap();
            OwnedFd::from(file)
        };
        bad.push(("no seal", filled(SealFlags::empty())));
        bad.push(("the last seal alone", filled(SealFlags::SEAL)));
        for seal in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE] {
            bad.push(("one seal is missing", filled(ALL.difference(seal))));
        }
        let future = ALL.difference(SealFlags::WRITE).union(SealFlags::FUTURE_WRITE);
        bad.push(("a view that was there before may be written to", filled(future)));
        let sparse = memory(64 << 20);
        sparse.write_all_at(&[7; 8192], 4096).unwrap();
        fcntl_add_seals(&sparse, ALL).unwrap();
        bad.push(("parts are missing", sparse.into()));
        let behind = memory(64 << 20);
        let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&behind, keep, 64 << 20, 64 << 20).unwrap();
        fcntl_add_seals(&behind, ALL).unwrap();
        bad.push(("all parts are missing, and as many are behind the end", behind.into()));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        bad.push(("a regular file", file.into()));
        let (from, to) = rustix::pipe::pipe().unwrap();
        bad.push(("the reading end of a pipe", from));
        bad.push(("the writing end of a pipe", to));
        bad.push(("a socket", UnixStream::pair().unwrap().0.into()));
        bad.push(("a folder", File::open("/").unwrap().into()));
        bad.push(("a device", File::open("/dev/zero").unwrap().into()));
        bad
    }

    fn give_what_is_not_sealed(name: &Path) {
        let mut connection = TypedConnection::<Frame, ()>::connect(name).unwrap();
        for (number, (_, bad)) in (0..).zip(not_sealed()) {
            send(&mut connection, number, bad);
        }
        send(&mut connection, 77, frame(77));
    }

    /// Keeps a descriptor of what it sends, and tries all that it can to change it.
    fn change_what_is_sealed(name: &Path) {
        let mut connection = TypedConnection::<Frame, ()>::connect(name).unwrap();
        let bytes = frame(5);
        let kept = File::from(OwnedFd::from(bytes.try_clone().unwrap()));
        send(&mut connection, 5, bytes);
        assert!(kept.write_at(&[9; 100], 0).is_err(), "it is written to");
        assert!(kept.set_len(0).is_err(), "it shrinks");
        assert!(kept.set_len(2 * FRAME as u64).is_err(), "it grows");
        let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        assert!(rustix::fs::fallocate(&kept, punch, 0, 4096).is_err(), "it gets a hole");
        assert!(fcntl_add_seals(&kept, SealFlags::empty()).is_err(), "the seals are open");
        // Nor by its name, with the right to write.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&kept));
        if let Ok(again) = fs::OpenOptions::new().write(true).open(path) {
            assert!(again.write_at(&[9; 100], 0).is_err(), "it is written to");
            assert!(again.set_len(0).is_err(), "it shrinks");
        }
        step(READY);
        await_go();
    }

    fn accept(role: &str) -> (peer::Peer, Connection) {
        let listener = Listener::temporary().unwrap();
        let peer = peer::start(role, listener.path());
        (peer, listener.accept().unwrap())
    }

    #[test]
    fn sealed_bytes_outlive_the_process_that_made_them() {
        watched(|| {
            let (mut peer, client) = accept("give-frames");
            let mut client = client.into_typed::<(), Frame>().unwrap();
            peer.await_step(READY);
            peer.kill();
            for number in 0..3 {
                let ((told, place), mut handles) = client.recv_with_handles().unwrap();
                let bytes: SealedBytes = handles.take(place).unwrap();
                assert_eq!(told, number);
                assert!(bytes.iter().copied().eq(picture(number)), "they are others");
            }
            assert!(client.recv_with_handles().unwrap_err().is_end());
        });
    }

    #[test]
    fn nothing_is_left_of_sealed_bytes() {
        watched(|| {
            let (peer, client) = accept("take-frames");
            let mut client = client.into_typed::<Frame, ()>().unwrap();
            for number in 0..ROUNDS {
                let bytes = SealedBytes::fill(FRAME, |bytes| {
                    bytes[..8].copy_from_slice(&number.to_le_bytes());
                });
                send(&mut client, number, bytes.unwrap());
            }
            peer.join();
            let names = fs::read_dir("/dev/shm").into_iter().flatten();
            for name in names {
                let name = name.unwrap().file_name();
                assert!(!name.to_string_lossy().contains("typed-pipe"), "{name:?} is left");
            }
        });
    }

    #[test]
    fn what_is_not_sealed_is_refused_and_the_next_message_received() {
        watched(|| {
            let (peer, client) = accept("give-what-is-not-sealed");
            let mut client = client.into_typed::<(), Frame>().unwrap();
            for (number, (what, _)) in (0..).zip(not_sealed()) {
                let ((told, place), mut handles) = client.recv_with_handles().unwrap();
                assert_eq!(told, number);
                let error = handles.take::<SealedBytes>(place).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Mismatch, "{what}: {error}");
                assert!(error.to_string().contains("not sealed bytes"), "{what}: {error}");
                // It is still there, to be taken as what it is.
                handles.take::<OwnedFd>(place).unwrap();
            }
            let ((_, place), mut handles) = client.recv_with_handles().unwrap();
            assert!(handles.take::<SealedBytes>(place).unwrap().iter().copied().eq(picture(77)));
            peer.join();
        });
    }

    #[test]
    fn sealed_bytes_cannot_be_changed_by_their_sender() {
        watched(|| {
            let (mut peer, client) = accept("change-what-is-sealed");
            let mut client = client.into_typed::<(), Frame>().unwrap();
            let ((_, place), mut handles) = client.recv_with_handles().unwrap();
            let bytes: SealedBytes = handles.take(place).unwrap();
            peer.await_step(READY);
            assert!(bytes.iter().copied().eq(picture(5)));
            peer.proceed();
            peer.join();
        });
    }

    #[test]
    fn more_sealed_bytes_than_the_limit_are_not_taken() {
        watched(|| {
            let (client, server) = Connection::pair().unwrap();
            let agreeing = thread::spawn(move || server.into_typed::<(), Frame>().unwrap());
            let mut client = client.into_typed::<Frame, ()>().unwrap();
            let mut server = agreeing.join().unwrap();
            let mut handles = Handles::new();
            for len in [5000, 4000, 1000, 0] {
                handles.add(SealedBytes::fill(len, |bytes| bytes.fill(3)).unwrap());
            }
            client.send_with_handles(&(0, 0), &mut handles).unwrap();
            let (_, mut handles) = server.recv_with_handles().unwrap();
            handles.sealed_bytes_limit(6000);
            assert_eq!(handles.take::<SealedBytes>(0).unwrap()[..], [3; 5000]);
            let error = handles.take::<SealedBytes>(1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
            assert!(error.to_string().contains("4000 bytes, and 1000 more"), "{error}");
            assert_eq!(handles.take::<SealedBytes>(2).unwrap().len(), 1000);
            assert!(handles.take::<SealedBytes>(3).unwrap().is_empty());
            handles.sealed_bytes_limit(4000);
            handles.take::<SealedBytes>(1).unwrap();
            // A size that no machine has is refused before anything is made of it.
            let huge = memory(1 << 42);
            fcntl_add_seals(&huge, ALL).unwrap();
            let mut handles = Handles::new();
            handles.add(huge);
            let error = handles.take::<SealedBytes>(0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
            handles.sealed_bytes_limit(usize::MAX);
            let error = handles.take::<SealedBytes>(0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        });
    }

    #[test]
    fn sealed_bytes_for_which_there_is_no_memory_are_an_error() {
        for len in [usize::MAX, isize::MAX.unsigned_abs(), 1 << 46] {
            let error = SealedBytes::fill(len, |_| panic!("there is nothing to fill")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{len}: {error}");
        }
    }

    #[test]
    fn a_function_that_panics_leaves_no_sealed_bytes() {
        let failed = panic::catch_unwind(|| SealedBytes::fill(100, |_| panic!("half of it")));
        assert!(failed.is_err());
    }

    #[test]
    fn several_connections_can_have_the_same_sealed_bytes() {
        watched(|| {
            let bytes = frame(9);
            for _ in 0..3 {
                let (client, server) = Connection::pair().unwrap();
                let taking = thread::spawn(move || {
                    let mut server = server.into_typed::<(), Frame>().unwrap();
                    let ((_, place), mut handles) = server.recv_with_handles().unwrap();
                    let taken: SealedBytes = handles.take(place).unwrap();
                    // What was taken can be passed on.
                    let mut on = Handles::new();
                    on.add(taken);
                    on.take::<SealedBytes>(0).unwrap()
                });
                let mut client = client.into_typed::<Frame, ()>().unwrap();
                send(&mut client, 9, bytes.try_clone().unwrap());
                assert!(taking.join().unwrap()[..] == bytes[..]);
            }
        });
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn tasks_pass_sealed_bytes() {
        watched(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let (one, other) = Connection::pair().unwrap();
                let (one, other) = (one.into_tokio().unwrap(), other.into_tokio().unwrap());
                let (one, other) =
                    tokio::join!(one.into_typed::<Frame, ()>(), other.into_typed::<(), Frame>());
                let (mut one, mut other) = (one.unwrap(), other.unwrap());
                let mut handles = Handles::new();
                let place = handles.add(frame(3));
                one.send_with_handles(&(3, place), &mut handles).await.unwrap();
                let ((_, place), mut handles) = other.recv_with_handles().await.unwrap();
                let bytes: SealedBytes = handles.take(place).unwrap();
                assert!(bytes.iter().copied().eq(picture(3)));
            });
        });
    }
}
