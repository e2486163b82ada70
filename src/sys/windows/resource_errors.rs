//! Errors of a process or a system without room for another handle.

use std::io;

use windows_sys::Win32::Foundation::{
    ERROR_COMMITMENT_LIMIT, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY,
    ERROR_NOT_ENOUGH_QUOTA, ERROR_OUTOFMEMORY, ERROR_TOO_MANY_OPEN_FILES,
};

use super::system_code;
use crate::error::Obstacle;

/// Names that reason, if it is the one.
pub(super) fn told(error: io::Error) -> io::Error {
    let what = match system_code(&error) {
        Some(ERROR_TOO_MANY_OPEN_FILES) => "this process has as many handles as it may",
        Some(
            ERROR_COMMITMENT_LIMIT
            | ERROR_NO_SYSTEM_RESOURCES
            | ERROR_NOT_ENOUGH_MEMORY
            | ERROR_NOT_ENOUGH_QUOTA
            | ERROR_OUTOFMEMORY,
        ) => "the system has no room for it",
        _ => return error,
    };
    Obstacle::ResourceExhausted(what).into()
}

#[cfg(test)]
mod tests {
    use super::super::system_error;
    use super::*;

    #[test]
    fn a_shortage_is_told_from_other_errors() {
        for (code, says) in
            [(1450, "has no room for it"), (4, "as many handles as it may"), (5, "denied")]
        {
            let error = told(system_error(code));
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
