//! A pipe that is not allocated cannot be unlinked.

use typed_pipe::Pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipe = Pipe::new("/run/app/jobs")?;
    pipe.unlink()?;
    Ok(())
}
