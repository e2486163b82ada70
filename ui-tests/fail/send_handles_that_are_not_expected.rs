//! Handles go beside messages alone that are said to have them.

use typed_pipe::{Handles, TypedConnection};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut server = TypedConnection::<String, u32>::connect("/run/app/door")?;
    server.send_with_handles(&"look".into(), &mut Handles::new())?;
    Ok(())
}
