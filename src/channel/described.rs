//! The bounds of messages whose two sides compare what they look like.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::{Receivable, Sendable};
use crate::wire::shape::{Shape, Style};

/// A message whose [shape](crate::wire::shape) can be told to its receiver: what serde can both write and read, and `str`
/// and slices.
///
/// It is the bound of what a [`TypedConnection`](crate::TypedConnection) sends, and of senders on a named pipe. Other
/// values go by [`send_as`](crate::TypedSender::send_as): of a type that borrows, such as `(u32, &str)`, the compiler says
/// that its `Deserialize` is not general enough.
///
/// ```
/// use typed_pipe::{Described, Error, PipePath, TypedSender};
///
/// /// A sender for any message of the program.
/// fn sender<T: Described>(path: &PipePath) -> Result<TypedSender<T>, Error> {
///     TypedSender::connect(path)
/// }
/// # let _ = sender::<String>;
/// ```
///
/// What serde can only write is not described, nor is a list of it:
///
/// ```compile_fail,E0277
/// #[derive(serde::Serialize)]
/// struct Job {
///     id: u64,
/// }
/// typed_pipe::TypedSender::<[Job]>::connect("/run/app/jobs")?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "what `{Self}` looks like to its receiver is not known",
    label = "not a message that can be described",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`, or to what it is a list of: its `Deserialize` is asked what it reads",
    note = "a type that borrows is sent as its owned type, with `send_as` or `call_ref`; on a pipe, a wire that is given by name takes any type"
)]
pub trait Described: Sendable + half::Described {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Described for T {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> half::Described for T {
    fn shape(style: Style) -> Shape {
        Shape::of::<T>(style)
    }
}

impl Described for str {}
impl half::Described for str {
    fn shape(style: Style) -> Shape {
        Shape::of::<String>(style)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Described for [T] {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> half::Described for [T] {
    fn shape(style: Style) -> Shape {
        Shape::of::<Vec<T>>(style)
    }
}

/// What a sender on the default wire sends: a type that is [`Described`], or that [`WithHandles`](super::WithHandles).
///
/// It is hidden in the docs: a generic function asks for `Described`, unless its messages may have handles.
#[diagnostic::on_unimplemented(
    message = "what `{Self}` looks like to its receiver is not known",
    label = "not a message that can be described",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`, or to what it is a list of: its `Deserialize` is asked what it reads",
    note = "a type that borrows is sent as its owned type, with `send_as`; and a wire that is given by name, as in `into_sender_with`, takes any type"
)]
pub trait Telling: half::Telling {}

#[diagnostic::do_not_recommend]
impl<T: Described + ?Sized> Telling for T {}

#[diagnostic::do_not_recommend]
impl<T: Described + ?Sized> half::Telling for T {
    const WITH_HANDLES: bool = false;

    fn told(style: Style) -> Shape {
        T::shape(style)
    }
}

/// A type that one side of a connection can send: one that is [`Described`], or that [`WithHandles`](super::WithHandles), or
/// [`Anything`].
///
/// It is hidden in the docs: a generic function asks for `Described`, unless its messages may have handles.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent",
    label = "not a message that can be described",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`: the two sides compare what it looks like",
    note = "what serde can only write is sent with `send_as`, on a connection that sends its owned type or `Anything`"
)]
pub trait Outbound: half::Outbound {}

#[diagnostic::do_not_recommend]
impl<T: Telling + ?Sized> Outbound for T {}

impl Outbound for Anything {}

#[diagnostic::do_not_recommend]
impl<T: Telling + ?Sized> half::Outbound for T {
    const WITH_HANDLES: bool = T::WITH_HANDLES;

    fn known(style: Style) -> Option<Shape> {
        Some(T::told(style))
    }
}

impl half::Outbound for Anything {
    const WITH_HANDLES: bool = false;

    fn known(_: Style) -> Option<Shape> {
        None
    }
}

/// What a connection sends whose messages serde can write and not read: each is compared with what the other side reads.
///
/// It stands in the type of a [`TypedConnection`](crate::TypedConnection); there are no values of it. What is sent goes
/// by [`send_as`](crate::TypedSender::send_as): the other side has announced what it reads, and a value that does not
/// fit is an error before its first byte.
///
/// ```
/// use std::thread;
/// use serde::Serialize;
/// use typed_pipe::{Anything, Connection, ErrorKind};
///
/// #[derive(Serialize)]
/// struct Reading<'a> {
///     sensor: &'a str,
///     celsius: f64,
/// }
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || server.into_typed::<(), (String, f64)>()?.recv());
/// let mut client = client.into_typed::<Anything, ()>()?;
/// let error = client.send_as(&Reading { sensor: "kitchen", celsius: 21.5 }).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Mismatch); // a struct here, a tuple there
/// client.send_as(&("kitchen", 21.5))?;
/// assert_eq!(serving.join().unwrap()?.0, "kitchen");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// `send` would not compare them:
///
/// ```compile_fail,E0308
/// use typed_pipe::{Anything, TypedConnection};
///
/// TypedConnection::<Anything, ()>::connect("/run/app/door")?.send("open")?;
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Anything {}

impl fmt::Debug for Anything {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// A type that one side of a connection can receive: one that is [`Receivable`], or that [`WithHandles`](super::WithHandles).
///
/// It is hidden in the docs: a generic function asks for `Receivable`, unless its messages may have handles.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be received",
    label = "not an owned message",
    note = "add `#[derive(serde::Deserialize)]` to `{Self}`"
)]
pub trait Inbound: half::Inbound {}

#[diagnostic::do_not_recommend]
impl<T: Receivable> Inbound for T {}

#[diagnostic::do_not_recommend]
impl<T: Receivable> half::Inbound for T {
    const WITH_HANDLES: bool = false;

    fn read(style: Style) -> Shape {
        Shape::of::<T>(style)
    }
}

/// The private halves of the traits: only this crate implements them.
pub(crate) mod half {
    use crate::wire::shape::{Shape, Style};

    pub trait Described {
        /// What the messages look like to a codec of this style.
        fn shape(style: Style) -> Shape;
    }

    pub trait Telling {
        /// Whether there may be handles beside it.
        const WITH_HANDLES: bool;

        /// What the messages look like to a codec of this style.
        fn told(style: Style) -> Shape;
    }

    pub trait Outbound {
        /// Whether there may be handles beside it.
        const WITH_HANDLES: bool;

        /// What it looks like; `None` if that is not known before it is sent.
        fn known(style: Style) -> Option<Shape>;
    }

    pub trait Inbound {
        /// Whether there may be handles beside it.
        const WITH_HANDLES: bool;

        /// What it looks like.
        fn read(style: Style) -> Shape;
    }
}
