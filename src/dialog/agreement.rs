//! The agreement: what two sides tell each other before the first message.

use std::io;
use std::time::Duration;

use super::connection::{Channels, TypedConnection};
use crate::channel::{Receivable, Sendable, WithHandles};
use crate::duplex::{Connection, ReadHalf, WriteHalf};
use crate::error::{Dissent, Error, Operation};
use crate::state::Mode;
use crate::sys::Until;
use crate::wait::half::{ReadWithin as _, WriteWithin as _};
use crate::wait::within;
use crate::wire::{Codec, Framing, LengthPrefixed, Postcard, Wire};

/// What this side speaks, and what it expects of the other.
///
/// Before the first message, both sides of a [`TypedConnection`] tell each other which wire they speak: its framing, its
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
/// use typed_pipe::{Agreement, Connection, ErrorKind};
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || {
///     Agreement::new().sending("event/1").receiving("command/2").make::<u32, u32>(server)
/// });
/// let made = Agreement::new().sending("command/1").make::<u32, u32>(client);
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
#[must_use = "an agreement is made with `make`"]
pub struct Agreement<F = LengthPrefixed, C = Postcard> {
    wire: Wire<F, C>,
    sending: String,
    receiving: String,
    patience: Patience,
}

/// How long the other side may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    Time(Duration),
    Until(Until),
}

impl Patience {
    /// How long the other side may take from now on.
    pub(crate) fn until(self) -> Until {
        match self {
            Self::Time(time) => within(time),
            Self::Until(until) => until,
        }
    }
}

const PATIENCE: Patience = Patience::Time(Duration::from_secs(10));

impl Agreement {
    /// The usual wire, no identifiers, and 10 seconds for the other side to agree.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Agreement, Connection};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_typed::<(), String>()?.recv()); // on the usual agreement
    /// Agreement::new().make::<str, ()>(client)?.send("hello")?;
    /// assert_eq!(serving.join().unwrap()?, "hello");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn new() -> Self {
        Self {
            wire: Wire::default(),
            sending: String::new(),
            receiving: String::new(),
            patience: PATIENCE,
        }
    }
}

impl Default for Agreement {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Framing + Clone, C: Codec + Clone> Agreement<F, C> {
    /// Speaks another wire.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::wire::{LengthPrefixed, Wire};
    /// use typed_pipe::{Agreement, Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let small = Wire::default().with_framing(LengthPrefixed::default().limit(1000));
    /// let serving =
    ///     thread::spawn(move || Agreement::new().with_wire(small).make::<(), String>(server));
    ///
    /// let mut client = Agreement::new().make::<str, ()>(client)?;
    /// let error = client.send(&"x".repeat(2000)).unwrap_err(); // more than the other side takes
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn with_wire<G, D>(self, wire: Wire<G, D>) -> Agreement<G, D> {
        Agreement {
            wire,
            sending: self.sending,
            receiving: self.receiving,
            patience: self.patience,
        }
    }

    /// Sets the identifier of the messages that this side sends. Of a longer one, the first 255 bytes count.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Agreement, Connection};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || Agreement::new().make::<(), String>(server)); // sets none
    /// let mut client = Agreement::new().sending("chat/2").make::<str, ()>(client)?; // so this may be any
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
    /// use typed_pipe::{Agreement, Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || {
    ///     Agreement::new().receiving("chat/1").make::<(), String>(server).unwrap_err()
    /// });
    /// let error = Agreement::new().sending("chat/2").make::<str, ()>(client).unwrap_err();
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
    /// use typed_pipe::{Agreement, Connection, ErrorKind, Listener};
    ///
    /// let listener = Listener::temporary()?;
    /// let silent = Connection::connect(listener.path())?; // a client that says nothing
    /// let agreement = Agreement::new().within(Duration::from_millis(10));
    /// let error = agreement.make::<u32, u32>(listener.accept()?).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # drop(silent);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn within(mut self, timeout: Duration) -> Self {
        self.patience = Patience::Time(timeout);
        self
    }

    /// Lets the other side take its time up to this deadline; where there is none, as long as usual.
    pub(crate) fn by(mut self, until: Until) -> Self {
        if let Until::Deadline(_) | Until::Now = until {
            self.patience = Patience::Until(until);
        }
        self
    }

    /// Comes to the agreement, and makes the connection one of typed messages.
    ///
    /// It takes the thread of whoever serves this client, and never that of the listener: a client that says nothing
    /// costs only itself.
    ///
    /// ```
    /// use typed_pipe::{Agreement, Connection, ErrorKind};
    ///
    /// let (mut client, server) = Connection::pair()?;
    /// client.writer().write(b"GET / HTTP/1.1\r\n\r\n")?; // a program that agrees on nothing
    /// let error = Agreement::new().make::<u32, u32>(server).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Mismatch);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Mismatch`](crate::ErrorKind::Mismatch): the other side speaks something else.
    /// - [`TimedOut`](crate::ErrorKind::TimedOut): it has not said in time what it speaks.
    /// - [`Disconnected`](crate::ErrorKind::Disconnected): it has left.
    /// - [`Stopped`](crate::ErrorKind::Stopped): see [`Connection::stopped_by`].
    /// - [`Io`](crate::ErrorKind::Io): any other.
    pub fn make<Out: Outbound + ?Sized, In: Inbound>(
        self,
        connection: Connection,
    ) -> Result<TypedConnection<Out, In, F, C>, Error> {
        let (mut reader, mut writer) = connection.split();
        if In::WITH_HANDLES {
            reader.io_mut().let_in();
        }
        let until = self.patience.until();
        let mut talk = self.begin(Out::WITH_HANDLES, In::WITH_HANDLES);
        let failed = |reader: &ReadHalf, error| reader.failed(Operation::Agree, error);
        while let Some(bytes) = talk.pending() {
            let sent = writer.write_until(bytes, until).map_err(|error| failed(&reader, error))?;
            talk.sent(sent);
        }
        while let Some(room) = talk.room() {
            let got = reader.read_until(room, until).map_err(|error| failed(&reader, error))?;
            talk.got(got);
        }
        let (sender, receiver) = self.conclude(&talk, reader, writer)?;
        Ok(TypedConnection::new(sender, receiver))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// What is to be told and heard.
    pub(crate) fn begin(&self, sends_handles: bool, lets_in_handles: bool) -> Talk {
        Talk::new(self.terms(sends_handles, lets_in_handles))
    }

    /// The channels, if the two sides understand each other.
    pub(crate) fn conclude<Out: ?Sized, In, M: Mode>(
        self,
        talk: &Talk,
        reader: ReadHalf<M>,
        writer: WriteHalf<M>,
    ) -> Result<Channels<Out, In, F, C, M>, Error> {
        let theirs = talk.conclude().map_err(|error| error.at(reader.shared_path()))?;
        let mut outgoing = self.wire.clone();
        outgoing.framing_mut().lower_max_payload(theirs.max_payload);
        Ok((writer.into_sender_with(outgoing), reader.into_receiver_with(self.wire)))
    }

    fn terms(&self, sends_handles: bool, lets_in_handles: bool) -> Terms {
        Terms {
            sends_handles,
            lets_in_handles,
            max_payload: self.wire.framing().max_payload(),
            framing: cut(self.wire.framing().name()),
            codec: cut(self.wire.codec().name()),
            sending: cut(&self.sending),
            receiving: cut(&self.receiving),
        }
    }
}

/// What one side tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Terms {
    sends_handles: bool,
    lets_in_handles: bool,
    max_payload: u64,
    framing: String,
    codec: String,
    sending: String,
    receiving: String,
}

/// What an agreement begins with: a word that is no length, a mark, the version, the flags, and a length.
const HEAD: usize = 12;
const MARK: [u8; 8] = *b"\xff\xff\xff\x02tpip";
const VERSION: u8 = 1;

impl Terms {
    fn to_bytes(&self) -> Vec<u8> {
        let mut body = self.max_payload.to_be_bytes().to_vec();
        for string in [&self.framing, &self.codec, &self.sending, &self.receiving] {
            // They were cut to what a byte can count.
            body.push(u8::try_from(string.len()).unwrap_or(u8::MAX));
            body.extend_from_slice(string.as_bytes());
        }
        let flags = u8::from(self.sends_handles) | (u8::from(self.lets_in_handles) << 1);
        let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
        let mut bytes = MARK.to_vec();
        bytes.extend_from_slice(&[VERSION, flags]);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The terms of a body whose head told of these flags; `None` where it is cut.
    fn from_body(flags: u8, mut body: &[u8]) -> Option<Self> {
        let (max_payload, rest) = body.split_first_chunk()?;
        body = rest;
        let mut string = || {
            let (&len, rest) = body.split_first()?;
            let (bytes, rest) = rest.split_at_checked(len.into())?;
            body = rest;
            Some(String::from_utf8_lossy(bytes).into_owned())
        };
        Some(Self {
            sends_handles: flags & 1 != 0,
            lets_in_handles: flags & 2 != 0,
            max_payload: u64::from_be_bytes(*max_payload),
            framing: string()?,
            codec: string()?,
            sending: string()?,
            receiving: string()?,
        })
    }

    /// Whether the two sides understand each other.
    fn compare(&self, theirs: &Self) -> Result<(), Dissent> {
        let differ = |what, ours: &str, theirs: &str| {
            Err(Dissent::Differs { what, ours: ours.to_owned(), theirs: theirs.to_owned() })
        };
        let identified = |ours: &str, theirs: &str| !ours.is_empty() && !theirs.is_empty();
        if self.framing != theirs.framing {
            return differ("the framing", &self.framing, &theirs.framing);
        }
        if self.codec != theirs.codec {
            return differ("the codec", &self.codec, &theirs.codec);
        }
        if identified(&self.sending, &theirs.receiving) && self.sending != theirs.receiving {
            return differ("what this side sends", &self.sending, &theirs.receiving);
        }
        if identified(&self.receiving, &theirs.sending) && self.receiving != theirs.sending {
            return differ("what this side receives", &self.receiving, &theirs.sending);
        }
        let handles = |with: bool| if with { "with handles" } else { "without handles" };
        if self.sends_handles != theirs.lets_in_handles {
            let (ours, theirs) = (handles(self.sends_handles), handles(theirs.lets_in_handles));
            return differ("what this side sends", ours, theirs);
        }
        if self.lets_in_handles != theirs.sends_handles {
            let (ours, theirs) = (handles(self.lets_in_handles), handles(theirs.sends_handles));
            return differ("what this side receives", ours, theirs);
        }
        Ok(())
    }
}

/// The two sides have talked; what that has come to is not known yet.
#[cfg(feature = "tokio")]
pub(crate) type Talked<M> = (Talk, ReadHalf<M>, WriteHalf<M>);

/// What one side tells and hears before the first message: exactly that, and nothing after it.
///
/// A driver writes what is [pending](Self::pending), and then reads into the [room](Self::room) as long as there is any.
#[derive(Debug)]
pub(crate) struct Talk {
    ours: Terms,
    /// What is to be told, and how much of it was.
    told: Vec<u8>,
    sent: usize,
    /// What is heard, and how much of it has come.
    heard: Vec<u8>,
    got: usize,
    has_left: bool,
}

impl Talk {
    fn new(ours: Terms) -> Self {
        let told = ours.to_bytes();
        Self { ours, told, sent: 0, heard: vec![0; HEAD], got: 0, has_left: false }
    }

    /// What is to be written next; `None` when all is.
    pub(crate) fn pending(&self) -> Option<&[u8]> {
        self.told.get(self.sent..).filter(|rest| !rest.is_empty())
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// Room for what is to be read next; `None` when nothing more is expected.
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        if self.has_left {
            return None;
        }
        self.heard.get_mut(self.got..).filter(|room| !room.is_empty())
    }

    /// Notes what was read; nothing, where the other side has left.
    pub(crate) fn got(&mut self, bytes: usize) {
        self.got += bytes;
        self.has_left = bytes == 0;
        if self.got == HEAD {
            if let Some((_, len)) = self.head().ok().flatten() {
                self.heard.resize(HEAD + usize::from(len), 0);
            }
        }
    }

    /// The flags of what was heard, and the length of its body; `None` where the other side has left.
    fn head(&self) -> Result<Option<(u8, u16)>, Dissent> {
        let heard = self.heard.get(..self.got.min(HEAD)).unwrap_or_default();
        let foreign = || Err(Dissent::Foreign { bytes: heard.to_vec() });
        match heard {
            [mark @ .., version, flags, high, low] if heard.len() == HEAD => {
                if *mark != MARK {
                    return foreign();
                }
                if *version != VERSION {
                    return Err(Dissent::Version { ours: VERSION, theirs: *version });
                }
                Ok(Some((*flags, u16::from_be_bytes([*high, *low]))))
            }
            // What has come is how an agreement begins.
            begun if MARK.starts_with(begun) || begun.starts_with(&MARK) => Ok(None),
            _ => foreign(),
        }
    }

    /// What the other side has told, if this one understands it.
    fn conclude(&self) -> Result<Terms, Error> {
        let dissent = |dissent: Dissent| Error::new(Operation::Agree, dissent);
        let body = self.heard.get(HEAD..self.got).unwrap_or_default();
        let flags = match self.head().map_err(dissent)? {
            Some((flags, len)) if body.len() == usize::from(len) => flags,
            _ => {
                let left = io::Error::from(io::ErrorKind::BrokenPipe);
                return Err(Error::new(Operation::Agree, left));
            }
        };
        let theirs = Terms::from_body(flags, body).ok_or_else(|| {
            let bytes = self.heard.get(..HEAD).unwrap_or_default().to_vec();
            dissent(Dissent::Foreign { bytes })
        })?;
        self.ours.compare(&theirs).map_err(dissent)?;
        Ok(theirs)
    }
}

/// The longest beginning of a string that a byte can count.
fn cut(string: &str) -> String {
    let mut end = string.len().min(u8::MAX.into());
    while !string.is_char_boundary(end) {
        end -= 1;
    }
    string.get(..end).unwrap_or_default().to_owned()
}

/// What one side of a [`TypedConnection`] may send: what serde can serialize, or that [`WithHandles`].
///
/// ```
/// use std::thread;
/// use typed_pipe::{Connection, Error, Outbound, TypedConnection, WithHandles};
///
/// fn serve<Out: Outbound + ?Sized>(client: Connection) -> Result<TypedConnection<Out, ()>, Error> {
///     client.require_same_user()?;
///     client.into_typed()
/// }
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || serve::<str>(server)?.send("hello"));
/// assert_eq!(client.into_typed::<(), String>()?.recv()?, "hello");
/// assert!(!str::WITH_HANDLES && WithHandles::<String>::WITH_HANDLES);
/// # serving.join().unwrap()?;
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent",
    label = "not a message",
    note = "add `#[derive(serde::Serialize)]` to `{Self}`"
)]
pub trait Outbound {
    /// Whether there may be handles beside it.
    const WITH_HANDLES: bool;
}

#[diagnostic::do_not_recommend]
impl<T: Sendable + ?Sized> Outbound for T {
    const WITH_HANDLES: bool = false;
}

#[diagnostic::do_not_recommend]
impl<T: Sendable> Outbound for WithHandles<T> {
    const WITH_HANDLES: bool = true;
}

/// What one side of a [`TypedConnection`] may receive: what serde can deserialize without borrowing, or that
/// [`WithHandles`].
///
/// ```
/// use std::thread;
/// use typed_pipe::{Connection, Error, Inbound, TypedConnection, WithHandles};
///
/// fn serve<In: Inbound>(client: Connection) -> Result<TypedConnection<(), In>, Error> {
///     client.require_same_user()?;
///     client.into_typed()
/// }
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || serve::<String>(server)?.recv());
/// client.into_typed::<str, ()>()?.send("hello")?;
/// assert_eq!(serving.join().unwrap()?, "hello");
/// assert!(!String::WITH_HANDLES && WithHandles::<String>::WITH_HANDLES);
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be received",
    label = "not an owned message",
    note = "add `#[derive(serde::Deserialize)]` to `{Self}`"
)]
pub trait Inbound {
    /// Whether there may be handles beside it.
    const WITH_HANDLES: bool;
}

#[diagnostic::do_not_recommend]
impl<T: Receivable> Inbound for T {
    const WITH_HANDLES: bool = false;
}

#[diagnostic::do_not_recommend]
impl<T: Receivable> Inbound for WithHandles<T> {
    const WITH_HANDLES: bool = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Agreement::new().sending("event/1").receiving("command/1").terms(true, false)
    }

    fn read(bytes: &[u8]) -> Option<Terms> {
        let (head, body) = bytes.split_at_checked(HEAD)?;
        Terms::from_body(*head.get(9)?, body)
    }

    #[test]
    fn golden_bytes() {
        let bytes = Agreement::new().sending("a").terms(true, false).to_bytes();
        let want = b"\xff\xff\xff\x02tpip\x01\x01\x00\x24\x00\x00\x00\x00\x00\x80\x00\x00\
            \x0flength-prefixed\x08postcard\x01a\x00";
        assert_eq!(bytes, want);
    }

    #[test]
    fn reads_what_it_wrote_and_no_less() {
        let bytes = terms().to_bytes();
        assert_eq!(read(&bytes), Some(terms()));
        for cut in HEAD..bytes.len() {
            assert_eq!(read(&bytes[..cut]), None, "{cut}");
        }
        // What a later version may add.
        assert_eq!(read(&[&bytes[..], b"more"].concat()), Some(terms()));
    }

    #[test]
    fn d7_what_differs_is_named() {
        let mirrored = Terms {
            sends_handles: false,
            lets_in_handles: true,
            sending: "command/1".into(),
            receiving: "event/1".into(),
            ..terms()
        };
        assert!(terms().compare(&mirrored).is_ok());
        let silent = Terms { sending: String::new(), receiving: String::new(), ..mirrored.clone() };
        assert!(terms().compare(&silent).is_ok());
        let words = |theirs: Terms| terms().compare(&theirs).unwrap_err().to_string();
        for (theirs, want) in [
            (Terms { framing: "checked".into(), ..mirrored.clone() }, "the framing"),
            (Terms { codec: "json".into(), ..mirrored.clone() }, "the codec"),
            (Terms { receiving: "event/2".into(), ..mirrored.clone() }, "what this side sends"),
            (Terms { sending: "command/2".into(), ..mirrored.clone() }, "what this side receives"),
            (Terms { lets_in_handles: false, ..mirrored.clone() }, "what this side sends"),
            (Terms { sends_handles: true, ..mirrored }, "what this side receives"),
        ] {
            assert!(words(theirs).contains(want), "{want}");
        }
    }

    #[test]
    fn long_identifiers_are_cut_between_letters() {
        let long = "é".repeat(200);
        assert_eq!(cut(&long).len(), 254);
        assert_eq!(cut("short"), "short");
        let bytes = Agreement::new().sending(long.clone()).terms(false, false).to_bytes();
        assert_eq!(read(&bytes).unwrap().sending, cut(&long));
    }
}
