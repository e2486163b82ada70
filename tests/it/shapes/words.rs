//! What is said of two types that do not fit.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::{Shape, Style, same_shape};

use super::{named, positional};

/// What one side has.
mod here {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(super) struct Reading {
        pub(super) sensor: String,
        pub(super) celsius: f32,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Point {
        pub(super) x: f64,
        pub(super) y: f64,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) enum Command {
        Start,
        Set { rate: u32, tag: Option<String> },
        Many(Vec<Point>),
        Stop(u8, u8),
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Tree {
        pub(super) value: i64,
        pub(super) left: Option<Box<Self>>,
        pub(super) right: Option<Box<Self>>,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) enum Expr {
        Add(Box<Self>, Box<Self>),
        Neg(Box<Self>),
        Call { name: String, args: Vec<Self> },
        Lit(i64),
        If(Box<Stmt>),
    }

    #[derive(Serialize, Deserialize)]
    pub(super) enum Stmt {
        Do(Expr),
        Block(Vec<Self>),
        Nop,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Nest(pub(super) Vec<Self>);

    #[derive(Serialize, Deserialize)]
    pub(super) struct Page<T> {
        pub(super) items: Vec<T>,
        pub(super) next: Option<u64>,
    }
}

/// What the other one has.
mod there {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(super) struct Reading {
        pub(super) sensor: String,
        pub(super) celsius: f64,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Point {
        pub(super) y: f64,
        pub(super) x: f64,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) enum Command {
        Start,
        Set { rate: u64, tag: Option<String> },
        Many(Vec<Point>),
        Stop(u8, u8),
    }

    #[derive(Serialize, Deserialize)]
    pub(super) enum More {
        Start,
        Set { rate: u32, tag: Option<String> },
        Many(Vec<here::Point>),
        Stop(u8, u8),
        Pause,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Tree {
        pub(super) value: i64,
        pub(super) left: Option<Box<Self>>,
        pub(super) right: Option<Box<Branch>>,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Branch {
        pub(super) value: i64,
        pub(super) left: Option<Box<Tree>>,
        pub(super) right: Option<Box<Other>>,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Other {
        pub(super) value: u64,
        pub(super) left: Option<Box<Tree>>,
        pub(super) right: Option<Box<Branch>>,
    }
}

#[test]
fn a_difference_names_its_place() {
    let words = |words: Option<String>| words.unwrap();
    assert_eq!(
        words(positional::<here::Reading, there::Reading>()),
        "`Reading.celsius`: f32 here, f64 there"
    );
    assert_eq!(
        words(positional::<here::Point, there::Point>()),
        "`Point`: field 0 is `x` (f64) here, field 0 is `y` (f64) there"
    );
    assert_eq!(
        words(positional::<here::Command, there::Command>()),
        "`Command::Set.rate`: u32 here, u64 there"
    );
    assert_eq!(positional::<here::Command, there::More>(), None);
    assert_eq!(
        words(positional::<there::More, here::Command>()),
        "`Command`: variant 4 is `Pause` here, no such variant there"
    );
    assert_eq!(
        words(positional::<here::Tree, there::Tree>()),
        "`Tree.right?.right?.value`: i64 here, u64 there"
    );
    assert_eq!(
        words(positional::<here::Page<u8>, here::Page<u16>>()),
        "`Page.items[]`: u8 here, u16 there"
    );
    assert_eq!(
        words(positional::<Vec<u32>, Vec<(u32, u32)>>()),
        "`message[]`: u32 here, tuple of 2 there"
    );
    assert_eq!(
        words(positional::<(u8, String), (u8, Option<String>)>()),
        "`message.1`: text here, option of text there"
    );
    assert_eq!(
        words(named::<there::More, here::Command>()),
        "`Command`: variant `Pause` here, no such variant there"
    );
    assert_eq!(
        words(named::<here::Point, here::Reading>()),
        "`Reading`: no field `sensor` here, field `sensor` there"
    );
    assert_eq!(named::<here::Point, there::Point>(), None);
}

#[test]
fn a_difference_has_words_for_both_sides() {
    let of = |style| (Shape::of::<here::Reading>(style), Shape::of::<there::Reading>(style));
    let (ours, theirs) = of(Style::Positional);
    let difference = ours.read_by(&theirs).unwrap_err();
    assert_eq!(difference.place(), "Reading.celsius");
    assert_eq!(difference.to_string(), "`Reading.celsius`: f32 is written, f64 is read");
    let receiver = "what this side receives: `Reading.celsius`: f64 here, f32 there";
    assert_eq!(difference.to_receiver(), receiver);
}

#[test]
fn shapes_of_two_styles_do_not_fit() {
    let difference =
        Shape::of::<u8>(Style::Positional).read_by(&Shape::of::<u8>(Style::Named)).unwrap_err();
    assert_eq!(
        difference.to_sender(),
        "what this side sends: `message`: one thing after the other here, by names there"
    );
}

#[test]
fn everything_is_looked_into() {
    fn whole<T: serde::de::DeserializeOwned>() {
        for style in [Style::Positional, Style::Named] {
            let shape = Shape::of::<T>(style);
            assert!(shape.is_complete(), "{shape:?}");
        }
    }
    whole::<here::Command>();
    whole::<here::Tree>();
    whole::<here::Expr>();
    whole::<here::Stmt>();
    whole::<here::Nest>();
    whole::<there::Tree>();
    whole::<HashMap<String, BTreeMap<u64, Vec<Option<here::Command>>>>>();
    whole::<Result<Duration, std::net::SocketAddr>>();
    whole::<(std::num::NonZeroU32, std::time::SystemTime, char, [u8; 32], std::path::PathBuf, ())>(
    );
    whole::<std::ops::Range<Option<bool>>>();
    whole::<Box<[Box<str>]>>();
    whole::<std::ffi::CString>();
    whole::<(uuid::Uuid, u8)>();
    whole::<(chrono::DateTime<chrono::Utc>, chrono::NaiveDate, chrono::NaiveTime, u8)>();
    whole::<(chrono::NaiveDateTime, chrono::Weekday, chrono::TimeDelta, u8)>();
    whole::<(url::Url, u8)>();
    whole::<indexmap::IndexMap<String, serde_bytes::ByteBuf>>();
    whole::<(std::net::IpAddr, std::net::SocketAddrV6, u8)>();
}

#[test]
fn a_shape_has_words() {
    let shape = Shape::of::<here::Command>(Style::Positional);
    assert_eq!(
        shape.to_string(),
        "enum Command { Start, Set { rate: u32, tag: option of text }, Many(list of struct Point), \
         Stop(u8, u8) }\nstruct Point { x: f64, y: f64 }"
    );
    let shape = Shape::of::<Option<here::Reading>>(Style::Named);
    assert_eq!(
        shape.to_string(),
        "option of struct Reading\nstruct Reading { sensor: text, celsius: f32 }"
    );
}

#[test]
fn types_of_one_name_in_two_blocks_are_two() {
    fn pair<A: serde::de::DeserializeOwned, B: serde::de::DeserializeOwned>(
        _: fn(A),
        _: fn(B),
    ) -> (Shape, Shape, Shape) {
        let of = Style::Positional;
        (Shape::of::<A>(of), Shape::of::<B>(of), Shape::of::<(A, B)>(of))
    }
    let one = {
        #[derive(Deserialize)]
        struct Local {
            _a: u8,
        }
        |_: Local| ()
    };
    let two = {
        #[derive(Deserialize)]
        struct Local {
            _a: u16,
        }
        |_: Local| ()
    };
    let (one, two, both) = pair(one, two);
    assert_ne!(one, two);
    assert_eq!(both.to_string().matches("struct Local { _a: u").count(), 2, "{both}");
}

#[test]
fn owned_and_borrowed_forms_have_one_shape() {
    same_shape::<String, Box<str>>().unwrap();
    same_shape::<Vec<u8>, std::collections::VecDeque<u8>>().unwrap();
    same_shape::<usize, u64>().unwrap();
    same_shape::<Vec<u8>, serde_bytes::ByteBuf>().unwrap();
    let difference = same_shape::<here::Point, there::Point>().unwrap_err();
    assert_eq!(difference.place(), "Point");
}
