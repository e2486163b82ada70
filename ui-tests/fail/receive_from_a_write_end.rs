//! What is written to cannot be received from.

use typed_pipe::WriteEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = WriteEnd::at("/run/app/jobs")?.open()?;
    end.into_receiver::<u32>();
    Ok(())
}
