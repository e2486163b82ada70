//! What can be seen of a name from outside, for the program `tpipe`.

/// What is under a name, and who holds it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// What kind of thing it is.
    pub kind: Kind,
    /// The permission bits; `None` if there is nothing.
    pub mode: Option<u32>,
    /// The user whose it is.
    pub user: Option<u32>,
    /// The lock of its owner.
    pub lock: Locked,
    /// The processes that have it open; `None` where the system does not tell.
    pub processes: Option<Vec<Holder>>,
    /// How many processes could not be looked into.
    pub unseen: usize,
    /// How many bytes wait to be read; `None` if that cannot be told without disturbing anybody.
    pub waiting: Option<u64>,
    /// How many connections there are at a socket.
    pub clients: Option<usize>,
}

/// What is under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Nothing.
    Nothing,
    /// A named pipe, one way.
    Pipe,
    /// A name at which clients connect.
    Listener,
    /// Something else, in words.
    Other(&'static str),
}

/// The lock beside a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Locked {
    /// There is none: no owner of this crate is there, or was.
    No,
    /// A process has it open.
    Held,
    /// No process that could be looked into has it open: its owner is dead. `true` if the next owner replaces what is under
    /// the name.
    Left(bool),
    /// It is no lock, in words.
    Not(String),
}

/// A process that has a name open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its number.
    pub process: u32,
    /// Its name, which it chose.
    pub name: String,
    /// What it has open.
    pub does: Does,
}

/// What a process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Does {
    /// The lock of the owner.
    Owns,
    /// The reading end.
    Reads,
    /// The writing end.
    Writes,
    /// Both ends at once.
    ReadsAndWrites,
    /// The socket at which clients connect.
    Listens,
}

/// What was done about a name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Cleaned {
    /// What a dead owner left is removed.
    Removed,
    /// There was nothing to remove.
    Nothing,
    /// Somebody has it, in words.
    Held(String),
}
