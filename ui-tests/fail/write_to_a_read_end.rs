//! A reading end cannot be written to.

use typed_pipe::ReadEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut end = ReadEnd::at("/run/app/jobs")?.open()?;
    end.write(b"news")?;
    Ok(())
}
