//! What borrows is sent as its owned type, with `send_as`.

use serde::{Deserialize, Serialize};
use typed_pipe::TypedSender;

#[derive(Serialize, Deserialize)]
struct Job<'a> {
    command: &'a str,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _jobs = TypedSender::<Job<'_>>::connect("/run/app/jobs")?;
    Ok(())
}
