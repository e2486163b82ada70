//! A `str` is received as a `String`.

use typed_pipe::TypedReceiver;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut lines = TypedReceiver::<str>::connect("/run/app/lines")?;
    lines.recv()?;
    Ok(())
}
