//! The ceiling: hand-written frames through FIFOs, with the system's `read` and `write` and nothing between.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::pipe::fcntl_setpipe_size;
use tempfile::TempDir;

use crate::by_hand::{self, Frames};
use crate::message::{Quote, payload};
use crate::round::{Done, Pace, Round};

/// Receives quotes, from [`send`] or [`batch`]: each read takes all that is in the pipe.
pub(crate) fn receive(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let fifo = fifo(&folder, "quotes")?;
    let mut pace = round.start(256, &[text(&fifo)?])?;
    let mut frames = Frames::small(File::open(fifo)?);
    while pace.goes_on() {
        black_box(frames.next_quote()?);
    }
    Ok(pace.rate())
}

/// One `write` a quote, encoded into an array on the stack.
pub(crate) fn send(told: &[String]) -> Done<Infallible> {
    by_hand::send_quotes(writer(told.first())?)
}

/// One `write` for as many quotes as fit into the pipe.
pub(crate) fn batch(told: &[String]) -> Done<Infallible> {
    by_hand::batch_quotes(writer(told.first())?)
}

/// Receives payloads of `LEN` bytes through a pipe of `PIPE` bytes. They are used where they lie.
pub(crate) fn receive_payloads<const LEN: usize, const PIPE: usize>(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let fifo = fifo(&folder, "payloads")?;
    let mut pace = round.start(16, &[text(&fifo)?])?;
    let reader = File::open(fifo)?;
    fcntl_setpipe_size(&reader, PIPE)?;
    let mut frames = Frames::large(reader, LEN);
    while pace.goes_on() {
        black_box(frames.next()?);
    }
    Ok(pace.rate())
}

/// One `writev` a payload, straight from where it is.
pub(crate) fn send_payloads<const LEN: usize>(told: &[String]) -> Done<Infallible> {
    by_hand::send_payloads(writer(told.first())?, &payload(LEN))
}

/// One `writev` a payload that was made just before.
pub(crate) fn make_payloads<const LEN: usize>(told: &[String]) -> Done<Infallible> {
    by_hand::make_payloads(writer(told.first())?, LEN)
}

/// Sends a quote through one FIFO and waits until it is back through another one.
pub(crate) fn ask(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let there = fifo(&folder, "there")?;
    let back = fifo(&folder, "back")?;
    let pace = round.start_apart(16, &[text(&there)?, text(&back)?])?;
    let there = OpenOptions::new().write(true).open(there)?;
    asked(pace, there, File::open(back)?)
}

/// Sends each quote back: one `read` and one `write`.
pub(crate) fn answer(told: &[String]) -> Done<Infallible> {
    let there = File::open(told.first().ok_or("no path")?)?;
    answered(there, writer(told.get(1))?)
}

/// Sends a quote over a socket and waits until it is back.
pub(crate) fn ask_on_a_socket(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path)?;
    let pace = round.start_apart(16, &[text(&path)?])?;
    let (socket, _) = listener.accept()?;
    asked(pace, &socket, &socket)
}

/// Sends each quote back: one `read` and one `write`.
pub(crate) fn answer_on_a_socket(told: &[String]) -> Done<Infallible> {
    let socket = UnixStream::connect(told.first().ok_or("no path")?)?;
    answered(&socket, &socket)
}

/// One quote after the other: one `write` and one `read`.
fn asked(mut pace: Pace, mut there: impl Write, back: impl Read) -> Done<f64> {
    let mut back = Frames::small(back);
    let mut quote = Quote::sample();
    let mut room = [0; 64];
    while pace.goes_on() {
        let len = by_hand::frame(&quote, &mut room)?;
        there.write_all(&room[..len])?;
        quote = back.next_quote()?;
    }
    Ok(pace.rate())
}

/// The other side of that.
fn answered(there: impl Read, mut back: impl Write) -> Done<Infallible> {
    let mut there = Frames::small(there);
    let mut room = [0; 64];
    loop {
        let quote = there.next_quote()?;
        let len = by_hand::frame(&quote, &mut room)?;
        back.write_all(&room[..len])?;
    }
}

fn fifo(folder: &TempDir, name: &str) -> Done<PathBuf> {
    let path = folder.path().join(name);
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR)?;
    Ok(path)
}

fn writer(path: Option<&String>) -> Done<File> {
    Ok(OpenOptions::new().write(true).open(path.ok_or("no path")?)?)
}

fn text(path: &Path) -> Done<&str> {
    path.to_str().ok_or_else(|| "the temporary folder has a name that is no text".into())
}
