//! What can be sent and received over a connection.

use crate::channel::{Receivable, Sendable, WithHandles};

/// What one side of a [`TypedConnection`](crate::TypedConnection) may send: what serde can serialize, or that [`WithHandles`].
///
/// ```
/// use std::thread;
/// use typed_pipe::{Connection, Error, Outbound, TypedConnection};
///
/// fn serve<Out: Outbound + ?Sized>(client: Connection) -> Result<TypedConnection<Out, ()>, Error> {
///     client.require_same_user()?;
///     client.into_typed()
/// }
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || serve::<str>(server)?.send("hello"));
/// assert_eq!(client.into_typed::<(), String>()?.recv()?, "hello");
/// # serving.join().unwrap()?;
/// # Ok::<(), Error>(())
/// ```
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

/// What one side of a [`TypedConnection`](crate::TypedConnection) may receive: what serde can deserialize without borrowing, or that
/// [`WithHandles`].
///
/// ```
/// use std::thread;
/// use typed_pipe::{Connection, Error, Inbound, TypedConnection};
///
/// fn serve<In: Inbound>(client: Connection) -> Result<TypedConnection<(), In>, Error> {
///     client.require_same_user()?;
///     client.into_typed()
/// }
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || serve::<String>(server)?.recv());
/// client.into_typed::<str, ()>()?.send("hello")?;
/// assert_eq!(serving.join().unwrap()?, "hello");
/// # Ok::<(), Error>(())
/// ```
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
