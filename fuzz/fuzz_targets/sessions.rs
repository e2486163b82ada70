//! Whatever the other side of a session says: steps, or an error, at once.
#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use typed_pipe::session::{Chooses, Dual, Ends, Protocol, Receives, Sends, Session};
use typed_pipe::{Connection, Error, Handshake, choice};

#[derive(Debug, Serialize, Deserialize)]
struct Item {
    name: String,
    count: Option<u32>,
}

type Talk = Receives<Item, Chooses<Next>>;

choice! {
    enum Next in next {
        Again => Talk,
        Other => Sends<Vec<Item>, <Talk as Protocol>::Dual>,
        End => Ends,
    }
}

/// Follows the protocol as far as the other side does, and gives up after some steps.
fn talk(mut session: Session<Talk>) -> Result<(), Error> {
    for _ in 0..20 {
        let (item, next) = session.recv()?;
        if item.count == Some(0) {
            return next.choose(next::End).end().map(drop).map_err(Error::from);
        }
        if item.count.is_some() {
            session = next.choose(next::Again);
            continue;
        }
        return listen(next.choose(next::Other).send(&vec![item])?);
    }
    Ok(())
}

fn listen(mut session: Session<Dual<Talk>>) -> Result<(), Error> {
    loop {
        let item = Item { name: "x".into(), count: Some(1) };
        match session.send(&item)?.offer()? {
            Next::Again(next) => session = next,
            Next::Other(next) => {
                let (_, next) = next.recv()?;
                return talk(next);
            }
            Next::End(next) => return next.end().map(drop).map_err(Error::from),
        }
    }
}

/// A connection on whose other side these bytes come, and then an end.
fn with(said: &[u8]) -> (Connection, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    theirs.set_nonblocking(true).expect("a socket");
    // It has room for that much.
    theirs.write_all(said).expect("room");
    theirs.shutdown(Shutdown::Write).expect("a socket");
    (Connection::try_from(OwnedFd::from(ours)).expect("a connection"), theirs)
}

fn handshake() -> Handshake {
    Handshake::new().timeout(Duration::from_secs(20))
}

/// What a side that follows the dual says first: the handshake, which all sides have alike, and its plan.
fn beginning() -> &'static [u8] {
    static BEGINNING: OnceLock<Vec<u8>> = OnceLock::new();
    BEGINNING.get_or_init(|| {
        let (connection, mut theirs) = with(&[]);
        let _ = handshake().session::<Dual<Talk>>(connection);
        theirs.set_nonblocking(false).expect("a socket");
        let mut hello = Vec::new();
        theirs.read_to_end(&mut hello).expect("a handshake");
        let (connection, mut theirs) = with(&hello);
        let _ = handshake().session::<Dual<Talk>>(connection);
        theirs.set_nonblocking(false).expect("a socket");
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).expect("a handshake and a plan");
        all
    })
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes(), payload].concat()
}

/// The first byte chooses how far the other side follows the protocol: at all, in its plan, in its frames.
fn hear(data: &[u8]) {
    let [how, rest @ ..] = data else { return };
    let rest = &rest[..rest.len().min(50_000)];
    let mut said = beginning().to_vec();
    match how % 4 {
        0 => said.extend_from_slice(rest),
        1 => {
            let len = usize::from(*how >> 2) % 16 + 1;
            rest.chunks(len).for_each(|payload| said.extend(framed(payload)));
        }
        2 => {
            if let Some(last) = said.last_mut() {
                *last ^= 1; // another plan, which is to be told
            }
            said.extend(framed(&[&[3], rest].concat()));
        }
        _ => said = rest.to_vec(),
    }
    let (connection, _theirs) = with(&said);
    if let Ok(session) = handshake().session::<Talk>(connection) {
        let _ = talk(session);
    }
}

fuzz_target!(|data: &[u8]| hear(data));
