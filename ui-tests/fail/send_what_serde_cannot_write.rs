//! Only what serde can write is sent.

use typed_pipe::TypedSender;

struct Job {
    id: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut jobs = TypedSender::<Job>::connect("/run/app/jobs")?;
    jobs.send(&Job { id: 1 })?;
    Ok(())
}
