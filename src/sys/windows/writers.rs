//! The reading end of an owner: many writers, each with an instance of its own.

use std::collections::VecDeque;
use std::io;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::sync::{Arc, Mutex};

use super::event::{Event, ensure_not_cancelled, remaining};
use super::instance::{Instances, lock};
use super::overlapped::Overlapped;
use super::read_ahead::{AHEAD, Progress, ReadAhead};
use super::resource_errors;
use crate::error::Obstacle;
use crate::sys::{Wait, end_of_wait};

/// The connected writers, with the next one to read from in front; any read lets further ones in.
#[derive(Debug)]
pub(super) struct Writers {
    writers: VecDeque<Writer>,
    turnout: Turnout,
    listener: Arc<Mutex<Instances>>,
    /// The event that is set when a writer came, wrote, or left.
    event: Arc<Event>,
    /// The stand-in for a single handle, which a set lacks. No code outside of the crate can get it.
    stand_in: OwnedHandle,
}

/// The state of the former writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turnout {
    Awaited,
    Seen,
    Gone,
}

impl Writers {
    pub(super) fn new(listener: Arc<Mutex<Instances>>) -> io::Result<Self> {
        let event = Arc::clone(lock(&listener).event());
        let stand_in = Event::new()?.into();
        Ok(Self { writers: VecDeque::new(), turnout: Turnout::Awaited, listener, event, stand_in })
    }

    /// Reads from any writer. A message is read to its end before that of another writer.
    pub(super) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        if self.turnout == Turnout::Gone || buf.is_empty() {
            return Ok(0);
        }
        loop {
            ensure_not_cancelled(wait)?;
            // If there is no room for another writer, the connected ones are read all the same.
            let admitted = self.admit();
            match self.look(buf) {
                Look::Taken(bytes) => return Ok(bytes),
                // A writer of empty messages cannot delay us beyond the deadline.
                Look::Again => {
                    remaining(wait.until)?;
                }
                Look::Quiet => {
                    admitted?;
                    if self.has_ended()? {
                        return Ok(0);
                    }
                    self.event.wait(wait)?;
                }
            }
        }
    }

    /// Waits until a writer has come, even one that writes nothing, or that has left again.
    pub(super) fn wait_for_writer(&mut self, wait: Wait<'_>) -> io::Result<()> {
        loop {
            ensure_not_cancelled(wait)?;
            self.admit()?;
            if self.turnout != Turnout::Awaited {
                return Ok(());
            }
            self.event.wait(wait).map_err(|ended| end_of_wait(ended, Obstacle::NoWriter.into()))?;
        }
    }

    /// After the last writer left: the next read waits for the next writer.
    pub(super) fn renew(&mut self) {
        if self.turnout == Turnout::Gone {
            self.turnout = Turnout::Awaited;
        }
    }

    /// The event that is set when there is something to read.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn event(&self) -> Arc<Event> {
        Arc::clone(&self.event)
    }

    pub(super) fn buffer_size(&self) -> io::Result<usize> {
        Ok(lock(&self.listener).info()?.quota)
    }

    /// Lets in the writers that came.
    fn admit(&mut self) -> io::Result<()> {
        let mut listener = lock(&self.listener);
        while let Some(client) = listener.accept().map_err(resource_errors::told)? {
            let pipe = Overlapped::new(client, Arc::clone(&self.event), AHEAD);
            self.writers.push_back(Writer::new(pipe));
            self.turnout = Turnout::Seen;
        }
        Ok(())
    }

    /// Polls each writer once, and takes the bytes of the first that has some.
    fn look(&mut self, buf: &mut [u8]) -> Look {
        let mut found = Look::Quiet;
        for _ in 0..self.writers.len() {
            let Some(mut writer) = self.writers.pop_front() else { break };
            match writer.ahead.look(&mut writer.pipe) {
                Progress::Bytes => {
                    let bytes = writer.ahead.take(&mut writer.pipe, buf);
                    if writer.ahead.is_between_messages() {
                        self.writers.push_back(writer);
                    } else {
                        self.writers.push_front(writer);
                    }
                    return Look::Taken(bytes);
                }
                Progress::Nothing => self.writers.push_back(writer),
                Progress::Empty => {
                    self.writers.push_back(writer);
                    found = Look::Again;
                }
                // Any other error of one writer ends that writer, and no other.
                Progress::End(_) => {}
            }
        }
        found
    }

    /// Whether the last writer has left, and no other came meanwhile.
    fn has_ended(&mut self) -> io::Result<bool> {
        if self.turnout == Turnout::Seen && self.writers.is_empty() {
            self.admit()?;
            if self.writers.is_empty() {
                self.turnout = Turnout::Gone;
            }
        }
        Ok(self.turnout == Turnout::Gone)
    }
}

impl AsHandle for Writers {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.stand_in.as_handle()
    }
}

/// The result of polling all writers.
enum Look {
    Taken(usize),
    Again,
    Quiet,
}

/// One writer, with a read always in flight.
#[derive(Debug)]
struct Writer {
    pipe: Overlapped,
    ahead: ReadAhead,
}

impl Writer {
    fn new(mut pipe: Overlapped) -> Self {
        let ahead = ReadAhead::new(&mut pipe);
        Self { pipe, ahead }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::testing::{NOW, PLAIN, pipe, read_bytes, timely, within, writer};
    use super::super::{Event, Raw};
    use crate::sys::{Wait, WaitLimit, Way};

    #[test]
    fn two_writers_at_once_and_the_last_one_ends_it() {
        timely(|| {
            let (path, mut node) = pipe();
            let mut end = node.open(Way::In, NOW).unwrap();
            let mut buf = [0; 64];
            assert_eq!(end.read(&mut buf, NOW).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert_eq!(end.read(&mut buf, within(20)).unwrap_err().kind(), io::ErrorKind::TimedOut);
            let mut first = writer(&path);
            first.write(b"1", PLAIN).unwrap();
            assert_eq!(read_bytes(&mut end, 1), b"1");
            let mut second = writer(&path);
            second.write(b"2", PLAIN).unwrap();
            assert_eq!(read_bytes(&mut end, 1), b"2");
            drop(first);
            assert_eq!(end.read(&mut buf, within(50)).unwrap_err().kind(), io::ErrorKind::TimedOut);
            second.write(b"3", PLAIN).unwrap();
            drop(second);
            assert_eq!(read_bytes(&mut end, 1), b"3");
            assert_eq!(end.read(&mut buf, PLAIN).unwrap(), 0);
            assert_eq!(end.read(&mut buf, NOW).unwrap(), 0, "it stays");
            let mut third = writer(&path);
            third.write(b"4", PLAIN).unwrap();
            assert_eq!(end.read(&mut buf, NOW).unwrap(), 0, "it stays");
            end.renew().unwrap();
            assert_eq!(read_bytes(&mut end, 1), b"4");
            drop(third);
            assert_eq!(end.read(&mut buf, PLAIN).unwrap(), 0);
            end.renew().unwrap();
            assert_eq!(end.read(&mut buf, NOW).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        });
    }

    /// More writers than handles that one call can wait for, each write whole, in any size of buffer.
    #[test]
    fn writes_of_many_writers_stay_whole() {
        const WRITERS: u8 = 80;
        timely(|| {
            let (path, mut node) = pipe();
            let mut end = node.open(Way::In, NOW).unwrap();
            let writers: Vec<_> = (0..WRITERS)
                .map(|id| {
                    let path = path.clone();
                    thread::spawn(move || {
                        let mut end = writer(&path);
                        for len in [1, 63, 64, 65, 4000, 70_000, 200_000] {
                            let mut message = vec![id; len + 5];
                            message[1..5]
                                .copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
                            assert_eq!(end.write(&message, PLAIN).unwrap(), message.len());
                        }
                    })
                })
                .collect();
            let mut seen = 0;
            while seen < usize::from(WRITERS) * 7 {
                let head = read_bytes(&mut end, 5);
                if head.is_empty() {
                    end.renew().unwrap();
                    continue;
                }
                let len = u32::from_be_bytes(head[1..5].try_into().unwrap());
                let body = read_bytes(&mut end, usize::try_from(len).unwrap());
                assert!(body.iter().all(|byte| *byte == head[0]), "torn");
                seen += 1;
            }
            for writer in writers {
                writer.join().unwrap();
            }
        });
    }

    #[test]
    fn c23_a_message_without_bytes_is_nothing() {
        timely(|| {
            let (path, mut node) = pipe();
            let mut end = node.open(Way::In, NOW).unwrap();
            let mut client = writer(&path);
            super::super::testing::write_nothing(&client);
            assert_eq!(end.read(&mut [0; 8], NOW).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            super::super::testing::write_nothing(&client);
            assert_eq!(
                end.read(&mut [0; 8], within(30)).unwrap_err().kind(),
                io::ErrorKind::TimedOut
            );
            assert_eq!(client.write(b"", PLAIN).unwrap(), 0);
            client.write(b"x", PLAIN).unwrap();
            assert_eq!(read_bytes(&mut end, 1), b"x");
        });
    }

    #[test]
    fn a_cancel_token_ends_a_read_and_loses_nothing() {
        timely(|| {
            let (path, mut node) = pipe();
            let mut end = node.open(Way::In, NOW).unwrap();
            let mut client: Raw = writer(&path);
            let token = Event::new().unwrap();
            let wait = Wait { until: WaitLimit::Done, token: Some(&token) };
            thread::scope(|scope| {
                let end = &mut end;
                let waiting = scope.spawn(move || end.read(&mut [0; 8], wait).unwrap_err());
                thread::sleep(Duration::from_millis(50));
                let begin = Instant::now();
                token.set();
                let error = waiting.join().unwrap();
                assert!(error.to_string().contains("cancelled"), "{error}");
                assert!(begin.elapsed() < Duration::from_secs(20));
            });
            client.write(b"late", PLAIN).unwrap();
            let error = end.read(&mut [0; 8], wait).unwrap_err();
            assert!(
                error.to_string().contains("cancelled"),
                "a cancelled token goes first: {error}"
            );
            assert_eq!(read_bytes(&mut end, 4), b"late");
        });
    }
}
