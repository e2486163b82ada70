//! The name of an allocated FIFO.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fstat};

use super::fifo;
use super::fifo_end::FifoEnd;
use super::file::expect_fifo;
use super::identity::Identity;
use super::place::{Place, Site, mode};
use super::raw::Raw;
use super::shortage;
use crate::error::Obstacle;
use crate::sys::{Settings, Wait, Way};

/// An allocated name. Dropping it removes the name if it is still its own.
#[derive(Debug)]
pub(crate) struct Node {
    place: Place,
    buffer_size: Option<usize>,
}

impl Node {
    pub(crate) fn create(path: &Path, settings: &Settings) -> io::Result<Self> {
        let (place, ()) =
            Place::take(path, settings, |site| allocate(site, settings)).map_err(shortage::told)?;
        Ok(Self { place, buffer_size: settings.buffer_size })
    }

    pub(crate) fn temporary(settings: &Settings) -> io::Result<(PathBuf, Self)> {
        let (path, place, ()) =
            Place::temporary(|site| allocate(site, settings)).map_err(shortage::told)?;
        Ok((path, Self { place, buffer_size: settings.buffer_size }))
    }

    /// Opens an end of this very FIFO.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "an end is open once at a time")]
    pub(crate) fn open(&mut self, way: Way, wait: Wait<'_>) -> io::Result<Raw> {
        let end = FifoEnd::wait_to_open(way, wait, || {
            match fifo::open(self.place.folder(), self.place.name(), way, false) {
                Ok(fd) if self.place.identity().is(&fstat(&fd)?) => Ok(fd),
                Ok(_) => Err(Obstacle::Replaced.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(Obstacle::NameGone.into())
                }
                Err(error) => Err(error),
            }
        });
        let end = end.map_err(shortage::told)?;
        if let Some(bytes) = self.buffer_size {
            end.ask_for_buffer(bytes);
        }
        Ok(end.into())
    }

    pub(crate) fn remove(&mut self) -> io::Result<()> {
        self.place.remove()
    }

    pub(crate) fn persist(self) {
        self.place.persist();
    }

    pub(crate) fn is_orphaned(&self) -> bool {
        self.place.is_orphaned()
    }
}

/// Makes the FIFO, or takes the one that is there if the settings allow it.
fn allocate(site: Site<'_>, settings: &Settings) -> io::Result<(Identity, ())> {
    let mode = mode(settings);
    let made = match fifo::make(site.folder, site.name, mode) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    let identity = take(site, settings, mode, made);
    if made && identity.is_err() {
        let _ = site.clear();
    }
    identity.map(|identity| (identity, ()))
}

fn take(site: Site<'_>, settings: &Settings, mode: Mode, made: bool) -> io::Result<Identity> {
    let identity = Identity::of(site.folder, site.name, expect_fifo)?;
    if !made {
        site.may_take(identity.stat(), settings)?;
    }
    if Mode::from_raw_mode(identity.stat().st_mode) != mode {
        identity.set_mode(site.folder, site.name, mode)?;
    }
    Ok(identity)
}
