//! A listener that has said what it speaks.

use std::time::Duration;

use typed_pipe::tool::{Answer, Said};
use typed_pipe::wire::shape::Shape;
use typed_pipe::wire::{self, Wire};
use typed_pipe::{Anything, PipePath, ReceivingHalf, SendingHalf};

use crate::args::Framing;
use crate::failure::Failure;
use crate::framing::OnWire;
use crate::message::Any;

/// How long a listener is waited for, unless the command line says otherwise.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What stands in place of a codec where both programs follow a protocol of types.
pub(crate) const SESSION: &str = "session";

/// What is done over a connection, whatever its wire.
pub(crate) trait Talk {
    /// Does it; returns the exit code. `reads`: what the messages look like that the listener reads.
    fn talk<F: wire::Framing + Send>(
        self,
        sender: SendingHalf<Anything, F, Any>,
        receiver: ReceivingHalf<(), F, Any>,
        reads: Option<&Shape>,
    ) -> Result<u8, Failure>;
}

/// The wire of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) codec: Any,
    pub(crate) framing: Framing,
}

impl Peer {
    /// The wire that it has named, for messages or for calls.
    pub(crate) fn of(said: &Said) -> Result<Self, Failure> {
        let no = |words: String| Err(Failure::Words(words));
        if said.sends_handles || said.takes_handles {
            return no(
                "its messages may have handles, which this program does not speak".to_owned()
            );
        }
        if said.codec == SESSION {
            return no("it speaks a session, which takes a program with the type of its protocol"
                .to_owned());
        }
        let Some(codec) = Any::named(&said.codec) else {
            return no(format!(
                "it speaks the codec {:?}, which this program does not",
                said.codec
            ));
        };
        let Some(framing) = Framing::named(&said.framing, codec) else {
            return no(format!(
                "it speaks the framing {:?}, which this program does not",
                said.framing
            ));
        };
        Ok(Self { codec, framing })
    }

    /// The wire that it has named, for messages.
    pub(crate) fn of_messages(said: &Said) -> Result<Self, Failure> {
        match said.calls {
            true => Err(Failure::Words("it is a service: `tpipe call` calls it".to_owned())),
            false => Self::of(said),
        }
    }

    pub(crate) fn meet(self, answer: Answer, talk: impl Talk) -> Result<u8, Failure> {
        self.framing.with(self.codec, Meeting { answer, talk })
    }
}

/// A connection whose sides have agreed, and what is done over it.
struct Meeting<T> {
    answer: Answer,
    talk: T,
}

impl<T: Talk> OnWire for Meeting<T> {
    type Done = Result<u8, Failure>;

    fn on<F: wire::Framing + Clone + Send + 'static>(
        self,
        wire: Wire<F, Any>,
    ) -> Result<u8, Failure> {
        let Self { answer, talk } = self;
        let reads = answer.reads().cloned();
        let (sender, receiver) = answer.talk(wire)?;
        talk.talk(sender, receiver, reads.as_ref())
    }
}

/// Whether a name is that of a listener. Where the system does not tell, it is not.
#[cfg(unix)]
pub(crate) fn is_listener(path: &PipePath) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

#[cfg(not(unix))]
pub(crate) fn is_listener(_: &PipePath) -> bool {
    false
}

/// Whether a name is that of a pipe, which no client connects to.
pub(crate) fn is_pipe(path: &PipePath) -> bool {
    cfg!(unix) && path.as_path().exists() && !is_listener(path)
}
