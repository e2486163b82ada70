//! An end becomes a channel after it was opened.

use typed_pipe::{TypedSender, WriteEnd};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = WriteEnd::at("/run/app/jobs")?;
    TypedSender::<u32, _>::new(end);
    Ok(())
}
