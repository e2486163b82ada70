//! Only what serde can read is received.

use typed_pipe::TypedReceiver;

struct Job {
    id: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut jobs = TypedReceiver::<Job>::connect("/run/app/jobs")?;
    let job = jobs.recv()?;
    println!("{}", job.id);
    Ok(())
}
