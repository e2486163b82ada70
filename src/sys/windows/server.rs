//! A name at which clients connect.

use std::io;
use std::os::windows::io::OwnedHandle;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::connection::Connection;
use super::event::{Event, ensure_not_cancelled};
use super::halves::{events, halves};
use super::instance::{Instances, lock};
use super::name::temporary;
use super::pipe_info::PipeInfo;
use super::raw::Raw;
use super::resource_errors;
use crate::error::Obstacle;
use crate::sys::{Settings, Wait, WaitLimit};

/// The most instances that listen at any time.
const MAX_BACKLOG: u16 = 64;

/// An allocated name, and the instances that listen.
#[derive(Debug)]
pub struct Server {
    listener: Mutex<Instances>,
    /// The event that is set when a client comes.
    event: Arc<Event>,
    info: PipeInfo,
}

impl Server {
    pub(crate) fn bind(path: &Path, settings: &Settings) -> io::Result<Self> {
        let backlog = settings.backlog.clamp(1, MAX_BACKLOG).into();
        let listener = Instances::new(path, settings, backlog).map_err(resource_errors::told)?;
        let (event, info) = (Arc::clone(listener.event()), listener.info()?);
        Ok(Self { listener: Mutex::new(listener), event, info })
    }

    pub(crate) fn temporary(settings: &Settings) -> io::Result<(PathBuf, Self)> {
        let path = temporary()?;
        let server = Self::bind(&path, settings)?;
        Ok((path, server))
    }

    /// Why another process cannot listen at the same name.
    #[expect(clippy::unused_self, reason = "on Unix a socket can be shared")]
    pub(crate) fn stays(&self) -> Option<&'static str> {
        Some("this system lets one process listen")
    }

    #[expect(clippy::unused_self, reason = "on Unix a socket can be shared")]
    pub(crate) fn share(&self) -> io::Result<OwnedHandle> {
        Err(Obstacle::Unsupported.into())
    }

    pub(crate) fn shared(_: &Path, handle: OwnedHandle) -> Result<Self, (OwnedHandle, io::Error)> {
        Err((handle, Obstacle::Unsupported.into()))
    }

    /// Waits for the next client. Several threads may wait, each with a limit of its own.
    pub(crate) fn accept(&self, wait: Wait<'_>) -> io::Result<(Raw, Raw)> {
        loop {
            ensure_not_cancelled(wait)?;
            match self.admit() {
                Ok(Some(halves)) => return Ok(halves),
                Ok(None) => self.event.wait(wait)?,
                Err(error) => {
                    // The client is kept: this thread or another one accepts it later.
                    self.event.set();
                    return Err(resource_errors::told(error));
                }
            }
        }
    }

    /// What is set when a client comes.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn event(&self) -> Arc<Event> {
        Arc::clone(&self.event)
    }

    /// Does nothing: the name goes with the instances that listen, when this is dropped.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "on Unix something is removed")]
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The name cannot lead elsewhere while an instance has it.
    pub(crate) fn is_unlinked(&self) -> bool {
        false
    }

    /// Returns a client, if one is there and its resources can be allocated.
    ///
    /// Each client needs another instance in its place, whose begin sets the event again: so one client
    /// after the other wakes a thread, however many come at once.
    fn admit(&self) -> io::Result<Option<(Raw, Raw)>> {
        let mut listener = lock(&self.listener);
        if !listener.has_client()? {
            return Ok(None);
        }
        let events = events()?;
        let Some(client) = listener.accept()? else { return Ok(None) };
        drop(listener);
        let (incoming, outgoing) = halves(Connection::here(client, self.info), events);
        Ok(Some((incoming.into(), outgoing.into())))
    }
}

impl Raw {
    /// The two sides of a connection, each with both halves: by a name that cannot be guessed, and that is removed then.
    pub(crate) fn pair() -> io::Result<[(Self, Self); 2]> {
        let forever = Wait { until: WaitLimit::Done, token: None };
        let (path, server) = Server::temporary(&Settings { backlog: 1, ..Settings::default() })?;
        let client = Self::connect(&path, false, forever)?;
        Ok([client, server.accept(forever)?])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::testing::{
        NOW, PLAIN, alone, client, handles, is_wine, read_all, server, timely, within, write_all,
    };
    use super::*;

    fn kind(error: &io::Error) -> String {
        error.to_string()
    }

    #[test]
    fn c1_one_server() {
        if is_wine("FILE_FLAG_FIRST_PIPE_INSTANCE is ignored") {
            return;
        }
        let (path, _server) = server();
        let error = Server::bind(&path, &Settings::default()).unwrap_err();
        assert!(kind(&error).contains("another process owns"), "{error}");
    }

    /// However quick they come and go, there is a name to find, and each one is served.
    #[test]
    fn c12_quick_clients() {
        const CLIENTS: u8 = 200;
        timely(|| {
            let (path, server) = server();
            let clients = thread::spawn(move || {
                for i in 0..CLIENTS {
                    let (_from, mut to) = loop {
                        match Raw::connect(&path, false, NOW) {
                            Ok(client) => break client,
                            Err(error) => {
                                assert_ne!(error.kind(), io::ErrorKind::NotFound, "{i}");
                                assert!(kind(&error).contains("as many clients"), "{error}");
                                thread::yield_now();
                            }
                        }
                    };
                    assert_eq!(to.write(&[i], PLAIN).unwrap(), 1);
                }
            });
            let mut got = Vec::new();
            for _ in 0..CLIENTS {
                let (mut from, _to) = server.accept(within(10_000)).unwrap();
                let bytes = read_all(&mut from);
                assert_eq!(bytes.len(), 1);
                got.extend(bytes);
            }
            clients.join().unwrap();
            got.sort_unstable();
            assert_eq!(got, (0..CLIENTS).collect::<Vec<u8>>());
        });
    }

    #[test]
    fn c13_a_client_that_came_wrote_and_left_is_handed_out() {
        timely(|| {
            let (path, server) = server();
            let (from, mut to) = client(&path);
            to.write(b"gone", PLAIN).unwrap();
            drop((from, to));
            drop(client(&path));
            let mut all = Vec::new();
            for _ in 0..2 {
                let (mut from, mut to) = server.accept(within(10_000)).unwrap();
                all.extend(read_all(&mut from));
                assert_eq!(from.read(&mut [0; 8], NOW).unwrap(), 0, "it stays");
                let error = to.write(b"x", PLAIN).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                to.finish(PLAIN).unwrap();
            }
            assert_eq!(all, b"gone");
        });
    }

    #[test]
    fn c15_clients_beyond_the_backlog_wait() {
        timely(|| {
            let settings = Settings { backlog: 1, ..Settings::default() };
            let (path, server) = Server::temporary(&settings).unwrap();
            let _first = client(&path);
            let error = Raw::connect(&path, false, NOW).unwrap_err();
            assert!(kind(&error).contains("as many clients"), "{error}");
            let error = Raw::connect(&path, false, within(30)).unwrap_err();
            assert!(kind(&error).contains("the deadline passed"), "{error}");
            thread::scope(|scope| {
                let second = scope.spawn(|| client(&path));
                let _first = server.accept(within(10_000)).unwrap();
                let _second = server.accept(within(10_000)).unwrap();
                second.join().unwrap();
            });
            drop(server);
            let error = Raw::connect(&path, false, NOW).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            for backlog in [0, u16::MAX] {
                let settings = Settings { backlog, ..Settings::default() };
                let (path, _server) = Server::temporary(&settings).unwrap();
                drop(client(&path));
            }
        });
    }

    #[test]
    fn c14_a_client_waits_for_its_server() {
        timely(|| {
            let (path, gone) = server();
            drop(gone);
            let error = Raw::connect(&path, false, within(30)).unwrap_err();
            assert!(kind(&error).contains("still no pipe of this name"), "{error}");
            thread::scope(|scope| {
                let waiting = scope.spawn(|| client(&path));
                thread::sleep(Duration::from_millis(100));
                let server = Server::bind(&path, &Settings::default()).unwrap();
                let _client = server.accept(within(10_000)).unwrap();
                waiting.join().unwrap();
            });
        });
    }

    /// Each client wakes one thread, however many come at once.
    #[test]
    fn several_threads_accept() {
        const CLIENTS: usize = 400;
        timely(|| {
            for round in 0..5 {
                let (path, server) = server();
                let (served, token) = (AtomicUsize::new(0), Event::new().unwrap());
                thread::scope(|scope| {
                    for _ in 0..4 {
                        scope.spawn(|| {
                            let wait = Wait { until: WaitLimit::Done, token: Some(&token) };
                            while let Ok((mut from, mut to)) = server.accept(wait) {
                                assert_eq!(read_all(&mut from), b"ask");
                                write_all(&mut to, b"answer", PLAIN);
                                served.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                    }
                    let clients: Vec<_> = (0..4)
                        .map(|_| {
                            scope.spawn(|| {
                                for _ in 0..CLIENTS / 4 {
                                    let (mut from, mut to) = client(&path);
                                    to.write(b"ask", PLAIN).unwrap();
                                    to.finish(PLAIN).unwrap();
                                    assert_eq!(read_all(&mut from), b"answer", "{round}");
                                }
                            })
                        })
                        .collect();
                    for client in clients {
                        client.join().unwrap();
                    }
                    token.set();
                });
                assert_eq!(served.into_inner(), CLIENTS);
            }
        });
    }

    #[test]
    fn a_deadline_or_a_cancel_token_ends_each_wait_alone() {
        timely(|| {
            let (path, server) = server();
            assert_eq!(server.accept(NOW).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let token = Event::new().unwrap();
            thread::scope(|scope| {
                let long = scope.spawn(|| server.accept(within(20_000)).map(drop));
                let cancelled = scope.spawn(|| {
                    let wait = Wait { until: WaitLimit::Done, token: Some(&token) };
                    server.accept(wait).unwrap_err()
                });
                let error = server.accept(within(50)).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                let begin = Instant::now();
                token.set();
                assert!(kind(&cancelled.join().unwrap()).contains("cancelled"));
                assert!(begin.elapsed() < Duration::from_secs(20));
                drop(client(&path));
                long.join().unwrap().unwrap();
            });
            drop(client(&path));
            let wait = Wait { until: WaitLimit::Done, token: Some(&token) };
            let error = server.accept(wait).unwrap_err();
            assert!(kind(&error).contains("cancelled"), "a cancelled token goes first: {error}");
            drop(server.accept(within(10_000)).unwrap());
        });
    }

    #[test]
    fn what_a_thread_began_outlives_it() {
        timely(|| {
            let (path, server) = thread::spawn(server).join().unwrap();
            thread::scope(|scope| {
                let early = scope.spawn(|| server.accept(within(20_000)).map(drop));
                thread::sleep(Duration::from_millis(20));
                drop(client(&path));
                early.join().unwrap().unwrap();
            });
            drop(client(&path));
            drop(server.accept(within(10_000)).unwrap());
        });
    }

    #[test]
    fn no_handle_is_left() {
        let status = alone("server::tests::no_handle_is_left_alone").status();
        assert!(status.unwrap().success());
    }

    #[test]
    #[ignore = "run by the test above"]
    fn no_handle_is_left_alone() {
        fn round() {
            let (path, server) = server();
            let (mut client, mut other) = (client(&path), client(&path));
            let mut served = server.accept(within(10_000)).unwrap();
            // One is waited for in vain, one ends by the farewell that finds no room, one is never accepted.
            assert!(served.0.read(&mut [0; 8], within(2)).is_err());
            super::super::testing::fill(&mut served.1);
            drop(served.1);
            assert!(client.1.write_or_take_in(&mut client.0, 10, &[0; 70_000], NOW).is_ok());
            assert!(client.1.write_or_take_in(&mut client.0, 10, &[0; 70_000], within(5)).is_err());
            drop(client.0);
            assert!(other.0.read(&mut [0; 8], NOW).is_err());
            client.1.pass(vec![Event::new().unwrap().into()]);
            assert!(Raw::connect(&path, false, NOW).is_ok());
            assert!(other.1.peer().is_ok());
        }
        round();
        let before = handles();
        for _ in 0..200 {
            round();
        }
        assert_eq!(handles(), before);
    }
}
