//! `service!`: services as traits, and calls with items, in both modes.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;

use serde::{Deserialize, Serialize};
use typed_pipe::{ErrorKind, Service, service};

use crate::support::watched;

#[derive(Serialize, Deserialize, Debug, PartialEq)]
pub(crate) enum Refused {
    TooMuch { limit: u64 },
}

service! {
    /// Numbers that have names.
    pub(crate) trait Counters in counters {
        /// Adds to a counter, and returns its sum.
        fn add(name: String, by: u64) -> Result<u64, Refused>;
        fn get(&self, name: String) -> Option<u64>;
        fn reset(&self);
        fn all() -> HashMap<String, u64>;
    }
}

#[derive(Default)]
struct InMemory(Mutex<HashMap<String, u64>>);

impl Counters for InMemory {
    fn add(&self, name: String, by: u64) -> Result<u64, Refused> {
        if by > 100 {
            return Err(Refused::TooMuch { limit: 100 });
        }
        let mut all = self.0.lock().unwrap();
        let sum = all.entry(name).or_default();
        *sum += by;
        Ok(*sum)
    }

    fn get(&self, name: String) -> Option<u64> {
        self.0.lock().unwrap().get(&name).copied()
    }

    fn reset(&self) {
        self.0.lock().unwrap().clear();
    }

    fn all(&self) -> HashMap<String, u64> {
        let all = self.0.lock().unwrap().clone();
        assert!(!all.is_empty(), "there is none");
        all
    }
}

#[test]
fn methods_are_called_and_errors_of_their_own_are_values() {
    watched(|| {
        let service = Service::temporary().unwrap().shutdown_after(6);
        let path = service.path().clone();
        let serving = thread::spawn(move || counters::serve(service, &InMemory::default()));
        let client = counters::Client::connect(path).unwrap();
        assert_eq!(client.add("a".into(), 2).unwrap(), Ok(2));
        assert_eq!(client.add("a".into(), 200).unwrap(), Err(Refused::TooMuch { limit: 100 }));
        assert_eq!(client.get("a".into()).unwrap(), Some(2));
        assert_eq!(client.all().unwrap().len(), 1);
        client.reset().unwrap();
        let panicked = client.all().unwrap_err();
        assert_eq!(panicked.kind(), ErrorKind::HandlerPanicked);
        serving.join().unwrap().unwrap();
    });
}

#[cfg(feature = "tokio")]
#[test]
fn methods_are_called_by_tasks_and_handled_by_tasks() {
    use typed_pipe::ClientOptions;

    struct Shared(Mutex<u64>);

    impl counters::Tasks for Shared {
        async fn add(&self, _: String, by: u64) -> Result<u64, Refused> {
            tokio::task::yield_now().await;
            let mut sum = self.0.lock().unwrap();
            *sum += by;
            Ok(*sum)
        }

        async fn get(&self, _: String) -> Option<u64> {
            None
        }

        async fn reset(&self) {}

        async fn all(&self) -> HashMap<String, u64> {
            HashMap::new()
        }
    }

    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let service = Service::temporary().unwrap().shutdown_after(3).into_tokio().unwrap();
            let path = service.path().clone();
            let serving = tokio::spawn(counters::serve_tasks(service, Shared(Mutex::new(0))));
            let client = ClientOptions::new().into_tokio().connect(path).await.unwrap();
            let client = counters::Client(client);
            let (one, two) = tokio::join!(client.add("a".into(), 1), client.add("a".into(), 2));
            assert_eq!((one.unwrap(), two.unwrap()), (Ok(1), Ok(3)));
            assert_eq!(client.get("b".into()).await.unwrap(), None);
            assert_eq!(serving.await.unwrap().unwrap().answered, 3);
        });
    });
}

mod ways {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::sync::mpsc;

    use typed_pipe::{
        Caller, CancelToken, Carried, ClientOptions, Connection, Handles, ListenerOptions,
    };

    use super::*;

    service! {
        /// All ways in which a method is called.
        pub(crate) trait Ways in ways {
            /// Sends each number below one back.
            fn count(to: u64) -> Result<u64, Refused> where yields: u64;
            fn sum() -> u64 where takes: u64;
            fn double(by: u64) -> u64 where takes: u64, yields: u64;
            fn note(what: String) where notify;
            /// It is acknowledged.
            fn noted() -> Vec<String>;
            fn turn(file: Carried<File>) -> Option<Carried<File>> where handles;
            fn is_mine() -> bool where caller;
            fn bare() where yields: u8;
        }
    }

    #[derive(Default)]
    pub(super) struct All(Mutex<Vec<String>>);

    fn turned(file: Carried<File>, mut came: Handles) -> (Carried<File>, Handles) {
        let mut file = came.claim(file).unwrap();
        file.write_all(b" and back").unwrap();
        let mut handles = Handles::new();
        let file = handles.carry(file).unwrap();
        (file, handles)
    }

    impl Ways for All {
        fn count(&self, to: u64, caller: Caller<u64>) -> Result<u64, Refused> {
            if to > 100 {
                return Err(Refused::TooMuch { limit: 100 });
            }
            (0..to).for_each(|number| caller.send(&number).unwrap());
            Ok(to)
        }

        fn sum(&self, caller: Caller<(), u64>) -> u64 {
            caller.items().map(Result::unwrap).sum()
        }

        fn double(&self, by: u64, caller: Caller<u64, u64>) -> u64 {
            let mut items = 0;
            while let Some(item) = caller.recv() {
                caller.send(&(by * item.unwrap())).unwrap();
                items += 1;
            }
            items
        }

        fn note(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }

        fn noted(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
        }

        fn turn(&self, file: Carried<File>, caller: Caller) -> Option<Carried<File>> {
            let (file, handles) = turned(file, caller.take_handles());
            caller.give_handles(handles).unwrap();
            Some(file)
        }

        fn is_mine(&self, caller: Caller) -> bool {
            caller.peer().is_some_and(typed_pipe::Peer::is_same_user)
        }

        fn bare(&self, caller: Caller<u8>) {
            caller.send(&7).unwrap();
        }
    }

    fn a_file() -> (Handles, Carried<File>) {
        let mut handles = Handles::new();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"there").unwrap();
        let file = handles.carry(file).unwrap();
        (handles, file)
    }

    fn assert_turned(file: Option<Carried<File>>, mut handles: Handles) {
        let mut file = handles.claim(file.unwrap()).unwrap();
        let mut words = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut words).unwrap();
        assert_eq!(words, "there and back");
    }

    #[test]
    fn methods_stream_notify_and_carry_handles() {
        fn check(client: &ways::Client) {
            let mut counted = client.count(3).unwrap();
            assert!(counted.by_ref().map(Result::unwrap).eq(0..3));
            assert_eq!(counted.finish().unwrap(), Ok(3));
            let refused = client.count(200).unwrap().finish().unwrap();
            assert_eq!(refused, Err(Refused::TooMuch { limit: 100 }), "its own error is a value");

            let mut sum = client.sum().unwrap();
            (1..=100).for_each(|number| sum.send(&number).unwrap());
            sum.end();
            assert_eq!(sum.finish().unwrap(), 5050);

            let mut double = client.double(2).unwrap();
            for number in 0..10 {
                double.send(&number).unwrap();
                assert_eq!(double.recv().unwrap().unwrap(), 2 * number);
            }
            double.end();
            assert!(double.recv().is_none());
            assert_eq!(double.finish().unwrap(), 10);

            client.note("one".into()).unwrap();
            client.note("two".into()).unwrap();
            assert_eq!(client.noted().unwrap(), ["one", "two"]);

            let (mut handles, file) = a_file();
            let (file, handles) = client.turn(file, &mut handles).unwrap();
            assert_turned(file, handles);
            assert!(client.is_mine().unwrap());
            let mut bare = client.bare().unwrap();
            assert_eq!(bare.recv().unwrap().unwrap(), 7);
            bare.finish().unwrap();
        }

        watched(|| {
            check(&ways::local(All::default()).unwrap());
            let service = Service::temporary().unwrap().with_handles().shutdown_after(10);
            let path = service.path().clone();
            let serving = thread::spawn(move || ways::serve(service, &All::default()));
            let client = ClientOptions::new().with_handles().connect(path).unwrap();
            check(&ways::Client(client));
            serving.join().unwrap().unwrap();
        });
    }

    service! {
        /// `Totals`, as an older program has it.
        pub(crate) trait OlderTotals in older_totals {
            fn total() -> Result<u64, String> where takes: u32;
        }
    }

    service! {
        pub(crate) trait Totals in totals {
            fn total() -> Result<u64, String> where takes: u64;
        }
    }

    struct Total;

    impl Totals for Total {
        fn total(&self, caller: Caller<(), u64>) -> Result<u64, String> {
            caller.items().sum::<Result<u64, _>>().map_err(|error| error.to_string())
        }
    }

    service! {
        /// The first edition.
        pub(crate) trait First in first {
            fn add(a: u32, b: u32) -> u32;
        }
    }

    service! {
        /// The second one: a method is appended.
        pub(crate) trait Second in second {
            fn add(a: u32, b: u32) -> u32;
            fn name() -> String;
            fn negate(number: i64) -> i64;
        }
    }

    service! {
        /// Another one, whose first method takes other numbers.
        pub(crate) trait Wide in wide {
            fn add(a: u32, b: u64) -> u32;
            fn name() -> String;
        }
    }

    service! {
        /// One more, whose first method answers something else.
        pub(crate) trait Wordy in wordy {
            fn add(a: u32, b: u32) -> String;
        }
    }

    struct Adds;

    impl First for Adds {
        fn add(&self, a: u32, b: u32) -> u32 {
            a + b
        }
    }

    impl Second for Adds {
        fn add(&self, a: u32, b: u32) -> u32 {
            a + b
        }

        fn name(&self) -> String {
            "adds".to_owned()
        }

        fn negate(&self, number: i64) -> i64 {
            -number
        }
    }

    /// What both know of two editions is the same. A method that is not there is the error of its call, whatever was called.
    #[test]
    fn a_method_that_is_appended_is_in_nobodys_way() {
        watched(|| {
            let service = Service::temporary().unwrap().shutdown_after(1);
            let path = service.path().clone();
            let serving = thread::spawn(move || second::serve(service, &Adds));
            let old = first::Client::connect(&path).unwrap();
            assert_eq!(old.add(1, 2).unwrap(), 3);
            drop(old);
            assert_eq!(serving.join().unwrap().unwrap().lost, 0);

            let token = CancelToken::new().unwrap();
            let service = Service::temporary().unwrap().cancelled_by(&token);
            let path = service.path().clone();
            let serving = thread::spawn(move || first::serve(service, &Adds));
            for called_before in [false, true] {
                let new = second::Client::connect(&path).unwrap();
                if called_before {
                    assert_eq!(new.add(1, 2).unwrap(), 3);
                }
                for _ in 0..2 {
                    let error = new.negate(1).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
                    assert!(
                        error.to_string().contains("negate") && !error.is_delivered(),
                        "{error}"
                    );
                    assert_eq!(new.name().unwrap_err().kind(), ErrorKind::Mismatch);
                    assert_eq!(new.add(1, 2).unwrap(), 3);
                }
            }
            token.cancel();
            assert_eq!(serving.join().unwrap().unwrap().lost, 0);
        });
    }

    #[test]
    fn methods_that_do_not_fit_are_refused_at_connect() {
        watched(|| {
            let token = CancelToken::new().unwrap();
            // One after the other: who comes in knows that the service has given up those before.
            let listener = ListenerOptions::new().max_clients(1).temporary().unwrap();
            let service = Service::new(listener).cancelled_by(&token);
            let path = service.path().clone();
            let serving = thread::spawn(move || second::serve(service, &Adds));
            let is_mismatch = |error: typed_pipe::Error, words: &str| {
                assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
                assert!(error.to_string().contains(words), "{error}");
            };
            let wide = wide::Client::connect(&path).unwrap_err();
            is_mismatch(wide, "what this side sends: `Call::add.b`: u64 here, u32 there");
            let wordy = wordy::Client::connect(&path).unwrap_err();
            is_mismatch(wordy, "what this side receives: `Answer::add`: text here, u32 there");
            // And without a definition.
            let other = typed_pipe::Client::<String, second::Answer>::connect(&path).unwrap_err();
            is_mismatch(other, "text here, enum");
            let other = typed_pipe::Client::<second::Call, u8>::connect(&path).unwrap_err();
            is_mismatch(other, "u8 here, enum");
            let client = second::Client::connect(path).unwrap();
            assert_eq!(client.negate(1).unwrap(), -1);
            token.cancel();
            let summary = serving.join().unwrap().unwrap();
            assert_eq!((summary.clients, summary.lost), (5, 4), "{summary:?}");
        });
    }

    /// With names in place of numbers, methods may stand in any order.
    #[cfg(feature = "json")]
    #[test]
    fn methods_with_names_are_compared_as_well() {
        use typed_pipe::wire::{Json, Wire};

        watched(|| {
            let wire = Wire::default().with_codec(Json);
            let listener = ListenerOptions::new().max_clients(1).temporary().unwrap();
            let service = Service::new(listener).with_wire(wire.clone()).shutdown_after(1);
            let path = service.path().clone();
            let serving = thread::spawn(move || first::serve(service, &Adds));
            let options = ClientOptions::new().with_wire(wire);
            let wordy = options.connect::<wordy::Call, wordy::Answer>(&path).unwrap_err();
            assert!(wordy.to_string().contains("`Answer::add`: text here, u32 there"), "{wordy}");
            let wide = options.connect::<wide::Call, wide::Answer>(&path).unwrap_err();
            assert!(wide.to_string().contains("`Call::add.b`: u64 here, u32 there"), "{wide}");
            let new = second::Client(options.connect(&path).unwrap());
            assert_eq!(new.name().unwrap_err().kind(), ErrorKind::Mismatch);
            assert_eq!(new.add(1, 2).unwrap(), 3);
            drop(new);
            assert_eq!(serving.join().unwrap().unwrap().lost, 2);
        });
    }

    /// Each side of a connection that goes both ways has the requests and the answers of both.
    #[test]
    fn both_ways_are_compared_at_connect() {
        fn meet<MyCall, MyAnswer, Call, Answer>() -> Result<(), typed_pipe::Error>
        where
            MyCall: typed_pipe::Described + typed_pipe::Receivable + 'static,
            MyAnswer: typed_pipe::Described + typed_pipe::Receivable + Default + 'static,
            Call: typed_pipe::Described + typed_pipe::Receivable + 'static,
            Answer: typed_pipe::Described + typed_pipe::Receivable + 'static,
        {
            let (ours, theirs) = Connection::pair().unwrap();
            let other = thread::spawn(move || {
                let service = Service::<second::Call, u8>::over(theirs);
                service.both_ways(|_: typed_pipe::Client<first::Call, String>| |_| 0).map(drop)
            });
            let service = Service::<MyCall, MyAnswer>::over(ours);
            let met =
                service.both_ways(|_: typed_pipe::Client<Call, Answer>| |_| MyAnswer::default());
            let other = other.join().unwrap();
            assert_eq!(met.is_ok(), other.is_ok(), "{other:?}");
            met.map(drop)
        }

        watched(|| {
            meet::<first::Call, String, second::Call, u8>().unwrap();
            // Of another edition, and so in the second round.
            meet::<second::Call, String, first::Call, u8>().unwrap();
            meet::<first::Call, String, first::Call, u8>().unwrap();
            for (error, words) in [
                (
                    meet::<wide::Call, String, second::Call, u8>(),
                    "`Call::add.b`: u64 here, u32 there",
                ),
                (meet::<first::Call, u16, second::Call, u8>(), "u16 here, text there"),
                (
                    meet::<first::Call, String, wide::Call, u8>(),
                    "`Call::add.b`: u64 here, u32 there",
                ),
                (meet::<first::Call, String, second::Call, u16>(), "u16 here, u8 there"),
            ] {
                let error = error.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
                assert!(error.to_string().contains(words), "{error}");
            }
        });
    }

    /// What the handler says of items that it does not take.
    #[track_caller]
    fn is_refused(total: &Result<u64, String>) {
        let words = total.as_ref().unwrap_err();
        assert!(words.contains("`message`: u64 here, u32 there"), "{words}");
    }

    /// The calls of both are alike: the items alone differ.
    #[test]
    fn a_method_takes_no_items_of_an_older_definition() {
        watched(|| {
            let service = Service::temporary().unwrap().shutdown_after(2);
            let path = service.path().clone();
            let serving = thread::spawn(move || totals::serve(service, &Total));
            let older = older_totals::Client::connect(&path).unwrap();
            let mut total = older.total().unwrap();
            total.send(&7).unwrap();
            total.end();
            is_refused(&total.finish().unwrap());
            let mut total = totals::Client::connect(path).unwrap().total().unwrap();
            total.send(&7).unwrap();
            total.end();
            assert_eq!(total.finish().unwrap(), Ok(7));
            serving.join().unwrap().unwrap();
        });
    }

    /// Both sides have the same methods.
    #[test]
    fn methods_stream_both_ways_over_one_connection() {
        watched(|| {
            let (ours, theirs) = Connection::pair().unwrap();
            let (done, is_done) = mpsc::channel();
            let other = thread::spawn(move || {
                let service = Service::over(theirs);
                let (client, serving) =
                    ways::both_ways(service, |_: typed_pipe::Client<ways::Call, ways::Answer>| {
                        All::default()
                    })
                    .unwrap();
                let client = ways::Client(client);
                assert_eq!(client.count(5).unwrap().finish().unwrap(), Ok(5));
                done.send(()).unwrap();
                serving.wait().unwrap();
            });
            let service = Service::over(ours);
            let (client, serving) =
                ways::both_ways(service, |_: typed_pipe::Client<ways::Call, ways::Answer>| {
                    All::default()
                })
                .unwrap();
            let client = ways::Client(client);
            let mut double = client.double(3).unwrap();
            double.send(&2).unwrap();
            assert_eq!(double.recv().unwrap().unwrap(), 6);
            double.end();
            assert_eq!(double.finish().unwrap(), 1);
            is_done.recv().unwrap();
            drop(serving);
            other.join().unwrap();
        });
    }

    #[cfg(feature = "tokio")]
    mod tasks {
        use typed_pipe::Tokio;

        use super::*;

        #[derive(Default)]
        struct Of(All);

        impl ways::Tasks for Of {
            async fn count(&self, to: u64, caller: Caller<u64, (), Tokio>) -> Result<u64, Refused> {
                for number in 0..to {
                    caller.send(&number).await.unwrap();
                }
                Ok(to)
            }

            async fn sum(&self, caller: Caller<(), u64, Tokio>) -> u64 {
                let mut sum = 0;
                while let Some(item) = caller.recv().await {
                    sum += item.unwrap();
                }
                sum
            }

            async fn double(&self, by: u64, caller: Caller<u64, u64, Tokio>) -> u64 {
                let mut items = 0;
                while let Some(item) = caller.recv().await {
                    caller.send(&(by * item.unwrap())).await.unwrap();
                    items += 1;
                }
                items
            }

            async fn note(&self, what: String) {
                self.0.note(what);
            }

            async fn noted(&self) -> Vec<String> {
                self.0.noted()
            }

            async fn turn(
                &self,
                file: Carried<File>,
                caller: Caller<(), (), Tokio>,
            ) -> Option<Carried<File>> {
                let (file, handles) = turned(file, caller.take_handles());
                caller.give_handles(handles).unwrap();
                Some(file)
            }

            async fn is_mine(&self, caller: Caller<(), (), Tokio>) -> bool {
                caller.peer().is_some_and(typed_pipe::Peer::is_same_user)
            }

            async fn bare(&self, caller: Caller<u8, (), Tokio>) {
                caller.send(&7).await.unwrap();
            }
        }

        impl totals::Tasks for Total {
            async fn total(&self, caller: Caller<(), u64, Tokio>) -> Result<u64, String> {
                let mut total = 0;
                while let Some(item) = caller.recv().await {
                    total += item.map_err(|error| error.to_string())?;
                }
                Ok(total)
            }
        }

        #[test]
        fn a_method_of_tasks_takes_no_items_of_an_older_definition() {
            watched(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let service = Service::temporary().unwrap().shutdown_after(2);
                    let path = service.path().clone();
                    let service = service.into_tokio().unwrap();
                    let serving = tokio::spawn(totals::serve_tasks(service, Total));
                    let options = ClientOptions::new().into_tokio();
                    let older = older_totals::Client(options.connect(&path).await.unwrap());
                    let mut total = older.total().await.unwrap();
                    total.send(&7).await.unwrap();
                    total.end();
                    is_refused(&total.finish().await.unwrap());
                    let client = totals::Client(options.connect(path).await.unwrap());
                    let mut total = client.total().await.unwrap();
                    total.send(&7).await.unwrap();
                    total.end();
                    assert_eq!(total.finish().await.unwrap(), Ok(7));
                    serving.await.unwrap().unwrap();
                });
            });
        }

        #[test]
        fn methods_of_tasks_stream_notify_and_carry_handles() {
            watched(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let client = ways::local_tasks(Of::default()).await.unwrap();
                    let mut counted = client.count(3).await.unwrap();
                    for number in 0..3 {
                        assert_eq!(counted.recv().await.unwrap().unwrap(), number);
                    }
                    assert!(counted.recv().await.is_none());
                    assert_eq!(counted.finish().await.unwrap(), Ok(3));

                    let mut sum = client.sum().await.unwrap();
                    for number in 1..=100 {
                        sum.send(&number).await.unwrap();
                    }
                    sum.end();
                    assert_eq!(sum.finish().await.unwrap(), 5050);

                    let mut double = client.double(2).await.unwrap();
                    double.send(&4).await.unwrap();
                    assert_eq!(double.recv().await.unwrap().unwrap(), 8);
                    double.end();
                    assert_eq!(double.finish().await.unwrap(), 1);

                    client.note("one".into()).await.unwrap();
                    assert_eq!(client.noted().await.unwrap(), ["one"]);
                    let (mut handles, file) = a_file();
                    let (file, handles) = client.turn(file, &mut handles).await.unwrap();
                    assert_turned(file, handles);
                    assert!(client.is_mine().await.unwrap());
                    client.bare().await.unwrap().finish().await.unwrap();
                });
            });
        }
    }
}
