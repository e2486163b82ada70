//! Nobody outside of the crate can make a state.

use typed_pipe::state::Closed;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let forged = Closed { _private: () };
    drop(forged);
    Ok(())
}
