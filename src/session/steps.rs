//! Sessions, and their steps.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use static_assertions::assert_impl_all;

use super::line::{BRANCH, Line, VALUE};
use super::protocol::{
    Branch, Choice, Chooses, Ends, Offers, Protocol, Receives, Sends, SessionMessage, Side,
};
use crate::error::{Error, TransitionError};
use crate::state::{Blocking, Mode, Waited, complete_by};
use crate::sys::WaitLimit;

/// A conversation at the place `P` of its protocol: the type says what this side may do next.
///
/// [`Connection::into_session`](crate::Connection::into_session) begins one. Every step takes the session and returns the
/// next one, so no step can be left out, done twice, or done in another order. It has the size of a pointer, and may be
/// handed to another thread or task between any two steps.
///
/// A session that is dropped before its end tells the other side, whose step fails with
/// [`Abandoned`](crate::ErrorKind::Abandoned). The drop does not wait: where there is no room for these words, as in the
/// middle of a value, the other side sees what it sees of a process that is killed.
///
/// # Errors of steps
///
/// Each step that fails returns a [`TransitionError`] with the session in it, and the error says in which
/// [step](Error::step) it was. After [`TimedOut`](crate::ErrorKind::TimedOut) the step can be tried again. The kinds:
///
/// - [`Abandoned`](crate::ErrorKind::Abandoned), [`PeerPanicked`](crate::ErrorKind::PeerPanicked): the other side
///   dropped its session before the end, or panicked; the text has the step in which it was.
/// - [`Disconnected`](crate::ErrorKind::Disconnected): the other side is gone without a word: it was killed, or ended its
///   process. [`Truncated`](crate::ErrorKind::Truncated): the same in the middle of a message.
/// - [`TimedOut`](crate::ErrorKind::TimedOut): see [`step_timeout`](Self::step_timeout).
/// - [`Cancelled`](crate::ErrorKind::Cancelled): see [`Connection::cancelled_by`](crate::Connection::cancelled_by).
/// - [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): this value cannot be sent. Nothing of
///   it was, and another one can be.
/// - [`Corrupt`](crate::ErrorKind::Corrupt), [`Decode`](crate::ErrorKind::Decode): the other side does not keep to the
///   protocol. Every later step is [`Poisoned`](crate::ErrorKind::Poisoned).
/// - [`Io`](crate::ErrorKind::Io): any other.
///
/// # In tasks
///
/// In the mode `Tokio`, dropping the future of a step drops the session with it. Where that may happen, as in `select!`,
/// wait with [`ready`](Self::ready), whose future may be dropped, and take the step after it, which then does not wait. A
/// value is sent that way with [`feed`](Session::feed).
#[must_use = "a session that is dropped before its end is an error on the other side"]
#[doc(alias("session types", "typestate", "protocol"))]
pub struct Session<P: Protocol, M: Mode = Blocking> {
    line: Box<Line<M>>,
    at: PhantomData<fn() -> P>,
}

/// The proof that a protocol was followed to its end: [`Session::end`] returns it.
///
/// ```
/// use typed_pipe::session::{Done, Receives, Ends, Session};
///
/// /// It cannot return before the protocol has ended, but with an error.
/// fn listen(session: Session<Receives<String, Ends>>) -> Result<(String, Done), typed_pipe::Error> {
///     let (words, session) = session.recv()?;
///     Ok((words, session.end()?))
/// }
/// # let _ = listen;
/// ```
#[derive(Debug)]
pub struct Done(());

impl<P: Protocol, M: Mode> Session<P, M> {
    #[doc(hidden)]
    #[inline]
    pub fn at(mut line: Box<Line<M>>) -> Self {
        let here: fn() -> String = P::here;
        line.is_at((!P::ENDS).then_some(here));
        Self { line, at: PhantomData }
    }

    /// Sets how long each step may wait; without it, a step waits as long as it takes.
    ///
    /// It stays set for the steps that follow.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use typed_pipe::session::{Ends, Receives, Sends};
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_session::<Sends<u32, Ends>>());
    /// let session = client.into_session::<Receives<u32, Ends>>()?;
    /// let other = serving.join().unwrap()?; // which does not send yet
    ///
    /// let late = session.step_timeout(Duration::from_millis(10)).recv().unwrap_err();
    /// assert_eq!(late.kind(), ErrorKind::TimedOut);
    /// assert_eq!(late.error().step(), Some("receive `u32`"));
    /// other.send(&7)?.end()?;
    /// let (number, session) = late.into_state().step_timeout(Duration::from_secs(60)).recv()?;
    /// assert_eq!(number, 7);
    /// session.end()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("deadline"))]
    pub fn step_timeout(mut self, timeout: Duration) -> Self {
        self.line.set_step_timeout(timeout);
        self
    }

    /// Waits until the next step need not wait: writes what was [fed](Session::feed) or [chosen](Session::choose), and,
    /// where this side receives next, waits until all of that has arrived.
    ///
    /// In the mode `Tokio`, its future may be dropped at any time: nothing is lost, and the next call goes on.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    /// use typed_pipe::session::{Ends, Receives, Sends};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || -> Result<(), typed_pipe::Error> {
    ///     server.into_session::<Sends<u32, Ends>>()?.send(&7)?.end()?;
    ///     Ok(())
    /// });
    /// let mut session = client.into_session::<Receives<u32, Ends>>()?;
    /// session.ready()?; // in a task `select!` may drop this, and another event comes first
    /// let (number, session) = session.recv()?; // does not wait
    /// assert_eq!(number, 7);
    /// session.end()?;
    /// # serving.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [steps](Self#errors-of-steps).
    #[doc(alias("select", "cancel safe"))]
    pub fn ready(&mut self) -> M::Ret<impl Future<Output = Result<(), Error>>> {
        let until = self.line.until();
        let get_ready = |session: &mut &mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            session.poll_ready(cx, until)
        };
        M::wait(Ok(()), until, self, get_ready, Waited)
    }

    /// As [`ready`](Self::ready), without waiting: for a thread that looks after many sessions.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::session::{Ends, Receives, Sends};
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || server.into_session::<Sends<u32, Ends>>());
    /// let mut session = client.into_session::<Receives<u32, Ends>>()?;
    /// let other = serving.join().unwrap()?; // which does not send yet
    /// assert_eq!(session.try_ready().unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # drop(other);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [steps](Self#errors-of-steps), and [`WouldBlock`](crate::ErrorKind::WouldBlock).
    #[doc(alias("nonblocking", "non-blocking", "poll"))]
    pub fn try_ready(&mut self) -> Result<(), Error> {
        complete_by(|cx| self.poll_ready(cx, WaitLimit::Now))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, until: WaitLimit) -> Poll<Result<(), Error>> {
        let ready = match P::HEARS {
            true => self.line.poll_hear(cx, until),
            false => self.line.poll_flush(cx, until),
        };
        ready.map_err(|error| error.in_step(P::here()))
    }

    /// The session as it was, and the reason.
    #[cold]
    fn failed(self, error: Error) -> TransitionError<Self> {
        TransitionError::new(self, error.in_step(P::here()))
    }

    /// Waits with the session, which goes into what is `done` with it.
    #[inline(always)]
    fn advance<T>(
        self,
        mut poll: impl FnMut(&mut Line<M>, &mut Context<'_>, WaitLimit) -> Poll<Result<(), Error>>,
        done: impl FnOnce(Self) -> Result<T, TransitionError<Self>>,
    ) -> M::Ret<impl Future<Output = Result<T, TransitionError<Self>>>> {
        let until = self.line.until();
        let wait = move |session: &mut Self, cx: &mut Context<'_>, until: WaitLimit| {
            poll(&mut session.line, cx, until)
        };
        let done = |session: Self, waited| match waited {
            Ok(()) => done(session),
            Err(error) => Err(session.failed(error)),
        };
        M::wait(Ok(()), until, self, wait, done)
    }
}

impl<T: SessionMessage, N: Protocol, M: Mode> Session<Sends<T, N>, M> {
    /// Sends a value, waiting until there is room for it.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::session::{Dual, Ends, Receives, Sends};
    /// use typed_pipe::{Connection, Error};
    ///
    /// type Question = Sends<String, Receives<u32, Ends>>;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || -> Result<(), Error> {
    ///     let (words, session) = server.into_session::<Dual<Question>>()?.recv()?;
    ///     session.send(&words.len().try_into().unwrap_or(u32::MAX))?.end()?;
    ///     Ok(())
    /// });
    /// let session = client.into_session::<Question>()?;
    /// let (len, session) = session.send(&"hello".into())?.recv()?;
    /// session.end()?;
    /// assert_eq!(len, 5);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future drops the session: where that may happen, use [`feed`](Self::feed).
    ///
    /// # Errors
    ///
    /// Those of [steps](Session#errors-of-steps). Where [a part of the value is sent](Error::is_half_sent), the next
    /// `send` or `feed` of this step sends the rest of it, whatever value it is given.
    pub fn send(
        mut self,
        value: &T,
    ) -> M::Ret<impl Future<Output = Result<Session<N, M>, TransitionError<Self>>> + use<T, N, M>>
    {
        let mut staged = self.line.stage_value(value);
        let write = move |line: &mut Line<M>, cx: &mut Context<'_>, until: WaitLimit| {
            std::mem::replace(&mut staged, Ok(()))?;
            let sent = ready!(line.poll_flush(cx, until));
            Poll::Ready(sent.map_err(|error| line.withdraw(error)))
        };
        self.advance(write, |mut session| {
            session.line.value_is_said();
            Ok(Session::at(session.line))
        })
    }

    /// Goes on with a value that is sent later: with the next one that is [sent](Self::send), before this side waits, or by
    /// [`ready`](Session::ready).
    ///
    /// It does not wait, in any mode. Values that are fed one after the other stay in memory until then.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::Connection;
    /// use typed_pipe::session::{Dual, Ends, Sends};
    ///
    /// type Pair = Sends<u32, Sends<u32, Ends>>;
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || -> Result<u32, typed_pipe::Error> {
    ///     let (one, session) = server.into_session::<Dual<Pair>>()?.recv()?;
    ///     let (other, session) = session.recv()?;
    ///     session.end()?;
    ///     Ok(one + other)
    /// });
    /// let session = client.into_session::<Pair>()?;
    /// session.feed(&3)?.send(&4)?.end()?; // both in one write
    /// assert_eq!(serving.join().unwrap()?, 7);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge): as for [steps](Session#errors-of-steps).
    #[doc(alias("batch", "buffered"))]
    pub fn feed(mut self, value: &T) -> Result<Session<N, M>, TransitionError<Self>> {
        match self.line.stage_value(value) {
            Ok(()) => {
                self.line.value_is_said();
                Ok(Session::at(self.line))
            }
            Err(error) => Err(self.failed(error)),
        }
    }
}

impl<T: SessionMessage, N: Protocol, M: Mode> Session<Receives<T, N>, M> {
    /// Receives a value, waiting until it is there.
    ///
    /// There is an example at [`send`](Session::send).
    ///
    /// In the mode `Tokio`, dropping the future drops the session: where that may happen, wait with
    /// [`ready`](Session::ready).
    ///
    /// # Errors
    ///
    /// Those of [steps](Session#errors-of-steps).
    #[inline]
    pub fn recv(
        self,
    ) -> M::Ret<impl Future<Output = Result<(T, Session<N, M>), TransitionError<Self>>>> {
        self.advance(Line::poll_hear, |mut session| match session.line.take(VALUE) {
            Ok(value) => Ok((value, Session::at(session.line))),
            Err(error) => Err(session.failed(error)),
        })
    }
}

impl<C: Choice, S: Side, M: Mode> Session<Chooses<C, S>, M> {
    /// Chooses a branch of the protocol, by its name in the module of the [choice](crate::choice).
    ///
    /// The other side learns of it with what is sent next, or before this side waits. It does not wait, in any mode.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::session::{Chooses, Dual, Ends, Receives};
    /// use typed_pipe::{Connection, Error, choice};
    ///
    /// choice! {
    ///     pub enum Wish in wish {
    ///         Number => Receives<u32, Ends>,
    ///         Nothing => Ends,
    ///     }
    /// }
    ///
    /// let (client, server) = Connection::pair()?;
    /// let serving = thread::spawn(move || -> Result<(), Error> {
    ///     match server.into_session::<Dual<Chooses<Wish>>>()?.offer()? {
    ///         Wish::Number(session) => session.send(&7)?.end()?, // the other side of `Receives` is `Sends`
    ///         Wish::Nothing(session) => session.end()?,
    ///     };
    ///     Ok(())
    /// });
    /// let session = client.into_session::<Chooses<Wish>>()?.choose(wish::Number);
    /// let (number, session) = session.recv()?;
    /// session.end()?;
    /// assert_eq!(number, 7);
    /// # serving.join().unwrap()?;
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias("select"))]
    pub fn choose<B: Branch<C>>(mut self, _: B) -> Session<S::Of<B::Next>, M> {
        // A frame of a few bytes cannot fail: larger ones began the session.
        let _ = self.line.stage_branch(B::INDEX);
        Session::at(self.line)
    }
}

impl<C: Choice, S: Side, M: Mode> Session<Offers<C, S>, M> {
    /// Waits until the other side has chosen a branch: the enum of the [choice](crate::choice), with the session in it.
    ///
    /// There is an example at [`choose`](Session::choose).
    ///
    /// In the mode `Tokio`, dropping the future drops the session: where that may happen, wait with
    /// [`ready`](Session::ready).
    ///
    /// # Errors
    ///
    /// Those of [steps](Session#errors-of-steps).
    #[inline]
    pub fn offer(
        self,
    ) -> M::Ret<impl Future<Output = Result<C::Offered<S, M>, TransitionError<Self>>>> {
        self.advance(Line::poll_hear, |mut session| {
            let index: u32 = match session.line.take(BRANCH) {
                Ok(index) => index,
                Err(error) => return Err(session.failed(error)),
            };
            let Self { line, .. } = session;
            C::take::<S, M>(index, line).map_err(|mut line| {
                let known = C::BRANCHES.len();
                let error =
                    line.stray(format!("branch {index} of `{}`, which has {known}", C::NAME));
                Self { line, at: PhantomData }.failed(error)
            })
        })
    }
}

impl<M: Mode> Session<Ends, M> {
    /// Ends the conversation: writes what was [fed](Session::feed) or [chosen](Session::choose) last, and closes the
    /// connection.
    ///
    /// There is an example at [`send`](Session::send).
    ///
    /// # Errors
    ///
    /// Those of [steps](Session#errors-of-steps).
    pub fn end(self) -> M::Ret<impl Future<Output = Result<Done, TransitionError<Self>>>> {
        self.advance(Line::poll_flush, |_| Ok(Done(())))
    }
}

impl<P: Protocol, M: Mode> fmt::Debug for Session<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("step", &P::here()).finish_non_exhaustive()
    }
}

assert_impl_all!(Session<Ends>: Send, Sync, Unpin);
const _: () = assert!(size_of::<Session<Ends>>() == size_of::<usize>());
