//! Messages that end with a byte, however long: how they are read, and how often they are looked at.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use typed_pipe::wire::foreign::Lines;
use typed_pipe::wire::{Codec, Framing, Plain, Scan, Step, Wire};
use typed_pipe::{ErrorKind, FrameError, TypedReceiver, TypedSender};

/// Gives all that it is asked for, and counts how often it is asked.
struct Counted<'a> {
    bytes: &'a [u8],
    reads: Rc<Cell<usize>>,
    most: usize,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reads.set(self.reads.get() + 1);
        let most = buf.len().min(self.most);
        self.bytes.read(&mut buf[..most])
    }
}

fn sent<F: Framing + Clone, C: Codec + Clone>(wire: &Wire<F, C>, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut sender = TypedSender::<str, _, _, _>::with_wire(&mut bytes, wire.clone());
    sender.send(text).unwrap();
    sender.send("next").unwrap();
    bytes
}

/// How many reads it takes to receive a text of so many bytes, and a short one after it.
fn reads<F: Framing + Clone, C: Codec + Clone>(wire: Wire<F, C>, len: usize, most: usize) -> usize {
    let text = "x".repeat(len);
    let bytes = sent(&wire, &text);
    let reads = Rc::new(Cell::new(0));
    let io = Counted { bytes: &bytes, reads: Rc::clone(&reads), most };
    let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(io, wire);
    assert_eq!(receiver.recv().unwrap(), text);
    assert_eq!(receiver.recv().unwrap(), "next");
    assert!(receiver.recv().unwrap_err().is_disconnected());
    reads.get()
}

const MEGABYTE: usize = 1_000_000;

/// The bytes that a receiver asks for at once.
const BUFFER: usize = 64 << 10;

#[test]
fn a_long_line_is_read_in_whole_buffers() {
    let wire = Wire::new(Lines::default(), Plain);
    assert!(reads(wire.clone(), MEGABYTE, usize::MAX) <= 2 + MEGABYTE.div_ceil(BUFFER));
    // And where a pipe gives less than that, in what it gives.
    assert!(reads(wire, MEGABYTE, 4096) <= 2 + MEGABYTE.div_ceil(4096));
}

#[cfg(feature = "foreign")]
#[test]
fn a_long_message_of_base64_is_read_in_whole_buffers() {
    use typed_pipe::wire::foreign::{Base64Datagrams, Base64Lines};

    let most = 2 + (MEGABYTE / 3 * 4).div_ceil(BUFFER);
    assert!(reads(Wire::new(Base64Lines::default(), Plain), MEGABYTE, usize::MAX) <= most);
    assert!(reads(Wire::new(Base64Datagrams::default(), Plain), MEGABYTE, usize::MAX) <= most);
}

/// A framing of somebody else: messages end with a semicolon. It counts the bytes that it looks at.
#[derive(Clone, Default)]
struct Semicolons {
    looked_at: Rc<Cell<usize>>,
    /// Whether it asks for one byte more each time, for want of a better guess.
    guesses: bool,
}

impl Framing for Semicolons {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>, _: usize) -> Result<(), FrameError> {
        out.push(b';');
        Ok(())
    }

    fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
        let fresh = &bytes[scan.from..];
        let found = fresh.iter().position(|&byte| byte == b';');
        let looked_at = found.map_or(fresh.len(), |at| at + 1);
        self.looked_at.set(self.looked_at.get() + looked_at);
        Ok(match found {
            Some(at) => Step::Message { payload: 0..scan.from + at, frame: scan.from + at + 1 },
            None if self.guesses => Step::More { total: bytes.len() + 1 },
            None => Step::NoEnd { scanned: bytes.len() },
        })
    }
}

#[test]
fn a_framing_of_ones_own_looks_at_each_byte_once() {
    for len in [MEGABYTE, 10 * MEGABYTE] {
        let framing = Semicolons::default();
        let looked_at = Rc::clone(&framing.looked_at);
        assert!(reads(Wire::new(framing, Plain), len, usize::MAX) <= 2 + len.div_ceil(BUFFER));
        assert_eq!(looked_at.get(), len + ";next;".len());
    }
}

#[test]
fn a_framing_that_guesses_is_read_in_large_pieces() {
    let framing = Semicolons { guesses: true, ..Semicolons::default() };
    assert!(
        reads(Wire::new(framing, Plain), MEGABYTE, usize::MAX) <= 4 + MEGABYTE.div_ceil(BUFFER)
    );
}

#[test]
fn a_line_without_an_end_is_too_large_before_it_fills_the_memory() {
    let reads = Rc::new(Cell::new(0));
    let bytes = vec![b'x'; 10 * MEGABYTE];
    let io = Counted { bytes: &bytes, reads: Rc::clone(&reads), most: usize::MAX };
    let wire = Wire::new(Lines::default().limit(100_000), Plain);
    let mut receiver = TypedReceiver::<String, _, _, _>::with_wire(io, wire);
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(reads.get(), 2, "not more than the limit and a buffer");
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Poisoned);
}

/// In tasks no `Read` can count, and a framing does: it scans once a read.
#[cfg(feature = "tokio")]
#[test]
fn a_long_line_is_read_in_whole_buffers_by_tasks_too() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use typed_pipe::{Pipe, WriteEnd};

    use crate::support::watched;

    struct Scans(Arc<AtomicUsize>);

    impl Framing for Scans {
        fn begin(&mut self, _: &mut Vec<u8>) {}

        fn finish(&mut self, out: &mut Vec<u8>, _: usize) -> Result<(), FrameError> {
            out.push(b'\n');
            Ok(())
        }

        fn scan(&mut self, bytes: &mut [u8], scan: Scan) -> Result<Step, FrameError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Lines::default().scan(bytes, scan)
        }
    }

    watched(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let scans = Arc::new(AtomicUsize::new(0));
        let wire = Wire::new(Scans(Arc::clone(&scans)), Plain);
        runtime.block_on(async {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let client = thread::spawn(move || {
                let wire = Wire::new(Lines::default(), Plain);
                let end = WriteEnd::at(path).unwrap().open().unwrap();
                end.into_sender_with::<str, _, _>(wire).send(&"x".repeat(MEGABYTE)).unwrap();
            });
            let end = pipe.into_reader().into_tokio().open().await.unwrap();
            let mut receiver = end.into_receiver_with::<String, _, _>(wire);
            assert_eq!(receiver.recv().await.unwrap().len(), MEGABYTE);
            client.join().unwrap();
        });
        // A pipe has a page at least, or it is empty: a read of one byte each would be a million.
        assert!(scans.load(Ordering::Relaxed) < 2000, "{scans:?}");
    });
}
