//! An end becomes a channel after it was opened.

use typed_pipe::ReadEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = ReadEnd::at("/run/app/jobs")?;
    end.into_receiver::<u32>();
    Ok(())
}
