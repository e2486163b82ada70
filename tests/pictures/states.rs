//! The states of a pipe and its ends, from the table of transitions in the docs of `Pipe`.

use crate::svg::{Anchor, BLUE, GREEN, Hand, ORANGE, arrow, document, text, tile};

const WIDTH: f64 = 148.0;
const HEIGHT: f64 = 50.0;
const COLUMN: f64 = 264.0;
const ROW: f64 = 106.0;

/// A state as the table names it, its place in columns and rows, and how the picture names it.
struct State {
    name: &'static str,
    column: f64,
    row: f64,
    colour: &'static str,
    title: &'static str,
    below: &'static str,
}

const fn state(
    name: &'static str,
    (column, row): (f64, f64),
    colour: &'static str,
    title: &'static str,
    below: &'static str,
) -> State {
    State { name, column, row, colour, title, below }
}

const STATES: [State; 8] = [
    state("Pipe<Deallocated>", (0.0, 0.0), BLUE, "Pipe<Deallocated>", "a name"),
    state("Pipe<Allocated>", (1.0, 0.0), BLUE, "Pipe<Allocated>", "a pipe, owned"),
    state(
        "End<D, Closed, Pipe<Allocated>>",
        (2.0, 0.0),
        BLUE,
        "End<D, Closed, …>",
        "holds the pipe",
    ),
    state("End<D, Open, Pipe<Allocated>>", (3.0, 0.0), BLUE, "End<D, Open, …>", "moves bytes"),
    state("a channel", (3.0, 1.0), GREEN, "TypedReceiver<T>", "or TypedSender<T>"),
    state("a path", (1.0, 2.0), ORANGE, "PipePath", "all that a client has"),
    state("End<D, Closed>", (2.0, 2.0), ORANGE, "End<D, Closed>", "of a client"),
    state("End<D, Open>", (3.0, 2.0), ORANGE, "End<D, Open>", "moves bytes"),
];

pub(crate) fn picture(source: &str) -> String {
    let mut lines = vec![
        text(20.0, 30.0, Anchor::Start, Hand::Title, "The owner makes the pipe and removes it"),
        text(20.0, 46.0 + 2.0 * ROW + 21.0, Anchor::Start, Hand::Title, "Any other process"),
        text(20.0, 46.0 + 2.0 * ROW + 38.0, Anchor::Start, Hand::Title, "opens what is there"),
    ];
    for state in &STATES {
        let (x, y) = corner(state);
        lines.push(tile(x, y, WIDTH, HEIGHT, state.colour));
        let middle = x + WIDTH / 2.0;
        lines.push(text(middle, y + 21.0, Anchor::Middle, Hand::Code, state.title));
        lines.push(text(middle, y + 38.0, Anchor::Middle, Hand::Small, state.below));
    }
    for (from, calls, to) in transitions(source) {
        lines.extend(transition(find(from), &calls, find(to)));
    }
    let bottom = 46.0 + 2.0 * ROW + HEIGHT + 34.0;
    let note = "A program that takes a step which is no arrow does not compile.";
    lines.push(text(20.0, bottom, Anchor::Start, Hand::Small, note));
    let label =
        "The states of a pipe and of its ends, and the calls that lead from one to the next";
    document(3.0 * COLUMN + WIDTH + 40.0, bottom + 16.0, label, &lines)
}

/// The rows of the table: from, calls, to.
fn transitions(source: &str) -> Vec<(&str, Vec<&str>, &str)> {
    let (_, table) = source.split_once("/// | from | call | to |\n").expect("the table is gone");
    let rows = table.lines().skip(1).map_while(|line| line.strip_prefix("/// | "));
    let cells = |row: &'_ str| -> Option<[usize; 2]> {
        let first = row.find(" | ")?;
        Some([first, first + 3 + row[first + 3..].find(" | ")?])
    };
    let rows = rows.map(|row| {
        let [first, second] = cells(row).expect("a row of three cells");
        let (from, to) = (&row[..first], row[second + 3..].trim_end_matches(" |"));
        let calls = row[first + 3..second].split(", ").map(|call| call.trim_matches('`'));
        (from.trim_matches('`'), calls.collect(), to.trim_matches('`'))
    });
    rows.collect()
}

fn find(name: &str) -> &'static State {
    let found = STATES.iter().find(|state| state.name == name);
    found.unwrap_or_else(|| panic!("the picture has no place for the state {name}"))
}

fn corner(state: &State) -> (f64, f64) {
    (20.0 + COLUMN * state.column, 46.0 + ROW * state.row)
}

/// An arrow with its calls beside it: to the right above, to the left below, up and down to the left.
fn transition(from: &State, calls: &[&str], to: &State) -> Vec<String> {
    let ((x, y), (to_x, to_y)) = (corner(from), corner(to));
    let mut lines = Vec::new();
    if from.column == to.column {
        let down = to_y > y;
        let middle = x + WIDTH / 2.0;
        let (start, end) = if down { (y + HEIGHT, to_y) } else { (y, to_y + HEIGHT) };
        lines.push(arrow((middle, start + 3.0 * sign(down)), (middle, end - 3.0 * sign(down))));
        let mut at = (start + end) / 2.0 - 8.0 * (calls.len() - 1) as f64 + 4.0;
        for call in calls {
            lines.push(text(middle - 10.0, at, Anchor::End, Hand::Code, call));
            at += 16.0;
        }
        return lines;
    }
    let right = to_x > x;
    let line = y + HEIGHT / 2.0 - 9.0 * sign(right);
    let (start, end) = if right { (x + WIDTH, to_x) } else { (x, to_x + WIDTH) };
    lines.push(arrow((start + 3.0 * sign(right), line), (end - 3.0 * sign(right), line)));
    let middle = (start + end) / 2.0;
    let mut at = if right { line - 6.0 - 15.0 * (calls.len() - 1) as f64 } else { line + 15.0 };
    for call in calls {
        lines.push(text(middle, at, Anchor::Middle, Hand::Code, call));
        at += 15.0;
    }
    lines
}

fn sign(forward: bool) -> f64 {
    if forward { 1.0 } else { -1.0 }
}
