//! The fragment: its content and its bytes.

use std::ops::Range;

use crate::error::FrameError;

/// A whole fragment that has arrived undamaged.
#[derive(Debug, PartialEq)]
pub(super) struct Fragment {
    pub(super) kind: FragmentKind,
    pub(super) writer: u64,
    pub(super) sequence: u32,
    /// All of its bytes, header included.
    pub(super) len: usize,
    /// The range of its payload in these bytes.
    pub(super) payload: Range<usize>,
}

/// The kind of a fragment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FragmentKind {
    /// A writer introduces itself.
    Hello,
    /// The goodbye of a writer.
    Goodbye,
    /// A whole message.
    Whole,
    /// The first part of a message of `total` bytes.
    First { total: u32 },
    /// A part in the middle of a message.
    Middle,
    /// The last part of a message.
    Last,
}

impl Fragment {
    /// The length in bytes of the fragment that begins here, as far as its header has arrived.
    pub(super) fn announced(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(&[high, low, magic, flags]) = bytes.first_chunk() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        let least = match flags {
            FIRST => HEADER + TOTAL,
            _ => HEADER,
        };
        let known = matches!(flags, 0..=0b11 | HELLO | GOODBYE);
        if magic == MAGIC && known && len >= least {
            Ok(Some(len))
        } else {
            Err(FrameError::Header { word: u32::from_be_bytes([high, low, magic, flags]) })
        }
    }

    /// Parses a fragment whose bytes have all arrived. The bytes stay unchanged.
    pub(super) fn parse(bytes: &mut [u8]) -> Result<Self, FrameError> {
        let len = bytes.len();
        // The checksum is that of the fragment with zeroes in its place.
        let field = bytes.get_mut(CHECKSUM).and_then(|field| field.first_chunk_mut());
        let field: &mut [u8; 4] = field.ok_or(FrameError::OutOfBounds)?;
        let stored = std::mem::take(field);
        let computed = crc32fast::hash(bytes);
        if let Some(field) = bytes.get_mut(CHECKSUM) {
            field.copy_from_slice(&stored);
        }
        let found = u32::from_be_bytes(stored);
        if found != computed {
            return Err(FrameError::Checksum { found, computed });
        }

        let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or(FrameError::OutOfBounds)?;
        let &[_, _, _, flags, w0, w1, w2, w3, w4, w5, w6, w7, s0, s1, s2, s3, ..] = header;
        let (kind, payload) = match (flags, rest.first_chunk()) {
            (HELLO, _) => (FragmentKind::Hello, HEADER..len),
            (GOODBYE, _) => (FragmentKind::Goodbye, HEADER..len),
            (WHOLE, _) => (FragmentKind::Whole, HEADER..len),
            (FIRST, Some(total)) => {
                (FragmentKind::First { total: u32::from_be_bytes(*total) }, HEADER + TOTAL..len)
            }
            (LAST, _) => (FragmentKind::Last, HEADER..len),
            _ => (FragmentKind::Middle, HEADER..len),
        };
        Ok(Self {
            kind,
            writer: u64::from_be_bytes([w0, w1, w2, w3, w4, w5, w6, w7]),
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            len,
            payload,
        })
    }
}

impl FragmentKind {
    fn flags(self) -> u8 {
        match self {
            Self::Hello => HELLO,
            Self::Goodbye => GOODBYE,
            Self::Whole => WHOLE,
            Self::First { .. } => FIRST,
            Self::Middle => 0,
            Self::Last => LAST,
        }
    }

    /// Whether it is a part of a message other than the first.
    pub(super) fn goes_on(self) -> bool {
        matches!(self, Self::Middle | Self::Last)
    }

    /// Whether it is the end of a message.
    pub(super) fn ends(self) -> bool {
        matches!(self, Self::Whole | Self::Last)
    }
}

/// Writes the header of `fragment`, whose payload is in place already.
pub(super) fn seal(
    fragment: &mut [u8],
    kind: FragmentKind,
    writer: u64,
    sequence: u32,
) -> Result<(), FrameError> {
    let len = u16::try_from(fragment.len()).map_err(|_| FrameError::OutOfBounds)?;
    let (header, rest) =
        fragment.split_first_chunk_mut::<HEADER>().ok_or(FrameError::OutOfBounds)?;
    header[..2].copy_from_slice(&len.to_be_bytes());
    header[2..4].copy_from_slice(&[MAGIC, kind.flags()]);
    header[4..12].copy_from_slice(&writer.to_be_bytes());
    header[12..16].copy_from_slice(&sequence.to_be_bytes());
    header[CHECKSUM].fill(0);
    if let FragmentKind::First { total } = kind {
        *rest.first_chunk_mut().ok_or(FrameError::OutOfBounds)? = total.to_be_bytes();
    }
    let checksum = crc32fast::hash(fragment);
    if let Some(field) = fragment.get_mut(CHECKSUM) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
    Ok(())
}

/// The bytes of the header.
pub(super) const HEADER: usize = 20;

/// The bytes that a first part has after the header: the length of the whole message.
pub(super) const TOTAL: usize = size_of::<u32>();

/// Where the checksum lies.
const CHECKSUM: Range<usize> = 16..HEADER;

/// Distinguishes a fragment from other bytes, and this version from later ones.
const MAGIC: u8 = 0xD1;

const FIRST: u8 = 1;
const LAST: u8 = 2;
const WHOLE: u8 = FIRST | LAST;
const HELLO: u8 = 4;
const GOODBYE: u8 = 8;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    fn sealed(kind: FragmentKind, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xFF; HEADER];
        if let FragmentKind::First { .. } = kind {
            bytes.extend([0xFF; TOTAL]);
        }
        bytes.extend_from_slice(payload);
        seal(&mut bytes, kind, 0x0123_4567_89AB_CDEF, 0x0A0B_0C0D).unwrap();
        bytes
    }

    #[test]
    fn golden_bytes() {
        let whole = sealed(FragmentKind::Whole, b"\x07\x02hi");
        let (before, checksum) = (&whole[..16], &whole[16..20]);
        assert_eq!(before, b"\x00\x18\xD1\x03\x01\x23\x45\x67\x89\xAB\xCD\xEF\x0A\x0B\x0C\x0D");
        let mut zeroed = whole.clone();
        zeroed[16..20].fill(0);
        assert_eq!(checksum, crc32fast::hash(&zeroed).to_be_bytes());
        assert_eq!(&whole[20..], b"\x07\x02hi");
        let first = sealed(FragmentKind::First { total: 0x0102_0304 }, b"hi");
        assert_eq!(
            (&first[..4], &first[20..]),
            (&b"\x00\x1A\xD1\x01"[..], &b"\x01\x02\x03\x04hi"[..])
        );
        for (kind, flags) in [
            (FragmentKind::Middle, 0),
            (FragmentKind::Last, 2),
            (FragmentKind::Hello, 4),
            (FragmentKind::Goodbye, 8),
        ] {
            assert_eq!(sealed(kind, b"")[..4], [0, 20, 0xD1, flags]);
        }
    }

    #[test]
    fn reads_what_it_wrote_and_leaves_it_as_it_is() {
        for kind in [
            FragmentKind::Hello,
            FragmentKind::Goodbye,
            FragmentKind::Whole,
            FragmentKind::First { total: 7 },
            FragmentKind::Middle,
            FragmentKind::Last,
        ] {
            let mut bytes = sealed(kind, b"payload");
            let before = bytes.clone();
            for _ in 0..2 {
                let fragment = Fragment::parse(&mut bytes).unwrap();
                assert_eq!((fragment.kind, fragment.sequence), (kind, 0x0A0B_0C0D));
                assert_eq!((fragment.writer, fragment.len), (0x0123_4567_89AB_CDEF, bytes.len()));
                assert_eq!(bytes[fragment.payload], *b"payload");
                assert_eq!(bytes, before);
            }
        }
    }

    #[test]
    fn what_no_fragment_has_is_refused() {
        let announced = |bytes: &[u8]| Fragment::announced(bytes).map_err(|_| ());
        assert_eq!(announced(&[0, 20, 0xD1]), Ok(None));
        assert_eq!(announced(&[0, 20, 0xD1, 3]), Ok(Some(20)));
        assert_eq!(announced(&[0xFF, 0xFF, 0xD1, 0]), Ok(Some(0xFFFF)));
        assert_eq!(announced(&[0, 19, 0xD1, 3]), Err(()), "shorter than its header");
        assert_eq!(announced(&[0, 23, 0xD1, 1]), Err(()), "no room for the total");
        assert_eq!(announced(&[0, 20, 0xD2, 3]), Err(()), "another magic");
        for flags in [5, 6, 7, 9, 12, 16, 0x83] {
            assert_eq!(announced(&[0, 90, 0xD1, flags]), Err(()), "{flags}");
        }
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_found(payload in vec(any::<u8>(), 0..40)) {
            let bytes = sealed(FragmentKind::First { total: 1000 }, &payload);
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                match Fragment::announced(&damaged) {
                    Ok(Some(len)) if len <= damaged.len() => {
                        let error = Fragment::parse(&mut damaged[..len]).unwrap_err();
                        assert!(matches!(error, FrameError::Checksum { .. }), "{bit}: {error:?}");
                    }
                    Ok(len) => assert!(len.is_some()),
                    Err(_) => {}
                }
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in vec(any::<u8>(), 0..60)) {
            let _ = Fragment::announced(&bytes);
            let _ = Fragment::parse(&mut bytes);
        }
    }
}
