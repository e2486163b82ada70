//! Several sensors, each a process of its own, and one collector, all in tasks of tokio. Ctrl-C ends all of them, and
//! then the collector prints the counts: `cargo run --features tokio --example telemetry`
//!
//! `--sensors NUMBER` starts more of them, and `--readings NUMBER` ends each after that many.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::signal::ctrl_c;
use tokio::time::interval;
use typed_pipe::wire::{MultiWriter, Wire};
use typed_pipe::{OnHangup, Pipe, WireOf, WriteEnd};

/// A message from a sensor.
#[derive(Serialize, Deserialize)]
struct Reading {
    sensor: u32,
    number: u64,
    celsius: f64,
}

/// The counts of one sensor.
#[derive(Default)]
struct Series {
    count: u64,
    sum: f64,
    missing: u64,
}

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [role, path, sensor, readings] = &arguments[..] {
        if role == "sense" {
            return sense(path, sensor.parse()?, readings.parse()?).await;
        }
    }
    let (mut sensors, mut readings) = (3, u64::MAX);
    for option in arguments.chunks(2) {
        match option {
            [name, value] if name == "--sensors" => sensors = value.parse()?,
            [name, value] if name == "--readings" => readings = value.parse()?,
            _ => return Err(format!("there is no option {}", option.join(" ")).into()),
        }
    }
    collect(sensors, readings).await
}

/// Each writer tells what its messages look like.
fn wire() -> WireOf<Reading, MultiWriter> {
    let framing = MultiWriter::default().protocol("telemetry 1").typed::<Reading>();
    Wire::default().with_framing(framing).of()
}

/// One sensor: sends a reading every 10 milliseconds, until the collector closes its standard input.
async fn sense(path: &str, sensor: u32, readings: u64) -> Outcome {
    // A Ctrl-C goes to all processes of a terminal. The collector decides when this one ends.
    tokio::spawn(async { while ctrl_c().await.is_ok() {} });
    let mut stdin = tokio::io::stdin();
    let mut nothing = [0; 1];
    let mut end = std::pin::pin!(stdin.read(&mut nothing));

    let open = WriteEnd::at(path)?.into_tokio().open().await?;
    let mut sender = wire().sender(open);
    let mut beat = interval(Duration::from_millis(10));
    for number in 0..readings {
        tokio::select! {
            _ = beat.tick() => {}
            _ = &mut end => break,
        }
        let phase = f64::from(u32::try_from(number % 628)?) / 100.0;
        let celsius = 20.0 + f64::from(sensor) + phase.sin();
        sender.send(&Reading { sensor, number, celsius }).await?;
    }
    sender.finish().await?;
    Ok(())
}

/// Starts the sensors, and receives from all of them until each has finished.
async fn collect(sensors: u32, readings: u64) -> Outcome {
    let pipe = Pipe::temporary()?;
    let path = pipe.path().to_string();
    // One that comes late finds a collector, though the others have finished.
    let end = pipe.into_reader().on_hangup(OnHangup::NextWriter).into_tokio().open().await?;
    let mut receiver = wire().receiver(end);

    let mut interrupt = std::pin::pin!(ctrl_c());
    let mut children = (1..=sensors)
        .map(|sensor| start(&path, sensor, readings))
        .collect::<Result<Vec<_>, _>>()?;
    // A sensor goes on as long as its standard input is open.
    let mut inputs: Vec<_> = children.iter_mut().map(|child| child.stdin.take()).collect();
    // It ends when all that it sent was taken.
    let mut ended = std::pin::pin!(async {
        for child in &mut children {
            if !child.wait().await?.success() {
                return Err("a sensor failed".into());
            }
        }
        Outcome::Ok(())
    });

    let mut series = BTreeMap::<u32, Series>::new();
    loop {
        // Each future may be dropped at any time without losing a reading. What was taken comes before the end.
        let Reading { sensor, number, celsius } = tokio::select! {
            biased;
            _ = &mut interrupt, if !inputs.is_empty() => {
                // Readings sent until the sensors notice are still received.
                inputs.clear();
                continue;
            }
            received = receiver.recv() => received?,
            ended = &mut ended => break ended?,
        };
        if series.is_empty() {
            println!("{sensors} sensors, until Ctrl-C");
        }
        let series = series.entry(sensor).or_default();
        series.missing += number - series.count - series.missing;
        series.count += 1;
        series.sum += celsius;
    }

    for (sensor, Series { count, sum, missing }) in &series {
        #[allow(clippy::cast_precision_loss, reason = "a mean needs no more")]
        let mean = sum / *count as f64;
        println!(
            "sensor {sensor}: {count} readings, {missing} missing, {mean:.2} °C on the average"
        );
    }
    let total: u64 = series.values().map(|series| series.count).sum();
    if series.values().any(|series| series.missing > 0) {
        return Err(format!("{total} readings, some are missing").into());
    }
    println!("{total} readings, none is missing");
    Ok(())
}

fn start(path: &str, sensor: u32, readings: u64) -> Result<Child, Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["sense", path, &sensor.to_string(), &readings.to_string()]);
    Ok(command.stdin(Stdio::piped()).kill_on_drop(true).spawn()?)
}
