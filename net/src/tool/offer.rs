//! `tpipe-net offer`.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep};
use typed_pipe::{ConnectOptions, Connection, ErrorKind, Tokio};
use typed_pipe_net::paths::Far;

use super::allowed::Allowed;
use super::args::Offer;
use super::{PAUSE, close, listening, tell, told_to_end};

/// How often the file of the keys is read.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn run(how: Offer) -> io::Result<()> {
    let allowed = Allowed::new(how.allow, how.allow_file);
    let mut keys = allowed.read()?;
    if keys.is_empty() && !allowed.can_change() {
        tell("no key is let in: name some by `--allow`");
    }
    let mut ended = pin!(told_to_end()?);
    let net = tokio::select! {
        net = listening(&how.link, how.listen) => net?,
        () = &mut ended => return Ok(()),
    };
    let offer = net.offer(&how.name, &keys.iter().copied().collect::<Vec<_>>())?;
    println!("{}", offer.address());
    let path: Arc<Path> = how.path.into();
    let mut look = interval(LOOK);
    let mut failed = false;
    loop {
        let far = tokio::select! {
            far = offer.accept_far() => far?,
            _ = look.tick(), if allowed.can_change() => {
                match allowed.read() {
                    Ok(now) if now != keys => {
                        tell(&format!("{} keys are let in", now.len()));
                        offer.set_allowed(&now.iter().copied().collect::<Vec<_>>());
                        keys = now;
                        failed = false;
                    }
                    Ok(_) => failed = false,
                    Err(error) if !failed => {
                        failed = true;
                        tell(&format!("the keys stay as they were: {error}"));
                    }
                    Err(_) => {}
                }
                continue;
            }
            () = &mut ended => break,
        };
        tokio::spawn(serve(far, Arc::clone(&path), how.hold));
    }
    drop(offer);
    close(net).await
}

/// Carries one connection of another machine to the program.
async fn serve(far: Far, path: Arc<Path>, hold: Duration) {
    let who = far.machine();
    let ended = match connect(&path, hold).await {
        Ok(local) => far.carry(local).await.map_err(|cut| cut.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(why) = ended {
        tell(&format!("{}: a connection of {who} has ended: {why}", path.display()));
    }
}

/// Connects to the program, as soon as it listens.
async fn connect(path: &Path, hold: Duration) -> Result<Connection<Tokio>, typed_pipe::Error> {
    let until = Instant::now() + hold;
    loop {
        match ConnectOptions::new().into_tokio().try_connect(path) {
            Err(error) if is_for_now(error.kind()) && Instant::now() < until => {
                sleep(PAUSE.min(until - Instant::now())).await;
            }
            done => return done,
        }
    }
}

fn is_for_now(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::WouldBlock
            | ErrorKind::Disconnected
            | ErrorKind::ResourceExhausted
    )
}
