//! An end that borrows its pipe cannot outlive it.

use typed_pipe::{Pipe, ReadEnd, state::{Allocated, Open}};

fn reader<'a>() -> Result<ReadEnd<Open, &'a mut Pipe<Allocated>>, typed_pipe::Error> {
    let mut pipe = Pipe::temporary()?;
    pipe.open_reader()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    reader()?;
    Ok(())
}
