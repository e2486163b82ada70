//! All that a listener, its connections and their halves may do.

use std::fs::File;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use typed_pipe::wire::{Checked, Wire};
use typed_pipe::{
    Handshake, ConnectOptions, Connection, Handles, Listener, ListenerOptions, ReadHalf, ReceivingHalf, SendingHalf,
    CancelToken, TypedConnection, WithHandles, WriteHalf,
};

struct Server {
    listener: Listener,
}

struct Client {
    jobs: TypedConnection<String, u64>,
}

struct Halves {
    jobs: SendingHalf<String>,
    results: ReceivingHalf<u64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Bytes: split, put together again, finished.
    let token = CancelToken::new()?;
    let server = Server { listener: ListenerOptions::new().cancelled_by(&token).max_clients(9).temporary()? };
    let path = server.listener.path().clone();
    let client = ConnectOptions::new().cancelled_by(&token).connect(&path)?;
    let (reader, writer): (ReadHalf, WriteHalf) = client.split();
    let mut client = Connection::reunite(reader, writer)?;
    let mut accepted = server.listener.accept()?;
    accepted.require_same_user()?;
    client.write_all(b"bytes")?;
    let mut answers: ReadHalf = client.finish()?;
    let mut bytes = Vec::new();
    accepted.read_to_end(&mut bytes)?;
    accepted.write_all(&bytes)?;
    drop(accepted);
    answers.read_to_end(&mut bytes)?;
    answers.close();
    assert_eq!(bytes, b"bytesbytes");

    // Messages: agreed, split, finished, with handles beside them.
    let serving = thread::spawn(move || -> Result<(), typed_pipe::Error> {
        let mut client = server.listener.accept()?.into_typed::<u64, String>()?;
        while let Ok(word) = client.recv() {
            client.send(&(word.len() as u64))?;
        }
        let wire = Wire::default().with_framing(Checked::default());
        let handshake = Handshake::new().with_wire(wire).timeout(Duration::from_secs(9));
        let mut client = handshake.perform::<u64, WithHandles<u32>>(server.listener.accept()?)?;
        let (number, mut handles) = client.recv_with_handles()?;
        handles.take::<File>(number)?;
        client.send(&1)?;
        client.finish()?;
        Ok(())
    });
    let mut client = Client { jobs: TypedConnection::connect(&path)? };
    client.jobs.send(&"four".into())?;
    let (jobs, results) = client.jobs.split();
    let mut halves = Halves { jobs, results };
    assert_eq!(halves.results.recv()?, 4);
    halves.jobs.finish()?;

    let wire = Wire::default().with_framing(Checked::default());
    let handshake = Handshake::new().with_wire(wire);
    let mut client = handshake.perform::<WithHandles<u32>, u64>(Connection::connect(&path)?)?;
    let mut handles = Handles::new();
    let number = handles.add(tempfile::tempfile()?);
    client.send_with_handles(&number, &mut handles)?;
    assert_eq!(client.by_ref().map(Result::unwrap).sum::<u64>(), 1);
    serving.join().unwrap()?;
    Ok(())
}
