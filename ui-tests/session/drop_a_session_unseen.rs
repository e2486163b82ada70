//! A session that is dropped before its end is noticed.
#![deny(unused_must_use)]

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

fn client(session: Session<Login>) -> Result<(), Error> {
    session.send(&Password("secret".into()))?;
    Ok(())
}

fn server(session: Session<Dual<Login>>) -> Result<(), Error> {
    let (_, session) = session.recv()?;
    session.choose(verdict::Again);
    Ok(())
}

fn main() {
    let _ = (client, server);
}
