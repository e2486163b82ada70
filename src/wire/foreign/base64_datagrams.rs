use super::base64::Base64;
use crate::error::FrameError;
use crate::wire::framing::BuiltIn;
use crate::wire::{Scan, Step};

/// The datagrams of python-xp-named-pipe: base64, then a NUL.
///
/// A datagram with invalid base64 is [`FrameError::Base64`], and the next one can be received.
///
/// ```
/// use typed_pipe::wire::foreign::Base64Datagrams;
/// use typed_pipe::wire::{Plain, Wire};
/// use typed_pipe::{ErrorKind, TypedReceiver};
///
/// let wire = Wire::new(Base64Datagrams::default(), Plain);
/// let bytes = b"SGVsbG8=\0what?\0V29ybGQ=\0";
/// let mut receiver = TypedReceiver::<Vec<u8>, _, _, _>::with_wire(&bytes[..], wire);
/// assert_eq!(receiver.recv()?, b"Hello");
/// assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Corrupt);
/// assert_eq!(receiver.recv()?, b"World");
/// # Ok::<(), typed_pipe::Error>(())
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "foreign")))]
#[derive(Clone, Debug)]
pub struct Base64Datagrams(Base64);

impl Base64Datagrams {
    /// Sets the largest payload, in bytes before they are base64, that is sent or received; 8 MiB unless set.
    ///
    /// ```
    /// use typed_pipe::ErrorKind;
    /// use typed_pipe::wire::foreign::Base64Datagrams;
    /// use typed_pipe::wire::{Encoder, Plain, Wire};
    ///
    /// let mut encoder = Encoder::new(Wire::new(Base64Datagrams::default().limit(3), Plain));
    /// encoder.stage("Hey")?;
    /// assert_eq!(encoder.pending(), b"SGV5\0"); // three bytes as they are counted
    /// assert_eq!(encoder.stage("Hello").unwrap_err().kind(), ErrorKind::TooLarge);
    /// # Ok::<(), typed_pipe::Error>(())
    /// ```
    #[must_use]
    pub fn limit(self, bytes: u32) -> Self {
        Self(self.0.limit(bytes))
    }
}

impl Default for Base64Datagrams {
    fn default() -> Self {
        Self(Base64::ended_by(0))
    }
}

impl BuiltIn for Base64Datagrams {
    fn name(&self) -> &str {
        "base64-datagrams"
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
