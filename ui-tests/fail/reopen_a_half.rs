//! A half of a connection that is closed cannot be opened again.

use typed_pipe::Connection;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (reader, _writer) = Connection::connect("/run/app/door")?.split();
    reader.close().open()?;
    Ok(())
}
