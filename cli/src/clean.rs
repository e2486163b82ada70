//! `tpipe clean`

use serde_json::json;
use typed_pipe::PipePath;
use typed_pipe::tool::{self, Cleaned};

use crate::args::Clean;
use crate::failure::{FAILED, Failure, NOT_FREE};
use crate::screen::Screen;

pub(crate) fn run(how: &Clean, screen: &Screen) -> Result<u8, Failure> {
    let mut code = 0;
    for path in &how.paths {
        let path = PipePath::new(path)?;
        let name = path.as_path().display().to_string();
        let (done, words, failed) = match tool::clean(path.as_path()) {
            Ok(Cleaned::Removed) => ("removed", "what a dead owner left is removed".into(), 0),
            Ok(Cleaned::Nothing) => ("nothing", "no dead owner has left anything".into(), 0),
            Ok(Cleaned::Held(why)) => ("held", format!("it stays: {why}"), NOT_FREE),
            Ok(_) => ("unknown", "unknown".into(), FAILED),
            Err(error) => ("failed", error.to_string(), FAILED),
        };
        match screen.is_json() {
            true => screen.value(&json!({"path": name, "done": done, "words": words}))?,
            false => screen.line(&format!("{name}: {words}"))?,
        }
        // A failure weighs more than a name that is held.
        code = match (code, failed) {
            (FAILED, _) | (_, FAILED) => FAILED,
            (before, now) => now.max(before),
        };
    }
    Ok(code)
}
