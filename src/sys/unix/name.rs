//! The rules of names, and the folders of this crate: the private one of a user, and the one for temporary files.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{self, Component, Path, PathBuf};
use std::sync::Arc;

use rustix::process::geteuid;

use crate::error::NameError;

/// The longest path, its terminating NUL included.
const PATH_MAX: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 4096 } else { 1024 };

/// The longest last part of a path: 255 bytes, less those of the ending of the lock beside it.
const NAME_MAX: usize = 255 - super::lock::ENDING.len();

/// Checks a path and makes it absolute: the current folder may be another one later, and in another process.
pub(crate) fn resolve(name: &Path) -> Result<PathBuf, NameError> {
    let file_name = check(name)?;
    if file_name.len() > NAME_MAX {
        return Err(NameError::TooLong { len: file_name.len(), limit: NAME_MAX });
    }
    let path = if name.is_absolute() {
        name.to_owned()
    } else {
        path::absolute(name).map_err(|_| NameError::NoCurrentFolder)?
    };
    let len = path.as_os_str().len();
    if len >= PATH_MAX {
        return Err(NameError::TooLong { len, limit: PATH_MAX - 1 });
    }
    Ok(path)
}

/// Checks a name of one part and makes it a path in the private folder of this user.
pub(crate) fn private(name: &Path) -> Result<PathBuf, NameError> {
    check(name)?;
    let mut parts = name.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name.as_os_str() => {
            resolve(&user_folder()?.join(name))
        }
        _ => Err(NameError::NotOnePart),
    }
}

/// Returns the last part of a name that has one.
fn check(name: &Path) -> Result<&OsStr, NameError> {
    let bytes = name.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Err(NameError::Empty);
    }
    if bytes.contains(&0) {
        return Err(NameError::Nul);
    }
    match name.file_name() {
        Some(file_name) if !bytes.ends_with(b"/") && !bytes.ends_with(b"/.") => Ok(file_name),
        _ => Err(NameError::NoFileName),
    }
}

/// The private folder of this user. It is made by the first owner of a name in it.
pub(super) fn user_folder() -> Result<PathBuf, NameError> {
    match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(folder) if folder.is_absolute() => Ok(folder.join("typed-pipe")),
        _ => Ok(temporary_folder()?.join(format!("typed-pipe-{}", geteuid().as_raw()))),
    }
}

/// The folder in which temporary names are made, for errors.
pub(crate) fn temporary_place() -> Option<Arc<Path>> {
    Some(temporary_folder().ok()?.into())
}

/// The absolute path of the folder for temporary files. An empty variable counts as none, as for other programs.
pub(super) fn temporary_folder() -> Result<PathBuf, NameError> {
    if env::var_os("TMPDIR").is_some_and(|folder| folder.is_empty()) {
        return Ok(PathBuf::from("/tmp"));
    }
    path::absolute(env::temp_dir()).map_err(|_| NameError::NoCurrentFolder)
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
        let here = env::current_dir().unwrap();
        for (path, want) in [
            ("/run/jobs", PathBuf::from("/run/jobs")),
            ("/run/../jobs", PathBuf::from("/run/../jobs")),
            ("jobs", here.join("jobs")),
            ("./jobs", here.join("jobs")),
            ("../jobs", here.join("../jobs")),
            ("a/b", here.join("a/b")),
        ] {
            let path = resolve(Path::new(path)).unwrap();
            assert_eq!(path, want);
            assert_eq!(resolve(&path).unwrap(), path);
        }
        assert!(resolve(Path::new(&long[1..])).is_ok());
    }

    #[test]
    fn a43_private_names_have_one_part() {
        assert_eq!(private(Path::new("jobs")).unwrap(), user_folder().unwrap().join("jobs"));
        for (name, want) in [
            ("", "the name is empty"),
            ("..", "no last part"),
            ("a\0b", "NUL"),
            ("./jobs", "one part"),
            ("jobs/", "no last part"),
            ("a/b", "one part"),
            ("/run/jobs", "one part"),
            (&"x".repeat(NAME_MAX + 1), "a length of 251"),
        ] {
            let error = private(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(want), "{name:?}: {error}");
        }
    }
}
