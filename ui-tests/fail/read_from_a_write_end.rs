//! A writing end cannot be read from.

use typed_pipe::WriteEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut end = WriteEnd::at("/run/app/jobs")?.open()?;
    end.read(&mut [0; 8])?;
    Ok(())
}
