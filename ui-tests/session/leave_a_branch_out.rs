//! Whoever offers handles every branch.
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
    match session.send(&Password("secret".into()))?.offer()? {
        Verdict::Welcome(next) => drop(next.recv()?),
        Verdict::Locked(next) => drop(next.end()?),
    }
    Ok(())
}

fn main() {
    let _ = (client, verdict::Again, |_: Session<Dual<Login>>| ());
}
