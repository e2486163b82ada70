//! A message that may have handles is not sent as one that may not.

use typed_pipe::{TypedConnection, WithHandles};

fn pass_on(
    server: &mut TypedConnection<WithHandles<String>, u32>,
    message: &WithHandles<String>,
) -> Result<(), typed_pipe::Error> {
    server.send(message)
}

fn main() {
    let _ = pass_on;
}
