//! The peer: the process and the user on the other side.
#![allow(unsafe_code, reason = "the calls for identities have no safe wrapper")]

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::process::abort;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{ERROR_NO_TOKEN, HANDLE};
use windows_sys::Win32::Security::{TOKEN_ACCESS_MASK, TOKEN_IMPERSONATE, TOKEN_QUERY};
use windows_sys::Win32::System::Pipes::{
    GetNamedPipeClientProcessId, GetNamedPipeServerProcessId, ImpersonateNamedPipeClient,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentThread, OpenProcess, OpenThreadToken, PROCESS_ACCESS_RIGHTS,
    PROCESS_QUERY_LIMITED_INFORMATION, SetThreadToken,
};

use super::connection::Connection;
use super::security::{owner, process_token, this_user, user_of};
use super::system_code;
use crate::sys::{Peer, User};

impl Connection {
    /// The process and the user on the other side.
    ///
    /// The system vouches for the user of a client as it was when it connected, and for the owner of the
    /// pipe. If it reports neither, the user is that of the process, whose ID another one may have by
    /// now: so it never counts as the same user.
    pub(super) fn peer(&self) -> io::Result<Peer> {
        let pid = self.peer_process();
        let vouched =
            if self.info().listened { client(self.as_handle()) } else { owner(self.as_handle()) };
        let (sid, same_user) = match vouched {
            Ok(sid) => {
                let same_user = sid == this_user()?;
                (sid, same_user)
            }
            Err(error) => match &pid {
                Ok(pid) => (user_of_process(*pid).map_err(|_| error)?, false),
                Err(_) => return Err(error),
            },
        };
        Ok(Peer { pid: pid.ok(), user: User::Sid(sid), same_user })
    }

    /// The ID of the process that connected, or that listened.
    pub(super) fn peer_process(&self) -> io::Result<u32> {
        let handle = self.as_handle().as_raw_handle();
        let mut pid = 0;
        let done = if self.info().listened {
            // SAFETY: the handle is open, and the number goes to a place of its type.
            unsafe { GetNamedPipeClientProcessId(handle, &raw mut pid) }
        } else {
            // SAFETY: as above.
            unsafe { GetNamedPipeServerProcessId(handle, &raw mut pid) }
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(pid)
    }
}

/// Opens a process.
pub(super) fn open_process(pid: u32, rights: PROCESS_ACCESS_RIGHTS) -> io::Result<OwnedHandle> {
    // SAFETY: it takes no pointers.
    let process = unsafe { OpenProcess(rights, 0, pid) };
    if process.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid, and nothing else owns it.
    Ok(unsafe { OwnedHandle::from_raw_handle(process) })
}

/// The user of the client, as the system knew it when it connected.
fn client(pipe: BorrowedHandle<'_>) -> io::Result<String> {
    let token = {
        let _client = Impersonation::of_client(pipe)?;
        thread_token(TOKEN_QUERY)?
    };
    user_of(&token)
}

fn user_of_process(pid: u32) -> io::Result<String> {
    let process = open_process(pid, PROCESS_QUERY_LIMITED_INFORMATION)?;
    user_of(&process_token(process.as_handle())?)
}

/// Lets this thread act in the name of a client, until it is dropped.
struct Impersonation {
    before: Option<OwnedHandle>,
}

impl Impersonation {
    fn of_client(pipe: BorrowedHandle<'_>) -> io::Result<Self> {
        let before = match thread_token(TOKEN_IMPERSONATE) {
            Ok(token) => Some(token),
            Err(error) if system_code(&error) == Some(ERROR_NO_TOKEN) => None,
            Err(error) => return Err(error),
        };
        // SAFETY: the handle is open.
        if unsafe { ImpersonateNamedPipeClient(pipe.as_raw_handle()) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { before })
    }
}

impl Drop for Impersonation {
    fn drop(&mut self) {
        let before: HANDLE = self.before.as_ref().map_or(null_mut(), AsRawHandle::as_raw_handle);
        // SAFETY: null is this thread, and the token is open, or null for none.
        if unsafe { SetThreadToken(null(), before) } == 0 {
            // A thread that goes on in the name of another user is worse than none.
            abort();
        }
    }
}

/// The token of this thread. It is opened with the rights of the process, not of the client.
fn thread_token(rights: TOKEN_ACCESS_MASK) -> io::Result<OwnedHandle> {
    let mut token = null_mut();
    // SAFETY: it only returns a constant.
    let thread = unsafe { GetCurrentThread() };
    // SAFETY: the thread is this one, and the result goes to a place of its type.
    if unsafe { OpenThreadToken(thread, rights, 1, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid, and nothing else owns it.
    Ok(unsafe { OwnedHandle::from_raw_handle(token) })
}

#[cfg(test)]
mod tests {
    use super::super::Raw;
    use super::super::testing::{
        NOW, client, connection, is_wine, peer, peer_path, read_bytes, server, timely, within,
        write_all,
    };
    use super::*;

    #[test]
    fn c8_both_sides_know_each_other() {
        timely(|| {
            let (path, server) = server();
            let child = peer("peer::tests::c8_the_other_side", &path);
            let (mut from, mut to) = server.accept(within(30_000)).unwrap();
            for half in [&from, &to] {
                let other = half.peer().unwrap();
                assert_eq!(other.pid(), Some(child.id()));
                assert_eq!(other.user().to_string(), this_user().unwrap());
                assert!(other.is_same_user());
            }
            write_all(&mut to, &std::process::id().to_be_bytes(), NOW);
            assert_eq!(read_bytes(&mut from, 2), b"ok");
            // It is known even after it has left.
            let pid = child.id();
            child.ensure_success();
            assert_eq!(to.peer().unwrap().pid(), Some(pid));
        });
    }

    #[test]
    #[ignore = "run by the test above"]
    fn c8_the_other_side() {
        let (mut from, mut to) = client(&peer_path());
        let pid = u32::from_be_bytes(read_bytes(&mut from, 4).try_into().unwrap());
        let other = from.peer().unwrap();
        assert_eq!(other.pid(), Some(pid));
        assert!(matches!(other.user(), User::Sid(sid) if *sid == this_user().unwrap()));
        assert!(other.is_same_user());
        write_all(&mut to, b"ok", NOW);
    }

    /// A thread that identifies a client acts in its own name again at once.
    #[test]
    fn c6_nobody_stays_impersonated() {
        timely(|| {
            let ((from, _to), _client) = connection();
            let none = || {
                let error = thread_token(TOKEN_QUERY).unwrap_err();
                assert_eq!(system_code(&error), Some(ERROR_NO_TOKEN));
            };
            none();
            from.peer().unwrap();
            none();
            {
                let _other = Impersonation::of_client(from.as_handle()).unwrap();
                let before = user_of(&thread_token(TOKEN_QUERY).unwrap()).unwrap();
                from.peer().unwrap();
                assert_eq!(user_of(&thread_token(TOKEN_QUERY).unwrap()).unwrap(), before);
            }
            none();
        });
    }

    #[test]
    fn c8_the_number_of_a_process_decides_nothing() {
        assert_eq!(user_of_process(std::process::id()).unwrap(), this_user().unwrap());
        let (one, other) = super::super::testing::byte_pipe(true);
        let (_from, to) = Raw::adopt_both(other).unwrap();
        let (from, _to) = Raw::adopt_both(one).unwrap();
        for half in [from, to] {
            assert_eq!(half.peer().unwrap().pid(), Some(std::process::id()));
        }
    }

    #[test]
    fn c5_nobody_acts_in_the_name_of_a_client() {
        if is_wine("a process that impersonates a client stays what it is") {
            return;
        }
        let ((from, _to), _client) = connection();
        let this = std::env::current_exe().unwrap();
        let opened = {
            let _client = Impersonation::of_client(from.as_handle()).unwrap();
            std::fs::File::open(&this)
        };
        assert!(opened.is_err());
    }
}
