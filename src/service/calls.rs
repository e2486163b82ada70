//! The modes in which a client calls.

use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::client::Target;
use super::link::{Link, Request};
use super::waiting::Outcome;
use crate::error::{Error, Obstacle, Operation};
use crate::state::{Blocking, Mode};
use crate::sys::WaitLimit;
use crate::wait::until_changed;
use crate::wire::{Codec, Framing};

/// The modes in which a [`Client`](super::Client) calls: both.
///
/// ```
/// use typed_pipe::wire::{LengthPrefixed, Postcard};
/// use typed_pipe::{Calls, Client};
///
/// /// The client of either mode.
/// struct Counter<M: Calls> {
///     client: Client<u32, u32, LengthPrefixed, Postcard, M>,
/// }
/// ```
pub trait Calls: half::Calls {}

impl Calls for Blocking {}

/// The private half of the trait: only this crate implements it.
pub(crate) mod half {
    use super::*;

    pub trait Calls: Mode {
        /// What keeps a connection.
        type Handle: AsRef<Arc<Link<Self>>> + Clone + Send;

        /// What calls share that wait for a connection.
        type Connecting: Default + Send + Sync;

        fn handle(link: Link<Self>) -> Self::Handle;

        /// The present connection, or a new one. Calls that look for one at the same time share it.
        fn find<F, C>(
            target: &Target<F, C, Self>,
            until: WaitLimit,
        ) -> impl Future<Output = Result<Self::Handle, Error>>
        where
            Self: super::Calls,
            F: Framing + Clone + Send + 'static,
            C: Codec + Clone + Send + Sync + 'static;

        /// Sends a request, and waits for its answer.
        fn call(
            link: &Arc<Link<Self>>,
            request: &mut Request,
            until: WaitLimit,
        ) -> impl Future<Output = Outcome>;

        /// Sends a notification.
        fn notify(
            link: &Arc<Link<Self>>,
            method: u64,
            body: Vec<u8>,
            until: WaitLimit,
        ) -> impl Future<Output = Outcome>;
    }
}

/// A connection that threads share.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Link<Blocking>>);

impl AsRef<Arc<Link<Blocking>>> for Shared {
    fn as_ref(&self) -> &Arc<Link<Blocking>> {
        &self.0
    }
}

/// Whether a thread connects. The others wait for it.
#[derive(Debug, Default)]
pub struct Turns {
    connecting: Mutex<bool>,
    changed: Condvar,
}

/// The turn of the thread that connects, until this is dropped: another one may try then.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.connecting.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.changed.notify_all();
    }
}

impl half::Calls for Blocking {
    type Handle = Shared;
    type Connecting = Turns;

    fn handle(link: Link<Self>) -> Shared {
        Shared(Arc::new(link))
    }

    async fn find<F, C>(target: &Target<F, C, Self>, until: WaitLimit) -> Result<Shared, Error>
    where
        F: Framing + Clone + Send + 'static,
        C: Codec + Clone + Send + Sync + 'static,
    {
        if let Some(link) = target.link() {
            return Ok(link);
        }
        let turns = &target.connecting;
        let mut connecting = turns.connecting.lock().unwrap_or_else(PoisonError::into_inner);
        while *connecting {
            let in_time;
            (connecting, in_time) = until_changed(&turns.changed, connecting, until);
            if !in_time {
                return Err(still_connecting(target));
            }
        }
        if let Some(link) = target.link() {
            return Ok(link);
        }
        *connecting = true;
        drop(connecting);
        // No thread waits for this longer than its own deadline.
        let turn = Turn(turns);
        let link = target.options.link(target.path.clone(), until).await?;
        let link = target.go_on_with(Self::handle(link));
        drop(turn);
        Ok(link)
    }

    async fn call(link: &Arc<Link<Self>>, request: &mut Request, until: WaitLimit) -> Outcome {
        link.call(request, until)
    }

    async fn notify(
        link: &Arc<Link<Self>>,
        method: u64,
        body: Vec<u8>,
        until: WaitLimit,
    ) -> Outcome {
        link.notify(method, body, until)
    }
}

/// The error of a call that had to wait too long for its turn to connect.
pub(crate) fn still_connecting<F, C, M: Calls>(target: &Target<F, C, M>) -> Error {
    let late = Obstacle::TimedOut("another call is still connecting");
    Error::new(Operation::Call, late).at(Some(target.path.shared()))
}

impl<M: Mode> Debug for Link<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
