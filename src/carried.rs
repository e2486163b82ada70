//! Channels, connections and files as fields of messages.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::channel::{TypedReceiver, TypedSender};
use crate::connection::{Listener, ListenerOptions};
use crate::end::{End, PipeRef, Unnamed};
use crate::error::{Disagreement, Error, Obstacle, Operation, TransitionError};
use crate::handles::{self, FromHandle, Handles};
use crate::path::PipePath;
use crate::state::{Direction, Mode, Open, Read, Write};
use crate::sys::{Handle, Raw, Server, Way};
use crate::wire::shape::{Shape, Style};
use crate::wire::{Codec, Framing, Wire};

/// What goes in a message beside its bytes: a channel, an end, a connection, or a file. It is a field of the message.
///
/// [`Handles::carry`] makes one, and [`Handles::claim`] gives what it carries to the process that received the message.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use std::thread;
/// use typed_pipe::{Carried, Connection, Error, Handles, Pipe, TypedSender, WithHandles};
///
/// #[derive(Serialize, Deserialize)]
/// struct Question {
///     words: String,
///     answer_to: Carried<TypedSender<u32>>,
/// }
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || -> Result<(), Error> {
///     let mut server = server.into_typed::<(), WithHandles<Question>>()?;
///     let (question, mut handles) = server.recv_with_handles()?;
///     let mut answers = handles.claim(question.answer_to)?; // a `TypedSender<u32>`
///     answers.send(&42)
/// });
///
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let mut answers = pipe.into_reader().open()?.into_receiver::<u32>();
/// let mut client = client.into_typed::<WithHandles<Question>, ()>()?;
/// let mut handles = Handles::new();
/// let answer_to = handles.carry(TypedSender::<u32>::connect(path)?)?;
/// client.send_with_handles(&Question { words: "how many?".into(), answer_to }, &mut handles)?;
/// assert_eq!(answers.recv()?, 42);
/// # serving.join().unwrap()?;
/// # Ok::<(), Error>(())
/// ```
///
/// # What can be carried
///
/// | what | arrives as |
/// |---|---|
/// | a [`TypedSender`] or [`TypedReceiver`] over a client's end, or over one made of a handle | the same, with its path |
/// | such an end | the same, with its path |
/// | a [`Connection`](crate::Connection) | a connection without a path, before its handshake |
/// | a borrowed [`Listener`], on Unix | one that accepts beside this one, which owns the name: dropping it removes nothing |
/// | a file, a socket of the standard library: whatever [`Handles::take`] takes | the same |
///
/// A listener arrives with none of the [options](ListenerOptions) of the one that was carried: who is let in, and how many, is
/// up to the process that claims it.
///
/// A channel is checked: its wire, and the [shape](crate::wire::shape) of its messages. It arrives with the default
/// settings of its wire. An owner's end is not carried, since its pipe belongs to this process: let a client open the
/// path, and carry that. A [`TypedConnection`](crate::TypedConnection) is not, since it is what its two sides have agreed on,
/// the limits and the shapes of both: carry the connection, and let the process that has it in the end perform the handshake.
///
/// ```compile_fail,E0277
/// use typed_pipe::{Handles, Pipe};
///
/// let owner = Pipe::temporary()?.into_reader().open()?;
/// Handles::new().carry(owner)?; // `ReadEnd::at(path)` of a client would do
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Carried<T: ?Sized> {
    ticket: Ticket,
    what: PhantomData<fn() -> T>,
}

/// What is said of it in the message.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ticket {
    /// The number of its handle.
    number: u32,
    kind: Kind,
    /// The framing and the codec of a channel.
    wire: Option<(String, String)>,
    /// The shape of its messages, if its codec has one.
    shape: Option<Vec<u8>>,
    path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Handle,
    ReadEnd,
    WriteEnd,
    Receiver,
    Sender,
    Listener,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Handle => "a handle",
            Self::ReadEnd => "a reading end",
            Self::WriteEnd => "a writing end",
            Self::Receiver => "a receiver",
            Self::Sender => "a sender",
            Self::Listener => "a listener",
        }
    }
}

impl Handles {
    /// Adds what is to be carried beside a message, and returns the field of the message that stands for it.
    ///
    /// This process has it no longer, whether the message is sent or not; a listener is borrowed, and stays here as well.
    ///
    /// ```
    /// use std::fs::File;
    /// use typed_pipe::{Carried, Connection, Handles};
    ///
    /// let (one, _other) = Connection::pair()?;
    /// let mut handles = Handles::new();
    /// let connection: Carried<Connection> = handles.carry(one)?;
    /// # let file = tempfile::tempfile()?;
    /// let file: Carried<File> = handles.carry(file)?;
    /// # let _: (Connection, File) = (handles.claim(connection)?, handles.claim(file)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Each gives back what was to be carried. [`Unsupported`](crate::ErrorKind::Unsupported): it holds bytes that it
    /// has read or not sent yet; it is over a [carrier](crate::Carrier), which only this process has; its path is not
    /// Unicode; or it is a listener, on Windows. [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted): a listener
    /// needs a descriptor more.
    #[doc(alias("send channel", "OpaqueIpcSender"))]
    pub fn carry<X: Carry>(&mut self, what: X) -> Result<Carried<X::Arrives>, TransitionError<X>> {
        if let Some(reason) = what.stays() {
            let error = Error::new(Operation::Encode, Obstacle::NotCarried(reason));
            return Err(TransitionError::new(what, error));
        }
        match what.split() {
            Ok((handle, Made(mut ticket))) => {
                ticket.number = self.add(handle);
                Ok(Carried { ticket, what: PhantomData })
            }
            Err((what, error)) => Err(TransitionError::new(what, error)),
        }
    }

    /// Takes what a message carried.
    ///
    /// ```
    /// use typed_pipe::{Handles, Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<u32>();
    /// let mut handles = Handles::new();
    /// let carried = handles.carry(TypedSender::<u32>::connect(&path)?)?;
    /// let mut sender = handles.claim(carried)?; // in the other process
    /// sender.send(&7)?;
    /// assert_eq!(receiver.recv()?, 7);
    /// assert_eq!(sender.get_ref().path(), Some(&path));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// It waits as threads do. A task switches its end: `sender.into_inner().into_tokio()?.into_sender()`.
    ///
    /// # Errors
    ///
    /// After each, the handle stays in place.
    ///
    /// - [`Mismatch`](crate::ErrorKind::Mismatch): something else was carried, or a channel of another wire or of messages
    ///   that do not fit; the text says where they differ. Or there is no such handle, or it was taken before.
    /// - Those of [`take`](Self::take), where the handle is not what the message says.
    pub fn claim<T: Claim>(&mut self, carried: Carried<T>) -> Result<T, Error> {
        let said = Said(&carried.ticket);
        T::ensure(&said)?;
        self.take_by(carried.ticket.number, |handle, limit| T::join(handle, &said, limit))
    }
}

impl<T: ?Sized> Serialize for Carried<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.ticket.serialize(serializer)
    }
}

impl<'de, T: ?Sized> Deserialize<'de> for Carried<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ticket = Ticket::deserialize(deserializer)?;
        Ok(Self { ticket, what: PhantomData })
    }
}

impl<T: ?Sized> fmt::Debug for Carried<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Carried({} of number {})", self.ticket.kind.name(), self.ticket.number)
    }
}

/// What can be carried: see [`Carried`].
///
/// This trait is sealed, and hidden in the docs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be carried in a message",
    label = "stays in this process",
    note = "ends and channels of clients are carried, connections, files, and `&Listener`; for an owner's pipe, carry a client's end of its path, and for a typed connection the connection before its handshake"
)]
pub trait Carry: half::Carry {
    /// What it arrives as.
    type Arrives: Claim;
}

/// What can be claimed: see [`Carried`].
///
/// This trait is sealed, and hidden in the docs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be claimed from a message",
    label = "no field of a message carries it",
    note = "its messages need `Deserialize`, and its wire a `Default`"
)]
pub trait Claim: half::Claim {}

#[diagnostic::do_not_recommend]
impl<X: half::Claim> Claim for X {}

/// A ticket that is being made.
#[derive(Debug)]
pub struct Made(Ticket);

/// What a message says of what it carries.
#[derive(Debug)]
pub struct Said<'a>(&'a Ticket);

const HOLDS_BYTES: &str = "it holds bytes that it has read ahead, or not sent yet";
const HAS_BEGUN: &str = "it has begun to receive, and holds more than it gave out";

impl Ticket {
    fn of(kind: Kind) -> Self {
        Self { number: 0, kind, wire: None, shape: None, path: None }
    }
}

impl Made {
    /// Says of what wire a channel is, and of what messages.
    fn of_channel<T, F, C>(mut self) -> Self
    where
        T: DeserializeOwned,
        F: Framing + Default,
        C: Codec + Default,
    {
        let (framing, codec) = (F::default(), C::default());
        let shape = |style: Style| Shape::of::<T>(style).description().to_vec();
        self.0.shape = codec.style().map(shape);
        self.0.wire = Some((framing.name().to_owned(), codec.name().to_owned()));
        self
    }
}

fn differ(what: &'static str, ours: &str, theirs: &str) -> Error {
    let (ours, theirs) = (ours.to_owned(), theirs.to_owned());
    Error::new(Operation::TakeHandle, Disagreement::Differs { what, ours, theirs })
}

impl Said<'_> {
    fn ensure_kind(&self, kind: Kind) -> Result<(), Error> {
        if self.0.kind == kind {
            return Ok(());
        }
        Err(differ("what is carried", kind.name(), self.0.kind.name()))
    }

    /// Whether a channel of such messages fits on this side.
    fn ensure_channel<T, F, C>(&self) -> Result<(), Error>
    where
        T: DeserializeOwned,
        F: Framing + Default,
        C: Codec + Default,
    {
        let (framing, codec) = match &self.0.wire {
            Some((framing, codec)) => (framing.as_str(), codec.as_str()),
            None => ("none", "none"),
        };
        let (ours, our_codec) = (F::default(), C::default());
        if ours.name() != framing {
            return Err(differ("the framing of what is carried", ours.name(), framing));
        }
        if our_codec.name() != codec {
            return Err(differ("the codec of what is carried", our_codec.name(), codec));
        }
        let (Some(style), Some(description)) = (our_codec.style(), &self.0.shape) else {
            return Ok(());
        };
        let broken = |_| differ("the shape of what is carried", "a shape", "broken bytes");
        let theirs = Shape::from_description(description).map_err(broken)?;
        let ours = Shape::of::<T>(style);
        if theirs.style() != style || ours.fingerprint() == theirs.fingerprint() {
            return Ok(());
        }
        // A sender that arrives writes what this side means; a receiver reads it.
        let fits = match self.0.kind {
            Kind::Sender => ours.read_by(&theirs).map_err(|difference| difference.to_sender()),
            _ => theirs.read_by(&ours).map_err(|difference| difference.to_receiver()),
        };
        fits.map_err(|words| Error::new(Operation::TakeHandle, Disagreement::Carried(words)))
    }
}

/// What a client's end holds of its pipe, or that it holds nothing.
///
/// This trait is sealed, and hidden in the docs.
pub trait Origin: PipeRef + half::Origin {}

impl Origin for PipePath {}
impl half::Origin for PipePath {
    fn told(&self) -> Option<&str> {
        self.as_path().to_str()
    }

    fn stays(&self) -> Option<&'static str> {
        let unicode = self.told().is_some();
        (!unicode).then_some("its path is not Unicode")
    }

    fn of(path: Option<&str>) -> Result<Self, Error> {
        match path {
            Some(path) => Self::new(path),
            None => Err(differ("what is carried", "an end with a path", "one without a path")),
        }
    }
}

impl Origin for Unnamed {}
impl half::Origin for Unnamed {
    fn told(&self) -> Option<&str> {
        None
    }

    fn stays(&self) -> Option<&'static str> {
        None
    }

    fn of(_: Option<&str>) -> Result<Self, Error> {
        Ok(Self)
    }
}

/// Why an end cannot go to another process.
fn end_stays<D: Direction, P: Origin>(end: &End<D, Open, P>) -> Option<&'static str> {
    let holds = end.raw().holds_bytes().then_some(HOLDS_BYTES);
    end.held().stays().or(holds)
}

fn split_end<D: Direction, P: Origin>(end: End<D, Open, P>, kind: Kind) -> (Handle, Made) {
    let path = end.held().told().map(str::to_owned);
    let handle = end.into_io().into_handle();
    let handle = handle.unwrap_or_else(|| unreachable!("its type excludes halves"));
    (handle, Made(Ticket { path, ..Ticket::of(kind) }))
}

fn join_end<D: Direction, P: Origin>(
    handle: Handle,
    said: &Said<'_>,
) -> Result<End<D, Open, P>, (Handle, Error)> {
    let held = match P::of(said.0.path.as_deref()) {
        Ok(held) => held,
        Err(error) => return Err((handle, error)),
    };
    match Raw::adopt(handle, D::WAY) {
        Ok(raw) => Ok(End::opened(raw, held, None)),
        Err((handle, error)) => Err((handle, Error::new(Operation::TakeHandle, error))),
    }
}

/// Whatever has a handle of its own, and is checked by it.
#[diagnostic::do_not_recommend]
impl<X: FromHandle + Into<Handle>> Carry for X {
    type Arrives = Self;
}
#[diagnostic::do_not_recommend]
impl<X: FromHandle + Into<Handle>> half::Carry for X {
    fn stays(&self) -> Option<&'static str> {
        handles::half::FromHandle::stays(self)
    }

    fn split(self) -> Result<(Handle, Made), (Self, Error)> {
        Ok((self.into(), Made(Ticket::of(Kind::Handle))))
    }
}

#[diagnostic::do_not_recommend]
impl<X: FromHandle> half::Claim for X {
    fn ensure(said: &Said<'_>) -> Result<(), Error> {
        said.ensure_kind(Kind::Handle)
    }

    fn join(handle: Handle, _: &Said<'_>, limit: &mut usize) -> Result<Self, (Handle, Error)> {
        Self::from_handle_within(handle, limit)
    }
}

fn kind_of_end<D: Direction>() -> Kind {
    match D::WAY {
        Way::In => Kind::ReadEnd,
        Way::Out => Kind::WriteEnd,
    }
}

impl<D: Direction> Carry for End<D, Open, PipePath> {
    type Arrives = Self;
}
impl<D: Direction> half::Carry for End<D, Open, PipePath> {
    fn stays(&self) -> Option<&'static str> {
        end_stays(self)
    }

    fn split(self) -> Result<(Handle, Made), (Self, Error)> {
        Ok(split_end(self, kind_of_end::<D>()))
    }
}

impl<D: Direction> half::Claim for End<D, Open, PipePath> {
    fn ensure(said: &Said<'_>) -> Result<(), Error> {
        said.ensure_kind(kind_of_end::<D>())
    }

    fn join(handle: Handle, said: &Said<'_>, _: &mut usize) -> Result<Self, (Handle, Error)> {
        join_end(handle, said)
    }
}

type Sends<T, P, F, C> = TypedSender<T, End<Write, Open, P>, F, C>;

impl<T, P, F, C> Carry for Sends<T, P, F, C>
where
    T: DeserializeOwned,
    P: Origin,
    F: Framing + Default,
    C: Codec + Default,
{
    type Arrives = Self;
}
impl<T, P, F, C> half::Carry for Sends<T, P, F, C>
where
    T: DeserializeOwned,
    P: Origin,
    F: Framing + Default,
    C: Codec + Default,
{
    fn stays(&self) -> Option<&'static str> {
        let pending = (self.pending() > 0).then_some(HOLDS_BYTES);
        pending.or_else(|| end_stays(self.get_ref()))
    }

    fn split(self) -> Result<(Handle, Made), (Self, Error)> {
        let (handle, made) = split_end(self.into_inner(), Kind::Sender);
        Ok((handle, made.of_channel::<T, F, C>()))
    }
}

impl<T, P, F, C> half::Claim for Sends<T, P, F, C>
where
    T: DeserializeOwned,
    P: Origin,
    F: Framing + Default,
    C: Codec + Default,
{
    fn ensure(said: &Said<'_>) -> Result<(), Error> {
        said.ensure_kind(Kind::Sender)?;
        said.ensure_channel::<T, F, C>()
    }

    fn join(handle: Handle, said: &Said<'_>, _: &mut usize) -> Result<Self, (Handle, Error)> {
        Ok(join_end(handle, said)?.into_sender_with(wire()))
    }
}

type Receives<T, P, F, C> = TypedReceiver<T, End<Read, Open, P>, F, C>;

impl<T, P, F, C> Carry for Receives<T, P, F, C>
where
    T: DeserializeOwned,
    P: Origin,
    F: Framing + Default,
    C: Codec + Default,
{
    type Arrives = Self;
}
impl<T, P, F, C> half::Carry for Receives<T, P, F, C>
where
    T: DeserializeOwned,
    P: Origin,
    F: Framing + Default,
    C: Codec + Default,
{
    fn stays(&self) -> Option<&'static str> {
        let begun = self.has_begun().then_some(HAS_BEGUN);
        begun.or_else(|| end_stays(self.get_ref()))
    }

    fn split(self) -> Result<(Handle, Made), (Self, Error)> {
        let (handle, made) = split_end(self.into_inner(), Kind::Receiver);
        Ok((handle, made.of_channel::<T, F, C>()))
    }
}

impl<T, P, F, C> half::Claim for Receives<T, P, F, C>
where
    T: DeserializeOwned,
    P: Origin,
    F: Framing + Default,
    C: Codec + Default,
{
    fn ensure(said: &Said<'_>) -> Result<(), Error> {
        said.ensure_kind(Kind::Receiver)?;
        said.ensure_channel::<T, F, C>()
    }

    fn join(handle: Handle, said: &Said<'_>, _: &mut usize) -> Result<Self, (Handle, Error)> {
        Ok(join_end(handle, said)?.into_receiver_with(wire()))
    }
}

impl<M: Mode> Carry for &Listener<M> {
    type Arrives = Listener;
}
impl<M: Mode> half::Carry for &Listener<M> {
    fn stays(&self) -> Option<&'static str> {
        half::Origin::stays(self.path()).or_else(|| self.server().stays())
    }

    fn split(self) -> Result<(Handle, Made), (Self, Error)> {
        let path = half::Origin::told(self.path()).map(str::to_owned);
        match self.server().share() {
            Ok(handle) => Ok((handle, Made(Ticket { path, ..Ticket::of(Kind::Listener) }))),
            Err(error) => {
                let error = Error::new(Operation::Encode, error);
                Err((self, error.at(Some(self.path().shared()))))
            }
        }
    }
}

impl half::Claim for Listener {
    fn ensure(said: &Said<'_>) -> Result<(), Error> {
        said.ensure_kind(Kind::Listener)
    }

    fn join(handle: Handle, said: &Said<'_>, _: &mut usize) -> Result<Self, (Handle, Error)> {
        let path: PipePath = match half::Origin::of(said.0.path.as_deref()) {
            Ok(path) => path,
            Err(error) => return Err((handle, error)),
        };
        match Server::shared(path.as_path(), handle) {
            Ok(server) => Ok(ListenerOptions::new().listener(server, path)),
            Err((handle, error)) => Err((handle, Error::new(Operation::TakeHandle, error))),
        }
    }
}

fn wire<F: Framing + Default, C: Codec + Default>() -> Wire<F, C> {
    Wire::default().with_framing(F::default()).with_codec(C::default())
}

/// The private halves of the traits: they seal them, and keep the internal methods inside the crate.
pub(crate) mod half {
    use super::{Made, Said};
    use crate::error::Error;
    use crate::sys::Handle;

    pub trait Carry: Sized {
        /// Why it cannot go to another process.
        fn stays(&self) -> Option<&'static str>;

        fn split(self) -> Result<(Handle, Made), (Self, Error)>;
    }

    pub trait Claim: Sized {
        /// Whether the message says that it is one.
        fn ensure(said: &Said<'_>) -> Result<(), Error>;

        /// Makes one of its handle. The limit is that of shared memory.
        fn join(
            handle: Handle,
            said: &Said<'_>,
            limit: &mut usize,
        ) -> Result<Self, (Handle, Error)>;
    }

    pub trait Origin: Sized {
        fn told(&self) -> Option<&str>;
        fn stays(&self) -> Option<&'static str>;
        fn of(path: Option<&str>) -> Result<Self, Error>;
    }
}
