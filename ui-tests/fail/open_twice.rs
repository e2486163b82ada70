//! An end that is open cannot be opened again.

use typed_pipe::ReadEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = ReadEnd::at("/run/app/jobs")?.open()?;
    end.open()?;
    Ok(())
}
