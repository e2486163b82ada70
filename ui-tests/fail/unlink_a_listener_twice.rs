//! A listener whose name is removed is no more.

use typed_pipe::Listener;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = Listener::bind("/run/app/door")?;
    listener.unlink()?;
    listener.accept()?;
    Ok(())
}
