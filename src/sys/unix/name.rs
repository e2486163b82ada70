//! The rules of names, and the folder of bare names.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::process::geteuid;

use crate::error::NameError;

/// The longest path, its terminating NUL included.
const PATH_MAX: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 4096 } else { 1024 };

/// The longest last part of a path: 255 bytes, less those of the ending of the lock beside it.
const NAME_MAX: usize = 255 - super::lock::ENDING.len();

/// Checks a name and makes it the path of a file: a bare name lies in the folder of this user.
pub(crate) fn resolve(name: &Path) -> Result<PathBuf, NameError> {
    let bytes = name.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Err(NameError::Empty);
    }
    if bytes.contains(&0) {
        return Err(NameError::Nul);
    }
    let file_name = match name.file_name() {
        Some(file_name) if !bytes.ends_with(b"/") && !bytes.ends_with(b"/.") => file_name,
        _ => return Err(NameError::NoFileName),
    };
    if file_name.len() > NAME_MAX {
        return Err(NameError::TooLong { len: file_name.len(), limit: NAME_MAX });
    }
    let mut parts = name.components();
    let path = match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => user_folder().join(name),
        _ => name.to_owned(),
    };
    let len = path.as_os_str().len();
    if len >= PATH_MAX {
        return Err(NameError::TooLong { len, limit: PATH_MAX - 1 });
    }
    Ok(path)
}

/// The folder of this user's pipes. It is made by the first owner of a bare name.
pub(super) fn user_folder() -> PathBuf {
    match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(folder) if folder.is_absolute() => folder.join("typed-pipe"),
        _ => env::temp_dir().join(format!("typed-pipe-{}", geteuid().as_raw())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a43_names() {
        let long = "x".repeat(NAME_MAX + 1);
        let deep = "d/".repeat(PATH_MAX);
        for (name, want) in [
            ("", "the name is empty"),
            ("/", "no last part"),
            (".", "no last part"),
            ("..", "no last part"),
            ("/run/", "no last part"),
            ("/run/.", "no last part"),
            ("/run/..", "no last part"),
            ("a\0b", "NUL"),
            (&long, "a length of 251; this system allows 250"),
            (&format!("{deep}x"), "this system allows"),
        ] {
            let error = resolve(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(want), "{name:?}: {error}");
        }
        for path in ["/run/jobs", "./jobs", "../jobs", "a/b"] {
            assert_eq!(resolve(Path::new(path)).unwrap(), Path::new(path));
        }
        assert_eq!(resolve(Path::new("jobs")).unwrap(), user_folder().join("jobs"));
        assert!(resolve(Path::new(&long[1..])).is_ok());
    }
}
