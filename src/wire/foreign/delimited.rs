//! Frames that end with a byte which is not in them.

use crate::error::FrameError;

/// Looks for the end of the first frame, at each byte once.
#[derive(Clone, Debug, Default)]
pub(super) struct Delimited {
    /// How many bytes of the unfinished frame have no end in them.
    seen: usize,
}

impl Delimited {
    /// The bytes before the first `delimiter`, if it has come. More than `limit` of them are refused.
    pub(super) fn find(
        &mut self,
        bytes: &[u8],
        delimiter: u8,
        limit: u32,
    ) -> Result<Option<usize>, FrameError> {
        let seen = self.seen.min(bytes.len());
        let fresh = bytes.get(seen..).unwrap_or_default();
        let end = fresh.iter().position(|&byte| byte == delimiter).map(|at| seen + at);
        self.seen = if end.is_some() { 0 } else { bytes.len() };
        expect_within(end.unwrap_or(bytes.len()), limit)?;
        Ok(end)
    }

    pub(super) fn reset(&mut self) {
        self.seen = 0;
    }
}

/// Refuses what is larger than the limit.
pub(super) fn expect_within(len: usize, limit: u32) -> Result<(), FrameError> {
    let len = u64::try_from(len).unwrap_or(u64::MAX);
    if len > limit.into() {
        return Err(FrameError::TooLarge { len, limit: limit.into() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_looked_at_once() {
        let mut delimited = Delimited::default();
        assert_eq!(delimited.find(b"abc", b';', 9), Ok(None));
        // What it has seen it does not see again.
        assert_eq!(delimited.find(b";bcd;", b';', 9), Ok(Some(4)));
        assert_eq!(delimited.find(b"x;", b';', 9), Ok(Some(1)));
        assert_eq!(delimited.find(b"abc", b';', 9), Ok(None));
        delimited.reset();
        assert_eq!(delimited.find(b"a;", b';', 9), Ok(Some(1)));
    }

    #[test]
    fn the_limit_is_that_of_the_bytes_before_the_end() {
        for bytes in [&b"abcd"[..], b"abcd;"] {
            let found = Delimited::default().find(bytes, b';', 3);
            assert_eq!(found, Err(FrameError::TooLarge { len: 4, limit: 3 }));
        }
        assert_eq!(Delimited::default().find(b"abc;defg", b';', 3), Ok(Some(3)));
    }
}
