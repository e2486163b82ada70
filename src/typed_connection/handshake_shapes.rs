//! What the two sides of a handshake tell each other about their messages.
//!
//! The part of the terms has the fingerprints, which mostly settle it. Where they do not, both sides send descriptions
//! in a second round, and both decide from these.

use crate::error::Disagreement;
use crate::wire::shape::{Difference, LONGEST_DESCRIPTION, Shape};

/// What one side tells of its messages.
#[derive(Clone, Debug)]
pub(super) struct Announcement {
    pub(super) received: Option<Shape>,
    /// `None` if it is not known before it is sent.
    pub(super) sent: Option<Shape>,
    /// Those of this side, and of the other one once it has told them, where they are the two sides of calls.
    pub(super) roles: Option<(Roles, Option<Roles>)>,
}

/// What a side of calls does. One that does both has pairs of options: of a request, and of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Whether it reads requests, and sends answers.
    pub(crate) serves: bool,
    /// Whether it sends requests, and reads answers.
    pub(crate) calls: bool,
}

impl Roles {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        vec![u8::from(self.serves) | (u8::from(self.calls) << 1)]
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Further bytes are left to later editions.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let flags = bytes.first()?;
        Some(Self { serves: flags & 1 != 0, calls: flags & 2 != 0 })
    }

    /// The half of its pairs that has the requests, or the answers.
    fn half(self, requests: bool) -> Option<usize> {
        (self.serves && self.calls).then_some(usize::from(!requests))
    }

    /// Whether a reader with these roles takes the requests and the answers of a writer with those, as far as it knows what
    /// they are: further methods are those of a later edition.
    fn compare(self, received: &Shape, writer: Self, sent: &Shape) -> Result<(), Difference> {
        let compare = |requests| {
            sent.variants_read_by(writer.half(requests), (received, self.half(requests)))
        };
        if self.serves && writer.calls {
            compare(true)?;
        }
        if self.calls && writer.serves { compare(false) } else { Ok(()) }
    }
}

/// The fingerprints of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprints {
    received: Option<u64>,
    sent: Option<u64>,
    /// Whether this side asks for descriptions, whatever the fingerprints are.
    asks: bool,
}

const RECEIVED: u8 = 1;
const SENT: u8 = 2;
const ASKS: u8 = 4;

impl Announcement {
    pub(super) fn fingerprints(&self) -> Fingerprints {
        let of = |shape: &Option<Shape>| shape.as_ref().map(Shape::fingerprint);
        // An earlier edition is to describe what it reads of calls: their values are compared with that.
        let asks = self.sent.is_none() || self.roles.is_some();
        Fingerprints { received: of(&self.received), sent: of(&self.sent), asks }
    }

    /// Takes note of the roles of the other side. One that tells none compares no calls.
    pub(super) fn meet(&mut self, theirs: Option<&[u8]>) {
        let Some((_, met)) = &mut self.roles else { return };
        *met = theirs.and_then(Roles::from_bytes);
        if met.is_none() {
            self.sent = None;
        }
    }

    /// Whether the fingerprints leave open whether the messages match.
    pub(super) fn leaves_open(&self, ours: Fingerprints, theirs: Fingerprints) -> bool {
        match self.roles {
            Some((_, Some(_))) => ours.as_told().leave_open(theirs.as_told()),
            _ => ours.leave_open(theirs),
        }
    }

    /// The bytes of the second round.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for shape in [&self.received, &self.sent] {
            let description = shape.as_ref().map(Shape::description).unwrap_or_default();
            bytes.extend_from_slice(&u32::try_from(description.len()).unwrap_or(0).to_be_bytes());
            bytes.extend_from_slice(description);
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Disagreement> {
        let mut rest = bytes;
        let mut next = || {
            let (len, behind) = rest.split_first_chunk().ok_or(Disagreement::Garbled)?;
            let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
            let (shape, behind) = behind.split_at_checked(len).ok_or(Disagreement::Garbled)?;
            rest = behind;
            told(shape)
        };
        let (received, sent) = (next()?, next()?);
        Ok(Self { received, sent, roles: None })
    }

    /// What the peer reads and writes, where the fingerprints settle it: what this side does, too.
    pub(super) fn matched(&self, theirs: Fingerprints) -> (Option<Shape>, Option<Shape>) {
        let told =
            |ours: &Option<Shape>, theirs: Option<u64>| ours.clone().filter(|_| theirs.is_some());
        (told(&self.sent, theirs.received), told(&self.received, theirs.sent))
    }

    /// Whether each side reads what the other one writes. Both sides come to the same: what was cut off a description
    /// is not looked at in the whole one either.
    pub(super) fn compare(&self, theirs: &Self) -> Result<(), Disagreement> {
        let roles = self.roles.and_then(|(ours, theirs)| Some((ours, theirs?)));
        let (to_theirs, to_ours) = (roles, roles.map(|(ours, theirs)| (theirs, ours)));
        if let (Some(sent), Some(received)) = (&self.sent, &theirs.received) {
            if let Some(sent) = told(sent.description())? {
                let read = read_by(&sent, received, to_theirs);
                read.map_err(|at| Disagreement::Shapes(at.to_sender()))?;
            }
        }
        if let (Some(sent), Some(received)) = (&theirs.sent, &self.received) {
            if let Some(received) = told(received.description())? {
                let read = read_by(sent, &received, to_ours);
                read.map_err(|at| Disagreement::Shapes(at.to_receiver()))?;
            }
        }
        Ok(())
    }
}

/// Whether what a writer sends is read as meant; of calls by the roles of the writer and of the reader.
fn read_by(
    sent: &Shape,
    received: &Shape,
    roles: Option<(Roles, Roles)>,
) -> Result<(), Difference> {
    match roles {
        Some((writer, reader)) => reader.compare(received, writer, sent),
        None => sent.read_by(received),
    }
}

/// The shape of a description, which an empty one does not have.
fn told(description: &[u8]) -> Result<Option<Shape>, Disagreement> {
    match description {
        [] => Ok(None),
        description => Shape::told(description).map(Some).map_err(|_| Disagreement::Garbled),
    }
}

impl Fingerprints {
    /// Those of a side that knows only later what its messages are: whatever the other side tells is left open.
    pub(super) const LATER: Self = Self { received: Some(0), sent: None, asks: true };

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let told = |fingerprint: Option<u64>, flag| fingerprint.map_or(0, |_| flag);
        let asks = if self.asks { ASKS } else { 0 };
        let mut bytes = vec![told(self.received, RECEIVED) | told(self.sent, SENT) | asks];
        bytes.extend_from_slice(&self.received.unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(&self.sent.unwrap_or(0).to_be_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Further bytes are left to later editions.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Disagreement> {
        let parse = || {
            let (&flags, rest) = bytes.split_first()?;
            let (received, rest) = rest.split_first_chunk()?;
            let sent = rest.first_chunk()?;
            let told =
                |bytes: &[u8; 8], flag| (flags & flag != 0).then_some(u64::from_be_bytes(*bytes));
            let asks = flags & ASKS != 0;
            Some(Self { received: told(received, RECEIVED), sent: told(sent, SENT), asks })
        };
        parse().ok_or(Disagreement::Garbled)
    }

    /// Those of a side that asks only where it does not tell what it sends.
    fn as_told(self) -> Self {
        Self { asks: self.sent.is_none(), ..self }
    }

    /// Whether the fingerprints do not settle it, so that both sides describe their messages.
    pub(super) fn leave_open(self, theirs: Self) -> bool {
        let differ = |sent: Option<u64>, received: Option<u64>| {
            sent.zip(received).is_some_and(|(sent, received)| sent != received)
        };
        let one_way = |sender: Self, receiver: Self| {
            differ(sender.sent, receiver.received) || (sender.asks && receiver.received.is_some())
        };
        one_way(self, theirs) || one_way(theirs, self)
    }
}

/// The bytes of a second round, as they come in: two lengths, each with its description.
#[derive(Debug)]
pub(super) struct SecondRound {
    bytes: Vec<u8>,
    got: usize,
    /// How many descriptions have begun.
    begun: u8,
}

impl SecondRound {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; 4], got: 0, begun: 0 }
    }

    /// The room for the next read; empty once all is there.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.got..).unwrap_or_default()
    }

    /// Notes a read into the room.
    pub(super) fn got(&mut self, bytes: usize) -> Result<(), Disagreement> {
        self.got += bytes;
        while self.got == self.bytes.len() && self.begun < 2 {
            let at = self.got - 4;
            let len = self.bytes.get(at..).and_then(<[u8]>::first_chunk).copied();
            let len = usize::try_from(u32::from_be_bytes(len.unwrap_or_default()));
            let len =
                len.ok().filter(|len| *len <= LONGEST_DESCRIPTION).ok_or(Disagreement::Garbled)?;
            self.begun += 1;
            let next_length = if self.begun < 2 { 4 } else { 0 };
            self.bytes.resize(self.got + len + next_length, 0);
        }
        Ok(())
    }

    pub(super) fn is_whole(&self) -> bool {
        self.begun == 2 && self.got == self.bytes.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
