//! What a protocol is made of.

use std::any::{TypeId, type_name};
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::line::Line;
use super::plan::{Planning, Step};
use crate::state::Mode;
use crate::wire::shape::{Shape, Style};

/// A protocol in which this side sends a `T`, and goes on with `Next`.
///
/// ```
/// use typed_pipe::session::{Dual, Ends, Receives, Sends};
///
/// type Question = Sends<String, Receives<u32, Ends>>;
/// fn same<T>(_: fn(T), _: fn(T)) {}
/// same::<Dual<Question>>(|_| (), |_: Receives<String, Sends<u32, Ends>>| ());
/// ```
#[derive(Debug)]
pub struct Sends<T, Next>(PhantomData<fn() -> (T, Next)>);

/// A protocol in which this side receives a `T`, and goes on with `Next`.
///
/// ```
/// use typed_pipe::session::{Ends, Receives, Session};
///
/// fn first(session: Session<Receives<u32, Ends>>) -> Result<u32, typed_pipe::Error> {
///     let (number, session) = session.recv()?;
///     session.end()?;
///     Ok(number)
/// }
/// # let _ = first;
/// ```
#[derive(Debug)]
pub struct Receives<T, Next>(PhantomData<fn() -> (T, Next)>);

/// A protocol in which this side chooses how it goes on: see [`choice!`](crate::choice).
///
/// `S` is of the crate's own: from which side the choice is seen.
///
/// ```
/// use typed_pipe::session::{Chooses, Ends, Sends, Session};
/// use typed_pipe::{Error, choice};
///
/// choice! {
///     pub enum Say in say {
///         Word => Sends<String, Ends>,
///         Nothing => Ends,
///     }
/// }
///
/// fn greet(session: Session<Chooses<Say>>) -> Result<(), Error> {
///     session.choose(say::Word).send(&"hello".into())?.end()?;
///     Ok(())
/// }
/// # let _ = greet;
/// ```
#[derive(Debug)]
pub struct Chooses<C, S = Same>(PhantomData<fn() -> (C, S)>);

/// A protocol in which the other side chooses how it goes on: see [`choice!`](crate::choice).
///
/// `S` is of the crate's own: from which side the choice is seen.
///
/// ```
/// use typed_pipe::session::{Ends, Offers, Receives, Session};
/// use typed_pipe::{Error, choice};
///
/// choice! {
///     pub enum Said in said {
///         Word => Receives<String, Ends>,
///         Nothing => Ends,
///     }
/// }
///
/// fn listen(session: Session<Offers<Said>>) -> Result<Option<String>, Error> {
///     match session.offer()? {
///         Said::Word(session) => Ok(Some(session.recv()?.0)),
///         Said::Nothing(session) => session.end().map(|_| None).map_err(Error::from),
///     }
/// }
/// # let _ = (listen, said::Word);
/// ```
#[derive(Debug)]
pub struct Offers<C, S = Same>(PhantomData<fn() -> (C, S)>);

/// A protocol that is at its end.
///
/// ```
/// use typed_pipe::session::{Dual, Ends, Protocol};
///
/// fn is_protocol<P: Protocol>() {}
/// is_protocol::<Ends>();
/// is_protocol::<Dual<Ends>>(); // the same
/// ```
#[derive(Debug)]
pub struct Ends(());

/// What two sides say to each other, as one of them sees it.
///
/// This trait is sealed: a protocol is made of [`Sends`], [`Receives`], [`Chooses`], [`Offers`] and [`Ends`].
///
/// ```
/// use typed_pipe::session::{Dual, Protocol, Session};
///
/// /// Two functions that can talk to each other, whatever they say.
/// struct Pair<P: Protocol> {
///     client: fn(Session<P>),
///     server: fn(Session<Dual<P>>),
/// }
/// # let _ = |pair: Pair<typed_pipe::session::Ends>| (pair.client, pair.server);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a protocol",
    label = "not a protocol",
    note = "a protocol is `Sends<T, Next>`, `Receives<T, Next>`, `Chooses<C>`, `Offers<C>` or `Ends`, where `Next` is a protocol and `C` is made by `choice!`"
)]
pub trait Protocol: half::Protocol + Sized + 'static {
    /// The same conversation as the other side sees it.
    type Dual: Protocol<Dual = Self>;
}

/// A protocol as the other side sees it.
///
/// ```
/// use typed_pipe::session::{Dual, Ends, Receives, Sends};
///
/// type Client = Sends<u32, Receives<String, Ends>>;
/// type Server = Dual<Client>; // `Receives<u32, Sends<String, Ends>>`
/// fn same<T>(_: fn(T), _: fn(T)) {}
/// same::<Dual<Server>>(|_| (), |_: Client| ());
/// ```
pub type Dual<P> = <P as Protocol>::Dual;

/// A message of a protocol: what one side sends, and the other one can receive.
///
/// Every owned type is one that serde can write and read.
///
/// ```
/// use typed_pipe::session::{Ends, Sends, Session, SessionMessage};
///
/// fn tell<T: SessionMessage>(session: Session<Sends<T, Ends>>, value: &T) -> Result<(), typed_pipe::Error> {
///     session.send(value)?.end()?;
///     Ok(())
/// }
/// # let _ = tell::<u32>;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a message of a protocol",
    label = "not a message",
    note = "one side sends it and the other one receives it: add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`, and let it own what it holds"
)]
pub trait SessionMessage: Serialize + DeserializeOwned + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> SessionMessage for T {}

/// From which side a choice is seen: [`Same`] or [`Flipped`]. This trait is sealed.
pub trait Side: half::Side + 'static {
    /// The other one.
    type Flip: Side<Flip = Self>;
    /// A branch as it is seen from there.
    type Of<P: Protocol>: Protocol<Dual = <Self::Flip as Side>::Of<P>>;
}

/// A choice as it was written.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Same {}

/// A choice as the other side sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Flipped {}

impl half::Side for Same {}
impl Side for Same {
    type Flip = Flipped;
    type Of<P: Protocol> = P;
}

impl half::Side for Flipped {}
impl Side for Flipped {
    type Flip = Same;
    type Of<P: Protocol> = P::Dual;
}

/// A choice between branches: [`choice!`](crate::choice) makes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a choice",
    label = "not made by `choice!`",
    note = "a choice is declared with `choice! {{ pub enum {Self} in module {{ Branch => Protocol, … }} }}`"
)]
pub trait Choice: Sized + 'static {
    /// The branch that the other side has chosen, with the session in it: the enum itself.
    type Offered<S: Side, M: Mode>;
    #[doc(hidden)]
    const NAME: &'static str;
    #[doc(hidden)]
    const BRANCHES: &'static [&'static str];
    #[doc(hidden)]
    fn take<S: Side, M: Mode>(
        index: u32,
        line: Box<Line<M>>,
    ) -> Result<Self::Offered<S, M>, Box<Line<M>>>;
    #[doc(hidden)]
    fn plan<S: Side>(planning: &mut Planning) -> Vec<(String, u32)>;
}

/// A branch of the choice `C`: [`choice!`](crate::choice) makes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a branch of `{C}`",
    label = "this side chooses a branch of `{C}` here",
    note = "a branch is named in the module behind `in` of `choice!`, as in `verdict::Welcome`; the variants of the enum are what `offer` returns"
)]
pub trait Branch<C: Choice> {
    /// How it goes on.
    type Next: Protocol;
    #[doc(hidden)]
    const NAME: &'static str;
    #[doc(hidden)]
    const INDEX: u32 = position(C::BRANCHES, Self::NAME);
}

/// The number of a branch, at compile time.
const fn position(branches: &[&str], name: &str) -> u32 {
    let mut at = 0;
    let mut rest = branches;
    while let [first, others @ ..] = rest {
        if is_same(first.as_bytes(), name.as_bytes()) {
            return at;
        }
        at += 1;
        rest = others;
    }
    u32::MAX
}

const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let ([a, after @ ..], [b, behind @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (after, behind);
    }
    one.is_empty() && other.is_empty()
}

impl<T: SessionMessage, N: Protocol> Protocol for Sends<T, N> {
    type Dual = Receives<T, N::Dual>;
}

impl<T: SessionMessage, N: Protocol> half::Protocol for Sends<T, N> {
    fn plan(planning: &mut Planning) -> Step {
        let shape = planning.shape(Shape::of::<T>(Style::Positional));
        Step::Send { message: short::<T>(), shape, next: step_of::<N>(planning) }
    }

    fn here() -> String {
        format!("send `{}`", short::<T>())
    }
}

impl<T: SessionMessage, N: Protocol> Protocol for Receives<T, N> {
    type Dual = Sends<T, N::Dual>;
}

impl<T: SessionMessage, N: Protocol> half::Protocol for Receives<T, N> {
    const HEARS: bool = true;

    fn plan(planning: &mut Planning) -> Step {
        let shape = planning.shape(Shape::of::<T>(Style::Positional));
        Step::Receive { message: short::<T>(), shape, next: step_of::<N>(planning) }
    }

    fn here() -> String {
        format!("receive `{}`", short::<T>())
    }
}

impl<C: Choice, S: Side> Protocol for Chooses<C, S> {
    type Dual = Offers<C, S::Flip>;
}

impl<C: Choice, S: Side> half::Protocol for Chooses<C, S> {
    fn plan(planning: &mut Planning) -> Step {
        Step::Choose { choice: C::NAME.to_owned(), branches: C::plan::<S>(planning) }
    }

    fn here() -> String {
        format!("choose a `{}`", C::NAME)
    }
}

impl<C: Choice, S: Side> Protocol for Offers<C, S> {
    type Dual = Chooses<C, S::Flip>;
}

impl<C: Choice, S: Side> half::Protocol for Offers<C, S> {
    const HEARS: bool = true;

    fn plan(planning: &mut Planning) -> Step {
        Step::Offer { choice: C::NAME.to_owned(), branches: C::plan::<S>(planning) }
    }

    fn here() -> String {
        format!("learn which `{}` is chosen", C::NAME)
    }
}

impl Protocol for Ends {
    type Dual = Self;
}

impl half::Protocol for Ends {
    const ENDS: bool = true;

    fn plan(_: &mut Planning) -> Step {
        Step::End
    }

    fn here() -> String {
        "end".to_owned()
    }
}

/// The number of a step in a plan.
#[doc(hidden)]
pub fn step_of<P: Protocol>(planning: &mut Planning) -> u32 {
    planning.step(TypeId::of::<P>(), P::plan)
}

/// The name of a type without its modules.
fn short<T>() -> String {
    let (mut name, mut word) = (String::new(), String::new());
    for c in type_name::<T>().chars() {
        match c {
            ':' => word.clear(),
            c if c.is_alphanumeric() || c == '_' => word.push(c),
            c => {
                name.push_str(&word);
                word.clear();
                name.push(c);
            }
        }
    }
    name + &word
}

/// The private halves of the traits: they seal them.
pub(crate) mod half {
    use super::{Planning, Step};

    pub trait Protocol {
        /// Whether the next step waits for the other side.
        const HEARS: bool = false;
        /// Whether nothing is left to say.
        const ENDS: bool = false;

        fn plan(planning: &mut Planning) -> Step;

        /// What this side is to do, after "this side was to".
        fn here() -> String;
    }

    pub trait Side {}
}
