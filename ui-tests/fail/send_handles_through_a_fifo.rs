//! A one-way pipe carries no handles.

use typed_pipe::{Handles, TypedSender, WithHandles};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sender = TypedSender::<WithHandles<String>>::connect("/run/app/jobs")?;
    sender.send_with_handles(&"look".into(), &mut Handles::new())?;
    Ok(())
}
