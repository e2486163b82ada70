//! Handles beside a message.
//!
//! A handle is a number with a meaning in its own process alone. The sender sends the number in band, and
//! keeps the handle open; the receiver takes the handle from the process of the sender, and closes it there by the same
//! call. It holds a handle of that process from when it accepts handles: until it drops that, no other process gets that
//! process ID. Nor has another one got it before if the connection is open then, because the process that made the
//! connection still has it. So a number can name only a handle of the sender, and never one of the receiver.
//!
//! What this needs:
//!
//! - The receiver may open the process of the sender (`PROCESS_DUP_HANDLE`): it runs as the same user, with no less
//!   integrity, or is an administrator.
//! - The process of the sender is the one that connected, or that listened: a connection that was handed on
//!   passes no handles. The system does not report whether it was.
//! - The connection is open when the receiver begins to accept handles.
//! - That process lives until the message was received: handles end with it.
//! - The receiver takes them. Those that it never takes stay open in the sender until its process ends, because only
//!   the receiver knows.
//!
//! If both sides are one process, there is no other process to take them from, and any number names a handle
//! of the receiver. There the handles lie on a shelf meanwhile, and only handles on it can be taken.
#![allow(unsafe_code, reason = "taking a handle from another process has no safe wrapper")]

use std::io;
use std::mem;
use std::os::windows::io::{AsRawHandle, FromRawHandle, IntoRawHandle, OwnedHandle};
use std::process;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Foundation::{
    DUPLICATE_CLOSE_SOURCE, DUPLICATE_SAME_ACCESS, DuplicateHandle, ERROR_ACCESS_DENIED,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, PROCESS_DUP_HANDLE};

use super::connection::Connection;
use super::peer::open_process;
use super::pipe_info::is_connected;
use super::system_code;
use crate::error::Obstacle;
use crate::sys::MAX_HANDLES;

/// The numbers of real handles. Higher ones are pseudo handles: the process, the thread and the tokens of the caller.
const NUMBERS: u64 = 1 << 31;

/// The handles that this process has passed to itself, and not taken yet.
static SHELF: Mutex<Vec<OwnedHandle>> = Mutex::new(Vec::new());

/// The handles that go with the first byte of the next write.
#[derive(Debug, Default)]
pub(super) struct HandleTransfer {
    handles: Vec<OwnedHandle>,
    /// The numbers of those that lie on the shelf while that write goes on.
    shelved: Vec<u64>,
}

impl HandleTransfer {
    pub(super) fn is_empty(&self) -> bool {
        self.handles.is_empty() && self.shelved.is_empty()
    }

    /// Takes the handles to send, and returns their numbers.
    pub(super) fn set(&mut self, handles: Vec<OwnedHandle>) -> Vec<u64> {
        self.handles = handles;
        self.handles.iter().map(number).collect()
    }

    /// Those that have not gone yet.
    pub(super) fn take_back(&mut self) -> Vec<OwnedHandle> {
        mem::take(&mut self.handles)
    }

    /// Before the write to that process: the other side may take them before the write returns.
    pub(super) fn begin(&mut self, receiver: u32) {
        if receiver == process::id() {
            self.shelved = self.handles.iter().map(number).collect();
            shelf().append(&mut self.handles);
        }
    }

    /// After the write: those that went belong to the other side.
    pub(super) fn end(&mut self, went: bool) {
        let shelved = mem::take(&mut self.shelved);
        if went {
            for handle in self.handles.drain(..) {
                // The receiver closes it, and may have done so.
                let _ = handle.into_raw_handle();
            }
        } else {
            let mut shelf = shelf();
            self.handles
                .extend(shelved.iter().filter_map(|number| from_shelf(&mut shelf, *number)));
        }
    }
}

/// The source of incoming handles.
#[derive(Debug)]
pub(super) enum Source {
    /// This process, which passes them to itself.
    Shelf,
    /// The process on the other side.
    Process(OwnedHandle),
    /// None, for this reason.
    None(&'static str),
}

impl Source {
    /// The source on the other side of a connection.
    pub(super) fn of(connection: &Connection) -> Self {
        let gone = Self::None("the process that sent them has left before they were let in");
        let Ok(pid) = connection.peer_process() else { return gone };
        if pid == process::id() {
            return Self::Shelf;
        }
        match open_process(pid, PROCESS_DUP_HANDLE) {
            // Checked after it was opened: it is the process that made the connection, and is held now.
            Ok(process) if is_connected(connection) => Self::Process(process),
            Err(error) if system_code(&error) == Some(ERROR_ACCESS_DENIED) => {
                Self::None("this user may not take handles from the process that sent them")
            }
            _ => gone,
        }
    }

    /// Takes the handles with these numbers: all of them, or none.
    fn take(&self, numbers: &[u64]) -> io::Result<Vec<OwnedHandle>> {
        // Each is tried, even after a failure, so that no handle stays behind.
        let taken: Vec<_> = match self {
            Self::Shelf => {
                let mut shelf = shelf();
                let mut take = |number: &u64| from_shelf(&mut shelf, *number);
                let not_passed = || lost("one of them was not passed");
                numbers.iter().map(|number| take(number).ok_or_else(not_passed)).collect()
            }
            Self::Process(process) => {
                numbers.iter().map(|number| take_from(process, *number)).collect()
            }
            Self::None(why) => return Err(lost(why)),
        };
        taken.into_iter().collect()
    }
}

impl Source {
    /// Takes so many handles, with these numbers, from the other side: all of them, or none.
    pub(super) fn take_passed(
        source: Option<&Self>,
        count: usize,
        numbers: &[u64],
    ) -> io::Result<Vec<OwnedHandle>> {
        if count != numbers.len() {
            return Err(lost("their number is not what the message says"));
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let Some(source) = source else {
            return Err(lost("this side lets none in"));
        };
        if count > MAX_HANDLES {
            return Err(lost("they are more than may go with one message"));
        }
        source.take(numbers)
    }
}

/// Takes a handle from another process, and closes it there.
fn take_from(process: &OwnedHandle, number: u64) -> io::Result<OwnedHandle> {
    let not_one = || lost("one of them is no handle of the process that sent it");
    if number == 0 || number >= NUMBERS {
        return Err(not_one());
    }
    let number = usize::try_from(number).map_err(|_| not_one())?;
    let mut taken = null_mut();
    // SAFETY: it only returns a constant.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: both processes are open. The handle is one of the other process, which the call looks up,
    // and what it closes is there: no handle of this process is touched. The result goes to a place of its
    // type.
    let done = unsafe {
        DuplicateHandle(
            process.as_raw_handle(),
            without_provenance_mut(number),
            this,
            &raw mut taken,
            0,
            0,
            DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE,
        )
    };
    if done == 0 {
        return Err(not_one());
    }
    // SAFETY: the handle is valid, and nothing else owns it.
    Ok(unsafe { OwnedHandle::from_raw_handle(taken) })
}

fn number(handle: &OwnedHandle) -> u64 {
    u64::try_from(handle.as_raw_handle().addr()).unwrap_or(u64::MAX)
}

fn from_shelf(shelf: &mut Vec<OwnedHandle>, wanted: u64) -> Option<OwnedHandle> {
    let place = shelf.iter().position(|handle| number(handle) == wanted)?;
    Some(shelf.swap_remove(place))
}

fn shelf() -> MutexGuard<'static, Vec<OwnedHandle>> {
    SHELF.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lost(why: &'static str) -> io::Error {
    Obstacle::HandlesLost(why).into()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Seek, Write};

    #[cfg(feature = "tokio")]
    use super::super::Server;
    use super::super::testing::{
        NOW, PLAIN, alone, client, connection, fill, handles, peer, peer_path, read_bytes, server,
        timely, within, write_all,
    };
    use super::super::{Event, Raw};
    use super::*;
    #[cfg(feature = "tokio")]
    use crate::sys::{Settings, Way};

    fn event() -> OwnedHandle {
        Event::new().unwrap().into()
    }

    fn says(error: &io::Error, words: &str) {
        assert!(error.to_string().contains(words), "{error}");
    }

    /// Tells the numbers in band, with the handles beside them.
    fn send(to: &mut Raw, handles: Vec<OwnedHandle>) {
        let numbers = to.pass(handles);
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        assert_eq!(to.write(&bytes, PLAIN).unwrap(), bytes.len());
        assert!(to.take_back().is_empty(), "they went");
    }

    fn numbers(from: &mut Raw, count: usize) -> Vec<u64> {
        let bytes = read_bytes(from, count * 8);
        bytes.chunks(8).map(|number| u64::from_be_bytes(number.try_into().unwrap())).collect()
    }

    /// A file that no name leads to.
    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        file
    }

    fn content(handle: OwnedHandle) -> String {
        io::read_to_string(File::from(handle)).unwrap()
    }

    #[test]
    fn b19_handles_go_to_another_process() {
        timely(|| {
            let (path, server) = server();
            let child = peer("handle_transfer::tests::b19_the_other_process", &path);
            let (mut from, mut to) = server.accept(within(30_000)).unwrap();
            send(&mut to, vec![file(b"one").into(), file(b"two").into()]);
            from.allow_handles();
            let came = numbers(&mut from, 1);
            let mut files = from.take_passed(1, &came).unwrap();
            assert_eq!(content(files.pop().unwrap()), "back");
            // A number that is no handle of the other process, or is a pseudo handle, is refused.
            for wrong in [0, 0x00ff_fff0, NUMBERS, u64::from(u32::MAX), u64::MAX, u64::MAX - 1] {
                let error = from.take_passed(1, &[wrong]).unwrap_err();
                says(&error, "no handle of the process that sent it");
            }
            to.finish(PLAIN).unwrap();
            assert_eq!(from.read(&mut [0; 8], within(20_000)).unwrap(), 0);
            child.ensure_success();
            says(&from.take_passed(1, &[4]).unwrap_err(), "not all handles of the message arrived");
        });
    }

    /// Its number may be that of another process by now, from which nothing may be taken.
    #[test]
    fn no_process_is_looked_for_that_has_left() {
        timely(|| {
            let (path, server) = server();
            let child = peer("handle_transfer::tests::who_leaves_at_once", &path);
            let (mut from, _to) = server.accept(within(30_000)).unwrap();
            assert_eq!(read_bytes(&mut from, 4), b"here");
            // As another process would, this one has the number then.
            let _process = open_process(child.id(), PROCESS_DUP_HANDLE).unwrap();
            child.ensure_success();
            from.allow_handles();
            says(&from.take_passed(1, &[4]).unwrap_err(), "has left before they were let in");
        });
    }

    #[test]
    #[ignore = "run by the test above"]
    fn who_leaves_at_once() {
        let (_from, mut to) = client(&peer_path());
        write_all(&mut to, b"here", PLAIN);
    }

    #[test]
    #[ignore = "run by the test above"]
    fn b19_the_other_process() {
        let (mut from, mut to) = client(&peer_path());
        from.allow_handles();
        let came = numbers(&mut from, 2);
        let files = from.take_passed(2, &came).unwrap();
        let contents: Vec<_> = files.into_iter().map(content).collect();
        assert_eq!(contents, ["one", "two"]);
        send(&mut to, vec![file(b"back").into()]);
        assert_eq!(from.read(&mut [0; 8], within(20_000)).unwrap(), 0);
    }

    #[test]
    fn b22_none_comes_in_that_is_not_let_in() {
        timely(|| {
            let ((mut from, _), (_, mut to)) = connection();
            send(&mut to, vec![event()]);
            let came = numbers(&mut from, 1);
            says(&from.take_passed(1, &came).unwrap_err(), "lets none in");
            from.allow_handles();
            for count in [0, 2] {
                says(&from.take_passed(count, &came).unwrap_err(), "not what the message says");
            }
            says(&from.take_passed(1, &[]).unwrap_err(), "not what the message says");
            assert!(from.take_passed(0, &[]).unwrap().is_empty());
            let many = vec![came[0]; MAX_HANDLES + 1];
            says(&from.take_passed(MAX_HANDLES + 1, &many).unwrap_err(), "more than may go");
            assert_eq!(from.take_passed(1, &came).unwrap().len(), 1);
        });
    }

    /// In one process any number would name something: only what was passed can be taken.
    #[test]
    fn within_a_process_handles_lie_on_a_shelf() {
        timely(|| {
            let ((mut from, _), (_, mut to)) = connection();
            from.allow_handles();
            let kept = event();
            says(&from.take_passed(1, &[number(&kept)]).unwrap_err(), "was not passed");
            send(&mut to, vec![file(b"here").into()]);
            let came = numbers(&mut from, 1);
            let mut files = from.take_passed(1, &came).unwrap();
            says(&from.take_passed(1, &came).unwrap_err(), "was not passed");
            assert_eq!(number(&files[0]), came[0], "it is the same handle");
            assert_eq!(content(files.pop().unwrap()), "here");
        });
    }

    #[test]
    fn b19_as_many_handles_as_may_go() {
        timely(|| {
            let ((mut from, _), (_, mut to)) = connection();
            from.allow_handles();
            send(&mut to, (0..MAX_HANDLES).map(|_| event()).collect());
            let came = numbers(&mut from, MAX_HANDLES);
            assert_eq!(from.take_passed(MAX_HANDLES, &came).unwrap().len(), MAX_HANDLES);
        });
    }

    #[test]
    fn b21_handles_stay_here_until_a_byte_went() {
        timely(|| {
            let ((mut from, _), (mut back, mut to)) = connection();
            from.allow_handles();
            fill(&mut to);
            let passed = to.pass(vec![file(b"mine").into()]);
            assert_eq!(to.write(b"", NOW).unwrap(), 0);
            assert_eq!(to.write(b"x", NOW).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let error = to.write_or_take_in(&mut back, 9, b"x", within(20)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            says(&from.take_passed(1, &passed).unwrap_err(), "was not passed");
            let mut handles = to.take_back();
            assert!(to.take_back().is_empty());
            assert_eq!(content(handles.pop().unwrap()), "mine");
        });
    }

    /// What a task was writing when it let go of the connection went, or not: the handles with it.
    #[cfg(feature = "tokio")]
    #[test]
    fn handles_of_a_write_that_nobody_awaits_go_with_it_or_are_closed() {
        timely(|| {
            for goes in [true, false] {
                let ((mut from, _back), (_, mut to)) = connection();
                from.allow_handles();
                let filled = fill(&mut to);
                to.attend(Way::Out).unwrap();
                let passed = to.pass(vec![event()]);
                let error = to.write_behind(b"x").unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                if goes {
                    assert_eq!(read_bytes(&mut from, filled + 1).len(), filled + 1);
                }
                drop(to);
                assert_eq!(from.take_passed(1, &passed).is_ok(), goes);
            }
        });
    }

    /// The receiver has closed it here: its number may be that of another handle since.
    #[cfg(feature = "tokio")]
    #[test]
    fn a_handle_that_went_unnoticed_is_not_closed_twice() {
        // In a process of its own, where no other test takes the number.
        let status = alone("handle_transfer::tests::a_handle_that_went_unnoticed_alone").status();
        assert!(status.unwrap().success());
    }

    #[cfg(feature = "tokio")]
    #[test]
    #[ignore = "run by the test above"]
    fn a_handle_that_went_unnoticed_alone() {
        let settings = Settings { buffer_size: Some(4096), ..Settings::default() };
        let (path, server) = Server::temporary(&settings).unwrap();
        let child = peer("handle_transfer::tests::one_who_takes_a_handle", &path);
        let (from, mut to) = server.accept(within(30_000)).unwrap();
        let (mut heard, mut told) = server.accept(within(30_000)).unwrap();
        fill(&mut to);
        to.attend(Way::Out).unwrap();
        let passed = to.pass(vec![event()]);
        assert!(to.write_behind(&passed[0].to_be_bytes()).is_err(), "there is no room");
        write_all(&mut told, b"x", PLAIN);
        assert_eq!(read_bytes(&mut heard, 1), b"x");
        let taken = |event: &Event| u64::try_from(event.as_raw().addr()) == Ok(passed[0]);
        let mut events = Vec::new();
        while events.len() < 10_000 && !events.last().is_some_and(taken) {
            events.push(Event::automatic().unwrap());
        }
        drop((from, to));
        let last = events.pop().unwrap();
        last.set();
        assert!(last.wait_for(0).unwrap());
        child.ensure_success();
    }

    #[cfg(feature = "tokio")]
    #[test]
    #[ignore = "run by the test above"]
    fn one_who_takes_a_handle() {
        let path = peer_path();
        let ((mut from, _to), (mut heard, mut told)) = (client(&path), client(&path));
        from.allow_handles();
        assert_eq!(read_bytes(&mut heard, 1), b"x");
        let mut number = [7; 8];
        while number[0] == 7 {
            number[..1].copy_from_slice(&read_bytes(&mut from, 1));
        }
        number[1..].copy_from_slice(&read_bytes(&mut from, 7));
        from.take_passed(1, &[u64::from_be_bytes(number)]).unwrap();
        write_all(&mut told, b"x", PLAIN);
    }

    /// The numbers of pseudo handles stand for the process, thread and tokens of the caller.
    #[test]
    fn b23_a_number_never_names_what_the_receiver_is() {
        let this = open_process(process::id(), PROCESS_DUP_HANDLE).unwrap();
        for number in (1..=8_u64).flat_map(|down| [down.wrapping_neg(), (1 << 32) - down]) {
            assert!(take_from(&this, number).is_err(), "{number:x}");
        }
    }

    #[test]
    fn no_handle_is_left() {
        let status = alone("handle_transfer::tests::no_handle_is_left_alone").status();
        assert!(status.unwrap().success());
    }

    #[test]
    #[ignore = "run by the test above"]
    fn no_handle_is_left_alone() {
        let (path, server) = server();
        let child = peer("handle_transfer::tests::one_who_sends_handles", &path);
        let (mut from, mut to) = server.accept(within(30_000)).unwrap();
        from.allow_handles();
        let mut before = None;
        for _ in 0..100 {
            let came = numbers(&mut from, 3);
            assert_eq!(from.take_passed(3, &came).unwrap().len(), 3);
            // Where one of them is missing, none comes.
            let came = numbers(&mut from, 2);
            assert!(from.take_passed(3, &[came[0], 0x00ff_fff0, came[1]]).is_err());
            write_all(&mut to, b"x", PLAIN);
            assert_eq!(*before.get_or_insert_with(handles), handles());
        }
        child.ensure_success();
    }

    #[test]
    #[ignore = "run by the test above"]
    fn one_who_sends_handles() {
        let (mut from, mut to) = client(&peer_path());
        let mut before = None;
        for _ in 0..100 {
            send(&mut to, (0..3).map(|_| event()).collect());
            send(&mut to, (0..2).map(|_| event()).collect());
            assert_eq!(read_bytes(&mut from, 1), b"x");
            assert_eq!(*before.get_or_insert_with(handles), handles());
        }
    }
}
