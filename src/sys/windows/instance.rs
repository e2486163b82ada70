//! Instances of a pipe: each serves one client.
#![allow(unsafe_code, reason = "making an instance has no safe wrapper")]

use std::io;
use std::mem;
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_NO_DATA, ERROR_PIPE_BUSY, ERROR_PIPE_CONNECTED, ERROR_SUCCESS,
    INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, PIPE_ACCESS_DUPLEX,
};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, PIPE_READMODE_MESSAGE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_MESSAGE,
    PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
};

use super::event::Event;
use super::overlapped::{Outcome, Overlapped};
use super::pipe_info::PipeInfo;
use super::security::Descriptor;
use super::{length, system_code, system_error, wide};
use crate::error::Obstacle;
use crate::sys::{Settings, Wait};

/// The default size of a pipe's buffer in bytes, each way.
const BUFFER: u32 = 65536;

/// The smallest size of a pipe's buffer: no less than an atomic write.
const LEAST_BUFFER: u32 = 4096;

/// How many instances of a one-way pipe listen at any time: so many clients may connect before the owner lets them in.
pub(super) const BACKLOG: usize = 8;

/// The instances that listen, and how to make the next.
#[derive(Debug)]
pub(super) struct Instances {
    name: Vec<u16>,
    descriptor: Descriptor,
    buffer: u32,
    event: Arc<Event>,
    /// Never empty.
    instances: Vec<Instance>,
}

impl Instances {
    /// Takes the name, which must be free, and listens.
    ///
    /// So many instances listen at any time; it is one at least.
    pub(super) fn new(name: &Path, settings: &Settings, backlog: usize) -> io::Result<Self> {
        let name = wide(name.as_os_str());
        let descriptor = Descriptor::new(&settings.access)?;
        let buffer = settings.buffer_size.map_or(BUFFER, length).max(LEAST_BUFFER);
        let event = Arc::new(Event::automatic()?);
        let handle =
            create(&name, &descriptor, buffer, FILE_FLAG_FIRST_PIPE_INSTANCE).map_err(taken)?;
        let first = Instance::listening(handle, &event)?;
        let mut listener = Self { name, descriptor, buffer, event, instances: vec![first] };
        while listener.instances.len() < backlog {
            listener.instances.push(listener.another()?);
        }
        Ok(listener)
    }

    /// The event that is set when a client comes.
    pub(super) fn event(&self) -> &Arc<Event> {
        &self.event
    }

    /// Waits for a client, and hands out its instance.
    pub(super) fn wait(&mut self, wait: Wait<'_>) -> io::Result<OwnedHandle> {
        loop {
            if let Some(client) = self.accept()? {
                return Ok(client);
            }
            self.event.wait(wait)?;
        }
    }

    /// Hands out an instance whose client is there, if one is.
    ///
    /// Another instance listens before that, so that there is one of this name at any time.
    pub(super) fn accept(&mut self) -> io::Result<Option<OwnedHandle>> {
        for place in 0..self.instances.len() {
            let Some(instance) = self.instances.get_mut(place) else { break };
            if instance.is_connected()? {
                let next = self.another()?;
                let Some(instance) = self.instances.get_mut(place) else { break };
                return Ok(Some(mem::replace(instance, next).pipe.into_handle()));
            }
        }
        Ok(None)
    }

    /// Whether the next call of `accept` finds a client.
    pub(super) fn has_client(&mut self) -> io::Result<bool> {
        for instance in &mut self.instances {
            if instance.is_connected()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The settings of all instances.
    pub(super) fn info(&self) -> io::Result<PipeInfo> {
        match self.instances.first() {
            Some(instance) => PipeInfo::of(&instance.pipe),
            None => Err(Obstacle::Unsupported.into()),
        }
    }

    fn another(&self) -> io::Result<Instance> {
        Instance::listening(create(&self.name, &self.descriptor, self.buffer, 0)?, &self.event)
    }
}

/// One instance, which waits for its client.
#[derive(Debug)]
struct Instance {
    pipe: Overlapped,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Listening,
    Connected,
}

impl Instance {
    fn listening(handle: OwnedHandle, event: &Arc<Event>) -> io::Result<Self> {
        let pipe = Overlapped::new(handle, Arc::clone(event), 0);
        let mut instance = Self { pipe, state: State::Idle };
        instance.is_connected()?;
        Ok(instance)
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        loop {
            let over = match self.state {
                State::Connected => return Ok(true),
                State::Listening => self.pipe.poll(),
                State::Idle => self.pipe.connect(),
            };
            if self.state == State::Idle {
                // To begin has unset the event, which another instance may have set. Nor does the system set it for a
                // client that was there before.
                self.pipe.event().set();
            }
            let Some(outcome) = over else {
                self.state = State::Listening;
                return Ok(false);
            };
            if has_come(outcome) {
                self.state = State::Connected;
                return Ok(true);
            }
            self.state = State::Idle;
            // If the thread that began to listen has ended, another one begins again.
            if !outcome.is_cancelled() {
                return Err(system_error(outcome.code));
            }
        }
    }
}

/// Whether a client came: now, before the wait, or one that has left since. Its bytes can
/// still be read.
fn has_come(outcome: Outcome) -> bool {
    matches!(outcome.code, ERROR_SUCCESS | ERROR_PIPE_CONNECTED | ERROR_NO_DATA)
}

/// Makes one more instance.
///
/// All go both ways, since all must be alike and the direction is not known yet: the types here, and the
/// access rights of the clients, see to that. Messages keep each write of a client whole.
fn create(
    name: &[u16],
    descriptor: &Descriptor,
    buffer: u32,
    first: u32,
) -> io::Result<OwnedHandle> {
    let attributes = descriptor.attributes();
    // SAFETY: the name ends with NUL, and the attributes are good over the call.
    let handle = unsafe {
        CreateNamedPipeW(
            name.as_ptr(),
            PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first,
            PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
            PIPE_UNLIMITED_INSTANCES,
            buffer,
            buffer,
            0,
            &raw const attributes,
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid, and nothing else owns it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Another process has this name: with other rights, or because there may be no further instance.
fn taken(error: io::Error) -> io::Error {
    match system_code(&error) {
        Some(ERROR_ACCESS_DENIED | ERROR_PIPE_BUSY) => Obstacle::InUse.into(),
        _ => error,
    }
}

/// The listener, even after a thread panicked: it is consistent between any two calls.
pub(super) fn lock(listener: &Mutex<Instances>) -> MutexGuard<'_, Instances> {
    listener.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::name::temporary;
    use super::super::testing::{NOW, client, timely, writer};
    use super::super::writers::Writers;
    use super::*;

    /// Each writer that is let in needs another instance in its place, which the system may have no room for.
    #[test]
    fn writers_that_are_here_are_heard_when_no_other_can_be_let_in() {
        timely(|| {
            let path = temporary().unwrap();
            let listener = Instances::new(&path, &Settings::default(), 2).unwrap();
            let listener = Arc::new(Mutex::new(listener));
            let mut writers = Writers::new(Arc::clone(&listener)).unwrap();
            let mut first = writer(&path);
            let error = writers.read(&mut [0; 8], NOW).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
            lock(&listener).name = vec![0]; // no pipe has this name
            let mut second = writer(&path);
            second.write(b"later", NOW).unwrap();
            let error = writers.read(&mut [0; 8], NOW).unwrap_err();
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
            first.write(b"now", NOW).unwrap();
            let mut buf = [0; 8];
            // What was written may take a moment to arrive.
            let read = std::iter::repeat_with(|| writers.read(&mut buf, NOW)).find_map(Result::ok);
            assert_eq!(&buf[..read.unwrap()], b"now");
        });
    }

    /// A thread that takes one client wakes another thread for the next, whose event may be spent or unset.
    #[test]
    fn each_client_that_is_taken_sets_the_event_again() {
        timely(|| {
            let path = temporary().unwrap();
            let mut listener = Instances::new(&path, &Settings::default(), 2).unwrap();
            let _clients = [client(&path), client(&path)];
            let event = Arc::clone(listener.event());
            for _ in 0..2 {
                assert!(event.wait_for(10_000).unwrap());
                assert!(listener.accept().unwrap().is_some());
            }
            assert!(listener.accept().unwrap().is_none());
        });
    }

    /// A client may connect to an instance that does not listen yet: that wakes a thread as well.
    #[test]
    fn a_client_that_is_faster_than_its_instance_sets_the_event() {
        timely(|| {
            let path = temporary().unwrap();
            let descriptor = Descriptor::new(&crate::sys::Access::Owner).unwrap();
            let handle = create(&wide(path.as_os_str()), &descriptor, BUFFER, 0).unwrap();
            let _client = client(&path);
            let event = Arc::new(Event::automatic().unwrap());
            let mut instance = Instance::listening(handle, &event).unwrap();
            assert!(instance.is_connected().unwrap());
            assert!(event.wait_for(0).unwrap());
        });
    }
}
