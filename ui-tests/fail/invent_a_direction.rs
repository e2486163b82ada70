//! Nobody outside of the crate can make a direction.

use typed_pipe::state::Direction;

struct Sideways;

impl Direction for Sideways {}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", std::any::type_name::<Sideways>());
    Ok(())
}
