//! A step takes the session: it cannot be taken again.
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
    drop(session.send(&Password("one".into()))?);
    drop(session.send(&Password("other".into()))?);
    Ok(())
}

fn main() {
    let _ = (client, verdict::Again, |_: Session<Dual<Login>>| ());
}
