//! After `finish` there is nothing left to send with.

use typed_pipe::TypedConnection;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = TypedConnection::<u32, u32>::connect("/run/app/door")?;
    let mut answers = server.finish()?;
    answers.send(&7)?;
    Ok(())
}
