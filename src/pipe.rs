//! Pipes: made, opened, removed.

use std::fmt;
use std::io;
use std::path::Path;

use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any, const_assert};

use crate::end::{self, End, PipeRef, Reopen};
use crate::error::{Error, Operation, TransitionError};
use crate::path::PipePath;
use crate::state::{Allocated, Closed, Deallocated, Direction, Lifecycle, Mode, Open, Read, Write};
use crate::sys::{IfExists, Node, Raw, Settings, Wait, Way};

/// A named pipe, as its owner has it.
///
/// The state `S` is [`Deallocated`] or [`Allocated`].
///
#[cfg_attr(doc, doc = include_str!("../docs/states.svg"))]
///
/// | from | call | to |
/// |---|---|---|
/// | `Pipe<Deallocated>` | `mkfifo()` | `Pipe<Allocated>` |
/// | `Pipe<Allocated>` | `unlink()` | `Pipe<Deallocated>` |
/// | `Pipe<Allocated>` | `into_reader()`, `into_writer()` | `End<D, Closed, Pipe<Allocated>>` |
/// | `End<D, Closed, Pipe<Allocated>>` | `into_pipe()` | `Pipe<Allocated>` |
/// | `End<D, Closed, Pipe<Allocated>>` | `open()` | `End<D, Open, Pipe<Allocated>>` |
/// | `End<D, Open, Pipe<Allocated>>` | `close()` | `End<D, Closed, Pipe<Allocated>>` |
/// | `End<D, Open, Pipe<Allocated>>` | `into_receiver()`, `into_sender()` | a channel |
/// | a path | `ReadEnd::at()`, `WriteEnd::at()` | `End<D, Closed>` |
/// | `End<D, Closed>` | `open()` | `End<D, Open>` |
/// | `End<D, Open>` | `close()` | `End<D, Closed>` |
/// | `End<D, Open>` | `into_receiver()`, `into_sender()` | a channel |
///
/// A step that is not in this table does not compile:
///
/// ```compile_fail,E0599
/// let pipe = typed_pipe::Pipe::new("/run/app/jobs")?;
/// pipe.into_reader(); // there is no pipe yet
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0599
/// let pipe = typed_pipe::Pipe::new("/run/app/jobs")?.mkfifo()?;
/// pipe.mkfifo()?; // there is one already
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0382
/// let pipe = typed_pipe::Pipe::new("/run/app/jobs")?.mkfifo()?;
/// pipe.unlink()?;
/// pipe.into_reader(); // it is gone
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0505
/// let mut pipe = typed_pipe::Pipe::new("/run/app/jobs")?.mkfifo()?;
/// let end = pipe.open_reader()?;
/// pipe.unlink()?; // while its end is open
/// drop(end);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0499
/// let mut pipe = typed_pipe::Pipe::new("/run/app/jobs")?.mkfifo()?;
/// let first = pipe.open_reader()?;
/// let second = pipe.open_reader()?; // two readers would steal from each other
/// drop(first);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Ownership
///
/// An allocated pipe has one owner on this machine: a lock beside it, which the kernel lets go of when
/// the owner's process ends, keeps others from making a pipe of the same name. Dropping an allocated
/// pipe, or an end that holds one, removes the name, unless it leads to something else by then.
/// A child process that was forked off removes nothing.
///
/// # One stream after the other
///
/// Nothing of what one owner, reader or writer was at is read as part of what the next one is at:
///
/// - A new owner begins with a new pipe. Who has the old one open is
///   [`Disconnected`](crate::ErrorKind::Disconnected); see [`IfExists`], also for pipes that others made.
/// - An owner that closes its reading end has ended the streams of the writers that are there: when it opens one
///   again, they are `Disconnected`, and so is a program that waits in the system's own `open` by then. Only if it
///   has read nothing, or has read to the end, what has come since is still there. One end that waits for the
///   [next writer](crate::OnHangup::NextWriter) loses nobody.
/// - Likewise a writing end that has written and is closed has ended its stream. The next one waits for a reader that
///   comes anew; one that waits for the next writer does so by itself.
/// - An owner that writes and loses its reader is told so. What that had not read is gone, and the rest of a
///   message that was half sent is not sent. The next reader begins with the next message.
/// - A reader that comes before the writer has noticed, and finds what another one has left unread, fails to read
///   with [`Corrupt`](crate::ErrorKind::Corrupt): it has to come again.
///
/// What cannot be known: where the reader before has taken all that was written, and the writer is in the middle of
/// a message, but does not write while nobody reads, the next reader begins with the rest of that. A
/// [`Checked`](crate::wire::Checked) wire finds that out, except by chance. And a writer that is a client, not the
/// owner, is to be closed when its reader has left in a message ([`is_half_sent`](Error::is_half_sent)): what it
/// still sends goes to the next one.
///
/// ```
/// use std::io::{Read, Write};
/// use std::thread;
/// use typed_pipe::{Pipe, WriteEnd};
///
/// # let folder = tempfile::tempdir()?;
/// # let name = folder.path().join("words");
/// let pipe = Pipe::new(name)?.mkfifo()?;
/// let path = pipe.path().clone(); // all that a client must know
/// let client = thread::spawn(move || WriteEnd::at(path)?.open()?.write_all(b"hello"));
///
/// let mut end = pipe.into_reader().open()?;
/// let mut words = String::new();
/// end.read_to_string(&mut words)?;
/// assert_eq!(words, "hello");
///
/// let pipe = end.close().into_pipe().unlink()?; // and mkfifo() would make it again
/// # client.join().unwrap()?;
/// # drop(pipe);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Platform-specific behavior
///
/// ## Unix
///
/// The pipe is a FIFO. The lock is a file with the ending `.lock`; it is gone when the pipe is.
///
/// ## Windows
///
/// The pipe is `\\.\pipe\…`, for this user and this machine alone. There is no lock: the name dies with the
/// last handle of either side, and is in use until then. An owner that reads gets each write of its
/// clients whole, up to 1 MiB, however many write at once. Closing an end keeps what the other side has
/// not read yet.
/// Each client has a connection of its own, which ends with either side: nobody finds what another one has left.
pub struct Pipe<S: Lifecycle> {
    state: S,
    path: PipePath,
    options: PipeOptions,
}

impl Pipe<Deallocated> {
    /// A pipe of this name, not made yet.
    ///
    /// Options other than the usual ones come with [`PipeOptions`].
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe};
    ///
    /// let jobs = Pipe::new("/run/app/jobs")?; // no file is touched yet
    /// let private = Pipe::new("jobs")?; // of a single part: in a private place of this user
    /// assert_ne!(jobs.path(), private.path());
    /// assert_eq!(Pipe::new("").unwrap_err().kind(), ErrorKind::InvalidName);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName): see [`PipePath`].
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Error> {
        PipeOptions::new().at(path)
    }

    /// Makes the pipe, and becomes its owner.
    ///
    /// The pipe is to be kept as long as it is used: dropping it removes the name.
    ///
    /// ```
    /// # #[cfg(unix)] { // Wine lets two owners have one name.
    /// use typed_pipe::Pipe;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let owner = Pipe::new(&name)?.mkfifo()?;
    /// let failed = Pipe::new(&name)?.mkfifo().unwrap_err();
    /// assert_eq!(failed.kind(), typed_pipe::ErrorKind::InUse);
    /// drop(owner);
    /// let owner = failed.into_state().mkfifo()?; // the name is free again
    /// # drop(owner);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// In each the pipe that is not allocated is given back.
    ///
    /// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists): there is a pipe of this name that no owner left
    ///   behind; see [`IfExists`].
    /// - [`InUse`](crate::ErrorKind::InUse): another process, or another pipe of this one, is its owner.
    /// - [`NotAPipe`](crate::ErrorKind::NotAPipe): there is something else of this name.
    /// - [`NotFound`](crate::ErrorKind::NotFound): there is no such folder.
    /// - [`NotTrusted`](crate::ErrorKind::NotTrusted): the folder lets anybody put another pipe in its place, or
    ///   the pipe there, or the lock beside it, belongs to somebody else.
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): this user may not make it there.
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): there are too many open files, or there is no memory for it.
    /// - [`Io`](crate::ErrorKind::Io): any other, such as a file system that has no pipes.
    pub fn mkfifo(self) -> Result<Pipe<Allocated>, TransitionError<Self>> {
        match Node::create(self.path.as_path(), &self.options.settings) {
            Ok(node) => Ok(self.with_state(Allocated { node: Box::new(node) })),
            Err(error) => {
                let error = Error::new(Operation::Allocate, error).at(Some(self.path.shared()));
                Err(TransitionError::new(self, error))
            }
        }
    }
}

impl Pipe<Allocated> {
    /// Makes a pipe with a name that nobody can guess.
    ///
    /// It is for a program whose child learns the name as an argument, and also for a child such as sort or ffmpeg,
    /// that takes it for the name of a file: [`End::open_with`] and [`End::wait_for_peer`] wait for that. Should this
    /// process be killed, its name stays behind, where nobody looks for it.
    ///
    /// ```
    /// use typed_pipe::Pipe;
    ///
    /// let pipe = Pipe::temporary()?;
    /// let mut command = std::process::Command::new("sha256sum");
    /// command.arg(pipe.path());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`mkfifo`](Pipe::mkfifo), where they can be.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// The pipe lies in a folder of its own, with mode 0700, in the one for temporary files. The folder
    /// goes with the pipe: after [`unlink`](Pipe::unlink) it cannot be made again.
    pub fn temporary() -> Result<Self, Error> {
        PipeOptions::new().temporary()
    }

    /// Makes the pipe an end to read from. The end holds the pipe; [`into_pipe`](End::into_pipe) gives it back.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let end = pipe.into_reader().open()?; // borrows nothing: a thread may have it, and the pipe with it
    /// let receiving = thread::spawn(move || end.into_receiver::<u32>().recv());
    ///
    /// TypedSender::<u32>::connect(path)?.send(&7)?;
    /// assert_eq!(receiving.join().unwrap()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_reader(self) -> End<Read, Closed, Self> {
        End::holding(self)
    }

    /// Makes the pipe an end to write to. The end holds the pipe; [`into_pipe`](End::into_pipe) gives it back.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Pipe, TypedReceiver};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let client = thread::spawn(move || TypedReceiver::<u32>::connect(path)?.recv());
    ///
    /// let end = pipe.into_writer().open()?; // waits for the client that reads
    /// end.into_sender::<u32>().send(&7)?;
    /// assert_eq!(client.join().unwrap()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_writer(self) -> End<Write, Closed, Self> {
        End::holding(self)
    }

    /// An end to read from that borrows the pipe.
    ///
    /// When it cannot be opened, the error has the end in it, and so borrows the pipe too: where `?` cannot take it
    /// out of the function, [`open_reader`](Self::open_reader) can.
    ///
    /// ```
    /// use typed_pipe::{OnHangup, Pipe, TypedSender};
    ///
    /// let mut pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let end = pipe.reader().on_hangup(OnHangup::NextWriter).open()?; // not as the usual one opens
    /// let mut receiver = end.into_receiver::<u32>();
    /// for number in [1, 2] {
    ///     TypedSender::<u32>::connect(&path)?.send(&number)?; // and the sender leaves
    ///     assert_eq!(receiver.recv()?, number);
    /// }
    /// drop(receiver); // until here the pipe is borrowed
    /// pipe.unlink()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn reader(&mut self) -> End<Read, Closed, &mut Self> {
        End::holding(self)
    }

    /// An end to write to that borrows the pipe; see [`reader`](Self::reader) for its errors.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe};
    ///
    /// let mut pipe = Pipe::temporary()?;
    /// let failed = pipe.writer().try_open().unwrap_err(); // nobody reads from it
    /// assert_eq!(failed.kind(), ErrorKind::WouldBlock);
    /// drop(failed); // which has the end in it, and so borrows the pipe
    /// pipe.unlink()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn writer(&mut self) -> End<Write, Closed, &mut Self> {
        End::holding(self)
    }

    /// Opens an end to read from that borrows the pipe.
    ///
    /// This is `reader().open()` with an error that does not borrow, and so may leave the function.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let mut pipe = Pipe::temporary()?;
    /// for number in [1, 2] {
    ///     let path = pipe.path().clone();
    ///     let sender = thread::spawn(move || TypedSender::<u32>::connect(path)?.send(&number));
    ///     let mut receiver = pipe.open_reader()?.into_receiver::<u32>();
    ///     assert_eq!(receiver.recv()?, number);
    ///     # sender.join().unwrap()?;
    /// } // The end is closed, and the pipe is still there.
    /// pipe.unlink()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::open`].
    pub fn open_reader(&mut self) -> Result<End<Read, Open, &mut Self>, Error> {
        self.reader().open().map_err(Error::from)
    }

    /// Opens an end to write to that borrows the pipe, and waits for a reader.
    ///
    /// This is `writer().open()` with an error that does not borrow, and so may leave the function.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Pipe, TypedReceiver};
    ///
    /// let mut pipe = Pipe::temporary()?;
    /// for number in [1, 2] {
    ///     let path = pipe.path().clone();
    ///     let reader = thread::spawn(move || TypedReceiver::<u32>::connect(path)?.recv());
    ///     pipe.open_writer()?.into_sender::<u32>().send(&number)?; // to one reader after the other
    ///     assert_eq!(reader.join().unwrap()?, number);
    /// }
    /// pipe.unlink()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::open`].
    pub fn open_writer(&mut self) -> Result<End<Write, Open, &mut Self>, Error> {
        self.writer().open().map_err(Error::from)
    }

    /// Removes the name. Ends that clients have open stay connected.
    ///
    /// A name that is gone, or leads to another pipe by now, is left alone: that is no error.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, WriteEnd};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let pipe = Pipe::new(name)?.mkfifo()?;
    /// let end = WriteEnd::at(pipe.path())?;
    /// let pipe = pipe.unlink()?;
    /// assert_eq!(end.try_open().unwrap_err().kind(), ErrorKind::NotFound);
    /// let pipe = pipe.mkfifo()?; // made again, under the same name
    /// # drop(pipe);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// In each the allocated pipe is given back.
    ///
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): this user may no longer write to the folder.
    /// - [`Io`](crate::ErrorKind::Io): any other.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// No further client can connect. The name itself dies with the last handle of either side.
    pub fn unlink(mut self) -> Result<Pipe<Deallocated>, TransitionError<Self>> {
        match self.state.node.remove() {
            Ok(()) => Ok(self.with_state(Deallocated { _private: () })),
            Err(error) => {
                let error = Error::new(Operation::Deallocate, error).at(Some(self.path.shared()));
                Err(TransitionError::new(self, error))
            }
        }
    }

    /// Gives up the pipe, and leaves its name where it is.
    ///
    /// ```
    /// use typed_pipe::{IfExists, Pipe, PipeOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let path = Pipe::new(name)?.mkfifo()?.persist();
    /// // Some other time, who wants to own it again says that it may be there:
    /// let pipe = PipeOptions::new().if_exists(IfExists::Reuse).at(path)?.mkfifo()?;
    /// # drop(pipe);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// The name cannot stay: it dies with the last handle of either side.
    pub fn persist(self) -> PipePath {
        self.state.node.persist();
        self.path
    }

    /// Whether the name is gone, or leads to something else: no further client will come this way.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use typed_pipe::Pipe;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let pipe = Pipe::new(&name)?.mkfifo()?;
    /// assert!(!pipe.is_unlinked());
    /// std::fs::remove_file(&name)?; // as anybody may who may write to the folder
    /// assert!(pipe.is_unlinked());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_unlinked(&self) -> bool {
        self.state.node.is_unlinked()
    }
}

impl<S: Lifecycle> Pipe<S> {
    /// The path of the pipe, from which a client makes its end.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone(); // for the client; the pipe itself goes into its end
    /// let reader = pipe.into_reader().open()?;
    /// let writer = WriteEnd::at(path)?.open()?;
    /// assert_eq!(writer.path(), reader.path());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn path(&self) -> &PipePath {
        &self.path
    }

    fn with_state<T: Lifecycle>(self, state: T) -> Pipe<T> {
        Pipe { state, path: self.path, options: self.options }
    }
}

impl<S: Lifecycle> fmt::Debug for Pipe<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipe<{}>({:?})", S::NAME, self.path)
    }
}

impl<D: Direction, M: Mode> End<D, Closed<M>, Pipe<Allocated>> {
    /// Gives the pipe back.
    ///
    /// ```
    /// use typed_pipe::Pipe;
    ///
    /// let end = Pipe::temporary()?.into_reader().open()?;
    /// let pipe = end.close().into_pipe(); // that of an open end is closed first
    /// let end = pipe.into_writer(); // the other direction
    /// end.into_pipe().unlink()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_pipe(self) -> Pipe<Allocated> {
        self.into_held()
    }
}

impl<D: Direction, S> End<D, S, Pipe<Allocated>> {
    /// Whether the name of the pipe is gone, or leads to something else, as [`Pipe::is_unlinked`].
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use typed_pipe::Pipe;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let end = Pipe::new(&name)?.mkfifo()?.into_reader().open()?;
    /// assert!(!end.is_unlinked());
    /// std::fs::remove_file(&name)?;
    /// assert!(end.is_unlinked()); // no further writer can come
    /// let pipe = end.close().into_pipe().unlink()?.mkfifo()?; // now they can
    /// # drop(pipe);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_unlinked(&self) -> bool {
        self.held().is_unlinked()
    }
}

impl<D: Direction, S> End<D, S, &mut Pipe<Allocated>> {
    /// Whether the name of the pipe is gone, or leads to something else, as [`Pipe::is_unlinked`].
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use typed_pipe::Pipe;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let mut pipe = Pipe::new(&name)?.mkfifo()?;
    /// let end = pipe.open_reader()?; // borrows the pipe, which cannot be asked itself meanwhile
    /// std::fs::remove_file(&name)?;
    /// assert!(end.is_unlinked());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_unlinked(&self) -> bool {
        self.held().is_unlinked()
    }
}

impl PipeRef for Pipe<Allocated> {}
impl end::half::PipeRef for Pipe<Allocated> {
    fn path(&self) -> Option<&PipePath> {
        Some(&self.path)
    }
}

impl Reopen for Pipe<Allocated> {}
impl end::half::Reopen for Pipe<Allocated> {
    fn open(&mut self, way: Way, _: bool, wait: Wait<'_>) -> io::Result<Raw> {
        self.state.node.open(way, wait)
    }
}

impl PipeRef for &mut Pipe<Allocated> {}
impl end::half::PipeRef for &mut Pipe<Allocated> {
    fn path(&self) -> Option<&PipePath> {
        Some(&self.path)
    }
}

impl Reopen for &mut Pipe<Allocated> {}
impl end::half::Reopen for &mut Pipe<Allocated> {
    fn open(&mut self, way: Way, _: bool, wait: Wait<'_>) -> io::Result<Raw> {
        self.state.node.open(way, wait)
    }
}

/// How a pipe is to be made.
///
/// ```
/// use typed_pipe::{IfExists, PipeOptions};
///
/// # let folder = tempfile::tempdir()?;
/// # let name = folder.path().join("jobs");
/// let pipe = PipeOptions::new()
///     .mode(0o660) // for this user's group too
///     .if_exists(IfExists::Reuse)
///     .buffer_size(1 << 20)
///     .at(name)?
///     .mkfifo()?;
/// # drop(pipe);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PipeOptions {
    settings: Settings,
}

impl PipeOptions {
    /// The usual options: mode 0600, a private folder, and the name of an owner that died is taken over.
    ///
    /// ```
    /// use typed_pipe::{Pipe, PipeOptions};
    ///
    /// let options = PipeOptions::new();
    /// let shared = options.clone().mode(0o660); // another set of them
    /// assert_eq!(options.at("jobs")?.path(), Pipe::new("jobs")?.path()); // the usual ones, as with `Pipe::new`
    /// # drop(shared);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the permission bits of the name, whatever the umask of the process; 0600 unless set.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::fs;
    /// use std::os::unix::fs::PermissionsExt;
    /// use typed_pipe::PipeOptions;
    ///
    /// let pipe = PipeOptions::new().mode(0o660).temporary()?; // for this user's group too
    /// assert_eq!(fs::metadata(pipe.path())?.permissions().mode() & 0o777, 0o660);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// Without a meaning: the pipe is for this user alone.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.settings.mode = mode & 0o777;
        self
    }

    /// Sets what to do where the name exists.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use typed_pipe::{ErrorKind, IfExists, Pipe, PipeOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let path = Pipe::new(name)?.mkfifo()?.persist(); // the name exists, and nobody owns it
    /// let failed = PipeOptions::new().at(&path)?.mkfifo().unwrap_err();
    /// assert_eq!(failed.kind(), ErrorKind::AlreadyExists);
    /// let pipe = PipeOptions::new().if_exists(IfExists::Reuse).at(&path)?.mkfifo()?;
    /// # drop(pipe);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn if_exists(mut self, policy: IfExists) -> Self {
        self.settings.if_exists = policy;
        self
    }

    /// Asks for a buffer of so many bytes, whenever an end of this owner is opened.
    ///
    /// The system rounds it, may give less, and forgets it when all ends are closed:
    /// [`End::buffer_size`] tells what it is.
    ///
    /// ```
    /// use typed_pipe::{Pipe, PipeOptions};
    ///
    /// let large = PipeOptions::new().buffer_size(1 << 20).temporary()?.into_reader().open()?;
    /// let usual = Pipe::temporary()?.into_reader().open()?;
    /// if let (Ok(large), Ok(usual)) = (large.buffer_size(), usual.buffer_size()) {
    ///     println!("{large} bytes in place of {usual}");
    ///     # assert!(large >= usual);
    /// }
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// Linux alone can set it.
    #[must_use]
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        self.settings.buffer_size = Some(bytes);
        self
    }

    /// Makes the pipe in a folder where anybody could replace it.
    ///
    /// Unless this is said, a folder that everybody may write to is refused, if it has no sticky bit.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::fs::{self, Permissions};
    /// use std::os::unix::fs::PermissionsExt;
    /// use typed_pipe::{ErrorKind, Pipe, PipeOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// fs::set_permissions(folder, Permissions::from_mode(0o777))?; // everybody may write to it
    /// let name = folder.join("jobs");
    /// assert_eq!(Pipe::new(&name)?.mkfifo().unwrap_err().kind(), ErrorKind::NotTrusted);
    /// let pipe = PipeOptions::new().trust_any_folder().at(&name)?.mkfifo()?;
    /// # drop(pipe);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// Without a meaning: pipes lie in no folder.
    #[must_use]
    pub fn trust_any_folder(mut self) -> Self {
        self.settings.any_folder = true;
        self
    }

    /// Lets the owner's writing ends, one after the other, write to the same readers.
    #[cfg(feature = "foreign")]
    pub(crate) fn in_one_stream(mut self) -> Self {
        self.settings.one_stream = true;
        self
    }

    /// A pipe of this name with these options, not made yet.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, PipeOptions};
    ///
    /// let options = PipeOptions::new().mode(0o660);
    /// let pipe = options.clone().at("/run/app/jobs")?; // to be made with `mkfifo`
    /// assert_eq!(options.at("").unwrap_err().kind(), ErrorKind::InvalidName);
    /// # drop(pipe);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName): see [`PipePath`].
    pub fn at(&self, path: impl AsRef<Path>) -> Result<Pipe<Deallocated>, Error> {
        let path = PipePath::new(path)?;
        Ok(Pipe { state: Deallocated { _private: () }, path, options: self.clone() })
    }

    /// Makes a pipe with these options and a name that nobody can guess, as [`Pipe::temporary`].
    ///
    /// ```
    /// use typed_pipe::PipeOptions;
    ///
    /// let options = PipeOptions::new().buffer_size(1 << 20);
    /// let (jobs, answers) = (options.clone().temporary()?, options.temporary()?); // both are made
    /// assert_ne!(jobs.path(), answers.path());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Pipe::mkfifo`], where they can be.
    pub fn temporary(&self) -> Result<Pipe<Allocated>, Error> {
        match Node::temporary(&self.settings) {
            Ok((path, node)) => Ok(Pipe {
                state: Allocated { node: Box::new(node) },
                path: PipePath::given(&path),
                options: self.clone(),
            }),
            Err(error) => Err(Error::new(Operation::Allocate, error)),
        }
    }
}

// The states of pipes and ends are known to the compiler alone: they take no room beside their data.
assert_eq_size!(Pipe<Deallocated>, (PipePath, PipeOptions));
assert_eq_size!(Pipe<Allocated>, (Box<Node>, PipePath, PipeOptions));
assert_eq_size!(End<Read, Closed>, End<Write, Closed>, (PipePath, End<Read, Closed, end::Unnamed>));
assert_eq_size!(End<Read, Closed, &mut Pipe<Allocated>>, (usize, End<Read, Closed, end::Unnamed>));
// Small enough to be returned with the state from before.
const_assert!(size_of::<TransitionError<Pipe<Allocated>>>() <= 128);
const_assert!(size_of::<Error>() == size_of::<usize>());

assert_impl_all!(Pipe<Allocated>: Send, Sync);
assert_impl_all!(End<Read, Open>: Send, Sync);
assert_impl_all!(End<Write, Open, Pipe<Allocated>>: Send, Sync);
assert_impl_all!(Error: Send, Sync, std::error::Error);
assert_not_impl_any!(End<Read, Open>: Clone);
assert_not_impl_any!(Pipe<Allocated>: Clone);
