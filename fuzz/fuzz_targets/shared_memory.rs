//! Whatever a side offers as shared memory, and has written there: messages or an error, at once.
#![no_main]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use typed_pipe::{Connection, Error, ErrorKind, Handles, Handshake, SharedMemory, TypedConnection};

/// What a side says that offers shared memory.
const TERMS: &[u8] = b"\xff\xff\xff\x02tpip\x01\x00\x00\x27\x00\x00\x00\x00\x00\x80\x00\x00\
    \x0flength-prefixed\x08postcard\x00\x00\x02\x00\x01\x02";

/// The smallest ring, and the words before it.
const RING: u64 = 64 << 10;
const CONTROL: u64 = 4096;

/// The ring that it may grow to.
const GROWN: u64 = 1 << 20;

/// The places of the words: of the head, the tail, both sleeps, the end, the processor, whether it has grown, and the switch.
const WORDS: [u64; 8] = [128, 256, 384, 512, 640, 768, 132, 136];

/// The first byte chooses what is as it should be; then come the greeting, where it is chosen, the words and the ring.
fn take(data: &[u8]) {
    let [how, rest @ ..] = data else { return };
    let (greeting, rest) = match rest.split_first_chunk::<8>() {
        Some((greeting, rest)) if how & 1 != 0 => (*greeting, rest),
        _ => ([2, 1, u8::from(how & 128 != 0), 0, 0, 1, 0, 0], rest),
    };
    let (ours, theirs) = Connection::pair().expect("a pair of sockets");
    let (line, woken) = UnixStream::pair().expect("a pair of sockets");
    let mut handles = Handles::new();
    handles.add(memory(*how, rest));
    if how & 2 == 0 {
        handles.add(line);
    }
    let (mut reader, mut writer) = theirs.split();
    reader.accept_handles(2).expect("it is a socket"); // else the system lets none through to it
    writer.write_all(TERMS).expect("room");
    if how & 4 != 0 {
        let _ = (&woken).write_all(rest);
    }
    // Whether it takes what is offered to it, and whether it leaves then.
    let (answer, leaves) = (u8::from(how & 64 == 0), how & 8 != 0);
    let offering = thread::spawn(move || {
        // Handles are let in once the other side waits for them.
        while let Err(error) = writer.write_with_handles(&greeting, &mut handles) {
            if error.kind() != ErrorKind::PermissionDenied {
                break;
            }
            thread::yield_now();
        }
        let _ = writer.write_all(&[answer]);
        // A side that leaves, or one that stays and says nothing.
        (!leaves).then_some((reader, writer, woken))
    });
    talk(ours);
    drop(offering.join().expect("it ends"));
}

/// Memory with such words and such a ring, of another size or without seals where that is chosen.
fn memory(how: u8, rest: &[u8]) -> File {
    let file = memfd_create("fuzz", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let file = File::from(file.expect("memory"));
    let size = CONTROL + RING + u64::from(how & 16 != 0);
    // Not only its size: the pages are there too, but for those that it may grow to.
    file.write_all_at(&vec![0; usize::try_from(size).expect("small")], 0).expect("memory");
    file.set_len(size + if how & 128 == 0 { 0 } else { GROWN }).expect("room");
    let (words, ring) = rest.split_at(rest.len().min(4 * WORDS.len()));
    for (word, place) in words.chunks(4).zip(WORDS) {
        file.write_all_at(word, place).expect("memory");
    }
    let ring = &ring[..ring.len().min(64 << 10)];
    file.write_all_at(ring, CONTROL).expect("memory");
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE;
    fcntl_add_seals(&file, if how & 32 == 0 { seals } else { SealFlags::GROW }).expect("seals");
    file
}

/// Makes the connection, and uses it without a wait.
fn talk(ours: Connection) {
    let handshake = Handshake::new().timeout(Duration::from_secs(20));
    let handshake = handshake.shared_memory(SharedMemory::offered());
    let made: Result<TypedConnection<str, String>, _> = handshake.perform(ours);
    let Ok(mut side) = made else { return };
    for round in 0..20 {
        let received = match round % 3 {
            0 => side.receiver().try_recv().map(drop),
            _ => view(&mut side),
        };
        let sent = side.sender().try_send("a message");
        if received.is_err() && sent.is_err() {
            break;
        }
    }
}

/// Looks at a message where it lies, in each safe way: no more bytes are seen than it has.
fn view(side: &mut TypedConnection<str, String>) -> Result<(), Error> {
    let view = side.receiver().set_timeout(Duration::ZERO).recv_view()?;
    let mut seen = 0;
    view.for_each_chunk(|bytes| seen += bytes.len());
    assert_eq!([seen, view.copy_to_vec().len()], [view.len(); 2]);
    assert_eq!(view.copy_to(&mut [0; 100]), view.len().min(100));
    Ok(())
}

fuzz_target!(|data: &[u8]| take(data));
