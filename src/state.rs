//! The states of a pipe, and the states and directions of its ends.
//!
//! These types stand in the parameters of [`Pipe`](crate::Pipe) and [`End`](crate::End). They are met in
//! signatures, such as that of a struct which keeps [a channel](crate::TypedReceiver#its-type), and in the compiler's
//! messages; there is nothing to do with them, and nobody outside of this crate can make a state, or another
//! direction.
//!
//! ```compile_fail,E0451
//! let forged = typed_pipe::state::Deallocated { _private: () };
//! ```
//!
//! ```compile_fail,E0277
//! struct Sideways;
//! impl typed_pipe::state::Direction for Sideways {}
//! ```

use std::fmt;
use std::marker::PhantomData;

use static_assertions::assert_eq_size;

use crate::error::Operation;
use crate::sys::{Node, Raw, Way};

/// What a pipe is in: [`Allocated`] or [`Deallocated`].
///
/// This trait is sealed.
pub trait Lifecycle: half::Lifecycle {}

/// The state of a pipe that has a name on this machine.
///
/// Dropping it removes the name, if it is still the pipe's own.
#[derive(Debug)]
pub struct Allocated {
    pub(crate) node: Box<Node>,
}

/// The state of a pipe that has no name on this machine yet, or no longer.
#[derive(Debug)]
pub struct Deallocated {
    pub(crate) _private: (),
}

impl Lifecycle for Allocated {}
impl half::Lifecycle for Allocated {
    const NAME: &str = "Allocated";
}

impl Lifecycle for Deallocated {}
impl half::Lifecycle for Deallocated {
    const NAME: &str = "Deallocated";
}

/// Which way an end goes: [`Read`] or [`Write`].
///
/// This trait is sealed.
pub trait Direction: half::Direction {}

/// The direction of an end that is read from.
#[derive(Debug)]
#[non_exhaustive]
pub enum Read {}

/// The direction of an end that is written to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Write {}

impl Direction for Read {}
impl half::Direction for Read {
    const WAY: Way = Way::In;
    const OPENING: Operation = Operation::OpenReader;
    const NAME: &str = "Read";
}

impl Direction for Write {}
impl half::Direction for Write {
    const WAY: Way = Way::Out;
    const OPENING: Operation = Operation::OpenWriter;
    const NAME: &str = "Write";
}

/// The state of an end that is not open, with the mode in which it is to be opened.
pub struct Closed<M: Mode = Blocking> {
    pub(crate) mode: PhantomData<M>,
}

impl<M: Mode> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed")
    }
}

/// The state of an end that is open, with the mode in which its operations wait.
pub struct Open<M: Mode = Blocking> {
    pub(crate) io: M::Io,
}

impl<M: Mode> fmt::Debug for Open<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("io", &self.io).finish()
    }
}

/// How the operations of an end wait: [`Blocking`], or `Tokio` with the feature of that name.
///
/// This trait is sealed.
pub trait Mode: half::Mode {}

/// The mode in which an operation that must wait blocks its thread.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Blocking {}

impl Mode for Blocking {}
impl half::Mode for Blocking {
    type Io = Raw;
    type Accepting = ();

    fn raw(io: &Raw) -> &Raw {
        io
    }
}

// A state that has no data takes no room, and a direction is never there at all.
assert_eq_size!(Closed, Deallocated, ());
assert_eq_size!(Option<Read>, Option<Write>, Option<Blocking>, ());
assert_eq_size!(Open, Raw);
assert_eq_size!(Allocated, Box<Node>);

/// The private halves of the traits: they seal them, and name what stays inside of the crate.
pub(crate) mod half {
    use std::fmt::Debug;

    use crate::error::Operation;
    use crate::sys::{Raw, Way};

    pub trait Lifecycle {
        const NAME: &str;
    }

    pub trait Direction {
        const WAY: Way;
        const OPENING: Operation;
        const NAME: &str;
    }

    pub trait Mode: Clone + Debug {
        /// What an open end reads and writes through.
        type Io: Debug;
        /// What a listener has beside its server, to wait for clients.
        type Accepting: Debug;

        fn raw(io: &Self::Io) -> &Raw;
    }
}
