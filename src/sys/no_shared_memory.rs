//! Shared memory where the system has none that this crate can use: no value of these types exists.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;

use super::{Handle, Raw};
use crate::error::Obstacle;

#[derive(Debug)]
pub(crate) enum Sealed {}

impl Sealed {
    pub(crate) fn fill(_: usize, _: impl FnOnce(&mut [u8])) -> io::Result<Self> {
        Err(Obstacle::Unsupported.into())
    }

    pub(crate) fn copy(_: &[u8]) -> io::Result<Self> {
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

/// A message in a ring.
#[derive(Debug)]
pub(crate) struct RingView<'a>(Infallible, PhantomData<&'a mut ()>);

impl RingView<'_> {
    pub(crate) fn len(&self) -> usize {
        match self.0 {}
    }

    pub(crate) fn copy_out(&self, _: usize, _: &mut [u8]) -> usize {
        match self.0 {}
    }

    #[allow(unsafe_code, reason = "as where there is one")]
    pub(crate) unsafe fn bytes(&self) -> &[u8] {
        match self.0 {}
    }
}

/// The bytes that go to the other side, with the handles.
pub(crate) const GREETING: usize = 8;

#[derive(Debug)]
pub(crate) enum Offer {}

#[derive(Debug)]
pub(crate) enum Taken {}

impl Offer {
    pub(crate) const PART: Option<&'static [u8]> = None;

    pub(crate) fn new(_: Option<usize>) -> io::Result<(Self, Vec<Handle>)> {
        Err(Obstacle::Unsupported.into())
    }

    pub(crate) fn greeting(&self) -> [u8; GREETING] {
        match *self {}
    }

    pub(crate) fn none() -> [u8; GREETING] {
        [0; GREETING]
    }

    pub(crate) fn handles_of(_: &[u8; GREETING]) -> usize {
        0
    }

    pub(crate) fn take(self, _: &[u8; GREETING], _: Vec<Handle>) -> io::Result<Taken> {
        match self {}
    }
}

impl Taken {
    pub(crate) fn lines(&self) -> [&Handle; 2] {
        match *self {}
    }

    pub(crate) fn install(self, _: &mut Raw, _: &mut Raw) {
        match self {}
    }
}
