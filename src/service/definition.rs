//! `service!`: a service as a trait.

use crate::carried::Carried;

/// Makes a trait a service: what implements it can be served, and a client calls its methods.
///
/// `service! { pub trait Name in module { … } }` defines the trait, whose methods take `&self`, written or not, and a module
/// with
///
/// - `serve`, which serves an implementation of the trait with threads,
/// - `both_ways`, which serves one client and [calls it](crate::Service::both_ways) over the same connection,
/// - `local` and `local_tasks`, a client in this process, for tests,
/// - `Client`, whose methods are those of the trait, in both modes: a tuple around a [`Client`](crate::Client), so one with
///   [options](crate::ClientOptions), in the mode `Tokio`, or as `both_ways` lends it, is `counter::Client(client)`,
/// - with the feature `tokio`, the trait `Tasks`, which has the same methods as `async fn`s, whose callers
///   have `Tokio` as their third parameter, `serve_tasks` and `both_ways_tasks`,
/// - `Call` and `Answer`, the messages, for `Service<Call, Answer>` and `Client<Call, Answer>`. A variant is named as its
///   method: a call with a deadline of its own, or one whose answer is waited for later, is one of the
///   [`Client`](crate::Client) within, such as `client.0.call_timeout(&counter::Call::add { by: 2 }, time)`.
///
/// Behind `where` stands how else a method is called. What its handler gets is one argument more, its
/// [`Caller`](crate::Caller), which tells as well who calls and whether it still waits.
///
/// | behind the method | the client's method | the handler |
/// |---|---|---|
/// | nothing | waits for the result | gets the arguments |
/// | `where notify` | waits for no answer: a [notification](crate::Client::notify); a method that returns nothing is one that is acknowledged | gets the arguments |
/// | `where yields: Item` | returns the [items](crate::Items), whose end has the result | [sends](crate::Context::send) by its `Caller<Item>` |
/// | `where takes: Item` | [sends](crate::Items::send) items | [receives](crate::Context::recv) by its `Caller<(), Item>` |
/// | `where takes: In, yields: Out` | does both | does both by its `Caller<Out, In>` |
/// | `where handles` | takes and returns [`Handles`](crate::Handles), for [`Carried`](crate::Carried) among the arguments and in the result | takes and gives them by its `Caller` |
/// | `where caller` | waits for the result | gets its `Caller` |
///
/// Arguments and results are serde values. A result may be a `Result` with an error of your own, which arrives as a value.
/// When a client connects, both sides compare the methods that both have, and [refuse each other](crate::when_types_change) where
/// one of them differs; a call of a method that the service does not have is an error.
///
/// New methods are appended: the numbers of those before stay the same. In formats with names, such as JSON and
/// [JSON-RPC](crate::Service::json_rpc), a method has its own name, or that of `#[name = "…"]` behind its docs. The two
/// programs share the definition, as a crate or a file: it needs `serde` with the feature `derive`.
///
/// ```
/// use std::sync::Mutex;
/// use std::thread;
/// use std::time::Duration;
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
///     let service = Service::temporary()?.shutdown_after(4);
///     let path = service.path().clone();
///     let serving = thread::spawn(move || counter::serve(service, &InMemory(Mutex::new(0))));
///
///     let client = counter::Client::connect(path)?;
///     assert_eq!(client.add(2)?, Ok(2));
///     assert_eq!(client.add(200)?, Err(Refused::TooMuch { limit: 100 }));
///     let call = counter::Call::add { by: 3 };
///     let answer = client.0.call_timeout(&call, Duration::from_secs(10))?;
///     assert!(matches!(answer, counter::Answer::add(Ok(5))));
///     client.reset()?;
///     serving.join().unwrap()?;
///     Ok(())
/// }
/// ```
///
/// A build daemon, whose clients see the progress, and a file that is handed out:
///
/// ```
/// use std::fs::File;
/// use typed_pipe::{Caller, Carried, Handles, service};
///
/// service! {
///     pub trait Builder in builder {
///         fn build(target: String) -> Result<u32, String> where yields: u32;
///         fn log(target: String) -> Option<Carried<File>> where handles;
///         fn seen(what: String) where notify;
///     }
/// }
///
/// struct Daemon;
/// impl Builder for Daemon {
///     fn build(&self, target: String, caller: Caller<u32>) -> Result<u32, String> {
///         for step in 1..=3 {
///             caller.send(&step).map_err(|_| format!("{target}: nothing waits for it"))?;
///         }
///         Ok(3)
///     }
///
///     fn log(&self, _: String, caller: Caller) -> Option<Carried<File>> {
/// #       let log = || tempfile::tempfile();
///         let mut handles = Handles::new();
///         let log = handles.carry(log().ok()?).ok()?;
///         caller.give_handles(handles).ok()?;
///         Some(log)
///     }
///
///     fn seen(&self, what: String) {
///         println!("{what}");
///     }
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let client = builder::local(Daemon)?;
///     let mut progress = client.build("library".into())?;
///     assert_eq!(progress.by_ref().collect::<Result<Vec<_>, _>>()?, [1, 2, 3]);
///     assert_eq!(progress.finish()?, Ok(3));
///     let (log, mut handles) = client.log("library".into(), &mut Handles::new())?;
///     let log: File = handles.claim(log.unwrap())?;
///     client.seen("all of it".into())?;
///     # drop(log);
///     Ok(())
/// }
/// ```
///
/// For handles, the service [lets them in](crate::Service::with_handles), and so does the
/// [client](crate::ClientOptions::with_handles), each for what comes to it.
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
///
/// Nor do items of another type, and a handle that has no way:
///
/// ```compile_fail,E0277
/// # use typed_pipe::service;
/// service! { pub trait Sums in sums { fn sum() -> u64 where takes: u64; } }
/// fn call(client: &sums::Client) { let _ = client.sum().unwrap().send::<str>("a word"); }
/// # fn main() {}
/// ```
///
/// ```compile_fail,E0080
/// # use typed_pipe::{Carried, service};
/// service! { pub trait Files in files { fn open(name: String) -> Carried<std::fs::File>; } }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! service {
    ($(#[$doc:meta])* $vis:vis trait $name:ident in $module:ident {
        $(
            $(#[doc = $method_doc:expr])*
            $(#[name = $wire:literal])?
            fn $method:ident($(&self $(,)?)? $($arg:ident: $type:ty),* $(,)?) $(-> $answer:ty)?
            $(where $($way:ident $(: $item:ty)?),+)?;
        )+
    }) => {
        $crate::__service! { @make $(#[$doc])* $vis trait $name in $module {
            $({ $(#[doc = $method_doc])* } { $(#[serde(rename = $wire)])? }
            [$($($way $(: $item)?),+)?] fn $method($($arg: $type),*) $(-> $answer)?;)+
        } }
    };
    ($(#[$doc:meta])* $vis:vis trait $name:ident in $module:ident {
        $(
            $(#[$method_doc:meta])*
            fn $method:ident($(&self $(,)?)? $($arg:ident: $type:ty),* $(,)?) $(-> $answer:ty)?
            $(where $($way:ident $(: $item:ty)?),+)?;
        )+
    }) => {
        $crate::__service! { @make $(#[$doc])* $vis trait $name in $module {
            $({ $(#[$method_doc])* } {}
            [$($($way $(: $item)?),+)?] fn $method($($arg: $type),*) $(-> $answer)?;)+
        } }
    };
    ($(#[$doc:meta])* $vis:vis trait $name:ident { $($methods:tt)* }) => {
        ::core::compile_error!(::core::concat!(
            "name the module for what is made of it: `trait ",
            ::core::stringify!($name),
            " in module { … }`",
        ));
    };
}

/// What [`service!`] is made of, apart from it: so its page shows what a program writes.
#[doc(hidden)]
#[macro_export]
macro_rules! __service {
    (@make $(#[$doc:meta])* $vis:vis trait $name:ident in $module:ident {
        $(
            { $(#[$method_doc:meta])* } { $(#[$serde:meta])* }
            [$($way:ident $(: $item:ty)?),*] fn $method:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;
        )+
    }) => {
        $(#[$doc])*
        $vis trait $name: Sync {
            $($crate::__service! {
                @method [$($way $(: $item)?),*] $(#[$method_doc])*
                fn $method($($arg: $type),*) $(-> $answer)?;
            })+
        }

        #[doc = concat!("The service [`", stringify!($name), "`]: its messages, its clients, and how it is served.")]
        #[allow(non_camel_case_types, unused_imports, unused_parens, unused_variables, missing_docs, clippy::all)]
        $vis mod $module {
            use super::*;

            /// What goes to the service: the method, and its arguments.
            #[derive(::serde::Serialize, ::serde::Deserialize)]
            pub enum Call {
                $(
                    #[doc = concat!("A call of [`", stringify!($name), "::", stringify!($method), "`].")]
                    $(#[$serde])*
                    $method { $($arg: $type),* }
                ),+
            }

            /// What comes back: the result of the method.
            #[derive(::serde::Serialize, ::serde::Deserialize)]
            pub enum Answer {
                $(
                    #[doc = concat!("What [`", stringify!($name), "::", stringify!($method), "`] returns.")]
                    $(#[$serde])*
                    $method($crate::__service!(@answer $($answer)?))
                ),+
            }

            $crate::__service! { @handle [$($($way)*)+] $name
                $([$method] [$($arg),*])+
            }

            /// Handles one call, with what is to be told of it.
            pub fn handle_with_context<C>(
                service: &(impl $name + ?Sized),
                call: Call,
                context: $crate::Context<(), C>,
            ) -> Answer
            where
                C: $crate::wire::Codec + Clone + Send + Sync + 'static,
            {
                match call {
                    $(Call::$method { $($arg),* } => Answer::$method(
                        $crate::__service!(@run [$($way),*] service context $method [$($arg),*])
                    )),+
                }
            }

            // What stands for handles needs a way for them.
            $($crate::__service! { @check [$($way),*] $method [$($type),*] [$($answer)?] })+

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
                service.serve_with_context(|call, context: $crate::Context<(), C>| {
                    handle_with_context(with, call, context)
                })
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
                Req: $crate::Described,
                Resp: ::serde::de::DeserializeOwned,
                F: $crate::wire::Framing + Clone + Send + 'static,
                C: $crate::wire::Codec + Clone + Send + Sync + 'static,
                With: $name + Send + 'static,
            {
                service.both_ways_with_context(|client| {
                    let with = make(client);
                    move |call, context: $crate::Context<(), C>| {
                        handle_with_context(&with, call, context)
                    }
                })
            }

            /// A client in this process, for tests. See [`Client::local`](typed_pipe::Client::local). It carries handles too.
            ///
            /// # Errors
            ///
            /// Those of [`Client::local`](typed_pipe::Client::local).
            pub fn local(with: impl $name + Send + 'static) -> Result<Client, $crate::Error> {
                let options = $crate::ClientOptions::new().with_handles();
                let handler = move |call, context: $crate::Context| {
                    handle_with_context(&with, call, context)
                };
                options.local_with_context(handler).map(Client)
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
                $($crate::__service! {
                    @client [$($way $(: $item)?),*] M C Answer Call $(#[$method_doc])*
                    fn $method($($arg: $type),*) $(-> $answer)?;
                })+
            }

            $crate::__for_tasks! {
                /// The same methods for tasks: implement it with `async fn`.
                pub trait Tasks: Send + Sync + 'static {
                    $($crate::__service! {
                        @task [$($way $(: $item)?),*] $(#[$method_doc])*
                        fn $method($($arg: $type),*) $(-> $answer)?;
                    })+
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
                    service
                        .serve_with_context(move |call, context: $crate::Context<(), C, $crate::Tokio>| {
                            handle_task(::std::sync::Arc::clone(&with), call, context)
                        })
                        .await
                }

                /// As `local`, with tasks.
                ///
                /// # Errors
                ///
                /// Those of [`Client::local`](typed_pipe::Client::local).
                pub async fn local_tasks(
                    with: impl Tasks,
                ) -> Result<
                    Client<$crate::wire::LengthPrefixed, $crate::wire::Postcard, $crate::Tokio>,
                    $crate::Error,
                > {
                    type Given = $crate::Context<(), $crate::wire::Postcard, $crate::Tokio>;
                    let with = ::std::sync::Arc::new(with);
                    let handler = move |call, context: Given| {
                        handle_task(::std::sync::Arc::clone(&with), call, context)
                    };
                    let options = $crate::ClientOptions::new().with_handles().into_tokio();
                    options.local_with_context(handler).await.map(Client)
                }

                async fn handle_task<C>(
                    with: ::std::sync::Arc<impl Tasks>,
                    call: Call,
                    context: $crate::Context<(), C, $crate::Tokio>,
                ) -> Answer
                where
                    C: $crate::wire::Codec + Clone + Send + Sync + 'static,
                {
                    match call {
                        $(Call::$method { $($arg),* } => Answer::$method(
                            $crate::__service!(@run [$($way),*] with context $method [$($arg),*]).await
                        )),+
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
                    Req: $crate::Described,
                    Resp: ::serde::de::DeserializeOwned,
                    F: $crate::wire::Framing + Clone + Send + Sync + 'static,
                    C: $crate::wire::Codec + Clone + Send + Sync + 'static,
                    With: Tasks,
                {
                    service
                        .both_ways_with_context(|client| {
                            let with = ::std::sync::Arc::new(make(client));
                            move |call, context: $crate::Context<(), C, $crate::Tokio>| {
                                handle_task(::std::sync::Arc::clone(&with), call, context)
                            }
                        })
                        .await
                }
            }
        }
    };
    (@answer) => { () };
    (@answer $answer:ty) => { $answer };

    // The way of a method: what its caller and its handler have beside the arguments.
    (@caller [$(caller)?] $mode:ty) => { $crate::Caller<(), (), $mode> };
    (@caller [handles] $mode:ty) => { $crate::Caller<(), (), $mode> };
    (@caller [takes: $takes:ty] $mode:ty) => { $crate::Caller<(), $takes, $mode> };
    (@caller [yields: $yields:ty] $mode:ty) => { $crate::Caller<$yields, (), $mode> };
    (@caller [takes: $takes:ty, yields: $yields:ty] $mode:ty) => {
        $crate::Caller<$yields, $takes, $mode>
    };
    (@caller [$($way:tt)*] $mode:ty) => {
        ::core::compile_error!(
            "behind `where` stand `notify`, `caller`, `handles`, `takes: Item`, `yields: Item`, or `takes: Item, yields: Item`"
        )
    };

    (@method [] $(#[$doc:meta])* fn $method:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;) => {
        $(#[$doc])* fn $method(&self, $($arg: $type),*) $(-> $answer)?;
    };
    (@method [notify] $(#[$doc:meta])* fn $method:ident($($arg:ident: $type:ty),*);) => {
        $(#[$doc])* fn $method(&self, $($arg: $type),*);
    };
    (@method [notify] $(#[$doc:meta])* fn $method:ident($($arg:tt)*) -> $answer:ty;) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($method), "` is a notification, which has no answer: remove the type, or `where notify`",
        ));
    };
    (@method [$($way:tt)+] $(#[$doc:meta])* fn $method:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;) => {
        $(#[$doc])*
        fn $method(
            &self,
            $($arg: $type,)*
            caller: $crate::__service!(@caller [$($way)+] $crate::state::Blocking),
        ) $(-> $answer)?;
    };

    (@task [$(notify)?] $(#[$doc:meta])* fn $method:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;) => {
        $(#[$doc])*
        fn $method(
            &self,
            $($arg: $type),*
        ) -> impl ::std::future::Future<Output = $crate::__service!(@answer $($answer)?)> + Send;
    };
    (@task [$($way:tt)+] $(#[$doc:meta])* fn $method:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;) => {
        $(#[$doc])*
        fn $method(
            &self,
            $($arg: $type,)*
            caller: $crate::__service!(@caller [$($way)+] $crate::Tokio),
        ) -> impl ::std::future::Future<Output = $crate::__service!(@answer $($answer)?)> + Send;
    };

    (@run [$(notify)?] $service:ident $context:ident $method:ident [$($arg:ident),*]) => {
        $service.$method($($arg),*)
    };
    (@run [$($way:tt)+] $service:ident $context:ident $method:ident [$($arg:ident),*]) => {
        $service.$method($($arg,)* $context.into_caller())
    };

    // Without a context, where no method asks for one.
    (@handle [$(notify)*] $name:ident $([$method:ident] [$($arg:ident),*])+) => {
        /// Handles one call.
        pub fn handle(service: &(impl $name + ?Sized), call: Call) -> Answer {
            match call {
                $(Call::$method { $($arg),* } => Answer::$method(service.$method($($arg),*))),+
            }
        }
    };
    (@handle [$($way:tt)+] $($rest:tt)*) => {};

    (@check [handles] $($rest:tt)*) => {};
    (@check [$($way:tt)*] $method:ident [$($type:ty),*] [$($answer:ty)?]) => {
        $($crate::__service! { @check_one $method $type })*
        $($crate::__service! { @check_one $method $answer })?
    };
    (@check_one $method:ident $type:ty) => {
        const _: () = {
            #[allow(unused_imports)]
            use $crate::NotCarried as _;
            ::core::assert!(
                <$crate::IsCarried<$type>>::NO,
                ::core::concat!(
                    "`", ::core::stringify!($method), "` has a `Carried`, and no way for the handle: write `where handles` \
                     behind the method, whose client is then called with `Handles`",
                ),
            );
        };
    };

    (@client [$(caller)?] $mode:ident $codec:ident $all:ident $call:ident $(#[$doc:meta])*
        fn $method:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;
    ) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// Those of [`Client::call`](typed_pipe::Client::call).
        pub fn $method(
            &self,
            $($arg: $type),*
        ) -> $mode::Ret<impl ::std::future::Future<
            Output = Result<$crate::__service!(@answer $($answer)?), $crate::Error>,
        >> {
            self.0.call_for($call::$method { $($arg),* }, $crate::__service!(@found $all $method))
        }
    };
    (@client [notify] $mode:ident $codec:ident $all:ident $call:ident $(#[$doc:meta])*
        fn $method:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;
    ) => {
        $(#[$doc])*
        ///
        /// It waits for no answer: see [`Client::notify`](typed_pipe::Client::notify).
        ///
        /// # Errors
        ///
        /// Those of [`Client::notify`](typed_pipe::Client::notify).
        pub fn $method(
            &self,
            $($arg: $type),*
        ) -> $mode::Ret<impl ::std::future::Future<Output = Result<(), $crate::Error>>> {
            self.0.notify_for($call::$method { $($arg),* })
        }
    };
    (@client [handles] $mode:ident $codec:ident $all:ident $call:ident $(#[$doc:meta])*
        fn $method:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;
    ) => {
        $(#[$doc])*
        ///
        /// With handles beside the arguments and the result: see
        /// [`Client::call_with_handles`](typed_pipe::Client::call_with_handles).
        ///
        /// # Errors
        ///
        /// Those of [`Client::call_with_handles`](typed_pipe::Client::call_with_handles).
        pub fn $method(
            &self,
            $($arg: $type,)*
            handles: &mut $crate::Handles,
        ) -> $mode::Ret<impl ::std::future::Future<
            Output = Result<($crate::__service!(@answer $($answer)?), $crate::Handles), $crate::Error>,
        >> {
            let found = $crate::__service!(@found $all $method);
            self.0.call_with_handles_for($call::$method { $($arg),* }, handles, found)
        }
    };
    (@client [$($way:tt)+] $mode:ident $codec:ident $all:ident $call:ident $(#[$doc:meta])*
        fn $method:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;
    ) => {
        $(#[$doc])*
        ///
        /// It returns the [items](typed_pipe::Items) of the call, whose end has the result.
        ///
        /// # Errors
        ///
        /// Those of [`Client::stream`](typed_pipe::Client::stream).
        pub fn $method(
            &self,
            $($arg: $type),*
        ) -> $mode::Ret<impl ::std::future::Future<Output = Result<
            $crate::__service!(@items [$($way)+] ($crate::__service!(@answer $($answer)?)), $codec, $mode),
            $crate::Error,
        >>> {
            let found = $crate::__service!(@found $all $method);
            self.0.stream_for($call::$method { $($arg),* }, found)
        }
    };
    (@items [takes: $takes:ty] $answer:ty, $codec:ident, $mode:ident) => {
        $crate::Items<(), $answer, $codec, $mode, $crate::Only<$takes>>
    };
    (@items [yields: $yields:ty] $answer:ty, $codec:ident, $mode:ident) => {
        $crate::Items<$yields, $answer, $codec, $mode, $crate::Only<::core::convert::Infallible>>
    };
    (@items [takes: $takes:ty, yields: $yields:ty] $answer:ty, $codec:ident, $mode:ident) => {
        $crate::Items<$yields, $answer, $codec, $mode, $crate::Only<$takes>>
    };
    (@items [$($way:tt)*] $answer:ty, $codec:ident, $mode:ident) => { () };
    (@found $all:ident $method:ident) => {
        |answer| match answer {
            $all::$method(answer) => Some(answer),
            #[allow(unreachable_patterns)]
            _ => None,
        }
    };
}

/// Whether a type stands for a handle, for the checks of [`service!`](crate::service): the constant of the trait is that of all
/// types, unless there is one of the type itself.
#[derive(Debug)]
pub struct IsCarried<T: ?Sized>(std::marker::PhantomData<T>);

/// See [`IsCarried`].
pub trait NotCarried {
    /// Whether it is none.
    const NO: bool = true;
}

impl<T: ?Sized> NotCarried for IsCarried<T> {}

impl<T: ?Sized> IsCarried<Carried<T>> {
    /// It is one.
    pub const NO: bool = false;
}

impl<T: ?Sized> IsCarried<Option<Carried<T>>> {
    /// It is one.
    pub const NO: bool = false;
}

impl<T: ?Sized, E> IsCarried<Result<Carried<T>, E>> {
    /// It is one.
    pub const NO: bool = false;
}

impl<T: ?Sized> IsCarried<Vec<Carried<T>>> {
    /// It is one.
    pub const NO: bool = false;
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
