//! Pipes: made, opened, removed.

use std::fmt;
use std::io;
use std::path::Path;

use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any, const_assert};

use crate::end::{self, End};
use crate::error::{Error, Operation, TransitionError};
use crate::path::PipePath;
use crate::state::{Allocated, Closed, Deallocated, Direction, Lifecycle, Mode, Open, Read, Write};
use crate::sys::{Access, IfExists, Node, Raw, Settings, Wait, Way, temporary_folder};

/// A named pipe, in the hands of its owner.
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
/// pipe.into_reader(); // the pipe is gone
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
/// An allocated pipe has one owner on this machine: a lock beside it, which the kernel releases when the owner's
/// process ends, keeps other processes from making a pipe of the same name. Dropping an allocated pipe, or an end that
/// holds one, removes the name, unless it leads to something else by then. A forked child process removes nothing.
///
/// # One stream after the other
///
/// No part of the stream of one owner, reader or writer is read as part of the next one's:
///
/// - A new owner begins with a new pipe. Ends that have the old one open are
///   [`Disconnected`](crate::ErrorKind::Disconnected); see [`IfExists`], also for pipes that others made.
/// - An owner that closes its reading end ends the streams of the connected writers: when it opens one again, they are
///   `Disconnected`, and so is a program that waits in the system's own `open` by then. Only if the owner has read
///   nothing, or has read to the end, the bytes written since are still there. An end that stays open for the [next
///   writer](crate::OnHangup::NextWriter) disconnects no writer.
/// - Likewise, closing a writing end that has written ends its stream. The next one waits for a reader that opens the
///   pipe anew; a reader that waits for the next writer does so by itself.
/// - An owner that writes and loses its reader gets an error. The bytes that the reader had not read are gone, and the
///   rest of a half-sent message is not sent. The next reader begins with the next message.
/// - A reader that opens the pipe before the writer has noticed, and finds bytes that another reader left unread, fails
///   with [`Corrupt`](crate::ErrorKind::Corrupt): it has to open the pipe again.
/// - On Linux, a writing owner is `Disconnected` as well where the pipe had room for a part of its last write only, and
///   another reader of this crate has come since.
///
/// Two cases cannot be detected. The first: the previous reader has taken everything written, the writer is in the
/// middle of a message, and it writes nothing while there is no reader; elsewhere than on Linux, for readers of other
/// programs, and between two whole writes of one message. The next reader then begins with the rest of that message.
/// A [`Checked`](crate::wire::Checked) wire detects that, except by chance. The second: a writer that is a client, not
/// the owner. Close it when its reader has left in the middle of a message ([`is_half_sent`](Error::is_half_sent)): the
/// rest would go to the next reader.
///
/// ```
/// use std::io::{Read, Write};
/// use std::thread;
/// use typed_pipe::{Pipe, WriteEnd};
///
/// # let folder = tempfile::tempdir()?;
/// # let name = folder.path().join("words");
/// let pipe = Pipe::new(name)?.mkfifo()?;
/// let path = pipe.path().clone(); // all that a client needs
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
/// The pipe is `\\.\pipe\…`, for this machine alone, and for this user unless [`Access`] says otherwise. There is no
/// lock: the name dies with the last handle of either side, and is in use until then. An owner that reads gets each write of its
/// clients whole, up to 1 MiB, however many write at once. Closing an end keeps the bytes that the peer has not read
/// yet. Each client has a connection of its own, which ends with either side: no client finds the bytes of another.
#[doc(alias("fifo", "named pipe", "ipc", "cleanup"))]
pub struct Pipe<S: Lifecycle> {
    state: S,
    path: PipePath,
    options: PipeOptions,
}

impl Pipe<Deallocated> {
    /// Names a pipe, without making it yet.
    ///
    /// [`PipeOptions`] sets other options than the default ones.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe, PipePath};
    ///
    /// let jobs = Pipe::new("/run/app/jobs")?; // no file is touched yet
    /// let here = Pipe::new("jobs")?; // `./jobs`, as an absolute path
    /// let private = Pipe::new(PipePath::private("jobs")?)?; // in a private folder of this user
    /// assert_ne!(here.path(), private.path());
    /// # assert_ne!(jobs.path(), private.path());
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
    /// Keep the pipe as long as it is used: dropping it removes the name.
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
    /// Each gives back the deallocated pipe.
    ///
    /// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists): there is a pipe of this name that no owner left
    ///   behind; see [`IfExists`].
    /// - [`InUse`](crate::ErrorKind::InUse): another process, or another pipe of this one, is its owner.
    /// - [`NotAPipe`](crate::ErrorKind::NotAPipe): there is something else of this name.
    /// - [`NotFound`](crate::ErrorKind::NotFound): there is no such folder.
    /// - [`NotTrusted`](crate::ErrorKind::NotTrusted): the folder lets any user put another pipe in its place, or the
    ///   pipe there, or the lock beside it, belongs to another user.
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): this user may not make it there.
    /// - [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): there are too many open files, or there is no memory for it.
    /// - [`Io`](crate::ErrorKind::Io): any other, such as a file system that has no pipes.
    #[doc(alias("CreateNamedPipe"))]
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
    /// Names a pipe and makes it, in one step: [`Pipe::new`] and then [`mkfifo`](Pipe::mkfifo).
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let mut jobs = Pipe::create(&name)?.receiver::<String>()?;
    /// TypedSender::<String>::connect(&name)?.send(&"tea".into())?; // in the other process
    /// assert_eq!(jobs.recv()?, "tea");
    /// drop(jobs); // which removes the name
    /// # assert!(cfg!(windows) || !name.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Pipe::new`] and [`mkfifo`](Pipe::mkfifo).
    pub fn create(path: impl AsRef<Path>) -> Result<Self, Error> {
        Pipe::new(path)?.mkfifo().map_err(Error::from)
    }

    /// Makes a pipe with an unguessable name.
    ///
    /// It is for a program that passes the name to a child as an argument, also to a child such as sort or ffmpeg that
    /// takes it for the name of a file: [`End::open_with`] and [`End::wait_for_peer`] wait for that. If this process is
    /// killed, the name stays behind, where no process looks for it.
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
    /// Those of [`mkfifo`](Pipe::mkfifo) that can occur.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Unix
    ///
    /// The pipe lies in a folder of its own, with mode 0700, in the one for temporary files. The folder
    /// goes with the pipe: after [`unlink`](Pipe::unlink) it cannot be made again. A process that is killed leaves it;
    /// the next temporary pipe or listener of the same user removes it, unless a process still holds the lock inside.
    #[doc(alias("tempfile"))]
    pub fn temporary() -> Result<Self, Error> {
        PipeOptions::new().temporary()
    }

    /// Turns the pipe into its reading end. The end holds the pipe; [`into_pipe`](End::into_pipe) gives it back.
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

    /// Turns the pipe into its writing end. The end holds the pipe; [`into_pipe`](End::into_pipe) gives it back.
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

    /// Borrows the pipe for a reading end.
    ///
    /// An error of its opening contains the end, and so borrows the pipe too: where `?` cannot return it from the
    /// function, use [`open_reader`](Self::open_reader).
    ///
    /// ```
    /// use typed_pipe::{OnHangup, Pipe, TypedSender};
    ///
    /// let mut pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let end = pipe.reader().on_hangup(OnHangup::NextWriter).open()?; // unlike `open_reader`
    /// let mut receiver = end.into_receiver::<u32>();
    /// for number in [1, 2] {
    ///     TypedSender::<u32>::connect(&path)?.send(&number)?; // then the sender hangs up
    ///     assert_eq!(receiver.recv()?, number);
    /// }
    /// drop(receiver); // until here the pipe is borrowed
    /// pipe.unlink()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn reader(&mut self) -> End<Read, Closed, &mut Self> {
        End::holding(self)
    }

    /// Borrows the pipe for a writing end; see [`reader`](Self::reader) for its errors.
    ///
    /// ```
    /// use typed_pipe::{ErrorKind, Pipe};
    ///
    /// let mut pipe = Pipe::temporary()?;
    /// let failed = pipe.writer().try_open().unwrap_err(); // no reader has it open
    /// assert_eq!(failed.kind(), ErrorKind::WouldBlock);
    /// drop(failed); // which has the end in it, and so borrows the pipe
    /// pipe.unlink()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn writer(&mut self) -> End<Write, Closed, &mut Self> {
        End::holding(self)
    }

    /// Opens a reading end that borrows the pipe.
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

    /// Opens a writing end that borrows the pipe, and waits for a reader.
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
    /// A name that is gone, or leads to another pipe by now, is left alone, without an error.
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
    /// Each gives back the allocated pipe.
    ///
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): this user may no longer write to the folder.
    /// - [`Io`](crate::ErrorKind::Io): any other.
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// No further client can connect. The name itself dies with the last handle of either side.
    #[doc(alias("remove", "delete"))]
    pub fn unlink(mut self) -> Result<Pipe<Deallocated>, TransitionError<Self>> {
        match self.state.node.remove() {
            Ok(()) => Ok(self.with_state(Deallocated { _private: () })),
            Err(error) => {
                let error = Error::new(Operation::Deallocate, error).at(Some(self.path.shared()));
                Err(TransitionError::new(self, error))
            }
        }
    }

    /// Gives up ownership of the pipe, and leaves its name in place.
    ///
    /// ```
    /// use typed_pipe::{IfExists, Pipe, PipeOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let path = Pipe::new(name)?.mkfifo()?.persist();
    /// // Later, a new owner allows for an existing name:
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

    /// Whether the name is gone, or leads to something else: no further client will connect.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use typed_pipe::Pipe;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let pipe = Pipe::new(&name)?.mkfifo()?;
    /// assert!(!pipe.is_unlinked());
    /// std::fs::remove_file(&name)?; // as any process can that may write to the folder
    /// assert!(pipe.is_unlinked());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_unlinked(&self) -> bool {
        self.state.node.is_unlinked()
    }
}

impl<S: Lifecycle> Pipe<S> {
    /// The path of the pipe, with which a client opens its end.
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
    /// let pipe = end.close().into_pipe(); // an open end is closed first
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
    /// let end = pipe.open_reader()?; // borrows the pipe, so ask the end
    /// std::fs::remove_file(&name)?;
    /// assert!(end.is_unlinked());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_unlinked(&self) -> bool {
        self.held().is_unlinked()
    }
}

impl end::half::PipeRef for Pipe<Allocated> {
    fn path(&self) -> Option<&PipePath> {
        Some(&self.path)
    }
}

impl end::half::Reopen for Pipe<Allocated> {
    fn open(&mut self, way: Way, _: bool, wait: Wait<'_>) -> io::Result<Raw> {
        self.state.node.open(way, wait)
    }
}

impl end::half::PipeRef for &mut Pipe<Allocated> {
    fn path(&self) -> Option<&PipePath> {
        Some(&self.path)
    }
}

impl end::half::Reopen for &mut Pipe<Allocated> {
    fn open(&mut self, way: Way, _: bool, wait: Wait<'_>) -> io::Result<Raw> {
        self.state.node.open(way, wait)
    }
}

/// Options for making a pipe.
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
    /// The default options: mode 0600, only a private folder, and the name of an owner that died is taken over.
    ///
    /// ```
    /// use typed_pipe::{Pipe, PipeOptions};
    ///
    /// let options = PipeOptions::new();
    /// let shared = options.clone().mode(0o660); // another set of them
    /// assert_eq!(options.at("jobs")?.path(), Pipe::new("jobs")?.path()); // the default ones, as with `Pipe::new`
    /// # drop(shared);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets which users may open the pipe; the user of this process alone unless set.
    ///
    /// ```
    /// use typed_pipe::{Access, ErrorKind, PipeOptions};
    ///
    /// let open = PipeOptions::new().access(Access::LocalUsers).temporary()?; // in a folder of this user, though
    /// let elsewhere = if cfg!(windows) { Access::Group(100) } else { Access::Sddl("D:".into()) };
    /// let error = PipeOptions::new().access(elsewhere).temporary().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Unsupported);
    /// # drop(open);
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

    /// Sets the permission bits of the name, whatever the umask of the process, in place of those of
    /// [`access`](Self::access): 0600 unless either is set.
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
    /// Ignored: see [`access`](Self::access).
    #[must_use]
    #[doc(alias("chmod", "umask"))]
    pub fn mode(mut self, mode: u32) -> Self {
        self.settings.mode = Some(mode & 0o777);
        self
    }

    /// Sets what happens if the name exists.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use typed_pipe::{ErrorKind, IfExists, Pipe, PipeOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let name = folder.path().join("jobs");
    /// let path = Pipe::new(name)?.mkfifo()?.persist(); // the name exists, without an owner
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

    /// Requests a buffer size in bytes, for each end that this owner opens.
    ///
    /// The system rounds it, may give less, and forgets it when all ends are closed:
    /// [`End::buffer_size`] reads the actual size.
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
    /// Only Linux can set it.
    #[must_use]
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        self.settings.buffer_size = Some(bytes);
        self
    }

    /// Allows a folder in which any user could replace the pipe.
    ///
    /// By default, a world-writable folder without the sticky bit is refused.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::fs::{self, Permissions};
    /// use std::os::unix::fs::PermissionsExt;
    /// use typed_pipe::{ErrorKind, Pipe, PipeOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// fs::set_permissions(folder, Permissions::from_mode(0o777))?; // world-writable
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
    /// Ignored: pipes lie in no folder.
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

    /// Names a pipe with these options, without making it yet.
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

    /// Makes a pipe with these options and an unguessable name, as [`Pipe::temporary`].
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
    /// Those of [`Pipe::mkfifo`] that can occur.
    pub fn temporary(&self) -> Result<Pipe<Allocated>, Error> {
        match Node::temporary(&self.settings) {
            Ok((path, node)) => Ok(Pipe {
                state: Allocated { node: Box::new(node) },
                path: PipePath::given(&path),
                options: self.clone(),
            }),
            Err(error) => {
                Err(Error::new(Operation::Allocate, error).at(temporary_folder().as_ref()))
            }
        }
    }
}

// The states of pipes and ends exist at compile time alone: they take no room beside their data.
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
