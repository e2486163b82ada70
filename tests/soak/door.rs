//! A listener whose clients are served in threads, and the handshake of both sides.

use std::thread;
use std::time::Duration;

use typed_pipe::{Connection, ErrorKind, Handshake, ListenerOptions};

use crate::ledger::{Count, NO_MORE};
use crate::process::Player;

/// Serves each client in a thread of its own, so many at once, until nothing comes any more.
pub(crate) fn serve_each(
    player: &Player,
    name: &str,
    most_clients: usize,
    serve: impl Fn(Connection) + Sync,
) {
    let listener = ListenerOptions::new().max_clients(most_clients);
    let listener = listener.bind(player.name(name)).unwrap();
    thread::scope(|scope| {
        loop {
            match listener.accept_timeout(Duration::from_millis(50)) {
                Ok(client) => {
                    player.book.add(Count::Connections, 1);
                    let serve = &serve;
                    scope.spawn(move || serve(client));
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                    if player.gone() == NO_MORE {
                        break;
                    }
                }
            }
        }
    });
}

/// The handshake of a side that offers shared memory, or does not: half of the connections go through it.
#[cfg_attr(not(feature = "shared-memory"), expect(unused_variables, reason = "there is none"))]
pub(crate) fn handshake(offers_memory: bool) -> Handshake {
    let handshake = Handshake::new().timeout(Duration::from_secs(60));
    #[cfg(feature = "shared-memory")]
    if offers_memory {
        return handshake.shared_memory(typed_pipe::SharedMemory::offered());
    }
    handshake
}
