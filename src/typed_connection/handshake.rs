//! The handshake of two sides before the first message.

use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::process::Child;
use std::time::Duration;

use super::halves::Channels;
use super::handshake_names::Names;
use super::handshake_parts::{Parts, Tag};
use super::handshake_shapes::Announcement;
#[cfg(feature = "service")]
use super::handshake_shapes::Roles;
use super::handshake_state::{HandshakeDone, HandshakeState, Terms};
#[cfg(feature = "shared-memory")]
use super::shared_memory::{SharedMemory, TransportKind};
use crate::channel::{Inbound, Outbound};
use crate::connection::{Connection, ReadHalf, WriteHalf};
use crate::error::{Error, Obstacle, Operation};
use crate::state::{Blocking, Mode, woken_at};
use crate::sys::{Ended, Process, WaitLimit};
use crate::wait::CancelToken;
use crate::watching::watching;
#[cfg(feature = "service")]
use crate::wire::shape::{Shape, Style};
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire, short_text};
#[cfg(feature = "service")]
use crate::wire::{Decoder, Encoder};

/// The terms of a connection: its wire, the identifiers of its messages, and a timeout for the peer.
///
/// Before the first message, both sides of a [`TypedConnection`](crate::TypedConnection) exchange the wire they speak:
/// its framing, its codec, the largest payload they take, whether messages may carry handles, and, if set, an
/// identifier of the messages of each direction. A difference is an error on both sides,
/// [`Mismatch`](crate::ErrorKind::Mismatch), which names the terms of each. If one side takes only smaller payloads,
/// the sender of the other keeps to that limit.
///
/// An identifier is the program's own name for a set of messages, with a version, such as `"chat/2"`: two types may
/// have the same encoding, and only the program knows that they differ. It is compared if both sides have set one. A side
/// that speaks several versions of a protocol names [all of them](Self::protocols), and is told on which one both agree.
///
/// ```
/// use std::thread;
/// use typed_pipe::{Connection, ErrorKind, Handshake};
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || {
///     Handshake::new().sending("event/1").receiving("command/2").perform::<u32, u32>(server)
/// });
/// let made = Handshake::new().sending("command/1").perform::<u32, u32>(client);
///
/// let error = made.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Mismatch);
/// assert!(error.to_string().contains("command/1") && error.to_string().contains("command/2"));
/// assert_eq!(serving.join().unwrap().unwrap_err().kind(), ErrorKind::Mismatch);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
///
/// # The bytes
///
/// Each side sends this at once, and then reads that of its peer. All numbers are big-endian.
///
/// | bytes | meaning |
/// |---|---|
/// | 4 | `0xFFFF_FF02`: no [`LengthPrefixed`] message begins like this |
/// | 4 | `tpip` |
/// | 1 | the version of this table: 1 |
/// | 1 | 1 if messages of this side may carry handles, plus 2 if it accepts handles beside the messages of its peer |
/// | 2 | the number of bytes that follow |
/// | 8 | the largest payload that this side takes, in bytes |
/// | … | four strings, each after its length in one byte: the framing, the codec, the identifier of the messages that this side sends, and of those that it receives; an identifier may be empty |
/// | rest | any number of parts: a tag in one byte, a length in two bytes, and so many bytes. A reader skips those whose tag it does not know |
///
/// | tag | its bytes |
/// |---|---|
/// | 1 | what the messages look like: a byte of flags (1: what this side receives is told, 2: what it sends is told, 4: it asks for descriptions), and the two [fingerprints](crate::wire::shape::Shape::fingerprint), 8 bytes each |
/// | 2 | that it offers [shared memory](crate::shared_memory): the version of that |
/// | 3 | that it makes or answers calls: their version, 1, in one byte, how many it takes at once in two, and flags |
/// | 4 | the names that it accepts: 1 if one of them is required, else 0; and each after its length in one byte |
/// | 5 | the words by which the connection is refused |
/// | 6 | its part in calls: 1 if it answers, plus 2 if it calls. One that does both has pairs of options, of a request and of an answer |
///
/// Where both sides say part 1 and the fingerprints differ, or one side asks, each side then sends two
/// [descriptions](crate::wire::shape::Shape::description), each after its length in four bytes: of what it receives, and of what it
/// sends, empty where that is not told. A side that says part 6 asks for the sake of sides that do not say it: two that both say it
/// describe nothing where the fingerprints are the same.
#[derive(Clone, Debug)]
#[must_use = "a handshake is made with `perform`"]
#[doc(alias("version", "negotiation", "hello"))]
pub struct Handshake<F = LengthPrefixed, C = Postcard, M: Mode = Blocking> {
    wire: Wire<F, C>,
    sending: String,
    receiving: String,
    parts: Parts,
    requires_shape: bool,
    names: Names,
    time_limit: TimeLimit,
    /// The child program that is the peer.
    child: Option<Process>,
    #[cfg(feature = "shared-memory")]
    memory: Option<SharedMemory>,
    mode: PhantomData<M>,
}

/// The shared memory that a client or a service offers, if it does.
#[cfg(all(feature = "service", feature = "shared-memory"))]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryOffered(pub(crate) Option<SharedMemory>);

/// None is offered without the feature.
#[cfg(all(feature = "service", not(feature = "shared-memory")))]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryOffered;

/// The time limit of the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeLimit {
    Time(Duration),
    #[cfg(any(feature = "process", feature = "service", feature = "session"))]
    WaitLimit(WaitLimit),
}

impl TimeLimit {
    /// The deadline of the peer, if its time begins now.
    pub(crate) fn until<M: Mode>(self) -> WaitLimit {
        match self {
            Self::Time(time) => M::within(time),
            #[cfg(any(feature = "process", feature = "service", feature = "session"))]
            Self::WaitLimit(until) => until,
        }
    }
}

const TIME_LIMIT: TimeLimit = TimeLimit::Time(Duration::from_secs(10));

impl Handshake {
    /// The default terms: the default wire, no identifiers, and a timeout of 10 seconds.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), String>()?.recv()); // the default handshake
    /// Handshake::new().perform::<str, ()>(client)?.send("hello")?;
    /// assert_eq!(serving.join().unwrap()?, "hello");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn new() -> Self {
        Self {
            wire: Wire::default(),
            sending: String::new(),
            receiving: String::new(),
            parts: Parts::default(),
            requires_shape: false,
            names: Names::default(),
            time_limit: TIME_LIMIT,
            child: None,
            #[cfg(feature = "shared-memory")]
            memory: None,
            mode: PhantomData,
        }
    }
}

impl Default for Handshake {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Framing + Clone, C: Codec + Clone, M: Mode> Handshake<F, C, M> {
    /// Sets the wire.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::wire::{LengthPrefixed, Wire};
    /// use typed_pipe::{Connection, ErrorKind, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let small = Wire::default().with_framing(LengthPrefixed::default().limit(1000));
    /// let serving =
    ///     thread::spawn(move || Handshake::new().with_wire(small).perform::<(), String>(server));
    ///
    /// let mut client = Handshake::new().perform::<str, ()>(client)?;
    /// let error = client.send(&"x".repeat(2000)).unwrap_err(); // more than the peer takes
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn with_wire<G, D>(self, wire: Wire<G, D>) -> Handshake<G, D, M> {
        Handshake {
            wire,
            sending: self.sending,
            receiving: self.receiving,
            parts: self.parts,
            requires_shape: self.requires_shape,
            names: self.names,
            time_limit: self.time_limit,
            child: self.child,
            #[cfg(feature = "shared-memory")]
            memory: self.memory,
            mode: PhantomData,
        }
    }

    /// Sets the identifier of the messages that this side sends. It is cut after 255 bytes.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || Handshake::new().perform::<(), String>(server)); // sets none
    /// let mut client = Handshake::new().sending("chat/2").perform::<str, ()>(client)?; // so any identifier fits
    /// client.send("hello")?;
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn sending(mut self, identifier: impl Into<String>) -> Self {
        self.sending = identifier.into();
        self
    }

    /// Sets the identifier of the messages that this side receives. It is cut after 255 bytes.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || {
    ///     Handshake::new().receiving("chat/1").perform::<(), String>(server).unwrap_err()
    /// });
    /// let error = Handshake::new().sending("chat/2").perform::<str, ()>(client).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Mismatch);
    /// assert_eq!(serving.join().unwrap().kind(), ErrorKind::Mismatch); // no message is misread
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn receiving(mut self, identifier: impl Into<String>) -> Self {
        self.receiving = identifier.into();
        self
    }

    /// Sets the timeout of the peer's part of the handshake; 10 seconds unless set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind, Handshake, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let silent = Connection::connect(listener.path())?; // a silent client
    /// let handshake = Handshake::new().timeout(Duration::from_millis(10));
    /// let error = handshake.perform::<u32, u32>(listener.accept()?).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # drop(silent);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.time_limit = TimeLimit::Time(timeout);
        self
    }

    /// Requires that the peer tells what its messages look like, as each one does that has a later edition of this crate
    /// than the first, and a codec whose [style](Codec::style) is known.
    ///
    /// Without it, such a peer is let in, and its [shape](crate::TypedReceiver::peer_shape) is `None`.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), u32>()?.recv());
    /// let strict = Handshake::new().require_shape();
    /// strict.perform::<u32, ()>(client)?.send(&7)?;
    /// assert_eq!(serving.join().unwrap()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn require_shape(mut self) -> Self {
        self.requires_shape = true;
        self
    }

    /// Sets the names of the protocols that this side accepts, the one that it likes best first.
    ///
    /// Both sides agree on the same one of the names that both accept: the one whose places on the two lists have the
    /// lowest sum. [`negotiate`](Self::negotiate) tells which one it is. A side that sets no names accepts any. The
    /// identifier of a side that knows only [`sending`](Self::sending) and [`receiving`](Self::receiving) counts as its one
    /// name.
    ///
    /// The first 100 names count. Each is cut after 255 bytes.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let old = Handshake::new().protocols(["chat/1"]);
    /// let serving = thread::spawn(move || old.perform::<u32, u32>(server).unwrap_err());
    /// let new = Handshake::new().protocols(["chat/3", "chat/2"]);
    /// let error = new.perform::<u32, u32>(client).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Mismatch);
    /// assert!(error.to_string().contains("`chat/3, chat/2` here, `chat/1` there"));
    /// # serving.join().unwrap();
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn protocols(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.names.names = Names::of(names);
        self
    }

    /// Requires that the peer names its protocol.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, ErrorKind, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<u32, u32>()); // sets no name
    /// let strict = Handshake::new().protocols(["chat/1"]).require_protocol();
    /// let error = strict.perform::<u32, u32>(client).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Mismatch);
    /// # drop(serving);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn require_protocol(mut self) -> Self {
        self.names.required = true;
        self
    }

    /// Says something beside the terms, of which the peer may know nothing.
    #[allow(dead_code, reason = "some are of features")]
    pub(crate) fn with_part(mut self, tag: Tag, bytes: Vec<u8>) -> Self {
        self.parts.set(tag, bytes);
        self
    }

    /// Ends the handshake early when a child program that is the peer exits.
    ///
    /// The error is then [`ChildExited`](crate::ErrorKind::ChildExited), with the status of the child.
    ///
    /// Without this, a dead child is noticed at the [timeout](Self::timeout) if something keeps its side of the connection
    /// open. A [`Command`](std::process::Command) that was given its side of a [`pair`](crate::Connection::pair) does so for
    /// as long as it lives: then drop it before anything is received, or the end of the child never shows.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::os::fd::OwnedFd;
    /// use std::process::Command;
    /// use typed_pipe::{Connection, ErrorKind, Handshake};
    ///
    /// let (ours, theirs) = Connection::pair()?;
    /// let mut command = Command::new("false");
    /// command.stdin(OwnedFd::try_from(theirs)?); // `command` keeps it, for the next child
    /// let mut child = command.spawn()?;
    /// let error = Handshake::new().watching(&child).perform::<str, ()>(ours).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::ChildExited); // and not after ten seconds
    /// child.wait()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("subprocess", "child"))]
    pub fn watching(self, child: &Child) -> Self {
        self.watching_process(Process::of(child))
    }

    /// Watches a child as [`watching`](Self::watching) does.
    pub(crate) fn watching_process(mut self, child: Process) -> Self {
        self.child = Some(child);
        self
    }

    #[cfg(any(feature = "process", feature = "service", feature = "session"))]
    /// Sets the deadline of the peer; without one, the timeout holds.
    pub(crate) fn by(mut self, until: WaitLimit) -> Self {
        if let WaitLimit::Deadline(_) | WaitLimit::Now = until {
            self.time_limit = TimeLimit::WaitLimit(until);
        }
        self
    }

    /// Offers [shared memory](SharedMemory) for the messages. They go through it if the other side offers it too.
    ///
    /// ```
    /// use typed_pipe::{Handshake, SharedMemory};
    ///
    /// let handshake = Handshake::new().shared_memory(SharedMemory::offered().ring(256 << 10));
    /// # drop(handshake);
    /// ```
    ///
    /// [`TypedConnection::transport`](crate::TypedConnection::transport) tells what came of it.
    #[cfg(feature = "shared-memory")]
    #[doc(alias("shm", "memfd", "mmap"))]
    pub fn shared_memory(mut self, memory: SharedMemory) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Offers what a client or a service was told to offer.
    #[cfg(feature = "service")]
    pub(crate) fn offering(self, offered: MemoryOffered) -> Self {
        #[cfg(feature = "shared-memory")]
        return Self { memory: offered.0, ..self };
        #[cfg(not(feature = "shared-memory"))]
        {
            let MemoryOffered = offered;
            self
        }
    }

    #[cfg(not(feature = "shared-memory"))]
    pub(crate) async fn performing<Out: Outbound + ?Sized, In: Inbound>(
        self,
        connection: Connection<M>,
    ) -> Result<Channels<Out, In, F, C, M>, Error> {
        let (this, (state, reader, writer)) = self.shaking::<Out, In>(connection).await?;
        this.conclude(&state, reader, writer)
    }

    #[cfg(all(feature = "session", feature = "shared-memory"))]
    pub(crate) async fn performing<Out: Outbound + ?Sized, In: Inbound>(
        self,
        connection: Connection<M>,
    ) -> Result<Channels<Out, In, F, C, M>, Error> {
        self.performing_with_memory(connection).await.map(|(channels, _)| channels)
    }

    /// Performs it, and goes on with shared memory if both sides offer it.
    #[cfg(feature = "shared-memory")]
    pub(super) async fn performing_with_memory<Out: Outbound + ?Sized, In: Inbound>(
        mut self,
        mut connection: Connection<M>,
    ) -> Result<(Channels<Out, In, F, C, M>, TransportKind), Error> {
        self.offer_memory(&mut connection)?;
        let until = self.time_limit.until::<M>();
        let (this, done) = self.shaking::<Out, In>(connection).await?;
        this.conclude_with_memory(done, until).await
    }

    /// The deadline of a step that begins now.
    #[cfg(feature = "shared-memory")]
    pub(super) fn until(&self) -> WaitLimit {
        self.time_limit.until::<M>()
    }

    /// Says that memory can be shared, if it is to be.
    #[cfg(feature = "shared-memory")]
    pub(crate) fn offer_memory(&mut self, connection: &mut Connection<M>) -> Result<(), Error> {
        let Some(memory) = &self.memory else { return Ok(()) };
        memory.ensure_possible()?;
        // Memory is shared on one machine alone.
        let part = SharedMemory::part().filter(|_| connection.reader().raw().carries_handles());
        if let Some(part) = part {
            self.parts.set(Tag::Memory, part);
            connection.reader().raw_mut().allow_handles();
        }
        Ok(())
    }

    /// Makes the channels, through shared memory if both sides offer it.
    #[cfg(feature = "shared-memory")]
    pub(super) async fn conclude_with_memory<Out: ?Sized, In: Inbound>(
        mut self,
        mut done: HandshakeDone<M>,
        until: WaitLimit,
    ) -> Result<(Channels<Out, In, F, C, M>, TransportKind), Error> {
        let transport = self.share_memory(&mut done, In::WITH_HANDLES, until).await?;
        let (state, reader, writer) = done;
        Ok((self.conclude(&state, reader, writer)?, transport))
    }

    /// Goes on through shared memory, if both sides offer it and the terms match.
    #[cfg(feature = "shared-memory")]
    pub(crate) async fn share_memory(
        &mut self,
        (state, reader, writer): &mut HandshakeDone<M>,
        lets_handles_in: bool,
        until: WaitLimit,
    ) -> Result<TransportKind, Error> {
        let Some(memory) = self.memory.take() else {
            return Ok(TransportKind::Socket { reason: None });
        };
        state.conclude().map_err(|error| error.at(reader.shared_path()))?;
        let taken = memory.exchange(state, reader, writer, until).await;
        let transport = taken.map_err(|error| error.at(reader.shared_path()))?;
        if !lets_handles_in {
            reader.raw_mut().refuse_handles();
        }
        Ok(transport)
    }

    /// Exchanges the terms.
    async fn shaking<Out: Outbound + ?Sized, In: Inbound>(
        self,
        mut connection: Connection<M>,
    ) -> Result<(Self, HandshakeDone<M>), Error> {
        if In::WITH_HANDLES {
            connection.reader().raw_mut().allow_handles();
        }
        let state = self.start::<Out, In>();
        let (reader, writer) = connection.into_halves();
        let mut done = (state, reader, writer);
        self.exchange(&mut done).await?;
        let (_, reader, _) = &done;
        if (Out::WITH_HANDLES || In::WITH_HANDLES) && !reader.raw().carries_handles() {
            return Err(reader.failed(Operation::Agree, Obstacle::NoHandlesHere.into()));
        }
        Ok((self, done))
    }

    /// Performs the handshake of both sides of a pair, without bytes between them, so that neither waits for the other.
    pub(super) fn perform_both<Out: Outbound + Inbound, In: Outbound + Inbound>(
        self,
        (one, other): (Connection<M>, Connection<M>),
    ) -> Result<BothSides<Out, In, F, C, M>, Error> {
        let (mut ours, mut theirs) = (self.start::<Out, In>(), self.start::<In, Out>());
        let talked = ours.talk_with(&mut theirs);
        talked.map_err(|error| Error::new(Operation::Agree, error))?;
        let halves = |mut side: Connection<M>, with_handles: bool| {
            if with_handles {
                side.reader().raw_mut().allow_handles();
            }
            side.into_halves()
        };
        let (reader, writer) = halves(one, ours.allows_handles());
        let one = self.clone().conclude(&ours, reader, writer)?;
        let (reader, writer) = halves(other, theirs.allows_handles());
        Ok((one, self.conclude(&theirs, reader, writer)?))
    }

    /// The beginning of a handshake for messages of these types.
    fn start<Out: Outbound + ?Sized, In: Inbound>(&self) -> HandshakeState {
        let announcement = self.announcement::<Out, In>();
        let terms = self.terms(Out::WITH_HANDLES, In::WITH_HANDLES);
        HandshakeState::new(terms, announcement, self.requires_shape)
    }

    /// Goes on with the exchange of the terms, as far as this side has anything to say.
    pub(super) async fn exchange<'a>(&self, begun: &'a mut HandshakeDone<M>) -> Result<(), Error> {
        let until = self.time_limit.until::<M>();
        let Some(child) = &self.child else { return talk(begun, until).await };
        let talk = |begun: &'a mut HandshakeDone<M>, until| async move {
            talk(begun, until).await.map_err(|error| (begun, error))
        };
        let talked = watching::<M, _, _, _>(child, SHOOK_HANDS, until, begun, talk).await;
        talked.map_err(|(_, error)| error)
    }

    /// The child program that is the peer.
    pub(super) fn child(&self) -> Option<&Process> {
        self.child.as_ref()
    }

    /// What is told of the messages.
    pub(super) fn announcement<Out: Outbound + ?Sized, In: Inbound>(&self) -> Option<Announcement> {
        let style = self.wire.codec().style()?;
        Some(Announcement { received: Some(In::read(style)), sent: Out::known(style), roles: None })
    }

    /// Starts the exchange of the terms, for messages that are known only later.
    pub(super) fn undecided(&self) -> HandshakeState {
        let tells = self.wire.codec().style().is_some();
        HandshakeState::undecided(self.terms(false, false), tells, self.requires_shape)
    }

    /// Starts an exchange that says nothing but that the connection is refused.
    pub(super) fn refusing(&self, words: &str) -> HandshakeState {
        let mut terms = self.terms(false, false);
        // What an earlier edition knows nothing of, it reads as the name of a framing.
        terms.framing = short_text::cut(&format!("refused: {words}"), u8::MAX).to_owned();
        terms.parts = Parts::default();
        terms.parts.set(Tag::Refused, words.as_bytes().to_vec());
        HandshakeState::new(terms, None, false)
    }

    /// Switches the terms to another mode.
    pub(crate) fn in_mode<N: Mode>(self) -> Handshake<F, C, N> {
        Handshake {
            wire: self.wire,
            sending: self.sending,
            receiving: self.receiving,
            parts: self.parts,
            requires_shape: self.requires_shape,
            names: self.names,
            time_limit: self.time_limit,
            child: self.child,
            #[cfg(feature = "shared-memory")]
            memory: self.memory,
            mode: PhantomData,
        }
    }

    #[cfg(feature = "session")]
    /// Replaces the codec.
    pub(crate) fn with_codec<D: Codec>(self, codec: D) -> Handshake<F, D, M> {
        let wire = self.wire.clone().with_codec(codec);
        self.with_wire(wire)
    }

    #[cfg(any(feature = "fanout", all(feature = "service", feature = "json")))]
    pub(crate) fn wire(&self) -> &Wire<F, C> {
        &self.wire
    }

    #[cfg(any(feature = "process", feature = "service", feature = "session"))]
    pub(crate) fn time_limit(&self) -> TimeLimit {
        self.time_limit
    }

    /// Starts the exchange of the terms, for messages of which nothing is told.
    #[cfg(test)]
    pub(crate) fn begin(&self, sends_handles: bool, allows_handles: bool) -> HandshakeState {
        HandshakeState::new(self.terms(sends_handles, allows_handles), None, false)
    }

    /// Makes the channels, if the terms of both sides match.
    pub(crate) fn conclude<Out: ?Sized, In>(
        self,
        state: &HandshakeState,
        reader: ReadHalf<M>,
        writer: WriteHalf<M>,
    ) -> Result<Channels<Out, In, F, C, M>, Error> {
        let agreed = state.conclude().map_err(|error| error.at(reader.shared_path()))?;
        let mut sender = writer.into_sender_with(self.wire.clone()).checking(agreed.reads);
        sender.lower_limit(agreed.max_payload);
        // The peer uses this crate, which ends its messages: a message without an end was cut off.
        let receiver = reader.into_receiver_with(self.wire).requiring_ends();
        let receiver = receiver.told_by_peer(agreed.writes);
        Ok((sender, receiver))
    }

    /// Starts the exchange of the terms of a side of calls with these roles.
    #[cfg(feature = "service")]
    pub(crate) fn begin_calls(
        &self,
        roles: Roles,
        reads: fn(Style) -> Shape,
        sends: fn(Style) -> Shape,
    ) -> HandshakeState {
        let announce = |style| Announcement {
            received: Some(reads(style)),
            sent: Some(sends(style)),
            roles: Some((roles, None)),
        };
        let announcement = self.wire.codec().style().map(announce);
        HandshakeState::new(self.terms(false, false), announcement, false)
    }

    /// What encodes and decodes the bytes of the connection, the most that the other side takes in a payload, and what it
    /// reads, as far as it tells.
    #[cfg(feature = "service")]
    pub(crate) fn conclude_bytes(
        &self,
        state: &HandshakeState,
    ) -> Result<(Encoder<F, C>, Decoder<F, C>, u64, Option<Shape>), Error> {
        let theirs = state.conclude()?;
        let limit = self.wire.framing().max_payload().min(theirs.max_payload);
        let mut encoder = Encoder::new(self.wire.clone());
        encoder.lower_limit(theirs.max_payload);
        Ok((encoder, Decoder::new(self.wire.clone()), limit, theirs.reads))
    }

    pub(super) fn terms(&self, sends_handles: bool, allows_handles: bool) -> Terms {
        let cut = |text: &str| short_text::cut(text, u8::MAX).to_owned();
        let mut parts = self.parts.clone();
        if !self.names.is_silent() {
            parts.set(Tag::Names, self.names.to_bytes());
        }
        Terms {
            sends_handles,
            allows_handles,
            max_payload: self.wire.framing().max_payload(),
            framing: cut(self.wire.framing().name()),
            codec: cut(self.wire.codec().name()),
            sending: cut(&self.sending),
            receiving: cut(&self.receiving),
            parts,
        }
    }
}

/// The channels of both sides of a pair.
type BothSides<Out, In, F, C, M> = (Channels<Out, In, F, C, M>, Channels<In, Out, F, C, M>);

/// How many bytes of the peer's are kept while it does not read: more than it sends before it must.
const TAKEN_IN: usize = 1 << 20;

/// Sends the terms of this side, and receives those of the peer: it reads while there is no room to write, so it does
/// not matter how long they are.
#[cfg(test)]
pub(crate) async fn shake_hands<M: Mode>(
    connection: Connection<M>,
    state: HandshakeState,
    until: WaitLimit,
) -> Result<HandshakeDone<M>, Error> {
    let (reader, writer) = connection.into_halves();
    let mut done = (state, reader, writer);
    talk(&mut done, until).await?;
    Ok(done)
}

/// Goes on with the exchange of the terms, as far as it has come, to its end.
pub(crate) async fn talk<M: Mode>(
    (state, reader, writer): &mut HandshakeDone<M>,
    until: WaitLimit,
) -> Result<(), Error> {
    let talk = async {
        if reader.was_accepted() && !reader.token().is_some_and(CancelToken::is_cancelled) {
            // A client that has spoken is heard first: then this side says all that it has to say at once.
            hear(state, reader)?;
        }
        loop {
            while let Some(bytes) = state.pending() {
                let sent =
                    poll_fn(|cx| writer.poll_write_or_take_in(reader, TAKEN_IN, cx, bytes, until));
                let sent = sent.await?;
                state.sent(sent);
            }
            let Some(room) = state.room() else { return Ok(()) };
            let got = poll_fn(|cx| reader.poll_read_until(cx, room, until)).await;
            state.got(got)?;
            hear(state, reader)?;
        }
    };
    let talked = woken_at::<M, _>(until, talk).await;
    talked.map_err(|error| reader.failed(Operation::Agree, error))
}

/// Answers a client that has spoken, as far as that takes no waiting. What fails here fails again.
#[cfg(feature = "service")]
pub(crate) fn answer<M: Mode>((state, reader, writer): &mut HandshakeDone<M>) {
    let _ = hear(state, reader);
    if let Some(bytes) = state.pending().filter(|_| state.has_terms()) {
        if let Ok(sent) = writer.write_here(bytes) {
            state.sent(sent);
        }
    }
}

/// Hears what is here of a client. What fails here fails again.
#[cfg(feature = "service")]
pub(crate) fn listen<M: Mode>((state, reader, _): &mut HandshakeDone<M>) {
    let _ = hear(state, reader);
}

/// So many reads take a round that came at once: its head, the length of what follows, and that.
const READS: usize = 3;

/// Hears what is here of the present round.
fn hear<M: Mode>(state: &mut HandshakeState, reader: &mut ReadHalf<M>) -> io::Result<()> {
    let second = state.has_second_round();
    for _ in 0..READS {
        let Some(room) = state.room() else { break };
        match reader.read_here(room) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            got => state.got(got)?,
        }
        if state.has_second_round() != second {
            break;
        }
    }
    Ok(())
}

/// The error of a connection that has ended, which is the end of the child where the child has ended: that comes after
/// the end of all that it had open.
pub(super) async fn explained<M: Mode>(child: Option<&Process>, error: Error) -> Error {
    let Some(child) = child.filter(|_| error.is_disconnected()) else { return error };
    let until = M::within(CHILD_EXIT_TIMEOUT);
    loop {
        match child.ended() {
            Ok(Some(Ended(status))) => {
                return error.because(Obstacle::ChildExited(SHOOK_HANDS, status));
            }
            Ok(None) if M::over(until).is_none() => {
                let moment = M::sooner(until, Duration::from_millis(1));
                if M::sleep(moment, None).await.is_err() {
                    return error;
                }
            }
            _ => return error,
        }
    }
}

/// How long a child that has closed its connection may take to end.
const CHILD_EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a child is to do.
const SHOOK_HANDS: &str = "did its part of the handshake";

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::connection::{ConnectOptions, Listener, ListenerOptions};
    use crate::state::Runtime as _;

    #[test]
    fn a_client_that_has_spoken_is_told_all_at_once() {
        let listener = Listener::temporary().unwrap();
        let mut client = Connection::connect(listener.path()).unwrap();
        // One that asks what the messages look like.
        let state = Handshake::new().undecided();
        let terms = state.pending().unwrap();
        client.writer().write(terms).unwrap();
        let server = listener.accept().unwrap();
        let serving = thread::spawn(move || server.into_typed::<str, String>().map(drop));
        let mut heard = [0; 4096];
        let bytes = client.reader().read_timeout(&mut heard, Duration::from_secs(10)).unwrap();
        assert!(bytes > terms.len(), "it is told what the messages look like by another write");
        let told = 12 + usize::from(u16::from_be_bytes([heard[10], heard[11]]));
        assert!(bytes > told, "what the messages look like comes by another write than the terms");
        drop(client);
        assert!(serving.join().unwrap().is_err());
    }

    #[test]
    fn a_client_that_waits_to_be_told_the_terms_is_told() {
        let listener = Listener::temporary().unwrap();
        let mut client = Connection::connect(listener.path()).unwrap();
        let server = listener.accept().unwrap();
        let serving = thread::spawn(move || server.into_typed::<u32, u32>().map(drop));
        let bytes = client.reader().read_timeout(&mut [0; 4], Duration::from_secs(10)).unwrap();
        assert_eq!(bytes, 4);
        drop(client);
        assert!(serving.join().unwrap().is_err());
    }

    #[test]
    fn terms_larger_than_the_buffers_are_exchanged_while_both_sides_write() {
        let listener = ListenerOptions::new().buffer_size(4096).temporary().unwrap();
        let connect = ConnectOptions::new().buffer_size(4096);
        let client = connect.connect(listener.path()).unwrap();
        let server = listener.accept().unwrap();
        let said = |side: u8| {
            let long = Handshake::new().with_part(Tag::Memory, vec![side; 59_000]);
            long.timeout(Duration::from_secs(5)).begin(false, false)
        };
        let other = thread::spawn(move || {
            let until = TIME_LIMIT.until::<Blocking>();
            Blocking::run(shake_hands(server, said(1), until)).unwrap().0.theirs(Tag::Memory)
        });
        let until = TIME_LIMIT.until::<Blocking>();
        let (state, ..) = Blocking::run(shake_hands(client, said(2), until)).unwrap();
        assert_eq!(state.theirs(Tag::Memory), Some(vec![1; 59_000]));
        assert_eq!(other.join().unwrap(), Some(vec![2; 59_000]));
    }
}
