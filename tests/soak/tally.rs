//! What a caller holds against what the other side has handled: each call once, and what became of it.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::arrivals::BATCH;
use crate::ledger::{Book, Count, Ledger, Note};
use crate::site::lock;

/// What became of the calls of a life so far, by its caller.
pub(crate) struct Tally<'a> {
    pub(crate) book: &'a Book,
    begun: u64,
    done: u64,
    undelivered: u64,
    unsure: u64,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(book: &'a Book) -> Self {
        Self { book, begun: 0, done: 0, undelivered: 0, unsure: 0 }
    }

    /// The number of the next call, which begins.
    pub(crate) fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.book.note(Note::Begun, self.begun);
        self.begun
    }

    /// So many more are confirmed.
    pub(crate) fn confirm(&mut self, more: u64) {
        self.done += more;
        self.book.note(Note::Done, self.done);
    }

    /// The other side never had so many more.
    pub(crate) fn undelivered(&mut self, more: u64) {
        self.undelivered += more;
        self.book.note(Note::Undelivered, self.undelivered);
        self.book.add(Count::GivenUp, more);
    }

    /// The other side may have had so many more.
    pub(crate) fn unsure(&mut self, more: u64) {
        self.unsure += more;
        self.book.note(Note::Unsure, self.unsure);
        self.book.add(Count::GivenUp, more);
    }

    /// This life comes to its own end.
    pub(crate) fn end(&self) {
        self.book.note(Note::Ended, 1);
    }
}

/// What the other side has handled: of each life, the highest number, and a bit for it and for each of the 63 before it.
#[derive(Default)]
pub(crate) struct Handled(Mutex<HashMap<(u64, u64), (u64, u64)>>);

impl Handled {
    /// Notes that a call is handled; `false` if it was handled before.
    ///
    /// Calls run beside each other, so one that its caller gave up may be handled after the next one. Where a caller
    /// uses several connections at once, its calls may be handled in any order.
    pub(crate) fn note(&self, book: &Book, caller: (u64, u64), number: u64, near: bool) -> bool {
        let (actor, life) = caller;
        let mut seen = lock(&self.0);
        let ledger = book.ledger();
        if near {
            // The lowest bit is that of the highest number.
            let (highest, bits) = seen.entry(caller).or_default();
            if number > *highest {
                *bits = shifted(*bits, number - *highest) | 1;
                *highest = number;
            } else {
                let bit = shifted(1, *highest - number);
                if bit == 0 || *bits & bit != 0 {
                    return false;
                }
                *bits |= bit;
            }
        }
        let handled = ledger.note(actor, life, Note::Handled);
        ledger.set_note(actor, life, Note::Handled, handled + 1);
        true
    }

    /// Notes that one of those that were handled is over.
    pub(crate) fn over(&self, ledger: &Ledger, (actor, life): (u64, u64)) {
        let _seen = lock(&self.0);
        let over = ledger.note(actor, life, Note::Over);
        ledger.set_note(actor, life, Note::Over, over + 1);
    }
}

/// The bits, so many places higher.
fn shifted(bits: u64, places: u64) -> u64 {
    u32::try_from(places).ok().and_then(|places| bits.checked_shl(places)).unwrap_or(0)
}

/// All callers are gone: what they have noted, and what was handled, is the same. How many were handled.
pub(crate) fn settle(book: &Book, callers: impl IntoIterator<Item = u64>) -> u64 {
    let mut all = 0;
    for caller in callers {
        for life in 1..=book.ledger().count(caller, Count::Life) {
            let noted = |note| book.ledger().note(caller, life, note);
            let [begun, done, undelivered, unsure, handled] =
                [Note::Begun, Note::Done, Note::Undelivered, Note::Unsure, Note::Handled]
                    .map(noted);
            let counts = format!(
                "life {life} of {caller}: {begun} begun, {done} done, {undelivered} undelivered, \
                 {unsure} unsure, {handled} handled"
            );
            assert!(done <= handled && handled <= begun - undelivered, "{counts}");
            // Of each, it is known what became of it, unless its caller was killed.
            let in_flight = begun - done - undelivered - unsure;
            assert!(in_flight <= if noted(Note::Ended) > 0 { 0 } else { BATCH }, "{counts}");
            book.add(Count::Taken, in_flight);
            all += handled;
        }
    }
    all
}
