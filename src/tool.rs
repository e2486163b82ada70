//! What the program `tpipe` needs of the inside of the crate, so that it decides as the crate does. Not for others.

use std::io;
use std::path::Path;

pub use crate::service::{AskedService, Came, UntypedCall, UntypedClient};
pub use crate::sys::found::{Cleaned, Does, Found, Holder, Kind, Locked};
pub use crate::typed_connection::{Answer, Question, Said, Told};
use crate::wire;
use crate::wire::shape::Shape;

/// What can be seen of a name from outside. Looking changes nothing.
///
/// # Errors
///
/// Those of the system, and [`Unsupported`](io::ErrorKind::Unsupported) on Windows.
pub fn look(path: &Path) -> io::Result<Found> {
    crate::sys::look(path)
}

/// Removes what a dead owner left under a name: nothing else, and nothing that a process has open.
///
/// # Errors
///
/// Those of the system, and of a folder or a lock that is not [trusted](crate::ErrorKind::NotTrusted).
pub fn clean(path: &Path) -> io::Result<Cleaned> {
    crate::sys::clean(path)
}

/// The bytes by which a writer on a pipe says what its messages look like.
#[must_use]
pub fn hello(shape: &Shape) -> Vec<u8> {
    wire::hello(shape)
}
