//! Law 9: nothing waits longer than it should, and nothing is left of what waited in vain.

#[cfg(unix)]
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use typed_pipe::{CancelToken, Connection, ErrorKind, Pipe, ReadEnd, TypedSender, WriteEnd};

use crate::peer;
use crate::support::{Folder, Waiters, skipped, watched, watched_for};

#[test]
fn a1_ends_opened_in_opposite_orders_do_not_hold_each_other() {
    watched(|| {
        let folder = Folder::new();
        let pipes =
            ["one", "two"].map(|name| Pipe::new(folder.name(name)).unwrap().mkfifo().unwrap());
        // Each wants to write before it reads: nobody reads, and both are told so in time.
        let opening = pipes.each_ref().map(|pipe| {
            let end = WriteEnd::from(pipe.path().clone());
            thread::spawn(move || end.open_timeout(Duration::from_millis(50)).map(drop))
        });
        for opened in opening.map(|thread| thread.join().unwrap()) {
            if cfg!(unix) {
                assert_eq!(opened.unwrap_err().kind(), ErrorKind::TimedOut);
            } else {
                // An owner on Windows listens from the beginning.
                opened.unwrap();
            }
        }
    });
}

#[test]
fn a6_a_thousand_openings_in_vain_leave_nothing() {
    watched(|| {
        let folder = Folder::new();
        peer::start("open-in-vain", folder.name("absent")).join();
    });
}

#[cfg(unix)]
#[test]
fn a9_a_pipe_that_takes_the_place_of_another_is_found_by_who_waits() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("restarted");
        let first = Pipe::new(&name).unwrap().mkfifo().unwrap();
        let (started, waits) = std::sync::mpsc::channel();
        let client = {
            let name = name.clone();
            thread::spawn(move || {
                // There is a pipe, and nobody reads from it.
                let failed = WriteEnd::at(name).unwrap().try_open().unwrap_err();
                assert_eq!(failed.kind(), ErrorKind::WouldBlock);
                started.send(()).unwrap();
                failed.into_state().open().unwrap().write_all(b"to the second").unwrap();
            })
        };
        waits.recv().unwrap();
        std::fs::remove_file(&name).unwrap();
        drop(first);
        let second = Pipe::new(&name).unwrap().mkfifo().unwrap();
        let mut text = String::new();
        second.into_reader().open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "to the second");
        client.join().unwrap();
    });
}

#[test]
fn a_cancel_token_wakes_whatever_waits() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let folder = Folder::new();
        let never = folder.name("never");
        let mut idle = Pipe::temporary().unwrap();
        let mut full = Pipe::temporary().unwrap();
        let full_path = full.path().clone();
        let unread = full.open_reader().unwrap();
        let waiters = Waiters::default();
        let ended = thread::scope(|scope| {
            let opening = scope.spawn(waiters.with(|| {
                WriteEnd::at(never)
                    .unwrap()
                    .cancelled_by(&token)
                    .open()
                    .map(drop)
                    .unwrap_err()
                    .kind()
            }));
            let receiving = scope.spawn(waiters.with(|| {
                let end = idle.reader().cancelled_by(&token).open().unwrap();
                end.into_receiver::<u32>().recv().unwrap_err().kind()
            }));
            let sending = scope.spawn(waiters.with(|| {
                let end = WriteEnd::from(full_path).cancelled_by(&token).open().unwrap();
                let mut sender = end.into_sender::<Vec<u8>>();
                loop {
                    if let Err(error) = sender.send(&vec![0; 100_000]) {
                        break error.kind();
                    }
                }
            }));
            waiters.asleep();
            let before = Instant::now();
            token.cancel();
            let kinds = [opening, receiving, sending].map(|waiting| waiting.join().unwrap());
            (kinds, before.elapsed())
        });
        drop(unread);
        assert_eq!(ended.0, [ErrorKind::Cancelled; 3]);
        println!("woken after {:?}", ended.1);
    });
}

#[test]
fn a_cancel_token_ends_a_loop_over_messages() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.into_reader().cancelled_by(&token).open().unwrap();
        let mut receiver = end.into_receiver::<u32>();
        let mut sender = TypedSender::<u32>::connect(path).unwrap();
        sender.send(&7).unwrap();
        for number in receiver.by_ref() {
            assert_eq!(number.unwrap(), 7);
            token.cancel();
        }
        assert!(receiver.recv().unwrap_err().is_fatal(), "whoever goes on after other errors ends");
        assert!(receiver.next().is_none());
        drop(sender);

        let (one, other) = Connection::pair().unwrap();
        let other = thread::spawn(move || other.into_typed::<u32, u32>().unwrap());
        let token = CancelToken::new().unwrap();
        let mut one = one.cancelled_by(&token).into_typed::<u32, u32>().unwrap();
        token.cancel();
        assert!(one.next().is_none());
        drop(other.join().unwrap());
    });
}

#[test]
fn a18_a_second_reader_is_refused() {
    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let first = pipe.open_reader().unwrap();
        let second = ReadEnd::from(path).try_open();
        if cfg!(target_os = "linux") {
            assert_eq!(second.unwrap_err().kind(), ErrorKind::InUse);
        } else {
            skipped("this system does not lock pipes");
        }
        drop(first);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a18_a_reader_keeps_its_place_from_writer_to_writer() {
    use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
    use typed_pipe::{OnHangup, TypedSender};

    watched(|| {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.reader().on_hangup(OnHangup::NextWriter).open().unwrap();
        let mut receiver = end.into_receiver::<u32>();
        let other = open(path.as_path(), OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        // It has the place in the moment in which it is free.
        let waiters = Waiters::default();
        let locking = waiters.with(|| flock(other, FlockOperation::LockExclusive).unwrap());
        let waiting = thread::spawn(locking);
        waiters.asleep();
        for number in 0..5_000 {
            TypedSender::<u32>::connect(&path).unwrap().send(&number).unwrap();
            assert_eq!(receiver.recv().unwrap(), number);
            // The end of this writer is seen, and the next one awaited.
            assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        assert!(!waiting.is_finished());
        drop(receiver);
        waiting.join().unwrap();
    });
}

#[cfg(unix)]
#[test]
fn a38_of_two_owners_that_race_for_a_name_one_wins() {
    use std::os::unix::fs::MetadataExt;

    watched(|| {
        let folder = Folder::new();
        let name = folder.name("contested");
        let mut racers = [peer::start("race", &name), peer::start("race", &name)];
        let mut wins = [0, 0];
        for round in 0..200 {
            racers.iter_mut().for_each(peer::Peer::proceed);
            let results = racers.each_mut().map(|racer| racer.await_any(&[peer::WON, peer::LOST]));
            let won = results.iter().filter(|result| **result == peer::WON).count();
            assert_eq!(won, 1, "round {round}");
            wins[usize::from(results[1] == peer::WON)] += 1;
            let inode = std::fs::symlink_metadata(&name).unwrap().ino();
            // The loser tries again, against a living owner.
            let loser = usize::from(results[0] == peer::WON);
            racers[loser].proceed();
            assert_eq!(racers[loser].await_any(&[peer::WON, peer::LOST]), peer::LOST);
            assert_eq!(std::fs::symlink_metadata(&name).unwrap().ino(), inode);
            racers[1 - loser].proceed();
            racers[1 - loser].await_step(peer::READY);
        }
        println!("won by each: {wins:?}");
        racers.into_iter().for_each(peer::Peer::join);
        assert!(folder.entries().is_empty());
    });
}

#[cfg(unix)]
#[test]
fn a41_a_forked_child_removes_nothing() {
    watched(|| {
        let folder = Folder::new();
        peer::start("fork", folder.name("forked")).join();
        assert!(folder.entries().is_empty());
    });
}

#[cfg(unix)]
#[test]
fn a5_a_receiver_that_waits_uses_no_processor() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("idle");
        let mut receiver = peer::start("idle-receiver", &name);
        // Before the first writer, between two, and after the last.
        for _ in 0..2 {
            receiver.await_step(peer::READY);
            WriteEnd::at(&name).unwrap().open().unwrap().into_sender::<u32>().send(&7).unwrap();
        }
        receiver.join();
    });
}

#[test]
fn a22_a_thousand_writers_are_killed_and_the_receiver_goes_on() {
    use typed_pipe::OnHangup;
    use typed_pipe::wire::{Checked, Wire};

    let rounds = if cfg!(windows) { 20 } else { 1000 };
    watched_for(Duration::from_secs(600), move || {
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let end = pipe.reader().on_hangup(OnHangup::NextWriter).open().unwrap();
        let wire = Wire::default().with_framing(Checked::default());
        let mut receiver = end.into_receiver_with::<(u32, u32, String), _, _>(wire);
        let (mut received, mut cut) = (0, 0);
        for round in 0..rounds {
            let writer = peer::start_with("flood", &path, round);
            // At a point that differs each time.
            let until = round.wrapping_mul(2_654_435_761) % 97;
            let mut next = 0;
            let mut writer = Some(writer);
            loop {
                match receiver.recv_timeout(Duration::from_millis(if writer.is_some() {
                    20_000
                } else {
                    0
                })) {
                    Ok((from, number, filling)) => {
                        assert_eq!((from, number), (round, next));
                        let letter = char::from(b'a' + number.to_le_bytes()[0] % 26);
                        assert!(filling == letter.to_string().repeat(filling.len()));
                        next += 1;
                        received += 1;
                        if next > until {
                            if let Some(writer) = writer.take() {
                                writer.kill();
                            }
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Truncated => {
                        assert!(writer.is_none(), "cut off while the writer lives");
                        cut += 1;
                        break;
                    }
                    Err(error) if error.kind() == ErrorKind::TimedOut && writer.is_none() => break,
                    Err(error) => panic!("round {round}: {error}"),
                }
            }
        }
        println!("{received} messages, {cut} cut off, {rounds} writers killed");
    });
}

/// A thread that polls is bound to a processor of its own where that is to be worth it.
#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_is_bound_to_one_processor_spins_all_the_same() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    watched(|| {
        let pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let reader = pipe.into_reader().open().unwrap();
        let mut sender = TypedSender::<u32>::connect(path).unwrap();
        let receiving = Waiters::default();
        let (begins, begun) = std::sync::mpsc::channel();
        let reading = thread::spawn(receiving.with(move || {
            let all = sched_getaffinity(None).unwrap();
            let mut one = CpuSet::new();
            one.set((0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).unwrap());
            sched_setaffinity(None, &one).unwrap();
            let mut receiver = reader.busy_poll(Duration::from_secs(3600)).into_receiver::<u32>();
            begins.send(()).unwrap();
            assert_eq!(receiver.recv().unwrap(), 7);
        }));
        begun.recv().unwrap();
        receiving.work_for(Duration::from_millis(20));
        sender.send(&7).unwrap();
        reading.join().unwrap();
    });
}

#[test]
fn a_reader_that_spins_waits_as_any_other() {
    watched(|| {
        let spin = Duration::from_millis(2);
        let mut pipe = Pipe::temporary().unwrap();
        let path = pipe.path().clone();
        let token = CancelToken::new().unwrap();
        let reader = pipe.reader().cancelled_by(&token).open().unwrap().busy_poll(spin);
        let mut receiver = reader.into_receiver::<u32>();
        assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        for time in [Duration::ZERO, spin / 2, spin * 5] {
            assert_eq!(receiver.recv_timeout(time).unwrap_err().kind(), ErrorKind::TimedOut);
        }
        let mut sender = TypedSender::<u32>::connect(&path).unwrap();
        let receiving = Waiters::this();
        let sending = thread::spawn(move || {
            // Some come while it spins, some when it sleeps.
            for number in 0..20 {
                if number % 2 == 1 {
                    receiving.asleep();
                }
                sender.send(&number).unwrap();
            }
        });
        for number in 0..20 {
            assert_eq!(receiver.recv().unwrap(), number);
        }
        sending.join().unwrap();
        assert!(receiver.recv().unwrap_err().is_disconnected());
        drop(receiver);
        let reader = pipe.reader().cancelled_by(&token).open();
        token.cancel();
        assert_eq!(
            reader.unwrap().busy_poll(spin).read(&mut [0]).unwrap_err().kind(),
            ErrorKind::Cancelled
        );
    });
}
