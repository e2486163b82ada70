//! An open end that wakes a task when it is ready.
#![allow(unsafe_code, reason = "registering a descriptor has no safe way")]

use std::future::Future;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::coop::poll_proceed;
use tokio::time::{Sleep, sleep};

use super::half::SharedSocket;
use super::maker::Maker;
use super::wait::LOOK_AT_NAME;
use super::{Raw, Server, resource_errors};
use crate::error::Obstacle;
#[cfg(feature = "shared-memory")]
use crate::sys::Measure;
use crate::sys::{Wait, Way};

/// An open end, and its registration with the runtime.
#[derive(Debug)]
pub(crate) struct Polled {
    /// `None` until the next wait, if the last registration has to be dropped.
    registration: Option<Registration>,
    /// What it is woken by from the next renewal on, where that is known before.
    prepared: Option<Registration>,
    /// Whether no operation was tried since it was registered.
    fresh: bool,
    raw: Raw,
    way: Way,
    runtime: Handle,
    /// The next check of an end that may not be woken.
    look: Option<Pin<Box<Sleep>>>,
    /// Whether the other side of shared memory is to wake the task.
    asleep: bool,
    /// The socket beside shared memory, while the task waits for room for handles in it.
    beside: Option<Registration>,
}

impl Polled {
    pub(crate) fn new(raw: Raw, way: Way, runtime: Handle) -> Result<Self, (Raw, io::Error)> {
        // A socket has room for most writes: what waits for room is registered then.
        let later = raw.is_over_carrier() || raw.writes_to_socket();
        let registered = if later { Ok(None) } else { register_end(&raw, way, &runtime).map(Some) };
        match registered {
            Ok(registration) => {
                let (fresh, look, asleep, beside) = (true, None, false, None);
                let prepared = None;
                Ok(Self { registration, prepared, fresh, raw, way, runtime, look, asleep, beside })
            }
            Err(error) => Err((raw, error)),
        }
    }

    pub(crate) fn raw(&self) -> &Raw {
        &self.raw
    }

    pub(crate) fn raw_mut(&mut self) -> &mut Raw {
        &mut self.raw
    }

    pub(crate) fn into_raw(self) -> Raw {
        self.raw
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(half) = self.raw.carrier_reader() {
            return half.poll_read(cx, buf);
        }
        if self.raw.holds_bytes() {
            return Poll::Ready(self.raw.read(buf, Wait::NOW));
        }
        self.poll_patiently(cx, |raw| raw.read(buf, Wait::NOW))
    }

    /// Waits until a whole message lies in shared memory.
    #[cfg(feature = "shared-memory")]
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        measure: &Measure<'_>,
    ) -> Poll<io::Result<usize>> {
        self.poll_patiently(cx, |raw| raw.frame(measure, Wait::NOW))
    }

    /// Keeps incoming bytes, up to a limit, for later reads, until that fails.
    pub(crate) fn poll_take_in(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(half) = self.raw.carrier_reader() {
            return half.poll_take_in_as_task(limit, cx);
        }
        loop {
            match ready!(self.poll_patiently(cx, |raw| raw.take_in(limit))) {
                // Nothing more will come.
                Ok(0) => return Poll::Pending,
                Ok(_) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(half) = self.raw.carrier_writer() {
            return half.poll_write(cx, bytes);
        }
        self.poll_patiently(cx, |raw| raw.write(bytes, Wait::NOW))
    }

    /// Reads the bytes that are there, whether the runtime knows of them or not.
    pub(crate) fn read_now(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.raw.read(buf, Wait::NOW);
        self.follow();
        read
    }

    /// Writes as much as there is room for, whether the runtime knows of it or not.
    pub(crate) fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.raw.write(bytes, Wait::NOW)
    }

    /// The other side reads the end, once it has read what was written.
    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(half) = self.raw.carrier_writer() {
            return half.poll_finish(cx);
        }
        Poll::Ready(self.raw.finish(Wait::NOW))
    }

    /// Returns 0: no write is ever pending here.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "Windows has more to do"
    )]
    pub(crate) fn give_up_write(&mut self) -> io::Result<usize> {
        Ok(0)
    }

    /// After the last writer left: the next read waits for the next writer.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        self.registration = self.prepared.take();
        self.raw.renew()
    }

    /// Registers what the end is woken by from the next renewal on: whether the runtime has room for it is known then.
    #[cfg(feature = "shared-memory")]
    pub(crate) fn prepare(&mut self, line: Option<&OwnedFd>) -> io::Result<()> {
        self.prepared = line.map(|line| register(line, Way::In, &self.runtime)).transpose()?;
        Ok(())
    }

    /// Performs an operation when the runtime reports it as ready, and now and then by itself if the runtime may not.
    fn poll_patiently(
        &mut self,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&mut Raw) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Poll::Ready(done) = self.poll_when_ready(cx, &mut operation) {
                self.look = None;
                return Poll::Ready(done);
            }
            let Some(look_interval) = self.raw.look_interval(self.way) else {
                return Poll::Pending;
            };
            let look = self.look.get_or_insert_with(|| {
                let _inside = self.runtime.enter();
                Box::pin(sleep(look_interval))
            });
            ready!(look.as_mut().poll(cx));
            self.look = None;
            self.raw.look()?;
            self.follow();
            match operation(&mut self.raw) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Performs an operation on shared memory. Only a task that has said that it sleeps is woken by the other side.
    fn poll_beside_memory(
        &mut self,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&mut Raw) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        // Where there is always something, other tasks have their turn now and then.
        let mut turn = ready!(poll_proceed(cx));
        let mut looks = if self.asleep { 0 } else { LOOKS };
        loop {
            match operation(&mut self.raw) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    turn.made_progress();
                    self.beside = None;
                    if mem::take(&mut self.asleep) {
                        self.raw.end_wait();
                    }
                    return Poll::Ready(done);
                }
            }
            if looks > 0 && self.raw.look_again() {
                looks -= 1;
                continue;
            }
            self.asleep = true;
            if !self.raw.prepare_wait() {
                ready!(self.poll_line_or_socket(cx))?;
            }
            self.asleep = false;
            self.raw.end_wait();
            // Where the other side does a little again and again, that is never enough for this operation.
            turn.made_progress();
            turn = ready!(poll_proceed(cx));
        }
    }

    /// Waits for the other side of shared memory, or for room in the socket beside it, where handles need that.
    fn poll_line_or_socket(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(socket) = self.raw.full_socket() {
            let beside = match &mut self.beside {
                Some(beside) => beside,
                none => none.insert(register(&socket, Way::Out, &self.runtime)?),
            };
            if let Poll::Ready(room) = beside.fd.poll_write_ready_mut(cx) {
                room?.clear_ready();
                return Poll::Ready(Ok(()));
            }
        }
        let registration = match &mut self.registration {
            Some(registration) => registration,
            none => none.insert(register(&self.raw, Way::In, &self.runtime)?),
        };
        ready!(registration.fd.poll_read_ready_mut(cx))?.clear_ready();
        Poll::Ready(Ok(()))
    }

    /// Registers the FIFO that the end switched to, if it did, before the next wait.
    fn follow(&mut self) {
        if self.raw.take_switched() {
            self.registration = None;
        }
    }

    /// Performs an operation when the runtime reports it as ready, and once without asking it.
    ///
    /// The runtime never forgets that the other side had left, though another one may have come since. An end
    /// with such a stale state is registered again, or the task would be woken without rest.
    fn poll_when_ready(
        &mut self,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&mut Raw) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.raw.waits_by_itself() {
            return self.poll_beside_memory(cx, operation);
        }
        if self.registration.is_none() && self.raw.writes_to_socket() {
            // Where there is always room, other tasks have their turn now and then.
            let turn = ready!(poll_proceed(cx));
            match operation(&mut self.raw) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    turn.made_progress();
                    return Poll::Ready(done);
                }
            }
        }
        loop {
            let registration = match &mut self.registration {
                Some(registration) => registration,
                none => {
                    self.fresh = true;
                    none.insert(register_end(&self.raw, self.way, &self.runtime)?)
                }
            };
            if mem::take(&mut self.fresh) {
                match operation(&mut self.raw) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if self.raw.take_switched() {
                            self.registration = None;
                            continue;
                        }
                    }
                    done => return Poll::Ready(done),
                }
            }
            let mut guard = ready!(match self.way {
                Way::In => registration.fd.poll_read_ready_mut(cx),
                Way::Out => registration.fd.poll_write_ready_mut(cx),
            })?;
            match operation(&mut self.raw) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = guard.ready();
                    if self.raw.take_switched() || ready.is_read_closed() || ready.is_write_closed()
                    {
                        self.registration = None;
                    } else {
                        guard.clear_ready();
                    }
                }
                done => return Poll::Ready(done),
            }
        }
    }
}

/// So often a poll looks again for a moment before it sleeps: what comes first is not always enough.
const LOOKS: u32 = 4;

/// Wakes the task that waits for a client of a server.
#[derive(Debug)]
pub(crate) struct PolledServer {
    registration: Registration,
    runtime: Handle,
    /// The next check whether any client can come.
    look: Option<Pin<Box<Sleep>>>,
}

impl PolledServer {
    pub(crate) fn new(server: &Server, runtime: &Handle) -> io::Result<Self> {
        let registration = register(server, Way::In, runtime)?;
        Ok(Self { registration, runtime: runtime.clone(), look: None })
    }

    pub(crate) fn poll_accept(
        &mut self,
        server: &Server,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Raw, Raw)>> {
        loop {
            if let Poll::Ready(guard) = self.registration.fd.poll_read_ready_mut(cx) {
                match server.accept_here() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        guard?.clear_ready();
                        self.follow(server)?;
                    }
                    done => {
                        self.look = None;
                        return Poll::Ready(done);
                    }
                }
                continue;
            }
            let look = self.look.get_or_insert_with(|| {
                let _inside = self.runtime.enter();
                Box::pin(sleep(LOOK_AT_NAME))
            });
            ready!(look.as_mut().poll(cx));
            self.look = None;
            match server.accept(Wait::NOW) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.follow(server)?,
                done => return Poll::Ready(done),
            }
        }
    }

    /// Registers the socket that took the lost name again, if there is one.
    fn follow(&mut self, server: &Server) -> io::Result<()> {
        if server.take_renewed() {
            // If it cannot be registered now, the next call tries again.
            let registered = register(server, Way::In, &self.runtime);
            self.registration = registered.inspect_err(|_| server.set_renewed())?;
        }
        Ok(())
    }
}

/// A descriptor that the runtime watches.
#[derive(Debug)]
struct Registration {
    fd: ManuallyDrop<AsyncFd<Descriptor>>,
    maker: Maker,
}

/// What keeps a descriptor open while it is watched.
#[derive(Debug)]
enum Descriptor {
    /// A copy.
    Copy(OwnedFd),
    /// The socket of a connection, whose reading half alone registers it itself: it cannot be registered twice.
    Socket(SharedSocket),
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Copy(fd) => fd.as_raw_fd(),
            Self::Socket(socket) => socket.as_fd().as_raw_fd(),
        }
    }
}

/// A forked child shares the runtime's list of watched files: it takes nothing from that of its parent.
impl Drop for Registration {
    fn drop(&mut self) {
        if self.maker.is_this() {
            // SAFETY: this is the one place that drops it, and nothing uses it afterwards.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        } else {
            // SAFETY: the registration, which owns it, is never dropped in this process, so this is its last use.
            drop(unsafe { ptr::read(self.fd.get_ref()) });
        }
    }
}

/// Registers an end with the runtime.
fn register_end(raw: &Raw, way: Way, runtime: &Handle) -> io::Result<Registration> {
    match raw.read_socket() {
        Some(socket) => register_owned(Descriptor::Socket(socket), way, runtime),
        None => register(raw, way, runtime),
    }
}

/// Registers a copy of the descriptor with the runtime.
fn register(open: &impl AsFd, way: Way, runtime: &Handle) -> io::Result<Registration> {
    let fd = open.as_fd().try_clone_to_owned().map_err(resource_errors::told)?;
    register_owned(Descriptor::Copy(fd), way, runtime)
}

fn register_owned(fd: Descriptor, way: Way, runtime: &Handle) -> io::Result<Registration> {
    let _inside = runtime.enter();
    let interest = match (&fd, way) {
        // The other side that reads a request makes room: the thread begins to wake before the answer is here. On two
        // processors a round trip takes half as long, and fewer cycles.
        (Descriptor::Socket(_), Way::In) => Interest::READABLE | Interest::WRITABLE,
        (Descriptor::Copy(_), Way::In) => Interest::READABLE,
        (_, Way::Out) => Interest::WRITABLE,
    };
    // SAFETY: the descriptor is open and stays the same as long as its owner, which the registration has.
    let registered = unsafe { AsyncFd::register_with_interest(fd, interest) };
    let registered =
        registered.map(|fd| Registration { fd: ManuallyDrop::new(fd), maker: Maker::this() });
    registered.map_err(|failed| match failed.into_parts().1 {
        full if full.kind() == io::ErrorKind::StorageFull => {
            Obstacle::ResourceExhausted("this user watches too many files (`max_user_watches`)")
                .into()
        }
        error => resource_errors::told(error),
    })
}

#[cfg(all(test, feature = "shared-memory", any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::future::poll_fn;
    use std::io::IoSlice;
    use std::os::unix::net::UnixStream;

    use tokio::runtime::Builder;

    use super::*;
    use crate::sys::unix::half::halves;
    use crate::sys::unix::shared_memory::tests::sides;

    /// There is always something new, and it is never enough.
    #[test]
    fn a_side_that_writes_a_little_again_and_again_leaves_other_tasks_their_turn() {
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        let rounds = runtime.block_on(async {
            let (one, _other) = UnixStream::pair().unwrap();
            let (mut raw, _) = Raw::both(halves(one.into()));
            let [(reader, _ours), (_theirs, mut writer)] = sides(64 << 10);
            raw.read_from(reader);
            let polled = Polled::new(raw, Way::In, Handle::current());
            let mut polled = polled.map_err(|(_, error)| error).unwrap();
            let mut rounds = 0;
            let mut too_little = |_: &mut Raw| {
                rounds += 1;
                assert!(rounds < 10_000, "it never ends");
                writer.write(&[IoSlice::new(&[7])], Wait::NOW).unwrap();
                Err(io::ErrorKind::WouldBlock.into())
            };
            poll_fn(|cx| {
                assert!(polled.poll_beside_memory(cx, &mut too_little).is_pending());
                Poll::Ready(())
            })
            .await;
            rounds
        });
        assert!(rounds < 1000, "{rounds}");
    }
}
