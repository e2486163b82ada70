//! Texts with their length in one byte.

/// The longest prefix of a text that has at most `most` bytes and ends at a character boundary.
pub(crate) fn cut(text: &str, most: u8) -> &str {
    let mut end = text.len().min(most.into());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Appends a text, cut to the 255 bytes that its length can count.
pub(crate) fn write(text: &str, out: &mut Vec<u8>) {
    let text = cut(text, u8::MAX);
    out.extend(u8::try_from(text.len()));
    out.extend_from_slice(text.as_bytes());
}

/// Reads what [`write`] wrote: returns the text and the bytes after it. Invalid UTF-8 is replaced.
pub(crate) fn read(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(len.into())?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let mut bytes = Vec::new();
        for text in ["", "short", "é"] {
            write(text, &mut bytes);
        }
        let mut rest = bytes.as_slice();
        for text in ["", "short", "é"] {
            let (read, more) = read(rest).unwrap();
            assert_eq!(read, text);
            rest = more;
        }
        assert_eq!(read(rest), None);
        assert_eq!(read(b"\x05four"), None);
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let long = "é".repeat(200);
        assert_eq!(cut(&long, 255).len(), 254);
        assert_eq!(cut("short", 255), "short");
        assert_eq!(cut("short", 2), "sh");
        let mut bytes = Vec::new();
        write(&long, &mut bytes);
        assert_eq!(read(&bytes), Some(("é".repeat(127), &b""[..])));
    }
}
