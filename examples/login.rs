//! A login whose every way is in a type: `cargo run --features session --example login`
//!
//! The server starts three clients, each a process of its own: one that knows the password at the third try, one that does
//! not know it, and one that gives up. With `-- serve PATH` and `-- join PATH PASSWORD...` they are two programs.

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::session::{Dual, Ends, Offers, Receives, Sends, Session};
use typed_pipe::{Connection, Listener, choice};

#[derive(Serialize, Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

#[derive(Serialize, Deserialize)]
struct Token(u64);

#[derive(Serialize, Deserialize)]
struct Refusal {
    tries_left: u32,
}

/// What a client says and hears. The server has the `Dual` of it.
type Login = Sends<Credentials, Offers<Verdict>>;

choice! {
    /// What the server makes of it.
    enum Verdict in verdict {
        Welcome => Receives<Token, Ends>,
        Again => Receives<Refusal, Login>,
        Locked => Ends,
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        [] => all(),
        ["serve", path] => Listener::bind(path).map_err(Into::into).and_then(|at| serve(&at)),
        ["join", path, ref passwords @ ..] => join(path, passwords),
        _ => Err("usage: login [serve PATH | join PATH PASSWORD...]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("login: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all() -> Result<(), Box<dyn Error>> {
    let listener = Listener::temporary()?;
    for passwords in [&["123456", "ada", "lovelace"], &["1", "2", "3"], &["123456", "", ""]] {
        let mut client = Command::new(env::current_exe()?)
            .args(["join".as_ref(), listener.path().as_path().as_os_str()])
            .args(passwords.iter().filter(|password| !password.is_empty()))
            .spawn()?;
        let served = admit(listener.accept()?);
        client.wait()?;
        tell(served);
    }
    Ok(())
}

fn serve(listener: &Listener) -> Result<(), Box<dyn Error>> {
    loop {
        tell(admit(listener.accept()?));
    }
}

fn tell(admitted: Result<Option<String>, typed_pipe::Error>) {
    match admitted {
        Ok(Some(user)) => println!("server: {user} is logged in"),
        Ok(None) => println!("server: the account is locked"),
        // The error names the step in which this side was, and that of a client that left.
        Err(error) => println!("server: {error}"),
    }
}

/// The side of the server: the user, if there is one in the end.
fn admit(connection: Connection) -> Result<Option<String>, typed_pipe::Error> {
    connection.converse::<Dual<Login>, _>(|session| {
        let mut session = session.step_timeout(Duration::from_secs(10));
        let mut tries_left = 3;
        loop {
            let (Credentials { user, password }, next) = session.recv()?;
            tries_left -= 1;
            if password == "lovelace" {
                let done = next.choose(verdict::Welcome).send(&Token(4711))?.end()?;
                return Ok((Some(user), done));
            }
            if tries_left == 0 {
                return Ok((None, next.choose(verdict::Locked).end()?));
            }
            session = next.choose(verdict::Again).send(&Refusal { tries_left })?;
        }
    })
}

/// The side of the client.
fn join(path: &str, passwords: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut session: Session<Login> = Connection::connect(path)?.into_session()?;
    for password in passwords {
        let tried = Credentials { user: "ada".into(), password: (*password).into() };
        match session.send(&tried)?.offer()? {
            Verdict::Welcome(next) => {
                let (Token(token), next) = next.recv()?;
                next.end()?;
                println!("client: welcome, with token {token}");
                return Ok(());
            }
            Verdict::Again(next) => {
                let (refusal, next) = next.recv()?;
                println!("client: {password} is wrong, {} tries are left", refusal.tries_left);
                session = next;
            }
            Verdict::Locked(next) => {
                next.end()?;
                println!("client: locked out");
                return Ok(());
            }
        }
    }
    println!("client: I give up");
    Ok(()) // the session is dropped, and the server learns where
}
