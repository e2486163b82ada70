//! A connection that has finished is only read from.

use typed_pipe::Connection;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut connection = Connection::connect("/run/app/door")?;
    let _answers = connection.finish()?;
    connection.writer().write(b"one more thing")?;
    Ok(())
}
