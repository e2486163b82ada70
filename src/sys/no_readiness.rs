//! Systems on which many descriptors are not waited for at once.

use std::io;

use super::{Event, Raw, Server, WaitLimit};
use crate::error::Obstacle;

/// There is none.
#[derive(Debug)]
pub(crate) enum Readiness {}

impl Readiness {
    pub(crate) fn new() -> io::Result<Self> {
        Err(Obstacle::Unsupported.into())
    }

    pub(crate) fn add_end(&self, _: &Raw, _: u64) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn remove_end(&self, _: &Raw) {
        match *self {}
    }

    pub(crate) fn follow(&self, _: &mut Raw, _: u64) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn add_server(&self, _: &Server, _: u64) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn remove_server(&self, _: &Server) {
        match *self {}
    }

    pub(crate) fn add_event(&self, _: &Event, _: u64) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn remove_event(&self, _: &Event) {
        match *self {}
    }

    pub(crate) fn wait(&self, _: WaitLimit, _: impl FnMut(u64)) -> io::Result<()> {
        match *self {}
    }
}
