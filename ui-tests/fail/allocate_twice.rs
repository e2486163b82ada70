//! A pipe that is allocated cannot be allocated again.

use typed_pipe::Pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipe = Pipe::new("/run/app/jobs")?.mkfifo()?;
    pipe.mkfifo()?;
    Ok(())
}
