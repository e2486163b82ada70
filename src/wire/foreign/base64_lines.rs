use super::base64::Base64;
use crate::error::FrameError;
use crate::wire::framing::BuiltIn;
use crate::wire::{Scan, Step};

/// The lines of PipeCom: base64, then a line feed.
///
/// A line with invalid base64 is [`FrameError::Base64`], and the next one can be received. The listener and the senders
/// of PipeCom are in `typed_pipe::pipecom`.
///
/// ```
/// use typed_pipe::wire::foreign::Base64Lines;
/// use typed_pipe::wire::{Encoder, Plain, Wire};
///
/// let mut encoder = Encoder::new(Wire::new(Base64Lines::default(), Plain));
/// encoder.stage("héllo")?;
/// assert_eq!(encoder.pending(), b"aMOpbGxv\n");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "foreign")))]
#[derive(Clone, Debug)]
pub struct Base64Lines(Base64);

impl Base64Lines {
    /// Sets the largest payload, in bytes before they are base64, that is sent or received; 8 MiB unless set.
    ///
    /// ```
    /// use typed_pipe::wire::foreign::Base64Lines;
    /// use typed_pipe::wire::{Plain, Wire};
    /// use typed_pipe::{ErrorKind, TypedReceiver};
    ///
    /// let wire = Wire::new(Base64Lines::default().limit(3), Plain);
    /// let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(&b"SGV5\nSGVsbG8=\n"[..], wire);
    /// assert_eq!(receiver.recv()?, "Hey");
    /// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::TooLarge); // "Hello"
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn limit(self, bytes: u32) -> Self {
        Self(self.0.limit(bytes))
    }
}

impl Default for Base64Lines {
    fn default() -> Self {
        Self(Base64::ended_by(b'\n'))
    }
}

impl BuiltIn for Base64Lines {
    fn name(&self) -> &str {
        "base64-lines"
    }

    fn max_payload(&self) -> u64 {
        self.0.max_payload()
    }

    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), FrameError> {
        self.0.finish(out, start)
    }

    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        self.0.scan(bytes, scan.from)
    }
}
