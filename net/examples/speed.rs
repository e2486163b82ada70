//! How fast a connection to another machine is, beside the same streams of iroh by hand, and beside a FIFO.
//!
//! `cargo run --release --manifest-path net/Cargo.toml --example speed` measures over the loopback address, in pairs, and
//! prints medians. The numbers of the README are from it.

use std::error::Error;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use iroh::endpoint::{QuicTransportConfig, RecvStream, SendStream, presets};
use iroh::{Endpoint, EndpointAddr, RelayMode, SecretKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::runtime::{Builder, Runtime};
use typed_pipe::{Connection, Pipe, TypedConnection, TypedSender};
use typed_pipe_net::{Key, Net};

/// The pairs of each row.
const PAIRS: usize = 7;
const SMALL: u32 = 200_000;
const LARGE: u32 = 4_000;
const TRIPS: u32 = 5_000;

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
struct Reading {
    sensor: u32,
    at: u64,
    value: f64,
    unit: String,
}

fn small() -> Reading {
    Reading { sensor: 77, at: 1_700_000_000_000, value: 21.5, unit: "degrees celsius".into() }
}

fn large() -> ByteBuf {
    ByteBuf::from(vec![7; 64 << 10])
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("one operation takes, and so many times faster is ours (medians of {PAIRS})");
    println!(
        "{:9} {:>11} {:>11} {:>11} {:>11} {:>11}",
        "", "ours", "by hand", "FIFO", "than hand", "than FIFO"
    );
    row("net_send", SMALL, &mut one_way(small(), SMALL)?)?;
    row("net_64k", LARGE, &mut one_way(large(), LARGE)?)?;
    row("net_rtt", TRIPS, &mut round_trips(small())?)?;
    Ok(())
}

/// Three programs that do the same.
type Three = [Box<dyn FnMut() -> Duration>; 3];

fn row(name: &str, count: u32, three: &mut Three) -> Result<(), Box<dyn Error>> {
    let mut all: Vec<[f64; 3]> = Vec::new();
    for _ in 0..=PAIRS {
        let mut times = [0.0; 3];
        for (time, run) in times.iter_mut().zip(&mut *three) {
            *time = run().as_secs_f64() / f64::from(count);
        }
        all.push(times);
    }
    // The first one warms up.
    all.remove(0);
    let median = |of: &dyn Fn(&[f64; 3]) -> f64| {
        let mut numbers: Vec<_> = all.iter().map(of).collect();
        numbers.sort_by(f64::total_cmp);
        numbers[numbers.len() / 2]
    };
    let micros = |at: usize| format!("{:.2} µs", median(&|times| times[at] * 1e6));
    let ratio = |at: usize| format!("{:.2}", median(&|times| times[at] / times[0]));
    let (ours, hand, fifo) = (micros(0), micros(1), micros(2));
    println!("{name:9} {ours:>11} {hand:>11} {fifo:>11} {:>11} {:>11}", ratio(1), ratio(2));
    Ok(())
}

fn one_way<T>(message: T, count: u32) -> Result<Three, Box<dyn Error>>
where
    T: Serialize + DeserializeOwned + Clone + Send + PartialEq + 'static,
{
    let (ours, hand, fifo) = (message.clone(), message.clone(), message);
    let nets = Nets::new()?;
    let hands = Hands::new()?;
    Ok([
        Box::new(move || {
            let (receiver, sender) = nets.connect::<T>();
            let ((mut sender, _rest), (_other, mut receiver)) = (sender.split(), receiver.split());
            let begin = Instant::now();
            let expected = ours.clone();
            let taking = thread::spawn(move || {
                (0..count).for_each(|_| assert!(receiver.recv().unwrap() == expected));
                receiver
            });
            (0..count).for_each(|_| sender.send(&ours).unwrap());
            drop(taking.join().unwrap());
            begin.elapsed()
        }),
        Box::new(move || {
            let ((mut send, _), (_, recv)) = hands.streams();
            let begin = Instant::now();
            let (expected, there) = (hand.clone(), hands.runtimes[1].handle().clone());
            let taking = thread::spawn(move || {
                there.block_on(async move {
                    let mut frames = Frames::new(recv);
                    for _ in 0..count {
                        assert!(frames.next::<T>().await == expected);
                    }
                });
            });
            hands.runtimes[0].block_on(async {
                let mut frame = Vec::new();
                for _ in 0..count {
                    put(&mut frame, &hand);
                    send.write_all(&frame).await.unwrap();
                }
            });
            taking.join().unwrap();
            begin.elapsed()
        }),
        Box::new(move || {
            let pipe = Pipe::temporary().unwrap();
            let path = pipe.path().clone();
            let mut receiver = pipe.into_reader().open().unwrap().into_receiver::<T>();
            let mut sender = TypedSender::<T>::connect(path).unwrap();
            let begin = Instant::now();
            let expected = fifo.clone();
            let taking = thread::spawn(move || {
                (0..count).for_each(|_| assert!(receiver.recv().unwrap() == expected));
                receiver
            });
            (0..count).for_each(|_| sender.send(&fifo).unwrap());
            drop(taking.join().unwrap());
            begin.elapsed()
        }),
    ])
}

fn round_trips(message: Reading) -> Result<Three, Box<dyn Error>> {
    let (ours, hand, fifo) = (message.clone(), message.clone(), message);
    let nets = Nets::new()?;
    let hands = Hands::new()?;
    Ok([
        Box::new(move || {
            let (mut there, mut here) = nets.connect::<Reading>();
            let echo = thread::spawn(move || {
                for _ in 0..TRIPS {
                    let message = there.recv().unwrap();
                    there.send(&message).unwrap();
                }
                there
            });
            let begin = Instant::now();
            for _ in 0..TRIPS {
                here.send(&ours).unwrap();
                here.recv().unwrap();
            }
            let took = begin.elapsed();
            drop(echo.join().unwrap());
            took
        }),
        Box::new(move || {
            let ((mut send, recv), (mut back, there)) = hands.streams();
            let handle = hands.runtimes[1].handle().clone();
            let echo = thread::spawn(move || {
                handle.block_on(async move {
                    let (mut frames, mut frame) = (Frames::new(there), Vec::new());
                    for _ in 0..TRIPS {
                        put(&mut frame, &frames.next::<Reading>().await);
                        back.write_all(&frame).await.unwrap();
                    }
                });
            });
            let begin = Instant::now();
            hands.runtimes[0].block_on(async {
                let (mut frames, mut frame) = (Frames::new(recv), Vec::new());
                for _ in 0..TRIPS {
                    put(&mut frame, &hand);
                    send.write_all(&frame).await.unwrap();
                    frames.next::<Reading>().await;
                }
            });
            let took = begin.elapsed();
            echo.join().unwrap();
            took
        }),
        Box::new(move || {
            let pipes = [Pipe::temporary().unwrap(), Pipe::temporary().unwrap()];
            let [to, back] = [pipes[0].path().clone(), pipes[1].path().clone()];
            let [mut there, mut here] =
                pipes.map(|pipe| pipe.into_reader().open().unwrap().into_receiver::<Reading>());
            let echo = thread::spawn(move || {
                let mut sender = TypedSender::<Reading>::connect(back).unwrap();
                for _ in 0..TRIPS {
                    sender.send(&there.recv().unwrap()).unwrap();
                }
                there
            });
            let mut sender = TypedSender::<Reading>::connect(to).unwrap();
            let begin = Instant::now();
            for _ in 0..TRIPS {
                sender.send(&fifo).unwrap();
                here.recv().unwrap();
            }
            let took = begin.elapsed();
            drop(echo.join().unwrap());
            took
        }),
    ])
}

/// Two machines of ours.
struct Nets {
    there: Net,
    offer: typed_pipe_net::Offer,
}

impl Nets {
    fn new() -> Result<Self, Box<dyn Error>> {
        let key = Key::generate();
        let here = Net::open(&Key::generate())?.listening("127.0.0.1:0".parse()?)?;
        let offer = here.offer("speed", &[key.public()])?;
        Ok(Self { there: Net::open(&key)?, offer })
    }

    fn connect<T>(&self) -> (TypedConnection<T, T>, TypedConnection<T, T>)
    where
        T: Serialize + DeserializeOwned + Send + 'static,
    {
        let there: Connection = self.there.connect(self.offer.address()).unwrap();
        let here = self.offer.accept().unwrap();
        let there = thread::spawn(move || there.into_typed().unwrap());
        (here.into_typed().unwrap(), there.join().unwrap())
    }
}

/// The same by hand: the settings and the threads are those of ours.
struct Hands {
    runtimes: [Runtime; 2],
    quic: [iroh::endpoint::Connection; 2],
    _endpoints: [Endpoint; 2],
}

impl Hands {
    fn new() -> Result<Self, Box<dyn Error>> {
        let runtime = || Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtimes = [runtime()?, runtime()?];
        let at: SocketAddr = "127.0.0.1:0".parse()?;
        let endpoint = |runtime: &Runtime| {
            runtime.block_on(async {
                let sign = Duration::from_millis(1250);
                let config = QuicTransportConfig::builder()
                    .max_idle_timeout(Some(Duration::from_secs(5).try_into().unwrap()))
                    .keep_alive_interval(sign)
                    .default_path_max_idle_timeout(Duration::from_secs(5))
                    .default_path_keep_alive_interval(sign)
                    .stream_receive_window((1_u32 << 20).into())
                    .datagram_receive_buffer_size(None)
                    .build();
                Endpoint::builder(presets::Minimal)
                    .relay_mode(RelayMode::Disabled)
                    .secret_key(SecretKey::generate())
                    .transport_config(config)
                    .alpns(vec![b"speed".to_vec()])
                    .clear_ip_transports()
                    .bind_addr(at)
                    .unwrap()
                    .bind()
                    .await
                    .unwrap()
            })
        };
        let [here, there] = [endpoint(&runtimes[0]), endpoint(&runtimes[1])];
        let to = EndpointAddr::new(there.id()).with_ip_addr(there.bound_sockets()[0]);
        let accepting = there.clone();
        let accepted = runtimes[1].spawn(async move {
            accepting.accept().await.unwrap().accept().unwrap().await.unwrap()
        });
        let quic = runtimes[0].block_on(here.connect(to, b"speed")).unwrap();
        let accepted = runtimes[1].block_on(accepted)?;
        Ok(Self { runtimes, quic: [quic, accepted], _endpoints: [here, there] })
    }

    /// A stream in both directions.
    fn streams(&self) -> ((SendStream, RecvStream), (SendStream, RecvStream)) {
        let here = self.runtimes[0].block_on(async {
            let mut here = self.quic[0].open_bi().await.unwrap();
            // It is there once something is written.
            here.0.write_all(&[0]).await.unwrap();
            here
        });
        let there = self.runtimes[1].block_on(async {
            let mut there = self.quic[1].accept_bi().await.unwrap();
            there.1.read_exact(&mut [0]).await.unwrap();
            there
        });
        (here, there)
    }
}

/// Makes a frame: its length, and its bytes.
fn put<T: Serialize>(frame: &mut Vec<u8>, message: &T) {
    frame.clear();
    frame.extend([0; 4]);
    let mut filled = postcard::to_extend(message, std::mem::take(frame)).unwrap();
    let len = u32::try_from(filled.len() - 4).unwrap();
    filled[..4].copy_from_slice(&len.to_be_bytes());
    *frame = filled;
}

/// The frames of a stream, read in whole buffers.
struct Frames {
    recv: RecvStream,
    buf: Vec<u8>,
    at: usize,
    end: usize,
}

impl Frames {
    fn new(recv: RecvStream) -> Self {
        Self { recv, buf: vec![0; 64 << 10], at: 0, end: 0 }
    }

    async fn next<T: DeserializeOwned>(&mut self) -> T {
        self.fill(4).await;
        let len = self.buf[self.at..self.at + 4].try_into().map(u32::from_be_bytes).unwrap();
        let len = usize::try_from(len).unwrap();
        self.fill(4 + len).await;
        let message = postcard::from_bytes(&self.buf[self.at + 4..self.at + 4 + len]).unwrap();
        self.at += 4 + len;
        message
    }

    /// Reads until there are so many bytes.
    async fn fill(&mut self, len: usize) {
        while self.end - self.at < len {
            self.buf.copy_within(self.at..self.end, 0);
            (self.at, self.end) = (0, self.end - self.at);
            if self.buf.len() < len {
                self.buf.resize(len, 0);
            }
            self.end += self.recv.read(&mut self.buf[self.end..]).await.unwrap().unwrap();
        }
    }
}
