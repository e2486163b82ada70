//! Whether this is still the process that made something: always, since no process is forked.

/// The process that made something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Maker;

impl Maker {
    pub(crate) fn this() -> Self {
        Self
    }

    /// Whether it is this process.
    pub(crate) fn is_this(self) -> bool {
        true
    }
}
