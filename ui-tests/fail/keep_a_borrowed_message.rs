//! A message that borrows from the buffer cannot outlive the next receive.

use typed_pipe::TypedReceiver;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut lines = TypedReceiver::<String>::connect("/run/app/lines")?;
    let first = lines.recv_ref()?;
    let second = lines.recv_ref()?;
    println!("{first} {second}");
    Ok(())
}
