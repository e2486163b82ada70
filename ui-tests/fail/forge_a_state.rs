//! Nobody outside of the crate can make a state.

use typed_pipe::state::Deallocated;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let forged = Deallocated { _private: () };
    drop(forged);
    Ok(())
}
