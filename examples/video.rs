//! Frames of 2 MiB from one process to another, as fast as they can be drawn and looked at, in each way that there is:
//! `cargo run --release --features shared-memory --example video`
//!
//! The viewer starts a camera for each way. The camera draws each frame, byte for byte; the viewer looks at every 64th byte
//! of it. With `-- SECONDS` each way takes so long. Shared memory and sealed bytes exist on Linux alone.

use std::env;
use std::error::Error;
use std::io::{IsTerminal, Read, stdout};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use typed_pipe::{
    Connection, Handles, Handshake, Listener, Pipe, SealedBytes, SharedMemory, TransportKind,
    TypedSender, WithHandles,
};

const FRAME: usize = 2 << 20;

type Done<T = ()> = Result<T, Box<dyn Error>>;

/// How the frames go to the viewer.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Pipe,
    Socket,
    SharedMemory,
    SealedBytes,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Pipe, "pipe"),
    (Way::Socket, "socket"),
    (Way::SharedMemory, "shared memory"),
    (Way::SealedBytes, "sealed bytes"),
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        [] => view(Duration::from_secs(2)),
        ["camera", way, path, millis] => camera(way, Path::new(path), millis),
        [seconds] => seconds
            .parse()
            .map_err(Into::into)
            .and_then(|seconds: f64| view(Duration::from_secs_f64(seconds.clamp(0.1, 3600.0)))),
        _ => Err("usage: video [SECONDS]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("video: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What came of one way.
struct Seen {
    frames: u64,
    time: Duration,
    /// The processor time of the viewer and of the camera.
    used: [Duration; 2],
}

fn view(time: Duration) -> Done {
    let mut all = Vec::new();
    for (way, name) in WAYS {
        match film(way, name, time) {
            Ok(seen) => all.push((name, seen)),
            Err(error) => println!("{name:>13}: {error}"),
        }
    }
    let rate = |seen: &Seen| seen.frames as f64 / seen.time.as_secs_f64();
    let best = all.iter().map(|(_, seen)| rate(seen)).fold(1.0, f64::max);
    println!("\nframes of 2 MiB a second, and the processor time of camera and viewer for each:\n");
    for (name, seen) in &all {
        let of_each = |used: Duration| used.as_secs_f64() * 1e6 / seen.frames.max(1) as f64;
        let [viewer, camera] = seen.used.map(of_each);
        let bar = "█".repeat((rate(seen) / best * 30.0).round() as usize);
        let bar = if stdout().is_terminal() { format!("\x1b[36m{bar:<30}\x1b[0m") } else { bar };
        println!("{name:>13} {:>6.0}  {camera:>4.0} + {viewer:<4.0} µs  {bar}", rate(seen));
    }
    Ok(())
}

/// Starts a camera, and looks at all that it sends.
fn film(way: Way, name: &str, time: Duration) -> Done<Seen> {
    let start = |path: &Path| {
        Command::new(env::current_exe()?)
            .args(["camera", name])
            .arg(path)
            .arg(time.as_millis().to_string())
            .stdout(Stdio::piped())
            .spawn()
    };
    let before = processor_time();
    let mut watch = Watch::default();
    let mut camera;
    if way == Way::Pipe {
        let pipe = Pipe::temporary()?;
        camera = start(pipe.path().as_path())?;
        let mut reader = pipe.into_reader().open()?;
        reader.wait_for_peer(&camera)?;
        let mut receiver = reader.into_receiver::<Vec<u8>>();
        while let Ok(frame) = receiver.recv_bytes() {
            watch.look(frame)?;
        }
    } else {
        let listener = Listener::temporary()?;
        camera = start(listener.path().as_path())?;
        let connection = listener.accept_timeout(Duration::from_secs(60))?;
        if way == Way::SealedBytes {
            let mut side = connection.into_typed::<(), WithHandles<u32>>()?;
            while let Ok((number, mut handles)) = side.recv_with_handles() {
                watch.look(&handles.take::<SealedBytes>(number)?)?;
            }
        } else {
            let mut side = handshake(way).perform::<(), Vec<u8>>(connection)?;
            if way == Way::SharedMemory && *side.transport() != TransportKind::SharedMemory {
                return Err(side.transport().to_string().into());
            }
            while let Ok(frame) = side.receiver().recv_bytes() {
                watch.look(frame)?;
            }
        }
    }
    let used = processor_time() - before;
    let mut told = String::new();
    camera.stdout.take().ok_or("the camera has no output")?.read_to_string(&mut told)?;
    if !camera.wait()?.success() || watch.frames == 0 {
        return Err("this system does not have it".into());
    }
    let camera = Duration::from_nanos(told.trim().parse()?);
    let time = watch.last.zip(watch.first).map_or(time, |(last, first)| last - first);
    Ok(Seen { frames: watch.frames, time, used: [used, camera] })
}

/// Both sides of a connection say the same.
fn handshake(way: Way) -> Handshake {
    match way {
        Way::SharedMemory => {
            Handshake::new().shared_memory(SharedMemory::offered().ring(4 * FRAME))
        }
        _ => Handshake::new(),
    }
}

/// What the viewer has seen.
#[derive(Default)]
struct Watch {
    frames: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Watch {
    fn look(&mut self, frame: &[u8]) -> Done {
        let sum: u64 = frame.iter().step_by(64).map(|&byte| u64::from(byte)).sum();
        let wanted = self.frames % 251 * (FRAME as u64 / 64);
        if frame.len() != FRAME || sum != wanted {
            return Err(format!("frame {} is torn", self.frames).into());
        }
        self.frames += 1;
        self.last = Some(Instant::now());
        self.first = self.first.or(self.last);
        Ok(())
    }
}

/// Draws and sends frames for some time, and prints the processor time that it has used.
fn camera(way: &str, path: &Path, millis: &str) -> Done {
    let (way, _) = WAYS.into_iter().find(|(_, name)| *name == way).ok_or("no such way")?;
    let end = Instant::now() + Duration::from_millis(millis.parse()?);
    let draws = (0_u64..).map(|number| (number % 251) as u8).take_while(|_| Instant::now() < end);
    match way {
        Way::Pipe => {
            let mut sender = TypedSender::<[u8]>::connect(path)?;
            for color in draws {
                let mut frame = sender.loan(FRAME)?;
                frame.fill(color);
                frame.send()?;
            }
            sender.finish()?;
        }
        Way::Socket | Way::SharedMemory => {
            let connection = Connection::connect(path)?;
            let mut side = handshake(way).perform::<Vec<u8>, ()>(connection)?;
            for color in draws {
                let mut frame = side.sender().loan(FRAME)?;
                frame.fill(color);
                frame.send()?;
            }
            side.finish()?;
        }
        Way::SealedBytes => {
            let connection = Connection::connect(path)?;
            let mut side = connection.into_typed::<WithHandles<u32>, ()>()?;
            for color in draws {
                let frame = SealedBytes::fill(FRAME, |frame| frame.fill(color))?;
                let mut handles = Handles::new();
                let number = handles.add(frame);
                side.send_with_handles(&number, &mut handles)?;
            }
            side.finish()?;
        }
    }
    println!("{}", processor_time().as_nanos());
    Ok(())
}

/// The processor time of this process.
#[cfg(unix)]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

#[cfg(not(unix))]
fn processor_time() -> Duration {
    Duration::ZERO
}
