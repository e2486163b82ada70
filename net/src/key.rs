//! The keys of machines: a secret one in a file of its owner, and the public one by which the others know it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use iroh::SecretKey;

/// The most that is read of a file that should be a key.
const LIMIT: u64 = 1024;

/// The secret key of a machine, or of a program on it.
///
/// Who has it is that machine to all the others, so it stays in one file, which its owner alone can read. It is never
/// shown: not even by `Debug`.
///
/// ```
/// use typed_pipe_net::Key;
///
/// let key = Key::generate();
/// assert_eq!(key.public().to_string().len(), 64); // what the others are told
/// ```
#[derive(Clone)]
pub struct Key(SecretKey);

impl Key {
    /// Makes a key that is kept nowhere: for tests, and for programs that nobody needs to know again.
    pub fn generate() -> Self {
        Self(SecretKey::generate())
    }

    /// Reads the key in a file, which is made if there is none.
    ///
    /// It is made with the mode 0600, whole or not at all: of two programs that make it at once, both get the same key.
    /// A program that is killed while it makes one leaves nothing on Linux, where the file system has unnamed files; else
    /// it may leave a file beside it, `KEY.` with eight more digits, which is of no use.
    ///
    /// # Errors
    ///
    /// - [`PermissionDenied`](io::ErrorKind::PermissionDenied): others than its owner can read or write the file, or
    ///   this user cannot.
    /// - [`InvalidData`](io::ErrorKind::InvalidData): the file holds something else.
    /// - Any other is the system's own.
    ///
    /// # Platform-specific behavior
    ///
    /// On Windows the file has the permissions of its folder, and they are not looked at: put it into a folder of your
    /// own.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        for _ in 0..2 {
            match File::open(path) {
                Ok(file) => return read(file).map_err(|error| at(path, &error)),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(path, &error));
                }
                Err(_) => {}
            }
            let key = Self::generate();
            match key.write(path) {
                Ok(()) => return Ok(key),
                // Another program made it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(at(path, &error)),
            }
        }
        Err(at(path, &io::ErrorKind::NotFound.into()))
    }

    /// What the other machines know it by.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public())
    }

    pub(crate) fn secret(&self) -> SecretKey {
        self.0.clone()
    }

    /// Writes a new file.
    fn write(&self, path: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(made) = self.write_unnamed(path) {
            return made;
        }
        self.write_beside(path)
    }

    /// Without a second name, which a kill would leave. `None` where the system has no such files.
    #[cfg(target_os = "linux")]
    fn write_unnamed(&self, path: &Path) -> Option<io::Result<()>> {
        use std::os::fd::AsRawFd;

        use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
        let folder = match path.parent()? {
            folder if folder.as_os_str().is_empty() => Path::new("."),
            folder => folder,
        };
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = File::from(open(folder, flags, Mode::RUSR | Mode::WUSR).ok()?);
        let by_number = format!("/proc/self/fd/{}", file.as_raw_fd());
        let made = self
            .write_to(&file)
            .and_then(|()| Ok(linkat(CWD, &by_number, CWD, path, AtFlags::SYMLINK_FOLLOW)?));
        let is_told = |made: &io::Result<()>| match made {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
        };
        Some(made).filter(is_told)
    }

    /// By a second name.
    fn write_beside(&self, path: &Path) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{:08x}", rand_suffix()));
        let beside = PathBuf::from(beside);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = self.write_to(&options.open(&beside)?);
        // A link, and not a renaming, since it replaces nothing.
        let made = written.and_then(|()| fs::hard_link(&beside, path));
        fs::remove_file(&beside)?;
        made
    }

    fn write_to(&self, mut file: &File) -> io::Result<()> {
        writeln!(file, "{}", hex(&self.0.to_bytes()))?;
        file.sync_all()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.public()).finish()
    }
}

/// The public key of a machine: 64 hexadecimal digits.
///
/// ```
/// use typed_pipe_net::{Key, PublicKey};
///
/// let key = Key::generate().public();
/// let read: PublicKey = key.to_string().parse()?;
/// assert_eq!(read, key);
/// assert!("5f0c".parse::<PublicKey>().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub(crate) iroh::PublicKey);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput): it is no key.
impl FromStr for PublicKey {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let key = unhex(text).and_then(|bytes| iroh::PublicKey::from_bytes(&bytes).ok());
        key.map(Self).ok_or_else(|| {
            let why = format!("`{text}` is not the public key of a machine: 64 hexadecimal digits");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        })
    }
}

fn read(file: File) -> io::Result<Key> {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o777;
        if mode & 0o077 != 0 {
            let why = format!(
                "others can use this key (mode {mode:03o}): `chmod 600` it, and if they may have read it, make a new one"
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
    }
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text)?;
    let bytes = unhex(text.trim_end()).ok_or_else(|| {
        let why = "the file holds something else than a key, 64 hexadecimal digits";
        io::Error::new(io::ErrorKind::InvalidData, why)
    })?;
    Ok(Key(SecretKey::from_bytes(&bytes)))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the key at {}: {error}", path.display()))
}

/// Tells the files of programs apart that make the same key at once.
fn rand_suffix() -> u32 {
    let bytes = SecretKey::generate().to_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
