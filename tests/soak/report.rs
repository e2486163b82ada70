//! What came of it, as tables.

use crate::gauge::{Flat, SUPERVISOR};
use crate::ledger::Count;
use crate::site::{Site, lock};

/// So many actors has a load, from a number of its own on.
const ACTORS: u64 = 10;

/// Prints all, and fails where something is not flat. The supervisor had so many descriptors, before and after.
pub(crate) fn print<const N: usize>(site: &Site, loads: [&'static str; N], supervisor: [u64; 2]) {
    print_loads(site, loads);
    println!(
        "\n| process | KiB in the first third | in the last | the most | descriptors at first | the most | at last |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut wrong = Vec::new();
    for (actor, curve) in lock(&site.gauge).curves() {
        let ends = [Count::DescriptorsBefore, Count::DescriptorsAfter];
        let noted = || ends.map(|end| site.ledger.count(actor, end));
        let [before, after] = if actor == SUPERVISOR { supervisor } else { noted() };
        let (what, flat) = (&curve.what, curve.flat());
        let Flat { first, last, most, descriptors } = flat;
        println!("| {what} | {first} | {last} | {most} | {before} | {descriptors} | {after} |");
        wrong.extend(curve.wrong());
        if before != after {
            wrong.push(format!("{what}: {before} descriptors before, {after} after"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn print_loads<const N: usize>(site: &Site, loads: [&'static str; N]) {
    let counts = [
        ("messages", Count::Messages),
        ("MiB", Count::Bytes),
        ("connections", Count::Connections),
        ("handles", Count::Handles),
        ("calls", Count::Calls),
        ("abandoned", Count::GivenUp),
        ("lost in kills", Count::Taken),
        ("reported", Count::Told),
    ];
    let heads = counts.map(|(head, _)| head).join(" | ");
    println!("\n| load | processes | kills | stops | {heads} |");
    println!("|---|{}", "---|".repeat(3 + counts.len()));
    for (at, load) in (0..).zip(loads) {
        let done = site.done(load);
        let sums = counts.map(|(_, count)| {
            let actors = at * ACTORS..(at + 1) * ACTORS;
            let sum: u64 = actors.map(|actor| site.ledger.count(actor, count)).sum();
            let sum = if count == Count::Bytes { sum >> 20 } else { sum };
            sum.to_string()
        });
        let sums = sums.join(" | ");
        println!("| {load} | {} | {} | {} | {sums} |", done.started, done.kills, done.tokens);
    }
}
