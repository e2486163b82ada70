//! A link to another machine, and what its two sides tell each other of their connections.
//!
//! A connection is one stream of QUIC in both directions. What a stream cannot say goes as a notice, on a stream of its
//! own: how many bytes a reader has taken when it was done, or until now, and that a direction ends after so many bytes
//! without having ended properly.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use iroh::endpoint::{Connection as Quic, ConnectionError, RecvStream, StreamId, VarInt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::busy::Busy;
use crate::key::PublicKey;

/// How long the other side may take for what it says in one go.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The codes with which a link is closed.
pub(crate) const CLOSED: u32 = 0;
pub(crate) const NOT_LET_IN: u32 = 1;
pub(crate) const TOO_MANY: u32 = 2;
const HEARS_NOTHING: u32 = 3;

/// What is known of a connection besides its bytes.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The reader of the other side is done, and has taken so many bytes.
    pub(crate) taken: Option<u64>,
    /// It goes on, and has taken so many bytes until now.
    pub(crate) so_far: u64,
    /// The other side only carries what another program writes, and wants to know how far the reader here has come.
    pub(crate) wants_so_far: bool,
    /// How far that is, while it is being told.
    so_far_here: Option<u64>,
    /// What the other side writes ends after so many bytes, and not properly.
    pub(crate) cut_at: Option<u64>,
    /// Why the link was lost, or the connection ended.
    pub(crate) lost: Option<String>,
    /// Whether this side has ended it: nothing more of it is read.
    pub(crate) revoked: bool,
    reading: Option<Waker>,
    writing: Option<Waker>,
}

/// The same, shared by the link and the carrier.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<Told>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, and wakes who waits.
    fn tell(&self, change: impl FnOnce(&mut Told)) {
        let mut told = self.lock();
        change(&mut told);
        let wakers = [told.reading.take(), told.writing.take()];
        drop(told);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// What is still to be told of the reader here. `None` ends the telling.
    fn next_so_far(&self, said: Option<u64>) -> Option<u64> {
        let mut told = self.lock();
        if told.so_far_here == said {
            told.so_far_here = None;
        }
        told.so_far_here
    }

    pub(crate) fn cut(&self, why: &str) {
        self.tell(|told| _ = told.lost.get_or_insert_with(|| why.into()));
    }

    /// Ends it, whatever may still come.
    pub(crate) fn revoke(&self, why: &str) {
        self.tell(|told| {
            told.revoked = true;
            let _ = told.lost.get_or_insert_with(|| why.into());
        });
    }
}

impl Told {
    pub(crate) fn wake_reading(&mut self, cx: &Context<'_>) {
        self.reading = Some(cx.waker().clone());
    }

    pub(crate) fn wake_writing(&mut self, cx: &Context<'_>) {
        self.writing = Some(cx.waker().clone());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Taken(u64),
    CutAt(u64),
    TakenSoFar(u64),
    WantsSoFar,
}

/// A kind, the stream, a number of bytes.
const NOTICE: usize = 17;

impl Notice {
    fn encode(self, stream: u64) -> [u8; NOTICE] {
        let (kind, bytes) = match self {
            Self::Taken(bytes) => (1, bytes),
            Self::CutAt(bytes) => (2, bytes),
            Self::TakenSoFar(bytes) => (3, bytes),
            Self::WantsSoFar => (4, 0),
        };
        let mut notice = [kind; NOTICE];
        notice[1..9].copy_from_slice(&stream.to_le_bytes());
        notice[9..].copy_from_slice(&bytes.to_le_bytes());
        notice
    }

    /// `None` for a kind of a later version.
    fn decode(notice: [u8; NOTICE]) -> Option<(u64, Self)> {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&notice[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let said = match notice[0] {
            1 => Self::Taken(number(9)),
            2 => Self::CutAt(number(9)),
            3 => Self::TakenSoFar(number(9)),
            4 => Self::WantsSoFar,
            _ => return None,
        };
        Some((number(1), said))
    }
}

/// The notices that may wait at once, besides some for each connection: the other side hears them without its program.
const NOTICES: usize = 1024;
const NOTICES_OF_ONE: usize = 4;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) quic: Quic,
    pub(crate) peer: PublicKey,
    pub(crate) busy: Arc<Busy>,
    /// For the connections of that machine, over all of its links.
    pub(crate) room: Arc<Semaphore>,
    connections: Mutex<HashMap<u64, Arc<Shared>>>,
    /// Why it ended. The socket of a link that is lost is closed, and that is another reason to QUIC, which forgets the first.
    ended: OnceLock<ConnectionError>,
    /// The most connections that there were at once.
    most: AtomicUsize,
    saying: AtomicUsize,
}

impl Link {
    /// Has its own task as long as it lasts: call it in the runtime.
    pub(crate) fn new(quic: Quic, busy: Arc<Busy>, room: Arc<Semaphore>) -> Arc<Self> {
        let link = Arc::new(Self {
            peer: PublicKey(quic.remote_id()),
            quic,
            busy,
            room,
            connections: Mutex::default(),
            ended: OnceLock::new(),
            most: AtomicUsize::new(0),
            saying: AtomicUsize::new(0),
        });
        tokio::spawn(Arc::clone(&link).hear());
        link
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<u64, Arc<Shared>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.end().is_some()
    }

    /// Why it has ended, if it has.
    pub(crate) fn end(&self) -> Option<ConnectionError> {
        self.ended.get().cloned().or_else(|| self.quic.close_reason())
    }

    /// Waits until it has ended, and notes why.
    pub(crate) async fn ended(&self) -> ConnectionError {
        let reason = self.quic.closed().await;
        self.ended.get_or_init(|| reason).clone()
    }

    /// Expects notices of this stream from now on.
    pub(crate) fn register(&self, stream: StreamId) -> Arc<Shared> {
        let shared = Arc::<Shared>::default();
        let mut connections = self.connections();
        connections.insert(number(stream), Arc::clone(&shared));
        self.most.fetch_max(connections.len(), Ordering::Relaxed);
        drop(connections);
        // The task has ended, or ends with this one in the map.
        if let Some(reason) = self.end() {
            shared.cut(&why(&reason));
        }
        shared
    }

    pub(crate) fn forget(&self, stream: StreamId) {
        self.connections().remove(&number(stream));
    }

    /// Tells the other side, as soon as that goes.
    pub(crate) fn say(self: &Arc<Self>, stream: StreamId, notice: Notice) {
        let most = NOTICES + NOTICES_OF_ONE * self.most.load(Ordering::Relaxed);
        // They would fill the memory of who hears none of them.
        if self.saying.fetch_add(1, Ordering::Relaxed) >= most {
            self.quic.close(HEARS_NOTHING.into(), b"no notices are heard");
        }
        let (link, turn) = (Arc::clone(self), self.busy.begin());
        self.busy.spawn(async move {
            link.tell(stream, notice).await;
            link.saying.fetch_sub(1, Ordering::Relaxed);
            drop(turn);
        });
    }

    /// Tells how far the reader here has come: where that takes its time, the last of several numbers alone.
    pub(crate) fn say_so_far(self: &Arc<Self>, stream: StreamId, shared: &Arc<Shared>, bytes: u64) {
        if shared.lock().so_far_here.replace(bytes).is_some() {
            return;
        }
        let (link, shared, turn) = (Arc::clone(self), Arc::clone(shared), self.busy.begin());
        self.busy.spawn(async move {
            let mut said = None;
            while let Some(bytes) = shared.next_so_far(said) {
                link.tell(stream, Notice::TakenSoFar(bytes)).await;
                said = Some(bytes);
            }
            drop(turn);
        });
    }

    async fn tell(&self, stream: StreamId, notice: Notice) {
        // A link that is lost tells its end by itself.
        let Ok(mut out) = self.quic.open_uni().await else { return };
        if out.write_all(&notice.encode(number(stream))).await.is_ok() && out.finish().is_ok() {
            let _ = out.stopped().await;
        }
    }

    /// Hears notices until the link is lost, which it then tells to every connection.
    async fn hear(self: Arc<Self>) {
        while let Ok(stream) = self.quic.accept_uni().await {
            tokio::spawn(Arc::clone(&self).hear_one(stream));
        }
        let reason = why(&self.ended().await);
        let connections: Vec<_> = self.connections().values().cloned().collect();
        for shared in connections {
            shared.cut(&reason);
        }
    }

    async fn hear_one(self: Arc<Self>, mut stream: RecvStream) {
        let mut notice = [0; NOTICE];
        if !matches!(timeout(HANDSHAKE_TIMEOUT, stream.read_exact(&mut notice)).await, Ok(Ok(()))) {
            return;
        }
        let Some((stream, notice)) = Notice::decode(notice) else { return };
        // It may be of a connection that this side has forgotten.
        let Some(shared) = self.connections().get(&stream).cloned() else { return };
        shared.tell(|told| match notice {
            // The first word stands.
            Notice::Taken(bytes) => _ = told.taken.get_or_insert(bytes),
            Notice::CutAt(bytes) => _ = told.cut_at.get_or_insert(bytes),
            // Each has a stream of its own, so that they may overtake each other.
            Notice::TakenSoFar(bytes) => told.so_far = told.so_far.max(bytes),
            Notice::WantsSoFar => told.wants_so_far = true,
        });
    }
}

fn number(stream: StreamId) -> u64 {
    VarInt::from(stream).into_inner()
}

/// Why a link was lost, in words.
pub(crate) fn why(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TimedOut => {
            "the other machine has not been heard of for the idle time".into()
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == NOT_LET_IN.into() => {
            "the other machine does not let in the key of this one any more".into()
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == TOO_MANY.into() => {
            "the machine of this key has too many links there".into()
        }
        ConnectionError::ApplicationClosed(_) => "the other machine has closed the link".into(),
        ConnectionError::LocallyClosed => "this machine has closed the link".into(),
        other => format!("the link is lost: {}", plain(other)),
    }
}

/// Some of it may be the words of the other side, which write nothing else into a terminal or a log.
pub(crate) fn plain(said: &(impl fmt::Display + ?Sized)) -> String {
    let said = said.to_string();
    said.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The error of an operation over a link that was lost.
pub(crate) fn lost(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_as_it_was_written() {
        for notice in
            [Notice::Taken(0), Notice::CutAt(u64::MAX), Notice::TakenSoFar(7), Notice::WantsSoFar]
        {
            assert_eq!(Notice::decode(notice.encode(77)), Some((77, notice)));
        }
        assert_eq!(Notice::decode([9; NOTICE]), None);
    }

    #[test]
    fn words_of_the_other_side_write_nothing_else_into_a_terminal() {
        assert_eq!(plain("bye\x1b[2J\nall is well"), "bye\u{fffd}[2J\u{fffd}all is well");
    }
}
