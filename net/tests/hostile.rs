//! Machines that speak the protocol by hand, and not as they should.
#![cfg(target_os = "linux")]

mod common;

use std::collections::HashSet;
use std::env;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Folder, Program, SOON, Two, listening, options, role_of_this, until, watched};
use futures_util::future::join_all;
use iroh::endpoint::{Connection, QuicTransportConfig, RecvStream, SendStream, presets};
use iroh::{Endpoint, EndpointAddr, RelayMode, SecretKey};
use tokio::runtime::{Builder, Runtime};
use typed_pipe::{TypedConnection, User};
use typed_pipe_net::{Collector, Key, Net, NetOptions, Offer, PublicKey};

const PROTOCOL: &[u8] = b"typed-pipe/1";
const WELCOME: u8 = 0;
const NO_ROOM: u8 = 2;

/// A machine that speaks by hand.
struct Hostile {
    runtime: Runtime,
    endpoint: Endpoint,
    key: PublicKey,
}

impl Hostile {
    /// `notices` are the streams for notices that the others may have open to it.
    fn new(notices: u32) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self::by(runtime.unwrap(), notices)
    }

    fn by(runtime: Runtime, notices: u32) -> Self {
        let secret = SecretKey::generate();
        let key = public(secret.public());
        let config = QuicTransportConfig::builder()
            .max_idle_timeout(Some(Duration::from_secs(15).try_into().unwrap()))
            .max_concurrent_uni_streams(notices.into());
        let endpoint = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .secret_key(secret)
            .alpns(vec![PROTOCOL.to_vec()])
            .transport_config(config.build())
            .clear_ip_transports()
            .bind_addr("127.0.0.1:0".parse::<SocketAddr>().unwrap())
            .unwrap();
        let endpoint = runtime.block_on(endpoint.bind()).unwrap();
        Self { runtime, endpoint, key }
    }

    /// Lets the next machine in, and answers the first that it asks for.
    async fn welcome(&self) -> (Connection, (SendStream, RecvStream)) {
        let link = self.endpoint.accept().await.unwrap().await.unwrap();
        let (mut send, mut recv) = link.accept_bi().await.unwrap();
        recv.read_exact(&mut [0; 5]).await.unwrap();
        send.write_all(&[WELCOME]).await.unwrap();
        (link, (send, recv))
    }

    async fn link(&self, to: &Net) -> Result<Connection, String> {
        let key: String = to.key().to_string();
        let at = EndpointAddr::new(key.parse().unwrap()).with_ip_addr(to.local_addr().unwrap());
        self.endpoint.connect(at, PROTOCOL).await.map_err(|error| format!("{error:#}"))
    }
}

fn public(key: iroh::PublicKey) -> PublicKey {
    let digits: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.parse().unwrap()
}

/// Asks for `jobs`.
async fn ask(link: &Connection) -> io::Result<(SendStream, RecvStream, u8)> {
    let (mut send, mut recv) = link.open_bi().await?;
    send.write_all(b"\x04jobs").await?;
    let mut answer = [0];
    recv.read_exact(&mut answer).await.map_err(io::Error::other)?;
    Ok((send, recv, answer[0]))
}

/// A machine that offers `jobs` to a hostile one.
fn offering(hostile: &Hostile, options: NetOptions) -> (Net, Offer) {
    let net = options.open(&Key::generate()).unwrap();
    let net = net.listening("127.0.0.1:0".parse().unwrap()).unwrap();
    let offer = net.offer("jobs", &[hostile.key]).unwrap();
    (net, offer)
}

#[test]
fn a_machine_that_hears_no_notices_is_cut_off_before_they_fill_the_memory() {
    watched(|| {
        let hostile = Hostile::new(0);
        let (net, offer) = offering(&hostile, options());
        thread::scope(|threads| {
            // Whatever comes is dropped, of which the other side is to be told.
            let dropping = threads.spawn(|| offer.incoming().map(Result::unwrap).count());
            let cut_off = hostile.runtime.block_on(async {
                let link = hostile.link(&net).await.unwrap();
                for _ in 0..1000 {
                    if join_all((0..16).map(|_| ask(&link))).await.iter().any(Result::is_err) {
                        return link.close_reason().is_some();
                    }
                }
                false
            });
            assert!(cut_off);
            drop(net.close(Duration::ZERO));
            dropping.join().unwrap();
        });
    });
}

#[test]
fn a_machine_has_no_more_connections_by_further_links() {
    watched(|| {
        let hostile = Hostile::new(100);
        let (net, offer) = offering(&hostile, options().connections(3));
        hostile.runtime.block_on(async {
            let mut links = Vec::new();
            let mut connections = Vec::new();
            for _ in 0..3 {
                let link = hostile.link(&net).await.unwrap();
                let connection = ask(&link).await.unwrap();
                assert_eq!(connection.2, WELCOME);
                connections.push(connection);
                links.push(link);
            }
            let link = hostile.link(&net).await.unwrap();
            let mut late = Box::pin(ask(&link));
            assert!(tokio::time::timeout(Duration::from_millis(300), &mut late).await.is_err());
            // It waits for one of the others to end.
            drop(connections.pop());
            for _ in 0..3 {
                drop(offer.accept_async().await.unwrap());
            }
            assert_eq!(late.await.unwrap().2, WELCOME);
        });
        drop(net);
    });
}

#[test]
fn a_machine_has_so_many_links_and_no_more() {
    watched(|| {
        let hostile = Hostile::new(100);
        let (net, _offer) = offering(&hostile, options().connections(1));
        hostile.runtime.block_on(async {
            let mut links = Vec::new();
            for _ in 0..64 {
                links.push(hostile.link(&net).await.unwrap());
            }
            let more = hostile.link(&net).await;
            let why = match more {
                Ok(link) => link.closed().await.to_string(),
                Err(why) => why,
            };
            assert!(why.contains("too many links"), "{why}");
            // One that ends makes room.
            links.pop().unwrap().close(0_u32.into(), b"");
            loop {
                let link = hostile.link(&net).await.unwrap();
                if tokio::time::timeout(Duration::from_millis(200), link.closed()).await.is_err() {
                    break;
                }
            }
        });
    });
}

#[test]
fn who_is_connected_to_opens_no_connections_itself() {
    watched(|| {
        let hostile = Hostile::new(100);
        let at = hostile.endpoint.bound_sockets()[0];
        let net = options().open(&Key::generate()).unwrap();
        let address = format!("jobs@{}/{at}", hostile.key);
        thread::scope(|threads| {
            let connecting = threads.spawn(|| net.connect(&address).unwrap());
            hostile.runtime.block_on(async {
                let (link, _stream) = hostile.welcome().await;
                let opened = tokio::time::timeout(Duration::from_millis(300), link.open_bi());
                assert!(opened.await.is_err());
                drop(connecting.join().unwrap());
            });
        });
    });
}

#[test]
fn who_is_welcome_is_accepted_and_never_more_than_there_is_room_for() {
    watched(|| {
        let hostile = Hostile::new(100);
        let (net, offer) = offering(&hostile, options());
        hostile.runtime.block_on(async {
            let link = hostile.link(&net).await.unwrap();
            let asked = join_all((0..400).map(|_| ask(&link))).await;
            let all: Vec<_> = asked.into_iter().map(Result::unwrap).collect();
            let (welcome, others): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|it| it.2 == WELCOME);
            assert!(others.iter().all(|it| it.2 == NO_ROOM));
            assert_eq!(welcome.len(), 128);
            for _ in &welcome {
                drop(offer.accept_timeout(SOON).unwrap());
            }
        });
    });
}

#[test]
fn who_waits_when_the_offer_is_taken_back_is_not_told_of_a_proper_end() {
    watched(|| {
        let two = Two::new();
        let mut waiting = two.there.connect(two.offer.address()).unwrap();
        drop(two.offer);
        let error = waiting.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    });
}

#[test]
fn words_and_notices_of_all_kinds_hurt_nobody() {
    watched(|| {
        let hostile = Hostile::new(100);
        let (net, offer) = offering(&hostile, options());
        let honest = Key::generate();
        offer.set_allowed(&[hostile.key, honest.public()]);
        hostile.runtime.block_on(async {
            let link = hostile.link(&net).await.unwrap();
            let names: [&[u8]; 6] =
                [b"", b"\0", b"\xffshort", b"\x02\xff\xfe", b"\x04job\n", b"\x05jobs\0"];
            for name in names {
                let (mut send, mut recv) = link.open_bi().await.unwrap();
                send.write_all(name).await.unwrap();
                send.finish().unwrap();
                let answer = recv.read_to_end(10).await;
                assert!(answer.is_ok_and(|answer| answer != [WELCOME]), "{name:?}");
            }
            // Half a name, and a stream that is reset.
            let (mut half, _recv) = link.open_bi().await.unwrap();
            half.write_all(b"\x04jo").await.unwrap();
            let (mut reset, _recv) = link.open_bi().await.unwrap();
            reset.write_all(b"\x04jobs").await.unwrap();
            reset.reset(7_u32.into()).unwrap();
            let (mut send, mut recv, _) = ask(&link).await.unwrap();
            for kind in 0..=u8::MAX {
                for stream in [0_u64, 4, 8, 1, 3, u64::MAX] {
                    // The right one is told as the last.
                    let stream = if stream == send.id().index() * 4 { 2 } else { stream };
                    let mut out = link.open_uni().await.unwrap();
                    let mut notice = [kind; 17];
                    notice[1..9].copy_from_slice(&stream.to_le_bytes());
                    notice[9..].copy_from_slice(&u64::MAX.to_le_bytes());
                    let len = if kind % 7 == 0 { 9 } else { 17 };
                    out.write_all(&notice[..len]).await.unwrap();
                    out.finish().unwrap();
                }
            }
            send.write_all(b"x").await.unwrap();
            let mut accepted = offer.accept_timeout(SOON).unwrap();
            while accepted.read(&mut [0; 1]).is_err() {
                accepted = offer.accept_timeout(SOON).unwrap();
            }
            accepted.write_all(b"y").unwrap();
            assert_eq!(recv.read(&mut [0; 1]).await.unwrap(), Some(1));
            // It claims to have taken more than there was.
            let mut out = link.open_uni().await.unwrap();
            let mut notice = [1; 17];
            notice[1..9].copy_from_slice(&(send.id().index() * 4).to_le_bytes());
            notice[9..].copy_from_slice(&u64::MAX.to_le_bytes());
            out.write_all(&notice).await.unwrap();
            out.finish().unwrap();
            drop(accepted);
        });
        // The others go on.
        let there = options().open(&honest).unwrap();
        let mut connection = there.connect(offer.address()).unwrap();
        connection.write_all(b"z").unwrap();
        loop {
            let mut accepted = offer.accept_timeout(SOON).unwrap();
            if accepted.peer().unwrap().user() == &User::Remote(honest.public().to_string()) {
                accepted.read_exact(&mut [0; 1]).unwrap();
                break;
            }
        }
    });
}

/// How many connections have begun, and how often an address was to be proved.
#[derive(Default)]
struct Passed {
    begun: AtomicUsize,
    asked: AtomicUsize,
}

/// Between a machine and another one: what comes back is lost, but for the packets that ask for the address to be proved.
fn one_way(to: SocketAddr, from: &str, passes_retry: bool) -> (SocketAddr, Arc<Passed>) {
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    let far = UdpSocket::bind((from, 0)).unwrap();
    far.connect(to).unwrap();
    let at = near.local_addr().unwrap();
    let passed = Arc::<Passed>::default();
    let (back, near_too) = (far.try_clone().unwrap(), near.try_clone().unwrap());
    let client = Arc::new(std::sync::Mutex::new(None));
    let (count, known) = (Arc::clone(&passed), Arc::clone(&client));
    let asking = Arc::clone(&passed);
    thread::spawn(move || {
        let mut buf = [0; 2048];
        let mut names = HashSet::new();
        while let Ok((len, who)) = near.recv_from(&mut buf) {
            *known.lock().unwrap() = Some(who);
            // The name of the connection, which is another one after its address was asked for.
            let name = buf[6..].iter().copied().take(buf[5].into()).collect::<Vec<u8>>();
            if far.send(&buf[..len]).is_ok() && names.insert(name) {
                count.begun.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    thread::spawn(move || {
        let mut buf = [0; 2048];
        while let Ok(len) = back.recv(&mut buf) {
            // A long header, of the kind `Retry`.
            let who = *client.lock().unwrap();
            let (0xf0, Some(who)) = (buf[0] & 0xf0, who) else { continue };
            asking.asked.fetch_add(1, Ordering::SeqCst);
            if passes_retry {
                let _ = near_too.send_to(&buf[..len], who);
            }
        }
    });
    (at, passed)
}

/// So many handshakes begin, and none of them comes to its end.
const BEGUN: usize = 300;

fn half_handshakes_keep_nobody_out(passes_retry: bool) {
    watched(move || {
        let two = Two::new();
        let hostile = Hostile::new(100);
        let to = two.here.local_addr().unwrap();
        let (at, passed) = one_way(to, "127.0.0.2", passes_retry);
        let key: iroh::PublicKey = two.here.key().to_string().parse().unwrap();
        for _ in 0..BEGUN {
            let endpoint = hostile.endpoint.clone();
            let to = EndpointAddr::new(key).with_ip_addr(at);
            hostile.runtime.spawn(async move { endpoint.connect(to, PROTOCOL).await.is_ok() });
        }
        // All but those that came while there were places enough.
        let to_prove = BEGUN - 64;
        let begun = if passes_retry { BEGUN + to_prove } else { BEGUN };
        until("all have begun", || passed.begun.load(Ordering::SeqCst) >= begun);
        until("they are asked", || passed.asked.load(Ordering::SeqCst) >= to_prove);
        drop(two.connected());
    });
}

#[test]
fn handshakes_from_forged_addresses_keep_nobody_out() {
    half_handshakes_keep_nobody_out(false);
}

#[test]
fn half_handshakes_from_one_address_keep_nobody_out() {
    half_handshakes_keep_nobody_out(true);
}

#[test]
fn a_machine_that_breaks_off_again_and_again_does_not_hold_up_the_words_of_others() {
    watched(|| {
        let two = Two::new();
        let mut collector: Collector<u32> = two.offer.collect();
        let at = collector.offer().address().to_owned();
        let net = two.there;
        let sending = thread::spawn(move || {
            let mut typed: TypedConnection<u32, ()> =
                net.connect(&at).unwrap().into_typed().unwrap();
            (0..2).for_each(|number| typed.send(&number).unwrap());
            (typed, net, at)
        });
        assert_eq!(collector.recv().unwrap().message.unwrap(), 0);
        let (typed, net, at) = sending.join().unwrap();
        // Over the same link, so that the word has come before.
        for _ in 0..100 {
            drop(net.connect(&at).unwrap());
        }
        let words: Vec<_> = (0..20).map(|_| collector.recv().unwrap().message.ok()).collect();
        assert!(words.contains(&Some(1)), "{words:?}");
        drop(typed);
    });
}

/// What another process does: no test by itself.
#[test]
fn role() {
    let Ok(role) = env::var("TYPED_PIPE_NET_ROLE") else { return };
    match role.as_str() {
        "dial in vain" => dial_in_vain(),
        "no threads" => no_threads(),
        "make keys" => make_keys(),
        other => panic!("there is no role {other}"),
    }
    println!("\nDONE");
    let _ = io::stdin().read(&mut [0; 1]);
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Dials where nobody answers, for a short time; and links that come and go.
fn dial_in_vain() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let key = Key::generate();
    let net = options().timeout(Duration::from_millis(20)).open(&key).unwrap();
    let before = files();
    for _ in 0..20 {
        let at = format!("jobs@{}/{}", Key::generate().public(), silent.local_addr().unwrap());
        assert_eq!(net.connect(&at).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
    until("the sockets of dials are closed", || files() <= before);
    let net = options().open(&key).unwrap();
    let before = files();
    for _ in 0..5 {
        let here = listening(&Key::generate());
        let offer = here.offer("jobs", &[key.public()]).unwrap();
        drop(net.connect(offer.address()).unwrap());
        drop(offer.accept().unwrap());
        drop(offer);
        here.close(SOON).unwrap();
    }
    until("the sockets of lost links are closed", || files() <= before);
}

#[test]
fn nothing_is_kept_of_what_is_not_reached_or_not_any_more() {
    watched(|| drop(Program::start(&mut role_of_this("dial in vain")).says("DONE")));
}

/// Drops nets in tasks, where the system starts no more threads.
fn no_threads() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let two = Two::new();
    let connected = two.connected();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let limit = getrlimit(Resource::As);
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split_whitespace().next().unwrap().parse().unwrap();
    let memory = Rlimit { current: Some((pages + 64) * 4096), maximum: limit.maximum };
    setrlimit(Resource::As, memory).unwrap();
    assert!(thread::Builder::new().spawn(|| {}).is_err(), "threads start");
    runtime.block_on(async move { drop((connected, two)) });
    let names = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
    };
    until("its threads end", || !names().any(|name| name.starts_with("typed-pipe-net")));
}

#[test]
fn a_net_is_dropped_in_a_task_where_no_thread_starts() {
    watched(|| drop(Program::start(&mut role_of_this("no threads")).says("DONE")));
}

/// Makes one key after the other.
fn make_keys() {
    let folder = std::path::PathBuf::from(env::var("FOLDER").unwrap());
    println!("\nBEGINS");
    for number in 0.. {
        Key::open(folder.join(number.to_string())).unwrap();
    }
}

#[test]
fn a_program_that_is_killed_while_it_makes_a_key_leaves_nothing_beside_it() {
    use rustix::fs::{Mode, OFlags, open};
    watched(|| {
        let folder = Folder::new();
        let unnamed = OFlags::TMPFILE | OFlags::WRONLY;
        if open(folder.root(), unnamed, Mode::RUSR | Mode::WUSR).is_err() {
            let _ = writeln!(io::stderr(), "skipped: no unnamed files in {:?}", folder.root());
            return;
        }
        for round in 0..10 {
            let folder = folder.path(&format!("{round}"));
            std::fs::create_dir(&folder).unwrap();
            let mut maker = Program::start(role_of_this("make keys").env("FOLDER", &folder));
            maker.says("BEGINS");
            until("it makes keys", || std::fs::read_dir(&folder).unwrap().count() > round);
            maker.kill();
            for file in std::fs::read_dir(&folder).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                assert!(name.parse::<u32>().is_ok(), "{name}");
                Key::open(folder.join(name)).unwrap();
            }
        }
    });
}

/// So many machines hear nothing.
const SILENT: usize = 16;

#[test]
fn closing_does_not_wait_for_one_silent_machine_after_the_other() {
    watched(|| {
        let net = options().open(&Key::generate()).unwrap();
        let silent: Vec<_> = (0..SILENT)
            .map(|_| {
                // It does nothing by itself, but while it is told to.
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                let hostile = Hostile::by(runtime, 100);
                let at = hostile.endpoint.bound_sockets()[0];
                let address = format!("jobs@{}/{at}", hostile.key);
                let link = hostile.runtime.block_on(async {
                    let connecting = net.connect_async(&address);
                    let (link, connected) = tokio::join!(hostile.welcome(), connecting);
                    drop(connected.unwrap());
                    link
                });
                (hostile, link)
            })
            .collect();
        let begin = Instant::now();
        // That none of them has heard of the ends is told.
        assert_eq!(net.close(Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let lasted = begin.elapsed();
        assert!(lasted < Duration::from_secs(12), "{lasted:?}");
        silent.into_iter().for_each(std::mem::forget);
    });
}
