//! A client without the types of what it sends and reads: for a tool.

use std::fmt;
use std::time::Duration;

use super::agree::{Agreed, CALLS_AT_ONCE, Layer, asked, asking_part, handshake};
use super::calls::Shared;
use super::calls::half::Calls as _;
use super::client::millis;
use super::failure::garbled;
use super::framed::{untold, within};
use super::link::{Kind, Link, Request};
use super::pending::{InFlight, Next};
use crate::error::Error;
use crate::path::PipePath;
use crate::state::{Blocking, Runtime as _};
use crate::sys::WaitLimit;
use crate::typed_connection::{Answer, Parts, Question, Tag};
use crate::wire::shape::Shape;
use crate::wire::{Codec, Framing, Wire};

/// A service that has said what it reads.
#[derive(Debug)]
pub struct AskedService {
    answer: Answer,
    requests: Option<Shape>,
    serves: bool,
    is_told: bool,
}

/// A client of a service whose types it does not have.
#[derive(Debug)]
pub struct UntypedClient {
    link: Shared,
    path: PipePath,
    is_told: bool,
}

/// A call of such a client: what comes of it, one by one, until the answer has come. Dropping it gives up the call.
pub struct UntypedCall {
    call: InFlight<(), Blocking>,
    path: PipePath,
    is_told: bool,
    over: bool,
}

/// What has come of a call: its bytes, and what they look like if the service tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Came {
    /// One of its items.
    Item(Option<Shape>, Vec<u8>),
    /// Its answer: nothing comes after it.
    Answer(Option<Shape>, Vec<u8>),
}

impl AskedService {
    /// Asks a peer that answers calls what they look like.
    ///
    /// # Errors
    ///
    /// Those of a [`Handshake`](crate::Handshake), and [`Mismatch`](crate::ErrorKind::Mismatch) for a peer that makes no
    /// calls.
    pub fn of(question: Question) -> Result<Self, Error> {
        let mut parts = Parts::default();
        parts.set(Tag::Calls, asking_part());
        let answer = question.ask_with(parts)?;
        let (is_told, reads) = asked(answer.state());
        let requests = match reads {
            // Each value is one half of a pair.
            Some(Kind::Both) => answer.reads().and_then(Shape::in_first_half),
            Some(Kind::Answers) => None,
            Some(Kind::Requests) | None => answer.reads().cloned(),
        };
        Ok(Self { answer, requests, serves: reads != Some(Kind::Answers), is_told })
    }

    /// What the requests look like, if the service tells.
    #[must_use]
    pub fn requests(&self) -> Option<&Shape> {
        self.requests.as_ref()
    }

    /// Whether it answers calls; else it makes some, and answers none.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.serves
    }

    /// Whether the service says what its answers look like, with each of them.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// Makes a client, on the wire that the peer has named.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](crate::ErrorKind::Mismatch) for another wire, and for another edition of calls.
    pub fn into_client<F, C>(self, wire: Wire<F, C>, path: PipePath) -> Result<UntypedClient, Error>
    where
        F: Framing + Clone + Send + 'static,
        C: Codec + Clone + Send + 'static,
    {
        let is_told = self.is_told;
        let handshake = handshake(wire, Kind::Answers, Layer::default());
        let (state, reader, writer) = self.answer.into_parts(&handshake)?;
        let agreed =
            Agreed::of(&handshake, &state).map_err(|error| error.at(reader.shared_path()))?;
        let parts = agreed.into_parts(reader, writer, CALLS_AT_ONCE);
        Ok(UntypedClient { link: Blocking::handle(Link::calling(parts)), path, is_told })
    }
}

impl UntypedClient {
    /// Sends a request, and says that no items follow it. Waits at most `timeout` for all that comes of it, if that is given.
    ///
    /// # Errors
    ///
    /// Those of [`Client::start`](super::Client::start).
    pub fn call(&self, request: Vec<u8>, timeout: Option<Duration>) -> Result<UntypedCall, Error> {
        let until = timeout.map_or(WaitLimit::Done, Blocking::within);
        let (link, path) = (self.link.clone(), self.path.clone());
        let body = within(request, link.as_ref().limit())?;
        let (name, deadline, handles) = (None, millis(until), Vec::new());
        let mut request = Request { method: 0, name, deadline, body, handles };
        let entered = Blocking::run(Blocking::enter(link.as_ref(), &mut request, until, false));
        let entered = entered.map_err(|failure| failure.into_error().at(Some(path.shared())))?;
        let call = InFlight::new(link, entered, (), Some(path.clone()), until);
        call.end();
        Ok(UntypedCall { call, path, is_told: self.is_told, over: false })
    }
}

impl UntypedCall {
    /// Takes apart what a body tells.
    fn read(&self, body: Vec<u8>) -> Result<(Option<Shape>, Vec<u8>), Error> {
        if !self.is_told {
            return Ok((None, body));
        }
        let (shape, body) = untold(&body).map_err(|_| garbled(Some(self.path.shared())))?;
        Ok((shape, body.to_vec()))
    }

    fn come(&mut self) -> Result<Came, Error> {
        match Blocking::run(self.call.next()) {
            Next::Item(body) => {
                let (shape, body) = self.read(body)?;
                Ok(Came::Item(shape, body))
            }
            Next::Answer(outcome) => {
                self.over = true;
                let (shape, body) = self.read(outcome.map_err(|why| self.call.failed(why))?)?;
                Ok(Came::Answer(shape, body))
            }
        }
    }
}

impl Iterator for UntypedCall {
    type Item = Result<Came, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let came = self.come();
        self.over |= came.is_err();
        Some(came)
    }
}

impl fmt::Debug for UntypedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntypedCall").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;
    use crate::connection::{Connection, Listener};
    use crate::wire::{Json, Postcard};
    use crate::{CancelToken, Client, ClientOptions, Context, ErrorKind, Service};

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn ask(path: &PipePath) -> AskedService {
        let connection = Connection::connect_timeout(path, TIMEOUT).unwrap();
        let question = Question::hear(connection, TIMEOUT).unwrap();
        assert!(question.said().calls);
        let asked = AskedService::of(question).unwrap();
        assert!(asked.is_told());
        asked
    }

    #[test]
    fn a_service_is_called_without_its_types() {
        let service = Service::<(String, u8), Result<usize, String>>::temporary().unwrap();
        let path = service.path().clone();
        let serving = thread::spawn(move || {
            let handler = |(text, times): (String, u8), context: Context<Option<char>>| {
                for letter in text.chars().cycle().take(times.into()) {
                    let _ = context.send(&Some(letter));
                }
                // It says at once that no items come.
                assert!(context.recv::<u8>().is_none());
                match times {
                    0 => Err("the handler fails"),
                    1 => Ok(Err("once is never".to_owned())),
                    _ => Ok(Ok(text.len())),
                }
            };
            service.shutdown_after(3).serve_with_context(handler)
        });
        let asked = ask(&path);
        let requests = asked.requests().unwrap().clone();
        let client = asked.into_client(Wire::default(), path).unwrap();
        assert_eq!(requests.to_string(), "(text, u8)");
        let call = |times| {
            let request = requests.encode_json(&Postcard, &serde_json::json!(["ab", times]));
            let mut all = Vec::new();
            for came in client.call(request.unwrap(), Some(TIMEOUT)).unwrap() {
                all.push(match came? {
                    Came::Item(shape, body) | Came::Answer(shape, body) => {
                        shape.unwrap().decode_json(&Postcard, &body).unwrap().to_string()
                    }
                });
            }
            Ok::<_, Error>(all)
        };
        assert_eq!(call(3).unwrap(), ["\"a\"", "\"b\"", "\"a\"", "{\"Ok\":2}"]);
        assert_eq!(call(1).unwrap(), ["\"a\"", "{\"Err\":\"once is never\"}"]);
        let error = call(0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HandlerFailed);
        assert!(error.to_string().contains("the handler fails"), "{error}");
        serving.join().unwrap().unwrap();
    }

    /// Serves a handler that sends an item, ends when its call is given up, and says so.
    fn endless(test: impl FnOnce(&UntypedClient, &Receiver<()>)) {
        let token = CancelToken::new().unwrap();
        let service = Service::<(), ()>::temporary().unwrap().cancelled_by(&token);
        let path = service.path().clone();
        let (tell, told) = channel();
        let serving = thread::spawn(move || {
            service.serve_with_context(move |(), context: Context<u8>| {
                let _ = context.send(&7);
                while !context.is_cancelled() {
                    thread::yield_now();
                }
                let _ = tell.send(());
            })
        });
        test(&ask(&path).into_client(Wire::default(), path).unwrap(), &told);
        token.cancel();
        serving.join().unwrap().unwrap();
    }

    #[test]
    fn a_call_that_is_not_answered_ends_at_its_deadline() {
        endless(|client, _| {
            let call = client.call(Vec::new(), Some(Duration::from_millis(1)));
            let late = match call {
                Ok(call) => call.last().unwrap().unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(late.kind(), ErrorKind::TimedOut);
        });
    }

    #[test]
    fn the_handler_of_a_call_that_is_dropped_is_told() {
        endless(|client, told| {
            let mut call = client.call(Vec::new(), None).unwrap();
            let Came::Item(_, body) = call.next().unwrap().unwrap() else { panic!("no item") };
            assert_eq!(body, [7]);
            drop(call);
            // By the call alone: its client is still there.
            told.recv_timeout(TIMEOUT).unwrap();
        });
    }

    #[test]
    fn a_peer_that_serves_and_calls_is_called_and_one_that_only_calls_is_not() {
        let listener = Listener::temporary().unwrap();
        let path = listener.path().clone();
        let peer = thread::spawn(move || {
            let service = Service::<(u8, String), u32>::over(listener.accept().unwrap());
            let refused = Arc::new(Barrier::new(2));
            let first = refused.clone();
            let handler = move |(number, _)| {
                // The other side stays until it is answered.
                first.wait();
                u32::from(number) + 1
            };
            let (client, serving) = service.both_ways(|_: Client<u8, char>| handler).unwrap();
            // Without its types nobody can answer.
            assert_eq!(client.call(&1).unwrap_err().kind(), ErrorKind::Mismatch);
            refused.wait();
            serving.wait().unwrap();
            ClientOptions::new().over::<u8, char>(listener.accept().unwrap()).map(drop)
        });
        let asked = ask(&path);
        assert!(asked.serves());
        assert_eq!(asked.requests().unwrap().to_string(), "(u8, text)");
        let client = asked.into_client(Wire::default(), path.clone()).unwrap();
        let mut call = client.call(b"\x06\0".to_vec(), Some(TIMEOUT)).unwrap();
        let Came::Answer(_, body) = call.next().unwrap().unwrap() else { panic!("an item") };
        assert_eq!(body, [7]);
        drop((call, client));
        let asked = ask(&path);
        assert!(!asked.serves() && asked.requests().is_none());
        peer.join().unwrap().unwrap();
    }

    #[test]
    fn a_peer_that_makes_no_calls_is_refused() {
        let (one, other) = Connection::pair().unwrap();
        let peer = thread::spawn(move || other.into_typed::<(), ()>().map(drop));
        let question = Question::hear(one, TIMEOUT).unwrap();
        let error = AskedService::of(question).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert_eq!(peer.join().unwrap().unwrap_err().kind(), ErrorKind::Mismatch);
    }

    #[test]
    fn another_wire_than_the_one_that_the_service_has_named_is_refused() {
        let service = Service::<(), ()>::temporary().unwrap().shutdown_after(1);
        let path = service.path().clone();
        let serving = thread::spawn(move || service.serve(|()| ()));
        let error = ask(&path).into_client(Wire::default().with_codec(Json), path.clone());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Mismatch);
        let client = ask(&path).into_client(Wire::default(), path).unwrap();
        assert_eq!(client.call(Vec::new(), Some(TIMEOUT)).unwrap().count(), 1);
        serving.join().unwrap().unwrap();
    }
}
