//! Values of types that only have `Serialize`, beside what their receiver announced.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::{Difference, Shape, Style, ValueCheck, round_trips};

#[derive(Serialize, Deserialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

#[derive(Serialize)]
struct ReadingRef<'a> {
    sensor: &'a str,
    celsius: f32,
}

#[derive(Serialize)]
struct ReadingShort<'a> {
    sensor: &'a str,
}

#[derive(Serialize, Deserialize)]
enum Command {
    Start,
    Set { rate: u32, tag: Option<String> },
    Many(Vec<(u8, u16)>),
    Stop(u8, u8),
}

#[derive(Serialize)]
enum Other {
    Start,
    Set { rate: u64, tag: Option<()> },
    Many(Vec<(u8, u32)>),
    Halt,
}

fn check<T: DeserializeOwned>() -> ValueCheck {
    ValueCheck::new(&Shape::of::<T>(Style::Positional))
}

fn words(found: Result<(), Difference>) -> String {
    let words = found.unwrap_err().to_sender();
    words.strip_prefix("what this side sends: ").unwrap().to_owned()
}

#[test]
fn a_difference_names_its_place() {
    let mut readings = check::<Reading>();
    assert_eq!(
        words(readings.check(&ReadingRef { sensor: "a", celsius: 1.0 })),
        "`Reading.celsius`: f32 here, f64 there"
    );
    assert_eq!(
        words(readings.check(&ReadingShort { sensor: "a" })),
        "`Reading`: no field 1 here, field 1 is `celsius` (f64) there"
    );
    let mut commands = check::<Command>();
    commands.check(&Other::Start).unwrap();
    assert_eq!(
        words(commands.check(&Other::Set { rate: 1, tag: None })),
        "`Command::Set.rate`: u64 here, u32 there"
    );
    commands.check(&Other::Many(vec![])).unwrap();
    assert_eq!(
        words(commands.check(&Other::Many(vec![(1, 1)]))),
        "`Command::Many[].1`: u32 here, u16 there"
    );
    assert_eq!(
        words(commands.check(&Other::Halt)),
        "`Command`: variant 3 is `Halt` here, `Stop` there"
    );
    assert_eq!(
        words(check::<Option<u8>>().check(&Some(Other::Set { rate: 0, tag: Some(()) }))),
        "`message?`: enum (variant `Set`) here, u8 there"
    );
}

#[test]
fn a_check_is_over_when_all_was_seen() {
    let mut commands = check::<Command>();
    let all = [
        Command::Start,
        Command::Set { rate: 1, tag: Some("x".into()) },
        Command::Many(vec![(1, 1)]),
        Command::Stop(1, 1),
    ];
    for command in &all {
        assert!(!commands.is_done());
        commands.check(command).unwrap();
    }
    assert!(commands.is_done());
    let mut texts = check::<String>();
    texts.check("a text").unwrap();
    assert!(texts.is_done());
    let mut lists = check::<Vec<u32>>();
    lists.check::<[u32]>(&[]).unwrap();
    assert!(!lists.is_done());
    lists.check(&[1_u32, 2][..]).unwrap();
    assert!(lists.is_done());
}

/// What looks the same to the receiver may have two types at the sender.
#[test]
fn places_that_look_the_same_are_two() {
    #[derive(Deserialize)]
    struct Pair {
        _a: Option<u32>,
        _b: Option<u32>,
    }
    #[derive(Serialize)]
    struct Other {
        _a: Option<u32>,
        _b: Option<u64>,
    }
    let mut pairs = check::<Pair>();
    pairs.check(&Other { _a: Some(1), _b: None }).unwrap();
    assert!(!pairs.is_done());
    assert_eq!(
        words(pairs.check(&Other { _a: None, _b: Some(1) })),
        "`Pair._b?`: u64 here, u32 there"
    );
    // Who sends other values after that is not let off.
    pairs.check(&Other { _a: None, _b: None }).unwrap();
    assert!(!pairs.is_done());
}

#[test]
fn recursive_types_come_to_an_end() {
    #[derive(Serialize, Deserialize)]
    struct Tree {
        v: u8,
        l: Option<Box<Self>>,
        r: Option<Box<Self>>,
    }
    let mut trees = check::<Tree>();
    trees.check(&Tree { v: 1, l: None, r: None }).unwrap();
    assert!(!trees.is_done());
    // Both options are of one type.
    let leaf = Some(Box::new(Tree { v: 1, l: None, r: None }));
    trees.check(&Tree { v: 1, l: leaf, r: None }).unwrap();
    assert!(trees.is_done());
}

#[test]
fn another_type_is_looked_at_from_the_beginning() {
    let mut readings = check::<Reading>();
    let reading = Reading { sensor: "a".into(), celsius: 1.0 };
    readings.check(&reading).unwrap();
    assert!(readings.is_done());
    let wrong = ReadingRef { sensor: "a", celsius: 1.0 };
    assert_eq!(words(readings.check(&wrong)), "`Reading.celsius`: f32 here, f64 there");
    // Each time anew, whatever came in between.
    readings.check(&reading).unwrap();
    assert!(readings.is_done());
    assert_eq!(words(readings.check(&wrong)), "`Reading.celsius`: f32 here, f64 there");

    let mut lists = check::<Vec<u32>>();
    lists.check(&[1_u32][..]).unwrap();
    assert!(lists.is_done());
    lists.check::<[u64]>(&[]).unwrap();
    assert!(!lists.is_done(), "no element of these was seen");
    assert_eq!(words(lists.check(&[1_u64][..])), "`message[]`: u64 here, u32 there");
}

#[test]
fn what_another_type_may_stand_behind_is_looked_at_always() {
    /// As a value of the crate erased-serde is written: the name of its type says that it may be any.
    trait Any {
        fn write(&self) -> Result<u32, &str>;
    }
    impl Any for u32 {
        fn write(&self) -> Result<u32, &str> {
            Ok(*self)
        }
    }
    impl Any for &str {
        fn write(&self) -> Result<u32, &str> {
            Err(self)
        }
    }
    impl Serialize for dyn Any {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.write() {
                Ok(number) => serializer.serialize_u32(number),
                Err(text) => serializer.serialize_str(text),
            }
        }
    }
    let mut numbers = check::<(u32, u8)>();
    for _ in 0..2 {
        numbers.check(&(&1_u32 as &dyn Any, 1_u8)).unwrap();
        assert!(!numbers.is_done());
        let text = numbers.check(&(&"text" as &dyn Any, 1_u8));
        assert_eq!(words(text), "`message.0`: text here, u32 there");
    }
}

/// The documentation says so: such a type is seen in one form, and not looked at in another one later.
#[test]
fn what_is_untagged_is_known_by_its_first_form() {
    struct Mixed(bool);

    impl Serialize for Mixed {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            let mut list = serializer.serialize_seq(Some(1))?;
            match self.0 {
                true => list.serialize_element(&1_u32)?,
                false => list.serialize_element("text")?,
            }
            list.end()
        }
    }

    let mut lists = check::<Vec<serde_bytes::ByteBuf>>();
    assert!(lists.check(&Mixed(true)).is_err());
    let mut lists = check::<Vec<u32>>();
    lists.check(&Mixed(true)).unwrap();
    // This one was seen as a number, and it is not known that it may be something else.
    assert!(lists.is_done());
}

#[test]
fn bytes_are_a_list_of_bytes() {
    let bytes = serde_bytes::Bytes::new(b"abc");
    for style in [Style::Positional, Style::Named] {
        let check = |shape: Shape| ValueCheck::new(&shape);
        check(Shape::of::<Vec<u8>>(style)).check(bytes).unwrap();
        check(Shape::of::<serde_bytes::ByteBuf>(style)).check(bytes).unwrap();
        check(Shape::of::<serde_bytes::ByteBuf>(style)).check(&[1_u8, 2][..]).unwrap();
        check(Shape::of::<serde_bytes::ByteBuf>(style)).check(&vec![1_u8, 2]).unwrap();
        let differ = check(Shape::of::<serde_bytes::ByteBuf>(style)).check(&vec![1_u16, 2]);
        assert_eq!(words(differ), "`message[]`: u16 here, u8 there");
        let differ = check(Shape::of::<Vec<u16>>(style)).check(bytes);
        assert_eq!(words(differ), "`message`: bytes here, list of u16 there");
        let differ = check(Shape::of::<String>(style)).check(bytes);
        assert_eq!(words(differ), "`message`: bytes here, text there");
        let differ = check(Shape::of::<[u8; 3]>(style)).check(bytes);
        assert_eq!(words(differ), "`message`: bytes here, tuple of 3 there");
    }
    let mut check = check::<serde_bytes::ByteBuf>();
    check.check(bytes).unwrap();
    assert!(check.is_done());
}

#[test]
fn names_may_come_in_any_order() {
    #[derive(Deserialize)]
    struct Reader {
        _a: u8,
        _b: Option<String>,
        #[serde(default)]
        _c: u8,
    }
    #[derive(Serialize)]
    struct Writer<'a> {
        _d: f32,
        _b: &'a str,
        _a: u8,
    }
    let reader = Shape::of::<Reader>(Style::Named);
    ValueCheck::new(&reader).check(&Writer { _d: 1.0, _b: "b", _a: 1 }).unwrap();
    let flat = BTreeMap::from([("_a", 1)]);
    ValueCheck::new(&reader).check(&flat).unwrap();
    #[derive(Serialize)]
    struct Wrong {
        _b: (),
    }
    assert_eq!(
        words(ValueCheck::new(&reader).check(&Wrong { _b: () })),
        "`Reader._b`: () here, option of text there"
    );
    #[derive(Serialize)]
    struct Short {
        _c: u8,
    }
    assert_eq!(
        words(ValueCheck::new(&reader).check(&Short { _c: 1 })),
        "`Reader`: no field `_a` here, field `_a` there"
    );
}

#[test]
fn values_of_others_fit_their_types() {
    let now = chrono::DateTime::<chrono::Utc>::default();
    round_trips(&(uuid::Uuid::nil(), now, std::net::IpAddr::from([1, 2, 3, 4]))).unwrap();
    round_trips(&(std::time::Duration::ZERO, 'c', [0_u8; 32], ())).unwrap();
    round_trips(&url::Url::parse("http://example.org/a?b#c").unwrap()).unwrap();
    round_trips(&indexmap::IndexMap::from([("a".to_owned(), 1.5_f64)])).unwrap();
}

#[test]
fn what_does_not_come_back_is_told() {
    #[derive(Serialize, Deserialize)]
    struct Renamed {
        #[serde(rename(serialize = "b"))]
        a: u8,
    }
    assert_eq!(
        round_trips(&Renamed { a: 1 }).unwrap_err().to_string(),
        "`Renamed`: field 0 is `b` is written, field 0 is `a` (u8) is read"
    );
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u32),
    }
    assert!(round_trips(&Untagged::Number(1)).is_err());
    #[derive(Serialize, Deserialize)]
    #[serde(from = "u32", into = "u32")]
    #[derive(Clone)]
    struct Half(u32);
    impl From<u32> for Half {
        fn from(number: u32) -> Self {
            Self(number / 2)
        }
    }
    impl From<Half> for u32 {
        fn from(half: Half) -> Self {
            half.0
        }
    }
    assert_eq!(
        round_trips(&Half(7)).unwrap_err().to_string(),
        "the value is another one when it was written and read"
    );
    round_trips(&Half(0)).unwrap();
}
