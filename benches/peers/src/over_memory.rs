//! typed-pipe over shared memory: a typed connection with a ring, as its documentation says to use it.

use std::convert::Infallible;
use std::hint::black_box;

use typed_pipe::wire::{LengthPrefixed, Wire};
use typed_pipe::{
    Connection, Handshake, Inbound, Listener, Outbound, SharedMemory, TypedConnection,
};

use crate::message::{Quote, touch};
use crate::over_tokio::runtime;
use crate::round::{Done, Round};

/// The ring for small messages.
const RING: usize = 256 << 10;

/// The ring of a connection that goes through its socket.
pub(crate) const SOCKET: usize = 0;

/// The ring that there is unless its size is set.
pub(crate) const GROWS: usize = 1;

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

/// Receives payloads of any size where they lie, and looks at none of them.
pub(crate) fn view_payloads(round: &Round) -> Done<f64> {
    let listener = Listener::temporary()?;
    let mut pace = round.start(16, &[text(&listener)?])?;
    let mut side = over::<(), Vec<u8>>(listener.accept()?, RING)?;
    while pace.goes_on() {
        black_box(side.receiver().recv_view()?.len());
    }
    Ok(pace.rate())
}

/// The same, and looks at each cache line where it lies.
#[expect(unsafe_code, reason = "reading in place trusts the other side")]
pub(crate) fn read_payloads(round: &Round) -> Done<f64> {
    let listener = Listener::temporary()?;
    let mut pace = round.start(16, &[text(&listener)?])?;
    let mut side = over::<(), Vec<u8>>(listener.accept()?, RING)?;
    while pace.goes_on() {
        let view = side.receiver().recv_view()?;
        // SAFETY: the other side is a process of this very program, which writes to no payload that it has sent.
        black_box(touch(unsafe { view.trusting() }));
    }
    Ok(pace.rate())
}

/// One `send_bytes` a payload of `LEN` bytes, through a ring of `RING` bytes.
pub(crate) fn send_payloads<const LEN: usize, const RING: usize>(
    told: &[String],
) -> Done<Infallible> {
    let mut side = connect::<Vec<u8>, ()>(told, RING)?;
    let payload = vec![7; LEN];
    loop {
        side.sender().send_bytes(black_box(&payload))?;
    }
}

/// Receives payloads of any size, from a side whose ring has `RING` bytes.
pub(crate) fn receive_sent<const RING: usize>(round: &Round) -> Done<f64> {
    let listener = Listener::temporary()?;
    let mut pace = round.start(4, &[text(&listener)?])?;
    let mut side = over::<(), Vec<u8>>(listener.accept()?, RING)?;
    while pace.goes_on() {
        black_box(touch(side.receiver().recv_bytes()?));
    }
    Ok(pace.rate())
}

/// The same in tasks of tokio, on both sides.
pub(crate) fn send_in_tasks<const LEN: usize, const RING: usize>(
    told: &[String],
) -> Done<Infallible> {
    runtime()?.block_on(async {
        let path = told.first().ok_or("no path")?;
        let connection = Connection::connect(path)?.into_tokio()?;
        let handshake = handshake(RING).into_tokio();
        let mut side = handshake.perform::<Vec<u8>, ()>(connection).await?;
        let payload = vec![7; LEN];
        loop {
            side.sender().send_bytes(black_box(&payload)).await?;
        }
    })
}

pub(crate) fn receive_in_tasks<const RING: usize>(round: &Round) -> Done<f64> {
    let listener = Listener::temporary()?;
    let mut pace = round.start(4, &[text(&listener)?])?;
    runtime()?.block_on(async {
        let connection = listener.accept()?.into_tokio()?;
        let handshake = handshake(RING).into_tokio();
        let mut side = handshake.perform::<(), Vec<u8>>(connection).await?;
        while pace.goes_on() {
            black_box(touch(side.receiver().recv_bytes().await?));
        }
        Ok(pace.rate())
    })
}

/// Accepts connections with rings of `RING` bytes, one after the other.
pub(crate) fn accept<const RING: usize>(round: &Round) -> Done<f64> {
    let listener = Listener::temporary()?;
    let mut pace = round.start(16, &[text(&listener)?])?;
    while pace.goes_on() {
        black_box(over::<(), Quote>(listener.accept()?, RING)?.recv()?);
    }
    Ok(pace.rate())
}

/// Connects, and sends one quote, again and again.
pub(crate) fn come_and_go<const RING: usize>(told: &[String]) -> Done<Infallible> {
    loop {
        connect::<Quote, ()>(told, RING)?.send(&Quote::sample())?;
    }
}

/// One `loan` a payload of `LEN` bytes, made in place, in a ring of `RING` bytes.
pub(crate) fn loan_payloads<const LEN: usize, const RING: usize>(
    told: &[String],
) -> Done<Infallible> {
    let mut side = connect::<Vec<u8>, ()>(told, RING)?;
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
    Ok(handshake(ring).perform(connection)?)
}

/// With a ring of so many bytes, or with the socket.
fn handshake(ring: usize) -> Handshake {
    let wire = Wire::default().with_framing(LengthPrefixed::default().limit(64 << 20));
    let handshake = Handshake::new().with_wire(wire);
    if ring == SOCKET {
        return handshake;
    }
    let memory = SharedMemory::required();
    handshake.shared_memory(if ring == GROWS { memory } else { memory.ring(ring) })
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
