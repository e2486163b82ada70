//! Children that are started with a typed connection to their parent.
//!
//! [`spawn`] starts a program, and [`parent`] is its side of the connection. No name is made in the file system that others
//! could find, and the connection is between these two processes alone: programs that the child starts do not have it, nor
//! do other children of the parent.
//!
//! ```no_run
//! use std::env;
//! use std::process::Command;
//! use typed_pipe::process;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! if env::args().nth(1).as_deref() == Some("worker") {
//!     let mut parent = process::parent::<u64, String>()?; // what it sends, and what it receives
//!     while let Ok(text) = parent.recv() {
//!         parent.send(&(text.len() as u64))?;
//!     }
//!     return Ok(());
//! }
//!
//! let mut command = Command::new(env::current_exe()?);
//! let (mut worker, mut child) = process::spawn::<str, u64>(command.arg("worker"))?;
//! worker.send("hello")?;
//! assert_eq!(worker.recv()?, 5);
//! drop(worker); // the worker sees the end of its messages
//! assert!(child.wait()?.success());
//! # Ok(())
//! # }
//! ```
//!
//! When the child ends, however it ends, each wait on the connection ends, and so it is for the child when its parent ends.
//! That a child which is stopped or busy does not answer is what timeouts are for, and [`Child::kill`].
//!
//! [`Handshake::spawn`] and [`Handshake::parent`] do the same with terms of their own, and in the mode `Tokio` (feature
//! `tokio`). For calls, as between a host and its plugins, for sessions, and for bytes, [`ConnectOptions::spawn`] and
//! [`ConnectOptions::parent`] give the connection itself.
//!
//! # Platform-specific behavior
//!
//! The variable `TYPED_PIPE_PARENT` of the environment tells the child where its connection is.
//!
//! ## Unix
//!
//! It has the number of a descriptor from which [`parent`] takes the connection. Until it does, programs that the child
//! starts inherit that descriptor, so call it before any other program is started. Shells and other programs in between,
//! such as `sh -c` or `nice`, may start the child, if they leave open descriptors open. A process that the child forks, and
//! that does not become another program, has a copy of the connection: while it lives, the parent sees no end.
//!
//! Only Linux, Android and the BSDs make descriptors that no other child inherits; on macOS a child that another thread
//! starts at the same moment may get a copy.
//!
//! ## Windows
//!
//! It has a name that cannot be guessed, of a pipe which takes one client, of this user alone.

use std::future::Future;
use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::channel::{Inbound, Outbound};
use crate::connection::{ConnectOptions, Connection};
use crate::error::{Error, Obstacle, Operation};
use crate::state::Mode;
use crate::sys::{ChildConnection, Maker, Process, Raw, WaitLimit, from_parent};
use crate::typed_connection::{Handshake, TypedConnection};
use crate::wait::CancelToken;
use crate::watching::watching;
use crate::wire::{Codec, Framing};

/// Starts a child program with a typed connection to it, which it takes with [`parent`].
///
/// `Out` is what this process sends, and `In` what it receives. All else is set at the [`Command`], which stays of use: each
/// call starts a child of its own. An example is at the [module](self).
///
/// The child is an ordinary one of `std::process`: wait for it in the end, or kill it. If the connection cannot be made, it
/// is killed.
///
/// # Errors
///
/// - [`NotFound`](crate::ErrorKind::NotFound), [`PermissionDenied`](crate::ErrorKind::PermissionDenied): the program does not
///   start.
/// - [`ChildExited`](crate::ErrorKind::ChildExited): it has ended before it took its side of the connection.
/// - [`TimedOut`](crate::ErrorKind::TimedOut): it has not taken it within ten seconds.
/// - [`Mismatch`](crate::ErrorKind::Mismatch): it has other types or another wire.
/// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): there are too many open files, or there is no memory for it.
/// - [`Io`](crate::ErrorKind::Io): any other.
#[doc(alias("subprocess", "fork", "worker", "supervise"))]
pub fn spawn<Out: Outbound + ?Sized, In: Inbound>(
    command: &mut Command,
) -> Result<(TypedConnection<Out, In>, Child), Error> {
    Handshake::new().spawn(command)
}

/// Takes the connection to the process that started this one with [`spawn`].
///
/// There is one, which can be taken once, by one process: the variable that tells of it is removed. Call it early, before
/// this process starts others. An example is at the [module](self).
///
/// # Errors
///
/// - [`NotFound`](crate::ErrorKind::NotFound): no process has started this one with `spawn`.
/// - [`InUse`](crate::ErrorKind::InUse): the connection was taken already, by this process or another one.
/// - [`NotAPipe`](crate::ErrorKind::NotAPipe): there is no such connection any more, as in a program that a child has started
///   with its own variables, or behind a program that closes what it does not know.
/// - [`Disconnected`](crate::ErrorKind::Disconnected): the parent has ended.
/// - [`Mismatch`](crate::ErrorKind::Mismatch), [`TimedOut`](crate::ErrorKind::TimedOut), [`Io`](crate::ErrorKind::Io): those of
///   [`Handshake::perform`].
///
/// ```
/// use typed_pipe::{ErrorKind, process};
///
/// match process::parent::<u64, String>() {
///     Ok(parent) => drop(parent), // or work for it
///     Err(error) if error.kind() == ErrorKind::NotFound => println!("started by hand"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), typed_pipe::Error>(())
/// ```
pub fn parent<Out: Outbound + ?Sized, In: Inbound>() -> Result<TypedConnection<Out, In>, Error> {
    Handshake::new().parent()
}

impl<F: Framing + Clone, C: Codec + Clone, M: Mode> Handshake<F, C, M> {
    /// Starts a child program as [`process::spawn`](spawn) does, on these terms.
    ///
    /// The [timeout](Self::timeout) is that of the whole: until the child has taken its side, and done its part of the
    /// handshake.
    ///
    /// ```no_run
    /// use std::process::Command;
    /// use std::time::Duration;
    /// use typed_pipe::Handshake;
    ///
    /// let terms = Handshake::new().protocols(["worker/2"]).timeout(Duration::from_secs(1));
    /// let (mut worker, mut child) = terms.spawn::<str, u64>(&mut Command::new("worker"))?;
    /// worker.send("hello")?;
    /// # drop(child.wait());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future kills the child.
    ///
    /// # Errors
    ///
    /// Those of [`process::spawn`](spawn).
    #[cfg_attr(docsrs, doc(cfg(feature = "process")))]
    pub fn spawn<'a, Out: Outbound + ?Sized, In: Inbound>(
        &self,
        command: &'a mut Command,
    ) -> M::Ret<
        impl Future<Output = Result<(TypedConnection<Out, In, F, C, M>, Child), Error>>
        + use<'a, Out, In, F, C, M>,
    > {
        let this = self.clone();
        M::run(async move {
            let until = this.time_limit().until::<M>();
            let (halves, child, process) = started::<M>(command, None, until).await?;
            let this = this.by(until).watching_process(process);
            let connection = Connection::of(halves, None, None).into_mode()?;
            Ok((this.performed(connection).await?, child.keep()))
        })
    }

    /// Takes the connection to the parent as [`process::parent`](parent) does, on these terms.
    ///
    /// ```no_run
    /// use typed_pipe::Handshake;
    ///
    /// let mut parent = Handshake::new().protocols(["worker/2", "worker/1"]).parent::<u64, String>()?;
    /// let text = parent.recv()?;
    /// # drop(text);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`process::parent`](parent).
    #[cfg_attr(docsrs, doc(cfg(feature = "process")))]
    pub fn parent<Out: Outbound + ?Sized, In: Inbound>(
        &self,
    ) -> M::Ret<
        impl Future<Output = Result<TypedConnection<Out, In, F, C, M>, Error>> + use<Out, In, F, C, M>,
    > {
        let this = self.clone();
        M::run(async move {
            let connection = Connection::of(take()?, None, None).into_mode()?;
            this.performed(connection).await
        })
    }
}

impl<M: Mode> ConnectOptions<M> {
    /// Starts a child program with a connection to it, which it takes with [`parent`](Self::parent): for bytes, for calls, and
    /// for sessions.
    ///
    /// It is [`process::spawn`](spawn) without a handshake, which waits for nothing: that the child has ended, and never took
    /// its side, is what the first read or call says. Here the child is a plugin, which is called:
    ///
    /// ```no_run
    /// use std::env;
    /// use std::process::Command;
    /// use typed_pipe::{Client, ConnectOptions, Service};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// if env::args().nth(1).as_deref() == Some("plugin") {
    ///     let host = ConnectOptions::new().parent()?;
    ///     Service::<String, usize>::over(host).serve(|word| word.len())?; // until the host has left
    ///     return Ok(());
    /// }
    ///
    /// let mut command = Command::new(env::current_exe()?);
    /// let (plugin, mut child) = ConnectOptions::new().spawn(command.arg("plugin"))?;
    /// let client = Client::<String, usize>::over(plugin)?;
    /// assert_eq!(client.call(&"hello".into())?, 5);
    /// drop(client); // the plugin sees the end
    /// assert!(child.wait()?.success());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// For calls both ways, give the connection to [`Service::over`](crate::Service::over) on both sides, and then call
    /// [`both_ways`](crate::Service::both_ways). In the mode `Tokio`, dropping the future kills the child.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](crate::ErrorKind::NotFound), [`PermissionDenied`](crate::ErrorKind::PermissionDenied): the program does
    ///   not start.
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted), [`Io`](crate::ErrorKind::Io): as in
    ///   [`process::spawn`](spawn).
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// It waits until the child has taken its side, for ten seconds at most, with the errors
    /// [`ChildExited`](crate::ErrorKind::ChildExited), [`TimedOut`](crate::ErrorKind::TimedOut) and
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    #[cfg_attr(docsrs, doc(cfg(feature = "process")))]
    #[doc(alias("subprocess", "plugin", "worker"))]
    pub fn spawn<'a>(
        &self,
        command: &'a mut Command,
    ) -> M::Ret<impl Future<Output = Result<(Connection<M>, Child), Error>> + use<'a, M>> {
        let this = self.clone();
        M::run(async move {
            let until = M::within(SPAWN_TIMEOUT);
            let (halves, child, _) = started::<M>(command, this.token(), until).await?;
            Ok((this.connected(halves, None).into_mode()?, child.keep()))
        })
    }

    /// Takes the connection to the process that started this one with [`spawn`](Self::spawn).
    ///
    /// ```
    /// use typed_pipe::{ConnectOptions, ErrorKind};
    ///
    /// let error = ConnectOptions::new().parent().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound); // started by hand
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`process::parent`](parent) before a handshake.
    #[cfg_attr(docsrs, doc(cfg(feature = "process")))]
    pub fn parent(&self) -> Result<Connection<M>, Error> {
        Ok(self.connected(take()?, None).into_mode()?)
    }
}

/// How long a child has to take its side, where nothing else is said.
const SPAWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a child, and waits until it has taken its side.
async fn started<M: Mode>(
    command: &mut Command,
    token: Option<&CancelToken>,
    until: WaitLimit,
) -> Result<((Raw, Raw), Started, Process), Error> {
    let started = ChildConnection::spawn(command);
    let (child, ours) = started.map_err(|error| Error::new(Operation::Spawn, error))?;
    let child = Started { child: Some(child), maker: Maker::this() };
    let process = Process::of(child.get());
    let accept = |mut ours: ChildConnection, until| async move {
        let accepted = M::attempt(until, token, |wait| ours.accept(wait)).await;
        accepted.map_err(|error| (ours, Error::new(Operation::Spawn, error)))
    };
    let accepted = watching::<M, _, _, _>(&process, TOOK, until, ours, accept).await;
    Ok((accepted.map_err(|(_, error)| error)?, child, process))
}

/// What a child is to do.
const TOOK: &str = "took its side of the connection";

/// Takes the connection to the parent, once.
fn take() -> Result<(Raw, Raw), Error> {
    let failed = |error: io::Error| Error::new(Operation::TakeParent, error);
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if *taken {
        return Err(failed(Obstacle::ParentTaken.into()));
    }
    let halves = from_parent().map_err(failed)?;
    *taken = true;
    Ok(halves)
}

/// Whether this process has taken the connection to its parent.
static TAKEN: Mutex<bool> = Mutex::new(false);

/// A child that is killed unless it is kept.
struct Started {
    child: Option<Child>,
    maker: Maker,
}

impl Started {
    fn get(&self) -> &Child {
        self.child.as_ref().unwrap_or_else(|| unreachable!("only `keep` takes it"))
    }

    fn keep(mut self) -> Child {
        self.child.take().unwrap_or_else(|| unreachable!("nothing else takes it"))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take().filter(|_| self.maker.is_this()) else { return };
        let _ = child.kill();
        if !matches!(child.try_wait(), Ok(Some(_))) {
            // The system ends it soon. Nothing waits for that but this thread.
            let _ = thread::Builder::new().spawn(move || child.wait());
        }
    }
}
