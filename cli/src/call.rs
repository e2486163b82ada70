//! `tpipe call`

use std::io::{self, Read as _};

use serde_json::{Value, json};
use typed_pipe::tool::{AskedService, Came, Question, UntypedClient};
use typed_pipe::wire::shape::Shape;
use typed_pipe::wire::{self, Wire};
use typed_pipe::{Connection, Error, ErrorKind, PipePath};

use crate::args::Call;
use crate::failure::{
    FAILED, Failure, LATE, NO_SERVICE, NO_SUCH_CALL, NOT_ALL, REFUSED, WRONG_LINE,
};
use crate::framing::OnWire;
use crate::message::{Any, hex};
use crate::peer::{Peer, is_pipe};
use crate::screen::Screen;

pub(crate) fn run(how: &Call, screen: &Screen) -> Result<u8, Failure> {
    let (method, arguments) = given(how)?;
    let path = PipePath::new(&how.path)?;
    let (peer, asked) = ask(how, &path)?;
    let request = request(method.as_deref(), arguments, asked.requests())?;
    let bytes = peer.codec.write(asked.requests(), &request);
    let bytes = bytes.map_err(|why| Failure::Coded(NO_SUCH_CALL, why))?;
    let making = Making { asked, path, bytes, method, codec: peer.codec, how, screen };
    peer.framing.with(peer.codec, making)
}

/// What the command line asks for: a method, and its arguments if there are some; or the whole request.
fn given(how: &Call) -> Result<(Option<String>, Option<Value>), Failure> {
    let wrong = |error: serde_json::Error| {
        Failure::Coded(WRONG_LINE, format!("the request is no JSON: {error}"))
    };
    let parsed = |text: &str| match text {
        "-" => {
            let mut input = String::new();
            let read = io::stdin().read_to_string(&mut input);
            read.map_err(|error| Failure::File("the standard input".to_owned(), error))?;
            serde_json::from_str(&input).map_err(wrong)
        }
        text => serde_json::from_str(text).map_err(wrong),
    };
    match (how.first.as_str(), &how.second) {
        (method, Some(arguments)) => Ok((Some(method.to_owned()), Some(parsed(arguments)?))),
        ("-", None) => Ok((None, Some(parsed("-")?))),
        (word, None) => match serde_json::from_str(word) {
            Ok(request) => Ok((None, Some(request))),
            Err(error) if word.trim_start().starts_with(['{', '[', '"']) => Err(wrong(error)),
            Err(_) => Ok((Some(word.to_owned()), None)),
        },
    }
}

/// Asks the service what its requests look like.
fn ask(how: &Call, path: &PipePath) -> Result<(Peer, AskedService), Failure> {
    let no_service = |error: Error| Failure::Coded(NO_SERVICE, error.to_string());
    if is_pipe(path) {
        let words = "it is a pipe, and no service: `tpipe send` writes to it";
        return Err(Failure::Coded(NO_SERVICE, words.to_owned()));
    }
    let connection = Connection::connect_timeout(path, how.timeout).map_err(no_service)?;
    let question = Question::hear(connection, how.timeout).map_err(no_service)?;
    let said = question.said();
    if !said.calls {
        let words = "it takes messages, and answers no calls: `tpipe send` sends them";
        return Err(Failure::Coded(NO_SERVICE, words.to_owned()));
    }
    let peer = Peer::of(&said)?;
    let asked = AskedService::of(question).map_err(no_service)?;
    if !asked.serves() {
        let words = "it makes calls, and answers none";
        return Err(Failure::Coded(NO_SERVICE, words.to_owned()));
    }
    Ok((peer, asked))
}

/// The request that is meant by the name of a method and its arguments.
fn request(
    method: Option<&str>,
    arguments: Option<Value>,
    requests: Option<&Shape>,
) -> Result<Value, Failure> {
    let Some(method) = method else { return Ok(arguments.unwrap_or_default()) };
    let no = |words: String| Err(Failure::Coded(NO_SUCH_CALL, words));
    let Some(requests) = requests else {
        return Ok(json!({ method: arguments.unwrap_or_default() }));
    };
    let Some(methods) = requests.variants() else {
        return no(format!(
            "its requests have no names, and are {requests}: `{method}` is no JSON"
        ));
    };
    let Some((_, takes)) = methods.iter().find(|(name, _)| name == method) else {
        let all: Vec<&str> = methods.iter().map(|(name, _)| name.as_str()).collect();
        return no(format!("there is no method `{method}`, but {}", all.join(", ")));
    };
    Ok(match arguments {
        None if takes.is_empty() => method.into(),
        None => json!({ method: {} }),
        // So scripts may always give some.
        Some(Value::Null) if takes.is_empty() => method.into(),
        Some(Value::Object(none)) if takes.is_empty() && none.is_empty() => method.into(),
        Some(arguments) => json!({ method: arguments }),
    })
}

/// A call that is to be made.
struct Making<'a> {
    asked: AskedService,
    path: PipePath,
    bytes: Vec<u8>,
    /// The method, if one was named.
    method: Option<String>,
    codec: Any,
    how: &'a Call,
    screen: &'a Screen,
}

impl OnWire for Making<'_> {
    type Done = Result<u8, Failure>;

    fn on<F: wire::Framing + Clone + Send + 'static>(
        self,
        wire: Wire<F, Any>,
    ) -> Result<u8, Failure> {
        let Self { asked, path, bytes, method, codec, how, screen } = self;
        let client = asked.into_client(wire, path)?;
        Call::made(&client, bytes, how, &Shown { method, codec, screen })
    }
}

impl Call {
    /// Makes it, and prints what comes of it.
    fn made(
        client: &UntypedClient,
        bytes: Vec<u8>,
        how: &Self,
        shown: &Shown<'_>,
    ) -> Result<u8, Failure> {
        let mut code = 0;
        for came in client.call(bytes, how.deadline).map_err(failed)? {
            let of_this = match came.map_err(failed)? {
                Came::Item(shape, bytes) => shown.print(false, shape.as_ref(), &bytes)?,
                Came::Answer(shape, bytes) => shown.print(true, shape.as_ref(), &bytes)?,
                _ => FAILED,
            };
            // That something could not be shown is told, whatever the answer is.
            code = if code == NOT_ALL { NOT_ALL } else { of_this };
        }
        Ok(code)
    }
}

/// How what comes is printed.
struct Shown<'a> {
    method: Option<String>,
    codec: Any,
    screen: &'a Screen,
}

impl Shown<'_> {
    /// Prints an item or an answer; returns the exit code.
    fn print(&self, is_answer: bool, shape: Option<&Shape>, bytes: &[u8]) -> Result<u8, Failure> {
        let mut value = match self.codec.read(shape, bytes) {
            Ok(value) => value,
            Err(why) => {
                self.screen.complain(&format!("{why}; the bytes are {}", hex(bytes)));
                return Ok(NOT_ALL);
            }
        };
        if is_answer {
            value = self.of_method(value);
        }
        let refused = is_answer && is_error(&value);
        if self.screen.is_json() {
            let name = if is_answer { "answer" } else { "item" };
            value = json!({ name: value });
        }
        self.screen.value(&value)?;
        Ok(if refused { REFUSED } else { 0 })
    }

    /// The answers of `service!` name their method. Who has named it knows it.
    fn of_method(&self, value: Value) -> Value {
        match (&self.method, value) {
            (Some(method), Value::Object(mut one)) if one.len() == 1 => {
                one.remove(method).unwrap_or(Value::Object(one))
            }
            (_, value) => value,
        }
    }
}

/// Whether it is an `Err` of Rust.
fn is_error(value: &Value) -> bool {
    value.as_object().is_some_and(|one| one.len() == 1 && one.contains_key("Err"))
}

/// A call without an answer.
fn failed(error: Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::HandlerFailed | ErrorKind::HandlerPanicked => REFUSED,
        ErrorKind::Decode | ErrorKind::Mismatch => NO_SUCH_CALL,
        ErrorKind::TimedOut => LATE,
        _ => FAILED,
    };
    Failure::Coded(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use typed_pipe::wire::shape::Style;

    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is asked for")]
    #[expect(non_camel_case_types, reason = "as `service!` makes it")]
    enum Requests {
        add { by: u64 },
        reset {},
        Stop,
        Pair(u8, u8),
    }

    fn meant(words: [&str; 2]) -> Result<Value, String> {
        let [first, second] = words;
        let how = Call {
            path: "a".into(),
            first: first.into(),
            second: Some(second.to_owned()).filter(|second| !second.is_empty()),
            deadline: None,
            timeout: std::time::Duration::ZERO,
        };
        let shape = Shape::of::<Requests>(Style::Positional);
        let (method, arguments) = given(&how).map_err(|failure| failure.to_string())?;
        request(method.as_deref(), arguments, Some(&shape)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_request_is_named_by_its_method_or_given_as_a_whole() {
        assert_eq!(meant(["add", "{\"by\": 2}"]).unwrap(), json!({"add": {"by": 2}}));
        assert_eq!(meant(["{\"add\": {\"by\": 2}}", ""]).unwrap(), json!({"add": {"by": 2}}));
        assert_eq!(meant(["reset", ""]).unwrap(), json!({"reset": {}}));
        assert_eq!(meant(["Stop", ""]).unwrap(), json!("Stop"));
        assert_eq!(meant(["Stop", "{}"]).unwrap(), json!("Stop"));
        assert_eq!(meant(["\"Stop\"", ""]).unwrap(), json!("Stop"));
        assert_eq!(meant(["Pair", "[1, 2]"]).unwrap(), json!({"Pair": [1, 2]}));
    }

    #[test]
    fn what_is_no_method_or_no_json_is_said() {
        let words = meant(["subtract", "{}"]).unwrap_err();
        assert_eq!(words, "there is no method `subtract`, but add, reset, Stop, Pair");
        let words = meant(["add", "{by: 2}"]).unwrap_err();
        assert!(words.starts_with("the request is no JSON: "), "{words}");
        let words = meant(["{\"add\"", ""]).unwrap_err();
        assert!(words.starts_with("the request is no JSON: "), "{words}");
    }
}
