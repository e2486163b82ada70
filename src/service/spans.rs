//! A span for each call, where the feature `tracing` is on: `call` at who calls, `handle` around its handler.
//!
//! It may run code of the program, so it is made, told of and dropped under no lock.

use super::counts::End;
use super::mux::Id;
use crate::sys::Peer;

#[cfg(feature = "tracing")]
pub(crate) use told::CallSpan;
#[cfg(not(feature = "tracing"))]
pub(crate) use untold::CallSpan;

#[cfg(feature = "tracing")]
mod told {
    use std::time::Instant;

    use tracing::field::{Empty, debug};
    use tracing::{Level, Span, enabled, info_span};

    use super::*;

    /// The span of a call.
    #[derive(Debug)]
    pub(crate) struct CallSpan {
        span: Span,
        /// Until it has an outcome; nothing is measured for a span that nothing listens to.
        begun: Option<Instant>,
    }

    impl CallSpan {
        /// Whether something may listen.
        pub(crate) fn is_listened_to() -> bool {
            enabled!(Level::INFO)
        }

        /// A call of this side, inside of what the caller does; `None` where nothing listens.
        pub(crate) fn made(method: Option<&str>, peer: Option<&Peer>) -> Option<Self> {
            let span = info_span!(
                "call",
                id = Empty,
                method,
                peer = peer.and_then(Peer::pid),
                outcome = Empty,
                duration = Empty,
            );
            (!span.is_disabled()).then(|| Self { span, begun: Some(Instant::now()) })
        }

        /// A request of the other side, which is to be handled; without a number, a notification.
        pub(crate) fn came(id: Option<Id>, method: Option<&str>, peer: Option<&Peer>) -> Self {
            let span = info_span!(
                parent: None,
                "handle",
                id,
                method,
                peer = peer.and_then(Peer::pid),
                outcome = Empty,
                duration = Empty,
            );
            let begun = (!span.is_disabled()).then(Instant::now);
            Self { span, begun }
        }

        pub(crate) fn within<T>(&self, run: impl FnOnce() -> T) -> T {
            self.span.in_scope(run)
        }

        pub(crate) fn id(&self, id: Option<Id>) {
            if let Some(id) = id {
                self.span.record("id", id);
            }
        }

        pub(crate) fn end(&mut self, end: End) {
            let Some(begun) = self.begun.take() else { return };
            let word = match end {
                End::Answered => "answered",
                End::Failed => "failed",
                End::Cancelled => "cancelled",
                End::Refused => "refused",
            };
            self.span.record("outcome", word);
            self.span.record("duration", debug(begun.elapsed()));
        }
    }

    impl Drop for CallSpan {
        fn drop(&mut self) {
            self.end(if std::thread::panicking() { End::Failed } else { End::Cancelled });
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod untold {
    use super::*;

    /// Nothing is told of a call.
    #[derive(Debug)]
    pub(crate) struct CallSpan;

    impl CallSpan {
        pub(crate) fn is_listened_to() -> bool {
            false
        }

        pub(crate) fn made(_: Option<&str>, _: Option<&Peer>) -> Option<Self> {
            None
        }

        pub(crate) fn came(_: Option<Id>, _: Option<&str>, _: Option<&Peer>) -> Self {
            Self
        }

        pub(crate) fn within<T>(&self, run: impl FnOnce() -> T) -> T {
            run()
        }

        pub(crate) fn id(&self, _: Option<Id>) {}

        #[expect(clippy::needless_pass_by_ref_mut, reason = "the one of spans changes it")]
        pub(crate) fn end(&mut self, _: End) {}
    }
}
