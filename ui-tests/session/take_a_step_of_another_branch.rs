//! In a branch, only its own steps can be taken.
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
        Verdict::Welcome(next) => next.send(&Token(7))?.end()?,
        Verdict::Again(_) => return Ok(()),
        Verdict::Locked(next) => next.end()?,
    };
    Ok(())
}

fn main() {
    let _ = (client, verdict::Again, |_: Session<Dual<Login>>| ());
}
