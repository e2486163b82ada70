//! Bytes that have come in before they were asked for.

/// What was taken out of a connection, for later reads.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: Vec<u8>,
    /// Where those begin that were not read yet.
    start: usize,
}

impl Backlog {
    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Takes the oldest bytes, as many as there is room for; `None` where there are none.
    pub(super) fn take(&mut self, buf: &mut [u8]) -> Option<usize> {
        let rest = self.bytes.get(self.start..).filter(|rest| !rest.is_empty())?;
        let taken = rest.len().min(buf.len());
        let (to, from) = (buf.get_mut(..taken)?, rest.get(..taken)?);
        to.copy_from_slice(from);
        self.start += taken;
        if self.start == self.bytes.len() {
            // What was needed once need not be needed again.
            *self = Self::default();
        }
        Some(taken)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}
