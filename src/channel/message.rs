//! The bounds of messages that can be sent and received.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::wire::BorrowingCodec;

/// A type whose values can be sent: any type that serde can serialize.
///
/// That includes unsized and borrowing types, such as `str`, `[u32]` and a struct with a reference in it. A `str` is
/// received as a `String`, and a `[u32]` as a `Vec<u32>`.
///
/// ```
/// use typed_pipe::{TypedReceiver, TypedSender};
///
/// let mut bytes = Vec::new();
/// TypedSender::<str, _>::new(&mut bytes).send("no `String` is made for this")?;
/// let text = TypedReceiver::<String, _>::new(bytes.as_slice()).recv()?;
/// # assert_eq!(text, "no `String` is made for this");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent",
    label = "not a message",
    note = "add `#[derive(serde::Serialize)]` to `{Self}`; what is `WithHandles` goes by `send_with_handles` and through no service, and all that a connection of `Anything` sends by `send_as`"
)]
pub trait Sendable: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> Sendable for T {}

/// A type whose values can be received: any type that serde can deserialize without borrowing.
///
/// For a type that borrows, such as `&str` or a struct with a lifetime, the compiler reports that its implementation of
/// `Deserialize` is not general enough. Receive a type that owns its parts, such as `String`; or the borrowed form of a
/// [`Message`], with [`TypedReceiver::recv_ref`](crate::TypedReceiver::recv_ref).
///
/// ```
/// use typed_pipe::{Error, Receivable, TypedReceiver, TypedSender};
///
/// fn all<T: Receivable>(recording: &[u8]) -> Result<Vec<T>, Error> {
///     TypedReceiver::new(recording).collect()
/// }
///
/// let mut bytes = Vec::new();
/// TypedSender::<str, _>::new(&mut bytes).send_all(["one", "two"])?;
/// assert_eq!(all::<String>(&bytes)?, ["one", "two"]);
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be received",
    label = "not an owned message",
    note = "add `#[derive(serde::Deserialize)]` to `{Self}`; what is `WithHandles` comes by `recv_with_handles`, and through no service"
)]
pub trait Receivable: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> Receivable for T {}

/// A message with a borrowed form, which can be received without copying over a
/// [`BorrowingCodec`](crate::wire::BorrowingCodec).
///
/// Both forms must have the same bytes on the wire: the same fields in the same order. In postcard and bincode,
/// `String` and `&str` are encoded alike, and so are `Vec<u8>` and `&[u8]`. The compiler cannot check that two forms
/// match; a test can, with [`same_encoding`].
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::{Message, TypedReceiver, TypedSender};
///
/// #[derive(Serialize, Deserialize)]
/// struct Job {
///     id: u64,
///     command: String,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct JobRef<'a> {
///     id: u64,
///     command: &'a str,
/// }
///
/// impl Message for Job {
///     type Ref<'a> = JobRef<'a>;
/// }
///
/// let mut bytes = Vec::new();
/// TypedSender::new(&mut bytes).send(&Job { id: 1, command: "make".into() })?;
/// let mut receiver = TypedReceiver::<Job, _>::new(bytes.as_slice());
/// let JobRef { id, command } = receiver.recv_ref()?;
/// assert_eq!((id, command), (1, "make"));
/// # Ok::<(), typed_pipe::Error>(())
/// ```
pub trait Message {
    /// The form that borrows from the buffer.
    type Ref<'a>: Deserialize<'a>;
}

/// Whether the two forms of a message have the same encoding, for the tests of a program.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_pipe::wire::Postcard;
/// use typed_pipe::{Message, same_encoding};
///
/// #[derive(Serialize, Deserialize)]
/// struct Job {
///     id: u64,
///     command: String,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct JobRef<'a> {
///     command: &'a str, // in another order than in `Job`
///     id: u64,
/// }
///
/// impl Message for Job {
///     type Ref<'a> = JobRef<'a>;
/// }
///
/// assert!(!same_encoding(&Postcard, &Job { id: 1, command: "make".into() }));
/// assert!(same_encoding(&Postcard, &String::from("the same")));
/// ```
pub fn same_encoding<T, C>(codec: &C, value: &T) -> bool
where
    T: Message + Serialize,
    C: BorrowingCodec,
    for<'a> T::Ref<'a>: Serialize,
{
    let (mut owned, mut borrowed) = (Vec::new(), Vec::new());
    let encoded = codec.encode(value, &mut owned);
    let decoded = encoded.and_then(|()| codec.decode::<T::Ref<'_>>(&owned));
    let again = decoded.and_then(|form| codec.encode(&form, &mut borrowed));
    again.is_ok() && owned == borrowed
}

impl Message for String {
    type Ref<'a> = &'a str;
}

impl Message for Vec<u8> {
    type Ref<'a> = &'a [u8];
}
