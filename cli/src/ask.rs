//! `tpipe ask`

use serde_json::{Map, Value, json};
use typed_pipe::tool::{Question, Said};
use typed_pipe::wire::shape::Shape;
use typed_pipe::{Connection, PipePath};

use crate::args::Ask;
use crate::failure::{Failure, NOT_ALL};
use crate::message;
use crate::peer::is_listener;
use crate::screen::Screen;

pub(crate) fn run(how: &Ask, screen: &Screen) -> Result<u8, Failure> {
    let path = PipePath::new(&how.path)?;
    if path.as_path().exists() && !is_listener(&path) && cfg!(unix) {
        screen.complain("it is a pipe: its writers alone tell what they send. `tpipe listen` takes and shows it");
        return Ok(NOT_ALL);
    }
    let question = Question::hear(Connection::connect_timeout(&path, how.timeout)?, how.timeout)?;
    let said = question.said();
    // What makes calls tells their shapes at each call.
    let answer = if said.calls { None } else { Some(question.ask()?) };
    let reads = answer.as_ref().and_then(|answer| answer.reads());
    let writes = answer.as_ref().and_then(|answer| answer.writes());
    if let Some((path, shape)) = how.save_shape.as_deref().zip(reads) {
        message::save(shape, path)?;
    }
    if how.json_schema {
        let schema = |shape: Option<&Shape>| shape.map_or(Value::Null, Shape::json_schema);
        screen.pretty(&json!({"receives": schema(reads), "sends": schema(writes)}))?;
    } else if screen.is_json() {
        screen.value(&as_json(&said, reads, writes))?;
    } else {
        in_words(&said, reads, writes, screen)?;
    }
    Ok(if reads.is_none() && writes.is_none() { NOT_ALL } else { 0 })
}

fn as_json(said: &Said, reads: Option<&Shape>, writes: Option<&Shape>) -> Value {
    let messages = |name: &str, handles: bool, shape: Option<&Shape>| {
        let mut told = Map::new();
        told.insert("name".into(), if name.is_empty() { Value::Null } else { name.into() });
        told.insert("handles".into(), handles.into());
        told.insert("shape".into(), shape.map(Shape::to_string).into());
        told.insert("complete".into(), shape.map(Shape::is_complete).into());
        told
    };
    json!({
        "framing": said.framing,
        "codec": said.codec,
        "speaks": if said.calls { "calls" } else { "messages" },
        "max_payload": said.max_payload,
        "shared_memory": said.memory,
        "receives": messages(&said.receives, said.takes_handles, reads),
        "sends": messages(&said.sends, said.sends_handles, writes),
    })
}

fn in_words(
    said: &Said,
    reads: Option<&Shape>,
    writes: Option<&Shape>,
    screen: &Screen,
) -> Result<(), Failure> {
    screen.about("wire", &format!("{}, {}", said.framing, said.codec))?;
    let most = said.max_payload;
    screen.about("limit", &format!("{most} bytes"))?;
    if said.memory {
        screen.about("memory", "shared, if the client offers it too")?;
    }
    if said.calls {
        return screen.about("speaks", "calls");
    }
    for (way, name, handles, shape) in [
        ("receives", &said.receives, said.takes_handles, reads),
        ("sends", &said.sends, said.sends_handles, writes),
    ] {
        let shape = shape.map_or_else(|| "not told".to_owned(), Shape::to_string);
        let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
        let handles = if handles { ", with handles" } else { "" };
        screen.about(way, &format!("{name}{shape}{handles}"))?;
    }
    Ok(())
}
