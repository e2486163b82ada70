//! Where two shapes part.

use std::fmt;

/// Where what one side writes is not what the other one reads.
///
/// It has words for each side: what "here" and "there" are depends on who asks.
///
/// ```
/// use typed_pipe::wire::shape::{Shape, Style};
///
/// let written = Shape::of::<(u8, f32)>(Style::Positional);
/// let difference = written.read_by(&Shape::of::<(u8, f64)>(Style::Positional)).unwrap_err();
/// assert_eq!(difference.to_string(), "`message.1`: f32 is written, f64 is read");
/// assert_eq!(difference.to_sender(), "what this side sends: `message.1`: f32 here, f64 there");
/// assert_eq!(difference.to_receiver(), "what this side receives: `message.1`: f64 here, f32 there");
/// ```
#[doc(alias = "incompatibility")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    place: String,
    written: String,
    read: String,
}

impl Difference {
    pub(super) fn new(place: String, written: String, read: String) -> Self {
        Self { place, written, read }
    }

    /// The place in the message: `Reading.celsius`, `Command::Set.rate`, `message[].1`.
    ///
    /// ```
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// let [texts, numbers] = [Shape::of::<Vec<String>>, Shape::of::<Vec<u64>>];
    /// let difference = texts(Style::Named).read_by(&numbers(Style::Named)).unwrap_err();
    /// assert_eq!(difference.place(), "message[]");
    /// ```
    #[must_use]
    #[cfg_attr(not(feature = "tool"), doc(hidden))]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Tells the side that sends: "here" is what it writes.
    #[must_use]
    #[cfg_attr(not(feature = "tool"), doc(hidden))]
    pub fn to_sender(&self) -> String {
        let Self { place, written, read } = self;
        format!("what this side sends: `{place}`: {written} here, {read} there")
    }

    /// Tells the side that receives: "here" is what it reads.
    #[must_use]
    #[cfg_attr(not(feature = "tool"), doc(hidden))]
    pub fn to_receiver(&self) -> String {
        let Self { place, written, read } = self;
        format!("what this side receives: `{place}`: {read} here, {written} there")
    }

    /// Tells of one type at two times, of which the writer was the earlier one, or the later.
    pub(super) fn over_time(&self, forth: bool) -> String {
        let Self { place, written, read } = self;
        let (before, now) = if forth { (written, read) } else { (read, written) };
        match forth {
            true => format!("`{place}`: {before} before, {now} now"),
            false => format!("`{place}`: {now} now, {before} before"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, written, read } = self;
        write!(f, "`{place}`: {written} is written, {read} is read")
    }
}

impl std::error::Error for Difference {}
