//! The connections that a program gives to its service, one after the other.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::lifecycle::Lifecycle;
use crate::connection::Connection;
use crate::error::{Error, Operation};
use crate::path::PipePath;
use crate::state::Mode;
use crate::sys::start_thread;
use crate::wait::{CANCEL_CHECK, CancelToken};

type Connections = Box<dyn Iterator<Item = Connection> + Send>;

/// The connections, and the thread that waits for them.
pub(crate) struct Feed {
    path: PipePath,
    /// Until the service is open.
    connections: Mutex<Option<Connections>>,
    handed: Arc<Handed>,
}

/// What the thread hands over.
#[derive(Default)]
struct Handed {
    state: Mutex<State>,
    /// Whether the last one was taken.
    taken: Condvar,
}

#[derive(Default)]
struct State {
    next: Option<Connection>,
    /// Cancelled where there is a next one, or none any more.
    awaited: Option<CancelToken>,
    /// None comes any more.
    ended: bool,
    /// None is taken any more.
    closed: bool,
}

/// As long as a service waits at once.
const LONG: Duration = Duration::from_secs(3600);

impl Feed {
    pub(super) fn new(connections: Connections) -> Self {
        let path = PipePath::given(Path::new(""));
        Self { path, connections: Mutex::new(Some(connections)), handed: Arc::default() }
    }

    pub(super) fn path(&self) -> &PipePath {
        &self.path
    }

    /// Begins to wait for connections.
    pub(super) fn start(&self) -> Result<(), Error> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(connections) = connections else { return Ok(()) };
        let handing = Handing(Arc::clone(&self.handed));
        let hand_on = move || handing.hand_on(connections);
        let thread = start_thread("typed-pipe clients", hand_on);
        thread.map(drop).map_err(|error| Error::new(Operation::Accept, error))
    }

    /// The next connection; `None` when the service is to end, or with its last client.
    pub(super) async fn next<M: Mode>(&self, lifecycle: &Lifecycle) -> Option<Connection> {
        loop {
            let left = lifecycle.left();
            if lifecycle.is_closing() {
                return None;
            }
            let awaited = lifecycle.closing().child_token().ok();
            {
                let mut state = self.handed.lock();
                if let Some(connection) = state.next.take() {
                    self.handed.taken.notify_one();
                    return Some(connection);
                }
                // With a limit, it waits until that is over.
                if state.ended && left.is_none() {
                    return None;
                }
                state.awaited.clone_from(&awaited);
            }
            // Where the system has no token to spare, nothing wakes it.
            let most = if awaited.is_some() { LONG } else { CANCEL_CHECK };
            let until = M::within(left.map_or(most, |left| left.min(most)));
            let _ = M::sleep(until, awaited.as_ref()).await;
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.handed.lock();
        state.closed = true;
        // Nor does the thread keep a token that nothing waits for, which has descriptors.
        let left = (state.next.take(), state.awaited.take());
        drop(state);
        self.handed.taken.notify_one();
        drop(left);
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl Handed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a connection over once the one before is taken. `false` where none is taken any more.
    fn hand(&self, connection: Connection) -> bool {
        let mut state = self.lock();
        while state.next.is_some() && !state.closed {
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return false;
        }
        state.next = Some(connection);
        Self::tell(state);
        true
    }

    fn tell(mut state: MutexGuard<'_, State>) {
        let awaited = state.awaited.take();
        drop(state);
        awaited.iter().for_each(CancelToken::cancel);
    }
}

/// The side of the thread. When it is dropped, no connection comes any more, even where the code that makes them panics.
struct Handing(Arc<Handed>);

impl Handing {
    fn hand_on(self, connections: Connections) {
        for connection in connections {
            if !self.0.hand(connection) {
                return;
            }
        }
    }
}

impl Drop for Handing {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        Handed::tell(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_still_waits_keeps_no_token_of_a_service_that_has_ended() {
        let feed = Feed::new(Box::new(std::iter::empty()));
        let handed = Arc::clone(&feed.handed);
        handed.lock().awaited = Some(CancelToken::new().unwrap());
        drop(feed);
        assert!(handed.lock().awaited.is_none());
    }
}
