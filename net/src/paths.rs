//! Local connections of programs that know nothing of this, carried to another machine.
//!
//! What a program does on its side has to look to the other one as it does on one machine: its bytes and their order,
//! the end of one direction, leaving with bytes unread. What is only in between is taken by nobody. So the last byte of
//! what a program has written stays unread in its socket until the program on the other machine has taken all of it:
//! the system counts that byte to who asks whether everything was taken, and tells the program of it if the link is lost.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as Plain;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendFlags, Shutdown, recv, recvmsg, send, shutdown,
};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::sleep;
use typed_pipe::state::Open;
use typed_pipe::{Carrier, Connection, ConnectionHalf, Tokio, WriteEnd};

use crate::address::Address;
use crate::carrier::{SoFar, Stream};
use crate::key::PublicKey;
use crate::net::Net;
use crate::offer::Offer;

/// The bytes that are carried at once.
const PIECE: usize = 64 << 10;

/// How often a program is looked at that has not taken everything yet: at first, and at last.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(100);

/// A connection to another machine, for [`carry`](Self::carry).
#[derive(Debug)]
pub struct Far(Stream);

/// Why a connection has ended before both of its directions did.
#[derive(Debug)]
pub enum Cut {
    /// A program has left, with bytes that it did not read.
    LeftUnread,
    /// The program of the other machine, or that machine, has cut it.
    ByTheOther,
    /// The link is lost, or the key of a machine is not let in any more.
    Lost(String),
    /// The program passes handles beside its bytes: no other machine could use them.
    Handles,
    /// The system's own.
    Io(io::Error),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftUnread => f.write_str("the program here has left bytes unread"),
            Self::ByTheOther => {
                f.write_str("the program there has left bytes unread, or was cut off")
            }
            Self::Lost(why) => f.write_str(why),
            Self::Handles => f.write_str("it passes handles, which go to no other machine"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl Net {
    /// As [`connect_async`](Self::connect_async), for carrying.
    #[doc(hidden)]
    pub async fn far(&self, at: &str) -> io::Result<Far> {
        self.dial_async(at).await.map(Far)
    }
}

impl Offer {
    /// As [`accept_async`](Self::accept_async), for carrying.
    #[doc(hidden)]
    pub async fn accept_far(&self) -> io::Result<Far> {
        self.next_within(None).await.map(Far)
    }
}

impl Far {
    /// The other machine.
    pub fn machine(&self) -> PublicKey {
        self.0.machine()
    }

    /// Carries a local connection until both of its directions have ended.
    pub async fn carry(self, mut local: Connection<Tokio>) -> Result<(), Cut> {
        let mut stream = self.0;
        stream.hold();
        let far = Held(Mutex::new(stream));
        // Both are closed at once, and the socket not halved before: what is unread then is told to the program.
        let socket = Socket::of(&local).map_err(Cut::Io)?;
        let mut outward = pin!(outward(&socket, &far));
        let mut inward = pin!(inward(&socket, &far, local.writer()));
        let (mut gone, mut come) = (false, false);
        while !(gone && come) {
            tokio::select! {
                done = &mut outward, if !gone => { done?; gone = true; }
                done = &mut inward, if !come => { done?; come = true; }
            }
        }
        Ok(())
    }
}

/// From the program here to the other machine.
async fn outward(socket: &Socket, far: &Held) -> Result<(), Cut> {
    let mut buf = vec![0; PIECE];
    // So many bytes at the front of the socket are on their way already: the last one, or none.
    let mut held = 0;
    loop {
        let piece = tokio::select! {
            biased;
            piece = socket.peek(&mut buf, held) => piece?,
            so_far = far.so_far(), if held > 0 => {
                let so_far = so_far?;
                if so_far != (SoFar::Left { all: false }) {
                    socket.consume(held, &mut buf)?;
                    held = 0;
                }
                if so_far != SoFar::All {
                    return socket.stop_reading();
                }
                continue;
            }
            left = far.left(), if held == 0 => {
                left?;
                return socket.stop_reading();
            }
        };
        match piece {
            Piece::Bytes(len) => {
                match far.write_all(&buf[held..len]).await {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        return socket.stop_reading();
                    }
                    Err(error) => return Err(cut(error)),
                }
                socket.consume(len - 1, &mut buf)?;
                held = 1;
            }
            Piece::End => {
                // The other program is told at once; this one has long gone on, or waits for what follows.
                match far.finish().await {
                    Ok(()) => socket.consume(held, &mut buf)?,
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                    Err(error) => return Err(cut(error)),
                }
                return Ok(());
            }
            Piece::Reset => {
                far.lock().leave_unread();
                return Err(Cut::LeftUnread);
            }
        }
    }
}

/// From the other machine to the program here.
async fn inward(
    socket: &Socket,
    far: &Held,
    writer: &mut WriteEnd<Open<Tokio>, ConnectionHalf>,
) -> Result<(), Cut> {
    let mut buf = vec![0; PIECE];
    let (mut pause, mut waits) = (LOOK_FIRST, false);
    let mut ended = false;
    loop {
        let read = tokio::select! {
            biased;
            read = far.read(&mut buf), if !ended => read,
            () = sleep(pause), if waits => {
                match socket.taken_by(writer, !ended) {
                    Ok(true) if ended => {
                        far.lock().release_all();
                        return Ok(());
                    }
                    Ok(true) => {
                        far.lock().release();
                        waits = false;
                    }
                    Ok(false) => pause = (pause * 2).min(LOOK_LAST),
                    Err(_) => {
                        far.lock().leave_unread();
                        return Ok(());
                    }
                }
                continue;
            }
        };
        match read {
            Ok(0) => {
                ended = true;
                waits = true;
                // Fails if the program has left, which is seen next.
                let _ = shutdown(&socket.fd, Shutdown::Write);
                pause = LOOK_FIRST;
            }
            Ok(len) => {
                if writer.write_all(&buf[..len]).await.is_err() {
                    far.lock().leave_unread();
                    return Ok(());
                }
                (pause, waits) = (LOOK_FIRST, true);
            }
            Err(error) => return Err(cut(error)),
        }
    }
}

fn cut(error: io::Error) -> Cut {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Cut::ByTheOther,
        io::ErrorKind::NotConnected => Cut::Lost(error.to_string()),
        _ => Cut::Io(error),
    }
}

/// A stream that both directions use, in one task.
struct Held(Mutex<Stream>);

impl Held {
    fn lock(&self) -> MutexGuard<'_, Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.lock().poll_read(cx, buf)).await
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| self.lock().poll_write(cx, bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Ends the direction, and waits until the other program has taken all of it.
    async fn finish(&self) -> io::Result<()> {
        poll_fn(|cx| self.lock().poll_finish(cx)).await?;
        match poll_fn(|cx| self.lock().poll_taken(cx)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => Err(error),
        }
    }

    async fn so_far(&self) -> Result<SoFar, Cut> {
        poll_fn(|cx| self.lock().poll_so_far(cx)).await.map_err(cut)
    }

    /// Waits until the other program has left.
    async fn left(&self) -> Result<(), Cut> {
        let left = |cx: &mut Context<'_>| match self.lock().poll_so_far(cx) {
            Poll::Ready(Ok(SoFar::All)) => Poll::Pending,
            Poll::Ready(told) => Poll::Ready(told.map(drop)),
            Poll::Pending => Poll::Pending,
        };
        poll_fn(left).await.map_err(cut)
    }
}

/// What has come from a program.
enum Piece {
    /// So many bytes, of which the first may be known.
    Bytes(usize),
    End,
    /// It has left bytes unread.
    Reset,
}

/// The socket of a program, to look into.
struct Socket {
    fd: UnixStream,
    /// The system tells once that the program has left bytes unread.
    reset: AtomicBool,
}

impl Socket {
    fn of(local: &Connection<Tokio>) -> io::Result<Self> {
        let fd = Plain::from(local.as_fd().try_clone_to_owned()?);
        fd.set_nonblocking(true)?;
        Ok(Self { fd: UnixStream::from_std(fd)?, reset: AtomicBool::new(false) })
    }

    /// Waits for more than so many bytes, and copies all of them without taking any.
    async fn peek(&self, buf: &mut [u8], known: usize) -> Result<Piece, Cut> {
        loop {
            self.fd.readable().await.map_err(Cut::Io)?;
            match self.fd.try_io(Interest::READABLE, || self.try_peek(buf, known)) {
                Ok(piece) => return piece,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Cut::Io(error)),
            }
        }
    }

    fn try_peek(&self, buf: &mut [u8], known: usize) -> io::Result<Result<Piece, Cut>> {
        // Asked before, so that nothing comes after the look.
        let over = self.is_over()?;
        let mut no_handles = RecvAncillaryBuffer::default();
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match recvmsg(&self.fd, &mut [IoSliceMut::new(buf)], &mut no_handles, flags) {
            Ok(seen) if seen.flags.contains(ReturnFlags::CTRUNC) => Ok(Err(Cut::Handles)),
            Ok(seen) if seen.bytes > known => Ok(Ok(Piece::Bytes(seen.bytes))),
            Ok(_) if over && self.was_reset()? => Ok(Ok(Piece::Reset)),
            Ok(seen) if over || seen.bytes == 0 => Ok(Ok(Piece::End)),
            Ok(_) => Err(io::ErrorKind::WouldBlock.into()),
            Err(Errno::CONNRESET) => {
                self.reset.store(true, Ordering::Relaxed);
                Ok(Ok(Piece::Reset))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the program writes no more.
    fn is_over(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::RDHUP)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(fds[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP))
    }

    /// Takes bytes that have been seen. What they are is of no use any more.
    fn consume(&self, mut len: usize, buf: &mut [u8]) -> Result<(), Cut> {
        while len > 0 {
            let most = len.min(buf.len());
            match recv(&self.fd, &mut buf[..most], RecvFlags::DONTWAIT) {
                Ok((taken, _)) if taken > 0 => len -= taken,
                Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(Cut::Io(error.into())),
            }
        }
        Ok(())
    }

    /// What the program writes from now on fails. What it has written stays where it is.
    fn stop_reading(&self) -> Result<(), Cut> {
        match shutdown(&self.fd, Shutdown::Read) {
            // It has left as well.
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(Cut::Io(error.into())),
        }
    }

    /// Whether the program has taken everything that was written to it.
    ///
    /// An error, if it will not.
    fn taken_by(
        &self,
        writer: &WriteEnd<Open<Tokio>, ConnectionHalf>,
        may_write: bool,
    ) -> io::Result<bool> {
        let unread = writer.unsent()?;
        // Asked afterwards: what a program leaves unread is gone as well, and told of first.
        if self.was_reset()? {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if unread == 0 {
            return Ok(true);
        }
        // Fails if it has dropped its reading half alone.
        match send(&self.fd, &[], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::PIPE) if may_write => Err(io::ErrorKind::BrokenPipe.into()),
            _ => Ok(false),
        }
    }

    fn was_reset(&self) -> io::Result<bool> {
        if socket_error(&self.fd)?.is_err() {
            self.reset.store(true, Ordering::Relaxed);
        }
        Ok(self.reset.load(Ordering::Relaxed))
    }
}

/// Whether this is an address.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput): it is none.
pub fn check(address: &str) -> io::Result<()> {
    Address::parse(address).map(drop)
}
