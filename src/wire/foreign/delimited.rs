//! Frames that end with a byte which is not in them.

/// Looks for the end of the first frame, at each byte once.
#[derive(Clone, Debug, Default)]
pub(super) struct Delimited {
    /// How many bytes of the unfinished frame have no end in them.
    seen: usize,
}

impl Delimited {
    /// How many bytes are before the first `delimiter`, if it has come.
    pub(super) fn find(&mut self, bytes: &[u8], delimiter: u8) -> Option<usize> {
        let seen = self.seen.min(bytes.len());
        let fresh = bytes.get(seen..).unwrap_or_default();
        let end = fresh.iter().position(|&byte| byte == delimiter).map(|at| seen + at);
        self.seen = if end.is_some() { 0 } else { bytes.len() };
        end
    }

    pub(super) fn reset(&mut self) {
        self.seen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_looked_at_once() {
        let mut delimited = Delimited::default();
        assert_eq!(delimited.find(b"abc", b';'), None);
        // What it has seen it does not see again.
        assert_eq!(delimited.find(b";bcd;", b';'), Some(4));
        assert_eq!(delimited.find(b"x;", b';'), Some(1));
        assert_eq!(delimited.find(b"abc", b';'), None);
        delimited.reset();
        assert_eq!(delimited.find(b"a;", b';'), Some(1));
    }
}
