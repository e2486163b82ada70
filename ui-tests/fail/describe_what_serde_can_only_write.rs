//! On a named pipe, a sender says what its messages look like: that of a type that serde can only write is not known.

use serde::Serialize;
use typed_pipe::TypedSender;

#[derive(Serialize)]
struct Job {
    id: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _jobs = TypedSender::<Job>::connect("/run/app/jobs")?;
    Ok(())
}
