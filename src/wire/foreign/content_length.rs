use super::LIMIT;
use crate::error::FrameError;
use crate::wire::framing::ensure_within;
use crate::wire::{Framing, Scan, Step};

/// Messages behind a head of their length, as language servers and debuggers speak: `Content-Length: 5`, an empty line, and
/// five bytes.
///
/// Names in the head are read in any case, and others, such as `Content-Type`, are skipped. Lines end with CR LF; LF alone
/// is read as well. A head has at most 4096 bytes.
///
/// ```
/// use typed_pipe::wire::foreign::ContentLength;
/// use typed_pipe::wire::{Json, Wire};
/// use typed_pipe::{TypedReceiver, TypedSender};
///
/// let wire = Wire::new(ContentLength::default(), Json);
/// let mut bytes = Vec::new();
/// TypedSender::<[u8], _, _, _>::with_wire(&mut bytes, wire.clone()).send(&[1, 2])?;
/// assert_eq!(bytes, b"Content-Length: 5\r\n\r\n[1,2]");
/// let mut receiver = TypedReceiver::<Vec<u8>, _, _, _>::with_wire(bytes.as_slice(), wire);
/// assert_eq!(receiver.recv()?, [1, 2]);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
#[derive(Clone, Debug)]
#[doc(alias("lsp", "language server", "dap"))]
pub struct ContentLength {
    limit: u32,
}

/// The longest head.
const HEAD: usize = 4096;

impl ContentLength {
    /// Sets the largest payload in bytes that is sent or received; 8 MiB unless set.
    #[must_use]
    pub fn limit(mut self, bytes: u32) -> Self {
        self.limit = bytes;
        self
    }
}

impl Default for ContentLength {
    fn default() -> Self {
        Self { limit: LIMIT }
    }
}

impl Framing for ContentLength {
    fn name(&self) -> &str {
        "content-length"
    }

    fn max_payload(&self) -> u64 {
        self.limit.into()
    }

    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        let len = out.len().checked_sub(start).ok_or(FrameError::OutOfBounds)?;
        ensure_within(len, self.limit)?;
        let head = format!("Content-Length: {len}\r\n\r\n");
        out.splice(start..start, head.into_bytes());
        Ok(())
    }

    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        let end = end_of_head(bytes, scan.from).filter(|end| *end <= HEAD);
        let Some(head) = end else {
            // The end of the head may have arrived in part.
            let scanned = bytes.len().saturating_sub(3);
            return if bytes.len() > HEAD { Err(bad(bytes)) } else { Ok(Step::NoEnd { scanned }) };
        };
        let len = length(bytes.get(..head).unwrap_or_default()).ok_or_else(|| bad(bytes))?;
        if len > u64::from(self.limit) {
            return Err(FrameError::TooLarge { len, limit: self.limit.into() });
        }
        let frame = usize::try_from(len).unwrap_or(usize::MAX).saturating_add(head);
        if bytes.len() < frame {
            return Ok(Step::More { total: frame });
        }
        Ok(Step::Message { payload: head..frame, frame })
    }
}

/// Where the payload begins: behind the first empty line.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(feed) = bytes.get(at..)?.iter().position(|byte| *byte == b'\n') {
        let end = at + feed + 1;
        match bytes.get(end..)? {
            [b'\n', ..] => return Some(end + 1),
            [b'\r', b'\n', ..] => return Some(end + 2),
            _ => at = end,
        }
    }
    None
}

/// The length in a head, if it says one.
fn length(head: &[u8]) -> Option<u64> {
    let mut length = None;
    for line in std::str::from_utf8(head).ok()?.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        if name.trim().eq_ignore_ascii_case("content-length") {
            let value = value.trim();
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let value = value.parse().ok().filter(|_| digits)?;
            if length.is_some_and(|before| before != value) {
                return None;
            }
            length = Some(value);
        }
    }
    length
}

/// Bytes that are no head.
fn bad(bytes: &[u8]) -> FrameError {
    let word = bytes.first_chunk().map_or(0, |word| u32::from_be_bytes(*word));
    FrameError::Header { word }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(framing: &mut ContentLength, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        framing.begin(&mut out);
        out.extend_from_slice(payload);
        framing.finish(&mut out, 0).unwrap();
        out
    }

    fn scan(bytes: &[u8]) -> Result<Step, FrameError> {
        ContentLength::default().scan(&mut bytes.to_vec(), Scan::default())
    }

    #[test]
    fn the_test_vector_is_right() {
        let bytes = b"Content-Length: 3\r\n\r\n[7]";
        assert_eq!(framed(&mut ContentLength::default(), b"[7]"), bytes);
    }

    #[test]
    fn heads_of_other_programs_are_read() {
        let message = |payload, frame| Ok(Step::Message { payload, frame });
        assert_eq!(scan(b"Content-Length: 2\r\n\r\n{}C"), message(21..23, 23));
        assert_eq!(scan(b"content-length:2\n\n{}"), message(18..20, 20));
        let typed = b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nCONTENT-LENGTH:  1\r\n\r\n7";
        assert_eq!(scan(typed), message(typed.len() - 1..typed.len(), typed.len()));
        assert_eq!(scan(b"Content-Length: 0\r\n\r\n"), message(21..21, 21));
        assert_eq!(scan(b"Content-Length: 9\r\n\r\n{}"), Ok(Step::More { total: 30 }));
    }

    #[test]
    fn what_is_no_head_is_an_error() {
        for bytes in [
            &b"Content-Type: x\r\n\r\n{}"[..],
            b"Content-Length: -1\r\n\r\n",
            b"Content-Length: +1\r\n\r\n",
            b"Content-Length: 1 2\r\n\r\n",
            b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
            b"no head\r\n\r\n",
            b"Content-Length: 99999999999999999999999\r\n\r\n",
            b"\xFF\xFE: 1\r\n\r\n",
        ] {
            assert!(matches!(scan(bytes), Err(FrameError::Header { .. })), "{bytes:?}");
        }
        let large = scan(b"Content-Length: 9999999999\r\n\r\n");
        assert!(matches!(large, Err(FrameError::TooLarge { len: 9_999_999_999, .. })));
        assert!(matches!(scan(&[b'x'; HEAD + 1]), Err(FrameError::Header { .. })));
        // However it arrives.
        let whole = |spaces| format!("Content-Length:{}2\r\n\r\n{{}}", " ".repeat(spaces));
        let longest = HEAD - whole(0).len() + "{}".len();
        let payload = HEAD..HEAD + 2;
        let message = Step::Message { payload, frame: HEAD + 2 };
        assert_eq!(scan(whole(longest).as_bytes()), Ok(message));
        let longer = scan(whole(longest + 1).as_bytes());
        assert!(matches!(longer, Err(FrameError::Header { .. })), "{longer:?}");
    }

    proptest! {
        #[test]
        fn messages_are_found_however_they_arrive(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8), step in 1..7_usize) {
            let mut framing = ContentLength::default();
            let bytes: Vec<u8> =
                payloads.iter().flat_map(|payload| framed(&mut framing, payload)).collect();
            let (mut begin, mut end, mut from, mut found) = (0, 0, 0, Vec::new());
            while begin < bytes.len() {
                if end == begin {
                    end = (end + step).min(bytes.len());
                }
                match framing.scan(&mut bytes[begin..end].to_vec(), Scan::from(from)).unwrap() {
                    Step::Message { payload, frame } => {
                        found.push(bytes[begin..][payload].to_vec());
                        (begin, from) = (begin + frame, 0);
                        end = end.max(begin);
                    }
                    Step::NoEnd { scanned } => {
                        from = scanned;
                        end = (end + step).min(bytes.len());
                    }
                    _ => end = (end + step).min(bytes.len()),
                }
            }
            prop_assert_eq!(found, payloads);
        }

        #[test]
        fn any_bytes_are_scanned_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 1..80)) {
            let _ = scan(&bytes);
        }
    }
}
