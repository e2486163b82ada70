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

/// What the other side has handled, of each life.
#[derive(Default)]
pub(crate) struct Handled(Mutex<HashMap<(u64, u64), Seen>>);

/// The highest number of a life, and a bit for it and for each of those before it that are near.
#[derive(Default)]
struct Seen {
    highest: u64,
    bits: [u64; 16],
}

/// So many calls may be handled before one that was sent earlier: where threads get no processor, a caller gives up many.
const NEAR: u64 = 16 * 64;

/// Of so many lives of a caller, calls may be handled beside each other.
const LIVES: u64 = 8;

impl Seen {
    /// Notes a number; `false` if it was noted before, or is too far behind to know.
    fn note(&mut self, number: u64) -> bool {
        if number > self.highest {
            for forgotten in (self.highest + 1).max(number.saturating_sub(NEAR - 1))..=number {
                let (word, bit) = self.place(forgotten);
                *word &= !bit;
            }
            self.highest = number;
        } else if self.highest - number >= NEAR {
            return false;
        }
        let (word, bit) = self.place(number);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn place(&mut self, number: u64) -> (&mut u64, u64) {
        let place = usize::try_from(number % NEAR).unwrap();
        (&mut self.bits[place / 64], 1 << (place % 64))
    }
}

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
            if !seen.contains_key(&caller) {
                // Of lives that are long over, nothing comes any more.
                seen.retain(|(of, before), _| *of != actor || before + LIVES > life);
            }
            if !seen.entry(caller).or_default().note(number) {
                return false;
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
