//! The two directions of a TCP stream, for a thread each.

use std::io::ErrorKind::{ConnectionReset, Interrupted, TimedOut, WouldBlock};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::sys::Peer;

/// The interval at which the thread that reads checks whether its connection is still there.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn halves(stream: TcpStream) -> io::Result<(TcpReader, TcpWriter)> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(None)?;
    stream.set_read_timeout(Some(LOOK))?;
    // Copies alone: one that the standard library has accepted is inherited by each program that is started, and its other
    // side would see no end while that lives.
    Ok((TcpReader(stream.try_clone()?), TcpWriter(stream.try_clone()?)))
}

#[derive(Debug)]
pub(super) struct TcpReader(TcpStream);

impl Read for TcpReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf) {
            // Under Wine a reset may read as the end. A write tells of it, even one of no bytes, which harms nobody; where
            // this side has ended its own direction, it fails with another error.
            Ok(0) if !buf.is_empty() => match (&self.0).write(&[]) {
                Err(error) if error.kind() == ConnectionReset => Err(error),
                _ => Ok(0),
            },
            // Its time was over; the thread tries again, if it is still wanted.
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut) => Err(Interrupted.into()),
            read => read,
        }
    }
}

/// Dropping it ends the direction.
#[derive(Debug)]
pub(super) struct TcpWriter(TcpStream);

impl TcpWriter {
    pub(super) fn peer(&self) -> io::Result<Peer> {
        Ok(Peer::remote(self.0.peer_addr()?.to_string()))
    }
}

impl Write for TcpWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for TcpWriter {
    fn drop(&mut self) {
        // It fails only where the other side has left, which is an end as well.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
