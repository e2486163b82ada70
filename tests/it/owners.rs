//! No byte of one owner's, writer's or reader's stream is read as part of another's.

use std::io::Write;
use std::thread;
use std::time::Duration;

use typed_pipe::{ErrorKind, OnHangup, Pipe, ReadEnd, TypedReceiver, TypedSender, WriteEnd};

use crate::peer;
use crate::support::{Folder, until_it_fails, watched};

const SHORT: Duration = Duration::from_millis(50);
/// So many bytes of a message are read by an owner, or a reader, that comes to its end there.
const SOME: usize = 6000;

/// Orders, in whose second text stand others.
fn order() -> (String, String) {
    let mut frame = Vec::new();
    TypedSender::<(String, String), _>::new(&mut frame)
        .send(&("admin".into(), "erase".into()))
        .unwrap();
    ("clerk".into(), String::from_utf8(frame).unwrap().repeat(1000))
}

fn fresh() -> (String, String) {
    ("clerk".into(), "fresh".into())
}

type Orders<P> = TypedReceiver<(String, String), ReadEnd<typed_pipe::state::Open, P>>;

fn expect_fresh<P: typed_pipe::Reopen>(receiver: &mut Orders<P>) {
    assert_eq!(receiver.recv_timeout(Duration::from_secs(30)).unwrap(), fresh());
    assert_eq!(receiver.recv_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
}

/// Where the stream of the reader before comes to its end, on Windows, the connection does.
#[test]
fn text_inside_a_message_is_no_message_to_the_next_owner() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("orders");
        let mut owner = peer::start("own-and-read-some", &name);
        let mut sender = TypedSender::<(String, String)>::connect(&name).unwrap();
        sender.send(&order()).unwrap();
        owner.await_step(peer::READY);
        owner.kill();

        let mut pipe = loop {
            // On Windows the name lives as long as the sender has it open.
            match Pipe::new(&name).unwrap().mkfifo() {
                Err(failed) if failed.kind() == ErrorKind::InUse && cfg!(windows) => {
                    let _ = sender.send(&order());
                }
                made => break made.unwrap(),
            }
        };
        let mut receiver = pipe.open_reader().unwrap().into_receiver();
        let error = sender.send(&order()).unwrap_err();
        assert!(error.is_disconnected(), "{error}");
        let mut sender = TypedSender::connect(&name).unwrap();
        sender.send(&fresh()).unwrap();
        expect_fresh(&mut receiver);
    });
}

#[test]
fn an_owner_that_opens_its_end_anew_gets_no_rest_of_a_message() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut first = pipe.open_reader().unwrap();
        let mut before = TypedSender::<(String, String)>::connect(&path).unwrap();
        before.send(&order()).unwrap();
        std::io::Read::read_exact(&mut first, &mut [0; SOME]).unwrap();
        drop(first);

        let mut receiver = pipe.open_reader().unwrap().into_receiver();
        assert!(until_it_fails(|| before.send(&order())).is_disconnected());
        let mut sender = TypedSender::connect(&path).unwrap();
        sender.send(&fresh()).unwrap();
        expect_fresh(&mut receiver);
    });
}

/// On Windows the reader after it comes by a connection of its own.
#[test]
fn a_reader_that_follows_another_gets_no_rest_of_a_message() {
    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let mut reader = peer::start("read-some", &path);
        let mut sender = pipe.into_writer().open().unwrap().into_sender::<(String, String)>();
        sender.send(&order()).unwrap();
        reader.await_step(peer::READY);
        reader.kill();
        if cfg!(unix) {
            // It came before the writer has noticed anything.
            let mut receiver = TypedReceiver::<(String, String)>::connect(&path).unwrap();
            for _ in 0..2 {
                let error = receiver.recv().unwrap_err();
                assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::Corrupt, true), "{error}");
            }
            assert!(receiver.next().is_none_or(|item| item.is_err()));
            drop(receiver);
            until_it_fails(|| WriteEnd::at(&path).unwrap().try_open()); // nobody reads
        }
        let error = sender.send(&order()).unwrap_err();
        assert!(error.is_disconnected(), "{error}");
        if cfg!(windows) {
            return;
        }
        let mut receiver = TypedReceiver::connect(&path).unwrap();
        sender.send(&fresh()).unwrap();
        expect_fresh(&mut receiver);
    });
}

/// On Windows each reader has a connection of its own.
#[cfg(unix)]
#[test]
fn what_is_left_of_a_message_is_not_sent_to_the_next_reader() {
    fn large() -> (String, String) {
        let (from, text) = order();
        (from, text.repeat(100))
    }
    fn take_all(path: &typed_pipe::PipePath, send: impl FnOnce()) {
        let mut first = ReadEnd::from(path.clone()).open().unwrap();
        send();
        while first.try_read(&mut [0; 65_536]).is_ok() {}
    }
    watched(|| {
        for kind in 0..3 {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let first = ReadEnd::from(path.clone()).open().unwrap();
            let mut sender = pipe.into_writer().open().unwrap().into_sender::<(String, String)>();
            drop(first);
            take_all(&path, || {
                let late = match kind {
                    0 => sender.send_timeout(&large(), SHORT),
                    1 => sender.set_timeout(SHORT).send_bytes(large().1.as_bytes()),
                    _ => {
                        sender.feed(&fresh()).unwrap();
                        sender.send_timeout(&large(), SHORT)
                    }
                };
                let late = late.unwrap_err();
                assert_eq!((late.kind(), late.is_half_sent()), (ErrorKind::TimedOut, true));
            });
            assert!(sender.flush().unwrap_err().is_disconnected());
            assert_eq!(sender.pending(), 0, "{kind}");
            let mut receiver = TypedReceiver::connect(&path).unwrap();
            sender.send(&fresh()).unwrap();
            expect_fresh(&mut receiver);
        }
    });
}

/// The reader has taken all that was written, and the next one is there before the writer goes on.
#[cfg(target_os = "linux")]
#[test]
fn the_next_reader_gets_no_rest_of_a_message_whose_beginning_the_last_one_took() {
    watched(|| {
        for tries in [false, true] {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let mut first = ReadEnd::from(path.clone()).open().unwrap();
            let mut sender = pipe.into_writer().open().unwrap().into_sender::<(String, String)>();
            let (from, text) = order();
            let large = (from, text.repeat(10));
            let late =
                if tries { sender.try_send(&large) } else { sender.send_timeout(&large, SHORT) };
            assert!(late.unwrap_err().is_half_sent());
            while first.try_read(&mut [0; 65_536]).is_ok() {}
            drop(first);
            let mut receiver = TypedReceiver::connect(&path).unwrap();

            let error = sender.flush().unwrap_err();
            assert!(error.is_disconnected(), "{error}");
            assert_eq!(sender.pending(), 0);
            sender.send(&fresh()).unwrap();
            expect_fresh(&mut receiver);
        }
    });
}

#[test]
fn a_message_that_a_writing_end_has_left_unfinished_is_told_before_the_next_one() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reading = thread::spawn(move || {
            let end = ReadEnd::from(path).on_hangup(OnHangup::NextWriter);
            let mut receiver = end.open().unwrap().into_receiver::<(String, String)>();
            let cut = receiver.recv().unwrap_err();
            assert_eq!(cut.kind(), ErrorKind::Truncated, "{cut}");
            receiver.recv().unwrap()
        });
        let mut frame = Vec::new();
        TypedSender::<(String, String), _>::new(&mut frame).send(&order()).unwrap();
        let mut end = pipe.open_writer().unwrap();
        end.write_all(&frame[..SOME]).unwrap();
        drop(end);
        let mut sender = pipe.open_writer().unwrap().into_sender::<(String, String)>();
        sender.send(&fresh()).unwrap();
        assert_eq!(reading.join().unwrap(), fresh());
    });
}

#[cfg(unix)]
mod unix {
    use std::collections::BTreeSet;
    use std::fs::{self, File, OpenOptions};
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Instant;

    use rustix::fs::{FlockOperation, flock};
    use serde::{Deserialize, Serialize};
    use typed_pipe::wire::{Checked, Framing, LengthPrefixed, MultiWriter, Postcard, Wire};
    use typed_pipe::{IfExists, PipeOptions};

    use super::*;
    use crate::support::keep_private;

    /// What is sent: its number, the sum of what is in it, and bytes or numbers in which the frames of others stand.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Parcel {
        Bytes(u64, u64, Vec<u8>),
        Numbers(u64, u64, Vec<u32>),
    }

    /// The number of a parcel that nobody sends: it stands inside of others.
    const FORGED: u64 = 99;

    impl Parcel {
        /// A parcel of so many bytes or small numbers, made of whole frames that say something else.
        fn new<F: Framing>(number: u64, size: usize, wire: fn() -> Wire<F>) -> Self {
            let mut frames = Vec::new();
            let mut sender = TypedSender::<_, _, F, Postcard>::with_wire(&mut frames, wire());
            sender.send(&Self::Bytes(FORGED, 0, b"erase".to_vec())).unwrap();
            drop(sender);
            let bytes = frames.into_iter().cycle().take(size);
            if size < 40_000 {
                let bytes: Vec<u8> = bytes.collect();
                return Self::Bytes(number, sum(bytes.iter().copied().map(u64::from)), bytes);
            }
            let numbers: Vec<u32> = bytes.map(u32::from).collect();
            Self::Numbers(number, sum(numbers.iter().copied().map(u64::from)), numbers)
        }

        fn number(&self) -> u64 {
            let (Self::Bytes(number, ..) | Self::Numbers(number, ..)) = self;
            *number
        }

        /// Whether it is as it was sent.
        fn is_whole(&self, size: usize) -> bool {
            match self {
                Self::Bytes(_, told, bytes) => {
                    bytes.len() == size && *told == sum(bytes.iter().copied().map(u64::from))
                }
                Self::Numbers(_, told, numbers) => {
                    numbers.len() == size && *told == sum(numbers.iter().copied().map(u64::from))
                }
            }
        }
    }

    fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
        numbers.fold(7, |sum, number| sum.wrapping_mul(31).wrapping_add(number))
    }

    fn inode(name: &Path) -> u64 {
        fs::symlink_metadata(name).unwrap().ino()
    }

    fn mkfifo(name: &Path) {
        assert!(Command::new("mkfifo").arg(name).status().unwrap().success());
    }

    fn reuse(name: &Path) -> Pipe<typed_pipe::state::Allocated> {
        PipeOptions::new().if_exists(IfExists::Reuse).at(name).unwrap().mkfifo().unwrap()
    }

    #[test]
    fn what_an_owner_left_behind_is_replaced_whatever_the_policy() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            for policy in [IfExists::TakeOver, IfExists::Reuse] {
                let mut owner = peer::start("own", &name);
                owner.await_step(peer::READY);
                owner.kill();
                // While it is there, no other file gets its number.
                let old = File::options().read(true).write(true).open(&name).unwrap();
                let pipe = PipeOptions::new().if_exists(policy).at(&name).unwrap().mkfifo();
                assert_ne!(inode(&name), old.metadata().unwrap().ino());
                assert_eq!(folder.entries(), ["orders", "orders.lock"]);
                drop(pipe.unwrap());
                assert!(folder.entries().is_empty());
            }
        });
    }

    /// As it is left where an owner is killed while it replaces a pipe, and where the other name is somebody else's.
    #[test]
    fn a_kill_while_a_pipe_is_replaced_leaves_what_the_next_owner_takes_over() {
        let folder = Folder::new();
        let (name, lock) = (folder.name("orders"), folder.name("orders.lock"));
        let spare = folder.name("orders.next");
        for is_there in [true, false] {
            mkfifo(&name);
            mkfifo(&spare);
            fs::write(&lock, [0, 0]).unwrap();
            keep_private(&lock);
            if !is_there {
                fs::remove_file(&name).unwrap();
            }
            let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
            assert_eq!(folder.entries(), ["orders", "orders.lock"]);
            drop(pipe);
            assert!(folder.entries().is_empty());
        }
        mkfifo(&name);
        let theirs = Pipe::new(&spare).unwrap().mkfifo().unwrap();
        fs::write(&lock, [0]).unwrap();
        keep_private(&lock);
        let old = inode(&name);
        let keep = File::options().read(true).write(true).open(&name).unwrap();
        let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
        assert_ne!(inode(&name), old);
        assert!(!theirs.is_unlinked(), "it is another pipe");
        drop((pipe, theirs, keep));
        assert!(folder.entries().is_empty());
    }

    #[test]
    fn a_stranger_who_may_write_keeps_no_owner_out() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            let pipe = PipeOptions::new().mode(0o622).at(&name).unwrap().mkfifo().unwrap();
            let end = pipe.into_reader().open().unwrap();
            // It waits for the lock that readers have on the pipe.
            let stranger = OpenOptions::new().write(true).open(&name).unwrap();
            let waiting = thread::spawn(move || {
                flock(&stranger, FlockOperation::LockExclusive).unwrap();
                stranger
            });
            let closed = end.close();
            let stranger = waiting.join().unwrap();
            let end = closed.open().unwrap();
            // And once more, by the name.
            let again = OpenOptions::new().write(true).open(&name).unwrap();
            drop((stranger, end));

            let mut owner = peer::start("own", &name);
            owner.await_step(peer::READY);
            let stranger = File::options().read(true).write(true).open(&name).unwrap();
            flock(&stranger, FlockOperation::LockExclusive).unwrap();
            owner.kill();
            let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
            let end = pipe.into_reader().open().unwrap();
            let mut receiver = end.into_receiver::<(String, String)>();
            TypedSender::connect(&name).unwrap().send(&fresh()).unwrap();
            assert_eq!(receiver.recv().unwrap(), fresh());
            drop((again, stranger));
        });
    }

    #[test]
    fn a_reader_keeps_its_owner_out() {
        let mut pipe = Pipe::temporary().unwrap();
        let reader = ReadEnd::from(pipe.path().clone()).open().unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(pipe.open_reader().unwrap_err().kind(), ErrorKind::InUse);
        }
        drop(reader);
        drop(pipe.open_reader().unwrap());
    }

    #[test]
    fn what_nobody_has_begun_to_read_waits_for_the_end_that_is_opened_next() {
        watched(|| {
            let mut pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let end = pipe.open_reader().unwrap();
            let mut sender = TypedSender::connect(&path).unwrap();
            sender.send(&fresh()).unwrap();
            drop(end);
            let mut receiver = pipe.open_reader().unwrap().into_receiver();
            expect_fresh(&mut receiver);
        });
    }

    /// In a process of its own: here, a child that a test beside this one starts has a copy of the end that was dropped, and
    /// takes the place of its reader for the program that waits.
    #[test]
    fn a_program_that_waits_between_two_ends_of_an_owner_is_read() {
        watched(|| peer::start("read-between-ends", "none").join());
    }

    /// With `echo fresh > jobs`, which waits for a reader.
    pub(super) fn read_between_ends() {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().as_path().to_owned();
        for _ in 0..20 {
            let script = format!("echo fresh > '{}'", path.display());
            let mut shell = Command::new("sh").args(["-c", &script]).spawn().unwrap();
            let mut text = String::new();
            let mut end = pipe.open_reader().unwrap();
            std::io::Read::read_to_string(&mut end, &mut text).unwrap();
            assert_eq!(text, "fresh\n");
            assert!(shell.wait().unwrap().success());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_waits_to_open_a_pipe_that_is_replaced_is_let_go() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            let mut owner = peer::start("own", &name);
            owner.await_step(peer::READY);
            let path = name.clone();
            let waiting = thread::spawn(move || {
                let mut file = OpenOptions::new().write(true).open(path).unwrap();
                file.write_all(b"anybody?").map_err(|error| error.kind())
            });
            // It has the pipe open in vain as soon as it sleeps there.
            thread::sleep(SHORT);
            owner.kill();
            let mut end = Pipe::new(&name).unwrap().mkfifo().unwrap().into_reader().open().unwrap();
            let _ = waiting.join().unwrap();
            assert_eq!(end.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        });
    }

    #[test]
    fn what_was_left_in_a_pipe_of_others_is_drained() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            mkfifo(&name);
            let made = inode(&name);
            let mut owner = peer::start("reuse-and-read-some", &name);
            let mut before = TypedSender::<(String, String)>::connect(&name).unwrap();
            before.send(&order()).unwrap();
            owner.await_step(peer::READY);
            owner.kill();
            // Those who made it know this one alone.
            let mut pipe = reuse(&name);
            assert_eq!(inode(&name), made);
            let mut receiver = pipe.open_reader().unwrap().into_receiver();
            TypedSender::connect(&name).unwrap().send(&fresh()).unwrap();
            expect_fresh(&mut receiver);
            drop(receiver);

            // An end that is opened anew does not go on in the middle either.
            let mut end = pipe.open_reader().unwrap();
            let mut sender = TypedSender::<(String, String)>::connect(&name).unwrap();
            sender.send(&order()).unwrap();
            std::io::Read::read_exact(&mut end, &mut [0; SOME]).unwrap();
            drop(end);
            let mut receiver = pipe.open_reader().unwrap().into_receiver();
            sender.send(&fresh()).unwrap();
            expect_fresh(&mut receiver);
        });
    }

    #[test]
    fn many_writers_of_a_pipe_of_others_are_read_from_their_next_hello_on() {
        fn wire() -> Wire<MultiWriter> {
            Wire::default().with_framing(MultiWriter::default())
        }
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            mkfifo(&name);
            let mut pipe = reuse(&name);
            let mut end = pipe.open_reader().unwrap();
            let open = || WriteEnd::at(&name).unwrap().open().unwrap();
            let mut before = open().into_sender_with::<Parcel, _, _>(wire());
            before.send(&Parcel::new(1, 10_000, wire)).unwrap();
            std::io::Read::read_exact(&mut end, &mut [0; SOME]).unwrap();
            drop(end);
            let end = pipe.open_reader().unwrap();
            let mut receiver = end.into_receiver_with::<Parcel, _, _>(wire());
            // Each is told to be lost, until it says again what it speaks.
            let mut told = 0;
            for number in 2..100 {
                before.send(&Parcel::new(number, 200, wire)).unwrap();
                match receiver.recv() {
                    Ok(parcel) => assert!(parcel.is_whole(200) && parcel.number() == number),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::MessageLost, "{error}");
                        assert!(number < 66, "it has greeted again");
                        told += 1;
                    }
                }
            }
            assert_eq!(told, 63);
        });
    }

    /// A program that opens a pipe of others before there is an owner waits, and may be quick then.
    #[test]
    fn who_waits_for_the_owner_of_a_pipe_of_others_is_read() {
        watched(|| {
            let folder = Folder::new();
            for round in 0..50 {
                let name = folder.name(&format!("orders {round}"));
                mkfifo(&name);
                let path = name.clone();
                let waiting = thread::spawn(move || {
                    OpenOptions::new().write(true).open(path).unwrap().write_all(b"fresh").unwrap();
                });
                thread::sleep(Duration::from_millis(2));
                let mut end = reuse(&name).into_reader().open().unwrap();
                let mut text = String::new();
                std::io::Read::read_to_string(&mut end, &mut text).unwrap();
                assert_eq!(text, "fresh");
                waiting.join().unwrap();
            }
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_client_that_waits_for_writers_follows_the_name_to_the_next_owner() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            let mut owner = peer::start("own", &name);
            owner.await_step(peer::READY);
            let end = ReadEnd::at(&name).unwrap().open().unwrap();
            let reading =
                thread::spawn(move || end.into_receiver::<(String, String)>().recv().unwrap());
            owner.kill();
            let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
            let mut sender = pipe.into_writer().open().unwrap().into_sender();
            sender.send(&fresh()).unwrap();
            assert_eq!(reading.join().unwrap(), fresh());
        });
    }

    #[cfg(all(target_os = "linux", feature = "tokio"))]
    #[test]
    fn a_task_that_waits_for_writers_follows_the_name_to_the_next_owner() {
        watched(|| {
            let folder = Folder::new();
            let name = folder.name("orders");
            let mut owner = peer::start("own", &name);
            owner.await_step(peer::READY);
            let path = name.clone();
            let reading = thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let end = ReadEnd::at(path).unwrap().into_tokio().open().await.unwrap();
                    end.into_receiver::<(String, String)>().recv().await.unwrap()
                })
            });
            thread::sleep(SHORT);
            owner.kill();
            let pipe = Pipe::new(&name).unwrap().mkfifo().unwrap();
            let mut sender = pipe.into_writer().open().unwrap().into_sender();
            sender.send(&fresh()).unwrap();
            assert_eq!(reading.join().unwrap(), fresh());
        });
    }

    #[test]
    fn a_task_that_reads_after_another_gets_no_rest_of_a_message() {
        #[cfg(feature = "tokio")]
        watched(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut pipe = Pipe::temporary().unwrap();
                let path = pipe.path().clone();
                let mut first = pipe.reader().into_tokio().open().await.unwrap();
                let mut before = TypedSender::<(String, String)>::connect(&path).unwrap();
                before.send(&order()).unwrap();
                assert!(first.read(&mut [0; SOME]).await.unwrap() > 0);
                drop(first);
                // As a client: nobody has told the writer yet.
                let end = ReadEnd::from(path.clone()).into_tokio().open().await.unwrap();
                let error = end.into_receiver::<(String, String)>().recv().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                let end = pipe.reader().into_tokio().open().await.unwrap();
                let mut receiver = end.into_receiver::<(String, String)>();
                assert!(until_it_fails(|| before.send(&order())).is_disconnected());
                TypedSender::connect(&path).unwrap().send(&fresh()).unwrap();
                assert_eq!(receiver.recv().await.unwrap(), fresh());
            });
        });
    }

    /// One kind of the wire, the messages and the pipe.
    #[derive(Clone, Copy, Debug)]
    struct Kind(usize);

    impl Kind {
        const ALL: usize = 18;

        fn wire(self) -> usize {
            self.0 % 3
        }

        fn size(self) -> usize {
            [200, 10_000, 48_000][self.0 / 3 % 3]
        }

        fn buffer(self) -> usize {
            [4096, 1 << 20][self.0 / 9 % 2]
        }
    }

    fn plain() -> Wire<LengthPrefixed> {
        Wire::default()
    }

    fn checked() -> Wire<Checked> {
        Wire::default().with_framing(Checked::default())
    }

    fn shared() -> Wire<MultiWriter> {
        Wire::default().with_framing(MultiWriter::default())
    }

    /// What a killing has come to.
    #[derive(Debug, Default)]
    struct Sums {
        kills: usize,
        sent: usize,
        received: usize,
        lost: usize,
    }

    /// `TYPED_PIPE_TEST_KILLS` says how many owners are killed.
    #[test]
    fn owners_are_killed_and_the_next_ones_receive_nothing_that_nobody_sent() {
        let kills =
            std::env::var("TYPED_PIPE_TEST_KILLS").map_or(36, |kills| kills.parse().unwrap());
        let limit =
            Duration::from_secs(60) + Duration::from_millis(500) * u32::try_from(kills).unwrap();
        crate::support::watched_for(limit, move || {
            let mut sums = Sums::default();
            for kind in 0..Kind::ALL {
                let share = (kills + kind) / Kind::ALL;
                kill_owners(Kind(kind), share, &mut sums);
                println!("{kind}: {sums:?}");
            }
        });
    }

    fn kill_owners(kind: Kind, kills: usize, sums: &mut Sums) {
        let folder = Folder::new();
        let (name, is_over) = (folder.name("orders"), Arc::new(AtomicBool::new(false)));
        let next = Arc::new(AtomicU64::new(FORGED + 1));
        // Only many writers of a wire for many may be many.
        let count = if kind.wire() == 2 { 3 } else { 1 };
        let writers: Vec<_> = (0..count)
            .map(|_| {
                let (name, is_over, next) = (name.clone(), Arc::clone(&is_over), Arc::clone(&next));
                thread::spawn(move || match kind.wire() {
                    0 => write(kind, &name, plain, &next, &is_over),
                    1 => write(kind, &name, checked, &next, &is_over),
                    _ => write(kind, &name, shared, &next, &is_over),
                })
            })
            .collect();
        let mut random = u64::try_from(kind.0).unwrap();
        for _ in 0..kills {
            let mut owner = peer::start_with("own-and-note", &name, u32::try_from(kind.0).unwrap());
            // Something fresh has arrived.
            owner.await_step(peer::READY);
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let (begun, time) = (Instant::now(), Duration::from_micros((random >> 33) % 5000));
            while begun.elapsed() < time {
                thread::yield_now();
            }
            owner.kill();
        }
        // The last one takes what they send until they see that it is over.
        let mut last = peer::start_with("own-and-note", &name, u32::try_from(kind.0).unwrap());
        last.await_step(peer::READY);
        is_over.store(true, Ordering::Relaxed);
        let sent: BTreeSet<u64> =
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        last.kill();

        let mut received = BTreeSet::new();
        for line in fs::read_to_string(noted(&name)).unwrap().lines() {
            let number = line.parse::<u64>().unwrap_or_else(|_| panic!("{kind:?}: {line}"));
            assert!(number > FORGED, "{kind:?}: nobody sent that");
            assert!(received.insert(number), "{kind:?}: {number} came twice");
        }
        sums.kills += kills;
        sums.sent += sent.len();
        sums.received += received.len();
        sums.lost += sent.difference(&received).count();
    }

    /// Sends what it can to whoever owns the pipe, and tells what was sent.
    fn write<F: Framing>(
        kind: Kind,
        name: &Path,
        wire: fn() -> Wire<F>,
        next: &AtomicU64,
        is_over: &AtomicBool,
    ) -> Vec<u64> {
        let mut sent = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let end = WriteEnd::at(name).unwrap().open_timeout(Duration::from_secs(30)).unwrap();
            let mut sender = end.into_sender_with::<Parcel, _, _>(wire());
            while !is_over.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match sender.send(&Parcel::new(number, kind.size(), wire)) {
                    Ok(()) => sent.push(number),
                    Err(error) => {
                        assert!(error.is_disconnected(), "{error}");
                        break;
                    }
                }
            }
        }
        sent
    }

    fn noted(name: &Path) -> PathBuf {
        name.with_extension("notes")
    }

    pub(super) fn own_and_note(name: &Path, kind: usize) {
        match Kind(kind).wire() {
            0 => note(Kind(kind), name, plain),
            1 => note(Kind(kind), name, checked),
            _ => note(Kind(kind), name, shared),
        }
    }

    fn note<F: Framing>(kind: Kind, name: &Path, wire: fn() -> Wire<F>) {
        let mut notes = File::options().append(true).create(true).open(noted(name)).unwrap();
        let pipe = PipeOptions::new().buffer_size(kind.buffer()).at(name).unwrap().mkfifo();
        let end = pipe.unwrap().into_reader().on_hangup(OnHangup::NextWriter);
        let mut receiver = end.open().unwrap().into_receiver_with::<Parcel, _, _>(wire());
        for count in 0.. {
            let line = match receiver.recv() {
                Ok(parcel) if parcel.is_whole(kind.size()) => format!("{}\n", parcel.number()),
                Ok(parcel) => format!("wrong: {parcel:?}\n"),
                Err(error) => format!("{error}\n"),
            };
            notes.write_all(line.as_bytes()).unwrap();
            if count == 0 {
                peer::step(peer::READY);
            }
        }
    }

    pub(super) fn reuse_and_read_some(name: &Path) {
        read_some(reuse(name).into_reader().open().unwrap());
    }
}

/// What the other processes do.
pub(crate) mod roles {
    use std::path::Path;

    use super::*;

    pub(crate) fn play(role: &str, name: &Path, number: usize) {
        match role {
            "own-and-read-some" => {
                let pipe = Pipe::new(name).unwrap().mkfifo().unwrap();
                read_some(pipe.into_reader().open().unwrap());
            }
            "read-some" => read_some(ReadEnd::at(name).unwrap().open().unwrap()),
            #[cfg(unix)]
            "reuse-and-read-some" => unix::reuse_and_read_some(name),
            #[cfg(unix)]
            "read-between-ends" => unix::read_between_ends(),
            #[cfg(unix)]
            "own-and-note" => unix::own_and_note(name, number),
            other => panic!("no role {other} with {number}"),
        }
    }
}

/// Reads a part of a message, and waits to be killed.
fn read_some(mut end: impl std::io::Read) {
    end.read_exact(&mut [0; SOME]).unwrap();
    peer::step(peer::READY);
    peer::await_go();
}
