//! `send_as` takes what serde can write.

use typed_pipe::TypedSender;

struct Job {
    id: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut jobs = TypedSender::<(u64,)>::connect("/run/app/jobs")?;
    jobs.send_as(&Job { id: 1 })?;
    Ok(())
}
