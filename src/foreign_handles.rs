//! Handles beside the bytes of other programs.

use std::future::{Future, poll_fn};

use crate::connection::{ReadHalf, WriteHalf};
use crate::error::{Error, Obstacle, Operation};
use crate::handles::Handles;
use crate::state::{Mode, woken_at};
use crate::sys::WaitLimit;

impl<M: Mode> ReadHalf<M> {
    /// Lets handles in from now on, and keeps at most so many of them that are not taken yet.
    ///
    /// It is for other programs, which send handles beside messages of their own, such as those of Node.js
    /// (`process.send(message, handle)`). Whichever channel the half becomes has this limit too: without it, the other side
    /// may make this process keep some 500.
    ///
    /// Say it before the other side sends any: those that come earlier are closed, or refused.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use std::fs::File;
    /// use std::io::Read;
    /// use typed_pipe::{Connection, Handles};
    ///
    /// let (mut client, mut server) = Connection::pair()?;
    /// server.reader().accept_handles(1)?;
    /// let mut handles = Handles::new();
    /// handles.add(tempfile::tempfile()?);
    /// client.writer().write_with_handles(b"a file\n", &mut handles)?;
    ///
    /// let mut words = [0; 7];
    /// server.read_exact(&mut words)?;
    /// let mut handles = server.reader().next_handles()?.expect("they come with the bytes");
    /// let file: File = handles.take(0)?;
    /// # drop(file);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported): the connection is over another transport or shared memory, or this is
    /// Windows, where no handle goes beside bytes.
    #[cfg_attr(docsrs, doc(cfg(feature = "foreign")))]
    #[doc(alias("SCM_RIGHTS", "ancillary data", "recvmsg"))]
    pub fn accept_handles(&mut self, most: usize) -> Result<(), Error> {
        let accepts = self.raw_mut().accept_handles(most);
        accepts.map_err(|error| self.failed(Operation::Receive, error))
    }

    /// Takes the handles that came beside the bytes which were read, those of one write of the other side at a time.
    ///
    /// The bytes of one read came with the handles of one write at most. Ask after each read: of those that are not taken,
    /// the last two are kept. `None`: there are none.
    ///
    /// # Errors
    ///
    /// [`MessageLost`](crate::ErrorKind::MessageLost): there were more than may be kept, or this process has too many open
    /// files; they are closed.
    #[cfg_attr(docsrs, doc(cfg(feature = "foreign")))]
    pub fn next_handles(&mut self) -> Result<Option<Handles>, Error> {
        match self.raw_mut().next_handles() {
            Ok(handles) => Ok(handles.map(Handles::from)),
            Err(error) => Err(self.failed(Operation::Receive, error)),
        }
    }
}

impl<M: Mode> WriteHalf<M> {
    /// Writes bytes with handles beside the first of them; returns how many were written. The rest goes by
    /// [`write`](Self::write).
    ///
    /// It is for other programs: those of this crate send [messages with handles](crate::WithHandles). The handles are gone
    /// once a byte is written, and stay where none was. In the mode `Tokio`, dropping the future closes them.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write), and:
    ///
    /// - [`TooLarge`](crate::ErrorKind::TooLarge): these are more handles than the system takes.
    /// - [`Unsupported`](crate::ErrorKind::Unsupported): see [`accept_handles`](ReadHalf::accept_handles).
    #[cfg_attr(docsrs, doc(cfg(feature = "foreign")))]
    #[doc(alias("SCM_RIGHTS", "sendmsg"))]
    pub fn write_with_handles<'a>(
        &'a mut self,
        bytes: &'a [u8],
        handles: &'a mut Handles,
    ) -> M::Ret<impl Future<Output = Result<usize, Error>> + use<'a, M>> {
        M::run(async move {
            if bytes.is_empty() || handles.is_empty() {
                let write = poll_fn(|cx| self.poll_write_until(cx, bytes, WaitLimit::Done));
                let written = woken_at::<M, _>(WaitLimit::Done, write).await;
                return written.map_err(|error| self.failed(Operation::Send, error));
            }
            if !self.raw().passes_handles() {
                return Err(self.failed(Operation::Send, Obstacle::Unsupported.into()));
            }
            let beside = Beside(self);
            beside.0.raw_mut().pass(handles.drain()?);
            let write = poll_fn(|cx| beside.0.poll_write_until(cx, bytes, WaitLimit::Done));
            match woken_at::<M, _>(WaitLimit::Done, write).await {
                Ok(written) => Ok(written),
                Err(error) => {
                    *handles = beside.0.raw_mut().take_back().into();
                    Err(beside.0.failed(Operation::Send, error))
                }
            }
        })
    }
}

/// A half with handles for one write. They go with no other one.
struct Beside<'a, M: Mode>(&'a mut WriteHalf<M>);

impl<M: Mode> Drop for Beside<'_, M> {
    fn drop(&mut self) {
        drop(self.0.raw_mut().take_back());
    }
}
