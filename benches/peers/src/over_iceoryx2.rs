//! iceoryx2: a publisher and a subscriber, and shared memory between them.
//!
//! At its best: what is sent is written into the lent memory, there is one subscriber and no more, and the receiver looks
//! again and again instead of waiting for an event. Nothing is lost, as nothing is in a pipe: the queue does not
//! overflow, and the publisher waits where it is full, which it does by yielding its processor.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Debug;
use std::hint::black_box;
use std::path::Path;
use std::thread;

use iceoryx2::prelude::*;
use iceoryx2::service::builder::event::Builder as EventBuilder;
use iceoryx2::service::builder::publish_subscribe::Builder;

use crate::message::{Quote, touch};
use crate::round::{Done, Round};

/// Receives quotes, which are decoded where they lie.
pub(crate) fn receive(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path())?;
    let subscriber =
        service::<[u8]>(&node, MANY)?.open_or_create()?.subscriber_builder().create()?;
    let mut pace = round.start(256, &[text(folder.path())?])?;
    while pace.goes_on() {
        black_box(postcard::from_bytes::<Quote>(next(|| subscriber.receive())?.payload())?);
    }
    Ok(pace.rate())
}

/// One sample a quote, encoded into an array on the stack: how large it is must be known before memory is lent.
pub(crate) fn send(told: &[String]) -> Done<Infallible> {
    let node = node(path(told)?)?;
    let service = service::<[u8]>(&node, MANY)?.open_or_create()?;
    let publisher = service.publisher_builder().initial_max_slice_len(64).create()?;
    let quote = Quote::sample();
    let mut room = [0; 64];
    loop {
        let bytes = postcard::to_slice(black_box(&quote), &mut room)?;
        publisher.loan_slice_uninit(bytes.len())?.write_from_slice(bytes).send()?;
    }
}

/// A quote as plain old data: no codec, and texts of a fixed room.
#[derive(Clone, Copy, Debug, ZeroCopySend)]
#[repr(C)]
struct PlainQuote {
    number: u64,
    time: u64,
    price: f64,
    quantity: u32,
    bid: bool,
    symbol: [u8; 8],
    venue: [u8; 8],
}

impl PlainQuote {
    fn sample() -> Self {
        Self {
            number: 1_000_000,
            time: 1_234_567,
            price: 101.25,
            quantity: 100_000,
            bid: true,
            symbol: *b"ABCDEFGH",
            venue: *b"XEXCHNGE",
        }
    }
}

/// Receives quotes that are plain old data.
pub(crate) fn receive_plain(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path())?;
    let subscriber =
        service::<PlainQuote>(&node, MANY)?.open_or_create()?.subscriber_builder().create()?;
    let mut pace = round.start(256, &[text(folder.path())?])?;
    while pace.goes_on() {
        black_box(*next(|| subscriber.receive())?);
    }
    Ok(pace.rate())
}

/// One sample a quote, copied into the lent memory.
pub(crate) fn send_plain(told: &[String]) -> Done<Infallible> {
    let node = node(path(told)?)?;
    let service = service::<PlainQuote>(&node, MANY)?.open_or_create()?;
    let publisher = service.publisher_builder().create()?;
    let quote = PlainQuote::sample();
    loop {
        publisher.loan_uninit()?.write_payload(black_box(quote)).send()?;
    }
}

/// Receives payloads of any size. They are used where they lie.
pub(crate) fn receive_payloads(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path())?;
    let subscriber =
        service::<[u8]>(&node, FEW)?.open_or_create()?.subscriber_builder().create()?;
    let mut pace = round.start(16, &[text(folder.path())?])?;
    while pace.goes_on() {
        black_box(next(|| subscriber.receive())?.payload());
    }
    Ok(pace.rate())
}

/// The same, and looks at each cache line, where it lies.
pub(crate) fn read_payloads(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path())?;
    let subscriber =
        service::<[u8]>(&node, FEW)?.open_or_create()?.subscriber_builder().create()?;
    let mut pace = round.start(16, &[text(folder.path())?])?;
    while pace.goes_on() {
        black_box(touch(next(|| subscriber.receive())?.payload()));
    }
    Ok(pace.rate())
}

/// Sends quotes that are plain old data, and waits for each to come back, looking for it again and again.
pub(crate) fn ask(round: &Round) -> Done<f64> {
    let folders = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (there, back) = (node(folders.0.path())?, node(folders.1.path())?);
    let publisher =
        service::<PlainQuote>(&there, MANY)?.open_or_create()?.publisher_builder().create()?;
    let subscriber =
        service::<PlainQuote>(&back, MANY)?.open_or_create()?.subscriber_builder().create()?;
    let mut pace = round.start_apart(16, &[text(folders.0.path())?, text(folders.1.path())?])?;
    // The first one is lost while the other side is not there.
    let mut quote = PlainQuote::sample();
    let mut answer = None;
    while answer.is_none() {
        publisher.loan_uninit()?.write_payload(quote).send()?;
        thread::sleep(std::time::Duration::from_millis(20));
        while let Some(sample) = subscriber.receive()? {
            answer = Some(*sample);
        }
    }
    while pace.goes_on() {
        publisher.loan_uninit()?.write_payload(black_box(quote)).send()?;
        quote = *next_at_once(|| subscriber.receive())?;
    }
    Ok(pace.rate())
}

/// Sends each quote back.
pub(crate) fn answer(told: &[String]) -> Done<Infallible> {
    let (there, back) = (node(path(told)?)?, node(path(told.get(1..).unwrap_or_default())?)?);
    let subscriber =
        service::<PlainQuote>(&there, MANY)?.open_or_create()?.subscriber_builder().create()?;
    let publisher =
        service::<PlainQuote>(&back, MANY)?.open_or_create()?.publisher_builder().create()?;
    loop {
        let quote = *next_at_once(|| subscriber.receive())?;
        publisher.loan_uninit()?.write_payload(quote).send()?;
    }
}

/// The same, and sleeps until an event says that a quote has come.
pub(crate) fn ask_asleep(round: &Round) -> Done<f64> {
    let folders = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (there, back) = (node(folders.0.path())?, node(folders.1.path())?);
    let publisher =
        service::<PlainQuote>(&there, MANY)?.open_or_create()?.publisher_builder().create()?;
    let subscriber =
        service::<PlainQuote>(&back, MANY)?.open_or_create()?.subscriber_builder().create()?;
    let notifier = events(&there)?.open_or_create()?.notifier_builder().create()?;
    let listener = events(&back)?.open_or_create()?.listener_builder().create()?;
    let mut pace = round.start_apart(16, &[text(folders.0.path())?, text(folders.1.path())?])?;
    // The first one is lost while the other side is not there.
    let mut quote = PlainQuote::sample();
    let mut answer = None;
    while answer.is_none() {
        publisher.loan_uninit()?.write_payload(quote).send()?;
        let _ = notifier.notify();
        thread::sleep(std::time::Duration::from_millis(20));
        while let Some(sample) = subscriber.receive()? {
            answer = Some(*sample);
        }
    }
    while pace.goes_on() {
        publisher.loan_uninit()?.write_payload(black_box(quote)).send()?;
        notifier.notify()?;
        quote = *next_asleep(|| subscriber.receive(), || listener.blocking_wait(|_| {}))?;
    }
    Ok(pace.rate())
}

/// Sends each quote back, with an event.
pub(crate) fn answer_asleep(told: &[String]) -> Done<Infallible> {
    let (there, back) = (node(path(told)?)?, node(path(told.get(1..).unwrap_or_default())?)?);
    let subscriber =
        service::<PlainQuote>(&there, MANY)?.open_or_create()?.subscriber_builder().create()?;
    let publisher =
        service::<PlainQuote>(&back, MANY)?.open_or_create()?.publisher_builder().create()?;
    let listener = events(&there)?.open_or_create()?.listener_builder().create()?;
    let notifier = events(&back)?.open_or_create()?.notifier_builder().create()?;
    loop {
        let quote = *next_asleep(|| subscriber.receive(), || listener.blocking_wait(|_| {}))?;
        publisher.loan_uninit()?.write_payload(quote).send()?;
        notifier.notify()?;
    }
}

/// The next sample, for which a thread sleeps.
fn next_asleep<T, E: Error + 'static, W, F: Error + 'static>(
    receive: impl Fn() -> Result<Option<T>, E>,
    sleep: impl Fn() -> Result<W, F>,
) -> Done<T> {
    loop {
        if let Some(sample) = receive()? {
            return Ok(sample);
        }
        sleep()?;
    }
}

/// The next sample: a processor is free for each side.
#[inline]
fn next_at_once<T, E: Error + 'static>(receive: impl Fn() -> Result<Option<T>, E>) -> Done<T> {
    loop {
        if let Some(sample) = receive()? {
            return Ok(sample);
        }
        std::hint::spin_loop();
    }
}

/// One sample a payload of `LEN` bytes, made in place.
pub(crate) fn loan_payloads<const LEN: usize>(told: &[String]) -> Done<Infallible> {
    let node = node(path(told)?)?;
    let service = service::<[u8]>(&node, FEW)?.open_or_create()?;
    let publisher = service.publisher_builder().initial_max_slice_len(LEN).create()?;
    for number in (0..=u8::MAX).cycle() {
        let number = black_box(number);
        publisher.loan_slice_uninit(LEN)?.write_from_fn(|_| number).send()?;
    }
    unreachable!("it is a cycle")
}

/// The next sample, as soon as it is there.
#[inline]
fn next<T, E: Error + 'static>(receive: impl Fn() -> Result<Option<T>, E>) -> Done<T> {
    loop {
        if let Some(sample) = receive()? {
            return Ok(sample);
        }
        thread::yield_now();
    }
}

/// How many quotes, and how many payloads, may be on their way.
const MANY: usize = 1024;
const FEW: usize = 4;

/// All that both sides agree on. The queue holds `queue` samples.
fn service<P: Debug + IceoryxSend + ZeroCopySend + ?Sized>(
    node: &Node<ipc::Service>,
    queue: usize,
) -> Done<Builder<P, (), ipc::Service>> {
    let service = node.service_builder(&"quotes".try_into()?).publish_subscribe::<P>();
    let service = service.max_publishers(1).max_subscribers(1).enable_safe_overflow(false);
    Ok(service.subscriber_max_buffer_size(queue))
}

/// What wakes the other side.
fn events(node: &Node<ipc::Service>) -> Done<EventBuilder<ipc::Service>> {
    Ok(node.service_builder(&"wakeups".try_into()?).event())
}

/// With files of its own, in `folder`: what else uses iceoryx2 here is left alone, and so are its settings. It is the
/// node of the receiver that removes the memory of the sender, which was killed, when it is dropped.
fn node(folder: &Path) -> Done<Node<ipc::Service>> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    config.global.set_root_path(&text(folder)?.try_into()?);
    Ok(NodeBuilder::new().config(&config).create::<ipc::Service>()?)
}

fn path(told: &[String]) -> Done<&Path> {
    Ok(Path::new(told.first().ok_or("no path")?))
}

fn text(path: &Path) -> Done<&str> {
    path.to_str().ok_or_else(|| "the temporary folder has a name that is no text".into())
}
