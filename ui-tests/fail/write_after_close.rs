//! After `close` the open end is no more.

use typed_pipe::WriteEnd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut end = WriteEnd::at("/run/app/jobs")?.open()?;
    end.close();
    end.write(b"news")?;
    Ok(())
}
