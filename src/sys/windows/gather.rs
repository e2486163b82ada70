//! Joins several buffers for one write: the system has no call for several.

use std::io::IoSlice;

/// The most bytes of joined buffers.
pub(super) const GATHERED: usize = 65536;

/// The only buffer with bytes, or the beginning of all of them, joined in `scratch`.
pub(super) fn gather<'a>(bufs: &'a [IoSlice<'_>], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let mut some = bufs.iter().filter(|buf| !buf.is_empty());
    match (some.next(), some.next()) {
        (None, _) => return &[],
        (Some(only), None) => return only,
        _ => {}
    }
    scratch.clear();
    for buf in bufs {
        let room = GATHERED - scratch.len();
        scratch.extend_from_slice(buf.get(..room).unwrap_or(buf));
    }
    scratch
}
