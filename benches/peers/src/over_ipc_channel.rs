//! ipc-channel: `IpcSender` and `IpcReceiver`, and its channel of bytes.
//!
//! It has no batches: each message is a system call. At its best: what is sent is borrowed, where its
//! signature asks for a value and most users would clone one.

use std::convert::Infallible;
use std::hint::black_box;

use ipc_channel::ipc::{
    IpcBytesReceiver, IpcOneShotServer, IpcReceiver, IpcSender, bytes_channel, channel,
};

use crate::message::{Quote, payload};
use crate::round::{Done, Round};

pub(crate) fn receive(round: &Round) -> Done<f64> {
    let (server, name) = IpcOneShotServer::<Quote>::new()?;
    let mut pace = round.start(256, &[&name])?;
    let (receiver, _) = server.accept()?;
    while pace.goes_on() {
        black_box(receiver.recv()?);
    }
    Ok(pace.rate())
}

pub(crate) fn send(told: &[String]) -> Done<Infallible> {
    let quote = Quote::sample();
    let sender = IpcSender::<&Quote>::connect(name(told)?)?;
    loop {
        sender.send(black_box(&quote))?;
    }
}

/// Receives payloads of any size, each in a `Vec` of its own: that is how they are given out.
pub(crate) fn receive_payloads(round: &Round) -> Done<f64> {
    let (server, name) = IpcOneShotServer::<IpcBytesReceiver>::new()?;
    let mut pace = round.start(16, &[&name])?;
    let (_, receiver) = server.accept()?;
    while pace.goes_on() {
        black_box(receiver.recv()?);
    }
    Ok(pace.rate())
}

pub(crate) fn send_payloads<const LEN: usize>(told: &[String]) -> Done<Infallible> {
    let (sender, receiver) = bytes_channel()?;
    IpcSender::connect(name(told)?)?.send(receiver)?;
    let payload = payload(LEN);
    loop {
        sender.send(black_box(&payload))?;
    }
}

/// Sends a quote through one channel and waits until it is back through another one. It is moved all along.
pub(crate) fn ask(round: &Round) -> Done<f64> {
    let (server, name) = IpcOneShotServer::<Ends>::new()?;
    let mut pace = round.start_apart(16, &[&name])?;
    let (_, (there, back)) = server.accept()?;
    let mut quote = Quote::sample();
    while pace.goes_on() {
        there.send(quote)?;
        quote = back.recv()?;
    }
    Ok(pace.rate())
}

pub(crate) fn answer(told: &[String]) -> Done<Infallible> {
    let (asking, there) = channel::<Quote>()?;
    let (back, answered) = channel::<Quote>()?;
    IpcSender::<Ends>::connect(name(told)?)?.send((asking, answered))?;
    loop {
        back.send(there.recv()?)?;
    }
}

/// What the one that asks is given.
type Ends = (IpcSender<Quote>, IpcReceiver<Quote>);

fn name(told: &[String]) -> Done<String> {
    Ok(told.first().ok_or("no name")?.clone())
}
