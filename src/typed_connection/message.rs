//! The bounds of messages that a connection can send and receive.

use crate::channel::{Receivable, Sendable, WithHandles};

/// A type that one side of a connection can send: one that is [`Sendable`], or that [`WithHandles`].
///
/// It is hidden in the docs: a generic function asks for `Sendable`, unless its messages may have handles.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent",
    label = "not a message",
    note = "add `#[derive(serde::Serialize)]` to `{Self}`"
)]
pub trait Outbound: half::Outbound {}

#[diagnostic::do_not_recommend]
impl<T: Sendable + ?Sized> Outbound for T {}

#[diagnostic::do_not_recommend]
impl<T: Sendable> Outbound for WithHandles<T> {}

#[diagnostic::do_not_recommend]
impl<T: Sendable + ?Sized> half::Outbound for T {
    const WITH_HANDLES: bool = false;
}

#[diagnostic::do_not_recommend]
impl<T: Sendable> half::Outbound for WithHandles<T> {
    const WITH_HANDLES: bool = true;
}

/// A type that one side of a connection can receive: one that is [`Receivable`], or that [`WithHandles`].
///
/// It is hidden in the docs: a generic function asks for `Receivable`, unless its messages may have handles.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be received",
    label = "not an owned message",
    note = "add `#[derive(serde::Deserialize)]` to `{Self}`"
)]
pub trait Inbound: half::Inbound {}

#[diagnostic::do_not_recommend]
impl<T: Receivable> Inbound for T {}

#[diagnostic::do_not_recommend]
impl<T: Receivable> Inbound for WithHandles<T> {}

#[diagnostic::do_not_recommend]
impl<T: Receivable> half::Inbound for T {
    const WITH_HANDLES: bool = false;
}

#[diagnostic::do_not_recommend]
impl<T: Receivable> half::Inbound for WithHandles<T> {
    const WITH_HANDLES: bool = true;
}

/// The private halves of the traits: only this crate implements them.
pub(crate) mod half {
    pub trait Outbound {
        /// Whether there may be handles beside it.
        const WITH_HANDLES: bool;
    }

    pub trait Inbound {
        /// Whether there may be handles beside it.
        const WITH_HANDLES: bool;
    }
}
