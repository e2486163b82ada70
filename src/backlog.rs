//! Messages that wait for a thread which sends them: bounded, and what had no room is counted.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, Operation};
use crate::sys::WaitLimit;
use crate::wait::{CancelToken, waiting};
use crate::wire::{Codec, Encoder, Framing, LengthPrefixed, Wire};

/// Encoded messages in their order. Several backlogs may share a message.
#[derive(Debug)]
pub(crate) struct Backlog {
    waiting: VecDeque<Arc<[u8]>>,
    limit: usize,
    dropped: u64,
}

impl Backlog {
    /// Room for so many messages, and for one at least.
    pub(crate) fn new(limit: usize) -> Self {
        Self { waiting: VecDeque::new(), limit: limit.max(1), dropped: 0 }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= self.limit
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many messages were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Counts a message that is dropped elsewhere.
    pub(crate) fn count_dropped(&mut self) {
        self.dropped += 1;
    }

    /// Appends a message; drops the oldest one where there is no room.
    pub(crate) fn push(&mut self, message: Arc<[u8]>) {
        if self.is_full() {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(message);
    }

    /// Takes the oldest message.
    pub(crate) fn pop(&mut self) -> Option<Arc<[u8]>> {
        let message = self.waiting.pop_front();
        if self.waiting.is_empty() {
            // A burst keeps no memory.
            self.waiting.shrink_to(64);
        }
        message
    }

    /// Drops all that wait.
    pub(crate) fn clear(&mut self) {
        while self.pop().is_some() {
            self.dropped += 1;
        }
    }
}

/// Wakes the thread that reads from a connection, so that it looks for messages to send.
///
/// It is a token whose cancellation is taken back: reads that it cancels lose nothing.
#[derive(Clone, Debug)]
pub(crate) struct Wakeup(CancelToken);

impl Wakeup {
    pub(crate) fn new() -> Result<Self, Error> {
        CancelToken::new().map(Self)
    }

    pub(crate) fn wake(&self) {
        self.0.event().set();
    }

    /// Ends the ringing. Look for messages after this, or one may be missed.
    pub(crate) fn clear(&self) {
        self.0.event().unset();
    }

    /// Waits until it rings.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        let rung = self.0.event().wait(waiting(WaitLimit::Done, None));
        rung.map_err(|error| Error::new(Operation::Send, error))
    }

    /// What cancels the reads.
    pub(crate) fn token(&self) -> &CancelToken {
        &self.0
    }
}

/// Runs code of the program's in a thread that outlives its panic; `None` is a panic.
pub(crate) fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    // The drop of what it says may panic as well, and so on: it is better leaked.
    catch_unwind(AssertUnwindSafe(run)).map_err(mem::forget).ok()
}

/// The bytes of a value in the codec of a wire, which its framing takes.
pub(crate) fn encoded<F: Framing + Clone, C: Codec + Clone>(
    wire: &Wire<F, C>,
    value: &(impl Serialize + ?Sized),
) -> Result<Arc<[u8]>, Error> {
    payload(wire, |encoder| encoder.stage(value))
}

/// Bytes that go through no codec, if the framing of a wire takes them.
pub(crate) fn unencoded<F: Framing + Clone, C: Codec + Clone>(
    wire: &Wire<F, C>,
    bytes: &[u8],
) -> Result<Arc<[u8]>, Error> {
    payload(wire, |encoder| encoder.stage_bytes(bytes))
}

fn payload<F: Framing + Clone, C: Codec + Clone>(
    wire: &Wire<F, C>,
    stage: impl FnOnce(&mut Encoder<LengthPrefixed, C>) -> Result<(), Error>,
) -> Result<Arc<[u8]>, Error> {
    let limit = u32::try_from(wire.framing().max_payload()).unwrap_or(u32::MAX);
    let framing = LengthPrefixed::default().limit(limit);
    let mut encoder = Encoder::new(Wire::new(framing, wire.codec().clone()));
    stage(&mut encoder)?;
    // What stands before the payload is its length, in four bytes.
    let payload: Arc<[u8]> = encoder.pending().get(4..).unwrap_or_default().into();
    // What the framing cannot carry, as lines a line feed, is refused before it is queued. A fault of the program's framing
    // is left to the thread that sends.
    let carried = contained(|| {
        let mut encoder = Encoder::new(wire.clone());
        match encoder.header(payload.len())? {
            Some(_) => Ok(()), // the bytes of the payload do not matter to it
            None => encoder.stage_bytes(&payload),
        }
    });
    carried.unwrap_or(Ok(()))?;
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(byte: u8) -> Arc<[u8]> {
        Arc::from([byte])
    }

    #[test]
    fn a_full_backlog_drops_the_oldest_message_and_counts_it() {
        let mut backlog = Backlog::new(2);
        for byte in 0..5 {
            backlog.push(message(byte));
        }
        assert_eq!((backlog.len(), backlog.dropped()), (2, 3));
        assert_eq!(backlog.pop(), Some(message(3)));
        assert!(!backlog.is_full());
        backlog.clear();
        assert_eq!((backlog.len(), backlog.dropped()), (0, 4));
    }

    #[test]
    fn an_encoded_message_is_what_the_codec_writes_and_within_the_limit() {
        let wire = Wire::default().with_framing(LengthPrefixed::default().limit(3));
        assert_eq!(*encoded(&wire, "hi").unwrap(), *b"\x02hi");
        let error = encoded(&wire, "hello").unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::TooLarge);
    }

    #[test]
    fn a_bell_rings_until_it_is_silenced() {
        let wakeup = Wakeup::new().unwrap();
        let rings = || {
            let wait = waiting(WaitLimit::Now, Some(wakeup.token()));
            crate::sys::ensure_not_cancelled(wait).is_err()
        };
        assert!(!rings());
        wakeup.wake();
        wakeup.wake();
        assert!(rings());
        wakeup.clear();
        assert!(!rings());
    }
}
