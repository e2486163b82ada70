//! The sender and the receiver of a connection.

use crate::channel::{TypedReceiver, TypedSender};
use crate::connection::{ReadHalf, WriteHalf};
use crate::state::Blocking;
use crate::wire::{LengthPrefixed, Postcard};

/// The sender of a [`TypedConnection`](crate::TypedConnection).
///
/// ```
/// use std::thread;
/// use typed_pipe::{Connection, SendingHalf};
///
/// struct Chat {
///     name: String,
///     words: SendingHalf<str>,
/// }
///
/// let (client, server) = Connection::pair()?;
/// let hearing = thread::spawn(move || server.into_typed::<(), String>()?.recv());
/// let (words, _) = client.into_typed::<str, ()>()?.split();
/// let mut chat = Chat { name: "Ada".into(), words };
/// chat.words.send(&format!("{} is here", chat.name))?;
/// assert_eq!(hearing.join().unwrap()?, "Ada is here");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
pub type SendingHalf<T, F = LengthPrefixed, C = Postcard, M = Blocking> =
    TypedSender<T, WriteHalf<M>, F, C>;

/// The receiver of a [`TypedConnection`](crate::TypedConnection).
///
/// ```
/// use std::thread;
/// use typed_pipe::{Connection, Error, ReceivingHalf};
///
/// fn sum(numbers: ReceivingHalf<u32>) -> Result<u32, Error> {
///     numbers.sum()
/// }
///
/// let (client, server) = Connection::pair()?;
/// let serving = thread::spawn(move || server.into_typed::<u32, ()>()?.sender().send_all([1, 2, 3]));
/// let (_, numbers) = client.into_typed::<(), u32>()?.split();
/// assert_eq!(sum(numbers)?, 6);
/// # serving.join().unwrap()?;
/// # Ok::<(), Error>(())
/// ```
pub type ReceivingHalf<T, F = LengthPrefixed, C = Postcard, M = Blocking> =
    TypedReceiver<T, ReadHalf<M>, F, C>;

/// The sender and the receiver.
pub(crate) type Channels<Out, In, F, C, M = Blocking> =
    (SendingHalf<Out, F, C, M>, ReceivingHalf<In, F, C, M>);
