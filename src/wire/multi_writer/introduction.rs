//! The introduction of a writer: its codec and its messages.

use std::fmt;

use crate::wire::short_text;

/// The names of a codec and of the messages. An empty name matches any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Introduction {
    pub(super) codec: String,
    pub(super) message: String,
}

impl Introduction {
    /// Cuts a name to the room in an introduction.
    pub(super) fn name(name: &str) -> String {
        short_text::cut(name, LONGEST).to_owned()
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        2 + self.codec.len() + self.message.len()
    }

    /// Appends its bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for name in [&self.codec, &self.message] {
            short_text::write(name, out);
        }
    }

    /// Reads what `write` wrote. Bytes after it are left to later versions.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (codec, rest) = short_text::read(bytes)?;
        let (message, _) = short_text::read(rest)?;
        Some(Self { codec, message })
    }

    /// Whether no name that both sides have differs.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let agree = |one: &str, other: &str| one.is_empty() || other.is_empty() || one == other;
        agree(&self.codec, &other.codec) && agree(&self.message, &other.message)
    }
}

impl fmt::Display for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may come from any writer, so it is escaped for a terminal.
        write!(f, "{:?}", self.codec)?;
        match self.message.as_str() {
            "" => Ok(()),
            message => write!(f, " with messages {message:?}"),
        }
    }
}

/// The longest name, so that an introduction is one fragment on every system.
const LONGEST: u8 = 120;

#[cfg(test)]
mod tests {
    use super::*;

    fn introduction(codec: &str, message: &str) -> Introduction {
        Introduction { codec: codec.into(), message: message.into() }
    }

    #[test]
    fn reads_what_it_wrote() {
        for said in [introduction("", ""), introduction("postcard", ""), introduction("json", "ü")]
        {
            let mut bytes = Vec::new();
            said.write(&mut bytes);
            assert_eq!(bytes.len(), said.len());
            assert_eq!(Introduction::read(&bytes), Some(said.clone()));
            for cut in 0..bytes.len() {
                assert_eq!(Introduction::read(&bytes[..cut]), None);
            }
            bytes.push(7);
            assert_eq!(Introduction::read(&bytes), Some(said));
        }
    }

    #[test]
    fn what_is_not_said_agrees_with_all() {
        let jobs = introduction("postcard", "jobs");
        assert!(jobs.agrees(&jobs));
        assert!(jobs.agrees(&introduction("", "")));
        assert!(introduction("postcard", "").agrees(&jobs));
        assert!(!jobs.agrees(&introduction("json", "jobs")));
        assert!(!jobs.agrees(&introduction("postcard", "news")));
    }

    #[test]
    fn names_are_shortened_between_two_characters() {
        assert_eq!(Introduction::name("short"), "short");
        assert_eq!(Introduction::name(&"a".repeat(121)), "a".repeat(120));
        assert_eq!(Introduction::name(&format!("a{}", "ü".repeat(90))).len(), 119);
    }

    #[test]
    fn a_hostile_name_does_nothing_to_a_terminal() {
        let said = introduction("\x1b[2J", "a\nb").to_string();
        assert!(!said.chars().any(char::is_control), "{said}");
    }
}
