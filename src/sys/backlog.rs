//! Bytes that have come in before they were asked for.

/// What was taken out of a connection while there was no room to write, for later reads.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: Vec<u8>,
    /// Those before this have been read.
    start: usize,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the oldest bytes, as many as there are and as there is room for.
    pub(super) fn take(&mut self, buf: &mut [u8]) -> usize {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let bytes = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..bytes), rest.get(..bytes)) {
            to.copy_from_slice(from);
        }
        self.start += bytes;
        if self.is_empty() {
            // The memory goes back as well: most of the time nothing is taken in.
            *self = Self::default();
        }
        bytes
    }
}
