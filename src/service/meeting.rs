//! How a service meets its clients.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use super::agree::{Begun, Layer, Types, agreed};
use super::lifecycle::Lifecycle;
use super::link::{Link, Parts};
use super::panics::contain;
use super::serving::{Crew, Expects, Member, Served};
use crate::connection::{Connection, Listener};
use crate::error::{Disagreement, Error, ErrorKind, Operation};
use crate::path::PipePath;
use crate::state::{Blocking, Mode, Runtime as _};
use crate::sys::{Peer, Raw, Readiness, Server, Watched};
use crate::typed_connection::Handshake;
use crate::wait::within;
use crate::wire::{Codec, Framing};

/// Who is let in, or the words of the refusal.
pub(super) type Admit = Arc<dyn Fn(&Peer) -> Result<(), String> + Send + Sync>;

/// How a client is met.
pub(crate) struct Meeting<F, C, M: Mode> {
    pub(crate) handshake: Handshake<F, C, M>,
    pub(super) admit: Option<Admit>,
    pub(super) layer: Layer,
}

impl<F: Clone, C: Clone, M: Mode> Clone for Meeting<F, C, M> {
    fn clone(&self) -> Self {
        let (handshake, admit) = (self.handshake.clone(), self.admit.clone());
        Self { handshake, admit, layer: self.layer }
    }
}

/// A client that is met.
pub(crate) enum Met<F, C, M: Mode> {
    /// Nothing is said to it yet.
    Client(Box<(Meeting<F, C, M>, Connection<M>)>),
    Begun(Box<Begun<F, C, M>>),
}

impl<F, C, M> Met<F, C, M>
where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
    M: Mode,
{
    /// Goes on to meet it.
    pub(crate) async fn meet(self, types: Types, lifecycle: &Lifecycle) -> Result<Link<M>, Error> {
        match self {
            Self::Client(unmet) => {
                let (meeting, client) = *unmet;
                meeting.meet(client, types, lifecycle).await
            }
            Self::Begun(begun) => Ok(served(begun.end().await?, lifecycle)),
        }
    }
}

/// The link of a client that is served.
fn served<M: Mode>(parts: Parts<M>, lifecycle: &Lifecycle) -> Link<M> {
    Link::serving(
        parts,
        lifecycle.tally(),
        lifecycle.handshake_timeout(),
        lifecycle.request_timeout(),
        lifecycle.shutdown_timeout(),
        lifecycle.client_idle_timeout().is_some(),
    )
}

impl<F: Framing + Clone, C: Codec + Clone, M: Mode> Meeting<F, C, M> {
    /// Does of a meeting what takes no waiting: a client that has spoken is answered before a thread wakes for it. `None`
    /// where it is lost.
    pub(crate) fn begin(
        &self,
        client: Result<Connection<M>, Error>,
        types: Types,
    ) -> Option<Met<F, C, M>>
    where
        F: Send + 'static,
        C: Send + 'static,
    {
        let mut met = None;
        // Code of the user's copies its wire, and may panic.
        contain(|| met = client.and_then(|client| self.clone().answer(client, types)).ok());
        met
    }

    /// Who is let in takes a thread of its own: only the program knows how long.
    fn answer(self, client: Connection<M>, types: Types) -> Result<Met<F, C, M>, Error>
    where
        F: Send + 'static,
        C: Send + 'static,
    {
        if self.admit.is_some() || !self.layer.has_handshake() {
            return Ok(Met::Client(Box::new((self, client))));
        }
        let mut begun = Box::new(Begun::new(self.handshake, client, types, self.layer)?);
        begun.answer();
        Ok(Met::Begun(begun))
    }

    /// Performs the handshake with a client that is to be served, or refuses it.
    pub(super) async fn meet(
        self,
        client: Connection<M>,
        types: Types,
        lifecycle: &Lifecycle,
    ) -> Result<Link<M>, Error>
    where
        F: Send + 'static,
        C: Send + 'static,
    {
        let refused = self.admit.and_then(|admit| match client.peer() {
            Ok(peer) => admit(&peer).err(),
            Err(error) => Some(format!("the system does not tell who the client is: {error}")),
        });
        let Some(words) = refused else {
            let parts = agreed(self.handshake, client, types, self.layer).await?;
            return Ok(served(parts, lifecycle));
        };
        let path = client.path().cloned();
        if self.layer.has_handshake() {
            // It is refused even if it does not hear why.
            let _ = self.handshake.refusal(client, &words).await;
        }
        let refused = Error::new(Operation::Agree, Disagreement::Refused(words));
        Err(refused.at(path.as_ref().map(PipePath::shared)))
    }
}

/// Where the clients of a service of threads come in.
pub(super) struct Entrance<'a, 'scope, 'env> {
    crew: &'a Arc<Crew<'scope, 'env>>,
    /// By which one of them is waited for beside further ones that come, where that takes no thread.
    readiness: Option<(Readiness, &'a Server)>,
    types: Types,
}

/// The keys of what is waited for.
const NEXT: u64 = 0;
const CLOSING: u64 = 1;
const CLIENT: u64 = 2;

/// How long a client is waited for that has only to say what its messages look like, unless another one comes.
const MOMENT: Duration = Duration::from_millis(1);

impl<'a, 'scope, 'env> Entrance<'a, 'scope, 'env> {
    pub(super) fn new(
        crew: &'a Arc<Crew<'scope, 'env>>,
        listener: Option<&'a Listener>,
        types: Types,
    ) -> Self {
        let server = listener.filter(|_| crew.lets_rest()).map(Listener::server);
        let readiness = server.and_then(|server| {
            let readiness = Readiness::new().ok()?;
            let closing = crew.lifecycle.closing();
            readiness.add(&mut Watched::Server(server), NEXT).ok()?;
            readiness.add(&mut Watched::Event(closing.event()), CLOSING).ok()?;
            Some((readiness, server))
        });
        Self { crew, readiness, types }
    }

    /// Lets a client be met and served by a thread; or, where a thread waits for another one already, by none until it
    /// calls. `false` where it is lost.
    pub(super) fn let_in<F, C>(&self, met: Met<F, C, Blocking>) -> bool
    where
        F: Framing + Clone + Send + 'static,
        C: Codec + Clone + Send + 'static,
    {
        let (crew, member, types) = (self.crew, self.crew.join(), self.types);
        let mut expects = None;
        let met = match met {
            Met::Begun(begun) if self.readiness.is_some() && begun.is_answered() => {
                expects = Expects::of(crew);
                let ended = if expects.is_some() { Err(begun) } else { self.end(begun) };
                match ended {
                    Ok(parts) => {
                        let link = served(parts, crew.lifecycle).shared();
                        return crew.rest(Served::new(link, member));
                    }
                    Err(begun) => Met::Begun(begun),
                }
            }
            met => met,
        };
        crew.read(move || meet(met, member, types, expects))
    }

    /// Ends a handshake, if the client says the rest of it before another one comes.
    fn end<F, C>(
        &self,
        mut begun: Box<Begun<F, C, Blocking>>,
    ) -> Result<Parts<Blocking>, Box<Begun<F, C, Blocking>>>
    where
        F: Framing + Clone + Send + 'static,
        C: Codec + Clone + Send + 'static,
    {
        let ends = begun.is_done() || self.comes(begun.reader().raw_mut());
        if ends { begun.end_at_once() } else { Err(begun) }
    }

    /// Whether something comes from a client before another one does.
    fn comes(&self, client: &mut Raw) -> bool {
        let Some((readiness, server)) = &self.readiness else { return false };
        let followed = readiness.follow(&mut Watched::Server(server), NEXT);
        if followed.and_then(|()| readiness.add(&mut Watched::End(client), CLIENT)).is_err() {
            return false;
        }
        let keys = readiness.wait(within(MOMENT), iter::empty());
        readiness.remove(&Watched::End(client), CLIENT);
        keys.is_ok_and(|keys| keys.contains(&CLIENT))
    }
}

/// Performs the handshake with a client, and serves it.
fn meet<'scope, 'env, F, C>(
    met: Met<F, C, Blocking>,
    member: Member<'scope, 'env>,
    types: Types,
    expects: Option<Expects<'scope, 'env>>,
) where
    F: Framing + Clone + Send + 'static,
    C: Codec + Clone + Send + 'static,
{
    let lifecycle = member.lifecycle();
    let mut link = None;
    // Code of the user's copies its wire, and may panic.
    contain(|| link = Some(Blocking::run(met.meet(types, lifecycle))));
    match link {
        Some(Ok(link)) => Served::new(link.shared(), member).read_on(expects),
        Some(Err(error)) if error.kind() == ErrorKind::Cancelled => {}
        Some(Err(_)) | None => lifecycle.count_lost(),
    }
}
