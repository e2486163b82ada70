//! A branch is chosen of the choice that stands there.
use serde::{Deserialize, Serialize};
use typed_pipe::session::{Dual, Ends, Offers, Receives, Sends, Session};
use typed_pipe::{Error, choice};

#[derive(Serialize, Deserialize)]
pub struct Password(String);

#[derive(Serialize, Deserialize)]
pub struct Token(u64);

type Login = Sends<Password, Offers<Verdict>>;

choice! {
    pub enum Verdict in verdict {
        Welcome => Receives<Token, Ends>,
        Again => Login,
        Locked => Ends,
    }
}

choice! {
    pub enum Other in other {
        Stay => Ends,
    }
}

fn server(session: Session<Dual<Login>>) -> Result<(), Error> {
    let (_, session) = session.recv()?;
    drop(session.choose(other::Stay));
    Ok(())
}

fn main() {
    let _ = (server, verdict::Again, |_: Session<Login>| ());
}
