//! A slice is described by its elements.

use serde::Serialize;
use typed_pipe::TypedSender;

#[derive(Serialize)]
struct Job {
    id: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _jobs = TypedSender::<[Job]>::connect("/run/app/jobs")?;
    Ok(())
}
