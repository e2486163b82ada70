//! A client cannot unlink.

use typed_pipe::WriteEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = WriteEnd::at("/run/app/jobs")?;
    end.into_pipe().unlink()?;
    Ok(())
}
