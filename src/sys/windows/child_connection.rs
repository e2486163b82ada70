//! A connection that a child program takes from its parent: by a name, since an inheritable handle would be one for all
//! children that are started at that moment.
#![allow(unsafe_code, reason = "removing a variable is unsafe on other systems")]

use std::env;
use std::io;
use std::path::Path;
use std::process::{Child, Command};

use super::name::resolve;
use super::raw::Raw;
use super::server::Server;
use crate::error::Obstacle;
use crate::sys::retry::end_of_wait;
use crate::sys::{PARENT, Settings, Wait, obstacle};

/// A name for one client.
#[derive(Debug)]
pub(crate) struct ChildConnection(Server);

impl ChildConnection {
    /// Starts a program that finds the name.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<(Child, Self)> {
        let (path, server) = Server::temporary(&Settings { backlog: 1, ..Settings::default() })?;
        command.env(PARENT, path);
        let started = command.spawn();
        command.env_remove(PARENT);
        let child = started.map_err(|error| Obstacle::not_started(command, &error))?;
        Ok((child, Self(server)))
    }

    /// Waits until the child has come.
    #[allow(clippy::needless_pass_by_ref_mut, reason = "on Unix it is taken out")]
    pub(crate) fn accept(&mut self, wait: Wait<'_>) -> io::Result<(Raw, Raw)> {
        self.0.accept(wait).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                end_of_wait(error, Obstacle::NoChild.into())
            }
            _ => error,
        })
    }
}

/// Takes the connection to the parent.
pub(crate) fn from_parent() -> io::Result<(Raw, Raw)> {
    let told = env::var_os(PARENT).ok_or(Obstacle::NoParent)?;
    let path = resolve(Path::new(&told)).map_err(|_| Obstacle::StaleParent)?;
    // The name was there before this process, for one client: it needs no wait.
    let connected = Raw::connect(&path, false, Wait::NOW).map_err(|error| {
        match (error.kind(), obstacle(&error)) {
            (_, Some(Obstacle::Busy)) => Obstacle::ParentTaken.into(),
            (io::ErrorKind::NotFound, _) => Obstacle::StaleParent.into(),
            _ => error,
        }
    })?;
    // SAFETY: on this system no call that reads variables is in the way of one that removes them.
    unsafe { env::remove_var(PARENT) };
    Ok(connected)
}
