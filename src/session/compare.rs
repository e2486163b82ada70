//! Whether two plans fit, and where they part.

use std::collections::{HashSet, VecDeque};

use super::plan::{Plan, Step};

/// Two steps at which the two sides are together.
struct Place {
    ours: u32,
    theirs: u32,
    /// The place before, and the word of what leads here.
    from: Option<(usize, String)>,
}

/// A walk over all places that the two sides can come to.
struct Walk<'a> {
    ours: &'a Plan,
    theirs: &'a Plan,
    places: Vec<Place>,
    seen: HashSet<(u32, u32)>,
    /// The shapes that were found to fit: that of the writer, that of the reader, and whether this side writes.
    fitting: HashSet<(u32, u32, bool)>,
    next: VecDeque<usize>,
}

/// Compares all paths of two plans: where they part, in the words of this side. The shortest path there is named.
pub(super) fn compare(ours: &Plan, theirs: &Plan) -> Result<(), String> {
    let mut walk = Walk {
        ours,
        theirs,
        places: Vec::new(),
        seen: HashSet::new(),
        fitting: HashSet::new(),
        next: VecDeque::new(),
    };
    walk.reach(0, 0, None);
    while let Some(at) = walk.next.pop_front() {
        let Some(place) = walk.places.get(at) else { break };
        let (a, b) = (place.ours, place.theirs);
        walk.look(at, ours.step(a), theirs.step(b))?;
    }
    Ok(())
}

impl Walk<'_> {
    fn reach(&mut self, ours: u32, theirs: u32, from: Option<(usize, String)>) {
        if self.seen.insert((ours, theirs)) {
            self.next.push_back(self.places.len());
            self.places.push(Place { ours, theirs, from });
        }
    }

    fn look(&mut self, at: usize, ours: &Step, theirs: &Step) -> Result<(), String> {
        match (ours, theirs) {
            (
                Step::Send { message, shape: x, next: a },
                Step::Receive { shape: y, next: b, .. },
            ) => {
                self.fit(at, *x, *y, true)?;
                self.reach(*a, *b, Some((at, shown(message))));
            }
            (
                Step::Receive { message, shape: x, next: a },
                Step::Send { shape: y, next: b, .. },
            ) => {
                self.fit(at, *y, *x, false)?;
                self.reach(*a, *b, Some((at, shown(message))));
            }
            (Step::Choose { choice, branches: chosen }, Step::Offer { branches: offered, .. }) => {
                self.fork(at, choice, chosen, offered, true)?;
            }
            (Step::Offer { choice, branches: offered }, Step::Choose { branches: chosen, .. }) => {
                self.fork(at, choice, chosen, offered, false)?;
            }
            (Step::End, Step::End) => {}
            _ => {
                let words = format!("this side {}, and the other one {}", does(ours), does(theirs));
                return Err(self.parted(at, &words));
            }
        }
        Ok(())
    }

    /// The reader must read all that the writer may write. Each pair is compared once, however often it is said.
    fn fit(&mut self, at: usize, writer: u32, reader: u32, here: bool) -> Result<(), String> {
        if !self.fitting.insert((writer, reader, here)) {
            return Ok(());
        }
        let (writes, reads) =
            if here { (self.ours, self.theirs) } else { (self.theirs, self.ours) };
        let (Some(writer), Some(reader)) = (writes.shape(writer), reads.shape(reader)) else {
            return Ok(()); // one of them may be anything
        };
        writer.read_by(reader).map_err(|part| {
            self.parted(at, &if here { part.to_sender() } else { part.to_receiver() })
        })
    }

    /// All that can be chosen must be known to the side that offers, which may know more.
    fn fork(
        &mut self,
        at: usize,
        choice: &str,
        chosen: &[(String, u32)],
        offered: &[(String, u32)],
        here: bool,
    ) -> Result<(), String> {
        for (number, (branch, next)) in chosen.iter().enumerate() {
            let word = shown(&format!("{choice}::{branch}"));
            let Some((other, other_next)) = offered.get(number) else {
                let who = if here { "the other side does" } else { "this side does" };
                return Err(self.parted(at, &format!("{who} not offer {word}")));
            };
            if other != branch {
                let (who, whose) = if here {
                    ("this side", "the other one")
                } else {
                    ("the other side", "this one")
                };
                let words = format!(
                    "branch {number} is {word} for {who}, which chooses, and {} for {whose}",
                    shown(other)
                );
                return Err(self.parted(at, &words));
            }
            let (a, b) = if here { (next, other_next) } else { (other_next, next) };
            self.reach(*a, *b, Some((at, word)));
        }
        Ok(())
    }

    /// Where it is, by the way that leads there.
    fn parted(&self, at: usize, words: &str) -> String {
        let mut way = Vec::new();
        let mut place = self.places.get(at);
        while let Some(Place { from: Some((before, word)), .. }) = place {
            way.push(word.as_str());
            place = self.places.get(*before);
        }
        way.reverse();
        match way.as_slice() {
            [] => format!("at the beginning, {words}"),
            way => format!("after {}, {words}", way.join(", ")),
        }
    }
}

fn does(step: &Step) -> String {
    match step {
        Step::Send { message, .. } => format!("sends {}", shown(message)),
        Step::Receive { message, .. } => format!("receives {}", shown(message)),
        Step::Choose { choice, .. } => format!("chooses a {}", shown(choice)),
        Step::Offer { choice, .. } => format!("offers a {}", shown(choice)),
        Step::End => "ends".to_owned(),
    }
}

/// A name, which may be of the other process.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(100).collect();
    format!("`{}`", short.escape_debug())
}
