use super::LIMIT;
use crate::error::FrameError;
use crate::wire::framing::BuiltIn;
use crate::wire::framing::ensure_within;
use crate::wire::{Scan, Step};

/// JSON values one after the other in any layout: what `jq`, `curl` and most log shippers write.
///
/// A value may take several lines, and several values may share one; a separator is needed only between values that
/// would run together, as in `1 2`. Lines of JSON and the text sequences of RFC 7464 are such values too. White space
/// and `0x1E` between values are skipped. A sender writes one value a line.
///
/// An object, an array or a string ends with its closing character. A number, `true`, `false` or `null` ends with the
/// byte after it, or with the stream.
///
/// The framing finds the end of a value without parsing it: bytes that are no JSON are a message that does not decode,
/// and the next value can be received. A bad value ends where a bracket closes another kind of bracket, or where a string
/// contains a control character, such as the end of its line. A value that was cut off at the end of the stream is
/// [`Truncated`](crate::ErrorKind::Truncated); half of a number is a number.
///
/// ```
/// use typed_pipe::TypedReceiver;
/// use typed_pipe::wire::foreign::ConcatenatedJson;
/// use typed_pipe::wire::{Json, Wire};
///
/// let wire = Wire::new(ConcatenatedJson::default(), Json);
/// let bytes: &[u8] = b"{\n  \"id\": 3\n}\n{\"id\": 4}{\"id\": 5}"; // as `jq` writes, and as `jq -cj` does
/// let receiver = TypedReceiver::<serde_json::Value, _, _, _>::with_wire(bytes, wire);
/// let ids = receiver.map(|value| Ok(value?["id"].as_u64()));
/// assert_eq!(ids.collect::<Result<Vec<_>, typed_pipe::Error>>()?, [Some(3), Some(4), Some(5)]);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
#[derive(Clone, Debug)]
pub struct ConcatenatedJson {
    limit: u32,
    /// The place of the last scan in the unfinished value.
    place: ScanState,
}

impl ConcatenatedJson {
    /// Sets the longest value, in bytes as it is written, that is sent or received; 8 MiB unless set.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::ConcatenatedJson;
    /// use typed_pipe::wire::{Json, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver};
    ///
    /// let wire = Wire::new(ConcatenatedJson::default().limit(6), Json);
    /// let mut receiver = TypedReceiver::<Vec<u8>, _, _, _>::with_wire(&b"[1, 2] [1, 2, 3"[..], wire);
    /// assert_eq!(receiver.recv()?, [1, 2]);
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::TooLarge); // before its end has come
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn limit(mut self, bytes: u32) -> Self {
        self.limit = bytes;
        self
    }
}

impl Default for ConcatenatedJson {
    fn default() -> Self {
        Self { limit: LIMIT, place: ScanState::default() }
    }
}

impl BuiltIn for ConcatenatedJson {
    fn name(&self) -> &str {
        "concatenated-json"
    }

    fn max_payload(&self) -> u64 {
        self.limit.into()
    }

    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        let len = out.get(start..).ok_or(FrameError::OutOfBounds)?.len();
        ensure_within(len, self.limit)?;
        out.push(b'\n');
        // It must come back as one value, which is the whole payload.
        let line = out.get(start..).unwrap_or_default();
        let begins = line.first().is_some_and(|first| !is_between(*first));
        let end = if begins { ScanState::default().end(line, 0) } else { Some(0) };
        match end.map(|end| (end, line.get(end))) {
            Some((at, Some(&byte))) if at < len => Err(FrameError::Delimiter { at, byte }),
            Some((at, _)) if at == len && len > 0 => Ok(()),
            _ => Err(FrameError::NoEnd),
        }
    }

    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        if scan.at_end {
            return Ok(match self.place.within {
                Within::Word => Step::Message { payload: 0..bytes.len(), frame: bytes.len() },
                _ => Step::NoEnd { scanned: bytes.len() },
            });
        }
        if scan.from == 0 {
            self.place = ScanState::default();
            let between = bytes.iter().take_while(|byte| is_between(**byte)).count();
            if between > 0 {
                return Ok(Step::Skip { bytes: between });
            }
        }
        let end = self.place.end(bytes, scan.from);
        ensure_within(end.unwrap_or(bytes.len()), self.limit)?;
        Ok(match end {
            Some(end) => Step::Message { payload: 0..end, frame: end },
            None => Step::NoEnd { scanned: bytes.len() },
        })
    }
}

/// A place in a value.
#[derive(Clone, Copy, Debug, Default)]
struct ScanState {
    within: Within,
    /// The number of open brackets.
    depth: usize,
    /// Which of the outermost 128 of them are braces, from the lowest bit on.
    braces: u128,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Within {
    /// Nothing of the value has arrived.
    #[default]
    Nothing,
    /// In a whole value that is a number, `true`, `false` or `null`, or no JSON.
    Word,
    /// In brackets, outside of a string.
    Brackets,
    String,
    /// In a string, after a backslash: the next byte does not end it.
    Escape,
}

impl ScanState {
    /// Goes on from `from`, and returns where the value ends, if it does. The first byte is one of the value.
    fn end(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate().skip(from) {
            match (self.within, byte) {
                (Within::Escape, b' '..) => self.within = Within::String,
                (Within::String, b'\\') => self.within = Within::Escape,
                (Within::String, b'"') if self.depth == 0 => return Some(at + 1),
                (Within::String, b'"') => self.within = Within::Brackets,
                (Within::String, b' '..) => {}
                // A string that is not closed in its line: all that is open is abandoned.
                (Within::String | Within::Escape, _) => return Some(at),
                (Within::Nothing | Within::Brackets, b'"') => self.within = Within::String,
                (Within::Nothing | Within::Brackets, b'{' | b'[') => self.open(byte == b'{'),
                (Within::Brackets, b'}' | b']') => {
                    if !self.close(byte == b'}') || self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                (Within::Brackets, _) => {}
                // A closing bracket or a separator without an opening bracket.
                (Within::Nothing, b'}' | b']' | b',' | b':') => return Some(at + 1),
                (Within::Nothing, _) => self.within = Within::Word,
                (Within::Word, b'"' | b'{' | b'[' | b'}' | b']' | b',' | b':') => return Some(at),
                (Within::Word, _) if is_between(byte) => return Some(at),
                (Within::Word, _) => {}
            }
        }
        None
    }

    fn open(&mut self, brace: bool) {
        self.within = Within::Brackets;
        self.depth += 1;
        if let Some(bit) = self.innermost() {
            self.braces = if brace { self.braces | bit } else { self.braces & !bit };
        }
    }

    /// Closes the innermost bracket, and returns whether it is of this kind. Deeper than 128, which no codec reads, any
    /// kind passes.
    fn close(&mut self, brace: bool) -> bool {
        let fits = self.innermost().is_none_or(|bit| (self.braces & bit != 0) == brace);
        self.depth -= 1;
        fits
    }

    fn innermost(&self) -> Option<u128> {
        let level = u32::try_from(self.depth.checked_sub(1)?).ok()?;
        1_u128.checked_shl(level)
    }
}

/// Whether a byte may stand between two values: white space, or the beginning of a text of RFC 7464.
fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x1E)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::framing::framed;

    /// What the values of a text are, in pieces of so many bytes; `…` after one that was cut off.
    fn values(text: &str, piece: usize) -> Vec<String> {
        let (mut framing, mut found) = (ConcatenatedJson::default(), Vec::new());
        let (mut start, mut end, mut scanned) = (0, 0, 0);
        while start < text.len() {
            end = text.len().min(end.max(start) + piece);
            let mut bytes = text.as_bytes()[start..end].to_vec();
            if bytes.is_empty() {
                continue;
            }
            let step = framing.scan(&mut bytes, Scan::from(scanned)).unwrap();
            scanned = 0;
            match step {
                Step::Skip { bytes } => start += bytes,
                Step::Message { payload, frame } => {
                    found.push(String::from_utf8_lossy(&bytes[payload]).into_owned());
                    start += frame;
                }
                Step::NoEnd { scanned: looked } if end < text.len() => scanned = looked,
                _ => {
                    let last = framing.scan(&mut bytes, Scan::at_end()).unwrap();
                    let cut = if matches!(last, Step::Message { .. }) { "" } else { "…" };
                    found.push(String::from_utf8(bytes).unwrap() + cut);
                    break;
                }
            }
        }
        found
    }

    #[track_caller]
    fn has(text: &str, expected: &[&str]) {
        for piece in 1..=text.len() {
            assert_eq!(values(text, piece), expected, "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn values_end_where_they_are_closed() {
        has("{\n  \"id\": 3\n}\n{\"id\":4}[{}]", &["{\n  \"id\": 3\n}", "{\"id\":4}", "[{}]"]);
        has("\"a\"\"b}\" \"\\\"\\\\\"\"\"", &["\"a\"", "\"b}\"", "\"\\\"\\\\\"", "\"\""]);
        has("{\"a]\\\"}\":[\"}\"]}", &["{\"a]\\\"}\":[\"}\"]}"]);
        has(
            "1 2\n-3.5e7{}null[]true\"x\"4",
            &["1", "2", "-3.5e7", "{}", "null", "[]", "true", "\"x\"", "4"],
        );
        has(" \n\t\r\u{1E}{}\n\u{1E}{}\n", &["{}", "{}"]);
        has("", &[]);
    }

    #[test]
    fn what_was_cut_off_is_no_value_but_half_a_number_is_one() {
        has("{\"a\":1", &["{\"a\":1…"]);
        has("[1] \"ab", &["[1]", "\"ab…"]);
        has("\"ab\\", &["\"ab\\…"]);
        has("12", &["12"]);
    }

    #[test]
    fn what_is_no_json_costs_itself_alone() {
        has("}{}", &["}", "{}"]);
        has("oops {}", &["oops", "{}"]);
        has("1,2", &["1", ",", "2"]);
        has("{\"a\":[1}{\"b\":2}", &["{\"a\":[1}", "{\"b\":2}"]);
        has("{\"a\":\"not closed\n{\"b\":2}", &["{\"a\":\"not closed", "{\"b\":2}"]);
    }

    #[test]
    fn depth_takes_no_memory_and_has_no_limit() {
        let deep = "[".repeat(300) + &"]".repeat(300);
        assert_eq!(values(&(deep.clone() + "{}"), 64), [deep, "{}".into()]);
    }

    #[test]
    fn one_value_a_line_is_sent_and_nothing_else() {
        let sent = |payload: &[u8]| framed(&mut ConcatenatedJson::default(), payload);
        assert_eq!(sent(b"{\"a\": 1}").unwrap(), b"{\"a\": 1}\n");
        assert_eq!(sent(b"7").unwrap(), b"7\n");
        for (payload, at) in [("1 2", 1), ("{}x", 2), ("a\"b\"", 1), (" {}", 0), ("{}\n", 2)] {
            let error = sent(payload.as_bytes()).unwrap_err();
            let byte = payload.as_bytes()[at];
            assert_eq!(error, FrameError::Delimiter { at, byte }, "{payload}");
        }
        assert_eq!(sent(b"{"), Err(FrameError::NoEnd));
        assert_eq!(sent(b""), Err(FrameError::NoEnd));
        let long = framed(&mut ConcatenatedJson::default().limit(3), b"1234");
        assert_eq!(long, Err(FrameError::TooLarge { len: 4, limit: 3 }));
    }

    #[test]
    fn the_limit_is_that_of_a_value() {
        let mut framing = ConcatenatedJson::default().limit(3);
        assert_eq!(
            framing.scan(&mut b"[1]".to_vec(), Scan::default()).unwrap(),
            Step::Message { payload: 0..3, frame: 3 }
        );
        let long = framing.scan(&mut b"[1, ".to_vec(), Scan::default());
        assert_eq!(long, Err(FrameError::TooLarge { len: 4, limit: 3 }));
    }
}
