//! Whom this crate trusts: every decision about a folder, a name, a lock file or a peer, in one place.
//!
//! "Own" is of the effective user of this process. "Trusted" is own, or of root, which can do anything anyway. The
//! permission bits are those that the system reports; access control lists are not looked at, and neither are the folders
//! above.
//!
//! | what | accepted | refused as |
//! |---|---|---|
//! | the [folder] in which an owner makes a name, the one of temporary names included | of a trusted user, and others may write to it with the sticky bit alone. A group may write: the program that made the folder chose its members | [`UnsafeFolder`](Obstacle::UnsafeFolder), unless any folder is trusted |
//! | the folder [above the private one](above_private) | the same | [`NoPrivateFolder`](Obstacle::NoPrivateFolder), before anything is made there |
//! | the [private folder](private_folder) | a real folder of this user, without any right for others | [`NoPrivateFolder`](Obstacle::NoPrivateFolder) |
//! | a temporary folder that its owner [left](private_folder) | the same, and no process holds the lock in it | left alone |
//! | a [lock file](lock) | a regular file of this user, with one name, to which no other user may write | [`NotALock`](Obstacle::NotALock), [`OtherOwner`](Obstacle::OtherOwner) |
//! | the FIFO that its owner opens | of a [trusted user](user), and by its identity the one that was made | by its identity |
//! | the file under a name that an owner [takes](takeable) | a FIFO or a socket of this user, with one name; never a link | [`OtherOwner`](Obstacle::OtherOwner), [`OtherNames`](Obstacle::OtherNames) |
//! | the file under the spare name that a dead owner [left](own) | a FIFO or a socket of this user | left alone |
//! | the FIFO that a client opens | of a [trusted user](user); with [one name](only_name), or in a folder in which only trusted users make names | [`NotTrusted`](Obstacle::NotTrusted), [`OtherNames`](Obstacle::OtherNames), unless any owner is trusted |
//! | a [link] that a client's path names, at its end | made by a trusted user, in a folder in which no other user may replace it | [`UntrustedLink`](Obstacle::UntrustedLink), unless any owner is trusted |
//! | the listener to which a client connects, by its [process](user) | of a trusted user | [`NotTrusted`](Obstacle::NotTrusted), unless any owner is trusted |
//! | the [full listener](busy) at which a client waits | with a name of a trusted user, or in a folder in which only trusted users make names | [`NotTrusted`](Obstacle::NotTrusted), unless any owner is trusted |
//! | a client of a listener, and a process that opens a pipe | whom the mode and the group of the name let in, both set before the name can be found; then the rule of the listener, which is told the user | by the system; by closing |
//!
//! What is looked at is what is used: a folder and a file are open, or held by their identity, when they are looked at, and
//! are not looked up again. Where that cannot be, as with a name whose mode is set, only trusted users can change the
//! name meanwhile.

use std::path::Path;

use rustix::fs::{FileType, Mode, Stat};
use rustix::process::{Uid, geteuid};

use super::file::in_words;
use crate::error::{ErrorKind, Obstacle};

/// Refuses a folder in which other users could replace a name.
pub(super) fn folder(path: &Path, folder: &Stat) -> Result<(), Obstacle> {
    match who_replaces(folder) {
        None => Ok(()),
        Some(who) => Err(Obstacle::UnsafeFolder { folder: path.to_owned(), who }),
    }
}

/// Refuses to make the private folder of this user in the folder of another one.
pub(super) fn above_private(path: &Path, folder: &Stat) -> Result<(), Obstacle> {
    match who_replaces(folder) {
        None => Ok(()),
        Some(who) => Err(Obstacle::NoPrivateFolder {
            above: path.to_owned(),
            why: format!("is a folder in which {who} may replace it"),
            kind: ErrorKind::NotTrusted,
        }),
    }
}

/// Refuses a private folder that is not private.
pub(super) fn private_folder(above: &Path, folder: &Stat) -> Result<(), Obstacle> {
    let why = if !FileType::from_raw_mode(folder.st_mode).is_dir() {
        "has something else of its name".into()
    } else if folder.st_uid != geteuid().as_raw() {
        format!("has one of user {} already", folder.st_uid)
    } else if may(folder, Mode::RWXG | Mode::RWXO) {
        "has one that other users may enter; set its mode to 0700".into()
    } else {
        return Ok(());
    };
    let kind = ErrorKind::NotTrusted;
    Err(Obstacle::NoPrivateFolder { above: above.to_owned(), why, kind })
}

/// Refuses a lock file that no owner of this user made.
pub(super) fn lock(file: &Stat) -> Result<(), Obstacle> {
    match FileType::from_raw_mode(file.st_mode) {
        FileType::RegularFile => own(file)?,
        other => return Err(Obstacle::NotALock(in_words(other))),
    }
    if has_other_names(file) {
        return Err(Obstacle::NotALock("a file with another name too, by a hard link"));
    }
    if may(file, Mode::WGRP | Mode::WOTH) {
        return Err(Obstacle::NotALock("a file to which other users may write"));
    }
    Ok(())
}

/// Refuses a file under a name that its owner would share with others.
pub(super) fn takeable(file: &Stat) -> Result<(), Obstacle> {
    own(file)?;
    if has_other_names(file) {
        return Err(Obstacle::OtherNames);
    }
    Ok(())
}

/// Refuses a file of any other user.
pub(super) fn own(file: &Stat) -> Result<(), Obstacle> {
    match file.st_uid {
        uid if uid == geteuid().as_raw() => Ok(()),
        uid => Err(Obstacle::OtherOwner { owner: uid.to_string() }),
    }
}

/// Refuses a FIFO of a trusted user to which another user may have given this name.
pub(super) fn only_name<E: From<Obstacle>>(
    fifo: &Stat,
    folder: impl FnOnce() -> Result<Stat, E>,
) -> Result<(), E> {
    if has_other_names(fifo) && adds_names(&folder()?) {
        return Err(Obstacle::OtherNames.into());
    }
    Ok(())
}

/// Refuses to wait at the full listener of another user. Where only trusted users make names, one of them has given it to
/// that user, and who listens shows once it is connected.
pub(super) fn busy(socket: &Stat, folder: &Stat) -> Result<(), Obstacle> {
    if adds_names(folder) { user(socket.st_uid) } else { Ok(()) }
}

/// Refuses a link that another user may have made.
pub(super) fn link(folder: &Stat, link: &Stat) -> Result<(), Obstacle> {
    let who = match who_replaces(folder) {
        None if is_trusted(link.st_uid) => return Ok(()),
        None => format!("user {}", link.st_uid),
        Some(who) => who,
    };
    Err(Obstacle::UntrustedLink { who })
}

/// Refuses any other user than this one and root.
pub(super) fn user(uid: u32) -> Result<(), Obstacle> {
    if is_trusted(uid) {
        return Ok(());
    }
    Err(Obstacle::NotTrusted { owner: uid.to_string() })
}

fn is_trusted(uid: u32) -> bool {
    uid == geteuid().as_raw() || uid == Uid::ROOT.as_raw()
}

/// Which other users may replace a name in a folder, in words.
fn who_replaces(folder: &Stat) -> Option<String> {
    let sticky = may(folder, Mode::SVTX);
    if may(folder, Mode::WOTH) && !sticky {
        return Some("any user".into());
    }
    let trusted = is_trusted(folder.st_uid) || (sticky && is_unmapped(folder.st_uid));
    (!trusted).then(|| format!("user {}", folder.st_uid))
}

/// Whether a user that is not trusted may make names in a folder, beside those of others.
fn adds_names(folder: &Stat) -> bool {
    may(folder, Mode::WOTH) || !is_trusted(folder.st_uid)
}

/// Whether a file has more than this name. One that is being removed has none.
fn has_other_names(file: &Stat) -> bool {
    file.st_nlink > 1
}

/// Whether any of these permission bits is set.
fn may(file: &Stat, bits: Mode) -> bool {
    Mode::from_raw_mode(file.st_mode).intersects(bits)
}

/// Whether an ID stands for the users that have none in this user name space: root of the machine is one of them, to whom
/// the folder for temporary files belongs.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_unmapped(uid: u32) -> bool {
    /// The number of IDs in a name space with all of them.
    const ALL: u64 = 0xFFFF_FFFF;
    let map = || std::fs::read_to_string("/proc/self/uid_map").ok();
    let lengths = |map: String| -> u64 {
        let lengths = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse().ok());
        lengths.fold(0, u64::saturating_add)
    };
    uid == 65534 && map().is_some_and(|map| lengths(map) < ALL)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_unmapped(_: u32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use rustix::fs::stat;

    use super::*;

    const FOLDER: FileType = FileType::Directory;
    const STRANGER: u32 = 4711;

    /// A file of this kind, user and mode, with one name.
    fn file(kind: FileType, uid: u32, mode: u32) -> Stat {
        let mut file = stat("/").unwrap();
        #[allow(clippy::useless_conversion, reason = "the type of a mode differs by system")]
        let mode = Mode::from_raw_mode(mode.try_into().unwrap());
        file.st_mode = kind.as_raw_mode() | mode.as_raw_mode();
        file.st_uid = uid;
        file.st_nlink = 1;
        file
    }

    fn linked(mut file: Stat) -> Stat {
        file.st_nlink = 2;
        file
    }

    fn me() -> u32 {
        geteuid().as_raw()
    }

    fn kind<T>(decided: Result<T, Obstacle>) -> Option<ErrorKind> {
        let error: std::io::Error = decided.err()?.into();
        Some(crate::error::Error::new(crate::error::Operation::Allocate, error).kind())
    }

    #[test]
    fn a36_in_which_folders_a_name_is_made() {
        let path = Path::new("/somewhere");
        for (uid, mode, refused) in [
            (me(), 0o700, false),
            (me(), 0o755, false),
            (0, 0o755, false),
            (me(), 0o775, false), // as with a umask of 002, where each user has a group
            (me(), 0o2770, false),
            (0, 0o1777, false), // as the folder for temporary files
            (me(), 0o777, true),
            (0, 0o777, true),
            (me(), 0o702, true),
            (STRANGER, 0o755, true),
            (STRANGER, 0o700, true),
            (STRANGER, 0o1777, true), // the owner of a folder may replace what is in it
        ] {
            let there = file(FOLDER, uid, mode);
            let expected = refused.then_some(ErrorKind::NotTrusted);
            assert_eq!(kind(folder(path, &there)), expected, "{uid} {mode:o}");
            assert_eq!(kind(above_private(path, &there)), expected, "{uid} {mode:o}");
        }
    }

    #[test]
    fn a36_which_private_folder_is_private() {
        for (type_, uid, mode, refused) in [
            (FOLDER, me(), 0o700, false),
            (FOLDER, me(), 0o500, false),
            (FOLDER, me(), 0o710, true),
            (FOLDER, me(), 0o701, true),
            (FOLDER, STRANGER, 0o700, true),
            (FileType::Symlink, me(), 0o700, true),
            (FileType::RegularFile, me(), 0o700, true),
        ] {
            let expected = refused.then_some(ErrorKind::NotTrusted);
            let decided = private_folder(Path::new("/run"), &file(type_, uid, mode));
            assert_eq!(kind(decided), expected, "{type_:?} {uid} {mode:o}");
        }
    }

    #[test]
    fn which_lock_file_is_one() {
        use ErrorKind::{AlreadyExists, NotTrusted};
        let regular = |uid, mode| file(FileType::RegularFile, uid, mode);
        for (there, expected) in [
            (regular(me(), 0o600), None),
            (regular(me(), 0o644), None),
            (regular(me(), 0o000), None),
            (regular(me(), 0o620), Some(AlreadyExists)),
            (regular(me(), 0o602), Some(AlreadyExists)),
            (linked(regular(me(), 0o600)), Some(AlreadyExists)),
            (regular(STRANGER, 0o600), Some(NotTrusted)),
            (file(FileType::Symlink, me(), 0o777), Some(AlreadyExists)),
            (file(FileType::Fifo, me(), 0o600), Some(AlreadyExists)),
            (file(FOLDER, me(), 0o700), Some(AlreadyExists)),
        ] {
            assert_eq!(kind(lock(&there)), expected, "{there:?}");
        }
        let mut removed = regular(me(), 0o600);
        removed.st_nlink = 0; // by its owner, in this moment
        assert_eq!(kind(lock(&removed)), None);
    }

    #[test]
    fn which_file_an_owner_takes() {
        let fifo = |uid| file(FileType::Fifo, uid, 0o600);
        assert_eq!(kind(takeable(&fifo(me()))), None);
        assert_eq!(kind(takeable(&fifo(STRANGER))), Some(ErrorKind::NotTrusted));
        assert_eq!(kind(takeable(&linked(fifo(me())))), Some(ErrorKind::NotTrusted));
        assert_eq!(kind(own(&linked(fifo(me())))), None, "a spare file has another name");
        assert_eq!(kind(own(&fifo(STRANGER))), Some(ErrorKind::NotTrusted));
    }

    #[test]
    fn a33_which_pipe_a_client_opens() {
        let pipe = |uid| file(FileType::Fifo, uid, 0o666);
        let (private, shared) = (file(FOLDER, me(), 0o755), file(FOLDER, 0, 0o1777));
        let theirs = file(FOLDER, STRANGER, 0o755);
        for (there, folder, expected) in [
            (pipe(me()), private, None),
            (pipe(0), shared, None),
            (pipe(0), theirs, None), // it has no other name, and root made it
            (pipe(STRANGER), private, Some(ErrorKind::NotTrusted)),
            (linked(pipe(me())), private, None),
            (linked(pipe(0)), shared, Some(ErrorKind::NotTrusted)),
            (linked(pipe(me())), theirs, Some(ErrorKind::NotTrusted)),
        ] {
            let decided = user(there.st_uid).and_then(|()| only_name(&there, || Ok(folder)));
            assert_eq!(kind(decided), expected, "{there:?}");
        }
    }

    #[test]
    fn a33_which_link_a_client_follows() {
        let link_of = |uid| file(FileType::Symlink, uid, 0o777);
        for (folder, there, refused) in [
            (file(FOLDER, me(), 0o755), link_of(me()), false),
            (file(FOLDER, 0, 0o755), link_of(0), false), // as `/dev/stdin`
            (file(FOLDER, me(), 0o500), link_of(me()), false), // as `/proc/self/fd/0`
            (file(FOLDER, 0, 0o1777), link_of(me()), false),
            (file(FOLDER, 0, 0o1777), link_of(STRANGER), true),
            (file(FOLDER, 0, 0o777), link_of(me()), true),
            (file(FOLDER, STRANGER, 0o755), link_of(me()), true),
            (file(FOLDER, me(), 0o755), link_of(STRANGER), true),
        ] {
            let expected = refused.then_some(ErrorKind::NotTrusted);
            assert_eq!(kind(link(&folder, &there)), expected, "{there:?}");
        }
    }

    #[test]
    fn b5_at_which_full_listener_a_client_waits() {
        let socket = |uid| file(FileType::Socket, uid, 0o666);
        let (private, shared) = (file(FOLDER, 0, 0o755), file(FOLDER, 0, 0o1777));
        assert_eq!(kind(busy(&socket(me()), &shared)), None);
        assert_eq!(kind(busy(&socket(0), &shared)), None);
        assert_eq!(kind(busy(&socket(STRANGER), &private)), None, "as systemd makes it");
        assert_eq!(kind(busy(&socket(STRANGER), &shared)), Some(ErrorKind::NotTrusted));
    }

    #[test]
    fn b5_to_which_listener_a_client_connects() {
        assert_eq!(kind(user(me())), None);
        assert_eq!(kind(user(0)), None);
        assert_eq!(kind(user(STRANGER)), Some(ErrorKind::NotTrusted));
    }
}
