//! `service!`: a service as a trait.

/// Makes a trait a service: what implements it can be served, and a client calls its methods.
///
/// `service! { pub trait Name in module { … } }` defines the trait, whose methods take `&self`, written or not, and a module
/// with
///
/// - `serve`, which serves an implementation of the trait with threads,
/// - `both_ways`, which serves one client and [calls it](crate::Service::both_ways) over the same connection,
/// - `local`, a client in this process, for tests,
/// - `Client`, whose methods are those of the trait, in both modes,
/// - with the feature `tokio`, the trait `Tasks`, which has the same methods as `async fn`s, `serve_tasks` and
///   `both_ways_tasks`,
/// - `Call` and `Answer`, the messages, for `Service<Call, Answer>` and `Client<Call, Answer>`.
///
/// Arguments and results are serde values. A result may be a `Result` with an error of your own, which arrives as a value.
/// New methods are appended: the numbers of those before stay the same. In formats with names, such as JSON and
/// [JSON-RPC](crate::Service::json_rpc), a method has its own name, or that of `#[name = "…"]` behind its docs. The two
/// programs share the definition, as a crate or a file: it needs `serde` with the feature `derive`.
///
/// ```
/// use std::sync::Mutex;
/// use std::thread;
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::{Service, service};
///
/// #[derive(Serialize, Deserialize, Debug, PartialEq)]
/// pub enum Refused {
///     TooMuch { limit: u64 },
/// }
///
/// service! {
///     /// A number that grows.
///     pub trait Counter in counter {
///         /// Adds, and returns the sum.
///         fn add(by: u64) -> Result<u64, Refused>;
///         fn reset();
///     }
/// }
///
/// struct InMemory(Mutex<u64>);
///
/// impl Counter for InMemory {
///     fn add(&self, by: u64) -> Result<u64, Refused> {
///         if by > 100 {
///             return Err(Refused::TooMuch { limit: 100 });
///         }
///         let mut sum = self.0.lock().unwrap();
///         *sum += by;
///         Ok(*sum)
///     }
///
///     fn reset(&self) {
///         *self.0.lock().unwrap() = 0;
///     }
/// }
///
/// fn main() -> Result<(), typed_pipe::Error> {
///     let service = Service::temporary()?.shutdown_after(3);
///     let path = service.path().clone();
///     let serving = thread::spawn(move || counter::serve(service, &InMemory(Mutex::new(0))));
///
///     let client = counter::Client::connect(path)?;
///     assert_eq!(client.add(2)?, Ok(2));
///     assert_eq!(client.add(200)?, Err(Refused::TooMuch { limit: 100 }));
///     client.reset()?;
///     serving.join().unwrap()?;
///     Ok(())
/// }
/// ```
///
/// A method that is missing, and a call with other arguments, do not compile:
///
/// ```compile_fail,E0046
/// # use typed_pipe::service;
/// service! { pub trait Counter in counter { fn add(by: u64) -> u64; fn reset(); } }
/// struct InMemory;
/// impl Counter for InMemory {
///     fn add(&self, by: u64) -> u64 { by }
/// }
/// # fn main() {}
/// ```
///
/// ```compile_fail,E0061
/// # use typed_pipe::service;
/// service! { pub trait Counter in counter { fn add(by: u64) -> u64; } }
/// fn call(client: &counter::Client) { let _ = client.add(); }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! service {
    ($(#[$doc:meta])* $vis:vis trait $name:ident in $module:ident {
        $(
            $(#[doc = $method_doc:expr])*
            $(#[name = $wire:literal])?
            fn $method:ident($(&self $(,)?)? $($arg:ident: $type:ty),* $(,)?) $(-> $answer:ty)?;
        )+
    }) => {
        $crate::service! { @make $(#[$doc])* $vis trait $name in $module {
            $({ $(#[doc = $method_doc])* } { $(#[serde(rename = $wire)])? }
            fn $method($($arg: $type),*) $(-> $answer)?;)+
        } }
    };
    ($(#[$doc:meta])* $vis:vis trait $name:ident in $module:ident {
        $(
            $(#[$method_doc:meta])*
            fn $method:ident($(&self $(,)?)? $($arg:ident: $type:ty),* $(,)?) $(-> $answer:ty)?;
        )+
    }) => {
        $crate::service! { @make $(#[$doc])* $vis trait $name in $module {
            $({ $(#[$method_doc])* } {}
            fn $method($($arg: $type),*) $(-> $answer)?;)+
        } }
    };
    (@make $(#[$doc:meta])* $vis:vis trait $name:ident in $module:ident {
        $(
            { $(#[$method_doc:meta])* } { $(#[$serde:meta])* }
            fn $method:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;
        )+
    }) => {
        $(#[$doc])*
        $vis trait $name: Sync {
            $($(#[$method_doc])* fn $method(&self, $($arg: $type),*) $(-> $answer)?;)+
        }

        #[doc = concat!("The service [`", stringify!($name), "`]: its messages, its clients, and how it is served.")]
        #[allow(non_camel_case_types, unused_imports, unused_parens, missing_docs, clippy::all)]
        $vis mod $module {
            use super::*;

            /// What goes to the service: the method, and its arguments.
            #[derive(::serde::Serialize, ::serde::Deserialize)]
            pub enum Call { $($(#[$serde])* $method { $($arg: $type),* }),+ }

            /// What comes back: the result of the method.
            #[derive(::serde::Serialize, ::serde::Deserialize)]
            pub enum Answer { $($(#[$serde])* $method($crate::service!(@answer $($answer)?))),+ }

            /// Handles one call.
            pub fn handle(service: &(impl $name + ?Sized), call: Call) -> Answer {
                match call {
                    $(Call::$method { $($arg),* } => Answer::$method(service.$method($($arg),*))),+
                }
            }

            /// Serves, until the service ends.
            ///
            /// # Errors
            ///
            /// Those of [`Service::serve`](typed_pipe::Service::serve).
            pub fn serve<F, C>(
                service: $crate::Service<Call, Answer, F, C>,
                with: &impl $name,
            ) -> Result<$crate::Summary, $crate::Error>
            where
                F: $crate::wire::Framing + Clone + Send + 'static,
                C: $crate::wire::Codec + Clone + Send + Sync + 'static,
            {
                service.serve(|call| handle(with, call))
            }

            /// Serves one client, and calls it over the same connection, for which the other side does the same.
            ///
            /// `make` gets a client that calls the other side, and makes what serves it. See
            /// [`Service::both_ways`](typed_pipe::Service::both_ways).
            ///
            /// # Errors
            ///
            /// Those of [`Service::both_ways`](typed_pipe::Service::both_ways).
            pub fn both_ways<Req, Resp, F, C, With>(
                service: $crate::Service<Call, Answer, F, C>,
                make: impl FnOnce($crate::Client<Req, Resp, F, C>) -> With,
            ) -> Result<($crate::Client<Req, Resp, F, C>, $crate::Serving), $crate::Error>
            where
                Req: ::serde::Serialize,
                Resp: ::serde::de::DeserializeOwned,
                F: $crate::wire::Framing + Clone + Send + 'static,
                C: $crate::wire::Codec + Clone + Send + Sync + 'static,
                With: $name + Send + 'static,
            {
                service.both_ways(|client| {
                    let with = make(client);
                    move |call| handle(&with, call)
                })
            }

            /// A client in this process, for tests. See [`Client::local`](typed_pipe::Client::local).
            ///
            /// # Errors
            ///
            /// Those of [`Client::local`](typed_pipe::Client::local).
            pub fn local(with: impl $name + Send + 'static) -> Result<Client, $crate::Error> {
                $crate::Client::local(move |call| handle(&with, call)).map(Client)
            }

            /// Calls the methods, from any number of threads or tasks.
            #[derive(Debug)]
            pub struct Client<
                F = $crate::wire::LengthPrefixed,
                C = $crate::wire::Postcard,
                M: $crate::Calls = $crate::state::Blocking,
            >(pub $crate::Client<Call, Answer, F, C, M>);

            impl Client {
                /// Connects to the service at a path, and waits until it is there.
                ///
                /// # Errors
                ///
                /// Those of [`Client::connect`](typed_pipe::Client::connect).
                pub fn connect(path: impl AsRef<::std::path::Path>) -> Result<Self, $crate::Error> {
                    $crate::Client::connect(path).map(Self)
                }
            }

            impl<F, C, M> Client<F, C, M>
            where
                F: $crate::wire::Framing + Clone + Send + 'static,
                C: $crate::wire::Codec + Clone + Send + Sync + 'static,
                M: $crate::Calls,
            {
                $($(#[$method_doc])*
                ///
                /// # Errors
                ///
                /// Those of [`Client::call`](typed_pipe::Client::call).
                pub fn $method(
                    &self,
                    $($arg: $type),*
                ) -> M::Ret<impl ::std::future::Future<
                    Output = Result<$crate::service!(@answer $($answer)?), $crate::Error>,
                >> {
                    self.0.call_for(Call::$method { $($arg),* }, |answer| match answer {
                        Answer::$method(answer) => Some(answer),
                        #[allow(unreachable_patterns)]
                        _ => None,
                    })
                })+
            }

            $crate::__for_tasks! {
                /// The same methods for tasks: implement it with `async fn`.
                pub trait Tasks: Send + Sync + 'static {
                    $($(#[$method_doc])*
                    fn $method(
                        &self,
                        $($arg: $type),*
                    ) -> impl ::std::future::Future<Output = $crate::service!(@answer $($answer)?)> + Send;)+
                }

                /// Serves with tasks, until the service ends.
                ///
                /// # Errors
                ///
                /// Those of [`Service::serve`](typed_pipe::Service::serve).
                pub async fn serve_tasks<F, C>(
                    service: $crate::Service<Call, Answer, F, C, $crate::Tokio>,
                    with: impl Tasks,
                ) -> Result<$crate::Summary, $crate::Error>
                where
                    F: $crate::wire::Framing + Clone + Send + Sync + 'static,
                    C: $crate::wire::Codec + Clone + Send + Sync + 'static,
                {
                    let with = ::std::sync::Arc::new(with);
                    service.serve(move |call| handle_task(::std::sync::Arc::clone(&with), call)).await
                }

                async fn handle_task(with: ::std::sync::Arc<impl Tasks>, call: Call) -> Answer {
                    match call {
                        $(Call::$method { $($arg),* } => {
                            Answer::$method(with.$method($($arg),*).await)
                        })+
                    }
                }

                /// As `both_ways`, with tasks.
                ///
                /// # Errors
                ///
                /// Those of [`Service::both_ways`](typed_pipe::Service::both_ways).
                pub async fn both_ways_tasks<Req, Resp, F, C, With>(
                    service: $crate::Service<Call, Answer, F, C, $crate::Tokio>,
                    make: impl FnOnce($crate::Client<Req, Resp, F, C, $crate::Tokio>) -> With,
                ) -> Result<
                    (
                        $crate::Client<Req, Resp, F, C, $crate::Tokio>,
                        $crate::Serving<$crate::Tokio>,
                    ),
                    $crate::Error,
                >
                where
                    Req: ::serde::Serialize,
                    Resp: ::serde::de::DeserializeOwned,
                    F: $crate::wire::Framing + Clone + Send + Sync + 'static,
                    C: $crate::wire::Codec + Clone + Send + Sync + 'static,
                    With: Tasks,
                {
                    service
                        .both_ways(|client| {
                            let with = ::std::sync::Arc::new(make(client));
                            move |call| handle_task(::std::sync::Arc::clone(&with), call)
                        })
                        .await
                }
            }
        }
    };
    (@answer) => { () };
    (@answer $answer:ty) => { $answer };
    ($(#[$doc:meta])* $vis:vis trait $name:ident { $($methods:tt)* }) => {
        ::core::compile_error!(::core::concat!(
            "name the module for what is made of it: `trait ",
            ::core::stringify!($name),
            " in module { … }`",
        ));
    };
}

/// Defines items where the crate has the feature `tokio`.
#[cfg(feature = "tokio")]
#[doc(hidden)]
#[macro_export]
macro_rules! __for_tasks { ($($item:tt)*) => { $($item)* }; }

/// Defines items where the crate has the feature `tokio`.
#[cfg(not(feature = "tokio"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __for_tasks {
    ($($item:tt)*) => {};
}
