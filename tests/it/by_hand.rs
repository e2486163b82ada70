//! The other side of a connection of calls, byte by byte: for what no `Client` and no `Service` does.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use typed_pipe::{Connection, ReadHalf, WriteHalf};

/// What this side says before its first frame.
pub(crate) fn greeting() -> Vec<u8> {
    let mut body = (8_u64 << 20).to_be_bytes().to_vec();
    for text in ["length-prefixed", "postcard", "", ""] {
        body.push(u8::try_from(text.len()).unwrap());
        body.extend_from_slice(text.as_bytes());
    }
    // The part of calls: their version, and how many at once.
    body.extend_from_slice(&[3, 0, 3, 1, 4, 0]);
    let mut bytes = b"\xff\xff\xff\x02tpip\x01\x00".to_vec();
    bytes.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// What was received.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Call { id: u64, body: Vec<u8> },
    Answer { id: u64, body: Vec<u8> },
    Error { id: u64, reason: u8, text: String },
    Cancel { id: u64 },
    Notification { body: Vec<u8> },
    Other(Vec<u8>),
    Goodbye,
    End,
}

impl Received {
    fn parse(frame: &[u8]) -> Self {
        let mut rest = &frame[1..];
        let mut number = || {
            let mut number = 0;
            for shift in (0..).step_by(7) {
                number |= u64::from(rest[0] & 0x7F) << shift;
                let last = rest[0] < 0x80;
                rest = &rest[1..];
                if last {
                    break;
                }
            }
            number
        };
        match frame[0] {
            0x01 => {
                let (id, _method, _deadline) = (number(), number(), number());
                Self::Call { id, body: rest.to_vec() }
            }
            0x82 => Self::Answer { id: number(), body: rest.to_vec() },
            0x83 => {
                let id = number();
                let text = String::from_utf8(rest[1..].to_vec()).unwrap();
                Self::Error { id, reason: rest[0], text }
            }
            0x07 => Self::Cancel { id: number() },
            0x09 => {
                number();
                Self::Notification { body: rest.to_vec() }
            }
            _ => Self::Other(frame.to_vec()),
        }
    }

    /// The number and the request of a call.
    #[track_caller]
    pub(crate) fn call<T: DeserializeOwned>(self) -> (u64, T) {
        match self {
            Self::Call { id, body } => (id, postcard(&body)),
            other => panic!("{other:?} is no call"),
        }
    }

    /// The number and the value of an answer.
    #[track_caller]
    pub(crate) fn answer<T: DeserializeOwned>(self) -> (u64, T) {
        match self {
            Self::Answer { id, body } => (id, postcard(&body)),
            other => panic!("{other:?} is no answer"),
        }
    }
}

fn postcard<T: DeserializeOwned>(bytes: &[u8]) -> T {
    use typed_pipe::wire::{Codec, Postcard};
    Postcard.decode(bytes).unwrap()
}

/// The bytes of a frame: its head, and a value.
pub(crate) fn frame<T: Serialize + ?Sized>(head: &[u8], value: &T) -> Vec<u8> {
    use typed_pipe::wire::{Codec, Postcard};
    let mut body = head.to_vec();
    Postcard.encode(value, &mut body).unwrap();
    framed(&body)
}

pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn numbered(kind: u8, mut id: u64, rest: &[u8]) -> Vec<u8> {
    let mut head = vec![kind];
    while id >= 0x80 {
        head.push(u8::try_from(id & 0x7F).unwrap() | 0x80);
        id >>= 7;
    }
    head.push(u8::try_from(id).unwrap());
    head.extend_from_slice(rest);
    head
}

pub(crate) fn call<T: Serialize + ?Sized>(id: u64, request: &T) -> Vec<u8> {
    frame(&numbered(1, id, &[0, 0]), request)
}

pub(crate) fn answer<T: Serialize + ?Sized>(id: u64, answer: &T) -> Vec<u8> {
    frame(&numbered(0x82, id, &[]), answer)
}

/// A connection of calls.
pub(crate) struct ByHand {
    pub(crate) reader: ReadHalf,
    pub(crate) writer: WriteHalf,
}

impl ByHand {
    /// Performs the handshake.
    pub(crate) fn greet(connection: Connection) -> Self {
        let (reader, writer) = connection.split();
        let mut hand = Self { reader, writer };
        hand.writer.write_all(&greeting()).unwrap();
        let mut head = [0; 12];
        hand.reader.read_exact(&mut head).unwrap();
        let mut rest = vec![0; usize::from(u16::from_be_bytes([head[10], head[11]]))];
        hand.reader.read_exact(&mut rest).unwrap();
        hand
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).unwrap();
    }

    /// The next frame.
    pub(crate) fn recv(&mut self) -> Received {
        recv_from(&mut self.reader).unwrap()
    }
}

pub(crate) fn recv_from(reader: &mut impl Read) -> io::Result<Received> {
    let mut length = [0; 4];
    if reader.read(&mut length[..1])? == 0 {
        return Ok(Received::End);
    }
    reader.read_exact(&mut length[1..])?;
    if length == [0xFF, 0xFF, 0xFF, 1] {
        return Ok(Received::Goodbye);
    }
    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    reader.read_exact(&mut frame)?;
    Ok(Received::parse(&frame))
}

#[cfg(feature = "tokio")]
pub(crate) mod tasks {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use typed_pipe::Tokio;

    use super::*;

    pub(crate) struct ByHand {
        pub(crate) reader: ReadHalf<Tokio>,
        pub(crate) writer: WriteHalf<Tokio>,
    }

    impl ByHand {
        pub(crate) async fn greet(connection: Connection<Tokio>) -> Self {
            let (reader, writer) = connection.split();
            let mut hand = Self { reader, writer };
            hand.writer.write_all(&greeting()).await.unwrap();
            let mut head = [0; 12];
            hand.reader.read_exact(&mut head).await.unwrap();
            let mut rest = vec![0; usize::from(u16::from_be_bytes([head[10], head[11]]))];
            hand.reader.read_exact(&mut rest).await.unwrap();
            hand
        }

        pub(crate) async fn send(&mut self, bytes: &[u8]) {
            self.writer.write_all(bytes).await.unwrap();
        }

        pub(crate) async fn recv(&mut self) -> Received {
            self.try_recv().await.unwrap()
        }

        pub(crate) async fn try_recv(&mut self) -> io::Result<Received> {
            let mut length = [0; 4];
            if AsyncReadExt::read(&mut self.reader, &mut length[..1]).await? == 0 {
                return Ok(Received::End);
            }
            self.reader.read_exact(&mut length[1..]).await?;
            if length == [0xFF, 0xFF, 0xFF, 1] {
                return Ok(Received::Goodbye);
            }
            let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
            self.reader.read_exact(&mut frame).await?;
            Ok(Received::parse(&frame))
        }
    }
}
