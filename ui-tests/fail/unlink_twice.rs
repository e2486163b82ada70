//! A pipe that is unlinked cannot be unlinked again.

use typed_pipe::Pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipe = Pipe::new("/run/app/jobs")?.mkfifo()?;
    let pipe = pipe.unlink()?;
    pipe.unlink()?;
    Ok(())
}
