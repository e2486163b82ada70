//! A carrier over a reader and a writer that block: a thread for each.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Carrier;
use crate::error::Obstacle;
use crate::sys::{Peer, start_thread};

/// The most bytes that wait in a direction.
const ROOM: usize = 64 * 1024;

/// Two threads, which read and write.
pub(crate) struct Threads {
    incoming: Arc<Direction>,
    outgoing: Arc<Direction>,
    peer: Option<Peer>,
}

impl Threads {
    pub(crate) fn new<R, W>(reader: R, writer: W) -> io::Result<Self>
    where
        R: Read + Send + 'static,
        W: Write + Send + 'static,
    {
        let carrier = Self { incoming: Arc::default(), outgoing: Arc::default(), peer: None };
        let (incoming, outgoing) = (Arc::clone(&carrier.incoming), Arc::clone(&carrier.outgoing));
        // If the second one cannot start, dropping `carrier` ends the first one: one that reads would take bytes, and end after
        // that.
        start_thread("typed-pipe-write", move || write_out(writer, &outgoing))?;
        start_thread("typed-pipe-read", move || read_in(reader, &incoming))?;
        Ok(carrier)
    }

    /// Names the other side.
    #[cfg(windows)]
    pub(crate) fn of_peer(mut self, peer: Peer) -> Self {
        self.peer = Some(peer);
        self
    }
}

/// The bytes of one direction, between a thread and the connection.
#[derive(Default)]
struct Direction {
    state: Mutex<State>,
    /// Tells the thread of a change.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// Whether the connection wants nothing more of the thread after these bytes.
    left: bool,
    /// How the thread has ended, after these bytes.
    end: Option<io::Result<()>>,
    waker: Option<Waker>,
}

impl State {
    /// The error with which the thread has ended, each time anew.
    fn failure(&self) -> Option<io::Error> {
        let Some(Err(error)) = &self.end else { return None };
        Some(match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        })
    }

    fn pending<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Direction {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        goes_on: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, goes_on).unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes what waits for the thread. Not under the lock: a task may end with its waker, and the connection with it.
    fn wake(&self) {
        let waker = self.lock().waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn leave(&self) {
        self.lock().left = true;
        self.changed.notify_one();
    }
}

/// Ends a direction when its thread ends, also by a panic of the reader or the writer.
struct Ending<'a>(&'a Direction);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let panicked = || Err(io::Error::other("the reader or the writer of the pair panicked"));
        state.end.get_or_insert_with(panicked);
        drop(state);
        self.0.wake();
    }
}

fn read_in(mut reader: impl Read, incoming: &Direction) {
    let _ending = Ending(incoming);
    let mut piece = vec![0; ROOM];
    let end = loop {
        let read = reader.read(&mut piece);
        let mut state = incoming.lock();
        match read {
            _ if state.left => break Ok(()),
            Ok(0) => break Ok(()),
            Ok(bytes) => state.bytes.extend(piece.get(..bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break Err(error),
        }
        drop(state);
        incoming.wake();
        let state = incoming.lock();
        drop(incoming.wait(state, |state| !state.bytes.is_empty() && !state.left));
    };
    // Before the end is told: the other side may wait for what its drop does.
    drop(reader);
    incoming.lock().end = Some(end);
}

fn write_out(mut writer: impl Write, outgoing: &Direction) {
    let _ending = Ending(outgoing);
    let mut batch = VecDeque::new();
    let end = loop {
        outgoing.wake();
        let mut state =
            outgoing.wait(outgoing.lock(), |state| state.bytes.is_empty() && !state.left);
        if state.bytes.is_empty() {
            break Ok(());
        }
        batch.clear();
        std::mem::swap(&mut state.bytes, &mut batch);
        drop(state);
        let written = writer.write_all(batch.make_contiguous()).and_then(|()| writer.flush());
        if let Err(error) = written {
            break Err(error);
        }
    };
    // Before the end is told: it is the drop that closes.
    drop(writer);
    outgoing.lock().end = Some(end);
}

impl Carrier for Threads {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.incoming.lock();
        if !state.bytes.is_empty() {
            let read = state.bytes.read(buf);
            if state.bytes.is_empty() {
                self.incoming.changed.notify_one();
            }
            return Poll::Ready(read);
        }
        match (&state.end, state.failure()) {
            (_, Some(error)) => Poll::Ready(Err(error)),
            (Some(_), None) => Poll::Ready(Ok(0)),
            (None, None) => state.pending(cx),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.outgoing.lock();
        if let Some(error) = state.failure() {
            return Poll::Ready(Err(error));
        }
        let room = ROOM.saturating_sub(state.bytes.len()).min(bytes.len());
        if room == 0 {
            return state.pending(cx);
        }
        state.bytes.extend(bytes.get(..room).unwrap_or_default());
        self.outgoing.changed.notify_one();
        Poll::Ready(Ok(room))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.leave();
        let mut state = self.outgoing.lock();
        match (&state.end, state.failure()) {
            (_, Some(error)) => Poll::Ready(Err(error)),
            (Some(_), None) => Poll::Ready(Ok(())),
            (None, None) => state.pending(cx),
        }
    }

    fn stop_reading(&mut self) {
        self.incoming.leave();
    }

    fn peer(&self) -> io::Result<Peer> {
        self.peer.clone().ok_or_else(|| Obstacle::UnknownPeer.into())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.incoming.leave();
        self.outgoing.leave();
    }
}
