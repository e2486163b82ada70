//! Beginning sessions.

use std::any::TypeId;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::sync::{LazyLock, Mutex, PoisonError};

use super::compare::compare;
use super::line::{Line, Steps};
use super::plan::{Plan, Planning};
use super::protocol::{Dual, Protocol, step_of};
use super::steps::{Done, Session};
use crate::connection::Connection;
use crate::error::{Cause, Disagreement, Error, Operation};
use crate::state::{Blocking, Mode, woken_at};
use crate::sys::WaitLimit;
use crate::typed_connection::Handshake;
use crate::wire::{LengthPrefixed, Postcard};

impl<M: Mode> Connection<M> {
    /// Begins a conversation that keeps to the protocol `P`, if the other side has the [dual](Dual) of it.
    ///
    /// Both sides must do this, and compare all paths of their protocols before the first message: see
    /// [sessions](crate::session). It waits at most 10 seconds; [`Handshake::session`] sets another time.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::session::{Ends, Receives, Sends};
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// type Question = Sends<String, Receives<u32, Ends>>;
    /// type OldAnswer = Receives<String, Sends<u16, Ends>>;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_session::<OldAnswer>());
    /// let error = client.into_session::<Question>().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Mismatch);
    /// assert!(error.to_string().contains("after `String`, what this side receives: `message`: u32 here, u16 there"));
    /// assert_eq!(serving.join().unwrap().unwrap_err().kind(), ErrorKind::Mismatch);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Mismatch`](crate::ErrorKind::Mismatch): the other side follows another protocol, or begins no session.
    /// - The others of [`Handshake::perform`].
    pub fn into_session<P: Protocol>(
        self,
    ) -> M::Ret<impl Future<Output = Result<Session<P, M>, Error>>> {
        M::run(begin(Handshake::new().in_mode(), self))
    }

    /// Follows a protocol to its end.
    ///
    /// What the closure returns besides its value is the proof that the protocol has [ended](Session::end): a closure that
    /// forgets a step does not compile. In the mode `Tokio`, the closure returns a future.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    /// use typed_pipe::session::{Dual, Ends, Receives, Sends};
    ///
    /// type Question = Sends<String, Receives<u32, Ends>>;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || {
    ///     server.converse::<Dual<Question>, _>(|session| {
    ///         let (words, session) = session.recv()?;
    ///         Ok(((), session.send(&words.len().try_into().unwrap_or(u32::MAX))?.end()?))
    ///     })
    /// });
    /// let len = client.converse::<Question, _>(|session| {
    ///     let (len, session) = session.send(&"hello".into())?.recv()?;
    ///     Ok((len, session.end()?))
    /// })?;
    /// assert_eq!(len, 5);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`into_session`](Self::into_session), and what the closure returns.
    pub fn converse<P: Protocol, T: Conversation<M>>(
        self,
        talk: impl FnOnce(Session<P, M>) -> T,
    ) -> M::Ret<impl Future<Output = Result<T::Value, Error>>> {
        M::run(async move {
            let session = begin(Handshake::new().in_mode(), self).await?;
            let (value, _) = talk(session).outcome().await?;
            Ok(value)
        })
    }
}

impl<M: Mode> Handshake<LengthPrefixed, Postcard, M> {
    /// Begins a conversation that keeps to the protocol `P`, as [`Connection::into_session`], on terms of choice: another
    /// timeout, identifiers with a version, or a limit of the framing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::session::{Ends, Sends};
    /// use typed_pipe::{Connection, ErrorKind, Handshake};
    ///
    /// let (client, server) = Connection::pair()?; // the server does nothing
    /// let handshake = Handshake::new().timeout(Duration::from_millis(10));
    /// let late = handshake.session::<Sends<u32, Ends>>(client).unwrap_err();
    /// assert_eq!(late.kind(), ErrorKind::TimedOut);
    /// # drop(server);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future drops the connection.
    ///
    /// # Errors
    ///
    /// Those of [`Connection::into_session`].
    pub fn session<P: Protocol>(
        &self,
        connection: Connection<M>,
    ) -> M::Ret<impl Future<Output = Result<Session<P, M>, Error>> + use<P, M>> {
        M::run(begin(self.clone(), connection))
    }
}

/// What a conversation comes to: the result of a closure in [`Connection::converse`], or the future of it in a task.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not lead a protocol to its end",
    label = "the closure does not return `Ok((value, done))`, where `done` is from `Session::end`",
    note = "in a task, it returns a future of that"
)]
pub trait Conversation<M> {
    /// What it comes to, besides the end.
    type Value;
    #[doc(hidden)]
    fn outcome(self) -> impl Future<Output = Result<(Self::Value, Done), Error>>;
}

impl<R> Conversation<Blocking> for Result<(R, Done), Error> {
    type Value = R;

    async fn outcome(self) -> Self {
        self
    }
}

/// What is known of a protocol: its plan, the fingerprint, and that of the dual.
#[derive(Clone, Copy)]
struct Known {
    plan: &'static Planning,
    ours: u64,
    theirs: u64,
}

fn known<P: Protocol>() -> Known {
    static KNOWN: LazyLock<Mutex<HashMap<TypeId, Known>>> = LazyLock::new(Mutex::default);
    let all = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = all().get(&TypeId::of::<P>()) {
        return *known;
    }
    // Not under the lock: it runs the `Deserialize` of the messages.
    let (plan, dual) = (plan_of::<P>(), plan_of::<Dual<P>>());
    let known = Known {
        ours: plan.fingerprint(),
        theirs: dual.fingerprint(),
        plan: Box::leak(Box::new(plan)),
    };
    *all().entry(TypeId::of::<P>()).or_insert(known)
}

fn plan_of<P: Protocol>() -> Planning {
    let mut planning = Planning::default();
    step_of::<P>(&mut planning);
    planning
}

async fn begin<P: Protocol, M: Mode>(
    handshake: Handshake<LengthPrefixed, Postcard, M>,
    connection: Connection<M>,
) -> Result<Session<P, M>, Error> {
    let until = handshake.time_limit().until::<M>();
    let known = known::<P>();
    let handshake = handshake.with_codec(Steps).by(until);
    let (sender, receiver) = handshake.performing::<(), ()>(connection).await?;
    let mut line = Box::new(Line::new(sender, receiver));
    woken_at::<M, _>(until, agree(&mut line, known, until)).await?;
    Ok(Session::at(line))
}

/// Compares the plans of both sides: their fingerprints, and only if these differ all of them.
async fn agree<M: Mode>(line: &mut Line<M>, known: Known, until: WaitLimit) -> Result<(), Error> {
    line.stage_plan(&known.ours.to_be_bytes())?;
    poll_fn(|cx| line.poll_exchange(cx, until)).await?;
    let theirs = line.take_plan()?;
    if theirs == known.theirs.to_be_bytes() {
        return Ok(());
    }
    let ours = known
        .plan
        .to_bytes()
        .map_err(|error| line.failed(Operation::Agree, Cause::Encode(error)))?;
    line.stage_plan(&ours)?;
    poll_fn(|cx| line.poll_exchange(cx, until)).await?;
    let theirs = line.take_plan()?;
    // This side too is compared as it is told, so that both decide alike.
    let (Some(ours), Some(theirs)) = (Plan::read(&ours), Plan::read(&theirs)) else {
        return Err(line.failed(Operation::Agree, Cause::Stray("no plan".into())));
    };
    compare(&ours, &theirs)
        .map_err(|words| line.failed(Operation::Agree, Disagreement::Plans(words).into()))
}
