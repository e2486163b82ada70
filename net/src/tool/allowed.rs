//! Who is let in.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use typed_pipe_net::PublicKey;

/// The keys of the command line and of a file.
#[derive(Debug)]
pub(crate) struct Allowed {
    always: Vec<PublicKey>,
    file: Option<PathBuf>,
}

impl Allowed {
    pub(crate) fn new(always: Vec<PublicKey>, file: Option<PathBuf>) -> Self {
        Self { always, file }
    }

    /// Whether they can change.
    pub(crate) fn can_change(&self) -> bool {
        self.file.is_some()
    }

    /// As they are now. A file that is not whole names nobody.
    pub(crate) fn read(&self) -> io::Result<BTreeSet<PublicKey>> {
        let mut keys: BTreeSet<_> = self.always.iter().copied().collect();
        let Some(file) = &self.file else { return Ok(keys) };
        let at =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
        for line in fs::read_to_string(file).map_err(at)?.lines() {
            let key = line.split('#').next().unwrap_or_default().trim();
            if !key.is_empty() {
                keys.insert(key.parse().map_err(at)?);
            }
        }
        Ok(keys)
    }
}
