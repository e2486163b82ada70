//! A pipe that is not allocated has no ends, borrowed ones neither.

use typed_pipe::Pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut pipe = Pipe::new("/run/app/jobs")?;
    pipe.writer().open()?;
    Ok(())
}
