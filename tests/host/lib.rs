//! A library in a program whose `main` is not Rust's.

use typed_pipe::{Pipe, WriteEnd};

/// Writes to a pipe that nobody reads any more. 0 if the write told so.
#[unsafe(no_mangle)]
pub extern "C" fn write_to_nobody() -> i32 {
    write_to_nobody_after(None)
}

/// The same, where this is called when the pipe is open.
#[unsafe(no_mangle)]
pub extern "C" fn write_to_nobody_after(opened: Option<extern "C" fn()>) -> i32 {
    let told = || -> Result<bool, typed_pipe::Error> {
        let pipe = Pipe::temporary()?;
        let path = pipe.path().clone();
        let reader = pipe.into_reader().open()?;
        let mut writer = WriteEnd::at(path)?.open()?;
        writer.write(b"heard")?;
        if let Some(opened) = opened {
            opened();
        }
        drop(reader);
        let error = writer.write(b"unheard").unwrap_err();
        let typed = writer.into_sender::<u32>().send(&1).unwrap_err();
        Ok(error.is_disconnected() && typed.is_disconnected())
    };
    if told().unwrap_or(false) { 0 } else { 1 }
}
