use super::framing::BuiltIn;
use super::framing::ensure_within;
use super::shape::{Shape, hello};
use super::{Scan, Step};
use crate::error::FrameError;

/// A `u32` big-endian length, then a payload of as many bytes.
///
/// The format is that of `tokio_util::codec::LengthDelimitedCodec::new()`. A payload may be
/// empty. Words from `0xFFFF_FF00` up are reserved for control words and are never lengths.
///
/// There are two. `0xFFFF_FF01` is the goodbye; only [`Encoder::stage_goodbye`](super::Encoder::stage_goodbye) writes it.
/// `0xFFFF_FF03` begins a [hello](super::shape#the-hello), by which a writer says what it sends. It is read anywhere
/// between two messages, and written only by senders on a named pipe that were made without naming a wire. A
/// `LengthDelimitedCodec` reads both as the length of a frame that is too long, and fails: for such a peer, name this
/// wire, and send no goodbye.
///
/// The limit on the payload holds in both directions. It is 8 MiB unless set.
///
/// ```
/// use typed_pipe::wire::{LengthPrefixed, Wire};
///
/// let wire = Wire::default().with_framing(LengthPrefixed::default().limit(64 << 10));
/// # let _ = wire;
/// ```
#[derive(Clone, Debug)]
pub struct LengthPrefixed {
    /// Never above `MAX_LENGTH`.
    limit: u32,
}

impl LengthPrefixed {
    /// Sets the largest payload, in bytes, that is sent or received.
    ///
    /// A limit above `0xFFFF_FEFF`, the largest length there is, means just that length.
    ///
    /// ```
    /// use typed_pipe::wire::{LengthPrefixed, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver, TypedSender};
    ///
    /// let mut bytes = Vec::new();
    /// TypedSender::<str, _>::new(&mut bytes).send("a text")?; // its sender has another limit
    /// let wire = Wire::default().with_framing(LengthPrefixed::default().limit(4));
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes.as_slice(), wire);
    /// let error = receiver.recv().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// assert!(error.is_fatal()); // what follows is not looked for
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    #[doc(alias("message size", "max length"))]
    pub fn limit(mut self, bytes: u32) -> Self {
        self.limit = bytes.min(MAX_LENGTH);
        self
    }

    /// Reserves room for the header.
    #[inline]
    pub(super) fn begin(out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; HEADER]);
    }

    /// Writes the header of `frame`, which is the room for it and the payload.
    #[inline]
    pub(super) fn finish(&self, frame: Option<&mut [u8]>) -> Result<(), FrameError> {
        let Some((header, payload)) = frame.and_then(<[u8]>::split_first_chunk_mut) else {
            return Err(FrameError::OutOfBounds);
        };
        *header = self.header(payload.len())?;
        Ok(())
    }

    /// The header of a payload of so many bytes.
    #[inline]
    fn header(&self, len: usize) -> Result<[u8; HEADER], FrameError> {
        Ok(ensure_within(len, self.limit)?.to_be_bytes())
    }

    /// The header, if it has arrived.
    #[inline]
    pub(super) fn announced(&self, bytes: &[u8]) -> Result<Option<Announced>, FrameError> {
        let Some(header) = bytes.first_chunk() else {
            return Ok(None);
        };
        let word = u32::from_be_bytes(*header);
        match usize::try_from(word) {
            Ok(len) if word <= self.limit => {
                Ok(Some(Announced::Message { covered: HEADER.saturating_add(len) }))
            }
            _ if word == GOODBYE => Ok(Some(Announced::Goodbye)),
            _ if word == HELLO => Ok(Some(Announced::Hello)),
            _ if word > MAX_LENGTH => Err(FrameError::Header { word }),
            _ => Err(FrameError::TooLarge { len: word.into(), limit: self.limit.into() }),
        }
    }

    /// The length of a message with its header, if all of it has arrived.
    #[inline]
    fn whole_frame(&self, bytes: &[u8]) -> Option<usize> {
        let word = u32::from_be_bytes(*bytes.first_chunk()?);
        let frame = HEADER.saturating_add(usize::try_from(word).ok()?);
        (word <= self.limit && frame <= bytes.len()).then_some(frame)
    }

    /// Bytes that do not begin with a whole message.
    #[cold]
    fn scan_other(&self, bytes: &[u8]) -> Result<Step, FrameError> {
        Ok(match self.announced(bytes)? {
            Some(Announced::Message { covered }) => Step::More { total: covered },
            Some(Announced::Goodbye) => Step::Goodbye { bytes: HEADER },
            Some(Announced::Hello) => Self::hello(bytes)?,
            None => Step::More { total: HEADER },
        })
    }

    /// A hello, whose word has arrived.
    fn hello(bytes: &[u8]) -> Result<Step, FrameError> {
        let rest = bytes.get(HEADER..).unwrap_or_default();
        Ok(match hello::len(rest) {
            None => Step::More { total: HEADER + hello::HEAD },
            Some(len) if len > hello::MOST => return Err(FrameError::Header { word: HELLO }),
            Some(len) if len <= rest.len() => {
                Step::Hello { payload: HEADER..HEADER + len, frame: HEADER + len }
            }
            Some(len) => Step::More { total: HEADER + len },
        })
    }

    /// Writes the goodbye.
    pub(super) fn goodbye(out: &mut Vec<u8>) {
        out.extend_from_slice(&GOODBYE.to_be_bytes());
    }
}

impl Default for LengthPrefixed {
    fn default() -> Self {
        Self { limit: 8 << 20 }
    }
}

impl BuiltIn for LengthPrefixed {
    fn name(&self) -> &str {
        "length-prefixed"
    }

    fn max_payload(&self) -> u64 {
        self.limit.into()
    }

    #[inline]
    fn begin(&mut self, out: &mut Vec<u8>) {
        Self::begin(out);
    }

    #[inline]
    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        Self::finish(self, out.get_mut(start..))
    }

    #[inline]
    fn scan(&mut self, bytes: &mut [u8], _: Scan) -> Result<Step, FrameError> {
        match self.whole_frame(bytes) {
            Some(frame) => Ok(Step::Message { payload: HEADER..frame, frame }),
            None => self.scan_other(bytes),
        }
    }

    fn header(&mut self, len: usize, out: &mut Vec<u8>) -> Result<bool, FrameError> {
        out.extend_from_slice(&Self::header(self, len)?);
        Ok(true)
    }

    #[cfg(feature = "shared-memory")]
    fn plain_frame(&self, header: [u8; HEADER]) -> Option<usize> {
        match self.announced(&header) {
            Ok(Some(Announced::Message { covered })) => Some(covered),
            _ => None,
        }
    }

    fn goodbye(&mut self, out: &mut Vec<u8>) -> bool {
        Self::goodbye(out);
        true
    }
}

/// Appends the hello of a writer whose messages look like this.
pub(super) fn hello(shape: &Shape, out: &mut Vec<u8>) {
    out.extend_from_slice(&HELLO.to_be_bytes());
    hello::write(shape, out);
}

/// A parsed header.
pub(super) enum Announced {
    /// A message, with the length of header and payload together.
    Message { covered: usize },
    /// The goodbye.
    Goodbye,
    /// A hello, which is behind it.
    Hello,
}

/// The length of the header in bytes.
pub(super) const HEADER: usize = size_of::<u32>();

/// The largest length: the words above are control words.
const MAX_LENGTH: u32 = 0xFFFF_FEFF;

/// The control word of the goodbye.
const GOODBYE: u32 = 0xFFFF_FF01;

/// The control word before a hello.
pub(super) const HELLO: u32 = 0xFFFF_FF03;

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};
    use tokio_util::codec::{Decoder as _, Encoder as _, LengthDelimitedCodec};

    use super::super::framing::framed;
    use super::*;

    #[test]
    fn golden_bytes() {
        assert_eq!(framed(&mut LengthPrefixed::default(), b"").unwrap(), [0; 4]);
        assert_eq!(framed(&mut LengthPrefixed::default(), b"abc").unwrap(), b"\0\0\0\x03abc");
    }

    #[test]
    fn scan_says_how_much_it_waits_for() {
        let mut framing = LengthPrefixed::default();
        let mut scan = |bytes: &[u8]| framing.scan(&mut bytes.to_vec(), Scan::default()).unwrap();
        assert_eq!(scan(b"\0"), Step::More { total: 4 });
        assert_eq!(scan(b"\0\0\x01\x02"), Step::More { total: 4 + 0x102 });
        assert_eq!(scan(b"\0\0\0\x02ab"), Step::Message { payload: 4..6, frame: 6 });
        assert_eq!(scan(b"\0\0\0\x02abcd"), Step::Message { payload: 4..6, frame: 6 });
        assert_eq!(scan(b"\0\0\0\0"), Step::Message { payload: 4..4, frame: 4 });
    }

    #[test]
    fn the_limit_holds_in_both_directions() {
        let mut framing = LengthPrefixed::default().limit(3);
        assert!(framed(&mut framing, b"abc").is_ok());
        assert!(matches!(
            framed(&mut framing, b"abcd"),
            Err(FrameError::TooLarge { len: 4, limit: 3 })
        ));
        assert!(framing.scan(&mut [0, 0, 0, 3], Scan::default()).is_ok());
        assert!(matches!(
            framing.scan(&mut [0, 0, 0, 4], Scan::default()),
            Err(FrameError::TooLarge { len: 4, limit: 3 })
        ));
        let too_large = LengthPrefixed::default().scan(&mut [0, 0x80, 0, 1], Scan::default());
        assert!(matches!(too_large, Err(FrameError::TooLarge { limit: 0x80_0000, .. })));
    }

    #[test]
    fn a_text_in_place_of_a_length_is_told_as_one() {
        let words = |bytes: &mut [u8]| match LengthPrefixed::default().scan(bytes, Scan::default())
        {
            Err(error) => error.to_string(),
            Ok(_) => unreachable!("it is larger than the limit"),
        };
        let text = words(&mut b"hello\n".to_owned());
        assert!(
            text.ends_with("a text that begins with `hell`, receive it by `into_text`"),
            "{text}"
        );
        let length = words(&mut [0, 0x80, 0, 1]);
        assert!(length.ends_with("or send it in parts"), "{length}");
    }

    #[test]
    fn control_words_are_no_lengths_whatever_the_limit() {
        let mut framing = LengthPrefixed::default().limit(u32::MAX);
        for word in [0xFFFF_FF00, u32::MAX] {
            let found = framing.scan(&mut word.to_be_bytes(), Scan::default());
            assert!(matches!(found, Err(FrameError::Header { word: w }) if w == word));
        }
        assert!(framing.scan(&mut 0xFFFF_FEFF_u32.to_be_bytes(), Scan::default()).is_ok());
    }

    #[test]
    fn the_goodbye_is_a_word() {
        let mut framing = LengthPrefixed::default();
        let mut out = Vec::new();
        assert!(BuiltIn::goodbye(&mut framing, &mut out));
        assert_eq!(out, [0xFF, 0xFF, 0xFF, 1]);
        assert_eq!(framing.scan(&mut out[..3], Scan::default()).unwrap(), Step::More { total: 4 });
        assert_eq!(framing.scan(&mut out, Scan::default()).unwrap(), Step::Goodbye { bytes: 4 });
        let theirs = LengthDelimitedCodec::new().decode(&mut BytesMut::from(&out[..]));
        assert!(theirs.is_err(), "it is no frame to others");
    }

    #[test]
    fn a_limit_is_never_above_the_largest_length() {
        assert_eq!(LengthPrefixed::default().limit(u32::MAX).limit, 0xFFFF_FEFF);
    }

    #[test]
    fn a_frame_without_its_header_is_refused() {
        let mut short = vec![0; 3];
        for start in [0, 3, 9] {
            let finished = BuiltIn::finish(&mut LengthPrefixed::default(), &mut short, start);
            assert!(matches!(finished, Err(FrameError::OutOfBounds)));
        }
    }

    proptest! {
        #[test]
        fn speaks_as_tokio_util_does(payload in vec(any::<u8>(), 0..300), more in vec(any::<u8>(), 0..9)) {
            let mut ours = framed(&mut LengthPrefixed::default(), &payload).unwrap();
            let mut theirs = BytesMut::new();
            LengthDelimitedCodec::new().encode(Bytes::from(payload.clone()), &mut theirs).unwrap();
            assert_eq!(ours, theirs);

            ours.extend_from_slice(&more);
            let step = LengthPrefixed::default().scan(&mut ours, Scan::default()).unwrap();
            assert_eq!(step, Step::Message { payload: 4..4 + payload.len(), frame: theirs.len() });
            let read = LengthDelimitedCodec::new().decode(&mut BytesMut::from(&ours[..])).unwrap();
            assert_eq!(read.unwrap(), payload);
        }
    }

    #[test]
    fn has_the_limit_of_tokio_util() {
        assert_eq!(LengthDelimitedCodec::new().max_frame_length(), 8 << 20);
    }
}
