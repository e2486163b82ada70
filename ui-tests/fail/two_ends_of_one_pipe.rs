//! A pipe has one end in its process at a time.

use typed_pipe::Pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut pipe = Pipe::new("/run/app/jobs")?.mkfifo()?;
    let reader = pipe.open_reader()?;
    let writer = pipe.open_writer()?;
    drop((reader, writer));
    Ok(())
}
