//! typed-pipe in tasks of tokio, as its documentation says to use it. The runtime is that of the other side.

use std::convert::Infallible;
use std::hint::black_box;

use typed_pipe::{Pipe, WriteEnd};

use crate::message::Quote;
use crate::over_tokio::runtime;
use crate::round::{Done, Round};

/// Receives quotes.
pub(crate) fn receive(round: &Round) -> Done<f64> {
    let pipe = Pipe::temporary()?;
    let path = pipe.path().to_string();
    runtime()?.block_on(async {
        let mut pace = round.start(256, &[&path])?;
        let end = pipe.into_reader().into_tokio().open().await?;
        let mut receiver = end.into_receiver::<Quote>();
        while pace.goes_on() {
            black_box(receiver.recv().await?);
        }
        Ok(pace.rate())
    })
}

/// One `feed` a quote: it flushes by itself when a batch is full.
pub(crate) fn batch(told: &[String]) -> Done<Infallible> {
    runtime()?.block_on(async {
        let end = WriteEnd::at(told.first().ok_or("no path")?)?.into_tokio().open().await?;
        let mut sender = end.into_sender::<Quote>();
        let quote = Quote::sample();
        loop {
            sender.feed(black_box(&quote)).await?;
        }
    })
}
