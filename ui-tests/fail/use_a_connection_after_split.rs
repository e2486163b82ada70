//! A connection that is split is its two halves, and no third thing.

use typed_pipe::Connection;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut connection = Connection::connect("/run/app/door")?;
    let _halves = connection.split();
    connection.reader().read(&mut [0])?;
    Ok(())
}
