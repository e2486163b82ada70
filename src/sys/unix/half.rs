//! The reading and the writing half of a connection.
//!
//! They share a socket, with each other and maybe with other processes. So an operation that must not wait passes a flag
//! of the call, and one that must wait polls if the socket does not block: the flags of the socket never change.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::fifo_end::FifoEnd;
use super::maker::Maker;
use super::resource_errors;
use super::rights::{self, Batch};
#[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
use super::shared_memory::RingView;
use super::shared_memory::{RingReader, RingWriter};
use super::wait::{
    any_ready, ensure_not_cancelled, ready, ready_or_time, until_done, until_received,
};
use crate::error::Obstacle;
#[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
use crate::sys::Measure;
use crate::sys::{MAX_HANDLES, Wait, WaitLimit};

/// The bytes that are taken in at once.
const PIECE: usize = 64 * 1024;

/// The interval at which a waiting writer checks whether the other side still reads: if that ends its reading direction
/// alone, neither `poll` nor the runtime reports it.
pub(super) const LOOK_AT_READER: Duration = Duration::from_millis(20);

/// The most handles to keep of messages that the receiver has not asked for yet.
const MOST_KEPT: usize = 2 * MAX_HANDLES;

/// The state that the halves share.
#[derive(Debug)]
struct Socket {
    fd: OwnedFd,
    /// Whether it is one of this machine, whose other side the system knows.
    local: bool,
    /// The process whose dropped half ends its direction: not a forked child.
    maker: Maker,
    /// Whether the halves are of two owners, so that each ends its direction when it is dropped. Closing both at once ends
    /// nothing: another process, or another connection, may have a copy of the socket.
    apart: AtomicBool,
    /// Whether the other side closed with bytes of ours unread. The system reports it once, to the first half that asks.
    reset: AtomicBool,
}

/// A socket that stays open as long as this is there.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub(super) struct SharedSocket(Arc<Socket>);

#[cfg(feature = "tokio")]
impl AsFd for SharedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

/// One direction. Dropping it ends it, if the other one goes on.
#[derive(Debug)]
struct Side {
    socket: Arc<Socket>,
    way: Shutdown,
    /// Whether it goes on elsewhere when this is dropped.
    goes_on: bool,
}

impl Side {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }

    fn end(&self) {
        // It fails only where the other side has left, which is an end as well.
        let _ = shutdown(&self.socket.fd, self.way);
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let ends = !self.goes_on && self.socket.apart.load(Ordering::Acquire);
        if ends && Arc::strong_count(&self.socket) > 1 && self.socket.maker.is_this() {
            self.end();
        }
    }
}

/// Both halves of a socket of this machine.
pub(super) fn halves(fd: OwnedFd) -> (Receiving, Sending) {
    halves_of(fd, true)
}

/// Both halves of a TCP stream.
pub(super) fn internet_halves(fd: OwnedFd) -> (Receiving, Sending) {
    halves_of(fd, false)
}

fn halves_of(fd: OwnedFd, local: bool) -> (Receiving, Sending) {
    let finished = !is_quiet(&fd);
    let (maker, apart, reset) = (Maker::this(), AtomicBool::new(false), AtomicBool::new(false));
    let socket = Socket { fd, local, maker, apart, reset };
    let socket = Arc::new(socket);
    let receiving = Side { socket: Arc::clone(&socket), way: Shutdown::Read, goes_on: false };
    let sending = Side { socket, way: Shutdown::Write, goes_on: false };
    (
        Receiving {
            side: receiving,
            backlog: VecDeque::new(),
            piece: Vec::new(),
            batches: VecDeque::new(),
            first: 0,
            lets_in: false,
            most_handles: usize::MAX,
            ended: false,
            ring: None,
        },
        Sending {
            side: sending,
            handles: Vec::new(),
            gone: 0,
            finished,
            ring: None,
            socket_is_full: false,
        },
    )
}

/// The socket of both halves. It lets handles in, as callers expect of a descriptor.
pub(super) fn into_fd(mut receiving: Receiving, mut sending: Sending) -> Option<OwnedFd> {
    receiving.side.goes_on = true;
    sending.side.goes_on = true;
    let socket = Arc::clone(&sending.side.socket);
    drop((receiving, sending));
    let fd = Arc::into_inner(socket)?.fd;
    rights::allow(fd.as_fd());
    Some(fd)
}

/// The reading half of a connection.
#[derive(Debug)]
pub(super) struct Receiving {
    side: Side,
    /// What was taken in while there was no room to write.
    backlog: VecDeque<u8>,
    /// Where that comes in, once something was looked for.
    piece: Vec<u8>,
    /// The handles that came with messages which were not taken yet.
    batches: VecDeque<Batch>,
    /// The number of the first of them, among all that came.
    first: u64,
    lets_in: bool,
    /// The most of them to keep.
    most_handles: usize,
    ended: bool,
    /// Where the bytes come from, if not from the socket, which then carries handles alone: each batch beside one byte,
    /// before the message that announces it.
    ring: Option<RingReader>,
}

impl Receiving {
    /// The socket, if bytes come from it. What keeps it is to be dropped before this half.
    #[cfg(feature = "tokio")]
    pub(super) fn shared_socket(&self) -> Option<SharedSocket> {
        self.ring.is_none().then(|| SharedSocket(Arc::clone(&self.side.socket)))
    }

    pub(super) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        if !self.backlog.is_empty() {
            ensure_not_cancelled(wait)?;
            let bytes = self.backlog.read(buf)?;
            if self.backlog.is_empty() {
                // The memory goes back: most of the time nothing is taken in.
                self.backlog = VecDeque::new();
            }
            return Ok(bytes);
        }
        if buf.is_empty() {
            return Ok(0);
        }
        if self.ended {
            return self.end();
        }
        if self.ring.is_some() {
            if self.lets_in {
                self.forget_stale_handles();
            }
            return self.receive_from_ring(buf, wait);
        }
        let bytes = self.receive(buf, wait)?;
        self.forget_batches();
        Ok(bytes)
    }

    /// Moves bytes that are here into a pipe; 0 where there are none, or where they are not in the socket alone.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn move_to(
        &self,
        pipe: &mut FifoEnd,
        len: usize,
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        if self.ended || self.lets_in || self.ring.is_some() || !self.backlog.is_empty() {
            return Ok(0);
        }
        match pipe.take_from(self.side.fd(), len, wait) {
            // The next read returns it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.side.socket.reset.store(true, Ordering::Release);
                Ok(0)
            }
            moved => moved,
        }
    }

    /// Closes the handles of messages that were taken, since the receiver has taken all whole messages: all but those of
    /// the message that is now whole, and of the next.
    fn forget_batches(&mut self) {
        while self.batches.len() > 2 {
            self.batches.pop_front();
            self.first += 1;
        }
    }

    /// The end of the stream, which a reset is not.
    fn end(&self) -> io::Result<usize> {
        if self.side.socket.reset.load(Ordering::Acquire) {
            return Err(Errno::CONNRESET.into());
        }
        Ok(0)
    }

    /// Reads what comes in now. A reset comes after the bytes before it, and stays.
    fn receive(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        if self.ring.is_some() {
            return self.receive_from_ring(buf, wait);
        }
        let flags = if wait.is_plain() { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        let lets_in = self.lets_in;
        let (bytes, batch) = loop {
            let received = until_received(self.side.fd(), wait, |fd| {
                if lets_in {
                    return rights::receive(fd, buf, flags);
                }
                // Handles that come uninvited are closed by this.
                recv(fd, &mut *buf, flags).map(|(bytes, _)| (bytes, None)).map_err(lost_link)
            });
            match received {
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    // Not every system reports it after the bytes that came before.
                    if self.side.socket.reset.swap(true, Ordering::AcqRel) {
                        break (0, None);
                    }
                }
                received => break received?,
            }
        };
        if let Some(batch) = batch {
            self.keep(batch);
        }
        self.ended = bytes == 0;
        if self.ended { self.end() } else { Ok(bytes) }
    }

    #[inline]
    fn receive_from_ring(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        let Some(ring) = &mut self.ring else { return Ok(0) };
        let bytes = ring.read(buf, wait)?;
        self.ended = bytes == 0 && !buf.is_empty();
        Ok(bytes)
    }

    /// Where the ring is empty, makes room in the socket for further handles: a writer that waits for it sends no message.
    ///
    /// All that are there now are enough: who sends more before a message waits for nothing.
    fn forget_stale_handles(&mut self) {
        if !self.is_ring_empty() {
            return;
        }
        self.forget_batches();
        for _ in 0..self.batches_beside() {
            let Some(batch) = self.next_batch() else { return };
            self.keep(batch);
            // Handles come before their message: if there is none still, none of these is of a message that came meanwhile.
            if !self.is_ring_empty() {
                return;
            }
            self.forget_batches();
        }
    }

    /// How many batches of handles are in the socket beside a ring: each has one byte.
    fn batches_beside(&self) -> u64 {
        ioctl_fionread(self.side.fd()).unwrap_or(0)
    }

    fn is_ring_empty(&mut self) -> bool {
        let ring = self.ring.as_mut();
        ring.is_some_and(|ring| ring.available().is_ok_and(|here| here == 0))
    }

    /// Takes the handles beside a ring out of the socket, as many as may be kept; returns whether these were all.
    fn keep_handles(&mut self) -> bool {
        let mut kept = self.kept();
        while kept < MOST_KEPT {
            let Some(batch) = self.next_batch() else { return true };
            kept += batch.len();
            self.keep(batch);
        }
        false
    }

    /// Keeps handles that came, as long as there are no more than may be kept.
    fn keep(&mut self, batch: Batch) {
        let kept = self.batches.iter().map(Batch::count).sum();
        self.batches.push_back(batch.within(self.most_handles.saturating_sub(kept)));
    }

    /// How much room the kept handles take.
    fn kept(&self) -> usize {
        self.batches.iter().map(Batch::len).sum()
    }

    /// The next handles beside a ring that are there.
    fn next_batch(&self) -> Option<Batch> {
        let flags = RecvFlags::DONTWAIT;
        let receive = || rights::receive(self.side.fd(), &mut [0], flags);
        rustix::io::retry_on_intr(receive).ok()?.1
    }

    /// From now on, the bytes come from a ring.
    #[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    pub(super) fn read_from(&mut self, ring: RingReader) {
        self.ring = Some(ring);
    }

    #[cfg(any(feature = "fanout", feature = "shared-memory", feature = "tokio"))]
    pub(super) fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// Waits until a whole message lies in the ring; 0 where it must be read.
    #[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    pub(super) fn frame(&mut self, measure: &Measure<'_>, wait: Wait<'_>) -> io::Result<usize> {
        if self.ended || !self.backlog.is_empty() {
            return Ok(0);
        }
        if self.lets_in {
            self.forget_stale_handles();
        }
        self.ring.as_mut().map_or(Ok(0), |ring| ring.frame(measure, wait))
    }

    /// Takes that message.
    #[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    pub(super) fn view(&mut self, frame: usize) -> Option<RingView<'_>> {
        self.ring.as_mut().map(|ring| ring.view(frame))
    }

    /// Looks again for a moment before a task waits; returns whether something is there.
    #[cfg(feature = "tokio")]
    pub(super) fn look_again(&mut self) -> bool {
        self.ring.as_mut().is_some_and(RingReader::look_again)
    }

    /// Says that a task waits for what comes in through the ring; returns whether something is there.
    #[cfg(feature = "tokio")]
    pub(super) fn prepare_wait(&mut self) -> bool {
        self.ring.as_mut().is_some_and(RingReader::prepare_wait)
    }

    #[cfg(feature = "tokio")]
    pub(super) fn end_wait(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.end_wait();
        }
    }

    /// The size of the buffer that it reads from.
    pub(super) fn buffer_size(&self) -> io::Result<usize> {
        match &self.ring {
            Some(ring) => Ok(ring.size()),
            None => Ok(rustix::net::sockopt::socket_recv_buffer_size(self.side.fd())?),
        }
    }

    /// Keeps what comes in, up to a limit, for later reads.
    fn take_in(&mut self, limit: usize) -> io::Result<Intake> {
        if self.ended {
            return Ok(Intake::Ended);
        }
        if self.ring.is_some() {
            let has_all = !self.lets_in || self.keep_handles();
            // A writer that waits for room for its handles puts nothing into the ring.
            if !has_all && self.is_ring_empty() && self.batches_beside() > 0 {
                return Ok(Intake::Full);
            }
            if self.backlog.len() >= limit {
                return Ok(if self.is_ring_empty() { Intake::Nothing } else { Intake::Full });
            }
        } else if self.backlog.len() >= limit || self.kept() >= MOST_KEPT {
            return match ready(self.side.fd(), PollFlags::IN, Wait::NOW) {
                Ok(()) => Ok(Intake::Full),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Intake::Nothing),
                Err(error) => Err(error),
            };
        }
        let mut piece = mem::take(&mut self.piece);
        piece.resize(PIECE, 0);
        let intake = match self.receive(&mut piece, Wait::NOW) {
            Ok(0) => Ok(Intake::Ended),
            Ok(bytes) => {
                self.backlog.extend(piece.get(..bytes).unwrap_or_default());
                Ok(Intake::Some)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Intake::Nothing),
            // The next read reports it, after the bytes that were kept.
            Err(_) if self.ended => Ok(Intake::Ended),
            Err(error) => Err(error),
        };
        self.piece = piece;
        intake
    }

    /// Keeps incoming bytes, up to a limit, for later reads; returns how many, which is 0 at the end.
    #[cfg(feature = "tokio")]
    pub(super) fn take_in_now(&mut self, limit: usize) -> io::Result<usize> {
        let before = self.backlog.len();
        match self.take_in(limit)? {
            Intake::Some => Ok(self.backlog.len() - before),
            Intake::Nothing => Err(io::ErrorKind::WouldBlock.into()),
            Intake::Full => Err(Obstacle::Deadlock.into()),
            Intake::Ended => Ok(0),
        }
    }

    /// Whether bytes are here that were taken in.
    pub(super) fn is_ahead(&self) -> bool {
        !self.backlog.is_empty()
    }

    pub(super) fn unread(&self) -> io::Result<usize> {
        if let Some(ring) = &self.ring {
            return Ok(ring.unread().saturating_add(self.backlog.len()));
        }
        let waiting = ioctl_fionread(self.side.fd())?;
        Ok(usize::try_from(waiting).unwrap_or(usize::MAX).saturating_add(self.backlog.len()))
    }

    pub(super) fn is_local(&self) -> bool {
        self.side.socket.local
    }

    pub(super) fn allow_handles(&mut self) {
        if !self.lets_in && self.is_local() {
            rights::allow(self.side.fd());
            self.lets_in = true;
        }
    }

    /// Lets handles in, and keeps at most so many of them.
    #[cfg(feature = "foreign")]
    pub(super) fn accept_handles(&mut self, most: usize) -> io::Result<()> {
        if self.ring.is_some() || !self.is_local() {
            return Err(Obstacle::Unsupported.into());
        }
        self.most_handles = most;
        self.allow_handles();
        Ok(())
    }

    /// The handles of the next write that had some.
    #[cfg(feature = "foreign")]
    pub(super) fn next_handles(&mut self) -> io::Result<Option<Vec<OwnedFd>>> {
        let Some(batch) = self.batches.pop_front() else { return Ok(None) };
        self.first += 1;
        Ok(Some(batch.all()?))
    }

    /// Lets none in any more.
    #[cfg(feature = "shared-memory")]
    pub(super) fn refuse_handles(&mut self) {
        rights::refuse(self.side.fd());
        self.lets_in = false;
    }

    /// Takes the handles of the message that announced so many. Untaken handles of earlier messages are closed.
    pub(super) fn take_passed(
        &mut self,
        count: usize,
        numbers: &[u64],
    ) -> io::Result<Vec<OwnedFd>> {
        let number = match (count, numbers) {
            (0, []) => return Ok(Vec::new()),
            (1.., &[number]) => number,
            _ => return Err(Obstacle::HandlesLost("the message describes them wrongly").into()),
        };
        // Beside a ring, they are in the socket still.
        let mut beside = if self.ring.is_some() { self.batches_beside() } else { 0 };
        loop {
            while self.first < number && self.batches.pop_front().is_some() {
                self.first += 1;
            }
            if beside == 0 || !self.batches.is_empty() {
                break;
            }
            beside -= 1;
            let Some(batch) = self.next_batch() else { break };
            self.keep(batch);
        }
        if self.first != number {
            return Err(Obstacle::HandlesLost("none came with the message").into());
        }
        let batch = self.batches.pop_front();
        let batch = batch.ok_or(Obstacle::HandlesLost("none came with the message"))?;
        self.first += 1;
        Ok(batch.expect(count)?)
    }
}

/// Makes a reset of whatever a TCP stream is lost by: none of it is a deadline of the program.
fn lost_link(error: Errno) -> Errno {
    match error {
        Errno::TIMEDOUT
        | Errno::HOSTUNREACH
        | Errno::HOSTDOWN
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::NETRESET
        | Errno::CONNABORTED => Errno::CONNRESET,
        error => error,
    }
}

/// The result of taking bytes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    Some,
    Nothing,
    /// There is more, and no room for it.
    Full,
    Ended,
}

/// The writing half of a connection.
#[derive(Debug)]
pub(super) struct Sending {
    side: Side,
    /// The handles for the first byte of the next write.
    handles: Vec<OwnedFd>,
    /// The number of writes that carried handles.
    gone: u64,
    /// Whether nothing more can be written.
    finished: bool,
    /// Where the bytes go, if not into the socket, which then carries handles alone.
    ring: Option<RingWriter>,
    /// Whether there was no room in the socket for the handles, beside a ring that has some.
    socket_is_full: bool,
}

impl Sending {
    pub(super) fn write(&mut self, bufs: &[IoSlice<'_>], wait: Wait<'_>) -> io::Result<usize> {
        if self.finished {
            return Err(Errno::PIPE.into());
        }
        self.socket_is_full = false;
        let Some(ring) = &mut self.ring else { return self.write_to_socket(bufs, wait) };
        if self.handles.is_empty() {
            return ring.write(bufs, wait);
        }
        self.send_handles(wait)?;
        // Not a wait any more, which could end without it: only this side fills the ring.
        self.ring.as_mut().map_or(Ok(0), |ring| Ok(ring.write_here(bufs)))
    }

    /// Sends the handles of a message beside a ring, once there is room for some of the message: nothing of that may be
    /// missing when they are gone.
    fn send_handles(&mut self, wait: Wait<'_>) -> io::Result<()> {
        let once = Wait { until: WaitLimit::Now, ..wait };
        loop {
            self.socket_is_full = false;
            if let Some(ring) = &mut self.ring {
                ring.wait_for_room(1, wait)?;
            }
            match self.write_to_socket(&[IoSlice::new(&[0])], once) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent.map(drop),
            }
            self.socket_is_full = true;
            if let Some(ring) = &mut self.ring {
                // What the reader has taken so far is no news to a wait that follows.
                ring.look()?;
            }
            if matches!(wait.until, WaitLimit::Now) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            ready_or_time(self.side.fd(), PollFlags::OUT, LOOK_AT_READER, wait)?;
        }
    }

    fn write_to_socket(&mut self, bufs: &[IoSlice<'_>], wait: Wait<'_>) -> io::Result<usize> {
        let sent = loop {
            match self.send(bufs, wait) {
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && !matches!(wait.until, WaitLimit::Now) =>
                {
                    ready_or_time(self.side.fd(), PollFlags::OUT, LOOK_AT_READER, wait)?;
                }
                sent => break sent?,
            }
        };
        if sent > 0 && !self.handles.is_empty() {
            self.handles.clear();
            self.gone += 1;
        }
        Ok(sent)
    }

    /// Sends as much as there is room for. Only a plain wait is left to the call itself.
    fn send(&self, bufs: &[IoSlice<'_>], wait: Wait<'_>) -> io::Result<usize> {
        let flags = if wait.is_plain() { SendFlags::empty() } else { SendFlags::DONTWAIT };
        let once = Wait { until: WaitLimit::Now, ..wait };
        let sent = until_done(self.side.fd(), PollFlags::OUT, once, |fd| match bufs {
            [buf] if self.handles.is_empty() => send(fd, buf, flags | NO_SIGNAL).map_err(lost_link),
            _ => rights::send(fd, bufs, &self.handles, flags | NO_SIGNAL).map_err(lost_link),
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.side.socket.reset.store(true, Ordering::Release);
                Err(Errno::PIPE.into())
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::TOOMANYREFS) => {
                Err(resource_errors::told(error))
            }
            sent => sent,
        }
    }

    pub(super) fn write_or_take_in(
        &mut self,
        incoming: &mut Receiving,
        limit: usize,
        bytes: &[u8],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        loop {
            match self.write(&[IoSlice::new(bytes)], Wait { until: WaitLimit::Now, ..wait }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
            let asked = match incoming.take_in(limit)? {
                Intake::Some => continue,
                Intake::Nothing => PollFlags::OUT | PollFlags::IN,
                Intake::Full => return Err(Obstacle::Deadlock.into()),
                Intake::Ended => PollFlags::OUT,
            };
            if let (Some(out), Some(ring)) = (&mut self.ring, &mut incoming.ring) {
                let waits = asked.contains(PollFlags::IN).then_some(ring);
                let full = self.socket_is_full.then(|| (self.side.fd(), PollFlags::OUT));
                wait_for_any(out, waits, full, wait)?;
                continue;
            }
            ready_or_time(self.side.fd(), asked, LOOK_AT_READER, wait)?;
        }
    }

    /// The other side reads the end, once it has read what was written.
    pub(super) fn finish(&mut self) {
        self.finished = true;
        if let Some(ring) = &mut self.ring {
            ring.finish();
        }
        self.set_apart(true);
        self.side.end();
    }

    /// Whether handles go beside its own bytes.
    #[cfg(feature = "foreign")]
    pub(super) fn passes_handles(&self) -> bool {
        self.ring.is_none() && self.is_local()
    }

    /// Sends handles with the next write. The message announces them by the number of the write.
    pub(super) fn pass(&mut self, handles: Vec<OwnedFd>) -> Vec<u64> {
        let numbers = if handles.is_empty() { Vec::new() } else { vec![self.gone] };
        self.handles = handles;
        numbers
    }

    pub(super) fn take_back(&mut self) -> Vec<OwnedFd> {
        mem::take(&mut self.handles)
    }

    /// The bytes that the other side has not read yet, with the system's overhead.
    pub(super) fn unsent(&self) -> io::Result<usize> {
        if let Some(ring) = &self.ring {
            return Ok(ring.unsent());
        }
        if !self.is_local() {
            // The system counts what the other system has not acknowledged.
            return Err(Obstacle::Unsupported.into());
        }
        queue::unread_by_peer(self.side.fd())
    }

    pub(super) fn is_local(&self) -> bool {
        self.side.socket.local
    }

    pub(super) fn wait_until_taken(&self, wait: Wait<'_>) -> io::Result<bool> {
        if let Some(ring) = &self.ring {
            return ring.wait_until_taken(wait);
        }
        if !self.is_local() {
            return Ok(false);
        }
        queue::wait_until_taken(self, wait)
    }

    /// From now on, the bytes go into a ring.
    #[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    pub(super) fn write_to(&mut self, ring: RingWriter) {
        self.ring = Some(ring);
    }

    /// The ring, if there is one.
    pub(super) fn ring(&self) -> Option<&RingWriter> {
        self.ring.as_ref()
    }

    /// The ring, if it may be lent.
    pub(super) fn ring_mut(&mut self) -> Option<&mut RingWriter> {
        self.ring.as_mut().filter(|_| !self.finished && self.handles.is_empty())
    }

    /// The socket, if it is what a write waits for, beside the ring.
    #[cfg(feature = "tokio")]
    pub(super) fn full_socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket_is_full.then(|| self.side.fd())
    }

    /// Looks again for a moment before a task waits; returns whether there is more room in the ring.
    #[cfg(feature = "tokio")]
    pub(super) fn look_again(&mut self) -> bool {
        !self.socket_is_full && self.ring.as_mut().is_some_and(RingWriter::look_again)
    }

    /// Says that a task waits for room in the ring; returns whether there is some.
    #[cfg(feature = "tokio")]
    pub(super) fn prepare_wait(&mut self) -> bool {
        self.ring.as_mut().is_some_and(RingWriter::prepare_wait)
    }

    #[cfg(feature = "tokio")]
    pub(super) fn end_wait(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.end_wait();
        }
    }

    /// The size of the buffer that it writes to.
    pub(super) fn buffer_size(&self) -> io::Result<usize> {
        match &self.ring {
            Some(ring) => Ok(ring.size()),
            None => Ok(rustix::net::sockopt::socket_send_buffer_size(self.side.fd())?),
        }
    }

    /// Whether the halves are of two owners from now on.
    pub(super) fn set_apart(&self, apart: bool) {
        self.side.socket.apart.store(apart, Ordering::Release);
    }

    pub(super) fn is_half_of(&self, receiving: &Receiving) -> bool {
        Arc::ptr_eq(&self.side.socket, &receiving.side.socket)
    }
}

use signal::{NO_SIGNAL, is_quiet};

/// Suppresses the signal of a write without a reader, in each call.
#[cfg(not(target_vendor = "apple"))]
mod signal {
    use super::*;

    pub(super) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

    pub(super) fn is_quiet(_: &OwnedFd) -> bool {
        true
    }
}

/// Suppresses the signal of writes without a reader, once for the socket.
#[cfg(target_vendor = "apple")]
mod signal {
    use super::*;

    pub(super) const NO_SIGNAL: SendFlags = SendFlags::empty();

    /// The system refuses if the other side has left. Its bytes can be read all the same; a write to it would
    /// raise the signal.
    pub(super) fn is_quiet(socket: &OwnedFd) -> bool {
        rustix::net::sockopt::set_socket_nosigpipe(socket, true).is_ok()
    }
}

/// Counts the bytes that the other side has not read.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod queue {
    #![allow(unsafe_code, reason = "`SIOCOUTQ` has no safe wrapper")]

    use std::os::fd::AsRawFd;

    use super::*;
    use crate::sys::retry::try_until;

    pub(super) fn unread_by_peer(socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open while borrowed; the request writes one integer, for which there is room.
        let told = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        if told < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(usize::try_from(bytes).unwrap_or(0))
    }

    pub(super) fn wait_until_taken(sending: &Sending, wait: Wait<'_>) -> io::Result<bool> {
        let socket = &sending.side.socket;
        try_until(wait, super::super::wait::pause, || {
            if unread_by_peer(socket.fd.as_fd())? > 0 {
                // A dropped reading half takes no more, even if the writing one goes on. An empty write
                // reports that, as long as this side may write.
                if !sending.finished {
                    send(&socket.fd, &[], SendFlags::DONTWAIT | NO_SIGNAL)?;
                }
                return Err(Obstacle::NotTaken.into());
            }
            // The bytes that the other side left unread are gone as well: the system reports that by an error, once.
            if rustix::net::sockopt::socket_error(&socket.fd)?.is_err() {
                socket.reset.store(true, Ordering::Release);
            }
            if socket.reset.load(Ordering::Acquire) {
                return Err(Errno::PIPE.into());
            }
            Ok(true)
        })
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod queue {
    use super::*;

    pub(super) fn unread_by_peer(_: BorrowedFd<'_>) -> io::Result<usize> {
        Err(Obstacle::Unsupported.into())
    }

    pub(super) fn wait_until_taken(_: &Sending, _: Wait<'_>) -> io::Result<bool> {
        Ok(false)
    }
}

/// Waits until there is room in one ring or something in the other one, or in the socket room for handles; or until it is
/// time to look at those that came.
fn wait_for_any(
    out: &mut RingWriter,
    incoming: Option<&mut RingReader>,
    full: Option<(BorrowedFd<'_>, PollFlags)>,
    wait: Wait<'_>,
) -> io::Result<()> {
    let mut incoming = incoming;
    let is_there = out.prepare_wait() | incoming.as_mut().is_some_and(|ring| ring.prepare_wait());
    let waited = if is_there {
        Ok(())
    } else {
        let mut fds = vec![(out.as_fd(), PollFlags::IN)];
        fds.extend(incoming.as_ref().map(|ring| (ring.as_fd(), PollFlags::IN)));
        fds.extend(full);
        any_ready(&fds, LOOK_AT_READER, wait)
    };
    out.end_wait();
    if let Some(ring) = incoming {
        ring.end_wait();
    }
    waited
}

impl Receiving {
    /// The socket, whatever it carries.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.side.fd()
    }
}

impl Sending {
    /// The socket, whatever it carries.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.side.fd()
    }
}

/// What wakes this half: the socket, or the line of its ring.
impl AsFd for Receiving {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_ref().map_or_else(|| self.side.fd(), AsFd::as_fd)
    }
}

/// What wakes this half: the socket, or the line of its ring.
impl AsFd for Sending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_ref().map_or_else(|| self.side.fd(), AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::sys::Event;

    /// A writer that waits for room for its handles puts nothing into the ring: a reader that waits for the ring alone,
    /// with the socket full, waits for ever.
    #[cfg(all(feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
    #[test]
    fn a_reader_beside_an_empty_ring_takes_all_handles_out_of_the_socket() {
        use super::super::shared_memory::tests::sides;

        let file = OwnedFd::from(UnixStream::pair().unwrap().0);
        let batch = || Batch::of(vec![file.try_clone().unwrap()]);
        let full = || {
            let (one, other) = UnixStream::pair().unwrap();
            let (mut from, _) = halves(one.into());
            let [(reader, _), (_, writer)] = sides(64 << 10);
            from.read_from(reader);
            from.allow_handles();
            from.batches.extend((0..MOST_KEPT).map(|_| batch()));
            for _ in 0..3 {
                let one = [file.try_clone().unwrap()];
                let sent =
                    rights::send(other.as_fd(), &[IoSlice::new(&[0])], &one, SendFlags::DONTWAIT);
                assert_eq!(sent, Ok(1));
            }
            (from, other, writer)
        };
        let (mut from, _other, mut writer) = full();
        let error = from.read(&mut [0; 8], Wait::NOW).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(ioctl_fionread(from.side.fd()), Ok(0));
        assert_eq!((from.batches.len(), from.first), (2, u64::try_from(MOST_KEPT + 1).unwrap()));
        writer.write(&[IoSlice::new(b"news")], Wait::NOW).unwrap();
        assert_eq!(from.read(&mut [0; 8], Wait::NOW).unwrap(), 4);

        // Whatever else comes into the socket meanwhile, and whatever the other side says, no wait lasts longer for it.
        let (mut from, other, _writer) = full();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let one = [file.try_clone().unwrap()];
                        let bytes = [IoSlice::new(&[0])];
                        let _ = rights::send(other.as_fd(), &bytes, &one, SendFlags::DONTWAIT);
                    }
                });
            }
            let soon = std::time::Instant::now() + Duration::from_millis(1);
            let soon = Wait { until: WaitLimit::Deadline(soon), token: None };
            let error = from.read(&mut [0; 8], soon).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(from.take_passed(1, &[u64::MAX]).is_err());
            is_over.store(true, Ordering::Relaxed);
        });

        // While messages wait that were taken in, their handles are kept: there the writer is told apart from a slow one.
        let (mut from, _other, mut writer) = full();
        assert_eq!(from.take_in(100).unwrap(), Intake::Full);
        assert_eq!(from.batches.len(), MOST_KEPT);
        writer.write(&[IoSlice::new(b"news")], Wait::NOW).unwrap();
        assert_eq!(from.take_in(100).unwrap(), Intake::Some);
        drop(writer);
    }

    #[test]
    fn a_cancel_token_goes_before_what_was_taken_in() {
        let (one, mut other) = UnixStream::pair().unwrap();
        let (mut from, mut to) = halves(one.into());
        while to.write(&[IoSlice::new(&[7; 1000])], Wait::NOW).is_ok() {}
        other.write_all(b"news").unwrap();
        let error = to.write_or_take_in(&mut from, 100, &[7; 1000], Wait::NOW).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let token = Event::new().unwrap();
        token.set();
        let mut buf = [0; 8];
        let error = from.read(&mut buf, Wait { until: WaitLimit::Done, token: Some(&token) });
        assert!(error.unwrap_err().to_string().contains("cancelled"));
        assert_eq!(from.read(&mut buf, Wait::NOW).unwrap(), 4);
    }
}
