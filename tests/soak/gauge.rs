//! Memory and descriptors of the processes that last, over time.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::process::descriptors;
use crate::site::Present;

/// The number of the supervisor, which is no actor.
pub(crate) const SUPERVISOR: u64 = u64::MAX;

#[derive(Default)]
pub(crate) struct Gauge(BTreeMap<u64, Curve>);

/// What was measured of a process.
pub(crate) struct Curve {
    pub(crate) what: String,
    most_descriptors: u64,
    samples: Vec<Sample>,
}

struct Sample {
    at: Instant,
    /// In KiB.
    memory: u64,
    descriptors: u64,
}

/// Memory, in KiB, in the first third and in the last one, and the most there was; and descriptors.
pub(crate) struct Flat {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) most: u64,
    pub(crate) descriptors: u64,
}

impl Gauge {
    pub(crate) fn measure(&mut self, present: &[Present]) {
        for process in present {
            let Some(most_descriptors) = process.lasts else { continue };
            let id = process.id.to_string();
            // One that has just ended has no memory any more.
            let Some(memory) = resident(&id) else { continue };
            let sample = Sample { at: Instant::now(), memory, descriptors: descriptors(&id) };
            let fresh =
                || Curve { what: process.what.clone(), most_descriptors, samples: Vec::new() };
            self.0.entry(process.actors.start).or_insert_with(fresh).samples.push(sample);
        }
    }

    pub(crate) fn curves(&self) -> impl Iterator<Item = (u64, &Curve)> {
        self.0.iter().map(|(&actor, curve)| (actor, curve))
    }
}

impl Curve {
    /// The first third and the last one, after a warm-up.
    ///
    /// Of each third it is the median: what a load needs for a moment, a large message for instance, is no growth.
    pub(crate) fn flat(&self) -> Flat {
        let all = self.time();
        let is_warm = |sample: &&Sample| sample.at - self.samples[0].at >= all.mul_f64(WARM_UP);
        let warm: Vec<_> = self.samples.iter().filter(is_warm).collect();
        let third = warm.len() / 3;
        let most = |of: fn(&Sample) -> u64| self.samples.iter().map(of).max().unwrap_or_default();
        Flat {
            first: median(&warm[..third]),
            last: median(&warm[warm.len() - third..]),
            most: most(|sample| sample.memory),
            descriptors: most(|sample| sample.descriptors),
        }
    }

    fn time(&self) -> Duration {
        let ends = self.samples.first().zip(self.samples.last());
        ends.map_or(Duration::ZERO, |(first, last)| last.at - first.at)
    }

    /// What was not as it must be.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let Flat { first, last, descriptors, .. } = self.flat();
        let (what, most, mut wrong) = (&self.what, self.most_descriptors, Vec::new());
        if first == 0 || last == 0 {
            wrong.push(format!("{what}: {} samples are too few", self.samples.len()));
        }
        if descriptors > most {
            wrong.push(format!("{what}: {descriptors} descriptors, of {most} at most"));
        }
        let tolerance = if self.time() < SHORT { 4 * TOLERANCE } else { TOLERANCE };
        if last > first + tolerance + first / 10 {
            wrong.push(format!("{what}: memory grew from {first} KiB to {last} KiB"));
        }
        wrong
    }
}

/// So much of the time nothing is compared: threads start, and buffers grow to what the load needs.
const WARM_UP: f64 = 0.25;

/// So many KiB more are no growth, and a tenth: threads come and go with the clients, and a receiver of many writers keeps
/// what killed ones have begun until 64 MiB of others have come. What is lost with each message or connection is beyond
/// it within minutes.
const TOLERANCE: u64 = 4096;

/// In so short a time on a busy machine, the largest messages may come after the warm-up for the first time.
const SHORT: Duration = Duration::from_secs(60);

fn median(samples: &[&Sample]) -> u64 {
    let mut memory: Vec<_> = samples.iter().map(|sample| sample.memory).collect();
    memory.sort_unstable();
    memory.get(memory.len() / 2).copied().unwrap_or_default()
}

/// The resident memory of a process, in KiB.
fn resident(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How often is measured: some two hundred times, and not more than five times in a second.
pub(crate) fn interval(all: Duration) -> Duration {
    (all / 200).clamp(Duration::from_millis(200), Duration::from_secs(5))
}
