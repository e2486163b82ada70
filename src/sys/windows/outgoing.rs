//! The writing half of a connection.

use std::io::{self, IoSlice};
use std::mem;
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;

use super::connection::Connection;
use super::event::{Event, ensure_not_cancelled};
use super::gather::gather;
use super::handle_transfer::HandleTransfer;
use super::incoming::Incoming;
use super::overlapped::{Outcome, Overlapped};
use super::stream::MAX_TRANSFER;
#[cfg(feature = "tokio")]
use super::write_behind::WriteBehind;
use crate::error::Obstacle;
use crate::sys::Wait;

/// The bytes that are taken in by one call.
const INTAKE: usize = 65536;

/// The writing half of a connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    pipe: Overlapped<Arc<Connection>>,
    /// The reader during a blocked write, once one was blocked.
    intake: Option<Overlapped<Arc<Connection>>>,
    transfer: HandleTransfer,
    gathered: Vec<u8>,
    has_finished: bool,
    #[cfg(feature = "tokio")]
    behind: WriteBehind,
}

impl Outgoing {
    /// The end of each write sets `event`.
    pub(super) fn new(connection: Arc<Connection>, event: Arc<Event>) -> Self {
        Self {
            pipe: Overlapped::new(connection, event, 0),
            intake: None,
            transfer: HandleTransfer::default(),
            gathered: Vec::new(),
            has_finished: false,
            #[cfg(feature = "tokio")]
            behind: WriteBehind::default(),
        }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        self.pipe.handle()
    }

    /// Releases the connection without a farewell to the other side.
    pub(super) fn into_connection(mut self) -> Arc<Connection> {
        self.has_finished = true;
        Arc::clone(self.connection())
    }

    /// Writes from one buffer, in one call of the system.
    ///
    /// One that may be cancelled is no longer than the pipe's buffer: the system takes such a write whole or
    /// not at all.
    pub(super) fn write(&mut self, buf: &[u8], wait: Wait<'_>) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.ensure_able(wait)?;
        let most = if wait.is_plain() { MAX_TRANSFER } else { self.connection().info().quota };
        let buf = buf.get(..most).unwrap_or(buf);
        self.with_passed(|half| half.pipe.write(buf, wait)?.moved())
    }

    /// Writes from several buffers, in one call of the system.
    pub(super) fn write_vectored(
        &mut self,
        bufs: &[IoSlice<'_>],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        let mut gathered = mem::take(&mut self.gathered);
        let written = self.write(gather(bufs, &mut gathered), wait);
        self.gathered = gathered;
        written
    }

    /// Writes, and keeps incoming bytes while there is no room.
    ///
    /// One byte above the limit shows that more comes than may be kept; it is kept, too.
    pub(super) fn write_or_take_in(
        &mut self,
        incoming: &mut Incoming,
        limit: usize,
        buf: &[u8],
        wait: Wait<'_>,
    ) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.ensure_able(wait)?;
        if !Arc::ptr_eq(self.connection(), incoming.connection()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if !self.connection().is_overlapped() {
            return Err(Obstacle::NotOverlapped.into());
        }
        let buf = buf.get(..self.connection().info().quota).unwrap_or(buf);
        self.with_passed(|half| {
            let Self { pipe, intake, .. } = half;
            let (connection, event) = (Arc::clone(pipe.handle()), Arc::clone(pipe.event()));
            let mut is_reading = false;
            let written = pipe.write_while(buf, wait, || {
                let intake = intake.get_or_insert_with(|| {
                    Overlapped::new(connection.clone(), event.clone(), INTAKE)
                });
                take_in(intake, &mut is_reading, incoming, limit)
            });
            if let Some(intake) = intake {
                if let Some(outcome) = intake.give_up() {
                    // Most of the time it was cancelled. Any other error comes with the
                    // next read, too.
                    let _ = incoming.take_in(outcome, intake.buffer());
                }
            }
            written?.moved()
        })
    }

    /// Ends the direction with a message without bytes.
    pub(super) fn finish(&mut self, wait: Wait<'_>) -> io::Result<()> {
        if self.has_finished {
            return Ok(());
        }
        if !self.connection().info().has_messages {
            return Err(Obstacle::Unsupported.into());
        }
        self.ensure_able(wait)?;
        let outcome = self.pipe.write(&[], wait)?;
        self.has_said_farewell(outcome)
    }

    fn has_said_farewell(&mut self, outcome: Outcome) -> io::Result<()> {
        // A peer that has left needs none.
        if !outcome.is_end() {
            outcome.moved()?;
        }
        self.has_finished = true;
        Ok(())
    }

    /// The handles go with the first byte of the next write.
    pub(super) fn pass(&mut self, handles: Vec<OwnedHandle>) -> Vec<u64> {
        self.transfer.set(handles)
    }

    pub(super) fn take_back(&mut self) -> Vec<OwnedHandle> {
        self.transfer.take_back()
    }

    fn ensure_able(&self, wait: Wait<'_>) -> io::Result<()> {
        if self.has_finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.connection().ensure_able(wait)?;
        ensure_not_cancelled(wait)
    }

    /// Writes, and releases the passed handles if a byte of it went.
    fn with_passed(
        &mut self,
        write: impl FnOnce(&mut Self) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.transfer.is_empty() {
            return write(self);
        }
        let peer = self.connection().peer_process()?;
        self.transfer.begin(peer);
        let written = write(self);
        self.transfer.end(matches!(written, Ok(1..)));
        written
    }
}

#[cfg(feature = "tokio")]
impl Outgoing {
    /// Prepares for a task; returns the event that is set when it should poll again.
    pub(super) fn attend(&mut self) -> io::Result<Arc<Event>> {
        if !self.connection().is_overlapped() {
            return Err(Obstacle::NotOverlapped.into());
        }
        self.pipe.give_buffer(self.connection().info().quota);
        Ok(Arc::clone(self.pipe.event()))
    }

    /// Writes from one buffer without waiting: see [`WriteBehind::write`].
    pub(super) fn write_behind(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.transfer.is_empty() {
            return self.behind.write(&mut self.pipe, bytes);
        }
        if !self.pipe.is_in_flight() {
            self.transfer.begin(self.connection().peer_process()?);
        }
        let written = self.behind.write(&mut self.pipe, bytes);
        if !matches!(&written, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.transfer.end(matches!(written, Ok(1..)));
        }
        written
    }

    pub(super) fn give_up_write(&mut self) -> io::Result<usize> {
        let written = self.behind.give_up(&mut self.pipe);
        if !self.transfer.is_empty() {
            self.transfer.end(matches!(written, Ok(1..)));
        }
        written
    }

    /// As [`finish`](Self::finish), without waiting. While there is no room, it goes on by itself.
    pub(super) fn finish_behind(&mut self) -> io::Result<()> {
        if self.has_finished {
            return Ok(());
        }
        if !self.connection().info().has_messages {
            return Err(Obstacle::Unsupported.into());
        }
        let outcome = self.behind.write_nothing(&mut self.pipe)?;
        self.has_said_farewell(outcome)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // The end of a task's last write may not be known yet. If that write went, its handles are the receiver's, which
        // closes them by their numbers; other handles may have these by now, so they must not be closed here too.
        #[cfg(feature = "tokio")]
        if !self.transfer.is_empty() {
            // Any other result is not needed any more.
            let _ = self.give_up_write();
        }
        // With the last half the connection closes, which the other side sees as well.
        let is_last =
            Arc::strong_count(self.connection()) == 1 + usize::from(self.intake.is_some());
        if !self.has_finished && !is_last {
            self.connection().say_farewell(Arc::clone(self.pipe.event()));
        }
    }
}

/// Keeps all incoming bytes, up to the limit, and leaves a read in flight.
fn take_in(
    intake: &mut Overlapped<Arc<Connection>>,
    is_reading: &mut bool,
    incoming: &mut Incoming,
    limit: usize,
) -> io::Result<()> {
    while let Some(taken) = incoming.taken_in() {
        let over = if *is_reading {
            intake.poll()
        } else if taken > limit {
            return Err(Obstacle::Deadlock.into());
        } else {
            intake.read_ahead((limit - taken).saturating_add(1))
        };
        let Some(outcome) = over else {
            *is_reading = true;
            return Ok(());
        };
        *is_reading = false;
        incoming.take_in(outcome, intake.buffer())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::super::testing::{
        NOW, PLAIN, client, connection, fill, peer, peer_path, read_all, read_bytes, server,
        timely, within, write_all,
    };
    use super::super::{Event, Raw};
    use super::*;
    use crate::sys::{Wait, WaitLimit};

    const MANY: usize = 10 << 20;

    /// Sends much, and takes in what comes meanwhile; then receives as much.
    fn exchange((mut from, mut to): (Raw, Raw), mine: u8, theirs: u8) {
        let sent: Vec<u8> = (0..MANY).map(|i| mine ^ i.to_le_bytes()[1]).collect();
        let mut rest = sent.as_slice();
        while !rest.is_empty() {
            let most = rest.len().min(300_000);
            let written =
                to.write_or_take_in(&mut from, MANY, &rest[..most], within(20_000)).unwrap();
            assert!(written > 0);
            rest = &rest[written..];
        }
        to.finish(within(20_000)).unwrap();
        let got = read_all(&mut from);
        assert_eq!(got.len(), MANY);
        assert!(got.iter().zip(&sent).all(|(got, sent)| got ^ sent == mine ^ theirs));
    }

    /// Both sides, in two processes, send ten MiB before they receive anything.
    #[test]
    fn d18_both_send_first() {
        timely(|| {
            let (path, server) = server();
            let child = peer("outgoing::tests::d18_the_other_one_sends_first", &path);
            exchange(server.accept(within(30_000)).unwrap(), 1, 2);
            child.ensure_success();
        });
    }

    #[test]
    #[ignore = "run by the test above"]
    fn d18_the_other_one_sends_first() {
        exchange(client(&peer_path()), 2, 1);
    }

    #[test]
    fn d18_more_than_may_be_taken_in() {
        const LIMIT: usize = 100_000;
        timely(|| {
            let (mut one, mut other) = connection();
            let filled = fill(&mut one.1);
            let sending = thread::spawn(move || {
                write_all(&mut other.1, &vec![9; 200_000], PLAIN);
                other
            });
            for _ in 0..3 {
                let error = one.1.write_or_take_in(&mut one.0, LIMIT, b"mine", PLAIN).unwrap_err();
                assert!(error.to_string().contains("both sides send"), "{error}");
                let error = one.1.write_or_take_in(&mut one.0, LIMIT, b"mine", NOW).unwrap_err();
                assert!(error.to_string().contains("both sides send"), "{error}");
            }
            // One byte more than the limit shows that there is more; reading makes room again.
            assert!(one.0.unread().unwrap() > LIMIT);
            assert_eq!(read_bytes(&mut one.0, 200_000), vec![9; 200_000]);
            let mut other = sending.join().unwrap();
            let error = one.1.write_or_take_in(&mut one.0, LIMIT, b"mine", within(30)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(read_bytes(&mut other.0, filled), vec![7; filled]);
            assert_eq!(one.1.write_or_take_in(&mut one.0, 0, b"mine", NOW).unwrap(), 4);
            assert_eq!(read_bytes(&mut other.0, 4), b"mine");
        });
    }

    #[test]
    fn what_was_taken_in_is_read_first_and_then_the_end() {
        timely(|| {
            let (mut one, mut other) = connection();
            fill(&mut one.1);
            write_all(&mut other.1, b"first ", PLAIN);
            let error = one.1.write_or_take_in(&mut one.0, 100, b"x", within(30)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            write_all(&mut other.1, b"second ", PLAIN);
            assert_eq!(one.0.unread().unwrap(), 13);
            let error = one.1.write_or_take_in(&mut one.0, 100, b"x", NOW).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            write_all(&mut other.1, b"third", PLAIN);
            other.1.finish(PLAIN).unwrap();
            let token = Event::new().unwrap();
            let wait = Wait { until: WaitLimit::Done, token: Some(&token) };
            thread::scope(|scope| {
                let writing = scope.spawn(|| {
                    let error = one.1.write_or_take_in(&mut one.0, 100, b"x", wait).unwrap_err();
                    (error, &mut one)
                });
                thread::sleep(Duration::from_millis(50));
                token.set();
                let (error, one) = writing.join().unwrap();
                assert!(error.to_string().contains("cancelled"), "{error}");
                assert_eq!(one.0.unread().unwrap(), 18);
                let mut buf = [0; 3];
                assert_eq!(one.0.read(&mut buf, NOW).unwrap(), 3);
                let error = one.0.read(&mut buf, wait).unwrap_err();
                assert!(
                    error.to_string().contains("cancelled"),
                    "a cancelled token goes first: {error}"
                );
                assert_eq!(read_all(&mut one.0), b"st second third");
                assert_eq!(one.0.read(&mut buf, NOW).unwrap(), 0, "it stays");
            });
            drop(other);
            let error = one.1.write_or_take_in(&mut one.0, 100, b"x", PLAIN).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }

    #[test]
    fn a_half_of_another_connection_takes_nothing_in() {
        timely(|| {
            let ((_, mut to), (mut from, _)) = connection();
            let error = to.write_or_take_in(&mut from, 1, b"x", PLAIN).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        });
    }
}
