//! A listener that has said what it speaks.

use std::time::Duration;

use typed_pipe::tool::{Answer, Said};
use typed_pipe::wire::shape::Shape;
use typed_pipe::wire::{Checked, Framing, LengthPrefixed, MultiWriter, Wire};
use typed_pipe::{Anything, PipePath, ReceivingHalf, SendingHalf};

use crate::failure::Failure;
use crate::message::Any;

/// How long a listener is waited for, unless the command line says otherwise.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is done over a connection, whatever its wire.
pub(crate) trait Talk {
    /// Does it; returns the exit code. `reads`: what the messages look like that the listener reads.
    fn talk<F: Framing + Send>(
        self,
        sender: SendingHalf<Anything, F, Any>,
        receiver: ReceivingHalf<(), F, Any>,
        reads: Option<&Shape>,
    ) -> Result<u8, Failure>;
}

/// The wire of a listener.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) codec: Any,
    framing: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    LengthPrefixed,
    Checked,
    MultiWriter,
}

impl Peer {
    pub(crate) fn of(said: &Said) -> Result<Self, Failure> {
        let no = |words: String| Err(Failure::Words(words));
        if said.calls {
            return no("it answers calls, which this program does not make yet".to_owned());
        }
        if said.sends_handles || said.takes_handles {
            return no(
                "its messages may have handles, which this program does not speak".to_owned()
            );
        }
        let Some(codec) = Any::named(&said.codec) else {
            return no(format!(
                "it speaks the codec {:?}, which this program does not",
                said.codec
            ));
        };
        let framing = match said.framing.as_str() {
            "length-prefixed" => Kind::LengthPrefixed,
            "checked" => Kind::Checked,
            "shared" => Kind::MultiWriter,
            other => {
                return no(format!("it speaks the framing {other:?}, which this program does not"));
            }
        };
        Ok(Self { codec, framing })
    }

    pub(crate) fn meet(&self, answer: Answer, talk: impl Talk) -> Result<u8, Failure> {
        let codec = self.codec;
        match self.framing {
            Kind::LengthPrefixed => over(answer, Wire::new(LengthPrefixed::default(), codec), talk),
            Kind::Checked => over(answer, Wire::new(Checked::default(), codec), talk),
            Kind::MultiWriter => over(answer, Wire::new(MultiWriter::default(), codec), talk),
        }
    }
}

fn over<F: Framing + Clone + Send>(
    answer: Answer,
    wire: Wire<F, Any>,
    talk: impl Talk,
) -> Result<u8, Failure> {
    let reads = answer.reads().cloned();
    let (sender, receiver) = answer.talk(wire)?;
    talk.talk(sender, receiver, reads.as_ref())
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
