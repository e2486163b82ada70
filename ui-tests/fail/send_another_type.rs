//! A channel has one type of messages.

use typed_pipe::TypedSender;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = TypedSender::<u32>::connect("/run/app/numbers")?;
    numbers.send(&"one")?;
    Ok(())
}
