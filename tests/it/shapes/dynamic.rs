//! Messages of types that a program does not have.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use typed_pipe::CodecError;
use typed_pipe::wire::shape::{Shape, Style};
use typed_pipe::wire::{Codec, DepthLimit, Json, Plain, Postcard};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Message {
    id: u64,
    small: i8,
    text: String,
    letter: char,
    ratio: f32,
    maybe: Option<Point>,
    list: Vec<Command>,
    pair: (u8, bool),
    array: [u16; 3],
    by_name: BTreeMap<String, u8>,
    by_number: BTreeMap<u32, char>,
    nothing: (),
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: f64,
    y: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Command {
    Start,
    Set { rate: u32 },
    Move(Point),
    Both(u8, u8),
}

fn message() -> Message {
    Message {
        id: u64::MAX,
        small: -1,
        text: "hi".into(),
        letter: 'ß',
        ratio: 0.5,
        maybe: Some(Point { x: 1.0, y: -2.5 }),
        list: vec![
            Command::Start,
            Command::Set { rate: 300 },
            Command::Move(Point { x: 0.0, y: 0.0 }),
            Command::Both(1, 2),
        ],
        pair: (1, true),
        array: [1, 2, 300],
        by_name: BTreeMap::from([("a".into(), 1)]),
        by_number: BTreeMap::from([(7, 'a')]),
        nothing: (),
        bytes: vec![1, 2],
    }
}

/// The shape, as it comes from another process.
fn told<T: DeserializeOwned>(style: Style) -> Shape {
    Shape::from_description(Shape::of::<T>(style).description()).unwrap()
}

fn round<C: Codec>(codec: &C) {
    let shape = told::<Message>(codec.style().unwrap());
    let mut bytes = Vec::new();
    codec.encode(&message(), &mut bytes).unwrap();
    let value = shape.decode_json(codec, &bytes).unwrap();
    assert_eq!(value, serde_json::to_value(message()).unwrap());
    let again = shape.encode_json(codec, &value).unwrap();
    assert_eq!(codec.decode::<Message>(&again).unwrap(), message());
}

#[test]
fn each_codec_is_read_and_written() {
    round(&Postcard);
    round(&DepthLimit::new(Postcard));
    round(&Json);
    #[cfg(feature = "bincode")]
    round(&typed_pipe::wire::Bincode::new());
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::to_value(message()).unwrap();
    change(&mut value);
    let found = [Style::Positional, Style::Named].map(|style| {
        let error = match style {
            Style::Positional => told::<Message>(style).encode_json(&Postcard, &value),
            _ => told::<Message>(style).encode_json(&Json, &value),
        };
        error.unwrap_err().to_string()
    });
    assert_eq!(found[0], found[1]);
    found[0].clone()
}

#[test]
fn what_is_no_such_message_is_told_by_its_place() {
    assert_eq!(
        refused(|value| value["maybe"]["x"] = "text".into()),
        "`Message.maybe?.x`: f64 is expected, and there is a text"
    );
    assert_eq!(
        refused(|value| value["small"] = 128.into()),
        "`Message.small`: i8 is expected, and there is 128"
    );
    assert_eq!(
        refused(|value| value["list"][1] = json!({"Set": {}})),
        "`Message.list[]::Set`: field `rate` is missing"
    );
    assert_eq!(
        refused(|value| value["list"][1] = "Halt".into()),
        "`Message.list[]`: there is no variant `Halt`"
    );
    assert_eq!(
        refused(|value| value["list"][1] = "Both".into()),
        "`Message.list[]`: variant `Both` holds tuple of 2"
    );
    assert_eq!(
        refused(|value| drop(value.as_object_mut().unwrap().remove("id"))),
        "`Message`: field `id` is missing"
    );
    assert_eq!(
        refused(|value| value["pair"] = json!([1])),
        "`Message.pair`: tuple of 2 is expected, and there is a list"
    );
    let strange = |value: &Value| told::<Point>(Style::Positional).encode_json(&Postcard, value);
    assert_eq!(
        strange(&json!({"x": 1, "y": 2, "z": 3})).unwrap_err().to_string(),
        "`Point`: there is no field `z`"
    );
}

#[test]
fn bytes_that_are_no_such_message_are_refused() {
    let shape = told::<Command>(Style::Positional);
    let words = |bytes: &[u8]| shape.decode_json(&Postcard, bytes).unwrap_err().to_string();
    assert_eq!(words(&[9]), "there is no variant 9");
    assert!(matches!(
        shape.decode_json(&Postcard, &[0, 0]),
        Err(CodecError::Trailing { bytes: 1 })
    ));
    assert!(shape.decode_json(&Postcard, &[3, 1]).is_err());
    assert!(shape.decode_json(&Json, b"\"Start\"").unwrap_err().to_string().contains("style"));
    assert!(shape.decode_json(&Plain, b"").is_err());
    let tagged = told::<Value>(Style::Positional);
    let error = tagged.decode_json(&Postcard, &[1]).unwrap_err();
    assert_eq!(error.to_string(), "the shape could not look into what comes here");
}

#[test]
fn what_json_lacks_comes_back_as_well() {
    fn both<T: Serialize + DeserializeOwned>(value: &T) -> Value {
        let mut bytes = Vec::new();
        Postcard.encode(value, &mut bytes).unwrap();
        let shape = told::<T>(Style::Positional);
        let json = shape.decode_json(&Postcard, &bytes).unwrap();
        assert_eq!(shape.encode_json(&Postcard, &json).unwrap(), bytes, "{json}");
        json
    }
    assert_eq!(both(&u128::MAX), u128::MAX.to_string());
    assert_eq!(both(&i128::MIN), i128::MIN.to_string());
    assert_eq!(both(&(7_u128, -7_i128)), json!([7, -7]));
    assert_eq!(both(&BTreeMap::from([((1_u8, 2_u8), 3_u8)])), json!([[[1, 2], 3]]));
    assert_eq!(
        both(&BTreeMap::from([(true, 'a'), (false, 'b')])),
        json!({"false": "b", "true": "a"})
    );
    assert_eq!(both(&BTreeMap::from([(-5_i64, ())])), json!({"-5": null}));
    assert_eq!(both(&f64::NAN), Value::Null);
    assert_eq!(both(&Ok::<u8, String>(1)), json!({"Ok": 1}));
    assert_eq!(both(&[7_u8; 32]), json!(vec![7; 32]));
    assert_eq!(
        both(&std::time::Duration::from_millis(1500)),
        json!({"secs": 1, "nanos": 500_000_000})
    );
}

#[test]
fn a_schema_is_that_of_the_messages() {
    assert_eq!(
        told::<Command>(Style::Named).json_schema(),
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "oneOf": [
                {"enum": ["Start"]},
                {
                    "type": "object", "required": ["Set"], "additionalProperties": false,
                    "properties": {"Set": {
                        "type": "object", "required": ["rate"],
                        "properties": {
                            "rate": {"type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32},
                        },
                    }},
                },
                {
                    "type": "object", "required": ["Move"], "additionalProperties": false,
                    "properties": {"Move": {
                        "type": "object", "required": ["x", "y"],
                        "properties": {
                            "x": {"type": ["number", "null"]},
                            "y": {"type": ["number", "null"]},
                        },
                    }},
                },
                {
                    "type": "object", "required": ["Both"], "additionalProperties": false,
                    "properties": {"Both": {
                        "type": "array", "minItems": 2, "maxItems": 2, "items": false,
                        "prefixItems": [
                            {"type": "integer", "minimum": 0, "maximum": 255},
                            {"type": "integer", "minimum": 0, "maximum": 255},
                        ],
                    }},
                },
            ],
        })
    );
}

#[test]
fn a_schema_of_a_recursive_type_refers_to_itself() {
    #[derive(Deserialize)]
    struct Tree {
        #[expect(dead_code, reason = "only its shape is asked for")]
        next: Option<Box<Self>>,
    }
    assert_eq!(
        told::<Tree>(Style::Positional).json_schema(),
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": "#/$defs/Tree",
            "$defs": {"Tree": {
                "type": "object", "required": [], "additionalProperties": false,
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]}},
            }},
        })
    );
}
