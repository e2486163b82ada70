//! What a sender has still to send.

use std::path::Path;
use std::sync::Arc;

use crate::wire::Encoder;

/// The encoder of a sender, and the path of its pipe. When it goes, it tells of what goes with it.
pub(super) struct Outgoing<F, C> {
    pub(super) encoder: Encoder<F, C>,
    pub(super) path: Option<Arc<Path>>,
}

impl<F, C> Drop for Outgoing<F, C> {
    fn drop(&mut self) {
        let bytes = self.encoder.staged();
        if bytes > 0 {
            tell_of_loss(bytes, self.path.as_deref());
        }
    }
}

#[cfg(feature = "tracing")]
fn tell_of_loss(bytes: usize, path: Option<&Path>) {
    let path = path.map(Path::display).map(tracing::field::display);
    tracing::warn!(bytes, path, "a sender was dropped with bytes that it had not sent");
}

#[cfg(not(feature = "tracing"))]
fn tell_of_loss(_: usize, _: Option<&Path>) {}
