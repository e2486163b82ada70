//! How many times faster typed-pipe is than what it was measured beside. `benches/peers` draws with this, too.

use crate::svg::{Anchor, BLUE, GREEN, Hand, ORANGE, document, text};

const ROW: f64 = 21.0;
const LABELS: f64 = 390.0;
const BARS: f64 = 420.0;

/// A scenario, with the median of its pairs, the worst and the best one.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) ratio: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// The rows of the table of ratios in `docs/COSTS.md`.
#[allow(dead_code, reason = "the benchmark has measured them")]
pub(crate) fn rows(costs: &str) -> Vec<Row> {
    let (_, table) = costs.split_once("| scenario | ratio | min | max |\n").expect("no table");
    let rows = table.lines().skip(1).map_while(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| {
        let mut cells = row.trim_end_matches(" |").split(" | ");
        let name = cells.next().unwrap().trim_end_matches('`').to_owned();
        let mut number = || cells.next().unwrap().parse().unwrap();
        Row { name, ratio: number(), min: number(), max: number() }
    });
    rows.collect()
}

/// Bars from 1, where both are as fast, to the ratio, with a line from the worst pair to the best: on a
/// logarithmic scale, so that twice as fast and half as fast have the same length.
pub(crate) fn picture(rows: &[Row]) -> String {
    let all = || rows.iter().flat_map(|row| [row.min, row.max]);
    let low = all().fold(0.5, f64::min).log2().floor();
    let high = all().fold(2.0, f64::max).log2().ceil();
    let x = |ratio: f64| LABELS + BARS * (ratio.log2() - low) / (high - low);
    let place = |row: &&Row| WORK.iter().position(|(work, _)| row.name.starts_with(work));
    let mut ordered: Vec<_> = rows.iter().collect();
    ordered.sort_by_key(place);
    let (mut bars, mut y, mut last) = (Vec::new(), 40.0, "");
    for Row { name, ratio, min, max } in ordered {
        let (work, other) = name.split_once("_vs_").unwrap_or(("", name));
        let line = |y: f64| y + ROW / 2.0 + 4.0;
        if work != last {
            y += 7.0;
            bars.push(text(20.0, line(y), Anchor::Start, Hand::Title, known(work, &WORK)));
            last = work;
        }
        let (from, to) = (x(ratio.min(1.0)), x(ratio.max(1.0)));
        let middle = y + ROW / 2.0;
        let colour = if *ratio < 1.0 { ORANGE } else { BLUE };
        bars.push(text(LABELS - 10.0, line(y), Anchor::End, Hand::Plain, known(other, &OTHERS)));
        bars.push(format!(
            r#"<rect x="{from:.1}" y="{:.1}" width="{:.1}" height="{:.1}" rx="2" fill="{colour}"></rect>"#,
            y + 4.0,
            (to - from).max(1.0),
            ROW - 8.0,
        ));
        bars.push(format!(
            r#"<path d="M{:.1} {middle:.1}H{:.1}" stroke="currentColor" opacity="0.6"></path>"#,
            x(*min),
            x(*max)
        ));
        let label = format!("{ratio:.1} ×");
        bars.push(text(x(max.max(1.0)) + 7.0, line(y), Anchor::Start, Hand::Plain, &label));
        y += ROW;
    }
    let title =
        "How many times faster typed-pipe is (bar: median; line: from the worst to the best pair)";
    let mut lines = vec![text(20.0, 26.0, Anchor::Start, Hand::Small, title)];
    let mut power = low;
    while power <= high {
        let (at, ratio) = (x(power.exp2()), power.exp2());
        let (colour, opacity) = if power == 0.0 { (GREEN, 1.0) } else { ("currentColor", 0.18) };
        lines.push(format!(
            r#"<path d="M{at:.1} 44V{y:.1}" stroke="{colour}" opacity="{opacity}"></path>"#
        ));
        lines.push(text(at, y + 18.0, Anchor::Middle, Hand::Small, &ratio.to_string()));
        power += 1.0;
    }
    lines.extend(bars);
    let label = "How many times faster typed-pipe is than what it was measured beside";
    document(LABELS + BARS + 90.0, y + 32.0, label, &lines)
}

fn known<'a>(name: &'a str, words: &[(&str, &'a str)]) -> &'a str {
    words.iter().find(|(known, _)| *known == name).map_or(name, |(_, words)| words)
}

/// What is done, in the order of the chart: the first word that a name begins with counts.
const WORK: [(&str, &str); 10] = [
    ("send", "one message a send"),
    ("batch", "in batches"),
    ("async", "in batches, under tokio"),
    ("rtt_spin", "there and back, busy polling"),
    ("rtt", "there and back"),
    ("bytes_64k", "64 KiB of bytes"),
    ("bytes_1m", "1 MiB of bytes"),
    ("loan_1m", "1 MiB, made in place"),
    ("shared", "eight writers on one pipe"),
    ("borrowed", "received borrowed"),
];

const OTHERS: [(&str, &str); 10] = [
    ("raw", "by hand, on the same pipe"),
    ("tokio", "LengthDelimitedCodec"),
    ("ipc_channel", "ipc-channel"),
    ("interprocess", "interprocess"),
    ("python", "multiprocessing, in Python"),
    ("namedpipe", "namedpipe, in Python"),
    ("xp_named_pipe", "xp-named-pipe, in Python"),
    ("iceoryx2", "iceoryx2"),
    ("send", "one writer, default wire"),
    ("owned", "received owned"),
];
