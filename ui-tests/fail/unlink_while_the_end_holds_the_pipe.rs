//! A pipe that an end holds cannot be unlinked.

use typed_pipe::Pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipe = Pipe::new("/run/app/jobs")?.mkfifo()?;
    let end = pipe.into_reader().open()?;
    pipe.unlink()?;
    drop(end);
    Ok(())
}
