//! A connection cannot be copied: two would tear each other's messages.

use typed_pipe::Connection;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connection = Connection::connect("/run/app/door")?;
    let twin = connection.clone();
    drop((connection, twin));
    Ok(())
}
