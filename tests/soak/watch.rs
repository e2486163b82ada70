//! A watchdog on counters: whoever is there goes forward.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::site::Site;

/// When each actor was seen to go forward, and its counts then.
#[derive(Default)]
pub(crate) struct Watch(BTreeMap<u64, (Instant, [u64; 16])>);

/// So long nothing may be counted for an actor that is there. A machine that has other work to do may hold one up for
/// seconds; nothing here waits for longer by itself.
const PATIENCE: Duration = Duration::from_secs(60);

impl Watch {
    /// Who does not go forward any more.
    pub(crate) fn look(&mut self, site: &Site) -> Option<String> {
        let (now, present) = (Instant::now(), site.present());
        let actors = || present.iter().flat_map(|process| process.actors.clone());
        self.0.retain(|actor, _| actors().any(|present| present == *actor));
        for process in &present {
            for actor in process.actors.clone() {
                let page = site.ledger.page(actor);
                let (since, before) = self.0.entry(actor).or_insert((now, page));
                if *before != page {
                    (*since, *before) = (now, page);
                } else if now - *since > PATIENCE {
                    let when = if site.is_over() { ", while it should end" } else { "" };
                    return Some(format!(
                        "{}: actor {actor} made no progress for {PATIENCE:?}{when}; its counts: {page:?}",
                        process.what
                    ));
                }
            }
        }
        None
    }
}
