//! An end gives its pipe back after it was closed.

use typed_pipe::Pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = Pipe::new("/run/app/jobs")?.mkfifo()?.into_reader().open()?;
    end.into_pipe().unlink()?;
    Ok(())
}
