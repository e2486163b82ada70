//! Bare bytes by the whole: buffers that are sent, loans, and what one end reads written to another one.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::end::{End, PipeRef};
use crate::error::{Error, Operation};
use crate::source::{PIECE, first_piece, progress};
use crate::state::{Mode, Open, Read, Write, woken_at};
use crate::sys::{LARGE, WaitLimit, ensure_not_cancelled};
use crate::wait::waiting;

impl<M: Mode, P: PipeRef> End<Write, Open<M>, P> {
    /// Writes all of some bytes, waiting for room as long as it takes.
    ///
    /// It is for bytes without messages, as other programs read them. Into a FIFO on Linux, large ones are copied once,
    /// into pages that the pipe takes, as by [`TypedSender::send_bytes`](crate::TypedSender::send_bytes).
    ///
    /// ```
    /// use std::io::Read;
    /// use std::thread;
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut reader = pipe.into_reader().open()?;
    /// let writing = thread::spawn(move || WriteEnd::at(path)?.open()?.send_bytes(&vec![7; 1_000_000]));
    /// let mut all = Vec::new();
    /// reader.read_to_end(&mut all)?;
    /// assert_eq!(all.len(), 1_000_000);
    /// writing.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// In the mode `Tokio`, dropping the future may leave a part of the bytes written.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write). A part is written if the error [is half sent](Error::is_half_sent).
    ///
    /// # Platform-specific behavior
    ///
    /// ## Windows
    ///
    /// The system does not tell of a part of the first 64 KiB.
    #[doc(alias("write_all", "vmsplice"))]
    pub fn send_bytes(&mut self, bytes: &[u8]) -> M::Ret<impl Future<Output = Result<(), Error>>> {
        M::run(self.sending_all(bytes, WaitLimit::Done))
    }

    /// Writes all of some bytes, as [`send_bytes`](Self::send_bytes), waiting for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use typed_pipe::{Connection, ErrorKind};
    ///
    /// let (mut one, other) = Connection::pair()?; // the other side does not read
    /// let error = one.writer().send_bytes_timeout(&vec![7; 10_000_000], Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// assert!(error.is_half_sent()); // how much of it, is not told
    /// # drop(other);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send_bytes`](Self::send_bytes), and [`TimedOut`](crate::ErrorKind::TimedOut).
    #[doc(alias("write_all"))]
    pub fn send_bytes_timeout(
        &mut self,
        bytes: &[u8],
        timeout: Duration,
    ) -> M::Ret<impl Future<Output = Result<(), Error>>> {
        M::run(self.sending_all(bytes, M::within(timeout)))
    }

    /// Lends room for bytes, to be filled in place and sent without a copy where that is possible.
    ///
    /// Into a FIFO on Linux, in the mode that blocks and from 16 KiB on, the pipe takes the pages themselves, as from
    /// [`TypedSender::loan`](crate::TypedSender::loan).
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut reader = pipe.into_reader().open()?;
    /// let mut writer = WriteEnd::at(path)?.open()?;
    /// let mut picture = writer.loan(20_000);
    /// picture.fill(7); // or draw it
    /// picture.send()?;
    /// let mut buf = vec![0; 20_000];
    /// assert_eq!((reader.read(&mut buf)?, buf[19_999]), (20_000, 7));
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no memory for so many bytes, as a vector does.
    #[doc(alias("zero-copy"))]
    pub fn loan(&mut self, len: usize) -> EndLoan<'_, M, P> {
        let lent = M::BLOCKS
            && len >= LARGE
            && M::raw_mut(self.io_mut()).lend(0, len, waiting(WaitLimit::Now, None));
        let copied = if lent { None } else { Some(vec![0; len]) };
        EndLoan { end: self, copied }
    }

    async fn sending_all(&mut self, bytes: &[u8], until: WaitLimit) -> Result<(), Error> {
        let mut rest = bytes;
        while M::BLOCKS && rest.len() >= LARGE {
            let (piece, more) = first_piece(rest);
            if !M::raw_mut(self.io_mut()).lend(0, piece.len(), waiting(WaitLimit::Now, None)) {
                break;
            }
            M::raw_mut(self.io_mut()).lent_mut().copy_from_slice(piece);
            self.give_all(rest.len() < bytes.len(), until)?;
            rest = more;
        }
        let begun = rest.len() < bytes.len();
        let written = self.writing_all(rest, until).await;
        written.map_err(|(error, wrote)| error.half_sent(begun || wrote))
    }

    /// Moves what is lent into the pipe.
    fn give_all(&mut self, mut begun: bool, until: WaitLimit) -> Result<(), Error> {
        while !M::raw(self.io()).lent().is_empty() {
            let token = self.token().cloned();
            match progress(M::raw_mut(self.io_mut()).give(waiting(until, token.as_ref()))) {
                Ok(given) => begun |= given > 0,
                Err(error) => return Err(self.failed(Operation::Send, error).half_sent(begun)),
            }
        }
        Ok(())
    }

    /// Writes all; an error comes with whether a part was written.
    async fn writing_all(&mut self, bytes: &[u8], until: WaitLimit) -> Result<(), (Error, bool)> {
        let mut rest = bytes;
        while !rest.is_empty() {
            // In pieces: a system may not tell how much of a write that failed was read.
            let piece = rest.get(..PIECE).unwrap_or(rest);
            let write = poll_fn(|cx| self.poll_write_until(cx, piece, until));
            match progress(woken_at::<M, _>(until, write).await) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) => {
                    let begun = rest.len() < bytes.len();
                    return Err((self.failed(Operation::Send, error), begun));
                }
            }
        }
        Ok(())
    }
}

impl<M: Mode, P: PipeRef> End<Read, Open<M>, P> {
    /// Writes all that this end reads to another end, until the last writer hangs up; returns the number of bytes.
    ///
    /// It joins the programs of a pipeline. The other end stays open: [close](End::close) it to end the pipeline.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Error, Pipe, WriteEnd};
    ///
    /// let (pipe, (one, mut other)) = (Pipe::temporary()?, Connection::pair()?);
    /// let path = pipe.path().clone();
    /// let mut reader = pipe.into_reader().open()?;
    /// let forwarding = thread::spawn(move || -> Result<u64, Error> {
    ///     let (_, mut to) = one.split();
    ///     reader.forward(&mut to)
    /// });
    /// WriteEnd::at(path)?.open()?.write(b"hello")?; // and it hangs up
    /// assert_eq!(forwarding.join().unwrap()?, 5);
    /// assert_eq!(other.reader().read(&mut [0; 8])?, 5);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// As in a pipeline of a shell, it notices that the other end's reader has left when there is something to write.
    /// An end that waits for the [next writer](crate::OnHangup::NextWriter) returns at each hang-up: call it again.
    ///
    /// On Linux, in the mode that blocks, bytes that a connection brings in faster than they go on move into a FIFO without
    /// being copied (`splice`). All others are copied: the pages in a FIFO may be those that a writer has
    /// [lent](crate::TypedSender::loan), and fills again once that FIFO is empty.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), whose operation is [`Receive`](Operation::Receive): all before it is written. Those
    /// of [`write`](End::write), whose operation is [`Send`](Operation::Send): up to 64 KiB that were read are lost, as
    /// they are when a future of the mode `Tokio` is dropped. A [`CancelToken`](crate::CancelToken) of either end ends it.
    #[doc(alias("copy", "splice", "tee", "cat"))]
    pub fn forward<'a, Q: PipeRef>(
        &'a mut self,
        to: &'a mut End<Write, Open<M>, Q>,
    ) -> M::Ret<impl Future<Output = Result<u64, Error>> + use<'a, M, P, Q>> {
        M::run(self.forwarding(to))
    }

    async fn forwarding<Q: PipeRef>(
        &mut self,
        to: &mut End<Write, Open<M>, Q>,
    ) -> Result<u64, Error> {
        let (mut buf, mut count) = (vec![0; PIECE], 0);
        loop {
            let read = poll_fn(|cx| self.poll_read_until(cx, &mut buf, WaitLimit::Done)).await;
            let bytes = match read {
                Ok(0) => return Ok(count),
                Ok(bytes) => buf.get(..bytes).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(Operation::Receive, error)),
            };
            to.writing_all(bytes, WaitLimit::Done).await.map_err(|(error, _)| error)?;
            count += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if M::BLOCKS && bytes.len() == PIECE {
                count += self.move_what_is_here(to)?;
            }
        }
    }

    /// Moves bytes to the other end without copying them, as long as there are some, and that is possible.
    fn move_what_is_here<Q: PipeRef>(
        &mut self,
        to: &mut End<Write, Open<M>, Q>,
    ) -> Result<u64, Error> {
        let (token, of_target) = (self.token().cloned(), to.token().cloned());
        let mut count = 0;
        loop {
            ensure_not_cancelled(waiting(WaitLimit::Done, token.as_ref()))
                .map_err(|cancelled| self.failed(Operation::Receive, cancelled))?;
            let wait = waiting(WaitLimit::Done, of_target.as_ref());
            let moved = M::raw_mut(self.io_mut()).move_to(M::raw_mut(to.io_mut()), PIECE, wait);
            match moved.map_err(|error| to.failed(Operation::Send, error))? {
                0 => return Ok(count),
                bytes => count += u64::try_from(bytes).unwrap_or(u64::MAX),
            }
        }
    }
}

/// Room for bytes, lent by an [`End`]: see [`End::loan`]. Dropping it sends nothing.
#[must_use = "a loan sends nothing until `send`"]
pub struct EndLoan<'a, M: Mode, P> {
    end: &'a mut End<Write, Open<M>, P>,
    /// `None` if the end lends pages.
    copied: Option<Vec<u8>>,
}

impl<'a, M: Mode, P: PipeRef> EndLoan<'a, M, P> {
    /// Sends the bytes, waiting for room as long as it takes.
    ///
    /// ```
    /// use typed_pipe::Connection;
    ///
    /// let (mut one, mut other) = Connection::pair()?;
    /// let mut words = one.writer().loan(5);
    /// words.copy_from_slice(b"hello");
    /// words.send()?;
    /// assert_eq!(other.reader().read(&mut [0; 8])?, 5);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`End::send_bytes`].
    pub fn send(self) -> M::Ret<impl Future<Output = Result<(), Error>> + use<'a, M, P>> {
        let Self { end, copied } = self;
        M::run(async move {
            match copied {
                None => end.give_all(false, WaitLimit::Done),
                Some(bytes) => {
                    let written = end.writing_all(&bytes, WaitLimit::Done).await;
                    written.map_err(|(error, wrote)| error.half_sent(wrote))
                }
            }
        })
    }
}

impl<M: Mode, P: PipeRef> Deref for EndLoan<'_, M, P> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.copied.as_deref().unwrap_or_else(|| M::raw(self.end.io()).lent())
    }
}

impl<M: Mode, P: PipeRef> DerefMut for EndLoan<'_, M, P> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.copied {
            Some(bytes) => bytes,
            None => M::raw_mut(self.end.io_mut()).lent_mut(),
        }
    }
}

impl<M: Mode, P: PipeRef> fmt::Debug for EndLoan<'_, M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndLoan").field("len", &self.len()).finish_non_exhaustive()
    }
}
