//! typed-pipe over shared memory: a typed connection with a ring, as its documentation says to use it.

use std::convert::Infallible;
use std::hint::black_box;

use typed_pipe::wire::{LengthPrefixed, Wire};
use typed_pipe::{Connection, Handshake, Inbound, Listener, Outbound, SharedMemory, TypedConnection};

use crate::message::{Quote, touch};
use crate::round::{Done, Round};

/// The ring for small messages.
const RING: usize = 256 << 10;

/// Receives quotes, from [`send`] or [`batch`].
pub(crate) fn receive(round: &Round) -> Done<f64> {
    let listener = Listener::temporary()?;
    let mut pace = round.start(256, &[text(&listener)?])?;
    let mut side = over::<(), Quote>(listener.accept()?, RING)?;
    while pace.goes_on() {
        black_box(side.recv()?);
    }
    Ok(pace.rate())
}

/// One `send` a quote.
pub(crate) fn send(told: &[String]) -> Done<Infallible> {
    let mut side = connect::<Quote, ()>(told, RING)?;
    let quote = Quote::sample();
    loop {
        side.sender().send(black_box(&quote))?;
    }
}

/// One `feed` a quote.
pub(crate) fn batch(told: &[String]) -> Done<Infallible> {
    let mut side = connect::<Quote, ()>(told, RING)?;
    let quote = Quote::sample();
    loop {
        side.sender().feed(black_box(&quote))?;
    }
}

/// Sends quotes, and waits for each to come back.
pub(crate) fn ask(round: &Round) -> Done<f64> {
    let listener = Listener::temporary()?;
    let mut pace = round.start_apart(16, &[text(&listener)?])?;
    let mut side = over::<Quote, Quote>(listener.accept()?, RING)?;
    let mut quote = Quote::sample();
    while pace.goes_on() {
        side.sender().send(&quote)?;
        quote = side.recv()?;
    }
    Ok(pace.rate())
}

/// Sends each quote back.
pub(crate) fn answer(told: &[String]) -> Done<Infallible> {
    let mut side = connect::<Quote, Quote>(told, RING)?;
    loop {
        let quote = side.recv()?;
        side.sender().send(&quote)?;
    }
}

/// Receives payloads of any size, copied out, and looks at each cache line.
pub(crate) fn receive_payloads(round: &Round) -> Done<f64> {
    let listener = Listener::temporary()?;
    let mut pace = round.start(16, &[text(&listener)?])?;
    let mut side = over::<(), Vec<u8>>(listener.accept()?, RING)?;
    while pace.goes_on() {
        black_box(touch(side.receiver().recv_bytes()?));
    }
    Ok(pace.rate())
}

/// One `loan` a payload of `LEN` bytes, made in place, in a ring for four of them.
pub(crate) fn loan_payloads<const LEN: usize>(told: &[String]) -> Done<Infallible> {
    let mut side = connect::<Vec<u8>, ()>(told, 4 * LEN)?;
    for number in (0..=u8::MAX).cycle() {
        let mut payload = side.sender().loan(LEN)?;
        payload.fill(black_box(number));
        payload.send()?;
    }
    unreachable!("it is a cycle")
}

fn over<Out: Outbound, In: Inbound>(
    connection: Connection,
    ring: usize,
) -> Done<TypedConnection<Out, In>> {
    let memory = SharedMemory::required().ring(ring);
    let wire = Wire::default().with_framing(LengthPrefixed::default().limit(64 << 20));
    Ok(Handshake::new().with_wire(wire).shared_memory(memory).perform(connection)?)
}

fn connect<Out: Outbound, In: Inbound>(
    told: &[String],
    ring: usize,
) -> Done<TypedConnection<Out, In>> {
    over(Connection::connect(told.first().ok_or("no path")?)?, ring)
}

fn text(listener: &Listener) -> Done<&str> {
    let path = listener.path().as_path().to_str();
    path.ok_or_else(|| "the temporary folder has a name that is no text".into())
}
