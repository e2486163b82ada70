//! The half that is read from cannot be written to.

use typed_pipe::Connection;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut reader, _writer) = Connection::connect("/run/app/door")?.split();
    reader.write(b"news")?;
    Ok(())
}
