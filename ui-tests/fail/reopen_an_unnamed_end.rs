//! An end that was made of a handle cannot be opened again.

use typed_pipe::{ReadEnd, Unnamed, state::Open};

fn reopen(end: Option<ReadEnd<Open, Unnamed>>) -> Result<(), typed_pipe::Error> {
    if let Some(end) = end {
        end.close().open()?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    reopen(None)?;
    Ok(())
}
