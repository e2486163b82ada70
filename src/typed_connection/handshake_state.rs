//! The bytes of the handshake, in every mode.

use std::io;

use super::handshake_names::Names;
use super::handshake_parts::{Parts, Tag};
use super::handshake_shapes::{Announcement, Fingerprints, SecondRound};
use crate::connection::{ReadHalf, WriteHalf};
use crate::error::{Disagreement, Error, Operation};
use crate::wire::shape::Shape;
use crate::wire::short_text;

/// The terms that one side sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) sends_handles: bool,
    pub(super) allows_handles: bool,
    pub(super) max_payload: u64,
    pub(super) framing: String,
    pub(super) codec: String,
    pub(super) sending: String,
    pub(super) receiving: String,
    pub(super) parts: Parts,
}

/// The length of the head of a handshake: a word that is no length, a mark, the version, the flags, and a length.
const HEAD: usize = 12;
const MARK: [u8; 8] = *b"\xff\xff\xff\x02tpip";
const VERSION: u8 = 1;

impl Terms {
    fn to_bytes(&self) -> Vec<u8> {
        let mut body = self.max_payload.to_be_bytes().to_vec();
        for string in [&self.framing, &self.codec, &self.sending, &self.receiving] {
            short_text::write(string, &mut body);
        }
        self.parts.write(&mut body);
        let flags = u8::from(self.sends_handles) | (u8::from(self.allows_handles) << 1);
        let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
        let mut bytes = MARK.to_vec();
        bytes.extend_from_slice(&[VERSION, flags]);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Parses the terms of a body, with the flags of its head; `None` if it is cut.
    fn from_body(flags: u8, mut body: &[u8]) -> Option<Self> {
        let (max_payload, rest) = body.split_first_chunk()?;
        body = rest;
        let mut string = || {
            let (text, rest) = short_text::read(body)?;
            body = rest;
            Some(text)
        };
        let [framing, codec, sending, receiving] = [string()?, string()?, string()?, string()?];
        Some(Self {
            sends_handles: flags & 1 != 0,
            allows_handles: flags & 2 != 0,
            max_payload: u64::from_be_bytes(*max_payload),
            framing,
            codec,
            sending,
            receiving,
            parts: Parts::read(body)?,
        })
    }

    /// What they tell of the messages.
    fn fingerprints(&self) -> Result<Option<Fingerprints>, Disagreement> {
        self.parts.get(Tag::Shapes).map(Fingerprints::from_bytes).transpose()
    }

    /// Checks that the terms of the two sides match, and tells the name on which they agree.
    fn compare(&self, theirs: &Self) -> Result<Option<String>, Disagreement> {
        if let Some(words) = theirs.parts.get(Tag::Refused) {
            let words = match words {
                [] => "it gives no reason".to_owned(),
                words => String::from_utf8_lossy(words).into_owned(),
            };
            return Err(Disagreement::Refused(words));
        }
        self.compare_strings(theirs)?;
        let name = self.agree(theirs)?;
        self.compare_kinds(theirs)?;
        Ok(name)
    }

    /// The name of the protocol on which both sides agree, if both name one.
    fn agree(&self, theirs: &Self) -> Result<Option<String>, Disagreement> {
        match (self.names()?, theirs.names()?) {
            (None, None) => Ok(None),
            (Some(ours), Some(theirs)) => ours.agree(&theirs),
            (Some(ours), None) => ours.agree(&theirs.named_before(self)),
            (None, Some(names)) => self.named_before(theirs).agree(&names),
        }
    }

    fn names(&self) -> Result<Option<Names>, Disagreement> {
        let read = |bytes| Names::from_bytes(bytes).ok_or(Disagreement::GarbledNames);
        self.parts.get(Tag::Names).map(read).transpose()
    }

    /// The name of a side that accepts one alone: its identifier, which nothing on the other side is compared with.
    fn named_before(&self, other: &Self) -> Names {
        let compared = !(other.sending.is_empty() && other.receiving.is_empty());
        let (sending, receiving) = (&self.sending, &self.receiving);
        let name = match (sending.is_empty(), receiving.is_empty()) {
            _ if compared => None,
            (false, true) => Some(sending),
            (true, false) => Some(receiving),
            _ => Some(sending).filter(|_| sending == receiving),
        };
        Names { names: Names::of(name), required: false }
    }

    /// Checks that the two sides speak the same wire.
    pub(super) fn compare_wires(&self, theirs: &Self) -> Result<(), Disagreement> {
        if self.framing != theirs.framing {
            return differ("the framing", &self.framing, &theirs.framing);
        }
        if self.codec != theirs.codec {
            return differ("the codec", &self.codec, &theirs.codec);
        }
        Ok(())
    }

    fn compare_strings(&self, theirs: &Self) -> Result<(), Disagreement> {
        let both_named = |ours: &str, theirs: &str| !ours.is_empty() && !theirs.is_empty();
        self.compare_wires(theirs)?;
        if both_named(&self.sending, &theirs.receiving) && self.sending != theirs.receiving {
            return differ("what this side sends", &self.sending, &theirs.receiving);
        }
        if both_named(&self.receiving, &theirs.sending) && self.receiving != theirs.sending {
            return differ("what this side receives", &self.receiving, &theirs.sending);
        }
        Ok(())
    }

    fn compare_kinds(&self, theirs: &Self) -> Result<(), Disagreement> {
        let layer = |terms: &Self| match terms.parts.get(Tag::Calls) {
            Some(_) => "calls",
            None => "messages",
        };
        if layer(self) != layer(theirs) {
            return differ("what the connection is for", layer(self), layer(theirs));
        }
        let handles = |with: bool| if with { "with handles" } else { "without handles" };
        if self.sends_handles != theirs.allows_handles {
            let (ours, theirs) = (handles(self.sends_handles), handles(theirs.allows_handles));
            return differ("what this side sends", ours, theirs);
        }
        if self.allows_handles != theirs.sends_handles {
            let (ours, theirs) = (handles(self.allows_handles), handles(theirs.sends_handles));
            return differ("what this side receives", ours, theirs);
        }
        Ok(())
    }
}

fn differ(what: &'static str, ours: &str, theirs: &str) -> Result<(), Disagreement> {
    Err(Disagreement::Differs { what, ours: ours.to_owned(), theirs: theirs.to_owned() })
}

/// The exchanged terms, not compared yet.
pub(crate) type HandshakeDone<M> = (HandshakeState, ReadHalf<M>, WriteHalf<M>);

/// What both sides have agreed upon.
#[derive(Debug)]
pub(super) struct Agreed {
    /// The largest payload that the peer takes.
    pub(super) max_payload: u64,
    /// What the peer reads, as far as it tells.
    pub(super) reads: Option<Shape>,
    /// What the peer writes, as far as it tells.
    pub(super) writes: Option<Shape>,
}

/// The exchange of one side before the first message: exactly its bytes, and none after them.
///
/// A driver writes the [pending](Self::pending) bytes, then reads once into the [room](Self::room), and so on until there
/// is neither.
#[derive(Debug)]
pub(crate) struct HandshakeState {
    ours: Terms,
    /// What this side tells of its messages; `None` if it tells nothing.
    announcement: Option<Announcement>,
    /// What the terms told of it.
    fingerprints: Option<Fingerprints>,
    requires_shape: bool,
    /// The bytes to send, and how many of them are sent.
    told: Vec<u8>,
    sent: usize,
    /// The bytes of the peer's terms, and how many of them have come.
    heard: Vec<u8>,
    got: usize,
    /// The terms themselves, once all of them have come, if this side understands them.
    theirs: Option<Terms>,
    /// The descriptions of the peer, if there is a second round.
    second: Option<SecondRound>,
    /// Why the second round says nothing.
    garbled: Option<Disagreement>,
    has_left: bool,
}

impl HandshakeState {
    pub(super) fn new(
        ours: Terms,
        announcement: Option<Announcement>,
        requires_shape: bool,
    ) -> Self {
        let fingerprints = announcement.as_ref().map(Announcement::fingerprints);
        Self::telling(ours, fingerprints, announcement, requires_shape)
    }

    /// One whose messages are [told](Self::describe_as) only once the terms are exchanged; or never, if nothing is told of them.
    pub(super) fn undecided(ours: Terms, tells: bool, requires_shape: bool) -> Self {
        let fingerprints = tells.then_some(Fingerprints::LATER);
        Self::telling(ours, fingerprints, None, requires_shape)
    }

    fn telling(
        mut ours: Terms,
        fingerprints: Option<Fingerprints>,
        announcement: Option<Announcement>,
        requires_shape: bool,
    ) -> Self {
        if let Some(fingerprints) = fingerprints {
            ours.parts.set(Tag::Shapes, fingerprints.to_bytes());
        }
        if let Some((roles, _)) = announcement.as_ref().and_then(|announcement| announcement.roles)
        {
            ours.parts.set(Tag::Roles, roles.to_bytes());
        }
        let told = ours.to_bytes();
        Self {
            ours,
            announcement,
            fingerprints,
            requires_shape,
            told,
            sent: 0,
            heard: vec![0; HEAD],
            got: 0,
            theirs: None,
            second: None,
            garbled: None,
            has_left: false,
        }
    }

    /// The bytes to write next; `None` when all are written.
    pub(crate) fn pending(&self) -> Option<&[u8]> {
        self.told.get(self.sent..).filter(|rest| !rest.is_empty())
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// The room for the next read; `None` when nothing more is expected.
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        if self.has_left || self.garbled.is_some() || self.is_undecided() {
            return None;
        }
        let room = match &mut self.second {
            Some(second) => second.room(),
            None => self.heard.get_mut(self.got..).unwrap_or_default(),
        };
        Some(room).filter(|room| !room.is_empty())
    }

    /// Whether there is a second round, which a peer begins only once it has the terms of this side.
    pub(crate) fn has_second_round(&self) -> bool {
        self.second.is_some()
    }

    /// Whether nothing more is to be said or heard.
    #[cfg(feature = "service")]
    pub(crate) fn is_done(&mut self) -> bool {
        !self.is_undecided() && self.pending().is_none() && self.room().is_none()
    }

    /// In how many bytes the peer describes its messages.
    #[cfg(feature = "service")]
    pub(crate) fn described(&self) -> usize {
        self.second.as_ref().map_or(0, |second| second.bytes().len())
    }

    /// Whether the terms of the peer are here.
    #[cfg(feature = "service")]
    pub(crate) fn has_terms(&self) -> bool {
        self.theirs.is_some()
    }

    /// Notes a read; an empty one means that the peer has left. A peer that has left without reading this side's terms
    /// still has its own terms count.
    pub(crate) fn got(&mut self, read: io::Result<usize>) -> io::Result<()> {
        let bytes = match read {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            read => read?,
        };
        self.has_left = bytes == 0;
        if let Some(second) = &mut self.second {
            self.garbled = second.got(bytes).err();
            return Ok(());
        }
        self.got += bytes;
        if self.got == HEAD {
            if let Some((_, len)) = self.head().ok().flatten() {
                self.heard.resize(HEAD + usize::from(len), 0);
            }
        }
        if bytes > 0 && self.got == self.heard.len() {
            self.theirs = self.parsed();
            self.describe();
        }
        Ok(())
    }

    /// Begins the second round, if the terms match and leave open whether the messages do.
    fn describe(&mut self) {
        let Some(ours) = self.fingerprints else { return };
        let Ok((theirs, _)) = self.compared() else { return };
        let told = theirs.fingerprints().ok().flatten();
        let roles = theirs.parts.get(Tag::Roles).map(<[u8]>::to_vec);
        if let Some(announcement) = &mut self.announcement {
            announcement.meet(roles.as_deref());
        }
        let leave_open = |theirs| match &self.announcement {
            Some(announcement) => announcement.leaves_open(ours, theirs),
            None => ours.leave_open(theirs),
        };
        if told.is_some_and(leave_open) {
            let described = self.announcement.as_ref().map(Announcement::to_bytes);
            self.told.extend(described.unwrap_or_default());
            self.second = Some(SecondRound::new());
        }
    }

    /// Whether the second round waits until this side knows what its messages are.
    fn is_undecided(&self) -> bool {
        self.second.is_some() && self.announcement.is_none()
    }

    /// Tells of the messages what was left open.
    pub(super) fn describe_as(&mut self, announcement: Option<Announcement>) {
        if let Some(announcement) = announcement.filter(|_| self.announcement.is_none()) {
            if self.second.is_some() {
                self.told.extend(announcement.to_bytes());
            }
            self.announcement = Some(announcement);
        }
    }

    /// The name of the protocol on which both sides agree, if both name one.
    pub(super) fn protocol(&self) -> Result<Option<String>, Error> {
        self.compared().map(|(_, name)| name)
    }

    /// Whether both sides have found that they do not match, and nothing else of either one is on its way.
    pub(super) fn is_whole(&self) -> bool {
        let Ok(theirs) = self.understood() else { return false };
        if self.has_left || self.pending().is_some() {
            return false;
        }
        if let Some(second) = &self.second {
            return second.is_whole();
        }
        let ours = &self.ours;
        // An earlier edition compares the strings alone.
        let both_name = theirs.parts.get(Tag::Names).is_some();
        let refused = theirs.parts.get(Tag::Refused).is_some();
        let differ =
            theirs.compare_strings(ours).is_err() || (both_name && theirs.compare(ours).is_err());
        differ && !refused
    }

    /// Whether this side receives handles.
    pub(super) fn allows_handles(&self) -> bool {
        self.ours.allows_handles
    }

    /// Goes through the whole exchange with the other side in this process.
    pub(super) fn talk_with(&mut self, other: &mut Self) -> io::Result<()> {
        while self.tell(other)? | other.tell(self)? {}
        Ok(())
    }

    /// Gives the other side what it has room for; returns whether that was anything.
    fn tell(&mut self, other: &mut Self) -> io::Result<bool> {
        let (Some(bytes), Some(room)) = (self.pending(), other.room()) else { return Ok(false) };
        let told = bytes.len().min(room.len());
        room.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
        self.sent(told);
        other.got(Ok(told))?;
        Ok(true)
    }

    /// What the peer said in a part of its terms. It is there once the exchange is done.
    #[allow(dead_code, reason = "some are of features")]
    pub(crate) fn theirs(&self, tag: Tag) -> Option<Vec<u8>> {
        self.understood().ok()?.parts.get(tag).map(<[u8]>::to_vec)
    }

    /// The flags in the peer's head, and the length of its body; `None` if the peer has left.
    fn head(&self) -> Result<Option<(u8, u16)>, Disagreement> {
        let heard = self.heard.get(..self.got.min(HEAD)).unwrap_or_default();
        let foreign = || Err(Disagreement::Foreign { bytes: heard.to_vec() });
        match heard {
            [mark @ .., version, flags, high, low] if heard.len() == HEAD => {
                if *mark != MARK {
                    return foreign();
                }
                if *version != VERSION {
                    return Err(Disagreement::Version { ours: VERSION, theirs: *version });
                }
                Ok(Some((*flags, u16::from_be_bytes([*high, *low]))))
            }
            // The bytes so far begin a handshake.
            begun if MARK.starts_with(begun) || begun.starts_with(&MARK) => Ok(None),
            _ => foreign(),
        }
    }

    /// What both sides agree upon.
    pub(super) fn conclude(&self) -> Result<Agreed, Error> {
        let (theirs, _) = self.compared()?;
        let disagree = |what: Disagreement| Error::new(Operation::Agree, what);
        let (reads, writes) = match (&self.announcement, theirs.fingerprints().map_err(disagree)?) {
            (Some(ours), Some(theirs)) => self.shapes(ours, theirs)?,
            _ if self.requires_shape => return Err(disagree(Disagreement::NoShape)),
            _ => (None, None),
        };
        Ok(Agreed { max_payload: theirs.max_payload, reads, writes })
    }

    /// What the peer reads and writes.
    fn shapes(
        &self,
        ours: &Announcement,
        theirs: Fingerprints,
    ) -> Result<(Option<Shape>, Option<Shape>), Error> {
        let disagree = |what: Disagreement| Error::new(Operation::Agree, what);
        if let Some(what) = &self.garbled {
            return Err(disagree(what.clone()));
        }
        let Some(second) = &self.second else {
            return Ok(ours.matched(theirs));
        };
        if !second.is_whole() {
            return Err(has_left());
        }
        let theirs = Announcement::from_bytes(second.bytes()).map_err(disagree)?;
        ours.compare(&theirs).map_err(disagree)?;
        Ok((theirs.received, theirs.sent))
    }

    /// The terms of the peer, if they match those of this side, and the name of the protocol.
    fn compared(&self) -> Result<(&Terms, Option<String>), Error> {
        let theirs = self.understood()?;
        let compared = self.ours.compare(theirs);
        let name = compared.map_err(|what| Error::new(Operation::Agree, what))?;
        Ok((theirs, name))
    }

    /// The terms of the peer, if this side understands them.
    pub(super) fn understood(&self) -> Result<&Terms, Error> {
        let disagree = |what: Disagreement| Error::new(Operation::Agree, what);
        match self.head().map_err(disagree)? {
            Some(_) if self.got == self.heard.len() => self.theirs.as_ref().ok_or_else(|| {
                let bytes = self.heard.get(..HEAD).unwrap_or_default().to_vec();
                disagree(Disagreement::Foreign { bytes })
            }),
            _ => Err(has_left()),
        }
    }

    fn parsed(&self) -> Option<Terms> {
        let (flags, _) = self.head().ok()??;
        Terms::from_body(flags, self.heard.get(HEAD..)?)
    }
}

/// The error of a peer that has left before it said all.
fn has_left() -> Error {
    Error::new(Operation::Agree, io::Error::from(io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;
    use crate::error::ErrorKind;
    use crate::typed_connection::Handshake;

    fn terms() -> Terms {
        Handshake::new().sending("event/1").receiving("command/1").terms(true, false)
    }

    fn read(bytes: &[u8]) -> Option<Terms> {
        let (head, body) = bytes.split_at_checked(HEAD)?;
        Terms::from_body(*head.get(9)?, body)
    }

    #[test]
    fn golden_bytes() {
        let bytes = Handshake::new().sending("a").terms(true, false).to_bytes();
        let want = b"\xff\xff\xff\x02tpip\x01\x01\x00\x24\x00\x00\x00\x00\x00\x80\x00\x00\
            \x0flength-prefixed\x08postcard\x01a\x00";
        assert_eq!(bytes, want);
    }

    #[test]
    fn reads_what_it_wrote_and_no_less() {
        let bytes = terms().to_bytes();
        assert_eq!(read(&bytes), Some(terms()));
        for cut in HEAD..bytes.len() {
            assert_eq!(read(&bytes[..cut]), None, "{cut}");
        }
        let mut more = terms();
        more.parts.set(Tag::Names, b"event/2".to_vec());
        assert_eq!(read(&more.to_bytes()), Some(more));
        assert_eq!(read(&[&bytes[..], b"\xF0\0\x01"].concat()), None, "a part that is cut");
    }

    #[test]
    fn d7_what_differs_is_named() {
        let mirrored = Terms {
            sends_handles: false,
            allows_handles: true,
            sending: "command/1".into(),
            receiving: "event/1".into(),
            ..terms()
        };
        assert!(terms().compare(&mirrored).is_ok());
        let silent = Terms { sending: String::new(), receiving: String::new(), ..mirrored.clone() };
        assert!(terms().compare(&silent).is_ok());
        let words = |theirs: Terms| terms().compare(&theirs).unwrap_err().to_string();
        for (theirs, want) in [
            (Terms { framing: "checked".into(), ..mirrored.clone() }, "the framing"),
            (Terms { codec: "json".into(), ..mirrored.clone() }, "the codec"),
            (Terms { receiving: "event/2".into(), ..mirrored.clone() }, "what this side sends"),
            (Terms { sending: "command/2".into(), ..mirrored.clone() }, "what this side receives"),
            (Terms { allows_handles: false, ..mirrored.clone() }, "what this side sends"),
            (Terms { sends_handles: true, ..mirrored.clone() }, "what this side receives"),
            (
                {
                    let mut calls = mirrored;
                    calls.parts.set(Tag::Calls, Vec::new());
                    calls
                },
                "what the connection is for",
            ),
        ] {
            assert!(words(theirs).contains(want), "{want}");
        }
    }

    #[test]
    fn long_identifiers_are_cut_between_letters() {
        let long = "é".repeat(200);
        let bytes = Handshake::new().sending(long).terms(false, false).to_bytes();
        assert_eq!(read(&bytes).unwrap().sending, "é".repeat(127));
    }

    fn told<Out: serde::de::DeserializeOwned, In: serde::de::DeserializeOwned>() -> Announcement {
        use crate::wire::shape::Style;
        Announcement {
            received: Some(Shape::of::<In>(Style::Positional)),
            sent: Some(Shape::of::<Out>(Style::Positional)),
            roles: None,
        }
    }

    fn state(announcement: Announcement) -> HandshakeState {
        HandshakeState::new(Handshake::new().terms(false, false), Some(announcement), false)
    }

    /// Gives a side the bytes of another one, in pieces, and tells how many it has taken.
    fn hear(state: &mut HandshakeState, mut bytes: &[u8], piece: usize) -> usize {
        let all = bytes.len();
        while let Some(room) = state.room() {
            let len = room.len().min(bytes.len()).min(piece);
            room[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            state.got(Ok(len)).unwrap();
        }
        all - bytes.len()
    }

    #[test]
    fn equal_fingerprints_need_no_second_round() {
        let (mut one, other) = (state(told::<u8, String>()), state(told::<String, u8>()));
        let bytes = other.pending().unwrap().to_vec();
        assert_eq!(hear(&mut one, &bytes, 7), bytes.len());
        assert!(one.second.is_none());
        let agreed = one.conclude().unwrap();
        assert_eq!(agreed.reads.unwrap().to_string(), "u8");
        assert_eq!(agreed.writes.unwrap().to_string(), "text");
    }

    #[cfg(feature = "service")]
    #[test]
    fn two_sides_of_calls_with_the_same_types_need_no_second_round() {
        use crate::typed_connection::Roles;
        use crate::wire::shape::Style;

        type ShapeOf = fn(Style) -> Shape;
        let side = |serves, reads: ShapeOf, sends: ShapeOf| {
            Handshake::new().begin_calls(Roles { serves, calls: !serves }, reads, sends)
        };
        let client = || side(false, Shape::of::<u8>, Shape::of::<String>);
        let reads = |side: &HandshakeState| side.conclude().unwrap().reads.unwrap().to_string();
        let meet = |one: &mut HandshakeState, other: &mut HandshakeState| {
            one.talk_with(other).unwrap();
            [one.has_second_round(), other.has_second_round()]
        };
        let mut one = client();
        assert_eq!(one.ours.parts.get(Tag::Roles), Some(&[2][..]));
        let mut other = side(true, Shape::of::<String>, Shape::of::<u8>);
        assert_eq!(other.ours.parts.get(Tag::Roles), Some(&[1][..]));
        assert_eq!(meet(&mut one, &mut other), [false, false]);
        assert_eq!([reads(&one), reads(&other)], ["text", "u8"]);
        let (mut one, mut other) = (client(), side(true, Shape::of::<u32>, Shape::of::<u8>));
        assert_eq!(meet(&mut one, &mut other), [true, true]);
        for side in [one, other] {
            assert_eq!(side.conclude().unwrap_err().kind(), ErrorKind::Mismatch);
        }
        // An earlier edition tells what it reads alone, whatever it sends.
        let received = Some(Shape::of::<u32>(Style::Positional));
        let mut earlier = state(Announcement { received, sent: None, roles: None });
        let mut one = client();
        assert_eq!(meet(&mut one, &mut earlier), [true, true]);
        assert_eq!([reads(&one), reads(&earlier)], ["u32", "u8"]);
    }

    fn undecided(names: &[&str]) -> HandshakeState {
        Handshake::new().protocols(names.iter().copied()).undecided()
    }

    #[test]
    fn a_side_that_decides_later_waits_before_its_second_round() {
        let (mut one, mut other) = (undecided(&["2", "1"]), undecided(&["1"]));
        let first = [one.pending().unwrap().to_vec(), other.pending().unwrap().to_vec()];
        assert_eq!(hear(&mut one, &first[1], 5), first[1].len());
        assert_eq!(hear(&mut other, &first[0], 1000), first[0].len());
        for (side, said) in [(&mut one, &first[0]), (&mut other, &first[1])] {
            side.sent(said.len());
            assert_eq!(side.protocol().unwrap().as_deref(), Some("1"));
            assert!(side.pending().is_none() && side.room().is_none());
        }
        one.describe_as(Some(told::<u8, String>()));
        other.describe_as(Some(told::<String, u16>()));
        let second = [one.pending().unwrap().to_vec(), other.pending().unwrap().to_vec()];
        hear(&mut one, &second[1], 3);
        hear(&mut other, &second[0], 1000);
        for (side, said) in [(&mut one, &second[0]), (&mut other, &second[1])] {
            assert!(!side.is_whole(), "its own bytes are not sent");
            side.sent(said.len());
            assert_eq!(side.conclude().unwrap_err().kind(), ErrorKind::Mismatch);
            assert!(side.is_whole());
        }
    }

    #[test]
    fn a_side_that_decided_at_once_describes_its_messages_to_one_that_decides_later() {
        let (mut one, mut other) = (undecided(&["1"]), state(told::<String, u8>()));
        let bytes = other.pending().unwrap().to_vec();
        hear(&mut one, &bytes, 100);
        let bytes = one.pending().unwrap().to_vec();
        let said = other.pending().unwrap().len();
        other.sent(said);
        assert_eq!(hear(&mut other, &bytes, 100), bytes.len());
        assert_eq!(other.pending(), Some(&told::<String, u8>().to_bytes()[..]));
        let second = other.pending().unwrap().to_vec();
        one.describe_as(Some(told::<u8, String>()));
        hear(&mut one, &second, 100);
        assert!(one.conclude().is_ok());
    }

    #[test]
    fn the_second_round_has_its_bytes_and_none_after_them() {
        for piece in [1, 3, 1000] {
            let (mut one, other) = (state(told::<u8, String>()), state(told::<String, u16>()));
            let first = other.pending().unwrap().to_vec();
            let mut bytes = [first, told::<String, u16>().to_bytes()].concat();
            let len = bytes.len();
            bytes.extend_from_slice(b"a message");
            assert_eq!(hear(&mut one, &bytes, piece), len);
            let words = one.conclude().unwrap_err().to_string();
            assert!(
                words.contains("what this side sends: `message`: u8 here, u16 there"),
                "{words}"
            );
        }
    }

    #[test]
    fn what_a_peer_tells_again_is_understood_whatever_others_told_meanwhile() {
        fn reads<T: serde::de::DeserializeOwned>() -> String {
            use crate::wire::shape::Style;
            let asking = |received| {
                state(Announcement { received: Some(received), sent: None, roles: None })
            };
            let mut one = asking(Shape::of::<u8>(Style::Positional));
            let other = asking(Shape::of::<T>(Style::Positional));
            let second = other.announcement.as_ref().unwrap().to_bytes();
            hear(&mut one, &[other.pending().unwrap(), &second].concat(), 100);
            one.conclude().unwrap().reads.unwrap().to_string()
        }
        for _ in 0..2 {
            let read = [reads::<u8>(), reads::<u16>(), reads::<u32>(), reads::<u64>()];
            assert_eq!(read, ["u8", "u16", "u32", "u64"]);
            assert_eq!([reads::<i8>(), reads::<String>()], ["i8", "text"]);
        }
    }

    #[test]
    fn descriptions_that_say_nothing_or_are_too_long_are_errors_by_name() {
        let first = || state(told::<String, u16>()).pending().unwrap().to_vec();
        for (second, kind) in [
            (&b"\0\0\0\x01?\0\0\0\0"[..], ErrorKind::Mismatch),
            (b"\0\x01\0\x01", ErrorKind::Mismatch),
            (b"\xff\xff\xff\xff", ErrorKind::Mismatch),
            (b"\0\0\0\x09abc", ErrorKind::Disconnected),
            (b"", ErrorKind::Disconnected),
        ] {
            let mut one = state(told::<u8, String>());
            hear(&mut one, &[&first(), second].concat(), 100);
            assert_eq!(one.conclude().unwrap_err().kind(), kind);
        }
        let mut one = state(told::<u8, String>());
        hear(&mut one, &[&first()[..], &[0; 8]].concat(), 100);
        assert!(one.conclude().is_ok(), "a side that tells nothing is taken at its word");
    }

    proptest! {
        #[test]
        fn any_bytes_of_a_peer_are_read_without_a_panic(
            head in any::<bool>(),
            bytes in vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            piece in 1..40_usize,
        ) {
            // Either bytes of no sense behind a head, or what another side says with some of it changed.
            let mut said = state(told::<String, u16>()).pending().unwrap().to_vec();
            said.extend_from_slice(&told::<String, u16>().to_bytes());
            if head {
                said.truncate(HEAD);
            }
            let at = at.index(said.len());
            said.splice(at..said.len().min(at + bytes.len()), bytes);
            let mut one = state(told::<u8, String>());
            let most = HEAD + usize::from(u16::MAX) + 2 * (4 + (64 << 10));
            prop_assert!(hear(&mut one, &said, piece) <= most);
            let _ = one.conclude();
            // And a side that decides later, whatever it is told before.
            let mut later = undecided(&["2", "1"]);
            let taken = hear(&mut later, &said, piece);
            let _ = (later.protocol(), later.is_whole());
            later.describe_as(Some(told::<u8, String>()));
            hear(&mut later, &said[taken..], piece);
            let _ = (later.conclude(), later.is_whole());
        }

        #[test]
        fn any_bytes_as_a_part_of_the_terms_are_read_without_a_panic(
            names in vec(any::<u8>(), 0..40),
            refused in proptest::option::of(vec(any::<u8>(), 0..40)),
        ) {
            let mut theirs = Handshake::new().terms(false, false);
            theirs.parts.set(Tag::Names, names);
            if let Some(words) = refused {
                theirs.parts.set(Tag::Refused, words);
            }
            let bytes = theirs.to_bytes();
            let mut one = undecided(&["2", "1"]);
            prop_assert!(hear(&mut one, &bytes, 100) == bytes.len());
            let _ = (one.protocol(), one.is_whole());
        }
    }
}
