//! JSON-RPC 2.0: other bytes for the same frames.
//!
//! A request is an enum, as `service!` makes one: the name of its variant is the method, and the contents are the params. An
//! answer is an enum with variants of the same names: its contents are the result, or of a `Result` the result or the error. Of a
//! variant whose only field is called `params`, that field is the params.
//!
//! Beside requests, answers, errors and notifications go `$/cancelRequest`, and `$/progress` for the items of a call, whose
//! token is the number of the request. There is no credit in it, no item from a caller, and no goodbye.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::encoding::{Beside, Encoding, Malformed};
use super::mux::{Call, Caller, Frame, Id, Reason};
use crate::error::CodecError;
use crate::wire::shape::{Contents, Data, Fault, Form, Methods, Results};

/// The bytes of one direction.
pub(crate) struct JsonRpc {
    shared: Arc<Mutex<Shared>>,
    known: Arc<Known>,
    /// The body of the frame that was read last.
    body: Vec<u8>,
    /// How many calls of the other side are taken at once.
    most: usize,
}

/// What is known of the methods of both sides.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What those of this side take.
    pub(super) methods: Methods,
    /// Those of this side whose answer is a `Result`.
    pub(super) given: Results,
    /// Those of the other side.
    pub(super) awaited: Results,
}

/// What both directions know of the calls in flight.
#[derive(Debug, Default)]
struct Shared {
    theirs: HashMap<Id, Theirs>,
    /// The numbers of their calls here, by theirs.
    numbers: HashMap<String, Id>,
    next: Id,
    /// The methods of the calls of this side.
    mine: HashMap<Id, String>,
}

/// A call of the other side: its number there, in JSON, and its method.
#[derive(Debug)]
struct Theirs {
    number: Box<RawValue>,
    method: String,
}

/// The longest number of a call, which may be a text.
const LONGEST_NUMBER: usize = 1024;

/// How many calls of the other side are taken at once. It was told by nobody, so one more is refused.
pub(super) const CALLS_AT_ONCE: usize = 1024;

impl JsonRpc {
    /// Those of both directions of one connection.
    pub(super) fn pair(known: Known, most: usize) -> (Self, Self) {
        let (shared, known) = (Arc::<Mutex<Shared>>::default(), Arc::new(known));
        let one = || Self {
            shared: Arc::clone(&shared),
            known: Arc::clone(&known),
            body: Vec::new(),
            most,
        };
        (one(), one())
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last frame of a call of the other side.
    fn finish(
        &self,
        id: Id,
        write: impl FnOnce(&Theirs) -> Result<Vec<u8>, CodecError>,
    ) -> Result<Vec<u8>, CodecError> {
        let mut shared = self.shared();
        let Some(theirs) = shared.theirs.get(&id) else { return Ok(Vec::new()) };
        let message = write(theirs)?;
        if let Some(theirs) = shared.theirs.remove(&id) {
            shared.numbers.remove(theirs.number.get());
        }
        Ok(message)
    }

    /// A call or a notification that has come.
    fn called(
        &mut self,
        method: &str,
        number: Option<&RawValue>,
        params: Option<&RawValue>,
    ) -> Read {
        let refused = |code, text: &str| match number {
            Some(number) => Read::Refused(refusal(Some(number), code, text)),
            None => Read::Nothing,
        };
        let Some(contents) = self.known.methods.get(method) else {
            return refused(NO_SUCH_METHOD, &format!("there is no method `{method}`"));
        };
        self.body = with_params(method, contents, params);
        let Some(number) = number else { return Read::Notification };
        if !is_number(number) {
            return Read::Refused(refusal(
                None,
                INVALID_REQUEST,
                "the id is no number and no short text",
            ));
        }
        let mut shared = self.shared();
        if shared.numbers.contains_key(number.get()) {
            drop(shared);
            return refused(INVALID_REQUEST, "a request with this id is not answered yet");
        }
        if shared.theirs.len() >= self.most {
            drop(shared);
            return refused(code_of(Reason::Failed), "too many requests are not answered yet");
        }
        let id = shared.next;
        shared.next += 1;
        shared.numbers.insert(number.get().to_owned(), id);
        let theirs = Theirs { number: number.to_owned(), method: method.to_owned() };
        shared.theirs.insert(id, theirs);
        Read::Call(id)
    }

    /// An answer to a call of this side, or an error.
    fn answered(
        &mut self,
        number: &RawValue,
        result: Option<&RawValue>,
        error: Option<Failure<'_>>,
    ) -> Read {
        let method = own(number).and_then(|id| Some((id, self.shared().mine.remove(&id)?)));
        let Some((id, method)) = method else { return Read::Nothing };
        let fault = self.known.awaited.get(&method);
        match (result, error) {
            (_, Some(error)) => {
                let Failure { code, message, .. } = &error;
                let known = CODES.iter().find(|(_, known)| known == code);
                let reason = known.map_or(Reason::Failed, |(reason, _)| *reason);
                let fault = fault.filter(|_| reason == Reason::Failed);
                if let Some(value) = fault.and_then(|fault| value_of(&error, *fault)) {
                    self.body = tagged(&method, &format!("{{\"Err\":{value}}}"));
                    return Read::Answer(id);
                }
                self.body = match known {
                    Some(_) => message.as_bytes().to_vec(),
                    None => format!("{message} (code {code})").into_bytes(),
                };
                Read::Error(id, reason)
            }
            (Some(result), None) => {
                self.body = match fault {
                    Some(_) => tagged(&method, &format!("{{\"Ok\":{}}}", result.get())),
                    None => tagged(&method, result.get()),
                };
                Read::Answer(id)
            }
            (None, None) => {
                self.body = b"its answer has neither a result nor an error".to_vec();
                Read::Error(id, Reason::Failed)
            }
        }
    }
}

/// What has been read. Its body is that of the encoding.
enum Read {
    Call(Id),
    Notification,
    Answer(Id),
    Error(Id, Reason),
    Item(Id),
    Cancel(Id),
    /// It is answered at once.
    Refused(Vec<u8>),
    /// It is about nothing that is known here.
    Nothing,
}

/// A message, whatever it is.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    /// `null` is a result, and none is not.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<Failure<'a>>,
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

#[derive(Deserialize, Serialize)]
struct Failure<'a> {
    code: i64,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

/// A message that leaves.
#[derive(Serialize)]
struct Leaving<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
}

const NEW: Leaving<'_> =
    Leaving { jsonrpc: "2.0", id: None, method: None, params: None, result: None, error: None };

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const NO_SUCH_METHOD: i64 = -32601;

/// The codes of errors: those of JSON-RPC, and of the protocol of language servers.
const CODES: [(Reason, i64); 6] = [
    (Reason::Failed, -32000),
    (Reason::Panicked, -32603),
    (Reason::NoSuchMethod, NO_SUCH_METHOD),
    (Reason::Undecodable, -32602),
    (Reason::Cancelled, -32800),
    (Reason::NotTaken, -32802),
];

fn code_of(reason: Reason) -> i64 {
    CODES.iter().find(|(known, _)| *known == reason).map_or(0, |(_, code)| *code)
}

/// A number of this side, as others write it back: some make a text or a float of it.
fn own(number: &RawValue) -> Option<Id> {
    let text = serde_json::from_str(number.get()).unwrap_or_else(|_| Cow::Borrowed(number.get()));
    let (whole, zeros) = text.split_once('.').unwrap_or((&text, "0"));
    let id: Id = whole.parse().ok()?;
    // No sign, and no zeros before it.
    let is_it = !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0');
    (is_it && id.to_string() == whole).then_some(id)
}

/// Whether it is the number of a call, and not too long to be kept.
fn is_number(number: &RawValue) -> bool {
    let text = number.get();
    text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '"')
        && text.len() <= LONGEST_NUMBER
}

/// An answer to what is no request.
fn refusal(number: Option<&RawValue>, code: i64, text: &str) -> Vec<u8> {
    let id = number.unwrap_or(RawValue::NULL);
    let error = Some(Failure { code, message: text.into(), data: None });
    serde_json::to_vec(&Leaving { id: Some(id), error, ..NEW }).unwrap_or_default()
}

/// What an answer says, which is a `Result`: the result, or the error.
fn outcome(
    answer: &RawValue,
    fault: Fault,
) -> Result<(Option<&RawValue>, Option<Failure<'_>>), CodecError> {
    #[derive(Deserialize)]
    enum Outcome<'a> {
        Ok(#[serde(borrow)] &'a RawValue),
        Err(#[serde(borrow)] &'a RawValue),
    }
    let error = match serde_json::from_str(answer.get()).map_err(CodecError::format)? {
        Outcome::Ok(result) => return Ok((Some(result), None)),
        Outcome::Err(error) => error,
    };
    let coded = match fault {
        Fault::Coded(_) => serde_json::from_str(error.get()).ok(),
        Fault::Text | Fault::Other => None,
    };
    let other = || {
        let text = serde_json::from_str::<Cow<'_, str>>(error.get()).ok();
        let message = text.unwrap_or_else(|| Cow::Borrowed(error.get()));
        // Of what is no text for its reader, such as a variant without contents, the message alone is not enough.
        let data = Some(error).filter(|_| fault != Fault::Text);
        Failure { code: code_of(Reason::Failed), message, data }
    };
    Ok((None, Some(coded.unwrap_or_else(other))))
}

/// The error of a `Result`, in JSON; `None` where nothing of the kind has come.
fn value_of(error: &Failure<'_>, fault: Fault) -> Option<String> {
    match fault {
        Fault::Text => serde_json::to_string(&error.message).ok(),
        Fault::Coded(absent) => {
            let data = match absent {
                Data::Nothing => error.data,
                Data::Null => Some(error.data.unwrap_or(RawValue::NULL)),
                Data::Missing => Some(error.data?),
            };
            let Failure { code, message, .. } = error;
            serde_json::to_string(&Failure { code: *code, message: (&**message).into(), data }).ok()
        }
        // A `null` counts as no data; the message says it as well.
        Fault::Other => match error.data {
            Some(data) => Some(data.get().to_owned()),
            None => (error.message == "null").then(|| "null".to_owned()),
        },
    }
}

/// The body of a call of a method.
fn with_params(method: &str, contents: &Contents, params: Option<&RawValue>) -> Vec<u8> {
    let given = params.map(RawValue::get).filter(|params| *params != "null");
    // An empty list is no params, except where it is a value.
    let is_empty = || serde_json::from_str::<[(); 0]>(given.unwrap_or_default()).is_ok();
    // Of a list of one, where no list is wanted, the one.
    let one = |params: &str| {
        let list: Vec<Box<RawValue>> = serde_json::from_str(params).ok()?;
        let [one]: [_; 1] = list.try_into().ok()?;
        Some(one.get().to_owned())
    };
    let value = |form: Form| {
        let given = given.unwrap_or("null");
        match form {
            Form::Plain | Form::ObjectOrNone if is_empty() => Cow::Borrowed("null"),
            Form::Object if is_empty() => Cow::Borrowed("{}"),
            Form::Plain => one(given).map_or(Cow::Borrowed(given), Cow::Owned),
            _ => Cow::Borrowed(given),
        }
    };
    match contents {
        Contents::Nothing => serde_json::to_vec(method).unwrap_or_default(),
        Contents::Fields if is_empty() => tagged(method, "{}"),
        Contents::Fields => tagged(method, given.unwrap_or("{}")),
        Contents::Tuple => tagged(method, given.unwrap_or("[]")),
        Contents::One(form) => tagged(method, &value(*form)),
        Contents::Params(form) => tagged(method, &format!("{{\"params\":{}}}", value(*form))),
    }
}

/// A value of an enum: the variant with its contents.
fn tagged(variant: &str, contents: &str) -> Vec<u8> {
    let mut body = b"{".to_vec();
    body.extend(serde_json::to_vec(variant).unwrap_or_default());
    body.push(b':');
    body.extend_from_slice(contents.as_bytes());
    body.push(b'}');
    body
}

/// The variant of such a value, and its contents if it has some.
fn taken_apart(body: &[u8]) -> Result<(String, Option<Box<RawValue>>), CodecError> {
    if let Ok(variant) = serde_json::from_slice(body) {
        return Ok((variant, None));
    }
    let mut all: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).unwrap_or_default();
    match (all.pop_first(), all.is_empty()) {
        (Some((variant, contents)), true) => Ok((variant, Some(contents))),
        _ => Err(CodecError::format(
            "it is no variant of an enum, which JSON-RPC takes the method from",
        )),
    }
}

/// The params of a call with such contents: an object, a list, or none.
fn params_of(contents: Option<Box<RawValue>>) -> Result<Option<Box<RawValue>>, CodecError> {
    let Some(mut contents) = contents else { return Ok(None) };
    if contents.get().starts_with('{') {
        let fields: Result<BTreeMap<String, Box<RawValue>>, _> =
            serde_json::from_str(contents.get());
        let mut fields = fields.map_err(CodecError::format)?;
        if let (1, Some(params)) = (fields.len(), fields.remove("params")) {
            contents = params;
        }
    }
    let text = contents.get();
    if text == "null" {
        return Ok(None);
    }
    if text.starts_with(['{', '[']) {
        return Ok(Some(contents));
    }
    raw(format!("[{text}]")).map(Some)
}

fn raw(text: String) -> Result<Box<RawValue>, CodecError> {
    RawValue::from_string(text).map_err(CodecError::format)
}

impl Encoding for JsonRpc {
    fn says(&self, frame: &Frame<Vec<u8>>) -> bool {
        match frame {
            Frame::Call(_) | Frame::Notify { .. } | Frame::Reply(_) => true,
            Frame::Answer { id, .. }
            | Frame::Error { id, .. }
            | Frame::Item { id, caller: Caller::Receiver, .. } => {
                self.shared().theirs.contains_key(id)
            }
            Frame::Cancel { id } => self.shared().mine.contains_key(id),
            Frame::Item { caller: Caller::Sender, .. }
            | Frame::End { .. }
            | Frame::Credit { .. }
            | Frame::Closing => false,
        }
    }

    fn write(
        &mut self,
        frame: &Frame<Vec<u8>>,
        _: &Beside,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let to_vec =
            |leaving: &Leaving<'_>| serde_json::to_vec(leaving).map_err(CodecError::format);
        let message = match frame {
            Frame::Call(Call { id, body, .. }) => {
                let (method, contents) = taken_apart(body)?;
                let (number, params) = (raw(id.to_string())?, params_of(contents)?);
                let message = to_vec(&Leaving {
                    id: Some(&number),
                    method: Some(&method),
                    params: params.as_deref(),
                    ..NEW
                })?;
                self.shared().mine.insert(*id, method);
                message
            }
            Frame::Notify { body, .. } => {
                let (method, contents) = taken_apart(body)?;
                let params = params_of(contents)?;
                to_vec(&Leaving { method: Some(&method), params: params.as_deref(), ..NEW })?
            }
            Frame::Answer { id, body } => self.finish(*id, |theirs| {
                let (variant, result) = taken_apart(body)?;
                if variant != theirs.method {
                    let text = format!("it is `{variant}`, for the method `{}`", theirs.method);
                    return Err(CodecError::format(text));
                }
                let result = result.as_deref().unwrap_or(RawValue::NULL);
                let (result, error) = match self.known.given.get(&variant) {
                    Some(fault) => outcome(result, *fault)?,
                    None => (Some(result), None),
                };
                to_vec(&Leaving { id: Some(&theirs.number), result, error, ..NEW })
            })?,
            Frame::Error { id, reason, text } => self.finish(*id, |theirs| {
                let message = match String::from_utf8_lossy(text) {
                    empty if empty.is_empty() && *reason == Reason::Cancelled => {
                        Cow::Borrowed("the request was cancelled")
                    }
                    text => text,
                };
                let error = Some(Failure { code: code_of(*reason), message, data: None });
                to_vec(&Leaving { id: Some(&theirs.number), error, ..NEW })
            })?,
            Frame::Item { id, body, .. } => {
                let shared = self.shared();
                let Some(theirs) = shared.theirs.get(id) else { return Ok(()) };
                let value = std::str::from_utf8(body).map_err(CodecError::format)?;
                let params =
                    raw(format!("{{\"token\":{},\"value\":{value}}}", theirs.number.get()))?;
                to_vec(&Leaving { method: Some(PROGRESS), params: Some(&params), ..NEW })?
            }
            Frame::Cancel { id } => {
                let params = raw(format!("{{\"id\":{id}}}"))?;
                to_vec(&Leaving { method: Some(CANCEL), params: Some(&params), ..NEW })?
            }
            Frame::Reply(message) => message.clone(),
            Frame::End { .. } | Frame::Credit { .. } | Frame::Closing => Vec::new(),
        };
        out.extend_from_slice(&message);
        Ok(())
    }

    fn read<'b>(&'b mut self, bytes: &'b [u8]) -> Result<(Frame<&'b [u8]>, Beside), Malformed> {
        let read = match serde_json::from_slice::<Message<'_>>(bytes) {
            Ok(message) if message.jsonrpc.as_deref() == Some("2.0") => self.understood(message),
            Ok(_) => self.not_understood(bytes, "it is not `\"jsonrpc\":\"2.0\"`"),
            Err(error) if error.is_data() && bytes.trim_ascii_start().starts_with(b"[") => {
                Read::Refused(refusal(None, INVALID_REQUEST, "there are no batches here"))
            }
            Err(error) if error.is_data() => self.not_understood(bytes, &error.to_string()),
            Err(error) => Read::Refused(refusal(None, PARSE_ERROR, &error.to_string())),
        };
        let body = match read {
            Read::Refused(message) => {
                self.body = message;
                return Ok((Frame::Reply(&self.body), Beside::default()));
            }
            _ => self.body.as_slice(),
        };
        let frame = match read {
            Read::Call(id) => Frame::Call(Call { id, method: 0, deadline: 0, body }),
            Read::Notification => Frame::Notify { method: 0, body },
            Read::Answer(id) => Frame::Answer { id, body },
            Read::Error(id, reason) => Frame::Error { id, reason, text: body },
            Read::Item(id) => Frame::Item { id, caller: Caller::Receiver, told: false, body },
            Read::Cancel(id) => Frame::Cancel { id },
            Read::Refused(_) | Read::Nothing => Frame::Cancel { id: Id::MAX },
        };
        Ok((frame, Beside::default()))
    }
}

const CANCEL: &str = "$/cancelRequest";
const PROGRESS: &str = "$/progress";

impl JsonRpc {
    /// JSON that is no message, for this reason. Where it is meant to answer a call of this side, that call is over; where it
    /// is meant as a call, the refusal has its number, so that its caller waits no longer.
    fn not_understood(&mut self, bytes: &[u8], why: &str) -> Read {
        // Of a name that comes twice, the last one counts.
        let fields: HashMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(bytes).unwrap_or_default();
        let number = fields.get("id").copied();
        if fields.contains_key("method") {
            let number = number.filter(|number| is_number(number));
            return Read::Refused(refusal(number, INVALID_REQUEST, why));
        }
        match number.and_then(own).filter(|id| self.shared().mine.remove(id).is_some()) {
            Some(id) => {
                self.body = format!("its answer is none of JSON-RPC: {why}").into_bytes();
                Read::Error(id, Reason::Failed)
            }
            None => Read::Refused(refusal(None, INVALID_REQUEST, why)),
        }
    }

    fn understood(&mut self, message: Message<'_>) -> Read {
        let Message { id, method, params, result, error, .. } = message;
        match (method.as_deref(), id) {
            (Some(CANCEL), None) => {
                #[derive(Deserialize)]
                struct Which<'a> {
                    #[serde(borrow)]
                    id: &'a RawValue,
                }
                let which =
                    params.and_then(|params| serde_json::from_str::<Which<'_>>(params.get()).ok());
                let shared = self.shared();
                let id = which.and_then(|which| shared.numbers.get(which.id.get()).copied());
                id.map_or(Read::Nothing, Read::Cancel)
            }
            (Some(PROGRESS), None) => {
                #[derive(Deserialize)]
                struct Progress<'a> {
                    #[serde(borrow)]
                    token: &'a RawValue,
                    #[serde(borrow)]
                    value: &'a RawValue,
                }
                let progress = params
                    .and_then(|params| serde_json::from_str::<Progress<'_>>(params.get()).ok());
                let Some(Progress { token, value }) = progress else { return Read::Nothing };
                // A token that is a text is one of the other side's own.
                let number = Some(token).filter(|token| !token.get().starts_with('"'));
                let Some(id) = number.and_then(own) else { return Read::Nothing };
                self.body = value.get().as_bytes().to_vec();
                Read::Item(id)
            }
            (Some(method), number) => self.called(method, number, params),
            (None, Some(number)) => self.answered(number, result, error),
            // An error of a message that the other side could not read.
            (None, None) if error.is_some() => Read::Nothing,
            (None, None) => {
                Read::Refused(refusal(None, INVALID_REQUEST, "it has neither a method nor an id"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known() -> Known {
        let fields = |name: &str| (name.to_owned(), Contents::Fields);
        let methods = [
            fields("a/b"),
            ("unit".to_owned(), Contents::Nothing),
            ("one".to_owned(), Contents::One(Form::Plain)),
            ("own".to_owned(), Contents::Params(Form::ObjectOrNone)),
        ];
        Known { methods: methods.into(), ..Known::default() }
    }

    fn written(encoding: &mut JsonRpc, frame: &Frame<Vec<u8>>) -> String {
        let mut out = Vec::new();
        encoding.write(frame, &Beside::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn call(id: Id, body: &str) -> Frame<Vec<u8>> {
        Frame::Call(Call { id, method: 0, deadline: 0, body: body.into() })
    }

    #[test]
    fn golden_bytes_of_calls() {
        let (mut one, _) = JsonRpc::pair(known(), CALLS_AT_ONCE);
        for (body, text) in [
            (r#"{"a/b":{"x":1}}"#, r#","method":"a/b","params":{"x":1}}"#),
            (r#"{"own":{"params":{"x":1}}}"#, r#","method":"own","params":{"x":1}}"#),
            (r#"{"own":{"params":[1]}}"#, r#","method":"own","params":[1]}"#),
            (r#"{"own":{"params":5}}"#, r#","method":"own","params":[5]}"#),
            (r#"{"one":7}"#, r#","method":"one","params":[7]}"#),
            (r#"{"one":null}"#, r#","method":"one"}"#),
            (r#""unit""#, r#","method":"unit"}"#),
        ] {
            let whole = format!(r#"{{"jsonrpc":"2.0","id":3{text}"#);
            assert_eq!(written(&mut one, &call(3, body)), whole);
        }
        for body in ["7", "{}", r#"{"a":1,"b":2}"#, "[1]", "null"] {
            let mut out = Vec::new();
            let error = one.write(&call(1, body), &Beside::default(), &mut out).unwrap_err();
            assert!(out.is_empty(), "{error}");
        }
        let cancel = r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":3}}"#;
        assert!(one.says(&Frame::Cancel { id: 3 }) && !one.says(&Frame::Cancel { id: 4 }));
        assert_eq!(written(&mut one, &Frame::Cancel { id: 3 }), cancel);
    }

    #[test]
    fn an_answer_goes_to_the_number_of_its_request_once() {
        let (mut one, mut other) = JsonRpc::pair(known(), CALLS_AT_ONCE);
        let asked = br#"{"jsonrpc":"2.0","id":"x","method":"a/b","params":{"x":1}}"#;
        let (frame, _) = one.read(asked).unwrap();
        let Frame::Call(Call { id, body, .. }) = frame else { panic!("{frame:?}") };
        assert_eq!(body, br#"{"a/b":{"x":1}}"#);
        let wrong = Frame::Answer { id, body: br#"{"unit":null}"#.to_vec() };
        assert!(other.write(&wrong, &Beside::default(), &mut Vec::new()).is_err());
        let answer = Frame::Answer { id, body: br#"{"a/b":[2]}"#.to_vec() };
        let text = r#"{"jsonrpc":"2.0","id":"x","result":[2]}"#;
        assert_eq!(written(&mut other, &answer), text);
        assert!(!other.says(&answer));
        assert!(one.shared().theirs.is_empty() && one.shared().numbers.is_empty());
    }

    #[test]
    fn an_answer_has_the_variant_of_its_method() {
        let (mut one, mut other) = JsonRpc::pair(Known::default(), CALLS_AT_ONCE);
        written(&mut one, &call(3, r#"{"a/b":{}}"#));
        written(&mut one, &call(4, r#""c""#));
        let (frame, _) = other.read(br#"{"jsonrpc":"2.0","id":3,"result":null}"#).unwrap();
        assert_eq!(frame, Frame::Answer { id: 3, body: &br#"{"a/b":null}"#[..] });
        let failed = br#"{"jsonrpc":"2.0","id":4,"error":{"code":5,"message":"no","data":[]}}"#;
        let (frame, _) = other.read(failed).unwrap();
        assert_eq!(
            frame,
            Frame::Error { id: 4, reason: Reason::Failed, text: &b"no (code 5)"[..] }
        );
        let (frame, _) = other.read(failed).unwrap();
        assert_eq!(frame, Frame::Cancel { id: Id::MAX }, "it is answered once");
    }

    #[test]
    fn an_error_of_a_result_is_an_error_and_back() {
        let results = |fault| Results::from([("a/b".to_owned(), fault)]);
        // What the handler answers, what is sent, and what is read where it is other.
        for (fault, answer, sent, read) in [
            (Fault::Text, r#"{"Ok":1}"#, r#""result":1"#, None),
            (Fault::Text, r#"{"Ok":null}"#, r#""result":null"#, None),
            (Fault::Text, r#"{"Err":"no"}"#, r#""error":{"code":-32000,"message":"no"}"#, None),
            (
                Fault::Coded(Data::Nothing),
                r#"{"Err":{"code":5,"message":"no","data":[1]}}"#,
                r#""error":{"code":5,"message":"no","data":[1]}"#,
                None,
            ),
            (
                Fault::Coded(Data::Nothing),
                r#"{"Err":{"message":"no","code":-32000,"data":null}}"#,
                r#""error":{"code":-32000,"message":"no"}"#,
                Some(r#"{"Err":{"code":-32000,"message":"no"}}"#),
            ),
            (
                Fault::Coded(Data::Null),
                r#"{"Err":{"code":5,"message":"no","data":null}}"#,
                r#""error":{"code":5,"message":"no"}"#,
                None,
            ),
            // An enum of errors has variants without contents.
            (
                Fault::Other,
                r#"{"Err":"Busy"}"#,
                r#""error":{"code":-32000,"message":"Busy","data":"Busy"}"#,
                None,
            ),
            (
                Fault::Other,
                r#"{"Err":null}"#,
                r#""error":{"code":-32000,"message":"null","data":null}"#,
                None,
            ),
            // Nor does what has more than a code and a message lose that.
            (
                Fault::Other,
                r#"{"Err":{"code":5,"message":"no","at":1}}"#,
                r#""error":{"code":-32000,"message":"{\"code\":5,\"message\":\"no\",\"at\":1}","data":{"code":5,"message":"no","at":1}}"#,
                None,
            ),
            (
                Fault::Other,
                r#"{"Err":{"limit":5}}"#,
                r#""error":{"code":-32000,"message":"{\"limit\":5}","data":{"limit":5}}"#,
                None,
            ),
        ] {
            let known = Known { given: results(fault), ..known() };
            let (mut one, mut other) = JsonRpc::pair(known, CALLS_AT_ONCE);
            let asked = br#"{"jsonrpc":"2.0","id":7,"method":"a/b","params":{"x":1}}"#;
            let (Frame::Call(Call { id, .. }), _) = one.read(asked).unwrap() else { panic!() };
            let body = format!(r#"{{"a/b":{answer}}}"#);
            let text = written(&mut other, &Frame::Answer { id, body: body.clone().into() });
            assert_eq!(text, format!(r#"{{"jsonrpc":"2.0","id":7,{sent}}}"#));
            let known = Known { awaited: results(fault), ..Known::default() };
            let (mut one, mut other) = JsonRpc::pair(known, CALLS_AT_ONCE);
            written(&mut one, &call(7, r#"{"a/b":{}}"#));
            let (Frame::Answer { id: 7, body: back }, _) = other.read(text.as_bytes()).unwrap()
            else {
                panic!("{text}")
            };
            let want = read.map_or(body, |read| format!(r#"{{"a/b":{read}}}"#));
            assert_eq!(String::from_utf8_lossy(back), want);
        }
        // What this crate means by a code is no error of the method.
        for (fault, error, reason) in [
            (Fault::Coded(Data::Missing), r#"{"code":-32000,"message":"no"}"#, Reason::Failed),
            (
                Fault::Coded(Data::Nothing),
                r#"{"code":-32601,"message":"no"}"#,
                Reason::NoSuchMethod,
            ),
            (Fault::Text, r#"{"code":-32603,"message":"no"}"#, Reason::Panicked),
            (Fault::Other, r#"{"code":-32000,"message":"no"}"#, Reason::Failed),
        ] {
            let known = Known { awaited: results(fault), ..Known::default() };
            let (mut one, mut other) = JsonRpc::pair(known, CALLS_AT_ONCE);
            written(&mut one, &call(7, r#"{"a/b":{}}"#));
            let text = format!(r#"{{"jsonrpc":"2.0","id":7,"error":{error}}}"#);
            let (frame, _) = other.read(text.as_bytes()).unwrap();
            assert_eq!(frame, Frame::Error { id: 7, reason, text: &b"no"[..] });
        }
    }

    #[test]
    fn a_number_that_comes_back_as_a_text_or_a_float_is_the_same() {
        for number in ["3", "\"3\"", "3.0", "3.000", "\"3.0\""] {
            let (mut one, mut other) = JsonRpc::pair(Known::default(), CALLS_AT_ONCE);
            written(&mut one, &call(3, r#"{"a/b":{}}"#));
            let item = format!(
                r#"{{"jsonrpc":"2.0","method":"$/progress","params":{{"token":{number},"value":1}}}}"#
            );
            let (frame, _) = other.read(item.as_bytes()).unwrap();
            // A text is a token of the other side's own.
            let is_item = matches!(frame, Frame::Item { id: 3, .. });
            assert_eq!(is_item, !number.starts_with('"'), "{number}: {frame:?}");
            let answer = format!(r#"{{"jsonrpc":"2.0","id":{number},"result":1}}"#);
            let (frame, _) = other.read(answer.as_bytes()).unwrap();
            assert!(matches!(frame, Frame::Answer { id: 3, .. }), "{number}: {frame:?}");
        }
        for number in [
            "-3", "\"+3\"", "\"03\"", "\"3.\"", "3.5", "3.", "\"\"", "\"x\"", "\".0\"", "[3]",
            "null", "3e0", "true",
        ] {
            let (mut one, mut other) = JsonRpc::pair(Known::default(), CALLS_AT_ONCE);
            written(&mut one, &call(3, r#"{"a/b":{}}"#));
            let answer = format!(r#"{{"jsonrpc":"2.0","id":{number},"result":1}}"#);
            let (frame, _) = other.read(answer.as_bytes()).unwrap();
            assert!(!matches!(frame, Frame::Answer { .. }), "{number}: {frame:?}");
        }
    }

    #[test]
    fn an_answer_that_is_none_of_json_rpc_ends_its_call() {
        for (answer, why) in [
            (r#"{"jsonrpc":"2.0","id":3,"error":"no"}"#, "string"),
            (r#"{"jsonrpc":"2.0","id":3,"error":{"code":1.5,"message":"no"}}"#, "1.5"),
            (r#"{"jsonrpc":"2.0","id":3,"error":{"code":1}}"#, "message"),
            (r#"{"jsonrpc":"2.0","id":9,"id":3,"result":1}"#, "duplicate"),
            (r#"{"jsonrpc":"2.0","id":3,"result":1,"result":2}"#, "duplicate"),
            (r#"{"jsonrpc":2.0,"id":3,"result":1}"#, "2.0"),
            (r#"{"jsonrpc":"1.0","id":3,"result":1}"#, "jsonrpc"),
            (r#"{"id":3,"result":1}"#, "jsonrpc"),
        ] {
            let (mut one, mut other) = JsonRpc::pair(Known::default(), CALLS_AT_ONCE);
            written(&mut one, &call(3, r#"{"a/b":{}}"#));
            let (frame, _) = other.read(answer.as_bytes()).unwrap();
            let Frame::Error { id: 3, reason: Reason::Failed, text } = frame else {
                panic!("{answer}: {frame:?}")
            };
            let text = String::from_utf8_lossy(text);
            assert!(text.contains(why), "{answer}: {text}");
            // It is over: what comes after it answers nothing.
            let (frame, _) = other.read(answer.as_bytes()).unwrap();
            assert!(matches!(frame, Frame::Reply(_)), "{answer}: {frame:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let (mut one, _) = JsonRpc::pair(known(), CALLS_AT_ONCE);
            prop_assert!(one.read(&bytes).is_ok());
        }

        #[test]
        fn any_message_is_read_without_a_panic(
            id in prop_oneof!["-?[0-9]{1,3}", "\"[a-z]{0,3}\"", "null", "\\[\\]"],
            method in prop_oneof![Just("a/b"), Just("one"), Just("own"), Just("unit"), Just("$/cancelRequest"), Just("$/progress"), Just("x")],
            params in prop_oneof![Just("null"), Just("[]"), Just("[1]"), Just("{\"id\":1}"), Just("{\"token\":1,\"value\":2}"), Just("7")],
            kind in 0..4_u8,
        ) {
            let (mut one, mut other) = JsonRpc::pair(known(), CALLS_AT_ONCE);
            written(&mut other, &call(1, r#"{"a/b":{}}"#));
            let text = match kind {
                0 => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#),
                1 => format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#),
                2 => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{params}}}"#),
                _ => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{params}}}"#),
            };
            if let (Frame::Call(Call { body, .. }) | Frame::Notify { body, .. }, _) =
                one.read(text.as_bytes()).unwrap()
            {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok());
            }
        }
    }
}
