//! typed-pipe: a service, and a client with calls in flight.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use typed_pipe::{Client, ClientOptions, Service};

use crate::message::Quote;
use crate::over_tokio::runtime;
use crate::round::{Done, Pace, Round};

/// So many calls in flight.
pub(crate) const MANY: usize = 100;

/// Answers each quote with itself, in threads.
pub(crate) fn answer(told: &[String]) -> Done<Infallible> {
    let service = Service::<Quote, Quote>::bind(told.first().ok_or("no path")?)?;
    Err(format!("the service has ended: {:?}", service.serve(|quote| quote)?).into())
}

/// The same in tasks.
pub(crate) fn answer_in_tasks(told: &[String]) -> Done<Infallible> {
    let service = Service::<Quote, Quote>::bind(told.first().ok_or("no path")?)?;
    runtime()?.block_on(async {
        let serving = service.into_tokio()?.serve(|quote| async move { quote });
        Err(format!("the service has ended: {:?}", serving.await?).into())
    })
}

/// One call after the other.
pub(crate) fn call(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("service");
    let mut pace = round.start_apart(16, &[text(&path)?])?;
    let client = Client::<Quote, Quote>::connect(&path)?;
    let quote = Quote::sample();
    while pace.goes_on() {
        black_box(client.call(black_box(&quote))?);
    }
    Ok(pace.rate())
}

/// Many threads, each with a call in flight.
pub(crate) fn call_in_threads(round: &Round) -> Done<f64> {
    Ok(in_threads(round, MANY)?.rate())
}

/// So many threads; the rate is that of a second of processor time.
pub(crate) fn processor_of_threads<const COUNT: usize>(round: &Round) -> Done<f64> {
    in_threads(round, COUNT)?.processor_rate()
}

fn in_threads(round: &Round, count: usize) -> Done<Pace> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("service");
    let mut pace = round.start_apart(64, &[text(&path)?])?;
    let client = Arc::new(Client::<Quote, Quote>::connect(&path)?);
    let answered = Arc::new(AtomicU64::new(0));
    for _ in 0..count {
        let (client, answered) = (Arc::clone(&client), Arc::clone(&answered));
        // Each ends with the service, or with this process.
        thread::spawn(move || {
            let quote = Quote::sample();
            while client.call(black_box(&quote)).is_ok() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut counted = 0;
    while pace.goes_on() {
        while answered.load(Ordering::Relaxed) <= counted {
            thread::sleep(Duration::from_micros(500));
        }
        counted += 1;
    }
    Ok(pace)
}

/// One thread, with many calls in flight.
pub(crate) fn start(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("service");
    let mut pace = round.start_apart(64, &[text(&path)?])?;
    let client = Client::<Quote, Quote>::connect(&path)?;
    let quote = Quote::sample();
    let mut calls = VecDeque::with_capacity(MANY);
    while pace.goes_on() {
        while calls.len() < MANY {
            calls.push_back(client.start(black_box(&quote))?);
        }
        black_box(calls.pop_front().ok_or("no call")?.wait()?);
    }
    // Those in flight go with their service.
    std::mem::forget(calls);
    Ok(pace.rate())
}

/// One task, with many calls in flight.
pub(crate) fn call_in_tasks(round: &Round) -> Done<f64> {
    Ok(in_a_task(round, MANY)?.rate())
}

/// So many calls of one task; the rate is that of a second of processor time.
pub(crate) fn processor_of_tasks<const COUNT: usize>(round: &Round) -> Done<f64> {
    in_a_task(round, COUNT)?.processor_rate()
}

fn in_a_task(round: &Round, count: usize) -> Done<Pace> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("service");
    let mut pace = round.start_apart(64, &[text(&path)?])?;
    runtime()?.block_on(async {
        let options = ClientOptions::new().into_tokio();
        let client = options.connect::<Quote, Quote>(&path).await?;
        let quote = Quote::sample();
        let mut calls = FuturesUnordered::new();
        while pace.goes_on() {
            while calls.len() < count {
                calls.push(client.call(black_box(&quote)));
            }
            black_box(calls.next().await.ok_or("no call")??);
        }
        Ok(pace)
    })
}

pub(crate) fn text(path: &Path) -> Done<&str> {
    path.to_str().ok_or_else(|| "the temporary folder has a name that is no text".into())
}
