//! Texts as they may be shown: another process may have written them.

use std::fmt::{self, Write};

/// Writes text on, with what a terminal or a log would act on escaped.
pub(super) struct Shown<W>(pub(super) W);

impl<W: Write> Write for Shown<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(acts) {
            match part.char_indices().next_back() {
                Some((at, last)) if acts(last) => {
                    self.0.write_str(part.get(..at).unwrap_or_default())?;
                    write!(self.0, "{}", last.escape_debug())?;
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// Whether something is done by it: controls, ends of lines, and what changes the direction of the text around it.
fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut out = String::new();
        Shown(&mut out).write_str(text).unwrap();
        out
    }

    #[test]
    fn what_a_terminal_acts_on_is_escaped_and_all_else_is_kept() {
        for (text, there) in [
            ("", ""),
            ("plain `é` \\ \"quoted\" 字", "plain `é` \\ \"quoted\" 字"),
            ("\x1b[31mred", "\\u{1b}[31mred"),
            ("one\ntwo\r\n\t\0", "one\\ntwo\\r\\n\\t\\0"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\u{202e}b\u{2066}c\u{200f}d", "a\\u{202e}b\\u{2066}c\\u{200f}d"),
            ("a\u{2028}b\u{61c}", "a\\u{2028}b\\u{61c}"),
        ] {
            assert_eq!(shown(text), there);
        }
    }
}
