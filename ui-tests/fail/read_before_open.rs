//! An end that is not open cannot be read from.

use typed_pipe::ReadEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut end = ReadEnd::at("/run/app/jobs")?;
    end.read(&mut [0; 8])?;
    Ok(())
}
