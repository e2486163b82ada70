//! Handles that come with a message are not left behind.

use typed_pipe::{TypedConnection, WithHandles};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut server = TypedConnection::<u32, WithHandles<String>>::connect("/run/app/door")?;
    server.recv()?;
    Ok(())
}
