//! Messages through shared memory.

use std::thread;

use typed_pipe::{Connection, ErrorKind, Handshake, SharedMemory, TransportKind, TypedConnection};

use crate::support::watched;

/// Both sides of a connection, each with its handshake.
fn made(
    one: Handshake,
    other: Handshake,
) -> (TypedConnection<u64, String>, TypedConnection<String, u64>) {
    let (client, server) = Connection::pair().unwrap();
    let making = thread::spawn(move || other.perform(server).unwrap());
    (one.perform(client).unwrap(), making.join().unwrap())
}

fn offered() -> Handshake {
    Handshake::new().shared_memory(SharedMemory::offered())
}

fn exchange(one: &mut TypedConnection<u64, String>, other: &mut TypedConnection<String, u64>) {
    for number in 0..100 {
        one.send(&number).unwrap();
        assert_eq!(other.recv().unwrap(), number);
        other.send(&number.to_string()).unwrap();
        assert_eq!(one.recv().unwrap(), number.to_string());
    }
}

#[test]
fn a_side_that_offers_none_is_spoken_to_without() {
    watched(|| {
        let (mut one, mut other) = made(offered(), Handshake::new());
        assert!(
            matches!(one.transport(), TransportKind::Socket { reason: Some(why), .. } if !why.is_empty())
        );
        assert!(matches!(other.transport(), TransportKind::Socket { reason: None, .. }));
        exchange(&mut one, &mut other);
    });
}

#[test]
fn memory_that_is_required_and_not_there_fails_the_handshake() {
    watched(|| {
        let (client, server) = Connection::pair().unwrap();
        let making = thread::spawn(move || server.into_typed::<String, u64>().map(drop));
        let required = Handshake::new().shared_memory(SharedMemory::required());
        let error = required.perform::<u64, String>(client).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("no shared memory"), "{error}");
        let _ = making.join().unwrap();
    });
}

#[cfg(not(target_os = "linux"))]
#[test]
fn systems_without_shared_memory_use_what_they_have() {
    watched(|| {
        let (mut one, mut other) = made(offered(), offered());
        let none =
            |transport: &TransportKind| transport.to_string().contains("this system has none");
        assert!(none(one.transport()) && none(other.transport()), "{}", one.transport());
        exchange(&mut one, &mut other);
    });
}

#[cfg(target_os = "linux")]
pub(crate) mod linux {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use typed_pipe::wire::{LengthPrefixed, Wire};
    use typed_pipe::{Handles, Hangup, Listener, ReceivingHalf, SealedBytes, WithHandles};

    use super::*;
    use crate::peer::{self, READY, await_go, count, number, step};
    use crate::support::patience;

    type Handed = WithHandles<(u64, u32, String)>;

    fn required() -> Handshake {
        Handshake::new().shared_memory(SharedMemory::required())
    }

    /// How much is sent with a number: at times so much that the ring grows for it.
    fn filling(number: u64) -> usize {
        let few = usize::try_from(number * 37 % 5000).unwrap();
        if number % 100 == 70 { few * 20 } else { few }
    }

    pub(crate) fn play(role: &str, name: &Path) {
        #[cfg(feature = "service")]
        match role {
            "call-in-memory" => return calls::call(name),
            "serve-in-memory" => return calls::serve(name),
            _ => {}
        }
        let connection = Connection::connect(name).unwrap();
        match role {
            "echo-in-memory" => {
                let mut side = required().perform::<Vec<u8>, Vec<u8>>(connection).unwrap();
                while let Ok(bytes) = side.recv() {
                    side.send(&bytes).unwrap();
                }
            }
            // Sends as fast as it can, and says before each message that it will be sent, until it is killed.
            "pour-in-memory" => {
                let mut side = required().perform::<(u64, String), ()>(connection).unwrap();
                step(READY);
                for number in 0_u64.. {
                    side.send(&(number, "x".repeat(filling(number)))).unwrap();
                }
            }
            #[cfg(feature = "session")]
            "double-in-memory" => sessions::double(connection),
            "take-in-memory" => {
                let mut side = required().perform::<(), (u64, String)>(connection).unwrap();
                let mut next = 0;
                step(READY);
                while let Ok((number, text)) = side.recv() {
                    assert_eq!(number, next);
                    assert_eq!(text.len(), filling(number));
                    next += 1;
                }
            }
            // Many connections one after the other: nothing is left of them.
            "come-and-go" => {
                drop(connection);
                let mut before = None;
                for round in 0..number() {
                    let connection = Connection::connect(name).unwrap();
                    let mut side = required().perform::<u64, u64>(connection).unwrap();
                    if round % 2 == 0 {
                        side.send(&7).unwrap();
                        assert_eq!(side.recv().unwrap(), 8);
                    }
                    drop(side);
                    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
                    assert!(!maps.contains("memfd:"), "a mapping is left");
                    let open = count("/proc/self/fd");
                    assert_eq!(*before.get_or_insert(open), open);
                }
            }
            // Sends handles as well, as fast as it can, until it is killed.
            "hand-in-memory" => {
                let mut side = required().perform::<Handed, ()>(connection).unwrap();
                step(READY);
                for number in 0_u64.. {
                    let mut handles = Handles::new();
                    let bytes = SealedBytes::copy_from(&number.to_le_bytes()).unwrap();
                    let place = handles.add(bytes);
                    let filling = "x".repeat(usize::try_from(number * 37 % 500).unwrap());
                    side.send_with_handles(&(number, place, filling), &mut handles).unwrap();
                }
            }
            // Takes the messages, and the handles of none.
            "take-no-handles" => {
                let mut side = required().perform::<(), Handed>(connection).unwrap();
                step(READY);
                let receiver = side.receiver();
                while receiver.recv_bytes().is_ok() && receiver.recv_view().is_ok() {}
            }
            "hold-in-memory" => {
                let mut side = required().perform::<u64, u64>(connection).unwrap();
                side.send(&1).unwrap();
                step(READY);
                await_go();
                let _ = side.recv();
            }
            "offer-in-want" => offer_in_want(connection),
            other => panic!("no role {other}"),
        }
    }

    /// A process with so few descriptors left, or with no addresses: what it does without is the memory.
    fn offer_in_want(connection: Connection) {
        let (mut kept, left) = (Vec::new(), number());
        let ring = if left == NO_ADDRESSES {
            let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
            limit(Resource::As, pages * 4096 + (48 << 20));
            64 << 20
        } else {
            limit(Resource::Nofile, 64);
            kept.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
            kept.truncate(kept.len() - left);
            64 << 10
        };
        let offered = Handshake::new().shared_memory(SharedMemory::offered().ring(ring));
        let mut side = offered.perform::<u64, String>(connection).unwrap();
        let told = side.transport().to_string();
        let expected = match left {
            NO_ADDRESSES => "Cannot allocate memory",
            0..ENOUGH => "too many open files",
            _ => "shared memory",
        };
        assert!(told.contains(expected), "{left}: {told}");
        for number in 0..10 {
            side.send(&number).unwrap();
            assert_eq!(side.recv().unwrap(), number.to_string());
        }
    }

    fn limit(resource: Resource, most: u64) {
        let Rlimit { maximum, .. } = getrlimit(resource);
        setrlimit(resource, Rlimit { current: Some(most), maximum }).unwrap();
    }

    /// The descriptors that a side needs for memory: its file, and a line.
    const ENOUGH: usize = 3;
    const NO_ADDRESSES: usize = 100;

    #[test]
    fn a_process_that_has_no_room_for_memory_goes_on_with_the_socket() {
        watched(|| {
            for left in [0, 1, 2, ENOUGH, NO_ADDRESSES] {
                let listener = Listener::temporary().unwrap();
                let left = u32::try_from(left).unwrap();
                let peer = peer::start_with("offer-in-want", listener.path(), left);
                let mut side = offered()
                    .perform::<String, u64>(listener.accept().unwrap())
                    .unwrap_or_else(|error| panic!("{left}: {error}"));
                let told = side.transport().to_string();
                let in_memory = usize::try_from(left).unwrap() == ENOUGH;
                let expected = if in_memory { "shared memory" } else { "could make none" };
                assert!(told.contains(expected), "{left}: {told}");
                while let Ok(number) = side.recv() {
                    side.send(&number.to_string()).unwrap();
                }
                peer.join();
            }
        });
    }

    #[test]
    fn messages_go_through_memory_and_both_sides_know() {
        watched(|| {
            for ring in [1, 64 << 10, 100_000, 1 << 20] {
                let ours = Handshake::new().shared_memory(SharedMemory::offered().ring(ring));
                let (mut one, mut other) = made(ours, offered());
                assert_eq!(*one.transport(), TransportKind::SharedMemory);
                assert_eq!(*other.transport(), TransportKind::SharedMemory);
                exchange(&mut one, &mut other);
                // Much more than the rings hold, both ways at once.
                let long = "y".repeat(3 << 20);
                one.send(&1).unwrap();
                let both = thread::scope(|scope| {
                    scope.spawn(|| other.send(&long).unwrap());
                    let text = one.recv().unwrap();
                    text == long
                });
                assert!(both);
                assert!(one.peer().unwrap().is_same_user());
            }
        });
    }

    #[test]
    fn both_sides_may_send_more_than_the_rings_hold_first() {
        watched(|| {
            let (client, server) = Connection::pair().unwrap();
            let long = vec![7_u8; 5 << 20];
            let theirs = long.clone();
            let other = thread::spawn(move || {
                let mut server = required().perform::<Vec<u8>, Vec<u8>>(server).unwrap();
                server.send(&theirs).unwrap();
                server.recv().unwrap() == theirs
            });
            let mut client = required().perform::<Vec<u8>, Vec<u8>>(client).unwrap();
            client.send(&long).unwrap();
            assert!(client.recv().unwrap() == long);
            assert!(other.join().unwrap());
        });
    }

    #[test]
    fn two_processes_exchange_bytes_of_all_sizes() {
        watched(|| {
            let listener = Listener::temporary().unwrap();
            let peer = peer::start("echo-in-memory", listener.path());
            let client = listener.accept().unwrap();
            let mut client = required().perform::<Vec<u8>, Vec<u8>>(client).unwrap();
            for len in [0_usize, 1, 100, 4096, 16 << 10, 65_530, 65_536, 100_000, 3_000_000] {
                let bytes: Vec<u8> = (0..len).map(|at| (at * 7 % 251).to_le_bytes()[0]).collect();
                client.send(&bytes).unwrap();
                assert!(client.recv().unwrap() == bytes, "{len}");
                let mut loan = client.sender().loan(len).unwrap();
                loan.copy_from_slice(&bytes);
                drop(loan); // sends nothing
            }
            client.finish().unwrap();
            peer.join();
        });
    }

    /// With rings that the largest messages fill many times over, with larger ones, and with one that grows.
    pub(super) const RINGS: [usize; 4] = [64 << 10, 1 << 20, 32 << 20, GROWS];
    const GROWS: usize = 0;
    pub(super) const LARGE: [usize; 2] = [1 << 20, 16 << 20];

    pub(super) fn for_large(ring: usize) -> Handshake {
        let wire = Wire::default().with_framing(LengthPrefixed::default().limit(64 << 20));
        let memory = SharedMemory::required();
        let memory = if ring == GROWS { memory } else { memory.ring(ring) };
        Handshake::new().with_wire(wire).shared_memory(memory)
    }

    /// Bytes of which each page has its own: a page that is lost, doubled or moved is seen.
    pub(super) fn paged(len: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for (page, bytes) in (seed..).zip(bytes.chunks_exact_mut(1024)) {
            bytes[..8].copy_from_slice(&page.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            bytes[1023] = page.to_le_bytes()[0];
        }
        bytes
    }

    #[test]
    fn messages_larger_and_smaller_than_their_rings_go_through_whole() {
        watched(|| {
            for ring in RINGS {
                let (client, server) = Connection::pair().unwrap();
                let taking = thread::spawn(move || {
                    let mut side = for_large(ring).perform::<(), Vec<u8>>(server).unwrap();
                    for (len, seed) in (LARGE.into_iter().chain([LARGE[0]])).zip(7..) {
                        let came = side.receiver().recv_bytes().unwrap();
                        assert!(came == paged(len, seed), "{len} bytes, a ring of {ring}");
                    }
                });
                let mut side = for_large(ring).perform::<Vec<u8>, ()>(client).unwrap();
                for (len, seed) in LARGE.into_iter().zip(7..) {
                    side.sender().send_bytes(&paged(len, seed)).unwrap();
                }
                let mut loan = side.sender().loan(LARGE[0]).unwrap();
                loan.copy_from_slice(&paged(LARGE[0], 9));
                loan.send().unwrap();
                taking.join().unwrap();
            }
        });
    }

    #[test]
    fn a_loan_is_received_as_it_was_made() {
        watched(|| {
            let (client, server) = Connection::pair().unwrap();
            let ring = Handshake::new().shared_memory(SharedMemory::required().ring(1 << 20));
            let theirs = ring.clone();
            let taking = thread::spawn(move || {
                let mut server = theirs.perform::<(), Vec<u8>>(server).unwrap();
                for round in 0..50_u8 {
                    let bytes = server.receiver().recv_bytes().unwrap();
                    assert!(bytes.len() == 300_000 && bytes.iter().all(|&byte| byte == round));
                }
            });
            let mut client = ring.perform::<Vec<u8>, ()>(client).unwrap();
            for round in 0..50 {
                let mut loan = client.sender().loan(300_000).unwrap();
                loan.fill(round);
                loan.send().unwrap();
            }
            taking.join().unwrap();
        });
    }

    fn file(words: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(words.as_bytes()).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn handles_keep_their_place_between_the_messages() {
        watched(|| {
            let (client, server) = Connection::pair().unwrap();
            let taking = thread::spawn(move || {
                let mut server = required().perform::<(), Handed>(server).unwrap();
                for round in 0..300_u64 {
                    let ((number, place, filling), mut handles) =
                        server.recv_with_handles().unwrap();
                    assert_eq!(number, round);
                    assert_eq!(filling.len(), usize::try_from(round * 97 % 9000).unwrap());
                    if round % 3 == 0 {
                        assert_eq!(handles.len(), 1);
                        let mut words = String::new();
                        let mut file: File = handles.take(place).unwrap();
                        file.read_to_string(&mut words).unwrap();
                        assert_eq!(words, round.to_string());
                    } else if round % 3 == 1 {
                        let bytes: SealedBytes = handles.take(place).unwrap();
                        assert_eq!(bytes[..], round.to_le_bytes());
                    } else {
                        assert!(handles.is_empty());
                    }
                }
            });
            let mut client = required().perform::<Handed, ()>(client).unwrap();
            for round in 0..300_u64 {
                let mut handles = Handles::new();
                let place = match round % 3 {
                    0 => handles.add(file(&round.to_string())),
                    1 => handles.add(SealedBytes::copy_from(&round.to_le_bytes()).unwrap()),
                    _ => 0,
                };
                let filling = "z".repeat(usize::try_from(round * 97 % 9000).unwrap());
                client.send_with_handles(&(round, place, filling), &mut handles).unwrap();
            }
            taking.join().unwrap();
        });
    }

    /// It is read as a `bool`, and may be written as something else.
    #[derive(Debug, PartialEq)]
    struct Flag(u8);

    impl Serialize for Flag {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u8(self.0)
        }
    }

    impl<'de> Deserialize<'de> for Flag {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            bool::deserialize(deserializer).map(|flag| Self(flag.into()))
        }
    }

    /// Handles of messages that do not decode pile up nowhere, and stop no one.
    #[test]
    fn handles_of_lost_messages_are_closed() {
        watched(|| {
            let (client, server) = Connection::pair().unwrap();
            let rounds = 2000;
            let taking = thread::spawn(move || {
                type Number = WithHandles<(u64, Flag)>;
                let mut server = required().perform::<(), Number>(server).unwrap();
                for _ in 0..rounds {
                    assert_eq!(server.recv_with_handles().unwrap_err().kind(), ErrorKind::Decode);
                }
                let (value, mut handles) = server.recv_with_handles().unwrap();
                assert_eq!(value, (5, Flag(1)));
                handles.take::<OwnedFd>(0).unwrap();
            });
            let mut client = required().perform::<WithHandles<(u64, Flag)>, ()>(client).unwrap();
            let file = file("x");
            for round in 0..=rounds {
                let mut handles = Handles::new();
                handles.add(file.try_clone().unwrap());
                let is_last = round == rounds;
                client
                    .send_with_handles(&(5, Flag(if is_last { 1 } else { 9 })), &mut handles)
                    .unwrap();
            }
            taking.join().unwrap();
        });
    }

    #[test]
    fn what_a_killed_process_has_sent_arrives_whole() {
        watched(|| {
            let kills: u64 =
                std::env::var("TYPED_PIPE_TEST_KILLS").map_or(20, |told| told.parse().unwrap());
            let before = count("/proc/self/fd");
            let mut received = 0;
            for round in 0..kills {
                let listener = Listener::temporary().unwrap();
                let mut peer = peer::start("pour-in-memory", listener.path());
                let client = listener.accept().unwrap();
                let side = required().perform::<(), (u64, String)>(client).unwrap();
                peer.await_step(READY);
                let (_sender, mut from): (_, ReceivingHalf<(u64, String)>) = side.split();
                let end = Instant::now() + Duration::from_micros(round * 7919 % 3000);
                let mut next = 0_u64;
                let mut killed = false;
                loop {
                    if !killed && Instant::now() >= end {
                        peer.process().kill().unwrap();
                        killed = true;
                    }
                    match from.recv() {
                        Ok((number, text)) => {
                            assert_eq!(number, next, "one is missing");
                            assert!(text.len() == filling(number) && !text.contains('\0'));
                            next += 1;
                        }
                        Err(error) => {
                            assert!(killed, "{error}");
                            assert!(
                                [ErrorKind::Disconnected, ErrorKind::Truncated]
                                    .contains(&error.kind()),
                                "{error}"
                            );
                            break;
                        }
                    }
                }
                received += next;
                let hangup = from.last_hangup();
                assert!(!matches!(hangup, Some(Hangup::Finished)), "{hangup:?}");
            }
            assert!(received > 0);
            // Other tests of this process have some open, too: no more than that is to be seen here.
            assert!(count("/proc/self/fd") < before + 100);
        });
    }

    #[test]
    fn handles_that_a_killed_process_has_sent_arrive_with_their_messages() {
        watched(|| {
            let mut received = 0;
            for round in 0..10_u64 {
                let listener = Listener::temporary().unwrap();
                let mut peer = peer::start("hand-in-memory", listener.path());
                let client = listener.accept().unwrap();
                let mut side = required().perform::<(), Handed>(client).unwrap();
                peer.await_step(READY);
                // With the socket full, or before.
                thread::sleep(Duration::from_millis(round * 3));
                peer.process().kill().unwrap();
                for next in 0_u64.. {
                    match side.recv_with_handles() {
                        Ok(((number, place, _), mut handles)) => {
                            assert_eq!(number, next, "one is missing");
                            let bytes: SealedBytes = handles.take(place).unwrap();
                            assert_eq!(bytes[..], number.to_le_bytes());
                            received += 1;
                        }
                        Err(error) => {
                            let kinds = [ErrorKind::Disconnected, ErrorKind::Truncated];
                            assert!(kinds.contains(&error.kind()), "{error}");
                            break;
                        }
                    }
                }
            }
            assert!(received > 0);
        });
    }

    /// Its ring is read on, its socket is full, and the writer waits there.
    #[test]
    fn a_reader_that_takes_no_handles_stops_no_writer_and_is_noticed_when_it_is_killed() {
        watched(|| {
            let listener = Listener::temporary().unwrap();
            let mut peer = peer::start("take-no-handles", listener.path());
            let client = listener.accept().unwrap();
            let mut side = required().perform::<Handed, ()>(client).unwrap();
            peer.await_step(READY);
            let file = file("x");
            let mut send = || {
                let mut handles = Handles::new();
                let place = handles.add(file.try_clone().unwrap());
                side.send_with_handles(&(1, place, String::new()), &mut handles)
            };
            for _ in 0..2000 {
                send().unwrap();
            }
            let pid = Pid::from_raw(i32::try_from(peer.id()).unwrap()).unwrap();
            let killing = thread::spawn(move || {
                kill_process(pid, Signal::STOP).unwrap();
                thread::sleep(Duration::from_millis(50));
                kill_process(pid, Signal::KILL).unwrap();
            });
            let error = loop {
                if let Err(error) = send() {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
            killing.join().unwrap();
        });
    }

    #[test]
    fn a_reader_that_is_killed_is_noticed_by_who_waits_for_room() {
        watched(|| {
            for round in 0..10_u64 {
                let listener = Listener::temporary().unwrap();
                let mut peer = peer::start("take-in-memory", listener.path());
                let client = listener.accept().unwrap();
                let mut side = required().perform::<(u64, String), ()>(client).unwrap();
                peer.await_step(READY);
                let pid = Pid::from_raw(i32::try_from(peer.id()).unwrap()).unwrap();
                let killing = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(1 + round));
                    // Stopped first, so that the writer waits.
                    kill_process(pid, Signal::STOP).unwrap();
                    thread::sleep(Duration::from_millis(5));
                    kill_process(pid, Signal::KILL).unwrap();
                    Instant::now()
                });
                let error = (0_u64..)
                    .find_map(|number| {
                        let filling = "x".repeat(filling(number));
                        side.send(&(number, filling)).err()
                    })
                    .unwrap();
                let noticed = Instant::now();
                assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
                let late = noticed.saturating_duration_since(killing.join().unwrap());
                assert!(late < Duration::from_secs(5) * patience(), "noticed after {late:?}");
            }
        });
    }

    #[test]
    fn nothing_is_left_of_connections_over_memory() {
        watched(|| {
            let listener = Listener::temporary().unwrap();
            let rounds = 100;
            let peer = peer::start_with("come-and-go", listener.path(), rounds);
            drop(listener.accept().unwrap());
            for _ in 0..rounds {
                let client = listener.accept().unwrap();
                let mut side = required().perform::<u64, u64>(client).unwrap();
                while let Ok(number) = side.recv() {
                    side.send(&(number + 1)).unwrap();
                }
            }
            peer.join();
            for name in std::fs::read_dir("/dev/shm").into_iter().flatten() {
                let name = name.unwrap().file_name();
                assert!(!name.to_string_lossy().contains("typed-pipe"), "{name:?} is left");
            }
        });
    }

    /// What memory costs a connection when it is made: both sides, in one process. Count the system calls with
    /// `strace --follow-forks --summary-only` and one size in `TYPED_PIPE_TEST_RING`.
    #[test]
    #[ignore = "prints what docs/COSTS.md has"]
    fn costs_of_a_connection() {
        let only = std::env::var("TYPED_PIPE_TEST_RING").map(|size| size.parse().unwrap());
        for ring in [0, 64 << 10, 1 << 20, 16 << 20] {
            if only.as_ref().is_ok_and(|only: &usize| *only != ring) {
                continue;
            }
            let handshake = || match ring {
                0 => Handshake::new(),
                _ => required().shared_memory(SharedMemory::required().ring(ring)),
            };
            let (mut least, mut faults) = (Duration::MAX, i64::MAX);
            for _ in 0..500 {
                let (client, server) = Connection::pair().unwrap();
                let (before, since) = (page_faults(), Instant::now());
                let (one, other) = thread::scope(|scope| {
                    let other = scope.spawn(|| handshake().perform::<u64, u64>(server).unwrap());
                    (handshake().perform::<u64, u64>(client).unwrap(), other.join().unwrap())
                });
                least = least.min(since.elapsed());
                faults = faults.min(page_faults() - before);
                drop((one, other));
            }
            println!("a ring of {ring}: {least:?}, {faults} page faults");
        }
    }

    /// The page faults of this process that took no disk.
    fn page_faults() -> i64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields = stat.rsplit(')').next().unwrap();
        fields.split_whitespace().nth(7).unwrap().parse().unwrap()
    }

    #[test]
    fn a_deadline_and_a_token_end_waits() {
        watched(|| {
            let (client, server) = Connection::pair().unwrap();
            let token = typed_pipe::CancelToken::new().unwrap();
            let server = server.cancelled_by(&token);
            let making = thread::spawn(move || required().perform::<String, u64>(server).unwrap());
            let mut client = required().perform::<u64, String>(client).unwrap();
            let mut server = making.join().unwrap();
            let short = Duration::from_millis(20);
            assert_eq!(
                client.receiver().recv_timeout(short).unwrap_err().kind(),
                ErrorKind::TimedOut
            );
            assert_eq!(client.receiver().try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
            let waiting = thread::spawn(move || server.recv().unwrap_err().kind());
            thread::sleep(short);
            token.cancel();
            assert_eq!(waiting.join().unwrap(), ErrorKind::Cancelled);
        });
    }

    #[test]
    fn a_goodbye_comes_through_and_what_was_finished_can_be_answered() {
        watched(|| {
            let (one, mut other) = made(required(), required());
            let (sender, mut receiver) = one.split();
            let answering = thread::spawn(move || {
                let error = other.recv().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Finished, "{error}");
                other.send(&"still here".into()).unwrap();
                other.finish().unwrap();
            });
            sender.finish().unwrap();
            assert_eq!(receiver.recv().unwrap(), "still here");
            assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Finished);
            answering.join().unwrap();
        });
    }

    #[test]
    fn a_forked_child_ends_no_connection() {
        watched(|| {
            let listener = Listener::temporary().unwrap();
            let mut peer = peer::start("hold-in-memory", listener.path());
            let client = listener.accept().unwrap();
            let mut side = required().perform::<u64, u64>(client).unwrap();
            assert_eq!(side.recv().unwrap(), 1);
            peer.await_step(READY);
            // A program that is started inherits neither descriptors nor memory.
            let status = std::process::Command::new("true").status().unwrap();
            assert!(status.success());
            assert_eq!(side.receiver().try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
            peer.proceed();
            side.send(&5).unwrap();
            peer.join();
        });
    }

    #[cfg(feature = "service")]
    mod calls {
        use typed_pipe::{
            CancelToken, Carried, Client, ClientOptions, Context, Described, PipePath, Receivable,
            Service,
        };

        use super::*;

        pub(super) fn options() -> ClientOptions {
            ClientOptions::new().shared_memory(SharedMemory::required())
        }

        pub(super) fn service<Req: Receivable, Resp: Described>(
            memory: SharedMemory,
        ) -> (Service<Req, Resp>, PipePath, CancelToken) {
            let token = CancelToken::new().unwrap();
            let service = Service::temporary().unwrap().shared_memory(memory);
            let path = service.path().clone();
            (service.cancelled_by(&token), path, token)
        }

        pub(super) fn sum(bytes: &[u8]) -> u64 {
            bytes.iter().copied().map(u64::from).sum()
        }

        /// What a client process does.
        pub(super) fn call(name: &Path) {
            let client = options().connect::<Vec<u8>, u64>(name).unwrap();
            thread::scope(|scope| {
                for thread in 0..4_u8 {
                    let client = &client;
                    scope.spawn(move || {
                        for len in [0, 1, 100, 10_000, 200_000] {
                            for _ in 0..3 {
                                let bytes = vec![thread; len];
                                assert_eq!(client.call(&bytes).unwrap(), sum(&bytes));
                            }
                        }
                    });
                }
            });
        }

        /// What a service process does, until it is killed.
        pub(super) fn serve(name: &Path) {
            let service = Service::<Vec<u8>, u64>::bind(name).unwrap();
            let service = service.shared_memory(SharedMemory::offered());
            step(READY);
            let handler = |bytes: Vec<u8>| {
                if bytes.is_empty() {
                    step(READY);
                    await_go(); // which never comes
                }
                sum(&bytes)
            };
            service.serve(handler).unwrap();
        }

        #[test]
        fn a_service_and_its_clients_share_memory() {
            watched(|| {
                let (service, path, token) = service::<Vec<u8>, _>(SharedMemory::offered());
                let serving = thread::spawn(move || service.serve(|bytes| sum(&bytes)).unwrap());
                let peers = [(), ()].map(|()| peer::start("call-in-memory", &path));
                // One that offers none is served beside them.
                let plain = Client::<Vec<u8>, u64>::connect(&path).unwrap();
                assert_eq!(plain.call(&vec![7; 1000]).unwrap(), 7000);
                peers.into_iter().for_each(peer::Peer::join);
                token.cancel();
                let summary = serving.join().unwrap();
                assert_eq!((summary.answered, summary.lost), (121, 0));
            });
        }

        #[test]
        fn a_service_that_requires_memory_serves_no_client_without() {
            watched(|| {
                let (service, path, token) = service::<Vec<u8>, _>(SharedMemory::required());
                let serving = thread::spawn(move || service.serve(|bytes| sum(&bytes)).unwrap());
                assert!(
                    Client::<Vec<u8>, u64>::connect(&path)
                        .and_then(|client| client.call(&vec![1]))
                        .is_err()
                );
                let client = options().connect::<Vec<u8>, u64>(&path).unwrap();
                assert_eq!(client.call(&vec![1; 9]).unwrap(), 9);
                token.cancel();
                assert_eq!(serving.join().unwrap().answered, 1);
            });
        }

        #[test]
        fn a_client_that_requires_memory_calls_no_service_without() {
            watched(|| {
                let token = CancelToken::new().unwrap();
                let service = Service::<Vec<u8>, u64>::temporary().unwrap().cancelled_by(&token);
                let path = service.path().clone();
                let serving = thread::spawn(move || service.serve(|bytes| sum(&bytes)).unwrap());
                let error = options().connect::<Vec<u8>, u64>(path).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                token.cancel();
                assert_eq!(serving.join().unwrap().answered, 0);
            });
        }

        /// Both sides write more than the rings hold at once: requests one way, answers the other way.
        #[test]
        fn requests_and_answers_that_fill_both_rings_go_through() {
            watched(|| {
                let (service, path, token) = service::<Vec<u8>, _>(SharedMemory::required());
                let serving = thread::spawn(move || service.serve(|bytes| bytes).unwrap());
                let client = options().connect::<Vec<u8>, Vec<u8>>(&path).unwrap();
                thread::scope(|scope| {
                    for thread in 0..6 {
                        let client = &client;
                        scope.spawn(move || {
                            for _ in 0..5 {
                                let bytes = vec![thread; 200_000];
                                assert!(client.call(&bytes).unwrap() == bytes);
                            }
                        });
                    }
                });
                token.cancel();
                assert_eq!(serving.join().unwrap().answered, 30);
            });
        }

        /// More than the socket of the handles has room for, from several threads.
        #[test]
        fn calls_over_memory_bring_handles_both_ways() {
            watched(|| {
                let (service, path, token) =
                    service::<(u64, Carried<File>), Carried<File>>(SharedMemory::required());
                let service = service.with_handles();
                let serving = thread::spawn(move || {
                    service.serve_with_context(|(number, file), context: Context| {
                        let mut came = context.take_handles();
                        let mut words = String::new();
                        came.claim(file)?.read_to_string(&mut words)?;
                        assert_eq!(words, number.to_string());
                        let mut given = Handles::new();
                        let answer = given.carry(super::file(&format!("{number} is here")))?;
                        context.give_handles(given)?;
                        Ok::<_, Box<dyn std::error::Error>>(answer)
                    })
                });
                let client: Client<(u64, Carried<File>), Carried<File>> =
                    options().with_handles().connect(&path).unwrap();
                thread::scope(|scope| {
                    for thread in 0..4 {
                        let client = &client;
                        scope.spawn(move || {
                            for number in thread * 1000..thread * 1000 + 150 {
                                let mut handles = Handles::new();
                                let file = handles.carry(file(&number.to_string())).unwrap();
                                let (answer, mut handles) = client
                                    .call_with_handles(&(number, file), &mut handles)
                                    .unwrap();
                                let mut words = String::new();
                                let mut file = handles.claim(answer).unwrap();
                                file.read_to_string(&mut words).unwrap();
                                assert_eq!(words, format!("{number} is here"));
                            }
                        });
                    }
                });
                token.cancel();
                assert_eq!(serving.join().unwrap().unwrap().answered, 600);
            });
        }

        /// Calls that a killed service has taken end. (A call that begins later waits for the next service.)
        #[test]
        fn callers_notice_that_a_service_over_memory_was_killed() {
            watched(|| {
                let folder = crate::support::Folder::new();
                let path = folder.name("service");
                let mut peer = peer::start("serve-in-memory", &path);
                peer.await_step(READY);
                let client = options().connect::<Vec<u8>, u64>(&path).unwrap();
                assert_eq!(client.call(&vec![1; 5]).unwrap(), 5);
                thread::scope(|scope| {
                    for _ in 0..3 {
                        scope.spawn(|| {
                            let error = client.call(&Vec::new()).unwrap_err();
                            assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
                        });
                    }
                    for _ in 0..3 {
                        peer.await_step(READY);
                    }
                    peer.process().kill().unwrap();
                });
            });
        }
    }

    #[cfg(feature = "session")]
    mod sessions {
        use typed_pipe::session::{Dual, Ends, Receives, Sends};

        use super::*;

        type Doubling = Sends<Vec<u32>, Receives<Vec<u32>, Ends>>;

        /// What the other process does.
        pub(super) fn double(connection: Connection) {
            let session = required().session::<Dual<Doubling>>(connection).unwrap();
            let (numbers, session) = session.recv().unwrap();
            let doubled = numbers.iter().map(|number| number * 2).collect();
            session.send(&doubled).unwrap().end().unwrap();
        }

        #[test]
        fn a_session_of_two_processes_goes_through_memory() {
            watched(|| {
                let listener = Listener::temporary().unwrap();
                let peer = peer::start("double-in-memory", listener.path());
                let client = listener.accept().unwrap();
                let session = required().session::<Doubling>(client).unwrap();
                // More than a ring holds.
                let numbers: Vec<u32> = (0..100_000).collect();
                let (doubled, session) = session.send(&numbers).unwrap().recv().unwrap();
                assert!(
                    doubled.iter().zip(&numbers).all(|(doubled, number)| *doubled == number * 2)
                );
                assert_eq!(doubled.len(), numbers.len());
                session.end().unwrap();
                peer.join();
            });
        }
    }

    #[cfg(feature = "tokio")]
    mod tasks {
        use std::time::Duration;

        use tokio::runtime::Builder;

        use super::*;

        fn runtime() -> tokio::runtime::Runtime {
            Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
        }

        fn pair() -> (Connection<typed_pipe::Tokio>, Connection<typed_pipe::Tokio>) {
            let (one, other) = Connection::pair().unwrap();
            (one.into_tokio().unwrap(), other.into_tokio().unwrap())
        }

        #[test]
        fn tasks_exchange_messages_through_memory() {
            watched(|| {
                runtime().block_on(async {
                    let (one, other) = pair();
                    let echo = tokio::spawn(async move {
                        let handshake = required().into_tokio();
                        let mut other = handshake.perform::<Vec<u8>, Vec<u8>>(other).await.unwrap();
                        assert_eq!(*other.transport(), TransportKind::SharedMemory);
                        while let Ok(bytes) = other.recv().await {
                            other.send(&bytes).await.unwrap();
                        }
                    });
                    let handshake = required().into_tokio();
                    let mut one = handshake.perform::<Vec<u8>, Vec<u8>>(one).await.unwrap();
                    for len in [0_usize, 1, 100, 5000, 70_000, 1_000_000] {
                        for _ in 0..if len < 1_000_000 { 20 } else { 4 } {
                            let bytes = vec![3; len];
                            one.send(&bytes).await.unwrap();
                            assert!(one.recv().await.unwrap() == bytes);
                        }
                    }
                    drop(one);
                    echo.await.unwrap();
                });
            });
        }

        #[test]
        fn messages_larger_and_smaller_than_the_rings_of_tasks_go_through_whole() {
            watched(|| {
                runtime().block_on(async {
                    for ring in RINGS {
                        let (one, other) = pair();
                        let taking = tokio::spawn(async move {
                            let handshake = for_large(ring).into_tokio();
                            let mut side = handshake.perform::<(), Vec<u8>>(other).await.unwrap();
                            for len in LARGE {
                                let came = side.receiver().recv_bytes().await.unwrap();
                                assert!(came == paged(len, 9), "{len} bytes, a ring of {ring}");
                            }
                        });
                        let handshake = for_large(ring).into_tokio();
                        let mut side = handshake.perform::<Vec<u8>, ()>(one).await.unwrap();
                        for len in LARGE {
                            side.sender().send_bytes(&paged(len, 9)).await.unwrap();
                        }
                        taking.await.unwrap();
                    }
                });
            });
        }

        #[test]
        fn futures_on_memory_are_dropped_and_no_message_is_lost() {
            watched(|| {
                runtime().block_on(async {
                    let (one, other) = pair();
                    let sending = tokio::spawn(async move {
                        let handshake = required().into_tokio();
                        let mut other = handshake.perform::<u64, ()>(other).await.unwrap();
                        for number in 0..20_000 {
                            other.send(&number).await.unwrap();
                            if number % 64 == 0 {
                                tokio::task::yield_now().await;
                            }
                        }
                        other.finish().await.unwrap();
                    });
                    let handshake = required().into_tokio();
                    let mut one = handshake.perform::<(), u64>(one).await.unwrap();
                    let mut next = 0;
                    loop {
                        let wait = Duration::from_micros(next % 50);
                        match tokio::time::timeout(wait, one.recv()).await {
                            Err(_) => {}
                            Ok(Ok(number)) => {
                                assert_eq!(number, next);
                                next += 1;
                            }
                            Ok(Err(error)) => {
                                assert_eq!(error.kind(), ErrorKind::Finished, "{error}");
                                break;
                            }
                        }
                    }
                    assert_eq!(next, 20_000);
                    sending.await.unwrap();
                });
            });
        }

        #[test]
        fn a_task_and_a_thread_in_another_process_share_memory() {
            watched(|| {
                runtime().block_on(async {
                    let listener = Listener::temporary().unwrap();
                    let peer = peer::start("echo-in-memory", listener.path());
                    let client = listener.accept().unwrap().into_tokio().unwrap();
                    let handshake = required().into_tokio();
                    let mut client = handshake.perform::<Vec<u8>, Vec<u8>>(client).await.unwrap();
                    for len in [1, 1000, 500_000] {
                        client.send(&vec![9; len]).await.unwrap();
                        assert!(client.recv().await.unwrap() == vec![9; len]);
                    }
                    // While it waits, the task uses no processor.
                    let idle = tokio::time::timeout(Duration::from_millis(50), client.recv()).await;
                    assert!(idle.is_err());
                    client.finish().await.unwrap();
                    peer.join();
                });
            });
        }

        #[test]
        fn both_tasks_may_send_more_than_the_rings_hold_first() {
            watched(|| {
                runtime().block_on(async {
                    let (one, other) = pair();
                    let both = [one, other].map(|side| {
                        tokio::spawn(async move {
                            let handshake = required().into_tokio();
                            let made = handshake.perform::<Vec<u8>, Vec<u8>>(side).await;
                            let mut side = made.unwrap();
                            side.send(&vec![1; 3 << 20]).await.unwrap();
                            assert_eq!(side.recv().await.unwrap().len(), 3 << 20);
                        })
                    });
                    for side in both {
                        side.await.unwrap();
                    }
                });
            });
        }

        #[cfg(feature = "service")]
        #[test]
        fn a_service_of_tasks_and_its_clients_share_memory() {
            watched(|| {
                runtime().block_on(async {
                    let (service, path, token) =
                        calls::service::<Vec<u8>, _>(SharedMemory::required());
                    let service = service.into_tokio().unwrap();
                    let serving =
                        tokio::spawn(service.serve(|bytes| async move { calls::sum(&bytes) }));
                    let peer = peer::start("call-in-memory", &path);
                    let options = calls::options().into_tokio();
                    let client = options.connect::<Vec<u8>, u64>(&path).await.unwrap();
                    for len in [0, 1000, 200_000, 1] {
                        let bytes = vec![3; len];
                        assert_eq!(client.call(&bytes).await.unwrap(), calls::sum(&bytes));
                    }
                    // Several at once, of more than a ring holds.
                    let bytes = vec![1; 150_000];
                    let (one, two, three) =
                        tokio::join!(client.call(&bytes), client.call(&bytes), client.call(&bytes));
                    assert_eq!(
                        (one.unwrap(), two.unwrap(), three.unwrap()),
                        (150_000, 150_000, 150_000)
                    );
                    tokio::task::spawn_blocking(|| peer.join()).await.unwrap();
                    token.cancel();
                    assert_eq!(serving.await.unwrap().unwrap().answered, 60 + 7);
                });
            });
        }

        type Numbered = WithHandles<(u64, Flag)>;

        async fn pour(side: Connection<typed_pipe::Tokio>, messages: u64, decodes: bool) {
            let handshake = required().into_tokio();
            let mut side = handshake.perform::<Numbered, ()>(side).await.unwrap();
            let file = file("x");
            for number in 0..messages {
                let mut handles = Handles::new();
                handles.add(file.try_clone().unwrap());
                let flag = Flag(if decodes { 1 } else { 9 });
                side.send_with_handles(&(number, flag), &mut handles).await.unwrap();
            }
            side.finish().await.unwrap();
        }

        async fn catch(side: Connection<typed_pipe::Tokio>, messages: u64, decodes: bool) {
            let handshake = required().into_tokio();
            let mut side = handshake.perform::<(), Numbered>(side).await.unwrap();
            for next in 0..messages {
                match side.recv_with_handles().await {
                    Ok(((number, _), mut handles)) => {
                        assert!(decodes && number == next);
                        handles.take::<File>(0).unwrap();
                    }
                    Err(error) => assert!(!decodes && error.kind() == ErrorKind::Decode, "{error}"),
                }
            }
            assert_eq!(side.recv_with_handles().await.unwrap_err().kind(), ErrorKind::Finished);
        }

        /// The socket of the handles is full long before the ring is. Nothing goes through the ring then that could wake the
        /// sender.
        #[test]
        fn a_task_whose_handles_find_no_room_goes_on_when_there_is_some() {
            watched(|| {
                let alone = Builder::new_current_thread().enable_all().build().unwrap();
                for (runtime, decodes) in
                    [(&runtime(), true), (&runtime(), false), (&alone, true), (&alone, false)]
                {
                    runtime.block_on(async {
                        let (one, other) = pair();
                        let sending = tokio::spawn(pour(one, 1500, decodes));
                        tokio::spawn(catch(other, 1500, decodes)).await.unwrap();
                        sending.await.unwrap();
                    });
                }
            });
        }

        #[test]
        fn a_task_whose_handles_find_no_room_notices_that_the_reader_left() {
            watched(|| {
                runtime().block_on(async {
                    let (one, other) = pair();
                    let taking = tokio::spawn(async move {
                        let handshake = required().into_tokio();
                        handshake.perform::<(), Numbered>(other).await.unwrap()
                    });
                    let handshake = required().into_tokio();
                    let mut side = handshake.perform::<Numbered, ()>(one).await.unwrap();
                    let taking = taking.await.unwrap();
                    let file = file("x");
                    let mut leaving = Some(tokio::spawn(async move {
                        // Until the socket is full.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        drop(taking);
                    }));
                    let error = loop {
                        let mut handles = Handles::new();
                        handles.add(file.try_clone().unwrap());
                        let sent = side.send_with_handles(&(1, Flag(1)), &mut handles).await;
                        if let Err(error) = sent {
                            assert_eq!(handles.len(), 1, "they are given back");
                            break error;
                        }
                    };
                    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
                    leaving.take().unwrap().await.unwrap();
                });
            });
        }

        #[test]
        fn messages_that_are_taken_in_while_a_task_waits_for_room_keep_their_handles() {
            watched(|| {
                runtime().block_on(async {
                    const MESSAGES: u64 = 60;
                    let (one, other) = pair();
                    let asking = tokio::spawn(async move {
                        let handshake = required().into_tokio();
                        let mut other = handshake.perform::<Handed, Vec<u8>>(other).await.unwrap();
                        for number in 0..MESSAGES {
                            let mut handles = Handles::new();
                            let place = handles.add(file(&number.to_string()));
                            let message = (number, place, "y".repeat(2000));
                            other.send_with_handles(&message, &mut handles).await.unwrap();
                        }
                        assert_eq!(other.recv().await.unwrap().len(), 3 << 20);
                        other
                    });
                    let handshake = required().into_tokio();
                    let mut one = handshake.perform::<Vec<u8>, Handed>(one).await.unwrap();
                    one.send(&vec![1; 3 << 20]).await.unwrap();
                    for next in 0..MESSAGES {
                        let ((number, place, _), mut handles) =
                            one.recv_with_handles().await.unwrap();
                        assert_eq!(number, next);
                        let mut words = String::new();
                        let mut file: File = handles.take(place).unwrap();
                        file.read_to_string(&mut words).unwrap();
                        assert_eq!(words, number.to_string());
                    }
                    drop(asking.await.unwrap());
                });
            });
        }

        /// A task that always finds something in the ring is to leave the others their turn.
        #[test]
        fn a_task_that_always_finds_a_message_lets_the_others_run() {
            watched(|| {
                const MESSAGES: usize = 1500;
                let (one, other) = Connection::pair().unwrap();
                let filling = thread::spawn(move || {
                    let ring = SharedMemory::required().ring(32 << 20);
                    let handshake = Handshake::new().shared_memory(ring);
                    let mut other = handshake.perform::<[u8], ()>(other).unwrap();
                    for _ in 0..MESSAGES {
                        other.send(&[7; 10_000]).unwrap();
                    }
                    other
                });
                let alone = Builder::new_current_thread().enable_all().build().unwrap();
                alone.block_on(async move {
                    let handshake = required().into_tokio();
                    let one = one.into_tokio().unwrap();
                    let mut one = handshake.perform::<(), Vec<u8>>(one).await.unwrap();
                    let other = filling.join().unwrap();
                    tokio::spawn(async move {
                        let neighbour = tokio::spawn(async {});
                        for _ in 0..MESSAGES {
                            one.recv().await.unwrap();
                        }
                        assert!(neighbour.is_finished(), "it had no turn");
                    })
                    .await
                    .unwrap();
                    drop(other);
                });
            });
        }
    }
}
