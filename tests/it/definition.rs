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
