//! A client cannot allocate.

use typed_pipe::{PipePath, WriteEnd};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let end = WriteEnd::from(PipePath::new("/run/app/jobs")?);
    end.mkfifo()?;
    Ok(())
}
