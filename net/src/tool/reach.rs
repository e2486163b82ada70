//! `tpipe-net reach`.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use typed_pipe::{Connection, ErrorKind, Listener, Tokio};
use typed_pipe_net::Net;
use typed_pipe_net::paths::Far;

use super::args::Reach;
use super::{PAUSE, close, open, tell, told_to_end};

pub(crate) async fn run(how: Reach) -> io::Result<()> {
    let mut ended = pin!(told_to_end()?);
    let net = Arc::new(open(&how.link)?);
    // Wrong words are told now, and not to the first who connects.
    typed_pipe_net::paths::check(&how.address)?;
    let listener =
        Listener::bind(&how.path)?.into_tokio().map_err(|failed| failed.into_parts().1)?;
    println!("{}", how.path.display());
    let address: Arc<str> = how.address.into();
    loop {
        let local = tokio::select! {
            local = listener.accept() => local,
            () = &mut ended => break,
        };
        match local {
            Ok(local) => {
                tokio::spawn(serve(local, Arc::clone(&net), Arc::clone(&address), how.hold));
            }
            // It has rested: another one may come.
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => tell(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    drop(listener);
    // Those that are carried end with the links.
    match Arc::try_unwrap(net) {
        Ok(net) => close(net).await,
        Err(_) => Ok(()),
    }
}

/// Carries one program.
async fn serve(local: Connection<Tokio>, net: Arc<Net>, address: Arc<str>, hold: Duration) {
    let ended = match far(&net, &address, hold).await {
        Ok(far) => {
            drop(net);
            far.carry(local).await.map_err(|cut| cut.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    if let Err(why) = ended {
        tell(&format!("a connection has ended: {why}"));
    }
}

/// Connects to the other machine; for so long again while that may help.
async fn far(net: &Net, address: &str, hold: Duration) -> io::Result<Far> {
    let until = Instant::now() + hold;
    // A machine that has just started may not offer anything yet.
    let mut refused = false;
    loop {
        let error = match net.far(address).await {
            Ok(far) => return Ok(far),
            Err(error) => error,
        };
        let is_refusal =
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
        if (is_refusal && refused) || Instant::now() >= until {
            return Err(error);
        }
        refused |= is_refusal;
        sleep(PAUSE.min(until.saturating_duration_since(Instant::now()))).await;
    }
}
