//! The files of keys.

use std::fs;
use std::io;
use std::path::PathBuf;

use typed_pipe_net::Key;

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("typed-pipe-net-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_key_is_made_once_for_its_owner_alone() {
    let folder = Folder::new("made");
    let path = folder.0.join("key");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || Key::open(path).unwrap().public())
        })
        .collect();
    let keys: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left beside it");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("read");
    let path = folder.0.join("key");
    Key::open(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Key::open(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn a_file_that_holds_something_else_is_no_key() {
    let folder = Folder::new("other");
    let path = folder.0.join("key");
    drop(Key::open(&path).unwrap());
    for text in ["", "hello", &"0".repeat(63), &"0".repeat(66)] {
        fs::write(&path, text).unwrap();
        assert_eq!(Key::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn a_secret_key_is_not_shown() {
    let folder = Folder::new("shown");
    let path = folder.0.join("key");
    let key = Key::open(&path).unwrap();
    let secret = fs::read_to_string(&path).unwrap();
    assert!(!format!("{key:?}").contains(secret.trim()));
}
