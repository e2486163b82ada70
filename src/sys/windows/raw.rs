//! An open end of a pipe.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::path::Path;
#[cfg(feature = "tokio")]
use std::sync::Arc;

#[cfg(feature = "tokio")]
use super::Event;
use super::stream::Stream;
use super::writers::Writers;
use crate::error::Obstacle;
use crate::sys::{Wait, Way};

/// An open end.
#[derive(Debug)]
pub struct Raw(Kind);

#[derive(Debug)]
enum Kind {
    /// Of all ends but those of an owner who reads.
    Stream(Box<Stream>),
    Writers(Box<Writers>),
}

impl Raw {
    pub(crate) fn open(path: &Path, way: Way, any_owner: bool, wait: Wait<'_>) -> io::Result<Self> {
        Stream::open(path, way, any_owner, wait).map(Self::from)
    }

    pub(crate) fn adopt(handle: OwnedHandle, way: Way) -> Result<Self, (OwnedHandle, io::Error)> {
        Stream::adopt(handle, way).map(Self::from)
    }

    pub(crate) fn into_handle(self) -> OwnedHandle {
        match self.0 {
            Kind::Stream(stream) => stream.into_handle(),
            Kind::Writers(writers) => writers.into_stand_in(),
        }
    }

    pub(crate) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Stream(stream) => stream.read(buf, wait),
            Kind::Writers(writers) => writers.read(buf, wait),
        }
    }

    /// Reads into the first buffer that has room: the system has no call for several.
    pub(crate) fn read_vectored(
        &mut self,
        bufs: &mut [IoSliceMut<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        match bufs.iter_mut().find(|buf| !buf.is_empty()) {
            Some(buf) => self.read(buf, wait),
            None => Ok(0),
        }
    }

    pub(crate) fn write(&mut self, buf: &[u8], wait: Wait<'_>) -> io::Result<usize> {
        self.for_writing()?.write(buf, wait)
    }

    pub(crate) fn write_vectored(
        &mut self,
        bufs: &[IoSlice<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        self.for_writing()?.write_vectored(bufs, wait)
    }

    /// After the last writer left: the next read waits for the next writer.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Stream(stream) => stream.renew(),
            Kind::Writers(writers) => {
                writers.renew();
                Ok(())
            }
        }
    }

    /// The system tells a writer nothing of the bytes that are not taken yet.
    pub(crate) fn wait_until_taken(&self, _: Wait<'_>) -> io::Result<bool> {
        Ok(false)
    }

    pub(crate) fn buffer_size(&self) -> io::Result<usize> {
        match &self.0 {
            Kind::Stream(stream) => stream.buffer_size(),
            Kind::Writers(writers) => writers.buffer_size(),
        }
    }

    fn for_writing(&mut self) -> io::Result<&mut Stream> {
        match &mut self.0 {
            Kind::Stream(stream) => Ok(stream),
            Kind::Writers(_) => Err(Obstacle::WrongDirection("writing").into()),
        }
    }
}

#[cfg(feature = "tokio")]
impl Raw {
    /// Prepares for a task; tells the event that is set when it should look again.
    pub(super) fn attend(&mut self, way: Way) -> io::Result<Arc<Event>> {
        match &mut self.0 {
            Kind::Stream(stream) => stream.attend(way),
            Kind::Writers(writers) => Ok(writers.event()),
        }
    }

    /// Whether the next read looks for the next writer, which may not be there yet.
    pub(super) fn awaits_next(&self) -> bool {
        matches!(&self.0, Kind::Stream(stream) if stream.awaits_next())
    }

    pub(super) fn write_behind(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.for_writing()?.write_behind(bytes)
    }

    pub(super) fn give_up_write(&mut self) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Stream(stream) => stream.give_up_write(),
            Kind::Writers(_) => Ok(0),
        }
    }
}

impl AsHandle for Raw {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        match &self.0 {
            Kind::Stream(stream) => stream.as_handle(),
            Kind::Writers(writers) => writers.as_handle(),
        }
    }
}

impl From<Stream> for Raw {
    fn from(stream: Stream) -> Self {
        Self(Kind::Stream(Box::new(stream)))
    }
}

impl From<Writers> for Raw {
    fn from(writers: Writers) -> Self {
        Self(Kind::Writers(Box::new(writers)))
    }
}
