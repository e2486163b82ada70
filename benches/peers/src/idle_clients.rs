//! Clients that are connected and do nothing: what the process of their service takes.

use std::convert::Infallible;
use std::env;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use typed_pipe::Client;

use crate::message::Quote;
use crate::our_calls::{answer, answer_in_tasks, text};
use crate::round::{Done, Worker, dies_with_its_parent};

/// The first argument of a service; the mode and the path follow.
pub(crate) const SERVE: &str = "--serve-idle-clients";

/// Until the threads are gone that had something to do.
const REST: Duration = Duration::from_secs(7);

const MODES: [&str; 2] = ["threads", "tasks"];

/// What the process of a service does.
pub(crate) fn serve(mode: &str, told: &[String]) -> Done<Infallible> {
    dies_with_its_parent()?;
    if mode == "tasks" { answer_in_tasks(told) } else { answer(told) }
}

pub(crate) fn measure(count: u32) -> Done {
    println!("{count} clients, and nothing else is started");
    for mode in MODES {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("service");
        let mut service = Command::new(env::current_exe()?);
        service.args([SERVE, mode, text(&path)?]).stdout(Stdio::null());
        let service = Worker::new(service.spawn()?);
        let connect = || Client::<Quote, Quote>::connect(&path);
        // What it takes for the first one is not counted.
        drop(connect()?);
        thread::sleep(REST);
        let before = Taken::by(service.id())?;
        let begun = Instant::now();
        let clients = (0..count).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
        let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(count);
        thread::sleep(REST);
        Taken::by(service.id())?.tell(mode, "never called", &before);
        println!("{mode:<8} connected in {each:.0} µs each");
        for client in &clients {
            client.call(&Quote::sample())?;
        }
        thread::sleep(REST);
        Taken::by(service.id())?.tell(mode, "called once", &before);
    }
    Ok(())
}

/// What a process takes.
struct Taken {
    kib: u64,
    descriptors: usize,
    threads: u64,
}

impl Taken {
    fn by(process: u32) -> Done<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let of = |name: &str| -> Done<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            Ok(number.ok_or("the system does not tell")?.parse()?)
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count();
        Ok(Self { kib: of("VmRSS:")?, descriptors, threads: of("Threads:")? })
    }

    fn tell(&self, mode: &str, which: &str, before: &Self) {
        let Self { kib, descriptors, threads } = self;
        println!(
            "{mode:<8} {which:<12} {kib} KiB ({} before), {} descriptors more, {threads} threads",
            before.kib,
            descriptors - before.descriptors,
        );
    }
}
