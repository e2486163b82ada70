//! An open end of a pipe, or one half of a connection.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::TcpStream;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::path::Path;
use std::sync::Arc;
#[cfg(any(feature = "fanout", feature = "tokio"))]
use std::time::Duration;

#[cfg(any(feature = "fanout", feature = "tokio"))]
use super::Event;
use super::connection::Connection;
use super::halves;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::stream::Stream;
use super::writers::Writers;
use super::{resource_errors, tcp};
use crate::error::Obstacle;
use crate::sys::carrier::{self, Carrier, CarrierReader, CarrierWriter, Threads};
#[cfg(feature = "shared-memory")]
use crate::sys::{Measure, SharedView};
use crate::sys::{Peer, Wait, Way};

/// The interval at which a wait for a connection checks whether the other side has left: under Wine, a side that closes
/// without a farewell sets no event.
#[cfg(any(feature = "fanout", feature = "tokio"))]
const LOOK: Duration = Duration::from_millis(50);

/// An open end, or a half.
#[derive(Debug)]
pub struct Raw(RawKind);

#[derive(Debug)]
enum RawKind {
    /// Any end except the reading end of an owner.
    Stream(Box<Stream>),
    Writers(Box<Writers>),
    /// The reading half.
    Incoming(Box<Incoming>),
    /// The writing half.
    Outgoing(Box<Outgoing>),
    CarrierReader(Box<CarrierReader>),
    CarrierWriter(Box<CarrierWriter>),
}

impl Raw {
    pub(crate) fn open(path: &Path, way: Way, any_owner: bool, wait: Wait<'_>) -> io::Result<Self> {
        Stream::open(path, way, any_owner, wait).map(Self::from).map_err(resource_errors::told)
    }

    pub(crate) fn adopt(handle: OwnedHandle, way: Way) -> Result<Self, (OwnedHandle, io::Error)> {
        Stream::adopt(handle, way).map(Self::from)
    }

    /// Gives the handle away. A half has none of its own, nor has a set of writers.
    pub(crate) fn into_handle(self) -> Option<OwnedHandle> {
        match self.0 {
            RawKind::Stream(stream) => Some(stream.into_handle()),
            _ => None,
        }
    }

    pub(crate) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        match &mut self.0 {
            RawKind::Stream(stream) => stream.read(buf, wait),
            RawKind::Writers(writers) => writers.read(buf, wait),
            RawKind::Incoming(half) => half.read(buf, wait),
            RawKind::CarrierReader(half) => half.read(buf, wait),
            RawKind::Outgoing(_) | RawKind::CarrierWriter(_) => {
                Err(Obstacle::WrongDirection("reading").into())
            }
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
        match &mut self.0 {
            RawKind::Stream(stream) => stream.write(buf, wait),
            RawKind::Outgoing(half) => half.write(buf, wait),
            RawKind::CarrierWriter(half) => half.write(buf, wait),
            _ => Err(Obstacle::WrongDirection("writing").into()),
        }
    }

    pub(crate) fn write_vectored(
        &mut self,
        bufs: &[IoSlice<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        match &mut self.0 {
            RawKind::Stream(stream) => stream.write_vectored(bufs, wait),
            RawKind::Outgoing(half) => half.write_vectored(bufs, wait),
            RawKind::CarrierWriter(half) => {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                first.map_or(Ok(0), |buf| half.write(buf, wait))
            }
            _ => Err(Obstacle::WrongDirection("writing").into()),
        }
    }

    /// Waits until a writer has come to an owner. A client is connected to one already.
    pub(crate) fn wait_for_writer(&mut self, wait: Wait<'_>) -> io::Result<()> {
        match &mut self.0 {
            RawKind::Writers(writers) => writers.wait_for_writer(wait),
            _ => Ok(()),
        }
    }

    /// The system takes no pages.
    #[expect(
        clippy::needless_pass_by_ref_mut,
        clippy::unused_self,
        reason = "on Linux pages are lent"
    )]
    pub(crate) fn lend(&mut self, _: usize, _: usize, _: Wait<'_>) -> bool {
        false
    }

    pub(crate) fn lent(&self) -> &[u8] {
        &[]
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        clippy::unused_self,
        reason = "on Linux pages are lent"
    )]
    pub(crate) fn lent_mut(&mut self) -> &mut [u8] {
        &mut []
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        clippy::unused_self,
        reason = "on Linux pages are lent"
    )]
    pub(crate) fn give(&mut self, _: Wait<'_>) -> io::Result<usize> {
        Err(Obstacle::Unsupported.into())
    }

    /// Does nothing: a client's reading end gets bytes for itself alone.
    #[cfg(feature = "foreign")]
    #[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "Unix has more to do")]
    pub(crate) fn forget_left_over(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// After the last writer left: the next read waits for the next writer. The end of a connection stays.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        match &mut self.0 {
            RawKind::Stream(stream) => stream.renew().map_err(resource_errors::told),
            RawKind::Writers(writers) => {
                writers.renew();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The system does not report to a writer which bytes are not read yet. A carrier may.
    pub(crate) fn wait_until_taken(&self, wait: Wait<'_>) -> io::Result<bool> {
        match &self.0 {
            RawKind::CarrierWriter(half) => half.wait_until_taken(wait),
            _ => Ok(false),
        }
    }

    pub(crate) fn buffer_size(&self) -> io::Result<usize> {
        match (&self.0, self.connection()) {
            (RawKind::Stream(stream), _) => stream.buffer_size(),
            (RawKind::Writers(writers), _) => writers.buffer_size(),
            (_, Ok(connection)) => Ok(connection.info().quota),
            (_, Err(error)) => Err(error),
        }
    }

    /// Connects to a server. The first half is read from, the second one written to.
    pub(crate) fn connect(
        path: &Path,
        any_owner: bool,
        wait: Wait<'_>,
    ) -> io::Result<(Self, Self)> {
        let opened = halves::open(path, any_owner, wait).map_err(resource_errors::told);
        let (incoming, outgoing) = opened?;
        Ok((incoming.into(), outgoing.into()))
    }

    /// Adopts a handle of both ways.
    pub(crate) fn adopt_both(
        handle: OwnedHandle,
    ) -> Result<(Self, Self), (OwnedHandle, io::Error)> {
        let (incoming, outgoing) = halves::adopt(handle)?;
        Ok((incoming.into(), outgoing.into()))
    }

    /// Does nothing: the half that is dropped last ends no direction.
    #[expect(clippy::unused_self, reason = "on Unix the halves share a state")]
    pub(crate) fn set_apart(&self, _: bool) {}

    /// Both halves of a connection over a TCP stream. The system has no wait for a socket beside an event that threads
    /// and tasks share, so two threads of its own read and write.
    pub(crate) fn over_tcp(stream: TcpStream) -> io::Result<(Self, Self)> {
        let (reader, writer) = tcp::halves(stream)?;
        let peer = writer.peer()?;
        Self::over_started(|| Ok(Threads::new(reader, writer)?.of_peer(peer)))
    }

    /// Both halves of a connection over a carrier.
    pub(crate) fn over(carrier: impl Carrier) -> io::Result<(Self, Self)> {
        Self::over_started(|| Ok(carrier))
    }

    /// The same over one that begins to work when nothing else can fail any more.
    pub(crate) fn over_started<C: Carrier>(
        start: impl FnOnce() -> io::Result<C>,
    ) -> io::Result<(Self, Self)> {
        let (reader, writer) = carrier::halves(start)?;
        Ok((
            Self(RawKind::CarrierReader(Box::new(reader))),
            Self(RawKind::CarrierWriter(Box::new(writer))),
        ))
    }

    /// Whether bytes were read that its handle does not give any more.
    pub(crate) fn holds_bytes(&self) -> bool {
        match &self.0 {
            RawKind::Stream(stream) => stream.reads_ahead(),
            RawKind::Incoming(half) => half.holds_bytes(),
            _ => false,
        }
    }

    /// Whether handles may go beside its bytes.
    pub(crate) fn carries_handles(&self) -> bool {
        !self.is_over_carrier()
    }

    pub(super) fn is_over_carrier(&self) -> bool {
        matches!(&self.0, RawKind::CarrierReader(_) | RawKind::CarrierWriter(_))
    }

    pub(crate) fn is_half_of(&self, other: &Self) -> bool {
        if let (RawKind::CarrierReader(reader), RawKind::CarrierWriter(writer))
        | (RawKind::CarrierWriter(writer), RawKind::CarrierReader(reader)) = (&self.0, &other.0)
        {
            return writer.is_half_of(reader);
        }
        match (self.connection(), other.connection()) {
            (Ok(one), Ok(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Gives the handle of two halves away; over a carrier, an event.
    pub(crate) fn into_both(self, other: Self) -> Option<OwnedHandle> {
        match (self.0, other.0) {
            (RawKind::Incoming(incoming), RawKind::Outgoing(outgoing)) => {
                drop(outgoing.into_connection());
                incoming.into_connection().into_handle()
            }
            (RawKind::CarrierReader(reader), RawKind::CarrierWriter(writer)) => {
                drop(writer);
                Some(reader.into_event().into())
            }
            _ => None,
        }
    }

    /// Ends the writing direction. In a one-way pipe, closing the end does that.
    pub(crate) fn finish(&mut self, wait: Wait<'_>) -> io::Result<()> {
        match &mut self.0 {
            RawKind::Outgoing(half) => half.finish(wait),
            RawKind::CarrierWriter(half) => half.finish(wait),
            _ => Ok(()),
        }
    }

    /// Everything is copied.
    #[allow(clippy::needless_pass_by_ref_mut, clippy::unused_self, reason = "on Linux pages move")]
    pub(crate) fn move_to(&mut self, _: &mut Self, _: usize, _: Wait<'_>) -> io::Result<usize> {
        Ok(0)
    }

    /// Writes, and keeps incoming bytes while there is no room.
    pub(crate) fn write_or_take_in(
        &mut self,
        incoming: &mut Self,
        limit: usize,
        buf: &[u8],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        if let (RawKind::CarrierWriter(writer), RawKind::CarrierReader(reader)) =
            (&mut self.0, &mut incoming.0)
        {
            return writer.write_or_take_in(reader, limit, buf, wait);
        }
        self.outgoing()?.write_or_take_in(incoming.incoming()?, limit, buf, wait)
    }

    /// Keeps incoming bytes of a reading half, up to a limit, for later reads; returns how many, which is 0 at the end.
    #[cfg(feature = "tokio")]
    pub(super) fn take_in(&mut self, limit: usize) -> io::Result<usize> {
        self.incoming()?.take_in_now(limit)
    }

    /// Does nothing: the server has set it.
    #[expect(clippy::unused_self, reason = "on Unix each side has buffers of its own")]
    pub(crate) fn ask_for_buffer(&self, _: usize) {}

    pub(crate) fn peer(&self) -> io::Result<Peer> {
        match &self.0 {
            RawKind::CarrierReader(half) => half.peer(),
            RawKind::CarrierWriter(half) => half.peer(),
            _ => self.connection()?.peer(),
        }
    }

    pub(crate) fn unread(&self) -> io::Result<usize> {
        match &self.0 {
            RawKind::Incoming(half) => half.unread(),
            _ => Err(Obstacle::Unsupported.into()),
        }
    }

    /// The system does not report it: it counts the room that a waiting reader has asked for as if it were full.
    pub(crate) fn unsent(&self) -> io::Result<usize> {
        Err(Obstacle::Unsupported.into())
    }

    /// No bytes come through memory here.
    #[cfg(feature = "shared-memory")]
    #[allow(clippy::unused_self, reason = "on Linux they may")]
    pub(crate) fn shares_memory(&self) -> bool {
        false
    }

    #[cfg(feature = "shared-memory")]
    #[allow(clippy::needless_pass_by_ref_mut, clippy::unused_self, reason = "on Linux it waits")]
    pub(crate) fn frame(&mut self, _: &Measure<'_>, _: Wait<'_>) -> io::Result<usize> {
        Ok(0)
    }

    #[cfg(feature = "shared-memory")]
    #[allow(
        clippy::needless_pass_by_ref_mut,
        clippy::unused_self,
        reason = "on Linux it takes one"
    )]
    pub(crate) fn view(&mut self, _: usize) -> SharedView<'_> {
        SharedView::of(&[])
    }

    /// Does nothing: only shared memory lets handles in for a while, which this system has not.
    #[cfg(feature = "shared-memory")]
    #[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "Unix has more to do")]
    pub(crate) fn refuse_handles(&mut self) {}

    /// Accepts handles from now on.
    pub(crate) fn allow_handles(&mut self) {
        if let RawKind::Incoming(half) = &mut self.0 {
            half.allow_handles();
        }
    }

    /// No handle goes beside bytes here.
    #[cfg(feature = "foreign")]
    #[allow(clippy::needless_pass_by_ref_mut, clippy::unused_self, reason = "on Unix some do")]
    pub(crate) fn accept_handles(&mut self, _: usize) -> io::Result<()> {
        Err(Obstacle::Unsupported.into())
    }

    #[cfg(feature = "foreign")]
    #[allow(clippy::needless_pass_by_ref_mut, clippy::unused_self, reason = "on Unix some do")]
    pub(crate) fn next_handles(&mut self) -> io::Result<Option<Vec<OwnedHandle>>> {
        Ok(None)
    }

    #[cfg(feature = "foreign")]
    #[allow(clippy::unused_self, reason = "on Unix some do")]
    pub(crate) fn passes_handles(&self) -> bool {
        false
    }

    /// Keeps handles that go with the first byte of the next write.
    pub(crate) fn pass(&mut self, handles: Vec<OwnedHandle>) -> Vec<u64> {
        match &mut self.0 {
            RawKind::Outgoing(half) => half.pass(handles),
            _ => Vec::new(),
        }
    }

    /// Those that have not gone yet.
    pub(crate) fn take_back(&mut self) -> Vec<OwnedHandle> {
        match &mut self.0 {
            RawKind::Outgoing(half) => half.take_back(),
            _ => Vec::new(),
        }
    }

    /// Takes the handles that a message announced.
    pub(crate) fn take_passed(
        &mut self,
        count: usize,
        numbers: &[u64],
    ) -> io::Result<Vec<OwnedHandle>> {
        if self.is_over_carrier() {
            return match (count, numbers) {
                (0, []) => Ok(Vec::new()),
                _ => Err(Obstacle::HandlesLost("none go over a carrier").into()),
            };
        }
        self.incoming()?.take_passed(count, numbers)
    }

    fn incoming(&mut self) -> io::Result<&mut Incoming> {
        match &mut self.0 {
            RawKind::Incoming(half) => Ok(half),
            _ => Err(Obstacle::Unsupported.into()),
        }
    }

    fn outgoing(&mut self) -> io::Result<&mut Outgoing> {
        match &mut self.0 {
            RawKind::Outgoing(half) => Ok(half),
            _ => Err(Obstacle::Unsupported.into()),
        }
    }

    /// How long a reading end may wait before it is tried unasked; `None` if its event is always set.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn look_interval(&self) -> Option<Duration> {
        matches!(self.0, RawKind::Incoming(_)).then_some(LOOK)
    }

    /// Prepares for a wait beside others; returns the event that is set when it should be tried again.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn attend(&mut self, way: Way) -> io::Result<Arc<Event>> {
        match &mut self.0 {
            RawKind::Stream(stream) => stream.attend(way),
            RawKind::Writers(writers) => Ok(writers.event()),
            RawKind::Incoming(half) => half.attend(),
            #[cfg(feature = "tokio")]
            RawKind::Outgoing(half) => half.attend(),
            #[cfg(not(feature = "tokio"))]
            RawKind::Outgoing(_) => Err(Obstacle::WrongDirection("reading").into()),
            // A carrier wakes the task by itself.
            RawKind::CarrierReader(half) => Ok(Arc::clone(half.event())),
            RawKind::CarrierWriter(half) => Ok(Arc::clone(half.event())),
        }
    }

    fn connection(&self) -> io::Result<&Arc<Connection>> {
        match &self.0 {
            RawKind::Incoming(half) => Ok(half.connection()),
            RawKind::Outgoing(half) => Ok(half.connection()),
            _ => Err(Obstacle::Unsupported.into()),
        }
    }
}

#[cfg(feature = "tokio")]
impl Raw {
    /// Ends the wait of tasks. A pending write is abandoned.
    pub(super) fn leave(&mut self) {
        match &mut self.0 {
            // Later threads get the bytes that a stream has read ahead.
            RawKind::Stream(_) | RawKind::Outgoing(_) => {
                // Its result is not needed any more.
                let _ = self.give_up_write();
            }
            RawKind::Incoming(half) => half.leave(),
            _ => {}
        }
    }

    /// Whether the next read looks for the next writer, which may not be there yet.
    pub(super) fn awaits_next(&self) -> bool {
        matches!(&self.0, RawKind::Stream(stream) if stream.awaits_next())
    }

    pub(super) fn write_behind(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            RawKind::Stream(stream) => stream.write_behind(bytes),
            RawKind::Outgoing(half) => half.write_behind(bytes),
            _ => Err(Obstacle::WrongDirection("writing").into()),
        }
    }

    /// As `finish`, without waiting. While there is no room, it goes on by itself.
    pub(super) fn finish_behind(&mut self) -> io::Result<()> {
        match &mut self.0 {
            RawKind::Outgoing(half) => half.finish_behind(),
            _ => Ok(()),
        }
    }

    pub(super) fn give_up_write(&mut self) -> io::Result<usize> {
        match &mut self.0 {
            RawKind::Stream(stream) => stream.give_up_write(),
            RawKind::Outgoing(half) => half.give_up_write(),
            _ => Ok(0),
        }
    }

    /// The reading half over a carrier, which wakes a task by itself.
    pub(super) fn carrier_reader(&mut self) -> Option<&mut CarrierReader> {
        match &mut self.0 {
            RawKind::CarrierReader(half) => Some(half),
            _ => None,
        }
    }

    /// The writing half over a carrier, which wakes a task by itself.
    pub(super) fn carrier_writer(&mut self) -> Option<&mut CarrierWriter> {
        match &mut self.0 {
            RawKind::CarrierWriter(half) => Some(half),
            _ => None,
        }
    }
}

impl AsHandle for Raw {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        match &self.0 {
            RawKind::Stream(stream) => stream.as_handle(),
            RawKind::Writers(writers) => writers.as_handle(),
            RawKind::Incoming(half) => half.connection().as_handle(),
            RawKind::Outgoing(half) => half.connection().as_handle(),
            RawKind::CarrierReader(half) => half.event().as_handle(),
            RawKind::CarrierWriter(half) => half.event().as_handle(),
        }
    }
}

impl From<Stream> for Raw {
    fn from(stream: Stream) -> Self {
        Self(RawKind::Stream(Box::new(stream)))
    }
}

impl From<Writers> for Raw {
    fn from(writers: Writers) -> Self {
        Self(RawKind::Writers(Box::new(writers)))
    }
}

impl From<Incoming> for Raw {
    fn from(half: Incoming) -> Self {
        Self(RawKind::Incoming(Box::new(half)))
    }
}

impl From<Outgoing> for Raw {
    fn from(half: Outgoing) -> Self {
        Self(RawKind::Outgoing(Box::new(half)))
    }
}
