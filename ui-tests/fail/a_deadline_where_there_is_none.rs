//! A deadline needs something that can wait with one.

use typed_pipe::TypedReceiver;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = TypedReceiver::<u32, _>::new(std::io::Cursor::new(Vec::new()));
    numbers.recv_timeout(std::time::Duration::from_secs(1))?;
    Ok(())
}
