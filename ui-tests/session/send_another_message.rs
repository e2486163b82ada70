//! A step takes its own message and no other.
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
    drop(session.send(&Token(7))?);
    Ok(())
}

fn main() {
    let _ = (client, verdict::Again, |_: Session<Dual<Login>>| ());
}
