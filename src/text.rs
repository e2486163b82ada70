//! Ends as channels of lines of text.

use crate::channel::{TypedReceiver, TypedSender};
use crate::end::{End, PipeRef};
use crate::state::{Mode, Open, Read, Write};
use crate::wire::foreign::Lines;
use crate::wire::{Plain, Wire};

impl<M: Mode, P: PipeRef> End<Read, Open<M>, P> {
    /// Turns the end into a channel that receives lines of text, without their line ends.
    ///
    /// Lines end with LF or CR LF; the last line before the writers hang up needs no line end. A line that
    /// is not UTF-8 is an error, [`Decode`](crate::ErrorKind::Decode) with
    /// [`CodecError::NotUtf8`](crate::CodecError::NotUtf8) as its source, and the next one can be received. A last line
    /// without a line end that is not UTF-8 is [`Truncated`](crate::ErrorKind::Truncated). A line of more than 8 MiB is
    /// fatal.
    ///
    /// It is `end.into_receiver_with(Wire::new(Lines::default(), Plain))`. For another limit, or to distinguish a
    /// truncated line from a last one, set that on the [`Lines`].
    ///
    /// ```
    /// use std::io::Write;
    /// use std::thread;
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let client = thread::spawn(move || WriteEnd::at(path)?.open()?.write_all(b"one\r\ntwo\nlast"));
    ///
    /// let lines = pipe.into_reader().open()?.into_text();
    /// let lines = lines.collect::<Result<Vec<String>, _>>()?;
    /// assert_eq!(lines, ["one", "two", "last"]);
    /// # client.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("lines", "newline"))]
    pub fn into_text(self) -> TypedReceiver<String, Self, Lines, Plain> {
        self.into_receiver_with(Wire::new(Lines::default(), Plain))
    }
}

impl<M: Mode, P: PipeRef> End<Write, Open<M>, P> {
    /// Turns the end into a channel that sends lines of text, given without their line ends.
    ///
    /// A line that has a line feed in it, or a carriage return at its end, is not sent:
    /// [`Encode`](crate::ErrorKind::Encode).
    ///
    /// ```no_run
    /// use typed_pipe::WriteEnd;
    ///
    /// let mut lines = WriteEnd::at("/run/app/log")?.open()?.into_text();
    /// lines.send("started")?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[doc(alias("lines", "newline"))]
    pub fn into_text(self) -> TypedSender<str, Self, Lines, Plain> {
        self.into_sender_with(Wire::new(Lines::default(), Plain))
    }
}
