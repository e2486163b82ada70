//! Two machines on the loopback address of one.

mod common;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, Two, Typed, echo, finishes_truly, listening, options, watched};

use typed_pipe::{CancelToken, Delivery, ErrorKind, TypedConnection, User, WithHandles};
use typed_pipe_net::{Collector, Key, Net, PublicKey, is_cancelled};

/// A typed connection, from both sides.
fn typed(two: &Two) -> (Typed, Typed) {
    let (here, there) = two.connected();
    let there = thread::spawn(move || there.into_typed().unwrap());
    (here.into_typed().unwrap(), there.join().unwrap())
}

/// The address of a name that is offered elsewhere than an `Offer` says.
fn address(name: &str, key: PublicKey, net: &Net) -> String {
    format!("{name}@{key}/{}", net.local_addr().unwrap())
}

#[test]
fn a_typed_connection_is_unchanged_between_machines() {
    watched(|| {
        let two = Two::new();
        let (here, there) = typed(&two);
        for (side, key) in [(&here, two.there.key()), (&there, two.here.key())] {
            let peer = side.peer().unwrap();
            assert_eq!(peer.user(), &User::Remote(key.to_string()));
            assert!(!peer.is_same_user());
        }
        echo(here, there);
    });
}

#[test]
fn finish_waits_until_the_other_program_has_taken_all() {
    watched(|| {
        let two = Two::new();
        let (here, there) = typed(&two);
        finishes_truly(there, here);
    });
}

#[test]
fn finish_fails_if_the_other_program_leaves_something_unread() {
    watched(|| {
        let two = Two::new();
        let (here, there) = typed(&two);
        let (mut sender, _rest) = there.split();
        sender.send("one").unwrap();
        let failed = sender.finish_timeout(Duration::from_millis(300)).unwrap_err();
        let sender = failed.into_state();
        drop(here);
        assert_eq!(sender.finish().unwrap_err().kind(), ErrorKind::Disconnected);
    });
}

#[test]
fn a_side_that_leaves_bytes_unread_is_told_from_one_that_ends() {
    watched(|| {
        let two = Two::new();
        for (unread, order) in [(true, true), (false, true), (false, false)] {
            let (here, mut there) = two.connected();
            there.write_all(b"hello").unwrap();
            let (mut reader, mut writer) = here.split();
            reader.read_exact(&mut [0; 4]).unwrap();
            if !unread {
                reader.read_exact(&mut [0; 1]).unwrap();
            }
            writer.write_all(b"last words").unwrap();
            // Its order says nothing.
            if order {
                drop((reader, writer))
            } else {
                drop((writer, reader))
            }
            let mut words = Vec::new();
            let end = there.read_to_end(&mut words);
            assert_eq!(words, b"last words");
            assert_eq!(end.is_err(), unread, "{end:?}");
        }
    });
}

/// The socket of a refused link is closed while the dial learns of the refusal.
#[test]
fn each_of_many_refusals_is_told_as_one() {
    watched(|| {
        let here = listening(&Key::generate());
        let stranger = options().open(&Key::generate()).unwrap();
        let nobody = here.offer("nobody", &[]).unwrap();
        for _ in 0..100 {
            let error = stranger.connect(nobody.address()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        }
    });
}

#[test]
fn a_key_that_is_not_in_the_list_is_refused() {
    watched(|| {
        let here = listening(&Key::generate());
        let stranger = options().open(&Key::generate()).unwrap();
        let nobody = here.offer("nobody", &[]).unwrap();
        let error = stranger.connect(nobody.address()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        let offer = here.offer("jobs", &[Key::generate().public()]).unwrap();
        let error = stranger.connect(offer.address()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        let nothing = offer.accept_timeout(Duration::ZERO).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn a_name_that_is_not_offered_is_not_told_from_one_for_others() {
    watched(|| {
        let two = Two::new();
        let _others = two.here.offer("others", &[Key::generate().public()]).unwrap();
        let errors = ["others", "absent"].map(|name| {
            let error = two.there.connect(&address(name, two.here.key(), &two.here)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            error.to_string().replace(name, "")
        });
        assert_eq!(errors[0], errors[1]);
        // Its own name works over the same link.
        drop(typed(&two));
    });
}

#[test]
fn a_machine_with_another_key_than_expected_is_refused() {
    watched(|| {
        let two = Two::new();
        let other = Key::generate().public();
        let error = two.there.connect(&address("jobs", other, &two.here)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
        assert!(error.to_string().contains("another key"), "{error}");
    });
}

#[test]
fn a_machine_is_reached_although_its_key_was_looked_for_elsewhere() {
    watched(|| {
        let two = Two::new();
        let elsewhere = listening(&Key::generate());
        let error = two.there.connect(&address("jobs", two.here.key(), &elsewhere)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
        drop(two.connected());
        // Nor is it looked for where it is not asked for.
        let other = Key::generate().public();
        two.there.connect(&address("jobs", other, &two.here)).unwrap_err();
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = format!("jobs@{other}/{}", silent.local_addr().unwrap());
        let net = options().timeout(Duration::from_millis(300)).open(&Key::generate()).unwrap();
        net.connect(&address("jobs", other, &two.here)).unwrap_err();
        assert_eq!(net.connect(&at).unwrap_err().kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn nobody_at_an_address_is_told_in_time() {
    watched(|| {
        // Bound, and never answering.
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let key = Key::generate();
        let net = options().timeout(Duration::from_millis(500)).open(&key).unwrap();
        let at = format!("jobs@{}/{}", key.public(), silent.local_addr().unwrap());
        let at = at.replace(&key.public().to_string(), &Key::generate().public().to_string());
        let begin = Instant::now();
        let error = net.connect(&at).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(begin.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn who_does_not_listen_offers_nothing_and_lets_nobody_in() {
    watched(|| {
        let net = Net::open(&Key::generate()).unwrap();
        assert_eq!(net.local_addr(), None);
        let error = net.offer("jobs", &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        let error = net.listening("0.0.0.0:0".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn a_name_is_offered_once_until_its_offer_is_dropped() {
    watched(|| {
        let two = Two::new();
        let error = two.here.offer("jobs", &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let at = two.offer.address().to_owned();
        let mut waiting = two.there.connect(&at).unwrap();
        drop(two.offer);
        // Who waited to be accepted is disconnected.
        assert!(matches!(waiting.read(&mut [0; 1]), Ok(0) | Err(_)));
        two.here.offer("jobs", &[]).unwrap();
    });
}

#[test]
fn handles_are_refused_in_the_handshake() {
    watched(|| {
        type With = WithHandles<u32>;
        let (here, there) = Two::new().connected();
        let there = thread::spawn(move || there.into_typed::<With, ()>().unwrap_err());
        let here = here.into_typed::<(), With>().unwrap_err();
        for error in [here, there.join().unwrap()] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    });
}

#[test]
fn a_stopped_reader_holds_up_its_own_writer_and_no_other() {
    watched(|| {
        let two = Two::new();
        let (mut stopped, full) = typed(&two);
        let (mut sender, _rest) = full.split();
        let text = "x".repeat(100_000);
        let mut sent = 0;
        let late = loop {
            match sender.send_timeout(&text, Duration::from_millis(200)) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 1000, "there is no back-pressure");
        };
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let (mut here, mut there) = typed(&two);
        there.send("beside it").unwrap();
        assert_eq!(here.recv().unwrap(), "beside it");
        // Nothing of what was sent is lost.
        let reading = thread::spawn(move || {
            let all =
                stopped.by_ref().map(Result::unwrap).inspect(|it| assert_eq!(it.len(), 100_000));
            all.count()
        });
        sender.set_timeout(None);
        assert_eq!(sender.finish().unwrap(), Delivery::Drained);
        assert!(reading.join().unwrap() >= sent);
    });
}

#[test]
fn closing_waits_for_what_is_on_its_way() {
    watched(|| {
        let two = Two::new();
        let (here, mut there) = two.connected();
        let sent = vec![7; 5_000_000];
        let reading = thread::spawn(move || {
            let mut read = Vec::new();
            let (mut reader, _writer) = here.split();
            reader.read_to_end(&mut read).unwrap();
            read
        });
        there.write_all(&sent).unwrap();
        drop(there);
        two.there.close(SOON).unwrap();
        assert!(reading.join().unwrap() == sent);
    });
}

#[test]
fn what_arrived_is_read_after_the_other_machine_has_closed() {
    watched(|| {
        let two = Two::new();
        let (mut here, mut there) = two.connected();
        there.write_all(&[7; 50_000]).unwrap();
        drop(there);
        two.there.close(SOON).unwrap();
        let mut read = Vec::new();
        here.read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), 50_000);
    });
}

#[test]
fn closing_tells_of_connections_that_are_still_open() {
    watched(|| {
        let two = Two::new();
        let (mut here, _there) = two.connected();
        let error = two.there.close(Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(error.to_string().contains("1 connections were still open"), "{error}");
        assert!(here.read(&mut [0; 1]).is_err());
    });
}

#[test]
fn a_key_that_is_taken_from_the_list_ends_its_connections() {
    watched(|| {
        let two = Two::new();
        let (mut here, mut there) = typed(&two);
        there.send("before").unwrap();
        assert_eq!(here.recv().unwrap(), "before");
        two.offer.set_allowed(&[]);
        assert_eq!(here.recv().unwrap_err().kind(), ErrorKind::Disconnected);
        assert_eq!(there.recv().unwrap_err().kind(), ErrorKind::Disconnected);
        let error = two.there.connect(two.offer.address()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        two.offer.set_allowed(&[two.there.key()]);
        drop(typed(&two));
    });
}

#[test]
fn a_key_that_is_taken_from_one_list_keeps_what_others_offer() {
    watched(|| {
        let two = Two::new();
        let other = two.here.offer("other", &[two.there.key()]).unwrap();
        let mut stays = two.there.connect(other.address()).unwrap();
        let mut stays_here = other.accept_timeout(SOON).unwrap();
        let (mut here, there) = two.connected();
        let (mut reader, mut writer) = there.split();
        // It never stops by itself.
        let flood = thread::spawn(move || while writer.write_all(&[7; 10_000]).is_ok() {});
        here.read_exact(&mut [0; 10_000]).unwrap();
        two.offer.set_allowed(&[]);
        // Whatever had come: nothing more is read.
        assert!(here.read(&mut [0; 1]).is_err());
        assert!(reader.read(&mut [0; 1]).is_err());
        drop(here);
        flood.join().unwrap();
        stays.write_all(b"still").unwrap();
        stays_here.read_exact(&mut [0; 5]).unwrap();
    });
}

#[test]
fn a_machine_that_comes_back_is_connected_to_again() {
    watched(|| {
        let (key, client) = (Key::generate(), Key::generate());
        let here = listening(&key);
        let at = here.local_addr().unwrap();
        let there = options().open(&client).unwrap();
        let offer = here.offer("jobs", &[client.public()]).unwrap();
        let address = offer.address().to_owned();
        drop(there.connect(&address).unwrap());
        drop(offer.accept().unwrap());
        drop(offer);
        here.close(SOON).unwrap();
        // Another test may have the port for a while.
        let here = std::iter::repeat_with(|| {
            thread::sleep(Duration::from_millis(10));
            options().open(&key).unwrap().listening(at)
        });
        let here = here.take(3000).find_map(Result::ok).unwrap();
        let offer = here.offer("jobs", &[client.public()]).unwrap();
        let mut again = there.connect(&address).unwrap();
        again.write_all(b"again").unwrap();
        offer.accept().unwrap().read_exact(&mut [0; 5]).unwrap();
    });
}

#[test]
fn tasks_connect_and_accept() {
    watched(|| {
        let two = Two::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let there = two.there.connect_async(two.offer.address());
            let (here, there) = tokio::join!(two.offer.accept_async(), there);
            let (here, there) = tokio::join!(
                here.unwrap().into_typed::<str, String>(),
                there.unwrap().into_typed::<str, String>()
            );
            let (mut here, mut there) = (here.unwrap(), there.unwrap());
            there.send("to").await.unwrap();
            assert_eq!(here.recv().await.unwrap(), "to");
            let (sender, rest) = there.split();
            let reading = async {
                assert_eq!(here.recv().await.unwrap_err().kind(), ErrorKind::Finished);
            };
            let (delivery, ()) = tokio::join!(sender.finish(), reading);
            assert_eq!(delivery.unwrap(), Delivery::Drained);
            drop(rest);
        });
    });
}

/// A machine that listens, and a token for it.
fn cancellable() -> (Net, CancelToken) {
    let token = CancelToken::new().unwrap();
    let net = options().cancelled_by(&token).open(&Key::generate()).unwrap();
    (net.listening("127.0.0.1:0".parse().unwrap()).unwrap(), token)
}

#[test]
fn a_token_ends_the_wait_for_a_connection() {
    watched(|| {
        let (net, token) = cancellable();
        let offer = net.offer("jobs", &[]).unwrap();
        thread::scope(|threads| {
            let waiting = threads.spawn(|| offer.accept().unwrap_err());
            token.cancel();
            assert!(is_cancelled(&waiting.join().unwrap()));
        });
        // And every further one.
        assert!(is_cancelled(&offer.accept_timeout(SOON).unwrap_err()));
        assert_eq!(offer.incoming().count(), 0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert!(is_cancelled(&runtime.block_on(offer.accept_async()).unwrap_err()));
        assert!(is_cancelled(&offer.collect::<u32>().recv().unwrap_err()));
    });
}

#[test]
fn a_token_ends_the_wait_for_a_machine() {
    watched(|| {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let token = CancelToken::new().unwrap();
        let net = options().timeout(SOON * 10).cancelled_by(&token);
        let net = net.open(&Key::generate()).unwrap();
        let at = format!("jobs@{}/{}", Key::generate().public(), silent.local_addr().unwrap());
        thread::scope(|threads| {
            let connecting = threads.spawn(|| net.connect(&at).unwrap_err());
            // It is connecting.
            silent.recv(&mut [0; 2000]).unwrap();
            token.cancel();
            let error = connecting.join().unwrap();
            assert!(is_cancelled(&error), "{error}");
        });
    });
}

#[test]
fn connections_come_one_after_the_other_until_the_net_is_closed() {
    watched(|| {
        let two = Two::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        thread::scope(|threads| {
            let (here, offer) = (two.here, &two.offer);
            let accepting = threads.spawn(move || {
                offer.incoming().map(Result::unwrap).take(2).count()
                    + offer.incoming().map(Result::unwrap).count()
            });
            let _all = [0; 3].map(|_| two.there.connect(offer.address()).unwrap());
            // Its error tells of those that are open.
            let _ = here.close(SOON);
            assert!(accepting.join().unwrap() <= 3);
            let mut over = std::pin::pin!(offer.incoming_async());
            let next =
                std::future::poll_fn(|cx| futures_util::Stream::poll_next(over.as_mut(), cx));
            assert!(runtime.block_on(next).is_none());
        });
    });
}

#[test]
fn many_machines_send_to_one_receiver() {
    watched(|| {
        const EACH: u32 = 200;
        let keys: Vec<_> = (0..5).map(|_| Key::generate()).collect();
        let here = listening(&Key::generate());
        let public: Vec<_> = keys.iter().map(Key::public).collect();
        let mut collector: Collector<u32> = here.offer("jobs", &public).unwrap().collect();
        let at = collector.offer().address().to_owned();
        let senders: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let at = at.clone();
                thread::spawn(move || {
                    let net = options().open(&key).unwrap();
                    let typed: TypedConnection<u32, ()> =
                        net.connect(&at).unwrap().into_typed().unwrap();
                    let (mut sender, _rest) = typed.split();
                    (0..EACH).for_each(|number| sender.send(&number).unwrap());
                    assert_eq!(sender.finish().unwrap(), Delivery::Drained);
                })
            })
            .collect();
        let mut next = std::collections::HashMap::new();
        let mut ended = 0;
        while ended < senders.len() {
            let collected = collector.recv_timeout(SOON).unwrap();
            let next = next.entry(collected.from).or_insert(0);
            match collected.message {
                Ok(number) => {
                    assert_eq!(number, *next);
                    *next += 1;
                }
                Err(end) => {
                    assert_eq!(end.kind(), ErrorKind::Finished);
                    assert_eq!(*next, EACH);
                    ended += 1;
                }
            }
        }
        assert!(public.iter().all(|key| next.contains_key(key)));
        let late = collector.recv_timeout(Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn what_a_collector_has_not_received_is_not_told_to_be_taken() {
    watched(|| {
        let two = Two::new();
        let mut collector: Collector<u32> = two.offer.collect();
        let at = collector.offer().address().to_owned();
        let net = two.there;
        let sending = thread::spawn(move || {
            let typed: TypedConnection<u32, ()> = net.connect(&at).unwrap().into_typed().unwrap();
            let (mut sender, rest) = typed.split();
            sender.send(&1).unwrap();
            (sender, rest, net)
        });
        assert_eq!(collector.recv().unwrap().message.unwrap(), 1);
        let (mut sender, rest, _net) = sending.join().unwrap();
        sender.send(&2).unwrap();
        let failed = sender.finish_timeout(Duration::from_millis(500)).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut);
        let sender = failed.into_state();
        drop(collector);
        assert_eq!(sender.finish().unwrap_err().kind(), ErrorKind::Disconnected);
        drop(rest);
    });
}

#[test]
fn a_machine_that_sends_something_else_costs_a_collector_only_itself() {
    watched(|| {
        let two = Two::new();
        let mut collector: Collector<u32> = two.offer.collect();
        let at = collector.offer().address().to_owned();
        let net = two.there;
        let sending = thread::spawn(move || {
            let wrong = net.connect(&at).unwrap().into_typed::<str, ()>().unwrap_err();
            assert_eq!(wrong.kind(), ErrorKind::Mismatch);
            drop(net.connect(&at).unwrap());
            let typed: TypedConnection<u32, ()> = net.connect(&at).unwrap().into_typed().unwrap();
            let (mut sender, rest) = typed.split();
            sender.send(&7).unwrap();
            sender.finish().unwrap();
            drop(rest);
            net
        });
        let mut words = Vec::new();
        while words.len() < 4 {
            match collector.recv_timeout(SOON).unwrap().message {
                Ok(number) => words.push(format!("{number}")),
                Err(error) => words.push(format!("{:?}", error.kind())),
            }
        }
        assert_eq!(words, ["Mismatch", "Disconnected", "7", "Finished"]);
        drop(sending.join().unwrap());
    });
}

#[test]
fn a_collector_ends_with_its_net_after_the_last_words() {
    watched(|| {
        let two = Two::new();
        let mut collector: Collector<u32> = two.offer.collect();
        let at = collector.offer().address().to_owned();
        let (here, there) = (two.here, two.there);
        let sending = thread::spawn(move || {
            let mut typed: TypedConnection<u32, ()> =
                there.connect(&at).unwrap().into_typed().unwrap();
            typed.send(&7).unwrap();
            (typed, there)
        });
        assert_eq!(collector.recv().unwrap().message.unwrap(), 7);
        // Its error tells of the connection that is open.
        let _ = here.close(SOON);
        let last = collector.next().unwrap().unwrap();
        assert_eq!(last.message.unwrap_err().kind(), ErrorKind::Disconnected);
        assert!(collector.next().is_none());
        drop(sending.join().unwrap());
    });
}

#[test]
fn tasks_collect() {
    watched(|| {
        let two = Two::new();
        let mut collector: Collector<u32> = two.offer.collect();
        let connecting = two.there.connect_async(collector.offer().address());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let sending = async {
                let connection = connecting.await.unwrap();
                let mut typed = connection.into_typed::<u32, ()>().await.unwrap();
                typed.send(&7).await.unwrap();
                typed
            };
            let (collected, _typed) = tokio::join!(collector.recv_async(), sending);
            assert_eq!(collected.unwrap().message.unwrap(), 7);
        });
    });
}

/// Another process, which is a machine of its own.
struct Peer {
    child: Child,
    stdin: ChildStdin,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Peer {
    fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role", "--nocapture"])
            .env("TYPED_PIPE_NET_ROLE", role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, stdin, lines: BufReader::new(stdout).lines() }
    }

    /// What it says after a word.
    fn says(&mut self, word: &str) -> String {
        loop {
            let line = self.lines.next().expect("it says something").unwrap();
            if let Some((_, said)) = line.split_once(word) {
                return said.trim().to_owned();
            }
        }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What another process does: no test by itself.
#[test]
fn role() {
    let Ok(role) = std::env::var("TYPED_PIPE_NET_ROLE") else { return };
    let mut line = String::new();
    match role.as_str() {
        // Offers to a key from its input, and echoes.
        "echo" => {
            io::stdin().read_line(&mut line).unwrap();
            let net = listening(&Key::generate());
            let offer = net.offer("echo", &[line.trim().parse().unwrap()]).unwrap();
            println!("\nADDRESS {}", offer.address());
            while let Ok(connection) = offer.accept() {
                let mut typed: Typed = connection.into_typed().unwrap();
                while let Ok(text) = typed.recv() {
                    typed.send(&text).unwrap();
                }
            }
        }
        other => panic!("there is no role {other}"),
    }
}

/// Another process that echoes.
fn with_echo() -> (Net, Typed, Peer) {
    let key = Key::generate();
    let net = options().idle(Duration::from_secs(5)).open(&key).unwrap();
    let mut peer = Peer::start("echo");
    peer.tell(&key.public().to_string());
    let at = peer.says("ADDRESS");
    let mut typed: Typed = net.connect(&at).unwrap().into_typed().unwrap();
    typed.send("hello").unwrap();
    assert_eq!(typed.recv().unwrap(), "hello");
    (net, typed, peer)
}

#[test]
fn a_killed_process_is_named_on_the_other_side() {
    watched(|| {
        let (_net, typed, mut peer) = with_echo();
        peer.child.kill().unwrap();
        let begin = Instant::now();
        let (mut sender, mut receiver) = typed.split();
        let error = receiver.recv().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
        assert!(format!("{error:?} {error}").contains("idle time"), "{error:?} {error}");
        assert!(begin.elapsed() < SOON);
        // What cannot have been taken is not told to be.
        let sent = sender.send("lost");
        assert!(sent.is_err() || sender.finish().is_err());
    });
}

#[test]
fn closing_tells_of_bytes_that_were_lost_with_their_link() {
    watched(|| {
        let (net, mut typed, mut peer) = with_echo();
        peer.child.kill().unwrap();
        peer.child.wait().unwrap();
        // It is not known yet that nobody is there.
        typed.send("lost").unwrap();
        drop(typed);
        let error = net.close(SOON).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        assert!(error.to_string().contains("1 connections had lost their link"), "{error}");
    });
}
