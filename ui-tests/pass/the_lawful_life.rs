//! All that a pipe and its ends may do.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use typed_pipe::state::{Allocated, Closed, Open};
use typed_pipe::{OnHangup, Pipe, PipeOptions, ReadEnd, CancelToken, TypedReceiver, TypedSender, WriteEnd};

struct Server {
    jobs: TypedReceiver<String, ReadEnd<Open, Pipe<Allocated>>>,
}

struct Client {
    jobs: TypedSender<str>,
}

fn generic(jobs: impl Iterator<Item = Result<String, typed_pipe::Error>>) -> usize {
    jobs.count()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Owned, opened, closed, opened again, given back.
    let end: ReadEnd<Closed, Pipe<Allocated>> = Pipe::temporary()?.into_reader();
    let end = end.open()?.close().open()?.close();
    let mut pipe = end.into_pipe();

    // Borrowed, with options.
    let token = CancelToken::new()?;
    let reader = pipe.reader().cancelled_by(&token).on_hangup(OnHangup::NextWriter);
    if let Ok(open) = reader.open_timeout(Duration::from_secs(1)) {
        drop(open.close());
    }

    // A client, in another thread.
    let path = pipe.path().clone();
    let client = thread::spawn(move || -> Result<(), typed_pipe::Error> {
        let mut client = Client { jobs: TypedSender::connect(path)? };
        client.jobs.send("first")?;
        client.jobs.feed("second")?;
        client.jobs.flush()
    });
    let mut server = Server { jobs: pipe.into_reader().open()?.into_receiver() };
    assert_eq!(server.jobs.recv_ref()?, "first");
    assert_eq!(generic(server.jobs.by_ref()), 1);
    client.join().unwrap()?;

    let pipe = server.jobs.into_inner().close().into_pipe().unlink();
    drop(pipe?);

    // Bytes.
    let mut pipe = PipeOptions::new().buffer_size(4096).temporary()?;
    let path = pipe.path().clone();
    let client = thread::spawn(move || WriteEnd::at(path)?.open()?.write_all(b"bytes"));
    let mut bytes = Vec::new();
    pipe.open_reader()?.read_to_end(&mut bytes)?;
    client.join().unwrap()?;
    Ok(())
}
