//! What is printed. No byte of another process reaches a terminal as a control character.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use serde_json::Value;

use crate::failure::Failure;

/// The standard output and the standard error.
#[derive(Debug)]
pub(crate) struct Screen {
    json: bool,
    colour: bool,
    colour_of_errors: bool,
}

impl Screen {
    pub(crate) fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = !json && wanted && io::stdout().is_terminal();
        Self { json, colour, colour_of_errors: wanted && io::stderr().is_terminal() }
    }

    /// Whether the output is for another program.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a line of words.
    pub(crate) fn line(&self, words: &str) -> Result<(), Failure> {
        self.put(&shown(words))
    }

    /// Prints a line with a name in front.
    pub(crate) fn about(&self, name: &str, words: &str) -> Result<(), Failure> {
        let (name, words) = (shown(&format!("{name:<9}")), shown(words));
        match self.colour {
            true => self.put(&format!("\x1b[1m{name}\x1b[0m {words}")),
            false => self.put(&format!("{name} {words}")),
        }
    }

    /// Prints a table, whose first row has the names of the columns.
    pub(crate) fn table(&self, rows: &[Vec<String>]) -> Result<(), Failure> {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
        let mut widths: Vec<usize> = Vec::new();
        for row in &rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (number, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            match self.colour && number == 0 {
                true => self.put(&format!("\x1b[2m{}\x1b[0m", line.trim_end()))?,
                false => self.put(line.trim_end())?,
            }
        }
        Ok(())
    }

    /// Prints a value as a line of JSON.
    pub(crate) fn value(&self, value: &Value) -> Result<(), Failure> {
        self.put(&escaped(&value.to_string()))
    }

    /// Prints a value as JSON for a reader.
    pub(crate) fn pretty(&self, value: &Value) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        text.lines().try_for_each(|line| self.put(&escaped(line)))
    }

    /// Prints a line on the standard error.
    pub(crate) fn complain(&self, words: &str) {
        let name = if self.colour_of_errors { "\x1b[31mtpipe:\x1b[0m" } else { "tpipe:" };
        // If nobody reads it, there is nobody else to tell.
        let _ = writeln!(io::stderr(), "{name} {}", shown(words));
    }

    fn put(&self, line: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::NobodyReads),
            Err(error) => Err(Failure::File("the standard output".to_owned(), error)),
            Ok(()) => Ok(()),
        }
    }
}

/// Words without a character that a terminal would act on.
pub(crate) fn shown(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match acts(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out
}

/// The same JSON without such a character. They stand in strings alone, where JSON has a way to write them.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if !acts(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// Whether a terminal may act on a character: controls, and what changes the direction of text or is not seen.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}2J\u{7f}\r\u{202e}\u{e0041}é";

    #[test]
    fn hostile_words_are_no_controls() {
        assert_eq!(shown(HOSTILE), "a\\u{1b}[2J\\u{9b}2J\\u{7f}\\u{d}\\u{202e}\\u{e0041}é");
    }

    #[test]
    fn hostile_json_is_the_same_json() {
        let value = Value::from(HOSTILE);
        let text = escaped(&value.to_string());
        assert!(!text.chars().any(acts), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
