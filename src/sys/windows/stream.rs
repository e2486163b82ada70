//! One connected pipe: that of a client or of a writing owner, or an adopted handle.

use std::io::{self, IoSlice};
use std::mem;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::path::Path;
use std::sync::Arc;

use super::client;
use super::event::{Event, ensure_not_cancelled, remaining};
use super::gather::gather;
use super::mode::Before;
use super::overlapped::{Outcome, Overlapped};
use super::pipe_info::{ensure_pipe, quota};
use super::read_ahead::{AHEAD, Progress, ReadAhead};
use super::wide;
#[cfg(feature = "tokio")]
use super::write_behind::WriteBehind;
use crate::error::Obstacle;
use crate::sys::{Wait, Way};

/// The most bytes of one call. The system keeps written bytes in scarce memory.
pub(super) const MAX_TRANSFER: usize = 1 << 20;

/// A connected pipe.
#[derive(Debug)]
pub(super) struct Stream {
    pipe: Overlapped,
    origin: Option<Origin>,
    link: Link,
    /// Whether only calls that wait for nothing else can be made: the handle is not overlapped.
    plain_only: bool,
    /// The mode of an adopted handle, if that was changed.
    before: Option<Before>,
    /// The most bytes that the system writes whole.
    quota: usize,
    gathered: Vec<u8>,
    /// The bytes read ahead, once a task has read from it.
    ahead: Option<ReadAhead>,
    #[cfg(feature = "tokio")]
    behind: WriteBehind,
}

/// The name of a client's end, by which it finds the next writer.
#[derive(Debug)]
struct Origin {
    name: Vec<u16>,
    any_owner: bool,
}

/// The state of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up,
    Gone,
    /// It has left with bytes unread here, which is no end of the stream.
    Reset,
    /// The next read looks for the next writer.
    Awaited,
}

impl Stream {
    /// The pipe of a handle that was opened here.
    pub(super) fn new(handle: OwnedHandle) -> io::Result<Self> {
        Ok(Self::with_event(quota(&handle)?, handle, Arc::new(Event::automatic()?)))
    }

    fn with_event(quota: usize, handle: OwnedHandle, event: Arc<Event>) -> Self {
        Self {
            pipe: Overlapped::new(handle, event, 0),
            origin: None,
            link: Link::Up,
            plain_only: false,
            before: None,
            quota,
            gathered: Vec::new(),
            ahead: None,
            #[cfg(feature = "tokio")]
            behind: WriteBehind::default(),
        }
    }

    /// Connects to a pipe as its client.
    pub(super) fn open(path: &Path, way: Way, any_owner: bool, wait: Wait<'_>) -> io::Result<Self> {
        let origin = Origin { name: wide(path.as_os_str()), any_owner };
        let mut stream = Self::new(origin.connect(way, wait)?)?;
        stream.origin = Some(origin);
        Ok(stream)
    }

    /// Adopts a handle.
    pub(super) fn adopt(handle: OwnedHandle, way: Way) -> Result<Self, (OwnedHandle, io::Error)> {
        let examined = ensure_pipe(handle.as_handle(), &[way]).and_then(|plain_only| {
            let (quota, event) = (quota(&handle)?, Event::automatic()?);
            Ok((plain_only, quota, event, Before::change(handle.as_handle(), None)?))
        });
        match examined {
            Ok((plain_only, quota, event, before)) => {
                let stream = Self::with_event(quota, handle, Arc::new(event));
                Ok(Self { plain_only, before, ..stream })
            }
            Err(error) => Err((handle, error)),
        }
    }

    pub(super) fn into_handle(self) -> OwnedHandle {
        let handle = self.pipe.into_handle();
        drop(self.before);
        handle
    }

    pub(super) fn read(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        match self.link {
            Link::Gone => return Ok(0),
            Link::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
            Link::Up | Link::Awaited => {}
        }
        self.ensure_able(wait)?;
        if let (Link::Awaited, Some(origin)) = (self.link, &self.origin) {
            let handle = origin.connect(Way::In, wait)?;
            let fresh = Self::with_event(quota(&handle)?, handle, Arc::clone(self.pipe.event()));
            let reads_ahead = self.ahead.is_some();
            *self = Self { origin: self.origin.take(), ..fresh };
            if reads_ahead {
                self.begin_to_read_ahead();
            }
        }
        if self.ahead.is_some() {
            return self.read_what_is_ahead(buf, wait);
        }
        let most = buf.len().min(MAX_TRANSFER);
        let Some(buf) = buf.get_mut(..most) else { return Ok(0) };
        loop {
            ensure_not_cancelled(wait)?;
            let outcome = self.pipe.read(buf, wait)?;
            if outcome.is_end() {
                return self.end(outcome);
            }
            let bytes = outcome.moved()?;
            if bytes > 0 {
                return Ok(bytes);
            }
            // A message without bytes is skipped. A peer that sends them again and again cannot delay us
            // beyond the deadline.
            remaining(wait.until)?;
        }
    }

    /// Notes that the other side has left.
    fn end(&mut self, outcome: Outcome) -> io::Result<usize> {
        if outcome.is_reset() {
            self.link = Link::Reset;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.link = Link::Gone;
        Ok(0)
    }

    /// Whether it may have read bytes that were not taken.
    pub(super) fn reads_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// Reads ahead from now on: a task cannot wait for an operation that is not in flight.
    fn begin_to_read_ahead(&mut self) {
        self.pipe.give_buffer(AHEAD);
        self.ahead = Some(ReadAhead::new(&mut self.pipe));
    }

    fn read_what_is_ahead(&mut self, buf: &mut [u8], wait: Wait<'_>) -> io::Result<usize> {
        let Some(ahead) = &mut self.ahead else { return Ok(0) };
        loop {
            ensure_not_cancelled(wait)?;
            match ahead.look(&mut self.pipe) {
                Progress::Bytes => return Ok(ahead.take(&mut self.pipe, buf)),
                Progress::Empty => {
                    remaining(wait.until)?;
                }
                Progress::Nothing => self.pipe.event().wait(wait)?,
                Progress::End(outcome) if outcome.is_end() => return self.end(outcome),
                Progress::End(outcome) => return outcome.moved(),
            }
        }
    }

    /// Writes from one buffer, in one call of the system.
    ///
    /// A write that is cancelled in its middle does not return how much was taken. So one that may be
    /// cancelled is no longer than the pipe's buffer: the system takes such a write whole or not at all.
    pub(super) fn write(&mut self, buf: &[u8], wait: Wait<'_>) -> io::Result<usize> {
        // A call without bytes would be a message without bytes, which some readers take for the end.
        if buf.is_empty() {
            return Ok(0);
        }
        self.ensure_able(wait)?;
        ensure_not_cancelled(wait)?;
        let most = if wait.is_plain() { MAX_TRANSFER } else { self.quota };
        self.pipe.write(buf.get(..most).unwrap_or(buf), wait)?.moved()
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

    /// After the writer left: the next read connects to the next one.
    ///
    /// The handle is closed at once, because it would keep the name from the next owner. An event takes its place, which
    /// can be closed, and supports no operation of a pipe.
    pub(super) fn renew(&mut self) -> io::Result<()> {
        if matches!(self.link, Link::Gone | Link::Reset) && self.origin.is_some() {
            let event = Arc::clone(self.pipe.event());
            self.pipe = Overlapped::new(Event::new()?.into(), event, 0);
            self.link = Link::Awaited;
        }
        Ok(())
    }

    pub(super) fn buffer_size(&self) -> io::Result<usize> {
        quota(&self.pipe)
    }

    /// Prepares for a wait beside others; returns the event that is set when it should be tried again.
    #[cfg(any(feature = "fanout", feature = "tokio"))]
    pub(super) fn attend(&mut self, way: Way) -> io::Result<Arc<Event>> {
        if self.plain_only {
            return Err(Obstacle::NotOverlapped.into());
        }
        match way {
            Way::In if self.ahead.is_none() => self.begin_to_read_ahead(),
            Way::In => {}
            Way::Out => self.pipe.give_buffer(self.quota),
        }
        Ok(Arc::clone(self.pipe.event()))
    }

    fn ensure_able(&self, wait: Wait<'_>) -> io::Result<()> {
        if self.plain_only && !wait.is_plain() {
            return Err(Obstacle::NotOverlapped.into());
        }
        Ok(())
    }
}

#[cfg(feature = "tokio")]
impl Stream {
    pub(super) fn awaits_next(&self) -> bool {
        self.link == Link::Awaited
    }

    /// Writes from one buffer without waiting: see [`WriteBehind::write`].
    pub(super) fn write_behind(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.behind.write(&mut self.pipe, bytes)
    }

    pub(super) fn give_up_write(&mut self) -> io::Result<usize> {
        // What is in flight may be a read: a later one takes its bytes, or its end.
        if self.ahead.is_some() {
            return Ok(0);
        }
        self.behind.give_up(&mut self.pipe)
    }
}

impl AsHandle for Stream {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.pipe.as_handle()
    }
}

impl Origin {
    fn connect(&self, way: Way, wait: Wait<'_>) -> io::Result<OwnedHandle> {
        client::connect(&self.name, &[way], self.any_owner, wait)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::gather::GATHERED;
    use super::super::instance::BACKLOG;
    use super::super::testing::{
        NOW, PLAIN, anonymous_pipe, disconnect, pipe, read_bytes, reader, timely, within, writer,
    };
    use super::super::{Node, Raw};
    use super::*;
    use crate::sys::{Settings, WaitLimit};

    #[test]
    fn c14_client_before_server() {
        timely(|| {
            let (path, node) = pipe();
            drop(node);
            let error = Raw::open(&path, Way::Out, false, NOW).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            let error = Raw::open(&path, Way::Out, false, within(30)).unwrap_err();
            assert!(error.to_string().contains("still no pipe of this name"), "{error}");
            let client = {
                let path = path.clone();
                thread::spawn(move || writer(&path).write(b"first", PLAIN).unwrap())
            };
            thread::sleep(Duration::from_millis(100));
            let mut node = Node::create(&path, &Settings::default()).unwrap();
            let mut end = node.open(Way::In, NOW).unwrap();
            assert_eq!(read_bytes(&mut end, 5), b"first");
            client.join().unwrap();
        });
    }

    #[test]
    fn c15_all_instances_busy() {
        timely(|| {
            let (path, _node) = pipe();
            let _clients: [_; BACKLOG] = std::array::from_fn(|_| writer(&path));
            let error = Raw::open(&path, Way::Out, false, NOW).unwrap_err();
            assert!(error.to_string().contains("as many clients as it can"), "{error}");
            let error = Raw::open(&path, Way::Out, false, within(30)).unwrap_err();
            assert!(error.to_string().contains("the deadline passed"), "{error}");
        });
    }

    #[test]
    fn c7_a_pipe_of_this_user_is_trusted() {
        let (path, _node) = pipe();
        Raw::open(&path, Way::Out, false, NOW).unwrap();
    }

    /// A pipe with both its ends, of which the owner has the one or the other.
    fn both_ends(owner_reads: bool) -> (Node, Raw, Raw) {
        let (path, mut node) = pipe();
        if owner_reads {
            let from = node.open(Way::In, NOW).unwrap();
            return (node, from, writer(&path));
        }
        let from = thread::spawn(move || reader(&path));
        let to = node.open(Way::Out, within(10_000)).unwrap();
        (node, from.join().unwrap(), to)
    }

    /// A task has begun to read, and a thread goes on.
    #[cfg(feature = "tokio")]
    #[test]
    fn a_read_in_flight_outlives_the_wait_of_its_task() {
        timely(|| {
            let (_node, mut from, mut to) = both_ends(false);
            from.attend(Way::In).unwrap();
            assert_eq!(from.read(&mut [0; 8], NOW).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            from.leave();
            to.write(b"late", PLAIN).unwrap();
            assert_eq!(read_bytes(&mut from, 4), b"late");
            // Once more, when it has bytes already.
            from.attend(Way::In).unwrap();
            to.write(b"more", PLAIN).unwrap();
            from.leave();
            assert_eq!(read_bytes(&mut from, 4), b"more");
            from.leave();
            drop(to);
            assert_eq!(from.read(&mut [0; 8], within(10_000)).unwrap(), 0);
        });
    }

    /// Deadlines race with the data: no byte is lost, and none comes twice.
    #[test]
    fn c20_timeouts_lose_nothing() {
        const ROUNDS: u32 = 2000;
        timely(|| {
            for owner_reads in [true, false] {
                let (_node, mut from, mut to) = both_ends(owner_reads);
                let writing = thread::spawn(move || {
                    for i in 0..ROUNDS {
                        to.write(&i.to_be_bytes(), PLAIN).unwrap();
                        for _ in 0..(i * 7919) % 3000 {
                            std::hint::spin_loop();
                        }
                    }
                });
                let (mut got, mut late) = (Vec::new(), 0);
                loop {
                    let mut buf = [0; 16];
                    let wait = match got.len() % 3 {
                        0 => NOW,
                        1 => Wait {
                            until: WaitLimit::Deadline(Instant::now() + Duration::from_micros(20)),
                            token: None,
                        },
                        _ => within(1),
                    };
                    match from.read(&mut buf, wait) {
                        Ok(0) => break,
                        Ok(read) => got.extend_from_slice(&buf[..read]),
                        Err(error) => {
                            let kinds = [io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock];
                            assert!(kinds.contains(&error.kind()), "{error}");
                            late += 1;
                        }
                    }
                }
                writing.join().unwrap();
                let want: Vec<u8> = (0..ROUNDS).flat_map(u32::to_be_bytes).collect();
                assert!(got == want, "{} of {} bytes", got.len(), want.len());
                eprintln!("{late} reads ended early");
            }
        });
    }

    /// Writes that are cancelled again and again, to a reader with a small buffer, arrive once and whole.
    #[test]
    fn c21_cancelled_writes_lose_nothing() {
        timely(|| {
            for owner_reads in [true, false] {
                let (_node, mut from, mut to) = both_ends(owner_reads);
                let data: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_be_bytes).collect();
                let sent = data.clone();
                let writing = thread::spawn(move || {
                    let (mut at, mut cancelled) = (0, 0);
                    while at < sent.len() {
                        match to.write(&sent[at..], within(1)) {
                            Ok(written) => at += written,
                            Err(error) if error.kind() == io::ErrorKind::TimedOut => cancelled += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    cancelled
                });
                let mut got = Vec::new();
                loop {
                    let mut buf = [0; 1000];
                    match from.read(&mut buf, PLAIN).unwrap() {
                        0 => break,
                        read => got.extend_from_slice(&buf[..read]),
                    }
                    if got.len() % 50_000 < 1000 {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
                let cancelled = writing.join().unwrap();
                assert!(got == data, "{} of {} bytes", got.len(), data.len());
                eprintln!("{cancelled} writes cancelled");
                assert!(cancelled > 0);
            }
        });
    }

    #[test]
    fn c26_large_writes_to_a_small_reader() {
        timely(|| {
            let (path, mut node) = pipe();
            let mut end = node.open(Way::In, NOW).unwrap();
            let writing = thread::spawn(move || {
                let mut end = writer(&path);
                for byte in 0..4_u8 {
                    assert_eq!(end.write(&vec![byte; MAX_TRANSFER], PLAIN).unwrap(), MAX_TRANSFER);
                }
            });
            let mut count = [0; 4];
            loop {
                let mut buf = [0; 777];
                match end.read(&mut buf, PLAIN).unwrap() {
                    0 => break,
                    read => buf[..read].iter().for_each(|byte| count[usize::from(*byte)] += 1),
                }
            }
            writing.join().unwrap();
            assert_eq!(count, [MAX_TRANSFER; 4]);
        });
    }

    #[test]
    fn several_buffers_are_one_write() {
        timely(|| {
            let (path, mut node) = pipe();
            let mut end = node.open(Way::In, NOW).unwrap();
            let mut client = writer(&path);
            let bufs = [&b"he"[..], b"", b"llo"].map(IoSlice::new);
            assert_eq!(client.write_vectored(&bufs, PLAIN).unwrap(), 5);
            assert_eq!(client.write_vectored(&bufs[1..2], PLAIN).unwrap(), 0);
            let mut buf = [0; 64];
            assert_eq!(end.read(&mut buf, PLAIN).unwrap(), 5);
            assert_eq!(&buf[..5], b"hello");
            let large = vec![7; GATHERED];
            let bufs = [&b"head"[..], &large].map(IoSlice::new);
            assert_eq!(client.write_vectored(&bufs, within(1000)).unwrap(), GATHERED);
        });
    }

    #[test]
    fn c24_the_other_side_is_gone() {
        timely(|| {
            let (path, mut node) = pipe();
            let client = thread::spawn(move || reader(&path));
            let mut end = node.open(Way::Out, within(10_000)).unwrap();
            drop(client.join().unwrap());
            let error = end.write(b"x", PLAIN).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }

    /// The system drops what was not read yet. The next writer is found all the same.
    #[test]
    fn b12_a_server_that_disconnects_has_said_no_end() {
        timely(|| {
            for reads_ahead in [false, true] {
                let (path, mut node) = pipe();
                let client = thread::spawn(move || reader(&path));
                let mut end = node.open(Way::Out, within(10_000)).unwrap();
                let mut client = client.join().unwrap();
                assert_eq!(end.write(b"whole", PLAIN).unwrap(), 5);
                assert_eq!(read_bytes(&mut client, 5), b"whole");
                #[cfg(feature = "tokio")]
                if reads_ahead {
                    client.attend(Way::In).unwrap();
                }
                let error = client.read(&mut [0; 8], NOW).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                disconnect(&end);
                for wait in [within(10_000), NOW] {
                    let error = client.read(&mut [0; 8], wait).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                }
                drop(end);
                client.renew().unwrap();
                let finding = thread::spawn(move || read_bytes(&mut client, 4));
                let mut end = node.open(Way::Out, within(10_000)).unwrap();
                assert_eq!(end.write(b"next", PLAIN).unwrap(), 4);
                assert_eq!(finding.join().unwrap(), b"next");
            }
        });
    }

    /// A client that reads finds the next writer, and the next owner too.
    #[test]
    fn c11_a_client_renews() {
        timely(|| {
            let (path, mut node) = pipe();
            let client = {
                let path = path.clone();
                thread::spawn(move || {
                    let mut end = reader(&path);
                    let mut all = Vec::new();
                    while all.len() < 3 {
                        let bytes = read_bytes(&mut end, 9);
                        all.extend_from_slice(&bytes);
                        assert_eq!(end.read(&mut [0; 8], NOW).unwrap(), 0, "it stays");
                        end.renew().unwrap();
                    }
                    all
                })
            };
            for byte in [1, 2] {
                let mut end = node.open(Way::Out, within(10_000)).unwrap();
                end.write(&[byte], PLAIN).unwrap();
            }
            // Its handle does not keep the name from the next owner.
            drop(node);
            let mut node = loop {
                match Node::create(&path, &Settings::default()) {
                    Ok(node) => break node,
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            };
            let mut end = node.open(Way::Out, within(10_000)).unwrap();
            end.write(&[3], PLAIN).unwrap();
            drop(end);
            assert_eq!(client.join().unwrap(), [1, 2, 3]);
        });
    }

    #[test]
    fn buffers_have_the_size_that_was_asked_for() {
        timely(|| {
            let settings = Settings { buffer_size: Some(10_000), ..Settings::default() };
            let (path, mut node) = Node::temporary(&settings).unwrap();
            assert_eq!(node.open(Way::In, NOW).unwrap().buffer_size().unwrap(), 10_000);
            assert_eq!(writer(&path).buffer_size().unwrap(), 10_000);
        });
    }

    #[test]
    fn handles_from_elsewhere() {
        timely(|| {
            let mut child =
                Command::new("cmd").args(["/c", "echo hi"]).stdout(Stdio::piped()).spawn().unwrap();
            let handle: OwnedHandle = child.stdout.take().unwrap().into();
            let (handle, error) = Raw::adopt(handle, Way::Out).unwrap_err();
            assert!(error.to_string().contains("writing"), "{error}");
            let mut end = Raw::adopt(handle, Way::In).unwrap();
            assert_eq!(read_bytes_plainly(&mut end), b"hi\r\n");
            child.wait().unwrap();
            let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
            let (_, error) = Raw::adopt(file.into(), Way::In).unwrap_err();
            assert!(error.to_string().contains("a file"), "{error}");
        });
    }

    #[test]
    fn c18_a_handle_that_is_not_overlapped() {
        timely(|| {
            let (from, to) = anonymous_pipe();
            let mut from = Raw::adopt(from, Way::In).unwrap();
            let mut to = Raw::adopt(to, Way::Out).unwrap();
            assert_eq!(to.write(b"plain", PLAIN).unwrap(), 5);
            let mut buf = [0; 8];
            assert_eq!(from.read(&mut buf, PLAIN).unwrap(), 5);
            let error = from.read(&mut buf, NOW).unwrap_err();
            assert!(error.to_string().contains("overlapped"), "{error}");
            drop(to);
            assert_eq!(from.read(&mut buf, PLAIN).unwrap(), 0);
        });
    }

    fn read_bytes_plainly(raw: &mut Raw) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buf = [0; 64];
        loop {
            match raw.read(&mut buf, PLAIN).unwrap() {
                0 => return all,
                read => all.extend_from_slice(&buf[..read]),
            }
        }
    }
}
