//! A watchdog on counters: whoever is there goes forward.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::site::Site;

pub(crate) struct Watch {
    /// When each actor was seen to go forward, and its counts then.
    seen: BTreeMap<u64, (Instant, [u64; 16])>,
    patience: Duration,
}

/// So long nothing may be counted for an actor that is there, times `TYPED_PIPE_TEST_PATIENCE`. A machine that has other
/// work to do may hold one up for seconds; nothing here waits for longer by itself.
const PATIENCE: Duration = Duration::from_secs(60);

impl Watch {
    pub(crate) fn new(times: u32) -> Self {
        Self { seen: BTreeMap::new(), patience: PATIENCE * times }
    }

    /// Who does not go forward any more.
    pub(crate) fn look(&mut self, site: &Site) -> Option<String> {
        let (now, present) = (Instant::now(), site.present());
        let actors = || present.iter().flat_map(|process| process.actors.clone());
        self.seen.retain(|actor, _| actors().any(|present| present == *actor));
        for process in &present {
            for actor in process.actors.clone() {
                let page = site.ledger.page(actor);
                let (since, before) = self.seen.entry(actor).or_insert((now, page));
                if *before != page {
                    (*since, *before) = (now, page);
                } else if now - *since > self.patience {
                    let when = if site.is_over() { ", while it should end" } else { "" };
                    return Some(format!(
                        "{}: actor {actor} made no progress for {:?}{when}; its counts: {page:?}",
                        process.what, self.patience
                    ));
                }
            }
        }
        None
    }
}
