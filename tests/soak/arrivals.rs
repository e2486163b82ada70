//! What a receiver holds against what its writers have noted: each message once, in order, and whole.

use std::collections::BTreeMap;

use crate::content::Parcel;
use crate::ledger::{Book, Count, Note};

/// The life that each writer is in, and the number of its next message.
pub(crate) struct Arrivals(BTreeMap<u64, (u64, u64)>);

/// A kill may take so many: a batch that was fed, and no more.
pub(crate) const BATCH: u64 = 24;

impl Arrivals {
    pub(crate) fn new(writers: impl IntoIterator<Item = u64>) -> Self {
        Self(writers.into_iter().map(|writer| (writer, (1, 0))).collect())
    }

    /// Takes a message. Where it begins a life, those before are over, and all of them has come.
    pub(crate) fn take(&mut self, book: &Book, parcel: &Parcel) {
        self.settle_before(book, parcel.actor, parcel.life);
        let (life, next) = self.0.get_mut(&parcel.actor).expect("it is from nobody");
        let (from, number) = (parcel.actor, parcel.number);
        assert_eq!(*life, parcel.life, "message {number} of {from} comes after its life");
        assert_eq!(*next, number, "the next message of {from} in its life {life}");
        assert!(parcel.is_whole(), "message {number} of {from} in its life {life} is damaged");
        *next += 1;
        book.add(Count::Messages, 1);
        book.add(Count::Bytes, parcel.len());
    }

    /// No writer is left, and all is read.
    pub(crate) fn settle_all(&mut self, book: &Book) {
        let writers: Vec<_> = self.0.keys().copied().collect();
        for writer in writers {
            let last = book.ledger().count(writer, Count::Life);
            self.settle_before(book, writer, last + 1);
        }
    }

    /// Whether all that is said to be sent has come by now.
    pub(crate) fn are_complete(&self, book: &Book) -> bool {
        self.0.iter().all(|(&writer, &(life, came))| {
            let sent = |life| book.ledger().note(writer, life, Note::Done);
            let last = book.ledger().count(writer, Count::Life);
            came >= sent(life) && (life + 1..=last).all(|later| sent(later) == 0)
        })
    }

    fn settle_before(&mut self, book: &Book, writer: u64, before: u64) {
        let Some((life, next)) = self.0.get_mut(&writer) else { return };
        while *life < before {
            settle(book, writer, *life, *next);
            (*life, *next) = (*life + 1, 0);
        }
    }
}

fn settle(book: &Book, writer: u64, life: u64, came: u64) {
    let noted = |note| book.ledger().note(writer, life, note);
    let (begun, sent, ended) = (noted(Note::Begun), noted(Note::Done), noted(Note::Ended) > 0);
    let counts = format!("life {life} of {writer}: {begun} begun, {sent} sent, {came} came");
    assert!(sent <= came && came <= begun, "{counts}");
    let taken = begun - came;
    assert!(taken <= if ended { 0 } else { BATCH }, "{counts}, ended by itself: {ended}");
    book.add(Count::Taken, taken);
}
