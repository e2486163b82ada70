//! The introduction of a writer: its codec and its messages.

use std::fmt;

use crate::wire::shape::Shape;
use crate::wire::shape::hello::{self, Refusal};
use crate::wire::short_text;

/// The names of a codec and of the messages, and what these look like. An empty name matches any.
#[derive(Clone, Debug, Default)]
pub(super) struct Introduction {
    pub(super) codec: String,
    pub(super) message: String,
    pub(super) shape: Option<Shape>,
    /// Whether another writer must say what its messages look like.
    pub(super) strict: bool,
    /// How many bytes it may have.
    pub(super) room: usize,
}

/// The introduction of another writer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard<'a> {
    codec: String,
    message: String,
    /// What its messages look like; empty if it does not say.
    hello: &'a [u8],
}

impl Introduction {
    /// Cuts a name to the room in an introduction.
    pub(super) fn name(name: &str) -> String {
        short_text::cut(name, LONGEST).to_owned()
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.names() + self.told().map_or(0, |(_, described)| hello::HEAD + described.len())
    }

    fn names(&self) -> usize {
        2 + self.codec.len() + self.message.len()
    }

    /// The fingerprint of the messages, and their description if there is room for it.
    fn told(&self) -> Option<(u64, &[u8])> {
        let shape = self.shape.as_ref()?;
        let described = shape.description();
        let fits = self.names() + hello::HEAD + described.len() <= self.room;
        Some((shape.fingerprint(), if fits { described } else { &[] }))
    }

    /// Appends its bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for name in [&self.codec, &self.message] {
            short_text::write(name, out);
        }
        if let Some((fingerprint, described)) = self.told() {
            hello::write_parts(fingerprint, described, out);
        }
    }

    /// Reads what `write` wrote. Bytes after it are left to later versions.
    pub(super) fn read(bytes: &[u8]) -> Option<Heard<'_>> {
        let (codec, rest) = short_text::read(bytes)?;
        let (message, rest) = short_text::read(rest)?;
        let hello = hello::len(rest).and_then(|len| rest.get(..len)).unwrap_or_default();
        Some(Heard { codec, message, hello })
    }

    /// Compares the names that both sides have, and what the messages look like.
    pub(super) fn agrees(&self, other: &Heard<'_>) -> Result<(), Unlike> {
        let agree = |one: &str, other: &str| one.is_empty() || other.is_empty() || one == other;
        if !agree(&self.codec, &other.codec) || !agree(&self.message, &other.message) {
            let theirs = names(&other.codec, &other.message);
            return Err(Unlike { theirs, ours: self.to_string() });
        }
        let what = match (&self.shape, other.hello) {
            (_, []) if self.strict => {
                "messages without saying what they look like, which is required here".to_owned()
            }
            (None, _) | (_, []) => return Ok(()),
            (Some(ours), hello) => match hello::read(hello, ours) {
                Ok(_) => return Ok(()),
                Err(Refusal::Differs(place)) => format!("messages that do not fit: {place}"),
                Err(Refusal::Garbled) => {
                    "messages of another type, of which it says no more".to_owned()
                }
            },
        };
        Err(Unlike { theirs: what, ours: String::new() })
    }
}

/// What another writer sends, and what was expected, in words; nothing, where the first says it all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unlike {
    pub(super) theirs: String,
    pub(super) ours: String,
}

impl fmt::Display for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&names(&self.codec, &self.message))
    }
}

/// The names in words. They may come from any writer, so they are escaped for a terminal.
fn names(codec: &str, message: &str) -> String {
    match message {
        "" => format!("{codec:?}"),
        message => format!("{codec:?} with messages {message:?}"),
    }
}

/// The longest name, so that an introduction is one fragment on every system.
const LONGEST: u8 = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::shape::Style;

    fn introduction(codec: &str, message: &str) -> Introduction {
        Introduction { codec: codec.into(), message: message.into(), ..Introduction::default() }
    }

    fn heard(codec: &str, message: &str) -> Heard<'static> {
        Heard { codec: codec.into(), message: message.into(), hello: &[] }
    }

    #[test]
    fn reads_what_it_wrote() {
        for said in [introduction("", ""), introduction("postcard", ""), introduction("json", "ü")]
        {
            let mut bytes = Vec::new();
            said.write(&mut bytes);
            assert_eq!(bytes.len(), said.len());
            assert_eq!(Introduction::read(&bytes), Some(heard(&said.codec, &said.message)));
            for cut in 0..bytes.len() {
                assert_eq!(Introduction::read(&bytes[..cut]), None);
            }
            bytes.push(7);
            assert_eq!(Introduction::read(&bytes), Some(heard(&said.codec, &said.message)));
        }
    }

    #[test]
    fn what_is_not_said_agrees_with_all() {
        let jobs = introduction("postcard", "jobs");
        assert!(jobs.agrees(&heard("postcard", "jobs")).is_ok());
        assert!(jobs.agrees(&heard("", "")).is_ok());
        assert!(introduction("postcard", "").agrees(&heard("postcard", "jobs")).is_ok());
        assert!(jobs.agrees(&heard("json", "jobs")).is_err());
        assert!(jobs.agrees(&heard("postcard", "news")).is_err());
    }

    #[test]
    fn names_are_shortened_between_two_characters() {
        assert_eq!(Introduction::name("short"), "short");
        assert_eq!(Introduction::name(&"a".repeat(121)), "a".repeat(120));
        assert_eq!(Introduction::name(&format!("a{}", "ü".repeat(90))).len(), 119);
    }

    #[test]
    fn a_description_that_has_no_room_is_left_out() {
        let mut said = introduction("postcard", "");
        said.shape = Some(Shape::of::<(u8, String)>(Style::Positional));
        for (room, described) in [(10, false), (200, true)] {
            said.room = room;
            let mut bytes = Vec::new();
            said.write(&mut bytes);
            assert_eq!(bytes.len(), said.len());
            let heard = Introduction::read(&bytes).unwrap();
            assert_eq!(heard.hello.len() > hello::HEAD, described);
            assert!(said.agrees(&heard).is_ok());
            let mut other = introduction("postcard", "");
            other.shape = Some(Shape::of::<(u8, u8)>(Style::Positional));
            let words = other.agrees(&heard).unwrap_err().theirs;
            assert_eq!(words.contains("`message.1`: u8 here, text there"), described, "{words}");
        }
    }

    #[test]
    fn a_hostile_name_does_nothing_to_a_terminal() {
        let said = introduction("\x1b[2J", "a\nb").to_string();
        assert!(!said.chars().any(char::is_control), "{said}");
    }
}
