//! One round: two processes or more, and how many messages get through between them in a second.

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::fs;
use std::iter;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

pub(crate) type Done<T = ()> = Result<T, Box<dyn Error>>;

/// One way to carry messages, as the two processes of a round see it.
///
/// Each round has fresh processes, so that no side inherits what another one left in the allocator.
pub(crate) struct Side {
    /// Unique: the processes are told by it what they are to do.
    pub(crate) name: &'static str,
    /// What the measuring process does: makes the channel, starts the workers, and counts what it receives.
    pub(crate) measure: fn(&Round) -> Done<f64>,
    /// What a worker does, until it is killed. It is given what the measuring process wants it to know.
    pub(crate) work: fn(&[String]) -> Done<Infallible>,
}

impl Side {
    /// Runs a round, and tells the messages a second.
    pub(crate) fn run(&self, time: Duration, pinned: bool) -> Done<f64> {
        let mut measuring = Command::new(env::current_exe()?)
            .args([MEASURE, self.name, &time.as_micros().to_string()])
            .envs(pinned.then_some((PINNED, "1")))
            .stdout(Stdio::piped())
            .spawn()?;
        let since = Instant::now();
        while measuring.try_wait()?.is_none() {
            if since.elapsed() > time + PATIENCE {
                measuring.kill()?;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let output = measuring.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("{}: {}", self.name, output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }

    /// What the program does where it was started by [`run`](Self::run).
    pub(crate) fn measure(&self, time: &str) -> Done {
        dies_with_its_parent()?;
        let pinned = env::var_os(PINNED).is_some();
        let round = Round { side: self.name, time: Duration::from_micros(time.parse()?), pinned };
        println!("{}", (self.measure)(&round)?);
        Ok(())
    }

    /// What the program does where it was started by [`Round::start`].
    pub(crate) fn work(&self, told: &[String]) -> Done<Infallible> {
        dies_with_its_parent()?;
        (self.work)(told)
    }
}

/// The first argument of a measuring process; the name of a side and the microseconds follow.
pub(crate) const MEASURE: &str = "--measure";

/// The first argument of a worker; the name of a side and what it is told follow.
pub(crate) const WORK: &str = "--work";

/// The argument of a process that takes a processor.
pub(crate) const BUSY: &str = "--take-a-processor";

/// Set where each side is to have a processor of its own.
const PINNED: &str = "PEERS_PINNED";

/// Starts processes that do nothing but take a processor each, until they are dropped.
pub(crate) fn busy(count: usize) -> Done<Vec<Worker>> {
    let start = || Ok(Worker(Command::new(env::current_exe()?).arg(BUSY).spawn()?));
    iter::repeat_with(start).take(count).collect()
}

/// What such a process does.
pub(crate) fn take_a_processor() -> Done {
    dies_with_its_parent()?;
    loop {
        std::hint::spin_loop();
    }
}

/// A round that takes so much longer than it should hangs, and is killed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn dies_with_its_parent() -> Done {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// A round, in the measuring process.
pub(crate) struct Round {
    side: &'static str,
    time: Duration,
    pinned: bool,
}

impl Round {
    /// Starts a worker, tells it all that it must know, and gives the pace of its messages.
    pub(crate) fn start(&self, step: u32, told: &[&str]) -> Done<Pace> {
        let pace = self.start_many(1, step, told)?;
        if self.pinned {
            pace.set_apart()?;
        }
        Ok(pace)
    }

    /// Starts a worker as [`start`](Self::start) does, and gives it and this process a processor each.
    ///
    /// Left alone, the scheduler puts the two sides of a round trip on one processor or on two, as it happens, and one
    /// is up to thirty times as fast as the other: that would be all that is measured.
    pub(crate) fn start_apart(&self, step: u32, told: &[&str]) -> Done<Pace> {
        let pace = self.start_many(1, step, told)?;
        pace.set_apart()?;
        Ok(pace)
    }

    /// How long what is measured takes; a fifth of it goes before, to warm up.
    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// Starts several workers. The clock is looked at every `step` messages.
    pub(crate) fn start_many(&self, workers: usize, step: u32, told: &[&str]) -> Done<Pace> {
        let mut command = Command::new(env::current_exe()?);
        command.args([WORK, self.side]).args(told).stdout(Stdio::null());
        let start = || Ok(Worker(command.spawn()?));
        Ok(Pace {
            workers: iter::repeat_with(start).take(workers).collect::<Done<_>>()?,
            step,
            left: step,
            warm_up: self.time / 5,
            time: self.time,
            since: None,
            messages: 0.0,
            rate: 0.0,
            processor: Duration::ZERO,
            processor_rate: None,
        })
    }
}

fn alone(cpu: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(cpu);
    set
}

/// The other process.
pub(crate) struct Worker(Child);

impl Worker {
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended already has said why.
        if self.0.kill().is_ok() {
            let _ = self.0.wait();
        }
    }
}

/// Counts messages until the time is over; looks at the clock seldom enough not to be seen in the result.
pub(crate) struct Pace {
    workers: Vec<Worker>,
    step: u32,
    left: u32,
    /// What is left of the warm-up; zero when it is over.
    warm_up: Duration,
    time: Duration,
    /// When the first step of the warm-up, or of what is measured, was over.
    since: Option<Instant>,
    messages: f64,
    rate: f64,
    /// The processor time of all processes until what is measured began.
    processor: Duration,
    processor_rate: Option<f64>,
}

impl Pace {
    /// Whether there is time for one more message. Call it once before each.
    #[inline]
    pub(crate) fn goes_on(&mut self) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return true;
        }
        self.look_at_the_clock()
    }

    /// Gives the workers one processor, and this process another one.
    fn set_apart(&self) -> Done {
        let ours = sched_getaffinity(None)?;
        let mut there = (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu));
        if let (Some(one), Some(other)) = (there.next(), there.next()) {
            for worker in &self.workers {
                let worker = Pid::from_child(&worker.0);
                sched_setaffinity(Some(worker), &alone(other))?;
            }
            sched_setaffinity(None, &alone(one))?;
        }
        Ok(())
    }

    /// How many messages there were in a second of processor time, that of all processes together.
    pub(crate) fn processor_rate(&self) -> Done<f64> {
        self.processor_rate.ok_or_else(|| "the system does not tell the processor time".into())
    }

    /// The processor time of this process and of its workers.
    fn processor(&self) -> Done<Duration> {
        let ours = clock_gettime(ClockId::ProcessCPUTime);
        let mut all = Duration::new(ours.tv_sec.try_into()?, ours.tv_nsec.try_into()?);
        for worker in &self.workers {
            for thread in fs::read_dir(format!("/proc/{}/task", worker.id()))? {
                let told = fs::read_to_string(thread?.path().join("schedstat"))?;
                let nanos = told.split(' ').next().ok_or("no time")?.parse()?;
                all += Duration::from_nanos(nanos);
            }
        }
        Ok(all)
    }

    /// How many messages a second there were.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    #[cold]
    fn look_at_the_clock(&mut self) -> bool {
        self.left = self.step - 1;
        let now = Instant::now();
        let Some(since) = self.since else {
            self.since = Some(now);
            return true;
        };
        self.messages += f64::from(self.step);
        let elapsed = now - since;
        if elapsed < if self.warm_up.is_zero() { self.time } else { self.warm_up } {
            return true;
        }
        self.rate = self.messages / elapsed.as_secs_f64();
        let processor = self.processor();
        let took = processor.as_ref().map(|now| now.saturating_sub(self.processor).as_secs_f64());
        self.processor_rate = took.ok().map(|took| self.messages / took);
        self.processor = processor.unwrap_or_default();
        (self.since, self.messages) = (Some(now), 0.0);
        let warming_up = !self.warm_up.is_zero();
        self.warm_up = Duration::ZERO;
        if !warming_up {
            // Before the channel is closed: they would complain.
            self.workers.clear();
        }
        warming_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_leaves_the_warm_up_out() {
        let round = Round { side: "", time: Duration::from_millis(50), pinned: false };
        let mut pace = round.start_many(0, 2, &[]).unwrap();
        let mut messages = 0;
        while pace.goes_on() {
            messages += 1;
            // Slow in the warm-up, which has 10 ms.
            thread::sleep(Duration::from_millis(if messages < 10 { 4 } else { 1 }));
        }
        assert!((400.0..=1000.0).contains(&pace.rate()), "{}", pace.rate());
    }
}
