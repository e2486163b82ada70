//! Halves over shared memory where there is none: no value of these types exists.
#![allow(
    dead_code,
    clippy::needless_pass_by_ref_mut,
    reason = "what has shared memory uses all of it"
)]

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys::Wait;

#[derive(Debug)]
pub(super) enum RingReader {}

impl RingReader {
    pub(super) fn read(&mut self, _: &mut [u8], _: Wait<'_>) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn available(&mut self) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn unread(&self) -> usize {
        match *self {}
    }

    pub(super) fn look_again(&mut self) -> bool {
        match *self {}
    }

    pub(super) fn prepare_wait(&mut self) -> bool {
        match *self {}
    }

    pub(super) fn end_wait(&mut self) {
        match *self {}
    }

    pub(super) fn size(&self) -> usize {
        match *self {}
    }
}

impl AsFd for RingReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

#[derive(Debug)]
pub(super) enum RingWriter {}

impl RingWriter {
    pub(super) fn write(&mut self, _: &[IoSlice<'_>], _: Wait<'_>) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn write_here(&mut self, _: &[IoSlice<'_>]) -> usize {
        match *self {}
    }

    pub(super) fn wait_for_room(&mut self, _: usize, _: Wait<'_>) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn look(&mut self) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn lend(&mut self, _: usize, _: usize, _: Wait<'_>) -> bool {
        match *self {}
    }

    pub(super) fn lent(&self) -> &[u8] {
        match *self {}
    }

    pub(super) fn lent_mut(&mut self) -> &mut [u8] {
        match *self {}
    }

    pub(super) fn give(&mut self, _: Wait<'_>) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn wait_until_taken(&self, _: Wait<'_>) -> io::Result<bool> {
        match *self {}
    }

    pub(super) fn unsent(&self) -> usize {
        match *self {}
    }

    pub(super) fn finish(&mut self) {
        match *self {}
    }

    pub(super) fn look_again(&mut self) -> bool {
        match *self {}
    }

    pub(super) fn prepare_wait(&mut self) -> bool {
        match *self {}
    }

    pub(super) fn end_wait(&mut self) {
        match *self {}
    }

    pub(super) fn size(&self) -> usize {
        match *self {}
    }
}

impl AsFd for RingWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}
