//! A transition that may have failed must be looked at.

use typed_pipe::Pipe;

#[deny(unused_must_use)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipe = Pipe::new("/run/app/jobs")?;
    pipe.mkfifo();
    Ok(())
}
