//! A connection over a stream of QUIC.

use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use iroh::endpoint::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::sync::OwnedSemaphorePermit;
use typed_pipe::{Carrier, Peer};

use crate::key::PublicKey;
use crate::link::{Link, Notice, Shared, lost, why};
use crate::net::Inner;

/// Both directions of a connection to another machine.
pub(crate) struct Stream {
    link: Arc<Link>,
    shared: Arc<Shared>,
    /// `None` once it was dropped.
    send: Option<SendStream>,
    recv: RecvStream,
    written: u64,
    read: u64,
    reading: Reading,
    /// The other side wrote something that this one left unread.
    unread: bool,
    finished: bool,
    /// How many bytes another program has taken, where this one only carries them.
    held: Option<u64>,
    /// How many bytes were last said to be taken so far.
    said: u64,
    /// Of the connections that the other machine may have here, this is one.
    place: Option<OwnedSemaphorePermit>,
    /// The runtime goes on as long as this.
    inner: Arc<Inner>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Open,
    /// Done, in one way or another: the other side has been told.
    Done,
}

/// How far the reader of the other side has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SoFar {
    All,
    Left { all: bool },
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("peer", &self.link.peer).finish_non_exhaustive()
    }
}

impl Stream {
    pub(crate) fn new(
        link: Arc<Link>,
        shared: Arc<Shared>,
        (send, recv): (SendStream, RecvStream),
        place: Option<OwnedSemaphorePermit>,
        inner: Arc<Inner>,
    ) -> Self {
        link.busy.opened();
        Self {
            link,
            shared,
            send: Some(send),
            recv,
            written: 0,
            read: 0,
            reading: Reading::Open,
            unread: false,
            finished: false,
            held: None,
            said: 0,
            place,
            inner,
        }
    }

    fn done_reading(&mut self) {
        if self.reading == Reading::Open {
            self.reading = Reading::Done;
            self.link.say(self.recv.id(), Notice::Taken(self.held.unwrap_or(self.read)));
        }
    }

    /// Tells how far the program has come, for who carries the bytes of another one.
    fn say_so_far(&mut self, wanted: bool) {
        if wanted && self.held.is_none() && self.read > self.said {
            self.said = self.read;
            self.link.say_so_far(self.recv.id(), &self.shared, self.read);
        }
    }

    pub(crate) fn machine(&self) -> PublicKey {
        self.link.peer
    }

    /// From now on it carries the bytes of another program: what this one reads is not taken yet.
    pub(crate) fn hold(&mut self) {
        self.held = Some(0);
        self.link.say(self.recv.id(), Notice::WantsSoFar);
    }

    /// The other program has taken all that was read.
    pub(crate) fn release(&mut self) {
        if self.held.is_some_and(|held| held < self.read) {
            self.held = Some(self.read);
            self.link.say_so_far(self.recv.id(), &self.shared, self.read);
        }
    }

    /// The other program has taken all, up to the end.
    pub(crate) fn release_all(&mut self) {
        self.held = Some(self.read);
        self.done_reading();
    }

    /// The other program leaves bytes that were read unread.
    pub(crate) fn leave_unread(&mut self) {
        self.stop_reading();
        self.unread = true;
    }

    /// How much the reader of the other side has taken so far, once that is all that was written, or it has left.
    pub(crate) fn poll_so_far(&self, cx: &Context<'_>) -> Poll<io::Result<SoFar>> {
        let mut told = self.shared.lock();
        told.wake_writing(cx);
        match (told.taken, &told.lost) {
            (Some(taken), _) => Poll::Ready(Ok(SoFar::Left { all: taken == self.written })),
            (None, Some(why)) => Poll::Ready(Err(lost(why))),
            (None, None) if told.so_far >= self.written => Poll::Ready(Ok(SoFar::All)),
            (None, None) => Poll::Pending,
        }
    }

    /// Ends it before a program has it. The other side is told that this is no proper end.
    pub(crate) fn cut_off(self) {
        self.shared.revoke("it was not accepted");
    }

    fn send(&mut self) -> io::Result<&mut SendStream> {
        self.send.as_mut().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl Carrier for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut told = self.shared.lock();
        told.wake_reading(cx);
        let left = told.cut_at.map(|at| at.saturating_sub(self.read));
        let (ended, revoked, wanted) = (told.lost.clone(), told.revoked, told.wants_so_far);
        drop(told);
        if let Some(why) = ended.as_ref().filter(|_| revoked) {
            return Poll::Ready(Err(lost(why)));
        }
        if left == Some(0) {
            self.done_reading();
            let _ = self.recv.stop(VarInt::from_u32(0));
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        // What came before the end is still read.
        match self.recv.poll_read(cx, buf) {
            Poll::Ready(Ok(0)) => {
                // What is only carried is not taken yet.
                if self.held.is_none() {
                    self.done_reading();
                }
                Poll::Ready(Ok(0))
            }
            Poll::Ready(Ok(bytes)) => {
                self.read += bytes as u64;
                if bytes < buf.len() {
                    self.say_so_far(wanted);
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(match error {
                ReadError::ConnectionLost(reason) => lost(&why(&reason)),
                _ => io::ErrorKind::ConnectionReset.into(),
            })),
            Poll::Pending => match ended {
                Some(why) => Poll::Ready(Err(lost(&why))),
                None => {
                    self.say_so_far(wanted);
                    Poll::Pending
                }
            },
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut told = self.shared.lock();
        told.wake_writing(cx);
        let ended = told.lost.clone();
        drop(told);
        if let Some(why) = ended {
            return Poll::Ready(Err(lost(&why)));
        }
        match Pin::new(self.send()?).poll_write(cx, bytes) {
            Poll::Ready(Ok(bytes)) => {
                self.written += bytes as u64;
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(WriteError::ConnectionLost(reason))) => {
                Poll::Ready(Err(lost(&why(&reason))))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut told = self.shared.lock();
        told.wake_writing(cx);
        let (taken, ended) = (told.taken, told.lost.clone());
        drop(told);
        let (written, unread) = (self.written, self.unread);
        let send = self.send()?;
        // A reader that has left has told how far it came, or is about to.
        if let Poll::Ready(Ok(Some(_))) = pin!(send.stopped()).poll(cx) {
            return match (taken, ended) {
                (Some(taken), _) if taken >= written => Poll::Ready(Ok(())),
                (Some(_), _) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                (None, Some(why)) => Poll::Ready(Err(lost(&why))),
                (None, None) => Poll::Pending,
            };
        }
        if let Some(why) = ended {
            return Poll::Ready(Err(lost(&why)));
        }
        if unread {
            let stream = send.id();
            self.link.say(stream, Notice::CutAt(written));
        } else if send.finish().is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.finished = true;
        Poll::Ready(Ok(()))
    }

    fn stop_reading(&mut self) {
        if self.reading == Reading::Done {
            return;
        }
        // Nothing waits here: what has come was left unread.
        let mut cx = Context::from_waker(Waker::noop());
        self.unread = matches!(self.recv.poll_read(&mut cx, &mut [0]), Poll::Ready(Ok(1)));
        let _ = self.recv.stop(VarInt::from_u32(0));
        self.done_reading();
    }

    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut told = self.shared.lock();
        told.wake_writing(cx);
        match (told.taken, &told.lost) {
            (Some(taken), _) if taken == self.written => Poll::Ready(Ok(true)),
            (Some(_), _) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            (None, Some(why)) => Poll::Ready(Err(lost(why))),
            (None, None) => Poll::Pending,
        }
    }

    fn peer(&self) -> io::Result<Peer> {
        Ok(Peer::remote(self.link.peer.to_string()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop_reading();
        self.link.busy.dropped();
        let Some(mut send) = self.send.take() else { return };
        if self.shared.lock().revoked {
            let _ = send.reset(VarInt::from_u32(0));
        } else if self.unread {
            // Again, if it was finished before this was known.
            self.link.say(send.id(), Notice::CutAt(self.written));
        } else if !self.finished {
            let _ = send.finish();
        }
        // What was written still goes; the runtime is kept for that long.
        let (link, shared, written) =
            (Arc::clone(&self.link), Arc::clone(&self.shared), self.written);
        let (turn, place, inner) = (link.busy.begin(), self.place.take(), Arc::clone(&self.inner));
        self.link.busy.spawn(async move {
            let arrived = send.stopped().await.is_ok();
            if !arrived && shared.lock().taken != Some(written) {
                link.busy.lose();
            }
            link.forget(send.id());
            drop((turn, place, inner));
        });
    }
}
