//! Whatever the other side says in place of a handshake: an error or a connection, at once.
#![no_main]

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use typed_pipe::wire::{Checked, Json, MultiWriter, Wire};
use typed_pipe::{Connection, ErrorKind, Handshake, Inbound, Outbound, WithHandles};

/// The first byte chooses what this side speaks.
fn agree(data: &[u8]) {
    let [what, said @ ..] = data else { return };
    let said = &said[..said.len().min(100_000)];
    let handshake = Handshake::new().timeout(Duration::from_secs(20));
    match what % 5 {
        0 => make::<String, String, _, _>(handshake, said),
        1 => make::<u8, WithHandles<u8>, _, _>(handshake, said),
        2 => {
            let handshake = handshake.sending("a/1").receiving("b/1");
            make::<String, String, _, _>(handshake.with_wire(wire_of(Checked::default())), said);
        }
        3 => make::<u8, Vec<u16>, _, _>(handshake.with_wire(wire_of(MultiWriter::default())), said),
        _ => make::<u8, u8, _, _>(handshake.with_wire(Wire::default().with_codec(Json)), said),
    }
}

fn wire_of<F>(framing: F) -> Wire<F> {
    Wire::default().with_framing(framing)
}

fn make<Out, In, F, C>(handshake: Handshake<F, C>, said: &[u8])
where
    Out: Outbound,
    In: Inbound,
    F: typed_pipe::wire::Framing + Clone,
    C: typed_pipe::wire::Codec + Clone,
{
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    theirs.set_nonblocking(true).expect("a socket");
    // It has room for that much.
    theirs.write_all(said).expect("room");
    theirs.shutdown(std::net::Shutdown::Write).expect("a socket");
    let connection = Connection::try_from(OwnedFd::from(ours)).expect("a connection");
    match handshake.perform::<Out, In>(connection) {
        Ok(made) => drop(made),
        Err(error) => {
            let kind = error.kind();
            let known =
                matches!(kind, ErrorKind::Mismatch | ErrorKind::Disconnected | ErrorKind::Refused);
            assert!(known, "{error}");
        }
    }
}

fuzz_target!(|data: &[u8]| agree(data));
