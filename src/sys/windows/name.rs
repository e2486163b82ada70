//! The rules of names.

use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::security::this_user;
use crate::error::NameError;
use crate::sys::random_name;

/// The prefix of all pipes of this machine.
const PREFIX: &str = r"\\.\pipe\";

/// The longest name, its prefix included.
const NAME_MAX: usize = 256;

const SEPARATOR: u16 = 0x5c;
const SEPARATORS: [u16; 2] = [SEPARATOR, 0x2f];
const DOT: u16 = 0x2e;
const SPACE: u16 = 0x20;

/// Checks a name and puts the prefix before it where it is missing.
pub(crate) fn resolve(name: &Path) -> Result<PathBuf, NameError> {
    let mut name: Vec<u16> = name.as_os_str().encode_wide().collect();
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.contains(&0) {
        return Err(NameError::Nul);
    }
    for unit in &mut name {
        if *unit == u16::from(b'/') {
            *unit = SEPARATOR;
        }
    }
    let name = match without_prefix(&name) {
        Some(rest) => rest,
        None if name.starts_with(&[SEPARATOR, SEPARATOR]) => return Err(NameError::Remote),
        None => name.strip_prefix(&[SEPARATOR]).unwrap_or(&name),
    };
    let parts = name.split(|unit| *unit == SEPARATOR);
    if parts.clone().next_back().is_none_or(is_nothing) {
        return Err(NameError::NoFileName);
    }
    let mut path: Vec<u16> = PREFIX.encode_utf16().collect();
    // Parts without a meaning are left out; the system would resolve the others, out of the namespace of pipes.
    for part in parts.filter(|part| !matches!(part, [] | [DOT])) {
        if is_nothing(part) {
            return Err(NameError::Parent);
        }
        if path.len() > PREFIX.len() {
            path.push(SEPARATOR);
        }
        path.extend_from_slice(part);
    }
    if path.len() > NAME_MAX {
        return Err(NameError::TooLong { len: path.len(), limit: NAME_MAX });
    }
    Ok(OsString::from_wide(&path).into())
}

/// Checks a name of one part and puts the place of this user's private names before it.
pub(crate) fn private(name: &Path) -> Result<PathBuf, NameError> {
    resolve(name)?;
    if name.as_os_str().encode_wide().any(|unit| SEPARATORS.contains(&unit)) {
        return Err(NameError::NotOnePart);
    }
    let user = this_user().map_err(|_| NameError::NoUser)?;
    resolve(&Path::new("typed-pipe").join(user).join(name))
}

/// Names lie in no folder.
pub(crate) fn temporary_folder() -> Option<Arc<Path>> {
    None
}

/// A name that cannot be guessed.
pub(super) fn temporary() -> io::Result<PathBuf> {
    Ok(PathBuf::from(format!("{PREFIX}typed-pipe-{}", random_name()?)))
}

/// The rest after the prefix, which may be in any case.
fn without_prefix(name: &[u16]) -> Option<&[u16]> {
    let (start, rest) = name.split_at_checked(PREFIX.len())?;
    let start = String::from_utf16(start).ok()?;
    start.eq_ignore_ascii_case(PREFIX).then_some(rest)
}

/// Whether a part of a name is empty once the system has stripped it of dots and spaces.
fn is_nothing(part: &[u16]) -> bool {
    part.iter().all(|unit| matches!(*unit, DOT | SPACE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c9_names() {
        let long = "x".repeat(NAME_MAX - PREFIX.len() + 1);
        for (name, want) in [
            ("", "the name is empty"),
            ("a\0b", "NUL"),
            ("/", "no last part"),
            ("\\", "no last part"),
            (".", "no last part"),
            ("..", "no last part"),
            ("...", "no last part"),
            (" ", "no last part"),
            ("/run/", "no last part"),
            ("run\\", "no last part"),
            (r"\\.\pipe\", "no last part"),
            (r"\\.\pipe\..", "no last part"),
            (r"\\.\pipe\..\PhysicalDrive0", "a part"),
            (r"a\..\b", "a part"),
            ("../jobs", "a part"),
            (r"\\.\COM1", "not one of this machine's pipes"),
            (r"\\.\pipe", "not one of this machine's pipes"),
            (r"\\server\pipe\a", "not one of this machine's pipes"),
            ("//server/pipe/a", "not one of this machine's pipes"),
            (r"\\?\pipe\a", "not one of this machine's pipes"),
            (&long, "257"),
        ] {
            let error = resolve(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(want), "{name:?}: {error}");
        }
        for (name, want) in [
            ("jobs", r"\\.\pipe\jobs"),
            ("/run/app/jobs", r"\\.\pipe\run\app\jobs"),
            (r"C:\tmp\jobs", r"\\.\pipe\C:\tmp\jobs"),
            (r"\\.\pipe\jobs", r"\\.\pipe\jobs"),
            (r"\\.\PIPE\jobs", r"\\.\pipe\jobs"),
            ("//./pipe/LOCAL/jobs", r"\\.\pipe\LOCAL\jobs"),
            ("./jobs", r"\\.\pipe\jobs"),
            ("run//./jobs", r"\\.\pipe\run\jobs"),
            ("größe", r"\\.\pipe\größe"),
        ] {
            let path = resolve(Path::new(name)).unwrap();
            assert_eq!(path, Path::new(want));
            assert_eq!(resolve(&path).unwrap(), path);
        }
        assert!(resolve(Path::new(&long[1..])).is_ok());
    }

    #[test]
    fn c9_private_names_have_one_part() {
        let path = private(Path::new("jobs")).unwrap();
        let want = format!(r"{PREFIX}typed-pipe\{}\jobs", this_user().unwrap());
        assert_eq!(path, Path::new(&want));
        assert_eq!(resolve(&path).unwrap(), path);
        for (name, want) in [
            ("", "the name is empty"),
            ("..", "no last part"),
            ("a\0b", "NUL"),
            ("./jobs", "one part"),
            ("a/b", "one part"),
            (r"a\b", "one part"),
            (r"\jobs", "one part"),
            (r"\\.\pipe\jobs", "one part"),
        ] {
            let error = private(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(want), "{name:?}: {error}");
        }
    }
}
