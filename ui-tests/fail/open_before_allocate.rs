//! A pipe that is not allocated has no ends.

use typed_pipe::Pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipe = Pipe::new("/run/app/jobs")?;
    pipe.into_reader().open()?;
    Ok(())
}
