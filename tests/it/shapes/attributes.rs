//! What attributes of serde, hand-written implementations and types that check their values do to a shape.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::{Shape, Style, ValueCheck};

use super::{named, positional};

fn text<T: DeserializeOwned>(style: Style) -> String {
    Shape::of::<T>(style).to_string()
}

#[derive(Serialize, Deserialize)]
struct Attributes {
    #[serde(rename = "kind")]
    r#type: u8,
    #[serde(skip)]
    #[expect(dead_code, reason = "it is skipped")]
    cache: u64,
    #[serde(default)]
    count: u16,
    #[serde(with = "chrono::serde::ts_seconds")]
    at: chrono::DateTime<chrono::Utc>,
    #[serde(alias = "z", alias = "a")]
    last: i8,
}

#[test]
fn attributes_are_seen() {
    assert_eq!(
        text::<Attributes>(Style::Positional),
        "struct Attributes { kind: u8, count: u16, at: i64, a = last, last: i8, z = last }"
    );
    assert_eq!(
        text::<Attributes>(Style::Named),
        "struct Attributes { kind: u8, count?: u16, at: i64, a = last, last: i8, z = last }"
    );
}

#[derive(Serialize, Deserialize)]
enum Aliased {
    #[serde(alias = "first", alias = "eins")]
    One,
    Two(u8),
    Three {
        a: u8,
    },
    Four {
        c: u16,
        d: String,
    },
}

#[test]
fn second_names_of_variants_are_seen() {
    for style in [Style::Positional, Style::Named] {
        let shape = Shape::of::<Aliased>(style);
        assert!(style == Style::Positional || shape.is_complete(), "{shape:?}");
        let values = [
            Aliased::One,
            Aliased::Two(1),
            Aliased::Three { a: 1 },
            Aliased::Four { c: 1, d: String::new() },
        ];
        values.iter().for_each(|value| ValueCheck::new(&shape).check(value).unwrap());
    }
    #[derive(Serialize, Deserialize)]
    enum Plain {
        One,
        Two(u8),
        Three { a: u8 },
        Four { c: u16, d: String },
    }
    #[derive(Serialize, Deserialize)]
    enum Old {
        #[serde(rename = "eins")]
        One,
        Two(u8),
    }
    #[derive(Serialize, Deserialize)]
    enum Swapped {
        Two(u8),
        One,
    }
    assert_eq!((positional::<Plain, Aliased>(), positional::<Aliased, Plain>()), (None, None));
    assert_eq!((named::<Plain, Aliased>(), named::<Aliased, Plain>()), (None, None));
    assert_eq!((positional::<Old, Aliased>(), named::<Old, Aliased>()), (None, None));
    assert_eq!(named::<Swapped, Aliased>(), None);
    assert_eq!(
        positional::<Swapped, Aliased>().unwrap(),
        "`Aliased`: variant 0 is `Two` here, `One or eins or first` there"
    );
}

#[derive(Serialize, Deserialize)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    rest: Rest,
    #[serde(flatten)]
    more: HashMap<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Rest {
    count: u16,
    name: String,
    list: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Point { x: f64 },
    Text { text: String },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u32),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    One(u8, u8),
    Two(String, String),
    Three { a: u8 },
    Four,
}

#[derive(Serialize, Deserialize)]
struct Around<T> {
    before: u8,
    what: T,
    after: u16,
}

#[derive(Serialize, Deserialize)]
struct Other<T> {
    before: u8,
    what: T,
    after: u32,
}

/// What cannot be looked into is anything, and what is behind it is looked into all the same.
#[test]
fn what_describes_itself_is_anything() {
    fn anything<T: DeserializeOwned>() {
        assert_eq!(text::<T>(Style::Named), "anything", "{}", std::any::type_name::<T>());
        let differ = named::<Around<T>, Other<T>>();
        let around = text::<Around<T>>(Style::Named);
        assert_eq!(differ.as_ref().unwrap_or(&around), "`Other.after`: u16 here, u32 there");
    }
    anything::<serde_json::Value>();
    anything::<Flat>();
    anything::<Tagged>();
    anything::<Untagged>();
}

#[test]
fn what_is_one_thing_now_and_another_thing_then_is_anything() {
    let expected = "struct Adjacent { t: enum Adjacent, c: anything }\nenum Adjacent { One, Two, Three, Four }";
    assert_eq!(text::<Adjacent>(Style::Named), expected);
    // By position, the name of the variant is asked for, which such codecs do not write.
    assert_eq!(text::<Adjacent>(Style::Positional), "anything");
    let values = [
        Adjacent::One(1, 2),
        Adjacent::Two(String::new(), String::new()),
        Adjacent::Three { a: 1 },
        Adjacent::Four,
    ];
    for style in [Style::Positional, Style::Named] {
        let mut check = ValueCheck::new(&Shape::of::<Adjacent>(style));
        values.iter().for_each(|value| check.check(value).unwrap());
    }
}

#[test]
fn what_json_alone_can_read_is_refused_or_said_to_be_anything() {
    // Fields of another order, of which JSON has the names.
    #[derive(Serialize, Deserialize)]
    struct Closed {
        #[serde(flatten)]
        rest: Rest,
    }
    assert_eq!(named::<Rest, Closed>(), None);
    assert_eq!(named::<Closed, Rest>(), None);
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        count: u16,
    }
    assert_eq!(
        named::<Rest, Strict>().unwrap(),
        "`Strict`: field `name` here, no other fields allowed there"
    );
    #[derive(Serialize, Deserialize)]
    struct Both {
        last: i8,
        z: i8,
        kind: u8,
        at: i64,
    }
    assert_eq!(
        named::<Both, Attributes>().unwrap(),
        "`Attributes`: field `z` here, it is another name of `last`, which is there too there"
    );
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(try_from = "(u32, u32)")]
struct Span(u32, u32);

impl TryFrom<(u32, u32)> for Span {
    type Error = String;

    fn try_from((a, b): (u32, u32)) -> Result<Self, String> {
        if a + b == 32 { Ok(Self(a, b)) } else { Err("not 32".into()) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Never(String);

impl TryFrom<String> for Never {
    type Error = String;

    fn try_from(_: String) -> Result<Self, String> {
        Err("never".into())
    }
}

#[derive(Serialize, Deserialize)]
enum Rare {
    A(Never, u8),
    B(u32),
    C { never: Option<Never>, x: u8 },
    D(Vec<Never>, u16),
    E,
}

#[test]
fn types_that_check_their_values_get_another_sample() {
    for style in [Style::Positional, Style::Named] {
        assert!(Shape::of::<(Span, u8)>(style).is_complete());
    }
    assert!(!Shape::of::<Around<Never>>(Style::Positional).is_complete());
    // Names are given in any order, and each is seen.
    assert!(Shape::of::<Around<Never>>(Style::Named).is_complete());
    // What stands before such a type is known, and what is behind it is not.
    let differ = positional::<(u8, Never, u16), (u16, Never, u16)>();
    assert_eq!(differ.unwrap(), "`message.0`: u8 here, u16 there");
    assert_eq!(positional::<(u8, Never, u16), (u8, Never, u8)>(), None);
    // Where there is a way around it, that is gone.
    assert_eq!(
        text::<Rare>(Style::Positional),
        "enum Rare { A(text, anything), B(u32), C { never: option of text, x: u8 }, \
         D(list of text, u16), E }"
    );
    assert_eq!(
        text::<(Option<Never>, Vec<Never>, HashMap<Never2, u8>, u8)>(Style::Positional),
        "(option of text, list of text, map of text to anything, u8)"
    );
}

#[derive(Serialize, Deserialize, PartialEq, Eq, Hash)]
#[serde(try_from = "String")]
struct Never2(String);

impl TryFrom<String> for Never2 {
    type Error = String;

    fn try_from(_: String) -> Result<Self, String> {
        Err("never".into())
    }
}

#[derive(Serialize, Deserialize)]
struct Endless {
    next: Box<Self>,
}

#[derive(Serialize, Deserialize)]
struct Round(Box<Self>);

#[derive(Serialize, Deserialize)]
struct Left(Box<Right>);

#[derive(Serialize, Deserialize)]
struct Right(Box<Left>);

#[derive(Serialize, Deserialize)]
enum Void {}

#[derive(Serialize, Deserialize)]
struct HasVoid {
    a: u8,
    b: Option<Void>,
    c: u16,
}

#[test]
fn types_without_values_end() {
    for style in [Style::Positional, Style::Named] {
        assert_eq!(text::<Round>(style), "anything");
        assert_eq!(text::<Left>(style), "anything");
        assert_eq!(text::<Void>(style), "enum Void { }");
        let endless = text::<Endless>(style);
        assert!(endless.contains("next") && endless.contains("struct Endless"), "{endless}");
        let void = Shape::of::<HasVoid>(style);
        assert!(void.is_complete(), "{void:?}");
    }
}

/// A type that goes on where one of its parts was refused.
#[derive(Serialize, Deserialize)]
struct Lenient {
    #[serde(deserialize_with = "or_default")]
    inner: Vec<Never>,
    after: u16,
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(T::deserialize(deserializer).unwrap_or_default())
}

/// A type that panics at what it does not like.
#[derive(Serialize, Deserialize)]
#[serde(from = "u8")]
struct Picky(u8);

impl From<u8> for Picky {
    fn from(number: u8) -> Self {
        assert_eq!(number, 16);
        Self(number)
    }
}

#[test]
fn types_that_go_on_after_an_error_or_panic_are_asked_again() {
    assert_eq!(
        text::<Lenient>(Style::Positional),
        "struct Lenient { inner: list of text, after: u16 }"
    );
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let picky = text::<(Picky, u16)>(Style::Positional);
    std::panic::set_hook(hook);
    assert!(picky.starts_with("(u8, "), "{picky}");
}

/// A struct of many required fields, and an enum of many variants.
#[test]
fn large_types_are_looked_into_in_time() {
    macro_rules! large {
        ($($name:ident)*) => {
            #[derive(Serialize, Deserialize)]
            struct Large { $($name: Option<Box<Inner>>),* }
            #[derive(Serialize, Deserialize)]
            struct Inner { $($name: u32),* }
            #[derive(Serialize, Deserialize)]
            #[expect(non_camel_case_types, reason = "the names are those of the fields")]
            enum Many { $($name(Box<Large>, u8)),* }
        };
    }
    large! {
        a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 c0 c1 c2 c3 c4 c5 c6 c7 c8 c9
        d0 d1 d2 d3 d4 d5 d6 d7 d8 d9 e0 e1 e2 e3 e4 e5 e6 e7 e8 e9 f0 f1 f2 f3 f4 f5 f6 f7 f8 f9
    }
    for style in [Style::Positional, Style::Named] {
        let begun = std::time::Instant::now();
        let shape = Shape::of::<Vec<Many>>(style);
        println!("{style:?}: {:?}", begun.elapsed());
        assert!(shape.is_complete());
    }
}
