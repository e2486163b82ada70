//! Passes a file and a socket to a process that could not open them: `cargo run --example handover`
//!
//! The server opens a file and a listening socket, starts a client process, and passes both to it. The client uses them
//! without having opened either. With `-- serve PATH` and `-- join PATH` they are two programs.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::{Handles, Listener, TypedConnection, WithHandles};

/// The message of the server: the fields are the numbers of the handles beside it.
#[derive(Serialize, Deserialize)]
struct Opened {
    greeting: u32,
    /// Sockets cannot be sent on Windows.
    port: Option<u32>,
}

/// The report of the client.
#[derive(Serialize, Deserialize)]
struct Used {
    greeting: String,
    served: usize,
}

type Done = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        [] => both(),
        ["serve", path] => Listener::bind(path).map_err(Into::into).and_then(|at| serve(&at)),
        ["join", path] => join(path),
        _ => Err("usage: handover [serve PATH | join PATH]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("handover: {error}");
            ExitCode::FAILURE
        }
    }
}

fn both() -> Done {
    let listener = Listener::temporary()?;
    let mut client =
        Command::new(env::current_exe()?).arg("join").arg(listener.path().as_path()).spawn()?;
    let served = serve(&listener);
    if !client.wait()?.success() {
        return Err("the client failed".into());
    }
    served
}

/// Opens both, passes them on, and prints the client's report.
fn serve(listener: &Listener) -> Done {
    let client = listener.accept_timeout(Duration::from_secs(60))?;
    client.require_same_user()?;
    let mut client = client.into_typed::<WithHandles<Opened>, Used>()?;

    let mut greeting = tempfile::tempfile()?; // without a name, so no other process can open it
    greeting.write_all(b"welcome")?;
    greeting.rewind()?;
    let mut handles = Handles::new();
    let greeting = handles.add(greeting);
    let (port, guest) = port::open(&mut handles)?;

    client.send_with_handles(&Opened { greeting, port }, &mut handles)?;
    let guest = guest.map(port::visit);
    let Used { greeting, served } = client.recv()?;
    println!("server: the client has read {greeting:?} and served {served} over TCP");
    if let Some(guest) = guest {
        println!("server: a guest on that port was told {:?}", port::answer(guest)?);
    }
    Ok(())
}

/// Takes the handles by their types, and uses them.
fn join(path: &str) -> Done {
    let mut server = TypedConnection::<Used, WithHandles<Opened>>::connect(path)?;
    let (opened, mut handles) = server.recv_with_handles()?;
    let mut greeting = String::new();
    handles.take::<File>(opened.greeting)?.read_to_string(&mut greeting)?;
    let mut served = 0;
    if let Some(number) = opened.port {
        port::serve(&mut handles, number, &greeting)?;
        served += 1;
    }
    server.send(&Used { greeting, served })?;
    Ok(())
}

/// A local port, which one process opens and another one serves.
#[cfg(unix)]
mod port {
    use std::io::{self, Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};

    use typed_pipe::Handles;

    pub(crate) fn open(handles: &mut Handles) -> io::Result<(Option<u32>, Option<SocketAddr>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok((Some(handles.add(listener)), Some(address)))
    }

    /// Connects to the port like any other visitor, and records the greeting.
    pub(crate) fn visit(address: SocketAddr) -> JoinHandle<io::Result<String>> {
        thread::spawn(move || {
            let mut told = String::new();
            TcpStream::connect(address)?.read_to_string(&mut told)?;
            Ok(told)
        })
    }

    pub(crate) fn answer(guest: JoinHandle<io::Result<String>>) -> io::Result<String> {
        guest.join().unwrap_or_else(|_| Err(io::Error::other("the guest failed")))
    }

    pub(crate) fn serve(
        handles: &mut Handles,
        number: u32,
        words: &str,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let (mut guest, _) = handles.take::<TcpListener>(number)?.accept()?;
        guest.write_all(words.as_bytes())?;
        Ok(())
    }
}

#[cfg(not(unix))]
mod port {
    use std::convert::Infallible;
    use std::io;

    use typed_pipe::Handles;

    pub(crate) fn open(_: &mut Handles) -> io::Result<(Option<u32>, Option<Infallible>)> {
        Ok((None, None))
    }

    pub(crate) fn visit(guest: Infallible) -> Infallible {
        guest
    }

    pub(crate) fn answer(guest: Infallible) -> io::Result<String> {
        match guest {}
    }

    pub(crate) fn serve(_: &mut Handles, _: u32, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
