//! Both directions of a connection carry what serde can.

use typed_pipe::TypedConnection;

struct Plain;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    TypedConnection::<Plain, Plain>::connect("/run/app/door")?;
    Ok(())
}
