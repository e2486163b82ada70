//! The receiving side: assembles the messages of many writers.

use std::collections::HashMap;
use std::mem;

use super::WriterId;
use super::fragment::{Fragment, FragmentKind};
use super::introduction::{Introduction, Unlike};
use crate::error::{FrameError, LossReason};
use crate::wire::Step;
use crate::wire::framing::ensure_within;

/// The limits of a receiver.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// The largest message.
    pub(super) limit: u32,
    /// How many bytes the unfinished messages may take together.
    pub(super) total_limit: usize,
    /// How many bytes may pass while a message stalls.
    pub(super) stall_limit: u64,
    /// The expected codec and messages of the writers.
    pub(super) introduction: Introduction,
}

/// The unfinished messages and the known writers.
#[derive(Default)]
pub(super) struct Assembly {
    writers: HashMap<u64, Writer>,
    /// How much memory the unfinished messages take.
    held: usize,
    /// How many bytes have passed.
    passed: u64,
    /// How many must have passed before a message can have stalled for too long.
    next_check: u64,
    /// The message that was assembled last.
    whole: Vec<u8>,
    /// The writer of the message that came last.
    current: Option<WriterId>,
}

struct Writer {
    standing: Standing,
    message: Message,
    /// The expected number of its next fragment.
    next: u32,
    /// How many bytes had passed when its last fragment arrived.
    active: u64,
}

/// Whether a writer has introduced itself.
#[derive(Clone, Copy, PartialEq)]
enum Standing {
    /// It sends the expected messages.
    Welcome,
    /// It sends other messages.
    Refused,
    /// Its introduction did not arrive here.
    Unknown,
}

/// The place of a writer in its stream.
enum Message {
    /// Between two messages.
    Between,
    /// In a lost message whose loss is reported.
    Lost,
    /// In a message that has arrived in part.
    Partial { data: Vec<u8>, total: usize },
}

impl Assembly {
    /// The writer of the message that came last.
    pub(super) fn current(&self) -> Option<WriterId> {
        self.current
    }

    /// The message that was assembled last.
    pub(super) fn whole(&self) -> &[u8] {
        &self.whole
    }

    /// Takes a fragment, with its payload.
    ///
    /// Earlier losses are returned first, one at a time: the fragment is then not taken.
    pub(super) fn take(&mut self, rules: &Rules, fragment: Fragment, payload: &[u8]) -> Step {
        self.whole = Vec::new();
        let lost = self
            .lose_idle(rules)
            .or_else(|| self.lose_by_order(&fragment))
            .or_else(|| self.lose_for_room(rules, &fragment, payload.len()));
        if let Some(error) = lost {
            return Step::Lost { bytes: 0, error: error.into() };
        }
        let bytes = fragment.len;
        self.passed = self.passed.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let taken = match fragment.kind {
            FragmentKind::Goodbye => return self.dismiss(&fragment),
            FragmentKind::Hello => self.greet(rules, &fragment, payload),
            _ => self.go_on(rules, &fragment, payload),
        };
        match taken {
            Ok(Taken::Part) => Step::Skip { bytes },
            Ok(Taken::Message) => {
                self.current = Some(WriterId(fragment.writer));
                if self.whole.is_empty() {
                    Step::Message { payload: fragment.payload, frame: bytes }
                } else {
                    Step::Assembled { bytes }
                }
            }
            Err(error) => Step::Lost { bytes, error: error.into() },
        }
    }

    /// How much memory the unfinished messages take.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let held = self.writers.values().map(|writer| match &writer.message {
            Message::Partial { data, .. } => data.capacity(),
            Message::Between | Message::Lost => 0,
        });
        assert_eq!(held.sum::<usize>(), self.held);
        self.held
    }

    /// How many writers are remembered.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.writers.len()
    }

    /// Abandons one unfinished message because all writers have left.
    pub(super) fn abandon(&mut self) -> Option<FrameError> {
        let writer = self.longest_idle(|_| true)?;
        self.lose(writer, LossReason::Left)
    }

    /// Abandons a message that stalled for too long.
    fn lose_idle(&mut self, rules: &Rules) -> Option<FrameError> {
        if self.passed <= self.next_check {
            return None;
        }
        let Some(writer) = self.longest_idle(|_| true) else {
            self.next_check = u64::MAX;
            return None;
        };
        let active = self.writers.get(&writer).map_or(self.passed, |writer| writer.active);
        self.next_check = active.saturating_add(rules.stall_limit);
        if self.passed <= self.next_check {
            return None;
        }
        self.lose(writer, LossReason::Idle)
    }

    /// Abandons what the writer of the fragment left unfinished.
    fn lose_by_order(&mut self, fragment: &Fragment) -> Option<FrameError> {
        let writer = self.writers.get_mut(&fragment.writer)?;
        let begins = !fragment.kind.goes_on();
        let afresh = fragment.kind == FragmentKind::Hello && fragment.sequence == 0;
        let in_order = afresh || writer.next == fragment.sequence;
        if writer.standing != Standing::Welcome {
            return None;
        }
        if !in_order {
            writer.next = fragment.sequence;
            let tells = !matches!(writer.message, Message::Lost);
            let lost = self.lose(fragment.writer, LossReason::Gap);
            let writer = self.writers.get_mut(&fragment.writer)?;
            writer.message = if begins { Message::Between } else { Message::Lost };
            return lost.filter(|_| tells);
        }
        if begins && matches!(writer.message, Message::Partial { .. }) {
            return self.lose(fragment.writer, LossReason::Abandoned);
        }
        None
    }

    /// Abandons a message of another writer whose room this fragment needs.
    fn lose_for_room(
        &mut self,
        rules: &Rules,
        fragment: &Fragment,
        payload: usize,
    ) -> Option<FrameError> {
        let Some(writer) = self.writers.get(&fragment.writer) else {
            let full = self.writers.len() >= MOST_WRITERS && fragment.kind != FragmentKind::Goodbye;
            return if full { self.forget_one() } else { None };
        };
        let more = writer.growth(fragment.kind, payload, rules);
        if self.held.saturating_add(more) <= rules.total_limit {
            return None;
        }
        let writer = self.longest_idle(|writer| writer != fragment.writer)?;
        self.lose(writer, LossReason::NoRoom)
    }

    /// Forgets the writer that was silent for the longest time, and returns the loss.
    fn forget_one(&mut self) -> Option<FrameError> {
        let (&writer, state) = self.writers.iter().min_by_key(|(_, writer)| writer.active)?;
        let unfinished = matches!(state.message, Message::Partial { .. });
        let lost = self.lose(writer, LossReason::NoRoom);
        self.writers.remove(&writer);
        lost.filter(|_| unfinished)
    }

    /// The writer with an unfinished message that was silent for the longest time.
    fn longest_idle(&self, of: impl Fn(u64) -> bool) -> Option<u64> {
        let partial = self.writers.iter().filter(|(writer, state)| {
            matches!(state.message, Message::Partial { .. }) && of(**writer)
        });
        partial.min_by_key(|(_, writer)| writer.active).map(|(writer, _)| *writer)
    }

    /// Marks the message of a writer as lost.
    fn lose(&mut self, writer: u64, reason: LossReason) -> Option<FrameError> {
        let state = self.writers.get_mut(&writer)?;
        let got = match mem::replace(&mut state.message, Message::Lost) {
            Message::Partial { data, .. } => {
                self.held -= data.capacity();
                data.len()
            }
            Message::Between | Message::Lost => 0,
        };
        Some(FrameError::Lost { writer, got, reason })
    }

    fn dismiss(&mut self, fragment: &Fragment) -> Step {
        self.writers.remove(&fragment.writer);
        if self.writers.is_empty() {
            Step::Goodbye { bytes: fragment.len }
        } else {
            Step::Skip { bytes: fragment.len }
        }
    }

    fn greet(
        &mut self,
        rules: &Rules,
        fragment: &Fragment,
        payload: &[u8],
    ) -> Result<Taken, FrameError> {
        let spoken = Introduction::read(payload);
        let agreed = match &spoken {
            Some(spoken) => rules.introduction.agrees(spoken),
            None => Err(Unlike {
                theirs: "unknown messages".to_owned(),
                ours: rules.introduction.to_string(),
            }),
        };
        let writer = self.writer(fragment);
        writer.message = Message::Between;
        let before = mem::replace(
            &mut writer.standing,
            if agreed.is_ok() { Standing::Welcome } else { Standing::Refused },
        );
        let Unlike { theirs, ours } = match agreed {
            Err(unlike) if before != Standing::Refused => unlike,
            _ => return Ok(Taken::Part),
        };
        Err(FrameError::Mismatch {
            writer: fragment.writer,
            theirs: theirs.into(),
            ours: ours.into(),
        })
    }

    /// Takes a whole message or a part of one.
    fn go_on(
        &mut self,
        rules: &Rules,
        fragment: &Fragment,
        payload: &[u8],
    ) -> Result<Taken, FrameError> {
        let writer = self.writer(fragment);
        let standing = writer.standing;
        let after = if fragment.kind.ends() { Message::Between } else { Message::Lost };
        let before = mem::replace(&mut writer.message, after);
        let lost = |got, reason| FrameError::Lost { writer: fragment.writer, got, reason };

        if standing == Standing::Refused {
            return Ok(Taken::Part);
        }
        let (mut data, total) = match (fragment.kind, before) {
            (FragmentKind::Middle | FragmentKind::Last, Message::Lost) => return Ok(Taken::Part),
            (FragmentKind::Middle | FragmentKind::Last, Message::Between) => {
                return Err(lost(0, LossReason::NoBeginning));
            }
            _ if standing == Standing::Unknown => {
                return Err(lost(0, LossReason::Unknown));
            }
            (FragmentKind::First { total }, _) => {
                let len = usize::try_from(total).unwrap_or(usize::MAX);
                ensure_within(len, rules.limit)?;
                (Vec::new(), len)
            }
            (FragmentKind::Middle | FragmentKind::Last, Message::Partial { data, total }) => {
                (data, total)
            }
            _ => {
                return ensure_within(payload.len(), rules.limit).map(|_| Taken::Message);
            }
        };

        self.held -= data.capacity();
        let (got, len) = (data.len(), data.len() + payload.len());
        let grown = grown(&data, total, payload.len());
        if len > total || (fragment.kind.ends() && len != total) {
            return Err(lost(got, LossReason::Uneven));
        }
        if self.held.saturating_add(grown) > rules.total_limit {
            return Err(lost(got, LossReason::NoRoom));
        }
        data.reserve_exact(grown - got);
        data.extend_from_slice(payload);
        if fragment.kind.ends() {
            self.whole = data;
            return Ok(Taken::Message);
        }
        self.held += data.capacity();
        self.next_check = self.next_check.min(self.passed.saturating_add(rules.stall_limit));
        self.writer(fragment).message = Message::Partial { data, total };
        Ok(Taken::Part)
    }

    /// The writer of a fragment, noted as heard of.
    fn writer(&mut self, fragment: &Fragment) -> &mut Writer {
        let writer = self.writers.entry(fragment.writer).or_insert(Writer {
            standing: Standing::Unknown,
            message: Message::Between,
            next: 0,
            active: 0,
        });
        writer.next = fragment.sequence.wrapping_add(1);
        writer.active = self.passed;
        writer
    }
}

/// The result of a fragment that was taken.
enum Taken {
    Part,
    Message,
}

impl Writer {
    /// How much more memory its message takes with this fragment.
    fn growth(&self, kind: FragmentKind, payload: usize, rules: &Rules) -> usize {
        match (kind, &self.message) {
            _ if self.standing != Standing::Welcome => 0,
            (FragmentKind::First { total }, _) if total <= rules.limit => payload,
            (FragmentKind::Middle | FragmentKind::Last, Message::Partial { data, total }) => {
                grown(data, *total, payload) - data.capacity()
            }
            _ => 0,
        }
    }
}

/// The capacity for a message of `total` bytes with one more payload: at most twice what arrived.
fn grown(data: &Vec<u8>, total: usize, payload: usize) -> usize {
    let len = data.len() + payload;
    if len <= data.capacity() {
        return data.capacity();
    }
    (2 * data.capacity()).min(total).max(len)
}

/// How many writers are remembered.
const MOST_WRITERS: usize = 4096;
