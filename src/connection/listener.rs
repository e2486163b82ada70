//! Listeners: names at which clients connect.

use std::fmt;
use std::future::Future;
use std::io;
use std::iter::{self, FusedIterator};
use std::path::Path;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(feature = "fanout")]
use std::task::{Context, Waker};
use std::time::Duration;

use static_assertions::assert_impl_all;

use super::stream::Connection;
use crate::error::{Error, ErrorKind, Operation, TransitionError};
use crate::path::PipePath;
use crate::permits::{Permit, Permits};
use crate::state::{Blocking, Mode, complete, woken_at};
use crate::sys::{Access, IfExists, Peer, Raw, Server, Settings, WaitLimit, temporary_folder};
use crate::wait::CancelToken;

/// A name on this machine at which clients connect.
///
/// A listener is bound by construction: every listener listens. Like an allocated [`Pipe`](crate::Pipe) it has one
/// owner, by the lock beside it. Dropping it removes its name, if that is still its own, and never in a forked child.
/// Accepted connections go on.
///
/// [`accept`](Self::accept) returns the next client and does nothing more with it, so that no client can block the next
/// one: the thread or task that serves the client performs the handshake.
///
/// ```
/// use std::io::{Read, Write};
/// use std::thread;
/// use typed_pipe::{Connection, Listener};
///
/// let listener = Listener::temporary()?; // or `Listener::bind("/run/app/door")?`
/// let path = listener.path().clone();
/// thread::spawn(move || {
///     for client in listener.incoming() {
///         let mut client = client?;
///         thread::spawn(move || client.write_all(b"welcome"));
///     }
///     Ok::<(), typed_pipe::Error>(())
/// });
///
/// let mut words = String::new();
/// Connection::connect(path)?.read_to_string(&mut words)?;
/// assert_eq!(words, "welcome");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In the mode `Tokio` (feature `tokio`), [`accept`](Self::accept) is awaited.
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// The name is that of a Unix domain socket. The lock is a file with the ending `.lock`; it is gone when the name is.
///
/// ## Windows
///
/// The name is `\\.\pipe\…`, for this machine alone, and for this user unless [`Access`] says otherwise. It dies with the last handle of either side, and is
/// in use until then.
#[must_use = "dropping a listener removes its name"]
#[derive(Debug)]
#[doc(alias("UnixListener", "socket", "server", "unix socket", "UDS", "listen"))]
pub struct Listener<M: Mode = Blocking> {
    server: Server,
    accepting: M::Accepting,
    path: PipePath,
    token: Option<CancelToken>,
    permits: Permits,
    admit: Option<Admit>,
    /// A client for which tokio had no room.
    kept: Mutex<Option<Connection>>,
}

impl Listener {
    /// Makes a name at which clients connect, and owns it.
    ///
    /// [`ListenerOptions`] sets other options than the default ones.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind, Listener};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let listener = Listener::bind(&name)?;
    /// let client = Connection::connect(&name)?;
    /// drop(client);
    /// drop(listener); // which removes the name
    /// assert_eq!(Connection::try_connect(&name).unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists): there is a socket of this name that no owner left behind.
    /// - [`InUse`](crate::ErrorKind::InUse): another process listens there, or owns the name.
    /// - [`InvalidName`](crate::ErrorKind::InvalidName): see [`PipePath`]; or the path is too long for this system.
    /// - [`NotAPipe`](crate::ErrorKind::NotAPipe): there is something else of this name.
    /// - [`NotFound`](crate::ErrorKind::NotFound): there is no such folder.
    /// - [`NotTrusted`](crate::ErrorKind::NotTrusted): the folder lets any user put something else in its place, or the
    ///   socket there, or the lock beside it, belongs to another user.
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): this user may not make it there.
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): there are too many open files, or there is no memory for it.
    /// - [`Io`](crate::ErrorKind::Io): any other.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// A path may have any length on Linux, and 103 bytes elsewhere.
    #[doc(alias("listen", "server"))]
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, Error> {
        ListenerOptions::new().bind(path)
    }

    /// The clients, one after the other, each accepted as [`accept`](Self::accept) does.
    ///
    /// The iterator ends only when the listener is [cancelled](ListenerOptions::cancelled_by): after an error the next
    /// client may come.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, Connection, ListenerOptions};
    ///
    /// let token = CancelToken::new()?;
    /// let listener = ListenerOptions::new().cancelled_by(&token).temporary()?;
    /// let path = listener.path().clone();
    /// let client = thread::spawn(move || Connection::connect(path));
    ///
    /// let mut clients = 0;
    /// for client in listener.incoming() {
    ///     match client {
    ///         Ok(client) => drop(client), // or serve it in a thread
    ///         Err(error) => eprintln!("{error}"),
    ///     }
    ///     clients += 1;
    ///     token.cancel(); // as Ctrl-C may do
    /// }
    /// assert_eq!(clients, 1);
    /// # client.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn incoming(&self) -> impl FusedIterator<Item = Result<Connection, Error>> {
        // A token stays cancelled, so the end stays one.
        iter::from_fn(|| match self.accept() {
            Err(error) if error.kind() == ErrorKind::Cancelled => None,
            accepted => Some(accepted),
        })
        .fuse()
    }

    /// Makes an unguessable name, in a private folder of its own that is removed with it.
    ///
    /// ```
    /// use typed_pipe::{Connection, Listener};
    ///
    /// let (one, other) = (Listener::temporary()?, Listener::temporary()?);
    /// assert_ne!(one.path(), other.path());
    /// let client = Connection::connect(one.path())?; // pass the path to the client
    /// # drop(client);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind) that can occur.
    pub fn temporary() -> Result<Self, Error> {
        ListenerOptions::new().temporary()
    }
}

impl<M: Mode> Listener<M> {
    /// Accepts the next client, and waits until there is one.
    ///
    /// Several threads may accept at once. With [as many clients as allowed](ListenerOptions::max_clients) connected,
    /// it waits until one leaves: further clients wait as well.
    ///
    /// ```
    /// use typed_pipe::{Connection, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let mut client = Connection::connect(listener.path())?; // connected, but not accepted yet
    /// let mut server = listener.accept()?;
    /// server.writer().write(b"welcome")?;
    /// assert_eq!(client.reader().read(&mut [0; 8])?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, several tasks may accept at once, and dropping a future loses no client.
    ///
    /// # Errors
    ///
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): the process or the system has no descriptor left.
    ///   The client is kept. A listener rests for 50 milliseconds before it returns this, so that a retry loop does not
    ///   spin.
    /// - [`NotFound`](crate::ErrorKind::NotFound), [`NotAPipe`](crate::ErrorKind::NotAPipe), on Unix: the name was
    ///   removed or moved away, or leads to something else, so no further client comes. Noticing that takes up to a
    ///   second. Bind again to take the name again, or let [`IfExists::TakeAgain`] do that.
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`ListenerOptions::cancelled_by`].
    /// - [`Io`](crate::ErrorKind::Io): any other.
    pub fn accept(&self) -> M::Ret<impl Future<Output = Result<Connection<M>, Error>>> {
        M::run(self.accepting(WaitLimit::Done))
    }

    /// Accepts the next client without waiting.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock); // no client yet
    ///
    /// let client = Connection::connect(listener.path())?;
    /// let server = listener.try_accept()?;
    /// # drop((client, server));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept), and [`WouldBlock`](crate::ErrorKind::WouldBlock): there is no client, or no
    /// further one is allowed.
    pub fn try_accept(&self) -> Result<Connection<M>, Error> {
        complete(self.accepting(WaitLimit::Now))
    }

    /// Accepts the next client, and waits for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let error = listener.accept_timeout(Duration::from_millis(10)).unwrap_err(); // no client comes
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    ///
    /// let server = Connection::connect(listener.path())?;
    /// let client = listener.accept_timeout(Duration::from_secs(1))?;
    /// assert_eq!(listener.clients(), 1);
    /// # drop((server, client));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn accept_timeout(
        &self,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<Connection<M>, Error>>> {
        M::run(self.accepting(M::within(timeout)))
    }

    pub(crate) async fn accepting(&self, until: WaitLimit) -> Result<Connection<M>, Error> {
        let client = self.accept_any(until).await?;
        self.register(client, until).await
    }

    /// Accepts a client without setting its mode.
    pub(crate) async fn accept_any(&self, until: WaitLimit) -> Result<Connection, Error> {
        if let Some(kept) = self.kept().take() {
            return Ok(kept);
        }
        let token = self.token.as_ref();
        let mut refused = 0;
        loop {
            let accepted = M::accept(&self.accepting, &self.server, &self.permits, until, token);
            match woken_at::<M, _>(until, accepted).await {
                Ok((halves, permit)) => {
                    if let Some(client) = self.admitted(halves, permit) {
                        return Ok(client);
                    }
                    refused += 1;
                    // Where such clients come without end, no wait notices that the time is over.
                    let many = !matches!(until, WaitLimit::Now) || refused >= REFUSED_NOW;
                    if let Some(over) = M::over(until).filter(|_| many) {
                        return Err(self.failed(over));
                    }
                }
                Err(error) => return self.rest_after(self.failed(error), until).await,
            }
        }
    }

    /// Sets the mode of a client. If that fails, the next accept begins with this client.
    pub(crate) async fn register(
        &self,
        client: Connection,
        until: WaitLimit,
    ) -> Result<Connection<M>, Error> {
        match self.registered(client) {
            Err(error) => self.rest_after(error, until).await,
            client => client,
        }
    }

    /// As [`register`](Self::register), without the rest.
    pub(crate) fn registered(&self, client: Connection) -> Result<Connection<M>, Error> {
        client.into_mode().map_err(|failed| {
            let (client, error) = failed.into_parts();
            *self.kept() = Some(client);
            error
        })
    }

    /// Fails, for lack of resources only after a rest: a retry would find the same client at once.
    async fn rest_after<T>(&self, error: Error, until: WaitLimit) -> Result<T, Error> {
        if error.kind() == ErrorKind::ResourceExhausted {
            let rested = M::sleep(M::sooner(until, REST), self.token.as_ref()).await;
            rested.map_err(|cancelled| self.failed(cancelled))?;
        }
        Err(error)
    }

    /// The path of the name, with which a client connects.
    ///
    /// ```
    /// use std::process::Command;
    /// use typed_pipe::Listener;
    ///
    /// let listener = Listener::temporary()?;
    /// let mut worker = Command::new("worker");
    /// worker.arg(listener.path()); // all that it needs
    /// # assert_eq!(worker.get_args().next(), Some(listener.path().as_ref()));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn path(&self) -> &PipePath {
        &self.path
    }

    #[cfg(any(feature = "fanout", feature = "service"))]
    /// Lets another token cancel [`accept`](Self::accept).
    pub(crate) fn with_token(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// The number of accepted connections that are still open. The clients themselves, as they come, are
    /// [`incoming`](Listener::incoming).
    ///
    /// ```
    /// use typed_pipe::{Connection, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let clients = [Connection::connect(listener.path())?, Connection::connect(listener.path())?];
    /// let (reader, writer) = listener.accept()?.split();
    /// assert_eq!(listener.clients(), 1); // the other client is not accepted yet
    /// drop(reader);
    /// assert_eq!(listener.clients(), 1); // a half counts as one
    /// drop(writer);
    /// assert_eq!(listener.clients(), 0);
    /// # drop(clients);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn clients(&self) -> usize {
        self.permits.occupied()
    }

    /// Removes the name. Accepted connections go on; clients that wait to be accepted are turned away.
    ///
    /// A name that is gone, or leads to something else by now, is left alone, without an error.
    ///
    /// ```
    /// use typed_pipe::{Connection, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let path = listener.path().clone();
    /// let mut client = Connection::connect(&path)?;
    /// let mut server = listener.accept()?;
    /// listener.unlink()?;
    /// assert!(Connection::try_connect(&path).is_err()); // no further client
    /// server.writer().write(b"go on")?;
    /// assert_eq!(client.reader().read(&mut [0; 8])?, 5); // an accepted client stays
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Each gives back the listener, which goes on listening.
    ///
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): this user may no longer write to the folder.
    /// - [`Io`](crate::ErrorKind::Io): any other.
    pub fn unlink(mut self) -> Result<(), TransitionError<Self>> {
        match self.server.remove() {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = Error::new(Operation::Deallocate, error).at(Some(self.path.shared()));
                Err(TransitionError::new(self, error))
            }
        }
    }

    /// Whether the name is gone, or leads to something else: no further client will connect.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use typed_pipe::Listener;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let listener = Listener::bind(&name)?;
    /// assert!(!listener.is_unlinked());
    /// std::fs::remove_file(&name)?; // as any process can that may write to the folder
    /// assert!(listener.is_unlinked());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_unlinked(&self) -> bool {
        self.server.is_unlinked()
    }

    /// Switches the listener to another mode.
    #[cfg(any(test, feature = "tokio"))]
    pub(crate) fn waiting_by<N: Mode>(self, accepting: N::Accepting) -> Listener<N> {
        let Self { server, path, token, permits, admit, kept, .. } = self;
        Listener { server, accepting, path, token, permits, admit, kept }
    }

    /// The client to return next, for which there was no room.
    pub(crate) fn kept(&self) -> MutexGuard<'_, Option<Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it waits with, its server, its permits, and its token.
    #[cfg(feature = "tokio")]
    pub(crate) fn parts(&mut self) -> (&mut M::Accepting, &Server, &Permits, Option<&CancelToken>) {
        (&mut self.accepting, &self.server, &self.permits, self.token.as_ref())
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Whether as many clients are connected as may be.
    #[cfg(feature = "fanout")]
    pub(crate) fn is_full(&self) -> bool {
        self.permits.are_all_taken()
    }

    /// Whether there is room for another client; else this wakes when there is.
    #[cfg(feature = "fanout")]
    pub(crate) fn has_room_or_wakes(&self, waker: &Waker) -> bool {
        self.permits.poll_take(&Context::from_waker(waker)).is_ready()
    }

    #[cfg(any(feature = "fanout", feature = "service"))]
    pub(crate) fn token(&self) -> Option<&CancelToken> {
        self.token.as_ref()
    }

    pub(crate) fn failed(&self, error: io::Error) -> Error {
        Error::new(Operation::Accept, error).at(Some(self.path.shared()))
    }

    /// Makes the connection of a client, if it is let in.
    pub(crate) fn admitted(&self, halves: (Raw, Raw), permit: Permit) -> Option<Connection> {
        if let Some(Admit(rule)) = &self.admit {
            // A client that is not known is not let in.
            if !halves.0.peer().is_ok_and(|peer| rule(&peer)) {
                return None;
            }
        }
        let permit = Some(Arc::new(permit.occupy()));
        Some(Connection::of(halves, Some(self.path.clone()), permit))
    }
}

/// Options of a listener.
///
/// ```
/// use typed_pipe::{CancelToken, ListenerOptions};
///
/// # let folder = tempfile::tempdir()?;
/// # let name = folder.path().join("door");
/// let token = CancelToken::new()?;
/// let listener = ListenerOptions::new()
///     .mode(0o660) // for this user's group too
///     .max_clients(100)
///     .cancelled_by(&token)
///     .bind(name)?;
/// # drop(listener);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ListenerOptions {
    settings: Settings,
    token: Option<CancelToken>,
    max_clients: Option<usize>,
    admit: Option<Admit>,
}

impl ListenerOptions {
    /// The default options: mode 0600, only a private folder, a backlog of 128, and any number of clients.
    ///
    /// ```
    /// use typed_pipe::ListenerOptions;
    ///
    /// let options = ListenerOptions::new().max_clients(10);
    /// let one = options.clone().temporary()?; // the same options for several listeners
    /// let other = options.temporary()?;
    /// assert_ne!(one.path(), other.path());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets which users may connect; the user of this process alone unless set.
    ///
    /// ```
    /// use typed_pipe::{Access, Connection, ListenerOptions};
    ///
    /// let listener = ListenerOptions::new().access(Access::LocalUsers).temporary()?;
    /// let client = Connection::connect(listener.path())?;
    /// let user = listener.accept()?.peer()?.user().clone(); // whichever it is
    /// # drop((client, user));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors of making it
    ///
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): this system has no such access; see [`Access`].
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): this user is no member of the group.
    #[must_use]
    #[doc(alias("permissions", "security descriptor", "acl"))]
    pub fn access(mut self, access: Access) -> Self {
        self.settings.access = access;
        self
    }

    /// Sets which clients are let in, by the process on the other side; all that may connect unless set.
    ///
    /// Any other client is disconnected at once, and the listener goes on to the next one. A
    /// `Service` of the listener follows the rule too.
    ///
    /// ```
    /// use typed_pipe::{Access, Connection, ErrorKind, ListenerOptions, User};
    ///
    /// let allowed = [0, 33]; // from the settings
    /// let listener = ListenerOptions::new().access(Access::LocalUsers).admit(move |peer| match peer.user() {
    ///     User::Id { uid, .. } => allowed.contains(uid),
    ///     _ => false,
    /// });
    /// # let _ = listener;
    ///
    /// let listener = ListenerOptions::new().admit(|_| false).temporary()?; // no client at all
    /// let mut client = Connection::connect(listener.path())?;
    /// assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    /// assert_eq!(client.reader().read(&mut [0])?, 0);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    #[doc(alias("authorize", "SO_PEERCRED", "getpeereid", "credentials"))]
    pub fn admit(mut self, rule: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Self {
        self.admit = Some(Admit(Arc::new(rule)));
        self
    }

    /// Sets the permission bits of the name, whatever the umask of the process, in place of those of
    /// [`access`](Self::access): 0600 unless either is set.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::os::unix::fs::PermissionsExt;
    /// use typed_pipe::ListenerOptions;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let listener = ListenerOptions::new().mode(0o660).bind(&name)?; // for this user's group too
    /// let mode = std::fs::metadata(&name)?.permissions().mode();
    /// assert_eq!(mode & 0o777, 0o660);
    /// # drop(listener);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// Ignored: see [`access`](Self::access).
    #[must_use]
    #[doc(alias("chmod", "umask"))]
    pub fn mode(mut self, mode: u32) -> Self {
        self.settings.mode = Some(mode & 0o777);
        self
    }

    /// Sets what happens if the name exists. A name at which a process listens is never replaced.
    ///
    /// [`IfExists::Reuse`] replaces any socket of this user at which no process listens, whichever program made it.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::os::unix::net::UnixListener;
    /// use typed_pipe::{ErrorKind, IfExists, Listener, ListenerOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// drop(UnixListener::bind(&name)?); // which leaves its name behind
    /// assert_eq!(Listener::bind(&name).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// let listener = ListenerOptions::new().if_exists(IfExists::Reuse).bind(&name)?;
    /// # drop(listener);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn if_exists(mut self, policy: IfExists) -> Self {
        self.settings.if_exists = policy;
        self
    }

    /// Sets how many clients may be connected and not yet accepted; 128 unless set.
    ///
    /// Further clients wait until there is room.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind, ListenerOptions};
    ///
    /// let listener = ListenerOptions::new().backlog(1).temporary()?;
    /// let mut clients = Vec::new();
    /// let error = loop {
    ///     match Connection::try_connect(listener.path()) {
    ///         Ok(client) => clients.push(client), // the system may let in one or two more
    ///         Err(error) => break error,
    ///     }
    /// };
    /// assert_eq!(error.kind(), ErrorKind::WouldBlock); // `connect` would wait
    /// listener.accept()?;
    /// clients.push(Connection::connect(listener.path())?);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// The number of instances that listen at any time, from 1 to 64.
    #[must_use]
    pub fn backlog(mut self, clients: u16) -> Self {
        self.settings.backlog = clients;
        self
    }

    /// Sets how many accepted clients may be connected at the same time.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind, ListenerOptions};
    ///
    /// let listener = ListenerOptions::new().max_clients(1).temporary()?;
    /// let clients = [Connection::connect(listener.path())?, Connection::connect(listener.path())?];
    /// let first = listener.accept()?;
    /// assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock); // the second one waits
    /// drop(first);
    /// let second = listener.accept()?;
    /// # drop((clients, second));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    #[doc(alias("backlog", "semaphore"))]
    pub fn max_clients(mut self, clients: usize) -> Self {
        self.max_clients = Some(clients);
        self
    }

    /// Requests a size of the buffers in bytes, for each connection.
    ///
    /// The system rounds it, and may give less: [`End::buffer_size`](crate::End::buffer_size) reads the actual size.
    ///
    /// ```
    /// use typed_pipe::{Connection, ListenerOptions};
    ///
    /// let listener = ListenerOptions::new().buffer_size(1 << 17).temporary()?;
    /// let client = Connection::connect(listener.path())?;
    /// if let Ok(bytes) = listener.accept()?.writer().buffer_size() {
    ///     assert!(bytes >= 1 << 17); // where the system reports it
    /// }
    /// # drop(client);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        self.settings.buffer_size = Some(bytes);
        self
    }

    /// Allows a folder in which any user could replace the name, as
    /// [`PipeOptions::trust_any_folder`](crate::PipeOptions::trust_any_folder).
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::fs::{Permissions, set_permissions};
    /// use std::os::unix::fs::PermissionsExt;
    /// use typed_pipe::{ErrorKind, Listener, ListenerOptions};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let name = folder.path().join("door");
    /// set_permissions(&folder, Permissions::from_mode(0o777))?; // world-writable
    /// assert_eq!(Listener::bind(&name).unwrap_err().kind(), ErrorKind::NotTrusted);
    /// let listener = ListenerOptions::new().trust_any_folder().bind(&name)?;
    /// # drop(listener);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn trust_any_folder(mut self) -> Self {
        self.settings.any_folder = true;
        self
    }

    /// Lets a token cancel [`accept`](Listener::accept). It does not cancel connections: see
    /// [`Connection::cancelled_by`]. A `Service` made from the listener ends with it.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, ErrorKind, ListenerOptions};
    ///
    /// let token = CancelToken::new()?;
    /// let listener = ListenerOptions::new().cancelled_by(&token).temporary()?;
    /// let waiting = thread::spawn(move || listener.accept()); // no client ever comes
    /// token.cancel();
    /// assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn cancelled_by(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Makes a name at which clients connect, as [`Listener::bind`].
    ///
    /// ```
    /// use typed_pipe::{Connection, ListenerOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("door");
    /// let listener = ListenerOptions::new().max_clients(10).bind(&name)?;
    /// let client = Connection::connect(&name)?;
    /// # drop((client, listener));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Listener::bind`].
    pub fn bind(&self, path: impl AsRef<Path>) -> Result<Listener, Error> {
        let path = PipePath::new(path)?;
        let bound = Server::bind(path.as_path(), &self.settings);
        let server =
            bound.map_err(|error| Error::new(Operation::Listen, error).at(Some(path.shared())))?;
        Ok(self.listener(server, path))
    }

    /// Makes an unguessable name, as [`Listener::temporary`].
    ///
    /// ```
    /// use typed_pipe::{Connection, ListenerOptions};
    ///
    /// let listener = ListenerOptions::new().max_clients(10).temporary()?;
    /// let client = Connection::connect(listener.path())?; // pass the path to the client
    /// # drop(client);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Listener::bind`] that can occur.
    pub fn temporary(&self) -> Result<Listener, Error> {
        let bound = Server::temporary(&self.settings);
        let (path, server) = bound.map_err(|error| {
            Error::new(Operation::Listen, error).at(temporary_folder().as_ref())
        })?;
        Ok(self.listener(server, PipePath::given(&path)))
    }

    /// The settings of its name.
    #[cfg_attr(windows, allow(dead_code, reason = "no listener is adopted there"))]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn listener(&self, server: Server, path: PipePath) -> Listener {
        Listener {
            server,
            accepting: (),
            path,
            token: self.token.clone(),
            permits: Permits::new(self.max_clients.unwrap_or(usize::MAX)),
            admit: self.admit.clone(),
            kept: Mutex::default(),
        }
    }
}

/// The rule of [`ListenerOptions::admit`].
#[derive(Clone)]
struct Admit(Arc<dyn Fn(&Peer) -> bool + Send + Sync>);

impl fmt::Debug for Admit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admit")
    }
}

assert_impl_all!(Listener: Send, Sync);

/// The most clients that an accept which does not wait refuses before there seems to be no other one.
const REFUSED_NOW: u32 = 100;

/// The rest of a listener that lacks resources for a client.
pub(crate) const REST: Duration = Duration::from_millis(50);
