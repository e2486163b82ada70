//! For the tests of a program.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Difference, Shape, Style, ValueCheck, description};
use crate::error::CodecError;
use crate::wire::{Codec, Postcard};

/// Shows that a value is read as what it was written as: for the tests of a program.
///
/// It holds what `Serialize` writes against what `Deserialize` reads, by the shape and by the bytes of [`Postcard`]. A
/// type whose two sides were written by hand, or with attributes that say different things of them, fails here and not
/// in another process.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::wire::shape::round_trips;
///
/// #[derive(Serialize, Deserialize)]
/// struct Job {
///     id: u64,
///     #[serde(skip_serializing_if = "Option::is_none")] // postcard reads it all the same
///     parent: Option<u64>,
///     name: String,
/// }
///
/// round_trips(&Job { id: 1, parent: Some(2), name: "make".into() })?;
/// let error = round_trips(&Job { id: 1, parent: None, name: "make".into() }).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`Job`: field 1 is `name` is written, field 1 is `parent` (option of u64) is read",
/// );
/// # Ok::<(), typed_pipe::CodecError>(())
/// ```
///
/// # Errors
///
/// A [`CodecError`] that says where the two part: a [`Difference`], what the codec says, or that the bytes are others when
/// the value is written again.
#[doc(alias = "roundtrip")]
pub fn round_trips<T: Serialize + DeserializeOwned>(value: &T) -> Result<(), CodecError> {
    round_trips_in(&Postcard, value)
}

fn round_trips_in<C: Codec, T: Serialize + DeserializeOwned>(
    codec: &C,
    value: &T,
) -> Result<(), CodecError> {
    if let Some(style) = codec.style() {
        ValueCheck::new(&Shape::of::<T>(style)).check(value).map_err(CodecError::format)?;
    }
    let (mut once, mut again) = (Vec::new(), Vec::new());
    codec.encode(value, &mut once)?;
    codec.encode(&codec.decode::<T>(&once)?, &mut again)?;
    match once == again {
        true => Ok(()),
        false => Err(CodecError::format("the value is another one when it was written and read")),
    }
}

/// Shows that two types are the same to every codec: for the tests of a program.
///
/// ```
/// use serde::Deserialize;
/// use typed_pipe::wire::shape::same_shape;
///
/// #[derive(Deserialize)]
/// struct Point {
///     x: f64,
///     y: f64,
/// }
///
/// #[derive(Deserialize)]
/// struct Swapped {
///     y: f64,
///     x: f64,
/// }
///
/// same_shape::<Vec<Point>, Box<[Point]>>()?;
/// assert!(same_shape::<Point, Swapped>().is_err()); // JSON would not mind
/// # let _ = (Point { x: 0.0, y: 0.0 }.x, Point { x: 0.0, y: 0.0 }.y, Swapped { y: 0.0, x: 0.0 }.x);
/// # let _ = Swapped { y: 0.0, x: 0.0 }.y;
/// # Ok::<(), typed_pipe::wire::shape::Difference>(())
/// ```
///
/// # Errors
///
/// The first [`Difference`] between what one of them writes and the other one reads.
pub fn same_shape<A: DeserializeOwned, B: DeserializeOwned>() -> Result<(), Difference> {
    for style in [Style::Positional, Style::Named] {
        let (a, b) = (Shape::of::<A>(style), Shape::of::<B>(style));
        a.read_by(&b)?;
        b.read_by(&a)?;
    }
    Ok(())
}

impl Shape {
    /// Holds a message against a golden value, for the tests of a program: a message changes on purpose, or not at all.
    ///
    /// Begin with `""`. The test then fails, and says what to write there.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use typed_pipe::wire::shape::{Shape, Style};
    ///
    /// #[derive(Deserialize)]
    /// struct Point {
    ///     x: f64,
    ///     y: f64,
    /// }
    ///
    /// let point = Shape::of::<Point>(Style::Positional);
    /// point.assert_unchanged("d97a53bd52a8959e-01020805506f696e740201780100017901001d");
    /// # let _ = (Point { x: 0.0, y: 0.0 }.x, Point { x: 0.0, y: 0.0 }.y);
    /// ```
    ///
    /// # Panics
    ///
    /// If the message has changed. The words say where, and what the golden value is now.
    #[track_caller]
    pub fn assert_unchanged(&self, golden: &str) {
        if let Err(words) = self.unchanged(golden) {
            panic!("{words}");
        }
    }

    fn unchanged(&self, golden: &str) -> Result<(), String> {
        let (before, described) = golden.split_once('-').unwrap_or((golden, ""));
        let now = format!("{:016x}", self.fingerprint());
        if before == now {
            return Ok(());
        }
        let read = from_hex(described).and_then(|bytes| Self::from_description(&bytes).ok());
        let place = match read {
            _ if golden.is_empty() => "it has no golden value yet".to_owned(),
            None => "the golden value does not tell where".to_owned(),
            Some(before) => match (before.read_by(self), self.read_by(&before)) {
                (Err(difference), _) => difference.over_time(true),
                (Ok(()), Err(difference)) => {
                    let words = difference.over_time(false);
                    format!("the readers of before do not read all of it: {words}")
                }
                (Ok(()), Ok(())) => "it writes and reads what it did, by other rules".to_owned(),
            },
        };
        let bytes = description::within(description::LIMIT, self.style(), self.nodes());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Err(format!("this message changed: {place}; its golden value is now \"{now}-{hex}\""))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit =
        |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(byte).collect()
}
