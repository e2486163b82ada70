//! What writers say of their messages before the first one, and messages behind it: read, or an error, at once.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use typed_pipe::wire::{Decoder, MultiWriter, Wire};
use typed_pipe::{ErrorKind, Pipe, WriteEnd};
use typed_pipe_fuzz::{Value, arrive};

/// The first byte chooses the wire, and whether the rest is raw or the parts of a true form.
fn hear(data: &[u8]) {
    let [how, rest @ ..] = data else { return };
    let rest = &rest[..rest.len().min(20_000)];
    let bytes = match how & 3 {
        0 => hellos(rest),
        1 => fragments(rest),
        _ => rest.to_vec(),
    };
    match how & 1 {
        0 => on_a_pipe(&bytes, how & 4 != 0),
        _ => of_many(&bytes, usize::from(how >> 2)),
    }
}

/// Cuts the bytes into parts, each with a byte before it: the first ones are fingerprint and description, the others frames.
fn parts(mut rest: &[u8]) -> Vec<(u8, &[u8])> {
    let mut parts = Vec::new();
    while let [what, len, more @ ..] = rest {
        let (part, behind) = more.split_at(more.len().min(usize::from(*len)));
        parts.push((*what, part));
        rest = behind;
    }
    parts
}

fn number(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(0).to_be_bytes()
}

/// Hellos of the default wire, and frames.
fn hellos(rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (what, part) in parts(rest) {
        if what & 1 == 0 {
            bytes.extend([0xFF, 0xFF, 0xFF, 3]);
            bytes.extend([what; 8]);
        }
        bytes.extend(number(part.len()));
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Fragments of up to four writers, with their checksums.
fn fragments(rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut sequences = [0_u32; 4];
    for (what, part) in parts(rest) {
        let flags = [3, 4, 1, 0, 2, 8, 4, 3][usize::from(what & 7)];
        let writer = what >> 3 & 3;
        let sequence = &mut sequences[usize::from(writer)];
        *sequence += u32::from(what >> 5 != 1);
        let mut payload = Vec::new();
        match flags {
            4 => {
                payload.extend(*b"\x08postcard\x00");
                if what >> 6 != 0 {
                    payload.extend([what; 8]);
                    payload.extend(number(part.len()));
                }
            }
            1 => payload.extend(number(usize::from(what >> 5) * 100)),
            _ => {}
        }
        payload.extend_from_slice(part);
        let start = bytes.len();
        let len = u16::try_from(20 + payload.len()).unwrap_or(0);
        bytes.extend(len.to_be_bytes());
        bytes.extend([0xD1, flags]);
        bytes.extend(u64::from(writer).to_be_bytes());
        bytes.extend(sequence.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        let checksum = crc32fast::hash(&bytes[start..]);
        bytes[start + 16..start + 20].copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}

/// Everything that a receiver of a named pipe says of these bytes. A pipe has room for them.
fn on_a_pipe(bytes: &[u8], required: bool) {
    let pipe = Pipe::temporary().expect("a pipe");
    let path = pipe.path().clone();
    let mut receiver = pipe.into_reader().open().expect("an end").into_receiver::<Value>();
    if required {
        receiver = receiver.require_shape();
    }
    let mut writer = WriteEnd::at(path).expect("a name").open().expect("an end");
    writer.write_all(bytes).expect("room");
    drop(writer);
    for _ in 0..bytes.len() + 3 {
        match receiver.recv() {
            Ok(_) => {
                let _ = receiver.peer_shape();
            }
            Err(error) if error.is_fatal() || error.is_end() => {
                let again = receiver.recv().expect_err("it is over").kind();
                assert_ne!(again, ErrorKind::TimedOut);
                return;
            }
            Err(_) => {}
        }
    }
    panic!("it goes on for ever");
}

fn of_many(bytes: &[u8], piece: usize) {
    let framing = MultiWriter::default().typed::<Value>().total_limit(9000).stall_limit(20_000);
    let mut decoder = Decoder::new(Wire::default().with_framing(framing));
    let mut steps = 0;
    for piece in bytes.chunks(piece * 7 + 1) {
        arrive(&mut decoder, piece);
        loop {
            steps += 1;
            assert!(steps <= 4 * bytes.len() + 4, "it goes on for ever");
            match decoder.step() {
                Ok(true) => drop(decoder.message::<Value>()),
                Ok(false) => break,
                Err(error) if error.is_fatal() => return,
                Err(_) => {}
            }
        }
    }
    while decoder.end().kind() == ErrorKind::MessageLost {
        steps += 1;
        assert!(steps <= 9 * bytes.len() + 9, "the end goes on for ever");
    }
}

fuzz_target!(|data: &[u8]| hear(data));
