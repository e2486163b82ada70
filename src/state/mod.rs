//! The states of a pipe, and the states and directions of its ends.
//!
//! These types stand in the parameters of [`Pipe`](crate::Pipe) and [`End`](crate::End). They appear in signatures,
//! such as that of a struct which keeps [a channel](crate::TypedReceiver#its-type), and in compiler messages. They have
//! no operations, and no other crate can make a state or another direction.
//!
//! ```compile_fail,E0451
//! let forged = typed_pipe::state::Deallocated { _private: () };
//! ```
//!
//! ```compile_fail,E0277
//! struct Sideways;
//! impl typed_pipe::state::Direction for Sideways {}
//! ```

mod mode;

use std::fmt;
use std::marker::PhantomData;

use static_assertions::assert_eq_size;

use crate::error::Operation;
use crate::sys::{Node, Raw, Way};

#[cfg(any(test, feature = "tokio"))]
pub(crate) use mode::Waiting;
#[cfg(all(feature = "service", feature = "tokio"))]
pub(crate) use mode::poll_again_at;
pub use mode::{Blocking, Mode};
pub(crate) use mode::{Done, Runtime, Waited, complete, complete_by, woken_at};

/// The state of a pipe: [`Allocated`] or [`Deallocated`].
///
/// This trait is sealed.
///
/// ```
/// use typed_pipe::Pipe;
/// use typed_pipe::state::Lifecycle;
///
/// /// A line for the log, of a pipe in either state.
/// fn line<S: Lifecycle>(pipe: &Pipe<S>) -> String {
///     format!("jobs come by {}", pipe.path())
/// }
///
/// let pipe = Pipe::temporary()?;
/// let before = line(&pipe);
/// let pipe = pipe.unlink()?;
/// assert_eq!(line(&pipe), before);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
pub trait Lifecycle: half::Lifecycle {}

#[diagnostic::do_not_recommend]
impl<T: half::Lifecycle> Lifecycle for T {}

/// The state of a pipe that has a name on this machine.
///
/// Dropping it removes the name, if it is still the pipe's own.
///
/// ```
/// use typed_pipe::state::Allocated;
/// use typed_pipe::{Error, Pipe};
///
/// struct Program {
///     jobs: Pipe<Allocated>, // its name lives as long as the program
/// }
///
/// fn start() -> Result<Program, Error> {
///     Ok(Program { jobs: Pipe::temporary()? })
/// }
///
/// println!("send jobs to {}", start()?.jobs.path());
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Allocated {
    pub(crate) node: Box<Node>,
}

/// The state of a pipe that has no name on this machine yet, or no longer.
///
/// ```
/// use typed_pipe::state::Deallocated;
/// use typed_pipe::{Error, Pipe, PipeOptions};
///
/// /// The pipe of the settings; the caller makes it, with `mkfifo`.
/// fn configured(name: &str, group: bool) -> Result<Pipe<Deallocated>, Error> {
///     PipeOptions::new().mode(if group { 0o660 } else { 0o600 }).at(name)
/// }
///
/// assert!(configured("jobs", true).is_ok());
/// ```
#[derive(Debug)]
pub struct Deallocated {
    pub(crate) _private: (),
}

impl half::Lifecycle for Allocated {
    const NAME: &str = "Allocated";
}

impl half::Lifecycle for Deallocated {
    const NAME: &str = "Deallocated";
}

/// The direction of an end: [`Read`] or [`Write`].
///
/// This trait is sealed.
///
/// ```
/// use typed_pipe::state::{Closed, Direction};
/// use typed_pipe::{CancelToken, End, Error};
///
/// /// The end at a path, for either direction, which the program's token cancels.
/// fn end<D: Direction>(path: &str, token: &CancelToken) -> Result<End<D, Closed>, Error> {
///     Ok(End::at(path)?.cancelled_by(token))
/// }
///
/// let token = CancelToken::new()?;
/// let (jobs, answers): (typed_pipe::ReadEnd<_>, typed_pipe::WriteEnd<_>) =
///     (end("/run/app/jobs", &token)?, end("/run/app/answers", &token)?);
/// # drop((jobs, answers));
/// # Ok::<(), Error>(())
/// ```
pub trait Direction: half::Direction {}

#[diagnostic::do_not_recommend]
impl<T: half::Direction> Direction for T {}

/// The direction of a reading end.
///
/// ```
/// use typed_pipe::state::{Open, Read};
/// use typed_pipe::{End, PipePath, ReadEnd};
///
/// /// `ReadEnd`, written in full.
/// fn whole(end: ReadEnd) -> End<Read, Open, PipePath> {
///     end
/// }
/// # let _ = whole;
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Read {}

/// The direction of a writing end.
///
/// ```
/// use typed_pipe::state::{Closed, Write};
/// use typed_pipe::{End, PipePath};
///
/// let path = PipePath::new("/run/app/jobs")?;
/// let end = End::<Write, Closed>::from(path); // as from `WriteEnd::at`
/// assert!(format!("{end:?}").starts_with("End<Write, Closed>"));
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Write {}

impl half::Direction for Read {
    const WAY: Way = Way::In;
    const OPENING: Operation = Operation::OpenReader;
    const NAME: &str = "Read";
}

impl half::Direction for Write {
    const WAY: Way = Way::Out;
    const OPENING: Operation = Operation::OpenWriter;
    const NAME: &str = "Write";
}

/// The state of an end that is not open, with the mode in which it opens.
///
/// ```
/// use typed_pipe::state::Closed;
/// use typed_pipe::{Error, TypedSender, WriteEnd};
///
/// /// Has a pipe open only while it sends.
/// struct Reporter {
///     end: Option<WriteEnd<Closed>>,
/// }
///
/// impl Reporter {
///     fn report(&mut self, words: &str) -> Result<(), Error> {
///         let Some(end) = self.end.take() else { return Ok(()) };
///         let mut sender: TypedSender<str> = end.open()?.into_sender();
///         sender.send(words)?;
///         self.end = Some(sender.into_inner().close());
///         Ok(())
///     }
/// }
/// # let pipe = typed_pipe::Pipe::temporary()?;
/// # let mut reporter = Reporter { end: Some(WriteEnd::at(pipe.path())?) };
/// # let mut receiver = pipe.into_reader().open()?.into_receiver::<String>();
/// # reporter.report("started")?;
/// # assert_eq!(receiver.recv()?, "started");
/// # Ok::<(), Error>(())
/// ```
pub struct Closed<M: Mode = Blocking> {
    pub(crate) mode: PhantomData<M>,
}

impl<M: Mode> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed")
    }
}

/// The state of an end that is open, with the mode in which its operations wait.
///
/// ```
/// use typed_pipe::state::{Allocated, Open};
/// use typed_pipe::{Error, Pipe, ReadEnd};
///
/// /// The end from which jobs are read. It is open, and contains the pipe.
/// fn inbox() -> Result<ReadEnd<Open, Pipe<Allocated>>, Error> {
///     Ok(Pipe::temporary()?.into_reader().open()?)
/// }
///
/// assert!(inbox()?.path().is_some());
/// # Ok::<(), Error>(())
/// ```
pub struct Open<M: Mode = Blocking> {
    pub(crate) io: M::Io,
}

impl<M: Mode> fmt::Debug for Open<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("io", &self.io).finish()
    }
}

// A state without data takes no room, and a direction has no values.
assert_eq_size!(Closed, Deallocated, ());
assert_eq_size!(Option<Read>, Option<Write>, Option<Blocking>, ());
assert_eq_size!(Open, Raw);
assert_eq_size!(Allocated, Box<Node>);

/// The private halves of the traits: they seal them, and keep the internal methods inside the crate.
pub(crate) mod half {
    use std::fmt::Debug;

    use crate::error::Operation;
    use crate::sys::Way;

    pub trait Lifecycle {
        const NAME: &str;
    }

    pub trait Direction {
        const WAY: Way;
        const OPENING: Operation;
        const NAME: &str;
    }

    pub trait Mode: Clone + Debug + super::Runtime {}
}
