//! Frames that end with a byte that they do not contain.

/// The index of the first `delimiter`; there is none in the first `scanned` bytes.
pub(super) fn find(bytes: &[u8], delimiter: u8, scanned: usize) -> Option<usize> {
    position(bytes.get(scanned..)?, delimiter).map(|at| scanned + at)
}

/// The index of the first such byte. Wide instructions skip whole blocks: byte by byte, the search in a long message
/// would take longer than the pipe.
pub(super) fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    let has_none = |block: &&[u8]| !block.iter().fold(false, |has, &other| has | (other == byte));
    let passed = bytes.chunks_exact(BLOCK).take_while(has_none).count() * BLOCK;
    let rest = bytes.get(passed..)?;
    rest.iter().position(|&other| other == byte).map(|at| passed + at)
}

const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_is_found_wherever_it_is() {
        for len in 0..3 * BLOCK {
            let mut bytes = vec![b'x'; len];
            assert_eq!(position(&bytes, b';'), None);
            for at in (0..len).rev() {
                bytes[at] = b';';
                assert_eq!(position(&bytes, b';'), Some(at));
            }
        }
    }

    #[test]
    fn what_was_looked_at_is_not_looked_at_again() {
        assert_eq!(find(b";bcd;", b';', 3), Some(4));
        assert_eq!(find(b";bcd;", b';', 5), None);
        assert_eq!(find(b"x;", b';', 0), Some(1));
    }
}
