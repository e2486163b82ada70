//! Memory that processes share: files of no name, sealed so that no process can do harm to another one through them.

mod file;
mod mapping;
mod sealed;

pub(crate) use sealed::Sealed;
