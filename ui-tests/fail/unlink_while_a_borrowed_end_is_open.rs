//! A pipe cannot be unlinked while an end that borrows it is open.

use typed_pipe::Pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut pipe = Pipe::new("/run/app/jobs")?.mkfifo()?;
    let mut end = pipe.open_reader()?;
    pipe.unlink()?;
    end.read(&mut [0; 8])?;
    Ok(())
}
