//! The tail of the terms: parts with a tag, so that later editions can say more.

/// What one side says beside its terms, each part with its [tag](Tag). A tag that the reader does not know is skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// In the order in which they are written. A tag is there once.
    parts: Vec<(u8, Vec<u8>)>,
}

/// What a part is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "some are of features")]
pub(crate) enum Tag {
    /// What the messages look like.
    Shapes,
    /// Shared memory is offered.
    Memory,
    /// Calls are made over the connection.
    Calls,
    /// The names of the protocols that are accepted.
    Names,
    /// The connection is refused, in words.
    Refused,
    /// Which of the two sides of calls it is, whose requests and answers are compared.
    Roles,
}

/// The bytes before those of a part: its tag, and how many follow.
const HEAD: usize = 3;

impl Parts {
    /// Sets a part, in place of one with its tag.
    ///
    /// All together must have less than 60,000 bytes; a part that does not fit is not said.
    pub(crate) fn set(&mut self, tag: Tag, bytes: Vec<u8>) {
        self.parts.retain(|(other, _)| *other != tag.number());
        let taken: usize = self.parts.iter().map(|(_, part)| HEAD + part.len()).sum();
        let fits = taken + HEAD + bytes.len() < MOST;
        debug_assert!(fits, "a part of the handshake is too long");
        if fits {
            self.parts.push((tag.number(), bytes));
        }
    }

    /// The bytes of a part; `None` if it was not said.
    pub(crate) fn get(&self, tag: Tag) -> Option<&[u8]> {
        let found = self.parts.iter().find(|(other, _)| *other == tag.number());
        found.map(|(_, bytes)| bytes.as_slice())
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (tag, bytes) in &self.parts {
            out.push(*tag);
            out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }

    /// Reads what [`write`](Self::write) wrote; `None` if it is cut. Of parts with the same tag, the first one counts.
    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut parts = Vec::new();
        while let Some((&[tag, high, low], rest)) = bytes.split_first_chunk() {
            let len = usize::from(u16::from_be_bytes([high, low]));
            let (part, rest) = rest.split_at_checked(len)?;
            parts.push((tag, part.to_vec()));
            bytes = rest;
        }
        bytes.is_empty().then_some(Self { parts })
    }
}

impl Tag {
    fn number(self) -> u8 {
        match self {
            Self::Shapes => 1,
            Self::Memory => 2,
            Self::Calls => 3,
            Self::Names => 4,
            Self::Refused => 5,
            Self::Roles => 6,
        }
    }
}

/// The bytes of all parts, of the 65,535 that the terms may have: they leave room for the strings before them.
const MOST: usize = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(parts: &Parts) -> Vec<u8> {
        let mut bytes = Vec::new();
        parts.write(&mut bytes);
        bytes
    }

    #[test]
    fn reads_what_it_wrote_and_no_less() {
        let mut parts = Parts::default();
        parts.set(Tag::Names, b"old".to_vec());
        parts.set(Tag::Calls, Vec::new());
        parts.set(Tag::Names, b"chat/1".to_vec());
        let bytes = bytes(&parts);
        assert_eq!(bytes, b"\x03\x00\x00\x04\x00\x06chat/1");
        assert_eq!(Parts::read(&bytes), Some(parts.clone()));
        assert_eq!(parts.get(Tag::Names), Some(&b"chat/1"[..]));
        assert_eq!(parts.get(Tag::Calls), Some(&b""[..]));
        assert_eq!(parts.get(Tag::Shapes), None);
        for cut in (0..bytes.len()).filter(|cut| ![0, 3].contains(cut)) {
            assert_eq!(Parts::read(&bytes[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn unknown_tags_are_skipped() {
        let parts = Parts::read(b"\xF0\x00\x02??\x04\x00\x01a\x04\x00\x01b").unwrap();
        assert_eq!(parts.get(Tag::Names), Some(&b"a"[..]), "the first of two counts");
        assert_eq!(parts.get(Tag::Shapes), None);
    }

    #[test]
    fn as_much_as_fits_is_said() {
        let mut parts = Parts::default();
        parts.set(Tag::Shapes, vec![7; MOST - HEAD - 1]);
        assert_eq!(Parts::read(&bytes(&parts)), Some(parts));
    }
}
