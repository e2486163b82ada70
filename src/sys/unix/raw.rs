//! An open end: of a FIFO, or one half of a connection.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
#[cfg(any(feature = "fanout", feature = "tokio"))]
use std::time::Duration;

use super::fifo_end::FifoEnd;
#[cfg(any(feature = "fanout", feature = "tokio"))]
use super::half::LOOK_AT_READER;
#[cfg(feature = "tokio")]
use super::half::SharedSocket;
use super::half::{Receiving, Sending, halves, internet_halves, into_fd};
#[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
use super::shared_memory::RingReader;
use super::shared_memory::RingWriter;
use super::socket::ask_for_buffer;
use super::{peer, resource_errors, socket};
use crate::error::Obstacle;
use crate::sys::carrier::{self, Carrier, CarrierReader, CarrierWriter};
#[cfg(feature = "shared-memory")]
use crate::sys::{Measure, SharedView};
use crate::sys::{Peer, Wait, Way};

/// The most buffers of one call (`IOV_MAX`). More are an error for a socket.
const MOST_BUFFERS: usize = 1024;

/// An open end.
#[derive(Debug)]
pub struct Raw(RawKind);

#[derive(Debug)]
enum RawKind {
    Fifo(Box<FifoEnd>),
    Receiving(Box<Receiving>),
    Sending(Box<Sending>),
    CarrierReader(Box<CarrierReader>),
    CarrierWriter(Box<CarrierWriter>),
}

impl Raw {
    pub(crate) fn open(path: &Path, way: Way, any_owner: bool, wait: Wait<'_>) -> io::Result<Self> {
        FifoEnd::open(path, way, any_owner, wait).map(Self::from).map_err(resource_errors::told)
    }

    pub(crate) fn adopt(fd: OwnedFd, way: Way) -> Result<Self, (OwnedFd, io::Error)> {
        FifoEnd::adopt(fd, way).map(Self::from)
    }

    /// Both halves of a connection, the one that is read from first.
    pub(crate) fn connect(
        path: &Path,
        any_owner: bool,
        wait: Wait<'_>,
    ) -> io::Result<(Self, Self)> {
        let socket = socket::connect(path, any_owner, wait).map_err(resource_errors::told)?;
        Ok(Self::both(halves(socket)))
    }

    /// The two sides of a connection, each with both halves.
    pub(crate) fn pair() -> io::Result<[(Self, Self); 2]> {
        let sockets = socket::pair().map_err(resource_errors::told)?;
        Ok(sockets.map(|socket| Self::both(halves(socket))))
    }

    pub(crate) fn adopt_both(fd: OwnedFd) -> Result<(Self, Self), (OwnedFd, io::Error)> {
        match socket::ensure_stream(&fd) {
            Ok(()) => Ok(Self::both(halves(fd))),
            Err(error) => Err((fd, error)),
        }
    }

    /// Both halves of a connection over a TCP stream, whose waits are those of any socket.
    pub(crate) fn over_tcp(stream: TcpStream) -> io::Result<(Self, Self)> {
        stream.set_nodelay(true)?;
        Ok(Self::both(internet_halves(stream.into())))
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

    pub(super) fn both((receiving, sending): (Receiving, Sending)) -> (Self, Self) {
        (Self(RawKind::Receiving(Box::new(receiving))), Self(RawKind::Sending(Box::new(sending))))
    }

    /// Gives the descriptor away: unchanged if it was adopted, else blocking, as callers expect.
    /// A half has none of its own.
    pub(crate) fn into_handle(self) -> Option<OwnedFd> {
        match self.0 {
            RawKind::Fifo(end) => end.into_handle(),
            _ => None,
        }
    }

    /// The descriptor, for a caller that may pass it on.
    pub(crate) fn show(&self) -> BorrowedFd<'_> {
        match &self.0 {
            RawKind::Fifo(end) => end.show(),
            _ => self.as_fd(),
        }
    }

    /// Gives the socket of two halves away; over a carrier, an event.
    pub(crate) fn into_both(self, other: Self) -> Option<OwnedFd> {
        match (self.0, other.0) {
            (RawKind::Receiving(receiving), RawKind::Sending(sending)) => {
                into_fd(*receiving, *sending)
            }
            (RawKind::CarrierReader(reader), RawKind::CarrierWriter(writer)) => {
                drop(writer);
                Some(reader.into_event().into())
            }
            _ => None,
        }
    }

    /// Says whether the halves have two owners, of a writing half. Until then, dropping both ends no direction.
    pub(crate) fn set_apart(&self, apart: bool) {
        if let RawKind::Sending(half) = &self.0 {
            half.set_apart(apart);
        }
    }

    /// Whether the two are the halves of one connection.
    pub(crate) fn is_half_of(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (RawKind::Receiving(receiving), RawKind::Sending(sending))
            | (RawKind::Sending(sending), RawKind::Receiving(receiving)) => {
                sending.is_half_of(receiving)
            }
            (RawKind::CarrierReader(reader), RawKind::CarrierWriter(writer))
            | (RawKind::CarrierWriter(writer), RawKind::CarrierReader(reader)) => {
                writer.is_half_of(reader)
            }
            _ => false,
        }
    }

    pub(crate) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        match &mut self.0 {
            RawKind::Fifo(end) => end.read(buf, wait),
            RawKind::Receiving(half) => half.read(buf, wait),
            RawKind::CarrierReader(half) => half.read(buf, wait),
            RawKind::Sending(_) | RawKind::CarrierWriter(_) => {
                Err(Obstacle::WrongDirection("reading").into())
            }
        }
    }

    pub(crate) fn read_vectored(
        &mut self,
        bufs: &mut [IoSliceMut<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        if let RawKind::Fifo(end) = &mut self.0 {
            return end.read_vectored(bufs, wait);
        }
        match bufs.iter_mut().find(|buf| !buf.is_empty()) {
            Some(first) => self.read(first, wait),
            None => Ok(0),
        }
    }

    pub(crate) fn write(&mut self, buf: &[u8], wait: Wait<'_>) -> io::Result<usize> {
        match &mut self.0 {
            RawKind::Fifo(end) => end.write(buf, wait),
            RawKind::Sending(half) => half.write(&[IoSlice::new(buf)], wait),
            RawKind::CarrierWriter(half) => half.write(buf, wait),
            RawKind::Receiving(_) | RawKind::CarrierReader(_) => {
                Err(Obstacle::WrongDirection("writing").into())
            }
        }
    }

    pub(crate) fn write_vectored(
        &mut self,
        bufs: &[IoSlice<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        // If the buffers that it takes are all empty, writing nothing does not mean that there is no room.
        let Some(first) = bufs.iter().position(|buf| !buf.is_empty()) else { return Ok(0) };
        let bufs = bufs.get(first..).unwrap_or_default();
        let bufs = bufs.get(..MOST_BUFFERS).unwrap_or(bufs);
        match &mut self.0 {
            RawKind::Fifo(end) => end.write_vectored(bufs, wait),
            RawKind::Sending(half) => half.write(bufs, wait),
            _ => self.write(bufs.first().map_or(&[], |buf| buf), wait),
        }
    }

    /// Moves up to `len` bytes that are here to another end, once that has room, without copying them; 0 if there are none,
    /// or they must be copied.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn move_to(
        &mut self,
        to: &mut Self,
        len: usize,
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        match (&mut self.0, &mut to.0) {
            (RawKind::Receiving(half), RawKind::Fifo(pipe)) => half.move_to(pipe, len, wait),
            // Pages in a FIFO may be those of a writer, which fills them again once they have left it.
            _ => Ok(0),
        }
    }

    /// Everything is copied.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[allow(clippy::needless_pass_by_ref_mut, clippy::unused_self, reason = "on Linux pages move")]
    pub(crate) fn move_to(&mut self, _: &mut Self, _: usize, _: Wait<'_>) -> io::Result<usize> {
        Ok(0)
    }

    /// Writes, and while there is no room keeps incoming bytes, up to a limit, for later reads.
    pub(crate) fn write_or_take_in(
        &mut self,
        incoming: &mut Self,
        limit: usize,
        bytes: &[u8],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        match (&mut self.0, &mut incoming.0) {
            (RawKind::Sending(sending), RawKind::Receiving(receiving)) => {
                sending.write_or_take_in(receiving, limit, bytes, wait)
            }
            (RawKind::CarrierWriter(writer), RawKind::CarrierReader(reader)) => {
                writer.write_or_take_in(reader, limit, bytes, wait)
            }
            _ => self.write(bytes, wait),
        }
    }

    /// Keeps incoming bytes of a reading half, up to a limit, for later reads; returns how many, which is 0 at the end.
    #[cfg(feature = "tokio")]
    pub(crate) fn take_in(&mut self, limit: usize) -> io::Result<usize> {
        match &mut self.0 {
            RawKind::Receiving(half) => half.take_in_now(limit),
            _ => Ok(0),
        }
    }

    /// Waits until a writer has come. To a connection, one always has.
    pub(crate) fn wait_for_writer(&mut self, wait: Wait<'_>) -> io::Result<()> {
        match &mut self.0 {
            RawKind::Fifo(end) => end.wait_for_writer(wait),
            _ => Ok(()),
        }
    }

    /// Only a FIFO takes pages, and only a ring lends its own.
    pub(crate) fn lend(&mut self, before: usize, len: usize, wait: Wait<'_>) -> bool {
        match &mut self.0 {
            RawKind::Fifo(end) => end.lend(before, len),
            RawKind::Sending(half) => {
                half.ring_mut().is_some_and(|ring| ring.lend(before, len, wait))
            }
            _ => false,
        }
    }

    pub(crate) fn lent(&self) -> &[u8] {
        match &self.0 {
            RawKind::Fifo(end) => end.lent(),
            RawKind::Sending(half) => half.ring().map_or(&[], RingWriter::lent),
            _ => &[],
        }
    }

    pub(crate) fn lent_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            RawKind::Fifo(end) => end.lent_mut(),
            RawKind::Sending(half) => half.ring_mut().map_or(&mut [], RingWriter::lent_mut),
            _ => &mut [],
        }
    }

    pub(crate) fn give(&mut self, wait: Wait<'_>) -> io::Result<usize> {
        match &mut self.0 {
            RawKind::Fifo(end) => end.give(wait),
            RawKind::Sending(half) => match half.ring_mut() {
                Some(ring) => ring.give(wait),
                None => Err(Obstacle::Unsupported.into()),
            },
            _ => Err(Obstacle::Unsupported.into()),
        }
    }

    /// After the last writer left: the next read waits for the next writer. A connection has no next one.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        match &mut self.0 {
            RawKind::Fifo(end) => end.renew().map_err(resource_errors::told),
            _ => Ok(()),
        }
    }

    /// Drops the bytes from before a client's reading end was opened. A connection has none.
    #[cfg(feature = "foreign")]
    pub(crate) fn forget_left_over(&mut self) -> io::Result<()> {
        match &mut self.0 {
            RawKind::Fifo(end) => end.forget_left_over(),
            _ => Ok(()),
        }
    }

    /// The other side reads the end, once it has read what was written.
    pub(crate) fn finish(&mut self, wait: Wait<'_>) -> io::Result<()> {
        match &mut self.0 {
            RawKind::Sending(half) => half.finish(),
            RawKind::CarrierWriter(half) => half.finish(wait)?,
            _ => {}
        }
        Ok(())
    }

    /// How long an end may wait before it [looks](Self::look) by itself; `None` if it is always woken.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn look_interval(&self, way: Way) -> Option<Duration> {
        match &self.0 {
            RawKind::Fifo(end) if way == Way::In => end.look_interval(),
            RawKind::Sending(half) => half.ring().is_none().then_some(LOOK_AT_READER),
            _ => None,
        }
    }

    /// Checks what no wake-up reports to a reader.
    #[cfg(feature = "tokio")]
    pub(super) fn look(&mut self) -> io::Result<()> {
        match &mut self.0 {
            RawKind::Fifo(end) => end.look(),
            _ => Ok(()),
        }
    }

    /// Whether it has another descriptor than when this was asked before.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn take_switched(&mut self) -> bool {
        match &mut self.0 {
            RawKind::Fifo(end) => end.take_switched(),
            _ => false,
        }
    }

    pub(crate) fn wait_until_taken(&self, wait: Wait<'_>) -> io::Result<bool> {
        match &self.0 {
            RawKind::Fifo(end) => end.wait_until_taken(wait),
            RawKind::Sending(half) => half.wait_until_taken(wait),
            RawKind::CarrierWriter(half) => half.wait_until_taken(wait),
            RawKind::Receiving(_) | RawKind::CarrierReader(_) => Ok(false),
        }
    }

    pub(crate) fn buffer_size(&self) -> io::Result<usize> {
        match &self.0 {
            RawKind::Fifo(end) => end.buffer_size(),
            RawKind::Receiving(half) => half.buffer_size(),
            RawKind::Sending(half) => half.buffer_size(),
            RawKind::CarrierReader(_) | RawKind::CarrierWriter(_) => {
                Err(Obstacle::Unsupported.into())
            }
        }
    }

    pub(crate) fn ask_for_buffer(&self, bytes: usize) {
        match &self.0 {
            RawKind::Fifo(end) => end.ask_for_buffer(bytes),
            // Its engine has buffers of its own.
            RawKind::CarrierReader(_) | RawKind::CarrierWriter(_) => {}
            _ => ask_for_buffer(self.socket(), bytes),
        }
    }

    pub(crate) fn peer(&self) -> io::Result<Peer> {
        match &self.0 {
            RawKind::CarrierReader(half) => half.peer(),
            RawKind::CarrierWriter(half) => half.peer(),
            _ if self.is_local() => peer::peer(self.socket()),
            _ => peer::remote(self.socket()),
        }
    }

    /// The descriptor of the end, or the socket of the connection, whatever goes through it.
    fn socket(&self) -> BorrowedFd<'_> {
        match &self.0 {
            RawKind::Receiving(half) => half.socket(),
            RawKind::Sending(half) => half.socket(),
            _ => self.as_fd(),
        }
    }

    /// Whether the other side is on this machine, and the system passes handles to it.
    fn is_local(&self) -> bool {
        match &self.0 {
            RawKind::Fifo(_) => true,
            RawKind::Receiving(half) => half.is_local(),
            RawKind::Sending(half) => half.is_local(),
            RawKind::CarrierReader(_) | RawKind::CarrierWriter(_) => false,
        }
    }

    /// Whether bytes were read that its handle does not give any more.
    pub(crate) fn holds_bytes(&self) -> bool {
        matches!(&self.0, RawKind::Receiving(half) if half.is_ahead())
    }

    /// Whether handles may go beside its bytes.
    pub(crate) fn carries_handles(&self) -> bool {
        self.is_local()
    }

    /// The bytes that came in and were not read.
    pub(crate) fn unread(&self) -> io::Result<usize> {
        match &self.0 {
            RawKind::Receiving(half) => half.unread(),
            _ => Err(Obstacle::Unsupported.into()),
        }
    }

    /// The bytes that the other side has not read, and what the system needs to keep them.
    pub(crate) fn unsent(&self) -> io::Result<usize> {
        match &self.0 {
            RawKind::Sending(half) => half.unsent(),
            _ => Err(Obstacle::Unsupported.into()),
        }
    }

    /// Whether its bytes come through memory that the other side writes to.
    #[cfg(feature = "shared-memory")]
    pub(crate) fn shares_memory(&self) -> bool {
        matches!(&self.0, RawKind::Receiving(half) if half.has_ring())
    }

    /// Waits until a whole message lies in shared memory, and tells its length; 0 where it must be read.
    #[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    pub(crate) fn frame(&mut self, measure: &Measure<'_>, wait: Wait<'_>) -> io::Result<usize> {
        match &mut self.0 {
            RawKind::Receiving(half) => half.frame(measure, wait),
            _ => Ok(0),
        }
    }

    #[cfg(all(feature = "shared-memory", not(any(target_os = "linux", target_os = "android"))))]
    #[allow(clippy::needless_pass_by_ref_mut, clippy::unused_self, reason = "on Linux it waits")]
    pub(crate) fn frame(&mut self, _: &Measure<'_>, _: Wait<'_>) -> io::Result<usize> {
        Ok(0)
    }

    /// Takes the message of this length that lies in shared memory.
    #[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    pub(crate) fn view(&mut self, frame: usize) -> SharedView<'_> {
        let view = match &mut self.0 {
            RawKind::Receiving(half) => half.view(frame),
            _ => None,
        };
        view.map_or_else(|| SharedView::of(&[]), SharedView::in_ring)
    }

    #[cfg(all(feature = "shared-memory", not(any(target_os = "linux", target_os = "android"))))]
    #[allow(
        clippy::needless_pass_by_ref_mut,
        clippy::unused_self,
        reason = "on Linux it takes one"
    )]
    pub(crate) fn view(&mut self, _: usize) -> SharedView<'_> {
        SharedView::of(&[])
    }

    /// From now on, a reading half gets its bytes from a ring.
    #[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    pub(super) fn read_from(&mut self, ring: RingReader) {
        if let RawKind::Receiving(half) = &mut self.0 {
            half.read_from(ring);
        }
    }

    /// From now on, a writing half puts its bytes into a ring.
    #[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    pub(super) fn write_to(&mut self, ring: RingWriter) {
        if let RawKind::Sending(half) = &mut self.0 {
            half.write_to(ring);
        }
    }

    /// Whether a wait for this end must be [prepared](Self::prepare_wait): its descriptor says nothing by itself.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn waits_by_itself(&self) -> bool {
        match &self.0 {
            RawKind::Receiving(half) => half.has_ring(),
            RawKind::Sending(half) => half.ring().is_some(),
            _ => false,
        }
    }

    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn is_over_carrier(&self) -> bool {
        matches!(&self.0, RawKind::CarrierReader(_) | RawKind::CarrierWriter(_))
    }

    /// The socket that a write of handles waits for, beside a ring.
    #[cfg(feature = "tokio")]
    pub(super) fn full_socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            RawKind::Sending(half) => half.full_socket(),
            _ => None,
        }
    }

    /// Looks again for a moment before a task waits, where that pays; returns whether it need not.
    #[cfg(feature = "tokio")]
    pub(super) fn look_again(&mut self) -> bool {
        match &mut self.0 {
            RawKind::Receiving(half) => half.look_again(),
            RawKind::Sending(half) => half.look_again(),
            _ => false,
        }
    }

    /// Says that a task waits for this end; returns whether it need not.
    #[cfg(feature = "tokio")]
    pub(super) fn prepare_wait(&mut self) -> bool {
        match &mut self.0 {
            RawKind::Receiving(half) => half.prepare_wait(),
            RawKind::Sending(half) => half.prepare_wait(),
            _ => false,
        }
    }

    /// After a prepared wait.
    #[cfg(feature = "tokio")]
    pub(super) fn end_wait(&mut self) {
        match &mut self.0 {
            RawKind::Receiving(half) => half.end_wait(),
            RawKind::Sending(half) => half.end_wait(),
            _ => {}
        }
    }

    /// Lets no handles in any more.
    #[cfg(feature = "shared-memory")]
    pub(crate) fn refuse_handles(&mut self) {
        if let RawKind::Receiving(half) = &mut self.0 {
            half.refuse_handles();
        }
    }

    /// Accepts handles from now on.
    pub(crate) fn allow_handles(&mut self) {
        if let RawKind::Receiving(half) = &mut self.0 {
            half.allow_handles();
        }
    }

    #[cfg(feature = "foreign")]
    pub(crate) fn accept_handles(&mut self, most: usize) -> io::Result<()> {
        match &mut self.0 {
            RawKind::Receiving(half) => half.accept_handles(most),
            _ => Err(Obstacle::Unsupported.into()),
        }
    }

    #[cfg(feature = "foreign")]
    pub(crate) fn next_handles(&mut self) -> io::Result<Option<Vec<OwnedFd>>> {
        match &mut self.0 {
            RawKind::Receiving(half) => half.next_handles(),
            _ => Ok(None),
        }
    }

    /// Whether handles go beside the bytes of a writing half.
    #[cfg(feature = "foreign")]
    pub(crate) fn passes_handles(&self) -> bool {
        matches!(&self.0, RawKind::Sending(half) if half.passes_handles())
    }

    /// Sends handles with the next write, and returns the number by which the message announces them.
    pub(crate) fn pass(&mut self, handles: Vec<OwnedFd>) -> Vec<u64> {
        match &mut self.0 {
            RawKind::Sending(half) => half.pass(handles),
            _ => Vec::new(),
        }
    }

    /// The handles that have not gone yet.
    pub(crate) fn take_back(&mut self) -> Vec<OwnedFd> {
        match &mut self.0 {
            RawKind::Sending(half) => half.take_back(),
            _ => Vec::new(),
        }
    }

    /// Takes the handles of the message that announced so many.
    pub(crate) fn take_passed(
        &mut self,
        count: usize,
        numbers: &[u64],
    ) -> io::Result<Vec<OwnedFd>> {
        match &mut self.0 {
            RawKind::Receiving(half) => half.take_passed(count, numbers),
            _ if count == 0 && numbers.is_empty() => Ok(Vec::new()),
            _ => Err(Obstacle::HandlesLost("none go over a carrier").into()),
        }
    }
}

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            RawKind::Fifo(end) => end.as_fd(),
            RawKind::Receiving(half) => half.as_fd(),
            RawKind::Sending(half) => half.as_fd(),
            RawKind::CarrierReader(half) => half.event().as_fd(),
            RawKind::CarrierWriter(half) => half.event().as_fd(),
        }
    }
}

#[cfg(feature = "tokio")]
impl Raw {
    /// The socket from which a reading half of a connection gets its bytes.
    pub(super) fn read_socket(&self) -> Option<SharedSocket> {
        match &self.0 {
            RawKind::Receiving(half) => half.shared_socket(),
            _ => None,
        }
    }

    /// Whether it is the writing half of a connection, and the bytes go to its socket.
    pub(super) fn writes_to_socket(&self) -> bool {
        matches!(&self.0, RawKind::Sending(half) if half.ring().is_none())
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

impl From<FifoEnd> for Raw {
    fn from(end: FifoEnd) -> Self {
        Self(RawKind::Fifo(Box::new(end)))
    }
}
