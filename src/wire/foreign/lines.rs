use super::LIMIT;
use super::delimited::Delimited;
use crate::error::FrameError;
use crate::wire::framing::{expect_within, lowered};
use crate::wire::{Framing, Step};

/// A message a line: lines of JSON with `Json`, lines of text with [`Plain`](crate::wire::Plain).
///
/// It works with any codec whose output has no line feed in it, and does not end with a carriage return. A
/// payload that has is refused with [`FrameError::Delimiter`], before anything is sent. A line may end with
/// CR LF.
///
/// An empty line is a message without bytes: a text, and no JSON. [`skip_blank`](Self::skip_blank) is for
/// senders that write some between their values.
///
/// ```
/// use typed_pipe::TypedReceiver;
/// use typed_pipe::wire::foreign::Lines;
/// use typed_pipe::wire::{Plain, Wire};
///
/// let wire = Wire::new(Lines::default(), Plain);
/// let receiver = TypedReceiver::<String, _, _, _>::with_wire(&b"one\r\n\ntwo\n"[..], wire);
/// let lines = receiver.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(lines, ["one", "", "two"]);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    limit: u32,
    skip_blank: bool,
    delimited: Delimited,
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

    /// Takes lines of nothing but white space for no messages.
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
}

impl Default for Lines {
    fn default() -> Self {
        Self { limit: LIMIT, skip_blank: false, delimited: Delimited::default() }
    }
}

impl Framing for Lines {
    fn name(&self) -> &str {
        "lines"
    }

    fn max_payload(&self) -> u64 {
        self.limit.into()
    }

    fn lower_max_payload(&mut self, bytes: u64) {
        self.limit = lowered(self.limit, bytes);
    }

    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        let payload = out.get(start..).ok_or(FrameError::OutOfBounds)?;
        expect_within(payload.len(), self.limit)?;
        if let Some(at) = payload.iter().position(|&byte| byte == b'\n') {
            return Err(FrameError::Delimiter { at, byte: b'\n' });
        }
        if let Some((b'\r', before)) = payload.split_last() {
            return Err(FrameError::Delimiter { at: before.len(), byte: b'\r' });
        }
        out.push(b'\n');
        Ok(())
    }

    fn scan(&mut self, bytes: &mut [u8]) -> Result<Step, FrameError> {
        let end = self.delimited.find(bytes, b'\n');
        let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        // A carriage return at the end is not counted: it may be that of the end.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        expect_within(line.len(), self.limit)?;
        let Some(end) = end else {
            return Ok(Step::More { total: bytes.len().saturating_add(1) });
        };
        let frame = end.saturating_add(1);
        if self.skip_blank && line.trim_ascii().is_empty() {
            return Ok(Step::Skip { bytes: frame });
        }
        Ok(Step::Message { payload: 0..line.len(), frame })
    }

    fn reset(&mut self) {
        self.delimited.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::framing::framed;

    fn scan(bytes: &[u8]) -> Step {
        Lines::default().scan(&mut bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_line_ends_with_lf_or_with_cr_lf() {
        assert_eq!(scan(b"ab\ncd"), Step::Message { payload: 0..2, frame: 3 });
        assert_eq!(scan(b"ab\r\ncd"), Step::Message { payload: 0..2, frame: 4 });
        assert_eq!(scan(b"a\rb\r\r\n"), Step::Message { payload: 0..4, frame: 6 });
        assert_eq!(scan(b"\n"), Step::Message { payload: 0..0, frame: 1 });
        assert_eq!(scan(b"\r\n"), Step::Message { payload: 0..0, frame: 2 });
        assert_eq!(scan(b"ab\r"), Step::More { total: 4 });
    }

    #[test]
    fn blank_lines_are_messages_unless_they_are_skipped() {
        let mut lines = Lines::default().skip_blank();
        assert_eq!(lines.scan(&mut b" \t\r\nx".to_owned()).unwrap(), Step::Skip { bytes: 4 });
        assert_eq!(lines.scan(&mut b"\n".to_owned()).unwrap(), Step::Skip { bytes: 1 });
        let message = Step::Message { payload: 0..2, frame: 3 };
        assert_eq!(lines.scan(&mut b" x\n".to_owned()).unwrap(), message);
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
            let step = lines.scan(&mut fits.to_vec()).unwrap();
            assert_eq!(step, Step::Message { payload: 0..3, frame: fits.len() });
        }
        for long in [&b"abcd\n"[..], b"abcd\r\n", b"abcd", b"abcd\r"] {
            let too_large = Err(FrameError::TooLarge { len: 4, limit: 3 });
            assert_eq!(Lines::default().limit(3).scan(&mut long.to_vec()), too_large);
        }
        assert_eq!(lines.scan(&mut b"abc\r".to_vec()), Ok(Step::More { total: 5 }));
    }
}
