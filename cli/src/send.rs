//! `tpipe send`

use std::io::{self, BufRead as _, Write as _};
use std::thread;

use serde_json::Value;
use typed_pipe::state::{Open, Write};
use typed_pipe::tool::{Question, hello};
use typed_pipe::wire::shape::Shape;
use typed_pipe::wire::{self, Wire};
use typed_pipe::{
    Anything, Connection, End, PipePath, PipeRef, ReceivingHalf, SendingHalf, TypedSender, WriteEnd,
};

use crate::args::{Codec, Framing, Send};
use crate::failure::{Failure, NOT_ALL};
use crate::framing::OnWire;
use crate::incoming::Printing;
use crate::message::{self, Any, UNTOLD};
use crate::peer::{Peer, Talk, is_listener};
use crate::screen::Screen;

pub(crate) fn run(how: &Send, screen: &Screen) -> Result<u8, Failure> {
    let path = PipePath::new(&how.path)?;
    let shape = message::load(how.wire.shape.as_deref())?;
    if how.wire.listener || is_listener(&path) {
        let question =
            Question::hear(Connection::connect_timeout(&path, how.timeout)?, how.timeout)?;
        let peer = Peer::of_messages(&question.said())?;
        let codec = how.wire.codec.map_or(peer.codec, Any);
        let exchange = Exchange { how, codec, shape: shape.as_ref(), screen };
        return peer.meet(question.ask()?, exchange);
    }
    let codec = Any(how.wire.codec());
    if matches!(codec.0, Codec::Postcard | Codec::Bincode) && shape.is_none() {
        // Before the reader sees a writer come and go.
        return Err(Failure::Words(UNTOLD.to_owned()));
    }
    let mut end = WriteEnd::at(&path)?.open_timeout(how.timeout)?;
    if let (Framing::LengthPrefixed, Codec::Postcard, Some(shape)) =
        (how.wire.framing, codec.0, &shape)
    {
        end.write_all(&hello(shape)).map_err(Failure::file(&how.path))?;
    }
    let lines = Input { codec, shape: shape.as_ref(), screen };
    how.wire.framing.with(codec, Writing { end, lines })
}

/// A pipe, and what is written to it.
struct Writing<'a, P: PipeRef> {
    end: End<Write, Open, P>,
    lines: Input<'a>,
}

impl<P: PipeRef> OnWire for Writing<'_, P> {
    type Done = Result<u8, Failure>;

    fn on<F: wire::Framing + Clone + std::marker::Send + 'static>(
        self,
        wire: Wire<F, Any>,
    ) -> Result<u8, Failure> {
        let mut sender = self.end.into_sender_with::<Value, _, _>(wire);
        let code = self.lines.all(&mut sender)?;
        sender.finish()?;
        Ok(code)
    }
}

/// The lines of the standard input, as messages.
struct Input<'a> {
    codec: Any,
    shape: Option<&'a Shape>,
    screen: &'a Screen,
}

impl Input<'_> {
    /// Sends all lines. One that is no message is left out.
    fn all<T: ?Sized, P: PipeRef, F: wire::Framing, C: wire::Codec>(
        &self,
        sender: &mut TypedSender<T, End<Write, Open, P>, F, C>,
    ) -> Result<u8, Failure> {
        let mut code = 0;
        for (number, line) in (1_u64..).zip(io::stdin().lock().split(b'\n')) {
            let line = line.map_err(|error| Failure::File("the standard input".into(), error))?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let value = serde_json::from_slice(&line).map_err(|error| error.to_string());
            match value.and_then(|value| self.codec.write(self.shape, &value)) {
                Ok(bytes) => sender.send_bytes(&bytes)?,
                Err(why) => {
                    self.screen.complain(&format!("line {number} is not sent: {why}"));
                    code = NOT_ALL;
                }
            }
        }
        Ok(code)
    }
}

/// Sends, and prints what comes back.
struct Exchange<'a> {
    how: &'a Send,
    codec: Any,
    shape: Option<&'a Shape>,
    screen: &'a Screen,
}

impl Talk for Exchange<'_> {
    fn talk<F: wire::Framing + std::marker::Send>(
        self,
        mut sender: SendingHalf<Anything, F, Any>,
        mut receiver: ReceivingHalf<(), F, Any>,
        reads: Option<&Shape>,
    ) -> Result<u8, Failure> {
        let Self { how, codec, shape, screen } = self;
        let input = Input { codec, shape: reads.or(shape), screen };
        let printing = Printing { screen, codec, shape, save_shape: None, count: None };
        let (sent, printed) = thread::scope(|scope| {
            let (done, is_done) = std::sync::mpsc::channel();
            let answers = scope.spawn(move || {
                let mut code = 0;
                loop {
                    receiver.set_timeout(how.linger);
                    code = printing.all(&mut receiver)?.max(code);
                    if receiver.last_hangup().is_some() || is_done.try_recv().is_ok() {
                        return Ok::<u8, Failure>(code);
                    }
                }
            });
            let sent = input.all(&mut sender).and_then(|code| {
                sender.finish()?;
                Ok(code)
            });
            let _ = done.send(());
            (sent, answers.join())
        });
        let printed = printed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(sent?.max(printed?))
    }
}
