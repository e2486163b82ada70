//! What goes back and forth before the first message.

use std::io;

use crate::connection::{ReadHalf, WriteHalf};
use crate::error::{Disagreement, Error, Operation};
use crate::wire::short_text;

/// What one side tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) sends_handles: bool,
    pub(super) allows_handles: bool,
    pub(super) max_payload: u64,
    pub(super) framing: String,
    pub(super) codec: String,
    pub(super) sending: String,
    pub(super) receiving: String,
}

/// What a handshake begins with: a word that is no length, a mark, the version, the flags, and a length.
const HEAD: usize = 12;
const MARK: [u8; 8] = *b"\xff\xff\xff\x02tpip";
const VERSION: u8 = 1;

impl Terms {
    fn to_bytes(&self) -> Vec<u8> {
        let mut body = self.max_payload.to_be_bytes().to_vec();
        for string in [&self.framing, &self.codec, &self.sending, &self.receiving] {
            short_text::write(string, &mut body);
        }
        let flags = u8::from(self.sends_handles) | (u8::from(self.allows_handles) << 1);
        let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
        let mut bytes = MARK.to_vec();
        bytes.extend_from_slice(&[VERSION, flags]);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The terms of a body whose head told of these flags; `None` where it is cut.
    fn from_body(flags: u8, mut body: &[u8]) -> Option<Self> {
        let (max_payload, rest) = body.split_first_chunk()?;
        body = rest;
        let mut string = || {
            let (text, rest) = short_text::read(body)?;
            body = rest;
            Some(text)
        };
        Some(Self {
            sends_handles: flags & 1 != 0,
            allows_handles: flags & 2 != 0,
            max_payload: u64::from_be_bytes(*max_payload),
            framing: string()?,
            codec: string()?,
            sending: string()?,
            receiving: string()?,
        })
    }

    /// Whether the two sides understand each other.
    fn compare(&self, theirs: &Self) -> Result<(), Disagreement> {
        let differ = |what, ours: &str, theirs: &str| {
            Err(Disagreement::Differs { what, ours: ours.to_owned(), theirs: theirs.to_owned() })
        };
        let both_named = |ours: &str, theirs: &str| !ours.is_empty() && !theirs.is_empty();
        if self.framing != theirs.framing {
            return differ("the framing", &self.framing, &theirs.framing);
        }
        if self.codec != theirs.codec {
            return differ("the codec", &self.codec, &theirs.codec);
        }
        if both_named(&self.sending, &theirs.receiving) && self.sending != theirs.receiving {
            return differ("what this side sends", &self.sending, &theirs.receiving);
        }
        if both_named(&self.receiving, &theirs.sending) && self.receiving != theirs.sending {
            return differ("what this side receives", &self.receiving, &theirs.sending);
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

/// The two sides have told each other; what that comes to is not known yet.
pub(crate) type HandshakeDone<M> = (HandshakeState, ReadHalf<M>, WriteHalf<M>);

/// What one side tells and hears before the first message: exactly that, and nothing after it.
///
/// A driver writes what is [pending](Self::pending), and then reads into the [room](Self::room) as long as there is any.
#[derive(Debug)]
pub(crate) struct HandshakeState {
    ours: Terms,
    /// What is to be told, and how much of it was.
    told: Vec<u8>,
    sent: usize,
    /// What is heard, and how much of it has come.
    heard: Vec<u8>,
    got: usize,
    has_left: bool,
}

impl HandshakeState {
    pub(super) fn new(ours: Terms) -> Self {
        let told = ours.to_bytes();
        Self { ours, told, sent: 0, heard: vec![0; HEAD], got: 0, has_left: false }
    }

    /// What is to be written next; `None` when all is.
    pub(crate) fn pending(&self) -> Option<&[u8]> {
        self.told.get(self.sent..).filter(|rest| !rest.is_empty())
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// Room for what is to be read next; `None` when nothing more is expected.
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        if self.has_left {
            return None;
        }
        self.heard.get_mut(self.got..).filter(|room| !room.is_empty())
    }

    /// Notes what was read; nothing, where the other side has left. It may have left without hearing this one: what it
    /// said before that counts all the same.
    pub(crate) fn got(&mut self, read: io::Result<usize>) -> io::Result<()> {
        let bytes = match read {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            read => read?,
        };
        self.got += bytes;
        self.has_left = bytes == 0;
        if self.got == HEAD {
            if let Some((_, len)) = self.head().ok().flatten() {
                self.heard.resize(HEAD + usize::from(len), 0);
            }
        }
        Ok(())
    }

    /// The flags of what was heard, and the length of its body; `None` where the other side has left.
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
            // What has come is how a handshake begins.
            begun if MARK.starts_with(begun) || begun.starts_with(&MARK) => Ok(None),
            _ => foreign(),
        }
    }

    /// What the other side has told, if this one understands it.
    pub(super) fn conclude(&self) -> Result<Terms, Error> {
        let disagree = |what: Disagreement| Error::new(Operation::Agree, what);
        let body = self.heard.get(HEAD..self.got).unwrap_or_default();
        let flags = match self.head().map_err(disagree)? {
            Some((flags, len)) if body.len() == usize::from(len) => flags,
            _ => {
                let left = io::Error::from(io::ErrorKind::BrokenPipe);
                return Err(Error::new(Operation::Agree, left));
            }
        };
        let theirs = Terms::from_body(flags, body).ok_or_else(|| {
            let bytes = self.heard.get(..HEAD).unwrap_or_default().to_vec();
            disagree(Disagreement::Foreign { bytes })
        })?;
        self.ours.compare(&theirs).map_err(disagree)?;
        Ok(theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        // What a later version may add.
        assert_eq!(read(&[&bytes[..], b"more"].concat()), Some(terms()));
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
            (Terms { sends_handles: true, ..mirrored }, "what this side receives"),
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
}
