//! Messages of bytes that are read where they lie.

use std::future::Future;
use std::task::{Context, Poll, ready};

use super::receiver::{Reads, TypedReceiver};
use crate::error::Error;
use crate::source::{ReadTimeout, Ret};
use crate::state::Runtime as _;
use crate::sys::{FrameHeader, SharedView, WaitLimit};
use crate::wire::{Codec, Framing};

impl<T, R: ReadTimeout, F: Framing, C: Codec> TypedReceiver<T, R, F, C> {
    /// Receives the next message as raw bytes, which stay where they are until they are asked for.
    ///
    /// Through [shared memory](crate::SharedMemory) that is [`recv_bytes`](Self::recv_bytes) without the copy: for large
    /// messages of which only a part is looked at, or that are added up, searched or written to a file. An example is at
    /// [`SharedView`].
    ///
    /// A message is copied all the same, into the buffer of the receiver, and the view is of that: over a pipe, a socket
    /// or a carrier; where a message is larger than the ring; where its beginning came in while this side sent or received
    /// something else; and on any wire but [`LengthPrefixed`](crate::wire::LengthPrefixed). A
    /// [`Checked`](crate::wire::Checked) wire checks that copy, and what is read is what was checked.
    ///
    /// ```
    /// use std::thread;
    /// use typed_pipe::{Connection, Handshake, SharedMemory};
    ///
    /// let (client, server) = Connection::pair()?;
    /// let handshake = Handshake::new().shared_memory(SharedMemory::offered());
    /// let theirs = handshake.clone();
    /// let sending = thread::spawn(move || {
    ///     let mut side = theirs.perform::<Vec<u8>, ()>(server)?;
    ///     side.sender().send_bytes(&[0x89, b'P', b'N', b'G'])?;
    ///     side.finish().map_err(typed_pipe::Error::from)
    /// });
    ///
    /// let mut side = handshake.perform::<(), Vec<u8>>(client)?;
    /// let mut kind = [0; 4];
    /// side.receiver().recv_view()?.copy_to(&mut kind);
    /// assert_eq!(&kind[1..], b"PNG");
    /// assert!(side.receiver().recv_view().is_err_and(|error| error.is_end()));
    /// # sending.join().unwrap()?;
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    ///
    /// Drop it before the next receive:
    ///
    /// ```compile_fail,E0499
    /// # fn two(receiver: &mut typed_pipe::TypedReceiver<Vec<u8>>) -> Result<(), typed_pipe::Error> {
    /// let first = receiver.recv_view()?;
    /// let second = receiver.recv_view()?;
    /// println!("{first:?} {second:?}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`last_message`](Self::last_message) does not have a message that was not copied.
    ///
    /// # Errors
    ///
    /// Those of [`recv_bytes`](Self::recv_bytes).
    pub fn recv_view(&mut self) -> Ret<R, impl Future<Output = Result<SharedView<'_>, Error>>> {
        let until = self.limit::<R::Mode>();
        let find = |(this, frame): &mut (&mut Self, usize), cx: &mut Context<'_>, until| {
            *frame = ready!(this.poll_find(cx, until))?;
            Poll::Ready(Ok(()))
        };
        R::Mode::wait(Ok(()), until, (self, 0), find, Self::view_found)
    }

    fn view_found(
        (this, frame): (&mut Self, usize),
        found: Result<(), Error>,
    ) -> Result<SharedView<'_>, Error> {
        found?;
        this.view(frame)
    }

    /// Waits for a message, and tells how long it is where it lies in shared memory; 0 if it is in the decoder.
    fn poll_find(&mut self, cx: &mut Context<'_>, until: WaitLimit) -> Poll<Result<usize, Error>> {
        let (io, incoming) = self.parts();
        let mut reads = Reads::default();
        while !incoming.step()? {
            let in_place = io.raw_end().shares_memory() && incoming.has_plain_frames();
            if in_place && incoming.may_be_passed() {
                let measure = |header| incoming.plain_frame(header);
                match ready!(io.poll_frame(cx, &measure, until)) {
                    Ok(0) => {}
                    Ok(frame) => {
                        incoming.passed();
                        return Poll::Ready(Ok(frame));
                    }
                    Err(error) => {
                        incoming.note(Err(error))?;
                        continue;
                    }
                }
            }
            // What is read of the next message could be viewed as a copy alone.
            let room = if in_place {
                incoming.room_for_one(size_of::<FrameHeader>())
            } else {
                incoming.room()
            };
            let read = ready!(io.poll_read_within(cx, room, until));
            incoming.note(read)?;
            if let Some(over) = reads.one_more(|| R::Mode::over(until)) {
                incoming.note(Err(over))?;
            }
        }
        Poll::Ready(Ok(0))
    }

    fn view(&mut self, frame: usize) -> Result<SharedView<'_>, Error> {
        let (io, incoming) = self.parts();
        if frame > 0 { Ok(io.raw_end().view(frame)) } else { incoming.bytes().map(SharedView::of) }
    }
}
