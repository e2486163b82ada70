//! After `unlink` the allocated pipe is no more.

use typed_pipe::Pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipe = Pipe::new("/run/app/jobs")?.mkfifo()?;
    pipe.unlink()?;
    pipe.into_reader().open()?;
    Ok(())
}
