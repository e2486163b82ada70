//! A loop goes through a choice: an alias cannot name itself.

use typed_pipe::session::{Receives, Sends};

type Pings = Sends<u8, Receives<u8, Pings>>;

fn main() {
    let _ = |_: Pings| ();
}
