//! Memory that processes share: files of no name, sealed so that no process can do harm to another one through them.

mod file;
mod layout;
mod line;
mod mapping;
mod memory;
mod offer;
mod protocol;
mod ring;
mod sealed;
#[cfg(test)]
pub(super) mod tests;

/// What `protocol` orders its accesses with; `loom/` has its own.
use std::sync::atomic;

pub(crate) use offer::{GREETING, Offer};
pub(crate) use ring::RingView;
pub(super) use ring::{RingReader, RingWriter};
pub(crate) use sealed::Sealed;
