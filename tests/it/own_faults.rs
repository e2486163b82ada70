//! Services whose own code panics where it is copied or dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::Style;
use typed_pipe::wire::{Codec, LengthPrefixed, Postcard, Wire};
use typed_pipe::{CancelToken, Client, CodecError, Error, PipePath, Service};

use crate::service::Relayed;
use crate::support::watched;

/// How many more of something there are until one panics; of none, where there are 0.
#[derive(Clone, Default)]
struct Until(Arc<AtomicU64>);

impl Until {
    fn set(&self, turns: u64) {
        self.0.store(turns, Ordering::SeqCst);
    }

    fn turn(&self) {
        let next = |turns: u64| turns.checked_sub(1);
        let is_last = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(1);
        assert!(!is_last || thread::panicking(), "a fault of the program");
    }
}

#[derive(Default)]
struct Faulty {
    copies: Until,
    drops: Until,
}

impl Clone for Faulty {
    fn clone(&self) -> Self {
        self.copies.turn();
        Self { copies: self.copies.clone(), drops: self.drops.clone() }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.drops.turn();
    }
}

impl Codec for Faulty {
    fn name(&self) -> &str {
        Postcard.name()
    }

    fn encode<T: Serialize + ?Sized>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        Postcard.encode(value, out)
    }

    fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, CodecError> {
        Postcard.decode(bytes)
    }

    fn style(&self) -> Option<Style> {
        Postcard.style()
    }
}

/// A service with such a codec, what ends it, and when that panics.
fn faulty() -> (Service<u32, u32, LengthPrefixed, Faulty>, CancelToken, [Until; 2]) {
    let (codec, token) = (Faulty::default(), CancelToken::new().unwrap());
    let faults = [codec.copies.clone(), codec.drops.clone()];
    let service = Service::temporary().unwrap().with_wire(Wire::default().with_codec(codec));
    (service.cancelled_by(&token), token, faults)
}

fn ask(path: &PipePath) -> Result<u32, Error> {
    Client::<u32, u32>::connect(path)?.call(&1)
}

/// Lets each of what comes first for a client panic. Returns how many clients that cost.
fn cost_of(faults: &[Until; 2], path: &PipePath) -> u64 {
    // It has begun.
    assert_eq!(ask(path).unwrap(), 2);
    let mut cost = 0;
    for (turn, fault) in (1..=8).flat_map(|turn| faults.iter().map(move |fault| (turn, fault))) {
        for _ in 0..3 {
            fault.set(turn);
            cost += u64::from(ask(path).is_err());
            fault.set(0);
            assert_eq!(ask(path).unwrap(), 2, "another one is lost as well");
        }
    }
    cost
}

#[test]
fn a_service_whose_code_panics_for_a_client_goes_on_with_others() {
    // The thread that accepts meets those that come while another one is waited for.
    for comes_alone in [true, false] {
        watched(move || {
            let (service, token, faults) = faulty();
            let path = service.path().clone();
            let serving = thread::spawn(move || service.serve(|number| number + 1));
            let other = (!comes_alone).then(|| Relayed::told(&path));
            let cost = cost_of(&faults, &path);
            token.cancel();
            let summary = serving.join().unwrap().unwrap();
            assert!(cost > 0, "nothing panicked");
            assert!(summary.lost >= cost, "{summary:?}, and {cost} were");
            drop(other);
        });
    }
}

#[cfg(feature = "tokio")]
#[test]
fn a_service_of_tasks_whose_code_panics_for_a_client_goes_on_with_others() {
    watched(|| {
        let (service, token, faults) = faulty();
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                service.into_tokio().unwrap().serve(|number| async move { number + 1 }).await
            })
        });
        let cost = cost_of(&faults, &path);
        token.cancel();
        let summary = serving.join().unwrap().unwrap();
        assert!(cost > 0, "nothing panicked");
        assert!(summary.lost >= cost, "{summary:?}, and {cost} were");
    });
}
