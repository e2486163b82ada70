//! `tpipe listen`

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use typed_pipe::state::{Open, Read};
use typed_pipe::tool::Question;
use typed_pipe::wire::shape::Shape;
use typed_pipe::wire::{self, Wire};
use typed_pipe::{
    Anything, CancelToken, Connection, End, OnHangup, Pipe, PipePath, PipeRef, ReadEnd,
    ReceivingHalf, SendingHalf, TypedReceiver,
};

use crate::args::{Codec, Framing, Listen};
use crate::failure::{Failure, INTERRUPTED};
use crate::framing::OnWire;
use crate::incoming::Printing;
use crate::message::{self, Any};
use crate::peer::{CONNECT_TIMEOUT, Peer, Talk, is_listener};
use crate::screen::Screen;

pub(crate) fn run(how: &Listen, screen: &Screen) -> Result<u8, Failure> {
    let path = PipePath::new(&how.path)?;
    let shape = message::load(how.wire.shape.as_deref())?;
    let printing = Printing {
        screen,
        codec: Any(how.wire.codec()),
        shape: shape.as_ref(),
        save_shape: how.save_shape.as_deref(),
        count: how.count,
    };
    if how.wire.listener || (!how.create && is_listener(&path)) {
        return at_listener(how, &path, printing);
    }
    let policy = if how.stay { OnHangup::NextWriter } else { OnHangup::EndOfStream };
    if how.create {
        // Else an interrupt would leave the name behind.
        let token = cancelled_by_an_interrupt()?;
        let end = Pipe::create(&path)?.into_reader().on_hangup(policy).cancelled_by(&token);
        return over(end.open()?, how, &printing);
    }
    let end = ReadEnd::at(&path)?.on_hangup(policy);
    let end = match how.timeout {
        Some(timeout) => end.open_timeout(timeout)?,
        None => end.open()?,
    };
    over(end, how, &printing)
}

/// A token that Ctrl-C cancels, or another signal that should end the program. A second one ends it at once.
fn cancelled_by_an_interrupt() -> Result<CancelToken, Failure> {
    let token = CancelToken::new()?;
    let (cancelled, is_second) = (token.clone(), AtomicBool::new(false));
    let handler = move || {
        if is_second.swap(true, Ordering::Relaxed) {
            process::exit(INTERRUPTED.into());
        }
        cancelled.cancel();
    };
    ctrlc::set_handler(handler).map_err(|error| Failure::Words(error.to_string()))?;
    Ok(token)
}

/// Prints the messages of a pipe.
fn over<P: PipeRef>(
    end: End<Read, Open, P>,
    how: &Listen,
    printing: &Printing<'_>,
) -> Result<u8, Failure> {
    let codec = printing.codec;
    if let (Framing::LengthPrefixed, Codec::Postcard) = (how.wire.framing, codec.0) {
        // The only wire on which writers tell their shape by themselves. They may send anything.
        return all(end.into_receiver::<Value>(), how, printing);
    }
    how.wire.framing.with(codec, Reading { end, how, printing })
}

/// A pipe, and how its messages are printed.
struct Reading<'a, P: PipeRef> {
    end: End<Read, Open, P>,
    how: &'a Listen,
    printing: &'a Printing<'a>,
}

impl<P: PipeRef> OnWire for Reading<'_, P> {
    type Done = Result<u8, Failure>;

    fn on<F: wire::Framing + Clone + Send + 'static>(
        self,
        wire: Wire<F, Any>,
    ) -> Result<u8, Failure> {
        all(self.end.into_receiver_with::<Value, _, _>(wire), self.how, self.printing)
    }
}

/// Prints what a listener sends to a client that says nothing.
fn at_listener(how: &Listen, path: &PipePath, mut printing: Printing<'_>) -> Result<u8, Failure> {
    let wait = how.timeout.unwrap_or(CONNECT_TIMEOUT);
    let question = Question::hear(Connection::connect_timeout(path, wait)?, wait)?;
    let peer = Peer::of_messages(&question.said())?;
    if how.wire.codec.is_none() {
        printing.codec = peer.codec;
    }
    peer.meet(question.ask()?, Hearing { how, printing })
}

/// A client that says nothing.
struct Hearing<'a> {
    how: &'a Listen,
    printing: Printing<'a>,
}

impl Talk for Hearing<'_> {
    fn talk<F: wire::Framing + Send>(
        self,
        sender: SendingHalf<Anything, F, Any>,
        receiver: ReceivingHalf<(), F, Any>,
        _: Option<&Shape>,
    ) -> Result<u8, Failure> {
        let code = all(receiver, self.how, &self.printing);
        // Earlier, the listener would have seen that this client has finished.
        drop(sender);
        code
    }
}

fn all<T, P: PipeRef, F: wire::Framing, C: wire::Codec>(
    mut receiver: TypedReceiver<T, End<Read, Open, P>, F, C>,
    how: &Listen,
    printing: &Printing<'_>,
) -> Result<u8, Failure> {
    receiver.set_timeout(how.timeout);
    printing.all(&mut receiver)
}
