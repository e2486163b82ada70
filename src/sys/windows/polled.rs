//! An open end that wakes a task when an operation has ended.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::task::coop::poll_proceed;
use tokio::time::{Sleep, sleep};

use super::wakeup::Wakeup;
use super::{Raw, Server};
#[cfg(feature = "shared-memory")]
use crate::sys::Measure;
use crate::sys::{Pauses, Wait, Way};

/// An open end, and the wakeup of the task that waits for it.
#[derive(Debug)]
pub(crate) struct Polled {
    wakeup: Wakeup,
    raw: Raw,
    runtime: Handle,
    /// The next attempt to connect to the next writer.
    next_try: Option<Pin<Box<Sleep>>>,
    pauses: Pauses,
    /// The next check of the other side of a connection.
    look: Option<Pin<Box<Sleep>>>,
}

impl Polled {
    pub(crate) fn new(mut raw: Raw, way: Way, runtime: Handle) -> Result<Self, (Raw, io::Error)> {
        match raw.attend(way).and_then(Wakeup::new) {
            Ok(wakeup) => {
                Ok(Self { wakeup, raw, runtime, next_try: None, pauses: Pauses::new(), look: None })
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

    pub(crate) fn into_raw(mut self) -> Raw {
        self.raw.leave();
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
        let turn = ready!(poll_proceed(cx));
        loop {
            if let Some(next_try) = &mut self.next_try {
                ready!(next_try.as_mut().poll(cx));
                self.next_try = None;
            }
            // Before the check: any later event wakes the task.
            self.wakeup.wakes(cx.waker());
            let error = match self.raw.read(buf, Wait::NOW) {
                Err(error) => error,
                done => {
                    turn.made_progress();
                    self.pauses = Pauses::new();
                    self.look = None;
                    return Poll::Ready(done);
                }
            };
            if error.kind() == io::ErrorKind::WouldBlock {
                if let Some(interval) = self.raw.look_interval() {
                    let look = self.look.get_or_insert_with(|| {
                        let _inside = self.runtime.enter();
                        Box::pin(sleep(interval))
                    });
                    ready!(look.as_mut().poll(cx));
                    self.look = None;
                    continue;
                }
                return Poll::Pending;
            }
            let pause = if self.raw.awaits_next() { self.pauses.after(&error) } else { None };
            let Some(pause) = pause else { return Poll::Ready(Err(error)) };
            let _inside = self.runtime.enter();
            self.next_try = Some(Box::pin(sleep(pause)));
        }
    }

    #[cfg(feature = "shared-memory")]
    pub(crate) fn poll_frame(
        &mut self,
        _: &mut Context<'_>,
        measure: &Measure<'_>,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.raw.frame(measure, Wait::NOW))
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(half) = self.raw.carrier_writer() {
            return half.poll_write(cx, bytes);
        }
        let turn = ready!(poll_proceed(cx));
        self.wakeup.wakes(cx.waker());
        match self.raw.write_behind(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            done => {
                turn.made_progress();
                Poll::Ready(done)
            }
        }
    }

    /// Keeps incoming bytes, up to a limit, for later reads, until that fails.
    pub(crate) fn poll_take_in(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(half) = self.raw.carrier_reader() {
            return half.poll_take_in_as_task(limit, cx);
        }
        let turn = ready!(poll_proceed(cx));
        self.wakeup.wakes(cx.waker());
        loop {
            match self.raw.take_in(limit) {
                // Nothing more will come.
                Ok(0) => return Poll::Pending,
                Ok(_) => turn.made_progress(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(error),
            }
        }
    }

    /// Reads the bytes that are there, without waking the task for more.
    pub(crate) fn read_now(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.raw.read(buf, Wait::NOW) {
            Err(error) if self.raw.awaits_next() && Pauses::new().after(&error).is_some() => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            read => read,
        }
    }

    /// Writes as much as there is room for. Nothing of the rest is written later.
    pub(crate) fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(half) = self.raw.carrier_writer() {
            return half.write(bytes, Wait::NOW);
        }
        match self.raw.write_behind(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match self.raw.give_up_write()? {
                    0 => Err(error),
                    written => Ok(written),
                }
            }
            written => written,
        }
    }

    /// The other side reads the end, once it has read what was written.
    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(half) = self.raw.carrier_writer() {
            return half.poll_finish(cx);
        }
        self.wakeup.wakes(cx.waker());
        match self.raw.finish_behind() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            done => Poll::Ready(done),
        }
    }

    /// Cancels a pending write; returns how many of its bytes were written.
    pub(crate) fn give_up_write(&mut self) -> io::Result<usize> {
        self.raw.give_up_write()
    }

    /// After the last writer left: the next read waits for the next writer.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        self.raw.renew()
    }

    /// Memory is not shared here.
    #[cfg(feature = "shared-memory")]
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        clippy::unnecessary_wraps,
        reason = "Unix has more to do"
    )]
    pub(crate) fn prepare(&mut self, _: Option<&crate::sys::Handle>) -> io::Result<()> {
        Ok(())
    }
}

/// Wakes the task that waits for a client of a server.
#[derive(Debug)]
pub(crate) struct PolledServer(Wakeup);

impl PolledServer {
    pub(crate) fn new(server: &Server, _: &Handle) -> io::Result<Self> {
        Wakeup::new(server.event()).map(Self)
    }

    #[expect(clippy::needless_pass_by_ref_mut, reason = "on Unix the runtime is asked")]
    pub(crate) fn poll_accept(
        &mut self,
        server: &Server,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Raw, Raw)>> {
        let turn = ready!(poll_proceed(cx));
        self.0.wakes(cx.waker());
        match server.accept(Wait::NOW) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            done => {
                turn.made_progress();
                Poll::Ready(done)
            }
        }
    }
}
