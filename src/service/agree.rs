//! What the two sides of a connection of calls agree upon.

use super::encoding::Binary;
use super::framed::{Framed, ShapeOf};
#[cfg(feature = "json")]
use super::json_rpc::{self, JsonRpc, Known};
use super::link::{Kind, Parts, Reads};
use super::panics::contain;
use crate::channel::{Described, Receivable};
use crate::connection::{Connection, ReadHalf, WriteHalf};
use crate::error::{Disagreement, Error, Operation};
use crate::state::{Blocking, Mode};
use crate::sys::WaitLimit;
use crate::typed_connection::{
    Handshake, HandshakeDone, HandshakeState, MemoryOffered, Roles, Tag, answer, listen, talk,
};
use crate::wire::shape::Shape;
#[cfg(feature = "json")]
use crate::wire::shape::Style;
use crate::wire::{Codec, Decoder, Encoder, Framing, Wire};

/// The version of the frames of calls.
const VERSION: u8 = 1;

/// How many calls of the other side this one takes at once.
pub(super) const CALLS_AT_ONCE: u16 = 1024;

/// In the flags: this side can tell what its answers and items look like.
const CAN_TELL: u8 = 1;

/// In the flags: this side asks to be told that.
const ASKS: u8 = 2;

/// What a side says of its calls: the version, how many it takes at once, and its flags.
fn part(flags: u8, most: u16) -> Vec<u8> {
    let [high, low] = most.to_be_bytes();
    vec![VERSION, high, low, flags]
}

/// What a side says that has not the types of what it reads.
#[cfg(feature = "tool")]
pub(super) fn asking_part() -> Vec<u8> {
    part(CAN_TELL | ASKS | CALLS, CALLS_AT_ONCE)
}

/// Whether the other side tells what its answers and items look like, if it is asked; and what it reads.
#[cfg(feature = "tool")]
pub(super) fn asked(state: &HandshakeState) -> (bool, Option<Kind>) {
    let theirs = state.theirs(Tag::Calls).unwrap_or_default();
    let flags = theirs.get(3).copied().unwrap_or_default();
    (flags & CAN_TELL != 0, kind_in(flags))
}

/// The handshake of a connection of calls.
pub(super) fn handshake<F, C>(
    wire: Wire<F, C>,
    reads: Kind,
    layer: Layer,
) -> Handshake<F, C, Blocking>
where
    F: Framing + Clone,
    C: Codec + Clone,
{
    let handles = if layer.handles { HANDLES } else { 0 };
    let items = COMPARES_ITEMS | TAKES_SHAPES | MARKS_ITEMS;
    let flags = CAN_TELL | items | flags_of(reads) | handles;
    Handshake::new()
        .with_wire(wire)
        .with_part(Tag::Calls, part(flags, layer.max_requests()))
        .offering(layer.memory)
}

/// In the flags: this side handles calls, and this side calls. What it reads are requests, answers, or both.
const SERVES: u8 = 4;
const CALLS: u8 = 8;

/// In the flags: this side lets handles in.
const HANDLES: u8 = 16;

/// In the flags: this side calls with what the items that it reads look like, and holds its own against what it was told.
const COMPARES_ITEMS: u8 = 32;

/// In the flags: this side takes what the items of a caller look like, before the first of them.
const TAKES_SHAPES: u8 = 64;

/// In the flags: each call of this side that has items says what they look like, if only that nothing is known of them.
const MARKS_ITEMS: u8 = 128;

fn flags_of(kind: Kind) -> u8 {
    match kind {
        Kind::Requests => SERVES,
        Kind::Answers => CALLS,
        Kind::Both => SERVES | CALLS,
    }
}

/// What a side reads; `None` for one that does not say.
fn kind_in(flags: u8) -> Option<Kind> {
    match (flags & SERVES != 0, flags & CALLS != 0) {
        (true, false) => Some(Kind::Requests),
        (false, true) => Some(Kind::Answers),
        (true, true) => Some(Kind::Both),
        (false, false) => None,
    }
}

/// What a side of calls reads and sends, and as which one of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Types {
    roles: Roles,
    reads: ShapeOf,
    sends: ShapeOf,
}

impl Types {
    pub(crate) fn of_client<Req: Described, Resp: Receivable>() -> Self {
        let roles = Roles { serves: false, calls: true };
        Self { roles, reads: Shape::of::<Resp>, sends: Req::shape }
    }

    pub(crate) fn of_service<Req: Receivable, Resp: Described>() -> Self {
        let roles = Roles { serves: true, calls: false };
        Self { roles, reads: Shape::of::<Req>, sends: Resp::shape }
    }

    /// Those of a side that does both: with pairs of a request and of an answer, of which one is there.
    pub(super) fn of_both<Req, Resp, TheirReq, TheirResp>() -> Self
    where
        Req: Receivable,
        Resp: Described,
        TheirReq: Described,
        TheirResp: Receivable,
    {
        Self {
            roles: Roles { serves: true, calls: true },
            reads: Shape::of::<(Option<Req>, Option<TheirResp>)>,
            sends: |style| Shape::of_halves(&TheirReq::shape(style), &Resp::shape(style)),
        }
    }
}

#[cfg(feature = "json")]
impl Types {
    /// What JSON-RPC is to know of them.
    fn known(self) -> Known {
        let Self { roles: Roles { serves, calls }, reads, sends } = self;
        let (reads, sends) = (reads(Style::Named), sends(Style::Named));
        let results = |shape: &Shape, wanted| match wanted {
            true => shape.results(serves && calls),
            false => Default::default(),
        };
        Known {
            methods: reads.methods(),
            given: results(&sends, serves),
            awaited: results(&reads, calls),
        }
    }
}

/// Performs the handshake of a side with such types.
pub(crate) async fn agreed<F, C, M>(
    handshake: Handshake<F, C, M>,
    connection: Connection<M>,
    types: Types,
    layer: Layer,
) -> Result<Parts<M>, Error>
where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
    M: Mode,
{
    #[cfg(feature = "json")]
    if layer.json_rpc {
        #[cfg(feature = "shared-memory")]
        if let MemoryOffered(Some(memory)) = layer.memory {
            memory.without("JSON-RPC has no handshake")?;
        }
        return Ok(json_rpc(handshake.wire().clone(), connection, types, layer.max_requests()));
    }
    Box::new(Begun::new(handshake, connection, types, layer)?).end().await
}

/// What so many bytes describe is compared in next to no time.
const SMALL: usize = 4 << 10;

/// A handshake that has begun.
pub(crate) struct Begun<F, C, M: Mode> {
    handshake: Handshake<F, C, M>,
    done: HandshakeDone<M>,
    layer: Layer,
    until: WaitLimit,
}

impl<F, C, M> Begun<F, C, M>
where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
    M: Mode,
{
    #[cfg_attr(
        not(feature = "shared-memory"),
        expect(clippy::unnecessary_wraps, reason = "an offer of memory may fail")
    )]
    pub(super) fn new(
        handshake: Handshake<F, C, M>,
        mut connection: Connection<M>,
        types: Types,
        layer: Layer,
    ) -> Result<Self, Error> {
        if layer.handles {
            connection.reader().raw_mut().allow_handles();
        }
        let until = handshake.time_limit().until::<M>();
        #[cfg(feature = "shared-memory")]
        let mut handshake = handshake;
        #[cfg(feature = "shared-memory")]
        handshake.offer_memory(&mut connection)?;
        let state = handshake.begin_calls(types.roles, types.reads, types.sends);
        let (reader, writer) = connection.into_halves();
        Ok(Self { handshake, done: (state, reader, writer), layer, until })
    }

    /// What something of the other side comes through.
    pub(super) fn reader(&mut self) -> &mut ReadHalf<M> {
        let (_, reader, _) = &mut self.done;
        reader
    }

    /// Answers a client that has spoken, as far as that takes no waiting.
    pub(super) fn answer(&mut self) {
        answer(&mut self.done);
    }

    /// Exchanges the terms, and goes on through shared memory if both sides offer it.
    pub(super) async fn end(mut self: Box<Self>) -> Result<Parts<M>, Error> {
        talk(&mut self.done, self.until).await?;
        #[cfg(feature = "shared-memory")]
        self.handshake.share_memory(&mut self.done, self.layer.handles, self.until).await?;
        let (state, reader, _) = &self.done;
        let agreed = Agreed::of(&self.handshake, state);
        let agreed = agreed.map_err(|error| error.at(reader.shared_path()))?;
        Ok(self.into_parts(agreed))
    }

    /// Whether at most the description of the other side is missing.
    pub(super) fn is_answered(&self) -> bool {
        let (state, ..) = &self.done;
        state.has_terms() && state.pending().is_none() && !self.shares_memory()
    }

    /// Whether nothing more is to be said or heard, and what was heard is compared in next to no time.
    pub(super) fn is_done(&mut self) -> bool {
        let (state, ..) = &mut self.done;
        state.is_done() && state.described() <= SMALL
    }

    fn shares_memory(&self) -> bool {
        #[cfg(feature = "shared-memory")]
        return self.layer.memory.0.is_some();
        #[cfg(not(feature = "shared-memory"))]
        false
    }

    /// Ends it, where that takes no waiting and next to no time.
    pub(super) fn end_at_once(mut self: Box<Self>) -> Result<Parts<M>, Box<Self>> {
        listen(&mut self.done);
        if !self.is_done() {
            return Err(self);
        }
        let (state, ..) = &self.done;
        let mut agreed = None;
        // Code of the user's copies its wire, and may panic. What fails here fails again.
        contain(|| agreed = Agreed::of(&self.handshake, state).ok());
        match agreed {
            Some(agreed) => Ok(self.into_parts(agreed)),
            None => Err(self),
        }
    }

    fn into_parts(self, agreed: Agreed<F, C>) -> Parts<M> {
        let Self { handshake, done: (_, reader, writer), layer, .. } = self;
        // Code of the user's may panic here: what is returned by then would stay open.
        drop(handshake);
        agreed.into_parts(reader, writer, layer.max_requests())
    }
}

/// How the two sides talk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Layer {
    /// Whether this side lets handles in.
    pub(super) handles: bool,
    /// The shared memory that this side offers.
    pub(super) memory: MemoryOffered,
    /// How many calls of the other side this one takes at once, where it says so.
    pub(super) max_requests: Option<u16>,
    /// Whether they speak JSON-RPC, and so without a handshake.
    #[cfg(feature = "json")]
    pub(super) json_rpc: bool,
}

impl Layer {
    fn max_requests(self) -> u16 {
        self.max_requests.unwrap_or(CALLS_AT_ONCE)
    }

    /// Whether the two sides agree before they talk.
    pub(super) fn has_handshake(self) -> bool {
        #[cfg(feature = "json")]
        return !self.json_rpc;
        #[cfg(not(feature = "json"))]
        true
    }
}

/// A connection to a side that speaks JSON-RPC.
#[cfg(feature = "json")]
fn json_rpc<F, C, M>(
    wire: Wire<F, C>,
    connection: Connection<M>,
    types: Types,
    max_requests: u16,
) -> Parts<M>
where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
    M: Mode,
{
    let limit = wire.framing().max_payload();
    let most = usize::from(max_requests);
    let (read, written) = JsonRpc::pair(types.known(), most);
    let (encoder, decoder) = (Encoder::new(wire.clone()), Decoder::new(wire));
    let (reader, writer) = connection.into_halves();
    Parts {
        peer: writer.peer().ok(),
        takes_handles: false,
        has_credit: false,
        reads: None,
        tells: false,
        compares_items: false,
        marks_items: false,
        takes_shapes: false,
        reader,
        incoming: Box::new(Framed::new(decoder, read)),
        writer,
        outgoing: Box::new(Framed::new(encoder, written)),
        limit,
        most_mine: json_rpc::CALLS_AT_ONCE,
        most_theirs: most,
    }
}

/// What both sides agree upon, once the terms are exchanged.
pub(super) struct Agreed<F, C> {
    encoder: Encoder<F, C>,
    decoder: Decoder<F, C>,
    limit: u64,
    reads: Option<Reads>,
    /// How many calls of this side the other one takes at once.
    permits: usize,
    /// What the other side can do.
    flags: u8,
}

impl<F, C> Agreed<F, C>
where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
{
    pub(super) fn of<M: Mode>(
        handshake: &Handshake<F, C, M>,
        state: &HandshakeState,
    ) -> Result<Self, Error> {
        let (encoder, decoder, limit, reads) = handshake.conclude_bytes(state)?;
        let theirs = state.theirs(Tag::Calls).unwrap_or_default();
        let (permits, flags) = match theirs.as_slice() {
            [VERSION, high, low, rest @ ..] => {
                let permits = usize::from(u16::from_be_bytes([*high, *low]));
                (permits, rest.first().copied().unwrap_or_default())
            }
            theirs => {
                let theirs = theirs.first().copied().unwrap_or_default();
                let what = Disagreement::Calls { ours: VERSION, theirs };
                return Err(Error::new(Operation::Agree, what));
            }
        };
        let reads = reads.zip(kind_in(flags)).map(|(shape, of)| Reads { shape, of });
        Ok(Self { encoder, decoder, limit, reads, permits, flags })
    }

    /// What is made of the connection, of which this side takes so many calls at once.
    pub(super) fn into_parts<M: Mode>(
        self,
        reader: ReadHalf<M>,
        writer: WriteHalf<M>,
        most: u16,
    ) -> Parts<M> {
        let has = |flag| self.flags & flag != 0;
        Parts {
            peer: writer.peer().ok(),
            takes_handles: has(HANDLES) && writer.raw().carries_handles(),
            has_credit: true,
            reads: self.reads,
            tells: has(ASKS),
            compares_items: has(COMPARES_ITEMS),
            marks_items: has(MARKS_ITEMS),
            takes_shapes: has(TAKES_SHAPES),
            reader,
            incoming: Box::new(Framed::new(self.decoder, Binary)),
            writer,
            outgoing: Box::new(Framed::new(self.encoder, Binary)),
            limit: self.limit,
            most_mine: self.permits,
            most_theirs: most.into(),
        }
    }
}

/// The identifiers of what a client and a service of this name send.
pub(super) fn identifiers(name: &str) -> (String, String) {
    if name.is_empty() {
        return Default::default();
    }
    (format!("calls of {name}"), format!("answers of {name}"))
}

/// The identifier of what each side sends, where both call and both serve.
pub(super) fn of_both(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("calls and answers of {name}") }
}
