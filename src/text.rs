//! Ends as channels of lines of text.

use std::io;

use crate::channel::{TypedReceiver, TypedSender, is_cut_off};
use crate::end::{End, Hold};
use crate::state::{Open, Read, Write};
use crate::sys::Until;
use crate::wait::{ReadWithin, half};
use crate::wire::foreign::Lines;
use crate::wire::{Plain, Wire};

impl<P: Hold> End<Read, Open, P> {
    /// Makes the end a channel that receives lines of text, without their ends.
    ///
    /// Lines end with LF or CR LF; the last one before the end of the writers needs no end of its own. A line that
    /// is not UTF-8 is an error, [`Decode`](crate::ErrorKind::Decode) with
    /// [`CodecError::NotUtf8`](crate::CodecError::NotUtf8) as its source, and the next one can be received. A line of
    /// more than 8 MiB is fatal.
    ///
    /// For another limit, or to tell a line that was cut off from a last one,
    /// `end.into_receiver_with(Wire::new(Lines::default(), Plain))` is without this comfort.
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
    pub fn into_text(self) -> TypedReceiver<String, LastLine<Self>, Lines, Plain> {
        let path = self.shared_path().cloned();
        let next_writer = self.next_writer();
        let whole = LastLine { io: self, ended: true, owes_end: false };
        TypedReceiver::with_wire(whole, Wire::new(Lines::default(), Plain))
            .named(path)
            .awaiting_next_writer(next_writer)
    }
}

impl<P: Hold> End<Write, Open, P> {
    /// Makes the end a channel that sends lines of text, given without their ends.
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
    pub fn into_text(self) -> TypedSender<str, Self, Lines, Plain> {
        self.into_sender_with(Wire::new(Lines::default(), Plain))
    }
}

/// What lines are read from: at the end of the stream, it ends the last line where nobody has.
///
/// [`End::into_text`] puts it around the end; [`get_ref`](Self::get_ref) and [`into_inner`](Self::into_inner) reach it.
///
/// ```
/// use typed_pipe::Pipe;
///
/// let lines = Pipe::temporary()?.into_reader().open()?.into_text();
/// let end = lines.into_inner().into_inner(); // out of the channel, and out of this
/// end.close();
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[derive(Debug)]
pub struct LastLine<R> {
    io: R,
    /// Whether nothing was read, or a line feed was read last.
    ended: bool,
    /// Whether the end that ended the last line is still to be told.
    owes_end: bool,
}

impl<R> LastLine<R> {
    /// What is read from.
    ///
    /// ```
    /// use typed_pipe::Pipe;
    ///
    /// let lines = Pipe::temporary()?.into_reader().open()?.into_text();
    /// let end = lines.get_ref().get_ref(); // in the channel, and in this
    /// println!("lines come by {:?}", end.path());
    /// # assert!(end.path().is_some());
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn get_ref(&self) -> &R {
        &self.io
    }

    /// Gives back what is read from.
    ///
    /// ```
    /// use typed_pipe::{Pipe, WriteEnd};
    ///
    /// let pipe = Pipe::temporary()?;
    /// let path = pipe.path().clone();
    /// let mut lines = pipe.into_reader().open()?.into_text();
    /// WriteEnd::at(&path)?.open()?.into_text().send("what follows is no text")?;
    /// assert_eq!(lines.recv()?, "what follows is no text");
    ///
    /// let mut end = lines.into_inner().into_inner(); // from here on, bytes
    /// WriteEnd::at(&path)?.open()?.write(&[0, 159, 146, 150])?;
    /// assert_eq!(end.read(&mut [0; 8])?, 4);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    pub fn into_inner(self) -> R {
        self.io
    }

    fn read_with(
        &mut self,
        buf: &mut [u8],
        read: impl FnOnce(&mut R, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if buf.is_empty() || std::mem::take(&mut self.owes_end) {
            return Ok(0);
        }
        let bytes = read(&mut self.io, buf).inspect_err(|error| {
            // What was cut off is not ended, not even where the next read says that it has.
            self.ended |= is_cut_off(error);
        })?;
        match (bytes.checked_sub(1), buf.first_mut()) {
            (Some(last), _) => self.ended = buf.get(last) == Some(&b'\n'),
            (None, Some(first)) if !self.ended => {
                *first = b'\n';
                (self.ended, self.owes_end) = (true, true);
                return Ok(1);
            }
            (None, _) => {}
        }
        Ok(bytes)
    }
}

impl<R: io::Read> io::Read for LastLine<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_with(buf, R::read)
    }
}

#[diagnostic::do_not_recommend]
impl<R: ReadWithin> ReadWithin for LastLine<R> {}
impl<R: half::ReadWithin> half::ReadWithin for LastLine<R> {
    fn read_until(&mut self, buf: &mut [u8], until: Until) -> io::Result<usize> {
        self.read_with(buf, |io, buf| io.read_until(buf, until))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::Read;

    use super::*;

    /// Reads that return these bytes, one after the other.
    struct Reads(VecDeque<&'static [u8]>);

    impl Read for Reads {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let mut bytes = self.0.pop_front().unwrap_or_default();
            bytes.read(buf)
        }
    }

    #[test]
    fn the_last_line_is_ended_once() {
        let ended = |reads: &[&'static [u8]]| {
            let reads = Reads(reads.iter().copied().collect());
            let mut io = LastLine { io: reads, ended: true, owes_end: false };
            let mut all = Vec::new();
            for _ in 0..9 {
                let mut buf = [b'?'; 8];
                let bytes = io.read(&mut buf).unwrap();
                all.extend_from_slice(if bytes == 0 { b"." } else { &buf[..bytes] });
            }
            String::from_utf8(all).unwrap().trim_end_matches('.').to_owned()
        };
        assert_eq!(ended(&[]), "");
        assert_eq!(ended(&[b"a"]), "a\n");
        assert_eq!(ended(&[b"a\n"]), "a\n");
        assert_eq!(ended(&[b"a\n", b"b", b"c"]), "a\nbc\n");
        // The next writer begins a line of its own.
        assert_eq!(ended(&[b"a", b"", b"b\n", b"", b"c"]), "a\n.b\n.c\n");
    }

    /// Whatever the reads after that say.
    #[test]
    fn a_line_that_was_cut_off_is_not_ended() {
        struct CutOff(VecDeque<io::Result<usize>>);
        impl Read for CutOff {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                self.0.pop_front().unwrap_or(Ok(0))
            }
        }
        let io = CutOff([Ok(3), Err(io::ErrorKind::ConnectionReset.into())].into());
        let mut io = LastLine { io, ended: true, owes_end: false };
        let mut buf = [b'?'; 8];
        assert_eq!(io.read(&mut buf).unwrap(), 3);
        assert_eq!(io.read(&mut buf).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(io.read(&mut buf).unwrap(), 0);
    }

    #[test]
    fn no_room_is_no_end() {
        let mut io = LastLine { io: &b"ab"[..], ended: true, owes_end: false };
        assert_eq!(io.read(&mut [0; 1]).unwrap(), 1);
        assert_eq!(io.read(&mut []).unwrap(), 0);
        assert_eq!(io.read(&mut [0; 1]).unwrap(), 1);
    }
}
