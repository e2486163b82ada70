//! The name of an allocated FIFO.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::fstat;

use super::fifo::{self, Opened};
use super::fifo_end::{Again, FifoEnd};
use super::file::ensure_fifo;
use super::identity::{Identity, let_go};
use super::lock::Left;
use super::owned_name::{Occupied, OwnedName, Place, Site, clear, mode, set_rights};
use super::raw::Raw;
use super::resource_errors;
use crate::error::Obstacle;
use crate::sys::{IfExists, Settings, Wait, Way, obstacle};

/// An allocated name. Dropping it removes the name if it is still its own.
///
/// The rest of one stream in a FIFO would be read as the beginning of the next one. So after a stream was cut, the
/// next one gets a new FIFO.
#[derive(Debug)]
pub(crate) struct Node {
    owned_name: OwnedName,
    settings: Settings,
    /// Whether another program made the FIFO. It may have that one open, so it stays.
    found: bool,
    /// Whether it may hold, or still get, parts of messages: the rest of one that another reader began, or the beginning
    /// of one that another writer did not complete.
    cut: Arc<AtomicBool>,
}

impl Node {
    pub(crate) fn create(path: &Path, settings: &Settings) -> io::Result<Self> {
        let (owned_name, found) = OwnedName::take(path, settings, |site| allocate(site, settings))
            .map_err(resource_errors::told)?;
        Ok(Self::new(owned_name, found, settings))
    }

    pub(crate) fn temporary(settings: &Settings) -> io::Result<(PathBuf, Self)> {
        let (path, owned_name, found) =
            OwnedName::temporary(settings, |site| allocate(site, settings))
                .map_err(resource_errors::told)?;
        Ok((path, Self::new(owned_name, found, settings)))
    }

    fn new(owned_name: OwnedName, found: bool, settings: &Settings) -> Self {
        Self {
            owned_name,
            settings: settings.clone(),
            found,
            cut: Arc::new(AtomicBool::new(found)),
        }
    }

    /// Opens an end of this very FIFO.
    pub(crate) fn open(&mut self, way: Way, wait: Wait<'_>) -> io::Result<Raw> {
        let end = self.open_apart(way, wait).map_err(resource_errors::told)?;
        if let Some(bytes) = self.settings.buffer_size {
            end.ask_for_buffer(bytes);
        }
        Ok(end.into())
    }

    /// Opens an end with a stream of its own, separate from those before and after it.
    fn open_apart(&mut self, way: Way, wait: Wait<'_>) -> io::Result<FifoEnd> {
        if !self.found && self.cut.load(Ordering::Relaxed) {
            self.renew()?;
        }
        let opened = match self.open_end(way, wait) {
            Err(error) if self.is_held_by_no_reader(&error)? => {
                self.renew()?;
                self.open_end(way, wait)
            }
            opened => opened,
        };
        let mut end = opened?;
        if way == Way::In {
            end.keep_looking_at(self.owned_name.place().clone());
            end.takes_again(self.again());
        }
        if way == Way::In && self.cut.swap(false, Ordering::Relaxed) {
            end.forget_left_over()?;
        }
        if way == Way::In || !self.settings.one_stream {
            end.tell_of_cut(&self.cut);
        }
        Ok(end)
    }

    fn open_end(&self, way: Way, wait: Wait<'_>) -> io::Result<FifoEnd> {
        let place = self.owned_name.place();
        FifoEnd::wait_to_open(way, wait, || match open_at_place(place, way) {
            Err(error) if is_name_gone(&error) && take_again(place, &self.settings)? => {
                open_at_place(place, way)
            }
            opened => opened,
        })
    }

    /// How a reading end takes a lost name again, with a new FIFO, if the owner wants that.
    fn again(&self) -> Option<Again> {
        let settings = self.settings.clone();
        (settings.if_exists == IfExists::TakeAgain).then(|| {
            let (place, cut) = (self.owned_name.place().clone(), Arc::clone(&self.cut));
            Again::new(move || {
                if !take_again(&place, &settings)? && !place.is_there() {
                    return Ok(None);
                }
                let open = || open_at_place(&place, Way::In);
                let mut end = FifoEnd::wait_to_open(Way::In, Wait::NOW, open)?;
                end.keep_looking_at(place.clone());
                end.tell_of_cut(&cut);
                if let Some(bytes) = settings.buffer_size {
                    end.ask_for_buffer(bytes);
                }
                Ok(Some(end))
            })
        })
    }

    /// Whether a process that is no reader keeps readers out: any process that may write to the FIFO can lock it.
    fn is_held_by_no_reader(&self, error: &io::Error) -> io::Result<bool> {
        let held = matches!(obstacle(error), Some(Obstacle::HasReader));
        let (folder, name) = self.owned_name.place().parts();
        Ok(held && !self.found && !fifo::is_read(folder, name)?)
    }

    /// Replaces the FIFO by a new one. Processes that have the old one open see that no process is there any more.
    fn renew(&mut self) -> io::Result<()> {
        if let Some(old) =
            self.owned_name.replace(|folder, name| make(folder, name, &self.settings))?
        {
            let_go(&old);
        }
        self.cut.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn remove(&mut self) -> io::Result<()> {
        self.owned_name.remove()
    }

    pub(crate) fn persist(self) {
        self.owned_name.persist();
    }

    pub(crate) fn is_unlinked(&self) -> bool {
        self.owned_name.is_unlinked()
    }
}

/// Opens an end of the FIFO that was put there.
fn open_at_place(place: &Place, way: Way) -> io::Result<Opened> {
    let (folder, name) = place.parts();
    match fifo::open(folder, name, way, false) {
        Ok(opened) if place.is(&fstat(&opened.fd)?) => Ok(opened),
        Ok(_) => Err(Obstacle::Replaced.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Obstacle::NameGone.into()),
        Err(error) => Err(error),
    }
}

fn is_name_gone(error: &io::Error) -> bool {
    matches!(obstacle(error), Some(Obstacle::NameGone))
}

/// Takes a lost name again with a new FIFO, if the owner wants that; returns whether it did.
fn take_again(place: &Place, settings: &Settings) -> io::Result<bool> {
    let wanted = settings.if_exists == IfExists::TakeAgain;
    Ok(wanted && place.take_again(|site| allocate(site, settings))?.is_some())
}

/// Makes the FIFO. One that an owner left behind is replaced, and one of another program is used, if the settings allow
/// it; returns whether another program made it.
fn allocate(site: Site<'_>, settings: &Settings) -> io::Result<Occupied<bool>> {
    let own = |identity| Occupied { identity, what: false, found: false };
    let make_it = |name: &OsStr| make(site.folder, name, settings);
    // A client that may open it finds no name before it has all its rights.
    let made = if settings.lets_others_in() { site.staged(make_it) } else { make_it(site.name) };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(own),
    }
    let there = Identity::of(site.folder, site.name, ensure_fifo)?;
    site.may_take(there.stat(), settings)?;
    if matches!(site.left, Left::Own | Left::OwnAndSpare) {
        let made = site.supersede(|folder, name| make(folder, name, settings))?;
        let_go(&there);
        return Ok(own(made));
    }
    set_rights(&there, site.folder, site.name, settings)?;
    Ok(Occupied { identity: there, what: true, found: true })
}

/// Makes a new FIFO.
fn make(folder: BorrowedFd<'_>, name: &OsStr, settings: &Settings) -> io::Result<Identity> {
    fifo::make(folder, name, mode(settings))?;
    let made = Identity::of(folder, name, ensure_fifo).and_then(|identity| {
        set_rights(&identity, folder, name, settings)?;
        Ok(identity)
    });
    made.inspect_err(|_| {
        let _ = clear(folder, name);
    })
}
