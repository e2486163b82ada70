//! Any bytes as a name: an error, or a path that is one to the end.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use typed_pipe::{ErrorKind, PipePath};

fuzz_target!(|data: &[u8]| {
    let name = Path::new(OsStr::from_bytes(data));
    match PipePath::new(name) {
        Ok(path) => {
            let bytes = path.as_path().as_os_str().as_bytes();
            assert!(!data.is_empty() && !bytes.contains(&0) && bytes.len() < 4096);
            assert!(path.as_path().ends_with(name.file_name().expect("a last part")));
            // The lock beside it needs a name too.
            assert!(path.as_path().file_name().expect("a last part").len() <= 250);
            assert_eq!(PipePath::new(path.as_path()).expect("the same path"), path);
            // A relative path begins at the current folder, and any other stays as it is.
            assert!(path.as_path().is_absolute());
            assert!(path.as_path() == name || name.is_relative());
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidName);
            assert!(!error.to_string().is_empty());
        }
    }
});
