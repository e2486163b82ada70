//! An end that is closed cannot be closed again.

use typed_pipe::ReadEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = ReadEnd::at("/run/app/jobs")?.open()?;
    let end = end.close();
    end.close();
    Ok(())
}
