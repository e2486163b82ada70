//! The handshake: what two sides tell each other before the first message.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::time::Duration;

use super::halves::Channels;
use super::handshake_state::{HandshakeDone, HandshakeState, Terms};
use super::message::{Inbound, Outbound};
use crate::connection::{Connection, ReadHalf, WriteHalf};
use crate::error::{Error, Operation};
use crate::state::{Blocking, Mode, woken_at};
use crate::sys::WaitLimit;
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire, short_text};

/// What this side speaks, and what it expects of the other.
///
/// Before the first message, both sides of a [`TypedConnection`](crate::TypedConnection) tell each other which wire they speak: its framing, its
/// codec, the largest payload they take, whether there may be handles beside the messages, and, if it is
/// set, an identifier of the messages of each direction. What does not fit is an error on both sides,
/// [`Mismatch`](crate::ErrorKind::Mismatch), that says what each spoke. Where one side takes only smaller payloads, the
/// other one's sender keeps to that.
///
/// An identifier is a name of the program's own for a set of messages, with a version, such as `"chat/2"`: two
/// types may have the same bytes in a codec, and only the program can say that they are not the same. It is compared
/// where both sides have set one.
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
/// Each side sends this at once, and then reads that of the other. All numbers are big-endian.
///
/// | bytes | meaning |
/// |---|---|
/// | 4 | `0xFFFF_FF02`: no [`LengthPrefixed`] message begins like this |
/// | 4 | `tpip` |
/// | 1 | the version of this table: 1 |
/// | 1 | 1 if handles may be beside what this side sends, plus 2 if it lets in those beside what it receives |
/// | 2 | how many bytes follow |
/// | 8 | the largest payload that this side takes, in bytes |
/// | rest | four strings, each after its length in one byte: the framing, the codec, the identifier of what this side sends, and that of what it receives; an identifier may be empty. What comes after them is ignored |
#[derive(Clone, Debug)]
#[must_use = "a handshake is made with `perform`"]
pub struct Handshake<F = LengthPrefixed, C = Postcard, M: Mode = Blocking> {
    wire: Wire<F, C>,
    sending: String,
    receiving: String,
    time_limit: TimeLimit,
    mode: PhantomData<M>,
}

/// How long the other side may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeLimit {
    Time(Duration),
    #[cfg(feature = "service")]
    WaitLimit(WaitLimit),
}

impl TimeLimit {
    /// How long the other side may take from now on.
    pub(crate) fn until<M: Mode>(self) -> WaitLimit {
        match self {
            Self::Time(time) => M::within(time),
            #[cfg(feature = "service")]
            Self::WaitLimit(until) => until,
        }
    }
}

const TIME_LIMIT: TimeLimit = TimeLimit::Time(Duration::from_secs(10));

impl Handshake {
    /// The usual wire, no identifiers, and 10 seconds for the other side to agree.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), String>()?.recv()); // on the usual handshake
    /// Handshake::new().perform::<str, ()>(client)?.send("hello")?;
    /// assert_eq!(serving.join().unwrap()?, "hello");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn new() -> Self {
        Self {
            wire: Wire::default(),
            sending: String::new(),
            receiving: String::new(),
            time_limit: TIME_LIMIT,
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
    /// Speaks another wire.
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
    /// let error = client.send(&"x".repeat(2000)).unwrap_err(); // more than the other side takes
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn with_wire<G, D>(self, wire: Wire<G, D>) -> Handshake<G, D, M> {
        Handshake {
            wire,
            sending: self.sending,
            receiving: self.receiving,
            time_limit: self.time_limit,
            mode: PhantomData,
        }
    }

    /// Sets the identifier of the messages that this side sends. Of a longer one, the first 255 bytes count.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Handshake};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || Handshake::new().perform::<(), String>(server)); // sets none
    /// let mut client = Handshake::new().sending("chat/2").perform::<str, ()>(client)?; // so this may be any
    /// client.send("hello")?;
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn sending(mut self, identifier: impl Into<String>) -> Self {
        self.sending = identifier.into();
        self
    }

    /// Sets the identifier of the messages that this side receives. Of a longer one, the first 255 bytes count.
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

    /// Sets how long the other side may take to agree; 10 seconds unless set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind, Handshake, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let silent = Connection::connect(listener.path())?; // a client that says nothing
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

    #[cfg(feature = "service")]
    /// Lets the other side take its time up to this deadline; where there is none, as long as usual.
    pub(crate) fn by(mut self, until: WaitLimit) -> Self {
        if let WaitLimit::Deadline(_) | WaitLimit::Now = until {
            self.time_limit = TimeLimit::WaitLimit(until);
        }
        self
    }

    pub(crate) async fn performing<Out: Outbound + ?Sized, In: Inbound>(
        self,
        mut connection: Connection<M>,
    ) -> Result<Channels<Out, In, F, C, M>, Error> {
        if In::WITH_HANDLES {
            connection.reader().raw_mut().allow_handles();
        }
        let state = self.begin(Out::WITH_HANDLES, In::WITH_HANDLES);
        let done = shake_hands(connection, state, self.time_limit.until::<M>()).await;
        let (state, reader, writer) = done?;
        self.conclude(&state, reader, writer)
    }

    /// The same terms for another mode.
    pub(crate) fn in_mode<N: Mode>(self) -> Handshake<F, C, N> {
        let Self { wire, sending, receiving, time_limit, .. } = self;
        Handshake { wire, sending, receiving, time_limit, mode: PhantomData }
    }

    #[cfg(all(feature = "service", feature = "tokio"))]
    pub(crate) fn time_limit(&self) -> TimeLimit {
        self.time_limit
    }

    /// What is to be told and heard.
    pub(crate) fn begin(&self, sends_handles: bool, allows_handles: bool) -> HandshakeState {
        HandshakeState::new(self.terms(sends_handles, allows_handles))
    }

    /// The channels, if the two sides understand each other.
    pub(crate) fn conclude<Out: ?Sized, In>(
        self,
        state: &HandshakeState,
        reader: ReadHalf<M>,
        writer: WriteHalf<M>,
    ) -> Result<Channels<Out, In, F, C, M>, Error> {
        let theirs = state.conclude().map_err(|error| error.at(reader.shared_path()))?;
        let mut outgoing = self.wire.clone();
        outgoing.framing_mut().lower_max_payload(theirs.max_payload);
        // The other side is this crate, which ends its messages: what has no end was cut off.
        let receiver = reader.into_receiver_with(self.wire).requiring_ends();
        Ok((writer.into_sender_with(outgoing), receiver))
    }

    pub(super) fn terms(&self, sends_handles: bool, allows_handles: bool) -> Terms {
        let cut = |text: &str| short_text::cut(text, u8::MAX).to_owned();
        Terms {
            sends_handles,
            allows_handles,
            max_payload: self.wire.framing().max_payload(),
            framing: cut(self.wire.framing().name()),
            codec: cut(self.wire.codec().name()),
            sending: cut(&self.sending),
            receiving: cut(&self.receiving),
        }
    }
}

/// Tells the terms of this side, and hears those of the other.
pub(crate) async fn shake_hands<M: Mode>(
    connection: Connection<M>,
    mut state: HandshakeState,
    until: WaitLimit,
) -> Result<HandshakeDone<M>, Error> {
    let (mut reader, mut writer) = connection.split();
    let talk = async {
        while let Some(bytes) = state.pending() {
            let sent = poll_fn(|cx| writer.poll_write_until(cx, bytes, until)).await?;
            state.sent(sent);
        }
        while let Some(room) = state.room() {
            let got = poll_fn(|cx| reader.poll_read_until(cx, room, until)).await;
            state.got(got)?;
        }
        Ok(())
    };
    match woken_at::<M, _>(until, talk).await {
        Ok(()) => Ok((state, reader, writer)),
        Err(error) => Err(reader.failed(Operation::Agree, error)),
    }
}
