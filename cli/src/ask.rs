//! `tpipe ask`

use serde_json::{Map, Value, json};
use typed_pipe::tool::{Answer, AskedService, Question, Said};
use typed_pipe::wire::shape::Shape;
use typed_pipe::{Connection, PipePath};

use crate::args::Ask;
use crate::failure::{Failure, NOT_ALL};
use crate::message;
use crate::peer::{SESSION, is_pipe};
use crate::screen::Screen;

pub(crate) fn run(how: &Ask, screen: &Screen) -> Result<u8, Failure> {
    let path = PipePath::new(&how.path)?;
    if is_pipe(&path) {
        screen.complain("it is a pipe: its writers alone tell what they send. `tpipe listen` takes and shows it");
        return Ok(NOT_ALL);
    }
    let question = Question::hear(Connection::connect_timeout(&path, how.timeout)?, how.timeout)?;
    let said = question.said();
    let told = match said.calls {
        true => Told::by_service(&AskedService::of(question)?),
        false => Told::by_listener(&question.ask()?),
    };
    if let Some((path, shape)) = how.save_shape.as_deref().zip(told.reads.as_ref()) {
        message::save(shape, path)?;
    }
    if how.json_schema {
        let schema = |shape: &Option<Shape>| shape.as_ref().map_or(Value::Null, Shape::json_schema);
        screen.pretty(&json!({"receives": schema(&told.reads), "sends": schema(&told.writes)}))?;
    } else if screen.is_json() {
        screen.value(&as_json(&said, &told))?;
    } else {
        in_words(&said, &told, screen)?;
    }
    Ok(if told.reads.is_none() && told.writes.is_none() { NOT_ALL } else { 0 })
}

/// What the messages look like, as far as it is told.
struct Told {
    reads: Option<Shape>,
    writes: Option<Shape>,
    /// The methods of a service, and what each one takes.
    methods: Option<Vec<(String, String)>>,
    /// Whether it answers calls, if it makes some.
    serves: bool,
    /// Whether what it sends is told with each message.
    later: bool,
}

impl Told {
    fn by_listener(answer: &Answer) -> Self {
        let (reads, writes) = (answer.reads().cloned(), answer.writes().cloned());
        Self { reads, writes, methods: None, serves: true, later: false }
    }

    fn by_service(service: &AskedService) -> Self {
        let reads = service.requests().cloned();
        let methods = reads.as_ref().and_then(Shape::variants);
        let (serves, later) = (service.serves(), service.serves() && service.is_told());
        Self { reads, writes: None, methods, serves, later }
    }
}

fn speaks(said: &Said) -> &'static str {
    match said.calls {
        true => "calls",
        false if said.codec == SESSION => "session",
        false => "messages",
    }
}

fn as_json(said: &Said, told: &Told) -> Value {
    let messages = |name: &str, handles: bool, shape: &Option<Shape>| {
        let mut told = Map::new();
        told.insert("name".into(), if name.is_empty() { Value::Null } else { name.into() });
        told.insert("handles".into(), handles.into());
        told.insert("shape".into(), shape.as_ref().map(Shape::to_string).into());
        told.insert("complete".into(), shape.as_ref().map(Shape::is_complete).into());
        told
    };
    let mut all = json!({
        "framing": said.framing,
        "codec": said.codec,
        "speaks": speaks(said),
        "max_payload": said.max_payload,
        "shared_memory": said.memory,
        "receives": messages(&said.receives, said.takes_handles, &told.reads),
        "sends": messages(&said.sends, said.sends_handles, &told.writes),
    });
    if let (Some(methods), Value::Object(all)) = (&told.methods, &mut all) {
        let methods = methods.iter().map(|(name, takes)| json!({"name": name, "takes": takes}));
        all.insert("methods".into(), methods.collect());
    }
    all
}

fn in_words(said: &Said, told: &Told, screen: &Screen) -> Result<(), Failure> {
    screen.about("wire", &format!("{}, {}", said.framing, said.codec))?;
    let most = said.max_payload;
    screen.about("limit", &format!("{most} bytes"))?;
    if said.memory {
        screen.about("memory", "shared, if the client offers it too")?;
    }
    if said.calls {
        let of_its_own = if told.serves { "" } else { " of its own, and answers none" };
        screen.about("speaks", &format!("calls{of_its_own}"))?;
    } else if said.codec == SESSION {
        screen.about("speaks", "a session, whose protocol it does not tell")?;
    }
    for (way, name, handles, shape) in [
        ("receives", &said.receives, said.takes_handles, &told.reads),
        ("sends", &said.sends, said.sends_handles, &told.writes),
    ] {
        let shape = match shape {
            Some(shape) => shape.to_string(),
            None if told.later && way == "sends" => "told with each answer".to_owned(),
            None => "not told".to_owned(),
        };
        let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
        let handles = if handles { ", with handles" } else { "" };
        // A struct or an enum within has a line of its own. What the peer calls itself has none.
        let mut lines = shape.lines();
        let mut first = lines.next().unwrap_or_default();
        if told.methods.is_some() && way == "receives" {
            // Each has a line in the table below.
            first = first.split(" {").next().unwrap_or_default();
        }
        screen.about(way, &format!("{name}{first}{handles}"))?;
        lines.try_for_each(|line| screen.about("", line))?;
    }
    let Some(methods) = &told.methods else { return Ok(()) };
    let head = ["METHOD", "TAKES"].map(str::to_owned).to_vec();
    let rows = methods.iter().map(|(name, takes)| vec![name.clone(), takes.clone()]);
    screen.table(&[head].into_iter().chain(rows).collect::<Vec<_>>())
}
