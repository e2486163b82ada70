//! A connection that sends `Anything` sends by `send_as`, which compares each value.

use typed_pipe::{Anything, TypedConnection};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut door = TypedConnection::<Anything, ()>::connect("/run/app/door")?;
    door.send("open")?;
    Ok(())
}
