//! Where the words of a ring are, in the memory of the side that writes them.
//!
//! Each has a pair of cache lines of its own: processors fetch lines in pairs. `docs/SHARED-MEMORY.md` has the table.

/// How many bytes this side has put into its ring.
pub(super) const HEAD: usize = 128;
/// 1 once this side puts its bytes into the large part of its memory; beside the head, which is looked at before it.
pub(super) const GROWN: usize = HEAD + 4;
/// The first position of a byte that lies there.
pub(super) const SWITCH: usize = HEAD + 8;
/// How many bytes this side has taken out of the ring of the other one.
pub(super) const TAIL: usize = 256;
/// Odd while the reader of this side sleeps; another number each time.
pub(super) const READER_SLEEPS: usize = 384;
/// The same of its writer.
pub(super) const WRITER_SLEEPS: usize = 512;
/// What this side does no more: [`WRITES_NO_MORE`], [`READS_NO_MORE`].
pub(super) const CLOSED: usize = 640;
/// The processor on which this side ran when it last waited.
pub(super) const PROCESSOR: usize = 768;
/// The end of the words.
pub(super) const END: usize = 896;

pub(super) const WRITES_NO_MORE: u32 = 1;
pub(super) const READS_NO_MORE: u32 = 2;

/// The layout that both sides must have.
pub(super) const VERSION: u8 = 2;

/// The sizes that a ring may have; each a power of two.
pub(super) const SMALLEST: usize = 64 << 10;
pub(super) const LARGEST: usize = 1 << 30;

/// The ring in the large part, where there is one.
pub(super) const GROWN_SIZE: usize = 1 << 20;
