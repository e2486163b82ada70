//! typed-pipe, as its documentation says to use it.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use typed_pipe::wire::{MultiWriter, Wire};
use typed_pipe::{Pipe, PipePath, ReadEnd, TypedReceiver, TypedSender, WriteEnd};

use crate::message::{Article, Quote, payload};
use crate::round::{Done, Round};

/// Receives quotes, from [`send`] or [`batch`].
pub(crate) fn receive(round: &Round) -> Done<f64> {
    let pipe = Pipe::temporary()?;
    let mut pace = round.start(256, &[text(pipe.path())?])?;
    let mut receiver = pipe.into_reader().open()?.into_receiver::<Quote>();
    while pace.goes_on() {
        black_box(receiver.recv()?);
    }
    Ok(pace.rate())
}

/// One `send` a quote.
pub(crate) fn send(told: &[String]) -> Done<Infallible> {
    let mut sender = TypedSender::<Quote>::connect(path(told.first())?)?;
    let quote = Quote::sample();
    loop {
        sender.send(black_box(&quote))?;
    }
}

/// One `feed` a quote: it flushes by itself when a batch is full.
pub(crate) fn batch(told: &[String]) -> Done<Infallible> {
    let mut sender = TypedSender::<Quote>::connect(path(told.first())?)?;
    let quote = Quote::sample();
    loop {
        sender.feed(black_box(&quote))?;
    }
}

/// Receives payloads of any size, straight from the receiver's buffer.
pub(crate) fn receive_payloads(round: &Round) -> Done<f64> {
    let pipe = Pipe::temporary()?;
    let mut pace = round.start(16, &[text(pipe.path())?])?;
    let mut receiver = pipe.into_reader().open()?.into_receiver::<Vec<u8>>();
    while pace.goes_on() {
        black_box(receiver.recv_bytes()?);
    }
    Ok(pace.rate())
}

/// One `send_bytes` a payload of `LEN` bytes.
pub(crate) fn send_payloads<const LEN: usize>(told: &[String]) -> Done<Infallible> {
    let mut sender = TypedSender::<[u8]>::connect(path(told.first())?)?;
    let payload = payload(LEN);
    loop {
        sender.send_bytes(black_box(&payload))?;
    }
}

/// One `loan` a payload of `LEN` bytes, made in place.
pub(crate) fn loan_payloads<const LEN: usize>(told: &[String]) -> Done<Infallible> {
    let mut sender = TypedSender::<[u8]>::connect(path(told.first())?)?;
    for number in (0..=u8::MAX).cycle() {
        let mut payload = sender.loan(LEN)?;
        payload.fill(black_box(number));
        payload.send()?;
    }
    unreachable!("it is a cycle")
}

/// Sends a quote through one pipe and waits until it is back through another one.
pub(crate) fn ask(round: &Round) -> Done<f64> {
    let there = Pipe::temporary()?;
    let back = Pipe::temporary()?;
    let mut pace = round.start_apart(16, &[text(there.path())?, text(back.path())?])?;
    let mut there = there.into_writer().open()?.into_sender::<Quote>();
    let mut back = back.into_reader().open()?.into_receiver::<Quote>();
    let mut quote = Quote::sample();
    while pace.goes_on() {
        there.send(&quote)?;
        quote = back.recv()?;
    }
    Ok(pace.rate())
}

/// Sends each quote back.
pub(crate) fn answer(told: &[String]) -> Done<Infallible> {
    let mut there = TypedReceiver::<Quote>::connect(path(told.first())?)?;
    let mut back = TypedSender::<Quote>::connect(path(told.get(1))?)?;
    loop {
        back.send(&there.recv()?)?;
    }
}

/// As [`ask`], but what waits for a quote spins before it sleeps.
pub(crate) fn ask_spinning(round: &Round) -> Done<f64> {
    let there = Pipe::temporary()?;
    let back = Pipe::temporary()?;
    let mut pace = round.start_apart(16, &[text(there.path())?, text(back.path())?])?;
    let mut there = there.into_writer().open()?.into_sender::<Quote>();
    let mut back = back.into_reader().open()?.busy_poll(SPIN).into_receiver::<Quote>();
    let mut quote = Quote::sample();
    while pace.goes_on() {
        there.send(&quote)?;
        quote = back.recv()?;
    }
    Ok(pace.rate())
}

/// Sends each quote back, and spins before it sleeps.
pub(crate) fn answer_spinning(told: &[String]) -> Done<Infallible> {
    let there = ReadEnd::at(path(told.first())?)?.open()?.busy_poll(SPIN);
    let mut there = there.into_receiver::<Quote>();
    let mut back = TypedSender::<Quote>::connect(path(told.get(1))?)?;
    loop {
        back.send(&there.recv()?)?;
    }
}

/// How long a receiver spins.
const SPIN: Duration = Duration::from_micros(50);

/// Receives quotes from eight processes, each of which writes to the same pipe.
pub(crate) fn receive_shared(round: &Round) -> Done<f64> {
    let pipe = Pipe::temporary()?;
    let mut pace = round.start_many(8, 256, &[text(pipe.path())?])?;
    let mut receiver = pipe.into_reader().open()?.into_receiver_with::<Quote, _, _>(shared());
    while pace.goes_on() {
        black_box(receiver.recv()?);
    }
    Ok(pace.rate())
}

/// One `send` a quote, beside seven other writers.
pub(crate) fn send_shared(told: &[String]) -> Done<Infallible> {
    let end = WriteEnd::at(path(told.first())?)?.open()?;
    let mut sender = end.into_sender_with::<Quote, _, _>(shared());
    let quote = Quote::sample();
    loop {
        sender.send(black_box(&quote))?;
    }
}

/// Receives articles whose strings are allocated.
pub(crate) fn receive_owned(round: &Round) -> Done<f64> {
    let pipe = Pipe::temporary()?;
    let mut pace = round.start(256, &[text(pipe.path())?])?;
    let mut receiver = pipe.into_reader().open()?.into_receiver::<Article>();
    while pace.goes_on() {
        black_box(receiver.recv()?);
    }
    Ok(pace.rate())
}

/// Receives articles whose strings stay in the receiver's buffer.
pub(crate) fn receive_borrowed(round: &Round) -> Done<f64> {
    let pipe = Pipe::temporary()?;
    let mut pace = round.start(256, &[text(pipe.path())?])?;
    let mut receiver = pipe.into_reader().open()?.into_receiver::<Article>();
    while pace.goes_on() {
        black_box(receiver.recv_ref()?);
    }
    Ok(pace.rate())
}

/// One `feed` an article.
pub(crate) fn batch_articles(told: &[String]) -> Done<Infallible> {
    let mut sender = TypedSender::<Article>::connect(path(told.first())?)?;
    let article = Article::sample();
    loop {
        sender.feed(black_box(&article))?;
    }
}

fn shared() -> Wire<MultiWriter> {
    Wire::default().with_framing(MultiWriter::default())
}

fn path(told: Option<&String>) -> Done<&String> {
    told.ok_or_else(|| "no path".into())
}

fn text(path: &PipePath) -> Done<&str> {
    path.as_path().to_str().ok_or_else(|| "the temporary folder has a name that is no text".into())
}
