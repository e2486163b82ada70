//! Messages that come in, printed.

use std::path::Path;

use typed_pipe::state::{Open, Read};
use typed_pipe::wire::shape::Shape;
use typed_pipe::wire::{Codec, Framing};
use typed_pipe::{End, ErrorKind, PipeRef, TypedReceiver};

use crate::failure::{Failure, NOT_ALL};
use crate::message::{self, Any, hex};
use crate::screen::Screen;

/// How messages are printed.
#[derive(Debug)]
pub(crate) struct Printing<'a> {
    pub(crate) screen: &'a Screen,
    pub(crate) codec: Any,
    /// What they look like, if the writer does not tell.
    pub(crate) shape: Option<&'a Shape>,
    pub(crate) save_shape: Option<&'a Path>,
    /// After so many it is enough.
    pub(crate) count: Option<u64>,
}

impl Printing<'_> {
    /// Prints messages until there are no more, or no more for as long as the receiver waits. Returns the exit code.
    pub(crate) fn all<T, P: PipeRef, F: Framing, C: Codec>(
        &self,
        receiver: &mut TypedReceiver<T, End<Read, Open, P>, F, C>,
    ) -> Result<u8, Failure> {
        let (mut left, mut code, mut save) = (self.count, 0, self.save_shape);
        while left != Some(0) {
            let bytes = match receiver.recv_bytes() {
                Ok(bytes) => bytes.to_vec(),
                Err(error) if error.is_end() || error.kind() == ErrorKind::TimedOut => break,
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(error) => {
                    self.screen.complain(&error.to_string());
                    code = NOT_ALL;
                    continue;
                }
            };
            left = left.map(|left| left - 1);
            let shape = receiver.peer_shape().or(self.shape);
            if let Some((path, shape)) = save.zip(shape) {
                message::save(shape, path)?;
                save = None;
            }
            match self.codec.read(shape, &bytes) {
                Ok(value) => self.screen.value(&value)?,
                Err(why) => {
                    // The message is taken. So it is not lost at least.
                    self.screen.complain(&format!("{why}; the message is {}", hex(&bytes)));
                    code = NOT_ALL;
                }
            }
        }
        if save.is_some() {
            self.screen.complain("no shape was told, and none is saved");
            code = NOT_ALL;
        }
        Ok(code)
    }
}
