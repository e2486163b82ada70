//! Only what is written to can be finished.

use typed_pipe::Connection;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (reader, _writer) = Connection::connect("/run/app/door")?.split();
    reader.finish()?;
    Ok(())
}
