//! The declaration of choices.

/// Declares a choice between ways to go on in a protocol.
///
/// It makes an enum with a session in each variant, which [`offer`](crate::session::Session::offer) returns, and a module
/// with the name of each branch, for [`choose`](crate::session::Session::choose). A branch may name a protocol that
/// leads back to the choice: so are loops written.
///
/// ```
/// use std::thread;
/// use typed_pipe::session::{Chooses, Dual, Ends, Receives, Sends};
/// use typed_pipe::{Connection, Error, choice};
///
/// type Sums = Chooses<Next>;
///
/// choice! {
///     /// What the client does next.
///     pub enum Next in next {
///         /// One more number.
///         Add => Sends<u32, Chooses<Next>>,
///         Sum => Receives<u32, Ends>,
///     }
/// }
///
/// fn serve(connection: Connection) -> Result<(), Error> {
///     let (mut session, mut sum) = (connection.into_session::<Dual<Sums>>()?, 0);
///     loop {
///         match session.offer()? {
///             Next::Add(next) => {
///                 let number;
///                 (number, session) = next.recv()?;
///                 sum += number;
///             }
///             Next::Sum(next) => {
///                 next.send(&sum)?.end()?;
///                 return Ok(());
///             }
///         }
///     }
/// }
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || serve(server));
/// let mut session = client.into_session::<Sums>()?;
/// for number in [1, 2, 3] {
///     session = session.choose(next::Add).send(&number)?;
/// }
/// let (sum, session) = session.choose(next::Sum).recv()?;
/// session.end()?;
/// assert_eq!(sum, 6);
/// # serving.join().unwrap()?;
/// # Ok::<(), Error>(())
/// ```
///
/// The branches are written as the side sees them that has the protocol in which the choice stands: where its type is
/// `Chooses<Next>`, the other side's is the [dual](crate::session::Dual), which offers, and whose sessions in the variants
/// are the duals of the branches. The match on the enum names all of them, or does not compile.
///
/// Branches may be appended: a side that offers more than the other one chooses fits.
#[macro_export]
macro_rules! choice {
    ($(#[$doc:meta])* $vis:vis enum $name:ident in $module:ident {
        $($(#[$branch_doc:meta])* $branch:ident => $next:ty),+ $(,)?
    }) => {
        $(#[$doc])*
        #[must_use = "one of these goes on, and the other side waits for it"]
        $vis enum $name<
            S: $crate::session::Side = $crate::session::Same,
            M: $crate::state::Mode = $crate::state::Blocking,
        > {
            $(
                $(#[$branch_doc])*
                $branch($crate::session::Session<<S as $crate::session::Side>::Of<$next>, M>),
            )+
        }

        /// The branches, to choose one.
        #[allow(dead_code, unreachable_pub)]
        $vis mod $module {
            $(
                $(#[$branch_doc])*
                #[derive(Clone, Copy, Debug)]
                pub struct $branch;
            )+
        }

        impl $crate::session::Choice for $name {
            type Offered<S: $crate::session::Side, M: $crate::state::Mode> = $name<S, M>;
            const NAME: &'static str = ::core::stringify!($name);
            const BRANCHES: &'static [&'static str] = &[$(::core::stringify!($branch)),+];

            fn take<S: $crate::session::Side, M: $crate::state::Mode>(
                index: u32,
                line: ::std::boxed::Box<$crate::session::Line<M>>,
            ) -> ::core::result::Result<$name<S, M>, ::std::boxed::Box<$crate::session::Line<M>>> {
                match index {
                    $(
                        _ if index == <$module::$branch as $crate::session::Branch<$name>>::INDEX => {
                            ::core::result::Result::Ok($name::$branch($crate::session::Session::at(line)))
                        }
                    )+
                    _ => ::core::result::Result::Err(line),
                }
            }

            fn plan<S: $crate::session::Side>(
                planning: &mut $crate::session::Planning,
            ) -> ::std::vec::Vec<(::std::string::String, u32)> {
                ::std::vec![$((
                    ::std::convert::From::from(::core::stringify!($branch)),
                    $crate::session::step_of::<<S as $crate::session::Side>::Of<$next>>(planning),
                )),+]
            }
        }

        $(
            impl $crate::session::Branch<$name> for $module::$branch {
                type Next = $next;
                const NAME: &'static str = ::core::stringify!($branch);
            }
        )+

        impl<S: $crate::session::Side, M: $crate::state::Mode> ::core::fmt::Debug for $name<S, M> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self {
                    $(Self::$branch(session) => {
                        f.debug_tuple(::core::stringify!($branch)).field(session).finish()
                    })+
                }
            }
        }
    };
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($branches:tt)* }) => {
        ::core::compile_error!(::core::concat!(
            "name the module for its branches: `enum ",
            ::core::stringify!($name),
            " in module { … }`",
        ));
    };
}
