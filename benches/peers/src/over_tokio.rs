//! tokio: a Unix socket, `LengthDelimitedCodec` and postcard.
//!
//! At its best: a runtime of one thread, a write buffer and a read buffer of 64 KiB where the default has
//! 8 KiB, and frames that are cut from one large allocation instead of a `Vec` for each.

use std::convert::Infallible;
use std::hint::black_box;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::by_hand::BATCH;
use crate::message::Quote;
use crate::round::{Done, Round};

pub(crate) fn receive(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    runtime()?.block_on(async {
        let listener = UnixListener::bind(&path)?;
        let mut pace = round.start(256, &[path.to_str().ok_or("the path is no text")?])?;
        let (stream, _) = listener.accept().await?;
        let mut frames = FramedRead::with_capacity(stream, LengthDelimitedCodec::new(), BATCH);
        while pace.goes_on() {
            let frame = frames.next().await.ok_or("the sender is gone")??;
            black_box(postcard::from_bytes::<Quote>(&frame)?);
        }
        Ok(pace.rate())
    })
}

/// One `feed` a quote: it flushes by itself when the buffer is full.
pub(crate) fn batch(told: &[String]) -> Done<Infallible> {
    runtime()?.block_on(async {
        let stream = UnixStream::connect(told.first().ok_or("no path")?).await?;
        let mut frames = FramedWrite::new(stream, LengthDelimitedCodec::new());
        frames.set_backpressure_boundary(BATCH);
        let quote = Quote::sample();
        let mut room = [0; 64];
        let mut bytes = BytesMut::with_capacity(BATCH);
        loop {
            bytes.extend_from_slice(postcard::to_slice(black_box(&quote), &mut room)?);
            frames.feed(bytes.split().freeze()).await?;
        }
    })
}

pub(crate) fn runtime() -> Done<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
