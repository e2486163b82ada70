//! Measures typed-pipe side by side with its peers: see the README.

mod by_hand;
mod by_memory;
/// The tests of the crate draw with it, too.
#[path = "../../../tests/pictures/chart.rs"]
mod chart;
mod delimited;
mod figures;
mod idle_clients;
mod message;
mod our_calls;
mod ours;
mod ours_async;
mod over_iceoryx2;
mod over_interprocess;
mod over_ipc_channel;
mod over_memory;
mod over_python;
mod over_tarpc;
mod over_tokio;
mod raw;
mod round;
mod scenario;
#[allow(dead_code, reason = "other pictures use the rest")]
#[path = "../../../tests/pictures/svg.rs"]
mod svg;

use std::env;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use figures::Figures;
use round::{BUSY, Done, MEASURE, Side, WORK};
use scenario::{SCENARIOS, Scenario};

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Done {
    match arguments {
        [role, side, time] if role == MEASURE => known(side)?.measure(time),
        [role, mode, told @ ..] if role == idle_clients::SERVE => {
            match idle_clients::serve(mode, told)? {}
        }
        [option, count] if option == "--idle-clients" => idle_clients::measure(count.parse()?),
        [role] if role == BUSY => round::take_a_processor(),
        [role, side, told @ ..] if role == WORK => match known(side)?.work(told)? {},
        _ => compare(&Options::parse(arguments)?),
    }
}

fn known(side: &str) -> Done<&'static Side> {
    scenario::side(side).ok_or_else(|| format!("there is no side {side}").into())
}

fn compare(options: &Options) -> Done {
    let busy = round::busy(options.busy)?;
    println!("{}", options.in_words());
    println!("{:<28}{:>8}{:>8}{:>8}  ours and the other", "scenario", "ratio", "min", "max");
    let mut results = Vec::new();
    for scenario in options.chosen()? {
        if let Some(module) = scenario.missing() {
            println!("{:<28} not here: there is no python3 that has {module}", scenario.name);
            continue;
        }
        let figures = Figures::measure(scenario, options.pairs, options.time, options.pinned)?;
        let Figures { ours, other, ratio, min, max, unit, side, against, .. } = &figures;
        let digits = if *ours < 1000.0 { 2 } else { 0 };
        println!(
            "{:<28}{ratio:>8.2}{min:>8.2}{max:>8.2}  {ours:.digits$} and {other:.digits$} {unit} ({side}; {against})",
            scenario.name
        );
        results.push((scenario.name, figures));
    }
    drop(busy);
    if let Some(file) = &options.svg {
        let rows = results.iter().filter(|(_, figures)| !figures.is_time).map(
            |(name, Figures { ratio, min, max, .. })| chart::Row {
                name: (*name).to_owned(),
                ratio: *ratio,
                min: *min,
                max: *max,
            },
        );
        fs::write(file, chart::picture(&rows.collect::<Vec<_>>()))?;
    }
    if let Some(file) = &options.json {
        let mut table = serde_json::Map::new();
        for (name, figures) in &results {
            table.insert((*name).to_owned(), serde_json::to_value(figures)?);
        }
        fs::write(file, serde_json::to_string_pretty(&table)? + "\n")?;
    }
    Ok(())
}

struct Options {
    pairs: usize,
    time: Duration,
    /// Whether each side has a processor of its own, also where it is no round trip.
    pinned: bool,
    /// So many processes do nothing but take a processor meanwhile.
    busy: usize,
    only: Vec<String>,
    json: Option<String>,
    svg: Option<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Done<Self> {
        let mut options = Self {
            pairs: 5,
            time: Duration::from_millis(500),
            pinned: false,
            busy: 0,
            only: Vec::new(),
            json: None,
            svg: None,
        };
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{option} wants a value"));
            match option.as_str() {
                "--quick" => (options.pairs, options.time) = (3, Duration::from_millis(100)),
                "--pairs" => options.pairs = value()?.parse::<usize>()?.max(1),
                "--pinned" => options.pinned = true,
                "--busy" => options.busy = value()?.parse()?,
                "--only" => options.only.push(value()?.clone()),
                "--json" => options.json = Some(value()?.clone()),
                "--svg" => options.svg = Some(value()?.clone()),
                _ => return Err(format!("there is no option {option}").into()),
            }
        }
        Ok(options)
    }

    /// What else is done on the machine, and where the sides run.
    fn in_words(&self) -> String {
        let pinned = if self.pinned { "pinned" } else { "unpinned" };
        match self.busy {
            0 => format!("{pinned}, nothing else is started"),
            busy => format!("{pinned}, beside {busy} busy processes"),
        }
    }

    /// The scenarios that are asked for: all, if none is named.
    fn chosen(&self) -> Done<Vec<&'static Scenario>> {
        let named = |name: &str| SCENARIOS.iter().find(|scenario| scenario.name == name);
        if let Some(unknown) = self.only.iter().find(|name| named(name).is_none()) {
            let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            return Err(format!("there is no {unknown}, but {}", names.join(", ")).into());
        }
        let chosen = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        Ok(SCENARIOS.iter().filter(|scenario| chosen(scenario.name)).collect())
    }
}
