//! Ends of pipes: opened, read from, written to, closed.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::adaptive_read::{Pace, Spinning};
use crate::error::{Error, Operation, TransitionError};
use crate::path::PipePath;
use crate::source;
use crate::state::{Closed, Direction, Mode, Open, Read, Write, complete, complete_by, woken_at};
use crate::sys::{Raw, Wait, WaitLimit, Way};
use crate::wait::{CancelToken, waiting};

/// The reading end of a pipe.
///
/// ```
/// use typed_pipe::state::{Allocated, Closed, Open};
/// use typed_pipe::{Pipe, ReadEnd};
///
/// struct Program {
///     news: ReadEnd,                        // a client's, open
///     later: ReadEnd<Closed>,               // a client's, not opened yet
///     jobs: ReadEnd<Open, Pipe<Allocated>>, // the owner's, with the pipe in it
/// }
/// # let _ = |program: Program| (program.news, program.later, program.jobs);
/// ```
pub type ReadEnd<S = Open, P = PipePath> = End<Read, S, P>;

/// The writing end of a pipe.
///
/// ```
/// use typed_pipe::state::Closed;
/// use typed_pipe::{Error, Pipe, WriteEnd};
///
/// /// Writes a line, and closes the end until the next one.
/// fn log(end: WriteEnd<Closed>, line: &[u8]) -> Result<WriteEnd<Closed>, Error> {
///     let mut open: WriteEnd = end.open()?;
///     open.write(line)?;
///     Ok(open.close())
/// }
///
/// let pipe = Pipe::temporary()?;
/// let end = WriteEnd::at(pipe.path())?;
/// let mut reader = pipe.into_reader().open()?;
/// log(end, b"started\n")?;
/// assert_eq!(reader.read(&mut [0; 64])?, 8);
/// # Ok::<(), Error>(())
/// ```
pub type WriteEnd<S = Open, P = PipePath> = End<Write, S, P>;

/// One end of a pipe, in this process.
///
/// The type has three parameters: the direction `D` ([`Read`] or [`Write`]), the state `S`
/// ([`Closed`] or [`Open`]), and what the end holds of its pipe, `P`:
///
/// | `P` | owner of the end | made by |
/// |---|---|---|
/// | [`PipePath`] | a client, which knows only the path | [`End::at`] |
/// | [`Pipe<Allocated>`](crate::Pipe) | the owner of the pipe | [`Pipe::into_reader`](crate::Pipe::into_reader), [`into_writer`](crate::Pipe::into_writer) |
/// | `&mut Pipe<Allocated>` | the owner, which keeps the pipe | [`Pipe::reader`](crate::Pipe::reader), [`writer`](crate::Pipe::writer) |
/// | [`Unnamed`] | the creator of the handle | `TryFrom<OwnedFd>`, `TryFrom<OwnedHandle>` |
/// | [`ConnectionHalf`](crate::ConnectionHalf) | one side of a [`Connection`](crate::Connection) | [`Connection::split`](crate::Connection::split) |
/// | [`Erased`] | any of these | [`End::erase`] |
///
/// Using an operation that the state or the direction does not have does not compile:
///
/// ```compile_fail,E0599
/// let end = typed_pipe::ReadEnd::at("/run/app/jobs")?;
/// end.read(&mut [0; 8])?; // not open
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0599
/// let mut end = typed_pipe::ReadEnd::at("/run/app/jobs")?.open()?;
/// end.write(b"news")?; // the other direction
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0599
/// let end = typed_pipe::WriteEnd::at("/run/app/jobs")?;
/// end.close(); // not open
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0382
/// let mut end = typed_pipe::WriteEnd::at("/run/app/jobs")?.open()?;
/// end.close();
/// end.write(b"news")?; // closed
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0599
/// let end = typed_pipe::WriteEnd::at("/run/app/jobs")?;
/// end.into_pipe().unlink()?; // a client owns no pipe
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An open end is an [`io::Read`] or an [`io::Write`]. Dropping it closes it. With the feature `tokio`, an end can
/// be opened and used by tasks instead: see `Tokio`.
///
/// The errors of these two traits are those of the system, without the path; a [`CancelToken`] is one of the kind
/// [`Other`](io::ErrorKind::Other) there. The end's own [`read`](End::read) and [`write`](End::write) fail with an
/// [`Error`].
///
/// # Bytes, messages, or text
///
/// An end moves bytes. [`into_sender`](End::into_sender) and [`into_receiver`](End::into_receiver) make
/// it a channel of typed messages, and [`into_text`](End::into_text) one of lines of text.
/// # A program as the peer
///
/// A program such as gzip takes the path of a pipe as an argument, for a file to read or to write. If it exits before
/// it opens the pipe, the wait for it would never end: [`open_with`](End::open_with) and
/// [`wait_for_peer`](End::wait_for_peer) watch it while they wait.
#[doc(alias("fd", "file descriptor"))]
pub struct End<D, S, P = PipePath> {
    // In this order: the handle is closed before the name goes.
    state: S,
    held: P,
    settings: Settings,
    direction: PhantomData<D>,
}

/// The settings of an end, which opening and closing keep.
#[derive(Clone, Debug, Default)]
struct Settings {
    token: Option<CancelToken>,
    on_hangup: OnHangup,
    any_owner: bool,
    pace: Pace,
}

/// How a reading end treats the hang-up of its last writer.
///
/// ```
/// use std::thread;
/// use typed_pipe::{OnHangup, Pipe, TypedSender};
///
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let end = pipe.into_reader().on_hangup(OnHangup::NextWriter).open()?;
/// let mut receiver = end.into_receiver::<u32>();
///
/// // Two other processes, one after the other, which here are one thread:
/// let senders = thread::spawn(move || {
///     TypedSender::<u32>::connect(&path)?.send(&1)?;
///     TypedSender::<u32>::connect(&path)?.send(&2)
/// });
/// assert_eq!([receiver.recv()?, receiver.recv()?], [1, 2]);
/// # senders.join().unwrap()?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("EOF", "POLLHUP"))]
pub enum OnHangup {
    /// The end of the stream: after the last writer has hung up, nothing more is read.
    #[default]
    EndOfStream,
    /// A pause: the end waits for the next writer, without using the processor.
    ///
    /// Each time the last writer hangs up, one read returns `Ok(0)`, and the next one waits. A
    /// [`TypedReceiver`](crate::TypedReceiver) waits by itself. It reports a truncated message, and the next writer
    /// begins a new one. That holds for writers one after the other: if the next writer connects before this end has
    /// seen the last one hang up, its bytes follow the truncated message at once. The default wire then takes them for
    /// the rest of that message; a [`Checked`](crate::wire::Checked) one detects that, and the receiver begins anew
    /// once these writers have hung up; a [`MultiWriter`](crate::wire::MultiWriter) one keeps the writers apart.
    ///
    /// A client's end reopens the pipe at its path: if a new owner has taken over the name, that is the pipe of the new
    /// owner.
    NextWriter,
}

/// The marker of an end made from a handle, in place of a pipe.
///
/// Such an end can be closed, but not reopened.
///
/// ```
/// # #[cfg(unix)] {
/// use std::os::fd::OwnedFd;
/// use std::process::{Command, Stdio};
/// use typed_pipe::state::Open;
/// use typed_pipe::{ReadEnd, Unnamed};
///
/// let mut child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
/// if let Some(stdout) = child.stdout.take() {
///     let end = ReadEnd::<Open, Unnamed>::try_from(OwnedFd::from(stdout))?;
///     assert_eq!(end.into_text().recv()?, "hello");
/// }
/// child.wait()?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
#[doc(alias("stdin", "stdout", "anonymous pipe"))]
pub struct Unnamed;

/// The type-erased owner of an end: see [`End::erase`].
///
/// The end still holds its pipe: an owner's pipe is removed when the end is dropped.
pub struct Erased(Box<dyn half::PipeRef + Send + Sync>);

impl fmt::Debug for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Erased").field(&self.0.path()).finish()
    }
}

/// The owner of an end: a [`Pipe`](crate::Pipe) or a borrow of it, a [`PipePath`], or a marker.
///
/// The markers are [`ConnectionHalf`](crate::ConnectionHalf), [`Unnamed`] and [`Erased`]. This trait is sealed.
///
/// ```
/// use typed_pipe::state::{Open, Read};
/// use typed_pipe::{Connection, End, Error, Pipe, PipeRef, WriteEnd};
///
/// /// Counts the bytes up to the end of the stream, whatever the end belongs to.
/// fn count<P: PipeRef>(mut end: End<Read, Open, P>) -> Result<usize, Error> {
///     let mut count = 0;
///     loop {
///         match end.read(&mut [0; 64])? {
///             0 => return Ok(count),
///             bytes => count += bytes,
///         }
///     }
/// }
///
/// let pipe = Pipe::temporary()?;
/// let client = WriteEnd::at(pipe.path())?;
/// let owner = pipe.into_reader().open()?;
/// client.open()?.write(b"hello")?;
/// assert_eq!(count(owner)?, 5);
///
/// let (one, mut other) = Connection::pair()?;
/// other.writer().write(b"news")?;
/// drop(other);
/// let (half, _) = one.split();
/// assert_eq!(count(half)?, 4);
/// # Ok::<(), Error>(())
/// ```
pub trait PipeRef: half::PipeRef {}

impl<P: half::PipeRef + ?Sized> PipeRef for P {}

/// The pipe, or its path, of an end that can be opened.
///
/// This trait is sealed, and hidden in the docs.
pub trait Reopen: PipeRef + half::Reopen {}

impl<P: PipeRef + half::Reopen> Reopen for P {}

impl<D: Direction> End<D, Closed> {
    /// Makes a client's end of the pipe at a path, which another process owns.
    ///
    /// It opens nothing yet. A client can open and close its end, but never make or remove the pipe.
    ///
    /// ```no_run
    /// use std::io::Write;
    /// use typed_pipe::WriteEnd;
    ///
    /// let mut end = WriteEnd::at("/run/app/log")?.open()?;
    /// end.write_all(b"started\n")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName): see [`PipePath`].
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// A symbolic link is followed if it was made by this user or root, in a folder in which no other user could replace it;
    /// any other one is [`NotTrusted`](crate::ErrorKind::NotTrusted), unless [any owner is
    /// trusted](Self::trust_any_owner). So `/dev/stdin` is a path of a pipe, and so is what a shell passes by
    /// process substitution, `prog <(sort names)`, such as `/dev/fd/63`. This end opens such a pipe once more: the descriptor that the shell
    /// passed stays open beside it, and one for writing keeps the reader waiting until this process ends.
    #[doc(alias("process substitution", "shell"))]
    pub fn at(path: impl AsRef<Path>) -> Result<Self, Error> {
        PipePath::new(path).map(Self::from)
    }
}

impl<D: Direction, M: Mode> End<D, Closed<M>> {
    /// Opens the pipe whichever user owns it.
    ///
    /// By default, only a pipe of this user or of the system's administrator is opened: in a folder that others can
    /// write to, a pipe of another user may be a trap. So may a symbolic link, and a pipe with a second name by a hard link:
    /// this allows them too.
    ///
    /// ```no_run
    /// use typed_pipe::{ErrorKind, WriteEnd};
    ///
    /// // The pipe of a service, which runs as a user of its own:
    /// let failed = WriteEnd::at("/run/printer/jobs")?.open().unwrap_err();
    /// assert_eq!(failed.kind(), ErrorKind::NotTrusted);
    /// let end = failed.into_state().trust_any_owner().open()?; // no other user can write to `/run/printer`
    /// # drop(end);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn trust_any_owner(mut self) -> Self {
        self.settings.any_owner = true;
        self
    }
}

impl<D: Direction> From<PipePath> for End<D, Closed> {
    fn from(path: PipePath) -> Self {
        Self::holding(path)
    }
}

impl<D: Direction, P: PipeRef> End<D, Closed, P> {
    /// A closed end.
    pub(crate) fn holding(held: P) -> Self {
        Self {
            state: Closed { mode: PhantomData },
            held,
            settings: Settings::default(),
            direction: PhantomData,
        }
    }
}

impl<D: Direction, S, P: PipeRef> End<D, S, P> {
    /// Lets a token cancel every wait of this end from now on: see [`CancelToken`]. It takes the place of an earlier one.
    ///
    /// Set before opening, it cancels that wait too.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, ErrorKind, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let token = CancelToken::new()?;
    /// let end = WriteEnd::at(name)?.cancelled_by(&token);
    /// let opening = thread::spawn(move || end.open()); // there is no such pipe
    /// token.cancel();
    /// let failed = opening.join().unwrap().unwrap_err();
    /// assert_eq!(failed.kind(), ErrorKind::Cancelled);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// One half of a connection may have a token of its own. If that is the reading half alone, the other one still says
    /// goodbye after the cancellation:
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{CancelToken, Connection, ErrorKind};
    ///
    /// let stop = CancelToken::new()?;
    /// let (daemon, client) = Connection::pair()?;
    /// let (requests, answers) = daemon.split();
    /// let mut requests = requests.cancelled_by(&stop).into_receiver::<String>();
    /// let mut answers = answers.into_sender::<str>();
    /// let client = thread::spawn(move || {
    ///     let mut heard = client.split().0.into_receiver::<String>();
    ///     (heard.recv(), heard.recv())
    /// });
    ///
    /// stop.cancel(); // at SIGTERM
    /// assert_eq!(requests.recv().unwrap_err().kind(), ErrorKind::Cancelled);
    /// answers.send("this was the last answer")?;
    /// answers.finish()?;
    ///
    /// let (last, end) = client.join().unwrap();
    /// assert_eq!(last?, "this was the last answer");
    /// assert_eq!(end.unwrap_err().kind(), ErrorKind::Finished); // and not `Disconnected`
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    #[doc(alias("select", "interrupt"))]
    pub fn cancelled_by(mut self, token: &CancelToken) -> Self {
        self.settings.token = Some(token.clone());
        self
    }
}

impl<D: Direction, M: Mode, P: PipeRef> End<D, Closed<M>, P> {
    pub(crate) fn into_held(self) -> P {
        self.held
    }
}

impl<M: Mode, P: PipeRef> End<Read, Closed<M>, P> {
    /// Sets how the hang-up of the last writer is treated: see [`OnHangup`].
    ///
    /// ```
    /// use typed_pipe::{OnHangup, Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut reader = pipe.into_reader().on_hangup(OnHangup::NextWriter).open()?;
    /// for word in ["one", "two"] {
    ///     WriteEnd::at(&path)?.open()?.write(word.as_bytes())?; // then the writer hangs up
    ///     assert_eq!(reader.read(&mut [0; 8])?, 3);
    ///     assert_eq!(reader.read(&mut [0; 8])?, 0); // reports the hang-up once; by default, every read does
    /// }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn on_hangup(mut self, policy: OnHangup) -> Self {
        self.settings.on_hangup = policy;
        self
    }
}

impl<D: Direction, M: Mode, P: Reopen> End<D, Closed<M>, P> {
    /// Opens the end, and waits as long as it takes.
    ///
    /// A writing end waits until the pipe exists and a process reads from it. A reading end waits until the pipe
    /// exists; it does not wait for a writer: its first read does. So it does not matter which process starts first. A
    /// name that leads to something else fails at once; a replaced pipe is noticed. [`try_open`](Self::try_open) does
    /// not wait; [`open_timeout`](Self::open_timeout) waits for a limited time.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let client = thread::spawn(move || WriteEnd::at(path)?.open()?.write(b"hello")); // waits for the reader
    ///
    /// let mut end = pipe.into_reader().open()?; // does not wait for a writer
    /// assert_eq!(end.read(&mut [0; 8])?, 5); // the read does
    /// # client.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, the future owns the end: dropping the future drops the end, and with it an owner's pipe.
    /// [`open_timeout`](Self::open_timeout) gives the end back.
    ///
    /// # Errors
    ///
    /// Each gives back the closed end.
    ///
    /// - [`InUse`](crate::ErrorKind::InUse): another end reads from the pipe. Two readers would take each other's
    ///   bytes.
    /// - [`NotAPipe`](crate::ErrorKind::NotAPipe): the name leads to something else, or to another pipe
    ///   than the owner's.
    /// - [`NotTrusted`](crate::ErrorKind::NotTrusted): the pipe belongs to another user.
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): this user may not open it.
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`cancelled_by`](Self::cancelled_by).
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): there are too many open files, or there is no memory for it.
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): no runtime of tokio runs here, in the mode `Tokio`.
    /// - [`Io`](crate::ErrorKind::Io): any other.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// The FIFO is opened without waiting (`O_NONBLOCK`), without following a symbolic link, and never
    /// created; the tries are 1 to 20 milliseconds apart.
    ///
    /// ## Windows
    ///
    /// The owner of the pipe is the server, which listens from the time the pipe is made. Its reading end reads from
    /// any number of clients, and opens without waiting; its writing end writes to one client, and waits for it.
    ///
    /// A client connects with `CreateFileW`, and the server cannot impersonate it (`SECURITY_IDENTIFICATION`). As
    /// soon as the pipe is made, eight clients can connect, whether the owner has opened its end or not; bytes that a
    /// client writes are kept for that end. The next client waits until the owner reads; the tries are 1 to 20
    /// milliseconds apart.
    pub fn open(
        self,
    ) -> M::Ret<impl Future<Output = Result<End<D, Open<M>, P>, TransitionError<Self>>>> {
        M::run(self.opening(WaitLimit::Done))
    }

    /// Opens the end without waiting.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let failed = WriteEnd::at(&name)?.try_open().unwrap_err();
    /// assert_eq!(failed.kind(), ErrorKind::NotFound); // at once
    ///
    /// let reader = Pipe::new(&name)?.mkfifo()?.into_reader().open()?;
    /// let end = failed.into_state().try_open()?;
    /// # drop((reader, end));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and:
    ///
    /// - [`NotFound`](crate::ErrorKind::NotFound): there is no pipe of this name.
    /// - [`WouldBlock`](crate::ErrorKind::WouldBlock): no reader has it open yet.
    pub fn try_open(self) -> Result<End<D, Open<M>, P>, TransitionError<Self>> {
        complete(self.opening(WaitLimit::Now))
    }

    /// Opens the end, and waits for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let end = WriteEnd::at(name)?;
    /// let failed = end.open_timeout(Duration::from_millis(10)).unwrap_err(); // there is no pipe
    /// assert_eq!(failed.kind(), ErrorKind::TimedOut);
    /// let end = failed.into_state(); // to try again
    /// # drop(end);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and [`TimedOut`](crate::ErrorKind::TimedOut).
    #[doc(alias("connect_timeout", "deadline"))]
    pub fn open_timeout(
        self,
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<End<D, Open<M>, P>, TransitionError<Self>>>> {
        M::run(self.opening(M::within(timeout)))
    }

    pub(crate) fn open_until(
        self,
        until: WaitLimit,
    ) -> M::Ret<impl Future<Output = Result<End<D, Open<M>, P>, TransitionError<Self>>>> {
        M::run(self.opening(until))
    }

    pub(crate) async fn opening(
        mut self,
        until: WaitLimit,
    ) -> Result<End<D, Open<M>, P>, TransitionError<Self>> {
        let (held, any_owner) = (&mut self.held, self.settings.any_owner);
        let token = self.settings.token.as_ref();
        let opened = M::attempt(until, token, |wait| held.open(D::WAY, any_owner, wait)).await;
        match opened.and_then(|raw| M::adopt(raw, D::WAY).map_err(|(_, error)| error)) {
            Ok(io) => Ok(self.with_state(Open { io })),
            Err(error) => Err(self.unchanged(D::OPENING, error)),
        }
    }
}

impl<D: Direction, M: Mode, P: PipeRef> End<D, Open<M>, P> {
    /// Closes the end.
    ///
    /// Closing cannot fail. Written bytes stay in the pipe for a reader that has it open.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut reader = pipe.into_reader().open()?;
    /// let mut writer = WriteEnd::at(path)?.open()?;
    /// writer.write(b"hello")?;
    /// let closed = writer.close();
    /// assert_eq!(reader.read(&mut [0; 8])?, 5); // it was in the pipe
    /// let writer = closed.open()?; // the same end once more
    /// # drop(writer);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn close(self) -> End<D, Closed<M>, P> {
        self.with_state(Closed { mode: PhantomData })
    }

    /// Erases the type of the owner: ends of an owner, of a client, of a connection and of a handle then share one
    /// type.
    ///
    /// The end holds its pipe as before, but does not give it back: it can be read or written, and dropping it closes
    /// it.
    ///
    /// ```
    /// use typed_pipe::state::Open;
    /// use typed_pipe::{Connection, Erased, Pipe, ReadEnd, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let (one, mut other) = Connection::pair()?;
    /// let mut sources: Vec<ReadEnd<Open, Erased>> =
    ///     vec![pipe.into_reader().open()?.erase(), one.split().0.erase()];
    ///
    /// WriteEnd::at(path)?.open()?.write(b"by a pipe")?;
    /// other.writer().write(b"by a connection")?;
    /// for source in &mut sources {
    ///     assert!(source.read(&mut [0; 64])? > 0);
    /// }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("dyn", "type erasure"))]
    pub fn erase(self) -> End<D, Open<M>, Erased>
    where
        P: Send + Sync + 'static,
    {
        let Self { state, held, settings, direction } = self;
        End { state, held: Erased(Box::new(held)), settings, direction }
    }

    /// The size of the pipe's buffer in bytes, as the system reports it.
    ///
    /// It may differ from the requested size, and many small writes fill it earlier.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe};
    ///
    /// let end = Pipe::temporary()?.into_reader().open()?;
    /// match end.buffer_size() {
    ///     Ok(bytes) => println!("writers wait when about {bytes} bytes are not read"),
    ///     Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    /// }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the system does not report it.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// Only Linux reports it.
    pub fn buffer_size(&self) -> Result<usize, Error> {
        self.raw().buffer_size().map_err(|error| self.failed(Operation::MeasureBuffer, error))
    }

    /// Requests another size of the pipe's buffer in bytes, and returns the actual one.
    ///
    /// As with [`PipeOptions::buffer_size`](crate::PipeOptions::buffer_size), the system rounds it, and may give less.
    ///
    /// ```
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (mut one, other) = Connection::pair()?;
    /// match one.writer().set_buffer_size(1 << 17) {
    ///     Ok(bytes) => println!("{bytes} bytes"),
    ///     Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    /// }
    /// # drop(other);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`buffer_size`](Self::buffer_size).
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// Of a one-way pipe, only Linux can set it. Of a connection, it is the size of this process's side for both directions.
    ///
    /// ## Windows
    ///
    /// The size stays: it is set when the pipe is made.
    #[doc(alias("SO_SNDBUF", "SO_RCVBUF", "F_SETPIPE_SZ", "bufsize", "pipe size"))]
    pub fn set_buffer_size(&self, bytes: usize) -> Result<usize, Error> {
        self.raw().ask_for_buffer(bytes);
        self.buffer_size()
    }

    /// The open handle.
    pub(crate) fn raw(&self) -> &Raw {
        M::raw(self.io())
    }

    pub(crate) fn raw_mut(&mut self) -> &mut Raw {
        M::raw_mut(self.io_mut())
    }

    /// Makes an open end from an open handle.
    pub(crate) fn opened(io: M::Io, held: P, token: Option<CancelToken>) -> Self {
        let settings = Settings { token, ..Settings::default() };
        Self { state: Open { io }, held, settings, direction: PhantomData }
    }

    pub(crate) fn cancel_by(&mut self, token: &CancelToken) {
        self.settings.token = Some(token.clone());
    }

    /// From now on nothing but its deadline ends a wait.
    #[cfg(feature = "service")]
    pub(crate) fn forget_token(&mut self) {
        self.settings.token = None;
        M::forget_token(&mut self.state.io);
    }

    pub(crate) fn io(&self) -> &M::Io {
        &self.state.io
    }

    pub(crate) fn io_mut(&mut self) -> &mut M::Io {
        &mut self.state.io
    }

    pub(crate) fn into_io(self) -> M::Io {
        self.state.io
    }

    /// Switches to the blocking mode.
    pub(crate) fn into_mode_blocking(self) -> End<D, Open, P> {
        let (io, rest) = self.into_parts();
        rest.with_state(Open { io: M::release(io) })
    }

    /// Splits the end into its open handle and the rest.
    pub(crate) fn into_parts(self) -> (M::Io, End<D, (), P>) {
        let Self { state, held, settings, direction } = self;
        (state.io, End { state: (), held, settings, direction })
    }
}

impl<D: Direction, P: PipeRef> End<D, Open, P> {
    /// Switches to another mode.
    pub(crate) fn into_mode<M: Mode>(self) -> Result<End<D, Open<M>, P>, TransitionError<Self>> {
        let (raw, rest) = self.into_parts();
        match M::adopt(raw, D::WAY) {
            Ok(io) => Ok(rest.with_state(Open { io })),
            Err((io, error)) => {
                Err(rest.with_state(Open { io }).unchanged(Operation::Register, error))
            }
        }
    }

    /// Runs an operation that may wait on the open handle.
    pub(crate) fn wait_with<T>(
        &mut self,
        until: WaitLimit,
        act: impl FnOnce(&mut Raw, Wait<'_>) -> T,
    ) -> T {
        act(&mut self.state.io, waiting(until, self.settings.token.as_ref()))
    }
}

impl<D: Direction> End<D, Open, Unnamed> {
    /// Makes an open end from a foreign handle.
    pub(crate) fn unnamed(io: Raw) -> Self {
        Self::opened(io, Unnamed, None)
    }
}

impl<D, S, P: PipeRef> End<D, S, P> {
    /// The path of the pipe; `None` for an end made from a handle.
    ///
    /// ```
    /// # #[cfg(unix)]
    /// use std::os::fd::OwnedFd;
    /// # #[cfg(windows)]
    /// # use std::os::windows::io::OwnedHandle as OwnedFd;
    /// use typed_pipe::state::Open;
    /// use typed_pipe::{Pipe, Unnamed, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?;
    /// let end = WriteEnd::at(&path)?.open()?;
    /// assert_eq!((reader.path(), end.path()), (Some(&path), Some(&path)));
    ///
    /// let end = WriteEnd::<Open, Unnamed>::try_from(OwnedFd::from(end))?;
    /// assert_eq!(end.path(), None);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn path(&self) -> Option<&PipePath> {
        self.held.path()
    }

    pub(crate) fn held(&self) -> &P {
        &self.held
    }

    pub(crate) fn token(&self) -> Option<&CancelToken> {
        self.settings.token.as_ref()
    }

    /// Whether it is the end of a pipe that was opened by its name.
    pub(crate) fn is_named(&self) -> bool {
        self.held.is_named()
    }

    pub(crate) fn shared_path(&self) -> Option<&Arc<Path>> {
        self.path().map(PipePath::shared)
    }

    pub(crate) fn with_state<N>(self, state: N) -> End<D, N, P> {
        End { state, held: self.held, settings: self.settings, direction: PhantomData }
    }

    /// The error of a failed transition, with the unchanged end in it.
    pub(crate) fn unchanged(self, operation: Operation, error: io::Error) -> TransitionError<Self> {
        let error = self.failed(operation, error);
        TransitionError::new(self, error)
    }

    pub(crate) fn failed(&self, operation: Operation, error: io::Error) -> Error {
        Error::new(operation, error).at(self.shared_path())
    }
}

// An end pins none of its fields, in either mode.
impl<D, S, P> Unpin for End<D, S, P> {}

impl<M: Mode, P: PipeRef> End<Read, Open<M>, P> {
    /// Reads some bytes, waiting until there are any; `Ok(0)` when the last writer has left.
    ///
    /// The first read waits for the first writer. See [`OnHangup`] for what follows when the last
    /// one has left.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut reader = pipe.into_reader().open()?;
    /// let mut buf = [0; 8];
    /// assert_eq!(reader.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    ///
    /// let mut writer = WriteEnd::at(path)?.open()?;
    /// writer.write(b"hello")?;
    /// drop(writer);
    /// assert_eq!(reader.read(&mut buf)?, 5);
    /// assert_eq!(reader.read(&mut buf)?, 0); // the end of the stream
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, a future that is dropped has read nothing.
    ///
    /// # Errors
    ///
    /// - [`Disconnected`](crate::ErrorKind::Disconnected): the peer of a connection has closed it and left bytes of
    ///   this side unread. Everything that the peer wrote is read first; whether the peer had more to write is unknown.
    /// - [`NotFound`](crate::ErrorKind::NotFound), [`NotAPipe`](crate::ErrorKind::NotAPipe): there is no writer, and
    ///   none can come, since the name was removed or moved away, or leads to something else. A client's end follows its
    ///   name to another pipe instead. Noticing that takes up to two seconds, on Linux; the other systems of Unix do not
    ///   tell. An owner may make the pipe again.
    /// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`End::cancelled_by`](crate::End::cancelled_by).
    /// - [`Io`](crate::ErrorKind::Io): any other.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// The system reports bytes left unread only where the server disconnects the pipe, which this crate never does.
    ///
    /// ## macOS, FreeBSD
    ///
    /// The system may not report them.
    pub fn read(&mut self, buf: &mut [u8]) -> M::Ret<impl Future<Output = Result<usize, Error>>> {
        self.reading(buf, WaitLimit::Done)
    }

    /// Reads the bytes that are there, without waiting.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut reader = pipe.into_reader().open()?;
    /// let mut writer = WriteEnd::at(path)?.open()?;
    /// let mut buf = [0; 8];
    /// let empty = reader.try_read(&mut buf).unwrap_err();
    /// assert_eq!(empty.kind(), ErrorKind::WouldBlock); // unlike `Ok(0)`, which is the end of the stream
    ///
    /// writer.write(b"hello")?;
    /// assert_eq!(reader.try_read(&mut buf)?, 5);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and [`WouldBlock`](crate::ErrorKind::WouldBlock): there are none, or no
    /// writer came yet.
    pub fn try_read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let read = complete_by(|cx| self.poll_read_until(cx, buf, WaitLimit::Now));
        read.map_err(|error| self.failed(Operation::Receive, error))
    }

    /// Reads some bytes, waiting for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut reader = pipe.into_reader().open()?;
    /// let mut writer = WriteEnd::at(path)?.open()?;
    /// writer.write(b"hello")?;
    /// assert_eq!(reader.read_timeout(&mut [0; 8], Duration::from_secs(1))?, 5);
    ///
    /// let late = reader.read_timeout(&mut [0; 8], Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(late.kind(), ErrorKind::TimedOut); // the writer is still there
    /// # drop(writer);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn read_timeout(
        &mut self,
        buf: &mut [u8],
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<usize, Error>>> {
        self.reading(buf, M::within(timeout))
    }

    fn reading<'a, 'b>(
        &'a mut self,
        buf: &'b mut [u8],
        until: WaitLimit,
    ) -> M::Ret<impl Future<Output = Result<usize, Error>> + use<'a, 'b, M, P>> {
        type State<'a, 'b, M, P> = (&'a mut End<Read, Open<M>, P>, &'b mut [u8], usize);
        let poll = |state: &mut State<'a, 'b, M, P>, cx: &mut Context<'_>, until: WaitLimit| {
            let (end, buf, bytes) = state;
            let read = ready!(end.poll_read_until(cx, buf, until));
            *bytes = read.map_err(|error| end.failed(Operation::Receive, error))?;
            Poll::Ready(Ok(()))
        };
        let done =
            |(_, _, bytes): State<'a, 'b, M, P>, read: Result<(), Error>| read.map(|()| bytes);
        M::wait(Ok(()), until, (self, buf, 0), poll, done)
    }

    /// Reads what is here, whether a token is cancelled or not: so a few bytes, between reads that heed it.
    pub(crate) fn read_here(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (io, pace) = (&mut self.state.io, &mut self.settings.pace);
        complete_by(|cx| M::poll_read(io, cx, buf, WaitLimit::Now, None, pace))
    }

    #[inline]
    pub(crate) fn poll_read_until(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        let room = !buf.is_empty();
        let Settings { token, pace, .. } = &mut self.settings;
        let read = ready!(M::poll_read(&mut self.state.io, cx, buf, until, token.as_ref(), pace));
        if room && !matches!(read, Ok(1..)) && is_end(&read) && self.next_writer() {
            M::renew(&mut self.state.io)?;
        }
        Poll::Ready(read)
    }

    /// Waits until a whole message lies in shared memory.
    #[cfg(feature = "shared-memory")]
    pub(crate) fn poll_frame_until(
        &mut self,
        cx: &mut Context<'_>,
        measure: &crate::sys::Measure<'_>,
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        let Settings { token, pace, .. } = &mut self.settings;
        M::poll_frame(&mut self.state.io, cx, measure, until, token.as_ref(), pace)
    }

    pub(crate) fn next_writer(&self) -> bool {
        self.settings.on_hangup == OnHangup::NextWriter
    }
}

impl<M: Mode, P: PipeRef> End<Read, Open<M>, P> {
    pub(crate) async fn wait_for_writer_until(&mut self, until: WaitLimit) -> Result<(), Error> {
        let (raw, token) = (M::raw_mut(&mut self.state.io), self.settings.token.as_ref());
        let waited = M::attempt(until, token, |wait| raw.wait_for_writer(wait)).await;
        waited.map_err(|error| self.failed(Operation::AwaitWriter, error))
    }
}

impl<P: PipeRef> End<Read, Open, P> {
    /// Lets each read that has to wait poll for bytes for up to `time` before it sleeps.
    ///
    /// Waking a sleeping thread takes longer than the rest of a short round trip; a thread that polls finds the bytes
    /// at once. Polling costs a whole processor for up to this time in a read that has to wait: one system call after
    /// the other finds nothing. It pays where answers come within microseconds and a processor is free for each side.
    /// Where it has brought nothing four times in a row, reads sleep at once, and only one in 32 tries again. Start with 50
    /// microseconds. Off unless this is called.
    ///
    /// Without it, an end may pause for two microseconds before a read, where that lets more small messages gather for
    /// it: see [what each choice costs](crate::costs). An end that polls never pauses.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?.busy_poll(Duration::from_micros(50));
    /// let mut receiver = reader.into_receiver::<u32>();
    /// TypedSender::<u32>::connect(path)?.send(&7)?;
    /// assert_eq!(receiver.recv()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    #[doc(alias("spin"))]
    pub fn busy_poll(mut self, time: Duration) -> Self {
        self.settings.pace = Pace::Spinning(Spinning::new(time));
        self
    }
}

impl<M: Mode, P: PipeRef> End<Write, Open<M>, P> {
    /// Writes some bytes, waiting until there is room; returns how many.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?;
    /// let mut writer = WriteEnd::at(path)?.open()?;
    /// let written = writer.write(b"hello")?; // of more, maybe a part: `write_all` of `std::io::Write` goes on
    /// assert_eq!(written, 5);
    /// drop(reader);
    /// assert_eq!(writer.write(b"news").unwrap_err().kind(), ErrorKind::Disconnected);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, a future that is dropped has written nothing.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::ErrorKind::Disconnected): no reader is left.
    /// [`Cancelled`](crate::ErrorKind::Cancelled), or [`Io`](crate::ErrorKind::Io).
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// The bytes of a future that was dropped may still be written, whole or not at all, until the next write. One
    /// with the same bytes goes on with them, and writes them once.
    pub fn write(&mut self, bytes: &[u8]) -> M::Ret<impl Future<Output = Result<usize, Error>>> {
        self.writing(bytes, WaitLimit::Done)
    }

    /// Writes as many bytes as there is room for, without waiting; returns how many.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?; // which does not read
    /// let mut writer = WriteEnd::at(path)?.open()?;
    /// let full = loop {
    ///     if let Err(error) = writer.try_write(&[7; 1000]) {
    ///         break error;
    ///     }
    /// };
    /// assert_eq!(full.kind(), ErrorKind::WouldBlock);
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write), and [`WouldBlock`](crate::ErrorKind::WouldBlock): there is no room.
    pub fn try_write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let written = complete_by(|cx| self.poll_write_until(cx, bytes, WaitLimit::Now));
        written.map_err(|error| self.failed(Operation::Send, error))
    }

    /// Writes some bytes, waiting for at most `timeout`; returns how many.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let reader = pipe.into_reader().open()?; // which does not read
    /// let mut writer = WriteEnd::at(path)?.open()?;
    /// let mut written = 0;
    /// let late = loop {
    ///     match writer.write_timeout(&[7; 1000], Duration::from_millis(10)) {
    ///         Ok(bytes) => written += bytes,
    ///         Err(error) => break error,
    ///     }
    /// };
    /// assert_eq!(late.kind(), ErrorKind::TimedOut); // the pipe is full, and keeps what was written
    /// assert!(written > 0);
    /// # drop(reader);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write), and [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn write_timeout(
        &mut self,
        bytes: &[u8],
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<usize, Error>>> {
        self.writing(bytes, M::within(timeout))
    }

    fn writing<'a, 'b>(
        &'a mut self,
        bytes: &'b [u8],
        until: WaitLimit,
    ) -> M::Ret<impl Future<Output = Result<usize, Error>> + use<'a, 'b, M, P>> {
        type State<'a, M, P> = (&'a mut End<Write, Open<M>, P>, usize);
        let poll = move |state: &mut State<'a, M, P>, cx: &mut Context<'_>, until: WaitLimit| {
            let (end, count) = state;
            let written = ready!(end.poll_write_until(cx, bytes, until));
            *count = written.map_err(|error| end.failed(Operation::Send, error))?;
            Poll::Ready(Ok(()))
        };
        let done =
            |(_, count): State<'a, M, P>, written: Result<(), Error>| written.map(|()| count);
        M::wait(Ok(()), until, (self, 0), poll, done)
    }

    #[inline]
    pub(crate) fn poll_write_until(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        M::poll_write(&mut self.state.io, cx, bytes, until, self.settings.token.as_ref())
    }

    /// Writes what there is room for, whether a token is cancelled or not.
    #[cfg(feature = "service")]
    pub(crate) fn write_here(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let io = &mut self.state.io;
        complete_by(|cx| M::poll_write(io, cx, bytes, WaitLimit::Now, None))
    }

    /// Writes some bytes; with no room, drains up to `limit` incoming bytes for later reads.
    pub(crate) fn poll_write_or_take_in<Q: PipeRef>(
        &mut self,
        incoming: &mut End<Read, Open<M>, Q>,
        limit: usize,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        let (io, token) = (&mut self.state.io, self.settings.token.as_ref());
        M::poll_write_or_take_in(io, incoming.io_mut(), limit, cx, bytes, until, token)
    }

    pub(crate) fn poll_finish_until(
        &mut self,
        cx: &mut Context<'_>,
        until: WaitLimit,
    ) -> Poll<io::Result<()>> {
        M::poll_finish(&mut self.state.io, cx, until, self.settings.token.as_ref())
    }

    pub(crate) async fn finish_in_place(&mut self, until: WaitLimit) -> Result<(), Error> {
        let finish = poll_fn(|cx| self.poll_finish_until(cx, until));
        let finished = woken_at::<M, _>(until, finish).await;
        finished.map_err(|error| self.failed(Operation::Finish, error))
    }

    /// Waits until the readers have drained the pipe; `Ok(false)` where the system cannot report that.
    pub(crate) async fn wait_until_taken(&self, until: WaitLimit) -> io::Result<bool> {
        let (raw, token) = (M::raw(&self.state.io), self.settings.token.as_ref());
        M::attempt(until, token, |wait| raw.wait_until_taken(wait)).await
    }
}

impl<P: PipeRef> source::half::ReadTimeout for End<Read, Open, P> {
    #[inline]
    fn poll_read_within(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        self.poll_read_until(cx, buf, until)
    }

    #[cfg(feature = "shared-memory")]
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        measure: &crate::sys::Measure<'_>,
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        self.poll_frame_until(cx, measure, until)
    }

    #[cfg(feature = "shared-memory")]
    fn raw_end(&mut self) -> &mut Raw {
        self.raw_mut()
    }
}

impl<P: PipeRef> source::half::WriteTimeout for End<Write, Open, P> {
    #[inline]
    fn poll_write_within(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        until: WaitLimit,
    ) -> Poll<io::Result<usize>> {
        self.poll_write_until(cx, bytes, until)
    }

    async fn taken(&mut self, until: WaitLimit) -> io::Result<bool> {
        self.wait_until_taken(until).await
    }

    fn poll_half_close(&mut self, cx: &mut Context<'_>, until: WaitLimit) -> Poll<io::Result<()>> {
        self.poll_finish_until(cx, until)
    }

    fn lend(&mut self, before: usize, len: usize, until: WaitLimit) -> bool {
        self.state.io.lend(before, len, waiting(until, self.settings.token.as_ref()))
    }

    fn lent(&self) -> &[u8] {
        self.state.io.lent()
    }

    fn lent_mut(&mut self) -> &mut [u8] {
        self.state.io.lent_mut()
    }

    fn give(&mut self, until: WaitLimit) -> io::Result<usize> {
        self.wait_with(until, |io, wait| io.give(wait))
    }
}

impl<P: PipeRef> io::Read for End<Read, Open, P> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        complete_by(|cx| self.poll_read_until(cx, buf, WaitLimit::Done))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let room = bufs.iter().any(|buf| !buf.is_empty());
        let (io, Settings { token, pace, .. }) = (&mut self.state.io, &mut self.settings);
        let read = pace
            .read(WaitLimit::Done, |until| io.read_vectored(bufs, waiting(until, token.as_ref())));
        if room && is_end(&read) && self.next_writer() {
            self.state.io.renew()?;
        }
        read
    }
}

impl<P: PipeRef> io::Write for End<Write, Open, P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        complete_by(|cx| self.poll_write_until(cx, bytes, WaitLimit::Done))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.wait_with(WaitLimit::Done, |io, wait| io.write_vectored(bufs, wait))
    }

    /// Does nothing: written bytes are in the pipe.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<D: Direction, M: Mode, P: PipeRef> fmt::Debug for End<D, Closed<M>, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "End<{}, Closed>({:?})", D::NAME, self.path())
    }
}

impl<D: Direction, M: Mode, P: PipeRef> fmt::Debug for End<D, Open<M>, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "End<{}, Open>({:?})", D::NAME, self.path())
    }
}

impl half::PipeRef for PipePath {
    fn path(&self) -> Option<&PipePath> {
        Some(self)
    }
}

impl half::Reopen for PipePath {
    fn open(&mut self, way: Way, any_owner: bool, wait: Wait<'_>) -> io::Result<Raw> {
        Raw::open(self.as_path(), way, any_owner, wait)
    }
}

impl half::PipeRef for Unnamed {
    fn path(&self) -> Option<&PipePath> {
        None
    }

    fn is_named(&self) -> bool {
        false
    }
}

impl half::PipeRef for Erased {
    fn path(&self) -> Option<&PipePath> {
        self.0.path()
    }

    fn is_named(&self) -> bool {
        self.0.is_named()
    }
}

/// Whether the writer has hung up, with or without an error.
fn is_end(read: &io::Result<usize>) -> bool {
    match read {
        Ok(bytes) => *bytes == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// The private halves of the traits: they seal them, and keep the internal methods inside the crate.
pub(crate) mod half {
    use std::io;

    use crate::path::PipePath;
    use crate::sys::{Raw, Wait, Way};

    pub trait PipeRef {
        fn path(&self) -> Option<&PipePath>;

        /// Whether it is a pipe that was opened by its name: what a program reads or writes there has been decided by
        /// this crate, unless a wire says otherwise.
        fn is_named(&self) -> bool {
            true
        }
    }

    pub trait Reopen {
        fn open(&mut self, way: Way, any_owner: bool, wait: Wait<'_>) -> io::Result<Raw>;
    }
}
