//! A closure that leads a protocol to its end returns the proof of it.
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

fn client(connection: typed_pipe::Connection) -> Result<u64, Error> {
    connection.converse::<Receives<Token, Ends>, _>(|session| {
        let (Token(token), session) = session.recv()?;
        Ok((token, session))
    })
}

fn main() {
    let _ = (client, verdict::Again, |_: Session<Login>, _: Session<Dual<Login>>| ());
}
