//! Two-way pipes as byte streams: listeners, connections, halves.

use std::io::{IoSlice, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use typed_pipe::{
    CancelToken, ConnectOptions, Connection, ErrorKind, Listener, ListenerOptions, ReadHalf,
    WriteHalf,
};

use crate::peer;
use crate::support::{Folder, Waiters, watched, wine_lets_a_name_have_two_owners};

const SHORT: Duration = Duration::from_millis(50);

/// Bytes that show where they were lost or doubled.
fn pattern(seed: u32, len: u32) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(2_654_435_761) ^ seed).to_le_bytes()[3]).collect()
}

/// Accepts a client, and answers what it sends, to its end, with the same bytes and an exclamation mark.
fn echo(listener: &Listener) {
    let mut client = listener.accept().unwrap();
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    bytes.push(b'!');
    client.write_all(&bytes).unwrap();
}

fn ask(mut connection: Connection, question: &str) -> String {
    connection.write_all(question.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.finish().unwrap().read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn b11_what_is_finished_can_still_be_answered() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let client = thread::spawn(move || ask(Connection::connect(path).unwrap(), "ready"));
        echo(&listener);
        assert_eq!(client.join().unwrap(), "ready!");
    });
}

#[test]
fn b11_either_side_may_finish_first() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let mut server = server.try_finish().unwrap();
        let (mut reader, mut writer) = client.split();
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        writer.write_all(b"and now I").unwrap();
        writer.finish_timeout(Duration::from_secs(30)).unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "and now I");
    });
}

#[test]
fn b11_a_writing_half_that_is_dropped_ends_its_direction_alone() {
    watched(|| {
        let (client, mut server) = Connection::pair().unwrap();
        let (mut reader, mut writer) = client.split();
        writer.write_all(b"the last").unwrap();
        drop(writer);
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "the last");
        server.write_all(b"answer").unwrap();
        drop(server);
        text.clear();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "answer");
    });
}

#[cfg(unix)] // On Windows the other side does not notice.
#[test]
fn b11_a_reading_half_that_is_dropped_is_noticed_by_the_writer() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let (reader, mut writer) = client.split();
        drop(reader);
        let (mut incoming, mut outgoing) = server.split();
        let failed = outgoing.write(b"to nobody").unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Disconnected);
        writer.write_all(b"still here").unwrap();
        drop(writer);
        let mut text = String::new();
        incoming.read_to_string(&mut text).unwrap();
        assert_eq!(text, "still here");
    });
}

#[test]
fn halves_of_one_connection_come_together_again_and_others_do_not() {
    watched(|| {
        let (one, mut other) = Connection::pair().unwrap();
        let (reader, writer) = one.split();
        let (stranger, stranger_too) = Connection::pair().unwrap();
        let (their_reader, their_writer) = stranger.split();

        let failed = Connection::reunite(reader, their_writer).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Mismatch, "{failed}");
        let (reader, their_writer): (ReadHalf, WriteHalf) = failed.into_state();

        // Neither was closed by that.
        let mut one = Connection::reunite(reader, writer).unwrap();
        one.write_all(b"together").unwrap();
        let mut buf = [0; 8];
        other.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"together");
        drop(Connection::reunite(their_reader, their_writer).unwrap());
        drop(stranger_too);
    });
}

#[test]
fn the_two_sides_of_one_connection_are_not_its_halves() {
    watched(|| {
        let (one, other) = Connection::pair().unwrap();
        let ((reader, _writer), (_reader, writer)) = (one.split(), other.split());
        assert_eq!(Connection::reunite(reader, writer).unwrap_err().kind(), ErrorKind::Mismatch);
    });
}

#[test]
fn c18_bytes_go_both_ways_at_once() {
    watched(|| {
        const LEN: u32 = 8 << 20;
        let (one, other) = Connection::pair().unwrap();
        let sides = [(one, 1), (other, 2)].map(|(side, seed)| {
            let (mut reader, mut writer) = side.split();
            let writing = thread::spawn(move || {
                writer.write_all(&pattern(seed, LEN)).unwrap();
                writer.finish().unwrap();
            });
            let reading = thread::spawn(move || {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).unwrap();
                assert!(bytes == pattern(3 - seed, LEN), "other bytes came than were sent");
            });
            [writing, reading]
        });
        for thread in sides.into_iter().flatten() {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_receive_that_waits_does_not_hold_a_send_on_the_same_connection() {
    watched(|| {
        let (one, mut other) = Connection::pair().unwrap();
        let (mut reader, mut writer) = one.split();
        let (waits, waiting) = mpsc::channel();
        let receiving = thread::spawn(move || {
            waits.send(()).unwrap();
            let mut buf = [0; 4];
            reader.read_exact(&mut buf).unwrap();
            buf
        });
        waiting.recv().unwrap();
        writer.write_all(b"ping").unwrap();
        let mut buf = [0; 4];
        other.read_exact(&mut buf).unwrap();
        other.write_all(b"pong").unwrap();
        assert_eq!((&buf, &receiving.join().unwrap()), (b"ping", b"pong"));
    });
}

#[test]
fn b25_a_client_may_come_before_its_listener() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("late");
        let failed = Connection::try_connect(&name).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotFound, "{failed}");
        let failed = Connection::connect_timeout(&name, SHORT).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        let client = {
            let name = name.clone();
            thread::spawn(move || ask(Connection::connect(name).unwrap(), "there"))
        };
        let listener = Listener::bind(name).unwrap();
        echo(&listener);
        assert_eq!(client.join().unwrap(), "there!");
    });
}

#[test]
fn b25_deadlines_end_what_waits_on_a_connection() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let failed = listener.accept_timeout(SHORT).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);

        let mut client = Connection::connect(listener.path()).unwrap();
        let mut server = listener.accept_timeout(Duration::from_secs(30)).unwrap();
        let mut buf = [0; 1];
        for side in [&mut client, &mut server] {
            let failed = side.reader().read_timeout(&mut buf, SHORT).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
            assert_eq!(side.reader().try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        // Until it is full.
        let failed = loop {
            match client.writer().write_timeout(&[7; 10_000], SHORT) {
                Ok(_) => {}
                Err(failed) => break failed,
            }
        };
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        assert_eq!(
            client.writer().try_write(&[7; 10_000]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        // And nothing else has changed.
        assert_eq!(server.read(&mut buf).unwrap(), 1);
        server.write_all(b"x").unwrap();
        assert_eq!(client.read(&mut buf).unwrap(), 1);
    });
}

#[test]
fn a_cancel_token_wakes_whatever_waits_on_a_connection() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let folder = Folder::new();
        let never = folder.name("never");
        let idle = ListenerOptions::new().cancelled_by(&token).temporary().unwrap();
        let seated =
            ListenerOptions::new().cancelled_by(&token).max_clients(1).temporary().unwrap();
        let _client = Connection::connect(seated.path()).unwrap();
        let _server = seated.accept().unwrap();
        let (silent, _other) = Connection::pair().unwrap();
        let (full, _unread) = Connection::pair().unwrap();
        let waiters = Waiters::default();
        let kinds = thread::scope(|scope| {
            let waiting = [
                scope.spawn(waiters.with(|| {
                    let options = ConnectOptions::new().cancelled_by(&token);
                    options.connect(never).map(drop).unwrap_err().kind()
                })),
                scope.spawn(waiters.with(|| idle.accept().map(drop).unwrap_err().kind())),
                scope.spawn(waiters.with(|| seated.accept().map(drop).unwrap_err().kind())),
                scope.spawn(waiters.with(|| {
                    let mut silent = silent.cancelled_by(&token);
                    silent.reader().read(&mut [0]).unwrap_err().kind()
                })),
                scope.spawn(waiters.with(|| {
                    let mut full = full.cancelled_by(&token);
                    loop {
                        if let Err(error) = full.writer().write(&[0; 100_000]) {
                            break error.kind();
                        }
                    }
                })),
            ];
            waiters.asleep();
            token.cancel();
            waiting.map(|waiting| waiting.join().unwrap())
        });
        assert_eq!(kinds, [ErrorKind::Cancelled; 5]);
        assert!(idle.incoming().next().is_none());
    });
}

#[test]
fn no_more_clients_are_accepted_than_may_be() {
    watched(|| {
        let listener = ListenerOptions::new().max_clients(2).temporary().unwrap();
        let path = listener.path().clone();
        let connect = || Connection::connect(&path).unwrap();
        let clients = [connect(), connect(), connect()];
        let served = [listener.accept().unwrap(), listener.accept().unwrap()];
        assert_eq!(listener.clients(), 2);
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let failed = listener.accept_timeout(SHORT).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut);
        assert!(failed.to_string().contains("as many clients as may be"), "{failed}");

        // A place is free when both halves are gone.
        let [first, second] = served;
        let (reader, writer) = first.split();
        drop(reader);
        assert_eq!(listener.clients(), 2);
        let (freed, third) = thread::scope(|scope| {
            let accepting = scope.spawn(|| listener.accept().unwrap());
            drop(writer);
            (listener.clients() <= 2, accepting.join().unwrap())
        });
        assert!(freed);
        assert_eq!(listener.clients(), 2);
        drop((second, third));
        assert_eq!(listener.clients(), 0);
        drop(clients);
    });
}

#[test]
fn a_thread_that_waits_for_a_client_is_none() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let listener = ListenerOptions::new().cancelled_by(&token).temporary().unwrap();
        let waiters = Waiters::default();
        let most = thread::scope(|scope| {
            scope.spawn(waiters.with(|| {
                assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::Cancelled);
            }));
            waiters.asleep();
            let most = (0..20).map(|_| listener.clients()).max();
            token.cancel();
            most
        });
        assert_eq!(most, Some(0));
    });
}

#[test]
fn clients_of_several_threads_are_all_served() {
    watched(|| {
        let token = CancelToken::new().unwrap();
        let listener = ListenerOptions::new().cancelled_by(&token).temporary().unwrap();
        let path = listener.path().clone();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for client in listener.incoming() {
                        let mut client = client.unwrap();
                        let mut byte = [0];
                        client.read_exact(&mut byte).unwrap();
                        client.write_all(&byte).unwrap();
                    }
                });
            }
            let clients: Vec<_> = (0..100)
                .map(|number: u8| {
                    let path = path.clone();
                    scope.spawn(move || {
                        let mut server = Connection::connect(path).unwrap();
                        server.write_all(&[number]).unwrap();
                        let mut byte = [0];
                        server.read_exact(&mut byte).unwrap();
                        assert_eq!(byte, [number]);
                    })
                })
                .collect();
            for client in clients {
                client.join().unwrap();
            }
            token.cancel();
        });
    });
}

#[test]
fn c13_what_a_client_sent_before_it_left_is_there() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut client = Connection::connect(listener.path()).unwrap();
        client.write_all(b"in passing").unwrap();
        drop(client);
        let mut text = String::new();
        listener.accept().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "in passing");
    });
}

#[test]
fn b3_a_name_has_one_listener() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let listener = Listener::bind(&name).unwrap();
        if !wine_lets_a_name_have_two_owners() {
            let failed = Listener::bind(&name).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::InUse, "{failed}");
        }
        let client = thread::spawn(move || ask(Connection::connect(name).unwrap(), "first"));
        echo(&listener);
        assert_eq!(client.join().unwrap(), "first!");
        drop(listener);
        assert!(folder.entries().is_empty());
    });
}

#[test]
fn a_listener_leaves_nothing() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        for round in 0..3 {
            let listener = Listener::bind(&name).unwrap();
            assert!(!listener.is_unlinked());
            match round {
                0 => drop(listener),
                _ => listener.unlink().unwrap(),
            }
            assert!(folder.entries().is_empty());
            let failed = Connection::try_connect(&name).unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::NotFound, "{failed}");
        }
        let listener = Listener::temporary().unwrap();
        let path = listener.path().as_path().to_owned();
        drop(listener);
        if cfg!(unix) {
            assert!(!path.exists() && !path.parent().unwrap().exists());
        }
    });
}

#[test]
fn connections_outlive_their_listener() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut client = Connection::connect(listener.path()).unwrap();
        let mut server = listener.accept().unwrap();
        drop(listener);
        client.write_all(b"still").unwrap();
        let mut buf = [0; 5];
        server.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"still");
    });
}

#[test]
fn b7_a_client_that_nobody_accepts_is_told_in_time() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let connect = || Connection::connect(listener.path()).unwrap();
        let (patient, impatient) = (connect(), connect());
        let handshake = typed_pipe::Handshake::new().timeout(SHORT);
        let failed = handshake.perform::<u32, u32>(impatient).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        drop(listener);
        let failed = patient.into_typed::<u32, u32>().unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Disconnected, "{failed}");
    });
}

#[test]
fn b9_more_clients_than_the_backlog_has_room_for_all_come_in() {
    watched(|| {
        let listener = ListenerOptions::new().backlog(1).temporary().unwrap();
        let path = listener.path().clone();
        let waiters = Waiters::default();
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let path = path.clone();
                thread::spawn(waiters.with(|| ask(Connection::connect(path).unwrap(), "in")))
            })
            .collect();
        waiters.asleep();
        for _ in 0..20 {
            echo(&listener);
        }
        assert!(clients.into_iter().all(|client| client.join().unwrap() == "in!"));
    });
}

#[test]
fn b9_a_full_backlog_is_told_to_who_does_not_wait() {
    watched(|| {
        let listener = ListenerOptions::new().backlog(1).temporary().unwrap();
        let mut waiting = Vec::new();
        let failed = loop {
            match Connection::try_connect(listener.path()) {
                Ok(client) => waiting.push(client),
                Err(failed) => break failed,
            }
            assert!(waiting.len() < 100, "the backlog is never full");
        };
        assert_eq!(failed.kind(), ErrorKind::WouldBlock, "{failed}");
        let failed = Connection::connect_timeout(listener.path(), SHORT).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut, "{failed}");
        drop(listener.accept().unwrap());
        Connection::connect(listener.path()).unwrap();
    });
}

#[test]
fn the_sides_of_a_pair_know_each_other_and_have_no_name() {
    let (one, other) = Connection::pair().unwrap();
    for side in [one, other] {
        assert_eq!(side.path(), None);
        side.require_same_user().unwrap();
        let pid = side.peer().unwrap().pid();
        assert!(pid.is_none_or(|pid| pid == std::process::id()));
    }
}

#[test]
fn b18_the_other_side_is_known() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut peer = peer::start("connect", listener.path());
        let client = listener.accept().unwrap();
        peer.await_step(peer::READY);
        let who = client.peer().unwrap();
        assert!(who.is_same_user());
        if cfg!(any(windows, target_os = "linux")) {
            assert_eq!(who.pid(), Some(peer.id()));
        }
        client.require_same_user().unwrap();
        let (reader, writer) = client.split();
        assert_eq!((reader.peer().unwrap(), writer.peer().unwrap()), (who.clone(), who));
        // The client has looked at this process, too.
        peer.proceed();
        drop((reader, writer));
        peer.join();
    });
}

#[test]
fn b2_what_a_killed_listener_left_is_taken_over() {
    watched(|| {
        let folder = Folder::new();
        let name = folder.name("door");
        let mut peer = peer::start("listen", &name);
        peer.await_step(peer::READY);
        let mut client = Connection::connect(&name).unwrap();
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        if !wine_lets_a_name_have_two_owners() {
            assert_eq!(Listener::bind(&name).unwrap_err().kind(), ErrorKind::InUse);
        }
        peer.kill();
        assert_eq!(client.read(&mut byte).unwrap(), 0);
        let failed = client.writer().write(b"x").unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Disconnected, "{failed}");
        drop(client); // Which would hold the name on Windows.
        let failed = Connection::try_connect(&name).unwrap_err();
        assert!(matches!(failed.kind(), ErrorKind::WouldBlock | ErrorKind::NotFound), "{failed}");
        drop(Listener::bind(&name).unwrap());
        assert!(folder.entries().is_empty());
    });
}

#[test]
fn a_killed_client_is_the_end_of_its_stream() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let mut peer = peer::start("connect", listener.path());
        let mut client = listener.accept().unwrap();
        peer.await_step(peer::READY);
        peer.kill();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        drop(client);
        // And the next one is served.
        let peer = peer::start("ask", listener.path());
        echo(&listener);
        peer.join();
    });
}

#[test]
fn a_thousand_connections_leave_no_descriptor() {
    watched(|| peer::start("a-thousand-connections", Folder::new().name("door")).join());
}

#[test]
fn what_was_not_read_yet_is_counted() {
    watched(|| {
        let (mut client, mut server) = Connection::pair().unwrap();
        assert_eq!(server.reader().unread().unwrap(), 0);
        client.write_all(&[1; 1000]).unwrap();
        assert_eq!(server.reader().unread().unwrap(), 1000);
        if cfg!(target_os = "linux") {
            assert!(client.writer().unsent().unwrap() >= 1000);
        }
        server.read_exact(&mut [0; 1000]).unwrap();
        assert_eq!(server.reader().unread().unwrap(), 0);
        if cfg!(target_os = "linux") {
            assert_eq!(client.writer().unsent().unwrap(), 0);
        }
    });
}

#[test]
fn buffers_are_as_large_as_asked_for() {
    watched(|| {
        let listener = ListenerOptions::new().buffer_size(1 << 18).temporary().unwrap();
        let options = ConnectOptions::new().buffer_size(1 << 17);
        let mut client = options.connect(listener.path()).unwrap();
        let mut server = listener.accept().unwrap();
        if cfg!(target_os = "linux") {
            // Linux doubles what is asked for, unless there is a limit.
            assert!(client.writer().buffer_size().unwrap() >= 1 << 17);
            assert!(server.writer().buffer_size().unwrap() >= 1 << 17);
        }
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn b14_a_full_connection_takes_no_more_and_loses_nothing() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let mut sender = client.split().1.into_sender::<u32>();
        let mut sent = 0;
        let failed = loop {
            match sender.try_send(&sent) {
                Ok(()) => sent += 1,
                Err(failed) => break failed,
            }
        };
        assert_eq!(failed.kind(), ErrorKind::WouldBlock, "{failed}");
        assert!(sent > 10, "{sent} small messages have room");
        if failed.is_half_sent() {
            sent += 1;
        }
        let reading = thread::spawn(move || {
            let receiver = server.split().0.into_receiver::<u32>();
            receiver.map(Result::unwrap).eq(0..sent)
        });
        sender.finish().unwrap();
        assert!(reading.join().unwrap());
    });
}

#[cfg(unix)] // On Windows the other side does not notice.
#[test]
fn b11_a_reading_half_that_is_dropped_is_noticed_by_whoever_waits_to_write() {
    watched(|| {
        for (stoppable, timed) in [(false, false), (true, false), (false, true)] {
            let token = CancelToken::new().unwrap();
            let (client, mut server) = Connection::pair().unwrap();
            if stoppable {
                server = server.cancelled_by(&token);
            }
            let (reader, _writer) = client.split();
            let (_incoming, mut outgoing) = server.split();
            while outgoing.try_write(&[7; 100_000]).is_ok() {}
            let waiters = Waiters::default();
            let waiting = thread::spawn(waiters.with(move || match timed {
                true => outgoing.write_timeout(b"more", Duration::from_secs(50)),
                false => outgoing.write(b"more"),
            }));
            waiters.asleep();
            drop(reader);
            let failed = waiting.join().unwrap().unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::Disconnected);
        }
    });
}

#[test]
fn more_buffers_than_the_system_takes_at_once_are_written_in_part() {
    watched(|| {
        let (mut client, mut server) = Connection::pair().unwrap();
        let bytes = pattern(1, 5000);
        let mut bufs = vec![IoSlice::new(b""); 5000];
        bufs.extend(bytes.chunks(1).map(IoSlice::new));
        let mut rest = bufs.as_mut_slice();
        while !rest.is_empty() {
            let written = client.write_vectored(rest).unwrap();
            assert!(written > 0);
            IoSlice::advance_slices(&mut rest, written);
        }
        let mut got = vec![0; bytes.len()];
        server.read_exact(&mut got).unwrap();
        assert!(got == bytes);
    });
}

/// It has a token for what it receives, and none for what it sends.
#[test]
fn a_daemon_that_is_cancelled_still_says_goodbye() {
    watched(|| {
        let stop = CancelToken::new().unwrap();
        let (client, daemon) = Connection::pair().unwrap();
        let (reader, writer) = daemon.split();
        let daemon = Connection::reunite(reader.cancelled_by(&stop), writer).unwrap();
        let waiters = Waiters::default();
        let serving = thread::spawn(waiters.with(move || {
            let mut client = daemon.into_typed::<str, String>().unwrap();
            let name = client.recv().unwrap();
            assert_eq!(client.recv().unwrap_err().kind(), ErrorKind::Cancelled);
            client.send(&format!("goodbye, {name}")).unwrap();
            client.finish().map(drop).unwrap();
        }));
        let mut client = client.into_typed::<str, String>().unwrap();
        client.send("Ada").unwrap();
        waiters.asleep();
        stop.cancel(); // at SIGTERM
        assert_eq!(client.recv().unwrap(), "goodbye, Ada");
        assert_eq!(client.recv().unwrap_err().kind(), ErrorKind::Finished);
        serving.join().unwrap();
    });
}

/// A sender whose token was cancelled gets another one for its last words.
#[test]
fn another_token_takes_the_place_of_a_cancelled_one() {
    watched(|| {
        let (stop, last) = (CancelToken::new().unwrap(), CancelToken::new().unwrap());
        let (client, daemon) = Connection::pair().unwrap();
        let (_reader, writer) = daemon.cancelled_by(&stop).split();
        stop.cancel();
        let mut sender = writer.into_sender::<str>();
        assert_eq!(sender.send("lost").unwrap_err().kind(), ErrorKind::Cancelled);
        let mut sender = sender.into_inner().cancelled_by(&last).into_sender::<str>();
        let receiving = thread::spawn(move || {
            let mut receiver = client.split().0.into_receiver::<String>();
            assert_eq!(receiver.recv().unwrap(), "goodbye");
            assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
        });
        sender.send("goodbye").unwrap();
        sender.finish().unwrap();
        receiving.join().unwrap();
    });
}
