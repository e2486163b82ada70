//! What can be sent and received over a connection.

use crate::channel::{Receivable, Sendable, WithHandles};

/// What one side of a connection may send: what is [`Sendable`], or that [`WithHandles`].
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

/// What one side of a connection may receive: what is [`Receivable`], or that [`WithHandles`].
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

/// The halves of the traits that nobody else has: they are implemented here alone.
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
