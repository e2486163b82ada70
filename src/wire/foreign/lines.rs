use super::LIMIT;
use super::delimited::{find, position};
use crate::error::FrameError;
use crate::wire::framing::BuiltIn;
use crate::wire::framing::ensure_within;
use crate::wire::{Scan, Step};

/// One message a line: lines of JSON with `Json`, lines of text with [`Plain`](crate::wire::Plain).
///
/// It works with any codec whose output contains no line feed and does not end with a carriage return. Any other
/// payload is refused with [`FrameError::Delimiter`], before a byte is sent. A line may end with
/// CR LF.
///
/// An empty line is a message without bytes: a valid text, but no JSON. [`skip_blank`](Self::skip_blank) is for
/// senders that write empty lines between their values.
///
/// The last line of a stream needs no line feed: `printf`, `echo -n` and `jq -j` write none. A last line that does not
/// decode was cut off, and is [`Truncated`](crate::ErrorKind::Truncated): so half of a JSON object, array or string is no
/// message. What is no JSON of the type, whatever may follow, is [`Decode`](crate::ErrorKind::Decode) as in any other
/// line. Half of a text is a message, and so is half of a number that is a whole line: if writers may be killed in the
/// middle of such lines, set [`require_last_feed`](Self::require_last_feed). A
/// [`TypedConnection`](crate::TypedConnection) and a service always do: the other side is this crate, which ends its
/// lines.
///
/// ```
/// use typed_pipe::TypedReceiver;
/// use typed_pipe::wire::foreign::Lines;
/// use typed_pipe::wire::{Plain, Wire};
///
/// let wire = Wire::new(Lines::default(), Plain);
/// let receiver = TypedReceiver::<String, _, _, _>::with_wire(&b"one\r\n\ntwo\nlast"[..], wire);
/// let lines = receiver.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(lines, ["one", "", "two", "last"]);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    limit: u32,
    skip_blank: bool,
    last_feed: bool,
}

impl Lines {
    /// Sets the longest line, in bytes without its end, that is sent or received; 8 MiB unless set.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Plain, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver};
    ///
    /// let wire = Wire::new(Lines::default().limit(5), Plain);
    /// let bytes: &[u8] = b"short\r\nendless and";
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes, wire);
    /// assert_eq!(receiver.recv()?, "short");
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::TooLarge); // before its end has come
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn limit(mut self, bytes: u32) -> Self {
        self.limit = bytes;
        self
    }

    /// Skips lines of white space alone.
    ///
    /// ```
    /// use typed_pipe::TypedReceiver;
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Plain, Wire};
    ///
    /// let wire = Wire::new(Lines::default().skip_blank(), Plain);
    /// let receiver = TypedReceiver::<String, _, _, _>::with_wire(&b"one\n\n \t\ntwo\n"[..], wire);
    /// assert_eq!(receiver.collect::<Result<Vec<_>, _>>()?, ["one", "two"]);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn skip_blank(mut self) -> Self {
        self.skip_blank = true;
        self
    }

    /// Treats a last line without a line feed as cut off: [`Truncated`](crate::ErrorKind::Truncated).
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Lines;
    /// use typed_pipe::wire::{Plain, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver};
    ///
    /// let wire = Wire::new(Lines::default().require_last_feed(), Plain);
    /// let bytes: &[u8] = b"transfer 1000\ntransfer 20"; // of 2000
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(bytes, wire);
    /// assert_eq!(receiver.recv()?, "transfer 1000");
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Truncated);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn require_last_feed(mut self) -> Self {
        self.last_feed = true;
        self
    }

    /// The line without a carriage return at its end. It does not count: in a line that has arrived in part, it may
    /// belong to the line's end.
    fn line<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let line = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        ensure_within(line.len(), self.limit)?;
        Ok(line)
    }

    /// A line, and the bytes of it with its end.
    fn step(&self, line: &[u8], frame: usize) -> Step {
        if self.skip_blank && line.trim_ascii().is_empty() {
            return Step::Skip { bytes: frame };
        }
        Step::Message { payload: 0..line.len(), frame }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self { limit: LIMIT, skip_blank: false, last_feed: false }
    }
}

impl BuiltIn for Lines {
    fn name(&self) -> &str {
        "lines"
    }

    fn max_payload(&self) -> u64 {
        self.limit.into()
    }

    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        let payload = out.get(start..).ok_or(FrameError::OutOfBounds)?;
        ensure_within(payload.len(), self.limit)?;
        if let Some(at) = position(payload, b'\n') {
            return Err(FrameError::Delimiter { at, byte: b'\n' });
        }
        if let Some((b'\r', before)) = payload.split_last() {
            return Err(FrameError::Delimiter { at: before.len(), byte: b'\r' });
        }
        out.push(b'\n');
        Ok(())
    }

    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        let Some(end) = find(bytes, b'\n', scan.from) else {
            let line = self.line(bytes)?;
            return Ok(match scan.at_end && !self.last_feed {
                true => self.step(line, bytes.len()),
                false => Step::NoEnd { scanned: bytes.len() },
            });
        };
        let line = self.line(bytes.get(..end).unwrap_or_default())?;
        Ok(self.step(line, end.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::framing::framed;

    fn scan(bytes: &[u8]) -> Step {
        Lines::default().scan(&mut bytes.to_vec(), Scan::default()).unwrap()
    }

    #[test]
    fn a_line_ends_with_lf_or_with_cr_lf() {
        assert_eq!(scan(b"ab\ncd"), Step::Message { payload: 0..2, frame: 3 });
        assert_eq!(scan(b"ab\r\ncd"), Step::Message { payload: 0..2, frame: 4 });
        assert_eq!(scan(b"a\rb\r\r\n"), Step::Message { payload: 0..4, frame: 6 });
        assert_eq!(scan(b"\n"), Step::Message { payload: 0..0, frame: 1 });
        assert_eq!(scan(b"\r\n"), Step::Message { payload: 0..0, frame: 2 });
        assert_eq!(scan(b"ab\r"), Step::NoEnd { scanned: 3 });
    }

    #[test]
    fn blank_lines_are_messages_unless_they_are_skipped() {
        let mut lines = Lines::default().skip_blank();
        assert_eq!(
            lines.scan(&mut b" \t\r\nx".to_owned(), Scan::default()).unwrap(),
            Step::Skip { bytes: 4 }
        );
        assert_eq!(
            lines.scan(&mut b"\n".to_owned(), Scan::default()).unwrap(),
            Step::Skip { bytes: 1 }
        );
        let message = Step::Message { payload: 0..2, frame: 3 };
        assert_eq!(lines.scan(&mut b" x\n".to_owned(), Scan::default()).unwrap(), message);
    }

    #[test]
    fn the_last_line_needs_no_end_unless_it_is_required() {
        let at_end =
            |mut lines: Lines, bytes: &[u8]| lines.scan(&mut bytes.to_vec(), Scan::at_end());
        let lines = Lines::default;
        assert_eq!(at_end(lines(), b"ab"), Ok(Step::Message { payload: 0..2, frame: 2 }));
        assert_eq!(at_end(lines(), b"ab\r"), Ok(Step::Message { payload: 0..2, frame: 3 }));
        assert_eq!(at_end(lines().skip_blank(), b" \t"), Ok(Step::Skip { bytes: 2 }));
        assert_eq!(at_end(lines().require_last_feed(), b"ab"), Ok(Step::NoEnd { scanned: 2 }));
    }

    #[test]
    fn what_would_not_come_back_is_not_sent() {
        let delimiter = |payload: &[u8]| framed(&mut Lines::default(), payload).unwrap_err();
        assert_eq!(delimiter(b"a\nb"), FrameError::Delimiter { at: 1, byte: b'\n' });
        assert_eq!(delimiter(b"ab\r"), FrameError::Delimiter { at: 2, byte: b'\r' });
        assert_eq!(framed(&mut Lines::default(), b"a\rb").unwrap(), b"a\rb\n");
    }

    #[test]
    fn the_limit_is_that_of_the_line_without_its_end() {
        let mut lines = Lines::default().limit(3);
        assert!(framed(&mut lines, b"abc").is_ok());
        assert!(matches!(framed(&mut lines, b"abcd"), Err(FrameError::TooLarge { len: 4, .. })));
        for fits in [&b"abc\n"[..], b"abc\r\n"] {
            let step = lines.scan(&mut fits.to_vec(), Scan::default()).unwrap();
            assert_eq!(step, Step::Message { payload: 0..3, frame: fits.len() });
        }
        for long in [&b"abcd\n"[..], b"abcd\r\n", b"abcd", b"abcd\r"] {
            let too_large = Err(FrameError::TooLarge { len: 4, limit: 3 });
            assert_eq!(
                Lines::default().limit(3).scan(&mut long.to_vec(), Scan::default()),
                too_large
            );
        }
        assert_eq!(
            lines.scan(&mut b"abc\r".to_vec(), Scan::default()),
            Ok(Step::NoEnd { scanned: 4 })
        );
    }
}
