//! What is read from cannot be sent to.

use typed_pipe::ReadEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = ReadEnd::at("/run/app/jobs")?.open()?;
    end.into_sender::<u32>();
    Ok(())
}
