//! A side of a handshake that agrees to whatever the peer says: for a tool without the types of the messages.
//!
//! Each side says its terms at once. So this one listens first, and then says the same.

use std::io;
use std::time::Duration;

use super::halves::{ReceivingHalf, SendingHalf};
use super::handshake::Handshake;
use super::handshake_parts::{Parts, Tag};
use super::handshake_shapes::Announcement;
use super::handshake_state::{HandshakeState, Terms};
use crate::channel::Anything;
use crate::connection::{Connection, ReadHalf, WriteHalf};
use crate::error::{Error, ErrorKind, Obstacle, Operation};
use crate::sys::WaitLimit;
use crate::wait::{left, within};
use crate::wire::shape::Shape;
use crate::wire::{Codec, Framing, Wire};

/// What a peer says before the first message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Said {
    /// The name of its framing.
    pub framing: String,
    /// The name of its codec.
    pub codec: String,
    /// The name of the messages that it sends; empty if it has none.
    pub sends: String,
    /// The name of the messages that it receives; empty if it has none.
    pub receives: String,
    /// The largest payload that it takes, in bytes.
    pub max_payload: u64,
    /// Whether its messages may carry handles.
    pub sends_handles: bool,
    /// Whether it takes handles beside messages.
    pub takes_handles: bool,
    /// Whether it makes or answers calls, in place of messages.
    pub calls: bool,
    /// Whether it offers shared memory.
    pub memory: bool,
}

/// A connection whose peer has said its terms, and heard none.
#[derive(Debug)]
pub struct Question {
    theirs: Terms,
    heard: Vec<u8>,
    reader: ReadHalf,
    writer: WriteHalf,
    until: WaitLimit,
}

/// A connection whose sides have agreed.
#[derive(Debug)]
pub struct Answer {
    state: HandshakeState,
    reader: ReadHalf,
    writer: WriteHalf,
    reads: Option<Shape>,
    writes: Option<Shape>,
}

/// The sender, and the receiver of messages that are taken as bytes.
pub type Told<F, C> = (SendingHalf<Anything, F, C>, ReceivingHalf<(), F, C>);

impl Question {
    /// Listens to the peer, and says nothing.
    ///
    /// # Errors
    ///
    /// Those of a [`Handshake`].
    pub fn hear(connection: Connection, timeout: Duration) -> Result<Self, Error> {
        let until = within(timeout);
        let (mut reader, writer) = connection.split();
        let mut state = HandshakeState::new(silent_terms(), None, false);
        let mut heard = Vec::new();
        while let Some(room) = state.room() {
            let got = reader.read_timeout(room, left(until));
            let got = got.map_err(|error| late(&reader, error))?;
            heard.extend_from_slice(room.get(..got).unwrap_or_default());
            let noted = state.got(Ok(got));
            noted.map_err(|error| reader.failed(Operation::Agree, error))?;
        }
        let theirs = state.understood().map_err(|error| error.at(reader.shared_path()))?;
        Ok(Self { theirs: theirs.clone(), heard, reader, writer, until })
    }

    /// What it has said.
    #[must_use]
    pub fn said(&self) -> Said {
        let Terms { sends_handles, allows_handles, max_payload, .. } = self.theirs;
        Said {
            framing: self.theirs.framing.clone(),
            codec: self.theirs.codec.clone(),
            sends: self.theirs.sending.clone(),
            receives: self.theirs.receiving.clone(),
            max_payload,
            sends_handles,
            takes_handles: allows_handles,
            calls: self.theirs.parts.get(Tag::Calls).is_some(),
            memory: self.theirs.parts.get(Tag::Memory).is_some(),
        }
    }

    /// Says the same, and asks what the messages look like.
    ///
    /// # Errors
    ///
    /// Those of a [`Handshake`]. A peer that makes calls is asked by [`AskedService`](crate::tool::AskedService).
    pub fn ask(self) -> Result<Answer, Error> {
        self.ask_with(Parts::default())
    }

    /// Says the same and some parts more, and asks what the messages look like.
    pub(crate) fn ask_with(mut self, mut parts: Parts) -> Result<Answer, Error> {
        if let Some(names) = self.theirs.parts.get(Tag::Names) {
            parts.set(Tag::Names, names.to_vec());
        }
        let mirrored = Terms {
            sends_handles: self.theirs.allows_handles,
            allows_handles: self.theirs.sends_handles,
            sending: String::new(),
            receiving: String::new(),
            parts,
            ..self.theirs
        };
        let asking = Announcement { received: None, sent: None, roles: None };
        let mut state = HandshakeState::new(mirrored, Some(asking), false);
        let mut heard = self.heard.as_slice();
        loop {
            while let Some(bytes) = state.pending() {
                let sent = self.writer.write_timeout(bytes, left(self.until))?;
                state.sent(sent);
            }
            let Some(room) = state.room() else { break };
            let got = match heard {
                [] => {
                    let got = self.reader.read_timeout(room, left(self.until));
                    got.map_err(|error| late(&self.reader, error))?
                }
                _ => {
                    let len = room.len().min(heard.len());
                    let (now, later) = heard.split_at(len);
                    room.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
                    heard = later;
                    len
                }
            };
            let noted = state.got(Ok(got));
            noted.map_err(|error| self.reader.failed(Operation::Agree, error))?;
        }
        let agreed = state.conclude().map_err(|error| error.at(self.reader.shared_path()))?;
        let (reads, writes) = (agreed.reads, agreed.writes);
        Ok(Answer { state, reader: self.reader, writer: self.writer, reads, writes })
    }
}

/// A peer that says nothing lacks a handshake, and not some bytes.
fn late(reader: &ReadHalf, error: Error) -> Error {
    match error.kind() {
        ErrorKind::TimedOut => reader.failed(Operation::Agree, io::ErrorKind::TimedOut.into()),
        _ => error,
    }
}

impl Answer {
    /// What the messages look like that the peer reads, if it tells.
    #[must_use]
    pub fn reads(&self) -> Option<&Shape> {
        self.reads.as_ref()
    }

    /// What the messages look like that the peer writes, if it tells.
    #[must_use]
    pub fn writes(&self) -> Option<&Shape> {
        self.writes.as_ref()
    }

    /// Makes the channels, on the wire that the peer has named.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](crate::ErrorKind::Mismatch) for another wire, and [`Unsupported`](crate::ErrorKind::Unsupported) if there
    /// may be handles beside the messages.
    pub fn talk<F: Framing + Clone, C: Codec + Clone>(
        self,
        wire: Wire<F, C>,
    ) -> Result<Told<F, C>, Error> {
        let handshake = Handshake::new().with_wire(wire);
        let (state, reader, writer) = self.into_parts(&handshake)?;
        handshake.conclude(&state, reader, writer)
    }

    #[cfg(feature = "service")]
    pub(crate) fn state(&self) -> &HandshakeState {
        &self.state
    }

    /// What the channels are made of, if this is the wire that the peer has named, and there are no handles.
    pub(crate) fn into_parts<F: Framing + Clone, C: Codec + Clone>(
        self,
        handshake: &Handshake<F, C>,
    ) -> Result<(HandshakeState, ReadHalf, WriteHalf), Error> {
        let theirs = self.state.understood()?;
        if theirs.sends_handles || theirs.allows_handles {
            return Err(self.reader.failed(Operation::Agree, Obstacle::NoHandlesHere.into()));
        }
        let ours = handshake.terms(false, false);
        ours.compare_wires(theirs).map_err(|what| Error::new(Operation::Agree, what))?;
        Ok((self.state, self.reader, self.writer))
    }
}

/// Terms that are not said.
fn silent_terms() -> Terms {
    Handshake::new().terms(false, false)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::wire::Json;
    use crate::{ErrorKind, Handshake};

    #[test]
    fn the_peer_meets_its_own_terms_and_is_understood_without_types() {
        let (one, other) = Connection::pair().unwrap();
        let peer = thread::spawn(move || {
            let terms = Handshake::new().sending("out/1").receiving("in/7");
            let mut peer = terms.perform::<String, Vec<u16>>(other)?;
            peer.send(&"hello".into())?;
            peer.recv()
        });
        let question = Question::hear(one, Duration::from_secs(20)).unwrap();
        let said = question.said();
        assert_eq!((said.sends.as_str(), said.receives.as_str()), ("out/1", "in/7"));
        assert_eq!((said.framing.as_str(), said.codec.as_str()), ("length-prefixed", "postcard"));
        let answer = question.ask().unwrap();
        let (reads, writes) = (answer.reads().unwrap().clone(), answer.writes().unwrap().clone());
        assert_eq!((reads.to_string(), writes.to_string()), ("list of u16".into(), "text".into()));
        let (mut sender, mut receiver) = answer.talk(Wire::default()).unwrap();
        assert_eq!(receiver.recv_bytes().unwrap(), b"\x05hello");
        sender.send_bytes(b"\x02\x07\x08").unwrap();
        assert_eq!(peer.join().unwrap().unwrap(), [7, 8]);
    }

    #[test]
    fn another_wire_than_the_one_that_was_named_is_refused() {
        let (one, other) = Connection::pair().unwrap();
        let peer = thread::spawn(move || other.into_typed::<(), ()>().map(drop));
        let answer = Question::hear(one, Duration::from_secs(20)).unwrap().ask().unwrap();
        let error = answer.talk(Wire::default().with_codec(Json)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        peer.join().unwrap().unwrap();
    }

    #[test]
    fn a_peer_that_says_nothing_or_something_else_is_an_error() {
        let (one, other) = Connection::pair().unwrap();
        let error = Question::hear(one, Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(other);
        let (one, mut other) = Connection::pair().unwrap();
        other.writer().write(b"HTTP/1.1 400 Bad Request").unwrap();
        let error = Question::hear(one, Duration::from_secs(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
    }
}
