//! JSON-RPC: by hand, by this crate on both sides, and by other programs.

use std::io::{BufRead, BufReader, Read, Write};
#[cfg(unix)]
use std::path::Path;
use std::process::Child;
#[cfg(unix)]
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use typed_pipe::wire::foreign::{ContentLength, Lines};
use typed_pipe::wire::{Framing, Json, Wire};
use typed_pipe::{
    CancelToken, Client, ClientOptions, Connection, Context, Error, ErrorKind, Listener, PipePath,
    Service, Summary, service,
};

use crate::node::node;
use crate::support::{skipped, until, watched};

#[derive(Debug, Serialize, Deserialize, PartialEq, Clone, Copy)]
pub(crate) struct Point {
    x: i64,
    y: i64,
}

service! {
    pub(crate) trait Sums in sums {
        /// Adds two numbers.
        #[name = "sum/of"]
        fn sum(a: i64, b: i64) -> i64;
        #[name = "point/move"]
        fn turn(params: Point) -> Point;
        fn nothing();
        fn fail(words: String) -> Result<u8, String>;
        fn panic();
        fn note(text: String);
        fn notes() -> Vec<String>;
        fn half(of: f64) -> f64;
    }
}

#[derive(Default)]
struct Adding(Mutex<Vec<String>>);

impl Sums for Adding {
    fn sum(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    fn turn(&self, params: Point) -> Point {
        Point { x: params.y, y: params.x }
    }

    fn nothing(&self) {}

    fn fail(&self, words: String) -> Result<u8, String> {
        Err(words)
    }

    fn panic(&self) {
        panic!("as it was asked to");
    }

    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn notes(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn half(&self, of: f64) -> f64 {
        of / 2.0
    }
}

/// Serves on a wire until the token is cancelled.
fn serving<F>(framing: F) -> (PipePath, CancelToken, thread::JoinHandle<Summary>)
where
    F: Framing + Clone + Send + 'static,
{
    let token = CancelToken::new().unwrap();
    let service = Service::temporary().unwrap().with_wire(Wire::new(framing, Json)).json_rpc();
    let service = service.cancelled_by(&token);
    let path = service.path().clone();
    let serving = thread::spawn(move || sums::serve(service, &Adding::default()).unwrap());
    (path, token, serving)
}

/// A program that speaks lines.
struct ByLines(BufReader<Connection>);

impl ByLines {
    fn connect(path: &PipePath) -> Self {
        Self(BufReader::new(Connection::connect(path).unwrap()))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
        self.0.get_mut().write_all(b"\n").unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn ask(&mut self, text: &str) -> Value {
        self.say(text);
        self.hear()
    }
}

#[test]
fn requests_are_answered_and_what_is_none_costs_itself_alone() {
    watched(|| {
        let (path, token, serving) = serving(Lines::default());
        let mut client = ByLines::connect(&path);
        for (asked, answer) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"sum/of","params":{"a":1,"b":2}}"#,
                json!({"jsonrpc": "2.0", "id": 1, "result": 3}),
            ),
            (
                r#"{"params":[4,5],"method":"sum/of","id":"a text","jsonrpc":"2.0"}"#,
                json!({"jsonrpc": "2.0", "id": "a text", "result": 9}),
            ),
            (
                r#"{"jsonrpc":"2.0","id":-7,"method":"nothing"}"#,
                json!({"jsonrpc": "2.0", "id": -7, "result": null}),
            ),
            (
                r#"{"jsonrpc":"2.0","id":3,"method":"nothing","params":[]}"#,
                json!({"jsonrpc": "2.0", "id": 3, "result": null}),
            ),
            (
                r#"{"jsonrpc":"2.0","id":4,"method":"point\/move","params":{"x":1,"y":2}}"#,
                json!({"jsonrpc": "2.0", "id": 4, "result": {"x": 2, "y": 1}}),
            ),
            (
                r#"{"jsonrpc":"2.0","id":5,"method":"fail","params":{"words":"no"}}"#,
                json!({"jsonrpc": "2.0", "id": 5, "error": {"code": -32000, "message": "no"}}),
            ),
        ] {
            assert_eq!(client.ask(asked), answer, "{asked}");
        }
        for (asked, id, code) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"no/such"}"#, json!(1), -32601),
            (r#"{"jsonrpc":"2.0","id":2,"method":"sum/of","params":[1]}"#, json!(2), -32602),
            (r#"{"jsonrpc":"2.0","id":3,"method":"sum/of","params":{"a":"x"}}"#, json!(3), -32602),
            (r#"{"jsonrpc":"2.0","id":4,"method":"sum/of"}"#, json!(4), -32602),
            (r#"{"jsonrpc":"2.0","id":5,"method":"panic"}"#, json!(5), -32603),
            (r#"{"jsonrpc":"2.0","id":{"a":1},"method":"nothing"}"#, Value::Null, -32600),
            (r#"{"jsonrpc":"2.0","id":[],"method":"nothing"}"#, Value::Null, -32600),
            (r#"{"id":1,"method":"nothing"}"#, json!(1), -32600),
            (r#"{"jsonrpc":"1.0","id":"a","method":"nothing"}"#, json!("a"), -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, json!(1), -32600),
            (r#"{"id":[1],"method":"nothing"}"#, Value::Null, -32600),
            (r#"{"jsonrpc":"2.0"}"#, Value::Null, -32600),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"nothing"}]"#, Value::Null, -32600),
            ("[]", Value::Null, -32600),
            ("7", Value::Null, -32600),
            ("{", Value::Null, -32700),
            ("", Value::Null, -32700),
            (r#"{"jsonrpc":"2.0","method":"nothing","id":1"#, Value::Null, -32700),
            ("no JSON", Value::Null, -32700),
        ] {
            let answer = client.ask(asked);
            assert_eq!(answer["error"]["code"], code, "{asked}: {answer}");
            assert_eq!(answer["id"], id, "{asked}: {answer}");
            assert!(answer["error"]["message"].is_string() && answer.get("result").is_none());
        }
        // None of these is answered.
        client.say(r#"{"jsonrpc":"2.0","method":"note","params":["one"]}"#);
        client.say(r#"{"jsonrpc":"2.0","method":"no/such","params":["one"]}"#);
        client.say(r#"{"jsonrpc":"2.0","method":"note","params":{"text":"two"}}"#);
        client.say(r#"{"jsonrpc":"2.0","method":"note","params":{"other":"two"}}"#);
        client.say(r#"{"jsonrpc":"2.0","method":"panic"}"#);
        client.say(r#"{"jsonrpc":"2.0","id":99,"result":1}"#);
        client.say(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"?"}}"#);
        client.say(r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#);
        client.say(r#"{"jsonrpc":"2.0","method":"$/progress","params":{"token":1,"value":1}}"#);
        client.say(r#"{"jsonrpc":"2.0","method":"$/other"}"#);
        let answer = client.ask(r#"{"jsonrpc":"2.0","id":1,"method":"notes"}"#);
        assert_eq!(answer["result"], json!(["one", "two"]));
        // JSON has no such number.
        let answer = client.ask(r#"{"jsonrpc":"2.0","id":1,"method":"half","params":[3]}"#);
        assert_eq!(answer["result"], 1.5);
        token.cancel();
        let mut rest = String::new();
        client.0.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        assert_eq!(serving.join().unwrap().lost, 0);
    });
}

#[derive(Debug, Serialize, Deserialize, Clone, Copy)]
pub(crate) struct Limits {
    most: Option<u64>,
}

service! {
    /// What takes no list, and what takes one.
    pub(crate) trait Forms in forms {
        fn open(params: Option<Point>) -> Option<Point>;
        fn turn(params: Point) -> Point;
        fn limits(params: Limits) -> u64;
        fn number(of: Option<u64>) -> Option<u64>;
        fn nothing();
        fn bytes(params: serde_bytes::ByteBuf) -> usize;
        fn total(params: Vec<u64>) -> u64;
    }
}

struct Taking;

impl Forms for Taking {
    fn open(&self, params: Option<Point>) -> Option<Point> {
        params
    }

    fn turn(&self, params: Point) -> Point {
        params
    }

    fn limits(&self, params: Limits) -> u64 {
        params.most.unwrap_or(0)
    }

    fn number(&self, of: Option<u64>) -> Option<u64> {
        of
    }

    fn nothing(&self) {}

    fn bytes(&self, params: serde_bytes::ByteBuf) -> usize {
        params.len()
    }

    fn total(&self, params: Vec<u64>) -> u64 {
        params.iter().sum()
    }
}

/// As some languages write what is empty, whatever it is.
#[test]
fn an_empty_list_of_params_is_none_where_no_list_is_wanted() {
    watched(|| {
        let asked = [
            (r#""open","params":[]"#, json!(null)),
            (r#""open","params":null"#, json!(null)),
            (r#""open","params":{"x":1,"y":2}"#, json!({"x": 1, "y": 2})),
            (r#""open","params":[1, 2]"#, json!({"x": 1, "y": 2})),
            (r#""limits","params":[ ]"#, json!(0)),
            (r#""limits","params":{}"#, json!(0)),
            (r#""limits","params":[7]"#, json!(7)),
            (r#""number","params":[]"#, json!(null)),
            (r#""number","params":[3]"#, json!(3)),
            (r#""nothing","params":[]"#, json!(null)),
            (r#""bytes","params":[]"#, json!(0)),
            (r#""bytes","params":[7]"#, json!(1)),
            (r#""bytes","params":[7,8]"#, json!(2)),
            (r#""total","params":[]"#, json!(0)),
            (r#""total","params":[5]"#, json!(5)),
        ];
        let request = |rest: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":{rest}}}"#);
        fn serving<F>(framing: F) -> (PipePath, CancelToken, thread::JoinHandle<Summary>)
        where
            F: Framing + Clone + Send + 'static,
        {
            let token = CancelToken::new().unwrap();
            let wire = Wire::new(framing, Json);
            let service = Service::temporary().unwrap().with_wire(wire).cancelled_by(&token);
            let path = service.path().clone();
            let serving = thread::spawn(move || forms::serve(service.json_rpc(), &Taking).unwrap());
            (path, token, serving)
        }
        let (path, token, served) = serving(Lines::default());
        let mut client = ByLines::connect(&path);
        for (rest, result) in &asked {
            assert_eq!(client.ask(&request(rest)).get("result"), Some(result), "{rest}");
        }
        let answer = client.ask(&request(r#""turn","params":[]"#));
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        drop(client);
        token.cancel();
        assert_eq!(served.join().unwrap().lost, 0);

        let (path, token, served) = serving(ContentLength::default());
        let mut client = BufReader::new(Connection::connect(&path).unwrap());
        for (rest, result) in &asked {
            let message = request(rest);
            write!(client.get_mut(), "Content-Length: {}\r\n\r\n{message}", message.len()).unwrap();
            assert_eq!(hear_content(&mut client).get("result"), Some(result), "{rest}");
        }
        drop(client);
        token.cancel();
        assert_eq!(served.join().unwrap().lost, 0);

        let (path, token, served) = serving(Lines::default());
        let options = ClientOptions::new().with_wire(Wire::new(Lines::default(), Json)).json_rpc();
        let client = forms::Client(options.connect(&path).unwrap());
        assert_eq!(client.open(None).unwrap(), None);
        let counts = [vec![], vec![7], vec![7, 8]]
            .map(|bytes: Vec<u8>| client.bytes(serde_bytes::ByteBuf::from(bytes)).unwrap());
        assert_eq!(counts, [0, 1, 2]);
        drop(client);
        token.cancel();
        assert_eq!(served.join().unwrap().lost, 0);
    });
}

/// An error as JSON-RPC has it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Coded {
    code: i32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Point>,
}

service! {
    trait Shapes in shapes {
        #[name = "shape/rename"]
        fn rename(params: Point) -> Result<Point, Coded>;
        fn area(of: u32) -> Result<(), Point>;
    }
}

struct Renaming;

impl Shapes for Renaming {
    fn rename(&self, params: Point) -> Result<Point, Coded> {
        match params.x {
            0 => Err(Coded { code: -32803, message: "no name".into(), data: None }),
            1 => Err(Coded { code: 7, message: String::new(), data: Some(params) }),
            _ => Ok(params),
        }
    }

    fn area(&self, of: u32) -> Result<(), Point> {
        if of > 0 { Ok(()) } else { Err(Point { x: 0, y: 9 }) }
    }
}

#[test]
fn a_result_is_a_result_or_an_error_with_its_code() {
    watched(|| {
        let wire = Wire::new(Lines::default(), Json);
        let service = Service::temporary().unwrap().with_wire(wire.clone()).json_rpc();
        let service = service.shutdown_after(10);
        let path = service.path().clone();
        let serving = thread::spawn(move || shapes::serve(service, &Renaming).unwrap());
        let mut program = ByLines::connect(&path);
        for (method, params, field, want) in [
            ("shape/rename", json!({"x": 2, "y": 3}), "result", json!({"x": 2, "y": 3})),
            (
                "shape/rename",
                json!({"x": 0, "y": 3}),
                "error",
                json!({"code": -32803, "message": "no name"}),
            ),
            (
                "shape/rename",
                json!({"x": 1, "y": 3}),
                "error",
                json!({"code": 7, "message": "", "data": {"x": 1, "y": 3}}),
            ),
            ("area", json!([1]), "result", Value::Null),
            (
                "area",
                json!([0]),
                "error",
                json!({"code": -32000, "message": "{\"x\":0,\"y\":9}", "data": {"x": 0, "y": 9}}),
            ),
        ] {
            let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let answer = program.ask(&request.to_string());
            assert_eq!(answer, json!({"jsonrpc": "2.0", "id": 1, field: want}), "{request}");
        }
        let options = ClientOptions::new().with_wire(wire).json_rpc();
        let client = shapes::Client(options.connect(path).unwrap());
        let point = |x| Point { x, y: 3 };
        assert_eq!(client.rename(point(2)).unwrap(), Ok(point(2)));
        for x in [0, 1] {
            assert_eq!(client.rename(point(x)).unwrap(), Renaming.rename(point(x)));
        }
        assert_eq!(client.area(1).unwrap(), Ok(()));
        assert_eq!(client.area(0).unwrap(), Err(Point { x: 0, y: 9 }));
        serving.join().unwrap();
    });
}

/// The next message behind its length.
fn hear_content(client: &mut BufReader<Connection>) -> Value {
    let (mut head, mut empty) = (String::new(), String::new());
    client.read_line(&mut head).unwrap();
    client.read_line(&mut empty).unwrap();
    assert_eq!(empty, "\r\n");
    let length = head.trim().strip_prefix("Content-Length: ").unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    client.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// What came first has the seats.
#[test]
fn more_requests_than_can_wait_are_refused_alone() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let gate = Arc::new(RwLock::new(()));
        let closed = gate.write().unwrap();
        let opens = Arc::clone(&gate);
        let serving = thread::spawn(move || {
            let wire = Wire::new(Lines::default(), Json);
            let service = Service::<sums::Call, sums::Answer>::over(theirs).with_wire(wire);
            service.json_rpc().serve(move |call| {
                drop(opens.read());
                sums::handle(&Adding::default(), call)
            })
        });
        let mut client = ByLines(BufReader::new(ours));
        for id in 0..1025 {
            client.say(&json!({"jsonrpc": "2.0", "id": id, "method": "nothing"}).to_string());
        }
        client.say(r#"{"jsonrpc":"2.0","id":7,"method":"nothing"}"#);
        let refused = [client.hear(), client.hear()];
        assert_eq!(
            (&refused[0]["id"], &refused[0]["error"]["code"]),
            (&json!(1024), &json!(-32000))
        );
        assert_eq!((&refused[1]["id"], &refused[1]["error"]["code"]), (&json!(7), &json!(-32600)));
        drop(closed);
        let mut answered: Vec<_> =
            (0..1024).map(|_| client.hear()["id"].as_u64().unwrap()).collect();
        answered.sort_unstable();
        assert!(answered.into_iter().eq(0..1024));
        drop(client);
        assert_eq!(serving.join().unwrap().unwrap().answered, 1024);
    });
}

#[test]
fn a_request_is_cancelled_and_its_items_are_progress() {
    watched(|| {
        let (ours, theirs) = Connection::pair().unwrap();
        let serving = thread::spawn(move || {
            let wire = Wire::new(ContentLength::default(), Json);
            let service = Service::<sums::Call, sums::Answer>::over(theirs).with_wire(wire);
            service.json_rpc().serve_with_context(|call, context: Context<Point, Json>| {
                context.send(&Point { x: 1, y: 2 }).unwrap();
                until(|| context.is_cancelled());
                sums::handle(&Adding::default(), call)
            })
        });
        let mut client = BufReader::new(ours);
        let mut talk = |message: &str, answers: usize| {
            let head = format!("Content-Length: {}\r\n\r\n", message.len());
            client.get_mut().write_all((head + message).as_bytes()).unwrap();
            (0..answers).map(|_| hear_content(&mut client)).collect::<Vec<_>>()
        };
        let progress = talk(r#"{"jsonrpc":"2.0","id":"one","method":"nothing"}"#, 1);
        let params = json!({"token": "one", "value": {"x": 1, "y": 2}});
        assert_eq!(
            progress[0],
            json!({"jsonrpc": "2.0", "method": "$/progress", "params": params})
        );
        let cancel = r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"one"}}"#;
        let cancelled = talk(cancel, 1);
        assert_eq!(
            (&cancelled[0]["id"], &cancelled[0]["error"]["code"]),
            (&json!("one"), &json!(-32800))
        );
        drop(client);
        serving.join().unwrap().unwrap();
    });
}

/// Calls all of it by this crate, on a wire.
fn both_sides_by_this_crate<F>(framing: F)
where
    F: Framing + Clone + Send + Sync + 'static,
{
    let (path, token, serving) = serving(framing.clone());
    let options = ClientOptions::new().with_wire(Wire::new(framing, Json)).json_rpc();
    let client = sums::Client(options.connect(&path).unwrap());
    assert_eq!(client.sum(2, 3).unwrap(), 5);
    assert_eq!(client.turn(Point { x: 1, y: 2 }).unwrap(), Point { x: 2, y: 1 });
    client.nothing().unwrap();
    assert_eq!(client.fail("no".into()).unwrap(), Err("no".into()));
    let error = client.panic().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HandlerPanicked);
    assert!(error.to_string().contains("as it was asked to"), "{error}");
    client.0.notify(&sums::Call::note { text: "one".into() }).unwrap();
    assert_eq!(client.notes().unwrap(), ["one"]);
    let error = client.half(f64::NAN).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Encode | ErrorKind::HandlerFailed), "{error}");
    thread::scope(|scope| {
        for thread in 0..8 {
            let client = &client;
            scope.spawn(move || {
                for n in 0..100 {
                    assert_eq!(client.sum(thread * 1000, n).unwrap(), thread * 1000 + n);
                }
            });
        }
    });
    let pending: Vec<_> =
        (0..1500).map(|n| client.0.start(&sums::Call::sum { a: n, b: n }).unwrap()).collect();
    for (n, call) in (0..).zip(pending) {
        assert!(matches!(call.wait().unwrap(), sums::Answer::sum(sum) if sum == 2 * n));
    }
    let large = "x".repeat(1 << 20);
    assert_eq!(client.fail(large.clone()).unwrap(), Err(large));
    token.cancel();
    serving.join().unwrap();
    let late = client.0.call_timeout(&sums::Call::nothing {}, std::time::Duration::ZERO);
    // There is no goodbye: nothing is known before the connection is tried.
    let kind = late.err().unwrap().kind();
    assert!(matches!(kind, ErrorKind::TimedOut | ErrorKind::Disconnected), "{kind:?}");
}

#[test]
fn this_crate_speaks_it_on_both_sides_by_lines() {
    watched(|| both_sides_by_this_crate(Lines::default()));
}

#[test]
fn this_crate_speaks_it_on_both_sides_behind_lengths() {
    watched(|| both_sides_by_this_crate(ContentLength::default()));
}

/// Nothing is sent of it: each that asks for it learns why.
#[test]
fn a_request_that_names_no_method_is_an_error_by_name() {
    watched(|| {
        let (ours, _theirs) = Connection::pair().unwrap();
        let options = ClientOptions::new().with_wire(Wire::new(Lines::default(), Json)).json_rpc();
        let client = options.over::<u32, u32>(ours).unwrap();
        let named = |error: Error| {
            assert_eq!(error.kind(), ErrorKind::Encode, "{error}");
            assert!(error.to_string().contains("it is no variant of an enum"), "{error}");
        };
        named(client.call(&7).unwrap_err());
        named(client.notify(&7).unwrap_err());
        let mut items = client.stream::<u32>(&7).unwrap();
        named(items.recv().unwrap().unwrap_err());
        assert!(items.recv().is_none());
        named(items.finish().unwrap_err());
    });
}

#[test]
fn this_crate_streams_cancels_and_calls_back() {
    watched(|| {
        type Numbers = Client<Ask, Told, ContentLength, Json>;
        #[derive(Serialize, Deserialize, Debug)]
        enum Ask {
            Count(u32),
            Wait { of: u8 },
            Back,
        }
        #[derive(Serialize, Deserialize, Debug, PartialEq)]
        enum Told {
            Count(String),
            Wait(u8),
            Back,
        }
        let (ours, theirs) = Connection::pair().unwrap();
        let [begun, cancelled] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let (begins, seen) = (Arc::clone(&begun), Arc::clone(&cancelled));
        let over = |connection| {
            let wire = Wire::new(ContentLength::default(), Json);
            Service::<Ask, Told>::over(connection).with_wire(wire).json_rpc()
        };
        let make = move |back: Numbers| {
            move |ask, context: Context<u64, Json>| match ask {
                Ask::Count(to) => {
                    // More than there is room for, and nobody gives credit for them.
                    for step in 0..to {
                        context.send(&(u64::MAX - u64::from(step)))?;
                    }
                    Ok(Told::Count("counted".into()))
                }
                Ask::Wait { of } => {
                    begins.store(true, Ordering::Relaxed);
                    until(|| context.is_cancelled());
                    seen.store(true, Ordering::Relaxed);
                    Ok(Told::Wait(of))
                }
                Ask::Back => back.call(&Ask::Back),
            }
        };
        let there = thread::spawn(move || over(theirs).both_ways_with_context(make).unwrap());
        let here = over(ours).both_ways(|_: Numbers| |_| Told::Back).unwrap();
        let (client, _serving) = here;
        let (_back, _there) = there.join().unwrap();
        let mut items = client.stream::<u64>(&Ask::Count(10_000)).unwrap();
        let refused = items.send(&1_u8).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "a caller has no items");
        let came = items.by_ref().map(Result::unwrap);
        assert!(came.eq((0..10_000).map(|step| u64::MAX - step)));
        assert_eq!(items.finish().unwrap(), Told::Count("counted".into()));
        assert_eq!(client.call(&Ask::Back).unwrap(), Told::Back);
        let waiting = client.start(&Ask::Wait { of: 1 }).unwrap();
        until(|| begun.load(Ordering::Relaxed)); // one that is not sent yet is taken back
        drop(waiting);
        until(|| cancelled.load(Ordering::Relaxed));
        assert_eq!(client.call(&Ask::Back).unwrap(), Told::Back);
    });
}

#[derive(Serialize, Deserialize)]
enum ToNode {
    #[serde(rename = "node/double")]
    Double(u64),
    #[serde(rename = "node/fail")]
    Fail,
    #[serde(rename = "node/wait")]
    Wait,
    #[serde(rename = "node/tell")]
    Tell(String),
    #[serde(rename = "node/told")]
    Told,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum OfNode {
    #[serde(rename = "node/double")]
    Double(u64),
    #[serde(rename = "node/fail")]
    Fail(Result<(), Coded>),
    #[serde(rename = "node/wait")]
    Wait,
    #[serde(rename = "node/told")]
    Told(Vec<String>),
}

/// What the other program asks for.
#[derive(Serialize, Deserialize)]
enum Ask {
    #[serde(rename = "sum/of")]
    Sum { a: i64, b: i64 },
    #[serde(rename = "point/move")]
    Move { params: Point },
    #[serde(rename = "rename")]
    Rename { params: Point },
    #[serde(rename = "nothing")]
    Nothing,
    #[serde(rename = "back")]
    Back(u64),
    #[serde(rename = "note")]
    Note(String),
    #[serde(rename = "notes")]
    Notes,
    #[serde(rename = "panic")]
    Panic,
    #[serde(rename = "slow")]
    Slow,
    #[serde(rename = "cancelled")]
    Cancelled,
    #[serde(rename = "count")]
    Count(u64),
    #[serde(rename = "done")]
    Done,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    #[serde(rename = "sum/of")]
    Sum(i64),
    #[serde(rename = "point/move")]
    Move(Point),
    #[serde(rename = "rename")]
    Rename(Result<Point, Coded>),
    #[serde(rename = "nothing")]
    Nothing,
    #[serde(rename = "back")]
    Back(u64),
    #[serde(rename = "note")]
    Note,
    #[serde(rename = "notes")]
    Notes(Vec<String>),
    #[serde(rename = "slow")]
    Slow,
    #[serde(rename = "cancelled")]
    Cancelled(bool),
    #[serde(rename = "count")]
    Count(u64),
    #[serde(rename = "done")]
    Done,
}

/// With what editors speak.
#[test]
fn the_library_of_editors_calls_and_is_called() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let Some(mut peer) = node("rpc.js", listener.path().as_path(), &[]) else { return };
        let connection = match listener.accept_with(&peer) {
            Ok(connection) => connection,
            Err(error) if peer.wait().unwrap().code() == Some(77) => {
                skipped("`npm install --prefix target/node vscode-jsonrpc` was not run");
                return drop(error);
            }
            Err(error) => panic!("{error}"),
        };
        calls_and_is_called(ContentLength::default(), connection, peer);
    });
}

/// By nothing but its standard library.
#[cfg(unix)]
#[test]
fn python_calls_and_is_called_by_lines() {
    watched(|| {
        let listener = Listener::temporary().unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/rpc.py");
        let python = Command::new("python3")
            .arg(program)
            .arg(crate::support::short(listener.path()))
            .stdout(Stdio::piped())
            .spawn();
        match python {
            Ok(peer) => {
                let connection = listener.accept_with(&peer).unwrap();
                calls_and_is_called(Lines::default(), connection, peer);
            }
            Err(error) => skipped(format_args!("there is no Python here: {error}")),
        }
    });
}

/// A program of another language, which is called back and calls at once.
fn calls_and_is_called<F>(framing: F, connection: Connection, mut peer: Child)
where
    F: Framing + Clone + Send + Sync + 'static,
{
    let wire = Wire::new(framing, Json);
    let service = Service::<Ask, Answer>::over(connection).with_wire(wire).json_rpc();
    let (notes, cancelled) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let make = |node: Client<ToNode, OfNode, F, Json>| {
        move |ask, context: Context<u64, Json>| {
            Ok::<_, Error>(match ask {
                Ask::Sum { a, b } => Answer::Sum(a + b),
                Ask::Move { params: Point { x, y } } => Answer::Move(Point { x: y, y: x }),
                Ask::Rename { params } => Answer::Rename(Renaming.rename(params)),
                Ask::Nothing => Answer::Nothing,
                Ask::Back(number) => match node.call(&ToNode::Double(number))? {
                    OfNode::Double(number) => Answer::Back(number),
                    other => panic!("{other:?}"),
                },
                Ask::Note(text) => {
                    notes.lock().unwrap().push(text);
                    Answer::Note
                }
                Ask::Notes => Answer::Notes(notes.lock().unwrap().clone()),
                Ask::Panic => panic!("as it was asked to"),
                Ask::Slow => {
                    until(|| context.is_cancelled());
                    cancelled.store(true, Ordering::Relaxed);
                    Answer::Slow
                }
                Ask::Cancelled => {
                    until(|| cancelled.load(Ordering::Relaxed));
                    Answer::Cancelled(true)
                }
                Ask::Count(to) => {
                    (0..to).try_for_each(|step| context.send(&step))?;
                    Answer::Count(to)
                }
                Ask::Done => {
                    let message = "as it was asked to".to_owned();
                    let failed = Err(Coded { code: -31000, message, data: None });
                    assert_eq!(node.call(&ToNode::Fail)?, OfNode::Fail(failed));
                    node.notify(&ToNode::Tell("it is over".into()))?;
                    let waiting = node.start(&ToNode::Wait)?;
                    let mut told = Vec::new();
                    let mut until_told = |count| {
                        until(|| {
                            if let Ok(OfNode::Told(more)) = node.call(&ToNode::Told) {
                                told.extend(more);
                            }
                            told.len() == count
                        });
                    };
                    until_told(2);
                    drop(waiting);
                    until_told(3);
                    assert_eq!(told, ["it is over", "waiting", "cancelled"]);
                    Answer::Done
                }
            })
        }
    };
    let (_node, serving) = service.both_ways_with_context(make).unwrap();
    let mut said = String::new();
    peer.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let status = peer.wait().unwrap();
    assert_eq!(said.trim(), "all is well");
    assert!(status.success());
    serving.wait().unwrap();
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_speak_it_too() {
    struct Tasks;

    impl sums::Tasks for Tasks {
        async fn sum(&self, a: i64, b: i64) -> i64 {
            a + b
        }
        async fn turn(&self, params: Point) -> Point {
            params
        }
        async fn nothing(&self) {}
        async fn fail(&self, words: String) -> Result<u8, String> {
            Err(words)
        }
        async fn panic(&self) {
            panic!("as it was asked to")
        }
        async fn note(&self, _: String) {}
        async fn notes(&self) -> Vec<String> {
            Vec::new()
        }
        async fn half(&self, of: f64) -> f64 {
            of / 2.0
        }
    }
    watched(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let wire = Wire::new(ContentLength::default(), Json);
            let service = Service::temporary().unwrap().with_wire(wire.clone()).json_rpc();
            let service = service.shutdown_after(504).into_tokio().unwrap();
            let path = service.path().clone();
            let serving = tokio::spawn(sums::serve_tasks(service, Tasks));
            let options = ClientOptions::new().with_wire(wire).json_rpc().into_tokio();
            let client = Arc::new(sums::Client(options.connect(path).await.unwrap()));
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..500 {
                let client = Arc::clone(&client);
                tasks.spawn(async move { assert_eq!(client.sum(n, 1).await.unwrap(), n + 1) });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
            assert_eq!(client.half(3.0).await.unwrap(), 1.5);
            assert_eq!(client.panic().await.unwrap_err().kind(), ErrorKind::HandlerPanicked);
            client.nothing().await.unwrap();
            assert_eq!(client.fail("no".into()).await.unwrap(), Err("no".into()));
            serving.await.unwrap().unwrap();
        });
    });
}
