//! The other side follows the dual.
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

fn pair<P: typed_pipe::session::Protocol>(_: fn(Session<P>), _: fn(Session<Dual<P>>)) {}

fn client(_: Session<Login>) {}

fn server(_: Session<Receives<Password, Ends>>) {}

fn main() {
    pair::<Login>(client, server);
    let _: (_, fn() -> Result<(), Error>) = (verdict::Again, || Ok(()));
}
