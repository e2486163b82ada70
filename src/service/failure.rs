//! Why a call has no answer, as an error of its caller.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::mux::Reason;
use crate::error::{Cause, CodecError, Error, Obstacle, Operation};

/// Why no answer comes any more to any call of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The other side said goodbye: what it had not answered, it had not taken.
    Finished,
    Disconnected,
    /// What came in cannot be read.
    Garbled,
    /// More requests have come than may wait.
    Flooded,
    /// The cancel token of the connection was cancelled.
    Cancelled,
    /// The system refused to write, with this code.
    Refused(i32),
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum Failure {
    /// The other side says so.
    Answered(Reason, String),
    /// The connection is lost; whether all of the request was sent before.
    Lost(Lost, bool),
    /// The request cannot be sent at all.
    Unsent(Error),
    /// The deadline passed; whether a part of the request was sent before.
    TimedOut(bool),
}

/// An answer has come that cannot be decoded, for this reason.
pub(super) fn undecodable(error: CodecError, path: Option<&Arc<Path>>) -> Error {
    Error::new(Operation::Call, Cause::UndecodableAnswer(error)).delivered().at(path)
}

/// An answer has come that is none to this call.
pub(super) fn garbled(path: Option<&Arc<Path>>) -> Error {
    Error::new(Operation::Call, Cause::Garbled).delivered().at(path)
}

impl Failure {
    /// The same once more.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Answered(reason, text) => Self::Answered(*reason, text.clone()),
            Self::Lost(lost, sent) => Self::Lost(*lost, *sent),
            Self::TimedOut(sent) => Self::TimedOut(*sent),
            Self::Unsent(error) => Self::unsent(error),
        }
    }

    /// It cannot be encoded, or is no frame, for the reason that is told to others as well.
    pub(super) fn unsent(error: &Error) -> Self {
        let cause = match (error.frame_error(), error.codec_error()) {
            (Some(frame), _) => Cause::Frame(frame.clone()),
            (None, Some(codec)) => Cause::Encode(CodecError::format(codec.to_string())),
            (None, None) => io::Error::other("the framing refused it").into(),
        };
        Self::Unsent(Error::new(Operation::Encode, cause))
    }

    pub(crate) fn into_error(self) -> Error {
        let call = |cause: Cause| Error::new(Operation::Call, cause);
        match self {
            Self::Answered(Reason::Failed, text) => call(Cause::HandlerFailed(text)).delivered(),
            Self::Answered(Reason::Panicked, text) => {
                call(Cause::HandlerPanicked(text)).delivered()
            }
            Self::Answered(Reason::Undecodable, text) => call(Cause::UndecodableRequest(text)),
            Self::Answered(Reason::NoSuchMethod, text) => call(Cause::NoSuchMethod(text)),
            Self::Answered(Reason::NotTaken, _) | Self::Lost(Lost::Finished, _) => {
                call(Cause::NeverTaken)
            }
            Self::Answered(Reason::Cancelled, _) | Self::Lost(Lost::Cancelled, true) => {
                call(Obstacle::Cancelled.into()).delivered()
            }
            Self::Lost(Lost::Cancelled, false) => call(Obstacle::Cancelled.into()),
            Self::Lost(Lost::Disconnected | Lost::Refused(_), true) => {
                call(Cause::Unanswered).delivered()
            }
            Self::Lost(Lost::Refused(code), false) => {
                call(io::Error::from_raw_os_error(code).into())
            }
            Self::Lost(Lost::Flooded, sent) => {
                let why = "the other side has sent more requests than may wait to be handled, and was given up";
                let error = call(Obstacle::ResourceExhausted(why).into());
                if sent { error.delivered() } else { error }
            }
            Self::Lost(Lost::Garbled, true) => call(Cause::Garbled).delivered(),
            Self::Lost(Lost::Disconnected | Lost::Garbled, false) => {
                call(io::Error::from(io::ErrorKind::BrokenPipe).into())
            }
            Self::Unsent(error) => error,
            Self::TimedOut(true) => {
                let late = "the service has the request, and has not answered yet";
                call(Obstacle::TimedOut(late).into()).delivered()
            }
            Self::TimedOut(false) => {
                call(Obstacle::TimedOut("other calls are still being sent").into())
            }
        }
    }
}
