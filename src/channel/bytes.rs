//! Sending messages that are bytes: large ones without copying them into the kernel.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};

use super::sender::TypedSender;
use crate::error::{Error, Operation};
use crate::source::{Sink, SinkRet, WriteTimeout, first_piece, progress};
use crate::state::{Runtime as _, complete_by};
use crate::sys::{LARGE, WaitLimit};
use crate::wire::{Codec, Framing, Header, LengthPrefixed, Postcard};

impl<T: ?Sized, E: Sink + WriteTimeout, F: Framing, C: Codec> TypedSender<T, E, F, C> {
    /// Sends a message of raw bytes, and everything fed before.
    ///
    /// The codec is bypassed: the frame carries the bytes unchanged, and
    /// [`recv_bytes`](crate::TypedReceiver::recv_bytes) returns them. A receiver can get such messages and messages of
    /// the type; both sides must agree on which comes next. (`recv` would decode such bytes as a value.)
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let sender = thread::spawn(move || {
    ///     let picture = vec![7; 1 << 20];
    ///     let mut sender = TypedSender::<str>::connect(path)?;
    ///     sender.send("a picture follows")?;
    ///     sender.send_bytes(&picture)
    /// });
    ///
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<String>();
    /// assert_eq!(receiver.recv()?, "a picture follows");
    /// assert_eq!(receiver.recv_bytes()?.len(), 1 << 20);
    /// # sender.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Platform-specific behavior
    ///
    /// ## Linux
    ///
    /// On the default framing, 16 KiB or more are copied once, into pages of the sender that are then moved into the
    /// pipe (`vmsplice`): the kernel neither allocates nor copies on the way in. The sender reuses the pages once a
    /// reader has taken them out of the pipe. That suits every reader that calls `read`. A reader that moves the pages
    /// on unread, into another pipe, with `splice` or `tee`, as some shell programs do, may find later bytes in them:
    /// for such a reader, write to the [end](crate::End) itself, which copies.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send) except `Encode`.
    pub fn send_bytes<'a>(
        &'a mut self,
        bytes: &[u8],
    ) -> SinkRet<E, impl Future<Output = Result<(), Error>> + use<'a, T, E, F, C>> {
        let until = self.limit::<E::Mode>();
        let staged = self.stage_or_give(bytes, until);
        self.sending_until(staged, until)
    }

    /// Lends room for a message of `len` bytes, to be filled in place and then [sent](Loan::send).
    ///
    /// This is [`send_bytes`](Self::send_bytes) without the copy. Dropping a loan sends nothing. The room holds zeros
    /// at first, and bytes of earlier messages of this sender later: fill all of it.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let sender = thread::spawn(move || {
    ///     let mut sender = TypedSender::<[u8]>::connect(path)?;
    ///     let mut picture = sender.loan(1 << 20)?;
    ///     picture.fill(7); // draw it, read it from a file
    ///     picture.send()
    /// });
    ///
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u8>>();
    /// assert!(receiver.recv_bytes()?.iter().all(|&byte| byte == 7));
    /// # sender.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Platform-specific behavior
    ///
    /// ## Linux
    ///
    /// On the default framing, a loan of 16 KiB or more begins at a page, is not copied at all on the way into
    /// the pipe, and takes two to three times its size of memory, in pieces of 2 MiB. The note at
    /// [`send_bytes`](Self::send_bytes) on readers that move pages on applies here too.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](crate::ErrorKind::TooLarge): the message exceeds the limit of the wire.
    #[doc(alias("zero-copy", "vmsplice"))]
    pub fn loan(&mut self, len: usize) -> Result<Loan<'_, T, E, F, C>, Error> {
        let header = self.outgoing.header(len)?.filter(|_| E::Mode::BLOCKS && len >= LARGE);
        let until = self.limit::<E::Mode>();
        let pages = header.filter(|header| self.io.lend(header.bytes().len(), len, until));
        if pages.is_none() {
            self.outgoing.lend(len)?;
        }
        Ok(Loan { sender: self, len, pages })
    }

    /// Stages the bytes, unless it can move them into the pipe at once, without a copy.
    fn stage_or_give(&mut self, bytes: &[u8], until: WaitLimit) -> Result<(), Error> {
        let large = E::Mode::BLOCKS && bytes.len() >= LARGE;
        let header = if large { self.outgoing.header(bytes.len())? } else { None };
        let Some(header) = header else {
            return self.outgoing.stage_bytes(bytes);
        };
        self.outgoing.stage_hello();
        self.write_out_here(until)?;
        let (mut head, mut rest) = (header.bytes(), bytes);
        while !rest.is_empty() {
            let (piece, more) = first_piece(rest);
            if !self.io.lend(head.len(), piece.len(), until) {
                return self.write_from(head, rest, until);
            }
            fill(self.io.lent_mut(), head, piece);
            self.write_all(Part::Lent, head.is_empty(), more, until)?;
            (head, rest) = (&[], more);
        }
        Ok(())
    }

    /// Writes the rest of a frame in place. Only the header, and what is written with it, is copied before.
    fn write_from(&mut self, head: &[u8], bytes: &[u8], until: WaitLimit) -> Result<(), Error> {
        let mut rest = bytes;
        if !head.is_empty() {
            let (piece, more) = bytes.split_at(bytes.len().min(LARGE));
            self.outgoing.stage_first_part(head);
            self.outgoing.stage_next_part(piece);
            if let Err(error) = self.write_here(until) {
                if error.is_half_sent() {
                    self.outgoing.stage_next_part(more);
                }
                return Err(error);
            }
            rest = more;
        }
        self.write_all(Part::Lying(rest), true, &[], until)
    }

    /// Writes a whole part of a frame. On a failure within the frame, stages the rest of the part and of the frame.
    fn write_all(
        &mut self,
        mut part: Part<'_>,
        begun: bool,
        more: &[u8],
        until: WaitLimit,
    ) -> Result<(), Error> {
        let mut half_sent = begun;
        while !part.left(&self.io).is_empty() {
            let error = match progress(part.write(&mut self.io, until)) {
                Ok(written) => {
                    half_sent |= written > 0;
                    continue;
                }
                Err(error) => error,
            };
            if half_sent {
                self.outgoing.stage_next_part(part.left(&self.io));
                self.outgoing.stage_next_part(more);
            }
            return Err(self.outgoing.failed(Operation::Send, error).half_sent(half_sent));
        }
        Ok(())
    }
}

/// Bytes of a frame that are written in place.
enum Part<'a> {
    /// In pages, which move into the pipe.
    Lent,
    /// In the caller's memory.
    Lying(&'a [u8]),
}

impl Part<'_> {
    /// The bytes not written yet.
    fn left<'a, E: WriteTimeout>(&'a self, io: &'a E) -> &'a [u8] {
        match self {
            Self::Lent => io.lent(),
            Self::Lying(bytes) => bytes,
        }
    }

    fn write<E: WriteTimeout>(&mut self, io: &mut E, until: WaitLimit) -> io::Result<usize> {
        match self {
            Self::Lent => io.give(until),
            Self::Lying(bytes) => {
                let written = complete_by(|cx| io.poll_write_within(cx, bytes, until))?;
                *bytes = bytes.get(written..).unwrap_or_default();
                Ok(written)
            }
        }
    }
}

/// Room for a message of bytes that is filled in place: see [`TypedSender::loan`].
///
/// ```
/// use typed_pipe::{Pipe, TypedSender};
///
/// let pipe = Pipe::temporary()?;
/// let path = pipe.path().clone();
/// let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u8>>();
/// let mut sender = TypedSender::<[u8]>::connect(path)?;
/// let mut loan = sender.loan(8)?; // it is a slice of 8 bytes
/// let (number, rest) = loan.split_at_mut(4);
/// number.copy_from_slice(&7_u32.to_be_bytes());
/// rest.fill(0xff);
/// loan.send()?;
/// assert_eq!(receiver.recv_bytes()?, [0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff]);
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[must_use = "a loan sends nothing until `send`"]
pub struct Loan<'a, T: ?Sized, E, F = LengthPrefixed, C = Postcard> {
    sender: &'a mut TypedSender<T, E, F, C>,
    len: usize,
    /// The header before the bytes, where the end of the pipe lends pages; else the encoder lends room.
    pages: Option<Header>,
}

impl<T: ?Sized, E: Sink + WriteTimeout, F: Framing, C: Codec> Loan<'_, T, E, F, C> {
    /// Sends the bytes as a message, and everything fed before.
    ///
    /// ```
    /// use typed_pipe::{Pipe, TypedSender};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u8>>();
    /// let mut sender = TypedSender::<[u8]>::connect(path)?;
    /// sender.loan(5)?.fill(b'x'); // dropped, so not sent
    /// let mut loan = sender.loan(5)?;
    /// loan.copy_from_slice(b"hello");
    /// loan.send()?;
    /// assert_eq!(receiver.recv_bytes()?, b"hello");
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send_bytes`](TypedSender::send_bytes). Unless the message is [half sent](Error::is_half_sent), the
    /// bytes are gone with the loan.
    pub fn send(self) -> SinkRet<E, impl Future<Output = Result<(), Error>>> {
        let until = self.sender.limit::<E::Mode>();
        let Self { sender, pages, .. } = self;
        let staged = Self::stage(sender, pages, until);
        sender.sending_until(staged, until)
    }

    fn stage(
        sender: &mut TypedSender<T, E, F, C>,
        pages: Option<Header>,
        until: WaitLimit,
    ) -> Result<(), Error> {
        let Some(header) = pages else { return sender.outgoing.stage_lent() };
        sender.outgoing.stage_hello();
        sender.write_out_here(until)?;
        fill(sender.io.lent_mut(), header.bytes(), &[]);
        sender.write_all(Part::Lent, false, &[], until)
    }
}

impl<T: ?Sized, E: WriteTimeout, F: Framing, C: Codec> Deref for Loan<'_, T, E, F, C> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.pages {
            Some(header) => self.sender.io.lent().get(header.bytes().len()..).unwrap_or_default(),
            None => self.sender.outgoing.lent(self.len),
        }
    }
}

impl<T: ?Sized, E: WriteTimeout, F: Framing, C: Codec> DerefMut for Loan<'_, T, E, F, C> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &self.pages {
            Some(header) => {
                let lent = self.sender.io.lent_mut();
                lent.get_mut(header.bytes().len()..).unwrap_or_default()
            }
            None => self.sender.outgoing.lent_mut(self.len),
        }
    }
}

impl<T: ?Sized, E, F, C> fmt::Debug for Loan<'_, T, E, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Copies a header and a piece to the beginning of the room.
fn fill(room: &mut [u8], head: &[u8], piece: &[u8]) {
    let Some((before, room)) = room.split_at_mut_checked(head.len()) else { return };
    before.copy_from_slice(head);
    if let Some(room) = room.get_mut(..piece.len()) {
        room.copy_from_slice(piece);
    }
}
