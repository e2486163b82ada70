//! An end that is not open cannot be closed.

use typed_pipe::ReadEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = ReadEnd::at("/run/app/jobs")?;
    end.close();
    Ok(())
}
