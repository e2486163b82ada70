//! How long it takes to find a shape, and to check a value: figures for `docs/COSTS.md`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::{Shape, Style, ValueCheck};
use typed_pipe::wire::{Codec, Postcard};

/// The best of some rounds: what else runs on the machine only makes it longer.
fn best(mut round: impl FnMut() -> Duration) -> Duration {
    (0..25).map(|_| round()).min().unwrap()
}

fn timed(times: u32, mut each: impl FnMut()) -> Duration {
    let begun = Instant::now();
    (0..times).for_each(|_| each());
    begun.elapsed() / times
}

/// What one of many types of one definition is: each is new to the process once.
#[derive(Serialize, Deserialize)]
struct Of<const N: usize, T>(T);

/// Types that are not known yet, one for each round.
fn probes<T: DeserializeOwned>(style: Style) -> Duration {
    let first: [fn(Style) -> Shape; 8] = [
        Shape::of::<Of<0, T>>,
        Shape::of::<Of<1, T>>,
        Shape::of::<Of<2, T>>,
        Shape::of::<Of<3, T>>,
        Shape::of::<Of<4, T>>,
        Shape::of::<Of<5, T>>,
        Shape::of::<Of<6, T>>,
        Shape::of::<Of<7, T>>,
    ];
    first.iter().map(|of| timed(1, || drop(black_box(of(style))))).min().unwrap()
}

#[derive(Serialize, Deserialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

#[derive(Serialize, Deserialize)]
enum Command {
    Start,
    Set { rate: u32, tag: Option<String> },
    Many(Vec<Reading>),
    Stop(u8, u8),
}

#[derive(Serialize, Deserialize)]
enum Expr {
    Add(Box<Self>, Box<Self>),
    Call { name: String, arguments: Vec<Self> },
    Table(BTreeMap<String, Option<Self>>),
    Literal(i64),
}

#[derive(Clone, Serialize, Deserialize)]
struct Wide {
    a: u64,
    b: i32,
    c: f64,
    d: bool,
    e: u16,
    f: u8,
    g: (u32, u32),
    h: Option<u64>,
    i: String,
    j: [u8; 4],
}

fn probe<T: DeserializeOwned>(name: &str) {
    let [positional, named] = [Style::Positional, Style::Named].map(probes::<T>);
    println!("| `Shape::of`, the first time, of {name} | {positional:?} | {named:?} |");
}

/// A check that has something left to see goes through each value.
fn walk<T: Serialize + DeserializeOwned>(name: &str, value: &T) {
    let mut out = Vec::new();
    let encode = best(|| {
        timed(10_000, || {
            out.clear();
            Postcard.encode(black_box(value), &mut out).unwrap();
        })
    });
    // What the receiver may read besides never comes.
    let reader = Shape::of::<Result<T, String>>(Style::Positional);
    let mut check = ValueCheck::new(&reader);
    let open = best(|| timed(10_000, || check.check(black_box(&Ok::<&T, String>(value))).unwrap()));
    assert!(!check.is_done());
    let mut check = ValueCheck::new(&Shape::of::<T>(Style::Positional));
    check.check(value).unwrap();
    assert!(check.is_done());
    let done = best(|| timed(10_000, || check.check(black_box(value)).unwrap()));
    println!("| {name} | {encode:?} | {open:?} | {done:?} |");
}

#[test]
#[ignore = "it only prints figures"]
fn what_it_costs() {
    probe::<u32>("a number");
    probe::<Reading>("a struct of two fields");
    probe::<Command>("an enum of four variants");
    probe::<Expr>("a recursive enum");
    probe::<Wide>("a struct of ten fields");
    probe::<(uuid::Uuid, chrono::DateTime<chrono::Utc>)>("a UUID and a date");
    let shape = Shape::of::<Command>(Style::Positional);
    let again = best(|| timed(10_000, || drop(black_box(Shape::of::<Command>(Style::Positional)))));
    println!("`Shape::of` again: {again:?}");
    let theirs = shape.description();
    let compare = best(|| {
        timed(1000, || {
            let theirs = Shape::from_description(black_box(theirs)).unwrap();
            shape.read_by(&theirs).unwrap();
        })
    });
    println!("a description of {} bytes is read and compared: {compare:?}", theirs.len());
    let wide = Wide {
        a: 1,
        b: -2,
        c: 3.0,
        d: true,
        e: 5,
        f: 6,
        g: (7, 8),
        h: Some(9),
        i: "ten".into(),
        j: [1; 4],
    };
    walk("two fields", &Reading { sensor: "kitchen".into(), celsius: 21.5 });
    walk("ten fields", &wide);
    walk("a hundred times ten fields", &vec![wide; 100]);
}
