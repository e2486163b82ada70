//! tarpc: its client and server over a Unix socket, with postcard, each in a runtime of one thread.

use std::convert::Infallible;
use std::hint::black_box;
use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Serialize, de::DeserializeOwned};
use tarpc::context;
use tarpc::server::{BaseChannel, Channel};
use tokio::net::{UnixListener, UnixStream};
use tokio_serde::{Deserializer, Serializer};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::message::Quote;
use crate::our_calls::{MANY, text};
use crate::over_tokio::runtime;
use crate::round::{Done, Round};

#[tarpc::service]
trait Quotes {
    async fn ask(quote: Quote) -> Quote;
}

#[derive(Clone)]
struct Answers;

impl Quotes for Answers {
    async fn ask(self, _: context::Context, quote: Quote) -> Quote {
        quote
    }
}

/// Postcard, as the codecs of tarpc's transports are made.
struct Postcard;

impl<T: DeserializeOwned> Deserializer<T> for Postcard {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, bytes: &BytesMut) -> io::Result<T> {
        postcard::from_bytes(bytes).map_err(io::Error::other)
    }
}

impl<T: Serialize> Serializer<T> for Postcard {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, value: &T) -> io::Result<Bytes> {
        postcard::to_allocvec(value).map(Bytes::from).map_err(io::Error::other)
    }
}

/// Answers each quote with itself.
pub(crate) fn answer(told: &[String]) -> Done<Infallible> {
    let path = told.first().ok_or("no path")?;
    runtime()?.block_on(async {
        let stream = UnixStream::connect(path).await?;
        let frames = Framed::new(stream, LengthDelimitedCodec::new());
        let channel = BaseChannel::with_defaults(tarpc::serde_transport::new(frames, Postcard));
        let answering = channel.execute(Answers.serve());
        answering.for_each(|answer| async move { drop(tokio::spawn(answer)) }).await;
        Err("the client is gone".into())
    })
}

/// One task, with many calls in flight.
pub(crate) fn call_in_tasks(round: &Round) -> Done<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("service");
    runtime()?.block_on(async {
        let listener = UnixListener::bind(&path)?;
        let mut pace = round.start_apart(64, &[text(&path)?])?;
        let (stream, _) = listener.accept().await?;
        let frames = Framed::new(stream, LengthDelimitedCodec::new());
        let transport = tarpc::serde_transport::new(frames, Postcard);
        let client = QuotesClient::new(tarpc::client::Config::default(), transport).spawn();
        let quote = Quote::sample();
        let mut calls = FuturesUnordered::new();
        while pace.goes_on() {
            while calls.len() < MANY {
                let (client, quote) = (client.clone(), black_box(&quote).clone());
                calls.push(async move { client.ask(context::current(), quote).await });
            }
            black_box(calls.next().await.ok_or("no call")??);
        }
        Ok(pace.rate())
    })
}
