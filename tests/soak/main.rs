//! The soak: a mixed load over real processes, some of which are killed and held up, for as long as is wished.
//!
//! All loads run at once, each in processes of its own. Every message and every call is accounted for, memory and
//! descriptors stay flat, and no name is left. `TYPED_PIPE_SOAK` says how many seconds it takes.
//!
//! It is a program of its own, and no part of `it`, so that no other test shares its processor while it runs, and the
//! memory of the supervisor is that of the soak alone.
#![cfg(all(
    target_os = "linux",
    feature = "fanout",
    feature = "service",
    feature = "session",
    feature = "tokio"
))]

mod arrivals;
mod broadcast;
mod calls;
mod collector;
mod content;
mod crowd;
mod door;
mod fifo;
mod gauge;
mod handles;
mod large;
mod ledger;
mod multi_writer;
mod process;
mod report;
mod sessions;
mod site;
mod streams;
mod tally;
mod tasks;
mod watch;

use std::env;
use std::fs;
use std::io::Write;
use std::process::abort;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use gauge::SUPERVISOR;
use process::{Player, descriptors};
use site::{Present, Site, lock};
use watch::Watch;

/// What runs at once: its name, what starts and disturbs it, and what its processes do. The actors of each are ten numbers.
type Load = (&'static str, fn(&Site), fn(&str, &mut Player));

const LOADS: [Load; 10] = [
    (fifo::LOAD, fifo::supervise, fifo::play),
    (multi_writer::LOAD, multi_writer::supervise, multi_writer::play),
    (handles::LOAD, handles::supervise, handles::play),
    (calls::LOAD, calls::supervise, calls::play),
    (tasks::LOAD, tasks::supervise, tasks::play),
    (large::LOAD, large::supervise, large::play),
    (streams::LOAD, streams::supervise, streams::play),
    (sessions::LOAD, sessions::supervise, sessions::play),
    (collector::LOAD, collector::supervise, collector::play),
    (broadcast::LOAD, broadcast::supervise, broadcast::play),
];

/// Seconds, where nothing else is said.
const SHORT: u64 = 15;

#[test]
fn a_mixed_load_loses_nothing_and_stays_flat() {
    let time = Duration::from_secs(number("TYPED_PIPE_SOAK").unwrap_or(SHORT));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("TYPED_PIPE_SOAK_SEED").unwrap_or_else(|| now.subsec_nanos().into());
    println!("{} seconds, TYPED_PIPE_SOAK_SEED={seed}", time.as_secs());
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path(), seed);
    let before = descriptors("self");
    thread::scope(|scope| {
        let site = &site;
        let start = |(_, supervise, _): &Load| {
            let supervise = *supervise;
            scope.spawn(move || site.run(supervise))
        };
        let loads: Vec<_> = LOADS.iter().filter(|(name, ..)| is_wanted(name)).map(start).collect();
        let begun = Instant::now();
        let times = number("TYPED_PIPE_TEST_PATIENCE").map_or(1, |times| times.try_into().unwrap());
        let (mut watch, mut measured) = (Watch::new(times), begun);
        while !loads.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(100));
            if begun.elapsed() > time || site.has_failed() {
                site.ledger.end();
            }
            if let Some(hanging) = watch.look(site) {
                site.present().iter().for_each(process::end);
                let _ = fs::remove_dir_all(folder.path());
                let _ = writeln!(std::io::stderr(), "{hanging}");
                abort();
            }
            if measured.elapsed() > gauge::interval(time) && !site.is_over() {
                measured = Instant::now();
                let mut present = site.present();
                present.push(supervisor());
                lock(&site.gauge).measure(&present);
            }
        }
    });
    report::print(&site, LOADS.map(|(name, ..)| name), [before, descriptors("self")]);
    let left = site.names_left();
    assert!(left.is_empty(), "these names are left: {left:?}");
}

/// The supervisor is measured too.
fn supervisor() -> Present {
    let id = std::process::id();
    Present { what: "supervisor".into(), id, actors: SUPERVISOR..SUPERVISOR, lasts: Some(32) }
}

/// Not a test by itself: what the other processes do.
#[test]
fn play() {
    let Some(mut player) = Player::new() else { return };
    let role = player.role.clone();
    let (load, role) = role.split_once(' ').unwrap();
    let (_, _, play) = LOADS.iter().find(|(name, ..)| *name == load).unwrap();
    play(role, &mut player);
}

/// Whether a load is to run: all, where none is chosen.
fn is_wanted(load: &str) -> bool {
    env::var("TYPED_PIPE_SOAK_LOADS")
        .map_or(true, |chosen| chosen.split(',').any(|name| name == load))
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}
