//! What is exchanged can be written and read by serde.
use serde::{Deserialize, Serialize};
use typed_pipe::session::{Dual, Ends, Offers, Receives, Sends, Session};
use typed_pipe::choice;

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

pub struct Bare;

fn server(_: Session<Receives<Bare, Ends>>) {}

fn main() {
    let _ = (server, verdict::Again, |_: Session<Login>, _: Session<Dual<Login>>| ());
}
