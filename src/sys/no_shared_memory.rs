//! Sealed bytes where the system has none: no value of the type exists.

use std::io;

use super::Handle;
use crate::error::Obstacle;

#[derive(Debug)]
pub(crate) enum Sealed {}

impl Sealed {
    pub(crate) fn fill(_: usize, _: impl FnOnce(&mut [u8])) -> io::Result<Self> {
        Err(Obstacle::Unsupported.into())
    }

    pub(crate) fn adopt(handle: Handle, _: usize) -> Result<Self, (Handle, io::Error)> {
        Err((handle, Obstacle::Unsupported.into()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match *self {}
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        match *self {}
    }
}

impl From<Sealed> for Handle {
    fn from(sealed: Sealed) -> Self {
        match sealed {}
    }
}
