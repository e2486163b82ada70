//! An end that is not open cannot be written to.

use typed_pipe::WriteEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut end = WriteEnd::at("/run/app/jobs")?;
    end.write(b"news")?;
    Ok(())
}
