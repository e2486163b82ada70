//! An end cannot be copied: two would read each other's bytes.

use typed_pipe::ReadEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = ReadEnd::at("/run/app/jobs")?.open()?;
    let twin = end.clone();
    drop((end, twin));
    Ok(())
}
