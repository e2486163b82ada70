//! The open pipe that the two halves of a connection share.
#![allow(unsafe_code, reason = "what is in flight on a handle, and its mode, have no safe wrapper")]

use std::fmt;
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle, RawHandle};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Storage::FileSystem::WriteFile;
use windows_sys::Win32::System::Pipes::PeekNamedPipe;

use super::client;
use super::event::Event;
use super::mode::{self, Before};
use super::overlapped::Operation;
use super::pipe_info::{PipeInfo, ensure_pipe};
use super::wide;
use crate::error::Obstacle;
use crate::sys::{Wait, Way};

/// A connected pipe whose two directions are used apart. It is closed with its last half.
///
/// It is never disconnected: the other side still reads what was written before.
pub(super) struct Connection {
    // In this order: what is in flight ends before the handle is closed.
    farewell: Mutex<Option<Farewell>>,
    handle: OwnedHandle,
    info: PipeInfo,
    origin: Origin,
}

/// The origin of a handle.
enum Origin {
    Here,
    /// Adopted: other processes may share it.
    Elsewhere {
        /// Whether only calls that wait for nothing else can be made: the handle is not overlapped.
        plain_only: bool,
        /// Its mode, if that was changed.
        before: Option<Before>,
    },
}

impl Connection {
    /// That of a pipe that was opened here.
    pub(super) fn here(handle: OwnedHandle, info: PipeInfo) -> Self {
        // So that a message without bytes is never skipped.
        if info.has_messages {
            mode::read_by_messages(handle.as_handle(), true);
        }
        Self { farewell: Mutex::new(None), handle, info, origin: Origin::Here }
    }

    /// Connects to a pipe as its client.
    pub(super) fn open(path: &Path, any_owner: bool, wait: Wait<'_>) -> io::Result<Self> {
        let name = wide(path.as_os_str());
        let handle = client::connect(&name, &[Way::In, Way::Out], any_owner, wait)?;
        let info = PipeInfo::of(&handle)?;
        Ok(Self::here(handle, info))
    }

    /// Adopts a handle.
    pub(super) fn adopt(handle: OwnedHandle) -> Result<Self, (OwnedHandle, io::Error)> {
        let examined =
            ensure_pipe(handle.as_handle(), &[Way::In, Way::Out]).and_then(|plain_only| {
                let info = PipeInfo::of(&handle)?;
                let by_messages = info.has_messages.then_some(true);
                let before = Before::change(handle.as_handle(), by_messages)?;
                Ok((info, Origin::Elsewhere { plain_only, before }))
            });
        match examined {
            Ok((info, origin)) => Ok(Self { farewell: Mutex::new(None), handle, info, origin }),
            Err(error) => Err((handle, error)),
        }
    }

    /// Gives the handle away, unless a half still has it.
    ///
    /// It reads byte by byte, as callers expect, or as it did when it was adopted.
    pub(super) fn into_handle(self: Arc<Self>) -> Option<OwnedHandle> {
        let Self { handle, info, origin, .. } = Arc::into_inner(self)?;
        match origin {
            Origin::Here if info.has_messages => mode::read_by_messages(handle.as_handle(), false),
            Origin::Here => {}
            Origin::Elsewhere { before, .. } => drop(before),
        }
        Some(handle)
    }

    pub(super) fn info(&self) -> &PipeInfo {
        &self.info
    }

    /// Whether this handle is overlapped.
    pub(super) fn is_overlapped(&self) -> bool {
        !self.is_plain_only()
    }

    fn is_plain_only(&self) -> bool {
        matches!(self.origin, Origin::Elsewhere { plain_only: true, .. })
    }

    /// Refuses a wait that the handle does not support.
    pub(super) fn ensure_able(&self, wait: Wait<'_>) -> io::Result<()> {
        if self.is_plain_only() && !wait.is_plain() {
            return Err(Obstacle::NotOverlapped.into());
        }
        Ok(())
    }

    /// The number of bytes that wait to be read.
    pub(super) fn unread(&self) -> io::Result<usize> {
        if self.is_plain_only() {
            // The call would wait for an operation of another thread on the other half.
            return Err(Obstacle::NotOverlapped.into());
        }
        let mut bytes = 0;
        // SAFETY: the handle is open, and what is asked for goes to a place of its type.
        let done = unsafe {
            let (handle, bytes) = (self.raw(), &raw mut bytes);
            PeekNamedPipe(handle, null_mut(), 0, null_mut(), bytes, null_mut())
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Begins the farewell of the writing direction, without waiting for its end.
    ///
    /// A handle that is not overlapped would wait: there the direction ends with the connection.
    pub(super) fn say_farewell(&self, event: Arc<Event>) {
        if self.info.has_messages && !self.is_plain_only() {
            let mut farewell = Farewell(Operation::new(event, 0));
            // SAFETY: the handle is open until this is dropped, and the farewell is dropped before it: at
            // the end of this call, or in the field that goes before the handle.
            if unsafe { farewell.begin(self.raw()) } {
                *self.farewell() = Some(farewell);
            }
        }
    }

    /// Repeats the farewell, if the system cancelled it because the thread that began it ended.
    pub(super) fn repeat_farewell(&self) {
        let mut place = self.farewell();
        if let Some(farewell) = &mut *place {
            let pending = match farewell.0.poll() {
                None => true,
                // SAFETY: the farewell is in the field that goes before the handle.
                Some(outcome) => outcome.is_cancelled() && unsafe { farewell.begin(self.raw()) },
            };
            if !pending {
                *place = None;
            }
        }
    }

    fn farewell(&self) -> MutexGuard<'_, Option<Farewell>> {
        self.farewell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn raw(&self) -> RawHandle {
        self.handle.as_raw_handle()
    }
}

impl AsHandle for Connection {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// The message without bytes that ends a direction, while it waits for room.
struct Farewell(Operation);

impl Farewell {
    /// Returns whether it is in flight now.
    ///
    /// # Safety
    ///
    /// The handle is open until this is dropped.
    unsafe fn begin(&mut self, handle: RawHandle) -> bool {
        // SAFETY: the handle is open, no bytes are read, and the place lives until the operation is over.
        let call = |place| unsafe { WriteFile(handle, null(), 0, null_mut(), place) };
        // SAFETY: the operation touches the place alone, and the handle is closed after it.
        unsafe { self.0.begin(handle, call) }.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::testing::{
        NOW, PLAIN, byte_pipe, client, connection, connection_with, disconnect, fill, peer,
        peer_path, pipe, read_all, read_bytes, server, timely, within, write_all, write_nothing,
    };
    use super::super::{Event, Raw};
    use crate::sys::{Settings, Wait, WaitLimit};

    use super::*;

    /// A blocked read of either side never holds up a write of the same side.
    #[test]
    fn c18_both_directions_at_once() {
        const ROUNDS: u32 = 500;
        timely(|| {
            let (one, other) = connection();
            let sides = [one, other].map(|(mut from, mut to)| {
                let reading = thread::spawn(move || {
                    let want: Vec<u8> = (0..ROUNDS).flat_map(u32::to_be_bytes).collect();
                    let got = read_all(&mut from);
                    assert!(got == want, "{} of {} bytes", got.len(), want.len());
                });
                let writing = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(20));
                    for i in 0..ROUNDS {
                        assert_eq!(to.write(&i.to_be_bytes(), PLAIN).unwrap(), 4);
                    }
                });
                [reading, writing]
            });
            for thread in sides.into_iter().flatten() {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn c25_each_direction_ends_alone() {
        timely(|| {
            for swapped in [false, true] {
                let (mut one, mut other) = connection();
                if swapped {
                    (one, other) = (other, one);
                }
                write_all(&mut one.1, b"last words", PLAIN);
                one.1.finish(PLAIN).unwrap();
                one.1.finish(NOW).unwrap();
                let error = one.1.write(b"x", PLAIN).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                assert_eq!(other.0.unread().unwrap(), 10);
                assert_eq!(read_all(&mut other.0), b"last words");
                assert_eq!(other.0.read(&mut [0; 8], NOW).unwrap(), 0, "it stays");
                assert_eq!(other.0.unread().unwrap(), 0);
                // The other direction goes on.
                write_all(&mut other.1, b"an answer", PLAIN);
                assert_eq!(read_bytes(&mut one.0, 9), b"an answer");
                // A half that is dropped says the same.
                drop(other.1);
                assert_eq!(one.0.read(&mut [0; 8], within(10_000)).unwrap(), 0);
                assert_eq!(one.0.read(&mut [0; 8], NOW).unwrap(), 0, "it stays");
            }
        });
    }

    #[test]
    fn c25_the_end_waits_for_room() {
        timely(|| {
            let settings = Settings { buffer_size: Some(4096), ..Settings::default() };
            let (mut one, mut other) = connection_with(&settings);
            let went = fill(&mut one.1);
            // Whether what has no bytes needs room is the system's affair.
            match one.1.finish(within(30)) {
                Ok(()) => eprintln!("it needs no room"),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}"),
            }
            let token = Event::new().unwrap();
            token.set();
            let _ = one.1.finish(Wait { until: WaitLimit::Done, token: Some(&token) });
            assert_eq!(read_bytes(&mut other.0, 1), [7]);
            let reading = thread::spawn(move || (read_all(&mut other.0).len(), other));
            one.1.finish(within(10_000)).unwrap();
            let (read, _other) = reading.join().unwrap();
            assert_eq!(1 + read, went);
        });
    }

    /// A half that is dropped when there is no room tells its end when there is, and does not wait.
    #[test]
    fn c17_no_drop_waits() {
        timely(|| {
            let (mut one, mut other) = connection();
            let went = fill(&mut one.1);
            let begin = Instant::now();
            // The thread ends, and what it began with it.
            let to = one.1;
            thread::spawn(move || drop(to)).join().unwrap();
            assert!(begin.elapsed() < Duration::from_secs(20));
            let error = one.0.read(&mut [0; 8], NOW).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(read_bytes(&mut other.0, went).len(), went);
            let error = one.0.read(&mut [0; 8], NOW).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(other.0.read(&mut [0; 8], within(10_000)).unwrap(), 0);
            write_all(&mut other.1, b"still there", PLAIN);
            assert_eq!(read_bytes(&mut one.0, 11), b"still there");

            let (mut one, mut other) = connection();
            let went = fill(&mut one.1);
            let begin = Instant::now();
            drop(one.1);
            drop(one.0);
            assert!(begin.elapsed() < Duration::from_secs(20));
            assert_eq!(read_all(&mut other.0).len(), went);
        });
    }

    #[test]
    fn c16_what_was_written_is_kept() {
        timely(|| {
            for swapped in [false, true] {
                let (mut one, mut other) = connection();
                if swapped {
                    (one, other) = (other, one);
                }
                write_all(&mut one.1, b"news", PLAIN);
                write_all(&mut other.1, b"never read", PLAIN);
                drop(one);
                assert_eq!(read_all(&mut other.0), b"news");
                let error = other.1.write(b"x", PLAIN).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                assert_eq!(other.0.unread().unwrap(), 0);
            }
        });
    }

    /// The system drops what was not read yet.
    #[test]
    fn b12_a_server_that_disconnects_has_said_no_end() {
        timely(|| {
            for reads_ahead in [false, true] {
                let (mut server, mut client) = connection();
                write_all(&mut server.1, b"whole", PLAIN);
                assert_eq!(read_bytes(&mut client.0, 5), b"whole");
                if reads_ahead {
                    ensure_waiting(&mut client.0);
                }
                write_all(&mut client.1, b"never read", PLAIN);
                disconnect(&server.0);
                for wait in [within(10_000), NOW, PLAIN] {
                    let error = client.0.read(&mut [0; 8], wait).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                }
                assert_eq!(client.0.read(&mut [], NOW).unwrap(), 0);
                let error = client.1.write(b"x", PLAIN).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            }
        });
    }

    /// Leaves a read in flight, where tasks can.
    fn ensure_waiting(from: &mut Raw) {
        #[cfg(feature = "tokio")]
        from.attend(Way::In).unwrap();
        let error = from.read(&mut [0; 8], NOW).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    /// Only the farewell has no bytes: data without any is not written.
    #[test]
    fn c23_a_message_without_bytes_is_the_end() {
        timely(|| {
            let (mut one, mut other) = connection();
            assert_eq!(one.1.write(b"", PLAIN).unwrap(), 0);
            assert_eq!(one.1.write_vectored(&[io::IoSlice::new(b"")], PLAIN).unwrap(), 0);
            assert_eq!(one.1.write_or_take_in(&mut one.0, 1, b"", PLAIN).unwrap(), 0);
            let bufs = [&b"wo"[..], b"", b"rd"].map(io::IoSlice::new);
            assert_eq!(one.1.write_vectored(&bufs, PLAIN).unwrap(), 4);
            assert_eq!(read_bytes(&mut other.0, 4), b"word");
            let error = other.0.read(&mut [0; 8], within(30)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            write_nothing(&one.1);
            assert_eq!(other.0.read(&mut [0; 8], PLAIN).unwrap(), 0);
        });
    }

    /// Deadlines and cancel tokens race with data in both directions: no byte is lost, and none comes twice.
    #[test]
    fn c20_c21_waits_that_end_lose_nothing() {
        const BYTES: usize = 1 << 20;
        timely(|| {
            let (one, other) = connection();
            let data: Vec<u8> = (0..BYTES).map(|i| i.to_le_bytes()[i % 3]).collect();
            let threads = [one, other].map(|(mut from, mut to)| {
                let (sent, want) = (data.clone(), data.clone());
                let writing = thread::spawn(move || {
                    let (mut at, mut late) = (0, 0);
                    while at < sent.len() {
                        let end = sent.len().min(at + 1 + at % 90_000);
                        match to.write(&sent[at..end], short(at)) {
                            Ok(written) => at += written,
                            Err(error) => late += ended_early(&error),
                        }
                    }
                    while let Err(error) = to.finish(short(at)) {
                        late += ended_early(&error);
                    }
                    late
                });
                let reading = thread::spawn(move || {
                    let (mut got, mut late) = (Vec::new(), 0);
                    loop {
                        let mut buf = [0; 3000];
                        match from.read(&mut buf, short(got.len())) {
                            Ok(0) => break,
                            Ok(read) => got.extend_from_slice(&buf[..read]),
                            Err(error) => late += ended_early(&error),
                        }
                    }
                    assert!(got == want, "{} of {} bytes", got.len(), want.len());
                    late
                });
                [reading, writing]
            });
            for thread in threads.into_iter().flatten() {
                eprintln!("{} waits ended early", thread.join().unwrap());
            }
        });
    }

    fn short(seed: usize) -> Wait<'static> {
        match seed % 3 {
            0 => NOW,
            1 => {
                let end = Instant::now() + Duration::from_micros(20);
                Wait { until: WaitLimit::Deadline(end), token: None }
            }
            _ => within(1),
        }
    }

    fn ended_early(error: &io::Error) -> u32 {
        let kinds = [io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock];
        assert!(kinds.contains(&error.kind()), "{error}");
        1
    }

    #[test]
    fn a_cancel_token_ends_a_read_and_a_write() {
        timely(|| {
            let (mut one, mut other) = connection();
            let went = fill(&mut one.1);
            let token = Event::new().unwrap();
            let wait = Wait { until: WaitLimit::Done, token: Some(&token) };
            thread::scope(|scope| {
                let (from, to) = (&mut one.0, &mut one.1);
                let reading = scope.spawn(|| from.read(&mut [0; 8], wait).unwrap_err());
                let writing = scope.spawn(|| to.write(&[8; 8], wait).unwrap_err());
                thread::sleep(Duration::from_millis(50));
                token.set();
                for thread in [reading, writing] {
                    let error = thread.join().unwrap();
                    assert!(error.to_string().contains("cancelled"), "{error}");
                }
            });
            drop(one.1);
            assert_eq!(read_all(&mut other.0), vec![7; went]);
            write_all(&mut other.1, b"late", PLAIN);
            assert_eq!(read_bytes(&mut one.0, 4), b"late");
        });
    }

    #[test]
    fn bytes_that_wait_are_counted() {
        timely(|| {
            let (mut one, mut other) = connection();
            assert_eq!(other.0.unread().unwrap(), 0);
            write_all(&mut one.1, b"hello", PLAIN);
            write_all(&mut one.1, b"world", PLAIN);
            assert_eq!(other.0.unread().unwrap(), 10);
            assert_eq!(read_bytes(&mut other.0, 7), b"hellowo");
            assert_eq!(other.0.unread().unwrap(), 3);
            assert!(one.1.unsent().is_err());
            assert!(one.1.unread().is_err());
            assert!(!one.1.wait_until_taken(PLAIN).unwrap());
            assert_eq!(one.1.buffer_size().unwrap(), 65536);
            assert_eq!(other.0.buffer_size().unwrap(), 65536);
        });
    }

    #[test]
    fn halves_know_each_other_and_become_one_handle() {
        timely(|| {
            let (one, mut other) = connection();
            assert!(one.0.is_half_of(&one.1) && one.1.is_half_of(&one.0));
            assert!(!one.0.is_half_of(&other.1));
            let raw = one.0.as_handle().as_raw_handle();
            let handle = one.0.into_both(one.1).unwrap();
            assert_eq!(handle.as_raw_handle(), raw, "it is the same handle");
            let mut one = Raw::adopt_both(handle).unwrap();
            write_all(&mut one.1, b"there", PLAIN);
            assert_eq!(read_bytes(&mut other.0, 5), b"there");
            write_all(&mut other.1, b"back", PLAIN);
            assert_eq!(read_bytes(&mut one.0, 4), b"back");
            one.1.finish(PLAIN).unwrap();
            write_all(&mut other.1, b"after", PLAIN);
            assert_eq!(read_bytes(&mut one.0, 5), b"after");
            assert_eq!(read_all(&mut other.0), b"");
            assert!(one.0.into_handle().is_none(), "a half has no handle of its own");
        });
    }

    #[test]
    fn handles_from_elsewhere() {
        timely(|| {
            let file = File::open(std::env::current_exe().unwrap()).unwrap();
            let (_, error) = Raw::adopt_both(file.into()).unwrap_err();
            assert!(error.to_string().contains("a file"), "{error}");
            let (path, _node) = pipe();
            let one_way = Raw::open(&path, Way::Out, false, NOW).unwrap().into_handle().unwrap();
            let (_, error) = Raw::adopt_both(one_way).unwrap_err();
            assert!(error.to_string().contains("for reading"), "{error}");
        });
    }

    /// A pipe of another program, which drops messages without bytes.
    #[test]
    fn c22_a_pipe_without_messages() {
        timely(|| {
            let (one, other) = byte_pipe(true);
            let (mut one, mut other) =
                (Raw::adopt_both(one).unwrap(), Raw::adopt_both(other).unwrap());
            write_all(&mut one.1, b"ab", PLAIN);
            write_all(&mut one.1, b"cd", PLAIN);
            let mut buf = [0; 8];
            assert_eq!(other.0.read(&mut buf, PLAIN).unwrap(), 4, "as one");
            let error = one.1.finish(PLAIN).unwrap_err();
            assert!(error.to_string().contains("does not support"), "{error}");
            write_all(&mut one.1, b"on", PLAIN);
            drop(one.1);
            assert_eq!(read_bytes(&mut other.0, 2), b"on");
            let error = other.0.read(&mut buf, within(30)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            drop(one.0);
            assert_eq!(other.0.read(&mut buf, PLAIN).unwrap(), 0);
        });
    }

    #[test]
    fn c18_a_handle_that_is_not_overlapped() {
        timely(|| {
            let (one, other) = byte_pipe(false);
            let (mut one, mut other) =
                (Raw::adopt_both(one).unwrap(), Raw::adopt_both(other).unwrap());
            write_all(&mut one.1, b"plain", PLAIN);
            assert_eq!(read_bytes_plainly(&mut other.0), b"plain");
            let overlapped = |error: io::Error| assert!(error.to_string().contains("overlapped"));
            overlapped(other.0.read(&mut [0; 8], NOW).unwrap_err());
            overlapped(other.1.write(b"x", within(10)).unwrap_err());
            overlapped(other.1.write_or_take_in(&mut other.0, 9, b"x", PLAIN).unwrap_err());
            overlapped(other.0.unread().unwrap_err());
            drop(one);
            assert_eq!(other.0.read(&mut [0; 8], PLAIN).unwrap(), 0);
        });
    }

    fn read_bytes_plainly(raw: &mut Raw) -> Vec<u8> {
        let mut buf = [0; 64];
        let read = raw.read(&mut buf, PLAIN).unwrap();
        buf[..read].to_vec()
    }

    #[test]
    fn c24_the_other_process_is_killed() {
        timely(|| {
            let (path, server) = server();
            let mut child = peer("connection::tests::c24_the_one_that_is_killed", &path);
            let (mut from, mut to) = server.accept(within(30_000)).unwrap();
            assert_eq!(read_bytes(&mut from, 4), b"here");
            child.kill();
            assert_eq!(from.read(&mut [0; 8], within(10_000)).unwrap(), 0);
            let error = to.write(b"x", PLAIN).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }

    #[test]
    #[ignore = "run by the test above"]
    fn c24_the_one_that_is_killed() {
        let (mut from, mut to) = client(&peer_path());
        write_all(&mut to, b"here", PLAIN);
        let _ = from.read(&mut [0; 8], within(30_000));
    }

    /// A pipe is closed for the other side although a child lives: no handle is inheritable.
    #[test]
    fn c28_a_child_keeps_no_connection() {
        timely(|| {
            let ((mut from, _to), client) = connection();
            let mut child = std::process::Command::new("cmd")
                .args(["/c", "pause"])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            drop(client);
            assert_eq!(from.read(&mut [0; 8], within(10_000)).unwrap(), 0);
            child.kill().unwrap();
            child.wait().unwrap();
        });
    }
}
